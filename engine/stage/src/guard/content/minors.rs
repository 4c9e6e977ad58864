//! Whether a text speaks of a child.

/// Words for children, in the singular; a text in which one stands speaks of a child.
const WORDS: &[&str] = &[
    "child",
    "children",
    "kid",
    "kids",
    "minor",
    "minors",
    "underage",
    "preteen",
    "schoolgirl",
    "schoolboy",
    "toddler",
    "infant",
    "baby",
    "teen",
    "teenager",
    "teenage",
    "juvenile",
    "pupil",
    "daughter",
    "son",
    "stepdaughter",
    "stepson",
    "niece",
    "nephew",
    "kindergartner",
];

/// Words behind a number that make an age of it.
const AGE: &[&str] = &["year", "years", "yo", "y", "yrs", "yr", "jährige", "ans", "años"];

/// People below this age are children.
const ADULT: u32 = 18;

/// Whether a text speaks of a child: by a word for one, or by an age below 18.
pub(super) fn speaks_of_a_child(text: &str) -> bool {
    let lower = text.to_lowercase();
    let words: Vec<&str> =
        lower.split(|char: char| !char.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let is_word = words.iter().any(|word| WORDS.contains(word));
    let is_age = words.windows(2).any(|pair| match pair {
        // `14 years`, `14-year-old`, and `aged 14`.
        [number, unit] => {
            let young = |text: &str| text.parse::<u32>().is_ok_and(|age| age < ADULT && age > 0);
            (young(number) && AGE.contains(unit)) || (young(unit) && ["age", "aged"].contains(number))
        }
        _ => false,
    });
    let is_short = words.iter().any(|word| {
        word.strip_suffix("yo")
            .and_then(|age| age.parse::<u32>().ok())
            .is_some_and(|age| (1..ADULT).contains(&age))
    });
    is_word || is_age || is_short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_named_by_word_or_age() {
        for text in [
            "a 14-year-old",
            "she is 9 years old",
            "a boy aged 12",
            "15yo",
            "an Underage person",
            "the schoolgirl",
        ] {
            assert!(speaks_of_a_child(text), "{text}");
        }
        for text in ["a 24-year-old", "18 years", "two adults", "page 12", "aged 40", "in 5 minutes", ""] {
            assert!(!speaks_of_a_child(text), "{text}");
        }
    }
}
