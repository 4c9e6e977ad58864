//! A guardrail of Amazon Bedrock judges requests and replies, whichever provider answers (`ApplyGuardrail`).
//!
//! With `then: mask` what the guardrail would anonymize is replaced by its kind (`{EMAIL}`), and what it blocks is refused.
//!
//! ```yaml
//! - guard: bedrock-guardrail
//!   with:
//!     guardrail: gr-acme
//!     version: "3"
//!     region: eu-central-1
//!     aws: { access_key_id: "${env:AWS_ACCESS_KEY_ID}", secret_access_key: "${env:AWS_SECRET_ACCESS_KEY}" }
//! ```

use super::action::{Role, Side, both};
use super::service::ask::{Ask, Asks, Line, Proof};
use super::service::batch::{Batch, Most, quoted};
use super::service::{Asking, Judgement, Masking, Scene, Service, misshapen};
use futures::FutureExt;
use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use weir_diagnostic::{Code, Diagnostic};
use weir_pipeline::{AuthScheme, AwsKeys, Credential, SigV4, Stage, Workbench};
use weir_policy::{Aws, Spanned, StageDecl, TextOrSecret};

/// The settings of `guard: bedrock-guardrail`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// The guardrail's id or ARN.
    guardrail: Spanned<String>,
    /// Its version; `DRAFT` is the one that is worked on.
    #[serde(default = "draft")]
    version: String,
    /// The region that it is in.
    region: Spanned<String>,
    /// The keys that sign.
    aws: Aws,
    /// The service's address; that of the region if not said.
    endpoint: Option<Spanned<String>>,
    /// How it is asked.
    #[serde(default)]
    asks: Asks,
    /// Which way it looks: at what clients send, at what models say.
    #[serde(default = "both")]
    on: Vec<Side>,
    /// Whose texts it is shown; all if none is named.
    #[serde(default)]
    roles: Vec<Role>,
    /// What is done where the guardrail intervenes.
    #[serde(default)]
    then: Masking,
    /// The tag of `then: tag`.
    tag: Option<String>,
    /// What the client is told of a denial; if not said, the guardrail's own words.
    message: Option<String>,
}

fn draft() -> String {
    "DRAFT".to_owned()
}

/// Checks the settings and compiles the guard.
pub(crate) fn compile(decl: &StageDecl, bench: &mut Workbench<'_>) -> Option<Arc<dyn Stage>> {
    let settings: Settings = bench.settings(decl)?;
    let before = bench.diagnostics.len();
    let is_id = |text: &str| {
        !text.is_empty() && text.chars().all(|char| char.is_ascii_alphanumeric() || "-:/".contains(char))
    };
    for text in [&settings.guardrail, &settings.region] {
        if !is_id(text) {
            let message = format!("`{}` is no id, ARN or region", text.value);
            bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(text.span));
        }
    }
    let mut wrong = |message: &str, help: &str| {
        bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(decl.span).help(help));
    };
    if !is_id(&settings.version) {
        wrong("`version` is no version", "give its number, or `DRAFT`");
    }
    let (action, edits) = settings.then.action(&settings.on, settings.tag, &mut wrong);
    let credential = Credential::default();
    let aws = &settings.aws;
    let id = match &aws.access_key_id {
        TextOrSecret::Text(text) => Some(text.clone()),
        TextOrSecret::Secret(secret) => (bench.secret)(secret).map(|value| value.expose().to_owned()),
    };
    let token = aws.session_token.as_ref().and_then(|token| (bench.secret)(token));
    // Where secrets are not needed, nothing is signed.
    if let (Some(access_key_id), Some(key)) = (id, (bench.secret)(&aws.secret_access_key)) {
        credential.set_keys(AwsKeys {
            access_key_id,
            secret_access_key: key.expose().to_owned(),
            session_token: token.map(|token| token.expose().to_owned()),
        });
    }
    let region = settings.region.value.as_str();
    let scheme = AuthScheme::SigV4(SigV4 { region: region.into(), service: aws.service.as_str().into() });
    let (url, span) = match &settings.endpoint {
        Some(url) => (url.value.clone(), url.span),
        None => (format!("https://bedrock-runtime.{region}.amazonaws.com"), settings.region.span),
    };
    let line = Line::compile(&url, span, &settings.asks, Proof::Signed(scheme, credential), decl, bench);
    if bench.diagnostics.len() > before {
        return None;
    }
    // An ARN has signs that separate parts of a path.
    let id = settings.guardrail.replace(':', "%3A").replace('/', "%2F");
    let service = Guardrail { path: format!("/guardrail/{id}/version/{}/apply", settings.version) };
    let asking = Asking {
        service: Box::new(service),
        line: line?,
        on: settings.on,
        roles: settings.roles,
        action,
        edits,
        message: settings.message,
    };
    Some(asking.stage(decl))
}

