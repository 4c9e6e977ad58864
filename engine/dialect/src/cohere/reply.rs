//! Whole replies of Cohere's API to messages.

use super::{parts, rerank};
use crate::ReplySummary;
use crate::openai::parts::other;
use crate::scan::{Next, Scan, Scanned, place, set_count};
use bytestring::ByteString;
use weir_message::{Choice, Finish, Operation, Part, Reply, ReplyBody, Usage};

/// Reads all of a reply.
pub(crate) fn decode(reply: &mut Reply, operation: Operation, whole: &ByteString) -> Scanned<()> {
    let (mut said, mut vectors, mut repeats) = (Vec::new(), Vec::new(), Vec::new());
    let summary = match operation {
        Operation::Rerank => rerank::summary(whole)?,
        _ => read(whole, |scan, field| {
            match field {
                "message" => said = message(scan)?,
                "embeddings" => vectors = embeddings(scan)?,
                _ => repeats.push((0, place(scan.skip()?))),
            }
            Ok(())
        })?,
    };
    if !repeats.is_empty() {
        said.push(other(ByteString::from_static("logprobs")));
    }
    reply.body = match operation {
        Operation::Chat => {
            ReplyBody::Choices(vec![Choice { index: 0, parts: said, finish: summary.finish, stop: None }])
        }
        Operation::Embedding => ReplyBody::Vectors(vectors),
        _ => ReplyBody::Opaque,
    };
    reply.repeats = repeats;
    reply.usage = summary.usage.or(reply.usage);
    reply.model = summary.model.or(reply.model.take());
    reply.id = summary.id.or(reply.id.take());
    Ok(())
}

/// Reads usage, id and finish reason.
pub(crate) fn summary(operation: Operation, whole: &ByteString) -> Scanned<ReplySummary> {
    match operation {
        Operation::Rerank => rerank::summary(whole),
        _ => read(whole, |scan, _| scan.skip().map(|_| ())),
    }
}

/// Reads the top level; `content` reads what the reply says.
fn read(
    whole: &ByteString,
    mut content: impl FnMut(&mut Scan<'_>, &str) -> Scanned<()>,
) -> Scanned<ReplySummary> {
    let mut out = ReplySummary::default();
    let mut scan = Scan::all(whole)?;
    let known = &["id", "finish_reason", "message", "usage", "meta", "embeddings", "logprobs"];
    scan.object(known, |scan, field, _| {
        match (field, scan.next()?) {
            ("id", Next::String) => {
                let lit = scan.string()?;
                out.id = Some(scan.shared(&lit)?);
            }
            ("finish_reason", Next::String) => out.finish = Some(finish(scan.string()?.inner)),
            ("usage" | "meta", Next::Object) => out.usage = Some(usage(scan)?),
            ("message", Next::Object) | ("embeddings", Next::Object | Next::Array) => content(scan, field)?,
            ("logprobs", Next::Array) => content(scan, field)?,
            _ => {
                scan.skip()?;
            }
        }
        Ok(())
    })?;
    scan.end()?;
    Ok(out)
}

/// The message of a chat.
fn message(scan: &mut Scan<'_>) -> Scanned<Vec<Part>> {
    let mut said = parts::Said::default();
    scan.object(&["content", "tool_plan", "tool_calls", "citations"], |scan, field, _| {
        said.field(scan, field)
    })?;
    Ok(said.parts())
}

/// The vectors: by type, or, as version 1 tells them, an array. Floats are taken first.
fn embeddings(scan: &mut Scan<'_>) -> Scanned<Vec<ByteString>> {
    let mut out = Vec::new();
    if scan.next()? == Next::Array {
        vectors(scan, &mut out)?;
        return Ok(out);
    }
    let mut encoded = Vec::new();
    scan.object(&["float", "base64"], |scan, field, _| match (field, scan.next()?) {
        ("float", Next::Array) => vectors(scan, &mut out),
        ("base64", Next::Array) => vectors(scan, &mut encoded),
        _ => scan.skip().map(|_| ()),
    })?;
    Ok(if out.is_empty() { encoded } else { out })
}

fn vectors(scan: &mut Scan<'_>, out: &mut Vec<ByteString>) -> Scanned<()> {
    scan.array(|scan, _| {
        let at = scan.skip()?;
        out.push(scan.share(scan.spelt(at)));
        Ok(())
    })
    .map(|_| ())
}

/// What a `finish_reason` says.
pub(super) fn finish(why: &str) -> Finish {
    match why {
        "COMPLETE" | "STOP_SEQUENCE" => Finish::Stop,
        "MAX_TOKENS" => Finish::Length,
        "TOOL_CALL" => Finish::ToolCalls,
        "ERROR_TOXIC" => Finish::ContentFilter,
        _ => Finish::Other,
    }
}

/// `usage` of a chat, `meta` of the others. What is billed counts, for it is what is paid; the count of all tokens, with those
/// of the instructions that the provider adds, stands in for it.
pub(super) fn usage(scan: &mut Scan<'_>) -> Scanned<Usage> {
    let (mut out, mut billed) = (Usage::default(), Usage::default());
    let mut is_billed = false;
    scan.object(&["billed_units", "tokens", "cached_tokens"], |scan, field, _| {
        match (field, scan.next()?) {
            ("billed_units", Next::Object) => is_billed = units(scan, &mut billed)?,
            ("tokens", Next::Object) => {
                units(scan, &mut out)?;
            }
            ("cached_tokens", _) => set_count(scan, &mut out.cached_input)?,
            _ => {
                scan.skip()?;
            }
        }
        Ok(())
    })?;
    if is_billed {
        (out.input, out.output) = (billed.input, billed.output);
    }
    out.cached_input = out.cached_input.min(out.input);
    Ok(out)
}

/// Counts of tokens; whether there are any.
fn units(scan: &mut Scan<'_>, out: &mut Usage) -> Scanned<bool> {
    let mut is_told = false;
    scan.object(&["input_tokens", "output_tokens"], |scan, field, _| {
        let count = match field {
            "input_tokens" => &mut out.input,
            "output_tokens" => &mut out.output,
            _ => return scan.skip().map(|_| ()),
        };
        is_told |= scan.next()? == Next::Number;
        set_count(scan, count)
    })?;
    Ok(is_told)
}
