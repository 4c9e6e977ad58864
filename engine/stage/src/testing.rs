//! A gateway for the tests of this crate: real plans, the provider `echo`, a clock that moves when told.

use crate::{Metrics, registry};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use http::HeaderMap;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use weir_catalog::Catalogue;
use weir_diagnostic::Diagnostics;
use weir_dialect::echo::EchoBody;
use weir_message::{Caller, Dialect, Operation, Request};
use weir_pipeline::{
    Answer, Call, CallError, Clock, Exchange, Gateway, Plan, ResponseBody, Secrets, Sink, Upstream, Workshop,
    compile, handle,
};
use weir_policy::{Environment, Snapshot, load};
use weir_state::State;

/// What is wrong with a set, as `weir check` prints it; nothing if all is well.
pub(crate) fn wrongs(stages: &str) -> String {
    build(stages, &Workshop::of(Metrics::new())).err().unwrap_or_default()
}

/// The stages, indented as they stand in a pipeline.
fn policy(stages: &str) -> String {
    let stages: String = stages.lines().map(|line| format!("      {line}\n")).collect();
    format!(
        "weir: v1\nproviders:\n  echo: {{ from: echo }}\n  openai: {{ dialect: openai, base_url: http://127.0.0.1:9/v1 }}\n\
         \x20 anthropic: {{ dialect: anthropic, base_url: http://127.0.0.1:9 }}\n  lab: {{ dialect: openai, base_url: http://127.0.0.1:9 }}\n\
         \x20 own: {{ from: echo, models: [{{ name: echo-say-gold, price: {{ input: 20, output: 80 }} }}] }}\nmodels:\n\
         \x20 fast: {{ targets: [{{ provider: echo, model: echo }}] }}\n\
         \x20 claude: {{ targets: [{{ provider: echo, model: echo-say-from_claude }}] }}\n\
         \x20 canary: {{ targets: [{{ provider: echo, model: echo-say-from_canary }}] }}\n\
         \x20 broken: {{ targets: [{{ provider: echo, model: echo-status-500 }}] }}\n\
         \x20 limited: {{ targets: [{{ provider: echo, model: echo-status-429 }}] }}\n\
         \x20 vanishing: {{ targets: [{{ provider: echo, model: echo-vanishing }}] }}\n\
         \x20 echo-say-*: {{ targets: [{{ provider: own }}] }}\n\
         \x20 free: {{ targets: [{{ provider: lab, model: echo }}] }}\n\
         \x20 dear: {{ targets: [{{ provider: echo, model: echo }}], price: {{ input: 2, output: 8 }} }}\n\
         pipelines:\n  - pipeline: p\n    anonymous: true\n    stages:\n{stages}"
    )
}

trait Of {
    fn of(metrics: Metrics) -> Self;
}

impl Of for Workshop {
    fn of(metrics: Metrics) -> Self {
        let folder = weir_inference::default_directory(|name| std::env::var_os(name)).unwrap_or_default();
        Workshop {
            registry: registry(metrics),
            catalogue: Catalogue::builtin(),
            inference: weir_inference::Models::open(&folder),
            state: Arc::new(State::default()),
        }
    }
}

struct Rows;

impl weir_policy::Catalogue for Rows {
    fn row_names(&self) -> Vec<String> {
        vec!["echo".to_owned()]
    }
}

fn build(stages: &str, workshop: &Workshop) -> Result<Plan, String> {
    let snapshot = Snapshot::from_files([("policy.yaml", policy(stages))]);
    let environment = Environment { builtins: &*workshop.registry, catalogue: &Rows, library: &[] };
    let loaded = load(&snapshot, &environment);
    let shown = |diagnostics: &Diagnostics| weir_diagnostic::render(&loaded.sources, diagnostics, false);
    let Some(set) = &loaded.set else { return Err(shown(&loaded.diagnostics)) };
    let mut diagnostics = Diagnostics::new();
    compile(set, workshop, &Secrets::Ignored, &mut diagnostics).ok_or_else(|| shown(&diagnostics))
}

