//! The semantic store: what was asked in other words. Vectors in partitions, bounded in bytes over all of them.
//!
//! A partition is what must agree exactly (tenant, model, earlier turns …); inside it, entries are found by the cosine of
//! their embeddings. What was used longest ago goes first; what is too old is not found, and goes with the next insert.
//! A search holds a partition's lock for reading; only an insert or an eviction in that same partition makes it wait, for
//! microseconds. Marking an entry as used is one atomic store.

mod books;
mod partition;
#[cfg(test)]
mod tests;
mod vector;

use crate::nanos;
use ahash::RandomState;
use books::Books;
use partition::Partition;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;
use vector::Code;

/// Vectors with what they stand for.
pub struct SemanticStore<E> {
    partitions: papaya::HashMap<[u8; 32], Arc<Room<E>>, RandomState>,
    books: Mutex<Books<E>>,
    /// Counts uses; an entry remembers the last one of its own.
    uses: AtomicU64,
    stored: AtomicU64,
}

type Room<E> = RwLock<Partition<E>>;

/// What to store.
pub struct SemanticEntry<E> {
    /// What it stands for.
    pub payload: Arc<E>,
    /// The payload's size in bytes.
    pub weight: usize,
    /// How long it may be found.
    pub ttl: Duration,
}

/// What a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SemanticStats {
    /// Entries held.
    pub entries: u64,
    /// Bytes held: payloads, vectors and what it takes to find them.
    pub bytes: u64,
    /// Partitions held.
    pub partitions: u64,
    /// Entries stored since the process began.
    pub stored: u64,
}

/// An entry with what we must know of it.
struct Item<E> {
    id: u64,
    payload: Arc<E>,
    partition: [u8; 32],
    bytes: usize,
    expires: u64,
    used: AtomicU64,
    /// Evicted or purged, perhaps before it was in its partition.
    gone: AtomicBool,
    /// Where it stands in its partition. Written under that one's lock.
    list: AtomicU32,
    place: AtomicU32,
}

/// What an entry costs beside its payload and vector.
const OVERHEAD: usize = 320;

