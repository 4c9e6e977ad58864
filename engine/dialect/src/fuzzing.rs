//! Entries for fuzzing: arbitrary bytes in, whether all held that must hold. None may panic.

use crate::wire::wire;
use crate::{
    Collector, Level, StreamDecoder, decode, decode_reply, echo, outgoing, provider_error, read_head,
    read_reply_usage,
};
use bytes::Bytes;
use http::HeaderMap;
use weir_message::{Dialect, Event, Operation, Reply, Request};

/// The operations whose bodies a dialect reads.
fn operations(dialect: Dialect) -> impl Iterator<Item = Operation> {
    let reads = move |operation: &Operation| wire(dialect).is_some_and(|wire| wire.has_body(*operation));
    Operation::ALL.iter().copied().filter(reads)
}

/// A request with this body, on the path that its dialect has for it.
fn sent(dialect: Dialect, operation: Operation, raw: Bytes) -> Request {
    let path = wire(dialect).and_then(|wire| wire.path(operation, "one", false)).unwrap_or_default();
    let mut request = Request::new("", dialect, operation, path);
    request.raw = raw;
    request
}

/// Decodes a request; one that decodes has a head, is sent as it came when nothing differs, and, with each text written
/// anew, decodes to the same.
pub fn request(dialect: Dialect, bytes: &[u8]) -> bool {
    operations(dialect).all(|operation| request_of(dialect, operation, bytes))
}

fn request_of(dialect: Dialect, operation: Operation, bytes: &[u8]) -> bool {
    let mut request = sent(dialect, operation, Bytes::copy_from_slice(bytes));
    let mut head = request.clone();
    let head_read = read_head(&mut head);
    if decode(&mut request).is_err() {
        return true;
    }
    let mut holds = head_read.is_ok() && head.head == request.head;
    let model = request.model().to_owned();
    holds &= outgoing(&head, dialect, "another", true)
        .is_ok_and(|out| read_again(dialect, operation, out.body).is_some());
    if request.head.model.is_some() {
        holds &= outgoing(&request, dialect, &model, false).is_ok_and(|out| out.body == request.raw);
    }
    for to in Dialect::ALL.iter().filter(|to| **to != dialect) {
        // Whatever becomes of it, what comes out can be read there.
        if let Ok(out) = outgoing(&request, *to, "another", false) {
            holds &= read_again(*to, operation, out.body).is_some();
        }
    }
    let texts = request.texts();
    for (index, ..) in &texts {
        // No change inside the text, but its literal is written anew.
        holds &= request.edit_text(*index, &[]);
    }
    holds
        & request
            .outgoing()
            .is_ok_and(|out| read_again(dialect, operation, out).is_some_and(|again| again.texts() == texts))
}

fn read_again(dialect: Dialect, operation: Operation, bytes: Bytes) -> Option<Request> {
    let mut request = sent(dialect, operation, bytes);
    decode(&mut request).is_ok().then_some(request)
}

/// Decodes a reply, a provider's error, and a request to the provider that echoes.
pub fn reply(dialect: Dialect, bytes: &[u8]) -> bool {
    let mut holds = true;
    for operation in operations(dialect) {
        let mut reply = Reply::new(200, Bytes::copy_from_slice(bytes));
        if decode_reply(&mut reply, dialect, operation).is_ok() {
            holds &= read_reply_usage(&reply, dialect, operation).is_ok();
        }
        let plan = echo::plan(operation, "echo", &reply.raw);
        holds &= matches!(plan.status, 200 | 400);
    }
    let _ = provider_error(dialect, 400, &HeaderMap::new(), bytes);
    holds
}

/// Decodes a stream at every level, in one piece and byte by byte: the same events must come.
pub fn stream(dialect: Dialect, bytes: &[u8]) -> bool {
    [Level::Boundaries, Level::Usage, Level::Text].into_iter().all(|level| {
        let whole = events(dialect, level, bytes, bytes.len().max(1));
        let single = events(dialect, level, bytes, 1);
        let mut collector = Collector::new(dialect, Operation::Chat, 1 << 20);
        if whole.0.iter().all(|event| collector.push(event).is_ok()) {
            let _ = collector.finish();
        }
        whole == single
    })
}

/// The events of a stream that arrives in pieces of this size, and whether it ended well (`None`: in a fault).
fn events(dialect: Dialect, level: Level, bytes: &[u8], piece: usize) -> (Vec<Event>, Option<bool>) {
    let mut out = Vec::new();
    let Some(mut decoder) = StreamDecoder::new(dialect, level) else { return (out, None) };
    for piece in bytes.chunks(piece) {
        decoder.push(Bytes::copy_from_slice(piece));
        loop {
            match decoder.next_event() {
                Ok(Some(event)) => out.push(event),
                Ok(None) => break,
                Err(_) => return (out, None),
            }
        }
    }
    match decoder.finish() {
        Ok(ending) => {
            out.extend(ending.last);
            (out, Some(ending.is_clean))
        }
        Err(_) => (out, None),
    }
}
