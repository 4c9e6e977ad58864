//! What Rhai itself does not look at before it runs: names of functions, and members of the handles.

use crate::script_engine::{FORBIDDEN, functions};
use crate::script_surface::{Handle, Member, Use};
use crate::types::ParamTypes;
use rhai::{AST, ASTNode, Expr, Position, Stmt};
use std::collections::BTreeSet;
use weir_diagnostic::{Code, Diagnostic, Embedded, Span, nearest};
use weir_message::Verb;

/// Functions that are part of the language and in no package.
const KEYWORDS: &[&str] =
    &["Fn", "call", "curry", "is_shared", "is_def_fn", "is_def_var", "type_of", "print", "debug", "this"];

/// The place of `len` characters at a position of a text; the whole text where it has none.
pub(crate) fn span_at(text: &Embedded, position: Position, len: usize) -> Span {
    let all: &str = &text.text;
    let (Some(line), column) = (position.line(), position.position().unwrap_or(1)) else {
        return text.span_of(0..all.len());
    };
    let start: usize = all.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let rest = all.get(start..).unwrap_or("");
    let offset = rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(at, _)| at);
    let start = start + offset;
    let tail = all.get(start..).unwrap_or("");
    let len = tail.char_indices().nth(len).map_or(tail.len(), |(at, _)| at);
    text.span_of(start..start + len)
}

