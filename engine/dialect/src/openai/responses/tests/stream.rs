//! Streams of responses, read.

use super::*;
use proptest::prelude::*;
use weir_message::{Block, BlockKind, EventKind, TextForm};

#[test]
fn each_level_of_a_stream_reads_what_it_says_and_all_agree_on_kinds() {
    let kinds = |level| events(level, STREAM).iter().map(|event| event.kind).collect::<Vec<_>>();
    let all = kinds(Level::Text);
    assert_eq!((all.first(), all.last()), (Some(&EventKind::KeepAlive), Some(&EventKind::Done)));
    assert_eq!(all.iter().filter(|kind| **kind == EventKind::Content).count(), 10);
    for level in [Level::Boundaries, Level::Usage, Level::Text] {
        let events = events(level, STREAM);
        assert_eq!(kinds(level), all, "{level:?}");
        assert_eq!(text_of(&events), STREAM, "{level:?}");
        let usage = Usage { input: 9, cached_input: 4, output: 7, reasoning: 2, ..Usage::default() };
        assert_eq!(events.iter().find_map(|event| event.usage), Some(usage));
        let finishes: Vec<Finish> = events.iter().filter_map(|event| event.finish).collect();
        assert_eq!(finishes, [Finish::ToolCalls]);
        assert_eq!(events.iter().all(|event| event.deltas.is_empty()), level < Level::Text);
    }
}

#[test]
fn texts_are_told_once_and_know_their_block_and_place() {
    let mut seen: Vec<(Block, String)> = Vec::new();
    for event in events(Level::Text, STREAM) {
        for delta in &event.deltas {
            let at = delta.text.at.clone().unwrap();
            let literal = std::str::from_utf8(&event.raw[at.start as usize..at.end as usize]).unwrap();
            assert_eq!(serde_json::from_str::<String>(literal).unwrap(), delta.text.as_str());
            assert_eq!(delta.text.form == TextForm::Json, delta.text.as_str().contains(['{', '}']));
            match seen.last_mut() {
                Some((block, text)) if *block == delta.block => text.push_str(delta.text.as_str()),
                _ => seen.push((delta.block, delta.text.as_str().to_owned())),
            }
        }
    }
    let shown: Vec<String> =
        seen.iter().map(|(block, text)| format!("{} {} {text}", block.index / 4096, block.kind)).collect();
    let want = [
        "0 reasoning hm",
        "1 arguments print('Bob')",
        // A provider's own tool repeats its code with what came of it.
        "1 arguments print('Bob')",
        "1 arguments Bob\n",
        "2 text It \"is\" a über-weir",
        "3 arguments {\"who\":\"Bob\"}",
        "4 arguments {}",
    ];
    assert_eq!(shown, want);
}

