//! The JSON Schema of a policy file, for editors: the loader's own types, with each built-in's settings in their place.

use crate::Builtins;
use crate::fields::LATER;
use crate::sections::{AdminSection, CallerKey, Listener, Model, Observe, Provider};
use crate::stage::{FrameItem, LibraryItem, PipelineItem, VERBS};
use crate::state::StateSection;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use weir_message::Verb;

/// A policy file of Weir. A set is every `.yaml` and `.yml` file below a folder, but for cases (`*.test.yaml`).
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
#[allow(dead_code, reason = "its schema is what it is for")]
struct Document {
    /// The edition of the language. At least one file of a set says it.
    weir: Option<Edition>,
    /// Where this file's pipelines and frames come among those of other files: lower numbers first.
    order: Option<i64>,
    /// Where clients connect, by name.
    listeners: Option<BTreeMap<String, Listener>>,
    /// API keys of callers, by name.
    keys: Option<BTreeMap<String, CallerKey>>,
    /// Accounts at model APIs, by name.
    providers: Option<BTreeMap<String, Provider>>,
    /// What clients ask for, by name or pattern ending in `*`.
    models: Option<BTreeMap<String, Model>>,
    /// Policies that pipelines bring in with `use`, by name.
    stages: Option<BTreeMap<String, LibraryItem>>,
    /// The pipelines, in order; the first that takes a request has it.
    pipelines: Option<Vec<PipelineItem>>,
    /// Stages wrapped around every pipeline. Only in the set's root folder.
    frames: Option<Vec<FrameItem>>,
    /// Values that expressions and scripts read as `params.NAME`.
    params: Option<BTreeMap<String, serde_json::Value>>,
    /// The admin API's part that changes things.
    admin: Option<AdminSection>,
    /// What operators see.
    observe: Option<Observe>,
    /// Where counts are kept.
    state: Option<StateSection>,
}

/// An edition of the language.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Edition {
    /// The first.
    V1,
}

/// The JSON Schema of a policy file as its types say it, without what editors need besides: what the page of the language is
/// made from.
pub fn language_schema() -> Value {
    let generator = SchemaSettings::draft2020_12().for_deserialize().into_generator();
    generator.into_root_schema_for::<Document>().to_value()
}

/// The JSON Schema (draft 2020-12) of a policy file, with the settings of every built-in.
pub fn policy_schema(builtins: &dyn Builtins) -> Value {
    let mut root = language_schema();
    let mut definitions = match root.get_mut("$defs") {
        Some(Value::Object(definitions)) => std::mem::take(definitions),
        _ => Map::new(),
    };
    let mut rules = vec![json!({ "oneOf": VERBS
        .iter()
        .map(|verb| json!({ "required": [verb.name()] }))
        .chain([json!({ "required": ["use"] })])
        .collect::<Vec<_>>() })];
    for verb in VERBS {
        for name in builtins.names(verb) {
            let Some(schema) = builtins.schema(verb, name) else { continue };
            let id = format!("{verb}.{name}");
            let mut schema = schema.to_value();
            let inner = match schema.as_object_mut() {
                Some(map) => {
                    map.remove("$schema");
                    map.remove("$defs")
                }
                None => None,
            };
            rename_references(&mut schema, &id);
            let needs_settings =
                schema.get("required").and_then(Value::as_array).is_some_and(|r| !r.is_empty());
            definitions.insert(id.clone(), schema);
            for (part, mut schema) in inner.and_then(|v| v.as_object().cloned()).unwrap_or_default() {
                rename_references(&mut schema, &id);
                definitions.insert(format!("{id}.{part}"), schema);
            }
            let no_body = json!({ "not": { "anyOf": [{ "required": ["cel"] }, { "required": ["rhai"] }] } });
            let mut then = json!({ "properties": { "with": { "$ref": format!("#/$defs/{id}") } } });
            if let (true, Value::Object(then)) = (needs_settings, &mut then) {
                then.insert("required".to_owned(), json!(["with"]));
            }
            rules.push(json!({
                "if": { "properties": { verb.name(): { "const": name } }, "required": [verb.name()], "allOf": [no_body] },
                "then": then,
            }));
        }
    }
    if let Some(Value::Object(item)) = definitions.get_mut("StageItem") {
        for verb in VERBS {
            suggest(item, verb, &builtins.names(verb));
        }
        item.insert("allOf".to_owned(), Value::Array(rules));
    }
    parameters(&mut definitions);
    strip(&mut root);
    for definition in definitions.values_mut() {
        strip(definition);
    }
    if let Value::Object(map) = &mut root {
        map.insert("title".to_owned(), json!("Weir policy"));
        map.insert("$defs".to_owned(), Value::Object(definitions));
    }
    root
}

