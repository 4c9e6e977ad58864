//! Streams: each event as it arrives, cancellation, broken upstreams, what is hidden and what passes.

use serde_json::{Value, json};
use weir_conformance::harness::{Gateway, Provider, Set, Wire, chat, entry, eventually, request};
use weir_conformance::upstream::{Act, Reaction};

const METERED: &str = r#"
weir: v1
listeners:
  edge: { address: "{EDGE}" }
providers:
  lab: { dialect: openai, base_url: "http://{UPSTREAM}/lab/v1", timeouts: { connect: 1s, first_byte: 500ms, between: 500ms, total: 20s } }
models:
  fast: { targets: [{ provider: lab, model: m-1 }] }
pipelines:
  - pipeline: all
    anonymous: true
    stages:
      - observe: metrics
      - route: requested
"#;

fn metered() -> (Provider, Gateway) {
    let provider = Provider::start();
    let gateway = Gateway::start(Set::of(Some(provider.address), METERED));
    (provider, gateway)
}

fn streamed(gateway: &Gateway, body: &Value) -> Wire {
    let mut wire = gateway.wire();
    let headers = [("content-type", "application/json"), ("x-request-id", "s-1")];
    wire.send(&request("POST", "/v1/chat/completions", &headers, body.to_string().as_bytes())).unwrap();
    wire
}

/// The head of a stream by hand.
fn head() -> Act {
    Act::Head { status: 200, headers: vec![("content-type".into(), "text/event-stream".into())] }
}

fn word(text: &str) -> Act {
    let chunk = json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [{ "index": 0, "delta": { "content": text }, "finish_reason": null }] });
    Act::Data(format!("data: {chunk}\n\n"))
}

fn done() -> Vec<Act> {
    let chunk = json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] });
    vec![Act::Data(format!("data: {chunk}\n\n")), Act::Data("data: [DONE]\n\n".into()), Act::End]
}

#[test]
fn each_event_leaves_as_it_arrives() {
    let (provider, gateway) = metered();
    // The second word comes long after the first: whoever held events back would not show the first by then.
    provider.answers(vec![Reaction::Acts(
        [vec![head(), word("one"), Act::Wait(400), word("two")], done()].concat(),
    )]);
    let mut wire = streamed(&gateway, &chat("fast", "hi", true));
    assert_eq!(wire.head().unwrap().status, 200);
    let first = String::from_utf8(wire.chunk().unwrap().unwrap()).unwrap();
    assert!(first.contains("one") && !first.contains("two"), "{first}");
    let played = provider.seen().calls[0].is_finished;
    assert!(!played, "the first event was here before the upstream had ended");
    let mut rest = String::new();
    while let Some(chunk) = wire.chunk().unwrap() {
        rest.push_str(&String::from_utf8(chunk).unwrap());
    }
    assert!(rest.contains("two") && rest.ends_with("data: [DONE]\n\n"), "{rest}");
}

#[test]
fn a_client_that_leaves_cancels_the_upstream_within_100_ms() {
    let (provider, gateway) = metered();
    let mut best = u64::MAX;
    for _ in 0..5 {
        provider.answers(vec![Reaction::Acts(vec![head(), word("one"), Act::Wait(10_000)])]);
        let mut wire = streamed(&gateway, &chat("fast", "hi", true));
        wire.head().unwrap();
        wire.chunk().unwrap();
        let left = provider.now();
        drop(wire);
        let gone = eventually("the upstream's cancellation", || provider.seen().calls[0].gone_at);
        best = best.min(gone.saturating_sub(left));
        if best <= 100 {
            break;
        }
    }
    assert!(best <= 100, "cancelled after {best} ms at best");
    assert_eq!(gateway.trace("s-1")["outcome"], "cancelled");
}

