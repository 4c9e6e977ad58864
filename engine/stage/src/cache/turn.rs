//! What a semantic cache may do with a request's last user turn.

use super::key::lies_elsewhere;
use super::timely::time_bound;
use bytestring::ByteString;
use weir_message::{Operation, Request, Role};

/// What may be done with the last user turn.
#[derive(Debug, PartialEq)]
pub(super) enum Turn {
    /// Compare it by meaning.
    Meaning(ByteString),
    /// Answer the very same request alone, for this reason.
    Same(&'static str),
    /// Step aside, for this reason.
    Aside(&'static str),
}

/// Which turns are more than a policy lets the cache answer.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// Whether questions that are bound to the time they are asked at are answered.
    pub(super) timely: bool,
    /// Whether requests that offer tools are compared by meaning.
    pub(super) tools: bool,
}

impl Turn {
    /// Looks at a request.
    pub(super) fn of(request: &Request, limits: Limits) -> Self {
        if !matches!(request.operation, Operation::Chat | Operation::Response) {
            return Self::Aside("only conversations are compared by meaning");
        }
        if let Some(reason) = lies_elsewhere(request) {
            return Self::Aside(reason);
        }
        let messages = request.messages();
        let at = messages.iter().rposition(|message| message.role == Role::User);
        let Some((at, turn)) = at.and_then(|at| Some((at, messages.get(at)?))) else {
            return Self::Aside("there is no user turn");
        };
        let (before, after) =
            (messages.get(..at).unwrap_or_default(), messages.get(at + 1..).unwrap_or_default());
        if after.iter().any(|message| message.role == Role::Tool) {
            return Self::Aside("the last turn answers a tool");
        }
        if after.iter().any(|message| message.role == Role::Assistant) {
            return Self::Aside("the user does not have the last word");
        }
        if !turn.is_plain() {
            return Self::Same("the last user turn is not plain text");
        }
        let text = turn.text();
        if text.trim().is_empty() {
            return Self::Aside("the last user turn is empty");
        }
        let again = |text: &str| text.trim().to_lowercase();
        let asked = before.iter().filter(|message| message.role == Role::User);
        if asked.map(|message| again(&message.text())).any(|earlier| earlier == again(&text)) {
            return Self::Aside("the same was asked before in this conversation");
        }
        if !limits.timely && time_bound(&text).is_some() {
            return Self::Aside("the answer is bound to the time of asking");
        }
        if !limits.tools && offers_tools(request) {
            return Self::Same("the request offers tools");
        }
        Self::Meaning(text.into())
    }
}

fn offers_tools(request: &Request) -> bool {
    request.chat().is_some_and(|chat| !chat.tools.is_empty())
}
