//! Bodies of `multipart/form-data` (RFC 7578, RFC 2046 5.1), read strictly: what two readers could read differently is refused.

use crate::scan::{Flaw, Scanned, What};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use memchr::memmem::{Finder, find};
use std::ops::Range;

/// The most fields taken.
const MOST_FIELDS: usize = 256;
/// The longest head of a field, in bytes.
const LONGEST_HEAD: usize = 4096;

/// A field of a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    /// Its name.
    pub(crate) name: String,
    /// Whether it is a file.
    pub(crate) is_file: bool,
    /// Where its value stands in the body.
    pub(crate) at: Range<usize>,
}

/// The boundary that the headers tell, once; `None` if they speak of no form.
pub(crate) fn boundary(headers: &HeaderMap) -> Option<String> {
    let mut kinds = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (kinds.next(), kinds.next()) else { return None };
    let value = value.to_str().ok()?;
    let (kind, parameters) = value.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let mut boundaries = parameters.split(';').filter_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
    });
    let (Some(told), None) = (boundaries.next(), boundaries.next()) else { return None };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    let is_sound = (1..=70).contains(&told.len()) && told.bytes().all(is_plain) && !told.ends_with(' ');
    is_sound.then(|| told.to_owned())
}

/// The content type of a body that looks like a form, for readers that are given no headers.
pub(crate) fn kind_of(body: &[u8]) -> Option<HeaderValue> {
    let line = body.strip_prefix(b"--")?;
    let told = std::str::from_utf8(line.get(..memchr::memchr(b'\r', line)?)?).ok()?;
    HeaderValue::from_str(&format!("multipart/form-data; boundary=\"{told}\"")).ok()
}

/// The fields of a form.
pub(crate) fn read(raw: &Bytes, boundary: &str) -> Scanned<Vec<Field>> {
    if u32::try_from(raw.len()).is_err() {
        return Err(Flaw::new(What::TooLarge, 0));
    }
    let wrong = |at| Flaw::new(What::Want("a form as RFC 7578 has it"), at);
    let dashes = format!("--{boundary}");
    let end = format!("\r\n{dashes}");
    let end = Finder::new(end.as_bytes());
    if !raw.starts_with(dashes.as_bytes()) {
        return Err(wrong(0));
    }
    let mut at = dashes.len();
    let mut fields: Vec<Field> = Vec::new();
    loop {
        let rest = raw.get(at..).unwrap_or_default();
        if rest == b"--" || rest == b"--\r\n" {
            return Ok(fields);
        }
        if !rest.starts_with(b"\r\n") {
            return Err(wrong(at));
        }
        if fields.len() >= MOST_FIELDS {
            return Err(Flaw::new(What::TooMany, at));
        }
        let head = rest.get(2..rest.len().min(LONGEST_HEAD)).unwrap_or_default();
        let length = find(head, b"\r\n\r\n").ok_or_else(|| wrong(at))?;
        let (name, is_file) = named(head.get(..length).unwrap_or_default()).ok_or_else(|| wrong(at))?;
        let from = at + 2 + length + 4;
        let value = raw.get(from..).and_then(|rest| end.find(rest)).ok_or_else(|| wrong(at))?;
        fields.push(Field { name, is_file, at: from..from + value });
        at = from + value + 2 + dashes.len();
    }
}

/// What the head of a field says: its name, and whether it is a file. `None` for what is not plain.
fn named(head: &[u8]) -> Option<(String, bool)> {
    let head = std::str::from_utf8(head).ok().filter(|head| !head.contains('\0'))?;
    let mut found = None;
    for line in head.split("\r\n") {
        let (name, value) = line.split_once(':')?;
        if line.contains(['\r', '\n']) || name.is_empty() || name.contains([' ', '\t']) {
            return None;
        }
        if name.eq_ignore_ascii_case("content-transfer-encoding") {
            // Nobody may read other bytes than stand there.
            return None;
        }
        if name.eq_ignore_ascii_case("content-disposition") && found.replace(disposition(value)?).is_some() {
            return None;
        }
    }
    found
}

