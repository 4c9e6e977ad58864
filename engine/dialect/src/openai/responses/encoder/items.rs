//! Items of a response as they are written: begun, filled, ended.

use super::super::block_of;
use super::super::output::{self, Entry, Shape, Stand, Words};
use super::super::stream::Reader;
use super::{Encoder, about};
use crate::Level;
use crate::piece::ReadEvents;
use crate::scan::place;
use bytestring::ByteString;
use weir_message::{Block, BlockKind, Citation, Delta, Event, Finish, Text, TextForm};

impl Encoder {
    /// Begins an item.
    fn open(&mut self, shape: Shape, out: &mut Vec<Event>) -> u32 {
        let is_call = matches!(shape, Shape::Call { .. });
        let n = self.made.next();
        let id = self.identity.id.clone();
        let entry = self.made.push(&id, shape).clone();
        out.push(self.event("response.output_item.added", |o| {
            o.number("output_index", u64::from(n));
            o.object("item", |o| output::fields(o, &entry));
        }));
        if !is_call {
            self.current = Some(n);
        }
        n
    }

    /// Begins a part of an item.
    fn open_part(&mut self, n: u32, kind: BlockKind, out: &mut Vec<Event>) -> u32 {
        self.close_parts(n, out);
        let Some(entry) = self.made.entries.get_mut(&n) else { return 0 };
        let part = entry.words.keys().next_back().map_or(0, |(last, _)| last.saturating_add(1));
        entry.words.insert((part, kind), Words::default());
        let id = entry.id.clone();
        let event = match kind {
            BlockKind::Arguments => return part,
            BlockKind::Reasoning => self.event("response.reasoning_summary_part.added", |o| {
                about(o, &id, n, kind, part);
                o.raw("part", r#"{"type":"summary_text","text":""}"#);
            }),
            BlockKind::Text | BlockKind::Refusal => self.event("response.content_part.added", |o| {
                about(o, &id, n, kind, part);
                o.object("part", |o| output::part(o, kind, &Words::default()));
            }),
        };
        out.push(event);
        part
    }

    /// Ends the parts of an item that are open.
    fn close_parts(&mut self, n: u32, out: &mut Vec<Event>) {
        let Some(entry) = self.made.entries.get_mut(&n) else { return };
        let id = entry.id.clone();
        let is_custom = matches!(entry.shape, Shape::Call { is_custom: true, .. });
        let open: Vec<_> = entry
            .words
            .iter_mut()
            .filter(|(_, words)| !words.is_done)
            .map(|((part, kind), words)| {
                words.is_done = true;
                (*part, *kind, words.clone())
            })
            .collect();
        for (part, kind, words) in open {
            let (event, field) = match kind {
                BlockKind::Text => ("response.output_text.done", "text"),
                BlockKind::Refusal => ("response.refusal.done", "refusal"),
                BlockKind::Reasoning => ("response.reasoning_summary_text.done", "text"),
                BlockKind::Arguments if is_custom => ("response.custom_tool_call_input.done", "input"),
                BlockKind::Arguments => ("response.function_call_arguments.done", "arguments"),
            };
            out.push(self.event(event, |o| {
                about(o, &id, n, kind, part);
                o.string(field, &words.text);
                if kind == BlockKind::Text {
                    o.raw("logprobs", "[]");
                }
            }));
            match kind {
                BlockKind::Arguments => {}
                BlockKind::Reasoning => {
                    out.push(self.event("response.reasoning_summary_part.done", |o| {
                        about(o, &id, n, kind, part);
                        o.object("part", |o| {
                            o.string("type", "summary_text").string("text", &words.text);
                        });
                    }));
                }
                BlockKind::Text | BlockKind::Refusal => {
                    out.push(self.event("response.content_part.done", |o| {
                        about(o, &id, n, kind, part);
                        o.object("part", |o| output::part(o, kind, &words));
                    }));
                }
            }
        }
    }

    /// Ends an item.
    fn close(&mut self, n: u32, out: &mut Vec<Event>) {
        if self.current == Some(n) {
            self.current = None;
        }
        if !self.made.entries.get(&n).is_some_and(Entry::is_open) {
            return;
        }
        self.close_parts(n, out);
        let Some(entry) = self.made.entries.get_mut(&n) else { return };
        entry.stand = Stand::Over(self.why.unwrap_or(Finish::Stop));
        let entry = entry.clone();
        if let Shape::Other(_) = entry.shape {
            // A provider's tool at work; what it would have said is not known.
            return;
        }
        out.push(self.event("response.output_item.done", |o| {
            o.number("output_index", u64::from(n));
            o.object("item", |o| output::fields(o, &entry));
        }));
    }

    fn close_current(&mut self, out: &mut Vec<Event>) {
        if let Some(n) = self.current {
            self.close(n, out);
        }
    }

    /// Where the text of a block goes.
    fn slot(&mut self, block: Block, out: &mut Vec<Event>) -> (u32, u32) {
        let open = self.slots.get(&block).and_then(|(n, part)| Some((*n, *part, self.made.entries.get(n)?)));
        if let Some((n, part, entry)) = open.filter(|(.., entry)| entry.is_open()) {
            if entry.words.contains_key(&(part, block.kind)) {
                return (n, part);
            }
            // Sealed before it said anything.
            return (n, self.open_part(n, block.kind, out));
        }
        let speaks = |entry: &Entry| matches!(entry.shape, Shape::Message);
        let current = self.current.filter(|n| self.made.entries.get(n).is_some_and(speaks));
        let n = match (block.kind, current) {
            (BlockKind::Text | BlockKind::Refusal, Some(n)) => n,
            (BlockKind::Arguments, _) => {
                let (id, name) = (ByteString::new(), ByteString::new());
                self.open(Shape::Call { id, name, is_custom: false }, out)
            }
            (kind, _) => {
                self.close_current(out);
                let shape = match kind {
                    BlockKind::Reasoning => Shape::Reasoning { sealed: None },
                    _ => Shape::Message,
                };
                self.open(shape, out)
            }
        };
        let part = self.open_part(n, block.kind, out);
        self.slots.insert(block, (n, part));
        (n, part)
    }

    pub(super) fn text(&mut self, block: Block, text: &str, out: &mut Vec<Event>) {
        let (n, part) = self.slot(block, out);
        let Some(block) = block_of(block.kind, n, part) else { return };
        self.made.add(block, text);
        let Some(entry) = self.made.entries.get(&n) else { return };
        let (id, kind) = (entry.id.clone(), block.kind);
        let name = match kind {
            BlockKind::Text => "response.output_text.delta",
            BlockKind::Refusal => "response.refusal.delta",
            BlockKind::Reasoning => "response.reasoning_summary_text.delta",
            BlockKind::Arguments => "response.function_call_arguments.delta",
        };
        let mut at = 0..0;
        let mut event = self.event(name, |o| {
            about(o, &id, n, kind, part);
            at = o.place_of("delta", text);
            if kind == BlockKind::Text {
                o.raw("logprobs", "[]");
            }
        });
        if !text.is_empty() {
            let form = if kind == BlockKind::Arguments { TextForm::Json } else { TextForm::Plain };
            event.deltas.push(Delta { block, text: Text::at(text.into(), place(at), form) });
        }
        out.push(event);
    }

    pub(super) fn call(&mut self, block: Block, id: ByteString, name: ByteString, out: &mut Vec<Event>) {
        if let Some((n, _)) = self.slots.get(&block) {
            // Some tell the id and the name later, or again.
            if let Some(Entry { shape: Shape::Call { id: had, name: called, .. }, .. }) =
                self.made.entries.get_mut(n)
            {
                let later = |had: &mut ByteString, now: ByteString| {
                    if had.is_empty() {
                        *had = now;
                    }
                };
                later(had, id);
                later(called, name);
            }
            return;
        }
        self.close_current(out);
        let n = self.open(Shape::Call { id, name, is_custom: false }, out);
        let part = self.open_part(n, BlockKind::Arguments, out);
        self.slots.insert(block, (n, part));
    }

    /// Seals reasoning: that of a block, or some without words.
    pub(super) fn seal(&mut self, block: Option<Block>, data: ByteString, out: &mut Vec<Event>) {
        let found = block.and_then(|block| self.slots.get(&block)).map(|(n, _)| *n);
        let open = found.filter(|n| self.made.entries.get(n).is_some_and(Entry::is_open));
        let n = match open {
            Some(n) => n,
            None => {
                self.close_current(out);
                let n = self.open(Shape::Reasoning { sealed: None }, out);
                if let Some(block) = block {
                    // A proof may come in pieces.
                    self.slots.insert(block, (n, 0));
                }
                n
            }
        };
        if let Some(Entry { shape: Shape::Reasoning { sealed }, .. }) = self.made.entries.get_mut(&n) {
            *sealed = Some(match sealed.take() {
                Some(begun) => format!("{begun}{data}").into(),
                None => data,
            });
        }
        if block.is_none() {
            self.close(n, out);
        }
    }

    pub(super) fn cite(&mut self, block: Block, citation: Citation, out: &mut Vec<Event>) {
        let (n, part) = self.slot(block, out);
        let Some(entry) = self.made.entries.get_mut(&n) else { return };
        let id = entry.id.clone();
        let Some(words) = entry.words.get_mut(&(part, block.kind)) else { return };
        let number = words.citations.len() as u64;
        words.citations.push(citation.clone());
        out.push(self.event("response.output_text.annotation.added", |o| {
            about(o, &id, n, block.kind, part);
            o.number("annotation_index", number);
            o.object("annotation", |o| output::annotation(o, &citation));
        }));
    }

    /// An item of a provider's own tool, as it stands.
    pub(super) fn other(&mut self, raw: ByteString, out: &mut Vec<Event>) {
        self.close_current(out);
        let n = self.made.next();
        let id = self.identity.id.clone();
        self.made.push(&id, Shape::Other(raw.clone())).stand = Stand::Over(Finish::Stop);
        let mut told = Reader::default();
        for name in ["response.output_item.added", "response.output_item.done"] {
            let mut event = self.event(name, |o| {
                o.number("output_index", u64::from(n)).raw("item", &raw);
            });
            // Its words are told by the first and repeated by the second.
            if let Ok(read) = told.event(event.raw.clone(), Level::Text) {
                event.deltas = read.deltas;
            }
            out.push(event);
        }
    }

    pub(super) fn close_all(&mut self, out: &mut Vec<Event>) {
        let all: Vec<u32> = self.made.entries.keys().copied().collect();
        all.into_iter().for_each(|n| self.close(n, out));
    }
}
