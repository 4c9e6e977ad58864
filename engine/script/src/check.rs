//! From CEL's tree to a checked one: names resolved against the view of the hook, types compared, patterns compiled,
//! cost capped. Collects every finding.

use crate::budget::Budget;
use crate::check_types::{binary_type, takes, type_help};
use crate::eval::Eval;
use crate::function::{FUNCTIONS, Form, Function, named};
use crate::function_text::Pattern;
use crate::memo::Memo;
use crate::object::{Context, Field, LIMITS, ObjectDef};
use crate::parse::{Expr, ExprKind, Name, Operator};
use crate::reads::Reads;
use crate::root::{HookKind, ROOTS, ROUTED, Root, root};
use crate::token::At;
use crate::types::{ParamTypes, Type};
use crate::value::{List, Map, Value};
use crate::view::{Services, View};
use weir_diagnostic::{Code, Diagnostic, Embedded, nearest};
use weir_message::{Dialect, Operation, Request};

/// A checked node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) at: At,
    pub(crate) kind: Kind,
}

/// What a checked node does.
#[derive(Debug)]
pub(crate) enum Kind {
    Const(Value<'static>),
    Root(&'static Root),
    /// A loop's variable, by its place on the stack.
    Local(usize),
    /// A field that the type is known to have.
    Field(Box<Node>, &'static Field),
    /// A field that only run time can tell.
    Member(Box<Node>, String),
    Index(Box<Node>, Box<Node>),
    Has(Box<Node>),
    /// Whether it is null (`true`) or is not.
    IsNull(Box<Node>, bool),
    Not(Box<Node>),
    Negate(Box<Node>),
    Binary(Operator, Box<Node>, Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
    If(Box<Node>, Box<Node>, Box<Node>),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
    Call(&'static Function, Vec<Node>),
    Matches(Box<Node>, Box<Pattern>),
    Fold(Fold, Box<Node>, Box<Node>, Option<Box<Node>>),
}

/// A loop over a list or the keys of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fold {
    All,
    Exists,
    ExistsOne,
    Map,
    Filter,
}

/// Loops in loops that may stand in each other.
pub(crate) const LOOPS: usize = 2;

pub(crate) struct Checker<'c> {
    pub(crate) text: &'c Embedded,
    pub(crate) hook: HookKind,
    pub(crate) params: &'c ParamTypes,
    pub(crate) found: Vec<Diagnostic>,
    pub(crate) reads: Reads,
    /// Whether anything was read that a request decides.
    pub(crate) varies: bool,
    pub(crate) locals: Vec<(String, Type)>,
    /// The names written out in `limits.stage("…")`.
    pub(crate) limit_names: Vec<(String, At)>,
}

pub(crate) type Typed = (Node, Type);

impl<'c> Checker<'c> {
    pub(crate) fn new(text: &'c Embedded, hook: HookKind, params: &'c ParamTypes) -> Self {
        Self {
            text,
            hook,
            params,
            found: Vec::new(),
            reads: Reads::NONE,
            varies: false,
            locals: Vec::new(),
            limit_names: Vec::new(),
        }
    }

    pub(crate) fn report(&mut self, code: Code, at: &At, message: impl Into<String>) -> &mut Diagnostic {
        let span = self.text.span_of(at.start as usize..at.end as usize);
        self.found.push(Diagnostic::new(code, message).at(span));
        let last = self.found.len() - 1;
        &mut self.found[last]
    }

    /// A node to go on with after a finding.
    pub(crate) fn lost(at: &At) -> Typed {
        (Node { at: at.clone(), kind: Kind::Const(Value::Null) }, Type::Any)
    }

    pub(crate) fn node(&mut self, expr: &Expr) -> Typed {
        let at = expr.at.clone();
        let (kind, ty) = match &expr.kind {
            ExprKind::Null => (Kind::Const(Value::Null), Type::Null),
            ExprKind::Bool(value) => (Kind::Const(Value::Bool(*value)), Type::Bool),
            ExprKind::Int(n) => (Kind::Const(Value::Int(*n)), Type::Int),
            ExprKind::Uint(n) => (Kind::Const(Value::Uint(*n)), Type::Uint),
            ExprKind::Double(n) => (Kind::Const(Value::Double(*n)), Type::Double),
            ExprKind::Text(text) => (Kind::Const(Value::string(text.as_str())), Type::String),
            ExprKind::Bytes(bytes) => (Kind::Const(Value::Bytes(bytes.as_slice().into())), Type::Bytes),
            ExprKind::Ident(name) => return self.ident(name, at),
            ExprKind::Select(target, name) => return self.select(target, name, at),
            ExprKind::Index(target, index) => return self.index(target, index, at),
            ExprKind::Call(target, name, args) => return self.call(target.as_deref(), name, args, at),
            ExprKind::Not(inner) => {
                let inner = self.wants(inner, Type::Bool, "`!` negates a bool");
                (Kind::Not(Box::new(inner)), Type::Bool)
            }
            ExprKind::Negate(inner) => {
                let (node, ty) = self.node(inner);
                if !matches!(ty, Type::Any | Type::Int | Type::Double) {
                    self.mismatch(&inner.at, format!("`-` does not take {ty:#}"));
                }
                (Kind::Negate(Box::new(node)), ty)
            }
            ExprKind::Binary(operator, left, right) => return self.binary(*operator, left, right, at),
            ExprKind::And(list) => (Kind::And(self.conditions(list, "&&")), Type::Bool),
            ExprKind::Or(list) => (Kind::Or(self.conditions(list, "||")), Type::Bool),
            ExprKind::If(condition, yes, no) => {
                let condition = self.wants(condition, Type::Bool, "what stands before `?` is a condition");
                let ((yes, a), (no, b)) = (self.node(yes), self.node(no));
                (Kind::If(Box::new(condition), Box::new(yes), Box::new(no)), a.join(b))
            }
            ExprKind::List(list) => {
                let (nodes, types): (Vec<Node>, Vec<Type>) = list.iter().map(|item| self.node(item)).unzip();
                let inside = types.iter().copied().reduce(Type::join).unwrap_or(Type::Any);
                let ty = Type::List(inside.forever());
                // A list of constants is made once.
                if nodes.iter().all(|node| matches!(node.kind, Kind::Const(_))) {
                    let values = nodes.into_iter().filter_map(|node| match node.kind {
                        Kind::Const(value) => Some(value),
                        _ => None,
                    });
                    (Kind::Const(Value::List(List::Values(values.collect()))), ty)
                } else {
                    (Kind::List(nodes), ty)
                }
            }
            ExprKind::Map(entries) => {
                let mut inside: Option<Type> = None;
                let mut nodes = Vec::with_capacity(entries.len());
                for (key, value) in entries {
                    let (key_node, key_type) = self.node(key);
                    if !matches!(key_type, Type::Any | Type::String | Type::Int | Type::Uint | Type::Bool) {
                        self.mismatch(&key.at, format!("{key_type:#} cannot be the key of a map"));
                    }
                    let (value, ty) = self.node(value);
                    inside = Some(inside.map_or(ty, |other| other.join(ty)));
                    nodes.push((key_node, value));
                }
                let ty = Type::Map(inside.unwrap_or(Type::Any).forever());
                if nodes.is_empty() {
                    (Kind::Const(Value::Map(Map::Empty)), ty)
                } else {
                    (Kind::Map(nodes), ty)
                }
            }
        };
        (Node { at, kind }, ty)
    }

    pub(crate) fn mismatch(&mut self, at: &At, message: impl Into<String>) -> &mut Diagnostic {
        self.report(Code::TypeMismatch, at, message)
    }

    /// A node that has to be of a type.
    pub(crate) fn wants(&mut self, expr: &Expr, want: Type, why: &str) -> Node {
        let (node, ty) = self.node(expr);
        if ty != want && ty != Type::Any {
            self.mismatch(&expr.at, format!("this is {ty:#}, not {want:#}")).cause = Some(why.to_owned());
        }
        node
    }

    fn conditions(&mut self, list: &[Expr], sign: &str) -> Vec<Node> {
        list.iter().map(|item| self.wants(item, Type::Bool, &format!("`{sign}` joins conditions"))).collect()
    }

    fn ident(&mut self, name: &str, at: At) -> Typed {
        if let Some(place) = self.locals.iter().rposition(|(local, _)| local == name) {
            let ty = self.locals.get(place).map_or(Type::Any, |(_, ty)| *ty);
            return (Node { at, kind: Kind::Local(place) }, ty);
        }
        let Some(root) = root(name) else {
            let hook = self.hook;
            let roots = ROOTS.iter().filter(|root| root.hooks.contains(&hook)).map(|root| root.name);
            let names: Vec<String> =
                roots.map(str::to_owned).chain(self.locals.iter().map(|l| l.0.clone())).collect();
            let help = suggest(name, names.iter().map(String::as_str), "the view has");
            self.report(Code::UnknownReference, &at, format!("`{name}` is not defined")).help = Some(help);
            return Self::lost(&at);
        };
        if !root.hooks.contains(&self.hook) {
            let hooks: Vec<&str> = root.hooks.iter().map(|hook| hook.name()).collect();
            let message = format!("`{name}` does not exist in {}", place_of(self.hook));
            let found = self.report(Code::TooEarly, &at, message);
            found.help = Some(format!("it can be read in: {}", hooks.join(", ")));
            return Self::lost(&at);
        }
        self.reads |= root.reads;
        self.varies = true;
        (Node { at, kind: Kind::Root(root) }, root.ty)
    }

    fn select(&mut self, target: &Expr, name: &Name, at: At) -> Typed {
        if let ExprKind::Ident(root) = &target.kind
            && root == "params"
            && !self.locals.iter().any(|(local, _)| local == "params")
        {
            return self.param(target, name, at);
        }
        let (node, ty) = self.node(target);
        let (kind, ty) = match ty {
            Type::Object(def) => match def.field(&name.text) {
                Some(field) => {
                    if field.reads.meets(Reads::ATTEMPTS) && !ROUTED.contains(&self.hook) {
                        let message = format!("`{}` does not exist in {}", name.text, place_of(self.hook));
                        let hooks: Vec<&str> = ROUTED.iter().map(|hook| hook.name()).collect();
                        let found = self.report(Code::TooEarly, &name.at, message);
                        found.help = Some(format!("it can be read in: {}", hooks.join(", ")));
                        return Self::lost(&at);
                    }
                    self.reads |= field.reads;
                    (Kind::Field(Box::new(node), field), field.ty)
                }
                None => {
                    self.no_field(def, name);
                    return Self::lost(&at);
                }
            },
            Type::Map(inside) => (Kind::Member(Box::new(node), name.text.clone()), *inside),
            Type::Any => (Kind::Member(Box::new(node), name.text.clone()), Type::Any),
            other => {
                self.mismatch(&name.at, format!("{other:#} has no fields")).help =
                    matches!(other, Type::String | Type::List(_))
                        .then(|| "its length is `.size()`".to_owned());
                return Self::lost(&at);
            }
        };
        (Node { at, kind }, ty)
    }

    fn no_field(&mut self, def: &ObjectDef, name: &Name) {
        let help = suggest(&name.text, def.fields.iter().map(|f| f.name), &format!("`{}` has", def.name));
        let message = format!("`{}` has no field `{}`", def.name, name.text);
        self.report(Code::UnknownReference, &name.at, message).help = Some(help);
    }

    fn param(&mut self, target: &Expr, name: &Name, at: At) -> Typed {
        let (node, _) = self.node(target);
        let ty = match self.params.fields.get(name.text.as_str()) {
            Some(param) => Type::from(*param),
            None if self.params.open => Type::Any,
            None => {
                let names: Vec<&str> = self.params.fields.keys().map(AsRef::as_ref).collect();
                let help = if names.is_empty() {
                    "no parameters are defined here".to_owned()
                } else {
                    suggest(&name.text, names, "the parameters are")
                };
                let message = format!("there is no parameter `{}`", name.text);
                self.report(Code::UnknownReference, &name.at, message).help = Some(help);
                return Self::lost(&at);
            }
        };
        (Node { at, kind: Kind::Member(Box::new(node), name.text.clone()) }, ty)
    }

    fn index(&mut self, target: &Expr, index: &Expr, at: At) -> Typed {
        let (node, ty) = self.node(target);
        let (key, key_type) = self.node(index);
        let (fits, inside) = match ty {
            Type::List(inside) => (matches!(key_type, Type::Any | Type::Int | Type::Uint), *inside),
            Type::Map(inside) => (!matches!(key_type, Type::Null | Type::List(_) | Type::Map(_)), *inside),
            Type::Any => (true, Type::Any),
            other => {
                self.mismatch(&target.at, format!("{other:#} has no items")).help =
                    matches!(other, Type::Object(_))
                        .then(|| "read a field with a dot: `request.model`".to_owned());
                return Self::lost(&at);
            }
        };
        if !fits {
            self.mismatch(&index.at, format!("{key_type:#} is no place in {ty:#}"));
        }
        (Node { at, kind: Kind::Index(Box::new(node), Box::new(key)) }, inside)
    }

    fn binary(&mut self, operator: Operator, left: &Expr, right: &Expr, at: At) -> Typed {
        if let Operator::Equal | Operator::NotEqual = operator {
            let is = operator == Operator::Equal;
            let other = match (&left.kind, &right.kind) {
                (_, ExprKind::Null) => Some(left),
                (ExprKind::Null, _) => Some(right),
                _ => None,
            };
            if let Some(other) = other {
                let (node, _) = self.node(other);
                return (Node { at, kind: Kind::IsNull(Box::new(node), is) }, Type::Bool);
            }
        }
        let ((a, x), (b, y)) = (self.node(left), self.node(right));
        let ty = binary_type(operator, x, y).unwrap_or_else(|| {
            let message = match operator {
                Operator::In => format!("{x:#} is never in {y:#}"),
                Operator::Equal | Operator::NotEqual => format!("{x:#} never equals {y:#}"),
                _ => format!("`{}` does not take {x:#} and {y:#}", operator.sign()),
            };
            let help = type_help(x, y);
            self.mismatch(&at, message).help = help;
            match operator {
                Operator::Add
                | Operator::Subtract
                | Operator::Multiply
                | Operator::Divide
                | Operator::Modulo => Type::Any,
                _ => Type::Bool,
            }
        });
        (Node { at, kind: Kind::Binary(operator, Box::new(a), Box::new(b)) }, ty)
    }

    fn call(&mut self, target: Option<&Expr>, name: &Name, args: &[Expr], at: At) -> Typed {
        // `json.parse(…)`: a name with a dot, not a method of something called `json`.
        if let Some(Expr { kind: ExprKind::Ident(space), at: space_at, .. }) = target
            && !self.locals.iter().any(|(local, _)| local == space)
            && root(space).is_none()
        {
            let full = Name { text: format!("{space}.{}", name.text), at: space_at.start..name.at.end };
            if named(&full.text).next().is_some() || space == "json" {
                return self.function(None, &full, args, at);
            }
        }
        if let Some(typed) = self.macro_call(target, name, args, &at) {
            return typed;
        }
        self.function(target, name, args, at)
    }

    fn function(&mut self, target: Option<&Expr>, name: &Name, args: &[Expr], at: At) -> Typed {
        let method = target.is_some();
        let all: Vec<&Expr> = target.into_iter().chain(args).collect();
        let fits_form = |f: &Function| f.form == Form::Both || (f.form == Form::Method) == method;
        let candidates: Vec<&'static Function> = named(&name.text).filter(|f| fits_form(f)).collect();
        if candidates.is_empty() {
            for expr in all {
                self.node(expr);
            }
            let message = match (method, named(&name.text).next()) {
                (true, Some(_)) => format!("`{}` is no method; call it as `{}(…)`", name.text, name.text),
                (false, Some(_)) => format!("`{}` is a method; call it as `x.{}(…)`", name.text, name.text),
                (true, None) => format!("there is no method `{}`", name.text),
                (false, None) => format!("there is no function `{}`", name.text),
            };
            let names =
                FUNCTIONS.iter().filter(|f| fits_form(f)).map(|f| f.name).chain(MACROS.iter().copied());
            let help = nearest(&name.text, names).map(|near| format!("did you mean `{near}`?"));
            self.report(Code::UnknownReference, &name.at, message).help =
                help.or_else(|| Some("`weir schema view` lists all functions".to_owned()));
            return Self::lost(&at);
        }
        if name.text == "matches"
            && let [text, pattern] = all.as_slice()
        {
            return self.matches(text, pattern, at);
        }
        let (nodes, types): (Vec<Node>, Vec<Type>) = all.iter().map(|expr| self.node(expr)).unzip();
        let fitting: Vec<&'static Function> = candidates
            .iter()
            .copied()
            .filter(|f| {
                f.takes.len() == types.len()
                    && f.takes.iter().zip(&types).all(|(want, have)| takes(*want, *have))
            })
            .collect();
        let Some(first) = fitting.first() else {
            let have: Vec<String> = types.iter().map(Type::to_string).collect();
            let want: Vec<String> = candidates.iter().map(|f| signature(f)).collect();
            let message = format!("`{}` does not take ({})", name.text, have.join(", "));
            self.mismatch(&at, message).help = Some(format!("it is called as {}", want.join(" or ")));
            return Self::lost(&at);
        };
        if let Some((argument, check)) = first.literal
            && let Some(Node { at: place, kind: Kind::Const(Value::Text(text)) }) = nodes.get(argument)
            && let Err(message) = check(text.as_str())
        {
            self.report(Code::BadValue, place, message);
        }
        if name.text == "stage"
            && matches!(types.first(), Some(Type::Object(def)) if std::ptr::eq(*def, &LIMITS))
            && let Some(Node { at, kind: Kind::Const(Value::Text(text)) }) = nodes.get(1)
        {
            self.limit_names.push((text.as_str().to_owned(), at.clone()));
        }
        self.reads |= first.reads;
        self.varies |= first.reads != Reads::NONE;
        let ty = fitting.iter().map(|f| f.gives).reduce(Type::join).unwrap_or(Type::Any);
        let constant =
            first.reads == Reads::NONE && nodes.iter().all(|node| matches!(node.kind, Kind::Const(_)));
        let node = Node { at, kind: Kind::Call(first, nodes) };
        match constant.then(|| constant_value(&node)).flatten() {
            Some(value) => (Node { at: node.at, kind: Kind::Const(value) }, ty),
            None => (node, ty),
        }
    }

    fn matches(&mut self, text: &Expr, pattern: &Expr, at: At) -> Typed {
        let node = self.wants(text, Type::String, "`matches` looks into a text");
        let ExprKind::Text(source) = &pattern.kind else {
            self.report(Code::BadRegex, &pattern.at, "the pattern of `matches` must be written out").help =
                Some(
                    "patterns are compiled when the set is loaded, so they cannot come from a request"
                        .to_owned(),
                );
            return Self::lost(&at);
        };
        match Pattern::compile(source) {
            Ok(compiled) => {
                let kind = Kind::Matches(Box::new(node), Box::new(compiled));
                (Node { at, kind }, Type::Bool)
            }
            Err(error) => {
                let mut lines = error.lines().map(str::trim).filter(|line| !line.is_empty());
                let last = lines.next_back().unwrap_or("").trim_start_matches("error: ").to_owned();
                self.report(Code::BadRegex, &pattern.at, "the regular expression does not compile").cause =
                    Some(last);
                (Node { at, kind: Kind::Const(Value::Bool(false)) }, Type::Bool)
            }
        }
    }
}

/// The names that are loops or tests and not functions.
pub(crate) const MACROS: &[&str] = &["has", "all", "exists", "exists_one", "map", "filter"];

/// How a function is called, for people.
pub(crate) fn signature(function: &Function) -> String {
    let takes: Vec<String> = function.takes.iter().map(Type::to_string).collect();
    match (function.form, takes.split_first()) {
        (Form::Method | Form::Both, Some((target, rest))) => {
            format!("`{target}.{}({}) → {}`", function.name, rest.join(", "), function.gives)
        }
        _ => format!("`{}({}) → {}`", function.name, takes.join(", "), function.gives),
    }
}

fn suggest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>, all: &str) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    match nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("{all}: {}", names.join(", ")),
    }
}

