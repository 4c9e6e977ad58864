//! Durations counted without a lock.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds in nanoseconds: from 10 µs, so that stages show, to 5 minutes, so that long replies do.
const BOUNDS: [u64; 20] = [
    10_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    60_000_000_000,
    300_000_000_000,
];

/// Durations by bucket. Recording is two atomic additions.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanos: AtomicU64,
}

impl Histogram {
    pub(super) fn record(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let at = BOUNDS.partition_point(|bound| *bound < nanos);
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(1, Relaxed);
        }
        self.nanos.fetch_add(nanos, Relaxed);
    }

    /// Sum in seconds, count, and the buckets with their upper bounds in seconds; not yet added up.
    pub(super) fn read(&self) -> (f64, u64, Vec<(f64, u64)>) {
        let counts: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect();
        #[allow(clippy::cast_precision_loss, reason = "seconds to the nanosecond up to 100 days")]
        let seconds = |nanos: u64| nanos as f64 / 1e9;
        let bounds = BOUNDS.iter().map(|bound| seconds(*bound)).chain([f64::INFINITY]);
        let count = counts.iter().sum();
        (seconds(self.nanos.load(Relaxed)), count, bounds.zip(counts).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_the_first_bucket_that_holds_it() {
        let histogram = Histogram::default();
        for nanos in [0, 10_000, 10_001, 400_000_000_000] {
            histogram.record(Duration::from_nanos(nanos));
        }
        let (sum, count, buckets) = histogram.read();
        assert_eq!(count, 4);
        assert!((sum - 400.000_020_001).abs() < 1e-6);
        assert_eq!(buckets.iter().map(|(_, n)| *n).take(3).collect::<Vec<_>>(), [2, 1, 0]);
        assert_eq!(buckets.last().unwrap(), &(f64::INFINITY, 1));
    }
}
