//! Content blocks, in requests and whole replies. A block has one member, whose name is its kind.

use super::media::media_type;
use crate::gemini::signature;
use crate::scan::{Flaw, Lit, Next, Scan, Scanned, What, place};
use bytestring::ByteString;
use weir_message::{
    CachePoint, Citation, Media, MediaKind, Part, Reasoning, Source, Text, TextForm, ToolCall, ToolResult,
};

/// The kinds that are read.
const KINDS: &[&str] = &[
    "text",
    "json",
    "image",
    "document",
    "video",
    "audio",
    "toolUse",
    "toolResult",
    "guardContent",
    "cachePoint",
    "reasoningContent",
    "citationsContent",
    "searchResult",
];

/// An array of blocks.
pub(super) fn content(scan: &mut Scan<'_>, out: &mut Vec<Part>) -> Scanned<()> {
    scan.array(|scan, _| block(scan, out)).map(|_| ())
}

/// One block. A kind that is not known here is kept whole, and all of it is words: a model may read it.
pub(super) fn block(scan: &mut Scan<'_>, out: &mut Vec<Part>) -> Scanned<()> {
    scan.object(KINDS, |scan, kind, key| match (kind, scan.next()?) {
        (_, Next::Null) => scan.skip().map(|_| ()),
        ("text", _) => {
            out.push(Part::Text(text(scan)?));
            Ok(())
        }
        ("json", _) => {
            out.push(Part::Text(document(scan)?));
            Ok(())
        }
        ("image", _) => media(scan, MediaKind::Image, out),
        ("document", _) => media(scan, MediaKind::Document, out),
        ("video", _) => media(scan, MediaKind::Video, out),
        ("audio", _) => media(scan, MediaKind::Audio, out),
        ("toolUse", _) => tool_use(scan, out),
        ("toolResult", _) => tool_result(scan, out),
        ("guardContent", _) => guarded(scan, out),
        ("cachePoint", _) => {
            out.push(Part::CachePoint(cache_point(scan)?));
            Ok(())
        }
        ("reasoningContent", _) => reasoning(scan, out),
        ("citationsContent", _) => cited(scan, out),
        ("searchResult", _) => search_result(scan, out),
        _ => {
            let kind = scan.shared(&key)?;
            let text = document(scan)?;
            let raw = format!("{{{}:{}}}", serde_json::Value::from(&*kind), text.as_str()).into();
            out.push(Part::Other { kind, texts: vec![text], raw });
            Ok(())
        }
    })
    .map(|_| ())
}

/// An image, document, film or sound.
fn media(scan: &mut Scan<'_>, kind: MediaKind, out: &mut Vec<Part>) -> Scanned<()> {
    scan.next()?;
    let at = scan.place();
    let (mut format, mut name, mut context, mut cite) = (None, None, None, false);
    let mut sources = None;
    scan.object(&["format", "source", "name", "context", "citations"], |scan, field, _| {
        match (field, scan.next()?) {
            ("format", _) => format = optional(scan)?,
            ("name", _) => name = optional(scan)?,
            ("context", Next::String) => context = Some(text(scan)?),
            ("citations", Next::Object) => cite = enabled(scan)?,
            ("source", Next::Object) => sources = Some(source(scan)?),
            ("source", _) => return Err(scan.want("an object")),
            _ => {
                scan.skip()?;
            }
        }
        Ok(())
    })?;
    let sources = sources.filter(|sources| !sources.is_empty());
    let sources =
        sources.ok_or(Flaw::new(What::Want("a field `source` with `bytes`, `s3Location` or words"), at))?;
    // The model reads it in front of the document.
    out.extend(context.map(Part::Text));
    let media_type = format.map(|format| media_type(kind, &format));
    out.extend(sources.into_iter().map(|source| {
        let (media_type, name) = (media_type.clone(), name.clone());
        Part::Media(Media { kind, source, media_type, name, detail: None, cite })
    }));
    Ok(())
}

/// Where the bytes are: here, in S3, or they are words, in one piece or several.
fn source(scan: &mut Scan<'_>) -> Scanned<Vec<Source>> {
    let mut out = Vec::new();
    scan.object(&["bytes", "s3Location", "text", "content"], |scan, field, _| {
        match (field, scan.next()?) {
            ("bytes", _) => out.push(Source::Base64(string(scan)?)),
            ("text", _) => out.push(Source::Text(text(scan)?)),
            ("content", Next::Array) => {
                let mut said = Vec::new();
                content(scan, &mut said)?;
                out.extend(said.into_iter().filter_map(|part| match part {
                    Part::Text(text) => Some(Source::Text(text)),
                    _ => None,
                }));
            }
            ("s3Location", Next::Object) => {
                scan.object(&["uri"], |scan, field, _| match field {
                    "uri" => {
                        out.push(Source::File(string(scan)?));
                        Ok(())
                    }
                    _ => scan.skip().map(|_| ()),
                })?;
            }
            _ => {
                scan.skip()?;
            }
        }
        Ok(())
    })?;
    Ok(out)
}

