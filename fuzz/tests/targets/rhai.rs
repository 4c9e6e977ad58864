//! Rhai: every finding in its place; a script runs within its limits, gives the same each time, and a fault undoes its edits.

use crate::{assert_in_place, grow, replay};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use weir_diagnostic::{Embedded, Sources};
use weir_message::{Dialect, Operation, Reply, Request, Verb};
use weir_script::{ParamTypes, Script, ScriptLimits, ScriptRun};

const WORDS: &[&str] = &[
    "fn request(r) { ",
    "fn reply(r) { ",
    "fn event(e) { ",
    "fn attempt(a) { ",
    "fn end(t) { ",
    "}",
    "{",
    "(",
    ")",
    "[",
    "]",
    ";",
    ",",
    "let x = ",
    "x",
    "r.text",
    "r.system(\"x\");",
    "r.text = ",
    "r.model = \"y\";",
    "r.messages",
    "r.params",
    "r.caller",
    "r.deny(403, \"no\");",
    "r.set_param(\"n\", 1);",
    "r.header(\"x\")",
    "r.set_header(\"x\", \"y\");",
    "loop { ",
    "while true { ",
    "for i in 0..10 { ",
    "if ",
    " else { ",
    "return ",
    "throw 1;",
    "try { ",
    "} catch { ",
    "x += x;",
    "x.push(x);",
    "#{ a: 1 }",
    "|y| y + 1",
    "Fn(\"f\")",
    ".call()",
    "eval(\"1\")",
    "import \"x\"",
    "print(x);",
    "`${r.text}`",
    "\"é\"",
    "'𝄞'",
    "-9223372036854775808",
    "1 / 0",
    "0..9223372036854775807",
    "x[0]",
    ".len()",
    ".trim()",
    ".replace(\"a\", \"b\")",
    "fn f(n) { f(n) }",
    "f(1);",
    "this",
    "// x\n",
    "/* ",
    " == ",
    " + ",
    " * ",
    "()",
];

const BODY: &[u8] =
    br#"{"model":"echo","messages":[{"role":"user","content":"write to bob@example.com \u00e9"}]}"#;
const SAID: &[u8] = br#"{"id":"c","object":"chat.completion","model":"echo","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}"#;

fn request() -> Request {
    let mut request = Request::new("r1", Dialect::OpenAi, Operation::Chat, "/v1/chat/completions");
    request.raw = Bytes::from_static(BODY);
    weir_dialect::read_head(&mut request).unwrap();
    weir_dialect::decode(&mut request).unwrap();
    request
}

fn reply() -> Reply {
    let mut reply = Reply::new(200, Bytes::from_static(SAID));
    weir_dialect::decode_reply(&mut reply, Dialect::OpenAi, Operation::Chat).unwrap();
    reply
}

/// Operations alone end a script here: a clock would make the same script end in different places.
fn limits() -> ScriptRun {
    ScriptRun {
        params: Arc::new(serde_json::json!({ "x": 1, "words": { "a": "b" } })),
        caller: None,
        limits: ScriptLimits { operations: 20_000, wall: Duration::from_secs(1) },
        clock: Arc::new(|| Duration::ZERO),
    }
}

fn check(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut sources = Sources::default();
    let id = sources.add("x.rhai", &*text);
    let embedded = Embedded::whole(&*text, id);
    for verb in [Verb::Guard, Verb::Transform, Verb::Observe] {
        match Script::compile(&embedded, verb, &ParamTypes::unknown()) {
            Ok(script) => run(&script, &sources),
            Err(found) => {
                assert!(!found.is_empty(), "refused without a word");
                found.iter().for_each(|found| assert_in_place(&sources, found));
            }
        }
    }
}

fn run(script: &Script, sources: &Sources) {
    if script.hooks().request {
        let once = || {
            let mut request = request();
            let outcome = script.request(&mut request, &limits());
            let sent = request.outgoing().unwrap_or_default();
            match &outcome {
                // Without an edit the bytes are untouched, and what a fault leaves behind is what was there.
                Ok(outcome) if !outcome.edited => assert_eq!(sent, BODY),
                Err(fault) => {
                    assert_eq!(sent, BODY);
                    assert!(
                        sources
                            .get(fault.span.source)
                            .is_some_and(|source| source.text.get(fault.span.range()).is_some())
                    );
                }
                Ok(_) => assert!(
                    serde_json::from_slice::<serde_json::Value>(&sent).is_ok(),
                    "an edit broke the JSON"
                ),
            }
            (format!("{outcome:?}"), sent)
        };
        assert_eq!(once(), once());
    }
    if script.hooks().reply {
        let request = request();
        let once = || {
            let mut reply = reply();
            let outcome = script.reply(&mut reply, &request, &limits());
            let sent = reply.outgoing();
            if !outcome.as_ref().is_ok_and(|outcome| outcome.edited) {
                assert_eq!(sent, SAID);
            }
            (format!("{outcome:?}"), sent)
        };
        assert_eq!(once(), once());
    }
}

#[test]
fn rhai_corpus() {
    replay("rhai", check);
}

#[test]
fn rhai_grown() {
    grow("rhai", WORDS, check);
}
