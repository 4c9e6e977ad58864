//! A gateway in this process: the real stages and executor, and a provider that says what it is told.

use crate::room::Outcome;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use weir_catalog::Catalogue;
use weir_diagnostic::{Diagnostics, render};
use weir_inference::Models;
use weir_message::{Dialect, Operation, Request, Trace};
use weir_pipeline::{
    Answer, Call, CallError, Exchange, Gateway, Plan, ResponseBody, Secrets, Sink, SystemClock, Upstream,
    Workshop, compile, handle,
};
use weir_policy::{Environment, Snapshot, load};
use weir_stage::Metrics;
use weir_state::State;

/// A pipeline of some stages.
pub(crate) struct Pipeline {
    plan: Arc<Plan>,
    state: Arc<State>,
}

/// What came of a request.
pub(crate) struct Went {
    pub(crate) status: u16,
    /// What the provider was sent, if it was asked.
    pub(crate) sent: Option<Value>,
    /// What the client was sent.
    pub(crate) body: String,
    /// What the stages did; all of a request's own that ended.
    pub(crate) trace: Option<Trace>,
}

impl Went {
    /// The text of a message that the provider was sent.
    pub(crate) fn sent_text(&self, message: usize) -> Option<&str> {
        self.sent.as_ref()?.pointer(&format!("/messages/{message}/content"))?.as_str()
    }

    /// A fact that the first stage told the trace.
    pub(crate) fn fact(&self, name: &str) -> Option<&Value> {
        let stage = self.trace.as_ref()?.stages.first()?;
        stage.facts.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// The words of the reply, whole or streamed.
    pub(crate) fn text(&self) -> String {
        let part = |json: &str| {
            let value: Value = serde_json::from_str(json).ok()?;
            let choice = value.pointer("/choices/0")?;
            let message = choice.get("message").or_else(|| choice.get("delta"))?;
            Some(message.get("content")?.as_str()?.to_owned())
        };
        match self.body.starts_with('{') {
            true => part(&self.body).unwrap_or_default(),
            false => self.body.lines().filter_map(|line| part(line.strip_prefix("data: ")?)).collect(),
        }
    }
}

struct NoRows;

impl weir_policy::Catalogue for NoRows {
    fn row_names(&self) -> Vec<String> {
        Vec::new()
    }
}

impl Pipeline {
    /// A pipeline of these stages, each a line of YAML in flow style.
    pub(crate) fn new(stages: &[&str], models: Option<&Models>) -> Outcome<Self> {
        let stages: String = stages.iter().map(|stage| format!("      - {stage}\n")).collect();
        let policy = format!(
            "weir: v1\nproviders:\n  p: {{ dialect: openai, base_url: http://127.0.0.1:1/v1 }}\nmodels:\n\
             \x20 m: {{ targets: [{{ provider: p, model: m }}] }}\npipelines:\n  - pipeline: p\n    anonymous: true\n\
             \x20   stages:\n{stages}"
        );
        let state = Arc::new(State::default());
        let workshop = Workshop {
            registry: weir_stage::registry(Metrics::new()),
            catalogue: Catalogue::builtin(),
            inference: models.cloned().unwrap_or_else(|| Models::open(Path::new("none"))),
            state: Arc::clone(&state),
        };
        let snapshot = Snapshot::from_files([("policy.yaml", policy)]);
        let environment = Environment { builtins: &*workshop.registry, catalogue: &NoRows, library: &[] };
        let loaded = load(&snapshot, &environment);
        let told = |found: &Diagnostics| render(&loaded.sources, found, false);
        let Some(set) = &loaded.set else { return Err(told(&loaded.diagnostics).into()) };
        let mut found = Diagnostics::new();
        match compile(set, &workshop, &Secrets::Ignored, &mut found) {
            Some(plan) => Ok(Self { plan: Arc::new(plan), state }),
            None => Err(told(&found).into()),
        }
    }

