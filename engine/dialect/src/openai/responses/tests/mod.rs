//! Responses, by recorded payloads and by properties.

mod reply;
mod request;
mod stream;
mod writer;

use crate::*;
use serde_json::Value;
use weir_message::{Event, TextRole};

const REQUEST: &str = include_str!("../testdata/request.json");
const REPLY: &str = include_str!("../testdata/reply.json");
const STREAM: &str = include_str!("../testdata/stream.sse");

const RESPONSE: WireFormat = WireFormat { dialect: Dialect::OpenAi, operation: Operation::Response };
const CHAT: WireFormat = WireFormat { dialect: Dialect::OpenAi, operation: Operation::Chat };

fn unread(body: &str) -> Request {
    let mut request = Request::new("r", Dialect::OpenAi, Operation::Response, "/v1/responses");
    request.raw = Bytes::copy_from_slice(body.as_bytes());
    request
}

fn request(body: &str) -> Request {
    let mut request = unread(body);
    decode(&mut request).unwrap_or_else(|fault| panic!("{fault:?}: {body}"));
    request
}

fn reply_of(format: WireFormat, body: &str) -> Reply {
    let mut reply = Reply::new(200, Bytes::copy_from_slice(body.as_bytes()));
    decode_reply(&mut reply, format.dialect, format.operation)
        .unwrap_or_else(|fault| panic!("{fault:?}: {body}"));
    reply
}

fn identity() -> Identity {
    Identity { id: "made".into(), model: "m".into(), created: 7, ..Identity::default() }
}

fn encoder() -> StreamEncoder {
    StreamEncoder::new(Dialect::OpenAi, Operation::Response, identity())
}

/// All events of a stream, to its end.
fn events(level: Level, stream: &str) -> Vec<Event> {
    let mut decoder = StreamDecoder::new(Dialect::OpenAi, Operation::Response, level).unwrap();
    decoder.push(Bytes::copy_from_slice(stream.as_bytes()));
    let mut events: Vec<Event> = std::iter::from_fn(|| decoder.next_event().unwrap()).collect();
    events.extend(decoder.finish().unwrap().last);
    events
}

fn text_of(events: &[Event]) -> String {
    events.iter().map(|event| String::from_utf8(event.outgoing().to_vec()).unwrap()).collect()
}

/// The data of an event.
fn json(event: &[u8]) -> Value {
    let text = std::str::from_utf8(event).unwrap();
    let data = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or("null");
    serde_json::from_str(data).unwrap()
}

fn roles(texts: Vec<(usize, TextRole, ByteString)>) -> Vec<String> {
    texts.into_iter().map(|(_, role, text)| format!("{role}: {text}")).collect()
}

#[test]
fn recorded_payloads_hold_what_fuzzing_asks() {
    for payload in [REQUEST, REPLY, STREAM] {
        let bytes = payload.as_bytes();
        let holds = |bytes: &[u8]| {
            let dialect = Dialect::OpenAi;
            fuzzing::request(dialect, bytes)
                && fuzzing::reply(dialect, bytes)
                && fuzzing::stream(dialect, bytes)
        };
        assert!(holds(bytes));
        // Cut anywhere.
        for end in (0..bytes.len()).step_by(97) {
            assert!(holds(&bytes[..end]), "{end}");
        }
    }
}
