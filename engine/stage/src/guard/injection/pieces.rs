//! Long texts in pieces, so that an instruction among much else is not drowned.

/// A piece of what users say has at most about so many bytes: what the embedding model reads at once.
pub(super) const SAID: usize = 800;
/// A piece of a document or a tool's result.
pub(super) const GIVEN: usize = 320;

/// The pieces of a text: at most about `size` bytes each, cut behind sentences or lines if there are, else between words.
/// Each begins with the last sentence of the one before, if that is short, so that nothing is lost at a seam.
pub(crate) fn pieces(text: &str, size: usize) -> Vec<&str> {
    let text = text.trim();
    let mut all = Vec::new();
    let mut start = 0;
    while let Some(rest) = text.get(start..).filter(|rest| !rest.is_empty()) {
        if rest.len() <= size + size / 4 {
            all.push(rest);
            break;
        }
        let head = rest.get(..floor(rest, size)).unwrap_or(rest);
        let stop = |from: usize| {
            let ends = |(at, c): (usize, char)| {
                let next = head.get(at + c.len_utf8()..).and_then(|behind| behind.chars().next());
                let ends = match c {
                    '\n' | '。' | '！' | '？' => true,
                    '.' | '!' | '?' | ';' => next.is_none_or(char::is_whitespace),
                    _ => false,
                };
                (ends && at >= from).then_some(at + c.len_utf8())
            };
            head.char_indices().rev().find_map(ends)
        };
        let end = stop(size / 2)
            .or_else(|| head.rfind(char::is_whitespace).filter(|at| *at > size / 2).map(|at| at + 1))
            .unwrap_or(head.len());
        let piece = rest.get(..end).unwrap_or(rest);
        all.push(piece.trim_end());
        // The last sentence again.
        let inner = piece.trim_end();
        let inner = inner.get(..inner.len().saturating_sub(1)).unwrap_or_default();
        let last = inner.rfind(['\n', '.', '!', '?']).map_or(piece.len(), |at| piece.len() - at - 1);
        let again = if last <= size / 4 { last } else { 0 };
        start += ceil(text, start, end - again);
    }
    all
}

fn floor(text: &str, place: usize) -> usize {
    (0..=place.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// The bytes from `start` to the next boundary at or behind `start + step`, one at least.
fn ceil(text: &str, start: usize, step: usize) -> usize {
    (step.max(1)..)
        .find(|step| text.is_char_boundary(start + step) || start + step >= text.len())
        .unwrap_or(step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn short_texts_are_one_piece_and_long_ones_are_cut_behind_sentences() {
        assert_eq!(pieces("  one. two. ", 100), ["one. two."]);
        let text = "This is a sentence of about fifty bytes, no less. ".repeat(10);
        let cut = pieces(&text, 120);
        assert!(cut.len() > 4 && cut.iter().all(|piece| piece.ends_with('.')), "{cut:?}");
        assert!(pieces("", 100).is_empty());
    }

    proptest! {
        #[test]
        fn every_character_is_in_a_piece_and_none_is_too_long(text in "[a-zé .\n]{0,600}", size in 40usize..200) {
            let cut = pieces(&text, size);
            prop_assert!(cut.iter().all(|piece| piece.len() <= size + size / 4));
            // Each piece goes on where the one before ends, or sooner.
            let start = text.as_ptr().addr();
            let mut seen = 0;
            for piece in &cut {
                let at = piece.as_ptr().addr() - start;
                prop_assert!(text.get(seen..at.max(seen)).is_some_and(|gap| gap.trim().is_empty()), "{cut:?}");
                seen = at + piece.len();
            }
            prop_assert!(text.get(seen..).is_some_and(|rest| rest.trim().is_empty()));
        }
    }
}
