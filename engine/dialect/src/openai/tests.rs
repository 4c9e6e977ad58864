//! OpenAI's format, by recorded payloads and by properties.

use crate::*;
use proptest::prelude::*;
use weir_message::{
    Block, BlockKind, Event, EventKind, MediaKind, Part, Replace, Role, Source, TextForm, TextRole,
};

const CHAT: &str = include_str!("testdata/chat.json");
const REPLY: &str = include_str!("testdata/reply.json");
const STREAM: &str = include_str!("testdata/stream.sse");

fn unread(operation: Operation, body: &str) -> Request {
    let mut request = Request::new("r", Dialect::OpenAi, operation, "");
    request.raw = Bytes::copy_from_slice(body.as_bytes());
    request
}

fn request(operation: Operation, body: &str) -> Request {
    let mut request = unread(operation, body);
    decode(&mut request).unwrap_or_else(|fault| panic!("{fault:?}: {body}"));
    request
}

fn reply(operation: Operation, body: &str) -> Reply {
    let mut reply = Reply::new(200, Bytes::copy_from_slice(body.as_bytes()));
    decode_reply(&mut reply, Dialect::OpenAi, operation).unwrap_or_else(|fault| panic!("{fault:?}"));
    reply
}

fn identity(id: &str, model: &str, created: u64) -> Identity {
    Identity { id: id.into(), model: model.into(), created, ..Identity::default() }
}

fn events(level: Level, stream: &str) -> Vec<Event> {
    let mut decoder = StreamDecoder::new(Dialect::OpenAi, Operation::Chat, level).unwrap();
    decoder.push(Bytes::copy_from_slice(stream.as_bytes()));
    std::iter::from_fn(|| decoder.next_event().unwrap()).collect()
}

#[test]
fn a_chat_is_read_with_all_its_texts_and_where_they_stand() {
    let request = request(Operation::Chat, CHAT);
    let want = [
        (TextRole::System, "Be brief.\nNever guess."),
        (TextRole::User, "What is in \"this\" picture? ü 😀"),
        (TextRole::Reasoning, "a tool knows"),
        (TextRole::Arguments, r#"{"who":"Bob \"B\" Brown"}"#),
        (TextRole::Tool, "a weir"),
        (TextRole::Assistant, ""),
        (TextRole::Arguments, "not json"),
        (TextRole::Tool, "done"),
        (TextRole::Refusal, "No."),
        (TextRole::User, "Again — übrigens"),
        // Beside what is said.
        (TextRole::Field, "ann"),
        (TextRole::Field, "a.pdf"),
        (TextRole::Field, "look"),
        (TextRole::Field, "old"),
        (TextRole::Field, "old"),
        (TextRole::Field, "look"),
        (TextRole::Definition, "Looks."),
    ];
    let mut got = Vec::new();
    request.each_text(|at| {
        got.push((at.role, at.text.as_str()));
        let range = at.text.at.clone().unwrap();
        let literal = &CHAT[range.start as usize..range.end as usize];
        assert_eq!(serde_json::from_str::<String>(literal).unwrap(), at.text.as_str());
        assert_eq!(at.text.form == TextForm::Json, at.role == TextRole::Arguments);
    });
    assert_eq!(got, want);
    let chat = request.chat().unwrap();
    let roles: Vec<&str> = chat.messages.iter().map(|message| message.role.name()).collect();
    assert_eq!(roles, ["developer", "user", "assistant", "tool", "assistant", "tool", "assistant", "user"]);
    let media: Vec<(MediaKind, &Source)> = chat.messages[1]
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::Media(media) => Some((media.kind, &media.source)),
            _ => None,
        })
        .collect();
    assert_eq!(media.iter().map(|one| one.0).collect::<Vec<_>>(), [MediaKind::Image, MediaKind::Document]);
    assert_eq!(chat.messages[1].name.as_deref(), Some("ann"));
    let Part::ToolResult(result) = &chat.messages[5].parts[0] else { panic!("no result") };
    assert_eq!(&*result.call, "old");
    assert_eq!((&*chat.tools[0].name, chat.tools[0].description.as_deref()), ("look", Some("Looks.")));
    assert!(chat.tools[0].raw.starts_with("{\"type\"") && chat.tools[0].raw.ends_with("\"strict\": true}}"));
    assert_eq!(request.params.get("temperature").map(|json| &**json), Some("1.0e-1"));
    let names: Vec<&str> = request.params.0.iter().map(|param| &*param.name).collect();
    assert_eq!(names, ["temperature", "stream_options", "x_vendor"]);
    for param in &request.params.0 {
        let at = param.at.clone().unwrap();
        assert_eq!(&CHAT[at.start as usize..at.end as usize], &*param.json);
    }
    assert_eq!(
        (request.model(), request.head.stream, request.head.include_usage),
        ("gpt-5-mini", true, true)
    );
    let mut head = unread(Operation::Chat, CHAT);
    read_head(&mut head).unwrap();
    assert_eq!(head.head, request.head);
    assert_eq!(head.body, Body::Unread);
}

