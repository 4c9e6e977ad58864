//! A whole reply on its way back.

use crate::request::edit;
use crate::{
    JsonOp, JsonPatchError, Part, Replace, Splices, Text, TextAt, TextRole, ToolCall, Usage, chat, names,
    patch,
};
use bytes::Bytes;
use bytestring::ByteString;
use http::HeaderMap;
use std::ops::Range;

names! {
    /// Why a model stopped.
    Finish {
        /// It had said all, or met a stop sequence.
        Stop = "stop",
        /// It reached the token limit.
        Length = "length",
        /// It calls tools.
        ToolCalls = "tool-calls",
        /// A content filter stopped it.
        ContentFilter = "content-filter",
        /// It paused amid a long turn and goes on when it is given the turn back.
        Paused = "paused",
        /// A reason not known here.
        Other = "other",
    }
}

/// What a reply says, decoded only if the plan reads it.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ReplyBody {
    /// Not decoded (yet).
    #[default]
    Unread,
    /// Holds no text to read (embeddings, model lists).
    Opaque,
    /// The choices of a chat or completion.
    Choices(Vec<Choice>),
    /// Vectors in the order of the inputs, each as spelt: a JSON array of numbers, or a string of Base64.
    Vectors(Vec<ByteString>),
    /// How many tokens a request has.
    Count(u64),
}

/// One alternative answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// Its number.
    pub index: u32,
    /// What it says.
    pub parts: Vec<Part>,
    /// Why it ended.
    pub finish: Option<Finish>,
    /// The stop sequence that ended it, if the provider says.
    pub stop: Option<ByteString>,
}

/// A whole reply. Cloning shares the texts' memory.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Headers for the client.
    pub headers: HeaderMap,
    /// The body as it came, decompressed.
    pub raw: Bytes,
    /// The typed body.
    pub body: ReplyBody,
    /// Tokens spent, if the provider said.
    pub usage: Option<Usage>,
    /// The model that answered, as the provider names it.
    pub model: Option<ByteString>,
    /// The reply's id, as the provider names it.
    pub id: Option<ByteString>,
    /// Whether it came from a cache.
    pub cached: bool,
    /// Where values stand that spell the words of a choice once more (log-probabilities), with the choice's place, from 0. They
    /// become `null` once a stage edits a text of that choice.
    pub repeats: Vec<(usize, Range<u32>)>,
    /// Whether some of them did.
    has_lost_repeats: bool,
    splices: Splices,
    edits: u32,
}

impl Reply {
    /// A reply with a body as it came.
    pub fn new(status: u16, raw: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            raw: raw.into(),
            body: ReplyBody::Unread,
            usage: None,
            model: None,
            id: None,
            cached: false,
            repeats: Vec::new(),
            has_lost_repeats: false,
            splices: Splices::default(),
            edits: 0,
        }
    }

    /// The choices; empty for other bodies.
    pub fn choices(&self) -> &[Choice] {
        match &self.body {
            ReplyBody::Choices(choices) => choices,
            ReplyBody::Unread | ReplyBody::Opaque | ReplyBody::Vectors(_) | ReplyBody::Count(_) => &[],
        }
    }

    /// The words of the first choice.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for part in self.choices().first().map_or(&[][..], |choice| &choice.parts) {
            if let Part::Text(text) | Part::Refusal(text) = part {
                out.push_str(text.as_str());
            }
        }
        out
    }

    /// The tool calls of the first choice.
    pub fn tool_calls(&self) -> impl Iterator<Item = &ToolCall> {
        self.choices().first().into_iter().flat_map(|choice| &choice.parts).filter_map(|part| match part {
            Part::ToolCall(call) => Some(call),
            _ => None,
        })
    }

    /// Why the first choice ended.
    pub fn finish(&self) -> Option<Finish> {
        self.choices().first().and_then(|choice| choice.finish)
    }

    /// Calls `visit` with every text of the reply.
    pub fn each_text<'a>(&'a self, mut visit: impl FnMut(TextAt<'a>)) {
        let mut index = 0;
        for (message, choice) in self.choices().iter().enumerate() {
            chat::each_text(&choice.parts, TextRole::Assistant, &mut |role, text: &'a Text| {
                visit(TextAt { index, role, message, text });
                index += 1;
            });
        }
    }

    /// All texts with their values (cheap clones), for work that must outlive a borrow.
    pub fn texts(&self) -> Vec<(usize, TextRole, ByteString)> {
        let mut out = Vec::new();
        self.each_text(|at| out.push((at.index, at.role, at.text.value.clone())));
        out
    }

    /// Makes changes inside the text with this number. Returns whether there is one and the ranges fit.
    pub fn edit_text(&mut self, index: usize, changes: &[Replace]) -> bool {
        let ReplyBody::Choices(choices) = &mut self.body else { return false };
        let splices = &mut self.splices;
        let (mut n, mut done) = (0, false);
        for (place, choice) in choices.iter_mut().enumerate() {
            let before = done;
            chat::each_text_mut(&mut choice.parts, &mut |text| {
                if n == index {
                    done = edit(text, changes, splices);
                }
                n += 1;
            });
            if done && !before {
                for (_, at) in self.repeats.iter().filter(|(choice, _)| *choice == place) {
                    splices.set(at.clone(), "null");
                    self.has_lost_repeats = true;
                }
            }
        }
        self.edits += u32::from(done);
        done
    }

    /// Puts `text` in place of the words of the first choice: into its first text, emptying its others.
    pub fn set_text(&mut self, text: &str) -> bool {
        let mut places = Vec::new();
        let said = self.choices().first().into_iter().flat_map(|choice| &choice.parts);
        // What tools of the provider's own say is read, but is no part of the answer.
        let mut words = said
            .filter_map(|part| match part {
                Part::Text(text) | Part::Refusal(text) => Some(text),
                _ => None,
            })
            .peekable();
        self.each_text(|at| {
            if words.next_if(|text| std::ptr::eq(*text, at.text)).is_some() {
                places.push((at.index, at.text.value.len()));
            }
        });
        let mut with = text;
        for (index, len) in &places {
            self.edit_text(*index, &[Replace::new(0..*len, with)]);
            with = "";
        }
        !places.is_empty()
    }

    /// Makes changes by pointer at once. The body must be decoded again before it is next read.
    pub fn patch(&mut self, ops: &[JsonOp]) -> Result<(), JsonPatchError> {
        self.raw = patch(&self.outgoing(), ops)?;
        self.splices.clear();
        self.repeats.clear();
        self.body = ReplyBody::Unread;
        self.edits += 1;
        Ok(())
    }

    /// Whether an edit took values away that spelt the words once more; see [`Reply::repeats`].
    pub fn has_lost_repeats(&self) -> bool {
        self.has_lost_repeats
    }

    /// Notes that headers or status were changed by a stage.
    pub fn mark_edited(&mut self) {
        self.edits += 1;
    }

    /// How many changes were made so far.
    pub fn edits(&self) -> u32 {
        self.edits
    }

    /// Whether a stage changed anything so far.
    pub fn is_edited(&self) -> bool {
        self.edits > 0
    }

    /// The body with all changes made; the original bytes themselves when there are none.
    pub fn outgoing(&self) -> Bytes {
        self.splices.apply(&self.raw)
    }
}
