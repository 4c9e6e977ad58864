//! Tokens taken before a call and settled after it.

use super::cell::{Cell, Rate, grains};
use super::shared::{Leased, Shared};
use super::{Taken, Turn, Word};
use crate::promise::Promise;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// An amount taken before the true one is known. Settle it once it is; dropped without, it counts as spent.
pub struct Reservation {
    of: Of,
    reserved: u64,
    taken: Taken,
    settled: bool,
}

/// Where it counts.
enum Of {
    /// In this process.
    Own { cell: Arc<Cell>, limit: u64, window: Duration },
    /// In the store that gateways share.
    Shared { shared: Arc<Shared>, cell: Arc<Leased>, waits: Option<Arc<Promise<Word>>> },
}

impl Reservation {
    pub(super) fn new(cell: Arc<Cell>, reserved: u64, limit: u64, window: Duration, taken: Taken) -> Self {
        Self { of: Of::Own { cell, limit, window }, reserved, taken, settled: false }
    }

    pub(super) fn shared(shared: Arc<Shared>, cell: Arc<Leased>, reserved: u64, turn: Turn) -> Self {
        let (taken, waits) = match turn {
            Turn::Now(taken) => (taken, None),
            Turn::Waits(word) => {
                let unknown = Taken {
                    allowed: false,
                    remaining: 0,
                    reset_after: Duration::ZERO,
                    retry_after: Some(Duration::ZERO),
                };
                (unknown, Some(word))
            }
        };
        Self { of: Of::Shared { shared, cell, waits }, reserved, taken, settled: false }
    }

    /// The amount taken.
    pub fn reserved(&self) -> u64 {
        self.reserved
    }

    /// What was left when it was taken.
    pub fn taken(&self) -> Taken {
        self.taken
    }

    /// Whether others have to be asked first: then the request may go on only after [`word`](Self::word).
    pub fn is_pending(&self) -> bool {
        matches!(self.of, Of::Shared { waits: Some(_), .. })
    }

    /// Waits for what the store says. What it refuses is not reserved.
    pub async fn word(&mut self) -> Word {
        let Of::Shared { waits, .. } = &mut self.of else { return Word::Granted(self.taken) };
        let Some(promise) = waits.clone() else { return Word::Granted(self.taken) };
        let word = promise.wait().await;
        *waits = None;
        match &word {
            Word::Granted(taken) => self.taken = *taken,
            Word::Refused(taken) => {
                self.taken = *taken;
                self.settled = true;
            }
            Word::Failed(_) => {}
        }
        word
    }

    /// Gives back what was not used, or charges what was used beyond it, past the limit if need be. Only the first call
    /// counts. What nobody has answered yet counts as spent.
    pub fn settle(&mut self, actual: u64, now: Duration) {
        if std::mem::replace(&mut self.settled, true) || actual == self.reserved {
            return;
        }
        let (more, less) = (actual.saturating_sub(self.reserved), self.reserved.saturating_sub(actual));
        match &self.of {
            Of::Own { cell, limit, window } => {
                let rate = Rate::new(*limit, *window, now);
                // The sweep leaves alone what is held here, so it is not dead.
                let _ = cell.update(rate, |level| {
                    Some(level.saturating_add(grains(more)).saturating_sub(grains(less)))
                });
            }
            Of::Shared { shared, cell, waits } => {
                if more > 0 {
                    shared.charge(cell, more, now);
                }
                if less > 0 && waits.is_none() {
                    shared.refund(cell, less, now);
                }
            }
        }
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation").field("reserved", &self.reserved).field("taken", &self.taken).finish()
    }
}
