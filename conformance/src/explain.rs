//! `weir explain`: the trace of one request with values and durations, calling no provider.

use crate::case::{ClientRequest, EntrySpec};
use crate::outcome::{Came, sent};
use crate::runner::{LastEnded, request_id, respond};
use crate::upstream::Scripted;
use bytes::BytesMut;
use futures::StreamExt;
use serde_json::{Value, json};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;
use weir_message::{Decision, Trace};
use weir_pipeline::{Clock, Exchange, Gateway, Plan, Refused, ResponseBody, Sink, SystemClock, Upstream};
use weir_state::State;

/// What becomes of one request, step by step.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The revision of the set.
    pub revision: String,
    /// The status that the client gets.
    pub status: u16,
    /// What the client gets.
    pub body: String,
    /// All decisions.
    pub trace: Trace,
    /// What would be sent to providers: target, path, body.
    pub calls: Vec<(String, String, String)>,
    /// Whether providers were called.
    pub is_live: bool,
}

/// Keeps the record, with the values that expressions decided by.
#[derive(Default)]
struct Explaining {
    last: LastEnded,
    /// Whether anybody outside is asked.
    is_live: bool,
}

impl Sink for Explaining {
    fn ended(&self, exchange: &mut Exchange) {
        self.last.ended(exchange);
    }

    fn refused(&self, refused: &Refused<'_>) {
        self.last.refused(refused);
    }

    fn tells_outside(&self) -> bool {
        false
    }

    fn asks_outside(&self) -> bool {
        self.is_live
    }

    fn waits_for_shadows(&self) -> bool {
        true
    }

    fn wants_values(&self) -> bool {
        true
    }
}

/// The system's clock, set to another time of day.
struct Shifted {
    clock: SystemClock,
    offset: i64,
}

impl Clock for Shifted {
    fn now(&self) -> Duration {
        self.clock.now()
    }

    fn unix_nanos(&self) -> i64 {
        self.clock.unix_nanos().saturating_add(self.offset)
    }

    fn sleep(&self, time: Duration) -> futures::future::BoxFuture<'static, ()> {
        self.clock.sleep(time)
    }
}

/// How a request is explained.
#[derive(Default)]
pub struct ExplainOptions {
    /// When it happens, in nanoseconds since 1970 UTC; now if not said.
    pub at: Option<i64>,
    /// What the provider answers, in words; a stand-in if not said.
    pub reply: Option<String>,
    /// The way to the providers, if they are to be called.
    pub live: Option<Arc<dyn Upstream>>,
}

