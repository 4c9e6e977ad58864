//! Totals on disk: one thread writes, many totals in one commit.

use super::total::{CALM, Key, Total};
use super::{KEPT, Outcome, Waiting};
use crate::StateError;
use crate::database::{self, Opening, words};
use redb::{Database, ReadableTable, TableDefinition};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Meter, subject, what in which kind of window, which one of its kind: what is spent and leased, when the window ends (seconds
/// since 1970), the highest threshold that was told.
const TOTALS: TableDefinition<'_, RowKey<'_>, Row> = TableDefinition::new("totals");
type RowKey<'a> = (&'a str, &'a str, u8, i64);
type Row = (u64, i64, u64);
/// The end of a window that has none.
const NEVER: i64 = i64::MAX;

/// The thread that writes, and its orders.
pub(super) struct Writer {
    path: PathBuf,
    orders: Arc<Orders>,
    thread: Mutex<Option<JoinHandle<Result<(), String>>>>,
}

#[derive(Default)]
struct Orders {
    queue: Mutex<Queue>,
    bell: Condvar,
}

#[derive(Default)]
struct Queue {
    /// To be written at once.
    urgent: Vec<Arc<Total>>,
    /// To be given back when they are calm.
    lazy: Vec<Arc<Total>>,
    /// The latest time that was told, and that of the last give-backs; nanoseconds since 1970 UTC.
    now: i64,
    calmed: i64,
    /// No more orders are taken.
    is_over: bool,
    /// What is left to be done: `None`, to write these to the last cent, or nothing.
    end: Option<Vec<Arc<Total>>>,
}

/// One total in a commit.
struct Item {
    total: Arc<Total>,
    goal: u64,
    others: u64,
    told: u64,
    waiting: Waiting,
}

impl Writer {
    pub(super) fn open(path: &Path) -> Result<Self, StateError> {
        let failed = |reason: String| StateError::File { path: path.to_owned(), reason };
        let database = database(path, true).map_err(failed)?;
        let orders = Arc::new(Orders::default());
        let (mine, place) = (Arc::clone(&orders), path.to_owned());
        let thread = std::thread::Builder::new()
            .name("weir-state".to_owned())
            .spawn(move || Hand { path: place, database: Some(database), pruned: 0 }.run(&mine))
            .map_err(|error| failed(format!("no thread to write it: {error}")))?;
        Ok(Self { path: path.to_owned(), orders, thread: Mutex::new(Some(thread)) })
    }

    /// Sees to it that what a total holds is on disk. `None`: it is.
    pub(super) fn cover(&self, total: &Arc<Total>, now: i64) -> Option<Arc<Outcome>> {
        let (outcome, orders) = {
            let mut inner = total.lock();
            if !inner.is_short() {
                return None;
            }
            let mut outcome = None;
            if inner.held() > inner.lease {
                let wait = Arc::new(Outcome::default());
                let mark = inner.held();
                inner.waiting.push((mark, Arc::clone(&wait)));
                outcome = Some(wait);
            }
            (outcome, !std::mem::replace(&mut inner.is_urgent, true))
        };
        let mut queue = self.orders.queue();
        if queue.is_over {
            drop(queue);
            total.lock().waiting.clear();
            if let Some(outcome) = &outcome {
                outcome.come(Err(self.failed("it was closed")));
            }
            return outcome;
        }
        queue.now = queue.now.max(now);
        if orders {
            queue.urgent.push(Arc::clone(total));
            self.orders.bell.notify_one();
        }
        outcome
    }

    /// A total was settled.
    pub(super) fn changed(&self, total: &Arc<Total>, now: i64) {
        let is_urgent = {
            let mut inner = total.lock();
            if inner.held() > inner.lease {
                if std::mem::replace(&mut inner.is_urgent, true) {
                    return;
                }
                true
            } else if inner.is_loose() && !std::mem::replace(&mut inner.is_lazy, true) {
                false
            } else {
                return;
            }
        };
        let mut queue = self.orders.queue();
        queue.now = queue.now.max(now);
        match is_urgent {
            true => queue.urgent.push(Arc::clone(total)),
            false => queue.lazy.push(Arc::clone(total)),
        }
        self.orders.bell.notify_one();
    }

    pub(super) fn close(&self, totals: Vec<Arc<Total>>) -> Result<(), StateError> {
        match self.end(totals) {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(reason))) => Err(self.failed(&reason)),
            Some(Err(_)) => Err(self.failed("the thread that writes it broke off")),
        }
    }

    /// Ends the thread; these are the last that it writes.
    fn end(&self, totals: Vec<Arc<Total>>) -> Option<std::thread::Result<Result<(), String>>> {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let mut queue = self.orders.queue();
        queue.is_over = true;
        queue.end = Some(totals);
        drop(queue);
        self.orders.bell.notify_one();
        Some(thread.join())
    }

    fn failed(&self, reason: &str) -> StateError {
        StateError::File { path: self.path.clone(), reason: reason.to_owned() }
    }
}

impl Drop for Writer {
    /// As if the process had died: nothing is given back.
    fn drop(&mut self) {
        drop(self.end(Vec::new()));
    }
}

