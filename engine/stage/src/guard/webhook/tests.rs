use crate::guard::pii::gateway::{Went, message, refused, says, send_asking, stream, user};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use weir_message::Operation;

fn guard(with: &str) -> String {
    format!("{{ guard: webhook, with: {{ url: \"https://judge.test/v1/judge\"{with} }} }}")
}

fn ask(
    with: &str,
    body: &Value,
    reply: String,
    service: impl Fn(&Value) -> Value + Send + Sync + 'static,
) -> Went {
    send_asking(&guard(with), Operation::Chat, body, reply, move |_, question| (200, service(question)))
}

/// Denies what holds this word, wherever.
fn against(word: &'static str) -> impl Fn(&Value) -> Value + Send + Sync {
    move |question| match question["texts"].to_string().contains(word) {
        true => json!({ "verdict": "deny", "reason": "holds a word", "message": "not that word" }),
        false => json!({ "verdict": "allow" }),
    }
}

/// Puts stars in the place of this word, wherever.
fn stars(word: &'static str) -> impl Fn(&Value) -> Value + Send + Sync {
    move |question| {
        let edits = question["texts"].as_array().unwrap().iter().enumerate().filter_map(|(n, text)| {
            let text = text["text"].as_str().unwrap();
            let start = text[..text.find(word)?].chars().count();
            Some(json!({ "text": n, "start": start, "end": start + word.chars().count(), "with": "***" }))
        });
        json!({ "verdict": "edit", "edits": edits.collect::<Vec<_>>(), "tags": ["starred"] })
    }
}

fn streamed(text: &str) -> Value {
    let mut body = user(text);
    body["stream"] = json!(true);
    body
}

#[test]
fn it_is_asked_with_all_texts_their_places_and_who_calls() {
    let body = json!({ "model": "m", "messages": [
        { "role": "system", "content": "be kind" },
        { "role": "user", "content": [{ "type": "text", "text": "one" }] },
        { "role": "assistant", "content": null, "tool_calls": [{ "id": "c", "type": "function", "function": { "name": "f", "arguments": "{\"to\":\"zw\\u0065i\"}" } }] },
        { "role": "tool", "tool_call_id": "c", "content": "three" },
    ] });
    let went = ask(", on: [request]", &body, says("ok"), against("nothing"));
    let [(headers, question)] = went.asked.as_slice() else { panic!("{:?}", went.asked) };
    let text =
        |role: &str, message: u32, text: &str| json!({ "role": role, "message": message, "text": text });
    let texts = question["texts"].as_array().unwrap();
    for want in [text("system", 0, "be kind"), text("user", 1, "one"), text("tool", 3, "three")] {
        assert!(texts.contains(&want), "{want}: {question}");
    }
    assert!(
        texts
            .iter()
            .any(|text| text["role"] == "arguments" && text["text"].as_str().unwrap().contains("zwei"))
    );
    for (field, want) in [
        ("version", json!(1)),
        ("request", json!("r1")),
        ("side", json!("request")),
        ("stage", json!("webhook")),
        ("model", json!("m")),
        ("operation", json!("chat")),
        ("caller", Value::Null),
    ] {
        assert_eq!(question[field], want, "{field}");
    }
    assert!(headers.contains_key("webhook-id") && headers["webhook-timestamp"] == "1764000000");
    assert!(went.status == 200 && went.sent.is_some());
    let went = ask(", on: [reply], fields: [prompt]", &body, says("fine"), against("nothing"));
    let question = &went.asked[0].1;
    assert_eq!((&question["texts"][0]["text"], &question["model"]), (&json!("fine"), &Value::Null));
    assert!(question["prompt"].to_string().contains("three"), "{question}");
}

#[test]
fn a_denial_refuses_requests_replies_and_streams_wherever_the_word_stands() {
    let call = json!({ "role": "assistant", "tool_calls": [{ "id": "c", "type": "function", "function": { "name": "f", "arguments": "{\"a\":\"rosebud\"}" } }] });
    for (body, reply) in [
        (user("say rosebud"), says("ok")),
        (user("hi"), says("a rosebud")),
        (user("hi"), message(&call)),
        (
            json!({ "model": "m", "messages": [{ "role": "tool", "content": "rosebud", "tool_call_id": "c" }] }),
            says("ok"),
        ),
    ] {
        let went = ask("", &body, reply, against("rosebud"));
        assert_eq!(went.status, 403, "{}", went.body);
        assert!(went.body.contains("not that word") && !went.body.contains("rosebud"), "{}", went.body);
        let reason = went.trace.stages[0].reason.clone().unwrap();
        assert!(reason.contains("is judged by the service: holds a word"), "{reason}");
        let went = ask(", then: observe", &body, says("ok"), against("ok"));
        assert_eq!((went.status, &went.fact("reply_matches")), (200, &json!(1)), "{}", went.body);
    }
    let long = "word ".repeat(200);
    for (text, ends) in [(format!("{long}rosebud"), true), (long.clone(), false)] {
        let pieces = text.split_inclusive(' ').map(|piece| json!({ "content": piece }));
        let went = ask(", asks: { window: 64B }", &streamed("hi"), stream(pieces), against("rosebud"));
        assert_eq!(went.body.contains("content-denied"), ends, "{}", went.body);
        assert!(!went.body.contains("rosebud") && went.asked.len() > 5, "{}", went.asked.len());
        assert_eq!(went.text().len() == text.len(), !ends);
    }
    let went = ask(", message: never", &user("rosebud"), says("ok"), against("rosebud"));
    assert!(went.body.contains("never"), "{}", went.body);
}

