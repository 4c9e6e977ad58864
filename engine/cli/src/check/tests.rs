//! A good set and many slips. However many of them are made at once, each is said at its place, and nothing else is: no slip
//! hides another, and none is told a second time by what follows from it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use crate::set::Shop;
use std::collections::BTreeSet;
use std::sync::Arc;
use weir_pipeline::Secrets;
use weir_policy::Snapshot;
use weir_state::State;

const POLICY: &str = r#"weir: v1
listeners:
  edge: { address: "127.0.0.1:8080", identify: [key], limits: { body: 4MiB } }
keys:
  ann: { hash: "blake3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262", operations: [chat, embedding] }
providers:
  lab: { dialect: openai, base_url: "http://127.0.0.1:9/v1", timeouts: { connect: 2s } }
  house: { from: echo }
models:
  fast: { targets: [ { provider: lab, model: qwen }, { provider: house, weight: 2 } ] }
  slow: { targets: [ { provider: house, model: echo } ] }
params:
  longest: 500
stages:
  cap:
    params: { most: { type: int }, share: { type: number, default: 0.5 } }
    stages:
      - guard: tokens
        with: { max: "${param:most}" }
      - guard: short
        cel: double(size(request.text)) * params.share < 1e6
frames:
  - frame: all
    stages: [ { observe: metrics } ]
pipelines:
  - pipeline: chat
    when: request.operation == "chat"
    stages:
      - guard: key
      - guard: rate
        with: { requests: 100/min, per: caller.user }
      - use: cap
        with: { most: 1000 }
      - guard: polite
        cel: '!request.text.contains("swear")'
        timeout: 2s
        deny: { status: 403 }
      - cache: exact
        with: { per: caller.team, ttl: 1h }
      - transform: style
        rhai: { file: house.rhai }
      - route: fallback
        with: { to: [ fast, { model: slow, on: [timeout] } ], deadline: 60s }
        attempt:
          - guard: near
            cel: attempt.provider.name != "far"
  - pipeline: search
    when: request.operation == "embedding"
    stages:
      - guard: key
      - guard: pii
        with: { find: [email], then: replace }
      - cache: exact
        name: kept
        with: { per: everyone }
      - observe: log
      - route: by-team
        cel: 'caller.team == "a" ? "fast" : "slow"'
  - pipeline: rank
    when: request.operation == "rerank" && caller != null
    stages:
      - guard: regex
        with: { deny: ["x[0-9]+"] }
      - route: weighted
        with: { to: [ { model: fast, weight: 3 }, { model: slow, weight: 1 } ] }
"#;

const SCRIPT: &str = "fn request(r) {\n  r.system(\"Be brief.\");\n}\n";

/// A slip: what of the set it touches, what stands there then, and what is said: codes and the texts that they point at. Two
/// slips that have a word of their groups in common do not go together: one of them stands where the other one would, or takes
/// that away.
struct Slip {
    group: &'static str,
    from: &'static str,
    to: &'static str,
    said: &'static [(&'static str, &'static str)],
}

const fn slip(
    group: &'static str,
    from: &'static str,
    to: &'static str,
    said: &'static [(&'static str, &'static str)],
) -> Slip {
    Slip { group, from, to, said }
}

