//! Keys that are made and changed while the gateway serves, by the admin API and by `weir keys`.

use serde_json::{Value, json};
use std::process::Command;
use weir_conformance::harness::{Gateway, Reply, Set, Wire, chat, post, request, weir_binary};

const POLICY: &str = r#"
weir: v1
state: { file: ../state }
admin: { token: "${env:ADMIN}" }
listeners:
  edge: { address: "{EDGE}", identify: [key] }
keys:
  declared: { secret: "${env:DECLARED}" }
providers:
  echo: { from: echo }
models:
  fast: { targets: [{ provider: echo, model: echo }] }
  slow: { targets: [{ provider: echo, model: echo }] }
pipelines:
  - pipeline: all
    stages:
      - guard: key
      - transform: headers
        with: { reply: { set: { x-key: { cel: caller.key }, x-team: { cel: caller.team } } } }
      - route: requested
"#;

const VARIABLES: &[(&str, &str)] = &[("ADMIN", "root"), ("DECLARED", "wr_declared")];

fn start() -> Gateway {
    Gateway::start_with(Set::of(None, POLICY), &[], VARIABLES)
}

fn with(
    gateway: &Gateway,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&Value>,
) -> Reply {
    let body = body.map(Value::to_string).unwrap_or_default();
    let mut all = vec![("authorization", "Bearer root"), ("content-type", "application/json")];
    all.extend_from_slice(headers);
    let bytes = request(method, &format!("/admin/v1{path}"), &all, body.as_bytes());
    Wire::connect(gateway.admin).exchange(&bytes).unwrap()
}

fn make(gateway: &Gateway, settings: Value) -> (String, String) {
    let reply = with(gateway, "POST", "/keys", &[], Some(&settings));
    assert_eq!(reply.status(), 201, "{}", reply.text());
    let made = reply.json();
    (made["id"].as_str().unwrap().to_owned(), made["key"].as_str().unwrap().to_owned())
}

fn ask(gateway: &Gateway, key: &str) -> Reply {
    post(gateway.edge, "/v1/chat/completions", &[("x-api-key", key)], &chat("fast", "hi", false))
}

fn is_problem(reply: &Reply, status: u16) {
    assert_eq!(reply.status(), status, "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{}", reply.text());
    let told = reply.json();
    assert!(told["status"] == status && told["title"].is_string() && told["detail"].is_string(), "{told}");
}

#[test]
fn a_key_is_good_once_it_is_made_and_no_longer_once_it_is_disabled_or_gone() {
    let gateway = start();
    let settings = json!({ "name": "app", "team": "web", "models": ["fa*"], "tags": { "tier": 1 } });
    let (id, key) = make(&gateway, settings.clone());
    assert!(key.starts_with("wr_") && key.len() == 55, "{key}");
    let reply = ask(&gateway, &key);
    assert_eq!(
        (reply.status(), reply.header("x-key"), reply.header("x-team")),
        (200, Some("app"), Some("web"))
    );
    let slow = post(gateway.edge, "/v1/chat/completions", &[("x-api-key", &key)], &chat("slow", "hi", false));
    assert_eq!(slow.status(), 403);
    let place = format!("/keys/{id}");
    let read = with(&gateway, "GET", &place, &[], None);
    assert_eq!((read.status(), read.header("etag")), (200, Some("\"1\"")));
    let told = read.json();
    assert_eq!((&told["settings"]["team"], &told["settings"]["tags"]["tier"]), (&json!("web"), &json!(1)));
    assert!(key.starts_with(told["prefix"].as_str().unwrap()) && told.get("key").is_none(), "{told}");
    assert!(!read.text().contains("blake3") && !read.text().contains(&key[20..]), "{}", read.text());
    // A change that knows of no other.
    let disable = json!({ "disabled": true, "team": null });
    is_problem(&with(&gateway, "PATCH", &place, &[("if-match", "\"7\"")], Some(&disable)), 412);
    assert_eq!(ask(&gateway, &key).status(), 200);
    let changed = with(&gateway, "PATCH", &place, &[("if-match", "\"1\"")], Some(&disable));
    assert_eq!((changed.status(), changed.header("etag")), (200, Some("\"2\"")), "{}", changed.text());
    assert_eq!(ask(&gateway, &key).code(), "invalid-key");
    let enable = json!({ "disabled": false, "team": "ops" });
    assert_eq!(with(&gateway, "PATCH", &place, &[], Some(&enable)).status(), 200);
    assert_eq!(ask(&gateway, &key).header("x-team"), Some("ops"));
    assert_eq!(with(&gateway, "DELETE", &place, &[], None).status(), 204);
    assert_eq!(ask(&gateway, &key).status(), 401);
    is_problem(&with(&gateway, "GET", &place, &[], None), 404);
    assert_eq!(ask(&gateway, "wr_declared").header("x-key"), Some("declared"));
}

