//! Limits: so many requests or tokens in a window, for each subject.
//!
//! A subject may use its whole limit at once; what it used comes back evenly, `limit` per window. So over any time `t` it
//! gets at most `limit · (1 + t / window)`, and over a long time exactly its limit. What is known only at the end
//! ([`Limiter::charge_after`]) may go past the limit; then nothing passes until the debt has drained.
//!
//! Counts are keyed by what is metered, never by the limit: a changed limit finds what was used, and only drains at its own
//! pace from then on. A call on a subject that is known takes no lock and allocates nothing.

mod cell;
mod reservation;
mod shared;
#[cfg(test)]
mod tests;

use crate::Space;
use ahash::RandomState;
use cell::{Cell, Dead, Rate, grains, units};
use papaya::Equivalent;
pub use reservation::Reservation;
pub use shared::Word;
pub(crate) use shared::{Answer, Ask, RateStore};
use shared::{Shared, Turn};
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// What a meter counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MeterKind {
    /// Requests.
    Requests,
    /// Tokens.
    Tokens,
}

/// What is metered, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meter<'a> {
    /// Where to write.
    pub space: Space,
    /// Whose meter it is: pipeline and stage, say.
    pub name: &'a str,
    /// What it counts.
    pub kind: MeterKind,
    /// How long a limit lasts.
    pub window: Duration,
    /// Who is counted: a key, a team, an address.
    pub subject: &'a str,
}

/// What came of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Whether it may be used, and has been counted.
    pub allowed: bool,
    /// Whole units left now.
    pub remaining: u64,
    /// When all of the limit is there again, if nothing more is used.
    pub reset_after: Duration,
    /// When the same question would be answered yes: zero if it was, `None` if never.
    pub retry_after: Option<Duration>,
}

/// All counts of a process.
pub struct Limiter {
    shards: Box<[Shard]>,
    /// Where live counts are shared with other processes.
    shared: OnceLock<Arc<Shared>>,
    hasher: RandomState,
}

/// A part of the subjects, swept on its own.
struct Shard {
    cells: papaya::HashMap<Key, Arc<Cell>, RandomState>,
    /// How many cells there must be before the next sweep.
    sweep_at: AtomicUsize,
}

/// Subjects in a shard before it is swept at all.
const SWEEP_FROM: usize = 128;
const SHARDS: usize = 32;

impl Limiter {
    /// No counts.
    pub fn new() -> Self {
        let hasher = RandomState::new();
        let shard = || Shard {
            cells: papaya::HashMap::with_hasher(hasher.clone()),
            sweep_at: AtomicUsize::new(SWEEP_FROM),
        };
        Self { shards: (0..SHARDS).map(|_| shard()).collect(), shared: OnceLock::new(), hasher }
    }

    /// Shares live counts with other processes from now on: [`spend`](Self::spend) and [`reserve`](Self::reserve) ask the store.
    pub(crate) fn share(&self, store: Arc<dyn RateStore>, runtime: &tokio::runtime::Handle) {
        self.shared.get_or_init(|| Arc::new(Shared::new(store, runtime)));
    }

    fn shared(&self, meter: &Meter<'_>) -> Option<&Arc<Shared>> {
        self.shared.get().filter(|_| meter.space == Space::Live)
    }

    /// Uses `amount` for good. Where counts are shared it may have to be [waited for](Reservation::word), and can be given back if
    /// another limit refuses.
    ///
    /// # Errors
    /// What [`take`](Self::take) says, when so much is not left.
    pub fn spend(
        &self,
        meter: &Meter<'_>,
        amount: u64,
        limit: u64,
        now: Duration,
    ) -> Result<Option<Reservation>, Taken> {
        if self.shared(meter).is_some() {
            return self.reserve(meter, amount, limit, now).map(Some);
        }
        let taken = self.take(meter, amount, limit, now);
        if taken.allowed { Ok(None) } else { Err(taken) }
    }

