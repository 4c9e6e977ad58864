//! Permits: so many requests at once for each subject, the rest in a line.
//!
//! A permit is given back when it is dropped. Whoever waits is served in order; nobody who comes later overtakes the line. A
//! changed limit finds the permits that are out.

use crate::Space;
use ahash::AHashMap;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

#[cfg(test)]
mod tests;

const SHARDS: usize = 64;

/// The permits that are out, and the lines for more. Locked for a few instructions.
pub struct Permits([Mutex<AHashMap<Key, Line>>; SHARDS]);

/// Whose permits these are: a digest of the meter's name and the subject, so that one is found without allocating.
type Key = [u8; 32];

/// One subject's.
#[derive(Default)]
struct Line {
    out: u64,
    waiting: VecDeque<Arc<Seat>>,
}

/// A place in a line.
struct Seat {
    limit: u64,
    state: Mutex<SeatState>,
}

#[derive(Default)]
struct SeatState {
    /// The permit is this one's: it counts among those that are out.
    is_served: bool,
    waker: Option<Waker>,
}

/// What came of asking for a permit.
pub enum Admission {
    /// Here it is.
    Granted(Admitted),
    /// It comes in its turn.
    Queued(Queued),
    /// None is free, and the line is full.
    Refused,
}

/// One request's permit; given back when it is dropped.
pub struct Admitted {
    permits: Arc<Permits>,
    key: Key,
}

/// A wait for a permit; dropped, it leaves the line.
pub struct Queued {
    permits: Arc<Permits>,
    key: Key,
    seat: Arc<Seat>,
    is_over: bool,
}

impl Permits {
    /// None are out.
    pub fn new() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }

    /// Asks for one of `limit` permits of a subject; where none is free, for a place in a line of at most `queue`.
    pub fn ask(
        self: &Arc<Self>,
        space: Space,
        meter: &str,
        subject: &str,
        limit: u64,
        queue: usize,
    ) -> Admission {
        let key = key(space, meter, subject);
        let mut shard = self.shard(&key);
        let line = shard.entry(key).or_default();
        if line.waiting.is_empty() && line.out < limit {
            line.out += 1;
            return Admission::Granted(Admitted { permits: Arc::clone(self), key });
        }
        if line.waiting.len() >= queue {
            if line.is_idle() {
                shard.remove(&key);
            }
            return Admission::Refused;
        }
        let seat = Arc::new(Seat { limit, state: Mutex::default() });
        line.waiting.push_back(Arc::clone(&seat));
        Admission::Queued(Queued { permits: Arc::clone(self), key, seat, is_over: false })
    }

    /// How many permits of a subject are out.
    pub fn out(&self, space: Space, meter: &str, subject: &str) -> u64 {
        let key = key(space, meter, subject);
        self.shard(&key).get(&key).map_or(0, |line| line.out)
    }

    /// How many subjects have permits or wait for some.
    pub fn subjects(&self) -> usize {
        self.0.iter().map(|shard| lock(shard).len()).sum()
    }

    fn give_back(&self, key: &Key) {
        let mut shard = self.shard(key);
        let Some(line) = shard.get_mut(key) else { return };
        line.out = line.out.saturating_sub(1);
        let served = line.serve();
        if line.is_idle() {
            shard.remove(key);
        }
        drop(shard);
        served.into_iter().for_each(Waker::wake);
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, AHashMap<Key, Line>> {
        let ([first, ..], [zeroth, ..]) = (key, &self.0);
        lock(self.0.get(usize::from(*first) % SHARDS).unwrap_or(zeroth))
    }
}

impl Default for Permits {
    fn default() -> Self {
        Self::new()
    }
}

impl Line {
    fn is_idle(&self) -> bool {
        self.out == 0 && self.waiting.is_empty()
    }

    /// Hands what is free to those in front. Returns whom to wake.
    fn serve(&mut self) -> Vec<Waker> {
        let mut served = Vec::new();
        while self.waiting.front().is_some_and(|seat| self.out < seat.limit) {
            let Some(seat) = self.waiting.pop_front() else { break };
            self.out += 1;
            let mut state = lock(&seat.state);
            state.is_served = true;
            served.extend(state.waker.take());
        }
        served
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.permits.give_back(&self.key);
    }
}

impl Future for Queued {
    type Output = Admitted;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Admitted> {
        {
            let mut state = lock(&self.seat.state);
            if !state.is_served {
                state.waker = Some(context.waker().clone());
                return Poll::Pending;
            }
        }
        self.is_over = true;
        Poll::Ready(Admitted { permits: Arc::clone(&self.permits), key: self.key })
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let mut shard = self.permits.shard(&self.key);
        let Some(line) = shard.get_mut(&self.key) else { return };
        let before = line.waiting.len();
        line.waiting.retain(|seat| !Arc::ptr_eq(seat, &self.seat));
        if line.waiting.len() == before {
            // It was served and did not come for it.
            line.out = line.out.saturating_sub(1);
        }
        // Behind one who leaves there may be one who asks for less.
        let served = line.serve();
        if line.is_idle() {
            shard.remove(&self.key);
        }
        drop(shard);
        served.into_iter().for_each(Waker::wake);
    }
}

fn key(space: Space, meter: &str, subject: &str) -> Key {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[u8::from(space == Space::Shadow)]);
    hasher.update(&(meter.len() as u64).to_le_bytes());
    hasher.update(meter.as_bytes());
    hasher.update(subject.as_bytes());
    *hasher.finalize().as_bytes()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
