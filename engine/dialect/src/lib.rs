//! Wire formats to messages and back, streams included. No I/O, no clock, and no panic on any input.
//!
//! A dialect is one folder: how its bodies are decoded, what is encoded, how its streams read. What is here on top picks
//! the folder. Bodies are decoded at most once; texts share the body's memory and know where they stand in it.
#![forbid(unsafe_code)]

mod anthropic;
mod bedrock;
mod beside;
#[cfg(test)]
mod carriage;
mod carry;
mod classify;
mod cohere;
mod collect;
mod compose;
pub mod echo;
mod error;
mod eventstream;
mod fields;
mod flaw;
mod form;
mod frames;
pub mod fuzzing;
mod gemini;
mod hosting;
mod kept;
mod openai;
mod piece;
#[cfg(test)]
mod repeats;
mod scan;
mod sequence;
mod settings;
mod shorten;
mod sse;
mod stream;
mod wire;
mod writer;

pub use carry::{Dropped, Outgoing};
pub use classify::{Route, Unclassified, classify, dialect_at, item, percent_decoded};
pub use hosting::Hosting;
pub use kept::{
    BatchLine, Id, List, Spent, asks_many, is_disguised, is_kept, is_minted, is_passed, list, only, renamed,
    reply_ids, request_ids, sealed_ids, spent, with_ids,
};
pub use piece::{Identity, Piece};
pub use shorten::limit_output;
pub use sse::{Sse, SseError};
pub use stream::{Ending, Level, StreamDecoder};
pub use writer::{Collector, StreamEncoder};

use bytes::Bytes;
use bytestring::ByteString;
use carry::Loss;
use http::{HeaderMap, HeaderName, HeaderValue};
use scan::{Flaw, What};
use std::borrow::Cow;
use std::time::Duration;
use weir_message::{
    Body, Cause, Choice, Dialect, ErrorCode, Fault, Finish, Operation, Part, Reply, ReplyBody, Request, Text,
    Usage,
};
use wire::{Wire, wire};

/// Whether a dialect is spoken here. The functions below fault with [`ErrorCode::Internal`] for one that is not.
pub fn speaks(dialect: Dialect) -> bool {
    wire(dialect).is_some()
}

/// What a body is written in: each operation has a form of its own in each dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WireFormat {
    /// The dialect.
    pub dialect: Dialect,
    /// The operation. A provider may be asked another one than its client asks for: a chat for a response.
    pub operation: Operation,
}

impl WireFormat {
    /// What a request came in.
    pub fn of(request: &Request) -> Self {
        Self { dialect: request.dialect, operation: request.operation }
    }
}

fn spoken(dialect: Dialect) -> Result<&'static dyn Wire, Fault> {
    wire(dialect).ok_or_else(|| {
        Fault::new(ErrorCode::Internal, "this wire format is not spoken here").detail(dialect.name())
    })
}

fn whole(raw: &Bytes) -> Result<ByteString, Flaw> {
    ByteString::try_from(raw.clone()).map_err(|_| {
        Flaw::new(What::NotUtf8, std::str::from_utf8(raw).map_or_else(|error| error.valid_up_to(), str::len))
    })
}

/// The fault for a flaw of a request.
fn bad_request(flaw: Flaw) -> Fault {
    flaw.fault(ErrorCode::BadRequest, "the body")
}

/// Reads the few fields that every plan reads: model, stream, `stream_options`. Passes over the body once and makes
/// nothing of the rest but sure that it is JSON.
///
/// # Errors
/// [`ErrorCode::BadRequest`], with the field to blame, for what is not UTF-8 or JSON, is nested deeper than 128 levels, or
/// has one of these fields twice, in other letters or of another type. The message never quotes the body.
pub fn read_head(request: &mut Request) -> Result<(), Fault> {
    let wire = spoken(request.dialect)?;
    if is_kept(request) {
        return kept::read_head(request);
    }
    if !wire.has_body(request.operation) {
        return Ok(());
    }
    if wire.takes_forms(request.operation)
        && let Some(boundary) = form::boundary(&request.headers)
    {
        let read = form::read(&request.raw, &boundary);
        return read.and_then(|fields| wire.read_form(request, &fields, false)).map_err(bad_request);
    }
    whole(&request.raw).and_then(|whole| wire.read_head(request, &whole)).map_err(bad_request)
}

