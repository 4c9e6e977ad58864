//! How long a connection is waited for.
//!
//! A gateway waits a few times in each request and nearly never in vain. Its timer stays with the connection and goes into the
//! runtime's wheel only when it must go off earlier than it would; when it goes off too early, it is set anew.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// The timer of one connection.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    timer: Option<Pin<Box<Sleep>>>,
}

/// It took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimedOut;

impl Patience {
    /// What a future comes to, if it keeps nobody waiting for longer than `limit`, nor past `end`. One that is done at once
    /// costs no look at the clock.
    pub(crate) async fn within<T>(
        &mut self,
        limit: Duration,
        end: Option<Instant>,
        future: impl Future<Output = T>,
    ) -> Result<T, TimedOut> {
        let mut future = pin!(future);
        let mut until = None;
        poll_fn(|cx| {
            if let Poll::Ready(done) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            let until = *until.get_or_insert_with(|| {
                let until = Instant::now() + limit;
                end.map_or(until, |end| end.min(until))
            });
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
            if timer.deadline() > until {
                timer.as_mut().reset(until);
            }
            loop {
                ready!(timer.as_mut().poll(cx));
                if timer.deadline() >= until {
                    return Poll::Ready(Err(TimedOut));
                }
                timer.as_mut().reset(until);
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};
    use tokio::time::sleep;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn ends_when_its_time_has_come_whatever_the_times_before() {
        let began = Instant::now();
        let mut patience = Patience::default();
        for (limit, took) in [(5, 5), (1, 6), (9, 15), (2, 17), (2, 19)] {
            let waited = patience.within(SECOND * limit, None, pending::<()>()).await;
            assert_eq!((waited, began.elapsed().as_secs()), (Err(TimedOut), took));
        }
        let end = Some(Instant::now() + SECOND);
        assert_eq!(patience.within(SECOND * 60, end, pending::<()>()).await, Err(TimedOut));
        assert_eq!(began.elapsed().as_secs(), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_set_for_an_earlier_wait_does_not_end_a_later_one() {
        let mut patience = Patience::default();
        for _ in 0..10 {
            assert_eq!(patience.within(SECOND * 4, None, sleep(SECOND * 3)).await, Ok(()));
        }
        assert_eq!(patience.within(Duration::ZERO, Some(Instant::now()), ready(7)).await, Ok(7));
    }
}
