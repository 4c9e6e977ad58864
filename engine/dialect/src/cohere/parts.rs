//! What a message says, in requests and whole replies.

use crate::openai::parts::{at_url, other, tool_call};
use crate::scan::{Flaw, Next, Scan, Scanned, What, place};
use bytestring::ByteString;
use weir_message::{Citation, Media, MediaKind, Part, Source, Text, TextForm, ToolCall};

/// What was read of a message. Its fields may come in any order.
#[derive(Default)]
pub(super) struct Said {
    plan: Option<Text>,
    content: Vec<Part>,
    calls: Vec<ToolCall>,
    citations: Vec<(u64, Citation)>,
}

impl Said {
    /// Reads a field that may hold words.
    pub(super) fn field(&mut self, scan: &mut Scan<'_>, field: &str) -> Scanned<()> {
        match (field, scan.next()?) {
            ("content", _) => content(scan, &mut self.content),
            ("tool_plan", _) => {
                self.plan = scan.string_or_null()?.map(|lit| scan.text(&lit, TextForm::Plain)).transpose()?;
                Ok(())
            }
            ("tool_calls", Next::Array) => scan
                .array(|scan, _| {
                    self.calls.push(tool_call(scan)?);
                    Ok(())
                })
                .map(|_| ()),
            ("citations", Next::Array) => scan
                .array(|scan, _| {
                    self.citations.push(citation(scan)?);
                    Ok(())
                })
                .map(|_| ()),
            ("tool_calls" | "citations", next) if next != Next::Null => Err(scan.want("an array")),
            _ => scan.skip().map(|_| ()),
        }
    }

    /// All of it, in the order in which a model says it; citations behind the words that they back.
    pub(super) fn parts(self) -> Vec<Part> {
        let mut out = Vec::with_capacity(self.content.len() + self.calls.len() + self.citations.len() + 1);
        let plan = self.plan.filter(|text| !text.value.is_empty());
        out.extend(plan.map(|text| Part::Reasoning(text.into())));
        let mut citations = self.citations;
        citations.sort_by_key(|(at, _)| *at);
        let mut citations = citations.into_iter().peekable();
        for (n, part) in (0u64..).zip(self.content) {
            out.push(part);
            while let Some((_, citation)) = citations.next_if(|(at, _)| *at <= n) {
                out.push(Part::Citation(citation));
            }
        }
        out.extend(citations.map(|(_, citation)| Part::Citation(citation)));
        out.extend(self.calls.into_iter().map(Part::ToolCall));
        out
    }
}

/// `content`: a string, parts, or nothing.
pub(super) fn content(scan: &mut Scan<'_>, out: &mut Vec<Part>) -> Scanned<()> {
    match scan.next()? {
        Next::Null => scan.skip().map(|_| ()),
        Next::String => {
            let lit = scan.string()?;
            out.push(Part::Text(scan.text(&lit, TextForm::Plain)?));
            Ok(())
        }
        Next::Array => scan.array(|scan, _| part(scan, out)).map(|_| ()),
        Next::Object => part(scan, out),
        _ => Err(scan.want("a string or an array of parts")),
    }
}

/// One part. Whatever its type says, its words are read: who sends them elsewhere cannot hide them here.
fn part(scan: &mut Scan<'_>, out: &mut Vec<Part>) -> Scanned<()> {
    let mut kind = ByteString::new();
    let before = out.len();
    scan.object(&["type", "text", "thinking", "image_url", "document"], |scan, field, _| {
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
            "thinking" => {
                if let Some(lit) = scan.string_or_null()? {
                    out.push(Part::Reasoning(scan.text(&lit, TextForm::Plain)?.into()));
                }
            }
            "image_url" => out.push(Part::Media(at_url(scan, MediaKind::Image)?)),
            "document" => out.push(Part::Media(document(scan)?)),
            _ => {
                scan.skip()?;
            }
        }
        Ok(())
    })?;
    if out.len() == before && !matches!(&*kind, "text" | "thinking") {
        out.push(other(kind));
    }
    Ok(())
}

