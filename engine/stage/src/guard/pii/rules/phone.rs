//! Telephone numbers: a shape found by hand, then the numbering plans' word on it.

use super::{before, byte, said_before};
use phonenumber::metadata::DATABASE;
use std::ops::Range;

/// A region whose national numbers are found (`DE`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Region {
    id: phonenumber::country::Id,
    /// Whether it belongs to the North American plan, whose numbers stand in groups of 3-3-4.
    north_american: bool,
    /// Whether national numbers begin with 0.
    trunk: bool,
}

impl Region {
    /// The region with this ISO 3166 code.
    pub(crate) fn new(code: &str) -> Option<Self> {
        let id: phonenumber::country::Id = code.parse().ok()?;
        let metadata = DATABASE.by_id(id.as_ref())?;
        let north_american = metadata.country_code() == 1;
        Some(Self { id, north_american, trunk: metadata.national_prefix() == Some("0") })
    }
}

const SAID: &[&str] = &[
    "phone", "tel", "call", "mobile", "cell", "fax", "whatsapp", "sms", "text", "handy", "mobil", "ring",
    "dial", "anruf",
];

/// A telephone number whose first word starts at `word`, and how sure it is.
pub(super) fn phone(bytes: &[u8], word: usize, regions: &[Region]) -> Option<(Range<usize>, f32)> {
    let mut start = word;
    if before(bytes, start) == b'(' {
        start -= 1;
    }
    let plus = before(bytes, start) == b'+';
    if plus {
        start -= 1;
    }
    if !plus && !may_start(bytes, start) {
        return None;
    }
    let shape = Shape::read(bytes, start)?;
    // Words that follow may look like more of the number: from the longest form down.
    for groups in (1..=shape.groups).rev() {
        let Some(end) = shape.ends.get(groups - 1).copied() else { continue };
        let digits: usize = shape.lens.get(..groups).unwrap_or_default().iter().sum();
        if !(7..=15).contains(&digits) || !super::ends_clean(bytes, end) {
            continue;
        }
        let text = std::str::from_utf8(bytes.get(start..end)?).ok()?;
        let lens = shape.lens.get(..groups).unwrap_or_default();
        let global = plus.then(|| text.to_owned()).or_else(|| Some(format!("+{}", text.strip_prefix("00")?)));
        if let Some(global) = global {
            if is_valid(None, &global) {
                return Some((start..end, 1.0));
            }
            continue;
        }
        for region in regions {
            if let Some(score) = national(bytes, start, text, lens, *region) {
                return Some((start..end, score));
            }
        }
    }
    None
}

/// How sure it is that `text` is a national number of the region.
fn national(bytes: &[u8], start: usize, text: &str, lens: &[usize], region: Region) -> Option<f32> {
    let said = || said_before(bytes, start, SAID);
    if region.north_american {
        let shaped = matches!(lens, [3, 3, 4] | [1, 3, 3, 4]);
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_digit).collect();
        let ten = digits.get(digits.len().checked_sub(10)?..)?;
        let leads = digits.len() == 10 || (digits.len() == 11 && digits.first() == Some(&b'1'));
        // Numbers such as 555-123-4567 belong to nobody, but people who write them mean a telephone.
        let looks = ten.first().is_some_and(|digit| *digit >= b'2');
        if !leads || !looks || !(shaped || (matches!(lens, [10] | [11] | [3, 7]) && said())) {
            return None;
        }
        return Some(if is_valid(Some(region), text) { 0.9 } else { 0.6 });
    }
    if region.trunk && !text.trim_start_matches('(').starts_with('0') {
        return None;
    }
    let dated = matches!(lens, [4, 2, ..] | [2, 2, 4, ..] | [2, 2, 2]) && !said();
    let bare = lens.len() == 1 && !region.trunk && !said();
    (!dated && !bare && is_valid(Some(region), text)).then_some(0.8)
}

fn is_valid(region: Option<Region>, text: &str) -> bool {
    phonenumber::parse(region.map(|region| region.id), text).is_ok_and(|number| number.is_valid())
}

/// Not in the middle of a longer number, a word or an identifier.
fn may_start(bytes: &[u8], start: usize) -> bool {
    match before(bytes, start) {
        b' ' | b'.' | b'-' | b'/' | b',' | b')' | b':' => {
            !start.checked_sub(1).map_or(0, |at| before(bytes, at)).is_ascii_digit()
        }
        b'_' | b'#' | b'$' => false,
        byte => !byte.is_ascii_alphanumeric(),
    }
}

/// Groups of digits with what may stand between them: one or two of blank, dot, hyphen, slash and brackets.
struct Shape {
    lens: [usize; 10],
    ends: [usize; 10],
    groups: usize,
}

impl Shape {
    fn read(bytes: &[u8], start: usize) -> Option<Self> {
        let mut shape = Shape { lens: [0; 10], ends: [0; 10], groups: 0 };
        let mut at = start;
        while matches!(byte(bytes, at), b'+' | b'(') {
            at += 1;
        }
        while let (Some(len), Some(end)) =
            (shape.lens.get_mut(shape.groups), shape.ends.get_mut(shape.groups))
        {
            let digits = bytes
                .get(at..)
                .unwrap_or_default()
                .iter()
                .take(16)
                .take_while(|byte| byte.is_ascii_digit())
                .count();
            if digits == 0 {
                break;
            }
            at += digits;
            (*len, *end) = (digits, at);
            shape.groups += 1;
            let between = bytes.get(at..).unwrap_or_default().iter().take(3);
            let between = between.take_while(|byte| b" .-/()".contains(byte)).count();
            if between == 0 || between > 2 {
                break;
            }
            at += between;
        }
        (shape.groups > 0).then_some(shape)
    }
}
