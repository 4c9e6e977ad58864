//! Observers: only look.

mod histogram;
pub(crate) mod log;
pub(crate) mod metrics;
mod series;

pub use log::ACCESS_LOG;
pub use series::Metrics;
