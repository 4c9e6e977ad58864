//! The trace of a request as the admin API tells it.

use serde_json::Value;
use std::collections::HashSet;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use weir_message::{Attempt, Cause, Decision, Mode, Money, Outcome, StageTrace, Trace, Usage, Verb};
use weir_script::Ledger;

fn text<'a>(json: &'a Value, name: &str) -> &'a str {
    json.get(name).and_then(Value::as_str).unwrap_or("")
}

fn list<'a>(json: &'a Value, name: &str) -> &'a [Value] {
    json.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Reads a trace; what it does not say is left at its default.
pub(super) fn read(json: &Value) -> Trace {
    Trace {
        pipeline: text(json, "pipeline").into(),
        stages: list(json, "stages").iter().filter_map(stage).collect(),
        attempts: list(json, "attempts").iter().map(attempt).collect(),
        outcome: Outcome::from_name(text(json, "outcome")).unwrap_or(Outcome::Open),
        error: json.get("error").and_then(Value::as_str).map(str::to_owned),
        detail: json.get("detail").and_then(Value::as_str).map(str::to_owned),
        said: json.get("said").and_then(Value::as_str).map(str::to_owned),
        tags: list(json, "tags").iter().filter_map(Value::as_str).map(Arc::from).collect(),
        dropped: list(json, "dropped").iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        ..Trace::default()
    }
}

fn stage(json: &Value) -> Option<StageTrace> {
    let facts = json.get("facts").and_then(Value::as_object);
    Some(StageTrace {
        name: text(json, "name").into(),
        verb: Verb::from_name(text(json, "verb"))?,
        body: text(json, "body").into(),
        mode: Mode::from_name(text(json, "mode"))?,
        decision: Decision::from_name(text(json, "decision"))?,
        reason: json.get("reason").and_then(Value::as_str).map(str::to_owned),
        took: std::time::Duration::ZERO,
        facts: facts.into_iter().flatten().map(|(name, value)| (kept(name), value.clone())).collect(),
    })
}

/// The one copy of a fact's name; there are as many as stages have facts.
fn kept(name: &str) -> &'static str {
    static NAMES: LazyLock<Mutex<HashSet<&'static str>>> = LazyLock::new(Mutex::default);
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    match names.get(name) {
        Some(known) => known,
        None => {
            let new: &'static str = Box::leak(name.to_owned().into_boxed_str());
            names.insert(new);
            new
        }
    }
}

fn attempt(json: &Value) -> Attempt {
    let status = json.get("status").and_then(Value::as_u64).and_then(|status| u16::try_from(status).ok());
    Attempt {
        n: json.get("n").and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
        provider: text(json, "provider").into(),
        model: text(json, "model").into(),
        region: json.get("region").and_then(Value::as_str).map(Arc::from),
        path: Vec::new(),
        cause: Cause::from_name(text(json, "cause")),
        status,
        retry_after: None,
        began: std::time::Duration::ZERO,
        first_byte: None,
        took: None,
        usage: None,
        cost: None,
    }
}

/// Reads what was booked.
pub(super) fn ledger(json: &Value) -> Ledger {
    let usage = json.get("usage").unwrap_or(&Value::Null);
    let number = |name: &str| usage.get(name).and_then(Value::as_u64).unwrap_or(0);
    let dollars: String = text(json, "cost").chars().filter(|c| c.is_ascii_digit() || *c == '.').collect();
    #[allow(clippy::cast_possible_truncation, reason = "a test's few dollars")]
    let nanos = (dollars.parse::<f64>().unwrap_or(0.0) * 1e9).round() as i64;
    Ledger {
        usage: Usage { input: number("input"), output: number("output"), ..Usage::default() },
        cost: Money::from_nanos(nanos),
    }
}
