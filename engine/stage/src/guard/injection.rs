//! Attacks on the model by words are refused or noted: instructions against its own instructions, and prompts given away.
//!
//! It reads a text as the model does: look-alikes, invisible characters, letters written as digits or apart, base64 and other codes
//! are undone first, and turns that follow each other are read together. Two trained heads judge: words alone, and the meaning
//! by the embedding model (`model: none` does without). What comes from tools and documents is data: an instruction to the
//! model weighs more there than in what a user says. With `leaks` or `canaries` it refuses replies that give the
//! system prompt away. In the trace: `score`, `role`, `hidden` (what hid it), never the text.
//!
//! ```yaml
//! - guard: injection
//!   with: { threshold: 0.5, canaries: [zebra-7f3a], leaks: true }
//! ```

pub(crate) mod grams;
pub(crate) mod head;
mod leak;
pub(crate) mod pieces;
mod stream;
mod unfold;

use super::action::{Role, Side, check, unreadable};
use super::pii::reading::Reading;
use bytestring::ByteString;
use grams::grams;
use head::{EMBEDDING, Head};
use leak::{Guarded, Leak};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;
use unfold::{View, unfold};
use weir_diagnostic::units::Ratio;
use weir_diagnostic::{Code, Diagnostic};
use weir_inference::{DEFAULT_EMBEDDER, Embedder, Error};
use weir_message::{Denial, ErrorCode, Request, TextForm, TextRole};
use weir_pipeline::{
    CONTINUE, Declares, HELD_LIMIT, Hold, Hook, Needs, Notes, READABLE_OPERATIONS, Stage, StreamStage,
    Streaming, Verdict, Visit, Windows, Workbench,
};
use weir_policy::StageDecl;

/// The settings of `guard: injection`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// From which score on a text counts as an attack, from 0 to 1. What share of attacks it finds and of ordinary texts it
    /// takes for one, at the default, is in `eval/README.md`.
    #[serde(default = "half")]
    threshold: Ratio,
    /// What is done with an attack.
    #[serde(default)]
    then: Then,
    /// The tag of `then: tag`.
    tag: Option<String>,
    /// Which way it looks for attacks: at what clients send, at what models say.
    #[serde(default = "request")]
    on: Vec<Side>,
    /// Whose texts of a request it judges. Results of tools, arguments, definitions and other fields count as given, all else
    /// as said.
    #[serde(default = "from_outside")]
    roles: Vec<Role>,
    /// Whether a reply that repeats many words of the system prompt in a row is refused too.
    #[serde(default)]
    leaks: bool,
    /// How many words in a row are too many; goes with `leaks`.
    #[serde(default = "twelve")]
    leak_words: u16,
    /// Marks that you have put into system prompts: a reply with one of them is refused.
    #[serde(default)]
    canaries: Vec<String>,
    /// The model that embeds texts; `none`: words alone are judged.
    #[serde(default = "embedder")]
    model: String,
    /// What the client is told when an attack denies.
    message: Option<String>,
}

/// What is done with an attack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Then {
    /// The request or reply is refused.
    #[default]
    Deny,
    /// It is told in the trace and passes.
    Observe,
    /// It passes, and the request gets the tag `tag`, which expressions below and the trace can read.
    Tag,
}

fn half() -> Ratio {
    Ratio(0.5)
}

fn request() -> Vec<Side> {
    vec![Side::Request]
}

fn from_outside() -> Vec<Role> {
    vec![Role::User, Role::Tool, Role::Input]
}

fn twelve() -> u16 {
    12
}

fn embedder() -> String {
    DEFAULT_EMBEDDER.to_owned()
}

/// The least words in a row that `leak_words` may name: fewer are said by chance.
const LEAST_ROW: u16 = 4;

