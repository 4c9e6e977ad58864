//! Each finding of compiling a plan, as its author reads it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;
use weir_catalog::Catalogue;
use weir_diagnostic::Diagnostics;
use weir_message::{Operation, Verb};
use weir_pipeline::{
    Declares, Needs, Registry, Secrets, Stage, Streaming, TEXT_OPERATIONS, Workbench, Workshop, compile,
};
use weir_policy::{BodyDecl, Builtins, Environment, StageDecl, load};
use weir_state::State;

/// A stage that is nothing but what it declares, by its name.
struct Declaring(&'static str);

impl Stage for Declaring {
    fn declares(&self) -> Declares {
        let plain = Declares { judges_request: false, ..Declares::default() };
        match self.0 {
            "key" => Declares { requires_caller: true, ..Declares::default() },
            "edits" => {
                let needs = Needs::BODY;
                Declares {
                    needs,
                    edits_request: true,
                    reads_operations: Some(TEXT_OPERATIONS),
                    ..Declares::default()
                }
            }
            "chat-only" => Declares { reads_operations: Some(&[Operation::Chat]), ..Declares::default() },
            "judges" => Declares::default(),
            "counts" => Declares { limits: true, ..Declares::default() },
            "whole" => Declares { streaming: Streaming::Whole, reads_reply: true, ..plain },
            "events" => Declares { streaming: Streaming::Events, ..plain },
            _ => plain,
        }
    }
}

struct Stub;

const NAMES: &[&str] =
    &["key", "edits", "chat-only", "judges", "counts", "whole", "events", "looks", "leads"];

impl Builtins for Stub {
    fn names(&self, _verb: Verb) -> Vec<&'static str> {
        NAMES.to_vec()
    }

    fn schema(&self, _verb: Verb, name: &str) -> Option<schemars::Schema> {
        NAMES.contains(&name).then(|| schemars::json_schema!({ "type": "object" }))
    }
}

impl Registry for Stub {
    fn compile(&self, decl: &StageDecl, _bench: &mut Workbench<'_>) -> Option<Arc<dyn Stage>> {
        let BodyDecl::Builtin(name) = &decl.body else { return None };
        Some(Arc::new(Declaring(NAMES.iter().find(|known| **known == &***name)?)))
    }
}

struct NoRows;

