//! From a node to a Rust value, by one definition: the type's own schema is checked first, then serde reads it.

use crate::deserialize::NodeDeserializer;
use crate::node::Node;
use crate::shape;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use weir_diagnostic::{Code, Diagnostic, Diagnostics, Span};

/// The JSON Schema of a type, made once.
pub(crate) fn schema_of<T: JsonSchema>() -> Arc<Value> {
    static MADE: LazyLock<Mutex<HashMap<&'static str, Arc<Value>>>> = LazyLock::new(Mutex::default);
    let name = std::any::type_name::<T>();
    if let Some(schema) = MADE.lock().unwrap_or_else(PoisonError::into_inner).get(name) {
        return schema.clone();
    }
    let generator = SchemaSettings::draft2020_12().for_deserialize().into_generator();
    let schema = Arc::new(generator.into_root_schema_for::<T>().to_value());
    MADE.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_insert(schema).clone()
}

/// Reads `node` as a `T`. All that is wrong is collected, each with its place; `None` then.
///
/// `T`'s own schema says what is allowed (its doc comments are the reference), so unknown fields are refused where `T` has
/// `deny_unknown_fields`. [`Spanned`](crate::Spanned), [`Expr`](crate::Expr), [`Secret`](crate::Secret) and [`Node`] keep
/// their places, except inside serde's untagged, flattened and internally tagged types.
pub fn bind<T: DeserializeOwned + JsonSchema>(node: &Node, diagnostics: &mut Diagnostics) -> Option<T> {
    bind_as(node, "this", node.span, diagnostics)
}

/// [`bind`], with a name for the thing in messages (``the guard `pii` ``) and the place where missing fields are reported.
pub fn bind_as<T: DeserializeOwned + JsonSchema>(
    node: &Node,
    what: &str,
    place: Span,
    diagnostics: &mut Diagnostics,
) -> Option<T> {
    let schema = schema_of::<T>();
    let found = shape::check(node, &schema, &schema, what, place);
    if found.is_empty() {
        return read(node, what, diagnostics);
    }
    diagnostics.extend(found);
    None
}

/// Reads a node that fits its schema.
fn read<T: DeserializeOwned>(node: &Node, what: &str, diagnostics: &mut Diagnostics) -> Option<T> {
    match T::deserialize(NodeDeserializer(node)) {
        Ok(value) => Some(value),
        Err(error) => {
            diagnostics.push(
                Diagnostic::new(Code::BadValue, format!("{what}: {error}"))
                    .at(error.span.unwrap_or(node.span)),
            );
            None
        }
    }
}

impl Node {
    /// This node as a `T`, its shape having been checked: for a type that reads itself by way of its node because it may be
    /// written in several ways (a name, or a mapping), where serde's `untagged` would lose the places.
    ///
    /// # Errors
    /// What serde says.
    pub fn read_as<T: DeserializeOwned>(&self) -> Result<T, String> {
        T::deserialize(NodeDeserializer(self)).map_err(|error| error.to_string())
    }
}
