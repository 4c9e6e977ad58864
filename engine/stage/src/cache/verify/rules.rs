//! Whether two questions that mean nearly the same may have one answer.
//!
//! Embeddings see what a question is about, and hardly see a number, a name or a "not". So a hit must also agree in those, as
//! far as they can be read off the words. In doubt the questions differ: a miss costs a call, a wrong hit costs trust.

use super::words::{ASKS, DATES, DIRECTIONS, NEGATIONS, NUMBER_WORDS, OPPOSITES, UNITS};
use ahash::AHashSet;
use std::borrow::Cow;

/// What two questions can differ in that the meaning of their words hardly shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Code,
    Quotes,
    Numbers,
    Dates,
    Negation,
    Names,
    Opposites,
    Direction,
    Asked,
}

impl Mark {
    /// Whether two questions differ in this.
    pub(super) fn differs(self, one: &Marks, other: &Marks) -> bool {
        match self {
            Self::Code => one.code != other.code,
            Self::Quotes => one.quotes != other.quotes,
            Self::Numbers => one.numbers != other.numbers,
            Self::Dates => one.dates != other.dates,
            Self::Negation => one.negations != other.negations,
            Self::Names => !names_agree(one, other) || !names_agree(other, one) || !same_order(one, other),
            Self::Opposites => opposed(one, other),
            Self::Direction => turned(one, other) || turned(other, one),
            Self::Asked => !one.asks.is_empty() && !other.asks.is_empty() && one.asks != other.asks,
        }
    }
}

/// What is read off one question.
#[derive(Default)]
pub(crate) struct Marks {
    /// Code between backticks, URLs, paths, identifiers: as spelt, in order.
    code: Vec<String>,
    /// What stands between quotation marks, in order.
    quotes: Vec<String>,
    /// Numbers with their units and currencies, in order.
    numbers: Vec<String>,
    /// Months, days of the week, words such as `yesterday`, sorted.
    dates: Vec<String>,
    negations: usize,
    /// Capitalised words that do not begin a sentence, and acronyms; in lower case, in order.
    names: Vec<String>,
    /// All words in lower case, in order.
    words: Vec<String>,
    known: AHashSet<String>,
    /// Words such as `who` and `when`, sorted.
    asks: Vec<String>,
}

impl Marks {
    pub(super) fn of(text: &str) -> Self {
        let mut features = Self::default();
        let prose = features.take_code(text);
        let prose = features.take_quotes(&prose);
        features.read_words(&prose);
        features.dates.sort();
        features.asks.sort();
        features.asks.dedup();
        features.known = features.words.iter().cloned().collect();
        features
    }

    /// Takes out what stands between backticks.
    fn take_code(&mut self, text: &str) -> String {
        let mut prose = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find('`') {
            let ticks = rest.get(start..).map_or(0, |tail| tail.len() - tail.trim_start_matches('`').len());
            let fence = "`".repeat(ticks);
            let inside = rest.get(start + ticks..).unwrap_or_default();
            let Some(end) = inside.find(&fence) else { break };
            prose.push_str(rest.get(..start).unwrap_or_default());
            prose.push(' ');
            self.code.push(inside.get(..end).unwrap_or_default().trim().to_owned());
            rest = inside.get(end + ticks..).unwrap_or_default();
        }
        prose.push_str(rest);
        prose
    }

    /// Takes out what stands between quotation marks. An apostrophe inside a word is none.
    fn take_quotes(&mut self, text: &str) -> String {
        let mut prose = String::with_capacity(text.len());
        let chars: Vec<char> = text.chars().collect();
        let mut at = 0;
        while let Some(char) = chars.get(at).copied() {
            let close = match char {
                '"' => Some('"'),
                '“' | '„' => Some('”'),
                '«' => Some('»'),
                '»' => Some('«'),
                '‘' | '\''
                    if at == 0 || chars.get(at - 1).is_some_and(|before| !before.is_alphanumeric()) =>
                {
                    Some(if char == '‘' { '’' } else { '\'' })
                }
                _ => None,
            };
            let end = close.and_then(|close| {
                let rest = chars.get(at + 1..)?;
                let ends = |n: usize, c: char| {
                    (c == close || (close == '”' && c == '“'))
                        && (close != '\'' && close != '’'
                            || rest.get(n + 1).is_none_or(|next| !next.is_alphanumeric()))
                };
                rest.iter().enumerate().position(|(n, c)| ends(n, *c))
            });
            match end {
                Some(len) => {
                    let inside: String = chars.iter().skip(at + 1).take(len).collect();
                    self.quotes.push(inside.trim().to_owned());
                    prose.push(' ');
                    at += len + 2;
                }
                None => {
                    prose.push(char);
                    at += 1;
                }
            }
        }
        prose
    }

