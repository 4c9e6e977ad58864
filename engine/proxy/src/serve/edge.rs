//! What happens to a connection before its first request: it is counted, limited, and its HTTP version found out.

use super::app::{App, Shared};
use crate::counters::Open;
use async_trait::async_trait;
use pingora::apps::{HttpServerOptions, ServerApp};
use pingora::prelude::timeout;
use pingora::protocols::Stream;
use pingora::server::ShutdownWatch;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;

/// How an HTTP/2 connection without TLS begins (RFC 9113 §3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What a connection over the limit is told.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n\
    connection: close\r\ncontent-length: 129\r\n\r\n{\"error\":{\"message\":\"too many connections are open here; come \
    back soon\",\"type\":\"server_error\",\"param\":null,\"code\":\"overloaded\"}}";

/// One listener's connections.
pub(crate) struct Edge {
    shared: Arc<Shared>,
    h1: Arc<App>,
    h2c: Arc<App>,
}

impl Edge {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let mut options = HttpServerOptions::default();
        options.h2_idle_timeout = Some(shared.limits().idle);
        let mut with_h2c = options.clone();
        with_h2c.h2c = true;
        Self {
            h1: Arc::new(App::new(Arc::clone(&shared), options)),
            h2c: Arc::new(App::new(Arc::clone(&shared), with_h2c)),
            shared,
        }
    }
}

#[async_trait]
impl ServerApp for Edge {
    async fn process_new(self: &Arc<Self>, mut stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let limits = self.shared.limits();
        let counters = &self.shared.counters;
        let Some(_open) = Open::within(&self.shared.bound.open, limits.connections, counters) else {
            counters.refused_connections.add(1);
            if stream.get_ssl_digest().is_none() {
                let _ = timeout(std::time::Duration::from_secs(1), stream.write_all(FULL)).await;
                let _ = stream.flush().await;
            }
            return None;
        };
        let mut app = &self.h1;
        if self.shared.bound.h2c && stream.get_ssl_digest().is_none() {
            // Three bytes tell: no method of HTTP/1 begins so.
            match timeout(limits.header_timeout, begins_h2(&mut stream)).await {
                Ok(Ok(true)) => app = &self.h2c,
                Ok(Ok(false)) => {}
                Ok(Err(_)) | Err(_) => return None,
            }
        }
        app.process_new(stream, shutdown).await
    }
}

async fn begins_h2(stream: &mut Stream) -> std::io::Result<bool> {
    let mut start = [0; 3];
    if !stream.try_peek(&mut start).await? || !PREFACE.starts_with(&start) {
        return Ok(false);
    }
    let mut all = [0; PREFACE.len()];
    Ok(stream.try_peek(&mut all).await? && all == *PREFACE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_of_a_connection_is_well_framed() {
        let text = std::str::from_utf8(FULL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
        let json: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(json["error"]["code"], weir_message::ErrorCode::Overloaded.id());
    }
}
