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
    /// A whole number.
    Int,
    /// A broken number.
    Double,
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
    /// One of several, as the branches of a condition are.
    Either(Kinds),
}

/// A set of types; lists and maps of any kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kinds(u16);

/// The types that a set can hold.
const KINDS: [Type; 11] = [
    Type::Null,
    Type::Bool,
    Type::Int,
    Type::Uint,
    Type::Double,
    Type::String,
    Type::Bytes,
    Type::Timestamp,
    Type::Duration,
    Type::List(&Type::Any),
    Type::Map(&Type::Any),
];

impl Kinds {
    /// The set of a type; `None` where it is not known which.
    fn of(ty: Type) -> Option<Self> {
        match ty {
            Type::Either(kinds) => Some(kinds),
            Type::Any | Type::Object(_) => None,
            known => {
                let same = |kind: &Type| std::mem::discriminant(kind) == std::mem::discriminant(&known);
                KINDS.iter().position(same).map(|place| Self(1 << place))
            }
        }
    }

    fn iter(self) -> impl Iterator<Item = Type> {
        KINDS
            .iter()
            .copied()
            .enumerate()
            .filter(move |(place, _)| self.0 & (1 << place) != 0)
            .map(|(_, ty)| ty)
    }
}

impl PartialEq for Type {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Type::List(a), Type::List(b)) | (Type::Map(a), Type::Map(b)) => a == b,
            (Type::Object(a), Type::Object(b)) => a.name == b.name,
            (Type::Either(a), Type::Either(b)) => a == b,
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
            (a @ Type::Either(_), b) | (b, a @ Type::Either(_)) => a.can(|one| one.meets(b)),
            (a, b) if a.is_number() && b.is_number() => true,
            (Type::List(a), Type::List(b)) | (Type::Map(a), Type::Map(b)) => a.meets(*b),
            (a, b) => a == b,
        }
    }

    /// The types that it may turn out to be.
    pub(crate) fn alternatives(self) -> Vec<Type> {
        match self {
            Type::Either(kinds) => kinds.iter().collect(),
            one => vec![one],
        }
    }

    /// Whether any of the types that it may turn out to be fits.
    pub(crate) fn can(self, fits: impl Fn(Type) -> bool) -> bool {
        match self {
            Type::Any => true,
            Type::Either(kinds) => kinds.iter().any(fits),
            one => fits(one),
        }
    }

    /// The type of both: one of the two where they differ.
    pub(crate) fn join(self, other: Type) -> Type {
        match (Kinds::of(self), Kinds::of(other)) {
            _ if self == other => self,
            (Some(a), Some(b)) if a == b => a.iter().next().unwrap_or(Type::Any),
            (Some(a), Some(b)) => Type::Either(Kinds(a.0 | b.0)),
            _ => Type::Any,
        }
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
            Type::Any | Type::Null | Type::Either(_) => &Type::Any,
        }
    }
}

impl From<ParamType> for Type {
    fn from(param: ParamType) -> Type {
        match param {
            ParamType::Any => Type::Any,
            ParamType::Bool => Type::Bool,
            ParamType::Int => Type::Int,
            ParamType::Double => Type::Double,
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
            Type::Either(kinds) => kinds.iter().map(Type::name).collect::<Vec<_>>().join(" or "),
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
