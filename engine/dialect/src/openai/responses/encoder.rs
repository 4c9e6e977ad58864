//! Events of a response's stream as the client gets them.

mod items;
mod sent;

use super::made_id;
use super::output::{self, Entry, Output, Shape, Stand};
use super::stream::{Want, read};
use crate::ErrorBody;
use crate::compose::{Object, write_object};
use crate::piece::{Identity, Piece, WriteEvents};
use crate::sse::fields;
use bytes::Bytes;
use std::collections::HashMap;
use weir_message::{Block, BlockKind, Event, EventKind, Finish, Usage};

/// Writes a stream, and sees to it that what later events repeat is what earlier ones told the client.
#[derive(Debug)]
pub(crate) struct Encoder {
    identity: Identity,
    is_learnt: bool,
    has_begun: bool,
    /// The number of the next event.
    number: u64,
    /// The last event sent, while its number was not looked for.
    last: Bytes,
    /// Whether texts are read on their way: only then is known what was sent.
    reads: bool,
    sent: Output,
    /// What was written, or taken over from what was sent.
    made: Output,
    /// Where the source's blocks went: to which item, and which part of it.
    slots: HashMap<Block, (u32, u32)>,
    /// The message or reasoning under way.
    current: Option<u32>,
    why: Option<Finish>,
    usage: Option<Usage>,
}

impl Encoder {
    pub(crate) fn new(identity: Identity) -> Self {
        let id = made_id(&identity.id);
        Self {
            identity: Identity { id, ..identity },
            is_learnt: false,
            has_begun: false,
            number: 0,
            last: Bytes::new(),
            reads: false,
            sent: Output::default(),
            made: Output::default(),
            slots: HashMap::new(),
            current: None,
            why: None,
            usage: None,
        }
    }

    /// The number of the next event.
    fn next_number(&self) -> u64 {
        let last = read(&self.last, &fields(&self.last), Want::End).ok().and_then(|said| said.number);
        last.map_or(self.number, |last| self.number.max(last.saturating_add(1)))
    }

    fn event(&mut self, kind: &str, build: impl FnOnce(&mut Object<'_>)) -> Event {
        let number = self.next_number();
        self.last = Bytes::new();
        self.number = number + 1;
        let is_delta = kind.ends_with(".delta");
        Event::new(framed(kind, number, build), if is_delta { EventKind::Content } else { EventKind::Other })
    }

    /// An event that holds the response.
    fn response(&mut self, kind: &str, stand: Stand) -> Event {
        let identity = std::mem::take(&mut self.identity);
        let made = std::mem::take(&mut self.made);
        let usage = self.usage.filter(|_| stand != Stand::InProgress);
        let event = self.event(kind, |o| {
            o.object("response", |o| {
                let head = (identity.id.as_str(), identity.model.as_str(), identity.created);
                output::response(o, head, stand, &made, usage);
            });
        });
        (self.identity, self.made) = (identity, made);
        event
    }

    /// The first two events of a stream.
    fn begin(&mut self, out: &mut Vec<Event>) {
        if self.made.entries.is_empty() && !self.sent.entries.is_empty() {
            // What a provider began goes on.
            self.made = self.sent.clone();
            let open = |(n, entry): (&u32, &Entry)| {
                (entry.is_open() && !matches!(entry.shape, Shape::Call { .. })).then_some(*n)
            };
            self.current = self.made.entries.iter().rev().find_map(open);
        }
        if !std::mem::replace(&mut self.has_begun, true) {
            out.push(self.response("response.created", Stand::InProgress));
            out.push(self.response("response.in_progress", Stand::InProgress));
        }
    }

    fn end(&mut self, out: &mut Vec<Event>) {
        self.begin(out);
        self.close_all(out);
        let why = self.why.unwrap_or(Finish::Stop);
        let stand = Stand::Over(why);
        let name = if stand.status() == "incomplete" { "response.incomplete" } else { "response.completed" };
        let mut event = self.response(name, stand);
        event.usage = self.usage;
        event.finish = Some(match why {
            Finish::Length | Finish::ContentFilter => why,
            _ if self.made.has_calls() => Finish::ToolCalls,
            _ => Finish::Stop,
        });
        out.push(event);
        out.push(Event::new(Bytes::new(), EventKind::Done));
    }
}

impl WriteEvents for Encoder {
    fn send(&mut self, event: &Event) -> Bytes {
        let raw = event.outgoing();
        for delta in &event.deltas {
            self.reads = true;
            self.sent.add(delta.block, delta.text.as_str());
        }
        match event.kind {
            EventKind::KeepAlive | EventKind::Done => return raw,
            EventKind::Content | EventKind::Usage | EventKind::Error => {
                self.has_begun = true;
                self.last = raw.clone();
                return raw;
            }
            EventKind::Other => {}
        }
        self.has_begun = true;
        let Ok(said) = read(&raw, &fields(&raw), Want::All) else { return raw };
        self.number = said.number.map_or(self.number, |number| number.saturating_add(1));
        self.last = Bytes::new();
        if !self.reads {
            self.follow(&said);
            return raw;
        }
        let agreeing = self.agreeing(&raw, &said);
        match agreeing.as_ptr() == raw.as_ptr() {
            true => self.follow(&said),
            // Read again, for what is kept of it must agree too.
            false => {
                if let Ok(said) = read(&agreeing, &fields(&agreeing), Want::All) {
                    self.follow(&said);
                }
            }
        }
        agreeing
    }

