//! Whole replies.

use super::*;
use weir_message::{Citation, Part, TextForm};

#[test]
fn a_reply_is_read_with_texts_usage_and_model() {
    let reply = reply(Dialect::Gemini, REPLY);
    assert_eq!(reply.text(), "Größe: a weir.");
    let usage = Usage { input: 125, cached_input: 100, output: 40, reasoning: 12, ..Usage::default() };
    assert_eq!((reply.usage, reply.finish()), (Some(usage), Some(Finish::ToolCalls)));
    let texts: Vec<String> = reply.texts().iter().map(|(_, role, text)| format!("{role}: {text}")).collect();
    assert_eq!(
        texts,
        [
            "reasoning: hm",
            "assistant: Größe: a weir.",
            r#"arguments: {"who": "Bob"}"#,
            r#"arguments: {"who": "Ann"}"#,
            "assistant: what is a weir",
            "assistant: a weir is a dam",
            "assistant: a weir",
            "assistant: Malformed: look(Eve)",
        ]
    );
    reply.each_text(|at| {
        let place = at.text.at.clone().unwrap();
        let literal = &REPLY[place.start as usize..place.end as usize];
        match at.text.form {
            TextForm::Document => assert_eq!(literal, at.text.as_str()),
            _ => assert_eq!(serde_json::from_str::<String>(literal).unwrap(), at.text.as_str()),
        }
    });
    let calls: Vec<&str> = reply.tool_calls().map(|call| &*call.id).collect();
    assert!(calls[0].starts_with("gemini-") && calls[0] != calls[1], "{calls:?}");
    let again = super::reply(Dialect::Gemini, REPLY);
    let again: Vec<&str> = again.tool_calls().map(|call| &*call.id).collect();
    assert_eq!(calls, again, "an id is the same whenever the reply is read");
    let cited: Vec<&Citation> = reply.choices()[0]
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::Citation(citation) => Some(citation),
            _ => None,
        })
        .collect();
    let urls: Vec<Option<&str>> = cited.iter().map(|citation| citation.url.as_deref()).collect();
    assert_eq!(urls, [Some("https://example.com/a"), Some("files/b")]);
    assert_eq!(cited[0].span, Some(7..13), "bytes become characters");
    assert_eq!(cited[1].quote.as_deref(), Some("a weir is a dam"));
    assert_eq!(reply.choices()[1].finish, Some(Finish::Other));
    let summary = read_reply_usage(&reply, Dialect::Gemini, Operation::Chat).unwrap();
    assert_eq!(
        summary,
        ReplySummary {
            usage: Some(usage),
            model: Some("gemini-2.5-flash".into()),
            id: Some("mAitaLmkHPPlz7IP".into()),
            finish: Some(Finish::ToolCalls)
        }
    );
}

