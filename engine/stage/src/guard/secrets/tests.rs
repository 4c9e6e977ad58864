use super::known::{Body, KNOWN, Known};
use super::*;
use crate::guard::pii::gateway::{Went, cut, refused, says, send, stream, user};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use weir_message::Operation;

fn secrets() -> Secrets {
    Secrets { keys: Keys::new(), named: true, allow: HashSet::new() }
}

/// The body of a key of this shape, from a source of chance.
fn body(known: &Known, mut chance: u64) -> String {
    let alphabet: &[u8] = match known.body {
        Body::Hex => b"0123456789abcdef",
        _ => b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
    };
    let mut next = || {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(chance >> 33).unwrap() % alphabet.len()
    };
    // The first characters bring digits and variety into the shortest ones, too.
    let fixed = if known.body == Body::Hex { "0a1b2c" } else { "0aB1cD" };
    let rest = (fixed.len()..known.least).map(|_| char::from(alphabet[next()]));
    fixed.chars().chain(rest).collect()
}

fn shaped() -> impl Iterator<Item = &'static Known> {
    KNOWN.iter().filter(|known| !matches!(known.body, Body::Block | Body::Token))
}

#[test]
fn keys_of_more_than_eighty_services_are_found_and_named() {
    let issuers: BTreeSet<&str> = shaped().map(|known| known.issuer).collect();
    assert!(issuers.len() >= 80, "{}", issuers.len());
    let guard = secrets();
    for known in shaped() {
        let key = format!("{}{}", known.starts, body(known, 7));
        let text = format!("before ({key}) behind");
        let found = guard.find(&text);
        let [(range, number)] = found.as_slice() else { panic!("{}: {key}: {found:?}", known.issuer) };
        // A key behind `AccountKey=` is found with its name.
        assert_eq!(text.get(range.clone()), Some(key.as_str()), "{}", known.issuer);
        assert!(guard.says(*number).ends_with(known.issuer), "{}: {}", known.issuer, guard.says(*number));
        assert!(!guard.says(*number).contains(&key));
    }
}

#[test]
fn names_addresses_and_blocks_are_found_and_what_stands_for_a_secret_is_none() {
    for (text, secret) in [
        ("password: hunter2-X9, and", Some("hunter2-X9")),
        ("API_KEY=\"f3a9c1b2d4e5f60718293a4b5c6d7e8f\"", Some("f3a9c1b2d4e5f60718293a4b5c6d7e8f")),
        ("postgres://app:s3cr3t-X@db.acme.com:5432/app", Some("s3cr3t-X")),
        ("mongodb+srv://root:p%40ss@c0.example.net", Some("p%40ss")),
        ("amqp://u:Zq8kd0Lp@mq/", Some("Zq8kd0Lp")),
        ("mysql://root:EZ0#8i?Qm@10.0.0.5/shop", Some("EZ0#8i?Qm")),
        ("http://acme.com:8080?at=@x", None),
        ("https://acme.com?a=b:c@d", None),
        ("my password is Ir!!dQqrq~4P, ok?", Some("Ir!!dQqrq~4P")),
        ("the password is wrong", None),
        ("Authorization: Basic 3JRfQcMCGudV8hq1vvxr4rKM", Some("3JRfQcMCGudV8hq1vvxr4rKM")),
        ("encryption_key: 0Txphpz0cnkurDeV/0xM0y9m", Some("0Txphpz0cnkurDeV/0xM0y9m")),
        (
            "bot 1234567890:AAabcdefghijklmnopqrstuvwxyz0123456",
            Some("1234567890:AAabcdefghijklmnopqrstuvwxyz0123456"),
        ),
        ("key 0123456789abcdef0123456789abcdef-us12", Some("0123456789abcdef0123456789abcdef-us12")),
        ("az abc8Q~0123456789abcdefghijklmnopqrstu~", Some("abc8Q~0123456789abcdefghijklmnopqrstu~")),
        ("x0123456789abcdef0123456789abcdef-us12", None),
        ("password: &'static str", None),
        (
            "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----",
            Some("-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----"),
        ),
        ("postgres://postgres:postgres@localhost/db", None),
        ("postgres://user:password@localhost/db", None),
        ("https://acme.com/a@b:c", None),
        ("https://${USER}:${PASSWORD}@acme.com", None),
        ("see https://acme.com:8443/x", None),
        ("git@github.com:acme/app.git", None),
        ("sk-xxxxxxxxxxxxxxxxxxxxxxxx1", None),
        ("ghp_000000000000000000000000000000000000", None),
        ("let token_count = 12_345; // tokens", None),
        ("password = changeme", None),
        ("task-force-of-the-hidden-mountain-2024", None),
        ("sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", None),
        ("const KEY_LENGTH: usize = 32;", None),
        ("fn secret_of(key: &Key) -> Option<Secret>", None),
    ] {
        let found = secrets().find(text);
        let words: Vec<&str> = found.iter().filter_map(|(range, _)| text.get(range.clone())).collect();
        assert_eq!(words, secret.into_iter().collect::<Vec<_>>(), "{text}");
    }
}

