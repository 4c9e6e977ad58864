//! Parameters of library entries: given, checked, filled in.

use crate::expand::{Expander, LibraryEntry, Place};
use crate::set::Params;
use crate::shape;
use crate::stage::{LibraryItem, ParamItem, ParamType};
use crate::{MAX_NODES, Node, NodeKind};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use weir_diagnostic::{Code, Diagnostic, Span, nearest, slip_of};

/// The parameters of a library entry where it is used.
pub(crate) struct Arguments {
    /// As they stand in a file.
    pub(crate) nodes: BTreeMap<Arc<str>, Node>,
    /// Those whose value is wrong or missing.
    pub(crate) wrong: BTreeSet<Arc<str>>,
    /// As expressions read them.
    pub(crate) params: Params,
}

impl Expander<'_, '_> {
    /// The node with every `${param:NAME}` replaced by the value given. Where there is none, the text stays, and its place is
    /// noted as unknown.
    pub(crate) fn fill(&mut self, node: &Node, place: &Place) -> Node {
        let kind = match &node.kind {
            NodeKind::Str(text) if text.text.contains("${param:") => {
                return match self.param(node, &text.text, place) {
                    Some(value) => value,
                    None => {
                        self.unknown.insert(node.span);
                        node.clone()
                    }
                };
            }
            NodeKind::Seq(items) => NodeKind::Seq(items.iter().map(|item| self.fill(item, place)).collect()),
            NodeKind::Map(entries) => NodeKind::Map(
                entries.iter().map(|(key, value)| (key.clone(), self.fill(value, place))).collect(),
            ),
            _ => return node.clone(),
        };
        Node { kind, span: node.span, raw: None }
    }

    fn param(&mut self, node: &Node, text: &str, place: &Place) -> Option<Node> {
        let whole = text.strip_prefix("${param:").and_then(|rest| rest.strip_suffix('}'));
        let Some(name) = whole.filter(|name| !name.contains("${")) else {
            self.say(
                Diagnostic::new(
                    Code::BadParam,
                    "a parameter stands for a whole value, not for a part of a text",
                )
                .at(node.span)
                .help("let the parameter be the whole text, or read `params.NAME` in CEL or Rhai"),
            );
            return None;
        };
        let Some(value) = place.nodes.get(name) else {
            if !place.wrong_params.contains(name) && !place.params.open {
                let found =
                    Diagnostic::new(Code::UnknownName, format!("there is no parameter `{name}` here"))
                        .at(node.span);
                self.say(match nearest(name, place.nodes.keys().map(|k| &**k)) {
                    Some(near) => found.help(format!("did you mean `{near}`?")),
                    None => found.help("declare it under `params`"),
                });
            }
            return None;
        };
        let mut count = 0;
        value.visit(&mut |_| count += 1);
        self.filled = self.filled.saturating_add(count);
        if self.filled > MAX_NODES {
            if !self.stopped {
                self.stopped = true;
                self.say(
                    Diagnostic::new(
                        Code::TooLarge,
                        format!("parameters stand for more than {MAX_NODES} values"),
                    )
                    .at(node.span),
                );
            }
            return None;
        }
        Some(value.clone())
    }

