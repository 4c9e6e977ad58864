//! Azure AI Content Safety judges texts by severity of harm, by your block lists, and for attacks on the model (Prompt Shields).
//!
//! What users say is shielded as a prompt; results of tools, inputs and all else that is given to the model as documents. Replies are
//! judged for harm alone.
//!
//! ```yaml
//! - guard: azure-content-safety
//!   with: { endpoint: "https://safety.acme.test", key: "${env:SAFETY_KEY}", severity: { hate: 2, violence: 4 }, shield: true }
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
use std::sync::Arc;
use weir_diagnostic::{Code, Diagnostic};
use weir_message::TextRole;
use weir_pipeline::{Stage, Workbench};
use weir_policy::{Secret, Spanned, StageDecl};

/// The settings of `guard: azure-content-safety`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// The resource's endpoint.
    endpoint: Spanned<String>,
    /// Its key.
    key: Option<Secret>,
    /// From which severity on a text counts, from 1 to 7, by kind of harm. A kind that is not named is not judged.
    #[serde(default)]
    severity: Severities,
    /// Block lists of the resource: a text with an entry counts.
    #[serde(default)]
    block_lists: Vec<String>,
    /// Whether requests are judged for attacks on the model too (Prompt Shields).
    #[serde(default)]
    shield: bool,
    /// The version of the API.
    #[serde(default = "version")]
    api_version: String,
    /// How it is asked.
    #[serde(default)]
    asks: Asks,
    /// Which way it looks: at what clients send, at what models say.
    #[serde(default = "both")]
    on: Vec<Side>,
    /// Whose texts it is shown; all if none is named.
    #[serde(default)]
    roles: Vec<Role>,
    /// What is done with what counts.
    #[serde(default)]
    then: Judged,
    /// The tag of `then: tag`.
    tag: Option<String>,
    /// What the client is told of a denial.
    message: Option<String>,
}

/// Severities from which on a text counts: 2 is low, 4 medium, 6 high.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Severities {
    /// Hate.
    hate: Option<u8>,
    /// Harm to oneself.
    self_harm: Option<u8>,
    /// Sexual.
    sexual: Option<u8>,
    /// Violence.
    violence: Option<u8>,
}

fn version() -> String {
    "2024-09-01".to_owned()
}

