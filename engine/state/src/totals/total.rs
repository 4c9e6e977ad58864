//! One total: what a subject spent and holds in one window, and how much of it is on disk.

use super::Outcome;
use super::window::Window;
use crate::Space;
use papaya::Equivalent;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use weir_diagnostic::units::Calendar;

/// A give-back is written when nothing so large was held for this long, in nanoseconds.
pub(super) const CALM: i64 = 50_000_000;
/// What is leased ahead: this part of the limit. So much of it a crash can cost.
const SLICES: u64 = 512;
/// And no more than this part of what is left: near its end a limit is not held up by what nobody uses.
const NEAR_END: u64 = 16;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Tokens.
    Tokens,
    /// Billionths of a dollar.
    Money,
}

/// Whose total it is, of what, in which window. The limit is no part of it: a changed limit finds what was spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account<'a> {
    /// Live or shadow.
    pub space: Space,
    /// The stage that meters.
    pub meter: &'a str,
    /// What is counted.
    pub unit: Unit,
    /// Whose it is.
    pub subject: &'a str,
    /// When.
    pub window: Window,
}

/// [`Account`], owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub space: Space,
    pub meter: Box<str>,
    pub unit: Unit,
    pub subject: Box<str>,
    pub window: Window,
}

impl Key {
    pub(super) fn of(account: &Account<'_>) -> Self {
        let Account { space, meter, unit, subject, window } = *account;
        Self { space, meter: meter.into(), unit, subject: subject.into(), window }
    }

    pub(crate) fn as_account(&self) -> Account<'_> {
        let Key { space, meter, unit, subject, window } = self;
        Account { space: *space, meter, unit: *unit, subject, window: *window }
    }

    /// What is counted in which kind of window, as a number that stays.
    pub(crate) fn kind(&self) -> u8 {
        let calendar = match self.window.calendar {
            Calendar::Hour => 0,
            Calendar::Day => 1,
            Calendar::Week => 2,
            Calendar::Month => 3,
            Calendar::Total => 4,
        };
        let unit = match self.unit {
            Unit::Tokens => 0,
            Unit::Money => 1,
        };
        unit << 4 | calendar
    }
}

impl Hash for Account<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.subject.hash(state);
        self.meter.hash(state);
        (self.space, self.unit, self.window.calendar, self.window.number).hash(state);
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_account().hash(state);
    }
}

impl Equivalent<Key> for Account<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        // Two zones may disagree about when the same date ends; it is one window.
        let theirs = key.as_account();
        (self.space, self.unit, self.meter, self.subject)
            == (theirs.space, theirs.unit, theirs.meter, theirs.subject)
            && (self.window.calendar, self.window.number) == (theirs.window.calendar, theirs.window.number)
    }
}

/// One total.
pub(crate) struct Total {
    pub key: Key,
    inner: Mutex<Inner>,
}

/// Everything that is let through is covered: `spent + reserved ≤ lease`, and the lease is on disk. So a crash finds at least
/// what was spent and held.
#[derive(Default)]
pub(super) struct Inner {
    /// Spent through this process since it began.
    pub spent: u64,
    /// Held for requests under way.
    pub reserved: u64,
    /// What stands in the file beyond this process's lease: spent before it began, or by another that shares the file.
    pub others: u64,
    /// How much may be held: it stands in the file as this process's.
    pub lease: u64,
    /// How much of what stands in the file is this process's: the lease, and what is about to be given back.
    pub written: u64,
    /// How much is leased ahead.
    pub slice: u64,
    /// The most that was held lately, and before that.
    peak: u64,
    peak_before: u64,
    peak_since: i64,
    /// The highest threshold that was told, in thousandths of the limit.
    pub told: u64,
    /// Who waits for the lease to reach how much.
    pub waiting: Vec<(u64, Arc<Outcome>)>,
    /// What others had spent when a shared store lost it.
    pub lost: u64,
    /// The number of the last write that came to a store that numbers them.
    pub acknowledged: u64,
    /// When it was last read from the store, in nanoseconds since 1970 UTC.
    pub read_at: i64,
    /// Among those to be written at once, in time, or again.
    pub is_urgent: bool,
    pub is_lazy: bool,
    pub is_failed: bool,
    /// It has left the map; look again.
    pub is_gone: bool,
}

impl Total {
    pub(super) fn new(key: Key) -> Self {
        Self { key, inner: Mutex::default() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// What this process spent and holds.
    pub(super) fn held(&self) -> u64 {
        self.spent.saturating_add(self.reserved)
    }

    /// What is spent for good.
    pub(super) fn settled(&self) -> u64 {
        self.others.saturating_add(self.spent)
    }

    /// Takes an amount if it fits under the limit, on top of what a shadow finds live.
    pub(super) fn take(&mut self, amount: u64, limit: u64, live: u64, now: i64) -> bool {
        let after = self.others.saturating_add(self.held()).saturating_add(live).saturating_add(amount);
        if after > limit {
            return false;
        }
        self.reserved = self.reserved.saturating_add(amount);
        self.slice = (limit / SLICES).min((limit - after) / NEAR_END).max(1);
        self.look(now);
        true
    }

    /// Turns what was held into what was spent.
    pub(super) fn settle(&mut self, reserved: u64, actual: u64, now: i64) {
        self.look(now);
        self.reserved = self.reserved.saturating_sub(reserved);
        self.spent = self.spent.saturating_add(actual);
        self.look(now);
    }

    /// Notes how much is held.
    fn look(&mut self, now: i64) {
        let held = self.held();
        // A clock that was set back begins anew.
        if !(0..CALM).contains(&now.saturating_sub(self.peak_since)) {
            self.peak_before = std::mem::replace(&mut self.peak, held);
            self.peak_since = now;
        }
        self.peak = self.peak.max(held);
    }

    /// Forgets a peak that is over: nothing happened for a while.
    pub(super) fn calm(&mut self) {
        let held = self.held();
        self.peak_before = std::mem::replace(&mut self.peak, held);
    }

    /// How much is to be leased now.
    pub(super) fn goal(&self) -> u64 {
        self.held().max(self.peak).max(self.peak_before).saturating_add(self.slice)
    }

    /// Whether the lease is used up, or nearly.
    pub(super) fn is_short(&self) -> bool {
        self.held().saturating_add(self.slice / 2) > self.lease
    }

    /// Whether much is leased that nobody holds.
    pub(super) fn is_loose(&self) -> bool {
        self.lease > self.held().saturating_add(self.slice)
    }
}
