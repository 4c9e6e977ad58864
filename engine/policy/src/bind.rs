//! From a node to a Rust value, by one definition: the type's own schema is checked first, then serde reads it.

use crate::deserialize::NodeDeserializer;
use crate::mend::{Lost, mended, without};
use crate::node::Node;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
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
    let sound = bind_sound(node, what, place, diagnostics);
    if sound.is_whole { sound.value } else { None }
}

/// A value, as far as its text is right.
pub(crate) struct Sound<T> {
    /// `None` where nothing can be made of it.
    pub(crate) value: Option<T>,
    /// The fields that are left out because they are wrong.
    pub(crate) lost: Lost,
    /// Whether nothing is wrong.
    pub(crate) is_whole: bool,
}

/// [`bind_as`], with what is left where something is wrong.
pub(crate) fn bind_sound<T: DeserializeOwned + JsonSchema>(
    node: &Node,
    what: &str,
    place: Span,
    diagnostics: &mut Diagnostics,
) -> Sound<T> {
    bind_sound_but(node, what, place, &HashSet::new(), diagnostics)
}

/// [`bind_sound`] of a node in which nothing is known of what stands at some places.
pub(crate) fn bind_sound_but<T: DeserializeOwned + JsonSchema>(
    node: &Node,
    what: &str,
    place: Span,
    unknown: &HashSet<Span>,
    diagnostics: &mut Diagnostics,
) -> Sound<T> {
    let mended = mended(node, &schema_of::<T>(), what, place, unknown);
    let mut is_whole = mended.is_whole;
    let mut lost = mended.lost;
    diagnostics.extend(mended.found);
    let mut rest = mended.node;
    while let Some(node) = rest {
        let error = match T::deserialize(NodeDeserializer(&node)) {
            Ok(value) => return Sound { value: Some(value), lost, is_whole },
            Err(error) => error,
        };
        // What a type finds by itself stops it: without that, it may go on.
        let at = error.span.unwrap_or(node.span);
        let next = without(&node, &HashSet::from([at]), &HashMap::new());
        let goes_on = next != node;
        // A required field that is missing has been said.
        if is_whole || goes_on {
            is_whole = false;
            diagnostics.push(Diagnostic::new(Code::BadValue, format!("{what}: {error}")).at(at));
        }
        for (key, value) in node.entries() {
            if next.get(&key.name) != Some(value) {
                lost.add(&key.name);
            }
        }
        rest = goes_on.then_some(next);
    }
    Sound { value: None, lost, is_whole }
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
