//! A bounded queue that hands out batches.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Jobs that wait for a thread. Any number of threads may push and take.
pub(crate) struct Queue<J> {
    state: Mutex<State<J>>,
    changed: Condvar,
    limit: usize,
}

struct State<J> {
    jobs: VecDeque<J>,
    closed: bool,
}

impl<J> Queue<J> {
    /// An empty queue that holds at most `limit` jobs.
    pub(crate) fn new(limit: usize) -> Self {
        Queue {
            state: Mutex::new(State { jobs: VecDeque::new(), closed: false }),
            changed: Condvar::new(),
            limit,
        }
    }

    /// Adds a job, or says at once how many wait already.
    pub(crate) fn push(&self, job: J) -> Result<(), usize> {
        let mut state = self.lock();
        if state.closed || state.jobs.len() >= self.limit {
            return Err(state.jobs.len());
        }
        state.jobs.push_back(job);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Waits for a job and takes it with those behind it: `most` at most, and those that come within `linger` of the
    /// first being taken. None: the queue was closed and is empty.
    pub(crate) fn take(&self, most: usize, linger: Duration) -> Option<Vec<J>> {
        let mut state = self.lock();
        while state.jobs.is_empty() {
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if !linger.is_zero() {
            let end = now() + linger;
            while state.jobs.len() < most && !state.closed {
                let left = end.saturating_duration_since(now());
                if left.is_zero() {
                    break;
                }
                (state, _) = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
            }
        }
        let count = state.jobs.len().min(most);
        let batch = state.jobs.drain(..count).collect();
        if !state.jobs.is_empty() {
            self.changed.notify_one();
        }
        Some(batch)
    }

    /// Ends the threads that take, once what waits is done.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "a batch closes by the wall clock of its thread; no result depends on it"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_at_once_when_full_and_says_how_many_wait() {
        let queue = Queue::new(2);
        assert_eq!(queue.push(1), Ok(()));
        assert_eq!(queue.push(2), Ok(()));
        assert_eq!(queue.push(3), Err(2));
        assert_eq!(queue.take(16, Duration::ZERO), Some(vec![1, 2]));
        assert_eq!(queue.push(4), Ok(()));
    }

    #[test]
    fn a_batch_is_closed_by_size_and_leaves_the_rest() {
        let queue = Queue::new(10);
        (0..5).for_each(|job| queue.push(job).unwrap());
        assert_eq!(queue.take(3, Duration::from_secs(3600)), Some(vec![0, 1, 2]));
        assert_eq!(queue.take(3, Duration::ZERO), Some(vec![3, 4]));
    }

    #[test]
    fn a_closed_queue_hands_out_what_waits_and_then_ends_its_thread() {
        let queue = Queue::new(10);
        queue.push(1).unwrap();
        queue.close();
        assert_eq!(queue.push(2), Err(1));
        assert_eq!(queue.take(1, Duration::ZERO), Some(vec![1]));
        assert_eq!(queue.take(1, Duration::ZERO), None);
    }
}
