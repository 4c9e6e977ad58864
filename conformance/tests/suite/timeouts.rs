//! How long things may take: each limit has a setting, and ends what is over it with an error that says so.

use serde_json::json;
use std::time::Duration;
use weir_conformance::harness::{Gateway, Provider, Set, chat, entry, eventually, request};
use weir_conformance::upstream::{Act, Reaction};

fn policy(timeouts: &str, pipeline: &str) -> String {
    format!(
        r#"
weir: v1
listeners:
  edge: {{ address: "{{EDGE}}", limits: {{ idle: 300ms, header_timeout: 300ms, body_timeout: 300ms }} }}
providers:
  lab: {{ dialect: openai, base_url: "http://{{UPSTREAM}}/lab/v1", timeouts: {{ {timeouts} }} }}
models:
  fast: {{ targets: [{{ provider: lab, model: m }}] }}
pipelines:
  - pipeline: all
    anonymous: true
{pipeline}    stages:
      - observe: metrics
"#
    )
}

fn start(timeouts: &str, pipeline: &str) -> (Provider, Gateway) {
    let provider = Provider::start();
    let gateway = Gateway::start(Set::of(Some(provider.address), &policy(timeouts, pipeline)));
    (provider, gateway)
}

/// Words without end, a tenth of a second apart.
fn endless() -> Reaction {
    let chunk = json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [{ "index": 0, "delta": { "content": "on " }, "finish_reason": null }] });
    let head = Act::Head { status: 200, headers: vec![("content-type".into(), "text/event-stream".into())] };
    let words = (0..200).flat_map(|_| [Act::Data(format!("data: {chunk}\n\n")), Act::Wait(100)]);
    Reaction::Acts(std::iter::once(head).chain(words).collect())
}

/// The code of the error event that ends a stream.
fn ended_with(text: &str) -> String {
    let last = text.trim_end().rsplit("data: ").next().unwrap_or("");
    let json: serde_json::Value = serde_json::from_str(last).unwrap_or_default();
    json["error"]["code"].as_str().unwrap_or(text).to_owned()
}

#[test]
fn no_connection_in_time_is_unreachable() {
    // Nobody takes connections from this queue, and it holds few.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (full, _held) = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let full = socket.listen(1).unwrap();
        let address = full.local_addr().unwrap();
        let mut held = Vec::new();
        for _ in 0..64 {
            let connecting = tokio::net::TcpStream::connect(address);
            match tokio::time::timeout(Duration::from_millis(200), connecting).await {
                Ok(Ok(stream)) => held.push(stream),
                _ => break,
            }
        }
        assert!(held.len() < 64, "the queue is never full");
        (full, held)
    });
    let gateway =
        Gateway::start(Set::of(Some(full.local_addr().unwrap()), &policy("connect: 300ms, total: 15s", "")));
    let reply = gateway.chat(&chat("fast", "hi", false));
    assert_eq!((reply.status(), reply.code().as_str()), (502, "upstream-unreachable"), "{}", reply.text());
    let trace = gateway.trace(reply.header("x-request-id").unwrap());
    assert_eq!(trace["attempts"][0]["cause"], "connect", "{trace}");
    assert!(trace["took_ms"].as_f64().unwrap() < 10_000.0, "{trace}");
}

#[test]
fn no_first_byte_in_time_is_a_timeout() {
    let (provider, gateway) = start("first_byte: 200ms", "");
    for stream in [false, true] {
        provider.always(entry(json!({ "fault": "timeout" })));
        let reply = gateway.chat(&chat("fast", "hi", stream));
        assert_eq!((reply.status(), reply.code().as_str()), (504, "upstream-timeout"), "{}", reply.text());
        eventually("the end of the attempt", || provider.seen().calls[0].gone_at);
    }
}

#[test]
fn a_pause_between_events_is_a_timeout() {
    let (provider, gateway) = start("between: 200ms", "");
    provider.always(entry(json!({ "events": ["one ", { "delay": "20s" }, "two"] })));
    let reply = gateway.chat(&chat("fast", "hi", true));
    assert_eq!((reply.status(), reply.streamed().as_str()), (200, "one "), "{}", reply.text());
    assert_eq!(ended_with(&reply.text()), "upstream-timeout");
    eventually("the end of the attempt", || provider.seen().calls[0].gone_at);
}

#[test]
fn a_stream_that_never_ends_is_ended_by_the_total() {
    let (provider, gateway) = start("between: 5s, total: 1s", "");
    provider.always(endless());
    let reply = gateway.chat(&chat("fast", "hi", true));
    assert!(reply.streamed().starts_with("on on "), "{}", reply.text());
    assert_eq!(ended_with(&reply.text()), "upstream-timeout");
    eventually("the end of the attempt", || provider.seen().calls[0].gone_at);
}

#[test]
fn a_deadline_of_the_pipeline_bounds_replies_and_streams() {
    let (provider, gateway) = start("total: 20s", "    deadline: 600ms\n");
    provider.always(entry(json!({ "reply": "late", "delay": "10s" })));
    let reply = gateway.chat(&chat("fast", "hi", false));
    assert_eq!((reply.status(), reply.code().as_str()), (504, "deadline-exceeded"), "{}", reply.text());
    provider.always(endless());
    let reply = gateway.chat(&chat("fast", "hi", true));
    assert_eq!(ended_with(&reply.text()), "deadline-exceeded");
    eventually("the end of the attempt", || provider.seen().calls[0].gone_at);
}

#[test]
fn a_client_that_says_nothing_is_let_go() {
    let (provider, gateway) = start("total: 20s", "");
    provider.always(entry(json!({ "reply": "fine" })));
    // A head, then a body, that do not come.
    for start in
        ["POST /v1/chat", "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{"]
    {
        let mut wire = gateway.wire();
        wire.send(start.as_bytes()).unwrap();
        let reply = wire.reply().unwrap();
        assert_eq!((reply.status(), reply.code().as_str()), (408, "request-timeout"), "{}", reply.text());
    }
    // A connection that was good for a request and brings no other.
    let mut wire = gateway.wire();
    let body = chat("fast", "hi", false).to_string();
    let reply = wire.exchange(&request("POST", "/v1/chat/completions", &[], body.as_bytes())).unwrap();
    assert_eq!(reply.status(), 200);
    assert!(wire.is_closed());
}
