//! `weir-bench`: measures Weir against a bare Pingora proxy, a bare model call and fixed bounds, all in one run.
#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark reads the clock and prints"
)]

mod bare;
mod load;
mod peers;
mod process;
mod prompts;
mod run;
mod sets;
mod table;
mod upstream;
mod wire;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// The allocator of `weir`, so that the baseline has the same one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What went wrong, for people.
type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Measures Weir's speed and size as ratios to a baseline.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures everything and prints the table
    Run(run::Args),
    /// Measures Weir beside other gateways
    Peers(peers::Args),
    /// Serves fixed replies and event streams, in place of a provider
    Upstream {
        /// The port on the loopback address
        port: u16,
    },
    /// Forwards to an upstream by Pingora's `ProxyHttp` and reads nothing: the baseline
    Bare {
        /// The port on the loopback address
        port: u16,
        /// The upstream's port
        upstream: u16,
    },
    /// Loads one port, for profiles
    Load(run::LoadArgs),
    /// Writes the policy set of the CPU rows into a folder, for profiles
    Set {
        /// Where to write
        dir: std::path::PathBuf,
        /// The listener's port
        port: u16,
        /// The upstream's port
        upstream: u16,
        /// The set of the streamed rows instead: a route alone
        #[arg(long)]
        route_alone: bool,
    },
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Peers(args) => peers::run(&args),
        Command::Upstream { port } => upstream::serve(port),
        Command::Bare { port, upstream } => bare::serve(port, upstream),
        Command::Load(args) => run::load(&args),
        Command::Set { dir, port, upstream, route_alone } => {
            let text = if route_alone {
                sets::route_alone(port, upstream)
            } else {
                sets::four_stages(port, upstream)
            };
            std::fs::create_dir_all(&dir)
                .and_then(|()| std::fs::write(dir.join("policy.yaml"), text))
                .map_err(Into::into)
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weir-bench: {error}");
            ExitCode::FAILURE
        }
    }
}
