//! One request through one pipeline: down through the stages, out to a target, up again, and to its end.

use crate::home::Home;
use crate::plan::{OnError, Pipeline, Step, When};
use crate::shadow::Shadow;
use crate::together::Judges;
use crate::{
    Exchange, Flow, Gateway, Hook, Notes, Plan, Refusal, Slot, StreamVerdict, Verdict, Visit, explain,
};
use futures::future::{BoxFuture, Either, select};
use std::sync::Arc;
use std::time::Duration;
use weir_message::{
    Body, Cause, Decision, Denial, ErrorCode, Fault, Mode, Outcome, Reply, ReplyBody, Request, Verb,
};
use weir_script::{Expression, Reads};
use weir_state::Place;

/// A request under way. However it ends, dropped included, each stage whose request hook ran gets `end` once and each
/// observer its record.
pub(crate) struct Run {
    pub x: Exchange,
    /// Which pipeline of the plan.
    pub pipeline: usize,
    /// What is kept for each step.
    kept: Vec<Kept>,
    /// Shadowed steps' own copies.
    pub shadows: Vec<Option<Shadow>>,
    /// Conditions that several steps share, as far as decided.
    decided: Vec<Option<bool>>,
    /// Guards that judge while a provider is asked.
    pub judges: Option<Box<Judges>>,
    /// The request as `attempt:` stages changed it, for the attempt about to be made.
    pub attempt_request: Option<Box<Request>>,
    /// Whether the attempt under way was handed to the upstream.
    pub is_sent: bool,
    /// Where the ledger takes the attempt under way.
    pub place: Option<Place>,
    /// Where it must go, if it names things that a provider keeps.
    pub home: Option<Box<Home>>,
    /// What kept the last attempt that was not sent from being sent.
    pub unsupported: Vec<&'static str>,
    /// Whether it has a pipeline and has not ended.
    is_open: bool,
}

/// What is kept for a step.
#[derive(Default)]
struct Kept {
    slot: Slot,
    part: Part,
}

