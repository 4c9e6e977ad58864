//! Which stages the cases never reached, and which never did anything.

use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use weir_message::{Decision, Trace, Verb};
use weir_pipeline::Plan;

/// What the cases did with the stages of their sets.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Coverage {
    /// By set, pipeline and stage.
    pub stages: Vec<StageCoverage>,
}

/// What the cases did with one stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StageCoverage {
    /// The folder of the set.
    pub set: String,
    /// The pipeline.
    pub pipeline: String,
    /// The stage.
    pub stage: String,
    /// How often it ran.
    pub ran: usize,
    /// How often it did more than let pass: edited, answered, denied, faulted.
    pub acted: usize,
    /// Whether it is one that only looks or chooses, so that it has nothing to act on.
    pub only_passes: bool,
}

/// Adds up traces.
#[derive(Default)]
pub(crate) struct Tally {
    seen: BTreeMap<(String, String, String), StageCoverage>,
    order: Vec<(String, String, String)>,
}

impl Tally {
    /// Notes all stages of a set.
    pub(crate) fn outline(&mut self, set: &str, plan: &Plan) {
        for (pipeline, stages) in plan.outline() {
            for stage in stages {
                self.slot(set, &pipeline, &stage);
            }
        }
    }

    /// Adds a trace.
    pub(crate) fn add(&mut self, set: &str, trace: &Trace) {
        for stage in &trace.stages {
            let slot = self.slot(set, &trace.pipeline, &stage.name);
            slot.ran += usize::from(stage.decision > Decision::Skipped);
            slot.acted += usize::from(stage.decision > Decision::Passed);
            slot.only_passes = matches!(stage.verb, Verb::Observe | Verb::Route);
        }
    }

    fn slot(&mut self, set: &str, pipeline: &str, stage: &str) -> &mut StageCoverage {
        let key = (set.to_owned(), pipeline.to_owned(), stage.to_owned());
        if !self.seen.contains_key(&key) {
            self.order.push(key.clone());
        }
        self.seen.entry(key).or_insert_with(|| StageCoverage {
            set: set.to_owned(),
            pipeline: pipeline.to_owned(),
            stage: stage.to_owned(),
            ran: 0,
            acted: 0,
            only_passes: false,
        })
    }

    pub(crate) fn finish(mut self) -> Coverage {
        let stages = self.order.iter().filter_map(|key| self.seen.remove(key)).collect();
        Coverage { stages }
    }
}

impl Coverage {
    /// As text: what was never evaluated, and what never held.
    pub fn to_text(&self) -> String {
        let mut out = String::from("coverage\n");
        let mut gaps = 0;
        for stage in &self.stages {
            let what = match (stage.ran, stage.acted) {
                (0, _) => "never evaluated",
                (_, 0) if !stage.only_passes => "never acted: it let every request of the cases pass",
                _ => continue,
            };
            gaps += 1;
            let _ = writeln!(out, "  {} · {} · {}: {what}", stage.set, stage.pipeline, stage.stage);
        }
        if gaps == 0 {
            let _ = writeln!(out, "  all {} stages ran, and all that can act did", self.stages.len());
        }
        out
    }
}
