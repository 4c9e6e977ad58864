//! Features of requests as clients of the Responses API write them.

use super::requests::{PIXEL, SCHEMA};
use bytes::Bytes;
use serde_json::{Value, json};

/// A request with the feature of this name; `None` if the API has no word for it.
pub(super) fn body(feature: &str) -> Option<Bytes> {
    let mut body = json!({ "model": "m", "input": "hello" });
    for (field, value) in fields(feature)?.as_object()? {
        body[field] = value.clone();
    }
    Some(Bytes::from(body.to_string()))
}

fn says(role: &str, text: &str) -> Value {
    json!({ "role": role, "content": text })
}

fn shows(part: Value) -> Value {
    json!({ "input": [{ "role": "user", "content": [{ "type": "input_text", "text": "hello" }, part] }] })
}

fn tool(name: &str) -> Value {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    json!({ "type": "function", "name": name, "description": "Looks.", "parameters": schema })
}

fn call(id: &str, who: &str) -> Value {
    let arguments = json!({ "who": who }).to_string();
    json!({ "type": "function_call", "call_id": id, "name": "look", "arguments": arguments })
}

fn result(id: &str, output: Value) -> Value {
    json!({ "type": "function_call_output", "call_id": id, "output": output })
}

fn after_hello(items: impl IntoIterator<Item = Value>) -> Value {
    let input: Vec<Value> = std::iter::once(says("user", "hello")).chain(items).collect();
    json!({ "input": input, "tools": [tool("look")] })
}

fn fields(feature: &str) -> Option<Value> {
    let pixel = format!("data:image/png;base64,{PIXEL}");
    Some(match feature {
        "system prompt" => json!({ "instructions": "be brief" }),
        "several turns" => {
            json!({ "input": [says("user", "hello"), says("assistant", "one"), says("user", "two")] })
        }
        "several texts in a turn" => shows(json!({ "type": "input_text", "text": "there" })),
        "image by address" => {
            shows(json!({ "type": "input_image", "image_url": "https://example.com/a.png" }))
        }
        "image inside" => shows(json!({ "type": "input_image", "image_url": pixel })),
        "document inside" => shows(json!({
            "type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0=",
        })),
        "sound inside" => {
            shows(json!({ "type": "input_audio", "input_audio": { "data": "UklGRg==", "format": "wav" } }))
        }
        "tools" => json!({ "tools": [tool("look")] }),
        "tool choice: none" => json!({ "tools": [tool("look")], "tool_choice": "none" }),
        "tool choice: any" => json!({ "tools": [tool("look")], "tool_choice": "required" }),
        "tool choice: one by name" => json!({
            "tools": [tool("look"), tool("other")], "tool_choice": { "type": "function", "name": "look" },
        }),
        "no parallel calls" => json!({ "tools": [tool("look")], "parallel_tool_calls": false }),
        "tool calls and results" => after_hello([call("c1", "bob"), result("c1", json!("tall"))]),
        "parallel calls and results" => after_hello([
            call("c1", "bob"),
            call("c2", "eve"),
            result("c1", json!("tall")),
            result("c2", json!("small")),
        ]),
        "image in a tool's result" => {
            let output = json!([{ "type": "input_text", "text": "see" }, { "type": "input_image", "image_url": pixel }]);
            after_hello([call("c1", "bob"), result("c1", output)])
        }
        "any JSON as the answer" => json!({ "text": { "format": { "type": "json_object" } } }),
        "JSON by a schema as the answer" => {
            let schema: Value = serde_json::from_str(SCHEMA).unwrap();
            json!({ "text": { "format": { "type": "json_schema", "name": "who", "schema": schema, "strict": true } } })
        }
        "reasoning: effort" => json!({ "reasoning": { "effort": "high" } }),
        "reasoning of earlier turns, signed" => {
            let thought = json!({ "type": "summary_text", "text": "hm" });
            let reasoning = json!({ "type": "reasoning", "id": "rs_1", "summary": [thought], "encrypted_content": "c2ln" });
            json!({ "input": [says("user", "hello"), reasoning, says("assistant", "one"), says("user", "two")] })
        }
        "cache hint" => json!({ "input": [{ "role": "user", "content": [
            { "type": "input_text", "text": "hello", "prompt_cache_breakpoint": { "mode": "explicit" } },
        ] }] }),
        "most tokens" => json!({ "max_output_tokens": 77 }),
        "temperature" => json!({ "temperature": 0.5 }),
        "top_p" => json!({ "top_p": 0.5 }),
        "log-probabilities" => json!({ "include": ["message.output_text.logprobs"], "top_logprobs": 2 }),
        "end user" => json!({ "safety_identifier": "u1" }),
        "service tier" => json!({ "service_tier": "auto" }),
        _ => return None,
    })
}
