//! Events of a stream that Weir itself writes, and the frames of those that stages changed.

use super::encode::{call_id, calling, citation, stop_reason, usage};
use super::error::stream_exception;
use super::reply::finish;
use super::stream::{Kind, read};
use crate::ErrorBody;
use crate::compose::{Object, write_object};
use crate::eventstream::{begun, resealed, sealed};
use crate::gemini::signature;
use crate::piece::{Identity, Piece, WriteEvents};
use crate::scan::place;
use crate::sequence::Sequence;
use bytes::Bytes;
use std::ops::Range;
use weir_message::{Block, BlockKind, Delta, Event, EventKind, Finish, Text, TextForm, Usage};

/// Writes events: one block after the other, numbered from 0. Only a call's beginning is told; other blocks begin by growing.
#[derive(Debug)]
pub(super) struct Encoder {
    identity: Identity,
    has_begun: bool,
    /// The block under way: which it is of those written here, and its number.
    open: Option<(Option<Block>, u32)>,
    /// The number of the next block.
    next: u32,
    sequence: Sequence,
    has_calls: bool,
    why: Option<(Finish, bool)>,
    spent: Option<Usage>,
    /// Whether it was told why the message ends.
    is_told: bool,
    /// Whether it was told what was spent, which is the last.
    is_over: bool,
}

impl Encoder {
    pub(super) fn new(identity: Identity) -> Self {
        Self {
            identity,
            has_begun: false,
            open: None,
            next: 0,
            sequence: Sequence::default(),
            has_calls: false,
            why: None,
            spent: None,
            is_told: false,
            is_over: false,
        }
    }

    fn begin(&mut self, out: &mut Vec<Event>) {
        if !std::mem::replace(&mut self.has_begun, true) {
            out.push(event("messageStart", EventKind::Other, |o| {
                o.string("role", "assistant");
            }));
        }
    }

    /// Ends the block under way.
    fn stop(&mut self, out: &mut Vec<Event>) {
        if let Some((_, number)) = self.open.take() {
            out.push(event("contentBlockStop", EventKind::Other, |o| {
                o.number("contentBlockIndex", u64::from(number));
            }));
        }
    }

    /// The number of a block, which takes the place of the one under way if it is another.
    fn number(&mut self, block: Option<Block>, out: &mut Vec<Event>) -> u32 {
        if let Some((open, number)) = self.open
            && open.is_some()
            && open == block
        {
            return number;
        }
        self.begin(out);
        self.stop(out);
        let number = self.next;
        self.next += 1;
        self.open = Some((block, number));
        number
    }

    /// Writes a piece whose turn it is.
    fn put(&mut self, piece: Piece, out: &mut Vec<Event>) {
        match piece {
            Piece::Start { .. } => self.begin(out),
            Piece::Call { index, id, name, .. } => {
                let block = Block { choice: 0, kind: BlockKind::Arguments, index };
                if matches!(self.open, Some((Some(open), _)) if open == block) {
                    return;
                }
                self.has_calls = true;
                let id = call_id(&id, &self.identity, self.next as usize);
                let number = self.number(Some(block), out);
                out.push(event("contentBlockStart", EventKind::Content, |o| {
                    o.object("start", |o| {
                        o.object("toolUse", |o| {
                            o.string("toolUseId", &id).string("name", &name);
                        });
                    });
                    o.number("contentBlockIndex", u64::from(number));
                }));
            }
            Piece::Text { block, text } => self.text(block, &text, out),
            Piece::Signature { index, signature, .. } => {
                let block = Block { choice: 0, kind: BlockKind::Reasoning, index };
                let number = self.number(Some(block), out);
                out.push(reasoning(number, |o| {
                    o.string("signature", &signature);
                }));
            }
            Piece::Sealed { data, .. } => {
                let number = self.number(None, out);
                out.push(reasoning(number, |o| {
                    o.base64("redactedContent", "", &signature::as_bytes(&data));
                }));
                self.stop(out);
            }
            Piece::Citation { citation: said, .. } => {
                if let Some((Some(Block { kind: BlockKind::Text, .. }), number)) = self.open {
                    out.push(grown(number, |o| {
                        o.raw("citation", &citation(&said));
                    }));
                }
            }
            Piece::Finish { why, stop, .. } => self.why = Some((why, stop.is_some())),
            Piece::Usage(spent) => self.spent = Some(spent),
            Piece::Done => self.done(out),
            // A kind that only another dialect has.
            Piece::Other { .. } => {}
        }
    }

