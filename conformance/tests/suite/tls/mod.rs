//! TLS: in by ALPN, with certificates that are replaced in place; out to providers that an authority of their own vouches for.

mod authority;
mod provider;

use crate::two::{self, run};
pub(crate) use authority::Authority;
pub(crate) use authority::Issued;
use provider::Provider;
use serde_json::Value;
use std::path::Path;
use std::sync::atomic::Ordering;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weir_conformance::harness::{Gateway, Set, chat, eventually, request, weir_binary};

const BOTH: &[&str] = &["h2", "http/1.1"];

/// A set that listens with TLS and answers by itself.
const EDGE: &str = r#"
weir: v1
listeners:
  edge: { address: "{EDGE}", tls: { certificate: tls/edge.pem, key: tls/edge.key } }
providers:
  echo: { from: echo }
models:
  fast: { targets: [{ provider: echo, model: echo }] }
pipelines:
  - pipeline: all
    anonymous: true
    stages:
      - route: requested
"#;

fn edge(issued: &Issued) -> Set {
    let set = Set::of(None, EDGE);
    std::fs::create_dir(set.path().join("tls")).unwrap();
    set.write("tls/edge.pem", &issued.certificate);
    set.write("tls/edge.key", &issued.key);
    set
}

/// One request over HTTP/1.1 with TLS, and the connection that carried it.
pub(crate) async fn ask_one<S: AsyncReadExt + AsyncWriteExt + Unpin>(stream: &mut S, words: &str) -> String {
    let body = chat("fast", words, false).to_string();
    let bytes =
        request("POST", "/v1/chat/completions", &[("content-type", "application/json")], body.as_bytes());
    stream.write_all(&bytes).await.unwrap();
    let mut read = Vec::new();
    loop {
        assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0, "{}", String::from_utf8_lossy(&read));
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_lowercase().strip_prefix("content-length:").map(str::trim).map(str::to_owned)
            });
            if length.is_some_and(|length| length.parse() == Ok(body.len())) {
                return text;
            }
        }
    }
}

#[test]
fn alpn_settles_the_version_of_http() {
    let authority = Authority::new();
    let gateway = Gateway::start(edge(&authority.issue("edge.test")));
    run(async {
        for (offered, settled) in [
            (BOTH, Some("h2")),
            (&["http/1.1", "h2"], Some("h2")),
            (&["h2"], Some("h2")),
            (&["http/1.1"], Some("http/1.1")),
            (&[], None),
        ] {
            let mut stream = authority.connect(gateway.edge, offered).await.unwrap();
            let alpn =
                stream.get_ref().1.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
            assert_eq!(alpn.as_deref(), settled, "of {offered:?}");
            if settled == Some("h2") {
                let send = two::over(stream).await;
                let body = chat("fast", "over two", false).to_string().into_bytes();
                let headers = [("content-type", "application/json")];
                let head = two::post(&send, "/v1/chat/completions", &headers, body).await.unwrap();
                let reply = two::whole(head).await.unwrap();
                assert!(reply.status() == 200 && reply.words() == "echo: over two", "{}", reply.text());
            } else {
                // Twice: the connection is kept.
                for words in ["over one", "once more"] {
                    let text = ask_one(&mut stream, words).await;
                    assert!(text.starts_with("HTTP/1.1 200") && text.contains(words), "{text}");
                }
            }
        }
    });
}

#[test]
fn who_speaks_no_tls_to_a_tls_listener_is_left_alone_and_harms_nobody() {
    let authority = Authority::new();
    let gateway = Gateway::start(edge(&authority.issue("edge.test")));
    let mut plain = gateway.wire();
    plain.send(&request("GET", "/healthz", &[], b"")).unwrap();
    assert!(plain.reply().is_err() || plain.is_closed(), "an answer without TLS");
    run(async {
        // Whom the client does not trust, it does not talk to.
        assert!(Authority::new().connect(gateway.edge, BOTH).await.is_err());
        let mut stream = authority.connect(gateway.edge, &["http/1.1"]).await.unwrap();
        assert!(ask_one(&mut stream, "hi").await.contains("echo: hi"));
    });
}

