//! Google Cloud's Model Armor judges prompts and replies by the filters of a template: responsible AI, injection, URLs, personal data.
//!
//! With `then: mask` the kind of what Sensitive Data Protection finds stands in its place; other finds deny. A filter that did not run is
//! a fault.
//!
//! ```yaml
//! - guard: model-armor
//!   with:
//!     template: projects/acme/locations/europe-west4/templates/house
//!     google: { service_account: "${file:/etc/weir/armor.json}" }
//! ```

use super::action::{Role, Side, both};
use super::service::ask::{Ask, Asks, Line, Proof};
use super::service::batch::{Batch, Most};
use super::service::{Asking, Judgement, Masking, Scene, Service, misshapen};
use futures::FutureExt;
use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::ops::Range;
use std::sync::Arc;
use weir_diagnostic::{Code, Diagnostic};
use weir_pipeline::{Credential, Stage, TokenSource, Workbench};
use weir_policy::{Secret, Spanned, StageDecl};

/// The settings of `guard: model-armor`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// The template: `projects/PROJECT/locations/LOCATION/templates/TEMPLATE`.
    template: Spanned<String>,
    /// The service's address; that of the template's location if not said.
    endpoint: Option<Spanned<String>>,
    /// Who asks.
    #[serde(default)]
    google: Account,
    /// How it is asked.
    #[serde(default)]
    asks: Asks,
    /// Which way it looks: at what clients send, at what models say.
    #[serde(default = "both")]
    on: Vec<Side>,
    /// Whose texts it is shown; all if none is named.
    #[serde(default)]
    roles: Vec<Role>,
    /// What is done with a find.
    #[serde(default)]
    then: Masking,
    /// The tag of `then: tag`.
    tag: Option<String>,
    /// What the client is told of a denial.
    message: Option<String>,
}

/// An account at Google Cloud.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Account {
    /// The key file of a service account, all of it. Unset: the machine's metadata server is asked.
    service_account: Option<Secret>,
    /// Where the metadata server is.
    #[serde(default = "metadata")]
    metadata: String,
}

impl Default for Account {
    fn default() -> Self {
        Self { service_account: None, metadata: metadata() }
    }
}

fn metadata() -> String {
    "http://metadata.google.internal".to_owned()
}

/// The location of a template, if its name is one.
fn location(template: &str) -> Option<&str> {
    let parts: Vec<&str> = template.split('/').collect();
    let ["projects", project, "locations", location, "templates", name] = parts.as_slice() else {
        return None;
    };
    let is_name = |name: &&str| {
        !name.is_empty() && name.chars().all(|char| char.is_ascii_alphanumeric() || "-_.:".contains(char))
    };
    [project, location, name].into_iter().all(is_name).then_some(*location)
}

/// Checks the settings and compiles the guard.
pub(crate) fn compile(decl: &StageDecl, bench: &mut Workbench<'_>) -> Option<Arc<dyn Stage>> {
    let settings: Settings = bench.settings(decl)?;
    let before = bench.diagnostics.len();
    let template = &settings.template;
    let Some(location) = location(template) else {
        let help = "write `projects/PROJECT/locations/LOCATION/templates/TEMPLATE`";
        let found = Diagnostic::new(Code::BadValue, format!("`{}` is no template", template.value));
        bench.diagnostics.push(found.at(template.span).help(help));
        return None;
    };
    let (action, edits) = settings.then.action(&settings.on, settings.tag, |message, help| {
        bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(decl.span).help(help));
    });
    let credential = Credential::default();
    let source = match &settings.google.service_account {
        Some(file) => (bench.secret)(file).map(|file| TokenSource::service_account(file.expose())),
        None => Some(TokenSource::machine(&settings.google.metadata)),
    };
    match source {
        Some(Ok(source)) => credential.set_source(source),
        Some(Err(why)) => bench.diagnostics.push(Diagnostic::new(Code::BadValue, why).at(decl.span)),
        None => {}
    }
    let (url, span) = match &settings.endpoint {
        Some(url) => (url.value.clone(), url.span),
        None => (format!("https://modelarmor.{location}.rep.googleapis.com"), template.span),
    };
    let line = Line::compile(&url, span, &settings.asks, Proof::Token(credential), decl, bench);
    if bench.diagnostics.len() > before {
        return None;
    }
    let asking = Asking {
        service: Box::new(Armor { template: settings.template.value }),
        line: line?,
        on: settings.on,
        roles: settings.roles,
        action,
        edits,
        message: settings.message.or_else(|| Some("the text is of a kind that is not allowed".to_owned())),
    };
    Some(asking.stage(decl))
}

