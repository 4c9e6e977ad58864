//! Transforms: may edit.

pub(crate) mod headers;
pub(crate) mod json;
mod value;
