//! Replies that say what nothing given to the model says are refused or noted: each sentence is compared with results of tools,
//! documents and prompts.
//!
//! A sentence is supported as far as a passage of them means the same and has its words; numbers and names that stand nowhere in them count
//! against it. Questions and sentences that claim nothing are passed over, and where nothing is given nothing is judged. This tells what
//! was made up from what was read, not what is true. The trace tells how many sentences were judged, and the worst score.
//!
//! ```yaml
//! - guard: grounding
//!   with: { context: [tool, system], then: tag, tag: unsupported }
//! ```

mod claim;

use super::action::{Judged, Role, Side};
use super::meaning::{Kinds, Meaning, Meant, SCORE, Scores, embedder, passages};
use claim::{Claim, sentences};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;
use weir_diagnostic::units::Ratio;
use weir_diagnostic::{Code, Diagnostic};
use weir_inference::DEFAULT_EMBEDDER;
use weir_pipeline::{Stage, Workbench};
use weir_policy::StageDecl;

/// The settings of `guard: grounding`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// How well a sentence must be supported, from 0 to 1.
    #[serde(default = "half")]
    threshold: Ratio,
    /// Whose texts of the request count as given.
    #[serde(default = "given")]
    context: Vec<Role>,
    /// The model that embeds texts.
    #[serde(default = "model")]
    model: String,
    /// Whose texts of the reply are judged.
    #[serde(default = "said")]
    roles: Vec<Role>,
    /// What is done with a reply that says what is not supported.
    #[serde(default)]
    then: Judged,
    /// The tag of `then: tag`.
    tag: Option<String>,
    /// What the client is told of a denial.
    message: Option<String>,
}

fn half() -> Ratio {
    Ratio(0.5)
}

fn given() -> Vec<Role> {
    vec![Role::System, Role::User, Role::Tool]
}

fn said() -> Vec<Role> {
    vec![Role::Assistant]
}

fn model() -> String {
    DEFAULT_EMBEDDER.to_owned()
}

/// Checks the settings and compiles the guard.
pub(crate) fn compile(decl: &StageDecl, bench: &mut Workbench<'_>) -> Option<Arc<dyn Stage>> {
    let settings: Settings = bench.settings(decl)?;
    let before = bench.diagnostics.len();
    let on = vec![Side::Reply];
    let mut wrong = |message: &str, help: &str| {
        bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(decl.span).help(help));
    };
    if settings.context.is_empty() {
        wrong("nothing counts as given", "leave `context` out, or name whose texts do");
    }
    let action = settings.then.action(&on, settings.tag, &mut wrong);
    let embedder = embedder(&settings.model, false, decl, bench)?;
    if bench.diagnostics.len() > before {
        return None;
    }
    let guard = Meaning {
        kinds: Support { threshold: settings.threshold.0, context: settings.context },
        embedder,
        on,
        roles: settings.roles,
        least: 12,
        action,
        message: settings
            .message
            .unwrap_or_else(|| "the reply says what nothing that it was given says".to_owned()),
    };
    Some(guard.stage(decl))
}

struct Support {
    threshold: f64,
    context: Vec<Role>,
}

impl Kinds for Support {
    /// Sentences are judged one by one; what is given is read in passages of about two.
    fn cut(&self, text: &str, given: bool) -> Vec<String> {
        match given {
            true => passages(text, 200),
            false => sentences(text).into_iter().flat_map(|sentence| passages(sentence, 400)).collect(),
        }
    }

    fn remembers(&self) -> usize {
        0
    }

    fn context(&self) -> &[Role] {
        &self.context
    }

    #[expect(clippy::cast_possible_truncation, reason = "a score has three digits")]
    fn judge(&self, context: &[Meant], text: &[Meant], found: &mut dyn FnMut(String)) -> Scores {
        if context.is_empty() {
            return Vec::new();
        }
        let passages: Vec<Claim> = context.iter().map(|passage| Claim::of(&passage.text)).collect();
        let all = Claim::all(&passages);
        let mut worst = 0.0_f64;
        for piece in text {
            let claim = Claim::of(&piece.text);
            if !claim.claims() {
                continue;
            }
            let support = context
                .iter()
                .zip(&passages)
                .map(|(passage, words)| claim.support(f64::from(piece.near(passage)), words, &all));
            let support = support.fold(0.0, f64::max);
            worst = worst.max(1.0 - support);
            if support < self.threshold {
                found(format!("says what nothing given supports ({support:.2})"));
            }
        }
        vec![(SCORE, worst as f32)]
    }
}

#[cfg(test)]
mod tests;