struct Guardrail {
    path: String,
}

/// Where the finds of an assessment stand, and by which of their fields they are called.
const POLICIES: [(&str, &str, &str); 6] = [
    ("/topicPolicy/topics", "name", "is about the topic"),
    ("/contentPolicy/filters", "type", "is of the kind"),
    ("/wordPolicy/customWords", "", "holds a word of the guardrail"),
    ("/wordPolicy/managedWordLists", "type", "holds a word of the list"),
    ("/contextualGroundingPolicy/filters", "type", "fails the check"),
    ("/automatedReasoningPolicy/findings", "", "fails a check by reasoning"),
];

/// Personal data, of which the guardrail quotes the text.
const DATA: [(&str, &str); 2] =
    [("/sensitiveInformationPolicy/piiEntities", "type"), ("/sensitiveInformationPolicy/regexes", "name")];

impl Guardrail {
    fn read(answer: &Value, batch: &Batch<'_>) -> Result<Judgement, String> {
        let mut judgement = Judgement::default();
        match answer.get("action").and_then(Value::as_str) {
            Some("NONE") => return Ok(judgement),
            Some("GUARDRAIL_INTERVENED") => {}
            _ => return Err(misshapen("action")),
        }
        let text = |one: &'_ Value, name: &str| one.get(name).and_then(Value::as_str).map(str::to_owned);
        let acts = |one: &Value| text(one, "action").is_some_and(|action| action != "NONE");
        let assessments =
            answer.get("assessments").and_then(Value::as_array).ok_or(misshapen("assessments"))?;
        let mut blocks = false;
        for assessment in assessments {
            let list =
                |place: &str| assessment.pointer(place).and_then(Value::as_array).into_iter().flatten();
            for (place, name, says) in POLICIES {
                for one in list(place).filter(|one| acts(one)) {
                    let called = text(one, name).map(|called| format!(" `{called}`")).unwrap_or_default();
                    judgement.whole(format!("{says}{called}"));
                    blocks = true;
                }
            }
            for (place, name) in DATA {
                for one in list(place).filter(|one| acts(one)) {
                    let kind = text(one, name).unwrap_or_else(|| "DATA".to_owned());
                    let what = format!("holds a {kind}");
                    let quote = text(one, "match").unwrap_or_default();
                    let before = judgement.finds.len();
                    if text(one, "action").as_deref() == Some("ANONYMIZED") {
                        for (n, part) in batch.parts.iter().enumerate() {
                            for bytes in quoted(part.text, &quote) {
                                judgement.span(n, bytes, what.clone(), format!("{{{kind}}}"));
                            }
                        }
                    }
                    if judgement.finds.len() == before {
                        judgement.whole(what);
                        blocks = true;
                    }
                }
            }
        }
        if judgement.finds.is_empty() {
            judgement.whole("is not let pass by the guardrail");
            blocks = true;
        }
        // Where it blocks, the output is what the client is to be told.
        if blocks {
            judgement.message = answer.pointer("/outputs/0/text").and_then(Value::as_str).map(str::to_owned);
        }
        Ok(judgement)
    }
}

impl Service for Guardrail {
    fn most(&self) -> Most {
        Most { chars: 20_000, texts: 64 }
    }

