//! Budgets of a running gateway: kept over a kill and an upgrade, never passed in a race, opened with care.

use serde_json::{Value, json};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use weir_conformance::harness::{
    Gateway, Provider, Reply, Set, Wire, chat, entry, eventually, request, weir_binary,
};

/// A token of the answer costs a thousandth of a dollar, and an answer has ten: a cent each.
fn policy(money: &str, state: &str) -> String {
    format!(
        r#"
weir: v1
{state}
listeners:
  edge: {{ address: "{{EDGE}}" }}
providers:
  lab: {{ dialect: openai, base_url: "http://{{UPSTREAM}}/lab/v1" }}
models:
  fast: {{ targets: [{{ provider: lab, model: m-1 }}], price: {{ input: 0, output: 1000 }} }}
pipelines:
  - pipeline: all
    anonymous: true
    stages:
      - guard: budget
        with: {{ money: {money}/total, per: everyone }}
      - route: requested
"#
    )
}

const KEPT: &str = "state: { file: ../state }";

/// A chat whose answer has ten tokens at most.
fn asked() -> Vec<u8> {
    let mut body = chat("fast", "x", false);
    body["max_tokens"] = json!(10);
    let headers = [("content-type", "application/json")];
    request("POST", "/v1/chat/completions", &headers, body.to_string().as_bytes())
}

fn ask(edge: SocketAddr) -> Reply {
    Wire::connect(edge).exchange(&asked()).unwrap()
}

fn provider() -> Provider {
    let provider = Provider::start();
    provider.always(entry(json!({ "reply": "x", "usage": { "input": 1, "output": 10 } })));
    provider
}

/// Asks with many at once until nothing is left; how many were answered.
fn spend_all(edge: SocketAddr, clients: usize) -> u64 {
    let answered = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                let mut refused = 0;
                while refused < 3 {
                    let reply = ask(edge);
                    match reply.status() {
                        200 => drop(answered.fetch_add(1, Ordering::Relaxed)),
                        429 => {
                            assert_eq!(reply.code(), "budget-exceeded");
                            // Held by requests under way, it may come back.
                            refused += u32::from(!reply.text().contains("under way"));
                        }
                        status => panic!("{status}: {}", reply.text()),
                    }
                }
            });
        }
    });
    answered.into_inner()
}

#[test]
fn sixty_four_clients_race_for_the_last_dollar_and_spend_it_to_the_cent() {
    let provider = provider();
    let gateway = Gateway::start(Set::of(Some(provider.address), &policy("1 USD", KEPT)));
    assert_eq!(spend_all(gateway.edge, 64), 100);
    assert_eq!(provider.seen().calls.len(), 100);
}

#[test]
fn a_kill_under_load_forgets_nothing_that_was_spent() {
    let provider = provider();
    let mut gateway = Gateway::start(Set::of(Some(provider.address), &policy("5 USD", KEPT)));
    let (edge, mut answered) = (gateway.edge, 0);
    for _ in 0..2 {
        let sent = AtomicU64::new(0);
        answered += std::thread::scope(|scope| {
            let clients: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        let mut wire = Wire::connect(edge);
                        let mut answered = 0;
                        // Until it is dead.
                        while wire.exchange(&asked()).is_ok_and(|reply| reply.status() == 200) {
                            answered += 1;
                            sent.fetch_add(1, Ordering::Relaxed);
                        }
                        answered
                    })
                })
                .collect();
            eventually("load", || (sent.load(Ordering::Relaxed) > 60).then_some(()));
            gateway.signal("KILL");
            clients.into_iter().map(|client| client.join().unwrap()).sum::<u64>()
        });
        gateway.start_again();
    }
    let rest = spend_all(gateway.edge, 8);
    let calls = provider.seen().calls.len() as u64;
    assert!(calls <= 500, "{calls} cents of 500 were spent");
    // A kill costs what was under way, and a 512th of the limit.
    assert!(answered + rest >= 500 - 2 * (2 * 8 + 2), "{answered} before and {rest} after, of 500");
}

#[test]
fn a_clean_end_and_an_upgrade_lose_no_cent() {
    let provider = provider();
    let set = Set::of(Some(provider.address), &policy("1 USD", KEPT));
    let socket = set.beside().join("upgrade.sock").to_str().unwrap().to_owned();
    let mut gateway = Gateway::start_with(set, &["--upgrade-socket", &socket], &[]);
    for _ in 0..30 {
        assert_eq!(ask(gateway.edge).status(), 200);
    }
    let (mut successor, log) = gateway.successor(&["--upgrade", "--upgrade-socket", &socket]);
    eventually("the successor's wait", || std::path::Path::new(&socket).exists().then_some(()));
    for _ in 0..30 {
        assert_eq!(ask(gateway.edge).status(), 200);
    }
    std::thread::sleep(std::time::Duration::from_millis(200));
    gateway.signal("QUIT");
    assert!(gateway.ended().success(), "{}", gateway.log());
    let rest = spend_all(gateway.edge, 4);
    let _ = successor.kill();
    let _ = successor.wait();
    let log = std::fs::read_to_string(log).unwrap_or_default();
    assert_eq!(rest, 40, "{log}");
}

#[test]
fn a_changed_state_section_is_refused_and_says_why() {
    let provider = provider();
    let gateway = Gateway::start(Set::of(Some(provider.address), &policy("1 USD", KEPT)));
    gateway.set.write("policy.yaml", &policy("1 USD", "state: { file: ../elsewhere }"));
    let error = eventually("the refusal", || {
        let shown: Value = gateway.admin("/revision").json();
        shown["last_error"].is_object().then_some(shown)
    });
    let said = error["last_error"]["diagnostics"].as_str().unwrap();
    assert!(said.contains("needs-upgrade") && said.contains("state"), "{said}");
    assert_eq!(ask(gateway.edge).status(), 200);
    gateway.set.write("policy.yaml", &policy("0.01 USD", KEPT));
    eventually("the lowered budget", || (ask(gateway.edge).status() == 429).then_some(()));
}

#[test]
fn a_file_that_is_damaged_keeps_the_gateway_from_starting_and_stays_as_it_is() {
    let provider = provider();
    let set = Set::of(Some(provider.address), &policy("1 USD", KEPT));
    let file = set.beside().join("state");
    std::fs::write(&file, "no database").unwrap();
    let output = Command::new(weir_binary()).arg("serve").arg(set.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("cannot be used") && said.contains("damaged"), "{said}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "no database");
}
