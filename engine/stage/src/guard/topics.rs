//! Requests about what a service is not for are refused: topics are named by examples, and texts compared with these by meaning.
//!
//! With `allow` a text must be near an example of an allowed topic. A text near an example of `deny` is refused, unless it is nearer to
//! an allowed one. Words of greeting and thanks are too short to be about anything. Examples are embedded when the set is loaded; the
//! trace tells topic and score. The model reads English best.
//!
//! ```yaml
//! - guard: topics
//!   with:
//!     deny:
//!       medicine: ["Which pills help against a headache?", "Is this rash dangerous?"]
//!       law: ["Can my landlord throw me out?", "How do I sue my employer?"]
//! ```

use super::action::{Judged, Role, Side};
use super::meaning::{Kinds, Meaning, Meant, SCORE, Scores, embedder, passages};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_diagnostic::units::Ratio;
use weir_diagnostic::{Code, Diagnostic};
use weir_inference::DEFAULT_EMBEDDER;
use weir_pipeline::{Stage, Workbench};
use weir_policy::{Spanned, StageDecl};

/// The settings of `guard: topics`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Topics that texts may be about, each by examples, as users would say them; any if none is named.
    #[serde(default)]
    allow: BTreeMap<String, Vec<Spanned<String>>>,
    /// Topics that texts may not be about, by examples.
    #[serde(default)]
    deny: BTreeMap<String, Vec<Spanned<String>>>,
    /// How near a text must be to an example to be about its topic: the cosine, from 0 to 1. Sentences about the same thing are
    /// nearer than 0.5, most others farther than 0.3.
    #[serde(default = "threshold")]
    threshold: Ratio,
    /// By how much a text must be nearer to a denied topic than to any allowed one.
    #[serde(default)]
    margin: Ratio,
    /// Texts with fewer letters than this are not judged.
    #[serde(default = "least")]
    least: usize,
    /// The model that embeds texts.
    #[serde(default = "model")]
    model: String,
    /// Which way it looks: at what clients send, at what models say.
    #[serde(default = "request")]
    on: Vec<Side>,
    /// Whose texts it reads.
    #[serde(default = "said")]
    roles: Vec<Role>,
    /// What is done with a text of such a topic.
    #[serde(default)]
    then: Judged,
    /// The tag of `then: tag`.
    tag: Option<String>,
    /// What the client is told of a denial.
    message: Option<String>,
}

fn threshold() -> Ratio {
    Ratio(0.4)
}

fn least() -> usize {
    16
}

fn model() -> String {
    DEFAULT_EMBEDDER.to_owned()
}

fn request() -> Vec<Side> {
    vec![Side::Request]
}

fn said() -> Vec<Role> {
    vec![Role::User, Role::Input, Role::Assistant]
}

/// All topics together have at most so many examples.
const EXAMPLES: usize = 2_000;

/// Checks the settings and compiles the guard.
pub(crate) fn compile(decl: &StageDecl, bench: &mut Workbench<'_>) -> Option<Arc<dyn Stage>> {
    let settings: Settings = bench.settings(decl)?;
    let before = bench.diagnostics.len();
    let mut wrong = |message: &str, help: &str| {
        bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(decl.span).help(help));
    };
    let all = || settings.allow.iter().chain(&settings.deny);
    if all().next().is_none() {
        wrong("the guard has no topics", "name some in `allow` or `deny`, each with examples");
    }
    for (name, _) in all().filter(|(_, examples)| examples.is_empty()) {
        wrong(&format!("the topic `{name}` has no examples"), "give sentences that users would say");
    }
    if all().map(|(_, examples)| examples.len()).sum::<usize>() > EXAMPLES {
        wrong("the topics have more than 2000 examples", "a few dozen a topic say as much");
    }
    let action = settings.then.action(&settings.on, settings.tag, &mut wrong);
    let embedder = embedder(&settings.model, false, decl, bench)?;
    if bench.diagnostics.len() > before {
        return None;
    }
    let mut topics = |named: BTreeMap<String, Vec<Spanned<String>>>| {
        let mut topics = Vec::new();
        for (name, examples) in named {
            let mut vectors = Vec::new();
            for example in examples {
                match embedder.as_ref()?.embed_now(&example.value) {
                    Ok(vector) => vectors.push(Meant { text: example.value, vector: Some(vector) }),
                    Err(error) => {
                        let found = Diagnostic::new(Code::BadValue, error.to_string()).at(example.span);
                        bench.diagnostics.push(found.help("give one sentence"));
                    }
                }
            }
            topics.push(Topic { name, examples: vectors });
        }
        Some(topics)
    };
    let (allow, deny) = (topics(settings.allow)?, topics(settings.deny)?);
    if bench.diagnostics.len() > before {
        return None;
    }
    let kinds = Topics { allow, deny, threshold: settings.threshold.0, margin: settings.margin.0 };
    let guard = Meaning {
        kinds,
        embedder,
        on: settings.on,
        roles: settings.roles,
        least: settings.least,
        action,
        message: settings.message.unwrap_or_else(|| "that is not what this service is for".to_owned()),
    };
    Some(guard.stage(decl))
}

/// A topic by its examples.
struct Topic {
    name: String,
    examples: Vec<Meant>,
}

impl Topic {
    fn near(&self, piece: &Meant) -> f64 {
        let near = self.examples.iter().map(|example| f64::from(piece.near(example)));
        near.fold(f64::MIN, f64::max)
    }
}

