//! Why an expression could not be evaluated.

use std::borrow::Cow;
use weir_diagnostic::Span;

/// The kinds of faults of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultCause {
    /// A field of null was read, or null was compared with a value.
    Null,
    /// A map has no such key, a list no such place.
    Missing,
    /// A value met at run time has a type that does not fit.
    WrongType,
    /// A number left its range, or something was divided by zero.
    Overflow,
    /// A text is none of what a function takes (a date, a duration, JSON).
    BadValue,
    /// The work passed the budget.
    TooCostly,
}

/// An expression that could not be evaluated. Its message quotes no text of the request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} in `{source_text}`")]
pub struct EvalFault {
    /// What kind of fault it is.
    pub cause: FaultCause,
    /// What went wrong.
    pub message: String,
    /// The part of the expression that could not be evaluated.
    pub source_text: String,
    /// Its place in the policy set.
    pub span: Span,
}

/// A fault without its place, as functions and operators give it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) cause: FaultCause,
    pub(crate) message: Cow<'static, str>,
}

impl Trouble {
    pub(crate) fn new(cause: FaultCause, message: impl Into<Cow<'static, str>>) -> Self {
        Self { cause, message: message.into() }
    }

    pub(crate) fn costly() -> Self {
        Self::new(FaultCause::TooCostly, "the expression takes too long for this request")
    }
}
