//! Parameters of library entries: given, checked, filled in.

use crate::expand::{Expander, Place};
use crate::shape;
use crate::stage::{LibraryItem, ParamItem, ParamType};
use crate::{MAX_NODES, Node, NodeKind};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_diagnostic::{Code, Diagnostic, Span, nearest};

/// The values of a library entry's parameters, as they stand in a file and as expressions read them.
type Arguments = (BTreeMap<Arc<str>, Node>, Map<String, Value>);

impl Expander<'_, '_> {
    /// The node with every `${param:NAME}` replaced by the value given; `good` is cleared where one has none.
    pub(crate) fn fill(&mut self, node: &Node, place: &Place, good: &mut bool) -> Node {
        let kind = match &node.kind {
            NodeKind::Str(text) if text.text.contains("${param:") => {
                return self.param(node, &text.text, place, good);
            }
            NodeKind::Seq(items) => {
                NodeKind::Seq(items.iter().map(|item| self.fill(item, place, good)).collect())
            }
            NodeKind::Map(entries) => NodeKind::Map(
                entries.iter().map(|(key, value)| (key.clone(), self.fill(value, place, good))).collect(),
            ),
            _ => return node.clone(),
        };
        Node { kind, span: node.span, raw: None }
    }

    fn param(&mut self, node: &Node, text: &str, place: &Place, good: &mut bool) -> Node {
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
            return node.clone();
        };
        let Some(value) = place.nodes.get(name) else {
            *good = false;
            let found = Diagnostic::new(Code::UnknownName, format!("there is no parameter `{name}` here"))
                .at(node.span);
            self.say(match nearest(name, place.nodes.keys().map(|k| &**k)) {
                Some(near) => found.help(format!("did you mean `{near}`?")),
                None => found.help("declare it under `params`"),
            });
            return Node::new(NodeKind::Null, node.span);
        };
        let mut count = 0;
        value.visit(&mut |_| count += 1);
        self.filled = self.filled.saturating_add(count);
        if self.filled > MAX_NODES {
            *good = false;
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
            return Node::new(NodeKind::Null, node.span);
        }
        value.clone()
    }

    /// The values of an entry's parameters: those given, checked, and the defaults of the others.
    pub(crate) fn arguments(
        &mut self,
        name: &str,
        item: &LibraryItem,
        with: Option<&Node>,
        place: Span,
    ) -> Option<Arguments> {
        let none = Node::empty_map(place);
        let with = with.filter(|with| !with.is_null()).unwrap_or(&none);
        let mut good = true;
        for (key, _) in with.entries() {
            if !item.params.contains_key(&*key.name) {
                good = false;
                let found =
                    Diagnostic::new(Code::BadParam, format!("`{name}` has no parameter `{}`", key.name))
                        .at(key.span);
                let names: Vec<&str> = item.params.keys().map(String::as_str).collect();
                self.say(match nearest(&key.name, names.iter().copied()) {
                    Some(near) => found.help(format!("did you mean `{near}`?")),
                    None if names.is_empty() => found.help("it takes none"),
                    None => found.help(format!("its parameters are {}", names.join(", "))),
                });
            }
        }
        let mut nodes = BTreeMap::new();
        let mut params = Map::new();
        for (param, rules) in &item.params {
            let value = match with.get(param).filter(|value| !value.is_null()).or(rules.default.as_ref()) {
                Some(value) => value,
                None => {
                    good = false;
                    let found =
                        Diagnostic::new(Code::BadParam, format!("`{name}` needs the parameter `{param}`"))
                            .at(place)
                            .label(format!("`{param}` is missing"));
                    self.say(match &rules.doc {
                        Some(doc) => found.help(format!("`{param}`: {doc}")),
                        None => found.help(format!("add `with: {{ {param}: … }}`")),
                    });
                    continue;
                }
            };
            if let Some(found) = wrong_param(param, rules, value) {
                good = false;
                self.say(found);
            }
            nodes.insert(Arc::from(param.as_str()), value.clone());
            params.insert(param.clone(), value.to_json());
        }
        good.then_some((nodes, params))
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
