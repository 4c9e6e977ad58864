//! Chooses by weight, by the request's own chance; where one fails in a way that another may mend, by weight among the rest.
//!
//! ```yaml
//! - route: weighted
//!   with: { to: [{ model: fast, weight: 9 }, { model: canary }] }
//! ```

use super::RouteStage;
use super::item::{Item, Status, mendable, statuses};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;
use weir_diagnostic::{Code, Diagnostic, Span};
use weir_pipeline::{Stage, Weighted, Workbench};
use weir_policy::{Node, StageDecl, bind_as};

/// The settings of `route: weighted`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Where it may lead: models' names, `requested`, or mappings with `model` (or a `route` inside this one) and `weight`.
    #[schemars(length(min = 1))]
    to: Vec<Item>,
    /// After which failures another one is tried: statuses, `4xx`, `5xx`, or causes such as `timeout`. Without it: all but
    /// those that lie in the request.
    #[serde(default)]
    on: Option<Vec<Status>>,
}

pub(crate) fn compile(decl: &StageDecl, bench: &mut Workbench<'_>) -> Option<Arc<dyn Stage>> {
    let (route, follows_request) = build(&decl.with, decl.span, bench)?;
    Some(Arc::new(RouteStage { route: Arc::new(route), follows_request }))
}

/// The route of these settings, and whether it may follow the model asked for.
pub(super) fn build(with: &Node, place: Span, bench: &mut Workbench<'_>) -> Option<(Weighted, bool)> {
    let settings: Settings = bind_as(with, "`weighted`", place, bench.diagnostics)?;
    let led: Vec<_> = settings.to.iter().map(|item| item.compile(bench)).collect();
    let on = match &settings.on {
        Some(list) => statuses(list, bench),
        None => Some(mendable()),
    };
    let led: Vec<_> = led.into_iter().collect::<Option<_>>()?;
    if led.iter().all(|led| led.weight == 0) {
        let found = Diagnostic::new(Code::BadValue, "all weights are 0, so nothing can be chosen").at(place);
        bench.diagnostics.push(found.help("give one of them a weight of 1 or more"));
        return None;
    }
    let follows = led.iter().any(|led| led.follows_request);
    Some((Weighted::new(led.into_iter().map(|led| (led.weight, led.child)).collect(), on?), follows))
}

#[cfg(test)]
mod tests {
    use crate::testing::{World, chat, wrongs};

    #[tokio::test]
    async fn shares_by_weight_and_mends_a_failure() {
        let world = World::new(
            "- route: weighted\n  with: { to: [{ model: claude, weight: 3 }, { model: broken, weight: 1 }, { model: canary, weight: 0 }] }",
        );
        for _ in 0..40 {
            assert_eq!(world.send(chat("hi")).await.text(), "from claude");
        }
        let broken = world.calls().iter().filter(|(body, _)| body["model"] == "echo-status-500").count();
        assert!((1..25).contains(&broken), "{broken}");
    }

    #[test]
    fn says_what_is_wrong() {
        for (with, want) in [
            ("{ to: [] }", "to"),
            ("{ to: [fats] }", "did you mean `fast`"),
            ("{ to: [{ model: fast, weight: 0 }] }", "weights are 0"),
            ("{ to: [{ model: fast, route: weighted }] }", "either `model` or `route`"),
            ("{ to: [{ route: wieghted }] }", "did you mean `weighted`"),
            ("{ to: [fast], on: [time-out] }", "did you mean `timeout`"),
        ] {
            let found = wrongs(&format!("- route: weighted\n  with: {with}"));
            assert!(found.contains(want), "{with}\n{found}");
        }
    }
}
