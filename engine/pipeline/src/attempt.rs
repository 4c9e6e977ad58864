//! The attempt engine: asks the route, encodes, sends, classifies, asks again.

use crate::plan::Step;
use crate::run::Run;
use crate::{
    Answer, Ask, AuthScheme, Call, CallError, Hook, Notes, Provider, Refusal, Route, Target, Verdict,
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use std::sync::Arc;
use std::time::Duration;
use weir_dialect::StreamDecoder;
use weir_message::{Attempt, Cause, ErrorCode, Event, EventKind, Fault, Reply, Request, Verb};

/// The largest whole reply taken from a provider, in bytes.
const REPLY_LIMIT: u64 = 64 << 20;
/// How much of a provider's error body is read, in bytes.
const ERROR_LIMIT: usize = 64 << 10;
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

/// Whether the stages want texts in the events of a stream.
#[derive(Clone, Copy)]
pub(crate) struct Wants {
    pub event_texts: bool,
    pub reply_decoded: bool,
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
            .find(|(n, step)| step.verb == Verb::Route && self.entered.get(*n).copied().unwrap_or(false));
        let routed = route_step.and_then(|(_, step)| step.stage.route());
        let route: &dyn Route = match routed {
            Some(route) => route,
            None => requested(&plan, &self.x.request)?,
        };
        let attempt_steps: &[Step] = route_step.map_or(&[], |(_, step)| &step.attempt);
        let of_pipeline = plan.pipelines.get(self.pipeline).and_then(|pipeline| pipeline.deadline);
        let of_route = route.deadline().map(|deadline| self.x.now() + deadline);
        let deadline = of_pipeline.map(|deadline| self.x.began + deadline).into_iter().chain(of_route).min();
        loop {
            let pick = if self.x.trace.attempts.len() < MOST_ATTEMPTS { self.ask(route) } else { None };
            let Some(pick) = pick else { return Err(self.exhausted()) };
            if !pick.wait.is_zero() {
                self.x.gateway.clock.sleep(pick.wait).await;
            }
            let remaining = deadline.map(|at| at.saturating_sub(self.x.now()));
            if remaining.is_some_and(|left| left.is_zero()) {
                return Err(Refusal::Failed(Fault::new(
                    ErrorCode::DeadlineExceeded,
                    "the deadline of the request passed",
                )));
            }
            self.begin_attempt(&pick.target, pick.path);
            self.x.target = Some(Arc::clone(&pick.target));
            if let Some(reason) = self.ruled_out(attempt_steps).await? {
                self.fail_attempt(&pick.target, Cause::RuledOut, None, Some(reason));
                continue;
            }
            let request = self.attempt_request.take();
            let request = request.as_deref().unwrap_or(&self.x.request);
            let call = self.call(request, &pick.target, remaining, wants)?;
            let upstream = Arc::clone(&self.x.gateway.upstream);
            let answer = upstream.send(call).await;
            match self.taken(&pick.target, answer, wants).await {
                Ok(reached) => return Ok(reached),
                Err(failure) => {
                    self.fail_attempt(&pick.target, failure.cause, failure.retry_after, Some(failure.detail))
                }
            }
        }
    }

    /// Asks the route for the next target. A target whose breaker is open is not allowed.
    fn ask(&self, route: &dyn Route) -> Option<crate::Pick> {
        let now = self.x.now();
        let allows = |target: &Target| {
            target.provider.is_available && target.breaker.allows(&self.x.plan.breaker, now).allows()
        };
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
        if matches!(
            cause,
            Cause::Connect
                | Cause::Timeout
                | Cause::Overloaded
                | Cause::ServerError
                | Cause::Broken
                | Cause::Invalid
        ) {
            target.breaker.failed(&self.x.plan.breaker, now);
        }
        if let Some(retry_after) = retry_after {
            target.breaker.cool(retry_after, now);
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

    /// Runs the `attempt:` stages on a copy of the request. `Some`: the target is ruled out, with the reason.
    async fn ruled_out(&mut self, steps: &[Step]) -> Result<Option<String>, Refusal> {
        if steps.is_empty() {
            return Ok(None);
        }
        let mut x = self.x.clone();
        x.attempt = x.trace.attempts.last().cloned();
        for step in steps {
            let mut takes_part = step.mode != weir_message::Mode::Off;
            for when in &step.whens {
                x.params = Arc::clone(&when.params);
                match when.expression.eval_bool(&x.view(), &*x.plan.services) {
                    Ok(yes) => takes_part &= yes,
                    Err(fault) => return Ok(Some(format!("{}: when: {fault}", step.name))),
                }
            }
            if !takes_part {
                continue;
            }
            if step.declares.needs.has(crate::Needs::BODY) {
                weir_dialect::decode(&mut x.request).map_err(Refusal::Failed)?;
            }
            crate::run::set_scene(&mut x, step);
            let (mut slot, mut notes) = (None, Notes::default());
            let clock = Arc::clone(&x.gateway.clock);
            let visit = crate::Visit { exchange: &mut x, slot: &mut slot, notes: &mut notes };
            let verdict = match step.stage.request(visit) {
                Hook::Done(verdict) => verdict,
                Hook::Wait(future) => crate::run::within(&*clock, step.timeout, future).await,
            };
            step.stage.end(crate::Visit { exchange: &mut x, slot: &mut slot, notes: &mut notes });
            let said = match verdict {
                Verdict::Continue | Verdict::Answer(_) => None,
                Verdict::Deny(denial) => Some(format!("{}: {}", step.name, denial.message)),
                Verdict::Fault(_) if step.on_error == crate::OnError::Skip => None,
                Verdict::Fault(reason) => Some(format!("{}: {reason}", step.name)),
            };
            if let (Some(said), weir_message::Mode::Enforce) = (said, step.mode) {
                return Ok(Some(said));
            }
        }
        if x.request.edits() > self.x.request.edits() {
            self.attempt_request = Some(Box::new(x.request));
        }
        Ok(None)
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
        let ask_usage = wants.usage && request.head.stream;
        let body = weir_dialect::outgoing_request(request, &model, ask_usage).map_err(Refusal::Failed)?;
        let path = weir_dialect::upstream_path(provider.dialect, request.operation).ok_or_else(|| {
            let message = format!("{} requests cannot be sent to this provider", request.operation);
            Refusal::Failed(Fault::new(ErrorCode::BadRequest, message))
        })?;
        let decode = request.head.stream || wants.reply_decoded;
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
        if answer.status >= 400 {
            let body = read_some(&mut answer, ERROR_LIMIT).await;
            let error = weir_dialect::provider_error(dialect, answer.status, &answer.headers, &body);
            self.said = Some(error.excerpt.clone());
            return Err(Failure {
                cause: error.cause,
                retry_after: error.retry_after,
                detail: format!("{} answered {}: {}", target.provider.name, answer.status, error.excerpt),
            });
        }
        if !self.x.request.head.stream || !is_event_stream(&answer.headers) {
            let body = read_all(&mut answer).await?;
            let mut reply = Reply::new(answer.status, body);
            reply.headers = answer.headers;
            if wants.reply_decoded {
                // Read in full where a stage reads it, so that a reply that cannot be read moves on to another target.
                weir_dialect::decode_reply(&mut reply, dialect, self.x.request.operation)
                    .map_err(Failure::invalid)?;
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
                begun.events.push(event);
            }
            match begun.events.iter().find(|event| event.kind != EventKind::KeepAlive) {
                None => {}
                Some(event) if event.kind == EventKind::Error => {
                    let error = weir_dialect::stream_error(dialect, &event.raw);
                    return Err(Failure {
                        cause: error.cause,
                        retry_after: error.retry_after,
                        detail: format!(
                            "{} told an error in its stream: {}",
                            target.provider.name, error.excerpt
                        ),
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
        let mut fault = match (&self.said, cause) {
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
}

impl Failure {
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
    let credential = match &provider.auth {
        AuthScheme::None => None,
        AuthScheme::Bearer => {
            provider.credential.header("Bearer ").map(|value| (header::AUTHORIZATION, value))
        }
        AuthScheme::Header(name) => provider.credential.header("").map(|value| (name.clone(), value)),
    };
    headers.extend(credential.map(|(name, value)| (Some(name), value)));
    if let Ok(id) = HeaderValue::from_str(&request.id) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    headers
}
