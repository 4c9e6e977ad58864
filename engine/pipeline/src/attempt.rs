//! The attempt engine: asks the route, encodes, sends, classifies, asks again.

use crate::plan::Step;
use crate::run::{Run, holds, set_scene, within};
use crate::{
    Answer, Ask, AuthScheme, Call, CallError, Exchange, Hook, Needs, Notes, Provider, Refusal, Route, Slot,
    Target, Verdict, Visit,
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use std::sync::Arc;
use std::time::Duration;
use weir_dialect::StreamDecoder;
use weir_message::{
    Attempt, Cause, Decision, ErrorCode, Event, EventKind, Fault, Mode, Operation, Reply, Request, Verb,
};
use weir_state::{BreakerSettings, Space};

/// The largest whole reply taken from a provider, in bytes.
const REPLY_LIMIT: u64 = 64 << 20;
/// How much of a provider's error body is read, in bytes.
const ERROR_LIMIT: usize = 64 << 10;
/// How many comments in front of a stream's first event are kept.
const MOST_COMMENTS: usize = 16;
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
        let of_route = route.deadline().map(|deadline| self.x.now() + deadline);
        let deadline = of_pipeline.map(|deadline| self.x.began + deadline).into_iter().chain(of_route).min();
        let left = |now: Duration| match deadline.map(|at| at.saturating_sub(now)) {
            Some(Duration::ZERO) => Err(Refusal::Failed(Fault::new(
                ErrorCode::DeadlineExceeded,
                "the deadline of the request passed",
            ))),
            left => Ok(left),
        };
        loop {
            let pick = if self.x.trace.attempts.len() < MOST_ATTEMPTS { self.ask(route) } else { None };
            let Some(pick) = pick else { return Err(self.exhausted()) };
            if !pick.wait.is_zero() {
                // A wait that ends behind the deadline is not begun.
                left(self.x.now() + pick.wait)?;
                self.x.gateway.clock.sleep(pick.wait).await;
            }
            left(self.x.now())?;
            self.begin_attempt(&pick.target, pick.path);
            if let Some(reason) = self.ruled_out(attempt_steps, steps.len()).await? {
                self.fail_attempt(&pick.target, Cause::RuledOut, None, Some(reason));
                continue;
            }
            let now = self.x.now();
            let remaining = left(now)?;
            let request = self.attempt_request.take();
            let request = request.as_deref().unwrap_or(&self.x.request);
            let call = self.call(request, &pick.target, remaining, wants)?;
            // Only now: whoever is given a breaker's one probe must try.
            if !pick.target.breaker.allows(&plan.breaker, now).allows() {
                let reason = format!("{} is left alone after failures", pick.target.provider.name);
                self.fail_attempt(&pick.target, Cause::RuledOut, None, Some(reason));
                continue;
            }
            self.is_sent = true;
            let gateway = Arc::clone(&self.x.gateway);
            let answer = gateway.upstream.send(call).await;
            match self.taken(&pick.target, answer, wants).await {
                Ok(reached) => return Ok(reached),
                Err(mut failure) => {
                    if failure.cause == Cause::Timeout && left(self.x.now()).is_err() {
                        // It was the request's own deadline, not the provider's slowness.
                        failure.cause = Cause::Deadline;
                    }
                    self.fail_attempt(&pick.target, failure.cause, failure.retry_after, Some(failure.detail))
                }
            }
        }
    }

    /// Asks the route for the next target. A target whose breaker is open is not allowed.
    fn ask(&self, route: &dyn Route) -> Option<crate::Pick> {
        let now = self.x.now();
        // A look that leaves the probe of a breaker to whoever sends: a rest of no length ends at once.
        let looking = BreakerSettings { cool_down: Duration::ZERO, ..self.x.plan.breaker };
        let allows =
            |target: &Target| target.provider.is_available && target.breaker.allows(&looking, now).allows();
        let attempts: Vec<&Attempt> = self.x.trace.attempts.iter().collect();
        route.next(Ask {
            request: &self.x.request,
            attempts: &attempts,
            last_target: self.x.target.as_ref(),
            routed: self.x.routed.as_deref(),
            models: &self.x.plan.models,
            depth: 0,
            dice: self.x.dice,
            allows: &allows,
        })
    }

    fn begin_attempt(&mut self, target: &Arc<Target>, path: Vec<u16>) {
        let n = u32::try_from(self.x.trace.attempts.len()).unwrap_or(u32::MAX).saturating_add(1);
        self.is_sent = false;
        self.x.target = Some(Arc::clone(target));
        self.x.trace.attempts.push(Attempt {
            n,
            provider: Arc::clone(&target.provider.name),
            model: target.model_for(&self.x.request),
            region: target.provider.region.clone(),
            path,
            cause: None,
            status: None,
            retry_after: None,
            began: self.x.elapsed(),
            first_byte: None,
            took: None,
            usage: None,
            cost: None,
        });
    }

    fn fail_attempt(
        &mut self,
        target: &Target,
        cause: Cause,
        retry_after: Option<Duration>,
        detail: Option<String>,
    ) {
        let (elapsed, now) = (self.x.elapsed(), self.x.now());
        match blame(cause) {
            Blame::Target => target.breaker.failed(&self.x.plan.breaker, now),
            Blame::Request => target.breaker.succeeded(&self.x.plan.breaker, now),
            Blame::Nobody => {}
        }
        if let Some(retry_after) = retry_after {
            target.breaker.cool(retry_after.min(LONGEST_COOL_DOWN), now);
        }
        if let Some(attempt) = self.x.trace.attempts.last_mut() {
            attempt.cause = Some(cause);
            attempt.retry_after = retry_after;
            attempt.took = Some(elapsed.saturating_sub(attempt.began));
        }
        if detail.is_some() {
            self.x.trace.detail = detail;
        }
    }

    /// Runs the `attempt:` stages on a copy of the request. `Some`: the target is ruled out, with the reason. Their places in
    /// the trace begin `at`.
    async fn ruled_out(&mut self, steps: &[Step], at: usize) -> Result<Option<String>, Refusal> {
        if steps.is_empty() {
            return Ok(None);
        }
        let mut x = self.x.clone();
        x.attempt = x.trace.attempts.last().cloned();
        for (n, step) in steps.iter().enumerate() {
            let said = match joins(&mut x, step) {
                Ok(false) => {
                    self.note(at + n, Decision::Skipped, Duration::ZERO, Notes::default());
                    continue;
                }
                Ok(true) if step.mode == Mode::Shadow => {
                    let mut copy = x.clone();
                    copy.space = Space::Shadow;
                    self.tried(&mut copy, step, at + n).await?;
                    continue;
                }
                Ok(true) => self.tried(&mut x, step, at + n).await?,
                Err(reason) => self.could_not(step, at + n, reason, Duration::ZERO, Notes::default()),
            };
            if said.is_some() {
                return Ok(said);
            }
        }
        if x.request.edits() > self.x.request.edits() {
            self.attempt_request = Some(Box::new(x.request));
        }
        Ok(None)
    }

    /// One `attempt:` stage. `Some`: it rules the target out.
    async fn tried(&mut self, x: &mut Exchange, step: &Step, at: usize) -> Result<Option<String>, Refusal> {
        if step.declares.needs.has(Needs::BODY) {
            weir_dialect::decode(&mut x.request).map_err(Refusal::Failed)?;
        }
        set_scene(x, step);
        let clock = Arc::clone(&x.gateway.clock);
        let (before, edits) = (clock.now(), x.request.edits());
        let mut notes = Notes::default();
        let verdict = {
            let trial = &mut Trial { x, step, slot: None, notes: &mut notes };
            match step.stage.request(Visit { exchange: trial.x, slot: &mut trial.slot, notes: trial.notes }) {
                Hook::Done(verdict) => verdict,
                Hook::Wait(future) => within(&*clock, step.timeout, future).await,
            }
        };
        let took = clock.now().saturating_sub(before);
        Ok(match verdict {
            Verdict::Continue | Verdict::Answer(_) => {
                let edited = x.request.edits() > edits;
                self.note(at, if edited { Decision::Edited } else { Decision::Passed }, took, notes);
                None
            }
            Verdict::Deny(denial) => {
                let said = format!("{}: {}", step.name, denial.message);
                self.note(at, Decision::Denied, took, notes);
                Some(said)
            }
            Verdict::Fault(reason) => self.could_not(step, at, reason, took, notes),
        })
    }

    /// An `attempt:` stage that could not decide rules the target out unless the policy passes it over.
    fn could_not(
        &mut self,
        step: &Step,
        at: usize,
        reason: String,
        took: Duration,
        notes: Notes,
    ) -> Option<String> {
        let said = format!("{}: {reason}", step.name);
        self.fault(at, step, reason, took, notes).map(|_| said)
    }

    /// The attempt as it is sent.
    fn call(
        &self,
        request: &Request,
        target: &Arc<Target>,
        remaining: Option<Duration>,
        wants: Wants,
    ) -> Result<Call, Refusal> {
        let provider = &target.provider;
        let model = target.model_for(request);
        let mut timeouts = provider.timeouts;
        if let Some(remaining) = remaining {
            timeouts.total = timeouts.total.min(remaining);
        }
        let ask_usage = wants.usage && streams(request);
        let body = weir_dialect::outgoing_request(request, &model, ask_usage).map_err(Refusal::Failed)?;
        let path = weir_dialect::upstream_path(provider.dialect, request.operation).ok_or_else(|| {
            let message = format!("{} requests cannot be sent to this provider", request.operation);
            Refusal::Failed(Fault::new(ErrorCode::BadRequest, message))
        })?;
        let decode = request.head.stream || wants.reply_decoded || wants.usage;
        Ok(Call {
            provider: Arc::clone(provider),
            model,
            attempt: self.x.trace.attempts.last().map_or(1, |attempt| attempt.n),
            method: request.method.clone(),
            path: path.to_owned(),
            headers: outgoing_headers(request, provider, decode),
            body,
            timeouts,
            decode,
            body_limit: REPLY_LIMIT,
        })
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

    /// Takes what came back: reads an error or a whole reply, or a stream up to its first event.
    async fn taken(
        &mut self,
        target: &Target,
        answer: Result<Answer, CallError>,
        wants: Wants,
    ) -> Result<Reached, Failure> {
        let mut answer = answer.map_err(Failure::from)?;
        let elapsed = self.x.elapsed();
        self.x.trace.timings.upstream_first_byte = Some(elapsed);
        if let Some(attempt) = self.x.trace.attempts.last_mut() {
            attempt.status = Some(answer.status);
            attempt.first_byte = Some(elapsed.saturating_sub(attempt.began));
        }
        let dialect = target.provider.dialect;
        if !(200..400).contains(&answer.status) {
            let body = read_some(&mut answer, ERROR_LIMIT).await;
            let error = weir_dialect::provider_error(dialect, answer.status, &answer.headers, &body);
            self.x.trace.said = Some(error.excerpt);
            return Err(Failure {
                cause: error.cause,
                retry_after: error.retry_after,
                detail: format!("{} answered {}", target.provider.name, answer.status),
            });
        }
        if !(200..300).contains(&answer.status) {
            // A redirect, or an answer to a condition that nobody set: no reply, and where it points is not for clients.
            let detail = format!("{} answered {}", target.provider.name, answer.status);
            return Err(Failure { cause: Cause::Invalid, retry_after: None, detail });
        }
        let is_stream = is_event_stream(&answer.headers);
        if is_stream && !streams(&self.x.request) {
            let detail = format!("{} streamed a reply that was not to be", target.provider.name);
            return Err(Failure { cause: Cause::Invalid, retry_after: None, detail });
        }
        if !is_stream {
            let body = read_all(&mut answer).await?;
            let mut reply = Reply::new(answer.status, body);
            reply.headers = answer.headers;
            let operation = self.x.request.operation;
            if wants.reply_decoded {
                // Read in full where a stage reads it, so that a reply that cannot be read moves on to another target.
                let read = weir_dialect::decode_reply(&mut reply, dialect, operation);
                if let (Err(fault), true) = (read, wants.reply_firm) {
                    return Err(Failure::invalid(fault));
                }
            } else if wants.usage {
                let summary = weir_dialect::read_reply_usage(&reply, dialect).map_err(Failure::invalid)?;
                reply.usage = summary.usage;
                reply.model = summary.model;
            }
            target.breaker.succeeded(&self.x.plan.breaker, self.x.now());
            return Ok(Reached::Whole(reply));
        }
        let level = if wants.event_texts { weir_dialect::Level::Text } else { weir_dialect::Level::Usage };
        let mut begun = Begun {
            status: answer.status,
            headers: answer.headers,
            body: answer.body,
            decoder: StreamDecoder::new(dialect, level).ok_or_else(|| Failure {
                cause: Cause::Invalid,
                retry_after: None,
                detail: format!("streams of the dialect {dialect} are not read here"),
            })?,
            events: Vec::new(),
        };
        loop {
            let chunk = match begun.body.next().await {
                Some(chunk) => chunk.map_err(Failure::from)?,
                None => return Err(Failure::broken("the stream ended before its first event")),
            };
            begun.decoder.push(chunk);
            while let Some(event) = begun.decoder.next_event().map_err(Failure::invalid)? {
                // Comments before the first event say nothing yet; endless ones are not kept.
                if event.kind != EventKind::KeepAlive || begun.events.len() < MOST_COMMENTS {
                    begun.events.push(event);
                }
            }
            match begun.events.iter().find(|event| event.kind != EventKind::KeepAlive) {
                None => {}
                Some(event) if event.kind == EventKind::Error => {
                    let error = weir_dialect::stream_error(dialect, &event.raw);
                    self.x.trace.said = Some(error.excerpt);
                    return Err(Failure {
                        cause: error.cause,
                        retry_after: error.retry_after,
                        detail: format!("{} told an error in its stream", target.provider.name),
                    });
                }
                Some(_) => break,
            }
        }
        target.breaker.succeeded(&self.x.plan.breaker, self.x.now());
        Ok(Reached::Stream(Box::new(begun)))
    }

    /// Why no target is left to try, for the client.
    fn exhausted(&self) -> Refusal {
        let Some(last) = self.x.trace.attempts.iter().rev().find(|a| a.cause != Some(Cause::RuledOut)) else {
            let message = match self.x.trace.attempts.is_empty() {
                true => "no target may be asked now",
                false => "the policy ruled out every target",
            };
            return Refusal::Failed(Fault::new(ErrorCode::NoTarget, message));
        };
        let cause = last.cause.unwrap_or(Cause::ServerError);
        let message = match cause {
            Cause::Connect => "the provider could not be reached",
            Cause::Timeout => "the provider did not answer in time",
            Cause::RateLimited => "the provider's rate limit is reached",
            Cause::ContextTooLong => "the prompt is longer than the model's context window",
            Cause::ContentFiltered => "the provider's content filter refused the request",
            Cause::Overloaded => "the provider is overloaded",
            Cause::ServerError => "the provider failed",
            Cause::Unauthorized => "the provider refused the gateway's credential",
            Cause::NotFound => "the provider does not know the model",
            Cause::Rejected => "the provider rejected the request",
            Cause::Invalid => "the provider's reply could not be read",
            Cause::Broken => "the provider's reply ended before its end",
            Cause::RuledOut => "the policy ruled out every target",
            Cause::Cancelled => "the request was cancelled",
            Cause::Deadline => "the deadline passed",
        };
        // What the provider said of a request that it rejects helps the client; but where a guard reads replies, text that it
        // did not see is not passed on.
        let guarded = self.x.plan.pipelines.get(self.pipeline).is_none_or(|pipeline| pipeline.guards_replies);
        let mut fault = match (&self.x.trace.said, cause) {
            (Some(said), Cause::Rejected | Cause::ContextTooLong) if !guarded => {
                Fault::new(cause.error_code(), format!("{message}: {said}"))
            }
            _ => Fault::new(cause.error_code(), message),
        };
        fault.retry_after = last.retry_after;
        fault.detail.clone_from(&self.x.trace.detail);
        if let (Cause::Rejected | Cause::ContentFiltered | Cause::ContextTooLong, Some(status)) =
            (cause, last.status)
        {
            fault.status = Some(status);
        }
        Refusal::Failed(fault)
    }
}

