//! Whole replies and errors.

use super::super::error::named;
use super::*;

#[test]
fn a_reply_is_read_and_carried_both_ways() {
    let mut reply = reply(REPLY);
    let usage = Usage {
        input: 150,
        cached_input: 100,
        cache_write: 30,
        cache_write_1h: 10,
        output: 40,
        ..Usage::default()
    };
    assert_eq!((reply.usage, reply.finish()), (Some(usage), Some(Finish::ToolCalls)));
    let texts: Vec<String> = reply.texts().iter().map(|(_, role, text)| format!("{role}: {text}")).collect();
    let want = [
        "reasoning: hm ü",
        "assistant: It is a weir.",
        r#"arguments: {"who": "Bob"}"#,
        "assistant: It is a SECRET weir.",
    ];
    assert_eq!(texts, want, "a guardrail's trace is read too");
    let summary = read_reply_usage(&reply, IN, Operation::Chat).unwrap();
    assert_eq!((summary.usage, summary.finish), (Some(usage), Some(Finish::ToolCalls)));

    let there =
        translate_reply(Reply::new(200, REPLY), format(IN), format(Dialect::OpenAi), &identity()).unwrap();
    let body = parsed(&there.raw);
    assert_eq!((&body["id"], &body["model"]), (&json!("chatcmpl-mine"), &json!("fast")));
    assert_eq!(body["choices"][0]["message"]["content"], "It is a weir.");
    assert_eq!((&body["usage"]["prompt_tokens"], &body["usage"]["total_tokens"]), (&json!(150), &json!(190)));
    let back = translate_reply(there, format(Dialect::OpenAi), format(IN), &identity()).unwrap();
    let body = parsed(&back.raw);
    let content = &body["output"]["message"]["content"];
    assert_eq!(
        content[0]["reasoningContent"]["reasoningText"],
        json!({ "text": "hm ü", "signature": "c2ln" })
    );
    assert_eq!(
        (&content[1], &content[2]["toolUse"]["input"]),
        (&json!({ "text": "It is a weir." }), &json!({ "who": "Bob" }))
    );
    assert_eq!((&body["stopReason"], &body["usage"]["inputTokens"]), (&json!("tool_use"), &json!(50)));

    // Edits go into the bytes.
    assert!(reply.edit_text(1, &[Replace::new(8..12, "lock")]));
    assert_eq!(reply.outgoing(), REPLY.replace("It is a weir.", "It is a lock."));
}

#[test]
fn a_providers_error_is_mapped_to_a_cause() {
    let cases = [
        (400, "ValidationException", r#"{"message":"The model id is invalid."}"#, Cause::Rejected),
        (
            400,
            "ValidationException",
            r#"{"message":"Input is too long for requested model."}"#,
            Cause::ContextTooLong,
        ),
        (
            400,
            "ValidationException",
            r#"{"message":"prompt is too long: 9 tokens > 8 maximum"}"#,
            Cause::ContextTooLong,
        ),
        (403, "AccessDeniedException", r#"{"message":"no"}"#, Cause::Unauthorized),
        (403, "ExpiredTokenException:http://internal.amazon.com/coral/", "{}", Cause::Unauthorized),
        (404, "ResourceNotFoundException", "{}", Cause::NotFound),
        (408, "ModelTimeoutException", "{}", Cause::Timeout),
        (424, "ModelErrorException", r#"{"message":"x","originalStatusCode":500}"#, Cause::ServerError),
        (429, "ThrottlingException", "{}", Cause::RateLimited),
        (429, "ModelNotReadyException", "{}", Cause::Overloaded),
        (400, "ServiceQuotaExceededException", "{}", Cause::RateLimited),
        (500, "InternalServerException", "{}", Cause::ServerError),
        (503, "ServiceUnavailableException", "{}", Cause::Overloaded),
    ];
    for (status, name, body, want) in cases {
        assert_eq!(
            provider_error(IN, status, &named(name), body.as_bytes()).cause,
            want,
            "{status} {name} {body}"
        );
    }
    assert_eq!(provider_error(IN, 503, &HeaderMap::new(), b"<html>").cause, Cause::Overloaded);
}

#[test]
fn errors_are_told_as_aws_tells_them() {
    let fault = Fault::new(ErrorCode::RateLimited, "slow");
    let error = ErrorBody::of_fault(&fault, "r1");
    assert_eq!(error_body(IN, &error), r#"{"message":"slow","code":"rate-limited","requestId":"r1"}"#);
    let headers = error_headers(IN, &error);
    assert_eq!(
        (headers[0].0.as_str(), headers[0].1.to_str().unwrap()),
        ("x-amzn-errortype", "ThrottlingException")
    );
    assert!(error_headers(Dialect::OpenAi, &error).is_empty());
}

#[test]
fn a_denial_can_be_a_reply_whole_or_streamed() {
    let reply = denial_reply(IN, Operation::Chat, &identity(), "Not \"here\".");
    assert_eq!((reply.text().as_str(), reply.finish()), ("Not \"here\".", Some(Finish::ContentFilter)));
    let events = StreamEncoder::new(IN, Operation::Chat, identity()).reply(&reply, true).unwrap();
    let sent: Vec<u8> = events.iter().flat_map(|event| event.outgoing()).collect();
    let whole = collected(IN, &sent);
    assert_eq!((whole.text().as_str(), whole.finish()), ("Not \"here\".", Some(Finish::ContentFilter)));
}

#[test]
fn tokens_are_counted_of_a_conversation() {
    let body = r#"{"input":{"converse":{"messages":[{"role":"user","content":[{"text":"a"}]}]}}}"#;
    let mut request = unread(IN, Operation::Count, body);
    decode(&mut request).unwrap();
    assert_eq!(request.all_text(), "a");
    request.add_message(Role::System, "s", true);
    let to = WireFormat { dialect: IN, operation: Operation::Count };
    let out = outgoing(&request, to, "m", false).unwrap();
    assert_eq!(out.path, "/model/m/count-tokens");
    assert_eq!(parsed(&out.body)["input"]["converse"]["system"], json!([{ "text": "s" }]));
    let invoke = r#"{"input":{"invokeModel":{"body":"e30="}}}"#;
    assert_eq!(decode(&mut unread(IN, Operation::Count, invoke)).unwrap_err().code, ErrorCode::BadRequest);
    let mut reply = Reply::new(200, r#"{"inputTokens":42}"#);
    decode_reply(&mut reply, IN, Operation::Count).unwrap();
    assert_eq!((&reply.body, reply.usage), (&ReplyBody::Count(42), Some(Usage::default())));
}
