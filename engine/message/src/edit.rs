//! Changes to original bytes.

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use std::ops::Range;

/// A change inside one text: the bytes `range` of its value become `with`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replace {
    /// Bytes of the text, on character boundaries.
    pub range: Range<usize>,
    /// What stands there from now on.
    pub with: String,
}

impl Replace {
    /// A change of a range.
    pub fn new(range: Range<usize>, with: impl Into<String>) -> Self {
        Self { range, with: with.into() }
    }
}

/// A change to original bytes: what stands `at` becomes `with`. An empty range inserts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splice {
    /// Bytes of the original.
    pub at: Range<u32>,
    /// What is sent instead.
    pub with: ByteString,
}

/// The changes to one original. Those at one non-empty place replace each other; insertions at one point follow in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Splices {
    all: Vec<Splice>,
    /// Where the last of them ends: what begins behind it is at no place of theirs.
    end: u32,
}

impl Splices {
    /// Whether nothing was changed.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The changes, in no stated order.
    pub fn iter(&self) -> impl Iterator<Item = &Splice> {
        self.all.iter()
    }

    /// Records a change.
    pub fn set(&mut self, at: Range<u32>, with: impl Into<ByteString>) {
        let with = with.into();
        if at.start != at.end
            && at.start < self.end
            && let Some(old) = self.all.iter_mut().find(|splice| splice.at == at)
        {
            old.with = with;
            return;
        }
        self.end = self.end.max(at.end);
        self.all.push(Splice { at, with });
    }

    /// Forgets all changes.
    pub fn clear(&mut self) {
        self.all.clear();
        self.end = 0;
    }

    /// The original with all changes made. Without changes it is the original itself, uncopied. A change that overlaps an
    /// earlier one is left out: decoders hand out places that never overlap.
    pub fn apply(&self, original: &Bytes) -> Bytes {
        if self.all.is_empty() {
            return original.clone();
        }
        let mut order: Vec<&Splice> = self.all.iter().collect();
        order.sort_by_key(|splice| splice.at.start);
        let added: usize = order.iter().map(|splice| splice.with.len()).sum();
        let mut out = BytesMut::with_capacity(original.len() + added);
        let mut from = 0usize;
        for splice in order {
            let (start, end) = (splice.at.start as usize, splice.at.end as usize);
            let (Some(kept), true) = (original.get(from..start), end <= original.len()) else { continue };
            out.extend_from_slice(kept);
            out.extend_from_slice(splice.with.as_bytes());
            from = end;
        }
        out.extend_from_slice(original.get(from..).unwrap_or_default());
        out.freeze()
    }
}

/// `text` with `changes` made; `None` if a range is out of bounds, off a character boundary, or overlaps another.
/// The changes need no order. With `escape`, what they put in is escaped as the inside of a JSON string.
pub(crate) fn replaced(text: &str, changes: &[Replace], escape: bool) -> Option<String> {
    let mut order: Vec<&Replace> = changes.iter().collect();
    order.sort_by_key(|change| change.range.start);
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for change in order {
        out.push_str(text.get(from..change.range.start)?);
        text.get(change.range.clone())?;
        if escape {
            out.push_str(&escaped(&change.with));
        } else {
            out.push_str(&change.with);
        }
        from = change.range.end;
    }
    out.push_str(text.get(from..)?);
    Some(out)
}

/// The inside of the JSON string literal for `text`.
fn escaped(text: &str) -> String {
    let quoted = quoted(text);
    quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned()
}

/// The JSON string literal for `text`.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splices_apply_in_order_of_place_and_leave_the_rest_untouched() {
        let original = Bytes::from_static(b"0123456789");
        let mut splices = Splices::default();
        splices.set(7..8, "seven");
        splices.set(2..4, "x");
        splices.set(0..0, "<");
        splices.set(0..0, "<");
        splices.set(2..4, "two-three");
        assert_eq!(splices.apply(&original), "<<01two-three456seven89");
        assert!(Splices::default().apply(&original).as_ptr() == original.as_ptr());
    }

    #[test]
    fn replacements_inside_json_are_escaped() {
        let text = r#"{"q":"NAME"}"#;
        let change = [Replace::new(6..10, "O\"Brien")];
        assert_eq!(replaced(text, &change, true).unwrap(), r#"{"q":"O\"Brien"}"#);
        assert_eq!(replaced(text, &change, false).unwrap(), r#"{"q":"O"Brien"}"#);
        assert_eq!(replaced("é", &[Replace::new(1..2, "")], false), None);
    }
}
