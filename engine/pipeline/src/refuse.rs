//! The one place that turns a denial or a fault into what the client receives.

use crate::attempt::streams;
use crate::{Exchange, Gateway, Plan, Refusal, Refused, Response, ResponseBody};
use bytes::Bytes;
use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use std::time::Duration;
use weir_dialect::{ErrorBody, Identity, Piece, StreamEncoder};
use weir_message::{
    Block, BlockKind, Denial, DenyAs, Dialect, Fault, Finish, Operation, Reply, Request, Usage,
};

/// Refuses a request before any pipeline: the sink is told, the client gets status, code and the dialect's error body.
pub fn refuse(gateway: &Gateway, plan: &Plan, request: &Request, fault: &Fault) -> Response {
    let unix_nanos = gateway.clock.unix_nanos();
    gateway.sink.refused(&Refused { request, revision: &plan.revision, fault, unix_nanos });
    failed(plan, request, fault)
}

/// The reply for a fault.
fn failed(plan: &Plan, request: &Request, fault: &Fault) -> Response {
    let error = ErrorBody::of_fault(fault, &request.id);
    let body = weir_dialect::error_body(request.dialect, &error);
    let mut headers = HeaderMap::with_capacity(6);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(weir_dialect::JSON));
    headers.extend(weir_dialect::error_headers(request.dialect, &error));
    identify(&mut headers, request.dialect, &request.id);
    revision(&mut headers, plan);
    retry_after(&mut headers, fault.retry_after);
    challenge(&mut headers, fault.status(), request);
    Response { status: fault.status(), headers, body: ResponseBody::Whole(body) }
}

/// The reply for a refusal in a pipeline.
pub(crate) fn response(plan: &Plan, x: &Exchange, refusal: &Refusal) -> Response {
    let request = &x.request;
    let mut headers = HeaderMap::with_capacity(6);
    let (status, content_type, body, after) = match refusal {
        Refusal::Failed(fault) => return failed(plan, request, fault),
        Refusal::Denied(denial) if is_spoken(denial, request.operation) => {
            let reply = spoken(x, &denial.message);
            match streams(request) {
                true => {
                    (200, weir_dialect::stream_type(request), streamed(x, &reply).unwrap_or_default(), None)
                }
                false => (200, weir_dialect::JSON, reply.outgoing(), None),
            }
        }
        Refusal::Denied(denial) => {
            let error = error_of(denial, &request.id);
            let body = weir_dialect::error_body(request.dialect, &error);
            headers.extend(weir_dialect::error_headers(request.dialect, &error));
            (denial.status, weir_dialect::JSON, body, denial.retry_after)
        }
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    identify(&mut headers, request.dialect, &request.id);
    revision(&mut headers, plan);
    retry_after(&mut headers, after);
    challenge(&mut headers, status, request);
    Response { status, headers, body: ResponseBody::Whole(body) }
}

/// Whether a denial is told as a reply of the model. Where replies hold no words (embeddings) it is an error.
fn is_spoken(denial: &Denial, operation: Operation) -> bool {
    let has_words = [Operation::Chat, Operation::Completion, Operation::Response];
    denial.deny_as == DenyAs::Reply && has_words.contains(&operation)
}

/// The last pieces of a stream that is cut: in the dialect's terms, never a clean end after an error. `usage` is told before
/// the end of a denial that reads as a reply, for clients who asked.
pub(crate) fn in_stream(
    encoder: &mut StreamEncoder,
    request_id: &str,
    refusal: &Refusal,
    usage: Option<Usage>,
) -> Vec<Bytes> {
    match refusal {
        Refusal::Denied(denial) if denial.deny_as == DenyAs::Reply => {
            let block = Block { choice: 0, kind: BlockKind::Text, index: 0 };
            let mut pieces = vec![
                Piece::Text { block, text: denial.message.to_string().into() },
                Piece::Finish { choice: 0, why: Finish::ContentFilter, stop: None },
            ];
            pieces.extend(usage.map(Piece::Usage));
            pieces.push(Piece::Done);
            let events: Vec<_> = pieces.into_iter().flat_map(|piece| encoder.write(piece)).collect();
            events.iter().map(|event| encoder.send(event)).filter(|piece| !piece.is_empty()).collect()
        }
        Refusal::Denied(denial) => {
            let error = encoder.error(&error_of(denial, request_id));
            vec![encoder.send(&error)]
        }
        Refusal::Failed(fault) => {
            let error = encoder.error(&ErrorBody::of_fault(fault, request_id));
            vec![encoder.send(&error)]
        }
    }
}

/// What writes events for a request's stream; it takes up the stream's own id and model as it sees them.
pub(crate) fn encoder(x: &Exchange) -> StreamEncoder {
    StreamEncoder::new(x.request.dialect, x.request.operation, identity(x))
}

/// What names a reply that Weir writes for a request.
pub(crate) fn identity(x: &Exchange) -> Identity {
    let seconds = u64::try_from(x.unix_nanos / 1_000_000_000).unwrap_or_default();
    let asked = match &x.request.query {
        None => x.request.path.clone(),
        Some(query) => format!("{}?{query}", x.request.path).into(),
    };
    Identity { id: x.request.id.to_string(), model: x.request.model().to_owned(), created: seconds, asked }
}

/// A whole reply as the bytes of a stream.
pub(crate) fn streamed(x: &Exchange, reply: &Reply) -> Result<Bytes, Fault> {
    let mut encoder = encoder(x);
    let events = encoder.reply(reply, x.request.head.include_usage)?;
    let mut body = BytesMut::with_capacity(events.iter().map(|event| event.raw.len()).sum());
    for event in &events {
        body.extend_from_slice(&encoder.send(event));
    }
    Ok(body.freeze())
}

/// A denial as a reply of the model.
fn spoken(x: &Exchange, message: &str) -> Reply {
    weir_dialect::denial_reply(x.request.dialect, x.request.operation, &identity(x), message)
}

fn error_of<'a>(denial: &'a Denial, request_id: &'a str) -> ErrorBody<'a> {
    ErrorBody {
        status: denial.status,
        code: &denial.code,
        kind: kind_of(denial.status),
        message: &denial.message,
        param: denial.param,
        request_id,
    }
}

/// Writes a refusal into the record. The status that the client is sent is not told here: a stream that is cut has its own.
pub(crate) fn record(x: &mut Exchange, refusal: Refusal) {
    match &refusal {
        Refusal::Denied(denial) => x.trace.error = Some(denial.code.to_string()),
        Refusal::Failed(fault) => {
            x.trace.error = Some(fault.code.id().to_owned());
            if fault.detail.is_some() {
                x.trace.detail.clone_from(&fault.detail);
            }
        }
    }
    x.refusal = Some(refusal);
}

/// OpenAI's `error.type` for a status of the policy's own choosing.
fn kind_of(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    }
}

