//! Limits tokens by the calendar, for each key, team or whatever an expression gives: 429 `quota-exceeded` until the next
//! hour, day, week or month begins.
//!
//! Before the call the most that it may come to is reserved: the prompt, counted, and the longest answer (what the client asks
//! for, else the model's limit, else `assume_output`). After it what was spent is settled, in all attempts together, and the
//! rest given back. So the limit holds however many come at once. Several limits hold together. Counts outlive a changed limit,
//! and with `state:` the process. A limit in a frame is one for all pipelines.
//!
//! ```yaml
//! - guard: quota
//!   with: { tokens: [1_000_000/day, 20_000_000/month], per: caller.team, time_zone: Europe/Berlin, warn: [80%, 95%] }
//! ```

use super::notify::Notify;
use super::spend::{Common, Limit, Limits, SpendThen, queue, worst};
use super::then::deadline;
use crate::Metrics;
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;
use weir_diagnostic::units::{self, Quota, Ratio};
use weir_pipeline::{Declares, Exchange, Hook, Stage, Verdict, Visit, Workbench};
use weir_policy::{Expr, Spanned, StageDecl};
use weir_state::Unit;

/// The settings of `guard: quota`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// How many tokens, prompt and reply, in which window of the calendar; several limits hold together.
    tokens: Quotas,
    /// For whom it counts: an expression such as `caller.team` or `caller.tags.project`, or `everyone` for all together. Without
    /// it, each key has counts of its own, and callers without a key each address.
    #[serde(default)]
    per: Option<Expr>,
    /// The time zone in which hours, days, weeks and months begin: a name of the IANA database. Without it, UTC.
    #[serde(default)]
    time_zone: Option<Spanned<String>>,
    /// At which shares of a limit to warn, once each in a window: in the log, and as the metric `weir_limit_warnings`.
    #[serde(default)]
    warn: Vec<Ratio>,
    /// Where warnings are sent too.
    #[serde(default)]
    notify: Option<Notify>,
    /// The longest answer to assume, in tokens, where neither the client nor the catalogue says.
    #[serde(default = "assume_output")]
    #[schemars(range(min = 1))]
    assume_output: u64,
    /// Whether every reply tells what is left, in the headers that the client's API has for it (`x-ratelimit-…`,
    /// `anthropic-ratelimit-…`), not only a refusal.
    #[serde(default)]
    report: bool,
    /// What becomes of a request that there is no room for.
    #[serde(default)]
    then: SpendThen,
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

pub(super) fn assume_output() -> u64 {
    weir_pipeline::ASSUMED_OUTPUT
}

/// One quota or several.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Quotas {
    One(Quota),
    Many(Vec<Quota>),
}

pub(crate) fn compile(
    decl: &StageDecl,
    bench: &mut Workbench<'_>,
    metrics: &Metrics,
) -> Option<Arc<dyn Stage>> {
    let settings: Settings = bench.settings(decl)?;
    let quotas = match settings.tokens {
        Quotas::One(quota) => vec![quota],
        Quotas::Many(quotas) => quotas,
    };
    let limit = |quota: &Quota| Limit { amount: quota.count, calendar: quota.per, shown: quota.to_string() };
    let common = Common {
        per: settings.per.as_ref(),
        time_zone: settings.time_zone.as_ref(),
        warn: &settings.warn,
        notify: settings.notify.as_ref(),
        report: settings.report,
        then: settings.then,
        deadline: settings.deadline,
        queue: settings.queue,
        model: settings.model.as_ref(),
    };
    let limits = quotas.iter().map(limit).collect();
    let limits = Limits::compile(Unit::Tokens, limits, &common, decl, bench, metrics)?;
    Some(Arc::new(QuotaGuard { limits, assume_output: settings.assume_output }))
}

struct QuotaGuard {
    limits: Limits,
    assume_output: u64,
}

impl Stage for QuotaGuard {
    fn declares(&self) -> Declares {
        self.limits.declares()
    }

    fn request<'a>(&'a self, visit: Visit<'a>) -> Hook<'a> {
        let most = |x: &Exchange, at_most: Option<u64>| {
            let worst = worst(x, self.assume_output, at_most)?;
            Ok(worst.map(|(_, usage)| usage.total()).max().unwrap_or(0))
        };
        match most(visit.exchange, None) {
            Ok(amount) => self.limits.reserve(visit, amount, |x, tokens| most(x, Some(tokens))),
            Err(reason) => Hook::Done(Verdict::Fault(reason)),
        }
    }

