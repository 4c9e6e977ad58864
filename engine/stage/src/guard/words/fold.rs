//! Texts as they are compared with the entries of a list.

use std::ops::Range;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::canonical_combining_class;

/// Shows a text as it is compared: compatibility forms and accents put together (NFKC), lower case unless case matters, one blank
/// for each row of blanks, nothing of what cannot be seen. Each character comes with the bytes that it stands for.
pub(super) fn fold(text: &str, match_case: bool, mut show: impl FnMut(Range<usize>, char)) {
    let mut blank = false;
    let mut shown = |at: Range<usize>, char: char| {
        let is_blank = char.is_whitespace();
        if !(is_blank && blank) {
            show(at, if is_blank { ' ' } else { char });
        }
        blank = is_blank;
    };
    let mut chars = text.char_indices().peekable();
    while let Some((start, char)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        if char.is_ascii() && next.is_none_or(|next| next.is_ascii()) {
            let char = if match_case { char } else { char.to_ascii_lowercase() };
            shown(start..start + 1, char);
            continue;
        }
        if is_unseen(char) {
            continue;
        }
        let mut end = start + char.len_utf8();
        while let Some((at, next)) = chars.next_if(|(_, next)| continues(*next)) {
            end = at + next.len_utf8();
        }
        for char in text.get(start..end).unwrap_or_default().nfkc().filter(|char| !is_unseen(*char)) {
            match match_case {
                true => shown(start..end, char),
                // Upper and then lower: `ß` and `SS`, `ς` and `Σ` are the same so.
                false => {
                    char.to_uppercase().flat_map(char::to_lowercase).for_each(|char| shown(start..end, char))
                }
            }
        }
    }
}

/// Whether it is put together with what stands in front: accents, vowels and finals of Hangul.
fn continues(char: char) -> bool {
    !char.is_ascii() && (canonical_combining_class(char) != 0 || matches!(char, '\u{1160}'..='\u{11ff}'))
}

/// Whether it takes no place and says nothing: zero-width characters, soft hyphens, marks of direction, variation selectors, tags.
pub(super) fn is_unseen(char: char) -> bool {
    matches!(
        char,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Whether a word may begin or end at this place, which is an end of `entry`: what stands on both sides is not of one word.
pub(super) fn is_bound(folded: &str, place: usize, entry: &Range<usize>) -> bool {
    let (Some(head), Some(tail)) = (folded.get(..place), folded.get(place..)) else { return false };
    let (Some(before), Some(behind)) = (head.chars().next_back(), tail.chars().next()) else { return true };
    if !is_word(before) || !is_word(behind) {
        return true;
    }
    // Particles follow Korean words without a blank; in front of one stands a blank.
    let at_end = place == entry.end;
    is_unspaced(before) || is_unspaced(behind) || (at_end && is_hangul(before))
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_' || canonical_combining_class(char) != 0
}

fn is_hangul(char: char) -> bool {
    matches!(char, '\u{ac00}'..='\u{d7af}')
}

/// Whether it is of a script that puts no blanks between words: Thai, Lao, Burmese, Khmer, kana, Han.
fn is_unspaced(char: char) -> bool {
    matches!(
        char,
        '\u{e00}'..='\u{eff}'
            | '\u{1000}'..='\u{109f}'
            | '\u{1780}'..='\u{17ff}'
            | '\u{3005}'..='\u{3007}'
            | '\u{3040}'..='\u{30ff}'
            | '\u{31f0}'..='\u{31ff}'
            | '\u{3400}'..='\u{4dbf}'
            | '\u{4e00}'..='\u{9fff}'
            | '\u{f900}'..='\u{faff}'
            | '\u{20000}'..='\u{3347f}'
    )
}