/// A gateway with one plan.
pub(crate) struct World {
    pub(crate) metrics: Metrics,
    workshop: Workshop,
    plan: Mutex<Arc<Plan>>,
    gateway: Arc<Gateway>,
    echo: Arc<Echo>,
    clock: Arc<Moved>,
    ended: Arc<Ended>,
    sent: AtomicU64,
}

/// What a client got.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The words of the answer, put together from a stream too.
    pub(crate) fn text(&self) -> String {
        if !self.body.starts_with("data:") {
            return self.json()["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned();
        }
        let data =
            self.body.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
        let pieces = data.map(|data| serde_json::from_str::<Value>(data).unwrap());
        pieces
            .map(|event| event["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_owned())
            .collect()
    }
}

/// A chat of one user turn.
pub(crate) fn chat(text: &str) -> Value {
    json!({ "model": "fast", "messages": [{ "role": "user", "content": text }] })
}

impl World {
    pub(crate) fn new(stages: &str) -> Self {
        let metrics = Metrics::new();
        let workshop = Workshop::of(metrics.clone());
        let plan = build(stages, &workshop).unwrap_or_else(|wrong| panic!("{wrong}"));
        let (echo, clock, ended) =
            (Arc::new(Echo::default()), Arc::new(Moved::default()), Arc::new(Ended::default()));
        let gateway = Arc::new(Gateway {
            upstream: Arc::clone(&echo) as Arc<dyn Upstream>,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            state: Arc::clone(&workshop.state),
            sink: Arc::clone(&ended) as Arc<dyn Sink>,
            seed: 7,
        });
        let plan = Mutex::new(Arc::new(plan));
        Self { metrics, workshop, plan, gateway, echo, clock, ended, sent: AtomicU64::new(0) }
    }

    /// Serves another plan from now on.
    pub(crate) fn reload(&self, stages: &str) {
        *self.plan.lock().unwrap() =
            Arc::new(build(stages, &self.workshop).unwrap_or_else(|wrong| panic!("{wrong}")));
    }

    pub(crate) async fn send(&self, body: Value) -> Got {
        self.send_as(None, &[], body).await
    }

    pub(crate) async fn send_as(
        &self,
        team: Option<&str>,
        headers: &[(&'static str, &str)],
        body: Value,
    ) -> Got {
        self.ask(Operation::Chat, team, headers, body).await
    }

    pub(crate) async fn ask(
        &self,
        operation: Operation,
        team: Option<&str>,
        headers: &[(&'static str, &str)],
        body: Value,
    ) -> Got {
        self.ask_in(Dialect::OpenAi, operation, team, headers, body).await
    }

    pub(crate) async fn ask_in(
        &self,
        dialect: Dialect,
        operation: Operation,
        team: Option<&str>,
        headers: &[(&'static str, &str)],
        body: Value,
    ) -> Got {
        let n = self.sent.fetch_add(1, Ordering::Relaxed);
        let mut request = Request::new(format!("r{n}"), dialect, operation, "/v1");
        request.raw = Bytes::from(body.to_string());
        request.source = Some("192.0.2.1:4000".parse().unwrap());
        request.caller = team.map(|team| {
            Arc::new(Caller {
                by: "key".into(),
                key: Some(team.into()),
                team: Some(team.into()),
                ..Caller::default()
            })
        });
        for (name, value) in headers {
            request.headers.append(*name, value.parse().unwrap());
        }
        let plan = Arc::clone(&self.plan.lock().unwrap());
        let response = handle(&self.gateway, plan, request).await;
        let body = match response.body {
            ResponseBody::Whole(body) => body.to_vec(),
            ResponseBody::Stream(pieces) => pieces.collect::<Vec<_>>().await.concat(),
        };
        self.ended.of(&format!("r{n}")).await;
        Got { status: response.status, headers: response.headers, body: String::from_utf8(body).unwrap() }
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, time: Duration) {
        self.clock.nanos.fetch_add(u64::try_from(time.as_nanos()).unwrap(), Ordering::Relaxed);
        self.clock.bell.notify_waiters();
    }

    /// What was sent upstream.
    pub(crate) fn calls(&self) -> Vec<(Value, HeaderMap)> {
        std::mem::take(&mut *self.echo.calls.lock().unwrap())
    }

    /// The request that ended last.
    pub(crate) fn last(&self) -> Exchange {
        self.ended.all.lock().unwrap().last().unwrap().clone()
    }

    /// All requests that ended.
    pub(crate) fn ended(&self) -> Vec<Exchange> {
        self.ended.all.lock().unwrap().clone()
    }

    /// What outlives requests.
    pub(crate) fn state(&self) -> &State {
        &self.workshop.state
    }

    /// A fact that a stage gave for the request that ended last.
    pub(crate) fn fact(&self, stage: &str, name: &str) -> Option<Value> {
        let last = self.last();
        let facts = &last.trace.stage(stage).unwrap().facts;
        facts.iter().find(|(fact, _)| *fact == name).map(|(_, value)| value.clone())
    }
}

#[derive(Default)]
struct Echo {
    calls: Mutex<Vec<(Value, HeaderMap)>>,
}

impl Upstream for Echo {
    fn send(&self, call: Call) -> BoxFuture<'_, Result<Answer, CallError>> {
        let body: Value = serde_json::from_slice(&call.body).unwrap();
        let model = body["model"].as_str().unwrap_or_default().to_owned();
        self.calls.lock().unwrap().push((body, call.headers.clone()));
        if model == "echo-vanishing" {
            let lost = CallError::new(weir_message::Cause::Broken, "gone before the head of a reply");
            return futures::future::ready(Err(lost)).boxed();
        }
        let operation = if call.path == "/responses" { Operation::Response } else { Operation::Chat };
        let plan = weir_dialect::echo::plan(operation, &model, &call.body);
        let pieces = match plan.body {
            EchoBody::Whole(body) => vec![body],
            EchoBody::Events(events) => events.into_iter().map(|(_, event)| event).collect(),
        };
        let body = futures::stream::iter(pieces.into_iter().map(Ok)).boxed();
        // Other requests get a turn first, so that equal ones meet.
        async move {
            tokio::task::yield_now().await;
            Ok(Answer { status: plan.status, headers: plan.headers, body })
        }
        .boxed()
    }
}

struct Moved {
    nanos: Arc<AtomicU64>,
    bell: Arc<tokio::sync::Notify>,
}

impl Default for Moved {
    fn default() -> Self {
        Self { nanos: Arc::new(AtomicU64::new(1_000_000_000)), bell: Arc::default() }
    }
}

impl Clock for Moved {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Ordering::Relaxed))
    }

    fn unix_nanos(&self) -> i64 {
        // 2025-11-24T16:00:00Z, and what passed since.
        1_764_000_000_000_000_000 + i64::try_from(self.nanos.load(Ordering::Relaxed)).unwrap() - 1_000_000_000
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        // Short waits (before a retry) are over at once, others when so much time was let pass.
        if time < Duration::from_secs(2) {
            return futures::future::ready(()).boxed();
        }
        let until = self.now() + time;
        let (nanos, bell) = (Arc::clone(&self.nanos), Arc::clone(&self.bell));
        async move {
            loop {
                let rung = bell.notified();
                tokio::pin!(rung);
                rung.as_mut().enable();
                if Duration::from_nanos(nanos.load(Ordering::Relaxed)) >= until {
                    return;
                }
                rung.await;
            }
        }
        .boxed()
    }
}

#[derive(Default)]
struct Ended {
    all: Mutex<Vec<Exchange>>,
    bell: tokio::sync::Notify,
}

impl Ended {
    /// Waits until the request with this id has ended, its shadows too.
    async fn of(&self, id: &str) {
        loop {
            let bell = self.bell.notified();
            tokio::pin!(bell);
            bell.as_mut().enable();
            if self.all.lock().unwrap().iter().any(|exchange| *exchange.request.id == *id) {
                return;
            }
            bell.await;
        }
    }
}

impl Sink for Ended {
    fn ended(&self, exchange: &mut Exchange) {
        self.all.lock().unwrap().push(exchange.clone());
        self.bell.notify_waiters();
    }
}
