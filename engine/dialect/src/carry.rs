//! A request on its way into another dialect: what goes out, and what could not be taken along.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

/// A part of a request that the target's dialect has no place for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Dropped {
    /// Its name, as OpenAI's API calls it where it knows it (`logit_bias`, `seed`).
    pub feature: &'static str,
    /// Whether the answer may mean something else without it; otherwise it is a hint.
    pub matters: bool,
}

/// A request as it is sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outgoing {
    /// Path and query behind the provider's base URL.
    pub path: String,
    /// Headers that the dialect wants.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Bytes,
    /// What it lacks of the client's request.
    pub dropped: Vec<Dropped>,
}

/// Collects what is dropped while a request is encoded.
#[derive(Debug, Default)]
pub(crate) struct Loss(Vec<Dropped>);

impl Loss {
    /// Leaves out something without which the answer may mean something else.
    pub(crate) fn matters(&mut self, feature: &'static str) {
        self.add(Dropped { feature, matters: true });
    }

    /// Leaves out a hint.
    pub(crate) fn hint(&mut self, feature: &'static str) {
        self.add(Dropped { feature, matters: false });
    }

    fn add(&mut self, dropped: Dropped) {
        if !self.0.iter().any(|known| known.feature == dropped.feature) {
            self.0.push(dropped);
        }
    }

    /// What was dropped, by name.
    pub(crate) fn list(mut self) -> Vec<Dropped> {
        self.0.sort_unstable();
        self.0
    }
}