/// Checks the settings and compiles the guard.
pub(crate) fn compile(decl: &StageDecl, bench: &mut Workbench<'_>) -> Option<Arc<dyn Stage>> {
    let settings: Settings = bench.settings(decl)?;
    let before = bench.diagnostics.len();
    let Severities { hate, self_harm, sexual, violence } = settings.severity;
    let all = [("Hate", hate), ("SelfHarm", self_harm), ("Sexual", sexual), ("Violence", violence)];
    let severities: Vec<(&str, u8)> =
        all.into_iter().filter_map(|(name, from)| Some((name, from?))).collect();
    let mut wrong = |message: &str, help: &str| {
        bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(decl.span).help(help));
    };
    if severities.iter().any(|(_, from)| !(1..=7).contains(from)) {
        wrong("a severity is out of range", "give a number from 1 to 7: 2 is low, 4 medium, 6 high");
    }
    if severities.is_empty() && settings.block_lists.is_empty() && !settings.shield {
        wrong("the guard judges nothing", "name severities, `block_lists`, or say `shield: true`");
    }
    if !settings.api_version.chars().all(|char| char.is_ascii_alphanumeric() || char == '-') {
        wrong("`api_version` is no version", "write it as `2024-09-01`");
    }
    let action = settings.then.action(&settings.on, settings.tag, &mut wrong);
    let url = &settings.endpoint;
    let shown = settings.key.iter().map(|key| ("ocp-apim-subscription-key", "", key)).collect();
    let line = Line::compile(url, url.span, &settings.asks, Proof::Headers(shown), decl, bench);
    if bench.diagnostics.len() > before {
        return None;
    }
    let service = Safety {
        severities,
        block_lists: settings.block_lists,
        shield: settings.shield,
        version: settings.api_version,
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

struct Safety {
    severities: Vec<(&'static str, u8)>,
    block_lists: Vec<String>,
    shield: bool,
    version: String,
}

/// The most documents of one question.
const DOCUMENTS: usize = 5;

impl Safety {
    fn path(&self, operation: &str) -> String {
        format!("/contentsafety/text:{operation}?api-version={}", self.version)
    }

    async fn harm(&self, ask: &Ask<'_>, batch: &Batch<'_>) -> Result<Judgement, String> {
        let mut judgement = Judgement::default();
        if self.severities.is_empty() && self.block_lists.is_empty() {
            return Ok(judgement);
        }
        let kinds: Vec<&str> = self.severities.iter().map(|(name, _)| *name).collect();
        let question = json!({
            "text": batch.joined(), "categories": kinds, "blocklistNames": self.block_lists,
            "haltOnBlocklistHit": false, "outputType": "EightSeverityLevels",
        });
        let answer = ask.json(&self.path("analyze"), &question).await?;
        let list = |name: &str| answer.get(name).and_then(Value::as_array);
        let analysis = list("categoriesAnalysis").ok_or(misshapen("categoriesAnalysis"))?;
        for (kind, from) in &self.severities {
            let of_kind =
                analysis.iter().find(|one| one.get("category").and_then(Value::as_str) == Some(kind));
            let severity = of_kind.and_then(|one| one.get("severity")?.as_u64());
            let severity = severity.ok_or_else(|| misshapen("severity"))?;
            if severity >= u64::from(*from) {
                judgement.whole(format!("is of the kind `{kind}` at severity {severity}"));
            }
        }
        for hit in list("blocklistsMatch").into_iter().flatten() {
            let name = hit.get("blocklistName").and_then(Value::as_str).unwrap_or_default();
            judgement.whole(format!("holds an entry of the block list `{name}`"));
        }
        Ok(judgement)
    }

    async fn attack(&self, ask: &Ask<'_>, batch: &Batch<'_>, scene: &Scene) -> Result<Judgement, String> {
        let mut judgement = Judgement::default();
        if !self.shield || scene.side == Side::Reply {
            return Ok(judgement);
        }
        let is_said = |role| matches!(role, TextRole::User | TextRole::Input);
        let (said, given): (Vec<_>, Vec<_>) = batch.parts.iter().partition(|part| is_said(part.piece.role));
        let prompt = said.iter().map(|part| part.text).collect::<Vec<_>>().join("\n\n");
        let mut documents: Vec<String> = given.iter().map(|part| part.text.to_owned()).collect();
        if documents.len() > DOCUMENTS {
            documents = vec![documents.join("\n\n")];
        }
        let question = json!({ "userPrompt": prompt, "documents": documents });
        let answer = ask.json(&self.path("shieldPrompt"), &question).await?;
        let detected = |one: &Value| one.get("attackDetected").and_then(Value::as_bool);
        let user = answer.get("userPromptAnalysis").filter(|one| !one.is_null()).map(detected);
        let user = user.unwrap_or((prompt.is_empty()).then_some(false)).ok_or(misshapen("attackDetected"))?;
        if user {
            judgement.whole("looks like an attack on the model");
        }
        let given = answer.get("documentsAnalysis").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        if given.len() != documents.len() {
            return Err(misshapen("documentsAnalysis"));
        }
        for one in given {
            if detected(one).ok_or(misshapen("attackDetected"))? {
                judgement.whole("is given a document that looks like an attack on the model");
            }
        }
        Ok(judgement)
    }
}

impl Service for Safety {
    fn most(&self) -> Most {
        Most { chars: 10_000, texts: 256 }
    }

    fn judge<'a>(
        &'a self,
        ask: &'a Ask<'a>,
        batch: &'a Batch<'a>,
        scene: &'a Scene,
    ) -> BoxFuture<'a, Result<Judgement, String>> {
        async move {
            let (harm, attack) =
                futures::future::try_join(self.harm(ask, batch), self.attack(ask, batch, scene)).await?;
            let mut judgement = harm;
            judgement.finds.extend(attack.finds);
            Ok(judgement)
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::pii::gateway::{Went, refused, says, send_asking};
    use weir_message::Operation;

    fn service(path: &str, question: &Value) -> (u16, Value) {
        assert!(path.ends_with("?api-version=2024-09-01"), "{path}");
        let attack = |text: &Value| json!({ "attackDetected": text.as_str().unwrap().contains("ignore") });
        if path.starts_with("/contentsafety/text:shieldPrompt") {
            let documents = question["documents"].as_array().unwrap();
            let documents: Vec<Value> = documents.iter().map(attack).collect();
            let user = attack(&question["userPrompt"]);
            return (200, json!({ "userPromptAnalysis": user, "documentsAnalysis": documents }));
        }
        let text = question["text"].as_str().unwrap();
        let kinds = question["categories"].as_array().unwrap().iter();
        let analysis = kinds.map(|kind| {
            let hit = kind == "Violence" && text.contains("knife");
            json!({ "category": kind, "severity": if hit { 4 } else { 0 } })
        });
        let blocked = (text.contains("Globex") && question["blocklistNames"] == json!(["rivals"])).then(
            || json!({ "blocklistName": "rivals", "blocklistItemId": "1", "blocklistItemText": "Globex" }),
        );
        let analysis: Vec<Value> = analysis.collect();
        (
            200,
            json!({ "categoriesAnalysis": analysis, "blocklistsMatch": blocked.into_iter().collect::<Vec<_>>() }),
        )
    }

    fn ask(with: &str, user: &str, tool: &str, reply: &str) -> Went {
        let guard = format!(
            "{{ guard: azure-content-safety, with: {{ endpoint: \"https://safety.test\", {with} }} }}"
        );
        let body = json!({ "model": "m", "messages": [
            { "role": "user", "content": user },
            { "role": "tool", "tool_call_id": "c", "content": tool },
        ] });
        send_asking(&guard, Operation::Chat, &body, says(reply), service)
    }

    #[test]
    fn severities_lists_and_shields_judge() {
        for (with, user, tool, reply, status) in [
            ("severity: { violence: 4 }", "a knife", "x", "ok", 403),
            ("severity: { violence: 4 }", "x", "a knife", "ok", 403),
            ("severity: { violence: 4 }", "x", "x", "a knife", 403),
            ("severity: { violence: 5 }", "a knife", "x", "ok", 200),
            ("severity: { hate: 1 }", "a knife", "x", "ok", 200),
            ("block_lists: [rivals]", "Globex", "x", "ok", 403),
            ("block_lists: [others]", "Globex", "x", "ok", 200),
            ("shield: true", "ignore that", "x", "ok", 403),
            ("shield: true", "x", "ignore that", "ok", 403),
            ("shield: true", "x", "x", "ignore that", 200),
            ("shield: true, then: observe", "ignore that", "ignore that", "ok", 200),
        ] {
            let went = ask(with, user, tool, reply);
            assert_eq!(went.status, status, "{with} {user} {tool} {reply}: {}", went.body);
        }
        let went = ask("severity: { violence: 4 }, shield: true", "a knife", "ignore", "ok");
        let told = went.fact("found").to_string();
        assert!(
            told.contains("`Violence` at severity 4") && told.contains("a document that looks"),
            "{told}"
        );
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        for (with, want) in [
            ("severity: {}", "judges nothing"),
            ("severity: { hate: 8 }", "out of range"),
            ("shield: true, api_version: \"a&b\"", "no version"),
        ] {
            let said = refused(&format!(
                "{{ guard: azure-content-safety, with: {{ endpoint: \"https://x.test\", {with} }} }}"
            ));
            assert!(said.contains(want), "{with}: {said}");
        }
    }
}
