use super::gateway::{cut, message, refused, says, send, stream, user};
use serde_json::{Value, json};
use weir_message::{Decision, Operation};

const RESTORE: &str =
    "{ guard: pii, with: { find: [email, phone, card, iban], then: replace, restore: true } }";

fn chat(guard: &str, body: &Value, reply: String) -> super::gateway::Went {
    send(guard, Operation::Chat, body, reply)
}

fn sent(guard: &str, text: &str) -> String {
    let went = chat(guard, &user(text), says("ok"));
    went.sent.unwrap()["messages"][0]["content"].as_str().unwrap().to_owned()
}

#[test]
fn each_action_does_what_it_says() {
    let text = "write to bob@example.com, bob@example.com or li@example.org";
    for (then, want) in [
        ("mask", "write to [EMAIL], [EMAIL] or [EMAIL]"),
        ("replace", "write to <EMAIL_1>, <EMAIL_1> or <EMAIL_2>"),
        ("observe", text),
    ] {
        assert_eq!(sent(&format!("{{ guard: pii, with: {{ find: [email], then: {then} }} }}"), text), want);
    }
    let hashed = sent("{ guard: pii, with: { find: [email], then: hash } }", text);
    let hashes: Vec<&str> = hashed.split("[EMAIL:").skip(1).map(|part| &part[..12]).collect();
    assert!(hashes.len() == 3 && hashes[0] == hashes[1] && hashes[0] != hashes[2], "{hashed}");

    let went = chat("{ guard: pii, with: { find: [email], then: deny } }", &user(text), says("ok"));
    assert_eq!((went.status, went.sent.is_none()), (403, true));
    assert!(went.body.contains("content-denied") && !went.body.contains("bob"), "{}", went.body);
}

#[test]
fn kinds_may_be_treated_apart() {
    let guard = "{ guard: pii, with: { find: [email, national-id, ip], then: mask, then_for: { national-id: replace, ip: observe } } }";
    assert_eq!(sent(guard, "a@x.de, 123-45-6789, 203.0.113.7"), "[EMAIL], <US_SSN_1>, 203.0.113.7");
}

#[test]
fn patterns_of_the_policy_are_found() {
    let guard = "{ guard: pii, with: { find: [], custom: { ticket-no: 'T-\\d{4}' }, then: replace } }";
    assert_eq!(sent(guard, "see T-1234 and T-99"), "see <TICKET_NO_1> and T-99");
}

#[test]
fn originals_come_back_into_the_reply() {
    let went = chat(
        RESTORE,
        &user("write to bob@example.com"),
        says("Done, <EMAIL_1> and <email_1>; not <EMAIL_2>."),
    );
    assert_eq!(went.text(), "Done, bob@example.com and bob@example.com; not <EMAIL_2>.");
    assert!(!went.sent.as_ref().unwrap().to_string().contains("bob"));
    assert_eq!(went.fact("finds"), json!({ "email": 1 }));
    assert_eq!(went.fact("restored"), json!(2));
    assert_eq!(went.trace.stages[0].decision, Decision::Edited);
    assert!(!format!("{:?}", went.trace).contains("bob@"));
}

#[test]
fn what_the_model_says_itself_is_found_and_what_the_client_said_is_not() {
    let reply = says("Ask eve@example.com about <EMAIL_1>, that is bob@example.com.");
    let went = chat(RESTORE, &user("I am bob@example.com"), reply);
    assert_eq!(went.text(), "Ask <EMAIL_2> about bob@example.com, that is bob@example.com.");
    assert_eq!(went.fact("reply_finds"), json!({ "email": 1 }));
    let only_request = "{ guard: pii, with: { find: [email], then: mask, on: [request] } }";
    assert_eq!(chat(only_request, &user("hi"), says("eve@example.com")).text(), "eve@example.com");
    let denies = "{ guard: pii, with: { find: [email], then: deny, on: [reply] } }";
    let went = chat(denies, &user("I am bob@example.com"), says("eve@example.com"));
    assert_eq!((went.status, went.body.contains("eve")), (403, false));
}