    fn end(&self, visit: Visit<'_>) {
        let spent = visit.exchange.usage.total();
        self.limits.settle(visit, spent);
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{World, chat, wrongs};
    use serde_json::{Value, json};
    use std::time::Duration;
    use weir_message::{Dialect, Operation};

    fn most(text: &str, tokens: u64) -> Value {
        let mut body = chat(text);
        body["max_tokens"] = json!(tokens);
        body
    }

    #[tokio::test]
    async fn a_used_up_quota_refuses_until_the_window_ends() {
        // The clock stands at 2025-11-24T16:00:00Z.
        let world =
            World::new("- guard: quota\n  with: { tokens: [200/hour, 10_000/day], per: caller.team }");
        let mut sent = 0;
        while world.send_as(Some("web"), &[], most("one two three four", 100)).await.status == 200 {
            sent += 1;
            assert!(sent < 50);
        }
        let spent = world.last();
        assert!(sent > 2, "what is not used comes back");
        assert_eq!(spent.trace.error.as_deref(), Some("quota-exceeded"));
        let got = world.send_as(Some("web"), &[], most("one two three four", 100)).await;
        assert_eq!((got.status, got.header("retry-after")), (429, "3600"));
        assert_eq!(got.json()["error"]["code"], "quota-exceeded");
        assert_eq!(world.send_as(Some("ops"), &[], most("hi", 100)).await.status, 200);
        world.pass(Duration::from_secs(3_600));
        assert_eq!(world.send_as(Some("web"), &[], most("hi", 100)).await.status, 200);
    }

    #[tokio::test]
    async fn what_may_come_is_reserved_and_what_came_is_settled() {
        let world =
            World::new("- guard: quota\n  with: { tokens: 1_000/day, per: everyone, assume_output: 50 }");
        let reserved = |world: &World| world.fact("quota", "reserved").unwrap().as_u64().unwrap();
        world.send(most("hi", 100)).await;
        let prompt = reserved(&world) - 100;
        let mut twice = most("hi", 100);
        twice["n"] = json!(2);
        world.send(twice).await;
        assert_eq!(reserved(&world), prompt + 200);
        // The model's own limit is more than this quota ever allows.
        let got = world.send(chat("hi")).await;
        assert_eq!((got.status, got.header("retry-after")), (429, ""));
        assert!(got.body.contains("ever allows"), "{}", got.body);
        assert_eq!(reserved(&world), prompt + 128_000);
        let left = world.fact("quota", "left").unwrap().as_u64().unwrap();
        assert!(left > 900, "two short answers took little: {left}");
    }

    #[tokio::test]
    async fn counts_outlive_a_changed_limit_and_refusals_below_cost_nothing() {
        let quota = |tokens: u64| {
            format!(
                "- guard: quota\n  with: {{ tokens: {tokens}/day, per: everyone }}\n- guard: no\n  cel: request.text != \"no\""
            )
        };
        let world = World::new(&quota(120));
        for _ in 0..9 {
            assert_eq!(world.send(most("no", 100)).await.status, 403);
        }
        assert_eq!(world.send(most("a b c d e f g h", 100)).await.status, 200);
        assert_eq!(world.send(most("hi", 100)).await.status, 429);
        world.reload(&quota(200));
        assert_eq!(world.send(most("hi", 100)).await.status, 200);
    }

    #[tokio::test]
    async fn warns_once_for_each_threshold() {
        let world =
            World::new("- guard: quota\n  with: { tokens: 100/day, per: everyone, warn: [95%, 0.2] }");
        let mut warned = Vec::new();
        for _ in 0..20 {
            world.send(most("one two three", 10)).await;
            warned.extend(world.fact("quota", "warned"));
        }
        assert_eq!(warned, [json!("20% of 100/day")]);
        let text = world.metrics.render();
        assert!(
            text.contains(r#"weir_limit_warnings_total{meter="p/quota",limit="100/day",threshold="20%"} 1"#),
            "{text}"
        );
    }

    #[tokio::test]
    async fn an_answer_is_as_long_as_what_is_left_allows() {
        let world = World::new("- guard: quota\n  with: { tokens: 100/day, per: everyone, then: shorten }");
        for stream in [false, true] {
            let mut asked = most("one two three four", 5_000);
            asked["stream"] = json!(stream);
            assert_eq!(world.send(asked).await.status, 200);
            let (sent, _) = world.calls().pop().unwrap();
            let shortened = world.fact("quota", "shortened_to").unwrap();
            assert_eq!(sent["max_tokens"], shortened, "{sent}");
            assert!(shortened.as_u64().unwrap() < 100);
        }
        // Until nothing is left for an answer.
        let mut sent = 0;
        while world.send(most("one two three four", 5_000)).await.status == 200 {
            sent += 1;
            assert!(sent < 50);
        }
        assert_eq!(world.last().trace.error.as_deref(), Some("quota-exceeded"));
        let spent: u64 = world.ended().iter().map(|x| x.usage.total()).sum();
        assert!(spent <= 100 && spent > 60, "{spent}");
    }

    #[tokio::test]
    async fn what_is_left_is_told_in_the_headers_of_the_clients_api() {
        let world = World::new(
            "- guard: quota\n  with: { tokens: [500/day, 10_000/month], per: everyone, report: true }",
        );
        let got = world.send(most("hi", 100)).await;
        assert_eq!(got.header("x-ratelimit-limit-tokens"), "500");
        assert_eq!(got.header("x-ratelimit-reset-tokens"), "8h0m0s");
        let left: u64 = got.header("x-ratelimit-remaining-tokens").parse().unwrap();
        assert!((300..400).contains(&left), "{left}");
        let got = world.send(most("hi", 1_000)).await;
        assert_eq!((got.status, got.header("x-ratelimit-limit-tokens")), (429, "500"));
        let body = json!({ "model": "fast", "max_tokens": 1_000, "messages": [{ "role": "user", "content": "hi" }] });
        let got = world.ask_in(Dialect::Anthropic, Operation::Chat, None, &[], body).await;
        assert_eq!(got.header("anthropic-ratelimit-tokens-limit"), "500");
        assert_eq!(got.header("anthropic-ratelimit-tokens-reset"), "2025-11-25T00:00:00Z");
    }

    #[tokio::test]
    async fn a_request_waits_for_the_next_window_if_that_begins_before_the_deadline() {
        let world = World::new(
            "- guard: quota\n  with: { tokens: 200/hour, per: everyone, then: wait, deadline: 10m }",
        );
        // The clock stands at 16:00: the next hour is too far.
        world.pass(Duration::from_secs(60));
        while world.send(most("one two three four five", 100)).await.status == 200 {}
        world.pass(Duration::from_secs(55 * 60));
        let mut waits = Box::pin(world.send(most("one two three four five", 100)));
        assert!(futures::poll!(&mut waits).is_pending());
        world.pass(Duration::from_secs(4 * 60));
        assert_eq!(waits.await.status, 200);
        assert_eq!(world.fact("quota", "waited_ms"), Some(240_000.into()));
    }

    #[tokio::test]
    async fn beyond_the_quota_another_model_answers_and_does_not_count() {
        let world = World::new(
            "- guard: quota\n  with: { tokens: 120/day, per: everyone, then: route, model: dear }\n- route: requested",
        );
        let mut models = Vec::new();
        for _ in 0..6 {
            assert_eq!(world.send(most("one two three four five six", 90)).await.status, 200);
            models.push(world.last().request.model().to_owned());
        }
        assert_eq!((models.first().unwrap().as_str(), models.last().unwrap().as_str()), ("fast", "dear"));
    }

    #[test]
    fn says_what_is_wrong() {
        for (with, want) in [
            ("{}", "tokens"),
            ("{ tokens: [] }", "the list of limits is empty"),
            ("{ tokens: 100 }", "1_000_000/month"),
            ("{ tokens: 100/min }", "`min` is no window"),
            ("{ tokens: 100/day, time_zone: Europe/Berlni }", "did you mean `Europe/Berlin`?"),
            ("{ tokens: 100/day, warn: [120%] }", "between 0 and 1"),
            ("{ tokens: 100/day, per: caller.teem }", "team"),
            ("{ tokens: 100/day, then: route }", "model: small"),
            ("{ tokens: 100/day, then: shorten, model: fast }", "goes with `then: route`"),
        ] {
            let found = wrongs(&format!("- guard: quota\n  with: {with}"));
            assert!(found.contains(want), "{with}\n{found}");
        }
    }
}
