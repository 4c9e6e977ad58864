//! `weir`: the policy gateway for model traffic. Serves policy sets, and checks, tests and explains them.
#![forbid(unsafe_code)]

mod check;
mod explain;
mod help;
mod keys;
mod models;
mod out;
mod redis;
mod schema;
mod serve;
mod set;
mod test;
mod usage;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The policy gateway for model traffic.
///
/// Exit codes: 0 good; 1 the thing asked about is bad; 2 usage; 3 nothing to run, or a case that cannot fail; 4 could not run.
#[derive(Parser)]
#[command(name = "weir", version, propagate_version = true, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves a policy set; a save takes effect at once
    Serve(serve::Args),
    /// Says all that is wrong with a policy set
    Check(check::Args),
    /// Runs the cases of policies
    Test(test::Args),
    /// Shows what every stage does with one request
    Explain(explain::Args),
    /// Lists the catalogue of providers and models
    Models(models::Args),
    /// Says what was spent, by any name and window
    Usage(usage::Args),
    /// Makes a key for a caller, or the hash of one
    #[command(alias = "key")]
    Keys(keys::Args),
    /// Prints JSON Schemas and the reference pages
    Schema(schema::Args),
    /// Says what a code of a diagnostic or an error means
    Help(help::Args),
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    match command {
        Command::Serve(args) => serve::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Models(args) => models::run(&args),
        Command::Usage(args) => usage::run(&args),
        Command::Keys(args) => keys::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Help(args) => help::run(&args),
    }
}