    fn read_words(&mut self, prose: &str) {
        let mut begins = true;
        let tokens: Vec<&str> = prose.split_whitespace().collect();
        for (n, raw) in tokens.iter().enumerate() {
            let ends = raw.ends_with(['.', '!', '?', ':']);
            let token = raw.trim_matches(|c: char| !c.is_alphanumeric() && !"$€£¥%°#+-<>/_@".contains(c));
            let is_sign = !token.chars().any(char::is_alphanumeric);
            let token = if is_sign { token } else { token.trim_end_matches(['-', '/', '+']) };
            let starts_sentence = std::mem::replace(&mut begins, ends);
            if token.is_empty() {
                continue;
            }
            if looks_like_code(token) {
                self.code.push(token.to_owned());
                continue;
            }
            let lower = token.to_lowercase();
            if token.chars().any(|c| c.is_ascii_digit()) {
                let next = tokens.get(n + 1).map(|next| bare(next)).unwrap_or_default();
                self.numbers.push(number(&lower, &next));
                continue;
            }
            let word = bare(token);
            if word.is_empty() {
                // A sign alone: `+`, `%`, `$`.
                self.numbers.push(lower);
                continue;
            }
            if let Some(value) = number_word(&word) {
                let next = tokens.get(n + 1).map(|next| bare(next)).unwrap_or_default();
                self.numbers.push(number(&value, &next));
            }
            let negates = NEGATIONS.contains(&word.replace('\'', "").as_str()) || word.ends_with("n't");
            self.negations += usize::from(negates);
            if DATES.contains(&word.as_str()) {
                self.dates.push(word.clone());
            }
            if let Some((_, asks)) = ASKS.iter().find(|(name, _)| *name == word) {
                self.asks.push((*asks).to_owned());
            }
            if is_name(token, starts_sentence) && !DATES.contains(&word.as_str()) {
                self.names.push(word.clone());
            }
            self.words.push(word);
        }
    }
}

/// What a number in words is in digits: `five`, `twenty-five`.
fn number_word(word: &str) -> Option<Cow<'static, str>> {
    let digits = |word: &str| NUMBER_WORDS.iter().find(|(name, _)| *name == word).map(|(_, digits)| *digits);
    let Some((tens, ones)) = word.split_once('-') else { return digits(word).map(Cow::Borrowed) };
    let ones = if ones == "one" { "1" } else { digits(ones)? };
    let sum = digits(tens)?.parse::<u64>().ok()?.checked_add(ones.parse().ok()?)?;
    Some(Cow::Owned(sum.to_string()))
}

/// A word in lower case without its punctuation, its typographic apostrophe plain and its `'s` gone.
fn bare(token: &str) -> String {
    let word = token.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase().replace('’', "'");
    word.strip_suffix("'s").map(str::to_owned).unwrap_or(word)
}

/// A number with its unit, in one spelling. Separators of thousands go.
fn number(token: &str, next: &str) -> String {
    let unit_of = |text: &str| {
        UNITS.iter().find(|names| names.contains(&text)).and_then(|names| names.first()).copied()
    };
    let token = token.trim_end_matches(['.', ',']);
    let (prefix, rest) = match token.chars().next() {
        Some(sign @ ('$' | '€' | '£' | '¥')) => {
            (unit_of(&sign.to_string()), token.get(sign.len_utf8()..).unwrap_or_default())
        }
        _ => (None, token),
    };
    let end = rest.rfind(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| at + 1);
    let (digits, suffix) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let grouped =
        digits.split(',').skip(1).all(|group| group.len() == 3 && group.bytes().all(|b| b.is_ascii_digit()));
    let mut value = if grouped { digits.replace(',', "") } else { digits.to_owned() };
    if let Some((whole, fraction)) = value.split_once('.')
        && fraction.bytes().all(|b| b == b'0')
    {
        value = whole.to_owned();
    }
    let unit = prefix.or_else(|| if suffix.is_empty() { unit_of(next) } else { unit_of(suffix) });
    match unit {
        Some(unit) => format!("{value} {unit}"),
        None => format!("{value}{suffix}"),
    }
}

