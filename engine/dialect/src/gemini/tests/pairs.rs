//! Between OpenAI's dialect and this one, both ways.

use super::replies::placeless;
use super::*;
use serde_json::json;
use weir_message::{Chat, Part, Role};

#[test]
fn a_chat_of_gemini_reaches_openai() {
    let request = request(GENERATE, CHAT);
    let (body, dropped) = sent(&request, Dialect::OpenAi, "gpt");
    let messages = body["messages"].as_array().unwrap();
    let roles: Vec<&str> = messages.iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool", "tool", "tool", "assistant", "user"]);
    assert_eq!(messages[0]["content"], "Be brief.\nNever guess.");
    let image = &messages[1]["content"][1];
    assert_eq!(
        image["image_url"],
        json!({ "url": "data:image/png;base64,iVBORw0KGgo/+w==", "detail": "high" })
    );
    let calls = messages[2]["tool_calls"].as_array().unwrap();
    assert_eq!(
        calls[0]["function"],
        json!({ "name": "look", "arguments": "{\"who\": \"Bob \\\"B\\\" Brown\", \"n\": 1.0e1}" })
    );
    assert_eq!(calls[0]["extra_content"], json!({ "google": { "thought_signature": "CiQB+w==" } }));
    assert_eq!(messages[2]["reasoning_content"], "a tool knows");
    for n in 0..3 {
        assert_eq!(messages[3 + n]["tool_call_id"], calls[n]["id"], "each result answers its call");
    }
    assert_eq!(messages[3]["content"], "a weir");
    assert_eq!(messages[5]["content"], "no such page");
    assert_eq!(body["tools"].as_array().unwrap().len(), 2);
    assert_eq!(
        body["tools"][0]["function"]["parameters"]["properties"]["who"]["type"],
        json!(["string", "null"])
    );
    assert_eq!(body["tool_choice"], json!({ "type": "function", "function": { "name": "look" } }));
    let plain = ["temperature", "top_p", "max_completion_tokens", "seed", "stop", "logprobs", "top_logprobs"];
    let values: Vec<serde_json::Value> = plain.iter().map(|name| body[*name].clone()).collect();
    assert_eq!(
        values,
        [json!(0.1), json!(0.9), json!(300), json!(7), json!(["END", "ü"]), json!(true), json!(3)]
    );
    assert_eq!(body["response_format"]["json_schema"]["schema"]["type"], "object");
    assert_eq!(body["reasoning_effort"], "low");
    for feature in [
        "content",
        "documents",
        "images in tool results",
        "metadata",
        "provider tools",
        "safety_settings",
        "top_k",
        "unknown fields",
        "video",
    ] {
        assert!(dropped.contains(&feature), "{feature}: {dropped:?}");
    }
}

#[test]
fn a_result_without_its_call_is_a_clear_error() {
    let body = r#"{"contents":[{"parts":[{"functionResponse":{"name":"f","response":{}}}]}]}"#;
    let fault =
        outgoing(&request(GENERATE, body), format(Dialect::OpenAi, Operation::Chat), "m", false).unwrap_err();
    assert_eq!((fault.code, fault.param.as_deref()), (ErrorCode::BadRequest, Some("contents")));
    let body =
        r#"{"messages":[{"role":"user","content":"a"},{"role":"tool","tool_call_id":"x","content":"b"}]}"#;
    let request = of_openai(Operation::Chat, body);
    let fault = outgoing(&request, format(Dialect::Gemini, Operation::Chat), "m", false).unwrap_err();
    assert_eq!(
        (fault.code, fault.param.as_deref()),
        (ErrorCode::BadRequest, Some("messages[1].tool_call_id"))
    );
}

