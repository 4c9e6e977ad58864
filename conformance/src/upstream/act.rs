//! What a provider does on the wire, step by step.

use serde::{Deserialize, Serialize};

/// One step of a scripted answer. A script that ends without [`Act::End`] ends cleanly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Waits so many milliseconds.
    Wait(u64),
    /// Sends status and headers; the body is chunked unless a `content-length` is among them.
    Head {
        /// The status.
        status: u16,
        /// The headers.
        headers: Vec<(String, String)>,
    },
    /// Sends a piece of the body.
    Data(String),
    /// Sends a piece of the body that may be no text.
    Binary(Vec<u8>),
    /// Sends bytes past all framing, for what no HTTP library would write.
    Raw(Vec<u8>),
    /// Ends the body as it should.
    End,
    /// Closes the connection here.
    Cut,
    /// Keeps the connection open and says nothing any more.
    Stall,
    /// Takes the connection and closes it at once, before a head: to a client as good as no connection.
    Refuse,
}
