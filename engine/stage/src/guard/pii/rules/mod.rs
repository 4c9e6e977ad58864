//! Finding personal data by its shape and its check digits, in one walk over the text.
//!
//! The walk stops only at the few bytes that a find must hold (a digit, `@`, `:`, `=`), and each rule looks around that place
//! no further than its longest form. Keys with known beginnings have a search of their own.

mod birth;
mod card;
mod email;
mod ip;
mod mac;
mod national;
mod number;
mod phone;
mod stated;
mod wallet;

use super::find::{Find, What};
use super::kind::{Kind, Kinds};
use crate::guard::secrets::shapes::{Keys, named};
use regex::Regex;

pub(crate) use phone::Region;

/// The longest find that may have blanks in it, in bytes (a bank account in groups of four).
pub(crate) const LONGEST_SPACED: usize = 48;

/// The longest find without blanks, in bytes; a JSON web token. Longer ones are found, but a stream does not wait for more.
pub(crate) const LONGEST_UNBROKEN: usize = 8192;

/// The rules of one guard.
pub(crate) struct Rules {
    kinds: Kinds,
    stops: [bool; 256],
    national: bool,
    stated: bool,
    regions: Vec<Region>,
    keys: Option<Keys>,
    custom: Vec<Regex>,
}

impl Rules {
    /// Rules for these kinds, national telephone numbers of these regions, and the policy's own patterns.
    pub(crate) fn new(kinds: Kinds, regions: Vec<Region>, custom: Vec<Regex>) -> Self {
        let national = Kind::NATIONAL.iter().any(|kind| kinds.has(*kind));
        let stated = kinds.any(stated::is_stated);
        let by_digit =
            [Kind::Phone, Kind::Card, Kind::Iban, Kind::Ip, Kind::Mac, Kind::Crypto, Kind::BirthDate];
        let digits = national || stated || by_digit.iter().any(|kind| kinds.has(*kind));
        let mut stops = [false; 256];
        for byte in 0..=255u8 {
            let stop = match byte {
                b'@' => kinds.has(Kind::Email),
                b':' => kinds.has(Kind::Ip) || kinds.has(Kind::Key) || kinds.has(Kind::Mac),
                b'=' => kinds.has(Kind::Key),
                byte => digits && byte.is_ascii_digit(),
            };
            if let Some(slot) = stops.get_mut(usize::from(byte)) {
                *slot = stop;
            }
        }
        let keys = kinds.has(Kind::Key).then(Keys::new);
        Self { kinds, stops, national, stated, regions, keys, custom }
    }

    /// Adds what it finds in `text`, in no stated order and perhaps overlapping.
    pub(crate) fn scan(&self, text: &str, finds: &mut Vec<Find>) {
        if let Some(keys) = &self.keys {
            keys.scan(text, |range, _| finds.push(Find::new(Kind::Key, range.start, range.end, 0.95)));
        }
        let bytes = text.as_bytes();
        let mut at = 0;
        while let Some(offset) = self.next_stop(bytes.get(at..).unwrap_or_default()) {
            let stop = at + offset;
            at = match byte(bytes, stop) {
                b'@' => self.at_sign(text, stop, finds),
                b':' | b'=' => self.colon(bytes, stop, finds),
                _ => self.digit(bytes, stop, finds),
            }
            .max(stop + 1);
        }
        for (number, pattern) in self.custom.iter().enumerate() {
            let what = What::Custom(u16::try_from(number).unwrap_or(u16::MAX));
            let found = pattern.find_iter(text).filter(|found| !found.is_empty());
            finds.extend(found.map(|found| Find {
                what,
                start: found.start(),
                end: found.end(),
                score: 1.0,
            }));
        }
    }

    fn next_stop(&self, bytes: &[u8]) -> Option<usize> {
        bytes.iter().position(|byte| self.stops.get(usize::from(*byte)).is_some_and(|stop| *stop))
    }

    fn at_sign(&self, text: &str, stop: usize, finds: &mut Vec<Find>) -> usize {
        let Some(found) = email::around(text, stop) else { return stop + 1 };
        finds.push(Find::new(Kind::Email, found.start, found.end, 1.0));
        found.end
    }

