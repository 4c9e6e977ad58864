//! What those who run a gateway see: lines of the log, metrics, traces, the revision; and that they see no more than they should.

pub(crate) mod open_metrics;

use open_metrics::Exposition;
use serde_json::{Value, json};
use weir_conformance::harness::{
    Gateway, Provider, Reply, Set, Wire, chat, entry, eventually, post, request, whole,
};

const POLICY: &str = r#"
weir: v1
listeners:
  edge: { address: "{EDGE}", identify: [key] }
keys:
  one: { secret: "${env:CALLER_KEY}", team: blue }
providers:
  lab: { dialect: openai, base_url: "http://{UPSTREAM}/lab/v1", key: "${env:LAB_KEY}" }
models:
  fast: { targets: [{ provider: lab, model: m-1 }] }
pipelines:
  - pipeline: all
    stages:
      - observe: log
        with: { headers: [user-agent] }
      - observe: metrics
      - guard: key
      - guard: words
        cel: '!request.text.contains("forbidden")'
        deny: { status: 451, code: bad-word, message: "not here" }
      - cache: exact
        with: { per: caller.team }
      - route: requested
"#;

const SECRETS: [(&str, &str); 2] = [("CALLER_KEY", "wr_caller_key_7"), ("LAB_KEY", "sk-lab-secret-9")];

fn start(policy: &str) -> (Provider, Gateway) {
    let provider = Provider::start();
    let gateway = Gateway::start_with(Set::of(Some(provider.address), policy), &[], &SECRETS);
    (provider, gateway)
}

fn ask(gateway: &Gateway, id: &str, body: &Value) -> Reply {
    let headers = [
        ("authorization", "Bearer wr_caller_key_7"),
        ("x-request-id", id),
        ("user-agent", "suite/1"),
        ("cookie", "session=cookie-secret"),
    ];
    post(gateway.edge, "/v1/chat/completions", &headers, body)
}

/// The metrics, which must keep the rules of their format.
fn metrics(gateway: &Gateway) -> Exposition {
    let reply = gateway.admin("/metrics");
    assert!(reply.header("content-type").unwrap().starts_with("application/openmetrics-text; version=1.0.0"));
    Exposition::read(&reply.text()).unwrap_or_else(|why| panic!("{why}\n{}", reply.text()))
}

