//! Words and phrases of a list (competitors, code names, abuse) are refused, masked or replaced, or only counted or tagged.
//!
//! A list stands in the policy, in files of the set (`.txt`, one entry a line, `#` begins a comment), or both, and has up to
//! 100,000 entries. Case, width (`Ａcme`), how accents are put together, invisible characters inside words and the kind and
//! number of blanks make no difference. An entry is a whole word: `Ford` is not found in `Fordham`. Scripts that put no blanks
//! between words (Chinese, Japanese, Thai …) have no such bounds. The trace names the entry by its place in the list.
//!
//! ```yaml
//! - guard: words
//!   with: { words: [Globex, Initech], allow: [Globex Foundation], then: tag, tag: competitor }
//! ```

mod fold;

use super::action::{Beside, Role, Side, Then, both};
use super::spans::{Finder, Treatment};
use aho_corasick::AhoCorasick;
use fold::{fold, is_bound};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use weir_diagnostic::{Code, Diagnostic, Span};
use weir_pipeline::{Stage, Workbench};
use weir_policy::{Spanned, StageDecl};

/// The settings of `guard: words`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Words and phrases that must not stand in a text.
    #[serde(default)]
    words: Vec<Spanned<String>>,
    /// Files of the set with more of them, one a line, relative to this file.
    #[serde(default)]
    files: Vec<Spanned<String>>,
    /// Exceptions: phrases in which an entry may stand.
    #[serde(default)]
    allow: Vec<Spanned<String>>,
    /// Whether an entry is also found as a part of longer words.
    #[serde(default)]
    parts: bool,
    /// Whether `IT` is another word than `it`.
    #[serde(default)]
    match_case: bool,
    /// Which way it looks: at what clients send, at what models say.
    #[serde(default = "both")]
    on: Vec<Side>,
    /// Whose texts it reads; all if none is named.
    #[serde(default)]
    roles: Vec<Role>,
    /// What is done with a word.
    #[serde(default)]
    then: Then,
    /// What stands in the place of a word; goes with `then: replace`.
    replacement: Option<String>,
    /// The tag of `then: tag`.
    tag: Option<String>,
    /// What the client is told when a word denies.
    message: Option<String>,
}

/// A guard has at most this many entries, exceptions included.
const ENTRIES: usize = 100_000;

/// An entry has at most this many bytes.
const ENTRY: usize = 256;

/// Checks the settings and compiles the guard.
pub(crate) fn compile(decl: &StageDecl, bench: &mut Workbench<'_>) -> Option<Arc<dyn Stage>> {
    let settings: Settings = bench.settings(decl)?;
    let before = bench.diagnostics.len();
    let mut entries = Entries { match_case: settings.match_case, ..Entries::default() };
    entries.list("words", &settings.words, bench);
    for file in &settings.files {
        if let Some(text) = bench.file(file) {
            entries.file(file, &text, bench);
        }
    }
    let forbidden = entries.texts.len();
    entries.list("allow", &settings.allow, bench);
    let mut wrong = |message: &str, help: &str| {
        bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(decl.span).help(help));
    };
    if forbidden == 0 && settings.files.is_empty() {
        wrong("the guard has no words", "name some in `words`, or a file of the set in `files`");
    }
    if entries.texts.len() > ENTRIES {
        wrong("the guard has more than 100000 entries", "split the list among several guards");
    }
    let beside = Beside { replacement: settings.replacement, tag: settings.tag };
    let action = settings.then.action(&settings.on, beside, &mut wrong);
    if bench.diagnostics.len() > before {
        return None;
    }
    let finder = match Words::shared(entries, forbidden, settings.parts) {
        Ok(finder) => finder,
        Err(error) => {
            let message = format!("the words are too many together: {error}");
            bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(decl.span));
            return None;
        }
    };
    let treatment = Treatment {
        on: settings.on,
        roles: settings.roles,
        action,
        message: settings
            .message
            .unwrap_or_else(|| "the text holds a word that the policy does not let pass".to_owned()),
    };
    Some(treatment.of(finder, decl))
}

/// The entries of a guard, as they are read.
#[derive(Default)]
struct Entries {
    match_case: bool,
    /// The entries as they are compared, each once.
    texts: Vec<String>,
    /// Where each stands, in words.
    places: Places,
    known: HashSet<String>,
}

impl Entries {
    fn list(&mut self, name: &str, words: &[Spanned<String>], bench: &mut Workbench<'_>) {
        self.places.begin(format!("entry {{}} of `{name}`"));
        for (n, word) in words.iter().enumerate() {
            self.add(word, n + 1, word.span, bench);
        }
    }

    fn file(&mut self, path: &Spanned<String>, text: &str, bench: &mut Workbench<'_>) {
        self.places.begin(format!("line {{}} of `{}`", path.value));
        for (n, line) in text.lines().enumerate() {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') && !self.add(line, n + 1, path.span, bench) {
                // One such line tells enough of a file.
                return;
            }
        }
    }

    fn add(&mut self, word: &str, n: usize, at: Span, bench: &mut Workbench<'_>) -> bool {
        let mut text = String::with_capacity(word.len());
        fold(word, self.match_case, |_, char| text.push(char));
        let text = text.trim_matches(' ');
        if text.is_empty() || text.len() > ENTRY {
            let message = match text.is_empty() {
                true => format!("number {n} is no word"),
                false => format!("number {n} is longer than {ENTRY} bytes"),
            };
            bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(at));
            return false;
        }
        if self.known.insert(text.to_owned()) {
            self.texts.push(text.to_owned());
            self.places.add(n);
        }
        true
    }
}