#[test]
fn a_placeholder_that_the_user_wrote_is_left_alone() {
    let went = chat(RESTORE, &user("<EMAIL_1> is not bob@example.com"), says("<EMAIL_1> <EMAIL_2>"));
    assert_eq!(went.sent.as_ref().unwrap()["messages"][0]["content"], "<EMAIL_1> is not <EMAIL_2>");
    assert_eq!(went.text(), "<EMAIL_1> bob@example.com");
}

#[test]
fn every_text_of_a_request_is_read() {
    let body = json!({ "model": "m", "messages": [
        { "role": "system", "content": "You serve a@x.de." },
        { "role": "user", "content": [{ "type": "text", "text": "mail é b@x.de" }, { "type": "text", "text": "c@x.de" }] },
        { "role": "assistant", "content": null, "tool_calls": [{ "id": "1", "type": "function", "function": {
            "name": "f", "arguments": "{\"to\":\"d\\u0040x.de\",\"n\":4111111111111111,\"s\":\"\\ne@x.de\"}" } }] },
        { "role": "tool", "tool_call_id": "1", "content": "{\"mail\": \"\\nf@x.de\"}" },
    ] });
    let sent = chat(RESTORE, &body, says("ok")).sent.unwrap();
    let messages = &sent["messages"];
    assert_eq!(messages[0]["content"], "You serve <EMAIL_1>.");
    assert_eq!(messages[1]["content"][0]["text"], "mail é <EMAIL_2>");
    assert_eq!(messages[1]["content"][1]["text"], "<EMAIL_3>");
    let arguments = messages[2]["tool_calls"][0]["function"]["arguments"].as_str().unwrap();
    let arguments: Value = serde_json::from_str(arguments).unwrap();
    assert_eq!(arguments, json!({ "to": "<EMAIL_4>", "n": 0, "s": "\n<EMAIL_5>" }));
    assert_eq!(messages[3]["content"], "{\"mail\": \"\\n<EMAIL_6>\"}");
}

#[test]
fn inputs_to_embed_are_read_and_token_ids_refused_unless_they_may_pass() {
    let reply = || json!({ "object": "list", "model": "m", "data": [] }).to_string();
    let guard = "{ guard: pii, with: { find: [email], then: mask } }";
    let texts = json!({ "model": "m", "input": ["a@x.de", "fine"] });
    let went = send(guard, Operation::Embedding, &texts, reply());
    assert_eq!(went.sent.unwrap()["input"], json!(["[EMAIL]", "fine"]));
    let ids = json!({ "model": "m", "input": [[1, 2, 3]] });
    let went = send(guard, Operation::Embedding, &ids, reply());
    assert_eq!((went.status, went.sent), (403, None));
    let passes = "{ guard: pii, unread: pass, with: { find: [email], then: mask } }";
    assert_eq!(send(passes, Operation::Embedding, &ids, reply()).status, 200);
}

#[test]
fn a_query_and_the_documents_to_rank_are_read() {
    let guard = "{ guard: pii, with: { find: [email], then: mask } }";
    let body =
        json!({ "model": "m", "query": "a@x.de?", "documents": ["b@x.de", { "text": "c@x.de", "n": 1 }] });
    let went = send(guard, Operation::Rerank, &body, json!({ "results": [] }).to_string());
    let sent = went.sent.unwrap();
    assert_eq!(sent["query"], "[EMAIL]?");
    assert_eq!(sent["documents"], json!(["[EMAIL]", { "text": "[EMAIL]", "n": 1 }]));
}