#[test]
fn a_key_is_rotated_with_an_overlap_or_at_once() {
    let gateway = start();
    let (id, first) = make(&gateway, json!({ "name": "app", "team": "web" }));
    let rotate = |overlap: Value| {
        let reply =
            with(&gateway, "POST", &format!("/keys/{id}/rotate"), &[], Some(&json!({ "overlap": overlap })));
        assert_eq!(reply.status(), 200, "{}", reply.text());
        (reply.json()["key"].as_str().unwrap().to_owned(), reply.json().get("previous_until").is_some())
    };
    let (second, overlaps) = rotate(json!("1h"));
    assert!(overlaps && ask(&gateway, &first).status() == 200 && ask(&gateway, &second).status() == 200);
    let (third, overlaps) = rotate(Value::Null);
    assert!(!overlaps);
    for (key, status) in [(&first, 401), (&second, 401), (&third, 200)] {
        assert_eq!(ask(&gateway, key).status(), status);
    }
}

#[test]
fn nobody_gets_in_without_the_token_and_what_is_asked_wrongly_is_told() {
    let gateway = start();
    let asked = |token: &str| {
        let bytes = request("GET", "/admin/v1/keys", &[("authorization", token)], b"");
        Wire::connect(gateway.admin).exchange(&bytes).unwrap()
    };
    for token in ["", "Bearer wrong", "Bearer roo", "Bearer wr_declared", "Basic root"] {
        is_problem(&asked(token), 401);
    }
    for (method, path, body, status) in [
        ("GET", "/nothing", None, 404),
        ("PUT", "/keys", None, 405),
        ("GET", "/keys?limit=0", None, 400),
        ("GET", "/keys?lmit=1", None, 400),
        ("GET", "/audit?cursor=x", None, 400),
        ("POST", "/keys", Some(json!({ "name": "a", "tem": "x" })), 400),
        ("POST", "/keys", Some(json!({})), 400),
        ("POST", "/keys", Some(json!({ "name": "" })), 422),
        ("POST", "/keys", Some(json!({ "name": "a", "expires": "soon" })), 422),
        ("POST", "/keys", Some(json!({ "name": "declared" })), 409),
        ("POST", "/keys", Some(json!({ "name": "a", "team": "x".repeat(70_000) })), 413),
        ("PATCH", "/keys/none", Some(json!({ "disabled": true })), 404),
        ("DELETE", "/keys/none", None, 404),
    ] {
        let reply = with(&gateway, method, path, &[], body.as_ref());
        is_problem(&reply, status);
        if status == 405 {
            assert_eq!(reply.header("allow"), Some("GET, POST"));
        }
    }
    make(&gateway, json!({ "name": "app" }));
    is_problem(&with(&gateway, "POST", "/keys", &[], Some(&json!({ "name": "app" }))), 409);
    // A set without the section lets nobody in.
    let set = Set::of(None, &POLICY.replace("admin: { token: \"${env:ADMIN}\" }\n", ""));
    let gateway = Gateway::start_with(set, &[], VARIABLES);
    is_problem(&with(&gateway, "GET", "/keys", &[], None), 403);
}

