//! `weir key`: keys for callers.

use crate::out::{COULD_NOT, USAGE, fail, say};
use clap::Subcommand;
use std::io::Read;
use std::process::ExitCode;
use weir_state::{digest, generate, print_digest};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes a new key and prints it with its hash; it is shown this once
    New,
    /// Reads a key from standard input and prints its hash for `keys:`
    Hash,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    match args.command {
        Command::New => {
            let mut random = [0; 32];
            let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut random));
            if let Err(error) = read {
                return fail(COULD_NOT, &format!("no random numbers: {error}"));
            }
            let key = generate(random);
            say(&format!("key:  {key}\nhash: {}", print_digest(&digest(&key))));
            ExitCode::SUCCESS
        }
        Command::Hash => {
            let mut key = String::new();
            if let Err(error) = std::io::stdin().read_to_string(&mut key) {
                return fail(COULD_NOT, &format!("standard input: {error}"));
            }
            match key.trim() {
                "" => fail(USAGE, "standard input is empty; try: echo -n wr_… | weir key hash"),
                key => {
                    say(&print_digest(&digest(key)));
                    ExitCode::SUCCESS
                }
            }
        }
    }
}
