//! Bedrock's format, by recorded payloads and by properties.

use super::error::named;
use crate::eventstream::{Frame, begun, sealed};
use crate::*;
use proptest::prelude::*;
use serde_json::{Value, json};
use weir_message::{Block, BlockKind, Event, EventKind, Part, Replace, Role, TextForm, TextRole};

const CONVERSE: &str = include_str!("testdata/converse.json");
const REPLY: &str = include_str!("testdata/reply.json");
const STREAM: &str = include_str!("testdata/stream.txt");

const IN: Dialect = Dialect::Bedrock;
const CLAUDE: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";

fn unread(dialect: Dialect, operation: Operation, body: &str) -> Request {
    let path = match (dialect, operation) {
        (Dialect::Bedrock, Operation::Count) => "/bedrock/model/m/count-tokens",
        (Dialect::Bedrock, _) => "/bedrock/model/amazon.nova-pro-v1%3A0/converse-stream",
        _ => "",
    };
    let mut request = Request::new("r", dialect, operation, path);
    request.raw = Bytes::copy_from_slice(body.as_bytes());
    request
}

fn request(dialect: Dialect, body: &str) -> Request {
    let mut request = unread(dialect, Operation::Chat, body);
    decode(&mut request).unwrap_or_else(|fault| panic!("{fault:?}: {body}"));
    request
}

fn reply(body: &str) -> Reply {
    let mut reply = Reply::new(200, Bytes::copy_from_slice(body.as_bytes()));
    decode_reply(&mut reply, IN, Operation::Chat).unwrap_or_else(|fault| panic!("{fault:?}: {body}"));
    reply
}

fn identity() -> Identity {
    Identity { id: "mine".into(), model: "fast".into(), created: 7, ..Identity::default() }
}

fn format(dialect: Dialect) -> WireFormat {
    WireFormat { dialect, operation: Operation::Chat }
}

fn parsed(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(bytes)))
}

/// A request as it goes to a provider of another dialect, and what was dropped: `!` marks what matters.
fn carried(request: &Request, to: Dialect, model: &str) -> (Value, Vec<String>) {
    let out = outgoing(request, format(to), model, false).unwrap();
    let name = |one: &Dropped| format!("{}{}", one.feature, if one.matters { "!" } else { "" });
    (parsed(&out.body), out.dropped.iter().map(name).collect())
}

/// An event as Bedrock frames it.
fn frame(name: &str, payload: &str) -> Bytes {
    let mut out =
        begun(&[(":event-type", name), (":content-type", "application/json"), (":message-type", "event")]);
    out.extend_from_slice(payload.as_bytes());
    sealed(out)
}

/// The recorded stream.
fn stream() -> Vec<u8> {
    let events = STREAM.lines().map(|line| line.split_once(' ').unwrap());
    events.flat_map(|(name, payload)| frame(name, payload)).collect()
}

fn exception(name: &str, payload: &str) -> Bytes {
    let mut out = begun(&[
        (":exception-type", name),
        (":content-type", "application/json"),
        (":message-type", "exception"),
    ]);
    out.extend_from_slice(payload.as_bytes());
    sealed(out)
}

fn events(level: Level, stream: &[u8]) -> Vec<Event> {
    let mut decoder = StreamDecoder::new(IN, Operation::Chat, level).unwrap();
    decoder.push(Bytes::copy_from_slice(stream));
    std::iter::from_fn(|| decoder.next_event().unwrap()).collect()
}

