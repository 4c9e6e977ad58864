//! Hardware addresses of network devices (IEEE 802): six pairs of hexadecimal digits, or three groups of four.

use super::{before, byte};
use std::ops::Range;

/// So far is looked around a place: what goes on for longer than an address is none.
const LOOK: usize = 24;

/// The address around a place in it.
pub(super) fn around(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let is_part = |byte: &&u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'-' | b'.');
    let behind = bytes.get(at.saturating_sub(LOOK)..at)?;
    let mut start = at - behind.iter().rev().take_while(is_part).count();
    let ahead = bytes.get(at..bytes.len().min(at + LOOK))?;
    let mut end = at + ahead.iter().take_while(is_part).count();
    // A name in front of it (`mac:`) may end in letters that digits are written with too.
    if before(bytes, start).is_ascii_alphanumeric() {
        start += bytes.get(start..end)?.iter().position(|byte| *byte == b':')?;
    }
    // What ends a sentence, or that name, belongs to no address.
    while start < end && matches!(byte(bytes, start), b':' | b'-' | b'.') {
        start += 1;
    }
    while end > start && matches!(byte(bytes, end - 1), b':' | b'-' | b'.') {
        end -= 1;
    }
    let left = before(bytes, start);
    if left == b'_'
        || left.is_ascii_alphanumeric()
        || byte(bytes, end).is_ascii_alphanumeric()
        || byte(bytes, end) == b'_'
    {
        return None;
    }
    let chars = bytes.get(start..end)?;
    is_address(chars).then_some(start..end)
}

fn is_address(chars: &[u8]) -> bool {
    let groups = |sign: u8, size: usize| {
        chars
            .split(|byte| *byte == sign)
            .all(|group| group.len() == size && group.iter().all(u8::is_ascii_hexdigit))
    };
    let fits = match chars.len() {
        17 => groups(b':', 2) || groups(b'-', 2),
        14 => groups(b'.', 4),
        _ => false,
    };
    let digits = || chars.iter().filter(|byte| byte.is_ascii_hexdigit());
    // Nobody's: all zeros, and everybody's: all ones.
    fits && !digits().all(|byte| *byte == b'0') && !digits().all(|byte| byte.eq_ignore_ascii_case(&b'f'))
}
