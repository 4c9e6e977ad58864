//! What a YAML document says, with the place of everything in it.

use serde_json::Value;
use std::sync::Arc;
use weir_diagnostic::{Embedded, Span};

/// One value of a document and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// Its place, from its first byte to its last.
    pub span: Span,
    /// The text of a scalar as it reads after quoting and folding, whatever its kind; `None` for others and for an absent value.
    pub(crate) raw: Option<Embedded>,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeKind {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`; `yes` and `no` are strings.
    Bool(bool),
    /// A whole number; `_` may group digits.
    Int(i64),
    /// Another number.
    Float(f64),
    /// Any other scalar, and every quoted one.
    Str(Embedded),
    /// A list.
    Seq(Vec<Node>),
    /// A mapping, in written order; no key stands twice.
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its text.
    pub name: Arc<str>,
    /// Its place.
    pub span: Span,
}

impl Node {
    /// A node of this kind at a place.
    pub fn new(kind: NodeKind, span: Span) -> Self {
        Self { kind, span, raw: None }
    }

    /// A mapping without entries.
    pub fn empty_map(span: Span) -> Self {
        Self::new(NodeKind::Map(Vec::new()), span)
    }

    /// The text of a scalar, whatever its kind.
    pub fn text(&self) -> Option<&Embedded> {
        match &self.kind {
            NodeKind::Str(text) => Some(text),
            _ => self.raw.as_ref(),
        }
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::Str(text) => Some(&text.text),
            _ => None,
        }
    }

    /// The entries of a mapping; none for anything else.
    pub fn entries(&self) -> &[(Key, Node)] {
        match &self.kind {
            NodeKind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; none for anything else.
    pub fn items(&self) -> &[Node] {
        match &self.kind {
            NodeKind::Seq(items) => items,
            _ => &[],
        }
    }

    /// The value under a key of a mapping.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.entry(name).map(|(_, value)| value)
    }

    /// The key of this name and its value.
    pub fn entry(&self, name: &str) -> Option<&(Key, Node)> {
        self.entries().iter().find(|(key, _)| &*key.name == name)
    }

    /// Whether it is `null` or absent.
    pub fn is_null(&self) -> bool {
        matches!(self.kind, NodeKind::Null)
    }

    /// What it is, as people say it.
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            NodeKind::Null => "nothing",
            NodeKind::Bool(_) => "true or false",
            NodeKind::Int(_) => "a whole number",
            NodeKind::Float(_) => "a number",
            NodeKind::Str(_) => "text",
            NodeKind::Seq(_) => "a list",
            NodeKind::Map(_) => "a mapping",
        }
    }

    /// The same as JSON, without places.
    pub fn to_json(&self) -> Value {
        match &self.kind {
            NodeKind::Null => Value::Null,
            NodeKind::Bool(value) => Value::Bool(*value),
            NodeKind::Int(value) => Value::from(*value),
            NodeKind::Float(value) => Value::from(*value),
            NodeKind::Str(text) => Value::from(&*text.text),
            NodeKind::Seq(items) => items.iter().map(Node::to_json).collect(),
            NodeKind::Map(entries) => {
                Value::Object(entries.iter().map(|(k, v)| (k.name.to_string(), v.to_json())).collect())
            }
        }
    }

    /// Calls `f` with this node and every one below it.
    pub fn visit<'a>(&'a self, f: &mut dyn FnMut(&'a Node)) {
        f(self);
        match &self.kind {
            NodeKind::Seq(items) => items.iter().for_each(|item| item.visit(f)),
            NodeKind::Map(entries) => entries.iter().for_each(|(_, value)| value.visit(f)),
            _ => {}
        }
    }
}
