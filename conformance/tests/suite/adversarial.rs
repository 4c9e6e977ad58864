//! What attackers send, from both sides: each gets a clear error, the next request works, memory stays bounded.

use serde_json::{Value, json};
use std::io::Write;
use std::time::Duration;
use weir_conformance::harness::{Gateway, Provider, Set, chat, entry, request, whole};
use weir_conformance::upstream::{Act, Reaction};
use weir_diagnostic::{Diagnostics, Sources};

const POLICY: &str = r#"
weir: v1
listeners:
  edge:
    address: "{EDGE}"
    limits: { body: 2MiB, headers: 16KiB, header_count: 50, header_timeout: 1s, body_timeout: 1s, connections: 200 }
providers:
  lab: { dialect: openai, base_url: "http://{UPSTREAM}/lab/v1", timeouts: { connect: 1s, first_byte: 1s, between: 1s, total: 10s } }
models:
  fast: { targets: [{ provider: lab, model: m }] }
pipelines:
  - pipeline: all
    anonymous: true
    stages:
      - guard: words
        cel: '!request.all_text.contains("forbidden")'
      - guard: replies
        stream: whole
        rhai: |
          fn reply(r) { if r.text.contains("forbidden") { r.deny("no"); } }
      - route: requested
"#;

fn start() -> (Provider, Gateway) {
    let provider = Provider::start();
    let gateway = Gateway::start(Set::of(Some(provider.address), POLICY));
    (provider, gateway)
}

/// The next request works.
fn still_serves(provider: &Provider, gateway: &Gateway, after: &str) {
    provider.always(entry(json!({ "reply": "fine" })));
    let reply = gateway.chat(&chat("fast", "hi", false));
    assert_eq!((reply.status(), reply.words().as_str()), (200, "fine"), "after {after}: {}", reply.text());
}

fn unhexed(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|n| u8::from_str_radix(&text[2 * n..2 * n + 2], 16).unwrap()).collect()
}

