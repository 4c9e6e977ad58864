//! How a stage, a pipeline, a frame and a library entry are written, and what they are once resolved.

use crate::fields::{LATER, Later};
use crate::mend::Lost;
use crate::set::Params;
use crate::{Expr, Node, NodeKind, Spanned};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use std::borrow::Cow;
use std::sync::Arc;
use weir_diagnostic::units::{Duration, Ratio};
use weir_diagnostic::{Embedded, Span};
use weir_message::{DenyAs, Mode, Verb};

/// One step of a pipeline: exactly one of the five verbs, or `use`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StageItem {
    /// Chooses targets: a built-in route.
    pub(crate) route: Option<Spanned<String>>,
    /// May deny, or edit for safety: a built-in guard, or a name of yours beside `cel` or `rhai`.
    pub(crate) guard: Option<Spanned<String>>,
    /// May answer: a built-in cache.
    pub(crate) cache: Option<Spanned<String>>,
    /// May edit: a built-in transform, or a name of yours beside `rhai`.
    pub(crate) transform: Option<Spanned<String>>,
    /// Only looks: a built-in observer, or a name of yours beside `rhai`.
    pub(crate) observe: Option<Spanned<String>>,
    /// Guards that judge the request side by side, each on its own copy: none of them edits. The first in written order that
    /// refuses counts, and the others are let go.
    pub(crate) together: Option<Later<Vec<StageItem>>>,
    /// What goes on while the guards of `together` judge: `upstream` asks the provider already, and lets nothing of its answer
    /// out before all have let the request pass.
    #[serde(rename = "while")]
    pub(crate) while_: Option<Spanned<WhileName>>,
    /// Brings in the stages of an entry under `stages`, or of the library (`weir/NAME`).
    #[serde(rename = "use")]
    pub(crate) use_: Option<Spanned<String>>,
    /// The settings of the built-in, or the parameters of what is used.
    #[schemars(extend("type" = "object"))]
    pub(crate) with: Option<Node>,
    /// The body as a CEL expression: true lets the request go on.
    pub(crate) cel: Option<Expr>,
    /// The body as a Rhai script: its text, or `file: NAME.rhai`.
    pub(crate) rhai: Option<RhaiItem>,
    /// The stage's name in traces, metrics and state; unique in its pipeline. What it runs, by default.
    #[schemars(length(min = 1, max = 100))]
    pub(crate) name: Option<Spanned<String>>,
    /// Whether it takes part in a request; asked once, on the way down.
    pub(crate) when: Option<Expr>,
    /// `shadow` decides on a copy and only says what it would have done; `off` does not run.
    pub(crate) mode: Option<Spanned<ModeName>>,
    /// Longest time for one of its hooks.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub(crate) timeout: Option<Spanned<Duration>>,
    /// What happens when it cannot decide. By default guards deny, caches and observers are skipped, transforms and routes fail.
    pub(crate) on_error: Option<Spanned<OnError>>,
    /// The share of requests it takes part in, by a hash of request and stage.
    pub(crate) sample: Option<Spanned<Ratio>>,
    /// How its denial reads.
    pub(crate) deny: Option<Spanned<Deny>>,
    /// `whole` holds streams back until the reply is complete.
    pub(crate) stream: Option<Spanned<StreamName>>,
    /// How much of a stream waits for its verdict.
    pub(crate) hold: Option<Spanned<Hold>>,
    /// `pass` lets operations pass that it cannot read.
    pub(crate) unread: Option<Spanned<UnreadName>>,
    /// `skip` lets a cache above it answer without it.
    pub(crate) on_hit: Option<Spanned<OnHitName>>,
    /// Stages that run once per attempt.
    pub(crate) attempt: Option<Later<Vec<StageItem>>>,
}

/// The verbs, each the name of the field that holds it.
pub const VERBS: [Verb; 5] = [Verb::Route, Verb::Guard, Verb::Cache, Verb::Transform, Verb::Observe];

