//! A policy set to a plan: expressions, scripts and stages compiled, what can be reached checked.

mod identity;
mod keys;
mod known;
mod models;
mod providers;
pub(crate) mod slot;
mod steps;

use crate::plan::{Pipeline, Plan, Step, When};
use crate::services::Counting;
use crate::{Needs, Passes, Registry, cel, fingerprint, reach};
use http::HeaderValue;
use slot::{Asked, Slot};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
pub use steps::HOOK_TIMEOUT;
pub(crate) use steps::mentions_caller;
use steps::{Around, blank_trace, needs_of_step, share_conditions};
use weir_catalog::Catalogue;
use weir_diagnostic::{Diagnostics, Span};
use weir_message::{Mode, Operation, Verb};
use weir_policy::{FrameDecl, PolicySet, Secret, SecretValue, StageDecl};
use weir_script::{Expression, HookKind, Services};
use weir_state::{BreakerSettings, State};

/// What plans are compiled with; made once per process.
pub struct Workshop {
    /// The built-in stages.
    pub registry: Arc<dyn Registry>,
    /// Providers and prices.
    pub catalogue: &'static Catalogue,
    /// Models that run in this process.
    pub inference: weir_inference::Models,
    /// What outlives plans.
    pub state: Arc<State>,
}

/// Where secrets come from.
pub enum Secrets<'a> {
    /// They are not needed: `check`, `test`, `explain`. Keys are known by their names.
    Ignored,
    /// Variables by this function, files below this folder; a missing one is an error.
    From {
        /// Looks up an environment variable.
        env: &'a dyn Fn(&str) -> Option<String>,
        /// The set's folder.
        root: &'a Path,
    },
}

/// Compiles a set. `None` if anything found is an error.
pub fn compile(
    set: &PolicySet,
    workshop: &Workshop,
    secrets: &Secrets<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Plan> {
    let mut compiler = Compiler {
        set,
        workshop,
        secrets,
        diagnostics,
        home: String::new(),
        known_params: Vec::new(),
        own: BTreeMap::new(),
        limit_names: Vec::new(),
    };
    let plan = compiler.plan();
    plan.filter(|_| !compiler.diagnostics.has_errors())
}

/// Parameters as they are written.
type Params = Arc<weir_policy::Params>;

struct Compiler<'a> {
    set: &'a PolicySet,
    workshop: &'a Workshop,
    secrets: &'a Secrets<'a>,
    diagnostics: &'a mut Diagnostics,
    /// The pipeline or frame whose stages are being compiled.
    home: String,
    /// Parameters seen so far, as they are written and as expressions read them.
    known_params: Vec<(Params, Arc<serde_json::Value>)>,
    /// What accounts say of their models, above the catalogue.
    own: BTreeMap<Arc<str>, Arc<[weir_catalog::Model]>>,
    /// The stages that the expressions of the pipeline being compiled name in `limits.stage("…")`, and where.
    limit_names: Vec<(String, Span)>,
}