    /// Uses `amount`, if so much is left of `limit`, among the counts of this process; all or nothing, and exact however many ask at once. An amount of 0 asks
    /// whether anything is left.
    pub fn take(&self, meter: &Meter<'_>, amount: u64, limit: u64, now: Duration) -> Taken {
        let rate = Rate::new(limit, meter.window, now);
        let live = self.live_under(meter, rate, now);
        let level = self.with_cell(meter, rate, now, |cell| cell.update(rate, take(rate, live, amount)));
        verdict(rate, live.saturating_add(level), amount)
    }

    /// What [`take`](Self::take) would say, using nothing.
    pub fn peek(&self, meter: &Meter<'_>, amount: u64, limit: u64, now: Duration) -> Taken {
        let rate = Rate::new(limit, meter.window, now);
        let level = match self.shared(meter) {
            Some(shared) => shared.level(meter, now),
            None => self.live_under(meter, rate, now).saturating_add(self.level(meter, rate)),
        };
        let taken = verdict(rate, level, amount);
        if !taken.allowed {
            return taken;
        }
        let full = rate.full();
        Taken { remaining: units(full.saturating_sub(level)), reset_after: rate.drains_in(level), ..taken }
    }

    /// Uses `amount` that is already spent, past the limit if need be.
    pub fn charge_after(&self, meter: &Meter<'_>, amount: u64, limit: u64, now: Duration) {
        let rate = Rate::new(limit, meter.window, now);
        let charge = |level: u64| Some(level.saturating_add(grains(amount)));
        self.with_cell(meter, rate, now, |cell| cell.update(rate, charge));
    }

    /// Gives `amount` back.
    pub fn refund(&self, meter: &Meter<'_>, amount: u64, limit: u64, now: Duration) {
        let rate = Rate::new(limit, meter.window, now);
        if let Some(cell) = self.shard(meter).cells.pin().get(meter) {
            // A dead cell has nothing to give back.
            let _ = cell.update(rate, |level| Some(level.saturating_sub(grains(amount))));
        }
    }

    /// Takes `amount` now, to be settled when the true amount is known; see [`Reservation`].
    ///
    /// # Errors
    /// What [`take`](Self::take) says, when so much is not left.
    pub fn reserve(
        &self,
        meter: &Meter<'_>,
        amount: u64,
        limit: u64,
        now: Duration,
    ) -> Result<Reservation, Taken> {
        if let Some(shared) = self.shared(meter) {
            let (cell, turn) = shared.take(meter, amount, limit, now)?;
            return Ok(Reservation::shared(Arc::clone(shared), cell, amount, turn));
        }
        let rate = Rate::new(limit, meter.window, now);
        let live = self.live_under(meter, rate, now);
        let (cell, level) = self.with_cell(meter, rate, now, |cell| {
            // Held before it is counted: the sweep leaves alone what somebody holds.
            let held = Arc::clone(cell);
            cell.update(rate, take(rate, live, amount)).map(|level| (held, level))
        });
        let taken = verdict(rate, live.saturating_add(level), amount);
        if taken.allowed {
            Ok(Reservation::new(cell, amount, limit, meter.window, taken))
        } else {
            Err(taken)
        }
    }

    /// How many subjects are counted.
    pub fn subjects(&self) -> usize {
        self.shards.iter().map(|shard| shard.cells.len()).sum::<usize>()
            + self.shared.get().map_or(0, |s| s.len())
    }

    /// The live level that a stage in shadow counts on top of; zero for others.
    fn live_under(&self, meter: &Meter<'_>, rate: Rate, now: Duration) -> u64 {
        let live = Meter { space: Space::Live, ..*meter };
        match (meter.space, self.shared.get()) {
            (Space::Live, _) => 0,
            (Space::Shadow, None) => self.level(&live, rate),
            (Space::Shadow, Some(shared)) => shared.level(&live, now),
        }
    }

    fn level(&self, meter: &Meter<'_>, rate: Rate) -> u64 {
        self.shard(meter).cells.pin().get(meter).and_then(|cell| cell.level(rate).ok()).unwrap_or(0)
    }