/// Checks the settings and compiles the guard.
pub(crate) fn compile(decl: &StageDecl, bench: &mut Workbench<'_>) -> Option<Arc<dyn Stage>> {
    let settings: Settings = bench.settings(decl)?;
    let before = bench.diagnostics.len();
    let mut wrong = |message: &str, help: &str| {
        bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(decl.span).help(help));
    };
    let guards_replies = settings.leaks || !settings.canaries.is_empty();
    // Replies alone may be guarded, against leaks.
    let on = if guards_replies { &[Side::Reply][..] } else { &settings.on };
    check(settings.then == Then::Tag, on, settings.tag.as_deref(), &mut wrong);
    if settings.leak_words < LEAST_ROW {
        wrong("`leak_words` is too small", "four words in a row at least: fewer are said by chance");
    }
    if settings.canaries.iter().any(|canary| canary.chars().count() < 6) {
        wrong("a mark in `canaries` is too short", "six characters at least, that no reply has by chance");
    }
    let embedder = match settings.model.as_str() {
        "none" => None,
        // Leaks need no model.
        _ if settings.on.is_empty() => None,
        name => match bench.inference.embedder(name) {
            Ok(embedder) if embedder.dimensions() == EMBEDDING => Some(embedder),
            Ok(_) => {
                wrong("the guard was not trained on this model", "leave `model` out, or say `none`");
                None
            }
            Err(error) => {
                let help = "run `make setup`, or say `model: none`: words alone are judged then";
                let found = Diagnostic::new(Code::MissingModel, error.to_string()).at(decl.span).help(help);
                bench.diagnostics.push(found);
                None
            }
        },
    };
    if bench.diagnostics.len() > before {
        return None;
    }
    let judge = Judge { threshold: settings.threshold.0, embedder };
    Some(Arc::new(Injection {
        request: settings.on.contains(&Side::Request),
        row: if settings.leaks { usize::from(settings.leak_words) } else { 0 },
        inner: Arc::new(Inner {
            judge,
            reply: settings.on.contains(&Side::Reply),
            then: settings.then,
            tag: settings.tag.map(Arc::from),
            message: settings.message,
        }),
        roles: settings.roles,
        canaries: settings.canaries,
        hold: match decl.hold {
            weir_policy::Hold::Declared => Hold::Declared,
            weir_policy::Hold::Sentence => Hold::Sentence,
            weir_policy::Hold::All => Hold::All,
        },
        unread_pass: decl.unread_pass,
    }))
}

/// The parts of a text that are judged apart, in every reading of it.
pub fn parts(text: &str, given: bool) -> Vec<(String, Option<&'static str>)> {
    let size = if given { pieces::GIVEN } else { pieces::SAID };
    let cut = |view: View<'_>| {
        let pieces = pieces::pieces(&view.text, size).into_iter().map(str::to_owned);
        pieces.map(|piece| (piece, view.hidden)).collect::<Vec<_>>()
    };
    unfold(text).into_iter().flat_map(cut).collect()
}

/// What was found worst.
#[derive(Clone, Debug, Default)]
struct Worst {
    score: f64,
    role: &'static str,
    hidden: Option<&'static str>,
}

/// A part to judge.
struct Part {
    text: String,
    hidden: Option<&'static str>,
    given: bool,
    role: &'static str,
    /// What its words say.
    words: f32,
}

/// The model is asked about so many parts of a request at most: those whose words look worst.
const ASKED: usize = 48;

struct Judge {
    threshold: f64,
    embedder: Option<Arc<Embedder>>,
}

impl Judge {
    fn parts(text: &str, role: TextRole, out: &mut Vec<Part>) {
        let given =
            matches!(role, TextRole::Tool | TextRole::Arguments | TextRole::Definition | TextRole::Field);
        let Some(head) = Head::of(given) else { return };
        for (text, hidden) in parts(text, given) {
            let words = head.words(&grams(&text));
            out.push(Part { text, hidden, given, role: role.name(), words });
        }
    }

    /// What words alone say, where there is no model.
    fn at_once(parts: &[Part]) -> Worst {
        let scored = parts.iter().map(|part| {
            (
                part,
                Head::of(part.given).map_or(1.0, |head| head.score(part.words, None, part.hidden.is_some())),
            )
        });
        worst(scored)
    }

