//! The built-in data are good, and found as people would expect.

use crate::{Auth, Capability, Catalogue, FILES, Kind, Model, Price, Provider, parse};
use weir_message::{Dialect, Money, Usage};

#[test]
fn every_file_on_disk_is_embedded_and_good() {
    let mut on_disk: Vec<String> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/data"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    on_disk.sort();
    let embedded: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
    assert_eq!(on_disk, embedded);
    for (file, text) in FILES {
        let provider = parse(text).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(format!("{}.yaml", provider.name), *file);
        for (n, model) in provider.models.iter().enumerate() {
            let name = &model.name;
            assert!(model.source.is_some(), "{file}: {name} says no source");
            let date = model.date.as_deref().unwrap_or_default();
            let is_date = date.len() == 10 && date.split('-').all(|part| part.parse::<u16>().is_ok());
            assert!(is_date, "{file}: {name}: {date:?} is no date");
            assert!(!model.capabilities.is_empty(), "{file}: {name} can do nothing");
            assert!(!provider.models[..n].iter().any(|other| other.name == *name), "{file}: {name} twice");
            let stars = name.matches('*').count();
            assert_eq!(stars, usize::from(name.ends_with('*')), "{file}: {name}: a `*` may only end a name");
            if let Some(price) = model.price {
                assert!(price.cached_input.is_none_or(|cached| cached <= price.input), "{file}: {name}");
            }
        }
    }
    assert_eq!(Catalogue::builtin().providers().len(), FILES.len());
}

#[test]
fn a_model_is_found_exactly_or_by_its_longest_pattern() {
    let cases = [
        ("openai", "gpt-5-mini", Some("gpt-5-mini*")),
        ("openai", "gpt-5-mini-2025-08-07", Some("gpt-5-mini*")),
        ("openai", "gpt-5-chat-latest", Some("gpt-5*")),
        ("openai", "text-embedding-3-small", Some("text-embedding-3-small")),
        ("openai", "text-embedding-3-small-2", None),
        ("echo", "echo-status-500", Some("echo*")),
        ("nobody", "gpt-5", None),
    ];
    for (provider, name, want) in cases {
        let found = Catalogue::builtin().model(provider, name).map(|model| model.name.as_str());
        assert_eq!(found, want, "{provider} {name}");
    }
}

#[test]
fn a_usage_is_priced_by_class() {
    let model = Catalogue::builtin().model("openai", "gpt-5-mini").unwrap();
    let usage = Usage {
        input: 1_000_000,
        cached_input: 400_000,
        output: 100_000,
        reasoning: 50_000,
        ..Usage::default()
    };
    // 0.6 M × $0.25 + 0.4 M × $0.025 + 0.1 M × $2
    assert_eq!(model.price(&usage), Some(Money::from_nanos(150_000_000 + 10_000_000 + 200_000_000)));
    let odd = Usage { input: 10, cached_input: 20, cache_write: 5, ..Usage::default() };
    let price = Price { input: Money::from_nanos(1_000_000), ..Price::default() };
    assert_eq!(price.of(&odd), Money::from_nanos(10), "cached tokens are part of the input and never more");
}

#[test]
fn a_wrong_file_says_what_is_wrong() {
    let good =
        "name: a\ntitle: A\nbase_url: https://a.example/v1\ndialect: openai\nauth: { header: X-Api-Key }\n";
    let provider = Provider {
        name: "a".into(),
        title: "A".into(),
        kind: Kind::Http,
        base_url: "https://a.example/v1".into(),
        dialect: Dialect::OpenAi,
        auth: Auth::Header("x-api-key".into()),
        models: Vec::new(),
    };
    assert_eq!(parse(good).unwrap(), provider);
    let cases = [
        (good.replace("openai", "klingon"), "dialect: `klingon` is not a dialect"),
        (good.replace("/v1", "/v1/"), "base_url: `https://a.example/v1/` is not"),
        (good.replace("https", "ftp"), "base_url:"),
        (format!("{good}colour: red\n"), "colour"),
        (format!("{good}models: [ {{ name: m, price: {{ input: \"1e3\" }} }} ]\n"), "price: `1e3` is not"),
        (format!("{good}models: [ {{ name: m, price: {{ input: \"0.1234567891\" }} }} ]\n"), "price:"),
    ];
    for (yaml, want) in cases {
        let error = parse(&yaml).unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    }
}

#[test]
fn of_two_providers_with_one_name_the_later_counts() {
    let row = |title: &str| Provider { title: title.into(), ..parse(FILES[0].1).unwrap() };
    let catalogue = Catalogue::new(vec![row("first"), row("second")]);
    assert_eq!(catalogue.providers().len(), 1);
    assert_eq!(catalogue.providers()[0].title, "second");
    let model = Model { name: "m".into(), ..Catalogue::builtin().model("echo", "echo").unwrap().clone() };
    assert!(model.can(Capability::Chat) && !model.can(Capability::Vision) && model.prefix().is_none());
}
