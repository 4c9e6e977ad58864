//! Lakera Guard judges a conversation by the policy of a project: attacks on the model, personal data, content, unknown links.
//!
//! With `then: mask` the personal data that it points at is replaced by its kind; other finds deny. A server of your own with the same
//! API serves as well (`url`).
//!
//! ```yaml
//! - guard: lakera
//!   with: { key: "${env:LAKERA_API_KEY}", project: project-1234, then: mask }
//! ```

use super::action::{Role, Side, both};
use super::service::ask::{Ask, Asks, Line, Proof};
use super::service::batch::{Batch, Most, bytes};
use super::service::{Asking, Judgement, Masking, Scene, Service, misshapen};
use futures::FutureExt;
use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use weir_diagnostic::{Code, Diagnostic};
use weir_message::TextRole;
use weir_pipeline::{Stage, Workbench};
use weir_policy::{Secret, StageDecl};

/// The settings of `guard: lakera`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Where the service is, path included.
    #[serde(default = "url")]
    url: String,
    /// The key, shown as a bearer token.
    key: Option<Secret>,
    /// The project whose policy judges; that of the key if not said.
    project: Option<String>,
    /// How it is asked.
    #[serde(default)]
    asks: Asks,
    /// Which way it looks: at what clients send, at what models say.
    #[serde(default = "both")]
    on: Vec<Side>,
    /// Whose texts it is shown; all if none is named.
    #[serde(default)]
    roles: Vec<Role>,
    /// What is done with what it flags.
    #[serde(default)]
    then: Masking,
    /// The tag of `then: tag`.
    tag: Option<String>,
    /// What the client is told of a denial.
    message: Option<String>,
}

fn url() -> String {
    "https://api.lakera.ai/v2/guard".to_owned()
}

/// Checks the settings and compiles the guard.
pub(crate) fn compile(decl: &StageDecl, bench: &mut Workbench<'_>) -> Option<Arc<dyn Stage>> {
    let settings: Settings = bench.settings(decl)?;
    let before = bench.diagnostics.len();
    let (action, edits) = settings.then.action(&settings.on, settings.tag, |message, help| {
        bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(decl.span).help(help));
    });
    let shown = settings.key.iter().map(|key| ("authorization", "Bearer ", key)).collect();
    let line = Line::compile(&settings.url, decl.span, &settings.asks, Proof::Headers(shown), decl, bench);
    if bench.diagnostics.len() > before {
        return None;
    }
    let asking = Asking {
        service: Box::new(Lakera { project: settings.project }),
        line: line?,
        on: settings.on,
        roles: settings.roles,
        action,
        edits,
        message: settings.message.or_else(|| Some("the text is of a kind that is not allowed".to_owned())),
    };
    Some(asking.stage(decl))
}

struct Lakera {
    project: Option<String>,
}

/// The role of a message that holds such a text.
fn role(role: TextRole) -> &'static str {
    match role {
        TextRole::System | TextRole::Definition => "system",
        TextRole::User | TextRole::Input | TextRole::Field => "user",
        TextRole::Tool => "tool",
        TextRole::Assistant | TextRole::Arguments | TextRole::Reasoning | TextRole::Refusal => "assistant",
    }
}

fn number(value: &Value, name: &str) -> Option<usize> {
    usize::try_from(value.get(name)?.as_u64()?).ok()
}

impl Lakera {
    fn read(answer: &Value, batch: &Batch<'_>) -> Result<Judgement, String> {
        let mut judgement = Judgement::default();
        if !answer.get("flagged").and_then(Value::as_bool).ok_or(misshapen("flagged"))? {
            return Ok(judgement);
        }
        let list = |name: &str| answer.get(name).and_then(Value::as_array).into_iter().flatten();
        let kind = |one: &Value| one.get("detector_type").and_then(Value::as_str).map(str::to_owned);
        let mut pointed: Vec<String> = Vec::new();
        for one in list("payload") {
            let kind = kind(one).unwrap_or_else(|| "unknown".to_owned());
            let place = || {
                let message = number(one, "message_id").unwrap_or(0);
                let (start, end) = (number(one, "start")?, number(one, "end")?);
                let text = batch.parts.get(message)?.text;
                (start < end && end <= text.chars().count()).then(|| (message, bytes(text, start..end)))
            };
            let Some((message, bytes)) = place() else { continue };
            let name = kind.rsplit('/').next().unwrap_or(&kind).to_uppercase();
            judgement.span(message, bytes, format!("holds what `{kind}` finds"), format!("[{name}]"));
            pointed.push(kind);
        }
        for one in list("breakdown").filter(|one| one.get("detected").and_then(Value::as_bool) == Some(true))
        {
            let kind = kind(one).unwrap_or_else(|| "unknown".to_owned());
            if pointed.contains(&kind) {
                continue;
            }
            let what = format!("is flagged as `{kind}`");
            match number(one, "message_id").filter(|message| *message < batch.parts.len()) {
                Some(message) => judgement.part(message, what),
                None => judgement.whole(what),
            }
        }
        if judgement.finds.is_empty() {
            judgement.whole("is flagged");
        }
        Ok(judgement)
    }
}

