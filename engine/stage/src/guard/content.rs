//! Texts of hate, harassment, sex, self-harm, violence or crime are refused or noted, in the process, by trained heads.
//!
//! Each category has a threshold of its own; one without is not judged. `minors` is sexual content that speaks of a child. A text is read
//! as `guard: injection` reads it: look-alikes and codes are undone first. Words and meaning are judged by the embedding model (`model:
//! none`: words alone). Trained on English texts; what it finds and misses is in `eval/README.md`. The trace tells the scores.
//!
//! ```yaml
//! - guard: content
//!   with: { thresholds: { hate: 0.5, harassment: 0.7, sexual: 0.5, minors: 0.2, self-harm: 0.5, violence: 0.6, crime: 0.6 } }
//! ```

mod minors;

use super::action::{Judged, Role, Side, both};
use super::injection::grams::grams;
use super::injection::head::{EMBEDDING, Head, read_heads};
use super::injection::parts;
use super::meaning::{Kinds, Meaning, Meant, Scores, embedder};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::{Arc, LazyLock};
use weir_diagnostic::units::Ratio;
use weir_diagnostic::{Code, Diagnostic};
use weir_inference::DEFAULT_EMBEDDER;
use weir_pipeline::{Stage, Workbench};
use weir_policy::StageDecl;

/// The settings of `guard: content`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// From which score on a text is of a category, from 0 to 1.
    #[serde(default)]
    thresholds: Thresholds,
    /// The model that embeds texts; `none`: words alone are judged.
    #[serde(default = "model")]
    model: String,
    /// Which way it looks: at what clients send, at what models say.
    #[serde(default = "both")]
    on: Vec<Side>,
    /// Whose texts it reads.
    #[serde(default = "said")]
    roles: Vec<Role>,
    /// What is done with a text of a category.
    #[serde(default)]
    then: Judged,
    /// The tag of `then: tag`.
    tag: Option<String>,
    /// What the client is told of a denial.
    message: Option<String>,
}

/// A threshold for each category; one that is not named is not judged. Without any all are judged from 0.5 on, `minors` from 0.2.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Thresholds {
    /// Contempt for people for what they are: origin, religion, sex, disability.
    hate: Option<Ratio>,
    /// Insults and bullying of somebody.
    harassment: Option<Ratio>,
    /// Sexual content.
    sexual: Option<Ratio>,
    /// Sexual content that speaks of a child.
    minors: Option<Ratio>,
    /// Suicide and harm to oneself, wished or advised.
    self_harm: Option<Ratio>,
    /// Threats, and violence described or asked for.
    violence: Option<Ratio>,
    /// Help with crimes.
    crime: Option<Ratio>,
}

impl Thresholds {
    /// By category, in the order of the heads, `minors` last.
    fn all(&self) -> [(&'static str, Option<f64>); 7] {
        let named = [
            ("hate", self.hate),
            ("harassment", self.harassment),
            ("sexual", self.sexual),
            ("self-harm", self.self_harm),
            ("violence", self.violence),
            ("crime", self.crime),
            ("minors", self.minors),
        ];
        let none = named.iter().all(|(_, threshold)| threshold.is_none());
        named.map(|(name, threshold)| {
            let usual = if name == "minors" { 0.2 } else { 0.5 };
            (name, threshold.map(|threshold| threshold.0).or(none.then_some(usual)))
        })
    }
}

fn model() -> String {
    DEFAULT_EMBEDDER.to_owned()
}

fn said() -> Vec<Role> {
    vec![Role::User, Role::Assistant, Role::Tool, Role::Arguments, Role::Input]
}

/// The weights as trained by `eval/train/content.py`: a head for each category but `minors`.
static FILE: &[u8] = include_bytes!("content/weights.bin");

static HEADS: LazyLock<Option<Vec<Head>>> = LazyLock::new(|| read_heads(FILE, b"WEIRCNT1", 6));

/// The place of the head for sexual content.
const SEXUAL: usize = 2;

/// Checks the settings and compiles the guard.
pub(crate) fn compile(decl: &StageDecl, bench: &mut Workbench<'_>) -> Option<Arc<dyn Stage>> {
    let settings: Settings = bench.settings(decl)?;
    let before = bench.diagnostics.len();
    let mut wrong = |message: &str, help: &str| {
        bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(decl.span).help(help));
    };
    let action = settings.then.action(&settings.on, settings.tag, &mut wrong);
    let heads = HEADS.as_ref();
    if heads.is_none() {
        wrong("the weights of the guard cannot be read", "this build is broken");
    }
    let embedder = embedder(&settings.model, true, decl, bench)?;
    if embedder.as_ref().is_some_and(|embedder| embedder.dimensions() != EMBEDDING) {
        let found = Diagnostic::new(Code::BadValue, "the guard was not trained on this model").at(decl.span);
        bench.diagnostics.push(found.help("leave `model` out, or say `none`"));
    }
    if bench.diagnostics.len() > before {
        return None;
    }
    let guard = Meaning {
        kinds: Content { heads: heads?, thresholds: settings.thresholds.all() },
        embedder,
        on: settings.on,
        roles: settings.roles,
        least: 4,
        action,
        message: settings.message.unwrap_or_else(|| "the text is of a kind that is not allowed".to_owned()),
    };
    Some(guard.stage(decl))
}