#[test]
fn a_certificate_is_replaced_in_place_and_a_bad_one_is_not() {
    let authority = Authority::new();
    let (first, second, third) =
        (authority.issue("edge.test"), authority.issue("edge.test"), authority.issue("edge.test"));
    let gateway = Gateway::start(edge(&first));
    let shown = || {
        run(async {
            let stream = authority.connect(gateway.edge, &["http/1.1"]).await.unwrap();
            stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
        })
    };
    assert_eq!(shown(), first.der());
    let revision = gateway.admin("/revision").json()["revision"].clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut old = runtime.block_on(authority.connect(gateway.edge, &["http/1.1"])).unwrap();
    assert!(runtime.block_on(ask_one(&mut old, "before")).contains("before"));
    // Half of a change: the chain is new, the key is not.
    gateway.set.write("tls/edge.pem", &second.certificate);
    eventually("the refusal of half a change", || {
        gateway.log().contains("the certificate in use stays").then_some(())
    });
    assert_eq!(shown(), first.der());
    gateway.set.write("tls/edge.key", &second.key);
    eventually("the second certificate", || (shown() == second.der()).then_some(()));
    // Connections that are open go on, and it is no change of the policies.
    assert!(runtime.block_on(ask_one(&mut old, "after")).contains("after"));
    assert_eq!(gateway.admin("/revision").json()["revision"], revision);
    let refusals = gateway.log().matches("the certificate in use stays").count();
    gateway.set.write("tls/edge.pem", "-----BEGIN CERTIFICATE-----\nbroken");
    eventually("the refusal of a broken one", || {
        (gateway.log().matches("the certificate in use stays").count() > refusals).then_some(())
    });
    assert_eq!(shown(), second.der());
    gateway.set.write("tls/edge.key", &third.key);
    gateway.set.write("tls/edge.pem", &third.certificate);
    eventually("the third certificate", || (shown() == third.der()).then_some(()));
}

