//! A copy of a policy set whose providers are the scripted upstream and whose listeners have free ports.

use crate::harness::{Set, free_port};
use regex::Regex;
use serde_json::{Value, json};
use std::ops::Range;
use std::path::Path;
use weir_diagnostic::{Diagnostics, SourceId};
use weir_policy::Node;

/// What a copied set needs to be known of.
#[derive(Default)]
pub(super) struct Relocated {
    /// The variables that its secrets refer to, and what they are to hold.
    pub variables: Vec<(String, String)>,
    /// The keys of callers by name, and what they show; `None` where only a hash is known.
    pub keys: Vec<(String, Option<String>)>,
}

/// Copies the set in `policy` to `set`'s folder.
pub(super) fn relocate(policy: &Path, set: &Set) -> Result<Relocated, String> {
    let mut relocated = Relocated::default();
    let mut first = true;
    copy(policy, &set.path(), set, &mut first, &mut relocated)
        .map_err(|error| format!("{}: {error}", policy.display()))?;
    Ok(relocated)
}

fn copy(
    from: &Path,
    to: &Path,
    set: &Set,
    first: &mut bool,
    relocated: &mut Relocated,
) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    let mut entries: Vec<_> = std::fs::read_dir(from)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (path, name) = (entry.path(), entry.file_name());
        let place = to.join(&name);
        let name = name.to_string_lossy();
        if name.starts_with('.') || name.ends_with(".test.yaml") || name.ends_with(".test.yml") {
            continue;
        }
        if path.is_dir() {
            copy(&path, &place, set, first, relocated)?;
        } else if name.ends_with(".yaml") || name.ends_with(".yml") {
            let text = std::fs::read_to_string(&path)?;
            secrets(&text, &mut relocated.variables);
            keys(&text, &mut relocated.keys);
            std::fs::write(&place, moved(&text, set, first))?;
        } else {
            std::fs::copy(&path, &place)?;
        }
    }
    Ok(())
}

/// Notes the environment variables that a text refers to.
fn secrets(text: &str, variables: &mut Vec<(String, String)>) {
    let Ok(pattern) = Regex::new(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}") else { return };
    for found in pattern.captures_iter(text) {
        if let Some(name) = found.get(1) {
            variables.push((name.as_str().to_owned(), value_of(name.as_str())));
        }
    }
}

/// What a variable that a secret refers to holds.
fn value_of(variable: &str) -> String {
    format!("secret-of-{}", variable.to_lowercase())
}

/// Notes the keys of callers that a text declares.
fn keys(text: &str, keys: &mut Vec<(String, Option<String>)>) {
    let Some(node) = weir_policy::read(SourceId(0), text, &mut Diagnostics::new()) else { return };
    for (name, key) in node.get("keys").map(Node::entries).unwrap_or_default() {
        let secret = key.get("secret").map(|secret| secret.to_json());
        let variable = secret
            .as_ref()
            .and_then(Value::as_str)
            .and_then(|secret| secret.strip_prefix("${env:").and_then(|rest| rest.strip_suffix('}')));
        keys.push((name.name.to_string(), variable.map(value_of)));
    }
}

/// A policy file with other providers and listeners, and else as it was.
fn moved(text: &str, set: &Set, first: &mut bool) -> String {
    let Some(node) = weir_policy::read(SourceId(0), text, &mut Diagnostics::new()) else {
        return text.to_owned();
    };
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    for (_, listener) in node.get("listeners").map(Node::entries).unwrap_or_default() {
        let Some(address) = listener.get("address") else { continue };
        // The first listener of the set is where clients of cases connect.
        let place = if std::mem::replace(first, false) { set.edge() } else { free_port() };
        edits.push((address.span.range(), place.to_string()));
    }
    for (name, provider) in node.get("providers").map(Node::entries).unwrap_or_default() {
        edits.push((provider.span.range(), elsewhere(&name.name, provider, set).to_string()));
    }
    edits.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
    let mut out = text.to_owned();
    for (range, with) in edits {
        // The address of an unquoted scalar is replaced by another; a mapping by one in flow style.
        out.replace_range(range, &with);
    }
    out
}

/// A provider as it was, but at the scripted upstream.
fn elsewhere(name: &str, provider: &Node, set: &Set) -> Value {
    let mut json = provider.to_json();
    if let Some(fields) = json.as_object_mut() {
        if fields.get("from") == Some(&json!("echo")) {
            fields.remove("from");
            fields.insert("dialect".to_owned(), json!("openai"));
            fields.insert("responses".to_owned(), json!(true));
        }
        // Where the API begins there stays as it was; the catalogue's rows are asked as OpenAI is.
        let base = fields.get("base_url").and_then(Value::as_str).and_then(|url| url.split_once("://"));
        let begins = base.map_or("/v1", |(_, rest)| rest.find('/').map_or("", |at| rest.split_at(at).1));
        let address = set.filled(&format!("http://{{UPSTREAM}}/{name}{begins}"));
        fields.insert("base_url".to_owned(), json!(address));
        fields.remove("ca");
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_providers_and_listeners_and_nothing_else() {
        let upstream = free_port();
        let set = Set::new(Some(upstream));
        let text = "weir: v1 # kept\nlisteners:\n  edge: { address: 0.0.0.0:8080, identify: [key] }\n\
                    providers:\n  echo: { from: echo }\n  lab:\n    dialect: openai\n    base_url: http://10.0.0.5/v1\n    region: eu\nmodels:\n  m: { targets: [{ provider: lab }] }\n";
        let out = moved(text, &set, &mut true);
        let node = weir_policy::read(SourceId(0), &out, &mut Diagnostics::new()).unwrap();
        let json = node.to_json();
        assert_eq!(json["listeners"]["edge"]["address"], set.edge().to_string());
        assert_eq!(json["providers"]["lab"]["base_url"], format!("http://{upstream}/lab/v1"));
        assert_eq!(json["providers"]["lab"]["region"], "eu");
        assert_eq!(
            json["providers"]["echo"],
            json!({ "dialect": "openai", "responses": true, "base_url": format!("http://{upstream}/echo/v1") })
        );
        assert_eq!(json["models"]["m"]["targets"][0]["provider"], "lab");
        assert!(out.starts_with("weir: v1 # kept\n"));
    }
}