#[test]
fn a_response_gets_its_words_back_wherever_it_repeats_them() {
    let guard = "{ guard: pii, with: { find: [email], then: replace, restore: true } }";
    let said = "to <EMAIL_1> now";
    let item = json!({ "type": "message", "role": "assistant", "content": [{ "type": "output_text", "text": said }] });
    let response = json!({ "id": "resp_1", "status": "completed", "output": [item] });
    for at in 1..said.len() {
        let deltas = cut(said, at).into_iter().map(
            |piece| json!({ "type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": piece }),
        );
        let rest = [
            json!({ "type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": said }),
            json!({ "type": "response.output_item.done", "output_index": 0, "item": item }),
            json!({ "type": "response.completed", "response": response }),
        ];
        let stream: String = deltas.chain(rest).map(|event| format!("data: {event}\n\n")).collect();
        let body = json!({ "model": "m", "stream": true, "input": "mail bob@x.de", "instructions": "be kind to a@x.de" });
        let went = send(guard, Operation::Response, &body, stream);
        let sent = went.sent.unwrap();
        assert_eq!(sent["instructions"], "be kind to <EMAIL_1>");
        assert_eq!(sent["input"], "mail <EMAIL_2>");
        assert!(!went.body.contains("<EMAIL"), "{at}: {}", went.body);
        assert_eq!(went.body.matches("to a@x.de now").count(), 3, "{at}: {}", went.body);
    }
    let body = json!({ "model": "m", "input": "mail a@x.de" });
    let went = send(guard, Operation::Response, &body, response.to_string());
    assert!(went.body.contains("to a@x.de now"), "{}", went.body);
}

