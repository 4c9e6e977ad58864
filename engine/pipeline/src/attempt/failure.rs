//! Why an attempt failed, whose fault that is, and what the client is told once no target is left.

use crate::run::Run;
use crate::{CallError, Refusal};
use std::time::Duration;
use weir_message::{Cause, ErrorCode, Fault};

impl Run {
    /// Why no target is left to try, for the client.
    pub(super) fn exhausted(&self) -> Refusal {
        let Some(last) = self.x.trace.attempts.iter().rev().find(|a| a.cause != Some(Cause::RuledOut)) else {
            let message = match self.x.trace.attempts.is_empty() {
                true => "no target may be asked now",
                false => "the policy ruled out every target",
            };
            return Refusal::Failed(Fault::new(ErrorCode::NoTarget, message));
        };
        let cause = last.cause.unwrap_or(Cause::ServerError);
        let message = match cause {
            Cause::Connect => "the provider could not be reached",
            Cause::Timeout => "the provider did not answer in time",
            Cause::RateLimited => "the provider's rate limit is reached",
            Cause::ContextTooLong => "the prompt is longer than the model's context window",
            Cause::ContentFiltered => "the provider's content filter refused the request",
            Cause::Overloaded => "the provider is overloaded",
            Cause::ServerError => "the provider failed",
            Cause::Unauthorized => "the provider refused the gateway's credential",
            Cause::NotFound => "the provider does not know the model",
            Cause::Rejected => "the provider rejected the request",
            Cause::Invalid => "the provider's reply could not be read",
            Cause::Broken => "the provider's reply ended before its end",
            Cause::Unsupported => "the target's API has no place for a part of the request that matters",
            Cause::RuledOut => "the policy ruled out every target",
            Cause::Cancelled => "the request was cancelled",
            Cause::Deadline => "the deadline passed",
        };
        // What the provider said of a request that it rejects helps the client; but where a guard reads replies, text that it
        // did not see is not passed on.
        let guarded = self.x.plan.pipelines.get(self.pipeline).is_none_or(|pipeline| pipeline.guards_replies);
        let mut fault = match (&self.x.trace.said, cause) {
            (Some(said), Cause::Rejected | Cause::ContextTooLong) if !guarded => {
                Fault::new(cause.error_code(), format!("{message}: {said}"))
            }
            (_, Cause::Unsupported) => {
                let fault =
                    Fault::new(cause.error_code(), format!("{message}: {}", self.unsupported.join(", ")));
                Fault { param: self.unsupported.first().map(ToString::to_string), ..fault }
            }
            _ => Fault::new(cause.error_code(), message),
        };
        fault.retry_after = last.retry_after;
        fault.detail.clone_from(&self.x.trace.detail);
        let is_told = matches!(
            cause,
            Cause::Rejected | Cause::NotFound | Cause::ContentFiltered | Cause::ContextTooLong
        );
        if let (true, Some(status)) = (is_told, last.status) {
            fault.status = Some(status);
        }
        Refusal::Failed(fault)
    }
}

/// Whose fault a failed attempt is, for the target's breaker.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Blame {
    Target,
    /// The target works; it would not take this request.
    Request,
    Nobody,
}

pub(super) fn blame(cause: Cause) -> Blame {
    match cause {
        Cause::Connect
        | Cause::Timeout
        | Cause::Overloaded
        | Cause::ServerError
        | Cause::Broken
        | Cause::Invalid => Blame::Target,
        Cause::Rejected | Cause::ContextTooLong | Cause::ContentFiltered => Blame::Request,
        Cause::RateLimited
        | Cause::Unauthorized
        | Cause::NotFound
        | Cause::Unsupported
        | Cause::RuledOut
        | Cause::Cancelled
        | Cause::Deadline => Blame::Nobody,
    }
}

/// Why an attempt failed.
pub(super) struct Failure {
    pub cause: Cause,
    pub blame: Blame,
    pub retry_after: Option<Duration>,
    pub detail: String,
}

impl Failure {
    pub(super) fn of(cause: Cause, detail: impl Into<String>) -> Self {
        Self { cause, blame: blame(cause), retry_after: None, detail: detail.into() }
    }

    pub(super) fn invalid(fault: Fault) -> Self {
        let detail = fault.detail.map_or(String::new(), |detail| format!(" ({detail})"));
        Self::of(Cause::Invalid, format!("{}{detail}", fault.message))
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self::of(error.cause, error.detail)
    }
}
