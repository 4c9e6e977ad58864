//! What a turn is made of, in requests, whole replies and events of streams (ai.google.dev/api/caching#Part).
//!
//! Google reads both spellings of a field (`inlineData`, `inline_data`), and one value where several may stand. What it reads
//! must be seen here.

use super::{minted, signature};
use crate::scan::{Flaw, Lit, Next, Scan, Scanned, What, place};
use bytestring::ByteString;
use std::ops::Range;
use weir_message::{Media, MediaKind, Part, Reasoning, Source, Text, TextForm, ToolCall, ToolResult};

/// An array, or the one thing that would stand in it; null is an empty one.
pub(crate) fn several(
    scan: &mut Scan<'_>,
    mut item: impl FnMut(&mut Scan<'_>, usize) -> Scanned<()>,
) -> Scanned<()> {
    match scan.next()? {
        Next::Array => scan.array(item).map(|_| ()),
        Next::Null => scan.skip().map(|_| ()),
        _ => item(scan, 0),
    }
}

/// What a field's second spelling, or a second value, is.
fn once<T>(slot: &mut Option<T>, value: T, at: usize) -> Scanned<()> {
    if slot.replace(value).is_some() {
        return Err(Flaw::new(What::Repeated, at));
    }
    Ok(())
}

/// A string.
fn string(scan: &mut Scan<'_>) -> Scanned<Option<ByteString>> {
    scan.string_or_null()?.map(|lit| scan.shared(&lit)).transpose()
}

/// What a part says.
#[derive(Default)]
struct Said {
    text: Option<Text>,
    thought: Option<bool>,
    signature: Option<ByteString>,
    media: Option<Media>,
    detail: Option<ByteString>,
    call: Option<ToolCall>,
    result: Option<ToolResult>,
    /// A kind that only this dialect has, and the words in it.
    other: Option<(ByteString, Vec<Text>)>,
    /// The first field that is not known here.
    unknown: Option<ByteString>,
}

const FIELDS: &[&str] = &[
    "text",
    "thought",
    "thoughtSignature",
    "thought_signature",
    "inlineData",
    "inline_data",
    "fileData",
    "file_data",
    "functionCall",
    "function_call",
    "functionResponse",
    "function_response",
    "executableCode",
    "executable_code",
    "codeExecutionResult",
    "code_execution_result",
    "toolCall",
    "tool_call",
    "toolResponse",
    "tool_response",
    "mediaResolution",
    "media_resolution",
];

/// Reads one part.
pub(crate) fn part(scan: &mut Scan<'_>, out: &mut Vec<Part>) -> Scanned<()> {
    let mut said = Said::default();
    scan.next()?;
    let start = scan.place();
    scan.object(FIELDS, |scan, field, key| said.field(scan, field, &key))?;
    let raw = scan.share(scan.spelt(start..scan.place()));
    said.give(raw, out);
    Ok(())
}

impl Said {
    fn field<'a>(&mut self, scan: &mut Scan<'a>, field: &'static str, key: &Lit<'a>) -> Scanned<()> {
        let next = scan.next()?;
        let at = scan.place();
        match (field, next) {
            (_, Next::Null) => scan.skip().map(|_| ()),
            ("text", _) => {
                let lit = scan.string()?;
                once(&mut self.text, scan.text(&lit, TextForm::Plain)?, at)
            }
            ("thought", _) => once(&mut self.thought, scan.bool_or_null()?, at),
            ("thoughtSignature" | "thought_signature", _) => {
                let lit = scan.string()?;
                once(&mut self.signature, signature::read(&lit.value()?), at)
            }
            ("inlineData" | "inline_data", _) => once(&mut self.media, inline(scan)?, at),
            ("fileData" | "file_data", _) => once(&mut self.media, file(scan)?, at),
            ("functionCall" | "function_call", _) => once(&mut self.call, call(scan)?, at),
            ("functionResponse" | "function_response", _) => once(&mut self.result, result(scan)?, at),
            ("executableCode" | "executable_code", _) => {
                self.other(scan, "executableCode", &["code"], TextForm::Plain, at)
            }
            ("codeExecutionResult" | "code_execution_result", _) => {
                self.other(scan, "codeExecutionResult", &["output"], TextForm::Plain, at)
            }
            ("toolCall" | "tool_call", _) => self.other(scan, "toolCall", &["args"], TextForm::Document, at),
            ("toolResponse" | "tool_response", _) => {
                self.other(scan, "toolResponse", &["response"], TextForm::Document, at)
            }
            ("mediaResolution" | "media_resolution", Next::Object) => {
                let detail = detail(scan)?;
                once(&mut self.detail, detail, at)
            }
            ("", _) => {
                scan.skip()?;
                if self.unknown.is_none() {
                    self.unknown = Some(scan.shared(key)?);
                }
                Ok(())
            }
            _ => scan.skip().map(|_| ()),
        }
    }

    /// A step of a tool that the provider itself runs: its words stand in the field `holds`.
    fn other(
        &mut self,
        scan: &mut Scan<'_>,
        kind: &'static str,
        holds: &'static [&'static str],
        form: TextForm,
        at: usize,
    ) -> Scanned<()> {
        let mut texts = Vec::new();
        scan.object(holds, |scan, field, _| {
            match (form, scan.next()?) {
                _ if field.is_empty() => {
                    scan.skip()?;
                }
                (TextForm::Plain, Next::String) => {
                    let lit = scan.string()?;
                    texts.push(scan.text(&lit, form)?);
                }
                (TextForm::Document, Next::Object) => texts.push(document(scan)?),
                _ => {
                    scan.skip()?;
                }
            }
            Ok(())
        })?;
        once(&mut self.other, (ByteString::from_static(kind), texts), at)
    }

    fn give(self, raw: ByteString, out: &mut Vec<Part>) {
        let Self { text, thought, mut signature, media, detail, call, result, other, unknown } = self;
        let before = out.len();
        match text {
            Some(text) if thought == Some(true) => {
                out.push(Part::Reasoning(Reasoning { text, signature: signature.take() }));
            }
            // Nothing but the place of a signature.
            Some(text) if text.value.is_empty() && signature.is_some() => {}
            Some(text) => out.push(Part::Text(text)),
            None => {}
        }
        if let Some(mut call) = call {
            call.signature = signature.take();
            out.push(Part::ToolCall(call));
        }
        out.extend(result.map(Part::ToolResult));
        out.extend(media.map(|media| Part::Media(Media { detail, ..media })));
        out.extend(signature.map(Part::Sealed));
        match (other, unknown) {
            (Some((kind, texts)), _) => out.push(Part::Other { kind, texts, raw }),
            // Beside a known field it says more of that (`videoMetadata`).
            (None, Some(kind)) if out.len() == before => {
                out.push(Part::Other { kind, texts: Vec::new(), raw })
            }
            (None, _) => {}
        }
    }
}

