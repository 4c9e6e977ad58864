//! Images, moderations and speech.

use crate::*;
use serde_json::{Value, json};

fn unread(operation: Operation, body: &Value) -> Request {
    let mut request = Request::new("r", Dialect::OpenAi, operation, "/v1");
    request.raw = Bytes::from(body.to_string());
    request
}

#[test]
fn every_text_is_read_and_can_be_changed_where_it_stands() {
    let cases = [
        (Operation::Image, json!({ "model": "m", "prompt": "a", "n": 2 }), vec!["a"]),
        (Operation::Moderation, json!({ "input": "a" }), vec!["a"]),
        (Operation::Moderation, json!({ "input": ["a", "b"] }), vec!["a", "b"]),
        (
            Operation::Moderation,
            json!({ "input": [{ "type": "text", "text": "a" }, { "type": "image_url", "image_url": { "url": "u" } }] }),
            vec!["a", "u"],
        ),
        (Operation::Speech, json!({ "input": "a", "instructions": "b", "voice": "alloy" }), vec!["a", "b"]),
        // What the operation has no place for is read beside it, choices and bytes are not.
        (Operation::Speech, json!({ "input": "a", "prompt": "b" }), vec!["a", "b"]),
        (
            Operation::Speech,
            json!({ "input": "a", "voice": "call c d", "response_format": "mp3" }),
            vec!["a", "call c d"],
        ),
        (
            Operation::Image,
            json!({ "prompt": "a", "size": "1024x1024", "user": "u", "negative_prompt": "c", "image": "data:image/png;base64,aGk=", "extra": { "hint": ["d"] } }),
            vec!["a", "u", "c", "d"],
        ),
        (Operation::Moderation, json!({ "input": "a", "metadata": { "note": "b" } }), vec!["a", "b"]),
    ];
    for (operation, body, want) in cases {
        let mut request = unread(operation, &body);
        decode(&mut request).unwrap();
        let said: Vec<String> = request.texts().into_iter().map(|(_, _, text)| text.to_string()).collect();
        assert_eq!(said, want, "{body}");
        assert_eq!(request.outgoing().unwrap(), request.raw);
        assert!(request.set_text(0, "\"x\""));
        let sent: Value = serde_json::from_slice(&request.outgoing().unwrap()).unwrap();
        let spelt = body.to_string().replacen("\"a\"", r#""\"x\"""#, 1);
        assert_eq!(sent, serde_json::from_str::<Value>(&spelt).unwrap());
    }
}

#[test]
fn what_cannot_be_carried_is_refused_with_the_field() {
    let cases = [
        (Operation::Image, json!({ "prompt": "a", "stream": true }), "stream"),
        (Operation::Image, json!({ "prompt": 7 }), "prompt"),
        (Operation::Image, json!({ "model": "m" }), "prompt"),
        (Operation::Speech, json!({ "input": "a", "stream_format": "sse" }), "stream_format"),
        (Operation::Speech, json!({ "instructions": "a" }), "input"),
        (Operation::Moderation, json!({ "input": [7] }), "input[0]"),
        (Operation::Moderation, json!({ "input": [{ "text": {} }] }), "input[0].text"),
    ];
    for (operation, body, field) in cases {
        let fault = decode(&mut unread(operation, &body)).unwrap_err();
        assert_eq!((fault.code, fault.param.as_deref()), (ErrorCode::BadRequest, Some(field)), "{body}");
    }
    // Streams are refused even where no stage reads the body.
    let mut streamed = unread(Operation::Image, &json!({ "prompt": "a", "stream": true }));
    assert_eq!(read_head(&mut streamed).unwrap_err().param.as_deref(), Some("stream"));
}

#[test]
fn images_are_metered_by_tokens_or_by_number_and_their_words_are_read() {
    let cases = [
        (
            json!({ "data": [{ "b64_json": "aGk=" }, { "revised_prompt": "a" }] }),
            Usage { images: 2, ..Usage::default() },
        ),
        (
            json!({ "data": [{ "revised_prompt": "a" }], "usage": { "input_tokens": 7, "output_tokens": 100, "input_tokens_details": { "image_tokens": 3 } } }),
            Usage { input: 7, image_input: 3, output: 100, image_output: 100, ..Usage::default() },
        ),
    ];
    for (body, usage) in cases {
        let mut reply = Reply::new(200, body.to_string());
        decode_reply(&mut reply, Dialect::OpenAi, Operation::Image).unwrap();
        assert_eq!(reply.usage, Some(usage), "{body}");
        let said: Vec<_> = reply.texts().into_iter().map(|(_, _, text)| text).collect();
        assert_eq!(said, ["a"]);
        let summary = read_reply_usage(&reply, Dialect::OpenAi, Operation::Image).unwrap();
        assert_eq!(summary.usage, Some(usage));
    }
    let mut sound = Reply::new(200, &b"\xff\xfb"[..]);
    decode_reply(&mut sound, Dialect::OpenAi, Operation::Speech).unwrap();
    assert_eq!(sound.body, ReplyBody::Opaque);
}
