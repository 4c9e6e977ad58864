//! Time as an argument. Rooms take `now` and never ask; this is the one file that does.
#![allow(clippy::disallowed_methods, reason = "the one place that asks the system for the time")]

use futures::future::BoxFuture;
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where time comes from: the system's when serving, a made-up one in tests.
pub trait Clock: Send + Sync {
    /// Time since a fixed point of this process; never goes back.
    fn now(&self) -> Duration;

    /// The time that the processor has spent on this thread; never goes back. On a busy machine less passes than of [`Clock::now`].
    fn worked(&self) -> Duration {
        self.now()
    }

    /// Wall-clock time in nanoseconds since 1970 UTC.
    fn unix_nanos(&self) -> i64;

    /// Done after `time`.
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()>;
}

/// The system's clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock that counts from now.
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn worked(&self) -> Duration {
        let worked = clock_gettime(ClockId::ThreadCPUTime);
        Duration::try_from(worked).unwrap_or_else(|_| self.now())
    }

    fn unix_nanos(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(time))
    }
}
