//! The nearest right name for a misspelt one.

/// The candidate that `name` is most likely a slip of, if any is close enough to be worth naming: by its letters, or because one
/// of the two is a part of the other (`api_key` and `key`, `url` and `base_url`, `pii-shield` and `weir/pii-shield`).
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let candidates: Vec<&'a str> = candidates.into_iter().collect();
    by_letters(&lower, &candidates).or_else(|| {
        let mut parts =
            candidates.iter().copied().filter(|candidate| is_part(&lower, &candidate.to_lowercase()));
        // Two of them are none.
        let first = parts.next()?;
        parts.next().is_none().then_some(first)
    })
}

/// Whether one of two names is made of parts of the other.
fn is_part(a: &str, b: &str) -> bool {
    let ends = |long: &str, short: &str| {
        short.len() > 2 && long.strip_suffix(short).is_some_and(|rest| rest.ends_with(['_', '-', '/', '.']))
    };
    ends(a, b) || ends(b, a)
}

fn by_letters<'a>(lower: &str, candidates: &[&'a str]) -> Option<&'a str> {
    candidates
        .iter()
        .copied()
        .map(|candidate| (strsim::jaro_winkler(lower, &candidate.to_lowercase()), candidate))
        .filter(|(score, _)| *score >= 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// The candidate that `name` is a slip of beyond much doubt: a letter or two too many, too few, wrong or swapped. What was
/// meant is known then, and can be looked at as if it were written so.
pub fn slip_of<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let most = if lower.chars().count() < 5 { 1 } else { 2 };
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(letters, candidate)| *letters <= most && candidate.chars().count() > 2)
        .min_by_key(|(letters, _)| *letters)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_a_likely_slip_and_nothing_far() {
        let names = ["threshold", "ttl", "per"];
        assert_eq!(nearest("treshold", names), Some("threshold"));
        assert_eq!(nearest("TTL", names), Some("ttl"));
        assert_eq!(nearest("banana", names), None);
        let fields = ["from", "key", "base_url", "weir/pii-shield"];
        assert_eq!(nearest("api_key", fields), Some("key"));
        assert_eq!(nearest("url", fields), Some("base_url"));
        assert_eq!(nearest("pii-shield", fields), Some("weir/pii-shield"));
        assert_eq!(nearest("url", ["base_url", "proxy_url"]), None, "two of them are none");
    }

    #[test]
    fn a_slip_is_a_letter_or_two() {
        let names = ["threshold", "ttl", "per", "with", "stages"];
        for (slip, meant) in [
            ("treshold", Some("threshold")),
            ("wiht", Some("with")),
            ("Stages", Some("stages")),
            ("satges", Some("stages")),
            ("pre", Some("per")),
            ("pool", None),
            ("steps", None),
        ] {
            assert_eq!(slip_of(slip, names), meant, "{slip}");
        }
    }
}
