//! Limits requests and tokens in a window, for each key, team or whatever an expression gives: 429 `rate-limited`.
//!
//! A subject may use a limit at once; what it used comes back evenly. Requests count when they arrive. Tokens are counted
//! from the prompt when it arrives and settled by what the provider reports, so that a long reply can pass the limit once; then
//! nothing passes until the debt has drained. Counts outlive a changed limit. A limit in a frame is one for all pipelines.
//! Gateways that share a Redis (`state: { redis }`) hold a limit together.
//!
//! ```yaml
//! - guard: rate
//!   with: { requests: [100/min, 2000/day], tokens: 100_000/min, per: caller.team }
//! ```

use super::then::{Beyond, Then, ThenSettings, deadline, reroute};
use super::told::{Counted, Told};
use crate::per::{Per, Subject};
use futures::future::{BoxFuture, ready};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use weir_diagnostic::units::{self, Rate};
use weir_diagnostic::{Code, Diagnostic};
use weir_message::{Body, Denial, ErrorCode};
use weir_pipeline::{Declares, Exchange, Hook, Needs, READABLE_OPERATIONS, Stage, Verdict, Visit, Workbench};
use weir_policy::{Expr, OnError, Spanned, StageDecl};
use weir_script::{Limit, StageLimits};
use weir_state::{Meter, MeterKind, Reservation, Space, Taken, Word};

/// The settings of `guard: rate`. At least one of `requests` and `tokens` is given.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// How many requests in how long, such as `100/min`; several limits hold together.
    #[serde(default)]
    requests: Rates,
    /// How many tokens, prompt and reply, in how long; several limits hold together.
    #[serde(default)]
    tokens: Rates,
    /// For whom it counts: an expression such as `caller.team` or `source.address`, or `everyone` for all together. Without
    /// it, each key has counts of its own, and callers without a key each address.
    #[serde(default)]
    per: Option<Expr>,
    /// Whether every reply tells what is left, in the headers that the client's API has for it (`x-ratelimit-…`,
    /// `anthropic-ratelimit-…`), not only a refusal.
    #[serde(default)]
    report: bool,
    /// What becomes of a request that there is no room for.
    #[serde(default)]
    then: Then,
    /// How long it may wait, with `then: wait`. Who would have to wait longer is refused at once.
    #[serde(default = "deadline")]
    deadline: units::Duration,
    /// How many requests may wait at once, with `then: wait`; more are refused at once.
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

/// One rate or several.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Rates {
    One(Rate),
    Many(Vec<Rate>),
}

impl Default for Rates {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Rates {
    fn list(self) -> Vec<Rate> {
        match self {
            Self::One(rate) => vec![rate],
            Self::Many(rates) => rates,
        }
    }
}

pub(crate) fn compile(decl: &StageDecl, bench: &mut Workbench<'_>) -> Option<Arc<dyn Stage>> {
    let settings: Settings = bench.settings(decl)?;
    let per = match &settings.per {
        Some(expr) => Per::compile(expr, bench),
        None => Some(Per::Caller),
    };
    let (requests, tokens) = (settings.requests.list(), settings.tokens.list());
    if requests.is_empty() && tokens.is_empty() {
        let found = Diagnostic::new(Code::MissingField, "`rate` limits nothing")
            .at(decl.span)
            .help("give `requests`, `tokens` or both: with: { requests: 100/min }");
        bench.diagnostics.push(found);
        return None;
    }
    let beyond =
        ThenSettings { then: settings.then, deadline: settings.deadline, model: settings.model.as_ref() };
    let beyond = Beyond::compile(&beyond, settings.queue, decl, bench)?;
    let meter = format!("{}/{}", bench.home, decl.name);
    Some(Arc::new(RateGuard {
        meter,
        requests,
        tokens,
        per: per?,
        report: settings.report,
        beyond,
        is_lenient: decl.on_error == OnError::Skip,
    }))
}

struct RateGuard {
    /// Whose counts these are: the pipeline's or frame's name and the stage's.
    meter: String,
    requests: Vec<Rate>,
    tokens: Vec<Rate>,
    per: Per,
    report: bool,
    beyond: Beyond,
    /// Whether a request goes on where those who share the counts cannot be asked.
    is_lenient: bool,
}

/// What is to be settled at the end.
struct Reserved(Vec<Reservation>);

/// What was taken of all limits.
#[derive(Default)]
struct Taking {
    /// Of those of requests; empty where they are counted in this process, for good.
    requests: Vec<Reservation>,
    tokens: Vec<Reservation>,
}

impl Taking {
    fn of(&mut self, kind: MeterKind) -> &mut Vec<Reservation> {
        match kind {
            MeterKind::Requests => &mut self.requests,
            MeterKind::Tokens => &mut self.tokens,
        }
    }