#[test]
fn reasons_to_end_have_their_meaning() {
    let cases = [
        ("STOP", Some(Finish::Stop)),
        ("MAX_TOKENS", Some(Finish::Length)),
        ("SAFETY", Some(Finish::ContentFilter)),
        ("RECITATION", Some(Finish::ContentFilter)),
        ("BLOCKLIST", Some(Finish::ContentFilter)),
        ("PROHIBITED_CONTENT", Some(Finish::ContentFilter)),
        ("SPII", Some(Finish::ContentFilter)),
        ("MALFORMED_FUNCTION_CALL", Some(Finish::Other)),
        ("A_NEW_ONE", Some(Finish::Other)),
        ("FINISH_REASON_UNSPECIFIED", None),
    ];
    for (name, want) in cases {
        let body = format!(r#"{{"candidates":[{{"content":{{"parts":[]}},"finishReason":"{name}"}}]}}"#);
        assert_eq!(reply(Dialect::Gemini, &body).finish(), want, "{name}");
    }
}

#[test]
fn a_prompt_that_is_refused_is_a_reply_that_the_filter_ended() {
    let body = r#"{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT","blockReasonMessage":"not this"},"usageMetadata":{"promptTokenCount":4}}"#;
    let reply = reply(Dialect::Gemini, body);
    assert_eq!((reply.text().as_str(), reply.finish()), ("not this", Some(Finish::ContentFilter)));
    let bare = super::reply(Dialect::Gemini, r#"{"promptFeedback":{"blockReason":"SAFETY"}}"#);
    assert_eq!((bare.text().as_str(), bare.finish()), ("", Some(Finish::ContentFilter)));
    let rated = super::reply(Dialect::Gemini, r#"{"promptFeedback":{"safetyRatings":[]}}"#);
    assert_eq!(rated.choices(), []);
}

#[test]
fn a_reply_that_cannot_be_read_is_the_providers_fault() {
    let twice = r#"{"candidates":[{"content":{"parts":[{"text":"a","text":"b"}]}}]}"#;
    for body in ["", "<html>", "[]", "{\"candidates\":[{]}", twice] {
        let mut reply = Reply::new(200, Bytes::copy_from_slice(body.as_bytes()));
        let fault = decode_reply(&mut reply, Dialect::Gemini, Operation::Chat).unwrap_err();
        assert_eq!((fault.code, fault.param), (ErrorCode::UpstreamInvalid, None), "{body}");
    }
}

#[test]
fn vectors_and_counts_are_read_and_written_as_the_client_asked() {
    let read = |operation, body: &'static str| {
        let mut reply = Reply::new(200, body);
        decode_reply(&mut reply, Dialect::Gemini, operation).unwrap();
        reply
    };
    let one = read(Operation::Embedding, r#"{"embedding":{"values":[0.10, -2e-3]}}"#);
    assert_eq!(one.body, weir_message::ReplyBody::Vectors(vec!["[0.10, -2e-3]".into()]));
    let written = |reply: &Reply, operation, asked: &str| {
        let wire = crate::wire::wire(Dialect::Gemini).unwrap();
        String::from_utf8(wire.encode_reply(reply, operation, &identity(asked)).to_vec()).unwrap()
    };
    assert_eq!(
        written(&one, Operation::Embedding, "/v1beta/models/m:embedContent?key=k"),
        r#"{"embedding":{"values":[0.10, -2e-3]}}"#
    );
    let several = written(&one, Operation::Embedding, "/v1beta/models/m:batchEmbedContents");
    assert_eq!(several, r#"{"embeddings":[{"values":[0.10, -2e-3]}]}"#);
    let count = read(Operation::Count, r#"{"totalTokens":31,"promptTokensDetails":[]}"#);
    assert_eq!(count.body, weir_message::ReplyBody::Count(31));
    let summary = read_reply_usage(&count, Dialect::Gemini, Operation::Count).unwrap();
    assert_eq!(
        (summary.usage, count.usage),
        (Some(Usage::default()), Some(Usage::default())),
        "nothing is spent"
    );
    assert_eq!(written(&count, Operation::Count, ""), r#"{"totalTokens":31}"#);
}

#[test]
fn a_reply_written_again_says_the_same() {
    let before = reply(Dialect::Gemini, REPLY);
    let wire = crate::wire::wire(Dialect::Gemini).unwrap();
    let written = wire.encode_reply(&before, Operation::Chat, &identity(GENERATE));
    let after = reply(Dialect::Gemini, std::str::from_utf8(&written).unwrap());
    assert_eq!(parts_of(&after), parts_of(&before));
    assert_eq!((after.usage, &after.model, &after.id), (before.usage, &before.model, &before.id));
}

/// What a reply says, wherever it stands.
pub(super) fn parts_of(reply: &Reply) -> Vec<(u32, Vec<Part>, Option<Finish>)> {
    let mut reply = reply.clone();
    let weir_message::ReplyBody::Choices(choices) = &mut reply.body else { return Vec::new() };
    choices
        .iter_mut()
        .map(|choice| {
            (
                choice.index,
                std::mem::take(&mut choice.parts).into_iter().map(placeless).collect(),
                choice.finish,
            )
        })
        .collect()
}

/// A part without the places of its texts; documents with no blanks.
pub(super) fn placeless(mut part: Part) -> Part {
    let text = |text: &mut Text| {
        text.at = None;
        if text.form.is_json() {
            text.form = TextForm::Json;
            if let Ok(value) = serde_json::from_str::<serde_json::Value>(&text.value) {
                text.value = value.to_string().into();
            }
        }
    };
    match &mut part {
        Part::Text(one) | Part::Refusal(one) => text(one),
        Part::Reasoning(reasoning) => text(&mut reasoning.text),
        Part::ToolCall(call) => text(&mut call.arguments),
        Part::ToolResult(result) => {
            result.parts = std::mem::take(&mut result.parts).into_iter().map(placeless).collect();
        }
        Part::Other { texts, .. } => texts.iter_mut().for_each(text),
        Part::Media(weir_message::Media { source: weir_message::Source::Base64(data), .. }) => {
            *data = data.replace('-', "+").replace('_', "/").into();
        }
        _ => {}
    }
    part
}

#[test]
fn a_denial_can_be_a_reply_whole_or_streamed() {
    let asked = "/v1beta/models/m:streamGenerateContent?alt=sse";
    let reply = denial_reply(Dialect::Gemini, Operation::Chat, &identity(asked), "Not \"here\".");
    assert_eq!((reply.text().as_str(), reply.finish()), ("Not \"here\".", Some(Finish::ContentFilter)));
    let mut encoder = StreamEncoder::new(Dialect::Gemini, Operation::Chat, identity(asked));
    let events = encoder.reply(&reply, true).unwrap();
    let text: String =
        events.iter().flat_map(|event| &event.deltas).map(|delta| delta.text.as_str().to_owned()).collect();
    assert_eq!(text, "Not \"here\".");
    assert_eq!(events.iter().find_map(|event| event.finish), Some(Finish::ContentFilter));
    assert_eq!(events.last().unwrap().kind, weir_message::EventKind::Done);
}
