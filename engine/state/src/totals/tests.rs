use super::*;
use crate::StateError;
use crate::redis::server::Server;
use crate::redis::{Redis, RedisSettings};
use chrono_tz::Tz;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::AtomicI64;
use std::task::{Context, Poll, Wake};
use std::thread::Thread;
use std::time::Duration;
use tempfile::TempDir;
use weir_diagnostic::units::Calendar;

/// 2026-11-24T10:00:00Z
const NOW: i64 = 1_795_514_400_000_000_000;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

fn account(subject: &str, calendar: Calendar) -> Account<'_> {
    let window = Window::at(calendar, Tz::UTC, NOW / 1_000_000_000);
    Account { space: Space::Live, meter: "m", unit: Unit::Money, subject, window }
}

/// A time at which what was read before is old.
fn later() -> i64 {
    static TICK: AtomicI64 = AtomicI64::new(NOW);
    TICK.fetch_add(1_000_000_000, Ordering::Relaxed)
}

/// As a guard does it: reserve, secure, look again.
fn hold(totals: &Arc<Totals>, subject: &str, limit: u64, amount: u64) -> Option<Holding> {
    let accounts = [(account(subject, Calendar::Month), limit)];
    let mut holding = match totals.reserve(&accounts, amount, NOW) {
        Ok(holding) => holding,
        Err(_) => {
            wait(totals.look_again(&accounts, later())?).ok()?;
            totals.reserve(&accounts, amount, NOW).ok()?
        }
    };
    if let Some(secured) = holding.secured()
        && (wait(secured).is_err() || holding.shortfall().is_some())
    {
        holding.release();
        return None;
    }
    Some(holding)
}

fn open(folder: &TempDir) -> Arc<Totals> {
    let totals = Arc::new(Totals::new());
    totals.open(&folder.path().join("state")).unwrap();
    totals
}

/// Where totals are kept: what holds for one store holds for all.
enum Home {
    Process,
    File(TempDir),
    Redis(RedisSettings),
}

impl Home {
    fn file() -> Self {
        Self::File(tempfile::tempdir().unwrap())
    }

    /// A place of its own in a server.
    fn redis(server: &Server) -> Self {
        static PLACES: AtomicUsize = AtomicUsize::new(0);
        let prefix = format!("weir-{}", PLACES.fetch_add(1, Ordering::Relaxed));
        Self::Redis(RedisSettings { prefix, ..server.settings() })
    }

    /// Totals as one process has them.
    fn open(&self) -> Opened {
        match self {
            Self::Process => Opened { totals: Arc::new(Totals::new()), _redis: None },
            Self::File(folder) => Opened { totals: open(folder), _redis: None },
            Self::Redis(settings) => {
                let (totals, redis) = (Arc::new(Totals::new()), Redis::open(settings).unwrap());
                totals.keep_in(redis.totals()).unwrap();
                Opened { totals, _redis: Some(redis) }
            }
        }
    }
}

struct Opened {
    totals: Arc<Totals>,
    _redis: Option<Redis>,
}

impl std::ops::Deref for Opened {
    type Target = Arc<Totals>;

    fn deref(&self) -> &Arc<Totals> {
        &self.totals
    }
}

/// How much may still be had.
fn left(totals: &Arc<Totals>, limit: u64) -> u64 {
    let (mut low, mut high) = (0, limit);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        match hold(totals, "s", limit, middle) {
            Some(holding) => {
                holding.release();
                low = middle;
            }
            None => high = middle - 1,
        }
    }
    low
}

#[test]
fn all_limits_hold_together_and_a_refusal_takes_from_none() {
    let totals = Arc::new(Totals::new());
    let (day, month) = (account("s", Calendar::Day), account("s", Calendar::Month));
    let reserve = |amount| totals.reserve(&[(day, 10), (month, 15)], amount, NOW);
    reserve(8).unwrap().settle(8, &[], NOW);
    let shortfall = reserve(3).err().unwrap();
    assert_eq!((shortfall.limit, shortfall.left, shortfall.fits_later), (0, 2, false));
    let held = totals.reserve(&[(month, 15)], 7, NOW).unwrap();
    let shortfall = reserve(2).err().unwrap();
    assert_eq!((shortfall.limit, shortfall.left, shortfall.fits_later), (1, 0, true));
    held.release();
    reserve(2).unwrap().settle(2, &[], NOW);
    assert_eq!((totals.spent(&day), totals.spent(&month)), (10, 10));
}