/// A step's part in a request.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Part {
    /// Its request hook did not run: not reached, left out, or in shadow.
    #[default]
    None,
    /// Its request hook could not decide and it is passed over: nothing but its `end` runs.
    Over,
    /// It takes part, on the way up too.
    Whole,
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
    /// A request that arrived and has no pipeline yet.
    pub(crate) fn arrive(gateway: &Arc<Gateway>, plan: &Arc<Plan>, request: Request) -> Box<Self> {
        Box::new(Self {
            x: Exchange::arrive(gateway, plan, request),
            pipeline: 0,
            kept: Vec::new(),
            shadows: Vec::new(),
            decided: Vec::new(),
            judges: None,
            attempt_request: None,
            is_sent: false,
            place: None,
            home: None,
            unsupported: Vec::new(),
            is_open: false,
        })
    }

    /// Its pipeline is known: from here on there is an end to it.
    pub(crate) fn enter(&mut self, pipeline: usize) {
        self.pipeline = pipeline;
        self.is_open = true;
        if let Some(pipeline) = self.x.plan.pipelines.get(pipeline) {
            self.kept.resize_with(pipeline.steps.len(), Kept::default);
            self.decided.resize(pipeline.shared_conditions, None);
            if pipeline.steps.iter().any(|step| step.mode == Mode::Shadow) {
                self.shadows.resize_with(pipeline.steps.len(), || None);
            }
        }
    }

    /// The plan, for borrows that outlive changes to the run.
    pub(crate) fn plan(&self) -> Arc<Plan> {
        Arc::clone(&self.x.plan)
    }

    /// Whether a step takes part on the way up.
    pub(crate) fn is_in(&self, n: usize) -> bool {
        self.kept.get(n).is_some_and(|kept| kept.part == Part::Whole)
    }

    fn set_part(&mut self, n: usize, part: Part) {
        if let Some(kept) = self.kept.get_mut(n) {
            kept.part = part;
        }
    }

    /// Visits a step: sets the scene, makes the visit's three borrows.
    pub(crate) fn visit<'a>(&'a mut self, n: usize, step: &Step, notes: &'a mut Notes) -> Option<Visit<'a>> {
        set_scene(&mut self.x, step);
        Some(Visit { exchange: &mut self.x, slot: &mut self.kept.get_mut(n)?.slot, notes })
    }

    /// All stages on the way down.
    pub(crate) async fn down(&mut self, steps: &[Step]) -> Down {
        let clock = Arc::clone(&self.x.gateway.clock);
        let mut before = clock.now();
        let mut beside: (Option<u32>, Option<Judges>) = (None, None);
        for (n, step) in steps.iter().enumerate() {
            let group = step.together.map(|together| together.number);
            if beside.0 != group
                && let Some(judges) = beside.1.take()
            {
                // All of a group are at work: the next stage waits for their word.
                if let Err(refusal) = self.judged(steps, judges).await {
                    return Down::Refused(refusal);
                }
                before = clock.now();
            }
            beside.0 = group;
            let part = self.takes_part(step);
            let conditions = self.conditions(step);
            match part {
                Ok(true) => self.remark(n, conditions),
                Ok(false) => {
                    self.note(n, Decision::Skipped, Duration::ZERO, conditions);
                    continue;
                }
                Err(reason) => {
                    if let Some(refusal) = self.fault(n, step, reason, Duration::ZERO, conditions) {
                        return Down::Refused(refusal);
                    }
                    continue;
                }
            }
            let decoded = match step.declares.needs.has(crate::Needs::BODY) {
                true => weir_dialect::decode(&mut self.x.request),
                false => Ok(()),
            };
            if step.mode == Mode::Shadow {
                self.shadow(n, step, decoded);
                before = clock.now();
                continue;
            }
            if let Err(fault) = decoded {
                return Down::Refused(Refusal::Failed(fault));
            }
            if self.x.request.body == Body::Opaque
                && let Some(refusal) = unread(step, step.declares.judges_request)
            {
                return Down::Refused(refusal);
            }
            if let Some(together) = step.together {
                let judges = match together.upstream {
                    true => &mut **self.judges.get_or_insert_default(),
                    false => beside.1.get_or_insert_default(),
                };
                if judges.add(&self.x, n, step) {
                    let judges = std::mem::take(judges);
                    if let Err(refusal) = self.judged(steps, judges).await {
                        return Down::Refused(refusal);
                    }
                }
                before = clock.now();
                continue;
            }
            let edits = self.x.request.edits();
            let mut notes = Notes::default();
            self.set_part(n, Part::Whole);
            let Some(visit) = self.visit(n, step, &mut notes) else { continue };
            let verdict = match step.stage.request(visit) {
                Hook::Done(verdict) => verdict,
                Hook::Wait(future) => within(&*clock, step.timeout, future).await,
            };
            let now = clock.now();
            let took = now.saturating_sub(before);
            before = now;
            match verdict {
                Verdict::Continue => {
                    let edited = self.x.request.edits() > edits;
                    self.note(n, if edited { Decision::Edited } else { Decision::Passed }, took, notes);
                    if edited && let Err(fault) = self.read_again() {
                        let reason = format!("its edit left a body that cannot be read: {}", fault.message);
                        return Down::Refused(unavailable(step, &reason));
                    }
                }
                Verdict::Answer(reply) => {
                    self.note(n, Decision::Answered, took, notes);
                    return Down::Answered(n, reply);
                }
                Verdict::Deny(denial) => return Down::Refused(self.deny(n, step, *denial, took, notes)),
                Verdict::Fault(reason) => {
                    self.set_part(n, Part::Over);
                    if let Some(refusal) = self.fault(n, step, reason, took, notes) {
                        return Down::Refused(refusal);
                    }
                }
            }
        }
        let Some(judges) = beside.1 else { return Down::Through };
        match self.judged(steps, judges).await {
            Ok(()) => Down::Through,
            Err(refusal) => Down::Refused(refusal),
        }
    }

    /// Keeps what a guard left that judged a copy: it takes part from now on.
    pub(crate) fn keep(&mut self, n: usize, slot: Slot) {
        if let Some(kept) = self.kept.get_mut(n) {
            *kept = Kept { slot, part: Part::Whole };
        }
    }

    /// A stage could not decide: nothing but its `end` runs.
    pub(crate) fn pass_over(&mut self, n: usize) {
        self.set_part(n, Part::Over);
    }

    /// Lets a shadowed step decide on a copy. A body that it cannot read is its own trouble and nobody else's.
    fn shadow(&mut self, n: usize, step: &Step, decoded: Result<(), Fault>) {
        if let Err(fault) = decoded {
            let notes = Notes { reason: Some(fault.message.to_string()), ..Notes::default() };
            self.note(n, Decision::Faulted, Duration::ZERO, notes);
            return;
        }
        let shadow = Shadow::request(&self.x, step);
        if let Some(place) = self.shadows.get_mut(n) {
            *place = Some(shadow);
        }
    }

    /// A change by pointer or added words leave nothing decoded: what is below reads the request as it is now.
    fn read_again(&mut self) -> Result<(), Fault> {
        settle(&mut self.x.request)?;
        if !matches!(self.x.request.body, Body::Unread) || self.x.request.head.object_at.is_some() {
            return Ok(());
        }
        let pipeline = self.x.plan.pipelines.get(self.pipeline);
        match pipeline.is_some_and(|pipeline| pipeline.needs.has(crate::Needs::BODY)) {
            true => weir_dialect::decode(&mut self.x.request),
            false => weir_dialect::read_head(&mut self.x.request),
        }
    }

    /// The whole reply in [`Exchange::reply`] up through the steps above `from` that take part.
    pub(crate) async fn up(&mut self, steps: &[Step], from: usize) -> Result<(), Refusal> {
        for (n, step) in steps.iter().enumerate().take(from).rev() {
            if !step.declares.reads_reply {
                continue;
            }
            if let Some(Some(_)) = self.shadows.get(n) {
                // What a shadow cannot read is its own trouble.
                let read = self.decode_reply();
                let reply = self.x.reply.clone().filter(|_| read.is_ok());
                if let Some(Some(shadow)) = self.shadows.get_mut(n) {
                    shadow.reply(&self.x, reply, step);
                }
            } else if self.is_in(n) {
                self.decode_reply()?;
                if self.is_unread_reply()
                    && let Some(refusal) = unread(step, true)
                {
                    return Err(refusal);
                }
                self.reply_hook(n, step).await?;
            }
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

    /// Whether the reply is of what a provider keeps, and is nothing that can be read.
    fn is_unread_reply(&self) -> bool {
        weir_dialect::is_passed(self.x.request.operation)
            && self.x.reply.as_ref().is_some_and(|reply| reply.body == ReplyBody::Opaque)
    }

    /// Decodes the whole reply, if it is not yet.
    pub(crate) fn decode_reply(&mut self) -> Result<(), Refusal> {
        let (operation, dialect) = (self.x.request.operation, self.x.request.dialect);
        let Some(reply) = &mut self.x.reply else { return Ok(()) };
        weir_dialect::decode_reply(reply, dialect, operation).map_err(Refusal::Failed)
    }

    /// The conditions of a step up to the first that does not hold, with their values, if those are wanted.
    fn conditions(&mut self, step: &Step) -> Notes {
        let mut notes = Notes::default();
        if step.mode == Mode::Off || step.whens.is_empty() || !explain::is_wanted(&self.x) {
            return notes;
        }
        let mut told = Vec::new();
        for When { expression, params, .. } in &step.whens {
            set_params(&mut self.x, params);
            let (values, holds) = explain::of(&self.x, expression);
            told.push(values);
            if !holds {
                break;
            }
        }
        notes.fact("when", told);
        notes
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
        for When { expression: when, params, shared } in &step.whens {
            match shared.and_then(|n| self.decided.get(n).copied().flatten()) {
                Some(true) => continue,
                Some(false) => return Ok(false),
                None => {}
            }
            let holds = holds(&mut self.x, when, params)?;
            if let Some(known) = shared.and_then(|n| self.decided.get_mut(n)) {
                *known = Some(holds);
            }
            if !holds {
                return Ok(false);
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
        if stage.mode == Mode::Enforce {
            for tag in notes.tags {
                if !self.x.trace.tags.contains(&tag) {
                    self.x.trace.tags.push(tag);
                }
            }
        }
    }

    /// Writes what a step noted into the trace, which decides nothing.
    fn remark(&mut self, n: usize, notes: Notes) {
        // Few steps have anything to say but what they decided.
        if !notes.is_empty() {
            self.note(n, Decision::NotReached, Duration::ZERO, notes);
        }
    }

    /// Ends the request: `end` for each stage that was entered, then the record for each observer, then the sink.
    pub(crate) fn finish(&mut self, outcome: Outcome) {
        if !std::mem::replace(&mut self.is_open, false) {
            return;
        }
        self.x.trace.outcome = outcome;
        self.done();
        let plan = self.plan();
        let Some(pipeline) = plan.pipelines.get(self.pipeline) else { return };
        for (n, step) in pipeline.steps.iter().enumerate() {
            if let Some(Some(shadow)) = self.shadows.get_mut(n) {
                let (decision, took, notes) = shadow.finish(step);
                self.note(n, decision, took, notes);
            }
            if self.kept.get(n).is_none_or(|kept| kept.part == Part::None) {
                continue;
            }
            let mut notes = Notes::default();
            if let Some(visit) = self.visit(n, step, &mut notes) {
                step.stage.end(visit);
            }
            self.remark(n, notes);
        }
        for (n, step) in pipeline.steps.iter().enumerate() {
            if step.verb == Verb::Observe && step.mode != Mode::Off {
                let mut notes = Notes::default();
                if let Some(visit) = self.visit(n, step, &mut notes) {
                    step.stage.record(visit);
                }
                self.remark(n, notes);
            }
        }
        let gateway = Arc::clone(&self.x.gateway);
        gateway.sink.ended(&mut self.x);
    }

    /// Notes when all was done for the client.
    fn done(&mut self) {
        if self.x.trace.timings.done.is_none() {
            self.x.trace.timings.done = Some(self.x.elapsed());
        }
    }

    /// Ends the request once its shadows have decided. The reply waits for that only where the sink says so.
    pub(crate) async fn end(mut self: Box<Self>, outcome: Outcome) {
        self.done();
        if !self.shadows.iter_mut().flatten().any(Shadow::is_busy) {
            return self.finish(outcome);
        }
        let waits = self.x.gateway.sink.waits_for_shadows();
        let settled = async move {
            for shadow in self.shadows.iter_mut().flatten() {
                shadow.settle().await;
            }
            self.finish(outcome);
        };
        match waits {
            true => settled.await,
            false => drop(tokio::spawn(settled)),
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.is_open && self.is_sent {
            // The client left while a provider worked.
            let usage = self.unknown_usage(Cause::Cancelled);
            self.settle_attempt(usage, Some(Cause::Cancelled));
        }
        self.finish(Outcome::Cancelled);
    }
}

/// The refusal of a body that a guard should read and cannot, unless the policy lets it pass.
fn unread(step: &Step, judges: bool) -> Option<Refusal> {
    let reads = step.declares.reads_operations.is_some() || step.declares.reads_reply;
    (step.verb == Verb::Guard && judges && reads && !step.unread_pass).then(|| {
        let message = format!("the guard \"{}\" of the policy reads texts, and this body is none", step.name);
        Refusal::Failed(Fault::new(ErrorCode::UnreadableBody, message))
    })
}

/// Lets what a stage added stand in the bytes, so that the next one can change it.
pub(crate) fn settle(request: &mut Request) -> Result<(), Fault> {
    request.settle().map_err(|error| {
        Fault::new(ErrorCode::BadRequest, "an edit finds no place in the body").detail(error.to_string())
    })
}

/// Sets what a stage sees of its own place.
pub(crate) fn set_scene(x: &mut Exchange, step: &Step) {
    set_params(x, &step.params);
    x.stage = Arc::clone(&step.name);
    if step.verb == Verb::Cache {
        x.below = step.below.of(x);
    }
}

/// Sets what expressions read as `params`. Most stages share theirs.
fn set_params(x: &mut Exchange, params: &Arc<serde_json::Value>) {
    if !Arc::ptr_eq(&x.params, params) {
        x.params = Arc::clone(params);
    }
}

/// Whether a condition holds for the request as it is now.
pub(crate) fn holds(
    x: &mut Exchange,
    when: &Expression,
    params: &Arc<serde_json::Value>,
) -> Result<bool, String> {
    set_params(x, params);
    if when.reads().meets(Reads::BODY | Reads::TOKENS) {
        weir_dialect::decode(&mut x.request).map_err(|fault| fault.message.to_string())?;
    }
    when.eval_bool(&x.view(), &*x.plan.services).map_err(|fault| format!("when: {fault}"))
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

/// A stream hook's future within its time.
pub(crate) async fn within_flow(
    clock: &dyn crate::Clock,
    timeout: Duration,
    flow: Flow<'_>,
) -> StreamVerdict {
    match flow {
        Flow::Done(verdict) => verdict,
        Flow::Wait(future) => match select(future, clock.sleep(timeout)).await {
            Either::Left((verdict, _)) => verdict,
            Either::Right(_) => {
                StreamVerdict::Fault(format!("no decision within {} ms", timeout.as_millis()))
            }
        },
    }
}

/// Whether a pipeline takes the request, decoded if its `when` reads the body.
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
