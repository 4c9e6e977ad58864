//! What a pair of dialects claims to carry arrives, whatever it is.

use super::pairs::translated;
use super::replies::{parts_of, placeless};
use super::*;
use proptest::prelude::*;
use serde_json::json;
use weir_message::Part;

fn words() -> impl Strategy<Value = String> {
    "[a-zA-Z äß\"\\\\\n😀]{1,12}"
}

fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        any::<i32>().prop_map(serde_json::Value::from),
        any::<bool>().prop_map(serde_json::Value::from),
        words().prop_map(serde_json::Value::from),
    ];
    prop::collection::btree_map("[a-z]{1,4}", leaf, 0..3)
        .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect()))
}

/// A turn of an OpenAI conversation; calls come with their answers.
fn turn(n: usize) -> impl Strategy<Value = Vec<serde_json::Value>> {
    let said = words().prop_map(|text| vec![json!({ "role": "user", "content": text })]);
    let answered = words().prop_map(|text| vec![json!({ "role": "assistant", "content": text })]);
    let called = (value(), value(), words()).prop_map(move |(one, two, result)| {
        let call = |k: usize, arguments: &serde_json::Value| {
            json!({ "id": format!("call_{n}_{k}"), "type": "function", "function": { "name": format!("tool{k}"), "arguments": arguments.to_string() } })
        };
        vec![
            json!({ "role": "assistant", "content": null, "tool_calls": [call(0, &one), call(1, &two)] }),
            json!({ "role": "tool", "tool_call_id": format!("call_{n}_0"), "content": result }),
            json!({ "role": "tool", "tool_call_id": format!("call_{n}_1"), "content": one.to_string() }),
        ]
    });
    prop_oneof![said, answered, called]
}

fn conversation() -> impl Strategy<Value = Vec<serde_json::Value>> {
    (words(), turn(0), turn(1), turn(2)).prop_map(|(system, one, two, three)| {
        let mut out = vec![json!({ "role": "system", "content": system })];
        out.extend(one.into_iter().chain(two).chain(three));
        out
    })
}

/// All that is said, in order: one line each.
fn lines(request: &Request) -> Vec<String> {
    let mut out = Vec::new();
    for message in request.messages() {
        for part in message.parts.iter().cloned().map(placeless) {
            out.push(match part {
                Part::Text(text) => format!("{} {:?}", message.role, text.as_str()),
                Part::ToolCall(call) => {
                    format!("call {} {} {}", call.id, call.name, call.arguments.as_str())
                }
                Part::ToolResult(result) => {
                    let words: Vec<String> = result
                        .parts
                        .iter()
                        .map(|part| match part {
                            Part::Text(text) => {
                                match serde_json::from_str::<serde_json::Value>(text.as_str()) {
                                    Ok(value) => value.to_string(),
                                    Err(_) => text.as_str().to_owned(),
                                }
                            }
                            other => format!("{other:?}"),
                        })
                        .collect();
                    format!("result {} {words:?}", result.call)
                }
                other => format!("{other:?}"),
            });
        }
    }
    out
}

proptest! {
    #[test]
    fn what_openai_says_comes_back_from_gemini(messages in conversation(), temperature in 0.0f64..2.0, max in 1u32..9999) {
        let body = json!({ "model": "m", "messages": messages, "temperature": temperature, "max_tokens": max }).to_string();
        let first = of_openai(Operation::Chat, &body);
        let there = outgoing(&first, format(Dialect::Gemini, Operation::Chat), "gemini-2.5-flash", false).unwrap();
        prop_assert!(there.dropped.is_empty(), "{:?}", there.dropped);
        let second = request(GENERATE, std::str::from_utf8(&there.body).unwrap());
        prop_assert_eq!(lines(&second), lines(&first));
        let back = outgoing(&second, format(Dialect::OpenAi, Operation::Chat), "m", false).unwrap();
        prop_assert!(back.dropped.is_empty(), "{:?}", back.dropped);
        let third = of_openai(Operation::Chat, std::str::from_utf8(&back.body).unwrap());
        prop_assert_eq!(lines(&third), lines(&first));
        let wire = crate::wire::wire(Dialect::OpenAi).unwrap();
        prop_assert_eq!(wire.settings(&third).unwrap(), wire.settings(&first).unwrap());
    }

    #[test]
    fn a_reply_comes_back(text in words(), thought in words(), arguments in value(), input in 0u64..9999, output in 50u64..9999, reasoning in 0u64..50) {
        let body = json!({
            "id": "i", "model": "m", "created": 7,
            "choices": [{ "index": 0, "finish_reason": "tool_calls", "message": {
                "role": "assistant", "content": text, "reasoning_content": thought,
                "tool_calls": [{ "id": "call_1", "type": "function", "function": { "name": "f", "arguments": arguments.to_string() } }]
            } }],
            "usage": { "prompt_tokens": input, "completion_tokens": output, "completion_tokens_details": { "reasoning_tokens": reasoning } }
        }).to_string();
        let there = translated(&body, Dialect::OpenAi, Dialect::Gemini);
        let back = translated(std::str::from_utf8(&there.raw).unwrap(), Dialect::Gemini, Dialect::OpenAi);
        let first = reply(Dialect::OpenAi, &body);
        prop_assert_eq!(parts_of(&there), parts_of(&first));
        prop_assert_eq!(parts_of(&back), parts_of(&first));
        prop_assert_eq!((back.usage, back.id, back.model), (first.usage, first.id, first.model));
    }

    #[test]
    fn damaged_payloads_never_panic(which in 0usize..3, at in 0usize..4000, byte in any::<u8>(), gone in 0usize..20) {
        let mut bytes = [CHAT, REPLY, STREAM][which].as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        let end = (at + gone).min(bytes.len());
        bytes.drain(at..end);
        prop_assert!(fuzzing::request(Dialect::Gemini, &bytes));
        prop_assert!(fuzzing::reply(Dialect::Gemini, &bytes));
        prop_assert!(fuzzing::stream(Dialect::Gemini, &bytes));
    }
}
