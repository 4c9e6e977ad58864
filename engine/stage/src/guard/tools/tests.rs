use super::*;
use crate::guard::pii::gateway::{Went, message, refused, says, send, stream, user};
use serde_json::{Value, json};
use weir_message::Operation;

fn chat(guard: &str, body: &Value, reply: String) -> Went {
    send(guard, Operation::Chat, body, reply)
}

fn call(name: &str, arguments: &str) -> Value {
    json!({ "index": 0, "id": "c", "type": "function", "function": { "name": name, "arguments": arguments } })
}

fn calls(name: &str, arguments: &str) -> String {
    message(&json!({ "role": "assistant", "content": null, "tool_calls": [call(name, arguments)] }))
}

/// What the trace says was found in the reply.
fn reason(went: &Went) -> &str {
    went.trace.stages[0].reason.as_deref().unwrap_or_default()
}

#[test]
fn a_name_fits_its_pattern() {
    for (pattern, name, fits) in [
        ("send", "send", true),
        ("send", "sender", false),
        ("mail_*", "mail_send", true),
        ("mail_*", "email_send", false),
        ("*_delete", "db_delete", true),
        ("a*b*c", "a1b2c", true),
        ("a*b*c", "a1c", false),
        ("*", "", true),
        ("a*a", "a", false),
    ] {
        assert_eq!(Pattern::new(pattern).fits(name), fits, "{pattern} {name}");
    }
}

#[test]
fn tools_that_are_not_allowed_are_neither_offered_nor_called() {
    let guard = "{ guard: tools, with: { allow: [search, 'mail_*'], deny: [mail_delete] } }";
    let offers = |name: &str| {
        let mut body = user("hi");
        body["tools"] = json!([{ "type": "function", "function": { "name": name, "parameters": {} } }]);
        body
    };
    for (name, status) in
        [("search", 200), ("mail_send", 200), ("mail_delete", 403), ("shell", 403), ("x y", 403)]
    {
        let went = chat(guard, &offers(name), says("ok"));
        assert_eq!((went.status, went.sent.is_none()), (status, status == 403), "{name}: {}", went.body);
        let went = chat(guard, &user("hi"), calls(name, "{}"));
        assert_eq!(went.status, status, "{name}: {}", went.body);
        assert!(!went.trace.stages[0].reason.clone().unwrap_or_default().contains("x y"));
    }
    let went = chat(guard, &user("hi"), calls("shell", "{}"));
    assert_eq!(reason(&went), "the reply calls the tool `shell`, which is not allowed");
    let mut body = user("hi");
    body["messages"] = json!([
        { "role": "user", "content": "hi" },
        { "role": "assistant", "content": null, "tool_calls": [call("shell", "{}")] },
        { "role": "tool", "tool_call_id": "c", "content": "done" }
    ]);
    assert_eq!(chat(guard, &body, says("ok")).status, 403);
    let replies = "{ guard: tools, with: { allow: [search], on: [reply] } }";
    assert_eq!(chat(replies, &body, says("ok")).status, 200);
    let went = chat(
        "{ guard: tools, with: { allow: [search], then: tag, tag: odd } }",
        &user("hi"),
        calls("shell", "{}"),
    );
    assert_eq!((went.status, went.trace.tags.len()), (200, 1));
}

#[test]
fn arguments_fit_schema_rule_and_offer_and_hold_no_secret() {
    let rules = "{ guard: tools, with: { calls: { 'mail*': { file: mail.schema.json, cel: 'call.args.to.endsWith(\"@acme.com\") && request.model == \"m\"' } }, secrets: true } }";
    for (name, arguments, want) in [
        ("mail", r#"{"to":"bob@acme.com"}"#, ""),
        ("mail", r#"{"to":"bob@evil.com"}"#, "that a rule does not allow"),
        ("mail", r#"{"to":1}"#, "do not fit its schema at `/properties/to/type`"),
        ("mail", r#"{"to":"bob@acme.com""#, "are no JSON"),
        ("other", r#"{"to":1}"#, ""),
        ("other", r#"{"k":"ghp_abcdefghijklmnopqrstuvwxyz0123456789"}"#, "holds a key of GitHub"),
        ("other", r#"{"k":"\u0067hp_abcdefghijklmnopqrstuvwxyz0123456789"}"#, "holds a key of GitHub"),
    ] {
        let went = chat(rules, &user("hi"), calls(name, arguments));
        let told = serde_json::to_string(&went.trace.stages[0].facts).unwrap() + reason(&went);
        match want {
            "" => assert_eq!(went.status, 200, "{arguments}: {told}"),
            want => assert!(went.status == 403 && told.contains(want), "{arguments}: {told}"),
        }
        assert!(!told.contains("ghp_") && !told.contains("evil.com"), "{told}");
    }
    let mut body = user("hi");
    body["tools"] = json!([{ "type": "function", "function": { "name": "add", "parameters":
        { "type": "object", "properties": { "n": { "type": "integer" } } } } }]);
    let offered = "{ guard: tools, with: { offered: true } }";
    for (name, arguments, status) in
        [("add", r#"{"n":1}"#, 200), ("add", r#"{"n":"1"}"#, 403), ("sub", "{}", 403)]
    {
        let went = chat(offered, &body, calls(name, arguments));
        assert_eq!(went.status, status, "{name} {arguments}: {}", went.body);
    }
    body["tools"][0]["function"]["parameters"] = json!({ "type": "wrong" });
    assert_eq!(chat(offered, &body, calls("add", "{}")).status, 503);
}

#[test]
fn of_a_streamed_call_nothing_goes_out_before_it_is_judged() {
    let guard = "{ guard: tools, with: { deny: [shell] } }";
    let mut body = user("hi");
    body["stream"] = json!(true);
    for (name, passes) in [("look", true), ("shell", false)] {
        let pieces = [
            json!({ "content": "wait" }),
            json!({ "tool_calls": [call(name, "{\"a\"")] }),
            json!({ "tool_calls": [call("", ":1}")] }),
        ];
        let went = chat(guard, &body, stream(pieces));
        assert_eq!(
            (went.arguments() == "{\"a\":1}", went.body.contains("wait")),
            (passes, passes),
            "{}",
            went.body
        );
        assert_eq!(went.body.contains("content-denied"), !passes);
    }
}

#[test]
fn settings_that_cannot_work_are_refused() {
    for (with, want) in [
        ("{}", "no rule"),
        ("{ calls: { a: {} } }", "asks for nothing"),
        ("{ calls: { a: { schema: { type: strin } } } }", "JSON Schema does not work"),
        ("{ calls: { a: { schema: { type: object }, file: mail.schema.json } } }", "another in a file"),
        ("{ calls: { a: { file: list.txt } } }", "is no JSON"),
        ("{ calls: { a: { cel: 'call.arg.to == 1' } } }", "call.arg"),
        ("{ calls: { a: { cel: 'reply.text == \"\"' } } }", "reply"),
        ("{ allow: [a], then: tag }", "go together"),
    ] {
        let said = refused(&format!("{{ guard: tools, with: {with} }}"));
        assert!(said.contains(want), "{with}: {said}");
    }
}
