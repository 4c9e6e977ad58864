//! Cohere's format, by recorded payloads and by properties.

use crate::*;
use proptest::prelude::*;
use serde_json::{Value, json};
use weir_message::{Event, EventKind, Part, Role, Source, TextForm, TextRole};

const CHAT: &str = include_str!("testdata/chat.json");
const REPLY: &str = include_str!("testdata/reply.json");
const STREAM: &str = include_str!("testdata/stream.sse");
const EMBED: &str = include_str!("testdata/embed.json");
const EMBED_REPLY: &str = include_str!("testdata/embed_reply.json");
const RERANK: &str = include_str!("testdata/rerank.json");
const RERANK_REPLY: &str = include_str!("testdata/rerank_reply.json");

const IN: Dialect = Dialect::Cohere;

fn unread(dialect: Dialect, operation: Operation, body: &str) -> Request {
    let mut request = Request::new("r", dialect, operation, "");
    request.raw = Bytes::copy_from_slice(body.as_bytes());
    request
}

fn request(dialect: Dialect, operation: Operation, body: &str) -> Request {
    let mut request = unread(dialect, operation, body);
    decode(&mut request).unwrap_or_else(|fault| panic!("{fault:?}: {body}"));
    request
}

fn reply(dialect: Dialect, operation: Operation, body: &str) -> Reply {
    let mut reply = Reply::new(200, Bytes::copy_from_slice(body.as_bytes()));
    decode_reply(&mut reply, dialect, operation).unwrap_or_else(|fault| panic!("{fault:?}: {body}"));
    reply
}

fn identity() -> Identity {
    Identity { id: "mine".into(), model: "fast".into(), created: 7, ..Identity::default() }
}

fn format(dialect: Dialect, operation: Operation) -> WireFormat {
    WireFormat { dialect, operation }
}

fn parsed(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(bytes)))
}

/// A request as it goes to a provider of another dialect, and what was dropped: `!` marks what matters.
fn carried(request: &Request, to: Dialect) -> (Value, Vec<String>) {
    let to = WireFormat { dialect: to, operation: request.operation };
    let out = outgoing(request, to, "upstream", false).unwrap();
    let name = |one: &Dropped| format!("{}{}", one.feature, if one.matters { "!" } else { "" });
    (parsed(&out.body), out.dropped.iter().map(name).collect())
}

fn events(level: Level, stream: &str) -> Vec<Event> {
    let mut decoder = StreamDecoder::new(IN, Operation::Chat, level).unwrap();
    decoder.push(Bytes::copy_from_slice(stream.as_bytes()));
    std::iter::from_fn(|| decoder.next_event().unwrap()).collect()
}

/// A stream of one dialect as the client of another gets it.
fn translated(from: Dialect, to: Dialect, stream: &[u8]) -> Vec<u8> {
    let mut decoder =
        StreamDecoder::translating(format(from, Operation::Chat), format(to, Operation::Chat), identity())
            .unwrap();
    let mut encoder = StreamEncoder::new(to, Operation::Chat, identity());
    let mut out = Vec::new();
    for piece in stream.chunks(5) {
        decoder.push(Bytes::copy_from_slice(piece));
        while let Some(event) = decoder.next_event().unwrap() {
            out.extend_from_slice(&encoder.send(&event));
        }
    }
    for event in decoder.finish().unwrap().last {
        out.extend_from_slice(&encoder.send(&event));
    }
    out
}

fn collected(dialect: Dialect, stream: &[u8]) -> Reply {
    let mut decoder = StreamDecoder::new(dialect, Operation::Chat, Level::Text).unwrap();
    let mut collector = Collector::new(dialect, Operation::Chat, 1 << 16);
    decoder.push(Bytes::copy_from_slice(stream));
    while let Some(event) = decoder.next_event().unwrap() {
        collector.push(&event).unwrap();
    }
    collector.finish().unwrap()
}

/// What a reply says, whatever dialect it came in.
fn says(reply: &Reply) -> Vec<String> {
    let mut out = Vec::new();
    for part in reply.choices().iter().flat_map(|choice| &choice.parts) {
        out.push(match part {
            Part::Text(text) => format!("text {}", text.as_str()),
            Part::Reasoning(reasoning) => format!("reasoning {}", reasoning.text.as_str()),
            Part::ToolCall(call) => format!("call {} {} {}", call.id, call.name, call.arguments.as_str()),
            Part::Citation(cited) => format!("cited {:?} {:?}", cited.title, cited.span),
            other => format!("{other:?}"),
        });
    }
    out.push(format!("{:?}", reply.finish()));
    out
}

