//! The stages that look at a stream, the innermost first.

use crate::plan::Step;
use crate::run::{Run, within_flow};
use crate::shadow::Copies;
use crate::up::Flow;
use crate::{Notes, OnError, Refusal, StreamStage, StreamVerdict, Streaming};
use std::sync::Arc;
use std::time::Duration;
use weir_dialect::Collector;
use weir_message::{Decision, Event, EventKind, Mode, Outcome, Reply, Verb};

/// The most that is held back of one stream for a stage that wants it whole, in bytes.
const HELD_LIMIT: usize = 32 << 20;

/// One stage's handling of a stream.
pub(crate) struct Link {
    /// The step's index.
    n: usize,
    kind: Kind,
    took: Duration,
    edited: bool,
}

enum Kind {
    /// Event by event.
    Events(Box<dyn StreamStage>),
    /// Held whole until the end.
    Whole { collector: Collector, held: Vec<Event>, bytes: usize },
    /// Put together beside the stream for a stage that decides nothing; `None` once it cannot be.
    Look(Option<Collector>),
    /// A shadow that looks at copies in a task of its own.
    Shadow(Copies),
    /// Passed over after a fault, or done.
    Out,
}

impl Link {
    /// The stages of a run that look at its stream.
    pub(crate) fn line_up(run: &mut Run, steps: &[Step]) -> Vec<Link> {
        let mut links = Vec::new();
        for (n, step) in steps.iter().enumerate().rev() {
            if let Some(kind) = Kind::of(run, n, step) {
                links.push(Link { n, kind, took: Duration::ZERO, edited: false });
            }
        }
        links
    }
}

impl Kind {
    fn of(run: &mut Run, n: usize, step: &Step) -> Option<Kind> {
        let collector = || Collector::new(run.x.request.dialect, run.x.request.operation, HELD_LIMIT);
        let whole = step.declares.streaming == Streaming::Whole;
        match step.mode {
            _ if step.declares.streaming == Streaming::None => None,
            Mode::Off => None,
            Mode::Shadow if whole => run.shadows.get(n)?.as_ref().map(|_| Kind::Look(Some(collector()))),
            Mode::Shadow => run.shadows.get_mut(n)?.as_mut()?.stream(step).map(Kind::Shadow),
            Mode::Enforce if !run.is_in(n) => None,
            // An observer looks and holds nothing.
            Mode::Enforce if whole && step.verb == Verb::Observe => Some(Kind::Look(Some(collector()))),
            Mode::Enforce if whole => {
                Some(Kind::Whole { collector: collector(), held: Vec::new(), bytes: 0 })
            }
            Mode::Enforce => {
                let mut notes = Notes::default();
                let stage = run.visit(n, step, &mut notes).and_then(|visit| step.stage.stream(visit));
                run.note(n, Decision::Passed, Duration::ZERO, notes);
                stage.map(Kind::Events)
            }
        }
    }
}

impl Flow {
    /// Events through the links from `from` on: what comes out at the top, and the refusal that stopped the rest.
    pub(crate) async fn through(
        &mut self,
        mut events: Vec<Event>,
        from: usize,
    ) -> (Vec<Event>, Option<Refusal>) {
        let mut stopped = None;
        for k in from..self.links.len() {
            if events.is_empty() {
                break;
            }
            let mut passed = Vec::with_capacity(events.len());
            for event in events {
                if let Err(refusal) = self.link_event(k, event, &mut passed).await {
                    stopped = Some(refusal);
                    break;
                }
            }
            events = passed;
        }
        (events, stopped)
    }

    async fn link_event(&mut self, k: usize, event: Event, passed: &mut Vec<Event>) -> Result<(), Refusal> {
        let Some(Link { n, kind, took, edited }) = self.links.get_mut(k) else { return Ok(()) };
        let before = passed.len();
        let verdict = match kind {
            Kind::Out => {
                passed.push(event);
                return Ok(());
            }
            Kind::Shadow(copies) => {
                if !copies.show(&event) {
                    *kind = Kind::Out;
                }
                passed.push(event);
                return Ok(());
            }
            Kind::Look(collector) => {
                if collector.as_mut().is_some_and(|collector| collector.push(&event).is_err()) {
                    *collector = None;
                }
                passed.push(event);
                return Ok(());
            }
            Kind::Whole { collector, held, bytes } => {
                if event.kind == EventKind::KeepAlive {
                    passed.push(event);
                    return Ok(());
                }
                *bytes += event.raw.len();
                let pushed = collector.push(&event);
                held.push(event);
                match pushed {
                    Ok(()) if *bytes <= HELD_LIMIT => StreamVerdict::Continue,
                    Ok(()) => StreamVerdict::Fault(format!(
                        "more than {HELD_LIMIT} bytes of a stream would be held"
                    )),
                    Err(fault) => StreamVerdict::Fault(fault.message.to_string()),
                }
            }
            Kind::Events(stage) => {
                let Some(step) = self.plan.pipelines.get(self.run.pipeline).and_then(|p| p.steps.get(*n))
                else {
                    return Ok(());
                };
                let clock = &*self.run.x.gateway.clock;
                let begun = clock.now();
                let verdict = within_flow(clock, step.timeout, stage.event(event, passed)).await;
                *took += clock.now().saturating_sub(begun);
                *edited |= passed.iter().skip(before).any(Event::is_edited);
                verdict
            }
        };
        self.link_verdict(k, verdict, passed, before)
    }

