//! Streams of responses, written.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use weir_message::{Block, BlockKind, Citation, EventKind};

const CHAT_STREAM: &str = include_str!("../../testdata/stream.sse");

fn said(kind: BlockKind, index: u32, text: &str) -> Piece {
    Piece::Text { block: Block { choice: 0, kind, index }, text: text.into() }
}

fn call(index: u32, id: &str, name: &str) -> Piece {
    Piece::Call { choice: 0, index, id: id.into(), name: name.into(), signature: None }
}

fn finish(why: Finish) -> Piece {
    Piece::Finish { choice: 0, why, stop: None }
}

fn types(events: &[Event]) -> Vec<String> {
    let shown = |event: &Event| match event.kind {
        EventKind::Done => "end".to_owned(),
        _ => json(&event.raw)["type"].as_str().unwrap().trim_start_matches("response.").to_owned(),
    };
    events.iter().map(shown).collect()
}

/// What a client that follows the events by the API's pages puts together; every step of it must fit.
fn followed(stream: &str) -> Value {
    let mut items: BTreeMap<u64, Value> = BTreeMap::new();
    let mut last = Value::Null;
    for (number, event) in stream.split("\n\n").filter(|event| event.contains("data: ")).enumerate() {
        let said = json(event.as_bytes());
        assert!(event.starts_with(&format!("event: {}\n", said["type"].as_str().unwrap())), "{event}");
        assert_eq!(said["sequence_number"], number, "{event}");
        let item = said["output_index"].as_u64().and_then(|n| items.get_mut(&n));
        let part = |field: &str| usize::try_from(said[field].as_u64().unwrap()).unwrap();
        let delta = said["delta"].as_str().unwrap_or_default();
        let add = |text: &mut Value| *text = (text.as_str().unwrap().to_owned() + delta).into();
        match said["type"].as_str().unwrap() {
            "response.created" | "response.in_progress" => {
                assert_eq!(said["response"]["status"], "in_progress");
            }
            "response.output_item.added" => {
                let n = said["output_index"].as_u64().unwrap();
                assert_eq!(n, items.len() as u64, "{event}");
                items.insert(n, said["item"].clone());
            }
            "response.content_part.added" => {
                let parts = item.unwrap()["content"].as_array_mut().unwrap();
                assert_eq!(part("content_index"), parts.len());
                parts.push(said["part"].clone());
            }
            "response.reasoning_summary_part.added" => {
                item.unwrap()["summary"].as_array_mut().unwrap().push(said["part"].clone());
            }
            "response.output_text.delta" => add(&mut item.unwrap()["content"][part("content_index")]["text"]),
            "response.refusal.delta" => add(&mut item.unwrap()["content"][part("content_index")]["refusal"]),
            "response.reasoning_summary_text.delta" => {
                add(&mut item.unwrap()["summary"][part("summary_index")]["text"]);
            }
            "response.function_call_arguments.delta" => add(&mut item.unwrap()["arguments"]),
            "response.output_text.annotation.added" => {
                let list = &mut item.unwrap()["content"][part("content_index")]["annotations"];
                assert_eq!(part("annotation_index"), list.as_array().unwrap().len());
                list.as_array_mut().unwrap().push(said["annotation"].clone());
            }
            "response.output_text.done" => {
                assert_eq!(said["text"], item.unwrap()["content"][part("content_index")]["text"]);
            }
            "response.refusal.done" => {
                assert_eq!(said["refusal"], item.unwrap()["content"][part("content_index")]["refusal"]);
            }
            "response.reasoning_summary_text.done" => {
                assert_eq!(said["text"], item.unwrap()["summary"][part("summary_index")]["text"]);
            }
            "response.function_call_arguments.done" => {
                assert_eq!(said["arguments"], item.unwrap()["arguments"]);
            }
            "response.content_part.done" => {
                assert_eq!(said["part"], item.unwrap()["content"][part("content_index")]);
            }
            "response.reasoning_summary_part.done" => {
                assert_eq!(said["part"], item.unwrap()["summary"][part("summary_index")]);
            }
            "response.output_item.done" => {
                let item = item.unwrap();
                for field in ["content", "summary", "arguments", "id", "type"] {
                    assert_eq!(said["item"].get(field), item.get(field), "{event}");
                }
                *item = said["item"].clone();
            }
            "response.completed" | "response.incomplete" => {
                last = said["response"].clone();
                let output: Vec<Value> = items.values().cloned().collect();
                assert_eq!(last["output"], Value::Array(output));
            }
            other => panic!("{other}"),
        }
    }
    last
}

