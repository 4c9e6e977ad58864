//! A stage in its place, compiled as far as its text is right: what follows only from a slip in it is not said.

use crate::plan::{Step, When};
use crate::{Declares, HeaderReads};
use weir_policy::StageDecl;

/// A condition as it is written.
#[derive(Clone)]
pub(crate) enum Asked<T> {
    /// None: it always holds.
    Always,
    /// This one.
    If(T),
    /// One that is wrong. `written`: it is there, and only its expression is wrong.
    Unknown { written: bool },
}

impl<T> Asked<T> {
    /// The condition, if there is one and it is right.
    pub(crate) fn as_ref(&self) -> Option<&T> {
        match self {
            Asked::If(condition) => Some(condition),
            Asked::Always | Asked::Unknown { .. } => None,
        }
    }

    /// Whether it is known when it holds.
    pub(crate) fn is_known(&self) -> bool {
        !matches!(self, Asked::Unknown { .. })
    }

    /// Whether there is one.
    pub(crate) fn is_written(&self) -> bool {
        matches!(self, Asked::If(_) | Asked::Unknown { written: true })
    }

    /// With something else made of the condition.
    pub(crate) fn map<U>(self, make: impl FnOnce(T) -> U) -> Asked<U> {
        match self {
            Asked::Always => Asked::Always,
            Asked::If(condition) => Asked::If(make(condition)),
            Asked::Unknown { written } => Asked::Unknown { written },
        }
    }
}

/// A stage in its place.
pub(crate) struct Slot<'d> {
    pub(crate) decl: &'d StageDecl,
    /// What it declares; `None` where its body or its settings are wrong.
    pub(crate) declares: Option<Declares>,
    /// Its conditions, the frame's first; `None` where one of them is wrong.
    pub(crate) whens: Option<Vec<When>>,
    /// Whether it has a condition, right or wrong.
    pub(crate) is_conditional: bool,
    /// Whether it refuses all callers who are not known, or may do so once it is mended.
    pub(crate) may_require_caller: bool,
    /// The headers that it reads and asks for.
    pub(crate) headers: HeaderReads,
    /// The stages that run once per attempt.
    pub(crate) attempt: Vec<Slot<'d>>,
    /// The step, without its attempt's; `None` where anything is wrong.
    pub(crate) step: Option<Step>,
}

impl Slot<'_> {
    /// The finished step; `None` where anything is wrong in it.
    pub(crate) fn into_step(self) -> Option<Step> {
        let attempt = self.attempt.into_iter().map(Slot::into_step).collect::<Option<Vec<Step>>>()?;
        Some(Step { attempt, ..self.step? })
    }
}
