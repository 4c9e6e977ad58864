//! What a run of cases found, as data.

mod junit;
mod pretty;

use crate::case::Case;
use crate::coverage::Coverage;
use serde::Serialize;
use std::path::PathBuf;

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Outcome {
    /// All that it expects came.
    Pass,
    /// Something else came.
    Fail,
    /// It could not be run.
    Error,
    /// It was left out, with a reason.
    Skip,
}

impl Outcome {
    /// The word shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Error => "ERROR",
            Self::Skip => "SKIP",
        }
    }
}

/// One thing that is not as expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Which request of the case, if it has several.
    pub step: String,
    /// The expectation, or what happened.
    pub what: String,
    /// Whether `what` is an expectation.
    pub is_expectation: bool,
    /// Why the expectation could not be evaluated.
    pub fault: Option<String>,
    /// Sub-expressions and their values.
    pub values: Vec<(String, String)>,
}

impl Failure {
    pub(crate) fn unmet(step: &str, text: &str, values: Vec<(String, String)>) -> Self {
        Self {
            step: step.to_owned(),
            what: text.trim().to_owned(),
            is_expectation: true,
            fault: None,
            values,
        }
    }

    pub(crate) fn problem(step: &str, what: String) -> Self {
        Self { step: step.to_owned(), what, is_expectation: false, fault: None, values: Vec::new() }
    }
}

/// What came of one case.
#[derive(Clone, Debug, Serialize)]
pub struct CaseReport {
    /// What it shows.
    pub note: String,
    /// Where it stands in its file, from 1.
    pub line: usize,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it was left out, or could not be run.
    pub reason: Option<String>,
    /// What is not as expected.
    pub failures: Vec<Failure>,
    /// Expectations that could not be seen from where the case was run (over HTTP).
    pub unseen: usize,
    /// How long it took, in milliseconds of real time.
    pub millis: f64,
}

impl CaseReport {
    /// A case of which nothing is wrong yet.
    pub(crate) fn new(case: &Case) -> Self {
        Self {
            note: case.note.to_string(),
            line: case.line,
            outcome: Outcome::Pass,
            reason: None,
            failures: Vec::new(),
            unseen: 0,
            millis: 0.0,
        }
    }

    /// The same, ended in this way for this reason.
    pub(crate) fn ended(self, outcome: Outcome, reason: impl Into<String>) -> Self {
        Self { outcome, reason: Some(reason.into()), ..self }
    }
}

/// What came of one file.
#[derive(Clone, Debug, Serialize)]
pub struct FileReport {
    /// The file.
    pub file: PathBuf,
    /// Why its cases could not be run: what is wrong with it or with the set.
    pub error: Option<String>,
    /// Whether what is wrong is that it cannot fail.
    pub is_vacuous: bool,
    /// Its cases.
    pub cases: Vec<CaseReport>,
}

/// What came of a run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The files, in order.
    pub files: Vec<FileReport>,
    /// What the cases never reached, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coverage: Option<Coverage>,
}

/// How many cases ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// PASS.
    pub passed: usize,
    /// FAIL.
    pub failed: usize,
    /// ERROR, files that cannot be run included.
    pub errors: usize,
    /// SKIP.
    pub skipped: usize,
}

impl Report {
    /// How many cases ended how.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for file in &self.files {
            counts.errors += usize::from(file.error.is_some());
            for case in &file.cases {
                match case.outcome {
                    Outcome::Pass => counts.passed += 1,
                    Outcome::Fail => counts.failed += 1,
                    Outcome::Error => counts.errors += 1,
                    Outcome::Skip => counts.skipped += 1,
                }
            }
        }
        counts
    }

    /// The exit code: 0 good, 1 something failed, 3 nothing was run or something cannot fail.
    pub fn exit_code(&self) -> u8 {
        let counts = self.counts();
        let vacuous = self.files.iter().filter(|file| file.is_vacuous).count();
        match (counts.failed + counts.errors, counts.passed) {
            (0, 0) => 3,
            (0, _) => 0,
            (bad, _) if counts.failed == 0 && bad == vacuous => 3,
            _ => 1,
        }
    }

    /// As JSON.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "counts": self.counts(),
            "files": self.files,
            "coverage": self.coverage,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn case(outcome: Outcome) -> CaseReport {
        CaseReport {
            note: "an e-mail address <never> leaves".into(),
            line: 3,
            outcome,
            reason: None,
            failures: Vec::new(),
            unseen: 0,
            millis: 1.5,
        }
    }

    pub(super) fn file(outcomes: &[Outcome]) -> FileReport {
        let cases = outcomes.iter().map(|outcome| case(*outcome)).collect();
        FileReport { file: "a.test.yaml".into(), error: None, is_vacuous: false, cases }
    }

    #[test]
    fn nothing_run_is_no_success() {
        let vacuous = FileReport { error: Some("no cases".into()), is_vacuous: true, ..file(&[]) };
        let broken = FileReport { error: Some("no set".into()), ..file(&[]) };
        for (files, code) in [
            (vec![], 3),
            (vec![file(&[])], 3),
            (vec![file(&[Outcome::Skip])], 3),
            (vec![file(&[Outcome::Pass, Outcome::Skip])], 0),
            (vec![file(&[Outcome::Pass, Outcome::Fail])], 1),
            (vec![file(&[Outcome::Error])], 1),
            (vec![file(&[Outcome::Pass]), vacuous.clone()], 3),
            (vec![file(&[Outcome::Fail]), vacuous], 1),
            (vec![broken], 1),
        ] {
            assert_eq!(Report { files, coverage: None }.exit_code(), code);
        }
    }
}
