//! Limits how many requests are under way at once, for each key, team or whatever an expression gives: 429
//! `concurrency-exceeded`, or a wait in line.
//!
//! A request counts from here to its end: to the last byte of a stream, to the client's leaving, to a refusal below. With
//! `then: wait` it waits for its turn, in the order of arrival, until `deadline`. A limit in a frame is one for all pipelines.
//! Gateways that share a Redis (`state: { redis }`) have its permits together; the order of arrival is each gateway's own.
//!
//! ```yaml
//! - guard: concurrency
//!   with: { max: 4, per: caller.team, then: wait, deadline: 5s }
//! ```

use super::then::{Beyond, Then, ThenSettings, deadline, reroute};
use crate::per::Per;
use futures::future::{Either, select};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;
use weir_diagnostic::units;
use weir_message::{Denial, ErrorCode};
use weir_pipeline::{CONTINUE, Declares, Hook, Needs, READABLE_OPERATIONS, Stage, Verdict, Visit, Workbench};
use weir_policy::{Expr, OnError, Spanned, StageDecl};
use weir_state::{Admission, Admitted};

/// The settings of `guard: concurrency`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// How many requests may be under way at once.
    #[schemars(range(min = 1))]
    max: u64,
    /// For whom it counts: an expression such as `caller.team` or `source.address`, or `everyone` for all together. Without
    /// it, each key has a count of its own, and callers without a key each address.
    #[serde(default)]
    per: Option<Expr>,
    /// What becomes of a request that is one too many. Those that wait are served in the order in which they came.
    #[serde(default)]
    then: Then,
    /// How long a request may wait for its turn.
    #[serde(default = "deadline")]
    deadline: units::Duration,
    /// How many requests of one subject may wait; more are refused at once.
    #[serde(default = "queue")]
    #[schemars(range(min = 1, max = 100000))]
    queue: usize,
    /// The model that it goes on with, with `then: route`.
    #[serde(default)]
    model: Option<Spanned<String>>,
}

fn queue() -> usize {
    100
}

pub(crate) fn compile(decl: &StageDecl, bench: &mut Workbench<'_>) -> Option<Arc<dyn Stage>> {
    let settings: Settings = bench.settings(decl)?;
    let per = match &settings.per {
        Some(expr) => Per::compile(expr, bench)?,
        None => Per::Caller,
    };
    let beyond =
        ThenSettings { then: settings.then, deadline: settings.deadline, model: settings.model.as_ref() };
    Some(Arc::new(Concurrency {
        meter: format!("{}/{}", bench.home, decl.name),
        max: settings.max,
        per,
        beyond: Beyond::compile(&beyond, settings.queue, decl, bench)?,
        queue: settings.queue,
        is_lenient: decl.on_error == OnError::Skip,
    }))
}

struct Concurrency {
    /// Whose permits these are: the pipeline's or frame's name and the stage's.
    meter: String,
    max: u64,
    per: Per,
    beyond: Beyond,
    queue: usize,
    /// Whether a request goes on where those who share the permits cannot be asked.
    is_lenient: bool,
}