#[test]
fn edits_reach_requests_replies_streams_and_json() {
    let went = ask(", edits: true", &user("é rosebud é"), says("ü rosebud ü"), stars("rosebud"));
    assert_eq!(went.sent.as_ref().unwrap()["messages"][0]["content"], "é *** é");
    assert_eq!((went.status, went.text().as_str()), (200, "ü *** ü"));
    assert_eq!(went.trace.tags.iter().map(|tag| &**tag).collect::<Vec<_>>(), ["starred"]);
    let text = "one two rosebud three four rosebud five";
    for at in 1..text.len() {
        let pieces = [&text[..at], &text[at..]].map(|piece| json!({ "content": piece }));
        let with = ", edits: true, on: [reply], asks: { window: 16B }";
        let went = ask(with, &streamed("hi"), stream(pieces), stars("rosebud"));
        // A word that a window cuts is asked about whole with what stands before it.
        let said = went.text();
        assert!(said.starts_with("one two ***") || said.starts_with("one two rosebud"), "{at}: {said}");
        assert!(said.ends_with(" five"), "{at}: {said}");
    }
    let arguments = r#"{"a":"x \"rosebud\" y"}"#;
    let call = json!({ "role": "assistant", "tool_calls": [{ "id": "c", "type": "function", "function": { "name": "f", "arguments": arguments } }] });
    let went = ask(", edits: true", &user("hi"), message(&call), stars("rosebud"));
    assert_eq!(went.arguments(), r#"{"a":"x \"***\" y"}"#);
}

#[test]
fn what_it_may_not_or_cannot_do_is_a_fault() {
    let answers = [
        (json!({ "verdict": "edit", "edits": [{ "text": 0, "with": "x" }] }), "does not let it"),
        (json!({ "verdict": "perhaps" }), "shape"),
        (json!([]), "shape"),
        (json!({ "verdict": "allow", "tags": ["a\nb"] }), "none"),
    ];
    for (answer, why) in answers {
        let went = ask("", &user("rosebud"), says("ok"), move |_| answer.clone());
        assert_eq!((went.status, went.sent.is_none()), (503, true), "{}", went.body);
        let reason = went.trace.stages[0].reason.clone().unwrap();
        assert!(reason.contains(why) && !reason.contains("rosebud"), "{reason}");
    }
    for edit in [
        json!({ "text": 1, "with": "x" }),
        json!({ "text": 0, "start": 3, "end": 9, "with": "x" }),
        json!({ "text": 0, "start": 2, "end": 1, "with": "x" }),
    ] {
        let answer = json!({ "verdict": "edit", "edits": [edit] });
        let went = ask(", edits: true, on: [request]", &user("four"), says("ok"), move |_| answer.clone());
        assert_eq!(went.status, 503, "{}", went.body);
    }
}

#[test]
fn it_is_asked_again_where_it_fails_and_not_where_it_refuses() {
    for (with, statuses, status, asked) in [
        ("", vec![500, 200], 200, 2),
        ("", vec![429, 200], 200, 2),
        (", asks: { tries: 4 }", vec![503, 503, 408, 200], 200, 4),
        (", asks: { tries: 3 }", vec![503, 503, 503, 200], 503, 3),
        (", asks: { tries: 1 }", vec![500, 200], 503, 1),
        ("", vec![400, 200], 503, 1),
        ("", vec![302, 200], 503, 1),
    ] {
        let n = Arc::new(AtomicU32::new(0));
        let answers = statuses.clone();
        let guard = guard(&format!("{with}, on: [request]"));
        let went = send_asking(&guard, Operation::Chat, &user("hi"), says("ok"), move |_, _| {
            let n = n.fetch_add(1, Ordering::Relaxed) as usize;
            (answers.get(n).copied().unwrap_or(500), json!({ "verdict": "allow" }))
        });
        assert_eq!((went.status, went.asked.len()), (status, asked), "{statuses:?}: {}", went.body);
        let id = |n: usize| went.asked[n].0["webhook-id"].clone();
        assert!((1..asked).all(|n| id(n) == id(0)), "one question has one id");
    }
    let skip = guard(", on: [request] }, on_error: skip, name: x").replace(" } }", " }");
    let went = send_asking(&skip, Operation::Chat, &user("hi"), says("ok"), |_, _| (500, Value::Null));
    assert_eq!(went.status, 200, "{}", went.body);
}

#[test]
fn settings_that_cannot_work_are_refused() {
    for (with, want) in [
        (", asks: { tries: 0 }", "`tries` is out of range"),
        (", asks: { deadline: 0s }", "`deadline` is out of range"),
        (", asks: { window: 1B }", "`window` is out of range"),
        (", asks: { headers: { \"a b\": x } }", "cannot stand in a header"),
        (", then: tag", "go together"),
        (", on: []", "looks nowhere"),
        (", edits: maybe", "takes true or false"),
    ] {
        let said = refused(&guard(with));
        assert!(said.contains(want), "{with}: {said}");
    }
    let said = refused("{ guard: webhook, with: { url: ftp://x } }");
    assert!(said.contains("is no URL"), "{said}");
    let said = refused("{ guard: webhook, timeout: 1s, with: { url: \"http://x\" } }");
    assert!(said.contains("ends the stage before"), "{said}");
    let said = refused("{ together: [{ guard: webhook, with: { url: \"http://x\", edits: true } }] }");
    assert!(said.contains("it edits requests"), "{said}");
}
