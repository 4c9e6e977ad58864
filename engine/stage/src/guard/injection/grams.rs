//! Words and their neighbours as numbers: what the linear head reads.

/// The numbers are below this.
pub(super) const DIMENSIONS: usize = 1 << 16;

/// No more words of one piece are read.
const MOST_WORDS: usize = 400;

/// The numbers of a text's words, pairs and triples of them, each once, ascending.
pub fn grams(text: &str) -> Vec<u32> {
    let mut words: Vec<u64> = Vec::new();
    let mut word: Option<u64> = None;
    for char in text.chars() {
        let wide = is_wide(char);
        if char.is_alphanumeric() && !wide {
            let mut hash = word.unwrap_or(START);
            for lower in char.to_lowercase() {
                hash = mix(hash, u64::from(u32::from(lower)));
            }
            word = Some(hash);
            continue;
        }
        words.extend(word.take());
        // A sign of Chinese or Japanese is a word; so are signs that set one part of a prompt off from another.
        if wide
            || matches!(
                char,
                '<' | '>' | '[' | ']' | '{' | '}' | '#' | '`' | '"' | ':' | '?' | '!' | '|' | '*' | '='
            )
        {
            words.push(mix(START, u64::from(u32::from(char))));
        }
        if words.len() >= MOST_WORDS {
            break;
        }
    }
    words.extend(word);
    let single = words.iter().map(|one| mix(*one, 1));
    let pairs = words.windows(2).map(|pair| pair.iter().fold(2, |hash, word| mix(hash, *word)));
    let triples = words.windows(3).map(|three| three.iter().fold(3, |hash, word| mix(hash, *word)));
    let place = |hash: u64| u32::try_from((hash >> 40) % DIMENSIONS as u64).unwrap_or(0);
    let mut all: Vec<u32> = single.chain(pairs).chain(triples).map(place).collect();
    all.sort_unstable();
    all.dedup();
    all
}

const START: u64 = 0xcbf2_9ce4_8422_2325;

/// A step of a hash (FNV-1a with a finishing shift), the same in every process.
fn mix(hash: u64, value: u64) -> u64 {
    let hash = (hash ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ (hash >> 29)
}

/// Whether a sign is a word by itself: Chinese characters and kana.
fn is_wide(char: char) -> bool {
    matches!(char, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_count_without_case_and_order_counts_in_pairs() {
        assert_eq!(grams("Ignore  ALL."), grams("ignore all"));
        assert_ne!(grams("ignore all"), grams("all ignore"));
        assert_eq!(grams("one two").len(), 3);
        assert_eq!(grams("one two three").len(), 6);
        assert_eq!(grams("忽略指令").len(), 4 + 3 + 2);
        assert!(grams("").is_empty());
        assert!(grams(&"word and other ".repeat(5_000)).len() < 3 * MOST_WORDS);
        assert!(grams("a b c d e").iter().all(|place| (*place as usize) < DIMENSIONS));
    }
}
