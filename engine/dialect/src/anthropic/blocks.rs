//! Content blocks, in requests, whole replies and the beginnings of streamed blocks
//! (platform.claude.com/docs/en/api/messages).

use crate::openai::parts::cache_point;
use crate::scan::{Flaw, Lit, Next, Scan, Scanned, What, place};
use bytestring::ByteString;
use weir_message::{
    CachePoint, Citation, Media, MediaKind, Part, Reasoning, Source, Text, TextForm, ToolCall, ToolResult,
};

/// The fields of a block that are read, whatever its type says.
const FIELDS: &[&str] = &[
    "type",
    "text",
    "thinking",
    "signature",
    "data",
    "id",
    "name",
    "input",
    "tool_use_id",
    "content",
    "is_error",
    "source",
    "title",
    "context",
    "stdout",
    "stderr",
    "lines",
    "citations",
    "cache_control",
];

/// `content`: words, blocks, or nothing.
pub(crate) fn content(scan: &mut Scan<'_>, out: &mut Vec<Part>) -> Scanned<()> {
    match scan.next()? {
        Next::Null => scan.skip().map(|_| ()),
        Next::String => {
            let lit = scan.string()?;
            out.push(Part::Text(scan.text(&lit, TextForm::Plain)?));
            Ok(())
        }
        Next::Array => scan.array(|scan, _| block(scan, out)).map(|_| ()),
        // What a provider's tool gave back is one block.
        Next::Object => block(scan, out),
        _ => Err(scan.want("a string or an array of blocks")),
    }
}

/// One block. Words in fields that its type does not have are read too: who sends it elsewhere cannot hide them here.
pub(crate) fn block(scan: &mut Scan<'_>, out: &mut Vec<Part>) -> Scanned<()> {
    scan.next()?;
    let start = scan.place();
    let mut said = Said::default();
    scan.object(FIELDS, |scan, field, _| said.field(scan, field))?;
    said.parts(scan.share(scan.spelt(start..scan.place())), start, out)
}

/// What the fields of a block say.
#[derive(Default)]
struct Said {
    kind: Option<ByteString>,
    text: Option<Text>,
    thinking: Option<Text>,
    signature: Option<ByteString>,
    data: Option<ByteString>,
    id: Option<ByteString>,
    name: Option<ByteString>,
    input: Option<Text>,
    call: Option<ByteString>,
    content: Vec<Part>,
    is_error: bool,
    source: Option<Located>,
    /// Words in other fields.
    words: Vec<Text>,
    citations: Vec<Citation>,
    cite: bool,
    cache: Option<CachePoint>,
}

impl Said {
    fn field(&mut self, scan: &mut Scan<'_>, field: &str) -> Scanned<()> {
        match (field, scan.next()?) {
            ("type", _) => self.kind = Some(shared(scan)?),
            ("text", _) => self.text = text(scan)?,
            ("thinking", _) => self.thinking = text(scan)?,
            // Reasoning of others has none, and says so with an empty one.
            ("signature", Next::String) => {
                self.signature = Some(shared(scan)?).filter(|said| !said.is_empty())
            }
            ("data", Next::String) => self.data = Some(shared(scan)?),
            ("id", _) => self.id = Some(shared(scan)?),
            ("name", _) => self.name = Some(shared(scan)?),
            ("tool_use_id", _) => self.call = Some(shared(scan)?),
            ("input", Next::Object) => {
                let at = scan.skip()?;
                let value = scan.share(scan.spelt(at.clone()));
                self.input = Some(Text::at(value, place(at), TextForm::Document));
            }
            ("input", Next::Null) => {
                scan.skip()?;
            }
            ("input", _) => return Err(scan.want("an object")),
            ("content", _) => content(scan, &mut self.content)?,
            ("is_error", _) => self.is_error = scan.bool_or_null()?,
            ("source", Next::Object) => self.source = Some(Located::read(scan)?),
            ("lines", Next::Array) => {
                let words = &mut self.words;
                scan.array(|scan, _| {
                    words.extend(text(scan)?);
                    Ok(())
                })?;
            }
            ("title" | "context" | "stdout" | "stderr" | "source", Next::String) => {
                self.words.extend(text(scan)?);
            }
            ("citations", Next::Array) => {
                let citations = &mut self.citations;
                scan.array(|scan, _| {
                    citations.push(citation(scan)?);
                    Ok(())
                })?;
            }
            ("citations", Next::Object) => {
                scan.object(&["enabled"], |scan, field, _| match field {
                    "enabled" => {
                        self.cite = scan.bool_or_null()?;
                        Ok(())
                    }
                    _ => scan.skip().map(|_| ()),
                })?;
            }
            ("cache_control", _) => self.cache = cache_point(scan)?,
            _ => {
                scan.skip()?;
            }
        }
        Ok(())
    }

