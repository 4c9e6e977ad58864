//! The command line: what `check`, `test` and `explain` say, and how they end.

use serde_json::Value;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Command;
use weir_conformance::harness::weir_binary;

struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

fn weir(folder: &Path, arguments: &[&str]) -> Ended {
    let out = Command::new(weir_binary())
        .args(arguments)
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ended { code: out.status.code(), out: text(out.stdout), err: text(out.stderr) }
}

/// The same, and the most memory that it held, in bytes, as seen every millisecond.
fn weighed(folder: &Path, arguments: &[&str]) -> (Ended, u64) {
    let mut command = Command::new(weir_binary());
    command.args(arguments).current_dir(folder).env("NO_COLOR", "1");
    // To files, so that a full pipe holds nobody up.
    let (out, err) = (folder.join("said.out"), folder.join("said.err"));
    command.stdout(std::fs::File::create(&out).unwrap()).stderr(std::fs::File::create(&err).unwrap());
    let mut child = command.spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    let ended = loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        most = most.max(kib.unwrap_or(0) * 1024);
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    };
    let text = |path| std::fs::read_to_string(path).unwrap();
    (Ended { code: ended.code(), out: text(&out), err: text(&err) }, most)
}

/// A set around these stages.
fn around(stages: &str) -> String {
    format!(
        "weir: v1\nlisteners:\n  edge: {{ address: 127.0.0.1:8080 }}\nproviders:\n  lab: {{ dialect: openai, base_url: http://127.0.0.1:9/v1 }}\n\
         models:\n  fast: {{ targets: [{{ provider: lab, model: m }}] }}\npipelines:\n  - pipeline: all\n    anonymous: true\n    stages:\n{stages}"
    )
}

const CHAT_ONLY: &str = "    when: request.operation == \"chat\"\n    stages:";

