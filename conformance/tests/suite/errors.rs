//! Every error that a client can get: its shape, its status, its page in the reference.

use crate::packed::Coding;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use weir_conformance::harness::{
    Gateway, Provider, Reply, Set, Wire, chat, entry, eventually, free_port, post, request, whole,
};
use weir_conformance::upstream::Reaction;
use weir_message::ErrorCode;

/// A gateway with a pipeline and a model of the same name for each of these, and all limits low.
struct Bench {
    provider: Provider,
    gateway: Gateway,
    /// A listener that asks for keys.
    locked: SocketAddr,
    /// A listener that takes one connection.
    narrow: SocketAddr,
}

const STAGES: &[(&str, &str)] = &[
    ("plain", "- guard: mine\n        cel: size(request.all_text) < 1000"),
    ("denied", "- guard: mine\n        cel: 'false'"),
    ("content", "- guard: regex\n        with: { deny: [secret] }"),
    ("tokens", "- guard: tokens\n        with: { max: 1 }"),
    ("rate", "- guard: rate\n        with: { requests: 1/hour, per: everyone }"),
    ("quota", "- guard: quota\n        with: { tokens: 1/hour, per: everyone }"),
    ("budget", "- guard: budget\n        with: { money: 1 USD/day, per: everyone }"),
    ("concurrency", "- guard: concurrency\n        with: { max: 1, per: everyone }"),
    ("endless", "- transform: mine\n        rhai: |\n          fn request(r) { loop {} }"),
    ("deadline", "- route: fallback\n        with: { to: [requested], deadline: 200ms }"),
    ("ruled-out", "- route: requested\n        attempt: [{ guard: mine, cel: 'false' }]"),
    ("unreachable", "- observe: metrics"),
    ("timeout", "- observe: metrics"),
    ("error", "- observe: metrics"),
    ("rejected", "- observe: metrics"),
    ("unauthorized", "- observe: metrics"),
    ("busy", "- observe: metrics"),
    ("too-long", "- route: requested"),
    ("invalid", "- observe: metrics"),
    ("broken", "- observe: metrics"),
];

impl Bench {
    fn start() -> Self {
        let provider = Provider::start();
        let (locked, narrow) = (free_port(), free_port());
        let mut policy = format!(
            r#"weir: v1
listeners:
  edge: {{ address: "{{EDGE}}", limits: {{ body: 64KiB, headers: 4KiB, header_timeout: 300ms }} }}
  locked: {{ address: "{locked}", identify: [key, {{ jwt: {{ issuer: "https://idp.test", audience: weir, jwks: "http://127.0.0.1:9/keys" }} }}] }}
  narrow: {{ address: "{narrow}", limits: {{ connections: 1 }} }}
keys:
  one: {{ secret: "${{env:SUITE_KEY}}" }}
providers:
  lab: {{ dialect: openai, base_url: "http://{{UPSTREAM}}/lab/v1", timeouts: {{ connect: 1s, first_byte: 300ms, between: 300ms, total: 5s }} }}
  slow: {{ dialect: openai, base_url: "http://{{UPSTREAM}}/slow/v1" }}
  gone: {{ dialect: openai, base_url: "http://127.0.0.1:9/v1" }}
pipelines:
  - pipeline: kept
    anonymous: true
    stages:
      - guard: mine
        cel: size(request.all_text) < 1000
      - route: pass-through
        with: {{ to: [lab], allow: [POST /v1/notes] }}
"#
        );
        let (mut models, mut pipelines) = ("models:\n".to_owned(), String::new());
        for (name, stages) in STAGES {
            let provider = match *name {
                "unreachable" => "gone",
                "deadline" | "concurrency" => "slow",
                _ => "lab",
            };
            // What a budget can hold has a price: a dollar a token.
            let price = if *name == "budget" { ", price: { input: 1000000, output: 1000000 }" } else { "" };
            models.push_str(&format!(
                "  {name}: {{ targets: [{{ provider: {provider}, model: m-{name} }}]{price} }}\n"
            ));
            pipelines.push_str(&format!(
                "  - pipeline: {name}\n    anonymous: true\n    when: request.model == \"{name}\"\n    stages:\n      {stages}\n"
            ));
        }
        policy.push_str(&pipelines);
        policy.push_str(&models);
        let gateway =
            Gateway::start_with(Set::of(Some(provider.address), &policy), &[], &[("SUITE_KEY", "wr_suite")]);
        Self { provider, gateway, locked, narrow }
    }

