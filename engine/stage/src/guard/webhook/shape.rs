//! What the webhook is asked, and what it answers. The doc comments are the reference, and the schema of `schemas/webhook.json`.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The JSON Schema of what `guard: webhook` asks (`question`) and takes for an answer (`answer`).
pub fn webhook_schema() -> Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Webhook>().to_value()
}

/// What `guard: webhook` asks, and the answers that it takes. A question is the body of a `POST`; its answer has a status of 200 to
/// 299. It is signed as Standard Webhooks (standardwebhooks.com) say where the guard has a `secret`: the header `webhook-signature`
/// holds `v1,` and the base64 of an HMAC-SHA256 over `{webhook-id}.{webhook-timestamp}.{body}`; `webhook-timestamp` is the time of the
/// try, in seconds since 1970 UTC; `webhook-id` is the same for all tries of a question.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it stands for its schema")]
struct Webhook<'a> {
    question: Question<'a>,
    answer: Answer,
}

/// What is judged.
#[derive(Serialize, JsonSchema)]
pub(super) struct Question<'a> {
    /// The version of this shape: within it, things are only added.
    pub(super) version: u8,
    /// The id of the request (`x-request-id`).
    pub(super) request: &'a str,
    /// The revision of the policy.
    pub(super) revision: &'a str,
    /// The pipeline.
    pub(super) pipeline: &'a str,
    /// The guard's name.
    pub(super) stage: &'a str,
    /// `request`: what a client sends; `reply`: what a model says.
    pub(super) side: &'a str,
    /// Of a stream: what part of it this is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stream: Option<StreamPart>,
    /// What is asked of the model: `chat`, `embedding` …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) operation: Option<&'a str>,
    /// The model that the client asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) model: Option<&'a str>,
    /// Who calls, if anybody is known; never their credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) caller: Option<CallerSaid<'a>>,
    /// The tags that stages above gave the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tags: Option<Vec<&'a str>>,
    /// The texts to judge.
    pub(super) texts: Vec<TextSaid<'a>>,
    /// What the client said, where a reply is judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prompt: Option<Vec<TextSaid<'a>>>,
}

/// A part of a stream.
#[derive(Serialize, JsonSchema)]
pub(super) struct StreamPart {
    /// Whether nothing more comes in this block of the reply.
    pub(super) last: bool,
}

/// Who calls.
#[derive(Serialize, JsonSchema)]
pub(super) struct CallerSaid<'a> {
    /// How they were identified: `key`, `jwt` …
    pub(super) by: &'a str,
    /// The name of their key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<&'a str>,
    /// The user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<&'a str>,
    /// The team.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) team: Option<&'a str>,
    /// The project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) project: Option<&'a str>,
    /// What was given with their key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) tags: BTreeMap<&'a str, &'a Value>,
    /// What their token says of them, where the guard's `fields` name `claims`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) claims: Option<&'a Map<String, Value>>,
}

/// A text.
#[derive(Serialize, JsonSchema)]
pub(super) struct TextSaid<'a> {
    /// What it is for: `system`, `user`, `assistant`, `tool`, `arguments`, `reasoning`, `refusal`, `input`, `definition` or `field`.
    pub(super) role: &'a str,
    /// The message or choice that it belongs to, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<usize>,
    /// What went out before it, so that it is understood.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) before: &'a str,
    /// The text, without JSON's escapes.
    pub(super) text: &'a str,
}

/// What the webhook says.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Answer {
    /// What becomes of it.
    pub(super) verdict: Verdict,
    /// Why, for the trace. It should quote no text.
    #[serde(default)]
    pub(super) reason: Option<String>,
    /// What the client is told of a denial, where the policy does not say.
    #[serde(default)]
    pub(super) message: Option<String>,
    /// What is to stand where; goes with `verdict: edit`, of a guard that says `edits: true`.
    #[serde(default)]
    pub(super) edits: Vec<Edit>,
    /// Tags that the request gets, whatever the verdict.
    #[serde(default)]
    pub(super) tags: Vec<String>,
}

/// What becomes of what is judged.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// It goes on.
    Allow,
    /// It is refused, or what the guard's `then` says.
    Deny,
    /// It goes on as `edits` say.
    Edit,
}

/// Another text in the place of a text or of a part of it.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Edit {
    /// The number of the text in `texts`, from 0.
    pub(super) text: usize,
    /// The first character that goes (Unicode code points, from 0); the text's first if not said.
    #[serde(default)]
    pub(super) start: Option<usize>,
    /// The character behind the last that goes; the text's end if not said.
    #[serde(default)]
    pub(super) end: Option<usize>,
    /// What stands there instead.
    pub(super) with: String,
}
