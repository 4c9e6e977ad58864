//! Whole replies of OpenAI's API to messages.

use super::parts;
use crate::ReplySummary;
use crate::cohere::rerank;
use crate::scan::{Next, Scan, Scanned, place, set_count};
use bytestring::ByteString;
use std::ops::Range;
use weir_message::{Choice, Finish, Operation, Part, Reply, ReplyBody, TextForm, Usage};

/// Reads all of a reply.
pub(crate) fn decode(reply: &mut Reply, operation: Operation, whole: &ByteString) -> Scanned<()> {
    let (mut choices, mut repeats) = (Vec::new(), Vec::new());
    let summary = match operation {
        Operation::Rerank => rerank::summary(whole)?,
        _ => read(whole, |scan| {
            choices.push(choice(scan, choices.len(), &mut repeats)?);
            Ok(())
        })?,
    };
    reply.body = match operation {
        Operation::Chat | Operation::Completion => ReplyBody::Choices(choices),
        Operation::Embedding => ReplyBody::Vectors(vectors(whole)?),
        _ => ReplyBody::Opaque,
    };
    reply.repeats = repeats;
    reply.usage = summary.usage.or(reply.usage);
    reply.model = summary.model.or(reply.model.take());
    reply.id = summary.id.or(reply.id.take());
    Ok(())
}

/// The vectors of an embedding's reply, by their numbers.
fn vectors(whole: &ByteString) -> Scanned<Vec<ByteString>> {
    let mut out: Vec<(u64, ByteString)> = Vec::new();
    let mut scan = Scan::all(whole)?;
    scan.object(&["data"], |scan, field, _| {
        if field != "data" || scan.next()? != Next::Array {
            return scan.skip().map(|_| ());
        }
        scan.array(|scan, n| {
            let (mut index, mut vector) = (n as u64, ByteString::new());
            scan.object(&["index", "embedding"], |scan, field, _| {
                match field {
                    "index" => set_count(scan, &mut index)?,
                    "embedding" => {
                        let range = scan.skip()?;
                        vector = scan.share(scan.spelt(range));
                    }
                    _ => {
                        scan.skip()?;
                    }
                }
                Ok(())
            })?;
            out.push((index, vector));
            Ok(())
        })
        .map(|_| ())
    })?;
    out.sort_by_key(|(index, _)| *index);
    Ok(out.into_iter().map(|(_, vector)| vector).collect())
}

/// Reads usage, model and the first finish reason.
pub(crate) fn summary(whole: &ByteString) -> Scanned<ReplySummary> {
    let mut first = None;
    let mut n = 0;
    let mut summary = read(whole, |scan| {
        let mut finish = None;
        scan.object(&["finish_reason"], |scan, field, _| match field {
            "finish_reason" => {
                finish = finish_reason(scan)?;
                Ok(())
            }
            _ => scan.skip().map(|_| ()),
        })?;
        if n == 0 {
            first = finish;
        }
        n += 1;
        Ok(())
    })?;
    summary.finish = first;
    Ok(summary)
}

