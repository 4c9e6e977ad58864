//! What a policy says about the guard.

use super::kind::Kind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use weir_policy::{Secret, Spanned};

/// The settings of `guard: pii`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// What to look for. Persons, places and addresses are found by a model in the process, all else by rules.
    pub(crate) find: Vec<Kind>,
    /// Patterns of your own, each with a name (letters, digits, `-`): a regular expression, without look-around.
    #[serde(default)]
    pub(crate) custom: BTreeMap<String, Spanned<String>>,
    /// What is done with a find.
    #[serde(default)]
    pub(crate) then: Then,
    /// What is done with some kinds instead.
    #[serde(default)]
    pub(crate) then_for: BTreeMap<Kind, Then>,
    /// Whether placeholders in the reply become again what they stand for; goes with `then: replace`.
    #[serde(default)]
    pub(crate) restore: bool,
    /// Which way it looks: at what clients send, at what models say. What `restore` puts back is never found again.
    #[serde(default = "both")]
    pub(crate) on: Vec<Side>,
    /// Regions (ISO 3166: `US`, `DE`) whose telephone numbers are found without their country code; `US` if none is named.
    #[serde(default)]
    pub(crate) regions: Vec<Spanned<String>>,
    /// How sure a find must be, from 0 to 1.
    #[serde(default = "half")]
    pub(crate) min_score: f32,
    /// The model that finds persons, places and addresses.
    #[serde(default = "tagger")]
    pub(crate) model: String,
    /// The key of `then: hash`; without it hashes change when the process starts anew.
    pub(crate) salt: Option<Secret>,
    /// What the client is told when a find denies; it never quotes the find.
    pub(crate) message: Option<String>,
}

/// What is done with a find.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Then {
    /// The request or reply is refused.
    Deny,
    /// `[EMAIL]` stands in its place.
    #[default]
    Mask,
    /// `[EMAIL:3f2a9c1b04d7]` stands in its place: a keyed hash, the same for the same value until the process ends.
    Hash,
    /// `<EMAIL_1>` stands in its place, numbered within the request; the same value has the same number.
    Replace,
    /// It is counted in the trace and left as it is.
    Observe,
}

/// A way through the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Side {
    /// What the client sends.
    Request,
    /// What the model says, whole or streamed.
    Reply,
}

fn both() -> Vec<Side> {
    vec![Side::Request, Side::Reply]
}

fn half() -> f32 {
    0.5
}

fn tagger() -> String {
    weir_inference::DEFAULT_TAGGER.to_owned()
}
