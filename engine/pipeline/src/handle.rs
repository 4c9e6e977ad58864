//! One request, from its arrival to the reply.

use crate::attempt::{Begun, Reached, Wants, streams};
use crate::home;
use crate::plan::Step;
use crate::refuse::{self, put, refuse};
use crate::run::{Down, Run, matches};
use crate::settle::of_reply;
use crate::up::Up;
use crate::{Exchange, Gateway, Needs, Plan, Refusal, Response, ResponseBody, ratelimit};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use std::sync::Arc;
use weir_message::{Caller, ErrorCode, Fault, Operation, Outcome, Reply, Request};

/// Takes a request through the pipeline that matches it. Never fails: what goes wrong is the reply. Dropping the future, or the
/// body it returns, cancels the request; what was spent is booked.
pub async fn handle(gateway: &Arc<Gateway>, plan: Arc<Plan>, mut request: Request) -> Response {
    if request.operation == Operation::Model {
        return models(gateway, &plan, &request);
    }
    let home = match home::find(gateway, &plan, &mut request) {
        Ok(home) => home,
        Err(fault) => return refuse(gateway, &plan, &request, &fault),
    };
    let mut run = Run::arrive(gateway, &plan, request);
    run.home = home;
    match admit(&mut run, &plan) {
        Ok(pipeline) => {
            run.enter(pipeline);
            through(run, &plan).await
        }
        Err(fault) => refuse(gateway, &plan, &run.x.request, &fault),
    }
}

/// Reads as much of the request as every pipeline needs, and picks its pipeline.
fn admit(run: &mut Run, plan: &Plan) -> Result<usize, Fault> {
    let request = &mut run.x.request;
    match plan.eager.contains(&request.operation) {
        true => weir_dialect::decode(request)?,
        false => weir_dialect::read_head(request)?,
    }
    pick(plan, &mut run.x)?.ok_or_else(|| match run.x.request.operation {
        Operation::Http => Fault::new(ErrorCode::UnknownPath, "nothing answers this path"),
        _ => Fault::new(ErrorCode::NoPipeline, "no pipeline of the policy takes this request"),
    })
}

async fn through(mut run: Box<Run>, plan: &Arc<Plan>) -> Response {
    let Some(pipeline) = plan.pipelines.get(run.pipeline) else {
        let fault = Fault::new(ErrorCode::Internal, "no such pipeline");
        return refuse(&run.x.gateway, plan, &run.x.request, &fault);
    };
    run.x.trace.pipeline = Arc::clone(&pipeline.name);
    run.x.trace.stages.clone_from(&pipeline.blank);
    if pipeline.needs.has(Needs::ORIGINAL)
        && let Err(fault) = keep_original(&mut run.x, pipeline.needs, pipeline.firm)
    {
        return refused(run, plan, Refusal::Failed(fault)).await;
    }
    if let Err(fault) = caller_may(&run.x.request) {
        return refused(run, plan, Refusal::Failed(fault)).await;
    }
    let steps = &pipeline.steps;
    let down = run.down(steps).await;
    run.x.trace.timings.decided = Some(run.x.elapsed());
    let judges = run.judges.take();
    match down {
        Down::Refused(refusal) => {
            // What those said that were done stands in the trace; the refusal stands in any case.
            drop(judges.map(|judges| run.told(steps, *judges, None)));
            refused(run, plan, refusal).await
        }
        Down::Answered(from, reply) => {
            if let Some(judges) = judges
                && let Err(refusal) = run.judged(steps, *judges).await
            {
                return refused(run, plan, refusal).await;
            }
            run.book_hit(&reply);
            run.x.reply = Some(*reply);
            match run.up(steps, from).await {
                Ok(()) => whole(run, plan, Outcome::Answered).await,
                Err(refusal) => refused(run, plan, refusal).await,
            }
        }
        Down::Through => {
            let wants = Wants {
                event_texts: pipeline.needs.has(Needs::EVENTS),
                reply_decoded: pipeline.needs.has(Needs::REPLY),
                reply_firm: pipeline.firm.has(Needs::REPLY),
                usage: pipeline.needs.has(Needs::USAGE),
            };
            let reached = match judges {
                None => run.reach(steps, wants).await,
                Some(judges) => {
                    let (back, reached) = Box::pin(run.reach_judged(steps, wants, *judges)).await;
                    run = back;
                    reached
                }
            };
            match reached {
                Err(refusal) => refused(run, plan, refusal).await,
                Ok(Reached::Whole(mut reply)) => {
                    let usage = reply.usage.or_else(|| wants.usage.then(|| of_reply(&mut run.x, &mut reply)));
                    run.settle_attempt(usage, None);
                    run.x.reply = Some(reply);
                    match run.up(steps, steps.len()).await {
                        Ok(()) => whole(run, plan, Outcome::Replied).await,
                        Err(refusal) => refused(run, plan, refusal).await,
                    }
                }
                // A stream takes more memory than a whole reply; it gets its own.
                Ok(Reached::Stream(begun)) => Box::pin(stream(run, begun, plan, steps, wants.usage)).await,
            }
        }
    }
}

