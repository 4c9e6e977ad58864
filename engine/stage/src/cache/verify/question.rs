//! A question as the verifier reads it: its words, what kind each is of, and the model's vector of each.

use super::rules::Marks;
use super::words::{FRAMES, LITTLE};
use std::ops::Range;
use weir_inference::Reading;

/// The mean of token vectors, then the directions that are kept of each.
const PROJECTION: &[u8] = include_bytes!("projection.bin");
/// The length of the embedding model's vectors.
const FULL: usize = 384;
/// The length of a word's vector as it is kept.
pub(super) const KEPT: usize = 64;
/// What a word takes as it is kept: its vector, and how rare it is.
const BYTES: usize = KEPT + 1;
/// Words beyond these are not compared; a question of so many is not answered from the cache.
pub(super) const MOST_WORDS: usize = 96;
/// The vocabulary's ids: the first of a whole word, and their number.
const FIRST_WORD: f32 = 1996.0;
const VOCABULARY: f32 = 30_522.0;

/// A word and what is known of it.
#[derive(Clone, Debug)]
pub(super) struct Word {
    /// In lower case, without a possessive.
    pub(super) text: String,
    /// What its forms share.
    pub(super) stem: String,
    pub(super) kind: Kind,
    /// From 0, the most frequent of words, to 1.
    pub(super) rarity: f32,
    /// Begins with a capital letter, not at the beginning of a sentence.
    pub(super) name: bool,
    /// Its direction; none where the model has no token for it.
    pub(super) vector: Option<[f32; KEPT]>,
}

/// What a word is to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Articles, pronouns, prepositions, auxiliaries.
    Little,
    /// What asks and is polite around a question: `please`, `tell`, `hello`.
    Frame,
    /// A number in digits.
    Number,
    /// What it is about.
    Content,
}

/// A question, read.
pub(crate) struct Question {
    pub(super) words: Vec<Word>,
    pub(super) marks: Marks,
}

impl Question {
    /// Reads a text whose word vectors were kept by [`vectors`].
    pub(crate) fn of(text: &str, vectors: &[u8]) -> Self {
        let mut rows = vectors.chunks_exact(BYTES);
        let mut words: Vec<Word> = Vec::new();
        let mut starts = true;
        for range in words_of(text).take(MOST_WORDS) {
            let raw = text.get(range.clone()).unwrap_or_default();
            let row = rows.next();
            let (rarity, vector) = match row.and_then(<[u8]>::split_first) {
                Some((rarity, row)) => (f32::from(*rarity) / 255.0, unit(row)),
                None => (1.0, None),
            };
            words.push(Word::of(raw, starts, rarity, vector));
            starts = text.get(range.end..).is_some_and(|rest| rest.starts_with(['.', '!', '?', ':', '\n']));
        }
        Self { words, marks: Marks::of(text) }
    }

    /// The places of the words of a kind.
    pub(super) fn places(&self, kind: Kind) -> Vec<usize> {
        self.words.iter().enumerate().filter(|(_, word)| word.kind == kind).map(|(place, _)| place).collect()
    }
}

impl Word {
    fn of(raw: &str, starts: bool, rarity: f32, vector: Option<[f32; KEPT]>) -> Self {
        let lower = raw.to_lowercase().replace('’', "'");
        let text = lower.strip_suffix("'s").unwrap_or(&lower).to_owned();
        let kind = if text.starts_with(|c: char| c.is_ascii_digit()) {
            Kind::Number
        } else if LITTLE.contains(&text.as_str()) || text.contains("'") {
            Kind::Little
        } else if FRAMES.contains(&text.as_str()) {
            Kind::Frame
        } else {
            Kind::Content
        };
        let capital = raw.starts_with(char::is_uppercase) && raw != "I";
        let acronym = raw.chars().count() > 1 && raw.chars().all(char::is_uppercase);
        let name = kind == Kind::Content && (acronym || capital && !starts);
        Self { stem: stem(&text), text, kind, rarity, name, vector }
    }

    /// The cosine of two words; none where one has no vector.
    pub(super) fn cosine(&self, other: &Self) -> Option<f32> {
        let (one, other) = (self.vector.as_ref()?, other.vector.as_ref()?);
        Some(one.iter().zip(other).map(|(a, b)| a * b).sum())
    }
}

