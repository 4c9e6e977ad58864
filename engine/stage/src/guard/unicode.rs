//! Characters that people do not see, or take for others: taken out or put right, or refused; texts can be normalised.
//!
//! What hides words from people and guards: tag characters (U+E0000 …), zero-width characters, controls of direction, rows of
//! variation selectors, control characters, and words that mix alphabets whose letters look alike (`раypal` with Cyrillic
//! letters). What writing needs stays: joiners in emoji and in the scripts that join, marks of direction beside Hebrew and
//! Arabic, one variation selector behind its character, the flags of England, Scotland and Wales.
//!
//! ```yaml
//! - guard: unicode
//!   with: { normalize: nfkc }
//! ```

mod characters;

use super::action::{Action, Role, Side, both, check};
use super::spans::{Finder, Treatment};
use characters::{Kind, in_one_alphabet, is_letter, kind_at, mixed};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::Arc;
use unicode_normalization::char::canonical_combining_class;
use unicode_normalization::{
    IsNormalized, UnicodeNormalization, is_nfc, is_nfc_quick, is_nfkc, is_nfkc_quick,
};
use weir_diagnostic::{Code, Diagnostic};
use weir_pipeline::{Stage, Workbench};
use weir_policy::StageDecl;

/// The settings of `guard: unicode`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// What it looks for; all if none is named.
    #[serde(default)]
    find: Vec<Kind>,
    /// What is done with a find.
    #[serde(default)]
    then: Cleaning,
    /// The form that texts are brought into, whatever `then` says; none if it is left out.
    normalize: Option<Form>,
    /// Which way it looks: at what clients send, at what models say.
    #[serde(default = "both")]
    on: Vec<Side>,
    /// Whose texts it reads; all if none is named.
    #[serde(default)]
    roles: Vec<Role>,
    /// The tag of `then: tag`.
    tag: Option<String>,
    /// What the client is told when a find denies.
    message: Option<String>,
}

/// What is done with a find.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Cleaning {
    /// It is taken out; letters of another alphabet become those that they look like.
    #[default]
    Clean,
    /// The request or reply is refused.
    Deny,
    /// It is counted in the trace and left as it is.
    Observe,
    /// It is left as it is, and the request gets the tag `tag`, which expressions below and the trace can read.
    Tag,
}

/// A normal form of Unicode (UAX #15).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Form {
    /// Letters and their accents are put together.
    Nfc,
    /// The same, and what only looks different becomes the plain character: `ﬁ`, `Ａ`, `①`, `𝐀`.
    Nfkc,
}

impl Form {
    fn is(self, text: &str) -> bool {
        match self {
            Form::Nfc => is_nfc(text),
            Form::Nfkc => is_nfkc(text),
        }
    }

    fn of(self, text: &str) -> String {
        match self {
            Form::Nfc => text.nfc().collect(),
            Form::Nfkc => text.nfkc().collect(),
        }
    }

    /// Whether a character may have to do with what stands in front of it.
    fn joins(self, char: char) -> bool {
        let quick = match self {
            Form::Nfc => is_nfc_quick(std::iter::once(char)),
            Form::Nfkc => is_nfkc_quick(std::iter::once(char)),
        };
        canonical_combining_class(char) != 0 || quick == IsNormalized::Maybe
    }
}

/// Checks the settings and compiles the guard.
pub(crate) fn compile(decl: &StageDecl, bench: &mut Workbench<'_>) -> Option<Arc<dyn Stage>> {
    let settings: Settings = bench.settings(decl)?;
    let before = bench.diagnostics.len();
    check(settings.then == Cleaning::Tag, &settings.on, settings.tag.as_deref(), |message, help| {
        bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(decl.span).help(help));
    });
    if bench.diagnostics.len() > before {
        return None;
    }
    let kinds = if settings.find.is_empty() { Kind::ALL.to_vec() } else { settings.find };
    let action = match settings.then {
        Cleaning::Clean => Action::Rewrite,
        Cleaning::Deny => Action::Deny,
        Cleaning::Observe => Action::Observe,
        Cleaning::Tag => Action::Tag(Arc::from(settings.tag.unwrap_or_default())),
    };
    let finder = Characters { kinds, form: settings.normalize };
    let treatment = Treatment {
        on: settings.on,
        roles: settings.roles,
        action,
        message: settings.message.unwrap_or_else(|| {
            "the text holds characters that people do not see, or take for others: take them out".to_owned()
        }),
    };
    Some(treatment.of(Arc::new(finder), decl))
}

/// The number of a text that is not in the normal form; other numbers are those of kinds.
const NORMAL: usize = usize::MAX;

/// So much of what went out is remembered, in bytes: what stands in front of a character says whether it may be there.
const REMEMBERED: usize = 64;

struct Characters {
    kinds: Vec<Kind>,
    form: Option<Form>,
}

