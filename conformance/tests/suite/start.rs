//! The first minutes: the quickstart's greeting, its lines as pasted, a start without models.

use serde_json::json;
use std::process::Command;
use weir_conformance::harness::{Gateway, Provider, Set, chat, entry, eventually, weir_binary};

const QUICKSTART: &str = include_str!("../../../examples/quickstart/policy.yaml");

fn quickstart(variables: &[(&str, &str)]) -> Gateway {
    Gateway::start_with(Set::of(None, &QUICKSTART.replace("127.0.0.1:8080", "{EDGE}")), &[], variables)
}

#[test]
fn the_quickstart_greets_with_lines_that_work_when_pasted() {
    let gateway = quickstart(&[]);
    let greeting = eventually("the greeting", || {
        let out = gateway.out();
        out.contains("/v1/models").then_some(out)
    });
    for said in ["weir serves revision ", &gateway.edge.to_string(), &gateway.admin.to_string()] {
        assert!(greeting.contains(said), "{said:?} is missing:\n{greeting}");
    }
    let lines = greeting.split_once("Try:\n").unwrap().1.replace("\\\n", " ");
    let lines: Vec<&str> = lines.lines().map(str::trim).filter(|line| line.starts_with("curl ")).collect();
    assert_eq!(lines.len(), 3, "{greeting}");
    if Command::new("curl").arg("--version").output().is_err() {
        println!("skipped: there is no curl to paste to");
        return;
    }
    for (line, wants) in lines.iter().zip(["bob@example.com", "data: [DONE]", "\"object\":\"list\""]) {
        let out = Command::new("bash").args(["-c", line]).env_remove("WEIR_KEY").output().unwrap();
        let said = String::from_utf8_lossy(&out.stdout);
        assert!(
            out.status.success() && said.contains(wants),
            "{line}\n{said}{}",
            String::from_utf8_lossy(&out.stderr)
        );
    }
}

#[test]
fn a_greeting_asks_for_what_nobody_can_know_and_its_line_says_so_when_pasted() {
    let policy = r#"
weir: v1
listeners:
  edge: { address: "{EDGE}", identify: [key] }
keys:
  own: { secret: "${env:OWN_KEY}" }
providers:
  echo: { from: echo }
models:
  "echo*": { targets: [{ provider: echo }] }
pipelines:
  - pipeline: all
    stages:
      - guard: key
"#;
    let gateway = Gateway::start_with(Set::of(None, policy), &[], &[("OWN_KEY", "wr_own")]);
    let greeting =
        eventually("the greeting", || Some(gateway.out()).filter(|out| out.contains("/v1/models")));
    let lines = greeting.split_once("Try:\n").unwrap().1.replace("\\\n", " ");
    let line = lines.lines().next().unwrap().trim();
    if Command::new("curl").arg("--version").output().is_err() {
        println!("skipped: there is no curl to paste to");
        return;
    }
    let paste = |variables: &[(&str, &str)]| {
        let mut shell = Command::new("bash");
        shell.args(["-c", line]).env_remove("WEIR_KEY").env_remove("WEIR_MODEL");
        let out = shell.envs(variables.iter().copied()).output().unwrap();
        format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
    };
    assert!(paste(&[]).contains("WEIR_KEY: set it to a key of the policy"), "{line}");
    let key = ("WEIR_KEY", "wr_own");
    let said = paste(&[key]);
    assert!(said.contains("WEIR_MODEL: set it to a name that fits echo*"), "{line}\n{said}");
    let said = paste(&[key, ("WEIR_MODEL", "echo")]);
    assert!(said.contains("write to bob@example.com"), "{line}\n{said}");
}

#[test]
fn without_models_a_set_that_needs_none_is_served() {
    let nothing = tempfile::tempdir().unwrap();
    let gateway = quickstart(&[("WEIR_CACHE", nothing.path().to_str().unwrap())]);
    let headers = [("authorization", "Bearer wr_demo")];
    let body = chat("fast", "write to bob@example.com", false);
    let reply = weir_conformance::harness::post(gateway.edge, "/v1/chat/completions", &headers, &body);
    assert_eq!(reply.status(), 200, "{}", reply.text());
}

#[test]
fn without_models_a_stage_that_needs_one_is_an_error_that_says_how_to_get_it() {
    let nothing = tempfile::tempdir().unwrap();
    for (stage, model) in [
        ("cache: semantic\n        with: { per: caller.team }", "semantic"),
        ("guard: pii\n        name: people\n        with: { find: [person] }", "person"),
    ] {
        let set = Set::of(
            None,
            &QUICKSTART
                .replace("127.0.0.1:8080", "{EDGE}")
                .replace("cache: exact\n        with: { ttl: 10m, per: caller.team }", stage),
        );
        let out = Command::new(weir_binary())
            .args(["serve", set.path().to_str().unwrap(), "--admin", "none"])
            .env("WEIR_CACHE", nothing.path())
            .env("NO_COLOR", "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(1), "{said}");
        for words in ["missing-model", "make setup", model, "policy.yaml"] {
            assert!(said.contains(words), "{words:?} is missing:\n{said}");
        }
    }
}

#[test]
fn a_save_that_needs_a_model_that_is_not_here_changes_nothing() {
    let provider = Provider::start();
    provider.always(entry(json!({ "reply": "x" })));
    let nothing = tempfile::tempdir().unwrap();
    let gateway = quickstart(&[("WEIR_CACHE", nothing.path().to_str().unwrap())]);
    let before = gateway.admin("/revision").json()["revision"].clone();
    gateway.set.write(
        "policy.yaml",
        &QUICKSTART.replace("127.0.0.1:8080", "{EDGE}").replace("cache: exact", "cache: semantic"),
    );
    let error = eventually("the refusal", || {
        let shown = gateway.admin("/revision").json();
        shown["last_error"].is_object().then_some(shown)
    });
    assert_eq!(error["revision"], before);
    assert!(error["last_error"]["diagnostics"].as_str().unwrap().contains("missing-model"), "{error}");
}

#[test]
fn the_readmes_policy_passes_the_readmes_test() {
    if !crate::has_models() {
        return;
    }
    let blocks: Vec<&str> = include_str!("../../../README.md")
        .split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    let [policy, cases] = blocks.as_slice() else { panic!("a policy and its test: {blocks:?}") };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("policy.yaml"), policy).unwrap();
    std::fs::write(folder.path().join("policy.test.yaml"), cases).unwrap();
    let out = Command::new(weir_binary()).args(["test", "."]).current_dir(folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success() && said.contains("1 passed, 0 failed"), "{said}");
}
