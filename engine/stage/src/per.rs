//! For whom something is kept apart: counts, cached replies.

use std::fmt::Write as _;
use std::sync::Arc;
use weir_pipeline::{Exchange, Needs, Workbench};
use weir_policy::Expr;
use weir_script::{Expect, Expression, HookKind, Reads};

/// For whom something is kept apart.
pub(crate) enum Per {
    /// All share it.
    Everyone,
    /// Each key; callers without one by their address.
    Caller,
    /// Each value of an expression.
    Value(Expression),
}

/// Whose it is, for one request.
pub(crate) enum Subject {
    Name(Arc<str>),
    Short(Short),
    Value(String),
}

impl Per {
    /// `everyone`, or an expression.
    pub(crate) fn compile(expr: &Expr, bench: &mut Workbench<'_>) -> Option<Self> {
        if &*expr.text == "everyone" {
            return Some(Self::Everyone);
        }
        bench.expression(expr, HookKind::Request, Expect::Any).map(Self::Value)
    }

    pub(crate) fn needs(&self) -> Needs {
        match self {
            Self::Everyone | Self::Caller => Needs::NONE,
            Self::Value(expression) => needs(expression.reads()),
        }
    }

    /// Whose it is. Allocates only for an expression's value.
    pub(crate) fn subject(&self, x: &Exchange) -> Result<Subject, String> {
        match self {
            Self::Everyone => Ok(Subject::Short(Short::default())),
            Self::Caller => Ok(match (&x.request.caller, x.request.source) {
                (Some(caller), _) if caller.key.is_some() || caller.user.is_some() => {
                    let name = caller.key.as_ref().or(caller.user.as_ref());
                    name.map_or_else(
                        || Subject::Short(Short::default()),
                        |name| Subject::Name(Arc::clone(name)),
                    )
                }
                (_, Some(source)) => {
                    let mut short = Short::default();
                    // An address always fits.
                    let _ = write!(short, "{}", source.ip());
                    Subject::Short(short)
                }
                (_, None) => Subject::Short(Short::default()),
            }),
            Self::Value(expression) => expression
                .eval_string_key(&x.view(), &**x.plan.services())
                .map(Subject::Value)
                .map_err(|fault| format!("per: {fault}")),
        }
    }
}

impl Subject {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Short(short) => short.as_str(),
            Self::Value(value) => value,
        }
    }
}

/// A short text on the stack.
#[derive(Clone, Copy)]
pub(crate) struct Short {
    bytes: [u8; 48],
    len: usize,
}

impl Default for Short {
    fn default() -> Self {
        Self { bytes: [0; 48], len: 0 }
    }
}

impl Short {
    fn as_str(&self) -> &str {
        self.bytes.get(..self.len).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

impl std::fmt::Write for Short {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.len + text.len();
        self.bytes.get_mut(self.len..end).ok_or(std::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// What reading these roots takes from the plan.
pub(crate) fn needs(reads: Reads) -> Needs {
    let mut needs = Needs::NONE;
    for (read, need) in [
        (Reads::BODY | Reads::TOKENS, Needs::BODY),
        (Reads::ORIGINAL, Needs::ORIGINAL),
        (Reads::REPLY_BODY, Needs::REPLY),
        (Reads::USAGE, Needs::USAGE),
        (Reads::SPENT, Needs::SPENT),
    ] {
        if reads.meets(read) {
            needs = needs | need;
        }
    }
    needs
}