#[test]
fn malformed_requests_are_refused_and_the_next_one_is_served() {
    let text = include_str!("../../adversarial/requests.yaml");
    let (mut sources, mut found) = (Sources::default(), Diagnostics::new());
    let source = sources.add("requests.yaml", text);
    let cases = weir_policy::read(source, text, &mut found).unwrap().to_json();
    let cases = cases.as_array().unwrap();
    assert!(cases.len() > 40, "{}", cases.len());
    let (provider, gateway) = start();
    let mut wrong = Vec::new();
    for case in cases {
        let name = case["name"].as_str().unwrap();
        provider.answers(Vec::new());
        let bytes = match (&case["send"], &case["hex"], &case["body"]) {
            (Value::String(send), _, _) => send.clone().into_bytes(),
            (_, Value::String(hex), _) => unhexed(hex),
            (_, _, Value::String(body)) => request("POST", "/v1/chat/completions", &[], body.as_bytes()),
            _ => panic!("{name}: nothing to send"),
        };
        let mut wire = gateway.wire();
        wire.patience(Duration::from_secs(5));
        let reply = match wire.exchange(&bytes) {
            Ok(reply) => reply,
            Err(error) => {
                wrong.push(format!("{name}: no reply: {error}"));
                continue;
            }
        };
        let allowed: Vec<u64> = case["status"].as_array().unwrap().iter().filter_map(Value::as_u64).collect();
        if !allowed.contains(&u64::from(reply.status())) {
            wrong.push(format!("{name}: {} {}", reply.status(), reply.text()));
            continue;
        }
        if reply.code().is_empty() {
            wrong.push(format!("{name}: not an error in OpenAI's shape: {:?}", reply.text()));
        }
        if case["closes"] == true && !wire.is_closed() {
            wrong.push(format!("{name}: the connection is left open"));
        }
        if !provider.seen().calls.is_empty() {
            wrong.push(format!("{name}: a provider was called"));
        }
        still_serves(&provider, &gateway, name);
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn huge_heads_are_refused_in_bounded_memory() {
    let (provider, gateway) = start();
    let before = gateway.memory();
    let long = "x".repeat(1 << 20);
    let many: String = (0..5_000).map(|n| format!("x-{n}: {n}\r\n")).collect();
    for (name, head) in [
        ("one long header", format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx-long: {long}\r\n\r\n")),
        ("many headers", format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{many}\r\n")),
        ("a long path", format!("GET /{long} HTTP/1.1\r\nhost: x\r\n\r\n")),
        ("a long method", format!("{long} / HTTP/1.1\r\nhost: x\r\n\r\n")),
        (
            "51 headers",
            format!(
                "GET /healthz HTTP/1.1\r\nhost: x\r\n{}\r\n",
                (0..51).map(|n| format!("x-{n}: 1\r\n")).collect::<String>()
            ),
        ),
    ] {
        let reply = gateway.wire().exchange(head.as_bytes()).unwrap_or_default();
        assert!([400, 414, 431].contains(&reply.status()), "{name}: {} {}", reply.status(), reply.text());
        still_serves(&provider, &gateway, name);
    }
    // A head without end is refused at its limit: the rest is read away for a moment at most, and kept nowhere.
    let mut wire = gateway.wire();
    wire.send(b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-endless: ").unwrap();
    for _ in 0..256 {
        if wire.send(&[b'y'; 64 << 10]).is_err() {
            break;
        }
    }
    let reply = wire.reply().unwrap_or_default();
    assert!([0, 400, 431].contains(&reply.status()), "{}", reply.text());
    assert!(wire.is_closed());
    assert!(gateway.memory().saturating_sub(before) < 64 << 20);
    still_serves(&provider, &gateway, "an endless head");
}

#[test]
fn slow_clients_are_cut_off_and_hold_nobody_up() {
    let (provider, gateway) = start();
    let mut slow: Vec<_> = (0..50)
        .map(|n| {
            let mut wire = gateway.wire();
            match n % 2 {
                0 => wire.send(b"POST /v1/chat/comp").unwrap(),
                _ => wire
                    .send(
                        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{\"mod",
                    )
                    .unwrap(),
            }
            wire
        })
        .collect();
    still_serves(&provider, &gateway, "50 slow clients");
    for wire in &mut slow {
        // A byte now and then does not buy more time.
        std::thread::sleep(Duration::from_millis(10));
        let _ = wire.send(b"x");
    }
    for wire in &mut slow {
        let reply = wire.reply().unwrap();
        assert_eq!((reply.status(), reply.code().as_str()), (408, "request-timeout"), "{}", reply.text());
        assert!(wire.is_closed());
    }
}

#[test]
fn json_bombs_are_refused_in_bounded_memory() {
    let (provider, gateway) = start();
    let before = gateway.memory();
    for (name, body) in [
        ("deep arrays", format!("{{\"model\":\"fast\",\"messages\":{}", "[".repeat(1 << 20))),
        ("deep objects", format!("{{\"model\":\"fast\",\"x\":{}", "{\"a\":".repeat(200_000))),
        (
            "closed deep arrays",
            format!(
                "{{\"model\":\"fast\",\"messages\":[],\"x\":{}{}}}",
                "[".repeat(5_000),
                "]".repeat(5_000)
            ),
        ),
    ] {
        let reply =
            gateway.wire().exchange(&request("POST", "/v1/chat/completions", &[], body.as_bytes())).unwrap();
        assert_eq!((reply.status(), reply.code().as_str()), (400, "bad-request"), "{name}: {}", reply.text());
        still_serves(&provider, &gateway, name);
    }
    // Many keys and messages are no crime, only work.
    let keys: String = (0..50_000).map(|n| format!(",\"k{n}\":{n}")).collect();
    let body = format!("{{\"model\":\"fast\",\"messages\":[{{\"role\":\"user\",\"content\":\"x\"}}]{keys}}}");
    let reply =
        gateway.wire().exchange(&request("POST", "/v1/chat/completions", &[], body.as_bytes())).unwrap();
    assert!([200, 400].contains(&reply.status()), "{}", reply.text());
    still_serves(&provider, &gateway, "50,000 keys");
    assert!(gateway.memory().saturating_sub(before) < 64 << 20);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn compression_bombs_of_either_side_are_refused_in_bounded_memory() {
    let (provider, gateway) = start();
    let bomb = gzip(&vec![b' '; 200 << 20]);
    assert!(bomb.len() < 1 << 20);
    let before = gateway.memory();
    let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
    let reply = gateway.wire().exchange(&request("POST", "/v1/chat/completions", &headers, &bomb)).unwrap();
    assert_eq!((reply.status(), reply.code().as_str()), (413, "body-too-large"), "{}", reply.text());
    still_serves(&provider, &gateway, "a bomb of the client's");
    provider.always(whole(200, &headers, &bomb));
    let reply = gateway.chat(&chat("fast", "hi", false));
    assert_eq!((reply.status(), reply.code().as_str()), (502, "upstream-invalid"), "{}", reply.text());
    assert!(gateway.memory().saturating_sub(before) < 160 << 20, "{}", gateway.memory() - before);
    still_serves(&provider, &gateway, "a bomb of the provider's");
}

fn event(text: &str) -> String {
    let chunk = json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [{ "index": 0, "delta": { "content": text }, "finish_reason": null }] });
    format!("data: {chunk}")
}

const LAST: &str = r#"data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;

fn stream(pieces: Vec<Vec<u8>>, end: Act) -> Reaction {
    let mut acts =
        vec![Act::Head { status: 200, headers: vec![("content-type".into(), "text/event-stream".into())] }];
    acts.extend(pieces.into_iter().map(Act::Binary));
    acts.push(end);
    Reaction::Acts(acts)
}

fn ask(gateway: &Gateway) -> weir_conformance::harness::Reply {
    let body = chat("fast", "hi", true).to_string();
    let mut wire = gateway.wire();
    wire.exchange(&request("POST", "/v1/chat/completions", &[], body.as_bytes())).unwrap()
}

#[test]
fn a_stream_split_at_any_byte_reads_the_same() {
    let (provider, gateway) = start();
    for line_end in ["\n", "\r\n"] {
        let text = [
            ": a comment".to_owned(),
            String::new(),
            event("né 世界"),
            String::new(),
            event(" two"),
            String::new(),
            LAST.to_owned(),
            String::new(),
            "data: [DONE]".to_owned(),
            String::new(),
            String::new(),
        ]
        .join(line_end)
        .into_bytes();
        for cut in 0..text.len() {
            let (a, b) = text.split_at(cut);
            provider.answers(vec![stream(vec![a.to_vec(), b.to_vec()], Act::End)]);
            let reply = ask(&gateway);
            assert_eq!(reply.streamed(), "né 世界 two", "cut at {cut}: {}", reply.text());
            assert_eq!(reply.events().last().map(String::as_str), Some("[DONE]"), "cut at {cut}");
        }
        let pieces = text.chunks(1).map(<[u8]>::to_vec).collect();
        provider.answers(vec![stream(pieces, Act::End)]);
        assert_eq!(ask(&gateway).streamed(), "né 世界 two");
    }
}

#[test]
fn a_forbidden_word_split_over_events_does_not_pass() {
    let (provider, gateway) = start();
    for cut in 1..9 {
        let (a, b) = "forbidden".split_at(cut);
        let text = format!("{}\n\n{}\n\n{LAST}\n\ndata: [DONE]\n\n", event(a), event(b));
        provider.answers(vec![stream(vec![text.into_bytes()], Act::End)]);
        let reply = ask(&gateway);
        assert!(!reply.streamed().contains("forbidden"), "cut at {cut}: {}", reply.text());
        assert!(
            reply.text().contains("\"error\"") || reply.status() == 403,
            "cut at {cut}: {}",
            reply.text()
        );
    }
}

#[test]
fn bad_streams_end_in_an_error_and_never_cleanly() {
    let (provider, gateway) = start();
    for (name, text, end) in [
        ("no end", format!("{}\n\n", event("x")), Act::End),
        ("cut", format!("{}\n\n", event("x")), Act::Cut),
        (
            "an event that is no JSON",
            format!("{}\n\ndata: {{nonsense\n\ndata: [DONE]\n\n", event("x")),
            Act::End,
        ),
        ("an event that is not UTF-8", "data: \u{1}\n\ndata: [DONE]\n\n".to_owned(), Act::End),
        ("the end without its blank line", format!("{}\n\ndata: [DONE]", event("x")), Act::Cut),
        (
            "an error event",
            "data: {\"error\":{\"message\":\"secret prompt\",\"code\":\"boom\"}}\n\n".to_owned(),
            Act::End,
        ),
        ("nothing", String::new(), Act::End),
        ("JSON instead of events", "{\"choices\":[]}".to_owned(), Act::End),
    ] {
        provider.always(stream(vec![text.into_bytes()], end));
        let gateway_of_its_own;
        let gateway = if name == "no end" {
            &gateway
        } else {
            gateway_of_its_own = Gateway::start(Set::of(Some(provider.address), POLICY));
            &gateway_of_its_own
        };
        let reply = ask(gateway);
        let text = reply.text();
        assert!(!text.contains("[DONE]"), "{name}: {text}");
        assert!(text.contains("\"error\""), "{name}: {text}");
        assert!(!text.contains("secret prompt"), "{name}: {text}");
        still_serves(&provider, gateway, name);
    }
}

#[test]
fn an_event_without_end_is_cut_off_in_bounded_memory() {
    let (provider, gateway) = start();
    let before = gateway.memory();
    let mut acts =
        vec![Act::Head { status: 200, headers: vec![("content-type".into(), "text/event-stream".into())] }];
    acts.push(Act::Data("data: ".to_owned()));
    acts.extend(std::iter::repeat_n(Act::Data("x".repeat(64 << 10)), 1024));
    provider.always(Reaction::Acts(acts));
    let reply = ask(&gateway);
    assert!(reply.text().contains("\"error\"") && !reply.text().contains("[DONE]"), "{}", reply.text().len());
    assert!(gateway.memory().saturating_sub(before) < 96 << 20, "{}", gateway.memory() - before);
    still_serves(&provider, &gateway, "an endless event");
}

#[test]
fn a_slow_or_misbehaving_provider_costs_one_request() {
    let (provider, gateway) = start();
    let ok = json!({ "id": "x", "object": "chat.completion", "model": "m", "choices": [{ "index": 0, "message": { "role": "assistant", "content": "ok" }, "finish_reason": "stop" }] }).to_string();
    let raw = |text: String| Reaction::Acts(vec![Act::Raw(text.into_bytes()), Act::Cut]);
    let long = "y".repeat(4 << 20);
    for (name, reaction) in [
        ("no HTTP", raw("hello\r\n\r\n".to_owned())),
        ("a head without end", raw(format!("HTTP/1.1 200 ok\r\nx-long: {long}"))),
        (
            "both framings",
            raw("HTTP/1.1 200 ok\r\ncontent-type: application/json\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_owned()),
        ),
        (
            "a body shorter than said",
            raw(format!(
                "HTTP/1.1 200 ok\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{ok}"
            )),
        ),
        (
            "two content-lengths",
            raw(format!(
                "HTTP/1.1 200 ok\r\ncontent-type: application/json\r\ncontent-length: 3\r\ncontent-length: {}\r\n\r\n{ok}",
                ok.len()
            )),
        ),
        ("a byte and then nothing", Reaction::Acts(vec![Act::Raw(b"H".to_vec()), Act::Stall])),
        (
            "a head and then nothing",
            Reaction::Acts(vec![
                Act::Head { status: 200, headers: vec![("content-type".into(), "application/json".into())] },
                Act::Stall,
            ]),
        ),
        ("a status of its own", raw("HTTP/1.1 999 what\r\ncontent-length: 0\r\n\r\n".to_owned())),
        ("a redirect", whole(302, &[("location", "http://127.0.0.1:1/")], b"")),
    ] {
        provider.always(reaction);
        let own = Gateway::start(Set::of(Some(provider.address), POLICY));
        let reply = own.chat(&chat("fast", "hi", false));
        assert!((502..=504).contains(&reply.status()), "{name}: {} {}", reply.status(), reply.text());
        assert!(reply.code().starts_with("upstream-"), "{name}: {}", reply.text());
        still_serves(&provider, &own, name);
    }
    still_serves(&provider, &gateway, "all of them");
}

#[test]
fn bytes_behind_a_reply_do_not_answer_the_next_request() {
    let (provider, gateway) = start();
    let reply = |text: &str| {
        let body = json!({ "id": "x", "object": "chat.completion", "model": "m", "choices": [{ "index": 0, "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }] }).to_string();
        format!(
            "HTTP/1.1 200 ok\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let poisoned = format!("{}{}", reply("mine"), reply("poison"));
    provider.answers(vec![Reaction::Acts(vec![Act::Raw(poisoned.into_bytes()), Act::Wait(200), Act::End])]);
    assert_eq!(gateway.chat(&chat("fast", "hi", false)).words(), "mine");
    still_serves(&provider, &gateway, "a poisoned connection");
}
