//! From a scalar's decoded text back to its place: the segments of an [`weir_diagnostic::Embedded`].

use granit_parser::ScalarStyle;
use std::ops::Range;

/// The range of a scalar without the blank lines that the parser may count to it.
pub(crate) fn trimmed(text: &str, range: Range<usize>, style: ScalarStyle) -> Range<usize> {
    if matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted) {
        return range;
    }
    let kept = text.get(range.clone()).map_or(range.len(), |raw| raw.trim_end().len());
    range.start..range.start + kept
}

/// Pairs (offset in `decoded`, offset in `text`) for the scalar that stands in `text` at `range`. Should the decoded text
/// not be what is expected, the whole maps to the scalar's start.
pub(crate) fn segments(
    text: &str,
    range: Range<usize>,
    style: ScalarStyle,
    decoded: &str,
) -> Vec<(u32, u32)> {
    let Some(raw) = text.get(range.clone()) else { return vec![(0, clamp(range.start))] };
    let mut map = Map { decoded, at: 0, base: range.start, segments: Vec::new(), fits: true };
    match style {
        ScalarStyle::Literal | ScalarStyle::Folded => {
            let first = first_line(text, range.start);
            map.base = first;
            map.block(text.get(first..range.end).unwrap_or(""));
        }
        ScalarStyle::Plain if raw == decoded => map.copy(decoded, 0),
        ScalarStyle::Plain => map.flow(raw, 0, None),
        ScalarStyle::SingleQuoted => map.flow(unquoted(raw), 1, Some('\'')),
        ScalarStyle::DoubleQuoted => map.flow(unquoted(raw), 1, Some('"')),
    }
    let leading_only = decoded.get(map.at..).is_some_and(|rest| rest.trim_end_matches('\n').is_empty());
    if !map.fits || !leading_only || map.segments.is_empty() {
        return vec![(0, clamp(range.start))];
    }
    map.segments
}

fn clamp(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

/// The start of a block scalar's first line, blank ones included: the parser's range begins at the first content.
fn first_line(text: &str, start: usize) -> usize {
    let before = text.get(..start).unwrap_or("");
    let mut first = before.rfind('\n').map_or(0, |n| n + 1);
    while let Some(line_end) = first.checked_sub(1) {
        let line = before.get(..line_end).map_or("", |t| t.rsplit('\n').next().unwrap_or(""));
        if !line.trim_matches([' ', '\r']).is_empty() {
            break;
        }
        first = line_end - line.len();
    }
    first
}

fn unquoted(raw: &str) -> &str {
    raw.get(1..raw.len().saturating_sub(1)).unwrap_or("")
}

struct Map<'a> {
    decoded: &'a str,
    /// How much of `decoded` has its place.
    at: usize,
    base: usize,
    segments: Vec<(u32, u32)>,
    fits: bool,
}

