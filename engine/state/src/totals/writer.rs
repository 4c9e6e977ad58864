//! Totals beyond this process: one thread writes them to a store, many in one commit.

use super::total::{CALM, Total};
use super::{KEPT, Outcome, Waiting};
use crate::StateError;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

/// Where totals are kept beyond this process.
pub(crate) trait Store: Send + 'static {
    /// Writes rows, all or none, and fills in what the store knows of them. `now`: seconds since 1970 UTC. `prunes`: windows that
    /// ended a day ago may go.
    ///
    /// # Errors
    /// It cannot be written; whether it was is then not known.
    fn commit(&mut self, rows: &mut [Row], now: i64, prunes: bool) -> Result<(), StateError>;

    /// Whether others write to it at any time, so that what was read is soon old.
    fn is_shared(&self) -> bool;

    /// An error, as this store tells it.
    fn error(&self, reason: &str) -> StateError;
}

/// The thread that writes, and its orders.
pub(super) struct Writer {
    orders: Arc<Orders>,
    is_shared: bool,
    closed: StateError,
    thread: Mutex<Option<JoinHandle<Result<(), StateError>>>>,
}

/// After a failure it is tried again this often.
const AGAIN: Duration = Duration::from_millis(200);
/// A shared total that was read so long ago, in nanoseconds, is read again before a request is refused for it.
const FRESH: i64 = 50_000_000;

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
    /// Could not be written, and are tried again.
    again: Vec<Arc<Total>>,
    /// The latest time that was told, and that of the last give-backs; nanoseconds since 1970 UTC.
    now: i64,
    calmed: i64,
    /// No more orders are taken.
    is_over: bool,
    /// What is left to be done: `None`, to write these to the last cent, or nothing.
    end: Option<Vec<Arc<Total>>>,
}

/// One total in a commit.
pub(crate) struct Row {
    pub total: Arc<Total>,
    /// What shall stand there as this process's, and what does as far as is known.
    pub goal: u64,
    pub written: u64,
    /// The number of this process's last write that is known to have come there.
    pub acknowledged: u64,
    /// Whether this process writes no more.
    pub is_last: bool,
    /// The highest threshold that was told; the store's, where that is higher.
    pub told: u64,
    /// By the store: what stands there of others.
    pub others: u64,
    /// By a store that numbers writes: the number of this one.
    pub number: u64,
    /// By the store: what was written before is gone.
    pub is_lost: bool,
    waiting: Waiting,
}

impl Writer {
    pub(super) fn open(store: Box<dyn Store>) -> Result<Self, StateError> {
        let (is_shared, closed) = (store.is_shared(), store.error("it was closed"));
        let orders = Arc::new(Orders::default());
        let mine = Arc::clone(&orders);
        let broken = store.error("no thread to write it");
        let thread = std::thread::Builder::new()
            .name("weir-state".to_owned())
            .spawn(move || Hand { store, pruned: 0, known: Vec::new(), prune_at: KNOWN_FROM }.run(&mine))
            .map_err(|_| broken)?;
        Ok(Self { orders, is_shared, closed, thread: Mutex::new(Some(thread)) })
    }

    /// Sees to it that what a total holds is in the store. `None`: it is.
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
                outcome.come(Err(self.closed.clone()));
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

