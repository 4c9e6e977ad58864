//! Guards that ask a service outside: what is asked over the wire, and what becomes of slow, broken and absent services.

mod shapes;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::{Value, json};
use weir_conformance::harness::{Gateway, Provider, Reply, Set, chat, entry, eventually, request};
use weir_conformance::upstream::{CallRecord, Reaction};

/// A gateway with this guard in front of a provider; both are the scripted upstream, and answer in turn.
fn start(provider: &Provider, guard: &str) -> Gateway {
    let policy = format!(
        r#"
weir: v1
listeners:
  edge: {{ address: "{{EDGE}}" }}
providers:
  lab: {{ dialect: openai, base_url: "http://{{UPSTREAM}}/lab/v1" }}
models:
  fast: {{ targets: [{{ provider: lab, model: m }}] }}
pipelines:
  - pipeline: all
    anonymous: true
    stages:
      - observe: log
      - guard: {guard}
      - route: requested
"#
    );
    let guard_set = Set::of(Some(provider.address), &policy);
    Gateway::start_with(guard_set, &[], &[("SERVICE_SECRET", "whsec_c2VjcmV0LW9mLXRlc3Rz")])
}

fn answer(body: &Value) -> Reaction {
    entry(json!({ "body": body }))
}

fn says(text: &str) -> Reaction {
    entry(json!({ "reply": text }))
}

/// The calls that a service got.
fn asked(provider: &Provider, name: &str) -> Vec<CallRecord> {
    provider.seen().calls.into_iter().filter(|call| call.provider == name).collect()
}

fn header<'c>(call: &'c CallRecord, name: &str) -> Option<&'c str> {
    call.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
}

fn ask(gateway: &Gateway, text: &str, stream: bool) -> Reply {
    let body = chat("fast", text, stream).to_string();
    let headers = [("content-type", "application/json"), ("x-request-id", "asks")];
    let bytes = request("POST", "/v1/chat/completions", &headers, body.as_bytes());
    gateway.wire().exchange(&bytes).unwrap()
}

const HOOK: &str = "webhook\n        with: { url: \"http://{UPSTREAM}/hook/judge?team=x\", secret: \"${env:SERVICE_SECRET}\"";

#[test]
fn a_webhook_is_asked_signed_and_its_word_holds() {
    let provider = Provider::start();
    let gateway = start(&provider, &format!("{HOOK}, on: [request] }}"));
    provider.answers(vec![answer(&json!({ "verdict": "allow" })), says("fine")]);
    let reply = ask(&gateway, "hello", false);
    assert_eq!((reply.status(), reply.words().as_str()), (200, "fine"), "{}", reply.text());
    let calls = asked(&provider, "hook");
    let [call] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!((call.method.as_str(), call.path.as_str()), ("POST", "/judge?team=x"));
    let (id, time) = (header(call, "webhook-id").unwrap(), header(call, "webhook-timestamp").unwrap());
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"secret-of-tests");
    let signature = STANDARD.encode(hmac::sign(&key, format!("{id}.{time}.{}", call.body).as_bytes()));
    assert_eq!(header(call, "webhook-signature"), Some(format!("v1,{signature}").as_str()));
    assert!(!gateway.log().contains("secret-of-tests") && !call.body.contains("SERVICE_SECRET"));
    provider.answers(vec![answer(&json!({ "verdict": "deny", "message": "no" }))]);
    let reply = ask(&gateway, "hello", false);
    assert_eq!((reply.status(), reply.code().as_str()), (403, "content-denied"), "{}", reply.text());
    assert_eq!(provider.seen().calls.len(), 1);
}

