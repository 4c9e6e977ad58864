//! What carries over between dialects, found by carrying it: each feature is written in the client's dialect, sent on in the
//! provider's, and read back. The table is `schemas/reference/dialects.md`; `make reference` writes it, and a test fails
//! where it is not as the code does.

mod replies;
mod requests;

use crate::speaks;
use std::fmt::Write;
use weir_message::Dialect;

/// What becomes of a feature on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It arrives.
    Carried,
    /// It arrives in another form that comes to the same.
    Emulated,
    /// It is left out, and the reply says so.
    Dropped,
    /// The request is refused unless the provider says `unsupported: drop`.
    Refused,
    /// What is sent has no place for it.
    Unsaid,
    /// What arrives has no place for it.
    NoPlace,
    /// It is lost without a word: a defect.
    Lost,
}

impl Fate {
    fn word(self) -> &'static str {
        match self {
            Fate::Carried => "carried",
            Fate::Emulated => "emulated",
            Fate::Dropped => "dropped",
            Fate::Refused => "refused",
            Fate::Unsaid => "–",
            Fate::NoPlace => "no place",
            Fate::Lost => "LOST",
        }
    }
}

/// The dialects of the table.
fn dialects() -> impl Iterator<Item = Dialect> {
    Dialect::ALL.iter().copied().filter(|dialect| speaks(*dialect))
}

/// A table with a row for each feature and a column for each way from one dialect to another.
fn table(corner: &str, names: &[&str], fate: impl Fn(usize, Dialect, Dialect) -> Fate, out: &mut String) {
    let ways: Vec<(Dialect, Dialect)> = dialects()
        .flat_map(|from| dialects().map(move |to| (from, to)))
        .filter(|(from, to)| from != to)
        .collect();
    let _ = write!(out, "| {corner} |");
    for (from, to) in &ways {
        let _ = write!(out, " {from} → {to} |");
    }
    let _ = write!(out, "\n|---|{}\n", "---|".repeat(ways.len()));
    for (n, name) in names.iter().enumerate() {
        let _ = write!(out, "| {name} |");
        for (from, to) in &ways {
            let _ = write!(out, " {} |", fate(n, *from, *to).word());
        }
        out.push('\n');
    }
}

/// The page.
fn page() -> String {
    let mut out = String::from(
        "# What carries over between dialects\n\n\
         Generated from tests that carry each feature: `make reference` writes this page.\n\n\
         *carried*: it arrives. *emulated*: it arrives in another form that comes to the same. *dropped*: a hint that is left \
         out; `x-weir-dropped` names it. *refused*: the answer may mean something else without it, so the target is ruled out \
         (`unsupported`), unless its provider says `unsupported: drop`. *–*: the dialect that sends has no word for it. *no \
         place*: the client's dialect has no word for it.\n\n\
         Between equal dialects the bytes pass as they are. Bedrock takes what the model behind it takes: here Claude Sonnet 4.5.\n\n\
         ## Requests, from the client's dialect to the provider's\n\n",
    );
    table("feature", &requests::names(), requests::fate, &mut out);
    out.push_str("\n## Replies, from the provider's dialect to the client's, whole and streamed\n\n");
    table("feature", &replies::names(), replies::fate, &mut out);
    out
}

#[test]
fn nothing_is_lost_without_a_word() {
    let page = page();
    let lost: Vec<&str> = page.lines().filter(|line| line.contains(Fate::Lost.word())).collect();
    assert!(lost.is_empty(), "{}", lost.join("\n"));
}

#[test]
fn the_table_is_as_the_code_does() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas/reference/dialects.md");
    let page = page();
    if std::env::var_os("WEIR_WRITE_REFERENCE").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(kept == page, "schemas/reference/dialects.md is stale: run `make reference`");
}
