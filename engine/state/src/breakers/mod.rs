//! Breakers: targets that fail are left alone for a while, then tried with one request.
//!
//! Keyed by target, never by plan, with settings at each call: a new revision finds breakers as the old one left them.

#[cfg(test)]
mod tests;

use crate::nanos;
use ahash::RandomState;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerSettings {
    /// Opens after so many failures in a row; 0: never by this.
    pub consecutive: u32,
    /// Opens at this rate of failures; `None`: never by this.
    pub rate: Option<FailureRate>,
    /// How long it stays open before one request may try; also how long that one may take before another may.
    pub cool_down: Duration,
}

impl Default for BreakerSettings {
    /// Five failures in a row, or half of at least 20 in 10 s; 15 s of rest.
    fn default() -> Self {
        Self { consecutive: 5, rate: Some(FailureRate::default()), cool_down: Duration::from_secs(15) }
    }
}

/// A share of failures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FailureRate {
    /// The share, from 0 to 1, at which it opens.
    pub share: f64,
    /// The least number of attempts in the window that the share is taken of.
    pub attempts: u32,
    /// Attempts are counted in windows of this length, one after the other.
    pub window: Duration,
}

impl Default for FailureRate {
    fn default() -> Self {
        Self { share: 0.5, attempts: 20, window: Duration::from_secs(10) }
    }
}

/// Whether a target may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// It may.
    Closed,
    /// It may, as the one request that finds out whether the target is well again.
    Probe,
    /// It may not before so long.
    Open {
        /// When to ask again.
        retry_after: Duration,
    },
}

impl Permit {
    /// Whether it may be tried.
    pub fn allows(self) -> bool {
        !matches!(self, Permit::Open { .. })
    }
}

/// The breakers of a process, one per target. Clients make up names under a model that is a pattern: once there are many
/// breakers, those that nobody holds are dropped.
pub struct Breakers {
    targets: papaya::HashMap<Box<str>, Arc<Breaker>, RandomState>,
    /// How many there must be before the next sweep.
    sweep_at: AtomicUsize,
}

/// Breakers before they are swept at all.
const SWEEP_FROM: usize = 4096;

impl Breakers {
    /// None yet.
    pub fn new() -> Self {
        Self {
            targets: papaya::HashMap::with_hasher(RandomState::new()),
            sweep_at: AtomicUsize::new(SWEEP_FROM),
        }
    }

    /// The breaker of a target (`provider/model`), made at first use. Plans look it up once and keep it.
    pub fn target(&self, target: &str) -> Arc<Breaker> {
        let targets = self.targets.pin();
        if let Some(breaker) = targets.get(target) {
            return Arc::clone(breaker);
        }
        if targets.len() >= self.sweep_at.load(Ordering::Relaxed) {
            targets.retain(|_, breaker| Arc::strong_count(breaker) > 1);
            self.sweep_at.store((targets.len() * 2).max(SWEEP_FROM), Ordering::Relaxed);
        }
        Arc::clone(targets.get_or_insert_with(target.into(), Arc::default))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// The targets that may not be tried now, with how long still.
    pub fn open(&self, now: Duration) -> Vec<(String, Duration)> {
        let targets = self.targets.pin();
        let mut open: Vec<_> = targets
            .iter()
            .filter_map(|(target, breaker)| Some((target.to_string(), breaker.rest(now)?)))
            .collect();
        open.sort();
        open
    }
}

impl Default for Breakers {
    fn default() -> Self {
        Self::new()
    }
}

/// The breaker of one target. All times in nanoseconds; 0: not.
#[derive(Debug, Default)]
pub struct Breaker {
    /// Failures since the last success.
    failures: AtomicU32,
    /// Open until then; stays set until a success closes it.
    open_until: AtomicU64,
    /// The target asked to be left alone until then.
    cool_until: AtomicU64,
    /// The window's number (24 bits), its attempts (20) and failures (20).
    window: AtomicU64,
}

const COUNT: u64 = (1 << 20) - 1;
const NUMBER: u64 = (1 << 24) - 1;

impl Breaker {
    /// Whether the target may be tried. A [`Permit::Probe`] is handed to one asker per cool-down: who gets it must try, and
    /// record what came of it.
    pub fn allows(&self, settings: &BreakerSettings, now: Duration) -> Permit {
        // Looked at once: who finds the door closed by the winner of the probe must not take that for a door to be tried.
        let until = self.open_until.load(Ordering::Acquire);
        if let Some(retry_after) = self.rest_of(until, now) {
            return Permit::Open { retry_after };
        }
        if until == 0 {
            return Permit::Closed;
        }
        // One wins the probe, and closes the door behind it for as long as it may take.
        let next = nanos(now.saturating_add(settings.cool_down)).max(1);
        match self.open_until.compare_exchange(until, next, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Permit::Probe,
            Err(0) => Permit::Closed,
            Err(_) => Permit::Open { retry_after: settings.cool_down },
        }
    }

    /// Records an attempt that the target answered.
    pub fn succeeded(&self, settings: &BreakerSettings, now: Duration) {
        self.failures.store(0, Ordering::Relaxed);
        if self.open_until.load(Ordering::Acquire) != 0 {
            self.window.store(0, Ordering::Relaxed);
            self.open_until.store(0, Ordering::Release);
        }
        if let Some(rate) = &settings.rate {
            self.count(rate, false, now);
        }
    }

    /// Records an attempt that failed by the target's fault.
    pub fn failed(&self, settings: &BreakerSettings, now: Duration) {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let too_many = settings.consecutive > 0 && failures >= settings.consecutive;
        let too_often = settings.rate.as_ref().is_some_and(|rate| self.count(rate, true, now));
        if too_many || too_often || self.open_until.load(Ordering::Acquire) != 0 {
            let until = nanos(now.saturating_add(settings.cool_down)).max(1);
            self.open_until.fetch_max(until, Ordering::AcqRel);
        }
    }

    /// Leaves the target alone for as long as it asked.
    pub fn cool(&self, retry_after: Duration, now: Duration) {
        self.cool_until.fetch_max(nanos(now.saturating_add(retry_after)), Ordering::AcqRel);
    }

    /// How long it may not be tried still; `None` if it may.
    fn rest(&self, now: Duration) -> Option<Duration> {
        self.rest_of(self.open_until.load(Ordering::Acquire), now)
    }

    fn rest_of(&self, open_until: u64, now: Duration) -> Option<Duration> {
        let until = open_until.max(self.cool_until.load(Ordering::Acquire));
        until.checked_sub(nanos(now)).filter(|rest| *rest > 0).map(Duration::from_nanos)
    }

    /// Counts an attempt; returns whether the rate of failures is reached.
    fn count(&self, rate: &FailureRate, failed: bool, now: Duration) -> bool {
        // Never 0, so that an empty word belongs to no window.
        let number = (nanos(now) / nanos(rate.window).max(1) + 1) & NUMBER;
        let mut before = self.window.load(Ordering::Relaxed);
        loop {
            let (attempts, failures) =
                if before >> 40 == number { ((before >> 20) & COUNT, before & COUNT) } else { (0, 0) };
            let attempts = (attempts + 1).min(COUNT);
            let failures = (failures + u64::from(failed)).min(attempts);
            let after = number << 40 | attempts << 20 | failures;
            match self.window.compare_exchange_weak(before, after, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => {
                    #[allow(clippy::cast_precision_loss, reason = "counts have 20 bits")]
                    let share = failures as f64 / attempts as f64;
                    return attempts >= u64::from(rate.attempts) && share >= rate.share;
                }
                Err(found) => before = found,
            }
        }
    }
}
