//! A streamed reply on its way up: events through the stages, out as they come.

use crate::attempt::Begun;
use crate::plan::Step;
use crate::run::{Run, dressed, unavailable};
use crate::{Flow, Notes, OnError, Plan, Refusal, StreamStage, StreamVerdict, Streaming, refuse};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use weir_dialect::{Collector, Ending, StreamDecoder, StreamEncoder};
use weir_message::{
    Cause, Decision, ErrorCode, Event, EventKind, Fault, Finish, Mode, Outcome, Reply, Usage,
};

/// The most that stages may hold back of one stream, in bytes.
const HELD_LIMIT: usize = 32 << 20;

/// A stream under way. Dropping it cancels the upstream; what was spent is booked by the run's own end.
pub(crate) struct Up {
    run: Box<Run>,
    plan: Arc<Plan>,
    body: futures::stream::BoxStream<'static, Result<Bytes, crate::CallError>>,
    decoder: StreamDecoder,
    encoder: StreamEncoder,
    links: Vec<Link>,
    /// Pieces ready to be sent.
    ready: VecDeque<Bytes>,
    /// Events read before the stream was committed.
    first: Vec<Event>,
    hide_usage: bool,
    tally: Tally,
    deadline: Option<Duration>,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    Over,
}

/// What passed, for the books.
#[derive(Default)]
struct Tally {
    usage: Option<Usage>,
    /// Events with content; stands in for output tokens when the provider does not report usage.
    content_events: u64,
    finish: Option<Finish>,
}

/// One stage's handling of the stream.
struct Link {
    /// The step's index.
    n: usize,
    kind: LinkKind,
    took: Duration,
    edited: bool,
}

enum LinkKind {
    /// Event by event.
    Events(Box<dyn StreamStage>),
    /// Held whole until the end.
    Whole { collector: Option<Collector>, held: Vec<Event> },
    /// A shadow that looks at copies in a task of its own.
    Shadow {
        copies: tokio::sync::mpsc::UnboundedSender<Event>,
        said: futures::channel::oneshot::Receiver<ShadowSaid>,
    },
    /// Passed over after a fault.
    Out,
}

/// What a shadowed stage would have done to a stream.
struct ShadowSaid {
    verdict: StreamVerdict,
    edited: bool,
    notes: Notes,
}

impl Up {
    /// Lines up the stages that look at the stream, the innermost first.
    pub(crate) fn new(
        mut run: Box<Run>,
        begun: Box<Begun>,
        steps: &[Step],
        hide_usage: bool,
        deadline: Option<Duration>,
    ) -> Self {
        let plan = run.plan();
        let (dialect, operation) = (run.x.request.dialect, run.x.request.operation);
        let encoder = refuse::encoder(&run.x);
        let mut links = Vec::new();
        for (n, step) in steps.iter().enumerate().rev() {
            let kind = match (step.declares.streaming, step.mode) {
                (Streaming::None, _) | (_, Mode::Off) => continue,
                (_, Mode::Shadow) => match shadow_link(&mut run, n, step) {
                    Some(kind) => kind,
                    None => continue,
                },
                _ if !run.entered.get(n).copied().unwrap_or(false) => continue,
                (Streaming::Whole, _) => LinkKind::Whole {
                    collector: Some(Collector::new(dialect, operation, HELD_LIMIT)),
                    held: Vec::new(),
                },
                (Streaming::Events, _) => {
                    let mut notes = Notes::default();
                    let stage = run.visit(n, step, &mut notes).and_then(|visit| step.stage.stream(visit));
                    run.note(n, Decision::Passed, Duration::ZERO, notes);
                    match stage {
                        Some(stage) => LinkKind::Events(stage),
                        None => continue,
                    }
                }
            };
            links.push(Link { n, kind, took: Duration::ZERO, edited: false });
        }
        Self {
            encoder,
            run,
            plan,
            body: begun.body,
            decoder: begun.decoder,
            links,
            ready: VecDeque::new(),
            first: begun.events,
            hide_usage,
            tally: Tally::default(),
            deadline,
            phase: Phase::Open,
        }
    }

    /// Goes on until the first piece is ready to be sent. A refusal before that can still be told with a status of its own.
    pub(crate) async fn first(&mut self) -> Result<(), Refusal> {
        let first = std::mem::take(&mut self.first);
        self.take_in(first).await?;
        while self.ready.is_empty() && self.phase == Phase::Open {
            self.step().await?;
        }
        Ok(())
    }

