//! One count: how much of a limit is used up, and since when it drains.
//!
//! A generic cell rate algorithm (ITU-T I.371) in whole numbers. A window has [`PARTS`] *ticks*, a unit as many *grains*; then
//! a limit of L units per window lets exactly L grains drain per tick, and amounts are never rounded. The one word that counts, `mark = level + tick · L` (modulo 2^58), needs no write while the level drains.
//! The level itself is in grains, whatever the limit: when the limit changes, the mark is rewritten for the same level, so
//! what was used stays used.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Grains in a unit, ticks in a window. So many that a second is whole ticks of a minute, an hour or a day: who comes back
/// seconds later finds what has drained by then, to the grain.
pub(super) const PARTS: u64 = 864_000;
/// Amounts and limits above this are taken as this: 34 billion units.
const MAX_UNITS: u64 = 1 << 35;
/// No level goes above this; anything above it on the circle of marks is one that has drained.
const MAX_LEVEL: u64 = 1 << 57;
/// The mark is modulo 2^58. It stands above two flags and the turn.
const CIRCLE: u64 = (1 << 58) - 1;
const SHIFT: u32 = 6;
/// Counts the changes of the limit, so that who read a limit knows by the unchanged word that it still belongs to the mark.
const TURN: u64 = 0b11_1100;
const ONE_TURN: u64 = 0b100;
/// The limit is being rewritten: a few instructions, once per change.
const BUSY: u64 = 1;
/// The cell has left the map; look again.
const DEAD: u64 = 2;

/// The cell was evicted between look-up and use.
#[derive(Debug)]
pub(super) struct Dead;

/// One count.
#[derive(Debug)]
pub(super) struct Cell {
    mark: AtomicU64,
    limit: AtomicU64,
    touched: AtomicU64,
}

/// A limit at a point in time, in the cell's own terms.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    units: u64,
    window: Duration,
    tick: u64,
}

impl Rate {
    pub(super) fn new(limit: u64, window: Duration, now: Duration) -> Self {
        let tick = now.as_nanos().saturating_mul(u128::from(PARTS)) / window.as_nanos().max(1);
        #[allow(clippy::cast_possible_truncation, reason = "ticks are compared on a circle")]
        let tick = (tick & u128::from(u64::MAX)) as u64;
        Self { units: limit.min(MAX_UNITS), window, tick }
    }

    /// The level at which the limit is used up.
    pub(super) fn full(self) -> u64 {
        self.units * PARTS
    }

    /// The time in which this much drains, rounded up.
    pub(super) fn drains_in(self, level: u64) -> Duration {
        let ticks = u128::from(level.div_ceil(self.units.max(1)));
        let nanos = (ticks * self.window.as_nanos()).div_ceil(u128::from(PARTS));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn base(tick: u64, limit: u64) -> u64 {
        // A limit of zero drains as slowly as one: a subject that was shut out is forgotten some day.
        tick.wrapping_mul(limit.max(1)) & CIRCLE
    }
}

/// Units as grains.
pub(super) fn grains(units: u64) -> u64 {
    units.min(MAX_UNITS) * PARTS
}

/// Grains as whole units.
pub(super) fn units(grains: u64) -> u64 {
    grains / PARTS
}

impl Cell {
    /// A count of nothing.
    pub(super) fn new(rate: Rate) -> Self {
        Self {
            mark: AtomicU64::new(Rate::base(rate.tick, rate.units) << SHIFT),
            limit: AtomicU64::new(rate.units),
            touched: AtomicU64::new(rate.tick),
        }
    }

    /// What is used up now.
    pub(super) fn level(&self, rate: Rate) -> Result<u64, Dead> {
        loop {
            let mark = self.mark.load(Ordering::Acquire);
            if mark & DEAD != 0 {
                return Err(Dead);
            }
            let limit = self.limit.load(Ordering::Acquire);
            if mark & BUSY == 0 && self.mark.load(Ordering::Acquire) == mark {
                return Ok(self.read(mark, limit, rate.tick));
            }
            std::hint::spin_loop();
        }
    }

    /// Replaces the level by what `next` makes of it, as one step; `None` leaves it. Returns the level before.
    pub(super) fn update(&self, rate: Rate, next: impl Fn(u64) -> Option<u64>) -> Result<u64, Dead> {
        loop {
            let mark = self.mark.load(Ordering::Acquire);
            if mark & DEAD != 0 {
                return Err(Dead);
            }
            if mark & BUSY != 0 {
                std::hint::spin_loop();
                continue;
            }
            let limit = self.limit.load(Ordering::Acquire);
            let level = self.read(mark, limit, rate.tick);
            let same = limit == rate.units;
            let wanted = match next(level) {
                None if same && self.mark.load(Ordering::Acquire) == mark => return Ok(level),
                None if same => continue,
                None => level,
                Some(wanted) => wanted.min(MAX_LEVEL),
            };
            let turn = if same { mark } else { mark.wrapping_add(ONE_TURN) } & TURN;
            let written = ((Rate::base(rate.tick, rate.units) + wanted) & CIRCLE) << SHIFT | turn;
            // Before the mark: whoever sees the mark also sees when it was made.
            self.touched.fetch_max(rate.tick, Ordering::Relaxed);
            let claimed = if same { written } else { mark | BUSY };
            if self.mark.compare_exchange_weak(mark, claimed, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                continue;
            }
            if !same {
                self.limit.store(rate.units, Ordering::Release);
                self.mark.store(written, Ordering::Release);
            }
            return Ok(level);
        }
    }

    /// Takes the cell out of use if it has drained. Returns whether it has.
    pub(super) fn kill(&self, window: Duration, now: Duration) -> bool {
        let mark = self.mark.load(Ordering::Acquire);
        let limit = self.limit.load(Ordering::Acquire);
        let tick = Rate::new(limit, window, now).tick;
        mark & (BUSY | DEAD) == 0
            && self.read(mark, limit, tick) == 0
            && self.mark.compare_exchange(mark, DEAD, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    pub(super) fn is_dead(&self) -> bool {
        self.mark.load(Ordering::Acquire) & DEAD != 0
    }

    fn read(&self, mark: u64, limit: u64, tick: u64) -> u64 {
        let idle = tick.saturating_sub(self.touched.load(Ordering::Relaxed));
        if u128::from(idle) * u128::from(limit.max(1)) >= u128::from(MAX_LEVEL) {
            return 0; // So long ago that any level has drained; the circle may have turned since.
        }
        let level = (mark >> SHIFT).wrapping_sub(Rate::base(tick, limit)) & CIRCLE;
        if level > MAX_LEVEL { 0 } else { level }
    }
}
