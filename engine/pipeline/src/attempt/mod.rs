//! The attempt engine: asks the route, encodes, sends, classifies, asks again.

mod answered;
mod failure;
mod outgoing;
mod ruled_out;

use crate::plan::Step;
use crate::run::Run;
use crate::{Ask, CallError, Refusal, Route, Target};
use bytes::Bytes;
use failure::{Blame, Failure, blame};
use http::HeaderMap;
use outgoing::Unsupported;
use std::sync::Arc;
use std::time::Duration;
use weir_dialect::StreamDecoder;
use weir_message::{Attempt, Cause, ErrorCode, Event, Fault, Operation, Reply, Request, Verb};
use weir_state::BreakerSettings;

/// The longest time that a provider can ask to be left alone.
const LONGEST_COOL_DOWN: Duration = Duration::from_secs(600);
/// More attempts than any policy means; a route that never gives up ends here.
const MOST_ATTEMPTS: usize = 64;

/// What a target answered.
#[allow(
    clippy::large_enum_variant,
    reason = "moved once; a box would be an allocation for every whole reply"
)]
pub(crate) enum Reached {
    /// A whole reply.
    Whole(Reply),
    /// A stream that has begun.
    Stream(Box<Begun>),
}

/// A stream whose first event is there.
pub(crate) struct Begun {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: futures::stream::BoxStream<'static, Result<Bytes, CallError>>,
    pub decoder: StreamDecoder,
    /// Events read so far, the first that is no comment last.
    pub events: Vec<Event>,
}

/// What the stages want of a reply.
#[derive(Clone, Copy)]
pub(crate) struct Wants {
    /// Texts in the events of a stream.
    pub event_texts: bool,
    /// The typed body of a whole reply.
    pub reply_decoded: bool,
    /// A whole reply that has none is no reply: a stage that decides reads it.
    pub reply_firm: bool,
    /// Tokens spent.
    pub usage: bool,
}

impl Run {
    /// Tries targets until one answers or the route has no more.
    pub(crate) async fn reach(&mut self, steps: &[Step], wants: Wants) -> Result<Reached, Refusal> {
        let plan = self.plan();
        let route_step = steps
            .iter()
            .enumerate()
            .rev()
            .find(|(n, step)| step.verb == Verb::Route && self.is_in(*n))
            .map(|(_, step)| step);
        let route: &dyn Route = match route_step.and_then(|step| step.stage.route()) {
            Some(route) => route,
            None => requested(&plan, &self.x.request)?,
        };
        let attempt_steps: &[Step] = route_step.map_or(&[], |step| &step.attempt);
        let of_pipeline = plan.pipelines.get(self.pipeline).and_then(|pipeline| pipeline.deadline);
        let mut now = self.x.now();
        let of_route = route.deadline().map(|deadline| now + deadline);
        let deadline = of_pipeline.map(|deadline| self.x.began + deadline).into_iter().chain(of_route).min();
        let left = |now: Duration| match deadline.map(|at| at.saturating_sub(now)) {
            Some(Duration::ZERO) => Err(Refusal::Failed(Fault::new(
                ErrorCode::DeadlineExceeded,
                "the deadline of the request passed",
            ))),
            left => Ok(left),
        };
        loop {
            left(now)?;
            let pick = if self.x.trace.attempts.len() < MOST_ATTEMPTS { self.ask(route, now) } else { None };
            let Some(pick) = pick else { return Err(self.exhausted()) };
            let of_routes = pick.within.map(|within| now + within);
            if !pick.wait.is_zero() {
                // A wait that ends behind the deadline is not begun.
                left(now + pick.wait)?;
                self.x.gateway.clock.sleep(pick.wait).await;
                now = self.x.now();
            }
            let place = self.find_place()?;
            self.begin_attempt(&pick.target, pick.path, now);
            if !attempt_steps.is_empty() {
                let reason = Box::pin(self.ruled_out(attempt_steps, steps.len())).await?;
                now = self.x.now();
                if let Some(reason) = reason {
                    self.fail_attempt(&pick.target, Failure::of(Cause::RuledOut, reason), now);
                    continue;
                }
            }
            let of_routes_left = of_routes.map(|at| at.saturating_sub(now));
            let remaining = left(now)?.into_iter().chain(of_routes_left).min();
            let call = match self.call(&pick.target, remaining, wants)? {
                Ok(call) => call,
                Err(Unsupported(lost)) => {
                    let reason =
                        format!("{} has no place for {}", pick.target.provider.name, lost.join(", "));
                    self.unsupported = lost;
                    self.fail_attempt(&pick.target, Failure::of(Cause::Unsupported, reason), now);
                    continue;
                }
            };
            // Only now: whoever is given a breaker's one probe must try.
            if !pick.target.breaker.allows(&plan.breaker, now).allows() {
                let reason = format!("{} is left alone after failures", pick.target.provider.name);
                self.fail_attempt(&pick.target, Failure::of(Cause::RuledOut, reason), now);
                continue;
            }
            self.is_sent = true;
            self.place = place;
            let gateway = Arc::clone(&self.x.gateway);
            let answer = gateway.upstream.send(call).await;
            match self.taken(&pick.target, answer, wants).await {
                Ok(reached) => return Ok(reached),
                Err(mut failure) => {
                    now = self.x.now();
                    if failure.cause == Cause::Timeout && left(now).is_err() {
                        // It was the request's own deadline, not the provider's slowness.
                        failure.cause = Cause::Deadline;
                    } else if failure.cause == Cause::Timeout && of_routes.is_some_and(|at| at <= now) {
                        // A route inside another gave it no more time; the outer one may go on.
                        failure.blame = Blame::Nobody;
                    }
                    let usage = self.unknown_usage(failure.cause);
                    self.settle_attempt(usage, Some(failure.cause));
                    self.fail_attempt(&pick.target, failure, now);
                }
            }
        }
    }

