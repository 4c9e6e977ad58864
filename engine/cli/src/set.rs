//! From a folder to a plan: where the rooms meet.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use weir_catalog::Catalogue;
use weir_conformance::NotLoaded;
use weir_diagnostic::{Code, Diagnostics, Severity, Sources};
use weir_pipeline::{Plan, Registry, Secrets, Workshop};
use weir_policy::{Environment, PolicySet, Snapshot};
use weir_stage::Metrics;
use weir_state::State;

/// The policies shipped with Weir, used as `weir/NAME`.
pub(crate) const LIBRARY: &[(&str, &str)] = &[
    ("pii-shield", include_str!("../../../policies/pii-shield/pii-shield.yaml")),
    ("cost-cap", include_str!("../../../policies/cost-cap/cost-cap.yaml")),
    ("faq-cache", include_str!("../../../policies/faq-cache/faq-cache.yaml")),
    ("fallback-ladder", include_str!("../../../policies/fallback-ladder/fallback-ladder.yaml")),
    ("working-hours", include_str!("../../../policies/working-hours/working-hours.yaml")),
    ("house-style", include_str!("../../../policies/house-style/house-style.yaml")),
];

/// The names of the catalogue's rows, as the loader wants them.
struct Rows;

impl weir_policy::Catalogue for Rows {
    fn row_names(&self) -> Vec<String> {
        Catalogue::builtin().names().map(str::to_owned).collect()
    }
}

/// What came of loading a folder.
pub(crate) struct Compiled {
    /// The plan; `None` if anything is an error.
    pub(crate) plan: Option<Plan>,
    /// The set that it was compiled from.
    pub(crate) set: Option<PolicySet>,
    /// The texts that diagnostics point into.
    pub(crate) sources: Sources,
    /// All findings.
    pub(crate) diagnostics: Diagnostics,
}

impl Compiled {
    /// All findings as people read them.
    pub(crate) fn rendered(&self, colours: bool) -> String {
        weir_diagnostic::render(&self.sources, &self.diagnostics, colours)
    }
}

/// What sets are compiled with.
pub(crate) struct Shop {
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) metrics: Metrics,
    pub(crate) state: Arc<State>,
    inference: weir_inference::Models,
}

impl Shop {
    /// The shop of this process: the built-ins, the catalogue, the models in the cache folder.
    pub(crate) fn open() -> Self {
        let metrics = Metrics::new();
        let cache = weir_inference::default_directory(|name| std::env::var_os(name));
        Self {
            registry: weir_stage::registry(metrics.clone()),
            metrics,
            state: Arc::new(State::default()),
            inference: weir_inference::Models::open(&cache.unwrap_or_else(|| PathBuf::from("models"))),
        }
    }

    /// Loads and compiles a snapshot of a set over this state.
    pub(crate) fn compile(&self, snapshot: &Snapshot, secrets: &Secrets<'_>, state: &Arc<State>) -> Compiled {
        let workshop = Workshop {
            registry: Arc::clone(&self.registry),
            catalogue: Catalogue::builtin(),
            inference: self.inference.clone(),
            state: Arc::clone(state),
        };
        let environment = Environment { builtins: &*self.registry, catalogue: &Rows, library: LIBRARY };
        let loaded = weir_policy::load(snapshot, &environment);
        let mut diagnostics = loaded.diagnostics;
        // What is right of a set with errors is compiled all the same, so that one run says everything.
        let known = loaded.set.as_ref().or(loaded.partial.as_ref());
        let plan = known.and_then(|set| weir_pipeline::compile(set, &workshop, secrets, &mut diagnostics));
        diagnostics.sort();
        Compiled { plan, set: loaded.set, sources: loaded.sources, diagnostics }
    }

    /// Loads and compiles a folder without its secrets.
    pub(crate) fn folder(&self, folder: &Path, state: &Arc<State>) -> Result<Compiled, String> {
        let snapshot = weir_policy::snapshot(folder).map_err(|error| error.to_string())?;
        Ok(self.compile(&snapshot, &Secrets::Ignored, state))
    }

    /// The plan of a folder without its secrets, or all that is wrong with it.
    pub(crate) fn plan(&self, folder: &Path) -> Result<Arc<Plan>, String> {
        Self::taken(self.folder(folder, &self.state)?)
    }

    /// The plan of a folder whose cases are to be run.
    pub(crate) fn tested(&self, folder: &Path, state: &Arc<State>) -> Result<Arc<Plan>, NotLoaded> {
        let compiled = self.folder(folder, state).map_err(NotLoaded::Bad)?;
        let mut errors = compiled.diagnostics.iter().filter(|found| found.severity == Severity::Error);
        let without_models = std::env::var_os("WEIR_MODELS").is_some_and(|value| value == "none");
        if without_models && compiled.plan.is_none() && errors.all(|found| found.code == Code::MissingModel) {
            return Err(NotLoaded::NeedsModels);
        }
        Self::taken(compiled).map_err(NotLoaded::Bad)
    }

    /// The plan of a folder with its secrets, or all that is wrong with it.
    pub(crate) fn live_plan(&self, folder: &Path) -> Result<Arc<Plan>, String> {
        let snapshot = weir_policy::snapshot(folder).map_err(|error| error.to_string())?;
        let env = |name: &str| std::env::var(name).ok();
        Self::taken(self.compile(&snapshot, &Secrets::From { env: &env, root: folder }, &self.state))
    }

    fn taken(mut compiled: Compiled) -> Result<Arc<Plan>, String> {
        match compiled.plan.take() {
            Some(plan) => Ok(Arc::new(plan)),
            None => Err(compiled.rendered(crate::out::colours())),
        }
    }
}
