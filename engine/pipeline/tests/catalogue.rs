//! What a plan knows of its targets: the catalogue, an account's rows above it, a model's own words above both.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;
use weir_catalog::Catalogue;
use weir_message::Verb;
use weir_pipeline::{
    AuthScheme, Plan, Registry, Route, Secrets, Stage, Target, Workbench, Workshop, compile,
};
use weir_policy::{Builtins, Environment, Snapshot, StageDecl, load};
use weir_state::State;

struct NoStages;

impl Builtins for NoStages {
    fn names(&self, _verb: Verb) -> Vec<&'static str> {
        Vec::new()
    }

    fn schema(&self, _verb: Verb, _name: &str) -> Option<schemars::Schema> {
        None
    }
}

impl Registry for NoStages {
    fn compile(&self, _decl: &StageDecl, _bench: &mut Workbench<'_>) -> Option<Arc<dyn Stage>> {
        None
    }
}

struct Rows;

impl weir_policy::Catalogue for Rows {
    fn row_names(&self) -> Vec<String> {
        Catalogue::builtin().names().map(str::to_owned).collect()
    }
}

/// A plan of these sections, or what is wrong with them.
fn plan(sections: &str, secrets: &Secrets<'_>) -> Result<Plan, String> {
    let yaml = format!("weir: v1\npipelines: [ {{ pipeline: p, anonymous: true, stages: [] }} ]\n{sections}");
    let snapshot = Snapshot::from_files([("policy.yaml", yaml)]);
    let loaded = load(&snapshot, &Environment { builtins: &NoStages, catalogue: &Rows, library: &[] });
    let mut found = loaded.diagnostics;
    let workshop = Workshop {
        registry: Arc::new(NoStages),
        catalogue: Catalogue::builtin(),
        inference: weir_inference::Models::open(std::path::Path::new("none")),
        state: Arc::new(State::default()),
    };
    let plan = loaded.set.as_ref().and_then(|set| compile(set, &workshop, secrets, &mut found));
    plan.ok_or_else(|| weir_diagnostic::render(&loaded.sources, &found, false))
}

fn target(plan: &Plan, model: &str) -> Arc<Target> {
    let route: &Arc<dyn Route> = plan.models().get(model).unwrap();
    route.targets(plan.models()).remove(0)
}

#[test]
fn an_account_and_a_model_speak_above_the_catalogue() {
    let sections = "
providers:
  a:
    from: echo
    models:
      - { name: echo-cheap, price: { input: 0.05, output: 0.1, above: [ { tokens: 10, input: 1, output: 2 } ] } }
      - { name: echo-small, context: 500, tokenizer: cl100k_base }
      - { name: mine*, price: { input: 7, output: 8 }, context: 9 }
models:
  plain: { targets: [ { provider: a, model: echo } ] }
  cheap: { targets: [ { provider: a, model: echo-cheap } ] }
  small: { targets: [ { provider: a, model: echo-small } ] }
  mine: { targets: [ { provider: a, model: mine-1 } ] }
  other: { targets: [ { provider: a, model: other } ] }
  told: { targets: [ { provider: a, model: echo-small } ], price: { input: 3, output: 4 }, context: 77 }
";
    let plan = plan(sections, &Secrets::Ignored).unwrap();
    // Dollars a million of input and output, context, tokenizer.
    let cases = [
        ("plain", Some((0.1, 0.4)), Some(128_000), None),
        ("cheap", Some((0.05, 0.1)), Some(128_000), None),
        ("small", Some((0.1, 0.4)), Some(500), Some("cl100k_base")),
        ("mine", Some((7.0, 8.0)), Some(9), None),
        ("other", None, None, None),
        ("told", Some((3.0, 4.0)), Some(77), Some("cl100k_base")),
    ];
    for (model, price, context, tokenizer) in cases {
        let target = target(&plan, model);
        let known = target.price.as_ref().map(|price| (price.input.dollars(), price.output.dollars()));
        assert_eq!(
            (known, target.context, target.tokenizer.as_deref()),
            (price, context, tokenizer),
            "{model}"
        );
    }
    let above = target(&plan, "cheap").price.as_ref().unwrap().above.clone();
    assert_eq!(above.iter().map(|tier| (tier.tokens, tier.input.dollars())).collect::<Vec<_>>(), [(10, 1.0)]);
}

#[test]
fn a_key_says_what_is_wrong_with_it_once() {
    for (fields, want) in [
        ("operations: [chta]", "did you mean `chat`?"),
        ("operations: [realtime]", "there is no operation `realtime`"),
        ("expires: tomorrow", "`tomorrow` is no day and no moment"),
        ("expires: 2027-02-30", "`2027-02-30` is no day"),
        ("networks: [10.0.0.0/33]", "`10.0.0.0/33` is no network"),
    ] {
        let hash = format!("blake3:{}", "0".repeat(64));
        let found = plan(&format!("keys:\n  a: {{ hash: \"{hash}\", {fields} }}\n"), &Secrets::Ignored);
        let found = found.map(|_| ()).unwrap_err();
        assert!(found.contains(want) && found.contains("1 error"), "{fields}: {found}");
    }
}

#[test]
fn an_account_says_what_its_row_cannot_know() {
    let cases = [
        ("a: { from: azure }", "say `base_url:`, with your own in the place of `{resource}`"),
        ("a: { from: watsonx }", "say `region:`"),
        ("a: { from: fal }", "the dialect `native` is not spoken by this version"),
        ("a: { from: echo, models: [ { name: m, tokenizer: cl100k_bas } ] }", "did you mean `cl100k_base`?"),
        ("a: { from: echo, models: [ { name: m, tokenizer: morse } ] }", "no vocabulary is called `morse`"),
    ];
    for (account, want) in cases {
        let found = plan(&format!("providers:\n  {account}\n"), &Secrets::Ignored).map(|_| ()).unwrap_err();
        assert!(found.contains(want), "{account}: {found}");
    }
    for account in [
        "a: { from: watsonx, region: eu-de }",
        "a: { from: azure, base_url: \"https://x.openai.azure.com/openai/v1\" }",
    ] {
        plan(&format!("providers:\n  {account}\n"), &Secrets::Ignored).map(|_| ()).unwrap();
    }
    let plan = plan("providers:\n  a: { from: watsonx, region: eu-de }\n", &Secrets::Ignored).unwrap();
    let access = format!("{:?}", plan.providers()[0].access);
    assert!(access.contains("\"eu-de.ml.cloud.ibm.com\""), "{access}");
}

#[test]
fn a_credential_is_shown_as_the_row_says() {
    let env = |_: &str| Some("k".to_owned());
    let secrets = Secrets::From { env: &env, root: std::path::Path::new("none") };
    let key = "key: \"${env:KEY}\"";
    let cases = [
        (format!("a: {{ from: openai, {key} }}"), "authorization", "Bearer k"),
        (format!("a: {{ from: azure, base_url: \"https://a.example\", {key} }}"), "api-key", "k"),
        (format!("a: {{ from: deepgram, dialect: openai, {key} }}"), "authorization", "Token k"),
    ];
    for (account, header, value) in cases {
        let plan = plan(&format!("providers:\n  {account}\n"), &secrets)
            .map_err(|found| format!("{account}: {found}"));
        let plan = plan.unwrap();
        let [account] = plan.providers() else { panic!("one account") };
        let shown = account.credential.header(&account.auth).unwrap();
        assert!(shown.is_sensitive());
        let name = match &account.auth {
            AuthScheme::Header(name) => name.as_str(),
            _ => "authorization",
        };
        assert_eq!((name, shown.to_str().unwrap()), (header, value));
    }
}
