//! A CEL expression of a policy: compiled once, evaluated per request.

use crate::asked::asked_by;
use crate::budget::Budget;
use crate::check::{Checker, Kind, Node};
use crate::check_constant::constant_value;
use crate::eval::{Eval, Stop};
use crate::fault::{EvalFault, FaultCause, Trouble};
use crate::function_text::scalar;
use crate::memo::Memo;
use crate::object::Context;
use crate::parse::{ParseError, parse};
use crate::reads::Reads;
use crate::root::HookKind;
use crate::token::At;
use crate::types::{Expect, ParamTypes, Type};
use crate::value::Value;
use crate::view::{Services, View};
use serde_json::Value as Json;
use std::fmt;
use weir_diagnostic::{Code, Diagnostic, Embedded, Span};

/// A checked expression. Shared by all threads; evaluating it takes no lock.
#[derive(Debug)]
pub struct Expression {
    text: Embedded,
    root: Node,
    reads: Reads,
    varies: bool,
    constant: Option<CelValue>,
    limit_names: Vec<(String, Span)>,
    unasked: Vec<(String, Span)>,
}

/// The value of an expression, apart from the request it came from. Objects of the view become maps.
#[derive(Clone, Debug, PartialEq)]
pub enum CelValue {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number without sign.
    Uint(u64),
    /// A float.
    Double(f64),
    /// A text.
    String(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A moment: nanoseconds since 1970.
    Timestamp(i64),
    /// A length of time in nanoseconds.
    Duration(i64),
    /// A list.
    List(Vec<CelValue>),
    /// A map, in the order of its making.
    Map(Vec<(CelValue, CelValue)>),
}

/// The values under a line, for people who ask why it failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// What the whole gives.
    pub result: Result<CelValue, EvalFault>,
    /// Sub-expressions as they stand in the text, and their values (or faults) as text, in order and without repeats.
    pub parts: Vec<(String, String)>,
}

impl Expression {
    /// Compiles an expression for its place.
    ///
    /// # Errors
    /// Every finding: what does not parse (`bad-cel`), names and functions that do not exist (`unknown-reference`), roots
    /// read before they exist (`too-early`), types that cannot fit (`type-mismatch`), patterns that do not compile
    /// (`bad-regex`), written-out values that are none (`bad-value`), and trees that are too large (`too-costly`).
    pub fn compile(
        text: &Embedded,
        hook: HookKind,
        expect: Expect,
        params: &ParamTypes,
    ) -> Result<Expression, Vec<Diagnostic>> {
        let at = |at: &At| text.span_of(at.start as usize..at.end as usize);
        let tree = parse(&text.text).map_err(|error| {
            let (code, slip) = match error {
                ParseError::Slip(slip) => (Code::BadCel, slip),
                ParseError::TooLarge(slip) => (Code::TooCostly, slip),
            };
            vec![Diagnostic::new(code, slip.message).at(at(&slip.at))]
        })?;
        let mut checker = Checker::new(text, hook, params);
        let (root, ty) = checker.node(&tree);
        let (fits, want): (fn(Type) -> bool, &str) = match expect {
            Expect::Any => (|_| true, "a value"),
            Expect::Bool => (|ty| ty == Type::Bool, "a condition (bool)"),
            Expect::String => (|ty| ty == Type::String, "a string"),
            Expect::Number => (Type::is_number, "a number"),
        };
        for (at, ty) in checker.misfits(&tree, ty, &fits) {
            checker.mismatch(&at, format!("this gives {ty:#}; {want} is needed here"));
        }
        let mut constant = None;
        if !checker.varies && checker.found.is_empty() {
            match constant_value(&root) {
                Ok(value) => constant = value.as_ref().map(own),
                Err((trouble, at)) => checker.never_works(&at, &trouble),
            }
        }
        if checker.found.is_empty() {
            let limit_names = checker.limit_names.iter().map(|(name, place)| (name.clone(), at(place)));
            let limit_names = limit_names.collect();
            let unasked = checker.unasked.iter().map(|(name, place)| (name.clone(), at(place))).collect();
            let (reads, varies) = (checker.reads, checker.varies);
            Ok(Expression { text: text.clone(), root, reads, varies, constant, limit_names, unasked })
        } else {
            Err(checker.found)
        }
    }

    /// What it reads.
    pub fn reads(&self) -> Reads {
        self.reads
    }

    /// The stages that it names in `limits.stage("…")`, and where.
    pub fn limit_names(&self) -> &[(String, Span)] {
        &self.limit_names
    }

    /// The headers of the request that it reads without asking whether they are there, and where: a fault where they are not.
    pub fn unasked_headers(&self) -> &[(String, Span)] {
        &self.unasked
    }

    /// The headers of the request that are there wherever it holds.
    pub fn asked_headers(&self) -> Vec<String> {
        asked_by(&self.root, true)
    }