/// `form-data; name="…"; filename="…"`.
fn disposition(value: &str) -> Option<(String, bool)> {
    let mut rest = value.trim().strip_prefix("form-data")?;
    let (mut field, mut is_file) = (None, false);
    while !rest.is_empty() {
        rest = rest.trim_start().strip_prefix(';')?.trim_start();
        let (name, behind) = rest.split_once('=')?;
        let (text, behind) = match behind.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => behind.split_at(behind.find(';').unwrap_or(behind.len())),
        };
        if text.contains('\\') {
            return None;
        }
        match name {
            "name" if field.is_none() => field = Some(text.to_owned()),
            "filename" => is_file = true,
            // `filename*` says the same in other letters.
            "filename*" => is_file = true,
            _ => return None,
        }
        rest = behind;
    }
    Some((field?, is_file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(body: &str) -> Option<Vec<(String, bool, String)>> {
        let raw = Bytes::copy_from_slice(body.as_bytes());
        let fields = read(&raw, "b").ok()?;
        let value = |field: &Field| String::from_utf8_lossy(&raw[field.at.clone()]).into_owned();
        Some(fields.iter().map(|field| (field.name.clone(), field.is_file, value(field))).collect())
    }

    #[test]
    fn fields_are_read_where_they_stand() {
        let body = "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n\
                    --b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\n\r\n--bin\0\r\n\r\n\
                    --b\r\nContent-Disposition: form-data; name=empty\r\n\r\n\r\n--b--\r\n";
        let body = body.replace("--bin", "--Bin");
        let said = |name: &str, is_file, value: &str| (name.to_owned(), is_file, value.to_owned());
        let want =
            [said("model", false, "m"), said("file", true, "\r\n--Bin\0\r\n"), said("empty", false, "")];
        assert_eq!(fields(&body).unwrap(), want);
        assert_eq!(fields("--b--").unwrap(), []);
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        let part = |head: &str| format!("--b\r\n{head}\r\n\r\nx\r\n--b--\r\n");
        let good = "Content-Disposition: form-data; name=\"a\"";
        assert!(fields(&part(good)).is_some());
        for body in [
            format!("before\r\n{}", part(good)),
            format!("{}behind", part(good)),
            part(good).replace("\r\n", "\n"),
            part(good).replace("--b--\r\n", "--b\r\n"),
            part(good).replace("--b--\r\n", ""),
            part(good).replace("--b\r\n", "--b \r\n"),
            part("Content-Type: text/plain"),
            part(&format!("{good}\r\n{good}")),
            part(&format!("{good}\r\nContent-Transfer-Encoding: base64")),
            part("Content-Disposition: form-data; name=\"a\"; name=\"b\""),
            part("Content-Disposition: form-data; name=\"a\\\"b\""),
            part("Content-Disposition: form-data; name*=utf-8''a"),
            part("Content-Disposition: attachment; name=\"a\""),
            part("Content-Disposition : form-data; name=\"a\""),
            part(&format!("{good}\r\n folded: x")),
        ] {
            assert_eq!(fields(&body), None, "{body:?}");
        }
    }

    #[test]
    fn a_boundary_is_taken_from_the_headers() {
        for (value, want) in [
            ("multipart/form-data; boundary=b", Some("b")),
            ("Multipart/Form-Data; charset=utf-8; Boundary=\"b-1\"", Some("b-1")),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary=", None),
            ("multipart/form-data; boundary=b; boundary=c", None),
            ("multipart/form-data; boundary=\"a{b\"", None),
            ("multipart/mixed; boundary=b", None),
            ("application/json", None),
        ] {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, value.parse().unwrap())]);
            assert_eq!(boundary(&headers).as_deref(), want, "{value}");
        }
    }
}
