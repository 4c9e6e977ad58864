//! What is known of models: the catalogue, and what a set's accounts say above it.

use weir_catalog::{Model, Price, Provider, Tier};
use weir_message::Money;
use weir_policy::ProviderModel;

/// The rows of an account, each filled up with what the catalogue's provider knows of the model.
pub(super) fn own(rows: &[ProviderModel], provider: Option<&Provider>) -> Vec<Model> {
    let row = |row: &ProviderModel| {
        let known = provider.and_then(|provider| provider.model(&row.name)).cloned().unwrap_or_default();
        Model {
            name: row.name.value.clone(),
            price: row.price.as_ref().map(price).or(known.price),
            tokenizer: row.tokenizer.as_ref().map(|name| name.value.clone()).or(known.tokenizer),
            context: row.context.or(known.context),
            ..known
        }
    };
    rows.iter().map(row).collect()
}

/// Prices as they are booked.
pub(super) fn price(decl: &weir_policy::Price) -> Price {
    let maybe = |dollars: Option<f64>| dollars.map(money);
    let above = decl.above.iter().map(|tier| Tier {
        tokens: tier.tokens,
        input: money(tier.input),
        cached_input: maybe(tier.cached_input),
        cache_write: maybe(tier.cache_write),
        cache_write_1h: maybe(tier.cache_write_1h),
        output: money(tier.output),
    });
    Price {
        input: money(decl.input),
        cached_input: maybe(decl.cached_input),
        cache_write: maybe(decl.cache_write),
        cache_write_1h: maybe(decl.cache_write_1h),
        audio_input: maybe(decl.audio_input),
        image_input: maybe(decl.image_input),
        output: money(decl.output),
        reasoning: maybe(decl.reasoning),
        audio_output: maybe(decl.audio_output),
        image_output: maybe(decl.image_output),
        per_image: maybe(decl.per_image),
        per_second: maybe(decl.per_second),
        per_million_characters: maybe(decl.per_million_characters),
        per_page: maybe(decl.per_page),
        per_request: maybe(decl.per_request),
        above: above.collect(),
        batch: decl.batch.as_deref().map(|decl| Box::new(price(decl))),
    }
}

fn money(dollars: f64) -> Money {
    #[allow(
        clippy::cast_possible_truncation,
        reason = "prices are far below nine billion dollars a million tokens"
    )]
    let nanos = (dollars * 1e9).round() as i64;
    Money::from_nanos(nanos)
}