/// The reply as a stream: its head once the first piece has passed all stages.
async fn stream(
    mut run: Box<Run>,
    mut begun: Box<Begun>,
    plan: &Plan,
    steps: &[Step],
    asks_usage: bool,
) -> Response {
    let status = begun.status;
    run.x.status = status;
    let provider_headers = std::mem::take(&mut begun.headers);
    let mut up = Up::new(run, begun, steps, asks_usage);
    // Stages have set their headers by now; a stream that is over at once takes its run along.
    let mut headers = up.run().map(|run| reply_headers(&provider_headers, &run.x, plan)).unwrap_or_default();
    let media_type =
        up.run().map_or(weir_dialect::EVENT_STREAM, |run| weir_dialect::stream_type(&run.x.request));
    let told = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !told.is_some_and(|told| told.starts_with(media_type)) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    }
    match up.first().await {
        // Nothing was sent yet: the refusal can have a status of its own.
        Err(Some((run, refusal))) => return refused(run, plan, refusal).await,
        Err(None) => {}
        Ok(()) => {
            if let Some(run) = up.run() {
                timing(&mut headers, &run.x);
            }
        }
    }
    let pieces = futures::stream::unfold(up, |mut up| async move {
        let piece = up.next().await?;
        Some((piece, up))
    });
    Response { status, headers, body: ResponseBody::Stream(Box::pin(pieces)) }
}

/// Keeps the request as it came, read if a stage reads what stood in it.
fn keep_original(x: &mut Exchange, needs: Needs, firm: Needs) -> Result<(), Fault> {
    if needs.has(Needs::BODY) {
        let read = weir_dialect::decode(&mut x.request);
        if firm.has(Needs::BODY) {
            read?;
        }
    }
    x.original = Some(Arc::new(x.request.clone()));
    Ok(())
}

/// The first pipeline whose condition holds.
fn pick(plan: &Plan, x: &mut Exchange) -> Result<Option<usize>, Fault> {
    for (n, pipeline) in plan.pipelines.iter().enumerate() {
        if pipeline.takes(&x.request) && matches(plan, pipeline, x)? {
            return Ok(Some(n));
        }
    }
    Ok(None)
}

/// Whether the caller's key allows the operation and the model.
fn caller_may(request: &Request) -> Result<(), Fault> {
    match &request.caller {
        Some(caller) if !caller.operations.is_empty() && !caller.operations.contains(&request.operation) => {
            let message = format!("the key does not allow requests of the kind `{}`", request.operation);
            Err(Fault::new(ErrorCode::Denied, message))
        }
        Some(caller) if names_model(request) && !allows(caller, request.model()) => {
            Err(Fault::new(ErrorCode::Denied, "the key does not allow this model").param("model"))
        }
        _ => Ok(()),
    }
}

