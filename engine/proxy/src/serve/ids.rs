//! What ties a request to logs and traces elsewhere: `x-request-id`, W3C `traceparent`.

use http::{HeaderMap, HeaderName, HeaderValue};
use std::sync::Arc;
use uuid::Uuid;

/// The header that carries a request's id.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// The longest id taken from a client, in bytes.
const LONGEST_ID: usize = 128;

/// The client's id if it is sane (1 to 128 visible ASCII characters), else `fresh`. An insane one is taken out of the headers.
pub(crate) fn request_id(headers: &mut HeaderMap, fresh: &Uuid) -> Arc<str> {
    let given = match headers.get(REQUEST_ID) {
        None => None,
        Some(value) => match value.to_str() {
            Ok(text)
                if (1..=LONGEST_ID).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) =>
            {
                return Arc::from(text);
            }
            _ => Some(()),
        },
    };
    if given.is_some() {
        headers.remove(REQUEST_ID);
    }
    let mut buffer = Uuid::encode_buffer();
    Arc::from(&*fresh.hyphenated().encode_lower(&mut buffer))
}

/// Continues the client's trace with a span of our own, or begins one (<https://www.w3.org/TR/trace-context/>).
pub(crate) fn continue_trace(headers: &mut HeaderMap, fresh: &Uuid) {
    let mut buffer = Uuid::encode_buffer();
    // 32 hexadecimal digits; the lower half is the span's.
    let fresh: &str = fresh.simple().encode_lower(&mut buffer);
    let (_, span) = fresh.split_at(fresh.len() / 2);
    let given = headers.get(TRACEPARENT).and_then(|value| parse(value.as_bytes()));
    let (trace, flags) = given.unwrap_or((fresh, "00"));
    let text = ["00-", trace, "-", span, "-", flags].concat();
    if given.is_none() {
        headers.remove(TRACESTATE);
    }
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(TRACEPARENT, value);
    }
}

/// Trace id and flags of a `traceparent`, if it is one. Later versions may add fields behind ours.
fn parse(value: &[u8]) -> Option<(&str, &str)> {
    let text = std::str::from_utf8(value).ok()?;
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |part: &str, len: usize| {
        part.len() == len && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let sound = hex(version, 2)
        && version != "ff"
        && (version != "00" || parts.next().is_none())
        && hex(trace, 32)
        && trace.bytes().any(|b| b != b'0')
        && hex(span, 16)
        && span.bytes().any(|b| b != b'0')
        && hex(flags, 2);
    sound.then_some((trace, flags))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRESH: Uuid = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);

    #[test]
    fn keeps_a_sane_id_and_replaces_others() {
        let long = "x".repeat(129);
        for (given, kept) in [
            ("abc-123", true),
            ("!~", true),
            ("with space", false),
            ("", false),
            (&*long, false),
            (&long[1..], true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, given.parse().unwrap());
            let id = request_id(&mut headers, &FRESH);
            assert_eq!(&*id == given, kept, "{given:?}");
            assert_eq!(headers.contains_key(REQUEST_ID), kept, "{given:?}");
        }
        assert_eq!(&*request_id(&mut HeaderMap::new(), &FRESH), "01900000-0000-7000-8000-000000000001");
    }

    #[test]
    fn continues_a_sound_trace_and_begins_another_else() {
        let sound = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        for (given, continued) in [
            (sound, true),
            ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", true),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", false),
            ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false),
            ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false),
            ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", false),
            ("rubbish", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(TRACEPARENT, given.parse().unwrap());
            headers.insert(TRACESTATE, "a=b".parse().unwrap());
            continue_trace(&mut headers, &FRESH);
            let value = headers[TRACEPARENT].to_str().unwrap();
            assert_ne!(value, given);
            assert!(parse(value.as_bytes()).is_some(), "{value}");
            assert_eq!(value.contains("4bf92f3577b34da6a3ce929d0e0e4736"), continued, "{given}");
            assert_eq!(headers.contains_key(TRACESTATE), continued, "{given}");
        }
    }
}