/// Reads the top level; `choice` reads each choice.
fn read(whole: &ByteString, mut choice: impl FnMut(&mut Scan<'_>) -> Scanned<()>) -> Scanned<ReplySummary> {
    let mut out = ReplySummary::default();
    let mut scan = Scan::all(whole)?;
    scan.object(&["choices", "usage", "model", "id"], |scan, field, _| {
        match (field, scan.next()?) {
            ("choices", Next::Array) => {
                scan.array(|scan, _| choice(scan))?;
            }
            ("usage", Next::Object) => out.usage = Some(usage(scan)?),
            ("model", Next::String) => {
                let lit = scan.string()?;
                out.model = Some(scan.shared(&lit)?);
            }
            ("id", Next::String) => {
                let lit = scan.string()?;
                out.id = Some(scan.shared(&lit)?);
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

/// A choice of a chat (`message`) or completion (`text`), and where its words are spelt once more.
fn choice(scan: &mut Scan<'_>, n: usize, repeats: &mut Vec<(usize, Range<u32>)>) -> Scanned<Choice> {
    let mut out =
        Choice { index: u32::try_from(n).unwrap_or(u32::MAX), parts: Vec::new(), finish: None, stop: None };
    scan.object(&["index", "message", "text", "finish_reason", "logprobs"], |scan, field, _| {
        match (field, scan.next()?) {
            ("index", _) => {
                if let Some(index) = scan.count()? {
                    out.index = u32::try_from(index).unwrap_or(u32::MAX);
                }
            }
            ("message", Next::Object) => {
                let parts = &mut out.parts;
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
                    |scan, field, _| match (field, scan.next()?) {
                        ("audio", Next::Object) => sound(scan, n, parts, repeats),
                        _ => parts::said(scan, field, parts),
                    },
                )?;
            }
            ("text", Next::String) => {
                let lit = scan.string()?;
                out.parts.push(Part::Text(scan.text(&lit, TextForm::Plain)?));
            }
            ("finish_reason", _) => out.finish = finish_reason(scan)?,
            ("logprobs", Next::Object) => {
                let at = scan.skip()?;
                repeats.push((n, place(at)));
                out.parts.push(parts::other(ByteString::from_static("logprobs")));
            }
            _ => {
                scan.skip()?;
            }
        }
        Ok(())
    })?;
    Ok(out)
}

/// `audio`: what it says is read as any text; the sound says it once more.
fn sound(
    scan: &mut Scan<'_>,
    n: usize,
    parts: &mut Vec<Part>,
    repeats: &mut Vec<(usize, Range<u32>)>,
) -> Scanned<()> {
    scan.object(&["transcript", "data"], |scan, field, _| {
        match (field, scan.next()?) {
            ("transcript", Next::String) => {
                let lit = scan.string()?;
                parts.push(Part::Text(scan.text(&lit, TextForm::Plain)?));
            }
            ("data", Next::String) => repeats.push((n, place(scan.skip()?))),
            _ => {
                scan.skip()?;
            }
        }
        Ok(())
    })?;
    parts.push(parts::other(ByteString::from_static("audio")));
    Ok(())
}

/// `finish_reason`; nothing if null.
pub(crate) fn finish_reason(scan: &mut Scan<'_>) -> Scanned<Option<Finish>> {
    if scan.next()? != Next::String {
        scan.skip()?;
        return Ok(None);
    }
    Ok(Some(match scan.string()?.inner {
        "stop" => Finish::Stop,
        "length" => Finish::Length,
        "tool_calls" | "function_call" => Finish::ToolCalls,
        "content_filter" => Finish::ContentFilter,
        _ => Finish::Other,
    }))
}

/// `usage`. DeepSeek tells cached tokens beside, not inside, the details.
pub(crate) fn usage(scan: &mut Scan<'_>) -> Scanned<Usage> {
    let mut out = Usage::default();
    scan.object(
        &[
            "prompt_tokens",
            "completion_tokens",
            "prompt_tokens_details",
            "completion_tokens_details",
            "prompt_cache_hit_tokens",
        ],
        |scan, field, _| match (field, scan.next()?) {
            ("prompt_tokens", _) => set_count(scan, &mut out.input),
            ("completion_tokens", _) => set_count(scan, &mut out.output),
            ("prompt_cache_hit_tokens", _) => set_count(scan, &mut out.cached_input),
            ("prompt_tokens_details", Next::Object) => scan
                .object(&["cached_tokens"], |scan, field, _| match field {
                    "cached_tokens" => set_count(scan, &mut out.cached_input),
                    _ => scan.skip().map(|_| ()),
                })
                .map(|_| ()),
            ("completion_tokens_details", Next::Object) => scan
                .object(&["reasoning_tokens"], |scan, field, _| match field {
                    "reasoning_tokens" => set_count(scan, &mut out.reasoning),
                    _ => scan.skip().map(|_| ()),
                })
                .map(|_| ()),
            _ => scan.skip().map(|_| ()),
        },
    )?;
    Ok(out)
}
