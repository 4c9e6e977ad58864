//! A moderation service with OpenAI's API judges texts by category: hate, harassment, violence, self-harm …
//!
//! A category with a threshold is judged by its score, any other by what the service itself flags. Texts of one request are asked about
//! together. The trace has the categories and the highest score, never the text.
//!
//! ```yaml
//! - guard: moderation
//!   with: { key: "${env:OPENAI_API_KEY}", thresholds: { violence: 0.8, harassment: 0.6 }, ignore: [illicit] }
//! ```

use super::action::{Judged, Role, Side, both};
use super::service::ask::{Ask, Asks, Line, Proof};
use super::service::batch::{Batch, Most};
use super::service::{Asking, Judgement, Scene, Service, misshapen};
use futures::FutureExt;
use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_diagnostic::units::Ratio;
use weir_diagnostic::{Code, Diagnostic};
use weir_pipeline::{Stage, Workbench};
use weir_policy::{Secret, Spanned, StageDecl};

/// The settings of `guard: moderation`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Where the service is, path included.
    #[serde(default = "url")]
    url: String,
    /// The key, shown as a bearer token.
    key: Option<Secret>,
    /// The model that judges.
    #[serde(default = "model")]
    model: String,
    /// From which score on a category counts, from 0 to 1, by the service's names of categories.
    #[serde(default)]
    thresholds: BTreeMap<String, Ratio>,
    /// Categories that are not judged.
    #[serde(default)]
    ignore: Vec<Spanned<String>>,
    /// How it is asked.
    #[serde(default)]
    asks: Asks,
    /// Which way it looks: at what clients send, at what models say.
    #[serde(default = "both")]
    on: Vec<Side>,
    /// Whose texts it is shown; all if none is named.
    #[serde(default)]
    roles: Vec<Role>,
    /// What is done with a request or reply of such a category.
    #[serde(default)]
    then: Judged,
    /// The tag of `then: tag`.
    tag: Option<String>,
    /// What the client is told of a denial.
    message: Option<String>,
}

fn url() -> String {
    "https://api.openai.com/v1/moderations".to_owned()
}

fn model() -> String {
    "omni-moderation-latest".to_owned()
}

/// Checks the settings and compiles the guard.
pub(crate) fn compile(decl: &StageDecl, bench: &mut Workbench<'_>) -> Option<Arc<dyn Stage>> {
    let settings: Settings = bench.settings(decl)?;
    let before = bench.diagnostics.len();
    for name in settings.ignore.iter().filter(|name| settings.thresholds.contains_key(&name.value)) {
        let message = format!("`{}` has a threshold and is ignored", name.value);
        bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(name.span).help("take one out"));
    }
    let action = settings.then.action(&settings.on, settings.tag, |message, help| {
        bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(decl.span).help(help));
    });
    let shown = settings.key.iter().map(|key| ("authorization", "Bearer ", key)).collect();
    let line = Line::compile(&settings.url, decl.span, &settings.asks, Proof::Headers(shown), decl, bench);
    if bench.diagnostics.len() > before {
        return None;
    }
    let service = Moderation {
        model: settings.model,
        thresholds: settings.thresholds.into_iter().map(|(name, from)| (name, from.0)).collect(),
        ignore: settings.ignore.into_iter().map(|name| name.value).collect(),
    };
    let asking = Asking {
        service: Box::new(service),
        line: line?,
        on: settings.on,
        roles: settings.roles,
        action,
        edits: false,
        message: settings.message.or_else(|| Some("the text is of a kind that is not allowed".to_owned())),
    };
    Some(asking.stage(decl))
}

struct Moderation {
    model: String,
    thresholds: Vec<(String, f64)>,
    ignore: Vec<String>,
}

impl Moderation {
    /// What one result says of its text.
    fn read(&self, result: &Value, part: usize, judgement: &mut Judgement) -> Result<(), String> {
        let flags = result.get("categories").and_then(Value::as_object).ok_or(misshapen("categories"))?;
        let scores = result.get("category_scores").and_then(Value::as_object);
        let score = |name: &str| scores?.get(name)?.as_f64();
        for (name, from) in &self.thresholds {
            // A name that the service does not know would let everything pass.
            let score = score(name).ok_or_else(|| format!("the service gives no score of `{name}`"))?;
            if score >= *from {
                judgement.part(part, format!("is of the kind `{name}` ({score:.2})"));
            }
        }
        for (name, flag) in flags {
            let judged = self.thresholds.iter().any(|(known, _)| known == name) || self.ignore.contains(name);
            if !judged && flag.as_bool() == Some(true) {
                let score = score(name).map(|score| format!(" ({score:.2})")).unwrap_or_default();
                judgement.part(part, format!("is of the kind `{name}`{score}"));
            }
        }
        Ok(())
    }
}

