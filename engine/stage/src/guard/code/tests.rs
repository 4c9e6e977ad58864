use crate::guard::pii::gateway::{Went, cut, message, refused, says, send, stream, user};
use serde_json::{Value, json};
use weir_message::Operation;

fn ask(with: &str, body: &Value, reply: String) -> Went {
    send(&format!("{{ guard: code, with: {{ {with} }} }}"), Operation::Chat, body, reply)
}

const PY: &str = "so:\n```python\nprint(1)\n```\nthere";
const SH: &str = "so:\n```\nsudo echo hi\n```\nthere";
const BARE: &str = "so:\nimport os\nx = os.getcwd()\nprint(x)\nthere it is.";

#[test]
fn code_is_refused_by_its_language_in_requests_and_replies() {
    for (with, text, status) in [
        ("", PY, 403),
        ("", SH, 403),
        ("", "no code, `inline()` alone", 200),
        ("", "```\njust words in a box\n```", 200),
        ("", "```json\n{}\n```", 200),
        ("deny: [json]", "```json\n{}\n```", 403),
        ("deny: [shell]", PY, 200),
        ("deny: [bash]", SH, 403),
        ("allow: [py]", PY, 200),
        ("allow: [python]", SH, 403),
        ("allow: [python]", "```brainfuck\n+++\n```", 403),
        ("allow: [python], deny: [python]", PY, 403),
        ("", BARE, 200),
        ("unfenced: true", BARE, 403),
        ("unfenced: true, allow: [python]", BARE, 200),
        ("then: observe", PY, 200),
        ("roles: [system]", PY, 200),
    ] {
        let went = ask(&format!("on: [request], {with}").replace(", }", " }"), &user(text), says("ok"));
        assert_eq!(went.status, status, "{with} {text:?}: {}", went.body);
        if !with.contains("roles") {
            assert_eq!(ask(with, &user("hi"), says(text)).status, status, "{with} {text:?}");
        }
    }
    let call = json!({ "role": "assistant", "tool_calls": [{ "id": "c", "type": "function", "function": { "name": "f", "arguments": "{\"text\":\"```sh\\nrm -rf /\\n```\"}" } }] });
    assert_eq!(ask("deny: [shell]", &user("hi"), message(&call)).status, 403);
    let went = ask("then: mask", &user("hi"), says(PY));
    assert_eq!(went.text(), "so:\n[REMOVED]\nthere");
    let went = ask("deny: [shell], then: observe", &user("hi"), says(SH));
    assert_eq!(went.fact("reply_found")[0]["what"], "holds code in `shell`");
}

#[test]
fn of_a_stream_a_block_goes_out_whole_or_not_at_all() {
    let mut body = user("hi");
    body["stream"] = json!(true);
    for (with, text, want) in [
        ("deny: [python], then: mask", PY, "so:\n[REMOVED]\nthere"),
        ("deny: [shell], then: mask", PY, PY),
        ("then: mask", "```sh\nls -l | wc\n", "[REMOVED]"),
        ("unfenced: true, then: mask", BARE, "so:\n[REMOVED]\nthere it is."),
    ] {
        for at in 1..text.len() {
            let pieces = cut(text, at).into_iter().map(|piece| json!({ "content": piece }));
            let went = ask(&format!("{with}, on: [reply]"), &body, stream(pieces));
            assert_eq!(went.text(), want, "{with} {at}");
        }
        let pieces = text.chars().map(|one| json!({ "content": one.to_string() }));
        assert_eq!(ask(&format!("{with}, on: [reply]"), &body, stream(pieces)).text(), want, "{with}");
    }
    let pieces = ["a\n```", "py\nprint", "(1)\n", "```\nb"].map(|piece| json!({ "content": piece }));
    let went = ask("", &body, stream(pieces));
    assert!(went.body.contains("content-denied") && !went.body.contains("print"), "{}", went.body);
}

#[test]
fn settings_that_cannot_work_are_refused() {
    for (with, want) in [
        ("allow: [pythn]", "did you mean `python`"),
        ("then: replace", "go together"),
        ("on: []", "looks nowhere"),
    ] {
        let said = refused(&format!("{{ guard: code, with: {{ {with} }} }}"));
        assert!(said.contains(want), "{with}: {said}");
    }
}
