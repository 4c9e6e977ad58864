//! National ids, each by its length, its parts and its check digits; weak ones only with a word beside them that says so.

use super::number::{Code, is_date, luhn, number, value};
use super::{before, said_before, starts_clean};
use crate::guard::pii::find::Find;
use crate::guard::pii::kind::{Kind, Kinds};
use std::ops::Range;

/// Adds the national ids that start at (or just before) the word.
pub(super) fn scan(bytes: &[u8], word: &Range<usize>, kinds: Kinds, finds: &mut Vec<Find>) {
    // All but tax codes written wholly in stand-in letters have six digits close together.
    let shown = bytes.get(word.start..bytes.len().min(word.start + 24)).unwrap_or_default();
    if word.len() != 16 && shown.iter().filter(|byte| byte.is_ascii_digit()).count() < 6 {
        return;
    }
    // A letter or two may stand apart in front: `AB 12 34 56 C`, `X-1234567-L`.
    let apart = |letters: usize, between: &[u8]| {
        let start = word.start.checked_sub(letters + 1)?;
        let (head, gap) = bytes.get(start..word.start)?.split_at_checked(letters)?;
        let fits = head.iter().all(u8::is_ascii_alphabetic) && gap.iter().all(|byte| between.contains(byte));
        (fits && !before(bytes, start).is_ascii_alphanumeric()).then_some(start)
    };
    for (kind, rule, start) in [
        (Kind::UkNino, uk_nino as Rule, apart(2, b" ").unwrap_or(word.start)),
        (Kind::EsDni, es_dni, apart(1, b"-").unwrap_or(word.start)),
        (Kind::UsSsn, us_ssn, word.start),
        (Kind::DeSteuerId, de_steuer_id, word.start),
        (Kind::FrNir, fr_nir, word.start),
        (Kind::ItCodiceFiscale, it_codice_fiscale, word.start),
        (Kind::NlBsn, nl_bsn, word.start),
        (Kind::PlPesel, pl_pesel, word.start),
        (Kind::SePersonnummer, se_personnummer, word.start),
        (Kind::BrCpf, br_cpf, word.start),
        (Kind::InAadhaar, in_aadhaar, word.start),
    ] {
        if kinds.has(kind)
            && starts_clean(bytes, start)
            && let Some((end, score)) = rule(bytes, start)
        {
            finds.push(Find::new(kind, start, end, score));
        }
    }
}

/// Where an id that starts here ends, and how sure it is.
type Rule = fn(&[u8], usize) -> Option<(usize, f32)>;

/// Area, group and serial as the SSA hands them out; nine bare digits only after a word that says so.
fn us_ssn(bytes: &[u8], start: usize) -> Option<(usize, f32)> {
    let code = Code::read(bytes, start, b"- ");
    let (digits, end) = code.digits(bytes, 9)?;
    let parts = [digits.get(..3)?, digits.get(3..5)?, digits.get(5..)?].map(number);
    let [area, group, serial] = parts;
    let given = !matches!(area, 0 | 666 | 900..) && group > 0 && serial > 0;
    // Printed on sample cards and never valid since.
    let sample = matches!(parts, [78, 5, 1120] | [219, 9, 9999]);
    let said = || said_before(bytes, start, &["ssn", "social security", "social-security"]);
    let sure = code.grouped(&[3, 2, 4]) || (code.grouped(&[9]) && said());
    (given && !sample && sure).then_some((end, 0.9))
}

/// HMRC's manual NIM39110: the prefixes in use, six digits, a suffix from A to D.
fn uk_nino(bytes: &[u8], start: usize) -> Option<(usize, f32)> {
    let code = Code::read(bytes, start, b" ");
    let (chars, end) = code.chars(bytes, 9)?;
    let (prefix, rest) = chars.split_at_checked(2)?;
    let (digits, suffix) = rest.split_at_checked(6)?;
    let [first, second] = prefix else { return None };
    let letter = |letter: &u8| letter.is_ascii_uppercase() && !b"DFIQUV".contains(letter);
    let used = letter(first)
        && letter(second)
        && *second != b'O'
        && ![b"BG", b"GB", b"KN", b"NK", b"NT", b"TN", b"ZZ"].iter().any(|no| no.as_slice() == prefix);
    let fits = digits.iter().all(u8::is_ascii_digit) && matches!(suffix, [b'A'..=b'D']);
    let grouped = code.grouped(&[9]) || code.grouped(&[2, 2, 2, 2, 1]) || code.grouped(&[2, 6, 1]);
    (used && fits && grouped).then_some((end, 0.9))
}

