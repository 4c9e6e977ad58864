//! Caches: may answer in place of a provider.

mod control;
mod entry;
pub(crate) mod exact;
mod keep;
mod key;
pub(crate) mod semantic;
mod timely;
mod turn;
pub(crate) mod verify;

pub(crate) use keep::ANSWERS_AGREE;
pub use key::partition;