    /// The texts written out that it may give, one for each branch of its conditions, and where.
    pub fn texts(&self) -> Vec<(String, Span)> {
        let mut texts = Vec::new();
        texts_of(&self.root, &mut |text, at| {
            texts.push((text.to_owned(), self.text.span_of(at.start as usize..at.end as usize)));
        });
        texts
    }

    /// Whether it reads anything at all: a root of the view, the clock, a count. What does not is the same for every request.
    pub fn varies(&self) -> bool {
        self.varies
    }

    /// Whether it gives the same for every request.
    pub fn is_constant(&self) -> bool {
        self.constant.is_some()
    }

    /// What it gives for every request, if it reads nothing of any.
    pub fn constant(&self) -> Option<&CelValue> {
        self.constant.as_ref()
    }

    /// Its text as it was written.
    pub fn source(&self) -> &str {
        &self.text.text
    }

    /// Where it stands.
    pub fn text(&self) -> &Embedded {
        &self.text
    }

    /// Its value for a request.
    ///
    /// # Errors
    /// A fault: see [`FaultCause`].
    pub fn eval(&self, view: &View<'_>, services: &dyn Services) -> Result<CelValue, EvalFault> {
        self.run(view, services, |value| Ok(own(value)))
    }

    /// Its value as a condition.
    ///
    /// # Errors
    /// A fault, also where the value is none.
    pub fn eval_bool(&self, view: &View<'_>, services: &dyn Services) -> Result<bool, EvalFault> {
        self.run(view, services, |value| match value {
            Value::Bool(value) => Ok(*value),
            other => Err(not("a condition", other)),
        })
    }

    /// Its value as a number.
    ///
    /// # Errors
    /// A fault, also where the value is none.
    pub fn eval_number(&self, view: &View<'_>, services: &dyn Services) -> Result<f64, EvalFault> {
        self.run(view, services, |value| value.number().ok_or_else(|| not("a number", value)))
    }

    /// Its value as a key for counters and caches: texts as they are, all else in the spelling of JSON, so that equal
    /// values have equal keys in every process.
    ///
    /// # Errors
    /// A fault, also where the value is null or holds null: what belongs to nobody would be shared by all.
    pub fn eval_string_key(&self, view: &View<'_>, services: &dyn Services) -> Result<String, EvalFault> {
        self.run(view, services, |value| match value {
            Value::Text(text) => Ok(text.as_str().to_owned()),
            other => {
                let own = own(other);
                if own.holds_null() {
                    return Err(Trouble::new(FaultCause::Null, "a key holds null"));
                }
                Ok(own.to_json().to_string())
            }
        })
    }

    /// Its value and those of its parts, for the report of a failing case.
    pub fn eval_explained(&self, view: &View<'_>, services: &dyn Services) -> Explained {
        let mut parts: Vec<(String, String)> = Vec::new();
        explain(&self.root, &mut |node| {
            let source = self.slice(&node.at);
            if parts.iter().all(|(have, _)| *have != source) {
                let value = self.run_node(node, view, services, |value| Ok(own(value)));
                let value =
                    value.map_or_else(|fault| format!("fault: {}", fault.message), |value| value.to_string());
                parts.push((source, value));
            }
        });
        Explained { result: self.eval(view, services), parts }
    }

    pub(crate) fn root(&self) -> &Node {
        &self.root
    }

    fn slice(&self, at: &At) -> String {
        self.text.text.get(at.start as usize..at.end as usize).unwrap_or("").to_owned()
    }

