//! `weir keys`: keys for callers.

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
    /// Makes a new key and prints it, this once, with the lines of a policy that know it by its hash
    New(Owner),
    /// Reads a key from standard input and prints its hash for `keys:`
    Hash,
}

/// Whose key it is.
#[derive(clap::Args)]
struct Owner {
    /// The key's name in the set
    #[arg(default_value = "NAME")]
    name: String,
    /// The team that it stands for
    #[arg(long)]
    team: Option<String>,
    /// The user that it stands for
    #[arg(long)]
    user: Option<String>,
    /// The project that it is for
    #[arg(long)]
    project: Option<String>,
    /// Models that it may ask for: names, or patterns ending in `*`
    #[arg(long = "model", value_name = "MODEL")]
    models: Vec<String>,
    /// From when on it is refused: a day or a moment (RFC 3339)
    #[arg(long)]
    expires: Option<String>,
}

impl Owner {
    /// The lines of a policy that know a key with this hash.
    fn lines(&self, hash: &str) -> String {
        let mut out = format!("keys:\n  {}:\n    hash: {}", quoted(&self.name), quoted(hash));
        let fields = [
            ("team", &self.team),
            ("user", &self.user),
            ("project", &self.project),
            ("expires", &self.expires),
        ];
        for (field, value) in fields {
            if let Some(value) = value {
                out.push_str(&format!("\n    {field}: {}", quoted(value)));
            }
        }
        if !self.models.is_empty() {
            let models: Vec<String> = self.models.iter().map(|model| quoted(model)).collect();
            out.push_str(&format!("\n    models: [{}]", models.join(", ")));
        }
        out
    }
}

/// A text as YAML reads it back: a JSON string is one.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

pub(crate) fn run(args: &Args) -> ExitCode {
    match &args.command {
        Command::New(owner) => {
            let mut random = [0; 32];
            let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut random));
            if let Err(error) = read {
                return fail(COULD_NOT, &format!("no random numbers: {error}"));
            }
            let key = generate(random);
            let hash = print_digest(&digest(&key));
            say(&format!("key:  {key}\nhash: {hash}\n\n{}", owner.lines(&hash)));
            ExitCode::SUCCESS
        }
        Command::Hash => {
            let mut key = String::new();
            if let Err(error) = std::io::stdin().read_to_string(&mut key) {
                return fail(COULD_NOT, &format!("standard input: {error}"));
            }
            match key.trim() {
                "" => fail(USAGE, "standard input is empty; try: echo -n wr_… | weir keys hash"),
                key => {
                    say(&print_digest(&digest(key)));
                    ExitCode::SUCCESS
                }
            }
        }
    }
}
