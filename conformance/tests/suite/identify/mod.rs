//! Who calls: tokens, passwords, certificates, services, expressions, and these together.

mod issuer;
mod others;

use issuer::{Issuer, now};
use serde_json::{Value, json};
use weir_conformance::harness::{Gateway, Provider, Reply, Set, chat, eventually, post, whole};
use weir_conformance::upstream::Reaction;

/// A set that echoes, and tells in headers who calls.
fn policy(identify: &str) -> String {
    format!(
        r#"
weir: v1
listeners:
  edge: {{ address: "{{EDGE}}", {identify} }}
keys:
  app: {{ secret: "${{env:APP_KEY}}", team: data, user: bot }}
providers:
  echo: {{ from: echo }}
models:
  fast: {{ targets: [{{ provider: echo, model: echo }}] }}
  slow: {{ targets: [{{ provider: echo, model: echo }}] }}
pipelines:
  - pipeline: known
    when: caller != null
    stages:
      - transform: headers
        with:
          reply:
            set:
              x-by: {{ cel: caller.by }}
              x-user: {{ cel: caller.user }}
              x-team: {{ cel: caller.team }}
              x-claims: {{ cel: "string(size(caller.claims))" }}
      - route: requested
  - pipeline: nobody
    anonymous: true
    stages:
      - guard: known
        cel: caller != null
        deny: {{ status: 403, code: nobody, message: nobody }}
      - route: requested
"#
    )
}

const JWT: &str = r#"identify: [key, { jwt: { issuer: "https://idp.test", audience: weir, jwks: "http://{UPSTREAM}/idp/keys", team: claims.dept, models: claims.models } }]"#;

fn start(provider: &Provider, identify: &str) -> Gateway {
    let set = Set::of(Some(provider.address), &policy(identify));
    Gateway::start_with(set, &[], &[("APP_KEY", "wr_app")])
}

fn ask(gateway: &Gateway, headers: &[(&str, &str)]) -> Reply {
    post(gateway.edge, "/v1/chat/completions", headers, &chat("fast", "hi", false))
}

fn ask_with(gateway: &Gateway, token: &str) -> Reply {
    ask(gateway, &[("authorization", &format!("Bearer {token}"))])
}

/// Who the gateway took the caller for: how, user, team.
fn who(reply: &Reply) -> (u16, [Option<&str>; 3]) {
    (reply.status(), ["x-by", "x-user", "x-team"].map(|name| reply.header(name)))
}

fn keys(issuers: &[&Issuer]) -> Reaction {
    let all: Vec<Value> = issuers.iter().map(|issuer| issuer.jwk()).collect();
    json_answer(200, &json!({ "keys": all }))
}

fn json_answer(status: u16, body: &Value) -> Reaction {
    whole(status, &[("content-type", "application/json")], body.to_string().as_bytes())
}

fn models() -> Value {
    json!({ "dept": "web", "models": ["fa*"] })
}

#[test]
fn a_token_of_the_issuer_says_who_calls_and_its_keys_are_fetched_once() {
    let (provider, issuer) = (Provider::start(), Issuer::new("k1"));
    let gateway = start(&provider, JWT);
    provider.answers(vec![keys(&[&issuer])]);
    let token = issuer.token(models());
    for _ in 0..3 {
        let reply = ask_with(&gateway, &token);
        assert_eq!(who(&reply), (200, [Some("jwt"), Some("ann"), Some("web")]), "{}", reply.text());
        assert_eq!(reply.header("x-claims"), Some("6"));
    }
    // Where other SDKs show their keys, too.
    assert_eq!(who(&ask(&gateway, &[("x-api-key", &token)])).1[0], Some("jwt"));
    let elsewhere = post(
        gateway.edge,
        "/v1/chat/completions",
        &[("authorization", &format!("Bearer {token}"))],
        &chat("slow", "hi", false),
    );
    assert_eq!((elsewhere.status(), elsewhere.code().as_str()), (403, "denied"), "{}", elsewhere.text());
    // The key beside it works as ever, and who shows nothing is nobody.
    assert_eq!(who(&ask_with(&gateway, "wr_app")), (200, [Some("key"), Some("bot"), Some("data")]));
    assert_eq!(ask(&gateway, &[]).code(), "nobody");
    let calls = provider.seen().calls;
    assert_eq!(calls.len(), 1, "{calls:?}");
    assert_eq!((calls[0].method.as_str(), calls[0].path.as_str()), ("GET", "/keys"));
    assert!(!calls[0].headers.iter().any(|(name, _)| name == "authorization"), "the token stays here");
}

