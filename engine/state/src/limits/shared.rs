//! Counts that several gateways share.
//!
//! The count of a subject stands in a store that all of them reach; what a gateway lets through is taken from it there first. To spare
//! most requests the way, a gateway takes a little ahead: twice what it used since it last asked, and no more than 1/16 of what is
//! left, so that a limit that is nearly used up is used to the end. What nobody wanted for 50 ms is given back. So what is taken
//! never passes a limit, and near a limit a request may be refused up to 50 ms too early. What is known only afterwards
//! ([`Shared::charge`]) is told to the store within a round trip.
//!
//! A gateway that dies takes with it what it had taken ahead, which drains as if it had been used. While the store is away, each gateway
//! counts for itself from what it knew last, and tells the store afterwards.

use super::cell::{PARTS, Rate, grains, units};
use super::{Key, Meter, Taken, fits, verdict};
use crate::StateError;
use crate::promise::Promise;
use crate::rounds::Rounds;
use ahash::RandomState;
use futures::future::BoxFuture;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::{MissedTickBehavior, interval};

#[cfg(test)]
mod tests;

/// What was taken ahead and is not wanted for so long is given back.
const CALM: Duration = Duration::from_millis(50);
/// A refusal is decided here, without asking, if the store was asked so lately.
const FRESH: Duration = Duration::from_millis(50);
/// Subjects are swept when there are so many.
const SWEEP_FROM: usize = 4096;

/// Where counts are kept that gateways share.
pub(crate) trait RateStore: Send + Sync + 'static {
    /// Asks all of these at once; each has its own answer.
    fn round<'a>(&'a self, asks: &'a [Ask]) -> BoxFuture<'a, Vec<Result<Answer, StateError>>>;
}

/// What a gateway wants of one count.
pub(crate) struct Ask {
    pub cell: Arc<Leased>,
    /// Units in a window.
    pub limit: u64,
    /// Units taken ahead that go back.
    pub back: u64,
    /// Units that were used already, past the limit if need be.
    pub charge: u64,
    /// Units wanted ahead.
    pub ahead: u64,
    /// How many requests want how many units each.
    pub wants: Vec<(u64, u64)>,
    /// The latest time told, on the gateway's clock.
    pub now: Duration,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Units given ahead.
    pub ahead: u64,
    /// What is used up now, in thousandths of a unit, rounded up.
    pub level: u64,
    /// How many of the requests of each amount have it.
    pub granted: Vec<u64>,
}

/// What a request is told.
#[derive(Clone, Debug)]
pub enum Word {
    /// It has it.
    Granted(Taken),
    /// So much is not left.
    Refused(Taken),
    /// The store is away. So much is left as far as this gateway knows, and it has it here.
    Failed(StateError),
}

/// One shared count, as this gateway sees it.
pub(crate) struct Leased {
    pub key: Key,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    limit: u64,
    /// What is used up in the store, in grains, at a time; what was taken ahead is part of it.
    level: u64,
    at: Duration,
    /// When the store was last asked.
    asked: Option<Duration>,
    /// Units taken ahead and not used.
    lease: u64,
    /// The lease is refilled below this.
    low: u64,
    /// Units used that the store does not know of.
    debt: u64,
    /// Units used since the last round: so many are wanted ahead.
    used: u64,
    is_touched: bool,
    waiting: Vec<(u64, Arc<Promise<Word>>)>,
    is_due: bool,
    is_watched: bool,
    is_gone: bool,
}

/// What came of asking.
pub(super) enum Turn {
    /// At once.
    Now(Taken),
    /// By the next round.
    Waits(Arc<Promise<Word>>),
}

/// All counts that are shared.
pub(super) struct Shared {
    cells: papaya::HashMap<Key, Arc<Leased>, RandomState>,
    sweep_at: AtomicUsize,
    rounds: Arc<Rounds<Leased>>,
}

impl Shared {
    pub(super) fn new(store: Arc<dyn RateStore>, runtime: &Handle) -> Self {
        let rounds = Arc::new(Rounds::default());
        runtime.spawn(run(Arc::clone(&rounds), store));
        Self {
            cells: papaya::HashMap::with_hasher(RandomState::new()),
            sweep_at: AtomicUsize::new(SWEEP_FROM),
            rounds,
        }
    }

