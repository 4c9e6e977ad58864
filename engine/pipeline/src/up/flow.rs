//! A stream under way: pieces from upstream taken in, passed through the stages, and lined up for the client.

use super::Body;
use crate::attempt::Begun;
use crate::links::Link;
use crate::plan::Step;
use crate::run::Run;
use crate::settle::of_part;
use crate::{Plan, Refusal, refuse};
use bytes::{Bytes, BytesMut};
use futures::future::{BoxFuture, Either, FutureExt, select};
use futures::stream::{self, StreamExt};
use std::collections::VecDeque;
use std::sync::Arc;
use weir_dialect::{Ending, Piece, StreamDecoder, StreamEncoder};
use weir_message::{Cause, ErrorCode, Event, EventKind, Fault, Finish, Usage};

/// How many bytes that have come together leave together.
const TOGETHER: usize = 16 * 1024;

/// A stream under way.
pub(crate) struct Flow {
    pub(crate) run: Box<Run>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) encoder: StreamEncoder,
    pub(crate) links: Vec<Link>,
    pub(super) body: Body,
    decoder: StreamDecoder,
    /// Events read before the stream was committed.
    pub(super) first: Vec<Event>,
    /// The client did not ask for usage: its event goes through the stages and not out.
    hides_usage: bool,
    /// The plan asks for usage.
    asks_usage: bool,
    pub(super) tally: Tally,
    deadline: Option<BoxFuture<'static, ()>>,
}

/// What passed, for the books.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) usage: Option<Usage>,
    /// Events with content; stands in for output tokens when the provider does not report usage.
    content_events: u64,
    finish: Option<Finish>,
}

fn past_deadline() -> Refusal {
    Refusal::Failed(Fault::new(ErrorCode::DeadlineExceeded, "the deadline of the request passed"))
}

/// Where a stream stands after a step.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stand {
    Open,
    Ended,
}

impl Flow {
    /// Lines up the stages that look at the stream, the innermost first.
    pub(crate) fn new(mut run: Box<Run>, begun: Box<Begun>, steps: &[Step], asks_usage: bool) -> Self {
        let plan = run.plan();
        let links = Link::line_up(&mut run, steps);
        let deadline = plan.pipelines.get(run.pipeline).and_then(|pipeline| pipeline.deadline);
        let deadline = deadline.map(|deadline| {
            let left = deadline.saturating_sub(run.x.elapsed());
            run.x.gateway.clock.sleep(left)
        });
        Self {
            encoder: refuse::encoder(&run.x),
            hides_usage: (asks_usage || begun.decoder.translates()) && !run.x.request.head.include_usage,
            run,
            plan,
            body: begun.body,
            decoder: begun.decoder,
            links,
            first: begun.events,
            asks_usage,
            tally: Tally::default(),
            deadline,
        }
    }

    /// Takes one piece from upstream through the stages.
    pub(super) async fn step(&mut self, ready: &mut VecDeque<Bytes>) -> Result<Stand, Refusal> {
        let piece = match &mut self.deadline {
            None => self.body.next().await,
            Some(deadline) => match select(self.body.next(), deadline).await {
                Either::Left((piece, _)) => piece,
                Either::Right(_) => return Err(past_deadline()),
            },
        };
        if piece.is_none() {
            // A stream must not be asked again behind its end, and what waits for the rest of the body asks.
            self.body = stream::empty().boxed();
        }
        match piece {
            Some(Ok(chunk)) => {
                let mut events = Vec::new();
                let read = self.read(chunk, &mut events);
                // What came before a flaw is good.
                let stand = self.take_in(events, ready).await?;
                read.map(|()| stand).map_err(Refusal::Failed)
            }
            // The attempt's time ends with the request's: whichever timer went off first.
            Some(Err(error)) if error.cause == Cause::Timeout && self.is_past_deadline() => {
                Err(past_deadline())
            }
            Some(Err(error)) => Err(self.failed(error.cause, error.detail)),
            None => {
                let Ending { last, .. } = self.decoder.finish().map_err(Refusal::Failed)?;
                if self.take_in(last, ready).await? == Stand::Ended {
                    return Ok(Stand::Ended);
                }
                match self.tally.finish {
                    // Some providers leave out the last marker after the reason to finish.
                    Some(_) => self.close(None, ready).await,
                    None => {
                        Err(self.failed(Cause::Broken, "the connection closed before the end".to_owned()))
                    }
                }
            }
        }
    }

    fn is_past_deadline(&self) -> bool {
        let pipeline = self.plan.pipelines.get(self.run.pipeline);
        pipeline.and_then(|pipeline| pipeline.deadline).is_some_and(|at| self.run.x.elapsed() >= at)
    }

    /// Takes the events out of a piece, and out of those behind it that are there already: what has come together leaves
    /// together.
    fn read(&mut self, piece: Bytes, events: &mut Vec<Event>) -> Result<(), Fault> {
        let mut next = Some(piece);
        let mut taken = 0;
        while let Some(piece) = next.take() {
            taken += piece.len();
            self.decoder.push(piece);
            while let Some(event) = self.decoder.next_event()? {
                events.push(event);
            }
            if taken < TOGETHER {
                next = match self.body.next().now_or_never() {
                    None => None,
                    Some(Some(Ok(piece))) => Some(piece),
                    // The end keeps until what came before it is out.
                    Some(end) => {
                        self.body = stream::iter(end).boxed();
                        None
                    }
                };
            }
        }
        Ok(())
    }

