//! Events of OpenAI's streams: `data: {chat.completion.chunk}` until `data: [DONE]`.

use super::{parts, reply};
use crate::Level;
use crate::piece::{Piece, ReadEvents};
use crate::scan::{Flaw, Lit, Next, Scan, Scanned, place, set_count};
use crate::sse::{Data, Fields, fields};
use bytes::Bytes;
use bytestring::ByteString;
use memchr::memmem::Finder;
use std::ops::Range;
use weir_message::{
    Block, BlockKind, Delta, ErrorCode, Event, EventKind, Fault, Finish, Part, TextForm, Usage,
};

/// Reads a stream. Below [`Level::Text`] most events are only searched for names, and passed.
#[derive(Debug)]
pub(crate) struct Reader {
    error: Finder<'static>,
    usage: Finder<'static>,
    finish: Finder<'static>,
    has_begun: bool,
}

impl Reader {
    pub(crate) fn new() -> Self {
        Self {
            error: Finder::new("\"error\""),
            usage: Finder::new("\"usage\""),
            finish: Finder::new("\"finish_reason\""),
            has_begun: false,
        }
    }

    /// Whether an event may hold what this level reads. A quote inside a JSON string is escaped, so a quoted name that is
    /// found is a field's or a value, never a piece of what the model says.
    fn needs_reading(&self, data: &[u8], level: Level) -> bool {
        let says = |finder: &Finder<'_>| {
            finder.find_iter(data).any(|at| {
                let rest = data.get(at + finder.needle().len()..).unwrap_or_default().trim_ascii_start();
                rest.strip_prefix(b":").is_none_or(|value| !value.trim_ascii_start().starts_with(b"null"))
            })
        };
        says(&self.usage) || says(&self.error) || (level == Level::Usage && says(&self.finish))
    }
}

