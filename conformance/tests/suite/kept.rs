//! What providers keep: files, batches, responses. Their ids come back sealed, go home, and are good for who was given them.

use serde_json::{Value, json};
use std::process::Command;
use weir_conformance::harness::{
    Gateway, Provider, Reply, Set, entry, eventually, request, weir_binary, whole,
};

const POLICY: &str = r#"
weir: v1
listeners:
  edge: { address: "{EDGE}", identify: [key] }
keys:
  web: { secret: "${env:WEB_KEY}" }
  app: { secret: "${env:APP_KEY}", models: [fast] }
providers:
  one: { dialect: openai, base_url: "http://{UPSTREAM}/one/v1", responses: true }
  two: { dialect: openai, base_url: "http://{UPSTREAM}/two/v1", responses: true }
  claude: { dialect: anthropic, base_url: "http://{UPSTREAM}/claude" }
models:
  fast: { targets: [{ provider: one, model: m-1 }, { provider: two, model: m-2 }] }
  dear: { targets: [{ provider: one, model: m-3 }], price: { input: 2, output: 4, batch: { input: 1, output: 2 } } }
  there: { targets: [{ provider: two, model: m-4 }] }
  haiku: { targets: [{ provider: claude, model: haiku-1 }] }
frames:
  - frame: all
    stages:
      - guard: key
      - guard: regex
        with: { deny: [secret-word] }
pipelines:
  - pipeline: kept
    stages:
      - route: pass-through
        with:
          to: [one, two, claude]
          allow: [POST /v1/vector_stores, "* /v1/vector_stores/**", GET /v1/vector_stores, POST /v1/notes]
          headers: [x-kept]
  - pipeline: models
    stages: []
"#;

struct World {
    provider: Provider,
    gateway: Gateway,
}

impl World {
    fn start() -> Self {
        Self::of(POLICY)
    }

    fn of(policy: &str) -> Self {
        let provider = Provider::start();
        let set = Set::of(Some(provider.address), policy);
        let gateway = Gateway::start_with(set, &[], &KEYS);
        Self { provider, gateway }
    }

    fn ask(&self, key: &str, method: &str, path: &str, kind: Option<&str>, body: &[u8]) -> Reply {
        let bearer = format!("Bearer wr_{key}");
        let mut headers = vec![("authorization", bearer.as_str()), ("x-kept", "yes"), ("x-gone", "yes")];
        headers.extend(kind.map(|kind| ("content-type", kind)));
        if path.starts_with("/claude") {
            headers.push(("anthropic-version", "2023-06-01"));
        }
        let path = path.strip_prefix("/claude").unwrap_or(path);
        self.gateway.wire().exchange(&request(method, path, &headers, body)).unwrap()
    }

    fn get(&self, key: &str, path: &str) -> Reply {
        self.ask(key, "GET", path, None, b"")
    }

    fn post(&self, key: &str, path: &str, body: &Value) -> Reply {
        self.ask(key, "POST", path, Some("application/json"), body.to_string().as_bytes())
    }

    fn upload(&self, key: &str, purpose: &str, file: &[u8]) -> Reply {
        self.ask(key, "POST", "/v1/files", Some("multipart/form-data; boundary=b"), &form(purpose, file))
    }

    /// The id of a file that was sent for batches and is called so by the provider.
    fn file(&self, key: &str, id: &str) -> String {
        self.provider
            .answers(vec![entry(json!({ "body": { "object": "file", "id": id, "purpose": "batch" } }))]);
        let model = if key == "app" { "fast" } else { "dear" };
        let reply = self.upload(key, "batch", line(model, "hi").as_bytes());
        assert_eq!(reply.status(), 200, "{}", reply.text());
        text(&reply, "/id")
    }

    /// The only call of the script.
    fn call(&self) -> (String, String, String) {
        let mut calls = self.provider.seen().calls;
        assert_eq!(calls.len(), 1);
        let call = calls.remove(0);
        (call.method, format!("/{}{}", call.provider, call.path), call.body)
    }
}

const KEYS: [(&str, &str); 2] = [("WEB_KEY", "wr_web"), ("APP_KEY", "wr_app")];

