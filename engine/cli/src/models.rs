//! `weir models`: the catalogue, and what a provider says of itself.

mod check;

use crate::out::{BAD, Format, fail, say};
use serde_json::{Value, json};
use std::process::ExitCode;
use weir_catalog::{Catalogue, Model, Price, Provider};
use weir_diagnostic::nearest;
use weir_message::Money;

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Only this provider's
    #[arg(long)]
    provider: Option<String>,
    /// How it is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Short for `--format json`
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Asks a provider which models it has, and compares
    Check(check::Args),
}

pub(crate) fn run(args: &Args) -> ExitCode {
    if let Some(Command::Check(args)) = &args.command {
        return check::run(args);
    }
    let rows: Vec<&Provider> = match &args.provider {
        None => Catalogue::builtin().providers().collect(),
        Some(name) => match provider(name) {
            Ok(row) => vec![row],
            Err(why) => return fail(BAD, &why),
        },
    };
    match args.format {
        Format::Pretty if !args.json => say(&table(&rows)),
        _ => say(&format!("{:#}", json(&rows))),
    }
    ExitCode::SUCCESS
}

/// The provider of this name, or that there is none.
fn provider(name: &str) -> Result<&'static Provider, String> {
    let catalogue = Catalogue::builtin();
    catalogue.provider(name).ok_or_else(|| {
        let near = nearest(name, catalogue.names());
        let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        format!("the catalogue has no provider `{name}`{near}")
    })
}

fn table(rows: &[&Provider]) -> String {
    let mut out = String::new();
    let mut line = |provider: &str, model: &str, context: &str, input: &str, output: &str, ends: &str| {
        let text = format!("{provider:<18} {model:<48} {context:>9} {input:>10} {output:>10}  {ends}");
        out.push_str(text.trim_end());
        out.push('\n');
    };
    line("PROVIDER", "MODEL", "CONTEXT", "IN $/M", "OUT $/M", "");
    for row in rows {
        if row.models.is_empty() {
            line(&row.name, "(any)", "-", "-", "-", "");
        }
        for model in &row.models {
            let context = model.context.map_or("-".to_owned(), |tokens| tokens.to_string());
            let (input, output) = model.price.as_ref().map_or(("-".to_owned(), "-".to_owned()), shown);
            let ends = model.deprecated.as_ref().map(|day| format!("ends {day}")).unwrap_or_default();
            line(&row.name, &model.name, &context, &input, &output, &ends);
        }
    }
    out
}

/// The price of a prompt and of an answer in short; for models that are not paid by the token, what they are paid by.
fn shown(price: &Price) -> (String, String) {
    let by = [
        (price.per_image, "image"),
        (price.per_second, "second"),
        (price.per_million_characters, "M chars"),
        (price.per_page, "page"),
        (price.per_request, "request"),
    ];
    let tokens = [price.input, price.output, price.image_output.unwrap_or_default()];
    match by.iter().find_map(|(money, unit)| Some(((*money)?.decimal(), unit))) {
        Some((money, unit)) if tokens.iter().all(|money| *money == Money::ZERO) => {
            (money, format!("/{unit}"))
        }
        _ => {
            let output = if price.output == Money::ZERO { price.image_output } else { None };
            (price.input.decimal(), output.unwrap_or(price.output).decimal())
        }
    }
}

fn json(rows: &[&Provider]) -> Value {
    rows.iter()
        .map(|row| {
            json!({
                "name": row.name,
                "title": row.title,
                "base_url": row.base_url,
                "dialect": row.dialect.name(),
                "env": row.env,
                "models": row.models.iter().map(model).collect::<Vec<_>>(),
            })
        })
        .collect()
}

fn model(model: &Model) -> Value {
    json!({
        "name": model.name,
        "context": model.context,
        "output_limit": model.output_limit,
        "tokenizer": model.tokenizer,
        "capabilities": model.capabilities,
        "input": model.input,
        "output": model.output,
        "price": model.price.as_ref().map(Price::to_json),
        "deprecated": model.deprecated,
        "source": model.source,
        "data": model.data,
        "date": model.date,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_prints_as_its_files_say() {
        let yaml = "name: a\ntitle: A\nbase_url: https://a.example\ndialect: openai\nauth: none\nmodels:\n  \
            - { name: m, capabilities: [chat], price: { input: \"0.25\", output: \"10\", above: [{ tokens: 9, input: \"1\", output: \"2\" }], batch: { input: \"0.1\" } } }\n  \
            - { name: i, capabilities: [image], price: { per_image: \"0.04\" }, deprecated: \"2027-01-02\" }\n  \
            - { name: d, capabilities: [image], price: { input: \"5\", image_output: \"30\" } }\n  \
            - { name: n, capabilities: [chat] }\n";
        let row = weir_catalog::parse(yaml).unwrap();
        let table = table(&[&row]);
        let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["a", "m", "-", "0.25", "10"]);
        assert_eq!(lines[2], ["a", "i", "-", "0.04", "/image", "ends", "2027-01-02"]);
        assert_eq!(lines[3], ["a", "d", "-", "5", "30"]);
        assert_eq!(lines[4], ["a", "n", "-", "-", "-"]);
        let json = json(&[&row]);
        let want = json!({
            "input": "0.25", "output": "10", "above": [{ "tokens": 9, "input": "1", "output": "2" }], "batch": { "input": "0.1" },
        });
        assert_eq!(json.pointer("/0/models/0/price"), Some(&want));
        assert_eq!(json.pointer("/0/models/3/price"), Some(&Value::Null));
    }

    #[test]
    fn a_slip_in_a_name_is_answered_with_the_nearest() {
        assert!(provider("opnai").unwrap_err().contains("did you mean `openai`?"));
        assert!(provider("openai").is_ok());
    }
}