#[test]
fn pieces_become_events_in_the_order_of_the_api() {
    let mut encoder = encoder();
    let usage = Usage { input: 5, cached_input: 2, output: 3, reasoning: 1, ..Usage::default() };
    let citation =
        Citation { url: Some("https://w.example".into()), span: Some(0..2), ..Citation::default() };
    let pieces = [
        Piece::Start { id: Some("chatcmpl-7".into()), model: Some("served".into()), created: Some(9) },
        said(BlockKind::Reasoning, 0, "h"),
        said(BlockKind::Reasoning, 0, "m"),
        Piece::Signature { choice: 0, index: 0, signature: "sig".into() },
        said(BlockKind::Text, 0, "It "),
        said(BlockKind::Text, 0, "is."),
        Piece::Citation { choice: 0, index: 0, citation },
        call(0, "c1", "look"),
        said(BlockKind::Arguments, 0, "{\"a\":"),
        call(1, "c2", "hear"),
        said(BlockKind::Arguments, 1, "{}"),
        said(BlockKind::Arguments, 0, "1}"),
        finish(Finish::ToolCalls),
        Piece::Usage(usage),
        Piece::Done,
    ];
    let events: Vec<Event> = pieces.into_iter().flat_map(|piece| encoder.write(piece)).collect();
    let want = [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.annotation.added",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
        "end",
    ];
    assert_eq!(types(&events), want);
    let last = followed(&text_of(&events));
    assert_eq!(
        (&last["id"], &last["model"], &last["created_at"]),
        (&"chatcmpl-7".into(), &"served".into(), &9.into())
    );
    assert_eq!(last["output"][0]["encrypted_content"], "sig");
    assert_eq!(last["output"][2]["arguments"], "{\"a\":1}");
    assert_eq!(last["usage"]["output_tokens"], 3);
    // What is written reads back.
    let read = super::events(Level::Text, &text_of(&events));
    assert_eq!(read, events);
    let mut collector = Collector::new(Dialect::OpenAi, Operation::Response, 4096);
    events.iter().for_each(|event| collector.push(event).unwrap());
    let whole = collector.finish().unwrap();
    assert_eq!((whole.usage, whole.finish()), (Some(usage), Some(Finish::ToolCalls)));
}

#[test]
fn a_stream_of_a_chat_becomes_a_stream_of_a_response() {
    let mut decoder = StreamDecoder::translating(CHAT, RESPONSE, identity()).unwrap();
    // One choice is all that a response has.
    decoder.push(Bytes::copy_from_slice(CHAT_STREAM.as_bytes()));
    let mut events: Vec<Event> = std::iter::from_fn(|| decoder.next_event().unwrap()).collect();
    assert!(decoder.is_done());
    events.retain(|event| event.kind != EventKind::KeepAlive);
    let last = followed(&text_of(&events));
    assert_eq!(last["id"], "chatcmpl-7");
    assert_eq!(last["output"][0]["content"][0]["text"], "It \"is\" a über-weir");
    assert_eq!(last["usage"]["total_tokens"], 16);
}

#[test]
fn a_denial_in_a_providers_stream_ends_what_was_begun() {
    let all = events(Level::Text, STREAM);
    for upto in 1..all.len() - 2 {
        let mut encoder = encoder();
        let mut stream = String::new();
        for event in &all[1..upto] {
            stream.push_str(std::str::from_utf8(&encoder.send(event)).unwrap());
        }
        let pieces = [said(BlockKind::Text, 0, "Not here."), finish(Finish::ContentFilter), Piece::Done];
        for event in pieces.into_iter().flat_map(|piece| encoder.write(piece)).collect::<Vec<_>>() {
            stream.push_str(std::str::from_utf8(&encoder.send(&event)).unwrap());
        }
        let numbers: Vec<u64> = stream
            .split("\n\n")
            .filter(|event| event.contains("data: "))
            .map(|event| json(event.as_bytes())["sequence_number"].as_u64().unwrap())
            .collect();
        assert!(numbers.iter().zip(0..).all(|(number, n)| *number == n), "{upto}: {numbers:?}");
        let last = events(Level::Text, &stream);
        let last = json(&last[last.len() - 2].raw);
        assert_eq!(last["type"], "response.incomplete", "{upto}");
        let response = &last["response"];
        assert_eq!(response["incomplete_details"]["reason"], "content_filter");
        assert_eq!(response["id"], if upto > 1 { "resp_7" } else { "resp_made" });
        let reply = reply_of(RESPONSE, &response.to_string());
        assert!(reply.text().ends_with("Not here."), "{upto}: {response}");
        let begun = stream.matches("event: response.output_item.added").count();
        let ended = stream.matches("event: response.output_item.done").count();
        // But for a provider's tool at work.
        assert!(begun - ended <= 1, "{upto}");
    }
}