    fn run<T>(
        &self,
        view: &View<'_>,
        services: &dyn Services,
        take: impl FnOnce(&Value<'_>) -> Result<T, Trouble>,
    ) -> Result<T, EvalFault> {
        self.run_node(&self.root, view, services, take)
    }

    fn run_node<T>(
        &self,
        node: &Node,
        view: &View<'_>,
        services: &dyn Services,
        take: impl FnOnce(&Value<'_>) -> Result<T, Trouble>,
    ) -> Result<T, EvalFault> {
        let cx = Context { view, services, budget: Budget::new(), memo: Memo::default() };
        let done = Eval::new(&cx).node(node).and_then(|value| {
            take(&value).map_err(|trouble| -> Stop { Box::new((trouble, node.at.clone())) })
        });
        done.map_err(|stop| {
            let (trouble, at) = *stop;
            EvalFault {
                cause: trouble.cause,
                message: trouble.message.into_owned(),
                source_text: self.slice(&at),
                span: self.text.span_of(at.start as usize..at.end as usize),
            }
        })
    }

    #[cfg(test)]
    pub(crate) fn work(&self, view: &View<'_>, services: &dyn Services) -> u64 {
        let cx = Context { view, services, budget: Budget::new(), memo: Memo::default() };
        let _ = Eval::new(&cx).node(&self.root);
        cx.budget.spent()
    }
}

fn texts_of(node: &Node, take: &mut dyn FnMut(&str, &At)) {
    match &node.kind {
        Kind::Const(Value::Text(text)) => take(text.as_str(), &node.at),
        Kind::If(_, yes, no) => [yes, no].into_iter().for_each(|branch| texts_of(branch, take)),
        Kind::Index(target, _) => match &target.kind {
            Kind::Map(entries) => entries.iter().for_each(|(_, value)| texts_of(value, take)),
            Kind::List(items) => items.iter().for_each(|item| texts_of(item, take)),
            _ => {}
        },
        _ => {}
    }
}

fn not(want: &str, have: &Value<'_>) -> Trouble {
    let cause = if matches!(have, Value::Null) { FaultCause::Null } else { FaultCause::WrongType };
    Trouble::new(cause, format!("the value is {} and no {}", have.kind(), want.trim_start_matches("a ")))
}

/// Shows the nodes whose values tell why a line failed: fields, calls and loops, not operators, constants or what stands
/// inside a loop.
fn explain<'n>(node: &'n Node, show: &mut dyn FnMut(&'n Node)) {
    match &node.kind {
        Kind::Const(_) | Kind::Lost | Kind::Local(_) => {}
        Kind::Root(_) | Kind::Field(..) | Kind::Member(..) => show(node),
        Kind::Has(inner) | Kind::IsNull(inner, _) | Kind::Not(inner) | Kind::Negate(inner) => {
            explain(inner, show)
        }
        Kind::Binary(_, a, b) => {
            explain(a, show);
            explain(b, show);
        }
        Kind::And(list) | Kind::Or(list) | Kind::List(list) => {
            list.iter().for_each(|node| explain(node, show))
        }
        Kind::If(a, b, c) => [a, b, c].into_iter().for_each(|node| explain(node, show)),
        Kind::Map(entries) => entries.iter().for_each(|(_, value)| explain(value, show)),
        Kind::Index(target, index) => {
            show(node);
            explain(target, show);
            explain(index, show);
        }
        Kind::Call(_, args) => {
            show(node);
            args.iter().for_each(|arg| explain(arg, show));
        }
        Kind::Matches(text, _) => {
            show(node);
            explain(text, show);
        }
        Kind::Fold(_, range, _, _) => {
            show(node);
            explain(range, show);
        }
    }
}

/// A value apart from the view. An object is shown by its cheap parts only: what it can be told apart by.
pub(crate) fn own(value: &Value<'_>) -> CelValue {
    match value {
        Value::Null => CelValue::Null,
        Value::Bool(value) => CelValue::Bool(*value),
        Value::Int(n) => CelValue::Int(*n),
        Value::Uint(n) => CelValue::Uint(*n),
        Value::Double(n) => CelValue::Double(*n),
        Value::Text(text) => CelValue::String(text.as_str().to_owned()),
        Value::Bytes(bytes) => CelValue::Bytes(bytes.to_vec()),
        Value::Timestamp(n) => CelValue::Timestamp(*n),
        Value::Duration(n) => CelValue::Duration(*n),
        Value::List(list) => {
            CelValue::List((0..list.len()).filter_map(|n| list.get(n)).map(|v| own(&v)).collect())
        }
        Value::Map(map) => CelValue::Map(
            map.keys()
                .iter()
                .map(|key| (own(key), map.get(key).map_or(CelValue::Null, |value| own(&value))))
                .collect(),
        ),
        Value::Object(object) => crate::reference::owned_object(*object),
    }
}

impl CelValue {
    /// The value as JSON; moments and lengths of time as text, bytes as numbers.
    pub fn to_json(&self) -> Json {
        match self {
            CelValue::Null => Json::Null,
            CelValue::Bool(value) => Json::Bool(*value),
            CelValue::Int(n) => Json::from(*n),
            CelValue::Uint(n) => Json::from(*n),
            CelValue::Double(n) => Json::from(*n),
            CelValue::String(text) => Json::from(text.as_str()),
            CelValue::Bytes(bytes) => Json::from(bytes.as_slice()),
            CelValue::Timestamp(n) => Json::from(scalar(&Value::Timestamp(*n))),
            CelValue::Duration(n) => Json::from(scalar(&Value::Duration(*n))),
            CelValue::List(list) => Json::Array(list.iter().map(CelValue::to_json).collect()),
            CelValue::Map(map) => Json::Object(
                map.iter()
                    .map(|(key, value)| {
                        let key = match key {
                            CelValue::String(text) => text.clone(),
                            other => other.to_json().to_string(),
                        };
                        (key, value.to_json())
                    })
                    .collect(),
            ),
        }
    }

    fn holds_null(&self) -> bool {
        match self {
            CelValue::Null => true,
            CelValue::List(list) => list.iter().any(CelValue::holds_null),
            CelValue::Map(map) => map.iter().any(|(_, value)| value.holds_null()),
            _ => false,
        }
    }
}

/// As JSON, cut after 200 characters: for reports.
impl fmt::Display for CelValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = self.to_json().to_string();
        match json.char_indices().nth(200) {
            Some((cut, _)) => write!(f, "{}…", json.get(..cut).unwrap_or("")),
            None => f.write_str(&json),
        }
    }
}