impl Characters {
    /// What is to be found by its kind, ascending and apart.
    fn unseen(&self, text: &str) -> Vec<(Range<usize>, usize)> {
        let mut found: Vec<(Range<usize>, usize)> = Vec::new();
        for (at, char) in
            text.char_indices().filter(|(_, char)| !matches!(char, ' '..='~' | '\t' | '\n' | '\r'))
        {
            let Some(kind) = kind_at(text, at, char).filter(|kind| self.kinds.contains(kind)) else {
                continue;
            };
            let (end, number) = (at + char.len_utf8(), kind as usize);
            match found.last_mut() {
                Some((last, known)) if last.end == at && *known == number => last.end = end,
                _ => found.push((at..end, number)),
            }
        }
        if self.kinds.contains(&Kind::MixedScripts) {
            found.extend(mixed(text).map(|range| (range, Kind::MixedScripts as usize)));
            found.sort_by_key(|(range, _)| range.start);
        }
        found
    }

    /// The pieces of a text that are not in the normal form.
    fn denormal(&self, text: &str, form: Form) -> Vec<(Range<usize>, usize)> {
        let mut found = Vec::new();
        if form.is(text) {
            return found;
        }
        let mut look = |range: Range<usize>| {
            if text.get(range.clone()).is_some_and(|piece| !form.is(piece)) {
                found.push((range, NORMAL));
            }
        };
        let mut start = 0;
        for (at, char) in text.char_indices() {
            if at > start && !form.joins(char) {
                look(start..at);
                start = at;
            }
        }
        look(start..text.len());
        found
    }
}

impl Finder for Characters {
    fn find(&self, text: &str) -> Vec<(Range<usize>, usize)> {
        if text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t' | b'\n' | b'\r')) {
            return Vec::new();
        }
        let unseen = self.unseen(text);
        let denormal = self.form.map(|form| self.denormal(text, form)).unwrap_or_default();
        if denormal.is_empty() {
            return unseen;
        }
        // Where both meet, what is found by its kind counts: its rewriting puts the rest right too.
        let mut all: Vec<(Range<usize>, usize)> = Vec::with_capacity(unseen.len() + denormal.len());
        let mut both: Vec<_> = unseen.into_iter().chain(denormal).collect();
        both.sort_by_key(|(range, number)| (range.start, *number));
        for (range, number) in both {
            match all.last_mut() {
                Some((last, known)) if range.start < last.end => {
                    last.end = last.end.max(range.end);
                    *known = number.min(*known);
                }
                _ => all.push((range, number)),
            }
        }
        all
    }

    fn says(&self, number: usize) -> String {
        match Kind::ALL.iter().find(|kind| **kind as usize == number) {
            Some(kind) => format!("holds {}", kind.says()),
            None => "is not in the normal form".to_owned(),
        }
    }

    fn longest(&self) -> usize {
        REMEMBERED
    }

    /// A word may go on with letters of another alphabet, a letter with accents, and what follows a character may give it leave
    /// to be there.
    fn growing(&self, text: &str) -> usize {
        let mut growing = text.len();
        if self.kinds.contains(&Kind::MixedScripts) {
            let letters = text.chars().rev().take(REMEMBERED / 4).take_while(|char| is_letter(*char));
            growing -= letters.map(char::len_utf8).sum::<usize>();
        }
        if let Some(char) = text
            .chars()
            .next_back()
            .filter(|char| kind_at(text, text.len() - char.len_utf8(), *char).is_some())
        {
            growing = growing.min(text.len() - char.len_utf8());
        }
        if let Some(form) = self.form {
            let mut place = text.len();
            for (at, char) in text.char_indices().rev() {
                place = at;
                if !form.joins(char) {
                    break;
                }
            }
            growing = growing.min(place);
        }
        // No flag is longer: what begins with one waits for its end.
        match text.rfind('\u{1f3f4}') {
            Some(flag) if text.len() - flag <= 28 => growing.min(flag),
            _ => growing,
        }
    }

    fn action(&self, number: usize) -> Option<&Action> {
        (number == NORMAL).then_some(&Action::Rewrite)
    }

    fn edits(&self, action: &Action) -> bool {
        *action == Action::Rewrite || self.form.is_some()
    }

    fn rewrite(&self, number: usize, found: &str) -> String {
        let mut out = String::with_capacity(found.len());
        let mut from = 0;
        let finds = if number == NORMAL { Vec::new() } else { self.unseen(found) };
        for (range, number) in finds {
            out.push_str(found.get(from..range.start).unwrap_or_default());
            if number == Kind::MixedScripts as usize {
                let word = found.get(range.clone()).unwrap_or_default();
                out.push_str(&in_one_alphabet(word).unwrap_or_default());
            }
            from = range.end;
        }
        out.push_str(found.get(from..).unwrap_or_default());
        match self.form {
            Some(form) => form.of(&out),
            None => out,
        }
    }

    fn reads_escapes(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests;