/// Takes a request through a plan and tells what every stage did. Must run inside a tokio runtime.
pub async fn explain(plan: &Arc<Plan>, client: &ClientRequest, options: ExplainOptions) -> Explanation {
    let system = SystemClock::new();
    let offset = options.at.map_or(0, |at| at.saturating_sub(system.unix_nanos()));
    let clock: Arc<dyn Clock> = Arc::new(Shifted { clock: system, offset });
    let stand_in = options.reply.unwrap_or_else(|| "(no provider was called)".to_owned());
    let entry = EntrySpec { reply: Some(stand_in), ..EntrySpec::default() };
    let scripted = Arc::new(Scripted::always(Arc::clone(&clock), entry));
    let is_live = options.live.is_some();
    let sink = Arc::new(Explaining { is_live, ..Explaining::default() });
    let gateway = Arc::new(Gateway {
        upstream: options.live.unwrap_or_else(|| Arc::clone(&scripted) as Arc<dyn Upstream>),
        clock,
        state: Arc::new(State::default()),
        sink: Arc::clone(&sink) as Arc<dyn Sink>,
        seed: 0,
    });
    let request = sent(client, &request_id(client, 1));
    let response = respond(&gateway, plan, client, request.clone()).await;
    let mut body = BytesMut::new();
    match response.body {
        ResponseBody::Whole(bytes) => body.extend_from_slice(&bytes),
        ResponseBody::Stream(mut pieces) => {
            while let Some(piece) = pieces.next().await {
                body.extend_from_slice(&piece);
            }
        }
    }
    let came = Came::new(request, response.status, response.headers, &body.freeze());
    let calls = scripted.take().calls.into_iter().map(|call| {
        let sent = String::from_utf8_lossy(&call.request.raw).into_owned();
        (format!("{}/{}", call.provider, call.model), call.path, sent)
    });
    Explanation {
        revision: plan.revision().to_string(),
        status: came.client.status,
        body: came.client.body.clone(),
        trace: sink.last.take().map_or_else(|| came.blank_trace(), |ended| ended.trace),
        calls: calls.collect(),
        is_live,
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

impl Explanation {
    /// As JSON.
    pub fn to_json(&self) -> Value {
        let stages: Vec<Value> = self
            .trace
            .stages
            .iter()
            .map(|stage| {
                let facts: serde_json::Map<String, Value> =
                    stage.facts.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
                json!({
                    "name": &*stage.name,
                    "verb": stage.verb.name(),
                    "body": &*stage.body,
                    "mode": stage.mode.name(),
                    "decision": stage.decision.name(),
                    "reason": stage.reason,
                    "millis": millis(stage.took),
                    "facts": facts,
                })
            })
            .collect();
        let attempts: Vec<Value> = self
            .trace
            .attempts
            .iter()
            .map(|attempt| {
                json!({
                    "n": attempt.n,
                    "target": format!("{}/{}", attempt.provider, attempt.model),
                    "cause": attempt.cause.map(weir_message::Cause::name),
                    "status": attempt.status,
                    "millis": attempt.took.map(millis),
                })
            })
            .collect();
        let calls: Vec<Value> = self
            .calls
            .iter()
            .map(|(target, path, body)| {
                let body = serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.clone()));
                json!({ "target": target, "path": path, "body": body })
            })
            .collect();
        json!({
            "revision": self.revision,
            "pipeline": &*self.trace.pipeline,
            "outcome": self.trace.outcome.name(),
            "error": self.trace.error,
            "detail": self.trace.detail,
            "said": self.trace.said,
            "stages": stages,
            "attempts": attempts,
            "calls": calls,
            "live": self.is_live,
            "client": { "status": self.status, "body": self.body },
        })
    }

    /// As text: a line for each stage, what it decided, how long it took, why, and its facts.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        let pipeline = if self.trace.pipeline.is_empty() { "(none)" } else { &*self.trace.pipeline };
        let _ = writeln!(out, "revision {}  pipeline {pipeline}", self.revision);
        let width = self.trace.stages.iter().map(|stage| stage.name.chars().count()).max().unwrap_or(0);
        for stage in &self.trace.stages {
            let shadow = if stage.mode == weir_message::Mode::Enforce { "" } else { stage.mode.name() };
            let _ =
                write!(out, "  {:9} {:width$}  {:13}", stage.verb.name(), stage.name, stage.decision.name());
            if stage.decision > Decision::Skipped {
                let _ = write!(out, " {:9.3} ms", millis(stage.took));
            }
            if !shadow.is_empty() {
                let _ = write!(out, "  ({shadow})");
            }
            if let Some(reason) = &stage.reason {
                let _ = write!(out, "  {reason}");
            }
            out.push('\n');
            for (name, value) in &stage.facts {
                let mut line = |text: String| {
                    let _ = writeln!(out, "            {:width$}  {text}", "");
                };
                let explained = match value {
                    Value::Array(several) => several.as_slice(),
                    one => std::slice::from_ref(one),
                };
                if !matches!(*name, "cel" | "when") {
                    line(format!("{name} = {value}"));
                    continue;
                }
                for one in explained {
                    line(format!("{name}: {}", one["cel"].as_str().unwrap_or_default().trim()));
                    for (part, value) in one["values"].as_object().into_iter().flatten() {
                        line(format!("  {part} = {value}"));
                    }
                }
            }
        }
        for attempt in &self.trace.attempts {
            let how = attempt.cause.map_or("answered", weir_message::Cause::name);
            let _ = writeln!(out, "  attempt {} to {}/{}: {how}", attempt.n, attempt.provider, attempt.model);
        }
        for (target, path, body) in &self.calls {
            let _ = writeln!(out, "  would send to {target} {path}:\n    {body}");
        }
        if let Some(detail) = &self.trace.detail {
            let _ = writeln!(out, "  detail: {detail}");
        }
        if let Some(said) = &self.trace.said {
            let _ = writeln!(out, "  the provider said: {said}");
        }
        let _ = writeln!(out, "the client gets {} ({})", self.status, self.trace.outcome.name());
        for line in self.body.lines().take(40) {
            let _ = writeln!(out, "    {line}");
        }
        out
    }
}
