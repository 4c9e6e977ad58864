//! What the process counts, and its OpenMetrics text.
//!
//! Names follow OpenTelemetry's conventions for generative AI where there are any
//! (opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/). Counting takes no lock and, for labels seen before, allocates
//! nothing.

use super::histogram::Histogram;
use ahash::RandomState;
use papaya::Equivalent;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use weir_message::{Decision, Usage};

/// Series in one family before new values of labels that others choose (models, names) are counted as `other`.
const MOST_SERIES: usize = 1_000;

/// The counts of a process, for every plan that it serves. Cloning shares them.
#[derive(Clone, Default)]
pub struct Metrics(pub(super) Arc<Counts>);

#[derive(Default)]
pub(super) struct Counts {
    /// pipeline, operation, model, target, status, outcome
    pub(super) requests: Family<AtomicU64, 6>,
    /// pipeline, operation, model
    pub(super) times: Family<Times, 3>,
    /// pipeline, operation, model, provider, upstream model
    pub(super) spent: Family<Spent, 5>,
    /// pipeline, code
    pub(super) errors: Family<AtomicU64, 2>,
    /// provider, upstream model, cause
    pub(super) attempts: Family<Tries, 3>,
    /// pipeline, what the cache said
    pub(super) caches: Family<AtomicU64, 2>,
    /// pipeline, stage, how the answer of a cache in shadow compares with the provider's
    pub(super) shadows: Family<AtomicU64, 3>,
    /// pipeline, stage, verb, mode
    pub(super) stages: Family<StageCounts, 4>,
    /// pipeline or frame with its stage, limit, threshold
    warnings: Family<AtomicU64, 3>,
}

/// How long requests took.
#[derive(Default)]
pub(super) struct Times {
    pub(super) whole: Histogram,
    /// Until the first event, or the whole reply, was released.
    pub(super) first: Histogram,
}

/// Tokens and money.
#[derive(Default)]
pub(super) struct Spent {
    input: AtomicU64,
    cached_input: AtomicU64,
    output: AtomicU64,
    reasoning: AtomicU64,
    nanos: AtomicU64,
}

impl Spent {
    pub(super) fn add(&self, usage: &Usage, nanos: i64) {
        for (counter, tokens) in [
            (&self.input, usage.input),
            (&self.cached_input, usage.cached_input),
            (&self.output, usage.output),
            (&self.reasoning, usage.reasoning),
        ] {
            if tokens > 0 {
                counter.fetch_add(tokens, Relaxed);
            }
        }
        if let Ok(nanos @ 1..) = u64::try_from(nanos) {
            self.nanos.fetch_add(nanos, Relaxed);
        }
    }
}

/// Attempts of one target.
#[derive(Default)]
pub(super) struct Tries {
    pub(super) count: AtomicU64,
    pub(super) took: Histogram,
}

/// What one stage did.
#[derive(Default)]
pub(super) struct StageCounts {
    decisions: [AtomicU64; Decision::ALL.len()],
    pub(super) took: Histogram,
}

impl StageCounts {
    pub(super) fn decided(&self, decision: Decision) {
        if let Some(counter) = self.decisions.get(decision as usize) {
            counter.fetch_add(1, Relaxed);
        }
    }
}

impl Metrics {
    /// No counts yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts that a subject of a quota or budget crossed a threshold.
    pub(crate) fn warned(&self, meter: &str, limit: &str, threshold: &str) {
        self.0.warnings.with([meter, limit, threshold], &[], |count| count.fetch_add(1, Relaxed));
    }