fn retry_after(headers: &mut HeaderMap, after: Option<Duration>) {
    if let Some(after) = after {
        // Whole seconds, rounded up (RFC 9110, 10.2.3).
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
}

/// Says with a 401 how to show a key (RFC 9110, 11.6.1): as a bearer token, which clients of every dialect can. That one was
/// shown is told too (RFC 6750, 3.1); what is wrong with it is not.
fn challenge(headers: &mut HeaderMap, status: u16, request: &Request) {
    if status != 401 {
        return;
    }
    let shown = request.headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    let scheme = shown.and_then(|shown| shown.get(..7));
    let value = match scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer ")) {
        true => "Bearer realm=\"weir\", error=\"invalid_token\"",
        false => "Bearer realm=\"weir\"",
    };
    headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(value));
}

/// Names the revision.
pub(crate) fn revision(headers: &mut HeaderMap, plan: &Plan) {
    if let Some(value) = &plan.revision_header {
        headers.insert(HeaderName::from_static("x-weir-revision"), value.clone());
    }
}

/// Names the request, also where the client's dialect looks for it.
pub(crate) fn identify(headers: &mut HeaderMap, dialect: Dialect, request_id: &str) {
    put(headers, "x-request-id", request_id);
    match dialect {
        Dialect::Anthropic => put(headers, "request-id", request_id),
        Dialect::Bedrock => put(headers, "x-amzn-requestid", request_id),
        Dialect::OpenAi | Dialect::Gemini | Dialect::Cohere | Dialect::Native => {}
    }
}

/// Sets a header to a text; one that no header can hold is left out.
pub(crate) fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}
