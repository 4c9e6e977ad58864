//! What the proxy counts of itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that goes up, or up and down.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    fn sub(&self, n: u64) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the proxy counts of itself.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Connections open now.
    pub open: Count,
    /// Connections taken since the start.
    pub connections: Count,
    /// Connections refused because too many were open.
    pub refused_connections: Count,
    /// Requests under way now.
    pub in_flight: Count,
    /// Requests whose head was read since the start.
    pub requests: Count,
    /// Requests whose client left before their end.
    pub abandoned: Count,
}

/// A connection that is open.
pub(crate) struct Open {
    here: Arc<Count>,
    counters: Arc<Counters>,
}

impl Open {
    /// Counts a connection; `None` if that would be one too many of this listener's.
    pub(crate) fn within(here: &Arc<Count>, limit: u64, counters: &Arc<Counters>) -> Option<Self> {
        let before = here.0.fetch_add(1, Ordering::Relaxed);
        if before >= limit {
            here.sub(1);
            return None;
        }
        counters.open.add(1);
        counters.connections.add(1);
        Some(Self { here: Arc::clone(here), counters: Arc::clone(counters) })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.here.sub(1);
        self.counters.open.sub(1);
    }
}

/// A request that is under way.
pub(crate) struct InFlight(Arc<Counters>);

impl InFlight {
    pub(crate) fn begin(counters: &Arc<Counters>) -> Self {
        counters.in_flight.add(1);
        counters.requests.add(1);
        Self(Arc::clone(counters))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_too_many_is_not_counted() {
        let (here, counters) = (Arc::new(Count::default()), Arc::new(Counters::default()));
        let first = Open::within(&here, 1, &counters);
        assert!(first.is_some());
        assert!(Open::within(&here, 1, &counters).is_none());
        drop(first);
        assert!(Open::within(&here, 1, &counters).is_some());
        assert_eq!(counters.open.get(), 0);
        assert_eq!(counters.connections.get(), 2);
    }
}
