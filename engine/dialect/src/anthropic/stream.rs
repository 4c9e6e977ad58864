//! Events of Anthropic's streams: `message_start`, blocks that start, grow and stop, `message_delta`, `message_stop`.

use super::reply::{End, Spent};
use super::{ANSWER, blocks};
use crate::Level;
use crate::piece::{Piece, ReadEvents};
use crate::scan::{Flaw, Next, Scan, Scanned, What, set_count};
use crate::sse::{Data, Fields, Sse, fields};
use bytes::Bytes;
use bytestring::ByteString;
use weir_message::{
    Block, BlockKind, Citation, Delta, ErrorCode, Event, EventKind, Fault, Finish, Part, Text, TextForm,
    ToolCall, Usage,
};

/// How nearly all events begin. Of them only the text is of interest, and they are passed unread where it is not.
const GROWS: &[u8] = br#"{"type":"content_block_delta""#;

/// Reads a stream.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    spent: Spent,
    open: Option<Open>,
    has_calls: bool,
}

/// A block under way whose beginning is not all that it takes to tell it.
#[derive(Debug)]
enum Open {
    /// A call; a call without arguments has an empty object.
    Call { index: u32, is_silent: bool },
    /// A call of the tool that takes an answer in a form: the answer.
    Answer { index: u32, is_silent: bool },
    /// A kind that only this dialect has, and its input so far.
    Other { kind: ByteString, raw: ByteString, input: String },
}

/// What an event says of where a stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stand {
    /// A message begins.
    Begins,
    /// The block of this number starts.
    Starts(u32),
    /// The block of this number stops.
    Stops(u32),
    /// It is told why the message ends.
    Ends,
    /// Nothing.
    On,
}

impl Stand {
    /// What this event says.
    pub(crate) fn of(raw: &Bytes) -> Self {
        match read(raw, &fields(raw), Spent::default()) {
            Ok(Told { message: Some(_), .. }) => Self::Begins,
            Ok(Told { block: Some(_), index, .. }) => Self::Starts(index),
            Ok(Told { stops: true, index, .. }) => Self::Stops(index),
            Ok(Told { end: End { why: Some(_), .. }, .. }) => Self::Ends,
            _ => Self::On,
        }
    }
}

