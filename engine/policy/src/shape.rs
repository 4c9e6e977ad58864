//! The second pass: a node against a JSON Schema, collecting everything that is wrong with it.
//!
//! It reads the keywords that `schemars` writes, and the formats that this workspace's own types carry.

mod wording;

use crate::fields::LATER;
use crate::node::{Key, Node, NodeKind};
use crate::secret;
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use weir_diagnostic::units::{Budget, ByteSize, Duration, Quota, Rate, Ratio, UnitError};
use weir_diagnostic::{Code, Diagnostic, Span, nearest, slip_of};
use wording::{bad_word, expected, expected_of, fields_help, joined, one_of, sentence, wrong_type};
pub(crate) use wording::{misplaced_secret, unit_error, unknown_field};

/// Checks `node` against `schema`, whose references are resolved in `root`. `what` names the thing in messages ("the guard
/// `pii`"), `place` is where something missing is reported.
/// What stands at the places in `unknown` fits.
pub(crate) fn look<'a>(
    node: &'a Node,
    schema: &'a Value,
    root: &'a Value,
    what: &str,
    place: Span,
    unknown: &'a HashSet<Span>,
) -> Look {
    let mut walk = Walk::new(root, node, unknown);
    walk.value(node, schema, what, place, 0);
    let wrong = walk.out.iter().filter_map(|finding| finding.span).collect();
    let mut found = walk.out;
    found.extend(walk.missing);
    Look { found, wrong, slips: walk.slips }
}

/// What is wrong with a node.
#[derive(Clone)]
pub(crate) struct Look {
    pub(crate) found: Vec<Diagnostic>,
    /// The places of keys and values that are wrong.
    pub(crate) wrong: HashSet<Span>,
    /// The places of keys that are slips beyond much doubt, and what was meant: their values were looked at as its.
    pub(crate) slips: HashMap<Span, Arc<str>>,
}

struct Walk<'a> {
    root: &'a Value,
    /// The node that the walk began at.
    top: &'a Node,
    unknown: &'a HashSet<Span>,
    /// What that node has not, as a whole.
    missing: Vec<Diagnostic>,
    out: Vec<Diagnostic>,
    slips: HashMap<Span, Arc<str>>,
}

/// One subtree is not worth more findings than this.
const MOST_FINDINGS: usize = 1_000;

/// References of a schema may lead to themselves without passing a node; no honest schema nests this deep.
const MAX_REFERENCES: usize = 256;

impl<'a> Walk<'a> {
    fn new(root: &'a Value, top: &'a Node, unknown: &'a HashSet<Span>) -> Self {
        Self { root, top, unknown, missing: Vec::new(), out: Vec::new(), slips: HashMap::new() }
    }

    fn take(&mut self, other: Walk<'a>) {
        self.missing.extend(other.missing);
        self.out.extend(other.out);
        self.slips.extend(other.slips);
    }

    fn resolve(&self, schema: &'a Value) -> &'a Value {
        let pointer = schema.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix('#'));
        pointer.and_then(|p| self.root.pointer(p)).unwrap_or(schema)
    }

    fn value(&mut self, node: &Node, schema: &'a Value, what: &str, place: Span, depth: usize) {
        if depth > MAX_REFERENCES
            || self.out.len() >= MOST_FINDINGS
            || (!self.unknown.is_empty() && self.unknown.contains(&node.span))
        {
            return;
        }
        let Some(rules) = schema.as_object() else {
            if schema == &Value::Bool(false) {
                self.out
                    .push(Diagnostic::new(Code::BadValue, format!("{what} takes no value")).at(node.span));
            }
            return;
        };
        if rules.get("$ref").is_some() {
            let target = self.resolve(schema);
            if !std::ptr::eq(target, schema) {
                if rules.contains_key(LATER) {
                    return self.types(node, target.as_object().unwrap_or(rules), what);
                }
                self.value(node, target, what, place, depth + 1);
            }
            return;
        }
        if rules.contains_key(LATER) {
            return self.types(node, rules, what);
        }
        for part in list(rules, "allOf") {
            self.value(node, part, what, place, depth + 1);
        }
        for choice in ["oneOf", "anyOf"] {
            if let Some(options) = rules.get(choice).and_then(Value::as_array) {
                self.choice(node, options, what, place, depth);
            }
        }
        if !self.right_type(node, rules, what) {
            return;
        }
        self.words(node, rules, what);
        match &node.kind {
            NodeKind::Str(text) => self.text(node, &text.text, rules, what),
            NodeKind::Int(n) => self.number(node, *n as f64, rules, what),
            NodeKind::Float(n) => self.number(node, *n, rules, what),
            NodeKind::Seq(items) => self.sequence(node, items, rules, what, depth),
            NodeKind::Map(entries) => self.mapping(node, entries, rules, what, place, depth),
            NodeKind::Null | NodeKind::Bool(_) => {}
        }
    }

