//! Hot reload: what is in force, and how a save comes to be.

mod current;
mod reload;
mod settle;
mod unfinished;
mod watcher;

pub use current::{Current, LastError, Status};
pub(crate) use reload::Reloader;
pub use reload::{Loader, Ready, Rejected};
pub(crate) use watcher::{Nudge, watch};
