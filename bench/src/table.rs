//! The table of results.

use std::fmt::Write as _;

/// One row.
pub(crate) struct Row {
    what: String,
    value: String,
    baseline: String,
    ratio: String,
    limit: String,
    /// `None`: nothing is asked of it.
    holds: Option<bool>,
}

/// The median of these, and the least and the greatest.
pub(crate) fn median(mut numbers: Vec<f64>) -> (f64, f64, f64) {
    numbers.sort_by(f64::total_cmp);
    let at = |n: usize| numbers.get(n).copied().unwrap_or(f64::NAN);
    (at(numbers.len() / 2), at(0), at(numbers.len().saturating_sub(1)))
}

impl Row {
    /// A row of rounds, each with its value and the baseline's right after it. The ratio is the median over the rounds, with
    /// the least and the greatest; it may be at most `limit`.
    pub(crate) fn rounds(what: impl Into<String>, unit: &str, rounds: &[(f64, f64)], limit: f64) -> Self {
        let (ratio, least, greatest) = median(rounds.iter().map(|(value, base)| value / base).collect());
        let (value, ..) = median(rounds.iter().map(|round| round.0).collect());
        let (baseline, ..) = median(rounds.iter().map(|round| round.1).collect());
        Self {
            what: what.into(),
            value: format!("{value:.1} {unit}"),
            baseline: format!("{baseline:.1} {unit}"),
            ratio: format!("{ratio:.2} ({least:.2}–{greatest:.2})"),
            limit: format!("{limit:.2}×"),
            holds: Some(ratio <= limit),
        }
    }

    /// A row of rounds whose median difference to the baseline may be at most `limit`, in the same unit.
    pub(crate) fn added(what: impl Into<String>, unit: &str, rounds: &[(f64, f64)], limit: f64) -> Self {
        let (added, least, greatest) = median(rounds.iter().map(|(value, base)| value - base).collect());
        let row = Self::rounds(what, unit, rounds, f64::INFINITY);
        Self {
            ratio: format!("+{added:.1} ({least:.1}–{greatest:.1})"),
            limit: format!("+{limit} {unit}"),
            holds: Some(added <= limit),
            ..row
        }
    }

    /// A row whose value may be at most `limit`.
    pub(crate) fn bound(what: impl Into<String>, unit: &str, value: f64, limit: f64) -> Self {
        Self {
            what: what.into(),
            value: format!("{value:.1} {unit}"),
            baseline: String::new(),
            ratio: format!("{:.2}", value / limit),
            limit: format!("{limit} {unit}"),
            holds: Some(value <= limit),
        }
    }

    /// A row that could not be measured, and why.
    pub(crate) fn absent(what: impl Into<String>, why: &str) -> Self {
        Self {
            what: what.into(),
            value: format!("not measured: {why}"),
            baseline: String::new(),
            ratio: String::new(),
            limit: String::new(),
            holds: None,
        }
    }

    /// The same row, with nothing asked of it.
    pub(crate) fn for_information(self) -> Self {
        Self { limit: String::new(), holds: None, ..self }
    }

    /// A row whose value is to be at least `limit`.
    pub(crate) fn at_least(what: impl Into<String>, value: f64, limit: f64) -> Self {
        Self {
            what: what.into(),
            value: format!("{value:.3}"),
            baseline: String::new(),
            ratio: String::new(),
            limit: format!("≥ {limit}"),
            holds: Some(value >= limit),
        }
    }

    /// The row in Markdown.
    pub(crate) fn line(&self) -> String {
        let holds = match self.holds {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "–",
        };
        let Self { what, value, baseline, ratio, limit, .. } = self;
        format!("| {what} | {value} | {baseline} | {ratio} | {limit} | {holds} |")
    }
}

/// All rows in Markdown.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let mut out = String::from(
        "| what | Weir | baseline | ratio, median (least–greatest) | at most | holds |\n|---|---|---|---|---|---|\n",
    );
    for row in rows {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{}", row.line());
    }
    out
}
