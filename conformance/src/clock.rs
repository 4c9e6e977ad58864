//! Time that moves only when nothing else can happen.

use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use weir_pipeline::Clock;

/// A clock that stands still until [`drive`] moves it to the next sleeper.
#[derive(Clone, Default)]
pub struct VirtualClock(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<Time>,
}

#[derive(Default)]
struct Time {
    now: Duration,
    unix_nanos: i64,
    /// Who sleeps until when; the number tells sleepers of one moment apart.
    sleepers: BTreeMap<(Duration, u64), Option<Waker>>,
    next: u64,
}

impl VirtualClock {
    /// A clock that shows this wall-clock time, in nanoseconds since 1970 UTC.
    pub fn new(unix_nanos: i64) -> Self {
        let clock = Self::default();
        clock.time().unix_nanos = unix_nanos;
        clock
    }

    fn time(&self) -> MutexGuard<'_, Time> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves time on, waking all whose time has come.
    pub fn advance(&self, by: Duration) {
        let to = self.time().now + by;
        self.advance_to(to);
    }

    fn advance_to(&self, to: Duration) {
        let mut due = Vec::new();
        {
            let mut time = self.time();
            time.now = time.now.max(to);
            let later = time.sleepers.split_off(&(to + Duration::from_nanos(1), 0));
            due.extend(std::mem::replace(&mut time.sleepers, later).into_values().flatten());
        }
        due.into_iter().for_each(Waker::wake);
    }

    /// Moves time to the next sleeper. Returns whether there is one.
    fn advance_to_next(&self) -> bool {
        let next = self.time().sleepers.keys().next().map(|(at, _)| *at);
        next.map(|at| self.advance_to(at)).is_some()
    }

    /// How many sleepers would wake `waker`.
    fn sleepers_of(&self, waker: &Waker) -> usize {
        self.time().sleepers.values().flatten().filter(|held| held.will_wake(waker)).count()
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Duration {
        self.time().now
    }

    fn unix_nanos(&self) -> i64 {
        let time = self.time();
        time.unix_nanos.saturating_add(i64::try_from(time.now.as_nanos()).unwrap_or(i64::MAX))
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        let key = {
            let mut state = self.time();
            let key = (state.now + time, state.next);
            state.next += 1;
            key
        };
        Box::pin(Sleep { clock: self.clone(), key })
    }
}

struct Sleep {
    clock: VirtualClock,
    key: (Duration, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut time = self.clock.time();
        if time.now >= self.key.0 {
            time.sleepers.remove(&self.key);
            return Poll::Ready(());
        }
        time.sleepers.insert(self.key, Some(cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.clock.time().sleepers.remove(&self.key);
    }
}

/// What wakes the driver. The clones of its `Arc` tell who else waits: a clone that no sleeper holds is held by work outside
/// (inference on its own threads).
#[derive(Default)]
struct Bell {
    rung: AtomicBool,
    notify: tokio::sync::Notify,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.notify.notify_one();
    }
}

/// How long outside work may take in real time before the clock moves on without it.
const PATIENCE: Duration = Duration::from_secs(10);
/// Turns given to tasks that the future spawned before it is taken to be idle.
const TURNS: usize = 8;

/// The future waits for something that never comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request waits for something that never comes")]
pub struct Stuck;

/// Runs `future` to its end on the current (single-threaded) runtime, moving the clock to the next sleeper whenever nothing
/// else can happen and no outside work is pending.
///
/// # Errors
/// [`Stuck`] if nothing can ever wake it.
pub async fn drive<F: Future>(clock: &VirtualClock, future: F) -> Result<F::Output, Stuck> {
    let mut future = pin!(future);
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(Arc::clone(&bell));
    loop {
        bell.rung.store(false, Ordering::Release);
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Ok(value);
        }
        let mut woken = false;
        for _ in 0..TURNS {
            woken = bell.rung.load(Ordering::Acquire);
            if woken {
                break;
            }
            tokio::task::yield_now().await;
        }
        if woken || bell.rung.load(Ordering::Acquire) {
            continue;
        }
        // One clone is `bell`, one is inside `waker`, the rest are held by whoever is to wake the future.
        let outside = Arc::strong_count(&bell).saturating_sub(2) > clock.sleepers_of(&waker);
        if !outside && clock.advance_to_next() {
            continue;
        }
        let came = tokio::time::timeout(PATIENCE, bell.notify.notified()).await.is_ok();
        if !came && !clock.advance_to_next() {
            return Err(Stuck);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
    }

    #[test]
    fn an_hour_passes_at_once_when_nothing_else_can_happen() {
        let clock = VirtualClock::new(1_000);
        let mine = clock.clone();
        run(drive(&clock, async move { mine.sleep(Duration::from_secs(3600)).await })).unwrap();
        assert_eq!(clock.now(), Duration::from_secs(3600));
        assert_eq!(clock.unix_nanos(), 3_600_000_001_000);
    }

    #[test]
    fn the_nearer_sleeper_wakes_first_and_a_dropped_one_never() {
        let clock = VirtualClock::new(0);
        let mine = clock.clone();
        let first = run(drive(&clock, async move {
            let (near, far) = (mine.sleep(Duration::from_millis(20)), mine.sleep(Duration::from_secs(5)));
            matches!(futures::future::select(far, near).await, futures::future::Either::Right(_))
        }));
        assert_eq!((first, clock.now()), (Ok(true), Duration::from_millis(20)));
        assert!(clock.time().sleepers.is_empty());
    }

    #[test]
    fn time_stands_still_while_another_thread_works() {
        let clock = VirtualClock::new(0);
        let mine = clock.clone();
        let done = run(drive(&clock, async move {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            let (go, wait) = std::sync::mpsc::channel::<()>();
            std::thread::spawn(move || {
                wait.recv().ok();
                sender.send(7).ok();
            });
            let limit = mine.sleep(Duration::from_millis(1));
            go.send(()).ok();
            match futures::future::select(receiver, limit).await {
                futures::future::Either::Left((value, _)) => value.ok(),
                futures::future::Either::Right(_) => None,
            }
        }));
        assert_eq!((done, clock.now()), (Ok(Some(7)), Duration::ZERO));
    }
}