    fn send(&self, bytes: &[u8]) -> Reply {
        self.gateway.wire().exchange(bytes).unwrap()
    }

    /// A chat with the pipeline and the model of this name.
    fn ask(&self, name: &str) -> Reply {
        self.gateway.chat(&chat(name, "a secret", false))
    }

    /// A chat with a token of this issuer.
    fn as_token_of(&self, issuer: &str) -> Reply {
        let claims = URL_SAFE_NO_PAD.encode(json!({ "iss": issuer, "aud": "weir" }).to_string());
        let token = format!("Bearer {}.{claims}.AAAA", URL_SAFE_NO_PAD.encode("{\"alg\":\"ES256\"}"));
        let headers = [("authorization", token.as_str())];
        post(self.locked, "/v1/chat/completions", &headers, &chat("plain", "x", false))
    }

    /// The same, where the provider reacts so.
    fn met(&self, name: &str, reaction: Reaction) -> Reply {
        self.provider.always(reaction);
        self.ask(name)
    }
}

fn status(status: u16) -> Reaction {
    entry(json!({ "status": status }))
}

/// How each code comes about.
fn provoke(code: ErrorCode, bench: &Bench) -> Option<Reply> {
    let body = |path: &str, body: &[u8]| bench.send(&request("POST", path, &[], body));
    bench.provider.always(entry(json!({ "reply": "fine" })));
    Some(match code {
        ErrorCode::BadRequest => body("/v1/chat/completions", b"{\"model\":\"plain\",\"messages\":7}"),
        ErrorCode::BadHttp => bench.send(b"POST / HTTP/1.1\r\nhost: x\r\na: b\r\n c\r\n\r\n"),
        ErrorCode::InvalidKey => {
            let headers = [("authorization", "Bearer wr_wrong")];
            post(bench.locked, "/v1/chat/completions", &headers, &chat("plain", "x", false))
        }
        ErrorCode::InvalidToken => bench.as_token_of("https://other.test"),
        // Nobody is where the keys should be.
        ErrorCode::IdentityUnavailable => bench.as_token_of("https://idp.test"),
        ErrorCode::Denied => bench.ask("denied"),
        ErrorCode::ContentDenied => bench.ask("content"),
        ErrorCode::UnknownPath => body("/v1/nothing", b"{}"),
        ErrorCode::BadMethod => body("/v1/models", b"{}"),
        ErrorCode::NoPipeline => bench.ask("nobody takes this"),
        ErrorCode::UnknownId => bench.send(&request("GET", "/v1/files/file-1", &[], b"")),
        ErrorCode::UnreadableBody => {
            let headers = [("content-type", "image/png")];
            bench.send(&request("POST", "/v1/notes", &headers, b"\x89PNG"))
        }
        ErrorCode::UnknownModel => bench.send(&request("GET", "/v1/models/nobody-knows-this", &[], b"")),
        ErrorCode::BodyTooLarge => body("/v1/chat/completions", &vec![b' '; 65 << 10]),
        ErrorCode::HeadersTooLarge => {
            bench.send(&request("GET", "/healthz", &[("x-long", &"x".repeat(5 << 10))], b""))
        }
        ErrorCode::BadEncoding => {
            let headers = [("content-encoding", "compress")];
            bench.send(&request("POST", "/v1/chat/completions", &headers, b"{}"))
        }
        ErrorCode::RequestTimeout => bench.send(b"POST /v1/chat/compl"),
        ErrorCode::TooManyTokens => bench.ask("tokens"),
        ErrorCode::RateLimited => {
            assert_eq!(bench.ask("rate").status(), 200);
            bench.ask("rate")
        }
        ErrorCode::QuotaExceeded => bench.ask("quota"),
        ErrorCode::BudgetExceeded => bench.ask("budget"),
        ErrorCode::ConcurrencyExceeded => {
            bench.provider.always(entry(json!({ "reply": "late", "delay": "20s" })));
            let slow = chat("concurrency", "x", false).to_string();
            let mut wire = bench.gateway.wire();
            wire.send(&request("POST", "/v1/chat/completions", &[], slow.as_bytes())).unwrap();
            eventually("the call under way", || (bench.provider.seen().calls.len() == 1).then_some(()));
            bench.ask("concurrency")
        }
        ErrorCode::StageUnavailable => bench.ask("endless"),
        ErrorCode::Overloaded => {
            let mut held = Wire::connect(bench.narrow);
            assert_eq!(held.exchange(&request("GET", "/healthz", &[], b"")).unwrap().status(), 200);
            Wire::connect(bench.narrow).reply().unwrap()
        }
        ErrorCode::NoTarget => bench.ask("ruled-out"),
        ErrorCode::UpstreamUnreachable => bench.ask("unreachable"),
        ErrorCode::UpstreamTimeout => bench.met("timeout", entry(json!({ "fault": "timeout" }))),
        ErrorCode::UpstreamError => bench.met("error", status(500)),
        ErrorCode::UpstreamRejected => bench.met("rejected", status(400)),
        ErrorCode::UpstreamUnauthorized => bench.met("unauthorized", status(401)),
        ErrorCode::UpstreamRateLimited => bench.met("busy", status(429)),
        ErrorCode::ContextTooLong => {
            // Told in a body that is compressed, as many are.
            let error = json!({ "error": { "message": "too long", "code": "context_length_exceeded" } });
            let packed = Coding::Gzip.pack(error.to_string().as_bytes());
            let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
            bench.met("too-long", whole(400, &headers, &packed))
        }
        ErrorCode::UpstreamInvalid => {
            bench.met("invalid", whole(200, &[("content-type", "application/json")], b"{ nonsense"))
        }
        ErrorCode::UpstreamBroken => bench.met("broken", entry(json!({ "reply": "x", "fault": "cut" }))),
        ErrorCode::DeadlineExceeded => {
            bench.met("deadline", entry(json!({ "reply": "late", "delay": "10s" })))
        }
        // These take a provider of another dialect, and a disk that takes nothing for long; no defect is known that makes the last.
        ErrorCode::Unsupported | ErrorCode::LedgerUnavailable | ErrorCode::Internal => return None,
    })
}

