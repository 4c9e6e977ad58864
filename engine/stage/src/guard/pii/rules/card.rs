//! Payment cards and bank accounts.

use super::number::{Code, Written, luhn, number, value};
use super::starts_clean;

/// Where a card number that starts here ends.
///
/// Issuers and lengths: ISO/IEC 7812 ranges as the networks publish them.
pub(super) fn card(bytes: &[u8], start: usize, code: &Code) -> Option<usize> {
    if code.leading_digits() < 12 || !starts_clean(bytes, start) {
        return None;
    }
    let code = code.with(b" -");
    (12..=19.min(code.len())).rev().find_map(|n| {
        let (digits, end) = code.digits(bytes, n)?;
        (is_issued(digits) && luhn(digits) && is_grouped(code, n)).then_some(end)
    })
}

/// The lengths of bank account numbers.
const SHORTEST_IBAN: usize = 15;
const LONGEST_IBAN: usize = 34;

/// Where a bank account number (IBAN, ISO 13616) that starts here ends.
pub(super) fn iban(bytes: &[u8], start: usize, code: &Code) -> Option<usize> {
    let country = bytes.get(start..start + 2)?;
    if !country.iter().all(u8::is_ascii_alphabetic) || !starts_clean(bytes, start) {
        return None;
    }
    let code = code.with(b" -");
    let (head, body) = code.all().get(..code.len().min(LONGEST_IBAN))?.split_at_checked(4)?;
    if !head.iter().skip(2).all(u8::is_ascii_digit) {
        return None;
    }
    // ISO 7064: all of it as one number, the first four characters last, leaves 1 when divided by 97. Few lengths do, and
    // only those are looked up.
    let mut rests = [0; LONGEST_IBAN];
    let mut rest = 0;
    for (slot, char) in rests.iter_mut().zip(body) {
        rest = append(rest, *char);
        *slot = rest;
    }
    let checks = head.iter().fold(0, |rest, char| append(rest, *char));
    (SHORTEST_IBAN..=4 + body.len()).rev().find_map(|n| {
        let rest = rests.get(n.checked_sub(5)?)?;
        if (rest * HEAD + checks) % 97 != 1 {
            return None;
        }
        let (chars, end) = code.chars(bytes, n)?;
        std::str::from_utf8(chars).ok()?.parse::<iban::Iban>().is_ok().then_some(end)
    })
}

/// What two letters and two digits multiply the number in front of them by, modulo 97.
const HEAD: u32 = 1_000_000 % 97;

/// A number modulo 97 with one more character behind it; letters are two digits, from 10.
fn append(rest: u32, char: u8) -> u32 {
    match char {
        b'0'..=b'9' => (rest * 10 + value(char)) % 97,
        _ => (rest * 100 + 10 + u32::from(char.wrapping_sub(b'A'))) % 97,
    }
}

fn is_issued(digits: &[u8]) -> bool {
    let first = |n: usize| number(digits.get(..n).unwrap_or_default());
    let len = digits.len();
    match (first(4), first(2)) {
        (2200..=2204, _) => (16..=19).contains(&len),
        (2221..=2720, _) | (_, 51..=55) => len == 16,
        (_, 40..=49) => matches!(len, 13 | 16 | 19),
        (_, 34 | 37) => len == 15,
        (6011, _) | (6440..=6499, _) | (_, 65) => (16..=19).contains(&len),
        (3528..=3589, _) => (16..=19).contains(&len),
        (3000..=3059 | 3095, _) | (_, 36 | 38 | 39) => (14..=19).contains(&len),
        (_, 62) => (16..=19).contains(&len),
        (_, 60 | 81 | 82) => len == 16,
        (_, 50 | 56..=58 | 63 | 67) => (12..=19).contains(&len),
        _ => false,
    }
}

/// In one piece, in groups of four, or as American Express and Diners print it.
fn is_grouped(code: Written<'_>, n: usize) -> bool {
    let mut fours = [4; 5];
    let whole = n / 4;
    if let Some(last) = fours.get_mut(whole) {
        *last = n % 4;
    }
    let count = whole + usize::from(!n.is_multiple_of(4));
    code.grouped(&[n])
        || fours.get(..count).is_some_and(|fours| code.grouped(fours))
        || (n == 15 && code.grouped(&[4, 6, 5]))
        || (n == 14 && code.grouped(&[4, 6, 4]))
}
