//! Events of a stream that Weir itself writes.

use super::encode::{call_id, calling, citation, end, error_body, is_own, prefixed, stop_reason, usage};
use super::reply::finish;
use super::stream::Stand;
use crate::ErrorBody;
use crate::compose::{Object, write_object};
use crate::piece::{Identity, Piece, WriteEvents};
use crate::scan::place;
use crate::sequence::Sequence;
use bytes::Bytes;
use bytestring::ByteString;
use std::ops::Range;
use weir_message::{Block, BlockKind, Delta, Event, EventKind, Finish, Text, TextForm, Usage};

/// How the events begin that say nothing of where the stream stands.
const GROWS: &[u8] = b"event: content_block_delta\n";

/// Writes events: one block after the other, numbered from 0.
#[derive(Debug)]
pub(crate) struct Encoder {
    /// What names the reply where the provider does not.
    identity: Identity,
    id: Option<ByteString>,
    model: Option<ByteString>,
    has_begun: bool,
    /// The block under way: which it is of those written here, and its number.
    open: Option<(Option<Block>, u32)>,
    /// The number of the next block.
    next: u32,
    sequence: Sequence,
    has_calls: bool,
    /// What the model says as it declines: told at the end.
    refusal: String,
    why: Option<(Finish, Option<ByteString>)>,
    spent: Option<Usage>,
    /// Whether it was told why the message ends.
    is_told: bool,
}

impl Encoder {
    pub(crate) fn new(identity: Identity) -> Self {
        Self {
            identity,
            id: None,
            model: None,
            has_begun: false,
            open: None,
            next: 0,
            sequence: Sequence::default(),
            has_calls: false,
            refusal: String::new(),
            why: None,
            spent: None,
            is_told: false,
        }
    }

    fn begin(&mut self, out: &mut Vec<Event>) {
        if std::mem::replace(&mut self.has_begun, true) {
            return;
        }
        out.push(event("message_start", |o| {
            o.object("message", |o| {
                match &self.id {
                    Some(id) => o.string("id", id),
                    None => o.string("id", &prefixed(&self.identity.id)),
                };
                o.string("type", "message").string("role", "assistant");
                o.string("model", self.model.as_deref().unwrap_or(&self.identity.model));
                o.array("content", |_| {});
                o.null("stop_reason").null("stop_sequence");
                o.object("usage", |o| usage(o, &self.spent.unwrap_or_default()));
            });
        }));
    }

