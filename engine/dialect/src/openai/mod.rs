//! OpenAI's API, and all that speak it.

pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod encoder;
mod forms;
pub(crate) mod parts;
pub(crate) mod reply;
mod request;
mod responses;
pub(crate) mod stream;
#[cfg(test)]
mod tests;
mod wishes;
mod words;

use crate::carry::Loss;
use crate::cohere::rerank;
use crate::compose::object;
use crate::form::{self, Field};
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
    (&[Method::POST], "/v1/responses", Operation::Response),
    (&[Method::GET, Method::DELETE], "/v1/responses/{}", Operation::Response),
    (&[Method::POST], "/v1/responses/{}/cancel", Operation::Response),
    (&[Method::GET], "/v1/responses/{}/input_items", Operation::Response),
    (&[Method::POST], "/v1/embeddings", Operation::Embedding),
    (&[Method::POST], "/v1/moderations", Operation::Moderation),
    (&[Method::POST], "/v1/images/generations", Operation::Image),
    (&[Method::POST], "/v1/images/edits", Operation::Image),
    (&[Method::POST], "/v1/images/variations", Operation::Image),
    (&[Method::POST], "/v1/audio/speech", Operation::Speech),
    (&[Method::POST], "/v1/audio/transcriptions", Operation::Transcription),
    (&[Method::POST], "/v1/audio/translations", Operation::Transcription),
    (&[Method::POST, Method::GET], "/v1/files", Operation::File),
    (&[Method::GET, Method::DELETE], "/v1/files/{}", Operation::File),
    (&[Method::GET], "/v1/files/{}/content", Operation::File),
    (&[Method::POST, Method::GET], "/v1/batches", Operation::Batch),
    (&[Method::GET], "/v1/batches/{}", Operation::Batch),
    (&[Method::POST], "/v1/batches/{}/cancel", Operation::Batch),
    (&[Method::GET], "/v1/models", Operation::Model),
    (&[Method::GET], "/v1/models/", Operation::Model),
];

/// The dialect.
pub(crate) struct OpenAi;

impl OpenAi {
    /// Reads usage and model of a reply that counts as responses do.
    pub(crate) fn summary_of_response(&self, whole: &ByteString) -> Scanned<ReplySummary> {
        responses::summary(whole)
    }
}

impl Wire for OpenAi {
    fn classify(&self, path: &str) -> Option<Path> {
        routed(ROUTES, path)
    }

    fn has_body(&self, operation: Operation) -> bool {
        matches!(
            operation,
            Operation::Chat
                | Operation::Completion
                | Operation::Response
                | Operation::Embedding
                | Operation::Rerank
                | Operation::Moderation
                | Operation::Image
                | Operation::Speech
                | Operation::Transcription
        )
    }

    fn has_reply_body(&self, operation: Operation) -> bool {
        // Sound.
        operation != Operation::Speech && self.has_body(operation)
    }

    fn read_head(&self, request: &mut Request, whole: &ByteString) -> Scanned<()> {
        match request.operation {
            Operation::Response => responses::read_head(request, whole),
            operation if words::takes(operation) => words::read_head(request, whole),
            _ => decode::read_head(request, whole),
        }
    }

    fn decode(&self, request: &mut Request, whole: &ByteString) -> Scanned<()> {
        match request.operation {
            Operation::Response => responses::decode(request, whole),
            Operation::Rerank => rerank::decode(request, whole),
            operation if words::takes(operation) => words::decode(request, whole),
            _ => decode::decode(request, whole),
        }
    }

    fn takes_forms(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Image | Operation::Transcription)
    }

    fn read_form(&self, request: &mut Request, fields: &[Field], words: bool) -> Scanned<()> {
        forms::read(request, fields, words)
    }

    fn settings(&self, request: &Request) -> Result<Settings, Fault> {
        match request.operation {
            Operation::Response => responses::settings(request),
            operation if words::takes(operation) => words::settings(request),
            _ => wishes::read(request),
        }
    }

    fn patched(&self, request: &Request, model: &str, ask_usage: bool) -> Result<Bytes, Fault> {
        match form::boundary(&request.headers).filter(|_| self.takes_forms(request.operation)) {
            Some(boundary) => forms::outgoing(request, &boundary, model),
            None => encode::outgoing(request, model, ask_usage),
        }
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
            Operation::Response => "/responses",
            Operation::Embedding => "/embeddings",
            Operation::Rerank => "/rerank",
            Operation::Moderation => "/moderations",
            Operation::Image => "/images/generations",
            Operation::Speech => "/audio/speech",
            Operation::Transcription => "/audio/transcriptions",
            Operation::Model => "/models",
            _ => return None,
        };
        Some(path.to_owned())
    }

    fn own_path(&self, request: &Request, model: &str) -> Option<String> {
        // Several paths lead to one operation.
        let kinds = ["/images/edits", "/images/variations", "/audio/translations"];
        let asked = kinds.iter().find(|kind| request.path.strip_prefix("/v1") == Some(kind));
        match asked {
            Some(path) => Some((*path).to_owned()),
            None => self.path(request.operation, model, request.head.stream),
        }
    }

    fn decode_reply(&self, reply: &mut Reply, operation: Operation, whole: &ByteString) -> Scanned<()> {
        match operation {
            Operation::Response => responses::decode_reply(reply, whole),
            Operation::Transcription => forms::decode_reply(reply, whole),
            operation if words::takes(operation) => words::decode_reply(reply, operation, whole),
            _ => reply::decode(reply, operation, whole),
        }
    }

    fn summary(&self, operation: Operation, whole: &ByteString) -> Scanned<ReplySummary> {
        match operation {
            Operation::Response => responses::summary(whole),
            Operation::Rerank => rerank::summary(whole),
            Operation::Transcription => forms::summary(whole),
            operation if words::takes(operation) => words::summary(whole),
            _ => reply::summary(whole),
        }
    }

    fn encode_reply(&self, reply: &Reply, operation: Operation, identity: &Identity) -> Bytes {
        match operation {
            Operation::Response => responses::encode_reply(reply, identity),
            _ => encode::reply(reply, operation, identity),
        }
    }

    fn reader(&self, operation: Operation) -> Box<dyn ReadEvents> {
        match operation {
            Operation::Response => Box::new(responses::Reader::default()),
            _ => Box::new(stream::Reader::new()),
        }
    }

    fn writer(&self, operation: Operation, identity: Identity) -> Box<dyn WriteEvents> {
        match operation {
            Operation::Response => Box::new(responses::Encoder::new(identity)),
            _ => Box::new(encoder::Encoder::new(operation, identity)),
        }
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
