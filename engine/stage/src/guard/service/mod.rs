//! Guards that ask a service outside for its judgement: what all of them do with requests, replies and streams.

pub(crate) mod ask;
pub(crate) mod batch;
mod stream;

use super::action::{Action, Findings, Place, Role, Side, check, unreadable};
use super::pii::reading::Reading;
use super::spans::replaces;
use ask::{Ask, Line};
use batch::{Batch, Most, Piece, batches};
use futures::StreamExt;
use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use weir_message::{Caller, Denial, ErrorCode, Operation, Replace, TextAt, TextRole};
use weir_pipeline::{
    CONTINUE, Declares, Exchange, Gateway, HELD_LIMIT, Hold, Hook, Needs, Notes, Stage, StreamStage,
    Streaming, TEXT_OPERATIONS, Verdict, Visit, Windows,
};
use weir_policy::StageDecl;

/// A service that judges texts.
pub(crate) trait Service: Send + Sync {
    /// How much it takes at once.
    fn most(&self) -> Most;

    /// What it says of these texts.
    fn judge<'a>(
        &'a self,
        ask: &'a Ask<'a>,
        batch: &'a Batch<'a>,
        scene: &'a Scene,
    ) -> BoxFuture<'a, Result<Judgement, String>>;

    /// Whether it is shown the request's texts where a reply is judged.
    fn wants_prompt(&self) -> bool {
        false
    }
}

/// What a service said of one batch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Judgement {
    pub(crate) finds: Vec<Find>,
    /// Tags that the request gets.
    pub(crate) tags: Vec<Arc<str>>,
    /// What the client is told of a denial, if the policy does not say.
    pub(crate) message: Option<String>,
}

impl Judgement {
    /// Notes what was found in all of a batch.
    pub(crate) fn whole(&mut self, what: impl Into<String>) {
        self.finds.push(Find { what: what.into(), part: None, span: None });
    }

    /// Notes what was found in one of its texts.
    pub(crate) fn part(&mut self, part: usize, what: impl Into<String>) {
        self.finds.push(Find { what: what.into(), part: Some(part), span: None });
    }

    /// Notes what was found in a part of a text, and what is to stand there instead.
    pub(crate) fn span(&mut self, part: usize, bytes: Range<usize>, what: impl Into<String>, with: String) {
        let span = Some(Span { bytes, with });
        self.finds.push(Find { what: what.into(), part: Some(part), span });
    }
}

/// One find.
#[derive(Clone, Debug)]
pub(crate) struct Find {
    /// What it is, behind `the request`: `holds a PERSON`. It never quotes the text.
    pub(crate) what: String,
    /// Which text of the batch it is in; none: it is about all of them.
    part: Option<usize>,
    span: Option<Span>,
}

/// Where in its text a find stands, in bytes, and what takes its place where the policy edits.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) bytes: Range<usize>,
    pub(crate) with: String,
}

/// What is done with what a service finds, by guards that know where it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Masking {
    /// The request or reply is refused.
    #[default]
    Deny,
    /// The kind of what was found stands in its place (`<EMAIL_ADDRESS>`). What has no place in the text denies.
    Mask,
    /// The trace tells, and it goes on as it is.
    Observe,
    /// It goes on as it is, and the request gets the tag `tag`, which expressions below and the trace can read.
    Tag,
}

impl Masking {
    /// What the guard does, and whether it edits; settings that cannot work together are told, each with its help.
    pub(crate) fn action(
        self,
        on: &[Side],
        tag: Option<String>,
        wrong: impl FnMut(&str, &str),
    ) -> (Action, bool) {
        check(self == Masking::Tag, on, tag.as_deref(), wrong);
        let action = match self {
            Masking::Deny | Masking::Mask => Action::Deny,
            Masking::Observe => Action::Observe,
            Masking::Tag => Action::Tag(Arc::from(tag.unwrap_or_default())),
        };
        (action, self == Masking::Mask)
    }
}

/// Another shape of a service's answer than its documentation has, in words that quote nothing of it.
pub(crate) fn misshapen(what: &str) -> String {
    format!("the service's answer has no `{what}` as its API documents it")
}