    /// What becomes of a stage's word on an event; what it let out for it stands in `passed` from `before` on.
    fn link_verdict(
        &mut self,
        k: usize,
        verdict: StreamVerdict,
        passed: &mut Vec<Event>,
        before: usize,
    ) -> Result<(), Refusal> {
        if matches!(verdict, StreamVerdict::Continue) {
            return Ok(());
        }
        let plan = Arc::clone(&self.plan);
        let Some(link) = self.links.get_mut(k) else { return Ok(()) };
        let n = link.n;
        let Some(step) = plan.pipelines.get(self.run.pipeline).and_then(|pipeline| pipeline.steps.get(n))
        else {
            return Ok(());
        };
        let took = std::mem::take(&mut link.took);
        let mut notes = Notes::default();
        let kind = std::mem::replace(&mut link.kind, Kind::Out);
        match verdict {
            StreamVerdict::Continue => Ok(()),
            StreamVerdict::Deny(denial) => {
                passed.truncate(before);
                if let Kind::Events(mut stage) = kind {
                    stage.notes(&mut notes);
                }
                Err(self.run.deny(n, step, *denial, took, notes))
            }
            StreamVerdict::Fault(reason) => {
                let skips = step.on_error == OnError::Skip;
                match kind {
                    Kind::Whole { held, .. } if skips => passed.extend(held),
                    Kind::Events(mut stage) => {
                        if skips {
                            stage.abandon(passed);
                        }
                        stage.notes(&mut notes);
                    }
                    Kind::Whole { .. } | Kind::Look(_) | Kind::Shadow(_) | Kind::Out => {}
                }
                if !skips {
                    passed.truncate(before);
                }
                self.run.fault(n, step, reason, took, notes).map_or(Ok(()), Err)
            }
        }
    }

    /// The stream ended as it should: what a link still holds.
    pub(crate) async fn finish_link(&mut self, k: usize) -> Result<Vec<Event>, Refusal> {
        let plan = Arc::clone(&self.plan);
        let Some(Link { n, kind, took, edited }) = self.links.get_mut(k) else { return Ok(Vec::new()) };
        let n = *n;
        let Some(step) = plan.pipelines.get(self.run.pipeline).and_then(|pipeline| pipeline.steps.get(n))
        else {
            return Ok(Vec::new());
        };
        let mut out = Vec::new();
        match kind {
            Kind::Out => Ok(out),
            Kind::Events(stage) => {
                let clock = &*self.run.x.gateway.clock;
                let before = clock.now();
                let verdict = within_flow(clock, step.timeout, stage.finish(&mut out)).await;
                *took += clock.now().saturating_sub(before);
                *edited |= out.iter().any(Event::is_edited);
                self.link_verdict(k, verdict, &mut out, 0)?;
                Ok(out)
            }
            kind => match std::mem::replace(kind, Kind::Out) {
                Kind::Whole { collector, held, .. } => {
                    let reply = collector.finish().map_err(Refusal::Failed)?;
                    self.whole(n, step, reply, held).await
                }
                Kind::Look(collector) => {
                    let reply = collector.and_then(|collector| collector.finish().ok());
                    self.look(n, step, reply).await;
                    Ok(out)
                }
                Kind::Shadow(copies) => {
                    copies.finish();
                    Ok(out)
                }
                Kind::Events(_) | Kind::Out => Ok(out),
            },
        }
    }

    /// Runs a step's whole-reply hook on a stream that was held to its end.
    async fn whole(
        &mut self,
        n: usize,
        step: &Step,
        reply: Reply,
        held: Vec<Event>,
    ) -> Result<Vec<Event>, Refusal> {
        let edits = reply.edits();
        self.run.x.reply = Some(reply);
        self.run.reply_hook(n, step).await?;
        Ok(match self.run.x.reply.take() {
            Some(reply) if reply.edits() != edits => {
                // Where usage has an event of its own, it goes out as it came.
                let is_told = held.iter().any(|event| event.kind == EventKind::Usage);
                let events = self.encoder.reply(&reply, !is_told).map_err(Refusal::Failed)?;
                let events = events.into_iter().filter(|event| event.kind != EventKind::Done);
                events.chain(held.into_iter().filter(|event| event.kind == EventKind::Usage)).collect()
            }
            _ => held,
        })
    }

    /// Shows the whole reply to a stage that decides nothing.
    async fn look(&mut self, n: usize, step: &Step, reply: Option<Reply>) {
        let Some(reply) = reply else { return };
        if let Some(Some(shadow)) = self.run.shadows.get_mut(n) {
            shadow.reply(&self.run.x, Some(reply), step);
            return;
        }
        self.run.x.reply = Some(reply);
        // An observer has no say; that it could not look stands in the trace.
        let _ = self.run.reply_hook(n, step).await;
        self.run.x.reply = None;
    }

    /// Takes what the stages learnt into the trace, however the stream ended.
    pub(crate) fn tell_links(&mut self) {
        for link in std::mem::take(&mut self.links) {
            let mut notes = Notes::default();
            let mut decision = Decision::NotReached;
            if let Kind::Events(mut stage) = link.kind {
                stage.notes(&mut notes);
                decision = if link.edited { Decision::Edited } else { Decision::Passed };
            }
            self.run.note(link.n, decision, link.took, notes);
        }
    }
}

impl Refusal {
    /// How a request ends that is refused so.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Refusal::Denied(_) => Outcome::Denied,
            Refusal::Failed(_) => Outcome::Failed,
        }
    }
}
