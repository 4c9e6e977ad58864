//! CEL and Rhai for policies: compile, check against the view, run within limits.
//!
//! [`View`] is what a policy can see; one table says which roots and fields there are, of which type, and in which hooks
//! ([`view_reference`] prints it). [`Expression`] is a CEL expression checked against that table, [`Script`] a Rhai script
//! whose hooks edit what passes through handles. Both refuse at load what could only ever fail, and both are bounded: an
//! expression by counted work, a script by operations, sizes and a wall clock that the caller hands in.
#![forbid(unsafe_code)]

mod asked;
mod budget;
mod changes;
mod check;
mod check_call;
mod check_constant;
mod check_macro;
mod check_types;
mod eval;
mod expression;
mod fault;
mod function;
mod function_text;
mod function_time;
mod may_hold;
mod memo;
mod object;
mod parse;
mod reads;
mod reference;
mod root;
mod script;
mod script_check;
mod script_engine;
mod script_handle;
mod script_surface;
mod script_types;
mod token;
mod types;
mod value;
mod view;

#[cfg(test)]
mod expression_test;
#[cfg(test)]
mod script_test;

pub use changes::Changes;
pub use expression::{CelValue, Explained, Expression};
pub use fault::{EvalFault, FaultCause};
pub use reads::Reads;
pub use reference::{view_reference, view_schema};
pub use root::HookKind;
pub use script::{Hooks, Script, ScriptFault, ScriptLimits, ScriptOutcome, ScriptRun, ScriptVerdict};
pub use types::{Expect, ParamType, ParamTypes};
pub use view::{
    Client, ClientError, Counters, EventView, Ledger, Limit, Payer, Services, Spent, StageLimits,
    UpstreamCall, View,
};
