//! Streams of server-sent events: however they arrive in pieces, the same events come, and no byte is lost.

use crate::{grow, replay};
use bytes::Bytes;
use weir_dialect::Sse;
use weir_message::Dialect;

const WORDS: &[&str] = &[
    "data: ",
    "data:",
    "event: ",
    "id: 1",
    "retry: 5",
    ": ping",
    "\n",
    "\r",
    "\r\n",
    "\n\n",
    "\r\n\r\n",
    "\r\r",
    "[DONE]",
    "\u{feff}",
    "{}",
    "{\"choices\":[",
    "\"delta\":{\"content\":\"",
    "\"index\":0",
    "\"finish_reason\":\"stop\"",
    "\"usage\":{\"prompt_tokens\":1}",
    "\"tool_calls\":[{\"index\":0,",
    "{\"candidates\":[{\"content\":{\"parts\":[",
    "{\"text\":\"",
    "{\"functionCall\":{\"args\":{}}}",
    "\"finishReason\":\"STOP\"",
    "null",
    "\\u00e9",
    "\\ud83d",
    "\"error\":{\"message\":\"x\"}",
    "é",
    "𝄞",
    "\u{0}",
];

fn check(input: &[u8]) {
    for dialect in Dialect::ALL.iter().copied() {
        let same = weir_dialect::fuzzing::stream(dialect, input);
        assert!(same, "pieces of another size give other events of {dialect}");
    }
    let whole = events(input, input.len().max(1));
    for size in [1, 2, 3, 7] {
        assert_eq!(events(input, size), whole, "in pieces of {size}");
    }
    // Events are the stream, cut: nothing is added, and all but an unfinished end comes out.
    let joined: Vec<u8> = whole.0.concat();
    assert!(input.starts_with(&joined));
    if whole.1 {
        let rest = input.get(joined.len()..).unwrap_or_default();
        assert!(rest.iter().all(|byte| matches!(byte, b'\r' | b'\n')), "{rest:?} was lost");
    }
}

/// The events of a stream that arrives in pieces of this size, and whether it ended well.
fn events(input: &[u8], size: usize) -> (Vec<Bytes>, bool) {
    let mut sse = Sse::new(Sse::LIMIT);
    let mut out = Vec::new();
    for piece in input.chunks(size) {
        sse.push(Bytes::copy_from_slice(piece));
        loop {
            match sse.next_event() {
                Ok(Some(event)) => out.push(event),
                Ok(None) => break,
                Err(_) => return (out, false),
            }
        }
    }
    match sse.finish() {
        Ok(last) => {
            out.extend(last);
            (out, true)
        }
        Err(_) => (out, false),
    }
}

#[test]
fn stream_corpus() {
    replay("stream", check);
}

#[test]
fn stream_grown() {
    grow("stream", WORDS, check);
}
