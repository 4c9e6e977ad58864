//! What a connection's failure means for an attempt.

use pingora::{Error, ErrorType};
use weir_message::Cause;
use weir_pipeline::CallError;

/// How far an attempt had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// No connection yet.
    Connecting,
    /// Connected; the reply's head is awaited.
    Head,
    /// In the reply's body.
    Body,
}

/// The failure as routes know it. The detail names addresses and is for the operator alone.
pub(crate) fn call_error(stage: Stage, error: &Error) -> CallError {
    let cause = match (stage, error.etype()) {
        (Stage::Connecting, _) => Cause::Connect,
        (_, ErrorType::ReadTimedout | ErrorType::WriteTimedout) => Cause::Timeout,
        (_, ErrorType::InvalidHTTPHeader | ErrorType::InvalidH2 | ErrorType::Custom(_)) => Cause::Invalid,
        _ => Cause::Broken,
    };
    CallError::new(cause, format!("{}: {}", error.etype().as_str(), reason(error)))
}

/// The failure's own words, without the bytes that a parser quotes.
fn reason(error: &Error) -> String {
    if *error.etype() == ErrorType::InvalidHTTPHeader {
        return "the head of the reply cannot be read".to_owned();
    }
    let root = error.root_cause().to_string();
    match &error.context {
        Some(context) if !root.contains(context.as_str()) => {
            format!("{} ({})", root.trim(), context.as_str())
        }
        _ => root.trim().to_owned(),
    }
}

/// Whether an attempt over a pooled connection may be sent again over a new one: the peer closed the idle connection before
/// it saw the request, and not one byte of a reply came.
pub(crate) fn died_idle(error: &Error) -> bool {
    match error.etype() {
        ErrorType::WriteError => true,
        ErrorType::ConnectionClosed | ErrorType::ReadError => {
            error.context.as_ref().is_none_or(|context| {
                let context = context.as_str();
                !context.contains("already read") || context.ends_with("already read: 0")
            }) && error.retry != pingora::RetryType::Decided(false)
        }
        ErrorType::H2Error => error.retry == pingora::RetryType::Decided(true),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_connection_without_a_byte_of_reply_is_tried_again() {
        let closed = |read: usize| {
            let mut error = Error::explain(
                ErrorType::ConnectionClosed,
                format!("while reading response headers, bytes already read: {read}"),
            );
            error.retry = pingora::RetryType::ReusedOnly;
            error
        };
        assert!(died_idle(&closed(0)));
        assert!(!died_idle(&closed(10)));
        assert!(!died_idle(&Error::explain(ErrorType::ReadTimedout, "slow")));
        assert!(!died_idle(&Error::explain(ErrorType::InvalidHTTPHeader, "rubbish")));
    }

    #[test]
    fn failures_have_causes() {
        for (stage, etype, want) in [
            (Stage::Connecting, ErrorType::ConnectRefused, Cause::Connect),
            (Stage::Connecting, ErrorType::TLSHandshakeFailure, Cause::Connect),
            (Stage::Head, ErrorType::ReadTimedout, Cause::Timeout),
            (Stage::Head, ErrorType::ConnectionClosed, Cause::Broken),
            (Stage::Head, ErrorType::InvalidHTTPHeader, Cause::Invalid),
            (Stage::Body, ErrorType::ConnectionClosed, Cause::Broken),
            (Stage::Body, ErrorType::H2Error, Cause::Broken),
            (Stage::Body, ErrorType::ReadTimedout, Cause::Timeout),
        ] {
            assert_eq!(
                call_error(stage, &Error::explain(etype.clone(), "x")).cause,
                want,
                "{stage:?} {etype:?}"
            );
        }
    }
}
