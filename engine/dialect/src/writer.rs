//! Streams that Weir writes itself, and streams put together to whole replies.

use crate::collect::{Collected, pieces_of};
use crate::piece::{Identity, Piece, ReadEvents, WriteEvents};
use crate::wire::{Wire, wire};
use crate::{ErrorBody, JSON, decode_reply, openai};
use bytes::Bytes;
use http::HeaderValue;
use weir_message::{Dialect, ErrorCode, Event, EventKind, Fault, Operation, Reply};

/// The dialect's implementation; that of one not spoken here falls back to OpenAI's.
fn spoken(dialect: Dialect) -> &'static dyn Wire {
    wire(dialect).unwrap_or(&openai::OpenAi)
}

/// Writes events in the dialect of a stream's client.
#[derive(Debug)]
pub struct StreamEncoder {
    dialect: Dialect,
    operation: Operation,
    writer: Box<dyn WriteEvents>,
}

impl StreamEncoder {
    /// An encoder of events of this identity, until an event shows another ([`StreamEncoder::send`]).
    pub fn new(dialect: Dialect, operation: Operation, identity: Identity) -> Self {
        Self { dialect, operation, writer: spoken(dialect).writer(operation, identity) }
    }

    /// An event as the client gets it, all stages behind it. Call it with each that is sent, in order: what is written from
    /// then on looks like the rest and fits behind it.
    pub fn send(&mut self, event: &Event) -> Bytes {
        self.writer.send(event)
    }

    /// Writes a piece.
    pub fn write(&mut self, piece: Piece) -> Vec<Event> {
        let mut out = Vec::new();
        self.writer.write(piece, &mut out);
        out
    }

    /// An error. What follows must be the connection's end and not [`Piece::Done`].
    pub fn error(&self, error: &ErrorBody<'_>) -> Event {
        self.writer.error(error)
    }

    /// A whole reply, as it is sent, as the events of a stream: contents, finish reasons, usage if `include_usage` (or if the
    /// format always tells it) and the reply tells it, the end. Id and model are the reply's own, where it has some.
    ///
    /// # Errors
    /// [`ErrorCode::UpstreamInvalid`] if the reply cannot be decoded.
    pub fn reply(&mut self, reply: &Reply, include_usage: bool) -> Result<Vec<Event>, Fault> {
        let mut as_sent = Reply::new(reply.status, reply.outgoing());
        decode_reply(&mut as_sent, self.dialect, self.operation)?;
        let (id, model) = (as_sent.id.clone(), as_sent.model.clone());
        let mut pieces = vec![Piece::Start { id, model, created: None }];
        for choice in as_sent.choices() {
            pieces_of(choice, &mut pieces);
        }
        let is_response = self.operation == Operation::Response;
        let tells_usage = include_usage || is_response || spoken(self.dialect).always_tells_usage();
        pieces.extend(as_sent.usage.or(reply.usage).filter(|_| tells_usage).map(Piece::Usage));
        pieces.push(Piece::Done);
        let mut out = Vec::new();
        pieces.into_iter().for_each(|piece| self.writer.write(piece, &mut out));
        Ok(out)
    }
}

/// Puts a stream together to a whole reply, in bounded memory.
#[derive(Debug)]
pub struct Collector {
    dialect: Dialect,
    operation: Operation,
    reader: Box<dyn ReadEvents>,
    inner: Collected,
    room: usize,
    /// Where the last event tells the whole reply: what makes it agree with the texts before.
    agrees: Option<Box<dyn WriteEvents>>,
    whole: Option<Bytes>,
}

impl Collector {
    /// A collector that takes up to `limit` bytes of text.
    pub fn new(dialect: Dialect, operation: Operation, limit: usize) -> Self {
        let wire = spoken(dialect);
        let tells_whole = operation == Operation::Response;
        Self {
            dialect,
            operation,
            reader: wire.reader(operation),
            inner: Collected::default(),
            room: limit,
            agrees: tells_whole.then(|| wire.writer(operation, Identity::default())),
            whole: None,
        }
    }

    /// Adds an event as it is sent, changes included.
    ///
    /// # Errors
    /// [`ErrorCode::UpstreamInvalid`] if the event cannot be read or the limit is passed.
    pub fn push(&mut self, event: &Event) -> Result<(), Fault> {
        if matches!(event.kind, EventKind::KeepAlive | EventKind::Error) {
            return Ok(());
        }
        let mut pieces = Vec::new();
        self.reader
            .pieces(&event.outgoing(), &mut pieces)
            .map_err(|flaw| flaw.fault(ErrorCode::UpstreamInvalid, "an event of the provider's stream"))?;
        for piece in pieces {
            let added = self.inner.add(piece);
            self.room = self.room.checked_sub(added).ok_or_else(|| {
                Fault::new(ErrorCode::UpstreamInvalid, "the provider's reply is larger than the limit")
            })?;
        }
        if let Some(agrees) = &mut self.agrees {
            let sent = agrees.send(event);
            if event.finish.is_some() {
                self.whole = self.reader.whole(&sent);
            }
        }
        Ok(())
    }

    /// The whole reply (status 200), decoded.
    ///
    /// # Errors
    /// [`ErrorCode::UpstreamInvalid`] if what was collected cannot be read back.
    pub fn finish(self) -> Result<Reply, Fault> {
        let raw = self.whole.unwrap_or_else(|| {
            let created = self.inner.created.unwrap_or_default();
            let identity = Identity { created, ..Identity::default() };
            spoken(self.dialect).encode_reply(&self.inner.reply(), self.operation, &identity)
        });
        let mut reply = Reply::new(200, raw);
        reply.headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(JSON));
        decode_reply(&mut reply, self.dialect, self.operation)?;
        Ok(reply)
    }
}
