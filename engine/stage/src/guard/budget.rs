//! Limits money by the calendar, for each key, team or whatever an expression gives: 429 `budget-exceeded` until the next hour,
//! day, week or month begins.
//!
//! Before the call the most that it may cost is reserved: the prompt, counted, and the longest answer (what the client asks for,
//! else the model's limit, else `assume_output`), at the dearest price among the targets that the request may reach. After it
//! what was spent is settled, to the billionth of a dollar and in all attempts together, and the rest given back. So the limit
//! holds however many come at once. Several limits hold together. What was spent outlives a changed limit, and with `state:` the
//! process. A limit in a frame is one for all pipelines.
//!
//! ```yaml
//! - guard: budget
//!   with: { money: [25 USD/day, 400 USD/month], per: caller.team, time_zone: Europe/Berlin, warn: [80%, 95%] }
//! ```

use super::notify::Notify;
use super::quota::assume_output;
use super::spend::{Common, Limit, Limits, SpendThen, queue, worst};
use super::then::deadline;
use crate::Metrics;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use weir_catalog::Price;
use weir_diagnostic::units::{self, Budget, Ratio};
use weir_message::{Money, Usage};
use weir_pipeline::{Declares, Exchange, Hook, Stage, Verdict, Visit, Workbench};
use weir_policy::{Expr, Spanned, StageDecl};
use weir_state::Unit;

/// The settings of `guard: budget`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// How much money in which window of the calendar; several limits hold together.
    money: Budgets,
    /// For whom it counts: an expression such as `caller.team` or `caller.tags.project`, or `everyone` for all together. Without
    /// it, each key has a budget of its own, and callers without a key each address.
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
    /// What becomes of a request that may reach a target without a price: the stage cannot decide (so `on_error` does), or the
    /// target counts as free.
    #[serde(default)]
    unpriced: Unpriced,
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

/// What becomes of a request that may reach a target without a price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Unpriced {
    /// The stage cannot decide.
    #[default]
    Fault,
    /// The target counts as free.
    Pass,
}

/// One budget or several.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Budgets {
    One(Budget),
    Many(Vec<Budget>),
}

pub(crate) fn compile(
    decl: &StageDecl,
    bench: &mut Workbench<'_>,
    metrics: &Metrics,
) -> Option<Arc<dyn Stage>> {
    let settings: Settings = bench.settings(decl)?;
    let budgets = match settings.money {
        Budgets::One(budget) => vec![budget],
        Budgets::Many(budgets) => budgets,
    };
    let limit =
        |budget: &Budget| Limit { amount: budget.nanos, calendar: budget.per, shown: budget.to_string() };
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
    let limits = budgets.iter().map(limit).collect();
    let limits = Limits::compile(Unit::Money, limits, &common, decl, bench, metrics)?;
    Some(Arc::new(BudgetGuard {
        limits,
        assume_output: settings.assume_output,
        passes_unpriced: settings.unpriced == Unpriced::Pass,
    }))
}

struct BudgetGuard {
    limits: Limits,
    assume_output: u64,
    passes_unpriced: bool,
}

impl Stage for BudgetGuard {
    fn declares(&self) -> Declares {
        self.limits.declares()
    }

    fn request<'a>(&'a self, visit: Visit<'a>) -> Hook<'a> {
        match self.worst(visit.exchange, None) {
            Ok(amount) => self.limits.reserve(visit, amount, |x, tokens| self.worst(x, Some(tokens))),
            Err(reason) => Hook::Done(Verdict::Fault(reason)),
        }
    }

    fn end(&self, visit: Visit<'_>) {
        let spent = nanos(visit.exchange.cost);
        self.limits.settle(visit, spent);
    }
}

impl BudgetGuard {
    /// The most that a request may cost, if no answer has more tokens than that.
    fn worst(&self, x: &Exchange, at_most: Option<u64>) -> Result<u64, String> {
        let mut most = 0;
        for (target, usage) in worst(x, self.assume_output, at_most)? {
            match &target.price {
                Some(price) => most = most.max(nanos(dearest(price, usage))),
                None if self.passes_unpriced => {}
                None => {
                    let model = target.model_for(&x.request);
                    return Err(format!("{model} of {} has no price", target.provider.name));
                }
            }
        }
        Ok(most)
    }
}