/// Whether a request is for a model. What a caller keeps is theirs, and the models that a batch is for are asked for one by one.
fn names_model(request: &Request) -> bool {
    match weir_dialect::is_kept(request) {
        true => request.operation == Operation::Http && !request.model().is_empty(),
        false => true,
    }
}

pub(crate) fn allows(caller: &Caller, model: &str) -> bool {
    caller.models.is_empty()
        || caller.models.iter().any(|allowed| match allowed.strip_suffix('*') {
            Some(prefix) => model.starts_with(prefix),
            None => **allowed == *model,
        })
}

/// The reply for a refusal; ends the run.
async fn refused(mut run: Box<Run>, plan: &Plan, refusal: Refusal) -> Response {
    let mut response = refuse::response(plan, &run.x, &refusal);
    own_headers(&mut response.headers, &run.x);
    timing(&mut response.headers, &run.x);
    run.x.status = response.status;
    let outcome = refusal.outcome();
    refuse::record(&mut run.x, refusal);
    run.end(outcome).await;
    response
}

/// The whole reply for the client, as a stream if it asked for one; ends the run.
async fn whole(mut run: Box<Run>, plan: &Plan, outcome: Outcome) -> Response {
    let reply = run.x.reply.take().unwrap_or_else(|| Reply::new(200, ""));
    if reply.has_lost_repeats() {
        run.x.trace.drop_repeats();
    }
    let mut headers = reply_headers(&reply.headers, &run.x, plan);
    let body = match streams(&run.x.request) {
        true => {
            let media_type = weir_dialect::stream_type(&run.x.request);
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
            match refuse::streamed(&run.x, &reply) {
                Ok(body) => body,
                Err(fault) => {
                    run.x.reply = Some(reply);
                    return refused(run, plan, Refusal::Failed(fault)).await;
                }
            }
        }
        false => {
            if !headers.contains_key(header::CONTENT_TYPE) {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(weir_dialect::JSON));
            }
            reply.outgoing()
        }
    };
    let status = reply.status;
    run.x.status = status;
    run.x.reply = Some(reply);
    let elapsed = run.x.elapsed();
    run.x.trace.timings.first_release = Some(elapsed);
    run.x.trace.timings.done = Some(elapsed);
    timing(&mut headers, &run.x);
    run.end(outcome).await;
    Response { status, headers, body: ResponseBody::Whole(body) }
}

/// Headers of a provider that are not for the client: its connection, its cookies, its infrastructure, and anything that could
/// carry a credential back.
fn stays_there(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "content-length"
            | "date"
            | "server"
            | "via"
            | "alt-svc"
            | "set-cookie"
            | "strict-transport-security"
            | "authorization"
            | "www-authenticate"
            | "proxy-authorization"
            | "x-api-key"
            | "api-key"
            | "x-goog-api-key"
            | "openai-organization"
            | "openai-project"
            | "x-request-id"
            | "request-id"
            | "x-amzn-requestid"
            | "cf-ray"
            | "cf-cache-status"
    ) || name.as_str().starts_with("x-weir-")
}

/// The client's headers for a provider's reply.
fn reply_headers(from: &HeaderMap, x: &Exchange, plan: &Plan) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(from.len() + 5);
    let mut has_limits = false;
    for (name, value) in from {
        if ratelimit::is_limit(name) {
            has_limits = true;
        } else if !stays_there(name) {
            headers.append(name.clone(), value.clone());
        }
    }
    // Where the policy tells of its own limits, a provider's would contradict them.
    if has_limits && !x.headers.keys().any(ratelimit::is_limit) {
        let now = x.gateway.clock.unix_nanos().div_euclid(1_000_000_000);
        ratelimit::carry(from, x.request.dialect, now, &mut headers);
    }
    refuse::identify(&mut headers, x.request.dialect, &x.request.id);
    refuse::revision(&mut headers, plan);
    own_headers(&mut headers, x);
    headers
}

