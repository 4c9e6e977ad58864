//! Booking what an attempt cost.

use crate::attempt::streams;
use crate::run::Run;
use crate::worst::spoken;
use crate::{ASSUMED_OUTPUT, Exchange, Needs, Worst, view};
use weir_message::{Attempt, Body, Cause, Operation, Reply, Usage};

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
        if let Some(usage) = usage {
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
                self.x.gateway.state.spending.book(view::day(&self.x), caller, &usage, cost);
            }
        }
        self.book_attempt();
    }

    /// Whether the plan wants to know what requests of this pipeline spend.
    pub(crate) fn asks_usage(&self) -> bool {
        self.x.plan.pipelines.get(self.pipeline).is_some_and(|pipeline| pipeline.needs.has(Needs::USAGE))
    }

    /// What the attempt under way spent, if its end leaves open what the provider did: nothing where it said that it failed or
    /// never saw the request.
    pub(crate) fn unknown_usage(&mut self, cause: Cause) -> Option<Usage> {
        let asks = self.asks_usage();
        let attempt = self.x.trace.attempts.last()?;
        may_have_cost(attempt, cause).then(|| unknown(&mut self.x, asks))
    }
}

/// Whether a provider may charge for an attempt that failed so.
fn may_have_cost(attempt: &Attempt, cause: Cause) -> bool {
    match cause {
        Cause::Timeout | Cause::Deadline | Cause::Cancelled => true,
        // Of an error or a redirect that cannot be read it charges nothing.
        Cause::Broken | Cause::Invalid => attempt.status.is_none_or(|status| (200..300).contains(&status)),
        Cause::Connect
        | Cause::RateLimited
        | Cause::ContextTooLong
        | Cause::ContentFiltered
        | Cause::Overloaded
        | Cause::ServerError
        | Cause::Unauthorized
        | Cause::NotFound
        | Cause::Rejected
        | Cause::Unsupported
        | Cause::RuledOut => false,
    }
}

/// What an attempt may have spent that was sent and of which nothing came back: the prompt, and of a whole reply the longest
/// answer too, since it may have been written in full. Of a stream nobody was shown a word.
fn unknown(x: &mut Exchange, is_asked: bool) -> Usage {
    let prompt = estimated(x, is_asked, 0);
    if !is_asked || streams(&x.request) {
        return prompt;
    }
    let worst = x.target.clone().and_then(|target| Some(Worst::of(x).ok()?.at(&target, ASSUMED_OUTPUT)));
    worst.map_or(prompt, |worst| Usage { counted: true, ..worst })
}

/// What an attempt spent whose provider does not say, with so much output: the request's tokens by the model's tokenizer if
/// the plan asks for usage, else by size.
pub(crate) fn estimated(x: &mut Exchange, is_asked: bool, output: u64) -> Usage {
    // A body that cannot be read is counted by its size.
    let is_read = is_asked && weir_dialect::decode(&mut x.request).is_ok();
    if weir_dialect::is_kept(&x.request) {
        return Usage { counted: true, ..Usage::default() };
    }
    let input = match x.request.body {
        _ if x.request.operation == Operation::Count => 0,
        Body::Unread | Body::Opaque => x.request.raw.len() as u64 / 4,
        _ if is_read => x.plan.services.request_tokens(&x.request),
        _ => x.request.raw.len() as u64 / 4,
    };
    let answers = matches!(
        x.request.operation,
        Operation::Chat | Operation::Completion | Operation::Response | Operation::Transcription
    );
    let output = if answers { output } else { 0 };
    Usage { input, output, characters: spoken(&x.request), counted: true, ..Usage::default() }
}

/// What an attempt spent whose provider gives a whole reply and does not say.
pub(crate) fn of_reply(x: &mut Exchange, reply: &mut Reply) -> Usage {
    let (operation, dialect) = (x.request.operation, x.request.dialect);
    let is_read = weir_dialect::decode_reply(reply, dialect, operation).is_ok();
    let mut output = if is_read { 0 } else { reply.raw.len() as u64 / 4 };
    reply.each_text(|at| output += x.plan.services.count_tokens(x.request.model(), at.text.as_str()));
    estimated(x, true, output)
}

/// What a stream spent that broke off: at least what was seen of it, whatever the provider had said by then.
pub(crate) fn of_part(usage: Option<Usage>, x: &mut Exchange, is_asked: bool, seen: u64) -> Usage {
    match usage {
        Some(usage) if usage.output >= seen => usage,
        Some(usage) => Usage { output: seen, counted: true, ..usage },
        None => estimated(x, is_asked, seen),
    }
}
