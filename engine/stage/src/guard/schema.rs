//! Replies must be JSON that fits a JSON Schema: the policy's, one in a file of the set, or the one that the request asks for.
//!
//! Every choice that says something is read, without its reasoning; choices that only call tools, and refusals in a field of
//! their own, are no answers. A stream is held to its end. An answer in a fence of Markdown is none.
//!
//! ```yaml
//! - guard: schema
//!   with: { schema: { type: object, required: [answer], properties: { answer: { type: string } } } }
//! ```

use super::action::{Judged, Place, Side};
use super::json_schema::JsonSchema;
use super::judging::{Found, Judging, Rules};
use schemars::JsonSchema as Describe;
use serde::Deserialize;
use std::sync::Arc;
use weir_diagnostic::{Code, Diagnostic};
use weir_dialect::{AnswerForm, answer_form};
use weir_message::{Part, Reply};
use weir_pipeline::{Exchange, Stage, Workbench};
use weir_policy::{Node, Spanned, StageDecl};

/// The settings of `guard: schema`.
#[derive(Clone, Debug, Deserialize, Describe)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// The JSON Schema.
    #[schemars(extend("type" = "object"))]
    schema: Option<Node>,
    /// The JSON Schema, in a file of the set (`.schema.json`), relative to this file.
    file: Option<Spanned<String>>,
    /// Whether replies must also be what their request asks for (`response_format` and its like): JSON, or JSON that fits its
    /// schema. Requests that ask for words get words.
    #[serde(default)]
    requested: bool,
    /// What is done with a reply that does not fit.
    #[serde(default)]
    then: Judged,
    /// The tag of `then: tag`.
    tag: Option<String>,
    /// What the client is told of a denial; by default where the reply does not fit.
    message: Option<String>,
}

/// A schema that a request brings has at most this many bytes: it is compiled for each reply.
const REQUESTED: usize = 64 << 10;

/// Checks the settings and compiles the guard.
pub(crate) fn compile(decl: &StageDecl, bench: &mut Workbench<'_>) -> Option<Arc<dyn Stage>> {
    let settings: Settings = bench.settings(decl)?;
    let before = bench.diagnostics.len();
    let schema = JsonSchema::of_settings(settings.schema.as_ref(), settings.file.as_ref(), bench);
    let mut wrong = |message: &str, help: &str| {
        bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(decl.span).help(help));
    };
    if settings.schema.is_none() && settings.file.is_none() && !settings.requested {
        wrong("the guard has no schema", "give it `schema`, `file`, or `requested: true`");
    }
    let on = vec![Side::Reply];
    let action = settings.then.action(&on, settings.tag, &mut wrong);
    if bench.diagnostics.len() > before {
        return None;
    }
    let rules = Answers { schema, requested: settings.requested };
    Some(Judging { rules, on, action, message: settings.message, unread_pass: true }.stage())
}

struct Answers {
    schema: Option<JsonSchema>,
    requested: bool,
}

impl Rules for Answers {
    fn reply(&self, x: &Exchange, reply: &Reply, found: &mut Found) -> Result<(), String> {
        let (wants_json, own) = match self.requested {
            false => (false, None),
            true => match answer_form(&x.request).map_err(|fault| fault.message.to_string())? {
                AnswerForm::Words => (false, None),
                AnswerForm::Json => (true, None),
                AnswerForm::Schema(schema) => (true, Some(own(&schema)?)),
            },
        };
        if self.schema.is_none() && !wants_json {
            return Ok(());
        }
        for (n, choice) in reply.choices().iter().enumerate() {
            let mut said = String::new();
            for part in &choice.parts {
                if let Part::Text(text) = part {
                    said.push_str(text.as_str());
                }
            }
            let is_answer =
                choice.parts.iter().all(|part| !matches!(part, Part::ToolCall(_) | Part::Refusal(_)));
            if said.is_empty() && !is_answer {
                continue;
            }
            match serde_json::from_str(&said) {
                Err(_) => found.add("is no JSON".to_owned(), Place::message(n)),
                Ok(value) => {
                    let misfit = self.schema.iter().chain(&own).find_map(|schema| schema.misfit(&value));
                    if let Some(misfit) = misfit {
                        found.add(format!("does not fit the schema at `{misfit}`"), Place::message(n));
                    }
                }
            }
        }
        Ok(())
    }
}

