//! Events of a stream that Weir itself writes.

use super::encode;
use super::stream::{Kind, read};
use crate::ErrorBody;
use crate::compose::{Object, write_object};
use crate::piece::{Identity, Piece, WriteEvents};
use crate::scan::place;
use crate::sequence::Sequence;
use crate::sse::fields;
use bytes::Bytes;
use std::ops::Range;
use weir_message::{Block, BlockKind, Delta, Event, EventKind, Finish, Text, TextForm, Usage};

/// Writes events as blocks that begin and end, one at a time.
#[derive(Debug)]
pub(crate) struct Encoder {
    id: String,
    has_begun: bool,
    has_ended: bool,
    /// What is open, under which number.
    open: Option<(Open, u32)>,
    /// How many blocks of content began.
    contents: u32,
    /// The tool calls by the index of their block: Cohere numbers the calls alone.
    calls: Vec<u32>,
    sequence: Sequence,
    citations: u32,
    /// The words of the content block under way, for its citations.
    said: String,
    finish: Option<(Finish, bool)>,
    usage: Option<Usage>,
}

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Text,
    Thinking,
    Call,
}

impl Encoder {
    pub(crate) fn new(identity: Identity) -> Self {
        Self {
            id: identity.id,
            has_begun: false,
            has_ended: false,
            open: None,
            contents: 0,
            calls: Vec::new(),
            sequence: Sequence::default(),
            citations: 0,
            said: String::new(),
            finish: None,
            usage: None,
        }
    }

    fn begin(&mut self, out: &mut Vec<Event>) {
        if std::mem::replace(&mut self.has_begun, true) {
            return;
        }
        out.push(event("message-start", EventKind::Other, |o| {
            o.string("id", &self.id).object("delta", |o| {
                o.object("message", |o| {
                    o.string("role", "assistant").array("content", |_| {}).string("tool_plan", "");
                    o.array("tool_calls", |_| {}).array("citations", |_| {});
                });
            });
        }));
    }

    /// Ends what is open.
    fn close(&mut self, out: &mut Vec<Event>) {
        if let Some((open, index)) = self.open.take() {
            let kind = if open == Open::Call { "tool-call-end" } else { "content-end" };
            out.push(event(kind, EventKind::Other, |o| {
                o.number("index", u64::from(index));
            }));
        }
    }

    /// The number of the content block of this kind that is open, opened if it is not.
    fn content(&mut self, kind: Open, out: &mut Vec<Event>) -> u32 {
        if let Some((open, index)) = self.open
            && open == kind
        {
            return index;
        }
        self.close(out);
        let index = self.contents;
        self.contents += 1;
        self.open = Some((kind, index));
        self.said.clear();
        out.push(event("content-start", EventKind::Content, |o| {
            o.number("index", u64::from(index));
            message(o, |o| {
                o.object("content", |o| {
                    let name = field(kind);
                    o.string("type", name).string(name, "");
                });
            });
        }));
        index
    }

    /// The number of the tool call in the block of this index.
    fn call(&mut self, index: u32) -> u32 {
        let at = self.calls.iter().position(|known| *known == index).unwrap_or_else(|| {
            self.calls.push(index);
            self.calls.len() - 1
        });
        u32::try_from(at).unwrap_or(u32::MAX)
    }

    fn text(&mut self, block: Block, text: &str, out: &mut Vec<Event>) {
        let (kind, index) = match block.kind {
            BlockKind::Text | BlockKind::Refusal => (BlockKind::Text, self.content(Open::Text, out)),
            BlockKind::Reasoning => (BlockKind::Reasoning, self.content(Open::Thinking, out)),
            BlockKind::Arguments => (BlockKind::Arguments, self.call(block.index)),
        };
        if kind == BlockKind::Text {
            self.said.push_str(text);
        }
        let mut at: Range<usize> = 0..0;
        let is_call = kind == BlockKind::Arguments;
        let name = if is_call { "tool-call-delta" } else { "content-delta" };
        let mut event = event(name, EventKind::Content, |o| {
            o.number("index", u64::from(index));
            message(o, |o| match kind {
                BlockKind::Arguments => {
                    o.object("tool_calls", |o| {
                        o.object("function", |o| at = o.place_of("arguments", text));
                    });
                }
                BlockKind::Reasoning => {
                    o.object("content", |o| at = o.place_of("thinking", text));
                }
                BlockKind::Text | BlockKind::Refusal => {
                    o.object("content", |o| at = o.place_of("text", text));
                }
            });
        });
        if !text.is_empty() {
            let form = if is_call { TextForm::Json } else { TextForm::Plain };
            let block = Block { choice: 0, kind, index };
            event.deltas.push(Delta { block, text: Text::at(text.into(), place(at), form) });
        }
        out.push(event);
    }