#[test]
fn what_was_not_used_comes_back_and_what_was_used_beyond_counts() {
    let totals = Arc::new(Totals::new());
    hold(&totals, "s", 100, 60).unwrap().settle(10, &[], NOW);
    assert_eq!(left(&totals, 100), 90);
    hold(&totals, "s", 100, 60).unwrap().settle(95, &[], NOW);
    assert_eq!(totals.spent(&account("s", Calendar::Month)), 105);
    assert!(hold(&totals, "s", 100, 0).is_none(), "nothing passes beyond the limit");
    drop(hold(&totals, "s", 200, 40).unwrap());
    assert_eq!(
        left(&totals, 200),
        55,
        "a raised limit keeps the count; what was never settled counts as spent"
    );
    assert_eq!(left(&totals, 150), 5);
}

#[test]
fn thresholds_are_told_once_each() {
    let totals = Arc::new(Totals::new());
    let told = |amount: u64| -> Vec<u64> {
        let crossed = hold(&totals, "s", 1_000, amount).unwrap().settle(amount, &[500, 800, 950], NOW);
        crossed.into_iter().map(|crossed| crossed.threshold).collect()
    };
    assert_eq!(
        [told(499), told(1), told(1), told(460), told(30)],
        [vec![], vec![500], vec![], vec![800, 950], vec![]]
    );
}

#[test]
fn a_shadow_counts_apart_on_top_of_what_is_live() {
    let totals = Arc::new(Totals::new());
    let live = account("s", Calendar::Month);
    let shadow = Account { space: Space::Shadow, ..live };
    totals.reserve(&[(live, 10)], 6, NOW).unwrap().settle(6, &[], NOW);
    assert!(totals.reserve(&[(shadow, 10)], 5, NOW).is_err());
    totals.reserve(&[(shadow, 10)], 4, NOW).unwrap().settle(4, &[], NOW);
    assert!(totals.reserve(&[(live, 10)], 4, NOW).is_ok());
}

#[test]
fn windows_that_are_long_over_are_forgotten() {
    let totals = Arc::new(Totals::new());
    let hour = |n: i64| {
        let at = NOW / 1_000_000_000 + n * 3_600;
        Account { window: Window::at(Calendar::Hour, Tz::UTC, at), ..account("s", Calendar::Hour) }
    };
    for n in 0..SWEEP_FROM as i64 + 1 {
        totals.reserve(&[(hour(n), 10)], 1, NOW + n * 3_600_000_000_000).unwrap().settle(1, &[], NOW);
    }
    assert!(totals.len() < 30, "{}", totals.len());
}

#[test]
fn many_at_once_never_pass_the_last_dollar_and_can_use_it() {
    const DOLLAR: u64 = 1_000_000_000;
    let server = Server::start();
    for home in [Home::Process, Home::file(), Home::redis(&server)] {
        let totals = home.open();
        let spent: u64 = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..64u64)
                .map(|n| {
                    let totals = &totals;
                    scope.spawn(move || {
                        let (mut spent, mut refused) = (0, 0);
                        while refused < 200 {
                            match hold(totals, "s", DOLLAR, 1_000_000) {
                                Some(holding) => {
                                    let actual = 300_000 + n * 9_000;
                                    holding.settle(actual, &[], NOW);
                                    spent += actual;
                                }
                                None => {
                                    refused += 1;
                                    std::thread::yield_now();
                                }
                            }
                        }
                        spent
                    })
                })
                .collect();
            clients.into_iter().map(|client| client.join().unwrap()).sum()
        });
        assert!(spent <= DOLLAR, "{spent}");
        assert!(spent >= DOLLAR / 100 * 99, "{spent}");
        assert_eq!(totals.spent(&account("s", Calendar::Month)), spent);
        totals.close().unwrap();
        if !matches!(home, Home::Process) {
            assert_eq!(left(&home.open(), DOLLAR), DOLLAR - spent);
        }
    }
}

