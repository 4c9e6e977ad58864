//! `weir check`: all that is wrong with a set, at once.

use crate::out::{BAD, COULD_NOT, colours, fail, say};
use crate::set::Shop;
use clap::ValueEnum;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder of the policy set
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// How findings are printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// How findings are printed.
#[derive(Clone, Copy, Default, ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Pretty,
    /// One object with all findings.
    Json,
    /// SARIF 2.1.0, for code hosts and editors.
    Sarif,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let shop = Shop::open();
    let compiled = match shop.folder(&args.dir, &shop.state) {
        Ok(compiled) => compiled,
        Err(error) => return fail(COULD_NOT, &error),
    };
    match args.format {
        Format::Pretty => {
            if compiled.plan.is_none() || !compiled.diagnostics.is_empty() {
                say(&compiled.rendered(colours()));
            }
            if let Some(plan) = &compiled.plan {
                say(&format!("{}: good, revision {}", args.dir.display(), plan.revision()));
            }
        }
        Format::Json => say(&pretty(&weir_diagnostic::to_json(&compiled.sources, &compiled.diagnostics))),
        Format::Sarif => say(&pretty(&weir_diagnostic::to_sarif(&compiled.sources, &compiled.diagnostics))),
    }
    if compiled.diagnostics.has_errors() { ExitCode::from(BAD) } else { ExitCode::SUCCESS }
}

fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}")
}

#[cfg(test)]
mod tests;