/// The schema that a request asks for.
fn own(schema: &str) -> Result<JsonSchema, String> {
    if schema.len() > REQUESTED {
        return Err(format!("the schema that the request asks for has more than {REQUESTED} bytes"));
    }
    let value = serde_json::from_str(schema)
        .map_err(|_| "the schema that the request asks for is no JSON".to_owned())?;
    JsonSchema::new(&value).map_err(|error| format!("of what the request asks for, {error}"))
}

#[cfg(test)]
mod tests {
    use crate::guard::pii::gateway::{Went, cut, message, refused, says, send, stream, user};
    use serde_json::{Value, json};
    use weir_message::Operation;

    fn chat(guard: &str, body: &Value, reply: String) -> Went {
        send(guard, Operation::Chat, body, reply)
    }

    const MAIL: &str = "{ guard: schema, with: { file: mail.schema.json } }";

    #[test]
    fn a_reply_fits_or_is_refused_whole_and_streamed() {
        let mut streams = user("hi");
        streams["stream"] = json!(true);
        for (said, reason) in [
            (r#" {"to":"bob"} "#, ""),
            (r#"{"to":1}"#, "the reply does not fit the schema at `/properties/to/type`"),
            ("bob it is", "the reply is no JSON"),
            ("```json\n{\"to\":\"bob\"}\n```", "the reply is no JSON"),
            ("", "the reply is no JSON"),
            (r#"{"to":"bo"#, "the reply is no JSON"),
        ] {
            let went = chat(MAIL, &user("hi"), says(said));
            assert_eq!(went.trace.stages[0].reason.as_deref().unwrap_or_default(), reason, "{said}");
            assert_eq!(went.status, if reason.is_empty() { 200 } else { 403 }, "{said}");
            let pieces = cut(said, said.len() / 2).into_iter().map(|piece| json!({ "content": piece }));
            let went = chat(MAIL, &streams, stream(pieces));
            assert_eq!(went.text(), if reason.is_empty() { said } else { "" }, "{said}");
            assert_eq!(went.body.contains("content-denied"), !reason.is_empty(), "{said}");
        }
        let call =
            json!({ "id": "c", "type": "function", "function": { "name": "look", "arguments": "{}" } });
        for (said, status) in [
            (json!({ "role": "assistant", "content": null, "tool_calls": [call] }), 200),
            (json!({ "role": "assistant", "content": null, "refusal": "no" }), 200),
            (json!({ "role": "assistant", "content": "well", "tool_calls": [call] }), 403),
        ] {
            assert_eq!(chat(MAIL, &user("hi"), message(&said)).status, status, "{said}");
        }
        let observes = "{ guard: schema, with: { file: mail.schema.json, then: observe } }";
        let went = chat(observes, &user("hi"), says("bob"));
        assert_eq!((went.status, went.fact("reply_matches")), (200, json!(1)));
    }

    #[test]
    fn a_reply_is_what_its_request_asks_for() {
        let guard = "{ guard: schema, with: { requested: true } }";
        let asks = |format: Value| {
            let mut body = user("hi");
            body["response_format"] = format;
            body
        };
        let schema = |schema: Value| {
            asks(json!({ "type": "json_schema", "json_schema": { "name": "n", "schema": schema } }))
        };
        let number = schema(json!({ "type": "object", "properties": { "n": { "type": "number" } } }));
        for (body, said, status) in [
            (user("hi"), "words", 200),
            (asks(json!({ "type": "text" })), "words", 200),
            (asks(json!({ "type": "json_object" })), "words", 403),
            (asks(json!({ "type": "json_object" })), "{}", 200),
            (number.clone(), r#"{"n":1}"#, 200),
            (number, r#"{"n":"1"}"#, 403),
            (schema(json!({ "type": "strin" })), "{}", 503),
            (schema(json!({ "$ref": "http://127.0.0.1:1/x" })), "{}", 503),
            (schema(json!({ "description": "x".repeat(70_000) })), "{}", 503),
        ] {
            let went = chat(guard, &body, says(said));
            assert_eq!(went.status, status, "{said}: {}", went.body);
        }
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        for (with, want) in [
            ("{}", "no schema"),
            ("{ schema: { type: strin } }", "at `/type`"),
            ("{ file: none.schema.json }", "there is no file"),
            ("{ schema: {}, then: tag }", "go together"),
        ] {
            let said = refused(&format!("{{ guard: schema, with: {with} }}"));
            assert!(said.contains(want), "{with}: {said}");
        }
    }
}