    /// Whether others are to be asked first.
    fn is_pending(&self) -> bool {
        self.requests.iter().chain(&self.tokens).any(Reservation::is_pending)
    }

    fn give_back(self, now: Duration) {
        for mut reservation in self.requests.into_iter().chain(self.tokens) {
            reservation.settle(0, now);
        }
    }
}

/// Why a request does not go on.
enum No {
    Full(Full),
    /// Those who share the counts cannot be asked. This process has counted it.
    Unknown {
        reason: String,
        taken: Taking,
    },
}

/// Which limit said no.
struct Full {
    kind: MeterKind,
    rate: Rate,
    taken: Taken,
    wanted: u64,
}

impl Stage for RateGuard {
    fn declares(&self) -> Declares {
        let needs = self.per.needs();
        let tokens = if self.tokens.is_empty() { Needs::NONE } else { Needs::BODY | Needs::USAGE };
        Declares {
            needs: needs | tokens,
            reads_operations: (needs | tokens).has(Needs::BODY).then_some(READABLE_OPERATIONS),
            limits: true,
            edits_request: self.beyond.edits(),
            patience: self.beyond.patience(),
            ..Declares::default()
        }
    }

    fn request<'a>(&'a self, visit: Visit<'a>) -> Hook<'a> {
        let subject = match self.per.subject(visit.exchange) {
            Ok(subject) => subject,
            Err(reason) => return Hook::Done(Verdict::Fault(reason)),
        };
        let no = match self.take(visit.exchange, &subject) {
            Ok(taken) if taken.is_pending() => {
                return Hook::Wait(Box::pin(async move {
                    match self.confirm(visit.exchange, taken).await {
                        Ok(taken) => self.goes_on(visit, &subject, taken),
                        Err(no) => self.beyond(visit, subject, no).await,
                    }
                }));
            }
            Ok(taken) => return Hook::Done(self.goes_on(visit, &subject, taken)),
            Err(full) => No::Full(full),
        };
        match &self.beyond {
            Beyond::Wait(_) => Hook::Wait(Box::pin(self.beyond(visit, subject, no))),
            Beyond::Deny | Beyond::Route(_) => Hook::Done(self.refuse(visit, no)),
        }
    }

    fn end(&self, visit: Visit<'_>) {
        let Some(reserved) = visit.slot.take().and_then(|slot| slot.downcast::<Reserved>().ok()) else {
            return;
        };
        let (spent, now) = (visit.exchange.usage.total(), visit.exchange.now());
        for mut reservation in reserved.0 {
            reservation.settle(spent, now);
        }
    }