    /// Asks for an amount. Refused at once where it is known that there is no room.
    pub(super) fn take(
        &self,
        meter: &Meter<'_>,
        amount: u64,
        limit: u64,
        now: Duration,
    ) -> Result<(Arc<Leased>, Turn), Taken> {
        let rate = Rate::new(limit, meter.window, now);
        loop {
            let cell = self.cell(meter, now);
            let mut inner = cell.lock();
            if inner.is_gone {
                continue;
            }
            inner.limit = limit;
            let free = inner.free(meter.window, now);
            if inner.lease >= amount.max(1) {
                inner.lease -= amount;
                inner.used = inner.used.saturating_add(amount);
                inner.is_touched = true;
                let is_low = inner.lease < inner.low;
                let taken = granted(rate, free.saturating_add(grains(amount)));
                drop(inner);
                if is_low {
                    self.ask(&cell, now);
                }
                return Ok((cell, Turn::Now(taken)));
            }
            let is_fresh = inner.asked.is_some_and(|asked| now.saturating_sub(asked) < FRESH);
            if grains(amount) > rate.full() || is_fresh && !fits(rate, free, amount) {
                return Err(verdict(rate, free.max(rate.full().saturating_sub(grains(amount)) + 1), amount));
            }
            let word = Arc::new(Promise::default());
            inner.waiting.push((amount, Arc::clone(&word)));
            drop(inner);
            self.ask(&cell, now);
            return Ok((cell, Turn::Waits(word)));
        }
    }

    /// What is used up of a count as far as is known here, in grains.
    pub(super) fn level(&self, meter: &Meter<'_>, now: Duration) -> u64 {
        self.cells.pin().get(meter).map_or(0, |cell| cell.lock().free(meter.window, now))
    }

    /// Uses an amount that is already spent.
    pub(super) fn charge(&self, cell: &Arc<Leased>, amount: u64, now: Duration) {
        {
            let mut inner = cell.lock();
            let leased = inner.lease.min(amount);
            inner.lease -= leased;
            inner.owe(cell.key.window, amount - leased, now);
        }
        self.ask(cell, now);
    }

    /// Gives an amount back.
    pub(super) fn refund(&self, cell: &Arc<Leased>, amount: u64, now: Duration) {
        {
            let mut inner = cell.lock();
            let owed = inner.debt.min(amount);
            inner.debt -= owed;
            inner.level = inner.level.saturating_sub(grains(owed));
            inner.lease = inner.lease.saturating_add(amount - owed);
            inner.is_touched = true;
            if inner.is_watched {
                return;
            }
        }
        self.ask(cell, now);
    }

    pub(super) fn len(&self) -> usize {
        self.cells.len()
    }

    fn ask(&self, cell: &Arc<Leased>, now: Duration) {
        self.rounds.tell(now);
        if !std::mem::replace(&mut cell.lock().is_due, true) {
            self.rounds.add(Arc::clone(cell));
        }
    }

    fn cell(&self, meter: &Meter<'_>, now: Duration) -> Arc<Leased> {
        let cells = self.cells.pin();
        if let Some(cell) = cells.get(meter) {
            return Arc::clone(cell);
        }
        self.sweep_if_due(now);
        let new = || Arc::new(Leased { key: Key::of(meter), inner: Mutex::default() });
        Arc::clone(cells.get_or_insert_with(Key::of(meter), new))
    }

    /// Forgets counts that have drained, once in a while: when there are twice as many as the last sweep left.
    fn sweep_if_due(&self, now: Duration) {
        let due = self.sweep_at.load(Ordering::Relaxed);
        if self.cells.len() < due
            || self.sweep_at.compare_exchange(due, usize::MAX, Ordering::AcqRel, Ordering::Relaxed).is_err()
        {
            return;
        }
        let cells = self.cells.pin();
        for (key, cell) in &cells {
            let mut inner = cell.lock();
            let is_idle = inner.lease == 0 && inner.debt == 0 && inner.waiting.is_empty();
            // Held by nobody but the map, and what it knows is old.
            inner.is_gone = is_idle
                && Arc::strong_count(cell) == 1
                && inner.drained(key.window, now) == 0
                && inner.asked.is_some_and(|asked| now.saturating_sub(asked) >= FRESH);
            if inner.is_gone {
                cells.remove(key);
            }
        }
        self.sweep_at.store((cells.len() * 2).max(SWEEP_FROM), Ordering::Release);
    }
}

/// Asks the store in rounds, for good.
async fn run(rounds: Arc<Rounds<Leased>>, store: Arc<dyn RateStore>) {
    let mut watched: Vec<Arc<Leased>> = Vec::new();
    let mut ticks = interval(CALM);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let (due, is_calm) = tokio::select! {
            due = rounds.next() => (due, false),
            _ = ticks.tick(), if !watched.is_empty() => (std::mem::take(&mut watched), true),
        };
        let now = rounds.now();
        let asks: Vec<Ask> = due.iter().filter_map(|cell| cell.ask(is_calm, now)).collect();
        if !asks.is_empty() {
            for (ask, answer) in asks.iter().zip(store.round(&asks).await) {
                ask.cell.hear(ask, answer);
            }
        }
        watched.extend(due.into_iter().filter(|cell| cell.is_to_be_watched()));
    }
}

