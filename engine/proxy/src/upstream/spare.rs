//! The HTTP/1 connections to one address that are free.
//!
//! The last one that came back is taken first: it is the least likely to have been closed by the other side, and those that a
//! lull leaves over age and go. Pingora's pool watches each free connection by a task of its own; here one task sweeps them
//! now and then, and whoever takes one asks whether it still lives, which costs no system call.

use super::site::Peer;
use crate::patience::Patience;
use pingora::protocols::Stream;
use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, sleep};

/// How long a connection is kept free. Below what servers usually keep, so that theirs seldom close first.
pub(crate) const IDLE: Duration = Duration::from_secs(50);
/// How many are kept for an address.
const MOST: usize = 1024;
/// How often those that aged or were closed are looked for.
const SWEEP: Duration = Duration::from_secs(5);

/// What is free, the longest free first. The lock is held for a push or a pop, and by the sweep.
#[derive(Default)]
pub(crate) struct Spare(Mutex<Free>);

#[derive(Default)]
struct Free {
    lines: VecDeque<Line>,
    /// Whether a task sweeps them.
    is_swept: bool,
}

struct Line {
    stream: Stream,
    patience: Patience,
    since: Instant,
}

impl Spare {
    fn free(&self) -> MutexGuard<'_, Free> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that is still open, if there is one.
    pub(crate) fn take(&self) -> Option<(Stream, Patience)> {
        loop {
            // Apart, so that the lock is free while the connection is looked at or closed.
            let taken = self.free().lines.pop_back();
            let mut line = taken?;
            if is_quiet(&mut line.stream) {
                return Some((line.stream, line.patience));
            }
        }
    }

    /// Keeps a connection to `peer`, whose spare ones these are. One that was closed, or on which something came unasked, is
    /// dropped.
    pub(crate) fn keep(&self, mut stream: Stream, patience: Patience, peer: &Arc<Peer>) {
        if !is_quiet(&mut stream) {
            return;
        }
        let line = Line { stream, patience, since: Instant::now() };
        let mut free = self.free();
        let too_many = if free.lines.len() < MOST { None } else { free.lines.pop_front() };
        free.lines.push_back(line);
        let is_swept = std::mem::replace(&mut free.is_swept, true);
        drop(free);
        drop(too_many);
        if !is_swept {
            tokio::spawn(sweep(Arc::downgrade(peer)));
        }
    }

    /// Drops what aged or was closed; whether any are left, else nobody sweeps any more.
    fn sweep(&self) -> bool {
        let mut free = self.free();
        free.lines.retain_mut(|line| line.since.elapsed() < IDLE && is_quiet(&mut line.stream));
        free.is_swept = !free.lines.is_empty();
        free.is_swept
    }
}

async fn sweep(peer: Weak<Peer>) {
    loop {
        sleep(SWEEP).await;
        match peer.upgrade() {
            Some(peer) if peer.spare.sweep() => {}
            _ => return,
        }
    }
}

/// Whether nothing has come on a connection, its end included. Asks the system only if it said that there is something to read.
fn is_quiet(stream: &mut Stream) -> bool {
    let mut byte = [0];
    let read = pin!(stream).poll_read(&mut Context::from_waker(Waker::noop()), &mut ReadBuf::new(&mut byte));
    matches!(read, Poll::Pending)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::advance;
    use weir_pipeline::{Endpoint, Http2};

    fn peer() -> Arc<Peer> {
        let endpoint = Endpoint {
            tls: false,
            host: "127.0.0.1".into(),
            port: 9,
            base_path: String::new(),
            ca: None,
            http2: Http2::Never,
        };
        Arc::new(Peer::new(&endpoint, SocketAddr::from(([127, 0, 0, 1], 9))))
    }

    /// Keeps a connection; its other end.
    fn kept(peer: &Arc<Peer>) -> DuplexStream {
        let (line, other) = duplex(64);
        peer.spare.keep(Box::new(line), Patience::default(), peer);
        other
    }

    /// Which of the other ends belongs to the connection that is taken next.
    async fn taken(peer: &Peer, others: &mut [DuplexStream]) -> Option<usize> {
        let (mut line, _) = peer.spare.take()?;
        line.write_all(b"!").await.expect("the other end is there");
        for (n, other) in others.iter_mut().enumerate() {
            let mut byte = [0];
            let mut read = ReadBuf::new(&mut byte);
            let read = pin!(other).poll_read(&mut Context::from_waker(Waker::noop()), &mut read);
            if matches!(read, Poll::Ready(Ok(()))) {
                return Some(n);
            }
        }
        None
    }

    #[tokio::test]
    async fn the_last_that_came_back_is_taken_first() {
        let peer = peer();
        let mut others = [kept(&peer), kept(&peer), kept(&peer)];
        for want in [2, 1, 0] {
            assert_eq!(taken(&peer, &mut others).await, Some(want));
        }
        assert!(peer.spare.take().is_none());
    }

    #[tokio::test]
    async fn what_was_closed_or_spoke_unasked_is_not_used_again() {
        let peer = peer();
        let mut others = [kept(&peer), kept(&peer)];
        let mut spoke = kept(&peer);
        spoke.write_all(b"HTTP/1.1 408 Request Timeout").await.expect("it is open");
        drop(kept(&peer));
        assert_eq!(taken(&peer, &mut others).await, Some(1));
        assert_eq!(spoke.read(&mut [0]).await.expect("an end"), 0, "it is closed");
        let (line, other) = duplex(64);
        drop(other);
        peer.spare.keep(Box::new(line), Patience::default(), &peer);
        assert_eq!(taken(&peer, &mut others).await, Some(0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_aged_is_closed_and_the_sweep_ends_with_the_last() {
        let peer = peer();
        let mut old = kept(&peer);
        sleep(IDLE / 2).await;
        let mut young = kept(&peer);
        sleep(IDLE / 2 + SWEEP).await;
        assert_eq!(old.read(&mut [0]).await.expect("an end"), 0, "it aged");
        assert!(peer.spare.free().is_swept);
        sleep(IDLE).await;
        assert_eq!(young.read(&mut [0]).await.expect("an end"), 0, "it aged");
        assert!(!peer.spare.free().is_swept);
        let mut next = kept(&peer);
        advance(IDLE).await;
        sleep(SWEEP).await;
        assert_eq!(next.read(&mut [0]).await.expect("an end"), 0, "another sweeps");
    }

    #[tokio::test]
    async fn no_more_than_the_most_are_kept() {
        let peer = peer();
        let mut first = kept(&peer);
        let others: Vec<_> = (0..MOST).map(|_| kept(&peer)).collect();
        assert_eq!(first.read(&mut [0]).await.expect("an end"), 0, "the longest free makes room");
        assert_eq!(peer.spare.free().lines.len(), others.len());
    }
}
