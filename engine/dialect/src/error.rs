//! What a provider's error means, in the shapes of OpenAI, of Anthropic and of compatible servers
//! (platform.openai.com/docs/guides/error-codes, platform.claude.com/docs/en/api/errors).

use crate::ProviderError;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::time::Duration;
use weir_message::Cause;

/// The longest part of a message kept for the operator, in bytes.
const EXCERPT: usize = 500;

#[derive(Default, Deserialize)]
struct Said<'a> {
    #[serde(borrow, default)]
    message: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "type")]
    kind: Option<Cow<'a, str>>,
    /// A string at OpenAI, a number elsewhere.
    #[serde(borrow, default)]
    code: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Outer<'a> {
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    message: Option<Cow<'a, str>>,
    /// In events of a response's stream.
    #[serde(borrow, default)]
    code: Option<&'a RawValue>,
    #[serde(borrow, default)]
    response: Option<Failed<'a>>,
}

/// The response of an event that says that it failed.
#[derive(Deserialize)]
struct Failed<'a> {
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// What codes and types stand for, whatever the status.
const CODES: &[(&str, Cause)] = &[
    ("context_length_exceeded", Cause::ContextTooLong),
    ("string_above_max_length", Cause::ContextTooLong),
    ("content_filter", Cause::ContentFiltered),
    ("content_policy_violation", Cause::ContentFiltered),
    ("rate_limit_exceeded", Cause::RateLimited),
    ("rate_limit_error", Cause::RateLimited),
    ("insufficient_quota", Cause::RateLimited),
    ("billing_hard_limit_reached", Cause::RateLimited),
    ("billing_error", Cause::RateLimited),
    ("overloaded_error", Cause::Overloaded),
    ("timeout_error", Cause::Timeout),
    ("api_error", Cause::ServerError),
    ("request_too_large", Cause::ContextTooLong),
    ("invalid_prompt", Cause::Rejected),
    ("model_not_found", Cause::NotFound),
    ("not_found_error", Cause::NotFound),
    ("invalid_api_key", Cause::Unauthorized),
    ("authentication_error", Cause::Unauthorized),
    ("permission_error", Cause::Unauthorized),
];

/// Words that servers without codes use for a prompt that is too long.
const TOO_LONG: &[&str] = &[
    "maximum context length",
    "context length",
    "context window",
    "context limit",
    "too many tokens",
    "prompt is too long",
];

/// Reads an error reply (or, with the status 200, an error told inside a stream).
pub(crate) fn provider_error(status: u16, headers: &HeaderMap, body: &[u8]) -> ProviderError {
    let outer = serde_json::from_slice::<Outer<'_>>(body).unwrap_or_default();
    let raw = outer.error.or(outer.response.and_then(|failed| failed.error)).map_or("", RawValue::get);
    let said = serde_json::from_str::<Said<'_>>(raw).unwrap_or_default();
    let message = said
        .message
        .or(outer.message)
        // Some say `{"error":"…"}`.
        .or_else(|| serde_json::from_str::<String>(raw).ok().map(Cow::Owned))
        .unwrap_or_else(|| String::from_utf8_lossy(body));
    let code = said.code.or(outer.code).map_or("", RawValue::get).trim_matches('"');
    let kind = said.kind.as_deref().unwrap_or("");
    let named = CODES.iter().find(|(name, _)| *name == code || *name == kind).map(|(_, cause)| *cause);
    let worded = || {
        let lower = message.to_ascii_lowercase();
        let is_long = (400..500).contains(&status) && TOO_LONG.iter().any(|words| lower.contains(words));
        is_long.then_some(Cause::ContextTooLong)
    };
    let by_status = || {
        // Inside a stream the code may be a status.
        let told = code.parse().ok().and_then(Cause::from_status);
        Cause::from_status(status).or(told).unwrap_or(Cause::ServerError)
    };
    ProviderError {
        cause: named.or_else(worded).unwrap_or_else(by_status),
        excerpt: message.get(..message.floor_char_boundary(EXCERPT)).unwrap_or_default().to_owned(),
        retry_after: retry_after(headers),
    }
}

/// `retry-after-ms`, or `retry-after` in seconds; a date is left out, for it takes a clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
    let seconds = number("retry-after-ms").map(|ms| ms / 1000.0).or_else(|| number("retry-after"))?;
    Duration::try_from_secs_f64(seconds).ok()
}