/// A call; one of a tool that Bedrock itself runs is its own affair.
fn tool_use(scan: &mut Scan<'_>, out: &mut Vec<Part>) -> Scanned<()> {
    scan.next()?;
    let start = scan.place();
    let (mut id, mut name, mut input, mut kind) = (None, None, None, None);
    scan.object(&["toolUseId", "name", "input", "type"], |scan, field, _| {
        match field {
            "toolUseId" => id = optional(scan)?,
            "name" => name = optional(scan)?,
            "input" => input = Some(document(scan)?),
            "type" => kind = optional(scan)?,
            _ => {
                scan.skip()?;
            }
        }
        Ok(())
    })?;
    let missing = |want| Flaw::new(What::Want(want), start);
    if let Some(kind) = kind {
        let raw = format!("{{\"toolUse\":{}}}", scan.spelt(start..scan.place())).into();
        out.push(Part::Other { kind, texts: input.into_iter().collect(), raw });
        return Ok(());
    }
    out.push(Part::ToolCall(ToolCall {
        id: id.ok_or(missing("a field `toolUseId`"))?,
        name: name.ok_or(missing("a field `name`"))?,
        arguments: input.unwrap_or_else(|| Text { form: TextForm::Document, ..Text::added("{}") }),
        signature: None,
    }));
    Ok(())
}

fn tool_result(scan: &mut Scan<'_>, out: &mut Vec<Part>) -> Scanned<()> {
    scan.next()?;
    let start = scan.place();
    let (mut call, mut parts, mut is_error, mut kind) = (None, Vec::new(), false, None);
    scan.object(&["toolUseId", "content", "status", "type"], |scan, field, _| {
        match (field, scan.next()?) {
            ("toolUseId", _) => call = optional(scan)?,
            ("content", Next::Array) => content(scan, &mut parts)?,
            ("content", Next::Null) => {
                scan.skip()?;
            }
            ("content", _) => return Err(scan.want("an array of blocks")),
            ("status", _) => is_error = optional(scan)?.is_some_and(|status| status == "error"),
            ("type", _) => kind = optional(scan)?,
            _ => {
                scan.skip()?;
            }
        }
        Ok(())
    })?;
    if let Some(kind) = kind {
        let raw = format!("{{\"toolResult\":{}}}", scan.spelt(start..scan.place())).into();
        let texts = parts.into_iter().filter_map(|part| match part {
            Part::Text(text) => Some(text),
            _ => None,
        });
        out.push(Part::Other { kind, texts: texts.collect(), raw });
        return Ok(());
    }
    let call = call.ok_or(Flaw::new(What::Want("a field `toolUseId`"), start))?;
    out.push(Part::ToolResult(ToolResult { call, parts, is_error }));
    Ok(())
}

/// What a guardrail of Bedrock looks at: words or an image.
fn guarded(scan: &mut Scan<'_>, out: &mut Vec<Part>) -> Scanned<()> {
    scan.object(&["text", "image"], |scan, field, _| match (field, scan.next()?) {
        ("text", Next::Object) => scan
            .object(&["text"], |scan, field, _| match field {
                "text" => {
                    out.push(Part::Text(text(scan)?));
                    Ok(())
                }
                _ => scan.skip().map(|_| ()),
            })
            .map(|_| ()),
        ("image", Next::Object) => media(scan, MediaKind::Image, out),
        _ => scan.skip().map(|_| ()),
    })
    .map(|_| ())
}

pub(super) fn cache_point(scan: &mut Scan<'_>) -> Scanned<CachePoint> {
    let mut point = CachePoint::default();
    scan.object(&["ttl"], |scan, field, _| match field {
        "ttl" => {
            point.ttl = optional(scan)?;
            Ok(())
        }
        _ => scan.skip().map(|_| ()),
    })?;
    Ok(point)
}

fn reasoning(scan: &mut Scan<'_>, out: &mut Vec<Part>) -> Scanned<()> {
    scan.object(&["reasoningText", "redactedContent"], |scan, field, _| match (field, scan.next()?) {
        ("reasoningText", Next::Object) => {
            scan.next()?;
            let at = scan.place();
            let (mut words, mut signature) = (None, None);
            scan.object(&["text", "signature"], |scan, field, _| {
                match field {
                    "text" => words = Some(text(scan)?),
                    "signature" => signature = optional(scan)?.filter(|said| !said.is_empty()),
                    _ => {
                        scan.skip()?;
                    }
                }
                Ok(())
            })?;
            let text = words.ok_or(Flaw::new(What::Want("a field `text`"), at))?;
            out.push(Part::Reasoning(Reasoning { text, signature }));
            Ok(())
        }
        ("redactedContent", Next::String) => {
            out.push(Part::Sealed(signature::of_bytes(string(scan)?)));
            Ok(())
        }
        _ => scan.skip().map(|_| ()),
    })
    .map(|_| ())
}

