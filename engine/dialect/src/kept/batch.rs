//! Batches: many requests in one, each for a model; and what their results say was spent.

use super::read::lines;
use super::want;
use crate::form::{self, Field};
use crate::scan::{Flaw, Next, Scan, Scanned, What, place};
use crate::wire::wire;
use crate::{ReplySummary, anthropic, bad_request, classify, openai, whole};
use bytes::Bytes;
use bytestring::ByteString;
use http::{HeaderMap, Method};
use std::ops::Range;
use weir_message::{Dialect, Fault, Operation, Request, Splices, Usage};

/// One request of a batch, as its model and its path name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchLine {
    /// What it asks for.
    pub operation: Operation,
    /// The model.
    pub model: ByteString,
    /// Where the model stands, as a literal of JSON.
    at: Range<u32>,
}

/// What one result says was spent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// The model, as the provider names it; empty where it does not.
    pub model: ByteString,
    /// Its tokens.
    pub usage: Usage,
}

/// Whether a request brings many for models: a file for OpenAI's batches, or a batch of Anthropic's.
///
/// # Errors
/// It is a form that two could read differently.
pub fn asks_many(request: &Request) -> Result<bool, Fault> {
    if request.method != Method::POST {
        return Ok(false);
    }
    Ok(match (request.dialect, request.operation) {
        (Dialect::OpenAi, Operation::File) => purpose(request).map_err(bad_request)?,
        (Dialect::Anthropic, Operation::Batch) => classify::own_path(&request.path).ends_with("/batches"),
        _ => false,
    })
}

/// Whether a file is sent to be a batch.
fn purpose(request: &Request) -> Scanned<bool> {
    let boundary = form::boundary(&request.headers)
        .ok_or_else(|| want("a form (multipart/form-data, with its boundary)", 0))?;
    let mut found = None;
    for field in form::read(&request.raw, &boundary)? {
        if !field.name.eq_ignore_ascii_case("purpose") {
            continue;
        }
        let wrong = |what| Flaw::new(what, field.at.start).under("purpose");
        if field.name != "purpose" || field.is_file {
            return Err(wrong(What::Disguised));
        }
        let value = request.raw.get(field.at.clone()).unwrap_or_default();
        if found.replace(value.trim_ascii().eq_ignore_ascii_case(b"batch")).is_some() {
            return Err(wrong(What::Repeated));
        }
    }
    Ok(found.unwrap_or(false))
}

/// The body of a request that brings many, with the models that they ask for by the names that the provider has for them.
///
/// # Errors
/// What `rename` says of a model; a line is no request.
pub fn renamed(
    request: &Request,
    body: &Bytes,
    mut rename: impl FnMut(&BatchLine) -> Result<String, Fault>,
) -> Result<Bytes, Fault> {
    let asked = match request.dialect {
        Dialect::Anthropic => of_anthropic(body),
        _ => of_file(request, body),
    };
    let mut splices = Splices::default();
    for line in asked.map_err(bad_request)? {
        let name = rename(&line)?;
        if *name != *line.model {
            splices.set(line.at, serde_json::Value::from(name).to_string());
        }
    }
    Ok(splices.apply(body))
}

/// The requests of a file: one a line.
fn of_file(request: &Request, body: &Bytes) -> Scanned<Vec<BatchLine>> {
    let boundary = form::boundary(&request.headers).ok_or_else(|| want("a form", 0))?;
    let mut out = Vec::new();
    for Field { is_file, at, .. } in form::read(body, &boundary)? {
        if !is_file {
            continue;
        }
        let text =
            ByteString::try_from(body.slice(at.clone())).map_err(|_| Flaw::new(What::NotUtf8, at.start))?;
        for (start, line) in lines(&text) {
            out.push(
                of_line(&line, at.start + start)
                    .map_err(|flaw| Flaw { at: flaw.at + at.start + start, ..flaw })?,
            );
        }
    }
    if out.is_empty() { Err(want("a file with a request in each line", 0)) } else { Ok(out) }
}

/// `{"custom_id": …, "method": "POST", "url": "/v1/…", "body": {"model": …}}`.
fn of_line(line: &ByteString, base: usize) -> Scanned<BatchLine> {
    let (mut operation, mut model) = (None, None);
    let mut scan = Scan::all(line)?;
    scan.object(&["url", "body"], |scan, name, _| match name {
        "url" => {
            let lit = scan.string()?;
            let route = classify::classify(&Method::POST, &lit.value()?, &HeaderMap::new());
            let known = route.ok().filter(|route| route.dialect == Dialect::OpenAi);
            operation =
                Some(known.ok_or_else(|| scan.want("the path of an operation that is served"))?.operation);
            Ok(())
        }
        "body" => {
            model = named(scan, base)?;
            Ok(())
        }
        _ => scan.skip().map(|_| ()),
    })?;
    scan.end()?;
    let operation = operation.ok_or(Flaw::new(What::Field("url"), 0))?;
    let (at, model) = model.ok_or(Flaw::new(What::Field("model"), 0).under("body"))?;
    Ok(BatchLine { operation, model, at })
}

