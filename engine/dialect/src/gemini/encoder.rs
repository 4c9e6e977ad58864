//! Events of a stream that Weir itself writes.

use super::encode::{self, ALONE, BESIDE};
use super::grounding::{self, Cited};
use super::request::write_arguments;
use super::stream::Reader;
use super::{route, signature};
use crate::ErrorBody;
use crate::compose::{Array, Object, write_object};
use crate::piece::{Identity, Piece, ReadEvents, WriteEvents};
use crate::sse::{Data, Sse, fields};
use bytes::Bytes;
use bytestring::ByteString;
use std::collections::BTreeMap;
use std::ops::Range;
use weir_message::{Block, BlockKind, Citation, Delta, Event, EventKind, Finish, Text, TextForm, Usage};

/// Writes events as the stream's own look. Calls of tools are written whole, and why it ended at its end: so Gemini does.
#[derive(Debug)]
pub(crate) struct Encoder {
    identity: Identity,
    is_learnt: bool,
    choices: BTreeMap<u32, Said>,
    spent: Option<Usage>,
    frame: Frame,
}

/// What a candidate said and is not written yet.
#[derive(Debug, Default)]
struct Said {
    /// Calls, and what comes behind one.
    held: Vec<Held>,
    /// How many bytes of arguments that is.
    size: usize,
    /// The words so far, while they may be cited.
    words: String,
    citations: Vec<Citation>,
    has_metadata: bool,
    finish: Option<Finish>,
}

#[derive(Debug)]
enum Held {
    Call(Call),
    Seal(ByteString),
}

#[derive(Debug)]
struct Call {
    index: u32,
    id: ByteString,
    name: ByteString,
    signature: Option<ByteString>,
    arguments: String,
}

/// How events are put together.
#[derive(Debug, PartialEq, Eq)]
enum Frame {
    /// Each is an event.
    Events,
    /// Each is an item of one array; whether one was written.
    Array(bool),
}

impl Encoder {
    pub(crate) fn new(identity: Identity) -> Self {
        let frame = if route::wants_array(&identity.asked) { Frame::Array(false) } else { Frame::Events };
        Self { identity, is_learnt: false, choices: BTreeMap::new(), spent: None, frame }
    }

    fn said(&mut self, choice: u32) -> &mut Said {
        self.choices.entry(choice).or_default()
    }