    fn write(&mut self, piece: Piece, out: &mut Vec<Event>) {
        if !matches!(piece, Piece::Start { .. } | Piece::Usage(_) | Piece::Finish { .. }) {
            self.begin(out);
        }
        match piece {
            Piece::Start { id, model, created } => {
                if let Some(id) = id {
                    self.identity.id = id.to_string();
                }
                if let Some(model) = model {
                    self.identity.model = model.to_string();
                }
                self.identity.created = created.unwrap_or(self.identity.created);
            }
            Piece::Call { choice, index, id, name, .. } => {
                self.call(Block { choice, kind: BlockKind::Arguments, index }, id, name, out);
            }
            Piece::Text { block, text } => self.text(block, &text, out),
            Piece::Signature { choice, index, signature } => {
                self.seal(Some(Block { choice, kind: BlockKind::Reasoning, index }), signature, out);
            }
            Piece::Sealed { data, .. } => self.seal(None, data, out),
            Piece::Citation { choice, index, citation } => {
                self.cite(Block { choice, kind: BlockKind::Text, index }, citation, out);
            }
            Piece::Other { kind, raw, .. } if output::is_item(&kind, &raw) => self.other(raw, out),
            Piece::Other { .. } => {}
            Piece::Finish { choice: 0, why, .. } => {
                self.begin(out);
                self.why = Some(why);
                self.close_all(out);
            }
            Piece::Finish { .. } => {}
            Piece::Usage(usage) => self.usage = Some(usage),
            Piece::Done => self.end(out),
        }
    }

    fn error(&self, error: &ErrorBody<'_>) -> Event {
        let number = self.next_number();
        let raw = framed("error", number, |o| {
            // The fields as the API's pages have them, and as its servers send them.
            o.string("code", error.code).string("message", error.message);
            match error.param {
                Some(param) => o.string("param", param),
                None => o.null("param"),
            };
            o.object("error", |o| crate::openai::encode::error(o, error));
        });
        Event::new(raw, EventKind::Error)
    }
}

/// An event in its frame.
fn framed(kind: &str, number: u64, build: impl FnOnce(&mut Object<'_>)) -> Bytes {
    let mut raw = Vec::with_capacity(256);
    raw.extend_from_slice(b"event: ");
    raw.extend_from_slice(kind.as_bytes());
    raw.extend_from_slice(b"\ndata: ");
    write_object(&mut raw, |o| {
        o.string("type", kind).number("sequence_number", number);
        build(o);
    });
    raw.extend_from_slice(b"\n\n");
    Bytes::from(raw)
}

/// Which part of which item an event is about.
fn about(o: &mut Object<'_>, id: &str, n: u32, kind: BlockKind, part: u32) {
    o.string("item_id", id).number("output_index", u64::from(n));
    match kind {
        BlockKind::Text | BlockKind::Refusal => o.number("content_index", u64::from(part)),
        BlockKind::Reasoning => o.number("summary_index", u64::from(part)),
        BlockKind::Arguments => o,
    };
}
