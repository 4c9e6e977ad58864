//! Where a JSON string ends. Strings are nearly all of a body, so 64 bytes are looked at together.

use wide::u8x16;

/// How many bytes are looked at together.
const BLOCK: usize = 64;

/// Passes over a string whose inside begins at `from`. Where it ends, the closing quote included, and whether it has escapes;
/// or the place where it is no string of JSON.
#[inline]
pub(super) fn pass(bytes: &[u8], from: usize) -> Result<(usize, bool), usize> {
    // Most strings are keys and other short ones.
    if let Some(first) = bytes.get(from..).and_then(|rest| rest.first_chunk()) {
        let at = from + marks_of(*first).trailing_zeros() as usize;
        if at < from + first.len() && bytes.get(at) == Some(&b'"') {
            return Ok((at + 1, false));
        }
    }
    pass_long(bytes, from)
}

#[inline(never)]
fn pass_long(bytes: &[u8], from: usize) -> Result<(usize, bool), usize> {
    let (mut escaped, mut passed, mut block) = (false, from, from);
    while let Some(rest) = bytes.get(block..).filter(|rest| !rest.is_empty()) {
        let mut marks = match rest.first_chunk() {
            Some(whole) => marks(whole),
            None => last_marks(rest),
        };
        while marks != 0 {
            let at = block + marks.trailing_zeros() as usize;
            marks &= marks - 1;
            if at < passed {
                // The second byte of an escape.
                continue;
            }
            match bytes.get(at) {
                Some(b'"') => return Ok((at + 1, escaped)),
                Some(b'\\') => {
                    escaped = true;
                    passed = at + escape(bytes.get(at + 1..).unwrap_or_default()).ok_or(at)?;
                }
                _ => return Err(at),
            }
        }
        block += BLOCK;
    }
    Err(bytes.len())
}

/// How long an escape is, the backslash before `rest` included; `None` if it is none.
fn escape(rest: &[u8]) -> Option<usize> {
    match rest.first()? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' if rest.get(1..5)?.iter().all(u8::is_ascii_hexdigit) => Some(6),
        _ => None,
    }
}

/// Which bytes of a block end a string, begin an escape or are controls; the first byte in the lowest bit.
fn marks(block: &[u8; BLOCK]) -> u64 {
    let (parts, _) = block.as_chunks::<16>();
    // In a long string nearly no block has any.
    if parts.iter().fold(u8x16::splat(0), |any, part| any | stops(*part)).to_bitmask() == 0 {
        return 0;
    }
    parts.iter().rev().fold(0, |marks, part| marks << 16 | u64::from(marks_of(*part)))
}

/// The same of what is left behind the last whole block.
fn last_marks(rest: &[u8]) -> u64 {
    let mut last = [b' '; BLOCK];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    marks(&last)
}

fn marks_of(part: [u8; 16]) -> u32 {
    stops(part).to_bitmask()
}

/// All ones where a byte stops.
fn stops(part: [u8; 16]) -> u8x16 {
    let part = u8x16::new(part);
    let is_quote = part.simd_eq(u8x16::splat(b'"'));
    let is_backslash = part.simd_eq(u8x16::splat(b'\\'));
    let is_control = part.min(u8x16::splat(0x1f)).simd_eq(part);
    is_quote | is_backslash | is_control
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same, byte by byte.
    fn slowly(bytes: &[u8], from: usize) -> Result<(usize, bool), usize> {
        let (mut at, mut escaped) = (from, false);
        loop {
            match bytes.get(at) {
                Some(b'"') => return Ok((at + 1, escaped)),
                Some(b'\\') => {
                    escaped = true;
                    at += escape(&bytes[at + 1..]).ok_or(at)?;
                }
                Some(0x20..) => at += 1,
                _ => return Err(at),
            }
        }
    }

    #[test]
    fn marks_what_stops_and_nothing_else() {
        for byte in 0..=u8::MAX {
            let stops = byte < 0x20 || byte == b'"' || byte == b'\\';
            for at in [0, 15, 16, 40, 63] {
                let mut bytes = [b'a'; BLOCK];
                bytes[at] = byte;
                assert_eq!(marks(&bytes), u64::from(stops) << at, "{byte} at {at}");
                assert_eq!(last_marks(&bytes[..=at]), u64::from(stops) << at, "{byte} last at {at}");
            }
        }
    }

    proptest! {
        #[test]
        fn agrees_with_going_byte_by_byte(
            runs in prop::collection::vec(("[a-zé ]{0,70}", r#"(\\["\\/bfnrtu]|\\u00[0-9a-g]{2}|\\x|"|\n)?"#), 0..8),
            from in 0usize..80,
        ) {
            let text: String = runs.into_iter().flat_map(|(run, stop)| [run, stop]).collect();
            let from = from.min(text.len());
            prop_assert_eq!(pass(text.as_bytes(), from), slowly(text.as_bytes(), from));
        }
    }
}