    /// Ends the block under way and starts the next; its number.
    fn start(
        &mut self,
        block: Option<Block>,
        out: &mut Vec<Event>,
        build: impl FnOnce(&mut Object<'_>),
    ) -> u32 {
        self.begin(out);
        self.stop(out);
        let number = self.next;
        self.next += 1;
        self.open = Some((block, number));
        out.push(event("content_block_start", |o| {
            o.number("index", u64::from(number)).object("content_block", build);
        }));
        number
    }

    fn stop(&mut self, out: &mut Vec<Event>) {
        if let Some((_, number)) = self.open.take() {
            out.push(event("content_block_stop", |o| {
                o.number("index", u64::from(number));
            }));
        }
    }

    /// The number of a block, which is started if it is not the one under way.
    fn number(&mut self, block: Block, out: &mut Vec<Event>) -> u32 {
        match self.open {
            Some((Some(open), number)) if open == block => number,
            _ => self.start(Some(block), out, |o| match block.kind {
                BlockKind::Reasoning => {
                    o.string("type", "thinking").string("thinking", "").string("signature", "");
                }
                _ => {
                    o.string("type", "text").string("text", "");
                }
            }),
        }
    }

    /// A piece of a block's text.
    fn text(&mut self, block: Block, text: &str, out: &mut Vec<Event>) {
        let number = self.number(block, out);
        let (kind, field) = match block.kind {
            BlockKind::Reasoning => ("thinking_delta", "thinking"),
            BlockKind::Arguments => ("input_json_delta", "partial_json"),
            BlockKind::Text | BlockKind::Refusal => ("text_delta", "text"),
        };
        let mut at = 0..0;
        let mut written = grown(number, |o| {
            o.string("type", kind);
            at = o.place_of(field, text);
        });
        written.deltas.extend(delta(Block { choice: 0, index: number, ..block }, text, at));
        out.push(written);
    }

    /// Writes a piece whose turn it is.
    fn put(&mut self, piece: Piece, out: &mut Vec<Event>) {
        match piece {
            Piece::Start { id, model, .. } => {
                self.id = id.or(self.id.take());
                self.model = model.or(self.model.take());
                self.begin(out);
            }
            Piece::Call { index, id, name, .. } => {
                let block = Block { choice: 0, kind: BlockKind::Arguments, index };
                if matches!(self.open, Some((Some(open), _)) if open == block) {
                    return;
                }
                self.has_calls = true;
                let id = call_id(&id, &self.identity, self.next as usize);
                self.start(Some(block), out, |o| {
                    o.string("type", "tool_use").string("id", &id).string("name", &name);
                    o.raw("input", "{}");
                });
            }
            Piece::Text { block, text } if block.kind == BlockKind::Refusal => self.refusal.push_str(&text),
            Piece::Text { block, text } => {
                let is_open = matches!(self.open, Some((Some(open), _)) if open == block);
                // Arguments of no call have no place.
                if block.kind == BlockKind::Arguments && !is_open {
                    return;
                }
                self.text(block, &text, out);
            }
            Piece::Signature { index, signature, .. } => {
                let number = self.number(Block { choice: 0, kind: BlockKind::Reasoning, index }, out);
                out.push(grown(number, |o| {
                    o.string("type", "signature_delta").string("signature", &signature);
                }));
            }
            Piece::Sealed { data, .. } => {
                self.start(None, out, |o| {
                    o.string("type", "redacted_thinking").string("data", &data);
                });
                self.stop(out);
            }
            Piece::Citation { citation: said, .. } => {
                if let Some((Some(Block { kind: BlockKind::Text, .. }), number)) = self.open {
                    out.push(grown(number, |o| {
                        o.string("type", "citations_delta").raw("citation", &citation(&said));
                    }));
                }
            }
            Piece::Other { kind, raw, .. } => {
                if is_own(&kind, &raw) {
                    self.begin(out);
                    self.stop(out);
                    let number = self.next;
                    self.next += 1;
                    out.push(event("content_block_start", |o| {
                        o.number("index", u64::from(number)).raw("content_block", &raw);
                    }));
                    self.open = Some((None, number));
                    self.stop(out);
                }
            }
            Piece::Finish { why, stop, .. } => self.why = Some((why, stop)),
            Piece::Usage(spent) => self.spent = Some(spent),
            Piece::Done => self.done(out),
        }
    }

    fn done(&mut self, out: &mut Vec<Event>) {
        self.begin(out);
        self.stop(out);
        if !std::mem::replace(&mut self.is_told, true) {
            out.push(self.told());
        }
        let mut last = event("message_stop", |_| {});
        last.kind = EventKind::Done;
        out.push(last);
    }

    /// Why the message ends, and what was spent.
    fn told(&mut self) -> Event {
        let (why, stop) = self.why.take().unwrap_or((Finish::Stop, None));
        let why = if self.has_calls { calling(why) } else { why };
        let refusal = std::mem::take(&mut self.refusal);
        let (spent, mut at) = (self.spent.unwrap_or_default(), 0..0);
        let mut written = event("message_delta", |o| {
            o.object("delta", |o| {
                at = end(o, why, stop.as_deref(), Some(&*refusal).filter(|words| !words.is_empty()));
            });
            o.object("usage", |o| usage(o, &spent));
        });
        written.deltas.extend(delta(Block { choice: 0, kind: BlockKind::Refusal, index: 0 }, &refusal, at));
        written.finish = Some(finish(stop_reason(why, stop.is_some(), !refusal.is_empty())));
        written.usage = self.spent;
        written
    }

    /// Takes note of an event that was sent. Blocks with numbers that were given here are known.
    fn learn(&mut self, event: &Event) {
        match Stand::of(&event.raw) {
            Stand::Begins => self.has_begun = true,
            Stand::Starts(number) if number >= self.next => {
                self.open = Some((None, number));
                self.next = number.saturating_add(1);
            }
            Stand::Stops(number) if self.open == Some((None, number)) => self.open = None,
            Stand::Ends => self.is_told = true,
            Stand::Starts(_) | Stand::Stops(_) | Stand::On => {}
        }
    }
}

impl WriteEvents for Encoder {
    /// Takes note of which block is under way.
    fn send(&mut self, event: &Event) -> Bytes {
        if event.kind == EventKind::Content && !event.raw.starts_with(GROWS) {
            self.learn(event);
        }
        event.outgoing()
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
        let mut raw = b"event: error\ndata: ".to_vec();
        raw.extend_from_slice(&error_body(error));
        raw.extend_from_slice(b"\n\n");
        Event::new(raw, EventKind::Error)
    }
}

/// An event of this type with these further fields.
fn event(name: &str, build: impl FnOnce(&mut Object<'_>)) -> Event {
    let mut out = Vec::with_capacity(192);
    for piece in [b"event: ", name.as_bytes(), b"\ndata: "] {
        out.extend_from_slice(piece);
    }
    write_object(&mut out, |o| {
        o.string("type", name);
        build(o);
    });
    out.extend_from_slice(b"\n\n");
    Event::new(Bytes::from(out), EventKind::Content)
}

/// The event of what a block grows by.
fn grown(number: u32, build: impl FnOnce(&mut Object<'_>)) -> Event {
    event("content_block_delta", |o| {
        o.number("index", u64::from(number)).object("delta", build);
    })
}

fn delta(block: Block, text: &str, at: Range<usize>) -> Option<Delta> {
    let form = if block.kind == BlockKind::Arguments { TextForm::Json } else { TextForm::Plain };
    (!text.is_empty()).then(|| Delta { block, text: Text::at(text.into(), place(at), form) })
}