impl<E: Send + Sync + 'static> SemanticStore<E> {
    /// An empty store that holds up to `bytes`.
    pub fn new(bytes: usize) -> Self {
        Self {
            partitions: papaya::HashMap::with_hasher(RandomState::new()),
            books: Mutex::new(Books::new(bytes)),
            uses: AtomicU64::new(0),
            stored: AtomicU64::new(0),
        }
    }

    /// The up to `k` nearest entries of a partition by cosine (from -1 to 1), nearest first. Vectors need not be normalised;
    /// one of another length than the partition's finds nothing. Exact up to some thousand entries; beyond that only the
    /// nearest lists are read (see `benches/semantic.rs` for recall and time).
    pub fn search(&self, partition: &[u8; 32], query: &[f32], k: usize, now: Duration) -> Vec<(f32, Arc<E>)> {
        let Some(room) = self.room(partition) else { return Vec::new() };
        let query = Code::of(query);
        let inside = read(&room);
        inside
            .search(&query, k, nanos(now))
            .into_iter()
            .map(|(similarity, item)| {
                item.used.store(self.uses.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                (similarity, Arc::clone(&item.payload))
            })
            .collect()
    }

    /// Stores an entry. Returns `false` if it does not fit: larger than the store, or a vector of another length than the
    /// partition's, or of length 0.
    pub fn insert(
        &self,
        partition: [u8; 32],
        vector: &[f32],
        entry: SemanticEntry<E>,
        now: Duration,
    ) -> bool {
        let code = Code::of(vector);
        if code.is_empty() || self.room(&partition).is_some_and(|room| !read(&room).takes(&code)) {
            return false;
        }
        let bytes = entry.weight.saturating_add(code.len() + OVERHEAD);
        let used = self.uses.fetch_add(1, Ordering::Relaxed) + 1;
        let expires = nanos(now.saturating_add(entry.ttl));
        let booked = self.books().enter(nanos(now), bytes, |id| Item {
            id,
            payload: entry.payload,
            partition,
            bytes,
            expires,
            used: AtomicU64::new(used),
            gone: AtomicBool::new(false),
            list: AtomicU32::new(0),
            place: AtomicU32::new(0),
        });
        let Some((item, evicted)) = booked else { return false };
        for victim in &evicted {
            self.take_out(victim);
        }
        self.stored.fetch_add(1, Ordering::Relaxed);
        loop {
            let room = Arc::clone(self.partitions.pin().get_or_insert_with(partition, Arc::default));
            let mut inside = write(&room);
            if item.gone.load(Ordering::Acquire) {
                return true; // Others needed the room already.
            }
            if !inside.is_closed() {
                inside.insert(&item, &code);
                return true;
            }
            // Emptied and closed meanwhile; whoever closed it removes it.
            drop(inside);
            self.forget_room(&partition, &room);
        }
    }

    /// Forgets all. Returns how many entries there were.
    pub fn purge(&self) -> u64 {
        let items = self.books().clear();
        for item in &items {
            item.gone.store(true, Ordering::Release);
        }
        let partitions = self.partitions.pin();
        for (key, room) in &partitions {
            write(room).close();
            self.forget_room(key, room);
        }
        items.len() as u64
    }

    /// Forgets the entries that are meant. Returns how many there were. Reads the whole store.
    pub fn purge_where(&self, meant: impl Fn(&E) -> bool) -> u64 {
        let partitions: Vec<[u8; 32]> = self.partitions.pin().keys().copied().collect();
        partitions.iter().map(|partition| self.remove(partition, &meant)).sum()
    }

    /// Forgets the entries of one partition. Returns how many there were.
    pub fn purge_partition(&self, partition: &[u8; 32]) -> u64 {
        let Some(room) = self.room(partition) else { return 0 };
        let items = write(&room).close();
        self.forget_room(partition, &room);
        let mut books = self.books();
        items.iter().filter(|item| books.strike(item)).count() as u64
    }

    /// Forgets the entries of one partition that are meant. Returns how many there were. Reads the whole partition.
    pub fn remove(&self, partition: &[u8; 32], meant: impl Fn(&E) -> bool) -> u64 {
        let Some(room) = self.room(partition) else { return 0 };
        let items = read(&room).all(|item| meant(&item.payload));
        items
            .iter()
            .filter(|item| {
                let was_there = self.books().strike(item);
                self.take_out(item);
                was_there
            })
            .count() as u64
    }

    /// What it holds.
    pub fn stats(&self) -> SemanticStats {
        let (entries, bytes) = self.books().held();
        SemanticStats {
            entries,
            bytes,
            partitions: self.partitions.len() as u64,
            stored: self.stored.load(Ordering::Relaxed),
        }
    }

    fn take_out(&self, item: &Item<E>) {
        item.gone.store(true, Ordering::Release);
        let Some(room) = self.room(&item.partition) else { return };
        let mut inside = write(&room);
        inside.remove(item);
        if inside.is_vacant() {
            inside.close();
            drop(inside);
            self.forget_room(&item.partition, &room);
        }
    }

    fn room(&self, partition: &[u8; 32]) -> Option<Arc<Room<E>>> {
        self.partitions.pin().get(partition).map(Arc::clone)
    }

    fn forget_room(&self, partition: &[u8; 32], room: &Arc<Room<E>>) {
        let _ = self.partitions.pin().remove_if(partition, |_, found| Arc::ptr_eq(found, room));
    }

    fn books(&self) -> MutexGuard<'_, Books<E>> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read<E>(room: &Room<E>) -> RwLockReadGuard<'_, Partition<E>> {
    room.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<E>(room: &Room<E>) -> RwLockWriteGuard<'_, Partition<E>> {
    room.write().unwrap_or_else(PoisonError::into_inner)
}
