//! Streams: read, written, translated.

use super::*;
use serde_json::json;
use weir_message::{Block, BlockKind, Citation, ErrorCode, EventKind, Finish, Part, TextForm};

fn usage() -> Usage {
    Usage { input: 100, cached_input: 50, cache_write: 30, output: 40, reasoning: 12, ..Usage::default() }
}

#[test]
fn each_level_reads_what_it_says_and_all_agree_on_kinds() {
    let kinds = |level| read(level, STREAM).iter().map(|event| event.kind).collect::<Vec<_>>();
    let want = kinds(Level::Text);
    assert_eq!(want.iter().filter(|kind| **kind == EventKind::Content).count(), want.len() - 2);
    assert_eq!((want[1], *want.last().unwrap()), (EventKind::KeepAlive, EventKind::Done));
    for level in [Level::Boundaries, Level::Usage, Level::Text] {
        assert_eq!(kinds(level), want, "{level:?}");
        let events = read(level, STREAM);
        assert_eq!(bytes_of(&events), STREAM.as_bytes());
        let spent: Vec<Usage> = events.iter().filter_map(|event| event.usage).collect();
        assert_eq!((spent.len(), spent[0].input, spent[1]), (2, 100, usage()));
        assert_eq!(events.iter().filter_map(|event| event.finish).collect::<Vec<_>>(), [Finish::ToolCalls]);
    }
    assert!(read(Level::Usage, STREAM).iter().all(|event| event.deltas.is_empty()));
}

#[test]
fn deltas_know_their_block_and_place_also_on_a_second_line_of_data() {
    let mut seen = Vec::new();
    for event in read(Level::Text, STREAM) {
        for delta in &event.deltas {
            let at = delta.text.at.clone().unwrap();
            let literal = std::str::from_utf8(&event.raw[at.start as usize..at.end as usize]).unwrap();
            assert_eq!(serde_json::from_str::<String>(literal).unwrap(), delta.text.as_str());
            assert_eq!(delta.text.form == TextForm::Json, delta.block.kind == BlockKind::Arguments);
            seen.push(format!("{} {}: {}", delta.block.kind, delta.block.index, delta.text.as_str()));
        }
    }
    let want = [
        "reasoning 0: The rules ",
        "reasoning 0: say so.",
        "text 2: No ",
        "text 2: boats ",
        "text 3: — sorry.",
        "arguments 4: {\"query\": \"b",
        "arguments 4: öats\"}",
        "text 5: Boats",
        "arguments 6: {\"who\":\"A",
        "arguments 6: nn\",\"n\":1.0}",
    ];
    assert_eq!(seen, want);
}

#[test]
fn what_a_block_begins_with_is_read_and_can_be_changed() {
    let stream = r#"event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":"Hi Bob"}}

event: content_block_start
data: {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"a","name":"f","input":{"who":"Bob"}}}

