//! Passwords, certificates, services, expressions; several together; guesses.

use super::{ask, ask_with, json_answer, policy, start, who};
use crate::tls::{Authority, ask_one};
use crate::two::run;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use weir_conformance::harness::{Gateway, Provider, Set, eventually, whole};

fn basic(user: &str, password: &str) -> (&'static str, String) {
    ("authorization", format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
}

#[test]
fn a_key_is_a_password_for_its_own_name_or_user() {
    let provider = Provider::start();
    let gateway = start(&provider, "identify: [key, basic]");
    for (user, password, status) in [
        ("app", "wr_app", 200),
        ("bot", "wr_app", 200),
        ("other", "wr_app", 401),
        ("app", "wr_other", 401),
        ("", "wr_app", 401),
    ] {
        let (name, value) = basic(user, password);
        let reply = ask(&gateway, &[(name, &value)]);
        assert_eq!(reply.status(), status, "{user}:{password}: {}", reply.text());
    }
    assert_eq!(ask(&gateway, &[("authorization", "Basic !")]).status(), 401);
    assert_eq!(ask_with(&gateway, "wr_app").status(), 200);
    // Where it is not asked for, it is none.
    let gateway = start(&provider, "identify: [key]");
    let (name, value) = basic("app", "wr_app");
    assert_eq!(ask(&gateway, &[(name, &value)]).status(), 401);
}

#[test]
fn a_service_of_ones_own_says_who_calls() {
    let provider = Provider::start();
    let gateway = start(
        &provider,
        r#"identify: [{ external: { url: "http://{UPSTREAM}/who/ask", headers: [authorization, cookie], keep: 1h, timeout: 1s } }]"#,
    );
    provider.answers(vec![
        json_answer(200, &json!({ "user": "ann", "team": "web", "more": [1] })),
        json_answer(403, &json!({})),
        json_answer(500, &json!({})),
        json_answer(200, &json!([])),
        whole(200, &[], b""),
    ]);
    for _ in 0..2 {
        let reply = ask_with(&gateway, "anns");
        assert_eq!(who(&reply), (200, [Some("external"), Some("ann"), Some("web")]), "{}", reply.text());
    }
    for (shown, status) in [("a", 401), ("b", 503), ("c", 503), ("d", 200)] {
        assert_eq!(ask_with(&gateway, shown).status(), status, "{shown}");
    }
    // Who shows nothing is nobody, without a question.
    assert_eq!(ask(&gateway, &[]).code(), "nobody");
    let calls = provider.seen().calls;
    assert_eq!(calls.len(), 5);
    let header =
        |name: &str| calls[0].headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str());
    assert_eq!(header("authorization"), Some("Bearer anns"));
    assert_eq!(
        (header("x-weir-method"), header("x-weir-path")),
        (Some("POST"), Some("/v1/chat/completions"))
    );
    assert_eq!((header("x-weir-source"), header("content-type")), (Some("127.0.0.1"), None));
}

#[test]
fn ways_are_joined_by_any_and_all_and_narrowed_by_expressions() {
    let provider = Provider::start();
    let all = r#"identify: [{ all: [key, { allow: 'request.headers["x-zone"] == "inner" && caller.team == "data"' }] }]"#;
    let gateway = start(&provider, all);
    let zone = ("x-zone", "inner");
    let key = ("authorization", "Bearer wr_app");
    assert_eq!(who(&ask(&gateway, &[key, zone])), (200, [Some("key"), Some("bot"), Some("data")]));
    for (shown, status, code) in [
        (vec![key], 503, "stage-unavailable"),
        (vec![key, ("x-zone", "outer")], 401, "invalid-key"),
        (vec![("authorization", "Bearer wr_other"), zone], 401, "invalid-key"),
        (vec![], 403, "nobody"),
    ] {
        let reply = ask(&gateway, &shown);
        assert_eq!((reply.status(), reply.code().as_str()), (status, code), "{shown:?}: {}", reply.text());
    }
    let any = r#"identify: [{ any: [{ allow: { when: 'source.address == "192.0.2.1"', team: far } }, { allow: { when: 'source.address == "127.0.0.1"', user: console, team: ops } }] }]"#;
    let gateway = start(&provider, any);
    assert_eq!(who(&ask(&gateway, &[])), (200, [Some("allow"), Some("console"), Some("ops")]));
}