/// Where entries stand.
#[derive(Default)]
struct Places {
    /// From which entry on, and what their places are called.
    lists: Vec<(usize, String)>,
    numbers: Vec<u32>,
}

impl Places {
    fn begin(&mut self, called: String) {
        self.lists.push((self.numbers.len(), called));
    }

    fn add(&mut self, number: usize) {
        self.numbers.push(u32::try_from(number).unwrap_or(u32::MAX));
    }

    fn of(&self, entry: usize) -> Option<String> {
        let (_, called) = self.lists.iter().rev().find(|(from, _)| *from <= entry)?;
        Some(called.replace("{}", &self.numbers.get(entry)?.to_string()))
    }
}

/// Compiled lists, shared by all guards that have the same.
struct Words {
    automaton: AhoCorasick,
    /// How many of its patterns are forbidden; the others are exceptions.
    forbidden: usize,
    parts: bool,
    match_case: bool,
    places: Places,
    /// The longest pattern, in bytes as they are compared.
    longest: usize,
}

impl Words {
    fn shared(
        entries: Entries,
        forbidden: usize,
        parts: bool,
    ) -> Result<Arc<Self>, aho_corasick::BuildError> {
        static KNOWN: Mutex<Option<HashMap<[u8; 32], Weak<Words>>>> = Mutex::new(None);
        let Entries { match_case, texts, places, known: _ } = entries;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[u8::from(match_case), u8::from(parts)]);
        hasher.update(&(forbidden as u64).to_le_bytes());
        for (from, called) in &places.lists {
            hasher.update(format!("{from} {called}\n").as_bytes());
        }
        for (text, number) in texts.iter().zip(&places.numbers) {
            hasher.update(text.as_bytes()).update(b"\n").update(&number.to_le_bytes());
        }
        let key = *hasher.finalize().as_bytes();
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get_or_insert_default();
        if let Some(words) = known.get(&key).and_then(Weak::upgrade) {
            return Ok(words);
        }
        let words = Arc::new(Words {
            automaton: AhoCorasick::new(&texts)?,
            forbidden,
            parts,
            match_case,
            places,
            longest: texts.iter().map(String::len).max().unwrap_or_default(),
        });
        known.retain(|_, words| words.strong_count() > 0);
        known.insert(key, Arc::downgrade(&words));
        Ok(words)
    }

    fn folded(&self, text: &str) -> String {
        let mut folded = String::with_capacity(text.len());
        fold(text, self.match_case, |_, char| folded.push(char));
        folded
    }

    /// The entries in a text as it is compared: ascending, apart, the longer before the shorter, none inside an exception.
    fn entries(&self, folded: &str) -> Vec<(Range<usize>, usize)> {
        let bound = |range: &Range<usize>| {
            self.parts || (is_bound(folded, range.start, range) && is_bound(folded, range.end, range))
        };
        let mut found: Vec<(Range<usize>, usize)> = self
            .automaton
            .find_overlapping_iter(folded)
            .map(|one| (one.start()..one.end(), one.pattern().as_usize()))
            .filter(|(range, _)| bound(range))
            .collect();
        let exceptions: Vec<Range<usize>> =
            found.extract_if(.., |(_, number)| *number >= self.forbidden).map(|(range, _)| range).collect();
        found
            .retain(|(one, _)| !exceptions.iter().any(|wide| wide.start <= one.start && one.end <= wide.end));
        found.sort_by_key(|(range, _)| (range.start, usize::MAX - range.end));
        let mut end = 0;
        found.retain(|(range, _)| {
            let apart = range.start >= end;
            end = if apart { range.end } else { end };
            apart
        });
        found
    }
}

impl Finder for Words {
    fn find(&self, text: &str) -> Vec<(Range<usize>, usize)> {
        let folded = self.folded(text);
        let mut found = self.entries(&folded);
        if found.is_empty() {
            return found;
        }
        // Only now is it asked where each character came from.
        let (mut at, mut next) = (0, 0);
        let mut from: Option<Range<usize>> = None;
        let mut back = Vec::with_capacity(found.len());
        fold(text, self.match_case, |place, char| {
            if let Some((range, number)) = found.get_mut(next) {
                if at == range.start {
                    from = Some(place.clone());
                }
                at += char.len_utf8();
                if at == range.end
                    && let Some(start) = from.take()
                {
                    back.push((start.start..place.end, *number));
                    next += 1;
                }
            }
        });
        // A character that stands for several may belong to two finds; it goes with the first.
        let mut end = 0;
        back.retain(|(range, _)| {
            let apart = range.start >= end;
            end = if apart { range.end } else { end };
            apart
        });
        back
    }

    fn says(&self, number: usize) -> String {
        format!("holds {}", self.places.of(number).unwrap_or_else(|| "a word of the list".to_owned()))
    }

    fn longest(&self) -> usize {
        // What stands in front of a word says whether it is one.
        self.longest + 16
    }

    /// Counted as texts are compared, so that what makes no difference there does not push a word out of sight.
    fn growing(&self, text: &str) -> usize {
        // The longest entry, and the character behind it.
        let held = self.longest + 4;
        let mut left = self.folded(text).len().saturating_sub(held);
        let mut place = 0;
        let mut done = false;
        fold(text, self.match_case, |at, char| {
            if !done {
                done = left < char.len_utf8();
                if !done {
                    left -= char.len_utf8();
                    place = at.end;
                }
            }
        });
        place
    }
}

#[cfg(test)]
mod tests;