/// The requests of a batch of Anthropic's: `{"requests": [{"custom_id": …, "params": {"model": …}}]}`.
fn of_anthropic(body: &Bytes) -> Scanned<Vec<BatchLine>> {
    let whole = whole(body)?;
    let mut out = Vec::new();
    let mut scan = Scan::all(&whole)?;
    scan.object(&["requests"], |scan, name, _| match name {
        "requests" => scan
            .array(|scan, _| {
                let mut model = None;
                scan.object(&["params"], |scan, name, _| match name {
                    "params" => {
                        model = named(scan, 0)?;
                        Ok(())
                    }
                    _ => scan.skip().map(|_| ()),
                })?;
                let (at, model) = model.ok_or_else(|| scan.want("`params` with a `model` before it"))?;
                out.push(BatchLine { operation: Operation::Chat, model, at });
                Ok(())
            })
            .map(|_| ()),
        _ => scan.skip().map(|_| ()),
    })?;
    scan.end()?;
    Ok(out)
}

/// The model of the object that comes next.
fn named(scan: &mut Scan<'_>, base: usize) -> Scanned<Option<(Range<u32>, ByteString)>> {
    let mut model = None;
    scan.object(&["model"], |scan, name, _| match name {
        "model" => {
            let lit = scan.string()?;
            model = Some((place(lit.at.start + base..lit.at.end + base), scan.shared(&lit)?));
            Ok(())
        }
        _ => scan.skip().map(|_| ()),
    })?;
    Ok(model)
}

/// What the results of a batch say was spent, one by one. Empty for what is none.
pub fn spent(dialect: Dialect, raw: &Bytes) -> Vec<Spent> {
    let Ok(text) = whole(raw) else { return Vec::new() };
    // A line that is no result spends nothing.
    let of_line = |line: ByteString| {
        let said = result(dialect, &line).ok().flatten()?;
        Some(Spent { model: said.model.unwrap_or_default(), usage: said.usage? })
    };
    lines(&text).filter_map(|(_, line)| of_line(line)).collect()
}

/// What one result says: OpenAI's have their reply under `response.body`, Anthropic's under `result.message`.
fn result(dialect: Dialect, line: &ByteString) -> Scanned<Option<ReplySummary>> {
    let (outer, inner): (&'static [&'static str], &'static [&'static str]) = match dialect {
        Dialect::Anthropic => (&["custom_id", "result"], &["message"]),
        _ => (&["custom_id", "response"], &["body"]),
    };
    let (mut reply, mut is_named) = (None, false);
    let mut scan = Scan::all(line)?;
    scan.object(outer, |scan, name, _| match (name, scan.next()?) {
        ("custom_id", Next::String) => {
            is_named = true;
            scan.skip().map(|_| ())
        }
        ("result" | "response", Next::Object) => scan
            .object(inner, |scan, name, _| match (name, scan.next()?) {
                ("message" | "body", Next::Object) => {
                    reply = Some(scan.skip()?);
                    Ok(())
                }
                _ => scan.skip().map(|_| ()),
            })
            .map(|_| ()),
        _ => scan.skip().map(|_| ()),
    })?;
    scan.end()?;
    let Some(reply) = reply.filter(|_| is_named) else { return Ok(None) };
    let reply = line.slice_ref(line.get(reply).unwrap_or_default());
    summary(dialect, &reply).map(Some)
}

/// What a reply of any operation of a dialect tells of usage.
pub(super) fn summary(dialect: Dialect, whole: &ByteString) -> Scanned<ReplySummary> {
    match dialect {
        Dialect::OpenAi => {
            // Chats count `prompt_tokens`, responses and images `input_tokens`.
            let chat = wire(dialect).unwrap_or(&openai::OpenAi).summary(Operation::Chat, whole)?;
            match chat.usage {
                Some(usage) if usage != Usage::default() => Ok(chat),
                _ => openai::OpenAi.summary_of_response(whole),
            }
        }
        Dialect::Anthropic => crate::wire::Wire::summary(&anthropic::Anthropic, Operation::Chat, whole),
        other => wire(other).unwrap_or(&openai::OpenAi).summary(Operation::Chat, whole),
    }
}
