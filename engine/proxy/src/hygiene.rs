//! Which headers belong to one connection and never pass a proxy.

use bytestring::ByteString;
use http::header::{
    CONNECTION, HeaderMap, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};

/// The hop-by-hop headers of RFC 9110 §7.6.1 and their customary kin.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// The headers that concern more than one connection.
pub(crate) fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let mut out = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        if !HOP_BY_HOP.contains(name) {
            out.append(name, value.clone());
        }
    }
    for name in named(headers) {
        out.remove(name);
    }
    out
}

/// The headers that `connection` names.
fn named(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter_map(|token| token.trim().parse().ok()).collect()
}

/// Takes out every header that concerns one connection alone: the fixed ones, and those that `connection` names.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    // Most requests have none: one look at each name settles it.
    if !headers.keys().any(|name| HOP_BY_HOP.contains(name)) {
        return;
    }
    for name in named(headers) {
        headers.remove(name);
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// A query without the caller's key, which Google's clients put there.
pub(crate) fn without_key(query: &str) -> Option<ByteString> {
    if !query.split('&').any(|pair| pair.starts_with("key=")) {
        return Some(query.into());
    }
    let rest: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with("key=")).collect();
    (!rest.is_empty()).then(|| rest.join("&").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_does_not_stay_in_the_query() {
        let cases = [
            ("alt=sse", Some("alt=sse")),
            ("key=k", None),
            ("key=k&alt=sse&key=l", Some("alt=sse")),
            ("monkey=k", Some("monkey=k")),
        ];
        for (query, want) in cases {
            assert_eq!(without_key(query).as_deref(), want, "{query}");
        }
    }

    #[test]
    fn strips_the_fixed_ones_and_the_named_ones() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Mine"),
            ("connection", "x-other"),
            ("x-mine", "1"),
            ("x-other", "2"),
            ("keep-alive", "timeout=5"),
            ("proxy-authorization", "Basic abc"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("content-type", "text/plain"),
        ] {
            headers.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        assert_eq!(end_to_end(&headers).len(), 1);
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers.len(), 1);
        assert_eq!(headers["content-type"], "text/plain");
    }
}
