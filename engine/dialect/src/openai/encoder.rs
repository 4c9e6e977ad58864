//! Events of a stream that Weir itself writes.

use super::encode::{citation, extra_content, finish, prefixed, usage};
use super::stream::Reader;
use crate::ErrorBody;
use crate::compose::{Object, write_object};
use crate::piece::{Identity, Piece, ReadEvents, WriteEvents};
use bytes::Bytes;
use std::ops::Range;
use weir_message::{Block, BlockKind, Delta, Event, EventKind, Operation, Text, TextForm, Usage};

/// Writes events as the stream's own look.
#[derive(Debug)]
pub(crate) struct Encoder {
    operation: Operation,
    identity: Identity,
    is_learnt: bool,
    /// The choices whose role was told.
    open: Vec<u32>,
    /// The tool calls of each choice by the index of their block: OpenAI numbers the calls alone.
    calls: Vec<(u32, u32)>,
    /// What was spent, as far as it is known: told once, before the end.
    spent: Option<Usage>,
}

impl Encoder {
    pub(crate) fn new(operation: Operation, identity: Identity) -> Self {
        let id = prefixed(operation, &identity.id);
        Self {
            operation,
            identity: Identity { id, ..identity },
            is_learnt: false,
            open: Vec::new(),
            calls: Vec::new(),
            spent: None,
        }
    }

