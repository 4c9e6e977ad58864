//! What kind of answer a question wants: a person, a time, a place, a reason, a way, a number …

use super::question::Question;

/// Cues in the words of a question: runs of words, `|` between kinds of cue.
const CUES: &[(&str, &[&str])] = &[
    (
        "person",
        &[
            "who",
            "whom",
            "whose",
            "which person",
            "which people",
            "author",
            "writer",
            "inventor",
            "painter",
            "founder",
            "ceo",
            "by whom",
            "which artist",
            "which writer",
            "which scientist",
        ],
    ),
    (
        "time",
        &[
            "when",
            "what time",
            "what year",
            "which year",
            "what day",
            "which day",
            "what date",
            "which date",
            "date",
            "deadline",
            "due",
            "until when",
            "by when",
            "at which time",
            "what month",
            "which month",
        ],
    ),
    (
        "place",
        &[
            "where",
            "which city",
            "which town",
            "what city",
            "in which country",
            "birthplace",
            "location",
            "address",
        ],
    ),
    ("reason", &["why", "reason", "reasons", "cause", "causes", "caused", "what makes", "how come"]),
    (
        "way",
        &[
            "how do i",
            "how can i",
            "how do you",
            "how to",
            "how would",
            "how does one",
            "how does it work",
            "how does that work",
            "way to",
            "way of",
            "ways to",
            "steps",
            "what command",
            "which command",
            "command",
            "procedure",
            "what do i do",
            "what do i have to do",
            "how should",
            "how could",
            "method",
            "what helps",
            "tips",
            "how",
        ],
    ),
    ("count", &["how many", "number of", "count of", "count"]),
    (
        "price",
        &[
            "how much does it cost",
            "cost",
            "costs",
            "price",
            "pricing",
            "fee",
            "fare",
            "charge",
            "how expensive",
            "what do you charge",
            "rate",
        ],
    ),
    ("amount", &["how much", "amount", "amounts", "quantity", "quantities", "dose", "dosage"]),
    (
        "duration",
        &[
            "how long",
            "how many hours",
            "how many minutes",
            "how many days",
            "how many years",
            "how many weeks",
            "duration",
            "period",
        ],
    ),
    ("distance", &["how far", "distance", "how many kilometres", "how many miles"]),
    ("age", &["how old", "age"]),
    ("often", &["how often", "how many times", "frequency"]),
    ("size", &["how big", "how tall", "how high", "height", "how deep", "depth", "size", "how large"]),
    (
        "made",
        &["write", "compose", "draft", "suggest", "give me", "create", "translate", "summarize", "summarise"],
    ),
    ("meaning", &["mean", "meaning", "what is", "what's", "explain", "define", "definition", "what are"]),
    ("which", &["which", "what"]),
];

/// The kinds that tell questions apart if they share none.
const SURE: &[&str] =
    &["person", "time", "place", "reason", "count", "price", "duration", "distance", "age", "often", "size"];

/// How two questions compare in what they ask for.
pub(super) struct Kinds {
    /// Sure kinds in common.
    pub(super) shared: usize,
    /// Sure kinds that only one has, where both have some.
    pub(super) conflict: usize,
    /// Sure kinds that one has, where the other has none.
    pub(super) one_sided: usize,
    /// Whether one asks for a way to do something and the other not.
    pub(super) way: bool,
    /// Whether one asks whether something is so, and the other not.
    pub(super) whether: bool,
    /// Whether one wants something made, and the other not.
    pub(super) made: bool,
}

/// How two questions compare in what they ask for.
pub(super) fn kinds(one: &Question, other: &Question) -> Kinds {
    let (a, b) = (kinds_of(one), kinds_of(other));
    let sure = |kinds: &[&'static str]| -> Vec<&'static str> {
        kinds.iter().copied().filter(|kind| SURE.contains(kind)).collect()
    };
    let (x, y) = (sure(&a), sure(&b));
    let only = |here: &[&str], there: &[&str]| here.iter().filter(|kind| !there.contains(kind)).count();
    let apart = only(&x, &y) + only(&y, &x);
    let differ = |kind: &str| a.contains(&kind) != b.contains(&kind);
    Kinds {
        shared: x.len() - only(&x, &y),
        conflict: if x.is_empty() || y.is_empty() { 0 } else { apart },
        one_sided: if x.is_empty() != y.is_empty() { apart } else { 0 },
        way: differ("way"),
        whether: whether(one) != whether(other),
        made: differ("made"),
    }
}

fn kinds_of(question: &Question) -> Vec<&'static str> {
    let words: Vec<&str> = question.words.iter().map(|word| word.text.as_str()).collect();
    let said = |cue: &str| {
        let cue: Vec<&str> = cue.split(' ').collect();
        words.windows(cue.len()).any(|run| run == cue.as_slice())
    };
    let mut kinds: Vec<&'static str> =
        CUES.iter().filter(|(_, cues)| cues.iter().any(|cue| said(cue))).map(|(kind, _)| *kind).collect();
    // `how many hours` counts nothing, `how many` asks for no way.
    if ["count", "amount", "duration", "distance", "age", "often", "size"]
        .iter()
        .any(|kind| kinds.contains(kind))
    {
        kinds.retain(|kind| *kind != "way");
    }
    if ["duration", "distance", "often"].iter().any(|kind| kinds.contains(kind)) {
        kinds.retain(|kind| *kind != "count");
    }
    kinds
}

/// Whether it begins as a question for yes or no does.
fn whether(question: &Question) -> bool {
    const BEGIN: &[&str] = &[
        "is", "are", "was", "were", "do", "does", "did", "can", "could", "may", "must", "should", "will",
        "would", "has", "have", "am",
    ];
    question.words.first().is_some_and(|word| BEGIN.contains(&word.text.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_read_off_many_ways_to_ask() {
        for (one, other, conflict) in [
            ("When was Emma written?", "Who wrote Emma?", true),
            ("why did it sink", "What year did it sink?", true),
            ("How much does it cost?", "how long does it take", true),
            ("in which year did it sink", "When did it sink?", false),
            ("what caused the fire", "Why did it burn?", false),
            ("number of planets", "how many planets are there", false),
        ] {
            let kinds = kinds(&Question::of(one, &[]), &Question::of(other, &[]));
            assert_eq!(kinds.conflict > 0, conflict, "{one} / {other}");
        }
    }
}
