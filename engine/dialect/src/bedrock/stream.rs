//! Events of ConverseStream: frames whose headers name the event, with its fields in JSON.

use super::{blocks, reply};
use crate::Level;
use crate::anthropic::ANSWER;
use crate::eventstream::Frame;
use crate::piece::{Piece, ReadEvents};
use crate::scan::{Flaw, Next, Scan, Scanned, What, set_count};
use bytes::Bytes;
use bytestring::ByteString;
use weir_message::{
    Block, BlockKind, Citation, Delta, ErrorCode, Event, EventKind, Fault, Finish, Text, TextForm, Usage,
};

/// Reads a stream.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// The call under way.
    open: Option<Open>,
    has_calls: bool,
    has_finished: bool,
    /// Whether the last event came.
    is_over: bool,
}

/// A call under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Open {
    index: u32,
    /// Of the tool that takes an answer in a form: the answer.
    is_answer: bool,
    /// A call without arguments has an empty object.
    is_silent: bool,
}

impl ReadEvents for Reader {
    fn event(&mut self, raw: Bytes, level: Level) -> Result<Event, Fault> {
        let kind = Kind::of(&raw);
        self.is_over |= kind == Kind::Metadata;
        if level < Level::Text && !kind.tells_more() {
            return Ok(Event::new(raw, kind.event()));
        }
        match read(&raw, kind) {
            Ok(told) => {
                let mut event = Event::new(raw, kind.event());
                event.finish = told.finish;
                event.usage = told.usage;
                self.has_finished |= told.finish.is_some();
                if level == Level::Text {
                    event.deltas = told.deltas();
                }
                Ok(event)
            }
            Err(_) if level < Level::Text => Ok(Event::new(raw, EventKind::Other)),
            Err(flaw) => Err(flaw.fault(ErrorCode::UpstreamInvalid, "an event of the provider's stream")),
        }
    }

    fn pieces(&mut self, raw: &Bytes, out: &mut Vec<Piece>) -> Scanned<()> {
        let kind = Kind::of(raw);
        let told = read(raw, kind)?;
        match kind {
            Kind::MessageStart => out.push(Piece::Start { id: None, model: None, created: None }),
            Kind::BlockStart => {
                self.close(out);
                if let Some((id, name)) = told.call {
                    let is_answer = name == ANSWER;
                    self.open = Some(Open { index: told.index, is_answer, is_silent: true });
                    if !is_answer {
                        self.has_calls = true;
                        out.push(Piece::Call { choice: 0, index: told.index, id, name, signature: None });
                    }
                }
            }
            Kind::BlockDelta => self.grow(told, out),
            Kind::BlockStop => self.close(out),
            Kind::MessageStop => {
                self.close(out);
                if let Some(why) = told.finish {
                    let is_answer = why == Finish::ToolCalls && !self.has_calls;
                    let why = if is_answer { Finish::Stop } else { why };
                    out.push(Piece::Finish { choice: 0, why, stop: None });
                }
            }
            Kind::Metadata => {
                out.extend(told.usage.map(Piece::Usage));
                out.push(Piece::Done);
            }
            Kind::Failed | Kind::Chunk | Kind::Other => {}
        }
        Ok(())
    }

    fn may_end(&self) -> bool {
        self.has_finished
    }

    fn is_over(&self) -> bool {
        self.is_over
    }
}

impl Reader {
    fn grow(&mut self, told: Told, out: &mut Vec<Piece>) {
        let index = told.index;
        for (kind, text) in told.texts {
            let open = self.open.as_mut().filter(|open| open.index == index);
            let kind = match (kind, open) {
                (BlockKind::Arguments, Some(open)) => {
                    open.is_silent &= text.value.is_empty();
                    if open.is_answer { BlockKind::Text } else { kind }
                }
                _ => kind,
            };
            if !text.value.is_empty() {
                out.push(Piece::Text { block: Block { choice: 0, kind, index }, text: text.value });
            }
        }
        let sign = |signature| Piece::Signature { choice: 0, index, signature };
        out.extend(told.signature.map(sign));
        out.extend(told.sealed.map(|data| Piece::Sealed { choice: 0, index, data }));
        out.extend(told.citation.map(|citation| Piece::Citation { choice: 0, index, citation }));
    }

