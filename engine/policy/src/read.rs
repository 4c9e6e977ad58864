//! The first pass: YAML to nodes with places, within limits.

use crate::node::{Key, Node, NodeKind};
use crate::scalar;
use granit_parser::{Event, Parser, ScalarStyle, Span as YamlSpan};
use std::collections::HashMap;
use std::sync::Arc;
use weir_diagnostic::{Code, Diagnostic, Diagnostics, Embedded, SourceId, Span};

/// How many levels lists and mappings may be nested.
pub const MAX_DEPTH: usize = 64;
/// How many values one file may hold, those that come through aliases counted each time.
pub const MAX_NODES: usize = 200_000;
/// How many values of one file may come through aliases.
pub const MAX_ALIASED: usize = 20_000;

/// Reads one document; `None` where it is not YAML or passes a limit, with the reason among the diagnostics. A document that
/// says nothing is an empty mapping.
pub fn read(source: SourceId, text: &str, diagnostics: &mut Diagnostics) -> Option<Node> {
    match (Reader { source, text, count: 0, aliased: 0, kept: 0, anchors: HashMap::new(), diagnostics })
        .document()
    {
        Ok(node) => Some(node),
        Err(diagnostic) => {
            diagnostics.push(*diagnostic);
            None
        }
    }
}

struct Reader<'a> {
    source: SourceId,
    text: &'a str,
    count: usize,
    aliased: usize,
    /// How many values are kept for aliases.
    kept: usize,
    anchors: HashMap<usize, (Node, usize)>,
    diagnostics: &'a mut Diagnostics,
}

/// A list or mapping that is not closed yet.
struct Open {
    start: usize,
    flow: bool,
    anchor: usize,
    first: usize,
    holder: Holder,
}

enum Holder {
    Seq(Vec<Node>),
    Map { entries: Vec<(Key, Node)>, merges: Vec<Node>, key: Option<Key>, index: HashMap<Arc<str>, Span> },
}

type Stop = Box<Diagnostic>;