#[test]
fn every_error_has_openais_shape_its_status_and_the_id_of_its_request() {
    let bench = Bench::start();
    let mut wrong = Vec::new();
    for code in ErrorCode::ALL {
        let Some(reply) = provoke(*code, &bench) else { continue };
        let error = &reply.json()["error"];
        let mut check = |holds: bool, what: &str| {
            if !holds {
                wrong.push(format!(
                    "{code}: {what}: {} {:?} {}",
                    reply.status(),
                    reply.head.headers,
                    reply.text()
                ));
            }
        };
        check(error["code"] == code.id(), "another code");
        check(reply.status() == code.status(), "another status");
        check(error["type"] == code.kind(), "another type");
        check(error["message"].as_str().is_some_and(|text| !text.is_empty()), "no message");
        check(error.get("param").is_some(), "no param, not even null");
        check(error["request_id"].as_str() == reply.header("x-request-id"), "another id");
        check(reply.header("x-request-id").is_some(), "no id");
        check(reply.header("x-weir-revision").map(str::len) == Some(12), "no revision");
        check(reply.header("content-type") == Some("application/json"), "not JSON");
        if matches!(code, ErrorCode::RateLimited | ErrorCode::Overloaded) {
            let after = reply.header("retry-after").and_then(|value| value.parse::<u64>().ok());
            check(after.is_some_and(|seconds| seconds > 0), "no retry-after");
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_401_says_how_to_show_a_key_in_every_dialect_and_not_what_is_wrong_with_one() {
    let policy = r#"
weir: v1
listeners:
  edge: { address: "{EDGE}", identify: [key] }
keys:
  one: { secret: "${env:SUITE_KEY}" }
  late: { secret: "${env:LATE_KEY}", expires: 2020-01-01 }
providers:
  lab: { dialect: openai, base_url: "http://{UPSTREAM}/lab/v1" }
models:
  fast: { targets: [{ provider: lab, model: m }] }
pipelines:
  - pipeline: members
    when: request.model == "members"
    stages:
      - guard: mine
        cel: caller != null && has(caller.team)
        deny: { status: 401, code: not-a-member, message: members only }
  - pipeline: all
    stages:
      - guard: key
"#;
    let provider = Provider::start();
    let keys = [("SUITE_KEY", "wr_suite"), ("LATE_KEY", "wr_late")];
    let gateway = Gateway::start_with(Set::of(Some(provider.address), policy), &[], &keys);
    let bare = "Bearer realm=\"weir\"";
    let refused = "Bearer realm=\"weir\", error=\"invalid_token\"";
    let model = |name: &str| chat(name, "x", false);
    let gemini = json!({ "contents": [{ "role": "user", "parts": [{ "text": "x" }] }] });
    for (path, headers, body, want) in [
        ("/v1/chat/completions", vec![], model("fast"), bare),
        ("/v1/chat/completions", vec![("authorization", "Bearer wr_wrong")], model("fast"), refused),
        ("/v1/chat/completions", vec![("authorization", "Bearer wr_late")], model("fast"), refused),
        ("/v1/chat/completions", vec![("authorization", "Basic eDp5")], model("fast"), bare),
        // A denial of the policy's own with this status.
        ("/v1/chat/completions", vec![("x-api-key", "wr_suite")], model("members"), bare),
        ("/v1/messages", vec![("x-api-key", "wr_wrong")], model("fast"), bare),
        ("/v1beta/models/fast:generateContent", vec![("x-goog-api-key", "wr_wrong")], gemini.clone(), bare),
        ("/v1beta/models/fast:generateContent", vec![], gemini, bare),
        ("/cohere/v2/chat", vec![("authorization", "bearer wr_wrong")], model("fast"), refused),
        ("/bedrock/model/fast/converse", vec![], json!({ "messages": [] }), bare),
    ] {
        let reply = post(gateway.edge, path, &headers, &body);
        let got = (reply.status(), reply.header("www-authenticate"));
        assert_eq!(got, (401, Some(want)), "{path} {headers:?}: {}", reply.text());
    }
    provider.always(entry(json!({ "reply": "so" })));
    let reply = post(gateway.edge, "/v1/chat/completions", &[("x-api-key", "wr_suite")], &model("fast"));
    assert_eq!((reply.status(), reply.header("www-authenticate")), (200, None), "{}", reply.text());
}

#[test]
fn an_error_names_the_field_to_blame_where_there_is_one() {
    let policy = r#"
weir: v1
listeners:
  edge: { address: "{EDGE}" }
providers:
  lab: { dialect: openai, base_url: "http://{UPSTREAM}/lab/v1" }
models:
  fast: { targets: [{ provider: lab, model: m }] }
pipelines:
  - pipeline: all
    anonymous: true
    stages:
      - guard: mine
        cel: size(request.all_text) < 1000
"#;
    let provider = Provider::start();
    let gateway = Gateway::start(Set::of(Some(provider.address), policy));
    for (body, param) in [
        (r#"{"model":7,"messages":[]}"#, json!("model")),
        (r#"{"messages":[{"role":"user","content":"x"}]}"#, json!("model")),
        (r#"{"model":"fast"}"#, json!("messages")),
        (r#"{"model":"fast","messages":[{"content":"x"}]}"#, json!("messages[0].role")),
        (r#"{"model":"fast","messages":[{"role":"user","content":7}]}"#, json!("messages[0].content")),
        (r#"{"model":"fast","messages":[],"stream":"yes"}"#, json!("stream")),
        ("{", Value::Null),
    ] {
        let reply =
            gateway.wire().exchange(&request("POST", "/v1/chat/completions", &[], body.as_bytes())).unwrap();
        assert_eq!((reply.status(), reply.code().as_str()), (400, "bad-request"), "{body}: {}", reply.text());
        assert_eq!(reply.json()["error"]["param"], param, "{body}: {}", reply.text());
    }
}

#[test]
fn one_page_lists_every_code() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/reference/errors.md");
    let page = std::fs::read_to_string(page).unwrap();
    let rows: BTreeSet<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(rows.len(), ErrorCode::ALL.len());
    for code in ErrorCode::ALL {
        let start = format!("| `{}` | {} | `{}` |", code.id(), code.status(), code.kind());
        assert!(rows.iter().any(|row| row.starts_with(&start)), "the page lacks {start}");
    }
}
