//! Guards: may deny, or edit for safety.

mod action;
pub(crate) mod budget;
pub(crate) mod concurrency;
pub(crate) mod key;
mod notify;
pub(crate) mod pii;
pub(crate) mod quota;
pub(crate) mod rate;
pub(crate) mod regex;
pub(crate) mod secrets;
mod spans;
mod spend;
mod then;
pub(crate) mod tokens;
mod told;
pub(crate) mod unicode;
pub(crate) mod words;
