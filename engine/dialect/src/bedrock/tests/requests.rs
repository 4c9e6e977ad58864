//! Requests, in and out, and the paths they come by.

use super::*;

#[test]
fn a_conversation_is_read_with_all_its_texts_and_where_they_stand() {
    let request = request(IN, CONVERSE);
    let want = [
        (TextRole::System, "Be brief.\nNever guess."),
        (TextRole::User, "What is in \"this\" picture? ü 😀"),
        (TextRole::User, "About weirs."),
        (TextRole::User, "Locks lift boats."),
        (TextRole::User, "Is it safe?"),
        (TextRole::Reasoning, "a tool knows"),
        (TextRole::Assistant, "I look."),
        (TextRole::Arguments, r#"{"who": "Bob \"B\" Brown", "n": 1.50}"#),
        (TextRole::Arguments, "{}"),
        (TextRole::Tool, "a weir"),
        (TextRole::Tool, r#"{"found": true}"#),
        (TextRole::Tool, "no such one"),
        (TextRole::Assistant, "A weir."),
        (TextRole::User, "Again — übrigens"),
        // Beside what is said.
        (TextRole::Field, "Rivers 1"),
        (TextRole::Field, "notes"),
        (TextRole::Field, "s3://films/weir.mp4"),
        (TextRole::Field, "look"),
        (TextRole::Field, "look"),
        (TextRole::Assistant, "Rivers"),
        (TextRole::Assistant, "a weir"),
        (TextRole::Field, "https://example.com/rivers"),
        (TextRole::Assistant, "example.com"),
        (TextRole::Field, "look"),
        (TextRole::Definition, "Looks."),
        (TextRole::Field, r#"{"type":"object","required":["a"]}"#),
        (TextRole::Field, "answer_1"),
        (TextRole::Field, "blue"),
    ];
    let mut got = Vec::new();
    request.each_text(|at| {
        got.push((at.role, at.text.as_str()));
        let range = at.text.at.clone().unwrap();
        let spelt = &CONVERSE[range.start as usize..range.end as usize];
        match at.text.form {
            TextForm::Document => assert_eq!(spelt, at.text.as_str()),
            _ => assert_eq!(serde_json::from_str::<String>(spelt).unwrap(), at.text.as_str()),
        }
    });
    assert_eq!(got, want);
    assert_eq!((request.model(), request.head.stream), ("amazon.nova-pro-v1:0", true));
    let chat = request.chat().unwrap();
    let roles: Vec<&str> = chat.messages.iter().map(|turn| turn.role.name()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool", "assistant", "user"]);
    assert_eq!(
        (chat.tools.len(), chat.tools[0].cache.is_some(), chat.tools[0].strict),
        (1, true, Some(true))
    );
    let mut head = unread(IN, Operation::Chat, CONVERSE);
    read_head(&mut head).unwrap();
    assert_eq!(head.head, request.head);
}

#[test]
fn a_block_of_a_kind_that_is_not_known_is_words_all_the_same() {
    let request = request(IN, r#"{"messages":[{"role":"user","content":[{"sticker":{"words":"seen"}}]}]}"#);
    assert_eq!(request.all_text(), r#"{"words":"seen"}"#);
    let (_, dropped) = carried(&request, Dialect::OpenAi, "m");
    assert_eq!(dropped, ["content!"]);
}

#[test]
fn what_is_wrong_is_refused_with_its_field_and_not_quoted() {
    let turn = |content: &str| format!(r#"{{"messages":[{{"role":"user","content":{content}}}]}}"#);
    let cases = [
        (r#"{"messages":"SECRET"}"#.to_owned(), Some("messages")),
        (r#"{"system":"SECRET"}"#.into(), Some("system")),
        (r#"{"messages":[{"content":[]}]}"#.into(), Some("messages[0]")),
        (r#"{"messages":[{"role":"SECRET","content":[]}]}"#.into(), Some("messages[0].role")),
        (turn(r#""SECRET""#), Some("messages[0].content")),
        (turn(r#"["SECRET"]"#), Some("messages[0].content[0]")),
        (turn(r#"[{"text":7}]"#), Some("messages[0].content[0].text")),
        (turn(r#"[{"text":"a","text":"b"}]"#), Some("messages[0].content[0].text")),
        (turn(r#"[{"image":{"format":"png"}}]"#), Some("messages[0].content[0].image")),
        (turn(r#"[{"toolResult":{"content":[]}}]"#), Some("messages[0].content[0].toolResult")),
        (turn(r#"[{"toolUse":{"name":"SECRET"}}]"#), Some("messages[0].content[0].toolUse")),
        (r#"{"toolConfig":{"tools":[{"toolSpec":{}}]}}"#.into(), Some("toolConfig.tools[0].toolSpec")),
    ];
    for (body, param) in cases {
        let fault = decode(&mut unread(IN, Operation::Chat, &body)).unwrap_err();
        assert_eq!((fault.code, fault.param.as_deref()), (ErrorCode::BadRequest, param), "{body}: {fault:?}");
        assert!(!format!("{fault:?}").contains("SECRET"), "{fault:?}");
    }
    let carried = [
        (r#""inferenceConfig":{"maxTokens":"many"}"#, "inferenceConfig"),
        (r#""toolConfig":{"tools":[],"toolChoice":{}}"#, "toolConfig"),
        (r#""additionalModelRequestFields":{"thinking":{"type":"hard"}}"#, "additionalModelRequestFields"),
        (r#""outputConfig":{"effort":"much"}"#, "outputConfig"),
        (r#""serviceTier":"flex""#, "serviceTier"),
    ];
    for (fields, param) in carried {
        let request = request(IN, &format!(r#"{{"messages":[],{fields}}}"#));
        let fault = outgoing(&request, format(Dialect::OpenAi), "m", false).unwrap_err();
        assert_eq!((fault.code, fault.param.as_deref()), (ErrorCode::BadRequest, Some(param)));
    }
    let contents = [
        r#"[{"toolResult":{"toolUseId":"x","content":[]}}]"#,
        r#"[{"image":{"format":"png","source":{"bytes":"not base64!"}}}]"#,
    ];
    for content in contents {
        let fault = outgoing(&request(IN, &turn(content)), format(Dialect::OpenAi), "m", false).unwrap_err();
        assert_eq!(fault.param.as_deref(), Some("messages[0].content"), "{content}");
    }
}

#[test]
fn the_same_dialect_gets_the_same_bytes_but_for_what_changed() {
    let mut request = request(IN, CONVERSE);
    let same = outgoing(&request, format(IN), CLAUDE, true).unwrap();
    assert_eq!(same.path, "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse-stream");
    assert_eq!((&same.body, same.body.as_ptr()), (&request.raw, request.raw.as_ptr()));
    request.set_model("another");
    request.set_text(13, "Last.");
    // Inside a document an edit is escaped.
    assert!(request.edit_text(7, &[Replace::new(9..12, "\"X\"")]));
    let out = outgoing(&request, format(IN), "m", true).unwrap().body;
    let want = CONVERSE
        .replace("\"Again — übrigens\"", "\"Last.\"")
        .replace(r#"{"who": "Bob "#, r#"{"who": "\"X\" "#);
    assert_eq!(out, want);
}

#[test]
fn added_turns_keep_roles_taking_turns() {
    let body = r#"{"messages":[{"role":"user","content":[{"text":"a"}]}]}"#;
    let mut request = request(IN, body);
    request.add_message(Role::User, "b", false);
    request.add_message(Role::User, "c", false);
    request.add_message(Role::Assistant, "d", false);
    request.add_message(Role::Assistant, "e", false);
    request.add_message(Role::User, "0", true);
    request.add_message(Role::System, "s", true);
    request.add_message(Role::Developer, "t", false);
    let out = parsed(&outgoing(&request, format(IN), "m", false).unwrap().body);
    let turn = |role: &str, words: &[&str]| {
        let blocks: Vec<Value> = words.iter().map(|&word| json!({ "text": word })).collect();
        json!({ "role": role, "content": blocks })
    };
    assert_eq!(out["messages"], json!([turn("user", &["0", "a", "b", "c"]), turn("assistant", &["d", "e"])]));
    assert_eq!(out["system"], json!([{ "text": "s" }, { "text": "t" }]));
    let mut empty = self::request(IN, "{}");
    empty.add_message(Role::User, "a", true);
    let out = parsed(&outgoing(&empty, format(IN), "m", false).unwrap().body);
    assert_eq!(out, json!({ "messages": [turn("user", &["a"])] }));
}

#[test]
fn a_conversation_goes_to_openai_with_what_it_has_a_place_for() {
    let (body, dropped) = carried(&request(IN, CONVERSE), Dialect::OpenAi, "upstream");
    let messages = &body["messages"];
    assert_eq!(messages[0], json!({ "role": "system", "content": "Be brief.\nNever guess." }));
    assert_eq!(messages[1]["content"][1]["image_url"]["url"], "data:image/jpeg;base64,/9j/4AAQ");
    assert_eq!(
        messages[2]["tool_calls"][0]["function"]["arguments"],
        r#"{"who": "Bob \"B\" Brown", "n": 1.50}"#
    );
    assert_eq!(messages[2]["reasoning_content"], "a tool knows");
    assert_eq!(messages[3]["tool_call_id"], "tooluse_1");
    assert_eq!(messages[4], json!({ "role": "tool", "tool_call_id": "tooluse_2", "content": "no such one" }));
    assert_eq!(body["tools"][0]["function"]["strict"], true);
    assert_eq!((&body["tool_choice"], &body["max_completion_tokens"]), (&json!("required"), &json!(3000)));
    assert_eq!((&body["temperature"], &body["top_p"]), (&json!(0.3), &json!(0.9)));
    assert_eq!(body["stop"], json!(["END", "\n\n"]));
    assert_eq!(
        body["response_format"]["json_schema"]["schema"],
        json!({ "type": "object", "required": ["a"] })
    );
    assert_eq!((&body["service_tier"], &body["reasoning_effort"]), (&json!("priority"), &json!("medium")));
    for lost in
        ["guardrailConfig!", "video!", "images in tool results!", "top_k", "performanceConfig", "metadata"]
    {
        assert!(dropped.iter().any(|name| name == lost), "{lost}: {dropped:?}");
    }
}

#[test]
fn an_openai_chat_comes_to_claude_with_what_it_takes() {
    let chat = json!({
        "messages": [
            { "role": "system", "content": "Be brief." },
            { "role": "user", "content": [
                { "type": "text", "text": "Look:" },
                { "type": "image_url", "image_url": { "url": "data:image/png;base64,iVBORw0KGgo=" } },
                { "type": "file", "file": { "filename": "Q3_report (1).pdf", "file_data": "data:application/pdf;base64,JVBERi0=" } },
            ] },
            { "role": "assistant", "content": "", "tool_calls": [
                { "id": "c1", "type": "function", "function": { "name": "look", "arguments": "{\"a\":1}" } },
                { "id": "c2", "type": "function", "function": { "name": "look", "arguments": "not json" } },
            ] },
            { "role": "tool", "tool_call_id": "c1", "content": "seen" },
            { "role": "tool", "tool_call_id": "c2", "content": "" },
            { "role": "user", "content": "Go on" },
        ],
        "tools": [{ "type": "function", "function": { "name": "look", "parameters": { "properties": {} } } }],
        "tool_choice": "auto", "parallel_tool_calls": false, "max_tokens": 9000, "stop": ["END", " "],
        "reasoning_effort": "low", "user": "u", "top_k": 5, "temperature": 1.5, "seed": 1, "n": 1, "stream": true,
    });
    let (body, dropped) = carried(&request(Dialect::OpenAi, &chat.to_string()), IN, CLAUDE);
    let want = json!({
        "messages": [
            { "role": "user", "content": [
                { "text": "Look:" },
                { "image": { "format": "png", "source": { "bytes": "iVBORw0KGgo=" } } },
                { "document": { "format": "pdf", "name": "Q3 report (1)", "source": { "bytes": "JVBERi0=" } } },
            ] },
            { "role": "assistant", "content": [
                { "toolUse": { "toolUseId": "c1", "name": "look", "input": { "a": 1 } } },
                { "toolUse": { "toolUseId": "c2", "name": "look", "input": { "input": "not json" } } },
            ] },
            { "role": "user", "content": [
                { "toolResult": { "toolUseId": "c1", "content": [{ "text": "seen" }] } },
                { "toolResult": { "toolUseId": "c2", "content": [] } },
                { "text": "Go on" },
            ] },
        ],
        "system": [{ "text": "Be brief." }],
        "toolConfig": { "tools": [{ "toolSpec": {
            "name": "look", "inputSchema": { "json": { "type": "object", "properties": {} } },
        } }] },
        "inferenceConfig": { "maxTokens": 9000, "temperature": 1, "stopSequences": ["END"] },
        "additionalModelRequestFields": {
            "tool_choice": { "type": "auto", "disable_parallel_tool_use": true },
            "top_k": 5, "metadata": { "user_id": "u" },
        },
    });
    // A turn behind an unsigned call cannot be thought about.
    assert_eq!(body, want);
    assert_eq!(dropped, ["reasoning_effort", "seed", "stop!", "temperature"]);
}

#[test]
fn what_only_some_models_take_goes_to_them_under_their_own_names() {
    let chat = r#"{"messages":[{"role":"user","content":"a"}],"top_k":7,"reasoning_effort":"high"}"#;
    let request = request(Dialect::OpenAi, chat);
    let more = |model: &str| {
        let (body, dropped) = carried(&request, IN, model);
        (body["additionalModelRequestFields"].clone(), dropped)
    };
    let (claude, _) = more("anthropic.claude-3-7-sonnet-20250219-v1:0");
    assert_eq!(claude["thinking"], json!({ "type": "enabled", "budget_tokens": 24_576 }));
    let nova = json!({
        "reasoningConfig": { "type": "enabled", "maxReasoningEffort": "high" },
        "inferenceConfig": { "topK": 7 },
    });
    assert_eq!(more("amazon.nova-2-lite-v1:0"), (nova, vec![]));
    assert_eq!(more("openai.gpt-oss-20b-1:0"), (json!({ "reasoning_effort": "high" }), vec!["top_k".into()]));
    assert_eq!(more("meta.llama4"), (Value::Null, vec!["reasoning_effort".into(), "top_k".into()]));
}

#[test]
fn tools_that_must_not_be_called_are_left_out_or_told_so() {
    let offered = r#""tools":[{"type":"function","function":{"name":"look"}}],"tool_choice":"none""#;
    let plain = format!(r#"{{"messages":[{{"role":"user","content":"a"}}],{offered}}}"#);
    let (body, dropped) = carried(&request(Dialect::OpenAi, &plain), IN, "meta.llama4");
    assert_eq!((body.get("toolConfig"), dropped), (None, vec![]));
    let turns = r#"{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"look","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":"b"}"#;
    let used = format!(r#"{{"messages":[{turns}],{offered}}}"#);
    let (body, dropped) = carried(&request(Dialect::OpenAi, &used), IN, CLAUDE);
    assert_eq!(body["additionalModelRequestFields"]["tool_choice"], json!({ "type": "none" }));
    assert_eq!((body["toolConfig"]["tools"].as_array().unwrap().len(), dropped), (1, vec![]));
    let (_, dropped) = carried(&request(Dialect::OpenAi, &used), IN, "meta.llama4");
    assert_eq!(dropped, ["tool_choice!"]);
    // Earlier turns call what nobody offers now: the API wants to know it.
    let (body, _) =
        carried(&request(Dialect::OpenAi, &format!(r#"{{"messages":[{turns}]}}"#)), IN, "meta.llama4");
    assert_eq!(body["toolConfig"]["tools"][0]["toolSpec"]["name"], "look");
}

#[test]
fn an_answer_by_a_schema_is_native_or_the_input_of_a_tool() {
    let schema = r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}"#;
    let chat = format!(
        r#"{{"messages":[{{"role":"user","content":"a"}}],"response_format":{{"type":"json_schema","json_schema":{{"name":"x","schema":{schema}}}}}}}"#
    );
    let (body, _) = carried(&request(Dialect::OpenAi, &chat), IN, CLAUDE);
    let native = &body["outputConfig"]["textFormat"]["structure"]["jsonSchema"];
    assert_eq!((&native["name"], body.get("toolConfig")), (&json!("x"), None));
    assert_eq!(parsed(native["schema"].as_str().unwrap().as_bytes())["required"], json!(["a"]));
    let (body, _) = carried(&request(Dialect::OpenAi, &chat), IN, "amazon.nova-pro-v1:0");
    let name = &body["toolConfig"]["tools"][0]["toolSpec"]["name"];
    assert_eq!(body["toolConfig"]["toolChoice"]["tool"]["name"], *name);
    // What the tool is called with is the answer, whole and streamed.
    let name = name.as_str().unwrap();
    let whole = format!(
        r#"{{"output":{{"message":{{"content":[{{"toolUse":{{"toolUseId":"t","name":"{name}","input":{{"a":"b"}}}}}}]}}}},"stopReason":"tool_use"}}"#
    );
    assert_eq!(says(&reply(&whole)), [r#"text {"a":"b"}"#, "Some(Stop)"]);
    let start =
        format!(r#"{{"contentBlockIndex":0,"start":{{"toolUse":{{"toolUseId":"t","name":"{name}"}}}}}}"#);
    let streamed = [
        frame("contentBlockStart", &start),
        frame(
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"toolUse":{"input":"{\"a\":\"b\"}"}}}"#,
        ),
        frame("contentBlockStop", r#"{"contentBlockIndex":0}"#),
        frame("messageStop", r#"{"stopReason":"tool_use"}"#),
    ];
    let sent = translated(IN, Dialect::OpenAi, &streamed.concat());
    assert_eq!(says(&collected(Dialect::OpenAi, &sent)), [r#"text {"a":"b"}"#, "Some(Stop)"]);
}

#[test]
fn paths_stand_below_the_prefix_and_at_the_root() {
    let post = |path: &str| classify(&http::Method::POST, path, &HeaderMap::new());
    for (path, operation, stream) in [
        ("/bedrock/model/m/converse", Operation::Chat, false),
        ("/bedrock/model/m/converse-stream", Operation::Chat, true),
        ("/model/m/converse", Operation::Chat, false),
        ("/bedrock/model/m/count-tokens", Operation::Count, false),
    ] {
        let route = post(path).unwrap();
        let got = (route.dialect, route.operation, route.stream, route.item.as_deref());
        assert_eq!(got, (IN, operation, stream, Some("m")), "{path}");
    }
    assert_eq!(post("/bedrock/model/m/invoke"), Err(Unclassified::UnknownPath));
}
