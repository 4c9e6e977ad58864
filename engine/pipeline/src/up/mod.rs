//! A streamed reply on its way up: events through the stages, out as they come.

mod flow;

use crate::attempt::Begun;
use crate::plan::Step;
use crate::run::Run;
use crate::{CallError, Refusal, refuse};
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt, select};
use futures::stream::{BoxStream, StreamExt, empty};
use std::collections::VecDeque;
use std::time::Duration;
use weir_message::{Cause, Outcome};

pub(crate) use flow::Flow;
use flow::Stand;

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

impl Up {
    /// Lines up the stages that look at the stream, the innermost first.
    pub(crate) fn new(run: Box<Run>, begun: Box<Begun>, steps: &[Step], asks_usage: bool) -> Self {
        let flow = Flow::new(run, begun, steps, asks_usage);
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
        let Some(mut flow) = self.flow.take() else { return };
        let include_usage = flow.run.x.request.head.include_usage;
        let usage = flow.tally.usage.filter(|_| include_usage);
        let id = &flow.run.x.request.id;
        self.ready.extend(refuse::in_stream(&mut flow.encoder, id, &refusal, usage));
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