/// A document: words, or an object whose `data` has fields. Where `text` is the only one, it is the words.
pub(super) fn document(scan: &mut Scan<'_>) -> Scanned<Media> {
    let (mut text, mut name) = (None, None);
    if scan.next()? == Next::String {
        let lit = scan.string()?;
        text = Some(scan.text(&lit, TextForm::Plain)?);
    } else {
        let start = scan.place();
        scan.object(&["data", "id"], |scan, field, _| {
            match (field, scan.next()?) {
                ("data", Next::Object) => text = Some(data(scan)?),
                ("data", Next::String) => {
                    let lit = scan.string()?;
                    text = Some(scan.text(&lit, TextForm::Plain)?);
                }
                ("data", _) => return Err(scan.want("an object or a string")),
                ("id", Next::String) => {
                    let lit = scan.string()?;
                    name = Some(scan.shared(&lit)?);
                }
                _ => {
                    scan.skip()?;
                }
            }
            Ok(())
        })?;
        if text.is_none() {
            return Err(Flaw::new(What::Field("data"), start));
        }
    }
    let source = Source::Text(text.unwrap_or_else(|| Text::added("")));
    Ok(Media { kind: MediaKind::Document, source, media_type: None, name, detail: None, cite: false })
}

/// The fields of a document.
fn data(scan: &mut Scan<'_>) -> Scanned<Text> {
    let start = scan.place();
    let (mut fields, mut only) = (0, None);
    scan.object(&["text"], |scan, field, _| {
        fields += 1;
        if field == "text" && scan.next()? == Next::String {
            let lit = scan.string()?;
            only = Some(scan.text(&lit, TextForm::Plain)?);
            return Ok(());
        }
        scan.skip().map(|_| ())
    })?;
    let at = start..scan.place();
    Ok(match only {
        Some(text) if fields == 1 => text,
        _ => Text::at(scan.share(scan.spelt(at.clone())), place(at), TextForm::Document),
    })
}

/// A citation, and the content block whose words it backs.
pub(super) fn citation(scan: &mut Scan<'_>) -> Scanned<(u64, Citation)> {
    let (mut from, mut to, mut block) = (None, None, 0);
    let mut out = Citation::default();
    scan.object(&["start", "end", "sources", "content_index"], |scan, field, _| {
        match (field, scan.next()?) {
            ("start", _) => from = scan.count()?,
            ("end", _) => to = scan.count()?,
            ("content_index", _) => block = scan.count()?.unwrap_or_default(),
            ("sources", Next::Array) => {
                // The first source speaks for all.
                scan.array(|scan, n| if n == 0 { source(scan, &mut out) } else { scan.skip().map(|_| ()) })?;
            }
            _ => {
                scan.skip()?;
            }
        }
        Ok(())
    })?;
    out.span = from.zip(to).map(|(from, to)| from..to);
    Ok((block, out))
}

/// What backs a citation: a document, or what a tool gave back.
fn source(scan: &mut Scan<'_>, out: &mut Citation) -> Scanned<()> {
    let mut id = None;
    scan.object(&["id", "document", "tool_output"], |scan, field, _| match (field, scan.next()?) {
        ("id", Next::String) => {
            let lit = scan.string()?;
            id = Some(scan.shared(&lit)?);
            Ok(())
        }
        ("document" | "tool_output", Next::Object) => scan
            .object(&["title", "url", "snippet", "text"], |scan, field, _| {
                if scan.next()? != Next::String {
                    return scan.skip().map(|_| ());
                }
                let lit = scan.string()?;
                let value = scan.shared(&lit)?;
                match field {
                    "title" => out.title = Some(value),
                    "url" => out.url = Some(value),
                    "snippet" | "text" => out.quote = Some(value),
                    _ => {}
                }
                Ok(())
            })
            .map(|_| ()),
        _ => scan.skip().map(|_| ()),
    })?;
    out.title = out.title.take().or(id);
    Ok(())
}
