//! Case files as people write them. The doc comments are the reference, and the schema of `schemas/test.json`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use weir_diagnostic::units::Duration;
use weir_policy::{Expr, Node, Spanned};

/// A file of cases for one policy set (`*.test.yaml`).
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CaseFile {
    /// The folder of the policy set, relative to this file.
    #[serde(default = "here")]
    pub policy: String,
    /// The cases. Each starts with empty state: no counts, no cache entries.
    pub cases: Vec<Node>,
}

fn here() -> String {
    ".".to_owned()
}

/// One case: a request or several in a row, what the providers answer, and what must come of it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CaseSpec {
    /// What it shows, in one line. `--run` picks cases by it.
    pub note: Spanned<String>,
    /// When it happens (RFC 3339); `2026-01-05T12:00:00Z`, a Monday, if not said. Time then moves only as the case says.
    pub at: Option<Spanned<String>>,
    /// Why the case is left out for now. It is reported as SKIP.
    pub skip: Option<String>,
    /// Why the case makes sense only in-process. The HTTP runner skips it.
    pub only_in_process: Option<String>,
    /// The request.
    pub request: RequestSpec,
    /// What the providers answer, in order. A call without an entry fails the case, and so does an entry without a call.
    #[serde(default)]
    pub upstream: Vec<Node>,
    /// What must come of it: CEL over the view, or short forms. At least one, here or in `then`.
    #[serde(default)]
    pub expect: Vec<Node>,
    /// How often the request is sent, each time with the same `upstream` and `expect`.
    #[serde(default = "once")]
    pub repeat: u32,
    /// The client leaves after this many events of the stream.
    pub leave_after: Option<u32>,
    /// Further requests in the same state, one after the other.
    #[serde(default)]
    pub then: Vec<StepSpec>,
}

/// A further request of a case.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepSpec {
    /// What it shows.
    pub note: Option<String>,
    /// How much time passes before it.
    pub wait: Option<Duration>,
    /// The request; fields of the body that are left out are those of the case's first request.
    #[serde(default)]
    pub request: RequestSpec,
    /// What the providers answer.
    #[serde(default)]
    pub upstream: Vec<Node>,
    /// What must come of it.
    #[serde(default)]
    pub expect: Vec<Node>,
    /// How often it is sent.
    #[serde(default = "once")]
    pub repeat: u32,
    /// The client leaves after this many events of the stream.
    pub leave_after: Option<u32>,
}

fn once() -> u32 {
    1
}

/// A client's request. Fields other than those below are the fields of its body (`model`, `messages`, `stream` …).
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub struct RequestSpec {
    /// What it asks for: `chat` (the default), `completion`, `response`, `embedding`, `moderation`, `image`, `speech` or
    /// `model`. Gives method and path of OpenAI's API; other requests say `path`.
    pub operation: Option<String>,
    /// The method, if not the operation's.
    pub method: Option<String>,
    /// The path, if not the operation's.
    pub path: Option<String>,
    /// The name of the listener it comes in by; the set's first if not said.
    pub listener: Option<String>,
    /// Headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Who calls: the name of a key of the set, or a key itself. Sent as `authorization: Bearer …`.
    pub key: Option<String>,
    /// Who calls: what a token (`identify: [{ jwt: … }]`) says of them. It is believed here without a signature; what it leaves out of
    /// `iss`, `aud` and `exp` is as the policy wants it. Over HTTP nobody believes it: the case says `only_in_process`.
    pub claims: Option<Map<String, Value>>,
    /// The body as it is, instead of the fields.
    pub raw_body: Option<String>,
    /// The fields of the body.
    #[serde(flatten)]
    pub body: Map<String, Value>,
}

/// One answer of a provider.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EntrySpec {
    /// The target that must be called, `provider/model`; any if not said.
    pub target: Option<String>,
    /// How long the provider takes before it answers.
    pub delay: Option<Duration>,
    /// The words of the answer. Streamed word by word if the request asks for a stream.
    pub reply: Option<String>,
    /// The answer's words are the request's own: its `system` prompt or the last `user` turn.
    pub mirror: Option<MirrorSpec>,
    /// Pieces of a streamed answer, one event each.
    pub events: Option<Vec<PieceSpec>>,
    /// A tool call as the answer.
    pub tool_call: Option<ToolCallSpec>,
    /// The status, if not 200. From 400 the body is an error in the provider's dialect unless `body` says otherwise.
    pub status: Option<u16>,
    /// Headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The whole body: text as it is, or a mapping sent as JSON.
    pub body: Option<Value>,
    /// What goes wrong: `connect` (no connection), `timeout` (no answer, ever), `cut` (the connection ends before the
    /// answer does), `stall` (the answer begins and never ends).
    pub fault: Option<FaultSpec>,
    /// The tokens it says were spent; `{ input: 10, output: 10 }` if not said.
    pub usage: Option<UsageSpec>,
    /// Why the model ended: `stop` (the default), `length`, `tool_calls`, `content_filter`.
    pub finish: Option<String>,
}

/// What of a request an answer repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MirrorSpec {
    /// The first system prompt.
    System,
    /// The last user turn.
    User,
}

/// One piece of a streamed answer.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum PieceSpec {
    /// A piece of text.
    Text(String),
    /// Something else than text.
    Other(OtherPiece),
}

/// A piece that is no text.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OtherPiece {
    /// A pause.
    pub delay: Option<Duration>,
    /// Bytes of the stream as they are, line ends included.
    pub raw: Option<String>,
    /// A comment that keeps the connection alive.
    pub comment: Option<String>,
    /// A frame of AWS's event streams by its name (`contentBlockDelta`, `throttlingException`), around `data`.
    pub frame: Option<String>,
    /// The payload of `frame`, sent as JSON.
    pub data: Option<Value>,
}