#[test]
fn a_token_that_proves_nobody_is_refused_and_the_reason_is_told() {
    let (provider, issuer) = (Provider::start(), Issuer::new("k1"));
    let gateway = start(&provider, JWT);
    provider.always(keys(&[&issuer]));
    let changed = |claims: Value| issuer.token(claims);
    let good = issuer.token(models());
    let (said, _) = good.rsplit_once('.').unwrap();
    for (name, token, code, words) in [
        ("none", issuer.forged("none"), "invalid-token", "not allowed here"),
        ("a public key as a secret", issuer.forged("HS256"), "invalid-token", "not allowed here"),
        ("no signature", format!("{said}."), "invalid-token", "signature"),
        ("another's signature", Issuer::new("k1").token(models()), "invalid-token", "signature"),
        ("expired", changed(json!({ "exp": now() - 120 })), "invalid-token", "expired"),
        ("without an end", changed(json!({ "exp": null })), "invalid-token", "expired"),
        ("not yet", changed(json!({ "nbf": now() + 600 })), "invalid-token", "not hold yet"),
        ("for others", changed(json!({ "aud": "other" })), "invalid-token", "audience"),
        ("of others", changed(json!({ "iss": "https://other.test" })), "invalid-token", "issuer"),
        ("no token", "wr_other".to_owned(), "invalid-key", "unknown"),
    ] {
        let reply = ask_with(&gateway, &token);
        assert_eq!((reply.status(), reply.code().as_str()), (401, code), "{name}: {}", reply.text());
        assert!(reply.text().contains(words), "{name}: {}", reply.text());
        let shown = token.rsplit('.').next().unwrap();
        assert!(shown.len() < 8 || !reply.text().contains(shown), "{name}: {}", reply.text());
    }
    // Within the skew, an end is none yet.
    assert_eq!(ask_with(&gateway, &changed(json!({ "exp": now() - 20, "models": ["fast"] }))).status(), 200);
    assert_eq!(provider.seen().calls.len(), 1);
}

#[test]
fn a_new_key_is_found_at_its_first_token_and_made_up_names_fetch_nothing() {
    let (provider, first, second) = (Provider::start(), Issuer::new("k1"), Issuer::new("k2"));
    let gateway = start(&provider, JWT);
    provider.answers(vec![keys(&[&first]), keys(&[&first, &second])]);
    assert_eq!(ask_with(&gateway, &first.token(models())).status(), 200);
    assert_eq!(ask_with(&gateway, &second.token(models())).status(), 200);
    assert_eq!(ask_with(&gateway, &first.token(models())).status(), 200);
    for n in 0..20 {
        let reply = ask_with(&gateway, &Issuer::new(&format!("k{n}x")).token(models()));
        assert_eq!(reply.status(), 401, "{}", reply.text());
        assert!(reply.text().contains("does not publish"), "{}", reply.text());
    }
    assert_eq!(provider.seen().calls.len(), 2);
}

#[test]
fn while_the_keys_cannot_be_had_nobody_is_let_in_and_nobody_waits() {
    let issuer = Issuer::new("k1");
    let huge = vec![b' '; 300 << 10];
    for (name, answer) in [
        ("down", whole(500, &[], b"")),
        ("moved", whole(302, &[("location", "http://127.0.0.1:1/keys")], b"")),
        ("huge", whole(200, &[("content-type", "application/json")], &huge)),
        ("no keys", json_answer(200, &json!({ "keys": [] }))),
        ("no JSON", whole(200, &[], b"<html>")),
    ] {
        let provider = Provider::start();
        let gateway = start(&provider, JWT);
        provider.always(answer);
        for _ in 0..5 {
            let reply = ask_with(&gateway, &issuer.token(models()));
            assert_eq!(
                (reply.status(), reply.code().as_str()),
                (503, "identity-unavailable"),
                "{name}: {}",
                reply.text()
            );
            assert_eq!(reply.header("retry-after"), Some("5"), "{name}");
            assert!(!reply.text().contains(&provider.address.to_string()), "{name}: {}", reply.text());
        }
        // Keys work on, and it is asked once for all.
        assert_eq!(ask_with(&gateway, "wr_app").status(), 200, "{name}");
        assert_eq!(provider.seen().calls.len(), 1, "{name}");
    }
}

