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
const TELLING: &[(&str, Dialect)] = &[("anthropic-version", Dialect::Anthropic)];

/// Which dialect and operation a method and a path (without its query) are for. Paths are compared as they are spelt:
/// `//`, `..` and percent signs in the fixed part match nothing. Where two dialects share a path, a header of one decides.
///
/// # Errors
/// Whether the path or only the method is wrong.
pub fn classify(method: &Method, path: &str, headers: &HeaderMap) -> Result<Route, Unclassified> {
    let told = TELLING.iter().filter(|(name, _)| headers.contains_key(*name)).map(|(_, dialect)| *dialect);
    let root = [Dialect::OpenAi, Dialect::Anthropic];
    let rooted = || told.chain(root).find_map(|dialect| Some((dialect, found(dialect, path)?)));
    let prefixed = PREFIXES.iter().find_map(|(prefix, dialect)| {
        let rest = path.strip_prefix(prefix).filter(|rest| rest.starts_with('/'))?;
        Some((*dialect, found(*dialect, rest)?))
    });
    let (dialect, found) = prefixed.or_else(rooted).ok_or(Unclassified::UnknownPath)?;
    if !found.methods.contains(method) {
        let allow = found.methods.first().map_or("", Method::as_str);
        return Err(Unclassified::BadMethod { allow });
    }
    Ok(Route { dialect, operation: found.operation, item: found.item, stream: found.stream })
}

fn found(dialect: Dialect, path: &str) -> Option<Path> {
    wire(dialect)?.classify(path)
}

/// The path of a request without its dialect's prefix.
pub(crate) fn own_path(path: &str) -> &str {
    let cut = |(prefix, _): &(&str, Dialect)| path.strip_prefix(prefix).filter(|rest| rest.starts_with('/'));
    PREFIXES.iter().find_map(cut).unwrap_or(path)
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
