//! Bedrock's format, by recorded payloads and by properties.

mod properties;
mod replies;
mod requests;
mod streams;

use crate::eventstream::{Frame, begun, sealed};
use crate::*;
use serde_json::{Value, json};
use weir_message::{Block, BlockKind, Event, EventKind, Part, Replace, Role, TextForm, TextRole};

const CONVERSE: &str = include_str!("../testdata/converse.json");
const REPLY: &str = include_str!("../testdata/reply.json");
const STREAM: &str = include_str!("../testdata/stream.txt");

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