"#;
    let mut events = read(Level::Text, stream);
    assert!(events[0].set_delta(0, "Hi \"B\"") && events[1].set_delta(0, r#"{"who":"B"}"#));
    let want = stream.replace("\"Hi Bob\"", "\"Hi \\\"B\\\"\"").replace(r#"{"who":"Bob"}"#, r#"{"who":"B"}"#);
    assert_eq!(bytes_of(&events), want.as_bytes());
}

#[test]
fn kinds_of_events_are_told_apart_at_every_level() {
    let cases = [
        (
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"x\"}}\n\n",
            EventKind::Error,
        ),
        ("data: {\"type\":\"error\",\"error\":{\"type\":\"api_error\"}}\n\n", EventKind::Error),
        ("event: error\ndata: oh\n\n", EventKind::Error),
        ("event: ping\ndata: {\"type\": \"ping\"}\n\n", EventKind::KeepAlive),
        (": note\n\n", EventKind::KeepAlive),
        ("event: message_stop\ndata: { \"type\" : \"message_stop\" }\n\n", EventKind::Done),
        ("event: news\ndata: {\"type\":\"news\"}\n\n", EventKind::Other),
        ("data: [DONE]\n\n", EventKind::Other),
        ("retry: 10\n\n", EventKind::Other),
        (
            "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"\\\"error\\\"\"}}\n\n",
            EventKind::Content,
        ),
    ];
    for (stream, kind) in cases {
        for level in [Level::Boundaries, Level::Usage, Level::Text] {
            assert_eq!(read(level, stream)[0].kind, kind, "{level:?} {stream}");
        }
    }
    let decoder = StreamDecoder::new(Dialect::Anthropic, Operation::Chat, Level::Boundaries).unwrap();
    let cause = |n: usize| decoder.error(&Event::new(cases[n].0, EventKind::Error)).cause;
    assert_eq!((cause(0), cause(1)), (weir_message::Cause::Overloaded, weir_message::Cause::ServerError));
}

#[test]
fn an_event_that_cannot_be_read_does_not_pass_a_plan_that_reads_text() {
    let cases = [
        r#"{"type":"content_block_delta","delta":{"text":"a","text":"b"}}"#,
        r#"{"type":"message_start","message":{"content":[{"type":"text","text":"a"}]}}"#,
        r#"{"type":"content_block_start","content_block":{"text":"a"}}"#,
        "{",
        "hello",
    ];
    for data in cases {
        let mut decoder = StreamDecoder::new(Dialect::Anthropic, Operation::Chat, Level::Text).unwrap();
        decoder.push(Bytes::from(format!("data: {data}\n\n")));
        assert_eq!(decoder.next_event().unwrap_err().code, ErrorCode::UpstreamInvalid, "{data}");
    }
}

#[test]
fn a_stream_put_together_is_the_reply() {
    let got = json(&collected(Dialect::Anthropic, STREAM.as_bytes()).outgoing());
    let mut want = json(REPLY.as_bytes());
    want["usage"]
        .as_object_mut()
        .unwrap()
        .retain(|name, _| !matches!(&**name, "cache_creation" | "service_tier"));
    assert_eq!(got, want);
}

#[test]
fn a_reply_taken_apart_is_the_stream() {
    let mut encoder = StreamEncoder::new(Dialect::Anthropic, Operation::Chat, identity());
    let written = bytes_of(&encoder.reply(&reply(REPLY), false).unwrap());
    let again = json(&collected(Dialect::Anthropic, &written).outgoing());
    let mut want = json(REPLY.as_bytes());
    want["usage"]
        .as_object_mut()
        .unwrap()
        .retain(|name, _| !matches!(&**name, "cache_creation" | "service_tier"));
    assert_eq!(again, want);
}

/// The types of a stream's events, with the number of the block.
fn outline(stream: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(stream).unwrap();
    text.split("\n\n")
        .filter(|event| !event.is_empty())
        .map(|event| {
            let (name, data) = event.split_once("\ndata: ").unwrap_or_else(|| panic!("{event}"));
            let data = json(data.as_bytes());
            assert_eq!(name, format!("event: {}", data["type"].as_str().unwrap()));
            let name = name.trim_start_matches("event: ");
            match data["index"].as_u64() {
                Some(index) => format!("{} {index}", name.trim_start_matches("content_block_")),
                None => name.to_owned(),
            }
        })
        .collect()
}

const OPENAIS: &str = r#"data: {"id":"chatcmpl-7","created":7,"model":"gpt-5","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}

: keep

data: {"id":"chatcmpl-7","created":7,"model":"gpt-5","choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}

data: {"id":"chatcmpl-7","created":7,"model":"gpt-5","choices":[{"index":0,"delta":{"content":"It \"is\""}}]}

data: {"id":"chatcmpl-7","created":7,"model":"gpt-5","choices":[{"index":0,"delta":{"content":" a weir"}}]}

data: {"id":"chatcmpl-7","created":7,"model":"gpt-5","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"look","arguments":""}}]}}]}

data: {"id":"chatcmpl-7","created":7,"model":"gpt-5","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"who\":"}}]}}]}