    /// An event with these candidates.
    fn chunk(&self, candidates: impl FnOnce(&mut Array<'_>), spent: Option<&Usage>) -> Bytes {
        let mut out = Vec::with_capacity(256);
        out.extend_from_slice(b"data: ");
        write_object(&mut out, |o| {
            o.array("candidates", candidates);
            if let Some(spent) = spent {
                o.object("usageMetadata", |o| encode::usage(o, spent));
            }
            o.string("modelVersion", &self.identity.model).string("responseId", &self.identity.id);
        });
        out.extend_from_slice(b"\r\n\r\n");
        Bytes::from(out)
    }

    /// An event of one candidate with one part.
    fn part(&self, choice: u32, part: impl FnOnce(&mut Object<'_>)) -> Event {
        let candidates = |a: &mut Array<'_>| {
            a.object(|o| {
                content(o, |a| a.object(part));
                o.number("index", u64::from(choice));
            });
        };
        Event::new(self.chunk(candidates, None), EventKind::Content)
    }

    fn text(&mut self, block: Block, text: &str) -> Event {
        let is_thought = block.kind == BlockKind::Reasoning;
        let mut place: Range<usize> = 0..0;
        let mut event = self.part(block.choice, |o| {
            place = o.place_of("text", text);
            if is_thought {
                o.bool("thought", true);
            }
        });
        // As the client reads it: what declines is words too.
        let kind = if is_thought { BlockKind::Reasoning } else { BlockKind::Text };
        if !text.is_empty() {
            event.deltas.push(Delta {
                block: Block { choice: block.choice, kind, index: 0 },
                text: Text::at(text.into(), crate::scan::place(place), TextForm::Plain),
            });
        }
        if kind == BlockKind::Text {
            let said = self.said(block.choice);
            if said.words.len() < Sse::LIMIT {
                said.words.push_str(text);
            }
        }
        event
    }

    /// Keeps a piece of a call's arguments. A call larger than an event may be is none.
    fn argue(&mut self, block: Block, text: &str, out: &mut Vec<Event>) {
        let said = self.said(block.choice);
        said.size += text.len();
        if said.size > Sse::LIMIT {
            said.held.clear();
            let message = "the arguments of tool calls are larger than the limit";
            let body =
                format!(r#"data: {{"error":{{"code":502,"message":"{message}","status":"UNAVAILABLE"}}}}"#);
            out.push(Event::new(format!("{body}\r\n\r\n"), EventKind::Error));
        } else if let Some(call) = said.call(block.index) {
            call.arguments.push_str(text);
        }
    }

    /// A whole call, the `n`th of its candidate.
    fn call(&self, choice: u32, n: u32, call: &Call) -> Event {
        let mut place: Range<usize> = 0..0;
        let mut event = self.part(choice, |o| {
            o.object("functionCall", |o| {
                o.string_if("id", Some(&*call.id).filter(|id| !id.is_empty()));
                o.string("name", &call.name);
                place = write_arguments(o, TextForm::Json, &call.arguments);
            });
            let seal = call.signature.as_deref().map(signature::written);
            o.string_if("thoughtSignature", seal.as_deref());
        });
        let arguments = std::str::from_utf8(event.raw.get(place.clone()).unwrap_or_default());
        let text =
            Text::at(arguments.unwrap_or_default().into(), crate::scan::place(place), TextForm::Document);
        event.deltas.push(Delta { block: Block { choice, kind: BlockKind::Arguments, index: n }, text });
        event
    }

    /// What is still to be said of all candidates, why they ended, and what was spent.
    fn end(&mut self, out: &mut Vec<Event>) {
        let spent = self.spent.take();
        let choices = std::mem::take(&mut self.choices);
        for (choice, said) in &choices {
            let mut n = 0;
            for held in &said.held {
                out.push(match held {
                    Held::Seal(data) => self.part(*choice, |o| encode::seal(o, data)),
                    Held::Call(call) => {
                        n += 1;
                        self.call(*choice, n - 1, call)
                    }
                });
            }
        }
        let ended: Vec<(&u32, &Said)> = choices.iter().filter(|(_, said)| said.finish.is_some()).collect();
        let finish = ended.first().and_then(|(_, said)| said.finish);
        if ended.is_empty() && spent.is_none() {
            return;
        }
        let raw = self.chunk(
            |a| {
                for (choice, said) in ended {
                    a.object(|o| {
                        content(o, |a| {
                            a.object(|o| {
                                o.string("text", "");
                            })
                        });
                        o.string_if("finishReason", said.finish.map(encode::finish_reason));
                        o.number("index", u64::from(*choice));
                        if !said.citations.is_empty() && !said.has_metadata {
                            let cited: Vec<Cited<'_>> = said
                                .citations
                                .iter()
                                .map(|citation| (citation, 0, said.words.as_str()))
                                .collect();
                            grounding::write(o, &cited);
                        }
                    });
                }
            },
            spent.as_ref(),
        );
        let mut event = Event::new(raw, if finish.is_some() { EventKind::Content } else { EventKind::Usage });
        event.finish = finish;
        event.usage = spent;
        out.push(event);
    }

    fn learn(&mut self, event: &Event) {
        let mut pieces = Vec::new();
        if Reader::default().pieces(&event.raw, &mut pieces).is_ok()
            && let Some(Piece::Start { id, model, .. }) = pieces.into_iter().next()
        {
            self.is_learnt = true;
            self.name(id, model);
        }
    }

    fn name(&mut self, id: Option<ByteString>, model: Option<ByteString>) {
        if let Some(id) = id {
            self.identity.id = id.to_string();
        }
        if let Some(model) = model {
            self.identity.model = model.to_string();
        }
    }
}

impl Said {
    fn call(&mut self, index: u32) -> Option<&mut Call> {
        self.held.iter_mut().rev().find_map(|held| match held {
            Held::Call(call) if call.index == index => Some(call),
            _ => None,
        })
    }
}

/// `content` of a candidate.
fn content(o: &mut Object<'_>, parts: impl FnOnce(&mut Array<'_>)) {
    o.object("content", |o| {
        o.array("parts", parts).string("role", "model");
    });
}

impl WriteEvents for Encoder {
    /// Takes id and model from the first event that has them.
    fn send(&mut self, event: &Event) -> Bytes {
        if !self.is_learnt && matches!(event.kind, EventKind::Content | EventKind::Usage) {
            self.learn(event);
        }
        let Frame::Array(has_begun) = &mut self.frame else { return event.outgoing() };
        if event.kind == EventKind::Done {
            return Bytes::from_static(if *has_begun { b"]" } else { b"[]" });
        }
        let raw = event.outgoing();
        let said = fields(&raw);
        let data = Data::of(&raw, &said).ok();
        let item = data.as_ref().and_then(|data| data.whole.get(data.range.clone())).unwrap_or_default();
        if item.is_empty() {
            // A comment keeps the connection alive; between items, space does.
            return Bytes::from_static(b"\n");
        }
        let open = if std::mem::replace(has_begun, true) { ",\r\n" } else { "[" };
        // Nothing follows an error.
        let close = if event.kind == EventKind::Error { "]" } else { "" };
        Bytes::from(format!("{open}{item}{close}"))
    }

