//! Keys, tokens, passwords and private keys are refused, masked or replaced.
//!
//! They are found by what their issuers begin them with (more than 100 services), by the name that stands in front of them
//! (`password = …`, `"api_key": "…"`, if the value looks made up), and in addresses (`postgres://user:…@host`). What stands for
//! a secret in examples is none: `changeme`, `${TOKEN}`, `sk-xxxx…`. The trace names the issuer, never the secret.
//!
//! ```yaml
//! - guard: secrets
//!   with: { then: mask, allow: [AKIAIOSFODNN7EXAMPLE] }
//! ```

mod known;
pub(crate) mod shapes;

use super::action::{Beside, Role, Side, Then, both};
use super::spans::{Finder, Treatment};
use memchr::memmem;
use schemars::JsonSchema;
use serde::Deserialize;
use shapes::{Keys, in_address, issuer, named, said};
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use weir_diagnostic::{Code, Diagnostic};
use weir_pipeline::{Stage, Workbench};
use weir_policy::StageDecl;

/// The settings of `guard: secrets`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Which way it looks: at what clients send, at what models say.
    #[serde(default = "both")]
    on: Vec<Side>,
    /// Whose texts it reads; all if none is named.
    #[serde(default)]
    roles: Vec<Role>,
    /// What is done with a secret.
    #[serde(default)]
    then: Then,
    /// What stands in the place of a secret; goes with `then: replace`.
    replacement: Option<String>,
    /// The tag of `then: tag`.
    tag: Option<String>,
    /// Whether values are secrets that only look made up and stand behind a name such as `password` or `token`.
    #[serde(default = "yes")]
    named: bool,
    /// Texts that are let through though they look like secrets, such as the keys of examples.
    #[serde(default)]
    allow: Vec<String>,
    /// What the client is told when a secret denies.
    message: Option<String>,
}

fn yes() -> bool {
    true
}

/// So much of a stream is held back, in bytes: the longest beginning of a known key with the least that must follow it. A
/// secret that has begun is held to its end, however long.
const HELD: usize = 128;

/// Checks the settings and compiles the guard.
pub(crate) fn compile(decl: &StageDecl, bench: &mut Workbench<'_>) -> Option<Arc<dyn Stage>> {
    let settings: Settings = bench.settings(decl)?;
    let before = bench.diagnostics.len();
    let beside = Beside { replacement: settings.replacement, tag: settings.tag };
    let action = settings.then.action(&settings.on, beside, |message, help| {
        bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(decl.span).help(help));
    });
    if bench.diagnostics.len() > before {
        return None;
    }
    let finder =
        Secrets { keys: Keys::new(), named: settings.named, allow: settings.allow.into_iter().collect() };
    let treatment = Treatment {
        on: settings.on,
        roles: settings.roles,
        action,
        message: settings.message.unwrap_or_else(|| "the text holds a secret: take it out".to_owned()),
    };
    Some(treatment.of(Arc::new(finder), decl))
}

/// What finds secrets, for guards that look for other things too.
pub(crate) fn finder() -> impl Finder {
    Secrets { keys: Keys::new(), named: true, allow: HashSet::new() }
}

/// The number of a value that a name stands in front of.
const NAMED: usize = usize::MAX;
/// The number of a password in an address.
const IN_ADDRESS: usize = usize::MAX - 1;

struct Secrets {
    keys: Keys,
    named: bool,
    allow: HashSet<String>,
}

impl Finder for Secrets {
    fn find(&self, text: &str) -> Vec<(Range<usize>, usize)> {
        let mut found = Vec::new();
        self.keys.scan(text, |range, number| found.push((range, number)));
        let bytes = text.as_bytes();
        if self.named {
            let places = memchr::memchr2_iter(b':', b'=', bytes);
            found.extend(places.filter_map(|at| Some((named(bytes, at)?, NAMED))));
            let places = memmem::find_iter(bytes, " is ");
            found.extend(places.filter_map(|at| Some((said(bytes, at)?, NAMED))));
        }
        let places = memmem::find_iter(bytes, "://");
        found.extend(places.filter_map(|at| Some((in_address(bytes, at)?, IN_ADDRESS))));
        found.retain(|(range, _)| text.get(range.clone()).is_some_and(|secret| !self.allow.contains(secret)));
        // A known key says more than the name in front of it.
        found.sort_by_key(|(range, number)| (range.start, *number));
        let mut apart: Vec<(Range<usize>, usize)> = Vec::with_capacity(found.len());
        for (range, number) in found {
            match apart.last_mut() {
                Some((last, _)) if range.start < last.end => last.end = last.end.max(range.end),
                _ => apart.push((range, number)),
            }
        }
        apart
    }

    fn longest(&self) -> usize {
        HELD
    }

    fn says(&self, number: usize) -> String {
        match number {
            NAMED => "holds a password or token behind its name".to_owned(),
            IN_ADDRESS => "holds an address with a password".to_owned(),
            _ => match issuer(number) {
                Some(what) if what.starts_with("a ") => format!("holds {what}"),
                Some(issuer) => format!("holds a key of {issuer}"),
                None => "holds a key".to_owned(),
            },
        }
    }
}

#[cfg(test)]
mod tests;
