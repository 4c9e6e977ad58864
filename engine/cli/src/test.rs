//! `weir test`: runs the cases of policies. With `WEIR_MODELS=none`, cases of policies that need a model are left out.

use crate::out::{COULD_NOT, USAGE, colours, fail, say};
use crate::set::Shop;
use clap::ValueEnum;
use std::path::PathBuf;
use std::process::ExitCode;
use weir_conformance::{Options, filter};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Case files (`*.test.yaml`), or folders that hold some
    #[arg(default_value = ".")]
    paths: Vec<PathBuf>,
    /// Only cases whose note matches this text or regular expression
    #[arg(long)]
    run: Option<String>,
    /// Also says which stages no case ever reached
    #[arg(long)]
    coverage: bool,
    /// How the report is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// How the report is printed.
#[derive(Clone, Copy, Default, ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Pretty,
    /// For programs.
    Json,
    /// JUnit XML, for CI.
    Junit,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let run = match &args.run {
        None => None,
        Some(text) => match filter(text) {
            Some(filter) => Some(filter),
            None => return fail(USAGE, "the text given to --run is too long"),
        },
    };
    let shop = Shop::open();
    let options =
        Options { compile: &|folder, state| shop.tested(folder, state), run, coverage: args.coverage };
    let report = match weir_conformance::run(&args.paths, &options) {
        Ok(report) => report,
        Err(error) => return fail(COULD_NOT, &error),
    };
    say(&match args.format {
        Format::Pretty => report.to_text(colours()),
        Format::Json => format!("{:#}", report.to_json()),
        Format::Junit => report.to_junit(),
    });
    ExitCode::from(report.exit_code())
}