#[test]
fn check_names_each_slip_by_its_code_at_its_place() {
    let sets = [
        ("unknown-field", around("      - guard: pii\n        wiht: {}\n")),
        ("unknown-stage", around("      - guard: pij\n        with: {}\n")),
        ("unknown-reference", around("      - guard: a\n        cel: request.modle == 'x'\n")),
        ("unknown-reference", around("      - guard: a\n        cel: requst.model == 'x'\n")),
        ("type-mismatch", around("      - guard: a\n        cel: request.model == 7\n")),
        ("too-early", around("      - route: requested\n        when: reply.status == 200\n")),
        ("bad-cel", around("      - guard: a\n        cel: request.model ==\n")),
        ("bad-rhai", around("      - transform: a\n        rhai: 'fn request(r) { let }'\n")),
        (
            "unknown-reference",
            around("      - transform: a\n        rhai: 'fn request(r) { r.modle = 1; }'\n"),
        ),
        ("bad-regex", around("      - guard: regex\n        with: { deny: ['('] }\n")),
        (
            "stream-needs-whole",
            around("      - transform: a\n        rhai: 'fn reply(r) { r.text = \"\"; }'\n"),
        ),
        ("open-relay", around("      - route: requested\n").replace("    anonymous: true\n", "")),
        (
            "cache-before-pii",
            around(
                "      - cache: exact\n        with: { per: everyone }\n      - guard: pii\n        with: { find: [email] }\n",
            ),
        ),
        (
            "guard-below-cache",
            around(
                "      - cache: exact\n        with: { per: everyone }\n      - guard: a\n        cel: request.text != 'x'\n",
            ),
        ),
        ("missing-field", around("      - cache: exact\n        with: {}\n")),
        ("unknown-name", around("      - route: fallback\n        with: { to: [fats] }\n")),
        ("duplicate-key", around("      - observe: log\n").replace("weir: v1\n", "weir: v1\nweir: v1\n")),
        ("bad-yaml", "weir: v1\npipelines: [\n".to_owned()),
        ("unknown-section", format!("{}pipelnes: []\n", around("      - observe: log\n"))),
        ("bad-edition", around("      - observe: log\n").replace("weir: v1", "weir: v9")),
        (
            "misplaced-secret",
            around("      - observe: log\n").replace("model: m }", "model: \"${env:KEY}\" }"),
        ),
        (
            "too-costly",
            around(&format!(
                "      - guard: a\n        cel: '{}true{}'\n",
                "[1, 2].all(x, ".repeat(4),
                ")".repeat(4)
            )),
        ),
    ];
    let mut wrong = Vec::new();
    for (code, policy) in sets {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("policy.yaml"), &policy).unwrap();
        let ended = weir(folder.path(), &["check", "."]);
        let said = format!("{}{}", ended.out, ended.err);
        if ended.code != Some(1) || !said.contains(&format!("[{code}]")) || !said.contains("policy.yaml") {
            wrong.push(format!("{code}: exit {:?}\n{said}\n{policy}", ended.code));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn check_collects_all_slips_at_once_and_speaks_json_and_sarif() {
    let folder = tempfile::tempdir().unwrap();
    let policy = around(
        "      - guard: a\n        cel: request.modle == 'x'\n      - guard: b\n        cel: requst.model == 'x'\n",
    );
    std::fs::write(folder.path().join("policy.yaml"), policy).unwrap();
    let ended = weir(folder.path(), &["check", ".", "--format", "json"]);
    let json: Value = serde_json::from_str(&ended.out).unwrap();
    let text = json.to_string();
    assert!(text.contains("modle") && text.contains("requst"), "{text}");
    let ended = weir(folder.path(), &["check", ".", "--format", "sarif"]);
    let json: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(json["version"], "2.1.0");
}

#[test]
fn check_passes_a_good_set_without_its_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let policy = around("      - observe: log\n")
        .replace("base_url: http", "key: \"${env:NOT_SET_ANYWHERE}\", base_url: http");
    std::fs::write(folder.path().join("policy.yaml"), policy).unwrap();
    let ended = weir(folder.path(), &["check", "."]);
    assert_eq!(ended.code, Some(0), "{}{}", ended.out, ended.err);
    assert!(ended.out.starts_with(".: good, revision "), "{}", ended.out);
    let ended = weir(folder.path(), &["serve", ".", "--admin", "none"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("missing-secret"), "{}", ended.err);
}

#[test]
fn bombs_are_clear_errors_in_bounded_memory() {
    let bounded = |folder: &Path, name: &str| {
        let (ended, most) = weighed(folder, &["check", "."]);
        assert!((1 << 20..256 << 20).contains(&most), "{name}: {most} bytes were held");
        ended
    };
    let folder = tempfile::tempdir().unwrap();
    // A gibibyte, of which no byte is on the disk.
    let mut file = std::fs::File::create(folder.path().join("big.yaml")).unwrap();
    file.seek(SeekFrom::Start((1 << 30) - 1)).unwrap();
    file.write_all(b"\n").unwrap();
    let ended = bounded(folder.path(), "a gibibyte");
    assert_eq!(ended.code, Some(1));
    assert!(format!("{}{}", ended.out, ended.err).contains("unreadable-file"), "{}{}", ended.out, ended.err);
    for (name, text) in [
        ("aliases", {
            let mut text = String::from("weir: v1\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
            for n in 1..12 {
                let before = format!("*a{}, ", n - 1).repeat(10);
                text.push_str(&format!("a{n}: &a{n} [{}]\n", before.trim_end_matches(", ")));
            }
            text
        }),
        ("depth", format!("weir: v1\na: {}{}\n", "[".repeat(100_000), "]".repeat(100_000))),
        (
            "stages",
            around(
                &(0..2_000)
                    .map(|n| format!("      - guard: g{n}\n        cel: request.stream\n"))
                    .collect::<String>(),
            ),
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("policy.yaml"), text).unwrap();
        let ended = bounded(folder.path(), name);
        let said = format!("{}{}", ended.out, ended.err);
        assert_eq!(ended.code, Some(1), "{name}: {said}");
        assert!(
            said.contains("too-large") || said.contains("bad-yaml"),
            "{name}: {}",
            said.chars().take(500).collect::<String>()
        );
    }
}

#[test]
fn test_refuses_to_call_nothing_a_success() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("set")).unwrap();
    std::fs::write(
        folder.path().join("set/policy.yaml"),
        around("      - observe: log\n").replace("    stages:", CHAT_ONLY),
    )
    .unwrap();
    assert_eq!(weir(folder.path(), &["test"]).code, Some(3));
    let cases = folder.path().join("a.test.yaml");
    std::fs::write(&cases, "cases: []\n").unwrap();
    assert_eq!(weir(folder.path(), &["test"]).code, Some(3));
    std::fs::write(&cases, "cases:\n  - note: n\n    request: { model: fast }\n").unwrap();
    assert_eq!(weir(folder.path(), &["test"]).code, Some(3));
    let good = "cases:\n  - note: it answers\n    request: { model: fast, messages: [{ role: user, content: hi }] }\n    upstream: [{ reply: x }]\n    expect: [{ text: x }]\n";
    std::fs::write(&cases, good).unwrap();
    assert_eq!(weir(folder.path(), &["test"]).code, Some(0));
    assert_eq!(weir(folder.path(), &["test", "--run", "answers"]).code, Some(0));
    assert_eq!(weir(folder.path(), &["test", "--run", "nothing of the kind"]).code, Some(3));
    let junit = weir(folder.path(), &["test", "--format", "junit"]);
    assert!(junit.out.starts_with("<?xml") && junit.out.contains("tests=\"1\""), "{}", junit.out);
    std::fs::write(&cases, good.replace("text: x", "text: y")).unwrap();
    let failing = weir(folder.path(), &["test"]);
    assert_eq!(failing.code, Some(1));
    assert!(failing.out.contains("client.text = \"x\""), "{}", failing.out);
    assert_eq!(weir(folder.path(), &["test", "--no-such-flag"]).code, Some(2));
    let missing = weir(folder.path(), &["test", ".", "nowhere"]);
    assert_eq!(missing.code, Some(4));
    assert!(missing.err.contains("cannot read nowhere"), "{}", missing.err);
}

#[test]
fn cases_of_a_policy_that_needs_a_model_are_errors_without_it_and_left_out_where_models_are_not_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let policy = around("      - cache: semantic\n        with: { per: everyone }\n")
        .replace("    stages:", CHAT_ONLY);
    std::fs::write(folder.path().join("policy.yaml"), policy).unwrap();
    let case = "cases:\n  - note: it answers\n    request: { model: fast, messages: [{ role: user, content: hi }] }\n    upstream: [{ reply: x }]\n    expect: [{ text: x }]\n";
    std::fs::write(folder.path().join("a.test.yaml"), case).unwrap();
    let nothing = tempfile::tempdir().unwrap();
    for (models, code, word, why) in
        [("all", 1, "ERROR", "`make setup` fetches the models"), ("none", 3, "SKIP", "WEIR_MODELS=none")]
    {
        let out = Command::new(weir_binary())
            .arg("test")
            .current_dir(folder.path())
            .env("NO_COLOR", "1")
            .env("WEIR_CACHE", nothing.path())
            .env("WEIR_MODELS", models)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stdout);
        assert_eq!(out.status.code(), Some(code), "{said}");
        assert!(said.contains(word) && said.contains(why), "{said}");
    }
}