#[test]
fn what_is_no_base64_is_a_clear_error() {
    let body = |data: &str| {
        format!(
            r#"{{"contents":[{{"parts":[{{"inlineData":{{"mimeType":"image/png","data":"{data}"}}}}]}}]}}"#
        )
    };
    let sent =
        |body: &str| outgoing(&request(GENERATE, body), format(Dialect::OpenAi, Operation::Chat), "m", false);
    for bad in ["!", "A", "AAAA A", "AA===", "data:image/png;base64,AAAA"] {
        let fault = sent(&body(bad)).unwrap_err();
        assert_eq!((fault.code, fault.param.as_deref()), (ErrorCode::BadRequest, Some("contents")), "{bad}");
        let image = json!({ "messages": [{ "role": "user", "content": [{ "type": "image_url", "image_url": { "url": format!("data:image/png;base64,{bad}") } }] }] });
        let openai = of_openai(Operation::Chat, &image.to_string());
        let fault = outgoing(&openai, format(Dialect::Gemini, Operation::Chat), "m", false).unwrap_err();
        assert_eq!(
            (fault.code, fault.param.as_deref()),
            (ErrorCode::BadRequest, Some("messages[0].content")),
            "{bad}"
        );
    }
    for good in ["", "AAAA", "AAA", "_-+/"] {
        assert!(sent(&body(good)).is_ok(), "{good}");
    }
}

const OPENAI: &str = r#"{
  "model": "fast", "stream": true,
  "messages": [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "name": "ann", "content": [
      {"type": "text", "text": "What is this? ü"},
      {"type": "image_url", "image_url": {"url": "https://example.com/a.PNG?x=1", "detail": "low"}},
      {"type": "image_url", "image_url": {"url": "data:image/webp;base64,AAAA"}},
      {"type": "input_audio", "input_audio": {"data": "BBBB", "format": "wav"}},
      {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,CCCC"}}
    ]},
    {"role": "assistant", "content": null, "reasoning_content": "hm", "tool_calls": [
      {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{\"who\": \"Bob\"}"}},
      {"id": "call_2", "type": "function", "function": {"name": "look", "arguments": "not json"}}
    ]},
    {"role": "tool", "tool_call_id": "call_1", "content": "{\"found\": 1.0}"},
    {"role": "tool", "tool_call_id": "call_2", "content": "nothing"},
    {"role": "assistant", "content": "", "refusal": "No."},
    {"role": "developer", "content": "In German."},
    {"role": "user", "content": "Again"}
  ],
  "tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}, "strict": true}}],
  "tool_choice": "required",
  "temperature": 0.50, "max_tokens": 10, "n": 2, "stop": "END", "logprobs": true,
  "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object", "$defs": {}}}},
  "reasoning_effort": "medium", "user": "u", "service_tier": "priority", "logit_bias": {"1": 2}, "parallel_tool_calls": false
}"#;

