//! The proxy's own metrics, as OpenMetrics text.

use super::traces::Traces;
use crate::counters::Counters;
use crate::watch::Current;
use std::fmt::Write;
use weir_state::{LedgerFigures, LinkHealth};

/// How an OpenMetrics exposition ends.
const END: &str = "# EOF\n";

/// Appends the proxy's own families and the end mark.
pub(crate) fn append(
    text: &mut String,
    counters: &Counters,
    traces: &Traces,
    current: &Current,
    ledger: Option<LedgerFigures>,
    shared: Option<LinkHealth>,
) {
    if let Some(open) = text.strip_suffix(END) {
        text.truncate(open.len());
    }
    let status = current.status();
    let (good, bad) = current.reloads();
    let family = |text: &mut String, name: &str, kind: &str, help: &str, samples: &[(&str, String)]| {
        let _ = write!(text, "# HELP {name} {help}.\n# TYPE {name} {kind}\n");
        for (suffix, value) in samples {
            let _ = writeln!(text, "{name}{suffix} {value}");
        }
    };
    let gauge = |text: &mut String, name: &str, help: &str, value: u64| {
        family(text, name, "gauge", help, &[("", value.to_string())]);
    };
    let counter = |text: &mut String, name: &str, help: &str, value: u64| {
        family(text, name, "counter", help, &[("_total", value.to_string())]);
    };
    if let Some(shared) = shared {
        let up = u64::from(shared.down.is_none());
        gauge(text, "weir_redis_up", "Whether Redis, where state is shared, can be reached", up);
        counter(text, "weir_redis_commands", "Commands sent to Redis", shared.asked);
        counter(text, "weir_redis_failures", "Commands to Redis that came to nothing", shared.failed);
        counter(text, "weir_redis_connections", "Connections made to Redis", shared.connected);
    }
    gauge(text, "weir_connections_open", "Connections of clients that are open", counters.open.get());
    counter(text, "weir_connections", "Connections taken", counters.connections.get());
    counter(
        text,
        "weir_connections_refused",
        "Connections refused because too many were open",
        counters.refused_connections.get(),
    );
    gauge(text, "weir_http_requests_in_flight", "HTTP requests under way", counters.in_flight.get());
    counter(text, "weir_http_requests", "HTTP requests whose head was read", counters.requests.get());
    let refused: Vec<(String, String)> = traces
        .refusals()
        .map(|(code, count)| (format!("_total{{code=\"{code}\"}}"), count.to_string()))
        .collect();
    let refused: Vec<(&str, String)> =
        refused.iter().map(|(labels, count)| (labels.as_str(), count.clone())).collect();
    family(
        text,
        "weir_refused_requests",
        "counter",
        "Requests refused before a pipeline took them, by the code that the client got",
        &refused,
    );
    counter(
        text,
        "weir_http_requests_abandoned",
        "HTTP requests whose client left before their end",
        counters.abandoned.get(),
    );
    family(
        text,
        "weir_reloads",
        "counter",
        "Changes of the policy set that took effect, and that did not",
        &[("_total{result=\"good\"}", good.to_string()), ("_total{result=\"bad\"}", bad.to_string())],
    );
    gauge(
        text,
        "weir_last_reload_successful",
        "Whether the last change of the policy set took effect",
        u64::from(status.last_error.is_none()),
    );
    if let Some(LedgerFigures { written, lost, waiting, failures }) = ledger {
        counter(text, "weir_ledger_rows", "Rows of the ledger that were written", written);
        counter(text, "weir_ledger_rows_lost", "Rows of the ledger that found no room and are missing", lost);
        gauge(
            text,
            "weir_ledger_rows_waiting",
            "Places for rows that are taken: by rows that wait, and by attempts",
            waiting,
        );
        counter(
            text,
            "weir_ledger_failures",
            "Writes of the ledger that failed and are tried again",
            failures,
        );
    }
    let since = status.since_unix_nanos / 1_000_000_000;
    family(
        text,
        "weir_revision_since_seconds",
        "gauge",
        "Since when the revision is in force, in Unix time",
        &[("", since.to_string())],
    );
    let label = format!("_info{{revision=\"{}\"}}", status.revision);
    family(text, "weir_revision", "info", "The revision in force", &[(&label, "1".to_owned())]);
    text.push_str(END);
}
