//! Which dialect and operation a path is for.

use crate::wire::{Path, wire};
use bytestring::ByteString;
use http::{HeaderMap, Method};
use weir_message::{Dialect, Operation};

/// What a request line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The wire format.
    pub dialect: Dialect,
    /// The operation.
    pub operation: Operation,
    /// The one thing named by the path (`/v1/models/{id}`), percent-decoded.
    pub item: Option<ByteString>,
    /// Whether the path asks for a stream; in other dialects the body does.
    pub stream: bool,
}

/// Why a request line asks for nothing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unclassified {
    /// Nothing answers the path.
    #[error("nothing answers this path")]
    UnknownPath,
    /// The path takes another method.
    #[error("this path takes {allow}")]
    BadMethod {
        /// For the header `allow`.
        allow: &'static str,
    },
}

/// Where each dialect's own paths begin. The root speaks OpenAI, and whatever of the others it does not know itself.
const PREFIXES: &[(&str, Dialect)] = &[
    ("/anthropic", Dialect::Anthropic),
    ("/gemini", Dialect::Gemini),
    ("/bedrock", Dialect::Bedrock),
    ("/cohere", Dialect::Cohere),
];

/// Headers that tell a dialect where two have the same path.
const TELLING: &[(&str, Dialect)] =
    &[("anthropic-version", Dialect::Anthropic), ("x-goog-api-key", Dialect::Gemini)];

/// Whose paths the root knows, in the order in which they are asked.
const ROOT: [Dialect; 5] =
    [Dialect::OpenAi, Dialect::Anthropic, Dialect::Gemini, Dialect::Cohere, Dialect::Bedrock];

/// Which dialect and operation a method and a path (without its query) are for. Paths are compared as they are spelt:
/// `//`, `..` and percent signs in the fixed part match nothing. Where two dialects share a path, a header of one decides.
///
/// # Errors
/// Whether the path or only the method is wrong.
pub fn classify(method: &Method, path: &str, headers: &HeaderMap) -> Result<Route, Unclassified> {
    let mut known =
        candidates(path, headers).filter_map(|(dialect, rest)| Some((dialect, found(dialect, rest)?)));
    let first = known.next().ok_or(Unclassified::UnknownPath)?;
    let takes = |(_, found): &(Dialect, Path)| found.methods.contains(method);
    let allow = first.1.methods.first().map_or("", Method::as_str);
    let (dialect, found) =
        std::iter::once(first).chain(known).find(takes).ok_or(Unclassified::BadMethod { allow })?;
    Ok(Route { dialect, operation: found.operation, item: found.item, stream: found.stream })
}

/// The dialect in whose words a path is answered, even if nothing answers it.
pub fn dialect_at(path: &str, headers: &HeaderMap) -> Dialect {
    let known = candidates(path, headers).find(|(dialect, rest)| found(*dialect, rest).is_some());
    // The first of them is the one that the prefix or a header tells.
    let (dialect, _) = known.or_else(|| candidates(path, headers).next()).unwrap_or((Dialect::OpenAi, path));
    dialect
}

/// The dialects that may know a path, each with the path as it knows it.
fn candidates<'a>(path: &'a str, headers: &HeaderMap) -> impl Iterator<Item = (Dialect, &'a str)> {
    let told = TELLING.iter().filter(|(name, _)| headers.contains_key(*name)).map(|(_, dialect)| *dialect);
    let rooted = told.chain(ROOT).map(move |dialect| (dialect, path));
    prefixed(path).into_iter().chain(rooted)
}

fn prefixed(path: &str) -> Option<(Dialect, &str)> {
    PREFIXES.iter().find_map(|(prefix, dialect)| {
        let rest = path.strip_prefix(prefix).filter(|rest| rest.starts_with('/'))?;
        Some((*dialect, rest))
    })
}

/// Whether any dialect has an operation at this path, by whichever method, a `/` at its end or not.
pub(crate) fn is_known(path: &str) -> bool {
    let path = path.trim_end_matches('/');
    candidates(path, &HeaderMap::new()).any(|(dialect, rest)| found(dialect, rest).is_some())
}

fn found(dialect: Dialect, path: &str) -> Option<Path> {
    wire(dialect)?.classify(path)
}

/// The path of a request without its dialect's prefix.
pub(crate) fn own_path(path: &str) -> &str {
    prefixed(path).map_or(path, |(_, rest)| rest)
}

/// The one thing that the path of a request of this dialect names, percent-decoded.
pub fn item(dialect: Dialect, path: &str) -> Option<ByteString> {
    found(dialect, own_path(path))?.item
}

/// The text behind percent signs (RFC 3986, 2.1). `None` if an escape is malformed or what it gives is not UTF-8.
pub fn percent_decoded(text: &str) -> Option<ByteString> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let mut digit = || char::from(bytes.next()?).to_digit(16);
            out.push(u8::try_from(digit()? * 16 + digit()?).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok().map(ByteString::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_unknown_paths_from_wrong_methods() {
        let ok = |operation, item: Option<&str>| {
            Ok(Route { dialect: Dialect::OpenAi, operation, item: item.map(Into::into), stream: false })
        };
        let cases = [
            (Method::POST, "/v1/chat/completions", ok(Operation::Chat, None)),
            (Method::POST, "/v1/completions", ok(Operation::Completion, None)),
            (Method::POST, "/v1/embeddings", ok(Operation::Embedding, None)),
            (Method::GET, "/v1/models", ok(Operation::Model, None)),
            (Method::GET, "/v1/models/org/name%3A1", ok(Operation::Model, Some("org/name:1"))),
            (Method::GET, "/v1/chat/completions", Err(Unclassified::BadMethod { allow: "POST" })),
            (Method::POST, "/v1/models/x", Err(Unclassified::BadMethod { allow: "GET" })),
            (Method::POST, "/v1/chat/completions/", Err(Unclassified::UnknownPath)),
            (Method::POST, "/v1//chat/completions", Err(Unclassified::UnknownPath)),
            (Method::POST, "/V1/chat/completions", Err(Unclassified::UnknownPath)),
            (Method::GET, "/v1/models/%zz", Err(Unclassified::UnknownPath)),
            (Method::GET, "/v1/models/%ff", Err(Unclassified::UnknownPath)),
            (Method::GET, "/", Err(Unclassified::UnknownPath)),
        ];
        for (method, path, want) in cases {
            assert_eq!(classify(&method, path, &HeaderMap::new()), want, "{method} {path}");
        }
    }
}
