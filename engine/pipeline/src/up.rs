//! A streamed reply on its way up: events through the stages, out as they come.

use crate::attempt::Begun;
use crate::links::Link;
use crate::plan::Step;
use crate::run::Run;
use crate::settle::estimated;
use crate::{CallError, Plan, Refusal, refuse};
use bytes::{Bytes, BytesMut};
use futures::future::{BoxFuture, Either, FutureExt, select};
use futures::stream::{BoxStream, StreamExt, empty};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use weir_dialect::{Ending, StreamDecoder, StreamEncoder};
use weir_message::{Cause, ErrorCode, Event, EventKind, Fault, Finish, Outcome, Usage};

/// How long the rest of an upstream's body is awaited behind the stream's end, so that its connection can be used again.
const REST: Duration = Duration::from_secs(1);

/// A stream for the client. Dropping it before its end cancels the upstream and books what was spent.
pub(crate) struct Up {
    /// What is under way; nothing once the stream has ended.
    flow: Option<Box<Flow>>,
    /// Pieces ready to be sent.
    ready: VecDeque<Bytes>,
    /// What an upstream may still send behind a clean end.
    rest: Option<(Body, BoxFuture<'static, ()>)>,
}

type Body = BoxStream<'static, Result<Bytes, CallError>>;

/// A stream under way.
pub(crate) struct Flow {
    pub(crate) run: Box<Run>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) encoder: StreamEncoder,
    pub(crate) links: Vec<Link>,
    body: Body,
    decoder: StreamDecoder,
    /// Events read before the stream was committed.
    first: Vec<Event>,
    /// The client did not ask for usage: its event goes through the stages and not out.
    hides_usage: bool,
    /// The plan asks for usage.
    asks_usage: bool,
    tally: Tally,
    deadline: Option<BoxFuture<'static, ()>>,
}

/// What passed, for the books.
#[derive(Default)]
struct Tally {
    usage: Option<Usage>,
    /// Events with content; stands in for output tokens when the provider does not report usage.
    content_events: u64,
    finish: Option<Finish>,
}

/// Where a stream stands after a step.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stand {
    Open,
    Ended,
}

impl Up {
    /// Lines up the stages that look at the stream, the innermost first.
    pub(crate) fn new(mut run: Box<Run>, begun: Box<Begun>, steps: &[Step], asks_usage: bool) -> Self {
        let plan = run.plan();
        let links = Link::line_up(&mut run, steps);
        let deadline = plan.pipelines.get(run.pipeline).and_then(|pipeline| pipeline.deadline);
        let deadline = deadline.map(|deadline| {
            let left = deadline.saturating_sub(run.x.elapsed());
            run.x.gateway.clock.sleep(left)
        });
        let flow = Flow {
            encoder: refuse::encoder(&run.x),
            hides_usage: asks_usage && !run.x.request.head.include_usage,
            run,
            plan,
            body: begun.body,
            decoder: begun.decoder,
            links,
            first: begun.events,
            asks_usage,
            tally: Tally::default(),
            deadline,
        };
        Self { flow: Some(Box::new(flow)), ready: VecDeque::new(), rest: None }
    }

    /// Goes on until the first piece is ready to be sent. A refusal before that can still be told with a status of its own:
    /// then the run comes back with it.
    pub(crate) async fn first(&mut self) -> Result<(), Option<(Box<Run>, Refusal)>> {
        let mut stand = match &mut self.flow {
            Some(flow) => {
                let first = std::mem::take(&mut flow.first);
                flow.take_in(first, &mut self.ready).await
            }
            None => return Ok(()),
        };
        loop {
            match stand {
                Ok(Stand::Ended) => {
                    self.end().await;
                    return Ok(());
                }
                Ok(Stand::Open) if !self.ready.is_empty() => return Ok(()),
                Ok(Stand::Open) => {}
                Err(refusal) => {
                    return Err(self.flow.take().map(|flow| (flow.broken_off(&refusal), refusal)));
                }
            }
            let Some(flow) = &mut self.flow else { return Ok(()) };
            stand = flow.step(&mut self.ready).await;
        }
    }

