//! Streams that Weir writes itself, and streams put together to whole replies.

use crate::openai::collect::Collected;
use crate::openai::encoder::Encoder;
use crate::{ErrorBody, JSON, decode_reply};
use http::HeaderValue;
use weir_message::{Block, Dialect, ErrorCode, Event, Fault, Finish, Operation, Reply, Usage};

/// Writes events in the dialect of a stream's client.
#[derive(Clone, Debug)]
pub struct StreamEncoder {
    dialect: Dialect,
    operation: Operation,
    inner: Encoder,
}

impl StreamEncoder {
    /// An encoder of events with this id, model and time (Unix seconds), until an event shows others
    /// ([`StreamEncoder::observe`]).
    pub fn new(dialect: Dialect, operation: Operation, id: &str, model: &str, created: u64) -> Self {
        Self { dialect, operation, inner: Encoder::new(operation, id, model, created) }
    }

    /// Takes id, model and time from the stream's first event of content, so that what is written looks like the rest.
    /// Call it with each event: it reads none but the first.
    pub fn observe(&mut self, event: &Event) {
        self.inner.learn(event);
    }

    /// The beginning of a choice (it names the role).
    pub fn open(&self, choice: u32) -> Event {
        self.inner.role(choice)
    }

    /// The beginning of a tool call; its arguments follow as text of the block with this index.
    pub fn call(&self, choice: u32, index: u32, id: &str, name: &str) -> Event {
        self.inner.call(choice, index, id, name)
    }

    /// A piece of text of a block.
    pub fn text(&self, block: Block, text: &str) -> Event {
        self.inner.text(block, text)
    }

    /// The end of a choice.
    pub fn finish(&self, choice: u32, why: Finish) -> Event {
        self.inner.finish(choice, why)
    }

    /// Usage, in an event of its own.
    pub fn usage(&self, usage: &Usage) -> Event {
        self.inner.usage(usage)
    }

    /// An error. What follows must be the connection's end and not [`StreamEncoder::done`].
    pub fn error(&self, error: &ErrorBody<'_>) -> Event {
        self.inner.error(error)
    }

    /// The stream's clean end.
    pub fn done(&self) -> Event {
        self.inner.done()
    }

    /// A whole reply, as it is sent, as the events of a stream: contents, finish reasons, usage if `include_usage` and the
    /// reply tells it, the end. Id, model and time are the reply's own where [`StreamEncoder::new`] was given them.
    ///
    /// # Errors
    /// [`ErrorCode::UpstreamInvalid`] if the reply cannot be decoded.
    pub fn reply(&self, reply: &Reply, include_usage: bool) -> Result<Vec<Event>, Fault> {
        let mut as_sent = Reply::new(reply.status, reply.outgoing());
        decode_reply(&mut as_sent, self.dialect, self.operation)?;
        let mut out = Vec::new();
        for choice in as_sent.choices() {
            self.inner.choice(choice, &mut out);
        }
        if let Some(usage) = as_sent.usage.or(reply.usage).filter(|_| include_usage) {
            out.push(self.usage(&usage));
        }
        out.push(self.done());
        Ok(out)
    }
}

/// Puts a stream together to a whole reply, in bounded memory.
#[derive(Clone, Debug)]
pub struct Collector {
    dialect: Dialect,
    operation: Operation,
    inner: Collected,
    room: usize,
}

impl Collector {
    /// A collector that takes up to `limit` bytes of text.
    pub fn new(dialect: Dialect, operation: Operation, limit: usize) -> Self {
        Self { dialect, operation, inner: Collected::default(), room: limit }
    }

    /// Adds an event as it is sent, changes included.
    ///
    /// # Errors
    /// [`ErrorCode::UpstreamInvalid`] if the event cannot be read or the limit is passed.
    pub fn push(&mut self, event: &Event) -> Result<(), Fault> {
        let added = self
            .inner
            .push(event)
            .map_err(|flaw| flaw.fault(ErrorCode::UpstreamInvalid, "an event of the provider's stream"))?;
        self.room = self.room.checked_sub(added).ok_or_else(|| {
            Fault::new(ErrorCode::UpstreamInvalid, "the provider's reply is larger than the limit")
        })?;
        Ok(())
    }

    /// The whole reply (status 200), decoded.
    ///
    /// # Errors
    /// [`ErrorCode::UpstreamInvalid`] if what was collected cannot be read back.
    pub fn finish(self) -> Result<Reply, Fault> {
        let mut reply = Reply::new(200, self.inner.body(self.operation));
        reply.headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(JSON));
        decode_reply(&mut reply, self.dialect, self.operation)?;
        Ok(reply)
    }
}
