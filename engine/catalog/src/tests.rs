//! The built-in data are good, and found as people would expect.

use crate::{Auth, Capability, Catalogue, FILES, Kind, Modality, Model, Provider, find, parse};
use weir_message::{Dialect, Money, Usage};

#[test]
fn every_file_on_disk_is_embedded_and_good() {
    let mut on_disk: Vec<String> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/data"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    on_disk.sort();
    let mut embedded: Vec<String> = FILES.iter().map(|(name, _)| format!("{name}.yaml")).collect();
    assert!(FILES.is_sorted_by_key(|(name, _)| name), "names are looked up by halving");
    embedded.sort();
    assert_eq!(on_disk, embedded);
    for (name, text) in FILES {
        let provider = parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(provider.name, *name);
        assert_eq!(
            provider.auth == Auth::None,
            provider.env.is_none(),
            "{name}: a credential and its variable"
        );
        let mut seen = std::collections::HashSet::new();
        for model in &provider.models {
            assert!(seen.insert(&model.name), "{name}: {} twice", model.name);
            check_model(&format!("{name}: {}", model.name), model);
        }
    }
}

fn check_model(at: &str, model: &Model) {
    assert!(model.source.is_some() && model.date.is_some(), "{at} says no source or no date");
    assert!(!model.capabilities.is_empty() && !model.input.is_empty(), "{at} can do nothing");
    let chats = [Capability::Chat, Capability::Completion, Capability::Response].map(|can| model.can(can));
    if chats.contains(&true) {
        assert_eq!(
            model.can(Capability::Vision),
            model.input.contains(&Modality::Image),
            "{at}: what it sees"
        );
    }
    if let (Some(context), Some(limit)) = (model.context, model.output_limit) {
        assert!(limit <= context, "{at}: an answer longer than all");
    }
    let Some(price) = &model.price else { return };
    assert!(price.cached_input.is_none_or(|cached| cached <= price.input), "{at}: caches save nothing");
    let usage = Usage {
        input: 1_000_000,
        output: 1_000_000,
        images: 1,
        millis: 1_000,
        characters: 1_000_000,
        pages: 1,
        audio_output: 500_000,
        image_output: 500_000,
        ..Usage::default()
    };
    let is_free = model.name.ends_with(":free");
    assert_eq!(price.of(&usage) == Money::ZERO, is_free, "{at}: priced, and costs nothing");
    // The dearest so far are 600 dollars a million tokens of an answer: an amount beyond this is a slip of units.
    assert!(price.of(&usage) < Money::from_nanos(5_000 * 1_000_000_000), "{at} costs too much");
    assert!(price.of_batch(&usage) <= price.of(&usage), "{at}: batches cost more");
}

#[test]
fn the_catalogue_holds_what_it_promises() {
    let catalogue = Catalogue::builtin();
    let priced = |row: &Provider| row.models.iter().filter(|model| model.price.is_some()).count();
    assert!(catalogue.names().count() >= 100);
    assert!(catalogue.providers().map(priced).sum::<usize>() >= 600);
    assert_eq!(catalogue.providers().count(), catalogue.names().count(), "a file does not parse");
}

#[test]
fn a_model_is_found_exactly_or_by_its_snapshot_or_by_its_longest_pattern() {
    let names =
        ["gpt-5", "gpt-5-mini", "gpt-5-2025-08-07", "claude-opus", "echo*", "echo-big*", "-2025-08-07"];
    let models = names.map(|name| Model { name: name.to_owned(), ..Model::default() });
    let cases = [
        ("gpt-5", Some("gpt-5")),
        ("gpt-5-2025-08-07", Some("gpt-5-2025-08-07")),
        ("gpt-5-2026-01-01", Some("gpt-5")),
        ("gpt-5-mini-2025-08-07", Some("gpt-5-mini")),
        ("gpt-5-latest", Some("gpt-5")),
        ("gpt-5-mini-20250807", Some("gpt-5-mini")),
        ("claude-opus@20250807", Some("claude-opus")),
        ("gpt-5-nano", None),
        ("gpt-5-2025-08", None),
        ("gpt-5-30000101", None),
        ("-2025-08-07", Some("-2025-08-07")),
        ("@20250807", None),
        ("é-2025-08-07", None),
        ("echo-status-500", Some("echo*")),
        ("echo-bigger", Some("echo-big*")),
        ("", None),
    ];
    for (name, want) in cases {
        assert_eq!(find(&models, name).map(|model| model.name.as_str()), want, "{name}");
    }
    let builtin = Catalogue::builtin();
    assert!(builtin.model("echo", "echo-status-500").is_some());
    assert!(builtin.model("nobody", "gpt-5").is_none());
}

