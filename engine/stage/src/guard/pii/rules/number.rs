//! Numbers and codes written with or without separators.

use super::{byte, ends_clean};

const MOST: usize = 36;

/// Letters and digits from a place on, separators left out and letters in upper case. Between two of them stands at most one
/// separator.
pub(super) struct Code {
    chars: [u8; MOST],
    /// One past each character in the text.
    ends: [usize; MOST],
    len: usize,
}

impl Code {
    /// Reads from `start`, past single separators.
    pub(super) fn read(bytes: &[u8], start: usize, separators: &[u8]) -> Self {
        let mut code = Code { chars: [0; MOST], ends: [0; MOST], len: 0 };
        let mut at = start;
        while let (Some(char), Some(end)) = (code.chars.get_mut(code.len), code.ends.get_mut(code.len)) {
            if code.len > 0 && separators.contains(&byte(bytes, at)) {
                at += 1;
            }
            let next = byte(bytes, at);
            if !next.is_ascii_alphanumeric() {
                break;
            }
            at += 1;
            (*char, *end) = (next.to_ascii_uppercase(), at);
            code.len += 1;
        }
        code
    }

    /// How many characters there are (at most 36).
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The first `n` characters, if there are so many and the text may end there.
    pub(super) fn chars(&self, bytes: &[u8], n: usize) -> Option<(&[u8], usize)> {
        let chars = self.chars.get(..n).filter(|_| n <= self.len)?;
        let end = self.ends.get(n.checked_sub(1)?).copied()?;
        ends_clean(bytes, end).then_some((chars, end))
    }

    /// The same, if all of them are digits.
    pub(super) fn digits(&self, bytes: &[u8], n: usize) -> Option<(&[u8], usize)> {
        self.chars(bytes, n).filter(|(chars, _)| chars.iter().all(u8::is_ascii_digit))
    }

    /// Whether the first characters stand in groups of these lengths. One group: no separators.
    pub(super) fn grouped(&self, groups: &[usize]) -> bool {
        let total = groups.iter().sum();
        let mut next = 0;
        let mut seams = groups.iter().map(|group| {
            next += group;
            next
        });
        let mut seam = seams.next();
        for n in 1..total {
            let (Some(one), Some(two)) = (self.ends.get(n - 1), self.ends.get(n)) else { return false };
            let is_seam = seam == Some(n);
            if is_seam {
                seam = seams.next();
            }
            if (two - one > 1) != is_seam {
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