#[test]
fn an_error_says_the_same_in_both_forms_and_is_no_end() {
    let mut encoder = encoder();
    let all = events(Level::Boundaries, STREAM);
    all[..8].iter().for_each(|event| drop(encoder.send(event)));
    let error = ErrorBody {
        status: 502,
        code: "upstream-broken",
        kind: "server_error",
        message: "a\"b",
        param: None,
        request_id: "r",
    };
    let event = encoder.error(&error);
    assert_eq!(
        event.raw,
        "event: error\ndata: {\"type\":\"error\",\"sequence_number\":7,\"code\":\"upstream-broken\",\"message\":\"a\\\"b\",\"param\":null,\"error\":{\"message\":\"a\\\"b\",\"type\":\"server_error\",\"param\":null,\"code\":\"upstream-broken\",\"request_id\":\"r\"}}\n\n"
    );
    assert_eq!(events(Level::Text, std::str::from_utf8(&event.raw).unwrap())[0].kind, EventKind::Error);
}

#[test]
fn a_whole_response_taken_apart_says_the_same() {
    let whole = reply_of(RESPONSE, REPLY);
    let events = encoder().reply(&whole, false).unwrap();
    let last = followed(&text_of(&events));
    let again = reply_of(RESPONSE, &last.to_string());
    let said = |reply: &Reply| {
        roles(reply.texts()).into_iter().filter(|text| !text.starts_with("tool: ")).collect::<Vec<_>>()
    };
    assert_eq!(said(&again), said(&whole));
    assert_eq!((again.id.as_deref(), again.usage), (Some("resp_9x"), whole.usage));
}

fn piece() -> impl Strategy<Value = Piece> {
    let kind = prop_oneof![
        Just(BlockKind::Text),
        Just(BlockKind::Refusal),
        Just(BlockKind::Reasoning),
        Just(BlockKind::Arguments)
    ];
    prop_oneof![
        6 => (kind, 0u32..3, "[a-z\"é ]{0,5}").prop_map(|(kind, index, text)| said(kind, index, &text)),
        2 => (0u32..3, "[a-z]{0,3}").prop_map(|(index, name)| call(index, &format!("c{index}"), &name)),
        1 => (0u32..3, "[a-z]{1,3}").prop_map(|(index, signature)| Piece::Signature { choice: 0, index, signature: signature.into() }),
        1 => "[a-z]{1,3}".prop_map(|data| Piece::Sealed { choice: 0, index: 7, data: data.into() }),
        1 => (0u32..3).prop_map(|index| Piece::Citation { choice: 0, index, citation: Citation { title: Some("t".into()), ..Citation::default() } }),
    ]
}

proptest! {
    #[test]
    fn whatever_is_said_the_events_fit_each_other(pieces in prop::collection::vec(piece(), 0..24), why in prop_oneof![Just(Finish::Stop), Just(Finish::Length)]) {
        let mut encoder = encoder();
        let mut all: BTreeMap<BlockKind, String> = BTreeMap::new();
        for piece in &pieces {
            if let Piece::Text { block, text } = piece {
                all.entry(block.kind).or_default().push_str(text);
            }
        }
        let end = [finish(why), Piece::Done];
        let events: Vec<Event> = pieces.into_iter().chain(end).flat_map(|piece| encoder.write(piece)).collect();
        let last = followed(&text_of(&events));
        prop_assert_eq!(last["status"].as_str().unwrap(), if why == Finish::Length { "incomplete" } else { "completed" });
        let reply = reply_of(RESPONSE, &last.to_string());
        let mut got: BTreeMap<BlockKind, usize> = BTreeMap::new();
        reply.each_text(|at| {
            let kind = match at.role {
                TextRole::Reasoning => BlockKind::Reasoning,
                TextRole::Refusal => BlockKind::Refusal,
                TextRole::Arguments => BlockKind::Arguments,
                _ => BlockKind::Text,
            };
            *got.entry(kind).or_default() += at.text.value.len();
        });
        for (kind, text) in all {
            prop_assert_eq!(got.get(&kind).copied().unwrap_or_default(), text.len(), "{}", kind);
        }
    }
}