fn chat(guard: &str, body: &Value, reply: String) -> Went {
    send(guard, Operation::Chat, body, reply)
}

const GITHUB: &str = "ghp_abcdefghijklmnopqrstuvwxyz0123456789";

#[test]
fn a_secret_denies_or_is_masked_both_ways_and_in_streams_cut_anywhere() {
    let denied = chat("{ guard: secrets }", &user(&format!("my key {GITHUB}")), says("ok"));
    assert_eq!((denied.status, denied.sent.is_none()), (403, true));
    assert!(denied.body.contains("holds a secret") && !denied.body.contains("ghp_"), "{}", denied.body);
    let mask = "{ guard: secrets, with: { then: mask } }";
    let said = format!("use {GITHUB} or postgres://app:s3cr3t-X@db/x.");
    let want = "use [REMOVED] or postgres://app:[REMOVED]@db/x.";
    let went = chat(mask, &user(&said), says(&said));
    assert_eq!(went.sent.as_ref().unwrap()["messages"][0]["content"], want);
    assert_eq!(went.text(), want);
    let mut body = user("hi");
    body["stream"] = json!(true);
    for at in 1..said.len() {
        let reply = stream(cut(&said, at).into_iter().map(|piece| json!({ "content": piece })));
        assert_eq!(chat(mask, &body, reply).text(), want, "cut at {at}");
    }
}

#[test]
fn what_the_policy_allows_passes() {
    let guard = format!("{{ guard: secrets, with: {{ allow: [{GITHUB}] }} }}");
    assert_eq!(chat(&guard, &user(GITHUB), says("ok")).status, 200);
    let unnamed = "{ guard: secrets, with: { named: false } }";
    assert_eq!(chat(unnamed, &user("password: hunter2-X9"), says("ok")).status, 200);
    let requests = "{ guard: secrets, with: { on: [request] } }";
    assert_eq!(chat(requests, &user("hi"), says(GITHUB)).status, 200);
    for (with, want) in [("{ on: [] }", "looks nowhere"), ("{ then: replace }", "go together")] {
        let said = refused(&format!("{{ guard: secrets, with: {with} }}"));
        assert!(said.contains(want), "{with}: {said}");
    }
}

proptest! {
    #[test]
    fn keys_are_found_in_any_surroundings_and_nothing_panics(before in ".{0,40}", behind in ".{0,40}", n in 0usize..200, seed: u64) {
        let all: Vec<&Known> = shaped().collect();
        let known = all[n % all.len()];
        let key = format!("{}{}", known.starts, body(known, seed));
        let text = format!("{before} {key} {behind}");
        let start = before.len() + 1;
        let found = secrets().find(&text);
        prop_assert!(
            found.iter().any(|(range, _)| range.start <= start && range.end >= start + key.len()),
            "{} in {:?}: {:?}", known.issuer, text, found
        );
        prop_assert!(found.iter().all(|(range, _)| text.get(range.clone()).is_some()));
    }
}
