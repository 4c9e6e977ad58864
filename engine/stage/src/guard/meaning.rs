//! Guards that judge texts by what they mean, through the embedding model: what all of them do with requests, replies and streams.

use super::action::{Action, Findings, Place, Role, Side, unreadable};
use super::injection::pieces;
use super::pii::reading::Reading;
use super::spans::{floor, read_as};
use futures::future::BoxFuture;
use std::collections::HashMap;
use std::sync::Arc;
use weir_diagnostic::{Code, Diagnostic};
use weir_inference::{Embedder, Error};
use weir_message::{Block, Denial, ErrorCode, Request, TextAt, TextRole};
use weir_pipeline::{
    CONTINUE, Declares, HELD_LIMIT, Hold, Hook, Needs, Notes, Stage, StreamStage, StreamVerdict, Streaming,
    TEXT_OPERATIONS, Verdict, Visit, Window, WindowFlow, WindowJudge, Windows, Workbench,
};
use weir_policy::StageDecl;

/// A piece of a text and what it means; no vector where there is no model.
pub(crate) struct Meant {
    pub(crate) text: String,
    pub(crate) vector: Option<Arc<[f32]>>,
}

impl Meant {
    /// How near two pieces are in meaning, from -1 to 1.
    pub(crate) fn near(&self, other: &Meant) -> f32 {
        match (&self.vector, &other.vector) {
            (Some(one), Some(other)) => one.iter().zip(&**other).map(|(a, b)| a * b).sum(),
            _ => 0.0,
        }
    }
}

/// Scores by what they are of; of guards that have one alone it is called [`SCORE`].
pub(crate) type Scores = Vec<(&'static str, f32)>;

/// The name of a guard's only score.
pub(crate) const SCORE: &str = "score";

/// What texts are judged by.
pub(crate) trait Kinds: Send + Sync + 'static {
    /// The pieces of a text; `given`: it is what replies are judged against.
    fn cut(&self, text: &str, given: bool) -> Vec<String>;

    /// What is wrong with one text, by its pieces: each find in words that stand behind `the request`. Returns the scores that the
    /// trace tells, the higher the worse.
    fn judge(&self, context: &[Meant], text: &[Meant], found: &mut dyn FnMut(String)) -> Scores;

    /// Whether replies are judged only when they are whole.
    fn judges_whole(&self) -> bool {
        false
    }

    /// Of a stream so many bytes that went out are judged again with what follows.
    fn remembers(&self) -> usize {
        256
    }

    /// Whose texts of the request a reply is judged against.
    fn context(&self) -> &[Role] {
        &[]
    }
}

/// A guard of this kind, in its parts.
pub(crate) struct Meaning<K> {
    pub(crate) kinds: K,
    pub(crate) embedder: Option<Arc<Embedder>>,
    pub(crate) on: Vec<Side>,
    pub(crate) roles: Vec<Role>,
    /// Texts with fewer letters are not judged.
    pub(crate) least: usize,
    pub(crate) action: Action,
    pub(crate) message: String,
}

/// The model of this name; `none`: there is none. The outer `None` was told.
pub(crate) fn embedder(
    name: &str,
    may_do_without: bool,
    decl: &StageDecl,
    bench: &mut Workbench<'_>,
) -> Option<Option<Arc<Embedder>>> {
    if name == "none" && may_do_without {
        return Some(None);
    }
    match bench.inference.embedder(name) {
        Ok(embedder) => Some(Some(embedder)),
        Err(error) => {
            let help =
                if may_do_without { "run `make setup`, or say `model: none`" } else { "run `make setup`" };
            let found = Diagnostic::new(Code::MissingModel, error.to_string()).at(decl.span).help(help);
            bench.diagnostics.push(found);
            None
        }
    }
}

/// A text in pieces of about so many bytes, cut behind sentences.
pub(crate) fn passages(text: &str, size: usize) -> Vec<String> {
    pieces::pieces(text, size).into_iter().map(str::to_owned).collect()
}

