//! What the ledger is told.

use crate::run::Run;
use crate::{CacheSaid, Refusal, Target, view};
use std::sync::Arc;
use std::time::Duration;
use weir_message::{ErrorCode, Fault, Money, Reply, Usage};
use weir_state::{Ending, Full, Place, Row};

impl Run {
    /// A place in the ledger for an attempt about to be made; none where nothing is kept.
    pub(crate) fn find_place(&self) -> Result<Option<Place>, Refusal> {
        self.x.gateway.state.ledger.place().map_err(|Full| {
            let message = "what requests cost cannot be written down now";
            Refusal::Failed(Fault::new(ErrorCode::LedgerUnavailable, message))
        })
    }

    /// Books the attempt that has just ended, if it was sent.
    pub(crate) fn book_attempt(&mut self) {
        let Some(place) = self.place.take() else { return };
        let Some(attempt) = self.x.trace.attempts.last() else { return };
        let target = self.x.target.as_ref();
        place.book(Row {
            attempt: attempt.n,
            provider: Arc::clone(&attempt.provider),
            target: Arc::clone(&attempt.model),
            usage: attempt.usage.unwrap_or_default(),
            price: target.and_then(|target| target.price_text.clone()),
            // Nothing spent costs nothing, priced or not.
            cost: if attempt.usage.is_some() { attempt.cost } else { Some(Money::ZERO) },
            before: attempt.began,
            first_byte: attempt.first_byte,
            took: attempt.took.unwrap_or_default(),
            ending: attempt.cause.map_or(Ending::Done, Ending::Failed),
            status: attempt.status,
            ..self.row()
        });
    }

    /// Books that a cache answered, and what that saved: what the tokens of its reply cost at the target that would have been
    /// asked first.
    pub(crate) fn book_hit(&self, reply: &Reply) {
        let ledger = &self.x.gateway.state.ledger;
        if !ledger.is_kept() || !reply.cached || self.x.cache != Some(CacheSaid::Hit) {
            return;
        }
        let Ok(Some(place)) = ledger.place() else {
            ledger.lose();
            return;
        };
        let targets = self.x.reachable();
        let price = targets.first().and_then(|target| target.price.as_ref());
        let saved = price.zip(reply.usage.as_ref()).map(|(price, usage)| price.of(usage));
        place.book(Row { saved, ending: Ending::Cached, took: self.x.elapsed(), ..self.row() });
    }

    /// Books what the results of a batch say that a model spent.
    pub(crate) fn book_result(&mut self, model: &str, target: &Target, usage: Usage, cost: Option<Money>) {
        self.x.usage += usage;
        if let Some(cost) = cost {
            self.x.cost += cost;
        }
        if self.x.plan.reads_spent {
            let caller = self.x.request.caller.as_deref();
            self.x.gateway.state.spending.book(view::day(&self.x), caller, &usage, cost);
        }
        let ledger = &self.x.gateway.state.ledger;
        if !ledger.is_kept() {
            return;
        }
        let Ok(Some(place)) = ledger.place() else {
            ledger.lose();
            return;
        };
        let took = self.x.elapsed();
        place.book(Row {
            model: Arc::from(model),
            provider: Arc::clone(&target.provider.name),
            target: Arc::from(model),
            usage,
            price: target.price_text.clone(),
            cost,
            took,
            status: Some(200),
            ..self.row()
        });
    }

    /// What every row of the request has in common.
    fn row(&self) -> Row {
        let x = &self.x;
        Row {
            time: x.gateway.clock.unix_nanos(),
            request: Arc::clone(&x.request.id),
            attempt: 0,
            caller: x.request.caller.clone(),
            pipeline: Arc::clone(&x.trace.pipeline),
            revision: Arc::clone(x.plan.revision()),
            operation: x.request.operation,
            model: Arc::from(x.request.model()),
            provider: Arc::clone(&x.plan.no_name),
            target: Arc::clone(&x.plan.no_name),
            usage: Usage::default(),
            price: None,
            cost: None,
            saved: None,
            before: Duration::ZERO,
            first_byte: None,
            took: Duration::ZERO,
            ending: Ending::Done,
            status: None,
        }
    }
}