    fn write(&mut self, piece: Piece, out: &mut Vec<Event>) {
        match piece {
            Piece::Start { id, model, .. } => self.name(id, model),
            Piece::Call { choice, index, id, name, signature } => {
                let said = self.said(choice);
                let Some(call) = said.call(index) else {
                    let arguments = String::new();
                    said.held.push(Held::Call(Call { index, id, name, signature, arguments }));
                    return;
                };
                let later = |had: &mut ByteString, now: ByteString| {
                    if !now.is_empty() {
                        *had = now;
                    }
                };
                later(&mut call.id, id);
                later(&mut call.name, name);
                call.signature = signature.or(call.signature.take());
            }
            Piece::Text { block, text } if block.kind == BlockKind::Arguments => {
                self.argue(block, &text, out)
            }
            Piece::Text { block, text } => out.push(self.text(block, &text)),
            Piece::Signature { choice, signature, .. } => {
                let seal = signature::written(&signature);
                out.push(self.part(choice, |o| {
                    o.string("text", "").bool("thought", true).string("thoughtSignature", &seal);
                }));
            }
            Piece::Sealed { choice, data, .. } => match self.said(choice).held.is_empty() {
                true => out.push(self.part(choice, |o| encode::seal(o, &data))),
                false => self.said(choice).held.push(Held::Seal(data)),
            },
            Piece::Citation { choice, citation, .. } => self.said(choice).citations.push(citation),
            Piece::Other { choice, kind, raw } => {
                if ALONE.contains(&&*kind) {
                    let candidates = |a: &mut Array<'_>| {
                        a.object(|o| {
                            content(o, |a| a.raw(&raw));
                            o.number("index", u64::from(choice));
                        });
                    };
                    out.push(Event::new(self.chunk(candidates, None), EventKind::Content));
                } else if BESIDE.contains(&&*kind) {
                    self.said(choice).has_metadata |= *kind == *grounding::METADATA;
                    let candidates = |a: &mut Array<'_>| {
                        a.object(|o| {
                            o.raw(&kind, &raw).number("index", u64::from(choice));
                        });
                    };
                    out.push(Event::new(self.chunk(candidates, None), EventKind::Content));
                }
            }
            Piece::Finish { choice, why, .. } => self.said(choice).finish = Some(why),
            Piece::Usage(spent) => self.spent = Some(spent),
            Piece::Done => {
                self.end(out);
                // No event says that the stream ends; its bytes are the frame's.
                out.push(Event::new(Bytes::new(), EventKind::Done));
            }
        }
    }

    fn error(&self, error: &ErrorBody<'_>) -> Event {
        let mut raw = Vec::with_capacity(256);
        raw.extend_from_slice(b"data: ");
        raw.extend_from_slice(&encode::error_body(error));
        raw.extend_from_slice(b"\r\n\r\n");
        Event::new(raw, EventKind::Error)
    }
}
