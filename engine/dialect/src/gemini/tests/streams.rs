//! Streams.

use super::*;
use weir_message::{Block, BlockKind, Citation, EventKind, TextForm};

#[test]
fn each_level_of_a_stream_reads_what_it_says_and_all_agree_on_kinds() {
    for level in [Level::Boundaries, Level::Usage, Level::Text] {
        let events = events(level, STREAM);
        let kinds: Vec<&str> = events.iter().map(|event| event.kind.name()).collect();
        assert_eq!(kinds, ["keep-alive", "content", "content", "content", "content"], "{level:?}");
        let sent: Vec<u8> = events.iter().flat_map(|event| event.outgoing().to_vec()).collect();
        assert_eq!(sent, STREAM.as_bytes());
        let usage = events.iter().rev().find_map(|event| event.usage);
        assert_eq!(usage, Some(Usage { input: 9, output: 10, reasoning: 3, ..Usage::default() }));
        let finishes: Vec<Finish> = events.iter().filter_map(|event| event.finish).collect();
        assert_eq!(finishes, [Finish::ToolCalls], "{level:?}");
    }
    assert!(events(Level::Usage, STREAM).iter().all(|event| event.deltas.is_empty()));
}

#[test]
fn deltas_know_their_block_and_place_also_on_a_second_line_of_data() {
    let mut seen = Vec::new();
    for event in events(Level::Text, STREAM) {
        for delta in &event.deltas {
            let at = delta.text.at.clone().unwrap();
            let literal = std::str::from_utf8(&event.raw[at.start as usize..at.end as usize]).unwrap();
            match delta.text.form {
                TextForm::Document => assert_eq!(literal, delta.text.as_str()),
                _ => assert_eq!(serde_json::from_str::<String>(literal).unwrap(), delta.text.as_str()),
            }
            let Block { choice, kind, index } = delta.block;
            seen.push(format!("{choice} {kind} {index}: {}", delta.text.as_str()));
        }
    }
    let want = [
        "0 reasoning 0: hm",
        "0 text 0: It \"is\"",
        "0 text 0:  a über-weir",
        r#"0 arguments 0: {"who": "Bob"}"#,
        r#"0 arguments 1: {"who": "Ann"}"#,
        "0 text 1: über-weir",
    ];
    assert_eq!(seen, want);
}

