//! The page that describes every built-in, made from their files and schemas.

use crate::registry::{BUILTINS, Builtin};
use serde_json::Value;
use std::fmt::Write;
use weir_message::Verb;

/// The reference of all built-in stages, in Markdown.
pub fn reference() -> String {
    let mut page = String::from(
        "# Stages\n\nThe built-in stages, by verb. What every stage takes (`name`, `when`, `mode`, `timeout` …) is said \
         in [the language](language.md#stages). This page is made from the code.\n",
    );
    for verb in [Verb::Guard, Verb::Cache, Verb::Transform, Verb::Route, Verb::Observe] {
        for builtin in BUILTINS.iter().filter(|builtin| builtin.verb == verb) {
            section(builtin, &mut page);
        }
    }
    page
}

fn section(builtin: &Builtin, page: &mut String) {
    let _ = write!(page, "\n## `{}: {}`\n\n", builtin.verb, builtin.name);
    page.push_str(&head(builtin.source));
    let schema = (builtin.schema)().to_value();
    let defs = schema.get("$defs").and_then(Value::as_object).cloned().unwrap_or_default();
    page.push('\n');
    page.push_str(
        &weir_policy::settings(&schema, &defs, &mut Vec::new())
            .unwrap_or_else(|| "It has no settings.\n".to_owned()),
    );
}

/// The `//!` lines at the top of a file.
pub(crate) fn head(source: &str) -> String {
    let mut text = String::new();
    for line in source.lines().map_while(|line| line.strip_prefix("//!")) {
        text.push_str(line.strip_prefix(' ').unwrap_or(line));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::wrongs;

    #[test]
    fn every_built_in_has_an_example_that_loads() {
        for builtin in BUILTINS {
            let head = head(builtin.source);
            let (_, example) =
                head.split_once("```yaml\n").unwrap_or_else(|| panic!("{} has no example", builtin.name));
            let (example, _) = example.split_once("```").unwrap();
            assert!(example.contains(&format!("- {}: {}", builtin.verb, builtin.name)), "{example}");
            let found = wrongs(example);
            let needs_model = std::env::var_os("WEIR_MODELS").is_some_and(|value| value == "none");
            assert!(found.is_empty() || needs_model && found.contains("missing-model"), "{example}\n{found}");
        }
    }

    #[test]
    fn every_setting_is_described() {
        let page = reference();
        for line in page.lines().filter(|line| line.starts_with("| `")) {
            assert!(!line.ends_with("|  |"), "{line}");
        }
        for part in [
            "## `guard: rate`",
            "| `ttl` | duration, such as",
            "| `per` | CEL | required |",
            "| `then` | `Then` | `deny` |",
            "`Leads`",
        ] {
            assert!(page.contains(part), "{part}\n{page}");
        }
    }
}
