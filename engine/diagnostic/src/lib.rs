//! Where something is wrong in a policy set, what, and how to mend it.
//!
//! [`Sources`] holds the texts, [`Span`] a place in one of them, [`Diagnostic`] what is said about it, and [`Code`]
//! is the closed table of what can be said. [`units`] has the values with units that policies are written in.
#![forbid(unsafe_code)]

mod codes;
mod diagnostic;
mod embedded;
mod near;
mod render;
mod span;
pub mod units;

pub use codes::Code;
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use embedded::Embedded;
pub use near::{nearest, slip_of};
pub use render::{render, render_one, summary, to_json, to_sarif};
pub use span::{Source, SourceId, Sources, Span};
