//! `weir-eval`: measures guards on labelled data that they have not seen, by the real stages, and prints tables in Markdown.
//!
//! Exit: 0 all figures hold, 1 one fell below its bound, 2 usage, 4 could not measure.
#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measurement reads the clock and prints"
)]

mod added;
mod cache;
mod chance;
mod code;
mod content;
mod features;
mod gateway;
mod injection;
mod pii;
mod room;
mod secrets;
mod table;

use clap::Parser;
use room::{Outcome, Room};
use std::process::ExitCode;
use table::Table;

/// What is measured together, under one name.
struct Suite {
    name: &'static str,
    /// Whether it asks models, and is left out where `WEIR_MODELS=none` says that there are none.
    models: bool,
    run: fn(&Room) -> Outcome<Vec<Table>>,
}

/// All suites, in the order of the output.
const SUITES: &[Suite] = &[
    Suite { name: "secrets", models: false, run: secrets::tables },
    Suite { name: "injection", models: false, run: injection::tables },
    Suite { name: "content", models: false, run: content::tables },
    Suite { name: "pii", models: true, run: pii::found },
    Suite { name: "restore", models: false, run: pii::restored },
    Suite { name: "cache", models: true, run: cache::tables },
    Suite { name: "added", models: false, run: added::tables },
];

/// Measures guards on labelled data and says whether the figures hold.
#[derive(Parser)]
struct Cli {
    /// Suites to run; all if none is named
    suites: Vec<String>,
    /// Only what needs nothing but this repository: the part that `make test` runs
    #[arg(long)]
    quick: bool,
    /// Tells on standard error what was missed and what was taken for something that it is not
    #[arg(long)]
    show: bool,
    /// Prints what the semantic cache's judge sees of the pairs in a file, for it to learn from, and stops
    #[arg(long)]
    cache_features: Option<std::path::PathBuf>,
    /// Writes what `guard: injection` reads of the texts on standard input, for `eval/train/injection.py`
    #[arg(long)]
    injection_features: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Some(name) = cli.suites.iter().find(|name| SUITES.iter().all(|suite| suite.name != **name)) {
        let names: Vec<&str> = SUITES.iter().map(|suite| suite.name).collect();
        eprintln!("weir-eval: there is no suite `{name}`; there are: {}", names.join(", "));
        return ExitCode::from(2);
    }
    let room = match Room::open(cli.quick, cli.show) {
        Ok(room) => room,
        Err(error) => {
            eprintln!("weir-eval: {error}");
            return ExitCode::from(4);
        }
    };
    let learnt_from = match &cli.cache_features {
        Some(path) => Some(cache::features(&room, path)),
        None => cli.injection_features.then(|| features::write(&room)),
    };
    if let Some(written) = learnt_from {
        return match written {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("weir-eval: {error}");
                ExitCode::from(4)
            }
        };
    }
    let (mut figures, mut fallen) = (0, 0);
    for suite in SUITES {
        if !cli.suites.is_empty() && cli.suites.iter().all(|name| name != suite.name) {
            continue;
        }
        if suite.models && room.models.is_none() {
            println!("## {}\n\nLeft out: WEIR_MODELS=none.\n", suite.name);
            continue;
        }
        match (suite.run)(&room) {
            Ok(tables) => {
                for table in tables {
                    println!("{}", table.markdown());
                    figures += table.figures();
                    fallen += table.fallen();
                }
            }
            Err(error) => {
                eprintln!("weir-eval: {}: {error}", suite.name);
                return ExitCode::from(4);
            }
        }
    }
    println!("{} passed, {fallen} failed", figures - fallen);
    if fallen == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