    /// Reads a shared total again, if what is known of it is old.
    pub(super) fn look_again(&self, total: &Arc<Total>, now: i64) -> Option<Arc<Outcome>> {
        if !self.is_shared {
            return None;
        }
        let (outcome, orders) = {
            let mut inner = total.lock();
            if (0..FRESH).contains(&now.saturating_sub(inner.read_at)) {
                return None;
            }
            let outcome = Arc::new(Outcome::default());
            inner.waiting.push((0, Arc::clone(&outcome)));
            (outcome, !std::mem::replace(&mut inner.is_urgent, true))
        };
        let mut queue = self.orders.queue();
        if queue.is_over {
            drop(queue);
            total.lock().waiting.clear();
            return None;
        }
        queue.now = queue.now.max(now);
        if orders {
            queue.urgent.push(Arc::clone(total));
            self.orders.bell.notify_one();
        }
        Some(outcome)
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
            None => Ok(()),
            Some(Ok(outcome)) => outcome,
            Some(Err(_)) => Err(self.closed.clone()),
        }
    }

    /// Ends the thread; these are the last that it writes.
    fn end(&self, totals: Vec<Arc<Total>>) -> Option<std::thread::Result<Result<(), StateError>>> {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let mut queue = self.orders.queue();
        queue.is_over = true;
        queue.again.clear();
        queue.end = Some(totals);
        drop(queue);
        self.orders.bell.notify_one();
        Some(thread.join())
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
            if !queue.again.is_empty() && queue.lazy.is_empty() {
                let (after, waited) =
                    self.bell.wait_timeout(queue, AGAIN).unwrap_or_else(PoisonError::into_inner);
                queue = after;
                if waited.timed_out() && queue.end.is_none() && queue.urgent.is_empty() {
                    return (queue.again(), queue.now, false);
                }
                continue;
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
    /// What could not be written.
    fn again(&mut self) -> Vec<Arc<Total>> {
        let again = std::mem::take(&mut self.again);
        again.iter().for_each(|total| total.lock().is_failed = false);
        again
    }

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

/// Totals that were written are counted from so many on whether they are still there.
const KNOWN_FROM: usize = 4096;

/// Who writes.
struct Hand {
    store: Box<dyn Store>,
    /// When windows that are over were last taken out, in seconds since 1970.
    pruned: i64,
    /// What a shared store was given, to give it again should it lose it.
    known: Vec<Weak<Total>>,
    prune_at: usize,
}

impl Hand {
    fn run(mut self, orders: &Orders) -> Result<(), StateError> {
        loop {
            let (mut batch, now, is_last) = orders.next();
            batch.sort_unstable_by_key(|total| Arc::as_ptr(total).addr());
            batch.dedup_by(|a, b| Arc::ptr_eq(a, b));
            let outcome = match batch.is_empty() {
                true => Ok(()),
                false => self.write(batch, now, is_last, orders),
            };
            if is_last {
                let closed = self.store.error("it was closed");
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
    fn write(
        &mut self,
        batch: Vec<Arc<Total>>,
        now: i64,
        is_last: bool,
        orders: &Orders,
    ) -> Result<(), StateError> {
        let mut rows: Vec<Row> = batch.into_iter().map(|total| row(total, is_last)).collect();
        let seconds = now / 1_000_000_000;
        let prunes = seconds - self.pruned >= KEPT;
        let outcome = self.store.commit(&mut rows, seconds, prunes);
        if outcome.is_ok() && prunes {
            self.pruned = seconds;
        }
        let mut is_lost = false;
        for row in rows {
            let is_new = self.settle(&row, &outcome, now);
            if outcome.is_err() && !is_last {
                let is_noted = std::mem::replace(&mut row.total.lock().is_failed, true);
                if !is_noted {
                    orders.queue().again.push(Arc::clone(&row.total));
                }
            } else if is_new && self.store.is_shared() {
                self.known.push(Arc::downgrade(&row.total));
            }
            is_lost |= row.is_lost;
            row.waiting.into_iter().for_each(|(_, wait)| wait.come(outcome.clone()));
        }
        if self.known.len() > self.prune_at {
            self.known.retain(|total| total.strong_count() > 0);
            self.prune_at = (self.known.len() * 2).max(KNOWN_FROM);
        }
        if is_lost && !is_last {
            tracing::error!("the shared store lost what was spent: what this process spent is put back");
            let known = self.known.iter().filter_map(Weak::upgrade);
            let lost = known.filter(|total| !std::mem::replace(&mut total.lock().is_urgent, true));
            orders.queue().urgent.extend(lost.collect::<Vec<_>>());
        }
        outcome
    }

    /// Notes what came of a row. Returns whether it was its first.
    fn settle(&self, row: &Row, outcome: &Result<(), StateError>, now: i64) -> bool {
        let mut inner = row.total.lock();
        if outcome.is_err() {
            // Whether it was written or not: what is not known counts as spent.
            inner.written = inner.written.min(row.goal);
            return false;
        }
        let is_new = inner.read_at == 0;
        inner.lease = row.goal;
        inner.written = row.goal;
        inner.acknowledged = row.number;
        inner.read_at = now;
        if row.is_lost {
            // What others spent is not there any more, and was spent nevertheless.
            inner.lost = inner.lost.max(inner.others);
        }
        inner.others = row.others.max(inner.lost);
        inner.told = inner.told.max(row.told);
        is_new
    }
}

/// What a total wants written. A lease that shrinks does so before it is written, one that grows after.
fn row(total: Arc<Total>, is_last: bool) -> Row {
    let mut inner = total.lock();
    inner.is_urgent = false;
    let goal = if is_last { inner.held() } else { inner.goal() };
    inner.lease = inner.lease.min(goal);
    let (written, acknowledged, told) = (inner.written, inner.acknowledged, inner.told);
    let waiting = std::mem::take(&mut inner.waiting);
    drop(inner);
    Row { total, goal, written, acknowledged, is_last, told, others: 0, number: 0, is_lost: false, waiting }
}