    /// An event with these choices and further fields; where the choices begin in its bytes.
    fn chunk(&self, kind: EventKind, build: impl FnOnce(&mut Object<'_>)) -> Event {
        let mut out = Vec::with_capacity(256);
        out.extend_from_slice(b"data: ");
        write_object(&mut out, |o| {
            o.string("id", &self.identity.id);
            o.string(
                "object",
                match self.operation {
                    Operation::Completion => "text_completion",
                    _ => "chat.completion.chunk",
                },
            );
            o.number("created", self.identity.created).string("model", &self.identity.model);
            build(o);
        });
        out.extend_from_slice(b"\n\n");
        Event::new(Bytes::from(out), kind)
    }

    /// An event of one choice.
    fn choice(&self, choice: u32, finish: &str, delta: impl FnOnce(&mut Object<'_>)) -> Event {
        self.chunk(EventKind::Content, |o| {
            o.array("choices", |a| {
                a.object(|o| {
                    o.number("index", u64::from(choice));
                    match self.operation {
                        Operation::Completion => delta(o),
                        _ => {
                            o.object("delta", delta);
                        }
                    }
                    o.null("logprobs").raw("finish_reason", finish);
                });
            });
        })
    }

    /// The first event of a choice, which names the role.
    fn open(&mut self, choice: u32, out: &mut Vec<Event>) {
        if self.operation != Operation::Chat || self.open.contains(&choice) {
            return;
        }
        self.open.push(choice);
        out.push(self.choice(choice, "null", |o| {
            o.string("role", "assistant").string("content", "");
        }));
    }

    /// The number of the tool call in the block of this index.
    fn number(&mut self, choice: u32, index: u32) -> u64 {
        let is_mine = |call: &&(u32, u32)| call.0 == choice;
        if let Some(at) = self.calls.iter().filter(is_mine).position(|call| call.1 == index) {
            return at as u64;
        }
        self.calls.push((choice, index));
        self.calls.iter().filter(is_mine).count() as u64 - 1
    }

    fn text(&mut self, block: Block, text: &str) -> Event {
        let Block { choice, kind, index } = block;
        let number = if kind == BlockKind::Arguments { self.number(choice, index) } else { 0 };
        // As the client reads it: one text to a choice, and calls numbered from 0.
        let block = Block { index: u32::try_from(number).unwrap_or(u32::MAX), ..block };
        let mut place: Range<usize> = 0..0;
        let mut event = self.choice(choice, "null", |o| match (self.operation, kind) {
            (Operation::Completion, _) => place = o.place_of("text", text),
            (_, BlockKind::Text) => place = o.place_of("content", text),
            (_, BlockKind::Reasoning) => place = o.place_of("reasoning_content", text),
            (_, BlockKind::Refusal) => place = o.place_of("refusal", text),
            (_, BlockKind::Arguments) => {
                o.array("tool_calls", |a| {
                    a.object(|o| {
                        o.number("index", number);
                        o.object("function", |o| place = o.place_of("arguments", text));
                    });
                });
            }
        });
        let form = if kind == BlockKind::Arguments { TextForm::Json } else { TextForm::Plain };
        if !text.is_empty() {
            event.deltas.push(Delta { block, text: Text::at(text.into(), crate::scan::place(place), form) });
        }
        event
    }

    fn learn(&mut self, event: &Event) {
        let mut pieces = Vec::new();
        if Reader::new().pieces(&event.raw, &mut pieces).is_ok()
            && let Some(Piece::Start { id, model, created }) = pieces.into_iter().next()
        {
            self.is_learnt = true;
            self.identity.id = id.map_or_else(|| std::mem::take(&mut self.identity.id), |id| id.to_string());
            self.identity.model =
                model.map_or_else(|| std::mem::take(&mut self.identity.model), |model| model.to_string());
            self.identity.created = created.unwrap_or(self.identity.created);
            // What was sent opened it.
            self.open.push(0);
        }
    }
}

impl WriteEvents for Encoder {
    /// Takes id, model and time from the first event that has them.
    fn send(&mut self, event: &Event) -> Bytes {
        if !self.is_learnt && matches!(event.kind, EventKind::Content | EventKind::Usage) {
            self.learn(event);
        }
        event.outgoing()
    }

    fn write(&mut self, piece: Piece, out: &mut Vec<Event>) {
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
            Piece::Call { choice, index, id, name, signature } => {
                self.open(choice, out);
                let number = self.number(choice, index);
                out.push(self.choice(choice, "null", |o| {
                    o.array("tool_calls", |a| {
                        a.object(|o| {
                            o.number("index", number).string("id", &id).string("type", "function");
                            o.object("function", |o| {
                                o.string("name", &name).string("arguments", "");
                            });
                            extra_content(o, signature.as_deref());
                        });
                    });
                }));
            }
            Piece::Text { block, text } => {
                self.open(block.choice, out);
                out.push(self.text(block, &text));
            }
            Piece::Signature { choice, signature, .. } => {
                self.open(choice, out);
                out.push(self.choice(choice, "null", |o| {
                    o.array("reasoning_details", |a| {
                        a.object(|o| {
                            o.string("type", "reasoning.text").string("signature", &signature);
                        });
                    });
                }));
            }
            Piece::Sealed { choice, data, .. } => {
                self.open(choice, out);
                out.push(self.choice(choice, "null", |o| {
                    o.array("reasoning_details", |a| {
                        a.object(|o| {
                            o.string("type", "reasoning.encrypted").string("data", &data);
                        });
                    });
                }));
            }
            Piece::Citation { choice, citation: said, .. } => {
                self.open(choice, out);
                out.push(self.choice(choice, "null", |o| {
                    o.array("annotations", |a| a.object(|o| citation(o, &said)));
                }));
            }
            Piece::Other { .. } => {}
            Piece::Finish { choice, why, .. } => {
                self.open(choice, out);
                let is_chat = self.operation != Operation::Completion;
                let mut event = self.choice(choice, finish(why), |o| {
                    if !is_chat {
                        o.string("text", "");
                    }
                });
                event.finish = Some(why);
                out.push(event);
            }
            Piece::Usage(spent) => self.spent = Some(spent),
            Piece::Done => {
                if let Some(spent) = self.spent.take() {
                    let mut event = self.chunk(EventKind::Usage, |o| {
                        o.array("choices", |_| {});
                        o.object("usage", |o| usage(o, &spent));
                    });
                    event.usage = Some(spent);
                    out.push(event);
                }
                out.push(Event::new(Bytes::from_static(b"data: [DONE]\n\n"), EventKind::Done));
            }
        }
    }

    fn error(&self, error: &ErrorBody<'_>) -> Event {
        let mut raw = Vec::with_capacity(256);
        raw.extend_from_slice(b"data: ");
        raw.extend_from_slice(&super::encode::error_body(error));
        raw.extend_from_slice(b"\n\n");
        Event::new(raw, EventKind::Error)
    }
}