impl Service for Lakera {
    fn most(&self) -> Most {
        Most { chars: 30_000, texts: 128 }
    }

    fn judge<'a>(
        &'a self,
        ask: &'a Ask<'a>,
        batch: &'a Batch<'a>,
        _: &'a Scene,
    ) -> BoxFuture<'a, Result<Judgement, String>> {
        async move {
            let message = |text: &str, of: TextRole| json!({ "role": role(of), "content": text });
            let messages: Vec<Value> =
                batch.parts.iter().map(|part| message(part.text, part.piece.role)).collect();
            let mut question = json!({ "messages": messages, "breakdown": true, "payload": true });
            if let (Some(project), Some(fields)) = (&self.project, question.as_object_mut()) {
                fields.insert("project_id".to_owned(), json!(project));
            }
            Self::read(&ask.json("", &question).await?, batch)
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::pii::gateway::{Went, says, send_asking};
    use weir_message::Operation;

    fn service(path: &str, question: &Value) -> (u16, Value) {
        assert_eq!(path, "");
        let mut breakdown = Vec::new();
        let mut payload = Vec::new();
        for (n, message) in question["messages"].as_array().unwrap().iter().enumerate() {
            let text = message["content"].as_str().unwrap();
            let attack = text.contains("ignore");
            breakdown.push(json!({ "detector_type": "prompt_attack", "detected": attack, "message_id": n }));
            let mail = text.find("bob@x.test").map(|at| text[..at].chars().count());
            breakdown
                .push(json!({ "detector_type": "pii/email", "detected": mail.is_some(), "message_id": n }));
            payload.extend(mail.map(|at| json!({ "start": at, "end": at + 10, "text": "bob@x.test", "detector_type": "pii/email", "labels": [], "message_id": n })));
        }
        let flagged = breakdown.iter().any(|one| one["detected"] == true);
        (
            200,
            json!({ "flagged": flagged, "breakdown": breakdown, "payload": payload, "metadata": { "request_uuid": "u" } }),
        )
    }

    fn ask(with: &str, user: &str, tool: &str, reply: &str) -> Went {
        let guard = format!("{{ guard: lakera, with: {{ project: p1{with} }} }}");
        let body = json!({ "model": "m", "messages": [
            { "role": "system", "content": "be kind" }, { "role": "user", "content": user },
            { "role": "tool", "tool_call_id": "c", "content": tool },
        ] });
        send_asking(&guard, Operation::Chat, &body, says(reply), service)
    }

    #[test]
    fn what_it_flags_is_refused_or_masked_where_it_points_at_it() {
        for (with, user, tool, reply, status) in [
            ("", "hello", "x", "ok", 200),
            ("", "ignore it", "x", "ok", 403),
            ("", "x", "ignore it", "ok", 403),
            ("", "x", "x", "ignore it", 403),
            ("", "bob@x.test", "x", "ok", 403),
            (", then: mask", "bob@x.test", "x", "bob@x.test", 200),
            (", then: mask", "bob@x.test", "ignore it", "ok", 403),
            (", then: observe", "ignore it", "x", "ok", 200),
        ] {
            let went = ask(with, user, tool, reply);
            assert_eq!(went.status, status, "{with} {user} {tool} {reply}: {}", went.body);
        }
        let went = ask(", then: mask", "é bob@x.test é", "x", "to bob@x.test");
        assert_eq!(went.sent.as_ref().unwrap()["messages"][1]["content"], "é [EMAIL] é");
        assert_eq!(went.text(), "to [EMAIL]");
        let question = &went.asked[0].1;
        assert_eq!((&question["project_id"], &question["payload"]), (&json!("p1"), &json!(true)));
        let roles: Vec<&Value> =
            question["messages"].as_array().unwrap().iter().map(|one| &one["role"]).collect();
        assert!(roles.starts_with(&[&json!("system"), &json!("user"), &json!("tool")]), "{question}");
        let told = ask("", "x", "ignore it", "ok").fact("found");
        assert_eq!(
            told[0],
            json!({ "what": "is flagged as `prompt_attack`", "role": "tool", "message": 2, "count": 1 })
        );
    }

    #[test]
    fn a_flag_alone_is_enough_and_another_shape_is_a_fault() {
        for (answer, status) in
            [(json!({ "flagged": true }), 403), (json!({ "flagged": false }), 200), (json!({}), 503)]
        {
            let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] });
            let guard = "{ guard: lakera, with: { on: [request] } }";
            let went =
                send_asking(guard, Operation::Chat, &body, says("ok"), move |_, _| (200, answer.clone()));
            assert_eq!(went.status, status, "{}", went.body);
        }
    }
}
