//! What the catalogue knows of a provider and its models.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_message::{Dialect, Money, Usage};

/// An account at a model API, but for its credential.
#[derive(Clone, Debug, PartialEq)]
pub struct Provider {
    /// The name that policies use.
    pub name: String,
    /// The name for people.
    pub title: String,
    /// How it is reached.
    pub kind: Kind,
    /// Where its API begins, without a trailing `/`; empty for [`Kind::Echo`].
    pub base_url: String,
    /// Its wire format.
    pub dialect: Dialect,
    /// How the credential is shown.
    pub auth: Auth,
    /// Its models.
    pub models: Vec<Model>,
}

impl Provider {
    /// What is known of a model: exactly, or else by the longest pattern.
    pub fn model(&self, name: &str) -> Option<&Model> {
        let exact = self.models.iter().find(|model| model.name == name);
        exact.or_else(|| {
            let fits = |model: &&Model| model.prefix().is_some_and(|prefix| name.starts_with(prefix));
            self.models.iter().filter(fits).max_by_key(|model| model.name.len())
        })
    }
}

/// How a provider is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Over HTTP.
    #[default]
    Http,
    /// In the process: the built-in provider that echoes.
    Echo,
}

/// How a credential is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Not at all.
    None,
    /// `authorization: Bearer …`
    Bearer,
    /// The bare credential in the header of this name (lower case).
    Header(String),
}

/// What a model can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// Chat completions.
    Chat,
    /// Text completions.
    Completion,
    /// Embeddings.
    Embedding,
    /// Tools.
    Tools,
    /// Images in the prompt.
    Vision,
    /// Sound in the prompt or the reply.
    Audio,
    /// Reasoning before the answer.
    Reasoning,
    /// Replies by a JSON schema.
    Structured,
}

/// A model of a provider, or, with a `*` at its name's end, all whose names begin so.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// The upstream name, or a pattern.
    pub name: String,
    /// The most tokens of prompt and answer together.
    pub context: Option<u64>,
    /// The most tokens of an answer.
    pub output_limit: Option<u64>,
    /// The tokenizer that counts as the provider does.
    pub tokenizer: Option<String>,
    /// What it costs, if it is known.
    pub price: Option<Price>,
    /// What it can do.
    pub capabilities: Vec<Capability>,
    /// Where the figures come from.
    pub source: Option<String>,
    /// When they were looked up (`2026-11-20`).
    pub date: Option<String>,
}

impl Model {
    /// What a usage costs; nothing if the price is not known.
    pub fn price(&self, usage: &Usage) -> Option<Money> {
        self.price.map(|price| price.of(usage))
    }

    /// The beginning that names must have, if it is a pattern.
    pub fn prefix(&self) -> Option<&str> {
        self.name.strip_suffix('*')
    }

    /// Whether it can do something.
    pub fn can(&self, capability: Capability) -> bool {
        self.capabilities.contains(&capability)
    }
}

/// Prices of a million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// Of the prompt.
    pub input: Money,
    /// Of the prompt, where the provider's cache had it; otherwise as [`Price::input`].
    pub cached_input: Option<Money>,
    /// Of the prompt, written to the provider's cache; otherwise as [`Price::input`].
    pub cache_write: Option<Money>,
    /// Of the answer, reasoning included.
    pub output: Money,
}

impl Price {
    /// What a usage costs. Each class is rounded up to a whole nano-dollar.
    pub fn of(&self, usage: &Usage) -> Money {
        let cached = usage.cached_input.min(usage.input);
        let written = usage.cache_write.min(usage.input - cached);
        let plain = usage.input - cached - written;
        self.input.per_million(plain)
            + self.cached_input.unwrap_or(self.input).per_million(cached)
            + self.cache_write.unwrap_or(self.input).per_million(written)
            + self.output.per_million(usage.output)
    }
}