/// What is given back at the end.
struct Held(#[allow(dead_code, reason = "held to be dropped")] Admitted);

impl Stage for Concurrency {
    fn declares(&self) -> Declares {
        let needs = self.per.needs();
        Declares {
            needs,
            reads_operations: needs.has(Needs::BODY).then_some(READABLE_OPERATIONS),
            edits_request: self.beyond.edits(),
            patience: self.beyond.patience(),
            ..Declares::default()
        }
    }

    fn request<'a>(&'a self, visit: Visit<'a>) -> Hook<'a> {
        let Visit { exchange: x, slot, notes } = visit;
        let subject = match self.per.subject(x) {
            Ok(subject) => subject,
            Err(reason) => return Hook::Done(Verdict::Fault(reason)),
        };
        let queue = if self.beyond.patience().is_zero() { 0 } else { self.queue };
        let asked = x.gateway.state.permits.ask(x.space, &self.meter, subject.as_str(), self.max, queue);
        let deadline = self.beyond.patience();
        let queued = match (asked, &self.beyond) {
            (Admission::Granted(permit), _) => {
                *slot = Some(Box::new(Held(permit)));
                return CONTINUE;
            }
            (Admission::Queued(queued), _) => queued,
            (Admission::Refused, beyond) => {
                notes.fact("limit", self.max);
                if let Beyond::Route(model) = beyond {
                    reroute(x, model, notes);
                    return CONTINUE;
                }
                return Hook::Done(self.refuses());
            }
        };
        let clock = Arc::clone(&x.gateway.clock);
        Hook::Wait(Box::pin(async move {
            // Who does not wait for a turn still waits for the word of those who share the permits.
            let turn = match deadline.is_zero() {
                true => queued.await,
                false => {
                    let began = clock.now();
                    let turn = select(queued, clock.sleep(deadline)).await;
                    let waited = clock.now().saturating_sub(began);
                    notes.fact("waited_ms", u64::try_from(waited.as_millis()).unwrap_or(u64::MAX));
                    match turn {
                        Either::Left((turn, _)) => turn,
                        Either::Right(_) => None,
                    }
                }
            };
            let Some(permit) = turn else {
                notes.fact("limit", self.max);
                if let Beyond::Route(model) = &self.beyond {
                    reroute(x, model, notes);
                    return Verdict::Continue;
                }
                return self.refuses();
            };
            let fault = permit.unconfirmed.as_ref().map(ToString::to_string);
            // Where the policy lets it go on without the others' word, it counts in this process.
            if fault.is_none() || self.is_lenient {
                *slot = Some(Box::new(Held(permit)));
            }
            fault.map_or(Verdict::Continue, Verdict::Fault)
        }))
    }

    fn end(&self, visit: Visit<'_>) {
        drop(visit.slot.take());
    }
}

impl Concurrency {
    fn refuses(&self) -> Verdict {
        let many = if self.max == 1 { "request is" } else { "requests are" };
        let message = format!("{} {many} under way, as many as are allowed at once", self.max);
        Verdict::Deny(Box::new(Denial::new(ErrorCode::ConcurrencyExceeded, message)))
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{World, chat, wrongs};
    use futures::future::join_all;

    /// Sends so many at once; how many were answered and how many refused.
    async fn at_once(world: &World, count: usize, team: &str) -> (usize, usize) {
        let got = join_all((0..count).map(|_| world.send_as(Some(team), &[], chat("hi")))).await;
        let with = |status: u16| got.iter().filter(|got| got.status == status).count();
        for got in got.iter().filter(|got| got.status == 429) {
            assert_eq!(got.json()["error"]["code"], "concurrency-exceeded");
        }
        (with(200), with(429))
    }

    #[tokio::test]
    async fn one_too_many_is_refused_and_permits_come_back() {
        let world = World::new("- guard: concurrency\n  with: { max: 2, per: caller.team }");
        for _ in 0..3 {
            assert_eq!(at_once(&world, 5, "web").await, (2, 3));
        }
        assert_eq!(world.fact("concurrency", "limit"), None);
        assert_eq!(at_once(&world, 2, "ops").await, (2, 0));
    }

    #[tokio::test]
    async fn who_waits_gets_a_turn_and_a_full_line_refuses() {
        let wait =
            "- guard: concurrency\n  with: { max: 1, per: everyone, then: wait, deadline: 1h, queue: 2 }";
        let world = World::new(wait);
        assert_eq!(at_once(&world, 3, "web").await, (3, 0));
        assert_eq!(world.fact("concurrency", "waited_ms"), Some(0.into()));
        assert_eq!(at_once(&world, 5, "web").await, (3, 2));
    }

    #[tokio::test]
    async fn a_wait_ends_at_its_deadline() {
        // Short waits are over at once on this clock.
        let wait = "- guard: concurrency\n  with: { max: 1, per: everyone, then: wait, deadline: 1s }";
        assert_eq!(at_once(&World::new(wait), 3, "web").await, (1, 2));
    }

    #[tokio::test]
    async fn a_permit_comes_back_however_the_request_ends() {
        let guard = "- guard: concurrency\n  with: { max: 1, per: everyone }";
        for (below, status) in [
            ("- guard: no\n  cel: request.model != \"fast\"", 403),
            ("- guard: no\n  cel: '!reply.text.contains(\"echo\")'\n  hold: all", 403),
            ("- route: weighted\n  with: { to: [broken] }", 502),
        ] {
            let world = World::new(&format!("{guard}\n{below}"));
            for _ in 0..3 {
                assert_eq!(world.send(chat("hi")).await.status, status, "{below}");
            }
        }
    }

    #[tokio::test]
    async fn a_shadow_counts_apart_and_holds_nothing_up() {
        let world = World::new("- guard: concurrency\n  with: { max: 1, per: everyone }\n  mode: shadow");
        assert_eq!(at_once(&world, 3, "web").await, (3, 0));
    }

    #[tokio::test]
    async fn beyond_the_limit_another_model_answers_and_does_not_count() {
        let world = World::new(
            "- guard: concurrency\n  with: { max: 1, per: everyone, then: route, model: dear }\n- route: requested",
        );
        assert_eq!(at_once(&world, 3, "web").await, (3, 0));
        let mut models: Vec<String> = world.ended().iter().map(|x| x.request.model().to_owned()).collect();
        models.sort();
        assert_eq!(models, ["dear", "dear", "fast"]);
    }

    #[test]
    fn says_what_is_wrong() {
        for (stage, want) in [
            ("with: { max: 0 }", "at least 1"),
            ("with: { max: 2, then: queue }", "wait"),
            ("with: { max: 2, per: caller.teem }", "team"),
            ("timeout: 2s\n  with: { max: 2, then: wait, deadline: 5s }", "`timeout` ends the wait"),
        ] {
            let found = wrongs(&format!("- guard: concurrency\n  {stage}"));
            assert!(found.contains(want), "{stage}\n{found}");
        }
    }
}
