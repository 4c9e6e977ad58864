//! What well-written sets come to.

use crate::{
    FallbackSettings, FewStages, Find, HeaderSettings, PiiSettings, RateSettings, Rung, loaded, set_of, shown,
};
use std::path::Path;
use weir_diagnostic::Diagnostics;
use weir_message::{Mode, Verb};
use weir_policy::{BodyDecl, Hold, OnError, bind, policy_schema};

const WHOLE: &str = r#"
weir: v1
listeners:
  edge: { address: 0.0.0.0:8080, identify: [ key ], limits: { connections: 1_000, idle: 2m } }
keys:
  ann: { hash: "blake3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262", team: core, tags: { regions: [eu] } }
  ci: { secret: "${env:CI_KEY}", models: [ "gpt-5*" ] }
providers:
  openai: { from: openai, key: "${env:OPENAI_API_KEY}", headers: { x-team: "t-${file:team}", x-one: "1" } }
  lab:    { dialect: openai, base_url: http://10.0.0.5:8000/v1, timeouts: { connect: 1s } }
models:
  fast:   { targets: [ { provider: openai, model: gpt-5-mini, weight: 3 }, { provider: lab, model: qwen3 } ] }
  "gpt-5*": { targets: [ { provider: openai } ], price: { input: 1.25, output: 10 } }
params: { region: eu }
frames:
  - frame: house-rules
    stages: [ { guard: rate, with: { tokens: 100_000/min, per: caller.team } } ]
pipelines:
  - pipeline: chat
    when: request.operation == "chat"
    deadline: 90s
    stages:
      - observe: log
      - guard: pii
        with: { find: [email, phone], then: replace }
        mode: shadow
        sample: 10%
        hold: sentence
        unread: pass
      - guard: office-hours
        cel: >-
          now.getHours("Europe/Berlin")
          in [8, 9]
        deny: { status: 403, message: "the assistant rests at night", as: reply }
        on_error: skip
      - transform: house-style
        stream: whole
        rhai: |
          fn request(r) { r.system(`${1 + 1}`); }
      - route: fallback
        with:
          to: [ fast, { model: claude, on: [timeout] } ]
          deadline: 60s
        attempt:
          - guard: residency
            cel: attempt.provider.region == params.region
"#;

#[test]
fn a_whole_set_comes_out_typed() {
    let set = set_of(WHOLE);
    assert_eq!(set.revision.to_string().len(), 12);
    let edge = &set.listeners["edge"].value;
    assert_eq!((edge.limits.connections, edge.limits.idle.0.as_secs(), edge.h2c), (1000, 120, true));
    assert_eq!(set.keys["ann"].value.tags["regions"], serde_json::json!(["eu"]));
    assert_eq!(set.models["fast"].value.targets[0].weight, 3);
    assert_eq!(set.models["gpt-5*"].value.targets[0].model, None);
    assert_eq!(set.providers["lab"].value.timeouts.connect.0.as_secs(), 1);
    assert_eq!(set.frames[0].stages[0].name.as_ref(), "rate");
    let chat = &set.pipelines[0];
    assert_eq!(chat.deadline.unwrap().as_secs(), 90);
    let names: Vec<&str> = chat.stages.iter().map(|s| &*s.name).collect();
    assert_eq!(names, ["log", "pii", "office-hours", "house-style", "fallback"]);
    let pii = &chat.stages[1];
    assert_eq!((pii.verb, pii.mode, pii.sample, pii.hold), (Verb::Guard, Mode::Shadow, 0.1, Hold::Sentence));
    assert_eq!((pii.unread_pass, pii.on_error), (true, OnError::Deny));
    let hours = &chat.stages[2];
    assert!(
        matches!(&hours.body, BodyDecl::Cel(e) if &*e.text == r#"now.getHours("Europe/Berlin") in [8, 9]"#)
    );
    assert_eq!(hours.on_error, OnError::Skip);
    assert_eq!(hours.deny.as_ref().unwrap().status, Some(403));
    assert!(chat.stages[3].stream_whole);
    assert_eq!(chat.stages[4].attempt[0].name.as_ref(), "residency");
    assert_eq!(chat.stages[4].attempt[0].params.values["region"], "eu");
}

#[test]
fn settings_are_bound_by_the_stage_with_their_places() {
    let set = set_of(WHOLE);
    let mut diagnostics = Diagnostics::new();
    let chat = &set.pipelines[0];
    let pii: PiiSettings = bind(&chat.stages[1].with, &mut diagnostics).unwrap();
    assert_eq!(pii.find.iter().map(|f| f.value).collect::<Vec<_>>(), [Find::Email, Find::Phone]);
    assert_eq!(WHOLE.get(pii.find[1].span.range()), Some("phone"));
    let rate: RateSettings = bind(&set.frames[0].stages[0].with, &mut diagnostics).unwrap();
    assert_eq!(rate.tokens.unwrap().count, 100_000);
    assert_eq!(WHOLE.get(rate.per.span_of(7..11).range()), Some("team"));
    let route: FallbackSettings = bind(&chat.stages[4].with, &mut diagnostics).unwrap();
    let [Rung::Name(first), Rung::Full(second)] = &route.to[..] else { panic!("{:?}", route.to) };
    assert_eq!(
        (WHOLE.get(first.span.range()), WHOLE.get(second.model.span.range())),
        (Some("fast"), Some("claude"))
    );
    assert_eq!(route.deadline.unwrap().0.as_secs(), 60);
    assert!(diagnostics.is_empty());
}

#[test]
fn secrets_print_nothing_and_resolve_on_demand() {
    let set = set_of(WHOLE);
    let key = set.providers["openai"].value.key.clone().unwrap();
    assert_eq!(format!("{key:?}"), "…");
    assert_eq!(key.references().collect::<Vec<_>>(), ["env:OPENAI_API_KEY"]);
    let root = std::env::temp_dir().join(format!("weir-secret-{}", std::process::id()));
    std::fs::create_dir_all(&root).unwrap();
    std::fs::write(root.join("team"), "core\n").unwrap();
    let env = |name: &str| (name == "OPENAI_API_KEY").then(|| "sk-1".to_owned());
    let value = key.resolve(&env, &root).unwrap();
    assert_eq!((value.expose(), format!("{value:?}").as_str()), ("sk-1", "…"));
    let header = &set.providers["openai"].value.headers["x-team"];
    assert_eq!(header.resolve(&env, &root).unwrap().expose(), "t-core");
    let missing = key.resolve(&|_| None, Path::new("/")).unwrap_err();
    assert_eq!((missing.code.id(), missing.span), ("missing-secret", Some(key.span)));
    assert!(header.resolve(&env, Path::new("/nowhere")).is_err());
    std::fs::remove_dir_all(&root).unwrap();
}

#[test]
fn use_brings_in_stages_with_values_that_keep_their_places() {
    let text = r#"weir: v1
stages:
  cap:
    params:
      tokens: { type: string }
      who: { type: cel, default: caller.team }
    stages:
      - guard: rate
        with: { tokens: "${param:tokens}", per: "${param:who}" }
      - use: inner
        name: deep
        with: { kinds: [email, card] }
        when: params.tokens != ""
  inner:
    params: { kinds: { type: list } }
    stages:
      - guard: pii
        when: params.kinds.size() > 0
        with: { find: "${param:kinds}" }
pipelines:
  - pipeline: p
    stages:
      - use: cap
        name: mine
        mode: shadow
        when: caller != null
        with: { tokens: 5/s, who: caller.user }
      - use: weir/shield
"#;
    let set = set_of(text);
    let stages = &set.pipelines[0].stages;
    let names: Vec<&str> = stages.iter().map(|s| &*s.name).collect();
    assert_eq!(names, ["mine/rate", "mine/deep/pii", "pii"]);
    assert_eq!(stages[0].params.values["tokens"], "5/s");
    assert_eq!(stages[1].params.values.get("tokens"), None);
    assert_eq!((stages[0].mode, stages[1].mode, stages[2].mode), (Mode::Shadow, Mode::Shadow, Mode::Enforce));
    let conditions: Vec<(&str, bool)> =
        stages[1].when.iter().map(|w| (&*w.expr.text, w.params.values.contains_key("kinds"))).collect();
    assert_eq!(
        conditions,
        [("caller != null", false), ("params.tokens != \"\"", false), ("params.kinds.size() > 0", true)]
    );
    let mut diagnostics = Diagnostics::new();
    let rate: RateSettings = bind(&stages[0].with, &mut diagnostics).unwrap();
    assert_eq!(text.get(rate.per.span.range()), Some("caller.user"));
    let used = stages[1].used.as_ref().unwrap();
    assert_eq!((&*used.value, text.get(used.span.range())), ("cap", Some("cap")));
}

#[test]
fn scripts_in_files_are_texts_of_the_set() {
    let set = loaded(&[
        (
            "team/a.yaml",
            "weir: v1\npipelines:\n  - pipeline: p\n    stages:\n      - transform: one\n        rhai: { file: ../scripts/x.rhai }\n      - transform: two\n        rhai: { file: ../scripts/x.rhai }\n",
        ),
        ("scripts/x.rhai", "fn request(r) {}\n"),
    ]);
    let stages = &set.set.as_ref().unwrap().pipelines[0].stages;
    let BodyDecl::Rhai(script) = &stages[1].body else { panic!("not a script") };
    assert_eq!(set.sources.slice(script.span_of(3..10)), "request");
    assert_eq!(set.sources.get(script.span.source).unwrap().name.as_ref(), "scripts/x.rhai");
    for path in ["../../x.rhai", "/etc/passwd", "a.yaml", "x.rhai/../../../y.rhai"] {
        let text = format!(
            "weir: v1\npipelines: [ {{ pipeline: p, stages: [ {{ transform: t, rhai: {{ file: {path} }} }} ] }} ]\n"
        );
        let set = loaded(&[("a.yaml", &text)]);
        assert_eq!(
            set.diagnostics.iter().map(|d| d.code.id()).collect::<Vec<_>>(),
            ["bad-value"],
            "{}",
            shown(&set)
        );
    }
}

#[test]
fn files_are_put_in_the_order_they_state() {
    let set = loaded(&[
        ("a.yaml", "weir: v1\norder: 20\npipelines: [ { pipeline: late } ]\n"),
        ("z.yaml", "order: 10\npipelines: [ { pipeline: early } ]\n"),
        ("m.yaml", "params: {}\n"),
    ]);
    let names: Vec<String> = set.set.unwrap().pipelines.iter().map(|p| p.name.value.to_string()).collect();
    assert_eq!(names, ["early", "late"]);
}

#[test]
fn stages_are_counted_those_of_use_too() {
    let mut text = String::from("weir: v1\nstages:\n  s0: { stages: [ { observe: log } ] }\n");
    for n in 1..12 {
        let below = format!("{{ use: s{0}, name: a }}, {{ use: s{0}, name: b }}", n - 1);
        text.push_str(&format!("  s{n}: {{ stages: [ {below} ] }}\n"));
    }
    text.push_str("pipelines: [ { pipeline: p, stages: [ { use: s11 } ] } ]\n");
    let set = loaded(&[("a.yaml", &text)]);
    assert_eq!(
        set.diagnostics.iter().map(|d| d.code.id()).collect::<Vec<_>>(),
        ["too-large"],
        "{}",
        shown(&set)
    );
}

#[test]
fn parameters_that_double_at_each_level_end_early() {
    let mut text = String::from(
        "weir: v1\nstages:\n  s0: { params: { p: { type: any } }, stages: [ { observe: log, when: params.p != null } ] }\n",
    );
    for n in 1..40 {
        text.push_str(&format!(
            "  s{n}: {{ params: {{ p: {{ type: any }} }}, stages: [ {{ use: s{}, with: {{ p: [ \"${{param:p}}\", \"${{param:p}}\" ] }} }} ] }}\n",
            n - 1
        ));
    }
    text.push_str("pipelines: [ { pipeline: p, stages: [ { use: s39, with: { p: x } } ] } ]\n");
    let set = loaded(&[("a.yaml", &text)]);
    assert!(set.diagnostics.iter().any(|d| d.code.id() == "too-large"), "{}", shown(&set));
}

#[test]
fn a_secret_stands_where_a_stage_takes_one() {
    let set = set_of(
        "weir: v1\npipelines: [ { pipeline: p, stages: [ { transform: headers, with: { token: \"${env:T}\" } } ] } ]\n",
    );
    let mut diagnostics = Diagnostics::new();
    let settings: HeaderSettings = bind(&set.pipelines[0].stages[0].with, &mut diagnostics).unwrap();
    assert_eq!(settings.token.references().collect::<Vec<_>>(), ["env:T"]);
}

#[test]
fn the_schema_has_every_section_and_every_built_in() {
    let schema = policy_schema(&FewStages);
    let text = schema.to_string();
    assert!(!text.contains("x-weir-later"));
    for section in
        ["weir", "listeners", "keys", "providers", "models", "stages", "pipelines", "frames", "params"]
    {
        assert!(schema["properties"][section]["description"].is_string(), "{section}");
    }
    for built_in in ["guard.rate", "guard.pii", "route.fallback", "observe.log"] {
        assert!(schema["$defs"][built_in].is_object(), "{built_in}");
    }
    // Every reference leads somewhere.
    let mut references = Vec::new();
    collect(&schema, &mut references);
    assert!(references.len() > 20);
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(schema.pointer(pointer).is_some(), "{reference}");
    }
}

#[test]
fn in_the_schema_a_parameter_may_stand_wherever_a_stage_takes_a_value() {
    let schema = policy_schema(&FewStages);
    let parameter = serde_json::json!({ "$ref": "#/$defs/Parameter" });
    let takes = |place: &str| {
        let text = schema.pointer(place).unwrap_or_else(|| panic!("nothing at {place}")).to_string();
        text.contains(&parameter.to_string())
    };
    for place in [
        "/$defs/StageItem/properties/mode",
        "/$defs/guard.pii/properties/find",
        "/$defs/guard.pii/properties/then",
        "/$defs/Deny/properties/status",
        "/$defs/Deny/properties/as",
    ] {
        assert!(takes(place), "{place}: {}", schema.pointer(place).unwrap());
    }
    for place in
        ["/$defs/Listener", "/$defs/Provider", "/$defs/ParamItem", "/$defs/StageItem/properties/when"]
    {
        assert!(!takes(place), "{place}");
    }
    assert_eq!(schema["$defs"]["Parameter"]["pattern"], r"^\$\{param:[^}]+\}$");
}

fn collect(value: &serde_json::Value, out: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(map) => {
            for (key, value) in map {
                match (key.as_str(), value.as_str()) {
                    ("$ref", Some(reference)) => out.push(reference.to_owned()),
                    _ => collect(value, out),
                }
            }
        }
        serde_json::Value::Array(list) => list.iter().for_each(|value| collect(value, out)),
        _ => {}
    }
}

