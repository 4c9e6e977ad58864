//! Events of Gemini's streams: each is a reply of its own, with what is new (`streamGenerateContent?alt=sse`). No event says
//! that the stream ends: it may once every candidate has told why it did.

use super::encode::{ALONE, BESIDE};
use super::grounding::Sources;
use super::reply::{self, Candidate, Want};
use crate::Level;
use crate::piece::{Piece, ReadEvents};
use crate::scan::Scanned;
use crate::sse::{Data, Fields, fields};
use bytes::Bytes;
use std::collections::BTreeMap;
use weir_message::{Block, BlockKind, Delta, ErrorCode, Event, EventKind, Fault, Finish, Part, Text};

/// How much of a candidate's words is kept to find the characters that sources back, in bytes.
const KEPT: usize = 1 << 20;

/// Reads a stream.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// What [`Reader::event`] saw of each candidate.
    seen: BTreeMap<u32, Seen>,
    /// What [`Reader::pieces`] told of each.
    told: BTreeMap<u32, Told>,
    has_begun: bool,
}

#[derive(Debug, Default)]
struct Seen {
    calls: u32,
    calls_tools: bool,
    has_finished: bool,
}

#[derive(Debug, Default)]
struct Told {
    calls: u32,
    seals: u32,
    words: String,
}

impl ReadEvents for Reader {
    fn event(&mut self, raw: Bytes, level: Level) -> Result<Event, Fault> {
        let said = fields(&raw);
        let Some(data) = said.data.clone() else {
            let kind = match (said.is_error, said.has_other) {
                (true, _) => EventKind::Error,
                (false, true) => EventKind::Other,
                (false, false) => EventKind::KeepAlive,
            };
            return Ok(Event::new(raw, kind));
        };
        let is_blank = raw.get(data).is_none_or(|data| data.trim_ascii().is_empty());
        if is_blank && said.more.is_empty() && !said.is_error {
            return Ok(Event::new(raw, EventKind::KeepAlive));
        }
        let want = if level == Level::Text { Want::All } else { Want::Usage };
        match self.read(&raw, &said, want) {
            Ok(event) if said.is_error => Ok(Event::new(event.raw, EventKind::Error)),
            Ok(event) => Ok(event),
            Err(_) if said.is_error => Ok(Event::new(raw, EventKind::Error)),
            Err(_) if level < Level::Text => Ok(Event::new(raw, EventKind::Other)),
            Err(flaw) => Err(flaw.fault(ErrorCode::UpstreamInvalid, "an event of the provider's stream")),
        }
    }

    fn pieces(&mut self, raw: &Bytes, out: &mut Vec<Piece>) -> Scanned<()> {
        let said = fields(raw);
        if said.data.clone().and_then(|data| raw.get(data)).is_none_or(|data| data.trim_ascii().is_empty()) {
            return Ok(());
        }
        let data = Data::of(raw, &said)?;
        let chunk = reply::read(&data.whole, data.range.clone(), Want::All)?;
        if !std::mem::replace(&mut self.has_begun, true) {
            out.push(Piece::Start { id: chunk.id.clone(), model: chunk.model, created: None });
        }
        out.extend(chunk.usage.map(Piece::Usage));
        for mut candidate in chunk.candidates {
            let told = self.told.entry(candidate.index).or_default();
            let before = told.calls;
            told.calls = reply::name_calls(&mut candidate, chunk.id.as_deref(), before);
            told.pieces(candidate, before, out);
        }
        Ok(())
    }

    fn may_end(&self) -> bool {
        !self.seen.is_empty() && self.seen.values().all(|seen| seen.has_finished)
    }
}

