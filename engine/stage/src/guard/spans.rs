//! Guards that look for spans of text: what all of them do with what they find, in requests, replies and streams.

use super::action::{Action, Findings, Place, Role, Side, unreadable};
use super::pii::reading::{Reading, cut_escape, in_string};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use weir_message::{Block, BlockKind, Denial, ErrorCode, Replace, TextAt, TextForm, TextRole};
use weir_pipeline::{
    CONTINUE, Declares, HELD_LIMIT, Hold, Hook, Needs, Notes, READABLE_OPERATIONS, Stage, StreamStage,
    StreamVerdict, Streaming, Verdict, Visit, Window, WindowFlow, WindowJudge, Windows,
};
use weir_policy::StageDecl;

/// What finds spans in a text.
pub(crate) trait Finder: Send + Sync {
    /// What it finds, ascending and apart, each with a number that says what it is.
    fn find(&self, text: &str) -> Vec<(Range<usize>, usize)>;

    /// What a find of this number is, behind `the request`: ``matches `a+` ``. It never quotes the text.
    fn says(&self, number: usize) -> String;

    /// The most bytes of a find, as far as that is known: so much is remembered of what went out.
    fn longest(&self) -> usize;

    /// Where the end of a text begins that may become a find with what follows it: so much of a stream is held back.
    fn growing(&self, text: &str) -> usize {
        floor(text, text.len().saturating_sub(self.longest()))
    }

    /// What is done with finds of this number, if not what the policy says for all.
    fn action(&self, _number: usize) -> Option<&Action> {
        None
    }

    /// What stands in the place of a find where that is [`Action::Rewrite`].
    fn rewrite(&self, _number: usize, _found: &str) -> String {
        String::new()
    }

    /// Whether it may edit, where this is what the policy says for all finds.
    fn edits(&self, action: &Action) -> bool {
        matches!(action, Action::Replace(_) | Action::Rewrite)
    }

    /// Whether escapes (`\u200b`) in plain text are read as what they mean. In JSON they always are.
    fn reads_escapes(&self) -> bool {
        true
    }
}

/// How a guard treats what its finder finds.
pub(crate) struct Treatment {
    /// The ways it looks.
    pub(crate) on: Vec<Side>,
    /// Whose texts it reads; all if none is named.
    pub(crate) roles: Vec<Role>,
    /// What is done with a find.
    pub(crate) action: Action,
    /// What the client is told when a find denies.
    pub(crate) message: String,
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
        Role::reads(&self.treatment.roles, role)
    }

    fn reading<'a>(&self, written: &'a str, form: TextForm) -> Reading<'a> {
        match form.is_json() || self.finder.reads_escapes() {
            true => Reading::of(written, form),
            false => Reading::as_written(written),
        }
    }

    fn action(&self, number: usize) -> &Action {
        self.finder.action(number).unwrap_or(&self.treatment.action)
    }

    /// The denial, if a find denies.
    fn denial(&self, matches: &[(Range<usize>, usize)]) -> Option<Box<Denial>> {
        let denies = matches.iter().any(|(_, number)| *self.action(*number) == Action::Deny);
        denies.then(|| Box::new(Denial::new(ErrorCode::ContentDenied, self.treatment.message.clone())))
    }

    /// The changes to one text; adds its matches to `seen`.
    fn changes(&self, at: TextAt<'_>, seen: &mut Seen) -> Option<(usize, Vec<Replace>)> {
        if !self.reads(at.role) {
            return None;
        }
        let written = at.text.as_str();
        let reading = self.reading(written, at.text.form);
        let matches = self.finder.find(&reading.text);
        if matches.is_empty() {
            return None;
        }
        seen.add(self, &matches, Place::of(&at));
        Some((at.index, self.edits(written, &reading, at.text.form, matches, false)))
    }

    fn edits(
        &self,
        written: &str,
        reading: &Reading<'_>,
        form: TextForm,
        matches: Vec<(Range<usize>, usize)>,
        open: bool,
    ) -> Vec<Replace> {
        let found = matches.into_iter().filter_map(|(range, number)| {
            let with = match self.action(number) {
                Action::Replace(with) => Cow::Borrowed(with.as_str()),
                Action::Rewrite => Cow::Owned(
                    self.finder.rewrite(number, reading.text.get(range.clone()).unwrap_or_default()),
                ),
                Action::Deny | Action::Observe | Action::Tag(_) => return None,
            };
            Some((range, with))
        });
        replaces(written, reading, form, found, open)
    }
}

