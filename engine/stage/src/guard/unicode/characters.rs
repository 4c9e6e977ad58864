//! Characters that people do not see, or take for others.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// What a character may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// Tag characters (U+E0000–U+E007F): ASCII that nobody sees, and models read.
    Tags,
    /// Controls that turn the direction of writing, and marks of direction where nothing is written from right to left.
    Bidi,
    /// Characters without width: spaces, joiners where nothing joins, soft hyphens, fillers.
    ZeroWidth,
    /// Variation selectors behind no character, or in rows.
    Variation,
    /// Control characters but tab and line ends, and characters that are none.
    Control,
    /// Words that mix Latin letters with Cyrillic or Greek ones that look like them.
    MixedScripts,
}

impl Kind {
    pub(crate) const ALL: &[Kind] =
        &[Kind::Tags, Kind::Bidi, Kind::ZeroWidth, Kind::Variation, Kind::Control, Kind::MixedScripts];

    /// What it is, behind `holds`.
    pub(super) fn says(self) -> &'static str {
        match self {
            Kind::Tags => "tag characters, which people do not see",
            Kind::Bidi => "controls of the direction of writing",
            Kind::ZeroWidth => "characters without width",
            Kind::Variation => "variation selectors that vary nothing",
            Kind::Control => "control characters",
            Kind::MixedScripts => "words that mix alphabets",
        }
    }
}

/// What the character at this place is, unless it may be there.
pub(super) fn kind_at(text: &str, at: usize, char: char) -> Option<Kind> {
    let before = || text.get(..at).and_then(|head| head.chars().next_back());
    let behind = || text.get(at + char.len_utf8()..).and_then(|tail| tail.chars().next());
    match char {
        '\u{e0000}'..='\u{e007f}' => (!is_in_flag(text, at)).then_some(Kind::Tags),
        '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' | '\u{180b}'..='\u{180d}' | '\u{180f}' => {
            let stands = before().is_some_and(|before| {
                !before.is_whitespace() && !before.is_control() && !is_selector(before) && !is_unseen(before)
            });
            (!stands).then_some(Kind::Variation)
        }
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}' => Some(Kind::Bidi),
        '\u{200e}' | '\u{200f}' | '\u{61c}' => {
            let beside = [before(), behind()];
            (!beside.iter().flatten().any(|char| is_right_to_left(*char))).then_some(Kind::Bidi)
        }
        '\u{200d}' => {
            let (before, behind) = (before(), behind());
            let joins = before.is_some_and(|char| is_joining(char) || is_pictured(char) || is_selector(char))
                && behind.is_some_and(|char| is_joining(char) || is_pictured(char));
            (!joins).then_some(Kind::ZeroWidth)
        }
        '\u{200c}' => {
            let joins = before().is_some_and(is_joining) && behind().is_some_and(is_joining);
            (!joins).then_some(Kind::ZeroWidth)
        }
        _ if is_unseen(char) => Some(Kind::ZeroWidth),
        '\t' | '\n' | '\r' => None,
        '\u{fff9}'..='\u{fffb}' | '\u{fdd0}'..='\u{fdef}' => Some(Kind::Control),
        _ if u32::from(char) & 0xfffe == 0xfffe => Some(Kind::Control),
        _ if char.is_control() => Some(Kind::Control),
        _ => None,
    }
}

/// Whether it has no width and no other kind.
fn is_unseen(char: char) -> bool {
    matches!(
        char,
        '\u{ad}'
            | '\u{34f}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200d}'
            | '\u{2060}'..='\u{2065}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0080}'..='\u{e00ff}'
            | '\u{e01f0}'..='\u{e0fff}'
    )
}

fn is_selector(char: char) -> bool {
    matches!(char, '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' | '\u{180b}'..='\u{180d}' | '\u{180f}')
}

fn is_right_to_left(char: char) -> bool {
    matches!(char, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fdff}' | '\u{fe70}'..='\u{fefe}' | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
}

