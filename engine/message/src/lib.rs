//! What passes through Weir: requests, replies, events, edits, usage, money, faults.
//!
//! The bytes that came in are the truth; the typed form ([`Body`], [`ReplyBody`]) is decoded from them at most once, shares
//! their memory, and knows where each text stands in them, so that an edit is a [`Splice`] on the original bytes and all
//! else stays as it was spelt. Nothing here does I/O or knows a wire format.
#![forbid(unsafe_code)]

pub(crate) use operation::names;

mod attempt;
mod body;
mod caller;
mod chat;
mod code;
mod edit;
mod event;
mod fault;
mod json;
mod money;
mod operation;
mod reply;
mod request;
mod text;
mod trace;
mod usage;

pub use attempt::{Attempt, Cause, StatusSet};
pub use body::{Body, Completion, Embedding, Param, Params, Rerank};
pub use caller::Caller;
pub use chat::{
    CachePoint, Chat, Citation, Media, MediaKind, Message, Part, Reasoning, Role, Source, Tool, ToolCall,
    ToolKind, ToolResult, TurnWriter,
};
pub use code::ErrorCode;
pub use edit::{Replace, Splice, Splices};
pub use event::{Block, BlockKind, Delta, Event, EventKind};
pub use fault::{Denial, DenyAs, Fault};
pub use json::{JsonOp, JsonPatchError, locate, patch};
pub use money::Money;
pub use operation::{Dialect, Operation};
pub use reply::{Choice, Finish, Reply, ReplyBody};
pub use request::{Head, Packed, Request};
pub use text::{Beside, Text, TextAt, TextForm, TextRole};
pub use trace::{Decision, Mode, Outcome, StageTrace, Timings, Trace, Verb};
pub use usage::Usage;