#[test]
fn a_client_that_leaves_before_the_head_cancels_the_upstream_too() {
    let (provider, gateway) = metered();
    for stream in [true, false] {
        provider.answers(vec![Reaction::Acts(vec![Act::Wait(10_000)])]);
        let wire = streamed(&gateway, &chat("fast", "hi", stream));
        eventually("the call", || (provider.seen().calls.len() == 1).then_some(()));
        drop(wire);
        // Well before the first-byte timeout would have ended it… which the trace tells apart.
        eventually("the upstream's cancellation", || provider.seen().calls[0].gone_at);
        assert_eq!(gateway.trace("s-1")["outcome"], "cancelled", "stream: {stream}");
    }
}

#[test]
fn an_upstream_that_dies_mid_stream_gives_an_error_event_and_never_a_clean_end() {
    let (provider, gateway) = metered();
    for (name, end) in [
        ("cut", vec![Act::Cut]),
        ("ended without its mark", vec![Act::End]),
        ("half an event", vec![Act::Data("data: {\"id\":".into()), Act::Cut]),
        ("stalled", vec![Act::Stall]),
        ("broken chunk", vec![Act::Raw(b"zz\r\n".to_vec()), Act::Cut]),
    ] {
        let acts = [vec![head(), word("one")], end].concat();
        provider.always(Reaction::Acts(acts));
        let mut wire = streamed(&gateway, &chat("fast", "hi", true));
        let head = wire.head().unwrap();
        assert_eq!(head.status, 200, "{name}");
        let body = String::from_utf8(wire.body(&head).unwrap()).unwrap();
        assert!(body.contains("one"), "{name}: {body}");
        assert!(!body.contains("[DONE]"), "{name}: {body}");
        let last = body.trim_end().rsplit("\n\n").next().unwrap();
        let error: Value = serde_json::from_str(
            last.trim_start_matches("event: error\n").strip_prefix("data: ").unwrap_or("null"),
        )
        .unwrap();
        let code = error["error"]["code"].as_str().unwrap_or("");
        assert!(code.starts_with("upstream-"), "{name}: {body}");
    }
}

#[test]
fn keep_alive_comments_pass() {
    let (provider, gateway) = metered();
    let comment = Act::Data(": still here\n\n".into());
    provider
        .answers(vec![Reaction::Acts([vec![head(), word("one"), comment, word("two")], done()].concat())]);
    let reply = streamed(&gateway, &chat("fast", "hi", true)).reply().unwrap();
    assert!(reply.text().contains(": still here\n\n"), "{}", reply.text());
    assert_eq!(reply.streamed(), "onetwo");
}

#[test]
fn usage_is_asked_for_and_hidden_from_a_client_that_did_not_ask() {
    let (provider, gateway) = metered();
    provider.always(entry(json!({ "reply": "a b c", "usage": { "input": 12, "output": 34 } })));
    let reply = streamed(&gateway, &chat("fast", "hi", true)).reply().unwrap();
    assert_eq!(reply.streamed(), "a b c");
    assert!(!reply.text().contains("prompt_tokens"), "{}", reply.text());
    assert_eq!(reply.events().last().map(String::as_str), Some("[DONE]"));
    let sent: Value = serde_json::from_str(&provider.seen().calls[0].body).unwrap();
    assert_eq!(sent["stream_options"]["include_usage"], true, "{sent}");
    let trace = gateway.trace("s-1");
    assert_eq!(
        (trace["usage"]["input"].as_u64(), trace["usage"]["output"].as_u64()),
        (Some(12), Some(34)),
        "{trace}"
    );
    let mut asking = chat("fast", "hi", true);
    asking["stream_options"] = json!({ "include_usage": true });
    let reply = streamed(&gateway, &asking).reply().unwrap();
    assert!(reply.text().contains("\"prompt_tokens\":12"), "{}", reply.text());
}

