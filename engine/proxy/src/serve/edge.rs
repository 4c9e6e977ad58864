//! What happens to a connection before its first request: it is counted, limited, and its HTTP version found out.

use super::app::{App, Shared};
use crate::counters::Open;
use async_trait::async_trait;
use pingora::apps::{HttpServerOptions, ServerApp};
use pingora::prelude::timeout;
use pingora::protocols::Stream;
use pingora::server::ShutdownWatch;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use uuid::Uuid;
use weir_message::{Dialect, ErrorCode, Fault, Operation, Request};
use weir_pipeline::ResponseBody;

/// How an HTTP/2 connection without TLS begins (RFC 9113 §3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
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

impl Edge {
    /// What a connection over the limit is told, as HTTP/1.1 writes it: no request of it is read.
    fn refusal(&self) -> Vec<u8> {
        let mut fault =
            Fault::new(ErrorCode::Overloaded, "too many connections are open here; come back soon");
        fault.retry_after = Some(Duration::from_secs(1));
        let id = self.h1.fresh_id();
        let mut buffer = Uuid::encode_buffer();
        let id = id.hyphenated().encode_lower(&mut buffer);
        let plan = self.shared.current.plan();
        let request = Request::new(&*id, Dialect::OpenAi, Operation::Http, "");
        let response = weir_pipeline::refuse(&self.shared.gateway, &plan, &request, &fault);
        let ResponseBody::Whole(body) = response.body else { return Vec::new() };
        let mut out = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n".to_vec();
        for (name, value) in &response.headers {
            out.extend_from_slice(name.as_str().as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
        out.extend_from_slice(&body);
        out
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
                let refusal = self.refusal();
                let _ = timeout(Duration::from_secs(1), stream.write_all(&refusal)).await;
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