    /// The next piece for the client; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                if self.run.x.trace.timings.first_release.is_none() {
                    self.run.x.trace.timings.first_release = Some(self.run.x.elapsed());
                }
                return Some(piece);
            }
            if self.phase == Phase::Over {
                return None;
            }
            if let Err(refusal) = self.step().await {
                self.cut(refusal).await;
            }
        }
    }

    /// The run, for the reply's head.
    pub(crate) fn run(&mut self) -> &mut Run {
        &mut self.run
    }

    /// Takes one piece from upstream through the stages.
    async fn step(&mut self) -> Result<(), Refusal> {
        let piece = match self.deadline {
            None => self.body.next().await,
            Some(at) => {
                let left = at.saturating_sub(self.run.x.now());
                let sleep = self.run.x.gateway.clock.sleep(left);
                match futures::future::select(self.body.next(), sleep).await {
                    futures::future::Either::Left((piece, _)) => piece,
                    futures::future::Either::Right(_) => {
                        return Err(failed(
                            ErrorCode::DeadlineExceeded,
                            "the deadline of the request passed",
                        ));
                    }
                }
            }
        };
        match piece {
            Some(Ok(chunk)) => {
                let mut events = Vec::new();
                self.decoder.push(chunk);
                while let Some(event) = self.decoder.next_event().map_err(Refusal::Failed)? {
                    events.push(event);
                }
                self.take_in(events).await
            }
            Some(Err(error)) => Err(self.upstream_failed(error.cause, error.detail)),
            None => {
                let Ending { last, .. } = self.decoder.finish().map_err(Refusal::Failed)?;
                self.take_in(last.into_iter().collect()).await?;
                match (self.phase, self.tally.finish) {
                    (Phase::Over, _) => Ok(()),
                    // Some providers leave out the last marker after the reason to finish.
                    (Phase::Open, Some(_)) => self.close(None).await,
                    (Phase::Open, None) => {
                        Err(self
                            .upstream_failed(Cause::Broken, "the connection closed before the end".into()))
                    }
                }
            }
        }
    }

    async fn take_in(&mut self, events: Vec<Event>) -> Result<(), Refusal> {
        let mut out = Vec::with_capacity(events.len());
        for event in events {
            match event.kind {
                EventKind::Done => {
                    self.send(&mut out);
                    return self.close(Some(event)).await;
                }
                EventKind::Error => {
                    self.send(&mut out);
                    let dialect = self.run.x.request.dialect;
                    let error = weir_dialect::stream_error(dialect, &event.raw);
                    return Err(self.upstream_failed(error.cause, error.excerpt));
                }
                _ => {}
            }
            if event.usage.is_some() {
                self.tally.usage = event.usage;
            }
            if event.finish.is_some() {
                self.tally.finish = event.finish;
            }
            if event.kind == EventKind::Content {
                self.tally.content_events += 1;
                self.encoder.observe(&event);
            }
            if event.kind == EventKind::Usage && self.hide_usage {
                continue;
            }
            if self.links.is_empty() {
                out.push(event);
            } else {
                self.through(event, 0, &mut out).await?;
            }
        }
        self.send(&mut out);
        Ok(())
    }

    /// One event through the links from `from` on; what comes out at the top goes to `out`.
    async fn through(&mut self, event: Event, from: usize, out: &mut Vec<Event>) -> Result<(), Refusal> {
        let mut batch = vec![event];
        for k in from..self.links.len() {
            let mut next = Vec::new();
            for event in batch {
                self.link_event(k, event, &mut next).await?;
            }
            if next.is_empty() {
                return Ok(());
            }
            batch = next;
        }
        out.append(&mut batch);
        Ok(())
    }

    async fn link_event(&mut self, k: usize, event: Event, next: &mut Vec<Event>) -> Result<(), Refusal> {
        let clock = Arc::clone(&self.run.x.gateway.clock);
        let Some(link) = self.links.get_mut(k) else { return Ok(()) };
        let verdict = match &mut link.kind {
            LinkKind::Out => {
                next.push(event);
                return Ok(());
            }
            LinkKind::Shadow { copies, .. } => {
                // A shadow whose task is gone learns no more.
                drop(copies.send(event.clone()));
                next.push(event);
                return Ok(());
            }
            LinkKind::Whole { collector, held } => {
                if event.kind == EventKind::KeepAlive {
                    next.push(event);
                    return Ok(());
                }
                let pushed = collector.as_mut().map_or(Ok(()), |collector| collector.push(&event));
                held.push(event);
                match pushed {
                    Ok(()) => StreamVerdict::Continue,
                    Err(fault) => StreamVerdict::Fault(fault.message.to_string()),
                }
            }
            LinkKind::Events(stage) => {
                let before = clock.now();
                let whole = event.raw.clone();
                let verdict = match stage.event(event, next) {
                    Flow::Done(verdict) => verdict,
                    Flow::Wait(future) => future.await,
                };
                link.took += clock.now().saturating_sub(before);
                link.edited |=
                    next.iter().any(|event| event.is_edited() || event.raw.as_ptr() != whole.as_ptr());
                verdict
            }
        };
        self.link_verdict(k, verdict)
    }

    fn link_verdict(&mut self, k: usize, verdict: StreamVerdict) -> Result<(), Refusal> {
        let (plan, pipeline) = (Arc::clone(&self.plan), self.run.pipeline);
        let Some(link) = self.links.get_mut(k) else { return Ok(()) };
        let Some(step) = plan.pipelines.get(pipeline).and_then(|pipeline| pipeline.steps.get(link.n)) else {
            return Ok(());
        };
        match verdict {
            StreamVerdict::Continue => Ok(()),
            StreamVerdict::Deny(denial) => {
                let (n, took) = (link.n, link.took);
                let mut notes = Notes::default();
                if let LinkKind::Events(stage) = &mut link.kind {
                    stage.notes(&mut notes);
                }
                self.run.note(n, Decision::Denied, took, notes);
                Err(Refusal::Denied(dressed(step, *denial)))
            }
            StreamVerdict::Fault(reason) => {
                let (n, took) = (link.n, link.took);
                let notes = Notes { reason: Some(reason.clone()), facts: Vec::new() };
                if step.on_error == OnError::Skip {
                    link.kind = LinkKind::Out;
                    self.run.note(n, Decision::FaultSkipped, took, notes);
                    return Ok(());
                }
                self.run.note(n, Decision::Faulted, took, notes);
                Err(unavailable(step, &reason))
            }
        }
    }

    /// The provider ended its stream as it should: stages give what they hold, then the last marker goes out.
    async fn close(&mut self, done: Option<Event>) -> Result<(), Refusal> {
        let mut out = Vec::new();
        for k in 0..self.links.len() {
            let mut next = Vec::new();
            self.link_finish(k, &mut next).await?;
            for event in next {
                self.through(event, k + 1, &mut out).await?;
            }
        }
        self.send(&mut out);
        let done = done.unwrap_or_else(|| self.encoder.done());
        self.ready.push_back(done.outgoing());
        self.end(Outcome::Replied, None).await;
        Ok(())
    }

    async fn link_finish(&mut self, k: usize, next: &mut Vec<Event>) -> Result<(), Refusal> {
        let clock = Arc::clone(&self.run.x.gateway.clock);
        let Some(link) = self.links.get_mut(k) else { return Ok(()) };
        let n = link.n;
        match &mut link.kind {
            LinkKind::Out | LinkKind::Shadow { .. } => Ok(()),
            LinkKind::Events(stage) => {
                let before = clock.now();
                let verdict = match stage.finish(next) {
                    Flow::Done(verdict) => verdict,
                    Flow::Wait(future) => future.await,
                };
                link.took += clock.now().saturating_sub(before);
                link.edited |= next.iter().any(Event::is_edited);
                self.link_verdict(k, verdict)
            }
            LinkKind::Whole { collector, held, .. } => {
                let (Some(collector), held) = (collector.take(), std::mem::take(held)) else { return Ok(()) };
                let reply = collector.finish().map_err(Refusal::Failed)?;
                self.whole(n, reply, held, next).await
            }
        }
    }

    /// Runs a step's whole-reply hook on a stream that was held to its end.
    async fn whole(
        &mut self,
        n: usize,
        reply: Reply,
        held: Vec<Event>,
        next: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        let plan = Arc::clone(&self.plan);
        let Some(step) = plan.pipelines.get(self.run.pipeline).and_then(|pipeline| pipeline.steps.get(n))
        else {
            return Ok(());
        };
        let edits = reply.edits();
        self.run.x.reply = Some(reply);
        self.run.decode_reply()?;
        self.run.reply_hook(n, step).await?;
        match self.run.x.reply.take() {
            Some(reply) if reply.edits() > edits => {
                let events = self.encoder.reply(&reply, false).map_err(Refusal::Failed)?;
                next.extend(events.into_iter().filter(|event| event.kind != EventKind::Done));
                next.extend(held.into_iter().filter(|event| event.kind == EventKind::Usage));
            }
            _ => next.extend(held),
        }
        Ok(())
    }

    /// Lines events up to be sent: one piece of what came together.
    fn send(&mut self, out: &mut Vec<Event>) {
        match out.as_slice() {
            [] => {}
            [event] => self.ready.push_back(event.outgoing()),
            events => {
                let mut piece = BytesMut::with_capacity(events.iter().map(|event| event.raw.len()).sum());
                for event in events {
                    piece.extend_from_slice(&event.outgoing());
                }
                self.ready.push_back(piece.freeze());
            }
        }
        out.clear();
    }

    /// Ends the stream with a refusal, told inside it. Never a clean end.
    pub(crate) async fn cut(&mut self, refusal: Refusal) {
        self.body = futures::stream::empty().boxed();
        for piece in refuse::in_stream(&self.encoder, &self.run.x.request.id, &refusal) {
            self.ready.push_back(piece);
        }
        let outcome = match &refusal {
            Refusal::Denied(_) => Outcome::Denied,
            Refusal::Failed(_) => Outcome::Failed,
        };
        self.end(outcome, Some(refusal)).await;
    }

    /// Books what was spent and ends the run.
    pub(crate) async fn end(&mut self, outcome: Outcome, refusal: Option<Refusal>) {
        self.phase = Phase::Over;
        self.close_links().await;
        let usage = self.tally.usage.unwrap_or(Usage {
            input: crate::settle::input_tokens(&self.run.x),
            output: self.tally.content_events,
            counted: true,
            ..Usage::default()
        });
        self.run.settle_attempt(usage, (outcome != Outcome::Replied).then_some(Cause::Broken));
        if let Some(refusal) = refusal {
            refuse::record(&mut self.run.x, refusal);
        }
        self.run.settle_shadows().await;
        self.run.finish(outcome);
    }

    /// Takes what the stages learnt into the trace.
    async fn close_links(&mut self) {
        for link in std::mem::take(&mut self.links) {
            let mut notes = Notes::default();
            let mut decision = if link.edited { Decision::Edited } else { Decision::Passed };
            match link.kind {
                LinkKind::Events(mut stage) => stage.notes(&mut notes),
                LinkKind::Whole { .. } | LinkKind::Out => decision = Decision::NotReached,
                LinkKind::Shadow { copies, said } => {
                    drop(copies);
                    if let Ok(said) = said.await {
                        notes = said.notes;
                        decision = match said.verdict {
                            StreamVerdict::Continue if said.edited => Decision::Edited,
                            StreamVerdict::Continue => Decision::Passed,
                            StreamVerdict::Deny(denial) => {
                                notes.reason.get_or_insert_with(|| denial.message.to_string());
                                Decision::Denied
                            }
                            StreamVerdict::Fault(reason) => {
                                notes.reason.get_or_insert(reason);
                                Decision::Faulted
                            }
                        };
                    }
                }
            }
            self.run.note(link.n, decision, link.took, notes);
        }
    }

    fn upstream_failed(&mut self, cause: Cause, detail: String) -> Refusal {
        if let Some(attempt) = self.run.x.trace.attempts.last_mut() {
            attempt.cause = Some(cause);
        }
        let message = match cause {
            Cause::Timeout => "the provider paused too long in its stream",
            _ => "the provider's stream ended before its end",
        };
        let code =
            if cause == Cause::Timeout { ErrorCode::UpstreamTimeout } else { ErrorCode::UpstreamBroken };
        Refusal::Failed(Fault::new(code, message).detail(detail))
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // The client left before the end: what was streamed so far is booked.
        if self.phase == Phase::Open {
            let usage = self.tally.usage.unwrap_or(Usage {
                input: crate::settle::input_tokens(&self.run.x),
                output: self.tally.content_events,
                counted: true,
                ..Usage::default()
            });
            self.run.settle_attempt(usage, Some(Cause::Cancelled));
        }
    }
}

