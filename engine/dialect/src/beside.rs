//! Every string of a request's body that its typed form has no place for: descriptions of tools, words of schemas, names,
//! metadata, parts and fields of kinds not known here. A provider may show them to its model, so guards see them too.
//!
//! What only names a choice of the API (`type`, ids, formats), signs in at a provider's tool, ends an answer (`stop`) or holds
//! bytes in Base64 is left out; so are the names of fields themselves.

use crate::fields::is_base64;
use crate::scan::{Next, Scan, Scanned, place};
use bytestring::ByteString;
use std::ops::Range;
use weir_message::{Beside, Body, Request, Role, TextForm, TextRole};

/// Fields that are left out wherever they stand: they sign in at a provider's tool, or end an answer.
const QUIET: &[&str] =
    &["authorization", "authorization_token", "headers", "stop", "stop_sequences", "stopSequences"];

/// Fields whose strings are ids, or choices among words of the API. What looks like neither is read.
const CHOICES: &[&str] = &[
    "id",
    "model",
    "object",
    "status",
    "ttl",
    "detail",
    "effort",
    "reasoning_effort",
    "service_tier",
    "verbosity",
    "truncation",
    "modalities",
    "responseModalities",
    "response_modalities",
    "tool_choice",
    "function_call",
    "format",
    "encoding_format",
    "input_type",
    "include",
    "media_type",
    "mime_type",
    "mimeType",
    "response_mime_type",
    "responseMimeType",
    "voice",
    "category",
    "threshold",
    "mode",
    "safety_mode",
    "language",
    "outcome",
    "level",
    "taskType",
    "task_type",
    "truncate",
    "embedding_types",
    "latency",
    "conversation",
    "qualifiers",
    "stream_format",
    "size",
    "quality",
    "style",
    "background",
    "moderation",
    "input_fidelity",
    "timestamp_granularities",
    "anthropic_beta",
    "guardrailIdentifier",
    "guardrailVersion",
];

/// Fields that hold bytes, or what only its provider can read, if their strings look it.
const BYTES: &[&str] = &[
    "data",
    "bytes",
    "file_data",
    "b64_json",
    "image",
    "mask",
    "result",
    "signature",
    "thought_signature",
    "thoughtSignature",
    "encrypted_content",
    "encrypted_index",
    "redactedContent",
];

/// Fields that say what a tool or the form of an answer is, as schemas do: prose in descriptions, words elsewhere.
const DEFINITIONS: &[&str] = &[
    "tools",
    "functions",
    "response_format",
    "output_format",
    "output_config",
    "json_schema",
    "schema",
    "responseSchema",
    "response_schema",
    "responseJsonSchema",
    "response_json_schema",
    "guided_json",
];

/// Fields that name a form of the answer where they do not describe it.
const FORMATS: &[&str] = &["response_format", "output_format"];

/// Fields of the client's own bookkeeping: all of them are words, whatever they are called.
const LABELS: &[&str] = &["metadata", "labels", "requestMetadata", "request_metadata", "user_location"];

/// Fields that name somebody or something.
const NAMES: &[&str] = &[
    "name",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "allowedFunctionNames",
    "allowed_function_names",
    "url",
    "uri",
    "fileUri",
    "file_uri",
    "file_url",
    "filename",
    "image_url",
];

/// Reads them. A body without a typed form has none beside it.
pub(crate) fn read(request: &mut Request, whole: &ByteString) -> Scanned<()> {
    if matches!(request.body, Body::Unread | Body::Opaque) {
        return Ok(());
    }
    let mut typed = Vec::new();
    request.each_text(|at| typed.extend(at.text.at.clone()));
    typed.sort_unstable_by_key(|at| at.start);
    let mut reader = Reader { typed, passed: 0, found: Vec::new() };
    reader.value(&mut Scan::all(whole)?, "", Area::Free)?;
    request.beside = reader.found;
    Ok(())
}

/// Adds every string of a JSON text that stands `at` in what is edited.
pub(crate) fn strings(whole: &ByteString, at: usize, found: &mut Vec<Beside>) -> Scanned<()> {
    let mut reader = Reader { typed: Vec::new(), passed: 0, found: Vec::new() };
    let mut scan = Scan::all(whole)?;
    reader.value(&mut scan, "", Area::Free)?;
    scan.end()?;
    let by = place(at..at).start;
    found.extend(reader.found.into_iter().map(|mut beside| {
        beside.text.at = beside.text.at.map(|at| at.start.saturating_add(by)..at.end.saturating_add(by));
        beside
    }));
    Ok(())
}