#[test]
fn texts_without_escapes_share_the_bodys_memory() {
    let request = request(Operation::Chat, r#"{"messages":[{"role":"user","content":"plain"}]}"#);
    request.each_text(|at| {
        let start = at.text.at.clone().unwrap().start as usize;
        assert_eq!(at.text.value.as_bytes().as_ptr(), request.raw[start + 1..].as_ptr());
    });
}

#[test]
fn prompts_and_inputs_are_read_in_all_their_forms() {
    let cases: [(Operation, &str, &[&str], bool); 8] = [
        (Operation::Completion, r#"{"prompt":"a"}"#, &["a"], false),
        (Operation::Completion, r#"{"prompt":["a","b"],"suffix":"c"}"#, &["a", "b", "c"], false),
        (Operation::Completion, r#"{"prompt":[1,2]}"#, &[], true),
        (Operation::Completion, r#"{"model":"x"}"#, &[], false),
        (Operation::Embedding, r#"{"input":"a"}"#, &["a"], false),
        (Operation::Embedding, r#"{"input":["a","b"]}"#, &["a", "b"], false),
        (Operation::Embedding, r#"{"input":[[1],[2]]}"#, &[], true),
        (Operation::Embedding, r#"{"input":["a",{"image":"x"}]}"#, &["a", "x"], true),
    ];
    for (operation, body, want, has_others) in cases {
        let request = request(operation, body);
        let texts = request.texts();
        assert_eq!(texts.iter().map(|(_, _, text)| &**text).collect::<Vec<_>>(), want, "{body}");
        let unreadable = match &request.body {
            Body::Completion(body) => body.has_token_ids,
            Body::Embedding(body) => body.has_token_ids,
            _ => panic!("{body}"),
        };
        assert_eq!(unreadable, has_others, "{body}");
    }
}

#[test]
fn a_text_in_a_part_of_another_type_is_not_hidden() {
    let body = r#"{"messages":[{"role":"user","content":["bare",{"type":"sticker","text":"seen"}]}]}"#;
    assert_eq!(request(Operation::Chat, body).all_text(), "bare\nseen");
}

#[test]
fn what_could_be_read_in_two_ways_is_refused_and_not_quoted() {
    let chat = |fields: &str| format!(r#"{{"messages":[{{"role":"user","content":"SECRET"}}],{fields}}}"#);
    let turn = |fields: &str| format!(r#"{{"messages":[{{"role":"user","content":"SECRET",{fields}}}]}}"#);
    let cases = [
        (chat(r#""messages":[]"#), Some("messages")),
        (chat(r#""Messages":[]"#), Some("messages")),
        (chat(r#""model":"a","model":"b""#), Some("model")),
        (chat(r#""stream":"yes""#), Some("stream")),
        (
            chat(r#""stream_options":{"include_usage":true,"include_usage":false}"#),
            Some("stream_options.include_usage"),
        ),
        (chat(r#""temperature":1,"temperature":2"#), None),
        (chat(r#""tools":{}"#), Some("tools")),
        (turn(r#""content":"b""#), Some("messages[0].content")),
        (turn(r#""c\u006fntent":"b""#), Some("messages[0].content")),
        (turn(r#""role":"assistant""#), Some("messages[0].role")),
        (turn(r#""tool_calls":[{"function":{"name":1}}]"#), Some("messages[0].tool_calls[0].function.name")),
        (r#"{"messages":[{"content":"SECRET"}]}"#.into(), Some("messages[0].role")),
        (r#"{"messages":[{"role":"SECRET"}]}"#.into(), Some("messages[0].role")),
        (r#"{"messages":[{"role":"user","content":7}]}"#.into(), Some("messages[0].content")),
        (r#"{"messages":[{"role":"user","content":"\ud800 SECRET"}]}"#.into(), Some("messages[0].content")),
        (r#"{"messages":"SECRET"}"#.into(), Some("messages")),
        (r#"{"model":"SECRET"}"#.into(), Some("messages")),
        (r#"["SECRET"]"#.into(), None),
        (r#"{"messages":[]} SECRET"#.into(), None),
        (String::new(), None),
        (format!(r#"{{"messages":[],"x":{}}}"#, "[".repeat(100_000)), None),
        (
            format!(r#"{{"messages":[]{}}}"#, (0..600).map(|n| format!(r#","f{n}":0"#)).collect::<String>()),
            None,
        ),
    ];
    for (body, param) in cases {
        let fault = decode(&mut unread(Operation::Chat, &body)).unwrap_err();
        let shown = body.get(..80).unwrap_or(&body);
        assert_eq!(
            (fault.code, fault.param.as_deref()),
            (ErrorCode::BadRequest, param),
            "{shown}: {fault:?}"
        );
        assert!(!format!("{fault:?}").contains("SECRET"), "{fault:?}");
    }
    let mut latin = unread(Operation::Chat, "");
    latin.raw = Bytes::from_static(b"{\"messages\":[{\"role\":\"user\",\"content\":\"\xe9\"}]}");
    assert!(decode(&mut latin).unwrap_err().message.contains("not UTF-8 (byte 39)"));
    assert!(read_head(&mut latin).is_err());
}

#[test]
fn what_stages_changed_before_the_body_was_read_stays_changed() {
    let mut request = unread(Operation::Chat, CHAT);
    read_head(&mut request).unwrap();
    request.set_model("other");
    request.set_param("temperature", &1.into());
    decode(&mut request).unwrap();
    assert_eq!(request.model(), "other");
    assert_eq!(request.params.get("temperature").map(|json| &**json), Some("1"));
    request.patch(&[weir_message::JsonOp::Set("/model".into(), "a-much-longer-name".into())]).unwrap();
    decode(&mut request).unwrap();
    assert_eq!(request.model(), "a-much-longer-name");
    request.patch(&[weir_message::JsonOp::Set("/model".into(), "a-much-longer-kind".into())]).unwrap();
    decode(&mut request).unwrap();
    assert_eq!(request.model(), "a-much-longer-kind");
}

#[test]
fn a_request_goes_out_with_the_upstreams_model_and_the_wish_for_usage() {
    let both = r#""stream":true,"model":"m""#;
    let cases = [
        (r#"{"model":"m","x":1.0}"#.to_owned(), "m", true, r#"{"model":"m","x":1.0}"#.to_owned()),
        (r#"{ "model" : "m","x":1.0}"#.into(), "n\"", true, r#"{ "model" : "n\"","x":1.0}"#.into()),
        (r#"{"x":1}"#.into(), "n", true, r#"{"model":"n","x":1}"#.into()),
        (r#"{ }"#.into(), "n", true, r#"{"model":"n" }"#.into()),
        (format!("{{{both}}}"), "m", false, format!("{{{both}}}")),
        (
            format!("{{{both}}}"),
            "n",
            true,
            r#"{"stream_options":{"include_usage":true},"stream":true,"model":"n"}"#.into(),
        ),
        (
            r#"{"stream":true}"#.into(),
            "n",
            true,
            r#"{"model":"n","stream_options":{"include_usage":true},"stream":true}"#.into(),
        ),
        (
            format!(r#"{{{both},"stream_options":{{"include_usage":false,"a":1}}}}"#),
            "n",
            true,
            r#"{"stream":true,"model":"n","stream_options":{"include_usage":true,"a":1}}"#.into(),
        ),
        (
            format!(r#"{{{both},"stream_options":null}}"#),
            "m",
            true,
            format!(r#"{{{both},"stream_options":{{"include_usage":true}}}}"#),
        ),
        (
            format!(r#"{{{both},"stream_options":{{"include_usage":true}}}}"#),
            "m",
            true,
            format!(r#"{{{both},"stream_options":{{"include_usage":true}}}}"#),
        ),
        (
            format!(r#"{{{both},"user":"\"stream_options\""}}"#),
            "m",
            true,
            format!(r#"{{"stream_options":{{"include_usage":true}},{both},"user":"\"stream_options\""}}"#),
        ),
    ];
    for (body, model, ask, want) in cases {
        let mut request = unread(Operation::Chat, &body);
        read_head(&mut request).unwrap();
        let out = outgoing(&request, WireFormat::of(&request), model, ask).unwrap().body;
        assert_eq!(out, want, "{body}");
        assert_eq!(out == body, out.as_ptr() == request.raw.as_ptr(), "copied only if changed: {body}");
    }
}

#[test]
fn an_edited_request_goes_out_edited_and_renamed() {
    let mut request = request(Operation::Chat, CHAT);
    request.add_message(Role::System, "First.", true);
    request.set_text(10, "Last.");
    request.set_model("fast");
    let out = outgoing(&request, WireFormat::of(&request), "lab-model", true).unwrap().body;
    let want = CHAT.replace("gpt-5-mini", "lab-model").replace("\"Again — übrigens\"", "\"Last.\"").replacen(
        "\"messages\": [",
        "\"messages\": [{\"role\":\"system\",\"content\":\"First.\"},",
        1,
    );
    assert_eq!(out, want);
}

#[test]
fn a_reply_is_read_with_texts_usage_and_model() {
    let reply = reply(Operation::Chat, REPLY);
    assert_eq!(reply.text(), "It is a weir.");
    let usage = Usage { input: 120, cached_input: 100, output: 40, reasoning: 12, ..Usage::default() };
    assert_eq!((reply.usage, reply.finish()), (Some(usage), Some(Finish::Stop)));
    let texts: Vec<String> = reply.texts().iter().map(|(_, role, text)| format!("{role}: {text}")).collect();
    assert_eq!(texts, ["assistant: It is a weir.", "reasoning: hm", "arguments: {\"who\":\"Bob\"}"]);
    let summary = read_reply_usage(&reply, Dialect::OpenAi, Operation::Chat).unwrap();
    let model = Some(ByteString::from_static("gpt-5-mini-2025-08-07"));
    let id = Some(ByteString::from_static("chatcmpl-9x"));
    assert_eq!(summary, ReplySummary { usage: Some(usage), model, id, finish: Some(Finish::Stop) });
}

#[test]
fn what_sound_says_is_read_by_its_transcript_and_goes_with_it() {
    let body = r#"{"choices":[{"index":0,"message":{"content":null,"audio":{"id":"a","data":"aGk=","transcript":"to carl"}},"finish_reason":"stop"}]}"#;
    let mut said = reply(Operation::Chat, body);
    assert_eq!(said.text(), "to carl");
    assert_eq!(&said.outgoing()[..], body.as_bytes());
    assert!(said.edit_text(0, &[Replace::new(3..7, "X")]));
    let out = body.replace("to carl", "to X").replace("\"aGk=\"", "null");
    assert_eq!(&said.outgoing()[..], out.as_bytes());

    let stream = "data: {\"choices\":[{\"index\":2,\"delta\":{\"audio\":{\"data\":\"aGk=\",\"transcript\":\"carl\"}}}]}\n\n\
                  data: {\"choices\":[{\"index\":2,\"delta\":{\"audio\":{\"data\":\"aGk=\"}}}]}\n\n";
    let mut events = events(Level::Text, stream);
    let sent = |event: &Event| String::from_utf8(event.outgoing().to_vec()).unwrap();
    assert_eq!(events.iter().map(sent).collect::<String>(), stream);
    let delta = &events[0].deltas[0];
    assert_eq!(
        (delta.block, delta.text.as_str()),
        (Block { choice: 2, kind: BlockKind::Text, index: 0 }, "carl")
    );
    assert!(events[0].set_delta(0, "X"));
    assert!(!sent(&events[0]).contains("carl") && !sent(&events[0]).contains("aGk="), "{}", sent(&events[0]));
}

#[test]
fn a_reply_that_cannot_be_read_is_the_providers_fault() {
    let twice = r#"{"choices":[{"message":{"content":"a","content":"b"}}]}"#;
    for body in ["", "<html>", "{\"choices\":[{]}", twice] {
        let mut reply = Reply::new(200, Bytes::copy_from_slice(body.as_bytes()));
        let fault = decode_reply(&mut reply, Dialect::OpenAi, Operation::Chat).unwrap_err();
        assert_eq!((fault.code, fault.param), (ErrorCode::UpstreamInvalid, None), "{body}");
    }
    let spelt =
        reply(Operation::Chat, r#"{"choices":[{"message":{"content":"a"},"logprobs":{"content":[]}}]}"#);
    assert!(spelt.choices()[0].parts.contains(&super::parts::other("logprobs".into())));
}

#[test]
fn each_level_of_a_stream_reads_what_it_says_and_all_agree_on_kinds() {
    let kinds = |level| events(level, STREAM).iter().map(|event| event.kind.name()).collect::<Vec<_>>();
    let mut want = vec!["keep-alive"];
    want.extend(["content"; 7]);
    want.extend(["usage", "done"]);
    for level in [Level::Boundaries, Level::Usage, Level::Text] {
        assert_eq!(kinds(level), want, "{level:?}");
        let sent: Vec<u8> =
            events(level, STREAM).iter().flat_map(|event| event.outgoing().to_vec()).collect();
        assert_eq!(sent, STREAM.as_bytes());
    }
    let usage = Usage { input: 9, output: 7, ..Usage::default() };
    for level in [Level::Usage, Level::Text] {
        let events = events(level, STREAM);
        assert_eq!(events.iter().find_map(|event| event.usage), Some(usage));
        let finishes: Vec<Finish> = events.iter().filter_map(|event| event.finish).collect();
        assert_eq!(finishes, [Finish::Stop, Finish::ToolCalls]);
    }
    assert!(events(Level::Usage, STREAM).iter().all(|event| event.deltas.is_empty()));
}

#[test]
fn deltas_know_their_block_and_place_also_on_a_second_line_of_data() {
    let mut seen = Vec::new();
    for event in events(Level::Text, STREAM) {
        for delta in &event.deltas {
            let at = delta.text.at.clone().unwrap();
            let literal = std::str::from_utf8(&event.raw[at.start as usize..at.end as usize]).unwrap();
            assert_eq!(serde_json::from_str::<String>(literal).unwrap(), delta.text.as_str());
            let Block { choice, kind, index } = delta.block;
            seen.push(format!("{choice} {kind} {index}: {}", delta.text.as_str()));
        }
    }
    let want = [
        "0 text 0: It \"is\"",
        "0 text 0:  a über-weir",
        "1 reasoning 0: hm",
        "1 arguments 0: {\"who\":",
        "1 arguments 0: \"Bob\"}",
    ];
    assert_eq!(seen, want);
}

#[test]
fn errors_inside_a_stream_are_told_apart_at_every_level() {
    let cases = [
        ("data: {\"error\":{\"message\":\"x\",\"code\":\"rate_limit_exceeded\"}}\n\n", EventKind::Error),
        (
            "data: {\"id\":\"1\",\"error\" : {\"code\":502},\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"}}]}\n\n",
            EventKind::Error,
        ),
        ("event: error\ndata: oh\n\n", EventKind::Error),
        (
            "data: {\"error\":null,\"choices\":[{\"delta\":{\"content\":\"\\\"error\\\":1\"}}]}\n\n",
            EventKind::Content,
        ),
        ("data: {\"choices\":[{\"delta\":{\"content\":\"\\\"usage\\\":{}\"}}]}\n\n", EventKind::Content),
        ("data: {\"choices\":[ ],\"usage\": {\"prompt_tokens\":1}}\n\n", EventKind::Usage),
        ("data:[DONE]\r\n\r\n", EventKind::Done),
        (": ping\n\n", EventKind::KeepAlive),
        ("data:\n\n", EventKind::KeepAlive),
        ("retry: 10\n\n", EventKind::Other),
    ];
    for (stream, kind) in cases {
        for level in [Level::Boundaries, Level::Usage, Level::Text] {
            assert_eq!(events(level, stream)[0].kind, kind, "{level:?} {stream}");
        }
    }
    let decoder = StreamDecoder::new(Dialect::OpenAi, Operation::Chat, Level::Boundaries).unwrap();
    let cause = |n: usize| decoder.error(&Event::new(cases[n].0, EventKind::Error)).cause;
    assert_eq!((cause(0), cause(1), cause(2)), (Cause::RateLimited, Cause::ServerError, Cause::ServerError));
}

#[test]
fn an_event_that_cannot_be_read_does_not_pass_a_plan_that_reads_text() {
    let bad = "data: {\"choices\":[{\"delta\":{\"content\":\"a\",\"content\":\"b\"}}]}\n\n";
    let so_far = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"message\":{\"content\":\"a\"}}]}\n\n";
    for stream in [bad, so_far, "data: {\n\n", "data: hello\n\n"] {
        let mut decoder = StreamDecoder::new(Dialect::OpenAi, Operation::Chat, Level::Text).unwrap();
        decoder.push(Bytes::copy_from_slice(stream.as_bytes()));
        assert_eq!(decoder.next_event().unwrap_err().code, ErrorCode::UpstreamInvalid, "{stream}");
    }
}

#[test]
fn a_stream_without_its_end_is_not_clean() {
    let end = STREAM.find("data: [DONE]").unwrap();
    for (upto, is_clean) in
        [(STREAM.len(), true), (STREAM.len() - 1, false), (end, false), (end - 9, false), (0, false)]
    {
        let mut decoder = StreamDecoder::new(Dialect::OpenAi, Operation::Chat, Level::Boundaries).unwrap();
        decoder.push(Bytes::copy_from_slice(&STREAM.as_bytes()[..upto]));
        while decoder.next_event().unwrap().is_some() {}
        assert_eq!(decoder.finish().unwrap().is_clean, is_clean, "{upto}");
    }
}

#[test]
fn what_is_written_into_a_stream_reads_back_and_looks_like_the_rest() {
    let mut encoder = StreamEncoder::new(Dialect::OpenAi, Operation::Chat, identity("mine", "mine", 1));
    events(Level::Boundaries, STREAM).iter().for_each(|event| assert_eq!(encoder.send(event), event.raw));
    let usage = Usage { input: 5, cached_input: 2, output: 3, reasoning: 1, ..Usage::default() };
    let error = ErrorBody {
        status: 502,
        code: "upstream-broken",
        kind: "server_error",
        message: "a\"b",
        param: None,
        request_id: "r",
    };
    let blocks = [BlockKind::Text, BlockKind::Reasoning, BlockKind::Refusal, BlockKind::Arguments]
        .map(|kind| Block { choice: 2, kind, index: 0 });
    let mut pieces: Vec<Piece> =
        blocks.iter().map(|block| Piece::Text { block: *block, text: "a \"b\"\n".into() }).collect();
    // Told once, at the end, whatever was known before.
    pieces.insert(0, Piece::Usage(Usage { output: 1, ..usage }));
    pieces.push(Piece::Usage(usage));
    pieces.push(Piece::Finish { choice: 2, why: Finish::ContentFilter, stop: None });
    let mut written: Vec<Event> = pieces.into_iter().flat_map(|piece| encoder.write(piece)).collect();
    written.push(encoder.error(&error));
    written.extend(encoder.write(Piece::Done));
    let role = written.remove(0);
    assert!(role.raw.windows(18).any(|part| part == b"\"role\":\"assistant\""));
    for event in &written {
        let text = std::str::from_utf8(&event.raw).unwrap();
        assert_eq!(&events(Level::Text, text), std::slice::from_ref(event), "{text}");
        let is_chunk = matches!(event.kind, EventKind::Content | EventKind::Usage);
        assert_eq!(text.contains(r#""id":"chatcmpl-7""#) && text.contains("1763600000"), is_chunk, "{text}");
    }
    assert_eq!(
        written[5].raw,
        "data: {\"error\":{\"message\":\"a\\\"b\",\"type\":\"server_error\",\"param\":null,\"code\":\"upstream-broken\",\"request_id\":\"r\"}}\n\n"
    );
}

#[test]
fn a_stream_put_together_is_the_reply_and_a_reply_taken_apart_is_the_stream() {
    let collect = |events: &[Event]| {
        let mut collector = Collector::new(Dialect::OpenAi, Operation::Chat, 4096);
        events.iter().for_each(|event| collector.push(event).unwrap());
        collector.finish().unwrap()
    };
    let says = |reply: &Reply| {
        let texts = reply.texts();
        let calls: Vec<String> = reply
            .choices()
            .iter()
            .flat_map(|choice| &choice.parts)
            .filter_map(|part| match part {
                Part::ToolCall(call) => Some(format!("{} {}", call.id, call.name)),
                _ => None,
            })
            .collect();
        let finishes: Vec<_> = reply.choices().iter().map(|choice| (choice.index, choice.finish)).collect();
        (texts, calls, finishes, reply.usage)
    };
    let mut events = events(Level::Text, STREAM);
    let whole = collect(&events);
    assert_eq!(whole.text(), "It \"is\" a über-weir");
    assert_eq!(whole.model.as_deref(), Some("gpt-5-mini"));
    let encoder = || StreamEncoder::new(Dialect::OpenAi, Operation::Chat, identity("i", "m", 1));
    let again = collect(&encoder().reply(&whole, true).unwrap());
    assert_eq!(says(&again), says(&whole));
    let recorded = reply(Operation::Chat, REPLY);
    assert_eq!(says(&collect(&encoder().reply(&recorded, true).unwrap())).1, says(&recorded).1);
    // Edits count.
    assert!(events[2].set_delta(0, "This was"));
    assert_eq!(collect(&events).text(), "This was a über-weir");
    let mut small = Collector::new(Dialect::OpenAi, Operation::Chat, 100);
    let full = events.iter().find_map(|event| small.push(event).err()).unwrap();
    assert_eq!(full.code, ErrorCode::UpstreamInvalid);
}

#[test]
fn a_denial_can_be_a_reply_whole_or_streamed() {
    for operation in [Operation::Chat, Operation::Completion] {
        let reply = denial_reply(Dialect::OpenAi, operation, &identity("id", "m", 7), "Not \"here\".");
        assert_eq!((reply.text().as_str(), reply.finish()), ("Not \"here\".", Some(Finish::ContentFilter)));
        let events = StreamEncoder::new(Dialect::OpenAi, operation, identity("id", "m", 7))
            .reply(&reply, false)
            .unwrap();
        let text: String = events
            .iter()
            .flat_map(|event| &event.deltas)
            .map(|delta| delta.text.as_str().to_owned())
            .collect();
        assert_eq!(text, "Not \"here\".");
        assert_eq!(events.iter().find_map(|event| event.finish), Some(Finish::ContentFilter));
        assert_eq!(events.last().unwrap().kind, EventKind::Done);
    }
}

#[test]
fn lists_of_models_and_errors_are_json_as_openai_writes_it() {
    let list: serde_json::Value =
        serde_json::from_slice(&models_list(Dialect::OpenAi, ["a", "b\""], 7)).unwrap();
    assert_eq!(
        list["data"][1],
        serde_json::from_slice::<serde_json::Value>(&model_one(Dialect::OpenAi, "b\"", 7)).unwrap()
    );
    let fault = Fault::new(ErrorCode::BadRequest, "no").param("model");
    let body = error_body(Dialect::OpenAi, &ErrorBody::of_fault(&fault, "r1"));
    assert_eq!(
        body,
        r#"{"error":{"message":"no","type":"invalid_request_error","param":"model","code":"bad-request","request_id":"r1"}}"#
    );
}

#[test]
fn a_providers_error_is_mapped_to_a_cause() {
    let cases = [
        (400, r#"{"error":{"message":"too long","code":"context_length_exceeded"}}"#, Cause::ContextTooLong),
        (
            400,
            r#"{"object":"error","message":"This model's maximum context length is 8 tokens","code":400}"#,
            Cause::ContextTooLong,
        ),
        (400, r#"{"error":{"message":"bad","code":"content_filter"}}"#, Cause::ContentFiltered),
        (400, r#"{"error":"model is busy"}"#, Cause::Rejected),
        (401, r#"{"error":{"code":"invalid_api_key"}}"#, Cause::Unauthorized),
        (404, "not found", Cause::NotFound),
        (429, r#"{"error":{"type":"insufficient_quota"}}"#, Cause::RateLimited),
        (500, "", Cause::ServerError),
        (503, "<html>", Cause::Overloaded),
        (529, "{}", Cause::Overloaded),
        (200, r#"{"error":{"code":429,"message":"slow"}}"#, Cause::RateLimited),
    ];
    for (status, body, want) in cases {
        let error = provider_error(Dialect::OpenAi, status, &HeaderMap::new(), body.as_bytes());
        assert_eq!(error.cause, want, "{status} {body}");
    }
    let mut headers = HeaderMap::new();
    headers.insert("retry-after", http::HeaderValue::from_static("2"));
    let long = "é".repeat(1000);
    let error = provider_error(Dialect::OpenAi, 429, &headers, long.as_bytes());
    assert_eq!((error.retry_after, error.excerpt.len()), (Some(Duration::from_secs(2)), 500));
    headers.insert("retry-after-ms", http::HeaderValue::from_static("-1"));
    assert_eq!(provider_error(Dialect::OpenAi, 429, &headers, b"").retry_after, None);
}

#[test]
fn recorded_payloads_hold_what_fuzzing_asks() {
    for payload in [CHAT, REPLY, STREAM] {
        let bytes = payload.as_bytes();
        assert!(
            fuzzing::request(Dialect::OpenAi, bytes)
                && fuzzing::reply(Dialect::OpenAi, bytes)
                && fuzzing::stream(Dialect::OpenAi, bytes)
        );
        // Cut anywhere.
        for end in (0..bytes.len()).step_by(7) {
            let bytes = &bytes[..end];
            assert!(
                fuzzing::request(Dialect::OpenAi, bytes)
                    && fuzzing::reply(Dialect::OpenAi, bytes)
                    && fuzzing::stream(Dialect::OpenAi, bytes),
                "{end}"
            );
        }
    }
}

proptest! {
    #[test]
    fn an_edit_changes_one_text_and_nothing_else(index in 0usize..10, with in "\\PC{0,12}|[\"\\\\\n]{1,4}") {
        let mut request = request(Operation::Chat, CHAT);
        let before = request.texts();
        let at = { let mut at = 0..0; request.each_text(|t| if t.index == index { at = t.text.at.clone().unwrap() }); at };
        let old = before[index].2.len();
        let is_json = before[index].1 == TextRole::Arguments;
        prop_assert!(request.edit_text(index, &[Replace::new(0..old, with.clone())]));
        let out = request.outgoing().unwrap();
        prop_assert_eq!(&out[..at.start as usize], &CHAT.as_bytes()[..at.start as usize]);
        let behind = CHAT.len() - at.end as usize;
        prop_assert_eq!(&out[out.len() - behind..], &CHAT.as_bytes()[at.end as usize..]);
        let again = self::request(Operation::Chat, std::str::from_utf8(&out).unwrap());
        for (n, (old, new)) in before.iter().zip(again.texts()).enumerate() {
            if n != index {
                prop_assert_eq!(old, &new);
            } else if is_json {
                let quoted = format!("\"{}\"", new.2);
                prop_assert_eq!(&serde_json::from_str::<String>(&quoted).unwrap(), &with);
            } else {
                prop_assert_eq!(&*new.2, &with);
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(fuzzing::request(Dialect::OpenAi, &bytes) && fuzzing::reply(Dialect::OpenAi, &bytes) && fuzzing::stream(Dialect::OpenAi, &bytes));
    }

    #[test]
    fn damaged_payloads_never_panic(which in 0usize..3, at in 0usize..3000, byte in any::<u8>(), gone in 0usize..20) {
        let mut bytes = [CHAT, REPLY, STREAM][which].as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        let end = (at + gone).min(bytes.len());
        bytes.drain(at..end);
        prop_assert!(fuzzing::request(Dialect::OpenAi, &bytes) && fuzzing::reply(Dialect::OpenAi, &bytes) && fuzzing::stream(Dialect::OpenAi, &bytes));
    }
}