    fn with_cell<T>(
        &self,
        meter: &Meter<'_>,
        rate: Rate,
        now: Duration,
        act: impl Fn(&Arc<Cell>) -> Result<T, Dead>,
    ) -> T {
        let shard = self.shard(meter);
        let cells = shard.cells.pin();
        loop {
            let cell = match cells.get(meter) {
                Some(cell) => cell,
                None => {
                    shard.sweep_if_due(now);
                    cells.get_or_insert_with(Key::of(meter), || Arc::new(Cell::new(rate)))
                }
            };
            match act(cell) {
                Ok(result) => return result,
                Err(Dead) => {
                    let _ = cells.remove_if(meter, |_, cell| cell.is_dead());
                }
            }
        }
    }

    fn shard(&self, meter: &Meter<'_>) -> &Shard {
        #[allow(clippy::cast_possible_truncation, reason = "any bits of a hash will do")]
        let index = (self.hasher.hash_one(meter) >> 40) as usize % SHARDS;
        #[allow(clippy::indexing_slicing, reason = "there are SHARDS shards")]
        &self.shards[index]
    }
}

impl Default for Limiter {
    fn default() -> Self {
        Self::new()
    }
}

impl Shard {
    /// Drops the cells that have drained, once in a while: when there are twice as many as the last sweep left.
    fn sweep_if_due(&self, now: Duration) {
        let due = self.sweep_at.load(Ordering::Relaxed);
        if self.cells.len() < due
            || self.sweep_at.compare_exchange(due, usize::MAX, Ordering::AcqRel, Ordering::Relaxed).is_err()
        {
            return;
        }
        let cells = self.cells.pin();
        for (key, cell) in &cells {
            if Arc::strong_count(cell) == 1 && cell.kill(key.window, now) {
                let _ = cells.remove_if(key, |_, cell| cell.is_dead());
            }
        }
        self.sweep_at.store((cells.len() * 2).max(SWEEP_FROM), Ordering::Release);
    }
}

/// The step from one level to the next if `amount` fits on top of it and of `live`.
fn take(rate: Rate, live: u64, amount: u64) -> impl Fn(u64) -> Option<u64> {
    move |level| fits(rate, live.saturating_add(level), amount).then(|| level.saturating_add(grains(amount)))
}

fn fits(rate: Rate, level: u64, amount: u64) -> bool {
    // With an amount of 0, anything left is enough.
    level.saturating_add(grains(amount).max(1)) <= rate.full()
}

/// What to tell about a level found and an amount asked for.
fn verdict(rate: Rate, level: u64, amount: u64) -> Taken {
    let full = rate.full();
    let wanted = level.saturating_add(grains(amount));
    if fits(rate, level, amount) {
        return Taken {
            allowed: true,
            remaining: units(full.saturating_sub(wanted)),
            reset_after: rate.drains_in(wanted),
            retry_after: Some(Duration::ZERO),
        };
    }
    // With an amount of 0, one grain must drain.
    let excess = wanted.saturating_sub(full).max(1);
    Taken {
        allowed: false,
        remaining: units(full.saturating_sub(level)),
        reset_after: rate.drains_in(level),
        retry_after: (grains(amount.max(1)) <= full).then(|| rate.drains_in(excess)),
    }
}

/// [`Meter`], owned.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Key {
    space: Space,
    name: Box<str>,
    kind: MeterKind,
    pub(crate) window: Duration,
    subject: Box<str>,
}

impl Key {
    fn of(meter: &Meter<'_>) -> Self {
        let Meter { space, name, kind, window, subject } = *meter;
        Self { space, name: name.into(), kind, window, subject: subject.into() }
    }

    pub(crate) fn as_meter(&self) -> Meter<'_> {
        let Key { space, name, kind, window, subject } = self;
        Meter { space: *space, name, kind: *kind, window: *window, subject }
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_meter().hash(state);
    }
}

impl Hash for Meter<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.subject.hash(state);
        self.name.hash(state);
        (self.space, self.kind, self.window).hash(state);
    }
}

impl Equivalent<Key> for Meter<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self == key.as_meter()
    }
}