#[test]
fn an_edit_of_arguments_stays_an_object() {
    let mut events = events(Level::Text, STREAM);
    let (event, delta) = events
        .iter_mut()
        .find_map(|event| {
            let at = event.deltas.iter().position(|delta| delta.block.kind == BlockKind::Arguments)?;
            Some((event, at))
        })
        .unwrap();
    assert!(event.set_delta(delta, r#"{"who": "<NAME_1>"}"#));
    let sent = String::from_utf8(event.outgoing().to_vec()).unwrap();
    assert!(sent.contains(r#""args": {"who": "<NAME_1>"}}"#), "{sent}");
}

#[test]
fn errors_inside_a_stream_are_told_apart_at_every_level() {
    let cases = [
        (
            "data: {\"error\": {\"code\": 503, \"message\": \"The model is overloaded.\", \"status\": \"UNAVAILABLE\"}}\r\n\r\n",
            EventKind::Error,
        ),
        ("event: error\ndata: oh\n\n", EventKind::Error),
        (
            "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"\\\"error\\\":1\"}]}}]}\n\n",
            EventKind::Content,
        ),
        ("data: {\"usageMetadata\":{\"promptTokenCount\":1}}\n\n", EventKind::Usage),
        ("data: {\"promptFeedback\":{\"blockReason\":\"SAFETY\"}}\n\n", EventKind::Content),
        ("data: {\"modelVersion\":\"m\"}\n\n", EventKind::Other),
        (": ping\n\n", EventKind::KeepAlive),
        ("data:\n\n", EventKind::KeepAlive),
        ("retry: 10\n\n", EventKind::Other),
    ];
    for (stream, kind) in cases {
        for level in [Level::Boundaries, Level::Usage, Level::Text] {
            assert_eq!(events(level, stream)[0].kind, kind, "{level:?} {stream}");
        }
    }
    let decoder = StreamDecoder::new(Dialect::Gemini, Operation::Chat, Level::Boundaries).unwrap();
    let cause = |n: usize| decoder.error(&Event::new(cases[n].0, EventKind::Error)).cause;
    assert_eq!((cause(0), cause(1)), (Cause::Overloaded, Cause::ServerError));
}

#[test]
fn an_event_that_cannot_be_read_does_not_pass_a_plan_that_reads_text() {
    let twice = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\",\"text\":\"b\"}]}}]}\n\n";
    let pieces = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"name\":\"f\",\"partialArgs\":[{\"stringValue\":\"a\"}]}}]}}]}\n\n";
    for stream in [twice, pieces, "data: {\n\n", "data: hello\n\n"] {
        let mut decoder = StreamDecoder::new(Dialect::Gemini, Operation::Chat, Level::Text).unwrap();
        decoder.push(Bytes::copy_from_slice(stream.as_bytes()));
        assert_eq!(decoder.next_event().unwrap_err().code, ErrorCode::UpstreamInvalid, "{stream}");
    }
}

#[test]
fn a_stream_may_end_once_it_has_told_why() {
    let last = STREAM.rfind("data: ").unwrap();
    for level in [Level::Boundaries, Level::Text] {
        for (upto, is_clean) in [(STREAM.len(), true), (last, false), (STREAM.len() - 9, false), (0, false)] {
            let mut decoder = StreamDecoder::new(Dialect::Gemini, Operation::Chat, level).unwrap();
            decoder.push(Bytes::copy_from_slice(&STREAM.as_bytes()[..upto]));
            while decoder.next_event().unwrap().is_some() {}
            assert_eq!(decoder.finish().unwrap().is_clean, is_clean, "{upto}");
        }
    }
    // Of two candidates one is not at its end.
    let two = "data: {\"candidates\":[{\"index\":0,\"finishReason\":\"STOP\"},{\"index\":1}]}\n\n";
    let mut decoder = StreamDecoder::new(Dialect::Gemini, Operation::Chat, Level::Usage).unwrap();
    decoder.push(Bytes::from_static(two.as_bytes()));
    while decoder.next_event().unwrap().is_some() {}
    assert!(!decoder.finish().unwrap().is_clean);
}

fn collected(events: &[Event]) -> Reply {
    let mut collector = Collector::new(Dialect::Gemini, Operation::Chat, 1 << 16);
    events.iter().for_each(|event| collector.push(event).unwrap());
    collector.finish().unwrap()
}

#[test]
fn a_stream_put_together_is_the_reply_and_a_reply_taken_apart_is_the_stream() {
    let whole = collected(&events(Level::Text, STREAM));
    assert_eq!(whole.text(), "It \"is\" a über-weir");
    assert_eq!((whole.model.as_deref(), whole.id.as_deref()), (Some("gemini-2.5-flash"), Some("mAitaLm")));
    assert_eq!((whole.finish(), whole.usage.map(Usage::total)), (Some(Finish::ToolCalls), Some(19)));
    let names: Vec<(&str, &str)> =
        whole.tool_calls().map(|call| (&*call.name, call.arguments.as_str())).collect();
    assert_eq!(names, [("look", r#"{"who": "Bob"}"#), ("look", r#"{"who": "Ann"}"#)]);
    let asked = "/v1beta/models/m:streamGenerateContent?alt=sse";
    let mut encoder = StreamEncoder::new(Dialect::Gemini, Operation::Chat, identity(asked));
    let written = encoder.reply(&whole, true).unwrap();
    let again = collected(&written);
    assert_eq!(replies::parts_of(&again), replies::parts_of(&whole));
    assert_eq!(again.usage, whole.usage);
}

#[test]
fn what_is_written_into_a_stream_reads_back_and_looks_like_the_rest() {
    let mut encoder = StreamEncoder::new(Dialect::Gemini, Operation::Chat, identity(""));
    events(Level::Boundaries, STREAM).iter().for_each(|event| assert_eq!(encoder.send(event), event.raw));
    let usage = Usage { input: 5, cached_input: 2, output: 3, reasoning: 1, ..Usage::default() };
    let text =
        |kind, text: &str| Piece::Text { block: Block { choice: 1, kind, index: 0 }, text: text.into() };
    let pieces = [
        Piece::Usage(Usage { output: 1, ..usage }),
        text(BlockKind::Reasoning, "h \"m\"\n"),
        text(BlockKind::Text, "a"),
        text(BlockKind::Refusal, "b"),
        Piece::Citation {
            choice: 1,
            index: 0,
            citation: Citation { url: Some("u".into()), span: Some(0..2), ..Citation::default() },
        },
        Piece::Call { choice: 1, index: 4, id: "c4".into(), name: "f".into(), signature: None },
        Piece::Text {
            block: Block { choice: 1, kind: BlockKind::Arguments, index: 4 },
            text: "{\"x\":".into(),
        },
        Piece::Call { choice: 1, index: 7, id: "c7".into(), name: "g".into(), signature: None },
        Piece::Text { block: Block { choice: 1, kind: BlockKind::Arguments, index: 4 }, text: "1}".into() },
        Piece::Finish { choice: 1, why: Finish::ToolCalls, stop: None },
        Piece::Usage(usage),
        Piece::Done,
    ];
    let written: Vec<Event> = pieces.into_iter().flat_map(|piece| encoder.write(piece)).collect();
    let last = written.last().unwrap();
    assert_eq!((last.kind, last.raw.len()), (EventKind::Done, 0));
    let mut stream = String::new();
    for event in &written[..written.len() - 1] {
        let text = std::str::from_utf8(&event.raw).unwrap();
        assert!(text.contains(r#""modelVersion":"gemini-2.5-flash","responseId":"mAitaLm""#), "{text}");
        stream.push_str(text);
    }
    let read = events(Level::Text, &stream);
    for (read, written) in read.iter().zip(&written) {
        assert_eq!((&read.raw, read.kind, read.usage), (&written.raw, written.kind, written.usage));
        let said = |event: &Event| -> Vec<String> {
            let mine = event
                .deltas
                .iter()
                .filter(|delta| delta.block.index == 0 || delta.block.kind == BlockKind::Arguments);
            mine.map(|delta| format!("{:?} {:?}", delta.block.kind, delta.text)).collect()
        };
        assert_eq!(said(read), said(written));
    }
    assert_eq!(read.iter().filter(|event| event.usage.is_some()).count(), 1, "told once, the last");
    let whole = collected(&read);
    assert_eq!(whole.choices()[0].index, 1);
    assert_eq!((whole.usage, whole.choices()[0].finish), (Some(usage), Some(Finish::ToolCalls)));
    let calls: Vec<(&str, &str)> =
        whole.tool_calls().map(|call| (&*call.id, call.arguments.as_str())).collect();
    assert_eq!(calls, [("c4", "{\"x\":1}"), ("c7", "{}")], "whole, in order, though their pieces were mixed");
}

#[test]
fn a_client_that_asks_for_no_events_gets_one_array() {
    let array = |kinds: &[EventKind]| {
        let mut encoder = StreamEncoder::new(
            Dialect::Gemini,
            Operation::Chat,
            identity("/v1beta/models/m:streamGenerateContent"),
        );
        let mut out = String::new();
        for event in events(Level::Usage, STREAM).iter().filter(|event| kinds.contains(&event.kind)) {
            out.push_str(std::str::from_utf8(&encoder.send(event)).unwrap());
        }
        (out, encoder)
    };
    let (mut out, mut encoder) = array(&[EventKind::KeepAlive, EventKind::Content]);
    let done = encoder.write(Piece::Done);
    done.iter().for_each(|event| out.push_str(std::str::from_utf8(&encoder.send(event)).unwrap()));
    let items: Vec<serde_json::Value> =
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"));
    assert_eq!(items.len(), 4);
    assert_eq!(items[3]["candidates"][0]["finishReason"], "STOP");
    // An error is the last item.
    let (mut out, mut encoder) = array(&[EventKind::Content]);
    let fault = Fault::new(ErrorCode::UpstreamBroken, "cut");
    let error = encoder.error(&ErrorBody::of_fault(&fault, "r"));
    out.push_str(std::str::from_utf8(&encoder.send(&error)).unwrap());
    let items: Vec<serde_json::Value> = serde_json::from_str(&out).unwrap();
    assert_eq!(items[4]["error"]["message"], "cut");
    let (mut out, mut encoder) = array(&[]);
    encoder
        .write(Piece::Done)
        .iter()
        .for_each(|event| out.push_str(std::str::from_utf8(&encoder.send(event)).unwrap()));
    assert_eq!(out, "[]");
}

#[test]
fn arguments_without_end_end_the_stream() {
    let mut encoder = StreamEncoder::new(Dialect::Gemini, Operation::Chat, identity(""));
    let _ =
        encoder.write(Piece::Call { choice: 0, index: 0, id: "c".into(), name: "f".into(), signature: None });
    let block = Block { choice: 0, kind: BlockKind::Arguments, index: 0 };
    let piece = Piece::Text { block, text: "x".repeat(Sse::LIMIT / 2).into() };
    assert!(encoder.write(piece.clone()).is_empty() && encoder.write(piece.clone()).is_empty());
    let error = encoder.write(piece);
    assert_eq!(error.len(), 1);
    let data = std::str::from_utf8(&error[0].raw).unwrap();
    assert_eq!(events(Level::Text, data)[0].kind, EventKind::Error);
}

#[test]
fn what_keeps_a_connection_alive_is_not_told_to_clients_that_take_every_line_for_json() {
    let provider = format(Dialect::Anthropic, Operation::Chat);
    let ping = "event: ping\ndata: {\"type\":\"ping\"}\n\n: a comment\n\n";
    let told = |client| {
        let client = format(client, Operation::Chat);
        let mut decoder = StreamDecoder::translating(provider, client, identity("")).unwrap();
        decoder.push(Bytes::from_static(ping.as_bytes()));
        std::iter::from_fn(|| decoder.next_event().unwrap()).count()
    };
    assert_eq!((told(Dialect::Gemini), told(Dialect::OpenAi)), (0, 2));
}
