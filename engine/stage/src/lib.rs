//! The built-in stages, one file each, and their registry.
//!
//! [`registry`] hands them to the loader and the plan; [`reference`] prints the page that describes them all; [`Metrics`] is
//! what `observe: metrics` counts, for the whole process.
#![forbid(unsafe_code)]

#[cfg(test)]
mod booking;
mod cache;
mod guard;
mod header_names;
mod observe;
mod per;
mod reference;
mod registry;
mod route;
#[cfg(test)]
mod testing;
mod transform;

pub use cache::partition as cache_partition;
pub use cache::verify::{Asked, Judgement, Verify};
pub use guard::webhook::webhook_schema;
pub use observe::{ACCESS_LOG, Metrics};
pub use reference::reference;
pub use registry::registry;

/// What `guard: injection` reads of a text: whoever trains its heads must read the same.
pub mod reading {
    pub use crate::guard::injection::grams::grams;
    pub use crate::guard::injection::parts;
}
