//! One request through one pipeline: down through the stages, out to a target, up again, and to its end.

use crate::plan::{OnError, Pipeline, Step, When};
use crate::shadow::Shadow;
use crate::{Exchange, Hook, Notes, Plan, Refusal, Slot, Verdict, Visit};
use futures::future::{BoxFuture, Either, select};
use std::sync::Arc;
use std::time::Duration;
use weir_message::{Cause, Decision, Denial, ErrorCode, Fault, Mode, Outcome, Reply, Request, Usage};
use weir_script::Reads;

/// A request under way. However it ends, dropped included, each stage whose request hook ran gets `end` once and each
/// observer its record.
pub(crate) struct Run {
    pub x: Exchange,
    /// Which pipeline of the plan.
    pub pipeline: usize,
    /// What each step keeps.
    pub slots: Vec<Slot>,
    /// Which steps' request hooks ran and take part on the way up.
    pub entered: Vec<bool>,
    /// Shadowed steps' own copies.
    pub shadows: Vec<Option<Shadow>>,
    /// The request as `attempt:` stages changed it, for the attempt about to be made.
    pub attempt_request: Option<Box<Request>>,
    /// What the last provider said in its error.
    pub said: Option<String>,
    ended: bool,
}

/// How the way down ended.
pub(crate) enum Down {
    /// All stages let it pass.
    Through,
    /// The step with this index answered.
    Answered(usize, Box<Reply>),
    /// It was refused.
    Refused(Refusal),
}

impl Run {
    pub(crate) fn new(x: Exchange, pipeline: usize) -> Self {
        let steps = x.plan.pipelines.get(pipeline).map_or(0, |pipeline| pipeline.steps.len());
        let mut run = Self {
            x,
            pipeline,
            slots: Vec::new(),
            entered: Vec::new(),
            shadows: Vec::new(),
            attempt_request: None,
            said: None,
            ended: false,
        };
        run.slots.resize_with(steps, || None);
        run.entered.resize(steps, false);
        if run.pipeline().is_some_and(|p| p.steps.iter().any(|step| step.mode == Mode::Shadow)) {
            run.shadows.resize_with(steps, || None);
        }
        run
    }

    /// The plan, for borrows that outlive changes to the run.
    pub(crate) fn plan(&self) -> Arc<Plan> {
        Arc::clone(&self.x.plan)
    }

    fn pipeline(&self) -> Option<&Pipeline> {
        self.x.plan.pipelines.get(self.pipeline)
    }

    /// Visits a step: sets the scene, makes the visit's three borrows.
    pub(crate) fn visit<'a>(&'a mut self, n: usize, step: &Step, notes: &'a mut Notes) -> Option<Visit<'a>> {
        set_scene(&mut self.x, step);
        Some(Visit { exchange: &mut self.x, slot: self.slots.get_mut(n)?, notes })
    }

    /// All stages on the way down.
    pub(crate) async fn down(&mut self, steps: &[Step]) -> Down {
        for (n, step) in steps.iter().enumerate() {
            match self.takes_part(step) {
                Ok(true) => {}
                Ok(false) => {
                    self.note(n, Decision::Skipped, Duration::ZERO, Notes::default());
                    continue;
                }
                Err(reason) => {
                    if let Some(refusal) = self.fault(n, step, reason, Duration::ZERO, Notes::default()) {
                        return Down::Refused(refusal);
                    }
                    continue;
                }
            }
            if step.declares.needs.has(crate::Needs::BODY)
                && let Err(fault) = weir_dialect::decode(&mut self.x.request)
            {
                return Down::Refused(Refusal::Failed(fault));
            }
            if step.mode == Mode::Shadow {
                let shadow = Shadow::request(&self.x, step);
                if let Some(place) = self.shadows.get_mut(n) {
                    *place = Some(shadow);
                }
                continue;
            }
            let before = self.x.now();
            let edits = self.x.request.edits();
            let mut notes = Notes::default();
            if let Some(entered) = self.entered.get_mut(n) {
                *entered = true;
            }
            let clock = Arc::clone(&self.x.gateway.clock);
            let Some(visit) = self.visit(n, step, &mut notes) else { continue };
            let verdict = match step.stage.request(visit) {
                Hook::Done(verdict) => verdict,
                Hook::Wait(future) => within(&*clock, step.timeout, future).await,
            };
            let took = self.x.now().saturating_sub(before);
            match verdict {
                Verdict::Continue => {
                    let edited = self.x.request.edits() > edits;
                    self.note(n, if edited { Decision::Edited } else { Decision::Passed }, took, notes);
                    // A change by pointer leaves nothing decoded; what is below reads the request as it is now.
                    if edited && let Err(fault) = weir_dialect::decode(&mut self.x.request) {
                        return Down::Refused(Refusal::Failed(fault));
                    }
                }
                Verdict::Answer(reply) => {
                    self.note(n, Decision::Answered, took, notes);
                    // Its own reply hook does not run.
                    if let Some(entered) = self.entered.get_mut(n) {
                        *entered = true;
                    }
                    return Down::Answered(n, reply);
                }
                Verdict::Deny(denial) => return Down::Refused(self.deny(n, step, *denial, took, notes)),
                Verdict::Fault(reason) => {
                    if let Some(refusal) = self.fault(n, step, reason, took, notes) {
                        return Down::Refused(refusal);
                    }
                }
            }
        }
        Down::Through
    }

