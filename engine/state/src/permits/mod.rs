//! Permits: so many requests at once for each subject, the rest in a line.
//!
//! A permit is given back when it is dropped. Whoever waits is served in order; nobody who comes later overtakes the line. A
//! changed limit finds the permits that are out. Where gateways share the permits, each has a [share](shared) of a subject's.

use crate::{Space, StateError};
use ahash::AHashMap;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

mod shared;
#[cfg(test)]
mod tests;

use shared::Shared;
pub(crate) use shared::{PermitAsk, PermitStore};

const SHARDS: usize = 64;

/// The permits that are out, and the lines for more. Locked for a few instructions.
pub struct Permits {
    lines: [Mutex<AHashMap<Key, Line>>; SHARDS],
    /// Where they are shared with other processes.
    shared: OnceLock<Shared>,
}

/// Whose permits these are: a digest of the meter's name and the subject, so that one is found without allocating.
pub(crate) type Key = [u8; 32];

/// One subject's.
#[derive(Default)]
struct Line {
    out: u64,
    waiting: VecDeque<Arc<Seat>>,
    /// How many may be out in this process, where others share them.
    share: u64,
    /// The limit as it was last asked with.
    limit: u64,
    is_shared: bool,
    /// Among those that the store is asked about next.
    is_due: bool,
    /// Why the store could not be asked; then this process counts for itself.
    failed: Option<StateError>,
}

/// A place in a line.
struct Seat {
    limit: u64,
    /// How many may wait, this one included; with 0 it has its answer once the store has.
    queue: usize,
    state: Mutex<SeatState>,
}

#[derive(Default)]
struct SeatState {
    /// What it is told.
    word: Option<Word>,
    waker: Option<Waker>,
}

enum Word {
    /// The permit is this one's: it counts among those that are out. The store could not be asked, for this reason.
    Served(Option<StateError>),
    /// It is one too many.
    Refused,
}

/// What came of asking for a permit.
pub enum Admission {
    /// Here it is.
    Granted(Admitted),
    /// It comes in its turn, or is refused once others were asked.
    Queued(Queued),
    /// None is free, and the line is full.
    Refused,
}

/// One request's permit; given back when it is dropped.
pub struct Admitted {
    permits: Arc<Permits>,
    key: Key,
    /// Why those who share the permits could not be asked; then it is one of this process's own.
    pub unconfirmed: Option<StateError>,
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
        Self { lines: std::array::from_fn(|_| Mutex::default()), shared: OnceLock::new() }
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
        let is_shared = space == Space::Live && self.shared.get().is_some();
        let mut shard = self.shard(&key);
        let line = shard.entry(key).or_default();
        (line.is_shared, line.limit) = (is_shared, limit);
        if line.waiting.is_empty() && line.out < line.most(limit) && line.failed.is_none() {
            line.out += 1;
            return Admission::Granted(Admitted { permits: Arc::clone(self), key, unconfirmed: None });
        }
        // Where others have permits too, they are asked before anybody is refused.
        let asks = is_shared && line.out < limit;
        if line.waiting.len() >= queue && !asks {
            if line.is_idle() {
                shard.remove(&key);
            }
            return Admission::Refused;
        }
        let seat = Arc::new(Seat { limit, queue, state: Mutex::default() });
        line.waiting.push_back(Arc::clone(&seat));
        let is_due = is_shared && !std::mem::replace(&mut line.is_due, true);
        drop(shard);
        self.ask_store(is_due, key);
        Admission::Queued(Queued { permits: Arc::clone(self), key, seat, is_over: false })
    }

    /// How many permits of a subject are out.
    pub fn out(&self, space: Space, meter: &str, subject: &str) -> u64 {
        let key = key(space, meter, subject);
        self.shard(&key).get(&key).map_or(0, |line| line.out)
    }

    /// How many subjects have permits or wait for some.
    pub fn subjects(&self) -> usize {
        self.lines.iter().map(|shard| lock(shard).len()).sum()
    }

    fn give_back(&self, key: &Key) {
        let mut shard = self.shard(key);
        let Some(line) = shard.get_mut(key) else { return };
        line.out = line.out.saturating_sub(1);
        let served = line.serve();
        let is_due = line.leaves();
        if line.is_idle() {
            shard.remove(key);
        }
        drop(shard);
        served.into_iter().for_each(Waker::wake);
        self.ask_store(is_due, *key);
    }

    fn ask_store(&self, is_due: bool, key: Key) {
        if let (true, Some(shared)) = (is_due, self.shared.get()) {
            shared.ask(key);
        }
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, AHashMap<Key, Line>> {
        let ([first, ..], [zeroth, ..]) = (key, &self.lines);
        lock(self.lines.get(usize::from(*first) % SHARDS).unwrap_or(zeroth))
    }
}

impl Default for Permits {
    fn default() -> Self {
        Self::new()
    }
}

impl Line {
    fn is_idle(&self) -> bool {
        self.out == 0 && self.waiting.is_empty() && self.share == 0 && !self.is_due
    }

    /// How many may be out here.
    fn most(&self, limit: u64) -> u64 {
        match self.is_shared && self.failed.is_none() {
            true => limit.min(self.share),
            false => limit,
        }
    }

    /// Whether the store is to be told that this process needs fewer now.
    fn leaves(&mut self) -> bool {
        self.is_shared && self.out < self.share && !std::mem::replace(&mut self.is_due, true)
    }

    /// Hands what is free to those in front. Returns whom to wake.
    fn serve(&mut self) -> Vec<Waker> {
        let mut served = Vec::new();
        while self.waiting.front().is_some_and(|seat| self.out < self.most(seat.limit)) {
            let Some(seat) = self.waiting.pop_front() else { break };
            self.out += 1;
            served.extend(seat.tell(Word::Served(self.failed.clone())));
        }
        served
    }

    /// Refuses those for whom there is no place in the line. Returns whom to wake.
    fn turn_away(&mut self) -> Vec<Waker> {
        let mut turned = Vec::new();
        let mut place = 0;
        self.waiting.retain(|seat| {
            place += 1;
            let stays = place <= seat.queue;
            if !stays {
                place -= 1;
                turned.extend(seat.tell(Word::Refused));
            }
            stays
        });
        turned
    }
}

impl Seat {
    fn tell(&self, word: Word) -> Option<Waker> {
        let mut state = lock(&self.state);
        state.word = Some(word);
        state.waker.take()
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.permits.give_back(&self.key);
    }
}

impl Future for Queued {
    /// `None`: it is one too many.
    type Output = Option<Admitted>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Admitted>> {
        let word = {
            let mut state = lock(&self.seat.state);
            match state.word.take() {
                Some(word) => word,
                None => {
                    state.waker = Some(context.waker().clone());
                    return Poll::Pending;
                }
            }
        };
        self.is_over = true;
        Poll::Ready(match word {
            Word::Served(unconfirmed) => {
                Some(Admitted { permits: Arc::clone(&self.permits), key: self.key, unconfirmed })
            }
            Word::Refused => None,
        })
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
        if line.waiting.len() == before && matches!(lock(&self.seat.state).word, Some(Word::Served(_))) {
            // It was served and did not come for it.
            line.out = line.out.saturating_sub(1);
        }
        // Behind one who leaves there may be one who asks for less.
        let served = line.serve();
        let is_due = line.leaves();
        if line.is_idle() {
            shard.remove(&self.key);
        }
        drop(shard);
        served.into_iter().for_each(Waker::wake);
        self.permits.ask_store(is_due, self.key);
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
