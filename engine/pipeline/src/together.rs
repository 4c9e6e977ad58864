//! Guards that judge side by side (`together`), each on a copy of the request; with `while: upstream` while a provider works
//! already.

use crate::attempt::{Reached, Wants};
use crate::plan::Step;
use crate::run::{Run, set_scene, within};
use crate::settle::of_reply;
use crate::up::Flow;
use crate::{Exchange, Hook, Notes, OnError, Refusal, Slot, Stage, Verdict, Visit};
use futures::future::{BoxFuture, Either, FutureExt, select};
use futures::stream::{FuturesUnordered, StreamExt};
use std::sync::Arc;
use std::time::Duration;
use weir_message::{Cause, Decision, ErrorCode, Fault};

/// Guards at work, in written order.
#[derive(Default)]
pub(crate) struct Judges {
    /// Those whose word is out.
    working: FuturesUnordered<BoxFuture<'static, (usize, Judged)>>,
    all: Vec<Judge>,
}

/// One guard.
struct Judge {
    /// The index of its step.
    step: usize,
    /// Whether it is passed over where it cannot decide.
    skips: bool,
    judged: Option<Judged>,
}

/// What a guard said.
struct Judged {
    verdict: Verdict,
    slot: Slot,
    notes: Notes,
    took: Duration,
}

impl Judges {
    /// Lets a guard work on its own copy of the request. Returns whether it is known already that one refuses.
    pub(crate) fn add(&mut self, x: &Exchange, n: usize, step: &Step) -> bool {
        let mut x = x.clone();
        set_scene(&mut x, step);
        let (stage, timeout, place) = (Arc::clone(&step.stage), step.timeout, self.all.len());
        let mut work = async move { (place, judge(x, stage, timeout).await) }.boxed();
        // Most decide at once, and need no place among those that work.
        let judged = (&mut work).now_or_never().map(|(_, judged)| judged);
        if judged.is_none() {
            self.working.push(work);
        }
        self.all.push(Judge { step: n, skips: step.on_error == OnError::Skip, judged });
        matches!(self.word(), Some(Some(_)))
    }

    /// What they say together, as far as it is known: the first in written order that refuses, once all before it have let the
    /// request pass; or that none does.
    fn word(&self) -> Option<Option<usize>> {
        for (place, judge) in self.all.iter().enumerate() {
            let judged = judge.judged.as_ref()?;
            if judge.refuses(judged) {
                return Some(Some(place));
            }
        }
        Some(None)
    }

    /// Waits until it is known whether one refuses. Those behind it are let go.
    pub(crate) async fn settle(&mut self) -> Option<usize> {
        loop {
            if let Some(word) = self.word() {
                return word;
            }
            let (place, judged) = self.working.next().await?;
            if let Some(judge) = self.all.get_mut(place) {
                judge.judged = Some(judged);
            }
        }
    }
}

impl Judge {
    fn refuses(&self, judged: &Judged) -> bool {
        match judged.verdict {
            Verdict::Deny(_) => true,
            Verdict::Fault(_) => !self.skips,
            Verdict::Continue | Verdict::Answer(_) => false,
        }
    }
}

/// Runs a guard's request hook on a copy.
async fn judge(mut x: Exchange, stage: Arc<dyn Stage>, timeout: Duration) -> Judged {
    let clock = Arc::clone(&x.gateway.clock);
    let before = clock.now();
    let (mut slot, mut notes) = (None, Notes::default());
    let visit = Visit { exchange: &mut x, slot: &mut slot, notes: &mut notes };
    let verdict = match stage.request(visit) {
        Hook::Done(verdict) => verdict,
        Hook::Wait(future) => within(&*clock, timeout, future).await,
    };
    Judged { verdict, slot, notes, took: clock.now().saturating_sub(before) }
}

impl Run {
    /// Waits for the guards that judge side by side, and writes what each did into the trace. Not every request has such: the
    /// future has memory of its own, so that the others do not carry it.
    pub(crate) fn judged<'a>(
        &'a mut self,
        steps: &'a [Step],
        mut judges: Judges,
    ) -> BoxFuture<'a, Result<(), Refusal>> {
        Box::pin(async move {
            let refuses = judges.settle().await;
            self.told(steps, judges, refuses)
        })
    }

    /// What each guard said: into the trace, and into what is kept for its later hooks. The error is the refusal of the one at
    /// the place `refuses`.
    pub(crate) fn told(
        &mut self,
        steps: &[Step],
        judges: Judges,
        refuses: Option<usize>,
    ) -> Result<(), Refusal> {
        let mut refusal = None;
        for (place, Judge { step: n, judged, .. }) in judges.all.into_iter().enumerate() {
            let (Some(step), Some(Judged { verdict, slot, notes, took })) = (steps.get(n), judged) else {
                let reason = Some("it was refused before this guard was done".to_owned());
                self.note(n, Decision::NotReached, Duration::ZERO, Notes { reason, ..Notes::default() });
                continue;
            };
            self.keep(n, slot);
            let refused = match verdict {
                Verdict::Continue | Verdict::Answer(_) => {
                    self.note(n, Decision::Passed, took, notes);
                    None
                }
                Verdict::Deny(denial) => Some(self.deny(n, step, *denial, took, notes)),
                Verdict::Fault(reason) => {
                    self.pass_over(n);
                    self.fault(n, step, reason, took, notes)
                }
            };
            refusal = refusal.or(refused.filter(|_| refuses == Some(place)));
        }
        refusal.map_or(Ok(()), Err)
    }

    /// Reaches a target while guards judge. Nothing of what it answers goes on before all have let the request pass; if one
    /// refuses, the provider is let go at once.
    pub(crate) async fn reach_judged(
        mut self: Box<Self>,
        steps: &[Step],
        wants: Wants,
        mut judges: Judges,
    ) -> (Box<Self>, Result<Reached, Refusal>) {
        let (reached, refuses) = {
            let reach = Box::pin(self.reach(steps, wants));
            let settle = Box::pin(judges.settle());
            match select(reach, settle).await {
                Either::Left((reached, settle)) => (Some(reached), settle.await),
                Either::Right((None, reach)) => (Some(reach.await), None),
                Either::Right((refuses, _)) => (None, refuses),
            }
        };
        let refusal = match (self.told(steps, judges, refuses), reached) {
            (Ok(()), Some(reached)) => return (self, reached),
            (Ok(()), None) => Refusal::Failed(Fault::new(ErrorCode::Internal, "a guard said nothing")),
            (Err(refusal), Some(Ok(Reached::Stream(begun)))) => {
                let flow = Flow::new(self, begun, steps, wants.usage);
                return (Box::new(flow).broken_off(&refusal), Err(refusal));
            }
            (Err(refusal), Some(Ok(Reached::Whole(mut reply)))) => {
                let usage = reply.usage.or_else(|| wants.usage.then(|| of_reply(&mut self.x, &mut reply)));
                self.settle_attempt(usage, None);
                refusal
            }
            (Err(refusal), Some(Err(_))) => refusal,
            (Err(refusal), None) => {
                if self.is_sent {
                    let usage = self.unknown_usage(Cause::Cancelled);
                    self.settle_attempt(usage, Some(Cause::Cancelled));
                }
                refusal
            }
        };
        (self, Err(refusal))
    }
}
