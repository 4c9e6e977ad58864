//! What goes back to the client.

use bytes::Bytes;
use futures::Stream;
use http::HeaderMap;
use std::pin::Pin;

/// A reply for the client: status, headers, and a body whole or in pieces.
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Headers. No framing headers; the server adds those.
    pub headers: HeaderMap,
    /// The body.
    pub body: ResponseBody,
}

/// The body of a [`Response`].
pub enum ResponseBody {
    /// All of it.
    Whole(Bytes),
    /// In pieces, each to be sent as it comes. It never fails: what goes wrong is told inside it, in the client's dialect.
    /// Dropping it before its end cancels the upstream and books what was spent.
    Stream(Pin<Box<dyn Stream<Item = Bytes> + Send>>),
}
