//! What a client shows of itself.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use weir_message::{Dialect, Operation};

/// A request before it is read: its head, and where it comes from.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    /// The listener that it came in by.
    pub listener: &'a str,
    /// The client's dialect, by the path.
    pub dialect: Dialect,
    /// What it asks for, by the path.
    pub operation: Operation,
    /// The method.
    pub method: &'a Method,
    /// The path.
    pub path: &'a str,
    /// The query.
    pub query: Option<&'a str>,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// Where it comes from.
    pub source: Option<SocketAddr>,
    /// What the client's certificate says, if it has shown one and the listener has checked it.
    pub certificate: Option<&'a Arc<Map<String, Value>>>,
}

impl Shown<'_> {
    /// The key or token that the client shows, in a header or in Google's query. The inner `None`: it cannot be read.
    pub(super) fn key(&self) -> Option<Option<Cow<'_, str>>> {
        let query = self.query.filter(|_| self.dialect == Dialect::Gemini);
        key_in_header(self.headers).or_else(|| key_in_query(query?))
    }

    /// User name and password (RFC 7617). The inner `None`: they cannot be read.
    pub(super) fn user_and_password(&self) -> Option<Option<(String, String)>> {
        let value = self.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, rest) = value.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = STANDARD.decode(rest.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        Some(decoded.and_then(|text| {
            let (user, password) = text.split_once(':')?;
            Some((user.to_owned(), password.to_owned()))
        }))
    }

    /// What a client is told whose key leads to nobody.
    pub(super) fn unknown(&self) -> &'static str {
        if is_signed(self.headers) {
            "the request is signed for AWS: show a key of this gateway as a bearer token instead (AWS_BEARER_TOKEN_BEDROCK)"
        } else {
            "the key is unknown, expired or disabled, or may not be shown from here"
        }
    }
}

/// The key that a client shows in a header: `authorization: Bearer …`, `x-api-key`, `api-key`, `x-goog-api-key`. A signature for AWS
/// shows none, but another header may beside it.
fn key_in_header(headers: &HeaderMap) -> Option<Option<Cow<'_, str>>> {
    let named = ["x-api-key", "api-key", "x-goog-api-key"].iter().find_map(|name| headers.get(*name));
    let value = match (headers.get(header::AUTHORIZATION), named) {
        (Some(_), Some(value)) if is_signed(headers) => value,
        (Some(value), _) => {
            let text = value.to_str().ok();
            return Some(text.and_then(|text| {
                let (scheme, key) = text.split_once(' ')?;
                scheme.eq_ignore_ascii_case("bearer").then(|| Cow::Borrowed(key.trim()))
            }));
        }
        (None, value) => value?,
    };
    Some(value.to_str().ok().map(Cow::Borrowed))
}

/// Whether a client's SDK signed the request with keys of AWS, which nobody here can check.
fn is_signed(headers: &HeaderMap) -> bool {
    let shown = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    shown.is_some_and(|shown| shown.starts_with(b"AWS4-"))
}

/// The key that a client of Google's APIs shows in the query (`?key=`).
fn key_in_query(query: &str) -> Option<Option<Cow<'static, str>>> {
    let key = query.split('&').find_map(|pair| pair.strip_prefix("key="))?;
    Some(weir_dialect::percent_decoded(key).map(|key| Cow::Owned(key.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(headers: &HeaderMap) -> Shown<'_> {
        Shown {
            listener: "edge",
            dialect: Dialect::OpenAi,
            operation: Operation::Chat,
            method: &Method::POST,
            path: "/",
            query: None,
            headers,
            source: None,
            certificate: None,
        }
    }

    #[test]
    fn a_key_is_shown_in_a_header_or_in_googles_query() {
        let shown = |name: &'static str, value: &'static str| {
            let headers = HeaderMap::from_iter([(
                http::HeaderName::from_static(name),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            )]);
            key_in_header(&headers).map(|key| key.map(Cow::into_owned))
        };
        for (name, value) in
            [("authorization", "bearer k"), ("x-api-key", "k"), ("api-key", "k"), ("x-goog-api-key", "k")]
        {
            assert_eq!(shown(name, value), Some(Some("k".to_owned())), "{name}");
        }
        assert_eq!(shown("authorization", "Basic k"), Some(None));
        let signature = "AWS4-HMAC-SHA256 Credential=AKID/20261124/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=0";
        assert_eq!(shown("authorization", signature), Some(None));
        let mut both = HeaderMap::new();
        both.insert("authorization", HeaderValue::from_static(signature));
        assert!(head(&both).unknown().contains("AWS_BEARER_TOKEN_BEDROCK"));
        both.insert("x-api-key", HeaderValue::from_static("k"));
        assert_eq!(key_in_header(&both).flatten().as_deref(), Some("k"));
        both.insert("authorization", HeaderValue::from_static("Bearer b"));
        assert_eq!(key_in_header(&both).flatten().as_deref(), Some("b"));
        assert_eq!(shown("x-goog-api-key", "\u{e9}"), Some(None));
        assert_eq!(shown("cookie", "k"), None);
        assert_eq!(key_in_query("alt=sse&key=a%2Fb").flatten().as_deref(), Some("a/b"));
        assert_eq!((key_in_query("key=%zz"), key_in_query("alt=sse&monkey=x")), (Some(None), None));
    }

    #[test]
    fn a_password_may_hold_colons_and_what_is_no_base64_is_read_by_nobody() {
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("authorization", HeaderValue::from_str(value).unwrap());
            head(&headers).user_and_password()
        };
        let pair = |user: &str, password: &str| Some(Some((user.to_owned(), password.to_owned())));
        assert_eq!(read(&format!("Basic {}", STANDARD.encode("web:a:b"))), pair("web", "a:b"));
        assert_eq!(read(&format!("basic {}", STANDARD.encode(":k"))), pair("", "k"));
        for wrong in ["Basic !!", "Basic ", &format!("Basic {}", STANDARD.encode("no colon"))] {
            assert_eq!(read(wrong), Some(None), "{wrong}");
        }
        assert_eq!(read("Bearer k"), None);
    }
}
