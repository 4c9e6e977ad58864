//! Bodies of requests and replies: how large they may be, and how they are packed.

use crate::packed::Coding;
use crate::two;
use bytes::Bytes;
use serde_json::{Value, json};
use weir_conformance::harness::{Gateway, Provider, Set, chat, entry, request, whole};
use weir_conformance::upstream::Reaction;

/// Nothing of this set reads a body, but for the model's name.
const UNREAD: &str = r#"
weir: v1
listeners:
  edge: { address: "{EDGE}" }
providers:
  lab: { dialect: openai, base_url: "http://{UPSTREAM}/lab/v1" }
models:
  fast: { targets: [{ provider: lab, model: fast }] }
pipelines:
  - pipeline: all
    anonymous: true
    stages:
      - route: requested
"#;

/// A chat completion.
const ANSWER: &[u8] = br#"{"id":"x","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"ok"},"finish_reason":"stop"}]}"#;

const MIB: usize = 1 << 20;
/// The largest body, unless a listener says otherwise.
const LIMIT: usize = 32 * MIB;
/// What sockets and windows may hold of a body that nobody reads any more.
const UNDER_WAY: usize = 16 * MIB;

fn start(policy: &str) -> (Provider, Gateway) {
    let provider = Provider::start();
    let gateway = Gateway::start(Set::of(Some(provider.address), policy));
    (provider, gateway)
}

/// The same set with stages above the route.
fn with(stages: &str) -> String {
    UNREAD.replace("      - route: requested", &format!("{stages}\n      - route: requested"))
}

fn padded(size: usize) -> Vec<u8> {
    let mut body = chat("fast", "hi", false).to_string().into_bytes();
    body.resize(size, b' ');
    body
}

#[test]
fn a_body_of_32_mib_passes_and_one_byte_more_is_refused_unsent() {
    let (provider, gateway) = start(UNREAD);
    provider.always(entry(json!({ "reply": "x" })));
    let reply =
        gateway.wire().exchange(&request("POST", "/v1/chat/completions", &[], &padded(LIMIT))).unwrap();
    assert_eq!(reply.status(), 200, "{}", reply.text());
    let mut wire = gateway.wire();
    let head =
        format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", LIMIT + 1);
    wire.send(head.as_bytes()).unwrap();
    let reply = wire.reply().unwrap();
    assert_eq!((reply.status(), reply.code().as_str()), (413, "body-too-large"), "{}", reply.text());
}

#[test]
fn an_endless_body_is_answered_at_the_limit_and_kept_nowhere() {
    let (provider, gateway) = start(UNREAD);
    provider.answers(Vec::new());
    let before = gateway.memory();
    let mut wire = gateway.wire();
    wire.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        .unwrap();
    let piece = [b"10000\r\n".to_vec(), vec![b' '; 0x10000], b"\r\n".to_vec()].concat();
    let mut sent = 0;
    while !wire.is_answered() && sent < 1024 * MIB && wire.send(&piece).is_ok() {
        sent += 0x10000;
    }
    assert!((LIMIT..LIMIT + UNDER_WAY).contains(&sent), "answered after {sent} bytes");
    let reply = wire.reply().unwrap();
    assert_eq!((reply.status(), reply.code().as_str()), (413, "body-too-large"), "{}", reply.text());
    assert!(gateway.memory().saturating_sub(before) < 4 * LIMIT as u64, "{}", gateway.memory() - before);
}

#[test]
fn over_http2_no_more_of_a_body_comes_in_than_is_read() {
    let (provider, gateway) = start(&UNREAD.replace("{EDGE}\" }", "{EDGE}\", limits: { body: 4MiB } }"));
    provider.answers(Vec::new());
    two::run(async {
        let send = two::connect(gateway.edge).await;
        let request = http::Request::post("http://weir.test/v1/chat/completions").body(()).unwrap();
        let (response, mut stream) = send.ready().await.unwrap().send_request(request, false).unwrap();
        let writing = async {
            let mut sent = 0;
            loop {
                stream.reserve_capacity(64 << 10);
                match std::future::poll_fn(|task| stream.poll_capacity(task)).await {
                    Some(Ok(room)) if sent < 64 * MIB => {
                        sent += room;
                        if stream.send_data(Bytes::from(vec![b' '; room]), false).is_err() {
                            return sent;
                        }
                    }
                    _ => return sent,
                }
            }
        };
        let (sent, reply) =
            tokio::join!(writing, async { two::whole(response.await.unwrap()).await.unwrap() });
        assert_eq!((reply.status(), reply.code().as_str()), (413, "body-too-large"), "{}", reply.text());
        assert!(sent < 4 * MIB + UNDER_WAY, "{sent} bytes were taken");
    });
}