/// What a field of a form is for that its typed form has no place for; `None` if it is left out. Of a list (`include[]`) each
/// item is a field.
pub(crate) fn of_form(name: &str, value: &str) -> Option<TextRole> {
    let name = name.strip_suffix("[]").unwrap_or(name);
    let is_bare = value.parse::<f64>().is_ok() || matches!(value, "" | "true" | "false" | "null");
    (!is_bare).then(|| role(name, Area::Free.below(name), value)).flatten()
}

/// What a value is part of.
#[derive(Clone, Copy, PartialEq)]
enum Area {
    Free,
    Definition,
    Labels,
}

struct Reader {
    /// Where the texts of the typed form stand, in order.
    typed: Vec<Range<u32>>,
    /// How many of them are behind.
    passed: usize,
    found: Vec<Beside>,
}

impl Reader {
    /// Whether the value that starts here has its place in the typed form.
    fn is_typed(&mut self, start: u32) -> bool {
        while self.typed.get(self.passed).is_some_and(|at| at.start < start) {
            self.passed += 1;
        }
        self.typed.get(self.passed).is_some_and(|at| at.start == start)
    }

    /// Reads a value under a key; items of an array stand under the array's.
    fn value(&mut self, scan: &mut Scan<'_>, key: &str, area: Area) -> Scanned<()> {
        let next = scan.next()?;
        if matches!(next, Next::Number | Next::Bool | Next::Null)
            || self.is_typed(place(scan.place()..scan.place()).start)
        {
            return scan.skip().map(|_| ());
        }
        match next {
            Next::Array => scan.array(|scan, _| self.value(scan, key, area)).map(|_| ()),
            Next::Object => self.object(scan, area),
            _ => {
                let lit = scan.string()?;
                if let Some(role) = role(key, area, &lit.value()?) {
                    self.found.push(Beside { role, text: scan.text(&lit, TextForm::Plain)? });
                }
                Ok(())
            }
        }
    }

    fn object(&mut self, scan: &mut Scan<'_>, area: Area) -> Scanned<()> {
        let (from, mut speaker) = (self.found.len(), None);
        scan.object(&[], |scan, _, key| {
            // A key in escapes is none that is known here.
            let key = if key.escaped { "" } else { key.inner };
            if key == "role" && area == Area::Free && scan.next()? == Next::String {
                let lit = scan.string()?;
                match speaks(&lit.value()?) {
                    Some(role) => speaker = Some(role),
                    None => self
                        .found
                        .push(Beside { role: TextRole::Field, text: scan.text(&lit, TextForm::Plain)? }),
                }
                return Ok(());
            }
            self.value(scan, key, area.below(key))
        })?;
        // What stands in a turn is said by who speaks there.
        if let Some(speaker) = speaker {
            let said = self.found.iter_mut().skip(from).filter(|beside| beside.role == TextRole::Input);
            said.for_each(|beside| beside.role = speaker);
        }
        Ok(())
    }
}

impl Area {
    fn below(self, key: &str) -> Self {
        match self {
            Area::Free if DEFINITIONS.contains(&key) => Area::Definition,
            Area::Free if LABELS.contains(&key) => Area::Labels,
            area => area,
        }
    }
}

/// Who a turn's role is, in any dialect.
fn speaks(role: &str) -> Option<TextRole> {
    match role {
        "model" | "CHATBOT" => Some(TextRole::Assistant),
        "function" => Some(TextRole::Tool),
        role => Role::from_name(role).map(TextRole::from),
    }
}

/// What a string is for; `None` if it is left out.
fn role(key: &str, area: Area, value: &str) -> Option<TextRole> {
    if area == Area::Labels {
        return Some(TextRole::Field);
    }
    if QUIET.contains(&key) {
        return None;
    }
    let is_choice = key == "type"
        || FORMATS.contains(&key)
        || area == Area::Free && (CHOICES.contains(&key) || key.ends_with("_id") || key.ends_with("Id"));
    if is_choice {
        return (!is_word(value)).then_some(TextRole::Field);
    }
    if area == Area::Free && is_bytes(key, value) {
        return None;
    }
    Some(match area {
        _ if key == "description" => TextRole::Definition,
        Area::Definition | Area::Labels => TextRole::Field,
        Area::Free if NAMES.contains(&key) => TextRole::Field,
        Area::Free => TextRole::Input,
    })
}

/// Whether a string can be a word of an API, or an id.
fn is_word(value: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:+".contains(&byte);
    value.len() <= 128 && value.bytes().all(fits)
}

/// Whether a string is bytes, perhaps as an address that holds them itself (RFC 2397).
fn is_bytes(key: &str, value: &str) -> bool {
    match value.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,")) {
        Some((media_type, data)) => is_word(media_type) && is_base64(data),
        None => BYTES.contains(&key) && is_base64(value),
    }
}

#[cfg(test)]
mod tests;
