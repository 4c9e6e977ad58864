//! The evaluator: walks a checked tree over borrowed values, counting its work.

use crate::check::{Fold, Kind, Node};
use crate::fault::{FaultCause, Trouble};
use crate::object::Context;
use crate::parse::Operator;
use crate::token::At;
use crate::types::article;
use crate::value::{List, Map, Value};
use std::cmp::Ordering;

/// A fault on its way out, with the place of the node that gave it. Boxed: the common result stays small.
pub(crate) type Stop = Box<(Trouble, At)>;
type Step<'a> = Result<Value<'a>, Stop>;

/// One evaluation.
pub(crate) struct Eval<'e, 'a> {
    cx: &'e Context<'a>,
    locals: Vec<Value<'a>>,
}

fn trouble(cause: FaultCause, message: impl Into<std::borrow::Cow<'static, str>>) -> Trouble {
    Trouble::new(cause, message)
}

impl<'e, 'a> Eval<'e, 'a> {
    pub(crate) fn new(cx: &'e Context<'a>) -> Self {
        Self { cx, locals: Vec::new() }
    }

    pub(crate) fn node<'n: 'a>(&mut self, node: &'n Node) -> Step<'a> {
        let stop = |trouble: Trouble| Box::new((trouble, node.at.clone()));
        self.cx.budget.spend(1).map_err(stop)?;
        match &node.kind {
            Kind::Const(value) => Ok(value.borrowed()),
            // No expression with a finding is ever asked.
            Kind::Lost => Ok(Value::Null),
            Kind::Root(root) => Ok((root.read)(self.cx)),
            Kind::Local(place) => Ok(self.locals.get(*place).cloned().unwrap_or(Value::Null)),
            Kind::Field(target, field) => match self.node(target)? {
                Value::Object(object) => Ok((field.read)(object, self.cx)),
                other => Err(stop(no_field(&other, field.name))),
            },
            Kind::Member(target, name) => {
                let target = self.node(target)?;
                self.member(&target, name).map_err(stop)
            }
            Kind::Index(target, index) => {
                let (target, index) = (self.node(target)?, self.node(index)?);
                self.index(&target, &index).map_err(stop)
            }
            Kind::Has(inner) => match self.node(inner) {
                Ok(value) => Ok(Value::Bool(!matches!(value, Value::Null))),
                Err(fault) if matches!(fault.0.cause, FaultCause::Null | FaultCause::Missing) => {
                    Ok(Value::Bool(false))
                }
                Err(fault) => Err(fault),
            },
            Kind::IsNull(inner, is) => Ok(Value::Bool(matches!(self.node(inner)?, Value::Null) == *is)),
            Kind::Not(inner) => Ok(Value::Bool(!self.condition(inner)?)),
            Kind::Negate(inner) => match self.node(inner)? {
                Value::Int(n) => n.checked_neg().map(Value::Int).ok_or_else(|| stop(overflow())),
                Value::Double(n) => Ok(Value::Double(-n)),
                other => Err(stop(wrong_type("a number", &other))),
            },
            Kind::Binary(operator, left, right) => self.binary(*operator, left, right, &node.at),
            Kind::And(list) => self.settle(list, false),
            Kind::Or(list) => self.settle(list, true),
            Kind::If(condition, yes, no) => {
                let branch = if self.condition(condition)? { yes } else { no };
                self.node(branch)
            }
            Kind::List(nodes) => {
                let values = nodes.iter().map(|node| self.node(node)).collect::<Result<Vec<_>, _>>()?;
                Ok(Value::list(values))
            }
            Kind::Map(nodes) => {
                let mut entries: Vec<(Value<'a>, Value<'a>)> = Vec::with_capacity(nodes.len());
                for (key, value) in nodes {
                    let key_value = self.node(key)?;
                    if !matches!(key_value, Value::Text(_) | Value::Int(_) | Value::Uint(_) | Value::Bool(_))
                    {
                        return Err(Box::new((wrong_type("a key", &key_value), key.at.clone())));
                    }
                    if entries.iter().any(|(have, _)| have.equals(&key_value)) {
                        return Err(Box::new((
                            trouble(FaultCause::BadValue, "a key stands twice in a map"),
                            key.at.clone(),
                        )));
                    }
                    entries.push((key_value, self.node(value)?));
                }
                Ok(Value::Map(Map::Values(entries.into())))
            }
            Kind::Call(function, nodes) => {
                let mut args = [const { Value::Null }; 4];
                for (place, node) in args.iter_mut().zip(nodes) {
                    *place = self.node(node)?;
                }
                (function.run)(self.cx, args.get(..nodes.len()).unwrap_or(&args)).map_err(stop)
            }
            Kind::Matches(text, pattern) => match self.node(text)? {
                Value::Text(text) => pattern.is_match(self.cx, text.as_str()).map(Value::Bool).map_err(stop),
                other => Err(stop(wrong_type("a string", &other))),
            },
            Kind::Fold(fold, range, body, filter) => {
                self.fold(*fold, range, body, filter.as_deref(), &node.at)
            }
        }
    }

    fn condition<'n: 'a>(&mut self, node: &'n Node) -> Result<bool, Stop> {
        match self.node(node)? {
            Value::Bool(value) => Ok(value),
            other => Err(Box::new((wrong_type("a bool", &other), node.at.clone()))),
        }
    }

    /// `&&` and `||`: a side that settles it settles it, even if the other is a fault.
    fn settle<'n: 'a>(&mut self, list: &'n [Node], settles: bool) -> Step<'a> {
        let mut fault = None;
        for node in list {
            match self.condition(node) {
                Ok(value) if value == settles => return Ok(Value::Bool(settles)),
                Ok(_) => {}
                Err(stop) if stop.0.cause == FaultCause::TooCostly => return Err(stop),
                Err(stop) => fault = fault.or(Some(stop)),
            }
        }
        fault.map_or(Ok(Value::Bool(!settles)), Err)
    }

    fn member(&self, target: &Value<'a>, name: &str) -> Result<Value<'a>, Trouble> {
        match target {
            Value::Object(object) => match object.def().field(name) {
                Some(field) => Ok((field.read)(*object, self.cx)),
                None => Err(trouble(FaultCause::Missing, format!("there is no field `{name}`"))),
            },
            Value::Map(map) => {
                if let Map::Params(params) = map {
                    self.cx.budget.spend(params.get(name).map_or(0, |json| json.len() as u64 / 4))?;
                }
                let missing = || match map {
                    Map::Headers(_) => trouble(
                        FaultCause::Missing,
                        format!(
                            "the header `{name}` is not there; ask first: `\"{name}\" in request.headers && …`"
                        ),
                    ),
                    _ => trouble(FaultCause::Missing, format!("there is no `{name}`")),
                };
                map.named(name).ok_or_else(missing)
            }
            other => Err(no_field(other, name)),
        }
    }

    fn index(&self, target: &Value<'a>, index: &Value<'a>) -> Result<Value<'a>, Trouble> {
        let missing = || trouble(FaultCause::Missing, "there is no such item");
        match (target, index) {
            (Value::Map(_), Value::Text(key)) => self.member(target, key.as_str()),
            (Value::Map(map), key) => map.get(key).ok_or_else(missing),
            (Value::List(list), Value::Int(n)) => {
                usize::try_from(*n).ok().and_then(|n| list.get(n)).ok_or_else(missing)
            }
            (Value::List(list), Value::Uint(n)) => {
                usize::try_from(*n).ok().and_then(|n| list.get(n)).ok_or_else(missing)
            }
            (Value::Null, _) => Err(trouble(FaultCause::Null, "an item of null was read")),
            (target, index) => Err(trouble(
                FaultCause::WrongType,
                format!("{} is no place in {}", article(index.kind()), article(target.kind())),
            )),
        }
    }

    fn binary<'n: 'a>(&mut self, operator: Operator, left: &'n Node, right: &'n Node, at: &At) -> Step<'a> {
        let (a, b) = (self.node(left)?, self.node(right)?);
        let stop = |trouble: Trouble| Box::new((trouble, at.clone()));
        if matches!(a, Value::Null) || matches!(b, Value::Null) {
            return Err(stop(trouble(
                FaultCause::Null,
                format!("null stands beside `{}`; test it first with `!= null` or `has(…)`", operator.sign()),
            )));
        }
        self.cx.budget.spend(a.weight().min(b.weight())).map_err(stop)?;
        let ordered = |want: fn(Ordering) -> bool| match (&a, &b) {
            // Not-a-number compares with nothing and is no fault.
            _ if a.number().is_some() && b.number().is_some() => {
                Ok(Value::Bool(a.compare(&b).is_some_and(want)))
            }
            _ => match a.compare(&b) {
                Some(order) => Ok(Value::Bool(want(order))),
                None => Err(stop(no_match(operator, &a, &b))),
            },
        };
        match operator {
            Operator::Equal => Ok(Value::Bool(a.equals(&b))),
            Operator::NotEqual => Ok(Value::Bool(!a.equals(&b))),
            Operator::Less => ordered(Ordering::is_lt),
            Operator::LessEqual => ordered(Ordering::is_le),
            Operator::Greater => ordered(Ordering::is_gt),
            Operator::GreaterEqual => ordered(Ordering::is_ge),
            Operator::In => self.within(&a, &b).map_err(stop),
            _ => self.arithmetic(operator, a, b).map_err(stop),
        }
    }

    fn within(&self, item: &Value<'a>, list: &Value<'a>) -> Result<Value<'a>, Trouble> {
        match list {
            Value::List(List::Borrowed(list)) => {
                self.cx.budget.spend(list.len() as u64 / 4)?;
                Ok(Value::Bool(list.iter().any(|one| one.equals(item))))
            }
            Value::List(list) => {
                for n in 0..list.len() {
                    self.cx.budget.spend(1)?;
                    if list.get(n).is_some_and(|one| one.equals(item)) {
                        return Ok(Value::Bool(true));
                    }
                }
                Ok(Value::Bool(false))
            }
            Value::Map(map) => Ok(Value::Bool(match (map, item) {
                (Map::Headers(headers), Value::Text(name)) => headers.contains_key(name.as_str()),
                (Map::Params(params), Value::Text(name)) => params.get(name.as_str()).is_some(),
                _ => map.get(item).is_some(),
            })),
            other => Err(no_match(Operator::In, item, other)),
        }
    }

