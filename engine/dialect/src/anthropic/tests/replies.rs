//! Whole replies, errors and lists.

use super::*;
use http::HeaderMap;
use serde_json::json;
use weir_message::{Cause, ErrorCode, Finish, Part, TextRole};

fn translate(from: WireFormat, to: WireFormat, body: &str) -> Value {
    let reply = translate_reply(Reply::new(200, body.to_owned()), from, to, &identity()).unwrap();
    json(&reply.raw)
}

#[test]
fn a_reply_is_read_with_texts_usage_and_model() {
    let reply = reply(REPLY);
    let texts: Vec<String> = reply.texts().iter().map(|(_, role, text)| format!("{role}: {text}")).collect();
    let want = [
        "reasoning: The rules say so.",
        "assistant: No boats ",
        "assistant: — sorry.",
        "assistant: {\"query\": \"b\\u00f6ats\"}",
        "assistant: Boats",
        "arguments: {\"who\": \"Ann\", \"n\": 1.0}",
    ];
    assert_eq!(texts, want);
    let usage = Usage {
        input: 100,
        cached_input: 50,
        cache_write: 30,
        output: 40,
        reasoning: 12,
        ..Usage::default()
    };
    assert_eq!((reply.usage, reply.finish()), (Some(usage), Some(Finish::ToolCalls)));
    let summary = read_reply_usage(&reply, Dialect::Anthropic, Operation::Chat).unwrap();
    let want = ReplySummary {
        usage: Some(usage),
        model: Some("claude-sonnet-4-5-20250929".into()),
        id: Some("msg_01X".into()),
        finish: Some(Finish::ToolCalls),
    };
    assert_eq!(summary, want);
    let at = reply.texts().iter().position(|text| text.1 == TextRole::Arguments).unwrap();
    let mut edited = reply.clone();
    edited.edit_text(at, &[weir_message::Replace::new(9..12, "\"")]);
    assert_eq!(edited.outgoing(), REPLY.replace(r#""who": "Ann""#, r#""who": "\"""#));
}

#[test]
fn reasons_to_stop_have_a_meaning_each_and_come_back() {
    let cases = [
        ("end_turn", Finish::Stop, "stop"),
        ("stop_sequence", Finish::Stop, "stop"),
        ("max_tokens", Finish::Length, "length"),
        ("model_context_window_exceeded", Finish::Length, "length"),
        ("tool_use", Finish::ToolCalls, "tool_calls"),
        ("refusal", Finish::ContentFilter, "content_filter"),
        ("pause_turn", Finish::Paused, "stop"),
        ("news", Finish::Other, "stop"),
    ];
    for (reason, finish, openais) in cases {
        let stop = if reason == "stop_sequence" { "\"END\"" } else { "null" };
        let body = format!(r#"{{"content":[],"stop_reason":"{reason}","stop_sequence":{stop}}}"#);
        let read = reply(&body);
        assert_eq!(read.finish(), Some(finish), "{reason}");
        assert_eq!(translate(OURS, OPENAI, &body)["choices"][0]["finish_reason"], openais, "{reason}");
        let written = json(&anthropic::Anthropic.encode_reply(&read, Operation::Chat, &identity()));
        let same = match reason {
            "model_context_window_exceeded" => "max_tokens",
            "news" => "end_turn",
            same => same,
        };
        assert_eq!(
            (&written["stop_reason"], written["stop_sequence"].is_string()),
            (&json!(same), stop != "null")
        );
    }
}

use crate::wire::Wire;

#[test]
fn written_anew_a_reply_is_the_same() {
    let read = reply(REPLY);
    let written = json(&anthropic::Anthropic.encode_reply(&read, Operation::Chat, &identity()));
    let mut want = json(REPLY.as_bytes());
    // What was kept how long, and of which class the service was, has no class here.
    want["usage"]
        .as_object_mut()
        .unwrap()
        .retain(|name, _| !matches!(&**name, "cache_creation" | "service_tier"));
    assert_eq!(written, want);
    assert!(
        String::from_utf8_lossy(&anthropic::Anthropic.encode_reply(&read, Operation::Chat, &identity()))
            .contains("1.0}")
    );
}

#[test]
fn a_reply_of_ours_in_openais_words() {
    let got = translate(OURS, OPENAI, REPLY);
    assert_eq!((&got["id"], &got["model"]), (&json!("msg_01X"), &json!("claude-sonnet-4-5-20250929")));
    let choice = &got["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    let message = &choice["message"];
    assert_eq!(message["content"], "No boats — sorry.");
    assert_eq!(message["reasoning_content"], "The rules say so.");
    assert_eq!(
        message["reasoning_details"],
        json!([{ "type": "reasoning.text", "signature": "c2ln" }, { "type": "reasoning.encrypted", "data": "c2VhbGVk" }])
    );
    assert_eq!(
        message["tool_calls"],
        json!([{ "id": "toolu_9", "type": "function", "function": { "name": "look", "arguments": "{\"who\": \"Ann\", \"n\": 1.0}" } }])
    );
    assert_eq!(message["annotations"][0]["url_citation"]["title"], "Rules");
    let usage = &got["usage"];
    assert_eq!(
        (&usage["prompt_tokens"], &usage["completion_tokens"], &usage["total_tokens"]),
        (&json!(100), &json!(40), &json!(140))
    );
    assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 50);
    assert_eq!(usage["completion_tokens_details"]["reasoning_tokens"], 12);
}

#[test]
fn a_reply_of_openais_in_our_words() {
    let body = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"gpt-5","choices":[
        {"index":0,"message":{"role":"assistant","content":"Look.","reasoning_content":"hm",
          "annotations":[{"type":"url_citation","url_citation":{"url":"https://example.com","title":"E","start_index":0,"end_index":4}}],
          "tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"n\": 1.0}"}},
                        {"id":"","type":"function","function":{"name":"g","arguments":"{\"cut"}}]},"finish_reason":"stop"},
        {"index":1,"message":{"role":"assistant","content":"other"},"finish_reason":"stop"}],
        "usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"prompt_tokens_details":{"cached_tokens":4}}}"#;
    let got = translate(OPENAI, OURS, body);
    let want = json!({
        "id": "chatcmpl-1", "type": "message", "role": "assistant", "model": "gpt-5",
        "content": [
            { "type": "thinking", "thinking": "hm", "signature": "" },
            { "type": "text", "text": "Look." },
            { "type": "tool_use", "id": "call_1", "name": "f", "input": { "n": 1.0 } },
            { "type": "tool_use", "id": "toolu_r1_4", "name": "g", "input": { "input": "{\"cut" } },
        ],
        "stop_reason": "tool_use", "stop_sequence": null,
        "usage": { "input_tokens": 6, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 4, "output_tokens": 5 },
    });
    let mut got_bare = got.clone();
    let cited = got_bare["content"][1].as_object_mut().unwrap().remove("citations");
    assert_eq!(got_bare, want);
    assert_eq!(
        cited.unwrap()[0],
        json!({ "type": "web_search_result_location", "cited_text": "", "url": "https://example.com", "encrypted_index": "", "title": "E" })
    );
    // Reasoning without a proof comes back without one.
    let back = reply(&got.to_string());
    assert!(
        back.choices()[0]
            .parts
            .iter()
            .any(|part| matches!(part, Part::Reasoning(r) if r.signature.is_none()))
    );
}

