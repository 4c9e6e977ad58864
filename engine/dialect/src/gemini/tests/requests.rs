//! Requests of clients.

use super::*;
use weir_message::{MediaKind, Part, Replace, Role, Source, TextForm, TextRole, ToolKind};

#[test]
fn a_chat_is_read_with_all_its_texts_and_where_they_stand() {
    let request = request(GENERATE, CHAT);
    let want = [
        (TextRole::System, "Be brief.\nNever guess."),
        (TextRole::User, "What is in \"this\" picture? ü 😀"),
        (TextRole::Reasoning, "a tool knows"),
        (TextRole::Arguments, r#"{"who": "Bob \"B\" Brown", "n": 1.0e1}"#),
        (TextRole::Arguments, "{}"),
        (TextRole::Arguments, "{}"),
        (TextRole::Tool, "a weir"),
        (TextRole::Tool, r#"{ "found": ["Bob's mail", 2] }"#),
        (TextRole::Tool, "no such page"),
        (TextRole::Assistant, "print(6*7)"),
        (TextRole::Assistant, "42\n"),
        (TextRole::Assistant, "It is 42."),
        (TextRole::User, "Again — übrigens"),
        // Beside what is said.
        (TextRole::Field, "https://example.com/plan.pdf"),
        (TextRole::Field, "https://generativelanguage.googleapis.com/v1beta/files/abc"),
        (TextRole::Field, "look"),
        (TextRole::Field, "look"),
        (TextRole::Field, "fetch"),
        (TextRole::Field, "look"),
        (TextRole::Field, "look"),
        (TextRole::Field, "fetch"),
        (TextRole::Field, "look"),
        (TextRole::Definition, "Looks."),
        (TextRole::Field, "who"),
        (TextRole::Field, "fetch"),
        (TextRole::Field, "look"),
        (TextRole::Field, "web"),
    ];
    let mut got = Vec::new();
    request.each_text(|at| {
        got.push((at.role, at.text.as_str()));
        let Some(range) = at.text.at.clone() else { return };
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
    let media: Vec<(MediaKind, bool, Option<&str>)> = chat.messages[1]
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::Media(media) => {
                Some((media.kind, matches!(media.source, Source::File(_)), media.detail.as_deref()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(
        media,
        [
            (MediaKind::Image, false, Some("high")),
            (MediaKind::Document, false, None),
            (MediaKind::Video, true, None)
        ]
    );
    // Calls without an id have one, and each result that of the call it answers.
    let calls: Vec<&str> = chat.messages[2]
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::ToolCall(call) => Some(&*call.id),
            _ => None,
        })
        .collect();
    let results: Vec<(&str, bool)> = chat.messages[3]
        .parts
        .iter()
        .map(|part| match part {
            Part::ToolResult(result) => (&*result.call, result.is_error),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(results, [(calls[0], false), (calls[1], false), ("fc_9", true)]);
    assert_ne!(calls[0], calls[1]);
    let tools: Vec<(&str, ToolKind)> = chat.tools.iter().map(|tool| (&*tool.name, tool.kind)).collect();
    assert_eq!(
        tools,
        [("look", ToolKind::Function), ("fetch", ToolKind::Function), ("googleSearch", ToolKind::Provider)]
    );
    assert_eq!(
        chat.tools[0].schema.as_deref(),
        Some(r#"{"type":"object","properties":{"who":{"type":["string","null"]}},"required":["who"]}"#)
    );
    assert_eq!((request.model(), request.head.stream), ("gemini-2.5-flash", false));
    let mut head = unread(GENERATE, CHAT);
    read_head(&mut head).unwrap();
    assert_eq!(head.head, request.head);
}

#[test]
fn model_and_stream_stand_in_the_path_and_stay_where_a_stage_changes_them() {
    let path = "/gemini/v1beta/models/org%2Fm:streamGenerateContent";
    let body = r#"{"contents":[{"parts":[{"text":"a"}]}]}"#;
    let mut request = unread(path, body);
    read_head(&mut request).unwrap();
    assert_eq!((request.model(), request.head.stream, request.head.include_usage), ("org/m", true, true));
    request.set_model("other");
    decode(&mut request).unwrap();
    assert_eq!(request.model(), "other");
    request.patch(&[weir_message::JsonOp::Set("/store".into(), true.into())]).unwrap();
    decode(&mut request).unwrap();
    assert_eq!((request.model(), request.head.stream), ("other", true));
    let out = outgoing(&request, WireFormat::of(&request), "gemini-2.5-pro", true).unwrap();
    assert_eq!(out.path, "/models/gemini-2.5-pro:streamGenerateContent?alt=sse");
    assert_eq!(out.body, r#"{"contents":[{"parts":[{"text":"a"}]}],"store":true}"#);
}

#[test]
fn the_same_dialect_is_passed_as_it_came_but_for_models_that_the_body_names() {
    let same = |path: &str, body: &str, model: &str| {
        let mut request = unread(path, body);
        read_head(&mut request).unwrap();
        let out = outgoing(&request, WireFormat::of(&request), model, true).unwrap();
        (out.path, String::from_utf8(out.body.to_vec()).unwrap())
    };
    assert_eq!(
        same(GENERATE, CHAT, "gemini-2.5-pro"),
        ("/models/gemini-2.5-pro:generateContent".into(), CHAT.into())
    );
    assert_eq!(
        same(
            "/v1beta/models/e:embedContent",
            r#"{"model": "models/e", "content":{"parts":[{"text":"a"}]}}"#,
            "f"
        ),
        (
            "/models/f:embedContent".into(),
            r#"{"model": "models/f", "content":{"parts":[{"text":"a"}]}}"#.into()
        )
    );
    let two = |model: &str| {
        format!(
            r#"{{"requests":[{{"model":"models/{model}","content":{{"parts":[{{"text":"\"model\""}}]}}}},{{"content":{{"parts":{{"text":"b"}}}},"model":"models/{model}"}}]}}"#
        )
    };
    assert_eq!(
        same("/v1beta/models/e:batchEmbedContents", &two("e"), "f"),
        ("/models/f:batchEmbedContents".into(), two("f"))
    );
    let count =
        |model: &str| format!(r#"{{"generateContentRequest":{{"model":"models/{model}","contents":[]}}}}"#);
    assert_eq!(
        same("/v1/models/e:countTokens", &count("e"), "f"),
        ("/models/f:countTokens".into(), count("f"))
    );
}

#[test]
fn both_spellings_and_single_values_are_read_and_take_added_turns() {
    let cases = [
        (
            r#"{"contents":{"parts":{"text":"a"}}}"#,
            r#"{"contents":[{"parts":[{"text":"c"}],"role":"user"},{"parts":{"text":"a"}},{"parts":[{"text":"d"}],"role":"model"}],"systemInstruction":{"parts":[{"text":"b"},{"text":"e"}]}}"#,
        ),
        (
            r#"{"system_instruction":{"parts":{"text":"s"}},"contents":[]}"#,
            r#"{"system_instruction":{"parts":[{"text":"s"},{"text":"b"},{"text":"e"}]},"contents":[{"parts":[{"text":"c"}],"role":"user"},{"parts":[{"text":"d"}],"role":"model"}]}"#,
        ),
        (
            r#"{"systemInstruction":{"parts":[{"text":"s"}]},"contents":[{"role":"user","parts":[{"text":"a"}]}]}"#,
            r#"{"systemInstruction":{"parts":[{"text":"s"},{"text":"b"},{"text":"e"}]},"contents":[{"parts":[{"text":"c"}],"role":"user"},{"role":"user","parts":[{"text":"a"}]},{"parts":[{"text":"d"}],"role":"model"}]}"#,
        ),
    ];
    for (body, want) in cases {
        let mut request = request(GENERATE, body);
        request.add_message(Role::System, "b", false);
        request.add_message(Role::User, "c", true);
        request.add_message(Role::Assistant, "d", false);
        request.add_message(Role::System, "e", false);
        let out = outgoing(&request, WireFormat::of(&request), "gemini-2.5-flash", false).unwrap().body;
        // The order of an added turn's keys is serde_json's.
        let value = |json: &[u8]| serde_json::from_slice::<serde_json::Value>(json).unwrap();
        assert_eq!(value(&out), value(want.as_bytes()), "{body}");
        let again = super::request(GENERATE, want);
        assert!(again.all_text().contains('c') && again.system().ends_with("b\ne"), "{}", again.all_text());
    }
    let nested =
        r#"{"generateContentRequest":{"system_instruction":{"parts":[{"text":"s"}]},"contents":[]}}"#;
    let mut request = request("/v1beta/models/m:countTokens", nested);
    request.add_message(Role::System, "b", true);
    let want = nested.replace(r#"[{"text":"s"}]"#, r#"[{"text":"b"},{"text":"s"}]"#);
    assert_eq!(outgoing(&request, WireFormat::of(&request), "m", false).unwrap().body, want);
}

#[test]
fn things_to_embed_are_read_in_all_their_forms() {
    let cases: [(&str, &str, &[&str], bool); 4] = [
        (
            "embedContent",
            r#"{"content":{"parts":[{"text":"a"}]},"taskType":"RETRIEVAL_QUERY"}"#,
            &["a"],
            false,
        ),
        ("embedContent", r#"{"content":{"parts":[{"text":"a"},{"text":"b"}]}}"#, &["a", "b"], true),
        (
            "batchEmbedContents",
            r#"{"requests":[{"content":{"parts":{"text":"a"}}},{"content":{"parts":[{"text":"b"}]}}]}"#,
            &["a", "b"],
            false,
        ),
        ("embedContent", r#"{"content":{"parts":[{"inlineData":{"data":"aaaa"}}]}}"#, &[], true),
    ];
    for (method, body, want, has_media) in cases {
        let request = request(&format!("/v1beta/models/m:{method}"), body);
        let texts = request.texts();
        assert_eq!(texts.iter().map(|(_, _, text)| &**text).collect::<Vec<_>>(), want, "{body}");
        let Body::Embedding(embedding) = &request.body else { panic!("{body}") };
        assert_eq!(embedding.has_media, has_media, "{body}");
    }
}

#[test]
fn what_could_be_read_in_two_ways_or_in_none_is_refused_and_not_quoted() {
    let part = |fields: &str| format!(r#"{{"contents":[{{"parts":[{{{fields}}}]}}]}}"#);
    let chat = |fields: &str| format!(r#"{{"contents":[{{"parts":[{{"text":"SECRET"}}]}}],{fields}}}"#);
    let cases = [
        (chat(r#""contents":[]"#), Some("contents")),
        (chat(r#""Contents":[]"#), Some("contents")),
        (chat(r#""systemInstruction":{},"system_instruction":{}"#), Some("system_instruction")),
        (chat(r#""generationConfig":{},"generationConfig":{}"#), None),
        (chat(r#""model":"models/SECRET""#), Some("model")),
        (chat(r#""tools":7"#), Some("tools")),
        (r#"{"contents":[{"role":"SECRET","parts":[]}]}"#.into(), Some("contents[0].role")),
        (r#"{"contents":[{"role":"system","parts":[]}]}"#.into(), Some("contents[0].role")),
        (part(r#""text":7"#), Some("contents[0].parts[0].text")),
        (part(r#""Text":"SECRET""#), Some("contents[0].parts[0].text")),
        (
            part(r#""inlineData":{"data":"a"},"inline_data":{"data":"b"}"#),
            Some("contents[0].parts[0].inline_data"),
        ),
        (part(r#""inlineData":{"mimeType":"image/png"}"#), Some("contents[0].parts[0].inlineData")),
        (part(r#""functionCall":{"args":"SECRET"}"#), Some("contents[0].parts[0].functionCall.args")),
        (
            part(r#""functionCall":{"partialArgs":[{"stringValue":"SECRET"}]}"#),
            Some("contents[0].parts[0].functionCall.partialArgs[0]"),
        ),
        (
            part(r#""functionResponse":{"response":["SECRET"]}"#),
            Some("contents[0].parts[0].functionResponse.response"),
        ),
        (r#"{"contents":"SECRET"}"#.into(), Some("contents")),
        (r#"{"contents":null}"#.into(), None),
        (r#"{}"#.into(), None),
        (String::new(), None),
    ];
    for (body, param) in cases {
        let fault = decode(&mut unread(GENERATE, &body)).unwrap_err();
        assert_eq!((fault.code, fault.param.as_deref()), (ErrorCode::BadRequest, param), "{body}: {fault:?}");
        assert!(!format!("{fault:?}").contains("SECRET"), "{fault:?}");
    }
    let embed = "/v1beta/models/m:batchEmbedContents";
    for (body, param) in [
        (r#"{"requests":[{"model":"models/other"}]}"#, Some("requests[0].model")),
        (r#"{"requests":[{"model":"models/m"}]}"#, Some("requests[0]")),
        (r#"{"model":"models/m"}"#, None),
    ] {
        let fault = decode(&mut unread(embed, body)).unwrap_err();
        assert_eq!((fault.code, fault.param.as_deref()), (ErrorCode::BadRequest, param), "{body}: {fault:?}");
    }
    assert!(read_head(&mut unread(embed, r#"{"requests":[{"model":"models/other"}]}"#)).is_err());
}

#[test]
fn an_edit_changes_one_text_and_nothing_else() {
    let before = request(GENERATE, CHAT);
    let texts = before.texts();
    let mut documents = Vec::new();
    before.each_text(|at| documents.extend((at.text.form == TextForm::Document).then_some(at.index)));
    for (index, _, old) in texts.iter().filter(|(index, ..)| !documents.contains(index)) {
        let mut request = request(GENERATE, CHAT);
        assert!(request.edit_text(*index, &[Replace::new(old.len()..old.len(), "\"é\n")]));
        let out = outgoing(&request, WireFormat::of(&request), "gemini-2.5-flash", false).unwrap().body;
        let again = super::request(GENERATE, std::str::from_utf8(&out).unwrap()).texts();
        for (old, new) in texts.iter().zip(&again) {
            match old.0 == *index {
                true => assert_eq!(*new.2, format!("{}\"é\n", old.2)),
                false => assert_eq!(old, new),
            }
        }
    }
    // Inside a document an edit is escaped for JSON.
    let mut request = request(GENERATE, CHAT);
    assert!(request.edit_text(3, &[Replace::new(9..12, "A \"x\"")]));
    let out = outgoing(&request, WireFormat::of(&request), "gemini-2.5-flash", false).unwrap().body;
    assert_eq!(out, CHAT.replacen(r#"{"who": "Bob "#, r#"{"who": "A \"x\" "#, 1));
}
