//! Overlapping windows over a text too long for one look: each token is judged where it has context on both sides.

use crate::reader::Piece;

/// Tokens `start..end` are shown to the model; its word on tokens `keep_start..keep_end` counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) keep_start: usize,
    pub(crate) keep_end: usize,
}

/// Windows of at most `size` tokens that overlap by about a quarter; cuts and seams fall between words, unless a word is
/// longer than half a window. The kept parts cover every token once, in order.
pub(crate) fn windows(pieces: &[Piece], size: usize) -> Vec<Window> {
    let size = size.max(4);
    let overlap = size / 4;
    let mut windows: Vec<Window> = Vec::new();
    let (mut start, mut keep_start) = (0, 0);
    while keep_start < pieces.len() {
        let end = word_start(pieces, (start + size).min(pieces.len()), size / 2);
        let last = end >= pieces.len();
        let keep_end = if last { end } else { word_start(pieces, end - overlap / 2, overlap / 4) };
        let keep_end = keep_end.max(keep_start + 1);
        windows.push(Window { start, end, keep_start, keep_end });
        keep_start = keep_end;
        start = word_start(pieces, keep_start.saturating_sub(overlap / 2), overlap / 4).max(start + 1);
    }
    windows
}

/// The nearest place at or before `place` where a word begins, if it is at most `most` tokens away; else `place`.
fn word_start(pieces: &[Piece], place: usize, most: usize) -> usize {
    let begins = |at: usize| pieces.get(at).is_none_or(|piece| piece.starts_word);
    (place.saturating_sub(most)..=place).rev().find(|at| begins(*at)).unwrap_or(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(words: &[usize]) -> Vec<Piece> {
        let piece = |starts_word| Piece { id: 1, start: 0, end: 0, starts_word };
        words.iter().flat_map(|length| (0..*length).map(|n| piece(n == 0))).collect()
    }

    #[test]
    fn kept_parts_cover_every_token_once_with_context_around_them() {
        for (words, size) in [
            (vec![1; 3], 126),
            (vec![1; 126], 126),
            (vec![1; 127], 126),
            (vec![1; 5000], 126),
            (vec![3; 700], 126),
            (vec![90; 40], 126),
            (vec![400; 3], 126),
            ([1, 2, 3, 4, 5, 6, 7, 8, 9, 10].repeat(30), 20),
            (vec![1; 50], 4),
        ] {
            let pieces = pieces(&words);
            let windows = windows(&pieces, size);
            let mut covered = 0;
            for (number, window) in windows.iter().enumerate() {
                assert!(window.end - window.start <= size, "{words:?} {window:?}");
                assert_eq!(window.keep_start, covered, "{words:?} {windows:?}");
                assert!(window.start <= window.keep_start && window.keep_end <= window.end, "{window:?}");
                if size > 20 && number > 0 && words[0] == 1 {
                    assert!(window.keep_start - window.start >= size / 10, "{window:?}");
                }
                covered = window.keep_end;
            }
            assert_eq!(covered, pieces.len(), "{words:?}");
        }
    }

    #[test]
    fn seams_fall_between_words() {
        let pieces = pieces(&[3; 700]);
        for window in windows(&pieces, 126) {
            for seam in [window.start, window.keep_start, window.keep_end, window.end] {
                assert!(seam == pieces.len() || pieces[seam].starts_word, "{window:?}");
            }
        }
    }

    #[test]
    fn no_text_has_no_window() {
        assert_eq!(windows(&[], 126), Vec::new());
    }
}