/// What Weir says of itself: where the reply comes from, what a cache said.
fn own_headers(headers: &mut HeaderMap, x: &Exchange) {
    for name in &x.hidden_headers {
        headers.remove(name);
    }
    for (name, value) in &x.headers {
        headers.insert(name.clone(), value.clone());
    }
    if let Some(cache) = x.cache {
        headers.insert(HeaderName::from_static("x-weir-cache"), HeaderValue::from_static(cache.name()));
    }
    dropped(headers, x);
    match (x.target.as_ref().and_then(|target| target.shown.as_ref()), x.trace.attempts.last()) {
        (Some(shown), _) => drop(headers.insert(HeaderName::from_static("x-weir-target"), shown.clone())),
        (None, Some(attempt)) => {
            put(headers, "x-weir-target", &format!("{}/{}", attempt.provider, attempt.model))
        }
        (None, None) => {}
    }
}

/// What a change of dialect left out, by name.
fn dropped(headers: &mut HeaderMap, x: &Exchange) {
    if !x.trace.dropped.is_empty() {
        put(headers, "x-weir-dropped", &x.trace.dropped.join(", "));
    }
}

/// What a client sends that wants to know where the time went.
const TIMING: HeaderName = HeaderName::from_static("x-weir-timing");

/// Where the time went (`server-timing`, W3C), for clients that send `x-weir-timing`.
fn timing(headers: &mut HeaderMap, x: &Exchange) {
    if !x.request.headers.contains_key(TIMING) {
        return;
    }
    let millis = |time: std::time::Duration| time.as_secs_f64() * 1000.0;
    let mut out = String::new();
    for stage in &x.trace.stages {
        if stage.decision > weir_message::Decision::Skipped {
            out.push_str(&format!("{};dur={:.3}, ", token(&stage.name), millis(stage.took)));
        }
    }
    for attempt in &x.trace.attempts {
        if let Some(time) = attempt.first_byte.or(attempt.took) {
            out.push_str(&format!("attempt-{};dur={:.3}, ", attempt.n, millis(time)));
        }
    }
    out.push_str(&format!("total;dur={:.3}", millis(x.elapsed())));
    put(headers, "server-timing", &out);
}

/// A name as `server-timing` takes it (an HTTP token).
fn token(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' })
        .collect()
}

/// The models of the plan that the caller may ask for.
fn models(gateway: &Gateway, plan: &Plan, request: &Request) -> Response {
    if request.caller.is_none() && !plan.is_open {
        let fault = Fault::new(ErrorCode::InvalidKey, "the models are shown to callers who are known");
        return refuse(gateway, plan, request, &fault);
    }
    let seconds = u64::try_from(gateway.clock.unix_nanos() / 1_000_000_000).unwrap_or_default();
    let names: Vec<Arc<str>> = plan
        .models
        .names()
        .into_iter()
        .filter(|name| request.caller.as_ref().is_none_or(|caller| allows(caller, name)))
        .collect();
    let dialect = request.dialect;
    let item = weir_dialect::item(dialect, &request.path);
    let body = match item {
        None => weir_dialect::models_list(dialect, names.iter().map(|name| &**name), seconds),
        Some(id) => {
            let known = names.iter().any(|name| **name == *id)
                || (plan.models.get(&id).is_some()
                    && request.caller.as_ref().is_none_or(|caller| allows(caller, &id)));
            if !known {
                let fault = Fault::new(ErrorCode::UnknownModel, "the policy knows no model of this name")
                    .param("model");
                return refuse(gateway, plan, request, &fault);
            }
            weir_dialect::model_one(dialect, &id, seconds)
        }
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    refuse::identify(&mut headers, request.dialect, &request.id);
    refuse::revision(&mut headers, plan);
    Response { status: 200, headers, body: ResponseBody::Whole(body) }
}