#[test]
fn keys_that_are_there_serve_on_while_newer_ones_cannot_be_had() {
    let (provider, issuer) = (Provider::start(), Issuer::new("k1"));
    let gateway = start(&provider, &JWT.replace("team:", "keep: 1ms, team:"));
    provider.load(&weir_conformance::upstream::Script {
        answers: vec![keys(&[&issuer])],
        otherwise: Some(whole(500, &[], b"")),
    });
    let token = issuer.token(models());
    assert_eq!(ask_with(&gateway, &token).status(), 200);
    eventually("an attempt to renew them", || {
        assert_eq!(ask_with(&gateway, &token).status(), 200);
        gateway.log().contains("the issuer's keys stay as they were").then_some(())
    });
    assert_eq!(ask_with(&gateway, &token).status(), 200);
}

#[test]
fn where_an_issuers_keys_are_is_discovered() {
    let (provider, issuer) = (Provider::start(), Issuer::new("k1"));
    let own = format!("http://{}/idp", provider.address);
    let identify = r#"identify: [{ jwt: { issuer: "http://{UPSTREAM}/idp", audience: [a, weir], user: claims.email } }]"#;
    let gateway = start(&provider, identify);
    let configuration = json!({ "issuer": own, "jwks_uri": format!("{own}/keys?v=2") });
    provider.answers(vec![json_answer(200, &configuration), keys(&[&issuer])]);
    let token = issuer.token(json!({ "iss": own, "email": "ann@x.test" }));
    let reply = ask_with(&gateway, &token);
    assert_eq!(who(&reply), (200, [Some("jwt"), Some("ann@x.test"), None]), "{}", reply.text());
    let paths: Vec<String> = provider.seen().calls.into_iter().map(|call| call.path).collect();
    assert_eq!(paths, ["/.well-known/openid-configuration", "/keys?v=2"]);

    let gateway = start(&provider, identify);
    let another = json!({ "issuer": "https://other.test", "jwks_uri": format!("{own}/keys") });
    provider.answers(vec![json_answer(200, &another)]);
    assert_eq!(ask_with(&gateway, &token).status(), 503);
    assert_eq!(provider.seen().calls.len(), 1, "no keys of another issuer are fetched");
}

#[test]
fn keys_may_lie_in_a_file_and_a_shared_secret_may_stand_in_for_them() {
    let (provider, first, second) = (Provider::start(), Issuer::new("k1"), Issuer::new("k2"));
    let set = Set::new(Some(provider.address));
    set.write("keys.json", &json!({ "keys": [first.jwk()] }).to_string());
    set.write(
        "policy.yaml",
        &policy(r#"identify: [{ jwt: { issuer: "https://idp.test", audience: weir, jwks: keys.json } }]"#),
    );
    let gateway = Gateway::start_with(set, &[], &[("APP_KEY", "wr_app")]);
    assert_eq!(ask_with(&gateway, &first.token(json!({}))).status(), 200);
    assert_eq!(ask_with(&gateway, &second.token(json!({}))).status(), 401);
    let set = Set::new(None);
    set.write(
        "policy.yaml",
        &policy(
            r#"identify: [{ jwt: { issuer: "https://idp.test", audience: weir, secret: "${env:SHARED}" } }]"#,
        ),
    );
    let gateway =
        Gateway::start_with(set, &[], &[("APP_KEY", "wr_app"), ("SHARED", "a secret of the two of them")]);
    assert_eq!(ask_with(&gateway, &first.token(json!({}))).status(), 401);
    assert_eq!(ask_with(&gateway, &first.forged("none")).status(), 401);
    assert_eq!(ask_with(&gateway, &first.forged("HS256")).status(), 401);
    assert!(provider.seen().calls.is_empty());
}
