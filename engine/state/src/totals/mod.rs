//! Totals: what a subject spent in a window of the calendar, under limits that are never passed.
//!
//! Before a request goes out, the most that it may come to is reserved in all of its totals, or in none; when it has ended, what
//! it came to is settled and the rest given back. With a file ([`Totals::open`]) the totals outlive the process: a reservation
//! is on disk before the request goes on. To spare most requests that wait, more than is needed is leased at a time: 1/512 of the
//! limit, and never more than 1/16 of what is left. After a crash what was leased counts as spent, so the limit holds; a clean end
//! gives back what was not used. Several processes may share a file, or a store that all machines reach: each leases for itself.
//!
//! What was given back is written within 100 ms of calm; so is what a request came to beyond its reservation.

mod file;
mod reservation;
#[cfg(test)]
mod tests;
mod total;
mod window;
mod writer;

pub use reservation::{Crossed, Holding, Secured, Shortfall};
pub use total::{Account, Unit};
pub use window::{Window, time_zone, time_zones};

use crate::promise::Promise;
use crate::{Space, StateError};
use ahash::RandomState;
use file::FileStore;
use reservation::Part;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use total::Key;
use writer::Writer;
pub(crate) use {
    total::Total,
    writer::{Row, Store},
};

/// Totals are swept for windows that are over when there are so many.
const SWEEP_FROM: usize = 4096;
/// A window is remembered this long after its end, in seconds: a clock may be set back.
pub(crate) const KEPT: i64 = 86_400;

/// The totals of a process.
pub struct Totals {
    map: papaya::HashMap<Key, Arc<Total>, RandomState>,
    sweep_at: AtomicUsize,
    writer: OnceLock<Writer>,
}

impl Totals {
    /// Nothing spent, and nothing kept beyond this process.
    pub fn new() -> Self {
        Self {
            map: papaya::HashMap::with_hasher(RandomState::new()),
            sweep_at: AtomicUsize::new(SWEEP_FROM),
            writer: OnceLock::new(),
        }
    }

    /// Keeps the totals in a file from now on; it is made if there is none. Call it before the first reservation.
    ///
    /// # Errors
    /// The file cannot be used: it is locked, damaged or none of ours. Nothing is done to it.
    pub fn open(&self, path: &Path) -> Result<(), StateError> {
        self.keep_in(Box::new(FileStore::open(path)?))
    }

    /// Keeps the totals in a store from now on. Call it before the first reservation.
    pub(crate) fn keep_in(&self, store: Box<dyn Store>) -> Result<(), StateError> {
        let taken = store.error("the totals are kept elsewhere already");
        self.writer.set(Writer::open(store)?).map_err(|_| taken)
    }

    /// Writes what was spent to the last cent, and lets go of the file. What requests under way hold counts as spent. Later
    /// reservations fail.
    ///
    /// # Errors
    /// It could not be written; then all that was leased counts as spent.
    pub fn close(&self) -> Result<(), StateError> {
        let Some(writer) = self.writer.get() else { return Ok(()) };
        let totals: Vec<Arc<Total>> = self
            .map
            .pin()
            .iter()
            .filter(|(key, _)| key.space == Space::Live)
            .map(|(_, total)| Arc::clone(total))
            .collect();
        writer.close(totals)
    }

