//! Requests for responses.

use super::*;
use serde_json::json;
use weir_message::{MediaKind, Part, Role, Source, TextForm, ToolKind};

#[test]
fn a_request_is_read_with_all_its_texts_and_where_they_stand() {
    let request = request(REQUEST);
    let want = [
        "system: Be brief.\nNever guess.",
        "system: Speak of weirs.",
        "user: What is in \"this\" picture? ü 😀",
        "reasoning: a tool knows",
        "arguments: {\"who\":\"Bob \\\"B\\\" Brown\"}",
        "arguments: LOOK AT BOB",
        "tool: a weir",
        "tool: heard",
        "tool: weir",
        "tool: https://weirs.example",
        "tool: print('Bob')",
        "tool: Bob\n",
        "assistant: It is a weir.",
        "refusal: No more.",
        "user: Again — übrigens",
        // Beside what is said.
        "field: a.pdf",
        "field: https://papers.example/b.pdf",
        "field: look",
        "field: shout",
        "field: https://pictures.example/bob.png",
        "field: https://weirs.example",
        "assistant: Weirs",
        "field: look",
        "definition: Looks.",
        "field: shout",
        "definition: Shouts.",
        "field: look",
        "field: seen",
        "input: auto",
        "field: ann",
        "field: u-1",
    ];
    assert_eq!(roles(request.texts()), want);
    request.each_text(|at| {
        let range = at.text.at.clone().unwrap();
        let literal = &REQUEST[range.start as usize..range.end as usize];
        assert_eq!(serde_json::from_str::<String>(literal).unwrap(), at.text.as_str());
        assert_eq!(at.text.form == TextForm::Json, at.text.as_str().starts_with('{'));
    });
    assert_eq!(
        (request.model(), request.head.stream, request.head.include_usage),
        ("gpt-5-mini", true, true),
        "the last event of a stream always tells usage"
    );
    let mut head = unread(REQUEST);
    read_head(&mut head).unwrap();
    assert_eq!((head.head, head.body), (request.head.clone(), Body::Unread));
}

#[test]
fn what_the_model_did_in_a_row_is_one_turn() {
    let request = request(REQUEST);
    let turns = request.messages();
    let roles: Vec<&str> = turns.iter().map(|turn| turn.role.name()).collect();
    let want = [
        "system",
        "developer",
        "user",
        "assistant",
        "tool",
        "tool",
        "tool",
        "tool",
        "assistant",
        "tool",
        "user",
    ];
    assert_eq!(roles, want);
    let [Part::Reasoning(thought), Part::Sealed(sealed), Part::ToolCall(look), Part::ToolCall(shout)] =
        &turns[3].parts[..]
    else {
        panic!("{:?}", turns[3])
    };
    assert_eq!((thought.signature.as_deref(), &**sealed), (Some("c2VhbGVk"), "bW9yZQ=="));
    assert_eq!((&*look.id, &*look.name, &*shout.id, &*shout.name), ("call_1", "look", "call_2", "shout"));
    let Part::ToolResult(heard) = &turns[5].parts[0] else { panic!("no result") };
    assert_eq!((&*heard.call, heard.parts.len()), ("call_2", 2));
    let [Part::Other { kind, texts, .. }] = &turns[9].parts[..] else { panic!("{:?}", turns[9]) };
    assert_eq!((&**kind, texts.len()), ("item_reference", 0));
    let media: Vec<(MediaKind, &Source, Option<&str>)> = turns[2]
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::Media(media) => Some((media.kind, &media.source, media.media_type.as_deref())),
            _ => None,
        })
        .collect();
    let want = [
        (MediaKind::Image, &Source::Base64("iVBORw0KGgo=".into()), Some("image/png")),
        (MediaKind::Document, &Source::Base64("JVBERi0=".into()), Some("application/pdf")),
        (MediaKind::Document, &Source::Url("https://papers.example/b.pdf".into()), None),
        (MediaKind::Image, &Source::File("file_7".into()), None),
        (MediaKind::Audio, &Source::Base64("UklGRg==".into()), Some("wav")),
    ];
    assert_eq!(media, want);
    assert!(
        turns[2]
            .parts
            .iter()
            .any(|part| matches!(part, Part::CachePoint(point) if point.ttl.as_deref() == Some("30m")))
    );
    let kinds: Vec<(ToolKind, &str)> =
        request.chat().unwrap().tools.iter().map(|tool| (tool.kind, &*tool.name)).collect();
    let want =
        [(ToolKind::Function, "look"), (ToolKind::Custom, "shout"), (ToolKind::Provider, "web_search")];
    assert_eq!(kinds, want);
}