    fn judge<'a>(
        &'a self,
        ask: &'a Ask<'a>,
        batch: &'a Batch<'a>,
        scene: &'a Scene,
    ) -> BoxFuture<'a, Result<Judgement, String>> {
        async move {
            let source = if scene.side == Side::Reply { "OUTPUT" } else { "INPUT" };
            let content: Vec<Value> =
                batch.parts.iter().map(|part| json!({ "text": { "text": part.text } })).collect();
            let answer = ask.json(&self.path, &json!({ "source": source, "content": content })).await?;
            Self::read(&answer, batch)
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::pii::gateway::{Went, refused, says, send_asking, stream, user};
    use weir_message::Operation;

    fn service(path: &str, question: &Value) -> (u16, Value) {
        assert_eq!(path, "/guardrail/gr1/version/DRAFT/apply");
        let text = question["content"].to_string();
        let pii = ["bob@x.test", "eve@x.test"].into_iter().filter(|mail| text.contains(mail));
        let pii: Vec<Value> = pii
            .map(|mail| json!({ "match": mail, "type": "EMAIL", "action": if mail.starts_with("eve") { "BLOCKED" } else { "ANONYMIZED" } }))
            .collect();
        let topics: Vec<Value> = text
            .contains("invest")
            .then(|| json!({ "name": "Finance", "type": "DENY", "action": "BLOCKED" }))
            .into_iter()
            .collect();
        if pii.is_empty() && topics.is_empty() {
            return (200, json!({ "action": "NONE", "outputs": [], "assessments": [{}], "usage": {} }));
        }
        let outputs = json!([{ "text": "The house does not talk of that." }]);
        (
            200,
            json!({ "action": "GUARDRAIL_INTERVENED", "outputs": outputs, "usage": {}, "assessments": [{
            "topicPolicy": { "topics": topics },
            "contentPolicy": { "filters": [{ "type": "HATE", "confidence": "LOW", "action": "NONE" }] },
            "sensitiveInformationPolicy": { "piiEntities": pii, "regexes": [] },
        }] }),
        )
    }

    const AWS: &str = "region: eu-west-1, aws: { access_key_id: AKID, secret_access_key: \"${env:K}\" }";

    fn ask(with: &str, text: &str, reply: String) -> Went {
        let guard = format!("{{ guard: bedrock-guardrail, with: {{ guardrail: gr1, {AWS}{with} }} }}");
        let mut body = user(text);
        body["stream"] = json!(reply.starts_with("data"));
        send_asking(&guard, Operation::Chat, &body, reply, service)
    }

    #[test]
    fn what_it_blocks_is_refused_and_what_it_anonymizes_is_masked() {
        for (with, text, status) in [
            ("", "hello", 200),
            ("", "invest in it", 403),
            ("", "bob@x.test", 403),
            (", then: mask", "bob@x.test", 200),
            (", then: mask", "eve@x.test", 403),
            (", then: mask", "invest with bob@x.test", 403),
            (", then: observe", "invest with eve@x.test", 200),
        ] {
            let went = ask(with, text, says("ok"));
            assert_eq!(went.status, status, "{with} {text}: {}", went.body);
            assert_eq!(ask(with, "hello", says(text)).status, status, "{with} {text}");
        }
        let went = ask(", then: mask", "to bob@x.test and bob@x.test", says("ok"));
        assert_eq!(went.sent.as_ref().unwrap()["messages"][0]["content"], "to {EMAIL} and {EMAIL}");
        let went = ask("", "invest in it", says("ok"));
        assert!(went.body.contains("does not talk of that"), "{}", went.body);
        assert_eq!(went.fact("found")[0]["what"], "is about the topic `Finance`");
        assert_eq!(went.asked[0].1["source"], "INPUT");
        let pieces = ["to bob", "@x.test", ", he"].map(|piece| json!({ "content": piece }));
        let went = ask(", then: mask", "hi", stream(pieces));
        assert_eq!(
            (went.text().as_str(), &went.asked.last().unwrap().1["source"]),
            ("to {EMAIL}, he", &json!("OUTPUT"))
        );
    }

    #[test]
    fn ids_that_cannot_be_are_refused() {
        for with in ["guardrail: \"a b\"", "guardrail: gr1, version: \"1/..?\"", "guardrail: \"\""] {
            let said = refused(&format!("{{ guard: bedrock-guardrail, with: {{ {with}, {AWS} }} }}"));
            assert!(said.contains("is no"), "{with}: {said}");
        }
    }
}
