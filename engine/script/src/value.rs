//! Values at run time. They borrow from the view as long as they can.

use crate::object::Object;
use http::HeaderMap;
use serde_json::Value as Json;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_message::{Attempt, Choice, Message, Params, StageTrace, Tool, ToolCall};

/// A text, borrowed from the view or shared.
#[derive(Clone, Debug)]
pub(crate) enum Text<'a> {
    Borrowed(&'a str),
    Shared(Arc<str>),
}

impl Text<'_> {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Text::Borrowed(text) => text,
            Text::Shared(text) => text,
        }
    }
}

/// A value.
#[derive(Clone, Debug)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Text<'a>),
    Bytes(Arc<[u8]>),
    /// Nanoseconds since 1970.
    Timestamp(i64),
    /// Nanoseconds.
    Duration(i64),
    List(List<'a>),
    Map(Map<'a>),
    Object(Object<'a>),
}

/// A list, made or borrowed.
#[derive(Clone, Debug)]
pub(crate) enum List<'a> {
    Values(Arc<[Value<'a>]>),
    Borrowed(&'a [Value<'a>]),
    Json(&'a [Json]),
    Names(&'a [Arc<str>]),
    Strings(&'a [String]),
    Messages(&'a [Message]),
    Tools(&'a [Tool]),
    Choices(&'a [Choice]),
    Attempts(&'a [Attempt]),
    Stages(&'a [StageTrace]),
    Upstream(&'a [crate::view::UpstreamCall]),
}

/// A map from keys to values, made or borrowed.
#[derive(Clone, Debug)]
pub(crate) enum Map<'a> {
    Values(Arc<[(Value<'a>, Value<'a>)]>),
    Json(&'a serde_json::Map<String, Json>),
    Tags(&'a BTreeMap<Arc<str>, Json>),
    Headers(&'a HeaderMap),
    Params(&'a Params),
    Facts(&'a [(&'static str, Json)]),
    Empty,
}

impl<'a> Value<'a> {
    pub(crate) fn str(text: &'a str) -> Self {
        Value::Text(Text::Borrowed(text))
    }

    pub(crate) fn string(text: impl Into<Arc<str>>) -> Self {
        Value::Text(Text::Shared(text.into()))
    }

    pub(crate) fn opt<T>(value: Option<T>, make: impl FnOnce(T) -> Value<'a>) -> Self {
        value.map_or(Value::Null, make)
    }

    pub(crate) fn uint_as_int(n: u64) -> Self {
        Value::Int(i64::try_from(n).unwrap_or(i64::MAX))
    }

    pub(crate) fn list(values: Vec<Value<'a>>) -> Self {
        Value::List(List::Values(values.into()))
    }

    pub(crate) fn tool_calls(calls: impl Iterator<Item = &'a ToolCall>) -> Self {
        Value::list(calls.map(|call| Value::Object(Object::ToolCall(call))).collect())
    }

    /// A JSON value, borrowed.
    pub(crate) fn json(json: &'a Json) -> Self {
        match json {
            Json::Array(list) => Value::List(List::Json(list)),
            Json::Object(map) => Value::Map(Map::Json(map)),
            Json::String(text) => Value::str(text),
            scalar => Value::json_scalar(scalar),
        }
    }

    /// A JSON value, taken over.
    pub(crate) fn json_owned(json: Json) -> Value<'static> {
        match json {
            Json::Array(list) => Value::list(list.into_iter().map(Value::json_owned).collect()),
            Json::Object(map) => Value::Map(Map::Values(
                map.into_iter().map(|(key, value)| (Value::string(key), Value::json_owned(value))).collect(),
            )),
            Json::String(text) => Value::string(text),
            scalar => Value::json_scalar(&scalar),
        }
    }

    fn json_scalar<'b>(json: &Json) -> Value<'b> {
        match json {
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(n), _) => Value::Int(n),
                (None, Some(n)) => Value::Uint(n),
                (None, None) => Value::Double(number.as_f64().unwrap_or(f64::NAN)),
            },
            _ => Value::Null,
        }
    }

    /// The same value, borrowed from this one: constants of a plan are read by all threads, so no count is touched.
    pub(crate) fn borrowed(&'a self) -> Value<'a> {
        match self {
            Value::Text(text) => Value::str(text.as_str()),
            Value::List(List::Values(list)) => Value::List(List::Borrowed(list)),
            other => other.clone(),
        }
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        }
    }

    /// What people call its type.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Uint(_) => "uint",
            Value::Double(_) => "double",
            Value::Text(_) => "string",
            Value::Bytes(_) => "bytes",
            Value::Timestamp(_) => "timestamp",
            Value::Duration(_) => "duration",
            Value::List(_) => "list",
            Value::Map(_) => "map",
            Value::Object(object) => object.def().name,
        }
    }

    /// Whether the values are equal: numbers by size, lists and maps by what they hold, all else only within one type.
    pub(crate) fn equals(&self, other: &Value<'a>) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::List(a), Value::List(b)) => {
                a.len() == b.len()
                    && (0..a.len()).all(|n| match (a.get(n), b.get(n)) {
                        (Some(a), Some(b)) => a.equals(&b),
                        _ => false,
                    })
            }
            (Value::Map(a), Value::Map(b)) => {
                a.len() == b.len()
                    && a.keys().iter().all(|key| match (a.get(key), b.get(key)) {
                        (Some(a), Some(b)) => a.equals(&b),
                        _ => false,
                    })
            }
            _ => self.compare(other) == Some(Ordering::Equal),
        }
    }

    /// The order of two values; `None` if they have none.
    pub(crate) fn compare(&self, other: &Value<'a>) -> Option<Ordering> {
        match (self, other) {
            (Value::Text(a), Value::Text(b)) => Some(a.as_str().cmp(b.as_str())),
            (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
            (Value::Bytes(a), Value::Bytes(b)) => Some(a.cmp(b)),
            (Value::Timestamp(a), Value::Timestamp(b)) | (Value::Duration(a), Value::Duration(b)) => {
                Some(a.cmp(b))
            }
            (Value::Double(a), _) => a.partial_cmp(&other.number()?),
            (_, Value::Double(b)) => self.number()?.partial_cmp(b),
            _ => Some(self.whole()?.cmp(&other.whole()?)),
        }
    }

    /// As a float, if it is a number.
    #[allow(clippy::cast_precision_loss, reason = "the language compares whole and broken numbers by size")]
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Value::Int(n) => Some(*n as f64),
            Value::Uint(n) => Some(*n as f64),
            Value::Double(n) => Some(*n),
            _ => None,
        }
    }

    fn whole(&self) -> Option<i128> {
        match self {
            Value::Int(n) => Some(i128::from(*n)),
            Value::Uint(n) => Some(i128::from(*n)),
            _ => None,
        }
    }

    /// A rough count of what a comparison with it would touch.
    pub(crate) fn weight(&self) -> u64 {
        match self {
            Value::List(list) => list.len() as u64,
            Value::Map(map) => map.len() as u64,
            Value::Text(text) => (text.as_str().len() / 256) as u64,
            Value::Bytes(bytes) => (bytes.len() / 256) as u64,
            _ => 0,
        }
    }
}

impl<'a> List<'a> {
    pub(crate) fn len(&self) -> usize {
        match self {
            List::Values(list) => list.len(),
            List::Borrowed(list) => list.len(),
            List::Json(list) => list.len(),
            List::Names(list) => list.len(),
            List::Strings(list) => list.len(),
            List::Messages(list) => list.len(),
            List::Tools(list) => list.len(),
            List::Choices(list) => list.len(),
            List::Attempts(list) => list.len(),
            List::Stages(list) => list.len(),
            List::Upstream(list) => list.len(),
        }
    }

    pub(crate) fn get(&self, n: usize) -> Option<Value<'a>> {
        Some(match self {
            List::Values(list) => list.get(n)?.clone(),
            List::Borrowed(list) => list.get(n)?.borrowed(),
            List::Json(list) => Value::json(list.get(n)?),
            List::Names(list) => Value::str(list.get(n)?),
            List::Strings(list) => Value::str(list.get(n)?),
            List::Messages(list) => Value::Object(Object::Message(list.get(n)?)),
            List::Tools(list) => Value::Object(Object::Tool(list.get(n)?)),
            List::Choices(list) => Value::Object(Object::Choice(list.get(n)?)),
            List::Attempts(list) => Value::Object(Object::Attempt(list.get(n)?)),
            List::Stages(list) => Value::Object(Object::Stage(list.get(n)?)),
            List::Upstream(list) => Value::Object(Object::Upstream(list.get(n)?)),
        })
    }
}

/// Headers whose values are credentials: expressions and scripts see `…`.
const CREDENTIALS: &[&str] = &[
    "authorization",
    "proxy-authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "cookie",
    "set-cookie",
    "x-amz-security-token",
];

/// What a policy sees of a header's values, joined as HTTP joins them (RFC 9110, 5.3).
pub(crate) fn header(headers: &HeaderMap, name: &str) -> Option<Arc<str>> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    if CREDENTIALS.iter().any(|secret| name.eq_ignore_ascii_case(secret)) {
        return Some(Arc::from("…"));
    }
    let mut out = String::from_utf8_lossy(first.as_bytes()).into_owned();
    for value in values {
        out.push_str(", ");
        out.push_str(&String::from_utf8_lossy(value.as_bytes()));
    }
    Some(out.into())
}

impl<'a> Map<'a> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Map::Values(map) => map.len(),
            Map::Json(map) => map.len(),
            Map::Tags(map) => map.len(),
            Map::Headers(map) => map.keys_len(),
            Map::Params(map) => map.0.len(),
            Map::Facts(map) => map.len(),
            Map::Empty => 0,
        }
    }

    pub(crate) fn get(&self, key: &Value<'_>) -> Option<Value<'a>> {
        if let Map::Values(map) = self {
            return map
                .iter()
                .find(|(have, _)| match (have, key) {
                    (Value::Text(a), Value::Text(b)) => a.as_str() == b.as_str(),
                    (Value::Bool(a), Value::Bool(b)) => a == b,
                    _ => have.whole().is_some() && have.whole() == key.whole(),
                })
                .map(|(_, value)| value.clone());
        }
        self.named(key.as_str()?)
    }

    pub(crate) fn named(&self, key: &str) -> Option<Value<'a>> {
        match self {
            Map::Values(map) => {
                map.iter().find(|(have, _)| have.as_str() == Some(key)).map(|(_, value)| value.clone())
            }
            Map::Json(map) => map.get(key).map(Value::json),
            Map::Tags(map) => map.get(key).map(Value::json),
            Map::Headers(map) => {
                let mut values = map.get_all(key).iter();
                match (values.next()?.to_str(), values.next()) {
                    // The common case borrows: one value, plain text, no credential.
                    (Ok(text), None)
                        if !CREDENTIALS.iter().any(|secret| key.eq_ignore_ascii_case(secret)) =>
                    {
                        Some(Value::str(text))
                    }
                    _ => header(map, key).map(Value::string),
                }
            }
            Map::Params(params) => {
                params.get(key).and_then(|json| serde_json::from_str(json).ok()).map(Value::json_owned)
            }
            Map::Facts(facts) => {
                facts.iter().find(|(name, _)| *name == key).map(|(_, value)| Value::json(value))
            }
            Map::Empty => None,
        }
    }

    pub(crate) fn keys(&self) -> Vec<Value<'a>> {
        match self {
            Map::Values(map) => map.iter().map(|(key, _)| key.clone()).collect(),
            Map::Json(map) => map.keys().map(|key| Value::str(key)).collect(),
            Map::Tags(map) => map.keys().map(|key| Value::str(key)).collect(),
            Map::Headers(map) => map.keys().map(|key| Value::str(key.as_str())).collect(),
            Map::Params(params) => params.0.iter().map(|param| Value::str(&param.name)).collect(),
            Map::Facts(facts) => facts.iter().map(|(name, _)| Value::str(name)).collect(),
            Map::Empty => Vec::new(),
        }
    }
}
