//! Requests from one dialect to another: what arrives, and what is told as dropped.

use super::*;
use serde_json::json;
use weir_message::ErrorCode;

/// The body and what was dropped; what matters is marked.
fn sent(from: Dialect, to: WireFormat, model: &str, body: &Value) -> (Value, Vec<String>) {
    let request = request_of(from, &body.to_string());
    let out = outgoing(&request, to, model, true).unwrap_or_else(|fault| panic!("{fault:?}: {body}"));
    let mark = |lost: &Dropped| format!("{}{}", lost.feature, if lost.matters { "!" } else { "" });
    (super::json(&out.body), out.dropped.iter().map(mark).collect())
}

fn to_ours(model: &str, body: Value) -> (Value, Vec<String>) {
    sent(Dialect::OpenAi, OURS, model, &body)
}

fn to_openai(body: Value) -> (Value, Vec<String>) {
    sent(Dialect::Anthropic, OPENAI, "gpt-5", &body)
}

/// A request of OpenAI's with these further fields.
fn asked(fields: Value) -> Value {
    let mut body = json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] });
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

fn tool(name: &str) -> Value {
    json!({ "type": "function", "function": { "name": name, "parameters": { "type": "object", "properties": {} } } })
}

#[test]
fn a_conversation_of_openais_becomes_turns() {
    let (got, lost) = to_ours(
        "claude-3-5-haiku-latest",
        json!({ "model": "m", "messages": [
            { "role": "system", "content": "Be brief." },
            { "role": "developer", "content": [{ "type": "text", "text": "Be kind.", "cache_control": { "type": "ephemeral", "ttl": "1h" } }] },
            { "role": "user", "name": "ann", "content": [
                { "type": "text", "text": "see" },
                { "type": "image_url", "image_url": { "url": "data:image/gif;base64,R0lG", "detail": "low" } },
                { "type": "image_url", "image_url": { "url": "https://example.com/a.png", "detail": "auto" } },
                { "type": "file", "file": { "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0=" } },
                { "type": "file", "file": { "filename": "a.txt", "file_data": "data:text/plain;base64,aGnDqQ==" } },
            ] },
            { "role": "user", "content": "and" },
            { "role": "assistant", "content": "wait", "reasoning_content": "hm",
              "reasoning_details": [{ "type": "reasoning.text", "signature": "c2ln" }, { "type": "reasoning.encrypted", "data": "c2Vh" }],
              "tool_calls": [
                { "id": "call.1", "type": "function", "function": { "name": "look", "arguments": "{\"n\": 1.0}" } },
                { "id": "call_2", "type": "function", "function": { "name": "look", "arguments": "" } },
                { "id": "call_3", "type": "function", "function": { "name": "look", "arguments": "{\"cut" } },
              ] },
            { "role": "tool", "tool_call_id": "call.1", "content": "one" },
            { "role": "tool", "tool_call_id": "call_2", "content": [{ "type": "text", "text": "two" }, { "type": "text", "text": "too" }] },
            { "role": "tool", "tool_call_id": "call_3", "content": "" },
            { "role": "user", "content": "go on" },
            { "role": "assistant", "content": "" },
            { "role": "assistant", "refusal": "No." },
            { "role": "system", "content": "Late." },
        ], "tools": [tool("look")] }),
    );
    assert_eq!(
        got["system"],
        json!([
            { "type": "text", "text": "Be brief." },
            { "type": "text", "text": "Be kind.", "cache_control": { "type": "ephemeral", "ttl": "1h" } },
            { "type": "text", "text": "Late." },
        ])
    );
    let call =
        |id: &str, input: Value| json!({ "type": "tool_use", "id": id, "name": "look", "input": input });
    assert_eq!(
        got["messages"],
        json!([
            { "role": "user", "content": [
                { "type": "text", "text": "see" },
                { "type": "image", "source": { "type": "base64", "media_type": "image/gif", "data": "R0lG" } },
                { "type": "image", "source": { "type": "url", "url": "https://example.com/a.png" } },
                { "type": "document", "source": { "type": "base64", "media_type": "application/pdf", "data": "JVBERi0=" }, "title": "a.pdf" },
                { "type": "document", "source": { "type": "text", "media_type": "text/plain", "data": "hié" }, "title": "a.txt" },
                { "type": "text", "text": "and" },
            ] },
            { "role": "assistant", "content": [
                { "type": "thinking", "thinking": "hm", "signature": "c2ln" },
                { "type": "redacted_thinking", "data": "c2Vh" },
                { "type": "text", "text": "wait" },
                call("call_1", json!({ "n": 1.0 })),
                call("call_2", json!({})),
                call("call_3", json!({ "input": "{\"cut" })),
            ] },
            { "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "call_1", "content": "one" },
                { "type": "tool_result", "tool_use_id": "call_2", "content": [{ "type": "text", "text": "two" }, { "type": "text", "text": "too" }] },
                { "type": "tool_result", "tool_use_id": "call_3", "content": "" },
                { "type": "text", "text": "go on" },
            ] },
            { "role": "assistant", "content": [{ "type": "text", "text": "No." }] },
        ])
    );
    assert_eq!(lost, ["detail", "name", "place of system messages"]);
    // Numbers stay as they are spelt.
    let spelt = to_text(
        "claude-3-5-haiku-latest",
        r#"{"model":"m","temperature":1e-1,"messages":[{"role":"assistant","tool_calls":[{"id":"a","function":{"name":"f","arguments":"{\"n\":1.0e0}"}}]}]}"#,
    );
    assert!(spelt.contains(r#""input":{"n":1.0e0}"#) && spelt.contains(r#""temperature":1e-1"#), "{spelt}");
}

fn to_text(model: &str, body: &str) -> String {
    let request = request_of(Dialect::OpenAi, body);
    String::from_utf8(outgoing(&request, OURS, model, true).unwrap().body.to_vec()).unwrap()
}

#[test]
fn wishes_of_openais_arrive_or_are_told() {
    let old = "claude-3-7-sonnet-latest";
    let cases = [
        (old, json!({}), json!({ "max_tokens": 32_000 }), ""),
        ("claude-3-haiku-20240307", json!({}), json!({ "max_tokens": 4096 }), ""),
        (old, json!({ "max_completion_tokens": 9, "max_tokens": 8 }), json!({ "max_tokens": 9 }), ""),
        (old, json!({ "temperature": 0.5 }), json!({ "max_tokens": 32_000, "temperature": 0.5 }), ""),
        (
            old,
            json!({ "temperature": 1.5 }),
            json!({ "max_tokens": 32_000, "temperature": 1 }),
            "temperature",
        ),
        (
            old,
            json!({ "top_p": 0.5, "top_k": 4 }),
            json!({ "max_tokens": 32_000, "top_p": 0.5, "top_k": 4 }),
            "",
        ),
        (
            old,
            json!({ "temperature": 0.5, "top_p": 0.5 }),
            json!({ "max_tokens": 32_000, "temperature": 0.5 }),
            "top_p",
        ),
        (
            "claude-opus-4-7",
            json!({ "temperature": 0.5, "top_p": 0.5, "top_k": 4 }),
            json!({ "max_tokens": 32_000 }),
            "temperature top_k top_p",
        ),
        ("claude-opus-4-7", json!({ "temperature": 1, "top_p": 1.0 }), json!({ "max_tokens": 32_000 }), ""),
        (old, json!({ "stop": "END" }), json!({ "max_tokens": 32_000, "stop_sequences": ["END"] }), ""),
        (
            old,
            json!({ "stop": ["a", "\n"] }),
            json!({ "max_tokens": 32_000, "stop_sequences": ["a"] }),
            "stop!",
        ),
        (
            old,
            json!({ "user": "u", "service_tier": "default" }),
            json!({ "max_tokens": 32_000, "metadata": { "user_id": "u" }, "service_tier": "standard_only" }),
            "",
        ),
        (
            old,
            json!({ "service_tier": "priority" }),
            json!({ "max_tokens": 32_000, "service_tier": "auto" }),
            "",
        ),
        (old, json!({ "service_tier": "flex" }), json!({ "max_tokens": 32_000 }), "service_tier"),
        (old, json!({ "n": 1, "presence_penalty": 0 }), json!({ "max_tokens": 32_000 }), ""),
        (
            old,
            json!({ "n": 2, "logprobs": true, "seed": 7, "frequency_penalty": 0.1, "logit_bias": {}, "x": 1 }),
            json!({ "max_tokens": 32_000 }),
            "frequency_penalty logit_bias! logprobs! n! seed unknown fields",
        ),
        (
            old,
            json!({ "stream": true, "stream_options": { "include_usage": true } }),
            json!({ "max_tokens": 32_000, "stream": true }),
            "",
        ),
        // Thinking by a number of tokens, and what it rules out.
        (
            old,
            json!({ "reasoning_effort": "low" }),
            json!({ "max_tokens": 32_000, "thinking": { "type": "enabled", "budget_tokens": 1024 } }),
            "",
        ),
        (
            old,
            json!({ "reasoning_effort": "xhigh", "max_tokens": 5000 }),
            json!({ "max_tokens": 5000, "thinking": { "type": "enabled", "budget_tokens": 4999 } }),
            "",
        ),
        (
            old,
            json!({ "reasoning_effort": "high", "max_tokens": 900 }),
            json!({ "max_tokens": 900 }),
            "reasoning_effort",
        ),
        (old, json!({ "reasoning_effort": "none" }), json!({ "max_tokens": 32_000 }), ""),
        (
            old,
            json!({ "reasoning": { "max_tokens": 2000 }, "temperature": 0.5, "top_k": 4, "top_p": 0.97 }),
            json!({ "max_tokens": 32_000, "thinking": { "type": "enabled", "budget_tokens": 2000 }, "top_p": 0.97 }),
            "temperature top_k",
        ),
        // As the model sees fit.
        (
            "claude-opus-4-6",
            json!({ "reasoning_effort": "xhigh" }),
            json!({ "max_tokens": 32_000, "thinking": { "type": "adaptive" }, "output_config": { "effort": "max" } }),
            "",
        ),
        (
            "claude-opus-5",
            json!({ "reasoning_effort": "minimal" }),
            json!({ "max_tokens": 32_000, "thinking": { "type": "adaptive" }, "output_config": { "effort": "low" } }),
            "",
        ),
        (
            "claude-opus-5",
            json!({ "reasoning": { "max_tokens": 9000 } }),
            json!({ "max_tokens": 32_000, "thinking": { "type": "adaptive" }, "output_config": { "effort": "high" } }),
            "",
        ),
        (
            "claude-opus-5",
            json!({ "reasoning_effort": "none" }),
            json!({ "max_tokens": 32_000, "thinking": { "type": "disabled" } }),
            "",
        ),
        ("claude-opus-4-8", json!({ "reasoning_effort": "none" }), json!({ "max_tokens": 32_000 }), ""),
        (
            "claude-opus-5-5",
            json!({ "reasoning_effort": "none" }),
            json!({ "max_tokens": 32_000, "output_config": { "effort": "low" } }),
            "reasoning_effort",
        ),
    ];
    for (model, fields, want, lost) in cases {
        let (mut got, dropped) = to_ours(model, asked(fields.clone()));
        let object = got.as_object_mut().unwrap();
        object.remove("model");
        object.remove("messages");
        assert_eq!((&got, dropped.join(" ").as_str()), (&want, lost), "{model} {fields}");
    }
}

#[test]
fn tools_and_their_choice_arrive() {
    let model = "claude-sonnet-4-5";
    let strict = json!({ "type": "function", "function": { "name": "f", "description": "d", "strict": true,
        "parameters": { "type": "object", "properties": { "a": { "type": "integer", "minimum": 1 } } } } });
    let (got, lost) = to_ours(
        model,
        asked(json!({ "tools": [strict, { "type": "function", "function": { "name": "g" } },
            { "type": "function", "function": { "name": "h", "strict": true, "parameters": { "properties": { "m": { "type": "object" } } } } }] })),
    );
    assert_eq!(
        got["tools"],
        json!([
            { "name": "f", "description": "d", "strict": true, "input_schema": { "type": "object", "additionalProperties": false,
                "properties": { "a": { "type": "integer", "description": "(minimum: 1)" } } } },
            { "name": "g", "input_schema": { "type": "object" } },
            { "name": "h", "input_schema": { "type": "object", "properties": { "m": { "type": "object" } } } },
        ])
    );
    assert_eq!((lost, got.get("tool_choice")), (vec!["strict".to_owned()], None));
    let choice = |fields: Value| {
        let mut body = asked(fields);
        body["tools"] = json!([tool("f")]);
        let (got, lost) = to_ours(model, body);
        (got["tool_choice"].clone(), lost)
    };
    let cases = [
        (json!({ "tool_choice": "auto" }), json!({ "type": "auto" })),
        (json!({ "tool_choice": "none", "parallel_tool_calls": false }), json!({ "type": "none" })),
        (json!({ "tool_choice": "required", "parallel_tool_calls": true }), json!({ "type": "any" })),
        (
            json!({ "tool_choice": { "type": "function", "function": { "name": "f" } }, "parallel_tool_calls": false }),
            json!({ "type": "tool", "name": "f", "disable_parallel_tool_use": true }),
        ),
        (
            json!({ "parallel_tool_calls": false }),
            json!({ "type": "auto", "disable_parallel_tool_use": true }),
        ),
    ];
    for (fields, want) in cases {
        assert_eq!(choice(fields.clone()), (want, vec![]), "{fields}");
    }
    // A model that is made to call a tool does not think; one that always thinks cannot be made to.
    let forced = json!({ "tools": [tool("f")], "tool_choice": "required", "reasoning_effort": "high" });
    let (got, lost) = to_ours("claude-sonnet-4-6", asked(forced.clone()));
    assert_eq!((got.get("thinking"), lost), (None, vec!["reasoning_effort".to_owned()]));
    let (got, lost) = to_ours("claude-fable-5-1", asked(forced));
    assert_eq!((&got["tool_choice"]["type"], lost), (&json!("auto"), vec!["tool_choice!".to_owned()]));
    // Tools of earlier turns are known to the API, and not offered.
    let earlier = json!({ "model": "m", "messages": [
        { "role": "assistant", "tool_calls": [{ "id": "a", "function": { "name": "f", "arguments": "{}" } }] },
        { "role": "tool", "tool_call_id": "a", "content": "x" }] });
    let (got, _) = to_ours(model, earlier);
    assert_eq!(got["tools"], json!([{ "name": "f", "input_schema": { "type": "object" } }]));
    assert_eq!(got["tool_choice"], json!({ "type": "none" }));
    let others =
        json!({ "tools": [{ "type": "custom", "custom": { "name": "c" } }, { "type": "web_search" }] });
    let (got, lost) = to_ours(model, asked(others));
    assert_eq!(
        (got.get("tools"), lost),
        (None, vec!["custom tools!".to_owned(), "provider tools!".to_owned()])
    );
}

#[test]
fn an_answer_in_a_form_is_native_where_the_model_has_it_and_else_a_tools_input() {
    let schema = json!({ "type": "object", "properties": { "z": { "type": "string" }, "a": { "type": "integer" } }, "required": ["z"] });
    let format = |schema: &Value| json!({ "type": "json_schema", "json_schema": { "name": "n", "description": "What.", "schema": schema } });
    let body = |format: Value, rest: Value| {
        let mut body = asked(rest);
        body["response_format"] = format;
        body
    };
    let closed = json!({ "type": "json_schema", "schema": { "type": "object", "additionalProperties": false,
        "properties": { "z": { "type": "string" }, "a": { "type": "integer" } }, "required": ["z"] } });
    let (got, lost) =
        to_ours("claude-sonnet-4-5", body(format(&schema), json!({ "reasoning_effort": "low" })));
    assert_eq!(got["output_config"], json!({ "format": closed }));
    assert_eq!((got.get("tools"), &got["thinking"]["type"], lost.len()), (None, &json!("enabled"), 0));
    let (got, _) = to_ours("claude-opus-5", body(format(&schema), json!({ "reasoning_effort": "low" })));
    assert_eq!(got["output_config"], json!({ "effort": "low", "format": closed }));
    // The order of fields is the order of the answer.
    let spelt = r#"{"model":"m","messages":[],"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object","properties":{"z":{"type":"string"},"a":{"type":"string"}}}}}}"#;
    assert!(to_text("claude-opus-5", spelt).contains(r#""properties":{"z":{"#));

    let answer = |got: &Value| {
        let tools = got["tools"].as_array().unwrap();
        let last = tools.last().unwrap();
        assert!(last["description"].as_str().unwrap().contains("final answer"));
        (tools.len(), last["name"].as_str().unwrap().to_owned(), last["input_schema"].clone())
    };
    let (got, lost) =
        to_ours("claude-3-7-sonnet-latest", body(format(&schema), json!({ "reasoning_effort": "low" })));
    assert_eq!(answer(&got), (1, "weir_answer".to_owned(), schema.clone()));
    assert_eq!(
        got["tool_choice"],
        json!({ "type": "tool", "name": "weir_answer", "disable_parallel_tool_use": true })
    );
    assert_eq!((got.get("thinking"), lost), (None, vec!["reasoning_effort".to_owned()]));
    let any = json!({ "type": "json_object" });
    let (got, _) = to_ours("claude-opus-4-8", body(any.clone(), json!({ "tools": [tool("f")] })));
    assert_eq!(answer(&got), (2, "weir_answer".to_owned(), json!({ "type": "object" })));
    assert_eq!(got["tool_choice"], json!({ "type": "any" }));
    // Where a tool must be called first, or none can be made to.
    let (got, _) = to_ours(
        "claude-opus-4-8",
        body(any.clone(), json!({ "tools": [tool("f")], "tool_choice": "required" })),
    );
    assert_eq!((got["tools"].as_array().unwrap().len(), &got["tool_choice"]), (1, &json!({ "type": "any" })));
    let (got, lost) = to_ours("claude-opus-5-5", body(any, json!({})));
    assert_eq!((answer(&got).0, &got["tool_choice"]["type"], lost.len()), (1, &json!("auto"), 0));
    let (_, lost) = to_ours("claude-3-opus-latest", body(format(&json!({ "type": "array" })), json!({})));
    assert_eq!(lost, ["response_format!"]);
    let (got, lost) = to_ours("claude-opus-5", body(json!({ "type": "text" }), json!({})));
    assert_eq!((got.get("tools"), got.get("output_config"), lost.len()), (None, None, 0));
}

#[test]
fn later_instructions_keep_their_place_where_the_model_hears_them() {
    let body = json!({ "model": "m", "messages": [
        { "role": "system", "content": "First." }, { "role": "user", "content": "a" },
        { "role": "system", "content": "Then." }, { "role": "assistant", "content": "b" },
        { "role": "user", "content": "c" }, { "role": "system", "content": "Last." }] });
    let (got, lost) = to_ours("claude-opus-4-8", body.clone());
    let roles: Vec<&str> =
        got["messages"].as_array().unwrap().iter().map(|turn| turn["role"].as_str().unwrap()).collect();
    assert_eq!((roles, lost.len()), (vec!["user", "system", "assistant", "user", "system"], 0));
    let (got, lost) = to_ours("claude-opus-4-7", body);
    assert_eq!((got["system"].as_array().unwrap().len(), lost.len()), (3, 1));
}

#[test]
fn a_call_whose_reasoning_is_not_proven_is_gone_on_with_without_thinking() {
    let body = |details: Value| {
        asked(json!({ "reasoning_effort": "low", "tools": [tool("f")], "messages": [
            { "role": "user", "content": "a" },
            { "role": "assistant", "reasoning_content": "hm", "reasoning_details": details,
              "tool_calls": [{ "id": "c", "function": { "name": "f", "arguments": "{}" } }] },
            { "role": "tool", "tool_call_id": "c", "content": "x" }] }))
    };
    let signed = json!([{ "type": "reasoning.text", "signature": "s" }]);
    let (got, _) = to_ours("claude-sonnet-4-5", body(signed));
    assert_eq!(got["thinking"]["type"], "enabled");
    let (got, lost) = to_ours("claude-sonnet-4-5", body(json!([])));
    assert_eq!(
        (got.get("thinking"), lost),
        (None, vec!["reasoning_content".to_owned(), "reasoning_effort".to_owned()])
    );
    let (got, _) = to_ours("claude-sonnet-4-6", body(json!([])));
    assert_eq!(got["thinking"]["type"], "adaptive");
}

#[test]
fn what_openai_sends_and_no_api_takes_is_refused_with_the_field() {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"a"},{"role":"tool","tool_call_id":"x","content":"y"}]}"#;
    let fault = outgoing(&request_of(Dialect::OpenAi, body), OURS, "claude-opus-5", false).unwrap_err();
    assert_eq!((fault.code, fault.param.as_deref()), (ErrorCode::BadRequest, Some("messages[1]")));
    let audio = json!({ "type": "input_audio", "input_audio": { "data": "AAAA", "format": "wav" } });
    let file = json!({ "type": "file", "file": { "file_id": "f" } });
    let sheet =
        json!({ "type": "file", "file": { "file_data": "data:application/vnd.ms-excel;base64,AAAA" } });
    for (part, lost) in [(audio, "audio!"), (file, "documents!"), (sheet, "documents!")] {
        let body = json!({ "model": "m", "messages": [{ "role": "user", "content": [part] }] });
        assert_eq!(to_ours("claude-opus-5", body).1, [lost]);
    }
}