    fn types(&mut self, node: &Node, rules: &Map<String, Value>, what: &str) {
        self.right_type(node, rules, what);
    }

    fn right_type(&mut self, node: &Node, rules: &Map<String, Value>, what: &str) -> bool {
        let wanted = types(rules);
        if wanted.is_empty() || wanted.iter().any(|t| fits(node, t)) {
            return true;
        }
        let format = rules.get("format").and_then(Value::as_str);
        // A bare number where a unit is missing is the commonest slip: answer it in the unit's own words.
        if let (Some(format), NodeKind::Int(_) | NodeKind::Float(_), Some(text)) =
            (format, &node.kind, node.text())
            && let Some(Err(error)) = unit(format, &text.text)
        {
            self.out.push(unit_error(&error, what).at(node.span));
            return false;
        }
        let mut found = wrong_type(node, &expected(rules), what);
        if wanted.contains(&"object") && found.help.is_none() {
            found.help = fields_help(rules);
        }
        self.out.push(found);
        false
    }

    fn words(&mut self, node: &Node, rules: &Map<String, Value>, what: &str) {
        let allowed: Vec<&Value> = match (rules.get("const"), rules.get("enum")) {
            (Some(one), _) => vec![one],
            (None, Some(Value::Array(all))) => all.iter().collect(),
            _ => return,
        };
        if !allowed.contains(&&node.to_json()) {
            let words: Vec<&str> = allowed.iter().filter_map(|v| v.as_str()).collect();
            self.out.push(bad_word(node, &words, what));
        }
    }

    fn text(&mut self, node: &Node, text: &str, rules: &Map<String, Value>, what: &str) {
        let format = rules.get("format").and_then(Value::as_str).unwrap_or("");
        match format {
            "secret" => {
                if let Err(why) = secret::check(text) {
                    self.out.push(
                        Diagnostic::new(Code::BadValue, format!("{what} is not a secret by reference"))
                            .at(node.span)
                            .cause(why)
                            .help("write \"${env:NAME}\" or \"${file:path}\": what stands in a policy is seen by everyone who reads it"),
                    );
                }
            }
            "text-or-secret" => {
                if secret::is_reference(text)
                    && let Err(why) = secret::check(text)
                {
                    self.out.push(Diagnostic::new(Code::BadValue, format!("{what}: {why}")).at(node.span));
                }
            }
            // A template literal of a script may hold `${…}`.
            "rhai" => {}
            _ if secret::is_reference(text) => self.out.push(misplaced_secret(node, what)),
            _ => {
                if let Some(Err(error)) = unit(format, text) {
                    self.out.push(unit_error(&error, what).at(node.span));
                } else if rules.get("exclusiveMinimum") == Some(&Value::from(0)) && is_zero(format, text) {
                    let example = if format == "bytes" { "32MiB" } else { "60s" };
                    self.out.push(
                        Diagnostic::new(Code::BadValue, format!("{what} cannot be 0"))
                            .at(node.span)
                            .cause("nothing would ever fit in")
                            .help(format!(
                                "write how much, such as {example}, or leave it out for the default"
                            )),
                    );
                }
            }
        }
        let length = text.chars().count() as u64;
        if rules.get("minLength").and_then(Value::as_u64).is_some_and(|min| length < min) {
            let message =
                if length == 0 { format!("{what} is empty") } else { format!("{what} is too short") };
            self.out.push(Diagnostic::new(Code::BadValue, message).at(node.span));
        }
        if let Some(max) = rules.get("maxLength").and_then(Value::as_u64).filter(|max| length > *max) {
            self.out.push(
                Diagnostic::new(Code::BadValue, format!("{what} is longer than {max} characters"))
                    .at(node.span),
            );
        }
    }