impl Compiler<'_> {
    fn plan(&mut self) -> Option<Plan> {
        let keys = self.keys();
        let identities = self.identities();
        let admin = self.set.admin.as_ref();
        let admin_token = admin.and_then(|admin| self.secret(&admin.token));
        let admin_token = admin_token.map(|token| weir_state::digest(token.expose()));
        let seal = self.set.state.as_ref().and_then(|state| state.seal.as_ref());
        let seal = seal.and_then(|seal| self.secret(seal));
        let providers = self.providers();
        let models = self.models(&providers);
        let accounts = self.accounts(&providers);
        let services: Arc<dyn Services> = Arc::new(Counting::new(&models));
        let set_params = self.params(&self.set.params);
        let set = self.set;
        let frames: Vec<(Asked<When>, &FrameDecl)> = set
            .frames
            .iter()
            .map(|frame| {
                let when = self.asked(frame.when.as_ref(), frame.lost.has("when"), HookKind::Condition);
                let params = Arc::clone(&set_params);
                (when.map(|expression| When { expression, params, shared: None }), frame)
            })
            .collect();
        let of_frames = std::mem::take(&mut self.limit_names);
        // Guards may stand where nothing could be read.
        let frames_missing =
            set.gaps.may_hold("frames") || frames.iter().any(|(_, frame)| frame.lost.has("stages"));
        let mut pipelines: Vec<Pipeline> = Vec::new();
        let mut is_whole = true;
        let mut taken = reach::Taken::default();
        let mut beside = reach::Beside::default();
        for decl in &set.pipelines {
            let when = self.asked(decl.when.as_ref(), decl.lost.has("when"), HookKind::Match);
            self.limit_names.clone_from(&of_frames);
            let mut slots: Vec<Slot<'_>> = Vec::new();
            let around =
                Around { models: &models, services: &services, accounts: &accounts, in_attempt: false };
            for (condition, frame) in &frames {
                self.home = format!("frame {}", frame.name.value);
                slots.extend(frame.stages.iter().map(|stage| self.slot(stage, condition, around)));
            }
            let framed = slots.len();
            self.home = decl.name.value.to_string();
            slots.extend(decl.stages.iter().map(|stage| self.slot(stage, &Asked::Always, around)));
            let place = reach::Place {
                decl,
                when: &when,
                slots: &slots,
                framed,
                misses_stages: frames_missing || decl.lost.has("stages"),
            };
            if !set.gaps.order {
                taken.check(&place, self.diagnostics);
                beside.check(&place, self.diagnostics);
            }
            reach::limits(&self.limit_names, &place, self.diagnostics);
            reach::check(&place, self.diagnostics);
            let passes = reach::passes(&slots);
            let decls: Vec<&StageDecl> = slots.iter().map(|slot| slot.decl).collect();
            let steps: Option<Vec<Step>> = slots.into_iter().map(Slot::into_step).collect();
            let (Some(mut steps), true) = (steps, when.is_known()) else {
                is_whole = false;
                continue;
            };
            let when = when.as_ref().cloned();
            fingerprint::seal(&mut steps, &decls, &models);
            let shared_conditions = share_conditions(&mut steps);
            let of_when = when.as_ref().map_or(Needs::NONE, |when| cel::needs_of(when.reads()));
            let all = |firm: bool| {
                let taking = |step: &&Step| match step.mode {
                    Mode::Enforce => true,
                    Mode::Shadow => !firm,
                    Mode::Off => false,
                };
                let steps = steps.iter().filter(taking);
                let needs = steps.clone().map(needs_of_step);
                let tried = steps.flat_map(|step| &step.attempt).filter(taking).map(needs_of_step);
                needs.chain(tried).fold(of_when, |all, needs| all | needs)
            };
            let (needs, firm) = (all(false), all(true));
            let blank =
                steps.iter().chain(steps.iter().flat_map(|step| &step.attempt)).map(blank_trace).collect();
            pipelines.push(Pipeline {
                name: Arc::clone(&decl.name),
                when,
                guards_replies: steps.iter().any(|step| {
                    step.verb == Verb::Guard && step.mode == Mode::Enforce && step.declares.reads_reply
                }),
                needs,
                firm,
                shared_conditions,
                deadline: decl.deadline,
                passes,
                blank,
                steps,
            });
        }
        if !is_whole {
            return None;
        }
        let reads_spent = pipelines.iter().any(|pipeline| pipeline.needs.has(Needs::SPENT));
        if reads_spent || self.set.state.is_some() {
            // What a caller spent in one pipeline counts in all, and the ledger is told of every one.
            pipelines.iter_mut().for_each(|pipeline| pipeline.needs = pipeline.needs | Needs::USAGE);
        }
        let eager = SERVED.iter().copied().filter(|operation| reads_whole(&pipelines, *operation)).collect();
        let keeps_files = pipelines.iter().any(|pipeline| pipeline.passes != Passes::Models);
        let listeners = self.set.listeners.values().map(|listener| Arc::new(listener.clone())).collect();
        let revision = self.set.revision.to_string();
        Some(Plan {
            revision_header: HeaderValue::from_str(&revision).ok(),
            revision: Arc::from(revision),
            listeners,
            keys: keys?,
            identities,
            admin_token,
            seal,
            pipelines,
            models,
            providers: providers.into_values().collect(),
            services,
            eager,
            keeps_files,
            is_open: self.set.pipelines.iter().any(|pipeline| pipeline.anonymous),
            breaker: BreakerSettings::default(),
            reads_spent,
            no_params: set_params,
            no_name: Arc::from(""),
        })
    }

    /// The value of a secret; `None` where it is missing (then it was said) or not needed.
    fn secret(&mut self, secret: &Secret) -> Option<SecretValue> {
        let Secrets::From { env, root } = self.secrets else { return None };
        match secret.resolve(env, root) {
            Ok(value) => Some(value),
            Err(found) => {
                self.diagnostics.push(found);
                None
            }
        }
    }
}

/// Whether the body of every request of this operation is read, whichever pipeline takes it.
fn reads_whole(pipelines: &[Pipeline], operation: Operation) -> bool {
    let reads =
        |when: Option<&Expression>| when.is_some_and(|when| cel::needs_of(when.reads()).has(Needs::BODY));
    let may_take = |pipeline: &&Pipeline| {
        pipeline.passes.takes(operation)
            && pipeline.when.as_ref().is_none_or(|when| when.may_hold_for(operation))
    };
    let mut takers = pipelines.iter().filter(may_take).peekable();
    // The first one's condition is asked of every request.
    if takers.peek().is_none_or(|first| reads(first.when.as_deref())) {
        return takers.peek().is_some();
    }
    takers.all(|pipeline| pipeline.firm.has(Needs::BODY) || reads(pipeline.when.as_deref()))
}

/// The operations that this version takes.
pub const SERVED: &[Operation] = &[
    Operation::Chat,
    Operation::Count,
    Operation::Completion,
    Operation::Response,
    Operation::Embedding,
    Operation::Rerank,
    Operation::Moderation,
    Operation::Image,
    Operation::Speech,
    Operation::Transcription,
    Operation::File,
    Operation::Batch,
    Operation::Http,
];
