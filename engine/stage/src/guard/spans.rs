//! Guards that look for spans of text: what all of them do with what they find, in requests, replies and streams.

use super::pii::reading::{Reading, cut_escape, in_string};
use schemars::JsonSchema;
use serde::Deserialize;
use std::ops::Range;
use std::sync::Arc;
use weir_message::{Block, BlockKind, Denial, ErrorCode, Replace, TextAt, TextForm, TextRole};
use weir_pipeline::{
    CONTINUE, Declares, HELD_LIMIT, Hold, Hook, Needs, Notes, Stage, StreamStage, StreamVerdict, Streaming,
    TEXT_OPERATIONS, Verdict, Visit, Window, WindowFlow, WindowJudge, Windows,
};
use weir_policy::StageDecl;

/// What finds spans in a text.
pub(crate) trait Finder: Send + Sync {
    /// What it finds, ascending and apart, each with a number that says what it is.
    fn find(&self, text: &str) -> Vec<(Range<usize>, usize)>;

    /// What a find of this number is, behind `the request`: ``matches `a+` ``. It never quotes the text.
    fn says(&self, number: usize) -> String;
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

/// Both ways: what guards look at unless they say.
pub(crate) fn both() -> Vec<Side> {
    vec![Side::Request, Side::Reply]
}

impl Then {
    /// What stands in the place of a find; `None`: finds deny.
    pub(crate) fn instead(self, replacement: Option<String>) -> Option<String> {
        match self {
            Then::Deny => None,
            Then::Mask => Some("[REMOVED]".to_owned()),
            Then::Replace => replacement,
        }
    }

    /// Tells of settings that cannot work together, each with its help.
    pub(crate) fn check(self, on: &[Side], replacement: Option<&str>, mut wrong: impl FnMut(&str, &str)) {
        if on.is_empty() {
            wrong("the guard looks nowhere", "leave `on` out, or name `request` or `reply`");
        }
        if (self == Then::Replace) != replacement.is_some() {
            wrong("`replacement` and `then: replace` go together", "set both or neither");
        }
    }
}

/// How a guard treats what its finder finds.
pub(crate) struct Treatment {
    /// The ways it looks.
    pub(crate) on: Vec<Side>,
    /// Whose texts it reads; all if none is named.
    pub(crate) roles: Vec<Role>,
    /// What stands in the place of a find; `None`: finds deny.
    pub(crate) instead: Option<String>,
    /// What the client is told when a find denies.
    pub(crate) message: String,
    /// So many bytes of a stream are held back, since a find may begin in them.
    pub(crate) longest: usize,
}

impl Treatment {
    /// The guard with this finder in its place of the pipeline.
    pub(crate) fn of(self, finder: Arc<dyn Finder>, decl: &StageDecl) -> Arc<dyn Stage> {
        Arc::new(Guard {
            request: self.on.contains(&Side::Request),
            reply: self.on.contains(&Side::Reply),
            inner: Arc::new(Inner { finder, treatment: self }),
            hold: match decl.hold {
                weir_policy::Hold::Declared => Hold::Declared,
                weir_policy::Hold::Sentence => Hold::Sentence,
                weir_policy::Hold::All => Hold::All,
            },
            unread_pass: decl.unread_pass,
        })
    }
}

/// What request, reply and streams share.
struct Inner {
    finder: Arc<dyn Finder>,
    treatment: Treatment,
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
        let roles = &self.treatment.roles;
        roles.is_empty() || roles.contains(&role)
    }

    fn denial(&self) -> Box<Denial> {
        Box::new(Denial::new(ErrorCode::ContentDenied, self.treatment.message.clone()))
    }

    /// The changes to one text; adds its matches to `seen`.
    fn changes(&self, at: TextAt<'_>, seen: &mut Seen) -> Option<(usize, Vec<Replace>)> {
        if !self.reads(at.role) {
            return None;
        }
        let written = at.text.as_str();
        let reading = Reading::of(written, at.text.form);
        let matches = self.finder.find(&reading.text);
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
        let Some(instead) = &self.treatment.instead else { return Vec::new() };
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

/// What was found, and how often.
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

    fn tell(&self, finder: &dyn Finder, reply: bool, notes: &mut Notes) {
        let Some(first) = self.first else { return };
        let side = if reply { "reply" } else { "request" };
        notes.reason.get_or_insert_with(|| format!("the {side} {}", finder.says(first)));
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
            edits_request: self.request && self.inner.treatment.instead.is_some(),
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
        seen.tell(&*self.inner.finder, reply, notes);
        match seen.first {
            Some(_) if self.inner.treatment.instead.is_none() => Verdict::Deny(self.inner.denial()),
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
        let mut matches = self.inner.finder.find(&reading.text);
        // What seems to begin where memory begins may be `^` in the wrong place.
        matches.retain(|(range, _)| !(past.cut && range.start == 0) && reading.written(range.end) > before);
        let mut passed = whole.len();
        if !last {
            passed =
                passed.saturating_sub(self.inner.treatment.longest).min(cut_escape(&whole).unwrap_or(passed));
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
        if self.inner.treatment.instead.is_none() && !matches.is_empty() {
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
        let forgotten = floor(&past.text, past.text.len().saturating_sub(self.inner.treatment.longest));
        past.cut |= forgotten > 0;
        past.text.drain(..forgotten);
        WindowFlow::Done(Window { edits, ..Window::pass(head.len()) })
    }

    fn waits(&self) -> bool {
        false
    }

    fn notes(&mut self, notes: &mut Notes) {
        self.seen.tell(&*self.inner.finder, true, notes);
    }
}

/// The nearest place at or before `place` where a character begins.
fn floor(text: &str, place: usize) -> usize {
    (0..=place.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}
