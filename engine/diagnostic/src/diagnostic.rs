//! What is said about a policy set.

use crate::{Code, Span};

/// Whether a set with this diagnostic can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth mending; the set loads.
    Warning,
    /// The set does not load.
    Error,
}

/// One finding, for the person who can mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What kind of finding it is.
    pub code: Code,
    /// Whether it stops the set from loading.
    pub severity: Severity,
    /// What is wrong, in one line, with the names involved.
    pub message: String,
    /// Where; `None` for what has no place (an empty folder).
    pub span: Option<Span>,
    /// A few words at the caret.
    pub label: Option<String>,
    /// Other places that belong to it, with a few words each.
    pub related: Vec<(Span, String)>,
    /// Why it is wrong, where the message alone does not say.
    pub cause: Option<String>,
    /// What to do, with the nearest right name or the corrected text.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A finding of this code's own severity.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: code.severity(),
            message: message.into(),
            span: None,
            label: None,
            related: Vec::new(),
            cause: None,
            help: None,
        }
    }

    /// Sets where it is.
    #[must_use]
    pub fn at(mut self, span: Span) -> Self {
        self.span = Some(span);
        self
    }

    /// Sets the words at the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Adds another place that belongs to it.
    #[must_use]
    pub fn also(mut self, span: Span, label: impl Into<String>) -> Self {
        self.related.push((span, label.into()));
        self
    }

    /// Sets why it is wrong.
    #[must_use]
    pub fn cause(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Sets what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// More findings than this help nobody and cost memory; further ones are dropped, though never the only error.
const MOST: usize = 10_000;

/// The findings of one load, in the order found; at most 10,000 are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    errors: bool,
}

impl Diagnostics {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        let error = diagnostic.severity == Severity::Error;
        if self.list.len() >= MOST {
            if !error || self.errors {
                return;
            }
            self.list.pop();
        }
        self.errors |= error;
        self.list.push(diagnostic);
    }

    /// Adds several.
    pub fn extend(&mut self, more: impl IntoIterator<Item = Diagnostic>) {
        more.into_iter().for_each(|diagnostic| self.push(diagnostic));
    }

    /// Whether any of them stops the set from loading.
    pub fn has_errors(&self) -> bool {
        self.errors
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Sorts them by file and place, and drops exact repeats.
    pub fn sort(&mut self) {
        let place = |d: &Diagnostic| d.span.map_or((u32::MAX, 0), |s| (s.source.0, s.start));
        // By what they say last, so that repeats stand side by side.
        self.list.sort_by(|a, b| {
            (place(a), a.code as u32, &a.message).cmp(&(place(b), b.code as u32, &b.message))
        });
        self.list.dedup();
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_error_is_kept_however_many_warnings_came_before() {
        let mut all = Diagnostics::new();
        all.extend((0..MOST + 5).map(|n| Diagnostic::new(Code::Unused, n.to_string())));
        assert!(!all.has_errors());
        all.push(Diagnostic::new(Code::BadYaml, "x"));
        all.push(Diagnostic::new(Code::BadYaml, "y"));
        assert_eq!((all.len(), all.has_errors()), (MOST, true));
        assert!(all.iter().any(|d| d.message == "x"));
    }
}