/// The verbs whose stages take a field (`deny`, `attempt` …): those of which the language says it, else all.
pub fn verbs_of_field(field: &str) -> &'static [Verb] {
    match field {
        "deny" | "hold" | "unread" | "on_hit" => &[Verb::Guard],
        "stream" => &[Verb::Guard, Verb::Transform],
        "attempt" => &[Verb::Route],
        // They stand in the place of a verb.
        "together" | "while" => &[],
        _ => &VERBS,
    }
}

impl StageItem {
    /// All of its fields.
    pub(crate) const FIELDS: [&str; 23] = [
        "route",
        "guard",
        "cache",
        "transform",
        "observe",
        "use",
        "with",
        "cel",
        "rhai",
        "name",
        "when",
        "mode",
        "timeout",
        "on_error",
        "sample",
        "deny",
        "stream",
        "hold",
        "unread",
        "on_hit",
        "attempt",
        "together",
        "while",
    ];

    pub(crate) fn verb(&self, verb: Verb) -> Option<&Spanned<String>> {
        match verb {
            Verb::Route => self.route.as_ref(),
            Verb::Guard => self.guard.as_ref(),
            Verb::Cache => self.cache.as_ref(),
            Verb::Transform => self.transform.as_ref(),
            Verb::Observe => self.observe.as_ref(),
        }
    }
}

/// How a stage takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ModeName {
    /// It decides.
    Enforce,
    /// It decides on a copy and says what it would have done.
    Shadow,
    /// It does not run.
    Off,
}

impl From<ModeName> for Mode {
    fn from(name: ModeName) -> Self {
        match name {
            ModeName::Enforce => Self::Enforce,
            ModeName::Shadow => Self::Shadow,
            ModeName::Off => Self::Off,
        }
    }
}

/// What happens when a stage cannot decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnError {
    /// The request is refused with 503 `stage-unavailable`, as by a denial.
    Deny,
    /// The request goes on without it.
    Skip,
    /// The request fails with 503 `stage-unavailable`.
    Fail,
}

impl OnError {
    /// What holds where a policy does not say.
    pub fn default_of(verb: Verb) -> Self {
        match verb {
            Verb::Guard => Self::Deny,
            Verb::Cache | Verb::Observe => Self::Skip,
            Verb::Transform | Verb::Route => Self::Fail,
        }
    }
}

/// How a guard's denial reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Deny {
    /// The HTTP status.
    #[schemars(range(min = 400, max = 599))]
    pub status: Option<u16>,
    /// `error.code` of the reply.
    #[schemars(length(min = 1, max = 100))]
    pub code: Option<String>,
    /// `error.message` of the reply.
    pub message: Option<String>,
    /// As an error, or as a reply of the assistant that says the message.
    #[serde(rename = "as")]
    pub form: DenyForm,
}

/// The form of a denial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DenyForm {
    /// An error in the client's dialect.
    #[default]
    Error,
    /// A reply of the assistant.
    Reply,
}

impl From<DenyForm> for DenyAs {
    fn from(form: DenyForm) -> Self {
        match form {
            DenyForm::Error => Self::Error,
            DenyForm::Reply => Self::Reply,
        }
    }
}

/// How much of a stream waits for a guard's verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Hold {
    /// As much as the guard says it needs.
    #[default]
    Declared,
    /// Up to the end of a sentence.
    Sentence,
    /// The whole reply.
    All,
}

/// How a stage treats streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StreamName {
    /// Held back until the reply is complete.
    Whole,
}

/// What a guard does with operations it cannot read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum UnreadName {
    /// It lets them pass.
    Pass,
}

/// What goes on while guards judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum WhileName {
    /// The provider is asked.
    Upstream,
}

/// A guard's place among others that judge side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Together {
    /// The group's number in the set.
    pub number: u32,
    /// Whether the provider is asked meanwhile.
    pub upstream: bool,
}

/// What a guard below a cache does on a hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OnHitName {
    /// It is skipped.
    Skip,
}

/// A list of stages in the settings of a built-in. The loader resolves it; whoever reads the settings has nothing to do.
#[derive(Clone, Debug)]
pub struct Stages;

impl<'de> Deserialize<'de> for Stages {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Node::deserialize(deserializer).map(|_| Self)
    }
}

