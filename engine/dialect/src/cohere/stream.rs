//! Events of Cohere's streams (docs.cohere.com/docs/streaming): `message-start`, blocks of content, plan, calls and citations
//! between their starts and ends, `message-end`.

use super::{parts, reply};
use crate::Level;
use crate::piece::{Piece, ReadEvents};
use crate::scan::{Next, Scan, Scanned, place, set_count};
use crate::sse::{Data, Fields, fields};
use bytes::Bytes;
use bytestring::ByteString;
use std::ops::Range;
use weir_message::{
    Block, BlockKind, Citation, Delta, ErrorCode, Event, EventKind, Fault, Finish, Text, TextForm, Usage,
};

/// Reads a stream.
#[derive(Debug, Default)]
pub(crate) struct Reader;

impl ReadEvents for Reader {
    fn event(&mut self, raw: Bytes, level: Level) -> Result<Event, Fault> {
        let said = fields(&raw);
        let data = said.data.clone().and_then(|data| raw.get(data)).unwrap_or_default().trim_ascii();
        if data.is_empty() && said.more.is_empty() && !said.is_error {
            let kind = if said.has_other { EventKind::Other } else { EventKind::KeepAlive };
            return Ok(Event::new(raw, kind));
        }
        if data == b"[DONE]" && said.more.is_empty() {
            return Ok(Event::new(raw, EventKind::Done));
        }
        match read(&raw, &said) {
            Ok(told) => {
                let mut event = Event::new(raw, if said.is_error { EventKind::Error } else { told.kind() });
                event.finish = told.finish;
                event.usage = told.usage;
                if level == Level::Text {
                    let repeats = told.repeats.iter().map(|at| (0, at.clone())).collect();
                    event.deltas = told.deltas();
                    event.set_repeats(repeats);
                }
                Ok(event)
            }
            Err(_) if said.is_error => Ok(Event::new(raw, EventKind::Error)),
            Err(_) if level < Level::Text => Ok(Event::new(raw, EventKind::Other)),
            Err(flaw) => Err(flaw.fault(ErrorCode::UpstreamInvalid, "an event of the provider's stream")),
        }
    }

    fn pieces(&mut self, raw: &Bytes, out: &mut Vec<Piece>) -> Scanned<()> {
        let said = fields(raw);
        let data = said.data.clone().and_then(|data| raw.get(data)).unwrap_or_default();
        match data.trim_ascii() {
            b"" => return Ok(()),
            b"[DONE]" => {
                out.push(Piece::Done);
                return Ok(());
            }
            _ => {}
        }
        let told = read(raw, &said)?;
        if told.kind == Kind::MessageStart {
            out.push(Piece::Start { id: told.id.clone(), model: None, created: None });
        }
        if let (Kind::CallStart, Some((id, name))) = (told.kind, &told.call) {
            let (id, name) = (id.clone(), name.clone());
            out.push(Piece::Call { choice: 0, index: told.index, id, name, signature: None });
        }
        let citations = told.citations.iter().map(|(index, citation)| Piece::Citation {
            choice: 0,
            index: u32::try_from(*index).unwrap_or(u32::MAX),
            citation: citation.clone(),
        });
        out.extend(citations);
        let (finish, usage) = (told.finish, told.usage);
        out.extend(
            told.deltas().into_iter().map(|Delta { block, text }| Piece::Text { block, text: text.value }),
        );
        out.extend(finish.map(|why| Piece::Finish { choice: 0, why, stop: None }));
        out.extend(usage.map(Piece::Usage));
        Ok(())
    }
}

/// What kind of event it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    MessageStart,
    ContentStart,
    ContentEnd,
    CallStart,
    CallEnd,
    /// Words of content, of a plan or of a call's arguments.
    Words,
    MessageEnd,
    #[default]
    Other,
}

/// What an event says.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) kind: Kind,
    pub(super) id: Option<ByteString>,
    /// The number of the content block or of the call.
    pub(super) index: u32,
    texts: Vec<(BlockKind, Text)>,
    /// A call's id and name.
    call: Option<(ByteString, ByteString)>,
    citations: Vec<(u64, Citation)>,
    finish: Option<Finish>,
    usage: Option<Usage>,
    has_failed: bool,
    /// Where log-probabilities spell its words once more.
    repeats: Option<Range<u32>>,
    /// Whether it is of a block of reasoning.
    pub(super) is_thinking: bool,
}

impl Told {
    fn kind(&self) -> EventKind {
        match self.kind {
            Kind::MessageEnd if self.has_failed => EventKind::Error,
            Kind::ContentStart | Kind::CallStart | Kind::Words | Kind::MessageEnd => EventKind::Content,
            Kind::MessageStart | Kind::ContentEnd | Kind::CallEnd | Kind::Other => EventKind::Other,
        }
    }

    /// Its words, by their blocks.
    fn deltas(self) -> Vec<Delta> {
        let index = self.index;
        let delta = |(kind, text)| Delta { block: Block { choice: 0, kind, index }, text };
        self.texts.into_iter().filter(|(_, text)| !text.value.is_empty()).map(delta).collect()
    }
}