impl Map<'_> {
    /// The next bytes of the decoded text are `part`, which stands at `raw` of the scalar.
    fn copy(&mut self, part: &str, raw: usize) {
        self.fits &= self.decoded.get(self.at..).is_some_and(|rest| rest.starts_with(part));
        self.emit(part.len(), raw);
    }

    /// The next `len` bytes of the decoded text come from `raw` of the scalar.
    fn emit(&mut self, len: usize, raw: usize) {
        let source = clamp(self.base + raw);
        let decoded = clamp(self.at);
        let follows = self.segments.last().is_some_and(|(d, s)| {
            decoded.checked_sub(*d).is_some_and(|passed| s.checked_add(passed) == Some(source))
        });
        if !follows {
            self.segments.push((decoded, source));
        }
        self.at += len;
    }

    /// The length of the next decoded character.
    fn next_len(&self) -> usize {
        self.decoded.get(self.at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8)
    }

    /// Plain and quoted scalars (YAML 1.2, section 7.3): escapes, and line breaks that fold.
    fn flow(&mut self, raw: &str, skip: usize, quote: Option<char>) {
        let mut at = 0;
        while let Some(rest) = raw.get(at..).filter(|rest| !rest.is_empty()) {
            let blank = rest.len() - rest.trim_start_matches([' ', '\t']).len();
            if rest.get(blank..).is_some_and(|r| r.starts_with(['\n', '\r'])) {
                let white = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
                let breaks = rest.get(..white).map_or(0, |w| w.matches('\n').count());
                let decoded = self.decoded.get(self.at..).unwrap_or("");
                // After an escaped break nothing stands for the first one.
                let made = if decoded.starts_with(' ') && breaks == 1 {
                    1
                } else {
                    decoded.bytes().take_while(|b| *b == b'\n').count().min(breaks)
                };
                self.emit(made, skip + at + blank);
                at += white;
                continue;
            }
            let Some(next) = rest.chars().next() else { break };
            if quote == Some('"') && next == '\\' {
                let escape = rest.get(1..).and_then(|r| r.chars().next());
                if matches!(escape, Some('\n' | '\r')) {
                    let after = rest.get(1..).unwrap_or("");
                    let line = after.trim_start_matches('\r');
                    let line = line.strip_prefix('\n').unwrap_or(line);
                    at = raw.len() - line.trim_start_matches([' ', '\t']).len();
                    continue;
                }
                let digits = match escape {
                    Some('x') => 2,
                    Some('u') => 4,
                    Some('U') => 8,
                    _ => 0,
                };
                self.emit(self.next_len(), skip + at);
                at += 1 + escape.map_or(0, char::len_utf8) + digits;
            } else if quote == Some('\'') && rest.starts_with("''") {
                self.copy("'", skip + at);
                at += 2;
            } else {
                let end = rest.find(['\\', '\'', ' ', '\t', '\r', '\n']).filter(|n| *n > 0);
                let len = end.unwrap_or(if rest.starts_with(['\\', '\'', ' ', '\t']) {
                    next.len_utf8()
                } else {
                    rest.len()
                });
                if let Some(part) = rest.get(..len) {
                    self.copy(part, skip + at);
                }
                at += len.max(1);
            }
        }
    }

    /// Literal and folded scalars (section 8.1), from their first line on: the indentation is not content.
    fn block(&mut self, raw: &str) {
        let lines: Vec<(usize, &str)> = raw
            .split_inclusive('\n')
            .scan(0, |at, line| {
                let start = *at;
                *at += line.len();
                Some((start, line.trim_end_matches('\n').trim_end_matches('\r')))
            })
            .collect();
        let first = lines.iter().map(|(_, line)| line).find(|line| !line.trim_matches(' ').is_empty());
        let Some(first) = first else { return };
        let leading = first.len() - first.trim_start_matches(' ').len();
        // With an explicit indentation the first line may start with spaces of its own.
        let own = self.decoded.trim_start_matches('\n');
        let own = own.len() - own.trim_start_matches(' ').len();
        let indent = leading.saturating_sub(own);
        let mut breaks: Vec<usize> = Vec::new();
        let mut begun = false;
        for (start, line) in lines {
            let content = line.get(indent..).unwrap_or("");
            if content.is_empty() {
                breaks.push(start + line.len());
                continue;
            }
            let rest = self.decoded.get(self.at..).unwrap_or("");
            if begun && breaks.len() == 1 && rest.starts_with(' ') && !content.starts_with([' ', '\t']) {
                self.emit(1, breaks.first().copied().unwrap_or(start));
            } else {
                let made = rest.bytes().take_while(|b| *b == b'\n').count().min(breaks.len());
                for place in breaks.iter().skip(breaks.len() - made) {
                    self.emit(1, *place);
                }
            }
            breaks.clear();
            self.copy(content, start + indent);
            breaks.push(start + line.len());
            begun = true;
        }
        for place in breaks {
            if self.decoded.get(self.at..).is_some_and(|rest| rest.starts_with('\n')) {
                self.emit(1, place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::read::read;
    use weir_diagnostic::{Diagnostics, SourceId};

    /// Each `@` word of the decoded text must lie, byte by byte, on the same word of the source.
    #[test]
    fn a_word_of_the_decoded_text_lies_on_the_same_word_of_the_source() {
        for (yaml, decoded) in [
            ("v: one == two", "one == two"),
            ("v: one ==\n   two\n\n   three", "one == two\nthree"),
            ("v: 'it''s one' # no", "it's one"),
            ("v: 'one\n    two\n\n    three'", "one two\nthree"),
            (r#"v: "a \"one\" \u00e9 \t two""#, "a \"one\" é \t two"),
            ("v: \"one \\\n    two\"", "one two"),
            ("v: \"one\n\n    two \\x41 three\"", "one\ntwo A three"),
            ("v: |\n  one\n    two\n\n  three\n", "one\n  two\n\nthree\n"),
            ("v: |-\n    one\n    two", "one\ntwo"),
            ("v: |2\n    one\n   two\n", "  one\n two\n"),
            ("v: |+\n  one\n\n", "one\n\n"),
            ("v: |  # words\n\n  one\n", "\none\n"),
            ("v: >\n  one\n  two\n\n  three\n    more\n  last\n", "one two\nthree\n  more\nlast\n"),
            ("v: >-\n  one &&\n  two\n", "one && two"),
            ("a:\n  - v: |\n      one\n      two\n    w: 1\n", "one\ntwo\n"),
            ("v: &x !!str one", "one"),
            ("v: |\r\n  one\r\n  two\r\n", "one\ntwo\n"),
            ("v: é one", "é one"),
        ] {
            let node = read(SourceId(0), yaml, &mut Diagnostics::new()).expect(yaml);
            let mut found = None;
            node.visit(&mut |n| {
                if let Some(value) = n.get("v") {
                    found = value.text().cloned();
                }
            });
            let text = found.expect(yaml);
            assert_eq!(&*text.text, decoded, "{yaml:?}");
            for word in ["one", "two", "three", "more", "last", "&&", "=="] {
                for (at, _) in decoded.match_indices(word) {
                    let span = text.span_of(at..at + word.len());
                    assert_eq!(yaml.get(span.range()), Some(word), "{word} of {yaml:?} at {span:?}");
                }
            }
        }
    }
}
