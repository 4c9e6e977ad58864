//! A set of policies, typed.

use crate::mend::Lost;
use crate::secret::files_in;
use crate::sections::{AdminSection, CallerKey, Listener, Model, Observe, Provider};
use crate::snapshot::Revision;
use crate::stage::{FrameDecl, ParamType, PipelineDecl, StageDecl};
use crate::state::StateSection;
use crate::{Files, Secret, Spanned};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A definition and its name.
#[derive(Clone, Debug)]
pub struct Named<T> {
    /// The name and where it stands.
    pub name: Spanned<Arc<str>>,
    /// What it names.
    pub value: T,
    /// The fields that are left out because they are wrong; none in a set that loads.
    pub lost: Lost,
}

/// Parameters as expressions and scripts read them.
#[derive(Clone, Debug, Default)]
pub struct Params {
    /// Their values.
    pub values: serde_json::Map<String, serde_json::Value>,
    /// Their types: as declared where they are, else by the value.
    pub types: BTreeMap<Arc<str>, ParamType>,
    /// Whether there may be others, which could not be read.
    pub open: bool,
}

/// What may be defined without being known. Nothing in a set that loads.
#[derive(Clone, Debug, Default)]
pub struct Gaps {
    /// Whether a file could not be read: anything may stand in it.
    pub files: bool,
    /// Whether it is not known which pipeline comes first.
    pub order: bool,
    /// Models whose definition is wrong as a whole.
    pub models: Vec<Arc<str>>,
    /// Sections that could not be read.
    pub(crate) sections: Vec<Arc<str>>,
}

impl Gaps {
    /// Whether a section may define more than is known.
    pub fn may_hold(&self, section: &str) -> bool {
        self.files || self.sections.iter().any(|one| **one == *section)
    }
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
    pub params: Arc<Params>,
    /// The files that stages name in their settings.
    pub files: Files,
    /// Who may use the admin API; `None`: nobody may change anything there.
    pub admin: Option<AdminSection>,
    /// What operators see.
    pub observe: Observe,
    /// Where counts are kept; `None`: in the process.
    pub state: Option<StateSection>,
    /// What could not be read.
    pub gaps: Gaps,
}

impl PolicySet {
    /// The files that its secrets stand in, as written: in all fields that take a secret.
    pub fn secret_files(&self) -> BTreeSet<String> {
        let keys = self.keys.values().flat_map(proofs).flatten();
        let ways = self.listeners.values().flat_map(|listener| &listener.value.identify);
        let tokens = ways.flat_map(|way| way.value.secrets());
        let redis = self.state.as_ref().and_then(|state| state.redis.as_ref());
        let shared = redis
            .into_iter()
            .flat_map(|redis| redis.url.iter().filter_map(|url| url.value.secret()).chain(&redis.password));
        let tls = self.listeners.values().filter_map(|listener| listener.value.tls.as_ref()?.key.secret());
        let accounts = self.providers.values().flat_map(|provider| {
            provider.value.secrets().chain(provider.value.headers.values().filter_map(|value| value.secret()))
        });
        let secrets = keys
            .chain(shared)
            .chain(tokens)
            .chain(tls)
            .chain(self.admin.iter().map(|admin| &admin.token))
            .chain(accounts)
            .chain(self.state.iter().filter_map(|state| state.seal.as_ref()));
        let mut out: BTreeSet<String> =
            secrets.flat_map(|secret| secret.files().map(str::to_owned)).collect();
        let lists = self.frames.iter().map(|frame| &frame.stages);
        for stage in lists.chain(self.pipelines.iter().map(|pipeline| &pipeline.stages)).flatten() {
            files_of(stage, &mut out);
        }
        out
    }
}

/// The secrets that are a key and the one before it.
fn proofs(key: &Named<CallerKey>) -> [Option<&Secret>; 2] {
    let previous = key.value.previous.as_ref().and_then(|previous| previous.secret.as_ref());
    [key.value.secret.as_ref(), previous]
}

fn files_of(stage: &StageDecl, out: &mut BTreeSet<String>) {
    files_in(&stage.with, out);
    stage.attempt.iter().for_each(|inner| files_of(inner, out));
}