#[test]
fn a_models_usage_has_its_price() {
    let model = parse(GOOD).unwrap().models.remove(0);
    let usage = Usage { input: 1_000_000, cached_input: 400_000, output: 100_000, ..Usage::default() };
    // 0.6 M × $0.25 + 0.4 M × $0.025 + 0.1 M × $2
    assert_eq!(model.price(&usage), Some(Money::from_nanos(150_000_000 + 10_000_000 + 200_000_000)));
    assert_eq!(Model::default().price(&usage), None);
}

#[test]
fn an_address_is_filled_in_by_region_and_project() {
    let row = |base_url: &str| Provider { base_url: base_url.to_owned(), ..parse(GOOD).unwrap() };
    let cases = [
        ("https://a.example/v1", None, None, Ok("https://a.example/v1")),
        ("https://x.{region}.example/{region}", Some("eu"), None, Ok("https://x.eu.example/eu")),
        ("https://x.{region}.example", None, Some("p"), Err("region")),
        ("https://{region}.{account}.example", Some("eu"), None, Err("account")),
        ("https://{resource}.example", Some("eu"), None, Err("resource")),
        ("https://{region}.example/{project}", Some("eu"), Some("p"), Ok("https://eu.example/p")),
        ("https://{region}.example/{project}", Some("eu"), None, Err("project")),
        (
            "https://{region}-aiplatform.example/{region}",
            Some("global"),
            None,
            Ok("https://aiplatform.example/global"),
        ),
    ];
    for (url, region, project, want) in cases {
        let row = row(url);
        assert_eq!(row.address(region, project).as_deref(), want.as_ref().map(|url| *url), "{url}");
    }
}

const GOOD: &str = "name: a\ntitle: A\nbase_url: https://a.example/v1\ndialect: openai\nauth: { header: X-Api-Key }\nenv: A_KEY\n\
    source: a page\ndata: [a set]\ndate: \"2026-11-20\"\nmodels:\n  \
    - { name: m, capabilities: [chat], price: { input: \"0.25\", cached_input: \"0.025\", output: \"2\" } }\n";

#[test]
fn a_file_is_read_with_its_defaults() {
    let row = parse(GOOD).unwrap();
    assert_eq!((row.kind, row.dialect), (Kind::Http, Dialect::OpenAi));
    assert_eq!((row.auth, row.env.as_deref()), (Auth::Header("x-api-key".to_owned()), Some("A_KEY")));
    let [model] = row.models.as_slice() else { panic!("one model") };
    assert_eq!((model.source.as_deref(), model.date.as_deref()), (Some("a page"), Some("2026-11-20")));
    assert_eq!(
        (&*model.data, &*model.input, &*model.output),
        (&["a set".to_owned()][..], &[Modality::Text][..], &[Modality::Text][..])
    );
    let other =
        GOOD.replace("[chat]", "[embedding], source: b, data: [], date: \"2026-11-21\", input: [image]");
    let model = parse(&other).unwrap().models.remove(0);
    assert_eq!((model.source.as_deref(), model.date.as_deref()), (Some("b"), Some("2026-11-21")));
    assert_eq!((&*model.data, &*model.input, &*model.output), (&[][..], &[Modality::Image][..], &[][..]));
}

#[test]
fn a_wrong_file_says_what_is_wrong() {
    let cases = [
        ("dialect: openai", "dialect: morse", "dialect: `morse` is not a dialect"),
        ("auth: {", "colour: blue\nauth: {", "colour"),
        ("https://a.example/v1", "https://a.example/v1/", "base_url"),
        ("https://a.example/v1", "a.example/v1", "base_url"),
        ("env:", "kind: echo\nenv:", "base_url"),
        ("env:", "models_path: models\nenv:", "models_path: `models`"),
        ("\"0.25\"", "0.25x", "price: `0.25x` is not an amount"),
        ("\"0.25\"", "\".25\"", "price: `.25`"),
        ("\"0.25\"", "\"0.1234567891\"", "price: `0.1234567891`"),
        ("\"0.25\"", "\"-1\"", "price: `-1`"),
        ("name: m", "name: m*x", "name: `m*x`"),
        ("\"2026-11-20\"", "\"2026-13-20\"", "date: `2026-13-20`"),
        ("[chat]", "[chat], deprecated: soon", "deprecated: `soon`"),
        ("[chat]", "[flying]", "flying"),
        (
            "price: {",
            "price: { above: [{ tokens: 2, input: \"1\", output: \"1\" }, { tokens: 1, input: \"1\", output: \"1\" }], ",
            "above",
        ),
        ("price: {", "price: { batch: { batch: {} }, ", "batch"),
    ];
    for (from, to, want) in cases {
        let yaml = GOOD.replacen(from, to, 1);
        assert_ne!(yaml, GOOD, "{from} is not there to be replaced");
        let error = parse(&yaml).unwrap_err().to_string();
        assert!(error.contains(want), "{to}: {error}");
    }
}