impl Reader {
    fn read(&mut self, raw: &Bytes, said: &Fields, want: Want) -> Scanned<Event> {
        let data = Data::of(raw, said)?;
        let chunk = reply::read(&data.whole, data.range.clone(), want)?;
        let kind = if chunk.has_error {
            EventKind::Error
        } else if !chunk.candidates.is_empty() {
            EventKind::Content
        } else if chunk.usage.is_some() {
            EventKind::Usage
        } else {
            EventKind::Other
        };
        let mut event = Event::new(raw.clone(), kind);
        event.usage = chunk.usage;
        let mut repeats = Vec::new();
        for candidate in chunk.candidates {
            let seen = self.seen.entry(candidate.index).or_default();
            seen.calls_tools |= candidate.calls_tools;
            let end = candidate.end(seen.calls_tools);
            seen.has_finished |= end.is_some();
            event.finish = event.finish.or(end);
            repeats.extend(candidate.repeats.map(|at| (candidate.index, data.span(at))));
            for part in candidate.parts {
                deltas(candidate.index, part, &mut seen.calls, &mut event.deltas);
            }
        }
        for delta in &mut event.deltas {
            delta.text.at = delta.text.at.take().map(|at| data.place(at));
        }
        event.set_repeats(repeats);
        Ok(event)
    }
}

/// The index of the block of words that no client of another dialect is shown.
const ASIDE: u32 = 1;

/// The texts of a part, each in its block.
fn deltas(choice: u32, part: Part, calls: &mut u32, out: &mut Vec<Delta>) {
    let mut push = |kind, index, text: Text| {
        if !text.value.is_empty() && text.at.is_some() {
            out.push(Delta { block: Block { choice, kind, index }, text });
        }
    };
    match part {
        Part::Text(text) => push(BlockKind::Text, 0, text),
        Part::Refusal(text) => push(BlockKind::Refusal, 0, text),
        Part::Reasoning(reasoning) => push(BlockKind::Reasoning, 0, reasoning.text),
        Part::ToolCall(call) => {
            push(BlockKind::Arguments, *calls, call.arguments);
            *calls += 1;
        }
        Part::Other { texts, .. } => texts.into_iter().for_each(|text| push(BlockKind::Text, ASIDE, text)),
        _ => {}
    }
}

impl Told {
    /// What a candidate says, behind what it said before.
    fn pieces(&mut self, candidate: Candidate, before: u32, out: &mut Vec<Piece>) {
        let Candidate { index: choice, finish, parts, sources, .. } = candidate;
        let mut call_index = before;
        for part in parts {
            let mut say = |kind, index, text: Text| {
                if !text.value.is_empty() {
                    out.push(Piece::Text { block: Block { choice, kind, index }, text: text.value });
                }
            };
            match part {
                Part::Text(text) => {
                    if self.words.len() < KEPT {
                        self.words.push_str(text.as_str());
                    }
                    say(BlockKind::Text, 0, text);
                }
                Part::Refusal(text) => say(BlockKind::Refusal, 0, text),
                Part::Reasoning(reasoning) => {
                    say(BlockKind::Reasoning, 0, reasoning.text);
                    let sign = |signature| Piece::Signature { choice, index: 0, signature };
                    out.extend(reasoning.signature.map(sign));
                }
                Part::Sealed(data) => {
                    self.seals += 1;
                    out.push(Piece::Sealed { choice, index: self.seals, data });
                }
                Part::ToolCall(call) => {
                    let index = call_index;
                    call_index += 1;
                    out.push(Piece::Call {
                        choice,
                        index,
                        id: call.id,
                        name: call.name,
                        signature: call.signature,
                    });
                    let block = Block { choice, kind: BlockKind::Arguments, index };
                    out.push(Piece::Text { block, text: call.arguments.value });
                }
                Part::Other { kind, raw, .. } if BESIDE.contains(&&*kind) || ALONE.contains(&&*kind) => {
                    out.push(Piece::Other { choice, kind, raw });
                }
                _ => {}
            }
        }
        self.cite(choice, &sources, out);
        let calls_tools = self.calls > 0;
        out.extend(finish.map(|finish| Piece::Finish {
            choice,
            why: if finish == Finish::Stop && calls_tools { Finish::ToolCalls } else { finish },
            stop: None,
        }));
    }

    /// Sources count from the beginning of all that was said.
    fn cite(&self, choice: u32, sources: &Sources, out: &mut Vec<Piece>) {
        let words = if self.words.len() < KEPT { Some(self.words.as_str()) } else { None };
        let citations = sources.citations(|_| words);
        out.extend(citations.into_iter().map(|citation| Piece::Citation { choice, index: 0, citation }));
    }
}
