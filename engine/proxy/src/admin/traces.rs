//! The traces of the last requests, and of those that no pipeline took, kept in rings without locks. They hold no prompts, but what a provider said of
//! its failure, which may quote one.

use arc_swap::ArcSwapOption;
use http::Method;
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use weir_message::{Attempt, ErrorCode, Money, Request, StageTrace, Trace, Usage};
use weir_pipeline::{Exchange, Refused, Sink};

/// How many traces are kept: of requests that a pipeline took, and as many of others.
const KEPT: usize = 256;
/// The most bytes of facts and reasons kept of one trace; a stage over it keeps its decision alone.
const MOST: usize = 16 * 1024;

/// The most characters kept of a detail.
const LONGEST_DETAIL: usize = 1024;
/// The most characters kept of a path or a model.
const LONGEST_NAME: usize = 128;

/// One request that ended.
struct Entry {
    id: Arc<str>,
    revision: Arc<str>,
    began_unix_nanos: i64,
    listener: Arc<str>,
    source: Option<IpAddr>,
    method: Method,
    path: String,
    operation: &'static str,
    model: String,
    status: u16,
    usage: Usage,
    cost: Money,
    trace: Trace,
}

/// The traces of the last 256 requests that a pipeline took, and of the last 256 that none did: who knocks at a closed door does
/// not drive out the traces of those inside.
pub struct Traces {
    taken: Ring,
    refused: Ring,
    /// Requests refused before a pipeline, by the code's place in [`ErrorCode::ALL`].
    counts: [AtomicU64; ErrorCode::ALL.len()],
}