    /// All counts as OpenMetrics text (`application/openmetrics-text; version=1.0.0`).
    pub fn render(&self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self.clone()));
        let mut text = String::new();
        match prometheus_client::encoding::text::encode(&mut text, &registry) {
            Ok(()) => text,
            // Writing to a string does not fail.
            Err(_) => String::new(),
        }
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Counts { requests, times, spent, errors, attempts, caches, shadows, stages, warnings } = &*self.0;
        const REQUEST: [&str; 6] = [
            "pipeline",
            "gen_ai_operation_name",
            "gen_ai_request_model",
            "target",
            "http_response_status_code",
            "outcome",
        ];
        const MODEL: [&str; 3] = ["pipeline", "gen_ai_operation_name", "gen_ai_request_model"];
        const TARGET: [&str; 5] = [
            "pipeline",
            "gen_ai_operation_name",
            "gen_ai_request_model",
            "gen_ai_provider_name",
            "gen_ai_response_model",
        ];
        const ATTEMPT: [&str; 3] = ["gen_ai_provider_name", "gen_ai_response_model", "cause"];
        let family = &mut encoder;
        counter(family, "weir_requests", "Requests that a pipeline took.", |out| {
            requests.each(|labels, count| number(out, &named(&REQUEST, labels), count.load(Relaxed)))
        })?;
        seconds(family, "gen_ai_server_request_duration", "Time from a request's head to its end.", |out| {
            times.each(|labels, times| histogram(out, &named(&MODEL, labels), &times.whole))
        })?;
        seconds(
            family,
            "gen_ai_server_time_to_first_token",
            "Time until the first event or the whole reply.",
            |out| times.each(|labels, times| histogram(out, &named(&MODEL, labels), &times.first)),
        )?;
        counter(
            family,
            "gen_ai_client_token_usage",
            "Tokens spent, by class; cached input is part of input, reasoning of output.",
            |out| {
                spent.each(|labels, spent| {
                    for (class, count) in [
                        ("input", &spent.input),
                        ("cached_input", &spent.cached_input),
                        ("output", &spent.output),
                        ("reasoning", &spent.reasoning),
                    ] {
                        let count = count.load(Relaxed);
                        if count > 0 {
                            let mut labels = named(&TARGET, labels);
                            labels.push(("gen_ai_token_type", class.to_owned()));
                            number(out, &labels, count)?;
                        }
                    }
                    Ok(())
                })
            },
        )?;
        counter(family, "weir_cost_dollars", "Money spent, as far as priced.", |out| {
            spent.each(|labels, spent| {
                #[allow(clippy::cast_precision_loss, reason = "a metric, not a book")]
                let dollars = spent.nanos.load(Relaxed) as f64 / 1e9;
                out.encode_family(&named(&TARGET, labels))?
                    .encode_counter::<NoLabelSet, _, u64>(&dollars, None)
            })
        })?;
        counter(
            family,
            "weir_errors",
            "Requests that were refused or failed, by the code that the client got.",
            |out| {
                errors.each(|labels, count| {
                    number(out, &named(&["pipeline", "error_type"], labels), count.load(Relaxed))
                })
            },
        )?;
        counter(
            family,
            "weir_attempts",
            "Tries of targets, by how they failed; `none`: they did not.",
            |out| {
                attempts
                    .each(|labels, tries| number(out, &named(&ATTEMPT, labels), tries.count.load(Relaxed)))
            },
        )?;
        seconds(
            family,
            "gen_ai_client_operation_duration",
            "Time of tries, from their beginning to their end.",
            |out| attempts.each(|labels, tries| histogram(out, &named(&ATTEMPT, labels), &tries.took)),
        )?;
        counter(family, "weir_cache_lookups", "Requests by what caches said: hit, miss, bypass.", |out| {
            caches.each(|labels, count| {
                number(out, &named(&["pipeline", "result"], labels), count.load(Relaxed))
            })
        })?;
        counter(
            family,
            "weir_cache_shadow_hits",
            "Hits that a cache in shadow would have given, by what the provider said: the same, or something other.",
            |out| {
                shadows.each(|labels, count| {
                    number(out, &named(&["pipeline", "stage", "answer"], labels), count.load(Relaxed))
                })
            },
        )?;
        const STAGE: [&str; 4] = ["pipeline", "stage", "verb", "mode"];
        counter(
            family,
            "weir_stage_decisions",
            "What stages did; in shadow: what they would have done.",
            |out| {
                stages.each(|labels, stage| {
                    for (decision, count) in Decision::ALL.iter().zip(&stage.decisions) {
                        let count = count.load(Relaxed);
                        if count > 0 {
                            let mut labels = named(&STAGE, labels);
                            labels.push(("decision", decision.name().to_owned()));
                            number(out, &labels, count)?;
                        }
                    }
                    Ok(())
                })
            },
        )?;
        counter(
            family,
            "weir_limit_warnings",
            "Thresholds of quotas and budgets that were crossed, once for each subject and window.",
            |out| {
                warnings.each(|labels, count| {
                    number(out, &named(&["meter", "limit", "threshold"], labels), count.load(Relaxed))
                })
            },
        )?;
        seconds(family, "weir_stage_duration", "Time spent in a stage's hooks for one request.", |out| {
            stages.each(|labels, stage| histogram(out, &named(&STAGE, labels), &stage.took))
        })
    }
}

