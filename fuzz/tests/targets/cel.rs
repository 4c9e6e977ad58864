//! CEL: every finding in its place, and what compiles gives the same each time within its budget.

use crate::{assert_in_place, grow, replay};
use bytes::Bytes;
use std::sync::LazyLock;
use weir_diagnostic::{Embedded, Sources};
use weir_message::{Dialect, Operation, Request};
use weir_script::{Expect, Expression, HookKind, ParamTypes, Services, View};

const WORDS: &[&str] = &[
    "request",
    "original",
    "caller",
    "source",
    "now",
    "params",
    "revision",
    "limits",
    "attempt",
    "attempts",
    "reply",
    "event",
    "trace",
    "client",
    "upstream",
    ".text",
    ".all_text",
    ".messages",
    ".headers",
    ".tools",
    ".params",
    ".tokens",
    "[0]",
    "[\"x\"]",
    " == ",
    " != ",
    " < ",
    " >= ",
    " && ",
    " || ",
    "!",
    " in ",
    " ? ",
    " : ",
    " + ",
    " - ",
    " * ",
    " / ",
    " % ",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    "null",
    "true",
    "1",
    "-9223372036854775808",
    "9223372036854775807u",
    "1.5e308",
    "\"é\"",
    "'x'",
    "r\"\\d\"",
    "b'x'",
    "\"\"\"x\"\"\"",
    "\\u00e9",
    ".exists(x, ",
    ".all(x, ",
    ".map(x, ",
    ".filter(x, ",
    "has(",
    "size(",
    ".size()",
    ".contains(",
    ".matches(\"(a+)+\")",
    ".split(\"\")",
    ".join(",
    ".replace(\"a\", \"aa\")",
    ".substring(1)",
    ".getHours(\"Europe/Berlin\")",
    ".inCidr(\"10.0.0.0/8\")",
    "sha256(",
    "json.parse(",
    "tokens(",
    "timestamp(",
    "duration(\"1h\")",
    "int(",
    "double(",
    "string(",
    "dyn(",
    ".stage(\"rate\")",
    "// x\n",
    "𝄞",
];

struct Quarters;

impl Services for Quarters {
    fn count_tokens(&self, _: &str, text: &str) -> u64 {
        text.len().div_ceil(4) as u64
    }

    fn request_tokens(&self, request: &Request) -> u64 {
        request.all_text().len().div_ceil(4) as u64
    }
}

static REQUEST: LazyLock<Request> = LazyLock::new(|| {
    let mut request = Request::new("r1", Dialect::OpenAi, Operation::Chat, "/v1/chat/completions");
    request.raw = Bytes::from_static(
        br#"{"model":"echo","temperature":0.5,"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"write to bob@example.com \u00e9"}],"tools":[{"type":"function","function":{"name":"f","parameters":{}}}]}"#,
    );
    weir_dialect::read_head(&mut request).unwrap();
    weir_dialect::decode(&mut request).unwrap();
    request
});

fn check(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut sources = Sources::default();
    let id = sources.add("x.cel", &*text);
    let embedded = Embedded::whole(&*text, id);
    for hook in HookKind::ALL {
        for expect in [Expect::Bool, Expect::Any] {
            match Expression::compile(&embedded, *hook, expect, &ParamTypes::unknown()) {
                Ok(expression) => evaluate(&expression),
                Err(found) => {
                    assert!(!found.is_empty(), "refused without a word");
                    found.iter().for_each(|found| assert_in_place(&sources, found));
                }
            }
        }
    }
}

fn evaluate(expression: &Expression) {
    let params = serde_json::json!({ "x": 1, "list": ["a", "b"], "text": "é" });
    let view = View { params: &params, ..View::new(&REQUEST, "abc", 1_764_000_000_000_000_000) };
    let first = format!("{:?}", expression.eval(&view, &Quarters));
    assert_eq!(format!("{:?}", expression.eval(&view, &Quarters)), first);
    let explained = expression.eval_explained(&view, &Quarters);
    assert_eq!(format!("{:?}", explained.result), first, "the report tells another value");
    if let Some(constant) = expression.constant() {
        assert_eq!(format!("Ok({constant:?})"), first, "a constant that is none");
    }
}

#[test]
fn cel_corpus() {
    replay("cel", check);
}

#[test]
fn cel_grown() {
    grow("cel", WORDS, check);
}
