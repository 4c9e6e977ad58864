//! What the built-in provider `echo` answers: always the same for the same request, with nobody called.
//!
//! | model | what it does |
//! |---|---|
//! | `echo` | answers `echo: ` and the last user text (behind a tool's result: that result; behind nothing: `nothing to echo`) |
//! | `echo-delay-250ms` | the head of the reply comes after 250 ms |
//! | `echo-slow-events-50ms`, `echo-slow` (50 ms) | so long before each event of a stream |
//! | `echo-status-429` | that status with an error body; 429 and 503 with `retry-after: 1` |
//! | `echo-too-long` | 400 with the code `context_length_exceeded` |
//! | `echo-cut` | the connection ends in the middle of the reply |
//! | `echo-hang` | the head comes, the body never |
//! | `echo-think` | reasons first, in a few words that name the text |
//! | `echo-say-TEXT` | answers TEXT with `_` read as space; ends the name |
//!
//! Parts behind `echo-` can be joined (`echo-delay-20ms-cut`); another name is 404 `model_not_found`.
//!
//! A stream sends one word an event. Usage counts one token for each run of letters and digits and one for each other
//! character that is no space; `max_tokens` cuts the answer there, with the finish reason `length`. An embedding has
//! `dimensions` numbers (8 if not said), made from a hash of the text, of length 1. A document's score is the share of the
//! query's words that it has. An image is one pixel and says its prompt again; a text that says `violence` is flagged; sound is
//! silence, a tenth of a second for each word; of sound it hears nothing but the prompt. With `tool_choice` `required` or naming
//! a function, or where the last user text says `call NAME` or `use the tool`, that tool (the first, if none is named) is
//! called: required string arguments are the text, others `0`, `false`, `[]` or `{}`.

mod media;

use crate::collect::Collected;
use crate::form;
use crate::openai::OpenAi;
use crate::wire::Wire;
use crate::{EVENT_STREAM, ErrorBody, Identity, JSON, Piece, StreamEncoder, decode, error_body, models_list};
use base64::Engine;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::HashSet;
use std::fmt::Write;
use std::time::Duration;
use weir_message::{
    Block, BlockKind, Body, Dialect, Event, Finish, Message, Operation, Request, Rerank, Role, Text, Tool,
    Usage,
};

/// When everything was created, in Unix seconds: always the same.
const CREATED: u64 = 1_700_000_000;

/// What to send.
#[derive(Clone, Debug, PartialEq)]
pub struct EchoPlan {
    /// The HTTP status.
    pub status: u16,
    /// The headers; no framing ones.
    pub headers: HeaderMap,
    /// How long to wait before the head.
    pub delay: Duration,
    /// The body, as far as it is sent.
    pub body: EchoBody,
    /// Whether the connection ends abnormally behind the body.
    pub cut: bool,
    /// Whether nothing more comes behind the body, not even its end.
    pub hang: bool,
}

/// The body of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum EchoBody {
    /// At once.
    Whole(Bytes),
    /// A stream of events, and how long to wait before each.
    Events(Vec<(Duration, Bytes)>),
}

/// What to answer to a request in OpenAI's dialect. `model` is the upstream model's name; a body that cannot be read is
/// answered as a provider would, with a 400.
pub fn plan(operation: Operation, model: &str, body: &Bytes) -> EchoPlan {
    let Some(manner) = Manner::of(model) else {
        return failed(
            404,
            "model_not_found",
            &format!("the model `{model}` does not exist"),
            Duration::ZERO,
        );
    };
    if manner.is_too_long {
        let message = "This model's maximum context length is 0 tokens.";
        return failed(400, "context_length_exceeded", message, manner.delay);
    }
    if let Some(status) = manner.status {
        let code = match status {
            429 => "rate_limit_exceeded",
            401 => "invalid_api_key",
            _ => "echo_fault",
        };
        return failed(status, code, &format!("echo was asked for status {status}"), manner.delay);
    }
    let mut request = Request::new("", Dialect::OpenAi, operation, "");
    request.raw = body.clone();
    request.headers.extend(form::kind_of(body).map(|kind| (header::CONTENT_TYPE, kind)));
    if let Err(fault) = decode(&mut request) {
        return failed(400, "invalid_request_error", &fault.message, manner.delay);
    }
    match &request.body {
        Body::Chat(_) | Body::Completion(_) => written(&request, model, &manner),
        Body::Embedding(_) => whole(&manner, embeddings(body, model)),
        Body::Rerank(rerank) => {
            let most = request.params.get("top_n").and_then(|json| json.parse().ok()).unwrap_or(usize::MAX);
            whole(&manner, ranked(rerank, most, model))
        }
        Body::Words(_) => {
            let (body, media_type) = media::made(&request, model);
            let mut plan = whole(&manner, body);
            plan.headers = headers(media_type);
            plan
        }
        _ => whole(&manner, models_list(Dialect::OpenAi, ["echo"], CREATED)),
    }
}

