//! The shape of a catalogue file. The doc comments are its reference: see `schemas/catalog.json`.

use crate::{Auth, Capability, Kind, Modality};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Deserialize;
use std::borrow::Cow;

/// A provider of the catalogue and its models.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderFile {
    /// The name that policies use in `from:`; the file is called so too.
    #[schemars(regex(pattern = "^[a-z0-9][a-z0-9.-]*$"))]
    pub(crate) name: String,
    /// The name for people.
    pub(crate) title: String,
    /// How it is reached.
    #[serde(default)]
    pub(crate) kind: Kind,
    /// Where its API begins, without a `/` at its end. `{region}` is filled in from the account's `region:`; with any other
    /// blank, such as `{resource}`, the account says its own `base_url:`.
    #[serde(default)]
    pub(crate) base_url: String,
    /// Its wire format; one that is not spoken yet is refused where a policy uses it.
    #[schemars(extend("enum" = dialects()))]
    pub(crate) dialect: String,
    /// Whether it has OpenAI's Responses API.
    #[serde(default)]
    pub(crate) responses: bool,
    /// How the credential is shown: `none`, `bearer`, `{ header: NAME }` or `{ scheme: WORD }`.
    pub(crate) auth: Auth,
    /// The environment variable that its credential is usually kept in; `weir models check` reads it.
    #[serde(default)]
    #[schemars(regex(pattern = "^[A-Z][A-Z0-9_]*$"))]
    pub(crate) env: Option<String>,
    /// Where it lists its models, below `base_url`: `/models`. Unset: it does not.
    #[serde(default)]
    pub(crate) models_path: Option<String>,
    /// Where the figures of its models come from, where a model does not say: the provider's page of prices.
    #[serde(default)]
    pub(crate) source: Option<String>,
    /// The day of which the figures are, where a model does not say.
    #[serde(default)]
    #[schemars(extend("format" = "date"))]
    pub(crate) date: Option<String>,
    /// The data sets that the figures were read from, where a model does not say.
    #[serde(default)]
    pub(crate) data: Vec<String>,
    /// Its models.
    #[serde(default)]
    pub(crate) models: Vec<ModelFile>,
}

/// A model of a provider.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModelFile {
    /// The upstream name; with a `*` at its end, all that begin so. A snapshot (`NAME-2025-08-07`, `NAME-latest`) needs no row
    /// of its own unless it differs.
    pub(crate) name: String,
    /// The most tokens of prompt and answer together.
    #[schemars(range(min = 1))]
    pub(crate) context: Option<u64>,
    /// The most tokens of an answer.
    #[schemars(range(min = 1))]
    pub(crate) output_limit: Option<u64>,
    /// The vocabulary that counts as the provider does: `o200k_base`.
    pub(crate) tokenizer: Option<String>,
    /// What it can do.
    pub(crate) capabilities: Vec<Capability>,
    /// What it reads; text by default.
    pub(crate) input: Option<Vec<Modality>>,
    /// What it writes; by default text if it chats, else what its capabilities say.
    pub(crate) output: Option<Vec<Modality>>,
    /// What it costs, in US dollars.
    pub(crate) price: Option<PriceFile>,
    /// The day on which the provider says it ends.
    #[schemars(extend("format" = "date"))]
    pub(crate) deprecated: Option<String>,
    /// Where the figures come from; the provider's `source` by default.
    pub(crate) source: Option<String>,
    /// The data sets that the figures were read from and that agree on them; the provider's `data` by default.
    pub(crate) data: Option<Vec<String>>,
    /// The day of which the figures are; the provider's `date` by default.
    #[schemars(extend("format" = "date"))]
    pub(crate) date: Option<String>,
}

/// Dollars for a million tokens, and for what is not counted in tokens.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PriceFile {
    /// The prompt.
    pub(crate) input: Option<Decimal>,
    /// The prompt, where the provider's cache had it; as `input` by default.
    pub(crate) cached_input: Option<Decimal>,
    /// The prompt, written to the provider's cache; as `input` by default.
    pub(crate) cache_write: Option<Decimal>,
    /// The prompt, written to the cache for an hour or longer; as `cache_write` by default.
    pub(crate) cache_write_1h: Option<Decimal>,
    /// Sound in the prompt; as `input` by default.
    pub(crate) audio_input: Option<Decimal>,
    /// Images in the prompt; as `input` by default.
    pub(crate) image_input: Option<Decimal>,
    /// The answer.
    pub(crate) output: Option<Decimal>,
    /// Reasoning; as `output` by default.
    pub(crate) reasoning: Option<Decimal>,
    /// Sound in the answer; as `output` by default.
    pub(crate) audio_output: Option<Decimal>,
    /// Images in the answer; as `output` by default.
    pub(crate) image_output: Option<Decimal>,
    /// An image made.
    pub(crate) per_image: Option<Decimal>,
    /// A second of sound heard, or of sound or video made.
    pub(crate) per_second: Option<Decimal>,
    /// A million characters spoken.
    pub(crate) per_million_characters: Option<Decimal>,
    /// A page read.
    pub(crate) per_page: Option<Decimal>,
    /// A request, whatever else it costs.
    pub(crate) per_request: Option<Decimal>,
    /// Other prices for longer prompts, shortest first.
    pub(crate) above: Vec<TierFile>,
    /// The prices in a batch.
    pub(crate) batch: Option<Box<PriceFile>>,
}

/// Prices where the prompt has more than so many tokens: of all of them.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TierFile {
    /// How many.
    #[schemars(range(min = 1))]
    pub(crate) tokens: u64,
    /// The prompt.
    pub(crate) input: Decimal,
    /// The prompt, where the provider's cache had it; as `input` by default.
    pub(crate) cached_input: Option<Decimal>,
    /// The prompt, written to the provider's cache; as `input` by default.
    pub(crate) cache_write: Option<Decimal>,
    /// The prompt, written to the cache for an hour or longer; as `cache_write` by default.
    pub(crate) cache_write_1h: Option<Decimal>,
    /// The answer.
    pub(crate) output: Decimal,
}

/// An amount of dollars as text, so that no float stands between file and ledger.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Decimal(pub(crate) String);

impl JsonSchema for Decimal {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Decimal".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-9]+(\\.[0-9]{1,9})?$" })
    }
}

fn dialects() -> Vec<&'static str> {
    weir_message::Dialect::ALL.iter().map(|dialect| dialect.name()).collect()
}

/// The JSON Schema (draft 2020-12) of a catalogue file.
pub fn catalog_schema() -> serde_json::Value {
    let generator = SchemaSettings::draft2020_12().for_deserialize().into_generator();
    let mut schema = generator.into_root_schema_for::<ProviderFile>();
    schema.insert("title".to_owned(), "Weir catalogue".into());
    schema.to_value()
}
