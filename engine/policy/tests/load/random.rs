//! No text makes the loader panic, and what it says always has a place.

use crate::{loaded, shown};
use proptest::prelude::*;

/// Words that lead a random text deep into the language.
fn word() -> impl Strategy<Value = String> {
    let known = [
        "weir",
        "v1",
        "listeners",
        "keys",
        "providers",
        "models",
        "stages",
        "pipelines",
        "frames",
        "params",
        "observe",
        "order",
        "pipeline",
        "when",
        "guard",
        "route",
        "cache",
        "transform",
        "use",
        "with",
        "cel",
        "rhai",
        "file",
        "name",
        "attempt",
        "pii",
        "rate",
        "fallback",
        "weir/shield",
        "${param:x}",
        "${env:X}",
        "${",
        "find",
        "to",
        "targets",
        "provider",
        "address",
        "0.0.0.0:80",
        "identify",
        "key",
        "jwt",
        "60s",
        "5/s",
        "10%",
        "true",
        "~",
        "1",
        "-1e9",
        "0x",
        "<<",
        "&a",
        "*a",
        "!!str",
        "!x",
        "é",
        "\u{0}",
        "\u{feff}",
        "|",
        ">-",
        "\"\\x41\"",
        "'it''s'",
        "type",
        "any",
    ];
    prop_oneof![8 => prop::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => "\\PC{0,6}"]
}

/// A tree written in flow or block style.
fn yaml() -> impl Strategy<Value = String> {
    let leaf = word();
    let tree = leaf.prop_recursive(6, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(|items| format!("[ {} ]", items.join(", "))),
            prop::collection::vec((word(), inner), 0..6).prop_map(|entries| {
                let entries: Vec<String> = entries.into_iter().map(|(k, v)| format!("{k}: {v}")).collect();
                format!("{{ {} }}", entries.join(", "))
            }),
        ]
    });
    prop::collection::vec((word(), tree), 0..8)
        .prop_map(|entries| entries.into_iter().map(|(key, value)| format!("{key}: {value}\n")).collect())
}

fn judge(text: &str) {
    let loaded = loaded(&[("a.yaml", text)]);
    assert_eq!(loaded.set.is_none(), loaded.diagnostics.has_errors());
    for diagnostic in loaded.diagnostics.iter() {
        if let Some(span) = diagnostic.span {
            let source = loaded.sources.get(span.source).unwrap();
            assert!(source.text.get(span.range()).is_some(), "{diagnostic:?} of {text:?}");
        }
    }
    let _ = shown(&loaded);
    let _ = weir_diagnostic::to_sarif(&loaded.sources, &loaded.diagnostics);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_documents_never_panic(text in yaml()) {
        judge(&text);
    }

    #[test]
    fn random_texts_never_panic(text in "(\\PC|\n|\t| |:|-|\\[|\\{|\"|'|\\||>|&|\\*|#){0,200}") {
        judge(&text);
    }
}

#[test]
fn a_whole_policy_cut_anywhere_never_panics() {
    let text = include_str!("whole.yaml");
    for (at, _) in text.char_indices() {
        judge(&text[..at]);
    }
}
