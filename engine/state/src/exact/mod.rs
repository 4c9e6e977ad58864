//! The exact cache: what was answered to the very same question, bounded in bytes.
//!
//! `moka` bounds the bytes and forgets what was used longest ago; ages are ours, because its clock is the system's. Equal
//! misses at once become one: the first leads, the others wait for what it stores.

mod flight;
#[cfg(test)]
mod tests;

use crate::nanos;
use ahash::RandomState;
use flight::{Flight, Flights, Join};
pub use flight::{LeadGuard, Waiting};
use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A cache by exact key. Cloning shares it.
pub struct ExactCache<E>(Arc<Inner<E>>);

struct Inner<E> {
    entries: moka::sync::Cache<[u8; 32], Arc<Stored<E>>, RandomState>,
    flights: Flights<E>,
    hits: AtomicU64,
    misses: AtomicU64,
    stored: AtomicU64,
}

/// An entry with what we must know of it.
struct Stored<E> {
    entry: Arc<E>,
    partition: [u8; 32],
    weight: u32,
    expires: u64,
}

/// What to do about a question.
pub enum Claim<E: Send + Sync + 'static> {
    /// Here is the answer.
    Hit(Arc<E>),
    /// Nobody knows: find out, and store it.
    Lead(LeadGuard<E>),
    /// Somebody is finding out. The wait has no end of its own: the caller bounds it.
    Wait(Waiting<E>),
}

/// How a cache did since the process began, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Look-ups that found an entry.
    pub hits: u64,
    /// Look-ups that found none.
    pub misses: u64,
    /// Entries stored.
    pub stored: u64,
    /// Entries held.
    pub entries: u64,
    /// Bytes held.
    pub bytes: u64,
}

/// What an entry costs beside its own weight.
const OVERHEAD: usize = 256;

impl<E> Clone for ExactCache<E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<E: Send + Sync + 'static> ExactCache<E> {
    /// An empty cache that holds up to `bytes`.
    pub fn new(bytes: usize) -> Self {
        let entries = moka::sync::Cache::builder()
            .max_capacity(bytes as u64)
            .weigher(|_: &[u8; 32], stored: &Arc<Stored<E>>| stored.weight)
            .eviction_policy(EvictionPolicy::lru())
            .build_with_hasher(RandomState::new());
        Self(Arc::new(Inner {
            entries,
            flights: Flights::new(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            stored: AtomicU64::new(0),
        }))
    }

    /// The entry of this key, if it is there and not too old.
    pub fn get(&self, key: &[u8; 32], now: Duration) -> Option<Arc<E>> {
        let found = self.0.fresh(key, now);
        let count = if found.is_some() { &self.0.hits } else { &self.0.misses };
        count.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// The entry of this key, or whose turn it is to find out.
    pub fn claim(&self, key: &[u8; 32], now: Duration) -> Claim<E> {
        if let Some(entry) = self.get(key, now) {
            return Claim::Hit(entry);
        }
        // Looked at again under the lock: the leader may have stored and landed since.
        match self.0.flights.join(key, || self.0.fresh(key, now)) {
            Join::Landed(entry) => Claim::Hit(entry),
            Join::Lead(flight) => Claim::Lead(LeadGuard::new(self.clone(), *key, flight)),
            Join::Wait(waiting) => Claim::Wait(waiting),
        }
    }

    /// Stores an entry until `expires`. `weight` is its own size in bytes; an entry larger than the cache is not kept.
    pub fn store(&self, key: [u8; 32], partition: [u8; 32], entry: Arc<E>, weight: usize, expires: Duration) {
        let weight = u32::try_from(weight.saturating_add(OVERHEAD)).unwrap_or(u32::MAX);
        self.0.entries.insert(key, Arc::new(Stored { entry, partition, weight, expires: nanos(expires) }));
        self.0.stored.fetch_add(1, Ordering::Relaxed);
    }

    /// Forgets the entry of this key. Returns whether there was one.
    pub fn remove(&self, key: &[u8; 32]) -> bool {
        self.0.entries.remove(key).is_some()
    }

    /// Forgets all. Returns how many entries there were.
    pub fn purge(&self) -> u64 {
        self.remove_where(|_| true)
    }

    /// Forgets the entries of one partition. Returns how many there were. Reads the whole cache.
    pub fn purge_partition(&self, partition: &[u8; 32]) -> u64 {
        self.remove_where(|stored| stored.partition == *partition)
    }

    /// How it did, and what it holds.
    pub fn stats(&self) -> CacheStats {
        self.0.entries.run_pending_tasks();
        CacheStats {
            hits: self.0.hits.load(Ordering::Relaxed),
            misses: self.0.misses.load(Ordering::Relaxed),
            stored: self.0.stored.load(Ordering::Relaxed),
            entries: self.0.entries.entry_count(),
            bytes: self.0.entries.weighted_size(),
        }
    }

    fn remove_where(&self, doomed: impl Fn(&Stored<E>) -> bool) -> u64 {
        let entries = &self.0.entries;
        let keys: Vec<[u8; 32]> =
            entries.iter().filter(|(_, stored)| doomed(stored)).map(|(key, _)| *key).collect();
        keys.iter().filter(|key| entries.remove(*key).is_some()).count() as u64
    }

    fn land(&self, key: &[u8; 32], flight: &Flight<E>, entry: Option<Arc<E>>) {
        self.0.flights.land(key, flight, entry);
    }
}

impl<E: Send + Sync + 'static> Inner<E> {
    fn fresh(&self, key: &[u8; 32], now: Duration) -> Option<Arc<E>> {
        let now = nanos(now);
        let stored = self.entries.get(key)?;
        if now < stored.expires {
            return Some(Arc::clone(&stored.entry));
        }
        // Only if it is still the old one: another may have been stored meanwhile.
        self.entries.entry_by_ref(key).and_compute_with(|found| match found {
            Some(found) if found.value().expires <= now => Op::Remove,
            _ => Op::Nop,
        });
        None
    }
}
