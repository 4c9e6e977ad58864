//! Requests of clients: read, edited, sent on.

use super::*;
use weir_message::{
    CachePoint, ErrorCode, MediaKind, Part, Role, Source, Text, TextForm, TextRole, ToolKind,
};

#[test]
fn a_chat_is_read_with_all_its_texts_and_where_they_stand() {
    let request = request(CHAT);
    let want = [
        (TextRole::System, "Be brief.\nNever guess."),
        (TextRole::System, "The house is \"Weir\"."),
        (TextRole::User, "What is in this picture? ü 😀"),
        (TextRole::User, "Rules"),
        (TextRole::User, "Of the river."),
        (TextRole::User, "No boats."),
        (TextRole::User, "Piece one."),
        (TextRole::User, "Piece two."),
        (TextRole::User, "https://example.com/s"),
        (TextRole::User, "Found"),
        (TextRole::User, "A weir holds water."),
        (TextRole::Reasoning, "a tool knows"),
        (TextRole::Assistant, "Let me look."),
        (TextRole::Arguments, r#"{"who": "Bob \"B\" Brown", "n": 1.0}"#),
        (TextRole::Arguments, "{}"),
        (TextRole::Tool, "a weir"),
        (TextRole::Tool, "nobody there"),
        (TextRole::Assistant, r#"{"query": "weir"}"#),
        (TextRole::Assistant, "Weirs"),
        (TextRole::Assistant, "It is a weir."),
        (TextRole::User, "Again — übrigens"),
        // Beside what is said.
        (TextRole::Field, "https://example.com/a.png"),
        (TextRole::Assistant, "No boats."),
        (TextRole::Assistant, "Rules"),
        (TextRole::Field, "look"),
        (TextRole::Field, "look"),
        (TextRole::Field, "web_search"),
        (TextRole::Field, "https://example.com/w"),
        (TextRole::Field, "look"),
        (TextRole::Definition, "Looks."),
        (TextRole::Field, "web_search"),
        (TextRole::Field, "u-1"),
    ];
    let mut got = Vec::new();
    request.each_text(|at| {
        got.push((at.role, at.text.as_str()));
        let range = at.text.at.clone().unwrap();
        let literal = &CHAT[range.start as usize..range.end as usize];
        match at.text.form {
            TextForm::Document => assert_eq!(literal, at.text.as_str()),
            _ => assert_eq!(serde_json::from_str::<String>(literal).unwrap(), at.text.as_str()),
        }
    });
    assert_eq!(got, want);
    let chat = request.chat().unwrap();
    let roles: Vec<&str> = chat.messages.iter().map(|message| message.role.name()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool", "assistant", "user"]);
    let media: Vec<String> = chat.messages[1]
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::Media(media) => {
                Some(format!("{} {} {:?}", media.kind, media.cite, media.media_type.as_deref()))
            }
            _ => None,
        })
        .collect();
    let want = [
        r#"image false Some("image/png")"#,
        "image false None",
        r#"document true Some("text/plain")"#,
        r#"document false Some("application/pdf")"#,
        r#"document false Some("text/plain")"#,
        r#"document false Some("text/plain")"#,
        r#"document false Some("text/plain")"#,
    ];
    assert_eq!(media, want);
    assert_eq!(chat.messages[0].parts[2], Part::CachePoint(CachePoint { ttl: Some("1h".into()) }));
    let Part::ToolResult(failed) = &chat.messages[3].parts[1] else { panic!("no result") };
    assert!(failed.is_error && failed.call == "toolu_2");
    let Part::Other { kind, raw, .. } = &chat.messages[4].parts[1] else { panic!("no other") };
    assert!(kind == "web_search_tool_result" && raw.contains("encrypted_content"));
    let tools: Vec<(ToolKind, &str)> = chat.tools.iter().map(|tool| (tool.kind, &*tool.name)).collect();
    assert_eq!(tools, [(ToolKind::Function, "look"), (ToolKind::Provider, "web_search")]);
    assert!(chat.tools[0].schema.is_some() && chat.tools[0].cache.is_some());
    let names: Vec<&str> = request.params.0.iter().map(|param| &*param.name).collect();
    assert_eq!(names, ["max_tokens", "temperature", "tool_choice", "stop_sequences", "metadata", "x_vendor"]);
    assert_eq!((request.model(), request.head.stream), ("claude-sonnet-4-5", true));
    let mut head = unread(Dialect::Anthropic, CHAT);
    read_head(&mut head).unwrap();
    assert_eq!(head.head, request.head);
}

#[test]
fn each_source_of_media_is_known() {
    let body = r#"{"messages":[{"role":"user","content":[
        {"type":"image","source":{"type":"file","file_id":"f1"}},
        {"type":"document","source":{"type":"url","url":"https://example.com/a.pdf"}},
        {"type":"document","source":{"type":"content","content":"all"}}]}]}"#;
    let request = request(body);
    let sources: Vec<(MediaKind, &Source)> = request.messages()[0]
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::Media(media) => Some((media.kind, &media.source)),
            _ => None,
        })
        .collect();
    assert_eq!(sources[0], (MediaKind::Image, &Source::File("f1".into())));
    assert_eq!(sources[1], (MediaKind::Document, &Source::Url("https://example.com/a.pdf".into())));
    assert!(matches!(sources[2].1, Source::Text(text) if text.as_str() == "all"));
}

