//! What a message says, in requests, whole replies and, in its fields, deltas of streams.

use crate::gemini;
use crate::scan::{Next, Scan, Scanned};
use bytestring::ByteString;
use weir_message::{
    CachePoint, Citation, Media, MediaKind, Part, Reasoning, Source, Text, TextForm, ToolCall,
};

/// Reads one field of a message that may hold words.
pub(crate) fn said(scan: &mut Scan<'_>, field: &str, out: &mut Vec<Part>) -> Scanned<()> {
    match field {
        "content" => content(scan, out)?,
        "refusal" => {
            if let Some(lit) = scan.string_or_null()? {
                out.push(Part::Refusal(scan.text(&lit, TextForm::Plain)?));
            }
        }
        "reasoning_content" | "reasoning" => match scan.next()? {
            Next::String => {
                let lit = scan.string()?;
                out.push(Part::Reasoning(scan.text(&lit, TextForm::Plain)?.into()));
            }
            _ => {
                scan.skip()?;
            }
        },
        "tool_calls" if scan.next()? == Next::Array => {
            scan.array(|scan, _| {
                out.push(Part::ToolCall(tool_call(scan)?));
                Ok(())
            })?;
        }
        "function_call" if scan.next()? == Next::Object => {
            let mut call = empty_call();
            function(scan, &mut call)?;
            out.push(Part::ToolCall(call));
        }
        "audio" if scan.next()? == Next::Object => {
            scan.skip()?;
            out.push(other(ByteString::from_static("audio")));
        }
        "reasoning_details" if scan.next()? == Next::Array => details(scan, out)?,
        "annotations" if scan.next()? == Next::Array => annotations(scan, out)?,
        _ => {
            scan.skip()?;
        }
    }
    Ok(())
}

/// `content`: a string, parts, or nothing.
pub(crate) fn content(scan: &mut Scan<'_>, out: &mut Vec<Part>) -> Scanned<()> {
    match scan.next()? {
        Next::Null => scan.skip().map(|_| ()),
        Next::String => {
            let lit = scan.string()?;
            out.push(Part::Text(scan.text(&lit, TextForm::Plain)?));
            Ok(())
        }
        Next::Array => scan.array(|scan, _| part(scan, out)).map(|_| ()),
        _ => Err(scan.want("a string or an array of parts")),
    }
}

/// One part. Whatever its type says, a field `text` is read: who sends it elsewhere cannot hide it here.
fn part(scan: &mut Scan<'_>, out: &mut Vec<Part>) -> Scanned<()> {
    if scan.next()? == Next::String {
        let lit = scan.string()?;
        out.push(Part::Text(scan.text(&lit, TextForm::Plain)?));
        return Ok(());
    }
    let mut kind = ByteString::new();
    let mut media = None;
    let mut cache = None;
    scan.object(
        &[
            "type",
            "text",
            "refusal",
            "thinking",
            "image_url",
            "input_audio",
            "file",
            "video_url",
            "audio_url",
            "cache_control",
        ],
        |scan, field, _| {
            match field {
                "type" => {
                    let lit = scan.string()?;
                    kind = scan.shared(&lit)?;
                }
                "text" => {
                    if let Some(lit) = scan.string_or_null()? {
                        out.push(Part::Text(scan.text(&lit, TextForm::Plain)?));
                    }
                }
                "refusal" => {
                    if let Some(lit) = scan.string_or_null()? {
                        out.push(Part::Refusal(scan.text(&lit, TextForm::Plain)?));
                    }
                }
                "thinking" => {
                    // Mistral: a string, or parts of text.
                    let mut thoughts = Vec::new();
                    content(scan, &mut thoughts)?;
                    out.extend(thoughts.into_iter().map(|part| match part {
                        Part::Text(text) => Part::Reasoning(text.into()),
                        other => other,
                    }));
                }
                "image_url" => media = Some(at_url(scan, MediaKind::Image)?),
                "video_url" => media = Some(at_url(scan, MediaKind::Video)?),
                "audio_url" => media = Some(at_url(scan, MediaKind::Audio)?),
                "input_audio" => media = inline(scan, MediaKind::Audio)?,
                "file" => media = inline(scan, MediaKind::Document)?,
                "cache_control" => cache = cache_point(scan)?,
                _ => {
                    scan.skip()?;
                }
            }
            Ok(())
        },
    )?;
    match media {
        Some(media) => out.push(Part::Media(media)),
        None if matches!(&*kind, "text" | "input_text" | "output_text" | "refusal" | "thinking") => {}
        None => out.push(other(kind)),
    }
    out.extend(cache.map(Part::CachePoint));
    Ok(())
}

