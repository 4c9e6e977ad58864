//! Entries for fuzzing: arbitrary bytes in, whether all held that must hold. None may panic.

use crate::{
    Collector, Level, StreamDecoder, decode, decode_reply, echo, outgoing, provider_error, read_head,
    read_reply_usage,
};
use bytes::Bytes;
use http::HeaderMap;
use weir_message::{Dialect, Event, Operation, Reply, Request};

const OPERATIONS: [Operation; 3] = [Operation::Chat, Operation::Completion, Operation::Embedding];

/// Decodes a request; one that decodes has a head, is sent as it came when nothing differs, and, with each text written
/// anew, decodes to the same.
pub fn request(bytes: &[u8]) -> bool {
    OPERATIONS.iter().all(|operation| request_of(*operation, bytes))
}

fn request_of(operation: Operation, bytes: &[u8]) -> bool {
    let mut request = Request::new("", Dialect::OpenAi, operation, "");
    request.raw = Bytes::copy_from_slice(bytes);
    let mut head = request.clone();
    let head_read = read_head(&mut head);
    if decode(&mut request).is_err() {
        return true;
    }
    let mut holds = head_read.is_ok() && head.head == request.head;
    let model = request.model().to_owned();
    holds &= outgoing(&head, Dialect::OpenAi, "another", true)
        .is_ok_and(|out| read_again(operation, out.body).is_some());
    if request.head.model.is_some() {
        holds &= outgoing(&request, Dialect::OpenAi, &model, false).is_ok_and(|out| out.body == request.raw);
    }
    let texts = request.texts();
    for (index, ..) in &texts {
        // No change inside the text, but its literal is written anew.
        holds &= request.edit_text(*index, &[]);
    }
    holds
        & request
            .outgoing()
            .is_ok_and(|out| read_again(operation, out).is_some_and(|again| again.texts() == texts))
}

fn read_again(operation: Operation, bytes: Bytes) -> Option<Request> {
    let mut request = Request::new("", Dialect::OpenAi, operation, "");
    request.raw = bytes;
    decode(&mut request).is_ok().then_some(request)
}

/// Decodes a reply, a provider's error, and a request to the provider that echoes.
pub fn reply(bytes: &[u8]) -> bool {
    let mut holds = true;
    for operation in OPERATIONS {
        let mut reply = Reply::new(200, Bytes::copy_from_slice(bytes));
        if decode_reply(&mut reply, Dialect::OpenAi, operation).is_ok() {
            holds &= read_reply_usage(&reply, Dialect::OpenAi, operation).is_ok();
        }
        let plan = echo::plan(operation, "echo", &reply.raw);
        holds &= matches!(plan.status, 200 | 400);
    }
    let _ = provider_error(Dialect::OpenAi, 400, &HeaderMap::new(), bytes);
    holds
}

/// Decodes a stream at every level, in one piece and byte by byte: the same events must come.
pub fn stream(bytes: &[u8]) -> bool {
    [Level::Boundaries, Level::Usage, Level::Text].into_iter().all(|level| {
        let whole = events(level, bytes, bytes.len().max(1));
        let single = events(level, bytes, 1);
        let mut collector = Collector::new(Dialect::OpenAi, Operation::Chat, 1 << 20);
        if whole.0.iter().all(|event| collector.push(event).is_ok()) {
            let _ = collector.finish();
        }
        whole == single
    })
}

/// The events of a stream that arrives in pieces of this size, and whether it ended well (`None`: in a fault).
fn events(level: Level, bytes: &[u8], piece: usize) -> (Vec<Event>, Option<bool>) {
    let mut out = Vec::new();
    let Some(mut decoder) = StreamDecoder::new(Dialect::OpenAi, level) else { return (out, None) };
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