/// § 139b AO: one digit two or three times among the first ten, ISO 7064 MOD 11,10.
fn de_steuer_id(bytes: &[u8], start: usize) -> Option<(usize, f32)> {
    let code = Code::read(bytes, start, b" ");
    let (digits, end) = code.digits(bytes, 11)?;
    let (body, check) = digits.split_at_checked(10)?;
    let mut counts = [0u8; 10];
    for digit in body {
        *counts.get_mut(value(*digit) as usize)? += 1;
    }
    let repeated: Vec<u8> = counts.into_iter().filter(|count| *count > 1).collect();
    let mut product = 10;
    for digit in body {
        let sum = (value(*digit) + product) % 10;
        product = (if sum == 0 { 10 } else { sum }) * 2 % 11;
    }
    let right = (11 - product) % 10 == value(*check.first()?);
    let fits = !body.starts_with(b"0") && matches!(repeated.as_slice(), [2 | 3]) && right;
    (fits && (code.grouped(&[11]) || code.grouped(&[2, 3, 3, 3]))).then_some((end, 0.8))
}

/// INSEE's number: sex, year, month, department, commune, order, key (97 less the rest by 97).
fn fr_nir(bytes: &[u8], start: usize) -> Option<(usize, f32)> {
    let code = Code::read(bytes, start, b" ");
    let (chars, end) = code.chars(bytes, 15)?;
    let mut digits: [u8; 15] = chars.try_into().ok()?;
    // Corsica's departments 2A and 2B count as 19 and 18.
    let department = digits.get_mut(5..7)?;
    match &*department {
        b"2A" => department.copy_from_slice(b"19"),
        b"2B" => department.copy_from_slice(b"18"),
        _ => {}
    }
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let month = number(digits.get(3..5)?);
    let fits =
        matches!(digits.first()?, b'1'..=b'4' | b'7' | b'8') && matches!(month, 1..=12 | 20..=42 | 50..=99);
    let right = 97 - number(digits.get(..13)?) % 97 == number(digits.get(13..)?);
    let grouped = code.grouped(&[15]) || code.grouped(&[13, 2]) || code.grouped(&[1, 2, 2, 2, 3, 3, 2]);
    (fits && right && grouped).then_some((end, 1.0))
}

/// Eight digits (or X, Y, Z and seven) and the letter that the number modulo 23 gives.
fn es_dni(bytes: &[u8], start: usize) -> Option<(usize, f32)> {
    let code = Code::read(bytes, start, b"-.");
    let (chars, end) = code.chars(bytes, 9)?;
    let (body, letter) = chars.split_at_checked(8)?;
    let mut digits: [u8; 8] = body.try_into().ok()?;
    let first = digits.first_mut()?;
    if let b'X'..=b'Z' = *first {
        *first = *first - b'X' + b'0';
    }
    let rest = usize::try_from(number(&digits) % 23).ok()?;
    let right = letter.first() == b"TRWAGMYFPDXBNJZSQVHLCKE".get(rest);
    let grouped =
        [&[9][..], &[8, 1], &[1, 7, 1], &[1, 8], &[2, 3, 3, 1]].iter().any(|groups| code.grouped(groups));
    (digits.iter().all(u8::is_ascii_digit) && right && grouped).then_some((end, 0.9))
}

/// D.M. 23/12/1976: sixteen letters and digits, the last a check letter; letters may stand in for digits (omocodia).
fn it_codice_fiscale(bytes: &[u8], start: usize) -> Option<(usize, f32)> {
    const ODD: [u32; 26] =
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    let code = Code::read(bytes, start, b"");
    let (chars, end) = code.chars(bytes, 16)?;
    let shaped = chars.iter().enumerate().all(|(n, char)| match n {
        6 | 7 | 9 | 10 | 12..=14 => char.is_ascii_digit() || b"LMNPQRSTUV".contains(char),
        8 => b"ABCDEHLMPRST".contains(char),
        _ => char.is_ascii_uppercase(),
    });
    let mut sum = 0;
    for (n, char) in chars.iter().take(15).enumerate() {
        let place = if char.is_ascii_digit() { value(*char) } else { u32::from(char.wrapping_sub(b'A')) };
        sum += if n % 2 == 0 { ODD.get(place as usize)? } else { &place };
    }
    (shaped && u32::from(chars.last()?.wrapping_sub(b'A')) == sum % 26).then_some((end, 1.0))
}