    fn colon(&self, bytes: &[u8], stop: usize, finds: &mut Vec<Find>) -> usize {
        if self.kinds.has(Kind::Key)
            && let Some(found) = named(bytes, stop)
        {
            finds.push(Find::new(Kind::Key, found.start, found.end, 0.7));
        }
        if self.kinds.has(Kind::Mac)
            && byte(bytes, stop) == b':'
            && let Some(found) = mac::around(bytes, stop)
        {
            finds.push(Find::new(Kind::Mac, found.start, found.end, 0.9));
            return found.end;
        }
        if self.kinds.has(Kind::Ip)
            && byte(bytes, stop) == b':'
            && let Some(found) = ip::v6(bytes, stop)
        {
            finds.push(Find::new(Kind::Ip, found.start, found.end, 0.9));
            return found.end;
        }
        stop + 1
    }

    /// All rules about numbers, for the word around a digit.
    fn digit(&self, bytes: &[u8], stop: usize, finds: &mut Vec<Find>) -> usize {
        let word = word(bytes, stop);
        if self.kinds.has(Kind::Mac)
            && let Some(found) = mac::around(bytes, stop)
        {
            finds.push(Find::new(Kind::Mac, found.start, found.end, 0.9));
            return found.end;
        }
        if self.kinds.has(Kind::Crypto) && wallet::address(bytes, &word) {
            finds.push(Find::new(Kind::Crypto, word.start, word.end, 1.0));
            return word.end;
        }
        if self.kinds.has(Kind::BirthDate)
            && let Some(found) = birth::date(bytes, word.start)
        {
            finds.push(Find::new(Kind::BirthDate, found.start, found.end, 0.9));
            return found.end.max(word.end);
        }
        if self.kinds.has(Kind::Ip)
            && let Some(found) = ip::v4(bytes, word.start)
        {
            finds.push(Find::new(Kind::Ip, found.start, found.end, 0.9));
            return found.end;
        }
        if self.kinds.has(Kind::Card)
            && let Some(end) = card::card(bytes, word.start)
        {
            finds.push(Find::new(Kind::Card, word.start, end, 1.0));
        }
        if self.kinds.has(Kind::Iban)
            && let Some(end) = card::iban(bytes, word.start)
        {
            finds.push(Find::new(Kind::Iban, word.start, end, 1.0));
        }
        if self.national {
            national::scan(bytes, &word, self.kinds, finds);
        }
        if self.stated {
            stated::scan(bytes, word.start, self.kinds, finds);
        }
        if self.kinds.has(Kind::Phone)
            && let Some((found, score)) = phone::phone(bytes, word.start, &self.regions)
        {
            finds.push(Find::new(Kind::Phone, found.start, found.end, score));
        }
        word.end
    }
}

/// The byte at an offset; 0 behind the end.
fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

/// The byte in front of an offset; 0 at the start.
fn before(bytes: &[u8], at: usize) -> u8 {
    at.checked_sub(1).map_or(0, |at| byte(bytes, at))
}

/// The run of ASCII letters and digits around an offset.
fn word(bytes: &[u8], at: usize) -> std::ops::Range<usize> {
    let ahead = bytes.get(at..).unwrap_or_default();
    let behind = bytes.get(..at).unwrap_or_default();
    let start = at - behind.iter().rev().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    start..at + ahead.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count()
}

/// Whether a number may begin here: not inside a word, an identifier, or a longer number.
fn starts_clean(bytes: &[u8], start: usize) -> bool {
    match before(bytes, start) {
        b'_' => false,
        b'.' | b',' | b'-' | b'/' => !start.checked_sub(1).map_or(0, |at| before(bytes, at)).is_ascii_digit(),
        byte => !byte.is_ascii_alphanumeric(),
    }
}

/// Whether a number may end here.
fn ends_clean(bytes: &[u8], end: usize) -> bool {
    match byte(bytes, end) {
        b'_' => false,
        b'.' | b',' | b'-' | b'/' => !byte(bytes, end + 1).is_ascii_digit(),
        byte => !byte.is_ascii_alphanumeric(),
    }
}

/// Whether one of `words` (lower case) stands shortly before `start`.
fn said_before(bytes: &[u8], start: usize, words: &[&str]) -> bool {
    let shown = bytes.get(start.saturating_sub(LONGEST_SPACED)..start).unwrap_or_default();
    words.iter().any(|word| shown.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes())))
}

#[cfg(test)]
mod tests;
