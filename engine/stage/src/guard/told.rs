//! What clients are told of limits, in the headers that their SDKs know.
//!
//! OpenAI's: platform.openai.com/docs/guides/rate-limits. Anthropic's: docs.anthropic.com/en/api/rate-limits. Other APIs have none, and
//! get OpenAI's. Neither has any for money: its headers are spelt as OpenAI's.

use http::{HeaderName, HeaderValue};
use std::time::Duration;
use weir_message::Dialect;
use weir_pipeline::Exchange;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    Requests,
    Tokens,
    Money,
}

/// The state of one limit.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) counted: Counted,
    /// How much there is in all, and what is left of it; as they are written.
    pub(super) limit: String,
    pub(super) remaining: String,
    /// When all of it is there again; `None`: never.
    pub(super) reset: Option<Duration>,
}

impl Told {
    /// Sets the headers.
    pub(super) fn set(self, x: &mut Exchange) {
        let [limit, remaining, reset] = names(self.counted, x.request.dialect);
        let when = self.reset.map(|reset| match x.request.dialect {
            Dialect::Anthropic if self.counted != Counted::Money => {
                moment(x.gateway.clock.unix_nanos(), reset)
            }
            _ => span(reset),
        });
        for (name, value) in [(limit, Some(self.limit)), (remaining, Some(self.remaining)), (reset, when)] {
            match value.and_then(|value| HeaderValue::try_from(value).ok()) {
                Some(value) => drop(x.headers.insert(HeaderName::from_static(name), value)),
                None => drop(x.headers.remove(name)),
            }
        }
    }
}

fn names(counted: Counted, dialect: Dialect) -> [&'static str; 3] {
    match (counted, dialect) {
        (Counted::Requests, Dialect::Anthropic) => [
            "anthropic-ratelimit-requests-limit",
            "anthropic-ratelimit-requests-remaining",
            "anthropic-ratelimit-requests-reset",
        ],
        (Counted::Tokens, Dialect::Anthropic) => [
            "anthropic-ratelimit-tokens-limit",
            "anthropic-ratelimit-tokens-remaining",
            "anthropic-ratelimit-tokens-reset",
        ],
        (Counted::Requests, _) => {
            ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"]
        }
        (Counted::Tokens, _) => {
            ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"]
        }
        (Counted::Money, _) => {
            ["x-ratelimit-limit-budget", "x-ratelimit-remaining-budget", "x-ratelimit-reset-budget"]
        }
    }
}

/// A length of time as OpenAI spells it: `20ms`, `1.5s`, `6m0s`.
fn span(time: Duration) -> String {
    let millis = time.as_nanos().div_ceil(1_000_000);
    match millis {
        0..1_000 => format!("{millis}ms"),
        1_000..60_000 if millis.is_multiple_of(1_000) => format!("{}s", millis / 1_000),
        1_000..60_000 => format!("{:.1}s", time.as_secs_f64()),
        _ => {
            let seconds = millis.div_ceil(1_000);
            let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
            if hours > 0 { format!("{hours}h{minutes}m{seconds}s") } else { format!("{minutes}m{seconds}s") }
        }
    }
}

/// A moment as Anthropic spells it (RFC 3339, whole seconds), rounded up.
fn moment(unix_nanos: i64, after: Duration) -> String {
    let nanos = i128::from(unix_nanos) + i128::try_from(after.as_nanos()).unwrap_or(i128::MAX / 2);
    let seconds = i64::try_from((nanos + 999_999_999).div_euclid(1_000_000_000)).unwrap_or(i64::MAX);
    weir_state::rfc3339(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spells_time_as_openai_and_anthropic_do() {
        for (millis, want) in [
            (0, "0ms"),
            (20, "20ms"),
            (1_000, "1s"),
            (1_500, "1.5s"),
            (360_000, "6m0s"),
            (3_661_000, "1h1m1s"),
        ] {
            assert_eq!(span(Duration::from_millis(millis)), want);
        }
        let day = 1_764_000_000_000_000_000;
        assert_eq!(moment(day, Duration::from_millis(1_500)), "2025-11-24T16:00:02Z");
        assert_eq!(moment(day, Duration::ZERO), "2025-11-24T16:00:00Z");
        assert_eq!(moment(i64::MAX, Duration::MAX), moment(i64::MAX, Duration::MAX));
    }
}