#[test]
fn a_service_that_is_slow_absent_or_elsewhere_is_a_fault_in_time() {
    let provider = Provider::start();
    let guard = format!("{HOOK}, on: [request], asks: {{ deadline: 400ms, tries: 3 }} }}");
    let gateway = start(&provider, &guard);
    let slow = || entry(json!({ "body": { "verdict": "allow" }, "delay": "30s" }));
    let elsewhere = || entry(json!({ "status": 302, "headers": { "location": "/hook/other" }, "body": "" }));
    let overloaded = || entry(json!({ "status": 503, "headers": { "retry-after": "60" } }));
    let cut = || entry(json!({ "body": { "verdict": "allow" }, "fault": "cut" }));
    for (answers, calls) in [(vec![slow()], 1), (vec![elsewhere()], 1), (vec![overloaded()], 1)] {
        provider.answers(answers);
        let reply = ask(&gateway, "hello", false);
        assert_eq!((reply.status(), reply.code().as_str()), (503, "stage-unavailable"), "{}", reply.text());
        assert_eq!(provider.seen().calls.len(), calls, "{:?}", provider.seen());
    }
    // What was cut is asked again.
    provider.answers(vec![cut(), answer(&json!({ "verdict": "allow" })), says("fine")]);
    assert_eq!(ask(&gateway, "hello", false).status(), 200);
    let ids: Vec<String> =
        asked(&provider, "hook").iter().map(|call| header(call, "webhook-id").unwrap().to_owned()).collect();
    assert!(ids.len() == 2 && ids[0] == ids[1], "{ids:?}");
    // Passed over where the policy says so.
    let skips = start(
        &provider,
        &format!("{HOOK}, on: [request], asks: {{ deadline: 200ms }} }}\n        on_error: skip"),
    );
    provider.answers(vec![slow(), says("fine")]);
    assert_eq!(ask(&skips, "hello", false).status(), 200);
    assert!(
        eventually("the log", || skips.lines("asks").first().cloned()).to_string().contains("fault-skipped")
    );
}

#[test]
fn of_a_stream_nothing_goes_out_before_it_is_judged() {
    let provider = Provider::start();
    let gateway = start(&provider, &format!("{HOOK}, on: [reply], asks: {{ window: 32B }} }}"));
    let words = "one two three four five six seven eight nine ten eleven twelve";
    let verdict = |verdict: &str| answer(&json!({ "verdict": verdict }));
    let mut answers = vec![says(words)];
    answers.extend((0..6).map(|_| verdict("allow")));
    provider.answers(answers);
    let reply = ask(&gateway, "count", true);
    assert_eq!(reply.streamed(), words, "{}", reply.text());
    let asked_of = asked(&provider, "hook");
    let texts: Vec<Value> = asked_of.iter().map(|call| serde_json::from_str(&call.body).unwrap()).collect();
    assert!(texts.len() >= 2, "{texts:?}");
    let all: String = texts.iter().map(|one| one["texts"][0]["text"].as_str().unwrap()).collect();
    assert_eq!(all, words, "each word is judged once");
    assert_eq!(texts.iter().filter(|one| one["stream"]["last"] == true).count(), 1, "{texts:?}");
    assert!(texts[1]["texts"][0]["before"].as_str().unwrap().starts_with("one two"), "{}", texts[1]);
    provider.answers(vec![says(words), verdict("allow"), verdict("deny")]);
    let reply = ask(&gateway, "count", true);
    assert!(reply.text().contains("content-denied") && !reply.text().contains("[DONE]"), "{}", reply.text());
    assert!(!reply.streamed().contains("nine"), "{}", reply.streamed());
}

#[test]
fn in_shadow_a_service_is_asked_and_changes_nothing() {
    let provider = Provider::start();
    let gateway = start(&provider, &format!("{HOOK}, on: [request] }}\n        mode: shadow"));
    // Which of the two is asked first is not said: both take this answer for theirs.
    let both = json!({ "verdict": "deny", "choices": [{ "index": 0, "message": { "role": "assistant", "content": "fine" }, "finish_reason": "stop" }] });
    provider.always(answer(&both));
    let reply = ask(&gateway, "hello", false);
    assert_eq!((reply.status(), reply.words().as_str()), (200, "fine"), "{}", reply.text());
    let stage = || {
        let trace = gateway.trace("asks");
        trace["stages"].as_array().unwrap().iter().find(|stage| stage["name"] == "webhook").cloned()
    };
    let stage = eventually("the shadow's word", stage);
    assert_eq!((&stage["decision"], &stage["mode"]), (&json!("denied"), &json!("shadow")), "{stage}");
}