#[test]
fn a_certificate_that_does_not_fit_its_key_is_not_served() {
    let authority = Authority::new();
    let (one, other) = (authority.issue("edge.test"), authority.issue("edge.test"));
    for (certificate, key, says) in [
        (one.certificate.as_str(), other.key.as_str(), "edge.pem"),
        ("nothing", one.key.as_str(), "edge.pem"),
    ] {
        let set = edge(&one);
        set.write("tls/edge.pem", certificate);
        set.write("tls/edge.key", key);
        let ended = std::process::Command::new(weir_binary())
            .args(["serve", "--admin", "none"])
            .arg(set.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(!ended.status.success() && said.contains(says), "{:?}: {said}", ended.status);
        assert!(!said.contains("PRIVATE KEY"), "{said}");
    }
}

/// A gateway whose only provider is at `scheme://ADDRESS/v1`, with more settings of that provider.
fn toward(provider: &Provider, scheme: &str, settings: &str, authority: Option<&Authority>) -> Gateway {
    let policy = format!(
        r#"
weir: v1
listeners:
  edge: {{ address: "{{EDGE}}" }}
providers:
  lab: {{ dialect: openai, base_url: "{scheme}://{{UPSTREAM}}/v1"{settings} }}
models:
  fast: {{ targets: [{{ provider: lab, model: m-1 }}] }}
pipelines:
  - pipeline: all
    anonymous: true
    stages:
      - route: requested
"#
    );
    let set = Set::new(Some(provider.address));
    if let Some(authority) = authority {
        set.write("ca.pem", &authority.pem());
    }
    set.write("policy.yaml", &policy);
    Gateway::start(set)
}

#[test]
fn providers_are_reached_over_pooled_connections_of_either_version() {
    let authority = Authority::new();
    let issued = authority.issue("127.0.0.1");
    for (name, provider, scheme, settings, version) in [
        (
            "HTTP/1.1 by ALPN",
            Provider::start(Some(issued.server(&["http/1.1"])), false),
            "https",
            ", ca: ca.pem",
            "HTTP/1.1",
        ),
        ("no ALPN", Provider::start(Some(issued.server(&[])), false), "https", ", ca: ca.pem", "HTTP/1.1"),
        (
            "HTTP/2 by ALPN",
            Provider::start(Some(issued.server(BOTH)), false),
            "https",
            ", ca: ca.pem",
            "HTTP/2",
        ),
        (
            "HTTP/2 always",
            Provider::start(Some(issued.server(BOTH)), false),
            "https",
            ", ca: ca.pem, http2: always",
            "HTTP/2",
        ),
        (
            "HTTP/2 never",
            Provider::start(Some(issued.server(BOTH)), false),
            "https",
            ", ca: ca.pem, http2: never",
            "HTTP/1.1",
        ),
        ("HTTP/1.1 without TLS", Provider::start(None, false), "http", "", "HTTP/1.1"),
        ("HTTP/2 without TLS", Provider::start(None, true), "http", ", http2: always", "HTTP/2"),
    ] {
        let gateway = toward(&provider, scheme, settings, Some(&authority));
        for words in ["first", "second", "third"] {
            let reply = gateway.chat(&chat("fast", words, false));
            assert_eq!(
                (reply.status(), reply.words().as_str()),
                (200, "hello over tls"),
                "{name}: {}",
                reply.text()
            );
        }
        let requests = provider.requests();
        assert_eq!(requests.len(), 3, "{name}");
        assert_eq!(provider.connections(), 1, "{name}: three requests, one connection");
        for (request, words) in requests.iter().zip(["first", "second", "third"]) {
            assert_eq!(request.version, version, "{name}");
            assert_eq!(request.host, provider.address.to_string(), "{name}");
            let body: Value = serde_json::from_str(&request.body).unwrap();
            assert_eq!(
                (body["model"].as_str(), body["messages"][0]["content"].as_str()),
                (Some("m-1"), Some(words))
            );
        }
    }
}

#[test]
fn streams_over_http2_arrive_and_share_a_connection_and_one_reset_ends_one() {
    let authority = Authority::new();
    let provider = Provider::start(Some(authority.issue("127.0.0.1").server(BOTH)), false);
    let gateway = toward(&provider, "https", ", ca: ca.pem", Some(&authority));
    let reply = gateway.chat(&chat("fast", "hi", true));
    assert_eq!(reply.streamed(), "one two", "{}", reply.text());
    let mut endless = gateway.wire();
    let body = chat("fast", "without end", true).to_string();
    endless
        .send(&request(
            "POST",
            "/v1/chat/completions",
            &[("content-type", "application/json")],
            body.as_bytes(),
        ))
        .unwrap();
    assert_eq!(endless.head().unwrap().status, 200);
    assert!(String::from_utf8(endless.chunk().unwrap().unwrap()).unwrap().contains("one"));
    let beside = gateway.chat(&chat("fast", "beside", true));
    assert_eq!(beside.streamed(), "one two");
    drop(endless);
    eventually("the reset", || (provider.seen.resets.load(Ordering::SeqCst) == 1).then_some(()));
    assert_eq!(gateway.chat(&chat("fast", "after", false)).status(), 200);
    assert_eq!(provider.connections(), 1);
}

#[test]
fn a_provider_that_nobody_vouches_for_gets_no_request_and_its_address_is_not_told() {
    let authority = Authority::new();
    let other = Authority::new();
    let cases = [
        ("another authority", authority.issue("127.0.0.1"), ", ca: ca.pem", Some(&other)),
        ("the system's authorities", authority.issue("127.0.0.1"), "", None),
        ("another name", authority.issue("lab.test"), ", ca: ca.pem", Some(&authority)),
    ];
    for (name, issued, settings, trusted) in cases {
        let provider = Provider::start(Some(issued.server(BOTH)), false);
        let gateway = toward(&provider, "https", settings, trusted);
        for stream in [false, true] {
            let reply = gateway.chat(&chat("fast", "my prompt", stream));
            let text = reply.text();
            assert_eq!(
                (reply.status(), reply.code().as_str()),
                (502, "upstream-unreachable"),
                "{name}: {text}"
            );
            let (host, port) = (provider.address.ip().to_string(), provider.address.port().to_string());
            for secret in [host.as_str(), port.as_str(), "my prompt", "ca.pem", "ertificate"] {
                assert!(!text.contains(secret), "{name}: {text}");
            }
            // The operator is told what the client is not.
            let trace = gateway.trace(reply.header("x-request-id").unwrap());
            assert_eq!(trace["attempts"][0]["cause"], "connect", "{name}: {trace}");
        }
        assert_eq!(provider.requests(), [], "{name}");
    }
}

#[test]
fn an_authority_that_is_not_there_fails_closed() {
    let authority = Authority::new();
    let provider = Provider::start(Some(authority.issue("127.0.0.1").server(BOTH)), false);
    for ca in ["missing.pem", "policy.yaml"] {
        let gateway = toward(&provider, "https", &format!(", ca: {ca}"), Some(&authority));
        assert!(Path::new(&gateway.set.path()).join("ca.pem").exists());
        let reply = gateway.chat(&chat("fast", "hi", false));
        assert_eq!(
            (reply.status(), reply.code().as_str()),
            (502, "upstream-unreachable"),
            "{}",
            reply.text()
        );
        assert!(!reply.text().contains(ca), "{}", reply.text());
    }
    assert_eq!(provider.requests(), []);
}
