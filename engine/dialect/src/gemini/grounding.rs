//! Where Gemini's words come from (ai.google.dev/api/generate-content#v1beta.GroundingMetadata), as citations and back.
//!
//! Gemini says which bytes of a part are backed, messages say which characters of the text.

use super::parts::document;
use crate::compose::Object;
use crate::scan::{Next, Scan, Scanned};
use bytestring::ByteString;
use std::ops::Range;
use weir_message::{Citation, Part, Text, TextForm};

/// The field of a candidate that says it.
pub(crate) const METADATA: &str = "groundingMetadata";

/// What a candidate says of its sources.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// The words of each part, if it has any.
    pub(crate) parts: Vec<Option<ByteString>>,
    /// Sources that the answer may rest on.
    chunks: Vec<Citation>,
    /// Which words rest on which of them.
    supports: Vec<(Segment, Vec<usize>)>,
    /// Which words are another's.
    repeats: Vec<(Segment, Citation)>,
}

impl Sources {
    /// The citations, given the words of each part.
    pub(crate) fn citations<'a>(&self, words: impl Fn(usize) -> Option<&'a str>) -> Vec<Citation> {
        let at = |segment: &Segment, source: &Citation| {
            let part = usize::try_from(segment.part).unwrap_or(usize::MAX);
            let span = segment.end.and_then(|end| characters(words(part)?, segment.start..end));
            Citation { span, ..source.clone() }
        };
        let mut out = Vec::new();
        if self.supports.is_empty() {
            out.extend(self.chunks.iter().cloned());
        }
        for (segment, by) in &self.supports {
            out.extend(by.iter().filter_map(|n| self.chunks.get(*n)).map(|source| at(segment, source)));
        }
        out.extend(self.repeats.iter().map(|(segment, source)| at(segment, source)));
        out
    }
}

/// Puts the citations of a whole reply behind the words that they are for.
pub(crate) fn place(sources: Sources, parts: &mut Vec<Part>) {
    let citations = sources.citations(|n| sources.parts.get(n)?.as_deref());
    let behind = parts.iter().rposition(|part| matches!(part, Part::Text(_))).map_or(0, |n| n + 1);
    parts.splice(behind..behind, citations.into_iter().map(Part::Citation));
}

/// Bytes of a text as characters; nothing if they are not of it.
fn characters(text: &str, bytes: Range<u64>) -> Option<Range<u64>> {
    let start = usize::try_from(bytes.start).ok()?;
    let end = usize::try_from(bytes.end).ok()?;
    let before = text.get(..start)?.chars().count() as u64;
    Some(before..before + text.get(start..end)?.chars().count() as u64)
}

/// Characters of a text as bytes; nothing if they are not of it.
fn bytes(text: &str, characters: &Range<u64>) -> Option<Range<usize>> {
    let mut places = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    let start = places.nth(usize::try_from(characters.start).ok()?)?;
    let length = usize::try_from(characters.end.checked_sub(characters.start)?).ok()?;
    let end = if length == 0 { start } else { places.nth(length - 1)? };
    Some(start..end)
}

/// Reads `groundingMetadata`. It is a part of its own: it repeats words, and quotes others.
pub(crate) fn metadata(scan: &mut Scan<'_>, sources: &mut Sources) -> Scanned<Part> {
    let mut texts = Vec::new();
    scan.next()?;
    let start = scan.place();
    scan.object(
        &["groundingChunks", "groundingSupports", "webSearchQueries", "retrievalQueries", "searchEntryPoint"],
        |scan, field, _| match (field, scan.next()?) {
            ("groundingChunks", Next::Array) => scan
                .array(|scan, _| {
                    sources.chunks.push(chunk(scan, &mut texts)?);
                    Ok(())
                })
                .map(|_| ()),
            ("groundingSupports", Next::Array) => {
                scan.array(|scan, _| support(scan, sources, &mut texts)).map(|_| ())
            }
            ("webSearchQueries" | "retrievalQueries", Next::Array) => {
                scan.array(|scan, _| text(scan, &mut texts)).map(|_| ())
            }
            ("searchEntryPoint", Next::Object) => {
                texts.push(document(scan)?);
                Ok(())
            }
            _ => scan.skip().map(|_| ()),
        },
    )?;
    let raw = scan.share(scan.spelt(start..scan.place()));
    Ok(Part::Other { kind: ByteString::from_static(METADATA), texts, raw })
}

/// Reads a string as a text.
fn text(scan: &mut Scan<'_>, texts: &mut Vec<Text>) -> Scanned<()> {
    if scan.next()? != Next::String {
        return scan.skip().map(|_| ());
    }
    let lit = scan.string()?;
    texts.push(scan.text(&lit, TextForm::Plain)?);
    Ok(())
}

