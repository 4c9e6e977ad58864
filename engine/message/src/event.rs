//! One event of a streamed reply.

use crate::edit::quoted;
use crate::{Finish, Splices, Text, TextForm, Usage, names};
use bytes::Bytes;
use std::ops::Range;

names! {
    /// What a block of a stream holds.
    BlockKind {
        /// Words.
        Text = "text",
        /// Reasoning.
        Reasoning = "reasoning",
        /// A refusal.
        Refusal = "refusal",
        /// The arguments of a tool call.
        Arguments = "arguments",
    }
}

names! {
    /// What an event is.
    EventKind {
        /// Deltas of content, finish reasons, perhaps usage.
        Content = "content",
        /// Usage alone, at the end of a stream.
        Usage = "usage",
        /// The stream's clean end.
        Done = "done",
        /// A comment that keeps the connection alive.
        KeepAlive = "keep-alive",
        /// An error told inside the stream.
        Error = "error",
        /// Something else, passed as it is.
        Other = "other",
    }
}

/// Which text of a stream a delta belongs to. Text is put together per block before a stage sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Block {
    /// The choice, from 0.
    pub choice: u32,
    /// What the block holds.
    pub kind: BlockKind,
    /// For arguments, the tool call's index; otherwise 0.
    pub index: u32,
}

/// A piece of text in an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    /// The block it continues.
    pub block: Block,
    /// The piece, and where its literal stands in the event's bytes.
    pub text: Text,
}

/// One event of a stream. Untouched events are sent as the bytes they came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The event's bytes, its blank line included.
    pub raw: Bytes,
    /// What it is.
    pub kind: EventKind,
    /// Its pieces of text; empty when the plan reads no stream.
    pub deltas: Vec<Delta>,
    /// Why a choice ended, if one ends here.
    pub finish: Option<Finish>,
    /// Usage, if it is told here.
    pub usage: Option<Usage>,
    /// Where values stand that spell the words of a choice once more (log-probabilities), with the choice's number. They become
    /// `null` once a stage edits a delta of that choice.
    repeats: Vec<(u32, Range<u32>)>,
    has_lost_repeats: bool,
    splices: Splices,
}

impl Event {
    /// An event of these bytes without text.
    pub fn new(raw: impl Into<Bytes>, kind: EventKind) -> Self {
        Self {
            raw: raw.into(),
            kind,
            deltas: Vec::new(),
            finish: None,
            usage: None,
            repeats: Vec::new(),
            has_lost_repeats: false,
            splices: Splices::default(),
        }
    }

    /// Puts `text` in place of a delta's text. Returns whether there is such a delta.
    pub fn set_delta(&mut self, index: usize, text: &str) -> bool {
        let Some(delta) = self.deltas.get_mut(index) else { return false };
        if let Some(at) = &delta.text.at {
            let literal = if delta.text.form == TextForm::Document { text.to_owned() } else { quoted(text) };
            self.splices.set(at.clone(), literal);
        }
        delta.text.value = text.into();
        let choice = delta.block.choice;
        self.drop_repeats(|repeated| repeated == choice);
        true
    }

    /// Notes where values stand that spell the words of choices once more: they go with the words that they repeat. Those of a
    /// choice that says nothing in this event go at once, since nobody could tell whose words they are.
    pub fn set_repeats(&mut self, repeats: Vec<(u32, Range<u32>)>) {
        if repeats.is_empty() {
            return;
        }
        self.repeats = repeats;
        let said: Vec<u32> = self.deltas.iter().map(|delta| delta.block.choice).collect();
        self.drop_repeats(|repeated| !said.contains(&repeated));
    }

    fn drop_repeats(&mut self, of: impl Fn(u32) -> bool) {
        let (splices, has_lost) = (&mut self.splices, &mut self.has_lost_repeats);
        self.repeats.retain(|(choice, at)| {
            let goes = of(*choice);
            if goes {
                splices.set(at.clone(), "null");
                *has_lost = true;
            }
            !goes
        });
    }

    /// Whether an edit took values away that spelt the words once more.
    pub fn has_lost_repeats(&self) -> bool {
        self.has_lost_repeats
    }

    /// Whether its bytes are not sent as they came.
    pub fn is_edited(&self) -> bool {
        !self.splices.is_empty()
    }

    /// The bytes to send.
    pub fn outgoing(&self) -> Bytes {
        self.splices.apply(&self.raw)
    }
}
