//! Listeners, upstream connections, reload and the admin API, on Pingora.
//!
//! This room moves bytes. What is decided about them, and what a plan is made of, comes in from above: a [`Loader`] compiles
//! policy sets, a gateway holds what plans share. No stage is named here.
#![forbid(unsafe_code)]

mod admin;
mod coding;
mod counters;
mod error;
mod hygiene;
mod listener;
mod patience;
mod process;
mod serve;
mod upstream;
mod watch;

pub use admin::{PurgeCaches, RenderMetrics, Traces, openapi};
pub use error::Error;
pub use listener::{Limits, ListenerSpec, TlsKey, TlsSpec};
pub use process::{Parts, ServeOptions, Started, serve};
pub use serve::ClientsSpec;
pub use upstream::NetUpstream;
pub use watch::{Current, LastError, Loader, Ready, Rejected, Status};