const SLIPS: &[Slip] = &[
    // Sections.
    slip("edition", "weir: v1", "weir: v2", &[("bad-edition", "v2")]),
    slip("edition", "weir: v1", "wier: v1", &[("unknown-section", "wier")]),
    slip("section", "params:\n  longest: 500\n", "policies: {}\n", &[("unknown-section", "policies")]),
    slip("section", "params:\n  longest: 500\n", "scopes: {}\n", &[("not-served", "scopes")]),
    slip("section", "params:\n  longest: 500\n", "params:\n  a: 1\n  a: 2\n", &[("duplicate-key", "a")]),
    slip("listener", "identify: [key]", "identify: [kye]", &[("bad-value", "kye")]),
    slip("listener", "\"127.0.0.1:8080\"", "\"127.0.0.1\"", &[("bad-value", "\"127.0.0.1\"")]),
    slip("limits", "body: 4MiB", "body: 4", &[("bad-value", "4")]),
    slip(
        "operations",
        "[chat, embedding]",
        "[caht, embeding]",
        &[("unknown-name", "caht"), ("unknown-name", "embeding")],
    ),
    slip(
        "hash",
        "hash: \"blake3:af13",
        "hash: \"sha256:af13",
        &[("bad-value", "\"sha256:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262\"")],
    ),
    slip("hash", "hash: \"blake3:af13", "hsah: \"blake3:af13", &[("unknown-field", "hsah")]),
    slip("lab", "base_url: \"http:", "base_url: \"ftp:", &[("bad-value", "\"ftp://127.0.0.1:9/v1\"")]),
    slip("lab", "dialect: openai, ", "", &[("missing-field", "lab")]),
    slip("lab", "dialect: openai", "dialect: opnai", &[("bad-value", "opnai")]),
    slip("connect", "connect: 2s", "connect: 2", &[("bad-value", "2")]),
    slip("house", "from: echo", "from: ecko", &[("unknown-name", "ecko")]),
    slip("house", "{ from: echo }", "echo", &[("wrong-type", "echo")]),
    slip(
        "fast",
        "{ provider: lab, model: qwen }",
        "{ provider: lap, model: qwen }",
        &[("unknown-name", "lap")],
    ),
    slip(
        "fast",
        "{ provider: lab, model: qwen }",
        "{ provider: lab, modle: qwen }",
        &[("unknown-field", "modle")],
    ),
    slip("fast", "model: qwen", "model: \"${env:QWEN}\"", &[("misplaced-secret", "\"${env:QWEN}\"")]),
    slip("weight", "weight: 2", "weight: some", &[("wrong-type", "some")]),
    slip(
        "slow",
        "slow: { targets: [ { provider: house, model: echo } ] }",
        "slow: echo",
        &[("wrong-type", "echo")],
    ),
    slip("slow", "slow: { targets", "slow: { tragets", &[("unknown-field", "tragets")]),
    slip(
        "slow",
        "slow: { targets: [ { provider: house, model: echo } ] }",
        "slow: { targets: [] }",
        &[("bad-value", "[]")],
    ),
    // The library.
    slip(
        "cap",
        "max: \"${param:most}\"",
        "max: \"${param:mots}\"",
        &[("unknown-name", "\"${param:mots}\""), ("unused", "{ type: int }")],
    ),
    slip(
        "cap-cel",
        "params.share < 1e6",
        "params.shrae < 1e6",
        &[("unknown-reference", "shrae"), ("unused", "{ type: number, default: 0.5 }")],
    ),
    slip(
        "cap-cel",
        "params.share < 1e6",
        "params.share < \"3\"",
        &[("type-mismatch", "double(size(request.text)) * params.share < \"3\"")],
    ),
    slip("most", "most: 1000", "most: many", &[("bad-param", "many")]),
    slip("most", "most: 1000", "mots: 1000", &[("bad-param", "mots")]),
    slip("use", "use: cap", "use: cup", &[("unknown-name", "cup")]),
    // Stages.
    slip(
        "key",
        "      - guard: key\n      - guard: rate",
        "      - gaurd: key\n      - guard: rate",
        &[("unknown-field", "gaurd")],
    ),
    slip(
        "key",
        "      - guard: key\n      - guard: rate",
        "      - guard: kye\n      - guard: rate",
        &[("unknown-stage", "kye")],
    ),
    slip(
        "key",
        "      - guard: key\n      - guard: rate",
        "      - guard: key\n        mode: enforced\n      - guard: rate",
        &[("bad-value", "enforced")],
    ),
    slip(
        "key",
        "      - guard: key\n      - guard: rate",
        "      - guard: key\n        when: [a]\n      - guard: rate",
        &[("wrong-type", "[a]")],
    ),
    slip(
        "key",
        "      - guard: key\n      - guard: rate",
        "      - key\n      - guard: rate",
        &[("wrong-type", "key")],
    ),
    slip(
        "key",
        "      - guard: key\n      - guard: rate",
        "      - guard: known\n        cel: caler != null\n      - guard: rate",
        &[("unknown-reference", "caler")],
    ),
    slip("key", "      - guard: key\n      - guard: rate", "      - guard: rate", &[("open-relay", "chat")]),
    slip("rate", "requests: 100/min", "requests: 100", &[("wrong-type", "100")]),
    slip("per", "per: caller.user", "per: caller.usr", &[("unknown-reference", "usr")]),
    slip("polite", "request.text.contains", "request.txt.contains", &[("unknown-reference", "txt")]),
    slip(
        "polite",
        "!request.text.contains(\"swear\")",
        "reply.text == \"\" || request.text",
        &[("type-mismatch", "request.text")],
    ),
    slip(
        "polite",
        "!request.text.contains(\"swear\")",
        "request.text.contains(\"swear\"",
        &[("bad-cel", "\"swear\"")],
    ),
    slip("timeout", "timeout: 2s", "timeout: 2", &[("bad-value", "2")]),
    slip("timeout", "timeout: 2s", "tiemout: 2s", &[("unknown-field", "tiemout")]),
    slip("deny", "status: 403", "status: 200", &[("bad-value", "200")]),
    slip("ttl", "ttl: 1h", "tll: 1h", &[("unknown-field", "tll")]),
    slip("cache-per", "per: caller.team", "per: caller.taem", &[("unknown-reference", "taem")]),
    slip("style", "file: house.rhai", "file: huose.rhai", &[("unknown-name", "huose.rhai")]),
    slip("script", "r.system(", "r.sistem(", &[("unknown-reference", "sistem")]),
    slip("script", "r.system(\"Be brief.\");", "r.system(\"Be brief.\"", &[("bad-rhai", "}")]),
    slip("to", "to: [ fast,", "to: [ fsat,", &[("unknown-name", "fsat")]),
    slip("on", "on: [timeout]", "on: [time-out]", &[("bad-value", "time-out")]),
    slip("deadline", "deadline: 60s", "deadline: 60", &[("bad-value", "60")]),
    slip("near", "attempt.provider.name", "attempt.provdier.name", &[("unknown-reference", "provdier")]),
    slip("search-key", "- pipeline: search", "- pipeline: chat", &[("duplicate-name", "chat")]),
    slip(
        "search-key",
        "      - guard: key\n      - guard: pii",
        "      - guard: pii",
        &[("open-relay", "search")],
    ),
    slip("find", "find: [email]", "find: [emial]", &[("bad-value", "emial")]),
    slip("find", "find: [email], ", "", &[("missing-field", "pii")]),
    slip(
        "find search-key",
        "      - guard: pii\n        with: { find: [email], then: replace }\n      - cache: exact\n        name: kept\n        with: { per: everyone }\n",
        "      - cache: exact\n        name: kept\n        with: { per: everyone }\n      - guard: pii\n        with: { find: [email], then: replace }\n",
        &[("cache-before-pii", "exact")],
    ),
    slip(
        "find search-key",
        "      - guard: pii\n        with: { find: [email], then: replace }\n      - cache: exact\n        name: kept\n        with: { per: everyone }\n",
        "      - cache: exact\n        name: kept\n        with: { per: evryone }\n      - guard: pii\n        with: { find: [email], then: replace }\n",
        &[("cache-before-pii", "exact"), ("unknown-reference", "evryone")],
    ),
    slip("log", "- observe: log", "- observe: lgo", &[("unknown-stage", "lgo")]),
    slip("log search-key", "- observe: log", "- name: log", &[("bad-stage", "name")]),
    slip("by-team", "\"fast\" : \"slow\"", "\"fats\" : \"slow\"", &[("unknown-name", "\"fats\"")]),
    slip("by-team", "\"fast\" : \"slow\"", "\"fast\" : 2", &[("type-mismatch", "2")]),
    slip("by-team", "caller.team == \"a\"", "caller.team == 1", &[("type-mismatch", "caller.team == 1")]),
    slip("rank", "caller != null", "caller.team", &[("type-mismatch", "caller.team")]),
    slip("rank", " && caller != null", "", &[("open-relay", "rank")]),
    slip("regex", "x[0-9]+", "x[0-9+", &[("bad-regex", "\"x[0-9+\"")]),
    slip("weights", "model: slow, weight: 1", "model: solw, weight: 1", &[("unknown-name", "solw")]),
    slip("weights", "weight: 3", "weight: -3", &[("bad-value", "-3")]),
];

