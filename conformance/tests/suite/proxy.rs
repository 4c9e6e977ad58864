//! What any client can see of the proxy: paths, limits, headers, ids, error shapes.

use serde_json::{Value, json};
use std::io::Write;
use weir_conformance::harness::{Gateway, Provider, Set, Wire, chat, entry, get, post, request, whole};

const PLAIN: &str = r#"
weir: v1
listeners:
  edge:
    address: "{EDGE}"
    limits: { body: 1MiB, headers: 8KiB, header_count: 40 }
providers:
  lab: { dialect: openai, base_url: "http://{UPSTREAM}/lab/v1", key: "${env:LAB_KEY}" }
models:
  fast: { targets: [{ provider: lab, model: m-1 }] }
pipelines:
  - pipeline: all
    anonymous: true
    stages:
      - route: requested
"#;

fn plain() -> (Provider, Gateway) {
    let provider = Provider::start();
    let set = Set::of(Some(provider.address), PLAIN);
    let gateway = Gateway::start_with(set, &[], &[("LAB_KEY", "sk-lab-secret")]);
    (provider, gateway)
}

#[test]
fn answers_the_paths_of_the_api_and_refuses_others_in_openais_shape() {
    let (provider, gateway) = plain();
    provider.always(entry(json!({ "reply": "hello there" })));
    let reply = gateway.chat(&chat("fast", "hi", false));
    assert_eq!((reply.status(), reply.words().as_str()), (200, "hello there"), "{}", reply.text());
    let reply = post(gateway.edge, "/v1/completions", &[], &json!({ "model": "fast", "prompt": "hi" }));
    assert_eq!(reply.json()["choices"][0]["text"], "hello there", "{}", reply.text());
    let reply = post(gateway.edge, "/v1/embeddings", &[], &json!({ "model": "fast", "input": ["a", "b"] }));
    assert_eq!(reply.json()["data"].as_array().map(Vec::len), Some(2), "{}", reply.text());
    let models = get(gateway.edge, "/v1/models");
    assert_eq!(models.json()["data"].as_array().map(Vec::len), Some(1), "{}", models.text());
    assert_eq!(models.json()["data"][0]["id"], "fast");
    assert_eq!(get(gateway.edge, "/v1/models/fast").json()["id"], "fast");
    assert_eq!(get(gateway.edge, "/healthz").status(), 200);
    assert_eq!(get(gateway.edge, "/readyz").status(), 200);
    for (method, path, status, code) in [
        ("GET", "/v1/models/none", 404, "unknown-model"),
        ("GET", "/v1/files", 404, "no-pipeline"),
        ("GET", "/v1/chat/completions", 405, "bad-method"),
        ("POST", "/v1/models", 405, "bad-method"),
        ("GET", "/v1//models", 404, "unknown-path"),
        ("GET", "/v1/../v1/models", 404, "unknown-path"),
    ] {
        let reply = Wire::connect(gateway.edge).exchange(&request(method, path, &[], b"")).unwrap();
        assert_eq!(
            (reply.status(), reply.code().as_str()),
            (status, code),
            "{method} {path}: {}",
            reply.text()
        );
        let error = &reply.json()["error"];
        assert!(error["message"].is_string() && error["type"].is_string(), "{error}");
        assert_eq!(error["request_id"], reply.header("x-request-id").unwrap(), "{error}");
    }
}

#[test]
fn the_admin_api_tells_revision_metrics_and_traces() {
    let (provider, gateway) = plain();
    provider.always(entry(json!({ "reply": "x" })));
    let reply = gateway.chat(&chat("fast", "hi", false));
    let revision = reply.header("x-weir-revision").unwrap().to_owned();
    assert_eq!(gateway.admin("/revision").json()["revision"], revision.as_str());
    let metrics = gateway.admin("/metrics");
    assert_eq!(metrics.status(), 200);
    assert!(metrics.text().ends_with("# EOF\n"), "OpenMetrics ends with its mark");
    let trace = gateway.trace(reply.header("x-request-id").unwrap());
    assert_eq!((trace["pipeline"].as_str(), trace["outcome"].as_str()), (Some("all"), Some("replied")));
    // Nothing of the admin API is on the listener.
    for path in ["/metrics", "/revision", "/traces"] {
        assert_eq!(get(gateway.edge, path).status(), 404, "{path}");
    }
}