impl Service for Moderation {
    fn most(&self) -> Most {
        Most { chars: 32_000, texts: 32 }
    }

    fn judge<'a>(
        &'a self,
        ask: &'a Ask<'a>,
        batch: &'a Batch<'a>,
        _: &'a Scene,
    ) -> BoxFuture<'a, Result<Judgement, String>> {
        async move {
            let input: Vec<&str> = batch.parts.iter().map(|part| part.text).collect();
            let answer = ask.json("", &json!({ "model": self.model, "input": input })).await?;
            let results = answer.get("results").and_then(Value::as_array).ok_or(misshapen("results"))?;
            if results.len() != batch.parts.len() {
                return Err(format!("the service judges {} texts of {}", results.len(), batch.parts.len()));
            }
            let mut judgement = Judgement::default();
            for (part, result) in results.iter().enumerate() {
                self.read(result, part, &mut judgement)?;
            }
            Ok(judgement)
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use crate::guard::pii::gateway::{Went, refused, says, send_asking, user};
    use serde_json::{Value, json};
    use weir_message::Operation;

    /// A service that finds violence where there is a knife, and hate where somebody hates.
    fn service(_: &str, question: &Value) -> (u16, Value) {
        let results = question["input"].as_array().unwrap().iter().map(|text| {
            let (violent, hates) = (text.to_string().contains("knife"), text.to_string().contains("hate"));
            json!({
                "flagged": violent || hates,
                "categories": { "violence": violent, "hate": hates },
                "category_scores": { "violence": if violent { 0.7 } else { 0.01 }, "hate": if hates { 0.9 } else { 0.0 } },
            })
        });
        (200, json!({ "id": "modr-1", "model": "m", "results": results.collect::<Vec<_>>() }))
    }

    fn ask(with: &str, text: &str, reply: &str) -> Went {
        let guard =
            format!("{{ guard: moderation, with: {{ url: \"https://mod.test/v1/moderations\"{with} }} }}");
        send_asking(&guard, Operation::Chat, &user(text), says(reply), service)
    }

    #[test]
    fn categories_are_judged_by_their_threshold_or_by_what_the_service_flags() {
        for (with, text, status) in [
            ("", "a knife", 403),
            ("", "a spoon", 200),
            (", thresholds: { violence: 0.8 }", "a knife", 200),
            (", thresholds: { violence: 0.7 }", "a knife", 403),
            (", thresholds: { violence: 0.8 }", "I hate knives", 403),
            (", ignore: [violence]", "a knife", 200),
            (", ignore: [violence]", "a knife I hate", 403),
            (", thresholds: { violense: 0.8 }", "a spoon", 503),
            (", then: observe", "a knife", 200),
            (", on: [reply]", "a knife", 200),
        ] {
            let went = ask(with, text, "ok");
            assert_eq!(went.status, status, "{with} {text}: {}", went.body);
        }
        assert_eq!(ask("", "hi", "a knife").status, 403);
        let went = ask("", "a knife", "ok");
        let want =
            json!([{ "what": "is of the kind `violence` (0.70)", "role": "user", "message": 0, "count": 1 }]);
        assert_eq!(went.fact("found"), want);
        assert_eq!(
            (&went.asked[0].1["model"], &went.asked[0].1["input"]),
            (&json!("omni-moderation-latest"), &json!(["a knife"]))
        );
    }

    #[test]
    fn answers_of_another_shape_are_faults() {
        for answer in [json!({}), json!({ "results": [] }), json!({ "results": [{ "flagged": true }] })] {
            let guard = "{ guard: moderation, with: { url: \"https://mod.test\" } }";
            let went = send_asking(guard, Operation::Chat, &user("hi"), says("ok"), move |_, _| {
                (200, answer.clone())
            });
            assert_eq!(went.status, 503, "{}", went.body);
        }
        let said = refused("{ guard: moderation, with: { thresholds: { hate: 0.5 }, ignore: [hate] } }");
        assert!(said.contains("has a threshold and is ignored"), "{said}");
    }
}