#[test]
fn a_text_that_stands_only_in_a_later_event_is_told_by_that_one() {
    let item =
        r#"{"type":"message","id":"m","role":"assistant","content":[{"type":"output_text","text":"late"}]}"#;
    let frames = [
        format!(r#"{{"type":"response.output_item.done","output_index":0,"item":{item}}}"#),
        r#"{"type":"response.output_text.done","output_index":1,"content_index":0,"text":"later"}"#
            .to_owned(),
        r#"{"type":"response.something.new","output_index":2,"words":{"a":["unheard of"]},"item_id":"x"}"#
            .to_owned(),
        format!(r#"{{"type":"response.completed","response":{{"status":"completed","output":[{item}]}}}}"#),
    ];
    let stream: String = frames.iter().map(|frame| format!("data: {frame}\n\n")).collect();
    let told: Vec<Vec<String>> = events(Level::Text, &stream)
        .iter()
        .map(|event| event.deltas.iter().map(|delta| delta.text.as_str().to_owned()).collect())
        .collect();
    assert_eq!(told, [vec!["late"], vec!["later"], vec!["unheard of"], vec![], vec![]]);
}

#[test]
fn errors_inside_a_stream_are_told_apart_at_every_level() {
    let cases = [
        (
            "event: error\ndata: {\"type\":\"error\",\"code\":\"rate_limit_exceeded\",\"message\":\"x\",\"param\":null,\"sequence_number\":3}\n\n",
            Cause::RateLimited,
        ),
        (
            "data: {\"type\":\"error\",\"error\":{\"type\":\"server_error\",\"code\":\"context_length_exceeded\",\"message\":\"x\"}}\n\n",
            Cause::ContextTooLong,
        ),
        (
            "data: {\"type\":\"response.failed\",\"response\":{\"id\":\"r\",\"status\":\"failed\",\"error\":{\"code\":\"invalid_prompt\",\"message\":\"x\"}}}\n\n",
            Cause::Rejected,
        ),
        ("event: error\ndata: oh\n\n", Cause::ServerError),
    ];
    for (stream, cause) in cases {
        for level in [Level::Boundaries, Level::Usage, Level::Text] {
            let event = events(level, stream).remove(0);
            assert_eq!(event.kind, EventKind::Error, "{level:?} {stream}");
            let decoder = StreamDecoder::new(Dialect::OpenAi, Operation::Response, level).unwrap();
            assert_eq!(decoder.error(&event).cause, cause, "{stream}");
        }
    }
}

#[test]
fn an_event_that_cannot_be_read_does_not_pass_a_plan_that_reads_text() {
    let cases = [
        r#"{"type":"response.output_text.delta","delta":"a","delta":"b"}"#,
        r#"{"type":"response.output_text.delta","Delta":"a"}"#,
        r#"{"type":"response.output_text.delta","output_index":99999999,"delta":"a"}"#,
        r#"{"type":"response.output_item.done","item":{"type":"message","content":"a"}}"#,
        "{",
        "hello",
    ];
    for data in cases {
        let mut decoder = StreamDecoder::new(Dialect::OpenAi, Operation::Response, Level::Text).unwrap();
        decoder.push(Bytes::from(format!("data: {data}\n\n")));
        assert_eq!(decoder.next_event().unwrap_err().code, ErrorCode::UpstreamInvalid, "{data}");
    }
}

#[test]
fn a_stream_without_its_end_is_not_clean() {
    let end = STREAM.find("event: response.completed").unwrap();
    for (upto, is_clean) in [(STREAM.len(), true), (STREAM.len() - 1, false), (end, false), (0, false)] {
        let mut decoder =
            StreamDecoder::new(Dialect::OpenAi, Operation::Response, Level::Boundaries).unwrap();
        decoder.push(Bytes::copy_from_slice(&STREAM.as_bytes()[..upto]));
        while decoder.next_event().unwrap().is_some() {}
        assert_eq!(decoder.finish().unwrap().is_clean, is_clean, "{upto}");
    }
}

#[test]
fn a_stream_put_together_is_the_response_that_its_last_event_tells() {
    let mut events = events(Level::Text, STREAM);
    let collect = |events: &[Event]| {
        let mut collector = Collector::new(Dialect::OpenAi, Operation::Response, 4096);
        events.iter().for_each(|event| collector.push(event).unwrap());
        collector.finish().unwrap()
    };
    let whole = collect(&events);
    let last = json(&events[events.len() - 2].raw);
    assert_eq!(serde_json::from_slice::<Value>(&whole.raw).unwrap(), last["response"]);
    assert_eq!((whole.id.as_deref(), whole.text().as_str()), (Some("resp_7"), "It \"is\" a über-weir"));
    // Edits count.
    let weir = events.iter_mut().find(|event| event.deltas.iter().any(|delta| &*delta.text.value == "weir"));
    assert!(weir.unwrap().set_delta(0, "dam"));
    assert_eq!(collect(&events).text(), "It \"is\" a über-dam");
    // Without its end it is what was told so far.
    let so_far = collect(&events[..events.len() - 2]);
    assert_eq!(so_far.text(), "It \"is\" a über-dam");
    assert_eq!(so_far.tool_calls().map(|call| &*call.id).collect::<Vec<_>>(), ["call_3", "call_4"]);
}

proptest! {
    #[test]
    fn later_events_repeat_what_was_sent(edits in prop::collection::vec(prop::option::of("[a-z\"\\\\é]{0,6}"), 16)) {
        let mut encoder = encoder();
        let mut sent: std::collections::BTreeMap<Block, String> = Default::default();
        let mut edits = edits.into_iter();
        let mut bytes = Vec::new();
        for mut event in events(Level::Text, STREAM) {
            for n in 0..event.deltas.len() {
                if let Some(Some(with)) = edits.next() {
                    prop_assert!(event.set_delta(n, &with));
                }
            }
            for delta in &event.deltas {
                sent.entry(delta.block).or_default().push_str(delta.text.as_str());
            }
            bytes.extend_from_slice(&encoder.send(&event));
        }
        // Whoever reads what was sent learns the same from deltas and from what repeats them.
        let stream = String::from_utf8(bytes).unwrap();
        let mut read: std::collections::BTreeMap<Block, String> = Default::default();
        for event in events(Level::Text, &stream) {
            for delta in &event.deltas {
                read.entry(delta.block).or_default().push_str(delta.text.as_str());
            }
        }
        sent.retain(|_, text| !text.is_empty());
        prop_assert_eq!(&read, &sent);
        let of = |kind, index| sent.get(&Block { choice: 0, kind, index }).cloned().unwrap_or_default();
        for event in stream.split("\n\n").filter(|event| event.contains("data: ")) {
            let said = json(event.as_bytes());
            let item = match said["type"].as_str().unwrap() {
                "response.output_text.done" => { prop_assert_eq!(said["text"].as_str().unwrap(), of(BlockKind::Text, 2 * 4096)); continue }
                "response.function_call_arguments.done" if said["output_index"] == 3 => {
                    prop_assert_eq!(said["arguments"].as_str().unwrap(), of(BlockKind::Arguments, 3 * 4096)); continue
                }
                "response.completed" => &said["response"]["output"][2],
                "response.output_item.done" if said["output_index"] == 2 => &said["item"],
                _ => continue,
            };
            prop_assert_eq!(item["content"][0]["text"].as_str().unwrap(), of(BlockKind::Text, 2 * 4096));
        }
    }

    #[test]
    fn where_nobody_reads_texts_the_bytes_pass(level in prop_oneof![Just(Level::Boundaries), Just(Level::Usage)]) {
        let mut encoder = encoder();
        let sent: Vec<u8> = events(level, STREAM).iter().flat_map(|event| encoder.send(event)).collect();
        prop_assert_eq!(sent, STREAM.as_bytes());
    }

    #[test]
    fn damaged_payloads_never_panic(which in 0usize..3, at in 0usize..9000, byte in any::<u8>(), gone in 0usize..20) {
        let mut bytes = [REQUEST, REPLY, STREAM][which].as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        let end = (at + gone).min(bytes.len());
        bytes.drain(at..end);
        let dialect = Dialect::OpenAi;
        prop_assert!(fuzzing::request(dialect, &bytes) && fuzzing::reply(dialect, &bytes) && fuzzing::stream(dialect, &bytes));
    }
}