    fn number(&mut self, node: &Node, number: f64, rules: &Map<String, Value>, what: &str) {
        let bound = |name: &str| rules.get(name).and_then(Value::as_f64);
        let wrong = bound("minimum").is_some_and(|min| number < min)
            || bound("maximum").is_some_and(|max| number > max)
            || bound("exclusiveMinimum").is_some_and(|min| number <= min)
            || bound("exclusiveMaximum").is_some_and(|max| number >= max);
        if wrong {
            let range = match (
                bound("minimum"),
                bound("maximum"),
                bound("exclusiveMinimum"),
                bound("exclusiveMaximum"),
            ) {
                (Some(min), Some(max), _, _) => format!("from {min} to {max}"),
                (Some(min), None, _, Some(max)) => format!("from {min} to below {max}"),
                (Some(min), None, _, None) => format!("at least {min}"),
                (None, Some(max), Some(min), _) => format!("above {min}, at most {max}"),
                (None, Some(max), None, _) => format!("at most {max}"),
                (None, None, Some(min), _) => format!("above {min}"),
                (None, None, None, Some(max)) => format!("below {max}"),
                (None, None, None, None) => String::new(),
            };
            self.out.push(
                Diagnostic::new(Code::BadValue, format!("{what} is out of range")).at(node.span).help(
                    match rules.get("format").and_then(Value::as_str) {
                        Some("ratio") if number > 1.0 => format!("it is {range}: write {number}%"),
                        _ => format!("it is {range}"),
                    },
                ),
            );
        }
    }

    fn sequence(
        &mut self,
        node: &Node,
        items: &[Node],
        rules: &'a Map<String, Value>,
        what: &str,
        depth: usize,
    ) {
        let count = items.len() as u64;
        if let Some(min) = rules.get("minItems").and_then(Value::as_u64).filter(|min| count < *min) {
            let message =
                if count == 0 { format!("{what} is empty") } else { format!("{what} has too few items") };
            let noun = if min == 1 { "item" } else { "items" };
            self.out.push(
                Diagnostic::new(Code::BadValue, message)
                    .at(node.span)
                    .help(format!("it takes at least {min} {noun}")),
            );
        }
        if let Some(max) = rules.get("maxItems").and_then(Value::as_u64).filter(|max| count > *max) {
            self.out.push(
                Diagnostic::new(Code::BadValue, format!("{what} has too many items"))
                    .at(node.span)
                    .help(format!("it takes at most {max}")),
            );
        }
        let prefix: Vec<&'a Value> = list(rules, "prefixItems").collect();
        for (n, item) in items.iter().enumerate() {
            let schema = prefix.get(n).copied().or_else(|| rules.get("items"));
            if let Some(schema) = schema {
                self.value(item, schema, &format!("an item of {what}"), item.span, depth + 1);
            }
        }
    }

