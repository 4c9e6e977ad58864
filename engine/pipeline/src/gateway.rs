//! The process that plans run in.

use crate::{Clock, Exchange, Upstream};
use std::sync::Arc;
use weir_state::State;

/// What all plans of a process share: the way out, time, state. Made once.
pub struct Gateway {
    /// The way out.
    pub upstream: Arc<dyn Upstream>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Keys, limits, caches, breakers.
    pub state: Arc<State>,
    /// Who is told of every request that ended.
    pub sink: Arc<dyn Sink>,
    /// Mixed into every request's chance, so that clients who pick their own request ids cannot pick their luck.
    pub seed: u64,
}

/// Is told of every request that ended (the admin API's last traces, `weir test`).
pub trait Sink: Send + Sync {
    /// A request ended. Called once each, last of all and from the request's own task: must not block. It may take what it
    /// keeps out of the exchange.
    fn ended(&self, exchange: &mut Exchange);

    /// Whether a reply waits until shadowed stages have decided, so that the record is there when the reply is (`weir test`,
    /// `weir explain`). Serving, shadows hold nothing: the record follows when they are done.
    fn waits_for_shadows(&self) -> bool {
        false
    }
}

/// A sink that forgets.
pub struct NoSink;

impl Sink for NoSink {
    fn ended(&self, _exchange: &mut Exchange) {}
}
