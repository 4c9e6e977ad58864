//! What carries over between dialects, found by carrying it: each feature is written in the client's dialect, sent on in the
//! provider's, and read back. The table is `schemas/reference/dialects.md`; `make reference` writes it, and a test fails
//! where it is not as the code does.

mod replies;
mod requests;
mod responses;

use crate::{WireFormat, speaks};
use std::fmt::Write;
use weir_message::{Dialect, Operation};

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

/// The dialects of the table, where chats are asked for.
fn chats() -> impl Iterator<Item = WireFormat> {
    let spoken = Dialect::ALL.iter().copied().filter(|dialect| speaks(*dialect));
    spoken.map(|dialect| WireFormat { dialect, operation: Operation::Chat })
}

/// OpenAI's Responses API. A provider that has it is asked by its own clients alone, whose bytes pass.
const RESPONSES: WireFormat = WireFormat { dialect: Dialect::OpenAi, operation: Operation::Response };

/// What a column says of a format.
fn label(format: WireFormat) -> &'static str {
    if format == RESPONSES { "responses" } else { format.dialect.name() }
}

type Way = (WireFormat, WireFormat);

/// The ways from one dialect to another.
fn between_dialects() -> impl Iterator<Item = Way> {
    chats().flat_map(|from| chats().map(move |to| (from, to))).filter(|(from, to)| from != to)
}

/// A table with a row for each feature and a column for each way.
fn table(
    corner: &str,
    names: &[&str],
    ways: &[Way],
    fate: impl Fn(usize, WireFormat, WireFormat) -> Fate,
    out: &mut String,
) {
    let _ = write!(out, "| {corner} |");
    for (from, to) in ways {
        let _ = write!(out, " {} → {} |", label(*from), label(*to));
    }
    let _ = write!(out, "\n|---|{}\n", "---|".repeat(ways.len()));
    for (n, name) in names.iter().enumerate() {
        let _ = write!(out, "| {name} |");
        for (from, to) in ways {
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
         *responses* is OpenAI's Responses API, as its clients speak it to providers that are asked for chats.\n\n\
         Between equal dialects the bytes pass as they are. Bedrock takes what the model behind it takes: here Claude Sonnet 4.5.\n\n\
         ## Requests, from the client's dialect to the provider's\n\n",
    );
    let ways: Vec<Way> = between_dialects().chain(chats().map(|to| (RESPONSES, to))).collect();
    table("feature", &requests::names(), &ways, requests::fate, &mut out);
    out.push_str("\n## Replies, from the provider's dialect to the client's, whole and streamed\n\n");
    let ways: Vec<Way> = between_dialects().chain(chats().map(|from| (from, RESPONSES))).collect();
    table("feature", &replies::names(), &ways, replies::fate, &mut out);
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
