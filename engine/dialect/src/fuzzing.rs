//! Entries for fuzzing: arbitrary bytes in, whether all held that must hold. None may panic.

use crate::form;
use crate::wire::wire;
use crate::{
    Collector, Level, Outgoing, StreamDecoder, WireFormat, decode, decode_reply, echo, outgoing,
    provider_error, read_head, read_reply_usage,
};
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
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
    request.headers.extend(form::kind_of(&raw).map(|kind| (CONTENT_TYPE, kind)));
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
    let own = WireFormat { dialect, operation };
    let went = |format: WireFormat, out: Outgoing| read_again(format, out.path, out.body).is_some();
    holds &= outgoing(&head, own, "another", true).is_ok_and(|out| went(own, out));
    if request.head.model.is_some() {
        holds &= outgoing(&request, own, &model, false).is_ok_and(|out| out.body == request.raw);
    }
    for to in others(own) {
        // Whatever becomes of it, what comes out can be read there.
        if let Ok(out) = outgoing(&request, to, "another", false) {
            holds &= went(to, out);
        }
    }
    let texts = request.texts();
    for (index, ..) in &texts {
        // No change inside the text, but its literal is written anew.
        holds &= request.edit_text(*index, &[]);
    }
    let path = request.path.to_string();
    let again = |out| read_again(own, path, out).is_some_and(|again| again.texts() == texts);
    holds & request.outgoing().is_ok_and(again)
}

/// What else a provider may be asked for the same.
fn others(own: WireFormat) -> impl Iterator<Item = WireFormat> {
    let operations = [own.operation, Operation::Chat];
    let asked = operations.into_iter().take(if own.operation == Operation::Response { 2 } else { 1 });
    let in_all =
        |operation| Dialect::ALL.iter().map(move |dialect| WireFormat { dialect: *dialect, operation });
    asked.flat_map(in_all).filter(move |other| *other != own)
}

fn read_again(format: WireFormat, path: String, bytes: Bytes) -> Option<Request> {
    let mut request = Request::new("", format.dialect, format.operation, path);
    request.headers.extend(form::kind_of(&bytes).map(|kind| (CONTENT_TYPE, kind)));
    request.raw = bytes;
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
    let streamed = [Operation::Chat, Operation::Response];
    let spoken = operations(dialect).filter(|operation| streamed.contains(operation));
    let levels = [Level::Boundaries, Level::Usage, Level::Text];
    spoken.flat_map(|operation| levels.map(|level| (operation, level))).all(|(operation, level)| {
        let format = WireFormat { dialect, operation };
        let whole = events(format, level, bytes, bytes.len().max(1));
        let single = events(format, level, bytes, 1);
        let mut collector = Collector::new(dialect, operation, 1 << 20);
        if whole.0.iter().all(|event| collector.push(event).is_ok()) {
            let _ = collector.finish();
        }
        whole == single
    })
}

/// The events of a stream that arrives in pieces of this size, and whether it ended well (`None`: in a fault).
fn events(format: WireFormat, level: Level, bytes: &[u8], piece: usize) -> (Vec<Event>, Option<bool>) {
    let mut out = Vec::new();
    let Some(mut decoder) = StreamDecoder::new(format.dialect, format.operation, level) else {
        return (out, None);
    };
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