    /// A piece of a block's text. There are no refusals here but words.
    fn text(&mut self, block: Block, text: &str, out: &mut Vec<Event>) {
        let kind = match block.kind {
            BlockKind::Refusal => BlockKind::Text,
            kind => kind,
        };
        let block = Block { kind, ..block };
        let is_open = matches!(self.open, Some((Some(open), _)) if open == block);
        // Arguments of no call have no place.
        if kind == BlockKind::Arguments && !is_open {
            return;
        }
        let number = self.number(Some(block), out);
        let mut at: Range<usize> = 0..0;
        let mut written = match kind {
            BlockKind::Reasoning => reasoning(number, |o| at = o.place_of("text", text)),
            BlockKind::Arguments => grown(number, |o| {
                o.object("toolUse", |o| at = o.place_of("input", text));
            }),
            BlockKind::Text | BlockKind::Refusal => grown(number, |o| at = o.place_of("text", text)),
        };
        if !text.is_empty() {
            let form = if kind == BlockKind::Arguments { TextForm::Json } else { TextForm::Plain };
            let block = Block { choice: 0, kind, index: number };
            written.deltas.push(Delta { block, text: Text::at(text.into(), place(at), form) });
        }
        out.push(written);
    }

    fn done(&mut self, out: &mut Vec<Event>) {
        if self.is_over {
            return;
        }
        self.begin(out);
        self.stop(out);
        if !std::mem::replace(&mut self.is_told, true) {
            let (why, is_stopped) = self.why.unwrap_or((Finish::Stop, false));
            let why = stop_reason(calling(why, self.has_calls), is_stopped);
            let mut told = event("messageStop", EventKind::Content, |o| {
                o.string("stopReason", why);
            });
            told.finish = Some(finish(why));
            out.push(told);
        }
        // What nobody told is not made up.
        if let Some(spent) = self.spent {
            self.is_over = true;
            let mut told = event("metadata", EventKind::Usage, |o| {
                o.object("usage", |o| usage(o, &spent));
                o.object("metrics", |o| {
                    o.number("latencyMs", 0);
                });
            });
            told.usage = Some(spent);
            out.push(told);
        }
        out.push(Event::new(Bytes::new(), EventKind::Done));
    }

    /// Takes note of an event that was sent. Blocks with numbers that were given here are known.
    fn learn(&mut self, raw: &Bytes) {
        let kind = Kind::of(raw);
        match kind {
            Kind::MessageStart => self.has_begun = true,
            Kind::BlockStart | Kind::BlockDelta => {
                let Ok(told) = read(raw, kind) else { return };
                if told.index >= self.next {
                    self.open = Some((None, told.index));
                    self.next = told.index.saturating_add(1);
                }
            }
            Kind::BlockStop => {
                // Of those written here it is known.
                let stopped = read(raw, kind).ok().map(|told| (None, told.index));
                if stopped.is_some() && self.open == stopped {
                    self.open = None;
                }
            }
            Kind::MessageStop => self.is_told = true,
            Kind::Metadata => self.is_over = true,
            Kind::Chunk | Kind::Failed | Kind::Other => {}
        }
    }
}

impl WriteEvents for Encoder {
    /// Takes note of where the stream stands, and frames anew what was changed.
    fn send(&mut self, event: &Event) -> Bytes {
        self.learn(&event.raw);
        if event.is_edited() { resealed(&event.outgoing()) } else { event.raw.clone() }
    }

    fn write(&mut self, piece: Piece, out: &mut Vec<Event>) {
        // There is one answer.
        if piece.choice() > 0 {
            return;
        }
        self.sequence.push(piece);
        while let Some(piece) = self.sequence.next() {
            self.put(piece, out);
        }
    }

    fn error(&self, error: &ErrorBody<'_>) -> Event {
        let mut out = begun(&[
            (":exception-type", stream_exception(error.status)),
            (":content-type", "application/json"),
            (":message-type", "exception"),
        ]);
        write_object(&mut out, |o| {
            o.string("message", error.message).string("code", error.code);
            o.string("requestId", error.request_id);
        });
        Event::new(sealed(out), EventKind::Error)
    }
}

/// An event of this type.
fn event(name: &str, kind: EventKind, build: impl FnOnce(&mut Object<'_>)) -> Event {
    let mut out =
        begun(&[(":event-type", name), (":content-type", "application/json"), (":message-type", "event")]);
    write_object(&mut out, build);
    Event::new(sealed(out), kind)
}

/// The event of what a block grows by.
fn grown(number: u32, build: impl FnOnce(&mut Object<'_>)) -> Event {
    event("contentBlockDelta", EventKind::Content, |o| {
        o.number("contentBlockIndex", u64::from(number)).object("delta", build);
    })
}

fn reasoning(number: u32, build: impl FnOnce(&mut Object<'_>)) -> Event {
    grown(number, |o| {
        o.object("reasoningContent", build);
    })
}