impl weir_policy::Catalogue for NoRows {
    fn row_names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What loading a set of these further sections says, with one provider and one model called `m`.
fn said(sections: &str) -> String {
    let yaml = format!(
        "weir: v1\nproviders:\n  a: {{ dialect: openai, base_url: http://127.0.0.1:1/v1 }}\nmodels:\n  m: {{ targets: [ {{ provider: a }} ] }}\n{sections}"
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("policy.yaml"), yaml).unwrap();
    let snapshot = weir_policy::snapshot(folder.path()).unwrap();
    let loaded = load(&snapshot, &Environment { builtins: &Stub, catalogue: &NoRows, library: &[] });
    let mut found = loaded.diagnostics;
    // What is right of a set with errors is looked at all the same.
    if let Some(set) = loaded.set.as_ref().or(loaded.partial.as_ref()) {
        let workshop = Workshop {
            registry: Arc::new(Stub),
            catalogue: Catalogue::builtin(),
            inference: weir_inference::Models::open(std::path::Path::new("none")),
            state: Arc::new(State::default()),
        };
        let plan = compile(set, &workshop, &Secrets::Ignored, &mut found);
        assert_eq!(plan.is_some(), !found.has_errors(), "a plan if and only if nothing is an error");
    }
    let mut sorted = Diagnostics::new();
    sorted.extend(found);
    sorted.sort();
    weir_diagnostic::render(&loaded.sources, &sorted, false)
}

/// One open pipeline of these stages.
fn stages(lines: &[&str]) -> String {
    let lines: Vec<String> = lines.iter().map(|line| format!("      - {line}\n")).collect();
    format!("pipelines:\n  - pipeline: p\n    anonymous: true\n    stages:\n{}", lines.concat())
}

const CHATS: &str = "pipelines:\n  - pipeline: chat\n    anonymous: true\n    when: request.operation == \"chat\"\n    stages: [ { guard: judges } ]\n";

const HASH: &str = "blake3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";

#[test]
fn every_finding_reads_as_its_author_needs() {
    let keys = format!("keys:\n  one: {{ hash: \"{HASH}\" }}\n  two: {{ hash: \"{HASH}\" }}\n");
    let cases: Vec<(&str, String)> = vec![
        ("open-relay", "pipelines:\n  - pipeline: p\n    stages:\n      - guard: key\n        when: request.stream\n".into()),
        ("identify", format!("listeners:\n  edge:\n    address: 127.0.0.1:8080\n    identify:\n{}", [
            "mtls",
            "{ jwt: { issuer: \"https://idp.example\", audience: weir, algorithms: [RS256, HS256] } }",
            "{ jwt: { issuer: \"https://idp.example\", audience: weir, secret: \"${env:S}\", algorithms: [RS256] } }",
            "{ jwt: { issuer: \"https://idp.example\", audience: weir, secret: \"${env:S}\", jwks: keys.json } }",
            "{ jwt: { issuer: idp, audience: weir } }",
            "{ jwt: { issuer: idp, audience: weir, jwks: \"ftp://idp.example/keys\" } }",
            "{ jwt: { issuer: idp, audience: weir, jwks: keys.json, team: claims.a b } }",
            "{ external: { url: \"who.example\" } }",
            "{ allow: request.model == \"fast\" }",
            "{ any: [ { allow: size(request.text) > 3 } ] }",
        ].map(|way| format!("      - {way}\n")).concat())),
        ("duplicate-previous-key", format!("keys:\n  one: {{ hash: \"{HASH}\", previous: {{ hash: \"{HASH}\", until: 2027-01-01 }} }}\n")),
        ("blind-guard", stages(&["guard: chat-only"])),
        ("blind-guard-of-turns", stages(&["guard: no-falcon\n        cel: '!request.messages.exists(m, m.text.contains(\"falcon\"))'", "guard: by-script\n        rhai: 'fn request(r) { if r.messages.len() > 9 { r.deny(\"long\"); } }'", "guard: all\n        cel: size(request.messages) < 9 && size(request.all_text) < 99"])),
        ("blind-guard-in-attempt", stages(&["route: leads\n        attempt: [ { guard: chat-only } ]"])),
        ("blind-guard-of-events", stages(&["guard: events"])),
        ("cache-before-pii", stages(&["cache: looks", "guard: edits"])),
        ("guard-below-cache", stages(&["cache: looks", "guard: judges"])),
        ("stream-needs-whole", stages(&["transform: whole"])),
        ("misplaced", stages(&["route: leads", "guard: judges"])),
        ("misplaced-in-attempt", stages(&["route: leads\n        attempt: [ { cache: looks }, { guard: whole } ]"])),
        ("unseen-shadow", stages(&["guard: judges\n        mode: shadow"])),
        ("never-happens", stages(&["guard: judges\n        when: \"false\""])),
        (
            "never-happens-no-operation",
            "pipelines:\n  - pipeline: p\n    anonymous: true\n    when: request.operation == \"realtime\"\n    stages: []\n".into(),
        ),
        (
            "never-happens-here",
            "pipelines:\n  - pipeline: p\n    anonymous: true\n    when: request.operation == \"chat\"\n    stages:\n      - guard: judges\n        when: request.operation == \"embedding\"\n".into(),
        ),
        (
            "never-happens-behind-another",
            "pipelines:\n  - pipeline: all\n    anonymous: true\n    stages: []\n  - pipeline: chat\n    anonymous: true\n    when: request.operation == \"chat\"\n    stages: []\n".into(),
        ),
        (
            "beside-guards",
            "pipelines:\n  - pipeline: chat\n    anonymous: true\n    when: request.operation == \"chat\"\n    stages: [ { guard: judges } ]\n  - pipeline: rest\n    anonymous: true\n    stages: []\n".into(),
        ),
        ("duplicate-key", format!("{keys}{}", stages(&["guard: judges"]))),
        ("cel-cache", stages(&["cache: mine\n        cel: request.stream"])),
        ("unknown-model", stages(&["route: mine\n        cel: '\"mm\"'"])),
        (
            "unknown-limit",
            stages(&[
                "guard: counts",
                "guard: judges",
                "guard: a\n        cel: limits.stage(\"cuonts\").remaining > 0",
                "guard: b\n        when: limits.stage(\"judges\").used > 1\n        cel: request.stream",
                "transform: c\n        when: spend.request.cost > 1.0\n        rhai: fn request(r) {}",
            ]),
        ),
        (
            "in-a-frame-of-several-pipelines",
            format!(
                "frames:\n  - frame: f\n    stages: [ {{ guard: mine, cel: request.modle == \"m\" }} ]\n{}  - pipeline: q\n    anonymous: true\n    stages: []\n",
                stages(&["guard: judges\n        when: request.operation == \"chat\""]),
            ),
        ),
        ("bad-cel", stages(&["guard: mine\n        cel: request.modle == \"m\""])),
        ("route-by-condition", stages(&["route: mine\n        cel: 'request.stream ? \"m\" : {\"a\": \"n\"}[request.model]'"])),
        ("guard-that-is-constant", stages(&["guard: mine\n        cel: 'true'", "guard: yours\n        cel: 1 > 2"])),
        ("header-that-may-be-absent", stages(&["guard: mine\n        cel: request.headers[\"x-team\"] == \"blue\""])),
        (
            "never-happens-behind-one-that-takes-its-operation",
            format!("{CHATS}  - pipeline: blue\n    anonymous: true\n    when: request.operation == \"chat\" && request.stream\n    stages: [ {{ guard: judges }} ]\n"),
        ),
        (
            "settings-that-change-nothing",
            "pipelines:\n  - pipeline: p\n    anonymous: true\n    when: request.operation == \"chat\"\n    stages:\n      - guard: key\n      - guard: looks\n        on_hit: skip\n        unread: pass\n        hold: all\n        sample: 0%\n        deny: { as: reply, status: 400, message: no }\n      - guard: counts\n        mode: off\n      - guard: left\n        cel: limits.stage(\"counts\").remaining > 0\n".into(),
        ),
    ];
    for (name, sections) in cases {
        let said = said(&sections);
        assert_ne!(said, "no problems\n", "{name} says nothing");
        insta::assert_snapshot!(name, said);
    }
}

#[test]
fn what_is_right_says_nothing() {
    let cases = [
        stages(&["guard: edits", "cache: looks", "route: leads"]),
        stages(&["guard: chat-only\n        unread: pass"]),
        stages(&["guard: chat-only\n        when: request.operation == \"chat\""]),
        stages(&["cache: looks", "guard: judges\n        on_hit: skip"]),
        stages(&["transform: whole\n        stream: whole"]),
        stages(&["guard: judges\n        mode: shadow", "observe: looks"]),
        stages(&["guard: counts", "guard: a\n        cel: limits.stage(\"counts\").remaining > 0"]),
        // A stage of a frame counts for all.
        format!(
            "frames:\n  - frame: f\n    stages: [ {{ guard: counts }} ]\n{}",
            stages(&["guard: a\n        cel: limits.stage(\"counts\").remaining > 0"])
        ),
        "pipelines:\n  - pipeline: p\n    stages: [ { guard: key } ]\n".to_owned(),
        // A header is asked for in the expression, in a condition above it, or by a guard before it.
        stages(&["guard: a\n        cel: '\"x\" in request.headers && request.headers[\"x\"] == \"a\"'"]),
        stages(&["guard: a\n        when: '\"x\" in request.headers'\n        cel: request.headers[\"x\"] == \"a\""]),
        stages(&["guard: a\n        cel: '\"x\" in request.headers'", "guard: b\n        cel: request.headers[\"x\"] == \"a\""]),
        "pipelines:\n  - pipeline: p\n    anonymous: true\n    when: has(request.headers[\"x\"])\n    stages: [ { guard: a, cel: 'request.headers[\"x\"] == \"a\"' } ]\n".to_owned(),
        // Where embeddings pass too, a denial that is told as a reply has a status for them.
        stages(&["guard: judges\n        deny: { as: reply, status: 400, message: no }"]),
        // Conversations that are asked in another way meet the same guards, or a pipeline of their own.
        format!("{CHATS}  - pipeline: rest\n    anonymous: true\n    stages: [ {{ guard: judges }} ]\n"),
        format!(
            "{CHATS}  - pipeline: rest\n    anonymous: true\n    when: request.operation in [\"response\", \"count\"]\n    stages: []\n"
        ),
        // A frame's stage may fit only some pipelines.
        format!(
            "{}frames:\n  - frame: f\n    when: request.operation == \"embedding\"\n    stages: [ {{ guard: judges }} ]\n",
            "pipelines:\n  - pipeline: p\n    anonymous: true\n    when: request.operation == \"chat\"\n    stages: []\n"
        ),
    ];
    for sections in cases {
        assert_eq!(said(&sections), "no problems\n", "{sections}");
    }
}

#[test]
fn what_takes_only_known_callers_is_no_relay() {
    for pipeline in [
        "    when: caller != null\n    stages: []\n",
        "    stages: [ { guard: known, cel: 'caller != null && caller.team == \"x\"' } ]\n",
    ] {
        assert_eq!(said(&format!("pipelines:\n  - pipeline: p\n{pipeline}")), "no problems\n", "{pipeline}");
    }
    let shadowed = "pipelines:\n  - pipeline: p\n    stages:\n      - guard: known\n        mode: shadow\n        cel: caller != null\n";
    assert!(said(shadowed).contains("open-relay"), "a shadow keeps nobody out");
}
