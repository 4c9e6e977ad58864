//! Accounts that get tokens or sign, and clouds with paths of their own: Azure's deployments, Vertex AI, Bedrock.

use serde_json::{Value, json};
use weir_conformance::harness::{Gateway, Provider, Set, chat, entry, post, whole};
use weir_conformance::upstream::Reaction;

const POLICY: &str = r#"
weir: v1
listeners:
  edge: { address: "{EDGE}" }
providers:
  deployed:
    dialect: openai
    base_url: "http://{UPSTREAM}/azure/openai"
    azure:
      api_version: "2024-10-21"
      entra: { tenant: t-1, client_id: me, client_secret: "${env:APP_SECRET}", authority: "http://{UPSTREAM}/login" }
  vertex:
    dialect: gemini
    base_url: "http://{UPSTREAM}/vertex/v1/projects/p/locations/eu"
    google: { service_account: "${file:account.json}" }
  claude:
    dialect: anthropic
    base_url: "http://{UPSTREAM}/claude/v1/projects/p/locations/eu"
    google: { metadata: "http://{UPSTREAM}/machine" }
  bedrock:
    dialect: bedrock
    base_url: "http://{UPSTREAM}/bedrock"
    region: eu-central-1
    aws: { access_key_id: AKID, secret_access_key: "${env:APP_SECRET}" }
models:
  "amazon.*": { targets: [{ provider: bedrock }] }
  gpt-5: { targets: [{ provider: deployed }] }
  gemini-3-pro: { targets: [{ provider: vertex }] }
  claude-sonnet-4-5: { targets: [{ provider: claude, model: claude-sonnet-4-5@20250929 }] }
pipelines:
  - pipeline: all
    anonymous: true
    stages:
      - route: requested
"#;

const KEY: &str = include_str!("../../../engine/proxy/src/upstream/token/testdata/signs.pem");

fn start() -> (Provider, Gateway) {
    let provider = Provider::start();
    let set = Set::new(Some(provider.address));
    let account = json!({
        "type": "service_account",
        "client_email": "me@p.example",
        "private_key_id": "k1",
        "private_key": KEY,
        "token_uri": format!("http://{}/oauth/token", provider.address),
    });
    set.write("account.json", &account.to_string());
    set.write("policy.yaml", POLICY);
    let gateway = Gateway::start_with(set, &[], &[("APP_SECRET", "s3")]);
    (provider, gateway)
}

fn token(name: &str, seconds: u64) -> Reaction {
    let body = json!({ "access_token": name, "expires_in": seconds, "token_type": "Bearer" });
    whole(200, &[("content-type", "application/json")], body.to_string().as_bytes())
}

fn ask(gateway: &Gateway, model: &str, streams: bool) -> (u16, String) {
    let reply = post(gateway.edge, "/v1/chat/completions", &[], &chat(model, "hi", streams));
    (reply.status(), if streams { reply.streamed() } else { reply.words() })
}

#[test]
fn azures_deployments_are_asked_with_a_token_of_entra_id_that_is_kept() {
    let (provider, gateway) = start();
    let said = || entry(json!({ "reply": "so" }));
    provider.answers(vec![token("t-1", 3600), said(), said()]);
    for streams in [false, true] {
        assert_eq!(ask(&gateway, "gpt-5", streams), (200, "so".to_owned()));
    }
    let calls = provider.seen().calls;
    assert_eq!(calls.len(), 3);
    assert_eq!((calls[0].provider.as_str(), calls[0].path.as_str()), ("login", "/t-1/oauth2/v2.0/token"));
    assert!(calls[0].body.contains("client_id=me&client_secret=s3"), "{}", calls[0].body);
    for call in &calls[1..] {
        assert_eq!(call.path, "/openai/deployments/gpt-5/chat/completions?api-version=2024-10-21");
        assert!(call.headers.contains(&("authorization".to_owned(), "Bearer t-1".to_owned())));
    }
}

