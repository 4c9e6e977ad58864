//! Payment cards and bank accounts.

use super::number::{Code, luhn, number};
use super::starts_clean;

/// Where a card number that starts here ends.
///
/// Issuers and lengths: ISO/IEC 7812 ranges as the networks publish them.
pub(super) fn card(bytes: &[u8], start: usize) -> Option<usize> {
    if !starts_clean(bytes, start) {
        return None;
    }
    let code = Code::read(bytes, start, b" -");
    (12..=19.min(code.len())).rev().find_map(|n| {
        let (digits, end) = code.digits(bytes, n)?;
        (is_issued(digits) && is_grouped(&code, n) && luhn(digits)).then_some(end)
    })
}

/// Where a bank account number (IBAN, ISO 13616) that starts here ends.
pub(super) fn iban(bytes: &[u8], start: usize) -> Option<usize> {
    let country = bytes.get(start..start + 2)?;
    if !country.iter().all(u8::is_ascii_alphabetic) || !starts_clean(bytes, start) {
        return None;
    }
    let code = Code::read(bytes, start, b" -");
    (15..=34.min(code.len())).rev().find_map(|n| {
        let (chars, end) = code.chars(bytes, n)?;
        let text = std::str::from_utf8(chars).ok()?;
        text.parse::<iban::Iban>().is_ok().then_some(end)
    })
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
fn is_grouped(code: &Code, n: usize) -> bool {
    let fours: &[usize] = &[4, 4, 4, 4, 4];
    let rest = n % 4;
    let groups: Vec<usize> = fours.iter().copied().take(n / 4).chain((rest > 0).then_some(rest)).collect();
    code.grouped(&[n])
        || code.grouped(&groups)
        || (n == 15 && code.grouped(&[4, 6, 5]))
        || (n == 14 && code.grouped(&[4, 6, 4]))
}