/// The vectors of a text's words, to be kept with it: for each its rarity in a byte, then its directions.
pub(crate) fn vectors(text: &str, reading: &Reading) -> Vec<u8> {
    let mut kept = Vec::with_capacity(16 * BYTES);
    for range in words_of(text).take(MOST_WORDS) {
        match reading.part(&range) {
            Some((vector, id)) => {
                #[allow(clippy::cast_precision_loss, reason = "ids of a vocabulary of 30,000")]
                let rank = (id as f32 - FIRST_WORD).clamp(0.0, VOCABULARY);
                let rarity = (1.0 + rank).ln() / (1.0 + VOCABULARY - FIRST_WORD).ln();
                kept.push(byte(rarity * 255.0));
                kept.extend(projected(&vector));
            }
            None => {
                kept.push(255);
                kept.resize(kept.len() + KEPT, 0);
            }
        }
    }
    kept
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
fn byte(value: f32) -> u8 {
    value.round() as u8
}

/// A token vector's directions, by its largest one in a byte each.
fn projected(vector: &[f32]) -> [u8; KEPT] {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    let (mean, rows) = PROJECTION.split_at_checked(4 * FULL).unwrap_or_default();
    let mean = mean.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
    let centred: Vec<f32> = vector.iter().zip(mean).map(|(value, mean)| value / length - mean).collect();
    let mut kept = [0_f32; KEPT];
    for (value, row) in kept.iter_mut().zip(rows.chunks_exact(FULL)) {
        *value = row.iter().zip(&centred).map(|(byte, value)| f32::from(byte.cast_signed()) * value).sum();
    }
    let largest = kept.iter().fold(0_f32, |largest, value| largest.max(value.abs()));
    let scale = if largest > 0.0 && largest.is_finite() { 127.0 / largest } else { 0.0 };
    #[allow(clippy::cast_possible_truncation, reason = "scaled to ±127; the cast saturates")]
    kept.map(|value| ((value * scale).round() as i8).cast_unsigned())
}

fn unit(row: &[u8]) -> Option<[f32; KEPT]> {
    let row: &[u8; KEPT] = row.try_into().ok()?;
    let values = row.map(|byte| f32::from(byte.cast_signed()));
    let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
    (length > 0.0).then(|| values.map(|value| value / length))
}

/// Where the words of a text stand: runs of letters and digits, with what may stand inside or end a word.
pub(super) fn words_of(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = text.get(at..)?;
        let start = at + rest.find(char::is_alphanumeric)?;
        let mut end = start;
        let mut letters = text.get(start..)?.chars().peekable();
        let mut before = ' ';
        while let Some(letter) = letters.next() {
            let inside = match letter {
                '\'' | '’' | '_' => letters.peek().is_some_and(|next| next.is_alphanumeric()),
                '.' | ',' => {
                    before.is_ascii_digit() && letters.peek().is_some_and(|next| next.is_ascii_digit())
                }
                '#' | '+' => before.is_alphabetic() || before == '+',
                letter => letter.is_alphanumeric(),
            };
            if !inside {
                break;
            }
            end += letter.len_utf8();
            before = letter;
        }
        at = end.max(start + 1);
        Some(start..end)
    })
}

/// What the forms of an English word share, roughly: `makes`, `making` and `make` are `mak`.
pub(super) fn stem(word: &str) -> String {
    let long = |suffix: &str, least: usize| word.strip_suffix(suffix).filter(|rest| rest.len() >= least);
    let doubled = |rest: &str| {
        let mut last = rest.chars().rev();
        match (last.next(), last.next()) {
            (Some(a), Some(b)) if a == b && !"aeiousl".contains(a) => {
                rest.get(..rest.len() - 1).unwrap_or(rest).to_owned()
            }
            _ => rest.to_owned(),
        }
    };
    let stem = if let Some(rest) = long("ies", 2) {
        format!("{rest}y")
    } else if let Some(rest) = long("ing", 3).or_else(|| long("ed", 3)) {
        doubled(rest)
    } else if let Some(rest) = long("es", 3)
        .filter(|rest| rest.ends_with(['s', 'x', 'z']) || rest.ends_with("ch") || rest.ends_with("sh"))
    {
        rest.to_owned()
    } else if let Some(rest) = long("s", 3).filter(|rest| !rest.ends_with(['s', 'u', 'i'])) {
        rest.to_owned()
    } else if let Some(rest) = long("ly", 4) {
        rest.to_owned()
    } else {
        word.to_owned()
    };
    match stem.strip_suffix('e') {
        Some(rest) if rest.len() >= 3 => rest.to_owned(),
        _ => stem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_where_they_are_written() {
        for (text, want) in [
            ("How's the 2.5 kg box?", vec!["How's", "the", "2.5", "kg", "box"]),
            ("C# or C++, user_name", vec!["C#", "or", "C++", "user_name"]),
            ("  (straße)  ", vec!["straße"]),
            ("1,000.", vec!["1,000"]),
            ("", vec![]),
            ("?!…", vec![]),
        ] {
            let got: Vec<&str> = words_of(text).map(|range| &text[range]).collect();
            assert_eq!(got, want, "{text}");
        }
    }

    #[test]
    fn forms_of_a_word_share_their_stem() {
        for forms in [
            &["make", "makes", "making"][..],
            &["cancel", "cancels", "cancelled", "cancelling"],
            &["stop", "stopped", "stopping"],
            &["country", "countries"],
            &["box", "boxes"],
            &["bus"],
            &["delete", "deleted", "deleting", "deletes"],
        ] {
            for form in forms {
                let want = stem(forms[0]);
                let got = stem(form);
                assert!(
                    got == want || got.trim_end_matches('l') == want.trim_end_matches('l'),
                    "{form}: {got}, {want}"
                );
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics_on_any_text_or_vectors(text in ".{0,80}", kept in proptest::collection::vec(0_u8.., 0..400)) {
            let question = Question::of(&text, &kept);
            proptest::prop_assert!(question.words.len() <= MOST_WORDS);
        }
    }
}