/// One request or reply is cut into no more pieces.
const MOST: usize = 512;

/// What pieces mean; those that are longer than the model reads are cut once more.
async fn meant(embedder: Option<&Arc<Embedder>>, texts: Vec<String>) -> Result<Vec<Meant>, String> {
    let Some(embedder) = embedder else {
        return Ok(texts.into_iter().map(|text| Meant { text, vector: None }).collect());
    };
    if texts.len() > MOST {
        return Err(format!("the texts are too long to be judged: {} pieces", texts.len()));
    }
    // All are asked before the first is awaited, so that they go in one batch.
    let mut asked: Vec<_> = texts.into_iter().rev().map(|text| (embedder.embed(&text), text)).collect();
    let mut all = Vec::with_capacity(asked.len());
    while let Some((answer, text)) = asked.pop() {
        match answer.await {
            Ok(vector) => all.push(Meant { text, vector: Some(vector) }),
            Err(Error::TooLong { .. }) if text.chars().count() > 1 => {
                let (head, tail) = text.split_at(floor(&text, text.len() / 2).max(1));
                let halves = [tail, head].map(|half| (embedder.embed(half), half.to_owned()));
                asked.extend(halves);
            }
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(all)
}

/// What was found so far of a request or reply.
#[derive(Default)]
struct Seen {
    findings: Findings<String>,
    /// The worst of each.
    scores: Scores,
}

impl Seen {
    fn score(&mut self, name: &'static str, score: f32) {
        match self.scores.iter_mut().find(|(known, _)| *known == name) {
            Some((_, worst)) => *worst = worst.max(score),
            None => self.scores.push((name, score)),
        }
    }
}

impl<K: Kinds> Meaning<K> {
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

    fn is_judged(&self, text: &str) -> bool {
        text.chars().filter(|char| char.is_alphabetic()).nth(self.least.saturating_sub(1)).is_some()
    }

    /// A text of those that are read, in pieces.
    fn take(&self, at: TextAt<'_>, given: bool, texts: &mut Vec<(Place, Vec<String>)>) {
        let roles = if given { self.kinds.context() } else { &self.roles };
        if Role::reads(roles, at.role) {
            let reading = Reading::of(at.text.as_str(), at.text.form);
            if self.is_judged(&reading.text) {
                texts.push((Place::of(&at), self.kinds.cut(&reading.text, given)));
            }
        }
    }

    /// What the request gives that a reply is judged against.
    fn given(&self, request: &Request) -> Vec<String> {
        let mut texts = Vec::new();
        if !self.kinds.context().is_empty() {
            request.each_text(|at| self.take(at, true, &mut texts));
        }
        texts.into_iter().flat_map(|(_, pieces)| pieces).collect()
    }

    /// Judges texts, each for itself.
    async fn judged(
        &self,
        context: &[Meant],
        texts: Vec<(Place, Vec<String>)>,
        seen: &mut Seen,
    ) -> Result<(), String> {
        let counts: Vec<(Place, usize)> =
            texts.iter().map(|(place, pieces)| (*place, pieces.len())).collect();
        let before: Vec<String> = texts.into_iter().flat_map(|(_, pieces)| pieces).collect();
        let mut lengths: std::collections::VecDeque<usize> = before.iter().map(String::len).collect();
        let mut all = meant(self.embedder.as_ref(), before).await?.into_iter().peekable();
        for (place, count) in counts {
            // What was cut once more makes up the length of one piece.
            let mut bytes: usize = lengths.drain(..count.min(lengths.len())).sum();
            let mut text = Vec::new();
            while let Some(piece) = all.next_if(|piece| piece.text.len() <= bytes) {
                bytes -= piece.text.len();
                text.push(piece);
                if bytes == 0 {
                    break;
                }
            }
            let scores = self.kinds.judge(context, &text, &mut |what| seen.findings.add(what, place));
            scores.into_iter().for_each(|(name, score)| seen.score(name, score));
        }
        Ok(())
    }

    /// Tells the trace, and whether it is refused.
    fn verdict(&self, seen: &Seen, reply: bool, notes: &mut Notes) -> Option<Box<Denial>> {
        let rounded = |score: f32| (f64::from(score) * 1000.0).round() / 1000.0;
        match seen.scores.as_slice() {
            [] => {}
            [(SCORE, score)] => {
                notes.fact(if reply { "reply_score" } else { SCORE }, rounded(*score));
            }
            all => {
                let scores = all.iter().map(|(name, score)| ((*name).to_owned(), rounded(*score).into()));
                let scores: serde_json::Map<String, serde_json::Value> = scores.collect();
                notes.fact(if reply { "reply_scores" } else { "scores" }, scores);
            }
        }
        seen.findings.first()?;
        seen.findings.tell(String::clone, reply, notes);
        if let Action::Tag(tag) = &self.action {
            notes.tag(tag);
        }
        (self.action == Action::Deny).then(|| self.denial())
    }

    fn denial(&self) -> Box<Denial> {
        Box::new(Denial::new(ErrorCode::ContentDenied, self.message.clone()))
    }
}

/// The guard in its place.
struct Guard<K> {
    inner: Arc<Meaning<K>>,
    hold: Hold,
    unread_pass: bool,
}

impl<K: Kinds> Guard<K> {
    fn looks(&self, side: Side) -> bool {
        self.inner.on.contains(&side)
    }

    fn hook<'a>(
        &'a self,
        context: Vec<String>,
        texts: Vec<(Place, Vec<String>)>,
        reply: bool,
        notes: &'a mut Notes,
    ) -> Hook<'a> {
        if texts.is_empty() {
            return CONTINUE;
        }
        Hook::Wait(Box::pin(async move {
            let mut seen = Seen::default();
            let judged = async {
                let context = meant(self.inner.embedder.as_ref(), context).await?;
                self.inner.judged(&context, texts, &mut seen).await
            };
            if let Err(why) = judged.await {
                return Verdict::Fault(why);
            }
            self.inner.verdict(&seen, reply, notes).map_or(Verdict::Continue, Verdict::Deny)
        }))
    }
}

