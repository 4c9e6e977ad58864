//! The `attempt:` stages: whether a target may be asked, and with what.

use crate::plan::Step;
use crate::run::{Run, holds, set_scene, settle, within};
use crate::{Exchange, Hook, Needs, Notes, Refusal, Slot, Verdict, Visit};
use std::sync::Arc;
use std::time::Duration;
use weir_message::{Decision, Mode};
use weir_state::Space;

impl Run {
    /// Runs the `attempt:` stages that the attempt under way concerns on a copy of the request: those of the outermost route,
    /// then those of the places that it came by. `Some`: the target is ruled out, with the reason. Their places in the trace
    /// begin `at`.
    pub(super) async fn ruled_out(&mut self, steps: &[Step], at: usize) -> Result<Option<String>, Refusal> {
        let path = self.x.trace.attempts.last().map_or(&[][..], |attempt| &attempt.path);
        if !steps.iter().any(|step| path.starts_with(&step.within)) {
            return Ok(None);
        }
        let path = path.to_vec();
        let concerned = |step: &Step| path.starts_with(&step.within);
        let mut x = self.x.clone();
        x.attempt = x.trace.attempts.last().cloned();
        for (n, step) in steps.iter().enumerate().filter(|(_, step)| concerned(step)) {
            let said = match joins(&mut x, step) {
                Ok(false) => {
                    self.note(at + n, Decision::Skipped, Duration::ZERO, Notes::default());
                    continue;
                }
                Ok(true) if step.mode == Mode::Shadow => {
                    let mut copy = x.clone();
                    copy.space = Space::Shadow;
                    self.tried(&mut copy, step, at + n).await?;
                    continue;
                }
                Ok(true) => self.tried(&mut x, step, at + n).await?,
                Err(reason) => self.could_not(step, at + n, reason, Duration::ZERO, Notes::default()),
            };
            if said.is_some() {
                return Ok(said);
            }
        }
        if x.request.edits() > self.x.request.edits() {
            self.attempt_request = Some(Box::new(x.request));
        }
        Ok(None)
    }

    /// One `attempt:` stage. `Some`: it rules the target out.
    async fn tried(&mut self, x: &mut Exchange, step: &Step, at: usize) -> Result<Option<String>, Refusal> {
        if step.declares.needs.has(Needs::BODY) {
            weir_dialect::decode(&mut x.request).map_err(Refusal::Failed)?;
        }
        set_scene(x, step);
        let clock = Arc::clone(&x.gateway.clock);
        let (before, edits) = (clock.now(), x.request.edits());
        let mut notes = Notes::default();
        let verdict = {
            let trial = &mut Trial { x, step, slot: None, notes: &mut notes };
            match step.stage.request(Visit { exchange: trial.x, slot: &mut trial.slot, notes: trial.notes }) {
                Hook::Done(verdict) => verdict,
                Hook::Wait(future) => within(&*clock, step.timeout, future).await,
            }
        };
        let took = clock.now().saturating_sub(before);
        Ok(match verdict {
            Verdict::Continue | Verdict::Answer(_) => {
                let edited = x.request.edits() > edits;
                self.note(at, if edited { Decision::Edited } else { Decision::Passed }, took, notes);
                if edited && step.declares.needs.has(Needs::BODY) {
                    settle(&mut x.request)
                        .and_then(|()| weir_dialect::decode(&mut x.request))
                        .map_err(Refusal::Failed)?;
                }
                None
            }
            Verdict::Deny(denial) => {
                let said = format!("{}: {}", step.name, denial.message);
                self.note(at, Decision::Denied, took, notes);
                Some(said)
            }
            Verdict::Fault(reason) => self.could_not(step, at, reason, took, notes),
        })
    }

    /// An `attempt:` stage that could not decide rules the target out unless the policy passes it over.
    fn could_not(
        &mut self,
        step: &Step,
        at: usize,
        reason: String,
        took: Duration,
        notes: Notes,
    ) -> Option<String> {
        let said = format!("{}: {reason}", step.name);
        self.fault(at, step, reason, took, notes).map(|_| said)
    }
}

/// An `attempt:` stage at work; its `end` runs even if the client leaves meanwhile.
struct Trial<'a> {
    x: &'a mut Exchange,
    step: &'a Step,
    slot: Slot,
    notes: &'a mut Notes,
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        self.step.stage.end(Visit { exchange: self.x, slot: &mut self.slot, notes: self.notes });
    }
}

/// Whether an `attempt:` stage takes part in this attempt.
fn joins(x: &mut Exchange, step: &Step) -> Result<bool, String> {
    if step.mode == Mode::Off || step.sample.is_some_and(|share| x.chance(&step.name) >= share) {
        return Ok(false);
    }
    for when in &step.whens {
        if !holds(x, &when.expression, &when.params)? {
            return Ok(false);
        }
    }
    Ok(true)
}
