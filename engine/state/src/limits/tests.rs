//! Limits hold under races and drain as told.

use super::*;
use proptest::prelude::*;
use std::sync::atomic::AtomicU64;
use std::thread;

const MINUTE: Duration = Duration::from_secs(60);
const METER: Meter<'static> = Meter {
    space: Space::Live,
    name: "chat/rate",
    kind: MeterKind::Requests,
    window: MINUTE,
    subject: "alice",
};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn what_was_used_comes_back_evenly() {
    let limiter = Limiter::new();
    // At (seconds), take (of 60 a minute), allowed?, left, retry after (seconds).
    let steps = [
        (0, 60, true, 0, Some(0)),
        (0, 1, false, 0, Some(1)),
        (0, 61, false, 0, None),
        (1, 1, true, 0, Some(0)),
        (10, 10, false, 9, Some(1)),
        (11, 10, true, 0, Some(0)),
        (41, 1, true, 29, Some(0)),
        (41, 30, false, 29, Some(1)),
        (600, 60, true, 0, Some(0)),
        (600, 0, false, 0, Some(0)),
        (601, 0, true, 1, Some(0)),
    ];
    for (at, amount, allowed, remaining, retry) in steps {
        let taken = limiter.take(&METER, amount, 60, seconds(at));
        assert_eq!((taken.allowed, taken.remaining), (allowed, remaining), "{amount} at {at}: {taken:?}");
        assert_eq!(taken.retry_after.map(|after| after.as_secs()), retry, "{amount} at {at}: {taken:?}");
    }
}

#[test]
fn tells_when_all_is_there_again() {
    let limiter = Limiter::new();
    assert_eq!(limiter.take(&METER, 15, 60, seconds(5)).reset_after, seconds(15));
    assert_eq!(limiter.peek(&METER, 0, 60, seconds(10)).reset_after, seconds(10));
    assert_eq!(limiter.peek(&METER, 0, 60, seconds(99)).reset_after, Duration::ZERO);
}

#[test]
fn peeking_uses_nothing() {
    let limiter = Limiter::new();
    for _ in 0..3 {
        let peeked = limiter.peek(&METER, 60, 60, seconds(0));
        assert_eq!((peeked.allowed, peeked.remaining), (true, 60));
    }
    assert_eq!(limiter.subjects(), 0);
}

#[test]
fn meters_that_differ_in_anything_count_apart() {
    let limiter = Limiter::new();
    let others = [
        METER,
        Meter { name: "other", ..METER },
        Meter { kind: MeterKind::Tokens, ..METER },
        Meter { window: seconds(1), ..METER },
        Meter { subject: "bob", ..METER },
    ];
    for meter in &others {
        assert!(limiter.take(meter, 1, 1, seconds(0)).allowed, "{meter:?}");
        assert!(!limiter.take(meter, 1, 1, seconds(0)).allowed, "{meter:?}");
    }
}

#[test]
fn nothing_passes_a_limit_of_zero() {
    let taken = Limiter::new().take(&METER, 1, 0, seconds(0));
    assert_eq!((taken.allowed, taken.retry_after), (false, None));
}

#[test]
fn a_changed_limit_keeps_the_count() {
    for (next, remaining) in [(100, 50), (60, 10), (50, 0), (40, 0), (1_000_000, 999_950)] {
        for now in [seconds(0), seconds(1_000_003)] {
            let limiter = Limiter::new();
            assert!(limiter.take(&METER, 50, 60, now).allowed);
            assert_eq!(limiter.peek(&METER, 0, next, now).remaining, remaining, "{next}");
            assert_eq!(limiter.take(&METER, 1, next, now).allowed, remaining > 0, "{next}");
        }
    }
}

#[test]
fn a_lowered_limit_drains_at_its_own_pace() {
    let limiter = Limiter::new();
    assert!(limiter.take(&METER, 60, 60, seconds(0)).allowed);
    assert!(!limiter.take(&METER, 1, 6, seconds(0)).allowed);
    // 54 must drain at 6 a minute, and one more for the next.
    assert!(!limiter.take(&METER, 1, 6, seconds(549)).allowed);
    assert!(limiter.take(&METER, 1, 6, seconds(550)).allowed);
}

#[test]
fn what_was_spent_past_the_limit_blocks_until_it_is_paid_off() {
    let limiter = Limiter::new();
    assert!(limiter.take(&METER, 0, 100, seconds(0)).allowed);
    limiter.charge_after(&METER, 300, 100, seconds(0));
    for (at, allowed) in [(0, false), (60, false), (119, false), (120, false), (121, true)] {
        assert_eq!(limiter.take(&METER, 0, 100, seconds(at)).allowed, allowed, "at {at}");
    }
    assert_eq!(limiter.take(&METER, 0, 100, seconds(119)).retry_after.map(|d| d.as_secs()), Some(1));
}

