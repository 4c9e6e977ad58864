//! What expressions and scripts see of an exchange.

use crate::Exchange;
use weir_script::View;

/// The view of an exchange as it is now: borrows, nothing copied.
pub(crate) fn of(x: &Exchange) -> View<'_> {
    View {
        original: Some(x.original.as_deref().unwrap_or(&x.request)),
        params: &x.params,
        attempt: x.attempt.as_ref().or(x.trace.attempts.last()),
        attempts: &x.trace.attempts,
        reply: x.reply.as_ref(),
        trace: Some(&x.trace),
        ..View::new(&x.request, x.plan.revision(), x.unix_nanos)
    }
}