impl Reader<'_> {
    fn document(mut self) -> Result<Node, Stop> {
        let mut options = granit_parser::options! { simple_key_max_lookahead: 1024 };
        options.set_emit_comments(false);
        let mut open: Vec<Open> = Vec::new();
        let mut root: Option<Node> = None;
        let mut documents = 0;
        for next in Parser::new_from_str_with_options(self.text, options) {
            let (event, at) = next.map_err(|error| {
                let byte = error.marker().byte_offset().unwrap_or(self.text.len());
                // The parser has a limit of its own, which a run of opening brackets meets before the first of them is read.
                if matches!(error.kind(), granit_parser::ErrorKind::RecursionLimitExceeded) {
                    return self.too_deep(byte);
                }
                Box::new(
                    Diagnostic::new(Code::BadYaml, format!("this is not YAML: {}", lower(&error.info())))
                        .at(self.point(byte))
                        .label("the parser gave up here")
                        .cause("the slip may stand just above: an indentation, a quote or a colon")
                        .help(match self.text.get(..byte).is_some_and(|text| text.ends_with('\t')) {
                            true => "indent with spaces: YAML takes no tabs there",
                            false => "a mapping is `name: value`, with a space behind the colon; a text with `: ` or ` #` in it is quoted",
                        }),
                )
            })?;
            let range = at.byte_range().unwrap_or(self.text.len()..self.text.len());
            let done = match event {
                Event::DocumentStart(..) => {
                    documents += 1;
                    if documents > 1 {
                        return Err(Box::new(
                            Diagnostic::new(Code::BadYaml, "a file holds one document")
                                .at(Span::new(self.source, range))
                                .help("put what follows `---` into a file of its own"),
                        ));
                    }
                    continue;
                }
                Event::Scalar(value, style, anchor, tag) => {
                    self.counted(&range)?;
                    let keep_text = match tag {
                        None => false,
                        Some(_) if at.tag_span().and_then(|s| s.slice(self.text)) == Some("!!str") => true,
                        Some(_) => return Err(self.tagged(&at)),
                    };
                    let node = self.scalar(&value, style, range, keep_text);
                    self.anchored(anchor, &node, 1)?;
                    Some(node)
                }
                Event::SequenceStart(style, anchor, tag) | Event::MappingStart(style, anchor, tag)
                    if tag.is_some() || open.len() >= MAX_DEPTH =>
                {
                    let _ = (style, anchor);
                    if tag.is_some() {
                        return Err(self.tagged(&at));
                    }
                    return Err(self.too_deep(range.start));
                }
                Event::SequenceStart(style, anchor, _) => {
                    self.counted(&range)?;
                    let flow = style == granit_parser::StructureStyle::Flow;
                    let holder = Holder::Seq(Vec::new());
                    open.push(Open { start: range.start, flow, anchor, first: self.count, holder });
                    None
                }
                Event::MappingStart(style, anchor, _) => {
                    self.counted(&range)?;
                    let flow = style == granit_parser::StructureStyle::Flow;
                    let holder = Holder::Map {
                        entries: Vec::new(),
                        merges: Vec::new(),
                        key: None,
                        index: HashMap::new(),
                    };
                    open.push(Open { start: range.start, flow, anchor, first: self.count, holder });
                    None
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    let Some(closed) = open.pop() else { continue };
                    let (anchor, weight) = (closed.anchor, self.count - closed.first + 1);
                    let node = self.close(closed, range.end)?;
                    self.anchored(anchor, &node, weight)?;
                    Some(node)
                }
                Event::Alias(id) => Some(self.alias(id, range)?),
                _ => None,
            };
            let Some(node) = done else { continue };
            match open.last_mut() {
                None => root = Some(node),
                Some(parent) => self.place(parent, node)?,
            }
        }
        let nothing = Span::new(self.source, 0..0);
        Ok(match root {
            Some(node) if !node.is_null() => node,
            _ => Node::empty_map(nothing),
        })
    }

    fn too_deep(&self, byte: usize) -> Stop {
        Box::new(
            Diagnostic::new(Code::TooLarge, format!("nested more than {MAX_DEPTH} levels deep"))
                .at(self.point(byte))
                .help("no policy needs as many: a bracket above may lack its other half"),
        )
    }

    fn point(&self, byte: usize) -> Span {
        let byte = byte.min(self.text.len());
        let next = self.text.get(byte..).and_then(|t| t.chars().next()).filter(|c| *c != '\n');
        Span::new(self.source, byte..byte + next.map_or(0, char::len_utf8))
    }

    fn counted(&mut self, range: &std::ops::Range<usize>) -> Result<(), Stop> {
        self.count += 1;
        if self.count > MAX_NODES {
            return Err(Box::new(
                Diagnostic::new(Code::TooLarge, format!("a file holds at most {MAX_NODES} values"))
                    .at(self.point(range.start)),
            ));
        }
        Ok(())
    }

    fn tagged(&self, at: &YamlSpan) -> Stop {
        let range = at.tag_span().and_then(|s| s.byte_range()).or_else(|| at.byte_range()).unwrap_or(0..0);
        Box::new(
            Diagnostic::new(Code::BadYaml, "tags have no meaning in a policy")
                .at(Span::new(self.source, range))
                .help("leave the tag out; quote a value that must stay text"),
        )
    }

    fn anchored(&mut self, anchor: usize, node: &Node, weight: usize) -> Result<(), Stop> {
        if anchor == 0 {
            return Ok(());
        }
        self.kept = self.kept.saturating_add(weight);
        if self.kept > MAX_NODES {
            return Err(Box::new(
                Diagnostic::new(
                    Code::TooLarge,
                    format!("anchors of one file may hold at most {MAX_NODES} values"),
                )
                .at(node.span),
            ));
        }
        self.anchors.insert(anchor, (node.clone(), weight));
        Ok(())
    }

    fn alias(&mut self, id: usize, range: std::ops::Range<usize>) -> Result<Node, Stop> {
        let at = Span::new(self.source, range);
        let Some((node, weight)) = self.anchors.get(&id) else {
            return Err(Box::new(
                Diagnostic::new(Code::BadYaml, "an alias stands inside the value that it names").at(at),
            ));
        };
        self.aliased = self.aliased.saturating_add(*weight);
        self.count = self.count.saturating_add(*weight);
        if self.aliased > MAX_ALIASED || self.count > MAX_NODES {
            return Err(Box::new(
                Diagnostic::new(
                    Code::TooLarge,
                    format!("aliases of one file may stand for at most {MAX_ALIASED} values"),
                )
                .at(at)
                .cause("aliases of aliases grow without end"),
            ));
        }
        Ok(node.clone())
    }

    fn scalar(
        &self,
        value: &str,
        style: ScalarStyle,
        range: std::ops::Range<usize>,
        keep_text: bool,
    ) -> Node {
        let range = scalar::trimmed(self.text, range, style);
        let span = Span::new(self.source, range.clone());
        let segments = scalar::segments(self.text, range, style, value);
        let text = Embedded::new(value, span, segments);
        let kind = match style {
            ScalarStyle::Plain if !keep_text => resolve(value),
            _ => None,
        };
        match kind {
            Some(NodeKind::Null) => Node { kind: NodeKind::Null, span, raw: None },
            Some(kind) => Node { kind, span, raw: Some(text) },
            None => Node { kind: NodeKind::Str(text), span, raw: None },
        }
    }

    fn place(&mut self, parent: &mut Open, node: Node) -> Result<(), Stop> {
        match &mut parent.holder {
            Holder::Seq(items) => items.push(node),
            Holder::Map { entries, merges, key: slot, index } => match slot.take() {
                None => {
                    let name: Arc<str> = match (&node.kind, node.text()) {
                        (NodeKind::Null, _) => Arc::from("null"),
                        (_, Some(text)) => text.text.clone(),
                        _ => {
                            return Err(Box::new(
                                Diagnostic::new(
                                    Code::BadYaml,
                                    format!("a key is text, not {}", node.kind_name()),
                                )
                                .at(node.span),
                            ));
                        }
                    };
                    *slot = Some(Key { name, span: node.span });
                }
                Some(key) if &*key.name == "<<" => merges.push(node),
                Some(key) => match index.get(&key.name) {
                    Some(first) => self.diagnostics.push(
                        Diagnostic::new(
                            Code::DuplicateKey,
                            format!("the key `{}` stands twice here", key.name),
                        )
                        .at(key.span)
                        .label("again")
                        .also(*first, "first here")
                        .help("keep one of the two"),
                    ),
                    None => {
                        index.insert(key.name.clone(), key.span);
                        entries.push((key, node));
                    }
                },
            },
        }
        Ok(())
    }

    fn close(&self, open: Open, end: usize) -> Result<Node, Stop> {
        match open.holder {
            Holder::Seq(items) => {
                let inner = items.last().map_or(open.start, |last| last.span.end as usize);
                let end = if open.flow { end } else { inner.max(open.start) };
                Ok(Node::new(NodeKind::Seq(items), Span::new(self.source, open.start..end)))
            }
            Holder::Map { mut entries, merges, .. } => {
                let first = entries.first().map_or(open.start, |(key, _)| key.span.start as usize);
                let last =
                    entries.last().map_or(first, |(key, value)| value.span.end.max(key.span.end) as usize);
                let (start, end) = if open.flow { (open.start, end) } else { (first, last.max(first)) };
                for merge in merges {
                    let maps = match &merge.kind {
                        NodeKind::Map(_) => std::slice::from_ref(&merge),
                        NodeKind::Seq(items) => items,
                        _ => &[],
                    };
                    if maps.is_empty() || maps.iter().any(|m| !matches!(m.kind, NodeKind::Map(_))) {
                        return Err(Box::new(
                            Diagnostic::new(Code::BadYaml, "`<<` takes a mapping or a list of mappings")
                                .at(merge.span),
                        ));
                    }
                    for (key, value) in maps.iter().flat_map(|m| m.entries()) {
                        if !entries.iter().any(|(have, _)| have.name == key.name) {
                            entries.push((key.clone(), value.clone()));
                        }
                    }
                }
                Ok(Node::new(NodeKind::Map(entries), Span::new(self.source, start..end)))
            }
        }
    }
}

