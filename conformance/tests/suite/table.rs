//! The table of `conformance/README.md` is true: the tests that it names are there, and each module of this suite is in it.

use std::process::Command;

/// What stands in backticks.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

#[test]
fn each_test_that_the_table_names_is_there_and_no_module_is_left_out() {
    let out = Command::new(std::env::current_exe().unwrap()).arg("--list").output().unwrap();
    let list = String::from_utf8(out.stdout).unwrap();
    let tests: Vec<&str> = list.lines().filter_map(|line| line.strip_suffix(": test")).collect();
    let table = include_str!("../../README.md").split_once("## Which test shows what").unwrap().1;
    let named: Vec<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.rsplit_once(" | "))
        .flat_map(|(_, shown)| quoted(shown))
        .collect();
    assert!(named.len() > 50, "{named:?}");
    let missing: Vec<&&str> = named
        .iter()
        .filter(|name| match name.ends_with("::") {
            true => !tests.iter().any(|test| test.starts_with(**name)),
            false => !tests.contains(*name),
        })
        .collect();
    assert!(missing.is_empty(), "the table names tests that are not there: {missing:?}");
    let unnamed: Vec<&&str> = tests
        .iter()
        .filter(|test| !test.starts_with("table::"))
        .filter(|test| {
            let module = test.split("::").next().unwrap_or_default();
            !named.iter().any(|name| name.split("::").next() == Some(module))
        })
        .collect();
    assert!(unnamed.is_empty(), "modules that the table does not name: {unnamed:?}");
}