impl Leased {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be asked now, if anything.
    fn ask(self: &Arc<Self>, is_calm: bool, now: Duration) -> Option<Ask> {
        let mut inner = self.lock();
        if is_calm {
            inner.is_watched = false;
            if std::mem::take(&mut inner.is_touched) && inner.debt == 0 && inner.waiting.is_empty() {
                return None;
            }
            inner.low = 0;
        } else {
            inner.is_due = false;
        }
        let mut wants: Vec<(u64, u64)> = Vec::new();
        for (amount, _) in &inner.waiting {
            match wants.iter_mut().find(|(wanted, _)| wanted == amount) {
                Some((_, count)) => *count += 1,
                None => wants.push((*amount, 1)),
            }
        }
        // A lease that is too small for those who wait is no use to them; one that nobody wants is none here.
        let back = if !wants.is_empty() || is_calm { std::mem::take(&mut inner.lease) } else { 0 };
        let used = std::mem::take(&mut inner.used);
        let waiting: u64 = wants.iter().map(|(amount, count)| amount.saturating_mul(*count)).sum();
        let ahead = if is_calm { 0 } else { used.saturating_add(waiting).saturating_mul(2) };
        // What has drained here has drained there as well.
        let owed = units(inner.drained(self.key.window, now).saturating_add(PARTS - 1));
        let charge = std::mem::take(&mut inner.debt).min(owed);
        let is_low = inner.lease < inner.low;
        if wants.is_empty() && back == 0 && charge == 0 && !is_low {
            return None;
        }
        Some(Ask { cell: Arc::clone(self), limit: inner.limit, back, charge, ahead, wants, now })
    }

    /// Hears what came of it, and tells who waits.
    fn hear(&self, ask: &Ask, answer: Result<Answer, StateError>) {
        let window = self.key.window;
        let rate = Rate::new(ask.limit, window, ask.now);
        let mut told = Vec::new();
        let mut inner = self.lock();
        // Those who came meanwhile wait for the next round.
        let asked: usize = ask.wants.iter().map(|(_, count)| usize::try_from(*count).unwrap_or(0)).sum();
        let asked = asked.min(inner.waiting.len());
        let waiting: Vec<_> = inner.waiting.drain(..asked).collect();
        match answer {
            Ok(Answer { ahead, level, granted: counts }) => {
                inner.level = level.saturating_mul(PARTS / 1_000).saturating_add(grains(inner.debt));
                inner.at = ask.now;
                inner.asked = Some(ask.now);
                inner.lease = inner.lease.saturating_add(ahead);
                inner.low = ahead / 2;
                let free = inner.free(window, ask.now);
                let mut counts: Vec<(u64, u64)> =
                    ask.wants.iter().map(|(amount, _)| *amount).zip(counts).collect();
                for (amount, word) in waiting {
                    let left = counts.iter_mut().find(|(wanted, left)| *wanted == amount && *left > 0);
                    told.push((
                        word,
                        match left {
                            Some((_, left)) => {
                                *left -= 1;
                                inner.used = inner.used.saturating_add(amount);
                                Word::Granted(granted(rate, free))
                            }
                            None => {
                                let least = rate.full().saturating_sub(grains(amount)) + 1;
                                Word::Refused(verdict(rate, free.max(least), amount))
                            }
                        },
                    ));
                }
            }
            Err(error) => {
                inner.debt = inner.debt.saturating_add(ask.charge);
                inner.low = 0;
                for (amount, word) in waiting {
                    let level = inner.free(window, ask.now);
                    if !fits(rate, level, amount) {
                        told.push((word, Word::Refused(verdict(rate, level, amount))));
                        continue;
                    }
                    inner.owe(window, amount, ask.now);
                    told.push((word, Word::Failed(error.clone())));
                }
            }
        }
        drop(inner);
        told.into_iter().for_each(|(word, what)| word.come(what));
    }

    /// Whether it has something that is to go back or to be told in time, and nobody sees to that yet.
    fn is_to_be_watched(&self) -> bool {
        let mut inner = self.lock();
        (inner.lease > 0 || inner.debt > 0) && !std::mem::replace(&mut inner.is_watched, true)
    }
}

impl Inner {
    /// What is used up now, leases and all, in grains.
    fn drained(&self, window: Duration, now: Duration) -> u64 {
        let ticks = now.saturating_sub(self.at).as_nanos() * u128::from(PARTS) / window.as_nanos().max(1);
        let drained = ticks.saturating_mul(u128::from(self.limit.max(1)));
        self.level.saturating_sub(u64::try_from(drained).unwrap_or(u64::MAX))
    }

    /// What is used up now if what this gateway took ahead is not.
    fn free(&self, window: Duration, now: Duration) -> u64 {
        self.drained(window, now).saturating_sub(grains(self.lease))
    }

    /// Notes what was used here and is not known in the store.
    fn owe(&mut self, window: Duration, amount: u64, now: Duration) {
        self.level = self.drained(window, now).saturating_add(grains(amount));
        self.at = self.at.max(now);
        self.debt = self.debt.saturating_add(amount);
    }
}

/// What to tell who has it, with the level after.
fn granted(rate: Rate, level: u64) -> Taken {
    Taken {
        allowed: true,
        remaining: units(rate.full().saturating_sub(level)),
        reset_after: rate.drains_in(level),
        retry_after: Some(Duration::ZERO),
    }
}