#[test]
fn events_pass_byte_for_byte_when_no_stage_reads_them() {
    let provider = Provider::start();
    let policy = METERED.replace("      - observe: metrics\n", "");
    let gateway = Gateway::start(Set::of(Some(provider.address), &policy));
    let odd = "data:  {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"} , \"zz\":1e3}],\"unknown\":[1.0,2]}\n\nid: 7\nevent: other\ndata: {\"a\":1}\n\ndata: [DONE]\n\n";
    for size in [1, 2, 3, 7, 64] {
        let mut acts = vec![head()];
        acts.extend(odd.as_bytes().chunks(size).map(|piece| Act::Binary(piece.to_vec())));
        acts.push(Act::End);
        provider.answers(vec![Reaction::Acts(acts)]);
        let reply = streamed(&gateway, &chat("fast", "hi", true)).reply().unwrap();
        assert_eq!(reply.text(), odd, "in pieces of {size}");
    }
}

#[test]
fn a_slow_reader_pushes_back_on_the_upstream() {
    let (provider, gateway) = metered();
    // 64 MiB of events to a client that reads none: sockets take a few MiB, the gateway must not take the rest.
    let big = word(&"x".repeat(64 << 10));
    let mut acts = vec![head()];
    acts.extend(std::iter::repeat_n(big, 1024));
    provider.answers(vec![Reaction::Acts([acts, done()].concat())]);
    let before = gateway.memory();
    let mut wire = streamed(&gateway, &chat("fast", "hi", true));
    assert_eq!(wire.head().unwrap().status, 200);
    std::thread::sleep(std::time::Duration::from_secs(1));
    let grown = gateway.memory().saturating_sub(before);
    assert!(!provider.seen().calls[0].is_finished, "the upstream could send all of it");
    assert!(grown < 24 << 20, "grew by {grown} bytes");
    // Once it reads, it gets the rest.
    let mut read = 0;
    while let Some(chunk) = wire.chunk().unwrap() {
        read += chunk.len();
    }
    assert!(read > 64 << 20, "{read}");
}

#[test]
fn an_upstream_that_says_nothing_times_out() {
    let (provider, gateway) = metered();
    for stream in [false, true] {
        provider.always(entry(json!({ "fault": "timeout" })));
        let reply = streamed(&gateway, &chat("fast", "hi", stream)).reply().unwrap();
        assert_eq!((reply.status(), reply.code().as_str()), (504, "upstream-timeout"), "{}", reply.text());
        eventually("the end of the attempt", || provider.seen().calls[0].gone_at);
    }
}

/// In Gemini's dialect no event says that a stream ends, so the end of the body does; it may come with the last event or behind it.
#[test]
fn a_stream_that_only_its_body_ends_leaves_the_connection_good() {
    let provider = Provider::start();
    let policy = METERED.replace("dialect: openai", "dialect: gemini").replace("/lab/v1", "/lab/v1beta");
    let gateway = Gateway::start(Set::of(Some(provider.address), &policy));
    let last = r#"data: {"candidates":[{"content":{"role":"model","parts":[{"text":"bye"}]},"finishReason":"STOP"}]}"#;
    let last = Act::Data(format!("{last}\n\n"));
    let mut wire = gateway.wire();
    for n in 0..30 {
        let end = if n % 2 == 0 { vec![Act::End] } else { vec![Act::Wait(20), Act::End] };
        provider.answers(vec![Reaction::Acts([vec![head(), last.clone()], end].concat())]);
        let body = chat("fast", "hi", true).to_string();
        let headers = [("content-type", "application/json")];
        let bytes = request("POST", "/v1/chat/completions", &headers, body.as_bytes());
        let reply = wire.exchange(&bytes).unwrap_or_else(|error| panic!("{n}: {error}"));
        assert_eq!((reply.status(), reply.streamed().as_str()), (200, "bye"), "{n}: {}", reply.text());
        assert_eq!(reply.events().last().map(String::as_str), Some("[DONE]"), "{n}");
    }
    assert!(!gateway.log().contains("panicked"), "{}", gateway.log());
}
