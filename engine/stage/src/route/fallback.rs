//! Tries one after the other until one works, each perhaps several times.
//!
//! ```yaml
//! - route: fallback
//!   with:
//!     to: [fast, { model: claude, on: [rate-limited, context-too-long, server-error, timeout] }]
//!     retry: { tries: 2, on: [429, 5xx, timeout] }
//!     deadline: 60s
//! ```

use super::RouteStage;
use super::item::{Item, Status, statuses};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;
use weir_diagnostic::Span;
use weir_diagnostic::units::Duration;
use weir_pipeline::{Fallback, FallbackChild, Stage, Workbench};
use weir_policy::{Node, StageDecl, bind_as};

/// The settings of `route: fallback`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Where it leads, in order: models' names, `requested`, or mappings with `model` (or a `route` inside this one) and `on`,
    /// the failures after which it is tried. Without `on`: all but those that lie in the request.
    #[schemars(length(min = 1))]
    to: Vec<Item>,
    /// How often one target is tried before the next.
    #[serde(default)]
    retry: Option<Retry>,
    /// The longest time for all attempts together.
    #[serde(default)]
    deadline: Option<Duration>,
}

/// How often one target is tried.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Retry {
    /// Tries of one target, the first included.
    #[schemars(range(min = 1, max = 10))]
    tries: u32,
    /// After which failures it is tried again: statuses, `4xx`, `5xx`, or causes such as `timeout`.
    #[serde(default)]
    on: Option<Vec<Status>>,
}

pub(crate) fn compile(decl: &StageDecl, bench: &mut Workbench<'_>) -> Option<Arc<dyn Stage>> {
    let (route, follows_request) = build(&decl.with, decl.span, bench)?;
    Some(Arc::new(RouteStage { route: Arc::new(route), follows_request }))
}

/// The route of these settings, and whether it may follow the model asked for.
pub(super) fn build(with: &Node, place: Span, bench: &mut Workbench<'_>) -> Option<(Fallback, bool)> {
    let settings: Settings = bind_as(with, "`fallback`", place, bench.diagnostics)?;
    let led: Vec<_> = settings.to.iter().map(|item| item.compile(bench)).collect();
    let retry = match &settings.retry {
        None => Some(weir_pipeline::Retry::default()),
        Some(retry) => {
            let on = match &retry.on {
                Some(list) => statuses(list, bench),
                None => {
                    let mut on = weir_message::StatusSet::default();
                    for item in ["rate-limited", "overloaded", "server-error", "timeout", "connect"] {
                        on.add(item);
                    }
                    Some(on)
                }
            };
            on.map(|on| weir_pipeline::Retry { tries: retry.tries, on })
        }
    };
    let led: Vec<_> = led.into_iter().collect::<Option<_>>()?;
    let follows = led.iter().any(|led| led.follows_request);
    let children = led.into_iter().map(|led| FallbackChild { child: led.child, on: led.on }).collect();
    Some((
        Fallback { children, retry: retry?, deadline: settings.deadline.map(|deadline| deadline.0) },
        follows,
    ))
}

#[cfg(test)]
mod tests {
    use crate::testing::{World, chat, wrongs};
    use serde_json::json;

    #[tokio::test]
    async fn goes_down_the_ladder_as_the_policy_says() {
        for (with, model, status, calls) in [
            ("{ to: [requested, claude] }", "fast", 200, vec!["echo"]),
            ("{ to: [requested, claude] }", "broken", 200, vec!["echo-status-500", "echo-say-from_claude"]),
            ("{ to: [requested, { model: claude, on: [429] }] }", "broken", 502, vec!["echo-status-500"]),
            (
                "{ to: [requested, { model: claude, on: [rate-limited] }] }",
                "limited",
                200,
                vec!["echo-status-429", "echo-say-from_claude"],
            ),
            (
                "{ to: [requested], retry: { tries: 3, on: [5xx] } }",
                "broken",
                502,
                vec!["echo-status-500"; 3],
            ),
            (
                "{ to: [{ route: fallback, with: { to: [broken, limited] } }, claude] }",
                "fast",
                200,
                vec!["echo-status-500", "echo-status-429", "echo-say-from_claude"],
            ),
            ("{ to: [requested, claude] }", "unheard-of", 404, vec![]),
            ("{ to: [claude] }", "unheard-of", 200, vec!["echo-say-from_claude"]),
        ] {
            let world = World::new(&format!("- route: fallback\n  with: {with}"));
            let mut body = chat("hi");
            body["model"] = json!(model);
            let got = world.send(body).await;
            assert_eq!(got.status, status, "{with} {model}: {}", got.body);
            let called: Vec<String> =
                world.calls().iter().map(|(body, _)| body["model"].as_str().unwrap().to_owned()).collect();
            assert_eq!(called, calls, "{with} {model}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (with, want) in [
            ("{ to: [fast], retry: { tries: 0 } }", "tries"),
            ("{ to: [fast], retry: { tries: 2, on: [6xx] } }", "`6xx`"),
            ("{ to: [fast], deadline: 60 }", "60s"),
            ("{ to: [{ model: fast, onn: [429] }] }", "on"),
        ] {
            let found = wrongs(&format!("- route: fallback\n  with: {with}"));
            assert!(found.contains(want), "{with}\n{found}");
        }
    }
}
