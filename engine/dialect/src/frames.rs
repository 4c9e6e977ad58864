//! How a stream of bytes is divided into events.

use crate::eventstream::EventStream;
use crate::sse::{Sse, SseError};
use bytes::Bytes;

/// Why a stream cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    /// An event is larger than the limit, in bytes.
    #[error("an event of the stream is larger than {0} bytes")]
    TooLarge(usize),
    /// The stream ended inside an event.
    #[error("the stream ended inside an event")]
    Cut,
    /// A checksum or a length is wrong.
    #[error("an event of the stream is damaged")]
    Damaged,
}

impl From<SseError> for FrameError {
    fn from(error: SseError) -> Self {
        match error {
            SseError::TooLarge(limit) => Self::TooLarge(limit),
            SseError::Cut => Self::Cut,
        }
    }
}

/// A way to divide a stream.
#[derive(Debug)]
pub(crate) enum Frames {
    /// Server-sent events.
    Sse(Sse),
    /// AWS's frames.
    EventStream(EventStream),
}

impl Frames {
    /// Adds what arrived. Take all events out before the next chunk.
    pub(crate) fn push(&mut self, chunk: Bytes) {
        match self {
            Self::Sse(sse) => sse.push(chunk),
            Self::EventStream(stream) => stream.push(chunk),
        }
    }

    /// The bytes of the next complete event; none until more arrives.
    pub(crate) fn next_event(&mut self) -> Result<Option<Bytes>, FrameError> {
        match self {
            Self::Sse(sse) => Ok(sse.next_event()?),
            Self::EventStream(stream) => stream.next_frame(),
        }
    }

    /// Ends the stream: an event that is complete only now.
    pub(crate) fn finish(&mut self) -> Result<Option<Bytes>, FrameError> {
        match self {
            Self::Sse(sse) => Ok(sse.finish()?),
            Self::EventStream(stream) => stream.finish(),
        }
    }
}
