//! What is wrong with a body, and how the client is told.

use weir_message::{ErrorCode, Fault};

/// The deepest nesting taken.
pub(crate) const MAX_DEPTH: u32 = 128;

/// What is wrong with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    NotUtf8,
    NotJson,
    TooDeep,
    TooLarge,
    TooMany,
    Surrogate,
    Repeated,
    Disguised,
    Want(&'static str),
    /// A field that is not there.
    Field(&'static str),
}

/// A flaw of a body and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flaw {
    pub(crate) what: What,
    /// The byte.
    pub(crate) at: usize,
    /// The field (`messages[3].content`); made of names that we know, so it quotes nothing.
    pub(crate) path: String,
}

impl Flaw {
    pub(crate) fn new(what: What, at: usize) -> Self {
        Self { what, at, path: String::new() }
    }

    /// The same, seen from outside the field `outer`.
    pub(crate) fn under(mut self, outer: &str) -> Self {
        if self.path.is_empty() || self.path.starts_with('[') {
            self.path.insert_str(0, outer);
        } else {
            self.path = format!("{outer}.{}", self.path);
        }
        self
    }

    /// As a fault with this code, whose message begins with what the bytes are ("the body").
    pub(crate) fn fault(self, code: ErrorCode, subject: &str) -> Fault {
        let at = self.at;
        let message = match self.what {
            What::NotUtf8 => format!("{subject} is not UTF-8 (byte {at})"),
            What::NotJson => format!("{subject} is not JSON (byte {at})"),
            What::TooDeep => format!("{subject} is nested deeper than {MAX_DEPTH} levels (byte {at})"),
            What::TooLarge => format!("{subject} is larger than 4 GiB"),
            What::TooMany => format!("{subject} has too many fields (byte {at})"),
            What::Surrogate => format!("{subject} has half a character in an escape (byte {at})"),
            What::Repeated => format!("{subject} has the same field twice (byte {at})"),
            What::Disguised => {
                format!(
                    "{subject} has a field spelt almost, but not quite, like one with a meaning (byte {at})"
                )
            }
            What::Want(want) => format!("{subject} must have {want} here (byte {at})"),
            What::Field(name) => format!("{subject} must have a field `{name}` here (byte {at})"),
        };
        let mut path = self.path;
        if let What::Field(name) = self.what {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(name);
        }
        let fault = Fault::new(code, message);
        if path.is_empty() { fault } else { fault.param(path) }
    }
}
