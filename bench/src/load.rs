//! Load: closed (each connection asks again when it has its reply) and open (requests at a constant rate, whatever the replies).

use crate::Outcome;
use crate::wire::Wire;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, mpsc};
use tokio::task::LocalSet;

/// What a load brought.
#[derive(Default)]
pub(crate) struct Got {
    /// How many replies came.
    pub(crate) replies: u64,
    /// How many events came in them.
    pub(crate) events: u64,
    /// From the first request to the last reply.
    pub(crate) took: Duration,
    /// What each reply took, sorted; for streams, what its first event took.
    pub(crate) times: Vec<Duration>,
}

impl Got {
    /// The time that a share of the replies (0 to 1) did not exceed.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let last = self.times.len().saturating_sub(1);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rank in a short list"
        )]
        let rank = (last as f64 * share).round() as usize;
        self.times.get(rank).copied().unwrap_or_default()
    }

    /// Replies a second.
    pub(crate) fn rate(&self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
        let replies = self.replies as f64;
        replies / self.took.as_secs_f64()
    }
}

/// When a closed load ends.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    /// After a time.
    Time(Duration),
    /// After so many replies.
    Replies(u64),
}

/// Asks over `connections` connections, each again when it has its reply. A reply that is not 200 is an error.
pub(crate) fn closed(port: u16, request: &[u8], connections: usize, until: Until) -> Outcome<Got> {
    let began = Instant::now();
    let asked = Rc::new(Cell::new(0));
    let request: Rc<[u8]> = request.into();
    let got = together(connections, |_, got| {
        let (asked, request) = (Rc::clone(&asked), Rc::clone(&request));
        async move {
            let mut wire = Wire::connect(port).await?;
            let goes_on = || match until {
                Until::Time(time) => began.elapsed() < time,
                Until::Replies(count) => asked.replace(asked.get() + 1) < count,
            };
            while goes_on() {
                let sent = Instant::now();
                ask(&mut wire, &request, sent, &got).await?;
            }
            Ok(())
        }
    })?;
    Ok(Got { took: began.elapsed(), ..got })
}

/// Asks `rate` times a second for a time. The times count from when a request was due, so that a queue shows.
pub(crate) fn open(port: u16, request: &[u8], connections: usize, rate: f64, time: Duration) -> Outcome<Got> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let gap = Duration::from_secs_f64(1.0 / rate);
    // The schedule has a thread of its own, which waits for no reply.
    let schedule = std::thread::spawn(move || {
        let began = Instant::now();
        let mut due = began + Duration::from_millis(20);
        while due < began + time {
            if let Some(left) = due.checked_duration_since(Instant::now()) {
                std::thread::sleep(left);
            }
            // The thread may wake late, which is no fault of who is measured: due is when it was told.
            if sender.send(Instant::now()).is_err() {
                return;
            }
            due += gap;
        }
    });
    let began = Instant::now();
    let receiver = Rc::new(Mutex::new(receiver));
    let request: Rc<[u8]> = request.into();
    let got = together(connections, |_, got| {
        let (receiver, request) = (Rc::clone(&receiver), Rc::clone(&request));
        async move {
            let mut wire = Wire::connect(port).await?;
            loop {
                let due = receiver.lock().await.recv().await;
                let Some(due) = due else { return Ok(()) };
                ask(&mut wire, &request, due, &got).await?;
            }
        }
    });
    let scheduled = schedule.join();
    let got = got?;
    scheduled.map_err(|_| "the schedule broke off")?;
    Ok(Got { took: began.elapsed(), ..got })
}

/// Asks each of these once, over one connection; the second result says how many were hits of a cache.
pub(crate) fn each(port: u16, requests: Vec<Vec<u8>>) -> Outcome<(Got, usize)> {
    let hits = Rc::new(Cell::new(0));
    let requests = Rc::new(requests);
    let got = together(1, |_, got| {
        let (requests, hits) = (Rc::clone(&requests), Rc::clone(&hits));
        async move {
            let mut wire = Wire::connect(port).await?;
            for request in requests.iter() {
                let sent = Instant::now();
                let reply = wire.ask(request).await?;
                if reply.cache.as_deref() == Some("hit") {
                    hits.set(hits.get() + 1);
                    got.borrow_mut().times.push(sent.elapsed());
                }
            }
            Ok(())
        }
    })?;
    Ok((got, hits.get()))
}

async fn ask(wire: &mut Wire, request: &[u8], from: Instant, got: &RefCell<Got>) -> Outcome<()> {
    let reply = wire.ask(request).await?;
    if reply.status != 200 {
        return Err(format!("a reply with status {}", reply.status).into());
    }
    let end = match (reply.events, reply.first) {
        (1.., Some(first)) => first,
        _ => Instant::now(),
    };
    let mut got = got.borrow_mut();
    got.replies += 1;
    got.events += u64::try_from(reply.events)?;
    got.times.push(end - from);
    Ok(())
}

/// Runs as many clients on this thread; the first error ends all.
fn together<F, C>(count: usize, client: F) -> Outcome<Got>
where
    F: Fn(usize, Rc<RefCell<Got>>) -> C,
    C: Future<Output = Outcome<()>> + 'static,
{
    let got = Rc::new(RefCell::new(Got::default()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let clients: Vec<_> =
            (0..count).map(|n| tokio::task::spawn_local(client(n, Rc::clone(&got)))).collect();
        for client in clients {
            client.await??;
        }
        Outcome::Ok(())
    })?;
    drop(local);
    let mut got = got.take();
    got.times.sort_unstable();
    Ok(got)
}
