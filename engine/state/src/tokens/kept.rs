//! Keys of issuers, kept from one fetch to the next.

use super::keys::TokenKeys;
use arc_swap::ArcSwapOption;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The keys of all issuers by where they come from, so that a reload keeps them.
#[derive(Default)]
pub struct IssuerKeys(Mutex<HashMap<Arc<str>, Arc<KeptKeys>>>);

impl IssuerKeys {
    /// What is known of one place.
    pub fn of(&self, place: &str) -> Arc<KeptKeys> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = all.get(place) {
            return Arc::clone(kept);
        }
        // A new one comes with a changed policy: those that no plan asks for any more go.
        all.retain(|_, kept| Arc::strong_count(kept) > 1);
        Arc::clone(all.entry(Arc::from(place)).or_default())
    }
}

/// What is known of one issuer's keys.
#[derive(Default)]
pub struct KeptKeys {
    held: ArcSwapOption<Held>,
    flight: Arc<tokio::sync::Mutex<Flight>>,
}

struct Held {
    keys: Arc<TokenKeys>,
    got: Duration,
}

/// Who holds it fetches. It remembers how fetches went.
#[derive(Debug, Default)]
pub struct Flight {
    /// When the last fetch failed, and why; `None` after one that did not.
    pub failed: Option<(Duration, String)>,
    /// When a token last named a key that was not known, and keys were fetched for it.
    pub for_unknown: Option<Duration>,
}

impl KeptKeys {
    /// The keys as they were fetched last, and when.
    pub fn get(&self) -> Option<(Arc<TokenKeys>, Duration)> {
        self.held.load().as_ref().map(|held| (Arc::clone(&held.keys), held.got))
    }

    /// Keeps what was fetched.
    pub fn put(&self, keys: TokenKeys, now: Duration) -> Arc<TokenKeys> {
        let keys = Arc::new(keys);
        self.held.store(Some(Arc::new(Held { keys: Arc::clone(&keys), got: now })));
        keys
    }

    /// One fetch at a time.
    pub fn flight(&self) -> Arc<tokio::sync::Mutex<Flight>> {
        Arc::clone(&self.flight)
    }
}