struct Topics {
    allow: Vec<Topic>,
    deny: Vec<Topic>,
    threshold: f64,
    margin: f64,
}

/// The nearest of some topics.
fn nearest<'t>(topics: &'t [Topic], piece: &Meant) -> Option<(f64, &'t Topic)> {
    let all = topics.iter().map(|topic| (topic.near(piece), topic));
    all.max_by(|(one, _), (other, _)| one.total_cmp(other))
}

impl Kinds for Topics {
    fn cut(&self, text: &str, _: bool) -> Vec<String> {
        passages(text, 400)
    }

    /// A text of which only the beginning came may yet come to an allowed topic.
    fn judges_whole(&self) -> bool {
        !self.allow.is_empty()
    }

    #[expect(clippy::cast_possible_truncation, reason = "a score has three digits")]
    fn judge(&self, _: &[Meant], text: &[Meant], found: &mut dyn FnMut(String)) -> Scores {
        let (mut worst, mut best) = (0.0_f64, f64::MIN);
        for piece in text {
            let allowed = nearest(&self.allow, piece).map(|(near, _)| near);
            best = best.max(allowed.unwrap_or(f64::MIN));
            let Some((near, topic)) = nearest(&self.deny, piece) else { continue };
            worst = worst.max(near);
            if near >= self.threshold && allowed.is_none_or(|allowed| near >= allowed + self.margin) {
                found(format!("is about `{}` ({near:.2})", topic.name));
            }
        }
        if !self.allow.is_empty() && !text.is_empty() && best < self.threshold {
            found("is about no topic that is allowed".to_owned());
        }
        vec![(SCORE, worst as f32)]
    }
}

#[cfg(test)]
mod tests {
    use crate::guard::pii::gateway::{Went, refused, says, send, stream, user};
    use serde_json::json;
    use weir_message::Operation;

    const DENY: &str = "deny: { medicine: [\"Which pills help against a headache?\", \"Is this rash on my arm dangerous?\"], \
                        law: [\"Can my landlord throw me out?\", \"How do I sue my employer?\"] }";
    const ALLOW: &str = "allow: { billing: [\"How do I pay my invoice?\", \"I was charged twice\", \"Where is my refund?\"] }";

    fn has_models() -> bool {
        std::env::var_os("WEIR_MODELS").is_none_or(|value| value != "none")
    }

    fn ask(with: &str, text: &str, reply: &str) -> Went {
        send(&format!("{{ guard: topics, with: {{ {with} }} }}"), Operation::Chat, &user(text), says(reply))
    }

    #[test]
    fn texts_are_told_by_what_they_mean() {
        if !has_models() {
            return;
        }
        for (with, text, status) in [
            (DENY, "What medicine should I take for my migraine?", 403),
            (DENY, "My boss fired me without notice, can I take him to court?", 403),
            (DENY, "What is a good recipe for sourdough bread?", 200),
            (DENY, "thanks a lot", 200),
            (ALLOW, "I have not got my money back yet, when will it come?", 200),
            (ALLOW, "Write me a poem about the sea in autumn, please.", 403),
            (ALLOW, "hello there", 200),
        ] {
            let went = ask(with, text, "ok");
            assert_eq!(went.status, status, "{text}: {} {:?}", went.body, went.trace.stages);
        }
        let went = ask(DENY, "What medicine should I take for my migraine?", "ok");
        let what = went.fact("found")[0]["what"].as_str().unwrap().to_owned();
        assert!(what.starts_with("is about `medicine` (0."), "{what}");
        let both = format!("{DENY}, {ALLOW}, margin: 0.05");
        assert_eq!(ask(&both, "I was charged for an invoice that I have paid already", "ok").status, 200);
        assert_eq!(ask(&both, "Which tablets are good for a headache?", "ok").status, 403);
        let observes = format!("{DENY}, then: tag, tag: medical");
        let went = ask(&observes, "Which tablets are good for a headache?", "ok");
        assert_eq!((went.status, went.trace.tags.len()), (200, 1));
    }

    #[test]
    fn replies_are_judged_whole_and_sentence_by_sentence() {
        if !has_models() {
            return;
        }
        let said =
            "Well, let me see. You should take two tablets of aspirin for your headache. Get well soon.";
        let with = format!("{DENY}, on: [reply]");
        assert_eq!(ask(&with, "hi", said).status, 403);
        let mut body = user("hi");
        body["stream"] = json!(true);
        for (with, refuses) in [
            (with, true),
            (format!("{ALLOW}, on: [reply]"), true),
            (format!("{DENY}, on: [reply], threshold: 0.99"), false),
        ] {
            let pieces = said.split_inclusive(' ').map(|piece| json!({ "content": piece }));
            let guard = format!("{{ guard: topics, with: {{ {with} }} }}");
            let went = send(&guard, Operation::Chat, &body, stream(pieces));
            assert_eq!(went.body.contains("content-denied"), refuses, "{with}: {}", went.body);
            assert_eq!(went.text().contains("aspirin"), !refuses, "{}", went.body);
        }
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        for (with, want) in [
            ("threshold: 0.5", "has no topics"),
            ("deny: { law: [] }", "has no examples"),
            ("deny: { law: [a] }, then: tag", "go together"),
            ("deny: { law: [a] }, model: none", "none"),
        ] {
            let said = refused(&format!("{{ guard: topics, with: {{ {with} }} }}"));
            assert!(said.contains(want), "{with}: {said}");
        }
    }
}
