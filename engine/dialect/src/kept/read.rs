//! Every string of a body that has no form of its own.

use crate::beside;
use crate::form;
use crate::scan::{Scanned, place};
use bytes::Bytes;
use bytestring::ByteString;
use http::{HeaderMap, header};
use weir_message::{Beside, Text, TextForm, TextRole};

/// What was found in a body.
#[derive(Default)]
pub(super) struct Found {
    /// Plain text.
    pub(super) words: Vec<Text>,
    /// Strings of JSON, and fields of forms.
    pub(super) beside: Vec<Beside>,
}

/// What a body is said to be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// JSON, or lines of it.
    Json,
    /// Any text.
    Text,
    /// Nothing is said: it is looked at.
    Unsaid,
    /// Something that is not read.
    Other,
}

impl Kind {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut all = headers.get_all(header::CONTENT_TYPE).iter();
        if headers.contains_key(header::CONTENT_ENCODING) {
            return Self::Other;
        }
        let (said, None) = (all.next(), all.next()) else { return Self::Other };
        let Some(said) = said else { return Self::Unsaid };
        let Ok(said) = said.to_str() else { return Self::Other };
        let (kind, parameters) = said.split_once(';').unwrap_or((said, ""));
        // Other letters than those of UTF-8 would be read otherwise there.
        let charset = parameters.to_ascii_lowercase();
        if charset.contains("charset") && !charset.contains("utf-8") && !charset.contains("us-ascii") {
            return Self::Other;
        }
        match kind.trim().to_ascii_lowercase().as_str() {
            "application/json" | "application/jsonl" | "application/x-jsonl" | "application/x-ndjson" => {
                Self::Json
            }
            kind if kind.ends_with("+json") => Self::Json,
            // What a provider keeps comes back as bytes, whatever they are.
            "application/octet-stream" | "binary/octet-stream" | "" => Self::Unsaid,
            kind if kind.starts_with("text/") => Self::Text,
            _ => Self::Other,
        }
    }
}

/// The strings of a body that stands `at` in what is edited. `None` if it cannot be read.
pub(super) fn whole(raw: &Bytes, at: usize, kind: Kind) -> Scanned<Option<Found>> {
    let mut found = Found::default();
    if raw.is_empty() {
        return Ok(Some(found));
    }
    if kind == Kind::Other {
        return Ok(None);
    }
    let Ok(text) = ByteString::try_from(raw.clone()) else { return Ok(None) };
    // A mark of the order of bytes is no part of the text.
    if text.contains('\0') {
        return Ok(None);
    }
    match (json(&text, at), kind) {
        (Ok(strings), _) => found.beside = strings,
        (Err(flaw), Kind::Json) => return Err(flaw),
        (Err(_), _) => {
            found.words.push(Text::at(text, place(at..at + raw.len()), TextForm::Bare));
        }
    }
    Ok(Some(found))
}

/// The strings of one JSON text, or of lines of them.
fn json(text: &ByteString, at: usize) -> Scanned<Vec<Beside>> {
    let mut found = Vec::new();
    match beside::strings(text, at, &mut found) {
        Ok(()) => Ok(found),
        Err(flaw) => {
            found.clear();
            // One value over several lines is no line of JSON: which of the two it was to be is not known.
            for (start, line) in lines(text) {
                beside::strings(&line, at + start, &mut found).map_err(|_| flaw.clone())?;
            }
            Ok(found)
        }
    }
}

/// The lines of a text that are not blank, and where each begins.
pub(super) fn lines(text: &ByteString) -> impl Iterator<Item = (usize, ByteString)> {
    let mut at = 0;
    text.split_inclusive('\n').filter_map(move |line| {
        let start = at;
        at += line.len();
        let line = line.trim_end_matches(['\n', '\r']);
        (!line.trim_ascii().is_empty()).then(|| (start, text.slice_ref(line)))
    })
}

/// The strings of a form: its fields' texts, and its files where those are text. `None` if one cannot be read.
pub(super) fn form(raw: &Bytes, boundary: &str) -> Scanned<Option<Found>> {
    let mut all = Found::default();
    for field in form::read(raw, boundary)? {
        let value = raw.slice(field.at.clone());
        if field.is_file {
            let Some(found) = whole(&value, field.at.start, Kind::Unsaid)? else { return Ok(None) };
            all.words.extend(found.words);
            all.beside.extend(found.beside);
            continue;
        }
        let Ok(value) = ByteString::try_from(value) else { return Ok(None) };
        if beside::of_form(&field.name, &value).is_some() {
            let text = Text::at(value, place(field.at), TextForm::Bare);
            all.beside.push(Beside { role: TextRole::Field, text });
        }
    }
    Ok(Some(all))
}