#[test]
fn a_refund_gives_back_and_never_more_than_was_used() {
    let limiter = Limiter::new();
    assert!(limiter.take(&METER, 60, 60, seconds(0)).allowed);
    limiter.refund(&METER, 20, 60, seconds(0));
    assert_eq!(limiter.peek(&METER, 0, 60, seconds(0)).remaining, 20);
    limiter.refund(&METER, 1000, 60, seconds(0));
    assert_eq!(limiter.peek(&METER, 0, 60, seconds(0)).remaining, 60);
}

#[test]
fn a_reservation_is_settled_once() {
    // Reserved, settled with (one after the other), left of 100.
    let cases: [(u64, &[u64], u64); 6] = [
        (40, &[], 60),
        (40, &[40], 60),
        (40, &[10], 90),
        (40, &[10, 0], 90),
        (40, &[70], 30),
        (40, &[500], 0),
    ];
    for (reserved, settled, remaining) in cases {
        let limiter = Limiter::new();
        let mut reservation = limiter.reserve(&METER, reserved, 100, seconds(0)).unwrap();
        assert_eq!(limiter.peek(&METER, 0, 100, seconds(0)).remaining, 60);
        for actual in settled {
            reservation.settle(*actual, seconds(0));
        }
        drop(reservation);
        assert_eq!(limiter.peek(&METER, 0, 100, seconds(0)).remaining, remaining, "{settled:?}");
    }
}

#[test]
fn reserves_no_more_than_is_left() {
    let limiter = Limiter::new();
    let refused = limiter.reserve(&METER, 101, 100, seconds(0)).unwrap_err();
    assert_eq!((refused.allowed, refused.remaining, refused.retry_after), (false, 100, None));
    assert_eq!(limiter.peek(&METER, 0, 100, seconds(0)).remaining, 100);
}

#[test]
fn a_stage_in_shadow_counts_on_top_of_what_is_live_and_touches_none_of_it() {
    let limiter = Limiter::new();
    let shadow = Meter { space: Space::Shadow, ..METER };
    assert!(limiter.take(&METER, 30, 60, seconds(0)).allowed);
    assert_eq!(limiter.take(&shadow, 20, 60, seconds(0)).remaining, 10);
    assert!(!limiter.take(&shadow, 11, 60, seconds(0)).allowed);
    assert_eq!(limiter.peek(&shadow, 0, 60, seconds(0)).remaining, 10);
    assert_eq!(limiter.peek(&METER, 0, 60, seconds(0)).remaining, 30);
}

