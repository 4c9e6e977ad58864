//! Booking what an attempt cost.

use crate::run::Run;
use crate::{Exchange, view};
use weir_message::{Cause, Usage};

impl Run {
    /// Books the attempt under way: usage if known, cost, how long it took. Booked once; later calls change nothing.
    pub(crate) fn settle_attempt(&mut self, usage: Option<Usage>, cause: Option<Cause>) {
        let elapsed = self.x.elapsed();
        let Some(attempt) = self.x.trace.attempts.last_mut() else { return };
        if attempt.took.is_some() {
            return;
        }
        attempt.took = Some(elapsed.saturating_sub(attempt.began));
        attempt.cause = attempt.cause.or(cause);
        let Some(usage) = usage else { return };
        let price = self.x.target.as_ref().and_then(|target| target.price.as_ref());
        let cost = price.map(|price| price.of(&usage));
        attempt.usage = Some(usage);
        attempt.cost = cost;
        self.x.usage += usage;
        if let Some(cost) = cost {
            self.x.cost += cost;
        }
        if self.x.plan.reads_spent {
            let caller = self.x.request.caller.as_deref();
            self.x.gateway.state.ledger.book(view::day(&self.x), caller, &usage, cost);
        }
    }
}

/// What an attempt spent whose provider does not say, with so much output: the request's tokens by the model's tokenizer if
/// the plan asks for usage and the body was decoded, else by size.
pub(crate) fn estimated(x: &Exchange, is_asked: bool, output: u64) -> Usage {
    let input = match x.request.body {
        weir_message::Body::Unread | weir_message::Body::Opaque => x.request.raw.len() as u64 / 4,
        _ if is_asked => x.plan.services.request_tokens(&x.request),
        _ => x.request.raw.len() as u64 / 4,
    };
    Usage { input, output, counted: true, ..Usage::default() }
}
