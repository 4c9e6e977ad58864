//! Limits hold among gateways on a real server.

use crate::redis::Redis;
use crate::redis::server::Server;
use crate::{Limiter, Meter, MeterKind, Reservation, Space, Taken, Word};
use futures::executor::block_on;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const METER: Meter<'static> = Meter {
    space: Space::Live,
    name: "chat/rate",
    kind: MeterKind::Requests,
    window: MINUTE,
    subject: "alice",
};

/// One gateway, on the time that it is told.
struct GatewayHere {
    limiter: Limiter,
    _redis: Redis,
}

fn gateway(server: &Server) -> GatewayHere {
    let (limiter, redis) = (Limiter::new(), Redis::open(&server.settings()).unwrap());
    limiter.share(redis.rates(false), redis.runtime());
    GatewayHere { limiter, _redis: redis }
}

fn seconds(seconds: u64) -> Duration {
    // From a time on: nothing was ever counted at the beginning of time.
    Duration::from_secs(1_000 + seconds)
}

/// Asks as a guard does.
fn take(
    gateway: &GatewayHere,
    meter: &Meter<'_>,
    amount: u64,
    limit: u64,
    now: Duration,
) -> (Option<Reservation>, Taken) {
    match gateway.limiter.reserve(meter, amount, limit, now) {
        Err(taken) => (None, taken),
        Ok(mut reservation) => match block_on(reservation.word()) {
            Word::Granted(taken) => (Some(reservation), taken),
            Word::Refused(taken) => (None, taken),
            Word::Failed(error) => panic!("{error}"),
        },
    }
}

/// Waits until a gateway reaches the server again.
fn reaches_it(gateway: &GatewayHere) {
    let other = Meter { name: "other", ..METER };
    loop {
        let mut asked = gateway.limiter.reserve(&other, 1, 1_000_000, seconds(1)).unwrap();
        if matches!(block_on(asked.word()), Word::Granted(_)) {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_was_used_anywhere_comes_back_evenly_everywhere() {
    let server = Server::start();
    let gateways = [gateway(&server), gateway(&server)];
    // At (seconds), take (of 60 a minute), allowed?, retry after (seconds): the same as in one process.
    let steps = [
        (0, 60, true, Some(0)),
        (0, 1, false, Some(1)),
        (0, 61, false, None),
        (1, 1, true, Some(0)),
        (10, 10, false, Some(1)),
        (11, 10, true, Some(0)),
        (41, 30, true, Some(0)),
        (41, 30, false, Some(30)),
        (600, 60, true, Some(0)),
        (600, 0, false, Some(0)),
        (601, 0, true, Some(0)),
    ];
    for (n, (at, amount, allowed, retry)) in steps.into_iter().enumerate() {
        let (held, taken) = take(&gateways[n % 2], &METER, amount, 60, seconds(at));
        assert_eq!((held.is_some(), taken.allowed), (allowed, allowed), "{amount} at {at}: {taken:?}");
        assert_eq!(taken.retry_after.map(|after| after.as_secs()), retry, "{amount} at {at}: {taken:?}");
    }
}

#[test]
fn three_gateways_hold_one_limit_within_a_hundredth_at_ten_thousand_checks_a_second() {
    const LIMIT: u64 = 2_000;
    const CHECKS: u64 = 30_000;
    let server = Server::start();
    let gateways = [gateway(&server), gateway(&server), gateway(&server)];
    let meter = Meter { window: Duration::from_secs(1), ..METER };
    let (clock, allowed) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for n in 0..12 {
            let (gateway, clock, allowed) = (&gateways[n % 3], &clock, &allowed);
            scope.spawn(move || {
                loop {
                    let check = clock.fetch_add(1, Ordering::Relaxed);
                    if check >= CHECKS {
                        return;
                    }
                    let now = seconds(0) + Duration::from_micros(100) * u32::try_from(check).unwrap();
                    let (held, _) = take(gateway, &meter, 1, LIMIT, now);
                    allowed.fetch_add(u64::from(held.is_some()), Ordering::Relaxed);
                }
            });
        }
    });
    // All of it at once, and three seconds' worth.
    let (allowed, most) = (allowed.into_inner(), LIMIT * 4);
    assert!(allowed <= most, "{allowed} of {most}");
    assert!(allowed >= most / 100 * 99, "{allowed} of {most}");
}

#[test]
fn what_a_request_came_to_counts_everywhere() {
    let server = Server::start();
    let (one, two) = (gateway(&server), gateway(&server));
    let tokens = Meter { kind: MeterKind::Tokens, ..METER };
    let (reservation, _) = take(&one, &tokens, 100, 1_000, seconds(0));
    reservation.unwrap().settle(1_500, seconds(0));
    while take(&two, &tokens, 0, 1_000, seconds(0)).0.is_some() {
        thread::yield_now();
    }
    // 501 must drain at 1000 a minute.
    assert!(take(&two, &tokens, 1, 1_000, seconds(29)).0.is_none());
    assert!(take(&two, &tokens, 1, 1_000, seconds(31)).0.is_some());
}

#[test]
fn what_one_does_not_use_the_others_can() {
    let server = Server::start();
    let (one, two) = (gateway(&server), gateway(&server));
    // It takes some ahead and gives much back, and then nothing comes.
    for _ in 0..40 {
        assert!(take(&one, &METER, 1, 1_000, seconds(0)).0.is_some());
    }
    let (much, _) = take(&one, &METER, 500, 1_000, seconds(0));
    much.unwrap().settle(0, seconds(0));
    // The other asks for all of it, until it is there.
    let mut at = seconds(0);
    while take(&two, &METER, 960, 1_000, at).0.is_none() {
        // What it heard is old by then; what was given back would take 30 s to drain.
        at += Duration::from_millis(60);
        thread::sleep(Duration::from_millis(10));
        assert!(at < seconds(20), "it was not given back");
    }
}

#[test]
fn while_the_store_is_away_each_counts_for_itself_and_tells_it_afterwards() {
    let mut server = Server::durable();
    let (one, two) = (gateway(&server), gateway(&server));
    assert!(take(&one, &METER, 20, 60, seconds(0)).0.is_some());
    server.kill();
    let mut failed = Vec::new();
    let at = seconds(1);
    // Two that were taken ahead count as used.
    for (amount, fits) in [(30, true), (20, false), (8, true), (5, false)] {
        match one.limiter.reserve(&METER, amount, 60, at) {
            Err(_) => assert!(!fits, "{amount}"),
            Ok(mut reservation) => match block_on(reservation.word()) {
                Word::Failed(_) => {
                    assert!(fits, "{amount}");
                    failed.push(reservation);
                }
                Word::Refused(_) => assert!(!fits, "{amount}"),
                Word::Granted(_) => panic!("nobody was there to grant it"),
            },
        }
    }
    // One of them does not go on after all.
    failed.pop().unwrap().settle(0, at);
    server.restart();
    for gateway in [&one, &two] {
        reaches_it(gateway);
    }
    // 51 are used.
    while let Some(mut held) = take(&two, &METER, 11, 60, at).0 {
        held.settle(0, at);
        // It goes back to the store only when nobody here wants it.
        thread::sleep(Duration::from_millis(150));
    }
    assert!(take(&two, &METER, 8, 60, at + Duration::from_millis(100)).0.is_some());
}
