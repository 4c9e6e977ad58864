//! The work that one evaluation may do, counted and not timed, so that the same request always ends the same way.

use crate::fault::Trouble;
use std::cell::Cell;

/// Units of work of one evaluation. A unit is about 20 ns: one node of a tree, or a stretch of text.
pub(crate) const WORK: u64 = 50_000;

/// Bytes of the longest text that an expression may build.
pub(crate) const LONGEST_TEXT: usize = 4 << 20;

/// What is left of the work.
#[derive(Debug)]
pub(crate) struct Budget {
    spent: Cell<u64>,
}

impl Budget {
    pub(crate) fn new() -> Self {
        Self { spent: Cell::new(0) }
    }

    /// Books work without asking whether it is too much; the next [`Budget::spend`] will.
    pub(crate) fn book(&self, units: u64) {
        self.spent.set(self.spent.get().saturating_add(units));
    }

    /// Books work; an error once it is too much.
    pub(crate) fn spend(&self, units: u64) -> Result<(), Trouble> {
        self.book(units);
        if self.spent.get() > WORK { Err(Trouble::costly()) } else { Ok(()) }
    }

    /// Books a pass over a text that costs one unit for each `stride` bytes.
    pub(crate) fn scan(&self, bytes: usize, stride: usize) -> Result<(), Trouble> {
        self.spend((bytes / stride.max(1)) as u64)
    }

    #[cfg(test)]
    pub(crate) fn spent(&self) -> u64 {
        self.spent.get()
    }
}
