//! A question without what does not change it: greetings, courtesy, articles, and the many ways to begin.

use super::question::Question;

/// What may stand before a question.
const BEFORE: &[&[&str]] = &[
    &["please"],
    &["hi"],
    &["hello"],
    &["hey"],
    &["there"],
    &["good", "morning"],
    &["good", "evening"],
    &["good", "day"],
    &["quick", "question"],
    &["sorry", "to", "bother", "you"],
    &["excuse", "me"],
    &["so"],
    &["well"],
    &["ok"],
    &["okay"],
    &["can", "you", "tell", "me"],
    &["could", "you", "tell", "me"],
    &["would", "you", "tell", "me"],
    &["can", "you", "please"],
    &["could", "you", "please"],
    &["tell", "me"],
    &["do", "you", "know"],
    &["i", "wonder"],
    &["i", "was", "wondering"],
    &["i", "would", "like", "to", "know"],
    &["i", "want", "to", "know"],
    &["can", "you", "explain"],
    &["can", "you", "explain", "to", "me"],
];

/// What may stand behind it.
const BEHIND: &[&[&str]] = &[
    &["please"],
    &["thanks"],
    &["thank", "you"],
    &["many", "thanks"],
    &["thanks", "a", "lot"],
    &["in", "advance"],
    &["thank", "you", "very", "much"],
];

/// Ways to begin, and what they begin like.
const STARTS: &[(&[&str], &[&str])] = &[
    (&["how", "do", "i"], &["how"]),
    (&["how", "can", "i"], &["how"]),
    (&["how", "could", "i"], &["how"]),
    (&["how", "would", "i"], &["how"]),
    (&["how", "do", "you"], &["how"]),
    (&["how", "can", "you"], &["how"]),
    (&["how", "do", "we"], &["how"]),
    (&["how", "can", "we"], &["how"]),
    (&["how", "does", "one"], &["how"]),
    (&["how", "can", "one"], &["how"]),
    (&["how", "to"], &["how"]),
    (&["may", "i"], &["can", "i"]),
    (&["could", "i"], &["can", "i"]),
    (&["am", "i", "able", "to"], &["can", "i"]),
    (&["is", "it", "possible", "to"], &["can", "i"]),
    (&["what", "is"], &["what"]),
    (&["what", "are"], &["what"]),
    (&["who", "is"], &["who"]),
    (&["where", "is"], &["where"]),
    (&["when", "is"], &["when"]),
];

/// The words of a question that count: two questions with the same are one.
pub(super) fn plain(question: &Question) -> Vec<&str> {
    let words: Vec<&str> = question.words.iter().map(|word| word.text.as_str()).collect();
    let mut rest = words.as_slice();
    while let Some(cut) = longest(BEFORE, |run| rest.starts_with(run)).filter(|cut| *cut < rest.len()) {
        rest = rest.get(cut..).unwrap_or_default();
    }
    while let Some(cut) = longest(BEHIND, |run| rest.ends_with(run)).filter(|cut| *cut < rest.len()) {
        rest = rest.get(..rest.len() - cut).unwrap_or_default();
    }
    let start = STARTS.iter().find(|(start, _)| rest.starts_with(start));
    let (start, rest) = match start {
        Some((start, like)) => (*like, rest.get(start.len()..).unwrap_or_default()),
        None => (&[][..], rest),
    };
    start.iter().chain(rest).copied().filter(|word| !matches!(*word, "a" | "an" | "the")).collect()
}

fn longest(runs: &[&[&str]], stands: impl Fn(&[&str]) -> bool) -> Option<usize> {
    runs.iter().filter(|run| stands(run)).map(|run| run.len()).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn courtesy_and_ways_to_begin_change_nothing_and_all_else_does() {
        for (one, other, same) in [
            ("How do I reset my password?", "how can i reset my password", true),
            (
                "How do I reset my password?",
                "Hello! Could you tell me how to reset my password please? Thank you!",
                true,
            ),
            ("What's the capital of France?", "What is capital of France", true),
            ("May I bring my dog?", "Is it possible to bring my dog?", true),
            ("How do I reset my password?", "How did I reset my password?", false),
            ("How do I reset my password?", "How do I reset your password?", false),
            ("a to b", "b to a", false),
            ("please", "thanks", false),
            ("Why do I sneeze?", "How do I sneeze?", false),
        ] {
            let (a, b) = (Question::of(one, &[]), Question::of(other, &[]));
            assert_eq!(plain(&a) == plain(&b), same, "{one} / {other}");
        }
    }
}
