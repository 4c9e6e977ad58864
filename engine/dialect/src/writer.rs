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
    /// dialect always tells it) and the reply tells it, the end. The identity is the reply's own where [`StreamEncoder::new`] was given it.
    ///
    /// # Errors
    /// [`ErrorCode::UpstreamInvalid`] if the reply cannot be decoded.
    pub fn reply(&mut self, reply: &Reply, include_usage: bool) -> Result<Vec<Event>, Fault> {
        let mut as_sent = Reply::new(reply.status, reply.outgoing());
        decode_reply(&mut as_sent, self.dialect, self.operation)?;
        let mut pieces = Vec::new();
        for choice in as_sent.choices() {
            pieces_of(choice, &mut pieces);
        }
        let tells_usage = include_usage || spoken(self.dialect).always_tells_usage();
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
}

impl Collector {
    /// A collector that takes up to `limit` bytes of text.
    pub fn new(dialect: Dialect, operation: Operation, limit: usize) -> Self {
        let reader = spoken(dialect).reader(operation);
        Self { dialect, operation, reader, inner: Collected::default(), room: limit }
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
        Ok(())
    }

    /// The whole reply (status 200), decoded.
    ///
    /// # Errors
    /// [`ErrorCode::UpstreamInvalid`] if what was collected cannot be read back.
    pub fn finish(self) -> Result<Reply, Fault> {
        let identity = Identity { created: self.inner.created.unwrap_or_default(), ..Identity::default() };
        let said = self.inner.reply();
        let mut reply = Reply::new(200, spoken(self.dialect).encode_reply(&said, self.operation, &identity));
        reply.headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(JSON));
        decode_reply(&mut reply, self.dialect, self.operation)?;
        Ok(reply)
    }
}
