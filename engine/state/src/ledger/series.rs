//! What rows have in common that sums are told apart by.

use super::Row;
use super::pack::{Packer, Unpacker};
use std::sync::Arc;

/// What usage can be told apart by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// The key's name.
    Key,
    /// The user.
    User,
    /// The team.
    Team,
    /// The project.
    Project,
    /// The tag of this name.
    Tag(String),
    /// The pipeline.
    Pipeline,
    /// What was asked for: `chat`, `embedding` …
    Operation,
    /// The model that clients asked for.
    Model,
    /// The provider.
    Provider,
    /// Provider and upstream model.
    Target,
    /// How it ended: `done`, `cached`, or why it failed.
    Outcome,
    /// Whether Weir counted the tokens because the provider did not say: `yes` or `no`.
    Counted,
    /// The revision in force; only single rows know it.
    Revision,
}

/// Those with a name of their own.
const PLAIN: [(&str, Dimension); 12] = [
    ("key", Dimension::Key),
    ("user", Dimension::User),
    ("team", Dimension::Team),
    ("project", Dimension::Project),
    ("pipeline", Dimension::Pipeline),
    ("operation", Dimension::Operation),
    ("model", Dimension::Model),
    ("provider", Dimension::Provider),
    ("target", Dimension::Target),
    ("outcome", Dimension::Outcome),
    ("counted", Dimension::Counted),
    ("revision", Dimension::Revision),
];

impl Dimension {
    /// The dimension of this name; a tag is `tag.NAME`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name.strip_prefix("tag.") {
            Some(tag) => (!tag.is_empty()).then(|| Self::Tag(tag.to_owned())),
            None => PLAIN.iter().find(|(known, _)| *known == name).map(|(_, dimension)| dimension.clone()),
        }
    }

    /// Its name.
    pub fn name(&self) -> String {
        match self {
            Self::Tag(tag) => format!("tag.{tag}"),
            plain => PLAIN
                .iter()
                .find(|(_, known)| known == plain)
                .map_or_else(String::new, |(name, _)| (*name).to_owned()),
        }
    }

    /// The names of all but tags.
    pub fn names() -> impl Iterator<Item = &'static str> {
        PLAIN.iter().map(|(name, _)| *name)
    }
}

/// What rows have in common that sums are told apart by; a name that there is none of is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Series {
    pub key: String,
    pub user: String,
    pub team: String,
    pub project: String,
    /// As JSON; empty if there are none.
    pub tags: String,
    pub pipeline: String,
    pub operation: String,
    pub model: String,
    pub provider: String,
    pub target: String,
    pub outcome: String,
    pub counted: String,
}

/// Longer names are cut: clients make up some of them.
const LONGEST: usize = 200;

impl Series {
    /// Writes the series of a row, without one being made.
    pub(super) fn pack(row: &Row, into: &mut Vec<u8>) {
        let mut to = Packer::over(into);
        let caller = row.caller.as_deref();
        let name = |name: Option<&Option<Arc<str>>>| name.cloned().flatten().unwrap_or_default();
        to.text(&name(caller.map(|caller| &caller.key)));
        to.text(&name(caller.map(|caller| &caller.user)));
        to.text(&name(caller.map(|caller| &caller.team)));
        to.text(&name(caller.map(|caller| &caller.project)));
        let tags = caller.map(|caller| &caller.tags).filter(|tags| !tags.is_empty());
        // A map of JSON values is JSON.
        to.text(&tags.and_then(|tags| serde_json::to_string(tags).ok()).unwrap_or_default());
        to.text(&row.pipeline);
        to.text(row.operation.name());
        to.text(cut(&row.model));
        to.text(&row.provider);
        to.text(cut(&row.target));
        to.text(row.ending.name());
        to.text(if row.usage.counted { "yes" } else { "no" });
    }

    pub(super) fn unpack(bytes: &[u8]) -> Option<Self> {
        let mut from = Unpacker::of(bytes);
        let mut text = || from.text().map(str::to_owned);
        Some(Self {
            key: text()?,
            user: text()?,
            team: text()?,
            project: text()?,
            tags: text()?,
            pipeline: text()?,
            operation: text()?,
            model: text()?,
            provider: text()?,
            target: text()?,
            outcome: text()?,
            counted: text()?,
        })
    }

    /// What it has in a dimension.
    pub(super) fn get(&self, dimension: &Dimension) -> String {
        match dimension {
            Dimension::Key => self.key.clone(),
            Dimension::User => self.user.clone(),
            Dimension::Team => self.team.clone(),
            Dimension::Project => self.project.clone(),
            Dimension::Pipeline => self.pipeline.clone(),
            Dimension::Operation => self.operation.clone(),
            Dimension::Model => self.model.clone(),
            Dimension::Provider => self.provider.clone(),
            Dimension::Target if self.provider.is_empty() => String::new(),
            Dimension::Target => format!("{}/{}", self.provider, self.target),
            Dimension::Outcome => self.outcome.clone(),
            Dimension::Counted => self.counted.clone(),
            Dimension::Revision => String::new(),
            Dimension::Tag(name) => self.tag(name),
        }
    }

    fn tag(&self, name: &str) -> String {
        let tags: serde_json::Value = serde_json::from_str(&self.tags).unwrap_or_default();
        match tags.get(name) {
            None => String::new(),
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }
}

fn cut(name: &str) -> &str {
    let end = (0..=LONGEST.min(name.len())).rev().find(|at| name.is_char_boundary(*at));
    name.get(..end.unwrap_or(0)).unwrap_or_default()
}
