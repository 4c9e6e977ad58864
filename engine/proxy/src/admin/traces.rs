//! The traces of the last requests, kept in a ring without locks. They hold no prompts, but what a provider said of
//! its failure, which may quote one.

use arc_swap::ArcSwapOption;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use weir_message::{Attempt, Money, StageTrace, Trace, Usage};
use weir_pipeline::{Exchange, Sink};

/// How many traces are kept.
const KEPT: usize = 256;
/// The most bytes of facts and reasons kept of one trace; a stage over it keeps its decision alone.
const MOST: usize = 16 * 1024;

/// The most characters kept of a detail.
const LONGEST_DETAIL: usize = 1024;

/// One request that ended.
struct Entry {
    id: Arc<str>,
    revision: Arc<str>,
    began_unix_nanos: i64,
    operation: &'static str,
    model: String,
    status: u16,
    usage: Usage,
    cost: Money,
    trace: Trace,
}

/// The traces of the last 256 requests.
pub struct Traces {
    slots: Box<[ArcSwapOption<Entry>]>,
    next: AtomicUsize,
}

impl Traces {
    /// A ring without traces.
    pub fn new() -> Self {
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

    /// One line for each, the latest first.
    pub(crate) fn list(&self) -> Value {
        self.entries().map(|entry| summary(&entry)).collect()
    }

    /// The whole trace of the latest request with this id.
    pub(crate) fn get(&self, id: &str) -> Option<Value> {
        self.entries().find(|entry| &*entry.id == id).map(|entry| whole(&entry))
    }
}

impl Default for Traces {
    fn default() -> Self {
        Self::new()
    }
}

impl Sink for Traces {
    fn ended(&self, exchange: &mut Exchange) {
        self.keep(Entry {
            id: Arc::clone(&exchange.request.id),
            revision: Arc::clone(exchange.plan.revision()),
            began_unix_nanos: exchange.unix_nanos,
            operation: exchange.request.operation.name(),
            model: exchange.request.model().chars().take(128).collect(),
            status: exchange.status,
            usage: exchange.usage,
            cost: exchange.cost,
            trace: within(std::mem::take(&mut exchange.trace)),
        });
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
        if let Some((cut, _)) = text.char_indices().nth(LONGEST_DETAIL) {
            text.truncate(cut);
        }
    }
    trace
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
        "pipeline": &*entry.trace.pipeline,
        "operation": entry.operation,
        "model": entry.model,
        "status": entry.status,
        "outcome": entry.trace.outcome.name(),
        "took_ms": entry.trace.timings.done.map(ms),
    })
}

fn whole(entry: &Entry) -> Value {
    let mut out = summary(entry);
    let trace = &entry.trace;
    let timings = &trace.timings;
    let more = json!({
        "error": trace.error,
        "detail": trace.detail,
        "said": trace.said,
        "usage": { "input": entry.usage.input, "output": entry.usage.output, "counted_here": entry.usage.counted },
        "cost": entry.cost.to_string(),
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
    use weir_message::{Decision, Mode, Verb};

    fn entry(id: &str) -> Entry {
        Entry {
            id: Arc::from(id),
            revision: Arc::from("abc"),
            began_unix_nanos: 0,
            operation: "chat",
            model: "fast".into(),
            status: 200,
            usage: Usage::default(),
            cost: Money::ZERO,
            trace: Trace::default(),
        }
    }

    #[test]
    fn keeps_the_latest_and_lists_them_first() {
        let traces = Traces::new();
        for n in 0..KEPT + 10 {
            traces.keep(entry(&n.to_string()));
        }
        let list = traces.list();
        let list = list.as_array().unwrap();
        assert_eq!(list.len(), KEPT);
        assert_eq!(list[0]["id"], (KEPT + 9).to_string());
        assert!(traces.get("9").is_none());
        assert_eq!(traces.get("10").unwrap()["id"], "10");
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
