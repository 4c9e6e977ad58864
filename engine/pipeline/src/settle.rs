//! Booking what an attempt cost.

use crate::Exchange;
use crate::run::Run;
use weir_message::{Cause, Usage};

impl Run {
    /// Books the attempt under way: usage, cost, how long it took. Booked once; later calls change nothing.
    pub(crate) fn settle_attempt(&mut self, usage: Usage, cause: Option<Cause>) {
        let elapsed = self.x.elapsed();
        let price = self.x.target.as_ref().and_then(|target| target.price);
        let Some(attempt) = self.x.trace.attempts.last_mut() else { return };
        if attempt.usage.is_some() {
            return;
        }
        let cost = price.map(|price| price.of(&usage));
        attempt.usage = Some(usage);
        attempt.cost = cost;
        attempt.took = Some(elapsed.saturating_sub(attempt.began));
        attempt.cause = attempt.cause.or(cause);
        let spent = &mut self.x.usage;
        spent.input += usage.input;
        spent.cached_input += usage.cached_input;
        spent.cache_write += usage.cache_write;
        spent.output += usage.output;
        spent.reasoning += usage.reasoning;
        spent.counted |= usage.counted;
        if let Some(cost) = cost {
            self.x.cost += cost;
        }
    }
}

/// The tokens of the request, for when a provider does not say: by the model's tokenizer if the body was decoded, else by size.
pub(crate) fn input_tokens(x: &Exchange) -> u64 {
    match x.request.body {
        weir_message::Body::Unread | weir_message::Body::Opaque => x.request.raw.len() as u64 / 4,
        _ => x.plan.services.request_tokens(&x.request),
    }
}
