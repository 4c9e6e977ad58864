//! Keys, tokens and passwords: by known beginnings, by the name that stands in front of them, or in an address.

use super::known::{Body, KNOWN, Known};
use aho_corasick::{AhoCorasick, MatchKind};
use std::ops::Range;

/// A private key's block is followed no further than this without its end, in bytes.
const LONGEST_BLOCK: usize = 16_384;

/// The search for known beginnings.
pub(crate) struct Keys(Option<AhoCorasick>);

impl Keys {
    pub(crate) fn new() -> Self {
        let starts = KNOWN.iter().map(|known| known.starts);
        Self(AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(starts).ok())
    }

    /// Calls `found` with each key, ascending and apart, and with its number in the table of issuers.
    pub(crate) fn scan(&self, text: &str, mut found: impl FnMut(Range<usize>, usize)) {
        let Some(search) = &self.0 else { return };
        let bytes = text.as_bytes();
        let mut from = 0;
        for hit in search.find_iter(text) {
            let left = hit.start().checked_sub(1).map_or(0, |at| byte(bytes, at));
            if hit.start() < from || left == b'_' || left.is_ascii_alphanumeric() {
                continue;
            }
            let number = hit.pattern().as_usize();
            let Some(known) = KNOWN.get(number) else { continue };
            let end = match known.body {
                Body::Block => private_key(text, hit.end()),
                Body::Token => web_token(bytes, hit.start(), known),
                _ => rest(bytes, hit.end(), known),
            };
            if let Some(end) = end {
                found(hit.start()..end, number);
                from = end;
            }
        }
    }
}

/// Who issues keys with this number.
pub(super) fn issuer(number: usize) -> Option<&'static str> {
    KNOWN.get(number).map(|known| known.issuer)
}

/// Different characters that the rest of a key has at least; `sk-xxxxxxxx…` stands for one and is none.
const VARIETY: usize = 6;

/// Where the rest of a key ends, if it is long enough and not a row of words.
fn rest(bytes: &[u8], start: usize, known: &Known) -> Option<usize> {
    let also: &[u8] = match known.body {
        Body::Plain | Body::Hex | Body::Block => b"",
        Body::Dashed => b"_-",
        Body::Dotted | Body::Token => b"_-.",
        Body::Base64 => b"+/=_-",
    };
    let behind = bytes.get(start..)?.iter().take(known.most + 1);
    let len = behind.take_while(|byte| byte.is_ascii_alphanumeric() || also.contains(byte)).count();
    let body = bytes.get(start..start + len)?;
    let trimmed = len - body.iter().rev().take_while(|byte| b"-_.".contains(byte)).count();
    let body = body.get(..trimmed)?;
    let mixed = match known.body {
        Body::Hex => body.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')),
        _ => {
            body.iter().any(u8::is_ascii_digit) || body.iter().filter(|b| b.is_ascii_uppercase()).count() > 2
        }
    };
    let mut seen = [false; 256];
    body.iter()
        .for_each(|byte| seen.iter_mut().skip(usize::from(*byte)).take(1).for_each(|seen| *seen = true));
    let varied = seen.iter().filter(|seen| **seen).count() >= VARIETY;
    ((known.least..=known.most).contains(&trimmed) && mixed && varied).then_some(start + trimmed)
}

fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

/// Where a JSON web token ends: two dots between three parts of base64url, the first of which begins an object.
fn web_token(bytes: &[u8], start: usize, known: &Known) -> Option<usize> {
    let end = rest(bytes, start, known)?;
    let parts: Vec<&[u8]> = bytes.get(start..end)?.split(|byte| *byte == b'.').collect();
    let [head, body, ..] = parts.as_slice() else { return None };
    (parts.len() <= 5 && head.len() >= 10 && body.len() >= 4).then_some(end)
}

/// Where the block of a private key ends; cut off, it is followed as far as it looks like one.
fn private_key(text: &str, start: usize) -> Option<usize> {
    let rest = text.get(start..)?;
    let head = rest.get(..rest.find("-----").filter(|at| *at < 40)?)?;
    if !head.ends_with("PRIVATE KEY") && !head.ends_with("PRIVATE KEY BLOCK") {
        return None;
    }
    let body = head.len() + 5;
    let close = format!("-----END {head}-----");
    let shown: usize = rest.get(body..)?.chars().take(LONGEST_BLOCK).take_while(char::is_ascii).count();
    let block = rest.get(body..body + shown)?;
    let len = match block.find(&close) {
        Some(at) => at + close.len(),
        None => block
            .bytes()
            .take_while(|byte| byte.is_ascii_alphanumeric() || b"+/=\r\n\t :,-\\".contains(byte))
            .count(),
    };
    Some(start + body + len)
}