/// Reads all of a request that has a typed form, head included, unless that was done ([`Body::Unread`]). Strings that the form
/// has no place for are read beside it ([`Request::beside`]).
///
/// # Errors
/// As [`read_head`], for every field that is read.
pub fn decode(request: &mut Request) -> Result<(), Fault> {
    if request.body != Body::Unread {
        return Ok(());
    }
    let wire = spoken(request.dialect)?;
    if is_kept(request) {
        return kept::decode(request);
    }
    if !wire.has_body(request.operation) {
        request.body = Body::Opaque;
        return Ok(());
    }
    if wire.takes_forms(request.operation)
        && let Some(boundary) = form::boundary(&request.headers)
    {
        let read = form::read(&request.raw, &boundary);
        return read.and_then(|fields| wire.read_form(request, &fields, true)).map_err(bad_request);
    }
    let read = whole(&request.raw).and_then(|whole| {
        wire.decode(request, &whole)?;
        beside::read(request, &whole)
    });
    read.map_err(bad_request)
}

/// Whether a request's body is a form, which changes by pointer do not fit.
pub fn is_form(request: &Request) -> bool {
    let takes = wire(request.dialect).is_some_and(|wire| wire.takes_forms(request.operation));
    takes && form::boundary(&request.headers).is_some()
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
    let wire = spoken(dialect)?;
    if is_passed(operation) {
        return kept::decode_reply(reply).map_err(invalid_reply);
    }
    if !wire.has_reply_body(operation) {
        reply.body = ReplyBody::Opaque;
        return Ok(());
    }
    let read = whole(&reply.raw).and_then(|whole| wire.decode_reply(reply, operation, &whole));
    match read {
        // What is kept of a response, or that it is gone, is told in other forms.
        Err(_) if operation == Operation::Response && list(&reply.raw).is_some() => {
            kept::decode_reply(reply).map_err(invalid_reply)
        }
        read => read.map_err(invalid_reply),
    }
}

/// A whole reply of a provider in the words of a client of another format. Its body is unread. The identity is for what the
/// provider does not tell.
///
/// # Errors
/// As [`decode_reply`].
pub fn translate_reply(
    mut reply: Reply,
    from: WireFormat,
    to: WireFormat,
    identity: &Identity,
) -> Result<Reply, Fault> {
    decode_reply(&mut reply, from.dialect, from.operation)?;
    let raw = spoken(to.dialect)?.encode_reply(&reply, to.operation, identity);
    let mut out = Reply::new(reply.status, raw);
    out.headers = reply.headers;
    out.headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    out.usage = reply.usage;
    out.model = reply.model;
    Ok(out)
}

/// What [`read_reply_usage`] reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplySummary {
    /// Tokens spent, if the provider said.
    pub usage: Option<Usage>,
    /// The model that answered, as the provider names it.
    pub model: Option<ByteString>,
    /// The reply's id.
    pub id: Option<ByteString>,
    /// Why the first choice ended.
    pub finish: Option<Finish>,
}

/// Reads of a whole reply what plans need that read no text.
///
/// # Errors
/// As [`decode_reply`].
pub fn read_reply_usage(
    reply: &Reply,
    dialect: Dialect,
    operation: Operation,
) -> Result<ReplySummary, Fault> {
    let wire = spoken(dialect)?;
    if is_passed(operation) {
        return Ok(kept::summary(dialect, &reply.raw));
    }
    if !wire.has_reply_body(operation) {
        return Ok(ReplySummary::default());
    }
    whole(&reply.raw).and_then(|whole| wire.summary(operation, &whole)).map_err(invalid_reply)
}