#[test]
fn a_refusal_is_told_apart_from_what_is_said() {
    let ours = r#"{"content":[],"stop_reason":"refusal","stop_details":{"type":"refusal","category":"bio","explanation":"Not \"this\"."}}"#;
    let read = reply(ours);
    assert_eq!(read.texts()[0].1, TextRole::Refusal);
    let message = translate(OURS, OPENAI, ours)["choices"][0].clone();
    assert_eq!(
        (&message["message"]["refusal"], &message["finish_reason"]),
        (&json!("Not \"this\"."), &json!("content_filter"))
    );
    let openais = r#"{"choices":[{"message":{"content":null,"refusal":"No."},"finish_reason":"stop"}]}"#;
    let got = translate(OPENAI, OURS, openais);
    assert_eq!((&got["content"], &got["stop_reason"]), (&json!([]), &json!("refusal")));
    assert_eq!(got["stop_details"], json!({ "type": "refusal", "category": null, "explanation": "No." }));
}

#[test]
fn the_input_of_the_answers_tool_is_the_answer() {
    let body = |more: &str| {
        format!(
            r#"{{"content":[{{"type":"text","text":"So: "}},{{"type":"tool_use","id":"a","name":"weir_answer","input":{{"z": 1.0}}}}{more}],"stop_reason":"tool_use"}}"#
        )
    };
    let choice = translate(OURS, OPENAI, &body(""))["choices"][0].clone();
    assert_eq!(
        (&choice["message"]["content"], &choice["finish_reason"]),
        (&json!("So: {\"z\": 1.0}"), &json!("stop"))
    );
    let more = r#",{"type":"tool_use","id":"b","name":"look","input":{}}"#;
    assert_eq!(translate(OURS, OPENAI, &body(more))["choices"][0]["finish_reason"], "tool_calls");
}