/// How to answer, by the model's name.
#[derive(Default)]
struct Manner {
    delay: Duration,
    between: Duration,
    status: Option<u16>,
    is_too_long: bool,
    is_cut: bool,
    is_hanging: bool,
    is_thinking: bool,
    say: Option<String>,
}

impl Manner {
    fn of(model: &str) -> Option<Self> {
        let mut manner = Self::default();
        let mut rest = model.strip_prefix("echo")?;
        while !rest.is_empty() {
            rest = rest.strip_prefix('-')?;
            if let Some(text) = rest.strip_prefix("say-") {
                manner.say = Some(text.replace('_', " "));
                break;
            }
            let value = |key: &str| {
                let value = rest.strip_prefix(key)?;
                Some(value.split_at(value.find('-').unwrap_or(value.len())))
            };
            if let Some((value, behind)) = value("delay-") {
                (manner.delay, rest) = (duration(value)?, behind);
            } else if let Some((value, behind)) = value("slow-events-") {
                (manner.between, rest) = (duration(value)?, behind);
            } else if let Some((value, behind)) = value("status-") {
                let status = value.parse().ok().filter(|status| (400..600).contains(status))?;
                (manner.status, rest) = (Some(status), behind);
            } else if let Some(behind) = rest.strip_prefix("slow") {
                (manner.between, rest) = (Duration::from_millis(50), behind);
            } else if let Some(behind) = rest.strip_prefix("too-long") {
                (manner.is_too_long, rest) = (true, behind);
            } else if let Some(behind) = rest.strip_prefix("think") {
                (manner.is_thinking, rest) = (true, behind);
            } else if let Some(behind) = rest.strip_prefix("cut") {
                (manner.is_cut, rest) = (true, behind);
            } else {
                (manner.is_hanging, rest) = (true, rest.strip_prefix("hang")?);
            }
        }
        Some(manner)
    }
}

/// `250ms` or `2s`, up to an hour.
fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let number: u64 = number.parse().ok()?;
    let duration = match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        _ => return None,
    };
    Some(duration.min(Duration::from_secs(3600)))
}

fn headers(kind: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))])
}

fn failed(status: u16, code: &str, message: &str, delay: Duration) -> EchoPlan {
    let kind = match status {
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    };
    let error = ErrorBody { status, code, kind, message, param: None, request_id: "echo" };
    let mut headers = headers(JSON);
    if matches!(status, 429 | 503) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    let body = EchoBody::Whole(error_body(Dialect::OpenAi, &error));
    EchoPlan { status, headers, delay, body, cut: false, hang: false }
}

fn whole(manner: &Manner, mut body: Bytes) -> EchoPlan {
    if manner.is_hanging {
        body.clear();
    } else if manner.is_cut {
        body.truncate(body.len() / 2);
    }
    EchoPlan {
        status: 200,
        headers: headers(JSON),
        delay: manner.delay,
        body: EchoBody::Whole(body),
        cut: manner.is_cut,
        hang: manner.is_hanging,
    }
}

