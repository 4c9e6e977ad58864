//! `weir models`: the catalogue.

use crate::out::{BAD, Format, fail, say};
use std::process::ExitCode;
use weir_catalog::{Catalogue, Model, Provider};
use weir_diagnostic::nearest;
use weir_message::Money;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this provider's
    #[arg(long)]
    provider: Option<String>,
    /// How it is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let catalogue = Catalogue::builtin();
    let rows: Vec<&Provider> = match &args.provider {
        None => catalogue.providers().iter().collect(),
        Some(name) => match catalogue.provider(name) {
            Some(row) => vec![row],
            None => {
                let near = nearest(name, catalogue.providers().iter().map(|row| row.name.as_str()));
                let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                return fail(BAD, &format!("the catalogue has no provider `{name}`{near}"));
            }
        },
    };
    match args.format {
        Format::Pretty => say(&table(&rows)),
        Format::Json => say(&format!("{:#}", json(&rows))),
    }
    ExitCode::SUCCESS
}

fn table(rows: &[&Provider]) -> String {
    let mut out =
        format!("{:<14} {:<34} {:>10} {:>10} {:>10}\n", "PROVIDER", "MODEL", "CONTEXT", "IN $/M", "OUT $/M");
    for row in rows {
        if row.models.is_empty() {
            out.push_str(&format!("{:<14} {:<34}\n", row.name, "(any)"));
        }
        for model in &row.models {
            let context = model.context.map_or("-".to_owned(), |tokens| tokens.to_string());
            let price = |money: Option<Money>| {
                money.map_or("-".to_owned(), |money| format!("{:.2}", money.dollars()))
            };
            out.push_str(&format!(
                "{:<14} {:<34} {context:>10} {:>10} {:>10}\n",
                row.name,
                model.name,
                price(model.price.map(|price| price.input)),
                price(model.price.map(|price| price.output)),
            ));
        }
    }
    out
}

fn json(rows: &[&Provider]) -> serde_json::Value {
    let model = |model: &Model| {
        serde_json::json!({
            "name": model.name,
            "context": model.context,
            "output_limit": model.output_limit,
            "tokenizer": model.tokenizer,
            "capabilities": model.capabilities,
            "price_per_million": model.price.map(|price| serde_json::json!({
                "input": price.input.dollars(),
                "cached_input": price.cached_input.map(Money::dollars),
                "output": price.output.dollars(),
            })),
            "source": model.source,
            "date": model.date,
        })
    };
    let provider = |row: &&Provider| {
        serde_json::json!({
            "name": row.name,
            "title": row.title,
            "base_url": row.base_url,
            "dialect": row.dialect.name(),
            "models": row.models.iter().map(model).collect::<Vec<_>>(),
        })
    };
    rows.iter().map(provider).collect()
}
