//! Who sends a request.

use crate::Operation;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Who sends a request, settled before a pipeline is picked. One per key or token, shared by its requests.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Caller {
    /// How they were identified: `key` (later `jwt`, `mtls` …).
    pub by: Arc<str>,
    /// The key's name, never its value.
    pub key: Option<Arc<str>>,
    /// The user, if known.
    pub user: Option<Arc<str>>,
    /// The team, if any.
    pub team: Option<Arc<str>>,
    /// The project, if any.
    pub project: Option<Arc<str>>,
    /// Free-form attributes given with the key.
    pub tags: BTreeMap<Arc<str>, serde_json::Value>,
    /// Claims of a token.
    pub claims: serde_json::Map<String, serde_json::Value>,
    /// Models this caller may ask for, as names or patterns ending in `*`; empty: all.
    pub models: Vec<Arc<str>>,
    /// Operations this caller may ask for; empty: all.
    pub operations: Vec<Operation>,
}