impl Traces {
    /// No traces.
    pub fn new() -> Self {
        Self { taken: Ring::new(), refused: Ring::new(), counts: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    /// How many requests were refused before a pipeline, by code; those that never happened are left out.
    pub(crate) fn refusals(&self) -> impl Iterator<Item = (ErrorCode, u64)> {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        ErrorCode::ALL.iter().copied().zip(counts).filter(|(_, count)| *count > 0)
    }

    /// One line for each, the latest first.
    pub(crate) fn list(&self) -> Value {
        let mut entries: Vec<_> = self.taken.entries().chain(self.refused.entries()).collect();
        entries.sort_by_key(|entry| Reverse(entry.began_unix_nanos));
        entries.iter().map(|entry| summary(entry)).collect()
    }

    /// The whole trace of the latest request with this id.
    pub(crate) fn get(&self, id: &str) -> Option<Value> {
        let mut entries = self.taken.entries().chain(self.refused.entries());
        entries.find(|entry| &*entry.id == id).map(|entry| whole(&entry))
    }
}

/// The last traces of a kind.
struct Ring {
    slots: Box<[ArcSwapOption<Entry>]>,
    next: AtomicUsize,
}

impl Ring {
    fn new() -> Self {
        Self { slots: (0..KEPT).map(|_| ArcSwapOption::empty()).collect(), next: AtomicUsize::new(0) }
    }

    fn keep(&self, entry: Entry) {
        let place = self.next.fetch_add(1, Ordering::Relaxed) % KEPT;
        if let Some(slot) = self.slots.get(place) {
            slot.store(Some(Arc::new(entry)));
        }
    }

    /// The latest first.
    fn entries(&self) -> impl Iterator<Item = Arc<Entry>> {
        let next = self.next.load(Ordering::Relaxed);
        (1..=KEPT).filter_map(move |back| self.slots.get(next.wrapping_sub(back) % KEPT)?.load_full())
    }
}

impl Default for Traces {
    fn default() -> Self {
        Self::new()
    }
}

impl Sink for Traces {
    fn ended(&self, exchange: &mut Exchange) {
        let trace = within(std::mem::take(&mut exchange.trace));
        let entry = Entry::of(
            &exchange.request,
            exchange.plan.revision(),
            exchange.unix_nanos,
            exchange.status,
            trace,
        );
        self.taken.keep(Entry { usage: exchange.usage, cost: exchange.cost, ..entry });
    }

    fn refused(&self, refused: &Refused<'_>) {
        let Refused { request, revision, fault, unix_nanos } = *refused;
        let place = ErrorCode::ALL.iter().position(|code| *code == fault.code);
        if let Some(count) = place.and_then(|place| self.counts.get(place)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        tracing::debug!(
            id = &*request.id,
            listener = &*request.listener,
            source = request.source.map(|source| tracing::field::display(source.ip())),
            code = fault.code.id(),
            "a request was refused before any pipeline: {}",
            fault.message,
        );
        let trace = within(refused.trace());
        self.refused.keep(Entry::of(request, revision, unix_nanos, fault.status(), trace));
    }
}

impl Entry {
    fn of(request: &Request, revision: &Arc<str>, began_unix_nanos: i64, status: u16, trace: Trace) -> Self {
        Self {
            id: Arc::clone(&request.id),
            revision: Arc::clone(revision),
            began_unix_nanos,
            listener: Arc::clone(&request.listener),
            source: request.source.map(|source| source.ip()),
            method: request.method.clone(),
            path: start(&request.path, LONGEST_NAME).to_owned(),
            operation: request.operation.name(),
            model: start(request.model(), LONGEST_NAME).to_owned(),
            status,
            usage: Usage::default(),
            cost: Money::ZERO,
            trace,
        }
    }
}

/// The trace, no larger than it may be: a stage over the limit keeps its decision alone.
fn within(mut trace: Trace) -> Trace {
    let mut left = MOST;
    for stage in &mut trace.stages {
        let size = stage.reason.as_ref().map_or(0, String::len)
            + stage.facts.iter().map(|(name, value)| name.len() + weight(value)).sum::<usize>();
        match left.checked_sub(size) {
            Some(rest) => left = rest,
            None => {
                stage.reason = None;
                stage.facts = Vec::new();
            }
        }
    }
    for text in [&mut trace.detail, &mut trace.said].into_iter().flatten() {
        text.truncate(start(text, LONGEST_DETAIL).len());
    }
    trace
}

/// The first characters of a text, or all.
fn start(text: &str, characters: usize) -> &str {
    if text.len() <= characters {
        return text;
    }
    text.char_indices().nth(characters).and_then(|(cut, _)| text.get(..cut)).unwrap_or(text)
}

/// About how many bytes a fact takes.
fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weight).sum::<usize>() + 16,
        Value::Object(map) => map.iter().map(|(name, value)| name.len() + weight(value)).sum::<usize>() + 16,
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
    }
}

fn summary(entry: &Entry) -> Value {
    json!({
        "id": &*entry.id,
        "revision": &*entry.revision,
        "began_unix_ms": entry.began_unix_nanos / 1_000_000,
        "listener": &*entry.listener,
        "source": entry.source.map(|source| source.to_string()),
        "method": entry.method.as_str(),
        "path": entry.path,
        "pipeline": &*entry.trace.pipeline,
        "operation": entry.operation,
        "model": entry.model,
        "status": entry.status,
        "outcome": entry.trace.outcome.name(),
        "error": entry.trace.error,
        "took_ms": entry.trace.timings.done.map(ms),
    })
}

fn whole(entry: &Entry) -> Value {
    let mut out = summary(entry);
    let trace = &entry.trace;
    let timings = &trace.timings;
    let more = json!({
        "detail": trace.detail,
        "said": trace.said,
        "usage": { "input": entry.usage.input, "output": entry.usage.output, "counted_here": entry.usage.counted },
        "cost": entry.cost.to_string(),
        "tags": trace.tags,
        "dropped": trace.dropped,
        "timings_ms": {
            "received": timings.received.map(ms),
            "decided": timings.decided.map(ms),
            "upstream_first_byte": timings.upstream_first_byte.map(ms),
            "first_release": timings.first_release.map(ms),
            "done": timings.done.map(ms),
        },
        "stages": trace.stages.iter().map(stage).collect::<Vec<_>>(),
        "attempts": trace.attempts.iter().map(attempt).collect::<Vec<_>>(),
    });
    if let (Value::Object(out), Value::Object(more)) = (&mut out, more) {
        out.extend(more);
    }
    out
}