    /// Sends a chat to a provider that replies so: a body of JSON, or a stream of events.
    pub(crate) async fn ask(&self, body: &Value, reply: String) -> Went {
        let provider = Arc::new(Provider { reply, sent: Mutex::default() });
        let ended = Arc::new(Ended::default());
        let gateway = Arc::new(Gateway {
            upstream: Arc::clone(&provider) as Arc<dyn Upstream>,
            clock: Arc::new(SystemClock::new()),
            state: Arc::clone(&self.state),
            sink: Arc::clone(&ended) as Arc<dyn Sink>,
            seed: 7,
        });
        let mut request = Request::new("r1", Dialect::OpenAi, Operation::Chat, "/v1/chat/completions");
        request.raw = Bytes::from(body.to_string());
        let response = handle(&gateway, Arc::clone(&self.plan), request).await;
        let body = match response.body {
            ResponseBody::Whole(bytes) => bytes.to_vec(),
            ResponseBody::Stream(stream) => stream.collect::<Vec<_>>().await.concat(),
        };
        let sent = provider.sent.lock().unwrap_or_else(PoisonError::into_inner).take();
        let trace = ended.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        Went { status: response.status, sent, body: String::from_utf8_lossy(&body).into_owned(), trace }
    }

    /// Sends one user turn and gets a short reply.
    pub(crate) async fn user(&self, text: &str) -> Went {
        self.ask(&user(text), says("ok")).await
    }
}

/// Sends many at once and gives what came of them, in their order.
pub(crate) async fn together<'a, T, F>(all: &'a [T], ask: impl Fn(&'a T) -> F) -> Vec<Went>
where
    F: Future<Output = Went> + 'a,
{
    futures::stream::iter(all.iter().map(ask)).buffered(16).collect().await
}

/// A chat of one user turn.
pub(crate) fn user(text: &str) -> Value {
    json!({ "model": "m", "messages": [{ "role": "user", "content": text }] })
}

/// A whole reply that says this.
pub(crate) fn says(text: &str) -> String {
    let message = json!({ "role": "assistant", "content": text });
    let choices = json!([{ "index": 0, "message": message, "finish_reason": "stop" }]);
    json!({ "id": "c", "object": "chat.completion", "model": "m", "choices": choices }).to_string()
}

/// A stream that says these pieces.
pub(crate) fn streams(pieces: &[&str]) -> String {
    let chunk = |delta: Value, finish: Value| {
        let choices = json!([{ "index": 0, "delta": delta, "finish_reason": finish }]);
        format!("data: {}\n\n", json!({ "id": "c", "object": "chat.completion.chunk", "choices": choices }))
    };
    let mut out: String =
        pieces.iter().map(|piece| chunk(json!({ "content": piece }), Value::Null)).collect();
    out.push_str(&chunk(json!({}), json!("stop")));
    out.push_str("data: [DONE]\n\n");
    out
}

/// Replies with what it was given, and keeps what it was sent.
struct Provider {
    reply: String,
    sent: Mutex<Option<Value>>,
}

impl Upstream for Provider {
    fn send(&self, call: Call) -> BoxFuture<'_, Result<Answer, CallError>> {
        let sent = serde_json::from_slice(&call.body).ok();
        *self.sent.lock().unwrap_or_else(PoisonError::into_inner) = sent;
        let kind = if self.reply.starts_with('{') { "application/json" } else { "text/event-stream" };
        let mut headers = HeaderMap::new();
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(kind));
        let body = futures::stream::iter([Ok(Bytes::from(self.reply.clone()))]).boxed();
        futures::future::ready(Ok(Answer { status: 200, headers, body })).boxed()
    }
}

#[derive(Default)]
struct Ended(Mutex<Option<Trace>>);

impl Sink for Ended {
    fn ended(&self, exchange: &mut Exchange) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(exchange.trace.clone());
    }
}
