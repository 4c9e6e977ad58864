//! Stages in shadow: they decide on a copy, say what they would have done, hold nothing and change nothing.

use crate::plan::Step;
use crate::run::set_scene;
use crate::{Exchange, Hook, Notes, Slot, Stage, Verdict, Visit};
use futures::channel::oneshot;
use futures::future::{BoxFuture, FutureExt};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use weir_message::{Decision, Reply};
use weir_state::Space;

/// A shadowed stage's own copy of a request, and what it would have done.
pub(crate) struct Shadow {
    state: State,
    decision: Decision,
    took: Duration,
    notes: Notes,
}

enum State {
    /// The hook is done; its copy is at rest.
    Rest(Box<Copy>),
    /// The hook waits for I/O or inference in a task of its own.
    Busy(oneshot::Receiver<Box<Copy>>),
    /// The copy is lost (its task was dropped).
    Gone,
}

/// What a shadow works on.
struct Copy {
    x: Exchange,
    slot: Slot,
    notes: Notes,
    verdict: Verdict,
    took: Duration,
    edited: bool,
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
            verdict: Verdict::Continue,
            took: Duration::ZERO,
            edited: false,
        });
        copy.x.space = Space::Shadow;
        set_scene(&mut copy.x, step);
        let mut shadow = Self {
            state: State::Gone,
            decision: Decision::NotReached,
            took: Duration::ZERO,
            notes: Notes::default(),
        };
        shadow.start(copy, Arc::clone(&step.stage), Which::Request);
        shadow
    }

    /// Runs the reply hook on a copy of the reply, if the request hook is done.
    pub(crate) fn reply(&mut self, x: &Exchange, step: &Step) {
        self.poll();
        if let State::Rest(mut copy) = std::mem::replace(&mut self.state, State::Gone) {
            copy.x.reply = x.reply.clone();
            copy.x.trace.clone_from(&x.trace);
            self.start(copy, Arc::clone(&step.stage), Which::Reply);
        }
    }

    /// What handles a stream's events for the shadowed stage, if its request hook is done.
    pub(crate) fn stream(&mut self, step: &Step) -> Option<Box<dyn crate::StreamStage>> {
        self.poll();
        let State::Rest(copy) = &mut self.state else { return None };
        let Copy { x, slot, notes, .. } = &mut **copy;
        step.stage.stream(Visit { exchange: x, slot, notes })
    }

    /// Waits until the hook under way is done.
    pub(crate) async fn settle(&mut self) {
        if let State::Busy(receiver) = &mut self.state {
            match receiver.await {
                Ok(copy) => self.rest(copy),
                Err(_) => self.state = State::Gone,
            }
        }
    }

    /// What it would have done, all told; its `end` hook runs on the copy.
    pub(crate) fn finish(&mut self, step: &Step) -> (Decision, Duration, Notes) {
        self.poll();
        if let State::Rest(copy) = &mut self.state {
            let Copy { x, slot, notes, .. } = &mut **copy;
            step.stage.end(Visit { exchange: x, slot, notes });
            self.notes.facts.append(&mut copy.notes.facts);
        }
        (self.decision, self.took, std::mem::take(&mut self.notes))
    }

    fn start(&mut self, copy: Box<Copy>, stage: Arc<dyn Stage>, which: Which) {
        let mut work: BoxFuture<'static, Box<Copy>> = Box::pin(run(copy, stage, which));
        // Most hooks are done at once; only those that wait get a task of their own.
        if let Poll::Ready(copy) = work.poll_unpin(&mut Context::from_waker(Waker::noop())) {
            return self.rest(copy);
        }
        let (sender, receiver) = oneshot::channel();
        tokio::spawn(async move {
            let copy = work.await;
            drop(sender.send(copy));
        });
        self.state = State::Busy(receiver);
    }

    fn poll(&mut self) {
        if let State::Busy(receiver) = &mut self.state {
            match receiver.try_recv() {
                Ok(Some(copy)) => self.rest(copy),
                Ok(None) => {}
                Err(_) => self.state = State::Gone,
            }
        }
    }

    fn rest(&mut self, mut copy: Box<Copy>) {
        let decision = match &copy.verdict {
            Verdict::Continue if copy.edited => Decision::Edited,
            Verdict::Continue => Decision::Passed,
            Verdict::Answer(_) => Decision::Answered,
            Verdict::Deny(denial) => {
                self.notes.reason.get_or_insert_with(|| denial.message.to_string());
                Decision::Denied
            }
            Verdict::Fault(reason) => {
                self.notes.reason.get_or_insert_with(|| reason.clone());
                Decision::Faulted
            }
        };
        self.decision = self.decision.max(decision);
        self.took += copy.took;
        self.notes.reason = self.notes.reason.take().or(copy.notes.reason.take());
        self.notes.facts.append(&mut copy.notes.facts);
        self.state = State::Rest(copy);
    }
}

async fn run(mut copy: Box<Copy>, stage: Arc<dyn Stage>, which: Which) -> Box<Copy> {
    let before = copy.x.now();
    let edits = edits(&copy.x);
    let said = {
        let Copy { x, slot, notes, .. } = &mut *copy;
        let visit = Visit { exchange: x, slot, notes };
        let hook = match which {
            Which::Request => stage.request(visit),
            Which::Reply => stage.reply(visit),
        };
        match hook {
            Hook::Done(verdict) => verdict,
            Hook::Wait(future) => future.await,
        }
    };
    copy.verdict = said;
    copy.took = copy.x.now().saturating_sub(before);
    copy.edited = self::edits(&copy.x) > edits;
    copy
}

fn edits(x: &Exchange) -> u32 {
    x.request.edits() + x.reply.as_ref().map_or(0, Reply::edits)
}