data: {"id":"chatcmpl-7","created":7,"model":"gpt-5","choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"call_2","type":"function","function":{"name":"look","arguments":"{\"a\":"}}]}}]}

data: {"id":"chatcmpl-7","created":7,"model":"gpt-5","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\"B}\\\"\"}"}},{"index":1,"function":{"arguments":"1}"}}]}}]}

data: {"id":"chatcmpl-7","created":7,"model":"gpt-5","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}

data: {"id":"chatcmpl-7","created":7,"model":"gpt-5","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":7,"total_tokens":16,"prompt_tokens_details":{"cached_tokens":4}}}

data: [DONE]

"#;

#[test]
fn a_stream_of_openais_becomes_blocks_one_after_the_other_though_its_calls_mix() {
    let written = translated(OPENAI, OURS, OPENAIS.as_bytes());
    let written = String::from_utf8(written).unwrap().replace(": keep-alive\n\n", "");
    let want = [
        "message_start",
        "start 0",
        "delta 0",
        "stop 0",
        "start 1",
        "delta 1",
        "delta 1",
        "stop 1",
        "start 2",
        "delta 2",
        "delta 2",
        "stop 2",
        "start 3",
        "delta 3",
        "delta 3",
        "stop 3",
        "message_delta",
        "message_stop",
    ];
    assert_eq!(outline(written.as_bytes()), want);
    let reply = json(&collected(Dialect::Anthropic, written.as_bytes()).outgoing());
    assert_eq!(
        (&reply["id"], &reply["model"], &reply["stop_reason"]),
        (&json!("chatcmpl-7"), &json!("gpt-5"), &json!("tool_use"))
    );
    assert_eq!(
        reply["content"],
        json!([
            { "type": "thinking", "thinking": "hm", "signature": "" },
            { "type": "text", "text": "It \"is\" a weir" },
            { "type": "tool_use", "id": "call_1", "name": "look", "input": { "who": "B}\"" } },
            { "type": "tool_use", "id": "call_2", "name": "look", "input": { "a": 1 } },
        ])
    );
    assert_eq!(
        reply["usage"],
        json!({ "input_tokens": 5, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 4, "output_tokens": 7 })
    );
}

