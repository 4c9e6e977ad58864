use crate::guard::pii::gateway::{Went, cut, refused, says, send, stream, user};
use serde_json::{Value, json};
use weir_message::Operation;

fn chat(guard: &str, body: &Value, reply: String) -> Went {
    send(guard, Operation::Chat, body, reply)
}

#[test]
fn a_match_denies_masks_or_is_replaced() {
    let text = "about Project  Falcon, é, project falcon";
    let denied = chat(
        "{ guard: regex, with: { deny: ['(?i)project\\s+falcon'], message: not that } }",
        &user(text),
        says("ok"),
    );
    assert_eq!((denied.status, denied.sent.is_none()), (403, true));
    assert!(denied.body.contains("not that") && denied.body.contains("content-denied"), "{}", denied.body);
    for (then, want) in [
        ("then: mask", "about [REMOVED], é, [REMOVED]"),
        ("then: replace, replacement: it", "about it, é, it"),
    ] {
        let guard = format!("{{ guard: regex, with: {{ deny: ['(?i)project\\s+falcon'], {then} }} }}");
        let went = chat(&guard, &user(text), says("ok"));
        assert_eq!(went.sent.as_ref().unwrap()["messages"][0]["content"], want);
        assert_eq!(went.fact("matches"), json!(2));
    }
}

#[test]
fn exceptions_roles_and_sides_are_kept() {
    let deny = |more: &str| format!("{{ guard: regex, with: {{ deny: ['https?://\\S+'], {more} }} }}");
    let ours = deny("allow: ['https://docs\\.acme\\.com/\\S*']");
    assert_eq!(chat(&ours, &user("see https://docs.acme.com/a"), says("ok")).status, 200);
    assert_eq!(chat(&ours, &user("see https://evil.example/a"), says("ok")).status, 403);
    let tools = deny("roles: [tool]");
    assert_eq!(chat(&tools, &user("see https://a.example"), says("https://b.example")).status, 200);
    let replies = deny("on: [reply]");
    assert_eq!(chat(&replies, &user("see https://a.example"), says("fine")).status, 200);
    assert_eq!(chat(&replies, &user("hi"), says("https://b.example")).status, 403);
}

#[test]
fn streams_are_searched_over_their_seams() {
    let guard =
        "{ guard: regex, with: { deny: ['secret\\s+word', '^Dear', 'end$'], then: mask, longest: 16 } }";
    let said = "Dear all, the secret  word is end or Dear, and this is the secret word. The end";
    let want = "[REMOVED] all, the [REMOVED] is end or Dear, and this is the [REMOVED]. The [REMOVED]";
    assert_eq!(chat(guard, &user("hi"), says(said)).text(), want);
    let mut body = user("hi");
    body["stream"] = json!(true);
    for at in 1..said.len() {
        let reply = stream(cut(said, at).into_iter().map(|piece| json!({ "content": piece })));
        assert_eq!(chat(guard, &body, reply).text(), want, "cut at {at}");
    }
    let chars = said.chars().map(|char| json!({ "content": char.to_string() }));
    assert_eq!(chat(guard, &body, stream(chars)).text(), want);
    let denies = "{ guard: regex, with: { deny: ['secret\\s+word'] } }";
    let went = chat(denies, &body, stream([json!({ "content": "a secret " }), json!({ "content": "word" })]));
    assert!(!went.body.contains("secret") && went.body.contains("content-denied"), "{}", went.body);
}

#[test]
fn settings_that_cannot_work_are_refused() {
    for (with, want) in [
        ("{ deny: [] }", "no pattern"),
        ("{ deny: ['('] }", "bad-regex"),
        ("{ deny: ['a*'] }", "empty text"),
        ("{ deny: ['(?=a)b'] }", "look-around"),
        ("{ deny: [a], then: replace }", "go together"),
        ("{ deny: [a], longest: 0 }", "out of range"),
    ] {
        let said = refused(&format!("{{ guard: regex, with: {with} }}"));
        assert!(said.contains(want), "{with}: {said}");
    }
}

#[test]
fn what_stands_beside_the_turns_is_read_and_edited_too() {
    let mut body = user("hi");
    body["tools"] = json!([{ "type": "function", "function": { "name": "look", "description": "of falcon",
        "parameters": { "type": "object", "properties": { "who": { "type": "string", "enum": ["falcon"] } } } } }]);
    body["user"] = json!("falcon");
    body["instructions"] = json!("say falcon");
    let guard = |more: &str| format!("{{ guard: regex, with: {{ deny: [falcon], {more} }} }}");
    assert_eq!(chat(&guard("then: deny"), &body, says("ok")).status, 403);
    let went = chat(&guard("then: mask"), &body, says("ok"));
    let sent = went.sent.as_ref().unwrap().to_string();
    assert_eq!((sent.matches("falcon").count(), sent.matches("[REMOVED]").count()), (0, 4), "{sent}");
    for (role, count) in [("definition", 1), ("field", 2), ("input", 1), ("user", 0)] {
        let went = chat(&guard(&format!("then: mask, roles: [{role}]")), &body, says("ok"));
        assert_eq!(went.sent.as_ref().unwrap().to_string().matches("[REMOVED]").count(), count, "{role}");
    }
}
