//! A text of another language that stands inside a YAML scalar.

use crate::{SourceId, Span};
use std::ops::Range;
use std::sync::Arc;

/// A CEL expression or a script as it reads after YAML's quoting and folding, with the way back to its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Embedded {
    /// The decoded text.
    pub text: Arc<str>,
    /// The whole scalar in its source.
    pub span: Span,
    /// Pairs (offset in `text`, offset in the source), ascending; between two pairs both advance byte by byte.
    segments: Arc<[(u32, u32)]>,
}

impl Embedded {
    /// A text whose decoded form lies in its source in the given segments: (offset in text, offset in source).
    pub fn new(text: impl Into<Arc<str>>, span: Span, segments: impl Into<Arc<[(u32, u32)]>>) -> Self {
        Self { text: text.into(), span, segments: segments.into() }
    }

    /// A text that stands in its source as it is, from the start of `span`.
    pub fn verbatim(text: impl Into<Arc<str>>, span: Span) -> Self {
        Self::new(text, span, [(0, span.start)])
    }

    /// A text that is its whole source (a script in a file of its own).
    pub fn whole(text: impl Into<Arc<str>>, source: SourceId) -> Self {
        let text = text.into();
        let span = Span::new(source, 0..text.len());
        Self::verbatim(text, span)
    }

    /// The place in the source of a range of the decoded text.
    pub fn span_of(&self, range: Range<usize>) -> Span {
        let start = self.source_offset(range.start);
        let end = if range.end > range.start { self.source_offset(range.end - 1) + 1 } else { start };
        Span { source: self.span.source, start, end: end.max(start) }
    }

    fn source_offset(&self, offset: usize) -> u32 {
        let offset = u32::try_from(offset).unwrap_or(u32::MAX);
        let at = self.segments.partition_point(|(decoded, _)| *decoded <= offset);
        match at.checked_sub(1).and_then(|n| self.segments.get(n)) {
            Some((decoded, source)) => {
                source.saturating_add(offset - decoded).min(self.span.end.max(*source))
            }
            None => self.span.start,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_a_folded_text_points_into_its_own_line() {
        let source = SourceId(0);
        let text = Embedded::new("ab\ncd", Span::new(source, 10..30), [(0, 12), (3, 20)]);
        assert_eq!(text.span_of(0..2).range(), 12..14);
        assert_eq!(text.span_of(3..5).range(), 20..22);
        assert_eq!(text.span_of(1..4).range(), 13..21);
    }
}