#[test]
fn a_stream_of_ours_becomes_openais_chunks() {
    let written = translated(OURS, OPENAI, STREAM.as_bytes());
    let whole = collected(Dialect::OpenAi, &written);
    let got = json(&whole.outgoing());
    let choice = &got["choices"][0];
    assert_eq!((&got["id"], &choice["finish_reason"]), (&json!("msg_01X"), &json!("tool_calls")));
    assert_eq!(choice["message"]["content"], "No boats — sorry.");
    assert_eq!(choice["message"]["reasoning_content"], "The rules say so.");
    let calls = &choice["message"]["tool_calls"];
    assert_eq!(calls.as_array().unwrap().len(), 1);
    assert_eq!(calls[0]["function"]["arguments"], "{\"who\":\"Ann\",\"n\":1.0}");
    assert_eq!(
        whole.usage.map(|spent| (spent.input, spent.cached_input, spent.output, spent.reasoning)),
        Some((100, 50, 40, 12))
    );
    let text = String::from_utf8(written).unwrap();
    assert!(text.ends_with("data: [DONE]\n\n") && text.contains(": keep-alive\n\n"));
    assert!(text.contains(r#""tool_calls":[{"index":0,"id":"toolu_9""#), "calls are numbered from 0");
    assert_eq!(text.matches("\"usage\"").count(), 1);
}

#[test]
fn a_call_without_arguments_has_an_empty_object_and_the_answers_tool_is_the_answer() {
    let block = |index: u32, name: &str, deltas: &[&str]| {
        let mut out = format!(
            "event: content_block_start\ndata: {{\"type\":\"content_block_start\",\"index\":{index},\"content_block\":{{\"type\":\"tool_use\",\"id\":\"t{index}\",\"name\":\"{name}\",\"input\":{{}}}}}}\n\n"
        );
        for delta in deltas {
            let json = serde_json::to_string(delta).unwrap();
            out.push_str(&format!("data: {{\"type\":\"content_block_delta\",\"index\":{index},\"delta\":{{\"type\":\"input_json_delta\",\"partial_json\":{json}}}}}\n\n"));
        }
        out.push_str(&format!("data: {{\"type\":\"content_block_stop\",\"index\":{index}}}\n\n"));
        out
    };
    let end = "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"},\"usage\":{\"output_tokens\":3}}\n\ndata: {\"type\":\"message_stop\"}\n\n";
    let to_openai = |stream: String| {
        json(&collected(Dialect::OpenAi, &translated(OURS, OPENAI, stream.as_bytes())).outgoing())["choices"]
            [0]
        .clone()
    };
    let silent = to_openai(format!("{}{end}", block(0, "f", &[""])));
    assert_eq!(silent["message"]["tool_calls"][0]["function"]["arguments"], "{}");
    let answer = to_openai(format!("{}{end}", block(0, "weir_answer", &["{\"z\":", "1.0}"])));
    assert_eq!(
        (&answer["message"]["content"], &answer["finish_reason"]),
        (&json!("{\"z\":1.0}"), &json!("stop"))
    );
    let both = to_openai(format!("{}{}{end}", block(0, "weir_answer", &[]), block(1, "f", &[])));
    assert_eq!((&both["message"]["content"], &both["finish_reason"]), (&json!("{}"), &json!("tool_calls")));
}

#[test]
fn an_error_inside_a_stream_is_told_in_our_words() {
    let encoder = StreamEncoder::new(Dialect::Anthropic, Operation::Chat, identity());
    let error = ErrorBody {
        status: 502,
        code: "upstream-broken",
        kind: "server_error",
        message: "cut",
        param: None,
        request_id: "r",
    };
    let event = encoder.error(&error);
    assert_eq!(
        event.raw,
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"cut\",\"details\":{\"error_code\":\"upstream-broken\"}},\"request_id\":\"r\"}\n\n"
    );
    assert_eq!(read(Level::Text, std::str::from_utf8(&event.raw).unwrap())[0].kind, EventKind::Error);
}

#[test]
fn a_stream_that_is_cut_short_is_ended_in_its_own_order() {
    // Sent so far: the first deltas of the third block.
    let sent: Vec<Event> = read(Level::Text, STREAM).into_iter().take(12).collect();
    let mut encoder = StreamEncoder::new(Dialect::Anthropic, Operation::Chat, identity());
    let mut stream: Vec<u8> = sent.iter().flat_map(|event| encoder.send(event)).collect();
    let block = Block { choice: 0, kind: BlockKind::Text, index: 0 };
    let pieces = [
        Piece::Text { block, text: "Not here.".into() },
        Piece::Finish { choice: 0, why: Finish::ContentFilter, stop: None },
        Piece::Usage(usage()),
        Piece::Done,
    ];
    for piece in pieces {
        for event in encoder.write(piece) {
            stream.extend(encoder.send(&event));
        }
    }
    let got = outline(String::from_utf8(stream.clone()).unwrap().replace(",\ndata: ", ",").as_bytes());
    assert_eq!(
        got[got.len() - 6..],
        ["stop 2", "start 3", "delta 3", "stop 3", "message_delta", "message_stop"]
    );
    let reply = collected(Dialect::Anthropic, &stream);
    assert_eq!(reply.finish(), Some(Finish::ContentFilter));
    assert!(reply.text().ends_with("Not here."), "{}", reply.text());
}

#[test]
fn only_the_last_marker_is_added_where_all_else_was_told() {
    let mut encoder = StreamEncoder::new(Dialect::Anthropic, Operation::Chat, identity());
    let all = read(Level::Usage, STREAM);
    all[..all.len() - 1].iter().for_each(|event| {
        encoder.send(event);
    });
    let end = encoder.write(Piece::Done);
    assert_eq!(outline(&bytes_of(&end)), ["message_stop"]);
}

#[test]
fn what_is_written_reads_back_as_it_was_written() {
    let mut encoder = StreamEncoder::new(Dialect::Anthropic, Operation::Chat, identity());
    let text =
        |kind, index, text: &str| Piece::Text { block: Block { choice: 0, kind, index }, text: text.into() };
    let citation = Citation { url: Some("https://example.com".into()), ..Citation::default() };
    let pieces = vec![
        Piece::Usage(Usage { input: 9, ..Usage::default() }),
        Piece::Start { id: Some("id".into()), model: Some("m".into()), created: None },
        text(BlockKind::Reasoning, 0, "a \"b\"\n"),
        Piece::Signature { choice: 0, index: 0, signature: "s".into() },
        Piece::Sealed { choice: 0, index: 1, data: "x".into() },
        text(BlockKind::Text, 0, "é"),
        Piece::Citation { choice: 0, index: 0, citation },
        Piece::Other {
            choice: 0,
            kind: "web_search_tool_result".into(),
            raw: r#"{"type":"web_search_tool_result","tool_use_id":"t","content":[]}"#.into(),
        },
        Piece::Other { choice: 0, kind: "executableCode".into(), raw: "{}".into() },
        Piece::Call { choice: 0, index: 4, id: "".into(), name: "f".into(), signature: None },
        text(BlockKind::Arguments, 4, "{\"a\":"),
        text(BlockKind::Arguments, 4, "\"\\\"\"}"),
        Piece::Text {
            block: Block { choice: 1, kind: BlockKind::Text, index: 0 },
            text: "another answer".into(),
        },
        text(BlockKind::Refusal, 0, "No."),
        Piece::Finish { choice: 0, why: Finish::Stop, stop: Some("END".into()) },
        Piece::Usage(usage()),
        Piece::Done,
    ];
    let mut written: Vec<Event> = pieces.into_iter().flat_map(|piece| encoder.write(piece)).collect();
    let stream = bytes_of(&written);
    let mut again = read(Level::Text, std::str::from_utf8(&stream).unwrap());
    // What was spent before is told at the start for those who read it; the books wait for the end.
    again[0].usage = None;
    written[0].usage = None;
    assert_eq!(again, written);
    let want = [
        "message_start",
        "start 0",
        "delta 0",
        "delta 0",
        "stop 0",
        "start 1",
        "stop 1",
        "start 2",
        "delta 2",
        "delta 2",
        "stop 2",
        "start 3",
        "stop 3",
        "start 4",
        "delta 4",
        "delta 4",
        "stop 4",
        "message_delta",
        "message_stop",
    ];
    assert_eq!(outline(&stream), want);
    let reply = collected(Dialect::Anthropic, &stream);
    let parts = &reply.choices()[0].parts;
    assert!(parts.iter().any(|part| matches!(part, Part::ToolCall(call) if call.id == "toolu_r1_4")));
    assert!(parts.iter().any(|part| matches!(part, Part::Refusal(text) if text.as_str() == "No.")));
    assert_eq!(reply.choices()[0].stop.as_deref(), Some("END"));
}

#[test]
fn a_stream_without_its_end_is_not_clean() {
    let end = STREAM.find("event: message_stop").unwrap();
    for (upto, is_clean) in [(STREAM.len(), true), (STREAM.len() - 1, false), (end, false), (0, false)] {
        let mut decoder = StreamDecoder::new(Dialect::Anthropic, Operation::Chat, Level::Boundaries).unwrap();
        decoder.push(Bytes::copy_from_slice(&STREAM.as_bytes()[..upto]));
        while decoder.next_event().unwrap().is_some() {}
        assert_eq!(decoder.finish().unwrap().is_clean, is_clean, "{upto}");
    }
}
