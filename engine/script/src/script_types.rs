//! What a script does with its handle that cannot work, as far as it can be seen without running it: values of another type,
//! and edits of what can only be read.

use crate::script_check::{ScriptCheck, is_variable};
use crate::script_surface::{Handle, Use};
use crate::types::ParamType;
use rhai::{ASTNode, Expr, Position, Stmt};
use weir_diagnostic::{Code, nearest};

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Bool,
    Other,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Text => "text",
            Kind::Number => "a number",
            Kind::Bool => "true or false",
            Kind::Other => "neither text nor number",
        }
    }
}

/// What a value written out is, and how it is spelt as far as that is known.
fn written(expr: &Expr) -> Option<(Kind, Position, String)> {
    Some(match expr {
        Expr::StringConstant(text, at) => (Kind::Text, *at, format!("\"{text}\"")),
        Expr::InterpolatedString(_, at) | Expr::CharConstant(_, at) => (Kind::Text, *at, "`".to_owned()),
        Expr::IntegerConstant(number, at) => (Kind::Number, *at, number.to_string()),
        Expr::FloatConstant(number, at) => (Kind::Number, *at, number.to_string()),
        Expr::BoolConstant(value, at) => (Kind::Bool, *at, value.to_string()),
        Expr::Array(_, at) => (Kind::Other, *at, "[".to_owned()),
        Expr::Map(_, at) => (Kind::Other, *at, "#{".to_owned()),
        Expr::Unit(at) => (Kind::Other, *at, "()".to_owned()),
        _ => return None,
    })
}

/// What a member is, where it is always the same.
fn kind_of(member: &str) -> Option<Kind> {
    Some(match member {
        "stream" | "cached" => Kind::Bool,
        "status" | "n" | "choice" | "cost" => Kind::Number,
        "id" | "operation" | "dialect" | "path" | "text" | "all_text" | "system" | "kind" | "pipeline"
        | "outcome" | "provider" => Kind::Text,
        _ => return None,
    })
}

/// What maps that a handle gives are made of.
fn keys_of(member: &str) -> Option<&'static [&'static str]> {
    Some(match member {
        "caller" => &["by", "key", "user", "team", "tags", "claims"],
        "request" => &["id", "model", "operation", "stream", "text"],
        "usage" => &["input", "cached_input", "cache_write", "output", "reasoning", "total"],
        _ => return None,
    })
}

/// The member of the handle that an expression reads, if that is all it does.
fn member_of<'e>(expr: &'e Expr, param: &str) -> Option<(&'e str, Position)> {
    match expr {
        Expr::Dot(dot, ..) if is_variable(&dot.lhs, param) => match &dot.rhs {
            Expr::Property(property, at) => Some((property.2.as_str(), *at)),
            _ => None,
        },
        _ => None,
    }
}