fn form(purpose: &str, file: &[u8]) -> Vec<u8> {
    let mut body = format!(
        "--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\n{purpose}\r\n\
         --b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.jsonl\"\r\nContent-Type: application/jsonl\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(file);
    body.extend_from_slice(b"\r\n--b--\r\n");
    body
}

fn line(model: &str, says: &str) -> String {
    let body = json!({ "model": model, "messages": [{ "role": "user", "content": says }] });
    json!({ "custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": body }).to_string()
}

fn text(reply: &Reply, pointer: &str) -> String {
    reply.json().pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn assert_unknown(world: &World, reply: &Reply) {
    assert_eq!((reply.status(), reply.code().as_str()), (404, "unknown-id"), "{}", reply.text());
    assert!(world.provider.seen().calls.is_empty());
}

#[test]
fn ids_of_files_and_batches_are_sealed_go_home_and_are_refused_to_another_caller() {
    let world = World::start();
    let file = world.file("web", "file-abc");
    let (method, path, body) = world.call();
    assert_eq!((method.as_str(), path.as_str()), ("POST", "/one/v1/files"));
    assert!(
        body.contains(r#""model":"m-3""#) && body.contains("name=\"purpose\"\r\n\r\nbatch\r\n"),
        "{body}"
    );
    assert!(file.starts_with("file-") && !file.contains("abc"), "{file}");

    let told = json!({ "object": "batch", "id": "batch_1", "input_file_id": "file-abc", "status": "completed",
        "output_file_id": "file-out", "error_file_id": null });
    world.provider.answers(vec![entry(json!({ "body": told }))]);
    let asked =
        json!({ "input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h" });
    let batch = world.post("web", "/v1/batches", &asked);
    assert_eq!(text(&batch, "/input_file_id"), file, "{}", batch.text());
    let (_, path, body) = world.call();
    assert!(path == "/one/v1/batches" && body.contains(r#""input_file_id":"file-abc""#), "{path} {body}");
    let (batch, out) = (text(&batch, "/id"), text(&batch, "/output_file_id"));
    assert!(batch.starts_with("batch_w1") && out.starts_with("file-w1"), "{batch} {out}");

    for (method, path, upstream) in [
        ("GET", format!("/v1/files/{file}"), "/one/v1/files/file-abc"),
        ("GET", format!("/v1/files/{file}/content"), "/one/v1/files/file-abc/content"),
        ("GET", format!("/v1/files?limit=3&after={file}"), "/one/v1/files?limit=3&after=file-abc"),
        ("GET", format!("/v1/batches/{batch}"), "/one/v1/batches/batch_1"),
        ("POST", format!("/v1/batches/{batch}/cancel"), "/one/v1/batches/batch_1/cancel"),
        ("GET", format!("/v1/files/{out}/content"), "/one/v1/files/file-out/content"),
        ("DELETE", format!("/v1/files/{file}"), "/one/v1/files/file-abc"),
    ] {
        world.provider.answers(vec![entry(json!({ "body": {} }))]);
        let other = world.ask("app", method, &path, None, b"");
        assert_unknown(&world, &other);
        let reply = world.ask("web", method, &path, None, b"");
        assert_eq!(reply.status(), 200, "{path}: {}", reply.text());
        assert_eq!((world.call().0.as_str(), world.call().1.as_str()), (method, upstream));
    }
    world.provider.answers(Vec::new());
    for path in ["/v1/files/file-abc", "/v1/files/x", "/v1/batches/batch_1", "/v1/files?after=file-abc"] {
        assert_unknown(&world, &world.get("web", path));
    }
    assert_unknown(&world, &world.post("web", "/v1/batches", &json!({ "input_file_id": "file-abc" })));
    assert_unknown(&world, &world.post("app", "/v1/batches", &asked));
}

#[test]
fn a_list_shows_what_is_the_callers_and_goes_on_behind_what_is_not() {
    let world = World::start();
    let (mine, theirs) = (world.file("web", "file-1"), world.file("app", "file-2"));
    let listed = json!({ "object": "list", "has_more": true, "first_id": "file-0", "last_id": "file-2",
        "data": [{ "id": "file-0", "filename": "nobody's" }, { "id": "file-1" }, { "id": "file-2", "filename": "theirs" }] });
    world.provider.always(entry(json!({ "body": listed })));
    let reply = world.get("web", "/v1/files");
    let ids = |reply: &Reply| -> Vec<Value> {
        reply.json()["data"].as_array().unwrap().iter().map(|item| item["id"].clone()).collect()
    };
    assert_eq!(ids(&reply), [mine.as_str()], "{}", reply.text());
    assert_eq!(ids(&world.get("app", "/v1/files")), [theirs.as_str()]);
    assert!(!reply.text().contains("theirs") && !reply.text().contains("nobody"));
    // The end of the page is good to go on from and for nothing else.
    let last = text(&reply, "/last_id");
    assert_eq!(world.get("web", &format!("/v1/files/{last}")).code(), "unknown-id");
    world.provider.answers(vec![entry(json!({ "body": listed }))]);
    assert_eq!(world.get("web", &format!("/v1/files?after={last}")).status(), 200);
    assert_eq!(world.call().1, "/one/v1/files?after=file-2");
}

#[test]
fn a_response_is_followed_where_it_was_made_and_never_balanced() {
    let world = World::start();
    let asked = json!({ "model": "fast", "input": "hi" });
    let mut homes = std::collections::BTreeSet::new();
    for n in 0..12 {
        let stream = n % 2 == 1;
        let begun =
            json!({ "type": "response.created", "response": { "id": "resp_0", "object": "response" } });
        let done = json!({ "type": "response.completed", "response": { "id": "resp_0", "object": "response", "status": "completed", "output": [] } });
        let raw = |event: &Value| json!({ "raw": format!("data: {event}\n\n") });
        let answer = match stream {
            true => json!({ "events": [raw(&begun), raw(&done)] }),
            false => {
                json!({ "body": { "id": "resp_0", "object": "response", "status": "completed", "output": [] } })
            }
        };
        let mut body = asked.clone();
        body["stream"] = stream.into();
        world.provider.answers(vec![entry(answer)]);
        let reply = world.post("web", "/v1/responses", &body);
        let home = world.provider.seen().calls.remove(0).provider;
        homes.insert(home.clone());
        let id = match stream {
            false => text(&reply, "/id"),
            true => {
                let ids: Vec<String> = reply
                    .events()
                    .iter()
                    .filter_map(|event| serde_json::from_str::<Value>(event).ok())
                    .filter_map(|event| Some(event.pointer("/response/id")?.as_str()?.to_owned()))
                    .collect();
                assert!(ids.len() == 2 && ids[0] == ids[1], "{}", reply.text());
                ids[0].clone()
            }
        };
        assert!(id.starts_with("resp_w1"), "{}", reply.text());
        let next = json!({ "id": "resp_1", "object": "response", "status": "completed", "output": [], "previous_response_id": "resp_0" });
        world.provider.answers(vec![entry(json!({ "body": next }))]);
        let mut follows = asked.clone();
        follows["previous_response_id"] = id.clone().into();
        assert_unknown(&world, &world.post("app", "/v1/responses", &follows));
        let reply = world.post("web", "/v1/responses", &follows);
        assert_eq!(text(&reply, "/previous_response_id"), id, "{}", reply.text());
        let call = world.provider.seen().calls.remove(0);
        assert_eq!(call.provider, home);
        assert!(call.body.contains(r#""previous_response_id":"resp_0""#), "{}", call.body);
        for (method, rest) in [("GET", ""), ("GET", "/input_items"), ("POST", "/cancel"), ("DELETE", "")] {
            let said = json!({ "id": "resp_0", "object": "response", "data": [], "output": [] });
            world.provider.answers(vec![entry(json!({ "body": said }))]);
            let reply = world.ask("web", method, &format!("/v1/responses/{id}{rest}"), None, b"");
            assert_eq!(
                (reply.status(), text(&reply, "/id")),
                (200, id.clone()),
                "{method}{rest}: {}",
                reply.text()
            );
            assert_eq!(world.call().1, format!("/{home}/v1/responses/resp_0{rest}"));
        }
    }
    assert_eq!(homes.len(), 2, "both were asked");
    world.provider.answers(Vec::new());
    assert_unknown(&world, &world.get("web", "/v1/responses/resp_0"));
    let raw = json!({ "model": "fast", "input": "hi", "previous_response_id": "resp_0" });
    assert_unknown(&world, &world.post("web", "/v1/responses", &raw));
}

#[test]
fn a_file_that_a_chat_names_goes_home_with_it() {
    let world = World::start();
    let file = world.file("web", "file-abc");
    let chat = |id: &str| {
        let part = json!({ "type": "file", "file": { "file_id": id } });
        json!({ "model": "fast", "messages": [{ "role": "user", "content": [part] }] })
    };
    for _ in 0..8 {
        world.provider.answers(vec![entry(json!({ "reply": "read" }))]);
        assert_eq!(world.post("web", "/v1/chat/completions", &chat(&file)).words(), "read");
        let call = world.provider.seen().calls.remove(0);
        assert!(call.provider == "one" && call.body.contains(r#""file_id":"file-abc""#), "{}", call.body);
    }
    world.provider.answers(Vec::new());
    assert_unknown(&world, &world.post("app", "/v1/chat/completions", &chat(&file)));
    assert_unknown(&world, &world.post("web", "/v1/chat/completions", &chat("file-abc")));
}

#[test]
fn each_line_of_a_batch_is_guarded_and_asks_for_a_model_that_its_caller_may_have() {
    let world = World::start();
    world.provider.answers(Vec::new());
    for (key, file, status, code) in [
        ("web", line("dear", "the secret-word"), 403, "content-denied"),
        (
            "web",
            format!(
                "{}\n{}",
                line("dear", "hi"),
                line("dear", "the secret-w\\u006frd").replace("\\\\", "\\")
            ),
            403,
            "content-denied",
        ),
        ("web", line("nobody", "hi"), 404, "unknown-model"),
        ("web", line("there", "hi"), 400, "unsupported"),
        ("app", line("dear", "hi"), 403, "denied"),
        ("web", "no JSON".to_owned(), 400, "bad-request"),
        ("web", r#"{"url":"/v1/chat/completions","body":{"messages":[]}}"#.to_owned(), 400, "bad-request"),
    ] {
        let reply = world.upload(key, "batch", file.as_bytes());
        assert_eq!((reply.status(), reply.code().as_str()), (status, code), "{file}: {}", reply.text());
    }
    let requests = json!({ "requests": [{ "custom_id": "1", "params": { "model": "haiku", "max_tokens": 9,
        "messages": [{ "role": "user", "content": "the secret-word" }] } }] });
    let reply = world.post("web", "/claude/v1/messages/batches", &requests);
    assert_eq!(reply.status(), 403, "{}", reply.text());
    assert!(world.provider.seen().calls.is_empty());
    // A file for something else was not read as requests, and is no batch.
    world.provider.answers(vec![entry(json!({ "body": { "id": "file-u" } }))]);
    let reply = world.upload("web", "user_data", line("dear", "hi").as_bytes());
    assert!(world.call().2.contains(r#""model":"dear""#), "it is sent as it is");
    let asked = json!({ "input_file_id": text(&reply, "/id"), "endpoint": "/v1/chat/completions" });
    let reply = world.post("web", "/v1/batches", &asked);
    assert_eq!(
        (reply.status(), reply.json()["error"]["param"].as_str()),
        (400, Some("input_file_id")),
        "{}",
        reply.text()
    );
}

#[test]
fn what_a_guard_cannot_read_does_not_pass_it_unless_the_policy_says_so() {
    let world = World::start();
    let pdf = b"%PDF-1.7\n%\xE2\xE3\xCF\xD3";
    world.provider.answers(Vec::new());
    let reply = world.upload("web", "user_data", pdf);
    assert_eq!((reply.status(), reply.code().as_str()), (403, "unreadable-body"), "{}", reply.text());
    assert!(world.provider.seen().calls.is_empty());
    let open = World::of(
        &POLICY.replace("{ deny: [secret-word] }", "{ deny: [secret-word] }\n        unread: pass"),
    );
    open.provider.answers(vec![entry(json!({ "body": { "id": "file-pdf" } }))]);
    assert_eq!(open.upload("web", "user_data", pdf).status(), 200);
    assert_eq!(open.upload("web", "user_data", b"the secret-word").code(), "content-denied");
    // On the way back it is the same.
    let replies =
        World::of(&POLICY.replace("{ deny: [secret-word] }", "{ deny: [secret-word], on: [reply] }"));
    let file = replies.file("web", "file-abc");
    for (content, status, code) in [
        (&b"{\"a\":\"the secret-word\"}\n{}\n"[..], 403, "content-denied"),
        (b"plain secret-word", 403, "content-denied"),
        (pdf, 403, "unreadable-body"),
        (b"{\"id\":\"file-abc\"}", 200, ""),
    ] {
        let headers = [("content-type", "application/octet-stream")];
        replies.provider.answers(vec![whole(200, &headers, content)]);
        let reply = replies.get("web", &format!("/v1/files/{file}/content"));
        assert_eq!((reply.status(), reply.code().as_str()), (status, code), "{}", reply.text());
        assert!(status != 200 || reply.body == content, "a file is given as it is");
    }
}

#[test]
fn two_apis_that_share_a_path_are_told_apart_by_their_header() {
    let world = World::start();
    world.provider.answers(vec![entry(json!({ "body": { "id": "file_011", "type": "file" } }))]);
    let form = form("x", b"words");
    let reply = world.ask("web", "POST", "/claude/v1/files", Some("multipart/form-data; boundary=b"), &form);
    let file = text(&reply, "/id");
    assert_eq!((reply.status(), world.call().1.as_str()), (200, "/claude/v1/files"), "{}", reply.text());
    world.provider.answers(vec![entry(
        json!({ "body": { "id": "msgbatch_1", "type": "message_batch", "results_url": null } }),
    )]);
    let part = json!({ "type": "document", "source": { "type": "file", "file_id": file } });
    let requests = json!({ "requests": [{ "custom_id": "1", "params": { "model": "haiku", "max_tokens": 9,
        "messages": [{ "role": "user", "content": [part] }] } }] });
    let reply = world.post("web", "/claude/v1/messages/batches", &requests);
    assert_eq!(reply.status(), 200, "{}", reply.text());
    let (_, path, body) = world.call();
    assert_eq!(path, "/claude/v1/messages/batches");
    assert!(body.contains(r#""model":"haiku-1""#) && body.contains(r#""file_id":"file_011""#), "{body}");
    let batch = text(&reply, "/id");
    world.provider.answers(vec![entry(json!({ "body": { "id": "msgbatch_1" } }))]);
    assert_eq!(text(&world.get("web", &format!("/claude/v1/messages/batches/{batch}")), "/id"), batch);
    assert_eq!(world.call().1, "/claude/v1/messages/batches/msgbatch_1");
}

#[test]
fn ids_outlive_a_restart_where_state_is_kept_and_the_results_of_a_batch_are_booked_once() {
    let mut world = World::of(&POLICY.replace("weir: v1", "weir: v1\nstate: { file: ../state }"));
    let file = world.file("web", "file-abc");
    let told = json!({ "id": "batch_1", "input_file_id": "file-abc", "output_file_id": "file-out" });
    world.provider.answers(vec![entry(json!({ "body": told }))]);
    let batch = world.post("web", "/v1/batches", &json!({ "input_file_id": file }));
    let out = text(&batch, "/output_file_id");
    let result = |tokens: u64| {
        let body = json!({ "model": "m-3-2026-01-02", "usage": { "prompt_tokens": tokens, "completion_tokens": 1 } });
        json!({ "custom_id": "1", "response": { "status_code": 200, "body": body } }).to_string()
    };
    let results = format!("{}\n{}\n", result(1_000_000), result(2_000_000));
    for round in 0..3 {
        if round == 2 {
            world.gateway.signal("TERM");
            world.gateway.start_again_with(&KEYS);
        }
        let headers = [("content-type", "application/octet-stream")];
        world.provider.answers(vec![whole(200, &headers, results.as_bytes())]);
        let reply = world.get("web", &format!("/v1/files/{out}/content"));
        assert_eq!((reply.status(), reply.text()), (200, results.clone()));
    }
    let state = world.gateway.set.beside().join("state");
    let rows = eventually("the rows", || {
        let usage = Command::new(weir_binary())
            .args(["usage", "--rows", "--format", "json", "--file"])
            .arg(&state)
            .output()
            .unwrap();
        let text = String::from_utf8(usage.stdout).unwrap();
        let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (rows.len() >= 6).then_some(rows)
    });
    let paid: Vec<&Value> = rows.iter().filter(|row| row["usage"]["input"] != json!(0)).collect();
    assert_eq!(paid.len(), 1, "{rows:?}");
    assert_eq!(
        (&paid[0]["usage"]["input"], &paid[0]["usage"]["output"]),
        (&json!(3_000_000), &json!(2)),
        "{paid:?}"
    );
    // Three dollars at the price of a batch, and two tokens of the answer.
    assert_eq!(paid[0]["cost"], json!("3.000004"), "{paid:?}");
}

#[test]
fn other_paths_are_passed_as_the_policy_allows_and_in_no_other_spelling() {
    let world = World::start();
    world.provider.answers(vec![entry(json!({ "body": { "id": "vs_1", "object": "vector_store" } }))]);
    let reply = world.post("web", "/v1/vector_stores", &json!({ "name": "mine" }));
    let store = text(&reply, "/id");
    assert!(store.starts_with("vs_w1"), "{}", reply.text());
    let call = world.provider.seen().calls.remove(0);
    assert_eq!((call.provider.as_str(), call.path.as_str()), ("one", "/v1/vector_stores"));
    let has = |name: &str| call.headers.iter().any(|(known, _)| known == name);
    assert!(has("x-kept") && has("content-type") && !has("x-gone"), "{:?}", call.headers);

    let file = world.file("web", "file-abc");
    world.provider.answers(vec![entry(json!({ "body": { "id": "file-abc", "vector_store_id": "vs_1" } }))]);
    let reply = world.post("web", &format!("/v1/vector_stores/{store}/files"), &json!({ "file_id": file }));
    assert_eq!(
        (text(&reply, "/id"), text(&reply, "/vector_store_id")),
        (file, store.clone()),
        "{}",
        reply.text()
    );
    let (_, path, body) = world.call();
    assert!(path == "/one/v1/vector_stores/vs_1/files" && body.contains("file-abc"), "{path} {body}");
    let listed = json!({ "data": [{ "id": "vs_1" }, { "id": "vs_2" }] });
    world.provider.always(entry(json!({ "body": listed })));
    assert_eq!(world.get("web", "/v1/vector_stores").json()["data"], json!([{ "id": store }]));
    assert_eq!(world.get("app", "/v1/vector_stores").json()["data"], json!([]));

    world.provider.answers(Vec::new());
    assert_unknown(&world, &world.get("app", &format!("/v1/vector_stores/{store}")));
    assert_unknown(&world, &world.get("web", "/v1/vector_stores/vs_1"));
    let denied = world.post("web", "/v1/notes", &json!({ "note": "the secret-word" }));
    assert_eq!(denied.code(), "content-denied");
    for (method, path) in [
        ("DELETE", "/v1/notes"),
        ("POST", "/v1/elsewhere"),
        ("POST", "/v1/notes/more"),
        ("POST", "/v1/vector_stores/x/../../chat/completions"),
        ("POST", "/v1/vector_stores/%2e%2e/files"),
        ("POST", "/v1/vector_stores//files"),
        ("POST", "/V1/vector_stores"),
    ] {
        let reply = world.ask("web", method, path, Some("application/json"), b"{}");
        assert_eq!(
            (reply.status(), reply.code().as_str()),
            (404, "unknown-path"),
            "{method} {path}: {}",
            reply.text()
        );
    }
    assert!(world.provider.seen().calls.is_empty());
    let refused = world.ask("nobody", "POST", "/v1/notes", Some("application/json"), b"{}");
    assert_eq!(refused.status(), 401);
}
