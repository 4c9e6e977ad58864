//! How words relate: which mean the same, which are opposites, which are kinds of one thing (WordNet 3.1).

use ahash::{AHashMap, AHashSet};
use std::sync::LazyLock;

const TABLE: &str = include_str!("wordnet.txt");

/// How two different words relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// They share a sense: `couch`, `sofa`.
    Same,
    /// `hot`, `cold`.
    Opposite,
    /// Kinds of one thing: `couch`, `chair`.
    Sisters,
}

struct Words {
    opposites: AHashSet<(&'static str, &'static str)>,
    /// For each word the groups it stands in: line, and group in the line.
    groups: AHashMap<&'static str, Vec<(u32, u32)>>,
}

static WORDS: LazyLock<Words> = LazyLock::new(|| {
    let mut words = Words { opposites: AHashSet::new(), groups: AHashMap::new() };
    for (line, text) in (0_u32..).zip(TABLE.lines()) {
        if text.starts_with('#') {
            continue;
        }
        if let Some((one, other)) = text.strip_prefix("! ").and_then(|pair| pair.split_once(' ')) {
            words.opposites.insert((one, other));
            words.opposites.insert((other, one));
            continue;
        }
        for (group, members) in (0_u32..).zip(text.split('|')) {
            for word in members.split(' ') {
                words.groups.entry(word).or_default().push((line, group));
            }
        }
    }
    words
});

/// How two words relate, by any of the forms given for each. None: in no way that the table knows.
pub(super) fn relation(one: &[&str], other: &[&str]) -> Option<Relation> {
    let pairs = || one.iter().flat_map(|a| other.iter().map(move |b| (*a, *b)));
    if pairs().any(|pair| WORDS.opposites.contains(&pair)) {
        return Some(Relation::Opposite);
    }
    let mut found = None;
    for (a, b) in pairs() {
        let (Some(a), Some(b)) = (WORDS.groups.get(a), WORDS.groups.get(b)) else { continue };
        for (line, group) in a {
            for (other_line, other_group) in b {
                if line == other_line && group == other_group {
                    return Some(Relation::Same);
                }
                if line == other_line {
                    found = Some(Relation::Sisters);
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_synonyms_opposites_and_kinds_of_one_thing() {
        for (one, other, want) in [
            ("sofa", "couch", Some(Relation::Same)),
            ("begin", "start", Some(Relation::Same)),
            ("hot", "cold", Some(Relation::Opposite)),
            ("accept", "reject", Some(Relation::Opposite)),
            ("france", "germany", Some(Relation::Sisters)),
            ("password", "banana", None),
            ("qwxz", "banana", None),
        ] {
            assert_eq!(relation(&[one], &[other]), want, "{one} {other}");
            assert_eq!(relation(&[other], &[one]), want, "{other} {one}");
        }
    }
}