/// A stream of one dialect as the client of another gets it.
fn translated(from: Dialect, to: Dialect, stream: &[u8]) -> Vec<u8> {
    let mut decoder = StreamDecoder::translating(format(from), format(to), identity()).unwrap();
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
            Part::Reasoning(said) => format!("reasoning {} {:?}", said.text.as_str(), said.signature),
            Part::ToolCall(call) => format!("call {} {} {}", call.id, call.name, call.arguments.as_str()),
            Part::Citation(cited) => format!("cited {:?} {:?}", cited.title, cited.url),
            other => format!("{other:?}"),
        });
    }
    out.push(format!("{:?}", reply.finish()));
    out
}

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
fn a_reply_is_read_and_carried_both_ways() {
    let mut reply = reply(REPLY);
    let usage = Usage {
        input: 150,
        cached_input: 100,
        cache_write: 30,
        cache_write_1h: 10,
        output: 40,
        ..Usage::default()
    };
    assert_eq!((reply.usage, reply.finish()), (Some(usage), Some(Finish::ToolCalls)));
    let texts: Vec<String> = reply.texts().iter().map(|(_, role, text)| format!("{role}: {text}")).collect();
    let want = [
        "reasoning: hm ü",
        "assistant: It is a weir.",
        r#"arguments: {"who": "Bob"}"#,
        "assistant: It is a SECRET weir.",
    ];
    assert_eq!(texts, want, "a guardrail's trace is read too");
    let summary = read_reply_usage(&reply, IN, Operation::Chat).unwrap();
    assert_eq!((summary.usage, summary.finish), (Some(usage), Some(Finish::ToolCalls)));

    let there =
        translate_reply(Reply::new(200, REPLY), format(IN), format(Dialect::OpenAi), &identity()).unwrap();
    let body = parsed(&there.raw);
    assert_eq!((&body["id"], &body["model"]), (&json!("chatcmpl-mine"), &json!("fast")));
    assert_eq!(body["choices"][0]["message"]["content"], "It is a weir.");
    assert_eq!((&body["usage"]["prompt_tokens"], &body["usage"]["total_tokens"]), (&json!(150), &json!(190)));
    let back = translate_reply(there, format(Dialect::OpenAi), format(IN), &identity()).unwrap();
    let body = parsed(&back.raw);
    let content = &body["output"]["message"]["content"];
    assert_eq!(
        content[0]["reasoningContent"]["reasoningText"],
        json!({ "text": "hm ü", "signature": "c2ln" })
    );
    assert_eq!(
        (&content[1], &content[2]["toolUse"]["input"]),
        (&json!({ "text": "It is a weir." }), &json!({ "who": "Bob" }))
    );
    assert_eq!((&body["stopReason"], &body["usage"]["inputTokens"]), (&json!("tool_use"), &json!(50)));

    // Edits go into the bytes.
    assert!(reply.edit_text(1, &[Replace::new(8..12, "lock")]));
    assert_eq!(reply.outgoing(), REPLY.replace("It is a weir.", "It is a lock."));
}

#[test]
fn each_level_of_a_stream_agrees_on_kinds_and_sends_what_came() {
    let stream = stream();
    let kinds = |level| events(level, &stream).iter().map(|event| event.kind.name()).collect::<Vec<_>>();
    let want = [
        "other", "content", "content", "other", "content", "content", "content", "other", "content",
        "content", "content", "content", "other", "content", "other", "content", "usage", "done",
    ];
    for level in [Level::Boundaries, Level::Usage, Level::Text] {
        assert_eq!(kinds(level), want, "{level:?}");
        let mut encoder = StreamEncoder::new(IN, Operation::Chat, identity());
        let sent: Vec<u8> = events(level, &stream).iter().flat_map(|event| encoder.send(event)).collect();
        assert_eq!(sent, stream);
        assert!(encoder.write(Piece::Done).is_empty(), "the end was sent");
    }
    let usage = Usage { input: 12, cached_input: 3, output: 7, ..Usage::default() };
    let events = events(Level::Usage, &stream);
    assert_eq!((events[15].finish, events[16].usage), (Some(Finish::ToolCalls), Some(usage)));
    let mut cut = StreamDecoder::new(IN, Operation::Chat, Level::Usage).unwrap();
    cut.push(Bytes::copy_from_slice(&stream[..stream.len() - 1]));
    while cut.next_event().unwrap().is_some() {}
    assert!(!cut.finish().unwrap().is_clean);
}

#[test]
fn an_edited_event_is_framed_anew_with_right_checksums() {
    let stream = stream();
    let mut events = events(Level::Text, &stream);
    let mut seen = Vec::new();
    for event in &events {
        for delta in &event.deltas {
            seen.push(format!("{} {}: {}", delta.block.kind, delta.block.index, delta.text.as_str()));
            let at = delta.text.at.clone().unwrap();
            let spelt = &event.raw[at.start as usize..at.end as usize];
            assert_eq!(serde_json::from_slice::<String>(spelt).unwrap(), delta.text.as_str());
        }
    }
    let want = [
        "reasoning 0: A \"river\"",
        "text 1: It is a ",
        "text 1: weir.",
        "arguments 2: {\"who\":",
        "arguments 2:  \"Bob\"}",
    ];
    assert_eq!(seen, want);
    assert!(events[5].set_delta(0, "rather longer \"lock\" ü."));
    assert!(events[4].set_delta(0, ""));
    let mut encoder = StreamEncoder::new(IN, Operation::Chat, identity());
    let sent: Vec<u8> = events.iter().flat_map(|event| encoder.send(event)).collect();
    // The checksums are proven on the way in.
    let whole = collected(IN, &sent);
    assert_eq!(whole.text(), "rather longer \"lock\" ü.");
    let frame = encoder.send(&events[5]);
    let payload = Frame::of(&frame).unwrap().payload();
    assert_eq!(parsed(&frame[payload])["p"], "abc", "the rest stays");
}