/// The parameter that an expression reads, if that is all it does: `limit` of `r.params.limit`.
fn param_of<'e>(expr: &'e Expr, param: &str) -> Option<&'e str> {
    match expr {
        Expr::Dot(dot, ..) if is_variable(&dot.lhs, param) => match &dot.rhs {
            Expr::Dot(inner, ..) => match (&inner.lhs, &inner.rhs) {
                (Expr::Property(map, _), Expr::Property(name, _)) if map.2 == "params" => {
                    Some(name.2.as_str())
                }
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

/// The member at the root of a longer path: `messages` of `r.messages[0].text`.
fn root_of<'e>(expr: &'e Expr, param: &str) -> Option<(&'e str, Position)> {
    match expr {
        Expr::Index(index, ..) => member_of(&index.lhs, param).or_else(|| root_of(&index.lhs, param)),
        Expr::Dot(dot, ..) if is_variable(&dot.lhs, param) => {
            let (Expr::Dot(inner, ..) | Expr::Index(inner, ..)) = &dot.rhs else { return None };
            match &inner.lhs {
                Expr::Property(property, at) => Some((property.2.as_str(), *at)),
                _ => None,
            }
        }
        _ => None,
    }
}

impl ScriptCheck<'_> {
    /// Looks at one node of a function whose parameter `param` is a handle. `copies` are variables of loops over what a handle
    /// gives, with the member that they come from.
    pub(crate) fn types(
        &mut self,
        path: &[ASTNode<'_>],
        param: &str,
        handle: &'static Handle,
        copies: &[(String, String)],
    ) {
        match path.last() {
            Some(ASTNode::Stmt(Stmt::Assignment(assignment))) => {
                let (lhs, rhs) = (&assignment.1.lhs, &assignment.1.rhs);
                if let Some((name, at)) = root_of(lhs, param) {
                    self.read_only(name, at, handle);
                } else if let Some((name, _)) = member_of(lhs, param) {
                    let is_set =
                        handle.members.iter().any(|member| member.name == name && member.by == Use::Set);
                    if let Some((kind, at, spelt)) =
                        written(rhs).filter(|(kind, ..)| is_set && *kind != Kind::Text)
                    {
                        self.wrong(&spelt, at, format!("`{name}` takes text, not {}", kind.name()), None);
                    }
                } else if let Expr::Dot(dot, ..) = lhs
                    && let Some((_, member)) = copies.iter().find(|(copy, _)| is_variable(&dot.lhs, copy))
                {
                    self.read_only(member, dot.lhs.position(), handle);
                }
            }
            Some(ASTNode::Stmt(Stmt::If(flow, _) | Stmt::While(flow, _))) => {
                if let Some((name, at)) = member_of(&flow.expr, param)
                    && let Some(kind) = kind_of(name).filter(|kind| *kind != Kind::Bool)
                {
                    let help = match kind {
                        Kind::Text => format!("compare it: `{}.{name} != \"\"`", handle.letter),
                        _ => format!("compare it: `{}.{name} > 0`", handle.letter),
                    };
                    self.wrong(name, at, format!("`{name}` is {} and no condition", kind.name()), Some(help));
                }
            }
            Some(ASTNode::Expr(Expr::FnCall(call, _))) if call.op_token.is_some() => {
                if let [left, right] = call.args.as_slice() {
                    self.compared(left, right, param);
                    self.compared(right, left, param);
                }
            }
            Some(ASTNode::Expr(Expr::Dot(dot, ..))) if is_variable(&dot.lhs, param) => match &dot.rhs {
                Expr::Dot(inner, ..) => {
                    if let (Expr::Property(map, _), Expr::Property(key, at)) = (&inner.lhs, &inner.rhs) {
                        self.key(&map.2, &key.2, *at);
                    } else if let (Expr::Property(map, _), Expr::Dot(deeper, ..) | Expr::Index(deeper, ..)) =
                        (&inner.lhs, &inner.rhs)
                        && let Expr::Property(key, at) = &deeper.lhs
                    {
                        self.key(&map.2, &key.2, *at);
                    }
                }
                Expr::MethodCall(call, _) => self.arguments(&call.name, &call.args, handle),
                _ => {}
            },
            _ => {}
        }
    }

    fn wrong(&mut self, name: &str, at: Position, message: String, help: Option<String>) {
        self.report(Code::TypeMismatch, at, name, message, help);
    }

    fn read_only(&mut self, name: &str, at: Position, handle: &Handle) {
        let sets: Vec<String> = handle
            .members
            .iter()
            .filter(|member| member.by == Use::Set)
            .map(|member| format!("`{}`", member.spelling(handle.letter)))
            .collect();
        let help = (!sets.is_empty()).then(|| format!("what can be set: {}", sets.join(", ")));
        self.wrong(name, at, format!("what `{name}` gives is a copy: changing it changes nothing"), help);
    }

    fn compared(&mut self, side: &Expr, other: &Expr, param: &str) {
        let (name, kind) = match (member_of(side, param), param_of(side, param)) {
            (Some((name, _)), _) => (name, kind_of(name)),
            (None, Some(name)) => (name, self.kind_of_param(name)),
            (None, None) => return,
        };
        let (Some(have), Some((want, at, spelt))) = (kind, written(other)) else { return };
        // `()` stands for what is not there.
        if have != want && !matches!(other, Expr::Unit(_)) {
            let message = format!("`{name}` is {} and never {}", have.name(), want.name());
            self.wrong(&spelt, at, message, None);
        }
    }

    /// What a parameter is, as far as it is known.
    fn kind_of_param(&self, name: &str) -> Option<Kind> {
        Some(match self.params.fields.get(name)? {
            ParamType::Bool => Kind::Bool,
            ParamType::Int | ParamType::Double => Kind::Number,
            ParamType::String => Kind::Text,
            ParamType::List | ParamType::Map => Kind::Other,
            ParamType::Any => return None,
        })
    }

    /// Looks at the name of a parameter that is read.
    fn param(&mut self, name: &str, at: Position) {
        if self.params.open || self.params.fields.contains_key(name) {
            return;
        }
        let names: Vec<&str> = self.params.fields.keys().map(AsRef::as_ref).collect();
        let help = match nearest(name, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if names.is_empty() => "no parameters are defined here".to_owned(),
            None => format!("the parameters are: {}", names.join(", ")),
        };
        let message = format!("there is no parameter `{name}`");
        self.report(Code::UnknownReference, at, name, message, Some(help));
    }

    fn key(&mut self, map: &str, key: &str, at: Position) {
        if map == "params" {
            return self.param(key, at);
        }
        let Some(keys) = keys_of(map).filter(|keys| !keys.contains(&key)) else { return };
        let help = match nearest(key, keys.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("it has: {}", keys.join(", ")),
        };
        self.report(Code::UnknownReference, at, key, format!("`{map}` has no `{key}`"), Some(help));
    }

    fn arguments(&mut self, name: &str, args: &[Expr], handle: &Handle) {
        let takes = handle.members.iter().find_map(|member| match member.by {
            Use::Call(takes) if member.name == name && takes.len() == args.len() => Some(takes),
            _ => None,
        });
        for (takes, arg) in takes.into_iter().flatten().zip(args) {
            let Some((kind, at, spelt)) = written(arg) else { continue };
            let want = match *takes {
                "value" => continue,
                "status" => Kind::Number,
                _ => Kind::Text,
            };
            if kind != want {
                let message = format!("`{name}` takes {} for `{takes}`, not {}", want.name(), kind.name());
                self.wrong(&spelt, at, message, None);
            }
            if let (Expr::IntegerConstant(status, at), "status") = (arg, *takes)
                && !(400..600).contains(status)
            {
                let message = format!("the status of a denial is from 400 to 599, not {status}");
                self.report(Code::BadValue, *at, &status.to_string(), message, None);
            }
        }
    }
}
