//! The process that plans run in.

use crate::{Clock, Exchange, Upstream};
use std::sync::Arc;
use weir_message::{Fault, Outcome, Request, Trace};
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

    /// A request was refused before a pipeline took it: it was no request, nobody may send it, nothing takes it. No observer
    /// of a policy sees it. Must not block.
    fn refused(&self, _refused: &Refused<'_>) {}

    /// Whether a reply waits until shadowed stages have decided, so that the record is there when the reply is (`weir test`,
    /// `weir explain`). Serving, shadows hold nothing: the record follows when they are done.
    fn waits_for_shadows(&self) -> bool {
        false
    }

    /// Whether what a policy wants told outside (webhooks) is told: not where a case or an explanation only tries it.
    fn tells_outside(&self) -> bool {
        true
    }

    /// Whether services that a policy asks for their judgement are asked: not where an explanation calls nobody.
    fn asks_outside(&self) -> bool {
        true
    }

    /// Whether expressions tell the record the values that they decided by (`weir explain`). These may quote the prompt.
    fn wants_values(&self) -> bool {
        false
    }
}

/// A request that no pipeline took.
#[derive(Clone, Copy)]
pub struct Refused<'a> {
    /// The request, as far as it was read.
    pub request: &'a Request,
    /// The revision in force.
    pub revision: &'a Arc<str>,
    /// Why.
    pub fault: &'a Fault,
    /// When, in wall-clock nanoseconds since 1970 UTC.
    pub unix_nanos: i64,
}

impl Refused<'_> {
    /// The record of such a request: why, and no stages.
    pub fn trace(&self) -> Trace {
        Trace {
            outcome: Outcome::Failed,
            error: Some(self.fault.code.id().to_owned()),
            detail: Some(self.fault.detail.clone().unwrap_or_else(|| self.fault.message.to_string())),
            ..Trace::default()
        }
    }
}

/// A sink that forgets.
pub struct NoSink;

impl Sink for NoSink {
    fn ended(&self, _exchange: &mut Exchange) {}
}
