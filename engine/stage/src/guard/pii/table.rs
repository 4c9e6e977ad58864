//! Placeholders for what was replaced in one request, and the way back.

use super::find::What;
use ahash::{AHashMap, AHashSet};
use std::ops::Range;

/// The longest placeholder, in bytes.
const LONGEST: usize = 64;

/// The placeholders of one request. It lives and dies with the request.
#[derive(Default)]
pub(crate) struct Table {
    placeholders: AHashMap<(What, String), String>,
    originals: AHashMap<String, String>,
    last: AHashMap<What, u32>,
    /// Texts of the request that look like placeholders but are not ours, in upper case.
    taken: AHashSet<String>,
}

impl Table {
    pub(crate) fn is_empty(&self) -> bool {
        self.originals.is_empty()
    }

    /// The placeholders, in no order.
    pub(crate) fn made(&self) -> impl Iterator<Item = &str> {
        self.originals.keys().map(String::as_str)
    }

    /// Notes what looks like a placeholder in a text of the request, so that none of ours is mistaken for it.
    pub(crate) fn avoid(&mut self, text: &str) {
        for range in shaped(text) {
            if let Some(found) = text.get(range) {
                self.taken.insert(found.to_ascii_uppercase());
            }
        }
    }

    /// The placeholder for a value; the same value has the same one.
    pub(crate) fn placeholder(&mut self, what: What, label: &str, value: &str) -> String {
        if let Some(known) = self.placeholders.get(&(what, value.to_owned())) {
            return known.clone();
        }
        let number = self.last.entry(what).or_default();
        let placeholder = loop {
            *number += 1;
            let placeholder = format!("<{label}_{number}>");
            if !self.taken.contains(&placeholder) && !self.originals.contains_key(&placeholder) {
                break placeholder;
            }
        };
        self.originals.insert(placeholder.clone(), value.to_owned());
        self.placeholders.insert((what, value.to_owned()), placeholder.clone());
        placeholder
    }

    /// Whether this value was replaced.
    pub(crate) fn knows(&self, what: What, value: &str) -> bool {
        !self.is_empty() && self.placeholders.contains_key(&(what, value.to_owned()))
    }

    /// Our placeholders in a text, in any case of letters, with what they stand for.
    pub(crate) fn found<'t>(&'t self, text: &'t str) -> impl Iterator<Item = (Range<usize>, &'t str)> {
        let ours = |range: Range<usize>| {
            let placeholder = text.get(range.clone())?.to_ascii_uppercase();
            Some((range, self.originals.get(&placeholder)?.as_str()))
        };
        shaped(if self.is_empty() { "" } else { text }).filter_map(ours)
    }

    /// Where a placeholder of ours begins that may be cut off at the end of the text.
    pub(crate) fn cut(&self, text: &str) -> Option<usize> {
        let at = text.rfind('<').filter(|at| text.len() - at < LONGEST)?;
        let start = text.get(at..)?;
        let begins = |placeholder: &String| {
            placeholder.len() > start.len()
                && placeholder.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start))
        };
        self.originals.keys().any(begins).then_some(at)
    }
}

/// What looks like a placeholder: `<`, a name, `_`, a number, `>`.
pub(crate) fn shaped(text: &str) -> impl Iterator<Item = Range<usize>> {
    memchr::memchr_iter(b'<', text.as_bytes()).filter_map(|start| {
        let rest = text.as_bytes().get(start + 1..)?;
        let len = rest.iter().take(LONGEST).take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
        let name = text.get(start + 1..start + 1 + len).filter(|_| rest.get(len) == Some(&b'>'))?;
        let (label, number) = name.rsplit_once('_')?;
        let fits =
            !label.is_empty() && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        fits.then_some(start..start + len + 2)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::pii::kind::Kind;

    const EMAIL: What = What::Known(Kind::Email);
    const CARD: What = What::Known(Kind::Card);

    #[test]
    fn one_value_has_one_placeholder_and_leads_back() {
        let mut table = Table::default();
        assert_eq!(table.placeholder(EMAIL, "EMAIL", "a@x.de"), "<EMAIL_1>");
        assert_eq!(table.placeholder(EMAIL, "EMAIL", "b@x.de"), "<EMAIL_2>");
        assert_eq!(table.placeholder(EMAIL, "EMAIL", "a@x.de"), "<EMAIL_1>");
        assert_eq!(table.placeholder(CARD, "CARD", "a@x.de"), "<CARD_1>");
        let text = "é <EMAIL_2>, <email_1>; <EMAIL_3> <EMAIL_> < EMAIL_1> <<Card_1>>";
        let found: Vec<_> = table.found(text).map(|(range, value)| (&text[range], value)).collect();
        assert_eq!(found, [("<EMAIL_2>", "b@x.de"), ("<email_1>", "a@x.de"), ("<Card_1>", "a@x.de")]);
    }

    #[test]
    fn a_placeholder_that_the_user_wrote_is_not_ours() {
        let mut table = Table::default();
        table.avoid("I wrote <EMAIL_1> and <email_2> myself");
        assert_eq!(table.placeholder(EMAIL, "EMAIL", "a@x.de"), "<EMAIL_3>");
        assert_eq!(table.found("<EMAIL_1> <EMAIL_2>").count(), 0);
    }

    #[test]
    fn a_cut_placeholder_is_seen_only_if_it_may_be_ours() {
        let mut table = Table::default();
        table.placeholder(EMAIL, "EMAIL", "a@x.de");
        for (text, want) in [
            ("hi", None),
            ("hi <", Some(3)),
            ("hi <em", Some(3)),
            ("hi <EMAIL_1", Some(3)),
            ("hi <EMAIL_1>", None),
            ("hi <EMAIL_2", None),
            ("hi <b", None),
            ("<EMAIL_1> <E", Some(10)),
        ] {
            assert_eq!(table.cut(text), want, "{text}");
        }
    }
}
