//! What a request holds in its totals until its true amount is known.

use super::total::Total;
use super::{Outcome, Totals};
use crate::StateError;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Why a reservation was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortfall {
    /// Which of the limits asked for, by its place.
    pub limit: usize,
    /// What is left of it, requests under way counted as their worst.
    pub left: u64,
    /// Whether it would fit if the requests under way spent nothing: then it may soon.
    pub fits_later: bool,
}

/// An amount held in several totals. Settle it once the true one is known; dropped without, it counts as spent.
pub struct Holding {
    pub(super) totals: Arc<Totals>,
    pub(super) parts: Vec<Part>,
    pub(super) amount: u64,
    pub(super) waits: Vec<Arc<Outcome>>,
    pub(super) now: i64,
}

/// The part in one total.
pub(super) struct Part {
    pub total: Arc<Total>,
    pub limit: u64,
}

/// A threshold that was crossed for the first time in its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crossed {
    /// Which of the limits, by its place.
    pub limit: usize,
    /// The threshold, in thousandths of the limit.
    pub threshold: u64,
    /// What is spent by now.
    pub spent: u64,
}

impl Holding {
    /// The amount held.
    pub fn amount(&self) -> u64 {
        self.amount
    }

    /// Waits until it is on disk, or in the shared store, that so much is held; `None` if it is already, or totals are kept in this
    /// process alone. Only then may the request go on.
    pub fn secured(&mut self) -> Option<Secured> {
        let waits = std::mem::take(&mut self.waits);
        (!waits.is_empty()).then_some(Secured(waits))
    }

    /// What does not fit after all, once [`secured`](Self::secured): others that share the file or the store were first.
    pub fn shortfall(&self) -> Option<Shortfall> {
        self.parts.iter().enumerate().find_map(|(limit, part)| {
            let inner = part.total.lock();
            let taken = inner.others.saturating_add(inner.held());
            (taken > part.limit).then(|| Shortfall {
                limit,
                left: part.limit.saturating_sub(taken.saturating_sub(self.amount)),
                fits_later: inner.settled().saturating_add(self.amount) <= part.limit,
            })
        })
    }

    /// Books what was spent and gives the rest back; more than was held goes past the limit. Tells which of the `thresholds`
    /// (in thousandths of the limit, rising) were crossed for the first time. `now`: nanoseconds since 1970 UTC.
    pub fn settle(mut self, actual: u64, thresholds: &[u64], now: i64) -> Vec<Crossed> {
        self.now = now;
        let parts = std::mem::take(&mut self.parts);
        let mut crossed = Vec::new();
        for (limit, part) in parts.iter().enumerate() {
            let mut inner = part.total.lock();
            inner.settle(self.amount, actual, now);
            let spent = inner.settled();
            let share = u128::from(spent) * 1_000 / u128::from(part.limit.max(1));
            for threshold in thresholds.iter().copied().filter(|threshold| *threshold > inner.told) {
                if share >= u128::from(threshold) {
                    crossed.push(Crossed { limit, threshold, spent });
                }
            }
            if let Some(last) = crossed.iter().rev().find(|crossed| crossed.limit == limit) {
                inner.told = last.threshold;
            }
            drop(inner);
            self.totals.changed(&part.total, now);
        }
        crossed
    }

    /// Gives all of it back: nothing was done.
    pub fn release(self) {
        let now = self.now;
        drop(self.settle(0, &[], now));
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        for part in std::mem::take(&mut self.parts) {
            part.total.lock().settle(self.amount, self.amount, self.now);
        }
    }
}

/// A wait until what is held stands where totals are kept.
pub struct Secured(pub(super) Vec<Arc<Outcome>>);

impl Future for Secured {
    type Output = Result<(), StateError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        while let Some(outcome) = self.0.last() {
            match outcome.poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) => drop(self.0.pop()),
            }
        }
        Poll::Ready(Ok(()))
    }
}
