//! Whole responses.

use super::*;
use serde_json::json;
use weir_message::{Part, Reasoning, ToolCall};

#[test]
fn a_response_is_read_with_texts_usage_and_model() {
    let reply = reply_of(RESPONSE, REPLY);
    assert_eq!(reply.text(), "It is a \"weir\".", "what tools say is no part of it");
    let want = [
        "reasoning: hm",
        "reasoning: aha",
        "assistant: who is Bob",
        "assistant: It is a \"weir\".",
        "arguments: {\"who\":\"Bob\"}",
    ];
    assert_eq!(roles(reply.texts()), want);
    reply.each_text(|at| {
        let range = at.text.at.clone().unwrap();
        let literal = &REPLY[range.start as usize..range.end as usize];
        assert_eq!(serde_json::from_str::<String>(literal).unwrap(), at.text.as_str());
    });
    let usage = Usage {
        input: 120,
        cached_input: 100,
        cache_write: 8,
        output: 40,
        reasoning: 12,
        ..Usage::default()
    };
    assert_eq!((reply.usage, reply.finish()), (Some(usage), Some(Finish::ToolCalls)));
    let summary = read_reply_usage(&reply, Dialect::OpenAi, Operation::Response).unwrap();
    let (model, id) = (Some("gpt-5-mini-2025-08-07".into()), Some("resp_9x".into()));
    assert_eq!(summary, ReplySummary { usage: Some(usage), model, id, finish: Some(Finish::ToolCalls) });
    let citation = reply.choices()[0].parts.iter().find_map(|part| match part {
        Part::Citation(citation) => citation.span.clone(),
        _ => None,
    });
    assert_eq!(citation, Some(3..14));
}

#[test]
fn an_edit_of_a_response_changes_one_text_and_nothing_else() {
    let mut reply = reply_of(RESPONSE, REPLY);
    assert!(reply.set_text("Hidden."));
    assert_eq!(reply.outgoing(), REPLY.replace(r#""It is a \"weir\".""#, r#""Hidden.""#));
}

#[test]
fn why_it_ended_is_read_off_status_and_details() {
    let says = r#"{"type":"message","role":"assistant","content":[{"type":"output_text","text":"x"}]}"#;
    let calls = r#"{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}"#;
    let cases = [
        ("completed", "", says, Some(Finish::Stop)),
        ("completed", "", calls, Some(Finish::ToolCalls)),
        ("incomplete", "max_output_tokens", says, Some(Finish::Length)),
        ("incomplete", "content_filter", calls, Some(Finish::ContentFilter)),
        ("incomplete", "steered", says, Some(Finish::Other)),
        ("failed", "", says, Some(Finish::Other)),
        ("cancelled", "", says, Some(Finish::Other)),
        ("queued", "", says, None),
        ("in_progress", "", says, None),
    ];
    for (status, reason, item, want) in cases {
        let body = format!(
            r#"{{"status":"{status}","incomplete_details":{{"reason":"{reason}"}},"output":[{item}]}}"#
        );
        let reply = reply_of(RESPONSE, &body);
        let summary = read_reply_usage(&reply, Dialect::OpenAi, Operation::Response).unwrap();
        assert_eq!((reply.finish(), summary.finish), (want, want), "{body}");
    }
}

#[test]
fn words_beside_the_output_are_read_too() {
    let body = r#"{"status":"failed","error":{"code":"server_error","message":"about Bob"},"output":[],"output_text":"Bob"}"#;
    assert_eq!(roles(reply_of(RESPONSE, body).texts()), ["tool: about Bob", "tool: Bob"]);
    let twice = r#"{"output":[{"type":"message","role":"assistant","content":"a","content":"b"}]}"#;
    for body in ["", "<html>", twice, r#"{"output":[{"role":"assistant","content":[{"text":1}]}]}"#] {
        let mut reply = Reply::new(200, Bytes::copy_from_slice(body.as_bytes()));
        let fault = decode_reply(&mut reply, Dialect::OpenAi, Operation::Response).unwrap_err();
        assert_eq!((fault.code, fault.param), (ErrorCode::UpstreamInvalid, None), "{body}");
    }
}

#[test]
fn a_chat_completion_becomes_a_response() {
    let chat = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "served",
        "choices": [{ "index": 0, "finish_reason": "tool_calls", "message": {
            "role": "assistant", "content": "Let me look.", "refusal": null, "reasoning_content": "hm",
            "tool_calls": [{ "id": "c1", "type": "function", "function": { "name": "look", "arguments": "{\"a\":1}" } }],
        } }],
        "usage": { "prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8,
            "prompt_tokens_details": { "cached_tokens": 2 }, "completion_tokens_details": { "reasoning_tokens": 1 } },
    });
    let reply = Reply::new(200, chat.to_string());
    let reply = translate_reply(reply, CHAT, RESPONSE, &identity()).unwrap();
    let got: Value = serde_json::from_slice(&reply.raw).unwrap();
    let output = json!([
        { "id": "msg_chatcmpl-1_0", "type": "message", "status": "completed", "role": "assistant",
            "content": [{ "type": "output_text", "annotations": [], "logprobs": [], "text": "Let me look." }] },
        { "id": "rs_chatcmpl-1_1", "type": "reasoning", "summary": [{ "type": "summary_text", "text": "hm" }] },
        { "id": "fc_chatcmpl-1_2", "type": "function_call", "status": "completed", "call_id": "c1", "name": "look", "arguments": "{\"a\":1}" },
    ]);
    assert_eq!(got["output"], output);
    let usage = json!({
        "input_tokens": 5, "input_tokens_details": { "cached_tokens": 2, "cache_write_tokens": 0 },
        "output_tokens": 3, "output_tokens_details": { "reasoning_tokens": 1 }, "total_tokens": 8,
    });
    assert_eq!(got["usage"], usage);
    let head = json!(["response", "completed", 7, "served", null]);
    let fields = ["object", "status", "created_at", "model", "error"].map(|field| got[field].clone());
    assert_eq!(json!(fields), head);
}

