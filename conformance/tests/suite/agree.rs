//! The same case files in-process and over HTTP: both must come to the same.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use weir_conformance::case;
use weir_conformance::harness::weir_binary;
use weir_conformance::report::Outcome;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// The outcomes of a folder's cases by `weir test`: file, note, outcome.
fn in_process(folder: &Path) -> Vec<(PathBuf, String, String)> {
    let out = Command::new(weir_binary()).args(["test", "--format", "json"]).arg(folder).output().unwrap();
    let report: Value = serde_json::from_slice(&out.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&out.stderr)));
    let mut all = Vec::new();
    for file in report["files"].as_array().unwrap() {
        assert!(file["error"].is_null(), "{}", file["error"].as_str().unwrap_or(""));
        for case in file["cases"].as_array().unwrap() {
            let text = |name: &str| case[name].as_str().unwrap_or("").to_owned();
            all.push((PathBuf::from(file["file"].as_str().unwrap()), text("note"), text("outcome")));
        }
    }
    all
}

fn both_agree(folder: &str) {
    let folder = root().join(folder);
    let here = in_process(&folder);
    assert!(!here.is_empty(), "{} holds no cases", folder.display());
    let there = weir_conformance::http::run(&case::find(&folder).unwrap());
    let mut ran = 0;
    let mut wrong = Vec::new();
    for file in &there.files {
        for case in &file.cases {
            let mine = here.iter().find(|(path, note, _)| *path == file.file && *note == case.note);
            let (_, _, outcome) =
                mine.unwrap_or_else(|| panic!("{}: {} was not run", file.file.display(), case.note));
            assert_ne!(outcome, "FAIL", "{}: {} fails in-process", file.file.display(), case.note);
            if case.outcome == Outcome::Skip {
                continue;
            }
            ran += 1;
            if case.outcome.name() != outcome {
                wrong.push(format!("{}: {}: {outcome} here", file.file.display(), case.note));
            }
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), there.to_text(false));
    assert!(ran > 0, "no case of {} can be run over HTTP", folder.display());
}

#[test]
fn the_suites_own_cases() {
    both_agree("conformance/cases");
}

#[test]
fn the_policy_library() {
    both_agree("policies");
}

#[test]
fn the_examples() {
    both_agree("examples");
}