#[test]
fn a_bomb_in_any_coding_is_refused_within_the_limit() {
    let policy = UNREAD.replace("{EDGE}\" }", "{EDGE}\", limits: { body: 1MiB } }");
    let (provider, gateway) = start(&policy);
    provider.answers(Vec::new());
    let before = gateway.memory();
    for coding in Coding::ALL {
        let bomb = coding.pack(&vec![b' '; 64 * MIB]);
        assert!(bomb.len() < MIB, "{coding:?}: {}", bomb.len());
        let headers = [("content-encoding", coding.name())];
        let reply =
            gateway.wire().exchange(&request("POST", "/v1/chat/completions", &headers, &bomb)).unwrap();
        assert_eq!(
            (reply.status(), reply.code().as_str()),
            (413, "body-too-large"),
            "{coding:?}: {}",
            reply.text()
        );
    }
    assert!(gateway.memory().saturating_sub(before) < 32 * MIB as u64);
}

#[test]
fn a_request_that_no_stage_reads_passes_as_it_is_packed_and_unpacked_where_one_reads_or_changes_it() {
    let renamed = UNREAD.replace("model: fast }", "model: m-1 }");
    let read = with("      - guard: short\n        cel: size(request.all_text) < 1000");
    for (policy, stays) in [(UNREAD, true), (&renamed, false), (&read, false)] {
        let (provider, gateway) = start(policy);
        provider.always(whole(200, &[("content-type", "application/json")], ANSWER));
        for coding in Coding::ALL {
            let body = chat("fast", "hi", false).to_string();
            let packed = coding.pack(body.as_bytes());
            let headers = [("content-encoding", coding.name()), ("content-type", "application/json")];
            let bytes = request("POST", "/v1/chat/completions", &headers, &packed);
            let reply = gateway.wire().exchange(&bytes).unwrap();
            assert_eq!(reply.status(), 200, "{coding:?}: {}", reply.text());
            let call = provider.seen().calls.pop().unwrap();
            let told = call.headers.iter().find(|(name, _)| name == "content-encoding");
            match stays {
                true => {
                    assert_eq!(told.map(|(_, coding)| coding.as_str()), Some(coding.name()));
                    assert!(call.body == String::from_utf8_lossy(&packed) && call.body_len == packed.len());
                }
                false => {
                    assert_eq!(told, None);
                    assert!(call.body.contains("\"content\":\"hi\""), "{coding:?}: {}", call.body);
                }
            }
        }
    }
}

#[test]
fn a_reply_that_no_stage_reads_passes_as_it_is_packed() {
    let (provider, gateway) = start(UNREAD);
    for coding in Coding::ALL {
        // Not even JSON: nobody looks.
        let packed = coding.pack(b"anything at all");
        let headers = [("content-type", "application/json"), ("content-encoding", coding.name())];
        provider.always(whole(200, &headers, &packed));
        let asks = [("accept-encoding", coding.name())];
        let body = chat("fast", "hi", false).to_string();
        let reply = gateway
            .wire()
            .exchange(&request("POST", "/v1/chat/completions", &asks, body.as_bytes()))
            .unwrap();
        assert_eq!((reply.status(), reply.header("content-encoding")), (200, Some(coding.name())));
        assert!(reply.body == packed, "{coding:?}");
        let call = provider.seen().calls.remove(0);
        assert!(
            call.headers.contains(&("accept-encoding".into(), coding.name().into())),
            "{:?}",
            call.headers
        );
    }
}

#[test]
fn a_reply_that_a_stage_reads_is_unpacked_whole_and_streamed() {
    let (provider, gateway) = start(&with(
        "      - transform: shout\n        stream: whole\n        rhai: |\n          fn reply(r) { r.text = r.text.to_upper(); }",
    ));
    for coding in Coding::ALL {
        for stream in [false, true] {
            let body = chat("fast", "hi", stream).to_string();
            let answer = entry(json!({ "reply": "loud words" }));
            provider.always(coding.answer(answer, "/v1/chat/completions", body.as_bytes(), 1));
            let asks = [("accept-encoding", "gzip, deflate, br, zstd")];
            let bytes = request("POST", "/v1/chat/completions", &asks, body.as_bytes());
            let reply = gateway.wire().exchange(&bytes).unwrap();
            let words = if stream { reply.streamed() } else { reply.words() };
            assert_eq!(words, "LOUD WORDS", "{coding:?}, stream {stream}: {}", reply.text());
            assert_eq!(reply.header("content-encoding"), None);
            // What could not be read here is not asked for.
            let call = provider.seen().calls.remove(0);
            assert!(call.headers.iter().all(|(name, _)| name != "accept-encoding"), "{:?}", call.headers);
        }
    }
}

