//! Texts that a pattern matches are refused, masked or replaced.
//!
//! ```yaml
//! - guard: regex
//!   with: { deny: ['(?i)project\s+falcon'], roles: [user, tool], message: "that project is not for models" }
//! ```

use super::pii::reading::{Reading, cut_escape, in_string};
use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use weir_diagnostic::{Code, Diagnostic, Diagnostics};
use weir_message::{Block, BlockKind, Denial, ErrorCode, Replace, TextAt, TextForm, TextRole};
use weir_pipeline::{
    CONTINUE, Declares, HELD_LIMIT, Hold, Hook, Needs, Notes, Stage, StreamStage, StreamVerdict, Streaming,
    TEXT_OPERATIONS, Verdict, Visit, Window, WindowFlow, WindowJudge, Windows, Workbench,
};
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
    /// The longest match to expect, in bytes: so much of a stream is held back, up to 65536. With `hold: all` on the guard
    /// matches of any length are seen.
    #[serde(default = "longest")]
    longest: usize,
    /// What the client is told when a match denies.
    message: Option<String>,
}

/// A way through the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Side {
    /// What the client sends.
    Request,
    /// What the model says, whole or streamed.
    Reply,
}

/// Whose text it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Role {
    /// System and developer prompts.
    System,
    /// What users say.
    User,
    /// What the model says, reasoning and refusals too.
    Assistant,
    /// What tools gave back.
    Tool,
    /// Arguments of tool calls.
    Arguments,
    /// Inputs to embed, prompts to complete, and fields that the client's API does not have.
    Input,
    /// Descriptions of tools and of the form of the answer.
    Definition,
    /// Other strings beside what is said: names, words of schemas, metadata.
    Field,
}

/// What is done with a match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Then {
    /// The request or reply is refused.
    #[default]
    Deny,
    /// `[REMOVED]` stands in its place.
    Mask,
    /// `replacement` stands in its place.
    Replace,
}

