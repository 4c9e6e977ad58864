//! Requests that come as forms (images edited, sound written down), and what sound says
//! (platform.openai.com/docs/api-reference/audio/createTranscription).

use crate::ReplySummary;
use crate::fields::set_head;
use crate::form::{self, Field};
use crate::scan::{Flaw, Next, Scan, Scanned, What, place, set_count};
use bytes::Bytes;
use bytestring::ByteString;
use std::ops::Range;
use weir_message::{
    Beside, Body, Choice, ErrorCode, Fault, Finish, Head, Param, Params, Part, Reply, ReplyBody, Request,
    Splices, Text, TextForm, Usage,
};

/// Fields that are read: each may stand once, as text, in these letters.
const KNOWN: [&str; 3] = ["model", "prompt", "stream"];

/// Reads the fields of a form; the words only with `words`.
pub(super) fn read(request: &mut Request, fields: &[Field], words: bool) -> Scanned<()> {
    let mut head = Head::default();
    let (mut params, mut texts, mut beside) = (Params::default(), Vec::new(), Vec::new());
    let mut seen: Vec<&str> = Vec::new();
    for field in fields {
        let at = field.at.start;
        let Some(name) = KNOWN.into_iter().find(|name| name.eq_ignore_ascii_case(&field.name)) else {
            if !field.is_file && params.get(&field.name).is_none() {
                params.0.push(parameter(request, field)?);
            }
            if words && !field.is_file {
                let text = text(request, field)?;
                let role = crate::beside::of_form(&field.name, text.as_str());
                beside.extend(role.map(|role| Beside { role, text }));
            }
            continue;
        };
        let wrong = |what| Flaw::new(what, at).under(name);
        if *name != *field.name {
            return Err(wrong(What::Disguised));
        }
        if seen.contains(&name) {
            return Err(wrong(What::Repeated));
        }
        seen.push(name);
        if field.is_file {
            return Err(wrong(What::Want("a text, and no file,")));
        }
        let text = text(request, field).map_err(|flaw| flaw.under(name))?;
        match name {
            "model" => head.model = Some(text).filter(|text| !text.value.is_empty()),
            "prompt" => texts.extend(Some(text).filter(|text| !text.value.is_empty())),
            _ if matches!(text.as_str(), "" | "false") => {}
            _ => return Err(wrong(What::Want("`false`: what these operations give is sent whole"))),
        }
    }
    if words {
        request.body = Body::Words(texts);
        request.params = params;
        request.beside = beside;
    }
    set_head(request, head);
    Ok(())
}

fn text(request: &Request, field: &Field) -> Scanned<Text> {
    let value = ByteString::try_from(request.raw.slice(field.at.clone()))
        .map_err(|_| Flaw::new(What::NotUtf8, field.at.start))?;
    Ok(Text::at(value, place(field.at.clone()), TextForm::Bare))
}

/// A field as the JSON that it would be.
fn parameter(request: &Request, field: &Field) -> Scanned<Param> {
    let value = text(request, field)?.value;
    let is_json =
        serde_json::from_str::<serde_json::Number>(&value).is_ok() || matches!(&*value, "true" | "false");
    let json = if is_json { value } else { serde_json::Value::from(&*value).to_string().into() };
    Ok(Param { name: field.name.as_str().into(), json, at: None })
}

/// The form as it is sent: with all changes and the target's model.
pub(super) fn outgoing(request: &Request, boundary: &str, model: &str) -> Result<Bytes, Fault> {
    let broken = || Fault::new(ErrorCode::BadRequest, "the edited form cannot be put together");
    let bytes = request.outgoing().map_err(|error| broken().detail(error.to_string()))?;
    let fields = form::read(&bytes, boundary).map_err(|_| broken())?;
    if bytes.as_ptr() != request.raw.as_ptr() {
        // What a stage put in may not begin a field of its own.
        let names =
            |fields: &[Field]| -> Vec<String> { fields.iter().map(|field| field.name.clone()).collect() };
        let before = form::read(&request.raw, boundary).map_err(|_| broken())?;
        if names(&before) != names(&fields) {
            return Err(broken());
        }
    }
    let mut splices = Splices::default();
    match fields.iter().find(|field| field.name == "model") {
        Some(field) if bytes.get(field.at.clone()) == Some(model.as_bytes()) => return Ok(bytes),
        Some(field) if !field.at.is_empty() => splices.set(place(field.at.clone()), model),
        Some(field) => splices.set(place(field.at.start..field.at.start), model),
        None => {
            let first =
                format!("--{boundary}\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n");
            splices.set(0..0, first);
        }
    }
    Ok(splices.apply(&bytes))
}