/// A part that other dialects have no name for.
pub(crate) fn other(kind: ByteString) -> Part {
    Part::Other { kind, texts: Vec::new(), raw: ByteString::new() }
}

/// `image_url` and its kin: an address, or an object with it.
pub(crate) fn at_url(scan: &mut Scan<'_>, kind: MediaKind) -> Scanned<Media> {
    let (mut url, mut detail) = (ByteString::new(), None);
    if scan.next()? == Next::String {
        let lit = scan.string()?;
        url = scan.shared(&lit)?;
    } else {
        scan.object(&["url", "detail"], |scan, field, _| {
            match (field, scan.next()?) {
                ("url", Next::String) => {
                    let lit = scan.string()?;
                    url = scan.shared(&lit)?;
                }
                ("detail", Next::String) => {
                    let lit = scan.string()?;
                    detail = Some(scan.shared(&lit)?);
                }
                _ => {
                    scan.skip()?;
                }
            }
            Ok(())
        })?;
    }
    let (media_type, source) = located(url);
    Ok(Media { kind, source, media_type, name: None, detail, cite: false })
}

/// An address as a source; a `data:` URL (RFC 2397) holds the bytes itself.
pub(crate) fn located(url: ByteString) -> (Option<ByteString>, Source) {
    let split = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    match split {
        Some((media_type, data)) => (Some(url.slice_ref(media_type)), Source::Base64(url.slice_ref(data))),
        None => (None, Source::Url(url)),
    }
}

/// `input_audio` and `file`: bytes, or the id of a file at the provider.
pub(super) fn inline(scan: &mut Scan<'_>, kind: MediaKind) -> Scanned<Option<Media>> {
    let (mut source, mut media_type, mut name) = (None, None, None);
    scan.object(&["data", "format", "file_data", "file_id", "filename"], |scan, field, _| {
        if scan.next()? != Next::String {
            return scan.skip().map(|_| ());
        }
        let lit = scan.string()?;
        let value = scan.shared(&lit)?;
        match field {
            "data" => source = Some(Source::Base64(value)),
            "file_data" => {
                let (said, located) = located(value);
                media_type = said.or(media_type.take());
                source = Some(match located {
                    Source::Url(bare) if !bare.contains(':') => Source::Base64(bare),
                    other => other,
                });
            }
            "file_id" => source = Some(Source::File(value)),
            "format" => media_type = Some(value),
            "filename" => name = Some(value),
            _ => {}
        }
        Ok(())
    })?;
    Ok(source.map(|source| Media { kind, source, media_type, name, detail: None, cite: false }))
}

/// `cache_control` (Anthropic's, taken by OpenRouter and others in OpenAI's format too).
pub(crate) fn cache_point(scan: &mut Scan<'_>) -> Scanned<Option<CachePoint>> {
    if scan.next()? != Next::Object {
        scan.skip()?;
        return Ok(None);
    }
    let mut point = CachePoint::default();
    scan.object(&["ttl"], |scan, field, _| {
        if field == "ttl" && scan.next()? == Next::String {
            let lit = scan.string()?;
            point.ttl = Some(scan.shared(&lit)?);
            return Ok(());
        }
        scan.skip().map(|_| ())
    })?;
    Ok(Some(point))
}

/// `reasoning_details` (OpenRouter's form of signed and sealed reasoning). An entry without words signs the reasoning in
/// front.
fn details(scan: &mut Scan<'_>, out: &mut Vec<Part>) -> Scanned<()> {
    scan.array(|scan, _| {
        let (mut text, mut signature, mut data) = (None, None, None);
        scan.object(&["text", "summary", "signature", "data"], |scan, field, _| {
            if scan.next()? != Next::String {
                return scan.skip().map(|_| ());
            }
            let lit = scan.string()?;
            match field {
                "text" | "summary" => text = Some(scan.text(&lit, TextForm::Plain)?),
                "signature" => signature = Some(scan.shared(&lit)?),
                "data" => data = Some(scan.shared(&lit)?),
                _ => {}
            }
            Ok(())
        })?;
        match text {
            Some(text) => out.push(Part::Reasoning(Reasoning { text, signature })),
            None => {
                let unsigned = out.iter_mut().rev().find_map(|part| match part {
                    Part::Reasoning(reasoning) if reasoning.signature.is_none() => Some(reasoning),
                    _ => None,
                });
                if let (Some(reasoning), Some(signature)) = (unsigned, signature) {
                    reasoning.signature = Some(signature);
                }
            }
        }
        out.extend(data.map(Part::Sealed));
        Ok(())
    })?;
    Ok(())
}

