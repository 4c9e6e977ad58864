//! Requests that come as forms: images edited, sound written down.

use serde_json::json;
use weir_conformance::harness::{Gateway, Provider, Reply, Set, entry, request};

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
      - guard: pii
        with: { find: [email], then: replace, restore: true }
      - guard: regex
        with: { deny: [secret-word] }
      - cache: exact
        with: { per: everyone }
      - route: requested
"#;

fn gateway() -> (Provider, Gateway) {
    let provider = Provider::start();
    let gateway = Gateway::start(Set::of(Some(provider.address), POLICY));
    (provider, gateway)
}

/// Posts a form of these fields and a file.
fn post(gateway: &Gateway, path: &str, fields: &[(&str, &str)]) -> Reply {
    let mut body: String = fields
        .iter()
        .map(|(name, value)| {
            format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        })
        .collect();
    body += "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\nContent-Type: audio/wav\r\n\r\nRIFF\r\n--b--\r\n";
    let headers = [("content-type", "multipart/form-data; boundary=b")];
    gateway.wire().exchange(&request("POST", path, &headers, body.as_bytes())).unwrap()
}

#[test]
fn a_forms_words_are_guarded_and_what_sound_says_is_read_as_a_reply() {
    let (provider, gateway) = gateway();
    let said = json!({ "text": "to <EMAIL_1>", "usage": { "type": "duration", "seconds": 2 } });
    provider.answers(vec![entry(json!({ "body": said }))]);
    let fields = [("model", "fast"), ("prompt", "mail bob@example.com"), ("language", "de")];
    let reply = post(&gateway, "/v1/audio/transcriptions", &fields);
    assert_eq!(
        (reply.status(), &reply.json()["text"]),
        (200, &"to bob@example.com".into()),
        "{}",
        reply.text()
    );
    assert_eq!(reply.header("x-weir-cache"), Some("bypass"));
    let call = provider.seen().calls.remove(0);
    assert!(call.path.ends_with("/audio/transcriptions"), "{}", call.path);
    assert!(call.headers.iter().any(|(name, value)| name == "content-type" && value.ends_with("boundary=b")));
    for part in
        ["\r\n\r\nm-1\r\n", "\r\n\r\nmail <EMAIL_1>\r\n", "\r\n\r\nde\r\n", "\r\n\r\nRIFF\r\n--b--\r\n"]
    {
        assert!(call.body.contains(part), "{part:?} is not in {}", call.body);
    }

    provider.answers(vec![entry(json!({ "body": "1\nthe secret-word\n" }))]);
    let reply = post(&gateway, "/v1/audio/translations", &fields);
    assert_eq!((reply.status(), reply.code().as_str()), (403, "content-denied"), "{}", reply.text());
    assert!(provider.seen().calls.remove(0).path.ends_with("/audio/translations"));

    provider.answers(vec![entry(
        json!({ "body": { "data": [{ "b64_json": "aGk=", "revised_prompt": "a <EMAIL_1>" }] } }),
    )]);
    let reply = post(&gateway, "/v1/images/edits", &fields);
    assert_eq!(reply.json()["data"][0]["revised_prompt"], "a bob@example.com", "{}", reply.text());
    assert!(provider.seen().calls.remove(0).path.ends_with("/images/edits"));
}

#[test]
fn a_form_that_cannot_be_read_or_says_what_must_not_be_said_goes_nowhere() {
    let (provider, gateway) = gateway();
    let path = "/v1/audio/transcriptions";
    for (fields, status, code) in [
        (&[("model", "fast"), ("prompt", "the secret-word")][..], 403, "content-denied"),
        (&[("model", "fast"), ("hint", "the secret-word")], 403, "content-denied"),
        (
            &[("model", "fast"), ("known_speaker_names[]", "a"), ("known_speaker_names[]", "secret-word")],
            403,
            "content-denied",
        ),
        (&[("model", "fast"), ("stream", "true")], 400, "bad-request"),
        (&[("model", "fast"), ("prompt", "a"), ("prompt", "secret-word")], 400, "bad-request"),
        (&[("model", "fast"), ("Prompt", "secret-word")], 400, "bad-request"),
        (&[("model", "nobody")], 404, "unknown-model"),
        (&[("prompt", "a")], 400, "bad-request"),
    ] {
        let reply = post(&gateway, path, fields);
        assert_eq!((reply.status(), reply.code().as_str()), (status, code), "{fields:?}: {}", reply.text());
    }
    for (kind, body) in
        [("multipart/form-data; boundary=b", "--c\r\n"), ("application/json", "{\"model\":\"fast\"}")]
    {
        let bytes = request("POST", path, &[("content-type", kind)], body.as_bytes());
        let reply = gateway.wire().exchange(&bytes).unwrap();
        assert_eq!((reply.status(), reply.code().as_str()), (400, "bad-request"), "{kind}");
    }
    assert!(provider.seen().calls.is_empty());
}