    fn limits(&self, x: &Exchange, space: Space) -> Result<StageLimits, String> {
        if self.per.needs().has(Needs::BODY) && matches!(x.request.body, Body::Unread) {
            return Err("for whom it counts stands in a body that no stage has read yet".to_owned());
        }
        let subject = self.per.subject(x)?;
        let left = |kind: MeterKind, rates: &[Rate]| {
            let of = |rate: &Rate| {
                let meter = Meter { space, ..self.meter(x, &subject, kind, *rate) };
                let left = x.gateway.state.limits.peek(&meter, 0, rate.count, x.now()).remaining;
                Limit { max: rate.count, used: rate.count.saturating_sub(left) }
            };
            rates.iter().map(of).reduce(Limit::tighter)
        };
        Ok(StageLimits {
            requests: left(MeterKind::Requests, &self.requests),
            tokens: left(MeterKind::Tokens, &self.tokens),
        })
    }
}

impl RateGuard {
    /// There is no room: it waits for some, if the policy says so, and is refused.
    async fn beyond(&self, visit: Visit<'_>, subject: Subject, no: No) -> Verdict {
        let Beyond::Wait(patience) = &self.beyond else { return self.refuse(visit, no) };
        let clock = Arc::clone(&visit.exchange.gateway.clock);
        let x = &*visit.exchange;
        let after = |no: &No| match no {
            No::Full(full) => full.taken.retry_after,
            No::Unknown { .. } => None,
        };
        let again = || -> BoxFuture<'_, Result<Taking, No>> {
            match self.take(x, &subject) {
                Ok(taken) if taken.is_pending() => Box::pin(self.confirm(x, taken)),
                Ok(taken) => Box::pin(ready(Ok(taken))),
                Err(full) => Box::pin(ready(Err(No::Full(full)))),
            }
        };
        let (taken, waited) = patience.until(&*clock, no, after, again).await;
        visit.notes.fact("waited_ms", u64::try_from(waited.as_millis()).unwrap_or(u64::MAX));
        match taken {
            Ok(taken) => self.goes_on(visit, &subject, taken),
            Err(no) => self.refuse(visit, no),
        }
    }

    fn refuse(&self, visit: Visit<'_>, no: No) -> Verdict {
        let full = match no {
            No::Full(full) => full,
            No::Unknown { reason, taken } => {
                // Where the policy lets it go on, it counts in this process.
                match self.is_lenient {
                    true => *visit.slot = Some(Box::new(Reserved(taken.tokens))),
                    false => taken.give_back(visit.exchange.now()),
                }
                return Verdict::Fault(reason);
            }
        };
        visit.notes.fact("limit", format!("{}", full.rate));
        if let Beyond::Route(model) = &self.beyond {
            reroute(visit.exchange, model, visit.notes);
            return Verdict::Continue;
        }
        visit.notes.fact("remaining", full.taken.remaining);
        told(full.kind, full.rate, &full.taken).set(visit.exchange);
        Verdict::Deny(Box::new(full.denial()))
    }

    /// Waits for the word of those who share the counts.
    async fn confirm(&self, x: &Exchange, mut taking: Taking) -> Result<Taking, No> {
        let mut unknown = None;
        let parts = [(MeterKind::Requests, &self.requests), (MeterKind::Tokens, &self.tokens)];
        for (kind, rates) in parts {
            for n in 0..rates.len() {
                let (Some(rate), Some(reservation)) = (rates.get(n), taking.of(kind).get_mut(n)) else {
                    break;
                };
                match reservation.word().await {
                    Word::Granted(_) => {}
                    Word::Failed(error) => unknown = Some(error.to_string()),
                    Word::Refused(taken) => {
                        let full = Full { kind, rate: *rate, taken, wanted: reservation.reserved() };
                        taking.give_back(x.now());
                        return Err(No::Full(full));
                    }
                }
            }
        }
        match unknown {
            None => Ok(taking),
            Some(reason) => Err(No::Unknown { reason, taken: taking }),
        }
    }

    fn goes_on(&self, visit: Visit<'_>, subject: &Subject, taken: Taking) -> Verdict {
        if !taken.tokens.is_empty() {
            *visit.slot = Some(Box::new(Reserved(taken.tokens)));
        }
        if self.report {
            self.report(visit.exchange, subject);
        }
        Verdict::Continue
    }

    fn meter<'a>(&'a self, x: &Exchange, subject: &'a Subject, kind: MeterKind, rate: Rate) -> Meter<'a> {
        Meter { space: x.space, name: &self.meter, kind, window: rate.per, subject: subject.as_str() }
    }