#[test]
fn unknown_models_and_malformed_bodies_are_refused_before_anything_is_spent() {
    let (provider, gateway) = plain();
    provider.answers(Vec::new());
    for (body, status, code, param) in [
        (
            r#"{"model":"slow","messages":[{"role":"user","content":"x"}]}"#,
            404,
            "unknown-model",
            Some("model"),
        ),
        (r#"{"messages":[{"role":"user","content":"x"}]}"#, 400, "bad-request", Some("model")),
        (r#"{"model":"fast","model":"fast","messages":[]}"#, 400, "bad-request", Some("model")),
        (r#"{"model":7,"messages":[]}"#, 400, "bad-request", Some("model")),
        (r#"{"model":"fast","messages":[{"role":"user","content":"x"}]"#, 400, "bad-request", None),
        ("", 400, "bad-request", None),
        ("[]", 400, "bad-request", None),
    ] {
        let bytes =
            request("POST", "/v1/chat/completions", &[("content-type", "application/json")], body.as_bytes());
        let reply = gateway.wire().exchange(&bytes).unwrap();
        assert_eq!((reply.status(), reply.code().as_str()), (status, code), "{body}: {}", reply.text());
        let error: serde_json::Value = serde_json::from_str(&reply.text()).unwrap();
        assert_eq!(error["error"]["param"].as_str(), param, "{body}: {error}");
    }
    assert_eq!(provider.seen().calls.len(), 0);
}

#[test]
fn ids_are_kept_or_made_and_traces_continued() {
    let (provider, gateway) = plain();
    provider.always(entry(json!({ "reply": "x" })));
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let headers = [("x-request-id", "mine-1"), ("traceparent", trace)];
    let reply = post(gateway.edge, "/v1/chat/completions", &headers, &chat("fast", "hi", false));
    assert_eq!(reply.header("x-request-id"), Some("mine-1"));
    let call = provider.seen().calls.remove(0);
    let sent =
        |name: &str| call.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.clone());
    assert_eq!(sent("x-request-id").as_deref(), Some("mine-1"));
    let parent = sent("traceparent").unwrap();
    assert!(parent.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && parent != trace, "{parent}");
    let made = gateway.chat(&chat("fast", "hi", false));
    let id = made.header("x-request-id").unwrap();
    assert_eq!((id.len(), id.as_bytes()[14]), (36, b'7'), "a UUIDv7: {id}");
}

#[test]
fn credentials_pass_in_neither_direction() {
    let (provider, gateway) = plain();
    let echoed = [
        ("content-type", "application/json"),
        ("authorization", "Bearer sk-lab-secret"),
        ("x-api-key", "sk-lab-secret"),
        ("set-cookie", "session=abc"),
        ("x-harmless", "yes"),
        ("connection", "keep-alive, x-named"),
        ("x-named", "1"),
    ];
    let body = json!({ "id": "x", "object": "chat.completion", "model": "m", "choices": [{ "index": 0, "message": { "role": "assistant", "content": "ok" }, "finish_reason": "stop" }] });
    provider.always(whole(200, &echoed, body.to_string().as_bytes()));
    let headers = [
        ("authorization", "Bearer client-secret"),
        ("x-api-key", "client-secret"),
        ("cookie", "c=client-secret"),
        ("proxy-authorization", "Basic client-secret"),
        ("x-keep", "kept"),
        ("connection", "x-drop"),
        ("x-drop", "dropped"),
        ("te", "trailers"),
    ];
    let reply = post(gateway.edge, "/v1/chat/completions", &headers, &chat("fast", "hi", false));
    assert_eq!(reply.status(), 200, "{}", reply.text());
    let call = provider.seen().calls.remove(0);
    let sent: Vec<String> = call.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let all = sent.join("\n");
    assert!(
        !all.contains("client-secret") && !all.contains("dropped") && !all.contains("te: trailers"),
        "{all}"
    );
    assert!(all.contains("authorization: Bearer sk-lab-secret") && all.contains("x-keep: kept"), "{all}");
    assert!(all.contains(&format!("host: {}", provider.address)), "{all}");
    let got: Vec<String> =
        reply.head.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let all = got.join("\n");
    assert!(
        !all.contains("sk-lab-secret") && !all.contains("session=abc") && !all.contains("x-named"),
        "{all}"
    );
    assert!(all.contains("x-harmless: yes"), "{all}");
}

#[test]
fn a_reply_says_where_it_comes_from_and_where_the_time_went() {
    let (provider, gateway) = plain();
    provider.always(entry(json!({ "reply": "x" })));
    let reply =
        post(gateway.edge, "/v1/chat/completions", &[("x-weir-timing", "1")], &chat("fast", "hi", false));
    assert_eq!(reply.header("x-weir-target"), Some("lab/m-1"));
    assert_eq!(reply.header("x-weir-revision").map(str::len), Some(12));
    assert!(
        reply.header("server-timing").is_some_and(|value| value.contains("total;dur=")),
        "{:?}",
        reply.head
    );
    let reply = gateway.chat(&chat("fast", "hi", false));
    assert_eq!(reply.header("server-timing"), None);
    let refused = gateway.chat(&chat("none", "hi", false));
    assert!(refused.header("x-weir-revision").is_some(), "a refusal names the revision too");
}

#[test]
fn a_body_over_the_limit_is_refused_before_the_rest_is_read() {
    let (provider, gateway) = plain();
    provider.answers(Vec::new());
    // Announced: refused without a byte of it.
    let mut wire = gateway.wire();
    wire.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 4000000\r\n\r\n").unwrap();
    let reply = wire.reply().unwrap();
    assert_eq!((reply.status(), reply.code().as_str()), (413, "body-too-large"), "{}", reply.text());
    // Unannounced: refused at the limit.
    let mut wire = gateway.wire();
    wire.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        .unwrap();
    let piece = [b"10000\r\n".to_vec(), vec![b'x'; 0x10000], b"\r\n".to_vec()].concat();
    for _ in 0..20 {
        if wire.send(&piece).is_err() {
            break;
        }
    }
    let reply = wire.reply().unwrap();
    assert_eq!((reply.status(), reply.code().as_str()), (413, "body-too-large"), "{}", reply.text());
    assert_eq!(provider.seen().calls.len(), 0);
}

#[test]
fn a_prompt_of_a_mebibyte_passes_untouched() {
    let provider = Provider::start();
    provider.always(entry(json!({ "reply": "x" })));
    let gateway = Gateway::start_with(
        Set::of(Some(provider.address), &PLAIN.replace("body: 1MiB", "body: 32MiB")),
        &[],
        &[("LAB_KEY", "k")],
    );
    let text = "é\\\"\n".repeat(1 << 18);
    let body = chat("fast", &text, false);
    assert_eq!(gateway.chat(&body).status(), 200);
    let call = provider.seen().calls.remove(0);
    let sent: Value = serde_json::from_str(&call.body).unwrap();
    assert_eq!(sent["messages"][0]["content"].as_str().map(str::len), Some(text.len()));
    assert!(sent["messages"][0]["content"] == body["messages"][0]["content"]);
}

#[test]
fn expect_100_continue_is_answered_before_the_body_is_sent() {
    let (provider, gateway) = plain();
    provider.always(entry(json!({ "reply": "x" })));
    let body = chat("fast", "hi", false).to_string();
    let mut wire = gateway.wire();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    wire.send(head.as_bytes()).unwrap();
    assert_eq!(wire.head().unwrap().status, 100);
    wire.send(body.as_bytes()).unwrap();
    assert_eq!(wire.reply().unwrap().status(), 200);
    // A body that would be refused is not asked for.
    let mut wire = gateway.wire();
    wire.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 9000000\r\n\r\n").unwrap();
    assert_eq!(wire.head().unwrap().status, 413);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn compressed_requests_and_replies_are_read() {
    let provider = Provider::start();
    let policy = PLAIN.replace(
        "      - route: requested",
        "      - guard: short\n        cel: request.text != \"forbidden\"\n      - transform: shout\n        stream: whole\n        rhai: |\n          fn reply(r) { r.text = r.text.to_upper(); }\n      - route: requested",
    );
    let gateway = Gateway::start_with(Set::of(Some(provider.address), &policy), &[], &[("LAB_KEY", "k")]);
    let body = json!({ "id": "x", "object": "chat.completion", "model": "m", "choices": [{ "index": 0, "message": { "role": "assistant", "content": "loud" }, "finish_reason": "stop" }] });
    let packed = gzip(body.to_string().as_bytes());
    provider.always(whole(
        200,
        &[("content-type", "application/json"), ("content-encoding", "gzip")],
        &packed,
    ));
    let send = |text: &str| {
        let packed = gzip(chat("fast", text, false).to_string().as_bytes());
        let headers =
            [("content-type", "application/json"), ("content-encoding", "gzip"), ("accept-encoding", "gzip")];
        gateway.wire().exchange(&request("POST", "/v1/chat/completions", &headers, &packed)).unwrap()
    };
    let denied = send("forbidden");
    assert_eq!((denied.status(), denied.code().as_str()), (403, "denied"), "{}", denied.text());
    let reply = send("fine");
    assert_eq!((reply.status(), reply.words().as_str()), (200, "LOUD"), "{}", reply.text());
    assert_eq!(reply.header("content-encoding"), None);
    let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
    let broken =
        gateway.wire().exchange(&request("POST", "/v1/chat/completions", &headers, b"no gzip")).unwrap();
    assert_eq!((broken.status(), broken.code().as_str()), (415, "bad-encoding"), "{}", broken.text());
}

#[test]
fn a_connection_is_kept_and_pipelined_requests_are_answered_in_order() {
    let (provider, gateway) = plain();
    provider.always(entry(json!({ "reply": "x" })));
    let mut wire = gateway.wire();
    for n in 0..3 {
        let id = n.to_string();
        let body = chat("fast", "hi", false).to_string();
        let reply = wire
            .exchange(&request("POST", "/v1/chat/completions", &[("x-request-id", &id)], body.as_bytes()))
            .unwrap();
        assert_eq!((reply.status(), reply.header("x-request-id")), (200, Some(id.as_str())));
    }
    let two = [request("GET", "/healthz", &[], b""), request("GET", "/v1/models", &[], b"")].concat();
    wire.send(&two).unwrap();
    assert_eq!(wire.reply().unwrap().text(), "ok\n");
    assert_eq!(wire.reply().unwrap().json()["object"], "list");
}

#[test]
fn a_providers_faults_are_mapped_and_leak_nothing() {
    let provider = Provider::start();
    let error = |status: u16| {
        let body = json!({ "error": { "message": "key sk-lab-secret at 10.0.0.5 said: my prompt", "type": "t", "code": "c" } });
        whole(
            status,
            &[("content-type", "application/json"), ("retry-after", "7")],
            body.to_string().as_bytes(),
        )
    };
    for (upstream, status, code) in [
        (error(401), 502, "upstream-unauthorized"),
        (error(403), 502, "upstream-unauthorized"),
        (error(404), 404, "upstream-rejected"),
        (error(429), 429, "upstream-rate-limited"),
        (error(500), 502, "upstream-error"),
        (error(503), 502, "upstream-error"),
        (
            whole(200, &[("content-type", "application/json")], b"{\"choices\": [ nonsense"),
            502,
            "upstream-invalid",
        ),
        (entry(json!({ "reply": "x", "fault": "cut" })), 502, "upstream-broken"),
    ] {
        // Each in a process of its own: failures add up to an open breaker.
        let gateway = Gateway::start_with(
            Set::of(
                Some(provider.address),
                &PLAIN.replace(
                    "      - route: requested",
                    "      - observe: metrics\n      - route: requested",
                ),
            ),
            &[],
            &[("LAB_KEY", "sk-lab-secret")],
        );
        provider.always(upstream);
        let reply = gateway.chat(&chat("fast", "my prompt", false));
        assert_eq!((reply.status(), reply.code().as_str()), (status, code), "{}", reply.text());
        let text = reply.text();
        for secret in ["sk-lab-secret", "10.0.0.5", "my prompt", &provider.address.to_string()] {
            assert!(!text.contains(secret), "{text}");
        }
        if code == "upstream-rate-limited" {
            assert_eq!(reply.header("retry-after"), Some("7"));
        }
    }
}

#[test]
fn nobody_there_is_a_502_and_a_wrong_key_a_401() {
    let policy = r#"
weir: v1
listeners:
  edge: { address: "{EDGE}", identify: [key] }
keys:
  team-a: { secret: "${env:TEAM_KEY}", team: a, models: [fast] }
providers:
  lab: { dialect: openai, base_url: "http://127.0.0.1:9/v1" }
models:
  fast: { targets: [{ provider: lab, model: m }] }
  other: { targets: [{ provider: lab, model: m }] }
pipelines:
  - pipeline: all
    stages:
      - guard: key
      - route: requested
"#;
    let gateway = Gateway::start_with(Set::of(None, policy), &[], &[("TEAM_KEY", "wr_team_a")]);
    let send = |key: Option<&str>, model: &str| {
        let bearer = key.map(|key| format!("Bearer {key}"));
        let headers: Vec<(&str, &str)> =
            bearer.iter().map(|value| ("authorization", value.as_str())).collect();
        let reply = post(gateway.edge, "/v1/chat/completions", &headers, &chat(model, "hi", false));
        (reply.status(), reply.code())
    };
    assert_eq!(send(Some("wr_team_a"), "fast"), (502, "upstream-unreachable".to_owned()));
    assert_eq!(send(Some("wr_team_b"), "fast"), (401, "invalid-key".to_owned()));
    assert_eq!(send(None, "fast"), (401, "invalid-key".to_owned()));
    assert_eq!(send(Some("wr_team_a"), "other").0, 403);
}

#[test]
fn a_script_without_end_costs_its_own_request_an_error_and_nobody_else() {
    let provider = Provider::start();
    provider.always(entry(json!({ "reply": "x" })));
    // An endless loop, and one that hides in what functions of the language call.
    let policy = PLAIN.replace(
        "      - route: requested",
        "      - transform: endless\n        when: request.text == \"loop\"\n        rhai: |\n          fn request(r) { loop {} }\n      \
         - transform: nested\n        when: request.text == \"nested\"\n        rhai: |\n          fn request(r) { let a = []; a.pad(9000, 1); a.map(|x| { let c = []; c.pad(9000, 1); c.map(|y| 1).len() }); }\n      - route: requested",
    );
    let gateway = Gateway::start_with(Set::of(Some(provider.address), &policy), &[], &[("LAB_KEY", "k")]);
    let endless: Vec<_> = (0..20)
        .map(|n| {
            let (edge, text) = (gateway.edge, if n % 2 == 0 { "loop" } else { "nested" });
            std::thread::spawn(move || post(edge, "/v1/chat/completions", &[], &chat("fast", text, false)))
        })
        .collect();
    for _ in 0..20 {
        assert_eq!(gateway.chat(&chat("fast", "hi", false)).status(), 200);
    }
    for reply in endless {
        let reply = reply.join().unwrap();
        assert_eq!((reply.status(), reply.code().as_str()), (503, "stage-unavailable"), "{}", reply.text());
    }
    assert_eq!(provider.seen().calls.len(), 20);
}

#[test]
fn what_no_pipeline_takes_is_refused_whichever_way_a_conversation_is_asked() {
    let provider = Provider::start();
    let guarded = |when: &str| {
        let stages = format!(
            "    when: {when}\n    stages:\n      - guard: regex\n        with: {{ deny: [secret-word] }}\n"
        );
        let policy = PLAIN.replace("    stages:\n", &stages);
        Gateway::start_with(Set::of(Some(provider.address), &policy), &[], &[("LAB_KEY", "k")])
    };
    let ask = |gateway: &Gateway, says: &str| {
        let reply = post(gateway.edge, "/v1/responses", &[], &json!({ "model": "fast", "input": says }));
        (reply.status(), reply.code())
    };
    // Written before there were responses: they are nobody's.
    let gateway = guarded("request.operation == \"chat\"");
    assert_eq!(ask(&gateway, "the secret-word"), (404, "no-pipeline".to_owned()));
    assert_eq!(ask(&gateway, "hi"), (404, "no-pipeline".to_owned()));
    drop(gateway);
    let gateway = guarded("request.operation in [\"chat\", \"response\"]");
    assert_eq!(ask(&gateway, "the secret-word"), (403, "content-denied".to_owned()));
    assert!(provider.seen().calls.is_empty());
    provider.always(entry(json!({ "reply": "x" })));
    assert_eq!(ask(&gateway, "hi").0, 200);
}

#[test]
fn too_many_connections_are_told_so_and_the_rest_is_served() {
    let provider = Provider::start();
    provider.always(entry(json!({ "reply": "x" })));
    let policy = PLAIN.replace("header_count: 40", "header_count: 40, connections: 5");
    let gateway = Gateway::start_with(Set::of(Some(provider.address), &policy), &[], &[("LAB_KEY", "k")]);
    let mut held: Vec<Wire> = (0..5)
        .map(|_| {
            let mut wire = gateway.wire();
            assert_eq!(wire.exchange(&request("GET", "/healthz", &[], b"")).unwrap().status(), 200);
            wire
        })
        .collect();
    let refused = gateway.wire().reply().unwrap();
    assert_eq!((refused.status(), refused.code().as_str()), (503, "overloaded"));
    let body = chat("fast", "hi", false).to_string();
    let reply = held[0].exchange(&request("POST", "/v1/chat/completions", &[], body.as_bytes())).unwrap();
    assert_eq!(reply.status(), 200);
    held.clear();
    weir_conformance::harness::eventually("room for another", || {
        (Wire::connect(gateway.edge).exchange(&request("GET", "/healthz", &[], b"")).ok()?.status() == 200)
            .then_some(())
    });
}
