//! Files of the catalogue to rows.

use crate::{Auth, Capability, Kind, Model, Price, Provider};
use serde::Deserialize;
use weir_message::{Dialect, Money};

/// Why a file of the catalogue cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// It is not the YAML that is wanted; with place and cause.
    #[error("{0}")]
    Shape(String),
    /// A value has no meaning.
    #[error("{field}: `{value}` is not {want}")]
    Value {
        /// The field.
        field: &'static str,
        /// What it says.
        value: String,
        /// What it should say.
        want: &'static str,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProviderFile {
    name: String,
    title: String,
    #[serde(default)]
    kind: Kind,
    #[serde(default)]
    base_url: String,
    dialect: String,
    /// `bearer`, `none` or `header: NAME`.
    auth: AuthFile,
    #[serde(default)]
    models: Vec<ModelFile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum AuthFile {
    None,
    Bearer,
    Header(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelFile {
    name: String,
    context: Option<u64>,
    output_limit: Option<u64>,
    tokenizer: Option<String>,
    price: Option<PriceFile>,
    #[serde(default)]
    capabilities: Vec<Capability>,
    source: Option<String>,
    date: Option<String>,
}

/// Dollars per million tokens, written as text (`"0.25"`) so that no float stands between file and ledger.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceFile {
    input: String,
    cached_input: Option<String>,
    cache_write: Option<String>,
    output: Option<String>,
}

/// Reads one provider's file.
///
/// # Errors
/// The first thing that is wrong.
pub fn parse(yaml: &str) -> Result<Provider, CatalogError> {
    let file: ProviderFile =
        serde_saphyr::from_str(yaml).map_err(|error| CatalogError::Shape(error.to_string()))?;
    let wrong = |field, value: &str, want| CatalogError::Value { field, value: value.to_owned(), want };
    let dialect =
        Dialect::from_name(&file.dialect).ok_or_else(|| wrong("dialect", &file.dialect, "a dialect"))?;
    let has_scheme = ["https://", "http://"].iter().any(|scheme| file.base_url.starts_with(scheme));
    if has_scheme == (file.kind == Kind::Echo) || file.base_url.ends_with('/') {
        return Err(wrong(
            "base_url",
            &file.base_url,
            "a URL without a `/` at its end (none for `kind: echo`)",
        ));
    }
    Ok(Provider {
        name: file.name,
        title: file.title,
        kind: file.kind,
        base_url: file.base_url,
        dialect,
        auth: match file.auth {
            AuthFile::None => Auth::None,
            AuthFile::Bearer => Auth::Bearer,
            AuthFile::Header(name) => Auth::Header(name.to_ascii_lowercase()),
        },
        models: file.models.into_iter().map(model).collect::<Result<_, _>>()?,
    })
}

fn model(file: ModelFile) -> Result<Model, CatalogError> {
    Ok(Model {
        price: file.price.map(price).transpose()?,
        name: file.name,
        context: file.context,
        output_limit: file.output_limit,
        tokenizer: file.tokenizer,
        capabilities: file.capabilities,
        source: file.source,
        date: file.date,
    })
}

fn price(file: PriceFile) -> Result<Price, CatalogError> {
    Ok(Price {
        input: dollars(&file.input)?,
        cached_input: file.cached_input.as_deref().map(dollars).transpose()?,
        cache_write: file.cache_write.as_deref().map(dollars).transpose()?,
        output: file.output.as_deref().map(dollars).transpose()?.unwrap_or(Money::ZERO),
    })
}

/// An amount of dollars with at most nine decimals, exactly.
fn dollars(text: &str) -> Result<Money, CatalogError> {
    let read = || {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !is_number(whole) || !is_number(decimals) || decimals.len() > 9 {
            return None;
        }
        let nanos: i64 = format!("{decimals:0<9}").parse().ok()?;
        whole.parse::<i64>().ok()?.checked_mul(1_000_000_000)?.checked_add(nanos)
    };
    read().map(Money::from_nanos).ok_or_else(|| CatalogError::Value {
        field: "price",
        value: text.to_owned(),
        want: "an amount of dollars in quotes such as \"0.25\"",
    })
}