/// The codes found and the texts that they point at, sorted.
fn found(shop: &Shop, slips: &[&Slip]) -> (Vec<(String, String)>, String) {
    let made =
        |text: &str| slips.iter().fold(text.to_owned(), |text, slip| text.replacen(slip.from, slip.to, 1));
    let files = [("policy.yaml", made(POLICY)), ("house.rhai", made(SCRIPT))];
    let compiled = shop.compile(&Snapshot::from_files(files), &Secrets::Ignored, &Arc::new(State::default()));
    let mut found: Vec<(String, String)> = compiled
        .diagnostics
        .iter()
        .map(|diagnostic| {
            let span = diagnostic.span.unwrap_or_else(|| panic!("{diagnostic:?} has no place"));
            let source = compiled.sources.get(span.source).unwrap();
            (diagnostic.code.id().to_owned(), source.text.get(span.range()).unwrap_or("?").to_owned())
        })
        .collect();
    found.sort();
    assert_eq!(compiled.plan.is_some(), !compiled.diagnostics.has_errors());
    (found, compiled.rendered(false))
}

/// Whether exactly what these slips are is said; else what is said.
fn wrong(shop: &Shop, slips: &[&Slip]) -> Option<String> {
    let (found, shown) = found(shop, slips);
    let mut said: Vec<(String, String)> = slips
        .iter()
        .flat_map(|slip| slip.said)
        .map(|(code, at)| ((*code).to_owned(), (*at).to_owned()))
        .collect();
    said.sort();
    (found != said).then(|| {
        let made: Vec<String> =
            slips.iter().map(|slip| format!("{:?} for {:?}", slip.to, slip.from)).collect();
        format!("{}\nwanted {said:?}\nfound  {found:?}\n{shown}", made.join("\n"))
    })
}

