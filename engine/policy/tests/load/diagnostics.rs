//! One set for each finding of the loader, and how it reads.

use crate::{loaded, shown};
use weir_diagnostic::Code;

/// The code, what the set is about, and its files.
type Row = (Code, &'static str, &'static [(&'static str, &'static str)]);

const TABLE: &[Row] = &[
    (Code::EmptySet, "no files", &[]),
    (Code::BadYaml, "an open quote", &[("a.yaml", "weir: v1\nmodels: { fast: \"x }\n")]),
    (
        Code::BadYaml,
        "wrong indentation",
        &[("a.yaml", "weir: v1\npipelines:\n  - pipeline: a\n   when: true\n")],
    ),
    (Code::BadYaml, "a tag", &[("a.yaml", "weir: v1\nparams: { a: !secret x }\n")]),
    (Code::BadYaml, "two documents", &[("a.yaml", "weir: v1\n---\nweir: v1\n")]),
    (
        Code::TooLarge,
        "an alias bomb",
        &[(
            "a.yaml",
            "weir: v1\nparams:\n  a: &a [1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]\n  b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n  c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n  d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n  e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n",
        )],
    ),
    (
        Code::DuplicateKey,
        "a key twice",
        &[("a.yaml", "weir: v1\nmodels: {}\nparams: { a: 1, b: 2, a: 3 }\n")],
    ),
    (Code::BadEdition, "none", &[("a.yaml", "params: {}\n")]),
    (Code::BadEdition, "another", &[("a.yaml", "weir: v2\n")]),
    (Code::UnknownSection, "a slip", &[("a.yaml", "weir: v1\npiplines: []\n")]),
    (Code::NotServed, "sections", &[("a.yaml", "weir: v1\nscopes: { redis: x }\nrollout: {}\n")]),
    (
        Code::MissingField,
        "a token for nobody in particular",
        &[(
            "a.yaml",
            "weir: v1\nlisteners:\n  edge: { address: \"0.0.0.0:80\", identify: [ key, { any: [ { jwt: { issuer: x, audienc: y } }, { jwt: { issuer: x } } ] } ] }\n",
        )],
    ),
    (
        Code::BadValue,
        "a way to tell callers apart that there is not",
        &[("a.yaml", "weir: v1\nlisteners:\n  edge: { address: \"0.0.0.0:80\", identify: [ kee ] }\n")],
    ),
    (
        Code::UnknownField,
        "in a section, a stage and its settings",
        &[(
            "a.yaml",
            "weir: v1\nproviders:\n  lab: { from: echo, basurl: http://x }\npipelines:\n  - pipeline: p\n    stages:\n      - guard: pii\n        wiht: {}\n      - guard: pii\n        with: { find: [email], resore: true }\n      - cache: exact\n        deny: { status: 403 }\n        cel: 'true'\n",
        )],
    ),
    (
        Code::UnknownField,
        "in a list of names or mappings",
        &[(
            "a.yaml",
            "weir: v1\npipelines:\n  - pipeline: p\n    stages:\n      - route: fallback\n        with: { to: [ fast, { modle: b, on: [x] }, { model: c, on: x }, 5 ] }\n",
        )],
    ),
    (
        Code::MissingField,
        "of a pipeline, a provider, a key and settings",
        &[(
            "a.yaml",
            "weir: v1\nproviders:\n  lab: { dialect: openai }\nkeys:\n  ann: { user: ann }\npipelines:\n  - stages: []\n  - pipeline: p\n    stages:\n      - guard: rate\n      - guard: rate\n        name: again\n        with: { tokens: 5/s }\n",
        )],
    ),
    (
        Code::MissingField,
        "the region of keys that sign, which stand beside a key that is shown",
        &[(
            "a.yaml",
            "weir: v1\nproviders:\n  aws:\n    dialect: openai\n    base_url: https://x\n    key: ${env:K}\n    aws: { access_key_id: AKID, secret_access_key: \"${env:S}\" }\n",
        )],
    ),
    (
        Code::WrongType,
        "of many kinds",
        &[(
            "a.yaml",
            "weir: v1\nmodels: [fast]\nlisteners:\n  edge:\n    address: 8080\n    h2c: yes\n    identify: key\n    limits: { connections: many, body: 32 }\n    tls:\nproviders:\n  lab: openai\npipelines:\n  - pipeline: p\n    stages: { guard: pii }\n",
        )],
    ),
    (
        Code::BadValue,
        "of many kinds",
        &[(
            "a.yaml",
            "weir: v1\nlisteners:\n  edge: { address: \"localhost\", limits: { header_timeout: 10, body_timeout: 1min, body: 32MX, header_count: 0 } }\nkeys:\n  ann: { hash: sha256:abc }\n  bob: { secret: sk-123 }\nproviders:\n  lab: { dialect: opnai, base_url: http://x }\n  two: { dialect: openai, base_url: ftp://x }\nmodels:\n  none: { targets: [] }\n  g*t: { targets: [ { provider: lab, weight: 0 } ] }\npipelines:\n  - pipeline: p\n    stages:\n      - guard: pii\n        mode: shadwo\n        sample: 150%\n        timeout: 5\n        with: { find: [email, fone], then: mask, sure: 2 }\n        deny: { status: 200 }\n",
        )],
    ),
    (
        Code::DuplicateName,
        "across files",
        &[
            (
                "a.yaml",
                "weir: v1\nproviders: { lab: { from: echo } }\nmodels: { fast: { targets: [ { provider: lab } ] } }\n",
            ),
            ("b.yaml", "models: { fast: { targets: [ { provider: lab } ] } }\n"),
        ],
    ),
    (
        Code::DuplicateName,
        "stages and pipelines",
        &[(
            "a.yaml",
            "weir: v1\nframes:\n  - frame: f\n    stages: [ { observe: log } ]\npipelines:\n  - pipeline: p\n    stages:\n      - observe: log\n  - pipeline: p\n    stages:\n      - use: weir/shield\n      - use: weir/shield\n",
        )],
    ),
    (
        Code::DuplicateName,
        "models of an account: twice, a pattern in the middle, long prompts out of order, a slip",
        &[(
            "a.yaml",
            "weir: v1\nproviders:\n  lab:\n    from: echo\n    models:\n      - { name: a, context: 1000 }\n      - { name: a, price: { input: 1, above: [ { tokens: 9, input: 2, output: 2 }, { tokens: 9, input: 2, output: 2 } ] } }\n      - { name: a*b }\n  den:\n    from: echo\n    models: [ { name: c, price: { inptu: 1 } }, { context: 0 } ]\n",
        )],
    ),
    (
        Code::UnknownName,
        "provider, row, policy, parameter, script",
        &[
            (
                "a.yaml",
                "weir: v1\nproviders: { lab: { from: opnai } }\nmodels: { fast: { targets: [ { provider: lap } ] } }\npipelines:\n  - pipeline: p\n    stages:\n      - use: weir/sheild\n      - observe: mine\n        rhai: { file: scripts/hose.rhai }\n      - guard: rate\n        with: { per: \"${param:who}\" }\n",
            ),
            ("scripts/house.rhai", "fn request(r) {}\n"),
        ],
    ),
    (
        Code::UnknownStage,
        "a slip, another verb, and none near",
        &[(
            "a.yaml",
            "weir: v1\npipelines:\n  - pipeline: p\n    stages:\n      - guard: pi\n      - transform: pii\n      - guard: office-hours\n      - cache: exact\n",
        )],
    ),
    (
        Code::BadStage,
        "no verb, two verbs, two bodies, settings beside a body",
        &[(
            "a.yaml",
            "weir: v1\npipelines:\n  - pipeline: p\n    stages:\n      - name: nothing\n      - guard: rate\n        observe: log\n      - guard: mine\n        cel: 'true'\n        rhai: 'fn request(r) {}'\n      - guard: yours\n        cel: 'true'\n        with: { a: 1 }\n",
        )],
    ),
    (
        Code::Cycle,
        "two policies that use each other",
        &[(
            "a.yaml",
            "weir: v1\nstages:\n  a: { stages: [ { use: b } ] }\n  b: { stages: [ { use: a } ] }\npipelines:\n  - pipeline: p\n    stages: [ { use: a } ]\n",
        )],
    ),
    (
        Code::UnclearOrder,
        "two files with pipelines",
        &[
            ("a.yaml", "weir: v1\npipelines: [ { pipeline: a } ]\n"),
            ("b.yaml", "order: 1\npipelines: [ { pipeline: b } ]\n"),
            ("c.yaml", "order: 1\npipelines: [ { pipeline: c } ]\n"),
        ],
    ),
    (
        Code::RootOnly,
        "frames in a folder",
        &[
            ("a.yaml", "weir: v1\n"),
            ("team/b.yaml", "frames: [ { frame: f, stages: [ { observe: log } ] } ]\n"),
        ],
    ),
    (
        Code::BadParam,
        "missing, unknown, of another type, inside a text",
        &[(
            "a.yaml",
            "weir: v1\nstages:\n  cap:\n    params:\n      tokens: { type: string, doc: how many in how long }\n      wait: { type: duration, default: 1s }\n      who: { type: cel, default: caller.team }\n    stages:\n      - guard: rate\n        with: { tokens: \"${param:tokens}\", per: \"${param:who} + 'x'\" }\npipelines:\n  - pipeline: p\n    stages:\n      - use: cap\n      - use: cap\n        with: { tokens: 5, wait: 3, whom: x }\n      - use: cap\n        name: third\n        with: { tokens: 5/s }\n",
        )],
    ),
    (
        Code::BadListener,
        "one address twice",
        &[(
            "a.yaml",
            "weir: v1\nlisteners: { a: { address: \"0.0.0.0:80\" }, b: { address: \"0.0.0.0:80\" } }\n",
        )],
    ),
    (
        Code::Misplaced,
        "a route in an attempt",
        &[(
            "a.yaml",
            "weir: v1\npipelines:\n  - pipeline: p\n    stages:\n      - route: fallback\n        with: { to: [a] }\n        attempt: [ { route: fallback, name: b, with: { to: [a] } } ]\n",
        )],
    ),
    (
        Code::MisplacedSecret,
        "in a message, an expression and settings",
        &[(
            "a.yaml",
            "weir: v1\nproviders: { lab: { from: echo, region: \"${env:REGION}\" } }\npipelines:\n  - pipeline: p\n    when: request.headers[\"x\"] == \"${env:TOKEN}\"\n    stages:\n      - guard: rate\n        with: { per: \"'${file:/run/x}'\" }\n",
        )],
    ),
    (
        Code::NeverHappens,
        "weights, shares and keys that change nothing",
        &[(
            "a.yaml",
            "weir: v1\nproviders:\n  lab: { from: echo, optional: true }\nmodels:\n  fast: { targets: [ { provider: lab, weight: 0 }, { provider: lab } ] }\n  slow: { route: fallback, targets: [ { provider: lab, weight: 3 }, { provider: lab } ] }\npipelines:\n  - pipeline: p\n    stages:\n      - observe: log\n        sample: 0%\n",
        )],
    ),
    (
        Code::BadValue,
        "times and sizes of nothing",
        &[(
            "a.yaml",
            "weir: v1\nlisteners:\n  edge: { address: \"0.0.0.0:80\", limits: { body: 0B, idle: 0s } }\nproviders:\n  lab: { from: echo, timeouts: { connect: 0ms } }\npipelines:\n  - pipeline: p\n    deadline: 0s\n    stages:\n      - observe: log\n        timeout: 0s\n",
        )],
    ),
    (
        Code::UnknownField,
        "settings beside `with`, stages that are texts, parts of names",
        &[(
            "a.yaml",
            "weir: v1\nproviders:\n  lab: { dialect: openai, url: \"http://x\", api_key: \"${env:K}\" }\npipelines:\n  - pipeline: p\n    stages:\n      - guard: rate\n        tokens: 5/s\n        per: caller.user\n      - guard:pii\n      - log\n      - use: shield\n",
        )],
    ),
    (
        Code::Unused,
        "a key that no listener asks for",
        &[(
            "a.yaml",
            "weir: v1\nlisteners: { edge: { address: \"0.0.0.0:80\" } }\nkeys: { ann: { secret: \"${env:ANN}\" } }\n",
        )],
    ),
    (
        Code::Unused,
        "a policy",
        &[(
            "a.yaml",
            "weir: v1\nstages:\n  mine:\n    params: { wait: { type: duration, default: 1s } }\n    stages: [ { observe: log } ]\n",
        )],
    ),
];

