//! What a sentence claims: its telling words, numbers and names.

use std::collections::HashSet;

/// A sentence or passage, as it is compared.
#[derive(Clone, Debug, Default)]
pub(super) struct Claim {
    /// Words that say something, cut to their stems.
    words: HashSet<String>,
    /// Numbers as they are written, without the signs between thousands.
    numbers: HashSet<String>,
    /// Words with a capital inside a sentence.
    names: HashSet<String>,
    is_question: bool,
}

/// Words that say nothing by themselves.
const EMPTY: &[&str] = &[
    "about", "after", "also", "and", "any", "are", "been", "before", "being", "both", "but", "can", "could",
    "did", "does", "each", "for", "from", "had", "has", "have", "her", "here", "hers", "him", "his", "how",
    "into", "its", "just", "more", "most", "much", "not", "now", "off", "one", "only", "other", "our", "out",
    "over", "own", "same", "she", "should", "some", "such", "than", "that", "the", "their", "them", "then",
    "there", "these", "they", "this", "those", "through", "too", "under", "until", "very", "was", "were",
    "what", "when", "where", "which", "while", "who", "why", "will", "with", "would", "you", "your", "may",
    "might", "must", "sure", "please", "let",
];

/// The stem of a word: without the endings that grammar asks for.
fn stem(word: &str) -> String {
    let endings = ["ingly", "edly", "ing", "ied", "ies", "ed", "es", "ly", "s", "e"];
    let cut = endings.iter().find_map(|end| word.strip_suffix(end).filter(|stem| stem.chars().count() >= 3));
    cut.unwrap_or(word).to_owned()
}

/// The sentences and lines of a text.
pub(super) fn sentences(text: &str) -> Vec<&str> {
    let mut all = Vec::new();
    let mut start = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((at, char)) = chars.next() {
        let ends = match char {
            '\n' | '。' | '！' | '？' => true,
            '.' | '!' | '?' => chars.peek().is_none_or(|(_, next)| next.is_whitespace()),
            _ => false,
        };
        if ends {
            let end = at + char.len_utf8();
            all.push(text.get(start..end).unwrap_or_default().trim());
            start = end;
        }
    }
    all.push(text.get(start..).unwrap_or_default().trim());
    all.retain(|sentence| !sentence.is_empty());
    all
}

impl Claim {
    pub(super) fn of(text: &str) -> Self {
        let mut claim = Claim { is_question: text.trim_end().ends_with('?'), ..Claim::default() };
        let mut begins = true;
        let signs = |char: char| !(char.is_alphanumeric() || matches!(char, '.' | ',' | '\'' | '-' | '%'));
        for token in text.split(signs).filter(|token| !token.is_empty()) {
            let ends = token.ends_with('.');
            let word = token.trim_matches(|char: char| !(char.is_alphanumeric() || char == '%'));
            if word.chars().any(|char| char.is_ascii_digit()) {
                claim.numbers.insert(word.chars().filter(|char| *char != ',').collect());
            } else if let Some(first) = word.chars().next() {
                let lower = word.to_lowercase();
                let telling = lower.chars().count() > 2 && !EMPTY.contains(&lower.as_str());
                if first.is_uppercase() && !begins && telling {
                    claim.names.insert(stem(&lower));
                }
                if telling {
                    claim.words.insert(stem(&lower));
                }
            }
            begins = ends;
        }
        claim
    }

    /// All that is given, as one.
    pub(super) fn all(passages: &[Claim]) -> Self {
        let mut all = Claim::default();
        for passage in passages {
            all.words.extend(passage.words.iter().cloned());
            all.numbers.extend(passage.numbers.iter().cloned());
        }
        all
    }

    /// Whether it says something that can be supported.
    pub(super) fn claims(&self) -> bool {
        !self.is_question && self.words.len() + self.numbers.len() >= 3
    }

    /// How well a passage supports it, from 0 to 1: by how near the two are in meaning and by the words that it has of this. `all`: what
    /// is given besides.
    pub(super) fn support(&self, near: f64, passage: &Claim, all: &Claim) -> f64 {
        let share = |ours: &HashSet<String>, theirs: &HashSet<String>| match ours.len() {
            0 => 1.0,
            #[expect(clippy::cast_precision_loss, reason = "a sentence has few words")]
            count => ours.iter().filter(|word| theirs.contains(*word)).count() as f64 / count as f64,
        };
        let words = share(&self.words, &passage.words).max(0.8 * share(&self.words, &all.words));
        let both = 0.5 * near.clamp(0.0, 1.0) + 0.5 * words;
        // What stands nowhere was made up, however much the rest is alike.
        let numbers = share(&self.numbers, &all.numbers);
        let names = share(&self.names, &all.words);
        both * (0.4 + 0.6 * numbers) * (0.6 + 0.4 * names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_numbers_and_names_are_told_apart() {
        let claim = Claim::of("The bridge in Porto was opened in 1886, and it carries 1,200 trams.");
        for word in ["bridg", "open", "carr", "tram"] {
            assert!(claim.words.iter().any(|have| have.starts_with(word)), "{word}: {claim:?}");
        }
        assert!(claim.numbers.contains("1886") && claim.numbers.contains("1200"), "{claim:?}");
        assert!(claim.names.contains("porto") && !claim.names.contains("the"), "{claim:?}");
        assert!(claim.claims());
        for nothing in ["Is that what you want to know about the bridge?", "Sure, here it is.", "Yes."] {
            assert!(!Claim::of(nothing).claims(), "{nothing}");
        }
    }

    #[test]
    fn a_point_inside_a_number_ends_no_sentence() {
        assert_eq!(sentences("It is 3.5 m. Fine!\n- one\n\nok"), ["It is 3.5 m.", "Fine!", "- one", "ok"]);
        assert!(sentences(" \n").is_empty());
    }

    #[test]
    fn a_number_that_stands_nowhere_counts_against_a_sentence() {
        let given = Claim::of("The warranty of the kettle is 24 months from the day of purchase.");
        let support = |text: &str| Claim::of(text).support(0.9, &given, &given);
        assert!(support("The kettle has a warranty of 24 months.") > 0.8);
        assert!(support("The kettle has a warranty of 36 months.") < 0.45);
        assert!(Claim::of("Our founder was born in Vienna.").support(0.1, &given, &given) < 0.2);
    }
}
