//! Calls: functions by name, form and the types that they take; patterns compiled.

use crate::check::{Checker, Kind, Node, Typed};
use crate::check_types::takes;
use crate::function::{FUNCTIONS, Form, Function, named};
use crate::function_text::Pattern;
use crate::object::LIMITS;
use crate::parse::{Expr, ExprKind, Name};
use crate::reads::Reads;
use crate::root::root;
use crate::token::At;
use crate::types::Type;
use crate::value::Value;
use weir_diagnostic::{Code, nearest};

impl Checker<'_> {
    pub(crate) fn call(&mut self, target: Option<&Expr>, name: &Name, args: &[Expr], at: At) -> Typed {
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
        let told = self.found.len();
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
        let node = Node { at, kind: Kind::Call(first, nodes) };
        // A text that is none of what the function takes was told in its own words.
        let is_told = self.found.len() > told;
        (if first.reads == Reads::NONE && !is_told { self.folded(node) } else { node }, ty)
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
                (Node { at, kind: Kind::Lost }, Type::Bool)
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
