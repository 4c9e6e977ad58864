//! Cases: their format, the in-process runner, the HTTP runner, and what the suites need.
//!
//! [`run`] is `weir test`: the real pipeline with scripted providers and virtual time, no sockets. [`explain`] takes one
//! request through a plan and tells what every stage did. [`http`] runs the same case files against a running `weir serve`;
//! both must agree. [`harness`] is for the suites below `tests/`.
#![forbid(unsafe_code)]

pub mod case;
mod client;
mod clock;
mod counts;
mod coverage;
mod explain;
mod frames;
pub mod harness;
pub mod http;
mod outcome;
pub mod report;
mod runner;
pub mod upstream;

pub use case::case_schema;
pub use clock::{Stuck, VirtualClock, drive};
pub use coverage::{Coverage, StageCoverage};
pub use explain::{ExplainOptions, Explanation, explain};
pub use report::Report;
pub use runner::{Compiler, NotLoaded, Options, filter, run};