const NAMES: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "api key",
    "access_key",
    "access-key",
    "secret_key",
    "private_key",
    "auth_key",
    "authtoken",
    "credential",
    "passwort",
];

/// A secret behind a name and the `:` or `=` at this place: `password = "…"`.
pub(crate) fn named(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let blank = |byte: &u8| matches!(byte, b' ' | b'"' | b'\'' | b'`' | b'\\');
    let behind = bytes.get(..at)?;
    let name_end = at - behind.iter().rev().take(3).take_while(|byte| blank(byte)).count();
    let name = bytes.get(name_end.saturating_sub(12)..name_end)?;
    let is_name = |known: &&str| {
        let tail = name.len().checked_sub(known.len()).and_then(|from| name.get(from..));
        tail.is_some_and(|tail| tail.eq_ignore_ascii_case(known.as_bytes()))
    };
    NAMES.iter().find(|known| is_name(known))?;
    let ahead = bytes.get(at + 1..)?;
    let mut start = at + 1 + ahead.iter().take(4).take_while(|byte| blank(byte) || **byte == b'=').count();
    if bytes.get(start..start + 7).is_some_and(|next| next.eq_ignore_ascii_case(b"bearer ")) {
        start += 7;
    }
    let is_value = |byte: &&u8| byte.is_ascii_graphic() && !b"\"'`,;\\<>(){}[]".contains(byte);
    let len = bytes.get(start..)?.iter().take(513).take_while(is_value).count();
    let value = bytes.get(start..start + len)?;
    let dots = value.iter().rev().take_while(|byte| matches!(byte, b'.' | b'!' | b'?')).count();
    // A full stop belongs to the sentence, an exclamation mark perhaps to the password.
    let len = if byte(value, len.wrapping_sub(1)) == b'.' { len - dots } else { len };
    let value = value.get(..len)?;
    (len <= 512 && is_secret(value)).then_some(start..start + len)
}

/// What stands for a password in examples.
const STAND_INS: [&str; 10] =
    ["password", "passwd", "pass", "pwd", "secret", "changeme", "example", "postgres", "root", "guest"];

/// The password of an address with one, `scheme://user:password@host`, given the place of its `://`.
pub(super) fn in_address(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let is_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    bytes.get(..at)?.last().filter(|byte| is_scheme(byte))?;
    let start = at + 3;
    let is_inside = |byte: &&u8| byte.is_ascii_graphic() && !b"/?#\"'`<>{}$".contains(byte);
    let len = bytes.get(start..)?.iter().take(512).take_while(is_inside).count();
    let authority = bytes.get(start..start + len)?;
    let end = authority.iter().rposition(|byte| *byte == b'@')?;
    let user = authority.get(..end)?.iter().position(|byte| *byte == b':')?;
    let password = authority.get(user + 1..end)?;
    let is_user = authority.get(..user)? == password;
    let stands_in = STAND_INS.iter().any(|word| password.eq_ignore_ascii_case(word.as_bytes()));
    let hidden = password.iter().all(|byte| b"*x.X".contains(byte));
    (!is_user && !stands_in && !hidden).then_some(start + user + 1..start + end)
}

/// Whether a value looks made up: of several classes of characters, or long and without pattern. `changeme` and `${TOKEN}`
/// do not.
fn is_secret(value: &[u8]) -> bool {
    let has = |class: fn(&u8) -> bool| usize::from(value.iter().any(class));
    let classes = has(u8::is_ascii_lowercase)
        + has(u8::is_ascii_uppercase)
        + has(u8::is_ascii_digit)
        + has(u8::is_ascii_punctuation);
    let digits = value.iter().any(u8::is_ascii_digit);
    let hidden = value.starts_with(b"$") || value.iter().filter(|byte| **byte == b'*').count() > 3;
    let is_address = value.starts_with(b"http://") || value.starts_with(b"https://");
    let made_up = value.len() >= 8 && classes >= 3 && digits;
    let random = value.len() >= 16 && digits && classes >= 2 && bits(value) > 3.0;
    !hidden && !is_address && (made_up || random)
}

/// Shannon's entropy of the bytes, in bits each.
fn bits(value: &[u8]) -> f64 {
    let mut counts = [0u32; 256];
    for byte in value {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    let total = f64::from(u32::try_from(value.len()).unwrap_or(u32::MAX));
    let part = |count: u32| f64::from(count) / total;
    counts.into_iter().filter(|count| *count > 0).map(|count| -part(count) * part(count).log2()).sum()
}