    /// Ends the call under way.
    fn close(&mut self, out: &mut Vec<Piece>) {
        if let Some(Open { index, is_answer, is_silent: true }) = self.open.take() {
            let kind = if is_answer { BlockKind::Text } else { BlockKind::Arguments };
            let text = ByteString::from_static("{}");
            out.push(Piece::Text { block: Block { choice: 0, kind, index }, text });
        }
    }
}

/// What kind of event a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    MessageStart,
    BlockStart,
    BlockDelta,
    BlockStop,
    MessageStop,
    Metadata,
    /// A piece of what a model itself streams (InvokeModelWithResponseStream).
    Chunk,
    /// An exception or an error.
    Failed,
    Other,
}

impl Kind {
    pub(super) fn of(raw: &[u8]) -> Self {
        let Some(frame) = Frame::of(raw) else { return Self::Other };
        match frame.header(":message-type") {
            Some("exception" | "error") => return Self::Failed,
            Some("event") | None => {}
            Some(_) => return Self::Other,
        }
        match frame.header(":event-type") {
            Some("messageStart") => Self::MessageStart,
            Some("contentBlockStart") => Self::BlockStart,
            Some("contentBlockDelta") => Self::BlockDelta,
            Some("contentBlockStop") => Self::BlockStop,
            Some("messageStop") => Self::MessageStop,
            Some("metadata") => Self::Metadata,
            Some("chunk") => Self::Chunk,
            _ => Self::Other,
        }
    }

    fn event(self) -> EventKind {
        match self {
            Self::BlockStart | Self::BlockDelta | Self::MessageStop | Self::Chunk => EventKind::Content,
            Self::Metadata => EventKind::Usage,
            Self::Failed => EventKind::Error,
            Self::MessageStart | Self::BlockStop | Self::Other => EventKind::Other,
        }
    }

    /// Whether it says what is read where texts are not.
    fn tells_more(self) -> bool {
        matches!(self, Self::MessageStop | Self::Metadata)
    }
}

/// What an event says.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// `contentBlockIndex`.
    pub(super) index: u32,
    texts: Vec<(BlockKind, Text)>,
    /// Words of a tool that the provider runs: for guards, not part of the answer.
    aside: Vec<Text>,
    signature: Option<ByteString>,
    sealed: Option<ByteString>,
    citation: Option<Citation>,
    /// Id and name of the call that begins.
    call: Option<(ByteString, ByteString)>,
    finish: Option<Finish>,
    usage: Option<Usage>,
}

impl Told {
    /// Its words, by their blocks.
    fn deltas(self) -> Vec<Delta> {
        let index = self.index;
        let aside = self.aside.into_iter().map(|text| (BlockKind::Text, text));
        let says = |(_, text): &(BlockKind, Text)| !text.value.is_empty();
        let delta = |(kind, text)| Delta { block: Block { choice: 0, kind, index }, text };
        self.texts.into_iter().chain(aside).filter(says).map(delta).collect()
    }
}

