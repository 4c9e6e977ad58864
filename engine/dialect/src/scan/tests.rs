//! What the reader takes, and what it refuses.

use super::*;
use proptest::prelude::*;

fn skipped(json: &str) -> Result<(), What> {
    let whole = ByteString::from(json);
    let mut scan = Scan::all(&whole).unwrap();
    scan.skip().map_err(|flaw| flaw.what)?;
    scan.end().map_err(|flaw| flaw.what)
}

#[test]
fn takes_what_is_json_and_nothing_else() {
    let good = ["{}", "[]", " [1, -0.5e+3,\"a\\u00e9\\n\", {\"a\":[null,true,false]}] ", "\"\"", "0"];
    for json in good {
        assert_eq!(skipped(json), Ok(()), "{json}");
    }
    let bad = [
        "",
        "{",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "01",
        "1.",
        ".5",
        "1e",
        "-",
        "tru",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\n\"",
        "\"",
        "[1 2]",
        "{\"a\" 1}",
        "[}",
        "{]",
        "1 1",
        "NaN",
        "'a'",
        "[1]]",
        "\"\\",
        "\u{feff}{}",
    ];
    for json in bad {
        assert_eq!(skipped(json), Err(What::NotJson), "{json}");
    }
}

#[test]
fn nesting_is_bounded_without_recursion() {
    let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    assert_eq!(skipped(&deep(128)), Ok(()));
    assert_eq!(skipped(&deep(130)), Err(What::TooDeep));
    assert_eq!(skipped(&"{\"a\":".repeat(1_000_000)), Err(What::TooDeep));
}

#[test]
fn a_field_that_another_reader_might_take_for_a_known_one_is_refused() {
    let cases = [
        (r#"{"stream":true,"stream":false}"#, What::Repeated),
        (r#"{"Stream":true}"#, What::Disguised),
        (r#"{"\u0073tream":true}"#, What::Disguised),
        ("{\"\u{17f}tream\":true}", What::Disguised),
    ];
    for (json, want) in cases {
        let whole = ByteString::from(json);
        let flaw =
            Scan::all(&whole).unwrap().object(&["stream"], |scan, _, _| scan.skip().map(|_| ())).unwrap_err();
        assert_eq!((flaw.what, flaw.path.as_str()), (want, "stream"), "{json}");
    }
    let whole = ByteString::from(r#"{"x":1,"x":2,"streams":3,"":4}"#);
    let mut scan = Scan::all(&whole).unwrap();
    assert!(scan.object(&["stream"], |scan, _, _| scan.skip().map(|_| ())).is_ok());
}

proptest! {
    #[test]
    fn agrees_with_serde_json(text in "[\\[\\]{}:,\" a-bntrue0-9.eE+\\\\u-]{0,24}") {
        let serde = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
        prop_assert_eq!(skipped(&text).is_ok(), serde);
    }
}
