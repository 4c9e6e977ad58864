//! The ledger: one row for each attempt that was sent and each answer of a cache, and their sums by the hour.
//!
//! Rows are written behind: a request leaves its row in a queue, without a lock and without waiting, and one thread writes all
//! that came together in one commit, within the grace that the settings name. What a `kill -9` loses is what came in that time.
//! Each row has an id of its own by which it is written once, however often a commit is tried, and what it adds to the sums goes
//! with it in the same commit: the sums of an hour are those of its rows.
//!
//! A place in the queue is taken before an attempt is sent ([`Ledger::place`]): so no row is lost for want of room. Where there
//! is none, since the file could not be written for a while, the request does not go on, or goes on unbooked, as the settings say.
//!
//! The file is one of its own beside the totals': its commits keep no reservation waiting, and it may grow large. Rows lie in the
//! order of time, with what many have in common (names, prices) by number, in about 75 bytes; sums are kept for longer than rows.
//! Several processes may share it.

mod amounts;
mod file;
mod pack;
mod query;
mod read;
mod render;
mod row;
mod series;
#[cfg(test)]
mod tests;

pub use amounts::Amounts;
pub use query::{Filter, Query, rfc3339, unix_time};
pub use read::{Books, Line, Report, Single};
pub use row::{Ending, Row};
pub use series::Dimension;

use crate::StateError;
use file::Writer;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How a ledger is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keeping {
    /// Within how long a row is on disk.
    pub grace: Duration,
    /// How long rows are kept; `None`: for good.
    pub rows: Option<Duration>,
    /// How long the sums of an hour are kept; `None`: for good.
    pub sums: Option<Duration>,
    /// Whether requests go on, unbooked, while there is no room for their rows.
    pub skips: bool,
    /// How many rows may wait to be written.
    pub room: usize,
}

impl Default for Keeping {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Self {
            grace: Duration::from_millis(100),
            rows: Some(90 * DAY),
            sums: None,
            skips: false,
            room: 65_536,
        }
    }
}

/// There is no room for another row, since those before it could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Where rows go; without a file they go nowhere.
#[derive(Default)]
pub struct Ledger(OnceLock<Open>);

struct Open {
    shared: Arc<Shared>,
    queue: Sender<Option<Row>>,
    writer: Writer,
}

/// What the writing thread and those who leave rows share.
struct Shared {
    room: usize,
    skips: bool,
    /// Places that are taken: by rows that wait, and by attempts under way.
    taken: AtomicUsize,
    /// Whether no more rows are awaited.
    is_over: AtomicBool,
    written: AtomicU64,
    lost: AtomicU64,
    failures: AtomicU64,
}

/// What a ledger has done since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerFigures {
    /// Rows on disk.
    pub written: u64,
    /// Rows that are not, and will not be.
    pub lost: u64,
    /// Places taken: rows that wait, and attempts under way.
    pub waiting: u64,
    /// Commits that failed, to be tried again.
    pub failures: u64,
}

impl Ledger {
    /// Where the ledger lies whose totals are kept in this file.
    pub fn beside(state: &Path) -> PathBuf {
        let mut name = state.as_os_str().to_owned();
        name.push(".ledger");
        name.into()
    }

    /// Keeps rows in a file from now on; it is made if there is none. `process` tells this process from others that share it.
    ///
    /// # Errors
    /// The file cannot be used: it is damaged or none of ours. Nothing is done to it.
    pub fn open(&self, path: &Path, keeping: Keeping, process: u32) -> Result<(), StateError> {
        let shared = Arc::new(Shared {
            room: keeping.room,
            skips: keeping.skips,
            taken: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
            written: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        });
        let (queue, rows) = mpsc::channel();
        let writer = Writer::start(path, keeping, process, Arc::clone(&shared), (queue.clone(), rows))?;
        self.0.set(Open { shared, queue, writer }).map_err(|_| StateError::File {
            path: path.to_owned(),
            reason: "the ledger has a file already".to_owned(),
        })
    }

    /// Whether rows are kept.
    pub fn is_kept(&self) -> bool {
        self.0.get().is_some()
    }

    /// A place for a row. `None`: nothing is kept, or the request goes on without.
    ///
    /// # Errors
    /// There is no room.
    pub fn place(&self) -> Result<Option<Place>, Full> {
        let Some(open) = self.0.get() else { return Ok(None) };
        let shared = &open.shared;
        if shared.taken.fetch_add(1, Ordering::Relaxed) < shared.room {
            return Ok(Some(Place { shared: Arc::clone(shared), queue: open.queue.clone() }));
        }
        shared.taken.fetch_sub(1, Ordering::Relaxed);
        if !shared.skips {
            return Err(Full);
        }
        shared.lost.fetch_add(1, Ordering::Relaxed);
        Ok(None)
    }

    /// Counts a row that finds no place and that nothing waits for: an answer of a cache.
    pub fn lose(&self) {
        if let Some(open) = self.0.get() {
            open.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What it has done; `None` if nothing is kept.
    pub fn figures(&self) -> Option<LedgerFigures> {
        let Shared { taken, written, lost, failures, .. } = &*self.0.get()?.shared;
        Some(LedgerFigures {
            written: written.load(Ordering::Relaxed),
            lost: lost.load(Ordering::Relaxed),
            waiting: taken.load(Ordering::Relaxed) as u64,
            failures: failures.load(Ordering::Relaxed),
        })
    }

    /// What lies in the file, for reports; `None` if nothing is kept or the file cannot be reached now.
    pub fn books(&self) -> Option<Books> {
        self.0.get()?.writer.books()
    }

    /// Writes what waits and lets go of the file. Later rows are lost, and counted.
    ///
    /// # Errors
    /// It could not be written; what waited is lost.
    pub fn close(&self) -> Result<(), StateError> {
        let Some(open) = self.0.get() else { return Ok(()) };
        open.shared.is_over.store(true, Ordering::Release);
        open.writer.close()
    }
}

/// A place in the queue for one row. Dropped without one, it is free again.
pub struct Place {
    shared: Arc<Shared>,
    queue: Sender<Option<Row>>,
}

impl Place {
    /// Leaves the row to be written.
    pub fn book(self, row: Row) {
        // The writing thread frees the place once the row is on disk.
        self.shared.taken.fetch_add(1, Ordering::Relaxed);
        if self.queue.send(Some(row)).is_err() {
            self.shared.taken.fetch_sub(1, Ordering::Relaxed);
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.taken.fetch_sub(1, Ordering::Relaxed);
    }
}