#[test]
fn a_request_that_is_sent_again_makes_one_key_and_lists_come_in_pages() {
    let gateway = start();
    let once = [("idempotency-key", "abc")];
    let wish = json!({ "name": "app-0", "team": "web" });
    let first = with(&gateway, "POST", "/keys", &once, Some(&wish));
    let again = with(&gateway, "POST", "/keys", &once, Some(&wish));
    assert_eq!((first.status(), again.status()), (201, 200), "{}", again.text());
    assert_eq!(first.json()["id"], again.json()["id"]);
    assert!(again.json().get("key").is_none(), "nobody knows it any more");
    is_problem(&with(&gateway, "POST", "/keys", &once, Some(&json!({ "name": "else" }))), 422);
    for n in 1..5 {
        make(&gateway, json!({ "name": format!("app-{n}"), "team": if n % 2 == 0 { "web" } else { "ops" } }));
    }
    let (mut path, mut names) = ("/keys?limit=2".to_owned(), Vec::new());
    loop {
        let page = with(&gateway, "GET", &path, &[], None).json();
        names.extend(page["items"].as_array().unwrap().iter().map(|key| key["settings"]["name"].clone()));
        match page.get("next").and_then(Value::as_str) {
            Some(next) => path = format!("/keys?limit=2&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(names, ["app-0", "app-1", "app-2", "app-3", "app-4"]);
    let of = |query: &str| {
        with(&gateway, "GET", &format!("/keys?{query}"), &[], None).json()["items"].as_array().unwrap().len()
    };
    assert_eq!((of("team=web"), of("name=app-3"), of("team=none")), (3, 1, 0));
    let key = first.json()["key"].as_str().unwrap().to_owned();
    assert_eq!(of(&format!("prefix={}", &key[..10])), 1);
}

#[test]
fn keys_and_what_was_done_to_them_outlive_a_kill() {
    let mut gateway = start();
    let (_, kept) = make(&gateway, json!({ "name": "kept", "team": "web" }));
    let (id, gone) = make(&gateway, json!({ "name": "gone", "team": "web" }));
    assert_eq!(
        with(&gateway, "PATCH", &format!("/keys/{id}"), &[], Some(&json!({ "disabled": true }))).status(),
        200
    );
    gateway.signal("KILL");
    gateway.start_again_with(VARIABLES);
    assert_eq!((ask(&gateway, &kept).status(), ask(&gateway, &gone).status()), (200, 401));
    let audit = with(&gateway, "GET", "/audit?limit=2", &[], None).json();
    assert_eq!((&audit["intact"], &audit["next"]), (&json!(true), &json!("2")), "{audit}");
    let rest = with(&gateway, "GET", "/audit?cursor=2", &[], None).json();
    assert_eq!(
        (rest["items"][0]["action"].as_str(), &rest["intact"]),
        (Some("key.change"), &json!(true)),
        "{rest}"
    );
    assert_eq!(rest["items"][0]["before"], audit["items"][1]["hash"]);
    let told = format!("{audit}{rest}{}", gateway.log());
    assert!(!told.contains(&kept[5..]) && !told.contains(&gone[5..]), "{told}");
    let file = std::fs::read(gateway.set.beside().join("state.keys")).unwrap();
    let holds = |key: &str| file.windows(20).any(|part| part == &key.as_bytes()[10..30]);
    assert!(!holds(&kept) && !holds(&gone), "keys are kept by their hashes");
}

#[test]
fn weir_keys_does_the_same() {
    let gateway = start();
    let admin = format!("http://{}", gateway.admin);
    let weir = |arguments: &[&str], token: &str| {
        let ran = Command::new(weir_binary())
            .arg("keys")
            .args(arguments)
            .args(["--admin", &admin])
            .env("WEIR_ADMIN_TOKEN", token)
            .output()
            .unwrap();
        let json: Value = serde_json::from_slice(&ran.stdout).unwrap_or(Value::Null);
        (ran.status.code(), json, String::from_utf8_lossy(&ran.stderr).into_owned())
    };
    let (code, made, told) = weir(&["add", "app", "--team", "web"], "root");
    assert_eq!(code, Some(0), "{told}");
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    assert_eq!(ask(&gateway, key).status(), 200);
    assert_eq!(weir(&["list", "--team", "web"], "root").1["items"].as_array().unwrap().len(), 1);
    assert_eq!(weir(&["disable", id], "root").0, Some(0));
    assert_eq!(ask(&gateway, key).status(), 401);
    assert_eq!(weir(&["enable", id], "root").0, Some(0));
    let (_, rotated, _) = weir(&["rotate", id, "--overlap", "1h"], "root");
    assert_eq!(ask(&gateway, rotated["key"].as_str().unwrap()).status(), 200);
    assert_eq!(weir(&["delete", id], "root").0, Some(0));
    assert_eq!(ask(&gateway, key).status(), 401);
    assert_eq!(weir(&["audit"], "root").1["items"].as_array().unwrap().len(), 5);
    let (code, _, told) = weir(&["show", id], "root");
    assert!(code == Some(1) && told.contains("404: there is no key of this id"), "{code:?} {told}");
    let (code, _, told) = weir(&["list"], "wrong");
    assert!(code == Some(1) && told.contains("401"), "{code:?} {told}");
    assert_eq!(weir(&["list"], "").0, Some(2));
}