/// What is known of the request beside its texts.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) side: Side,
    /// Of a stream: whether the text ends its block.
    pub(crate) stream: Option<bool>,
    pub(crate) id: String,
    pub(crate) revision: Arc<str>,
    pub(crate) pipeline: Arc<str>,
    pub(crate) stage: Arc<str>,
    pub(crate) operation: Operation,
    pub(crate) model: String,
    pub(crate) caller: Option<Arc<Caller>>,
    pub(crate) tags: Vec<Arc<str>>,
    /// What the client said, where a reply is judged and the service wants it.
    pub(crate) prompt: Vec<Piece>,
}

/// A guard of this kind, in its parts.
pub(crate) struct Asking {
    pub(crate) service: Box<dyn Service>,
    pub(crate) line: Line,
    pub(crate) on: Vec<Side>,
    pub(crate) roles: Vec<Role>,
    /// What is done with a find that is not edited.
    pub(crate) action: Action,
    /// Whether finds with a place are edited.
    pub(crate) edits: bool,
    /// What the client is told of a denial.
    pub(crate) message: Option<String>,
}

impl Asking {
    /// The guard in its place.
    pub(crate) fn stage(self, decl: &StageDecl) -> Arc<dyn Stage> {
        Arc::new(Guard {
            inner: Arc::new(self),
            hold: match decl.hold {
                weir_policy::Hold::Declared => Hold::Declared,
                weir_policy::Hold::Sentence => Hold::Sentence,
                weir_policy::Hold::All => Hold::All,
            },
            unread_pass: decl.unread_pass,
        })
    }
}

/// About one request, reply or part of a stream no more questions are asked than this.
const MOST_QUESTIONS: usize = 64;

/// So many are under way at once.
const AT_ONCE: usize = 8;

/// A find in a piece.
#[derive(Clone, Debug)]
struct Told {
    what: String,
    /// The number of its piece.
    piece: Option<usize>,
    /// Where in the piece's text it stands.
    span: Option<Span>,
}

/// What was said of all pieces.
#[derive(Default)]
struct Word {
    told: Vec<Told>,
    tags: Vec<Arc<str>>,
    message: Option<String>,
}

impl Asking {
    fn reads(&self, role: TextRole) -> bool {
        Role::reads(&self.roles, role)
    }

    fn take(&self, at: TextAt<'_>, pieces: &mut Vec<Piece>) {
        if !self.reads(at.role) {
            return;
        }
        let text = Reading::of(at.text.as_str(), at.text.form).text.into_owned();
        if text.chars().any(char::is_alphanumeric) {
            pieces.push(Piece { index: at.index, role: at.role, place: Place::of(&at), text, before: 0 });
        }
    }

    fn scene(&self, x: &Exchange, side: Side) -> Scene {
        let mut prompt = Vec::new();
        if side == Side::Reply && self.service.wants_prompt() {
            x.request.each_text(|at| self.take(at, &mut prompt));
        }
        Scene {
            side,
            stream: None,
            id: x.request.id.to_string(),
            revision: Arc::from(x.plan.revision().to_string()),
            pipeline: Arc::clone(&x.trace.pipeline),
            stage: Arc::clone(&x.stage),
            operation: x.request.operation,
            model: x.request.model().to_owned(),
            caller: x.request.caller.clone(),
            tags: x.trace.tags.clone(),
            prompt,
        }
    }

    /// Asks about all pieces.
    async fn word(&self, gateway: &Arc<Gateway>, pieces: &[Piece], scene: &Scene) -> Result<Word, String> {
        let all = batches(pieces, self.service.most());
        if all.len() > MOST_QUESTIONS {
            return Err(format!("the texts are too long to be judged: {} questions", all.len()));
        }
        let ask = self.line.begin(gateway);
        let mut judged = Vec::with_capacity(all.len());
        for batch in &all {
            judged.push(self.service.judge(&ask, batch, scene));
        }
        let judged: Vec<Result<Judgement, String>> =
            futures::stream::iter(judged).buffered(AT_ONCE).collect().await;
        let mut word = Word::default();
        for (batch, judgement) in all.iter().zip(judged) {
            let judgement = judgement?;
            word.told.extend(judgement.finds.into_iter().map(|find| {
                let part = find.part.and_then(|part| batch.parts.get(part));
                let span = part.zip(find.span).map(|(part, span)| Span {
                    bytes: part.from + span.bytes.start..part.from + span.bytes.end,
                    with: span.with,
                });
                Told { what: find.what, piece: part.map(|part| part.number), span }
            }));
            word.tags.extend(judgement.tags);
            word.message = word.message.or(judgement.message);
        }
        Ok(word)
    }

