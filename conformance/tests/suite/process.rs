//! The process: SIGTERM drains, a successor takes over under load, saves take effect and bad ones do not.

use serde_json::json;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use weir_conformance::harness::{Gateway, Provider, Set, Wire, chat, entry, eventually, request};

/// `{N}` tells revisions apart.
const POLICY: &str = r#"
weir: v1
listeners:
  edge: { address: "{EDGE}" }
providers:
  lab: { dialect: openai, base_url: "http://{UPSTREAM}/lab/v1" }
  echo: { from: echo }
models:
  fast: { targets: [{ provider: lab, model: m-1 }] }
  slow: { targets: [{ provider: echo, model: echo-slow-events-50ms }] }
pipelines:
  - pipeline: slow
    anonymous: true
    when: request.model == "slow"
    stages:
      - route: requested
  - pipeline: all
    anonymous: true
    stages:
      - transform: mark-request
        rhai: |
          fn request(r) { r.system("revision {N}"); }
      - transform: mark-reply
        stream: whole
        rhai: |
          fn reply(r) { r.text = r.text + " by {N}"; }
      - route: requested
"#;

fn revision(n: usize) -> String {
    POLICY.replace("{N}", &n.to_string())
}

/// What clients under load met.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    sent: AtomicUsize,
}

/// Runs clients that send chats until told to stop; each gives what it did not expect.
fn under_load(
    edge: SocketAddr,
    clients: usize,
    load: &Arc<Load>,
) -> Vec<std::thread::JoinHandle<Vec<String>>> {
    (0..clients)
        .map(|n| {
            let load = Arc::clone(load);
            std::thread::spawn(move || {
                let mut wrong = Vec::new();
                let mut wire: Option<Wire> = None;
                while !load.stop.load(Ordering::Relaxed) {
                    let body = chat("fast", &format!("from {n}"), false).to_string();
                    let bytes = request(
                        "POST",
                        "/v1/chat/completions",
                        &[("content-type", "application/json")],
                        body.as_bytes(),
                    );
                    let fresh = wire.is_none();
                    let mut connection = wire.take().unwrap_or_else(|| Wire::connect(edge));
                    load.sent.fetch_add(1, Ordering::Relaxed);
                    match connection.exchange(&bytes) {
                        Ok(reply) if reply.status() == 200 => {
                            // The reply is marked by the revision that marked the request.
                            let words = reply.words();
                            let (asked, marked) = words.split_once(" by ").unwrap_or((&words, ""));
                            if !asked.ends_with(&format!("revision {marked}")) {
                                wrong.push(format!("two revisions: {words}"));
                            }
                            if reply.header("connection") != Some("close") {
                                wire = Some(connection);
                            }
                        }
                        Ok(reply) => wrong.push(format!("{}: {}", reply.status(), reply.text())),
                        // A kept connection may be closed while idle; HTTP lets clients send such a request again.
                        Err(_) if !fresh => {}
                        Err(error) => wrong.push(error.to_string()),
                    }
                }
                wrong
            })
        })
        .collect()
}

/// A provider whose words are the system prompt that it got.
fn mirror() -> serde_json::Value {
    json!({ "mirror": "system" })
}

#[test]
fn sigterm_ends_no_request_and_takes_no_more() {
    let provider = Provider::start();
    provider.always(entry(json!({ "reply": "slow", "delay": "800ms" })));
    let mut gateway = Gateway::start(Set::of(Some(provider.address), &revision(1)));
    let mut waiting: Vec<Wire> = (0..4)
        .map(|_| {
            let body = chat("fast", "x", false).to_string();
            let mut wire = gateway.wire();
            wire.send(&request("POST", "/v1/chat/completions", &[], body.as_bytes())).unwrap();
            wire
        })
        .collect();
    eventually("all calls", || (provider.seen().calls.len() == 4).then_some(()));
    gateway.signal("TERM");
    for wire in &mut waiting {
        let reply = wire.reply().unwrap();
        assert_eq!(reply.status(), 200, "{}", reply.text());
    }
    assert!(gateway.ended().success());
    assert!(std::net::TcpStream::connect(gateway.edge).is_err());
}

