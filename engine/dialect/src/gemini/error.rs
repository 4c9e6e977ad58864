//! What a provider's error means (ai.google.dev/gemini-api/docs/troubleshooting, google.aip.dev/193).

use crate::ProviderError;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::time::Duration;
use weir_message::Cause;

/// The longest part of a message kept for the operator, in bytes.
const EXCERPT: usize = 500;

#[derive(Deserialize)]
struct Outer<'a> {
    #[serde(borrow)]
    error: &'a RawValue,
}

#[derive(Default, Deserialize)]
struct Said<'a> {
    #[serde(borrow, default)]
    message: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    status: Option<Cow<'a, str>>,
    #[serde(default)]
    code: Option<u16>,
    #[serde(borrow, default)]
    details: Vec<Detail<'a>>,
}

#[derive(Deserialize)]
struct Detail<'a> {
    /// Of an `ErrorInfo`.
    #[serde(borrow, default)]
    reason: Option<Cow<'a, str>>,
    /// Of a `RetryInfo`: seconds, `34.1s`.
    #[serde(borrow, default, rename = "retryDelay")]
    retry_delay: Option<Cow<'a, str>>,
}

/// What canonical codes stand for.
const STATUSES: &[(&str, Cause)] = &[
    ("RESOURCE_EXHAUSTED", Cause::RateLimited),
    ("UNAVAILABLE", Cause::Overloaded),
    ("INTERNAL", Cause::ServerError),
    ("UNKNOWN", Cause::ServerError),
    ("DEADLINE_EXCEEDED", Cause::Timeout),
    ("UNAUTHENTICATED", Cause::Unauthorized),
    ("PERMISSION_DENIED", Cause::Unauthorized),
    ("NOT_FOUND", Cause::NotFound),
    ("INVALID_ARGUMENT", Cause::Rejected),
    ("FAILED_PRECONDITION", Cause::Rejected),
    ("OUT_OF_RANGE", Cause::Rejected),
];

/// Reads an error reply (or, with the status 200, an error told inside a stream).
pub(crate) fn provider_error(status: u16, headers: &HeaderMap, body: &[u8]) -> ProviderError {
    // A stream asked for as an array tells its error as the one item.
    let outer = serde_json::from_slice::<Outer<'_>>(body)
        .ok()
        .or_else(|| serde_json::from_slice::<[Outer<'_>; 1]>(body).ok().map(|[outer]| outer));
    let said: Said<'_> =
        outer.and_then(|outer| serde_json::from_str(outer.error.get()).ok()).unwrap_or_default();
    let message = said.message.unwrap_or_else(|| String::from_utf8_lossy(body));
    let lower = message.to_ascii_lowercase();
    let is_named = |reason: &str| said.details.iter().any(|detail| detail.reason.as_deref() == Some(reason));
    let told = said.status.as_deref().unwrap_or_default();
    let by_name = || STATUSES.iter().find(|(name, _)| *name == told).map(|(_, cause)| *cause);
    let by_status = || Cause::from_status(status).or_else(|| Cause::from_status(said.code?));
    let cause = if is_named("API_KEY_INVALID") || lower.contains("api key not valid") {
        Cause::Unauthorized
    } else if lower.contains("input token count") && lower.contains("exceeds") {
        Cause::ContextTooLong
    } else {
        by_name().or_else(by_status).unwrap_or(Cause::ServerError)
    };
    let delay =
        said.details.iter().find_map(|detail| seconds(detail.retry_delay.as_deref()?.strip_suffix('s')?));
    let header = || seconds(headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim());
    ProviderError {
        cause,
        excerpt: message.get(..message.floor_char_boundary(EXCERPT)).unwrap_or_default().to_owned(),
        retry_after: delay.or_else(header),
    }
}

fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.parse().ok()?).ok()
}
