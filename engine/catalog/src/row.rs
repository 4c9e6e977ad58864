//! What the catalogue knows of a provider and its models.

use crate::Price;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
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
    /// Where its API begins, without a trailing `/`; empty for [`Kind::Echo`]. May hold blanks to fill in: see
    /// [`Provider::address`].
    pub base_url: String,
    /// Its wire format.
    pub dialect: Dialect,
    /// Whether it has OpenAI's Responses API.
    pub has_responses: bool,
    /// How the credential is shown.
    pub auth: Auth,
    /// The environment variable that its credential is usually kept in.
    pub env: Option<String>,
    /// Where it lists its models, below the base URL; `None` if it does not.
    pub models_path: Option<String>,
    /// Its models.
    pub models: Vec<Model>,
}

impl Provider {
    /// What is known of a model; see [`find`].
    pub fn model(&self, name: &str) -> Option<&Model> {
        find(&self.models, name)
    }

    /// The base URL with its `{region}` and `{project}` filled in.
    ///
    /// # Errors
    /// The first blank that is left (`resource` of `https://{resource}.openai.azure.com`).
    pub fn address(&self, region: Option<&str>, project: Option<&str>) -> Result<Cow<'_, str>, &str> {
        let mut url = Cow::Borrowed(self.base_url.as_str());
        for (blank, value) in [("{region}", region), ("{project}", project)] {
            if let Some(value) = value.filter(|_| url.contains(blank)) {
                url = Cow::Owned(url.replace(blank, value));
            }
        }
        // Google's location of no place has no name in front of its host.
        if url.starts_with("https://global-aiplatform.") {
            url = Cow::Owned(url.replacen("global-", "", 1));
        }
        let is_left = |blank: &&str| match *blank {
            "region" => region.is_none(),
            "project" => project.is_none(),
            _ => true,
        };
        let mut blanks = self.base_url.split('{').skip(1).filter_map(|rest| rest.split('}').next());
        match blanks.find(is_left) {
            Some(blank) => Err(blank),
            None => Ok(url),
        }
    }
}

/// The row for a model's name: the one of this name; else of the name without the date of a snapshot
/// (`gpt-5-mini-2025-08-07`) or `-latest`; else the longest pattern.
pub fn find<'m>(models: &'m [Model], name: &str) -> Option<&'m Model> {
    let exact = |name: &str| models.iter().find(|model| model.name == name);
    exact(name).or_else(|| exact(undated(name)?)).or_else(|| {
        let fits = |model: &&Model| model.prefix().is_some_and(|prefix| name.starts_with(prefix));
        models.iter().filter(fits).max_by_key(|model| model.name.len())
    })
}

/// A name without the date at its end: `-2025-08-07`, `-20250807`, `@20250807`, or `-latest`.
fn undated(name: &str) -> Option<&str> {
    if let Some(base) = name.strip_suffix("-latest") {
        return Some(base);
    }
    let is_date = |text: &str, shape: &str| {
        text.len() == shape.len()
            && text
                .bytes()
                .zip(shape.bytes())
                .all(|(b, s)| if s == b'0' { b.is_ascii_digit() } else { b == s })
    };
    ["-0000-00-00", "-20000000", "@20000000"].iter().find_map(|shape| {
        let at = name.len().checked_sub(shape.len()).filter(|at| *at > 0)?;
        let (base, end) = name.split_at_checked(at)?;
        is_date(end, shape).then_some(base)
    })
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
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// Not at all.
    None,
    /// `authorization: Bearer …`
    Bearer,
    /// The bare credential in the header of this name (lower case).
    Header(String),
    /// `authorization: WORD …` with this word: `Key`, `Token`.
    Scheme(String),
}

/// What a model can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// Chat completions.
    Chat,
    /// Text completions.
    Completion,
    /// OpenAI's responses, and nothing else.
    Response,
    /// Embeddings.
    Embedding,
    /// Documents ordered by relevance.
    Rerank,
    /// Judging of texts for harm.
    Moderation,
    /// Images made or edited.
    Image,
    /// Text to speech.
    Speech,
    /// Speech to text.
    Transcription,
    /// Videos made.
    Video,
    /// Two-way sessions.
    Realtime,
    /// Texts of scanned pages.
    Ocr,
    /// Searching the web.
    Search,
    /// Replies in pieces as they are made.
    Streaming,
    /// Tools.
    Tools,
    /// Replies by a JSON schema.
    Structured,
    /// Reasoning before the answer.
    Reasoning,
    /// Images in the prompt.
    Vision,
}

/// A kind of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Modality {
    /// Text.
    Text,
    /// Images.
    Image,
    /// Sound.
    Audio,
    /// Video.
    Video,
    /// PDF documents.
    Pdf,
}

/// A model of a provider, or, with a `*` at its name's end, all whose names begin so.
#[derive(Clone, Debug, Default, PartialEq)]
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
    /// What it reads.
    pub input: Vec<Modality>,
    /// What it writes; nothing if it answers with vectors or scores.
    pub output: Vec<Modality>,
    /// The day on which the provider says it ends (`2026-11-20`).
    pub deprecated: Option<String>,
    /// Where the figures come from.
    pub source: Option<String>,
    /// The data sets that they were read from and that agree on them; none if they were taken by hand.
    pub data: Vec<String>,
    /// Of which day they are (`2026-11-20`).
    pub date: Option<String>,
}

impl Model {
    /// What one request's usage costs; nothing if the price is not known.
    pub fn price(&self, usage: &Usage) -> Option<Money> {
        self.price.as_ref().map(|price| price.of(usage))
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