/// A source: a page, a document or a place, each under a name of its own.
fn chunk(scan: &mut Scan<'_>, texts: &mut Vec<Text>) -> Scanned<Citation> {
    let mut out = Citation::default();
    scan.object(&["web", "retrievedContext", "maps", "image"], |scan, field, _| {
        if field.is_empty() || scan.next()? != Next::Object {
            return scan.skip().map(|_| ());
        }
        scan.object(&["uri", "sourceUri", "title", "text"], |scan, field, _| {
            if field.is_empty() || scan.next()? != Next::String {
                return scan.skip().map(|_| ());
            }
            let lit = scan.string()?;
            let value = scan.shared(&lit)?;
            match field {
                "title" => out.title = Some(value),
                "text" => {
                    texts.push(scan.text(&lit, TextForm::Plain)?);
                    out.quote = Some(value);
                }
                _ => out.url = Some(value),
            }
            Ok(())
        })
        .map(|_| ())
    })?;
    Ok(out)
}

/// Which bytes of which part.
#[derive(Debug, Default)]
struct Segment {
    part: u64,
    start: u64,
    end: Option<u64>,
}

fn support(scan: &mut Scan<'_>, sources: &mut Sources, texts: &mut Vec<Text>) -> Scanned<()> {
    let (mut segment, mut by) = (Segment::default(), Vec::new());
    scan.object(&["segment", "groundingChunkIndices"], |scan, field, _| match (field, scan.next()?) {
        ("segment", Next::Object) => scan
            .object(&["partIndex", "startIndex", "endIndex", "text"], |scan, field, _| match field {
                "partIndex" => scan.count().map(|n| segment.part = n.unwrap_or(0)),
                "startIndex" => scan.count().map(|n| segment.start = n.unwrap_or(0)),
                "endIndex" => scan.count().map(|n| segment.end = n),
                "text" => text(scan, texts),
                _ => scan.skip().map(|_| ()),
            })
            .map(|_| ()),
        ("groundingChunkIndices", Next::Array) => scan
            .array(|scan, _| {
                by.extend(scan.count()?.and_then(|n| usize::try_from(n).ok()));
                Ok(())
            })
            .map(|_| ()),
        _ => scan.skip().map(|_| ()),
    })?;
    sources.supports.push((segment, by));
    Ok(())
}

/// Reads `citationMetadata`: texts that the answer repeats, and where they stand.
pub(crate) fn citations(scan: &mut Scan<'_>, sources: &mut Sources) -> Scanned<()> {
    scan.object(&["citationSources", "citations"], |scan, field, _| {
        if field.is_empty() || scan.next()? != Next::Array {
            return scan.skip().map(|_| ());
        }
        scan.array(|scan, _| {
            let (mut segment, mut out) = (Segment::default(), Citation::default());
            scan.object(&["startIndex", "endIndex", "uri", "title"], |scan, field, _| {
                match (field, scan.next()?) {
                    ("startIndex", _) => segment.start = scan.count()?.unwrap_or(0),
                    ("endIndex", _) => segment.end = scan.count()?,
                    ("uri" | "title", Next::String) => {
                        let lit = scan.string()?;
                        let value = Some(scan.shared(&lit)?);
                        if field == "uri" { out.url = value } else { out.title = value }
                    }
                    _ => {
                        scan.skip()?;
                    }
                }
                Ok(())
            })?;
            sources.repeats.push((segment, out));
            Ok(())
        })
        .map(|_| ())
    })
    .map(|_| ())
}

/// A citation, and the words in front of it with the number of their part.
pub(crate) type Cited<'a> = (&'a Citation, usize, &'a str);

/// Writes citations as `groundingMetadata`.
pub(crate) fn write(o: &mut Object<'_>, cited: &[Cited<'_>]) {
    o.object(METADATA, |o| {
        o.array("groundingChunks", |a| {
            for (citation, ..) in cited {
                a.object(|o| {
                    o.object(if citation.quote.is_some() { "retrievedContext" } else { "web" }, |o| {
                        o.string_if("uri", citation.url.as_deref());
                        o.string_if("title", citation.title.as_deref());
                        o.string_if("text", citation.quote.as_deref());
                    });
                });
            }
        });
        o.array("groundingSupports", |a| {
            for (n, (citation, part, text)) in cited.iter().enumerate() {
                let Some(at) = citation.span.as_ref().and_then(|span| bytes(text, span)) else { continue };
                a.object(|o| {
                    o.object("segment", |o| {
                        o.number_if("partIndex", Some(*part as u64).filter(|part| *part > 0));
                        o.number("startIndex", at.start as u64).number("endIndex", at.end as u64);
                        o.string("text", text.get(at).unwrap_or_default());
                    });
                    o.array("groundingChunkIndices", |a| a.raw(&n.to_string()));
                });
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_characters_are_each_others() {
        let text = "Größe: 3 m — weit";
        for start in 0..text.chars().count() as u64 {
            let span = start..start + 2;
            let Some(at) = bytes(text, &span) else { continue };
            assert_eq!(characters(text, at.start as u64..at.end as u64), Some(span));
        }
        assert_eq!(bytes(text, &(0..99)), None);
        assert_eq!(characters(text, 3..4), None, "inside a character");
    }
}
