//! Caches: may answer in place of a provider.

mod agree;
mod control;
mod entry;
pub(crate) mod exact;
mod keep;
mod key;
pub(crate) mod semantic;
mod words;

pub use key::partition;
