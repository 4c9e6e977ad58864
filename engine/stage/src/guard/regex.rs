//! Texts that a pattern matches are refused, masked or replaced.
//!
//! ```yaml
//! - guard: regex
//!   with: { deny: ['(?i)project\s+falcon'], roles: [user, tool], message: "that project is not for models" }
//! ```

use super::action::{Beside, Role, Side, Then, both};
use super::spans::{Finder, Treatment};
use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use weir_diagnostic::{Code, Diagnostic, Diagnostics};
use weir_pipeline::{Stage, Workbench};
use weir_policy::{Spanned, StageDecl};

/// The patterns of one guard take at most this much memory compiled, in bytes.
const PATTERNS_SIZE: usize = 4 << 20;

/// The settings of `guard: regex`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Patterns that must not match: regular expressions without look-around; `(?i)` in front ignores case.
    deny: Vec<Spanned<String>>,
    /// Exceptions: what lies inside a match of one of these is let through.
    #[serde(default)]
    allow: Vec<Spanned<String>>,
    /// Which way it looks: at what clients send, at what models say.
    #[serde(default = "both")]
    on: Vec<Side>,
    /// Whose texts it reads; all if none is named.
    #[serde(default)]
    roles: Vec<Role>,
    /// What is done with a match.
    #[serde(default)]
    then: Then,
    /// What stands in the place of a match; goes with `then: replace`.
    replacement: Option<String>,
    /// The tag of `then: tag`.
    tag: Option<String>,
    /// The longest match to expect, in bytes: so much of a stream is held back, up to 65536. With `hold: all` on the guard
    /// matches of any length are seen.
    #[serde(default = "longest")]
    longest: usize,
    /// What the client is told when a match denies.
    message: Option<String>,
}

fn longest() -> usize {
    128
}

/// Checks the settings and compiles the guard.
pub(crate) fn compile(decl: &StageDecl, bench: &mut Workbench<'_>) -> Option<Arc<dyn Stage>> {
    let settings: Settings = bench.settings(decl)?;
    let before = bench.diagnostics.len();
    for pattern in settings.deny.iter().chain(&settings.allow) {
        check(pattern, bench.diagnostics);
    }
    let mut wrong = |message: &str, help: &str| {
        bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(decl.span).help(help));
    };
    if settings.deny.is_empty() {
        wrong("the guard has no pattern", "name patterns in `deny`");
    }
    let beside = Beside { replacement: settings.replacement, tag: settings.tag };
    let action = settings.then.action(&settings.on, beside, &mut wrong);
    if !(1..=65_536).contains(&settings.longest) {
        wrong("`longest` is out of range", "give a number of bytes from 1 to 65536");
    }
    if bench.diagnostics.len() > before {
        return None;
    }
    let texts = |list: &[Spanned<String>]| list.iter().map(|one| one.value.clone()).collect::<Vec<_>>();
    let patterns = match Patterns::shared(&texts(&settings.deny), &texts(&settings.allow)) {
        Ok(patterns) => patterns,
        Err(error) => {
            let message = format!("the patterns are too large together: {error}");
            bench.diagnostics.push(Diagnostic::new(Code::BadRegex, message).at(decl.span));
            return None;
        }
    };
    let treatment = Treatment {
        on: settings.on,
        roles: settings.roles,
        action,
        message: settings
            .message
            .unwrap_or_else(|| "the text holds what the policy does not let pass".to_owned()),
    };
    Some(treatment.of(Arc::new(Held { patterns, longest: settings.longest }), decl))
}

fn check(pattern: &Spanned<String>, diagnostics: &mut Diagnostics) {
    let wrong = match RegexBuilder::new(pattern).size_limit(PATTERNS_SIZE).build() {
        Ok(regex) if regex.is_match("") => Some("it matches the empty text, so everything".to_owned()),
        Ok(_) => None,
        Err(error) => Some(error.to_string()),
    };
    if let Some(cause) = wrong {
        let help = "look-around and back-references are not supported; see https://docs.rs/regex";
        diagnostics.push(
            Diagnostic::new(Code::BadRegex, "the pattern does not work")
                .at(pattern.span)
                .cause(cause)
                .help(help),
        );
    }
}

/// Compiled patterns, shared by all guards that have the same.
struct Patterns {
    set: RegexSet,
    deny: Vec<Regex>,
    allow: Vec<Regex>,
}

impl Patterns {
    fn shared(deny: &[String], allow: &[String]) -> Result<Arc<Self>, regex::Error> {
        type Known = HashMap<(Vec<String>, Vec<String>), Weak<Patterns>>;
        static KNOWN: Mutex<Option<Known>> = Mutex::new(None);
        let key = (deny.to_vec(), allow.to_vec());
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get_or_insert_default();
        if let Some(patterns) = known.get(&key).and_then(Weak::upgrade) {
            return Ok(patterns);
        }
        let each = |list: &[String]| {
            list.iter()
                .map(|one| RegexBuilder::new(one).size_limit(PATTERNS_SIZE).build())
                .collect::<Result<Vec<_>, _>>()
        };
        let set = RegexSetBuilder::new(deny).size_limit(PATTERNS_SIZE).build()?;
        let patterns = Arc::new(Patterns { set, deny: each(deny)?, allow: each(allow)? });
        known.retain(|_, patterns| patterns.strong_count() > 0);
        known.insert(key, Arc::downgrade(&patterns));
        Ok(patterns)
    }
}

/// Patterns, and how long a match of theirs may be.
struct Held {
    patterns: Arc<Patterns>,
    longest: usize,
}

impl Finder for Held {
    fn find(&self, text: &str) -> Vec<(Range<usize>, usize)> {
        self.patterns.find(text)
    }

    fn says(&self, number: usize) -> String {
        self.patterns.says(number)
    }

    fn longest(&self) -> usize {
        self.longest
    }
}

impl Patterns {
    /// Matches that no exception covers, each with the number of its pattern.
    fn find(&self, text: &str) -> Vec<(Range<usize>, usize)> {
        let mut found: Vec<(Range<usize>, usize)> = Vec::new();
        for number in self.set.matches(text) {
            let Some(regex) = self.deny.get(number) else { continue };
            found
                .extend(regex.find_iter(text).filter(|one| !one.is_empty()).map(|one| (one.range(), number)));
        }
        if found.is_empty() {
            return found;
        }
        let allowed: Vec<Range<usize>> =
            self.allow.iter().flat_map(|regex| regex.find_iter(text).map(|one| one.range())).collect();
        found.retain(|(one, _)| !allowed.iter().any(|wide| wide.start <= one.start && one.end <= wide.end));
        found.sort_by_key(|(range, _)| range.start);
        let mut apart: Vec<(Range<usize>, usize)> = Vec::with_capacity(found.len());
        for (range, number) in found {
            match apart.last_mut() {
                Some((last, _)) if range.start < last.end => last.end = last.end.max(range.end),
                _ => apart.push((range, number)),
            }
        }
        apart
    }

    fn says(&self, number: usize) -> String {
        self.deny.get(number).map_or_else(String::new, |regex| format!("matches `{regex}`"))
    }
}

#[cfg(test)]
mod tests;
