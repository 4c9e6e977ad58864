//! What each dialect brings: one implementation in each dialect's folder, picked here.

use crate::carry::Loss;
use crate::form::Field;
use crate::frames::Frames;
use crate::piece::{ReadEvents, WriteEvents};
use crate::scan::{Flaw, Scanned, What};
use crate::settings::Settings;
use crate::sse::{Sse, fields};
use crate::{
    EVENT_STREAM, ErrorBody, Identity, ProviderError, ReplySummary, anthropic, bedrock, cohere, gemini,
    openai, percent_decoded,
};
use bytes::Bytes;
use bytestring::ByteString;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use weir_message::{Dialect, Fault, Operation, Reply, Request};

/// The dialect's implementation; `None` if it is not spoken here.
pub(crate) fn wire(dialect: Dialect) -> Option<&'static dyn Wire> {
    Some(match dialect {
        Dialect::OpenAi => &openai::OpenAi,
        Dialect::Anthropic => &anthropic::Anthropic,
        Dialect::Gemini => &gemini::Gemini,
        Dialect::Bedrock => &bedrock::Bedrock,
        Dialect::Cohere => &cohere::Cohere,
        Dialect::Native => return None,
    })
}

/// A path that clients ask, and what for.
pub(crate) struct Path {
    /// The operation.
    pub(crate) operation: Operation,
    /// The methods it takes.
    pub(crate) methods: &'static [Method],
    /// What the path names: a model's or another thing's id.
    pub(crate) item: Option<ByteString>,
    /// Whether the path asks for a stream.
    pub(crate) stream: bool,
}

/// The fixed paths of a dialect, and by which methods they are asked what for. One that ends in `/` stands for one more
/// segment or several, which name an item; `{}` stands for one segment, which does.
pub(crate) type Routes = [(&'static [Method], &'static str, Operation)];

/// What a path is for among these.
pub(crate) fn routed(routes: &Routes, path: &str) -> Option<Path> {
    routes.iter().find_map(|(methods, route, operation)| {
        let item = match route.split_once("{}") {
            Some((before, behind)) => {
                let item = path.strip_prefix(before)?.strip_suffix(behind)?;
                let is_segment = !item.is_empty() && !item.contains('/');
                Some(percent_decoded(item).filter(|_| is_segment)?)
            }
            None => match path.strip_prefix(route)? {
                "" if !route.ends_with('/') => None,
                item if route.ends_with('/') && !item.is_empty() => Some(percent_decoded(item)?),
                _ => return None,
            },
        };
        Some(Path { operation: *operation, methods, item, stream: false })
    })
}

/// A dialect. As a client's it decodes requests and encodes replies; as a provider's it encodes requests and decodes replies.
/// Between equal dialects nothing is encoded: the bytes pass with edits spliced in.
pub(crate) trait Wire: Sync {
    /// What a path is for, behind the dialect's own prefix (`/anthropic`).
    fn classify(&self, path: &str) -> Option<Path>;

    /// Whether requests for an operation have a JSON body that is read here.
    fn has_body(&self, operation: Operation) -> bool;

    /// Whether replies of an operation have a JSON body that is read here.
    fn has_reply_body(&self, operation: Operation) -> bool {
        self.has_body(operation)
    }

    /// Reads the few fields that every plan reads.
    fn read_head(&self, request: &mut Request, whole: &ByteString) -> Scanned<()>;

    /// Reads all of a request, head included.
    fn decode(&self, request: &mut Request, whole: &ByteString) -> Scanned<()>;

    /// Whether requests for an operation may be forms.
    fn takes_forms(&self, _operation: Operation) -> bool {
        false
    }

    /// Reads a request that came as a form: the few fields that every plan reads or, with `words`, all of it.
    fn read_form(&self, _request: &mut Request, _fields: &[Field], _words: bool) -> Scanned<()> {
        Err(Flaw::new(What::NotJson, 0))
    }

    /// What the decoded request's other fields mean.
    fn settings(&self, request: &Request) -> Result<Settings, Fault>;

    /// A request of this dialect to a provider of this dialect: the bytes with all edits and the target's model.
    fn patched(&self, request: &Request, model: &str, ask_usage: bool) -> Result<Bytes, Fault>;

    /// A decoded request of another dialect to a provider of this one.
    fn encode(
        &self,
        request: &Request,
        settings: &Settings,
        model: &str,
        loss: &mut Loss,
    ) -> Result<Bytes, Fault>;

    /// Path and query of an operation behind a provider's base URL; `None` if the dialect has none.
    fn path(&self, operation: Operation, model: &str, stream: bool) -> Option<String>;

    /// The same for a request of this dialect, which may say more than its operation.
    fn own_path(&self, request: &Request, model: &str) -> Option<String> {
        self.path(request.operation, model, request.head.stream)
    }

    /// Headers that every request to a provider bears, unless the client or the policy says otherwise.
    fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        Vec::new()
    }

    /// Reads all of a whole reply.
    fn decode_reply(&self, reply: &mut Reply, operation: Operation, whole: &ByteString) -> Scanned<()>;

    /// Reads of a whole reply what plans need that read no text.
    fn summary(&self, operation: Operation, whole: &ByteString) -> Scanned<ReplySummary>;

    /// A decoded reply in this dialect's words.
    fn encode_reply(&self, reply: &Reply, operation: Operation, identity: &Identity) -> Bytes;

    /// Whether streams tell usage whether the client asked or not.
    fn always_tells_usage(&self) -> bool {
        false
    }

    /// The largest event of a provider's stream that is taken, in bytes.
    fn event_limit(&self, operation: Operation) -> usize {
        if operation == Operation::Response { Sse::LARGE_LIMIT } else { Sse::LIMIT }
    }

    /// How a provider's stream is divided into events.
    fn frames(&self, operation: Operation) -> Frames {
        Frames::Sse(Sse::new(self.event_limit(operation)))
    }

    /// The media type of such a stream.
    fn frames_type(&self) -> &'static str {
        EVENT_STREAM
    }

    /// What keeps a client's connection alive in between, if its streams have such a thing.
    fn keep_alive(&self) -> Option<&'static [u8]> {
        Some(b": keep-alive\n\n")
    }

    /// What an error told inside a provider's stream means.
    fn stream_error(&self, raw: &[u8]) -> ProviderError {
        let data = fields(raw).data.and_then(|range| raw.get(range)).unwrap_or_default();
        self.provider_error(200, &HeaderMap::new(), data)
    }

    /// The media type of the stream that a client asks for.
    fn stream_type(&self, _request: &Request) -> &'static str {
        EVENT_STREAM
    }

    /// What reads a provider's streams.
    fn reader(&self, operation: Operation) -> Box<dyn ReadEvents>;

    /// What writes a client's streams.
    fn writer(&self, operation: Operation, identity: Identity) -> Box<dyn WriteEvents>;

    /// An error's body for a client.
    fn error_body(&self, error: &ErrorBody<'_>) -> Bytes;

    /// Headers that go with it.
    fn error_headers(&self, _error: &ErrorBody<'_>) -> Vec<(HeaderName, HeaderValue)> {
        Vec::new()
    }

    /// What a provider's error reply means; the status 200 is that of an error told inside a stream.
    fn provider_error(&self, status: u16, headers: &HeaderMap, body: &[u8]) -> ProviderError;

    /// The list of models, or one of them.
    fn models(&self, names: &[&str], created: u64) -> Bytes;

    /// One model.
    fn model(&self, name: &str, created: u64) -> Bytes;
}
