//! A policy set, compiled: immutable, behind an `Arc`, swapped whole.

use crate::fingerprint::Below;
use crate::identity::{Identity, Way};
use crate::{Models, Needs, Passes, Provider, Route, Stage};
use ahash::AHashMap;
use http::HeaderValue;
use std::sync::Arc;
use std::time::Duration;
use weir_message::{Denial, DenyAs, Mode, Operation, Request, StageTrace, Verb};
use weir_policy::{Listener, Named, SecretValue, Together};
use weir_script::{Expression, Services};
use weir_state::{BreakerSettings, KeyRing};

/// A policy set, compiled.
pub struct Plan {
    /// The content hash of the set, as shown.
    pub(crate) revision: Arc<str>,
    /// The same as the value of `x-weir-revision`.
    pub(crate) revision_header: Option<HeaderValue>,
    pub(crate) listeners: Vec<Arc<Named<Listener>>>,
    pub(crate) keys: KeyRing,
    /// The digest of the admin API's token.
    pub(crate) admin_token: Option<[u8; 32]>,
    /// What ids of providers are sealed with, where the set says.
    pub(crate) seal: Option<SecretValue>,
    /// How each listener tells callers apart.
    pub(crate) identities: AHashMap<Arc<str>, Identity>,
    pub(crate) pipelines: Vec<Pipeline>,
    pub(crate) models: Models,
    pub(crate) providers: Vec<Arc<Provider>>,
    pub(crate) services: Arc<dyn Services>,
    /// Operations of which every pipeline reads the body, so that it is decoded at once and not skimmed first.
    pub(crate) eager: Vec<Operation>,
    /// Whether a pipeline is open to callers who are not known.
    pub(crate) is_open: bool,
    /// When targets are left alone.
    pub(crate) breaker: BreakerSettings,
    /// Whether a pipeline takes files, so that a request may name one that was given out here.
    pub(crate) keeps_files: bool,
    /// Whether an expression reads what callers spent today, so that it is booked.
    pub(crate) reads_spent: bool,
    pub(crate) no_params: Arc<serde_json::Value>,
    pub(crate) no_name: Arc<str>,
}

/// The ordered stages that a matching request passes through.
pub(crate) struct Pipeline {
    pub name: Arc<str>,
    pub when: Option<Arc<Expression>>,
    pub steps: Vec<Step>,
    /// What all its stages read together, shadowed ones included.
    pub needs: Needs,
    /// What the stages read that decide: a request or reply that cannot be read fails only for these.
    pub firm: Needs,
    /// How many conditions are shared by several of its steps.
    pub shared_conditions: usize,
    /// Whether a guard reads replies: a provider's error text is then not passed on unread.
    pub guards_replies: bool,
    pub deadline: Option<Duration>,
    /// Which requests its route takes.
    pub passes: Passes,
    /// The trace of a request that reached no stage: the steps, then those of the route's `attempt:`.
    pub blank: Vec<StageTrace>,
}

impl Pipeline {
    /// Whether its route takes such a request, if its condition holds.
    pub(crate) fn takes(&self, request: &Request) -> bool {
        let is_passed = || {
            let route = self.steps.iter().rev().find(|step| step.verb == Verb::Route);
            route.is_some_and(|step| step.stage.passes(request))
        };
        self.passes.takes(request.operation) && (self.passes == Passes::Models || is_passed())
    }

    /// The steps, and those of `attempt:`.
    pub(crate) fn all_steps(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().chain(self.steps.iter().flat_map(|step| &step.attempt))
    }
}

/// A stage in its place.
pub(crate) struct Step {
    pub name: Arc<str>,
    pub verb: Verb,
    pub body: Arc<str>,
    pub stage: Arc<dyn Stage>,
    pub declares: crate::Declares,
    pub mode: Mode,
    /// All must hold for it to take part: its frame's, its own.
    pub whens: Vec<When>,
    pub sample: Option<f64>,
    pub timeout: Duration,
    pub on_error: OnError,
    pub deny: Option<DenyAnswer>,
    pub params: Arc<serde_json::Value>,
    pub below: Below,
    /// Whether it judges side by side with others.
    pub together: Option<Together>,
    /// Whether bodies pass it that it cannot read.
    pub unread_pass: bool,
    /// For a route: run once per attempt.
    pub attempt: Vec<Step>,
    /// In an `attempt`: how the path of an attempt begins that this concerns.
    pub within: Box<[u16]>,
}