/// Whether slips may be made at once.
fn together(a: &Slip, b: &Slip) -> bool {
    !a.group.split(' ').any(|word| b.group.split(' ').any(|other| word == other))
}

#[test]
fn each_slip_is_said_at_its_place_and_nothing_else_is() {
    let shop = Shop::open();
    let (said, shown) = found(&shop, &[]);
    assert!(said.is_empty(), "the set is good: {shown}");
    for slip in SLIPS {
        assert!(POLICY.contains(slip.from) || SCRIPT.contains(slip.from), "{:?} stands nowhere", slip.from);
    }
    let wrong: Vec<String> = SLIPS.iter().filter_map(|slip| wrong(&shop, &[slip])).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn slips_made_at_once_are_all_said_and_nothing_else_is() {
    let shop = Shop::open();
    // Sets of up to six, until each slip was made beside each other one.
    let mut left: BTreeSet<(usize, usize)> = BTreeSet::new();
    for (n, first) in SLIPS.iter().enumerate() {
        let others = SLIPS.iter().enumerate().skip(n + 1).filter(|(_, other)| together(first, other));
        left.extend(others.map(|(m, _)| (n, m)));
    }
    let mut wrongs: Vec<String> = Vec::new();
    while let Some((first, second)) = left.first().copied() {
        let mut some = vec![first, second];
        while some.len() < 6 {
            let gain = |n: &usize| some.iter().filter(|m| left.contains(&(*n.min(m), *n.max(m)))).count();
            let fits = |n: &usize| some.iter().all(|m| m != n && together(&SLIPS[*m], &SLIPS[*n]));
            match (0..SLIPS.len()).filter(fits).max_by_key(gain).filter(|n| gain(n) > 0) {
                Some(next) => some.push(next),
                None => break,
            }
        }
        left.retain(|(n, m)| !(some.contains(n) && some.contains(m)));
        let slips: Vec<&Slip> = some.iter().map(|n| &SLIPS[*n]).collect();
        wrongs.extend(wrong(&shop, &slips));
    }
    let count = wrongs.len();
    wrongs.truncate(10);
    assert!(wrongs.is_empty(), "{count} sets:\n\n{}", wrongs.join("\n\n"));
}
