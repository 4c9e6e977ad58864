//! The plan, the executor and the attempt engine.
//!
//! A policy set is compiled to a [`Plan`]; [`handle`] takes one request through it. What is outside (the network, time) comes
//! in by traits: [`Upstream`] and [`Clock`].
#![forbid(unsafe_code)]

mod clock;
mod exchange;
mod gateway;
mod provider;
mod response;
mod route;
mod stage;
mod stream;
mod upstream;

pub use clock::{Clock, SystemClock};
pub use exchange::{Exchange, Refusal};
pub use gateway::{Gateway, NoSink, Sink};
pub use provider::{Access, AuthScheme, Credential, Endpoint, Http2, Provider};
pub use response::{Response, ResponseBody};
pub use route::{Ask, Models, Pick, Route, Target};
pub use stage::{CONTINUE, Declares, Hook, Needs, Notes, Slot, Stage, Streaming, TEXT_OPERATIONS, Verdict, Visit};
pub use stream::{Flow, StreamStage, StreamVerdict};
pub use upstream::{Answer, Call, CallError, Timeouts, Upstream};
