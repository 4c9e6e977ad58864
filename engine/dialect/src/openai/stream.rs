//! Events of OpenAI's streams: `data: {chat.completion.chunk}` until `data: [DONE]`.

use super::{parts, reply};
use crate::scan::{Lit, Next, Scan, Scanned, set_count};
use bytestring::ByteString;
use std::ops::Range;
use weir_message::{Block, BlockKind, Delta, EventKind, Finish, Part, TextForm, Usage};

/// How much of an event is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// Kind, finish reason and usage.
    Usage,
    /// Its texts too.
    Text,
    /// All that a whole reply is made of.
    All,
}

/// What an event says.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) deltas: Vec<Delta>,
    pub(crate) finish: Option<Finish>,
    pub(crate) usage: Option<Usage>,
    pub(crate) has_choices: bool,
    pub(crate) has_error: bool,
    /// With [`Want::All`]: which choice ended why, as spelt.
    pub(crate) ends: Vec<(u32, ByteString)>,
    /// With [`Want::All`]: ids and names of tool calls.
    pub(crate) calls: Vec<Call>,
    /// With [`Want::All`]: `id`, `model` and `created` as spelt (JSON).
    pub(crate) stream: Stream,
}

/// What identifies a stream; each as spelt (JSON).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stream {
    pub(crate) id: Option<ByteString>,
    pub(crate) model: Option<ByteString>,
    pub(crate) created: Option<ByteString>,
    pub(crate) usage: Option<ByteString>,
}

/// The beginning of a tool call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) choice: u32,
    pub(crate) index: u32,
    pub(crate) id: Option<ByteString>,
    pub(crate) name: Option<ByteString>,
}

impl Chunk {
    pub(crate) fn kind(&self) -> EventKind {
        match self {
            Chunk { has_error: true, .. } => EventKind::Error,
            Chunk { has_choices: true, .. } => EventKind::Content,
            Chunk { usage: Some(_), .. } => EventKind::Usage,
            _ => EventKind::Other,
        }
    }
}

/// Reads the data of one event.
pub(crate) fn read(whole: &ByteString, data: Range<usize>, want: Want) -> Scanned<Chunk> {
    let mut out = Chunk::default();
    let mut scan = Scan::new(whole, data)?;
    scan.object(&["choices", "usage", "error", "id", "model", "created"], |scan, field, _| {
        match (field, scan.next()?) {
            ("choices", Next::Array) => {
                scan.array(|scan, n| {
                    out.has_choices = true;
                    choice(scan, n, want, &mut out)
                })?;
            }
            ("usage", Next::Object) => {
                let start = scan.place();
                out.usage = Some(reply::usage(scan)?);
                if want == Want::All {
                    out.stream.usage = Some(scan.share(scan.spelt(start..scan.place())));
                }
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
    let (from_delta, from_call) = (out.deltas.len(), out.calls.len());
    let mut end = None;
    scan.object(&["index", "delta", "message", "text", "finish_reason"], |scan, field, _| {
        match (field, scan.next()?) {
            // Some send all that was said so far beside each delta. It would pass unread.
            ("message", Next::Object) if want == Want::Text => {
                return Err(scan.want("`delta` alone, and no `message`"));
            }
            ("index", _) => set_count(scan, &mut number)?,
            ("delta", Next::Object) if want != Want::Usage => delta(scan, out)?,
            ("text", Next::String) if want != Want::Usage => text(scan, BlockKind::Text, out)?,
            ("finish_reason", Next::String) => {
                if want == Want::All {
                    let start = scan.place();
                    let finish = reply::finish_reason(scan)?;
                    end = Some(scan.share(scan.spelt(start..scan.place())));
                    out.finish = out.finish.or(finish);
                } else {
                    let finish = reply::finish_reason(scan)?;
                    out.finish = out.finish.or(finish);
                }
            }
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

fn delta(scan: &mut Scan<'_>, out: &mut Chunk) -> Scanned<()> {
    scan.object(
        &["content", "refusal", "reasoning_content", "reasoning", "tool_calls", "function_call"],
        |scan, field, _| {
            match (field, scan.next()?) {
                ("content", Next::String) => text(scan, BlockKind::Text, out)?,
                ("content", Next::Array) => {
                    let mut said = Vec::new();
                    parts::content(scan, &mut said)?;
                    for part in said {
                        let (kind, text) = match part {
                            Part::Text(text) => (BlockKind::Text, text),
                            Part::Refusal(text) => (BlockKind::Refusal, text),
                            Part::Reasoning(text) => (BlockKind::Reasoning, text),
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
                ("function_call", Next::Object) => {
                    let mut call = Call { choice: 0, index: 0, id: None, name: None };
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

fn call(scan: &mut Scan<'_>, n: usize, out: &mut Chunk) -> Scanned<()> {
    let mut number = n as u64;
    let from = out.deltas.len();
    let mut call = Call { choice: 0, index: 0, id: None, name: None };
    scan.object(&["index", "id", "function", "custom"], |scan, field, _| {
        match (field, scan.next()?) {
            ("index", _) => set_count(scan, &mut number)?,
            ("id", Next::String) => {
                let lit = scan.string()?;
                call.id = Some(scan.shared(&lit)?);
            }
            ("function" | "custom", Next::Object) => function(scan, &mut call, out)?,
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
