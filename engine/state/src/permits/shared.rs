//! Permits that several gateways share.
//!
//! The store knows how many of a subject's permits each gateway has: its share. A gateway asks for one more when a request comes that
//! its share has no room for, and tells the store at once when it needs fewer. Nothing is taken ahead: permits are few. A line in one
//! gateway looks every 20 ms whether another gave a permit back. A gateway that dies leaves its share for 15 s; one that lives says so
//! every 5. While the store is away, each gateway has the whole limit for itself.

use super::{Key, Line, Permits, lock};
use crate::StateError;
use futures::future::BoxFuture;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};

#[cfg(test)]
mod tests;

/// How often a line looks whether there is room by now.
const LOOK: Duration = Duration::from_millis(20);
/// How often a gateway tells that it lives, in looks.
const ALIVE: u32 = 250;

/// Where permits are kept that gateways share.
pub(crate) trait PermitStore: Send + Sync + 'static {
    /// Asks for all of these at once. Each answer is how many the gateway may have out.
    fn round<'a>(&'a self, asks: &'a [PermitAsk]) -> BoxFuture<'a, Vec<Result<u64, StateError>>>;
}

/// What a gateway wants of one subject's permits.
#[derive(Debug)]
pub(crate) struct PermitAsk {
    pub key: Key,
    /// How many are out here.
    pub out: u64,
    /// How many would be, if there were room.
    pub wanted: u64,
    pub limit: u64,
    /// How many of those who wait are asked for.
    waiting: usize,
}

/// What the store is asked next.
pub(super) struct Shared(Arc<Due>);

#[derive(Default)]
struct Due {
    keys: Mutex<Vec<Key>>,
    bell: Notify,
}

impl Shared {
    pub(super) fn ask(&self, key: Key) {
        lock(&self.0.keys).push(key);
        self.0.bell.notify_one();
    }
}

impl Due {
    async fn next(&self) -> Vec<Key> {
        loop {
            let keys = std::mem::take(&mut *lock(&self.keys));
            if !keys.is_empty() {
                return keys;
            }
            self.bell.notified().await;
        }
    }
}

impl Permits {
    /// Shares live permits with other processes from now on.
    pub(crate) fn share(self: &Arc<Self>, store: Arc<dyn PermitStore>, runtime: &Handle) {
        let due = Arc::new(Due::default());
        if self.shared.set(Shared(Arc::clone(&due))).is_ok() {
            runtime.spawn(run(Arc::downgrade(self), due, store));
        }
    }

    /// The subjects for which the store is to be asked without anybody asking here: those with a line, and with `all` those with a
    /// share.
    fn to_look_at(&self, all: bool) -> Vec<Key> {
        let mut keys = Vec::new();
        for shard in &self.lines {
            for (key, line) in lock(shard).iter_mut() {
                let wants = !line.waiting.is_empty() || line.failed.is_some() || all && line.share > 0;
                if line.is_shared && wants && !line.is_due {
                    line.is_due = true;
                    keys.push(*key);
                }
            }
        }
        keys
    }

    fn ask_of(&self, key: Key) -> Option<PermitAsk> {
        let mut shard = self.shard(&key);
        let line = shard.get_mut(&key)?;
        line.is_due = false;
        let waiting = line.waiting.len();
        let wanted = line.out.saturating_add(waiting as u64).min(line.limit.max(line.out));
        // A share that shrinks does so before the store hears of it, one that grows after.
        line.share = line.share.min(wanted);
        Some(PermitAsk { key, out: line.out, wanted, limit: line.limit, waiting })
    }

    fn hear(&self, ask: &PermitAsk, answer: Result<u64, StateError>) {
        let mut shard = self.shard(&ask.key);
        let Some(line) = shard.get_mut(&ask.key) else { return };
        line.hear(answer);
        let mut woken = line.serve();
        if line.failed.is_none() {
            // Those who came since have not been asked for yet.
            let late = line.waiting.split_off(ask.waiting.min(line.waiting.len()));
            woken.extend(line.turn_away());
            line.waiting.extend(late);
        } else {
            woken.extend(line.turn_away());
        }
        let is_due = line.leaves();
        if line.is_idle() {
            shard.remove(&ask.key);
        }
        drop(shard);
        woken.into_iter().for_each(std::task::Waker::wake);
        self.ask_store(is_due, ask.key);
    }
}

impl Line {
    fn hear(&mut self, answer: Result<u64, StateError>) {
        match answer {
            Ok(share) => (self.share, self.failed) = (share, None),
            Err(error) => {
                if self.out == 0 && self.waiting.is_empty() {
                    // Nothing is held any more; what the store still counts is over in 15 s.
                    (self.share, self.failed) = (0, None);
                } else {
                    self.failed = Some(error);
                }
            }
        }
    }
}

/// Asks the store in rounds, for as long as there are permits.
async fn run(permits: Weak<Permits>, due: Arc<Due>, store: Arc<dyn PermitStore>) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut look = 0_u32;
    loop {
        let keys = tokio::select! {
            keys = due.next() => keys,
            _ = looks.tick() => {
                look = look.wrapping_add(1);
                let Some(permits) = permits.upgrade() else { return };
                permits.to_look_at(look.is_multiple_of(ALIVE))
            }
        };
        if keys.is_empty() {
            continue;
        }
        let Some(permits) = permits.upgrade() else { return };
        let asks: Vec<PermitAsk> = keys.into_iter().filter_map(|key| permits.ask_of(key)).collect();
        for (ask, answer) in asks.iter().zip(store.round(&asks).await) {
            permits.hear(ask, answer);
        }
    }
}
