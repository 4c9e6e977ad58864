//! Refusals: decided (denial) or forced (fault).

use crate::ErrorCode;
use std::borrow::Cow;
use std::time::Duration;

/// A stage decided against the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The HTTP status to answer with.
    pub status: u16,
    /// `error.code` for the client: one of [`ErrorCode`]'s ids or the policy's own.
    pub code: Cow<'static, str>,
    /// What the client is told. Written by the policy, or by a built-in without quoting the prompt.
    pub message: Cow<'static, str>,
    /// The field of the request to blame, where one is.
    pub param: Option<&'static str>,
    /// As an error, or as a reply of the model.
    pub deny_as: DenyAs,
    /// When the client may come back.
    pub retry_after: Option<Duration>,
    /// The name of the stage; filled in by the executor.
    pub stage: Option<std::sync::Arc<str>>,
}

/// The form a denial takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DenyAs {
    /// An error body with the status.
    #[default]
    Error,
    /// A normal reply whose text is the message, finish reason `content_filter`.
    Reply,
}

impl Denial {
    /// A denial with the status of a known code.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status: code.status(),
            code: Cow::Borrowed(code.id()),
            message: message.into(),
            param: None,
            deny_as: DenyAs::Error,
            retry_after: None,
            stage: None,
        }
    }
}

/// Something could not be done. What the client is told is `message`; `detail` goes to the trace and log only.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Fault {
    /// What went wrong.
    pub code: ErrorCode,
    /// The HTTP status, where it is not the code's own (a provider's 4xx passed on).
    pub status: Option<u16>,
    /// What the client is told: no secret, no address, no prompt.
    pub message: Cow<'static, str>,
    /// The field of the request to blame.
    pub param: Option<String>,
    /// For the operator: trace and log.
    pub detail: Option<String>,
    /// When the client may come back.
    pub retry_after: Option<Duration>,
}

impl Fault {
    /// A fault with a message for the client.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, status: None, message: message.into(), param: None, detail: None, retry_after: None }
    }

    /// Names the field to blame.
    #[must_use]
    pub fn param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Adds what the operator should know and the client should not.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The status to answer with.
    pub fn status(&self) -> u16 {
        self.status.unwrap_or_else(|| self.code.status())
    }
}