#[test]
fn a_packed_stream_that_no_stage_reads_is_a_stream_for_the_client() {
    let (provider, gateway) = start(UNREAD);
    for coding in Coding::ALL {
        let body = chat("fast", "hi", true).to_string();
        let answer = entry(json!({ "events": ["one ", "two"] }));
        provider.always(coding.answer(answer, "/v1/chat/completions", body.as_bytes(), 1));
        let reply = gateway.chat(&chat("fast", "hi", true));
        assert_eq!(reply.streamed(), "one two", "{coding:?}: {}", reply.text());
        assert_eq!(reply.events().last().map(String::as_str), Some("[DONE]"));
    }
}

#[test]
fn what_is_packed_wrongly_is_told_apart() {
    let (provider, gateway) =
        start(&with("      - guard: mine\n        cel: size(reply.text) < 100\n        hold: all"));
    provider.answers(Vec::new());
    for coding in Coding::ALL {
        let body = chat("fast", "hi", false).to_string();
        let whole_body = coding.pack(body.as_bytes());
        let half = &whole_body[..whole_body.len() / 2];
        for wrong in [b"nonsense".as_slice(), half] {
            let headers = [("content-encoding", coding.name())];
            let reply =
                gateway.wire().exchange(&request("POST", "/v1/chat/completions", &headers, wrong)).unwrap();
            assert_eq!(
                (reply.status(), reply.code().as_str()),
                (415, "bad-encoding"),
                "{coding:?}: {}",
                reply.text()
            );
        }
    }
    assert_eq!(provider.seen().calls.len(), 0);
    let unpacked = json!({ "id": "x", "object": "chat.completion", "model": "m", "choices": [{ "index": 0, "message": { "role": "assistant", "content": "ok" }, "finish_reason": "stop" }] });
    for coding in Coding::ALL {
        let own = Gateway::start(Set::of(
            Some(provider.address),
            &with("      - guard: mine\n        cel: size(reply.text) < 100\n        hold: all"),
        ));
        let packed = coding.pack(unpacked.to_string().as_bytes());
        let headers = [("content-type", "application/json"), ("content-encoding", coding.name())];
        provider.always(whole(200, &headers, &packed[..packed.len() / 2]));
        let reply = own.chat(&chat("fast", "hi", false));
        assert_eq!(
            (reply.status(), reply.code().as_str()),
            (502, "upstream-invalid"),
            "{coding:?}: {}",
            reply.text()
        );
    }
}

#[test]
fn bytes_pass_untouched_where_no_stage_edits() {
    let (provider, gateway) = start(UNREAD);
    let odd = br#"{"zeta":1.50,  "model":"fast","messages":[{"role":"user","content":"\u00e9\/"}], "alpha":[1e2],"n":12345678901234567890}"#;
    let answer = br#" {"choices" : [ {"index":0,"message":{"content":"\u0041","role":"assistant"},"x":1.0e5} ] ,"unknown":{}} "#;
    provider.always(whole(200, &[("content-type", "application/json")], answer));
    let reply = gateway.wire().exchange(&request("POST", "/v1/chat/completions", &[], odd)).unwrap();
    assert!(reply.body == answer, "{}", reply.text());
    let sent = provider.seen().calls.remove(0).body;
    assert_eq!(sent.as_bytes(), odd);
    // An edit of one field leaves the others as they are.
    let (provider, gateway) =
        start(&with("      - transform: json\n        with: { set: { /user: somebody } }"));
    provider.always(whole(200, &[("content-type", "application/json")], answer));
    gateway.wire().exchange(&request("POST", "/v1/chat/completions", &[], odd)).unwrap();
    let sent = provider.seen().calls.remove(0).body;
    let fields: Value = serde_json::from_str(&sent).unwrap();
    assert_eq!(fields["user"], "somebody");
    for kept in [r#""zeta":1.50,  "model""#, r#""\u00e9\/""#, r#""alpha":[1e2]"#, "12345678901234567890"] {
        assert!(sent.contains(kept), "{kept} in {sent}");
    }
}

#[test]
fn a_thousand_requests_in_one_breath_are_all_answered() {
    let (provider, gateway) = start(UNREAD);
    provider.always(Reaction::Entry(Box::default()));
    let body = chat("fast", "hi", false).to_string();
    let one = request("POST", "/v1/chat/completions", &[], body.as_bytes());
    let mut wire = gateway.wire();
    wire.send(&one.repeat(1_000)).unwrap();
    for n in 0..1_000 {
        assert_eq!(wire.reply().unwrap_or_default().status(), 200, "the reply {n}");
    }
}