impl Orders {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be written next; whether it is the last.
    fn next(&self) -> (Vec<Arc<Total>>, i64, bool) {
        let mut queue = self.queue();
        loop {
            if let Some(last) = queue.end.take() {
                return (last, queue.now, true);
            }
            let is_calm = queue.now.saturating_sub(queue.calmed) >= CALM;
            if !queue.urgent.is_empty() {
                let mut batch = std::mem::take(&mut queue.urgent);
                if is_calm {
                    batch.append(&mut queue.calmed());
                }
                return (batch, queue.now, false);
            }
            if queue.lazy.is_empty() {
                queue = self.bell.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let calm = Duration::from_nanos(CALM.unsigned_abs());
            let (after, waited) = self.bell.wait_timeout(queue, calm).unwrap_or_else(PoisonError::into_inner);
            queue = after;
            if waited.timed_out() && queue.end.is_none() && queue.urgent.is_empty() {
                return (queue.calmed(), queue.now, false);
            }
        }
    }
}

impl Queue {
    /// The totals of which something may be given back. Those that are not calm yet stay for the next time.
    fn calmed(&mut self) -> Vec<Arc<Total>> {
        self.calmed = self.now;
        let mut due = Vec::new();
        self.lazy.retain(|total| {
            let mut inner = total.lock();
            inner.calm();
            if inner.goal() < inner.lease {
                due.push(Arc::clone(total));
            }
            let calm = inner.goal() <= inner.held().saturating_add(inner.slice);
            inner.is_lazy = !calm;
            inner.is_lazy
        });
        due
    }
}

/// Who writes.
struct Hand {
    path: PathBuf,
    /// None after a failure: then it is opened anew.
    database: Option<Database>,
    /// When windows that are over were last taken out, in seconds since 1970.
    pruned: i64,
}

impl Hand {
    fn run(mut self, orders: &Orders) -> Result<(), String> {
        loop {
            let (mut batch, now, is_last) = orders.next();
            batch.sort_unstable_by_key(|total| Arc::as_ptr(total).addr());
            batch.dedup_by(|a, b| Arc::ptr_eq(a, b));
            let outcome = if batch.is_empty() { Ok(()) } else { self.write(batch, now, is_last) };
            if is_last {
                let closed = StateError::File { path: self.path.clone(), reason: "it was closed".to_owned() };
                let left = std::mem::take(&mut orders.queue().urgent);
                for total in left {
                    let waiting = std::mem::take(&mut total.lock().waiting);
                    waiting.into_iter().for_each(|(_, outcome)| outcome.come(Err(closed.clone())));
                }
                return outcome;
            }
        }
    }

    /// Writes these totals in one commit and tells who waits.
    fn write(&mut self, batch: Vec<Arc<Total>>, now: i64, is_last: bool) -> Result<(), String> {
        let mut items: Vec<Item> = batch.into_iter().map(|total| item(total, is_last)).collect();
        let database = match self.database.take() {
            Some(database) => Ok(database),
            None => database(&self.path, false),
        };
        let outcome = database.and_then(|database| {
            let prunes = now / 1_000_000_000 - self.pruned >= KEPT;
            let before = prunes.then_some(now / 1_000_000_000);
            // A defect of the file's is no reason to take requests down with it.
            let committed = catch_unwind(AssertUnwindSafe(|| commit(&database, &mut items, before)));
            committed.unwrap_or_else(|_| Err("writing it broke off".to_owned()))?;
            self.pruned = before.unwrap_or(self.pruned);
            self.database = Some(database);
            Ok(())
        });
        for Item { total, goal, others, told, waiting } in items {
            {
                let mut inner = total.lock();
                if outcome.is_ok() {
                    inner.lease = goal;
                    inner.written = goal;
                    inner.others = others;
                    inner.told = inner.told.max(told);
                } else {
                    // Whether it was written or not: what is not known counts as spent.
                    inner.written = inner.written.min(goal);
                }
            }
            for (_, wait) in waiting {
                wait.come(match &outcome {
                    Ok(()) => Ok(()),
                    Err(reason) => Err(StateError::File { path: self.path.clone(), reason: reason.clone() }),
                });
            }
        }
        outcome
    }
}

/// What a total wants written. A lease that shrinks does so before it is written, one that grows after.
fn item(total: Arc<Total>, is_last: bool) -> Item {
    let mut inner = total.lock();
    inner.is_urgent = false;
    let goal = if is_last { inner.held() } else { inner.goal() };
    inner.lease = inner.lease.min(goal);
    let (told, waiting) = (inner.told, std::mem::take(&mut inner.waiting));
    drop(inner);
    Item { total, goal, others: 0, told, waiting }
}

fn commit(database: &Database, items: &mut [Item], prune_before: Option<i64>) -> Result<(), String> {
    let transaction = database.begin_write().map_err(words)?;
    {
        let mut table = transaction.open_table(TOTALS).map_err(words)?;
        for item in items {
            let Key { meter, subject, window, .. } = &item.total.key;
            let key = (&**meter, &**subject, item.total.key.kind(), window.number);
            let (stands, told) = match table.get(key).map_err(words)? {
                Some(row) => {
                    let (stands, _, told) = row.value();
                    (stands, told)
                }
                None => (0, 0),
            };
            item.others = stands.saturating_sub(item.total.lock().written);
            item.told = item.told.max(told);
            let row = (item.others.saturating_add(item.goal), window.ends.unwrap_or(NEVER), item.told);
            table.insert(key, row).map_err(words)?;
        }
        if let Some(now) = prune_before {
            table.retain(|_, (_, ends, _)| ends.saturating_add(KEPT) >= now).map_err(words)?;
        }
    }
    transaction.commit().map_err(words)
}

/// Opens the file, every page of it checked.
fn database(path: &Path, may_create: bool) -> Result<Database, String> {
    let opening = Opening {
        kind: "format",
        format: 1,
        may_create,
        checks_all: true,
        cache: 32 << 20,
        empty: "it is empty, so what was spent is lost; remove it to begin anew",
    };
    database::open(path, opening, |transaction| transaction.open_table(TOTALS).map(drop).map_err(words))
}
