//! Rounds: what is asked of a shared store goes in turns, each with all that came while the last one was under way.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// What waits for the next round.
pub(crate) struct Rounds<T> {
    due: Mutex<Vec<Arc<T>>>,
    bell: Notify,
    /// The latest time that was told, in nanoseconds on the gateway's clock.
    now: AtomicU64,
}

impl<T> Default for Rounds<T> {
    fn default() -> Self {
        Self { due: Mutex::default(), bell: Notify::new(), now: AtomicU64::new(0) }
    }
}

impl<T> Rounds<T> {
    /// Adds one to the next round. Who adds sees to it that none is added twice.
    pub(crate) fn add(&self, one: Arc<T>) {
        self.due.lock().unwrap_or_else(PoisonError::into_inner).push(one);
        self.bell.notify_one();
    }

    /// All that wait; at least one.
    pub(crate) async fn next(&self) -> Vec<Arc<T>> {
        loop {
            let due = std::mem::take(&mut *self.due.lock().unwrap_or_else(PoisonError::into_inner));
            if !due.is_empty() {
                return due;
            }
            self.bell.notified().await;
        }
    }

    /// Tells the time.
    pub(crate) fn tell(&self, now: Duration) {
        self.now.fetch_max(crate::nanos(now), Ordering::Relaxed);
    }

    /// The latest time that was told.
    pub(crate) fn now(&self) -> Duration {
        Duration::from_nanos(self.now.load(Ordering::Relaxed))
    }
}
