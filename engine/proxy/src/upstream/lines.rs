//! Connections to providers: taken from the pool, opened, given back.

use super::held::Held;
use super::site::Peer;
use super::spare::IDLE;
use crate::patience::Patience;
use pingora::connectors::http::v2;
use pingora::connectors::{ConnectorOptions, TransportConnector};
use pingora::listeners::ALPN;
use pingora::prelude::timeout;
use pingora::protocols::Stream;
use pingora::protocols::http::client::HttpSession;
use pingora::protocols::http::v1::client::HttpSession as Http1;
use std::sync::Arc;
use std::time::Duration;

/// The connections that share one set of trusted certificates. Those of HTTP/1 that are free are kept beside their
/// [`Peer`]; those of HTTP/2 here.
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
    pub(crate) async fn free(&self, peer: &Peer, limit: Duration) -> Option<(Box<HttpSession>, Patience)> {
        let alpn = &peer.http.options.alpn;
        if *alpn != ALPN::H1 {
            // Its future is large and not everyone's.
            let reused = Box::pin(timeout(limit, self.http2.reused_http_session(&peer.http)));
            if let Ok(Ok(Some(stream))) = reused.await {
                return Some((Box::new(HttpSession::H2(stream)), Patience::default()));
            }
        }
        if *alpn == ALPN::H2 {
            return None;
        }
        let (line, patience) = peer.spare.take()?;
        Some((http1(line, peer), patience))
    }

    /// A new connection to a peer.
    pub(crate) async fn open(&self, peer: &Peer) -> pingora::Result<Box<HttpSession>> {
        let line = match peer.http.options.alpn {
            ALPN::H1 => self.http1.new_stream(&peer.http).await?,
            _ => match self.http2.new_http_session(&peer.http).await? {
                HttpSession::H1(session) => session.into_inner(),
                session => return Ok(Box::new(session)),
            },
        };
        Ok(http1(Box::new(Held::new(line)), peer))
    }

    /// Takes a connection back whose reply was read to its end. An HTTP/1 one is closed unless it can be used again.
    pub(crate) async fn release(&self, session: Box<HttpSession>, patience: Patience, peer: &Arc<Peer>) {
        match *session {
            HttpSession::H1(mut session) => {
                session.respect_keepalive();
                if let Some(line) = session.reuse().await {
                    peer.spare.keep(line, patience, peer);
                }
            }
            session => self.reset(session, peer),
        }
    }

    /// Gives an attempt up: an HTTP/1 connection is closed; of an HTTP/2 one the stream is reset if it has not ended, and the
    /// connection counted as free for others.
    pub(crate) fn reset(&self, session: HttpSession, peer: &Peer) {
        if let HttpSession::H2(stream) = session {
            self.http2.release_http_session(stream, &peer.http, Some(IDLE));
        }
    }
}

fn http1(line: Stream, peer: &Peer) -> Box<HttpSession> {
    Box::new(HttpSession::H1(Http1::new_with_options(line, &peer.http)))
}
