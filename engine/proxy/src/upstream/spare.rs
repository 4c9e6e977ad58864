//! The HTTP/1 connections to one address that are free.
//!
//! The last one that came back is taken first: it is the least likely to have been closed by the other side, and those that a
//! lull leaves over age and go. Pingora's pool watches each free connection by a task of its own; here one task sweeps them
//! now and then, and whoever takes one asks whether it still lives, which costs no system call.
//!
//! Each thread has a shelf of its own and looks at the others' only where that is empty. Nobody but the sweep waits for a shelf:
//! one that somebody else is at is passed by.

use super::site::Peer;
use crate::patience::Patience;
use pingora::protocols::Stream;
use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, sleep};

/// How long a connection is kept free. Below what servers usually keep, so that theirs seldom close first.
pub(crate) const IDLE: Duration = Duration::from_secs(50);
/// How many shelves there are for an address.
const SHELVES: usize = 8;
/// How many connections a shelf holds.
const MOST: usize = 1024;
/// How often those that aged or were closed are looked for.
const SWEEP: Duration = Duration::from_secs(5);

/// What is free.
#[derive(Default)]
pub(crate) struct Spare {
    /// Each with the longest free first.
    shelves: [Mutex<VecDeque<Line>>; SHELVES],
    /// Whether a task sweeps them.
    is_swept: AtomicBool,
}

struct Line {
    stream: Stream,
    patience: Patience,
    since: Instant,
}

impl Spare {
    /// A connection that is still open, if there is one.
    pub(crate) fn take(&self) -> Option<(Stream, Patience)> {
        loop {
            // The shelf is free again while the connection is looked at or closed.
            let mut line = self.at_a_shelf(VecDeque::pop_back)?;
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
        let mut line = Some(Line { stream, patience, since: Instant::now() });
        let too_many = self.at_a_shelf(|lines| {
            let first = if lines.len() < MOST { None } else { lines.pop_front() };
            lines.extend(line.take());
            Some(first)
        });
        drop(too_many);
        if !self.is_swept.swap(true, Ordering::SeqCst) {
            tokio::spawn(sweep(Arc::downgrade(peer)));
        }
    }

    /// Does something at the first shelf at which nobody is and where it comes to anything, this thread's own before others.
    fn at_a_shelf<T>(&self, mut act: impl FnMut(&mut VecDeque<Line>) -> Option<T>) -> Option<T> {
        let shelves = self.shelves.iter().cycle().skip(own_shelf()).take(SHELVES);
        for shelf in shelves {
            let mut lines = match shelf.try_lock() {
                Ok(lines) => lines,
                Err(TryLockError::Poisoned(lines)) => lines.into_inner(),
                Err(TryLockError::WouldBlock) => continue,
            };
            if let done @ Some(_) = act(&mut lines) {
                return done;
            }
        }
        None
    }

    /// Drops what aged or was closed; how many are left.
    fn sweep(&self) -> usize {
        let sweep = |shelf: &Mutex<VecDeque<Line>>| {
            let mut lines = shelf.lock().unwrap_or_else(PoisonError::into_inner);
            lines.retain_mut(|line| line.since.elapsed() < IDLE && is_quiet(&mut line.stream));
            lines.len()
        };
        self.shelves.iter().map(sweep).sum()
    }
}

/// Which shelf is this thread's.
fn own_shelf() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: usize = THREADS.fetch_add(1, Ordering::Relaxed) % SHELVES;
    }
    OWN.with(|own| *own)
}

/// Sweeps until none is left.
async fn sweep(peer: Weak<Peer>) {
    loop {
        sleep(SWEEP).await;
        let Some(peer) = peer.upgrade() else { return };
        if peer.spare.sweep() > 0 {
            continue;
        }
        peer.spare.is_swept.store(false, Ordering::SeqCst);
        // One may have come back in between, and found that somebody sweeps.
        if peer.spare.sweep() == 0 || peer.spare.is_swept.swap(true, Ordering::SeqCst) {
            return;
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
        assert!(peer.spare.is_swept.load(Ordering::SeqCst));
        sleep(IDLE).await;
        assert_eq!(young.read(&mut [0]).await.expect("an end"), 0, "it aged");
        assert!(!peer.spare.is_swept.load(Ordering::SeqCst));
        let mut next = kept(&peer);
        advance(IDLE).await;
        sleep(SWEEP).await;
        assert_eq!(next.read(&mut [0]).await.expect("an end"), 0, "another sweeps");
    }

    #[tokio::test]
    async fn what_another_thread_left_is_found_unless_somebody_is_at_it() {
        let peer = peer();
        let (line, _other) = duplex(64);
        let there = Arc::clone(&peer);
        let runtime = tokio::runtime::Handle::current();
        let left = std::thread::spawn(move || {
            let _inside = runtime.enter();
            there.spare.keep(Box::new(line), Patience::default(), &there);
        });
        left.join().expect("it is kept");
        let at_all: Vec<_> = peer.spare.shelves.iter().map(|shelf| shelf.lock()).collect();
        assert!(peer.spare.take().is_none(), "nobody waits for a shelf");
        drop(at_all);
        assert!(peer.spare.take().is_some());
    }

    #[tokio::test]
    async fn no_more_than_the_most_are_kept() {
        let peer = peer();
        let mut first = kept(&peer);
        let others: Vec<_> = (0..MOST).map(|_| kept(&peer)).collect();
        assert_eq!(first.read(&mut [0]).await.expect("an end"), 0, "the longest free makes room");
        assert_eq!(peer.spare.sweep(), others.len());
    }
}