    fn arithmetic(&self, operator: Operator, a: Value<'a>, b: Value<'a>) -> Result<Value<'a>, Trouble> {
        use Operator::{Add, Divide, Modulo, Multiply, Subtract};
        use Value::{Double, Duration, Int, Timestamp, Uint};
        let whole = |n: Option<i64>| n.map(Int).ok_or_else(overflow);
        match (operator, a, b) {
            (Divide | Modulo, _, Int(0) | Uint(0)) => Err(trouble(FaultCause::Overflow, "division by zero")),
            (Add, Int(a), Int(b)) => whole(a.checked_add(b)),
            (Subtract, Int(a), Int(b)) => whole(a.checked_sub(b)),
            (Multiply, Int(a), Int(b)) => whole(a.checked_mul(b)),
            (Divide, Int(a), Int(b)) => whole(a.checked_div(b)),
            (Modulo, Int(a), Int(b)) => whole(a.checked_rem(b)),
            (Add, Uint(a), Uint(b)) => a.checked_add(b).map(Uint).ok_or_else(overflow),
            (Subtract, Uint(a), Uint(b)) => a.checked_sub(b).map(Uint).ok_or_else(overflow),
            (Multiply, Uint(a), Uint(b)) => a.checked_mul(b).map(Uint).ok_or_else(overflow),
            (Divide, Uint(a), Uint(b)) => a.checked_div(b).map(Uint).ok_or_else(overflow),
            (Modulo, Uint(a), Uint(b)) => a.checked_rem(b).map(Uint).ok_or_else(overflow),
            (Add, Double(a), Double(b)) => Ok(Double(a + b)),
            (Subtract, Double(a), Double(b)) => Ok(Double(a - b)),
            (Multiply, Double(a), Double(b)) => Ok(Double(a * b)),
            (Divide, Double(a), Double(b)) => Ok(Double(a / b)),
            (Add, Timestamp(a), Duration(b)) | (Add, Duration(a), Timestamp(b)) => {
                a.checked_add(b).map(Timestamp).ok_or_else(overflow)
            }
            (Subtract, Timestamp(a), Duration(b)) => a.checked_sub(b).map(Timestamp).ok_or_else(overflow),
            (Subtract, Timestamp(a), Timestamp(b)) | (Subtract, Duration(a), Duration(b)) => {
                a.checked_sub(b).map(Duration).ok_or_else(overflow)
            }
            (Add, Duration(a), Duration(b)) => a.checked_add(b).map(Duration).ok_or_else(overflow),
            (Add, Value::Text(a), Value::Text(b)) => {
                let (a, b) = (a.as_str(), b.as_str());
                self.text_of(a.len() + b.len())?;
                Ok(Value::string(format!("{a}{b}")))
            }
            (Add, Value::Bytes(a), Value::Bytes(b)) => {
                self.text_of(a.len() + b.len())?;
                Ok(Value::Bytes([&*a, &*b].concat().into()))
            }
            (Add, Value::List(a), Value::List(b)) => {
                self.cx.budget.spend((a.len() + b.len()) as u64)?;
                let items = |list: &List<'a>| (0..list.len()).filter_map(|n| list.get(n)).collect::<Vec<_>>();
                let mut all = items(&a);
                all.extend(items(&b));
                Ok(Value::list(all))
            }
            (operator, a, b) => Err(no_match(operator, &a, &b)),
        }
    }

    fn text_of(&self, len: usize) -> Result<(), Trouble> {
        if len > crate::budget::LONGEST_TEXT {
            return Err(Trouble::costly());
        }
        self.cx.budget.scan(len, 256)
    }

    fn fold<'n: 'a>(
        &mut self,
        fold: Fold,
        range: &'n Node,
        body: &'n Node,
        filter: Option<&'n Node>,
        at: &At,
    ) -> Step<'a> {
        let list = match self.node(range)? {
            Value::List(list) => list,
            Value::Map(map) => List::Values(map.keys().into()),
            other => return Err(Box::new((wrong_type("a list", &other), range.at.clone()))),
        };
        let mut kept = Vec::new();
        let mut fault = None;
        let mut count = 0u64;
        for n in 0..list.len() {
            let Some(item) = list.get(n) else { break };
            self.cx.budget.spend(2).map_err(|trouble| Box::new((trouble, at.clone())))?;
            let keep = matches!(fold, Fold::Filter).then(|| item.clone());
            self.locals.push(item);
            let wanted = filter.map_or(Ok(true), |filter| self.condition(filter));
            let result = match (&wanted, fold) {
                (Ok(true), Fold::Map) => self.node(body).map(Some),
                (Ok(true), _) => self.condition(body).map(|value| Some(Value::Bool(value))),
                _ => Ok(None),
            };
            self.locals.pop();
            let result = wanted.and(result);
            match (fold, result) {
                (Fold::Map, Ok(Some(value))) => kept.push(value),
                (Fold::Filter, Ok(Some(Value::Bool(true)))) => kept.extend(keep),
                (Fold::ExistsOne, Ok(Some(Value::Bool(true)))) => count += 1,
                (Fold::All, Ok(Some(Value::Bool(false)))) => return Ok(Value::Bool(false)),
                (Fold::Exists, Ok(Some(Value::Bool(true)))) => return Ok(Value::Bool(true)),
                (_, Ok(_)) => {}
                (Fold::All | Fold::Exists, Err(stop)) if stop.0.cause != FaultCause::TooCostly => {
                    fault = fault.or(Some(stop));
                }
                (_, Err(stop)) => return Err(stop),
            }
        }
        match (fold, fault) {
            (_, Some(stop)) => Err(stop),
            (Fold::All, None) => Ok(Value::Bool(true)),
            (Fold::Exists, None) => Ok(Value::Bool(false)),
            (Fold::ExistsOne, None) => Ok(Value::Bool(count == 1)),
            (Fold::Map | Fold::Filter, None) => Ok(Value::list(kept)),
        }
    }
}

fn overflow() -> Trouble {
    trouble(FaultCause::Overflow, "the number does not fit")
}

fn wrong_type(want: &str, have: &Value<'_>) -> Trouble {
    let cause = if matches!(have, Value::Null) { FaultCause::Null } else { FaultCause::WrongType };
    trouble(cause, format!("{want} is needed and this is {}", article(have.kind())))
}

fn no_field(have: &Value<'_>, name: &str) -> Trouble {
    match have {
        Value::Null => trouble(FaultCause::Null, format!("`{name}` of null was read")),
        other => trouble(FaultCause::WrongType, format!("{} has no field `{name}`", article(other.kind()))),
    }
}

fn no_match(operator: Operator, a: &Value<'_>, b: &Value<'_>) -> Trouble {
    trouble(
        FaultCause::WrongType,
        format!("`{}` does not take {} and {}", operator.sign(), article(a.kind()), article(b.kind())),
    )
}
