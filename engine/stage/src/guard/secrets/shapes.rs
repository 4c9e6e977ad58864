//! Keys, tokens and passwords: by known beginnings, by the name that stands in front of them, or in an address.

use super::known::{Body, KNOWN, Known, MARKED, Marked};
use aho_corasick::{AhoCorasick, MatchKind};
use std::ops::Range;

/// A private key's block is followed no further than this without its end, in bytes.
const LONGEST_BLOCK: usize = 16_384;

/// The search for known beginnings.
pub(crate) struct Keys(Option<AhoCorasick>);

impl Keys {
    pub(crate) fn new() -> Self {
        let starts = KNOWN.iter().map(|known| known.starts).chain(MARKED.iter().map(|marked| marked.mark));
        Self(AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(starts).ok())
    }

    /// Calls `found` with each key, ascending and apart, and with its number in the table of issuers.
    pub(crate) fn scan(&self, text: &str, mut found: impl FnMut(Range<usize>, usize)) {
        let Some(search) = &self.0 else { return };
        let bytes = text.as_bytes();
        let mut from = 0;
        for hit in search.find_iter(text) {
            let number = hit.pattern().as_usize();
            let key = match (KNOWN.get(number), number.checked_sub(KNOWN.len()).and_then(|at| MARKED.get(at)))
            {
                (Some(known), _) if begins(bytes, hit.start()) => {
                    let end = match known.body {
                        Body::Block => private_key(text, hit.end()),
                        Body::Token => web_token(bytes, hit.start(), known),
                        _ => rest(bytes, hit.end(), known),
                    };
                    end.map(|end| hit.start()..end)
                }
                (None, Some(marked)) => around(bytes, hit.start(), hit.end(), marked),
                _ => None,
            };
            if let Some(key) = key.filter(|key| key.start >= from) {
                from = key.end;
                found(key, number);
            }
        }
    }
}

/// Whether a key may begin here: not inside a word.
fn begins(bytes: &[u8], start: usize) -> bool {
    let left = start.checked_sub(1).map_or(0, |at| byte(bytes, at));
    left != b'_' && !left.is_ascii_alphanumeric()
}

/// A key around its mark.
fn around(bytes: &[u8], start: usize, end: usize, marked: &Marked) -> Option<Range<usize>> {
    let (head, least, most) = marked.head;
    let before = bytes.get(..start)?.iter().rev().take(most + 1).take_while(|byte| head.has(**byte)).count();
    let (tail, fewest, longest) = marked.tail;
    let behind = bytes.get(end..)?.iter().take(longest + 1).take_while(|byte| tail.has(**byte)).count();
    let fits = (least..=most).contains(&before) && (fewest..=longest).contains(&behind);
    (fits && begins(bytes, start - before)).then(|| start - before..end + behind)
}

/// Who issues keys with this number.
pub(super) fn issuer(number: usize) -> Option<&'static str> {
    let marked = || MARKED.get(number.checked_sub(KNOWN.len())?).map(|marked| marked.issuer);
    KNOWN.get(number).map(|known| known.issuer).or_else(marked)
}

/// Different characters that the rest of a key has at least; `sk-xxxxxxxx…` stands for one and is none.
const VARIETY: usize = 6;

impl Body {
    /// Whether this byte may stand in it. Of hexadecimal digits the capitals count too, so that a longer word is seen whole.
    fn has(self, byte: u8) -> bool {
        let also: &[u8] = match self {
            Body::Digits => return byte.is_ascii_digit(),
            Body::Plain | Body::Hex | Body::Block => b"",
            Body::Dashed => b"_-",
            Body::Dotted | Body::Token => b"_-.~",
            Body::Base64 => b"+/=_-",
        };
        byte.is_ascii_alphanumeric() || also.contains(&byte)
    }
}

/// Where the rest of a key ends, if it is long enough and not a row of words.
fn rest(bytes: &[u8], start: usize, known: &Known) -> Option<usize> {
    let behind = bytes.get(start..)?.iter().take(known.most + 1);
    let len = behind.take_while(|byte| known.body.has(**byte)).count();
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
    "admin_key",
    "signing_key",
    "master_key",
    "account_key",
    "encryption_key",
    "authtoken",
    "authorization",
    "credential",
    "passwort",
    "senha",
    "contraseña",
    "mot de passe",
    "wachtwoord",
];

/// The longest of them, in bytes.
const LONGEST_NAME: usize = 14;

/// What may stand between a name and its value, as HTTP has it.
const SCHEMES: [&[u8]; 3] = [b"bearer ", b"basic ", b"token "];

/// A secret behind a name and the `:` or `=` at this place: `password = "…"`.
pub(crate) fn named(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    named_over(bytes, at, at + 1)
}

/// A secret behind a name and the word ` is ` at this place: `the password is …`.
pub(super) fn said(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    named_over(bytes, at, at + 4)
}

/// A secret behind a name that ends before `at`, the secret from `behind` on.
fn named_over(bytes: &[u8], at: usize, behind: usize) -> Option<Range<usize>> {
    let blank = |byte: &u8| matches!(byte, b' ' | b'"' | b'\'' | b'`' | b'\\');
    let head = bytes.get(..at)?;
    let name_end = at - head.iter().rev().take(3).take_while(|byte| blank(byte)).count();
    let name = bytes.get(name_end.saturating_sub(LONGEST_NAME)..name_end)?;
    let is_name = |known: &&str| {
        let tail = name.len().checked_sub(known.len()).and_then(|from| name.get(from..));
        tail.is_some_and(|tail| tail.eq_ignore_ascii_case(known.as_bytes()))
    };
    NAMES.iter().find(|known| is_name(known))?;
    let ahead = bytes.get(behind..)?;
    let mut start = behind + ahead.iter().take(4).take_while(|byte| blank(byte) || **byte == b'=').count();
    let next = bytes.get(start..)?;
    let starts =
        |scheme: &&&[u8]| next.get(..scheme.len()).is_some_and(|next| next.eq_ignore_ascii_case(scheme));
    start += SCHEMES.iter().find(starts).map_or(0, |scheme| scheme.len());
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
    let is_inside = |byte: &&u8| byte.is_ascii_graphic() && !b"/\"'`<>{}$".contains(byte);
    let len = bytes.get(start..)?.iter().take(512).take_while(is_inside).count();
    let authority = bytes.get(start..start + len)?;
    let end = authority.iter().rposition(|byte| *byte == b'@')?;
    let user = authority.get(..end)?.iter().position(|byte| *byte == b':')?;
    let password = authority.get(user + 1..end)?;
    // `?` and `#` end an authority, but people write passwords with them; `host:8080?at=@x` has none.
    let is_open = |byte: &u8| matches!(byte, b'?' | b'#');
    let port = password.iter().take_while(|byte| !is_open(byte)).all(u8::is_ascii_digit);
    if authority.get(..user)?.iter().any(is_open) || (port && password.iter().any(is_open)) {
        return None;
    }
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
    // What no name of a variable, a type or a path has.
    let odd = value.iter().filter(|byte| b"!#%*+?~^&@=$".contains(byte)).count();
    let made_up = made_up || (value.len() >= 8 && classes >= 3 && odd >= 2);
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
