//! Single flight: of equal misses at once, one goes and the others wait.

use super::ExactCache;
use ahash::AHashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

const SHARDS: usize = 16;

/// The flights under way. Locked only on a miss, for a few instructions.
pub(super) struct Flights<E>([Mutex<ByKey<E>>; SHARDS]);

type ByKey<E> = AHashMap<[u8; 32], Arc<Flight<E>>>;

/// One flight.
pub(super) struct Flight<E>(Mutex<Progress<E>>);

struct Progress<E> {
    /// Once landed: what was stored, if anything was.
    landed: Option<Option<Arc<E>>>,
    waiting: Vec<(u64, Waker)>,
    next: u64,
}

/// The part that one takes in a flight.
pub(super) enum Join<E> {
    /// It has just landed.
    Landed(Arc<E>),
    /// One leads it.
    Lead(Arc<Flight<E>>),
    /// One waits for it.
    Wait(Waiting<E>),
}

impl<E> Flights<E> {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| Mutex::new(AHashMap::new())))
    }

    pub(super) fn join(&self, key: &[u8; 32], stored: impl FnOnce() -> Option<Arc<E>>) -> Join<E> {
        let mut flights = self.shard(key);
        if let Some(flight) = flights.get(key) {
            return Join::Wait(Waiting { flight: Arc::clone(flight), seat: None });
        }
        if let Some(entry) = stored() {
            return Join::Landed(entry);
        }
        let progress = Progress { landed: None, waiting: Vec::new(), next: 0 };
        let flight = Arc::new(Flight(Mutex::new(progress)));
        flights.insert(*key, Arc::clone(&flight));
        Join::Lead(flight)
    }

    pub(super) fn land(&self, key: &[u8; 32], flight: &Flight<E>, entry: Option<Arc<E>>) {
        self.shard(key).remove(key);
        let waiting = {
            let mut progress = flight.progress();
            progress.landed = Some(entry);
            std::mem::take(&mut progress.waiting)
        };
        for (_, waker) in waiting {
            waker.wake();
        }
    }

    fn shard(&self, key: &[u8; 32]) -> MutexGuard<'_, ByKey<E>> {
        let [first, ..] = key;
        let [zeroth, ..] = &self.0;
        let shard = self.0.get(usize::from(*first) % SHARDS).unwrap_or(zeroth);
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E> Flight<E> {
    fn progress(&self) -> MutexGuard<'_, Progress<E>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The turn to find an answer out. Dropped without [`store`](Self::store), it wakes those who wait, empty-handed.
pub struct LeadGuard<E: Send + Sync + 'static> {
    cache: ExactCache<E>,
    key: [u8; 32],
    flight: Arc<Flight<E>>,
    found: Option<Arc<E>>,
}

impl<E: Send + Sync + 'static> LeadGuard<E> {
    pub(super) fn new(cache: ExactCache<E>, key: [u8; 32], flight: Arc<Flight<E>>) -> Self {
        Self { cache, key, flight, found: None }
    }

    /// Stores the answer for `ttl` and hands it to those who wait. `weight` is its size in bytes.
    pub fn store(mut self, partition: [u8; 32], entry: Arc<E>, weight: usize, ttl: Duration, now: Duration) {
        self.cache.store(self.key, partition, Arc::clone(&entry), weight, now.saturating_add(ttl));
        self.found = Some(entry);
    }
}

impl<E: Send + Sync + 'static> Drop for LeadGuard<E> {
    fn drop(&mut self) {
        self.cache.land(&self.key, &self.flight, self.found.take());
    }
}

/// A wait for somebody else's answer: ready with it, or with `None` when the leader stored nothing. Then one may claim anew,
/// or go alone: where nothing can be stored (errors, refusals), claiming anew would send the waiters one after the other.
pub struct Waiting<E> {
    flight: Arc<Flight<E>>,
    seat: Option<u64>,
}

impl<E> Future for Waiting<E> {
    type Output = Option<Arc<E>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let flight = Arc::clone(&self.flight);
        let mut progress = flight.progress();
        if let Some(landed) = &progress.landed {
            return Poll::Ready(landed.clone());
        }
        let seat = self.seat;
        if let Some((_, waker)) = progress.waiting.iter_mut().find(|(id, _)| Some(*id) == seat) {
            waker.clone_from(context.waker());
        } else {
            let id = progress.next;
            progress.next += 1;
            progress.waiting.push((id, context.waker().clone()));
            self.seat = Some(id);
        }
        Poll::Pending
    }
}

impl<E> Drop for Waiting<E> {
    fn drop(&mut self) {
        if let Some(seat) = self.seat {
            self.flight.progress().waiting.retain(|(id, _)| *id != seat);
        }
    }
}