/// A chat's or completion's answer, plain or streamed: the same pieces, put together or written one by one.
fn written(request: &Request, model: &str, manner: &Manner) -> EchoPlan {
    let (dialect, operation) = (request.dialect, request.operation);
    let identity = Identity {
        id: format!("echo-{:016x}", hash(&request.raw)),
        model: model.to_owned(),
        created: CREATED,
        ..Identity::default()
    };
    let mut usage = Usage::default();
    request.each_text(|at| usage.input += tokens(at.text.as_str()).count() as u64);

    let mut pieces = Vec::new();
    match (&request.body, call(request)) {
        (Body::Completion(body), _) => {
            let mut texts: Vec<&str> = body.prompts.iter().map(|text| text.as_str()).collect();
            if texts.is_empty() {
                texts.push("");
            }
            for (choice, text) in (0u32..).zip(texts) {
                say(request, manner, choice, text, &mut usage, &mut pieces);
            }
        }
        (_, Some((name, arguments))) => {
            usage.output += tokens(&arguments).count() as u64;
            let id = format!("call_echo_{:016x}", hash(arguments.as_bytes()));
            pieces.push(Piece::Call {
                choice: 0,
                index: 0,
                id: id.into(),
                name: name.into(),
                signature: None,
            });
            let block = Block { choice: 0, kind: BlockKind::Arguments, index: 0 };
            let words = arguments.split_inclusive(' ');
            pieces.extend(words.map(|word| Piece::Text { block, text: word.into() }));
            pieces.push(Piece::Finish { choice: 0, why: Finish::ToolCalls, stop: None });
        }
        (_, None) => say(request, manner, 0, &last(request), &mut usage, &mut pieces),
    }
    if !request.head.stream {
        pieces.push(Piece::Usage(usage));
        let mut collected = Collected::default();
        for piece in pieces {
            collected.add(piece);
        }
        return whole(manner, OpenAi.encode_reply(&collected.reply(), operation, &identity));
    }
    if request.head.include_usage {
        pieces.push(Piece::Usage(usage));
    }
    pieces.push(Piece::Done);
    let mut encoder = StreamEncoder::new(dialect, operation, identity);
    let mut events: Vec<Event> = pieces.into_iter().flat_map(|piece| encoder.write(piece)).collect();
    if manner.is_hanging {
        events.clear();
    } else if manner.is_cut {
        events.truncate(events.len().div_ceil(2));
    }
    EchoPlan {
        status: 200,
        headers: headers(EVENT_STREAM),
        delay: manner.delay,
        body: EchoBody::Events(
            events
                .into_iter()
                .filter(|event| !event.raw.is_empty())
                .map(|event| (manner.between, event.raw))
                .collect(),
        ),
        cut: manner.is_cut,
        hang: manner.is_hanging,
    }
}

/// The first text of a request that is no conversation.
fn first(request: &Request) -> String {
    request.texts().first().map(|(_, _, text)| text.to_string()).unwrap_or_default()
}

/// The text to repeat.
fn last(request: &Request) -> String {
    match request.messages().last() {
        Some(message) if message.role == Role::Tool => message.text(),
        _ => request.last_user().map(Message::text).unwrap_or_default(),
    }
}

/// Says the answer to `text` as one choice, word by word.
fn say(
    request: &Request,
    manner: &Manner,
    choice: u32,
    text: &str,
    usage: &mut Usage,
    pieces: &mut Vec<Piece>,
) {
    let answer = match &manner.say {
        Some(say) => say.clone(),
        None if text.is_empty() => "nothing to echo".to_owned(),
        None => format!("echo: {text}"),
    };
    if manner.is_thinking {
        let thought = format!("someone says {text}");
        usage.reasoning += tokens(&thought).count() as u64;
        usage.output += tokens(&thought).count() as u64;
        let block = Block { choice, kind: BlockKind::Reasoning, index: 0 };
        pieces.extend(thought.split_inclusive(' ').map(|word| Piece::Text { block, text: word.into() }));
    }
    let limit = ["max_completion_tokens", "max_output_tokens", "max_tokens"]
        .iter()
        .find_map(|name| request.params.get(name)?.parse::<usize>().ok())
        .unwrap_or(usize::MAX);
    let end = tokens(&answer).nth(limit).map(|next| next.start);
    let said = answer.get(..end.unwrap_or(answer.len())).unwrap_or_default();
    usage.output += tokens(said).count() as u64;
    let block = Block { choice, kind: BlockKind::Text, index: 0 };
    pieces.extend(said.split_inclusive(' ').map(|word| Piece::Text { block, text: word.into() }));
    let why = if end.is_some() { Finish::Length } else { Finish::Stop };
    pieces.push(Piece::Finish { choice, why, stop: None });
}

/// The tool to call and its arguments (JSON), if one is to be called.
fn call(request: &Request) -> Option<(String, String)> {
    let tools = &request.chat()?.tools;
    let first = tools.first()?;
    if request.messages().last().is_some_and(|message| message.role == Role::Tool) {
        return None;
    }
    let text = last(request);
    let lower = text.to_lowercase();
    let choice = request.params.get("tool_choice").map_or("", |json| json);
    let named = tools.iter().find(|tool| {
        let name = &*tool.name;
        choice.contains(&format!("\"{name}\"")) || lower.contains(&format!("call {}", name.to_lowercase()))
    });
    let tool = match choice {
        "\"none\"" => None,
        "\"required\"" => named.or(Some(first)),
        _ if lower.contains("use the tool") => named.or(Some(first)),
        _ => named,
    }?;
    Some((tool.name.to_string(), arguments(tool, &text)))
}