impl ReadEvents for Reader {
    fn event(&mut self, raw: Bytes, level: Level) -> Result<Event, Fault> {
        let said = fields(&raw);
        let Some(data) = said.data.clone() else {
            let kind = if said.is_error {
                EventKind::Error
            } else if said.has_other {
                EventKind::Other
            } else {
                EventKind::KeepAlive
            };
            return Ok(Event::new(raw, kind));
        };
        let bytes = raw.get(data.clone()).unwrap_or_default();
        if bytes.trim_ascii().is_empty() && said.more.is_empty() && !said.is_error {
            return Ok(Event::new(raw, EventKind::KeepAlive));
        }
        if bytes.trim_ascii() == b"[DONE]" && said.more.is_empty() {
            return Ok(Event::new(raw, EventKind::Done));
        }
        if level < Level::Text && said.more.is_empty() && !said.is_error && !self.needs_reading(bytes, level)
        {
            return Ok(Event::new(raw, EventKind::Content));
        }
        let want = if level == Level::Text { Want::Text } else { Want::Usage };
        match chunk(&raw, &said, want) {
            Ok(chunk) => {
                let kind = if said.is_error { EventKind::Error } else { chunk.kind() };
                let mut event = Event::new(raw, kind);
                event.deltas = chunk.deltas;
                event.finish = chunk.finish;
                event.usage = chunk.usage;
                event.set_repeats(chunk.repeats);
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
        let chunk = chunk(raw, &said, Want::All)?;
        if !self.has_begun && chunk.stream.id.is_some() {
            self.has_begun = true;
            let value = |spelt: &Option<ByteString>| {
                spelt
                    .as_ref()
                    .and_then(|json| serde_json::from_str::<String>(json).ok())
                    .map(ByteString::from)
            };
            out.push(Piece::Start {
                id: value(&chunk.stream.id),
                model: value(&chunk.stream.model),
                created: chunk.stream.created.as_ref().and_then(|json| json.parse().ok()),
            });
        }
        out.extend(chunk.calls.into_iter().map(|call| Piece::Call {
            choice: call.choice,
            index: call.index,
            id: call.id.unwrap_or_default(),
            name: call.name.unwrap_or_default(),
            signature: call.signature,
        }));
        let reasons =
            |delta: &Delta, index| delta.block.kind == BlockKind::Reasoning && delta.block.index == index;
        let says_twice = chunk.deltas.iter().any(|delta| reasons(delta, 0));
        let deltas = chunk.deltas.into_iter().filter(|delta| !(says_twice && reasons(delta, DETAILS)));
        out.extend(deltas.map(|Delta { block, text }| {
            let index = if block.kind == BlockKind::Reasoning { 0 } else { block.index };
            Piece::Text { block: Block { index, ..block }, text: text.value }
        }));
        out.extend(chunk.marks);
        out.extend(chunk.ends.into_iter().map(|(choice, why)| Piece::Finish { choice, why, stop: None }));
        out.extend(chunk.usage.map(Piece::Usage));
        Ok(())
    }
}

/// Reads an event's data; the places of its texts are places in `raw`.
fn chunk(raw: &Bytes, said: &Fields, want: Want) -> Result<Chunk, Flaw> {
    let data = Data::of(raw, said)?;
    let mut chunk = read(Scan::new(&data.whole, data.range.clone())?, want)?;
    for delta in &mut chunk.deltas {
        delta.text.at = delta.text.at.take().map(|at| data.place(at));
    }
    for (_, at) in &mut chunk.repeats {
        *at = data.span(at.clone());
    }
    Ok(chunk)
}

/// How much of an event is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    /// Kind, finish reason and usage.
    Usage,
    /// Its texts too.
    Text,
    /// All that a whole reply is made of.
    All,
}

/// What an event says.
#[derive(Debug, Default)]
struct Chunk {
    deltas: Vec<Delta>,
    finish: Option<Finish>,
    usage: Option<Usage>,
    has_choices: bool,
    has_error: bool,
    /// Where log-probabilities spell the words of which choice once more.
    repeats: Vec<(u32, Range<u32>)>,
    /// With [`Want::All`]: which choice ended why.
    ends: Vec<(u32, Finish)>,
    /// With [`Want::All`]: signatures, sealed reasoning and citations.
    marks: Vec<Piece>,
    /// With [`Want::All`]: ids and names of tool calls.
    calls: Vec<Call>,
    /// With [`Want::All`]: `id`, `model` and `created` as spelt (JSON).
    stream: Stream,
}

/// What identifies a stream; each as spelt (JSON).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Stream {
    id: Option<ByteString>,
    model: Option<ByteString>,
    created: Option<ByteString>,
}

/// The beginning of a tool call.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Call {
    choice: u32,
    index: u32,
    id: Option<ByteString>,
    name: Option<ByteString>,
    signature: Option<ByteString>,
}

impl Chunk {
    fn kind(&self) -> EventKind {
        match self {
            Chunk { has_error: true, .. } => EventKind::Error,
            Chunk { has_choices: true, .. } => EventKind::Content,
            Chunk { usage: Some(_), .. } => EventKind::Usage,
            _ => EventKind::Other,
        }
    }
}

/// Reads the data of one event.
fn read(mut scan: Scan<'_>, want: Want) -> Scanned<Chunk> {
    let mut out = Chunk::default();
    scan.object(&["choices", "usage", "error", "id", "model", "created"], |scan, field, _| {
        match (field, scan.next()?) {
            ("choices", Next::Array) => {
                scan.array(|scan, n| {
                    out.has_choices = true;
                    choice(scan, n, want, &mut out)
                })?;
            }
            ("usage", Next::Object) => {
                out.usage = Some(reply::usage(scan)?);
            }
            ("error", next) => {
                out.has_error = next != Next::Null;
                scan.skip()?;
            }
            ("id" | "model" | "created", _) if want == Want::All => {
                let range = scan.skip()?;
                let spelt = scan.share(scan.spelt(range));
                match field {
                    "id" => out.stream.id = Some(spelt),
                    "model" => out.stream.model = Some(spelt),
                    _ => out.stream.created = Some(spelt),
                }
            }
            _ => {
                scan.skip()?;
            }
        }
        Ok(())
    })?;
    scan.end()?;
    Ok(out)
}

