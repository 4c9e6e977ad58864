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
    CallError::new(cause, detail(error))
}

/// The failure's own words, without the bytes that a parser quotes.
fn detail(error: &Error) -> String {
    let mut out = error.etype().as_str().to_owned();
    if *error.etype() == ErrorType::InvalidHTTPHeader {
        out.push_str(": the head of the reply cannot be read");
        return out;
    }
    if let Some(context) = &error.context {
        out.push_str(": ");
        out.push_str(context.as_str());
    }
    let root = error.root_cause();
    if root.downcast_ref::<Error>().is_none() && root.downcast_ref::<Box<Error>>().is_none() {
        out.push_str(": ");
        out.push_str(root.to_string().trim());
    }
    out
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
