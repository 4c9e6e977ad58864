//! The ledger of a running gateway: each attempt is booked once, at what it cost, however the request ends and whatever happens
//! to the process.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use weir_conformance::harness::{
    Gateway, Provider, Set, Wire, chat, entry, eventually, free_port, get, post, request, weir_binary, whole,
};
use weir_conformance::upstream::Reaction;
use weir_diagnostic::units::Calendar;
use weir_pipeline::{Clock, SystemClock};
use weir_state::{Account, Space, Totals, Unit, Window};

/// A token of the prompt costs a ten-thousandth of a dollar, one of the answer a thousandth.
fn policy(dead: SocketAddr) -> String {
    format!(
        r#"
weir: v1
state: {{ file: ../state }}
listeners:
  edge: {{ address: "{{EDGE}}", identify: [key] }}
keys:
  web-key: {{ secret: "${{env:WEB_KEY}}", user: ann, team: web, project: shop, tags: {{ centre: 42 }} }}
providers:
  lab: {{ dialect: openai, base_url: "http://{{UPSTREAM}}/lab/v1", timeouts: {{ first_byte: 500ms }} }}
  spare: {{ dialect: openai, base_url: "http://{{UPSTREAM}}/spare/v1" }}
  dead: {{ dialect: openai, base_url: "http://{dead}/v1" }}
models:
  fast: {{ targets: [{{ provider: lab, model: m-1 }}], price: {{ input: 100, output: 1000 }} }}
  other: {{ targets: [{{ provider: spare, model: m-2 }}], price: {{ input: 100, output: 2000 }} }}
  gone: {{ targets: [{{ provider: dead, model: m-3 }}], price: {{ input: 1, output: 1 }} }}
  unpriced: {{ targets: [{{ provider: lab, model: m-4 }}] }}
frames:
  - frame: limits
    stages:
      - guard: key
      - guard: budget
        with: {{ money: 1000 USD/total, per: everyone, unpriced: pass }}
pipelines:
  - pipeline: cached
    when: '"x-cache" in request.headers'
    stages:
      - cache: exact
        with: {{ per: everyone }}
  - pipeline: ladder
    when: '"x-ladder" in request.headers'
    stages:
      - route: fallback
        with: {{ to: [requested, other], retry: {{ tries: 2, on: [5xx] }} }}
  - pipeline: plain
    stages: []
"#
    )
}

struct World {
    provider: Provider,
    gateway: Gateway,
}

impl World {
    fn start() -> Self {
        let provider = Provider::start();
        let set = Set::of(Some(provider.address), &policy(free_port()));
        let gateway = Gateway::start_with(set, &[], &[("WEB_KEY", "wr_web")]);
        Self { provider, gateway }
    }

    fn state(&self) -> PathBuf {
        self.gateway.set.beside().join("state")
    }

    /// Sends a chat over a connection of its own and gives its id; the client leaves after so many pieces.
    fn send(&self, id: &str, headers: &[(&str, &str)], body: &Value, leave_after: Option<usize>) {
        let mut all = vec![("authorization", "Bearer wr_web"), ("x-request-id", id)];
        all.extend_from_slice(headers);
        let mut wire = self.gateway.wire();
        wire.send(&request("POST", "/v1/chat/completions", &all, body.to_string().as_bytes())).unwrap();
        match leave_after {
            None => drop(wire.reply().unwrap()),
            Some(pieces) => {
                wire.head().unwrap();
                (0..pieces).for_each(|_| drop(wire.chunk().unwrap()));
            }
        }
    }

    /// The rows of a request, once there are so many.
    fn rows(&self, id: &str, count: usize) -> Vec<Value> {
        eventually(&format!("{count} rows of {id}"), || {
            let rows: Vec<Value> =
                rows(&self.state()).into_iter().filter(|row| row["request"] == id).collect();
            (rows.len() >= count).then_some(rows)
        })
    }
}

fn usage(state: &Path, arguments: &[&str]) -> Output {
    Command::new(weir_binary()).arg("usage").arg("--file").arg(state).args(arguments).output().unwrap()
}