#[test]
fn a_clients_certificate_says_who_calls() {
    let (servers, clients, others) = (Authority::new(), Authority::new(), Authority::new());
    let issued = servers.issue("edge.test");
    let tls = r#"tls: { certificate: tls/edge.pem, key: tls/edge.key, clients: { ca: tls/clients.pem } }, identify: [{ mtls: { team: "claims.subject.cn[0]" } }, key]"#;
    let set = Set::new(None);
    std::fs::create_dir(set.path().join("tls")).unwrap();
    set.write("tls/edge.pem", &issued.certificate);
    set.write("tls/edge.key", &issued.key);
    set.write("tls/clients.pem", &clients.pem());
    set.write("policy.yaml", &policy(tls));
    let gateway = Gateway::start_with(set, &[], &[("APP_KEY", "wr_app")]);
    let theirs = clients.issue_client("spiffe://mesh.test/web", "web");
    run(async {
        let mut stream = servers.connect_as(gateway.edge, &["http/1.1"], Some(&theirs)).await.unwrap();
        // Each request of the connection is theirs.
        for _ in 0..2 {
            let text = ask_one(&mut stream, "hi").await.to_lowercase();
            for header in ["x-by: mtls", "x-user: spiffe://mesh.test/web", "x-team: web"] {
                assert!(text.contains(header), "{header}: {text}");
            }
        }
        let mut stream = servers.connect(gateway.edge, &["http/1.1"]).await.unwrap();
        assert!(ask_one(&mut stream, "hi").await.contains("\"nobody\""), "without one, nobody");
        // One that another authority signed is none: the connection ends.
        let forged = others.issue_client("spiffe://mesh.test/web", "web");
        let connected = servers.connect_as(gateway.edge, &["http/1.1"], Some(&forged)).await;
        if let Ok(mut stream) = connected {
            use tokio::io::AsyncReadExt;
            assert!(matches!(stream.read(&mut [0; 64]).await, Err(_) | Ok(0)));
        }
    });
    // Another authority takes the place of the first, without a new revision.
    gateway.set.write("tls/clients.pem", &others.pem());
    eventually("the authority's change", || {
        gateway.log().contains("the authorities of clients were renewed").then_some(())
    });
    run(async {
        let theirs = others.issue_client("spiffe://mesh.test/ops", "ops");
        let mut stream = servers.connect_as(gateway.edge, &["http/1.1"], Some(&theirs)).await.unwrap();
        assert!(ask_one(&mut stream, "hi").await.to_lowercase().contains("x-team: ops"));
    });
}

#[test]
fn who_guesses_is_left_out_for_a_while() {
    let provider = Provider::start();
    let gateway = start(&provider, "identify: [key], guesses: { wrong: 3, within: 1m, pause: 10m }");
    for n in 0..3 {
        assert_eq!(ask_with(&gateway, &format!("wr_guess{n}")).status(), 401);
    }
    for shown in ["wr_guess4", "wr_app"] {
        let reply = ask_with(&gateway, shown);
        assert_eq!((reply.status(), reply.code().as_str()), (429, "rate-limited"), "{}", reply.text());
        let after: u64 = reply.header("retry-after").unwrap().parse().unwrap();
        assert!((590..=600).contains(&after), "{after}");
    }
    // Right ones are never counted.
    let gateway = start(&provider, "identify: [key], guesses: { wrong: 3 }");
    for _ in 0..5 {
        assert_eq!(ask_with(&gateway, "wr_app").status(), 200);
    }
}
