//! What can go wrong in this room.

use std::sync::Arc;

/// What can go wrong in this room.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Two keys of a ring have the same digest, so nobody could say whose requests those are.
    #[error("keys `{first}` and `{second}` are the same key")]
    SameKey {
        /// The name that came first.
        first: Arc<str>,
        /// The other name.
        second: Arc<str>,
    },
    /// A digest is not written as `blake3:` and 64 hexadecimal digits.
    #[error("a digest is written `blake3:` and 64 hexadecimal digits")]
    NotADigest,
    /// Keys cannot be made: there is no file to keep them in.
    #[error("no keys are kept here: the set names no file under `state`")]
    KeysNotKept,
    /// There is no key of that id.
    #[error("there is no key of this id")]
    NoSuchKey,
    /// Another key has that name.
    #[error("another key has this name")]
    KeyNameTaken,
    /// It was changed by somebody else in the meantime.
    #[error("it was changed meanwhile: read it again")]
    Outdated,
    /// An idempotency key came with another request before.
    #[error("this idempotency key came with another request before")]
    OtherRequest,
    /// A key cannot be so.
    #[error("{0}")]
    BadKey(String),
    /// What should be the keys of an issuer is not.
    #[error("the issuer's key set cannot be used: {0}")]
    NotAKeySet(&'static str),
    /// The file that keeps state cannot be used. It is left as it is.
    #[error("the state file {} cannot be used: {reason}", path.display())]
    File {
        /// Where it is.
        path: std::path::PathBuf,
        /// Why.
        reason: String,
    },
    /// State that gateways share cannot be reached or used.
    #[error("the shared state at {place} cannot be used: {reason}")]
    Unreachable {
        /// Where it is, without credentials.
        place: String,
        /// Why.
        reason: String,
    },
}
