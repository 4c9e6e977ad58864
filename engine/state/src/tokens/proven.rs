//! Credentials that were proven, so that each is proven once.

use moka::sync::Cache;
use std::sync::Arc;
use std::time::Duration;
use weir_message::Caller;

/// How many are remembered at a time.
const MOST: u64 = 10_000;

/// Credentials that were proven, by their digests, and whose they are.
#[derive(Clone)]
pub struct Proven(Cache<[u8; 32], (Arc<Caller>, Duration)>);

impl Default for Proven {
    fn default() -> Self {
        Self(Cache::new(MOST))
    }
}

impl Proven {
    /// What stands for a token that was proven by keys of that time: other keys have to prove it anew.
    pub fn id(token: &str, keys: Duration) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&crate::nanos(keys).to_le_bytes()).update(token.as_bytes());
        *hasher.finalize().as_bytes()
    }

    /// Whose it is, if it was proven and still holds.
    pub fn get(&self, id: &[u8; 32], now: Duration) -> Option<Arc<Caller>> {
        self.0.get(id).filter(|(_, until)| now < *until).map(|(caller, _)| caller)
    }

    /// Remembers until when it holds.
    pub fn put(&self, id: [u8; 32], caller: Arc<Caller>, until: Duration) {
        self.0.insert(id, (caller, until));
    }
}