    /// Whether what was told is edited.
    fn is_edit(&self, told: &Told) -> bool {
        self.edits && told.span.is_some()
    }

    /// The changes to a text of this number on the walk.
    fn changes(&self, at: TextAt<'_>, pieces: &[Piece], word: &Word) -> Option<(usize, Vec<Replace>)> {
        let number = pieces.iter().position(|piece| piece.index == at.index)?;
        let spans = apart(word.told.iter().filter(|told| told.piece == Some(number) && self.is_edit(told)));
        if spans.is_empty() {
            return None;
        }
        let written = at.text.as_str();
        let reading = Reading::of(written, at.text.form);
        let spans = spans.into_iter().map(|span| (span.bytes.clone(), Cow::Borrowed(span.with.as_str())));
        Some((at.index, replaces(written, &reading, at.text.form, spans, false)))
    }

    /// Tells the trace, and whether it is refused.
    fn verdict(&self, seen: Seen, side: Side, notes: &mut Notes) -> Option<Box<Denial>> {
        let reply = side == Side::Reply;
        seen.findings.tell(String::clone, reply, notes);
        seen.tags.iter().for_each(|tag| notes.tag(tag));
        if let (Action::Tag(tag), true) = (&self.action, seen.acts) {
            notes.tag(tag);
        }
        (seen.acts && self.action == Action::Deny).then(|| self.denial(seen.message, side))
    }

    fn denial(&self, said: Option<String>, side: Side) -> Box<Denial> {
        let default = || match side {
            Side::Request => "the request is not allowed by a service that judges it".to_owned(),
            Side::Reply => "the reply is not allowed by a service that judges it".to_owned(),
        };
        let message = self.message.clone().or(said).unwrap_or_else(default);
        Box::new(Denial::new(ErrorCode::ContentDenied, message))
    }
}

/// The spans of finds, ascending and apart; of those that overlap the first stays, and the longer of those that begin together.
fn apart<'t>(told: impl Iterator<Item = &'t Told>) -> Vec<&'t Span> {
    let mut spans: Vec<&Span> = told.filter_map(|told| told.span.as_ref()).collect();
    spans.sort_by_key(|span| (span.bytes.start, usize::MAX - span.bytes.end));
    let mut end = 0;
    spans.retain(|span| {
        let apart = span.bytes.start >= end && !span.bytes.is_empty();
        end = if apart { span.bytes.end } else { end };
        apart
    });
    spans
}

/// What was found so far of a request or reply.
#[derive(Default)]
struct Seen {
    findings: Findings<String>,
    tags: Vec<Arc<str>>,
    /// Whether there was a find that was not edited.
    acts: bool,
    message: Option<String>,
}

impl Seen {
    fn add(&mut self, asking: &Asking, pieces: &[Piece], word: &Word) {
        for told in &word.told {
            let piece = told.piece.and_then(|piece| pieces.get(piece));
            // What a single text is asked about is about that text.
            let piece = piece.or(pieces.first().filter(|_| pieces.len() == 1));
            self.findings.add(told.what.clone(), piece.map_or(Place::WHOLE, |piece| piece.place));
            self.acts |= !asking.is_edit(told);
        }
        for tag in &word.tags {
            if !self.tags.contains(tag) {
                self.tags.push(Arc::clone(tag));
            }
        }
        self.message = self.message.take().or_else(|| word.message.clone());
    }
}

/// The guard in its place.
struct Guard {
    inner: Arc<Asking>,
    hold: Hold,
    unread_pass: bool,
}

