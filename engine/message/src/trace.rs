//! What was decided for a request, why, and how long it took.

use crate::{Attempt, names};
use std::sync::Arc;
use std::time::Duration;

names! {
    /// What a stage may do.
    Verb {
        /// Chooses targets.
        Route = "route",
        /// May deny, or edit for safety.
        Guard = "guard",
        /// May answer.
        Cache = "cache",
        /// May edit.
        Transform = "transform",
        /// Only looks.
        Observe = "observe",
    }
}

names! {
    /// How a stage takes part.
    Mode {
        /// It decides.
        Enforce = "enforce",
        /// It decides on a copy and says what it would have done.
        Shadow = "shadow",
        /// It does not run.
        Off = "off",
    }
}

names! {
    /// What a stage did with a request.
    Decision {
        /// It was not reached.
        NotReached = "not-reached",
        /// Its `when` or `sample` left the request out, or it is off.
        Skipped = "skipped",
        /// It let the request go on as it was.
        Passed = "passed",
        /// It edited request or reply and let it go on.
        Edited = "edited",
        /// It answered.
        Answered = "answered",
        /// It denied.
        Denied = "denied",
        /// It could not decide and the policy says to refuse.
        Faulted = "faulted",
        /// It could not decide and was passed over (`on_error: skip`).
        FaultSkipped = "fault-skipped",
    }
}

names! {
    /// How a request ended.
    Outcome {
        /// Under way.
        Open = "open",
        /// A provider's reply went out.
        Replied = "replied",
        /// A stage answered (a cache hit).
        Answered = "answered",
        /// A stage denied.
        Denied = "denied",
        /// It failed.
        Failed = "failed",
        /// The client left.
        Cancelled = "cancelled",
    }
}

/// What one stage did.
#[derive(Clone, Debug, PartialEq)]
pub struct StageTrace {
    /// The stage's name, unique in its pipeline.
    pub name: Arc<str>,
    /// Its verb.
    pub verb: Verb,
    /// What it runs: a built-in's name, `cel` or `rhai`.
    pub body: Arc<str>,
    /// How it takes part.
    pub mode: Mode,
    /// What it did; for a shadowed stage what it would have done.
    pub decision: Decision,
    /// Why, without quoting the prompt.
    pub reason: Option<String>,
    /// Time spent in its hooks.
    pub took: Duration,
    /// Facts that it gave: names and values (similarity, finds, counts), and what scripts print.
    pub facts: Vec<(&'static str, serde_json::Value)>,
}

/// When things happened, as durations since the request's head was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// The request was complete.
    pub received: Option<Duration>,
    /// All stages on the way down were done.
    pub decided: Option<Duration>,
    /// The upstream's first byte.
    pub upstream_first_byte: Option<Duration>,
    /// The first event or the whole reply was released.
    pub first_release: Option<Duration>,
    /// All was done.
    pub done: Option<Duration>,
}

/// All decisions of one request.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// The pipeline's name; empty when none matched.
    pub pipeline: Arc<str>,
    /// The stages in written order, frames first; sized at load.
    pub stages: Vec<StageTrace>,
    /// Every try.
    pub attempts: Vec<Attempt>,
    /// When things happened.
    pub timings: Timings,
    /// How it ended.
    pub outcome: Outcome,
    /// `error.code` of the refusal, if it was refused.
    pub error: Option<String>,
    /// What a fault's detail said, for the operator. In the gateway's own words: it quotes no prompt.
    pub detail: Option<String>,
    /// What the last provider that failed said of it, cut short. It may quote the prompt.
    pub said: Option<String>,
    /// Tags that stages gave the request, each once, in order.
    pub tags: Vec<Arc<str>>,
    /// Fields that a change of dialect could not carry, and `logprobs` that spelt words which a stage has changed.
    pub dropped: Vec<String>,
}

impl Default for Trace {
    fn default() -> Self {
        Self {
            pipeline: Arc::from(""),
            stages: Vec::new(),
            attempts: Vec::new(),
            timings: Timings::default(),
            outcome: Outcome::Open,
            error: None,
            detail: None,
            said: None,
            tags: Vec::new(),
            dropped: Vec::new(),
        }
    }
}

impl Trace {
    /// Notes once that log-probabilities were taken away, since they spelt words that a stage has changed.
    pub fn drop_repeats(&mut self) {
        if self.dropped.iter().all(|feature| feature != "logprobs") {
            self.dropped.push("logprobs".to_owned());
        }
    }

    /// The trace of the stage with this name.
    pub fn stage(&self, name: &str) -> Option<&StageTrace> {
        self.stages.iter().find(|stage| &*stage.name == name)
    }
}
