//! What providers tell of their limits, in the headers of the client's API.
//!
//! OpenAI's: platform.openai.com/docs/guides/rate-limits. Anthropic's: docs.anthropic.com/en/api/rate-limits. The other APIs have none of
//! their own, and their clients get OpenAI's.

use http::{HeaderMap, HeaderName, HeaderValue};
use std::time::Duration;
use weir_message::Dialect;
use weir_state::{rfc3339, unix_time};

/// What each API calls requests and tokens, and the limit, what is left of it, and when all of it is there again.
const NAMES: [([&str; 3], [&str; 3]); 2] = [
    (
        ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"],
        [
            "anthropic-ratelimit-requests-limit",
            "anthropic-ratelimit-requests-remaining",
            "anthropic-ratelimit-requests-reset",
        ],
    ),
    (
        ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"],
        [
            "anthropic-ratelimit-tokens-limit",
            "anthropic-ratelimit-tokens-remaining",
            "anthropic-ratelimit-tokens-reset",
        ],
    ),
];

/// Whether a header tells of a limit.
pub(crate) fn is_limit(name: &HeaderName) -> bool {
    ["x-ratelimit-", "anthropic-ratelimit-"].iter().any(|start| name.as_str().starts_with(start))
}

/// Puts what a provider's headers tell of its limits into those for the client, at a moment in seconds since 1970 UTC. Between
/// equal spellings they are left as they are; what the client's API has no word for is left out.
pub(crate) fn carry(from: &HeaderMap, client: Dialect, now: i64, to: &mut HeaderMap) {
    let is_own =
        |name: &HeaderName| name.as_str().starts_with("anthropic-") == (client == Dialect::Anthropic);
    for (name, value) in from.iter().filter(|(name, _)| is_limit(name) && is_own(name)) {
        to.append(name.clone(), value.clone());
    }
    for (openai, anthropic) in &NAMES {
        let (theirs, ours) =
            if client == Dialect::Anthropic { (openai, anthropic) } else { (anthropic, openai) };
        for (n, (theirs, ours)) in theirs.iter().zip(ours).enumerate() {
            if to.contains_key(*ours) {
                continue;
            }
            let said = from.get(*theirs).and_then(|value| value.to_str().ok());
            let said = match (n, client) {
                (2, Dialect::Anthropic) => said.and_then(span_of).map(|span| moment(now, span)),
                (2, _) => said.and_then(unix_time).map(|moment| span(moment.saturating_sub(now))),
                _ => said.map(str::to_owned),
            };
            if let Some(value) = said.and_then(|said| HeaderValue::try_from(said).ok()) {
                to.insert(HeaderName::from_static(ours), value);
            }
        }
    }
}

/// The moment so long after another, as Anthropic spells it; rounded up.
fn moment(now: i64, after: Duration) -> String {
    let seconds = after.as_secs().saturating_add(u64::from(after.subsec_nanos() > 0));
    rfc3339(now.saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX)))
}

/// Seconds as OpenAI spells a length of time: `17s`, `6m0s`, `1h0m2s`.
fn span(seconds: i64) -> String {
    let seconds = seconds.max(0);
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// A length of time as OpenAI and those who follow it spell one: `1s`, `6m0s`, `8.64s`, `20ms`, or bare seconds.
fn span_of(said: &str) -> Option<Duration> {
    let mut rest = Some(said.trim()).filter(|said| !said.is_empty())?;
    if let Ok(seconds) = rest.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(end);
        let unit = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(unit);
        let seconds = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        total = total.checked_add(part)?;
        rest = behind;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_764_000_000;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    fn carried(from: &HeaderMap, client: Dialect) -> HeaderMap {
        let mut to = HeaderMap::new();
        carry(from, client, NOW, &mut to);
        to
    }

    #[test]
    fn limits_are_told_in_the_words_of_the_clients_api_both_ways() {
        let openai = headers(&[
            ("x-ratelimit-limit-requests", "60"),
            ("x-ratelimit-remaining-requests", "59"),
            ("x-ratelimit-reset-requests", "1.5s"),
            ("x-ratelimit-limit-tokens", "150000"),
            ("x-ratelimit-remaining-tokens", "149984"),
            ("x-ratelimit-reset-tokens", "6m0s"),
        ]);
        let anthropic = headers(&[
            ("anthropic-ratelimit-requests-limit", "60"),
            ("anthropic-ratelimit-requests-remaining", "59"),
            ("anthropic-ratelimit-requests-reset", "2025-11-24T16:00:02Z"),
            ("anthropic-ratelimit-tokens-limit", "150000"),
            ("anthropic-ratelimit-tokens-remaining", "149984"),
            ("anthropic-ratelimit-tokens-reset", "2025-11-24T16:06:00Z"),
        ]);
        assert_eq!(carried(&openai, Dialect::Anthropic), anthropic);
        let back = carried(&anthropic, Dialect::Cohere);
        assert_eq!(back["x-ratelimit-reset-requests"], "2s");
        for (name, value) in openai.iter().filter(|(name, _)| *name != "x-ratelimit-reset-requests") {
            assert_eq!(back.get(name), Some(value), "{name}");
        }
        assert_eq!(back.len(), 6);
    }

    #[test]
    fn what_is_spelt_as_the_client_knows_it_stays_and_what_it_has_no_word_for_goes() {
        let from = headers(&[
            ("anthropic-ratelimit-input-tokens-limit", "5"),
            ("anthropic-ratelimit-tokens-limit", "7"),
            ("x-ratelimit-limit-requests", "9"),
            ("x-ratelimit-limit-project-tokens", "11"),
            ("retry-after", "2"),
        ]);
        let anthropic = carried(&from, Dialect::Anthropic);
        assert_eq!(anthropic["anthropic-ratelimit-input-tokens-limit"], "5");
        assert_eq!(anthropic["anthropic-ratelimit-requests-limit"], "9");
        assert_eq!(anthropic.len(), 3);
        let openai = carried(&from, Dialect::OpenAi);
        assert_eq!(openai["x-ratelimit-limit-tokens"], "7");
        assert_eq!(openai["x-ratelimit-limit-project-tokens"], "11");
        assert_eq!(openai.len(), 3);
    }

    #[test]
    fn lengths_of_time_are_read_as_providers_spell_them() {
        let cases = [
            ("1s", Some(1_000)),
            ("6m0s", Some(360_000)),
            ("1h1m1s", Some(3_661_000)),
            ("8.64s", Some(8_640)),
            ("20ms", Some(20)),
            ("1m20.5s", Some(80_500)),
            ("2", Some(2_000)),
            ("0s", Some(0)),
            ("", None),
            ("soon", None),
            ("1w", None),
            ("1s?", None),
            ("-1", None),
            ("9e99", None),
        ];
        for (said, millis) in cases {
            assert_eq!(span_of(said), millis.map(Duration::from_millis), "{said}");
        }
        assert_eq!((span(-5), span(59), span(3600)), ("0s".into(), "59s".into(), "1h0m0s".into()));
        assert_eq!(moment(i64::MAX, Duration::MAX), rfc3339(i64::MAX));
    }
}
