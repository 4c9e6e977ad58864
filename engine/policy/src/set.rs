//! A set of policies, typed.

use crate::sections::{CallerKey, Listener, Model, Observe, Provider, StateFile};
use crate::snapshot::Revision;
use crate::stage::{FrameDecl, PipelineDecl};
use crate::{Files, Spanned};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A definition and its name.
#[derive(Clone, Debug)]
pub struct Named<T> {
    /// The name and where it stands.
    pub name: Spanned<Arc<str>>,
    /// What it names.
    pub value: T,
}

/// A set of policies, typed, with the places of everything.
#[derive(Clone, Debug)]
pub struct PolicySet {
    /// What identifies its content.
    pub revision: Revision,
    /// Where clients connect, by name.
    pub listeners: BTreeMap<Arc<str>, Named<Listener>>,
    /// API keys of callers, by name.
    pub keys: BTreeMap<Arc<str>, Named<CallerKey>>,
    /// Accounts at model APIs, by name.
    pub providers: BTreeMap<Arc<str>, Named<Provider>>,
    /// What clients ask for, by name or pattern ending in `*`.
    pub models: BTreeMap<Arc<str>, Named<Model>>,
    /// The pipelines, in order.
    pub pipelines: Vec<PipelineDecl>,
    /// The frames, outermost first.
    pub frames: Vec<FrameDecl>,
    /// The set's own parameters: what `params` is outside library entries.
    pub params: Arc<serde_json::Map<String, serde_json::Value>>,
    /// The files that stages name in their settings.
    pub files: Files,
    /// What operators see.
    pub observe: Observe,
    /// Where counts are kept; `None`: in the process.
    pub state: Option<StateFile>,
}