#[test]
fn explain_tells_what_every_stage_does_and_calls_nobody() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("set")).unwrap();
    std::fs::write(
        folder.path().join("set/policy.yaml"),
        around("      - guard: small\n        cel: size(request.all_text) < 10\n      - observe: log\n        when: request.model == \"fast\"\n")
            .replace("    stages:", CHAT_ONLY),
    )
    .unwrap();
    for (text, decision) in [("hi", "passed"), ("far more than ten characters", "denied")] {
        let request = format!("{{ model: fast, messages: [{{ role: user, content: {text} }}] }}");
        std::fs::write(folder.path().join("request.yaml"), request).unwrap();
        let ended = weir(folder.path(), &["explain", "-p", "set", "request.yaml", "--format", "json"]);
        let json: Value = serde_json::from_str(&ended.out)
            .unwrap_or_else(|error| panic!("{error}: {}{}", ended.out, ended.err));
        assert_eq!(json["stages"][0]["decision"], decision, "{json}");
        assert!(json["stages"][0]["millis"].is_number());
        let pretty = weir(folder.path(), &["explain", "-p", "set", "request.yaml"]);
        let size = format!("  size(request.all_text) = {}", text.len());
        let when = if decision == "passed" { "  request.model = \"fast\"" } else { "" };
        for words in ["small", decision, "cel: size(request.all_text) < 10", &size, when] {
            assert!(pretty.out.contains(words), "{words}: {}", pretty.out);
        }
        assert_eq!(json["stages"][0]["facts"]["cel"]["values"]["request.all_text"], text);
    }
}