struct Content {
    heads: &'static [Head],
    thresholds: [(&'static str, Option<f64>); 7],
}

impl Content {
    /// The scores of a piece, in the order of the thresholds.
    fn scores(&self, piece: &Meant) -> [f32; 7] {
        let grams = grams(&piece.text);
        let mut scores = [0.0; 7];
        for (score, head) in scores.iter_mut().zip(self.heads) {
            *score = head.score(head.words(&grams), piece.vector.as_deref(), false);
        }
        let sexual = scores.get(SEXUAL).copied().unwrap_or_default();
        if let (Some(minors), true) = (scores.last_mut(), minors::speaks_of_a_child(&piece.text)) {
            *minors = sexual;
        }
        scores
    }
}

impl Kinds for Content {
    fn cut(&self, text: &str, _: bool) -> Vec<String> {
        parts(text, false).into_iter().map(|(part, _)| part).collect()
    }

    fn judge(&self, _: &[Meant], text: &[Meant], found: &mut dyn FnMut(String)) -> Scores {
        let mut worst = [0.0_f32; 7];
        for piece in text {
            for (worst, score) in worst.iter_mut().zip(self.scores(piece)) {
                *worst = worst.max(score);
            }
        }
        let judged = self.thresholds.iter().zip(worst);
        let judged: Vec<_> =
            judged.filter_map(|((name, threshold), score)| Some((*name, (*threshold)?, score))).collect();
        for (name, threshold, score) in &judged {
            if f64::from(*score) >= *threshold {
                found(format!("is of the kind `{name}` ({score:.2})"));
            }
        }
        judged.into_iter().map(|(name, _, score)| (name, score)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::pii::gateway::{Went, message, refused, says, send, stream, user};
    use serde_json::json;
    use weir_message::Operation;

    const THREAT: &str = "I will find you and beat you to death with my own hands.";
    const PLAIN: &str = "How do I bake bread with rye flour?";

    fn ask(with: &str, text: &str, reply: String) -> Went {
        let mut body = user(text);
        body["stream"] = json!(reply.starts_with("data"));
        send(&format!("{{ guard: content, with: {{ model: none, {with} }} }}"), Operation::Chat, &body, reply)
    }

    #[test]
    fn the_committed_weights_are_read_whole() {
        assert_eq!(HEADS.as_ref().map(Vec::len), Some(6));
        assert!(read_heads(&FILE[..FILE.len() - 1], b"WEIRCNT1", 6).is_none());
        assert!(read_heads(FILE, b"WEIRCNT1", 5).is_none() && read_heads(FILE, b"WEIRINJ1", 6).is_none());
    }

    #[test]
    fn categories_are_judged_by_their_own_thresholds_wherever_the_text_stands() {
        for (with, text, status) in [
            ("thresholds: { violence: 0.5 }", THREAT, 403),
            ("thresholds: { violence: 0.5 }", PLAIN, 200),
            ("thresholds: { sexual: 0.5 }", THREAT, 200),
            ("then: observe", THREAT, 200),
            ("on: [reply]", THREAT, 200),
            ("roles: [tool]", THREAT, 200),
        ] {
            assert_eq!(ask(with, text, says("ok")).status, status, "{with} {text}");
        }
        assert_eq!(ask("then: deny", PLAIN, says(THREAT)).status, 403);
        let call = json!({ "role": "assistant", "tool_calls": [{ "id": "c", "type": "function", "function": { "name": "send", "arguments": json!({ "text": THREAT }).to_string() } }] });
        assert_eq!(ask("then: deny", PLAIN, message(&call)).status, 403);
        let pieces = ["Well. I will find you and bea", "t you to death with my own hands. Bye"]
            .map(|piece| json!({ "content": piece }));
        let went = ask("then: deny", PLAIN, stream(pieces));
        assert!(went.body.contains("content-denied") && !went.body.contains("death"), "{}", went.body);
        let went = ask("then: observe", THREAT, says("ok"));
        let scores = went.fact("scores");
        assert!(scores["violence"].as_f64().unwrap() > 0.5 && scores["minors"] == 0.0, "{scores}");
        let told = went.fact("found")[0]["what"].as_str().unwrap().to_owned();
        assert!(told.starts_with("is of the kind `"), "{told}");
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        for (with, want) in [
            ("thresholds: { violense: 0.5 }", "did you mean `violence`"),
            ("then: tag", "go together"),
            ("on: []", "looks nowhere"),
        ] {
            let said = refused(&format!("{{ guard: content, with: {{ model: none, {with} }} }}"));
            assert!(said.contains(want), "{with}: {said}");
        }
    }
}
