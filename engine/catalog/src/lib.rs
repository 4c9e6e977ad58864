//! Providers, models and prices, as data: one YAML file in `data/` for each provider, embedded.
//!
//! A provider is a file of YAML and nothing else. A file of the built-in catalogue is read when its provider is first asked
//! for; none of it costs anything before.
#![forbid(unsafe_code)]

mod price;
mod read;
mod row;
mod schema;

pub use price::{Price, Tier};
pub use read::{CatalogError, parse};
pub use row::{Auth, Capability, Kind, Modality, Model, Provider, find};
pub use schema::{ProviderFile, catalog_schema};

use std::sync::{LazyLock, OnceLock};

/// The files of the built-in catalogue: a provider's name and the content, in the order of the names.
pub const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/files.rs"));

static BUILTIN: LazyLock<Catalogue> = LazyLock::new(|| Catalogue {
    rows: FILES.iter().map(|(name, text)| Row { name, text, provider: OnceLock::new() }).collect(),
});

/// Providers by name.
#[derive(Debug)]
pub struct Catalogue {
    /// In the order of their names.
    rows: Vec<Row>,
}

/// A provider, or the text that it is read from.
#[derive(Debug)]
struct Row {
    name: &'static str,
    text: &'static str,
    provider: OnceLock<Option<Provider>>,
}

impl Row {
    /// A file that does not parse is left out; a test makes sure that none is.
    fn provider(&self) -> Option<&Provider> {
        self.provider.get_or_init(|| parse(self.text).ok()).as_ref()
    }
}

impl Catalogue {
    /// The catalogue that comes with Weir.
    pub fn builtin() -> &'static Catalogue {
        &BUILTIN
    }

    /// The names of all providers, in their order. Reads no file.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.rows.iter().map(|row| row.name)
    }

    /// All providers, in the order of their names.
    pub fn providers(&self) -> impl Iterator<Item = &Provider> {
        self.rows.iter().filter_map(Row::provider)
    }

    /// The provider with this name.
    pub fn provider(&self, name: &str) -> Option<&Provider> {
        let at = self.rows.binary_search_by(|row| row.name.cmp(name)).ok()?;
        self.rows.get(at)?.provider()
    }

    /// What is known of a provider's model; see [`find`].
    pub fn model(&self, provider: &str, name: &str) -> Option<&Model> {
        self.provider(provider)?.model(name)
    }
}

#[cfg(test)]
mod tests;