impl JsonSchema for Stages {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Stages".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let stage = format!("#/$defs/{}", StageItem::schema_name());
        json_schema!({ "type": "array", "items": { "$ref": stage }, LATER: true })
    }
}

/// A script, here or in a file.
#[derive(Clone, Debug)]
pub(crate) enum RhaiItem {
    Text(Embedded),
    File { path: String, span: Span },
}

impl<'de> Deserialize<'de> for RhaiItem {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let node = Node::deserialize(deserializer)?;
        match (node.text(), node.get("file")) {
            (Some(text), _) => Ok(Self::Text(text.clone())),
            (None, Some(file)) => {
                Ok(Self::File { path: file.as_str().unwrap_or_default().to_owned(), span: file.span })
            }
            _ => Err(serde::de::Error::custom("a script is its text, or `file: NAME.rhai`")),
        }
    }
}

impl JsonSchema for RhaiItem {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Rhai".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A Rhai script: its text, or a file beside this one.",
            "anyOf": [
                { "type": "string", "format": "rhai" },
                {
                    "type": "object",
                    "properties": { "file": {
                        "type": "string", "minLength": 1,
                        "description": "Path of a `.rhai` file, relative to this one, inside the set's folder.",
                    } },
                    "required": ["file"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}

/// An ordered list of stages, and which requests it takes.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PipelineItem {
    /// The pipeline's name, unique in the set.
    #[schemars(required, length(min = 1, max = 100))]
    pub(crate) pipeline: Option<Spanned<String>>,
    /// Which requests it takes; all by default. The first pipeline that takes a request has it.
    #[serde(default)]
    pub(crate) when: Option<Expr>,
    /// Whether callers without credentials may use it.
    #[serde(default)]
    pub(crate) anonymous: bool,
    /// Longest time for a whole request.
    #[serde(default)]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub(crate) deadline: Option<Spanned<Duration>>,
    /// Its stages, from the client to the provider.
    #[serde(default)]
    pub(crate) stages: Option<Later<Vec<StageItem>>>,
}

/// Stages wrapped around every pipeline; only in the set's root folder.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FrameItem {
    /// The frame's name, unique in the set.
    #[schemars(required, length(min = 1, max = 100))]
    pub(crate) frame: Option<Spanned<String>>,
    /// Which requests it applies to; all by default.
    #[serde(default)]
    pub(crate) when: Option<Expr>,
    /// Its stages, before those of the pipeline.
    #[schemars(required)]
    pub(crate) stages: Option<Later<Vec<StageItem>>>,
}

/// Stages to be brought in by `use`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LibraryItem {
    /// What it is for.
    #[serde(default)]
    #[allow(dead_code, reason = "read by people and by the generated pages")]
    pub(crate) doc: Option<String>,
    /// Its parameters: in its stages `${param:NAME}` stands for the value, and CEL and Rhai read `params.NAME`.
    #[serde(default)]
    pub(crate) params: std::collections::BTreeMap<String, Spanned<ParamItem>>,
    /// The stages.
    #[schemars(required)]
    pub(crate) stages: Option<Later<Vec<StageItem>>>,
}

/// A parameter of a library entry.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ParamItem {
    /// What values it takes.
    #[serde(rename = "type")]
    pub(crate) kind: ParamType,
    /// Its value where none is given; without one it must be given.
    #[serde(default)]
    pub(crate) default: Option<Node>,
    /// What it is for.
    #[serde(default)]
    pub(crate) doc: Option<String>,
}

/// The type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ParamType {
    /// Text.
    String,
    /// A whole number.
    Int,
    /// A number; expressions and scripts read it as a broken one.
    Number,
    /// True or false.
    Bool,
    /// A list.
    List,
    /// A mapping.
    Map,
    /// A time span with a unit, such as `60s`.
    Duration,
    /// A CEL expression.
    Cel,
    /// Anything.
    Any,
}

impl ParamType {
    /// The type of a value that no declaration speaks of.
    pub(crate) fn of(value: &Node) -> Self {
        match value.kind {
            NodeKind::Null => Self::Any,
            NodeKind::Bool(_) => Self::Bool,
            NodeKind::Int(_) => Self::Int,
            NodeKind::Float(_) => Self::Number,
            NodeKind::Str(_) => Self::String,
            NodeKind::Seq(_) => Self::List,
            NodeKind::Map(_) => Self::Map,
        }
    }
}

