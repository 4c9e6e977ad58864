//! Permits hold among gateways on a real server.

use super::super::{Admission, Admitted, Permits};
use crate::Space;
use crate::redis::Redis;
use crate::redis::server::Server;
use futures::executor::block_on;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

struct GatewayHere {
    permits: Arc<Permits>,
    _redis: Redis,
}

fn gateway(server: &Server) -> GatewayHere {
    let (permits, redis) = (Arc::new(Permits::new()), Redis::open(&server.settings()).unwrap());
    permits.share(redis.permits(), redis.runtime());
    GatewayHere { permits, _redis: redis }
}

fn ask(gateway: &GatewayHere, limit: u64, queue: usize) -> Option<Admitted> {
    match gateway.permits.ask(Space::Live, "m", "s", limit, queue) {
        Admission::Granted(permit) => Some(permit),
        Admission::Queued(queued) => block_on(queued),
        Admission::Refused => None,
    }
}

#[test]
fn no_more_than_the_limit_are_out_over_all_gateways() {
    let server = Server::start();
    let (one, two) = (gateway(&server), gateway(&server));
    let mut held: Vec<_> = [&one, &two, &one].map(|gateway| ask(gateway, 3, 0).unwrap()).into();
    assert!(ask(&one, 3, 0).is_none() && ask(&two, 3, 0).is_none());
    assert!(ask(&two, 4, 0).is_some(), "a raised limit finds the permits that are out");
    held.clear();
    // What one gives back another can have.
    let all: Vec<_> = std::iter::repeat_with(|| ask(&two, 3, 9).unwrap()).take(3).collect();
    assert!(ask(&one, 3, 0).is_none());
    drop(all);
}

#[test]
fn who_waits_in_one_gateway_gets_what_another_gives_back() {
    let server = Server::start();
    let gateways = [gateway(&server), gateway(&server), gateway(&server)];
    let (now, most, served) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for n in 0..12 {
            let (gateway, now, most, served) = (&gateways[n % 3], &now, &most, &served);
            scope.spawn(move || {
                for _ in 0..10 {
                    let permit = ask(gateway, 4, 100).unwrap();
                    most.fetch_max(now.fetch_add(1, Ordering::AcqRel) + 1, Ordering::AcqRel);
                    thread::yield_now();
                    now.fetch_sub(1, Ordering::AcqRel);
                    served.fetch_add(1, Ordering::Relaxed);
                    drop(permit);
                }
            });
        }
    });
    assert!(most.into_inner() <= 4);
    assert_eq!(served.into_inner(), 120);
}

#[test]
fn while_the_store_is_away_each_gateway_has_the_limit_for_itself() {
    let mut server = Server::start();
    let (one, two) = (gateway(&server), gateway(&server));
    let held = ask(&one, 2, 0).unwrap();
    assert!(held.unconfirmed.is_none());
    server.kill();
    let second = ask(&one, 2, 0).unwrap();
    assert!(second.unconfirmed.is_some());
    assert!(ask(&one, 2, 0).is_none(), "the limit holds here");
    let others = [ask(&two, 2, 0).unwrap(), ask(&two, 2, 0).unwrap()];
    assert!(others.iter().all(|permit| permit.unconfirmed.is_some()) && ask(&two, 2, 0).is_none());
    drop(others);
    server.restart();
    // It tells what it has out, by itself.
    while ask(&two, 2, 0).is_some() {
        thread::yield_now();
    }
    drop((held, second));
    while ask(&two, 2, 0).is_none() {
        thread::yield_now();
    }
}
