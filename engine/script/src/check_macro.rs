//! CEL's macros: `has` and the loops, checked as what they are and never expanded.

use crate::check::{Checker, Fold, Kind, LOOPS, Node, Typed};
use crate::parse::{Expr, ExprKind, Name};
use crate::token::At;
use crate::types::Type;
use weir_diagnostic::Code;

impl Checker<'_> {
    /// The node of a macro; `None` if the call is none.
    pub(crate) fn macro_call(
        &mut self,
        target: Option<&Expr>,
        name: &Name,
        args: &[Expr],
        at: &At,
    ) -> Option<Typed> {
        let fold = match (target, name.text.as_str(), args.len()) {
            (None, "has", 1) => return args.first().map(|arg| self.has(arg, at)),
            (None, "has", _) => {
                self.mismatch(at, "`has` takes one field: `has(caller.team)`");
                return Some(Self::lost(at));
            }
            (Some(_), "all", 2) => Fold::All,
            (Some(_), "exists", 2) => Fold::Exists,
            (Some(_), "exists_one" | "existsOne", 2) => Fold::ExistsOne,
            (Some(_), "map", 2 | 3) => Fold::Map,
            (Some(_), "filter", 2) => Fold::Filter,
            (Some(_), name @ ("all" | "exists" | "exists_one" | "existsOne" | "map" | "filter"), _) => {
                self.mismatch(at, format!("`{name}` takes a name and an expression: `list.{name}(item, …)`"));
                return Some(Self::lost(at));
            }
            _ => return None,
        };
        let target = target?;
        let (variable, rest) = args.split_first()?;
        let ExprKind::Ident(variable) = &variable.kind else {
            self.mismatch(&variable.at, "the first argument is a name for the item");
            return Some(Self::lost(at));
        };
        let (range, ty) = self.node(target);
        let item = match ty {
            Type::List(inside) => *inside,
            Type::Map(_) => Type::String,
            Type::Any => Type::Any,
            Type::Either(_) if ty.can(|one| matches!(one, Type::List(_) | Type::Map(_))) => Type::Any,
            other => {
                self.mismatch(&target.at, format!("{other:#} cannot be looped over"));
                Type::Any
            }
        };
        if self.locals.len() == LOOPS {
            self.report(Code::TooCostly, &name.at, format!("more than {LOOPS} loops stand in each other"))
                .help = Some("what needs more belongs into a stage of its own".to_owned());
            return Some(Self::lost(at));
        }
        self.locals.push((variable.clone(), item));
        let (body, filter, ty) = match (fold, rest) {
            (Fold::Map, [body]) => {
                let (body, inside) = self.node(body);
                (body, None, Type::List(inside.forever()))
            }
            (Fold::Map, [filter, body]) => {
                let filter =
                    self.wants(filter, Type::Bool, "`map` with three arguments filters by the second");
                let (body, inside) = self.node(body);
                (body, Some(Box::new(filter)), Type::List(inside.forever()))
            }
            (_, [body, ..]) => {
                let why = format!("`{}` tests each item", name.text);
                let body = self.wants(body, Type::Bool, &why);
                (body, None, if fold == Fold::Filter { Type::List(item.forever()) } else { Type::Bool })
            }
            (_, []) => {
                self.locals.pop();
                return Some(Self::lost(at));
            }
        };
        self.locals.pop();
        Some((Node { at: at.clone(), kind: Kind::Fold(fold, Box::new(range), Box::new(body), filter) }, ty))
    }

    fn has(&mut self, arg: &Expr, at: &At) -> Typed {
        if !matches!(arg.kind, ExprKind::Select(..) | ExprKind::Index(..)) {
            self.mismatch(
                &arg.at,
                "`has` takes a field: `has(caller.team)`, `has(request.headers[\"x-team\"])`",
            );
            return Self::lost(at);
        }
        let outer = std::mem::replace(&mut self.in_has, true);
        let (node, _) = self.node(arg);
        self.in_has = outer;
        (Node { at: at.clone(), kind: Kind::Has(Box::new(node)) }, Type::Bool)
    }
}