/// A JSON value that stands as itself.
pub(crate) fn document(scan: &mut Scan<'_>) -> Scanned<Text> {
    let at = scan.skip()?;
    Ok(Text::at(scan.share(scan.spelt(at.clone())), place(at), TextForm::Document))
}

/// `inlineData`.
fn inline(scan: &mut Scan<'_>) -> Scanned<Media> {
    let (mut media_type, mut data, mut name) = (None, None, None);
    scan.object(&["mimeType", "mime_type", "data", "displayName", "display_name"], |scan, field, _| {
        match field {
            "mimeType" | "mime_type" => string(scan).map(|value| media_type = value),
            "data" => string(scan).map(|value| data = value),
            "displayName" | "display_name" => string(scan).map(|value| name = value),
            _ => scan.skip().map(|_| ()),
        }
    })?;
    let Some(data) = data else { return Err(scan.want("a field `data`")) };
    Ok(Media { kind: kind(media_type.as_deref()), source: Source::Base64(data), media_type, name, ..media() })
}

/// `fileData`: a file kept at the provider, or an address.
fn file(scan: &mut Scan<'_>) -> Scanned<Media> {
    let (mut media_type, mut uri, mut name) = (None, None, None);
    scan.object(
        &["mimeType", "mime_type", "fileUri", "file_uri", "displayName", "display_name"],
        |scan, field, _| match field {
            "mimeType" | "mime_type" => string(scan).map(|value| media_type = value),
            "fileUri" | "file_uri" => string(scan).map(|value| uri = value),
            "displayName" | "display_name" => string(scan).map(|value| name = value),
            _ => scan.skip().map(|_| ()),
        },
    )?;
    let Some(uri) = uri else { return Err(scan.want("a field `fileUri`")) };
    let source = if is_file(&uri) { Source::File(uri) } else { Source::Url(uri) };
    Ok(Media { kind: kind(media_type.as_deref()), source, media_type, name, ..media() })
}

/// Whether an address names a file that Google keeps.
pub(crate) fn is_file(uri: &str) -> bool {
    uri.starts_with("gs://")
        || uri.starts_with("files/")
        || uri
            .strip_prefix("https://")
            .is_some_and(|rest| rest.starts_with("generativelanguage.googleapis.com/"))
}

/// What media of this type are.
fn kind(media_type: Option<&str>) -> MediaKind {
    match media_type.and_then(|said| said.split('/').next()) {
        Some("image") => MediaKind::Image,
        Some("audio") => MediaKind::Audio,
        Some("video") => MediaKind::Video,
        _ => MediaKind::Document,
    }
}

