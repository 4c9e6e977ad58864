//! Which types go together.

use crate::object::ATTEMPT;
use crate::parse::Operator;
use crate::types::Type;

/// Whether a parameter of this type takes a value of that.
pub(crate) fn takes(want: Type, have: Type) -> bool {
    match (want, have) {
        (Type::Any, _) | (_, Type::Any) => true,
        (want, Type::Either(_)) => have.can(|one| takes(want, one)),
        (Type::List(a), Type::List(b)) | (Type::Map(a), Type::Map(b)) => takes(*a, *b),
        (a, b) => a == b,
    }
}

/// The type of an operation; `None` where it is none.
pub(crate) fn binary_type(operator: Operator, a: Type, b: Type) -> Option<Type> {
    use Type::{Any, Bool, Bytes, Double, Duration, Either, Int, List, Map, Object, String, Timestamp, Uint};
    if matches!(a, Either(_)) || matches!(b, Either(_)) {
        let (left, right) = (a.alternatives(), b.alternatives());
        let all = left.iter().flat_map(|a| right.iter().map(|b| binary_type(operator, *a, *b)));
        return all.flatten().reduce(Type::join);
    }
    let any = a == Any || b == Any;
    match operator {
        // Two objects have no equality: what would it compare?
        Operator::Equal | Operator::NotEqual => {
            (a.meets(b) && !matches!((a, b), (Object(_), Object(_)))).then_some(Bool)
        }
        Operator::Less | Operator::LessEqual | Operator::Greater | Operator::GreaterEqual => {
            let ordered = |t: Type| !matches!(t, Type::Null | List(_) | Map(_) | Object(_));
            (ordered(a) && ordered(b) && a.meets(b)).then_some(Bool)
        }
        Operator::In => match b {
            Any => Some(Bool),
            List(inside) => a.meets(*inside).then_some(Bool),
            Map(_) => matches!(a, Any | String | Int | Uint | Bool).then_some(Bool),
            _ => None,
        },
        Operator::Add => match (a, b) {
            (Int, Int) | (Uint, Uint) | (Double, Double) | (String, String) | (Bytes, Bytes) => Some(a),
            (List(x), List(y)) => Some(List(x.join(*y).forever())),
            (Timestamp, Duration) | (Duration, Timestamp) => Some(Timestamp),
            (Duration, Duration) => Some(Duration),
            _ if any => addable(a, b),
            _ => None,
        },
        Operator::Subtract => match (a, b) {
            (Int, Int) | (Uint, Uint) | (Double, Double) => Some(a),
            (Timestamp, Duration) => Some(Timestamp),
            (Timestamp, Timestamp) | (Duration, Duration) => Some(Duration),
            _ if any => addable(a, b)
                .filter(|_| !matches!((a, b), (String | Bytes | List(_), _) | (_, String | Bytes | List(_)))),
            _ => None,
        },
        Operator::Multiply | Operator::Divide => match (a, b) {
            (Int, Int) | (Uint, Uint) | (Double, Double) => Some(a),
            _ if any => [a, b].iter().all(|t| *t == Any || t.is_number()).then_some(Any),
            _ => None,
        },
        Operator::Modulo => match (a, b) {
            (Int, Int) | (Uint, Uint) => Some(a),
            _ if any => [a, b].iter().all(|t| matches!(t, Any | Int | Uint)).then_some(Any),
            _ => None,
        },
    }
}

fn addable(a: Type, b: Type) -> Option<Type> {
    let known = if a == Type::Any { b } else { a };
    (!matches!(known, Type::Bool | Type::Null | Type::Map(_) | Type::Object(_))).then_some(Type::Any)
}

/// What to write where two types do not go together.
pub(crate) fn type_help(a: Type, b: Type) -> Option<String> {
    let has = |t: Type| a == t || b == t;
    if [a, b].iter().any(|t| matches!(t, Type::Object(def) if def.name == "provider")) {
        return ATTEMPT
            .field("provider")
            .map(|_| "compare its name: `attempt.provider.name == \"…\"`".to_owned());
    }
    if has(Type::String) && (a.is_number() || b.is_number()) {
        return Some("convert one side: `int(x)` or `string(x)`".to_owned());
    }
    if a.is_number() && b.is_number() {
        return Some("both sides must be of one type: `double(x)`, `int(x)`".to_owned());
    }
    None
}
