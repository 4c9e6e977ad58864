//! OpenAI's API, and all that speak it.

pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod encoder;
pub(crate) mod parts;
pub(crate) mod reply;
mod request;
pub(crate) mod stream;
#[cfg(test)]
mod tests;
mod wishes;

use crate::carry::Loss;
use crate::cohere::rerank;
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
    (&[Method::POST], "/v1/chat/completions", Operation::Chat),
    (&[Method::POST], "/v1/completions", Operation::Completion),
    (&[Method::POST], "/v1/embeddings", Operation::Embedding),
    (&[Method::GET], "/v1/models", Operation::Model),
    (&[Method::GET], "/v1/models/", Operation::Model),
];

/// The dialect.
pub(crate) struct OpenAi;

impl Wire for OpenAi {
    fn classify(&self, path: &str) -> Option<Path> {
        routed(ROUTES, path)
    }

    fn has_body(&self, operation: Operation) -> bool {
        matches!(
            operation,
            Operation::Chat | Operation::Completion | Operation::Embedding | Operation::Rerank
        )
    }

    fn read_head(&self, request: &mut Request, whole: &ByteString) -> Scanned<()> {
        decode::read_head(request, whole)
    }

    fn decode(&self, request: &mut Request, whole: &ByteString) -> Scanned<()> {
        if request.operation == Operation::Rerank {
            return rerank::decode(request, whole);
        }
        decode::decode(request, whole)
    }

    fn settings(&self, request: &Request) -> Result<Settings, Fault> {
        wishes::read(request)
    }

    fn patched(&self, request: &Request, model: &str, ask_usage: bool) -> Result<Bytes, Fault> {
        encode::outgoing(request, model, ask_usage)
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
            Operation::Chat => "/chat/completions",
            Operation::Completion => "/completions",
            Operation::Embedding => "/embeddings",
            Operation::Rerank => "/rerank",
            Operation::Model => "/models",
            _ => return None,
        };
        Some(path.to_owned())
    }

    fn decode_reply(&self, reply: &mut Reply, operation: Operation, whole: &ByteString) -> Scanned<()> {
        reply::decode(reply, operation, whole)
    }

    fn summary(&self, operation: Operation, whole: &ByteString) -> Scanned<ReplySummary> {
        if operation == Operation::Rerank {
            return rerank::summary(whole);
        }
        reply::summary(whole)
    }

    fn encode_reply(&self, reply: &Reply, operation: Operation, identity: &Identity) -> Bytes {
        encode::reply(reply, operation, identity)
    }

    fn reader(&self, _operation: Operation) -> Box<dyn ReadEvents> {
        Box::new(stream::Reader::new())
    }

    fn writer(&self, operation: Operation, identity: Identity) -> Box<dyn WriteEvents> {
        Box::new(encoder::Encoder::new(operation, identity))
    }

    fn error_body(&self, error: &ErrorBody<'_>) -> Bytes {
        encode::error_body(error)
    }

    fn provider_error(&self, status: u16, headers: &HeaderMap, body: &[u8]) -> ProviderError {
        crate::error::provider_error(status, headers, body)
    }

    fn models(&self, names: &[&str], created: u64) -> Bytes {
        Bytes::from(object(|o| {
            o.string("object", "list").array("data", |a| {
                names.iter().for_each(|name| a.object(|o| encode::model(o, name, created)));
            });
        }))
    }

    fn model(&self, name: &str, created: u64) -> Bytes {
        Bytes::from(object(|o| encode::model(o, name, created)))
    }
}
