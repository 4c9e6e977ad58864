//! The types of the view and of expressions over it.

use crate::object::ObjectDef;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// What the place of an expression needs it to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// A condition.
    Bool,
    /// A text.
    String,
    /// A number of any kind.
    Number,
    /// Anything (a key, a value to set).
    Any,
}

/// The type of a policy's parameter, as far as it is known at load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamType {
    /// Not known.
    Any,
    /// `true` or `false`.
    Bool,
    /// A whole or a broken number.
    Number,
    /// A text.
    String,
    /// A list.
    List,
    /// A mapping.
    Map,
}

/// The parameters that `params` has where an expression stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParamTypes {
    /// Name and type of each.
    pub fields: BTreeMap<Arc<str>, ParamType>,
    /// Whether there may be others (a library's stage read on its own).
    pub open: bool,
}

impl ParamTypes {
    /// No parameters: reading any is an error.
    pub fn none() -> Self {
        Self::default()
    }

    /// Parameters that are not known: any may be read.
    pub fn unknown() -> Self {
        Self { fields: BTreeMap::new(), open: true }
    }

    /// Adds one.
    #[must_use]
    pub fn with(mut self, name: impl Into<Arc<str>>, param: ParamType) -> Self {
        self.fields.insert(name.into(), param);
        self
    }
}

/// A type as the checker knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Type {
    /// Not known before run time.
    Any,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Timestamp,
    Duration,
    List(&'static Type),
    /// Text keys to values.
    Map(&'static Type),
    Object(&'static ObjectDef),
}

impl PartialEq for Type {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Type::List(a), Type::List(b)) | (Type::Map(a), Type::Map(b)) => a == b,
            (Type::Object(a), Type::Object(b)) => a.name == b.name,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

impl Type {
    pub(crate) fn is_number(self) -> bool {
        matches!(self, Type::Int | Type::Uint | Type::Double)
    }

    /// Whether values of the two types can ever be equal. Null compares with all: optional fields have the type of what
    /// they hold.
    pub(crate) fn meets(self, other: Type) -> bool {
        match (self, other) {
            (Type::Any | Type::Null, _) | (_, Type::Any | Type::Null) => true,
            (a, b) if a.is_number() && b.is_number() => true,
            (Type::List(a), Type::List(b)) | (Type::Map(a), Type::Map(b)) => a.meets(*b),
            (a, b) => a == b,
        }
    }

    /// The type of both, `Any` if they differ.
    pub(crate) fn join(self, other: Type) -> Type {
        if self == other { self } else { Type::Any }
    }

    /// The same as a reference that lives for ever, for the inside of a list; nested lists lose their inside.
    pub(crate) fn forever(self) -> &'static Type {
        match self {
            Type::Bool => &Type::Bool,
            Type::Int => &Type::Int,
            Type::Uint => &Type::Uint,
            Type::Double => &Type::Double,
            Type::String => &Type::String,
            Type::Bytes => &Type::Bytes,
            Type::Timestamp => &Type::Timestamp,
            Type::Duration => &Type::Duration,
            Type::List(_) => &Type::List(&Type::Any),
            Type::Map(_) => &Type::Map(&Type::Any),
            Type::Object(def) => def.as_type(),
            Type::Any | Type::Null => &Type::Any,
        }
    }
}

impl From<ParamType> for Type {
    fn from(param: ParamType) -> Type {
        match param {
            // A number may be whole or broken, so its exact type is not known.
            ParamType::Any | ParamType::Number => Type::Any,
            ParamType::Bool => Type::Bool,
            ParamType::String => Type::String,
            ParamType::List => Type::List(&Type::Any),
            ParamType::Map => Type::Map(&Type::Any),
        }
    }
}

/// The word for a kind of value with its article.
pub(crate) fn article(kind: &str) -> String {
    match kind {
        "null" => kind.to_owned(),
        _ if kind.starts_with(['a', 'e', 'i', 'o']) => format!("an {kind}"),
        _ => format!("a {kind}"),
    }
}

impl Type {
    fn name(self) -> String {
        match self {
            Type::Any => "any".to_owned(),
            Type::Null => "null".to_owned(),
            Type::Bool => "bool".to_owned(),
            Type::Int => "int".to_owned(),
            Type::Uint => "uint".to_owned(),
            Type::Double => "double".to_owned(),
            Type::String => "string".to_owned(),
            Type::Bytes => "bytes".to_owned(),
            Type::Timestamp => "timestamp".to_owned(),
            Type::Duration => "duration".to_owned(),
            Type::List(Type::Any) => "list".to_owned(),
            Type::List(inside) => format!("list of {inside}"),
            Type::Map(Type::Any) => "map".to_owned(),
            Type::Map(inside) => format!("map of {inside}"),
            Type::Object(def) => def.name.to_owned(),
        }
    }
}

/// The type's name; with `{:#}` the name with its article.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        f.write_str(&if f.alternate() { article(&name) } else { name })
    }
}