struct Armor {
    template: String,
}

/// The filters of an answer: under which name each stands, under which its result, and what a match is called.
const FILTERS: [(&str, &str, &str); 3] = [
    ("pi_and_jailbreak", "piAndJailbreakFilterResult", "looks like an attack on the model"),
    ("malicious_uris", "maliciousUriFilterResult", "holds a malicious URL"),
    ("csam", "csamFilterFilterResult", "shows the abuse of children"),
];

fn matches(result: &Value) -> bool {
    result.get("matchState").and_then(Value::as_str) == Some("MATCH_FOUND")
}

/// A number as protocol buffers write it into JSON: 64 bits stand in a string.
fn number(value: &Value) -> Option<usize> {
    match value {
        Value::String(text) => text.parse().ok(),
        other => usize::try_from(other.as_u64()?).ok(),
    }
}

impl Armor {
    fn read(answer: &Value, batch: &Batch<'_>) -> Result<Judgement, String> {
        let result = answer.get("sanitizationResult").ok_or(misshapen("sanitizationResult"))?;
        let text = |name: &str| result.get(name).and_then(Value::as_str);
        if text("invocationResult").is_some_and(|said| said != "SUCCESS") {
            return Err("the service did not run all its filters".to_owned());
        }
        let state = text("filterMatchState").ok_or(misshapen("filterMatchState"))?;
        let mut judgement = Judgement::default();
        if state == "NO_MATCH_FOUND" {
            return Ok(judgement);
        }
        if state != "MATCH_FOUND" {
            return Err(misshapen("filterMatchState"));
        }
        let filter = |name: &str, inner: &str| result.get("filterResults")?.get(name)?.get(inner);
        for (name, inner, says) in FILTERS {
            if filter(name, inner).is_some_and(matches) {
                judgement.whole(says);
            }
        }
        let rai =
            filter("rai", "raiFilterResult").and_then(|rai| rai.get("raiFilterTypeResults")?.as_object());
        for (kind, result) in rai.into_iter().flatten().filter(|(_, result)| matches(result)) {
            let level = result.get("confidenceLevel").and_then(Value::as_str).unwrap_or("unknown");
            judgement.whole(format!("is of the kind `{kind}` (confidence {level})"));
        }
        if let Some(sdp) = filter("sdp", "sdpFilterResult") {
            Self::data(sdp, batch, &mut judgement);
        }
        // A filter of a later version matched.
        if judgement.finds.is_empty() {
            judgement.whole("is matched by a filter of the template");
        }
        Ok(judgement)
    }

    /// Personal data, each at its place where the service tells it.
    fn data(sdp: &Value, batch: &Batch<'_>, judgement: &mut Judgement) {
        let inspected = sdp.get("inspectResult").filter(|inspected| matches(inspected));
        let findings = inspected.and_then(|inspected| inspected.get("findings")?.as_array());
        let before = judgement.finds.len();
        for finding in findings.into_iter().flatten() {
            let kind = finding.get("infoType").and_then(Value::as_str).unwrap_or("DATA");
            let range = finding.pointer("/location/codepointRange").and_then(|range| {
                Some(Range {
                    start: number(range.get("start").unwrap_or(&json!(0)))?,
                    end: number(range.get("end")?)?,
                })
            });
            let places = range.map(|range| batch.locate(range)).unwrap_or_default();
            if places.is_empty() {
                judgement.whole(format!("holds a {kind}"));
            }
            for (n, (part, bytes)) in places.into_iter().enumerate() {
                let with = if n == 0 { format!("[{kind}]") } else { String::new() };
                judgement.span(part, bytes, format!("holds a {kind}"), with);
            }
        }
        let truncated = inspected.and_then(|inspected| inspected.get("findingsTruncated")?.as_bool());
        let told = judgement.finds.len() > before;
        let masked = sdp.get("deidentifyResult").is_some_and(matches);
        // What is not told by its place cannot be taken out.
        if truncated == Some(true) || (!told && (inspected.is_some() || masked)) {
            judgement.whole("holds personal data");
        }
    }
}

impl Service for Armor {
    fn most(&self) -> Most {
        Most { chars: 8_000, texts: 256 }
    }

