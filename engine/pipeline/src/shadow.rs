//! Stages in shadow: they decide on a copy, say what they would have done, hold nothing and change nothing.

use crate::plan::Step;
use crate::run::{set_scene, within, within_flow};
use crate::{Ask, Exchange, Hook, Notes, Route, Slot, Stage, StreamVerdict, Streaming, Verdict, Visit};
use futures::channel::oneshot;
use futures::future::{BoxFuture, FutureExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::mpsc;
use weir_message::{Decision, Event, Reply};
use weir_state::Space;

/// How far a stream may run ahead of a shadow that looks at it, in bytes. A slower shadow learns no more.
const AHEAD_LIMIT: usize = 1 << 20;

/// A shadowed stage's own copy of a request, and what it would have done.
pub(crate) struct Shadow(State);

enum State {
    /// The hook is done; its copy is at rest.
    Rest(Box<Copy>),
    /// The hook waits for I/O or inference in a task of its own.
    Busy(oneshot::Receiver<Box<Copy>>),
    /// The copy is lost (its task was dropped).
    Gone,
}

/// What a shadow works on, and what it would have done so far.
struct Copy {
    x: Exchange,
    slot: Slot,
    notes: Notes,
    decision: Decision,
    took: Duration,
}

#[derive(Clone, Copy, PartialEq)]
enum Which {
    Request,
    Reply,
}

impl Shadow {
    /// Runs the request hook on a copy.
    pub(crate) fn request(x: &Exchange, step: &Step) -> Self {
        let mut copy = Box::new(Copy {
            x: x.clone(),
            slot: None,
            notes: Notes::default(),
            decision: Decision::NotReached,
            took: Duration::ZERO,
        });
        copy.x.space = Space::Shadow;
        set_scene(&mut copy.x, step);
        let mut shadow = Self(State::Gone);
        let (stage, timeout) = (Arc::clone(&step.stage), step.timeout);
        shadow.start(async move { Some(hooked(copy, &*stage, timeout, Which::Request).await) }.boxed());
        shadow
    }

    /// Runs the reply hook on a copy of this reply, once the request hook is done.
    pub(crate) fn reply(&mut self, x: &Exchange, reply: Option<Reply>, step: &Step) {
        let state = std::mem::replace(&mut self.0, State::Gone);
        let (stage, timeout) = (Arc::clone(&step.stage), step.timeout);
        let trace = x.trace.clone();
        self.start(
            async move {
                let mut copy = state.rested().await?;
                if copy.is_out() {
                    return Some(copy);
                }
                copy.x.reply = reply;
                copy.x.trace = trace;
                Some(hooked(copy, &*stage, timeout, Which::Reply).await)
            }
            .boxed(),
        );
    }

    /// Lets the stage handle copies of a stream's events, in a task of its own.
    pub(crate) fn stream(&mut self, step: &Step) -> Option<Copies> {
        debug_assert!(step.declares.streaming == Streaming::Events);
        let state = std::mem::replace(&mut self.0, State::Gone);
        if let State::Gone = state {
            return None;
        }
        let (copies, incoming) = mpsc::unbounded_channel();
        let ahead = Arc::new(AtomicUsize::new(0));
        let (sender, receiver) = oneshot::channel();
        let (stage, timeout, behind) = (Arc::clone(&step.stage), step.timeout, Arc::clone(&ahead));
        tokio::spawn(async move {
            if let Some(copy) = state.rested().await {
                let copy = streamed(copy, &*stage, timeout, incoming, &behind).await;
                drop(sender.send(copy));
            }
        });
        self.0 = State::Busy(receiver);
        Some(Copies { copies, ahead })
    }

    /// Whether a hook is still under way.
    pub(crate) fn is_busy(&mut self) -> bool {
        self.poll();
        matches!(self.0, State::Busy(_))
    }

    /// Waits until the hook under way is done; its own timeout bounds that.
    pub(crate) async fn settle(&mut self) {
        let state = std::mem::replace(&mut self.0, State::Gone);
        self.0 = state.rested().await.map_or(State::Gone, State::Rest);
    }

    /// What it would have done, all told; its `end` hook runs on the copy.
    pub(crate) fn finish(&mut self, step: &Step) -> (Decision, Duration, Notes) {
        self.poll();
        let State::Rest(copy) = &mut self.0 else {
            return (Decision::NotReached, Duration::ZERO, Notes::default());
        };
        let Copy { x, slot, notes, decision, took } = &mut **copy;
        step.stage.end(Visit { exchange: x, slot, notes });
        (*decision, *took, std::mem::take(notes))
    }

    /// Begins a hook's work. Most is done at once; only what waits gets a task of its own.
    fn start(&mut self, mut work: BoxFuture<'static, Option<Box<Copy>>>) {
        if let Poll::Ready(copy) = work.poll_unpin(&mut Context::from_waker(Waker::noop())) {
            self.0 = copy.map_or(State::Gone, State::Rest);
            return;
        }
        let (sender, receiver) = oneshot::channel();
        tokio::spawn(async move {
            if let Some(copy) = work.await {
                drop(sender.send(copy));
            }
        });
        self.0 = State::Busy(receiver);
    }

    fn poll(&mut self) {
        if let State::Busy(receiver) = &mut self.0 {
            match receiver.try_recv() {
                Ok(Some(copy)) => self.0 = State::Rest(copy),
                Ok(None) => {}
                Err(_) => self.0 = State::Gone,
            }
        }
    }
}

impl State {
    async fn rested(self) -> Option<Box<Copy>> {
        match self {
            State::Rest(copy) => Some(copy),
            State::Busy(receiver) => receiver.await.ok(),
            State::Gone => None,
        }
    }
}

impl Copy {
    /// Whether the stage would take no part in the reply: it denied, or could not decide.
    fn is_out(&self) -> bool {
        matches!(self.decision, Decision::Denied | Decision::Faulted | Decision::FaultSkipped)
    }

    fn said(&mut self, verdict: Verdict, edited: bool) {
        let (decision, reason) = match verdict {
            Verdict::Continue if edited => (Decision::Edited, None),
            Verdict::Continue => (Decision::Passed, None),
            Verdict::Answer(_) => (Decision::Answered, None),
            Verdict::Deny(denial) => (Decision::Denied, Some(denial.message.to_string())),
            Verdict::Fault(reason) => (Decision::Faulted, Some(reason)),
        };
        self.decision = self.decision.max(decision);
        self.notes.reason = self.notes.reason.take().or(reason);
    }
}

/// Runs a hook on the copy.
async fn hooked(mut copy: Box<Copy>, stage: &dyn Stage, timeout: Duration, which: Which) -> Box<Copy> {
    let clock = Arc::clone(&copy.x.gateway.clock);
    let before = clock.now();
    let edits = edits(&copy.x);
    let verdict = {
        let Copy { x, slot, notes, .. } = &mut *copy;
        let visit = Visit { exchange: x, slot, notes };
        let hook = match which {
            Which::Request => stage.request(visit),
            Which::Reply => stage.reply(visit),
        };
        match hook {
            Hook::Done(verdict) => verdict,
            Hook::Wait(future) => within(&*clock, timeout, future).await,
        }
    };
    copy.took += clock.now().saturating_sub(before);
    let edited = self::edits(&copy.x) > edits;
    copy.said(verdict, edited);
    if which == Which::Request
        && let Some(route) = stage.route()
        && let Some(target) = would_try(&copy.x, route)
    {
        copy.notes.fact("target", target);
    }
    copy
}

/// Where a shadowed route would have sent the request first.
fn would_try(x: &Exchange, route: &dyn Route) -> Option<String> {
    let pick = route.next(Ask {
        request: &x.request,
        model: x.request.model(),
        attempts: &[],
        last_target: None,
        elapsed: x.elapsed(),
        routed: x.routed.as_deref(),
        models: x.plan.models(),
        depth: 0,
        dice: x.dice,
        allows: &|_| true,
    })?;
    Some(format!("{}/{}", pick.target.provider.name, pick.target.model_for(&x.request)))
}

/// Shows the events of a stream to the stage as they come. Only a stream that ended as it should is finished.
async fn streamed(
    mut copy: Box<Copy>,
    stage: &dyn Stage,
    timeout: Duration,
    mut incoming: mpsc::UnboundedReceiver<Option<Event>>,
    ahead: &AtomicUsize,
) -> Box<Copy> {
    if copy.is_out() {
        return copy;
    }
    let clock = Arc::clone(&copy.x.gateway.clock);
    let Copy { x, slot, notes, .. } = &mut *copy;
    let Some(mut events) = stage.stream(Visit { exchange: x, slot, notes }) else { return copy };
    let (mut verdict, mut edited, mut out) = (StreamVerdict::Continue, false, Vec::new());
    while let Some(event) = incoming.recv().await {
        let before = clock.now();
        match event {
            Some(event) => {
                ahead.fetch_sub(event.raw.len(), Ordering::Relaxed);
                verdict = within_flow(&*clock, timeout, events.event(event, &mut out)).await;
            }
            None => verdict = within_flow(&*clock, timeout, events.finish(&mut out)).await,
        }
        edited |= out.iter().any(Event::is_edited);
        out.clear();
        copy.took += clock.now().saturating_sub(before);
        if !matches!(verdict, StreamVerdict::Continue) {
            break;
        }
    }
    events.notes(&mut copy.notes);
    copy.said(verdict.into(), edited);
    copy
}

fn edits(x: &Exchange) -> u32 {
    x.request.edits() + x.reply.as_ref().map_or(0, Reply::edits)
}

/// Where the executor puts copies of a stream's events for a shadow. Dropped before [`Copies::finish`], the stream was cut.
pub(crate) struct Copies {
    copies: mpsc::UnboundedSender<Option<Event>>,
    ahead: Arc<AtomicUsize>,
}

impl Copies {
    /// Shows an event; `false` if the shadow learns no more.
    pub(crate) fn show(&self, event: &Event) -> bool {
        let before = self.ahead.fetch_add(event.raw.len(), Ordering::Relaxed);
        before <= AHEAD_LIMIT && self.copies.send(Some(event.clone())).is_ok()
    }

    /// The stream ended as it should.
    pub(crate) fn finish(self) {
        drop(self.copies.send(None));
    }
}