#[test]
fn a_chat_is_read_with_all_its_texts_and_where_they_stand() {
    let request = request(IN, Operation::Chat, CHAT);
    let want = [
        (TextRole::System, "Answer from the documents.\nNever guess."),
        (TextRole::User, "What is in \"this\" picture? ü 😀"),
        (TextRole::Reasoning, "I will look it up."),
        (TextRole::Arguments, r#"{"who":"Bob \"B\" Brown"}"#),
        (TextRole::Arguments, "{}"),
        (TextRole::Tool, "a weir"),
        (TextRole::Tool, "and a lock"),
        (TextRole::Tool, r#"{"found":false}"#),
        (TextRole::Reasoning, "It is a weir."),
        (TextRole::Assistant, "A weir."),
        (TextRole::User, "The river Spree has many weirs."),
        (TextRole::User, "Locks lift boats."),
        (TextRole::User, r#"{"title": "Weirs", "year": 1.50e3, "snippet": "A weir holds water."}"#),
        (TextRole::User, "Again — übrigens"),
        // Beside what is said.
        (TextRole::Field, "https://example.com/weir.jpg"),
        (TextRole::Field, "look"),
        (TextRole::Field, "look"),
        (TextRole::Assistant, "weir"),
        (TextRole::Assistant, "Rivers"),
        (TextRole::Field, "https://example.com/rivers"),
        (TextRole::Assistant, "a weir"),
        (TextRole::Field, "look"),
        (TextRole::Definition, "Looks."),
        (TextRole::Field, "a"),
    ];
    let mut got = Vec::new();
    request.each_text(|at| {
        got.push((at.role, at.text.as_str()));
        let range = at.text.at.clone().unwrap();
        let spelt = &CHAT[range.start as usize..range.end as usize];
        match at.text.form {
            TextForm::Document => assert_eq!(spelt, at.text.as_str()),
            _ => assert_eq!(serde_json::from_str::<String>(spelt).unwrap(), at.text.as_str()),
        }
    });
    assert_eq!(got, want);
    assert_eq!((request.model(), request.head.stream), ("command-a-reasoning-08-2025", true));
    let chat = request.chat().unwrap();
    assert_eq!(chat.tools[0].strict, Some(true));
    assert_eq!(request.last_user().unwrap().text(), "Again — übrigens");
    let mut head = unread(IN, Operation::Chat, CHAT);
    read_head(&mut head).unwrap();
    assert_eq!(head.head, request.head);
}

#[test]
fn what_is_wrong_is_refused_with_its_field_and_not_quoted() {
    let chat = |turn: &str| format!(r#"{{"messages":[{turn}]}}"#);
    let cases = [
        (Operation::Chat, r#"{"model":"SECRET"}"#.into(), Some("messages")),
        (Operation::Chat, r#"{"messages":{}}"#.into(), Some("messages")),
        (Operation::Chat, r#"{"messages":[],"documents":"SECRET"}"#.into(), Some("documents")),
        (
            Operation::Chat,
            r#"{"messages":[],"documents":[{"id":"SECRET"}]}"#.into(),
            Some("documents[0].data"),
        ),
        (Operation::Chat, r#"{"messages":[],"strict_tools":"yes"}"#.into(), Some("strict_tools")),
        (Operation::Chat, r#"{"messages":[],"Messages":[]}"#.into(), Some("messages")),
        (Operation::Chat, chat(r#"{"content":"SECRET"}"#), Some("messages[0].role")),
        (Operation::Chat, chat(r#"{"role":"developer","content":"SECRET"}"#), Some("messages[0].role")),
        (Operation::Chat, chat(r#"{"role":"tool","content":"SECRET"}"#), Some("messages[0].tool_call_id")),
        (Operation::Chat, chat(r#"{"role":"user","content":7}"#), Some("messages[0].content")),
        (Operation::Chat, chat(r#"{"role":"assistant","tool_calls":{}}"#), Some("messages[0].tool_calls")),
        (Operation::Embedding, r#"{"model":"m"}"#.into(), None),
        (Operation::Embedding, r#"{"texts":"SECRET"}"#.into(), Some("texts")),
        (Operation::Embedding, r#"{"texts":[1]}"#.into(), Some("texts[0]")),
        (Operation::Rerank, r#"{"query":"SECRET"}"#.into(), Some("documents")),
        (Operation::Rerank, r#"{"documents":["SECRET"]}"#.into(), Some("query")),
        (Operation::Rerank, r#"{"query":"q","documents":[1]}"#.into(), Some("documents[0]")),
    ];
    for (operation, body, param) in cases {
        let fault = decode(&mut unread(IN, operation, &body)).unwrap_err();
        assert_eq!((fault.code, fault.param.as_deref()), (ErrorCode::BadRequest, param), "{body}: {fault:?}");
        assert!(!format!("{fault:?}").contains("SECRET"), "{fault:?}");
    }
    let settings = [
        ("max_tokens", json!("many")),
        ("tool_choice", json!("look")),
        ("response_format", json!({ "type": "xml" })),
        ("thinking", json!({ "type": "hard" })),
        ("logprobs", json!(3)),
        ("stop_sequences", json!([1])),
    ];
    for (field, value) in settings {
        let body = json!({ "messages": [{ "role": "user", "content": "a" }], field: value }).to_string();
        let fault = outgoing(
            &request(IN, Operation::Chat, &body),
            format(Dialect::OpenAi, Operation::Chat),
            "m",
            false,
        )
        .unwrap_err();
        assert_eq!((fault.code, fault.param.as_deref()), (ErrorCode::BadRequest, Some(field)));
    }
}

#[test]
fn the_same_dialect_gets_the_same_bytes_but_for_what_changed() {
    let mut request = request(IN, Operation::Chat, CHAT);
    let model = request.model().to_owned();
    let same = outgoing(&request, format(IN, Operation::Chat), &model, true).unwrap();
    assert_eq!((same.path.as_str(), &same.body), ("/v2/chat", &request.raw));
    assert_eq!(same.body.as_ptr(), request.raw.as_ptr());
    request.set_text(13, "Last.");
    request.set_text(11, "Boats.");
    request.add_message(Role::Developer, "First.", true);
    let out = outgoing(&request, format(IN, Operation::Chat), "another", true).unwrap().body;
    let want = CHAT
        .replace("command-a-reasoning-08-2025", "another")
        .replace("\"Again — übrigens\"", "\"Last.\"")
        .replace("Locks lift boats.", "Boats.");
    let mut want = parsed(want.as_bytes());
    let first = json!({ "role": "system", "content": "First." });
    want["messages"].as_array_mut().unwrap().insert(0, first);
    assert_eq!(parsed(&out), want);
    assert!(std::str::from_utf8(&out).unwrap().contains(r#""x_vendor": {"kept": [1, 2.50, null]}"#));
}

#[test]
fn documents_are_cited_unless_the_client_says_otherwise() {
    for (options, want) in [("null", true), (r#"{"mode":"FAST"}"#, true), (r#"{"mode":"OFF"}"#, false)] {
        let body = format!(r#"{{"messages":[],"documents":["d"],"citation_options":{options}}}"#);
        let request = request(IN, Operation::Chat, &body);
        let Part::Media(document) = &request.messages()[0].parts[0] else { panic!("no document") };
        assert_eq!(document.cite, want, "{options}");
    }
}

#[test]
fn a_turn_is_added_also_where_there_is_none() {
    let body = r#"{"documents":["d"],"messages":[ ]}"#;
    let mut request = request(IN, Operation::Chat, body);
    request.add_message(Role::User, "a", false);
    let out = parsed(&outgoing(&request, format(IN, Operation::Chat), "m", false).unwrap().body);
    assert_eq!(out["messages"], json!([{ "role": "user", "content": "a" }]));
}

#[test]
fn a_chat_goes_to_openai_with_what_it_has_a_place_for() {
    let request = request(IN, Operation::Chat, CHAT);
    let (body, dropped) = carried(&request, Dialect::OpenAi);
    let want = json!({
        "model": "upstream",
        "messages": [
            { "role": "system", "content": "Answer from the documents.\nNever guess." },
            { "role": "user", "content": [
                { "type": "text", "text": "What is in \"this\" picture? ü 😀" },
                { "type": "image_url", "image_url": { "url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low" } },
                { "type": "image_url", "image_url": { "url": "https://example.com/weir.jpg" } },
            ] },
            { "role": "assistant", "content": null, "reasoning_content": "I will look it up.", "tool_calls": [
                { "id": "look_1", "type": "function", "function": { "name": "look", "arguments": r#"{"who":"Bob \"B\" Brown"}"# } },
                { "id": "look_2", "type": "function", "function": { "name": "look", "arguments": "{}" } },
            ] },
            { "role": "tool", "tool_call_id": "look_1", "content": [
                { "type": "text", "text": "a weir" }, { "type": "text", "text": "and a lock" },
            ] },
            { "role": "tool", "tool_call_id": "look_2", "content": r#"{"found":false}"# },
            { "role": "assistant", "content": "A weir.", "reasoning_content": "It is a weir." },
            { "role": "user", "content": [
                { "type": "text", "text": "The river Spree has many weirs." },
                { "type": "text", "text": "Locks lift boats." },
                { "type": "text", "text": r#"{"title": "Weirs", "year": 1.50e3, "snippet": "A weir holds water."}"# },
            ] },
            { "role": "user", "content": "Again — übrigens" },
        ],
        "tools": [{ "type": "function", "function": {
            "name": "look", "description": "Looks.",
            "parameters": { "type": "object", "properties": { "who": { "type": "string" } } }, "strict": true,
        } }],
        "max_completion_tokens": 300, "temperature": 0.3, "top_p": 0.9, "stop": ["END", "\n\n"], "seed": 7,
        "presence_penalty": 0.2, "frequency_penalty": 0.1, "tool_choice": "required",
        "response_format": { "type": "json_schema", "json_schema": {
            "name": "answer", "schema": { "type": "object", "required": ["a"] }, "strict": true,
        } },
        "reasoning_effort": "medium", "stream": true, "stream_options": { "include_usage": true },
    });
    assert_eq!(body, want);
    let lost = [
        "annotations",
        "citation_options",
        "citations",
        "priority",
        "safety_mode!",
        "top_k",
        "unknown fields",
    ];
    assert_eq!(dropped, lost);
}

#[test]
fn an_openai_chat_comes_with_what_cohere_has_a_place_for() {
    let chat = json!({
        "model": "fast",
        "messages": [
            { "role": "developer", "content": "Be brief." },
            { "role": "user", "name": "ann", "content": [
                { "type": "text", "text": "Look:" },
                { "type": "image_url", "image_url": { "url": "data:image/png;base64,iVBORw0KGgo=" } },
                { "type": "input_audio", "input_audio": { "data": "AAAA", "format": "wav" } },
            ] },
            { "role": "assistant", "content": null, "reasoning_content": "hm", "tool_calls": [
                { "id": "c1", "type": "function", "function": { "name": "look", "arguments": "{\"a\":1}" } },
            ] },
            { "role": "tool", "tool_call_id": "c1", "content": "seen" },
            { "role": "assistant", "content": "Yes.", "reasoning_content": "so" },
            { "role": "user", "content": "Go on" },
        ],
        "tools": [
            { "type": "function", "function": { "name": "look", "parameters": { "type": "object" }, "strict": true } },
            { "type": "function", "function": { "name": "listen" } },
            { "type": "custom", "custom": { "name": "shell" } },
        ],
        "tool_choice": { "type": "function", "function": { "name": "look" } },
        "parallel_tool_calls": false, "max_tokens": 9, "temperature": 0.5, "top_p": 0.25, "stop": "END", "seed": 3,
        "n": 2, "logprobs": true, "reasoning_effort": "low", "user": "u", "service_tier": "flex", "logit_bias": {},
        "response_format": { "type": "json_schema", "json_schema": { "name": "x", "schema": { "type": "object" } } },
        "stream": true,
    });
    let (body, dropped) = carried(&request(Dialect::OpenAi, Operation::Chat, &chat.to_string()), IN);
    let want = json!({
        "model": "upstream",
        "messages": [
            { "role": "system", "content": "Be brief." },
            { "role": "user", "content": [
                { "type": "text", "text": "Look:" },
                { "type": "image_url", "image_url": { "url": "data:image/png;base64,iVBORw0KGgo=" } },
            ] },
            { "role": "assistant", "tool_plan": "hm", "tool_calls": [
                { "id": "c1", "type": "function", "function": { "name": "look", "arguments": "{\"a\":1}" } },
            ] },
            { "role": "tool", "tool_call_id": "c1", "content": "seen" },
            { "role": "assistant", "content": [
                { "type": "text", "text": "Yes." }, { "type": "thinking", "thinking": "so" },
            ] },
            { "role": "user", "content": "Go on" },
        ],
        "tools": [{ "type": "function", "function": { "name": "look", "parameters": { "type": "object" } } }],
        "strict_tools": true, "tool_choice": "REQUIRED", "max_tokens": 9, "temperature": 0.5, "p": 0.25,
        "stop_sequences": ["END"], "seed": 3,
        "response_format": { "type": "json_object", "json_schema": { "type": "object" } },
        "thinking": { "type": "enabled", "token_budget": 1024 }, "stream": true,
    });
    assert_eq!(body, want);
    let lost = [
        "audio!",
        "custom tools!",
        "logit_bias!",
        "logprobs!",
        "n!",
        "name",
        "parallel_tool_calls",
        "service_tier",
        "user",
    ];
    assert_eq!(dropped, lost);
}

#[test]
fn documents_of_a_turn_have_a_field_of_their_own_unless_the_answer_has_a_form() {
    let part = || {
        let text = Source::Text(weir_message::Text::added("Weirs hold water."));
        Part::Media(weir_message::Media {
            kind: weir_message::MediaKind::Document,
            source: text,
            media_type: None,
            name: Some("Rivers".into()),
            detail: None,
            cite: false,
        })
    };
    let carry = |body: &str, alone: bool| {
        let mut request = request(Dialect::OpenAi, Operation::Chat, body);
        let Body::Chat(chat) = &mut request.body else { panic!("no chat") };
        if alone {
            chat.messages[0].parts.clear();
        }
        chat.messages[0].parts.push(part());
        carried(&request, IN).0
    };
    let plain = r#"{"messages":[{"role":"user","content":"What?"}]}"#;
    let body = carry(plain, false);
    assert_eq!(body["messages"][0]["content"], "What?");
    assert_eq!(body["documents"], json!([{ "data": { "title": "Rivers", "text": "Weirs hold water." } }]));
    let formed =
        r#"{"messages":[{"role":"user","content":"What?"}],"response_format":{"type":"json_object"}}"#;
    for body in [carry(formed, false), carry(plain, true)] {
        assert_eq!(body.get("documents"), None);
        assert!(body["messages"][0]["content"].to_string().contains("Weirs hold water."), "{body}");
    }
}

#[test]
fn a_reply_is_read_and_carried_both_ways() {
    let mut reply = reply(IN, Operation::Chat, REPLY);
    let usage = Usage { input: 120, cached_input: 100, output: 40, ..Usage::default() };
    assert_eq!((reply.usage, reply.finish()), (Some(usage), Some(Finish::ToolCalls)));
    let want = [
        "reasoning I will look.",
        "reasoning hm ü",
        "text It is a weir.",
        "cited Some(\"look_0:0\") Some(8..12)",
        "call look_1 look {\"who\":\"Bob\"}",
        "Some(ToolCalls)",
    ];
    assert_eq!(says(&reply), want);
    let summary = read_reply_usage(&reply, IN, Operation::Chat).unwrap();
    assert_eq!((summary.usage, summary.finish), (Some(usage), Some(Finish::ToolCalls)));
    assert_eq!(summary.id.as_deref(), Some("5a50480a-cf52-46f0-af01-53d18539bd31"));

    let unread = Reply::new(200, REPLY);
    let there = translate_reply(
        unread,
        format(IN, Operation::Chat),
        format(Dialect::OpenAi, Operation::Chat),
        &identity(),
    )
    .unwrap();
    let body = parsed(&there.raw);
    assert_eq!(body["model"], "fast");
    assert_eq!(body["choices"][0]["message"]["content"], "It is a weir.");
    assert_eq!(body["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(body["usage"]["prompt_tokens_details"]["cached_tokens"], 100);
    let back = translate_reply(
        there,
        format(Dialect::OpenAi, Operation::Chat),
        format(IN, Operation::Chat),
        &identity(),
    )
    .unwrap();
    let body = parsed(&back.raw);
    assert_eq!(body["id"], "5a50480a-cf52-46f0-af01-53d18539bd31");
    assert_eq!(body["finish_reason"], "TOOL_CALL");
    assert_eq!(body["message"]["content"][0], json!({ "type": "text", "text": "It is a weir." }));
    assert_eq!(body["message"]["citations"][0]["text"], "weir");
    assert_eq!(body["usage"]["tokens"], json!({ "input_tokens": 120, "output_tokens": 40 }));

    // Edits go into the bytes.
    assert!(reply.edit_text(2, &[weir_message::Replace::new(8..12, "lock")]));
    assert_eq!(reply.outgoing(), REPLY.replace("It is a weir.", "It is a lock."));
    let spelt =
        r#"{"message":{"content":[{"type":"text","text":"a"}]},"logprobs":[{"text":"a","token_ids":[1]}]}"#;
    let spelt = self::reply(IN, Operation::Chat, spelt);
    assert!(spelt.choices()[0].parts.contains(&crate::openai::parts::other("logprobs".into())));
}

#[test]
fn finish_reasons_and_usage_are_what_the_provider_says() {
    let cases = [
        ("COMPLETE", Finish::Stop),
        ("STOP_SEQUENCE", Finish::Stop),
        ("MAX_TOKENS", Finish::Length),
        ("TOOL_CALL", Finish::ToolCalls),
        ("ERROR_TOXIC", Finish::ContentFilter),
        ("ERROR", Finish::Other),
        ("TIMEOUT", Finish::Other),
    ];
    for (name, want) in cases {
        let body = format!(r#"{{"message":{{"content":[]}},"finish_reason":"{name}"}}"#);
        assert_eq!(reply(IN, Operation::Chat, &body).finish(), Some(want), "{name}");
    }
    let usages = [
        (r#"{"tokens":{"input_tokens":5,"output_tokens":3.0}}"#, (5, 3, 0)),
        (r#"{"billed_units":{"search_units":1},"tokens":{"input_tokens":5}}"#, (5, 0, 0)),
        (
            r#"{"cached_tokens":9,"billed_units":{"input_tokens":4,"output_tokens":1},"tokens":{"input_tokens":50}}"#,
            (4, 1, 4),
        ),
    ];
    for (body, want) in usages {
        let reply = reply(IN, Operation::Chat, &format!(r#"{{"usage":{body}}}"#));
        let usage = reply.usage.unwrap();
        assert_eq!((usage.input, usage.output, usage.cached_input), want, "{body}");
    }
}

#[test]
fn each_level_of_a_stream_agrees_on_kinds_and_sends_what_came() {
    let kinds = |level| events(level, STREAM).iter().map(|event| event.kind.name()).collect::<Vec<_>>();
    let want = [
        "other", "content", "content", "other", "content", "content", "content", "other", "other", "other",
        "content", "content", "content", "content", "other", "content", "other", "content", "done",
    ];
    for level in [Level::Boundaries, Level::Usage, Level::Text] {
        assert_eq!(kinds(level), want, "{level:?}");
        let mut encoder = StreamEncoder::new(IN, Operation::Chat, identity());
        let sent: Vec<u8> = events(level, STREAM).iter().flat_map(|event| encoder.send(event)).collect();
        assert_eq!(sent, STREAM.as_bytes());
        assert!(encoder.write(Piece::Done).is_empty(), "the end was sent");
    }
    let last = &events(Level::Usage, STREAM)[17];
    let usage = Usage { input: 9, output: 7, ..Usage::default() };
    assert_eq!((last.finish, last.usage), (Some(Finish::ToolCalls), Some(usage)));
}

#[test]
fn deltas_know_their_block_and_place_also_on_a_second_line_of_data() {
    let mut seen = Vec::new();
    for event in events(Level::Text, STREAM) {
        for delta in &event.deltas {
            let block = delta.block;
            seen.push(format!("{} {}: {}", block.kind, block.index, delta.text.as_str()));
            let at = delta.text.at.clone().unwrap();
            let spelt = &event.raw[at.start as usize..at.end as usize];
            assert_eq!(serde_json::from_slice::<String>(spelt).unwrap(), delta.text.as_str());
        }
    }
    let want = [
        "reasoning 0: A \"river\"",
        "text 1: It is a ",
        "text 1: weir.",
        "reasoning 0: Look.",
        "arguments 0: {\"who\":",
        "arguments 0:  \"Bob\"}",
    ];
    assert_eq!(seen, want);
}

#[test]
fn a_stream_is_carried_both_ways_and_says_the_same() {
    let there = translated(IN, Dialect::OpenAi, STREAM.as_bytes());
    let want = [
        "reasoning A \"river\"Look.",
        "text It is a weir.",
        "cited Some(\"Locks\") Some(8..12)",
        "call look_1 look {\"who\": \"Bob\"}",
        "call look_2 look ",
        "Some(ToolCalls)",
    ];
    let sorted = |reply: &Reply| {
        let mut says = says(reply);
        says.sort();
        says
    };
    let mut expected: Vec<String> = want.iter().map(|&line| line.to_owned()).collect();
    expected.sort();
    assert_eq!(sorted(&collected(Dialect::OpenAi, &there)), expected);
    let back = translated(Dialect::OpenAi, IN, &there);
    let whole = collected(IN, &back);
    assert_eq!(sorted(&whole).concat().replace("reasoning Look.", "Look."), expected.concat());
    assert_eq!(whole.usage, Some(Usage { input: 9, output: 7, ..Usage::default() }));
    assert_eq!(whole.id.as_deref(), Some("29f14a5a-11de-4cae-9800-25e4747408ea"));
    // Blocks begin and end, one at a time, under rising numbers.
    let names: Vec<&str> = std::str::from_utf8(&back)
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix("event: "))
        .filter(|name| !name.ends_with("-delta") && !name.starts_with("citation"))
        .collect();
    let want = [
        "message-start",
        "content-start",
        "content-end",
        "content-start",
        "content-end",
        "content-start",
        "content-end",
        "tool-call-start",
        "tool-call-end",
        "tool-call-start",
        "tool-call-end",
        "message-end",
    ];
    assert_eq!(names, want);
    assert!(back.ends_with(b"\n\ndata: [DONE]\n\n"));
}

#[test]
fn what_is_written_into_a_stream_goes_on_where_it_is() {
    let cut = STREAM.find("event: citation-start").unwrap();
    let mut encoder = StreamEncoder::new(IN, Operation::Chat, identity());
    let mut sent: Vec<u8> =
        events(Level::Text, &STREAM[..cut]).iter().flat_map(|event| encoder.send(event)).collect();
    let block = weir_message::Block { choice: 0, kind: weir_message::BlockKind::Text, index: 0 };
    let mut written = encoder.write(Piece::Text { block, text: " Stop.".into() });
    written.extend(encoder.write(Piece::Finish { choice: 0, why: Finish::ContentFilter, stop: None }));
    written.extend(encoder.write(Piece::Usage(Usage { input: 2, output: 1, ..Usage::default() })));
    written.extend(encoder.write(Piece::Done));
    for event in &written {
        let text = std::str::from_utf8(&event.raw).unwrap();
        assert_eq!(&events(Level::Text, text), std::slice::from_ref(event), "{text}");
        sent.extend_from_slice(&encoder.send(event));
    }
    let behind = std::str::from_utf8(&sent[cut..]).unwrap();
    assert!(
        behind.starts_with("event: content-delta\ndata: {\"type\":\"content-delta\",\"index\":1,"),
        "{behind}"
    );
    let whole = collected(IN, &sent);
    assert_eq!((whole.text().as_str(), whole.finish()), ("It is a weir. Stop.", Some(Finish::ContentFilter)));
}

#[test]
fn errors_inside_a_stream_are_told_apart_at_every_level() {
    let failed = r#"{"type":"message-end","delta":{"finish_reason":"ERROR","error":"too many tokens: 9"}}"#;
    let slow = r#"{"type":"message-end","delta":{"finish_reason":"TIMEOUT"}}"#;
    for (data, cause) in [(failed, Cause::ServerError), (slow, Cause::Timeout)] {
        let stream = format!("event: message-end\ndata: {data}\n\n");
        for level in [Level::Boundaries, Level::Usage, Level::Text] {
            assert_eq!(events(level, &stream)[0].kind, EventKind::Error, "{level:?} {data}");
        }
        let decoder = StreamDecoder::new(IN, Operation::Chat, Level::Boundaries).unwrap();
        assert_eq!(decoder.error(&events(Level::Usage, &stream)[0]).cause, cause, "{data}");
    }
    let error = ErrorBody {
        status: 403,
        code: "denied",
        kind: "permission_error",
        message: "no \"way\"",
        param: None,
        request_id: "r",
    };
    let written = StreamEncoder::new(IN, Operation::Chat, identity()).error(&error);
    let text = std::str::from_utf8(&written.raw).unwrap();
    assert_eq!(
        text,
        "event: message-end\ndata: {\"type\":\"message-end\",\"id\":\"r\",\"delta\":{\"finish_reason\":\"ERROR\",\"error\":\"no \\\"way\\\"\",\"code\":\"denied\"}}\n\n"
    );
    assert_eq!(events(Level::Text, text)[0].kind, EventKind::Error);
    for bad in
        ["data: {\"delta\":{\"message\":{\"tool_plan\":\"a\",\"tool_plan\":\"b\"}}}\n\n", "data: hello\n\n"]
    {
        let mut decoder = StreamDecoder::new(IN, Operation::Chat, Level::Text).unwrap();
        decoder.push(Bytes::copy_from_slice(bad.as_bytes()));
        assert_eq!(decoder.next_event().unwrap_err().code, ErrorCode::UpstreamInvalid, "{bad}");
    }
}

#[test]
fn a_providers_error_is_mapped_to_a_cause() {
    let cases = [
        (
            400,
            r#"{"id":"x","message":"invalid request: message must be at least 1 token long"}"#,
            Cause::Rejected,
        ),
        (
            400,
            r#"{"message":"too many tokens: total number of tokens in the prompt cannot exceed 4081"}"#,
            Cause::ContextTooLong,
        ),
        (401, r#"{"message":"invalid api token"}"#, Cause::Unauthorized),
        (402, r#"{"message":"add a payment method"}"#, Cause::RateLimited),
        (404, r#"{"message":"model 'x' not found"}"#, Cause::NotFound),
        (429, r#"{"message":"trial token rate limit exceeded"}"#, Cause::RateLimited),
        (498, r#"{"message":"invalid token"}"#, Cause::Unauthorized),
        (499, r#"{"message":"request cancelled"}"#, Cause::ServerError),
        (500, r#"{"message":"internal server error"}"#, Cause::ServerError),
        (503, "", Cause::Overloaded),
    ];
    for (status, body, want) in cases {
        let error = provider_error(IN, status, &HeaderMap::new(), body.as_bytes());
        assert_eq!(error.cause, want, "{status} {body}");
    }
    let said = provider_error(IN, 400, &HeaderMap::new(), br#"{"message":"no"}"#).excerpt;
    assert_eq!(said, "no");
    let fault = Fault::new(ErrorCode::BadRequest, "no").param("messages");
    assert_eq!(
        error_body(IN, &ErrorBody::of_fault(&fault, "r1")),
        r#"{"id":"r1","message":"no","code":"bad-request","param":"messages"}"#
    );
}

#[test]
fn a_denial_can_be_a_reply_whole_or_streamed() {
    let reply = denial_reply(IN, Operation::Chat, &identity(), "Not \"here\".");
    assert_eq!((reply.text().as_str(), reply.finish()), ("Not \"here\".", Some(Finish::ContentFilter)));
    let events = StreamEncoder::new(IN, Operation::Chat, identity()).reply(&reply, true).unwrap();
    let sent: Vec<u8> = events.iter().flat_map(|event| event.outgoing()).collect();
    let whole = collected(IN, &sent);
    assert_eq!((whole.text().as_str(), whole.finish()), ("Not \"here\".", Some(Finish::ContentFilter)));
    assert_eq!(events.last().unwrap().kind, EventKind::Done);
}

#[test]
fn embeddings_are_carried_both_ways() {
    let request = request(IN, Operation::Embedding, EMBED);
    let texts = request.texts();
    assert_eq!(texts.iter().map(|(_, _, text)| &**text).collect::<Vec<_>>(), ["a weir", "ein Wehr ü"]);
    let (body, dropped) = carried(&request, Dialect::OpenAi);
    assert_eq!(body, json!({ "model": "upstream", "input": ["a weir", "ein Wehr ü"], "dimensions": 256 }));
    assert_eq!(dropped, ["input_type", "truncate"]);
    let openai = r#"{"model":"m","input":["a","b"],"dimensions":8,"encoding_format":"base64","user":"u"}"#;
    let (body, dropped) = carried(&self::request(Dialect::OpenAi, Operation::Embedding, openai), IN);
    let want = json!({
        "model": "upstream", "texts": ["a", "b"], "input_type": "search_document",
        "embedding_types": ["float"], "output_dimension": 8,
    });
    assert_eq!((body, dropped), (want, vec!["encoding_format".to_owned(), "user".to_owned()]));
    let lossy: [(&str, &[&str]); 4] = [
        (r#"{"images":["data:image/png;base64,AA=="],"input_type":"image"}"#, &["images!", "input_type"]),
        (
            r#"{"inputs":[{"content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"u"}}]}]}"#,
            &["images!"],
        ),
        (r#"{"inputs":[{"content":[{"type":"text","text":"a"}]}]}"#, &[]),
        (r#"{"texts":["a"],"embedding_types":["float","int8"]}"#, &["embedding_types!"]),
    ];
    for (body, want) in lossy {
        assert_eq!(
            carried(&self::request(IN, Operation::Embedding, body), Dialect::OpenAi).1,
            want,
            "{body}"
        );
    }

    let there = translate_reply(
        Reply::new(200, EMBED_REPLY),
        format(IN, Operation::Embedding),
        format(Dialect::OpenAi, Operation::Embedding),
        &identity(),
    )
    .unwrap();
    let body = parsed(&there.raw);
    assert_eq!(body["data"][1], json!({ "object": "embedding", "index": 1, "embedding": [0.5, 1] }));
    assert_eq!(body["usage"], json!({ "prompt_tokens": 6, "total_tokens": 6 }));
    assert!(std::str::from_utf8(&there.raw).unwrap().contains("[1.60e-2, -0.008]"), "numbers stay as spelt");
    let back = translate_reply(
        there,
        format(Dialect::OpenAi, Operation::Embedding),
        format(IN, Operation::Embedding),
        &identity(),
    )
    .unwrap();
    let body = parsed(&back.raw);
    assert_eq!(body["embeddings"], parsed(EMBED_REPLY.as_bytes())["embeddings"]);
    assert_eq!(body["meta"]["billed_units"], json!({ "input_tokens": 6 }));
    let encoded = r#"{"id":"e","embeddings":{"base64":["AACAPw=="],"int8":[[1]]}}"#;
    let encoded = reply(IN, Operation::Embedding, encoded);
    assert_eq!(encoded.body, ReplyBody::Vectors(vec!["\"AACAPw==\"".into()]));
    let one =
        reply(IN, Operation::Embedding, r#"{"embeddings":[[1],[2]],"response_type":"embeddings_floats"}"#);
    assert_eq!(one.body, ReplyBody::Vectors(vec!["[1]".into(), "[2]".into()]));
}

#[test]
fn reranking_is_read_and_goes_to_all_who_do_it_in_this_shape() {
    let mut request = request(IN, Operation::Rerank, RERANK);
    let texts = request.texts();
    let want = [
        "What holds water?",
        "A weir holds water.",
        r#"{"title": "Locks", "text": "Locks lift boats \u2013 slowly."}"#,
        "Boats float.",
    ];
    assert_eq!(texts.iter().map(|(_, _, text)| &**text).collect::<Vec<_>>(), want);
    assert!(texts.iter().all(|(_, role, _)| *role == TextRole::Input));
    let same = outgoing(&request, format(IN, Operation::Rerank), "rerank-v3.5", true).unwrap();
    assert_eq!((same.path.as_str(), &same.body), ("/v2/rerank", &request.raw));
    let there = outgoing(&request, format(Dialect::OpenAi, Operation::Rerank), "bge", false).unwrap();
    let mut want = parsed(RERANK.as_bytes());
    want["model"] = "bge".into();
    assert_eq!((there.path.as_str(), parsed(&there.body), there.dropped), ("/rerank", want, vec![]));
    // An edit inside a document of fields keeps it JSON.
    assert!(request.edit_text(2, &[weir_message::Replace::new(11..16, "\"a\"")]));
    let out = parsed(&outgoing(&request, format(IN, Operation::Rerank), "m", false).unwrap().body);
    assert_eq!(out["documents"][1]["title"], "\"a\"");
    let reply = translate_reply(
        Reply::new(200, RERANK_REPLY),
        format(IN, Operation::Rerank),
        format(Dialect::OpenAi, Operation::Rerank),
        &identity(),
    )
    .unwrap();
    assert_eq!((reply.raw, reply.usage), (Bytes::from(RERANK_REPLY), Some(Usage::default())));
    let jina = r#"{"model":"bge","usage":{"total_tokens":15},"results":[{"index":0,"relevance_score":0.5}]}"#;
    let reply = translate_reply(
        Reply::new(200, jina),
        format(Dialect::OpenAi, Operation::Rerank),
        format(IN, Operation::Rerank),
        &identity(),
    )
    .unwrap();
    assert_eq!((reply.raw, reply.usage.map(|usage| usage.input)), (Bytes::from(jina), Some(15)));
}

#[test]
fn paths_stand_below_the_prefix_and_at_the_root() {
    let post = |path: &str| classify(&http::Method::POST, path, &HeaderMap::new());
    for (path, want) in [
        ("/cohere/v2/chat", Operation::Chat),
        ("/cohere/v2/embed", Operation::Embedding),
        ("/cohere/v2/rerank", Operation::Rerank),
        ("/v1/rerank", Operation::Rerank),
        ("/v2/rerank", Operation::Rerank),
    ] {
        let route = post(path).unwrap();
        assert_eq!((route.dialect, route.operation), (IN, want), "{path}");
    }
    assert_eq!(post("/cohere/v1/chat"), Err(Unclassified::UnknownPath));
    let models = classify(&http::Method::GET, "/cohere/v1/models/command-a", &HeaderMap::new()).unwrap();
    assert_eq!((models.operation, models.item.as_deref()), (Operation::Model, Some("command-a")));
    assert_eq!(parsed(&models_list(IN, ["a", "b"], 7))["models"][1]["name"], "b");
    assert_eq!(parsed(&model_one(IN, "a", 7))["name"], "a");
}

#[test]
fn recorded_payloads_hold_what_fuzzing_asks() {
    for payload in [CHAT, REPLY, STREAM, EMBED, EMBED_REPLY, RERANK, RERANK_REPLY] {
        let bytes = payload.as_bytes();
        for end in (0..bytes.len()).step_by(7).chain([bytes.len()]) {
            let bytes = &bytes[..end];
            let holds =
                fuzzing::request(IN, bytes) && fuzzing::reply(IN, bytes) && fuzzing::stream(IN, bytes);
            assert!(holds, "{end} of {payload}");
        }
    }
}

proptest! {
    #[test]
    fn damaged_payloads_never_panic(which in 0usize..7, at in 0usize..4000, byte in any::<u8>(), gone in 0usize..20) {
        let payloads = [CHAT, REPLY, STREAM, EMBED, EMBED_REPLY, RERANK, RERANK_REPLY];
        let mut bytes = payloads[which].as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        let end = (at + gone).min(bytes.len());
        bytes.drain(at..end);
        prop_assert!(fuzzing::request(IN, &bytes) && fuzzing::reply(IN, &bytes) && fuzzing::stream(IN, &bytes));
    }
}
