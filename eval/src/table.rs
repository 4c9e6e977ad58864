//! Tables of figures in Markdown.

use std::fmt::Write as _;

/// One figure, its bound, and whether it holds.
pub(crate) struct Row {
    figure: String,
    value: String,
    bound: String,
    /// `None`: nothing is asked of it.
    holds: Option<bool>,
}

impl Row {
    /// A figure that is to be at least so much.
    pub(crate) fn at_least(figure: impl Into<String>, value: f64, bound: f64, shown: Shown) -> Self {
        let bound_shown = format!("≥ {}", shown.of(bound));
        Self {
            figure: figure.into(),
            value: shown.of(value),
            bound: bound_shown,
            holds: Some(value >= bound),
        }
    }

    /// A figure that is to be at most so much.
    pub(crate) fn at_most(figure: impl Into<String>, value: f64, bound: f64, shown: Shown) -> Self {
        let bound_shown = format!("≤ {}", shown.of(bound));
        Self {
            figure: figure.into(),
            value: shown.of(value),
            bound: bound_shown,
            holds: Some(value <= bound),
        }
    }

    /// A figure of which nothing is asked.
    pub(crate) fn told(figure: impl Into<String>, value: impl Into<String>) -> Self {
        Self { figure: figure.into(), value: value.into(), bound: String::new(), holds: None }
    }
}

/// How a figure is written.
#[derive(Clone, Copy)]
pub(crate) enum Shown {
    /// A share, in per cent.
    Share,
    /// A number with two decimals.
    Number,
    /// A number with three decimals.
    Ratio,
}

impl Shown {
    /// The figure as people read it.
    pub(crate) fn of(self, value: f64) -> String {
        match self {
            Shown::Share => format!("{:.1} %", value * 100.0),
            Shown::Number => format!("{value:.2}"),
            Shown::Ratio => format!("{value:.3}"),
        }
    }
}

/// A share of a whole; nothing of nothing is no figure, and no bound holds for it.
pub(crate) fn share(part: usize, whole: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts of texts are far below 2^52")]
    let (part, whole) = (part as f64, whole as f64);
    part / whole
}

/// What was measured together.
pub(crate) struct Table {
    title: String,
    /// Where the data comes from, and what the figures do not show.
    about: String,
    rows: Vec<Row>,
    /// Figures by kind, of which nothing is asked: the head, and the lines.
    detail: Option<(Vec<String>, Vec<Vec<String>>)>,
}

impl Table {
    pub(crate) fn new(title: impl Into<String>, about: impl Into<String>, rows: Vec<Row>) -> Self {
        Self { title: title.into(), about: about.into(), rows, detail: None }
    }

    /// The same table with figures by kind below.
    pub(crate) fn with(self, head: &[&str], lines: Vec<Vec<String>>) -> Self {
        Self { detail: Some((head.iter().map(|word| (*word).to_owned()).collect(), lines)), ..self }
    }

    /// How many figures have a bound.
    pub(crate) fn figures(&self) -> usize {
        self.rows.iter().filter(|row| row.holds.is_some()).count()
    }

    /// How many fell below theirs.
    pub(crate) fn fallen(&self) -> usize {
        self.rows.iter().filter(|row| row.holds == Some(false)).count()
    }

    /// The table in Markdown.
    pub(crate) fn markdown(&self) -> String {
        let mut out = format!("## {}\n\n{}\n\n", self.title, self.about);
        out.push_str("| figure | measured | bound | holds |\n|---|---|---|---|\n");
        for Row { figure, value, bound, holds } in &self.rows {
            let holds = match holds {
                Some(true) => "yes",
                Some(false) => "**no**",
                None => "",
            };
            // Writing to a string cannot fail.
            let _ = writeln!(out, "| {figure} | {value} | {bound} | {holds} |");
        }
        if let Some((head, lines)) = &self.detail {
            let _ = writeln!(out, "\n| {} |\n|{}", head.join(" | "), "---|".repeat(head.len()));
            for line in lines {
                let _ = writeln!(out, "| {} |", line.join(" | "));
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_below_its_bound_is_counted_and_said() {
        let rows = vec![
            Row::at_least("recall", 0.95, 0.95, Shown::Share),
            Row::at_least("other recall", 0.9499, 0.95, Shown::Share),
            Row::at_most("false alarms", 5.01, 5.0, Shown::Number),
            Row::at_least("of nothing", share(0, 0), 0.0, Shown::Share),
            Row::told("texts", "12"),
        ];
        let table = Table::new("t", "about", rows).with(&["kind", "n"], vec![vec!["a".into(), "1".into()]]);
        assert_eq!((table.figures(), table.fallen()), (4, 3));
        let text = table.markdown();
        assert!(text.contains("| recall | 95.0 % | ≥ 95.0 % | yes |"), "{text}");
        assert!(text.contains("| false alarms | 5.01 | ≤ 5.00 | **no** |"), "{text}");
        assert!(text.contains("| kind | n |\n|---|---|\n| a | 1 |"), "{text}");
    }
}
