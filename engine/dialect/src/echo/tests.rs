//! What `echo` answers.

use super::*;
use crate::{Level, StreamDecoder, decode_reply};
use weir_message::Reply;

fn chat(model: &str, extra: &str) -> EchoPlan {
    let body = format!(
        r#"{{"model":"{model}","messages":[{{"role":"user","content":"héllo, big world"}}]{extra}}}"#
    );
    plan(Operation::Chat, model, &Bytes::from(body))
}

fn reply(plan: &EchoPlan) -> Reply {
    let EchoBody::Whole(body) = &plan.body else { panic!("a stream") };
    let mut reply = Reply::new(plan.status, body.clone());
    decode_reply(&mut reply, Dialect::OpenAi, Operation::Chat).unwrap();
    reply
}

#[test]
fn repeats_the_last_user_text_with_usage() {
    let reply = reply(&chat("echo", ""));
    assert_eq!(reply.text(), "echo: héllo, big world");
    assert_eq!(reply.finish(), Some(Finish::Stop));
    assert_eq!(reply.usage, Some(Usage { input: 4, output: 6, ..Usage::default() }));
    assert_eq!(chat("echo", ""), chat("echo", ""));
}

#[test]
fn streams_by_words_and_tells_usage_only_if_asked() {
    let plan = chat("echo-slow-events-20ms", r#","stream":true,"stream_options":{"include_usage":true}"#);
    let EchoBody::Events(events) = &plan.body else { panic!("no stream") };
    let mut decoder = StreamDecoder::new(Dialect::OpenAi, Operation::Chat, Level::Text).unwrap();
    let (mut words, mut usage) = (Vec::new(), None);
    for (wait, raw) in events {
        assert_eq!(*wait, Duration::from_millis(20));
        decoder.push(raw.clone());
        while let Some(event) = decoder.next_event().unwrap() {
            words.extend(event.deltas.iter().map(|delta| delta.text.value.to_string()));
            usage = usage.or(event.usage);
        }
    }
    assert_eq!(words, ["echo: ", "héllo, ", "big ", "world"]);
    assert_eq!(usage.map(Usage::total), Some(10));
    assert!(decoder.finish().unwrap().is_clean);
    let EchoBody::Events(events) = chat("echo", r#","stream":true"#).body else { panic!("no stream") };
    assert!(!events.iter().any(|(_, raw)| raw.windows(7).any(|w| w == b"\"usage\"")));
}

#[test]
fn behaves_by_the_name_of_the_model() {
    assert_eq!(chat("echo-delay-250ms", "").delay, Duration::from_millis(250));
    assert_eq!(chat("echo-status-500", "").status, 500);
    let limited = chat("echo-status-429", "");
    assert_eq!((limited.status, limited.headers["retry-after"].to_str().unwrap()), (429, "1"));
    let cut = chat("echo-delay-1s-cut", r#","stream":true"#);
    let EchoBody::Events(events) = &cut.body else { panic!("no stream") };
    assert!(cut.cut && !events.is_empty() && !events.iter().any(|(_, raw)| raw.ends_with(b"[DONE]\n\n")));
    let hang = chat("echo-hang", "");
    assert!(hang.hang && hang.body == EchoBody::Whole(Bytes::new()));
    assert_eq!(reply(&chat("echo-say-my_name_is_Bob", "")).text(), "my name is Bob");
    let thinking = reply(&chat("echo-think", ""));
    assert_eq!(thinking.texts()[1].2, "someone says héllo, big world");
    assert_eq!(thinking.usage.map(|spent| (spent.output, spent.reasoning)), Some((12, 6)));
    for unknown in ["gpt-5", "echo-", "echo-loud", "echo-delay-5", "echo-status-200", "echoes"] {
        assert_eq!(chat(unknown, "").status, 404, "{unknown}");
    }
    assert_eq!(plan(Operation::Chat, "echo", &Bytes::from_static(b"{")).status, 400);
}

#[test]
fn a_token_limit_cuts_the_answer() {
    let reply = reply(&chat("echo", r#","max_tokens":3"#));
    assert_eq!((reply.text().as_str(), reply.finish()), ("echo: héllo", Some(Finish::Length)));
    assert_eq!(reply.usage.unwrap().output, 3);
}

#[test]
fn calls_a_tool_when_told_to_and_repeats_its_result() {
    let tools = r#","tools":[{"type":"function","function":{"name":"weather","parameters":{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer"}},"required":["city","days"]}}}]"#;
    assert_eq!(reply(&chat("echo", tools)).tool_calls().count(), 0);
    let required = reply(&chat("echo", &format!(r#"{tools},"tool_choice":"required""#)));
    let call = required.tool_calls().next().unwrap();
    assert_eq!(&*call.name, "weather");
    assert_eq!(call.arguments.as_str(), r#"{"city": "héllo, big world", "days": 0}"#);
    assert_eq!(required.finish(), Some(Finish::ToolCalls));
    let body = format!(
        r#"{{"messages":[{{"role":"user","content":"Call weather"}},{{"role":"tool","tool_call_id":"1","content":"rain"}}]{tools}}}"#
    );
    assert_eq!(reply(&plan(Operation::Chat, "echo", &Bytes::from(body))).text(), "echo: rain");
}

#[test]
fn embeds_each_input_the_same_every_time() {
    let embed = |body: &'static str| {
        let plan = plan(Operation::Embedding, "echo", &Bytes::from_static(body.as_bytes()));
        let EchoBody::Whole(body) = plan.body else { panic!("a stream") };
        serde_json::from_slice::<Value>(&body).unwrap()
    };
    let two = embed(r#"{"input":["a b","c"],"dimensions":3}"#);
    assert_eq!(two["data"][0]["embedding"].as_array().unwrap().len(), 3);
    assert_eq!(two["usage"]["prompt_tokens"], 3);
    assert_ne!(two["data"][0]["embedding"], two["data"][1]["embedding"]);
    assert_eq!(two["data"][1]["embedding"], embed(r#"{"input":"c","dimensions":3}"#)["data"][0]["embedding"]);
    assert_eq!(embed(r#"{"input":[1,2,3]}"#)["data"].as_array().unwrap().len(), 1);
    assert_eq!(embed(r#"{"input":[[1],[2]]}"#)["data"].as_array().unwrap().len(), 2);
    assert!(embed(r#"{"input":"c","encoding_format":"base64"}"#)["data"][0]["embedding"].is_string());
}

#[test]
fn ranks_documents_by_the_words_they_share_with_the_query() {
    let body =
        r#"{"query":"Holds WATER?","documents":["boats","a weir holds water",{"text":"water"}],"top_n":2}"#;
    let plan = plan(Operation::Rerank, "echo", &Bytes::from_static(body.as_bytes()));
    let EchoBody::Whole(body) = plan.body else { panic!("a stream") };
    let body: Value = serde_json::from_slice(&body).unwrap();
    let ranks = body["results"].as_array().unwrap().iter();
    let ranks: Vec<(u64, f64)> = ranks
        .map(|rank| (rank["index"].as_u64().unwrap(), rank["relevance_score"].as_f64().unwrap()))
        .collect();
    assert_eq!(ranks, [(1, 2.0 / 3.0), (2, 1.0 / 3.0)]);
}

#[test]
fn a_completion_answers_each_prompt() {
    let plan = plan(Operation::Completion, "echo", &Bytes::from_static(br#"{"prompt":["a","b"]}"#));
    let EchoBody::Whole(body) = plan.body else { panic!("a stream") };
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (&body["choices"][0]["text"], &body["choices"][1]["text"]),
        (&"echo: a".into(), &"echo: b".into())
    );
}

#[test]
fn words_become_pixels_judgements_and_silence() {
    let body_of = |operation, body: &str| {
        let plan = plan(operation, "echo", &Bytes::copy_from_slice(body.as_bytes()));
        let EchoBody::Whole(body) = plan.body else { panic!("a stream") };
        (plan.headers[header::CONTENT_TYPE].clone(), body)
    };
    let json = |operation, body: &str| serde_json::from_slice::<Value>(&body_of(operation, body).1).unwrap();
    let image = json(Operation::Image, r#"{"prompt":"a weir","n":2}"#);
    assert_eq!(image["data"].as_array().unwrap().len(), 2);
    assert_eq!(image["data"][1]["revised_prompt"], "echo: a weir");
    assert_eq!(image["usage"]["input_tokens"], 2);
    let judged = json(Operation::Moderation, r#"{"input":["kind","Violence!"]}"#);
    assert_eq!(
        (&judged["results"][0]["flagged"], &judged["results"][1]["flagged"]),
        (&false.into(), &true.into())
    );
    let (media_type, sound) = body_of(Operation::Speech, r#"{"input":"one two"}"#);
    assert_eq!((media_type, sound.len()), (HeaderValue::from_static("audio/wav"), 44 + 1600));
    assert_eq!(sound[40..44], 1600u32.to_le_bytes());
}
