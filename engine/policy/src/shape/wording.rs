//! What is said of a value that does not fit its schema.

use super::types;
use crate::node::{Key, Node, NodeKind};
use serde_json::{Map, Value};
use weir_diagnostic::units::UnitError;
use weir_diagnostic::{Code, Diagnostic, nearest};

pub(crate) fn unit_error(error: &UnitError, what: &str) -> Diagnostic {
    Diagnostic::new(Code::BadValue, format!("{what}: {}", error.message)).help(error.help.clone())
}

pub(crate) fn misplaced_secret(node: &Node, what: &str) -> Diagnostic {
    Diagnostic::new(Code::MisplacedSecret, format!("{what} cannot hold a secret"))
        .at(node.span)
        .cause("its value may be logged, traced, or sent to a provider")
        .help("secrets stand in the fields that are made for them, such as `key` of a provider")
}

pub(crate) fn unknown_field<'n>(key: &Key, names: impl Iterator<Item = &'n str>, what: &str) -> Diagnostic {
    let names: Vec<&str> = names.filter(|n| !n.starts_with("x-weir")).collect();
    let found =
        Diagnostic::new(Code::UnknownField, format!("{what} has no field `{}`", key.name)).at(key.span);
    match nearest(&key.name, names.iter().copied()) {
        Some(near) => found.help(format!("did you mean `{near}`?")),
        None if names.is_empty() => found.help("it takes no fields"),
        None => found.help(format!("its fields are {}", quoted(&names))),
    }
}

pub(super) fn bad_word(node: &Node, words: &[&str], what: &str) -> Diagnostic {
    let text = node.text().map_or("", |t| &t.text);
    let found = Diagnostic::new(Code::BadValue, format!("{what} cannot be `{text}`")).at(node.span);
    match nearest(text, words.iter().copied()) {
        Some(near) if words.len() > 1 => {
            found.help(format!("did you mean `{near}`? It is {}", one_of(words)))
        }
        _ => found.help(format!("it is {}", one_of(words))),
    }
}

pub(super) fn wrong_type(node: &Node, expected: &str, what: &str) -> Diagnostic {
    let found =
        Diagnostic::new(Code::WrongType, format!("{what} takes {expected}, not {}", node.kind_name()))
            .at(node.span)
            .label(format!("this is {}", node.kind_name()));
    let text = node.text().map_or("", |t| &*t.text);
    match (&node.kind, expected) {
        (NodeKind::Str(_), "true or false") => match text.to_lowercase().as_str() {
            "yes" | "on" | "y" => found.help("write `true`"),
            "no" | "off" | "n" => found.help("write `false`"),
            _ => found,
        },
        (NodeKind::Bool(_) | NodeKind::Int(_) | NodeKind::Float(_), "text") => {
            found.help(format!("quote it: \"{text}\""))
        }
        (_, list)
            if list.starts_with("a list") && !matches!(node.kind, NodeKind::Map(_)) && !text.is_empty() =>
        {
            found.help(format!("write [{text}]"))
        }
        _ => found,
    }
}

/// What to write where a mapping is needed: its fields, those first that it cannot do without.
pub(super) fn fields_help(rules: &Map<String, Value>) -> Option<String> {
    let fields = rules.get("properties").and_then(Value::as_object)?;
    let needed: Vec<&str> = rules
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if needed.is_empty() {
        let names: Vec<&str> = fields.keys().map(String::as_str).collect();
        return (!names.is_empty()).then(|| format!("its fields are {}", quoted(&names)));
    }
    let written: Vec<String> = needed.iter().map(|name| format!("{name}: …")).collect();
    Some(format!("write {{ {} }}", written.join(", ")))
}

/// The first sentence of a description.
pub(super) fn sentence(text: &str) -> String {
    let line = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    match line.find(". ") {
        Some(end) => line.get(..=end).unwrap_or(&line).to_owned(),
        None => line,
    }
}

pub(super) fn quoted(names: &[&str]) -> String {
    names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
}

pub(super) fn one_of(words: &[&str]) -> String {
    match words {
        [one] => format!("`{one}`"),
        _ => format!("one of {}", quoted(words)),
    }
}

pub(super) fn joined(kinds: &[String]) -> String {
    let mut kinds: Vec<&str> = kinds.iter().map(String::as_str).collect();
    kinds.dedup();
    match kinds.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((last, _)) => (*last).to_owned(),
        None => "nothing".to_owned(),
    }
}

pub(super) fn expected_of(schema: &Value, root: &Value) -> String {
    let Some(rules) = schema.as_object() else { return "a value".to_owned() };
    if let Some(target) = rules
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|r| r.strip_prefix('#'))
        .and_then(|p| root.pointer(p))
        && target.get("$ref").is_none()
    {
        return expected_of(target, root);
    }
    expected(rules)
}

pub(super) fn expected(rules: &Map<String, Value>) -> String {
    match rules.get("format").and_then(Value::as_str) {
        Some("duration") => return "a duration such as 60s".to_owned(),
        Some("bytes") => return "a size such as 32MiB".to_owned(),
        Some("rate") => return "a rate such as 100/min".to_owned(),
        Some("ratio") => return "a share such as 25%".to_owned(),
        Some("quota") => return "a quota such as 1_000_000/month".to_owned(),
        Some("budget") => return "a budget such as 25 USD/day".to_owned(),
        Some("cel") => return "a CEL expression".to_owned(),
        Some("secret") => return "a secret such as \"${env:NAME}\"".to_owned(),
        _ => {}
    }
    let words: Vec<&str> = match (rules.get("const"), rules.get("enum")) {
        (Some(one), _) => one.as_str().into_iter().collect(),
        (None, Some(Value::Array(all))) => all.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !words.is_empty() {
        return one_of(&words);
    }
    let names: Vec<String> = types(rules)
        .into_iter()
        .filter(|t| *t != "null")
        .map(|t| {
            match t {
                "boolean" => "true or false",
                "integer" => "a whole number",
                "number" => "a number",
                "string" => "text",
                "array" => "a list",
                _ => "a mapping",
            }
            .to_owned()
        })
        .collect();
    if names.is_empty() { "a value".to_owned() } else { joined(&names) }
}
