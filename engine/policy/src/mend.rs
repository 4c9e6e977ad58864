//! What is left of a node once what is wrong in it is taken out: the rest is looked at all the same, so that one slip hides no
//! other.

use crate::Node;
use crate::node::{Key, NodeKind};
use crate::shape;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use weir_diagnostic::{Diagnostic, Span, nearest};

/// The fields of a mapping whose text is wrong. They read as if they were not written, so nothing may be concluded from them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lost(BTreeSet<Arc<str>>);

impl Lost {
    /// Whether all fields are as they were written.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this field's text is wrong.
    pub fn has(&self, field: &str) -> bool {
        self.0.contains(field)
    }

    /// Whether the text of any of these fields is wrong.
    pub fn any(&self, fields: &[&str]) -> bool {
        fields.iter().any(|field| self.has(field))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }

    pub(crate) fn add(&mut self, field: &str) {
        self.0.insert(Arc::from(field));
    }
}

/// A node without what is wrong in it.
pub(crate) struct Mended {
    /// `None` where it is wrong as a whole. Fields that are required may be missing.
    pub(crate) node: Option<Node>,
    pub(crate) lost: Lost,
    /// All that is wrong.
    pub(crate) found: Vec<Diagnostic>,
    /// Whether nothing is taken out.
    pub(crate) is_whole: bool,
}

/// What is taken out may leave a mapping without what it needs, which is taken out next: no policy nests this deep.
const ROUNDS: usize = 64;

/// Checks a node and takes out what is wrong, up to the list or mapping that can do without it, and what stands at the places
/// in `unknown`, which is taken for right. Fields whose names are slips beyond much doubt get the name that was meant.
pub(crate) fn mended(
    node: &Node,
    schema: &Value,
    what: &str,
    place: Span,
    unknown: &HashSet<Span>,
) -> Mended {
    let first = shape::look(node, schema, schema, what, place, unknown);
    let mut rest = node.clone();
    let mut look = first.clone();
    for _ in 0..ROUNDS {
        if look.wrong.contains(&rest.span)
            || (!look.found.is_empty() && !matches!(rest.kind, NodeKind::Map(_)))
        {
            return Mended { node: None, lost: Lost::default(), found: first.found, is_whole: false };
        }
        let wrong = look.wrong.iter().filter(|span| !look.slips.contains_key(span)).copied().collect();
        let next = without(&rest, &wrong, &look.slips);
        if next == rest {
            break;
        }
        rest = next;
        look = shape::look(&rest, schema, schema, what, place, unknown);
    }
    let rest = without(&rest, unknown, &HashMap::new());
    let lost = lost(node, &rest, schema, &first.slips, !first.found.is_empty());
    Mended { is_whole: first.found.is_empty() && rest == *node, node: Some(rest), lost, found: first.found }
}

/// The node without the entries and items at these places, and with the names that were meant.
pub(crate) fn without(node: &Node, wrong: &HashSet<Span>, meant: &HashMap<Span, Arc<str>>) -> Node {
    if wrong.is_empty() && meant.is_empty() {
        return node.clone();
    }
    let kind = match &node.kind {
        NodeKind::Seq(items) => NodeKind::Seq(
            items
                .iter()
                .filter(|item| !wrong.contains(&item.span))
                .map(|item| without(item, wrong, meant))
                .collect(),
        ),
        NodeKind::Map(entries) => NodeKind::Map(
            entries
                .iter()
                .filter(|(key, value)| !wrong.contains(&key.span) && !wrong.contains(&value.span))
                .map(|(key, value)| {
                    let name = meant.get(&key.span).unwrap_or(&key.name).clone();
                    (Key { name, span: key.span }, without(value, wrong, meant))
                })
                .collect(),
        ),
        _ => return node.clone(),
    };
    Node { kind, span: node.span, raw: None }
}

/// The fields that are not in `rest` as they are in `node`.
fn lost(node: &Node, rest: &Node, schema: &Value, meant: &HashMap<Span, Arc<str>>, is_wrong: bool) -> Lost {
    let mut lost = Lost::default();
    for (key, value) in node.entries() {
        let kept = rest.entries().iter().any(|(have, kept)| have.span == key.span && kept == value);
        if !kept {
            let name = meant.get(&key.span).unwrap_or(&key.name);
            lost.add(name);
            // What was likely meant by a field that does not exist is not known either.
            let fields = schema.get("properties").and_then(Value::as_object);
            if let Some(fields) = fields.filter(|fields| !fields.contains_key(&**name))
                && let Some(near) = nearest(name, fields.keys().map(String::as_str))
            {
                lost.add(near);
            }
        }
    }
    let required = schema.get("required").and_then(Value::as_array).filter(|_| is_wrong);
    for name in required.into_iter().flatten().filter_map(Value::as_str) {
        if rest.get(name).is_none() {
            lost.add(name);
        }
    }
    lost
}