/// One stage, resolved: library entries expanded, parameters filled in, places kept.
#[derive(Clone, Debug)]
pub struct StageDecl {
    /// Its name, unique in its pipeline, frames included.
    pub name: Arc<str>,
    /// The place of its verb's value: where a finding about the whole stage points.
    pub span: Span,
    /// What it may do.
    pub verb: Verb,
    /// What it runs.
    pub body: BodyDecl,
    /// The settings of a built-in, for its own [`bind`](crate::bind); an empty mapping where there are none. Already checked
    /// against its schema.
    pub with: Node,
    /// When it takes part in a request: all of them hold. Its own, and those of each `use` that it came through.
    pub when: Vec<Condition>,
    /// How it takes part.
    pub mode: Mode,
    /// Longest time for one of its hooks, if the policy says.
    pub timeout: Option<std::time::Duration>,
    /// What happens when it cannot decide; the verb's default filled in.
    pub on_error: OnError,
    /// The share of requests it takes part in, from 0 to 1; 1 by default.
    pub sample: f64,
    /// How its denial reads, if the policy says (guards).
    pub deny: Option<Spanned<Deny>>,
    /// Whether streams are held back for it (`stream: whole`).
    pub stream_whole: bool,
    /// How much of a stream waits for its verdict.
    pub hold: Hold,
    /// Whether operations pass that it cannot read (`unread: pass`).
    pub unread_pass: bool,
    /// Whether a cache above it may answer without it (`on_hit: skip`).
    pub on_hit_skip: bool,
    /// Whether it judges side by side with others.
    pub together: Option<Together>,
    /// Stages that run once per attempt (routes), those of the outermost route first.
    pub attempt: Vec<StageDecl>,
    /// Of a stage that runs per attempt: the places that the attempt must have come by, from the outermost route's `to` down. None
    /// for those of the outermost route, which run at every attempt.
    pub within: Vec<u16>,
    /// What CEL and Rhai read as `params`: the set's, or those of the library entry it comes from.
    pub params: Arc<Params>,
    /// The library entry it comes from, and where that was used.
    pub used: Option<Spanned<Arc<str>>>,
    /// The fields that are left out because they are wrong; none in a set that loads. With its verb's name among them not even
    /// the built-in is known.
    pub lost: Lost,
}

/// A condition, and what it reads as `params`.
#[derive(Clone, Debug)]
pub struct Condition {
    /// The expression.
    pub expr: Expr,
    /// The parameters of the place where it is written.
    pub params: Arc<Params>,
}

/// What a stage runs.
#[derive(Clone, Debug)]
pub enum BodyDecl {
    /// A built-in, by name.
    Builtin(Spanned<Arc<str>>),
    /// A CEL expression.
    Cel(Expr),
    /// A Rhai script.
    Rhai(Embedded),
}

/// An ordered list of stages, and which requests it takes.
#[derive(Clone, Debug)]
pub struct PipelineDecl {
    /// Its name, unique in the set.
    pub name: Spanned<Arc<str>>,
    /// Which requests it takes; all where `None`.
    pub when: Option<Expr>,
    /// Whether callers without credentials may use it.
    pub anonymous: bool,
    /// Longest time for a whole request.
    pub deadline: Option<std::time::Duration>,
    /// Its stages, without those of frames.
    pub stages: Vec<StageDecl>,
    /// The fields that are left out because they are wrong; `stages` where stages are missing from the list.
    pub lost: Lost,
}

/// Stages wrapped around every pipeline that its `when` matches.
#[derive(Clone, Debug)]
pub struct FrameDecl {
    /// Its name, unique in the set.
    pub name: Spanned<Arc<str>>,
    /// Which requests it applies to; all where `None`.
    pub when: Option<Expr>,
    /// Its stages.
    pub stages: Vec<StageDecl>,
    /// The fields that are left out because they are wrong; `stages` where stages are missing from the list.
    pub lost: Lost,
}