fn nanos(money: Money) -> u64 {
    u64::try_from(money.nanos()).unwrap_or(0)
}

/// What so many tokens cost at most: whether the prompt is kept in the provider's cache, and whether the answer is thought or
/// said, is known only at the end.
fn dearest(price: &Price, usage: Usage) -> Money {
    let Usage { input, output, .. } = usage;
    let prompts = [
        usage,
        Usage { cache_write: input, ..usage },
        Usage { cache_write: input, cache_write_1h: input, ..usage },
    ];
    let all = prompts.into_iter().flat_map(|prompt| [prompt, Usage { reasoning: output, ..prompt }]);
    all.map(|usage| price.of(&usage)).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, chat, wrongs};
    use futures::future::join_all;
    use serde_json::{Value, json};

    /// Echo costs 0.1 dollars a million tokens of the prompt, and 0.4 of the answer.
    fn most(model: &str, tokens: u64) -> Value {
        let mut body = chat("one two three four five");
        body["model"] = json!(model);
        body["max_tokens"] = json!(tokens);
        body
    }

    #[tokio::test]
    async fn many_at_once_spend_at_most_the_budget_and_nearly_all_of_it() {
        // About 600 answers.
        let world = World::new("- guard: budget\n  with: { money: 0.002 USD/month, per: everyone }");
        let mut spent = 0;
        loop {
            let got = join_all((0..64).map(|_| world.send(most("fast", 20)))).await;
            let answered = got.iter().filter(|got| got.status == 200).count();
            for got in got.iter().filter(|got| got.status != 200) {
                assert_eq!(got.json()["error"]["code"], "budget-exceeded", "{}", got.body);
            }
            if answered == 0 {
                break;
            }
            spent = world.spent();
            assert!(spent <= 2_000_000, "{spent}");
        }
        assert!(spent >= 1_980_000, "{spent}");
        let last = world.send(most("fast", 20)).await;
        assert!(last.header("retry-after").parse::<u64>().unwrap() > 86_400, "{last:?}");
    }

    impl World {
        /// What all requests cost, in billionths of a dollar.
        fn spent(&self) -> i64 {
            self.ended().iter().map(|x| x.cost.nanos()).sum()
        }
    }

    #[tokio::test]
    async fn the_dearest_target_that_may_be_reached_counts() {
        let reserved = |world: &World| world.fact("budget", "reserved").unwrap();
        let guard = "- guard: budget\n  with: { money: 1 USD/day, per: everyone, unpriced: pass }\n";
        let priced = |route: &str| World::new(&format!("{guard}{route}"));
        let world = priced("- route: requested");
        world.send(most("fast", 1_000)).await;
        let cheap = reserved(&world);
        world.send(most("dear", 1_000)).await;
        let dear = reserved(&world);
        assert_ne!(cheap, dear);
        for (route, asked, want) in [
            ("- route: fallback\n  with: { to: [requested, dear] }", "fast", &dear),
            ("- route: weighted\n  with: { to: [fast] }", "dear", &cheap),
            ("- route: weighted\n  with: { to: [dear] }\n  when: request.stream", "fast", &dear),
            ("- route: mine\n  cel: '\"fast\"'", "fast", &dear),
        ] {
            let world = priced(route);
            world.send(most(asked, 1_000)).await;
            assert_eq!(&reserved(&world), want, "{route}");
        }
    }

    #[tokio::test]
    async fn a_target_without_a_price_is_a_fault_unless_the_policy_lets_it_pass() {
        for (with, status) in [("", 503), (", unpriced: fault", 503), (", unpriced: pass", 200)] {
            let world =
                World::new(&format!("- guard: budget\n  with: {{ money: 1 USD/day, per: everyone{with} }}"));
            assert_eq!(world.send(most("free", 10)).await.status, status, "{with}");
            assert_eq!(world.send(most("fast", 10)).await.status, 200, "{with}");
        }
    }

    #[tokio::test]
    async fn each_attempt_counts_and_what_failed_or_came_from_a_cache_costs_nothing() {
        let world = World::new(
            "- guard: budget\n  with: { money: 1 USD/total, per: everyone }\n- cache: exact\n  with: { per: everyone }\n- route: fallback\n  with: { to: [broken, fast] }",
        );
        for _ in 0..3 {
            assert_eq!(world.send(most("fast", 10)).await.status, 200);
        }
        let spent = world.spent();
        let whole = World::new("- guard: budget\n  with: { money: 1 USD/total, per: everyone }");
        whole.send(most("fast", 10)).await;
        assert_eq!(spent, whole.spent());
        assert_eq!(world.counted("p/budget"), spent.unsigned_abs());
    }

    #[tokio::test]
    async fn an_attempt_of_which_nobody_learns_what_it_cost_counts_as_its_worst() {
        let guard = "- guard: budget\n  with: { money: 1 USD/total, per: everyone }\n";
        for (stream, output) in [(false, 1_000), (true, 0)] {
            let world = World::new(&format!("{guard}- route: fallback\n  with: {{ to: [vanishing, fast] }}"));
            let mut body = most("fast", 1_000);
            body["stream"] = json!(stream);
            assert_eq!(world.send(body).await.status, 200);
            let x = world.last();
            let [lost, _] = &x.trace.attempts[..] else { panic!("{:?}", x.trace.attempts) };
            let usage = lost.usage.unwrap();
            assert!(usage.counted && usage.input >= 5, "{usage:?}");
            assert_eq!(usage.output, output);
            assert!(x.cost > lost.cost.unwrap());
            assert_eq!(world.counted("p/budget"), x.cost.nanos().unsigned_abs());
        }
    }

    #[tokio::test]
    async fn a_model_that_a_route_names_and_only_a_pattern_knows_has_its_own_price() {
        let world = World::new(
            "- guard: budget\n  with: { money: 1 USD/total, per: everyone }\n- route: fallback\n  with: { to: [{ model: echo-say-gold }] }",
        );
        assert_eq!(world.send(most("fast", 10)).await.status, 200);
        let x = world.last();
        let usage = x.trace.attempts[0].usage.unwrap();
        let micros = usage.input * 20 + usage.output * 80;
        assert_eq!(x.cost.nanos().unsigned_abs(), micros * 1_000);
        assert_eq!(world.counted("p/budget"), micros * 1_000);
    }

    impl World {
        /// What the guard counted for everyone, for good.
        fn counted(&self, meter: &str) -> u64 {
            let calendar = weir_diagnostic::units::Calendar::Total;
            let window = weir_state::Window::at(calendar, weir_state::TimeZone::UTC, 0);
            let space = weir_state::Space::Live;
            let account = weir_state::Account { space, meter, unit: Unit::Money, subject: "", window };
            self.state().totals.spent(&account)
        }
    }

    #[tokio::test]
    async fn an_answer_is_as_long_as_the_money_left_allows_and_what_is_left_is_told() {
        let world = World::new(
            "- guard: budget\n  with: { money: 0.0001 USD/total, per: everyone, then: shorten, report: true }",
        );
        let mut sent = 0;
        loop {
            let got = world.send(most("fast", 100_000)).await;
            if got.status != 200 {
                assert_eq!(got.json()["error"]["code"], "budget-exceeded");
                assert_eq!(got.header("x-ratelimit-limit-budget"), "0.0001");
                assert_eq!(got.header("x-ratelimit-reset-budget"), "", "it never comes back");
                break;
            }
            assert!(world.spent() <= 100_000, "{}", world.spent());
            sent += 1;
            assert!(sent < 100);
        }
        assert!(sent > 2, "what is not used comes back");
    }

    #[test]
    fn the_dearest_way_to_count_a_token_counts() {
        let price = Price {
            input: Money::from_nanos(1_000_000),
            cache_write_1h: Some(Money::from_nanos(2_000_000)),
            output: Money::from_nanos(4_000_000),
            reasoning: Some(Money::from_nanos(5_000_000)),
            ..Price::default()
        };
        assert_eq!(dearest(&price, Usage { input: 10, output: 10, ..Usage::default() }).nanos(), 70);
    }

    #[test]
    fn says_what_is_wrong() {
        for (with, want) in [
            ("{}", "money"),
            ("{ money: 25/day }", "no sum of US dollars"),
            ("{ money: [25 USD/day, 1 USD/min] }", "`min` is no window"),
            ("{ money: 25 USD/day, unpriced: deny }", "pass"),
        ] {
            let found = wrongs(&format!("- guard: budget\n  with: {with}"));
            assert!(found.contains(want), "{with}\n{found}");
        }
    }
}