type Named = Vec<(&'static str, String)>;

fn named<const N: usize>(names: &[&'static str; N], values: &[Box<str>; N]) -> Named {
    names.iter().copied().zip(values.iter().map(ToString::to_string)).collect()
}

fn counter(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    write: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    write(&mut encoder.encode_descriptor(name, help, None, MetricType::Counter)?)
}

fn seconds(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    write: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    write(&mut encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?)
}

fn number(out: &mut MetricEncoder<'_>, labels: &Named, value: u64) -> fmt::Result {
    out.encode_family(labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)
}

fn histogram(out: &mut MetricEncoder<'_>, labels: &Named, histogram: &Histogram) -> fmt::Result {
    let (sum, count, buckets) = histogram.read();
    if count == 0 {
        return Ok(());
    }
    out.encode_family(labels)?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
}

/// Series by the values of their labels.
pub(super) struct Family<V, const N: usize> {
    series: papaya::HashMap<Labels<N>, Arc<V>, RandomState>,
}

impl<V, const N: usize> Default for Family<V, N> {
    fn default() -> Self {
        Self { series: papaya::HashMap::with_hasher(RandomState::new()) }
    }
}

impl<V: Default, const N: usize> Family<V, N> {
    /// The series with these values. Past the limit, those at the places `open` read `other` in new series.
    pub(super) fn with<T>(&self, labels: [&str; N], open: &[usize], act: impl FnOnce(&Arc<V>) -> T) -> T {
        let series = self.series.pin();
        if let Some(found) = series.get(&Asked(labels)) {
            return act(found);
        }
        let mut labels = labels;
        if series.len() >= MOST_SERIES {
            for place in open {
                if let Some(label) = labels.get_mut(*place) {
                    *label = "other";
                }
            }
        }
        act(series.get_or_insert_with(Labels(labels.map(Box::from)), Arc::default))
    }

    fn each(&self, mut write: impl FnMut(&[Box<str>; N], &V) -> fmt::Result) -> fmt::Result {
        let series = self.series.pin();
        let mut all: Vec<_> = series.iter().collect();
        all.sort_by_key(|(labels, _)| *labels);
        all.into_iter().try_for_each(|(labels, value)| write(&labels.0, value))
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Labels<const N: usize>([Box<str>; N]);

struct Asked<'a, const N: usize>([&'a str; N]);

impl<const N: usize> Hash for Labels<N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.iter().for_each(|label| label.hash(state));
    }
}

impl<const N: usize> Hash for Asked<'_, N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.iter().for_each(|label| label.hash(state));
    }
}

impl<const N: usize> Equivalent<Labels<N>> for Asked<'_, N> {
    fn equivalent(&self, labels: &Labels<N>) -> bool {
        self.0.iter().zip(&labels.0).all(|(asked, label)| **asked == **label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_the_limit_open_labels_are_other() {
        let family: Family<AtomicU64, 2> = Family::default();
        let count = |model: &str| family.with(["p", model], &[1], |n| n.fetch_add(1, Relaxed));
        for n in 0..MOST_SERIES + 50 {
            count(&format!("m{n}"));
        }
        assert_eq!(count("m7"), 1);
        assert_eq!(count("unheard of"), 50);
        assert_eq!(family.series.len(), MOST_SERIES + 1);
    }

    #[test]
    fn renders_openmetrics() {
        let metrics = Metrics::new();
        metrics.0.caches.with(["chat", "hit"], &[], |count| count.fetch_add(2, Relaxed));
        metrics.0.attempts.with(["a", "m\"x", "none"], &[], |tries| {
            tries.count.fetch_add(1, Relaxed);
            tries.took.record(std::time::Duration::from_millis(3));
        });
        let text = metrics.render();
        for line in [
            "# TYPE weir_cache_lookups counter",
            r#"weir_cache_lookups_total{pipeline="chat",result="hit"} 2"#,
            "# UNIT gen_ai_client_operation_duration_seconds seconds",
            r#"gen_ai_client_operation_duration_seconds_bucket{le="0.0025",gen_ai_provider_name="a",gen_ai_response_model="m\"x",cause="none"} 0"#,
            r#"gen_ai_client_operation_duration_seconds_bucket{le="+Inf",gen_ai_provider_name="a",gen_ai_response_model="m\"x",cause="none"} 1"#,
            "# EOF",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