#[test]
fn every_finding_reads_well() {
    let mut pages = Vec::new();
    for (code, name, files) in TABLE {
        let loaded = loaded(files);
        let found: Vec<&str> = loaded.diagnostics.iter().map(|d| d.code.id()).collect();
        assert!(found.contains(&code.id()), "{code}: {name}: {found:?}");
        assert_eq!(loaded.set.is_none(), loaded.diagnostics.has_errors(), "{code}: {name}");
        for diagnostic in loaded.diagnostics.iter() {
            if let Some(span) = diagnostic.span {
                let source = loaded.sources.get(span.source).expect("a place is in a source");
                assert!(source.text.get(span.range()).is_some(), "{code}: {name}: {diagnostic:?}");
            }
        }
        pages.push(format!("## {code}: {name}\n\n{}", shown(&loaded)));
    }
    insta::assert_snapshot!(pages.join("\n"));
}

#[test]
fn every_code_of_the_loader_is_in_the_table() {
    let elsewhere = [
        // Said of files and folders (folders.rs), by secrets when they are resolved, or by rooms above.
        Code::UnreadableFile,
        Code::MissingSecret,
        Code::BadCel,
        Code::BadRhai,
        Code::UnknownReference,
        Code::TooEarly,
        Code::TypeMismatch,
        Code::TooCostly,
        Code::BadRegex,
        Code::OpenRelay,
        Code::BlindGuard,
        Code::CacheBeforePii,
        Code::GuardBelowCache,
        Code::StreamNeedsWhole,
        Code::MissingModel,
        Code::NeedsUpgrade,
        Code::NeverHappens,
        Code::BesideGuards,
        Code::MayBeAbsent,
        Code::UnseenShadow,
        Code::VacuousCase,
        Code::BadCase,
    ];
    for code in Code::ALL.iter().filter(|code| !elsewhere.contains(code)) {
        assert!(TABLE.iter().any(|(have, ..)| have == code), "{code} has no row");
    }
}

#[test]
fn one_slip_costs_one_diagnostic_and_all_slips_are_said_at_once() {
    let loaded = loaded(&[
        (
            "a.yaml",
            "weir: v1\nproviders:\n  lab: { from: echo, http2: sometimes }\nmodels:\n  fast: { targets: [ { provider: lab } ] }\n",
        ),
        (
            "b.yaml",
            "pipelines:\n  - pipeline: p\n    dedline: 5s\n    stages:\n      - guard: pii\n        when: true\n        with: { find: [emial] }\n",
        ),
        ("c.yaml", "listeners: { edge: { adress: \"127.0.0.1:80\" } }\n"),
        ("d.yaml", "keys: [\n"),
    ]);
    let found: Vec<(&str, &str)> = loaded
        .diagnostics
        .iter()
        .map(|d| (d.code.id(), &*loaded.sources.get(d.span.unwrap().source).unwrap().name))
        .collect();
    assert_eq!(
        found,
        [
            ("bad-value", "a.yaml"),
            ("unknown-field", "b.yaml"),
            ("bad-value", "b.yaml"),
            ("unknown-field", "c.yaml"),
            ("bad-yaml", "d.yaml"),
        ],
        "{}",
        shown(&loaded)
    );
}