/// `annotations` of a message.
fn annotations(scan: &mut Scan<'_>, out: &mut Vec<Part>) -> Scanned<()> {
    scan.array(|scan, _| {
        let mut citation = None;
        scan.object(&["url_citation"], |scan, field, _| {
            if field != "url_citation" || scan.next()? != Next::Object {
                return scan.skip().map(|_| ());
            }
            let mut found = Citation::default();
            let (mut from, mut to) = (None, None);
            scan.object(&["url", "title", "start_index", "end_index"], |scan, field, _| {
                match (field, scan.next()?) {
                    ("url", Next::String) => {
                        let lit = scan.string()?;
                        found.url = Some(scan.shared(&lit)?);
                    }
                    ("title", Next::String) => {
                        let lit = scan.string()?;
                        found.title = Some(scan.shared(&lit)?);
                    }
                    ("start_index", _) => from = scan.count()?,
                    ("end_index", _) => to = scan.count()?,
                    _ => {
                        scan.skip()?;
                    }
                }
                Ok(())
            })?;
            found.span = from.zip(to).map(|(from, to)| from..to);
            citation = Some(found);
            Ok(())
        })?;
        out.extend(citation.map(Part::Citation));
        Ok(())
    })?;
    Ok(())
}

/// An item of `tool_calls`.
pub(crate) fn tool_call(scan: &mut Scan<'_>) -> Scanned<ToolCall> {
    let mut call = empty_call();
    scan.object(&["id", "function", "custom", "extra_content"], |scan, field, _| {
        match field {
            "id" => {
                if let Some(lit) = scan.string_or_null()? {
                    call.id = scan.shared(&lit)?;
                }
            }
            "function" | "custom" => function(scan, &mut call)?,
            "extra_content" => call.signature = extra_content(scan)?,
            _ => {
                scan.skip()?;
            }
        }
        Ok(())
    })?;
    Ok(call)
}

/// `extra_content` of a call (Google's own addition: ai.google.dev/gemini-api/docs/thought-signatures): its signature.
pub(crate) fn extra_content(scan: &mut Scan<'_>) -> Scanned<Option<ByteString>> {
    let mut signature = None;
    if scan.next()? != Next::Object {
        return scan.skip().map(|_| signature);
    }
    scan.object(&["google"], |scan, field, _| {
        if field != "google" || scan.next()? != Next::Object {
            return scan.skip().map(|_| ());
        }
        scan.object(&["thought_signature"], |scan, field, _| match (field, scan.next()?) {
            ("thought_signature", Next::String) => {
                signature = Some(gemini::signature::read(&scan.string()?.value()?));
                Ok(())
            }
            _ => scan.skip().map(|_| ()),
        })
        .map(|_| ())
    })?;
    Ok(signature)
}

/// `function` of a call (or `custom`, whose `input` is prose).
fn function(scan: &mut Scan<'_>, call: &mut ToolCall) -> Scanned<()> {
    scan.object(&["name", "arguments", "input"], |scan, field, _| {
        match field {
            "name" => {
                if let Some(lit) = scan.string_or_null()? {
                    call.name = scan.shared(&lit)?;
                }
            }
            "arguments" => call.arguments = arguments(scan)?,
            "input" => {
                if let Some(lit) = scan.string_or_null()? {
                    call.arguments = scan.text(&lit, TextForm::Plain)?;
                }
            }
            _ => {
                scan.skip()?;
            }
        }
        Ok(())
    })?;
    Ok(())
}

/// Arguments: JSON in a string. Some servers send the object itself; an edit of it makes it a string.
pub(crate) fn arguments(scan: &mut Scan<'_>) -> Scanned<Text> {
    match scan.next()? {
        Next::String => {
            let lit = scan.string()?;
            scan.text(&lit, TextForm::Json)
        }
        Next::Null => {
            scan.skip()?;
            Ok(no_text())
        }
        _ => {
            let range = scan.skip()?;
            let value = scan.share(scan.spelt(range.clone()));
            Ok(Text::at(value, crate::scan::place(range), TextForm::Json))
        }
    }
}

fn empty_call() -> ToolCall {
    ToolCall { id: ByteString::new(), name: ByteString::new(), arguments: no_text(), signature: None }
}

fn no_text() -> Text {
    Text { value: ByteString::new(), at: None, form: TextForm::Json }
}
