//! Sets are loaded as their users would write them: findings, declarations, folders, random texts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod diagnostics;
mod folders;
mod random;
mod stages;

use schemars::{JsonSchema, schema_for};
use serde::Deserialize;
use weir_diagnostic::units::{Duration, Rate, Ratio};
use weir_message::Verb;
use weir_policy::{Builtins, Catalogue, Environment, Expr, Loaded, Node, Secret, Snapshot, Spanned, load};

/// A stand-in for the registry of built-ins, which lives rooms above.
pub struct FewStages;

/// Settings of a rate guard.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateSettings {
    /// How many tokens in how long.
    pub tokens: Option<Rate>,
    /// Whose count it is.
    pub per: Expr,
}

/// Settings of a guard for personal data.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PiiSettings {
    /// What to look for.
    #[schemars(length(min = 1))]
    pub find: Vec<Spanned<Find>>,
    /// What happens to it.
    #[serde(default)]
    pub then: Then,
    /// How sure the model must be.
    pub sure: Option<Ratio>,
}

/// A kind of personal data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Find {
    /// An e-mail address.
    Email,
    /// A telephone number.
    Phone,
    /// A payment card.
    Card,
}

/// What happens to a find.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Then {
    /// The request is denied.
    #[default]
    Deny,
    /// A placeholder stands for it.
    Replace,
}

/// Settings of a route that falls back.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FallbackSettings {
    /// Where to, in order.
    pub to: Vec<Rung>,
    /// Longest time for all of them.
    pub deadline: Option<Duration>,
}

/// A model's name, or a model and when to go to it.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub enum Rung {
    /// A model.
    Name(Spanned<String>),
    /// A model and its causes.
    Full(FullRung),
}

/// A model and its causes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FullRung {
    /// The model.
    pub model: Spanned<String>,
    /// The causes.
    pub on: Vec<String>,
}

impl<'de> Deserialize<'de> for Rung {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let node = Node::deserialize(deserializer)?;
        match node.as_str() {
            Some(_) => node.read_as().map(Rung::Name),
            None => node.read_as().map(Rung::Full),
        }
        .map_err(serde::de::Error::custom)
    }
}

/// Settings of a transform that sets a header.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderSettings {
    /// Its value.
    pub token: Secret,
}

/// No settings.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

impl Builtins for FewStages {
    fn names(&self, verb: Verb) -> Vec<&'static str> {
        match verb {
            Verb::Guard => vec!["rate", "pii"],
            Verb::Route => vec!["fallback"],
            Verb::Observe => vec!["log"],
            Verb::Transform => vec!["headers"],
            Verb::Cache => vec![],
        }
    }

    fn schema(&self, verb: Verb, name: &str) -> Option<schemars::Schema> {
        match (verb, name) {
            (Verb::Guard, "rate") => Some(schema_for!(RateSettings)),
            (Verb::Guard, "pii") => Some(schema_for!(PiiSettings)),
            (Verb::Route, "fallback") => Some(schema_for!(FallbackSettings)),
            (Verb::Transform, "headers") => Some(schema_for!(HeaderSettings)),
            (Verb::Observe, "log") => Some(schema_for!(NoSettings)),
            _ => None,
        }
    }
}

/// A catalogue of two rows.
pub struct TwoRows;

impl Catalogue for TwoRows {
    fn row_names(&self) -> Vec<String> {
        vec!["openai".to_owned(), "echo".to_owned()]
    }
}

/// A shipped library of one policy.
pub const LIBRARY: [(&str, &str); 1] = [(
    "shield",
    "weir: v1\nstages:\n  shield:\n    params: { find: { type: list, default: [email] } }\n    stages:\n      - guard: pii\n        with: { find: \"${param:find}\" }\n",
)];

/// Loads files that are in memory.
pub fn loaded(files: &[(&str, &str)]) -> Loaded {
    loaded_from(&Snapshot::from_files(files.iter().copied()))
}

/// Loads a snapshot.
pub fn loaded_from(snapshot: &Snapshot) -> Loaded {
    load(snapshot, &Environment { builtins: &FewStages, catalogue: &TwoRows, library: &LIBRARY })
}

/// A loaded set as people see its findings.
pub fn shown(loaded: &Loaded) -> String {
    weir_diagnostic::render(&loaded.sources, &loaded.diagnostics, false)
}

/// The set of one file, or a panic that shows why there is none.
pub fn set_of(text: &str) -> weir_policy::PolicySet {
    let loaded = loaded(&[("policy.yaml", text)]);
    match loaded.set {
        Some(set) => set,
        None => panic!("{}", weir_diagnostic::render(&loaded.sources, &loaded.diagnostics, false)),
    }
}
