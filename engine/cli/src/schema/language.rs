//! The page of the language: prose beside this file, and tables and figures in it that are made from the types.

use serde_json::{Map, Value};
use std::fmt::Write;
use weir_policy::{OnError, VERBS, verbs_of_field};

/// The prose. A line `{{type NAME}}` is the table of a type of policy files; other words in double braces are in [`Page::made`]
/// and [`figures`].
const PROSE: &str = include_str!("language.md");

/// The type of a stage, which has a section of its own.
const STAGE: &str = "StageItem";

/// The page.
pub(super) fn page() -> String {
    let policy = weir_policy::language_schema();
    let case = weir_conformance::case_schema();
    let mut page = Page { policy: &policy, case: &case, known: vec![STAGE.to_owned()] };
    let text = PROSE.lines().fold(String::new(), |mut out, line| {
        let made =
            line.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")).and_then(|what| page.made(what));
        out.push_str(made.as_deref().unwrap_or(line).trim_end());
        out.push('\n');
        out
    });
    figures().iter().fold(text, |text, (name, figure)| text.replace(&format!("{{{{{name}}}}}"), figure))
}

struct Page<'s> {
    policy: &'s Value,
    case: &'s Value,
    /// The types described so far.
    known: Vec<String>,
}

impl Page<'_> {
    /// What stands in the place of a line in double braces.
    fn made(&mut self, what: &str) -> Option<String> {
        match what {
            "sections" => Some(sections(self.policy)),
            "stage" => self.stage(),
            "verbs" => Some(by_verb()),
            "case" => self.cases(),
            other => self.table(other.strip_prefix("type ")?),
        }
    }

    fn table(&mut self, name: &str) -> Option<String> {
        let defs = definitions(self.policy)?;
        self.known.push(name.to_owned());
        weir_policy::settings(defs.get(name)?, defs, &mut self.known)
    }

    /// The fields of a stage but for its verb.
    fn stage(&mut self) -> Option<String> {
        let defs = definitions(self.policy)?;
        let mut item = defs.get(STAGE)?.clone();
        let fields = item.get_mut("properties")?.as_object_mut()?;
        fields.retain(|name, _| VERBS.iter().all(|verb| verb.name() != name));
        for (name, field) in fields {
            let field = field.as_object_mut()?;
            let of: Vec<String> = match verbs_of_field(name) {
                all if all.len() == VERBS.len() => Vec::new(),
                some => some.iter().map(|verb| format!("`{verb}`")).collect(),
            };
            if let (false, Some(Value::String(doc))) = (of.is_empty(), field.get_mut("description")) {
                let _ = write!(doc, " Only {} has it.", of.join(" or "));
            }
            if let Some(value) = unsaid(name) {
                field.insert("default".to_owned(), value);
            }
        }
        weir_policy::settings(&item, defs, &mut self.known)
    }

    fn cases(&self) -> Option<String> {
        let mut out = String::from("A file:\n\n");
        out.push_str(&weir_policy::settings(self.case, definitions(self.case)?, &mut Vec::new())?);
        Some(out)
    }
}

fn definitions(schema: &Value) -> Option<&Map<String, Value>> {
    schema.get("$defs")?.as_object()
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, String)> {
    let fields = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    fields.map(|(name, field)| {
        let doc = field.get("description").and_then(Value::as_str).unwrap_or_default();
        (name, doc.split_whitespace().collect::<Vec<_>>().join(" "))
    })
}

fn sections(policy: &Value) -> String {
    let mut out = String::from("| section | holds |\n|---|---|\n");
    for (name, doc) in properties(policy) {
        let _ = writeln!(out, "| `{name}` | {doc} |");
    }
    out
}

/// What a stage does where it does not say, other than by its verb.
fn unsaid(field: &str) -> Option<Value> {
    match field {
        "mode" => Some(weir_message::Mode::Enforce.name().into()),
        "hold" => serde_json::to_value(weir_policy::Hold::default()).ok(),
        "sample" => Some("100%".into()),
        "on_error" => Some("by verb".into()),
        _ => None,
    }
}

fn by_verb() -> String {
    let mut out = String::from("| verb | `on_error` | and then |\n|---|---|---|\n");
    for verb in VERBS {
        let (name, then) = match OnError::default_of(verb) {
            OnError::Deny => ("deny", "the request is refused: 503 `stage-unavailable`"),
            OnError::Skip => ("skip", "it goes on as if the stage were not there"),
            OnError::Fail => ("fail", "the request fails: 503 `stage-unavailable`"),
        };
        let _ = writeln!(out, "| `{verb}` | `{name}` | {then} |");
    }
    out
}

/// Limits by the names that the prose has for them.
fn figures() -> [(&'static str, String); 6] {
    let mebibytes = |bytes: u64| format!("{} MiB", bytes >> 20);
    [
        ("most-file", mebibytes(weir_policy::MAX_FILE)),
        ("most-set", mebibytes(weir_policy::MAX_SET)),
        ("most-stages", weir_policy::MAX_PIPELINE_STAGES.to_string()),
        ("most-set-stages", weir_policy::MAX_SET_STAGES.to_string()),
        ("hook-timeout", format!("{} s", weir_pipeline::HOOK_TIMEOUT.as_secs())),
        ("held", mebibytes(weir_pipeline::HELD_LIMIT as u64)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_to_be_made_is_made() {
        let page = page();
        assert!(!page.contains("{{"), "{page}");
        for part in [
            "| `body` | bytes, such as `32MiB`",
            "Only `route` has it. |",
            "| `cache` | `skip` |",
            "| `never_sent` |",
        ] {
            assert!(page.contains(part), "{part}\n{page}");
        }
    }

    #[test]
    fn every_section_and_every_type_of_policy_files_has_its_place() {
        let (page, policy) = (page(), weir_policy::language_schema());
        for (name, _) in properties(&policy) {
            assert!(page.contains(&format!("| `{name}` |")), "{name}");
        }
        for (name, definition) in definitions(&policy).unwrap() {
            for (field, _) in properties(definition) {
                assert!(
                    page.contains(&format!("| `{field}` |")) || page.contains(&format!("`{field}:")),
                    "{name}.{field}"
                );
            }
        }
    }
}