#[test]
fn a_stream_is_carried_both_ways_and_says_the_same() {
    let want = [
        "reasoning A \"river\" Some(\"c2ln\")",
        "text It is a weir.",
        "cited Some(\"Rivers\") Some(\"https://example.com/rivers\")",
        "call tooluse_1 look {\"who\": \"Bob\"}",
        "call tooluse_2 look {}",
        "Some(ToolCalls)",
    ];
    assert_eq!(says(&collected(IN, &stream())), want);
    for other in [Dialect::OpenAi, Dialect::Anthropic] {
        let there = translated(IN, other, &stream());
        let back = translated(other, IN, &there);
        let whole = collected(IN, &back);
        let mut said = says(&whole);
        said.sort();
        let mut expected: Vec<String> = want.iter().map(|&line| line.to_owned()).collect();
        expected.sort();
        assert_eq!(said, expected, "{other}");
        let usage = whole.usage.unwrap();
        assert_eq!((usage.input, usage.cached_input, usage.output), (12, 3, 7), "{other}");
        let names: Vec<String> = events(Level::Boundaries, &back)
            .iter()
            .filter_map(|event| Some(Frame::of(&event.raw)?.header(":event-type")?.to_owned()))
            .filter(|name| name != "contentBlockDelta")
            .collect();
        let order = [
            "messageStart",
            "contentBlockStop",
            "contentBlockStop",
            "contentBlockStart",
            "contentBlockStop",
            "contentBlockStart",
            "contentBlockStop",
            "messageStop",
            "metadata",
        ];
        assert_eq!(names, order, "{other}");
    }
}

#[test]
fn what_is_written_into_a_stream_goes_on_where_it_is() {
    let stream = stream();
    let mut encoder = StreamEncoder::new(IN, Operation::Chat, identity());
    let begun = &events(Level::Text, &stream)[..6];
    let mut sent: Vec<u8> = begun.iter().flat_map(|event| encoder.send(event)).collect();
    let block = Block { choice: 0, kind: BlockKind::Text, index: 0 };
    let mut written = encoder.write(Piece::Text { block, text: "Stop.".into() });
    written.extend(encoder.write(Piece::Finish { choice: 0, why: Finish::ContentFilter, stop: None }));
    written.extend(encoder.write(Piece::Usage(Usage { input: 2, output: 1, ..Usage::default() })));
    written.extend(encoder.write(Piece::Done));
    for event in &written {
        if event.kind != EventKind::Done {
            assert_eq!(&events(Level::Text, &event.raw)[0], event);
        }
        sent.extend_from_slice(&encoder.send(event));
    }
    let whole = collected(IN, &sent);
    assert_eq!((whole.text().as_str(), whole.finish()), ("It is a weir.Stop.", Some(Finish::ContentFilter)));
}