    /// Holds `amount` in every account, each with its limit; or in none. `now`: nanoseconds since 1970 UTC.
    ///
    /// # Errors
    /// One of the limits does not leave so much.
    pub fn reserve(
        self: &Arc<Self>,
        accounts: &[(Account<'_>, u64)],
        amount: u64,
        now: i64,
    ) -> Result<Holding, Shortfall> {
        let mut holding = Holding {
            totals: Arc::clone(self),
            parts: Vec::with_capacity(accounts.len()),
            amount,
            waits: Vec::new(),
            now,
        };
        for (place, (account, limit)) in accounts.iter().enumerate() {
            match self.take(account, *limit, amount, now) {
                Ok(total) => holding.parts.push(Part { total, limit: *limit }),
                Err(shortfall) => {
                    holding.release();
                    return Err(Shortfall { limit: place, ..shortfall });
                }
            }
        }
        if let Some(writer) = self.writer.get() {
            for part in &holding.parts {
                if part.total.key.space == Space::Live {
                    holding.waits.extend(writer.cover(&part.total, now));
                }
            }
        }
        Ok(holding)
    }

    /// Where others share the totals, what they gave back may have made room since they were last read. Waits until these are read
    /// again; `None` if they were just now, or nobody shares them.
    pub fn look_again(&self, accounts: &[(Account<'_>, u64)], now: i64) -> Option<Secured> {
        let writer = self.writer.get()?;
        let map = self.map.pin();
        let live = accounts.iter().filter(|(account, _)| account.space == Space::Live);
        let waits: Vec<_> = live
            .filter_map(|(account, _)| map.get(account))
            .filter_map(|total| writer.look_again(total, now))
            .collect();
        (!waits.is_empty()).then_some(Secured(waits))
    }

    /// What is known here to be spent in a total: in this process, and before it as far as it asked.
    pub fn spent(&self, account: &Account<'_>) -> u64 {
        self.map.pin().get(account).map_or(0, |total| total.lock().settled())
    }

    /// What a limit leaves in a total as far as is known here, requests under way counted as their worst.
    pub fn left(&self, account: &Account<'_>, limit: u64) -> u64 {
        let taken = self.map.pin().get(account).map_or(0, |total| {
            let inner = total.lock();
            inner.others.saturating_add(inner.held())
        });
        limit.saturating_sub(taken)
    }

    /// How many totals are held in memory.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    fn take(
        &self,
        account: &Account<'_>,
        limit: u64,
        amount: u64,
        now: i64,
    ) -> Result<Arc<Total>, Shortfall> {
        let live = match account.space {
            Space::Live => 0,
            Space::Shadow => self
                .map
                .pin()
                .get(&Account { space: Space::Live, ..*account })
                .map_or(0, |total| total.lock().held()),
        };
        loop {
            let total = self.total(account, now);
            let mut inner = total.lock();
            if inner.is_gone {
                continue;
            }
            if inner.take(amount, limit, live, now) {
                drop(inner);
                return Ok(total);
            }
            let taken = inner.others.saturating_add(inner.held()).saturating_add(live);
            return Err(Shortfall {
                limit: 0,
                left: limit.saturating_sub(taken),
                fits_later: inner.settled().saturating_add(amount) <= limit,
            });
        }
    }

    fn total(&self, account: &Account<'_>, now: i64) -> Arc<Total> {
        let map = self.map.pin();
        if let Some(total) = map.get(account) {
            return Arc::clone(total);
        }
        self.sweep_if_due(now);
        let key = Key::of(account);
        Arc::clone(map.get_or_insert_with(key.clone(), || Arc::new(Total::new(key))))
    }

    /// Something in it was settled: what that asks of the file.
    fn changed(&self, total: &Arc<Total>, now: i64) {
        if let Some(writer) = self.writer.get()
            && total.key.space == Space::Live
        {
            writer.changed(total, now);
        }
    }

    /// Forgets windows that ended a day ago, once in a while: when there are twice as many totals as the last sweep left.
    fn sweep_if_due(&self, now: i64) {
        let due = self.sweep_at.load(Ordering::Relaxed);
        if self.map.len() < due
            || self.sweep_at.compare_exchange(due, usize::MAX, Ordering::AcqRel, Ordering::Relaxed).is_err()
        {
            return;
        }
        let map = self.map.pin();
        for (key, total) in &map {
            if key.window.ends.is_some_and(|ends| ends + KEPT < now / 1_000_000_000) {
                let mut inner = total.lock();
                inner.is_gone = inner.reserved == 0 && inner.waiting.is_empty();
                if inner.is_gone {
                    map.remove(key);
                }
            }
        }
        self.sweep_at.store((map.len() * 2).max(SWEEP_FROM), Ordering::Release);
    }
}

impl Default for Totals {
    fn default() -> Self {
        Self::new()
    }
}

/// What came of a wait for the store.
type Outcome = Promise<Result<(), StateError>>;

/// Whom a write has to tell.
type Waiting = Vec<(u64, Arc<Outcome>)>;
