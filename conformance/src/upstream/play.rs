//! A scripted answer as a provider would send it: in OpenAI's dialect, from where it is carried into others.

use super::Act;
use super::translate::{is_raw, stream_type, translated};
use crate::case::{EntrySpec, FaultSpec, MirrorSpec, OtherPiece, PieceSpec};
use crate::frames::frame;
use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use weir_dialect::{Route, WireFormat};
use weir_message::{Dialect, Operation, Request};

/// What the request says that the answer depends on.
#[derive(Clone, Debug, Default)]
pub struct Got {
    /// What it asks for.
    pub operation: Option<Operation>,
    /// The format that the answer is told in, if it is not that of OpenAI's chats and completions.
    pub format: Option<WireFormat>,
    /// The upstream model.
    pub model: String,
    /// Whether the reply is to be streamed.
    pub stream: bool,
    /// Whether usage is to be told at the end of the stream.
    pub include_usage: bool,
    /// How many inputs are to be embedded.
    pub inputs: usize,
    /// The first system prompt.
    pub system: String,
    /// The last user turn.
    pub user: String,
}

impl Got {
    /// Reads what matters from a path and a body.
    pub fn read(path: &str, body: &[u8]) -> Self {
        let json: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        if let Some(route) = foreign(path) {
            return Self::of_another(route, path, body);
        }
        let operation = [
            ("/chat/completions", Operation::Chat),
            ("/completions", Operation::Completion),
            ("/embeddings", Operation::Embedding),
            ("/moderations", Operation::Moderation),
            ("/images/generations", Operation::Image),
            ("/audio/speech", Operation::Speech),
        ];
        Self {
            operation: operation.iter().find(|(end, _)| path.ends_with(end)).map(|(_, operation)| *operation),
            format: None,
            model: json.get("model").and_then(Value::as_str).unwrap_or("").to_owned(),
            stream: json.get("stream") == Some(&Value::Bool(true)),
            include_usage: json.pointer("/stream_options/include_usage") == Some(&Value::Bool(true)),
            system: turn(&json, "system", false),
            user: turn(&json, "user", true),
            inputs: json.get("input").map_or(0, |input| input.as_array().map_or(1, Vec::len)),
        }
    }

    /// The same of a request to a provider in another format.
    fn of_another(route: Route, path: &str, body: &[u8]) -> Self {
        let mut request = Request::new("scripted", route.dialect, route.operation, path.to_owned());
        request.raw = Bytes::copy_from_slice(body);
        // What cannot be read says nothing that the answer depends on.
        let _ = weir_dialect::decode(&mut request);
        Self {
            operation: Some(route.operation),
            format: Some(WireFormat { dialect: route.dialect, operation: route.operation }),
            model: request.model().to_owned(),
            stream: route.stream || request.head.stream,
            include_usage: true,
            system: request.system(),
            user: request.text(),
            inputs: 0,
        }
    }
}

/// What a path asks in another dialect than OpenAI's, or in OpenAI's of responses.
fn foreign(path: &str) -> Option<Route> {
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    if path.ends_with("/responses") {
        let (dialect, operation) = (Dialect::OpenAi, Operation::Response);
        return Some(Route { dialect, operation, item: None, stream: false });
    }
    // Vertex AI has models below their publishers.
    if let Some((model, verb)) =
        path.split_once("/publishers/anthropic/models/").and_then(|at| at.1.split_once(':'))
    {
        let (dialect, operation) = (Dialect::Anthropic, Operation::Chat);
        return Some(Route {
            dialect,
            operation,
            item: Some(model.into()),
            stream: verb == "streamRawPredict",
        });
    }
    let at_vertex = path.split_once("/publishers/google").map(|(_, model)| format!("/v1beta{model}"));
    let path = at_vertex.as_deref().unwrap_or(path);
    let route = weir_dialect::classify(&Method::POST, path, &HeaderMap::new()).ok()?;
    (route.dialect != Dialect::OpenAi).then_some(route)
}

