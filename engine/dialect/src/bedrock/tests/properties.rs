//! What holds for every payload and every conversation.

use super::*;
use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use bytes::BytesMut;
use proptest::prelude::*;
use weir_message::Message;

#[test]
fn recorded_payloads_hold_what_fuzzing_asks() {
    let stream = stream();
    let count = format!(r#"{{"input":{{"converse":{CONVERSE}}}}}"#);
    for payload in [CONVERSE.as_bytes(), REPLY.as_bytes(), &stream, count.as_bytes()] {
        for end in (0..payload.len()).step_by(11).chain([payload.len()]) {
            let bytes = &payload[..end];
            let holds =
                fuzzing::request(IN, bytes) && fuzzing::reply(IN, bytes) && fuzzing::stream(IN, bytes);
            assert!(holds, "{end} of {}", String::from_utf8_lossy(payload));
        }
    }
}

/// A conversation of OpenAI's: words, calls and their results.
fn conversation() -> impl Strategy<Value = Value> {
    let words = "[a-zé\"\\\\\n]{0,8}[a-z]";
    let call = (words, "[a-z]{1,4}", any::<i32>());
    let turn = prop_oneof![
        words.prop_map(|text| vec![json!({ "role": "user", "content": text })]),
        words.prop_map(|text| vec![json!({ "role": "assistant", "content": text })]),
        prop::collection::vec(call, 1..4).prop_map(|calls| {
            let made = calls.iter().enumerate().map(|(n, (text, name, number))| {
                let arguments = json!({ "t": text, "n": number }).to_string();
                let function = json!({ "name": name, "arguments": arguments });
                json!({ "id": format!("call_{n}"), "type": "function", "function": function })
            });
            let mut turns =
                vec![json!({ "role": "assistant", "content": null, "tool_calls": made.collect::<Vec<_>>() })];
            turns.extend(calls.iter().enumerate().map(|(n, (text, ..))| {
                json!({ "role": "tool", "tool_call_id": format!("call_{n}"), "content": text })
            }));
            turns
        }),
    ];
    (proptest::option::of(words), prop::collection::vec(turn, 1..6)).prop_map(|(system, turns)| {
        let system = system.map(|text| json!({ "role": "system", "content": text }));
        let messages: Vec<Value> = system.into_iter().chain(turns.into_iter().flatten()).collect();
        json!({ "model": "m", "messages": messages })
    })
}

/// What is said, by whom and in which order, whatever turns it stands in.
fn said(request: &Request) -> Vec<String> {
    let one = |message: &Message, part: &Part| match part {
        Part::Text(text) => {
            let role = if message.role == Role::Tool { "user" } else { message.role.name() };
            format!("{role}: {}", text.as_str())
        }
        Part::ToolCall(call) => {
            let arguments: Value = serde_json::from_str(call.arguments.as_str()).unwrap();
            format!("call {} {}: {arguments}", call.id, call.name)
        }
        Part::ToolResult(result) => {
            let mut texts = String::new();
            for part in &result.parts {
                if let Part::Text(text) = part {
                    texts.push_str(text.as_str());
                }
            }
            format!("result {}: {texts}", result.call)
        }
        other => format!("{other:?}"),
    };
    let messages = request.messages().iter();
    messages.flat_map(|message| message.parts.iter().map(move |part| one(message, part))).collect()
}

/// A stream of OpenAI's with these deltas: words, reasoning, and arguments of two calls.
fn chunks(deltas: &[(u8, String)]) -> String {
    let mut out = String::new();
    let mut begun = [false; 2];
    for (kind, text) in deltas {
        let delta = match kind {
            0 => json!({ "content": text }),
            1 => json!({ "reasoning_content": text }),
            n => {
                let index = usize::from(n - 2);
                let mut call = json!({ "index": index, "function": { "arguments": text } });
                if !std::mem::replace(&mut begun[index], true) {
                    call["id"] = json!(format!("c{index}"));
                    call["function"]["name"] = json!("f");
                }
                json!({ "tool_calls": [call] })
            }
        };
        let chunk = json!({ "id": "1", "model": "m", "choices": [{ "index": 0, "delta": delta }] });
        out.push_str(&format!("data: {chunk}\n\n"));
    }
    out.push_str(
        "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
    );
    out
}

/// The frames of a stream as AWS's own crate reads them: the event's name and its fields.
fn frames(stream: &[u8]) -> Vec<(String, Value)> {
    let mut rest = BytesMut::from(stream);
    let mut decoder = MessageFrameDecoder::new();
    let mut out = Vec::new();
    while let DecodedFrame::Complete(message) = decoder.decode_frame(&mut rest).unwrap() {
        let named = message.headers().iter().find(|header| header.name().as_str() == ":event-type");
        let name = named.unwrap().value().as_string().unwrap().as_str().to_owned();
        out.push((name, parsed(message.payload())));
    }
    assert!(rest.is_empty(), "{} bytes are no frame", rest.len());
    out
}

proptest! {
    #[test]
    fn a_conversation_arrives_and_comes_back(body in conversation()) {
        let there = request(Dialect::OpenAi, &body.to_string());
        for model in [CLAUDE, "amazon.nova-pro-v1:0", "meta.llama3-1-70b-instruct-v1:0"] {
            let out = outgoing(&there, format(IN), model, false).unwrap();
            let ours = request(IN, std::str::from_utf8(&out.body).unwrap());
            prop_assert_eq!(said(&ours), said(&there));
            let back = outgoing(&ours, format(Dialect::OpenAi), "gpt-5", false).unwrap();
            let again = request(Dialect::OpenAi, std::str::from_utf8(&back.body).unwrap());
            prop_assert_eq!(said(&again), said(&there));
            // No two turns of one role follow each other, and each says something.
            let body = parsed(&out.body);
            let turns = body["messages"].as_array().unwrap();
            prop_assert!(turns.windows(2).all(|pair| pair[0]["role"] != pair[1]["role"]), "{body}");
            prop_assert!(turns.iter().all(|turn| !turn["content"].as_array().unwrap().is_empty()), "{body}");
        }
    }

    #[test]
    fn however_deltas_mix_each_block_arrives_whole_in_frames_that_hold(
        deltas in prop::collection::vec((0u8..4, "[a-c\"{}]{1,4}"), 0..16)
    ) {
        let written = translated(Dialect::OpenAi, IN, chunks(&deltas).as_bytes());
        let (mut open, mut next, mut calls) = (None, 0, Vec::new());
        for (name, fields) in frames(&written) {
            let index = fields["contentBlockIndex"].as_u64();
            match name.as_str() {
                "contentBlockStart" => {
                    prop_assert_eq!((open, index), (None, Some(next)));
                    (open, next) = (index, next + 1);
                    calls.push((index, String::new()));
                }
                "contentBlockDelta" => {
                    if open.is_none() {
                        prop_assert_eq!(index, Some(next));
                        (open, next) = (index, next + 1);
                    }
                    prop_assert_eq!(index, open);
                    if let Some(piece) = fields["delta"]["toolUse"]["input"].as_str() {
                        let call = calls.iter_mut().find(|(at, _)| *at == index).unwrap();
                        call.1.push_str(piece);
                    }
                }
                "contentBlockStop" => prop_assert_eq!(std::mem::take(&mut open), index),
                _ => prop_assert_eq!(open, None),
            }
        }
        let all = |kind: u8| {
            let of_kind = deltas.iter().filter(|delta| delta.0 == kind);
            of_kind.map(|delta| delta.1.as_str()).collect::<String>()
        };
        let begun = [2, 3].iter().filter(|kind| deltas.iter().any(|delta| delta.0 == **kind)).count();
        prop_assert_eq!(calls.len(), begun);
        prop_assert_eq!(collected(IN, &written).text(), all(0));
    }

    #[test]
    fn any_cut_of_a_stream_gives_the_same_events_and_the_same_translation(size in 1usize..400) {
        let stream = stream();
        let mut passed = StreamDecoder::new(IN, Operation::Chat, Level::Text).unwrap();
        let mut decoder = StreamDecoder::translating(format(IN), format(Dialect::OpenAi), identity()).unwrap();
        let (mut same, mut other) = (Vec::new(), Vec::new());
        for piece in stream.chunks(size) {
            passed.push(Bytes::copy_from_slice(piece));
            decoder.push(Bytes::copy_from_slice(piece));
            while let Some(event) = passed.next_event().unwrap() {
                same.push(event);
            }
            while let Some(event) = decoder.next_event().unwrap() {
                other.extend(event.outgoing());
            }
        }
        prop_assert_eq!(same, events(Level::Text, &stream));
        prop_assert_eq!(other, translated(IN, Dialect::OpenAi, &stream));
    }

    #[test]
    fn damaged_payloads_never_panic(which in 0usize..3, at in 0usize..4000, byte in any::<u8>(), gone in 0usize..20) {
        let stream = stream();
        let mut bytes = [CONVERSE.as_bytes(), REPLY.as_bytes(), &stream][which].to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        let end = (at + gone).min(bytes.len());
        bytes.drain(at..end);
        prop_assert!(fuzzing::request(IN, &bytes) && fuzzing::reply(IN, &bytes) && fuzzing::stream(IN, &bytes));
    }
}