/// An `attempt:` stage at work; its `end` runs even if the client leaves meanwhile.
struct Trial<'a> {
    x: &'a mut Exchange,
    step: &'a Step,
    slot: Slot,
    notes: &'a mut Notes,
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        self.step.stage.end(Visit { exchange: self.x, slot: &mut self.slot, notes: self.notes });
    }
}

/// Whether an `attempt:` stage takes part in this attempt.
fn joins(x: &mut Exchange, step: &Step) -> Result<bool, String> {
    if step.mode == Mode::Off || step.sample.is_some_and(|share| x.chance(&step.name) >= share) {
        return Ok(false);
    }
    for when in &step.whens {
        if !holds(x, &when.expression, &when.params)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether the reply to a request is to be streamed. Other operations have no streams, whatever the client says.
pub(crate) fn streams(request: &Request) -> bool {
    request.head.stream && matches!(request.operation, Operation::Chat | Operation::Completion)
}

/// Whose fault a failed attempt is, for the target's breaker.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Blame {
    Target,
    /// The target works; it would not take this request.
    Request,
    Nobody,
}

fn blame(cause: Cause) -> Blame {
    match cause {
        Cause::Connect
        | Cause::Timeout
        | Cause::Overloaded
        | Cause::ServerError
        | Cause::Broken
        | Cause::Invalid => Blame::Target,
        Cause::Rejected | Cause::ContextTooLong | Cause::ContentFiltered => Blame::Request,
        Cause::RateLimited
        | Cause::Unauthorized
        | Cause::NotFound
        | Cause::RuledOut
        | Cause::Cancelled
        | Cause::Deadline => Blame::Nobody,
    }
}

/// Why an attempt failed.
pub(crate) struct Failure {
    cause: Cause,
    retry_after: Option<Duration>,
    detail: String,
}

impl Failure {
    fn broken(detail: &str) -> Self {
        Self { cause: Cause::Broken, retry_after: None, detail: detail.to_owned() }
    }

    fn invalid(fault: Fault) -> Self {
        let detail = fault.detail.map_or(String::new(), |detail| format!(" ({detail})"));
        Self { cause: Cause::Invalid, retry_after: None, detail: format!("{}{detail}", fault.message) }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self { cause: error.cause, retry_after: None, detail: error.detail }
    }
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

fn is_event_stream(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    value.trim_start().to_ascii_lowercase().starts_with("text/event-stream")
}

/// At most `limit` bytes of the body; what fails on the way is left out.
async fn read_some(answer: &mut Answer, limit: usize) -> Bytes {
    let mut body = BytesMut::new();
    while let Some(Ok(chunk)) = answer.body.next().await {
        let room = limit.saturating_sub(body.len());
        body.extend_from_slice(chunk.get(..room.min(chunk.len())).unwrap_or_default());
        if body.len() >= limit {
            break;
        }
    }
    body.freeze()
}

/// The whole body. One piece is not copied.
async fn read_all(answer: &mut Answer) -> Result<Bytes, Failure> {
    let Some(first) = answer.body.next().await else { return Ok(Bytes::new()) };
    let first = first.map_err(Failure::from)?;
    let Some(second) = answer.body.next().await else { return Ok(first) };
    let mut body = BytesMut::from(first.as_ref());
    body.extend_from_slice(&second.map_err(Failure::from)?);
    while let Some(chunk) = answer.body.next().await {
        body.extend_from_slice(&chunk.map_err(Failure::from)?);
        if body.len() as u64 > REPLY_LIMIT {
            return Err(Failure {
                cause: Cause::Invalid,
                retry_after: None,
                detail: format!("the reply is larger than {REPLY_LIMIT} bytes"),
            });
        }
    }
    Ok(body.freeze())
}

/// Headers of a client that are never passed on: its credentials, what frames its own connection, what Weir sets itself.
fn stays_here(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "authorization"
            | "x-api-key"
            | "api-key"
            | "x-goog-api-key"
            | "cookie"
            | "proxy-authorization"
            | "proxy-connection"
            | "connection"
            | "keep-alive"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "host"
            | "content-length"
            | "content-encoding"
            | "expect"
            | "forwarded"
            | "openai-organization"
            | "openai-project"
    ) || name.as_str().starts_with("x-weir-")
        || name.as_str().starts_with("x-forwarded-")
}

fn outgoing_headers(request: &Request, provider: &Provider, decode: bool) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(request.headers.len() + provider.headers.len() + 2);
    for (name, value) in &request.headers {
        let stays = stays_here(name) || (decode && name == header::ACCEPT_ENCODING);
        if !stays {
            headers.append(name.clone(), value.clone());
        }
    }
    for (name, value) in &provider.headers {
        headers.insert(name.clone(), value.clone());
    }
    let credential = provider.credential.header(&provider.auth).and_then(|value| match &provider.auth {
        AuthScheme::None => None,
        AuthScheme::Bearer => Some((header::AUTHORIZATION, value)),
        AuthScheme::Header(name) => Some((name.clone(), value)),
    });
    headers.extend(credential.map(|(name, value)| (Some(name), value)));
    if let Ok(id) = HeaderValue::from_str(&request.id) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    headers
}