    /// Takes from all limits, or from none.
    fn take(&self, x: &Exchange, subject: &Subject) -> Result<Taking, Full> {
        let (limits, now) = (&x.gateway.state.limits, x.now());
        let mut taking = Taking::default();
        for (n, rate) in self.requests.iter().enumerate() {
            match limits.spend(&self.meter(x, subject, MeterKind::Requests, *rate), 1, rate.count, now) {
                Ok(reservation) => taking.requests.extend(reservation),
                Err(taken) => {
                    self.give_back(x, subject, n, taking);
                    return Err(Full { kind: MeterKind::Requests, rate: *rate, taken, wanted: 1 });
                }
            }
        }
        if self.tokens.is_empty() {
            return Ok(taking);
        }
        // What a provider keeps spends nothing before it is asked for.
        let wanted = match weir_dialect::is_kept(&x.request) {
            true => 0,
            false => x.plan.services().request_tokens(&x.request),
        };
        for rate in &self.tokens {
            match limits.reserve(&self.meter(x, subject, MeterKind::Tokens, *rate), wanted, rate.count, now) {
                Ok(reservation) => taking.tokens.push(reservation),
                Err(taken) => {
                    self.give_back(x, subject, self.requests.len(), taking);
                    return Err(Full { kind: MeterKind::Tokens, rate: *rate, taken, wanted });
                }
            }
        }
        Ok(taking)
    }

    /// Gives back what was taken before one of the limits refused: the first so many of requests, and the rest.
    fn give_back(&self, x: &Exchange, subject: &Subject, requests: usize, taking: Taking) {
        let (limits, now) = (&x.gateway.state.limits, x.now());
        if taking.requests.is_empty() {
            for rate in self.requests.iter().take(requests) {
                limits.refund(&self.meter(x, subject, MeterKind::Requests, *rate), 1, rate.count, now);
            }
        }
        taking.give_back(now);
    }

    /// Sets the headers that tell what is left of the first limit of each kind.
    fn report(&self, x: &mut Exchange, subject: &Subject) {
        let now = x.now();
        for (kind, rates) in [(MeterKind::Requests, &self.requests), (MeterKind::Tokens, &self.tokens)] {
            let Some(rate) = rates.first() else { continue };
            let left = x.gateway.state.limits.peek(&self.meter(x, subject, kind, *rate), 0, rate.count, now);
            told(kind, *rate, &left).set(x);
        }
    }
}

impl Full {
    fn denial(&self) -> Denial {
        let what = match self.kind {
            MeterKind::Requests => "requests",
            MeterKind::Tokens => "tokens",
        };
        let message = match self.taken.retry_after {
            Some(wait) => {
                let seconds = wait.as_secs_f64().ceil();
                format!("the limit of {} {what} is reached; come back in {seconds} s", self.rate)
            }
            None => format!(
                "this request takes {} {what}, more than the limit of {} ever allows",
                self.wanted, self.rate
            ),
        };
        Denial { retry_after: self.taken.retry_after, ..Denial::new(ErrorCode::RateLimited, message) }
    }
}