fn place_of(hook: HookKind) -> String {
    match hook {
        HookKind::Match => "the `when:` of a pipeline".to_owned(),
        HookKind::Condition => "the `when:` of a stage".to_owned(),
        HookKind::Case => "a case".to_owned(),
        other => format!("the {} hook", other.name()),
    }
}

struct NoServices;

impl Services for NoServices {
    fn count_tokens(&self, _: &str, _: &str) -> u64 {
        0
    }

    fn request_tokens(&self, _: &Request) -> u64 {
        0
    }
}

/// The value of a node that reads nothing of a request; `None` where it could only be a fault, or borrows.
pub(crate) fn constant_value(node: &Node) -> Option<Value<'static>> {
    let request = Request::new("", Dialect::OpenAi, Operation::Chat, "");
    let view = View::new(&request, "", 0);
    let cx = Context { view: &view, services: &NoServices, budget: Budget::new(), memo: Memo::default() };
    match Eval::new(&cx).node(node).ok()? {
        Value::Null => Some(Value::Null),
        Value::Bool(value) => Some(Value::Bool(value)),
        Value::Int(n) => Some(Value::Int(n)),
        Value::Uint(n) => Some(Value::Uint(n)),
        Value::Double(n) => Some(Value::Double(n)),
        Value::Text(text) => Some(Value::string(text.as_str())),
        Value::Timestamp(n) => Some(Value::Timestamp(n)),
        Value::Duration(n) => Some(Value::Duration(n)),
        _ => None,
    }
}