    /// Asks the route for the next target. A target whose breaker is open is not allowed.
    fn ask(&self, route: &dyn Route, now: Duration) -> Option<crate::Pick> {
        // A look that leaves the probe of a breaker to whoever sends: a rest of no length ends at once.
        let looking = BreakerSettings { cool_down: Duration::ZERO, ..self.x.plan.breaker };
        let home = self.home.as_ref().map(|home| &home.provider);
        let allows = |target: &Target| {
            target.provider.is_available
                && home.is_none_or(|home| *home == target.provider.name)
                && target.breaker.allows(&looking, now).allows()
        };
        let attempts: Vec<&Attempt> = self.x.trace.attempts.iter().collect();
        route.next(Ask {
            request: &self.x.request,
            model: self.x.request.model(),
            attempts: &attempts,
            last_target: self.x.target.as_ref(),
            elapsed: now.saturating_sub(self.x.began),
            routed: self.x.routed.as_deref(),
            models: &self.x.plan.models,
            depth: 0,
            dice: self.x.dice,
            allows: &allows,
        })
    }

    fn begin_attempt(&mut self, target: &Arc<Target>, path: Vec<u16>, now: Duration) {
        let n = u32::try_from(self.x.trace.attempts.len()).unwrap_or(u32::MAX).saturating_add(1);
        self.is_sent = false;
        self.x.target = Some(Arc::clone(target));
        // One attempt is the rule.
        self.x.trace.attempts.reserve_exact(1);
        self.x.trace.attempts.push(Attempt {
            n,
            provider: Arc::clone(&target.provider.name),
            model: target.model_for(&self.x.request),
            region: target.provider.region.clone(),
            path,
            cause: None,
            status: None,
            retry_after: None,
            began: now.saturating_sub(self.x.began),
            first_byte: None,
            took: None,
            usage: None,
            cost: None,
        });
    }

    fn fail_attempt(&mut self, target: &Target, failure: Failure, now: Duration) {
        let elapsed = now.saturating_sub(self.x.began);
        let Failure { cause, blame, retry_after, detail } = failure;
        match blame {
            Blame::Target => target.breaker.failed(&self.x.plan.breaker, now),
            Blame::Request => target.breaker.succeeded(&self.x.plan.breaker, now),
            Blame::Nobody => {}
        }
        // A request that is wrong for this target says nothing of the next one.
        if let Some(retry_after) = retry_after.filter(|_| blame != Blame::Request && cause != Cause::NotFound)
        {
            target.breaker.cool(retry_after.min(LONGEST_COOL_DOWN), now);
        }
        if let Some(attempt) = self.x.trace.attempts.last_mut() {
            attempt.cause = Some(cause);
            attempt.retry_after = retry_after;
            attempt.took = Some(elapsed.saturating_sub(attempt.began));
        }
        self.x.trace.detail = Some(detail);
    }

    /// Notes that a stream broke off under way.
    pub(crate) fn broke_off(&mut self, cause: Cause) {
        if let Some(attempt) = self.x.trace.attempts.last_mut() {
            attempt.cause = Some(cause);
        }
        if let (Some(target), Blame::Target) = (&self.x.target, blame(cause)) {
            target.breaker.failed(&self.x.plan.breaker, self.x.now());
        }
    }
}

/// Whether the reply to a request is to be streamed. Other operations have no streams, whatever the client says.
pub(crate) fn streams(request: &Request) -> bool {
    let has_streams = [Operation::Chat, Operation::Completion, Operation::Response];
    request.head.stream && has_streams.contains(&request.operation)
}

/// The route of the model that the request asks for.
fn requested<'a>(plan: &'a crate::Plan, request: &Request) -> Result<&'a dyn Route, Refusal> {
    let model = request.model();
    if model.is_empty() {
        let fault = Fault::new(ErrorCode::BadRequest, "the request names no model").param("model");
        return Err(Refusal::Failed(fault));
    }
    plan.route_of(model).map(|route| &**route).ok_or_else(|| {
        let shown: String = model.chars().take(100).collect();
        let fault = Fault::new(ErrorCode::UnknownModel, format!("the policy knows no model \"{shown}\""));
        Refusal::Failed(fault.param("model"))
    })
}
