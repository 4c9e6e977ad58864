//! The plan, the executor and the attempt engine.
//!
//! A policy set is compiled to a [`Plan`]; [`handle`] takes one request through it. What is outside (the network, time) comes
//! in by traits: [`Upstream`] and [`Clock`].
#![forbid(unsafe_code)]

mod attempt;
mod book;
mod cel;
mod clock;
mod compile;
mod credential;
mod exchange;
mod explain;
mod fingerprint;
mod gateway;
mod grant;
mod handle;
mod home;
mod identity;
mod links;
mod minted;
mod place;
mod plan;
mod provider;
mod ratelimit;
mod reach;
mod refuse;
mod registry;
mod response;
mod rhai;
mod route;
mod run;
mod services;
mod settle;
mod shadow;
mod stage;
mod stream;
mod together;
mod up;
mod upstream;
mod view;
mod windows;
mod worst;

pub use clock::{Clock, SystemClock};
pub use compile::{HOOK_TIMEOUT, SERVED, Secrets, Workshop, compile};
pub use credential::{AwsKeys, Credential};
pub use exchange::{CacheSaid, Exchange, Refusal};
pub use gateway::{Gateway, NoSink, Refused, Sink};
pub use grant::{Grant, TokenSource};
pub use handle::handle;
pub use identity::{Shown, identify};
pub use place::Place;
pub use plan::{OnError, Plan};
pub use provider::{Access, AuthScheme, Endpoint, Http2, Provider, SigV4, configured_header};
pub use refuse::refuse;
pub use registry::{Accounts, HeaderReads, Registry, Workbench};
pub use response::{Response, ResponseBody};
pub use route::{Ask, Child, Fallback, FallbackChild, Models, Pick, Reaches, Retry, Route, Target, Weighted};
pub use stage::{
    CONTINUE, CONVERSATIONS, Declares, Hook, Needs, Notes, Passes, READABLE_OPERATIONS, Slot, Stage,
    Streaming, TEXT_OPERATIONS, Verdict, Visit,
};
pub use stream::{Flow, StreamStage, StreamVerdict};
pub use upstream::{Answer, Call, CallError, Timeouts, Upstream};
pub use windows::{HELD_LIMIT, Hold, Window, WindowFlow, WindowJudge, Windows};
pub use worst::{ASSUMED_OUTPUT, Worst};
