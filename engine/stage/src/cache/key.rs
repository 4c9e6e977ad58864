//! What must be the same for one reply to answer two requests.

use serde_json::Value;
use weir_message::{Operation, Request};
use weir_pipeline::Exchange;

/// Fields that do not change the answer: how it is sent, who is charged, what is traced.
const IRRELEVANT: &[&str] = &[
    "stream",
    "stream_options",
    "user",
    "metadata",
    "store",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
];

/// Whether a field of a request does not change the answer.
fn is_irrelevant(operation: Operation, name: &str) -> bool {
    // A response that is stored can be continued by its id.
    IRRELEVANT.contains(&name) && !(operation == Operation::Response && name == "store")
}

/// Why what a request asks cannot be told from its body: a conversation that the provider keeps grows with each turn.
pub(crate) fn lies_elsewhere(request: &Request) -> Option<&'static str> {
    let conversation = request.params.get("conversation").filter(|json| &***json != "null");
    (request.operation == Operation::Response && conversation.is_some())
        .then_some("the conversation is kept by the provider")
}

/// What of a request goes into its key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// All that changes the answer.
    Whole,
    /// The same without what the last user turn says.
    ButLastUserTurn,
}

/// The partition of a subject of `per` in the state's caches: what a purge of it forgets.
pub fn partition(per: &str) -> [u8; 32] {
    *blake3::Hasher::new_derive_key("weir cache partition").update(per.as_bytes()).finalize().as_bytes()
}

/// The key of a request: subject, all below the cache, the placeholders that guards made, and the request's body whatever the order of its keys and its blanks.
pub(crate) fn of(x: &Exchange, per: &str, part: Part) -> Result<[u8; 32], String> {
    let body = x.request.outgoing().map_err(|error| error.to_string())?;
    let mut body: Value =
        serde_json::from_slice(&body).map_err(|_| "the request's body is not JSON".to_owned())?;
    if let Value::Object(fields) = &mut body {
        fields.retain(|name, _| !is_irrelevant(x.request.operation, name));
        if part == Part::ButLastUserTurn {
            blank_last_user_turn(fields, x.request.operation);
        }
    }
    let mut canonical = Vec::with_capacity(1024);
    for text in [x.request.dialect.name(), x.request.operation.name(), x.request.model(), per] {
        spell_text(text, &mut canonical);
    }
    canonical.extend_from_slice(&x.below);
    // What a client wrote itself is not the placeholder that a guard made: the replies to both are told apart.
    canonical.extend_from_slice(&(x.placeholders.len() as u64).to_le_bytes());
    x.placeholders.iter().for_each(|placeholder| spell_text(placeholder, &mut canonical));
    spell(&body, &mut canonical);
    Ok(*blake3::hash(&canonical).as_bytes())
}

fn blank_last_user_turn(fields: &mut serde_json::Map<String, Value>, operation: Operation) {
    let turns = if operation == Operation::Response { "input" } else { "messages" };
    let messages = match fields.get_mut(turns) {
        Some(Value::Array(messages)) => messages,
        // Of a response, all that the user says.
        Some(words @ Value::String(_)) => {
            *words = Value::Null;
            return;
        }
        _ => return,
    };
    let is_user = |message: &&mut Value| message.get("role").and_then(Value::as_str) == Some("user");
    if let Some(Value::Object(message)) = messages.iter_mut().rev().find(is_user) {
        message.insert("content".to_owned(), Value::Null);
    }
}

/// A spelling that is the same for equal values and for no others: keys in order, every length in front.
fn spell(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(b'n'),
        Value::Bool(value) => out.extend_from_slice(if *value { b"t" } else { b"f" }),
        Value::Number(number) => {
            out.push(b'#');
            spell_text(&number.to_string(), out);
        }
        Value::String(text) => {
            out.push(b'"');
            spell_text(text, out);
        }
        Value::Array(items) => {
            out.push(b'[');
            out.extend_from_slice(&(items.len() as u64).to_le_bytes());
            items.iter().for_each(|item| spell(item, out));
        }
        Value::Object(fields) => {
            out.push(b'{');
            out.extend_from_slice(&(fields.len() as u64).to_le_bytes());
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            for (name, value) in fields {
                spell_text(name, out);
                spell(value, out);
            }
        }
    }
}

fn spell_text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u64).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_last_user_turn_alone_is_blanked() {
        let blanked = |operation, mut body: Value| {
            blank_last_user_turn(body.as_object_mut().unwrap(), operation);
            body
        };
        let turns = |last: Value| json!([{ "role": "user", "content": "a" }, { "role": "user", "content": last }, { "role": "system", "content": "c" }]);
        for (operation, body, want) in [
            (
                Operation::Chat,
                json!({ "messages": turns(json!("b")) }),
                json!({ "messages": turns(Value::Null) }),
            ),
            (
                Operation::Response,
                json!({ "input": turns(json!("b")) }),
                json!({ "input": turns(Value::Null) }),
            ),
            (
                Operation::Response,
                json!({ "input": "b", "instructions": "i" }),
                json!({ "input": null, "instructions": "i" }),
            ),
            (Operation::Chat, json!({ "input": "b" }), json!({ "input": "b" })),
            (
                Operation::Response,
                json!({ "messages": turns(json!("b")) }),
                json!({ "messages": turns(json!("b")) }),
            ),
        ] {
            assert_eq!(blanked(operation, body), want);
        }
    }

    #[test]
    fn equal_values_have_one_spelling_and_others_another() {
        let spelt = |value: &Value| {
            let mut out = Vec::new();
            spell(value, &mut out);
            out
        };
        let one: Value = serde_json::from_str(r#"{"a":[1,"x"],"b":{"c":null}}"#).unwrap();
        let same: Value = serde_json::from_str(r#"{ "b":{"c":null}, "a":[1, "\u0078"] }"#).unwrap();
        assert_eq!(spelt(&one), spelt(&same));
        for other in [
            json!({"a":[1,"x"],"b":{"c":0}}),
            json!({"a":[1],"b":{"c":null}}),
            json!(["a", "b"]),
            json!(["ab"]),
        ] {
            assert_ne!(spelt(&one), spelt(&other));
        }
        assert_ne!(spelt(&json!(["a", "b"])), spelt(&json!(["ab"])));
        assert_ne!(spelt(&json!([[1], 2])), spelt(&json!([[1, 2]])));
    }
}
