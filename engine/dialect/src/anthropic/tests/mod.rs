//! Anthropic's format, by payloads after its reference and by properties.

mod carrying;
mod properties;
mod replies;
mod requests;
mod streams;

use crate::*;
use serde_json::Value;
use weir_message::Event;

const CHAT: &str = include_str!("../testdata/chat.json");
const REPLY: &str = include_str!("../testdata/reply.json");
const STREAM: &str = include_str!("../testdata/stream.sse");

const OURS: WireFormat = WireFormat { dialect: Dialect::Anthropic, operation: Operation::Chat };
const OPENAI: WireFormat = WireFormat { dialect: Dialect::OpenAi, operation: Operation::Chat };

fn unread(dialect: Dialect, body: &str) -> Request {
    let mut request = Request::new("r", dialect, Operation::Chat, "");
    request.raw = Bytes::copy_from_slice(body.as_bytes());
    request
}

fn request_of(dialect: Dialect, body: &str) -> Request {
    let mut request = unread(dialect, body);
    decode(&mut request).unwrap_or_else(|fault| panic!("{fault:?}: {body}"));
    request
}

fn request(body: &str) -> Request {
    request_of(Dialect::Anthropic, body)
}

fn reply_of(dialect: Dialect, body: &str) -> Reply {
    let mut reply = Reply::new(200, Bytes::copy_from_slice(body.as_bytes()));
    decode_reply(&mut reply, dialect, Operation::Chat).unwrap_or_else(|fault| panic!("{fault:?}: {body}"));
    reply
}

fn reply(body: &str) -> Reply {
    reply_of(Dialect::Anthropic, body)
}

fn identity() -> Identity {
    Identity { id: "r1".into(), model: "fast".into(), created: 7, ..Identity::default() }
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(bytes)))
}

/// All events of a stream.
fn events(mut decoder: StreamDecoder, stream: &[u8]) -> Vec<Event> {
    let mut out = Vec::new();
    decoder.push(Bytes::copy_from_slice(stream));
    while let Some(event) = decoder.next_event().unwrap() {
        out.push(event);
    }
    out.extend(decoder.finish().unwrap().last);
    out
}

fn read(level: Level, stream: &str) -> Vec<Event> {
    events(StreamDecoder::new(Dialect::Anthropic, Operation::Chat, level).unwrap(), stream.as_bytes())
}

fn bytes_of(events: &[Event]) -> Vec<u8> {
    events.iter().flat_map(|event| event.outgoing().to_vec()).collect()
}

/// A stream as another dialect's clients read it.
fn translated(from: WireFormat, to: WireFormat, stream: &[u8]) -> Vec<u8> {
    bytes_of(&events(StreamDecoder::translating(from, to, identity()).unwrap(), stream))
}

/// What a stream's pieces make together.
fn collected(dialect: Dialect, stream: &[u8]) -> Reply {
    let mut collector = Collector::new(dialect, Operation::Chat, 1 << 20);
    let decoder = StreamDecoder::new(dialect, Operation::Chat, Level::Text).unwrap();
    events(decoder, stream).iter().for_each(|event| collector.push(event).unwrap());
    collector.finish().unwrap()
}