pub(crate) struct ScriptCheck<'c> {
    text: &'c Embedded,
    verb: Verb,
    pub(crate) params: &'c ParamTypes,
    ast: &'c AST,
    /// Names and numbers of arguments of the script's own functions.
    own: BTreeSet<(String, usize)>,
    /// Names that a map of the script holds, or that a variable has: they may be functions.
    loose: BTreeSet<String>,
    found: Vec<Diagnostic>,
    seen: BTreeSet<(String, usize, &'static str)>,
    /// Functions whose parameter is a handle, still to be looked at.
    next: Vec<(String, usize, usize, &'static Handle)>,
    pub(crate) reads: BTreeSet<String>,
}

impl<'c> ScriptCheck<'c> {
    pub(crate) fn new(text: &'c Embedded, verb: Verb, params: &'c ParamTypes, ast: &'c AST) -> Self {
        let own = ast.iter_functions().map(|f| (f.name.to_owned(), f.params.len())).collect();
        let mut check = Self {
            text,
            verb,
            params,
            ast,
            own,
            loose: BTreeSet::new(),
            found: Vec::new(),
            seen: BTreeSet::new(),
            next: Vec::new(),
            reads: BTreeSet::new(),
        };
        for f in ast.iter_functions() {
            check.loose.extend(f.params.iter().map(|param| (*param).to_owned()));
        }
        ast.walk(&mut |path| {
            check.gather(path);
            true
        });
        ast.walk(&mut |path| {
            check.calls(path);
            true
        });
        check
    }

    /// Looks at what a hook does with its handle, and at what it hands the handle to.
    pub(crate) fn hook(&mut self, handle: &'static Handle) {
        self.next.push((handle.hook.to_owned(), 1, 0, handle));
        while let Some((name, arity, place, handle)) = self.next.pop() {
            if !self.seen.insert((name.clone(), arity, handle.hook)) {
                continue;
            }
            let defined = self.ast.iter_functions().find(|f| f.name == name && f.params.len() == arity);
            let Some(param) = defined.and_then(|f| f.params.get(place).map(|param| (*param).to_owned()))
            else {
                continue;
            };
            // `clone_functions_only_filtered` keeps all functions where the tree it fills is empty (rhai 1.27).
            let mut alone = self.ast.clone_functions_only();
            alone.retain_functions(|_, _, have, n| have == name && n == arity);
            self.body(&alone, &param, handle);
        }
    }

    pub(crate) fn done(self) -> (Vec<Diagnostic>, BTreeSet<String>) {
        // A wrong member is found twice, by its name and by its handle: the handle knows more, and comes last.
        let mut kept: Vec<Diagnostic> = Vec::new();
        for found in self.found {
            kept.retain(|have| have.span != found.span);
            kept.push(found);
        }
        kept.sort_by_key(|found| found.span.map(|span| span.start));
        (kept, self.reads)
    }

    pub(crate) fn report(
        &mut self,
        code: Code,
        position: Position,
        name: &str,
        message: String,
        help: Option<String>,
    ) {
        let span = span_at(self.text, position, name.chars().count());
        let mut found = Diagnostic::new(code, message).at(span);
        found.help = help;
        if !self.found.contains(&found) {
            self.found.push(found);
        }
    }

    fn gather(&mut self, path: &[ASTNode<'_>]) {
        match path.last() {
            Some(ASTNode::Expr(Expr::Map(entries, _))) => {
                self.loose.extend(entries.0.iter().map(|(key, _)| key.name.to_string()));
            }
            Some(ASTNode::Stmt(Stmt::Var(var, ..))) => {
                self.loose.insert(var.0.name.to_string());
            }
            Some(ASTNode::Stmt(Stmt::For(each, _))) => {
                self.loose.insert(each.0.name.to_string());
            }
            Some(ASTNode::Stmt(Stmt::Assignment(assignment))) => {
                if let Expr::Dot(dot, ..) = &assignment.1.lhs
                    && let Expr::Property(property, _) = &dot.rhs
                {
                    self.loose.insert(property.2.to_string());
                }
            }
            _ => {}
        }
    }

    fn calls(&mut self, path: &[ASTNode<'_>]) {
        match path.last() {
            Some(
                ASTNode::Expr(Expr::FnCall(call, position)) | ASTNode::Stmt(Stmt::FnCall(call, position)),
            ) if call.op_token.is_none() => {
                self.call(&call.name, call.args.len(), *position, false);
            }
            Some(ASTNode::Expr(Expr::MethodCall(call, position))) => {
                self.call(&call.name, call.args.len() + 1, *position, true);
            }
            Some(ASTNode::Expr(Expr::Property(property, _))) => {
                self.reads.insert(property.2.to_string());
            }
            _ => {}
        }
    }

    fn call(&mut self, name: &str, arity: usize, position: Position, method: bool) {
        if FORBIDDEN.contains(&name) {
            let message = format!("`{name}` is not for policies");
            let help = Some("scripts have no clock, files, network or `eval`".to_owned());
            self.report(Code::UnknownReference, position, name, message, help);
            return;
        }
        if KEYWORDS.contains(&name) || name.starts_with("anon$") || self.loose.contains(name) {
            return;
        }
        let native = functions(self.verb);
        // A method of the script's own takes its target as `this`, not as an argument.
        let own_arity = arity - usize::from(method && arity > 0);
        if self.own.iter().any(|(have, args)| have == name && (*args == arity || *args == own_arity)) {
            return;
        }
        let what = if method { "method" } else { "function" };
        let takes: BTreeSet<usize> = native.get(name).into_iter().flatten().copied().collect();
        if takes.contains(&arity) {
            return;
        }
        let own: BTreeSet<usize> =
            self.own.iter().filter(|(have, _)| have == name).map(|(_, args)| *args).collect();
        if takes.is_empty() && own.is_empty() {
            // A member that exists, but not for this verb, is told by the look at the handles.
            let elsewhere =
                crate::script_surface::HANDLES.iter().flat_map(|h| h.members).any(|m| m.name == name);
            if method && elsewhere {
                return;
            }
            let names =
                native.keys().map(String::as_str).chain(self.own.iter().map(|(name, _)| name.as_str()));
            let names = names.filter(|name| name.starts_with(|c: char| c.is_ascii_alphabetic()));
            let help = nearest(name, names).map(|near| format!("did you mean `{near}`?"));
            self.report(Code::UnknownReference, position, name, format!("there is no {what} `{name}`"), help);
            return;
        }
        let all: Vec<String> =
            takes.union(&own).map(|n| n.saturating_sub(usize::from(method)).to_string()).collect();
        let have = arity.saturating_sub(usize::from(method));
        let message = format!("`{name}` does not take {have} argument{}", if have == 1 { "" } else { "s" });
        let help = Some(format!("it takes {}", all.join(" or ")));
        self.report(Code::TypeMismatch, position, name, message, help);
    }

    /// Looks at what one function does with its parameter, unless the name comes to mean something else in it.
    fn body(&mut self, alone: &AST, param: &str, handle: &'static Handle) {
        let mut shadowed = false;
        alone.walk(&mut |path| {
            shadowed |= match path.last() {
                Some(ASTNode::Stmt(Stmt::Var(var, ..))) => var.0.name == param,
                Some(ASTNode::Stmt(Stmt::For(each, _))) => each.0.name == param,
                Some(ASTNode::Stmt(Stmt::Assignment(assignment))) => is_variable(&assignment.1.lhs, param),
                _ => false,
            };
            !shadowed
        });
        if !shadowed {
            let mut copies = Vec::new();
            alone.walk(&mut |path| {
                if let Some(ASTNode::Stmt(Stmt::For(each, _))) = path.last()
                    && let Expr::Dot(dot, ..) = &each.2.expr
                    && is_variable(&dot.lhs, param)
                    && let Expr::Property(property, _) = &dot.rhs
                {
                    copies.push((each.0.name.to_string(), property.2.to_string()));
                }
                true
            });
            alone.walk(&mut |path| {
                self.member(path, param, handle);
                self.types(path, param, handle, &copies);
                true
            });
        }
    }

    fn member(&mut self, path: &[ASTNode<'_>], param: &str, handle: &'static Handle) {
        match path.last() {
            Some(ASTNode::Stmt(Stmt::Assignment(assignment))) => {
                if let Expr::Dot(dot, ..) = &assignment.1.lhs
                    && is_variable(&dot.lhs, param)
                    && let Expr::Property(property, position) = &dot.rhs
                {
                    self.used(handle, &property.2, *position, Wanted::Set);
                }
            }
            Some(ASTNode::Expr(Expr::Dot(dot, ..))) if is_variable(&dot.lhs, param) => {
                // `r.a.b` hangs to the right: the member of the handle is the leftmost of what follows.
                let mut first = &dot.rhs;
                while let Expr::Dot(inner, ..) | Expr::Index(inner, ..) = first {
                    first = &inner.lhs;
                }
                match first {
                    Expr::Property(property, position) => {
                        let set_only = matches!(
                            path.iter().rev().nth(1),
                            Some(ASTNode::Stmt(Stmt::Assignment(a))) if std::ptr::eq(expr_dot(&a.1.lhs), &**dot)
                        );
                        if !set_only {
                            self.used(handle, &property.2, *position, Wanted::Get);
                        }
                    }
                    Expr::MethodCall(call, position) => {
                        self.used(handle, &call.name, *position, Wanted::Call(call.args.len()));
                    }
                    _ => {}
                }
            }
            Some(ASTNode::Expr(Expr::FnCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _))) => {
                for (place, arg) in call.args.iter().enumerate() {
                    if is_variable(arg, param) {
                        self.next.push((call.name.to_string(), call.args.len(), place, handle));
                    }
                }
            }
            _ => {}
        }
    }

    fn used(&mut self, handle: &'static Handle, name: &str, position: Position, wanted: Wanted) {
        let named: Vec<&Member> = handle.members.iter().filter(|member| member.name == name).collect();
        let fits = |member: &&&Member| match (member.by, wanted) {
            (Use::Get, Wanted::Get) | (Use::Set, Wanted::Set) => true,
            (Use::Call(args), Wanted::Call(n)) => args.len() == n,
            _ => false,
        };
        match named.iter().find(fits) {
            Some(member) if member.needs.met_by(self.verb) => {}
            Some(member) => {
                let (spelt, verb) = (member.spelling(handle.letter), self.verb.name());
                let message = format!("`{spelt}` does not exist in a stage of the verb `{verb}`");
                let help = Some(format!("it exists for: {}", member.needs.name()));
                self.report(Code::UnknownReference, position, name, message, help);
            }
            None if named.is_empty() => {
                let own = self.own.iter().any(|(have, _)| have == name);
                // Functions of packages that take anything (`type_of`) are no members, but may be called as one.
                let anything = matches!(wanted, Wanted::Call(_)) && (own || KEYWORDS.contains(&name));
                if !anything {
                    let near = nearest(name, handle.members.iter().map(|member| member.name));
                    let help = match near {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => {
                            let mut all: Vec<&str> =
                                handle.members.iter().map(|member| member.name).collect();
                            all.dedup();
                            format!("it has: {}", all.join(", "))
                        }
                    };
                    let message = format!("the handle of `{}` has no `{name}`", handle.hook);
                    self.report(Code::UnknownReference, position, name, message, Some(help));
                }
            }
            None => {
                let ways: Vec<String> =
                    named.iter().map(|m| format!("`{}`", m.spelling(handle.letter))).collect();
                let message = match wanted {
                    Wanted::Get => format!("`{name}` cannot be read"),
                    Wanted::Set => format!("`{name}` cannot be set"),
                    Wanted::Call(_) => format!("`{name}` cannot be called so"),
                };
                let help = Some(format!("it is used as {}", ways.join(" or ")));
                self.report(Code::TypeMismatch, position, name, message, help);
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Wanted {
    Get,
    Set,
    Call(usize),
}

pub(crate) fn is_variable(expr: &Expr, name: &str) -> bool {
    matches!(expr, Expr::Variable(variable, ..) if variable.1.as_str() == name)
}

fn expr_dot(expr: &Expr) -> *const rhai::BinaryExpr {
    match expr {
        Expr::Dot(dot, ..) => &**dot,
        _ => std::ptr::null(),
    }
}
