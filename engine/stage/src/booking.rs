//! What the ledger is told of requests through real plans.

use crate::testing::{World, chat};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use weir_state::{Keeping, Query, Report};

impl World {
    /// Keeps a ledger in a folder from now on.
    fn keep(&self, folder: &tempfile::TempDir, keeping: Keeping) {
        self.state().ledger.open(&folder.path().join("ledger"), keeping, 1).unwrap();
    }

    /// What was booked, once there are so many rows.
    fn booked(&self, rows: u64, pairs: &[(&str, &str)]) -> Report {
        while self.state().ledger.figures().unwrap().written < rows {
            std::thread::yield_now();
        }
        self.state().ledger.books().unwrap().report(&Query::parse(pairs, 0).unwrap()).unwrap()
    }
}

fn soon() -> Keeping {
    Keeping { grace: Duration::from_millis(2), ..Keeping::default() }
}

#[tokio::test]
async fn requests_whose_cost_cannot_be_written_down_are_refused_unless_the_settings_say_otherwise() {
    for (skips, status, calls, lost) in [(false, 503, 0, 0), (true, 200, 1, 1)] {
        let (folder, world) = (tempfile::tempdir().unwrap(), World::new("- route: requested"));
        world.keep(&folder, Keeping { room: 0, skips, ..soon() });
        let got = world.send(chat("hi")).await;
        assert_eq!((got.status, world.calls().len()), (status, calls));
        if status == 503 {
            assert_eq!(got.json()["error"]["code"], "ledger-unavailable");
        }
        assert_eq!(world.state().ledger.figures().unwrap().lost, lost);
    }
}

#[tokio::test]
async fn what_is_not_sent_is_not_booked_and_frees_its_place() {
    let stages = "- guard: key\n  when: request.model == \"claude\"\n- route: fallback\n  with: { to: [requested, fast] }\n  attempt:\n    - guard: no-gold\n      cel: attempt.model != \"echo-say-gold\"";
    let (folder, world) = (tempfile::tempdir().unwrap(), World::new(stages));
    world.keep(&folder, Keeping { room: 1, ..soon() });
    for (model, status, rows) in [("claude", 401, 0), ("echo-say-gold", 200, 1)] {
        let mut body = chat("hi");
        body["model"] = json!(model);
        assert_eq!(world.send(body).await.status, status);
        // The second attempt alone was sent, and one place was enough.
        let booked = world.booked(rows, &[("by", "target,outcome")]);
        assert_eq!(booked.total.attempts, rows, "{model}");
        assert_eq!(world.state().ledger.figures().unwrap().waiting, 0);
    }
}

#[tokio::test]
async fn many_at_once_are_booked_once_each_and_sum_to_what_they_cost() {
    let stages = "- observe: metrics\n- cache: exact\n  with: { per: everyone }\n- route: fallback\n  with: { to: [requested, vanishing, broken, fast] }";
    let (folder, world) = (tempfile::tempdir().unwrap(), Arc::new(World::new(stages)));
    world.keep(&folder, soon());
    futures::future::join_all((0..120).map(|n| {
        let mut body = chat(&format!("hello {}", n % 20));
        body["model"] = json!(["fast", "vanishing", "limited"][n % 3]);
        body["stream"] = json!(n % 2 == 0);
        let world = Arc::clone(&world);
        async move { world.send(body).await }
    }))
    .await;
    let ended = world.ended();
    let attempts: usize = ended.iter().map(|x| x.trace.attempts.len()).sum();
    let hits = ended.iter().filter(|x| x.trace.attempts.is_empty()).count();
    let cost: i64 = ended.iter().map(|x| x.cost.nanos()).sum();
    let booked = world.booked((attempts + hits) as u64, &[("by", "revision")]);
    assert_eq!((booked.total.attempts, booked.total.hits), (attempts as u64, hits as u64));
    assert_eq!(booked.total.requests, 120);
    assert_eq!(booked.total.cost.nanos(), cost);
    assert!(hits > 0 && booked.total.saved.nanos() > 0);
    // The sums of hours say the same as the rows.
    assert_eq!(world.booked(0, &[]).total, booked.total);
}
