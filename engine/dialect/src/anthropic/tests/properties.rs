//! What holds for every payload and every conversation.

use super::*;
use proptest::prelude::*;
use serde_json::json;
use weir_message::{Message, Part, Role};

#[test]
fn payloads_hold_what_fuzzing_asks() {
    for payload in [CHAT, REPLY, STREAM] {
        let bytes = payload.as_bytes();
        let holds = |bytes: &[u8]| {
            fuzzing::request(Dialect::Anthropic, bytes)
                && fuzzing::reply(Dialect::Anthropic, bytes)
                && fuzzing::stream(Dialect::Anthropic, bytes)
        };
        assert!(holds(bytes));
        for end in (0..bytes.len()).step_by(11) {
            assert!(holds(&bytes[..end]), "{end}");
        }
    }
}

/// A conversation of OpenAI's: words, calls and their results.
fn conversation() -> impl Strategy<Value = Value> {
    let words = "[a-zé\"\\\\\n]{1,8}";
    let call = (words, "[a-z]{1,4}", any::<i32>());
    let turn = prop_oneof![
        words.prop_map(|text| vec![json!({ "role": "user", "content": text })]),
        words.prop_map(|text| vec![json!({ "role": "assistant", "content": text })]),
        prop::collection::vec(call, 1..4).prop_map(|calls| {
            let made: Vec<Value> = calls.iter().enumerate().map(|(n, (text, name, number))| {
                let arguments = json!({ "t": text, "n": number }).to_string();
                json!({ "id": format!("call_{n}"), "type": "function", "function": { "name": name, "arguments": arguments } })
            }).collect();
            let mut turns = vec![json!({ "role": "assistant", "content": null, "tool_calls": made })];
            turns.extend(calls.iter().enumerate().map(|(n, (text, ..))| json!({ "role": "tool", "tool_call_id": format!("call_{n}"), "content": text })));
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
    let mut out = Vec::new();
    let mut part = |message: &Message, part: &Part| match part {
        Part::Text(text) => {
            let role = if message.role == Role::Tool { "user" } else { message.role.name() };
            out.push(format!("{role}: {}", text.as_str()));
        }
        Part::ToolCall(call) => {
            let arguments: Value = serde_json::from_str(call.arguments.as_str()).unwrap();
            out.push(format!("call {} {}: {arguments}", call.id, call.name));
        }
        Part::ToolResult(result) => {
            let texts: String = result
                .parts
                .iter()
                .filter_map(|part| match part {
                    Part::Text(text) => Some(text.as_str()),
                    _ => None,
                })
                .collect();
            out.push(format!("result {}: {texts}", result.call));
        }
        _ => {}
    };
    for message in request.messages() {
        message.parts.iter().for_each(|one| part(message, one));
    }
    out
}

/// A stream of OpenAI's with these deltas.
fn chunks(deltas: &[(u8, String)]) -> String {
    let mut out = String::new();
    let mut begun = [false; 2];
    for (kind, text) in deltas {
        let delta = match kind % 4 {
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
        out.push_str(&format!(
            "data: {}\n\n",
            json!({ "id": "1", "model": "m", "choices": [{ "index": 0, "delta": delta }] })
        ));
    }
    out.push_str(
        "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
    );
    out
}

proptest! {
    #[test]
    fn a_conversation_arrives_and_comes_back(body in conversation()) {
        let request = request_of(Dialect::OpenAi, &body.to_string());
        let there = outgoing(&request, OURS, "claude-opus-5", false).unwrap();
        let ours = self::request(std::str::from_utf8(&there.body).unwrap());
        prop_assert_eq!(said(&ours), said(&request));
        let back = outgoing(&ours, OPENAI, "gpt-5", false).unwrap();
        let openais = request_of(Dialect::OpenAi, std::str::from_utf8(&back.body).unwrap());
        prop_assert_eq!(said(&openais), said(&request));
        // No two turns of one role follow each other.
        let roles: Vec<Value> = super::json(&there.body)["messages"].as_array().unwrap().iter().map(|turn| turn["role"].clone()).collect();
        prop_assert!(roles.windows(2).all(|pair| pair[0] != pair[1]), "{:?}", roles);
    }

    #[test]
    fn however_deltas_mix_each_block_arrives_whole_and_blocks_do_not_mix(
        deltas in prop::collection::vec((0u8..4, "[a-c\"{}]{1,4}"), 0..16)
    ) {
        let stream = chunks(&deltas);
        let written = translated(OPENAI, OURS, stream.as_bytes());
        let text = String::from_utf8(written.clone()).unwrap();
        let mut open: Option<u64> = None;
        let mut next = 0;
        let mut arguments = vec![String::new(); 2];
        let mut calls: Vec<u64> = Vec::new();
        for data in text.lines().filter_map(|line| line.strip_prefix("data: ")) {
            let event: Value = serde_json::from_str(data).unwrap();
            let index = event["index"].as_u64();
            match event["type"].as_str().unwrap() {
                "content_block_start" => {
                    prop_assert_eq!((open, index), (None, Some(next)));
                    open = index;
                    next += 1;
                    if event["content_block"]["type"] == "tool_use" {
                        calls.push(index.unwrap());
                    }
                }
                "content_block_delta" => {
                    prop_assert_eq!(index, open);
                    if let Some(piece) = event["delta"]["partial_json"].as_str() {
                        let at = calls.iter().position(|call| Some(*call) == index).unwrap();
                        arguments[at].push_str(piece);
                    }
                }
                "content_block_stop" => prop_assert_eq!(std::mem::take(&mut open), index),
                _ => prop_assert_eq!(open, None),
            }
        }
        let all = |kind: u8| deltas.iter().filter(|delta| delta.0 == kind).map(|delta| delta.1.as_str()).collect::<String>();
        let mut want: Vec<String> = [2, 3].map(all).into_iter().filter(|text| !text.is_empty()).collect();
        // Pieces behind the end of a call's own object belong to nothing.
        arguments.retain(|text| !text.is_empty());
        arguments.sort();
        want.sort();
        prop_assert_eq!(arguments.len(), want.len());
        let texts = all(0);
        prop_assert_eq!(collected(Dialect::Anthropic, &written).text(), texts);
    }

    #[test]
    fn any_cut_of_a_stream_gives_the_same_translation(size in 1usize..400) {
        let mut decoder = StreamDecoder::translating(OURS, OPENAI, identity()).unwrap();
        let mut got = Vec::new();
        for piece in STREAM.as_bytes().chunks(size) {
            decoder.push(Bytes::copy_from_slice(piece));
            while let Some(event) = decoder.next_event().unwrap() {
                got.extend(event.outgoing());
            }
        }
        prop_assert_eq!(got, translated(OURS, OPENAI, STREAM.as_bytes()));
    }

    #[test]
    fn damaged_payloads_never_panic(which in 0usize..3, at in 0usize..6000, byte in any::<u8>(), gone in 0usize..20) {
        let mut bytes = [CHAT, REPLY, STREAM][which].as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        let end = (at + gone).min(bytes.len());
        bytes.drain(at..end);
        prop_assert!(fuzzing::request(Dialect::Anthropic, &bytes));
        prop_assert!(fuzzing::reply(Dialect::Anthropic, &bytes));
        prop_assert!(fuzzing::stream(Dialect::Anthropic, &bytes));
    }
}
