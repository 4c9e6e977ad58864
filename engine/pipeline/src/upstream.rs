//! The one way out: an attempt in, a reply or a stream of bytes out.

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use http::{HeaderMap, Method};
use std::sync::Arc;
use std::time::Duration;
use weir_message::Cause;

use crate::Provider;

/// Sends attempts. Pingora's connector implements it once, the case runner once.
///
/// Dropping the future or the body cancels the attempt at once: the connection is closed or its stream reset.
pub trait Upstream: Send + Sync {
    /// Sends one attempt and returns when the reply's head is there. The body is read as the stream is polled, so a slow
    /// reader pushes back on the provider.
    fn send(&self, call: Call) -> BoxFuture<'_, Result<Answer, CallError>>;
}

/// One attempt, ready to be sent.
#[derive(Clone, Debug)]
pub struct Call {
    /// Whom to send it to.
    pub provider: Arc<Provider>,
    /// The upstream model (the built-in provider `echo` behaves by it).
    pub model: Arc<str>,
    /// The number of the attempt within its request, from 1.
    pub attempt: u32,
    /// The HTTP method.
    pub method: Method,
    /// Path and query, to be put behind the provider's base path.
    pub path: String,
    /// End-to-end headers, credentials included (marked sensitive). No `host`, no framing headers.
    pub headers: HeaderMap,
    /// The body, whole.
    pub body: Bytes,
    /// How long may pass: connecting, until the head, between two pieces of the body, in all.
    pub timeouts: Timeouts,
    /// Whether the reply's body must come decompressed, because something here reads it. If not, it is passed as it is.
    pub decode: bool,
    /// The largest body taken, in bytes after decompression; more is [`Cause::Invalid`]. Does not bound streams.
    pub body_limit: u64,
}

/// Limits in time for one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until connected, TLS included.
    pub connect: Duration,
    /// Until the reply's head.
    pub first_byte: Duration,
    /// Between two pieces of the body.
    pub between: Duration,
    /// In all.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(60),
            between: Duration::from_secs(60),
            total: Duration::from_secs(600),
        }
    }
}

/// The head of a provider's reply, and its body to come.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers; hop-by-hop ones are gone, and `content-encoding` too if the body comes decompressed.
    pub headers: HeaderMap,
    /// The body in pieces as they arrive.
    pub body: BoxStream<'static, Result<Bytes, CallError>>,
}

/// Why an attempt failed below the dialect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", cause.name())]
pub struct CallError {
    /// The kind of failure.
    pub cause: Cause,
    /// For the operator's trace and log: no credential.
    pub detail: String,
}

impl CallError {
    /// A failure of this kind.
    pub fn new(cause: Cause, detail: impl Into<String>) -> Self {
        Self { cause, detail: detail.into() }
    }
}
