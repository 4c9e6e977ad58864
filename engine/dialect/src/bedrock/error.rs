//! Errors: as AWS's services of the protocol REST-JSON tell them, whole and inside streams.

use crate::compose::object;
use crate::eventstream::Frame;
use crate::{ErrorBody, ProviderError, error};
use bytes::Bytes;
use http::HeaderMap;
use weir_message::Cause;

/// The header that names the exception.
pub(super) const ERROR_TYPE: &str = "x-amzn-errortype";

/// What exceptions stand for, whatever the status. One that is left out, a validation, may be of a prompt that is too long.
const EXCEPTIONS: &[(&str, Cause)] = &[
    ("accessDeniedException", Cause::Unauthorized),
    ("expiredTokenException", Cause::Unauthorized),
    ("incompleteSignature", Cause::Unauthorized),
    ("invalidSignatureException", Cause::Unauthorized),
    ("missingAuthenticationTokenException", Cause::Unauthorized),
    ("unrecognizedClientException", Cause::Unauthorized),
    ("resourceNotFoundException", Cause::NotFound),
    ("throttlingException", Cause::RateLimited),
    ("serviceQuotaExceededException", Cause::RateLimited),
    ("modelTimeoutException", Cause::Timeout),
    ("modelNotReadyException", Cause::Overloaded),
    ("serviceUnavailableException", Cause::Overloaded),
    ("internalServerException", Cause::ServerError),
    ("modelErrorException", Cause::ServerError),
    ("modelStreamErrorException", Cause::ServerError),
];

/// Words for a prompt that is too long, besides those that others use.
const TOO_LONG: &[&str] = &[
    "input is too long",
    "too many input tokens",
    "input tokens exceeds",
    "maximum tokens you requested exceeds",
];

/// The exception for a status.
pub(super) fn exception(status: u16) -> &'static str {
    match status {
        401 | 403 => "AccessDeniedException",
        404 => "ResourceNotFoundException",
        408 | 504 => "ModelTimeoutException",
        429 => "ThrottlingException",
        503 | 529 => "ServiceUnavailableException",
        500.. => "InternalServerException",
        _ => "ValidationException",
    }
}

/// The exception for a status among those that a stream has.
pub(super) fn stream_exception(status: u16) -> &'static str {
    match status {
        429 => "throttlingException",
        503 | 529 => "serviceUnavailableException",
        500.. => "internalServerException",
        _ => "validationException",
    }
}

/// An error's body. AWS's own has the message alone; readers of its header pass over the rest.
pub(super) fn body(error: &ErrorBody<'_>) -> Bytes {
    Bytes::from(object(|o| {
        o.string("message", error.message).string("code", error.code);
        o.string_if("param", error.param).string("requestId", error.request_id);
    }))
}

/// Reads an error reply.
pub(super) fn provider_error(status: u16, headers: &HeaderMap, body: &[u8]) -> ProviderError {
    let named = headers.get(ERROR_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // `ThrottlingException:http://internal.amazon.com/…`
    let named = named.split(':').next().unwrap_or_default();
    meaning(named, status, error::provider_error(status, headers, body))
}

/// Reads an exception frame, or an error frame, whose message stands in a header.
pub(super) fn stream_error(raw: &[u8]) -> ProviderError {
    let frame = Frame::of(raw);
    let header = |name| frame.and_then(|frame| frame.header(name));
    let payload = frame.and_then(|frame| raw.get(frame.payload())).unwrap_or_default();
    let mut told = error::provider_error(200, &HeaderMap::new(), payload);
    if let Some(message) = header(":error-message") {
        message.clone_into(&mut told.excerpt);
    }
    let named = header(":exception-type").or_else(|| header(":error-code")).unwrap_or_default();
    meaning(named, 200, told)
}

/// What an exception of this name means.
fn meaning(named: &str, status: u16, told: ProviderError) -> ProviderError {
    let is_it = |(name, _): &&(&str, Cause)| name.eq_ignore_ascii_case(named);
    let cause = match EXCEPTIONS.iter().find(is_it) {
        // A status of 424 says whose error it is: the model's.
        None if status == 424 => Cause::ServerError,
        None => {
            let lower = told.excerpt.to_ascii_lowercase();
            let is_long = TOO_LONG.iter().any(|words| lower.contains(words));
            match named.eq_ignore_ascii_case("validationException") {
                _ if is_long => Cause::ContextTooLong,
                // Inside a stream no status says so.
                true if told.cause == Cause::ServerError => Cause::Rejected,
                _ => told.cause,
            }
        }
        Some((_, cause)) => *cause,
    };
    ProviderError { cause, ..told }
}

/// A header that names an exception, for tests of whole errors.
#[cfg(test)]
pub(super) fn named(exception: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(ERROR_TYPE, http::HeaderValue::from_static(exception));
    headers
}
