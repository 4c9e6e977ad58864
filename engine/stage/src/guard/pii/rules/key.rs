//! Keys, tokens and passwords: by known beginnings, or by the name that stands in front of them.

use super::{before, byte};
use crate::guard::pii::find::Find;
use crate::guard::pii::kind::Kind;
use aho_corasick::AhoCorasick;
use std::ops::Range;

/// A known beginning of a key, and what follows it.
struct Known {
    starts: &'static str,
    /// What the rest is made of, beside letters and digits.
    also: &'static [u8],
    /// The least length of the rest, in bytes.
    least: usize,
    /// The most.
    most: usize,
}

const fn known(starts: &'static str, also: &'static [u8], least: usize, most: usize) -> Known {
    Known { starts, also, least, most }
}

/// The shapes that the issuers publish for secret scanners.
const KNOWN: &[Known] = &[
    known("-----BEGIN ", b"", 0, 0),
    known("eyJ", b"_-.", 17, 16_384),
    known("sk-", b"_-", 20, 300),
    known("sk_live_", b"", 16, 255),
    known("sk_test_", b"", 16, 255),
    known("rk_live_", b"", 16, 255),
    known("rk_test_", b"", 16, 255),
    known("whsec_", b"", 24, 255),
    known("AKIA", b"", 16, 16),
    known("ASIA", b"", 16, 16),
    known("ghp_", b"", 36, 255),
    known("gho_", b"", 36, 255),
    known("ghu_", b"", 36, 255),
    known("ghs_", b"", 36, 255),
    known("ghr_", b"", 36, 255),
    known("github_pat_", b"_", 40, 255),
    known("glpat-", b"_-", 20, 255),
    known("xoxb-", b"-", 10, 255),
    known("xoxa-", b"-", 10, 255),
    known("xoxp-", b"-", 10, 255),
    known("xoxr-", b"-", 10, 255),
    known("xoxs-", b"-", 10, 255),
    known("xapp-", b"-", 10, 255),
    known("AIza", b"_-", 35, 35),
    known("ya29.", b"_-", 20, 2048),
    known("SG.", b"_-.", 40, 100),
    known("npm_", b"", 36, 36),
    known("pypi-", b"_-", 50, 1024),
    known("hf_", b"", 30, 60),
    known("gsk_", b"", 40, 80),
    known("xai-", b"", 40, 120),
    known("r8_", b"", 37, 37),
    known("dop_v1_", b"", 64, 64),
    known("shpat_", b"", 32, 32),
    known("lin_api_", b"", 40, 40),
    known("AGE-SECRET-KEY-1", b"", 58, 58),
];

/// A private key's block is followed no further than this without its end, in bytes.
const LONGEST_BLOCK: usize = 16_384;

/// The search for known beginnings.
pub(super) struct Keys(Option<AhoCorasick>);

impl Keys {
    pub(super) fn new() -> Self {
        Self(AhoCorasick::new(KNOWN.iter().map(|known| known.starts)).ok())
    }

    pub(super) fn scan(&self, text: &str, finds: &mut Vec<Find>) {
        let Some(search) = &self.0 else { return };
        let bytes = text.as_bytes();
        let mut from = 0;
        for hit in search.find_iter(text) {
            let left = before(bytes, hit.start());
            if hit.start() < from || left == b'_' || left.is_ascii_alphanumeric() {
                continue;
            }
            let Some(known) = KNOWN.get(hit.pattern().as_usize()) else { continue };
            let end = match known.starts {
                "-----BEGIN " => private_key(text, hit.end()),
                "eyJ" => web_token(bytes, hit.start(), known),
                _ => rest(bytes, hit.end(), known),
            };
            if let Some(end) = end {
                finds.push(Find::new(Kind::Key, hit.start(), end, 0.95));
                from = end;
            }
        }
    }
}

/// Where the rest of a key ends, if it is long enough and not a row of words.
fn rest(bytes: &[u8], start: usize, known: &Known) -> Option<usize> {
    let behind = bytes.get(start..)?.iter().take(known.most + 1);
    let len = behind.take_while(|byte| byte.is_ascii_alphanumeric() || known.also.contains(byte)).count();
    let body = bytes.get(start..start + len)?;
    let trimmed = len - body.iter().rev().take_while(|byte| b"-_.".contains(byte)).count();
    let body = body.get(..trimmed)?;
    let mixed =
        body.iter().any(u8::is_ascii_digit) || body.iter().filter(|b| b.is_ascii_uppercase()).count() > 2;
    ((known.least..=known.most).contains(&trimmed) && mixed).then_some(start + trimmed)
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
pub(super) fn named(bytes: &[u8], at: usize) -> Option<Range<usize>> {
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
