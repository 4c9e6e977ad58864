//! What reads nothing of a request is worked out when the set is loaded: once for all requests, and told where it cannot be.

use crate::budget::Budget;
use crate::check::{Checker, Kind, Node};
use crate::eval::Eval;
use crate::fault::{FaultCause, Trouble};
use crate::memo::Memo;
use crate::object::Context;
use crate::token::At;
use crate::value::Value;
use crate::view::{Services, View};
use weir_diagnostic::Code;
use weir_message::{Dialect, Operation, Request};

impl Checker<'_> {
    /// What is made of constants alone is made once, when the set is loaded. Reports what cannot be made.
    pub(crate) fn folded(&mut self, node: Node) -> Node {
        let is_const = |node: &Node| matches!(node.kind, Kind::Const(_));
        let fixed = match &node.kind {
            Kind::Binary(_, a, b) | Kind::Index(a, b) => is_const(a) && is_const(b),
            Kind::Negate(inner) => is_const(inner),
            Kind::Call(_, args) => args.iter().all(is_const),
            _ => false,
        };
        if !fixed {
            return node;
        }
        match constant_value(&node) {
            Ok(Some(value)) => Node { at: node.at, kind: Kind::Const(value) },
            Ok(None) => node,
            Err((trouble, _)) => {
                let at = node.at.clone();
                self.never_works(&at, &trouble);
                Self::lost(&at).0
            }
        }
    }

    /// Reports what is a fault whatever the request.
    pub(crate) fn never_works(&mut self, at: &At, trouble: &Trouble) {
        let code = match trouble.cause {
            FaultCause::TooCostly => Code::TooCostly,
            FaultCause::Null | FaultCause::WrongType => Code::TypeMismatch,
            FaultCause::Missing | FaultCause::Overflow | FaultCause::BadValue => Code::BadValue,
        };
        self.report(code, at, format!("this cannot work: {}", trouble.message)).cause =
            Some("it reads nothing of a request, so it would be a fault each time".to_owned());
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

/// The value of a node that reads nothing of a request; `None` where it borrows.
///
/// # Errors
/// The fault that it is, and where.
pub(crate) fn constant_value(node: &Node) -> Result<Option<Value<'static>>, (Trouble, At)> {
    let request = Request::new("", Dialect::OpenAi, Operation::Chat, "");
    let view = View::new(&request, "", 0);
    let cx = Context { view: &view, services: &NoServices, budget: Budget::new(), memo: Memo::default() };
    Ok(match Eval::new(&cx).node(node).map_err(|stop| *stop)? {
        Value::Null => Some(Value::Null),
        Value::Bool(value) => Some(Value::Bool(value)),
        Value::Int(n) => Some(Value::Int(n)),
        Value::Uint(n) => Some(Value::Uint(n)),
        Value::Double(n) => Some(Value::Double(n)),
        Value::Text(text) => Some(Value::string(text.as_str())),
        Value::Timestamp(n) => Some(Value::Timestamp(n)),
        Value::Duration(n) => Some(Value::Duration(n)),
        _ => None,
    })
}