#[test]
fn endings_are_told_as_status_and_details() {
    let cases = [
        ("stop", "completed", Value::Null),
        ("length", "incomplete", json!({ "reason": "max_output_tokens" })),
        ("content_filter", "incomplete", json!({ "reason": "content_filter" })),
    ];
    for (finish, status, details) in cases {
        let chat = format!(r#"{{"choices":[{{"message":{{"content":"x"}},"finish_reason":"{finish}"}}]}}"#);
        let reply = translate_reply(Reply::new(200, chat), CHAT, RESPONSE, &identity()).unwrap();
        let got: Value = serde_json::from_slice(&reply.raw).unwrap();
        assert_eq!((&got["status"], &got["incomplete_details"]), (&json!(status), &details), "{finish}");
        assert_eq!(got["id"], "resp_made");
    }
}

#[test]
fn signed_and_sealed_reasoning_comes_back_with_the_next_turn() {
    let thought = |text: &str, signature: Option<&str>| {
        Part::Reasoning(Reasoning { text: Text::added(text), signature: signature.map(Into::into) })
    };
    let call = ToolCall { id: "c".into(), name: "f".into(), arguments: Text::added("{}"), signature: None };
    let parts = vec![
        thought("one", Some("sig-1")),
        thought("two", Some("sig-2")),
        Part::Sealed("sealed".into()),
        Part::Text(Text::added("Yes.")),
        Part::ToolCall(call),
    ];
    let mut reply = Reply::new(200, "");
    reply.body =
        ReplyBody::Choices(vec![Choice { index: 0, parts, finish: Some(Finish::ToolCalls), stop: None }]);
    let raw = super::super::encode_reply(&reply, &identity());
    let items: Value = serde_json::from_slice::<Value>(&raw).unwrap()["output"].take();
    let said = |parts: &[Part]| -> Vec<String> {
        let show = |part: &Part| match part {
            Part::Reasoning(one) => format!("{} by {:?}", one.text.as_str(), one.signature),
            Part::Sealed(data) => format!("sealed {data}"),
            Part::Text(text) => text.as_str().to_owned(),
            Part::ToolCall(call) => format!("{} {} {}", call.id, call.name, call.arguments.as_str()),
            other => format!("{other:?}"),
        };
        parts.iter().map(show).collect()
    };
    let next = request(&json!({ "input": items }).to_string());
    assert_eq!(said(&next.messages()[0].parts), said(&reply.choices()[0].parts));
}

#[test]
fn a_denial_can_be_a_response_whole_or_streamed() {
    let reply = denial_reply(Dialect::OpenAi, Operation::Response, &identity(), "Not \"here\".");
    assert_eq!((reply.text().as_str(), reply.finish()), ("Not \"here\".", Some(Finish::ContentFilter)));
    let events = encoder().reply(&reply, false).unwrap();
    let deltas: String =
        events.iter().flat_map(|event| &event.deltas).map(|delta| delta.text.as_str()).collect();
    assert_eq!(deltas, "Not \"here\".");
    let last = &events[events.len() - 2];
    assert_eq!(json(&last.raw)["type"], "response.incomplete");
    assert_eq!(last.finish, Some(Finish::ContentFilter));
}