fn both() -> Vec<Side> {
    vec![Side::Request, Side::Reply]
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
    if settings.on.is_empty() {
        wrong("the guard looks nowhere", "leave `on` out, or name `request` or `reply`");
    }
    if (settings.then == Then::Replace) != settings.replacement.is_some() {
        wrong("`replacement` and `then: replace` go together", "set both or neither");
    }
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
    Some(Arc::new(Guard {
        inner: Arc::new(Inner {
            patterns,
            roles: settings.roles,
            instead: match settings.then {
                Then::Deny => None,
                Then::Mask => Some("[REMOVED]".to_owned()),
                Then::Replace => settings.replacement,
            },
            message: settings.message,
            longest: settings.longest,
        }),
        request: settings.on.contains(&Side::Request),
        reply: settings.on.contains(&Side::Reply),
        hold: match decl.hold {
            weir_policy::Hold::Declared => Hold::Declared,
            weir_policy::Hold::Sentence => Hold::Sentence,
            weir_policy::Hold::All => Hold::All,
        },
        unread_pass: decl.unread_pass,
    }))
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

    /// Matches that no exception covers, ascending and apart, each with the number of its pattern.
    fn matches(&self, text: &str) -> Vec<(Range<usize>, usize)> {
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
}

/// What request, reply and streams share.
struct Inner {
    patterns: Arc<Patterns>,
    roles: Vec<Role>,
    /// What stands in the place of a match; `None`: matches deny.
    instead: Option<String>,
    message: Option<String>,
    longest: usize,
}

impl Inner {
    fn reads(&self, role: TextRole) -> bool {
        let role = match role {
            TextRole::System => Role::System,
            TextRole::User => Role::User,
            TextRole::Assistant | TextRole::Reasoning | TextRole::Refusal => Role::Assistant,
            TextRole::Tool => Role::Tool,
            TextRole::Arguments => Role::Arguments,
            TextRole::Input => Role::Input,
            TextRole::Definition => Role::Definition,
            TextRole::Field => Role::Field,
        };
        self.roles.is_empty() || self.roles.contains(&role)
    }

    fn denial(&self) -> Box<Denial> {
        let message = self.message.clone();
        let message =
            message.unwrap_or_else(|| "the text holds what the policy does not let pass".to_owned());
        Box::new(Denial::new(ErrorCode::ContentDenied, message))
    }

    /// The changes to one text; adds its matches to `seen`.
    fn changes(&self, at: TextAt<'_>, seen: &mut Seen) -> Option<(usize, Vec<Replace>)> {
        if !self.reads(at.role) {
            return None;
        }
        let written = at.text.as_str();
        let reading = Reading::of(written, at.text.form);
        let matches = self.patterns.matches(&reading.text);
        if matches.is_empty() {
            return None;
        }
        seen.add(&matches);
        Some((
            at.index,
            self.edits(written, &reading, at.text.form, matches.into_iter().map(|(range, _)| range), false),
        ))
    }

    fn edits(
        &self,
        written: &str,
        reading: &Reading<'_>,
        form: TextForm,
        matches: impl Iterator<Item = Range<usize>>,
        open: bool,
    ) -> Vec<Replace> {
        let Some(instead) = &self.instead else { return Vec::new() };
        let parts = matches.flat_map(|range| reading.parts(written, range, form));
        let edit = |part: Range<usize>| {
            let range = reading.written(part.start)..reading.written(part.end);
            // A number that stands bare in a JSON document can only become another number.
            let bare = form.is_json() && !in_string(written.get(..range.start).unwrap_or_default(), open);
            Replace::new(range, if bare { "0" } else { instead.as_str() })
        };
        parts.map(edit).collect()
    }
}

/// Which patterns matched, and how often.
#[derive(Default)]
struct Seen {
    matches: u32,
    first: Option<usize>,
}

impl Seen {
    fn add(&mut self, matches: &[(Range<usize>, usize)]) {
        self.matches += u32::try_from(matches.len()).unwrap_or(u32::MAX);
        self.first = self.first.or(matches.first().map(|(_, number)| *number));
    }

    fn tell(&self, patterns: &Patterns, reply: bool, notes: &mut Notes) {
        let Some(regex) = self.first.and_then(|number| patterns.deny.get(number)) else { return };
        let side = if reply { "reply" } else { "request" };
        notes.reason.get_or_insert(format!("the {side} matches `{regex}`"));
        notes.fact(if reply { "reply_matches" } else { "matches" }, self.matches);
    }
}

/// The guard in its place.
struct Guard {
    inner: Arc<Inner>,
    request: bool,
    reply: bool,
    hold: Hold,
    unread_pass: bool,
}

impl Stage for Guard {
    fn declares(&self) -> Declares {
        let reply = if self.reply { Needs::REPLY | Needs::EVENTS } else { Needs::NONE };
        Declares {
            needs: Needs::BODY | reply,
            streaming: if self.reply { Streaming::Events } else { Streaming::None },
            edits_request: self.request && self.inner.instead.is_some(),
            judges_request: self.request,
            reads_reply: self.reply,
            reads_operations: Some(TEXT_OPERATIONS),
            ..Declares::default()
        }
    }

    fn request<'a>(&'a self, visit: Visit<'a>) -> Hook<'a> {
        if !self.request {
            return CONTINUE;
        }
        if visit.exchange.request.body.has_token_ids()
            && !self.unread_pass
            && self.inner.reads(TextRole::Input)
        {
            let message =
                "the input came as token ids, which a guard of the policy cannot read: send it as text";
            return Hook::Done(Verdict::Deny(Box::new(Denial::new(ErrorCode::ContentDenied, message))));
        }
        let request = &mut visit.exchange.request;
        let (mut seen, mut all) = (Seen::default(), Vec::new());
        request.each_text(|at| all.extend(self.inner.changes(at, &mut seen)));
        for (index, changes) in &all {
            if !changes.is_empty() && !request.edit_text(*index, changes) {
                return Hook::Done(Verdict::Fault("a match could not be taken out of the request".into()));
            }
        }
        Hook::Done(self.verdict(&seen, false, visit.notes))
    }

    fn reply<'a>(&'a self, visit: Visit<'a>) -> Hook<'a> {
        let Some(reply) = visit.exchange.reply.as_mut() else { return CONTINUE };
        let (mut seen, mut all) = (Seen::default(), Vec::new());
        reply.each_text(|at| all.extend(self.inner.changes(at, &mut seen)));
        for (index, changes) in &all {
            if !changes.is_empty() && !reply.edit_text(*index, changes) {
                return Hook::Done(Verdict::Fault("a match could not be taken out of the reply".into()));
            }
        }
        Hook::Done(self.verdict(&seen, true, visit.notes))
    }

    fn stream(&self, _visit: Visit<'_>) -> Option<Box<dyn StreamStage>> {
        if !self.reply {
            return None;
        }
        let judge = Judge { inner: Arc::clone(&self.inner), seen: Seen::default(), pasts: Vec::new() };
        Some(Box::new(Windows::new(judge, self.hold, HELD_LIMIT)))
    }
}

impl Guard {
    fn verdict(&self, seen: &Seen, reply: bool, notes: &mut Notes) -> Verdict {
        seen.tell(&self.inner.patterns, reply, notes);
        match seen.first {
            Some(_) if self.inner.instead.is_none() => Verdict::Deny(self.inner.denial()),
            _ => Verdict::Continue,
        }
    }
}

/// The guard over a stream: the last bytes wait, so that a match over a seam is seen.
struct Judge {
    inner: Arc<Inner>,
    seen: Seen,
    pasts: Vec<Past>,
}

/// The end of what was passed of a block, and whether that ends inside a JSON string.
struct Past {
    block: Block,
    text: String,
    cut: bool,
    quoted: bool,
}

impl WindowJudge for Judge {
    fn window<'a>(&'a mut self, block: Block, text: &'a str, last: bool) -> WindowFlow<'a> {
        let (form, role) = match block.kind {
            BlockKind::Arguments => (TextForm::Json, TextRole::Arguments),
            BlockKind::Text | BlockKind::Reasoning | BlockKind::Refusal => {
                (TextForm::Plain, TextRole::Assistant)
            }
        };
        if !self.inner.reads(role) {
            return WindowFlow::Done(Window::pass(text.len()));
        }
        let index = self.pasts.iter().position(|past| past.block == block).unwrap_or_else(|| {
            self.pasts.push(Past { block, text: String::new(), cut: false, quoted: false });
            self.pasts.len() - 1
        });
        let Some(past) = self.pasts.get_mut(index) else { return WindowFlow::Done(Window::pass(0)) };
        let before = past.text.len();
        let whole = format!("{}{text}", past.text);
        let reading = Reading::of(&whole, form);
        let mut matches = self.inner.patterns.matches(&reading.text);
        // What seems to begin where memory begins may be `^` in the wrong place.
        matches.retain(|(range, _)| !(past.cut && range.start == 0) && reading.written(range.end) > before);
        let mut passed = whole.len();
        if !last {
            passed = passed.saturating_sub(self.inner.longest).min(cut_escape(&whole).unwrap_or(passed));
            for (range, _) in matches.iter().rev() {
                let (start, end) = (reading.written(range.start), reading.written(range.end));
                if end > passed {
                    passed = passed.min(start);
                }
            }
            passed = floor(&whole, passed.max(before));
        }
        matches.retain(|(range, _)| reading.written(range.end) <= passed);
        self.seen.add(&matches);
        if self.inner.instead.is_none() && !matches.is_empty() {
            let verdict = StreamVerdict::Deny(self.inner.denial());
            return WindowFlow::Done(Window { verdict, ..Window::pass(0) });
        }
        let head = text.get(..passed - before).unwrap_or_default();
        let own = Reading::of(head, form);
        let place = |offset: usize| own.read(reading.written(offset).saturating_sub(before));
        let ranges = matches.iter().map(|(range, _)| place(range.start)..place(range.end));
        let edits = self.inner.edits(head, &own, form, ranges, past.quoted);
        past.quoted = in_string(head, past.quoted);
        past.text.push_str(head);
        let forgotten = floor(&past.text, past.text.len().saturating_sub(self.inner.longest));
        past.cut |= forgotten > 0;
        past.text.drain(..forgotten);
        WindowFlow::Done(Window { edits, ..Window::pass(head.len()) })
    }

    fn waits(&self) -> bool {
        false
    }

    fn notes(&mut self, notes: &mut Notes) {
        self.seen.tell(&self.inner.patterns, true, notes);
    }
}

/// The nearest place at or before `place` where a character begins.
fn floor(text: &str, place: usize) -> usize {
    (0..=place.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

#[cfg(test)]
mod tests;