    /// The values of an entry's parameters: those given, checked, and the defaults of the others. `all_wrong`: what was given
    /// cannot be read.
    pub(crate) fn arguments(
        &mut self,
        name: &str,
        (item, entry): (&LibraryItem, &LibraryEntry),
        with: Option<&Node>,
        all_wrong: bool,
        place: Span,
    ) -> Arguments {
        let mut arguments = Arguments {
            nodes: BTreeMap::new(),
            wrong: BTreeSet::new(),
            params: Params { open: entry.lost.has("params"), ..Params::default() },
        };
        let names =
            || item.params.keys().map(String::as_str).chain(entry.wrong_params.iter().map(AsRef::as_ref));
        let mut given: BTreeMap<&str, &Node> = BTreeMap::new();
        // What a misspelt parameter was likely meant to be.
        let mut meant: BTreeSet<&str> = BTreeSet::new();
        let entries = with.map(Node::entries).unwrap_or(&[]);
        for (key, value) in entries {
            if names().any(|name| *name == *key.name) {
                given.insert(&key.name, value);
                continue;
            }
            let found = Diagnostic::new(Code::BadParam, format!("`{name}` has no parameter `{}`", key.name))
                .at(key.span);
            let all: Vec<&str> = names().collect();
            self.say(match nearest(&key.name, all.iter().copied()) {
                Some(near) => {
                    meant.insert(near);
                    found.help(format!("did you mean `{near}`?"))
                }
                None if all.is_empty() => found.help("it takes none"),
                None => found.help(format!("its parameters are {}", all.join(", "))),
            });
            if let Some(near) = slip_of(
                &key.name,
                all.iter().copied().filter(|name| entries.iter().all(|(other, _)| *other.name != **name)),
            ) {
                given.insert(near, value);
            }
        }
        for (param, rules) in &item.params {
            let name_of = || Arc::<str>::from(param.as_str());
            arguments.params.types.insert(name_of(), rules.kind);
            let here = given.get(param.as_str()).copied().filter(|value| !value.is_null());
            let value = match here.or(rules.default.as_ref()) {
                _ if all_wrong || (here.is_none() && meant.contains(param.as_str())) => None,
                Some(value) if self.unknown.contains(&value.span) => None,
                Some(value) => match wrong_param(param, rules, value) {
                    Some(found) => {
                        self.say(found);
                        None
                    }
                    None => Some(value),
                },
                None => {
                    let found =
                        Diagnostic::new(Code::BadParam, format!("`{name}` needs the parameter `{param}`"))
                            .at(place)
                            .label(format!("`{param}` is missing"));
                    self.say(match &rules.doc {
                        Some(doc) => found.help(format!("`{param}`: {doc}")),
                        None => found.help(format!("add `with: {{ {param}: … }}`")),
                    });
                    None
                }
            };
            match value {
                Some(value) => {
                    arguments.nodes.insert(name_of(), value.clone());
                    arguments.params.values.insert(param.clone(), read_as(rules.kind, value));
                }
                None => {
                    arguments.wrong.insert(name_of());
                }
            }
        }
        for param in &entry.wrong_params {
            arguments.params.types.insert(param.clone(), ParamType::Any);
            match given.get(&**param) {
                Some(value) => {
                    arguments.nodes.insert(param.clone(), (*value).clone());
                    arguments.params.values.insert(param.to_string(), value.to_json());
                }
                None => {
                    arguments.wrong.insert(param.clone());
                }
            }
        }
        arguments
    }
}

/// A value as expressions read it: what is declared a number is a broken one, whole or not, so that one rule holds for all
/// values that may be given.
fn read_as(kind: ParamType, value: &Node) -> Value {
    match (kind, &value.kind) {
        #[allow(clippy::cast_precision_loss, reason = "numbers of policies are far below 2^53")]
        (ParamType::Number, NodeKind::Int(n)) => Value::from(*n as f64),
        _ => value.to_json(),
    }
}

/// Whether stages read a parameter, as far as their text tells: a script in a file may.
pub(crate) fn reads(stages: &Node, param: &str) -> bool {
    let mut found = false;
    stages.visit(&mut |node| {
        let text = node.text().map_or("", |t| &t.text);
        let named = text.match_indices(param).any(|(at, _)| {
            text.get(..at).is_some_and(|t| {
                t.ends_with("params.") || t.ends_with("${param:") || t.ends_with("params[\"")
            })
        });
        found |= named || node.get("rhai").is_some_and(|body| body.get("file").is_some());
    });
    found
}

fn wrong_param(name: &str, rules: &ParamItem, value: &Node) -> Option<Diagnostic> {
    let (fits, wanted) = match rules.kind {
        ParamType::String => (matches!(value.kind, NodeKind::Str(_)), "text"),
        ParamType::Int => (matches!(value.kind, NodeKind::Int(_)), "a whole number"),
        ParamType::Number => (matches!(value.kind, NodeKind::Int(_) | NodeKind::Float(_)), "a number"),
        ParamType::Bool => (matches!(value.kind, NodeKind::Bool(_)), "true or false"),
        ParamType::List => (matches!(value.kind, NodeKind::Seq(_)), "a list"),
        ParamType::Map => (matches!(value.kind, NodeKind::Map(_)), "a mapping"),
        ParamType::Cel => (value.text().is_some(), "a CEL expression"),
        ParamType::Duration => match value.text().map(|text| shape::unit("duration", &text.text)) {
            Some(Some(Err(error))) => {
                let found =
                    Diagnostic::new(Code::BadParam, format!("the parameter `{name}`: {}", error.message));
                return Some(found.at(value.span).help(error.help));
            }
            Some(_) => (true, ""),
            None => (false, "a duration such as 60s"),
        },
        ParamType::Any => (true, ""),
    };
    (!fits).then(|| {
        Diagnostic::new(
            Code::BadParam,
            format!("the parameter `{name}` takes {wanted}, not {}", value.kind_name()),
        )
        .at(value.span)
    })
}