/// The words of the first or last turn of a role.
fn turn(body: &Value, role: &str, last: bool) -> String {
    let turns = body.get("messages").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut of_role = turns.iter().filter(|turn| turn.get("role").and_then(Value::as_str) == Some(role));
    let turn = if last { of_role.next_back() } else { of_role.next() };
    turn.and_then(|turn| turn.get("content")).and_then(Value::as_str).unwrap_or("").to_owned()
}

/// A whole second of 2026, so that scripted answers are the same every time.
const CREATED: u64 = 1_767_614_400;

/// The steps of an answer; `n` is its number, for ids.
pub fn play(entry: &EntrySpec, got: &Got, n: usize) -> Vec<Act> {
    let mut acts = Vec::new();
    if let Some(delay) = entry.delay {
        acts.push(Act::Wait(millis(delay.0)));
    }
    match entry.fault {
        Some(FaultSpec::Connect) => {
            acts.push(Act::Refuse);
            return acts;
        }
        Some(FaultSpec::Timeout) => {
            acts.push(Act::Stall);
            return acts;
        }
        Some(FaultSpec::Cut | FaultSpec::Stall) | None => {}
    }
    let status = entry.status.unwrap_or(200);
    let streams = status < 400
        && entry.body.is_none()
        && matches!(
            got.operation,
            Some(Operation::Chat | Operation::Completion | Operation::Response) | None
        )
        && (got.stream || entry.events.is_some());
    match got.format {
        Some(format) if streams && is_raw(entry) => raw_stream(entry, status, format.dialect, &mut acts),
        _ if streams => stream(entry, got, n, status, &mut acts),
        _ => whole(entry, got, n, status, &mut acts),
    }
    match got.format {
        Some(format) if !is_raw(entry) => translated(acts, format),
        _ => acts,
    }
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn head(entry: &EntrySpec, status: u16, content_type: &str) -> Act {
    let mut headers: Vec<(String, String)> =
        entry.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
    if !headers.iter().any(|(name, _)| name == "content-type") {
        headers.push(("content-type".to_owned(), content_type.to_owned()));
    }
    Act::Head { status, headers }
}

fn ending(entry: &EntrySpec) -> Act {
    match entry.fault {
        Some(FaultSpec::Cut) => Act::Cut,
        Some(FaultSpec::Stall) => Act::Stall,
        _ => Act::End,
    }
}

fn whole(entry: &EntrySpec, got: &Got, n: usize, status: u16, acts: &mut Vec<Act>) {
    let (content_type, body) = match &entry.body {
        Some(Value::String(text)) => ("text/plain", text.clone()),
        Some(json) => ("application/json", json.to_string()),
        None if status >= 400 => (
            "application/json",
            json!({ "error": { "message": format!("scripted error {status}"), "type": "scripted", "param": null, "code": null } })
                .to_string(),
        ),
        None => ("application/json", reply(entry, got, n).to_string()),
    };
    acts.push(head(entry, status, content_type));
    match entry.fault {
        Some(_) => {
            // Half of it, so that what is missing shows.
            let mut half = body.len() / 2;
            while !body.is_char_boundary(half) {
                half -= 1;
            }
            acts.push(Act::Data(body.get(..half).unwrap_or("").to_owned()));
        }
        None => acts.push(Act::Data(body)),
    }
    acts.push(ending(entry));
}

fn words(entry: &EntrySpec, got: &Got) -> String {
    match entry.mirror {
        Some(MirrorSpec::System) => return got.system.clone(),
        Some(MirrorSpec::User) => return got.user.clone(),
        None => {}
    }
    match (&entry.reply, &entry.events) {
        (Some(text), _) => text.clone(),
        (None, Some(pieces)) => pieces
            .iter()
            .filter_map(|piece| match piece {
                PieceSpec::Text(text) => Some(text.as_str()),
                PieceSpec::Other(_) => None,
            })
            .collect(),
        (None, None) => String::new(),
    }
}

fn usage(entry: &EntrySpec) -> Value {
    let (input, output, cached) =
        entry.usage.map_or((10, 10, 0), |usage| (usage.input, usage.output, usage.cached_input));
    json!({
        "prompt_tokens": input,
        "completion_tokens": output,
        "total_tokens": input + output,
        "prompt_tokens_details": { "cached_tokens": cached },
    })
}

fn reply(entry: &EntrySpec, got: &Got, n: usize) -> Value {
    let finish =
        entry.finish.as_deref().unwrap_or(if entry.tool_call.is_some() { "tool_calls" } else { "stop" });
    match got.operation {
        Some(Operation::Embedding) => {
            let vectors: Vec<Value> = (0..got.inputs.max(1))
                .map(|index| json!({ "object": "embedding", "index": index, "embedding": [1.0, 0.0, -1.0] }))
                .collect();
            json!({ "object": "list", "data": vectors, "model": got.model, "usage": usage(entry) })
        }
        Some(Operation::Completion) => json!({
            "id": format!("cmpl-scripted-{n}"),
            "object": "text_completion",
            "created": CREATED,
            "model": got.model,
            "choices": [{ "index": 0, "text": words(entry, got), "logprobs": null, "finish_reason": finish }],
            "usage": usage(entry),
        }),
        _ => {
            let message = match &entry.tool_call {
                Some(call) => json!({
                    "role": "assistant",
                    "content": null,
                    "tool_calls": [{
                        "id": format!("call_{n}"),
                        "type": "function",
                        "function": {
                            "name": call.name,
                            "arguments": Value::Object(call.arguments.clone()).to_string(),
                        },
                    }],
                }),
                None => json!({ "role": "assistant", "content": words(entry, got) }),
            };
            json!({
                "id": format!("chatcmpl-scripted-{n}"),
                "object": "chat.completion",
                "created": CREATED,
                "model": got.model,
                "choices": [{ "index": 0, "message": message, "logprobs": null, "finish_reason": finish }],
                "usage": usage(entry),
            })
        }
    }
}

/// A stream in a script's own bytes.
fn raw_stream(entry: &EntrySpec, status: u16, dialect: Dialect, acts: &mut Vec<Act>) {
    acts.push(head(entry, status, stream_type(dialect)));
    for piece in entry.events.iter().flatten() {
        if let PieceSpec::Other(other) = piece {
            acts.extend(wordless(other));
        }
    }
    acts.push(ending(entry));
}

/// A piece that is no text.
fn wordless(piece: &OtherPiece) -> impl Iterator<Item = Act> {
    let wait = piece.delay.map(|delay| Act::Wait(millis(delay.0)));
    let comment = piece.comment.as_ref().map(|comment| Act::Data(format!(": {comment}\n\n")));
    let raw = piece.raw.clone().map(Act::Data);
    let data = || piece.data.as_ref().unwrap_or(&Value::Null);
    let frame = piece.frame.as_ref().map(|name| Act::Binary(frame(name, data())));
    [wait, comment, raw, frame].into_iter().flatten()
}

fn stream(entry: &EntrySpec, got: &Got, n: usize, status: u16, acts: &mut Vec<Act>) {
    acts.push(head(entry, status, "text/event-stream"));
    let completion = got.operation == Some(Operation::Completion);
    let chunk = |choices: Value, usage: Value| {
        let (id, object) = if completion {
            (format!("cmpl-scripted-{n}"), "text_completion")
        } else {
            (format!("chatcmpl-scripted-{n}"), "chat.completion.chunk")
        };
        let mut chunk =
            json!({ "id": id, "object": object, "created": CREATED, "model": got.model, "choices": choices });
        if got.include_usage
            && let Some(fields) = chunk.as_object_mut()
        {
            fields.insert("usage".to_owned(), usage);
        }
        Act::Data(format!("data: {chunk}\n\n"))
    };
    let choice = |delta: Value, finish: Value| {
        let choice = if completion {
            json!([{ "index": 0, "text": delta, "logprobs": null, "finish_reason": finish }])
        } else {
            json!([{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish }])
        };
        chunk(choice, Value::Null)
    };
    let content = |text: &str| match completion {
        true => choice(json!(text), Value::Null),
        false => choice(json!({ "content": text }), Value::Null),
    };
    if !completion {
        acts.push(choice(json!({ "role": "assistant", "content": "" }), Value::Null));
    }
    match (&entry.events, &entry.tool_call) {
        (Some(pieces), _) => {
            for piece in pieces {
                match piece {
                    PieceSpec::Text(text) => acts.push(content(text)),
                    PieceSpec::Other(other) => acts.extend(wordless(other)),
                }
            }
        }
        (None, Some(call)) => {
            let head = json!({ "tool_calls": [{
                "index": 0, "id": format!("call_{n}"), "type": "function", "function": { "name": call.name, "arguments": "" }
            }]});
            acts.push(choice(head, Value::Null));
            let arguments = Value::Object(call.arguments.clone()).to_string();
            for piece in in_pieces(&arguments, 5) {
                let delta = json!({ "tool_calls": [{ "index": 0, "function": { "arguments": piece } }] });
                acts.push(choice(delta, Value::Null));
            }
        }
        (None, None) => {
            for word in words(entry, got).split_inclusive(' ') {
                acts.push(content(word));
            }
        }
    }
    if entry.fault.is_none() {
        let finish =
            entry.finish.as_deref().unwrap_or(if entry.tool_call.is_some() { "tool_calls" } else { "stop" });
        acts.push(choice(if completion { json!("") } else { json!({}) }, json!(finish)));
        if got.include_usage {
            acts.push(chunk(json!([]), usage(entry)));
        }
        acts.push(Act::Data("data: [DONE]\n\n".to_owned()));
    }
    acts.push(ending(entry));
}

/// A text in pieces of about `size` bytes, cut between characters.
fn in_pieces(text: &str, size: usize) -> Vec<&str> {
    let mut out = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let mut cut = size.min(rest.len());
        while !rest.is_char_boundary(cut) {
            cut += 1;
        }
        let (piece, after) = rest.split_at(cut);
        out.push(piece);
        rest = after;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_says_usage_only_to_who_asks_and_ends_with_done() {
        let entry = EntrySpec { reply: Some("a b".into()), ..EntrySpec::default() };
        let got = |include_usage| Got {
            operation: Some(Operation::Chat),
            stream: true,
            include_usage,
            ..Got::default()
        };
        let texts = |acts: Vec<Act>| -> Vec<String> {
            acts.into_iter()
                .filter_map(|act| if let Act::Data(text) = act { Some(text) } else { None })
                .collect()
        };
        let plain = texts(play(&entry, &got(false), 1));
        assert_eq!(plain.len(), 5);
        assert!(plain.iter().all(|text| !text.contains("usage")));
        assert_eq!(plain.last().map(String::as_str), Some("data: [DONE]\n\n"));
        let asked = texts(play(&entry, &got(true), 1));
        assert_eq!(asked.iter().filter(|text| text.contains("prompt_tokens\"")).count(), 1);
    }

    #[test]
    fn a_cut_answer_has_no_end() {
        for stream in [false, true] {
            let entry = EntrySpec {
                reply: Some("one two".into()),
                fault: Some(FaultSpec::Cut),
                ..EntrySpec::default()
            };
            let acts = play(&entry, &Got { operation: Some(Operation::Chat), stream, ..Got::default() }, 1);
            assert_eq!(acts.last(), Some(&Act::Cut));
            assert!(!acts.iter().any(|act| matches!(act, Act::Data(text) if text.contains("[DONE]"))));
        }
    }

    #[test]
    fn pieces_are_cut_between_characters() {
        assert_eq!(in_pieces("aéééb", 2), ["aé", "é", "é", "b"]);
    }
}
