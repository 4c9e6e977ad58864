//! What HTTP/1 parsers let pass and smugglers live on: checked on the bytes as they came.
//!
//! The parser underneath refuses NUL and other controls, obs-fold, spaces before colons, chunk sizes that overflow, differing
//! content-lengths and transfer-encoding in HTTP/1.0. It takes bare LF as a line's end, drops content-length where
//! transfer-encoding stands, and takes any list that ends in `chunked`. RFC 9112 lets a server refuse all three; two servers
//! that read such a request differently are how requests get smuggled.

use http::HeaderMap;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use memchr::{memchr, memchr_iter, memchr3_iter};

/// Checks the head of an HTTP/1 request: `raw` as it came, `headers` as parsed. The error says what is wrong with it.
pub(crate) fn check(raw: &[u8], headers: &HeaderMap, is_http_11: bool) -> Result<(), &'static str> {
    if !has_whole_lines(raw)
        && let Some(why) = stray(raw)
    {
        return Err(why);
    }
    if headers.contains_key(TRANSFER_ENCODING) {
        if declares_length(raw) {
            return Err("both content-length and transfer-encoding");
        }
        let mut values = headers.get_all(TRANSFER_ENCODING).iter();
        let sole = values.next().filter(|_| values.next().is_none());
        if !sole.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"chunked")) {
            return Err("a transfer-encoding other than chunked");
        }
    }
    length(headers)?;
    if is_http_11 && headers.get_all(HOST).iter().count() != 1 {
        return Err("not exactly one host");
    }
    Ok(())
}

/// Whether each LF stands behind a CR, there are no other CRs, and no NUL: what nearly all heads are like.
fn has_whole_lines(raw: &[u8]) -> bool {
    let ends =
        memchr_iter(b'\n', raw).filter(|at| at.checked_sub(1).and_then(|at| raw.get(at)) == Some(&b'\r'));
    let lines = memchr_iter(b'\n', raw).count();
    ends.count() == lines && memchr_iter(b'\r', raw).count() == lines && memchr(0, raw).is_none()
}

/// The first control that stands where it should not.
fn stray(raw: &[u8]) -> Option<&'static str> {
    let byte = |at: Option<usize>| at.and_then(|at| raw.get(at)).copied();
    memchr3_iter(b'\r', b'\n', 0, raw).find_map(|at| match byte(Some(at)) {
        Some(b'\r') if byte(Some(at + 1)).is_some_and(|next| next != b'\n') => Some("a bare CR in the head"),
        Some(b'\n') if byte(at.checked_sub(1)) != Some(b'\r') => Some("a bare LF in the head"),
        Some(0) => Some("a NUL in the head"),
        _ => None,
    })
}

/// The one `content-length`, if any; an error if it is repeated or not a plain number.
pub(crate) fn length(headers: &HeaderMap) -> Result<Option<u64>, &'static str> {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err("a repeated content-length");
    }
    let digits = value.as_bytes();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err("a content-length that is not a number");
    }
    value.to_str().ok().and_then(|text| text.parse().ok()).map(Some).ok_or("a content-length out of range")
}

/// Whether a line of the head names content-length.
fn declares_length(raw: &[u8]) -> bool {
    raw.split(|&byte| byte == b'\n').skip(1).any(|line| {
        let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
        name.trim_ascii().eq_ignore_ascii_case(b"content-length")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    /// The head as the parser underneath hands it over: content-length gone where transfer-encoding stands.
    fn verdict(raw: &str) -> Result<(), &'static str> {
        let mut headers = HeaderMap::new();
        for line in raw.lines().skip(1).filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').unwrap();
            let name: HeaderName = name.trim().to_ascii_lowercase().parse().unwrap();
            headers.append(name, HeaderValue::from_bytes(value.trim().as_bytes()).unwrap());
        }
        if headers.contains_key(TRANSFER_ENCODING) {
            headers.remove(CONTENT_LENGTH);
        }
        check(raw.as_bytes(), &headers, raw.contains("HTTP/1.1"))
    }

    #[test]
    fn refuses_what_two_servers_may_read_differently() {
        for (head, want) in [
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", None),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n", None),
            ("GET / HTTP/1.0\r\n\r\n", None),
            ("GET / HTTP/1.1\r\n\r\n", Some("host")),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Some("host")),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
                Some("both"),
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\ncontent-LENGTH: 3\r\n\r\n",
                Some("both"),
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
                Some("other than chunked"),
            ),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", Some("other than chunked")),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
                Some("other than chunked"),
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
                Some("repeated"),
            ),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\n", Some("not a number")),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\n", Some("not a number")),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", Some("not a number")),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x10\r\n\r\n", Some("not a number")),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
                Some("out of range"),
            ),
            ("GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", Some("bare LF")),
        ] {
            let got = verdict(head);
            match want {
                None => assert_eq!(got, Ok(()), "{head:?}"),
                Some(part) => assert!(got.is_err_and(|why| why.contains(part)), "{head:?}: {got:?}"),
            }
        }
    }

    #[test]
    fn refuses_bare_cr_and_nul() {
        let headers = HeaderMap::new();
        assert_eq!(
            check(b"GET / HTTP/1.0\r\nA: b\rc\r\n\r\n", &headers, false),
            Err("a bare CR in the head")
        );
        assert_eq!(check(b"GET / HTTP/1.0\r\nA: b\0c\r\n\r\n", &headers, false), Err("a NUL in the head"));
    }
}
