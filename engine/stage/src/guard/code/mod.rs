//! Code in texts is refused, masked or noted, by language: in fences of Markdown, and, if asked, without them.
//!
//! Without `allow` and `deny` any code counts. A fence that does not say its language is read: what looks like none of the known
//! languages is no code. Of a stream a block goes out when it is whole.
//!
//! ```yaml
//! - guard: code
//!   with: { deny: [shell, powershell, sql], on: [reply], then: mask }
//! ```

mod blocks;
mod languages;

use super::action::{Beside, Role, Side, Then, both};
use super::spans::{Finder, Treatment};
use languages::{LANGUAGES, guess, known};
use schemars::JsonSchema;
use serde::Deserialize;
use std::ops::Range;
use std::sync::Arc;
use weir_diagnostic::{Code, Diagnostic, nearest};
use weir_pipeline::{Stage, Workbench};
use weir_policy::{Spanned, StageDecl};

/// The settings of `guard: code`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// The languages in which code may stand; in others it may not, nor in one that cannot be told.
    #[serde(default)]
    allow: Vec<Spanned<String>>,
    /// The languages in which it may not, whatever `allow` says.
    #[serde(default)]
    deny: Vec<Spanned<String>>,
    /// Whether code is looked for outside fences too: three lines in a row that look like code.
    #[serde(default)]
    unfenced: bool,
    /// Which way it looks: at what clients send, at what models say.
    #[serde(default = "both")]
    on: Vec<Side>,
    /// Whose texts it reads; all if none is named.
    #[serde(default)]
    roles: Vec<Role>,
    /// What is done with a block.
    #[serde(default)]
    then: Then,
    /// What stands in the place of a block; goes with `then: replace`.
    replacement: Option<String>,
    /// The tag of `then: tag`.
    tag: Option<String>,
    /// What the client is told when a block denies.
    message: Option<String>,
}

/// Checks the settings and compiles the guard.
pub(crate) fn compile(decl: &StageDecl, bench: &mut Workbench<'_>) -> Option<Arc<dyn Stage>> {
    let settings: Settings = bench.settings(decl)?;
    let before = bench.diagnostics.len();
    let mut numbers = |names: &[Spanned<String>]| -> Vec<usize> {
        let mut numbers = Vec::new();
        for name in names {
            match known(&name.value) {
                Some(number) => numbers.push(number),
                None => {
                    let message = format!("`{}` is no language that is known", name.value);
                    let help = match nearest(&name.value, LANGUAGES.iter().map(|language| language.name)) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => "see the names in the reference of `guard: code`".to_owned(),
                    };
                    bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(name.span).help(help));
                }
            }
        }
        numbers
    };
    let (allow, deny) = (numbers(&settings.allow), numbers(&settings.deny));
    let beside = Beside { replacement: settings.replacement, tag: settings.tag };
    let action = settings.then.action(&settings.on, beside, |message, help| {
        bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(decl.span).help(help));
    });
    if bench.diagnostics.len() > before {
        return None;
    }
    let any = allow.is_empty() && deny.is_empty();
    let treatment = Treatment {
        on: settings.on,
        roles: settings.roles,
        action,
        message: settings
            .message
            .unwrap_or_else(|| "the text holds code that the policy does not let pass".to_owned()),
    };
    let finder = Blocks { allow, deny, any, unfenced: settings.unfenced };
    Some(treatment.of(Arc::new(finder), decl))
}

struct Blocks {
    allow: Vec<usize>,
    deny: Vec<usize>,
    /// Whether all code counts.
    any: bool,
    unfenced: bool,
}

/// The number of finds in a language that is not known.
const UNKNOWN: usize = LANGUAGES.len();

impl Blocks {
    /// Whether code of a language counts.
    fn counts(&self, language: usize) -> bool {
        let is_code = LANGUAGES.get(language).is_none_or(|language| language.is_code);
        if self.deny.contains(&language) {
            return true;
        }
        match self.any {
            true => is_code,
            false => !self.allow.is_empty() && !self.allow.contains(&language) && is_code,
        }
    }

    /// The language of a fence; none: it is no code.
    fn language(word: &str, inside: &str) -> Option<usize> {
        match word {
            "" => guess(inside),
            word => Some(known(word).unwrap_or(UNKNOWN)),
        }
    }
}

impl Finder for Blocks {
    fn find(&self, text: &str) -> Vec<(Range<usize>, usize)> {
        let fences = blocks::fences(text);
        let mut found: Vec<(Range<usize>, usize)> = Vec::new();
        for fence in &fences {
            let inside = text.get(fence.inside.clone()).unwrap_or_default();
            let word = text.get(fence.word.clone()).unwrap_or_default();
            if let Some(language) = Self::language(word, inside).filter(|language| self.counts(*language)) {
                found.push((fence.all.clone(), language));
            }
        }
        if self.unfenced {
            let outside = |range: &Range<usize>| {
                fences.iter().all(|fence| range.end <= fence.all.start || fence.all.end <= range.start)
            };
            for range in blocks::runs(text).into_iter().filter(outside) {
                let language = guess(text.get(range.clone()).unwrap_or_default()).unwrap_or(UNKNOWN);
                if self.counts(language) {
                    found.push((range, language));
                }
            }
            found.sort_by_key(|(range, _)| range.start);
        }
        found
    }

    fn says(&self, number: usize) -> String {
        match LANGUAGES.get(number) {
            Some(language) => format!("holds code in `{}`", language.name),
            None => "holds code".to_owned(),
        }
    }

    /// What went out ends outside of a block; of it only the last character is asked for: whether a line begins.
    fn longest(&self) -> usize {
        1
    }

    fn growing(&self, text: &str) -> usize {
        blocks::growing(text, self.unfenced)
    }
}

#[cfg(test)]
mod tests;
