//! What happens at a limit: what clients are told, and what becomes of a request that there is no room for.

use serde_json::{Value, json};
use weir_conformance::harness::{Gateway, Provider, Reply, Set, chat, entry, eventually, post};

/// A token of an answer costs a hundredth of a dollar; the other model's are free.
fn start(provider: &Provider, guard: &str) -> Gateway {
    start_with(provider, guard, &[])
}

fn start_with(provider: &Provider, guard: &str, variables: &[(&str, &str)]) -> Gateway {
    let policy = format!(
        r#"
weir: v1
listeners:
  edge: {{ address: "{{EDGE}}" }}
providers:
  lab: {{ dialect: openai, base_url: "http://{{UPSTREAM}}/lab/v1" }}
models:
  fast: {{ targets: [{{ provider: lab, model: big }}], price: {{ input: 0, output: 10000 }} }}
  small: {{ targets: [{{ provider: lab, model: little }}], price: {{ input: 0, output: 0 }} }}
pipelines:
  - pipeline: all
    anonymous: true
    stages:
      - guard: {guard}
      - route: requested
"#
    );
    provider.always(entry(
        json!({ "reply": "one two", "usage": { "input": 3, "output": 2 }, "finish": "length" }),
    ));
    Gateway::start_with(Set::of(Some(provider.address), &policy), &[], variables)
}

fn with_most(mut body: Value, tokens: u64) -> Value {
    body["max_tokens"] = json!(tokens);
    body
}

fn ask(gateway: &Gateway, tokens: u64, stream: bool) -> Reply {
    gateway.chat(&with_most(chat("fast", "hi", stream), tokens))
}

fn ask_as_anthropic(gateway: &Gateway, tokens: u64) -> Reply {
    let headers = [("anthropic-version", "2023-06-01")];
    post(gateway.edge, "/v1/messages", &headers, &with_most(chat("fast", "hi", false), tokens))
}

#[test]
fn each_client_is_told_of_limits_in_the_headers_of_its_api() {
    let provider = Provider::start();
    for (guard, code, openai, anthropic) in [
        (
            "rate\n        with: { requests: 2/day, per: everyone, report: true }",
            "rate-limited",
            "requests",
            "anthropic-ratelimit-requests",
        ),
        (
            "rate\n        with: { tokens: 40/day, per: everyone, report: true }",
            "rate-limited",
            "tokens",
            "anthropic-ratelimit-tokens",
        ),
        (
            "quota\n        with: { tokens: 40/day, per: everyone, report: true }",
            "quota-exceeded",
            "tokens",
            "anthropic-ratelimit-tokens",
        ),
        (
            "budget\n        with: { money: 0.05 USD/day, per: everyone, report: true }",
            "budget-exceeded",
            "budget",
            "",
        ),
    ] {
        let gateway = start(&provider, guard);
        let names = ["limit", "remaining", "reset"];
        let reply = ask(&gateway, 2, true);
        assert_eq!(reply.status(), 200, "{guard}: {}", reply.text());
        for name in names {
            assert!(reply.header(&format!("x-ratelimit-{name}-{openai}")).is_some(), "{guard}: {name}");
        }
        let reply = ask_as_anthropic(&gateway, 2);
        assert_eq!(reply.status(), 200, "{guard}: {}", reply.text());
        if !anthropic.is_empty() {
            for name in names {
                assert!(reply.header(&format!("{anthropic}-{name}")).is_some(), "{guard}: {name}");
            }
            assert!(reply.header(&format!("{anthropic}-reset")).unwrap().ends_with('Z'), "{guard}");
            assert_eq!(reply.header(&format!("x-ratelimit-limit-{openai}")), None, "{guard}");
        }
        let mut refused = ask_as_anthropic(&gateway, 2);
        for _ in 0..20 {
            if refused.status() != 200 {
                break;
            }
            refused = ask_as_anthropic(&gateway, 2);
        }
        assert_eq!(refused.status(), 429, "{guard}: {}", refused.text());
        assert_eq!(refused.json()["error"]["details"]["error_code"], code, "{guard}: {}", refused.text());
        assert!(
            refused.header("retry-after").is_some_and(|after| after.parse::<u64>().unwrap() > 0),
            "{guard}"
        );
        let told = if anthropic.is_empty() {
            format!("x-ratelimit-limit-{openai}")
        } else {
            format!("{anthropic}-limit")
        };
        assert!(refused.header(&told).is_some(), "{guard}");
    }
}

#[test]
fn beyond_a_limit_a_request_waits_for_room() {
    let provider = Provider::start();
    let gateway =
        start(&provider, "rate\n        with: { requests: 2/s, per: everyone, then: wait, deadline: 20s }");
    for n in 0..5 {
        let headers = [("x-request-id", "last")];
        let reply = post(gateway.edge, "/v1/chat/completions", &headers, &chat("fast", "hi", false));
        assert_eq!(reply.status(), 200, "{n}: {}", reply.text());
    }
    let trace = gateway.trace("last").to_string();
    assert!(trace.contains("waited_ms"), "{trace}");
    assert_eq!(provider.seen().calls.len(), 5);
}

