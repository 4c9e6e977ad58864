//! Providers, models and prices, as data: one YAML file in `data/` for each provider, embedded.
//!
//! A provider that speaks a known dialect is a file of YAML and a line of [`FILES`]. The built-in catalogue is read once,
//! when it is first asked for.
#![forbid(unsafe_code)]

mod read;
mod row;

pub use read::{CatalogError, parse};
pub use row::{Auth, Capability, Kind, Model, Price, Provider};

use std::sync::LazyLock;

/// The files of the built-in catalogue: name and content.
pub const FILES: &[(&str, &str)] = &[
    ("deepseek.yaml", include_str!("../data/deepseek.yaml")),
    ("echo.yaml", include_str!("../data/echo.yaml")),
    ("fireworks.yaml", include_str!("../data/fireworks.yaml")),
    ("groq.yaml", include_str!("../data/groq.yaml")),
    ("mistral.yaml", include_str!("../data/mistral.yaml")),
    ("ollama.yaml", include_str!("../data/ollama.yaml")),
    ("openai.yaml", include_str!("../data/openai.yaml")),
    ("openrouter.yaml", include_str!("../data/openrouter.yaml")),
    ("perplexity.yaml", include_str!("../data/perplexity.yaml")),
    ("together.yaml", include_str!("../data/together.yaml")),
    ("vllm.yaml", include_str!("../data/vllm.yaml")),
    ("xai.yaml", include_str!("../data/xai.yaml")),
];

static BUILTIN: LazyLock<Catalogue> = LazyLock::new(|| {
    // A file that does not parse is left out; a test makes sure that none is.
    Catalogue::new(FILES.iter().filter_map(|(_, text)| parse(text).ok()).collect())
});

/// Providers by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalogue {
    /// In the order of their names.
    providers: Vec<Provider>,
}

impl Catalogue {
    /// The catalogue that comes with Weir.
    pub fn builtin() -> &'static Catalogue {
        &BUILTIN
    }

    /// A catalogue of these providers; of two with one name the later counts.
    pub fn new(mut providers: Vec<Provider>) -> Self {
        providers.reverse();
        providers.sort_by(|a, b| a.name.cmp(&b.name));
        providers.dedup_by(|a, b| a.name == b.name);
        Self { providers }
    }

    /// All providers, in the order of their names.
    pub fn providers(&self) -> &[Provider] {
        &self.providers
    }

    /// The provider with this name.
    pub fn provider(&self, name: &str) -> Option<&Provider> {
        let at = self.providers.binary_search_by(|provider| provider.name.as_str().cmp(name)).ok()?;
        self.providers.get(at)
    }

    /// What is known of a provider's model: exactly, or else by the longest pattern (`gpt-5*`).
    pub fn model(&self, provider: &str, name: &str) -> Option<&Model> {
        self.provider(provider)?.model(name)
    }
}

#[cfg(test)]
mod tests;