#[test]
fn two_in_one_store_hold_one_limit() {
    let server = Server::start();
    for home in [Home::file(), Home::redis(&server)] {
        let (one, two) = (home.open(), home.open());
        let mut spent = 0;
        while let Some(holding) = hold(if spent % 2 == 0 { &one } else { &two }, "s", 1_000, 3) {
            holding.settle(3, &[], NOW);
            spent += 3;
        }
        assert!(spent <= 1_000 && spent > 980, "{spent}");
        one.close().unwrap();
        two.close().unwrap();
        assert_eq!(left(&home.open(), 1_000), 1_000 - spent);
    }
}

#[test]
fn thresholds_told_before_a_restart_are_not_told_again() {
    let server = Server::start();
    for home in [Home::file(), Home::redis(&server)] {
        let totals = home.open();
        assert_eq!(hold(&totals, "s", 100, 85).unwrap().settle(85, &[800], NOW).len(), 1);
        totals.close().unwrap();
        assert!(hold_fails(&totals), "nothing is let through that is not written down");
        let totals = home.open();
        assert_eq!(hold(&totals, "s", 100, 1).unwrap().settle(1, &[800], NOW), []);
    }
}

fn hold_fails(totals: &Arc<Totals>) -> bool {
    let mut holding = totals.reserve(&[(account("new", Calendar::Month), 10)], 1, NOW).unwrap();
    let outcome = wait(holding.secured().unwrap());
    matches!(outcome, Err(StateError::File { .. } | StateError::Unreachable { .. }))
}

#[test]
fn what_was_given_back_is_soon_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let totals = open(&folder);
    hold(&totals, "s", 1_000_000, 900_000).unwrap().settle(10, &[], NOW);
    let on_disk = || {
        let map = totals.map.pin();
        map.get(&account("s", Calendar::Month)).map(|total| total.lock().written)
    };
    while on_disk() > Some(10 + 1_000_000 / 512) {
        std::thread::yield_now();
    }
    drop(totals);
    let left = left(&open(&folder), 1_000_000);
    assert!((1_000_000 - 10 - 2_000..1_000_000 - 9).contains(&left), "{left}");
}

#[test]
fn a_file_that_cannot_be_used_is_said_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let says = || Totals::new().open(&path).unwrap_err().to_string();
    for (content, want) in [(vec![], "is empty"), (b"no database at all".repeat(1_000), "is damaged")] {
        std::fs::write(&path, &content).unwrap();
        assert!(says().contains(want), "{}", says());
        assert_eq!(std::fs::read(&path).unwrap(), content);
    }
    std::fs::remove_file(&path).unwrap();
    let totals = open(&folder);
    hold(&totals, "s", 100, 10).unwrap().settle(10, &[], NOW);
    totals.close().unwrap();
    let good = std::fs::read(&path).unwrap();
    let mut flipped = 0;
    for at in (0..512).step_by(31).chain((512..good.len()).step_by(4_093)) {
        let mut bad = good.clone();
        bad[at] ^= 0x55;
        std::fs::write(&path, &bad).unwrap();
        let totals = Arc::new(Totals::new());
        // A flip where nothing is kept changes nothing; any other is told. Never is more left than there was.
        match totals.open(&path) {
            Ok(()) => assert_eq!(left(&totals, 100), 90, "at {at}"),
            Err(error) => {
                flipped += 1;
                assert!(error.to_string().contains("cannot be used"), "{error}");
            }
        }
    }
    assert!(flipped > 0);
    std::fs::write(&path, &good).unwrap();
    let lock = Builder::new().create(&path).unwrap();
    assert!(says().contains("locked"), "{}", says());
    drop(lock);
    std::fs::remove_file(&path).unwrap();
    let other = redb::Database::create(&path).unwrap();
    let writing = other.begin_write().unwrap();
    writing.open_table(redb::TableDefinition::<u64, u64>::new("mine")).unwrap();
    writing.commit().unwrap();
    drop(other);
    assert!(says().contains("another program"), "{}", says());
}