    /// The parts that the block, spelt `raw`, is made of.
    fn parts(mut self, raw: ByteString, at: usize, out: &mut Vec<Part>) -> Scanned<()> {
        let missing = |want| Flaw::new(What::Want(want), at);
        let kind = self.kind.take().ok_or(missing("a field `type`"))?;
        match &*kind {
            "text" => {
                out.push(Part::Text(self.text.take().ok_or(missing("a field `text`"))?));
                out.extend(self.citations.drain(..).map(Part::Citation));
            }
            "thinking" => {
                let text = self.thinking.take().ok_or(missing("a field `thinking`"))?;
                out.push(Part::Reasoning(Reasoning { text, signature: self.signature.take() }));
            }
            "redacted_thinking" => {
                out.push(Part::Sealed(self.data.take().ok_or(missing("a field `data`"))?));
            }
            "tool_use" => out.push(Part::ToolCall(ToolCall {
                id: self.id.take().ok_or(missing("a field `id`"))?,
                name: self.name.take().ok_or(missing("a field `name`"))?,
                arguments: self.input.take().unwrap_or_else(nothing),
                signature: None,
            })),
            "tool_result" => out.push(Part::ToolResult(ToolResult {
                call: self.call.take().ok_or(missing("a field `tool_use_id`"))?,
                parts: std::mem::take(&mut self.content),
                is_error: self.is_error,
            })),
            "image" => {
                let source = self.source.take().ok_or(missing("a field `source`"))?;
                source.media(MediaKind::Image, false, out).ok_or(missing("a source of a type known here"))?;
            }
            "document" => {
                // The model reads title and context in front of the document.
                out.extend(self.words.drain(..).map(Part::Text));
                let source = self.source.take().ok_or(missing("a field `source`"))?;
                source
                    .media(MediaKind::Document, self.cite, out)
                    .ok_or(missing("a source of a type known here"))?;
            }
            "search_result" => {
                out.extend(self.words.drain(..).map(Part::Text));
                documents(&mut self.content, self.cite, out);
            }
            _ => {
                let mut texts: Vec<Text> = [self.text.take(), self.thinking.take(), self.input.take()]
                    .into_iter()
                    .flatten()
                    .chain(self.words.drain(..))
                    .chain(self.source.take().and_then(|source| source.data))
                    .collect();
                gather(std::mem::take(&mut self.content), &mut texts);
                out.push(Part::Other { kind, texts, raw });
            }
        }
        let rest = [self.text, self.thinking].into_iter().flatten().chain(self.words);
        out.extend(rest.map(Part::Text));
        out.extend(self.content);
        out.extend(self.cache.map(Part::CachePoint));
        Ok(())
    }
}

/// The `source` of an image or a document.
#[derive(Default)]
struct Located {
    kind: ByteString,
    media_type: Option<ByteString>,
    data: Option<Text>,
    url: Option<ByteString>,
    file: Option<ByteString>,
    content: Vec<Part>,
}

impl Located {
    fn read(scan: &mut Scan<'_>) -> Scanned<Self> {
        let mut out = Self::default();
        scan.object(&["type", "media_type", "data", "url", "file_id", "content"], |scan, field, _| {
            match (field, scan.next()?) {
                ("type", _) => out.kind = shared(scan)?,
                ("media_type", Next::String) => out.media_type = Some(shared(scan)?),
                ("data", _) => out.data = text(scan)?,
                ("url", _) => out.url = Some(shared(scan)?),
                ("file_id", _) => out.file = Some(shared(scan)?),
                ("content", _) => content(scan, &mut out.content)?,
                _ => {
                    scan.skip()?;
                }
            }
            Ok(())
        })?;
        Ok(out)
    }

    /// The media that it is the source of; `None` if it says no place that is known here.
    fn media(self, kind: MediaKind, cite: bool, out: &mut Vec<Part>) -> Option<()> {
        let source = match (&*self.kind, self.data) {
            ("base64", Some(data)) => Source::Base64(data.value),
            ("text", Some(data)) => Source::Text(data),
            ("url", _) => Source::Url(self.url?),
            ("file", _) => Source::File(self.file?),
            ("content", _) => {
                documents(&mut { self.content }, cite, out);
                return Some(());
            }
            _ => return None,
        };
        let media_type = self.media_type;
        out.push(Part::Media(Media { kind, source, media_type, name: None, detail: None, cite }));
        Some(())
    }
}

/// The pieces of a document, each a document of its own; images stay what they are.
fn documents(content: &mut Vec<Part>, cite: bool, out: &mut Vec<Part>) {
    out.extend(content.drain(..).map(|part| match part {
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
}

/// The words of parts.
fn gather(parts: Vec<Part>, out: &mut Vec<Text>) {
    for part in parts {
        match part {
            Part::Text(text)
            | Part::Refusal(text)
            | Part::Reasoning(Reasoning { text, .. })
            | Part::ToolCall(ToolCall { arguments: text, .. })
            | Part::Media(Media { source: Source::Text(text), .. }) => out.push(text),
            Part::Other { texts, .. } => out.extend(texts),
            Part::ToolResult(result) => gather(result.parts, out),
            Part::Sealed(_) | Part::Media(_) | Part::Citation(_) | Part::CachePoint(_) => {}
        }
    }
}

/// A citation of a text.
pub(crate) fn citation(scan: &mut Scan<'_>) -> Scanned<Citation> {
    let mut out = Citation::default();
    scan.next()?;
    let start = scan.place();
    scan.object(&["cited_text", "title", "document_title", "url", "source"], |scan, field, _| {
        if scan.next()? != Next::String {
            return scan.skip().map(|_| ());
        }
        let value = shared(scan)?;
        match field {
            "cited_text" => out.quote = Some(value),
            "title" | "document_title" => out.title = Some(value),
            "url" | "source" => out.url = Some(value),
            _ => {}
        }
        Ok(())
    })?;
    out.raw = Some(scan.share(scan.spelt(start..scan.place())));
    Ok(out)
}

fn text(scan: &mut Scan<'_>) -> Scanned<Option<Text>> {
    scan.string_or_null()?.map(|lit| scan.text(&lit, TextForm::Plain)).transpose()
}

fn shared(scan: &mut Scan<'_>) -> Scanned<ByteString> {
    let lit: Lit<'_> = scan.string()?;
    scan.shared(&lit)
}

/// The arguments of a call that has none.
fn nothing() -> Text {
    Text { form: TextForm::Document, ..Text::added("{}") }
}
