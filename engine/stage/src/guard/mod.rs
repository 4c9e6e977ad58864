//! Guards: may deny, or edit for safety.

pub(crate) mod concurrency;
pub(crate) mod key;
pub(crate) mod pii;
pub(crate) mod rate;
pub(crate) mod regex;
pub(crate) mod tokens;
