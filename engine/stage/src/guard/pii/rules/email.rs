//! E-mail addresses.

use std::ops::Range;

/// Endings that look like domains but name pictures (`logo@2x.png`).
const PICTURES: &[&str] = &["png", "jpg", "jpeg", "gif", "webp", "svg", "avif", "ico", "pdf"];

/// The address around an `@`.
pub(super) fn around(text: &str, at: usize) -> Option<Range<usize>> {
    let local: usize = text
        .get(..at)?
        .chars()
        .rev()
        .take(256)
        .take_while(|char| is_letter(*char) || ".!#$%&'*+/=?^_`{|}~-".contains(*char))
        .map(char::len_utf8)
        .sum();
    let local = text.get(at - local..at)?;
    let local = local.trim_start_matches(|char: char| !is_letter(char) && char != '_');
    if local.is_empty() || local.ends_with('.') || local == "git" {
        return None;
    }
    let domain = domain(text.get(at + 1..)?)?;
    Some(at - local.len()..at + 1 + domain)
}

/// How many bytes of a domain stand at the start of `text`.
fn domain(text: &str) -> Option<usize> {
    let long: usize = text
        .chars()
        .take(254)
        .take_while(|char| is_letter(*char) || matches!(char, '.' | '-'))
        .map(char::len_utf8)
        .sum();
    let mut whole = text.get(..long)?;
    if let Some(end) = whole.find("..") {
        whole = whole.get(..end)?;
    }
    let whole = whole.trim_end_matches(['.', '-']);
    let (rest, top) = whole.rsplit_once('.')?;
    let is_top =
        top.chars().count() >= 2 && (top.chars().all(char::is_alphabetic) || top.starts_with("xn--"));
    let label = |label: &str| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-');
    let picture = PICTURES.iter().any(|picture| top.eq_ignore_ascii_case(picture));
    (is_top && rest.split('.').all(label) && !picture).then_some(whole.len())
}

/// Letters of the scripts that write addresses with blanks around them; Chinese and Japanese run on without.
fn is_letter(char: char) -> bool {
    char.is_ascii_alphanumeric() || ('\u{c0}'..'\u{590}').contains(&char) && char.is_alphanumeric()
}
