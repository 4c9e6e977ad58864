//! Types for fields that keep their place, or mean more than their text: spans, expressions, secrets, raw nodes.

use crate::deserialize::{NODE, NodeDeserializer, take_asked};
use crate::node::Node;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, DeserializeOwned, Visitor};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use weir_diagnostic::{Embedded, Span};

impl<'de> Deserialize<'de> for Node {
    /// The node as it stands. Works only through [`bind`](crate::bind), and not inside an untagged or flattened type, where
    /// serde has put the places away.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Asked;
        impl<'de> Visitor<'de> for Asked {
            type Value = Node;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a node of a policy")
            }

            fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
                take_asked().ok_or_else(|| E::custom("a place was asked for where none is known"))
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, _: D) -> Result<Node, D::Error> {
                Err(de::Error::custom("a place was asked for where none is known"))
            }
        }
        deserializer.deserialize_newtype_struct(NODE, Asked)
    }
}

impl JsonSchema for Node {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Node".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        Schema::default()
    }
}

/// A value and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub span: Span,
}

impl<T> Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Spanned<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let node = Node::deserialize(deserializer)?;
        let value = T::deserialize(NodeDeserializer(&node)).map_err(de::Error::custom)?;
        Ok(Self { value, span: node.span })
    }
}

impl<T: JsonSchema> JsonSchema for Spanned<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A CEL expression, and the way from its text back to the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expr(pub Embedded);

impl Deref for Expr {
    type Target = Embedded;

    fn deref(&self) -> &Embedded {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Expr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let node = Node::deserialize(deserializer)?;
        node.text().cloned().map(Expr).ok_or_else(|| de::Error::custom("an expression is text"))
    }
}

impl JsonSchema for Expr {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Expr".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "boolean", "number"], "format": "cel", "description": "A CEL expression over the view."
        })
    }
}

/// Part of a document whose shape is `T`'s but which is bound by itself, so that a slip in it costs nothing around it.
#[derive(Clone, Debug)]
pub(crate) struct Later<T> {
    pub(crate) node: Node,
    shape: PhantomData<fn() -> T>,
}

impl<'de, T> Deserialize<'de> for Later<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self { node: Node::deserialize(deserializer)?, shape: PhantomData })
    }
}

/// The mark in a schema that what is below is bound by itself.
pub(crate) const LATER: &str = "x-weir-later";

impl<T: JsonSchema> JsonSchema for Later<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = generator.subschema_for::<T>();
        schema.insert(LATER.to_owned(), true.into());
        schema
    }
}