    /// The whole reply in [`Exchange::reply`] up through the entered steps above `from`.
    pub(crate) async fn up(&mut self, steps: &[Step], from: usize) -> Result<(), Refusal> {
        for (n, step) in steps.iter().enumerate().take(from).rev() {
            if !step.declares.reads_reply {
                continue;
            }
            self.decode_reply()?;
            if step.mode == Mode::Shadow {
                if let Some(Some(shadow)) = self.shadows.get_mut(n) {
                    shadow.reply(&self.x, step);
                }
                continue;
            }
            if !self.entered.get(n).copied().unwrap_or(false) {
                continue;
            }
            self.reply_hook(n, step).await?;
        }
        Ok(())
    }

    /// One step's reply hook on the whole reply.
    pub(crate) async fn reply_hook(&mut self, n: usize, step: &Step) -> Result<(), Refusal> {
        let before = self.x.now();
        let edits = self.x.reply.as_ref().map_or(0, Reply::edits);
        let mut notes = Notes::default();
        let clock = Arc::clone(&self.x.gateway.clock);
        let Some(visit) = self.visit(n, step, &mut notes) else { return Ok(()) };
        let verdict = match step.stage.reply(visit) {
            Hook::Done(verdict) => verdict,
            Hook::Wait(future) => within(&*clock, step.timeout, future).await,
        };
        let took = self.x.now().saturating_sub(before);
        match verdict {
            Verdict::Continue => {
                let edited = self.x.reply.as_ref().map_or(0, Reply::edits) > edits;
                self.note(n, if edited { Decision::Edited } else { Decision::Passed }, took, notes);
            }
            Verdict::Answer(reply) => {
                self.x.reply = Some(*reply);
                self.note(n, Decision::Edited, took, notes);
            }
            Verdict::Deny(denial) => return Err(self.deny(n, step, *denial, took, notes)),
            Verdict::Fault(reason) => {
                if let Some(refusal) = self.fault(n, step, reason, took, notes) {
                    return Err(refusal);
                }
            }
        }
        Ok(())
    }

    /// Decodes the whole reply, if it is not yet.
    pub(crate) fn decode_reply(&mut self) -> Result<(), Refusal> {
        let (operation, dialect) = (self.x.request.operation, self.x.request.dialect);
        let Some(reply) = &mut self.x.reply else { return Ok(()) };
        weir_dialect::decode_reply(reply, dialect, operation).map_err(Refusal::Failed)
    }

    /// Whether a step takes part: it is on, its conditions hold, its sample draws the request.
    pub(crate) fn takes_part(&mut self, step: &Step) -> Result<bool, String> {
        if step.mode == Mode::Off {
            return Ok(false);
        }
        if let Some(share) = step.sample
            && self.x.chance(&step.name) >= share
        {
            return Ok(false);
        }
        if step.whens.is_empty() {
            return Ok(true);
        }
        for When { expression: when, params } in &step.whens {
            self.x.params = Arc::clone(params);
            if when.reads().meets(Reads::BODY | Reads::TOKENS) {
                weir_dialect::decode(&mut self.x.request).map_err(|fault| fault.message.to_string())?;
            }
            match when.eval_bool(&self.x.view(), &*self.x.plan.services) {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(fault) => return Err(format!("when: {fault}")),
            }
        }
        Ok(true)
    }

    /// Records a denial as the policy wants it to read.
    pub(crate) fn deny(
        &mut self,
        n: usize,
        step: &Step,
        denial: Denial,
        took: Duration,
        notes: Notes,
    ) -> Refusal {
        self.note(n, Decision::Denied, took, notes);
        Refusal::Denied(dressed(step, denial))
    }

    /// Records a fault; a refusal unless the step says to pass it over.
    pub(crate) fn fault(
        &mut self,
        n: usize,
        step: &Step,
        reason: String,
        took: Duration,
        mut notes: Notes,
    ) -> Option<Refusal> {
        let refusal = match step.on_error {
            OnError::Skip => None,
            OnError::Refuse => Some(unavailable(step, &reason)),
        };
        notes.reason = Some(reason);
        let decision = if refusal.is_some() { Decision::Faulted } else { Decision::FaultSkipped };
        self.note(n, decision, took, notes);
        refusal
    }