/// Media without anything said of them.
pub(crate) fn media() -> Media {
    Media {
        kind: MediaKind::Document,
        source: Source::Url(ByteString::new()),
        media_type: None,
        name: None,
        detail: None,
        cite: false,
    }
}

/// `mediaResolution`: `{"level": "MEDIA_RESOLUTION_LOW"}`, as OpenAI names it.
fn detail(scan: &mut Scan<'_>) -> Scanned<ByteString> {
    let mut level = None;
    scan.object(&["level"], |scan, field, _| match (field, scan.next()?) {
        ("level", Next::String) => string(scan).map(|value| level = value),
        _ => scan.skip().map(|_| ()),
    })?;
    let name = match level.as_deref() {
        Some("MEDIA_RESOLUTION_LOW") => "low",
        Some("MEDIA_RESOLUTION_HIGH" | "MEDIA_RESOLUTION_ULTRA_HIGH") => "high",
        _ => "auto",
    };
    Ok(ByteString::from_static(name))
}

/// `functionCall`.
fn call(scan: &mut Scan<'_>) -> Scanned<ToolCall> {
    let nothing = Text { value: ByteString::from_static("{}"), at: None, form: TextForm::Document };
    let mut call =
        ToolCall { id: ByteString::new(), name: ByteString::new(), arguments: nothing, signature: None };
    scan.object(&["id", "name", "args", "partialArgs", "partial_args"], |scan, field, _| {
        match (field, scan.next()?) {
            ("id", _) => call.id = string(scan)?.unwrap_or_default(),
            ("name", _) => call.name = string(scan)?.unwrap_or_default(),
            ("args", Next::Object) => call.arguments = document(scan)?,
            ("args", Next::Null) => {
                scan.skip()?;
            }
            ("args", _) => return Err(scan.want("an object")),
            // Only who asks for pieces of arguments gets them, and they would pass unread.
            ("partialArgs" | "partial_args", Next::Array) => {
                scan.array(|scan, _| Err(scan.want("whole arguments, and no pieces of them")))?;
            }
            _ => {
                scan.skip()?;
            }
        }
        Ok(())
    })?;
    Ok(call)
}

/// `functionResponse`. Until it is known which call it answers, the tool's name stands for the call's id.
fn result(scan: &mut Scan<'_>) -> Scanned<ToolResult> {
    let (mut id, mut name) = (None, None);
    let mut out = ToolResult::default();
    let mut media = Vec::new();
    scan.object(&["id", "name", "response", "parts"], |scan, field, _| match (field, scan.next()?) {
        ("id", _) => string(scan).map(|value| id = value),
        ("name", _) => string(scan).map(|value| name = value),
        ("response", Next::Object) => {
            (out.parts, out.is_error) = response(scan)?;
            Ok(())
        }
        ("response", Next::Null) => scan.skip().map(|_| ()),
        ("response", _) => Err(scan.want("an object")),
        ("parts", _) => several(scan, |scan, _| part(scan, &mut media)),
        _ => scan.skip().map(|_| ()),
    })?;
    out.call = match id.filter(|id| !id.is_empty()) {
        Some(id) => id,
        None => minted::by_name(&name.unwrap_or_default()),
    };
    out.parts.append(&mut media);
    Ok(out)
}

/// What a tool said, and whether it failed. An object of the one field `output`, `result` or `error` is what stands there:
/// words are then words, not a document.
fn response(scan: &mut Scan<'_>) -> Scanned<(Vec<Part>, bool)> {
    enum Inner {
        Words(Text),
        Document(Range<usize>),
    }
    scan.next()?;
    let start = scan.place();
    let (mut fields, mut inner, mut is_error) = (0, None, false);
    scan.object(&[], |scan, _, key| {
        fields += 1;
        let name = key.value()?;
        is_error = name == "error";
        let is_inner = is_error || name == "output" || name == "result";
        inner = match scan.next()? {
            Next::String if is_inner => {
                let lit = scan.string()?;
                Some(Inner::Words(scan.text(&lit, TextForm::Plain)?))
            }
            Next::Object | Next::Array if is_inner => Some(Inner::Document(scan.skip()?)),
            _ => {
                scan.skip()?;
                None
            }
        };
        Ok(())
    })?;
    let all = start..scan.place();
    let at = |range: Range<usize>| {
        Text::at(scan.share(scan.spelt(range.clone())), place(range), TextForm::Document)
    };
    let (text, is_error) = match inner {
        Some(Inner::Words(text)) if fields == 1 => (text, is_error),
        Some(Inner::Document(range)) if fields == 1 => (at(range), is_error),
        _ => (at(all), false),
    };
    Ok((vec![Part::Text(text)], is_error))
}
