//! Anthropic's Messages API, and all that speak it (platform.claude.com/docs/en/api/messages).
//!
//! Where a model has no native form of an answer by a schema, the answer is the input of a tool that it is made to call; see
//! [`request`]. Temperatures above 1, which the API does not have, are sent as 1 and told as a dropped hint.

pub(crate) mod abilities;
mod blocks;
mod decode;
mod encode;
mod encoder;
mod reply;
pub(crate) mod request;
mod schema;
mod stream;
#[cfg(test)]
mod tests;
pub(crate) mod turns;
pub(crate) mod wishes;

use crate::carry::Loss;
use crate::compose::object;
use crate::piece::{ReadEvents, WriteEvents};
use crate::scan::Scanned;
use crate::settings::Settings;
use crate::wire::{Path, Routes, Wire, routed};
use crate::{ErrorBody, Identity, ProviderError, ReplySummary};
use bytes::Bytes;
use bytestring::ByteString;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use weir_message::{Fault, Operation, Reply, Request};

/// The tool that takes an answer in a form, where a model has no other way to give one.
pub(crate) const ANSWER: &str = "weir_answer";

/// The version of the API that is asked for where the client asks for none.
const VERSION: &str = "2023-06-01";

/// What clients ask for.
const ROUTES: &Routes = &[
    (&[Method::POST], "/v1/messages", Operation::Chat),
    (&[Method::POST], "/v1/messages/count_tokens", Operation::Count),
    (&[Method::POST, Method::GET], "/v1/messages/batches", Operation::Batch),
    (&[Method::GET, Method::DELETE], "/v1/messages/batches/{}", Operation::Batch),
    (&[Method::POST], "/v1/messages/batches/{}/cancel", Operation::Batch),
    (&[Method::GET], "/v1/messages/batches/{}/results", Operation::Batch),
    (&[Method::POST, Method::GET], "/v1/files", Operation::File),
    (&[Method::GET, Method::DELETE], "/v1/files/{}", Operation::File),
    (&[Method::GET], "/v1/files/{}/content", Operation::File),
    (&[Method::GET], "/v1/models", Operation::Model),
    (&[Method::GET], "/v1/models/", Operation::Model),
];

/// The dialect.
pub(crate) struct Anthropic;

impl Wire for Anthropic {
    fn classify(&self, path: &str) -> Option<Path> {
        routed(ROUTES, path)
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

    fn patched(&self, request: &Request, model: &str, _ask_usage: bool) -> Result<Bytes, Fault> {
        crate::openai::encode::outgoing(request, model, false)
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

    fn path(&self, operation: Operation, _model: &str, _stream: bool) -> Option<String> {
        let path = match operation {
            Operation::Chat => "/v1/messages",
            Operation::Count => "/v1/messages/count_tokens",
            Operation::Model => "/v1/models",
            _ => return None,
        };
        Some(path.to_owned())
    }

    fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        vec![(HeaderName::from_static("anthropic-version"), HeaderValue::from_static(VERSION))]
    }

    fn decode_reply(&self, reply: &mut Reply, operation: Operation, whole: &ByteString) -> Scanned<()> {
        reply::decode(reply, operation, whole)
    }

    fn summary(&self, operation: Operation, whole: &ByteString) -> Scanned<ReplySummary> {
        reply::summary(operation, whole)
    }

    fn encode_reply(&self, reply: &Reply, _operation: Operation, identity: &Identity) -> Bytes {
        encode::reply(reply, identity)
    }

    fn always_tells_usage(&self) -> bool {
        true
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
        crate::error::provider_error(status, headers, body)
    }

    fn models(&self, names: &[&str], created: u64) -> Bytes {
        encode::models(names, created)
    }

    fn model(&self, name: &str, created: u64) -> Bytes {
        Bytes::from(object(|o| encode::model(o, name, created)))
    }
}
