//! Streams of frames.

use super::*;

#[test]
fn each_level_of_a_stream_agrees_on_kinds_and_sends_what_came() {
    let stream = stream();
    let kinds = |level| events(level, &stream).iter().map(|event| event.kind.name()).collect::<Vec<_>>();
    let want = [
        "other", "content", "content", "other", "content", "content", "content", "other", "content",
        "content", "content", "content", "other", "content", "other", "content", "usage", "done",
    ];
    for level in [Level::Boundaries, Level::Usage, Level::Text] {
        assert_eq!(kinds(level), want, "{level:?}");
        let mut encoder = StreamEncoder::new(IN, Operation::Chat, identity());
        let sent: Vec<u8> = events(level, &stream).iter().flat_map(|event| encoder.send(event)).collect();
        assert_eq!(sent, stream);
        assert!(encoder.write(Piece::Done).is_empty(), "the end was sent");
    }
    let usage = Usage { input: 12, cached_input: 3, output: 7, ..Usage::default() };
    let events = events(Level::Usage, &stream);
    assert_eq!((events[15].finish, events[16].usage), (Some(Finish::ToolCalls), Some(usage)));
    let mut cut = StreamDecoder::new(IN, Operation::Chat, Level::Usage).unwrap();
    cut.push(Bytes::copy_from_slice(&stream[..stream.len() - 1]));
    while cut.next_event().unwrap().is_some() {}
    assert!(!cut.finish().unwrap().is_clean);
}

#[test]
fn an_edited_event_is_framed_anew_with_right_checksums() {
    let stream = stream();
    let mut events = events(Level::Text, &stream);
    let mut seen = Vec::new();
    for event in &events {
        for delta in &event.deltas {
            seen.push(format!("{} {}: {}", delta.block.kind, delta.block.index, delta.text.as_str()));
            let at = delta.text.at.clone().unwrap();
            let spelt = &event.raw[at.start as usize..at.end as usize];
            assert_eq!(serde_json::from_slice::<String>(spelt).unwrap(), delta.text.as_str());
        }
    }
    let want = [
        "reasoning 0: A \"river\"",
        "text 1: It is a ",
        "text 1: weir.",
        "arguments 2: {\"who\":",
        "arguments 2:  \"Bob\"}",
    ];
    assert_eq!(seen, want);
    assert!(events[5].set_delta(0, "rather longer \"lock\" ü."));
    assert!(events[4].set_delta(0, ""));
    let mut encoder = StreamEncoder::new(IN, Operation::Chat, identity());
    let sent: Vec<u8> = events.iter().flat_map(|event| encoder.send(event)).collect();
    // The checksums are proven on the way in.
    let whole = collected(IN, &sent);
    assert_eq!(whole.text(), "rather longer \"lock\" ü.");
    let frame = encoder.send(&events[5]);
    let payload = Frame::of(&frame).unwrap().payload();
    assert_eq!(parsed(&frame[payload])["p"], "abc", "the rest stays");
}

#[test]
fn a_stream_is_carried_both_ways_and_says_the_same() {
    let want = [
        "reasoning A \"river\" Some(\"c2ln\")",
        "text It is a weir.",
        "cited Some(\"Rivers\") Some(\"https://example.com/rivers\")",
        "call tooluse_1 look {\"who\": \"Bob\"}",
        "call tooluse_2 look {}",
        "Some(ToolCalls)",
    ];
    assert_eq!(says(&collected(IN, &stream())), want);
    for other in [Dialect::OpenAi, Dialect::Anthropic] {
        let there = translated(IN, other, &stream());
        let back = translated(other, IN, &there);
        let whole = collected(IN, &back);
        let mut said = says(&whole);
        said.sort();
        let mut expected: Vec<String> = want.iter().map(|&line| line.to_owned()).collect();
        expected.sort();
        assert_eq!(said, expected, "{other}");
        let usage = whole.usage.unwrap();
        assert_eq!((usage.input, usage.cached_input, usage.output), (12, 3, 7), "{other}");
        let names: Vec<String> = events(Level::Boundaries, &back)
            .iter()
            .filter_map(|event| Some(Frame::of(&event.raw)?.header(":event-type")?.to_owned()))
            .filter(|name| name != "contentBlockDelta")
            .collect();
        let order = [
            "messageStart",
            "contentBlockStop",
            "contentBlockStop",
            "contentBlockStart",
            "contentBlockStop",
            "contentBlockStart",
            "contentBlockStop",
            "messageStop",
            "metadata",
        ];
        assert_eq!(names, order, "{other}");
    }
}