    /// What words and meaning say.
    async fn ask(embedder: &Embedder, mut parts: Vec<Part>) -> Result<Worst, String> {
        parts.sort_by(|one, other| other.words.total_cmp(&one.words));
        parts.truncate(ASKED);
        let mut scored = Vec::with_capacity(parts.len());
        // All are asked before the first is awaited, so that they go in one batch.
        let asked: Vec<_> = parts.iter().map(|part| embedder.embed(&part.text)).collect();
        for (part, answer) in parts.iter().zip(asked) {
            let head = Head::of(part.given).ok_or("the weights of the guard cannot be read")?;
            let score = match answer.await {
                Ok(vector) => head.score(part.words, Some(&vector), part.hidden.is_some()),
                Err(Error::TooLong { .. }) => {
                    let mut most = 0.0f32;
                    for piece in pieces::pieces(&part.text, pieces::SAID / 4) {
                        let score = match embedder.embed(piece).await {
                            Ok(vector) => {
                                head.score(head.words(&grams(piece)), Some(&vector), part.hidden.is_some())
                            }
                            Err(Error::TooLong { .. }) => head.score(part.words, None, part.hidden.is_some()),
                            Err(error) => return Err(error.to_string()),
                        };
                        most = most.max(score);
                    }
                    most
                }
                Err(error) => return Err(error.to_string()),
            };
            scored.push((part, score));
        }
        Ok(worst(scored.into_iter()))
    }
}

fn worst<'p>(scored: impl Iterator<Item = (&'p Part, f32)>) -> Worst {
    let most = scored.max_by(|one, other| one.1.total_cmp(&other.1));
    most.map_or_else(Worst::default, |(part, score)| Worst {
        score: f64::from(score),
        role: part.role,
        hidden: part.hidden,
    })
}

/// What request, reply and streams share.
struct Inner {
    judge: Judge,
    /// Whether replies are judged for attacks.
    reply: bool,
    then: Then,
    /// Set with [`Then::Tag`].
    tag: Option<Arc<str>>,
    message: Option<String>,
}

impl Inner {
    fn denial(&self, default: &str) -> Box<Denial> {
        let message = self.message.as_deref().unwrap_or(default).to_owned();
        Box::new(Denial::new(ErrorCode::ContentDenied, message))
    }

    /// Tells the trace, and whether it is refused.
    fn verdict(&self, worst: &Worst, reply: bool, notes: &mut Notes) -> Option<Box<Denial>> {
        notes.fact(if reply { "reply_score" } else { "score" }, (worst.score * 1000.0).round() / 1000.0);
        if worst.score < self.judge.threshold {
            return None;
        }
        let side = if reply { "reply" } else { "request" };
        let hidden = worst.hidden.map(|hidden| format!(", hidden in {hidden}")).unwrap_or_default();
        notes.reason.get_or_insert_with(|| {
            format!("the {side} looks like an attack on the model ({}{hidden})", worst.role)
        });
        notes.fact("role", worst.role);
        if let Some(hidden) = worst.hidden {
            notes.fact("hidden", hidden);
        }
        self.outcome("the text looks like an attempt to override the model's instructions", notes)
    }

    /// Tells the trace of a leak, and whether the reply is refused.
    fn leaked(&self, leak: Leak, notes: &mut Notes) -> Option<Box<Denial>> {
        let what = match leak {
            Leak::Canary => "a mark of the system prompt",
            Leak::Row => "words of the system prompt in a row",
        };
        notes.reason.get_or_insert_with(|| format!("the reply holds {what}"));
        notes.fact("leak", if leak == Leak::Canary { "canary" } else { "words" });
        self.outcome("the reply would give away the system prompt", notes)
    }

    /// Tags or refuses.
    fn outcome(&self, default: &str, notes: &mut Notes) -> Option<Box<Denial>> {
        if let Some(tag) = &self.tag {
            notes.tag(tag);
        }
        (self.then == Then::Deny).then(|| self.denial(default))
    }
}

/// The guard in its place.
struct Injection {
    inner: Arc<Inner>,
    request: bool,
    roles: Vec<Role>,
    /// So many words of the system prompt in a row are too many; 0: any number is let through.
    row: usize,
    canaries: Vec<String>,
    hold: Hold,
    unread_pass: bool,
}

impl Injection {
    fn reads_replies(&self) -> bool {
        self.inner.reply || self.row > 0 || !self.canaries.is_empty()
    }

    fn guarded(&self, request: &Request) -> Guarded {
        let mut prompts: Vec<ByteString> = Vec::new();
        if self.row > 0 {
            request.each_text(|at| {
                if at.role == TextRole::System {
                    prompts.push(at.text.value.clone());
                }
            });
        }
        Guarded::new(&self.canaries, self.row, prompts.iter().map(|prompt| &**prompt))
    }

