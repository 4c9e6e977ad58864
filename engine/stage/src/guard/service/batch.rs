//! Texts as a service is asked about them: several in one question, a long one in several.

use super::super::action::Place;
use super::super::spans::floor;
use std::ops::Range;
use weir_message::TextRole;

/// A text to judge.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    /// Its number on the walk through all texts.
    pub(crate) index: usize,
    /// What it is for.
    pub(crate) role: TextRole,
    /// Where it stands.
    pub(crate) place: Place,
    /// The text as people read it, escapes undone.
    pub(crate) text: String,
    /// So many bytes at its start were judged already and stand there so that the rest is understood.
    pub(crate) before: usize,
}

/// How much one question may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Most {
    /// Characters of all texts together.
    pub(crate) chars: usize,
    /// Texts.
    pub(crate) texts: usize,
}

/// What one question is about.
#[derive(Debug)]
pub(crate) struct Batch<'p> {
    /// Its number among the questions about one request, reply or part of a stream.
    pub(crate) number: usize,
    pub(crate) parts: Vec<Part<'p>>,
}

/// A text of a question, or a part of one.
#[derive(Clone, Debug)]
pub(crate) struct Part<'p> {
    pub(crate) piece: &'p Piece,
    /// Which of all pieces it is.
    pub(super) number: usize,
    /// Where in the piece's text it begins.
    pub(super) from: usize,
    pub(crate) text: &'p str,
}

/// Parts of a long text begin with so many characters of the one before, so that nothing is lost at a seam.
const OVERLAP: usize = 200;

/// Between two texts that are asked about as one.
const BETWEEN: &str = "\n\n";

/// The questions that all pieces make.
pub(crate) fn batches(pieces: &[Piece], most: Most) -> Vec<Batch<'_>> {
    let mut batches: Vec<Batch<'_>> = Vec::new();
    let mut left = 0;
    for (number, piece) in pieces.iter().enumerate() {
        for range in cut(&piece.text, most.chars) {
            let from = range.start;
            let text = piece.text.get(range).unwrap_or_default();
            let chars = text.chars().count() + BETWEEN.len();
            let part = Part { piece, number, from, text };
            match batches.last_mut().filter(|batch| chars <= left && batch.parts.len() < most.texts) {
                Some(batch) => batch.parts.push(part),
                None => {
                    left = most.chars + BETWEEN.len();
                    batches.push(Batch { number: batches.len(), parts: vec![part] });
                }
            }
            left = left.saturating_sub(chars);
        }
    }
    batches
}

/// Where a text is cut so that no part has more than so many characters: behind white space where there is some.
fn cut(text: &str, most: usize) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut from = 0;
    while let Some(rest) = text.get(from..).filter(|rest| !rest.is_empty()) {
        let end = rest.char_indices().nth(most).map_or(rest.len(), |(at, _)| at);
        if end == rest.len() {
            parts.push(from..text.len());
            break;
        }
        let head = rest.get(..end).unwrap_or(rest);
        let end = head.rfind(char::is_whitespace).filter(|at| *at > end / 2).map_or(end, |at| {
            at + head.get(at..).and_then(|tail| tail.chars().next()).map_or(1, char::len_utf8)
        });
        parts.push(from..from + end);
        let again = rest.get(..end).unwrap_or(rest).char_indices().rev().nth(OVERLAP.min(most / 4));
        from += again.map_or(end, |(at, _)| at).max(1);
        from = floor_up(text, from);
    }
    parts
}

/// The nearest place at or behind `place` where a character begins.
fn floor_up(text: &str, place: usize) -> usize {
    (place..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len())
}

impl Batch<'_> {
    /// All its texts as one.
    pub(crate) fn joined(&self) -> String {
        let texts: Vec<&str> = self.parts.iter().map(|part| part.text).collect();
        texts.join(BETWEEN)
    }

    /// Where a range of [`Batch::joined`] stands, by characters: the parts it touches, and the bytes of their texts.
    pub(crate) fn locate(&self, chars: Range<usize>) -> Vec<(usize, Range<usize>)> {
        let mut at = 0;
        let mut found = Vec::new();
        for (number, part) in self.parts.iter().enumerate() {
            let count = part.text.chars().count();
            let (start, end) = (chars.start.max(at), chars.end.min(at + count));
            if start < end {
                found.push((number, bytes(part.text, start - at..end - at)));
            }
            at += count + BETWEEN.len();
        }
        found
    }
}

/// The bytes of a range of characters.
pub(crate) fn bytes(text: &str, chars: Range<usize>) -> Range<usize> {
    let place = |n: usize| text.char_indices().nth(n).map_or(text.len(), |(at, _)| at);
    let start = place(chars.start);
    start..place(chars.end).max(start)
}

/// Where a part of a text that a service quotes stands in it, wherever it does.
pub(crate) fn quoted(text: &str, quote: &str) -> Vec<Range<usize>> {
    match quote {
        "" => Vec::new(),
        quote => text.match_indices(quote).map(|(at, _)| at..floor(text, at + quote.len())).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn piece(text: &str) -> Piece {
        Piece { index: 0, role: TextRole::User, place: Place::WHOLE, text: text.to_owned(), before: 0 }
    }

    #[test]
    fn short_texts_share_a_question_and_long_ones_take_several() {
        let pieces = [piece("one two"), piece("three"), piece(&"word ".repeat(60)), piece("last")];
        let all = batches(&pieces, Most { chars: 100, texts: 9 });
        assert!(all.len() >= 4, "{all:?}");
        assert!(all.iter().all(|batch| batch.joined().chars().count() <= 100), "{all:?}");
        assert_eq!(all.first().map(|batch| batch.parts.len()), Some(2));
        let apart = batches(&pieces[..2], Most { chars: 100, texts: 1 });
        assert_eq!(apart.len(), 2);
    }

    #[test]
    fn a_range_of_all_texts_leads_back_to_each() {
        let pieces = [piece("é one"), piece("zwei")];
        let all = batches(&pieces, Most { chars: 100, texts: 9 });
        let batch = &all[0];
        assert_eq!(batch.joined(), "é one\n\nzwei");
        assert_eq!(batch.locate(2..5), [(0, 3..6)]);
        assert_eq!(batch.locate(2..9), [(0, 3..6), (1, 0..2)]);
        assert_eq!(batch.locate(7..99), [(1, 0..4)]);
        assert!(batch.locate(5..7).is_empty());
        assert_eq!(quoted("a b a", "a"), [0..1, 4..5]);
        assert!(quoted("a", "").is_empty());
    }

    proptest! {
        #[test]
        fn every_character_is_asked_about(text in "[a-zé \n]{0,400}", most in 8usize..60) {
            let pieces = [piece(&text)];
            let mut seen = 0;
            for batch in batches(&pieces, Most { chars: most, texts: 3 }) {
                for part in &batch.parts {
                    prop_assert!(part.text.chars().count() <= most);
                    prop_assert!(part.from <= seen, "a gap before {}", part.from);
                    prop_assert!(part.from + part.text.len() > seen, "no way on");
                    seen = part.from + part.text.len();
                }
            }
            prop_assert_eq!(seen, text.len());
        }
    }
}