    pub(super) async fn take_in(
        &mut self,
        events: Vec<Event>,
        ready: &mut VecDeque<Bytes>,
    ) -> Result<Stand, Refusal> {
        let mut taken = Vec::with_capacity(events.len());
        for event in events {
            match event.kind {
                EventKind::Done => {
                    self.pass(taken, ready).await?;
                    return self.close(Some(event), ready).await;
                }
                EventKind::Error => {
                    self.pass(taken, ready).await?;
                    let error = self.decoder.error(&event);
                    self.run.x.trace.said = Some(error.excerpt);
                    return Err(
                        self.failed(error.cause, "the provider told an error in its stream".to_owned())
                    );
                }
                EventKind::Content => {
                    self.tally.content_events += 1;
                }
                EventKind::Usage | EventKind::KeepAlive | EventKind::Other => {}
            }
            self.tally.usage = event.usage.or(self.tally.usage);
            self.tally.finish = event.finish.or(self.tally.finish);
            taken.push(event);
        }
        self.pass(taken, ready).await?;
        Ok(Stand::Open)
    }

    /// Events through all links, and out. What passed before a refusal goes out before it.
    async fn pass(&mut self, events: Vec<Event>, ready: &mut VecDeque<Bytes>) -> Result<(), Refusal> {
        let (out, stopped) = self.through(events, 0).await;
        self.send(&out, ready);
        stopped.map_or(Ok(()), Err)
    }

    /// The provider ended its stream as it should: stages give what they hold, then the last marker goes out.
    async fn close(&mut self, done: Option<Event>, ready: &mut VecDeque<Bytes>) -> Result<Stand, Refusal> {
        for k in 0..self.links.len() {
            let held = self.finish_link(k).await?;
            let (out, stopped) = self.through(held, k + 1).await;
            self.send(&out, ready);
            if let Some(refusal) = stopped {
                return Err(refusal);
            }
        }
        let end = done.map_or_else(|| self.encoder.write(Piece::Done), |done| vec![done]);
        // Some dialects have no word for it.
        let end = end.iter().map(|event| self.encoder.send(event)).filter(|piece| !piece.is_empty());
        ready.extend(end);
        Ok(Stand::Ended)
    }

    /// Lines events up to be sent: one piece of what came together.
    fn send(&mut self, out: &[Event], ready: &mut VecDeque<Bytes>) {
        if out.iter().any(Event::has_lost_repeats) {
            self.run.x.trace.drop_repeats();
        }
        let hides = self.hides_usage;
        let mut shown = out.iter().filter(|event| !(hides && event.kind == EventKind::Usage));
        let Some(first) = shown.next() else { return };
        let mut piece = self.encoder.send(first);
        if let Some(second) = shown.next() {
            let mut together = BytesMut::with_capacity(out.iter().map(|event| event.raw.len()).sum());
            together.extend_from_slice(&piece);
            for event in std::iter::once(second).chain(shown) {
                together.extend_from_slice(&self.encoder.send(event));
            }
            piece = together.freeze();
        }
        if piece.is_empty() {
            return;
        }
        ready.push_back(piece);
        let timings = &mut self.run.x.trace.timings;
        if timings.first_release.is_none() {
            self.run.x.trace.timings.first_release = Some(self.run.x.elapsed());
        }
    }

    /// The run, once a refusal ends the stream.
    pub(crate) fn broken_off(self: Box<Self>, refusal: &Refusal) -> Box<Run> {
        let cause = match refusal {
            // The policy cut it; the provider did nothing wrong.
            Refusal::Denied(_) => None,
            Refusal::Failed(fault) => match fault.code {
                ErrorCode::DeadlineExceeded => Some(Cause::Deadline),
                ErrorCode::UpstreamInvalid => Some(Cause::Invalid),
                _ => None,
            },
        };
        self.over(cause)
    }

    /// Books what was spent and takes what the stages learnt into the trace; the upstream is let go.
    pub(super) fn over(mut self: Box<Self>, cause: Option<Cause>) -> Box<Run> {
        self.tell_links();
        let Flow { mut run, tally, asks_usage, body, .. } = *self;
        drop(body);
        let usage = match (tally.usage, tally.finish) {
            (Some(usage), Some(_)) => usage,
            (usage, _) => of_part(usage, &mut run.x, asks_usage, tally.content_events),
        };
        // What was kept was paid for when it was made.
        let usage = if weir_dialect::is_kept(&run.x.request) { Usage::default() } else { usage };
        run.settle_attempt(Some(usage), cause);
        run
    }

    fn failed(&mut self, cause: Cause, detail: String) -> Refusal {
        self.run.broke_off(cause);
        let message = match cause {
            Cause::Timeout => "the provider paused too long in its stream",
            _ => "the provider's stream ended before its end",
        };
        let code =
            if cause == Cause::Timeout { ErrorCode::UpstreamTimeout } else { ErrorCode::UpstreamBroken };
        Refusal::Failed(Fault::new(code, message).detail(detail))
    }
}