    /// The last event that says something.
    fn end(&mut self, out: &mut Vec<Event>) {
        if std::mem::replace(&mut self.has_ended, true) {
            return;
        }
        self.begin(out);
        self.close(out);
        let (finish, is_stop) = self.finish.unwrap_or((Finish::Stop, false));
        let why = if is_stop { "STOP_SEQUENCE" } else { encode::finish(finish) };
        let mut last = event("message-end", EventKind::Content, |o| {
            o.object("delta", |o| {
                o.string("finish_reason", why);
                if let Some(spent) = &self.usage {
                    o.object("usage", |o| encode::usage(o, spent));
                }
            });
        });
        last.finish = Some(finish);
        last.usage = self.usage;
        out.push(last);
    }
}

impl WriteEvents for Encoder {
    fn send(&mut self, event: &Event) -> Bytes {
        // What another wrote, this goes on with.
        if let Ok(told) = read(&event.raw, &fields(&event.raw)) {
            match told.kind {
                Kind::MessageStart => {
                    self.has_begun = true;
                    if let Some(id) = told.id {
                        self.id = id.to_string();
                    }
                }
                Kind::ContentStart => {
                    let open = if told.is_thinking { Open::Thinking } else { Open::Text };
                    self.open = Some((open, told.index));
                    self.contents = self.contents.max(told.index.saturating_add(1));
                }
                Kind::CallStart => {
                    self.open = Some((Open::Call, told.index));
                    self.call(told.index);
                }
                Kind::ContentEnd | Kind::CallEnd => self.open = None,
                Kind::MessageEnd => self.has_ended = true,
                Kind::Words | Kind::Other => {}
            }
        }
        event.outgoing()
    }

    fn write(&mut self, piece: Piece, out: &mut Vec<Event>) {
        self.sequence.push(piece);
        while let Some(piece) = self.sequence.next() {
            self.put(piece, out);
        }
    }

    fn error(&self, error: &ErrorBody<'_>) -> Event {
        event("message-end", EventKind::Error, |o| {
            o.string("id", error.request_id).object("delta", |o| {
                o.string("finish_reason", "ERROR").string("error", error.message).string("code", error.code);
            });
        })
    }
}

impl Encoder {
    /// Writes a piece whose turn it is.
    fn put(&mut self, piece: Piece, out: &mut Vec<Event>) {
        match piece {
            // A reply has one choice here.
            Piece::Text { block: Block { choice: 1.., .. }, .. }
            | Piece::Call { choice: 1.., .. }
            | Piece::Citation { choice: 1.., .. }
            | Piece::Finish { choice: 1.., .. } => {}
            Piece::Start { id, .. } => {
                if let Some(id) = id {
                    self.id = id.to_string();
                }
            }
            Piece::Text { block, text } => {
                self.begin(out);
                self.text(block, &text, out);
            }
            Piece::Call { index, id, name, .. } => {
                self.begin(out);
                self.close(out);
                let number = self.call(index);
                self.open = Some((Open::Call, number));
                out.push(event("tool-call-start", EventKind::Content, |o| {
                    o.number("index", u64::from(number));
                    message(o, |o| {
                        o.object("tool_calls", |o| {
                            o.string("id", &id).string("type", "function").object("function", |o| {
                                o.string("name", &name).string("arguments", "");
                            });
                        });
                    });
                }));
            }
            Piece::Citation { citation, .. } => {
                self.begin(out);
                let number = u64::from(self.citations);
                self.citations += 1;
                let (block, said) = (u64::from(self.contents.saturating_sub(1)), &self.said);
                out.push(event("citation-start", EventKind::Other, |o| {
                    o.number("index", number);
                    message(o, |o| {
                        o.object("citations", |o| encode::citation(o, &citation, block, said));
                    });
                }));
                out.push(event("citation-end", EventKind::Other, |o| {
                    o.number("index", number);
                }));
            }
            // Nothing here signs or seals reasoning.
            Piece::Signature { .. } | Piece::Sealed { .. } | Piece::Other { .. } => {}
            Piece::Finish { why, stop, .. } => {
                self.begin(out);
                self.close(out);
                self.finish = Some((why, stop.is_some()));
            }
            Piece::Usage(usage) => self.usage = Some(usage),
            Piece::Done => {
                if !self.has_ended {
                    self.end(out);
                    out.push(Event::new(Bytes::from_static(b"data: [DONE]\n\n"), EventKind::Done));
                }
            }
        }
    }
}

/// The name of a kind of content, which is that of its field too.
fn field(open: Open) -> &'static str {
    if open == Open::Thinking { "thinking" } else { "text" }
}

/// An event of this type.
fn event(name: &str, kind: EventKind, build: impl FnOnce(&mut Object<'_>)) -> Event {
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    write_object(&mut out, |o| {
        o.string("type", name);
        build(o);
    });
    out.extend_from_slice(b"\n\n");
    Event::new(Bytes::from(out), kind)
}

/// The fields of a message inside a delta.
fn message(o: &mut Object<'_>, build: impl FnOnce(&mut Object<'_>)) {
    o.object("delta", |o| {
        o.object("message", build);
    });
}