use redb::Builder;

/// What may happen.
#[derive(Clone, Debug)]
enum Step {
    Reserve(u64),
    /// One of those held, to this part of it in thousandths.
    Settle(prop::sample::Index, u64),
    Forget(prop::sample::Index),
    Crash,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1u64..4_000).prop_map(Step::Reserve),
        6 => (any::<prop::sample::Index>(), 0u64..=1_000).prop_map(|(which, part)| Step::Settle(which, part)),
        1 => any::<prop::sample::Index>().prop_map(Step::Forget),
        1 => Just(Step::Crash),
        1 => Just(Step::Restart),
    ]
}

/// Whatever happens in whatever order: never more is let through than the limit; a clean end loses no cent, a crash counts no less
/// than what was spent and held.
fn runs_true(home: &Home, steps: Vec<Step>) -> Result<(), TestCaseError> {
    const LIMIT: u64 = 20_000;
    let mut totals = home.open();
    // What must count: spent for good, and held.
    let (mut spent, mut held): (u64, Vec<Holding>) = (0, Vec::new());
    // What a crash counted beyond that.
    let mut lost = 0;
    for step in steps {
        let holds = |held: &[Holding]| held.iter().map(Holding::amount).sum::<u64>();
        match step {
            Step::Reserve(amount) => {
                let fits = spent + lost + holds(&held) + amount <= LIMIT;
                let got = hold(&totals, "s", LIMIT, amount);
                prop_assert_eq!(got.is_some(), fits, "spent {} lost {}", spent, lost);
                held.extend(got);
            }
            Step::Settle(which, part) if !held.is_empty() => {
                let holding = held.swap_remove(which.index(held.len()));
                let actual = holding.amount() * part / 1_000;
                spent += actual;
                holding.settle(actual, &[], NOW);
            }
            Step::Forget(which) if !held.is_empty() => {
                let holding = held.swap_remove(which.index(held.len()));
                spent += holding.amount();
            }
            Step::Crash | Step::Restart => {
                spent += holds(&held);
                if matches!(step, Step::Restart) {
                    totals.close().unwrap();
                }
                held.clear();
                drop(totals);
                totals = home.open();
                let counted = LIMIT - left(&totals, LIMIT);
                prop_assert!(
                    counted >= (spent + lost).min(LIMIT),
                    "{} of {} are lost",
                    counted,
                    spent + lost
                );
                if matches!(step, Step::Restart) {
                    prop_assert_eq!(counted, spent + lost, "a clean end loses nothing");
                }
                lost = counted - spent;
            }
            Step::Settle(..) | Step::Forget(_) => {}
        }
        prop_assert!(spent + holds(&held) <= LIMIT);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_overspend_and_no_lost_cent(steps in proptest::collection::vec(step(), 1..40)) {
        runs_true(&Home::file(), steps)?;
    }
}

#[test]
fn no_overspend_and_no_lost_cent_in_a_shared_store() {
    let server = Server::start();
    let mut runner = TestRunner::new(ProptestConfig::with_cases(48));
    let steps = proptest::collection::vec(step(), 1..40);
    runner.run(&steps, |steps| runs_true(&Home::redis(&server), steps)).unwrap();
}

/// So many gateways on one store, and as many clients on each: what they spent of the limit in all.
fn race(gateways: &[Opened], clients: u64, limit: u64, amount: u64) -> u64 {
    std::thread::scope(|scope| {
        let racing: Vec<_> = (0..clients)
            .map(|n| {
                let totals = &gateways[n as usize % gateways.len()];
                scope.spawn(move || {
                    let (mut spent, mut refused) = (0, 0);
                    while refused < 100 {
                        match hold(totals, "s", limit, amount) {
                            Some(holding) => {
                                let actual = amount / 100 * (30 + n);
                                holding.settle(actual, &[], later());
                                spent += actual;
                            }
                            None => {
                                refused += 1;
                                std::thread::sleep(Duration::from_millis(2));
                            }
                        }
                    }
                    spent
                })
            })
            .collect();
        racing.into_iter().map(|client| client.join().unwrap()).sum()
    })
}

#[test]
fn gateways_racing_for_the_last_dollar_spend_at_most_the_dollar_and_can_use_it() {
    const DOLLAR: u64 = 1_000_000_000;
    let server = Server::start();
    let home = Home::redis(&server);
    let gateways = [home.open(), home.open(), home.open()];
    let spent = race(&gateways, 64, DOLLAR, 1_000_000);
    assert!(spent <= DOLLAR, "{spent}");
    assert!(spent >= DOLLAR / 100 * 99, "{spent}");
    for gateway in &gateways {
        gateway.close().unwrap();
    }
    assert_eq!(left(&home.open(), DOLLAR), DOLLAR - spent);
}

#[test]
fn large_amounts_lose_no_cent_in_a_shared_store() {
    // Above 2^53, where numbers of the server's scripts would round.
    const LIMIT: u64 = (1 << 54) + 7;
    let server = Server::start();
    let home = Home::redis(&server);
    for amount in [(1 << 53) + 1, 1, 3] {
        let totals = home.open();
        hold(&totals, "s", LIMIT, amount).unwrap().settle(amount, &[], NOW);
        totals.close().unwrap();
    }
    assert_eq!(left(&home.open(), LIMIT), LIMIT - (1 << 53) - 5);
}

#[test]
fn while_the_store_is_away_what_is_not_leased_fails_at_once_and_what_was_spent_arrives_afterwards() {
    let mut server = Server::durable();
    let home = Home::redis(&server);
    let totals = home.open();
    let reserve = |amount| totals.reserve(&[(account("s", Calendar::Month), 1_000_000)], amount, later());
    hold(&totals, "s", 1_000_000, 10_000).unwrap().settle(10_000, &[], NOW);
    for away in [Server::kill as fn(&mut Server), |server| server.freeze()] {
        away(&mut server);
        let before = totals.spent(&account("s", Calendar::Month));
        // It goes on where the policy says so; so it counts.
        let mut holding = reserve(100_000).unwrap();
        let outcome = wait(holding.secured().unwrap());
        assert!(matches!(outcome, Err(StateError::Unreachable { .. })), "{outcome:?}");
        holding.settle(100_000, &[], NOW);
        assert_eq!(totals.spent(&account("s", Calendar::Month)), before + 100_000);
        assert!(reserve(900_000).is_err(), "the limit holds here");
        server.thaw_or_restart();
        let other = home.open();
        hold(&other, "s", 1_000_000, 1).unwrap().release();
        let accounts = [(account("s", Calendar::Month), 1_000_000)];
        while other.left(&accounts[0].0, 1_000_000) > 1_000_000 - before - 100_000 {
            let _ = wait(other.look_again(&accounts, later()).unwrap());
            std::thread::yield_now();
        }
        other.close().unwrap();
    }
    let accounts = [(account("s", Calendar::Month), 1_000_000)];
    while wait(totals.look_again(&accounts, later()).unwrap()).is_err() {
        std::thread::sleep(Duration::from_millis(5));
    }
    totals.close().unwrap();
    assert_eq!(left(&home.open(), 1_000_000), 1_000_000 - 210_000);
}

#[test]
fn what_a_store_lost_is_put_back_by_those_who_spent_it() {
    let mut server = Server::start();
    let home = Home::redis(&server);
    let (one, two) = (home.open(), home.open());
    for (gateway, amount) in [(&one, 600), (&two, 300)] {
        hold(gateway, "s", 1_000, amount).unwrap().settle(amount, &[], NOW);
    }
    server.restart();
    // Whoever asks first: what the other spent is not free again.
    let taken: u64 = (0..200)
        .map(|n| {
            std::thread::sleep(Duration::from_millis(5));
            let held = hold([&one, &two][n % 2], "s", 1_000, 30);
            held.map_or(0, |holding| {
                holding.settle(30, &[], NOW);
                30
            })
        })
        .sum();
    assert!((60..=100).contains(&taken), "{taken}");
}
