//! Personal data: what was replaced on the way out comes back the same from a provider that repeats it, whole or streamed in
//! pieces of any size; what is only observed is not touched; what was masked is gone.

use crate::policy::build;
use crate::{grow, replay};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;
use weir_message::{Dialect, Operation, Request};
use weir_pipeline::{Answer, Call, CallError, Clock, Gateway, NoSink, Plan, ResponseBody, Upstream, handle};
use weir_state::State;

const WORDS: &[&str] = &[
    "bob@example.com",
    "li.wei+x@mail.example.org",
    "@",
    ".",
    "4111 1111 1111 1111",
    "5500-0000-0000-0004",
    "DE89 3704 0044 0532 0130 00",
    "+49 30 901820",
    "(212) 555-0142",
    "203.0.113.7",
    "2001:db8::1",
    "::",
    "123-45-6789",
    "AB123456C",
    "12345678Z",
    "RSSMRA85T10A562S",
    "44051401359",
    "19811218-9876",
    "529.982.247-25",
    "sk-",
    "sk-abcdefghijklmnopqrstuvwxyz123456",
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_",
    "password: hunter2hunter2",
    "-----BEGIN PRIVATE KEY-----",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "<EMAIL_1>",
    "<email_1>",
    "<PHONE_2>",
    "<",
    ">",
    "_1>",
    "EMAIL",
    "\\u003c",
    "\\n",
    "\"",
    "{\"to\": \"",
    "é",
    "𝄞",
    "\u{200b}",
    "０１２",
    " ",
    "\n",
    "0",
    "-",
];

const KINDS: &str = "[email, phone, card, iban, ip, key, national-id]";

fn plan(settings: &str) -> Arc<Plan> {
    let built = build(&format!(
        "weir: v1\nproviders:\n  a: {{ dialect: openai, base_url: http://127.0.0.1:1/v1 }}\nmodels:\n  m: {{ targets: [{{ provider: a, model: m }}] }}\n\
         pipelines:\n  - pipeline: p\n    anonymous: true\n    stages:\n      - guard: pii\n        with: {{ find: {KINDS}, on: [request], {settings} }}\n"
    ));
    let said = weir_diagnostic::render(&built.sources, &built.diagnostics, false);
    Arc::new(built.plan.unwrap_or_else(|| panic!("{said}")))
}

static RESTORE: LazyLock<Arc<Plan>> = LazyLock::new(|| plan("then: replace, restore: true"));
static OBSERVE: LazyLock<Arc<Plan>> = LazyLock::new(|| plan("then: observe"));
static MASK: LazyLock<Arc<Plan>> = LazyLock::new(|| plan("then: mask"));

/// A provider that repeats the last turn, streamed in pieces of so many characters if it is asked for a stream.
struct Parrot {
    piece: usize,
    heard: Mutex<String>,
}

impl Upstream for Parrot {
    fn send(&self, call: Call) -> BoxFuture<'_, Result<Answer, CallError>> {
        let body: Value = serde_json::from_slice(&call.body).expect("what is sent is JSON");
        let text =
            body.pointer("/messages/0/content").and_then(Value::as_str).expect("what is sent has the turn");
        text.clone_into(&mut self.heard.lock().unwrap());
        let streamed = body.get("stream").and_then(Value::as_bool).unwrap_or(false);
        let (kind, reply) = match streamed {
            false => ("application/json", whole(text)),
            true => ("text/event-stream", stream(text, self.piece)),
        };
        let mut headers = HeaderMap::new();
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(kind));
        let body = futures::stream::iter([Ok(Bytes::from(reply))]).boxed();
        futures::future::ready(Ok(Answer { status: 200, headers, body })).boxed()
    }
}

fn whole(text: &str) -> String {
    let choices =
        json!([{ "index": 0, "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }]);
    json!({ "id": "c", "object": "chat.completion", "model": "m", "choices": choices }).to_string()
}

fn stream(text: &str, piece: usize) -> String {
    let event = |delta: Value, finish: Value| {
        let choices = json!([{ "index": 0, "delta": delta, "finish_reason": finish }]);
        format!("data: {}\n\n", json!({ "id": "c", "object": "chat.completion.chunk", "choices": choices }))
    };
    let characters: Vec<char> = text.chars().collect();
    let mut out: String = characters
        .chunks(piece)
        .map(|piece| event(json!({ "content": piece.iter().collect::<String>() }), Value::Null))
        .collect();
    out.push_str(&event(json!({}), json!("stop")));
    out.push_str("data: [DONE]\n\n");
    out
}

struct Still;

impl Clock for Still {
    fn now(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn unix_nanos(&self) -> i64 {
        1_764_000_000_000_000_000
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        futures::future::pending().boxed()
    }
}

/// What the provider heard and what the client was told.
struct Told {
    status: u16,
    heard: String,
    text: String,
}

fn tell(plan: &Arc<Plan>, text: &str, piece: Option<usize>) -> Told {
    let parrot = Arc::new(Parrot { piece: piece.unwrap_or(1), heard: Mutex::default() });
    let gateway = Arc::new(Gateway {
        upstream: Arc::clone(&parrot) as Arc<dyn Upstream>,
        clock: Arc::new(Still),
        state: Arc::new(State::default()),
        sink: Arc::new(NoSink),
        seed: 7,
    });
    let mut request = Request::new("r1", Dialect::OpenAi, Operation::Chat, "/v1/chat/completions");
    let body =
        json!({ "model": "m", "stream": piece.is_some(), "messages": [{ "role": "user", "content": text }] });
    request.raw = Bytes::from(body.to_string());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (status, body) = runtime.block_on(async {
        let response = handle(&gateway, Arc::clone(plan), request).await;
        let body = match response.body {
            ResponseBody::Whole(bytes) => bytes.to_vec(),
            ResponseBody::Stream(stream) => stream.collect::<Vec<_>>().await.concat(),
        };
        (response.status, String::from_utf8(body).expect("what clients get is UTF-8"))
    });
    let part = |json: &str, pointer: &str| {
        let value: Value = serde_json::from_str(json).ok()?;
        Some(value.pointer(pointer)?.as_str()?.to_owned())
    };
    let text = match piece {
        None => part(&body, "/choices/0/message/content").unwrap_or_default(),
        Some(_) => body
            .lines()
            .filter_map(|line| part(line.strip_prefix("data: ")?, "/choices/0/delta/content"))
            .collect(),
    };
    let heard = std::mem::take(&mut *parrot.heard.lock().unwrap());
    Told { status, heard, text }
}

fn check(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let first = tell(&RESTORE, &text, None);
    assert_eq!((first.status, first.text.as_str()), (200, &*text), "sent as {:?}", first.heard);
    for piece in [1, 2, 5, 64] {
        let streamed = tell(&RESTORE, &text, Some(piece));
        assert_eq!(streamed.heard, first.heard, "a stream is asked for with other words");
        assert_eq!(streamed.text, *text, "in pieces of {piece}, sent as {:?}", streamed.heard);
    }
    assert_eq!(tell(&OBSERVE, &text, None).heard, *text, "what is only observed was touched");
    let masked = tell(&MASK, &text, None).heard;
    if first.heard == *text {
        assert_eq!(masked, *text, "one finds what the other does not");
    }
    // Standing alone: glued to other letters it may be no address at all.
    assert!(
        masked.split_whitespace().all(|word| word != "bob@example.com"),
        "an address was sent: {masked:?}"
    );
}

#[test]
fn pii_corpus() {
    replay("pii", check);
}

#[test]
fn pii_grown() {
    grow("pii", WORDS, check);
}