/// Reads the payload of a frame; the places of its texts are places in the frame.
pub(super) fn read(raw: &Bytes, kind: Kind) -> Scanned<Told> {
    let mut out = Told::default();
    if matches!(kind, Kind::Failed | Kind::Chunk | Kind::Other) {
        return Ok(out);
    }
    let frame = Frame::of(raw).ok_or(Flaw::new(What::NotJson, 0))?;
    let start = frame.payload().start;
    let payload =
        ByteString::try_from(raw.slice(frame.payload())).map_err(|_| Flaw::new(What::NotUtf8, start))?;
    let mut scan = Scan::all(&payload)?;
    let known = &["contentBlockIndex", "start", "delta", "stopReason", "usage"];
    scan.object(known, |scan, field, _| {
        match (field, scan.next()?) {
            ("contentBlockIndex", _) => {
                let mut index = 0;
                set_count(scan, &mut index)?;
                out.index = u32::try_from(index).unwrap_or(u32::MAX);
            }
            ("start", Next::Object) => begins(scan, &mut out)?,
            ("delta", Next::Object) => grows(scan, &mut out)?,
            ("stopReason", Next::String) => out.finish = Some(reply::finish(scan.string()?.inner)),
            ("usage", Next::Object) => out.usage = Some(reply::usage(scan)?),
            _ => {
                scan.skip()?;
            }
        }
        Ok(())
    })?;
    scan.end()?;
    let shift = u32::try_from(start).unwrap_or(u32::MAX);
    let texts = out.texts.iter_mut().map(|(_, text)| text).chain(&mut out.aside);
    for at in texts.filter_map(|text| text.at.as_mut()) {
        *at = at.start.saturating_add(shift)..at.end.saturating_add(shift);
    }
    Ok(out)
}

/// The beginning of a block: of a call, if it is one of the client's tools.
fn begins(scan: &mut Scan<'_>, out: &mut Told) -> Scanned<()> {
    scan.object(&["toolUse"], |scan, field, _| match (field, scan.next()?) {
        ("toolUse", Next::Object) => {
            let (mut id, mut name, mut kind) = (None, None, None);
            scan.object(&["toolUseId", "name", "type"], |scan, field, _| {
                match field {
                    "toolUseId" => id = blocks::optional(scan)?,
                    "name" => name = blocks::optional(scan)?,
                    "type" => kind = blocks::optional(scan)?,
                    _ => {
                        scan.skip()?;
                    }
                }
                Ok(())
            })?;
            if kind.is_none() {
                out.call = Some((id.unwrap_or_default(), name.unwrap_or_default()));
            }
            Ok(())
        }
        _ => scan.skip().map(|_| ()),
    })
    .map(|_| ())
}

/// What a block grows by.
fn grows(scan: &mut Scan<'_>, out: &mut Told) -> Scanned<()> {
    let known = &["text", "toolUse", "toolResult", "reasoningContent", "citation"];
    scan.object(known, |scan, field, _| {
        match (field, scan.next()?) {
            ("text", Next::String) => out.texts.push((BlockKind::Text, blocks::text(scan)?)),
            ("toolUse", Next::Object) => {
                scan.object(&["input"], |scan, field, _| match (field, scan.next()?) {
                    ("input", Next::String) => {
                        let lit = scan.string()?;
                        out.texts.push((BlockKind::Arguments, scan.text(&lit, TextForm::Json)?));
                        Ok(())
                    }
                    _ => scan.skip().map(|_| ()),
                })?;
            }
            ("toolResult", Next::Array) => {
                scan.array(|scan, _| {
                    scan.object(&["text"], |scan, field, _| match (field, scan.next()?) {
                        ("text", Next::String) => {
                            out.aside.push(blocks::text(scan)?);
                            Ok(())
                        }
                        _ => scan.skip().map(|_| ()),
                    })
                    .map(|_| ())
                })?;
            }
            ("reasoningContent", Next::Object) => {
                scan.object(&["text", "signature", "redactedContent"], |scan, field, _| {
                    match (field, scan.next()?) {
                        ("text", Next::String) => {
                            out.texts.push((BlockKind::Reasoning, blocks::text(scan)?));
                        }
                        ("signature", Next::String) => out.signature = Some(blocks::string(scan)?),
                        ("redactedContent", Next::String) => out.sealed = Some(blocks::string(scan)?),
                        _ => {
                            scan.skip()?;
                        }
                    }
                    Ok(())
                })?;
            }
            ("citation", Next::Object) => out.citation = Some(blocks::citation(scan)?),
            _ => {
                scan.skip()?;
            }
        }
        Ok(())
    })?;
    Ok(())
}
