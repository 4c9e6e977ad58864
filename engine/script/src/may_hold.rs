//! What is known of a condition before any request: which operations it can hold for.

use crate::Expression;
use crate::check::{Kind, Node};
use crate::parse::Operator;
use crate::value::{List, Value};
use weir_message::Operation;

/// What is known of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Truth {
    Holds,
    Fails,
    Open,
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Truth::Holds } else { Truth::Fails }
    }
}

impl Truth {
    fn not(self) -> Self {
        match self {
            Truth::Holds => Truth::Fails,
            Truth::Fails => Truth::Holds,
            Truth::Open => Truth::Open,
        }
    }
}

/// What is taken as given of a request.
#[derive(Clone, Copy)]
struct Given {
    operation: Option<Operation>,
    /// Whether `caller` is null; else nothing is known of it.
    anonymous: bool,
}

impl Expression {
    /// Whether it may hold for a request of this operation. What depends on more than the operation may.
    pub fn may_hold_for(&self, operation: Operation) -> bool {
        truth(self.root(), Given { operation: Some(operation), anonymous: false }) != Truth::Fails
    }

    /// Whether it holds for every request of this operation, as far as can be told before any.
    pub fn holds_for(&self, operation: Operation) -> bool {
        truth(self.root(), Given { operation: Some(operation), anonymous: false }) == Truth::Holds
    }

    /// Whether it may hold for a request of a caller whom nobody knows. What depends on more than that may.
    pub fn may_hold_without_caller(&self) -> bool {
        truth(self.root(), Given { operation: None, anonymous: true }) != Truth::Fails
    }
}

fn truth(node: &Node, given: Given) -> Truth {
    match &node.kind {
        Kind::Const(Value::Bool(value)) => (*value).into(),
        Kind::Not(inner) => truth(inner, given).not(),
        Kind::And(parts) => all(parts.iter().map(|part| truth(part, given)), Truth::Holds),
        Kind::Or(parts) => all(parts.iter().map(|part| truth(part, given)), Truth::Fails),
        Kind::If(condition, then, other) => match truth(condition, given) {
            Truth::Holds => truth(then, given),
            Truth::Fails => truth(other, given),
            Truth::Open => {
                let (then, other) = (truth(then, given), truth(other, given));
                if then == other { then } else { Truth::Open }
            }
        },
        Kind::Binary(Operator::Equal, a, b) => equal(a, b, given),
        Kind::Binary(Operator::NotEqual, a, b) => equal(a, b, given).not(),
        Kind::IsNull(inner, wanted) if given.anonymous && is_caller(inner) => (*wanted).into(),
        Kind::Binary(Operator::In, a, b) if is_operation(a) => match (&b.kind, given.operation) {
            (Kind::Const(Value::List(List::Values(items))), Some(operation)) => {
                let named = |item: &Value<'_>| item.as_str() == Some(operation.name());
                items.iter().any(named).into()
            }
            (Kind::List(items), _) => all(items.iter().map(|item| equal(a, item, given)), Truth::Fails),
            _ => Truth::Open,
        },
        _ => Truth::Open,
    }
}

/// `unit` if all parts are; its opposite if any part is that; open otherwise.
fn all(parts: impl Iterator<Item = Truth>, unit: Truth) -> Truth {
    let mut known = unit;
    for part in parts {
        if part == unit.not() {
            return part;
        }
        if part == Truth::Open {
            known = Truth::Open;
        }
    }
    known
}

fn equal(a: &Node, b: &Node, given: Given) -> Truth {
    let is = |text: &str| given.operation.map_or(Truth::Open, |operation| (text == operation.name()).into());
    match (&a.kind, &b.kind) {
        (_, Kind::Const(Value::Text(text))) if is_operation(a) => is(text.as_str()),
        (Kind::Const(Value::Text(text)), _) if is_operation(b) => is(text.as_str()),
        _ => Truth::Open,
    }
}

fn is_caller(node: &Node) -> bool {
    matches!(&node.kind, Kind::Root(root) if root.name == "caller")
}

fn is_operation(node: &Node) -> bool {
    matches!(&node.kind, Kind::Field(inner, field)
        if field.name == "operation" && matches!(&inner.kind, Kind::Root(root) if root.name == "request" || root.name == "original"))
}

#[cfg(test)]
mod tests {
    use crate::{Expect, Expression, HookKind, ParamTypes};
    use weir_diagnostic::{Embedded, SourceId};
    use weir_message::Operation;

    #[test]
    fn tells_the_operations_a_condition_can_hold_for() {
        let cases = [
            (r#"request.operation == "chat""#, true, false),
            (r#"request.operation != "chat""#, false, true),
            (r#"request.operation in ["chat", "completion"]"#, true, false),
            (r#"request.operation == "chat" && request.model == "m""#, true, false),
            (r#"request.operation == "chat" || request.model == "m""#, true, true),
            (r#"!(request.operation == "chat")"#, false, true),
            (r#"request.stream"#, true, true),
            (r#"request.stream ? request.operation == "chat" : request.operation == "chat""#, true, false),
        ];
        for (text, chat, embedding) in cases {
            let text = Embedded::whole(text, SourceId(0));
            let expression =
                Expression::compile(&text, HookKind::Match, Expect::Bool, &ParamTypes::none()).unwrap();
            let holds = |operation| expression.may_hold_for(operation);
            assert_eq!(
                (holds(Operation::Chat), holds(Operation::Embedding)),
                (chat, embedding),
                "{}",
                text.text
            );
        }
    }

    #[test]
    fn tells_what_only_known_callers_pass() {
        for (text, anyone) in [
            ("caller != null", false),
            ("caller != null && caller.team == \"x\"", false),
            ("!(caller == null) && request.stream", false),
            ("caller == null || request.stream", true),
            ("caller != null || request.stream", true),
            ("request.operation == \"chat\"", true),
        ] {
            let text = Embedded::whole(text, SourceId(0));
            let expression =
                Expression::compile(&text, HookKind::Match, Expect::Bool, &ParamTypes::none()).unwrap();
            assert_eq!(expression.may_hold_without_caller(), anyone, "{}", text.text);
        }
    }
}
