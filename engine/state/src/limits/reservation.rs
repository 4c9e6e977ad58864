//! Tokens taken before a call and settled after it.

use super::Taken;
use super::cell::{Cell, Rate, grains};
use std::sync::Arc;
use std::time::Duration;

/// An amount taken before the true one is known. Settle it once it is; dropped without, it counts as spent.
#[derive(Debug)]
pub struct Reservation {
    cell: Arc<Cell>,
    reserved: u64,
    limit: u64,
    window: Duration,
    taken: Taken,
    settled: bool,
}

impl Reservation {
    pub(super) fn new(cell: Arc<Cell>, reserved: u64, limit: u64, window: Duration, taken: Taken) -> Self {
        Self { cell, reserved, limit, window, taken, settled: false }
    }

    /// The amount taken.
    pub fn reserved(&self) -> u64 {
        self.reserved
    }

    /// What was left when it was taken.
    pub fn taken(&self) -> Taken {
        self.taken
    }

    /// Gives back what was not used, or charges what was used beyond it, past the limit if need be. Only the first call
    /// counts.
    pub fn settle(&mut self, actual: u64, now: Duration) {
        if std::mem::replace(&mut self.settled, true) || actual == self.reserved {
            return;
        }
        let rate = Rate::new(self.limit, self.window, now);
        let (more, less) = (actual.saturating_sub(self.reserved), self.reserved.saturating_sub(actual));
        // The sweep leaves alone what is held here, so it is not dead.
        let _ = self
            .cell
            .update(rate, |level| Some(level.saturating_add(grains(more)).saturating_sub(grains(less))));
    }
}