/// Reads the data of one event; the places of its texts are places in `raw`.
pub(super) fn read(raw: &Bytes, said: &Fields) -> Scanned<Told> {
    let data = Data::of(raw, said)?;
    let mut out = Told::default();
    let mut scan = Scan::new(&data.whole, data.range.clone())?;
    scan.object(&["type", "id", "index", "delta", "logprobs"], |scan, field, _| {
        match (field, scan.next()?) {
            ("type", Next::String) => {
                out.kind = match &*scan.string()?.value()? {
                    "message-start" => Kind::MessageStart,
                    "content-start" => Kind::ContentStart,
                    "content-end" => Kind::ContentEnd,
                    "tool-call-start" => Kind::CallStart,
                    "tool-call-end" => Kind::CallEnd,
                    "content-delta" | "tool-plan-delta" | "tool-call-delta" => Kind::Words,
                    "message-end" => Kind::MessageEnd,
                    _ => Kind::Other,
                };
            }
            ("id", Next::String) => {
                let lit = scan.string()?;
                out.id = Some(scan.shared(&lit)?);
            }
            ("index", _) => {
                let mut index = 0;
                set_count(scan, &mut index)?;
                out.index = u32::try_from(index).unwrap_or(u32::MAX);
            }
            ("delta", Next::Object) => delta(scan, &mut out)?,
            ("logprobs", Next::Object | Next::Array) => out.repeats = Some(place(scan.skip()?)),
            _ => {
                scan.skip()?;
            }
        }
        Ok(())
    })?;
    scan.end()?;
    for (_, text) in &mut out.texts {
        text.at = text.at.take().map(|at| data.place(at));
    }
    out.repeats = out.repeats.map(|at| data.span(at));
    Ok(out)
}

fn delta(scan: &mut Scan<'_>, out: &mut Told) -> Scanned<()> {
    scan.object(&["message", "finish_reason", "usage", "error"], |scan, field, _| {
        match (field, scan.next()?) {
            ("message", Next::Object) => {
                let known = &["content", "tool_plan", "tool_calls", "citations"];
                scan.object(known, |scan, field, _| message(scan, field, out))?;
            }
            ("finish_reason", Next::String) => {
                let why = scan.string()?;
                out.has_failed |= matches!(why.inner, "ERROR" | "TIMEOUT");
                out.finish = Some(reply::finish(why.inner));
            }
            ("usage", Next::Object) => out.usage = Some(reply::usage(scan)?),
            ("error", Next::String) => {
                scan.skip()?;
                out.has_failed = true;
            }
            _ => {
                scan.skip()?;
            }
        }
        Ok(())
    })?;
    Ok(())
}

/// A field of the message; what a start tells as an empty array is an object in the events behind it.
fn message(scan: &mut Scan<'_>, field: &str, out: &mut Told) -> Scanned<()> {
    match (field, scan.next()?) {
        ("content" | "tool_calls" | "citations", Next::Array) => {
            scan.array(|scan, _| message(scan, field, out))?;
        }
        ("content", Next::Object) => {
            scan.object(&["text", "thinking"], |scan, field, _| {
                let kind = if field == "text" { BlockKind::Text } else { BlockKind::Reasoning };
                if field.is_empty() || scan.next()? != Next::String {
                    return scan.skip().map(|_| ());
                }
                out.is_thinking = kind == BlockKind::Reasoning;
                words(scan, kind, out)
            })?;
        }
        ("content", Next::String) => words(scan, BlockKind::Text, out)?,
        ("tool_plan", Next::String) => words(scan, BlockKind::Reasoning, out)?,
        ("tool_calls", Next::Object) => {
            let (mut id, mut name) = (ByteString::new(), ByteString::new());
            scan.object(&["id", "function"], |scan, field, _| {
                match (field, scan.next()?) {
                    ("id", Next::String) => {
                        let lit = scan.string()?;
                        id = scan.shared(&lit)?;
                    }
                    ("function", Next::Object) => {
                        scan.object(&["name", "arguments"], |scan, field, _| match (field, scan.next()?) {
                            ("name", Next::String) => {
                                let lit = scan.string()?;
                                name = scan.shared(&lit)?;
                                Ok(())
                            }
                            ("arguments", Next::String) => words(scan, BlockKind::Arguments, out),
                            _ => scan.skip().map(|_| ()),
                        })?;
                    }
                    _ => {
                        scan.skip()?;
                    }
                }
                Ok(())
            })?;
            out.call = Some((id, name));
        }
        ("citations", Next::Object) => out.citations.push(parts::citation(scan)?),
        _ => {
            scan.skip()?;
        }
    }
    Ok(())
}

fn words(scan: &mut Scan<'_>, kind: BlockKind, out: &mut Told) -> Scanned<()> {
    let form = if kind == BlockKind::Arguments { TextForm::Json } else { TextForm::Plain };
    let lit = scan.string()?;
    out.texts.push((kind, scan.text(&lit, form)?));
    Ok(())
}