fn failed(code: ErrorCode, message: &'static str) -> Refusal {
    Refusal::Failed(Fault::new(code, message))
}

/// Starts a shadowed stage on copies of the stream's events, in a task of its own.
fn shadow_link(run: &mut Run, n: usize, step: &Step) -> Option<LinkKind> {
    let mut stage = run.shadows.get_mut(n)?.as_mut()?.stream(step)?;
    let (copies, mut incoming) = tokio::sync::mpsc::unbounded_channel::<Event>();
    let (sender, said) = futures::channel::oneshot::channel();
    tokio::spawn(async move {
        let mut edited = false;
        let mut verdict = StreamVerdict::Continue;
        let mut out = Vec::new();
        while let Some(event) = incoming.recv().await {
            if !matches!(verdict, StreamVerdict::Continue) {
                continue;
            }
            verdict = match stage.event(event, &mut out) {
                Flow::Done(verdict) => verdict,
                Flow::Wait(future) => future.await,
            };
            edited |= out.iter().any(Event::is_edited);
            out.clear();
        }
        if matches!(verdict, StreamVerdict::Continue) {
            verdict = match stage.finish(&mut out) {
                Flow::Done(verdict) => verdict,
                Flow::Wait(future) => future.await,
            };
            edited |= out.iter().any(Event::is_edited);
        }
        let mut notes = Notes::default();
        stage.notes(&mut notes);
        drop(sender.send(ShadowSaid { verdict, edited, notes }));
    });
    Some(LinkKind::Shadow { copies, said })
}
