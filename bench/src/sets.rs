//! The policy sets that are measured.

use crate::prompts::{self, MODEL};
use std::fmt::Write as _;

fn head(port: u16, upstream: u16, model: &str) -> String {
    format!(
        r#"weir: v1
listeners:
  edge: {{ address: "127.0.0.1:{port}" }}
providers:
  one: {{ dialect: openai, base_url: "http://127.0.0.1:{upstream}/v1" }}
  two: {{ dialect: openai, base_url: "http://127.0.0.1:{upstream}/v1" }}
models:
  {model}: {{ targets: [{{ provider: one, model: {model} }}] }}
  other: {{ targets: [{{ provider: two, model: {model} }}] }}
"#
    )
}

/// The four stages of the CPU rows: a rate by a header, a CEL guard, a route weighted over two targets, metrics.
pub(crate) fn four_stages(port: u16, upstream: u16) -> String {
    four_stages_for(port, upstream, MODEL)
}

/// The same for a model that all gateways know, beside other gateways.
pub(crate) fn beside_peers(port: u16, upstream: u16) -> String {
    four_stages_for(port, upstream, prompts::KNOWN)
}

fn four_stages_for(port: u16, upstream: u16, model: &str) -> String {
    let stages = format!(
        r#"pipelines:
  - pipeline: chat
    anonymous: true
    stages:
      - observe: metrics
      - guard: rate
        with: {{ requests: 1_000_000_000/min, per: 'request.headers["x-team"]' }}
      - guard: known-model
        cel: request.model in ["{model}", "large"] && request.headers["x-team"] != "closed"
      - route: weighted
        with: {{ to: [{{ model: {model}, weight: 3 }}, {{ model: other, weight: 1 }}] }}
"#
    );
    head(port, upstream, model) + &stages
}

/// A route alone: what passes is passed on.
pub(crate) fn route_alone(port: u16, upstream: u16) -> String {
    head(port, upstream, MODEL)
        + "pipelines:\n  - pipeline: chat\n    anonymous: true\n    stages: [{ route: requested }]\n"
}

/// A semantic cache before a route. The threshold is low: what is measured is the way to a hit, not its quality.
pub(crate) fn semantic(port: u16, upstream: u16) -> String {
    head(port, upstream, MODEL)
        + r"pipelines:
  - pipeline: chat
    anonymous: true
    stages:
      - cache: semantic
        with: { threshold: 0.5, verify: off, per: everyone, ttl: 1h }
      - route: requested
"
}

/// How many files the many pipelines are spread over.
const FILES: usize = 20;
/// How many pipelines each holds.
const EACH: usize = 10;

/// The files of a set of 200 pipelines of 8 stages, with CEL and Rhai. `mark` makes the first one differ.
pub(crate) fn many(port: u16, upstream: u16, mark: u32) -> Vec<(String, String)> {
    let mut files = vec![("base.yaml".to_owned(), head(port, upstream, MODEL))];
    for file in 0..FILES {
        let mark = if file == 0 { mark } else { 0 };
        files.push((format!("team-{file:02}.yaml"), team(file, mark)));
    }
    files
}

fn team(file: usize, mark: u32) -> String {
    let mut out = format!("order: {}\npipelines:\n", file + 1);
    for n in file * EACH..(file + 1) * EACH {
        // The last pipeline takes what the others do not.
        let when = match n + 1 == FILES * EACH {
            true => String::new(),
            false => format!("\n    when: request.headers[\"x-team\"] == \"team-{n}\""),
        };
        // Writing to a string cannot fail.
        let _ = write!(
            out,
            r##"  - pipeline: team-{n}{when}
    anonymous: true
    stages:
      - observe: metrics
      - guard: rate
        with: {{ requests: {rate}/min, per: source.address }}
      - guard: short
        cel: size(request.all_text) < {size}
        deny: {{ status: 400, message: "longer than team {n} allows" }}
      - guard: plain-words
        cel: '!request.text.contains("secret-{n}") && request.messages.all(m, m.role != "root")'
      - guard: modest
        when: request.operation == "chat"
        cel: request.tools.size() <= 16 && request.model.startsWith("s")
      - transform: brief
        rhai: |
          fn request(r) {{
            if r.text.len() > {size} {{ r.system("Answer in two sentences, team {n}."); }}
          }}
      - transform: signed
        stream: whole
        rhai: |
          fn signature(team) {{ "team " + team }}
          fn reply(r) {{
            let text = r.text;
            if !text.contains("team") {{ r.text = text + "\n" + signature("{n}"); }}
          }}
      - route: requested
"##,
            rate = 1_000_000 + mark,
            size = 100_000 + n,
        );
    }
    out
}
