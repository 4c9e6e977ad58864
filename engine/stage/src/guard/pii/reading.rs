//! A text as people read it, where it is written with JSON's escapes, and the way back to what is written.

use std::borrow::Cow;
use std::ops::Range;
use weir_message::TextForm;

/// A text to search: escapes such as `\n` and `\u0040` are read, and in a JSON document its quotes are line breaks, so that
/// nothing is found across two values. A text without a backslash is searched as it stands.
pub(crate) struct Reading<'a> {
    /// What to search.
    pub(crate) text: Cow<'a, str>,
    /// Pairs (offset in `text`, offset in what is written), ascending; between two pairs both advance byte by byte.
    seams: Vec<(usize, usize)>,
}

impl<'a> Reading<'a> {
    /// A text that is searched as it stands, backslashes too.
    pub(crate) fn as_written(written: &'a str) -> Self {
        Self { text: Cow::Borrowed(written), seams: Vec::new() }
    }

    pub(crate) fn of(written: &'a str, form: TextForm) -> Self {
        let json = form.is_json();
        if !written.bytes().any(|byte| byte == b'\\' || (json && byte == b'"')) {
            return Self { text: Cow::Borrowed(written), seams: Vec::new() };
        }
        let mut text = String::with_capacity(written.len());
        let mut seams = Vec::new();
        let mut at = 0;
        while let Some(char) = written.get(at..).and_then(|rest| rest.chars().next()) {
            match char {
                '"' if json => text.push('\n'),
                '\\' => {
                    if let Some((meant, len)) = escape(written.get(at..).unwrap_or_default()) {
                        seams.push((text.len(), at));
                        text.push(meant);
                        at += len;
                        seams.push((text.len(), at));
                        continue;
                    }
                    text.push('\\');
                }
                other => text.push(other),
            }
            at += char.len_utf8();
        }
        Self { text: Cow::Owned(text), seams }
    }

    /// The place in what is written of an offset in the text.
    pub(crate) fn written(&self, offset: usize) -> usize {
        let at = self.seams.partition_point(|(read, _)| *read <= offset);
        match at.checked_sub(1).and_then(|n| self.seams.get(n)) {
            Some((read, written)) => written + (offset - read),
            None => offset,
        }
    }

    /// The offset in the text of a place in what is written; inside an escape: of its end.
    pub(crate) fn read(&self, place: usize) -> usize {
        let at = self.seams.partition_point(|(_, written)| *written <= place);
        let Some((read, written)) = at.checked_sub(1).and_then(|n| self.seams.get(n)) else { return place };
        match self.seams.get(at) {
            Some((next, _)) => (read + (place - written)).min(*next),
            None => read + (place - written),
        }
    }

    /// The parts of a range that lie between the quotes of a JSON document, those with a letter or digit; for other texts the
    /// range itself.
    pub(crate) fn parts(&self, written: &str, range: Range<usize>, form: TextForm) -> Vec<Range<usize>> {
        let mut parts = self.split(written, range, form);
        if form.is_json() {
            parts.retain(|part| {
                self.text.get(part.clone()).is_some_and(|text| text.chars().any(char::is_alphanumeric))
            });
        }
        parts
    }

    /// The parts of a range that lie between the quotes of a JSON document; for other texts the range itself.
    pub(crate) fn split(&self, written: &str, range: Range<usize>, form: TextForm) -> Vec<Range<usize>> {
        let is_quote = |at: usize| written.as_bytes().get(self.written(at)) == Some(&b'"');
        let Some(text) = self.text.get(range.clone()).filter(|_| form.is_json()) else {
            return vec![range];
        };
        let mut parts = Vec::new();
        let mut from = range.start;
        for (at, _) in text.match_indices('\n').filter(|(at, _)| is_quote(range.start + at)) {
            parts.push(from..range.start + at);
            from = range.start + at + 1;
        }
        parts.push(from..range.end);
        parts.retain(|part| !part.is_empty());
        parts
    }
}

/// What an escape at the start of `text` means, and its length.
fn escape(text: &str) -> Option<(char, usize)> {
    let code = |at: usize| {
        let hex = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u32::from_str_radix(hex, 16).ok().filter(|_| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    let meant = match text.as_bytes().get(1)? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let high = code(0)?;
            if let (0xD800..=0xDBFF, Some(low @ 0xDC00..=0xDFFF)) = (high, code(6)) {
                return Some((char::from_u32(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))?, 12));
            }
            return Some((char::from_u32(high)?, 6));
        }
        _ => return None,
    };
    Some((meant, 2))
}

/// Where an escape begins that may be cut off at the end of `written`.
pub(crate) fn cut_escape(written: &str) -> Option<usize> {
    let bytes = written.as_bytes();
    // Of a row of backslashes every second is escaped by the one before it, so rows are counted from their start.
    let mut at = bytes.len().saturating_sub(11);
    while at > 0 && bytes.get(at - 1) == Some(&b'\\') {
        at -= 1;
    }
    while let Some(next) = bytes.get(at..)?.iter().position(|byte| *byte == b'\\') {
        at += next;
        let len = match bytes.get(at + 1..)? {
            [b'u', b'd' | b'D', b'8' | b'9' | b'a' | b'b' | b'A' | b'B', ..] => 12,
            [b'u', ..] => 6,
            _ => 2,
        };
        if at + len > bytes.len() {
            return Some(at);
        }
        at += len;
    }
    None
}

/// Whether the end of `written` stands inside a string of a JSON document, if its start does as `open` says.
pub(crate) fn in_string(written: &str, open: bool) -> bool {
    let mut open = open;
    let mut bytes = written.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if open => {
                bytes.next();
            }
            b'"' => open = !open,
            _ => {}
        }
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_read_and_lead_back_to_their_place() {
        for (written, form, want) in [
            ("plain", TextForm::Json, "plain"),
            (r"a\nb", TextForm::Plain, "a\nb"),
            (r"bob\u0040x.de", TextForm::Json, "bob@x.de"),
            (r"\ud83d\ude00!", TextForm::Json, "😀!"),
            (r#"{"a":"b"}"#, TextForm::Json, "{\na\n:\nb\n}"),
            (r#"{"a":"b"}"#, TextForm::Plain, r#"{"a":"b"}"#),
            (r#"\"\\\/\u12"#, TextForm::Json, r#""\/\u12"#),
            ("é\\té", TextForm::Plain, "é\té"),
        ] {
            let reading = Reading::of(written, form);
            assert_eq!(reading.text, want, "{written}");
            assert_eq!(reading.written(reading.text.len()), written.len());
            for (at, _) in reading.text.char_indices() {
                assert_eq!(reading.read(reading.written(at)), at, "{written} {at}");
            }
        }
        let reading = Reading::of(r"x\n\u0040y", TextForm::Plain);
        assert_eq!((reading.written(1), reading.written(2), reading.written(3)), (1, 3, 9));
    }

    #[test]
    fn a_cut_escape_is_seen() {
        for (written, want) in [
            ("abc", None),
            (r"a\", Some(1)),
            (r"a\n", None),
            (r"a\\", None),
            (r"a\\\", Some(3)),
            (r"a\u00", Some(1)),
            (r"a\u0040", None),
            (r"a\ud83d", Some(1)),
            (r"a\nb", None),
        ] {
            assert_eq!(cut_escape(written), want, "{written}");
        }
    }
}