    /// The next piece for the client; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Some(piece);
            }
            let Some(flow) = &mut self.flow else {
                self.let_go();
                return None;
            };
            match flow.step(&mut self.ready).await {
                Ok(Stand::Open) => {}
                Ok(Stand::Ended) => self.end().await,
                Err(refusal) => self.cut(refusal).await,
            }
        }
    }

    /// The run, for the reply's head; none once the stream has ended.
    pub(crate) fn run(&mut self) -> Option<&mut Run> {
        self.flow.as_mut().map(|flow| &mut *flow.run)
    }

    /// The provider ended its stream as it should, and all of it is ready.
    async fn end(&mut self) {
        let Some(mut flow) = self.flow.take() else { return };
        let body = std::mem::replace(&mut flow.body, empty().boxed());
        let patience = flow.run.x.gateway.clock.sleep(REST);
        self.rest = Some((body, patience));
        let mut run = flow.over(None);
        run.x.trace.timings.first_release.get_or_insert(run.x.elapsed());
        run.end(Outcome::Replied).await;
    }

    /// Ends the stream with a refusal, told inside it. Never a clean end.
    async fn cut(&mut self, refusal: Refusal) {
        let Some(flow) = self.flow.take() else { return };
        let include_usage = flow.run.x.request.head.include_usage;
        let usage = flow.tally.usage.filter(|_| include_usage);
        let id = &flow.run.x.request.id;
        self.ready.extend(refuse::in_stream(&flow.encoder, id, &refusal, usage));
        let mut run = flow.broken_off(&refusal);
        let outcome = refusal.outcome();
        refuse::record(&mut run.x, refusal);
        run.end(outcome).await;
    }

    /// Waits for the rest of the upstream's body behind its end, if it is not there yet, in a task of its own.
    fn let_go(&mut self) {
        let Some((mut body, patience)) = self.rest.take() else { return };
        match body.next().now_or_never() {
            Some(None | Some(Err(_))) => {}
            None | Some(Some(Ok(_))) => {
                let drained = body.for_each(|_| futures::future::ready(()));
                drop(tokio::spawn(select(Box::pin(drained), patience).map(drop)));
            }
        }
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // The client left before the end: what was streamed so far is booked, after the upstream is let go.
        if let Some(mut flow) = self.flow.take() {
            flow.body = empty().boxed();
            let run = flow.over(Some(Cause::Cancelled));
            drop(run);
        }
    }
}

impl Flow {
    /// Takes one piece from upstream through the stages.
    async fn step(&mut self, ready: &mut VecDeque<Bytes>) -> Result<Stand, Refusal> {
        let piece = match &mut self.deadline {
            None => self.body.next().await,
            Some(deadline) => match select(self.body.next(), deadline).await {
                Either::Left((piece, _)) => piece,
                Either::Right(_) => {
                    let message = "the deadline of the request passed";
                    return Err(Refusal::Failed(Fault::new(ErrorCode::DeadlineExceeded, message)));
                }
            },
        };
        match piece {
            Some(Ok(chunk)) => {
                let mut events = Vec::new();
                self.decoder.push(chunk);
                loop {
                    match self.decoder.next_event() {
                        Ok(Some(event)) => events.push(event),
                        Ok(None) => return self.take_in(events, ready).await,
                        Err(fault) => {
                            // What came before is good.
                            self.take_in(events, ready).await?;
                            return Err(Refusal::Failed(fault));
                        }
                    }
                }
            }
            Some(Err(error)) => Err(self.failed(error.cause, error.detail)),
            None => {
                let Ending { last, .. } = self.decoder.finish().map_err(Refusal::Failed)?;
                if self.take_in(last.into_iter().collect(), ready).await? == Stand::Ended {
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

    async fn take_in(&mut self, events: Vec<Event>, ready: &mut VecDeque<Bytes>) -> Result<Stand, Refusal> {
        let mut taken = Vec::with_capacity(events.len());
        for event in events {
            match event.kind {
                EventKind::Done => {
                    self.pass(taken, ready).await?;
                    return self.close(Some(event), ready).await;
                }
                EventKind::Error => {
                    self.pass(taken, ready).await?;
                    let error = weir_dialect::stream_error(self.run.x.request.dialect, &event.raw);
                    self.run.x.trace.said = Some(error.excerpt);
                    return Err(
                        self.failed(error.cause, "the provider told an error in its stream".to_owned())
                    );
                }
                EventKind::Content => {
                    self.tally.content_events += 1;
                    self.encoder.observe(&event);
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
        let done = done.unwrap_or_else(|| self.encoder.done());
        ready.push_back(done.outgoing());
        Ok(Stand::Ended)
    }

    /// Lines events up to be sent: one piece of what came together.
    fn send(&mut self, out: &[Event], ready: &mut VecDeque<Bytes>) {
        let hides = self.hides_usage;
        let mut shown = out.iter().filter(|event| !(hides && event.kind == EventKind::Usage));
        let Some(first) = shown.next() else { return };
        let mut piece = first.outgoing();
        if let Some(second) = shown.next() {
            let mut together = BytesMut::with_capacity(out.iter().map(|event| event.raw.len()).sum());
            for bytes in [piece, second.outgoing()].into_iter().chain(shown.map(Event::outgoing)) {
                together.extend_from_slice(&bytes);
            }
            piece = together.freeze();
        }
        ready.push_back(piece);
        let timings = &mut self.run.x.trace.timings;
        if timings.first_release.is_none() {
            self.run.x.trace.timings.first_release = Some(self.run.x.elapsed());
        }
    }

    /// The run, once a refusal ends the stream.
    fn broken_off(self: Box<Self>, refusal: &Refusal) -> Box<Run> {
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
    fn over(mut self: Box<Self>, cause: Option<Cause>) -> Box<Run> {
        self.tell_links();
        let Flow { mut run, tally, asks_usage, body, .. } = *self;
        drop(body);
        let usage = tally.usage.unwrap_or_else(|| estimated(&run.x, asks_usage, tally.content_events));
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