#[test]
fn arguments_stay_json_when_quotes_come_back() {
    let guard = "{ guard: pii, with: { find: [], custom: { name: 'Sam \"The Man\" O.Neil' }, then: replace, restore: true } }";
    let body = user("call Sam \"The Man\" O'Neil");
    let arguments = [r#"{"who":"<NAME_1>"}"#, r#"{"who":"\u003cNAME_1\u003e"}"#];
    for arguments in arguments {
        let call = |piece: &str| json!([{ "index": 0, "id": "1", "type": "function", "function": { "name": "f", "arguments": piece } }]);
        let whole = message(&json!({ "role": "assistant", "content": null, "tool_calls": call(arguments) }));
        let mut replies = vec![whole];
        for at in 1..arguments.len() {
            let pieces = cut(arguments, at);
            replies.push(stream(pieces.into_iter().map(|piece| json!({ "tool_calls": call(piece) }))));
        }
        for reply in replies {
            let mut body = body.clone();
            body["stream"] = json!(!reply.starts_with('{'));
            let went = chat(guard, &body, reply);
            let arguments: Value = serde_json::from_str(&went.arguments()).unwrap();
            assert_eq!(arguments, json!({ "who": "Sam \"The Man\" O'Neil" }), "{}", went.body);
        }
    }
}

#[test]
fn streams_are_restored_and_searched_wherever_they_are_cut() {
    let mut body = user("I am bob@example.com, card 4111 1111 1111 1111");
    body["stream"] = json!(true);
    let said = "Hi <EMAIL_1>! Your <card_1> é; ask eve@example.com or +49 30 901820, not <b> or <EMAIL_";
    let want =
        "Hi bob@example.com! Your 4111 1111 1111 1111 é; ask <EMAIL_2> or <PHONE_1>, not <b> or <EMAIL_";
    let whole = chat(RESTORE, &body, stream([json!({ "content": said })]));
    assert_eq!(whole.text(), want);
    for at in 1..said.len() {
        let reply = stream(cut(said, at).into_iter().map(|piece| json!({ "content": piece })));
        assert_eq!(chat(RESTORE, &body, reply).text(), want, "cut at {at}");
    }
    let chars = said.chars().map(|char| json!({ "content": char.to_string() }));
    let went = chat(RESTORE, &body, stream(chars));
    assert_eq!(went.text(), want);
    assert!(went.body.ends_with("data: [DONE]\n\n"));
    assert_eq!(went.fact("restored"), json!(2));
}

#[test]
fn a_find_that_denies_ends_the_stream_before_it() {
    let mut body = user("hi");
    body["stream"] = json!(true);
    let pieces = ["All is well. ", "Write to ev", "e@exam", "ple.com ", "now"]
        .map(|piece| json!({ "content": piece }));
    let went = chat("{ guard: pii, with: { find: [email], then: deny } }", &body, stream(pieces));
    assert!(!went.body.contains("Write to ev") && !went.body.contains("e@exam"), "{}", went.body);
    assert!(went.body.contains("content-denied") && !went.body.contains("[DONE]"), "{}", went.body);
}

#[test]
fn every_kind_is_found_in_streams_as_in_wholes() {
    let said = "AB 12 34 56 C; DE89 3704 0044 0532 0130 00 fine 2001:db8::1, (212) 555-0123 x ghp_abcdefghijklmnopqrstuvwxyz0123456789 BSN: 111222333. \
                -----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg==\n-----END PRIVATE KEY----- ok password: hunter2-X9 5555555555554444";
    let guard =
        "{ guard: pii, with: { find: [email, phone, card, iban, ip, key, national-id], then: mask } }";
    let mut body = user("hi");
    let want = chat(guard, &body, says(said)).text();
    assert_eq!(
        want,
        "[UK_NINO]; [IBAN] fine [IP], [PHONE] x [KEY] BSN: [NL_BSN]. [KEY] ok password: [KEY] [CARD]"
    );
    body["stream"] = json!(true);
    for size in [1, 2, 3, 7, 20] {
        let bytes: Vec<char> = said.chars().collect();
        let pieces = bytes.chunks(size).map(|piece| json!({ "content": piece.iter().collect::<String>() }));
        let got = chat(guard, &body, stream(pieces)).text();
        // The head of a key's block is no secret and may have gone out.
        let got = got.replace("-----BEGIN PRIVATE [KEY]", "[KEY]").replace("-----BEGIN [KEY]", "[KEY]");
        assert_eq!(got, want, "pieces of {size}");
    }
}

#[test]
fn the_model_finds_names_and_places_whole_and_streamed() {
    if std::env::var_os("WEIR_MODELS").is_some_and(|value| value == "none") {
        println!("skipped: WEIR_MODELS=none");
        return;
    }
    let guard = "{ guard: pii, with: { find: [person, place, email], then: replace, restore: true } }";
    let mut body = user("My name is Alex Rivera and my mail is alex@example.com.");
    let reply = "Dear <PERSON_1>, please call Maria Schmidt tomorrow. She is well.";
    let want = "Dear Alex Rivera, please call <PERSON_2> tomorrow. She is well.";
    let went = chat(guard, &body, says(reply));
    assert_eq!(
        went.sent.as_ref().unwrap()["messages"][0]["content"],
        "My name is <PERSON_1> and my mail is <EMAIL_1>."
    );
    assert_eq!(went.text(), want);
    body["stream"] = json!(true);
    let pieces = reply.split_inclusive(' ').map(|piece| json!({ "content": piece }));
    assert_eq!(chat(guard, &body, stream(pieces)).text(), want);
}

#[test]
fn settings_that_cannot_work_are_refused() {
    for (guard, want) in [
        ("{ guard: pii, with: { find: [] } }", "looks for nothing"),
        ("{ guard: pii, with: { find: [emial] } }", "email"),
        ("{ guard: pii, with: { find: [email], custom: { a: '(' } } }", "bad-regex"),
        ("{ guard: pii, with: { find: [], custom: { email: 'x' } } }", "cannot name"),
        ("{ guard: pii, with: { find: [phone], regions: [XX] } }", "no region"),
        ("{ guard: pii, with: { find: [email], on: [] } }", "looks nowhere"),
        ("{ guard: pii, with: { find: [email], min_score: 2 } }", "no share"),
        ("{ guard: pii, with: { find: [person], model: none } }", "missing-model"),
    ] {
        let said = refused(guard);
        assert!(said.contains(want), "{guard}: {said}");
    }
}
