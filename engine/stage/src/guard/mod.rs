//! Guards: may deny, or edit for safety.

mod action;
pub(crate) mod budget;
pub(crate) mod concurrency;
pub(crate) mod injection;
mod json_schema;
mod judging;
pub(crate) mod key;
pub(crate) mod language;
mod notify;
pub(crate) mod pii;
pub(crate) mod quota;
pub(crate) mod rate;
pub(crate) mod regex;
pub(crate) mod schema;
pub(crate) mod secrets;
pub(crate) mod size;
mod spans;
mod spend;
mod then;
pub(crate) mod tokens;
mod told;
pub(crate) mod tools;
pub(crate) mod unicode;
pub(crate) mod urls;
pub(crate) mod words;