#[test]
fn what_is_written_into_a_stream_goes_on_where_it_is() {
    let stream = stream();
    let mut encoder = StreamEncoder::new(IN, Operation::Chat, identity());
    let begun = &events(Level::Text, &stream)[..6];
    let mut sent: Vec<u8> = begun.iter().flat_map(|event| encoder.send(event)).collect();
    let block = Block { choice: 0, kind: BlockKind::Text, index: 0 };
    let mut written = encoder.write(Piece::Text { block, text: "Stop.".into() });
    written.extend(encoder.write(Piece::Finish { choice: 0, why: Finish::ContentFilter, stop: None }));
    written.extend(encoder.write(Piece::Usage(Usage { input: 2, output: 1, ..Usage::default() })));
    written.extend(encoder.write(Piece::Done));
    for event in &written {
        if event.kind != EventKind::Done {
            assert_eq!(&events(Level::Text, &event.raw)[0], event);
        }
        sent.extend_from_slice(&encoder.send(event));
    }
    let whole = collected(IN, &sent);
    assert_eq!((whole.text().as_str(), whole.finish()), ("It is a weir.Stop.", Some(Finish::ContentFilter)));
}

#[test]
fn exceptions_inside_a_stream_are_told_apart_at_every_level() {
    let mut error_frame =
        begun(&[(":error-code", "InternalError"), (":error-message", "oh"), (":message-type", "error")]);
    error_frame.extend_from_slice(b"");
    let cases = [
        (exception("throttlingException", r#"{"message":"slow down"}"#), Cause::RateLimited, "slow down"),
        (exception("serviceUnavailableException", r#"{"message":"busy"}"#), Cause::Overloaded, "busy"),
        (exception("modelStreamErrorException", r#"{"message":"broke"}"#), Cause::ServerError, "broke"),
        (exception("validationException", r#"{"message":"bad"}"#), Cause::Rejected, "bad"),
        (
            exception("validationException", r#"{"message":"Input is too long for requested model."}"#),
            Cause::ContextTooLong,
            "Input is too long for requested model.",
        ),
        (sealed(error_frame), Cause::ServerError, "oh"),
    ];
    for (raw, cause, said) in cases {
        for level in [Level::Boundaries, Level::Usage, Level::Text] {
            assert_eq!(events(level, &raw)[0].kind, EventKind::Error, "{level:?}");
        }
        let decoder = StreamDecoder::new(IN, Operation::Chat, Level::Usage).unwrap();
        let error = decoder.error(&events(Level::Usage, &raw)[0]);
        assert_eq!((error.cause, error.excerpt.as_str()), (cause, said));
    }
    let told = ErrorBody {
        status: 403,
        code: "denied",
        kind: "permission_error",
        message: "no \"way\"",
        param: None,
        request_id: "r",
    };
    let written = StreamEncoder::new(IN, Operation::Chat, identity()).error(&told);
    let frame = Frame::of(&written.raw).unwrap();
    assert_eq!(frame.header(":exception-type"), Some("validationException"));
    let payload = parsed(&written.raw[frame.payload()]);
    assert_eq!(payload, json!({ "message": "no \"way\"", "code": "denied", "requestId": "r" }));
    assert_eq!(events(Level::Text, &written.raw)[0].kind, EventKind::Error);
    for payload in [r#"{"delta":{"text":"a","text":"b"}}"#, "hello"] {
        let mut decoder = StreamDecoder::new(IN, Operation::Chat, Level::Text).unwrap();
        decoder.push(frame_of_delta(payload));
        assert_eq!(decoder.next_event().unwrap_err().code, ErrorCode::UpstreamInvalid, "{payload}");
    }
}

fn frame_of_delta(payload: &str) -> Bytes {
    frame("contentBlockDelta", payload)
}
