//! Each service is asked in the shape that its API documents, with the credential that it wants, and its documented answers are read.
//!
//! The schemas are written after: platform.openai.com/docs/api-reference/moderations, microsoft.github.io/presidio/api-docs,
//! docs.aws.amazon.com/bedrock (ApplyGuardrail), learn.microsoft.com/rest/api/contentsafety,
//! cloud.google.com/model-armor/docs/reference/rest, docs.lakera.ai/docs/api/guard.

use super::{answer, ask, asked, header, says, start};
use serde_json::{Value, json};
use weir_conformance::harness::{Provider, whole};
use weir_conformance::upstream::{CallRecord, Reaction};

/// An API, and one guard that asks it.
struct Api {
    guard: &'static str,
    /// The first path segments of its calls, each with the method's path and the schema of the question.
    calls: Vec<(&'static str, &'static str, Value)>,
    /// What it answers where nothing is wrong, and where something is; of services with several calls, to each.
    clean: Vec<Value>,
    found: Vec<Value>,
    /// What shows who asks.
    shows: (&'static str, &'static str),
}

fn object(required: &[&str], properties: Value) -> Value {
    json!({ "type": "object", "additionalProperties": false, "required": required, "properties": properties })
}

fn texts() -> Value {
    json!({ "type": "array", "minItems": 1, "items": { "type": "string" } })
}

fn apis() -> Vec<Api> {
    let string = json!({ "type": "string" });
    let moderated = |flag: bool| {
        json!({ "id": "modr-1", "model": "omni-moderation-latest", "results": [{
            "flagged": flag, "categories": { "violence": flag, "hate": false },
            "category_scores": { "violence": if flag { 0.91 } else { 0.01 }, "hate": 0.0 },
            "category_applied_input_types": { "violence": ["text"], "hate": ["text"] },
        }] })
    };
    let guarded = |action: &str, topics: Value| {
        json!({ "action": action, "actionReason": "", "outputs": [], "assessments": [{
            "topicPolicy": { "topics": topics }, "invocationMetrics": { "guardrailProcessingLatency": 90 },
        }], "usage": { "topicPolicyUnits": 1 } })
    };
    let analyzed = |severity: u8| json!({ "blocklistsMatch": [], "categoriesAnalysis": [{ "category": "Hate", "severity": severity }] });
    let shielded =
        |attack: bool| json!({ "userPromptAnalysis": { "attackDetected": attack }, "documentsAnalysis": [] });
    let armored = |state: &str| {
        json!({ "sanitizationResult": { "filterMatchState": state, "invocationResult": "SUCCESS", "filterResults": {
            "pi_and_jailbreak": { "piAndJailbreakFilterResult": { "executionState": "EXECUTION_SUCCESS", "matchState": state, "confidenceLevel": "HIGH" } },
        } } })
    };
    let flagged = |flag: bool| json!({ "flagged": flag, "payload": [], "breakdown": [{ "detector_type": "prompt_attack", "detected": flag, "message_id": 0 }], "metadata": { "request_uuid": "u" } });
    vec![
        Api {
            guard: r#"moderation
        with: { url: "http://{UPSTREAM}/mod/v1/moderations", key: "${env:SERVICE_SECRET}", on: [request] }"#,
            calls: vec![(
                "mod",
                "/v1/moderations",
                object(&["input", "model"], json!({ "model": string, "input": texts() })),
            )],
            clean: vec![moderated(false)],
            found: vec![moderated(true)],
            shows: ("authorization", "Bearer whsec_"),
        },
        Api {
            guard: r#"presidio
        with: { analyzer: "http://{UPSTREAM}/analyzer", on: [request], asks: { headers: { x-house: acme } } }"#,
            calls: vec![(
                "analyzer",
                "/analyze",
                object(
                    &["text", "language"],
                    json!({
                        "text": string, "language": { "const": "en" }, "score_threshold": { "type": "number" },
                        "entities": texts(), "return_decision_process": { "type": "boolean" }, "correlation_id": string,
                    }),
                ),
            )],
            clean: vec![json!([])],
            found: vec![
                json!([{ "entity_type": "PERSON", "start": 0, "end": 5, "score": 0.85, "analysis_explanation": null }]),
            ],
            shows: ("x-house", "acme"),
        },
        Api {
            guard: r#"bedrock-guardrail
        with:
          guardrail: "arn:aws:bedrock:eu-central-1:1:guardrail/gr1"
          version: "3"
          region: eu-central-1
          aws: { access_key_id: AKID, secret_access_key: "${env:SERVICE_SECRET}" }
          endpoint: "http://{UPSTREAM}/aws"
          on: [request]"#,
            calls: vec![(
                "aws",
                "/guardrail/arn%3Aaws%3Abedrock%3Aeu-central-1%3A1%3Aguardrail%2Fgr1/version/3/apply",
                object(
                    &["source", "content"],
                    json!({
                        "source": { "enum": ["INPUT", "OUTPUT"] }, "outputScope": { "enum": ["INTERVENTIONS", "FULL"] },
                        "content": { "type": "array", "minItems": 1, "items": object(&["text"], json!({ "text": object(&["text"], json!({ "text": string, "qualifiers": texts() })) })) },
                    }),
                ),
            )],
            clean: vec![guarded("NONE", json!([]))],
            found: vec![guarded(
                "GUARDRAIL_INTERVENED",
                json!([{ "name": "Finance", "type": "DENY", "action": "BLOCKED" }]),
            )],
            shows: ("authorization", "AWS4-HMAC-SHA256 Credential=AKID/"),
        },
        Api {
            guard: r#"azure-content-safety
        with: { endpoint: "http://{UPSTREAM}/azure", key: "${env:SERVICE_SECRET}", severity: { hate: 4 }, on: [request] }"#,
            calls: vec![(
                "azure",
                "/contentsafety/text:analyze?api-version=2024-09-01",
                object(
                    &["text"],
                    json!({
                        "text": { "type": "string", "maxLength": 10_000 }, "categories": texts(), "blocklistNames": { "type": "array" },
                        "haltOnBlocklistHit": { "type": "boolean" }, "outputType": { "enum": ["FourSeverityLevels", "EightSeverityLevels"] },
                    }),
                ),
            )],
            clean: vec![analyzed(2)],
            found: vec![analyzed(4)],
            shows: ("ocp-apim-subscription-key", "whsec_"),
        },
        Api {
            guard: r#"azure-content-safety
        with: { endpoint: "http://{UPSTREAM}/azure", key: "${env:SERVICE_SECRET}", shield: true, on: [request] }"#,
            calls: vec![(
                "azure",
                "/contentsafety/text:shieldPrompt?api-version=2024-09-01",
                object(
                    &["userPrompt"],
                    json!({ "userPrompt": { "type": "string", "maxLength": 10_000 }, "documents": { "type": "array", "maxItems": 5 } }),
                ),
            )],
            clean: vec![shielded(false)],
            found: vec![shielded(true)],
            shows: ("ocp-apim-subscription-key", "whsec_"),
        },
        Api {
            guard: r#"model-armor
        with:
          template: projects/p/locations/eu/templates/t
          endpoint: "http://{UPSTREAM}/armor"
          google: { metadata: "http://{UPSTREAM}/machine" }
          on: [request]"#,
            calls: vec![(
                "armor",
                "/v1/projects/p/locations/eu/templates/t:sanitizeUserPrompt",
                object(
                    &["userPromptData"],
                    json!({ "userPromptData": object(&["text"], json!({ "text": string })) }),
                ),
            )],
            clean: vec![armored("NO_MATCH_FOUND")],
            found: vec![armored("MATCH_FOUND")],
            shows: ("authorization", "Bearer machines"),
        },
        Api {
            guard: r#"lakera
        with: { url: "http://{UPSTREAM}/lakera/v2/guard", key: "${env:SERVICE_SECRET}", project: p1, on: [request] }"#,
            calls: vec![(
                "lakera",
                "/v2/guard",
                object(
                    &["messages"],
                    json!({
                        "messages": { "type": "array", "minItems": 1, "items": object(&["role", "content"], json!({ "role": { "enum": ["system", "user", "assistant", "tool"] }, "content": string })) },
                        "project_id": string, "breakdown": { "type": "boolean" }, "payload": { "type": "boolean" }, "dev_info": { "type": "boolean" },
                    }),
                ),
            )],
            clean: vec![flagged(false)],
            found: vec![flagged(true)],
            shows: ("authorization", "Bearer whsec_"),
        },
    ]
}

