//! A report as JUnit's XML, which CI systems read.

use super::{CaseReport, Outcome, Report};
use std::fmt::Write;

impl Report {
    /// As JUnit XML: a suite for each file, a test case for each case.
    pub fn to_junit(&self) -> String {
        let counts = self.counts();
        let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        let tests = counts.passed + counts.failed + counts.errors + counts.skipped;
        let _ = writeln!(
            out,
            "<testsuites tests=\"{tests}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\">",
            counts.failed, counts.errors, counts.skipped
        );
        for file in &self.files {
            let name = escaped(&file.file.display().to_string());
            let count = |outcome: Outcome| file.cases.iter().filter(|case| case.outcome == outcome).count();
            let broken = usize::from(file.error.is_some());
            let _ = writeln!(
                out,
                "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\">",
                file.cases.len() + broken,
                count(Outcome::Fail),
                count(Outcome::Error) + broken,
                count(Outcome::Skip)
            );
            if let Some(error) = &file.error {
                let _ = writeln!(
                    out,
                    "    <testcase name=\"load\" classname=\"{name}\"><error>{}</error></testcase>",
                    escaped(error)
                );
            }
            file.cases.iter().for_each(|case| write_case(&mut out, case, &name));
            out.push_str("  </testsuite>\n");
        }
        out.push_str("</testsuites>\n");
        out
    }
}

fn write_case(out: &mut String, case: &CaseReport, class: &str) {
    let note = escaped(&case.note);
    let _ = write!(
        out,
        "    <testcase name=\"{note}\" classname=\"{class}\" time=\"{:.3}\"",
        case.millis / 1000.0
    );
    let reason = escaped(case.reason.as_deref().unwrap_or(""));
    let _ = match case.outcome {
        Outcome::Pass => writeln!(out, "/>"),
        Outcome::Skip => writeln!(out, "><skipped message=\"{reason}\"/></testcase>"),
        Outcome::Error => writeln!(out, "><error message=\"{reason}\"/></testcase>"),
        Outcome::Fail => {
            let mut text = String::new();
            for failure in &case.failures {
                let _ = writeln!(text, "{} {}", failure.step, failure.what);
                for (part, value) in &failure.values {
                    let _ = writeln!(text, "  {part} = {value}");
                }
            }
            let first = case.failures.first().map_or("", |failure| &failure.what);
            writeln!(out, "><failure message=\"{}\">{}</failure></testcase>", escaped(first), escaped(&text))
        }
    };
}

/// A text inside XML; characters that XML has no way to say become `?`.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || c == '\u{fffe}' || c == '\u{ffff}' => out.push('?'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::file;
    use super::*;

    #[test]
    fn names_are_escaped_and_counts_add_up() {
        let report = Report { files: vec![file(&[Outcome::Pass, Outcome::Skip])], coverage: None };
        let xml = report.to_junit();
        assert!(xml.contains("<testsuites tests=\"2\" failures=\"0\" errors=\"0\" skipped=\"1\">"), "{xml}");
        assert!(xml.contains("name=\"an e-mail address &lt;never&gt; leaves\""), "{xml}");
    }
}
