//! Counts requests, their time, tokens and cost, attempts, what caches said and what each stage did, for `/metrics`.
//!
//! ```yaml
//! - observe: metrics
//! ```

use super::Metrics;
use super::series::StageCounts;
use crate::cache::ANSWERS_AGREE;
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};
use weir_message::{Attempt, Cause, Decision};
use weir_pipeline::{Declares, Exchange, Needs, Stage, Visit, Workbench};
use weir_policy::StageDecl;

/// The settings of `observe: metrics`: it has none. Label values past a thousand series are counted as `other`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {}

pub(crate) fn compile(
    decl: &StageDecl,
    bench: &mut Workbench<'_>,
    metrics: &Metrics,
) -> Option<Arc<dyn Stage>> {
    bench.settings::<Settings>(decl)?;
    Some(Arc::new(Counting { metrics: metrics.clone(), stages: OnceLock::new() }))
}

struct Counting {
    metrics: Metrics,
    /// The counts of the pipeline's stages in their order, found at its first request.
    stages: OnceLock<Vec<Arc<StageCounts>>>,
}

impl Stage for Counting {
    fn declares(&self) -> Declares {
        Declares { needs: Needs::USAGE, judges_request: false, ..Declares::default() }
    }

    fn record(&self, visit: Visit<'_>) {
        let x = &*visit.exchange;
        let (counts, trace) = (&*self.metrics.0, &x.trace);
        let pipeline = &*trace.pipeline;
        let operation = x.request.operation.name();
        // Names that no policy knows are the client's to choose.
        let model =
            if trace.error.as_deref() == Some("unknown-model") { "unknown" } else { x.request.model() };
        let last = trace.attempts.last();
        let provider = last.map_or("none", |attempt| &*attempt.provider);
        let target = last.map_or("none", |attempt| &*attempt.model);
        let labels = [pipeline, operation, model, provider, status(x.status), trace.outcome.name()];
        counts.requests.with(labels, &[2], |count| count.fetch_add(1, Relaxed));
        counts.times.with([pipeline, operation, model], &[2], |times| {
            times.whole.record(trace.timings.done.unwrap_or_default());
            if let Some(first) = trace.timings.first_release {
                times.first.record(first);
            }
        });
        if x.usage.total() > 0 {
            let labels = [pipeline, operation, model, provider, target];
            counts.spent.with(labels, &[2, 4], |spent| spent.add(&x.usage, x.cost.nanos()));
        }
        if let Some(error) = &trace.error {
            counts.errors.with([pipeline, error], &[1], |count| count.fetch_add(1, Relaxed));
        }
        for attempt in &trace.attempts {
            self.attempt(attempt);
        }
        if let Some(cache) = x.cache {
            counts.caches.with([pipeline, cache.name()], &[], |count| count.fetch_add(1, Relaxed));
        }
        self.stages(x);
    }
}

impl Counting {
    fn attempt(&self, attempt: &Attempt) {
        let cause = attempt.cause.map_or("none", Cause::name);
        self.metrics.0.attempts.with([&*attempt.provider, &*attempt.model, cause], &[1], |tries| {
            tries.count.fetch_add(1, Relaxed);
            if let Some(took) = attempt.took {
                tries.took.record(took);
            }
        });
    }

    fn stages(&self, x: &Exchange) {
        let trace = &x.trace;
        let stages = self.stages.get_or_init(|| {
            let stages = trace.stages.iter().map(|stage| {
                let labels = [&*trace.pipeline, &*stage.name, stage.verb.name(), stage.mode.name()];
                self.metrics.0.stages.with(labels, &[1], Arc::clone)
            });
            stages.collect()
        });
        for (stage, counts) in trace.stages.iter().zip(stages) {
            if stage.decision > Decision::Skipped {
                counts.decided(stage.decision);
                counts.took.record(stage.took);
            }
            let agree = stage.facts.iter().find(|(name, _)| *name == ANSWERS_AGREE);
            if let Some(agree) = agree.and_then(|(_, agree)| agree.as_bool()) {
                let labels = [&*trace.pipeline, &*stage.name, if agree { "same" } else { "other" }];
                self.metrics.0.shadows.with(labels, &[1], |count| count.fetch_add(1, Relaxed));
            }
        }
    }
}

/// A status as a label, from a closed list.
fn status(status: u16) -> &'static str {
    match status {
        0 => "none",
        200 => "200",
        400 => "400",
        401 => "401",
        403 => "403",
        404 => "404",
        408 => "408",
        413 => "413",
        422 => "422",
        429 => "429",
        500 => "500",
        502 => "502",
        503 => "503",
        504 => "504",
        other => match other / 100 {
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            5 => "5xx",
            _ => "other",
        },
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{World, chat};
    use serde_json::json;

    #[tokio::test]
    async fn counts_what_happened() {
        let world = World::new(
            "- observe: metrics\n- guard: rate\n  with: { requests: 3/min, per: everyone }\n- cache: exact\n  with: { per: everyone }\n- route: fallback\n  with: { to: [requested, claude] }",
        );
        world.send(chat("hi")).await;
        world.send(chat("hi")).await;
        let mut broken = chat("hi");
        broken["model"] = json!("broken");
        world.send(broken).await;
        world.send(chat("hi")).await;
        let text = world.metrics.render();
        let request = |model: &str, target: &str, status: &str, outcome: &str| {
            format!(
                r#"weir_requests_total{{pipeline="p",gen_ai_operation_name="chat",gen_ai_request_model="{model}",target="{target}",http_response_status_code="{status}",outcome="{outcome}"}} 1"#
            )
        };
        for line in [
            request("fast", "echo", "200", "replied"),
            request("fast", "none", "200", "answered"),
            request("fast", "none", "429", "denied"),
            r#"weir_attempts_total{gen_ai_provider_name="echo",gen_ai_response_model="echo-status-500",cause="server-error"} 1"#.into(),
            r#"weir_cache_lookups_total{pipeline="p",result="hit"} 1"#.into(),
            r#"weir_errors_total{pipeline="p",error_type="rate-limited"} 1"#.into(),
            r#"weir_stage_decisions_total{pipeline="p",stage="rate",verb="guard",mode="enforce",decision="denied"} 1"#.into(),
            r#"gen_ai_server_request_duration_seconds_count{pipeline="p",gen_ai_operation_name="chat",gen_ai_request_model="fast"} 3"#.into(),
        ] {
            assert!(text.contains(&line), "{line}\n{text}");
        }
        assert!(
            text.contains(r#"gen_ai_token_type="input""#) && text.contains("weir_cost_dollars_total{"),
            "{text}"
        );
    }
}
