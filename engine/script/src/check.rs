//! From CEL's tree to a checked one: names resolved against the view of the hook, types compared, patterns compiled,
//! cost capped. Collects every finding.

use crate::asked::asked_by;
use crate::check_types::{binary_type, type_help};
use crate::function::Function;
use crate::function_text::Pattern;
use crate::object::{Field, ObjectDef};
use crate::parse::{Expr, ExprKind, Name, Operator};
use crate::reads::Reads;
use crate::root::{HookKind, ROOTS, ROUTED, Root, root};
use crate::token::At;
use crate::types::{ParamTypes, Type};
use crate::value::{List, Map, Value};
use weir_diagnostic::{Code, Diagnostic, Embedded, nearest};

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
    /// What is wrong, and was told.
    Lost,
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
    /// Headers of the request that are known to be there, at this place.
    pub(crate) asked: Vec<String>,
    /// Headers of the request that are read without having been asked for, and where.
    pub(crate) unasked: Vec<(String, At)>,
    /// Whether what is looked at stands in `has(…)`.
    pub(crate) in_has: bool,
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
            asked: Vec::new(),
            unasked: Vec::new(),
            in_has: false,
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
        (Node { at: at.clone(), kind: Kind::Lost }, Type::Any)
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
                if !ty.can(|one| matches!(one, Type::Int | Type::Double)) {
                    self.mismatch(&inner.at, format!("`-` does not take {ty:#}"));
                    return Self::lost(&at);
                }
                return (self.folded(Node { at, kind: Kind::Negate(Box::new(node)) }), ty);
            }
            ExprKind::Binary(operator, left, right) => return self.binary(*operator, left, right, at),
            ExprKind::And(list) => (Kind::And(self.conditions(list, "&&")), Type::Bool),
            ExprKind::Or(list) => (Kind::Or(self.conditions(list, "||")), Type::Bool),
            ExprKind::If(condition, yes, no) => {
                let condition = self.wants(condition, Type::Bool, "what stands before `?` is a condition");
                let known = self.asked.len();
                self.asked.extend(asked_by(&condition, true));
                let (yes, a) = self.node(yes);
                self.asked.truncate(known);
                self.asked.extend(asked_by(&condition, false));
                let (no, b) = self.node(no);
                self.asked.truncate(known);
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
                    let fits = |ty| matches!(ty, Type::String | Type::Int | Type::Uint | Type::Bool);
                    if !key_type.can(fits) {
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
        for (at, ty) in self.misfits(expr, ty, &|ty| ty == want) {
            self.mismatch(&at, format!("this is {ty:#}, not {want:#}")).cause = Some(why.to_owned());
        }
        node
    }

    /// What of an expression cannot be of a type: the whole, or the branches of a condition that are not.
    pub(crate) fn misfits(&mut self, expr: &Expr, ty: Type, fits: &dyn Fn(Type) -> bool) -> Vec<(At, Type)> {
        if let (ExprKind::If(_, yes, no), Type::Either(_)) = (&expr.kind, ty) {
            let branches = [self.type_of(yes), self.type_of(no)];
            if branches.iter().any(|ty| ty.can(fits)) {
                let [a, b] = branches;
                let mut all = self.misfits(yes, a, fits);
                all.extend(self.misfits(no, b, fits));
                return all;
            }
        }
        if ty.can(fits) { Vec::new() } else { vec![(expr.at.clone(), ty)] }
    }

    /// The type of an expression that has been looked at.
    fn type_of(&mut self, expr: &Expr) -> Type {
        let (found, names, unasked) = (self.found.len(), self.limit_names.len(), self.unasked.len());
        let (_, ty) = self.node(expr);
        self.found.truncate(found);
        self.limit_names.truncate(names);
        self.unasked.truncate(unasked);
        ty
    }

    fn conditions(&mut self, list: &[Expr], sign: &str) -> Vec<Node> {
        let known = self.asked.len();
        let mut nodes = Vec::with_capacity(list.len());
        for item in list {
            let node = self.wants(item, Type::Bool, &format!("`{sign}` joins conditions"));
            // What comes later is only of weight where this holds, or where it does not.
            self.asked.extend(asked_by(&node, sign == "&&"));
            nodes.push(node);
        }
        self.asked.truncate(known);
        nodes
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
            let help = match nearest(name, names.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("a text stands in quotes: \"{name}\"; the view has: {}", names.join(", ")),
            };
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
            Type::Map(inside) => {
                self.header(&node, &name.text, &at);
                (Kind::Member(Box::new(node), name.text.clone()), *inside)
            }
            Type::Either(_) if ty.can(|one| matches!(one, Type::Map(_))) => {
                (Kind::Member(Box::new(node), name.text.clone()), Type::Any)
            }
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
            Type::List(inside) => (key_type.can(|ty| matches!(ty, Type::Int | Type::Uint)), *inside),
            Type::Map(inside) => {
                let fits = |ty| !matches!(ty, Type::Null | Type::List(_) | Type::Map(_));
                (key_type.can(fits), *inside)
            }
            Type::Any => (true, Type::Any),
            Type::Either(_) if ty.can(|one| matches!(one, Type::List(_) | Type::Map(_))) => (true, Type::Any),
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
        if let Kind::Const(Value::Text(name)) = &key.kind {
            self.header(&node, name.as_str(), &at);
        }
        let node = Node { at, kind: Kind::Index(Box::new(node), Box::new(key)) };
        (if self.in_has { node } else { self.folded(node) }, inside)
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
        let fits = binary_type(operator, x, y);
        let ty = fits.unwrap_or_else(|| {
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
        let node = Node { at, kind: Kind::Binary(operator, Box::new(a), Box::new(b)) };
        (if fits.is_some() { self.folded(node) } else { node }, ty)
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
