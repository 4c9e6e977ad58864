//! An HTTP/1 connection that sends when its writer waits.
//!
//! The client underneath flushes a request's head before it writes the body. A system call, a packet and a wake-up of the
//! provider each; held back until the answer is awaited, both leave as one.

use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream,
    TimingDigest, UniqueID, UniqueIDType,
};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much is held back, in bytes. What is larger is not copied: it leaves together with what is held.
const ROOM: usize = 8 * 1024;

/// A connection that holds back what is written until a read or the shutdown, or until it is much.
#[derive(Debug)]
pub(crate) struct Held {
    line: Stream,
    held: BytesMut,
    /// Whether something was written that may not have left yet.
    is_owing: bool,
}

impl Held {
    /// Holds back what is written to `line`.
    pub(crate) fn new(line: Stream) -> Self {
        Self { line, held: BytesMut::new(), is_owing: false }
    }

    /// Sends what is held back, and `more` with it; how much of `more` has left.
    fn poll_send(&mut self, cx: &mut Context<'_>, more: &[u8]) -> Poll<io::Result<usize>> {
        while !self.held.is_empty() {
            let both = [IoSlice::new(&self.held), IoSlice::new(more)];
            let sent = ready!(Pin::new(&mut self.line).poll_write_vectored(cx, &both))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_held = sent.min(self.held.len());
            self.held.advance(of_held);
            if sent > of_held {
                return Poll::Ready(Ok(sent - of_held));
            }
        }
        if more.is_empty() { Poll::Ready(Ok(0)) } else { Pin::new(&mut self.line).poll_write(cx, more) }
    }

    /// Sends all that is owed.
    fn poll_settle(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx, &[]))?;
        ready!(Pin::new(&mut self.line).poll_flush(cx))?;
        self.is_owing = false;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Held {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let held = self.get_mut();
        held.is_owing = true;
        if held.held.len() + bytes.len() > ROOM {
            return held.poll_send(cx, bytes);
        }
        held.held.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    /// Done at once: what is held leaves before the answer is read.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_owing {
            ready!(self.poll_settle(cx))?;
        }
        Pin::new(&mut self.line).poll_shutdown(cx)
    }
}

impl AsyncRead for Held {
    /// Sends what is owed, and reads. A peer that answers before it has taken everything is heard.
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.is_owing {
            return Pin::new(&mut self.line).poll_read(cx, buffer);
        }
        let settled = self.poll_settle(cx);
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.line).poll_read(cx, buffer);
        match (settled, read) {
            (_, Poll::Ready(Ok(()))) if buffer.filled().len() > before => Poll::Ready(Ok(())),
            // Nothing came, and nothing will: why it could not be sent says more than that there is no answer.
            (Poll::Ready(Err(error)), _) => Poll::Ready(Err(error)),
            (_, read) => read,
        }
    }
}

#[async_trait]
impl Shutdown for Held {
    async fn shutdown(&mut self) {
        // What did not leave yet is of no use to a peer that is given up.
        self.held.clear();
        self.line.shutdown().await;
    }
}

impl UniqueID for Held {
    fn id(&self) -> UniqueIDType {
        self.line.id()
    }
}

impl Ssl for Held {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.line.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.line.selected_alpn_proto()
    }
}

// Nobody asks when and where to a provider's connection was opened: no list is made of it for every request.

impl GetTimingDigest for Held {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Held {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Held {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        None
    }
}

impl Peek for Held {}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    fn pair(capacity: usize) -> (Held, DuplexStream) {
        let (line, peer) = duplex(capacity);
        (Held::new(Box::new(line)), peer)
    }

    /// What has arrived so far.
    fn arrived(peer: &mut DuplexStream) -> Vec<u8> {
        let mut out = vec![0; 64 * 1024];
        let n = peer.read(&mut out).now_or_never().map_or(0, Result::unwrap);
        out.truncate(n);
        out
    }

    #[tokio::test]
    async fn what_is_written_leaves_when_the_answer_is_awaited() {
        let (mut held, mut peer) = pair(1024);
        held.write_all(b"head ").await.unwrap();
        held.flush().await.unwrap();
        held.write_all(b"body").await.unwrap();
        held.flush().await.unwrap();
        assert!(arrived(&mut peer).is_empty(), "nobody waits yet");
        let mut answer = [0; 2];
        assert!(held.read_exact(&mut answer).now_or_never().is_none());
        assert_eq!(arrived(&mut peer), b"head body");
        peer.write_all(b"ok").await.unwrap();
        held.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"ok");
    }

    #[tokio::test]
    async fn what_is_large_leaves_at_once_behind_what_is_held() {
        let large: Vec<u8> = (0..ROOM * 3).map(|n| u8::try_from(n % 251).unwrap()).collect();
        // A line that takes little at a time, so that every write is a part of one.
        for capacity in [7, 1000, ROOM, ROOM * 8] {
            let (mut held, mut peer) = pair(capacity);
            let (sent, want) = (large.clone(), [b"head", &*large, b"tail"].concat());
            let writer = tokio::spawn(async move {
                held.write_all(b"head").await.unwrap();
                held.write_all(&sent).await.unwrap();
                held.write_all(b"tail").await.unwrap();
                let mut answer = [0; 2];
                held.read_exact(&mut answer).await.unwrap();
                answer
            });
            let mut got = vec![0; want.len()];
            peer.read_exact(&mut got).await.unwrap();
            assert_eq!(got, want, "{capacity}");
            peer.write_all(b"ok").await.unwrap();
            assert_eq!(&writer.await.unwrap(), b"ok");
        }
    }

    #[tokio::test]
    async fn an_answer_is_heard_before_all_is_taken() {
        let (mut held, mut peer) = pair(4);
        held.write_all(b"more than it takes").await.unwrap();
        peer.write_all(b"no").await.unwrap();
        let mut answer = [0; 2];
        held.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"no");
        assert_eq!(arrived(&mut peer), b"more");
    }

    #[tokio::test]
    async fn a_peer_that_left_is_an_error() {
        let (mut held, peer) = pair(64);
        held.write_all(b"head").await.unwrap();
        drop(peer);
        let error = held.read(&mut [0; 2]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn shutdown_sends_what_is_owed() {
        let (mut held, mut peer) = pair(64);
        held.write_all(b"bye").await.unwrap();
        AsyncWriteExt::shutdown(&mut held).await.unwrap();
        let mut got = Vec::new();
        peer.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"bye");
    }
}
