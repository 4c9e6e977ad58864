//! Personal data: what `guard: pii` finds, beside Presidio, and what it puts back.

mod found;
mod restored;

pub(crate) use found::tables as found;
pub(crate) use restored::tables as restored;
