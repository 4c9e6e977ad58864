//! One request with all that belongs to it, from its arrival to its end.

use crate::{Gateway, Plan, Target};
use http::{HeaderMap, HeaderName};
use std::sync::Arc;
use std::time::Duration;
use weir_message::{
    Attempt, Denial, Fault, Mode, Money, Outcome, Reply, Request, Timings, Trace, Usage, Verb,
};
use weir_script::View;
use weir_state::Space;

/// One request with all that belongs to it.
#[derive(Clone)]
pub struct Exchange {
    /// The request as it is now.
    pub request: Request,
    /// The request as it came, if the plan reads it.
    pub original: Option<Arc<Request>>,
    /// The whole reply on its way up.
    pub reply: Option<Reply>,
    /// The attempt under way, in `attempt:` stages.
    pub attempt: Option<Attempt>,
    /// The target of the attempt under way or of the last one.
    pub target: Option<Arc<Target>>,
    /// The model that a stage of the verb `route` named for it.
    pub routed: Option<Arc<str>>,
    /// What was decided so far.
    pub trace: Trace,
    /// The refusal, if it was refused.
    pub refusal: Option<Refusal>,
    /// Tokens spent in all attempts.
    pub usage: Usage,
    /// What they cost, as far as priced.
    pub cost: Money,
    /// The HTTP status that the client was sent; 0 until then.
    pub status: u16,
    /// Headers that stages set on whatever the client is sent, a refusal too; in place of a provider's of the same name.
    pub headers: HeaderMap,
    /// A provider's headers that stages take out of the reply.
    pub hidden_headers: Vec<HeaderName>,
    /// Placeholders that guards put into the request for what they took out, sorted. What a client wrote that looks like one is
    /// none.
    pub placeholders: Vec<Box<str>>,
    /// What a cache said, if one looked.
    pub cache: Option<CacheSaid>,
    /// The parameters of the stage being visited (`use … with`).
    pub params: Arc<serde_json::Value>,
    /// Whether the visit is real or a shadow's.
    pub space: Space,
    /// When it arrived, on the gateway's clock.
    pub began: Duration,
    /// When it arrived, in wall-clock nanoseconds since 1970 UTC.
    pub unix_nanos: i64,
    /// A number that is the same for this request however often asked; chance is drawn from it.
    pub dice: u64,
    /// The name of the stage being visited.
    pub stage: Arc<str>,
    /// What the pipeline below the stage being visited amounts to: its stages and the models they reach. Caches put it in
    /// their keys.
    pub below: [u8; 32],
    /// The plan that it sees, from its first byte to its last.
    pub plan: Arc<Plan>,
    /// The process it runs in.
    pub gateway: Arc<Gateway>,
}

/// What a cache said of a request (`x-weir-cache`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheSaid {
    /// It answered.
    Hit,
    /// It looked and had nothing.
    Miss,
    /// It stepped aside.
    Bypass,
}

impl CacheSaid {
    /// The header's value.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Bypass => "bypass",
        }
    }
}

/// Why a request was refused.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// A stage decided so.
    Denied(Denial),
    /// Something failed.
    Failed(Fault),
}

impl Exchange {
    pub(crate) fn arrive(gateway: &Arc<Gateway>, plan: &Arc<Plan>, request: Request) -> Self {
        let dice = ahash::RandomState::with_seeds(gateway.seed, 1, 2, 3).hash_one(&*request.id);
        Self {
            request,
            original: None,
            reply: None,
            attempt: None,
            target: None,
            routed: None,
            trace: Trace {
                pipeline: Arc::clone(&plan.no_name),
                stages: Vec::new(),
                attempts: Vec::new(),
                timings: Timings::default(),
                outcome: Outcome::Open,
                error: None,
                detail: None,
                said: None,
                dropped: Vec::new(),
                tags: Vec::new(),
            },
            refusal: None,
            usage: Usage::default(),
            cost: Money::ZERO,
            status: 0,
            headers: HeaderMap::new(),
            hidden_headers: Vec::new(),
            placeholders: Vec::new(),
            cache: None,
            params: Arc::clone(&plan.no_params),
            space: Space::Live,
            began: gateway.clock.now(),
            unix_nanos: gateway.clock.unix_nanos(),
            dice,
            stage: Arc::clone(&plan.no_name),
            below: [0; 32],
            plan: Arc::clone(plan),
            gateway: Arc::clone(gateway),
        }
    }

    /// Time on the gateway's clock.
    pub fn now(&self) -> Duration {
        self.gateway.clock.now()
    }

    /// Time since it arrived.
    pub fn elapsed(&self) -> Duration {
        self.now().saturating_sub(self.began)
    }

    /// A number between 0 and 1 that is the same for this request and `salt` however often asked.
    pub fn chance(&self, salt: &str) -> f64 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.dice.to_le_bytes());
        hasher.update(salt.as_bytes());
        let bytes = hasher.finalize();
        let mut first = [0; 4];
        first.copy_from_slice(bytes.as_bytes().first_chunk::<4>().unwrap_or(&[0; 4]));
        f64::from(u32::from_le_bytes(first)) / (f64::from(u32::MAX) + 1.0)
    }

    /// The targets that it may come to: those of the routes below that may take part, or of the model that it asks for.
    pub fn reachable(&self) -> Vec<Arc<Target>> {
        let models = self.plan.models();
        let model = self.request.model();
        let requested =
            || models.get(model).map(|route| route.targets_for(models, model)).unwrap_or_default();
        let mut targets = Vec::new();
        let pipeline = self.plan.pipelines.iter().find(|pipeline| pipeline.name == self.trace.pipeline);
        let steps = pipeline.map_or(&[][..], |pipeline| &pipeline.steps);
        // The last one that takes part is asked.
        for step in steps.iter().rev().filter(|step| step.verb == Verb::Route && step.mode == Mode::Enforce) {
            match step.stage.route() {
                Some(route) => targets.extend(route.targets_for(models, model)),
                None => targets.extend(requested()),
            }
            if step.whens.is_empty() && step.sample.is_none() {
                return targets;
            }
        }
        targets.extend(requested());
        targets
    }

    /// What expressions and scripts see of it.
    pub fn view(&self) -> View<'_> {
        crate::view::of(self)
    }
}