#[test]
fn words_cannot_hide_in_blocks_of_another_type() {
    let body = r#"{"messages":[{"role":"user","content":[
        {"type":"sticker","text":"a","title":"b","content":[{"type":"text","text":"c"},{"type":"x","lines":["d"]}]},
        {"type":"web_fetch_tool_result","tool_use_id":"1","content":{"type":"web_fetch_result","content":
          {"type":"document","source":{"type":"text","media_type":"text/plain","data":"e"},"title":"f"}}},
        {"type":"code_execution_tool_result","tool_use_id":"2","content":{"type":"code_execution_result","stdout":"g","stderr":"h","content":[]}},
        {"type":"image","source":{"type":"url","url":"u"},"text":"i"}]}]}"#;
    let request = request(body);
    let mut got: Vec<String> = request.texts().iter().map(|(_, _, text)| text.to_string()).collect();
    got.sort();
    assert_eq!(got, ["a", "b", "c", "d", "e", "f", "g", "h", "i", "u"]);
}

#[test]
fn what_is_malformed_is_refused_with_the_field_and_not_quoted() {
    let block = |block: &str| format!(r#"{{"messages":[{{"role":"user","content":[{block}]}}]}}"#);
    let cases = [
        (r#"{"model":"SECRET"}"#.to_owned(), None),
        (r#"{"messages":"SECRET"}"#.into(), Some("messages")),
        (r#"{"messages":[{"content":"SECRET"}]}"#.into(), Some("messages[0]")),
        (r#"{"messages":[{"role":"SECRET","content":"a"}]}"#.into(), Some("messages[0].role")),
        (r#"{"messages":[{"role":"tool","content":"SECRET"}]}"#.into(), Some("messages[0].role")),
        (r#"{"messages":[{"role":"user"}]}"#.into(), Some("messages[0]")),
        (r#"{"messages":[{"role":"user","content":null}]}"#.into(), Some("messages[0].content")),
        (
            r#"{"messages":[{"role":"user","content":"a","Content":"SECRET"}]}"#.into(),
            Some("messages[0].content"),
        ),
        (r#"{"messages":[],"system":7}"#.into(), Some("system")),
        (r#"{"messages":[],"tools":[{"description":"SECRET"}]}"#.into(), Some("tools[0]")),
        (
            r#"{"messages":[],"tools":[{"name":"a","input_schema":"SECRET"}]}"#.into(),
            Some("tools[0].input_schema"),
        ),
        (block(r#""SECRET""#), Some("messages[0].content[0]")),
        (block(r#"{"text":"SECRET"}"#), Some("messages[0].content[0]")),
        (block(r#"{"type":"text"}"#), Some("messages[0].content[0]")),
        (block(r#"{"type":"text","text":7}"#), Some("messages[0].content[0].text")),
        (
            block(r#"{"type":"tool_use","id":"a","name":"b","input":"SECRET"}"#),
            Some("messages[0].content[0].input"),
        ),
        (block(r#"{"type":"tool_use","name":"b","input":{}}"#), Some("messages[0].content[0]")),
        (block(r#"{"type":"tool_result","content":"SECRET"}"#), Some("messages[0].content[0]")),
        (
            block(r#"{"type":"tool_result","tool_use_id":"a","content":[{"type":"text"}]}"#),
            Some("messages[0].content[0].content[0]"),
        ),
        (block(r#"{"type":"image"}"#), Some("messages[0].content[0]")),
        (block(r#"{"type":"image","source":{"type":"SECRET","data":"a"}}"#), Some("messages[0].content[0]")),
        (block(r#"{"type":"document","source":{"type":"base64"}}"#), Some("messages[0].content[0]")),
        (block(r#"{"type":"thinking","signature":"SECRET"}"#), Some("messages[0].content[0]")),
        (block(r#"{"type":"redacted_thinking"}"#), Some("messages[0].content[0]")),
    ];
    for (body, param) in cases {
        let fault = decode(&mut unread(Dialect::Anthropic, &body)).unwrap_err();
        assert_eq!((fault.code, fault.param.as_deref()), (ErrorCode::BadRequest, param), "{body}: {fault:?}");
        assert!(!format!("{fault:?}").contains("SECRET"), "{fault:?}");
    }
}

#[test]
fn a_turn_is_added_where_the_dialect_has_its_place() {
    let turns = |system: &str| format!(r#"{{{system}"messages":[{{"role":"user","content":"hi"}}]}}"#);
    let cases = [
        ("", Role::System, true, r#"{"messages":[{"role":"user","content":"hi"}],"system":[NEW]}"#),
        (
            r#""system":"","#,
            Role::System,
            true,
            r#"{"system":[NEW],"messages":[{"role":"user","content":"hi"}]}"#,
        ),
        (
            r#""system":"ol\u0064","#,
            Role::Developer,
            true,
            r#"{"system":[NEW,{"type":"text","text":"ol\u0064"}],"messages":[{"role":"user","content":"hi"}]}"#,
        ),
        (
            r#""system":[{"type":"text","text":"old","x":1.0}],"#,
            Role::System,
            false,
            r#"{"system":[{"type":"text","text":"old","x":1.0},NEW],"messages":[{"role":"user","content":"hi"}]}"#,
        ),
        (
            "",
            Role::User,
            false,
            r#"{"messages":[{"role":"user","content":"hi"},{"content":"a \"b\"","role":"user"}]}"#,
        ),
        (
            "",
            Role::Assistant,
            true,
            r#"{"messages":[{"content":"a \"b\"","role":"assistant"},{"role":"user","content":"hi"}]}"#,
        ),
    ];
    for (system, role, front, want) in cases {
        let mut request = request(&turns(system));
        request.add_message(role, "a \"b\"", front);
        let want = want.replace("NEW", r#"{"text":"a \"b\"","type":"text"}"#);
        let sent = request.outgoing().unwrap();
        assert_eq!(json(&sent), json(want.as_bytes()), "{system} {role}");
        // What stood there keeps its spelling.
        let spelt = ["ol\\u0064", "1.0"].into_iter().filter(|spelt| system.contains(spelt));
        spelt.for_each(|spelt| assert!(sent.windows(spelt.len()).any(|part| part == spelt.as_bytes())));
        // Once more, and all is read back.
        request.add_message(role, "again", front);
        let sent = request.outgoing().unwrap();
        let again = self::request(std::str::from_utf8(&sent).unwrap());
        let (mut got, mut added) = (again.texts(), request.texts());
        got.sort_by(|a, b| a.2.cmp(&b.2));
        added.retain(|text| !text.2.is_empty());
        added.sort_by(|a, b| a.2.cmp(&b.2));
        let words = |texts: &[(usize, TextRole, ByteString)]| {
            texts
                .iter()
                .map(|(_, role, text)| format!("{role} {text}").replace("developer", "system"))
                .collect::<Vec<_>>()
        };
        assert_eq!(words(&got), words(&added), "{system} {role}");
    }
}

#[test]
fn to_the_same_dialect_the_bytes_pass_with_edits_spliced_in() {
    let mut request = request(CHAT);
    let out = outgoing(&request, OURS, "claude-sonnet-4-5", true).unwrap();
    assert_eq!((out.body.as_ptr(), out.path.as_str()), (request.raw.as_ptr(), "/v1/messages"));
    assert_eq!(out.headers[0].0, "anthropic-version");
    let arguments = request.texts().iter().position(|text| text.1 == TextRole::Arguments).unwrap();
    request.edit_text(arguments, &[weir_message::Replace::new(9..12, "A\"b")]);
    request.set_text(20, "Last.");
    let out = outgoing(&request, OURS, "claude-x", true).unwrap().body;
    let want = CHAT
        .replace("claude-sonnet-4-5", "claude-x")
        .replace(r#"{"who": "Bob \"B\" Brown", "n": 1.0}"#, r#"{"who": "A\"b \"B\" Brown", "n": 1.0}"#)
        .replace("\"Again — übrigens\"", "\"Last.\"");
    assert_eq!(out, want);
}

/// The message without the places of its texts.
fn bare(request: &Request) -> Vec<weir_message::Message> {
    fn strip(parts: &mut [Part]) {
        let bare = |text: &mut Text| {
            text.at = None;
            // Spelling of JSON may differ.
            if text.form.is_json()
                && let Ok(value) = serde_json::from_str::<Value>(text.as_str())
            {
                text.value = value.to_string().into();
            }
        };
        for part in parts {
            match part {
                Part::Text(text) => bare(text),
                Part::Reasoning(reasoning) => bare(&mut reasoning.text),
                Part::ToolCall(call) => bare(&mut call.arguments),
                Part::ToolResult(result) => strip(&mut result.parts),
                Part::Media(media) => {
                    if let Source::Text(text) = &mut media.source {
                        bare(text);
                    }
                }
                _ => {}
            }
        }
    }
    let mut messages = request.messages().to_vec();
    messages.iter_mut().for_each(|message| strip(&mut message.parts));
    messages
}

#[test]
fn written_anew_a_chat_says_the_same() {
    let request = request(CHAT);
    let mut loss = carry::Loss::default();
    let settings = super::super::wishes::read(&request).unwrap();
    let written = super::super::request::encode(&request, &settings, "claude-sonnet-4-5", &mut loss).unwrap();
    let again = self::request(std::str::from_utf8(&written).unwrap());
    // Steps of tools that the provider runs, its proofs of citations and unknown fields are its own.
    let lost: Vec<_> = loss.list().iter().map(|lost| (lost.feature, lost.matters)).collect();
    let want =
        [("annotations", false), ("content", true), ("provider tools", true), ("unknown fields", false)];
    assert_eq!(lost, want);
    let mut want = bare(&request);
    for message in &mut want {
        message.parts.retain(|part| !matches!(part, Part::Citation(_) | Part::Other { .. }));
    }
    assert_eq!(bare(&again), want);
    let params = ["max_tokens", "temperature", "tool_choice", "stop_sequences", "metadata"];
    for name in params {
        let value =
            |request: &Request| serde_json::from_str::<Value>(request.params.get(name).unwrap()).unwrap();
        assert_eq!(value(&again), value(&request), "{name}");
    }
    assert_eq!(again.chat().unwrap().tools[0].schema, request.chat().unwrap().tools[0].schema);
    assert!(again.head.stream);
}

#[test]
fn paths_tell_what_is_asked() {
    use http::{HeaderMap, HeaderValue, Method};
    let plain = HeaderMap::new();
    let mut versioned = HeaderMap::new();
    versioned.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
    let route = |operation, item: Option<&str>| {
        Ok(Route { dialect: Dialect::Anthropic, operation, item: item.map(Into::into), stream: false })
    };
    let cases = [
        (Method::POST, "/v1/messages", &plain, route(Operation::Chat, None)),
        (Method::POST, "/anthropic/v1/messages", &plain, route(Operation::Chat, None)),
        (Method::POST, "/v1/messages/count_tokens", &plain, route(Operation::Count, None)),
        (Method::GET, "/v1/models", &versioned, route(Operation::Model, None)),
        (Method::GET, "/anthropic/v1/models/a%2Fb", &plain, route(Operation::Model, Some("a/b"))),
        (Method::GET, "/v1/messages", &plain, Err(Unclassified::BadMethod { allow: "POST" })),
        (Method::POST, "/anthropic/v1/chat/completions", &plain, Err(Unclassified::UnknownPath)),
    ];
    for (method, path, headers, want) in cases {
        assert_eq!(classify(&method, path, headers), want, "{method} {path}");
    }
    assert_eq!(classify(&Method::GET, "/v1/models", &plain).unwrap().dialect, Dialect::OpenAi);
    // What nothing answers is refused in the words that the client told.
    assert_eq!(dialect_at("/v1/messages/batches", &versioned), Dialect::Anthropic);
    assert_eq!(dialect_at("/anthropic/v1/what", &plain), Dialect::Anthropic);
    assert_eq!(dialect_at("/v1/what", &plain), Dialect::OpenAi);
}