    fn mapping(
        &mut self,
        node: &Node,
        entries: &[(Key, Node)],
        rules: &'a Map<String, Value>,
        what: &str,
        place: Span,
        depth: usize,
    ) {
        let none = Map::new();
        let mut meant: Vec<&str> = Vec::new();
        let properties = rules.get("properties").and_then(Value::as_object);
        let others = rules.get("additionalProperties");
        for (key, value) in entries {
            let known = properties.and_then(|p| p.get(&*key.name));
            match (known, others) {
                (Some(schema), _) => {
                    let what = format!("`{}`", key.name);
                    // A field left empty says nothing, unless null is a value of it.
                    if value.is_null() && !self.accepts_null(schema) {
                        self.out.push(
                            Diagnostic::new(Code::WrongType, format!("{what} has no value"))
                                .at(key.span)
                                .help(format!("it takes {}", expected_of(self.resolve(schema), self.root))),
                        );
                    } else {
                        self.value(value, schema, &what, key.span, depth + 1);
                    }
                }
                (None, Some(Value::Bool(false))) => {
                    let names = properties.unwrap_or(&none).keys().map(String::as_str);
                    let near = nearest(&key.name, names.clone());
                    let slip = slip_of(&key.name, names.clone())
                        .filter(|name| node.get(name).is_none() && !meant.contains(name));
                    meant.extend(near);
                    self.out.push(unknown_field(key, names, what));
                    let schema = slip.and_then(|name| Some((name, properties?.get(name)?)));
                    if let Some((name, schema)) = schema.filter(|_| !value.is_null()) {
                        self.slip(key, value, name, schema, depth);
                    }
                }
                (None, Some(schema)) => {
                    self.value(value, schema, &format!("`{}`", key.name), key.span, depth + 1)
                }
                (None, None) => {}
            }
        }
        for name in list(rules, "required").filter_map(Value::as_str) {
            // A misspelt field is not missing too.
            if node.get(name).is_none() && !meant.contains(&name) {
                let mut missing = Diagnostic::new(Code::MissingField, format!("{what} has no `{name}`"))
                    .at(place)
                    .label(format!("`{name}` is missing"));
                let schema = properties.and_then(|p| p.get(name));
                if let Some(text) = schema.and_then(|s| s.get("description")).and_then(Value::as_str) {
                    missing = missing.help(format!("`{name}`: {}", sentence(text)));
                }
                self.lacks(node, missing);
            }
        }
        let least = rules.get("minProperties").and_then(Value::as_u64).unwrap_or(0);
        if (entries.len() as u64) < least {
            self.lacks(node, Diagnostic::new(Code::BadValue, format!("{what} is empty")).at(place));
        }
    }

    /// Something is missing in a node, which is told at the place of what holds it.
    fn lacks(&mut self, node: &Node, found: Diagnostic) {
        let is_top = std::ptr::eq(node, self.top);
        if is_top { self.missing.push(found) } else { self.out.push(found) }
    }

    /// Looks at the value of a misspelt field as one of the field that was meant, if it can be that.
    fn slip(&mut self, key: &Key, value: &Node, name: &str, schema: &'a Value, depth: usize) {
        let mut attempt = Walk::new(self.root, self.top, self.unknown);
        attempt.value(value, schema, &format!("`{name}`"), key.span, depth + 1);
        let is_other = attempt.out.iter().any(|f| f.span == Some(value.span) || f.span == Some(key.span));
        if !is_other {
            self.slips.insert(key.span, Arc::from(name));
            self.take(attempt);
        }
    }

    fn accepts_null(&self, schema: &'a Value) -> bool {
        let schema = self.resolve(schema);
        let Some(rules) = schema.as_object() else { return schema == &Value::Bool(true) };
        let wanted = types(rules);
        if rules.get("const") == Some(&Value::Null) || wanted.contains(&"null") {
            return true;
        }
        let mut options = list(rules, "anyOf").chain(list(rules, "oneOf")).peekable();
        if options.peek().is_some() {
            return options.any(|option| self.accepts_null(option));
        }
        wanted.is_empty()
            && !rules.contains_key("enum")
            && !rules.contains_key("const")
            && !rules.contains_key("allOf")
    }

