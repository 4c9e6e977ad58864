//! Entries age, weigh and go; equal misses become one.

use super::*;
use std::future::Future;
use std::pin::pin;
use std::sync::Barrier;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

const TTL: Duration = Duration::from_secs(10);
const TENANT: [u8; 32] = [1; 32];

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn key(n: u64) -> [u8; 32] {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&n.to_le_bytes());
    key
}

fn cache() -> ExactCache<&'static str> {
    ExactCache::new(1 << 20)
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

fn lead<E: Send + Sync + 'static>(claim: Claim<E>) -> LeadGuard<E> {
    match claim {
        Claim::Lead(guard) => guard,
        Claim::Hit(_) => panic!("a hit"),
        Claim::Wait(_) => panic!("a wait"),
    }
}

fn wait<E: Send + Sync + 'static>(claim: Claim<E>) -> Waiting<E> {
    match claim {
        Claim::Wait(waiting) => waiting,
        Claim::Hit(_) => panic!("a hit"),
        Claim::Lead(_) => panic!("a lead"),
    }
}

#[test]
fn finds_what_was_stored_until_it_is_too_old() {
    let cache = cache();
    lead(cache.claim(&key(1), at(0))).store(TENANT, Arc::new("yes"), 3, TTL, at(5));
    for (now, found) in [(5, true), (14, true), (15, false), (99, false)] {
        assert_eq!(cache.get(&key(1), at(now)).is_some(), found, "at {now}");
    }
    assert!(cache.get(&key(2), at(5)).is_none());
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.stored, stats.entries), (2, 4, 1, 0));
}

#[test]
fn holds_no_more_bytes_than_told_and_keeps_what_was_used_last() {
    let cache: ExactCache<&str> = ExactCache::new(10 * 1256);
    for n in 0..30 {
        cache.store(key(n), TENANT, Arc::new("x"), 1000, at(10));
        cache.stats(); // lets it settle, so that the order of uses is the one written here
        cache.get(&key(0), at(0));
    }
    let stats = cache.stats();
    assert!(stats.bytes <= 10 * 1256 && stats.entries == 10, "{stats:?}");
    assert!(cache.get(&key(0), at(0)).is_some() && cache.get(&key(29), at(0)).is_some());
    assert!(cache.get(&key(1), at(0)).is_none());
    cache.store(key(99), TENANT, Arc::new("huge"), 1 << 20, at(10));
    assert!(cache.stats().bytes <= 10 * 1256);
}

#[test]
fn purges_one_partition_or_all() {
    let cache = cache();
    for n in 0..6 {
        cache.store(key(n), if n < 2 { TENANT } else { [2; 32] }, Arc::new("x"), 1, at(10));
    }
    assert_eq!(cache.purge_partition(&TENANT), 2);
    assert!(cache.get(&key(0), at(0)).is_none() && cache.get(&key(2), at(0)).is_some());
    assert_eq!((cache.purge(), cache.purge(), cache.stats().entries), (4, 0, 0));
}

#[test]
fn those_who_wait_get_what_the_leader_stores() {
    let cache = cache();
    let guard = lead(cache.claim(&key(1), at(0)));
    let waiting = wait(cache.claim(&key(1), at(0)));
    drop(lead(cache.claim(&key(2), at(0)))); // another question does not wait
    guard.store(TENANT, Arc::new("yes"), 3, TTL, at(0));
    assert_eq!(block_on(waiting).as_deref(), Some(&"yes"));
    assert!(matches!(cache.claim(&key(1), at(0)), Claim::Hit(_)));
}

#[test]
fn those_who_wait_contend_anew_when_the_leader_leaves() {
    let cache = cache();
    let guard = lead(cache.claim(&key(1), at(0)));
    let (first, second) = (wait(cache.claim(&key(1), at(0))), wait(cache.claim(&key(1), at(0))));
    drop(guard);
    assert_eq!((block_on(first), block_on(second)), (None, None));
    let _next = lead(cache.claim(&key(1), at(0)));
    wait(cache.claim(&key(1), at(0)));
}

#[test]
fn one_who_stops_waiting_is_forgotten_and_the_others_are_woken() {
    let cache = cache();
    let guard = lead(cache.claim(&key(1), at(0)));
    let mut stays = pin!(wait(cache.claim(&key(1), at(0))));
    let mut context = Context::from_waker(Waker::noop());
    {
        let mut leaves = pin!(wait(cache.claim(&key(1), at(0))));
        assert!(leaves.as_mut().poll(&mut context).is_pending());
        assert!(stays.as_mut().poll(&mut context).is_pending());
    }
    guard.store(TENANT, Arc::new("yes"), 3, TTL, at(0));
    assert!(stays.as_mut().poll(&mut context).is_ready());
}

#[test]
fn of_many_threads_with_one_question_one_asks() {
    let cache: ExactCache<u64> = ExactCache::new(1 << 20);
    let asked = AtomicUsize::new(0);
    let start = Barrier::new(8);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for n in 0..500 {
                    start.wait();
                    let answer = match cache.claim(&key(n), at(0)) {
                        Claim::Hit(answer) => Some(answer),
                        Claim::Wait(waiting) => block_on(waiting),
                        Claim::Lead(guard) => {
                            asked.fetch_add(1, Ordering::Relaxed);
                            guard.store(TENANT, Arc::new(n), 8, TTL, at(0));
                            Some(Arc::new(n))
                        }
                    };
                    assert_eq!(answer.as_deref(), Some(&n));
                }
            });
        }
    });
    assert_eq!(asked.into_inner(), 500);
}
