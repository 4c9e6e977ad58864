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

use super::spend::{Common, Limit, Limits, worst};
use crate::Metrics;
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;
use weir_diagnostic::units::{Quota, Ratio};
use weir_pipeline::{Declares, Hook, Stage, TEXT_OPERATIONS, Verdict, Visit, Workbench};
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
    /// The longest answer to assume, in tokens, where neither the client nor the catalogue says.
    #[serde(default = "assume_output")]
    #[schemars(range(min = 1))]
    assume_output: u64,
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
    let common =
        Common { per: settings.per.as_ref(), time_zone: settings.time_zone.as_ref(), warn: &settings.warn };
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
        Declares {
            needs: self.limits.needs(),
            reads_operations: Some(TEXT_OPERATIONS),
            ..Declares::default()
        }
    }

    fn request<'a>(&'a self, visit: Visit<'a>) -> Hook<'a> {
        let amount = match worst(visit.exchange, self.assume_output) {
            Ok(worst) => worst.map(|(_, usage)| usage.total()).max().unwrap_or(0),
            Err(reason) => return Hook::Done(Verdict::Fault(reason)),
        };
        self.limits.reserve(visit, amount)
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
        ] {
            let found = wrongs(&format!("- guard: quota\n  with: {with}"));
            assert!(found.contains(want), "{with}\n{found}");
        }
    }
}