fn choice(scan: &mut Scan<'_>, n: usize, want: Want, out: &mut Chunk) -> Scanned<()> {
    let mut number = n as u64;
    let (from_delta, from_call, from_mark) = (out.deltas.len(), out.calls.len(), out.marks.len());
    let from_repeat = out.repeats.len();
    let (mut end, mut repeats) = (None, None);
    let known = &["index", "delta", "message", "text", "finish_reason", "logprobs"];
    scan.object(known, |scan, field, _| {
        match (field, scan.next()?) {
            // Some send all that was said so far beside each delta. It would pass unread.
            ("message", Next::Object) if want == Want::Text => {
                return Err(scan.want("`delta` alone, and no `message`"));
            }
            ("index", _) => set_count(scan, &mut number)?,
            ("delta", Next::Object) if want != Want::Usage => delta(scan, want, out)?,
            ("text", Next::String) if want != Want::Usage => text(scan, BlockKind::Text, out)?,
            ("finish_reason", Next::String) => {
                let finish = reply::finish_reason(scan)?;
                out.finish = out.finish.or(finish);
                end = finish;
            }
            ("logprobs", Next::Object) if want == Want::Text => repeats = Some(place(scan.skip()?)),
            _ => {
                scan.skip()?;
            }
        }
        Ok(())
    })?;
    // The number may stand behind what it numbers.
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    out.deltas.iter_mut().skip(from_delta).for_each(|delta| delta.block.choice = number);
    out.calls.iter_mut().skip(from_call).for_each(|call| call.choice = number);
    out.marks.iter_mut().skip(from_mark).for_each(|mark| match mark {
        Piece::Signature { choice, .. } | Piece::Sealed { choice, .. } | Piece::Citation { choice, .. } => {
            *choice = number;
        }
        _ => {}
    });
    out.repeats.iter_mut().skip(from_repeat).for_each(|(choice, _)| *choice = number);
    out.repeats.extend(repeats.map(|at| (number, at)));
    out.ends.extend(end.map(|end| (number, end)));
    Ok(())
}

fn text(scan: &mut Scan<'_>, kind: BlockKind, out: &mut Chunk) -> Scanned<()> {
    let lit = scan.string()?;
    push(scan, kind, &lit, out)
}

fn push<'a>(scan: &Scan<'a>, kind: BlockKind, lit: &Lit<'a>, out: &mut Chunk) -> Scanned<()> {
    if lit.inner.is_empty() {
        return Ok(());
    }
    let form = if kind == BlockKind::Arguments { TextForm::Json } else { TextForm::Plain };
    out.deltas.push(Delta { block: Block { choice: 0, kind, index: 0 }, text: scan.text(lit, form)? });
    Ok(())
}

fn delta(scan: &mut Scan<'_>, want: Want, out: &mut Chunk) -> Scanned<()> {
    scan.object(
        &[
            "content",
            "refusal",
            "reasoning_content",
            "reasoning",
            "tool_calls",
            "function_call",
            "reasoning_details",
            "annotations",
            "audio",
        ],
        |scan, field, _| {
            match (field, scan.next()?) {
                ("audio", Next::Object) => sound(scan, out)?,
                ("content", Next::String) => text(scan, BlockKind::Text, out)?,
                ("content", Next::Array) => {
                    let mut said = Vec::new();
                    parts::content(scan, &mut said)?;
                    for part in said {
                        let (kind, text) = match part {
                            Part::Text(text) => (BlockKind::Text, text),
                            Part::Refusal(text) => (BlockKind::Refusal, text),
                            Part::Reasoning(reasoning) => (BlockKind::Reasoning, reasoning.text),
                            _ => continue,
                        };
                        out.deltas.push(Delta { block: Block { choice: 0, kind, index: 0 }, text });
                    }
                }
                ("refusal", Next::String) => text(scan, BlockKind::Refusal, out)?,
                ("reasoning_content" | "reasoning", Next::String) => text(scan, BlockKind::Reasoning, out)?,
                ("tool_calls", Next::Array) => {
                    scan.array(|scan, n| call(scan, n, out))?;
                }
                ("reasoning_details", Next::Array) => marks(scan, field, out)?,
                ("annotations", Next::Array) if want == Want::All => marks(scan, field, out)?,
                ("function_call", Next::Object) => {
                    let mut call = Call { choice: 0, index: 0, id: None, name: None, signature: None };
                    function(scan, &mut call, out)?;
                    if call.name.is_some() {
                        out.calls.push(call);
                    }
                }
                _ => {
                    scan.skip()?;
                }
            }
            Ok(())
        },
    )?;
    Ok(())
}