/// The eleven test; every eleventh number passes it, so a word must say so.
fn nl_bsn(bytes: &[u8], start: usize) -> Option<(usize, f32)> {
    let code = Code::read(bytes, start, b". ");
    let (digits, end) = code.digits(bytes, 9)?;
    let sum: i64 = digits
        .iter()
        .zip([9, 8, 7, 6, 5, 4, 3, 2, -1])
        .map(|(digit, weight)| i64::from(value(*digit)) * weight)
        .sum();
    let said = said_before(bytes, start, &["bsn", "burgerservice", "sofinummer", "citizen service"]);
    let grouped = code.grouped(&[9]) || code.grouped(&[4, 2, 3]) || code.grouped(&[3, 3, 3]);
    (sum != 0 && sum % 11 == 0 && said && grouped).then_some((end, 0.9))
}

/// A date of birth, an order, a check digit by the weights 1 3 7 9.
fn pl_pesel(bytes: &[u8], start: usize) -> Option<(usize, f32)> {
    let code = Code::read(bytes, start, b"");
    let (digits, end) = code.digits(bytes, 11)?;
    let weights = [1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1];
    let sum: u32 = digits.iter().zip(weights).map(|(digit, weight)| value(*digit) * weight).sum();
    // The month carries the century: 81 to 92 for the 1800s, 21 to 32 for the 2000s.
    let date = is_date(number(digits.get(2..4)?) % 20, number(digits.get(4..6)?));
    (date && sum.is_multiple_of(10)).then_some((end, 0.75))
}

/// Skatteverket's number: a date of birth, a sign, four digits, Luhn's check over the last ten.
fn se_personnummer(bytes: &[u8], start: usize) -> Option<(usize, f32)> {
    let code = Code::read(bytes, start, b"-+");
    let long =
        code.digits(bytes, 12).filter(|(digits, _)| digits.starts_with(b"19") || digits.starts_with(b"20"));
    let (digits, end) = long.or_else(|| code.digits(bytes, 10))?;
    let ten = digits.get(digits.len().checked_sub(10)?..)?;
    // Coordination numbers add 60 to the day.
    let day = number(ten.get(4..6)?);
    let date = is_date(number(ten.get(2..4)?), if day > 60 { day - 60 } else { day });
    let grouped = code.grouped(&[digits.len() - 4, 4]) || (digits.len() == 12 && code.grouped(&[12]));
    let said = || said_before(bytes, start, &["personnummer", "personal number", "samordningsnummer"]);
    (date && luhn(ten) && (grouped || (code.grouped(&[10]) && said()))).then_some((end, 0.85))
}

/// Receita Federal's number: nine digits and two check digits modulo 11.
fn br_cpf(bytes: &[u8], start: usize) -> Option<(usize, f32)> {
    let code = Code::read(bytes, start, b".-");
    let (digits, end) = code.digits(bytes, 11)?;
    let check = |n: usize| {
        let weights = (2..=u32::try_from(n + 1).unwrap_or(0)).rev();
        let sum: u32 = digits.iter().zip(weights).map(|(digit, weight)| value(*digit) * weight).sum();
        let rest = sum * 10 % 11 % 10;
        digits.get(n).is_some_and(|digit| value(*digit) == rest)
    };
    let same = digits.iter().all(|digit| Some(digit) == digits.first());
    let grouped = code.grouped(&[11]) || code.grouped(&[3, 3, 3, 2]) || code.grouped(&[9, 2]);
    let score = if code.grouped(&[11]) { 0.6 } else { 0.95 };
    (!same && check(9) && check(10) && grouped).then_some((end, score))
}

/// UIDAI's number: twelve digits in fours, the first not 0 or 1, Verhoeff's check digit; bare ones only after their name.
fn in_aadhaar(bytes: &[u8], start: usize) -> Option<(usize, f32)> {
    let code = Code::read(bytes, start, b" -");
    let (digits, end) = code.digits(bytes, 12)?;
    let said = || said_before(bytes, start, &["aadhaar", "aadhar", "uidai"]);
    let grouped = code.grouped(&[4, 4, 4]) || (code.grouped(&[12]) && said());
    (grouped && *digits.first()? > b'1' && verhoeff(digits)?).then_some((end, 0.85))
}

/// Verhoeff's check (1969) in the dihedral group of the pentagon.
fn verhoeff(digits: &[u8]) -> Option<bool> {
    const TURN: [u8; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    let times = |a: u8, b: u8| match (a / 5, b / 5) {
        (0, 0) => (a + b) % 5,
        (0, _) => (a + b) % 5 + 5,
        (_, 0) => (a + 5 - b) % 5 + 5,
        (_, _) => (a + 5 - b) % 5,
    };
    let mut sum = 0;
    for (n, digit) in digits.iter().rev().enumerate() {
        let mut turned = digit.wrapping_sub(b'0');
        for _ in 0..n % 8 {
            turned = *TURN.get(usize::from(turned))?;
        }
        sum = times(sum, turned);
    }
    Some(sum == 0)
}
