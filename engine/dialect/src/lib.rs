//! Wire formats to messages and back, streams included. No I/O, no clock, and no panic on any input.
//!
//! A dialect is one folder: how its bodies are decoded, what is encoded, how its streams read. What is here on top picks
//! the folder. Bodies are decoded at most once; texts share the body's memory and know where they stand in it.
#![forbid(unsafe_code)]

mod classify;
pub mod echo;
mod flaw;
pub mod fuzzing;
mod openai;
mod scan;
mod sse;
mod stream;
mod writer;

pub use classify::{Route, Unclassified, classify, percent_decoded};
pub use sse::{Sse, SseError};
pub use stream::{Ending, Level, StreamDecoder};
pub use writer::{Collector, StreamEncoder};

use bytes::Bytes;
use bytestring::ByteString;
use http::HeaderMap;
use scan::{Flaw, What};
use std::time::Duration;
use weir_message::{
    Body, Cause, Dialect, ErrorCode, Fault, Finish, Operation, Reply, ReplyBody, Request, Usage,
};

/// Whether a dialect is spoken here. The functions below fault with [`ErrorCode::Internal`] for one that is not.
pub fn speaks(dialect: Dialect) -> bool {
    dialect == Dialect::OpenAi
}

fn spoken(dialect: Dialect) -> Result<(), Fault> {
    if speaks(dialect) {
        return Ok(());
    }
    Err(Fault::new(ErrorCode::Internal, "this wire format is not spoken here").detail(dialect.name()))
}

fn whole(raw: &Bytes) -> Result<ByteString, Flaw> {
    ByteString::try_from(raw.clone()).map_err(|_| {
        Flaw::new(What::NotUtf8, std::str::from_utf8(raw).map_or_else(|error| error.valid_up_to(), str::len))
    })
}

/// Whether requests for an operation have a JSON body that this room reads.
fn has_body(operation: Operation) -> bool {
    matches!(operation, Operation::Chat | Operation::Completion | Operation::Embedding)
}

/// Reads the few fields that every plan reads: model, stream, `stream_options`. Passes over the body once and makes
/// nothing of the rest but sure that it is JSON.
///
/// # Errors
/// [`ErrorCode::BadRequest`], with the field to blame, for what is not UTF-8 or JSON, is nested deeper than 128 levels, or
/// has one of these fields twice, in other letters or of another type. The message never quotes the body.
pub fn read_head(request: &mut Request) -> Result<(), Fault> {
    spoken(request.dialect)?;
    if !has_body(request.operation) {
        return Ok(());
    }
    whole(&request.raw)
        .and_then(|whole| openai::decode::read_head(request, &whole))
        .map_err(openai::decode::bad_request)
}

/// Reads all of a request that has a typed form, head included, unless that was done ([`Body::Unread`]).
///
/// # Errors
/// As [`read_head`], for every field that is read.
pub fn decode(request: &mut Request) -> Result<(), Fault> {
    if request.body != Body::Unread {
        return Ok(());
    }
    spoken(request.dialect)?;
    if !has_body(request.operation) {
        request.body = Body::Opaque;
        return Ok(());
    }
    whole(&request.raw)
        .and_then(|whole| openai::decode::decode(request, &whole))
        .map_err(openai::decode::bad_request)
}

fn invalid_reply(flaw: Flaw) -> Fault {
    let fault = flaw.fault(ErrorCode::UpstreamInvalid, "the provider's reply");
    // The field is the provider's, not the client's.
    Fault { detail: fault.param.clone(), param: None, ..fault }
}

/// Reads all of a whole reply (of a success, not of an error), unless that was done ([`ReplyBody::Unread`]).
///
/// # Errors
/// [`ErrorCode::UpstreamInvalid`] for what is not UTF-8 or JSON, nested too deep, or has a field that is read twice.
pub fn decode_reply(reply: &mut Reply, dialect: Dialect, operation: Operation) -> Result<(), Fault> {
    if reply.body != ReplyBody::Unread {
        return Ok(());
    }
    spoken(dialect)?;
    if !has_body(operation) {
        reply.body = ReplyBody::Opaque;
        return Ok(());
    }
    whole(&reply.raw).and_then(|whole| openai::reply::decode(reply, operation, &whole)).map_err(invalid_reply)
}

/// What [`read_reply_usage`] reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplySummary {
    /// Tokens spent, if the provider said.
    pub usage: Option<Usage>,
    /// The model that answered, as the provider names it.
    pub model: Option<ByteString>,
    /// Why the first choice ended.
    pub finish: Option<Finish>,
}