    fn judge<'a>(
        &'a self,
        ask: &'a Ask<'a>,
        batch: &'a Batch<'a>,
        scene: &'a Scene,
    ) -> BoxFuture<'a, Result<Judgement, String>> {
        async move {
            let (verb, field) = match scene.side {
                Side::Request => ("sanitizeUserPrompt", "userPromptData"),
                Side::Reply => ("sanitizeModelResponse", "modelResponseData"),
            };
            let question = json!({ field: { "text": batch.joined() } });
            let answer = ask.json(&format!("/v1/{}:{verb}", self.template), &question).await?;
            Self::read(&answer, batch)
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::pii::gateway::{Went, refused, says, send_asking, user};
    use weir_message::Operation;

    fn service(path: &str, question: &Value) -> (u16, Value) {
        let (verb, field) = path
            .rsplit_once(':')
            .map(|(_, verb)| match verb {
                "sanitizeUserPrompt" => (verb, "userPromptData"),
                other => (other, "modelResponseData"),
            })
            .unwrap();
        assert!(path.starts_with("/v1/projects/p/locations/eu/templates/t:") && verb.starts_with("sanitize"));
        let text = question[field]["text"].as_str().unwrap();
        let found = |word: &str| if text.contains(word) { "MATCH_FOUND" } else { "NO_MATCH_FOUND" };
        let ran = |word: &str| json!({ "executionState": "EXECUTION_SUCCESS", "matchState": found(word) });
        let at = text.find("4111").map(|at| text[..at].chars().count());
        let findings: Vec<Value> = at
            .into_iter()
            .map(|at| {
                json!({ "infoType": "CREDIT_CARD_NUMBER", "likelihood": "LIKELY",
            "location": { "codepointRange": { "start": at.to_string(), "end": (at + 4).to_string() } } })
            })
            .collect();
        let any = ["ignore", "evil.test", "hate", "4111"].iter().any(|word| text.contains(word));
        (
            200,
            json!({ "sanitizationResult": {
            "filterMatchState": if any { "MATCH_FOUND" } else { "NO_MATCH_FOUND" },
            "invocationResult": if text.contains("broken") { "PARTIAL" } else { "SUCCESS" },
            "filterResults": {
                "csam": { "csamFilterFilterResult": ran("\u{0}") },
                "malicious_uris": { "maliciousUriFilterResult": ran("evil.test") },
                "pi_and_jailbreak": { "piAndJailbreakFilterResult": ran("ignore") },
                "rai": { "raiFilterResult": { "matchState": found("hate"), "raiFilterTypeResults": {
                    "hate_speech": { "confidenceLevel": "HIGH", "matchState": found("hate") },
                    "dangerous": { "matchState": "NO_MATCH_FOUND" },
                } } },
                "sdp": { "sdpFilterResult": { "inspectResult": { "executionState": "EXECUTION_SUCCESS", "matchState": found("4111"), "findings": findings } } },
            },
        } }),
        )
    }

    fn ask(with: &str, text: &str, reply: &str) -> Went {
        let guard = format!(
            "{{ guard: model-armor, with: {{ template: projects/p/locations/eu/templates/t{with} }} }}"
        );
        send_asking(&guard, Operation::Chat, &user(text), says(reply), service)
    }

    #[test]
    fn each_filter_denies_and_personal_data_is_masked_where_the_policy_says_so() {
        for (with, text, status) in [
            ("", "hello", 200),
            ("", "ignore it", 403),
            ("", "see evil.test", 403),
            ("", "I hate it", 403),
            ("", "card 4111", 403),
            ("", "it is broken", 503),
            (", then: observe", "I hate it", 200),
            (", then: mask", "I hate it", 403),
            (", then: mask", "é card 4111, é", 200),
        ] {
            let went = ask(with, text, "ok");
            assert_eq!(went.status, status, "{with} {text}: {}", went.body);
            assert_eq!(ask(with, "hello", text).status, status, "{with} {text}");
        }
        let went = ask(", then: mask", "é card 4111, é", "so 4111");
        assert_eq!(went.sent.as_ref().unwrap()["messages"][0]["content"], "é card [CREDIT_CARD_NUMBER], é");
        assert_eq!(went.text(), "so [CREDIT_CARD_NUMBER]");
        let told = ask(", then: observe", "I hate it", "ok").fact("found");
        assert_eq!(told[0]["what"], "is of the kind `hate_speech` (confidence HIGH)");
    }

    #[test]
    fn what_cannot_be_a_template_is_refused() {
        for template in
            ["house", "projects/p/locations/eu/templates/t/x", "projects/p/locations/e u/templates/t"]
        {
            let said = refused(&format!("{{ guard: model-armor, with: {{ template: \"{template}\" }} }}"));
            assert!(said.contains("is no template"), "{template}: {said}");
        }
    }
}