#[test]
fn a_successor_takes_over_under_load_and_nothing_is_lost() {
    let provider = Provider::start();
    provider.always(entry(mirror()));
    let set = Set::of(Some(provider.address), &revision(1));
    let socket = set.beside().join("upgrade.sock");
    let socket = socket.to_str().unwrap().to_owned();
    let mut gateway = Gateway::start_with(set, &["--upgrade-socket", &socket], &[]);
    let load = Arc::new(Load::default());
    let clients = under_load(gateway.edge, 4, &load);
    eventually("load", || (load.sent.load(Ordering::Relaxed) > 50).then_some(()));
    // Streams that go on for two seconds, across the change of processes.
    let words = (0..40).map(|n| format!("w{n}")).collect::<Vec<_>>().join(" ");
    let mut streams: Vec<Wire> = (0..3)
        .map(|_| {
            let body = chat("slow", &words, true).to_string();
            let mut wire = gateway.wire();
            wire.send(&request("POST", "/v1/chat/completions", &[], body.as_bytes())).unwrap();
            wire
        })
        .collect();
    let (mut successor, log) = gateway.successor(&["--upgrade", "--upgrade-socket", &socket]);
    eventually("the successor's wait", || std::path::Path::new(&socket).exists().then_some(()));
    std::thread::sleep(Duration::from_millis(200));
    gateway.signal("QUIT");
    for stream in &mut streams {
        let reply = stream.reply().unwrap();
        assert_eq!(reply.streamed(), format!("echo: {words}"), "{}", reply.text());
        assert_eq!(reply.events().last().map(String::as_str), Some("[DONE]"));
    }
    assert!(gateway.ended().success(), "{}", gateway.log());
    let after = load.sent.load(Ordering::Relaxed);
    eventually("load on the successor", || (load.sent.load(Ordering::Relaxed) > after + 50).then_some(()));
    load.stop.store(true, Ordering::Relaxed);
    let wrong: Vec<String> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    let log = std::fs::read_to_string(log).unwrap_or_default();
    let _ = successor.kill();
    let _ = successor.wait();
    assert!(
        wrong.is_empty(),
        "{} of {} requests: {:?}\n{log}",
        wrong.len(),
        load.sent.load(Ordering::Relaxed),
        wrong.first()
    );
}

#[test]
fn two_hundred_reloads_good_and_bad_fail_no_request_and_mix_no_revisions() {
    let provider = Provider::start();
    provider.always(entry(mirror()));
    let gateway = Gateway::start(Set::of(Some(provider.address), &revision(0)));
    let load = Arc::new(Load::default());
    let clients = under_load(gateway.edge, 2, &load);
    eventually("load", || (load.sent.load(Ordering::Relaxed) > 20).then_some(()));
    let shown = || gateway.admin("/revision").json();
    let mut revisions = BTreeSet::from([shown()["revision"].as_str().unwrap().to_owned()]);
    let mut memory = 0;
    for n in 1..=200 {
        let before = shown()["revision"].as_str().unwrap().to_owned();
        if n % 4 == 0 {
            let bad = match n % 3 {
                0 => revision(n).replace("route: requested", "route: requestd"),
                1 => revision(n).replace("pipelines:", "pipelines: ["),
                _ => revision(n).replace("r.text + ", "r.txet + "),
            };
            gateway.set.write("policy.yaml", &bad);
            let error = eventually("the refusal of a bad save", || {
                let shown = shown();
                shown["last_error"].is_object().then_some(shown)
            });
            assert_eq!(error["revision"], before.as_str(), "a bad save changes nothing");
            assert!(error["last_error"]["diagnostics"].as_str().unwrap().contains("policy.yaml"), "{error}");
        } else {
            gateway.set.write("policy.yaml", &revision(n));
            let now = eventually("a good save", || {
                let now = shown()["revision"].as_str().unwrap().to_owned();
                (now != before).then_some(now)
            });
            revisions.insert(now);
        }
        if n == 40 {
            memory = gateway.memory();
        }
    }
    assert_eq!(revisions.len(), 151);
    load.stop.store(true, Ordering::Relaxed);
    let wrong: Vec<String> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    assert!(
        wrong.is_empty(),
        "{} of {}: {:?}",
        wrong.len(),
        load.sent.load(Ordering::Relaxed),
        wrong.first()
    );
    let grown = gateway.memory().saturating_sub(memory);
    assert!(grown < 16 << 20, "160 reloads grew memory by {grown} bytes");
}

