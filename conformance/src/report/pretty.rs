//! A report for people.

use super::{CaseReport, Failure, Outcome, Report};
use std::fmt::Write;

impl Report {
    /// As text. Passing cases are one line each; under a failing line stand the values of its parts.
    pub fn to_text(&self, colour: bool) -> String {
        let mut out = String::new();
        for file in &self.files {
            let _ = writeln!(out, "{}", file.file.display());
            if let Some(error) = &file.error {
                let _ = writeln!(out, "  {}", paint(Outcome::Error, colour));
                error.lines().for_each(|line| {
                    let _ = writeln!(out, "    {line}");
                });
            }
            file.cases.iter().for_each(|case| write_case(&mut out, case, colour));
            out.push('\n');
        }
        if let Some(coverage) = &self.coverage {
            out.push_str(&coverage.to_text());
            out.push('\n');
        }
        let counts = self.counts();
        if counts == super::Counts::default() {
            out.push_str("no cases were run: that is no success\n");
            return out;
        }
        let _ = write!(out, "{} passed, {} failed", counts.passed, counts.failed);
        for (n, what) in [(counts.errors, "in error"), (counts.skipped, "skipped")] {
            if n > 0 {
                let _ = write!(out, ", {n} {what}");
            }
        }
        out.push('\n');
        out
    }
}

fn paint(outcome: Outcome, colour: bool) -> String {
    if !colour {
        return outcome.name().to_owned();
    }
    let code = match outcome {
        Outcome::Pass => 32,
        Outcome::Fail | Outcome::Error => 31,
        Outcome::Skip => 33,
    };
    format!("\x1b[{code}m{}\x1b[0m", outcome.name())
}

fn write_case(out: &mut String, case: &CaseReport, colour: bool) {
    let pad = if case.outcome == Outcome::Error { "" } else { " " };
    let _ = write!(out, "  {}{pad} {}", paint(case.outcome, colour), case.note);
    match case.outcome {
        Outcome::Pass | Outcome::Skip => {}
        Outcome::Fail | Outcome::Error => {
            let _ = write!(out, " (line {})", case.line);
        }
    }
    if let Some(reason) = &case.reason {
        let _ = write!(out, ": {reason}");
    }
    out.push('\n');
    case.failures.iter().for_each(|failure| write_failure(out, failure));
}

fn write_failure(out: &mut String, failure: &Failure) {
    let place = if failure.step.is_empty() { String::new() } else { format!("{}: ", failure.step) };
    let verb = if failure.is_expectation { "expected " } else { "" };
    let mut lines = failure.what.lines();
    let _ = writeln!(out, "        {place}{verb}{}", lines.next().unwrap_or(""));
    lines.for_each(|line| {
        let _ = writeln!(out, "          {line}");
    });
    if let Some(fault) = &failure.fault {
        let _ = writeln!(out, "          could not be decided: {fault}");
    }
    let width = failure.values.iter().map(|(part, _)| part.chars().count()).max().unwrap_or(0).min(50);
    for (part, value) in &failure.values {
        let _ = writeln!(out, "          {part:width$} = {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{case, file};
    use super::*;

    #[test]
    fn the_values_stand_under_the_failing_line() {
        let mut failing = case(Outcome::Fail);
        failing.failures.push(Failure::unmet(
            "request 2",
            "reply.text == \"a\"",
            vec![("reply.text".into(), "\"b\"".into()), ("reply".into(), "{}".into())],
        ));
        let mut file = file(&[Outcome::Pass]);
        file.cases.push(failing);
        let text = Report { files: vec![file], coverage: None }.to_text(false);
        assert_eq!(
            text,
            "a.test.yaml\n  PASS  an e-mail address <never> leaves\n  FAIL  an e-mail address <never> leaves (line 3)\n        \
             request 2: expected reply.text == \"a\"\n          reply.text = \"b\"\n          reply      = {}\n\n\
             1 passed, 1 failed\n"
        );
    }
}