#[test]
fn exceptions_inside_a_stream_are_told_apart_at_every_level() {
    let mut error_frame =
        begun(&[(":error-code", "InternalError"), (":error-message", "oh"), (":message-type", "error")]);
    error_frame.extend_from_slice(b"");
    let cases = [
        (exception("throttlingException", r#"{"message":"slow down"}"#), Cause::RateLimited, "slow down"),
        (exception("serviceUnavailableException", r#"{"message":"busy"}"#), Cause::Overloaded, "busy"),
        (exception("modelStreamErrorException", r#"{"message":"broke"}"#), Cause::ServerError, "broke"),
        (exception("validationException", r#"{"message":"bad"}"#), Cause::Rejected, "bad"),
        (
            exception("validationException", r#"{"message":"Input is too long for requested model."}"#),
            Cause::ContextTooLong,
            "Input is too long for requested model.",
        ),
        (sealed(error_frame), Cause::ServerError, "oh"),
    ];
    for (raw, cause, said) in cases {
        for level in [Level::Boundaries, Level::Usage, Level::Text] {
            assert_eq!(events(level, &raw)[0].kind, EventKind::Error, "{level:?}");
        }
        let decoder = StreamDecoder::new(IN, Operation::Chat, Level::Usage).unwrap();
        let error = decoder.error(&events(Level::Usage, &raw)[0]);
        assert_eq!((error.cause, error.excerpt.as_str()), (cause, said));
    }
    let told = ErrorBody {
        status: 403,
        code: "denied",
        kind: "permission_error",
        message: "no \"way\"",
        param: None,
        request_id: "r",
    };
    let written = StreamEncoder::new(IN, Operation::Chat, identity()).error(&told);
    let frame = Frame::of(&written.raw).unwrap();
    assert_eq!(frame.header(":exception-type"), Some("validationException"));
    let payload = parsed(&written.raw[frame.payload()]);
    assert_eq!(payload, json!({ "message": "no \"way\"", "code": "denied", "requestId": "r" }));
    assert_eq!(events(Level::Text, &written.raw)[0].kind, EventKind::Error);
    for payload in [r#"{"delta":{"text":"a","text":"b"}}"#, "hello"] {
        let mut decoder = StreamDecoder::new(IN, Operation::Chat, Level::Text).unwrap();
        decoder.push(frame_of_delta(payload));
        assert_eq!(decoder.next_event().unwrap_err().code, ErrorCode::UpstreamInvalid, "{payload}");
    }
}

fn frame_of_delta(payload: &str) -> Bytes {
    frame("contentBlockDelta", payload)
}

#[test]
fn a_providers_error_is_mapped_to_a_cause() {
    let cases = [
        (400, "ValidationException", r#"{"message":"The model id is invalid."}"#, Cause::Rejected),
        (
            400,
            "ValidationException",
            r#"{"message":"Input is too long for requested model."}"#,
            Cause::ContextTooLong,
        ),
        (
            400,
            "ValidationException",
            r#"{"message":"prompt is too long: 9 tokens > 8 maximum"}"#,
            Cause::ContextTooLong,
        ),
        (403, "AccessDeniedException", r#"{"message":"no"}"#, Cause::Unauthorized),
        (403, "ExpiredTokenException:http://internal.amazon.com/coral/", "{}", Cause::Unauthorized),
        (404, "ResourceNotFoundException", "{}", Cause::NotFound),
        (408, "ModelTimeoutException", "{}", Cause::Timeout),
        (424, "ModelErrorException", r#"{"message":"x","originalStatusCode":500}"#, Cause::ServerError),
        (429, "ThrottlingException", "{}", Cause::RateLimited),
        (429, "ModelNotReadyException", "{}", Cause::Overloaded),
        (400, "ServiceQuotaExceededException", "{}", Cause::RateLimited),
        (500, "InternalServerException", "{}", Cause::ServerError),
        (503, "ServiceUnavailableException", "{}", Cause::Overloaded),
    ];
    for (status, name, body, want) in cases {
        assert_eq!(
            provider_error(IN, status, &named(name), body.as_bytes()).cause,
            want,
            "{status} {name} {body}"
        );
    }
    assert_eq!(provider_error(IN, 503, &HeaderMap::new(), b"<html>").cause, Cause::Overloaded);
}

#[test]
fn errors_are_told_as_aws_tells_them() {
    let fault = Fault::new(ErrorCode::RateLimited, "slow");
    let error = ErrorBody::of_fault(&fault, "r1");
    assert_eq!(error_body(IN, &error), r#"{"message":"slow","code":"rate-limited","requestId":"r1"}"#);
    let headers = error_headers(IN, &error);
    assert_eq!(
        (headers[0].0.as_str(), headers[0].1.to_str().unwrap()),
        ("x-amzn-errortype", "ThrottlingException")
    );
    assert!(error_headers(Dialect::OpenAi, &error).is_empty());
}

#[test]
fn a_denial_can_be_a_reply_whole_or_streamed() {
    let reply = denial_reply(IN, Operation::Chat, &identity(), "Not \"here\".");
    assert_eq!((reply.text().as_str(), reply.finish()), ("Not \"here\".", Some(Finish::ContentFilter)));
    let events = StreamEncoder::new(IN, Operation::Chat, identity()).reply(&reply, true).unwrap();
    let sent: Vec<u8> = events.iter().flat_map(|event| event.outgoing()).collect();
    let whole = collected(IN, &sent);
    assert_eq!((whole.text().as_str(), whole.finish()), ("Not \"here\".", Some(Finish::ContentFilter)));
}

#[test]
fn tokens_are_counted_of_a_conversation() {
    let body = r#"{"input":{"converse":{"messages":[{"role":"user","content":[{"text":"a"}]}]}}}"#;
    let mut request = unread(IN, Operation::Count, body);
    decode(&mut request).unwrap();
    assert_eq!(request.all_text(), "a");
    request.add_message(Role::System, "s", true);
    let to = WireFormat { dialect: IN, operation: Operation::Count };
    let out = outgoing(&request, to, "m", false).unwrap();
    assert_eq!(out.path, "/model/m/count-tokens");
    assert_eq!(parsed(&out.body)["input"]["converse"]["system"], json!([{ "text": "s" }]));
    let invoke = r#"{"input":{"invokeModel":{"body":"e30="}}}"#;
    assert_eq!(decode(&mut unread(IN, Operation::Count, invoke)).unwrap_err().code, ErrorCode::BadRequest);
    let mut reply = Reply::new(200, r#"{"inputTokens":42}"#);
    decode_reply(&mut reply, IN, Operation::Count).unwrap();
    assert_eq!((&reply.body, reply.usage), (&ReplyBody::Count(42), Some(Usage::default())));
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

proptest! {
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
