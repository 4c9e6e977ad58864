//! What a provider's error means (docs.cohere.com/reference/errors).

use crate::{ProviderError, error};
use http::HeaderMap;
use serde::Deserialize;
use std::borrow::Cow;
use weir_message::Cause;

/// The end of a stream that failed.
#[derive(Deserialize)]
struct Ended<'a> {
    #[serde(borrow)]
    delta: Delta<'a>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    finish_reason: Cow<'a, str>,
    #[serde(borrow, default)]
    error: Option<Cow<'a, str>>,
}

/// Reads an error reply (or, with the status 200, an error told inside a stream).
pub(crate) fn provider_error(status: u16, headers: &HeaderMap, body: &[u8]) -> ProviderError {
    if let Ok(Ended { delta }) = serde_json::from_slice::<Ended<'_>>(body) {
        let said = delta.error.unwrap_or_default();
        let said = serde_json::json!({ "message": said }).to_string();
        let error = error::provider_error(status, headers, said.as_bytes());
        let cause = if delta.finish_reason == "TIMEOUT" { Cause::Timeout } else { error.cause };
        return ProviderError { cause, ..error };
    }
    // `{"message": …}`, which others say too.
    let error = error::provider_error(status, headers, body);
    let cause = match (status, error.cause) {
        (402, Cause::Rejected) => Cause::RateLimited,
        (498, Cause::Rejected) => Cause::Unauthorized,
        (499, Cause::Rejected) => Cause::ServerError,
        (_, cause) => cause,
    };
    ProviderError { cause, ..error }
}
