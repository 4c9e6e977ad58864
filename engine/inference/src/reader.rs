//! From text to token ids, with the model's own tokenizer.

use tokenizers::Tokenizer;

/// A model's tokenizer, and the marks it puts around a text.
pub(crate) struct Reader {
    tokenizer: Tokenizer,
    before: Vec<u32>,
    after: Vec<u32>,
    pad: u32,
}

/// One token of a text: the bytes it stands for and whether a word begins with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) id: u32,
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) starts_word: bool,
}

impl Reader {
    /// A reader from the content of a `tokenizer.json`.
    pub(crate) fn new(json: &[u8]) -> Result<Self, String> {
        let mut tokenizer = Tokenizer::from_bytes(json).map_err(|cause| cause.to_string())?;
        tokenizer.with_padding(None).with_truncation(None).map_err(|cause| cause.to_string())?;
        // `[SEP]` in a user's text is five characters and not the end of the text.
        tokenizer.set_encode_special_tokens(true);
        let pad = ["[PAD]", "<pad>"].iter().find_map(|mark| tokenizer.token_to_id(mark)).unwrap_or(0);
        let ids = |special| {
            tokenizer.encode("a", special).map(|one| one.get_ids().to_vec()).map_err(|e| e.to_string())
        };
        let (plain, marked) = (ids(false)?, ids(true)?);
        let place = marked
            .windows(plain.len().max(1))
            .position(|run| run == plain)
            .ok_or("the tokenizer changes a text when it marks it")?;
        let before = marked.iter().take(place).copied().collect();
        let after = marked.iter().skip(place + plain.len()).copied().collect();
        Ok(Reader { tokenizer, before, after, pad })
    }

    /// The id that fills short rows of a batch.
    pub(crate) fn pad(&self) -> u32 {
        self.pad
    }

    /// How many ids the marks around a text take.
    pub(crate) fn marks(&self) -> usize {
        self.before.len() + self.after.len()
    }

    /// The ids of a text, marks included.
    pub(crate) fn ids(&self, text: &str) -> Result<Vec<u32>, String> {
        let encoding = self.tokenizer.encode_fast(text, false).map_err(|cause| cause.to_string())?;
        Ok(self.marked(encoding.get_ids().iter().copied()))
    }

    /// Puts the marks around ids.
    pub(crate) fn marked(&self, ids: impl Iterator<Item = u32>) -> Vec<u32> {
        self.before.iter().copied().chain(ids).chain(self.after.iter().copied()).collect()
    }

    /// How many ids stand before those of the text.
    pub(crate) fn before(&self) -> usize {
        self.before.len()
    }

    /// The tokens of a part of a text that starts at byte `offset`; places are in the whole text.
    pub(crate) fn pieces(&self, part: &str, offset: usize) -> Result<Vec<Piece>, String> {
        let encoding = self.tokenizer.encode(part, false).map_err(|cause| cause.to_string())?;
        let mut last = None;
        let pieces = encoding.get_ids().iter().zip(encoding.get_offsets()).zip(encoding.get_word_ids());
        Ok(pieces
            .map(|((id, (start, end)), word)| {
                let start = part.floor_char_boundary(*start);
                let end = part.ceil_char_boundary(*end).max(start);
                let starts_word = word.is_none() || last != Some(*word);
                last = Some(*word);
                Piece { id: *id, start: offset + start, end: offset + end, starts_word }
            })
            .collect())
    }
}

/// Where to end a part of `text` of about `most` bytes: after a blank if there is one in its second half, so that no word
/// is cut, else between two characters.
pub(crate) fn part_end(text: &str, most: usize) -> usize {
    if text.len() <= most {
        return text.len();
    }
    let end = text.floor_char_boundary(most.max(4));
    let half = text.floor_char_boundary(end / 2);
    let tail = text.get(half..end).unwrap_or_default();
    match tail.char_indices().rev().find(|(_, letter)| letter.is_whitespace()) {
        Some((place, blank)) => half + place + blank.len_utf8(),
        None => end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny() -> Reader {
        Reader::new(include_bytes!("../testdata/tiny-classifier/tokenizer.json")).unwrap()
    }

    #[test]
    fn marks_stand_around_a_text_and_are_not_read_from_it() {
        let reader = tiny();
        assert_eq!((reader.before(), reader.marks(), reader.pad()), (1, 2, 0));
        assert_eq!(reader.ids("good day").unwrap(), [2, 4, 10, 3]);
        assert!(!reader.ids("good [SEP] day").unwrap()[1..4].contains(&3));
    }

    #[test]
    fn places_are_bytes_of_the_whole_text() {
        let pieces = tiny().pieces("a gööd day", 100).unwrap();
        let places: Vec<_> = pieces.iter().map(|piece| (piece.start - 100, piece.end - 100)).collect();
        assert_eq!(places, [(0, 1), (2, 8), (9, 12)]);
        assert!(pieces.iter().all(|piece| piece.starts_word));
    }

    #[test]
    fn parts_end_after_a_blank_or_between_characters() {
        for (text, most, want) in [
            ("", 8, 0),
            ("short", 8, 5),
            ("one two three", 9, 8),
            ("one twothree four", 14, 13),
            ("one twothreefour", 12, 12),
            ("éééééééé", 5, 4),
            ("你好你好", 4, 3),
            ("😀😀", 1, 4),
        ] {
            assert_eq!(part_end(text, most), want, "{text}");
        }
    }

    #[test]
    fn what_is_no_tokenizer_is_refused() {
        assert!(Reader::new(b"{}").is_err());
    }
}