    /// Writes what a step did into the trace. A later hook of the same step adds to it; the weightier decision stays.
    pub(crate) fn note(&mut self, n: usize, decision: Decision, took: Duration, notes: Notes) {
        let Some(stage) = self.x.trace.stages.get_mut(n) else { return };
        stage.took += took;
        stage.decision = stage.decision.max(decision);
        if notes.reason.is_some() {
            stage.reason = notes.reason;
        }
        stage.facts.extend(notes.facts);
    }

    /// Ends the request: `end` for each stage that was entered, then the record for each observer, then the sink.
    pub(crate) fn finish(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.x.trace.outcome = outcome;
        self.x.trace.timings.done = Some(self.x.elapsed());
        let plan = self.plan();
        let Some(pipeline) = plan.pipelines.get(self.pipeline) else { return };
        for (n, step) in pipeline.steps.iter().enumerate() {
            if let Some(Some(shadow)) = self.shadows.get_mut(n) {
                let (decision, took, notes) = shadow.finish(step);
                self.note(n, decision, took, notes);
            }
            if !self.entered.get(n).copied().unwrap_or(false) {
                continue;
            }
            let mut notes = Notes::default();
            if let Some(visit) = self.visit(n, step, &mut notes) {
                step.stage.end(visit);
            }
            self.note(n, Decision::NotReached, Duration::ZERO, notes);
        }
        for (n, step) in pipeline.steps.iter().enumerate() {
            if step.verb == weir_message::Verb::Observe && step.mode != Mode::Off {
                let mut notes = Notes::default();
                if let Some(visit) = self.visit(n, step, &mut notes) {
                    step.stage.record(visit);
                }
                self.note(n, Decision::NotReached, Duration::ZERO, notes);
            }
        }
        let gateway = Arc::clone(&self.x.gateway);
        gateway.sink.ended(&self.x);
    }

    /// Waits for shadows that still decide, so that the record is whole. Bounded by their own timeouts.
    pub(crate) async fn settle_shadows(&mut self) {
        for shadow in self.shadows.iter_mut().flatten() {
            shadow.settle().await;
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if !self.ended && self.x.trace.attempts.last().is_some_and(|attempt| attempt.cause.is_none()) {
            // The client left while a provider worked: what it was sent is booked.
            let usage =
                Usage { input: crate::settle::input_tokens(&self.x), counted: true, ..Usage::default() };
            self.settle_attempt(usage, Some(Cause::Cancelled));
        }
        self.finish(Outcome::Cancelled);
    }
}

/// Sets what a stage sees of its own place.
pub(crate) fn set_scene(x: &mut Exchange, step: &Step) {
    x.params = Arc::clone(&step.params);
    x.stage = Arc::clone(&step.name);
    x.below = step.below;
}

/// A denial as the policy wants it to read, with the stage's name.
pub(crate) fn dressed(step: &Step, mut denial: Denial) -> Denial {
    if let Some(answer) = &step.deny {
        answer.dress(&mut denial);
    }
    denial.stage = Some(Arc::clone(&step.name));
    denial
}

/// The refusal when a stage could not decide.
pub(crate) fn unavailable(step: &Step, reason: &str) -> Refusal {
    let message =
        format!("the stage \"{}\" could not do its work, and the policy refuses requests then", step.name);
    Refusal::Failed(
        Fault::new(ErrorCode::StageUnavailable, message).detail(format!("{}: {reason}", step.name)),
    )
}

/// A hook's future within its time.
pub(crate) async fn within(
    clock: &dyn crate::Clock,
    timeout: Duration,
    future: BoxFuture<'_, Verdict>,
) -> Verdict {
    match select(future, clock.sleep(timeout)).await {
        Either::Left((verdict, _)) => verdict,
        Either::Right(_) => Verdict::Fault(format!("no decision within {} ms", timeout.as_millis())),
    }
}

/// The request as an expression of a pipeline's `when` sees it: decoded if the expression reads the body.
pub(crate) fn matches(plan: &Plan, pipeline: &Pipeline, x: &mut Exchange) -> Result<bool, Fault> {
    let Some(when) = &pipeline.when else { return Ok(true) };
    if when.reads().meets(Reads::BODY | Reads::TOKENS) {
        weir_dialect::decode(&mut x.request)?;
    }
    when.eval_bool(&x.view(), &*plan.services).map_err(|fault| {
        Fault::new(
            ErrorCode::StageUnavailable,
            format!("the condition of pipeline \"{}\" could not be decided", pipeline.name),
        )
        .detail(fault.to_string())
    })
}

/// What the client sent, kept for stages that compare.
pub(crate) fn original(request: &Request) -> Arc<Request> {
    Arc::new(request.clone())
}