#[test]
fn parameters_have_the_types_that_are_declared_and_numbers_read_as_broken_ones() {
    use weir_policy::ParamType;
    let set = set_of(
        "weir: v1\nparams: { whole: 3, broken: 2.5, name: x }\nstages:\n  cap:\n    params:\n      most: { type: number }\n      wait: { type: duration, default: 5s }\n      any: { type: any, default: 7 }\n    stages:\n      - guard: g\n        cel: params.most > 1.0 && params.wait != \"\" && params.any == 7\npipelines:\n  - pipeline: p\n    stages:\n      - { use: cap, with: { most: 3 } }\n",
    );
    let types = |params: &weir_policy::Params| -> Vec<(String, ParamType)> {
        params.types.iter().map(|(name, kind)| (name.to_string(), *kind)).collect()
    };
    let named = |name: &str, kind| (name.to_owned(), kind);
    assert_eq!(
        types(&set.params),
        [
            named("broken", ParamType::Number),
            named("name", ParamType::String),
            named("whole", ParamType::Int)
        ]
    );
    let params = &set.pipelines[0].stages[0].params;
    assert_eq!(
        types(params),
        [named("any", ParamType::Any), named("most", ParamType::Number), named("wait", ParamType::Duration)]
    );
    assert_eq!(params.values["most"].to_string(), "3.0");
    assert_eq!(params.values["any"].to_string(), "7");
}