/// Whether a token is written for machines: a URL, a path, an identifier, an address, a placeholder.
fn looks_like_code(token: &str) -> bool {
    let inner_dot = token.trim_matches('.').split('.').collect::<Vec<_>>();
    let dotted = inner_dot.len() > 1
        && inner_dot.iter().all(|part| !part.is_empty())
        && inner_dot.iter().any(|part| part.len() > 1 && part.bytes().any(|b| b.is_ascii_alphabetic()))
        || inner_dot.len() > 2 && inner_dot.iter().all(|part| !part.is_empty());
    let camel = token.chars().zip(token.chars().skip(1)).any(|(a, b)| a.is_lowercase() && b.is_uppercase());
    dotted
        || camel
        || token.starts_with("--")
        || (token.starts_with('#') && token.len() > 1)
        || ["_", "::", "()", "\\", "@", "=", "{", "}", "://", "->", "<", ">"]
            .iter()
            .any(|sign| token.contains(sign))
        || (token.contains('/') && !token.bytes().any(|b| b.is_ascii_digit()) && token.len() > 1)
}

/// Whether a word is a name by its capital letters.
fn is_name(token: &str, starts_sentence: bool) -> bool {
    let mut letters = token.chars().filter(|c| c.is_alphabetic());
    let Some(first) = letters.next() else { return false };
    let rest: Vec<char> = letters.collect();
    if !first.is_uppercase() || rest.is_empty() {
        return false;
    }
    let acronym = rest.iter().all(|c| c.is_uppercase());
    let contraction = token.starts_with("I'") || token.starts_with("I’");
    (acronym || !starts_sentence) && !contraction
}

/// Whether each name of one is a word of the other.
fn names_agree(one: &Marks, other: &Marks) -> bool {
    one.names.iter().all(|name| other.known.contains(name))
}

/// Whether the words that are names in one of them come in the same order in both.
fn same_order(one: &Marks, other: &Marks) -> bool {
    let names: AHashSet<&String> = one.names.iter().chain(&other.names).collect();
    let in_order = |features: &Marks| -> Vec<String> {
        features.words.iter().filter(|word| names.contains(word)).cloned().collect()
    };
    in_order(one) == in_order(other)
}

/// Whether one has a word and the other, in its place, the opposite.
fn opposed(one: &Marks, other: &Marks) -> bool {
    let only =
        |here: &Marks, there: &Marks, word: &str| here.known.contains(word) && !there.known.contains(word);
    OPPOSITES.iter().any(|(a, b)| {
        (only(one, other, a) && only(other, one, b)) || (only(one, other, b) && only(other, one, a))
    })
}

