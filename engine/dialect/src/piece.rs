//! What streams say, in no dialect: what is read from one and written in another.

use crate::scan::Scanned;
use crate::{ErrorBody, Level};
use bytes::Bytes;
use bytestring::ByteString;
use weir_message::{Block, Citation, Event, Fault, Finish, Usage};

/// A piece of a streamed reply.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// The reply begins. Fields that the provider does not tell are empty.
    Start {
        /// The reply's id.
        id: Option<ByteString>,
        /// The model that answers.
        model: Option<ByteString>,
        /// When, in Unix seconds.
        created: Option<u64>,
    },
    /// A tool call begins; its arguments follow as text of the block with this choice and index.
    Call {
        /// The choice, from 0.
        choice: u32,
        /// The block's index.
        index: u32,
        /// The call's id; empty where the dialect has none.
        id: ByteString,
        /// The tool's name.
        name: ByteString,
        /// See [`weir_message::ToolCall::signature`].
        signature: Option<ByteString>,
    },
    /// A piece of a block's text.
    Text {
        /// The block.
        block: Block,
        /// The piece.
        text: ByteString,
    },
    /// The proof behind the reasoning in the block of reasoning with this index; see [`weir_message::Reasoning::signature`].
    Signature {
        /// The choice, from 0.
        choice: u32,
        /// The block's index.
        index: u32,
        /// The proof.
        signature: ByteString,
    },
    /// Reasoning that only the provider can read.
    Sealed {
        /// The choice, from 0.
        choice: u32,
        /// The block's index.
        index: u32,
        /// What is to be handed back.
        data: ByteString,
    },
    /// Where the text in front comes from.
    Citation {
        /// The choice, from 0.
        choice: u32,
        /// The index of the block of text.
        index: u32,
        /// The source.
        citation: Citation,
    },
    /// A kind that only one dialect has; see [`weir_message::Part::Other`].
    Other {
        /// The choice, from 0.
        choice: u32,
        /// The dialect's name of the kind.
        kind: ByteString,
        /// All of it (JSON), to be written again in the same dialect.
        raw: ByteString,
    },
    /// A choice ends.
    Finish {
        /// The choice, from 0.
        choice: u32,
        /// Why.
        why: Finish,
        /// The stop sequence that ended it, if the provider says.
        stop: Option<ByteString>,
    },
    /// What was spent so far; a later one replaces it, and a writer tells the client the last.
    Usage(Usage),
    /// The clean end.
    Done,
}

impl Piece {
    /// The choice that it belongs to.
    pub(crate) fn choice(&self) -> u32 {
        match self {
            Piece::Text { block, .. } => block.choice,
            Piece::Call { choice, .. }
            | Piece::Signature { choice, .. }
            | Piece::Sealed { choice, .. }
            | Piece::Citation { choice, .. }
            | Piece::Other { choice, .. }
            | Piece::Finish { choice, .. } => *choice,
            Piece::Start { .. } | Piece::Usage(_) | Piece::Done => 0,
        }
    }
}

/// What names a reply that Weir writes, where nothing else does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The reply's id.
    pub id: String,
    /// The model.
    pub model: String,
    /// Unix seconds.
    pub created: u64,
    /// The path and query that the client asked: in some dialects they say in which form it wants the answer.
    pub asked: ByteString,
}

/// Reads one stream of a dialect.
pub(crate) trait ReadEvents: Send + std::fmt::Debug {
    /// A frame as an event, read as far as `level` asks.
    fn event(&mut self, raw: Bytes, level: Level) -> Result<Event, Fault>;

    /// All that an event says.
    fn pieces(&mut self, raw: &Bytes, out: &mut Vec<Piece>) -> Scanned<()>;

    /// The whole reply, if an event tells it.
    fn whole(&self, _raw: &Bytes) -> Option<Bytes> {
        None
    }

    /// Whether the stream may end here, in a dialect whose streams have no event for that.
    fn may_end(&self) -> bool {
        false
    }

    /// Whether what was read last ends the stream, and said more than that. An event of no bytes
    /// ([`weir_message::EventKind::Done`]) follows it.
    fn is_over(&self) -> bool {
        false
    }
}

/// Writes one stream of a dialect. Its deltas know where they stand in the bytes, so that stages can edit them.
pub(crate) trait WriteEvents: Send + std::fmt::Debug {
    /// An event as the client gets it: its bytes with the changes of all stages, in the stream's own framing. It may come from
    /// the provider, a translation or this writer; what is written from now on fits behind it. The place for what must agree
    /// with the texts as they were sent: a later event that repeats them, lengths, checksums.
    fn send(&mut self, event: &Event) -> Bytes;

    /// Writes what a piece takes.
    fn write(&mut self, piece: Piece, out: &mut Vec<Event>);

    /// An error told inside the stream.
    fn error(&self, error: &ErrorBody<'_>) -> Event;
}