/// Arguments that a tool's schema asks for.
fn arguments(tool: &Tool, text: &str) -> String {
    let raw: Value = serde_json::from_str(&tool.raw).unwrap_or_default();
    let schema =
        raw.pointer("/function/parameters").or_else(|| raw.get("parameters")).unwrap_or(&Value::Null);
    let mut out = String::from("{");
    for name in
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    {
        let property = schema.get("properties").and_then(|properties| properties.get(name));
        let value = match property.and_then(|property| property.get("type")).and_then(Value::as_str) {
            Some("integer" | "number") => Value::from(0),
            Some("boolean") => Value::from(false),
            Some("array") => Value::Array(Vec::new()),
            Some("object") => Value::Object(serde_json::Map::new()),
            _ => {
                let options = property.and_then(|property| property.get("enum")).and_then(Value::as_array);
                options.and_then(|options| options.first()).cloned().unwrap_or_else(|| Value::from(text))
            }
        };
        let comma = if out.len() > 1 { ", " } else { "" };
        // Writing to a string cannot fail.
        let _ = write!(out, "{comma}{}: {value}", Value::from(name));
    }
    out.push('}');
    out
}

/// The reply to an embedding request.
fn embeddings(body: &Bytes, model: &str) -> Bytes {
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    let dimensions = request.get("dimensions").and_then(Value::as_u64).map_or(8, |n| n.clamp(1, 4096));
    let is_base64 = request.get("encoding_format").and_then(Value::as_str) == Some("base64");
    let inputs: Vec<&Value> = match request.get("input") {
        Some(Value::Array(items)) if !items.iter().all(Value::is_number) || items.is_empty() => {
            items.iter().collect()
        }
        Some(one) => vec![one],
        None => Vec::new(),
    };
    let mut spent = 0usize;
    let data: Vec<Value> = inputs
        .iter()
        .enumerate()
        .map(|(index, input)| {
            let text = input.as_str().map_or_else(|| input.to_string(), str::to_owned);
            spent += input.as_array().map_or_else(|| tokens(&text).count(), Vec::len);
            let vector = vector(hash(text.as_bytes()), dimensions);
            let embedding = if is_base64 {
                let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
                Value::from(base64::engine::general_purpose::STANDARD.encode(bytes))
            } else {
                Value::from(vector)
            };
            serde_json::json!({ "object": "embedding", "index": index, "embedding": embedding })
        })
        .collect();
    let reply = serde_json::json!({
        "object": "list",
        "data": data,
        "model": model,
        "usage": { "prompt_tokens": spent, "total_tokens": spent },
    });
    Bytes::from(reply.to_string())
}

/// The reply to a request to rerank: the score is the share of the query's words that a document has.
fn ranked(rerank: &Rerank, most: usize, model: &str) -> Bytes {
    let words = |text: &str| -> HashSet<String> {
        tokens(text).filter_map(|at| text.get(at)).map(str::to_lowercase).collect()
    };
    let wanted = words(rerank.query.as_str());
    let mut spent = tokens(rerank.query.as_str()).count();
    let score = |(index, text): (usize, &Text)| {
        spent += tokens(text.as_str()).count();
        (words(text.as_str()).intersection(&wanted).count(), index)
    };
    let mut scores: Vec<(usize, usize)> = rerank.documents.iter().enumerate().map(score).collect();
    scores.sort_by_key(|(shared, index)| (Reverse(*shared), *index));
    #[allow(clippy::cast_precision_loss, reason = "a request has fewer words than a float has steps")]
    let share = |shared: usize| shared as f64 / wanted.len().max(1) as f64;
    let results: Vec<Value> = scores
        .into_iter()
        .take(most)
        .map(|(shared, index)| serde_json::json!({ "index": index, "relevance_score": share(shared) }))
        .collect();
    let reply = serde_json::json!({
        "id": "echo",
        "model": model,
        "results": results,
        "usage": { "total_tokens": spent },
    });
    Bytes::from(reply.to_string())
}

/// A vector of length 1 made from a seed (SplitMix64).
fn vector(seed: u64, dimensions: u64) -> Vec<f32> {
    let mut state = seed;
    let mut out: Vec<f32> = (0..dimensions)
        .map(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            // 16 bits are exact in an f32.
            f32::from((z >> 48) as u16) / 32768.0 - 1.0
        })
        .collect();
    let length = out.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 {
        out.iter_mut().for_each(|x| *x /= length);
    }
    out
}

/// FNV-1a.
fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Where the tokens of a text stand: runs of letters and digits, and other characters but space.
fn tokens(text: &str) -> impl Iterator<Item = std::ops::Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = text.get(at..)?;
        let start = at + rest.find(|c: char| !c.is_whitespace())?;
        let rest = text.get(start..)?;
        let run = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
        let len = if run > 0 { run } else { rest.chars().next()?.len_utf8() };
        at = start + len;
        Some(start..at)
    })
}

#[cfg(test)]
mod tests;
