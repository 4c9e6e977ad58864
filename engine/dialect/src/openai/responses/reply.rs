//! Whole responses to messages.

use super::item::{self, Form, Item};
use crate::ReplySummary;
use crate::scan::{Next, Scan, Scanned, set_count};
use bytestring::ByteString;
use weir_message::{Choice, Finish, Part, Reply, ReplyBody, Text, TextForm, ToolResult, Usage};

/// A response, whole or as an event tells it.
#[derive(Debug, Default)]
pub(super) struct Response {
    pub(super) id: Option<ByteString>,
    pub(super) model: Option<ByteString>,
    pub(super) created: Option<u64>,
    pub(super) usage: Option<Usage>,
    pub(super) output: Vec<Item>,
    /// Words beside the output: why it failed, or the output once more.
    pub(super) asides: Vec<Text>,
    status: ByteString,
    reason: ByteString,
    has_calls: bool,
}

/// Reads all of a reply.
pub(super) fn decode(reply: &mut Reply, whole: &ByteString) -> Scanned<()> {
    let mut scan = Scan::all(whole)?;
    let said = read(&mut scan, true)?;
    scan.end()?;
    let finish = said.finish();
    let repeats = said.output.iter().flat_map(|item| &item.repeats);
    reply.repeats = repeats.map(|at| (0, at.clone())).collect();
    let mut parts: Vec<Part> = said.output.into_iter().flat_map(Item::into_parts).collect();
    if !said.asides.is_empty() {
        let call = ByteString::new();
        let asides = said.asides.into_iter().map(Part::Text).collect();
        parts.push(Part::ToolResult(ToolResult { call, parts: asides, is_error: true }));
    }
    reply.body = ReplyBody::Choices(vec![Choice { index: 0, parts, finish, stop: None }]);
    reply.usage = said.usage.or(reply.usage);
    reply.model = said.model.or(reply.model.take());
    reply.id = said.id.or(reply.id.take());
    Ok(())
}

/// Reads usage, model and why it ended.
pub(super) fn summary(whole: &ByteString) -> Scanned<ReplySummary> {
    let mut scan = Scan::all(whole)?;
    let said = read(&mut scan, false)?;
    scan.end()?;
    let finish = said.finish();
    Ok(ReplySummary { usage: said.usage, model: said.model, id: said.id, finish })
}

impl Response {
    /// Why it ended; nothing while it has not.
    pub(super) fn finish(&self) -> Option<Finish> {
        Some(match (&*self.status, &*self.reason) {
            ("completed", _) if self.has_calls => Finish::ToolCalls,
            ("completed", _) => Finish::Stop,
            ("incomplete", "max_output_tokens") => Finish::Length,
            ("incomplete", "content_filter") => Finish::ContentFilter,
            ("queued" | "in_progress" | "", _) => return None,
            _ => Finish::Other,
        })
    }
}

/// Reads a response. With `texts` its output in full, otherwise only whether it calls tools.
pub(super) fn read(scan: &mut Scan<'_>, texts: bool) -> Scanned<Response> {
    let mut out = Response::default();
    scan.object(
        &[
            "id",
            "model",
            "created_at",
            "status",
            "incomplete_details",
            "error",
            "output",
            "output_text",
            "usage",
        ],
        |scan, field, _| {
            match (field, scan.next()?) {
                ("id" | "model" | "status", Next::String) => {
                    let lit = scan.string()?;
                    let value = scan.shared(&lit)?;
                    match field {
                        "id" => out.id = Some(value),
                        "model" => out.model = Some(value),
                        _ => out.status = value,
                    }
                }
                ("created_at", _) => out.created = scan.count()?,
                ("incomplete_details", Next::Object) => {
                    scan.object(&["reason"], |scan, field, _| {
                        if field == "reason" && scan.next()? == Next::String {
                            let lit = scan.string()?;
                            out.reason = scan.shared(&lit)?;
                            return Ok(());
                        }
                        scan.skip().map(|_| ())
                    })?;
                }
                ("error", Next::Object) => {
                    scan.object(&["message"], |scan, field, _| match field {
                        "message" => aside(scan, &mut out.asides),
                        _ => scan.skip().map(|_| ()),
                    })?;
                }
                ("output_text", _) => aside(scan, &mut out.asides)?,
                ("output", Next::Array) if texts => {
                    scan.array(|scan, _| {
                        let item = item::read(scan)?;
                        out.has_calls |= matches!(item.form, Form::Call | Form::Custom);
                        out.output.push(item);
                        Ok(())
                    })?;
                }
                ("output", Next::Array) => {
                    scan.array(|scan, _| {
                        scan.object(&["type"], |scan, field, _| {
                            if field == "type" && scan.next()? == Next::String {
                                let kind = scan.string()?;
                                out.has_calls |= matches!(kind.inner, "function_call" | "custom_tool_call");
                                return Ok(());
                            }
                            scan.skip().map(|_| ())
                        })
                        .map(|_| ())
                    })?;
                }
                ("usage", Next::Object) => out.usage = Some(usage(scan)?),
                _ => {
                    scan.skip()?;
                }
            }
            Ok(())
        },
    )?;
    Ok(out)
}

fn aside(scan: &mut Scan<'_>, out: &mut Vec<Text>) -> Scanned<()> {
    if scan.next()? != Next::String {
        return scan.skip().map(|_| ());
    }
    let lit = scan.string()?;
    out.push(scan.text(&lit, TextForm::Plain)?);
    Ok(())
}

/// `usage`. The classes of its details are part of the whole.
fn usage(scan: &mut Scan<'_>) -> Scanned<Usage> {
    let mut out = Usage::default();
    scan.object(
        &["input_tokens", "output_tokens", "input_tokens_details", "output_tokens_details"],
        |scan, field, _| match (field, scan.next()?) {
            ("input_tokens", _) => set_count(scan, &mut out.input),
            ("output_tokens", _) => set_count(scan, &mut out.output),
            ("input_tokens_details", Next::Object) => scan
                .object(&["cached_tokens", "cache_write_tokens"], |scan, field, _| match field {
                    "cached_tokens" => set_count(scan, &mut out.cached_input),
                    "cache_write_tokens" => set_count(scan, &mut out.cache_write),
                    _ => scan.skip().map(|_| ()),
                })
                .map(|_| ()),
            ("output_tokens_details", Next::Object) => scan
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