/// What is said of a transcript.
#[derive(Default)]
struct Transcript {
    text: Option<Text>,
    /// Where the words are told once more, piece by piece.
    repeats: Vec<Range<u32>>,
    usage: Option<Usage>,
}

/// Reads all of a transcript: JSON, or in other forms (`text`, `srt`, `vtt`) nothing but words.
pub(super) fn decode_reply(reply: &mut Reply, whole: &ByteString) -> Scanned<()> {
    let said = transcript(whole)?;
    let parts = said.text.map(Part::Text).into_iter().collect();
    reply.body = ReplyBody::Choices(vec![Choice { index: 0, parts, finish: Some(Finish::Stop), stop: None }]);
    reply.repeats = said.repeats.into_iter().map(|at| (0, at)).collect();
    reply.usage = said.usage.or(reply.usage);
    Ok(())
}

/// Reads usage.
pub(super) fn summary(whole: &ByteString) -> Scanned<ReplySummary> {
    Ok(ReplySummary { usage: transcript(whole)?.usage, ..ReplySummary::default() })
}

fn transcript(whole: &ByteString) -> Scanned<Transcript> {
    let mut out = Transcript::default();
    if !whole.trim_ascii_start().starts_with('{') {
        if u32::try_from(whole.len()).is_err() {
            return Err(Flaw::new(What::TooLarge, 0));
        }
        if !whole.is_empty() {
            out.text = Some(Text::at(whole.clone(), place(0..whole.len()), TextForm::Bare));
        }
        return Ok(out);
    }
    let mut scan = Scan::all(whole)?;
    let mut lasts = None;
    scan.object(&["text", "segments", "words", "logprobs", "usage", "duration"], |scan, field, _| {
        match (field, scan.next()?) {
            ("text", Next::String) => {
                let lit = scan.string()?;
                out.text = Some(scan.text(&lit, TextForm::Plain)?);
            }
            ("segments" | "words" | "logprobs", Next::Array) => out.repeats.push(place(scan.skip()?)),
            ("duration", _) => lasts = millis(scan)?,
            ("usage", Next::Object) => out.usage = Some(usage(scan)?),
            _ => {
                scan.skip()?;
            }
        }
        Ok(())
    })?;
    scan.end()?;
    out.usage = out.usage.or(lasts.map(|millis| Usage { millis, ..Usage::default() }));
    Ok(out)
}

/// Seconds, as milliseconds.
fn millis(scan: &mut Scan<'_>) -> Scanned<Option<u64>> {
    let at = scan.skip()?;
    let seconds: Option<f64> = scan.spelt(at).trim_matches('"').parse().ok();
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float cast saturates, and no sound lasts less than nothing"
    )]
    let millis = seconds.map(|seconds| (seconds * 1000.0).round() as u64);
    Ok(millis)
}

/// `usage`, in tokens or in seconds.
fn usage(scan: &mut Scan<'_>) -> Scanned<Usage> {
    let mut out = Usage::default();
    scan.object(
        &["input_tokens", "input_token_details", "output_tokens", "seconds"],
        |scan, field, _| match (field, scan.next()?) {
            ("input_tokens", _) => set_count(scan, &mut out.input),
            ("output_tokens", _) => set_count(scan, &mut out.output),
            ("seconds", _) => {
                out.millis = millis(scan)?.unwrap_or(0);
                Ok(())
            }
            ("input_token_details", Next::Object) => scan
                .object(&["audio_tokens"], |scan, field, _| match field {
                    "audio_tokens" => set_count(scan, &mut out.audio_input),
                    _ => scan.skip().map(|_| ()),
                })
                .map(|_| ()),
            _ => scan.skip().map(|_| ()),
        },
    )?;
    Ok(out)
}

#[cfg(test)]
mod tests;
