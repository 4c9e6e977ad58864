//! One try at one target.

use crate::{ErrorCode, Money, Usage, names};
use std::sync::Arc;
use std::time::Duration;

names! {
    /// Why an attempt failed. A closed list: routes and policies name these.
    Cause {
        /// No connection: name, route, refusal or TLS.
        Connect = "connect",
        /// No answer within a timeout.
        Timeout = "timeout",
        /// The provider's rate limit (429).
        RateLimited = "rate-limited",
        /// The prompt is longer than the model reads.
        ContextTooLong = "context-too-long",
        /// The provider's content filter refused.
        ContentFiltered = "content-filtered",
        /// The provider says it is overloaded (503, 529).
        Overloaded = "overloaded",
        /// Another 5xx.
        ServerError = "server-error",
        /// The credential was refused (401, 403).
        Unauthorized = "unauthorized",
        /// The model or path does not exist there (404).
        NotFound = "not-found",
        /// Another 4xx: the request itself is at fault.
        Rejected = "rejected",
        /// The reply is not what the dialect says, or too large.
        Invalid = "invalid",
        /// The stream ended before its end.
        Broken = "broken",
        /// The provider's API has no place for a part of the request that matters; it was not sent.
        Unsupported = "unsupported",
        /// A guard in `attempt:` ruled the target out.
        RuledOut = "ruled-out",
        /// The client left.
        Cancelled = "cancelled",
        /// The deadline of the request passed.
        Deadline = "deadline",
    }
}

impl Cause {
    /// The cause that an HTTP status stands for; `None` below 400. The body may say better.
    pub fn from_status(status: u16) -> Option<Cause> {
        Some(match status {
            0..400 => return None,
            401 | 403 => Cause::Unauthorized,
            404 => Cause::NotFound,
            408 | 504 => Cause::Timeout,
            413 => Cause::ContextTooLong,
            429 => Cause::RateLimited,
            503 | 529 => Cause::Overloaded,
            500.. => Cause::ServerError,
            400..500 => Cause::Rejected,
        })
    }

    /// The error that a client is shown when this cause is the last word.
    pub fn error_code(self) -> ErrorCode {
        match self {
            Cause::Connect => ErrorCode::UpstreamUnreachable,
            Cause::Timeout => ErrorCode::UpstreamTimeout,
            Cause::RateLimited => ErrorCode::UpstreamRateLimited,
            Cause::ContextTooLong => ErrorCode::ContextTooLong,
            Cause::ContentFiltered | Cause::Rejected | Cause::NotFound => ErrorCode::UpstreamRejected,
            Cause::Overloaded | Cause::ServerError => ErrorCode::UpstreamError,
            Cause::Unauthorized => ErrorCode::UpstreamUnauthorized,
            Cause::Invalid => ErrorCode::UpstreamInvalid,
            Cause::Broken => ErrorCode::UpstreamBroken,
            Cause::Unsupported => ErrorCode::Unsupported,
            Cause::RuledOut => ErrorCode::NoTarget,
            Cause::Cancelled => ErrorCode::Internal,
            Cause::Deadline => ErrorCode::DeadlineExceeded,
        }
    }
}

/// Statuses and causes as policies write them: `429`, `5xx`, `timeout`, `connect`, `rate-limited` …
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusSet {
    /// Single statuses.
    pub statuses: Vec<u16>,
    /// Classes: 4 for `4xx`, 5 for `5xx`.
    pub classes: Vec<u16>,
    /// Causes by name.
    pub causes: Vec<Cause>,
}

impl StatusSet {
    /// Adds one item as policies write it; `false` if it is none.
    pub fn add(&mut self, item: &str) -> bool {
        if let Some(cause) = Cause::from_name(item) {
            self.causes.push(cause);
            return true;
        }
        match (item, item.parse::<u16>()) {
            ("4xx", _) => self.classes.push(4),
            ("5xx", _) => self.classes.push(5),
            (_, Ok(status @ 400..=599)) => self.statuses.push(status),
            _ => return false,
        }
        true
    }

    /// Whether a failed attempt is among them.
    pub fn contains(&self, attempt: &Attempt) -> bool {
        attempt.cause.is_some_and(|cause| self.causes.contains(&cause))
            || attempt.status.is_some_and(|s| self.statuses.contains(&s) || self.classes.contains(&(s / 100)))
    }
}

/// One try at one target: what was asked, what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// Its number, from 1.
    pub n: u32,
    /// The provider's name in the set.
    pub provider: Arc<str>,
    /// The upstream model's name.
    pub model: Arc<str>,
    /// The provider's region, if the set states one.
    pub region: Option<Arc<str>>,
    /// The children picked at each level of nested routes.
    pub path: Vec<u16>,
    /// Why it failed; `None` while under way or when it succeeded.
    pub cause: Option<Cause>,
    /// The provider's HTTP status, once known.
    pub status: Option<u16>,
    /// How long the provider asked to be left alone.
    pub retry_after: Option<Duration>,
    /// When it began, since the request began.
    pub began: Duration,
    /// Until the reply's head.
    pub first_byte: Option<Duration>,
    /// Until its end.
    pub took: Option<Duration>,
    /// Tokens spent, once known.
    pub usage: Option<Usage>,
    /// What it cost, once known and priced.
    pub cost: Option<Money>,
}