#[test]
fn a_request_of_ours_arrives_in_openais_words() {
    let body = super::json(CHAT.as_bytes());
    let (got, lost) = to_openai(body);
    let texts: Vec<String> = got["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|turn| {
            format!("{} {}", turn["role"].as_str().unwrap(), turn["tool_call_id"].as_str().unwrap_or(""))
        })
        .collect();
    assert_eq!(
        texts,
        ["system ", "user ", "assistant ", "tool toolu_1", "tool toolu_2", "assistant ", "user "]
    );
    let call = &got["messages"][2]["tool_calls"][0];
    assert_eq!((&call["id"], &call["function"]["name"]), (&json!("toolu_1"), &json!("look")));
    let arguments = call["function"]["arguments"].as_str().unwrap();
    assert_eq!(super::json(arguments.as_bytes()), json!({ "who": "Bob \"B\" Brown", "n": 1.0 }));
    assert_eq!(got["messages"][2]["reasoning_content"], "a tool knows");
    assert_eq!(got["messages"][1]["content"][1]["image_url"]["url"], "data:image/png;base64,iVBORw0KGgo=");
    assert_eq!((&got["max_completion_tokens"], &got["temperature"]), (&json!(2048), &json!(0.1)));
    assert_eq!((&got["stop"], &got["user"], &got["stream"]), (&json!(["END"]), &json!("u-1"), &json!(true)));
    assert_eq!((&got["tool_choice"], &got["parallel_tool_calls"]), (&json!("auto"), &json!(false)));
    assert_eq!(got["tools"].as_array().unwrap().len(), 1);
    let want = [
        "annotations",
        "cache_control",
        "citations",
        "content!",
        "images in tool results!",
        "provider tools!",
        "unknown fields",
    ];
    assert_eq!(lost, want);
}