fn told(kind: MeterKind, rate: Rate, taken: &Taken) -> Told {
    let counted = match kind {
        MeterKind::Requests => Counted::Requests,
        MeterKind::Tokens => Counted::Tokens,
    };
    Told {
        counted,
        limit: rate.count.to_string(),
        remaining: taken.remaining.to_string(),
        reset: Some(taken.reset_after),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{World, chat, wrongs};
    use serde_json::json;
    use std::time::Duration;
    use weir_message::{Dialect, Operation};

    #[tokio::test]
    async fn a_spent_limit_refuses_and_comes_back() {
        let world = World::new("- guard: rate\n  with: { requests: 2/min, per: caller.team }");
        for (team, status) in [("web", 200), ("web", 200), ("web", 429), ("ops", 200)] {
            assert_eq!(world.send_as(Some(team), &[], chat("hi")).await.status, status, "{team}");
        }
        let got = world.send_as(Some("web"), &[], chat("hi")).await;
        assert_eq!(got.json()["error"]["code"], "rate-limited");
        assert_eq!(got.header("retry-after"), "30");
        assert_eq!(got.header("x-ratelimit-limit-requests"), "2");
        assert_eq!(got.header("x-ratelimit-remaining-requests"), "0");
        assert_eq!(got.header("x-ratelimit-reset-requests"), "1m0s");
        world.pass(Duration::from_secs(30));
        assert_eq!(world.send_as(Some("web"), &[], chat("hi")).await.status, 200);
    }

    #[tokio::test]
    async fn several_limits_hold_together_and_a_refused_request_takes_from_none() {
        let world = World::new("- guard: rate\n  with: { requests: [10/min, 1/s] }");
        assert_eq!(world.send(chat("hi")).await.status, 200);
        for _ in 0..20 {
            assert_eq!(world.send(chat("hi")).await.status, 429);
        }
        world.pass(Duration::from_secs(1));
        assert_eq!(world.send(chat("hi")).await.status, 200);
    }

    #[tokio::test]
    async fn tokens_are_settled_by_what_was_spent() {
        let world = World::new("- guard: rate\n  with: { tokens: 30/min, per: everyone, report: true }");
        let words = "one two three four five six";
        let got = world.send(chat(words)).await;
        assert_eq!(got.status, 200);
        let spent = world.last().usage.total();
        assert!(spent > 10, "{spent}");
        let left =
            |got: &crate::testing::Got| got.header("x-ratelimit-remaining-tokens").parse::<u64>().unwrap();
        let next = world.send(chat("hi")).await;
        let reserved = left(&got);
        assert!(left(&next) < reserved, "{} {reserved}", left(&next));
        assert_eq!(left(&next), (30 - spent).saturating_sub(world.fact_tokens("hi")));
    }

    impl World {
        /// What a prompt of one turn is reserved with.
        fn fact_tokens(&self, text: &str) -> u64 {
            let last = self.last();
            assert_eq!(last.request.text(), text);
            last.plan.services().request_tokens(&last.request)
        }
    }

    #[tokio::test]
    async fn counts_outlive_a_changed_limit() {
        let world = World::new("- guard: rate\n  with: { requests: 2/min, per: everyone }");
        world.send(chat("hi")).await;
        world.send(chat("hi")).await;
        world.reload("- guard: rate\n  with: { requests: 3/min, per: everyone }");
        assert_eq!(world.send(chat("hi")).await.status, 200);
        assert_eq!(world.send(chat("hi")).await.status, 429);
    }

    #[tokio::test]
    async fn a_subject_that_is_null_is_a_fault_and_not_everyone() {
        let world = World::new("- guard: rate\n  with: { requests: 2/min, per: caller.team }");
        let got = world.send(chat("hi")).await;
        assert_eq!((got.status, &got.json()["error"]["code"]), (503, &"stage-unavailable".into()));
    }

    #[tokio::test]
    async fn expressions_see_what_is_left_of_the_tightest_limit_in_shadow_too() {
        let left = "- observe: left\n  cel: limits.stage(\"rate\").remaining";
        for mode in ["enforce", "shadow"] {
            let rate = "- guard: rate\n  with: { requests: [100/min, 3/h], per: caller.team }\n  mode";
            let world = World::new(&format!("{rate}: {mode}\n{left}"));
            for (team, want) in [("web", 2), ("web", 1), ("ops", 2), ("web", 0)] {
                world.send_as(Some(team), &[], chat("hi")).await;
                assert_eq!(world.fact("left", "value"), Some(want.into()), "{mode} {team}");
            }
            // Of nobody it cannot be told.
            world.send(chat("hi")).await;
            assert_eq!(world.fact("left", "value"), None, "{mode}");
        }
    }

    #[tokio::test]
    async fn clients_of_anthropic_are_told_in_their_own_headers() {
        let world = World::new("- guard: rate\n  with: { requests: 2/min, tokens: 1_000/min, report: true }");
        let body =
            json!({ "model": "fast", "max_tokens": 9, "messages": [{ "role": "user", "content": "hi" }] });
        let got = world.ask_in(Dialect::Anthropic, Operation::Chat, None, &[], body.clone()).await;
        assert_eq!(got.status, 200, "{}", got.body);
        assert_eq!(got.header("anthropic-ratelimit-requests-limit"), "2");
        assert_eq!(got.header("anthropic-ratelimit-requests-remaining"), "1");
        // The clock stands at 2025-11-24T16:00:00Z.
        assert_eq!(got.header("anthropic-ratelimit-requests-reset"), "2025-11-24T16:00:30Z");
        assert_eq!(got.header("anthropic-ratelimit-tokens-limit"), "1000");
        assert_eq!(got.header("x-ratelimit-limit-requests"), "");
        world.ask_in(Dialect::Anthropic, Operation::Chat, None, &[], body.clone()).await;
        let got = world.ask_in(Dialect::Anthropic, Operation::Chat, None, &[], body).await;
        assert_eq!((got.status, got.header("retry-after")), (429, "30"));
        assert_eq!(got.header("anthropic-ratelimit-requests-remaining"), "0");
    }

    #[tokio::test]
    async fn a_request_waits_for_room_if_that_comes_before_the_deadline() {
        let world = World::new(
            "- guard: rate\n  with: { requests: 2/min, per: everyone, then: wait, deadline: 40s, queue: 1 }",
        );
        for _ in 0..2 {
            assert_eq!(world.send(chat("hi")).await.status, 200);
        }
        // One may wait; one more is refused at once.
        let (mut first, mut second) = (Box::pin(world.send(chat("a"))), Box::pin(world.send(chat("b"))));
        assert!(futures::poll!(&mut first).is_pending());
        let refused = second.as_mut().await;
        assert_eq!((refused.status, refused.header("retry-after")), (429, "30"));
        world.pass(Duration::from_secs(30));
        assert_eq!(first.await.status, 200);
        assert_eq!(world.fact("rate", "waited_ms"), Some(30_000.into()));
        // Half a minute is in time; what comes later than the deadline is not waited for.
        let world = World::new(
            "- guard: rate\n  with: { requests: 1/min, per: everyone, then: wait, deadline: 40s }",
        );
        assert_eq!(world.send(chat("hi")).await.status, 200);
        assert_eq!(world.send(chat("hi")).await.status, 429);
    }

    #[tokio::test]
    async fn beyond_the_limit_another_model_answers_and_does_not_count() {
        let world = World::new(
            "- guard: rate\n  with: { requests: 2/min, per: everyone, then: route, model: dear }\n- route: requested",
        );
        for (n, want) in [(1, "fast"), (2, "fast"), (3, "dear"), (4, "dear")] {
            assert_eq!(world.send(chat("hi")).await.status, 200);
            assert_eq!(world.last().request.model(), want, "request {n}");
        }
        assert_eq!(world.fact("rate", "instead_of"), Some("fast".into()));
        world.pass(Duration::from_secs(30));
        world.send(chat("hi")).await;
        assert_eq!(world.last().request.model(), "fast");
    }

    #[test]
    fn says_what_is_wrong() {
        for (with, want) in [
            ("{}", "limits nothing"),
            ("{ requests: 100 }", "100"),
            ("{ requests: 100/min, per: caller.teem }", "team"),
            ("{ requests: 100/min, every: caller.team }", "every"),
            ("{ requests: 100/min, then: route }", "model: small"),
            ("{ requests: 100/min, then: route, model: fats }", "did you mean `fast`?"),
            ("{ requests: 100/min, then: route, model: requested }", "name another one"),
            ("{ requests: 100/min, model: fast }", "goes with `then: route`"),
            ("{ requests: 100/min, then: queue }", "wait"),
        ] {
            let found = wrongs(&format!("- guard: rate\n  with: {with}"));
            assert!(found.contains(want), "{with}\n{found}");
        }
    }
}