fn rows(state: &Path) -> Vec<Value> {
    let output = usage(state, &["--rows", "--format", "json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A chat whose answer has ten tokens at most.
fn asks(model: &str, text: &str, stream: bool) -> Value {
    let mut body = chat(model, text, stream);
    body["max_tokens"] = json!(10);
    body
}

fn says(text: &str) -> Reaction {
    entry(json!({ "reply": text, "usage": { "input": 7, "output": 3 } }))
}

/// Decimal text of dollars as whole millionths.
fn micros(money: &Value) -> i64 {
    let text = money.as_str().unwrap();
    let (whole, broken) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{broken:0<6}").parse().unwrap()
}

#[test]
fn however_a_request_ends_each_attempt_is_booked_once_at_what_it_cost() {
    let mut world = World::start();
    let fail = || entry(json!({ "status": 500 }));
    let silent = br#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"one two three"},"finish_reason":"stop"}]}"#;
    let slow = || entry(json!({ "events": ["one ", "two ", { "delay": "20s" }, "three"] }));
    // What, headers, body, answers, pieces until the client leaves; then each row: attempt, target, outcome, counted, cost in
    // millionths of a dollar (none: any but 0).
    type Want = (u64, &'static str, &'static str, &'static str, Option<i64>);
    type Case = (
        &'static str,
        &'static [(&'static str, &'static str)],
        Value,
        Vec<Reaction>,
        Option<usize>,
        Vec<Want>,
    );
    let cost = Some(3_700);
    let ladder: &[(&str, &str)] = &[("x-ladder", "1")];
    let cached: &[(&str, &str)] = &[("x-cache", "1")];
    let cases: Vec<Case> = vec![
        (
            "whole",
            &[],
            asks("fast", "a", false),
            vec![says("x")],
            None,
            vec![(1, "lab/m-1", "done", "no", cost)],
        ),
        (
            "stream",
            &[],
            asks("fast", "b", true),
            vec![says("x y")],
            None,
            vec![(1, "lab/m-1", "done", "no", cost)],
        ),
        (
            "unsaid",
            &[],
            asks("fast", "c", false),
            vec![whole(200, &[("content-type", "application/json")], silent)],
            None,
            vec![(1, "lab/m-1", "done", "yes", None)],
        ),
        (
            "retry",
            ladder,
            asks("fast", "d", false),
            vec![fail(), says("x")],
            None,
            vec![(1, "lab/m-1", "server-error", "no", Some(0)), (2, "lab/m-1", "done", "no", cost)],
        ),
        (
            "fallback",
            ladder,
            asks("fast", "e", true),
            vec![fail(), fail(), says("x")],
            None,
            vec![
                (1, "lab/m-1", "server-error", "no", Some(0)),
                (2, "lab/m-1", "server-error", "no", Some(0)),
                (3, "spare/m-2", "done", "no", Some(6_700)),
            ],
        ),
        (
            "refused",
            &[],
            asks("gone", "f", false),
            vec![],
            None,
            vec![(1, "dead/m-3", "connect", "no", Some(0))],
        ),
        (
            "late",
            &[],
            asks("fast", "g", false),
            vec![entry(json!({ "fault": "timeout" }))],
            None,
            // The prompt, and the ten tokens that the answer may have had.
            vec![(1, "lab/m-1", "timeout", "yes", None)],
        ),
        (
            "left",
            &[],
            asks("fast", "h", true),
            vec![slow()],
            Some(2),
            vec![(1, "lab/m-1", "cancelled", "yes", None)],
        ),
        (
            "died",
            &[],
            asks("fast", "i", true),
            vec![entry(json!({ "events": ["one ", "two "], "fault": "cut" }))],
            None,
            vec![(1, "lab/m-1", "broken", "yes", None)],
        ),
        (
            "first",
            cached,
            asks("fast", "j", false),
            vec![says("x")],
            None,
            vec![(1, "lab/m-1", "done", "no", cost)],
        ),
        ("again", cached, asks("fast", "j", true), vec![], None, vec![(0, "", "cached", "no", None)]),
        (
            "free",
            &[],
            asks("unpriced", "k", false),
            vec![says("x")],
            None,
            vec![(1, "lab/m-4", "done", "no", None)],
        ),
    ];
    let mut all = 0;
    let mut spent = 0;
    for (id, headers, body, answers, leave, wants) in cases {
        world.provider.answers(answers);
        world.send(id, headers, &body, leave);
        let rows = world.rows(id, wants.len());
        assert_eq!(rows.len(), wants.len(), "{id}: {rows:?}");
        for (row, (attempt, target, outcome, counted, cost)) in rows.iter().zip(wants) {
            let got = (&row["attempt"], &row["target"], &row["outcome"], &row["counted"]);
            assert_eq!(
                got,
                (&json!(attempt), &json!(target), &json!(outcome), &json!(counted)),
                "{id}: {row}"
            );
            let who = ["key", "user", "team", "project"].map(|name| row[name].as_str().unwrap());
            assert_eq!(who, ["web-key", "ann", "web", "shop"], "{row}");
            assert_eq!(row["tags"], json!({ "centre": 42 }));
            match (cost, target) {
                (Some(cost), _) => assert_eq!(micros(&row["cost"]), cost, "{id}: {row}"),
                (None, "" | "lab/m-4") => assert!(row["cost"].is_null(), "{row}"),
                (None, _) => assert!(micros(&row["cost"]) > 0, "{id}: {row}"),
            }
            spent += if row["cost"].is_null() { 0 } else { micros(&row["cost"]) };
            all += 1;
            match id {
                "late" => assert_eq!(row["usage"]["output"], 10, "{row}"),
                // At least what was seen: the events, of which the first says no word.
                "left" | "died" => assert_eq!(row["usage"]["output"], 3, "{row}"),
                // Thirteen letters by the rule of thumb: no tokenizer is known.
                "unsaid" => assert_eq!(row["usage"]["output"], 4, "{row}"),
                "again" => assert_eq!(micros(&row["saved"]), 3_700, "{row}"),
                _ => {}
            }
        }
    }
    let total =
        serde_json::from_slice::<Value>(&usage(&world.state(), &["--format", "json"]).stdout).unwrap();
    assert_eq!(micros(&total["total"]["cost"]), spent, "{total}");
    assert_eq!(rows(&world.state()).len(), all);
    // The budget counted the same.
    world.gateway.signal("TERM");
    assert!(world.gateway.ended().success(), "{}", world.gateway.log());
    assert_eq!(budgeted(&world.state()), spent);
}

/// What the budget counted, in millionths of a dollar: found in its file once the gateway has ended.
fn budgeted(state: &Path) -> i64 {
    let totals = Arc::new(Totals::new());
    totals.open(state).unwrap();
    let window = Window::at(Calendar::Total, "UTC".parse().unwrap(), 0);
    let (space, unit) = (Space::Live, Unit::Money);
    let account = Account { space, meter: "frame limits/budget", unit, subject: "", window };
    // Whoever asks for more learns what was spent before.
    let mut holding = totals.reserve(&[(account, u64::MAX / 4)], 1, 0).ok().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(holding.secured().unwrap()).unwrap();
    holding.release();
    i64::try_from(totals.spent(&account) / 1_000).unwrap()
}

#[test]
fn a_kill_under_load_loses_no_row_that_is_older_than_the_grace_and_none_is_there_twice() {
    let world = World::start();
    world.provider.always(says("x"));
    let mut gateway = world.gateway;
    let state = gateway.set.beside().join("state");
    let (edge, sent) = (gateway.edge, AtomicU64::new(0));
    let clock = SystemClock::new();
    let (killed, answered) = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|client| {
                let sent = &sent;
                scope.spawn(move || {
                    let mut wire = Wire::connect(edge);
                    let mut answered = Vec::new();
                    for n in 0.. {
                        let id = format!("{client}-{n}");
                        let headers = [("authorization", "Bearer wr_web"), ("x-request-id", id.as_str())];
                        let body = asks("fast", "x", n % 2 == 0).to_string();
                        let request = request("POST", "/v1/chat/completions", &headers, body.as_bytes());
                        if !wire.exchange(&request).is_ok_and(|reply| reply.status() == 200) {
                            break;
                        }
                        answered.push((id, clock.now()));
                        sent.fetch_add(1, Ordering::Relaxed);
                    }
                    answered
                })
            })
            .collect();
        let began = clock.now();
        eventually("load", || {
            (sent.load(Ordering::Relaxed) > 200 && clock.now() > began + Duration::from_secs(3)).then_some(())
        });
        gateway.signal("KILL");
        let killed = clock.now();
        (killed, clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<Vec<_>>())
    });
    gateway.ended();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for row in rows(&state) {
        *seen.entry(row["request"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    assert!(seen.values().all(|count| *count == 1), "{seen:?}");
    // The grace is 100 ms. This machine may be busy.
    let old = answered.iter().filter(|(_, at)| killed > *at + Duration::from_millis(1_500));
    let missing: BTreeSet<&String> = old.map(|(id, _)| id).filter(|id| !seen.contains_key(*id)).collect();
    assert!(missing.is_empty(), "{missing:?} of {}", answered.len());
    assert!(seen.len() <= answered.len() + 8);
    // What is read after it agrees with itself, and a new process goes on.
    let total: Value = serde_json::from_slice(&usage(&state, &["--format", "json"]).stdout).unwrap();
    assert_eq!(total["total"]["requests"], seen.len());
    assert_eq!(micros(&total["total"]["cost"]), 3_700 * i64::try_from(seen.len()).unwrap());
}

#[test]
fn a_clean_end_loses_no_row() {
    let world = World::start();
    world.provider.always(says("x"));
    for n in 0..20 {
        world.send(&format!("r{n}"), &[], &asks("fast", "x", n % 2 == 0), None);
    }
    let mut gateway = world.gateway;
    gateway.signal("TERM");
    assert!(gateway.ended().success(), "{}", gateway.log());
    assert_eq!(rows(&gateway.set.beside().join("state")).len(), 20);
}

#[test]
fn what_was_spent_today_outlives_a_kill() {
    let provider = Provider::start();
    let policy = policy(free_port()).replace(
        "      - guard: key\n",
        "      - guard: key\n      - guard: day\n        cel: spend.today.team.cost < 0.007\n",
    );
    let set = Set::of(Some(provider.address), &policy);
    let gateway = Gateway::start_with(set, &[], &[("WEB_KEY", "wr_web")]);
    let mut world = World { provider, gateway };
    world.provider.always(says("x"));
    for id in ["a", "b"] {
        world.send(id, &[], &asks("fast", "x", false), None);
        world.rows(id, 1);
    }
    let status = |world: &World| {
        let headers = [("authorization", "Bearer wr_web")];
        post(world.gateway.edge, "/v1/chat/completions", &headers, &asks("fast", "x", false)).status()
    };
    assert_eq!(status(&world), 403);
    world.gateway.signal("KILL");
    world.gateway.start_again_with(&[("WEB_KEY", "wr_web")]);
    assert_eq!(status(&world), 403);
}

#[test]
fn usage_is_told_by_the_command_and_by_the_admin_api() {
    let world = World::start();
    world.provider.always(says("x"));
    for (id, model) in [("a", "fast"), ("b", "fast"), ("c", "other")] {
        world.send(id, &[], &asks(model, "x", false), None);
        world.rows(id, 1);
    }
    let output = usage(&world.state(), &["--by", "team,model", "--where", "team=web", "--format", "csv"]);
    let csv = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    assert!(lines[0].starts_with("team,model,requests,attempts,hits,unpriced,cost,saved,input,"), "{csv}");
    assert!(lines[1].starts_with("web,fast,2,2,0,0,0.0074,0,14,"), "{csv}");
    assert!(lines[2].starts_with("web,other,1,1,0,0,0.0067,0,7,"), "{csv}");
    let asked = world.gateway.admin("/usage?by=team,model&where=team%3Dweb&format=csv");
    assert_eq!(
        (asked.header("content-type"), asked.text()),
        (Some("text/csv; charset=utf-8; header=present"), csv)
    );
    let json = world.gateway.admin("/usage?by=tag.centre&bucket=month&since=1h").json();
    assert_eq!(json["lines"][0]["tag.centre"], "42", "{json}");
    assert_eq!((&json["total"]["requests"], &json["total"]["cost"]), (&json!(3), &json!("0.0141")));
    let wrong = world.gateway.admin("/usage?by=tem");
    assert_eq!(wrong.status(), 400);
    assert!(wrong.text().contains("did you mean `team`?"), "{}", wrong.text());
    let metrics = world.gateway.admin("/metrics").text();
    for line in ["weir_ledger_rows_total 3", "weir_ledger_rows_lost_total 0", "weir_ledger_rows_waiting 0"] {
        assert!(metrics.contains(line), "{line}");
    }
    // By the folder of the set, as people call it.
    let output = Command::new(weir_binary()).arg("usage").arg(world.gateway.set.path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("COST USD") && text.contains("0.0141"), "{text}");
    let wrong = usage(&world.state(), &["--by", "tem"]);
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn without_a_file_there_is_no_ledger_and_it_is_said() {
    let provider = Provider::start();
    let policy = policy(free_port()).replace("state: { file: ../state }", "");
    let gateway =
        Gateway::start_with(Set::of(Some(provider.address), &policy), &[], &[("WEB_KEY", "wr_web")]);
    let asked = get(gateway.admin, "/usage");
    assert_eq!(asked.status(), 404);
    assert!(asked.text().contains("names no file"), "{}", asked.text());
    let output = Command::new(weir_binary()).arg("usage").arg(gateway.set.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("name a file under `state:`"));
}
