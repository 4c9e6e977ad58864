//! Headers of the request: a client may leave any out, and reading one that is not there is a fault. Which reads are sure?

use crate::check::{Checker, Kind, Node};
use crate::parse::Operator;
use crate::token::At;
use crate::value::Value;

impl Checker<'_> {
    /// Notes that a member of a map is read; it matters where the map is the request's headers.
    pub(crate) fn header(&mut self, map: &Node, name: &str, at: &At) {
        if !self.in_has
            && is_headers(map)
            && !self.asked.iter().any(|one| one.eq_ignore_ascii_case(name))
            && !self.unasked.iter().any(|(one, _)| one.eq_ignore_ascii_case(name))
        {
            self.unasked.push((name.to_owned(), at.clone()));
        }
    }
}

/// The headers that are there wherever a condition comes to `holds`.
pub(crate) fn asked_by(node: &Node, holds: bool) -> Vec<String> {
    match (&node.kind, holds) {
        (Kind::Binary(Operator::In, name, map), true) if is_headers(map) => text(name).into_iter().collect(),
        (Kind::Has(inner), true) => match &inner.kind {
            Kind::Index(map, name) if is_headers(map) => text(name).into_iter().collect(),
            Kind::Member(map, name) if is_headers(map) => vec![name.clone()],
            _ => Vec::new(),
        },
        (Kind::Not(inner), holds) => asked_by(inner, !holds),
        // All parts of it come to the same.
        (Kind::And(parts), true) | (Kind::Or(parts), false) => {
            parts.iter().flat_map(|part| asked_by(part, holds)).collect()
        }
        _ => Vec::new(),
    }
}

fn text(node: &Node) -> Option<String> {
    match &node.kind {
        Kind::Const(Value::Text(text)) => Some(text.as_str().to_owned()),
        _ => None,
    }
}

fn is_headers(node: &Node) -> bool {
    match &node.kind {
        Kind::Field(target, field) => {
            field.name == "headers"
                && matches!(&target.kind, Kind::Root(root) if matches!(root.name, "request" | "original"))
        }
        _ => false,
    }
}
