//! AWS Bedrock's API for all models: Converse, ConverseStream and CountTokens
//! (docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html).
//!
//! Claude takes here what it takes of Anthropic's own API, some of it in `additionalModelRequestFields`; how, the folder of
//! that dialect knows.

mod blocks;
mod decode;
mod encode;
mod encoder;
mod error;
mod family;
mod media;
mod reply;
mod request;
mod route;
mod stream;
#[cfg(test)]
mod tests;
mod turns;
mod wishes;

use crate::carry::Loss;
use crate::compose::object;
use crate::eventstream::{AWS_EVENT_STREAM, EventStream};
use crate::frames::Frames;
use crate::piece::{ReadEvents, WriteEvents};
use crate::scan::Scanned;
use crate::settings::Settings;
use crate::wire::{Path, Wire};
use crate::{ErrorBody, Identity, ProviderError, ReplySummary};
use bytes::Bytes;
use bytestring::ByteString;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use weir_message::{ErrorCode, Fault, Operation, Reply, Request};

/// The dialect.
pub(crate) struct Bedrock;

impl Wire for Bedrock {
    fn classify(&self, path: &str) -> Option<Path> {
        let asked = route::asked(path)?;
        Some(Path {
            operation: asked.verb.operation(),
            methods: &[Method::POST],
            item: Some(asked.model),
            stream: asked.verb == route::Verb::ConverseStream,
        })
    }

    fn has_body(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Chat | Operation::Count)
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

    fn patched(&self, request: &Request, _model: &str, _ask_usage: bool) -> Result<Bytes, Fault> {
        // The model stands in the path, and usage is always told.
        request.outgoing().map_err(|error| {
            let message = "the edited body cannot be put together";
            Fault::new(ErrorCode::BadRequest, message).detail(error.to_string())
        })
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

    fn frames(&self, _operation: Operation) -> Frames {
        Frames::EventStream(EventStream::new(EventStream::LIMIT))
    }

    fn frames_type(&self) -> &'static str {
        AWS_EVENT_STREAM
    }

    fn keep_alive(&self) -> Option<&'static [u8]> {
        None
    }

    fn stream_type(&self, _request: &Request) -> &'static str {
        AWS_EVENT_STREAM
    }

    fn stream_error(&self, raw: &[u8]) -> ProviderError {
        error::stream_error(raw)
    }

    fn reader(&self, _operation: Operation) -> Box<dyn ReadEvents> {
        Box::new(stream::Reader::default())
    }

    fn writer(&self, _operation: Operation, identity: Identity) -> Box<dyn WriteEvents> {
        Box::new(encoder::Encoder::new(identity))
    }

    fn error_body(&self, error: &ErrorBody<'_>) -> Bytes {
        error::body(error)
    }

    fn error_headers(&self, error: &ErrorBody<'_>) -> Vec<(HeaderName, HeaderValue)> {
        let value = HeaderValue::from_static(error::exception(error.status));
        vec![(HeaderName::from_static(error::ERROR_TYPE), value)]
    }

    fn provider_error(&self, status: u16, headers: &HeaderMap, body: &[u8]) -> ProviderError {
        error::provider_error(status, headers, body)
    }

    fn models(&self, names: &[&str], _created: u64) -> Bytes {
        // Nothing here asks for models; the shape is that of ListFoundationModels.
        Bytes::from(object(|o| {
            o.array("modelSummaries", |a| names.iter().for_each(|name| a.object(|o| encode::model(o, name))));
        }))
    }

    fn model(&self, name: &str, _created: u64) -> Bytes {
        Bytes::from(object(|o| {
            o.object("modelDetails", |o| encode::model(o, name));
        }))
    }
}
