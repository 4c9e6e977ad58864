//! Numbers and codes written with or without separators.

use super::{byte, ends_clean};

const MOST: usize = 36;

/// What may stand between the characters of a code.
const SEPARATORS: [u8; 4] = *b" -.+";

/// Letters and digits from a place on, separators left out and letters in upper case. Between two of them stands at most one
/// separator. It is read once for all rules; each looks at it [with](Code::with) the separators that it allows.
pub(super) struct Code {
    chars: [u8; MOST],
    /// One past each character in the text.
    ends: [usize; MOST],
    len: usize,
    /// How many of the first characters are digits.
    digits: usize,
    /// How many characters stand in front of the first separator of each kind.
    seams: [usize; SEPARATORS.len()],
}

impl Code {
    /// Reads from `start`, past single separators.
    pub(super) fn read(bytes: &[u8], start: usize) -> Self {
        let mut code =
            Code { chars: [0; MOST], ends: [0; MOST], len: 0, digits: MOST, seams: [MOST; SEPARATORS.len()] };
        let mut at = start;
        while let (Some(char), Some(end)) = (code.chars.get_mut(code.len), code.ends.get_mut(code.len)) {
            let mut next = byte(bytes, at);
            let seam = SEPARATORS.iter().position(|separator| *separator == next).filter(|_| code.len > 0);
            if seam.is_some() {
                at += 1;
                next = byte(bytes, at);
            }
            if !next.is_ascii_alphanumeric() {
                break;
            }
            if let Some(seam) = seam.and_then(|kind| code.seams.get_mut(kind)) {
                *seam = (*seam).min(code.len);
            }
            if !next.is_ascii_digit() {
                code.digits = code.digits.min(code.len);
            }
            at += 1;
            (*char, *end) = (next.to_ascii_uppercase(), at);
            code.len += 1;
        }
        code.digits = code.digits.min(code.len);
        code
    }

    /// How many of the first characters are digits, whatever stands between them.
    pub(super) fn leading_digits(&self) -> usize {
        self.digits
    }

    /// As it reads where only these separators may stand in it.
    pub(super) fn with(&self, separators: &[u8]) -> Written<'_> {
        let seams = SEPARATORS.iter().zip(self.seams);
        let others = seams.filter(|(separator, _)| !separators.contains(separator)).map(|(_, seam)| seam);
        Written { code: self, len: others.fold(self.len, usize::min) }
    }
}

/// A code with the separators that one rule allows.
#[derive(Clone, Copy)]
pub(super) struct Written<'c> {
    code: &'c Code,
    len: usize,
}

impl<'c> Written<'c> {
    /// How many characters there are (at most 36).
    pub(super) fn len(self) -> usize {
        self.len
    }

    /// All characters.
    pub(super) fn all(self) -> &'c [u8] {
        self.code.chars.get(..self.len).unwrap_or_default()
    }

    /// The first `n` characters, if there are so many and the text may end there.
    pub(super) fn chars(self, bytes: &[u8], n: usize) -> Option<(&'c [u8], usize)> {
        let chars = self.code.chars.get(..n).filter(|_| n <= self.len)?;
        let end = self.code.ends.get(n.checked_sub(1)?).copied()?;
        ends_clean(bytes, end).then_some((chars, end))
    }

    /// The same, if all of them are digits.
    pub(super) fn digits(self, bytes: &[u8], n: usize) -> Option<(&'c [u8], usize)> {
        self.chars(bytes, n).filter(|_| n <= self.code.digits)
    }

    /// Whether the first characters stand in groups of these lengths. One group: no separators.
    pub(super) fn grouped(self, groups: &[usize]) -> bool {
        let ends = &self.code.ends;
        let total = groups.iter().sum();
        let mut next = 0;
        let mut seams = groups.iter().map(|group| {
            next += group;
            next
        });
        let mut seam = seams.next();
        for n in 1..total {
            let (Some(one), Some(two)) = (ends.get(n - 1), ends.get(n)) else { return false };
            let is_seam = seam == Some(n);
            if is_seam {
                seam = seams.next();
            }
            // Behind the last character stands nothing.
            if (two.saturating_sub(*one) > 1) != is_seam {
                return false;
            }
        }
        self.len >= total
    }
}

/// The value of a digit.
pub(super) fn value(digit: u8) -> u32 {
    u32::from(digit.wrapping_sub(b'0'))
}

/// The number that digits write; at most 18 of them.
pub(super) fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0u64, |sum, digit| sum.wrapping_mul(10).wrapping_add(u64::from(value(*digit))))
}

/// Whether the last digit is Luhn's check digit of the others (ISO/IEC 7812-1).
pub(super) fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(n, digit)| match (n % 2, value(*digit)) {
            (0, value) => value,
            (_, value) if value > 4 => value * 2 - 9,
            (_, value) => value * 2,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Whether a month and a day can be.
pub(super) fn is_date(month: u64, day: u64) -> bool {
    (1..=12).contains(&month) && (1..=31).contains(&day)
}