/// The definition of what stands for a parameter's value.
const PARAMETER: &str = "Parameter";

/// Lets `"${param:NAME}"` stand wherever stages take a value: in all that a stage's definition leads to.
fn parameters(definitions: &mut Map<String, Value>) {
    let mut reached = vec!["StageItem".to_owned()];
    let mut next = 0;
    while let Some(name) = reached.get(next).cloned() {
        next += 1;
        let Some(definition) = definitions.get_mut(&name) else { continue };
        references(definition, &mut |part| {
            if !reached.iter().any(|name| name == part) {
                reached.push(part.to_owned());
            }
        });
        within(definition);
    }
    definitions.insert(
        PARAMETER.to_owned(),
        json!({
            "type": "string",
            "pattern": "^\\$\\{param:[^}]+\\}$",
            "description": "The value of a parameter of the entry under `stages` that this stands in.",
        }),
    );
}

/// Calls `visit` with each definition that a schema refers to.
fn references(schema: &Value, visit: &mut dyn FnMut(&str)) {
    match schema {
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            match value.as_str().filter(|_| key == "$ref").and_then(|r| r.strip_prefix("#/$defs/")) {
                Some(part) => visit(part),
                None => references(value, visit),
            }
        }),
        Value::Array(list) => list.iter().for_each(|value| references(value, visit)),
        _ => {}
    }
}

/// Lets a parameter stand in the place of each field and item of a schema.
fn within(schema: &mut Value) {
    let Value::Object(map) = schema else { return };
    for (key, value) in map {
        match (key.as_str(), value) {
            ("properties", Value::Object(fields)) => fields.values_mut().for_each(or_parameter),
            ("items" | "additionalProperties", value @ Value::Object(_)) => or_parameter(value),
            ("anyOf" | "oneOf" | "allOf", Value::Array(list)) => list.iter_mut().for_each(within),
            _ => {}
        }
    }
}

fn or_parameter(schema: &mut Value) {
    within(schema);
    if takes_any_text(schema) {
        return;
    }
    let mut inner = schema.take();
    let mut outer = Map::new();
    // Editors show what stands outside.
    if let Some(description) = inner.as_object_mut().and_then(|map| map.remove("description")) {
        outer.insert("description".to_owned(), description);
    }
    let parameter = json!({ "$ref": format!("#/$defs/{PARAMETER}") });
    outer.insert("anyOf".to_owned(), json!([inner, parameter]));
    *schema = Value::Object(outer);
}

/// Whether a schema takes every text, so that of a parameter too. A `format` refuses nothing.
fn takes_any_text(schema: &Value) -> bool {
    let Value::Object(map) = schema else { return true };
    let is_free =
        !["enum", "const", "pattern", "maxLength", "$ref", "allOf"].iter().any(|key| map.contains_key(*key));
    let by_type = match map.get("type") {
        Some(Value::String(one)) => one == "string",
        Some(Value::Array(several)) => several.iter().any(|one| one == "string"),
        _ => match map.get("anyOf").or(map.get("oneOf")) {
            Some(Value::Array(list)) => list.iter().any(takes_any_text),
            _ => true,
        },
    };
    is_free && by_type
}

/// Lets editors complete the names of built-ins, without refusing names of one's own.
fn suggest(item: &mut Map<String, Value>, verb: Verb, names: &[&str]) {
    let field = item.get_mut("properties").and_then(|p| p.get_mut(verb.name()));
    if let Some(Value::Object(field)) = field {
        field.remove("type");
        field.insert("anyOf".to_owned(), json!([{ "enum": names }, { "type": "string" }]));
    }
}

fn rename_references(schema: &mut Value, id: &str) {
    match schema {
        Value::Object(map) => {
            for (key, value) in map {
                match (key.as_str(), value.as_str().and_then(|r| r.strip_prefix("#/$defs/"))) {
                    // A stage within the settings of a stage is as any other.
                    ("$ref", Some("StageItem")) => {}
                    ("$ref", Some(part)) => *value = json!(format!("#/$defs/{id}.{part}")),
                    _ => rename_references(value, id),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|value| rename_references(value, id)),
        _ => {}
    }
}

/// Takes out the loader's own marks.
fn strip(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            map.remove(LATER);
            map.values_mut().for_each(strip);
        }
        Value::Array(list) => list.iter_mut().for_each(strip),
        _ => {}
    }
}