impl<K: Kinds> Stage for Guard<K> {
    fn declares(&self) -> Declares {
        let reply = self.looks(Side::Reply);
        let needs = if reply { Needs::BODY | Needs::REPLY | Needs::EVENTS } else { Needs::BODY };
        Declares {
            needs,
            streaming: match reply {
                false => Streaming::None,
                true if self.inner.kinds.judges_whole() => Streaming::Whole,
                true => Streaming::Events,
            },
            judges_request: self.looks(Side::Request),
            only_judges: true,
            reads_reply: reply,
            reads_operations: Some(TEXT_OPERATIONS),
            ..Declares::default()
        }
    }

    fn request<'a>(&'a self, visit: Visit<'a>) -> Hook<'a> {
        if !self.looks(Side::Request) {
            return CONTINUE;
        }
        let request = &visit.exchange.request;
        if request.body.has_token_ids()
            && !self.unread_pass
            && Role::reads(&self.inner.roles, TextRole::Input)
        {
            return Hook::Done(Verdict::Deny(unreadable()));
        }
        let mut texts = Vec::new();
        request.each_text(|at| self.inner.take(at, false, &mut texts));
        self.hook(Vec::new(), texts, false, visit.notes)
    }

    fn reply<'a>(&'a self, visit: Visit<'a>) -> Hook<'a> {
        let Some(reply) = visit.exchange.reply.as_ref().filter(|_| self.looks(Side::Reply)) else {
            return CONTINUE;
        };
        let mut texts = Vec::new();
        reply.each_text(|at| self.inner.take(at, false, &mut texts));
        let context = self.inner.given(&visit.exchange.request);
        self.hook(context, texts, true, visit.notes)
    }

