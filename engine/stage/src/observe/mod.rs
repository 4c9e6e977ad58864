//! Observers: only look.

mod histogram;
pub(crate) mod log;
pub(crate) mod metrics;
mod series;

pub use series::Metrics;
