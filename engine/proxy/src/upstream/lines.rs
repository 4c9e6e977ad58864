//! Connections to providers: taken from the pool, opened, given back.

use super::held::Held;
use pingora::connectors::http::v2;
use pingora::connectors::{ConnectorOptions, TransportConnector};
use pingora::listeners::ALPN;
use pingora::prelude::timeout;
use pingora::protocols::http::client::HttpSession;
use pingora::protocols::http::v1::client::HttpSession as Http1;
use pingora::upstreams::peer::{HttpPeer, Peer};
use std::time::Duration;

/// How long an idle connection is kept. Below what servers usually keep, so that theirs seldom close first.
const IDLE: Duration = Duration::from_secs(50);

/// The connections that share one set of trusted certificates, and the pools of those that are free.
pub(crate) struct Lines {
    http1: TransportConnector,
    http2: v2::Connector,
}

impl Lines {
    pub(crate) fn new(options: ConnectorOptions) -> Self {
        Self {
            http1: TransportConnector::new(Some(options.clone())),
            http2: v2::Connector::new(Some(options)),
        }
    }

    /// A free connection to a peer, if there is one. One of HTTP/2 may take up to `limit` until it has room for a stream.
    pub(crate) async fn free(&self, peer: &HttpPeer, limit: Duration) -> Option<HttpSession> {
        if peer.options.alpn != ALPN::H1
            && let Ok(Ok(Some(stream))) = timeout(limit, self.http2.reused_http_session(peer)).await
        {
            return Some(HttpSession::H2(stream));
        }
        if peer.options.alpn == ALPN::H2 {
            return None;
        }
        let line = self.http1.reused_stream(peer).await?;
        Some(HttpSession::H1(Http1::new_with_options(line, peer)))
    }

    /// A new connection to a peer.
    pub(crate) async fn open(&self, peer: &HttpPeer) -> pingora::Result<HttpSession> {
        let line = match peer.options.alpn {
            ALPN::H1 => self.http1.new_stream(peer).await?,
            _ => match self.http2.new_http_session(peer).await? {
                HttpSession::H1(session) => session.into_inner(),
                session => return Ok(session),
            },
        };
        Ok(HttpSession::H1(Http1::new_with_options(Box::new(Held::new(line)), peer)))
    }

    /// Takes a connection back whose reply was read to its end. An HTTP/1 one is closed unless it can be used again.
    pub(crate) async fn release(&self, session: HttpSession, peer: &HttpPeer) {
        match session {
            HttpSession::H1(mut session) => {
                session.respect_keepalive();
                if let Some(line) = session.reuse().await {
                    self.http1.release_stream(line, peer.reuse_hash(), Some(IDLE));
                }
            }
            session => self.reset(session, peer),
        }
    }

    /// Gives an attempt up: an HTTP/1 connection is closed; of an HTTP/2 one the stream is reset if it has not ended, and the
    /// connection counted as free for others.
    pub(crate) fn reset(&self, session: HttpSession, peer: &HttpPeer) {
        if let HttpSession::H2(stream) = session {
            self.http2.release_http_session(stream, peer, Some(IDLE));
        }
    }
}