#[test]
fn beyond_a_limit_another_model_answers() {
    let provider = Provider::start();
    for guard in [
        "rate\n        with: { requests: 1/day, per: everyone, then: route, model: small }",
        "quota\n        with: { tokens: 60/day, per: everyone, then: route, model: small }",
        "budget\n        with: { money: 0.50 USD/day, per: everyone, then: route, model: small }",
    ] {
        let gateway = start(&provider, guard);
        let first = ask(&gateway, 40, false);
        assert_eq!((first.status(), first.header("x-weir-target")), (200, Some("lab/big")), "{guard}");
        let mut last = ask(&gateway, 40, true);
        for _ in 0..30 {
            if last.header("x-weir-target") == Some("lab/little") {
                break;
            }
            last = ask(&gateway, 40, true);
        }
        assert_eq!((last.status(), last.header("x-weir-target")), (200, Some("lab/little")), "{guard}");
        assert_eq!(last.streamed(), "one two", "{guard}");
        let sent: Value = serde_json::from_str(&provider.seen().calls.last().unwrap().body).unwrap();
        assert_eq!(sent["model"], "little", "{guard}");
    }
}

#[test]
fn where_a_budget_ends_answers_end_as_those_do_that_are_long_enough() {
    let provider = Provider::start();
    let gateway =
        start(&provider, "budget\n        with: { money: 0.30 USD/total, per: everyone, then: shorten }");
    // Thirty tokens are left of a thousand that are asked for, then two less each time.
    for (n, left) in (1..=15).rev().map(|n| n * 2).enumerate() {
        let reply = ask(&gateway, 1_000, n % 2 == 0);
        assert_eq!(reply.status(), 200, "{n}: {}", reply.text());
        assert!(reply.text().contains("\"finish_reason\":\"length\""), "{n}: {}", reply.text());
        let sent: Value = serde_json::from_str(&provider.seen().calls.last().unwrap().body).unwrap();
        assert_eq!(sent["max_tokens"], left, "{n}: {sent}");
    }
    let reply = ask(&gateway, 1_000, true);
    assert_eq!((reply.status(), reply.code().as_str()), (429, "budget-exceeded"), "{}", reply.text());
    // In the terms of the client's API.
    let gateway =
        start(&provider, "budget\n        with: { money: 0.30 USD/total, per: everyone, then: shorten }");
    let reply = ask_as_anthropic(&gateway, 1_000);
    assert_eq!(
        (reply.status(), reply.json()["stop_reason"].as_str()),
        (200, Some("max_tokens")),
        "{}",
        reply.text()
    );
}

#[test]
fn a_threshold_that_is_crossed_is_told_once_to_whom_the_policy_names() {
    let provider = Provider::start();
    let notify = "notify: { url: \"http://{UPSTREAM}/hook/warn?team=x\", headers: { authorization: \"Bearer ${env:HOOK}\" } }";
    let guard = format!(
        "budget\n        with: {{ money: 0.20 USD/total, per: everyone, warn: [50%, 90%], {} }}",
        notify.replace("{UPSTREAM}", &provider.address.to_string())
    );
    let gateway = start_with(&provider, &guard, &[("HOOK", "s3")]);
    let mut answered = 0;
    while ask(&gateway, 2, false).status() == 200 {
        answered += 1;
        assert!(answered < 50);
    }
    assert_eq!(answered, 10);
    let told = || -> Vec<Value> {
        let calls = provider.seen().calls.into_iter().filter(|call| call.provider == "hook");
        calls
            .map(|call| {
                assert_eq!((call.method.as_str(), call.path.as_str()), ("POST", "/warn?team=x"));
                assert!(call.headers.contains(&("authorization".to_owned(), "Bearer s3".to_owned())));
                serde_json::from_str(&call.body).unwrap()
            })
            .collect()
    };
    let warnings = eventually("both warnings", || Some(told()).filter(|told| told.len() == 2));
    let thresholds: Vec<f64> = warnings.iter().filter_map(|warning| warning["threshold"].as_f64()).collect();
    assert!(thresholds.contains(&0.5) && thresholds.contains(&0.9), "{warnings:?}");
    for warning in &warnings {
        assert_eq!(
            (&warning["event"], &warning["limit"]),
            (&json!("limit-warning"), &json!("0.20 USD/total")),
            "{warning}"
        );
        assert!(warning["meter"] == "all/budget" && warning["revision"].is_string(), "{warning}");
    }
    assert!(!gateway.log().contains("s3"), "{}", gateway.log());
}
