//! Breakers open, probe and close as told.

use super::*;
use std::thread;

const SETTINGS: BreakerSettings =
    BreakerSettings { consecutive: 3, rate: None, cool_down: Duration::from_secs(10) };

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn open(seconds: u64) -> Permit {
    Permit::Open { retry_after: at(seconds) }
}

enum Step {
    Ok,
    Fail,
    Cool(u64),
    Asks(Permit),
}
use Step::{Asks, Cool, Fail, Ok};

fn walk(note: &str, settings: &BreakerSettings, steps: &[(u64, Step)]) {
    let breaker = Breaker::default();
    for (index, (now, step)) in steps.iter().enumerate() {
        match step {
            Ok => breaker.succeeded(settings, at(*now)),
            Fail => breaker.failed(settings, at(*now)),
            Cool(seconds) => breaker.cool(at(*seconds), at(*now)),
            Asks(want) => assert_eq!(breaker.allows(settings, at(*now)), *want, "{note}: step {index}"),
        }
    }
}

#[test]
fn follows_the_failures_of_its_target() {
    let closed = || Asks(Permit::Closed);
    let probe = || Asks(Permit::Probe);
    walk(
        "opens after failures in a row",
        &SETTINGS,
        &[(0, Fail), (0, Fail), (0, closed()), (1, Fail), (1, Asks(open(10))), (5, Asks(open(6)))],
    );
    walk(
        "a success between starts anew",
        &SETTINGS,
        &[(0, Fail), (0, Fail), (0, Ok), (0, Fail), (0, Fail), (0, closed())],
    );
    walk(
        "one probe at a time, and a success closes",
        &SETTINGS,
        &[
            (0, Fail),
            (0, Fail),
            (0, Fail),
            (10, probe()),
            (10, Asks(open(10))),
            (12, Ok),
            (12, closed()),
            (12, closed()),
        ],
    );
    walk(
        "a failed probe opens again",
        &SETTINGS,
        &[(0, Fail), (0, Fail), (0, Fail), (10, probe()), (15, Fail), (16, Asks(open(9))), (25, probe())],
    );
    walk(
        "a probe that never comes back lets another go",
        &SETTINGS,
        &[(0, Fail), (0, Fail), (0, Fail), (10, probe()), (19, Asks(open(1))), (20, probe())],
    );
    walk(
        "a target's own wish is kept, and is no failure",
        &SETTINGS,
        &[(0, Cool(30)), (1, Asks(open(29))), (2, Cool(5)), (7, Asks(open(23))), (30, closed())],
    );
    walk(
        "zero in a row means never",
        &BreakerSettings { consecutive: 0, ..SETTINGS },
        &[(0, Fail), (0, Fail), (0, Fail), (0, Fail), (0, closed())],
    );
}

#[test]
fn opens_at_a_rate_of_failures_within_one_window() {
    let rate = FailureRate { share: 0.5, attempts: 4, window: at(10) };
    let settings = BreakerSettings { consecutive: 0, rate: Some(rate), ..SETTINGS };
    let closed = || Asks(Permit::Closed);
    walk(
        "half of four",
        &settings,
        &[(0, Ok), (0, Fail), (1, Ok), (1, closed()), (2, Fail), (2, Asks(open(10)))],
    );
    walk("too few attempts", &settings, &[(0, Fail), (0, Fail), (0, Fail), (0, closed())]);
    walk(
        "spread over two windows",
        &settings,
        &[(8, Fail), (9, Fail), (9, Fail), (10, Fail), (11, Fail), (11, closed())],
    );
    walk(
        "closing forgets the window",
        &settings,
        &[
            (0, Fail),
            (0, Fail),
            (0, Fail),
            (0, Fail),
            (10, Asks(Permit::Probe)),
            (10, Ok),
            (10, Fail),
            (10, closed()),
        ],
    );
}

#[test]
fn of_many_threads_one_gets_the_probe() {
    for _ in 0..50 {
        let breaker = Breaker::default();
        (0..3).for_each(|_| breaker.failed(&SETTINGS, at(0)));
        let probes = AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    if breaker.allows(&SETTINGS, at(10)) == Permit::Probe {
                        probes.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(probes.into_inner(), 1);
    }
}

#[test]
fn targets_have_breakers_of_their_own_that_outlive_plans() {
    let breakers = Breakers::new();
    (0..3).for_each(|_| breakers.target("openai/gpt-5").failed(&SETTINGS, at(0)));
    assert!(!breakers.target("openai/gpt-5").allows(&SETTINGS, at(1)).allows());
    assert!(breakers.target("lab/qwen3").allows(&SETTINGS, at(1)).allows());
    assert_eq!(breakers.open(at(1)), [("openai/gpt-5".to_owned(), at(9))]);
    assert!(breakers.open(at(10)).is_empty());
}

#[test]
fn breakers_that_nobody_holds_are_dropped_once_there_are_many() {
    let breakers = Breakers::new();
    let held = breakers.target("p/kept");
    held.failed(&BreakerSettings { consecutive: 1, ..SETTINGS }, at(0));
    for n in 0..3 * SWEEP_FROM {
        breakers.target(&format!("p/{n}"));
    }
    assert!(breakers.len() <= SWEEP_FROM);
    assert_eq!(breakers.target("p/kept").allows(&SETTINGS, at(1)), open(9));
}