impl ReadEvents for Reader {
    fn event(&mut self, raw: Bytes, level: Level) -> Result<Event, Fault> {
        let said = fields(&raw);
        let data = said.data.clone().and_then(|data| raw.get(data)).unwrap_or_default().trim_ascii();
        if data.is_empty() && said.more.is_empty() {
            let kind = match said {
                Fields { is_error: true, .. } => EventKind::Error,
                Fields { has_other: true, data: None, .. } => EventKind::Other,
                _ => EventKind::KeepAlive,
            };
            return Ok(Event::new(raw, kind));
        }
        // Some say it, as OpenAI does; here it means nothing.
        if data == b"[DONE]" {
            return Ok(Event::new(raw, EventKind::Other));
        }
        if level < Level::Text && !said.is_error && said.more.is_empty() && data.starts_with(GROWS) {
            return Ok(Event::new(raw, EventKind::Content));
        }
        match read(&raw, &said, self.spent) {
            Ok(told) => {
                let kind = if said.is_error { EventKind::Error } else { told.kind };
                let mut event = Event::new(raw, kind);
                event.finish = told.end.why;
                event.usage = self.now(told.spent);
                if level == Level::Text {
                    event.deltas = told.deltas();
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
        let data = said.data.clone().and_then(|data| raw.get(data)).unwrap_or_default().trim_ascii();
        if said.more.is_empty() && matches!(data, b"" | b"[DONE]") {
            return Ok(());
        }
        let mut told = read(raw, &said, self.spent)?;
        if let Some((id, model)) = told.message.take() {
            out.push(Piece::Start { id, model, created: None });
        }
        if let Some(parts) = told.block.take() {
            self.close(out)?;
            self.begin(told.index, parts, out);
        }
        for grown in std::mem::take(&mut told.grown) {
            self.grow(told.index, grown, out)?;
        }
        if told.stops || told.end.why.is_some() || told.kind == EventKind::Done {
            self.close(out)?;
        }
        let End { why, sequence, refusal } = told.end;
        if let Some(refusal) = refusal {
            let block = Block { choice: 0, kind: BlockKind::Refusal, index: 0 };
            out.push(Piece::Text { block, text: refusal.value });
        }
        if let Some(why) = why {
            let is_answer = why == Finish::ToolCalls && !self.has_calls;
            let why = if is_answer { Finish::Stop } else { why };
            out.push(Piece::Finish { choice: 0, why, stop: sequence });
        }
        out.extend(self.now(told.spent).map(Piece::Usage));
        if told.kind == EventKind::Done {
            out.push(Piece::Done);
        }
        Ok(())
    }
}

impl Reader {
    /// Keeps what was spent so far, if an event told it.
    fn now(&mut self, told: Option<Spent>) -> Option<Usage> {
        self.spent = told.unwrap_or(self.spent);
        told.map(Spent::usage)
    }

    fn begin(&mut self, index: u32, parts: Vec<Part>, out: &mut Vec<Piece>) {
        let block = |kind| Block { choice: 0, kind, index };
        for part in parts {
            match part {
                Part::Text(text) => say(block(BlockKind::Text), text, out),
                Part::Reasoning(reasoning) => {
                    say(block(BlockKind::Reasoning), reasoning.text, out);
                    let sign = |signature| Piece::Signature { choice: 0, index, signature };
                    out.extend(reasoning.signature.map(sign));
                }
                Part::Sealed(data) => out.push(Piece::Sealed { choice: 0, index, data }),
                Part::Citation(citation) => out.push(Piece::Citation { choice: 0, index, citation }),
                Part::ToolCall(ToolCall { name, arguments, .. }) if name == ANSWER => {
                    let is_silent = is_nothing(&arguments);
                    if !is_silent {
                        say(block(BlockKind::Text), arguments, out);
                    }
                    self.open = Some(Open::Answer { index, is_silent });
                }
                Part::ToolCall(ToolCall { id, name, arguments, signature }) => {
                    self.has_calls = true;
                    out.push(Piece::Call { choice: 0, index, id, name, signature });
                    let is_silent = is_nothing(&arguments);
                    if !is_silent {
                        say(block(BlockKind::Arguments), arguments, out);
                    }
                    self.open = Some(Open::Call { index, is_silent });
                }
                Part::Other { kind, raw, .. } => {
                    self.open = Some(Open::Other { kind, raw, input: String::new() })
                }
                Part::Refusal(_) | Part::ToolResult(_) | Part::Media(_) | Part::CachePoint(_) => {}
            }
        }
    }

    fn grow(&mut self, index: u32, grown: Grown, out: &mut Vec<Piece>) -> Scanned<()> {
        let block = |kind| Block { choice: 0, kind, index };
        match grown {
            Grown::Text(BlockKind::Arguments, text) => match &mut self.open {
                Some(Open::Other { input, .. }) => {
                    if input.len() + text.value.len() > Sse::LIMIT {
                        return Err(Flaw::new(What::TooLarge, 0));
                    }
                    input.push_str(&text.value);
                }
                Some(Open::Answer { is_silent, .. }) => {
                    *is_silent &= text.value.is_empty();
                    say(block(BlockKind::Text), text, out);
                }
                open => {
                    if let Some(Open::Call { is_silent, .. }) = open {
                        *is_silent &= text.value.is_empty();
                    }
                    say(block(BlockKind::Arguments), text, out);
                }
            },
            Grown::Text(kind, text) => say(block(kind), text, out),
            Grown::Signature(signature) => out.push(Piece::Signature { choice: 0, index, signature }),
            Grown::Citation(citation) => out.push(Piece::Citation { choice: 0, index, citation }),
        }
        Ok(())
    }

    /// Ends the block under way.
    fn close(&mut self, out: &mut Vec<Piece>) -> Scanned<()> {
        let silent = |kind, index| Piece::Text {
            block: Block { choice: 0, kind, index },
            text: ByteString::from_static("{}"),
        };
        match self.open.take() {
            Some(Open::Call { index, is_silent: true }) => out.push(silent(BlockKind::Arguments, index)),
            Some(Open::Answer { index, is_silent: true }) => out.push(silent(BlockKind::Text, index)),
            Some(Open::Other { kind, raw, input }) => {
                let raw = if input.is_empty() { raw } else { filled(&raw, &input)? };
                out.push(Piece::Other { choice: 0, kind, raw });
            }
            Some(Open::Call { .. } | Open::Answer { .. }) | None => {}
        }
        Ok(())
    }
}

/// A block with the input that came behind its beginning.
fn filled(raw: &ByteString, input: &str) -> Scanned<ByteString> {
    let not_json = || Flaw::new(What::NotJson, 0);
    let mut scan = Scan::all(raw)?;
    let mut at = None;
    scan.object(&["input"], |scan, field, _| {
        let place = scan.skip()?;
        at = at.take().or((field == "input").then_some(place));
        Ok(())
    })?;
    let given = ByteString::from(input);
    let mut scan = Scan::all(&given)?;
    scan.skip()?;
    scan.end()?;
    let at = at.ok_or_else(not_json)?;
    let (front, behind) =
        (raw.get(..at.start).ok_or_else(not_json)?, raw.get(at.end..).ok_or_else(not_json)?);
    Ok([front, input, behind].concat().into())
}

fn say(block: Block, text: Text, out: &mut Vec<Piece>) {
    if !text.value.is_empty() {
        out.push(Piece::Text { block, text: text.value });
    }
}

/// Whether a call's beginning says nothing of its arguments.
fn is_nothing(arguments: &Text) -> bool {
    let inside = arguments.value.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    arguments.value.is_empty() || inside.is_some_and(|inside| inside.trim().is_empty())
}

/// What an event tells.
struct Told {
    kind: EventKind,
    index: u32,
    /// Id and model of the message that starts.
    message: Option<(Option<ByteString>, Option<ByteString>)>,
    /// The block that starts.
    block: Option<Vec<Part>>,
    /// What a block grows by.
    grown: Vec<Grown>,
    /// Whether a block stops.
    stops: bool,
    end: End,
    /// What was spent so far, if it is told.
    spent: Option<Spent>,
}

/// What a block grows by.
enum Grown {
    Text(BlockKind, Text),
    Signature(ByteString),
    Citation(Citation),
}

/// Reads an event's data, behind events that told of `spent`.
fn read(raw: &Bytes, said: &Fields, spent: Spent) -> Scanned<Told> {
    let data = Data::of(raw, said)?;
    let mut told = Told {
        kind: EventKind::Other,
        index: 0,
        message: None,
        block: None,
        grown: Vec::new(),
        stops: false,
        end: End::default(),
        spent: None,
    };
    let mut kind = ByteString::new();
    let mut is_error = false;
    let mut scan = Scan::new(&data.whole, data.range.clone())?;
    scan.object(
        &["type", "index", "delta", "content_block", "message", "usage", "error"],
        |scan, field, _| {
            match (field, scan.next()?) {
                ("type", Next::String) => {
                    let lit = scan.string()?;
                    kind = scan.shared(&lit)?;
                }
                ("index", _) => {
                    let mut index = 0;
                    set_count(scan, &mut index)?;
                    told.index = u32::try_from(index).unwrap_or(u32::MAX);
                }
                ("delta", Next::Object) => delta(scan, &mut told)?,
                ("content_block", Next::Object) => {
                    let mut parts = Vec::new();
                    blocks::block(scan, &mut parts)?;
                    told.block = Some(parts);
                }
                ("message", Next::Object) => message(scan, &mut told, spent)?,
                ("usage", Next::Object) => usage(scan, &mut told, spent)?,
                ("error", next) => {
                    is_error |= next != Next::Null;
                    scan.skip()?;
                }
                _ => {
                    scan.skip()?;
                }
            }
            Ok(())
        },
    )?;
    scan.end()?;
    told.stops = kind == "content_block_stop";
    told.kind = match &*kind {
        _ if is_error => EventKind::Error,
        "error" => EventKind::Error,
        "ping" => EventKind::KeepAlive,
        "message_stop" => EventKind::Done,
        "message_start"
        | "content_block_start"
        | "content_block_delta"
        | "content_block_stop"
        | "message_delta" => EventKind::Content,
        _ => EventKind::Other,
    };
    told.each_text(|text| text.at = text.at.take().map(|at| data.place(at)));
    Ok(told)
}

/// `message` of `message_start`. Its content comes in the events behind it.
fn message(scan: &mut Scan<'_>, told: &mut Told, spent: Spent) -> Scanned<()> {
    let (mut id, mut model) = (None, None);
    scan.object(&["id", "model", "usage", "content"], |scan, field, _| {
        match (field, scan.next()?) {
            ("id" | "model", Next::String) => {
                let lit = scan.string()?;
                let value = Some(scan.shared(&lit)?);
                if field == "id" { id = value } else { model = value }
            }
            ("usage", Next::Object) => usage(scan, told, spent)?,
            // It would pass unread.
            ("content", Next::Array) => {
                scan.array(|scan, _| Err(scan.want("nothing")))?;
            }
            _ => {
                scan.skip()?;
            }
        }
        Ok(())
    })?;
    told.message = Some((id, model));
    Ok(())
}

fn usage(scan: &mut Scan<'_>, told: &mut Told, spent: Spent) -> Scanned<()> {
    let mut now = spent;
    now.read(scan)?;
    told.spent = Some(now);
    Ok(())
}

/// `delta` of a block or of the message.
fn delta(scan: &mut Scan<'_>, told: &mut Told) -> Scanned<()> {
    scan.object(
        &[
            "text",
            "thinking",
            "partial_json",
            "content",
            "signature",
            "citation",
            "stop_reason",
            "stop_sequence",
            "stop_details",
        ],
        |scan, field, _| {
            let kind = match field {
                "thinking" => BlockKind::Reasoning,
                "partial_json" => BlockKind::Arguments,
                _ => BlockKind::Text,
            };
            match (field, scan.next()?) {
                ("text" | "thinking" | "partial_json" | "content", Next::String) => {
                    let lit = scan.string()?;
                    let form = if kind == BlockKind::Arguments { TextForm::Json } else { TextForm::Plain };
                    told.grown.push(Grown::Text(kind, scan.text(&lit, form)?));
                }
                ("signature", Next::String) => {
                    let lit = scan.string()?;
                    told.grown.push(Grown::Signature(scan.shared(&lit)?));
                }
                ("citation", Next::Object) => told.grown.push(Grown::Citation(blocks::citation(scan)?)),
                _ => told.end.field(scan, field)?,
            }
            Ok(())
        },
    )?;
    Ok(())
}

impl Told {
    /// Calls `visit` with each text.
    fn each_text(&mut self, mut visit: impl FnMut(&mut Text)) {
        for part in self.block.iter_mut().flatten() {
            match part {
                Part::Text(text) | Part::Refusal(text) => visit(text),
                Part::Reasoning(reasoning) => visit(&mut reasoning.text),
                Part::ToolCall(call) => visit(&mut call.arguments),
                Part::Other { texts, .. } => texts.iter_mut().for_each(&mut visit),
                Part::Sealed(_)
                | Part::ToolResult(_)
                | Part::Media(_)
                | Part::Citation(_)
                | Part::CachePoint(_) => {}
            }
        }
        for grown in &mut self.grown {
            if let Grown::Text(_, text) = grown {
                visit(text);
            }
        }
        self.end.refusal.iter_mut().for_each(visit);
    }

    /// Its texts, each with its block.
    fn deltas(self) -> Vec<Delta> {
        let mut out = Vec::new();
        let mut push = |kind, index, text: Text| {
            if !text.value.is_empty() {
                out.push(Delta { block: Block { choice: 0, kind, index }, text });
            }
        };
        for part in self.block.into_iter().flatten() {
            match part {
                Part::Text(text) => push(BlockKind::Text, self.index, text),
                Part::Reasoning(reasoning) => push(BlockKind::Reasoning, self.index, reasoning.text),
                Part::ToolCall(call) if !is_nothing(&call.arguments) => {
                    push(BlockKind::Arguments, self.index, call.arguments);
                }
                Part::Other { texts, .. } => texts
                    .into_iter()
                    .filter(|text| !(text.form == TextForm::Document && is_nothing(text)))
                    .for_each(|text| push(BlockKind::Text, self.index, text)),
                _ => {}
            }
        }
        for grown in self.grown {
            if let Grown::Text(kind, text) = grown {
                push(kind, self.index, text);
            }
        }
        if let Some(text) = self.end.refusal {
            push(BlockKind::Refusal, 0, text);
        }
        out
    }
}