/// Whether a word that follows a direction in one (`from x`) follows another in the other (`to x`).
fn turned(one: &Marks, other: &Marks) -> bool {
    let pairs = |features: &Marks| -> Vec<(String, String)> {
        let words = &features.words;
        words
            .iter()
            .zip(words.iter().skip(1))
            .filter(|(direction, _)| DIRECTIONS.contains(&direction.as_str()))
            .map(|(direction, word)| (direction.clone(), word.clone()))
            .filter(|(_, word)| {
                !matches!(word.as_str(), "the" | "a" | "an" | "my" | "your" | "it" | "this" | "that")
            })
            .collect()
    };
    let (one, other) = (pairs(one), pairs(other));
    one.iter().any(|(direction, word)| {
        other.iter().any(|(there, same)| same == word && there != direction)
            && !other.iter().any(|(there, same)| same == word && there == direction)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first that two questions differ in.
    fn differ(one: &str, other: &str) -> Option<&'static str> {
        let (one, other) = (Marks::of(one), Marks::of(other));
        let marks = [
            (Mark::Code, "code or identifiers"),
            (Mark::Quotes, "quoted text"),
            (Mark::Numbers, "numbers"),
            (Mark::Dates, "dates"),
            (Mark::Negation, "negation"),
            (Mark::Names, "names"),
            (Mark::Opposites, "opposites"),
            (Mark::Direction, "direction"),
            (Mark::Asked, "what is asked"),
        ];
        marks.into_iter().find(|(mark, _)| mark.differs(&one, &other)).map(|(_, name)| name)
    }

    #[test]
    fn questions_with_one_answer_agree() {
        for (one, other) in [
            ("How do I reset my password?", "I forgot my password, how can I change it?"),
            ("What is the capital of France?", "Which city is the capital of France?"),
            ("Is the shop open at 5 pm?", "At 5 pm, is the shop open?"),
            ("Ship 1,000 units", "please ship 1000 units"),
            ("it takes two days", "It takes 2 days."),
            ("a 10 kg parcel", "a parcel of 10 kilograms"),
            ("that is $20", "that is 20 dollars"),
            ("5% of people", "5 percent of people"),
            ("Why doesn't it start?", "Why does it not start?"),
            ("what does `git rebase` do", "What does `git rebase` do?"),
            ("Translate \"good morning\"", "please translate “good morning”"),
            ("paris weather in May?", "How is the weather in Paris in May?"),
            ("who is CEO of Acme", "Who is the CEO of Acme?"),
            ("What's the warranty?", "What is the warranty?"),
            ("flights from Paris to Rome", "Flights from Paris to Rome please"),
            ("Mail <EMAIL_1> now", "mail <EMAIL_1> now"),
        ] {
            assert_eq!(differ(one, other), None, "{one} / {other}");
            assert_eq!(differ(other, one), None, "{other} / {one}");
        }
    }

    #[test]
    fn questions_that_need_their_own_answer_differ() {
        for (one, other, what) in [
            ("What is 2 + 2?", "What is 2 + 3?", "numbers"),
            ("Book a table for two", "Book a table for three", "numbers"),
            ("from 3 to 5", "from 5 to 3", "numbers"),
            ("in 5 days", "in 5 weeks", "numbers"),
            ("20€ a month", "20$ a month", "numbers"),
            ("What is 2 + 2?", "What is 2 - 2?", "numbers"),
            ("Is version 3.1 out?", "Is version 3.10 out?", "numbers"),
            ("What happened in 1989?", "What happened in 1998?", "numbers"),
            ("Is it allowed?", "Is it not allowed?", "negation"),
            ("Can I pay?", "Can't I pay?", "negation"),
            ("coffee with milk", "coffee without milk", "negation"),
            ("Ist das erlaubt?", "Ist das nicht erlaubt?", "negation"),
            ("Translate \"yes\"", "Translate \"no\"", "quoted text"),
            ("translate 'good day' please", "translate 'good night' please", "quoted text"),
            ("what does `ls -l` do", "what does `ls -a` do", "code or identifiers"),
            ("explain ```\nx = 1\n```", "explain ```\nx = 2\n```", "code or identifiers"),
            ("what is at https://a.example", "what is at https://b.example", "code or identifiers"),
            ("what is user_id", "what is team_id", "code or identifiers"),
            ("what is parseInt for", "what is parseFloat for", "code or identifiers"),
            ("open main.rs", "open lib.rs", "code or identifiers"),
            ("Mail <EMAIL_1>", "Mail <EMAIL_2>", "code or identifiers"),
            ("How is the weather in Paris?", "How is the weather in Rome?", "names"),
            ("Is Python faster than Ruby?", "Is Ruby faster than Python?", "names"),
            ("Convert USD to EUR", "Convert EUR to USD", "names"),
            ("What does NASA do?", "What does ESA do?", "names"),
            ("meet on Monday", "meet on Tuesday", "dates"),
            ("the news of today", "the news of yesterday", "dates"),
            ("how to enable two-factor login", "how to disable two-factor login", "opposites"),
            ("what is the maximum", "what is the minimum", "opposites"),
            ("drive from berlin to munich", "drive from munich to berlin", "direction"),
            ("When was the bridge built?", "Where was the bridge built?", "what is asked"),
        ] {
            assert_eq!(differ(one, other), Some(what), "{one} / {other}");
            assert_eq!(differ(other, one), Some(what), "{other} / {one}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics_and_a_text_agrees_with_itself_in_other_blanks(text in "[ a-zA-Z0-9'\"`“”.,<>_$€%/@-]{0,60}") {
            proptest::prop_assert_eq!(differ(&text, &format!(" {text}")), None);
        }
    }
}