/// A condition, and what it reads as `params`.
#[derive(Clone)]
pub(crate) struct When {
    pub expression: Arc<Expression>,
    pub params: Arc<serde_json::Value>,
    /// Its number among the conditions that several steps share (a frame's, a `use`'s): decided once, at the first of them.
    pub shared: Option<usize>,
}

/// What becomes of a request when a stage could not decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// It is refused: 503 `stage-unavailable`.
    Refuse,
    /// The stage is passed over.
    Skip,
}

/// How a guard's denial reads, where the policy says so.
#[derive(Clone, Debug)]
pub(crate) struct DenyAnswer {
    pub status: Option<u16>,
    pub code: Option<Arc<str>>,
    pub message: Option<Arc<str>>,
    pub deny_as: DenyAs,
}

impl DenyAnswer {
    /// The denial as the policy wants it to read.
    pub(crate) fn dress(&self, denial: &mut Denial) {
        if let Some(status) = self.status {
            denial.status = status;
        }
        if let Some(code) = &self.code {
            denial.code = code.to_string().into();
        }
        if let Some(message) = &self.message {
            denial.message = message.to_string().into();
        }
        denial.deny_as = self.deny_as;
    }
}

impl Plan {
    /// The revision: the content hash of the set.
    pub fn revision(&self) -> &Arc<str> {
        &self.revision
    }

    /// The listeners of the set.
    pub fn listeners(&self) -> &[Arc<Named<Listener>>] {
        &self.listeners
    }

    /// The models by name.
    pub fn models(&self) -> &Models {
        &self.models
    }

    /// The providers of the set.
    pub fn providers(&self) -> &[Arc<Provider>] {
        &self.providers
    }

    /// The functions that expressions call.
    pub fn services(&self) -> &Arc<dyn Services> {
        &self.services
    }

    /// Whether a listener takes this key from anywhere, at that time (seconds since 1970 UTC).
    pub fn takes_key(&self, listener: &str, key: &str, now: i64) -> bool {
        let identity = self.identities.get(listener);
        let asks = identity.is_some_and(|identity| identity.ways.iter().any(|way| matches!(way, Way::Key)));
        asks && self.keys.lookup(key, None, now).is_some()
    }

    /// Whether the set declares a key of this name.
    pub fn has_key(&self, name: &str) -> bool {
        self.keys.has_name(name)
    }

    /// What ids of providers are sealed with, where the set says.
    pub fn seal(&self) -> Option<&str> {
        self.seal.as_ref().map(SecretValue::expose)
    }

    /// Whether anybody may change something by the admin API.
    pub fn has_admin_token(&self) -> bool {
        self.admin_token.is_some()
    }

    /// Whether this is the admin API's token.
    pub fn is_admin_token(&self, shown: &str) -> bool {
        self.admin_token.is_some_and(|known| weir_state::is_digest_of(&known, shown))
    }

    /// The names of all pipelines with their stages' names, in order; those of `attempt:` last.
    pub fn outline(&self) -> Vec<(Arc<str>, Vec<Arc<str>>)> {
        let names =
            |pipeline: &Pipeline| pipeline.blank.iter().map(|stage| Arc::clone(&stage.name)).collect();
        self.pipelines.iter().map(|pipeline| (Arc::clone(&pipeline.name), names(pipeline))).collect()
    }

    /// Whether a pipeline takes requests on paths that are no operation's.
    pub fn takes_paths(&self) -> bool {
        self.pipelines.iter().any(|pipeline| pipeline.passes == Passes::Paths)
    }

    /// The route that a model's name leads to.
    pub(crate) fn route_of(&self, model: &str) -> Option<&Arc<dyn Route>> {
        self.models.get(model)
    }
}
