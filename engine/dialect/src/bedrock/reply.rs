//! Whole replies of Converse and CountTokens to messages.

use super::blocks;
use crate::ReplySummary;
use crate::anthropic::ANSWER;
use crate::scan::{Next, Scan, Scanned, set_count};
use bytestring::ByteString;
use weir_message::{Choice, Finish, Operation, Part, Reply, ReplyBody, Text, Usage};

/// Reads all of a reply.
pub(super) fn decode(reply: &mut Reply, operation: Operation, whole: &ByteString) -> Scanned<()> {
    let mut said = Said::default();
    said.read(whole, true)?;
    let summary = said.summary(operation);
    reply.body = match operation {
        Operation::Chat => ReplyBody::Choices(vec![said.choice()]),
        Operation::Count => ReplyBody::Count(said.counted),
        _ => ReplyBody::Opaque,
    };
    reply.usage = summary.usage.or(reply.usage);
    Ok(())
}

/// Reads usage and the reason to stop.
pub(super) fn summary(operation: Operation, whole: &ByteString) -> Scanned<ReplySummary> {
    let mut said = Said::default();
    said.read(whole, false)?;
    Ok(said.summary(operation))
}

/// What a reply says.
#[derive(Default)]
struct Said {
    parts: Vec<Part>,
    finish: Option<Finish>,
    usage: Option<Usage>,
    /// `inputTokens` of a count.
    counted: u64,
}

impl Said {
    fn read(&mut self, whole: &ByteString, with_content: bool) -> Scanned<()> {
        let mut scan = Scan::all(whole)?;
        let known = &["output", "stopReason", "usage", "inputTokens", "trace"];
        scan.object(known, |scan, field, _| {
            match (field, scan.next()?) {
                ("output", Next::Object) if with_content => self.output(scan)?,
                ("stopReason", Next::String) => self.finish = Some(finish(scan.string()?.inner)),
                ("usage", Next::Object) => self.usage = Some(usage(scan)?),
                ("inputTokens", _) => set_count(scan, &mut self.counted)?,
                ("trace", Next::Object) if with_content => self.trace(scan)?,
                _ => {
                    scan.skip()?;
                }
            }
            Ok(())
        })?;
        scan.end()
    }

    fn output(&mut self, scan: &mut Scan<'_>) -> Scanned<()> {
        scan.object(&["message"], |scan, field, _| match (field, scan.next()?) {
            ("message", Next::Object) => scan
                .object(&["content"], |scan, field, _| match (field, scan.next()?) {
                    ("content", Next::Array) => blocks::content(scan, &mut self.parts),
                    _ => scan.skip().map(|_| ()),
                })
                .map(|_| ()),
            _ => scan.skip().map(|_| ()),
        })
        .map(|_| ())
    }

    /// A guardrail's trace repeats what the model said before it was masked.
    fn trace(&mut self, scan: &mut Scan<'_>) -> Scanned<()> {
        let mut texts: Vec<Text> = Vec::new();
        scan.object(&["guardrail"], |scan, field, _| match (field, scan.next()?) {
            ("guardrail", Next::Object) => scan
                .object(&["modelOutput"], |scan, field, _| match (field, scan.next()?) {
                    ("modelOutput", Next::Array) => scan
                        .array(|scan, _| {
                            texts.push(blocks::text(scan)?);
                            Ok(())
                        })
                        .map(|_| ()),
                    _ => scan.skip().map(|_| ()),
                })
                .map(|_| ()),
            _ => scan.skip().map(|_| ()),
        })?;
        if !texts.is_empty() {
            let kind = ByteString::from_static("trace");
            self.parts.push(Part::Other { kind, texts, raw: ByteString::new() });
        }
        Ok(())
    }

    fn summary(&self, operation: Operation) -> ReplySummary {
        // Counting spends nothing.
        let usage = if operation == Operation::Count { Some(Usage::default()) } else { self.usage };
        ReplySummary { usage, model: None, id: None, finish: self.finish }
    }

    /// The message as the one choice that there is. A call of the tool that takes an answer in a form is that answer.
    fn choice(mut self) -> Choice {
        let mut is_answered = false;
        for part in &mut self.parts {
            if let Part::ToolCall(call) = part
                && call.name == ANSWER
            {
                is_answered = true;
                *part = Part::Text(call.arguments.clone());
            }
        }
        let calls = self.parts.iter().any(|part| matches!(part, Part::ToolCall(_)));
        if is_answered && !calls && self.finish == Some(Finish::ToolCalls) {
            self.finish = Some(Finish::Stop);
        }
        Choice { index: 0, parts: self.parts, finish: self.finish, stop: None }
    }
}

/// What a `stopReason` means.
pub(super) fn finish(stop_reason: &str) -> Finish {
    match stop_reason {
        "end_turn" | "stop_sequence" => Finish::Stop,
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "tool_use" => Finish::ToolCalls,
        "guardrail_intervened" | "content_filtered" => Finish::ContentFilter,
        _ => Finish::Other,
    }
}

/// `usage`: what was read from and written to the cache is no part of `inputTokens`.
pub(super) fn usage(scan: &mut Scan<'_>) -> Scanned<Usage> {
    let mut out = Usage::default();
    let known =
        &["inputTokens", "outputTokens", "cacheReadInputTokens", "cacheWriteInputTokens", "cacheDetails"];
    scan.object(known, |scan, field, _| match (field, scan.next()?) {
        ("inputTokens", _) => set_count(scan, &mut out.input),
        ("outputTokens", _) => set_count(scan, &mut out.output),
        ("cacheReadInputTokens", _) => set_count(scan, &mut out.cached_input),
        ("cacheWriteInputTokens", _) => set_count(scan, &mut out.cache_write),
        ("cacheDetails", Next::Array) => scan.array(|scan, _| cached_for(scan, &mut out)).map(|_| ()),
        _ => scan.skip().map(|_| ()),
    })?;
    out.input = out.input.saturating_add(out.cached_input).saturating_add(out.cache_write);
    out.cache_write_1h = out.cache_write_1h.min(out.cache_write);
    Ok(out)
}

/// How much was written to the cache for how long.
fn cached_for(scan: &mut Scan<'_>, out: &mut Usage) -> Scanned<()> {
    let (mut ttl, mut tokens) = (None, 0);
    scan.object(&["ttl", "inputTokens"], |scan, field, _| match field {
        "ttl" => {
            ttl = blocks::optional(scan)?;
            Ok(())
        }
        "inputTokens" => set_count(scan, &mut tokens),
        _ => scan.skip().map(|_| ()),
    })?;
    if ttl.is_some_and(|ttl| ttl == "1h") {
        out.cache_write_1h = tokens;
    }
    Ok(())
}
