//! `weir keys`: keys for callers.

mod remote;

use crate::out::{COULD_NOT, USAGE, fail, say};
use clap::Subcommand;
use http::Method;
use remote::Remote;
use serde_json::json;
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
    /// Makes a key in a gateway that serves, and prints it, this once
    Add {
        #[command(flatten)]
        owner: Owner,
        #[command(flatten)]
        remote: Remote,
    },
    /// The keys that were made in a gateway that serves
    List {
        /// Keys of this team alone
        #[arg(long)]
        team: Option<String>,
        /// Keys that begin so
        #[arg(long)]
        prefix: Option<String>,
        /// `next` of the page before
        #[arg(long)]
        cursor: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// One of them
    Show(One),
    /// Refuses a key from now on
    Disable(One),
    /// Takes a key again that was disabled
    Enable(One),
    /// Puts another key in the place of one, and prints it, this once
    Rotate {
        #[command(flatten)]
        one: One,
        /// How long the one that it has now stays good, such as 24h
        #[arg(long)]
        overlap: Option<String>,
    },
    /// Takes a key away for good
    Delete(One),
    /// What was done to keys, and whether anything is missing from it
    Audit {
        /// `next` of the page before
        #[arg(long)]
        cursor: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
}

/// A key of a gateway that serves.
#[derive(clap::Args)]
struct One {
    /// Its id
    id: String,
    #[command(flatten)]
    remote: Remote,
}

impl One {
    fn path(&self) -> String {
        format!("/keys/{}", encoded(&self.id))
    }

    fn switch(&self, disabled: bool) -> ExitCode {
        self.remote.run(Method::PATCH, &self.path(), Some(&json!({ "disabled": disabled })))
    }
}

/// A path with those parameters that are given.
fn asked(path: &str, parameters: &[(&str, &Option<String>)]) -> String {
    let given =
        parameters.iter().filter_map(|(name, value)| Some(format!("{name}={}", encoded(value.as_ref()?))));
    let query = given.collect::<Vec<_>>().join("&");
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// Percent-encoded, as a part of a path or a query.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            _ if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
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
    /// As the admin API takes it.
    fn settings(&self) -> serde_json::Value {
        json!({
            "name": self.name, "team": self.team, "user": self.user, "project": self.project,
            "models": self.models, "expires": self.expires,
        })
    }

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
        Command::Add { owner, remote } => remote.run(Method::POST, "/keys", Some(&owner.settings())),
        Command::List { team, prefix, cursor, remote } => {
            let path = asked("/keys", &[("team", team), ("prefix", prefix), ("cursor", cursor)]);
            remote.run(Method::GET, &path, None)
        }
        Command::Show(one) => one.remote.run(Method::GET, &one.path(), None),
        Command::Disable(one) => one.switch(true),
        Command::Enable(one) => one.switch(false),
        Command::Rotate { one, overlap } => {
            let path = format!("{}/rotate", one.path());
            one.remote.run(Method::POST, &path, Some(&json!({ "overlap": overlap })))
        }
        Command::Delete(one) => one.remote.run(Method::DELETE, &one.path(), None),
        Command::Audit { cursor, remote } => {
            remote.run(Method::GET, &asked("/audit", &[("cursor", cursor)]), None)
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