    fn choice(&mut self, node: &Node, options: &'a [Value], what: &str, place: Span, depth: usize) {
        if node.is_null() && options.iter().any(|o| self.accepts_null(o)) {
            return;
        }
        let options: Vec<&'a Value> = options
            .iter()
            .map(|o| self.resolve(o))
            .filter(|o| o.get("type") != Some(&Value::from("null")))
            .collect();
        if let [only] = options.as_slice() {
            return self.value(node, only, what, place, depth + 1);
        }
        // Words, each with a description of its own, are one enumeration.
        let words: Vec<&str> = options.iter().flat_map(|o| words_of(o)).collect();
        if options.iter().all(|o| !words_of(o).is_empty()) {
            match node.as_str() {
                Some(text) if words.contains(&text) => {}
                Some(_) => self.out.push(bad_word(node, &words, what)),
                None => self.out.push(wrong_type(node, &one_of(&words), what)),
            }
            return;
        }
        let mut best: Option<(usize, Walk<'a>)> = None;
        for option in &options {
            let mut attempt = Walk::new(self.root, self.top, self.unknown);
            attempt.value(node, option, what, place, depth + 1);
            let wrongs = attempt.out.len() + attempt.missing.len();
            if wrongs == 0 {
                return;
            }
            let distance = self.distance(node, option) + wrongs;
            if best.as_ref().is_none_or(|(least, _)| distance < *least) {
                best = Some((distance, attempt));
            }
        }
        match (best, node.as_str()) {
            (Some((distance, attempt)), _) if distance < FAR => self.take(attempt),
            (_, Some(_)) if !words.is_empty() => self.out.push(bad_word(node, &words, what)),
            _ => {
                let kinds: Vec<String> = options.iter().map(|o| expected_of(o, self.root)).collect();
                self.out.push(wrong_type(node, &joined(&kinds), what));
            }
        }
    }

    /// How far a node is from what an option is for; `FAR` and more: it is of another type altogether.
    fn distance(&self, node: &Node, option: &'a Value) -> usize {
        let option = self.resolve(option);
        let Some(rules) = option.as_object() else { return 0 };
        let wanted = types(rules);
        if !wanted.is_empty() && !wanted.iter().any(|t| fits(node, t)) {
            return FAR;
        }
        let Some(properties) = rules.get("properties").and_then(Value::as_object) else {
            return if words_of(option).is_empty() { 0 } else { FAR };
        };
        let required: Vec<&str> = list(rules, "required").filter_map(Value::as_str).collect();
        let absent = required.iter().filter(|name| node.get(name).is_none()).count();
        let strange = node.entries().iter().filter(|(key, _)| !properties.contains_key(&*key.name)).count();
        // A tag (`type: jwt`) that matches or not says more than any field.
        let tags = properties.iter().filter(|(name, schema)| {
            schema.get("const").is_some_and(|tag| node.get(name).is_some_and(|n| n.to_json() != *tag))
        });
        absent * 3 + strange + tags.count() * 50
    }
}

const FAR: usize = 1_000;

fn list<'v>(rules: &'v Map<String, Value>, name: &str) -> impl Iterator<Item = &'v Value> + use<'v> {
    rules.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or(&[]).iter()
}

fn types(rules: &Map<String, Value>) -> Vec<&str> {
    match rules.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn words_of(schema: &Value) -> Vec<&str> {
    match (schema.get("const"), schema.get("enum")) {
        (Some(Value::String(word)), _) => vec![word],
        (None, Some(Value::Array(words))) => words.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn fits(node: &Node, kind: &str) -> bool {
    match kind {
        "null" => node.is_null(),
        "boolean" => matches!(node.kind, NodeKind::Bool(_)),
        "integer" => match node.kind {
            NodeKind::Int(_) => true,
            NodeKind::Float(n) => n.fract() == 0.0 && n.abs() < 9e15,
            _ => false,
        },
        "number" => matches!(node.kind, NodeKind::Int(_) | NodeKind::Float(_)),
        "string" => matches!(node.kind, NodeKind::Str(_)),
        "array" => matches!(node.kind, NodeKind::Seq(_)),
        "object" => matches!(node.kind, NodeKind::Map(_)),
        _ => false,
    }
}

/// Whether a good text of a format with a unit means nothing at all.
fn is_zero(format: &str, text: &str) -> bool {
    match format {
        "duration" => text.parse::<Duration>().is_ok_and(|duration| duration.0.is_zero()),
        "bytes" => text.parse::<ByteSize>().is_ok_and(|size| size.0 == 0),
        _ => false,
    }
}

/// Checks a text against a format with a unit; `None` for formats that are none.
pub(crate) fn unit(format: &str, text: &str) -> Option<Result<(), UnitError>> {
    match format {
        "duration" => Some(text.parse::<Duration>().map(|_| ())),
        "bytes" => Some(text.parse::<ByteSize>().map(|_| ())),
        "rate" => Some(text.parse::<Rate>().map(|_| ())),
        "ratio" => Some(text.parse::<Ratio>().map(|_| ())),
        "quota" => Some(text.parse::<Quota>().map(|_| ())),
        "budget" => Some(text.parse::<Budget>().map(|_| ())),
        _ => None,
    }
}