/// The changes to what is written that put something else in the place of each find. `open`: whether it begins inside a string of
/// a JSON document.
pub(crate) fn replaces<'w>(
    written: &str,
    reading: &Reading<'_>,
    form: TextForm,
    found: impl Iterator<Item = (Range<usize>, Cow<'w, str>)>,
    open: bool,
) -> Vec<Replace> {
    let mut edits = Vec::new();
    for (range, with) in found {
        for part in reading.split(written, range, form) {
            let range = reading.written(part.start)..reading.written(part.end);
            if !form.is_json() || in_string(written.get(..range.start).unwrap_or_default(), open) {
                edits.push(Replace::new(range, with.as_ref()));
            } else if reading.text.get(part).is_some_and(|text| text.chars().any(char::is_alphanumeric)) {
                // A number that stands bare in a JSON document can only become another number.
                edits.push(Replace::new(range, "0"));
            }
        }
    }
    edits
}

/// How the text of a block of a stream is read, and what it is for.
pub(crate) fn read_as(kind: BlockKind) -> (TextForm, TextRole) {
    match kind {
        BlockKind::Arguments => (TextForm::Json, TextRole::Arguments),
        BlockKind::Text => (TextForm::Plain, TextRole::Assistant),
        BlockKind::Reasoning => (TextForm::Plain, TextRole::Reasoning),
        BlockKind::Refusal => (TextForm::Plain, TextRole::Refusal),
    }
}

/// What was found so far of a request, or of a reply.
#[derive(Default)]
struct Seen {
    findings: Findings<usize>,
    denial: Option<Box<Denial>>,
    tags: Vec<Arc<str>>,
}

impl Seen {
    fn add(&mut self, inner: &Inner, matches: &[(Range<usize>, usize)], place: Place) {
        for (_, number) in matches {
            self.findings.add(*number, place);
            if let Action::Tag(tag) = inner.action(*number)
                && !self.tags.contains(tag)
            {
                self.tags.push(Arc::clone(tag));
            }
        }
        if self.denial.is_none() {
            self.denial = inner.denial(matches);
        }
    }

    fn tell(&self, finder: &dyn Finder, reply: bool, notes: &mut Notes) {
        self.findings.tell(|number| finder.says(*number), reply, notes);
        self.tags.iter().for_each(|tag| notes.tag(tag));
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
            edits_request: self.request && self.inner.finder.edits(&self.inner.treatment.action),
            judges_request: self.request,
            only_judges: true,
            reads_reply: self.reply,
            reads_operations: Some(READABLE_OPERATIONS),
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
            return Hook::Done(Verdict::Deny(unreadable()));
        }
        let request = &mut visit.exchange.request;
        let (mut seen, mut all) = (Seen::default(), Vec::new());
        request.each_text(|at| all.extend(self.inner.changes(at, &mut seen)));
        for (index, changes) in &all {
            if !changes.is_empty() && !request.edit_text(*index, changes) {
                return Hook::Done(Verdict::Fault("a match could not be taken out of the request".into()));
            }
        }
        Hook::Done(self.verdict(seen, false, visit.notes))
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
        Hook::Done(self.verdict(seen, true, visit.notes))
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
    fn verdict(&self, seen: Seen, reply: bool, notes: &mut Notes) -> Verdict {
        seen.tell(&*self.inner.finder, reply, notes);
        seen.denial.map_or(Verdict::Continue, Verdict::Deny)
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
        let (form, role) = read_as(block.kind);
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
        let reading = self.inner.reading(&whole, form);
        let finder = &*self.inner.finder;
        let mut matches = finder.find(&reading.text);
        // What seems to begin where memory begins may be `^` in the wrong place.
        matches.retain(|(range, _)| !(past.cut && range.start == 0) && reading.written(range.end) > before);
        let mut passed = whole.len();
        if !last {
            let growing = reading.written(finder.growing(&reading.text));
            passed = passed.min(growing).min(cut_escape(&whole).unwrap_or(passed));
            for (range, _) in matches.iter().rev() {
                let (start, end) = (reading.written(range.start), reading.written(range.end));
                if end > passed {
                    passed = passed.min(start);
                }
            }
            passed = floor(&whole, passed.max(before));
        }
        matches.retain(|(range, _)| reading.written(range.end) <= passed);
        let choice = usize::try_from(block.choice).unwrap_or(usize::MAX);
        self.seen.add(&self.inner, &matches, Place { role: Some(role), message: Some(choice) });
        if let Some(denial) = self.inner.denial(&matches) {
            let verdict = StreamVerdict::Deny(denial);
            return WindowFlow::Done(Window { verdict, ..Window::pass(0) });
        }
        let head = text.get(..passed - before).unwrap_or_default();
        let own = self.inner.reading(head, form);
        let place = |offset: usize| own.read(reading.written(offset).saturating_sub(before));
        let own_matches = matches.into_iter().map(|(range, n)| (place(range.start)..place(range.end), n));
        let edits = self.inner.edits(head, &own, form, own_matches.collect(), past.quoted);
        past.quoted = in_string(head, past.quoted);
        past.text.push_str(head);
        let forgotten = floor(&past.text, past.text.len().saturating_sub(finder.longest()));
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
pub(crate) fn floor(text: &str, place: usize) -> usize {
    (0..=place.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}