fn stage(stage: &StageTrace) -> Value {
    let facts: serde_json::Map<String, Value> =
        stage.facts.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    json!({
        "name": &*stage.name,
        "verb": stage.verb.name(),
        "body": &*stage.body,
        "mode": stage.mode.name(),
        "decision": stage.decision.name(),
        "reason": stage.reason,
        "took_us": stage.took.as_secs_f64() * 1e6,
        "facts": facts,
    })
}

fn attempt(attempt: &Attempt) -> Value {
    json!({
        "n": attempt.n,
        "provider": &*attempt.provider,
        "model": &*attempt.model,
        "region": attempt.region.as_deref(),
        "path": attempt.path,
        "cause": attempt.cause.map(|cause| cause.name()),
        "status": attempt.status,
        "began_ms": ms(attempt.began),
        "first_byte_ms": attempt.first_byte.map(ms),
        "took_ms": attempt.took.map(ms),
        "cost": attempt.cost.map(|cost| cost.to_string()),
    })
}

fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_message::{Decision, Dialect, Fault, Mode, Operation, Verb};

    fn request(id: &str) -> Request {
        Request::new(id, Dialect::OpenAi, Operation::Chat, "/v1/chat/completions")
    }

    fn entry(id: &str, at: i64) -> Entry {
        Entry::of(&request(id), &Arc::from("abc"), at, 200, Trace::default())
    }

    #[test]
    fn keeps_the_latest_and_lists_them_first() {
        let traces = Traces::new();
        for n in 0..KEPT + 10 {
            traces.taken.keep(entry(&n.to_string(), n as i64));
        }
        let list = traces.list();
        let list = list.as_array().unwrap();
        assert_eq!(list.len(), KEPT);
        assert_eq!(list[0]["id"], (KEPT + 9).to_string());
        assert!(traces.get("9").is_none());
        assert_eq!(traces.get("10").unwrap()["id"], "10");
    }

    #[test]
    fn refused_requests_are_counted_and_kept_apart() {
        let traces = Traces::new();
        traces.taken.keep(entry("inside", 1));
        let revision = Arc::from("abc");
        for n in 0..2 * KEPT {
            let fault =
                Fault::new(if n % 2 == 0 { ErrorCode::InvalidKey } else { ErrorCode::NoPipeline }, "no");
            let request = request(&format!("r{n}"));
            let unix_nanos = 2 + n as i64;
            traces.refused(&Refused { request: &request, revision: &revision, fault: &fault, unix_nanos });
        }
        assert!(traces.get("inside").is_some());
        let last = traces.get(&format!("r{}", 2 * KEPT - 1)).unwrap();
        assert_eq!(
            (&last["error"], &last["status"], &last["stages"], &last["path"], &last["detail"]),
            (&json!("no-pipeline"), &json!(404), &json!([]), &json!("/v1/chat/completions"), &json!("no"))
        );
        assert_eq!(traces.list()[0]["id"], last["id"]);
        let kept = KEPT as u64;
        let counts: Vec<_> = traces.refusals().collect();
        assert_eq!(counts, [(ErrorCode::InvalidKey, kept), (ErrorCode::NoPipeline, kept)]);
    }

    #[test]
    fn drops_facts_that_would_make_a_trace_large() {
        let stage = |size: usize| StageTrace {
            name: Arc::from("s"),
            verb: Verb::Guard,
            body: Arc::from("cel"),
            mode: Mode::Enforce,
            decision: Decision::Passed,
            reason: None,
            took: Duration::ZERO,
            facts: vec![("print", Value::String("x".repeat(size)))],
        };
        let trace = Trace { stages: vec![stage(10), stage(MOST), stage(10)], ..Trace::default() };
        let kept: Vec<usize> = within(trace).stages.iter().map(|stage| stage.facts.len()).collect();
        assert_eq!(kept, [1, 0, 1]);
    }
}
