//! Token counts, as the providers' models count.

use std::sync::Arc;

use tiktoken::CoreBpe;

use crate::{Error, threads};

/// Texts longer than this many bytes are for [`TokenCounter::count_long`]: they would hold a proxy's thread for more than
/// about a millisecond (20 to 110 µs per KB).
pub const LONG_TEXT: usize = 16 * 1024;

/// Short names, and the vocabularies they mean.
const ALIASES: [(&str, &str); 14] = [
    ("cl100k", "cl100k_base"),
    ("deepseek", "deepseek_v3"),
    ("glm", "glm5"),
    ("kimi", "kimi_k2"),
    ("llama-3", "llama3"),
    ("llama4", "llama3"),
    ("minimax", "minimax_m2"),
    ("mistral", "mistral_v3"),
    ("o200k", "o200k_base"),
    ("p50k", "p50k_base"),
    ("qwen", "qwen2"),
    ("qwen2.5", "qwen2"),
    ("qwen3", "qwen2"),
    ("r50k", "r50k_base"),
];

/// Counts the tokens of a text, with a model family's own vocabulary or by estimate.
///
/// It counts plain text: what a provider adds around messages, and marks such as `<|endoftext|>` (which count as the
/// letters they are), are not its business.
#[derive(Clone, Copy)]
pub struct TokenCounter(Kind);

#[derive(Clone, Copy)]
enum Kind {
    Exact(&'static CoreBpe),
    Estimate,
}

impl TokenCounter {
    /// The counter for a vocabulary: `o200k_base`, `cl100k_base`, `llama3`, `deepseek_v3`, `qwen2`, `mistral_v3` … (see
    /// [`TokenCounter::names`]) or a short name of one. None: nobody knows that vocabulary here.
    ///
    /// The first call for a vocabulary unpacks it (about 0.1 s, and tens of megabytes that stay): call it at load.
    pub fn for_tokenizer(name: &str) -> Option<Self> {
        let full = ALIASES.iter().find(|(short, _)| *short == name).map_or(name, |(_, full)| full);
        tiktoken::get_encoding(full).map(|bpe| TokenCounter(Kind::Exact(bpe)))
    }

    /// The counter for models whose vocabulary is not published: about four letters a token, and a token for each sign of
    /// the scripts that write words or syllables with one. It says of itself that it estimates.
    pub fn estimate() -> Self {
        TokenCounter(Kind::Estimate)
    }

    /// The vocabularies there are, short names included, sorted.
    pub fn names() -> Vec<&'static str> {
        let short = ALIASES.iter().map(|(short, _)| *short);
        let mut names: Vec<_> = tiktoken::list_encodings().iter().copied().chain(short).collect();
        names.sort_unstable();
        names
    }

    /// Whether counts are estimates.
    pub fn is_estimate(&self) -> bool {
        matches!(self.0, Kind::Estimate)
    }

    /// How many tokens the text is. Takes time by its length: see [`LONG_TEXT`].
    pub fn count(&self, text: &str) -> u64 {
        match self.0 {
            Kind::Exact(bpe) => bpe.count(text) as u64,
            Kind::Estimate => estimate(text),
        }
    }

    /// The same on the threads for long texts. Too many texts waiting is [`Error::QueueFull`] at once; a future that is
    /// dropped before its turn costs nothing.
    pub fn count_long(
        &self,
        text: Arc<str>,
    ) -> impl Future<Output = Result<u64, Error>> + Send + 'static + use<> {
        let counter = *self;
        threads::run(move || counter.count(&text))
    }
}

impl std::fmt::Debug for TokenCounter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_estimate() { "TokenCounter(estimate)" } else { "TokenCounter(exact)" })
    }
}

/// A quarter of a token for an ASCII character, half for one of two bytes (Cyrillic, Greek, accents), one for others.
fn estimate(text: &str) -> u64 {
    let quarters: u64 = text
        .chars()
        .map(|letter| match letter.len_utf8() {
            1 => 1,
            2 => 2,
            _ => 4,
        })
        .sum();
    quarters.div_ceil(4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::block_on;

    /// Counts that the vocabularies' owners publish, or that their own tokenizers give.
    #[test]
    fn counts_as_the_models_do() {
        for (vocabulary, text, want) in [
            ("cl100k_base", "hello world", 2),
            ("cl100k_base", "tiktoken is great!", 6),
            ("cl100k_base", "antidisestablishmentarianism", 6),
            ("cl100k_base", "2 + 2 = 4", 7),
            ("cl100k_base", "お誕生日おめでとう", 9),
            ("o200k_base", "antidisestablishmentarianism", 6),
            ("o200k_base", "2 + 2 = 4", 7),
            ("o200k_base", "お誕生日おめでとう", 8),
            ("r50k_base", "antidisestablishmentarianism", 5),
            ("r50k_base", "2 + 2 = 4", 5),
            ("r50k_base", "お誕生日おめでとう", 14),
            ("o200k_base", "", 0),
        ] {
            let counter = TokenCounter::for_tokenizer(vocabulary).unwrap();
            assert!(!counter.is_estimate());
            assert_eq!(counter.count(text), want, "{vocabulary}: {text}");
        }
    }

    #[test]
    fn every_name_has_a_counter_and_others_have_none() {
        for name in TokenCounter::names() {
            let counter = TokenCounter::for_tokenizer(name).unwrap_or_else(|| panic!("{name}"));
            let tokens = counter.count("The river rises after a week of rain.");
            assert!((8..=12).contains(&tokens), "{name}: {tokens}");
        }
        assert!(TokenCounter::for_tokenizer("claude").is_none());
    }

    #[test]
    fn estimates_say_so() {
        let counter = TokenCounter::estimate();
        assert!(counter.is_estimate());
        for (text, want) in [("", 0), ("a", 1), ("four", 1), ("fours", 2), ("привет", 3), ("你好", 2)]
        {
            assert_eq!(counter.count(text), want, "{text}");
        }
    }

    #[test]
    fn long_texts_are_counted_elsewhere_and_alike() {
        let counter = TokenCounter::for_tokenizer("o200k_base").unwrap();
        let text = "The river rises after a week of rain. ".repeat(3_000);
        assert!(text.len() > LONG_TEXT);
        let here = counter.count(&text);
        assert_eq!(block_on(counter.count_long(text.into())).unwrap(), here);
    }

    #[test]
    fn a_megabyte_without_a_blank_is_counted_too() {
        let counter = TokenCounter::for_tokenizer("o200k_base").unwrap();
        for letter in ["a", "7", "é", "=", "你"] {
            let text = letter.repeat((1 << 20) / letter.len());
            let tokens = block_on(counter.count_long(text.into())).unwrap();
            assert!(tokens > 1_000, "{letter}: {tokens}");
        }
    }

    #[test]
    fn marks_in_a_text_are_text() {
        let counter = TokenCounter::for_tokenizer("o200k_base").unwrap();
        assert!(counter.count("<|endoftext|>") > 1);
    }
}
