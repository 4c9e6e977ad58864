//! Every example and every policy of the library loads without a finding, and its cases pass, by the binary itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Where the repository begins.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn folders(below: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join(below)).unwrap();
    let mut folders: Vec<PathBuf> =
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

/// The folders of sets that newcomers copy.
fn sets() -> Vec<PathBuf> {
    let library = folders("policies").into_iter().map(|policy| policy.join("example"));
    folders("examples").into_iter().chain(library).collect()
}

fn weir(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weir")).args(arguments).arg(folder).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The model that a set needs and this machine has not got (`make setup MODELS=none`).
fn lacks_a_model(output: &Output) -> bool {
    std::env::var("MODELS").is_ok_and(|models| models == "none") && said(output).contains("missing-model")
}

#[test]
fn every_set_loads_without_a_finding() {
    assert!(sets().len() >= 10, "{:?}", sets());
    for set in sets() {
        let output = weir(&["check", "--format", "json"], &set);
        if lacks_a_model(&output) {
            continue;
        }
        let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{}: {found:#}", set.display());
        let list =
            found.as_array().or_else(|| found.get("diagnostics").and_then(serde_json::Value::as_array));
        assert_eq!(list.map(Vec::len), Some(0), "{}: {found:#}", set.display());
    }
}

#[test]
fn every_set_has_cases_and_they_pass() {
    for set in sets() {
        let output = weir(&["test", "--coverage"], &set);
        if lacks_a_model(&output) {
            continue;
        }
        let text = said(&output);
        assert_eq!(output.status.code(), Some(0), "{}\n{text}", set.display());
        assert!(!text.contains("never evaluated"), "{}: a stage that no case reaches\n{text}", set.display());
    }
}

#[test]
fn every_policy_of_the_library_has_its_page_with_all_its_parameters() {
    for policy in folders("policies") {
        let name = policy.file_name().unwrap().to_string_lossy().into_owned();
        let page = std::fs::read_to_string(policy.join("README.md")).unwrap();
        let text = std::fs::read_to_string(policy.join(format!("{name}.yaml"))).unwrap();
        assert!(page.contains(&format!("use: weir/{name}")), "{name}: the page shows no use");
        let params =
            text.split("\n    params:\n").nth(1).and_then(|rest| rest.split("\n    stages:").next()).unwrap();
        let names: Vec<&str> = params
            .lines()
            .filter_map(|line| line.strip_prefix("      ").filter(|line| !line.starts_with(' ')))
            .filter_map(|line| line.strip_suffix(':'))
            .collect();
        assert!(!names.is_empty(), "{name}: no parameters were read");
        for param in names {
            assert!(page.contains(&format!("| `{param}` |")), "{name}: the page lacks `{param}`");
        }
    }
}

/// The blocks of YAML of a page, each with the name of the file that its first line says.
fn files(page: &str) -> Vec<(String, String)> {
    let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let named = |block: &str| block.lines().next()?.strip_prefix("# ").map(str::to_owned);
    blocks.map(|block| (named(block).expect(block), block.to_owned())).collect()
}

#[test]
fn the_examples_of_the_language_are_one_set_without_a_finding_and_its_cases_pass() {
    let page = std::fs::read_to_string(root().join("schemas/reference/language.md")).unwrap();
    let folder = std::env::temp_dir().join(format!("weir-language-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for (name, text) in files(&page) {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let (check, test) = (weir(&["check", "--format", "json"], &folder), weir(&["test"], &folder));
    std::fs::remove_dir_all(&folder).unwrap();
    let found: serde_json::Value = serde_json::from_slice(&check.stdout).unwrap();
    assert_eq!(found.get("diagnostics").and_then(|d| d.as_array()).map(Vec::len), Some(0), "{found:#}");
    assert_eq!(test.status.code(), Some(0), "{}", said(&test));
    assert!(files(&page).len() >= 7 && said(&test).contains("3 passed"), "{}", said(&test));
}

#[test]
fn a_set_without_cases_is_no_success() {
    let folder = std::env::temp_dir().join(format!("weir-no-cases-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let output = weir(&["test"], &folder);
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
}
