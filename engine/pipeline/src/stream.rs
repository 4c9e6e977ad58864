//! Streamed replies on their way up.

use crate::Verdict;
use futures::future::BoxFuture;
use weir_message::{Denial, Event};

/// What a stage does with the events of one stream.
pub trait StreamStage: Send {
    /// One event. What is to go on is pushed to `out`: this event, another, several or none (held back). With a denial nothing
    /// of it goes on; with a fault only if the policy passes the stage over.
    fn event<'a>(&'a mut self, event: Event, out: &'a mut Vec<Event>) -> Flow<'a>;

    /// The stream has ended as it should; what was held must go out now or be denied. Called before the stream's last
    /// marker ([`weir_message::EventKind::Done`]) is released.
    fn finish<'a>(&'a mut self, _out: &'a mut Vec<Event>) -> Flow<'a> {
        Flow::Done(StreamVerdict::Continue)
    }

    /// It faulted and is passed over (`on_error: skip`): what it holds goes out as it came. A stage that holds nothing back
    /// has nothing to do.
    fn abandon(&mut self, _out: &mut Vec<Event>) {}

    /// What it learnt, for the trace; called once at the end, however it ended.
    fn notes(&mut self, _notes: &mut crate::Notes) {}
}

/// A verdict on an event, at once or after inference.
pub enum Flow<'a> {
    /// Decided.
    Done(StreamVerdict),
    /// To be awaited.
    Wait(BoxFuture<'a, StreamVerdict>),
}

/// How a stage's handling of an event ends. There is no answer: the stream is one.
#[derive(Debug)]
pub enum StreamVerdict {
    /// What was pushed goes on.
    Continue,
    /// The stream is cut: the upstream is cancelled and the client told in its dialect's terms.
    Deny(Box<Denial>),
    /// The stage could not decide.
    Fault(String),
}

impl From<StreamVerdict> for Verdict {
    fn from(verdict: StreamVerdict) -> Self {
        match verdict {
            StreamVerdict::Continue => Verdict::Continue,
            StreamVerdict::Deny(denial) => Verdict::Deny(denial),
            StreamVerdict::Fault(reason) => Verdict::Fault(reason),
        }
    }
}