fn judge(call: &CallRecord, (_, path, schema): &(&str, &str, Value), api: &Api) {
    assert_eq!((call.method.as_str(), call.path.as_str()), ("POST", *path));
    assert_eq!(header(call, "content-type"), Some("application/json"));
    let (name, begins) = api.shows;
    assert!(header(call, name).is_some_and(|value| value.starts_with(begins)), "{name}: {:?}", call.headers);
    let question: Value = serde_json::from_str(&call.body).unwrap();
    let validator = jsonschema::validator_for(schema).unwrap();
    let wrong: Vec<String> = validator.iter_errors(&question).map(|error| error.to_string()).collect();
    assert!(wrong.is_empty() && call.body.contains("hello"), "{path}: {wrong:?} {question}");
}

#[test]
fn each_service_is_asked_as_its_api_documents_and_its_answers_are_read() {
    let provider = Provider::start();
    for api in apis() {
        let gateway = start(&provider, api.guard);
        let token = whole(
            200,
            &[("content-type", "application/json")],
            br#"{"access_token":"machines","expires_in":3600,"token_type":"Bearer"}"#,
        );
        let mut first: Vec<Reaction> = Vec::new();
        first.extend(api.guard.starts_with("model-armor").then_some(token));
        first.extend(api.clean.iter().map(answer));
        first.push(says("fine"));
        provider.answers(first);
        let reply = ask(&gateway, "hello", false);
        assert_eq!(
            (reply.status(), reply.words().as_str()),
            (200, "fine"),
            "{}: {} {}",
            api.guard,
            reply.text(),
            gateway.log()
        );
        for expected in &api.calls {
            let calls = asked(&provider, expected.0);
            let [call] = calls.as_slice() else { panic!("{}: {:?}", api.guard, provider.seen()) };
            judge(call, expected, &api);
        }
        provider.answers(api.found.iter().map(answer).collect());
        let reply = ask(&gateway, "hello", false);
        assert_eq!(
            (reply.status(), reply.code().as_str()),
            (403, "content-denied"),
            "{}: {}",
            api.guard,
            reply.text()
        );
        assert!(asked(&provider, "lab").is_empty());
        provider.answers(vec![answer(&json!({ "unknown": true }))]);
        let reply = ask(&gateway, "hello", false);
        assert_eq!(
            (reply.status(), reply.code().as_str()),
            (503, "stage-unavailable"),
            "{}: {}",
            api.guard,
            reply.text()
        );
    }
}
