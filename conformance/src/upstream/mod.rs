//! The scripted upstream: one script, played in-process by [`Scripted`] and over sockets by its own process.

mod act;
mod play;
mod scripted;
mod server;
mod translate;

pub use act::Act;
pub use play::{Got, play};
pub(crate) use scripted::upstream_call;
pub use scripted::{Scripted, Seen};
pub use server::{CallRecord, Reaction, Record, Script, serve};