    /// The parts of a request.
    fn parts(&self, request: &Request) -> Vec<Part> {
        let mut parts = Vec::new();
        // What users say in turns that follow each other, or in parts of one, may be one attack cut up.
        let mut said: Vec<String> = Vec::new();
        request.each_text(|at| {
            let reading = Reading::of(at.text.as_str(), at.text.form);
            if Role::reads(&self.roles, at.role) {
                Judge::parts(&reading.text, at.role, &mut parts);
                if at.role == TextRole::User && at.text.form == TextForm::Plain {
                    said.push(reading.text.into_owned());
                }
            }
        });
        let last = said.get(said.len().saturating_sub(TURNS)..).unwrap_or_default();
        if last.len() > 1 {
            let most = pieces::SAID;
            for joint in [last.concat(), last.join(" ")].iter().filter(|joint| joint.len() <= most) {
                Judge::parts(joint, TextRole::User, &mut parts);
            }
        }
        parts
    }

    /// Judges parts of a request, or of a reply: at once by their words, or by the model too.
    fn judged<'a>(&'a self, parts: Vec<Part>, reply: bool, notes: &'a mut Notes) -> Hook<'a> {
        let decide = move |worst: &Worst, notes: &mut Notes| match self.inner.verdict(worst, reply, notes) {
            Some(denial) => Verdict::Deny(denial),
            None => Verdict::Continue,
        };
        let Some(embedder) = self.inner.judge.embedder.as_ref().filter(|_| !parts.is_empty()) else {
            return Hook::Done(decide(&Judge::at_once(&parts), notes));
        };
        Hook::Wait(Box::pin(async move {
            match Judge::ask(embedder, parts).await {
                Ok(worst) => decide(&worst, notes),
                Err(error) => Verdict::Fault(error),
            }
        }))
    }
}

/// So many turns of a user are read together.
const TURNS: usize = 4;

impl Stage for Injection {
    fn declares(&self) -> Declares {
        let reply = self.reads_replies();
        let needs = if reply { Needs::BODY | Needs::REPLY | Needs::EVENTS } else { Needs::BODY };
        Declares {
            needs,
            streaming: if reply { Streaming::Events } else { Streaming::None },
            judges_request: self.request,
            reads_reply: reply,
            reads_operations: Some(READABLE_OPERATIONS),
            ..Declares::default()
        }
    }

    fn request<'a>(&'a self, visit: Visit<'a>) -> Hook<'a> {
        if !self.request {
            return CONTINUE;
        }
        let request = &visit.exchange.request;
        if !self.unread_pass && request.body.has_token_ids() && Role::reads(&self.roles, TextRole::Input) {
            return Hook::Done(Verdict::Deny(unreadable()));
        }
        let parts = self.parts(request);
        self.judged(parts, false, visit.notes)
    }

    fn reply<'a>(&'a self, visit: Visit<'a>) -> Hook<'a> {
        if !self.reads_replies() {
            return CONTINUE;
        }
        let guarded = self.guarded(&visit.exchange.request);
        let Some(reply) = visit.exchange.reply.as_ref() else { return CONTINUE };
        let (mut parts, mut leak) = (Vec::new(), None);
        reply.each_text(|at| {
            let reading = Reading::of(at.text.as_str(), at.text.form);
            if !guarded.is_empty() {
                leak = leak.or_else(|| guarded.leak(&reading.text, true));
            }
            if self.inner.reply {
                Judge::parts(&reading.text, at.role, &mut parts);
            }
        });
        if let Some(denial) = leak.and_then(|leak| self.inner.leaked(leak, visit.notes)) {
            return Hook::Done(Verdict::Deny(denial));
        }
        if !self.inner.reply {
            return CONTINUE;
        }
        self.judged(parts, true, visit.notes)
    }

    fn stream(&self, visit: Visit<'_>) -> Option<Box<dyn StreamStage>> {
        if !self.reads_replies() {
            return None;
        }
        let guarded = self.guarded(&visit.exchange.request);
        if guarded.is_empty() && !self.inner.reply {
            return None;
        }
        let watch = stream::Watch::new(Arc::clone(&self.inner), guarded);
        Some(Box::new(Windows::new(watch, self.hold, HELD_LIMIT)))
    }
}

#[cfg(test)]
mod tests;