#[test]
fn each_request_of_a_pipeline_is_one_line_of_json_on_standard_output_and_tells_no_secret() {
    let (provider, gateway) = start(POLICY);
    let prompt = "the prompt-words of eve@example.org";
    provider.always(entry(json!({ "reply": "the reply-words", "usage": { "input": 5, "output": 7 } })));
    assert_eq!(ask(&gateway, "plain", &chat("fast", prompt, false)).status(), 200);
    assert_eq!(ask(&gateway, "hit", &chat("fast", prompt, true)).status(), 200);
    assert_eq!(ask(&gateway, "stream", &chat("fast", "prompt-words two", true)).status(), 200);
    assert_eq!(ask(&gateway, "denied", &chat("fast", "forbidden prompt-words", false)).status(), 451);
    assert_eq!(ask(&gateway, "unknown", &chat("slow", "prompt-words", false)).status(), 404);
    let error = json!({ "error": { "message": "no: prompt-words", "type": "t", "code": "c" } });
    provider.always(whole(500, &[("content-type", "application/json")], error.to_string().as_bytes()));
    assert_eq!(ask(&gateway, "failed", &chat("fast", "prompt-words three", false)).status(), 502);
    provider.always(entry(json!({ "events": ["reply-words ", { "delay": "10s" }, "more"] })));
    let mut wire = Wire::connect(gateway.edge);
    let headers = [("authorization", "Bearer wr_caller_key_7"), ("x-request-id", "gone")];
    let body = chat("fast", "prompt-words four", true).to_string();
    wire.send(&request("POST", "/v1/chat/completions", &headers, body.as_bytes())).unwrap();
    wire.head().unwrap();
    drop(wire);
    // Whom the listener does not know, no pipeline takes.
    let refused = post(
        gateway.edge,
        "/v1/chat/completions",
        &[("x-request-id", "nobody"), ("authorization", "Bearer wr_wrong_key")],
        &chat("fast", prompt, false),
    );
    assert_eq!(refused.status(), 401);
    for (id, status, outcome, error, cache, calls) in [
        ("plain", 200, "replied", None, Some("miss"), 1),
        ("hit", 200, "answered", None, Some("hit"), 0),
        ("stream", 200, "replied", None, Some("miss"), 1),
        ("denied", 451, "denied", Some("bad-word"), None, 0),
        ("unknown", 404, "failed", Some("unknown-model"), None, 0),
        ("failed", 502, "failed", Some("upstream-error"), Some("miss"), 1),
        ("gone", 200, "cancelled", None, Some("miss"), 1),
    ] {
        let lines = gateway.lines_of(id, 1);
        assert_eq!(lines.len(), 1, "{id}");
        let line = &lines[0];
        assert_eq!(line["status"], status, "{line}");
        assert_eq!(line["outcome"], outcome, "{line}");
        assert_eq!(line["error"].as_str(), error, "{line}");
        assert_eq!(line["pipeline"], "all", "{line}");
        assert_eq!(line["caller"]["team"], "blue", "{line}");
        assert_eq!(line["operation"], "chat", "{line}");
        assert!(
            line["revision"].is_string() && line["time"].is_number() && line["ms"]["total"].is_number(),
            "{line}"
        );
        assert_eq!(line["attempts"].as_array().map(Vec::len), Some(calls), "{line}");
        if id != "unknown" {
            assert_eq!(line["cache"].as_str(), cache, "{line}");
        }
        if id == "plain" {
            assert_eq!(
                (line["usage"]["input"].as_u64(), line["usage"]["output"].as_u64()),
                (Some(5), Some(7)),
                "{line}"
            );
            assert_eq!(line["headers"]["user-agent"], "suite/1", "{line}");
        }
        if id == "denied" {
            let words =
                line["stages"].as_array().unwrap().iter().find(|stage| stage["stage"] == "words").unwrap();
            assert_eq!(words["decision"], "denied", "{line}");
        }
    }
    let said = format!("{}{}", gateway.out(), gateway.log());
    for secret in [
        "prompt-words",
        "reply-words",
        "eve@example.org",
        "wr_caller_key_7",
        "wr_wrong_key",
        "sk-lab-secret-9",
        "cookie-secret",
    ] {
        assert!(!said.contains(secret), "{secret} in\n{said}");
    }
    // One line each, and nothing that is no line of JSON after the greeting.
    let lines: Vec<String> = gateway.out().lines().map(str::to_owned).collect();
    let first = lines.iter().position(|line| line.starts_with("{\"")).unwrap();
    assert!(lines[first..].iter().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{lines:?}");
    assert_eq!(lines.len() - first, 7, "{lines:?}");
}

#[test]
fn prompts_are_written_where_asked_for_and_as_they_are_at_that_place() {
    let policy = POLICY.replace(
        "      - observe: log\n        with: { headers: [user-agent] }\n",
        "      - observe: log\n        name: above\n        with: { prompts: true, fields: { place: '\"above\"' } }\n      \
         - guard: pii\n        with: { find: [email], then: replace, restore: true }\n      \
         - observe: log\n        name: below\n        with: { prompts: true, fields: { place: '\"below\"' } }\n",
    );
    let (provider, gateway) = start(&policy);
    provider.always(entry(json!({ "mirror": "user" })));
    for stream in [false, true] {
        let id = format!("p-{stream}");
        let reply = ask(&gateway, &id, &chat("fast", "write to bob@example.com", stream));
        let words = if stream { reply.streamed() } else { reply.words() };
        assert_eq!(words, "write to bob@example.com", "{}", reply.text());
        let lines = gateway.lines_of(&id, 2);
        assert_eq!(lines.len(), 2);
        for (place, text) in [("above", "write to bob@example.com"), ("below", "write to <EMAIL_1>")] {
            let line = lines.iter().find(|line| line["place"] == place).unwrap();
            assert_eq!(line["prompt"], json!([{ "role": "user", "text": text }]), "{line}");
            assert_eq!(line["reply"], text, "{line}");
        }
    }
    // What a provider says of its failure may quote the prompt, so it is written where prompts are.
    let error = json!({ "error": { "message": "no: to bob@example.com", "type": "t", "code": "c" } });
    provider.always(whole(500, &[("content-type", "application/json")], error.to_string().as_bytes()));
    assert_eq!(ask(&gateway, "failed", &chat("fast", "fails", false)).status(), 502);
    for line in gateway.lines_of("failed", 2) {
        assert_eq!(line["provider_said"], "no: to bob@example.com", "{line}");
    }
    let said = format!("{}{}", gateway.out(), gateway.log());
    for secret in ["wr_caller_key_7", "sk-lab-secret-9", "cookie-secret"] {
        assert!(!said.contains(secret), "{secret} in\n{said}");
    }
}

#[test]
fn metrics_are_open_metrics_and_count_right() {
    let (provider, gateway) = start(POLICY);
    let before = metrics(&gateway);
    assert_eq!(before.sum("weir_requests_total", &[]), 0.0);
    provider.always(entry(json!({ "reply": "x", "usage": { "input": 5, "output": 7 } })));
    for n in 0..5 {
        // Two of them alike: the second is a hit.
        ask(&gateway, &format!("m-{n}"), &chat("fast", &format!("text {}", n.min(3)), n == 1));
    }
    for n in 5..8 {
        ask(&gateway, &format!("m-{n}"), &chat("fast", "forbidden", false));
    }
    // Names that clients make up are no labels.
    for (n, name) in ["no\"such", "a\nb", "c\\d"].iter().enumerate() {
        assert_eq!(ask(&gateway, &format!("m-{}", n + 8), &chat(name, "hi", false)).status(), 404);
    }
    provider.always(entry(json!({ "status": 500 })));
    ask(&gateway, "m-11", &chat("fast", "fails", false));
    for n in 0..12 {
        gateway.trace(&format!("m-{n}"));
    }
    gateway.lines_of("m-11", 1);
    let after = metrics(&gateway);
    for (name, labels, count) in [
        ("weir_requests_total", vec![], 12.0),
        ("weir_requests_total", vec![("outcome", "replied"), ("http_response_status_code", "200")], 4.0),
        ("weir_requests_total", vec![("outcome", "answered"), ("http_response_status_code", "200")], 1.0),
        ("weir_requests_total", vec![("outcome", "denied")], 3.0),
        ("weir_requests_total", vec![("gen_ai_request_model", "unknown")], 3.0),
        ("weir_requests_total", vec![("http_response_status_code", "502")], 1.0),
        ("weir_errors_total", vec![("error_type", "bad-word")], 3.0),
        ("weir_errors_total", vec![("error_type", "unknown-model")], 3.0),
        ("weir_errors_total", vec![("error_type", "upstream-error")], 1.0),
        ("weir_attempts_total", vec![("cause", "none")], 4.0),
        ("weir_attempts_total", vec![("cause", "server-error")], 1.0),
        ("weir_cache_lookups_total", vec![("result", "hit")], 1.0),
        ("weir_stage_decisions_total", vec![("stage", "words"), ("decision", "denied")], 3.0),
        ("gen_ai_client_token_usage_total", vec![("gen_ai_token_type", "input")], 20.0),
        ("gen_ai_client_token_usage_total", vec![("gen_ai_token_type", "output")], 28.0),
        ("gen_ai_server_request_duration_seconds_count", vec![], 12.0),
        ("weir_http_requests_total", vec![], 12.0),
        ("weir_http_requests_in_flight", vec![], 0.0),
        ("weir_last_reload_successful", vec![], 1.0),
    ] {
        assert_eq!(
            after.sum(name, &labels),
            count,
            "{name} {labels:?}\n{}",
            gateway.admin("/metrics").text()
        );
    }
    let models = after.values("gen_ai_request_model");
    assert!(models.iter().all(|model| ["fast", "unknown"].contains(model)), "{models:?}");
}

#[test]
fn requests_that_no_pipeline_takes_are_traced_and_counted_and_seen_by_no_observer() {
    let policy = POLICY.replace("pipeline: all", "pipeline: all\n    when: request.operation == \"chat\"");
    let (_provider, gateway) = start(&policy);
    let key = ("authorization", "Bearer wr_caller_key_7");
    let wrong = ("authorization", "Bearer wr_wrong_key");
    let good = chat("fast", "hi", false);
    let vector = json!({ "model": "fast", "input": "x" });
    for (id, path, key, body, status, code) in [
        ("r-key", "/v1/chat/completions", wrong, good.clone(), 401, "invalid-key"),
        ("r-path", "/v1/none?key=wr_in_the_query", key, good.clone(), 404, "unknown-path"),
        ("r-pipeline", "/v1/embeddings", key, vector, 404, "no-pipeline"),
        ("r-body", "/v1/chat/completions", key, json!([1]), 400, "bad-request"),
        ("r-model", "/v1/models/none", key, Value::Null, 405, "bad-method"),
    ] {
        let reply = post(gateway.edge, path, &[("x-request-id", id), key], &body);
        assert_eq!((reply.status(), reply.code()), (status, code.to_owned()), "{id}: {}", reply.text());
        let trace = gateway.trace(id);
        assert_eq!(trace["error"], code, "{trace}");
        assert_eq!(trace["status"], status, "{trace}");
        assert_eq!((&trace["pipeline"], &trace["stages"]), (&json!(""), &json!([])), "{trace}");
        assert_eq!(trace["path"].as_str(), path.split('?').next(), "{trace}");
        assert_eq!((&trace["listener"], &trace["source"]), (&json!("edge"), &json!("127.0.0.1")), "{trace}");
        let counted = metrics(&gateway).sum("weir_refused_requests_total", &[("code", code)]);
        assert_eq!(counted, 1.0, "{code}");
    }
    assert_eq!(metrics(&gateway).sum("weir_refused_requests_total", &[]), 5.0);
    assert_eq!(ask(&gateway, "taken", &good).status(), 502, "nothing is scripted");
    gateway.lines_of("taken", 1);
    assert!(!gateway.out().contains("r-key"), "observers of a pipeline see what it took");
    let all = gateway.admin("/traces").text();
    assert!(!all.contains("wr_in_the_query") && !all.contains("wr_wrong_key"), "{all}");
}

#[test]
fn a_trace_tells_what_a_shadow_would_have_done_and_nobody_else_notices() {
    let policy = POLICY.replace(
        "      - cache: exact\n        with: { per: caller.team }\n",
        r#"      - guard: strict
        mode: shadow
        cel: 'request.text == "nothing else"'
      - guard: pii
        mode: shadow
        with: { find: [email], then: replace }
      - guard: rate
        mode: shadow
        with: { requests: 1/hour, per: everyone }
      - guard: regex
        mode: shadow
        with: { deny: [reply-words], on: [reply] }
      - transform: marks
        mode: shadow
        rhai: |
          fn request(r) { r.set_header("x-shadow", "yes"); }
      - transform: breaks
        mode: shadow
        rhai: |
          fn request(r) { loop {} }
      - cache: exact
        mode: shadow
        with: { per: caller.team }
"#,
    );
    let (provider, gateway) = start(&policy);
    provider.always(entry(json!({ "reply": "the reply-words" })));
    for (id, stream) in [("s-1", false), ("s-2", true), ("s-3", false)] {
        let reply = ask(&gateway, id, &chat("fast", "to bob@example.com", stream));
        let words = if stream { reply.streamed() } else { reply.words() };
        assert_eq!((reply.status(), words.as_str()), (200, "the reply-words"), "{}", reply.text());
        assert_eq!(reply.header("x-weir-cache"), None, "a shadow says nothing to clients");
        let trace = gateway.trace(id);
        let stage = |name: &str| {
            let mut stages = trace["stages"].as_array().unwrap().iter();
            stages.find(|stage| stage["name"] == name).unwrap_or_else(|| panic!("{name}: {trace}"))
        };
        let decision = |name: &str| {
            let stage = stage(name);
            assert_eq!(stage["mode"], "shadow", "{stage}");
            assert!(stage["took_us"].is_number(), "{stage}");
            stage["decision"].as_str().unwrap().to_owned()
        };
        assert_eq!(decision("strict"), "denied", "{id}: {trace}");
        assert_eq!(decision("pii"), "edited", "{id}: {trace}");
        assert_eq!(decision("regex"), "denied", "{id}: {trace}");
        assert_eq!(decision("marks"), "edited", "{id}: {trace}");
        assert_eq!(decision("breaks"), "faulted", "{id}: {trace}");
        assert_eq!(decision("rate"), if id == "s-1" { "passed" } else { "denied" }, "{id}: {trace}");
        assert_eq!(decision("exact"), if id == "s-1" { "passed" } else { "answered" }, "{id}: {trace}");
        let stored = stage("exact")["facts"]["stored"] == true;
        assert_eq!(stored, id == "s-1", "a shadow stores where it alone looks: {trace}");
        let line = &gateway.lines_of(id, 1)[0];
        let strict =
            line["stages"].as_array().unwrap().iter().find(|stage| stage["stage"] == "strict").unwrap();
        assert_eq!((&strict["shadow"], &strict["decision"]), (&json!(true), &json!("denied")), "{line}");
    }
    let calls = provider.seen().calls;
    assert_eq!(calls.len(), 3, "a shadowed cache answers nobody");
    for call in &calls {
        assert!(call.body.contains("bob@example.com"), "{}", call.body);
        assert!(call.headers.iter().all(|(name, _)| name != "x-shadow"), "{:?}", call.headers);
    }
    let exposition = metrics(&gateway);
    let would = [("stage", "strict"), ("mode", "shadow"), ("decision", "denied")];
    assert_eq!(exposition.sum("weir_stage_decisions_total", &would), 3.0);
}

#[test]
fn a_bad_save_is_told_by_revision_metrics_and_log_until_a_good_one_comes() {
    let (provider, gateway) = start(POLICY);
    provider.always(entry(json!({ "reply": "x" })));
    let good = gateway.admin("/revision").json();
    assert_eq!(good["last_error"], Value::Null);
    gateway.set.write("policy.yaml", &POLICY.replace("request.text.contains", "request.txt.contains"));
    let told = eventually("the refusal", || {
        let told = gateway.admin("/revision").json();
        told["last_error"].is_object().then_some(told)
    });
    assert_eq!(told["revision"], good["revision"]);
    assert_eq!(told["since_unix_nanos"], good["since_unix_nanos"]);
    let error = &told["last_error"];
    assert_eq!(error["count"], 1, "{error}");
    assert_ne!(error["revision"], good["revision"]);
    for part in ["policy.yaml", "txt", "text", "unknown-reference"] {
        assert!(error["diagnostics"].as_str().unwrap().contains(part), "{part}: {error}");
        eventually("the log", || gateway.log().contains(part).then_some(()));
    }
    let exposition = metrics(&gateway);
    assert_eq!(exposition.sum("weir_last_reload_successful", &[]), 0.0);
    assert_eq!(exposition.sum("weir_reloads_total", &[("result", "bad")]), 1.0);
    assert_eq!(exposition.sum("weir_reloads_total", &[("result", "good")]), 0.0);
    let in_force = [("revision", good["revision"].as_str().unwrap())];
    assert_eq!(exposition.sum("weir_revision_info", &in_force), 1.0);
    let reply = ask(&gateway, "still", &chat("fast", "hi", false));
    assert_eq!((reply.status(), reply.header("x-weir-revision")), (200, good["revision"].as_str()));
    gateway.set.write("policy.yaml", &POLICY.replace("not here", "not at all"));
    let told = eventually("the good save", || {
        let told = gateway.admin("/revision").json();
        (told["revision"] != good["revision"]).then_some(told)
    });
    assert_eq!(told["last_error"], Value::Null);
    let exposition = metrics(&gateway);
    assert_eq!(exposition.sum("weir_last_reload_successful", &[]), 1.0);
    assert_eq!(exposition.sum("weir_reloads_total", &[("result", "good")]), 1.0);
    assert_eq!(exposition.sum("weir_revision_info", &[]), 1.0);
}

#[test]
fn caches_are_purged_whole_or_for_one_subject() {
    let policy = POLICY.replace(
        "  one: { secret",
        "  two: { secret: \"${env:OTHER_KEY}\", team: 'red & white' }\n  one: { secret",
    );
    let provider = Provider::start();
    let variables = [SECRETS[0], SECRETS[1], ("OTHER_KEY", "wr_other_key")];
    let gateway = Gateway::start_with(Set::of(Some(provider.address), &policy), &[], &variables);
    provider.always(entry(json!({ "reply": "x" })));
    let ask = |key: &str| {
        let bearer = format!("Bearer {key}");
        let reply = post(
            gateway.edge,
            "/v1/chat/completions",
            &[("authorization", &bearer)],
            &chat("fast", "hi", false),
        );
        assert_eq!(reply.status(), 200, "{}", reply.text());
        reply.header("x-weir-cache").unwrap().to_owned()
    };
    let (blue, red) = ("wr_caller_key_7", "wr_other_key");
    let purge = |query: &str| {
        let path = format!("/caches/purge{query}");
        let reply = Wire::connect(gateway.admin).exchange(&request("POST", &path, &[], b"")).unwrap();
        (reply.status(), reply.json()["purged"].as_u64())
    };
    assert_eq!((ask(blue), ask(red)), ("miss".to_owned(), "miss".to_owned()), "teams share nothing");
    assert_eq!((ask(blue), ask(red)), ("hit".to_owned(), "hit".to_owned()));
    assert_eq!(purge("?per=green"), (200, Some(0)));
    assert_eq!(purge("?per=red%20%26%20white"), (200, Some(1)));
    assert_eq!((ask(blue), ask(red)), ("hit".to_owned(), "miss".to_owned()));
    assert_eq!(purge(""), (200, Some(2)));
    assert_eq!((ask(blue), ask(red)), ("miss".to_owned(), "miss".to_owned()));
    assert_eq!(purge("?per=%zz").0, 400);
    let get = gateway.admin("/caches/purge");
    assert_eq!((get.status(), get.header("allow")), (405, Some("POST")));
    assert_eq!((ask(blue), ask(red)), ("hit".to_owned(), "hit".to_owned()), "and nothing was purged by them");
}
