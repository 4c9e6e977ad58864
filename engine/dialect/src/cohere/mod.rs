//! Cohere's API, version 2 (docs.cohere.com/reference), and the shape of reranking that others took over from it.

mod decode;
mod encode;
mod encoder;
mod error;
mod parts;
mod reply;
mod request;
pub(crate) mod rerank;
mod stream;
#[cfg(test)]
mod tests;
mod wishes;

use crate::carry::Loss;
use crate::compose::object;
use crate::piece::{ReadEvents, WriteEvents};
use crate::scan::Scanned;
use crate::settings::Settings;
use crate::wire::{Path, Routes, Wire, routed};
use crate::{ErrorBody, Identity, ProviderError, ReplySummary};
use bytes::Bytes;
use bytestring::ByteString;
use http::{HeaderMap, Method};
use weir_message::{Fault, Operation, Reply, Request};

/// What clients ask for.
const ROUTES: &Routes = &[
    (&[Method::POST], "/v2/chat", Operation::Chat),
    (&[Method::POST], "/v2/embed", Operation::Embedding),
    (&[Method::POST], "/v2/rerank", Operation::Rerank),
    (&[Method::POST], "/v1/rerank", Operation::Rerank),
    (&[Method::GET], "/v1/models", Operation::Model),
    (&[Method::GET], "/v1/models/", Operation::Model),
];

/// The dialect.
pub(crate) struct Cohere;

impl Wire for Cohere {
    fn classify(&self, path: &str) -> Option<Path> {
        routed(ROUTES, path)
    }

    fn has_body(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Chat | Operation::Embedding | Operation::Rerank)
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
        // Usage is always told.
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
            Operation::Chat => "/v2/chat",
            Operation::Embedding => "/v2/embed",
            Operation::Rerank => "/v2/rerank",
            Operation::Model => "/v1/models",
            _ => return None,
        };
        Some(path.to_owned())
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

    fn reader(&self, _operation: Operation) -> Box<dyn ReadEvents> {
        Box::new(stream::Reader)
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
