//! Google's Gemini API.

mod decode;
mod encode;
mod encoder;
mod error;
mod grounding;
mod minted;
mod parts;
mod reply;
mod request;
mod route;
mod schema;
pub(crate) mod signature;
mod stream;
#[cfg(test)]
mod tests;
mod wishes;

use crate::carry::Loss;
use crate::compose::object;
use crate::piece::{ReadEvents, WriteEvents};
use crate::scan::Scanned;
use crate::settings::Settings;
use crate::sse::Sse;
use crate::wire::{Path, Wire};
use crate::{EVENT_STREAM, ErrorBody, Identity, JSON, ProviderError, ReplySummary};
use bytes::Bytes;
use bytestring::ByteString;
use http::HeaderMap;
use weir_message::{Fault, Operation, Reply, Request};

/// The dialect.
pub(crate) struct Gemini;

impl Wire for Gemini {
    fn classify(&self, path: &str) -> Option<Path> {
        route::classify(path)
    }

    fn has_body(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Chat | Operation::Count | Operation::Embedding)
    }

    fn read_head(&self, request: &mut Request, whole: &ByteString) -> Scanned<()> {
        decode::read_head(request, whole)
    }

    fn decode(&self, request: &mut Request, whole: &ByteString) -> Scanned<()> {
        decode::decode(request, whole)
    }

    fn settings(&self, request: &Request) -> Result<Settings, Fault> {
        wishes::read(request)
    }

    fn patched(&self, request: &Request, model: &str, _ask_usage: bool) -> Result<Bytes, Fault> {
        encode::outgoing(request, model)
    }

    fn encode(
        &self,
        request: &Request,
        settings: &Settings,
        model: &str,
        loss: &mut Loss,
    ) -> Result<Bytes, Fault> {
        request::encode(request, settings, model, loss)
    }

    fn path(&self, operation: Operation, model: &str, stream: bool) -> Option<String> {
        route::Verb::of(operation, stream).map(|verb| route::path(verb, model))
    }

    fn own_path(&self, request: &Request, model: &str) -> Option<String> {
        let asked = route::asked(&request.path).map(|asked| asked.verb);
        let verb = asked.or_else(|| route::Verb::of(request.operation, request.head.stream))?;
        Some(route::path(verb, model))
    }

    fn decode_reply(&self, reply: &mut Reply, operation: Operation, whole: &ByteString) -> Scanned<()> {
        reply::decode(reply, operation, whole)
    }

    fn summary(&self, operation: Operation, whole: &ByteString) -> Scanned<ReplySummary> {
        reply::summary(operation, whole)
    }

    fn encode_reply(&self, reply: &Reply, operation: Operation, identity: &Identity) -> Bytes {
        encode::reply(reply, operation, identity)
    }

    fn always_tells_usage(&self) -> bool {
        true
    }

    fn event_limit(&self, _operation: Operation) -> usize {
        Sse::LARGE_LIMIT
    }

    // Google's SDKs take each line of a stream for JSON: a comment breaks them off.
    fn keep_alive(&self) -> Option<&'static [u8]> {
        None
    }

    fn stream_type(&self, request: &Request) -> &'static str {
        let query = request.query.as_deref().unwrap_or_default();
        if route::wants_array(&format!("{}?{query}", request.path)) { JSON } else { EVENT_STREAM }
    }

    fn reader(&self, _operation: Operation) -> Box<dyn ReadEvents> {
        Box::new(stream::Reader::default())
    }

    fn writer(&self, _operation: Operation, identity: Identity) -> Box<dyn WriteEvents> {
        Box::new(encoder::Encoder::new(identity))
    }

    fn error_body(&self, error: &ErrorBody<'_>) -> Bytes {
        encode::error_body(error)
    }

    fn provider_error(&self, status: u16, headers: &HeaderMap, body: &[u8]) -> ProviderError {
        error::provider_error(status, headers, body)
    }

    fn models(&self, names: &[&str], _created: u64) -> Bytes {
        Bytes::from(object(|o| {
            o.array("models", |a| names.iter().for_each(|name| a.object(|o| encode::model(o, name))));
        }))
    }

    fn model(&self, name: &str, _created: u64) -> Bytes {
        Bytes::from(object(|o| encode::model(o, name)))
    }
}