#[test]
fn wishes_of_ours_arrive_or_are_told() {
    let cases = [
        (
            json!({ "thinking": { "type": "enabled", "budget_tokens": 9000 } }),
            json!({ "reasoning_effort": "high" }),
            "",
        ),
        (json!({ "thinking": { "type": "adaptive" } }), json!({}), ""),
        (
            json!({ "thinking": { "type": "adaptive" }, "output_config": { "effort": "medium" } }),
            json!({ "reasoning_effort": "medium" }),
            "",
        ),
        (json!({ "output_config": { "effort": "max" } }), json!({ "reasoning_effort": "xhigh" }), ""),
        (
            json!({ "thinking": { "type": "disabled" }, "output_config": { "effort": "low" } }),
            json!({ "reasoning_effort": "none" }),
            "output_config.effort",
        ),
        (json!({ "tool_choice": { "type": "any" } }), json!({ "tool_choice": "required" }), ""),
        (
            json!({ "tool_choice": { "type": "tool", "name": "f" } }),
            json!({ "tool_choice": { "type": "function", "function": { "name": "f" } } }),
            "",
        ),
        (json!({ "service_tier": "standard_only" }), json!({ "service_tier": "default" }), ""),
        (
            json!({ "output_config": { "format": { "type": "json_schema", "schema": { "type": "object" } } } }),
            json!({ "response_format": { "type": "json_schema", "json_schema": { "name": "answer", "schema": { "type": "object" }, "strict": true } } }),
            "",
        ),
        (
            json!({ "output_format": { "type": "json_schema", "schema": { "type": "object" } } }),
            json!({ "response_format": { "type": "json_schema", "json_schema": { "name": "answer", "schema": { "type": "object" }, "strict": true } } }),
            "",
        ),
        (
            json!({ "top_k": 4, "cache_control": { "type": "ephemeral" }, "container": "c", "x": 1 }),
            json!({}),
            "cache_control container! top_k unknown fields",
        ),
        (
            json!({ "tools": [{ "name": "f", "input_schema": { "type": "object" }, "defer_loading": true, "allowed_callers": ["code_execution_20250825"], "input_examples": [{}] }] }),
            json!({ "tools": [{ "type": "function", "function": { "name": "f", "parameters": { "type": "object" } } }] }),
            "allowed_callers! defer_loading input_examples",
        ),
    ];
    for (fields, want, lost) in cases {
        let mut body = asked(fields.clone());
        body["max_tokens"] = json!(9);
        let (mut got, dropped) = to_openai(body);
        let object = got.as_object_mut().unwrap();
        assert_eq!(object.remove("max_completion_tokens"), Some(json!(9)));
        object.remove("model");
        object.remove("messages");
        assert_eq!((&got, dropped.join(" ").as_str()), (&want, lost), "{fields}");
    }
}