/// Words and where they come from.
fn cited(scan: &mut Scan<'_>, out: &mut Vec<Part>) -> Scanned<()> {
    let (mut words, mut citations) = (Vec::new(), Vec::new());
    scan.object(&["content", "citations"], |scan, field, _| match (field, scan.next()?) {
        ("content", Next::Array) => content(scan, &mut words),
        ("citations", Next::Array) => scan
            .array(|scan, _| {
                citations.push(Part::Citation(citation(scan)?));
                Ok(())
            })
            .map(|_| ()),
        _ => scan.skip().map(|_| ()),
    })?;
    out.append(&mut words);
    out.append(&mut citations);
    Ok(())
}

/// A citation, as blocks have it and, in pieces, streams.
pub(super) fn citation(scan: &mut Scan<'_>) -> Scanned<Citation> {
    scan.next()?;
    let start = scan.place();
    let mut out = Citation::default();
    let mut address = None;
    scan.object(&["title", "source", "sourceContent", "location"], |scan, field, _| {
        match (field, scan.next()?) {
            ("title", _) => out.title = optional(scan)?,
            ("source", Next::String) => out.url = Some(string(scan)?),
            ("sourceContent", Next::Array) => {
                let mut said = Vec::new();
                content(scan, &mut said)?;
                out.quote = said.into_iter().find_map(|part| match part {
                    Part::Text(text) => Some(text.value),
                    _ => None,
                });
            }
            ("location", Next::Object) => {
                scan.object(&["web"], |scan, field, _| match (field, scan.next()?) {
                    ("web", Next::Object) => scan
                        .object(&["url"], |scan, field, _| match field {
                            "url" => {
                                address = optional(scan)?;
                                Ok(())
                            }
                            _ => scan.skip().map(|_| ()),
                        })
                        .map(|_| ()),
                    _ => scan.skip().map(|_| ()),
                })?;
            }
            _ => {
                scan.skip()?;
            }
        }
        Ok(())
    })?;
    out.url = address.or(out.url.take());
    out.raw = Some(scan.share(scan.spelt(start..scan.place())));
    Ok(out)
}

/// What a search found: its title and source, and each piece of it as a document.
fn search_result(scan: &mut Scan<'_>, out: &mut Vec<Part>) -> Scanned<()> {
    let (mut words, mut found, mut cite) = (Vec::new(), Vec::new(), false);
    scan.object(&["source", "title", "content", "citations"], |scan, field, _| {
        match (field, scan.next()?) {
            ("source" | "title", Next::String) => words.push(Part::Text(text(scan)?)),
            ("content", Next::Array) => content(scan, &mut found)?,
            ("citations", Next::Object) => cite = enabled(scan)?,
            _ => {
                scan.skip()?;
            }
        }
        Ok(())
    })?;
    out.append(&mut words);
    out.extend(found.into_iter().map(|part| match part {
        Part::Text(text) => Part::Media(Media {
            kind: MediaKind::Document,
            source: Source::Text(text),
            media_type: Some(ByteString::from_static("text/plain")),
            name: None,
            detail: None,
            cite,
        }),
        other => other,
    }));
    Ok(())
}

/// Whether `citations` are on.
fn enabled(scan: &mut Scan<'_>) -> Scanned<bool> {
    let mut out = false;
    scan.object(&["enabled"], |scan, field, _| match field {
        "enabled" => {
            out = scan.bool_or_null()?;
            Ok(())
        }
        _ => scan.skip().map(|_| ()),
    })?;
    Ok(out)
}

/// A value of any kind as a document.
fn document(scan: &mut Scan<'_>) -> Scanned<Text> {
    let at = scan.skip()?;
    Ok(Text::at(scan.share(scan.spelt(at.clone())), place(at), TextForm::Document))
}

pub(super) fn text(scan: &mut Scan<'_>) -> Scanned<Text> {
    let lit = scan.string()?;
    scan.text(&lit, TextForm::Plain)
}

pub(super) fn string(scan: &mut Scan<'_>) -> Scanned<ByteString> {
    let lit: Lit<'_> = scan.string()?;
    scan.shared(&lit)
}

pub(super) fn optional(scan: &mut Scan<'_>) -> Scanned<Option<ByteString>> {
    scan.string_or_null()?.map(|lit| scan.shared(&lit)).transpose()
}