/// `audio`: what it says is text; sound beside it says that once more. Sound mostly comes in events of its own.
fn sound(scan: &mut Scan<'_>, out: &mut Chunk) -> Scanned<()> {
    let (from, mut data) = (out.deltas.len(), None);
    scan.object(&["transcript", "data"], |scan, field, _| {
        match (field, scan.next()?) {
            ("transcript", Next::String) => text(scan, BlockKind::Text, out)?,
            ("data", Next::String) => data = Some(place(scan.skip()?)),
            _ => {
                scan.skip()?;
            }
        }
        Ok(())
    })?;
    if out.deltas.len() > from {
        out.repeats.extend(data.map(|at| (0, at)));
    }
    Ok(())
}

/// The index of the block of reasoning whose words stand in `reasoning_details`. Mostly it says once more what the block of
/// `reasoning` does.
const DETAILS: u32 = 1;

/// Signatures, sealed reasoning and citations.
fn marks(scan: &mut Scan<'_>, field: &'static str, out: &mut Chunk) -> Scanned<()> {
    // An entry without words signs what is in front: here, in an event before.
    let nothing = weir_message::Text::added("");
    let mut said = vec![Part::Reasoning(nothing.into())];
    parts::said(scan, field, &mut said)?;
    for part in said {
        match part {
            Part::Reasoning(reasoning) => {
                let mark = |signature| Piece::Signature { choice: 0, index: 0, signature };
                out.marks.extend(reasoning.signature.map(mark));
                if !reasoning.text.value.is_empty() {
                    let block = Block { choice: 0, kind: BlockKind::Reasoning, index: DETAILS };
                    out.deltas.push(Delta { block, text: reasoning.text });
                }
            }
            Part::Sealed(data) => out.marks.push(Piece::Sealed { choice: 0, index: 0, data }),
            Part::Citation(citation) => out.marks.push(Piece::Citation { choice: 0, index: 0, citation }),
            _ => {}
        }
    }
    Ok(())
}

fn call(scan: &mut Scan<'_>, n: usize, out: &mut Chunk) -> Scanned<()> {
    let mut number = n as u64;
    let from = out.deltas.len();
    let mut call = Call { choice: 0, index: 0, id: None, name: None, signature: None };
    scan.object(&["index", "id", "function", "custom", "extra_content"], |scan, field, _| {
        match (field, scan.next()?) {
            ("index", _) => set_count(scan, &mut number)?,
            ("id", Next::String) => {
                let lit = scan.string()?;
                call.id = Some(scan.shared(&lit)?);
            }
            ("function" | "custom", Next::Object) => function(scan, &mut call, out)?,
            ("extra_content", _) => call.signature = parts::extra_content(scan)?,
            _ => {
                scan.skip()?;
            }
        }
        Ok(())
    })?;
    call.index = u32::try_from(number).unwrap_or(u32::MAX);
    out.deltas.iter_mut().skip(from).for_each(|delta| delta.block.index = call.index);
    if call.id.is_some() || call.name.is_some() {
        out.calls.push(call);
    }
    Ok(())
}

fn function(scan: &mut Scan<'_>, call: &mut Call, out: &mut Chunk) -> Scanned<()> {
    scan.object(&["name", "arguments", "input"], |scan, field, _| {
        match (field, scan.next()?) {
            ("name", Next::String) => {
                let lit = scan.string()?;
                call.name = Some(scan.shared(&lit)?);
            }
            ("arguments" | "input", Next::String) => text(scan, BlockKind::Arguments, out)?,
            _ => {
                scan.skip()?;
            }
        }
        Ok(())
    })?;
    Ok(())
}