    fn stream(&self, visit: Visit<'_>) -> Option<Box<dyn StreamStage>> {
        if !self.looks(Side::Reply) || self.inner.kinds.judges_whole() {
            return None;
        }
        let given = self.inner.given(&visit.exchange.request);
        let watch = Watch {
            inner: Arc::clone(&self.inner),
            given: Some(given),
            context: Vec::new(),
            seen: Seen::default(),
            pasts: HashMap::new(),
        };
        Some(Box::new(Windows::new(watch, self.hold, HELD_LIMIT)))
    }
}

/// The guard over a stream: whole sentences are judged before they go out.
struct Watch<K> {
    inner: Arc<Meaning<K>>,
    /// What the request gives, until it is read.
    given: Option<Vec<String>>,
    context: Vec<Meant>,
    seen: Seen,
    pasts: HashMap<Block, String>,
}

/// A sentence longer than this is judged in pieces, in bytes.
const LONGEST_SENTENCE: usize = 600;

/// How much of a text is judged now: whole sentences.
fn shown(text: &str, last: bool) -> usize {
    if last {
        return text.len();
    }
    let stop = text.rmatch_indices(['\n', '.', '!', '?', '。', '！', '？']).map(|(at, stop)| at + stop.len());
    // A point inside a number or a name ends no sentence: what stands behind it must have come.
    let ends = |end: &usize| text.get(*end..).is_some_and(|rest| rest.starts_with(char::is_whitespace));
    match stop.into_iter().find(ends) {
        Some(end) => end,
        None if text.len() < LONGEST_SENTENCE => 0,
        None => text.rfind(char::is_whitespace).unwrap_or(text.len()),
    }
}

impl<K: Kinds> Watch<K> {
    async fn judged(&mut self, block: Block, text: &str, role: TextRole) -> Result<(), String> {
        if let Some(given) = self.given.take() {
            self.context = meant(self.inner.embedder.as_ref(), given).await?;
        }
        let past = self.pasts.entry(block).or_default();
        let whole = format!("{past}{text}");
        let remembered = self.inner.kinds.remembers();
        *past =
            whole.get(floor(&whole, whole.len().saturating_sub(remembered))..).unwrap_or_default().to_owned();
        let reading = Reading::of(&whole, read_as(block.kind).0);
        if !self.inner.is_judged(&reading.text) {
            return Ok(());
        }
        let place = Place { role: Some(role), message: usize::try_from(block.choice).ok() };
        let texts = vec![(place, self.inner.kinds.cut(&reading.text, false))];
        let inner = Arc::clone(&self.inner);
        inner.judged(&self.context, texts, &mut self.seen).await
    }
}

impl<K: Kinds> WindowJudge for Watch<K> {
    fn window<'a>(&'a mut self, block: Block, text: &'a str, last: bool) -> WindowFlow<'a> {
        let (_, role) = read_as(block.kind);
        if !Role::reads(&self.inner.roles, role) {
            return WindowFlow::Done(Window::pass(text.len()));
        }
        let shown = shown(text, last);
        if shown == 0 {
            return WindowFlow::Done(Window::pass(0));
        }
        let work: BoxFuture<'a, Window> = Box::pin(async move {
            if let Err(why) = self.judged(block, text.get(..shown).unwrap_or_default(), role).await {
                return Window { verdict: StreamVerdict::Fault(why), ..Window::pass(0) };
            }
            if self.seen.findings.first().is_some() && self.inner.action == Action::Deny {
                let verdict = StreamVerdict::Deny(self.inner.denial());
                return Window { verdict, ..Window::pass(0) };
            }
            Window::pass(shown)
        });
        WindowFlow::Wait(work)
    }

    fn notes(&mut self, notes: &mut Notes) {
        self.inner.verdict(&self.seen, true, notes);
    }
}