/// A tool call of the model.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolCallSpec {
    /// The tool.
    pub name: String,
    /// Its arguments.
    #[serde(default)]
    pub arguments: Map<String, Value>,
}

/// What goes wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FaultSpec {
    /// No connection.
    Connect,
    /// No answer, ever.
    Timeout,
    /// The connection ends before the answer does.
    Cut,
    /// The answer begins and never ends.
    Stall,
}

/// Tokens that a provider says were spent.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UsageSpec {
    /// Of the prompt.
    #[serde(default)]
    pub input: u64,
    /// Of the answer.
    #[serde(default)]
    pub output: u64,
    /// Of the prompt, read from the provider's cache.
    #[serde(default)]
    pub cached_input: u64,
}

/// Short forms of expectations; each is a CEL expression of its own.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShortSpec {
    /// The status that the client gets: `client.status == …`.
    pub status: Option<u16>,
    /// `error.code` that the client gets: `client.error.code == …`.
    pub error: Option<String>,
    /// The words that the client gets: `client.text == …`.
    pub text: Option<String>,
    /// Words in what the client gets: `client.text.contains(…)`.
    pub contains: Option<String>,
    /// Words that are nowhere in what the client gets: `!client.body.contains(…)`.
    pub lacks: Option<String>,
    /// How many calls reach providers: `size(upstream) == …`.
    pub calls: Option<u32>,
    /// Words that reach no provider.
    pub never_sent: Option<String>,
    /// What a cache said: `client.headers["x-weir-cache"] == …`.
    pub cache: Option<String>,
    /// Where the reply came from, `provider/model`: `client.headers["x-weir-target"] == …`.
    pub target: Option<String>,
    /// What stages did, by name: `trace.stage("…").decision == "…"`.
    pub stages: Option<BTreeMap<String, String>>,
}

/// The documented shape of the whole file, for editors: what [`CaseFile`] and its nodes are bound to.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "read by schemars alone")]
#[schemars(deny_unknown_fields, rename = "CaseFile")]
struct Documented {
    /// The folder of the policy set, relative to this file; its own if not said.
    policy: Option<String>,
    /// The cases. Each starts with empty state: no counts, no cache entries.
    #[schemars(length(min = 1))]
    cases: Vec<DocumentedCase>,
}

macro_rules! documented {
    ($name:ident, $title:literal, $about:literal { $($(#[$doc:meta])+ $field:ident: $type:ty,)+ }) => {
        #[doc = $about]
        #[derive(JsonSchema)]
        #[allow(dead_code, reason = "read by schemars alone")]
        #[schemars(deny_unknown_fields, rename = $title)]
        struct $name { $($(#[$doc])+ $field: $type,)+ }
    };
}

documented!(DocumentedCase, "Case", "One case: a request or several in a row, what the providers answer, and what must come of it." {
    /// What it shows, in one line. `--run` picks cases by it.
    note: String,
    /// When it happens (RFC 3339); `2026-01-05T12:00:00Z`, a Monday, if not said. Time then moves only as the case says.
    at: Option<String>,
    /// Why the case is left out for now. It is reported as SKIP.
    skip: Option<String>,
    /// Why the case makes sense only in-process. The HTTP runner skips it.
    only_in_process: Option<String>,
    /// The request.
    request: RequestSpec,
    /// What the providers answer, in order. A call without an entry fails the case, and so does an entry without a call.
    upstream: Option<Vec<EntrySpec>>,
    /// What must come of it: CEL over the view, or short forms. At least one, here or in `then`.
    expect: Option<Vec<DocumentedExpect>>,
    /// How often the request is sent, each time with the same `upstream` and `expect`; once if not said.
    repeat: Option<u32>,
    /// The client leaves after this many events of the stream.
    leave_after: Option<u32>,
    /// Further requests in the same state, one after the other.
    then: Option<Vec<DocumentedStep>>,
});

documented!(DocumentedStep, "Step", "A further request of a case." {
    /// What it shows.
    note: Option<String>,
    /// How much time passes before it.
    wait: Option<Duration>,
    /// The request; fields of the body that are left out are those of the case's first request.
    request: Option<RequestSpec>,
    /// What the providers answer.
    upstream: Option<Vec<EntrySpec>>,
    /// What must come of it.
    expect: Option<Vec<DocumentedExpect>>,
    /// How often it is sent; once if not said.
    repeat: Option<u32>,
    /// The client leaves after this many events of the stream.
    leave_after: Option<u32>,
});

#[derive(JsonSchema)]
#[allow(dead_code, reason = "read by schemars alone")]
#[schemars(untagged, rename = "Expectation")]
enum DocumentedExpect {
    /// A CEL expression over the view that must be true.
    Cel(Expr),
    /// A short form.
    Short(ShortSpec),
}

/// The JSON Schema of case files.
pub fn case_schema() -> Value {
    let generator = schemars::generate::SchemaSettings::draft2020_12().for_deserialize().into_generator();
    generator.into_root_schema_for::<Documented>().to_value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_shape_has_the_fields_that_are_read() {
        let schema = case_schema();
        let names = |pointer: &str| -> Vec<String> {
            schema.pointer(pointer).unwrap().as_object().unwrap().keys().cloned().collect()
        };
        let read = |value: Value| -> Vec<String> {
            value.pointer("/properties").unwrap().as_object().unwrap().keys().cloned().collect()
        };
        assert_eq!(names("/properties"), read(schemars::schema_for!(CaseFile).to_value()));
        assert_eq!(names("/$defs/Case/properties"), read(schemars::schema_for!(CaseSpec).to_value()));
        assert_eq!(names("/$defs/Step/properties"), read(schemars::schema_for!(StepSpec).to_value()));
    }
}
