//! The real way out: attempts over Pingora's pooled connections, and the in-process provider.

mod body;
mod echo;
mod failure;
mod held;
mod http;
mod lines;
mod sign;
mod site;
mod spare;
#[cfg(test)]
mod tests;
mod token;

use self::http::Http;
use futures::future::BoxFuture;
use std::sync::Arc;
use weir_pipeline::{Access, Answer, Call, CallError, Clock, Upstream};

/// Sends attempts over the network, or to the provider `echo` inside this process. Made once; connections are pooled and
/// shared by all plans.
pub struct NetUpstream {
    http: Arc<Http>,
}

impl NetUpstream {
    /// An upstream without connections yet. The clock is for signatures, which bear the time.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { http: Arc::new(Http::new(clock)) }
    }
}

impl Upstream for NetUpstream {
    fn send(&self, call: Call) -> BoxFuture<'_, Result<Answer, CallError>> {
        match &call.provider.access {
            Access::Echo => Box::pin(echo::send(call)),
            Access::Http(_) => Box::pin(self.http.send(call)),
        }
    }
}
