//! The nearest right name for a misspelt one.

/// The candidate that `name` is most likely a slip of, if any is close enough to be worth naming.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(score, _)| *score >= 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
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
    }
}