impl Guard {
    fn looks(&self, side: Side) -> bool {
        self.inner.on.contains(&side)
    }

    async fn judged(&self, visit: Visit<'_>, pieces: Vec<Piece>, side: Side) -> Verdict {
        let Visit { exchange: x, notes, .. } = visit;
        let scene = self.inner.scene(x, side);
        let word = match self.inner.word(&x.gateway, &pieces, &scene).await {
            Ok(word) => word,
            Err(why) => return Verdict::Fault(why),
        };
        let mut all = Vec::new();
        let mut change = |at: TextAt<'_>| all.extend(self.inner.changes(at, &pieces, &word));
        match (side, x.reply.as_ref()) {
            (Side::Request, _) => x.request.each_text(&mut change),
            (Side::Reply, Some(reply)) => reply.each_text(&mut change),
            (Side::Reply, None) => {}
        }
        for (index, changes) in &all {
            let done = match (side, x.reply.as_mut()) {
                _ if changes.is_empty() => true,
                (Side::Request, _) => x.request.edit_text(*index, changes),
                (Side::Reply, Some(reply)) => reply.edit_text(*index, changes),
                (Side::Reply, None) => true,
            };
            if !done {
                return Verdict::Fault("what the service found could not be taken out".into());
            }
        }
        let mut seen = Seen::default();
        seen.add(&self.inner, &pieces, &word);
        self.inner.verdict(seen, side, notes).map_or(Verdict::Continue, Verdict::Deny)
    }

    fn hook<'a>(&'a self, visit: Visit<'a>, pieces: Vec<Piece>, side: Side) -> Hook<'a> {
        if pieces.is_empty() {
            return CONTINUE;
        }
        if !visit.exchange.gateway.sink.asks_outside() {
            visit.notes.reason = Some("the service is not asked here".to_owned());
            return CONTINUE;
        }
        Hook::Wait(Box::pin(self.judged(visit, pieces, side)))
    }
}

impl Stage for Guard {
    fn declares(&self) -> Declares {
        let reply = self.looks(Side::Reply);
        let needs = if reply { Needs::BODY | Needs::REPLY | Needs::EVENTS } else { Needs::BODY };
        Declares {
            needs,
            streaming: if reply { Streaming::Events } else { Streaming::None },
            edits_request: self.inner.edits && self.looks(Side::Request),
            judges_request: self.looks(Side::Request),
            only_judges: true,
            reads_reply: reply,
            reads_operations: Some(TEXT_OPERATIONS),
            patience: self.inner.line.deadline,
            ..Declares::default()
        }
    }

    fn request<'a>(&'a self, visit: Visit<'a>) -> Hook<'a> {
        if !self.looks(Side::Request) {
            return CONTINUE;
        }
        let request = &visit.exchange.request;
        if request.body.has_token_ids() && !self.unread_pass && self.inner.reads(TextRole::Input) {
            return Hook::Done(Verdict::Deny(unreadable()));
        }
        let mut pieces = Vec::new();
        request.each_text(|at| self.inner.take(at, &mut pieces));
        self.hook(visit, pieces, Side::Request)
    }

    fn reply<'a>(&'a self, visit: Visit<'a>) -> Hook<'a> {
        let Some(reply) = visit.exchange.reply.as_ref().filter(|_| self.looks(Side::Reply)) else {
            return CONTINUE;
        };
        let mut pieces = Vec::new();
        reply.each_text(|at| self.inner.take(at, &mut pieces));
        self.hook(visit, pieces, Side::Reply)
    }

    fn stream(&self, visit: Visit<'_>) -> Option<Box<dyn StreamStage>> {
        if !self.looks(Side::Reply) || !visit.exchange.gateway.sink.asks_outside() {
            return None;
        }
        let scene = self.inner.scene(visit.exchange, Side::Reply);
        let gateway = Arc::clone(&visit.exchange.gateway);
        let watch = stream::Watch::new(Arc::clone(&self.inner), gateway, scene, self.hold);
        Some(Box::new(Windows::new(watch, self.hold, HELD_LIMIT)))
    }
}
