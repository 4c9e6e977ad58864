//! Secrets in files that change: taken up in every field that takes one, while the revision stays.

use serde_json::json;
use weir_conformance::harness::{Gateway, Provider, Reply, Set, chat, entry, eventually, post};

const POLICY: &str = r#"
weir: v1
listeners:
  edge: { address: "{EDGE}", identify: [key] }
keys:
  web: { secret: "${file:../caller}", team: web }
providers:
  lab:
    dialect: openai
    base_url: "http://{UPSTREAM}/lab/v1"
    key: "${file:../account}"
    headers: { x-tenant: "t-${file:../tenant}" }
models:
  fast: { targets: [{ provider: lab, model: m }] }
pipelines:
  - pipeline: all
    stages:
      - guard: key
      - guard: pii
        with: { find: [email], then: hash, salt: "${file:../salt}" }
"#;

/// The files that secrets stand in.
const FILES: [&str; 4] = ["caller", "account", "tenant", "salt"];

struct Bench {
    provider: Provider,
    gateway: Gateway,
}

impl Bench {
    fn start() -> Self {
        let provider = Provider::start();
        provider.always(entry(json!({ "reply": "so" })));
        let set = Set::new(Some(provider.address));
        for file in FILES {
            std::fs::write(set.beside().join(file), "first\n").unwrap();
        }
        set.write("policy.yaml", POLICY);
        Self { gateway: Gateway::start(set), provider }
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.gateway.set.beside().join(file), text).unwrap();
    }

    fn ask(&self, key: &str) -> Reply {
        let bearer = format!("Bearer {key}");
        let body = chat("fast", "I am bob@example.com", false);
        post(self.gateway.edge, "/v1/chat/completions", &[("authorization", &bearer)], &body)
    }

    /// What the provider was shown last: credential, header, words.
    fn shown(&self) -> [String; 3] {
        let call = self.provider.seen().calls.pop().unwrap();
        let header = |wanted: &str| {
            let found = call.headers.iter().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        [header("authorization"), header("x-tenant"), call.body.clone()]
    }
}

#[test]
fn a_secret_that_changes_in_its_file_is_taken_up_in_every_field_and_the_revision_stays() {
    let bench = Bench::start();
    let before = bench.ask("first");
    assert_eq!(before.status(), 200, "{}", before.text());
    let [account, tenant, words] = bench.shown();
    assert_eq!([account, tenant], ["Bearer first", "t-first"]);
    assert!(!words.contains("bob@example.com"), "{words}");
    for file in FILES {
        bench.write(file, "second");
    }
    let after = eventually("the new key", || Some(bench.ask("second")).filter(|reply| reply.status() == 200));
    assert_eq!(bench.ask("first").code(), "invalid-key");
    let [account, tenant, other] = bench.shown();
    assert_eq!([account, tenant], ["Bearer second", "t-second"]);
    assert_ne!(other, words, "the hashes are those of the old salt");
    assert_eq!(after.header("x-weir-revision"), before.header("x-weir-revision"));
    let status = bench.gateway.admin("/revision").json();
    assert_eq!(status["last_error"], serde_json::Value::Null, "{status}");
}

#[test]
fn a_secret_that_goes_leaves_the_last_one_in_force_and_the_log_says_so_once() {
    let bench = Bench::start();
    bench.write("caller", "");
    let said = "the last ones stay";
    eventually("the warning", || bench.gateway.log().contains(said).then_some(()));
    assert_eq!(bench.ask("first").status(), 200);
    bench.write("caller", "third");
    eventually("the third key", || (bench.ask("third").status() == 200).then_some(()));
    assert_eq!(bench.gateway.log().matches(said).count(), 1, "{}", bench.gateway.log());
}