#[test]
fn input_may_be_words_or_items_or_lie_with_the_provider() {
    let cases: [(&str, &[&str]); 9] = [
        (r#"{"input":"hi"}"#, &["user: hi"]),
        (r#"{"input":[{"role":"user","content":"hi"}]}"#, &["user: hi"]),
        (
            r#"{"input":[{"type":"message","role":"user","content":["a",{"text":"b"}]}]}"#,
            &["user: a", "user: b"],
        ),
        (r#"{"previous_response_id":"resp_1"}"#, &[]),
        (r#"{"input":null,"conversation":"conv_1","instructions":"I."}"#, &["system: I."]),
        (
            r#"{"prompt":{"id":"p","variables":{"a":"x","b":{"type":"input_text","text":"y"},"c":{"type":"input_image","image_url":"u"}}}}"#,
            &["user: x", "user: y", "field: u"],
        ),
        // What has no form here cannot hide its words.
        (
            r#"{"input":[{"type":"new_thing","id":"x_1","deep":[{"words":"seen","n":1,"call_id":"c"}],"output":{"a":"too"}}]}"#,
            &["tool: seen", "tool: too"],
        ),
        (
            r#"{"input":[{"role":"user","content":[{"type":"sticker","text":"seen","more":{"x":"too"}}]}]}"#,
            &["user: seen", "user: too"],
        ),
        (
            r#"{"input":[{"type":"image_generation_call","id":"ig","result":"aWJt","revised_prompt":"a weir"}]}"#,
            &["tool: a weir"],
        ),
    ];
    for (body, want) in cases {
        assert_eq!(roles(request(body).texts()), want, "{body}");
    }
}

#[test]
fn what_cannot_be_read_names_its_field_and_quotes_nothing() {
    let item = |fields: &str| format!(r#"{{"input":[{{"role":"user","content":"SECRET"}},{{{fields}}}]}}"#);
    let cases = [
        (r#"{"model":"SECRET"}"#.to_owned(), None),
        (r#"{"input":7,"x":"SECRET"}"#.into(), Some("input")),
        (r#"{"input":"SECRET","Input":"b"}"#.into(), Some("input")),
        (r#"{"input":"SECRET","stream":"yes"}"#.into(), Some("stream")),
        (r#"{"input":"SECRET","instructions":["a"]}"#.into(), Some("instructions")),
        (r#"{"input":"SECRET","tools":{}}"#.into(), Some("tools")),
        (item(r#""type":"message","content":"b""#), Some("input[1]")),
        (item(r#""role":"tool","content":"b""#), Some("input[1].role")),
        (item(r#""role":"user","content":7"#), Some("input[1].content")),
        (item(r#""role":"user","content":"a","content":"b""#), Some("input[1].content")),
        (
            item(r#""role":"user","content":[{"type":"input_text","text":7}]"#),
            Some("input[1].content[0].text"),
        ),
        (item(r#""type":"custom_tool_call","input":{}"#), Some("input[1].input")),
        (r#"{"input":["SECRET"]}"#.into(), Some("input[0]")),
        (r#"{"input":[{"role":"user","content":"\ud800 SECRET"}]}"#.into(), Some("input[0].content")),
        (format!(r#"{{"input":[],"x":{}}}"#, "[".repeat(100_000)), None),
    ];
    for (body, param) in cases {
        let fault = decode(&mut unread(&body)).unwrap_err();
        let shown = body.get(..80).unwrap_or(&body);
        assert_eq!(
            (fault.code, fault.param.as_deref()),
            (ErrorCode::BadRequest, param),
            "{shown}: {fault:?}"
        );
        assert!(!format!("{fault:?}").contains("SECRET"), "{fault:?}");
    }
}

#[test]
fn a_turn_is_added_as_an_item_and_later_edits_stay() {
    let cases = [
        (
            r#"{"input": "write to bob", "model":"m"}"#,
            r#"{"input": [{"content":"First.","role":"system"},{"role":"user","content":"write to BOB"},{"content":"Last.","role":"user"}], "model":"m"}"#,
        ),
        (
            r#"{"input":[ {"role":"user","content":"write to bob"} ]}"#,
            r#"{"input":[ {"content":"First.","role":"system"},{"role":"user","content":"write to BOB"} ,{"content":"Last.","role":"user"}]}"#,
        ),
    ];
    for (body, want) in cases {
        let mut request = request(body);
        request.add_message(Role::System, "First.", true);
        let bob = request.texts().iter().find(|(_, _, text)| text.contains("bob")).unwrap().0;
        assert!(request.set_text(bob, "write to BOB"));
        request.add_message(Role::User, "Last.", false);
        // The order of an added item's fields is nobody's business.
        let parsed = |json: &[u8]| serde_json::from_slice::<Value>(json).unwrap();
        assert_eq!(parsed(&request.outgoing().unwrap()), parsed(want.as_bytes()));
        assert_eq!(roles(request.texts()), ["system: First.", "user: write to BOB", "user: Last."]);
    }
    let mut bare = request(r#"{"previous_response_id":"r"}"#);
    bare.add_message(Role::User, "Go on.", false);
    let want = json!({ "previous_response_id": "r", "input": [{ "content": "Go on.", "role": "user" }] });
    assert_eq!(serde_json::from_slice::<Value>(&bare.outgoing().unwrap()).unwrap(), want);
}

#[test]
fn to_a_provider_of_responses_the_bytes_pass_with_edits_and_its_model() {
    let mut request = request(REQUEST);
    let out = outgoing(&request, RESPONSE, "gpt-5-mini", true).unwrap();
    assert_eq!((out.path.as_str(), &out.body), ("/responses", &request.raw));
    request.set_text(14, "Last.");
    let out = outgoing(&request, RESPONSE, "lab", true).unwrap().body;
    let want = REQUEST.replace("gpt-5-mini", "lab").replace("\"Again — übrigens\"", "\"Last.\"");
    assert_eq!(out, want);
}

#[test]
fn to_a_provider_of_chats_it_is_a_chat() {
    let body = json!({
        "model": "fast",
        "instructions": "Be brief.",
        "input": [
            { "role": "user", "content": [
                { "type": "input_text", "text": "What is this?" },
                { "type": "input_image", "image_url": "https://pictures.example/a.png", "detail": "low" },
            ] },
            { "type": "reasoning", "id": "rs", "summary": [{ "type": "summary_text", "text": "hm" }], "encrypted_content": "sig" },
            { "type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}" },
            { "type": "function_call", "call_id": "c2", "name": "hear", "arguments": "{\"a\":1}" },
            { "type": "function_call_output", "call_id": "c1", "output": "a weir" },
            { "type": "function_call_output", "call_id": "c2", "output": [{ "type": "input_text", "text": "water" }] },
        ],
        "tools": [{ "type": "function", "name": "look", "description": "Looks.", "parameters": { "type": "object" }, "strict": true }],
        "tool_choice": { "type": "function", "name": "look" },
        "text": { "format": { "type": "json_schema", "name": "seen", "schema": { "type": "object" }, "strict": true }, "verbosity": "low" },
        "reasoning": { "effort": "low" },
        "max_output_tokens": 80,
        "truncation": "disabled",
        "background": false,
        "store": false,
        "stream": true,
    });
    let out = outgoing(&request(&body.to_string()), CHAT, "m", false).unwrap();
    assert_eq!(out.path, "/chat/completions");
    let dropped: Vec<(&str, bool)> = out.dropped.iter().map(|one| (one.feature, one.matters)).collect();
    assert_eq!(dropped, [("store", false), ("verbosity", false)]);
    let got: Value = serde_json::from_slice(&out.body).unwrap();
    let want = json!({
        "model": "m",
        "messages": [
            { "role": "system", "content": "Be brief." },
            { "role": "user", "content": [
                { "type": "text", "text": "What is this?" },
                { "type": "image_url", "image_url": { "url": "https://pictures.example/a.png", "detail": "low" } },
            ] },
            {
                "role": "assistant", "content": null, "reasoning_content": "hm",
                "reasoning_details": [{ "type": "reasoning.text", "signature": "sig" }],
                "tool_calls": [
                    { "id": "c1", "type": "function", "function": { "name": "look", "arguments": "{}" } },
                    { "id": "c2", "type": "function", "function": { "name": "hear", "arguments": "{\"a\":1}" } },
                ],
            },
            { "role": "tool", "tool_call_id": "c1", "content": "a weir" },
            { "role": "tool", "tool_call_id": "c2", "content": "water" },
        ],
        "tools": [{ "type": "function", "function": { "name": "look", "description": "Looks.", "parameters": { "type": "object" }, "strict": true } }],
        "max_completion_tokens": 80,
        "tool_choice": { "type": "function", "function": { "name": "look" } },
        "response_format": { "type": "json_schema", "json_schema": { "name": "seen", "schema": { "type": "object" }, "strict": true } },
        "reasoning_effort": "low",
        "stream": true,
        "stream_options": { "include_usage": true },
    });
    assert_eq!(got, want);
}

#[test]
fn what_only_a_provider_of_responses_has_matters_elsewhere() {
    let matters = |fields: &str| {
        let body = format!(r#"{{"input":[{{"role":"user","content":"hi"}}],{fields}}}"#);
        let out = outgoing(&request(&body), CHAT, "m", false).unwrap();
        out.dropped.iter().filter(|one| one.matters).map(|one| one.feature).collect::<Vec<_>>()
    };
    let cases = [
        (r#""previous_response_id":"resp_1""#, vec!["previous_response_id"]),
        (r#""previous_response_id":null"#, vec![]),
        (r#""conversation":{"id":"conv_1"}"#, vec!["conversation"]),
        (r#""prompt":{"id":"pmpt_1"}"#, vec!["prompt"]),
        (r#""background":true"#, vec!["background"]),
        (r#""tools":[{"type":"web_search"}]"#, vec!["provider tools"]),
        (r#""tool_choice":{"type":"web_search_preview"}"#, vec!["tool_choice"]),
        (
            r#""tool_choice":"required","include":["reasoning.encrypted_content"],"metadata":{},"user":"u""#,
            vec![],
        ),
    ];
    for (fields, want) in cases {
        assert_eq!(matters(fields), want, "{fields}");
    }
    for items in
        [r#"{"type":"item_reference","id":"msg_1"}"#, r#"{"type":"web_search_call","action":{"query":"x"}}"#]
    {
        let body = format!(r#"{{"input":[{{"role":"user","content":"hi"}},{items}]}}"#);
        let out = outgoing(&request(&body), CHAT, "m", false).unwrap();
        assert!(out.dropped.iter().any(|one| one.matters), "{items}");
    }
}

#[test]
fn a_wish_of_the_wrong_type_names_its_field() {
    let cases = [
        (r#""max_output_tokens":"many""#, "max_output_tokens"),
        (r#""temperature":"hot""#, "temperature"),
        (r#""tool_choice":"maybe""#, "tool_choice"),
        (r#""tool_choice":{"type":"function"}"#, "tool_choice"),
        (r#""text":{"format":{"type":"json_schema"}}"#, "text.format"),
        (r#""text":7"#, "text"),
        (r#""reasoning":{"effort":"enormous"}"#, "reasoning.effort"),
        (r#""parallel_tool_calls":1"#, "parallel_tool_calls"),
    ];
    for (field, param) in cases {
        let fault =
            outgoing(&request(&format!(r#"{{"input":"hi",{field}}}"#)), CHAT, "m", false).unwrap_err();
        assert_eq!((fault.code, fault.param.as_deref()), (ErrorCode::BadRequest, Some(param)), "{field}");
    }
}
