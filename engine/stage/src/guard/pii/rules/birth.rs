//! Dates of birth: a date in figures or with the month's name, behind words that say what it is.

use super::number::{is_date, number};
use super::stated::{said, says};
use super::{before, byte, ends_clean, starts_clean};
use std::ops::Range;

/// What says that a date is somebody's birth, in small letters; without the letters that are not ASCII.
const WORDS: &[&str] = &[
    "born",
    "birth",
    "dob",
    "d.o.b",
    "birthday",
    "geboren",
    "geburtsdatum",
    "geb.",
    "naissance",
    "n\u{e9} le",
    "n\u{e9}e le",
    "nacimiento",
    "nacido",
    "nacida",
    "nascita",
    "nato il",
    "nata il",
    "nascimento",
    "nascido",
    "nascida",
    "geboortedatum",
    "出生",
    "生日",
];

/// How months begin, in eight languages; each beginning stands for one month.
const MONTHS: &[(&str, u64)] = &[
    ("jan", 1),
    ("gen", 1),
    ("ene", 1),
    ("jän", 1),
    ("feb", 2),
    ("fév", 2),
    ("fev", 2),
    ("mar", 3),
    ("mär", 3),
    ("maa", 3),
    ("mrz", 3),
    ("apr", 4),
    ("avr", 4),
    ("abr", 4),
    ("may", 5),
    ("mai", 5),
    ("mei", 5),
    ("mag", 5),
    ("jun", 6),
    ("juin", 6),
    ("giu", 6),
    ("jul", 7),
    ("juil", 7),
    ("lug", 7),
    ("aug", 8),
    ("aoû", 8),
    ("ago", 8),
    ("sep", 9),
    ("set", 9),
    ("oct", 10),
    ("okt", 10),
    ("ott", 10),
    ("out", 10),
    ("nov", 11),
    ("dec", 12),
    ("dez", 12),
    ("déc", 12),
    ("dic", 12),
];

/// A date near a number that begins at `start`, and whether words before it say that somebody was born then.
pub(super) fn date(bytes: &[u8], start: usize) -> Option<Range<usize>> {
    let found =
        in_figures(bytes, start).or_else(|| day_first(bytes, start)).or_else(|| month_first(bytes, start))?;
    let shown = said(bytes, found.start);
    WORDS.iter().any(|word| says(&shown, word)).then_some(found)
}

/// The digits at a place, at most `most` of them.
fn digits(bytes: &[u8], at: usize, most: usize) -> Option<(u64, usize)> {
    let shown = bytes.get(at..)?;
    let count = shown.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (1..=most).contains(&count).then(|| (number(shown.get(..count).unwrap_or_default()), at + count))
}

fn is_year(year: u64, length: usize) -> bool {
    match length {
        4 => (1880..=2100).contains(&year),
        2 => true,
        _ => false,
    }
}

/// `1985-03-12`, `12.03.1985`, `3/12/85`, `1985年3月12日`.
fn in_figures(bytes: &[u8], start: usize) -> Option<Range<usize>> {
    if !starts_clean(bytes, start) {
        return None;
    }
    let sign = |at: usize| match bytes.get(at..)? {
        [sign @ (b'.' | b'-' | b'/'), b' ', ..] if *sign == b'.' => Some((*sign, 2)),
        [sign @ (b'.' | b'-' | b'/'), ..] => Some((*sign, 1)),
        rest => {
            ["年", "月"].iter().find(|mark| rest.starts_with(mark.as_bytes())).map(|mark| (b'n', mark.len()))
        }
    };
    let (one, at) = digits(bytes, start, 4)?;
    let (first, step) = sign(at)?;
    let (two, next) = digits(bytes, at + step, 2)?;
    let (second, step) = sign(next)?;
    let from = next + step;
    let (three, end) = digits(bytes, from, 4)?;
    let fits = if at - start == 4 {
        is_year(one, 4) && is_date(two, three) && end - from <= 2
    } else {
        is_year(three, end - from) && (is_date(one, two) || is_date(two, one))
    };
    let end =
        if bytes.get(end..).is_some_and(|rest| rest.starts_with("日".as_bytes())) { end + 3 } else { end };
    (fits && first == second && ends_clean(bytes, end)).then_some(start..end)
}

/// The month whose name stands at a place, and where the name ends.
fn month(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let rest = bytes.get(at..bytes.len().min(at + 16))?;
    let count = rest.iter().take_while(|byte| byte.is_ascii_alphabetic() || **byte >= 0x80).count();
    let name = String::from_utf8_lossy(rest.get(..count)?).to_lowercase();
    let longest =
        MONTHS.iter().filter(|(begins, _)| name.starts_with(begins)).max_by_key(|(begins, _)| begins.len());
    longest.filter(|_| name.chars().count() <= 10).map(|(_, month)| (*month, at + count))
}

/// The place behind any of these signs.
fn past(bytes: &[u8], mut at: usize, signs: &[u8]) -> usize {
    while signs.contains(&byte(bytes, at)) && byte(bytes, at) != 0 {
        at += 1;
    }
    at
}

/// The year behind a day and a month.
fn year(bytes: &[u8], at: usize) -> Option<usize> {
    let from = past(bytes, at, b" ,.");
    let from = match bytes.get(from..) {
        Some([b'd' | b'D', b'e' | b'E', b' ', ..]) => from + 3,
        _ => from,
    };
    let (year, end) = digits(bytes, from, 4)?;
    (is_year(year, end - from) && end - from == 4 && ends_clean(bytes, end)).then_some(end)
}

/// `12 March 1985`, `12. März 1985`, `12 de marzo de 1985`, `12th of March 1985`.
fn day_first(bytes: &[u8], start: usize) -> Option<Range<usize>> {
    let (day, at) = digits(bytes, start, 2)?;
    let at = match bytes.get(at..) {
        Some([b's' | b'n' | b'r' | b't', b't' | b'd' | b'h', ..]) => at + 2,
        _ => at,
    };
    let at = past(bytes, at, b" .");
    let at = match bytes.get(at..) {
        Some([b'd' | b'o', b'e' | b'f', b' ', ..]) => at + 3,
        _ => at,
    };
    let (month, at) = month(bytes, at)?;
    let end = year(bytes, at)?;
    (is_date(month, day) && starts_clean(bytes, start)).then_some(start..end)
}

/// `March 12, 1985`.
fn month_first(bytes: &[u8], start: usize) -> Option<Range<usize>> {
    let behind = bytes.get(..start)?;
    let blank = behind.iter().rev().take_while(|byte| **byte == b' ' || **byte == b'.').count();
    let letters =
        behind.iter().rev().skip(blank).take(12).take_while(|byte| byte.is_ascii_alphabetic()).count();
    let from = start - blank - letters;
    let (month, _) = month(bytes, from).filter(|_| letters >= 3 && blank > 0)?;
    let (day, at) = digits(bytes, start, 2)?;
    let at = match bytes.get(at..) {
        Some([b's' | b'n' | b'r' | b't', b't' | b'd' | b'h', ..]) => at + 2,
        _ => at,
    };
    let end = year(bytes, at)?;
    (is_date(month, day) && !before(bytes, from).is_ascii_alphanumeric()).then_some(from..end)
}
