//! When a burst of events is over.

use std::time::Duration;

/// How long nothing must happen for a burst to count as over.
const QUIET: Duration = Duration::from_millis(30);
/// How long a burst may keep a reload waiting.
const LONGEST: Duration = Duration::from_millis(400);

/// One burst: from its first event to the moment nothing more comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Burst {
    first: Duration,
    last: Duration,
}

impl Burst {
    /// A burst that begins now.
    pub(crate) fn begin(now: Duration) -> Self {
        Self { first: now, last: now }
    }

    /// Another event.
    pub(crate) fn event(&mut self, now: Duration) {
        self.last = now;
    }

    /// How long to wait for another event; `None`: it is over.
    pub(crate) fn wait(self, now: Duration) -> Option<Duration> {
        let until = (self.last + QUIET).min(self.first + LONGEST);
        until.checked_sub(now).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn a_burst_ends_when_nothing_more_comes() {
        let mut burst = Burst::begin(ms(100));
        assert_eq!(burst.wait(ms(100)), Some(ms(30)));
        burst.event(ms(120));
        assert_eq!(burst.wait(ms(130)), Some(ms(20)));
        assert_eq!(burst.wait(ms(150)), None);
    }

    #[test]
    fn a_burst_without_end_does_not_wait_without_end() {
        let mut burst = Burst::begin(ms(0));
        for n in 0..100 {
            burst.event(ms(n * 10));
        }
        assert_eq!(burst.wait(ms(395)), Some(ms(5)));
        assert_eq!(burst.wait(ms(400)), None);
    }
}
