//! What the guards' tests share: a request through a pipeline with one guard, against a scripted provider.

use crate::{Metrics, registry};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use http::HeaderMap;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use weir_catalog::Catalogue;
use weir_diagnostic::{Diagnostics, render};
use weir_message::{Dialect, Operation, Request, Trace};
use weir_pipeline::{
    Answer, Call, CallError, Clock, Exchange, Gateway, Plan, ResponseBody, Secrets, Sink, Upstream, Workshop,
    compile, handle,
};
use weir_policy::{Environment, Snapshot, load};
use weir_state::State;

/// Files that stand in every set here, beside the policy.
const FILES: [(&str, &str); 2] = [
    ("list.txt", "# Rivals\nAcme\n\n  Globex Corp  \nＩｎｉｔｅｃｈ\n"),
    (
        "mail.schema.json",
        r#"{ "type": "object", "required": ["to"], "properties": { "to": { "type": "string" } } }"#,
    ),
];

struct NoRows;

impl weir_policy::Catalogue for NoRows {
    fn row_names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What a service answers that guards ask: its status and its answer to a question at a path.
type Service = Box<dyn Fn(&str, &Value) -> (u16, Value) + Send + Sync>;

/// Replies with what it was given, and keeps what it was sent.
struct Provider {
    reply: String,
    sent: Mutex<Vec<Bytes>>,
    service: Service,
    asked: Mutex<Vec<(HeaderMap, Value)>>,
}

impl Upstream for Provider {
    fn send(&self, call: Call) -> BoxFuture<'_, Result<Answer, CallError>> {
        // A service has no model.
        if call.model.is_empty() {
            let question: Value = serde_json::from_slice(&call.body).unwrap();
            let (status, answer) = (self.service)(&call.path, &question);
            self.asked.lock().unwrap().push((call.headers, question));
            let body = futures::stream::iter([Ok(Bytes::from(answer.to_string()))]).boxed();
            return futures::future::ready(Ok(Answer { status, headers: HeaderMap::new(), body })).boxed();
        }
        self.sent.lock().unwrap().push(call.body);
        let kind = if self.reply.starts_with('{') { "application/json" } else { "text/event-stream" };
        let mut headers = HeaderMap::new();
        headers.insert("content-type", kind.parse().unwrap());
        let body = futures::stream::iter([Ok(Bytes::from(self.reply.clone()))]).boxed();
        futures::future::ready(Ok(Answer { status: 200, headers, body })).boxed()
    }
}

struct Still;

impl Clock for Still {
    fn now(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn unix_nanos(&self) -> i64 {
        1_764_000_000_000_000_000
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        // A pause between two tries is over at once, the time of a hook never.
        match time < Duration::from_secs(1) {
            true => futures::future::ready(()).boxed(),
            false => futures::future::pending().boxed(),
        }
    }
}

#[derive(Default)]
struct Ended(Mutex<Option<Trace>>);

impl Sink for Ended {
    fn ended(&self, exchange: &mut Exchange) {
        *self.0.lock().unwrap() = Some(exchange.trace.clone());
    }
}

/// What came of a request.
pub(crate) struct Went {
    /// What the provider was sent, if it was asked.
    pub(crate) sent: Option<Value>,
    pub(crate) status: u16,
    /// What the client was sent.
    pub(crate) body: String,
    pub(crate) trace: Trace,
    /// What a service was asked: headers and body.
    pub(crate) asked: Vec<(HeaderMap, Value)>,
}

impl Went {
    /// The words of the reply, whole or streamed.
    pub(crate) fn text(&self) -> String {
        self.gather("/content")
    }

    /// The arguments of its first tool call.
    pub(crate) fn arguments(&self) -> String {
        self.gather("/tool_calls/0/function/arguments")
    }

    fn gather(&self, what: &str) -> String {
        let part = |json: &str| {
            let value: Value = serde_json::from_str(json).ok()?;
            let choice = value.pointer("/choices/0")?;
            let message = choice.get("message").or_else(|| choice.get("delta"))?;
            Some(message.pointer(what)?.as_str()?.to_owned())
        };
        match self.body.starts_with('{') {
            true => part(&self.body).unwrap_or_default(),
            false => self.body.lines().filter_map(|line| part(line.strip_prefix("data: ")?)).collect(),
        }
    }