#[test]
fn a_chat_of_openai_reaches_gemini() {
    let request = of_openai(Operation::Chat, OPENAI);
    let out = outgoing(&request, format(Dialect::Gemini, Operation::Chat), "gemini-2.5-flash", true).unwrap();
    assert_eq!(out.path, "/models/gemini-2.5-flash:streamGenerateContent?alt=sse");
    let text = std::str::from_utf8(&out.body).unwrap();
    assert!(
        text.contains(r#""temperature":0.50"#) && text.contains(r#""response":{"found": 1.0}"#),
        "as spelt: {text}"
    );
    let body: serde_json::Value = serde_json::from_str(text).unwrap();
    assert_eq!(
        body["systemInstruction"],
        json!({ "parts": [{ "text": "Be brief." }, { "text": "In German." }] })
    );
    let contents = body["contents"].as_array().unwrap();
    let roles: Vec<&str> = contents.iter().map(|content| content["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "model", "user", "model", "user"]);
    let parts = &contents[0]["parts"];
    assert_eq!(
        parts[1],
        json!({ "fileData": { "mimeType": "image/png", "fileUri": "https://example.com/a.PNG?x=1" } })
    );
    assert_eq!(parts[2], json!({ "inlineData": { "mimeType": "image/webp", "data": "AAAA" } }));
    assert_eq!(parts[3], json!({ "inlineData": { "mimeType": "audio/wav", "data": "BBBB" } }));
    assert_eq!(
        parts[4],
        json!({ "inlineData": { "mimeType": "application/pdf", "data": "CCCC", "displayName": "a.pdf" } })
    );
    assert_eq!(
        contents[1]["parts"],
        json!([
            { "text": "hm", "thought": true },
            { "functionCall": { "id": "call_1", "name": "look", "args": { "who": "Bob" } } },
            { "functionCall": { "id": "call_2", "name": "look", "args": { "input": "not json" } } }
        ])
    );
    assert_eq!(
        contents[2]["parts"],
        json!([
            { "functionResponse": { "id": "call_1", "name": "look", "response": { "found": 1.0 } } },
            { "functionResponse": { "id": "call_2", "name": "look", "response": { "output": "nothing" } } }
        ])
    );
    assert_eq!(
        body["tools"],
        json!([{ "functionDeclarations": [{ "name": "look", "parametersJsonSchema": { "type": "object" } }] }])
    );
    assert_eq!(body["toolConfig"], json!({ "functionCallingConfig": { "mode": "ANY" } }));
    assert_eq!(
        body["generationConfig"],
        json!({
            "maxOutputTokens": 10, "temperature": 0.5, "stopSequences": ["END"], "candidateCount": 2, "responseLogprobs": true,
            "responseMimeType": "application/json", "responseJsonSchema": { "type": "object", "$defs": {} },
            "thinkingConfig": { "thinkingBudget": 8192, "includeThoughts": true }
        })
    );
    assert_eq!(body["serviceTier"], "priority");
    let dropped: Vec<(&str, bool)> = out.dropped.iter().map(|one| (one.feature, one.matters)).collect();
    assert_eq!(
        dropped,
        [
            ("detail", false),
            ("logit_bias", true),
            ("name", false),
            ("parallel_tool_calls", false),
            ("strict", false),
            ("system messages between turns", false),
            ("user", false)
        ]
    );
    // Later models take levels, and want calls signed.
    let (body, _) = sent(&request, Dialect::Gemini, "gemini-3-pro-preview");
    assert_eq!(
        body["generationConfig"]["thinkingConfig"],
        json!({ "thinkingLevel": "MEDIUM", "includeThoughts": true })
    );
    let signatures: Vec<Option<&str>> = body["contents"][1]["parts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| part["thoughtSignature"].as_str())
        .collect();
    assert_eq!(signatures, [None, Some("skip_thought_signature_validator"), None]);
}

#[test]
fn efforts_are_what_each_generation_takes() {
    let cases = [
        ("\"none\"", "gemini-2.5-flash", json!({ "thinkingBudget": 0 })),
        ("\"none\"", "gemini-2.5-pro", json!({ "thinkingBudget": 128 })),
        ("\"none\"", "gemini-3-flash-preview", json!({ "thinkingLevel": "MINIMAL" })),
        ("\"none\"", "gemini-3.1-pro", json!({ "thinkingLevel": "LOW" })),
        ("\"low\"", "models/gemini-2.5-pro", json!({ "thinkingBudget": 1024, "includeThoughts": true })),
        ("\"xhigh\"", "gemini-2.5-flash", json!({ "thinkingBudget": 24576, "includeThoughts": true })),
        ("\"high\"", "gemini-flash-latest", json!({ "thinkingLevel": "HIGH", "includeThoughts": true })),
    ];
    for (effort, model, want) in cases {
        let body = format!(r#"{{"messages":[],"reasoning_effort":{effort}}}"#);
        let (body, _) = sent(&of_openai(Operation::Chat, &body), Dialect::Gemini, model);
        assert_eq!(body["generationConfig"]["thinkingConfig"], want, "{effort} {model}");
    }
}

#[test]
fn embeddings_reach_each_other() {
    let path = "/v1beta/models/e:batchEmbedContents";
    let body = r#"{"requests":[{"model":"models/e","content":{"parts":[{"text":"a"}]},"taskType":"RETRIEVAL_QUERY","outputDimensionality":8},{"content":{"parts":[{"text":"b"}]},"taskType":"RETRIEVAL_QUERY","outputDimensionality":8}]}"#;
    let (out, dropped) = sent(&request(path, body), Dialect::OpenAi, "f");
    assert_eq!(out, json!({ "model": "f", "input": ["a", "b"], "dimensions": 8 }));
    assert_eq!(dropped, ["input_type"]);
    let openai = of_openai(Operation::Embedding, r#"{"input":["a","b"],"dimensions":8}"#);
    let out = outgoing(&openai, format(Dialect::Gemini, Operation::Embedding), "e", false).unwrap();
    assert_eq!(out.path, "/models/e:batchEmbedContents");
    assert_eq!(
        out.body,
        r#"{"requests":[{"model":"models/e","content":{"parts":[{"text":"a"}]},"outputDimensionality":8},{"model":"models/e","content":{"parts":[{"text":"b"}]},"outputDimensionality":8}]}"#
    );
    let media =
        request("/v1beta/models/e:embedContent", r#"{"content":{"parts":[{"text":"a"},{"text":"b"}]}}"#);
    let out = outgoing(&media, format(Dialect::OpenAi, Operation::Embedding), "f", false).unwrap();
    assert!(out.dropped.iter().any(|one| one.feature == "input" && one.matters), "{:?}", out.dropped);
}

#[test]
fn wishes_that_another_model_could_misread_are_told() {
    let said = |fields: &str| {
        let body = format!(
            r#"{{"contents":[],"tools":[{{"functionDeclarations":[{{"name":"a"}},{{"name":"b"}}]}}],{fields}}}"#
        );
        let out = outgoing(&request(GENERATE, &body), format(Dialect::OpenAi, Operation::Chat), "m", false);
        out.map(|out| out.dropped.iter().map(|one| (one.feature, one.matters)).collect::<Vec<_>>())
            .map_err(|fault| fault.param.unwrap_or_default())
    };
    let config = |field: &str| said(&format!(r#""generationConfig":{{{field}}}"#));
    let cases = [
        (
            said(r#""safetySettings":[{"category":"X","threshold":"BLOCK_NONE"}]"#),
            Ok(vec![("safety_settings", false)]),
        ),
        (
            said(r#""safety_settings":[{"category":"X","threshold":"BLOCK_ONLY_HIGH"}]"#),
            Ok(vec![("safety_settings", true)]),
        ),
        (said(r#""cachedContent":"cachedContents/x""#), Ok(vec![("cached_content", true)])),
        (
            said(r#""toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["a","b"]}}"#),
            Ok(vec![]),
        ),
        (
            said(r#""toolConfig":{"functionCallingConfig":{"mode":"AUTO","allowedFunctionNames":["a"]}}"#),
            Ok(vec![("allowed_tools", true)]),
        ),
        (config(r#""responseModalities":["TEXT","IMAGE"]"#), Ok(vec![("modalities", true)])),
        (config(r#""responseMimeType":"text/x.enum""#), Ok(vec![("response_format", true)])),
        (config(r#""top_k":40.0"#), Ok(vec![("top_k", false)])),
        (config(r#""maxOutputTokens":"12""#), Ok(vec![])),
        (config(r#""maxOutputTokens":1.5"#), Err("generationConfig.maxOutputTokens".into())),
        (config(r#""temperature":"hot""#), Err("generationConfig.temperature".into())),
        (
            config(r#""thinkingConfig":{"thinkingBudget":"x"}"#),
            Err("generationConfig.thinkingConfig.thinkingBudget".into()),
        ),
        (said(r#""generationConfig":7"#), Err("generationConfig".into())),
    ];
    for (n, (got, want)) in cases.into_iter().enumerate() {
        assert_eq!(got, want, "case {n}");
    }
}

pub(super) fn translated(body: &str, from: Dialect, to: Dialect) -> Reply {
    let raw = Reply::new(200, Bytes::copy_from_slice(body.as_bytes()));
    let out = translate_reply(raw, format(from, Operation::Chat), format(to, Operation::Chat), &identity(""))
        .unwrap();
    reply(to, std::str::from_utf8(&out.raw).unwrap())
}

#[test]
fn a_reply_of_gemini_reaches_openai_and_its_calls_can_be_answered() {
    let got = translated(REPLY, Dialect::Gemini, Dialect::OpenAi);
    let body: serde_json::Value = serde_json::from_slice(&got.raw).unwrap();
    let message = &body["choices"][0]["message"];
    assert_eq!(
        (&message["content"], &message["reasoning_content"]),
        (&json!("Größe: a weir."), &json!("hm"))
    );
    assert_eq!(body["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(
        body["usage"],
        json!({ "prompt_tokens": 125, "completion_tokens": 40, "total_tokens": 165, "prompt_tokens_details": { "cached_tokens": 100 }, "completion_tokens_details": { "reasoning_tokens": 12 } })
    );
    assert_eq!(
        message["annotations"][0]["url_citation"],
        json!({ "url": "https://example.com/a", "title": "A", "start_index": 7, "end_index": 13 })
    );
    // The client answers, and Gemini gets back what it signed, by the tool's name.
    let calls = message["tool_calls"].as_array().unwrap();
    let answer = json!({ "model": "m", "messages": [
        { "role": "user", "content": "q" },
        message,
        { "role": "tool", "tool_call_id": calls[0]["id"], "content": "one" },
        { "role": "tool", "tool_call_id": calls[1]["id"], "content": "two" }
    ]});
    let (out, dropped) =
        sent(&of_openai(Operation::Chat, &answer.to_string()), Dialect::Gemini, "gemini-3-pro");
    assert_eq!(
        out["contents"][1]["parts"],
        json!([
            { "text": "hm", "thought": true },
            { "text": "Größe: a weir.", "thoughtSignature": "AbCd" },
            { "functionCall": { "name": "look", "args": { "who": "Bob" } }, "thoughtSignature": "CiQB" },
            { "functionCall": { "name": "look", "args": { "who": "Ann" } } }
        ]),
        "{dropped:?}"
    );
    assert_eq!(
        out["contents"][2]["parts"],
        json!([
            { "functionResponse": { "name": "look", "response": { "output": "one" } } },
            { "functionResponse": { "name": "look", "response": { "output": "two" } } }
        ])
    );
}

#[test]
fn a_reply_of_openai_reaches_gemini() {
    let body = r#"{"id":"chatcmpl-9","model":"gpt-5","created":1,"choices":[{"index":0,"finish_reason":"tool_calls","message":{"role":"assistant","content":"Größe: a weir","reasoning_content":"hm","reasoning_details":[{"type":"reasoning.text","signature":"s+/="}],"annotations":[{"type":"url_citation","url_citation":{"url":"u","title":"t","start_index":7,"end_index":13}}],"tool_calls":[{"id":"call_1","type":"function","function":{"name":"look","arguments":"{\"who\":\"Bob\"}"}}]}},{"index":1,"finish_reason":"length","message":{"content":null,"refusal":"No."}}],"usage":{"prompt_tokens":9,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":2}}}"#;
    let got = translated(body, Dialect::OpenAi, Dialect::Gemini);
    let want = reply(Dialect::OpenAi, body);
    let out: serde_json::Value = serde_json::from_slice(&got.raw).unwrap();
    assert_eq!((&out["modelVersion"], &out["responseId"]), (&json!("gpt-5"), &json!("chatcmpl-9")));
    assert_eq!(
        out["usageMetadata"],
        json!({ "promptTokenCount": 9, "candidatesTokenCount": 5, "totalTokenCount": 16, "cachedContentTokenCount": 4, "thoughtsTokenCount": 2 })
    );
    let segment = &out["candidates"][0]["groundingMetadata"]["groundingSupports"][0]["segment"];
    assert_eq!(
        (&segment["startIndex"], &segment["endIndex"], &segment["text"]),
        (&json!(9), &json!(15), &json!("a weir"))
    );
    assert_eq!(out["candidates"][1]["content"]["parts"], json!([{ "text": "No." }]));
    assert_eq!(out["candidates"][1]["finishReason"], "MAX_TOKENS");
    assert_eq!((got.usage, got.finish(), got.text()), (want.usage, want.finish(), want.text()));
    // Another's signature is wrapped, so that Google's clients can read it, and comes back.
    let signed = |reply: &Reply| {
        reply.choices()[0].parts.iter().find_map(|part| match part {
            Part::Reasoning(reasoning) => reasoning.signature.clone(),
            _ => None,
        })
    };
    assert_eq!(signed(&got).as_deref(), Some("s+/="));
}

fn through(stream: &str, from: Dialect, to: Dialect, piece: usize) -> (Reply, String) {
    let (from, to) = (format(from, Operation::Chat), format(to, Operation::Chat));
    let mut decoder = StreamDecoder::translating(from, to, identity("")).unwrap();
    let mut collector = Collector::new(to.dialect, Operation::Chat, 1 << 16);
    let mut out = String::new();
    let mut take = |event: &Event| {
        collector.push(event).unwrap();
        out.push_str(std::str::from_utf8(&event.raw).unwrap());
    };
    for piece in stream.as_bytes().chunks(piece) {
        decoder.push(Bytes::copy_from_slice(piece));
        while let Some(event) = decoder.next_event().unwrap() {
            take(&event);
        }
    }
    let ending = decoder.finish().unwrap();
    assert!(ending.is_clean);
    ending.last.iter().for_each(take);
    (collector.finish().unwrap(), out)
}

#[test]
fn a_stream_of_gemini_reaches_openai_however_it_is_cut() {
    let (whole, out) = through(STREAM, Dialect::Gemini, Dialect::OpenAi, STREAM.len());
    for piece in [1, 2, 7, 64] {
        assert_eq!(through(STREAM, Dialect::Gemini, Dialect::OpenAi, piece).1, out, "{piece}");
    }
    assert_eq!(whole.text(), "It \"is\" a über-weir");
    assert_eq!(whole.usage, Some(Usage { input: 9, output: 10, reasoning: 3, ..Usage::default() }));
    assert_eq!(out.matches("\"usage\"").count(), 1, "told once: {out}");
    assert!(out.ends_with("data: [DONE]\n\n"));
    assert_eq!(whole.finish(), Some(Finish::ToolCalls));
    let calls: Vec<(&str, &str)> =
        whole.tool_calls().map(|call| (&*call.name, call.arguments.as_str())).collect();
    assert_eq!(calls, [("look", r#"{"who": "Bob"}"#), ("look", r#"{"who": "Ann"}"#)]);
    assert!(out.contains(r#""extra_content":{"google":{"thought_signature":"CiQB"}}"#), "{out}");
    assert!(out.contains(r#""start_index":10,"end_index":19"#), "{out}");
    // The ids are those of the same reply, whole.
    let direct: Vec<ByteString> = {
        let mut collector = Collector::new(Dialect::Gemini, Operation::Chat, 1 << 16);
        events(Level::Usage, STREAM).iter().for_each(|event| collector.push(event).unwrap());
        collector.finish().unwrap().tool_calls().map(|call| call.id.clone()).collect()
    };
    assert_eq!(whole.tool_calls().map(|call| call.id.clone()).collect::<Vec<_>>(), direct);
}

#[test]
fn usage_is_known_before_the_client_is_told() {
    let (from, to) = (format(Dialect::Gemini, Operation::Chat), format(Dialect::OpenAi, Operation::Chat));
    let mut decoder = StreamDecoder::translating(from, to, identity("")).unwrap();
    decoder.push(Bytes::copy_from_slice(&STREAM.as_bytes()[..STREAM.rfind("data: {\"cand").unwrap()]));
    let mut last = None;
    while let Some(event) = decoder.next_event().unwrap() {
        last = event.usage.or(last);
    }
    assert_eq!(last.map(Usage::total), Some(17), "whoever cancels now pays for what was said");
    assert!(!decoder.finish().unwrap().is_clean);
}

const OPENAI_STREAM: &str = include_str!("../../openai/testdata/stream.sse");

#[test]
fn a_stream_of_openai_reaches_gemini_however_it_is_cut() {
    let (whole, out) = through(OPENAI_STREAM, Dialect::OpenAi, Dialect::Gemini, OPENAI_STREAM.len());
    for piece in [1, 5, 33] {
        assert_eq!(through(OPENAI_STREAM, Dialect::OpenAi, Dialect::Gemini, piece).1, out, "{piece}");
    }
    let mut collector = Collector::new(Dialect::OpenAi, Operation::Chat, 1 << 16);
    let mut decoder = StreamDecoder::new(Dialect::OpenAi, Operation::Chat, Level::Usage).unwrap();
    decoder.push(Bytes::from_static(OPENAI_STREAM.as_bytes()));
    while let Some(event) = decoder.next_event().unwrap() {
        collector.push(&event).unwrap();
    }
    let want = collector.finish().unwrap();
    assert_eq!((whole.usage, whole.text()), (want.usage, want.text()));
    let calls = |reply: &Reply| -> Vec<(ByteString, ByteString, serde_json::Value)> {
        let all = reply.choices().iter().flat_map(|choice| &choice.parts).filter_map(|part| match part {
            Part::ToolCall(call) => Some(call),
            _ => None,
        });
        all.map(|call| {
            (call.id.clone(), call.name.clone(), serde_json::from_str(&call.arguments.value).unwrap())
        })
        .collect()
    };
    assert_eq!(calls(&whole), calls(&want));
    let ends = |reply: &Reply| -> Vec<_> {
        reply.choices().iter().map(|choice| (choice.index, choice.finish)).collect()
    };
    assert_eq!(ends(&whole), ends(&want));
}

/// A conversation's turns, wherever they stand.
fn turns(chat: &Chat) -> Vec<(Role, Vec<Part>)> {
    chat.messages
        .iter()
        .map(|message| (message.role, message.parts.iter().cloned().map(placeless).collect()))
        .collect()
}

#[test]
fn a_chat_written_again_in_its_own_dialect_is_the_same() {
    let before = request(GENERATE, CHAT);
    let wire = crate::wire::wire(Dialect::Gemini).unwrap();
    let settings = wire.settings(&before).unwrap();
    let mut loss = crate::carry::Loss::default();
    let out = wire.encode(&before, &settings, "gemini-3-flash", &mut loss).unwrap();
    let after = request(GENERATE, std::str::from_utf8(&out).unwrap());
    assert_eq!(turns(after.chat().unwrap()), turns(before.chat().unwrap()));
    let told = |request: &Request| {
        let tools = &request.chat().unwrap().tools;
        tools.iter().map(|tool| (tool.name.clone(), tool.schema.clone())).collect::<Vec<_>>()
    };
    assert_eq!(told(&after), told(&before));
    let mut again = wire.settings(&after).unwrap();
    // What has no name elsewhere is told, and does not go through the wishes.
    let mut settings = settings;
    settings.others.clear();
    again.others.clear();
    assert_eq!(again, settings);
}

#[test]
fn tokens_counted_by_anthropic_and_by_gemini_are_each_others() {
    let (gemini, anthropic) =
        (format(Dialect::Gemini, Operation::Count), format(Dialect::Anthropic, Operation::Count));
    let count = |body: &'static str, from, to| {
        let out = translate_reply(Reply::new(200, body), from, to, &identity("")).unwrap();
        serde_json::from_slice::<serde_json::Value>(&out.raw).unwrap()
    };
    assert_eq!(count(r#"{"totalTokens":31}"#, gemini, anthropic), json!({ "input_tokens": 31 }));
    assert_eq!(count(r#"{"input_tokens":31}"#, anthropic, gemini), json!({ "totalTokens": 31 }));
    let body = r#"{"model":"m","messages":[{"role":"user","content":"a"}]}"#;
    let mut request = Request::new("r", Dialect::Anthropic, Operation::Count, "/v1/messages/count_tokens");
    request.raw = Bytes::from_static(body.as_bytes());
    let out = outgoing(&request, gemini, "gemini-2.5-flash", false).unwrap();
    assert_eq!(out.path, "/models/gemini-2.5-flash:countTokens");
    assert_eq!(
        out.body,
        r#"{"generateContentRequest":{"model":"models/gemini-2.5-flash","contents":[{"role":"user","parts":[{"text":"a"}]}]}}"#
    );
}

#[test]
fn a_proof_of_gemini_is_not_shown_to_anthropic() {
    let spoken = translated(REPLY, Dialect::Gemini, Dialect::OpenAi);
    let message = &serde_json::from_slice::<serde_json::Value>(&spoken.raw).unwrap()["choices"][0]["message"];
    assert_eq!(message["reasoning_details"][0]["data"], "gemini:AbCd");
    let calls = message["tool_calls"].as_array().unwrap();
    let answer = json!({ "model": "m", "messages": [
        { "role": "user", "content": "q" },
        message,
        { "role": "tool", "tool_call_id": calls[0]["id"], "content": "one" },
        { "role": "tool", "tool_call_id": calls[1]["id"], "content": "two" }
    ]});
    let (out, dropped) =
        sent(&of_openai(Operation::Chat, &answer.to_string()), Dialect::Anthropic, "claude-sonnet-4-5");
    assert!(!out.to_string().contains("gemini:"), "{out}");
    assert!(dropped.contains(&"reasoning signatures"), "{dropped:?}");
}

#[test]
fn googles_alphabet_is_nobody_elses() {
    let body = r#"{"contents":[{"parts":[{"inlineData":{"mimeType":"image/png","data":"-_-_"}}]}]}"#;
    for to in [Dialect::OpenAi, Dialect::Anthropic, Dialect::Cohere] {
        let (out, _) = sent(&request(GENERATE, body), to, "m");
        assert!(out.to_string().contains("+/+/"), "{to}: {out}");
    }
}
