//! Settings as tables of the reference pages, made from the schemas of their types.

use serde_json::{Map, Value};
use std::fmt::Write;

/// The fields of a type as a table in Markdown, and below it each type that they name, once. `known`: the types that the page
/// described before; those described here are added. `None` where the type has no fields.
///
/// `defs` are the schema's `$defs`.
pub fn settings(schema: &Value, defs: &Map<String, Value>, known: &mut Vec<String>) -> Option<String> {
    let properties = schema.get("properties").and_then(Value::as_object).filter(|all| !all.is_empty())?;
    let mut page = String::new();
    let mut next = known.len();
    table(schema, properties, defs, known, &mut page);
    while let Some(name) = known.get(next).cloned() {
        next += 1;
        let Some(def) = defs.get(&name) else { continue };
        let _ = write!(page, "\n`{name}`: {}\n\n", doc(def));
        match def.get("properties").and_then(Value::as_object) {
            Some(properties) => table(def, properties, defs, known, &mut page),
            None => values(def).iter().for_each(|(value, meaning)| {
                let _ = writeln!(page, "- `{value}`: {meaning}");
            }),
        }
    }
    Some(page)
}

fn table(
    owner: &Value,
    properties: &Map<String, Value>,
    defs: &Map<String, Value>,
    named: &mut Vec<String>,
    page: &mut String,
) {
    page.push_str("| setting | type | default | meaning |\n|---|---|---|---|\n");
    let required: Vec<&str> = owner
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for (name, schema) in properties {
        let default = match schema.get("default") {
            _ if required.contains(&name.as_str()) => "required".to_owned(),
            None | Some(Value::Null) => "–".to_owned(),
            Some(Value::Array(items)) if items.is_empty() => "–".to_owned(),
            Some(Value::Object(fields)) if fields.values().all(is_empty) => "–".to_owned(),
            // Its own table says them one by one.
            Some(Value::Object(_)) => "below".to_owned(),
            Some(value) => match value.as_str() {
                Some(text) => format!("`{text}`"),
                None => format!("`{value}`"),
            },
        };
        let kind = kind(schema, defs, named);
        let _ = writeln!(page, "| `{name}` | {} | {default} | {} |", cell(&kind), cell(&doc(schema)));
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_empty),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn doc(schema: &Value) -> String {
    schema.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " ")
}

/// What values a schema takes, in words.
fn kind(schema: &Value, defs: &Map<String, Value>, named: &mut Vec<String>) -> String {
    if let Some(name) = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next()) {
        let def = defs.get(name);
        if def.is_some_and(|def| def.get("properties").is_some() || !values(def).is_empty()) {
            if !named.iter().any(|have| have == name) {
                named.push(name.to_owned());
            }
            return format!("`{name}`");
        }
        return def.map_or_else(|| name.to_owned(), |def| kind(def, defs, named));
    }
    for choice in ["anyOf", "oneOf"] {
        if let Some(choices) = schema.get(choice).and_then(Value::as_array) {
            let kinds: Vec<String> = choices
                .iter()
                .filter(|one| one.get("type").and_then(Value::as_str) != Some("null"))
                .map(|one| match one.get("const") {
                    Some(value) => {
                        format!("`{}`", value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                    }
                    None => kind(one, defs, named),
                })
                .collect();
            return kinds.join(" or ");
        }
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return values
            .iter()
            .filter_map(Value::as_str)
            .map(|v| format!("`{v}`"))
            .collect::<Vec<_>>()
            .join(", ");
    }
    let format = schema.get("format").and_then(Value::as_str);
    let example =
        schema.get("examples").and_then(Value::as_array).and_then(|all| all.first()).and_then(Value::as_str);
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(many)) => {
            many.iter().filter_map(Value::as_str).filter(|one| *one != "null").collect()
        }
        _ => Vec::new(),
    };
    if format == Some("cel") {
        return "CEL".to_owned();
    }
    match types.as_slice() {
        ["array"] => match schema.get("items") {
            Some(items) => format!("list of {}", kind(items, defs, named)),
            None => "list".to_owned(),
        },
        ["object"] => match schema.get("additionalProperties") {
            Some(of) if of.is_object() => format!("mapping of names to {}", kind(of, defs, named)),
            _ => "mapping".to_owned(),
        },
        ["integer"] => "whole number".to_owned(),
        ["boolean"] => "true or false".to_owned(),
        ["string"] => match (format, example) {
            (Some(format), Some(example)) => format!("{format}, such as `{example}`"),
            (Some(format), None) => format.to_owned(),
            _ => "text".to_owned(),
        },
        [] if schema.pointer("/examples/0/cel").is_some() => "any value, or `{ cel: … }`".to_owned(),
        [] => "any value".to_owned(),
        several => several.join(" or "),
    }
}

/// The values of an enumeration with what they mean.
fn values(def: &Value) -> Vec<(String, String)> {
    let consts = def.get("oneOf").and_then(Value::as_array).into_iter().flatten();
    let mut out: Vec<(String, String)> =
        consts.filter_map(|one| Some((one.get("const")?.as_str()?.to_owned(), doc(one)))).collect();
    let plain = def.get("enum").and_then(Value::as_array).into_iter().flatten();
    out.extend(plain.filter_map(|one| Some((one.as_str()?.to_owned(), String::new()))));
    out
}