fn lower(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_lowercase().chain(chars).collect())
}

/// The kind of a plain scalar (YAML 1.2, section 10.3, the core schema, with `_` between digits); `None` is text.
fn resolve(text: &str) -> Option<NodeKind> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Some(NodeKind::Null),
        "true" | "True" | "TRUE" => return Some(NodeKind::Bool(true)),
        "false" | "False" | "FALSE" => return Some(NodeKind::Bool(false)),
        _ => {}
    }
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, text.get(1..)?),
        b'+' => (1, text.get(1..)?),
        _ => (1, text),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') || digits.ends_with('_') {
        return None;
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(rest) = digits.strip_prefix(prefix) {
            return i64::from_str_radix(rest, radix)
                .ok()
                .filter(|n| *n >= 0)
                .map(|n| NodeKind::Int(sign * n));
        }
    }
    if digits.bytes().all(|b| b.is_ascii_digit() || b == b'_') {
        let plain = text.replace('_', "");
        return match plain.parse() {
            Ok(number) => Some(NodeKind::Int(number)),
            Err(_) => plain.parse().ok().map(NodeKind::Float),
        };
    }
    let number = digits.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b));
    if !number || !digits.bytes().any(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|n: &f64| n.is_finite()).map(NodeKind::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(text: &str) -> (Option<Node>, Vec<Diagnostic>) {
        let mut diagnostics = Diagnostics::new();
        let node = read(SourceId(0), text, &mut diagnostics);
        (node, diagnostics.into_iter().collect())
    }

    #[test]
    fn scalars_are_what_yaml_1_2_says_and_yes_is_text() {
        for (yaml, json) in [
            ("yes", "\"yes\""),
            ("on", "\"on\""),
            ("true", "true"),
            ("'true'", "\"true\""),
            ("~", "null"),
            ("10_000", "10000"),
            ("-3", "-3"),
            ("0x1F", "31"),
            ("1.5", "1.5"),
            ("1e3", "1000.0"),
            (".5", "0.5"),
            ("1.2.3", "\"1.2.3\""),
            ("10.0.0.5", "\"10.0.0.5\""),
            ("5xx", "\"5xx\""),
            ("60s", "\"60s\""),
            (".inf", "\".inf\""),
            ("12:30", "\"12:30\""),
            ("-", "\"-\""),
            ("2026-11-24", "\"2026-11-24\""),
            ("!!str 5", "\"5\""),
            ("99999999999999999999", "1e+20"),
        ] {
            let (node, diagnostics) = nodes(&format!("v: {yaml}"));
            assert!(diagnostics.is_empty() || yaml == "-", "{yaml}: {diagnostics:?}");
            if let Some(node) = node {
                assert_eq!(node.get("v").unwrap().to_json().to_string(), json, "{yaml}");
            }
        }
    }

    #[test]
    fn every_node_knows_its_place() {
        let text = "a:\n  - b: { c: 1, d: [x, 'y z'] }\n  - \"q\"\ne: |\n  l1\n  l2\nf: end # comment\n";
        let (node, _) = nodes(text);
        let node = node.unwrap();
        let mut seen = Vec::new();
        node.visit(&mut |n| seen.push(text.get(n.span.range()).unwrap_or("?").to_owned()));
        insta::assert_debug_snapshot!(seen, @r#"
        [
            "a:\n  - b: { c: 1, d: [x, 'y z'] }\n  - \"q\"\ne: |\n  l1\n  l2\nf: end",
            "- b: { c: 1, d: [x, 'y z'] }\n  - \"q\"",
            "b: { c: 1, d: [x, 'y z'] }",
            "{ c: 1, d: [x, 'y z'] }",
            "1",
            "[x, 'y z']",
            "x",
            "'y z'",
            "\"q\"",
            "l1\n  l2",
            "end",
        ]
        "#);
    }

    #[test]
    fn merges_fill_in_what_is_not_said() {
        let (node, diagnostics) = nodes("base: &b { x: 1, y: 2 }\nuse:\n  <<: *b\n  y: 3\n");
        assert_eq!(diagnostics, []);
        assert_eq!(node.unwrap().get("use").unwrap().to_json(), serde_json::json!({ "y": 3, "x": 1 }));
    }

    #[test]
    fn an_alias_bomb_ends_early_and_deep_nesting_too() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for n in 1..30 {
            let list = vec![format!("*a{}", n - 1); 9].join(", ");
            bomb.push_str(&format!("a{n}: &a{n} [{list}]\n"));
        }
        let cases =
            [bomb, format!("a: {}", "[".repeat(5_000)), "a: ".repeat(3), format!("{}x", "- ".repeat(5_000))];
        for text in cases {
            let (node, diagnostics) = nodes(&text);
            assert!(node.is_none(), "{text:.40}");
            assert_eq!(diagnostics.len(), 1, "{text:.40}");
        }
        // Whoever meets the limit first, the parser's or ours: it is one limit to those who read of it.
        for text in [
            format!("a: {}", "[".repeat(5_000)),
            format!("a: {}{}", "[".repeat(65), "]".repeat(65)),
            format!("a: {}{}", "[".repeat(300), "]".repeat(300)),
            format!("a: {}1{}", "{b: ".repeat(300), "}".repeat(300)),
            format!("{}x", "- ".repeat(5_000)),
        ] {
            let (_, diagnostics) = nodes(&text);
            let said: Vec<(Code, &str)> = diagnostics.iter().map(|d| (d.code, &*d.message)).collect();
            assert_eq!(said, [(Code::TooLarge, "nested more than 64 levels deep")], "{text:.40}");
        }
    }

    #[test]
    fn an_empty_text_is_an_empty_mapping() {
        for text in ["", "\n", "# only words\n", "---\n", "~"] {
            let (node, diagnostics) = nodes(text);
            assert_eq!(diagnostics, [], "{text:?}");
            assert_eq!(node.unwrap().kind, NodeKind::Map(Vec::new()), "{text:?}");
        }
    }
}
