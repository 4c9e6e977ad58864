//! Guards side by side.

use super::{Script, completion, world};
use futures::FutureExt;
use std::sync::Arc;
use weir_message::{Cause, Outcome};
use weir_pipeline::{Refusal, handle};

const OK: &str = "said by the provider";

fn says() -> Vec<Script> {
    vec![Script::Whole(200, completion(OK))]
}

/// Whose denial was told.
fn denied_by(world: &super::World) -> String {
    match world.record().refusal {
        Some(Refusal::Denied(denial)) => denial.stage.unwrap().to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn all_judge_and_the_request_goes_on_once_all_have_let_it_pass() {
    let world = world(
        "      - together: [{ guard: slow }, { guard: wait }, { guard: pass }]\n      - guard: pass\n        name: last\n",
        says(),
    );
    let (status, body) = world.send(false).await;
    assert!(status == 200 && body.contains(OK), "{body}");
    assert_eq!(world.decisions(), ["passed"; 4]);
    let log = world.log();
    assert!(log.starts_with("slow.request wait.request pass.request last.request last.reply"), "{log}");
    for stage in ["slow", "wait", "pass"] {
        assert!(log.contains(&format!("{stage}.reply")) && log.contains(&format!("{stage}.end")), "{log}");
    }
}

#[tokio::test]
async fn the_first_denial_in_written_order_counts_and_who_is_behind_it_is_let_go() {
    let world = world(
        "      - together: [{ guard: slow }, { guard: slow-deny, name: first }, { guard: deny, name: second }, { guard: never }]\n",
        Vec::new(),
    );
    assert_eq!(world.send(false).await.0, 403);
    assert_eq!(denied_by(&world), "first");
    assert_eq!(world.decisions(), ["passed", "denied", "denied", "not-reached"]);
    let reason = world.record().trace.stages[3].reason.clone().unwrap();
    assert!(reason.contains("refused before"), "{reason}");
    // What was not done has no end.
    assert!(!world.log().contains("never.end"), "{}", world.log());
}

#[tokio::test]
async fn a_denial_that_is_known_at_once_asks_nobody_else() {
    let world = world(
        "      - together: [{ guard: deny }, { guard: pass }]\n      - guard: pass\n        name: last\n",
        Vec::new(),
    );
    assert_eq!(world.send(false).await.0, 403);
    assert_eq!(world.log(), "deny.request deny.end");
}

#[tokio::test]
async fn who_cannot_decide_refuses_or_is_passed_over() {
    let world = super::world("      - together: [{ guard: fault }, { guard: pass }]\n", Vec::new());
    assert_eq!(world.send(false).await.0, 503);
    let world =
        super::world("      - together: [{ guard: fault, on_error: skip }, { guard: pass }]\n", says());
    assert_eq!(world.send(false).await.0, 200);
    assert_eq!(world.decisions(), ["fault-skipped", "passed"]);
}

#[tokio::test]
async fn groups_follow_each_other_and_stages_that_take_no_part_are_left_out() {
    let world = world(
        "      - together: [{ guard: slow, name: a }, { guard: deny, when: 'false == request.stream && request.model == \"x\"', name: b }]\n      - together: [{ guard: slow, name: c }, { guard: deny, mode: shadow, name: d }]\n",
        says(),
    );
    assert_eq!(world.send(false).await.0, 200);
    assert_eq!(world.decisions(), ["passed", "skipped", "passed", "denied"]);
}

#[tokio::test]
async fn the_provider_is_let_go_when_a_guard_denies_meanwhile() {
    for script in [Script::Hangs, Script::Whole(200, completion(OK)), Script::Stream(vec![Ok(STREAM)])] {
        let streams = matches!(script, Script::Stream(_));
        let world = world(
            "      - together: [{ guard: slow-deny }, { guard: pass }]\n        while: upstream\n",
            vec![script],
        );
        let (status, body) = world.send(streams).await;
        assert!(status == 403 && !body.contains(OK), "{body}");
        let record = world.record();
        assert_eq!((record.trace.outcome, record.trace.attempts.len()), (Outcome::Denied, 1));
        assert!(record.trace.attempts[0].took.is_some(), "it is booked");
        assert_eq!(world.upstream.calls.lock().unwrap().len(), 1);
        assert_eq!(world.decisions(), ["denied", "passed"]);
    }
    let world =
        world("      - together: [{ guard: slow-deny }]\n        while: upstream\n", vec![Script::Hangs]);
    assert_eq!(world.send(false).await.0, 403);
    assert_eq!(world.record().trace.attempts[0].cause, Some(Cause::Cancelled));
}

const STREAM: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"said by the provider\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

#[tokio::test]
async fn nothing_of_an_answer_goes_out_before_all_have_judged() {
    for (script, streams) in
        [(Script::Whole(200, completion(OK)), false), (Script::Stream(vec![Ok(STREAM)]), true)]
    {
        let world = world("      - together: [{ guard: never }]\n        while: upstream\n", vec![script]);
        let mut response = Box::pin(handle(&world.gateway, Arc::clone(&world.plan), world.request(streams)));
        for _ in 0..200 {
            assert!((&mut response).now_or_never().is_none(), "it went out");
            tokio::task::yield_now().await;
        }
        assert_eq!(world.upstream.calls.lock().unwrap().len(), 1, "the provider was asked meanwhile");
        drop(response);
        assert_eq!(world.outcome(), Outcome::Cancelled);
    }
    for (script, streams) in
        [(Script::Whole(200, completion(OK)), false), (Script::Stream(vec![Ok(STREAM)]), true)]
    {
        let world = world("      - together: [{ guard: slow }]\n        while: upstream\n", vec![script]);
        let (status, body) = world.send(streams).await;
        assert!(status == 200 && body.contains(OK), "{body}");
    }
}

#[tokio::test]
async fn an_answer_from_a_cache_waits_too() {
    let world = world(
        "      - together: [{ guard: slow-deny }]\n        while: upstream\n      - cache: answer\n",
        Vec::new(),
    );
    let (status, body) = world.send(false).await;
    assert!(status == 403 && !body.contains("from the cache"), "{body}");
}