/// Reads of a whole reply what plans need that read no text.
///
/// # Errors
/// As [`decode_reply`].
pub fn read_reply_usage(reply: &Reply, dialect: Dialect) -> Result<ReplySummary, Fault> {
    spoken(dialect)?;
    whole(&reply.raw).and_then(|whole| openai::reply::summary(&whole)).map_err(invalid_reply)
}

/// The bytes to send upstream: the request with all changes, the upstream's name of the model, and, if `ask_usage` and the
/// reply is to be streamed, the wish for usage at its end. The original itself where nothing differs, else one copy.
///
/// # Errors
/// [`ErrorCode::BadRequest`] if a stage's changes by pointer find no place, or `stream_options` is no object.
pub fn outgoing_request(request: &Request, target_model: &str, ask_usage: bool) -> Result<Bytes, Fault> {
    spoken(request.dialect)?;
    if !has_body(request.operation) {
        return Ok(request.raw.clone());
    }
    openai::encode::outgoing(request, target_model, ask_usage)
}

/// The path of an operation behind a provider's base URL; `None` if the dialect has none.
pub fn upstream_path(dialect: Dialect, operation: Operation) -> Option<&'static str> {
    if speaks(dialect) { openai::upstream_path(operation) } else { None }
}

/// The media type of whole bodies that Weir writes.
pub const JSON: &str = "application/json";

/// The media type of streams that Weir writes.
pub const EVENT_STREAM: &str = "text/event-stream";

/// What a client is told of an error.
#[derive(Clone, Copy, Debug)]
pub struct ErrorBody<'a> {
    /// The stable code, or a policy's own.
    pub code: &'a str,
    /// The class of error (`error.type`).
    pub kind: &'a str,
    /// What happened.
    pub message: &'a str,
    /// The field of the request to blame.
    pub param: Option<&'a str>,
    /// The request's id.
    pub request_id: &'a str,
}

impl<'a> ErrorBody<'a> {
    /// The body for a fault.
    pub fn of_fault(fault: &'a Fault, request_id: &'a str) -> Self {
        Self {
            code: fault.code.id(),
            kind: fault.code.kind(),
            message: &fault.message,
            param: fault.param.as_deref(),
            request_id,
        }
    }
}

/// An error's body ([`JSON`]) in the client's dialect. Every dialect that is not spoken here gets OpenAI's shape.
pub fn error_body(_dialect: Dialect, error: &ErrorBody<'_>) -> Bytes {
    openai::encode::error_body(error)
}

/// A normal reply (status 200) of one choice that says `message` and ends by the content filter, decoded. For a stream,
/// give it to [`StreamEncoder::reply`]. `created` is in Unix seconds.
pub fn denial_reply(operation: Operation, id: &str, model: &str, created: u64, message: &str) -> Reply {
    let mut reply = Reply::new(200, openai::encode::denial(operation, id, model, created, message));
    reply.headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(JSON));
    // What was just written is read back without fail; if not, it stays unread.
    let _ = decode_reply(&mut reply, Dialect::OpenAi, operation);
    reply
}

/// The body of `GET /v1/models`. `created` is in Unix seconds.
pub fn models_list<'a>(names: impl IntoIterator<Item = &'a str>, created: u64) -> Bytes {
    let models: Vec<String> = names.into_iter().map(|name| openai::encode::model(name, created)).collect();
    Bytes::from(format!(r#"{{"object":"list","data":[{}]}}"#, models.join(",")))
}

/// The body of `GET /v1/models/{id}`. `created` is in Unix seconds.
pub fn model_one(name: &str, created: u64) -> Bytes {
    Bytes::from(openai::encode::model(name, created))
}

/// What a provider's error means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderError {
    /// Why the attempt failed.
    pub cause: Cause,
    /// The beginning of what the provider said, for the operator; it may quote the prompt and is not for the client.
    pub excerpt: String,
    /// How long the provider asks to be left alone (a date is not read: it takes a clock).
    pub retry_after: Option<Duration>,
}

/// Reads a provider's error reply; for an error event of a stream see [`stream_error`].
pub fn provider_error(_dialect: Dialect, status: u16, headers: &HeaderMap, body: &[u8]) -> ProviderError {
    openai::error::provider_error(status, headers, body)
}

/// Reads a provider's error event (its raw bytes).
pub fn stream_error(_dialect: Dialect, raw: &[u8]) -> ProviderError {
    let data = sse::fields(raw).data.and_then(|range| raw.get(range)).unwrap_or_default();
    openai::error::provider_error(200, &HeaderMap::new(), data)
}