#[test]
fn a_reply_that_cannot_be_read_is_the_providers_fault() {
    let twice = r#"{"content":[{"type":"text","text":"a","text":"b"}]}"#;
    for body in ["", "<html>", r#"{"content":[{]}"#, twice, r#"{"content":[{"type":"text"}]}"#] {
        let mut reply = Reply::new(200, body.to_owned());
        let fault = decode_reply(&mut reply, Dialect::Anthropic, Operation::Chat).unwrap_err();
        assert_eq!((fault.code, fault.param), (ErrorCode::UpstreamInvalid, None), "{body}");
    }
}

#[test]
fn a_denial_reads_as_a_message_that_ends_by_refusal() {
    let denied = denial_reply(Dialect::Anthropic, Operation::Chat, &identity(), "Not here.");
    assert_eq!((denied.text().as_str(), denied.finish()), ("Not here.", Some(Finish::ContentFilter)));
    let body = json(&denied.outgoing());
    assert_eq!(
        (&body["id"], &body["model"], &body["stop_reason"]),
        (&json!("msg_r1"), &json!("fast"), &json!("refusal"))
    );
}

#[test]
fn errors_have_the_type_of_their_status_and_the_stable_code() {
    let cases = [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (405, "invalid_request_error"),
        (409, "conflict_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ];
    for (status, kind) in cases {
        let error = ErrorBody {
            status,
            code: "c",
            kind: "k",
            message: "a\"b",
            param: Some("model"),
            request_id: "r",
        };
        let want = json!({ "type": "error", "request_id": "r",
            "error": { "type": kind, "message": "a\"b", "details": { "error_code": "c", "param": "model" } } });
        assert_eq!(json(&error_body(Dialect::Anthropic, &error)), want);
    }
}

#[test]
fn a_providers_error_is_mapped_to_a_cause() {
    let error = |kind: &str, message: &str| {
        format!(
            r#"{{"type":"error","error":{{"type":"{kind}","message":"{message}"}},"request_id":"req_1"}}"#
        )
    };
    let cases = [
        (
            400,
            error("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
            Cause::ContextTooLong,
        ),
        (
            400,
            error("invalid_request_error", "input length and `max_tokens` exceed context limit"),
            Cause::ContextTooLong,
        ),
        (400, error("invalid_request_error", "max_tokens: Field required"), Cause::Rejected),
        (401, error("authentication_error", "invalid x-api-key"), Cause::Unauthorized),
        (402, error("billing_error", "low balance"), Cause::RateLimited),
        (404, error("not_found_error", "model: x"), Cause::NotFound),
        (413, error("request_too_large", "large"), Cause::ContextTooLong),
        (429, error("rate_limit_error", "slow"), Cause::RateLimited),
        (500, error("api_error", "oh"), Cause::ServerError),
        (529, error("overloaded_error", "Overloaded"), Cause::Overloaded),
        (200, error("overloaded_error", "Overloaded"), Cause::Overloaded),
        (200, error("api_error", "oh"), Cause::ServerError),
    ];
    for (status, body, want) in cases {
        let got = provider_error(Dialect::Anthropic, status, &HeaderMap::new(), body.as_bytes());
        assert_eq!(got.cause, want, "{status} {body}");
    }
}

#[test]
fn lists_of_models_are_as_anthropic_writes_them() {
    let model = |id: &str| json!({ "type": "model", "id": id, "display_name": id, "created_at": "2025-11-20T00:53:20Z", "lifecycle": "active" });
    let want =
        json!({ "data": [model("a"), model("b\"")], "has_more": false, "first_id": "a", "last_id": "b\"" });
    assert_eq!(json(&models_list(Dialect::Anthropic, ["a", "b\""], 1_763_600_000)), want);
    assert_eq!(json(&model_one(Dialect::Anthropic, "a", 1_763_600_000)), model("a"));
    assert_eq!(json(&models_list(Dialect::Anthropic, [], 0))["first_id"], Value::Null);
}