/// The request as it is sent to a provider of a format: with all changes, the upstream's name of the model, and, if
/// `ask_usage` and the reply is to be streamed, the wish for usage at its end. Between equal formats the original itself
/// where nothing differs, else one copy; otherwise encoded anew, and what the format cannot carry is told.
///
/// # Errors
/// [`ErrorCode::BadRequest`] if a stage's changes by pointer find no place or a field that is carried over has a type that it
/// cannot have; [`ErrorCode::Unsupported`] if the provider's dialect has no such operation.
pub fn outgoing(request: &Request, to: WireFormat, model: &str, ask_usage: bool) -> Result<Outgoing, Fault> {
    let (client, provider) = (spoken(request.dialect)?, spoken(to.dialect)?);
    if is_kept(request) {
        let path = kept::path(request).filter(|_| WireFormat::of(request) == to);
        let path = path.ok_or_else(|| {
            Fault::new(ErrorCode::Unsupported, "this cannot be asked of a provider of another API")
        })?;
        let (headers, body) = (provider.headers(), kept::outgoing(request)?);
        return Ok(Outgoing { path, headers, body, dropped: Vec::new() });
    }
    let path = match WireFormat::of(request) == to {
        true => provider.own_path(request, model),
        false => provider.path(to.operation, model, request.head.stream),
    };
    let path = path.ok_or_else(|| {
        let message = format!("{} requests cannot be sent to this provider", request.operation);
        Fault::new(ErrorCode::Unsupported, message)
    })?;
    let mut out = Outgoing { path, headers: provider.headers(), ..Outgoing::default() };
    if WireFormat::of(request) == to {
        out.body = match client.has_body(request.operation) {
            true => client.patched(request, model, ask_usage)?,
            false => request.raw.clone(),
        };
        return Ok(out);
    }
    let decoded = current(request)?;
    let settings = client.settings(&decoded)?;
    let asked = asking(decoded, to.operation);
    let mut loss = Loss::default();
    out.body = provider.encode(&asked, &settings, model, &mut loss)?;
    out.dropped = loss.list();
    Ok(out)
}

/// The same request for the operation that the provider is asked.
fn asking(request: Cow<'_, Request>, operation: Operation) -> Cow<'_, Request> {
    if request.operation == operation {
        return request;
    }
    let mut asked = request.into_owned();
    asked.operation = operation;
    Cow::Owned(asked)
}

/// The request, decoded as it is now.
fn current(request: &Request) -> Result<Cow<'_, Request>, Fault> {
    if !request.has_untyped_edits() && request.body != Body::Unread {
        return Ok(Cow::Borrowed(request));
    }
    let bytes = request.outgoing().map_err(|error| {
        Fault::new(ErrorCode::BadRequest, "the edited body cannot be put together").detail(error.to_string())
    })?;
    let mut now = Request::new("", request.dialect, request.operation, request.path.clone());
    now.raw = bytes;
    decode(&mut now)?;
    now.head.stream = request.head.stream;
    now.head.model.clone_from(&request.head.model);
    Ok(Cow::Owned(now))
}

/// The media type of whole bodies that Weir writes.
pub const JSON: &str = "application/json";

/// The media type of streams of events.
pub const EVENT_STREAM: &str = "text/event-stream";

/// The media type of the stream that a request asks for.
pub fn stream_type(request: &Request) -> &'static str {
    wire(request.dialect).map_or(EVENT_STREAM, |wire| wire.stream_type(request))
}

/// Whether a provider's reply of this media type is a stream.
pub fn is_stream(dialect: Dialect, media_type: &str) -> bool {
    let want = wire(dialect).map_or(EVENT_STREAM, |wire| wire.frames_type());
    let start = media_type.trim_start().get(..want.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(want))
}

/// What a client is told of an error.
#[derive(Clone, Copy, Debug)]
pub struct ErrorBody<'a> {
    /// The HTTP status that goes with it; inside a stream, the one that it would have had.
    pub status: u16,
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
            status: fault.status(),
            code: fault.code.id(),
            kind: fault.code.kind(),
            message: &fault.message,
            param: fault.param.as_deref(),
            request_id,
        }
    }
}

