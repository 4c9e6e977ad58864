//! Caches as clients and operators see them, beside what the cases and the matrix show.

use serde_json::{Value, json};
use weir_conformance::harness::{Gateway, Provider, Reply, Set, chat, entry, post};

const POLICY: &str = r#"
weir: v1
listeners:
  edge: { address: "{EDGE}" }
providers:
  lab: { dialect: openai, base_url: "http://{UPSTREAM}/lab/v1" }
models:
  fast: { targets: [{ provider: lab, model: m-1 }] }
pipelines:
  - pipeline: all
    anonymous: true
    stages:
      - cache: exact
        with: { per: everyone }
      - route: requested
"#;

fn start(policy: &str) -> (Provider, Gateway) {
    let provider = Provider::start();
    provider.always(entry(json!({ "reply": "x" })));
    let gateway = Gateway::start(Set::of(Some(provider.address), policy));
    (provider, gateway)
}

fn ask(gateway: &Gateway, text: &str, control: &str) -> Reply {
    post(gateway.edge, "/v1/chat/completions", &[("cache-control", control)], &chat("fast", text, false))
}

fn looked(reply: &Reply) -> &str {
    reply.header("x-weir-cache").unwrap_or("-")
}

#[test]
fn a_clients_cache_control_is_heeded_where_the_policy_allows_it() {
    let (provider, gateway) =
        start(&POLICY.replace("per: everyone", "per: everyone, honour_cache_control: true"));
    for (text, control, cache, status) in [
        ("one", "only-if-cached", "miss", 504),
        ("one", "no-store", "bypass", 200),
        ("one", "max-age=60", "miss", 200),
        ("one", "max-age=60", "hit", 200),
        ("one", "only-if-cached", "hit", 200),
        ("one", "no-cache", "bypass", 200),
        ("one", "no-store", "bypass", 200),
        ("one", "", "hit", 200),
    ] {
        let reply = ask(&gateway, text, control);
        assert_eq!((looked(&reply), reply.status()), (cache, status), "{control}: {}", reply.text());
    }
    assert_eq!(provider.seen().calls.len(), 4, "no-store, the first max-age, no-cache, no-store");
}

#[test]
fn a_clients_cache_control_changes_nothing_where_the_policy_does_not_allow_it() {
    let (provider, gateway) = start(POLICY);
    for (control, cache) in
        [("no-store", "miss"), ("no-cache", "hit"), ("max-age=0", "hit"), ("only-if-cached", "hit")]
    {
        assert_eq!(looked(&ask(&gateway, "one", control)), cache, "{control}");
    }
    assert_eq!(provider.seen().calls.len(), 1);
}

#[test]
fn a_shadowed_cache_says_whether_it_would_have_hit_and_how_near_the_question_was() {
    if !crate::has_models() {
        return;
    }
    let shadowed = "cache: semantic\n        mode: shadow\n        with: { per: everyone, threshold: 0.8 }";
    let (provider, gateway) =
        start(&POLICY.replace("cache: exact\n        with: { per: everyone }", shadowed));
    let stage = |id: &str, text: &str| -> Value {
        let headers = [("x-request-id", id)];
        let reply = post(gateway.edge, "/v1/chat/completions", &headers, &chat("fast", text, false));
        assert_eq!((reply.status(), reply.header("x-weir-cache")), (200, None), "{}", reply.text());
        gateway.trace(id)["stages"]
            .as_array()
            .unwrap()
            .iter()
            .find(|stage| stage["name"] == "semantic")
            .unwrap()
            .clone()
    };
    let first = stage("first", "How do I reset my password?");
    assert_eq!(first["decision"], "passed", "{first}");
    let near = stage("near", "How can I reset my password?");
    assert_eq!(near["decision"], "answered", "{near}");
    let similarity = near["facts"]["similarity"].as_f64().unwrap();
    assert!((0.8..1.0).contains(&similarity), "{near}");
    let far = stage("far", "What is the capital of France?");
    assert_eq!(far["decision"], "passed", "{far}");
    assert!(far["facts"]["similarity"].as_f64().unwrap() < 0.8, "{far}");
    assert_eq!(provider.seen().calls.len(), 3, "a shadow answers nobody");
}

#[test]
fn what_a_client_writes_itself_is_no_placeholder_that_a_guard_made() {
    let guard = "- guard: pii\n        with: { find: [email], then: replace, restore: true }\n      - cache";
    let (provider, gateway) = start(&POLICY.replace("- cache", guard));
    provider.always(entry(json!({ "mirror": "user" })));
    for (text, cache) in [
        ("write to bob@example.com", "miss"),
        // The same bytes as what the provider was asked before.
        ("write to <EMAIL_1>", "miss"),
        ("write to <EMAIL_1>", "hit"),
        ("write to eve@example.com", "hit"),
    ] {
        let reply = ask(&gateway, text, "");
        assert_eq!((looked(&reply), reply.words().as_str()), (cache, text), "{}", reply.text());
    }
    assert_eq!(provider.seen().calls.len(), 2);
}

#[test]
fn an_answer_that_an_admin_tells_wrong_is_given_to_nobody_any_more() {
    if !crate::has_models() {
        return;
    }
    let semantic = "cache: semantic\n        with: { per: everyone, threshold: 0.8 }";
    let policy = POLICY.replace("cache: exact\n        with: { per: everyone }", semantic);
    let policy = format!("{policy}admin: {{ token: \"${{env:ADMIN}}\" }}\n");
    let provider = Provider::start();
    provider.always(entry(json!({ "reply": "x" })));
    let set = Set::of(Some(provider.address), &policy);
    let gateway = Gateway::start_with(set, &[], &[("ADMIN", "root")]);
    let ask = |id: &str, text: &str| {
        let headers = [("x-request-id", id)];
        let reply = post(gateway.edge, "/v1/chat/completions", &headers, &chat("fast", text, false));
        looked(&reply).to_owned()
    };
    let tell = |id: &str, token: &str| {
        let headers = [("authorization", token)];
        post(gateway.admin, &format!("/admin/v1/cache/{id}/wrong"), &headers, &json!(null))
    };
    let wrong = |id: &str| tell(id, "Bearer root");
    assert_eq!(ask("first", "How do I reset my password?"), "miss");
    assert_eq!(ask("second", "How can I reset my password?"), "hit");
    assert_eq!(wrong("first").status(), 404, "no cache answered it");
    assert_eq!(tell("second", "Bearer other").status(), 401, "only who shows the token");
    let told = wrong("second");
    assert_eq!((told.status(), told.json()), (200, json!({ "evicted": 1 })));
    assert_eq!(ask("third", "How can I reset my password?"), "miss");
    assert_eq!(ask("fourth", "How do I reset my password?"), "miss", "the two share no answer any more");
    assert_eq!(provider.seen().calls.len(), 3);
}