#[test]
fn what_we_would_refuse_is_refused_before_it_is_carried() {
    let turn = |block: Value| json!({ "model": "m", "max_tokens": 9, "system": "s", "messages": [{ "role": "user", "content": [block] }] });
    let field = |name: &str, value: Value| {
        let mut body = asked(json!({ "max_tokens": 9 }));
        body[name] = value;
        body
    };
    let image = |data: &str| json!({ "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": data } });
    let cases = [
        (turn(json!({ "type": "tool_result", "tool_use_id": "x", "content": "y" })), "messages[0].content"),
        (turn(image("no base64!")), "messages[0].content"),
        (turn(image("AAAAA")), "messages[0].content"),
        (turn(image("AA===")), "messages[0].content"),
        (field("max_tokens", json!("many")), "max_tokens"),
        (field("temperature", json!("hot")), "temperature"),
        (field("stop_sequences", json!("END")), "stop_sequences"),
        (field("tool_choice", json!({ "type": "tool" })), "tool_choice"),
        (field("tool_choice", json!("auto")), "tool_choice"),
        (field("thinking", json!({ "type": "enabled" })), "thinking"),
        (field("output_config", json!({ "effort": "utmost" })), "output_config"),
        (field("output_config", json!({ "format": { "type": "xml" } })), "output_config"),
        (field("metadata", json!("u")), "metadata"),
    ];
    for (body, param) in cases {
        let request = request(&body.to_string());
        let fault = outgoing(&request, OPENAI, "gpt-5", false).unwrap_err();
        assert_eq!((fault.code, fault.param.as_deref()), (ErrorCode::BadRequest, Some(param)), "{body}");
        assert!(outgoing(&request, OURS, "m", false).is_ok(), "the provider has the last word: {body}");
    }
    for good in ["", "AAAA", "AAA=", "AA", "+/+/"] {
        assert!(outgoing(&request(&turn(image(good)).to_string()), OPENAI, "m", false).is_ok(), "{good}");
    }
}

#[test]
fn counting_tokens_asks_only_for_what_is_counted() {
    let body = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}],"temperature":1}"#;
    let mut request = unread(Dialect::Anthropic, body);
    request.operation = Operation::Count;
    decode(&mut request).unwrap();
    assert_eq!(request.all_text(), "hi");
    let ours = WireFormat { operation: Operation::Count, ..OURS };
    let out = outgoing(&request, ours, "m", false).unwrap();
    assert_eq!((out.path.as_str(), out.body), ("/v1/messages/count_tokens", request.raw.clone()));
    let openai = WireFormat { operation: Operation::Count, ..OPENAI };
    assert_eq!(outgoing(&request, openai, "m", false).unwrap_err().code, ErrorCode::Unsupported);
    let mut counted = Reply::new(200, r#"{"input_tokens":14}"#);
    decode_reply(&mut counted, Dialect::Anthropic, Operation::Count).unwrap();
    assert_eq!((counted.body, counted.usage), (ReplyBody::Count(14), Some(Usage::default())));
}