/// An error's body ([`JSON`]) in the client's dialect. Every dialect that is not spoken here gets OpenAI's shape.
pub fn error_body(dialect: Dialect, error: &ErrorBody<'_>) -> Bytes {
    wire(dialect).unwrap_or(&openai::OpenAi).error_body(error)
}

/// Headers that go with an error's body.
pub fn error_headers(dialect: Dialect, error: &ErrorBody<'_>) -> Vec<(HeaderName, HeaderValue)> {
    wire(dialect).map(|wire| wire.error_headers(error)).unwrap_or_default()
}

/// How long the answer to a request may become, as the client asks for it in its dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MostOutput {
    /// The most tokens of one answer; `None`: as many as the model has.
    pub tokens: Option<u64>,
    /// How many answers.
    pub answers: u64,
}

/// How long the answer to a decoded request may become.
///
/// # Errors
/// A field that says so is not what the dialect takes.
pub fn most_output(request: &Request) -> Result<MostOutput, Fault> {
    let settings = wire(request.dialect).unwrap_or(&openai::OpenAi).settings(request)?;
    // Completions of OpenAI may be made more often than they are shown.
    let best_of = request.params.get("best_of").and_then(|json| json.parse::<u64>().ok());
    Ok(MostOutput { tokens: settings.max_tokens, answers: settings.choices.max(best_of).unwrap_or(1).max(1) })
}

/// The form in which an answer is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerForm {
    /// Words.
    Words,
    /// Any JSON object.
    Json,
    /// JSON that fits this JSON Schema, as spelt.
    Schema(ByteString),
}

/// The form in which a request wants its answer.
///
/// # Errors
/// A field that says so is not what the dialect takes.
pub fn answer_form(request: &Request) -> Result<AnswerForm, Fault> {
    let settings = wire(request.dialect).unwrap_or(&openai::OpenAi).settings(request)?;
    Ok(match settings.format {
        None | Some(settings::Format::Text) => AnswerForm::Words,
        Some(settings::Format::Json) => AnswerForm::Json,
        Some(settings::Format::Schema { schema, .. }) => AnswerForm::Schema(schema),
    })
}

/// A normal reply (status 200) of one choice that says `message` and ends by the content filter, decoded. For a stream,
/// give it to [`StreamEncoder::reply`].
pub fn denial_reply(dialect: Dialect, operation: Operation, identity: &Identity, message: &str) -> Reply {
    let said = Choice {
        index: 0,
        parts: vec![Part::Text(Text::added(message))],
        finish: Some(Finish::ContentFilter),
        stop: None,
    };
    let mut reply = Reply::new(200, "");
    reply.body = ReplyBody::Choices(vec![said]);
    reply.usage = Some(Usage::default());
    let raw = wire(dialect).unwrap_or(&openai::OpenAi).encode_reply(&reply, operation, identity);
    let mut reply = Reply::new(200, raw);
    reply.headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    // What was just written is read back without fail; if not, it stays unread.
    let _ = decode_reply(&mut reply, dialect, operation);
    reply
}

/// The body of the list of models. `created` is in Unix seconds.
pub fn models_list<'a>(dialect: Dialect, names: impl IntoIterator<Item = &'a str>, created: u64) -> Bytes {
    let names: Vec<&str> = names.into_iter().collect();
    wire(dialect).unwrap_or(&openai::OpenAi).models(&names, created)
}

/// The body of one model. `created` is in Unix seconds.
pub fn model_one(dialect: Dialect, name: &str, created: u64) -> Bytes {
    wire(dialect).unwrap_or(&openai::OpenAi).model(name, created)
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

/// Reads a provider's error reply; for an error event of a stream see [`StreamDecoder::error`].
pub fn provider_error(dialect: Dialect, status: u16, headers: &HeaderMap, body: &[u8]) -> ProviderError {
    wire(dialect).unwrap_or(&openai::OpenAi).provider_error(status, headers, body)
}
