//! Policy sets from memory: loaded the same each time, every finding in its place, and what loads compiles or says why not.

use crate::{assert_in_place, grow, replay};
use std::path::Path;
use std::sync::{Arc, LazyLock};
use weir_catalog::Catalogue;
use weir_diagnostic::{Diagnostics, Sources, render, to_json, to_sarif};
use weir_pipeline::{Plan, Secrets, Workshop, compile};
use weir_policy::{Environment, Snapshot, load};
use weir_stage::{Metrics, registry};
use weir_state::State;

const WORDS: &[&str] = &[
    "weir: v1\n",
    "- ",
    ": ",
    "  ",
    "\n",
    "{ ",
    " }",
    "[",
    "]",
    "\"",
    "'",
    "|\n",
    ">-\n",
    "&a ",
    "*a",
    "<<: *a",
    "!!str ",
    "~",
    "---\n",
    "...\n",
    "${param:x}",
    "${env:X}",
    "${file:x}",
    "pipelines:",
    "stages:",
    "frames:",
    "models:",
    "providers:",
    "keys:",
    "listeners:",
    "params:",
    "order: 1",
    "use: ",
    "guard: ",
    "route: ",
    "cache: ",
    "transform: ",
    "observe: ",
    "when: ",
    "with: ",
    "cel: ",
    "rhai: ",
    "attempt: ",
    "mode: shadow",
    "mode: off",
    "sample: 10%",
    "timeout: 1s",
    "stream: whole",
    "on_error: skip",
    "on_hit: skip",
    "unread: pass",
    "deny: ",
    "name: ",
    "pii",
    "regex",
    "rate",
    "exact",
    "fallback",
    "weighted",
    "requested",
    "headers",
    "json",
    "log",
    "key",
    "tokens",
    "everyone",
    "1e999",
    "-1",
    "18446744073709551616",
    "\u{feff}",
    "\u{0}",
    "é",
    "𝄞",
];

struct Rows;

impl weir_policy::Catalogue for Rows {
    fn row_names(&self) -> Vec<String> {
        Catalogue::builtin().providers().map(|row| row.name.clone()).collect()
    }
}

static WORKSHOP: LazyLock<Workshop> = LazyLock::new(|| Workshop {
    registry: registry(Metrics::new()),
    catalogue: Catalogue::builtin(),
    // No models: they would be all that takes time.
    inference: weir_inference::Models::open(Path::new("no-models-here")),
    state: Arc::new(State::default()),
});

/// A set and all that is said of it.
pub(crate) struct Built {
    pub(crate) plan: Option<Plan>,
    pub(crate) sources: Sources,
    pub(crate) diagnostics: Diagnostics,
}

/// Loads and compiles a set of one file.
pub(crate) fn build(text: &str) -> Built {
    let snapshot = Snapshot::from_files([("policy.yaml", text)]);
    let environment = Environment { builtins: &*WORKSHOP.registry, catalogue: &Rows, library: &[] };
    let loaded = load(&snapshot, &environment);
    assert_eq!(loaded.set.is_some(), !loaded.diagnostics.has_errors());
    let mut diagnostics = loaded.diagnostics;
    let plan =
        loaded.set.as_ref().and_then(|set| compile(set, &WORKSHOP, &Secrets::Ignored, &mut diagnostics));
    Built { plan, sources: loaded.sources, diagnostics }
}

fn check(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let built = build(&text);
    assert_eq!(built.plan.is_some(), !built.diagnostics.has_errors());
    for found in built.diagnostics.iter() {
        assert_in_place(&built.sources, found);
    }
    let shown = render(&built.sources, &built.diagnostics, false);
    let _ = (to_json(&built.sources, &built.diagnostics), to_sarif(&built.sources, &built.diagnostics));
    let again = build(&text);
    assert_eq!(render(&again.sources, &again.diagnostics, false), shown);
    assert_eq!(
        again.plan.map(|plan| plan.revision().to_string()),
        built.plan.map(|plan| plan.revision().to_string())
    );
}

#[test]
fn policy_corpus() {
    replay("policy", check);
}

#[test]
fn policy_grown() {
    grow("policy", WORDS, check);
}