#[test]
fn a_request_that_began_before_a_save_ends_with_the_plan_that_it_began_with() {
    let provider = Provider::start();
    provider.always(entry(json!({ "mirror": "system", "delay": "1s" })));
    let gateway = Gateway::start(Set::of(Some(provider.address), &revision(1)));
    let body = chat("fast", "x", false).to_string();
    let mut wire = gateway.wire();
    wire.send(&request("POST", "/v1/chat/completions", &[], body.as_bytes())).unwrap();
    eventually("the call", || (provider.seen().calls.len() == 1).then_some(()));
    let before = gateway.admin("/revision").json()["revision"].as_str().unwrap().to_owned();
    gateway.set.write("policy.yaml", &revision(2));
    let now = eventually("the save", || {
        let now = gateway.admin("/revision").json()["revision"].as_str().unwrap().to_owned();
        (now != before).then_some(now)
    });
    let old = wire.reply().unwrap();
    assert_eq!(
        (old.words().as_str(), old.header("x-weir-revision")),
        ("revision 1 by 1", Some(before.as_str()))
    );
    let new = gateway.chat(&chat("fast", "x", false));
    assert_eq!(
        (new.words().as_str(), new.header("x-weir-revision")),
        ("revision 2 by 2", Some(now.as_str()))
    );
}

#[test]
fn a_raised_limit_keeps_the_count() {
    let provider = Provider::start();
    provider.always(entry(json!({ "reply": "x" })));
    let policy = |requests: u32| {
        revision(1).replace(
            "      - transform: mark-request",
            &format!("      - guard: rate\n        with: {{ requests: {requests}/hour, per: '\"all\"' }}\n      - transform: mark-request"),
        )
    };
    let gateway = Gateway::start(Set::of(Some(provider.address), &policy(3)));
    let send = || gateway.chat(&chat("fast", "x", false)).status();
    assert_eq!([send(), send(), send(), send()], [200, 200, 200, 429]);
    let before = gateway.admin("/revision").json()["revision"].clone();
    gateway.set.write("policy.yaml", &policy(5));
    eventually("the save", || (gateway.admin("/revision").json()["revision"] != before).then_some(()));
    let more: Vec<u16> = (0..4).map(|_| send()).collect();
    let passed = more.iter().filter(|status| **status == 200).count();
    assert!((1..=2).contains(&passed), "of a limit of 5, 3 were used: {more:?}");
}

#[test]
fn kubernetes_symlinked_folders_count_as_one_save() {
    let provider = Provider::start();
    provider.always(entry(mirror()));
    let set = Set::new(Some(provider.address));
    let root = set.path();
    let version = |n: usize| {
        let folder = root.join(format!("..v{n}"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("policy.yaml"), set.filled(&revision(n))).unwrap();
        folder
    };
    let link = |to: &std::path::Path| {
        let draft = root.join("..data_tmp");
        std::os::unix::fs::symlink(to.file_name().unwrap(), &draft).unwrap();
        std::fs::rename(&draft, root.join("..data")).unwrap();
    };
    link(&version(1));
    std::os::unix::fs::symlink("..data/policy.yaml", root.join("policy.yaml")).unwrap();
    let new = version(2);
    let gateway = Gateway::start(set);
    assert_eq!(gateway.chat(&chat("fast", "x", false)).words(), "revision 1 by 1");
    let draft = root.join("..data_tmp");
    std::os::unix::fs::symlink(new.file_name().unwrap(), &draft).unwrap();
    std::fs::rename(&draft, root.join("..data")).unwrap();
    eventually("the save", || {
        (gateway.chat(&chat("fast", "x", false)).words() == "revision 2 by 2").then_some(())
    });
}