#[test]
fn a_token_that_has_ended_is_replaced_and_one_that_is_not_had_is_told_without_its_secret() {
    let (provider, gateway) = start();
    let said = || entry(json!({ "reply": "so" }));
    provider.answers(vec![token("t-1", 0), said(), token("t-2", 3600), said()]);
    for _ in 0..2 {
        assert_eq!(ask(&gateway, "gpt-5", false).0, 200);
    }
    let shown = |call: &weir_conformance::upstream::CallRecord| {
        let header = call.headers.iter().find(|(name, _)| name == "authorization");
        header.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let calls = provider.seen().calls;
    assert_eq!([shown(&calls[1]), shown(&calls[3])], ["Bearer t-1", "Bearer t-2"]);

    let (provider, gateway) = start();
    let refusal = json!({ "error": "invalid_client", "error_description": "s3 is wrong" }).to_string();
    provider.always(whole(401, &[("content-type", "application/json")], refusal.as_bytes()));
    let reply =
        post(gateway.edge, "/v1/chat/completions", &[("x-request-id", "one")], &chat("gpt-5", "hi", false));
    assert_eq!(reply.status(), 502, "{}", reply.text());
    assert!(!reply.text().contains("s3") && !reply.text().contains("login"), "{}", reply.text());
    let trace = gateway.trace("one").to_string();
    assert!(trace.contains("invalid_client") && !trace.contains("s3 is wrong"), "{trace}");
    assert_eq!(provider.seen().calls.len(), 1, "only the token was asked for");
}

#[test]
fn vertex_is_asked_as_a_service_account_for_models_of_google() {
    let (provider, gateway) = start();
    let said = || entry(json!({ "reply": "so" }));
    provider.answers(vec![token("t-1", 3600), said(), said()]);
    for streams in [false, true] {
        assert_eq!(ask(&gateway, "gemini-3-pro", streams), (200, "so".to_owned()));
    }
    let calls = provider.seen().calls;
    assert_eq!((calls[0].provider.as_str(), calls[0].path.as_str()), ("oauth", "/token"));
    assert!(calls[0].body.contains("assertion=ey"), "{}", calls[0].body);
    let base = "/v1/projects/p/locations/eu/publishers/google/models/gemini-3-pro";
    assert_eq!(calls[1].path, format!("{base}:generateContent"));
    assert_eq!(calls[2].path, format!("{base}:streamGenerateContent?alt=sse"));
    assert!(calls[1].headers.contains(&("authorization".to_owned(), "Bearer t-1".to_owned())));
}

#[test]
fn vertex_is_asked_as_the_machine_for_models_of_anthropic() {
    let (provider, gateway) = start();
    let said = || entry(json!({ "reply": "so" }));
    provider.answers(vec![token("t-1", 3600), said(), said()]);
    for streams in [false, true] {
        assert_eq!(ask(&gateway, "claude-sonnet-4-5", streams), (200, "so".to_owned()));
    }
    let calls = provider.seen().calls;
    let machine = "/computeMetadata/v1/instance/service-accounts/default/token";
    assert_eq!((calls[0].provider.as_str(), calls[0].path.as_str()), ("machine", machine));
    assert!(calls[0].headers.contains(&("metadata-flavor".to_owned(), "Google".to_owned())));
    let model = "/v1/projects/p/locations/eu/publishers/anthropic/models/claude-sonnet-4-5@20250929";
    for (call, verb) in calls[1..].iter().zip(["rawPredict", "streamRawPredict"]) {
        assert_eq!(call.path, format!("{model}:{verb}"));
        let body: Value = serde_json::from_str(&call.body).unwrap();
        assert_eq!((&body["anthropic_version"], &body["model"]), (&json!("vertex-2023-10-16"), &Value::Null));
        assert!(!call.headers.iter().any(|(name, _)| name == "anthropic-version"));
    }
}

#[test]
fn bedrock_is_asked_with_a_signature_and_never_with_what_the_client_signed() {
    let (provider, gateway) = start();
    let said = || entry(json!({ "reply": "so" }));
    provider.answers(vec![said(), said()]);
    for streams in [false, true] {
        assert_eq!(ask(&gateway, "amazon.nova-pro-v1:0", streams), (200, "so".to_owned()));
    }
    let path = "/bedrock/model/amazon.nova-pro-v1%3A0/converse";
    let credential = "THEIRS/20260101/us-east-1/bedrock/aws4_request";
    let signature = format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0");
    let theirs = [
        ("authorization", signature.as_str()),
        ("x-amz-date", "20260101T000000Z"),
        ("x-amz-security-token", "theirs"),
    ];
    provider.answers(vec![said()]);
    let body = json!({ "messages": [{ "role": "user", "content": [{ "text": "hi" }] }] });
    let reply = post(gateway.edge, path, &theirs, &body);
    assert_eq!(reply.status(), 200, "{}", reply.text());
    let calls = provider.seen().calls;
    let header = |name: &str| {
        let all = calls[0].headers.iter().filter(|(have, _)| have == name);
        all.map(|(_, value)| value.as_str()).collect::<Vec<_>>().join("|")
    };
    let when = header("x-amz-date");
    let start =
        format!("AWS4-HMAC-SHA256 Credential=AKID/{}/eu-central-1/bedrock/aws4_request, ", &when[..8]);
    assert!(header("authorization").starts_with(&start), "{}", header("authorization"));
    assert!(!header("authorization").contains("THEIRS") && when != "20260101T000000Z");
    assert_eq!(header("x-amz-security-token"), "");
}