    /// A fact that the guard told the trace.
    pub(crate) fn fact(&self, name: &str) -> Value {
        let facts = self.trace.stages.first().map_or(&[][..], |stage| &stage.facts);
        facts.iter().find(|(known, _)| *known == name).map_or(Value::Null, |(_, value)| value.clone())
    }
}

fn plan(guard: &str) -> Result<Plan, String> {
    static STATE: OnceLock<Arc<State>> = OnceLock::new();
    let yaml = format!(
        "weir: v1\nproviders:\n  a: {{ dialect: openai, base_url: http://127.0.0.1:1/v1, responses: true }}\nmodels:\n  m: {{ targets: [ {{ provider: a, model: ma }} ] }}\npipelines:\n  - pipeline: p\n    anonymous: true\n    stages:\n      - {guard}\n"
    );
    let files = FILES.iter().map(|(name, text)| (*name, (*text).to_owned()));
    let snapshot = Snapshot::from_files(files.chain([("policy.yaml", yaml)]));
    let registry = registry(Metrics::new());
    let loaded = load(&snapshot, &Environment { builtins: &*registry, catalogue: &NoRows, library: &[] });
    let Some(set) = loaded.set else { return Err(render(&loaded.sources, &loaded.diagnostics, false)) };
    let folder = weir_inference::default_directory(|name| std::env::var_os(name)).unwrap_or_default();
    let workshop = Workshop {
        registry,
        catalogue: Catalogue::builtin(),
        inference: weir_inference::Models::open(&folder),
        state: Arc::clone(STATE.get_or_init(Arc::default)),
    };
    let mut diagnostics = Diagnostics::new();
    compile(&set, &workshop, &Secrets::Ignored, &mut diagnostics)
        .ok_or_else(|| render(&loaded.sources, &diagnostics, false))
}

/// What is said of a guard that does not load.
pub(crate) fn refused(guard: &str) -> String {
    plan(guard).err().expect("the set loads")
}

/// Sends a body through a pipeline with this guard to a provider that replies so.
pub(crate) fn send(guard: &str, operation: Operation, body: &Value, reply: String) -> Went {
    send_asking(guard, operation, body, reply, |_, _| (500, Value::Null))
}

/// The same with a service that guards ask.
pub(crate) fn send_asking(
    guard: &str,
    operation: Operation,
    body: &Value,
    reply: String,
    service: impl Fn(&str, &Value) -> (u16, Value) + Send + Sync + 'static,
) -> Went {
    let plan = plan(guard).unwrap_or_else(|found| panic!("{found}"));
    let provider = Arc::new(Provider {
        reply,
        sent: Mutex::default(),
        service: Box::new(service),
        asked: Mutex::default(),
    });
    let ended = Arc::new(Ended::default());
    let gateway = Arc::new(Gateway {
        upstream: Arc::clone(&provider) as Arc<dyn Upstream>,
        clock: Arc::new(Still),
        state: Arc::new(State::default()),
        sink: Arc::clone(&ended) as Arc<dyn Sink>,
        seed: 7,
    });
    let mut request = Request::new("r1", Dialect::OpenAi, operation, "/v1");
    request.raw = Bytes::from(body.to_string());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (status, body) = runtime.block_on(async {
        let response = handle(&gateway, Arc::new(plan), request).await;
        let body = match response.body {
            ResponseBody::Whole(bytes) => bytes.to_vec(),
            ResponseBody::Stream(stream) => stream.collect::<Vec<_>>().await.concat(),
        };
        (response.status, String::from_utf8(body).unwrap())
    });
    let sent = provider.sent.lock().unwrap().first().map(|body| serde_json::from_slice(body).unwrap());
    let trace = ended.0.lock().unwrap().take().unwrap();
    let asked = std::mem::take(&mut *provider.asked.lock().unwrap());
    Went { sent, status, body, trace, asked }
}

/// A chat request of one user turn.
pub(crate) fn user(text: &str) -> Value {
    json!({ "model": "m", "messages": [{ "role": "user", "content": text }] })
}

/// A whole reply that says this.
pub(crate) fn says(text: &str) -> String {
    message(&json!({ "role": "assistant", "content": text }))
}

/// A whole reply of this message.
pub(crate) fn message(message: &Value) -> String {
    let choices = json!([{ "index": 0, "message": message, "finish_reason": "stop" }]);
    json!({ "id": "c", "object": "chat.completion", "model": "ma", "choices": choices }).to_string()
}

/// A stream of these deltas.
pub(crate) fn stream(deltas: impl IntoIterator<Item = Value>) -> String {
    let chunk = |delta: Value, finish: Value| {
        let choices = json!([{ "index": 0, "delta": delta, "finish_reason": finish }]);
        format!("data: {}\n\n", json!({ "id": "c", "object": "chat.completion.chunk", "choices": choices }))
    };
    let mut out: String = deltas.into_iter().map(|delta| chunk(delta, Value::Null)).collect();
    out.push_str(&chunk(json!({}), json!("stop")));
    out.push_str("data: [DONE]\n\n");
    out
}

/// The pieces of a text cut at a byte, or the whole if that is inside a character.
pub(crate) fn cut(text: &str, at: usize) -> Vec<&str> {
    text.split_at_checked(at).map_or(vec![text], |(head, tail)| vec![head, tail])
}