/// Whether it is of a script in which joiners change how letters are written: Arabic and its kin, the scripts of India, Mongolian.
fn is_joining(char: char) -> bool {
    matches!(char, '\u{600}'..='\u{7ff}' | '\u{840}'..='\u{8ff}' | '\u{900}'..='\u{dff}' | '\u{f00}'..='\u{109f}' | '\u{1780}'..='\u{17b3}' | '\u{17b6}'..='\u{18af}' | '\u{1a00}'..='\u{1cff}' | '\u{a800}'..='\u{abff}' | '\u{11000}'..='\u{11fff}' | '\u{1e900}'..='\u{1e95f}')
}

/// Whether it is a picture, or the tone of one.
fn is_pictured(char: char) -> bool {
    matches!(char, '\u{a9}' | '\u{ae}' | '\u{2100}'..='\u{2bff}' | '\u{3030}'..='\u{303d}' | '\u{3297}' | '\u{3299}' | '\u{1f000}'..='\u{1faff}')
}

/// Whether the tag character at this place belongs to one of the three flags that are written with them.
fn is_in_flag(text: &str, at: usize) -> bool {
    const FLAGS: [&str; 3] = ["gbeng", "gbsct", "gbwls"];
    let Some(flag) = text.get(..at).and_then(|head| head.rfind('\u{1f3f4}')) else { return false };
    let tags = text.get(flag + '\u{1f3f4}'.len_utf8()..).unwrap_or_default();
    FLAGS.iter().any(|name| {
        let tag = |byte: u8| char::from_u32(0xe0000 + u32::from(byte)).unwrap_or('\u{e0000}');
        let whole: String = name.bytes().map(tag).chain(['\u{e007f}']).collect();
        tags.starts_with(&whole) && at < flag + '\u{1f3f4}'.len_utf8() + whole.len()
    })
}

/// Letters of Cyrillic, and of Greek where nobody writes them beside Latin ones, and the Latin letters that they look like.
const OTHERS: &str = "АВЕКМНОРСТУХЅІЈԚԜаеорсухѕіјԛԝһԁӏΑΒΕΖΗΙΚΜΝΟΡΤΥΧο";
const LATINS: &str = "ABEKMHOPCTYXSIJQWaeopcyxsijqwhdlABEZHIKMNOPTYXo";

/// The letter of another alphabet that looks like this one, if `char` stands in `from`.
fn alike(char: char, from: &str, to: &str) -> Option<char> {
    from.chars().zip(to.chars()).find(|(known, _)| *known == char).map(|(_, other)| other)
}

fn is_latin(char: char) -> bool {
    matches!(char, 'a'..='z' | 'A'..='Z' | '\u{c0}'..='\u{24f}')
}

/// Whether it is a letter of an alphabet with letters that look like another's.
pub(super) fn is_letter(char: char) -> bool {
    char.is_alphabetic() && (is_latin(char) || matches!(char, '\u{370}'..='\u{52f}'))
}

/// A word that mixes alphabets, in the one whose letters it can be written with; `None` for other words. One that can be
/// written with neither is a compound (`VPNсервис`), which nobody takes for something else.
pub(super) fn in_one_alphabet(word: &str) -> Option<String> {
    let (latin, others) = (word.chars().any(is_latin), word.chars().any(|char| !is_latin(char)));
    if !(latin && others) {
        return None;
    }
    let to_latin = |char| if is_latin(char) { Some(char) } else { alike(char, OTHERS, LATINS) };
    let to_other = |char| match char {
        '\u{400}'..='\u{52f}' => Some(char),
        _ => alike(char, LATINS, OTHERS).filter(|other| matches!(other, '\u{400}'..='\u{52f}')),
    };
    word.chars().map(to_latin).collect::<Option<String>>().or_else(|| word.chars().map(to_other).collect())
}

/// The words that mix alphabets so that they look like words of one.
pub(super) fn mixed(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut rest = text.char_indices().peekable();
    std::iter::from_fn(move || {
        loop {
            let (start, first) = rest.find(|(_, char)| is_letter(*char))?;
            let mut end = start + first.len_utf8();
            while let Some((at, char)) = rest.next_if(|(_, char)| is_letter(*char)) {
                end = at + char.len_utf8();
            }
            let word = text.get(start..end).filter(|word| !word.is_ascii());
            if word.and_then(in_one_alphabet).is_some() {
                return Some(start..end);
            }
        }
    })
}
