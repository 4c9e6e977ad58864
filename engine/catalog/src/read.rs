//! Files of the catalogue to rows.

use crate::schema::{Decimal, ModelFile, PriceFile, ProviderFile, TierFile};
use crate::{Auth, Capability, Kind, Modality, Model, Price, Provider, Tier};
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

fn wrong(field: &'static str, value: &str, want: &'static str) -> CatalogError {
    CatalogError::Value { field, value: value.to_owned(), want }
}

/// Reads one provider's file.
///
/// # Errors
/// The first thing that is wrong.
pub fn parse(yaml: &str) -> Result<Provider, CatalogError> {
    let file: ProviderFile =
        serde_saphyr::from_str(yaml).map_err(|error| CatalogError::Shape(error.to_string()))?;
    let dialect =
        Dialect::from_name(&file.dialect).ok_or_else(|| wrong("dialect", &file.dialect, "a dialect"))?;
    let has_scheme = ["https://", "http://"].iter().any(|scheme| file.base_url.starts_with(scheme));
    if has_scheme == (file.kind == Kind::Echo) || file.base_url.ends_with('/') {
        let want = "a URL without a `/` at its end (none for `kind: echo`)";
        return Err(wrong("base_url", &file.base_url, want));
    }
    if let Some(path) = file.models_path.as_deref().filter(|path| !path.starts_with('/')) {
        return Err(wrong("models_path", path, "a path that begins with `/`"));
    }
    let ProviderFile { source, date, data, .. } = &file;
    let model = |file| model(file, source.as_ref(), date.as_ref(), data);
    Ok(Provider {
        models: file.models.iter().map(model).collect::<Result<_, _>>()?,
        name: file.name,
        title: file.title,
        kind: file.kind,
        base_url: file.base_url,
        dialect,
        has_responses: file.responses,
        auth: match file.auth {
            Auth::Header(name) => Auth::Header(name.to_ascii_lowercase()),
            other => other,
        },
        env: file.env,
        models_path: file.models_path,
    })
}

fn model(
    file: &ModelFile,
    source: Option<&String>,
    date: Option<&String>,
    data: &[String],
) -> Result<Model, CatalogError> {
    if file.name.strip_suffix('*').unwrap_or(&file.name).contains('*') {
        return Err(wrong("name", &file.name, "a name, or a pattern with one `*` at its end"));
    }
    let date = file.date.as_ref().or(date);
    for (field, day) in [("date", date), ("deprecated", file.deprecated.as_ref())] {
        if let Some(day) = day.filter(|day| !is_day(day)) {
            return Err(wrong(field, day, "a day such as \"2026-11-20\""));
        }
    }
    Ok(Model {
        price: file.price.as_ref().map(price).transpose()?,
        name: file.name.clone(),
        context: file.context,
        output_limit: file.output_limit,
        tokenizer: file.tokenizer.clone(),
        capabilities: file.capabilities.clone(),
        input: file.input.clone().unwrap_or_else(|| vec![Modality::Text]),
        output: file.output.clone().unwrap_or_else(|| written_by(&file.capabilities)),
        deprecated: file.deprecated.clone(),
        source: file.source.as_ref().or(source).cloned(),
        data: file.data.as_deref().unwrap_or(data).to_vec(),
        date: date.cloned(),
    })
}

/// What a model writes that does not say so.
fn written_by(capabilities: &[Capability]) -> Vec<Modality> {
    let mut written: Vec<Modality> = capabilities
        .iter()
        .filter_map(|capability| match capability {
            Capability::Chat
            | Capability::Completion
            | Capability::Response
            | Capability::Transcription
            | Capability::Ocr
            | Capability::Search => Some(Modality::Text),
            Capability::Image => Some(Modality::Image),
            Capability::Speech => Some(Modality::Audio),
            Capability::Video => Some(Modality::Video),
            _ => None,
        })
        .collect();
    written.sort_unstable();
    written.dedup();
    written
}

fn is_day(text: &str) -> bool {
    let mut parts = text.split('-').map(|part| (part.len(), part.parse::<u16>().ok()));
    let mut next = |digits: usize, range: std::ops::RangeInclusive<u16>| matches!(parts.next(), Some((len, Some(n))) if len == digits && range.contains(&n));
    next(4, 2000..=2999) && next(2, 1..=12) && next(2, 1..=31) && text.len() == 10
}

fn price(file: &PriceFile) -> Result<Price, CatalogError> {
    let above = file.above.iter().map(tier).collect::<Result<Vec<_>, _>>()?;
    if !above.is_sorted_by(|before, after| before.tokens < after.tokens) {
        return Err(wrong("above", "tokens", "in the order of the lengths"));
    }
    if file.batch.as_ref().is_some_and(|batch| batch.batch.is_some()) {
        return Err(wrong("batch", "batch", "there for a batch"));
    }
    Ok(Price {
        input: maybe(&file.input)?.unwrap_or_default(),
        cached_input: maybe(&file.cached_input)?,
        cache_write: maybe(&file.cache_write)?,
        cache_write_1h: maybe(&file.cache_write_1h)?,
        audio_input: maybe(&file.audio_input)?,
        image_input: maybe(&file.image_input)?,
        output: maybe(&file.output)?.unwrap_or_default(),
        reasoning: maybe(&file.reasoning)?,
        audio_output: maybe(&file.audio_output)?,
        image_output: maybe(&file.image_output)?,
        per_image: maybe(&file.per_image)?,
        per_second: maybe(&file.per_second)?,
        per_million_characters: maybe(&file.per_million_characters)?,
        per_page: maybe(&file.per_page)?,
        per_request: maybe(&file.per_request)?,
        above,
        batch: file.batch.as_deref().map(price).transpose()?.map(Box::new),
    })
}

fn tier(file: &TierFile) -> Result<Tier, CatalogError> {
    Ok(Tier {
        tokens: file.tokens,
        input: dollars(&file.input)?,
        cached_input: maybe(&file.cached_input)?,
        cache_write: maybe(&file.cache_write)?,
        cache_write_1h: maybe(&file.cache_write_1h)?,
        output: dollars(&file.output)?,
    })
}

fn maybe(amount: &Option<Decimal>) -> Result<Option<Money>, CatalogError> {
    amount.as_ref().map(dollars).transpose()
}

/// An amount of dollars with at most nine decimals, exactly.
fn dollars(Decimal(text): &Decimal) -> Result<Money, CatalogError> {
    let read = || {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !is_number(whole) || !is_number(decimals) || decimals.len() > 9 {
            return None;
        }
        let nanos: i64 = format!("{decimals:0<9}").parse().ok()?;
        whole.parse::<i64>().ok()?.checked_mul(1_000_000_000)?.checked_add(nanos)
    };
    let want = "an amount of dollars in quotes such as \"0.25\"";
    read().map(Money::from_nanos).ok_or_else(|| wrong("price", text, want))
}