#[test]
fn threads_use_a_limit_up_and_never_more() {
    for limit in [1, 7, 999, 10_007] {
        let limiter = Limiter::new();
        let allowed = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..limit {
                        let taken = limiter.take(&METER, 1, limit, seconds(12_345));
                        allowed.fetch_add(u64::from(taken.allowed), Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(allowed.into_inner(), limit);
    }
}

#[test]
fn threads_with_clocks_apart_stay_within_the_pace_and_use_it() {
    let limiter = Limiter::new();
    let (limit, threads, steps) = (1000, 4, 20_000);
    let allowed = AtomicU64::new(0);
    thread::scope(|scope| {
        for thread in 0..threads {
            let (limiter, allowed) = (&limiter, &allowed);
            scope.spawn(move || {
                for step in 0..steps {
                    // Two minutes in 20,000 steps, each thread a little off.
                    let now = Duration::from_micros(step * 6000 + thread * 100);
                    let taken = limiter.take(&METER, 1, limit, now);
                    allowed.fetch_add(u64::from(taken.allowed), Ordering::Relaxed);
                }
            });
        }
    });
    let most = limit + limit * 120 / 60;
    let allowed = allowed.into_inner();
    assert!(allowed <= most && allowed >= most * 99 / 100, "{allowed} of {most}");
}

#[test]
fn a_limit_that_changes_under_way_loses_no_count() {
    let limiter = Limiter::new();
    let allowed = AtomicU64::new(0);
    thread::scope(|scope| {
        for thread in 0..4 {
            let (limiter, allowed) = (&limiter, &allowed);
            scope.spawn(move || {
                for step in 0..5000 {
                    let limit = if (step + thread) % 2 == 0 { 1000 } else { 2000 };
                    let taken = limiter.take(&METER, 1, limit, seconds(77));
                    allowed.fetch_add(u64::from(taken.allowed), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(allowed.into_inner(), 2000);
}

#[test]
fn forgets_subjects_that_have_drained_and_no_others() {
    let limiter = Limiter::new();
    let take = |subject: &str, amount, now| limiter.take(&Meter { subject, ..METER }, amount, 60, now);
    let held = limiter.reserve(&Meter { subject: "held", ..METER }, 1, 60, seconds(0)).unwrap();
    for n in 0..100_000 {
        take(&format!("early {n}"), 1, seconds(0));
    }
    take("used up", 60, seconds(3500));
    for n in 0..100_000 {
        take(&format!("late {n}"), 1, seconds(3500));
    }
    assert!(limiter.subjects() < 200_000, "{}", limiter.subjects());
    assert_eq!(take("used up", 60, seconds(3510)).remaining, 10);
    for n in 0..20 {
        for m in 0..10_000 {
            take(&format!("round {n}, {m}"), 1, seconds(3600 + n * 2));
        }
    }
    assert!(limiter.subjects() < 100_000, "{}", limiter.subjects());
    let mut held = held;
    held.settle(60, seconds(3600));
    assert_eq!(take("held", 60, seconds(3610)).remaining, 11);
}

#[test]
fn a_sweep_under_way_loses_no_count() {
    let limiter = Limiter::new();
    let allowed = AtomicU64::new(0);
    for round in 1..30 {
        // By now the subject has drained and may be swept at any moment.
        let now = seconds(round * 600);
        let before = allowed.load(Ordering::Relaxed);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let taken = limiter.take(&METER, 1, 50, now);
                        allowed.fetch_add(u64::from(taken.allowed), Ordering::Relaxed);
                    }
                });
            }
            for thread in 0..2 {
                let limiter = &limiter;
                scope.spawn(move || {
                    for n in 0..5000 {
                        let subject = format!("{round} {thread} {n}");
                        limiter.take(&Meter { subject: &subject, ..METER }, 1, 50, now);
                    }
                });
            }
        });
        assert_eq!(allowed.load(Ordering::Relaxed) - before, 50);
    }
}

#[test]
fn idleness_of_any_length_leaves_nothing_used() {
    for limit in [1, 60, 1_000_000_007, u64::MAX] {
        for power in 0..50 {
            let limiter = Limiter::new();
            limiter.charge_after(&METER, u64::MAX, 1, seconds(0));
            limiter.refund(&METER, u64::MAX, 1, seconds(0));
            limiter.take(&METER, 1, limit, seconds(0));
            let later = MINUTE.saturating_mul(2) + Duration::from_nanos(1 << power);
            assert_eq!(
                limiter.peek(&METER, 0, limit, later).reset_after,
                Duration::ZERO,
                "{limit} 2^{power}"
            );
        }
    }
}

proptest! {
    #[test]
    fn after_retry_after_it_is_allowed_and_not_before(
        limit in 1_u64..5_000_000,
        window in 1_u64..100_000,
        used in 0_u64..5_000_000,
        amount in 1_u64..5_000_000,
        now in 0_u64..1 << 50,
    ) {
        let meter = Meter { window: Duration::from_millis(window), ..METER };
        let limiter = Limiter::new();
        let (used, amount, now) = (used % (limit + 1), amount % limit + 1, Duration::from_nanos(now));
        limiter.charge_after(&meter, used, limit, now);
        let taken = limiter.peek(&meter, amount, limit, now);
        prop_assert_eq!(taken.allowed, used + amount <= limit);
        let after = taken.retry_after.unwrap();
        if let Some(before) = after.checked_sub(meter.window / 500_000 + Duration::from_nanos(2)) {
            prop_assert!(!limiter.peek(&meter, amount, limit, now + before).allowed);
        }
        prop_assert!(limiter.take(&meter, amount, limit, now + after).allowed);
    }

    #[test]
    fn any_mix_of_calls_agrees_with_plain_arithmetic(
        calls in prop::collection::vec((0_u8..4, 0_u64..80, 0_u64..20, 1_u64..100), 1..60),
    ) {
        // In a window of so many nanoseconds a tick is one, so that the model needs whole numbers only.
        let meter = Meter { window: Duration::from_nanos(cell::PARTS), ..METER };
        let (limiter, mut level, mut now, mut pace) = (Limiter::new(), 0_u64, 0_u64, 1_u64);
        for (call, amount, passed, limit) in calls {
            let passed = passed * (cell::PARTS / 256);
            now += passed;
            level = level.saturating_sub(passed * pace);
            let (at, cost) = (Duration::from_nanos(now), amount * cell::PARTS);
            let known = limiter.subjects() > 0;
            match call {
                0 => {
                    let want = level + cost.max(1) <= limit * cell::PARTS;
                    prop_assert_eq!(limiter.take(&meter, amount, limit, at).allowed, want);
                    level += if want { cost } else { 0 };
                }
                1 => { limiter.charge_after(&meter, amount, limit, at); level += cost; }
                2 => { limiter.refund(&meter, amount, limit, at); level = level.saturating_sub(cost); }
                _ => {
                    let left = (limit * cell::PARTS).saturating_sub(level) / cell::PARTS;
                    prop_assert_eq!(limiter.peek(&meter, 0, limit, at).remaining, left);
                }
            }
            pace = if call == 3 || (call == 2 && !known) { pace } else { limit };
        }
    }
}
