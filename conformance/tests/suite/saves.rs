//! What counts as a save, and what outlives one.

use crate::observe::open_metrics::Exposition;
use serde_json::json;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use weir_conformance::harness::{Gateway, Provider, Set, chat, entry, eventually};

/// Half of it is a good policy, too: another one.
const POLICY: &str = r#"
weir: v1
listeners:
  edge: { address: "{EDGE}" }
providers:
  lab: { dialect: openai, base_url: "http://{UPSTREAM}/lab/v1" }
models:
  fast: { targets: [{ provider: lab, model: m-1 }] }
pipelines:
  - pipeline: all
    anonymous: true
    stages:
      - route: requested
"#;

fn start(policy: &str) -> (Provider, Gateway) {
    let provider = Provider::start();
    provider.always(entry(json!({ "reply": "x" })));
    let gateway = Gateway::start(Set::of(Some(provider.address), policy));
    (provider, gateway)
}

fn revision(gateway: &Gateway) -> String {
    gateway.admin("/revision").json()["revision"].as_str().unwrap().to_owned()
}

/// Changes that took effect, and that did not.
fn reloads(gateway: &Gateway) -> (f64, f64) {
    let text = gateway.admin("/metrics").text();
    let metrics = Exposition::read(&text).unwrap_or_else(|why| panic!("{why}\n{text}"));
    let count = |result| metrics.sum("weir_reloads_total", &[("result", result)]);
    (count("good"), count("bad"))
}

/// Runs an action that is one save, and waits for its revision.
fn saved(gateway: &Gateway, save: impl FnOnce()) {
    let before = revision(gateway);
    save();
    eventually("the save", || (revision(gateway) != before).then_some(()));
}

fn git(folder: &Path, arguments: &[&str]) {
    let ended = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=one"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(ended.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&ended.stderr));
}

/// A set of many files that only fit together: each names the provider, which has another name on each branch.
#[test]
fn a_git_checkout_of_many_files_counts_as_one_save() {
    let provider = Provider::start();
    provider.always(entry(json!({ "reply": "x" })));
    let set = Set::new(Some(provider.address));
    let write = |name: &str| {
        set.write(
            "policy.yaml",
            &POLICY
                .replace("lab:", &format!("{name}:"))
                .replace("provider: lab", &format!("provider: {name}")),
        );
        for n in 0..40 {
            let model = format!("models:\n  m-{n}: {{ targets: [{{ provider: {name}, model: m-{n} }}] }}\n");
            set.write(&format!("model-{n}.yaml"), &model);
        }
    };
    write("lab");
    git(&set.path(), &["init", "-q"]);
    git(&set.path(), &["add", "."]);
    git(&set.path(), &["commit", "-qm", "one"]);
    git(&set.path(), &["checkout", "-qb", "two"]);
    write("other");
    git(&set.path(), &["commit", "-qam", "two"]);
    let gateway = Gateway::start(set);
    let folder = gateway.set.path();
    for n in 1..=10 {
        let branch = if n % 2 == 1 { "one" } else { "two" };
        saved(&gateway, || git(&folder, &["checkout", "-q", branch]));
    }
    assert_eq!(reloads(&gateway), (10.0, 0.0), "{}", gateway.log());
}

#[test]
fn a_file_that_is_still_being_written_does_not_load_although_its_half_would() {
    let (_provider, gateway) = start(POLICY);
    // A first save shows that the folder is watched.
    saved(&gateway, || gateway.set.write("policy.yaml", &POLICY.replace("m-1", "m-2")));
    let first = revision(&gateway);
    let text = gateway.set.filled(
        &POLICY.replace("      - route: requested\n", "      - observe: metrics\n      - route: requested\n"),
    );
    // What is there after the first half is a whole policy: without the route that stands last, `requested` is meant.
    let (half, rest) = text
        .split_once("      - route: requested\n")
        .map(|(half, _)| (half, "      - route: requested\n"))
        .unwrap();
    let mut file = std::fs::File::create(gateway.set.path().join("policy.yaml")).unwrap();
    file.write_all(half.as_bytes()).unwrap();
    file.flush().unwrap();
    // Longer than a burst of changes is waited for, and than the slow look that finds what no event told.
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(revision(&gateway), first, "half a file took effect");
    file.write_all(rest.as_bytes()).unwrap();
    drop(file);
    eventually("the save", || (revision(&gateway) != first).then_some(()));
    assert_eq!(reloads(&gateway), (2.0, 0.0), "{}", gateway.log());
}

#[test]
fn a_file_that_is_written_in_place_counts_as_one_save() {
    let (_provider, gateway) = start(POLICY);
    for n in 1..=5 {
        let text = gateway.set.filled(&POLICY.replace("m-1", &format!("m-{}", n + 1)));
        saved(&gateway, || std::fs::write(gateway.set.path().join("policy.yaml"), text).unwrap());
    }
    assert_eq!(reloads(&gateway), (5.0, 0.0), "{}", gateway.log());
}

#[test]
fn what_a_cache_holds_outlives_a_save_that_does_not_touch_it() {
    let cached = |message: &str| {
        POLICY.replace(
            "      - route: requested\n",
            &format!(
                "      - guard: words\n        cel: '!request.text.contains(\"forbidden\")'\n        deny: {{ message: \"{message}\" }}\n      \
                 - cache: exact\n        with: {{ per: everyone }}\n      - route: requested\n"
            ),
        )
    };
    let (provider, gateway) = start(&cached("no"));
    let looked =
        || gateway.chat(&chat("fast", "a question", false)).header("x-weir-cache").unwrap().to_owned();
    assert_eq!([looked(), looked()], ["miss", "hit"]);
    saved(&gateway, || gateway.set.write("policy.yaml", &cached("never")));
    assert_eq!(looked(), "hit", "a guard above the cache does not change what it holds");
    // What stands below does: an answer made otherwise is another answer.
    let below = cached("never").replace(
        "      - route: requested\n",
        "      - transform: brief\n        rhai: |\n          fn request(r) { r.system(\"Be brief.\"); }\n      - route: requested\n",
    );
    saved(&gateway, || gateway.set.write("policy.yaml", &below));
    assert_eq!([looked(), looked()], ["miss", "hit"]);
    assert_eq!(provider.seen().calls.len(), 2);
}

#[test]
fn a_breaker_that_is_open_outlives_a_save() {
    let policy = |words: &str| {
        POLICY.replace(
            "      - route: requested\n",
            &format!(
                "      - guard: words\n        cel: 'request.text != \"{words}\"'\n      - route: fallback\n        with: {{ to: [fast], retry: {{ tries: 1 }} }}\n"
            ),
        )
    };
    let (provider, gateway) = start(&policy("one"));
    provider.always(entry(json!({ "status": 503 })));
    let ask = || gateway.chat(&chat("fast", "x", false));
    eventually("an open breaker", || {
        let before = provider.seen().calls.len();
        ask();
        (provider.seen().calls.len() == before).then_some(())
    });
    let calls = provider.seen().calls.len();
    saved(&gateway, || gateway.set.write("policy.yaml", &policy("two")));
    let reply = ask();
    assert_eq!(reply.status(), 503, "{}", reply.text());
    assert_eq!(provider.seen().calls.len(), calls, "an open breaker lets nothing through");
}
