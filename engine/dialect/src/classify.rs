//! Which dialect and operation a path is for.

use crate::openai;
use bytestring::ByteString;
use http::Method;
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

/// Which dialect and operation a method and a path (without its query) are for. Paths are compared as they are spelt:
/// `//`, `..` and percent signs in the fixed part match nothing.
///
/// # Errors
/// Whether the path or only the method is wrong.
pub fn classify(method: &Method, path: &str) -> Result<Route, Unclassified> {
    let (want, item, operation) = openai::ROUTES
        .iter()
        .find_map(|(method, route, operation)| {
            if *route == path {
                return Some((*method, None, *operation));
            }
            let item = path.strip_prefix(route).filter(|item| route.ends_with('/') && !item.is_empty())?;
            Some((*method, Some(percent_decoded(item)?), *operation))
        })
        .ok_or(Unclassified::UnknownPath)?;
    if method.as_str() != want {
        return Err(Unclassified::BadMethod { allow: want });
    }
    Ok(Route { dialect: Dialect::OpenAi, operation, item })
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
            Ok(Route { dialect: Dialect::OpenAi, operation, item: item.map(Into::into) })
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
            assert_eq!(classify(&method, path), want, "{method} {path}");
        }
    }
}