#[test]
fn a_place_for_state_is_one_that_can_be() {
    for (state, want) in [
        ("{}", "`state` does not say where"),
        ("{ ledger: { rows: 1d } }", "`ledger` says how a ledger is kept, and none is"),
        ("{ redis: {} }", "one of `url`, `sentinel` and `cluster`"),
        (
            "{ redis: { url: \"redis://a\", cluster: [\"redis://b\"] } }",
            "one of `url`, `sentinel` and `cluster`",
        ),
        ("{ redis: { url: \"memcached://a:1\" } }", "`memcached://a:1` is no address of Redis"),
        ("{ redis: { url: \"redis://a:port/0\" } }", "is no address of Redis"),
        ("{ redis: { url: \"redis://a:1/first\" } }", "is no address of Redis"),
        ("{ redis: { url: \"redis://:hunter2@a:1\" } }", "a password stands here by reference"),
        ("{ redis: { cluster: [\"redis://a:1\", \"a:2\"] } }", "`a:2` is no address of Redis"),
        ("{ redis: { url: \"redis://a\", timeout: 0s } }", "no server answers in no time"),
        ("{ redis: { url: \"rediss://a\", tls: { key: k.pem } } }", "a certificate needs its key"),
        ("{ redis: { url: \"redis://a\", password: hunter2 } }", "by reference, never as text"),
    ] {
        let found = shown(&loaded(&[("a.yaml", &format!("weir: v1\nstate: {state}\n"))]));
        assert!(found.contains(want), "{state}\n{found}");
    }
    for state in [
        "{ file: weir.db, redis: { url: \"redis://a:6379/0\", password: \"${env:PASSWORD}\" } }",
        "{ redis: { url: \"${env:REDIS}\" } }",
        "{ redis: { cluster: [\"rediss://a:1\", \"rediss://b:2\"], tls: { ca: ca.pem } } }",
        "{ redis: { sentinel: { master: main, at: [\"redis://[::1]:26379\"] } } }",
    ] {
        let found = shown(&loaded(&[("a.yaml", &format!("weir: v1\nstate: {state}\n"))]));
        assert_eq!(found, "no problems\n", "{state}");
    }
}

#[test]
fn state_that_stands_elsewhere_in_the_file_says_the_same() {
    let state = "state: { redis: { url: \"redis://a:1\", password: \"${env:P}\" } }\n";
    let one = set_of(&format!("weir: v1\n{state}")).state;
    assert_eq!(one, set_of(&format!("weir: v1\nparams: {{ a: 1 }}\n{state}")).state);
    assert_ne!(one, set_of(&format!("weir: v1\n{}", state.replace("env:P", "env:Q"))).state);
    assert_ne!(one, set_of(&format!("weir: v1\n{}", state.replace("a:1", "a:2"))).state);
}
