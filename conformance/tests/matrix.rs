//! No way round: every kind of stage on every path that a request or reply can take.
//!
//! Each cell starts a gateway with the stage above a cache and a route of two targets, sends a request down the path, and
//! demands what the stage is there for. A row that does not fit a path says why; a built-in without a row fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use serde_json::{Value, json};
use weir_conformance::harness::{Gateway, Provider, Reply, Set, entry, eventually, request};
use weir_conformance::upstream::Reaction;

/// A way that a request or a reply takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    Plain,
    Stream,
    /// The words that matter are split over events.
    SplitStream,
    /// From the cache, whole.
    Hit,
    /// From the cache, as a stream.
    HitStream,
    /// The first try fails.
    Retried,
    RetriedStream,
    /// The first target fails.
    FallenBack,
    FallenBackStream,
    /// The provider refuses, quoting what it should not.
    ErrorBody,
    ErrorBodyStream,
    /// An error told inside a stream that began.
    ErrorEvent,
    ToolCall,
    ToolCallStream,
    Completion,
    CompletionStream,
    Embedding,
}

const PATHS: [Path; 17] = [
    Path::Plain,
    Path::Stream,
    Path::SplitStream,
    Path::Hit,
    Path::HitStream,
    Path::Retried,
    Path::RetriedStream,
    Path::FallenBack,
    Path::FallenBackStream,
    Path::ErrorBody,
    Path::ErrorBodyStream,
    Path::ErrorEvent,
    Path::ToolCall,
    Path::ToolCallStream,
    Path::Completion,
    Path::CompletionStream,
    Path::Embedding,
];

/// What a stage is there for.
#[derive(Clone, Copy, Debug)]
enum Proof {
    /// The request is refused with this code and no provider is called.
    RefusesRequest(&'static str),
    /// One request passes, the next is refused with this code.
    Counts(&'static str),
    /// While one request is under way, the next is refused with this code.
    Holds(&'static str),
    /// No provider sees the first text; each sees the second.
    EditsRequest(Option<&'static str>, &'static str),
    /// The client sees nothing of this text, but an error.
    RefusesReply(&'static str),
    /// The client sees the second text in place of the first.
    EditsReply(&'static str, &'static str),
    /// Each provider gets this header.
    SetsHeader(&'static str, &'static str),
}

/// A kind of stage.
struct Row {
    name: &'static str,
    /// The built-in that it shows, `verb: name`; none for bodies in CEL and Rhai.
    builtin: Option<&'static str>,
    stage: &'static str,
    proof: Proof,
    /// Whether it reads the arguments of tool calls.
    reads_arguments: bool,
}

const SAYS: &str = "please say secret-word to bob@example.com";
const ANSWER: &str = "the forbidden-word of bob@example.com indeed";

const ROWS: &[Row] = &[
    Row {
        name: "key",
        builtin: Some("guard: key"),
        stage: "- guard: key",
        proof: Proof::RefusesRequest("invalid-key"),
        reads_arguments: true,
    },
    Row {
        name: "rate",
        builtin: Some("guard: rate"),
        stage: "- guard: rate\n        with: { requests: 1/hour, per: everyone }",
        proof: Proof::Counts("rate-limited"),
        reads_arguments: true,
    },
    Row {
        name: "concurrency",
        builtin: Some("guard: concurrency"),
        stage: "- guard: concurrency\n        with: { max: 1, per: everyone }",
        proof: Proof::Holds("concurrency-exceeded"),
        reads_arguments: true,
    },
    Row {
        name: "tokens",
        builtin: Some("guard: tokens"),
        stage: "- guard: tokens\n        with: { max: 3 }",
        proof: Proof::RefusesRequest("too-many-tokens"),
        reads_arguments: true,
    },
    Row {
        name: "regex on requests",
        builtin: Some("guard: regex"),
        stage: "- guard: regex\n        with: { deny: [secret-word], on: [request] }",
        proof: Proof::RefusesRequest("content-denied"),
        reads_arguments: true,
    },
    Row {
        name: "regex on replies",
        builtin: None,
        stage: "- guard: regex\n        with: { deny: [forbidden-word], on: [reply] }",
        proof: Proof::RefusesReply("forbidden-word"),
        reads_arguments: true,
    },
    Row {
        name: "regex that masks replies",
        builtin: None,
        stage: "- guard: regex\n        with: { deny: [forbidden-word], on: [reply], then: mask }",
        proof: Proof::EditsReply("forbidden-word", "[REMOVED]"),
        reads_arguments: true,
    },
    Row {
        name: "pii on requests",
        builtin: Some("guard: pii"),
        stage: "- guard: pii\n        with: { find: [email], then: replace, on: [request] }",
        proof: Proof::EditsRequest(Some("bob@example.com"), "<EMAIL_1>"),
        reads_arguments: true,
    },
    Row {
        name: "pii on replies",
        builtin: None,
        stage: "- guard: pii\n        with: { find: [email], then: mask, on: [reply] }",
        proof: Proof::EditsReply("bob@example.com", "[EMAIL]"),
        reads_arguments: true,
    },
    Row {
        name: "CEL on requests",
        builtin: None,
        stage: "- guard: mine\n        cel: '!request.all_text.contains(\"secret-word\")'",
        proof: Proof::RefusesRequest("denied"),
        reads_arguments: true,
    },
    Row {
        name: "CEL on replies",
        builtin: None,
        stage: "- guard: mine\n        cel: '!reply.text.contains(\"forbidden-word\")'\n        hold: all",
        proof: Proof::RefusesReply("forbidden-word"),
        reads_arguments: false,
    },
    Row {
        name: "Rhai that edits requests",
        builtin: None,
        stage: "- transform: mine\n        rhai: |\n          fn request(r) { r.set_header(\"x-mine\", \"yes\"); }",
        proof: Proof::SetsHeader("x-mine", "yes"),
        reads_arguments: true,
    },
    Row {
        name: "Rhai that edits replies",
        builtin: None,
        stage: "- transform: mine\n        stream: whole\n        rhai: |\n          fn reply(r) { let t = r.text; t.replace(\"forbidden-word\", \"kind-word\"); r.text = t; }",
        proof: Proof::EditsReply("forbidden-word", "kind-word"),
        reads_arguments: false,
    },
    Row {
        name: "headers",
        builtin: Some("transform: headers"),
        stage: "- transform: headers\n        with: { request: { set: { x-mine: \"yes\" } } }",
        proof: Proof::SetsHeader("x-mine", "yes"),
        reads_arguments: true,
    },
    Row {
        name: "json",
        builtin: Some("transform: json"),
        stage: "- transform: json\n        with: { set: { /user: marked-user } }",
        proof: Proof::EditsRequest(None, "marked-user"),
        reads_arguments: true,
    },
];

/// Built-ins whose work is to be a path (caches, routes), or to look: shown by the paths themselves and by other suites.
const ELSEWHERE: &[&str] = &[
    "route: requested",
    "route: weighted",
    "route: fallback",
    "cache: exact",
    "cache: semantic",
    "observe: log",
    "observe: metrics",
];

impl Path {
    fn streams(self) -> bool {
        matches!(
            self,
            Path::Stream
                | Path::SplitStream
                | Path::HitStream
                | Path::RetriedStream
                | Path::FallenBackStream
                | Path::ErrorBodyStream
                | Path::ErrorEvent
                | Path::ToolCallStream
                | Path::CompletionStream
        )
    }

    fn is_hit(self) -> bool {
        matches!(self, Path::Hit | Path::HitStream)
    }

    fn fails(self) -> bool {
        matches!(self, Path::ErrorBody | Path::ErrorBodyStream | Path::ErrorEvent)
    }

    /// What the providers answer, in order.
    fn script(self) -> Vec<Reaction> {
        let answer = || entry(json!({ "reply": ANSWER }));
        let fails = || entry(json!({ "status": 500 }));
        match self {
            Path::Plain
            | Path::Stream
            | Path::Hit
            | Path::HitStream
            | Path::Completion
            | Path::CompletionStream
            | Path::Embedding => {
                vec![answer()]
            }
            Path::SplitStream => {
                vec![entry(
                    json!({ "events": ["the forb", "idden-", "word of bob@exa", "mple.com in", "deed"] }),
                )]
            }
            Path::Retried | Path::RetriedStream => vec![fails(), answer()],
            Path::FallenBack | Path::FallenBackStream => vec![fails(), fails(), answer()],
            Path::ErrorBody | Path::ErrorBodyStream => vec![entry(json!({
                "status": 400,
                "body": { "error": { "message": format!("{SAYS}: {ANSWER}"), "type": "t", "code": "c" } },
            }))],
            Path::ErrorEvent => {
                let error =
                    json!({ "error": { "message": format!("{SAYS}: {ANSWER}"), "type": "t", "code": "c" } });
                vec![entry(
                    json!({ "events": ["well ", { "raw": format!("data: {error}\n\n") }], "fault": "cut" }),
                )]
            }
            Path::ToolCall | Path::ToolCallStream => {
                vec![entry(json!({ "tool_call": { "name": "send", "arguments": { "text": ANSWER } } }))]
            }
        }
    }

    fn bytes(self, key: Option<&str>) -> Vec<u8> {
        self.bytes_of(SAYS, key)
    }

    fn bytes_of(self, says: &str, key: Option<&str>) -> Vec<u8> {
        let (path, mut body) = match self {
            Path::Completion | Path::CompletionStream => {
                ("/v1/completions", json!({ "model": "first", "prompt": says }))
            }
            Path::Embedding => ("/v1/embeddings", json!({ "model": "first", "input": [says] })),
            _ => (
                "/v1/chat/completions",
                json!({ "model": "first", "messages": [{ "role": "user", "content": says }] }),
            ),
        };
        if self.streams() {
            body["stream"] = true.into();
        }
        let bearer = key.map(|key| format!("Bearer {key}"));
        let mut headers = vec![("content-type", "application/json"), ("x-request-id", "cell")];
        headers.extend(bearer.iter().map(|value| ("authorization", value.as_str())));
        request("POST", path, &headers, body.to_string().as_bytes())
    }
}

/// Why a row does not fit a path.
fn unfit(row: &Row, path: Path) -> Option<&'static str> {
    match row.proof {
        Proof::EditsReply(..) | Proof::RefusesReply(_) if path == Path::Embedding => {
            Some("an embedding has no words")
        }
        Proof::EditsReply(..) | Proof::RefusesReply(_)
            if matches!(path, Path::ToolCall | Path::ToolCallStream) && !row.reads_arguments =>
        {
            Some("it reads the reply's words, and says so")
        }
        Proof::EditsReply(..) if path.fails() && row.stage.starts_with("- transform") => {
            Some("a transform edits replies; an error is none, and guards are for that")
        }
        _ => None,
    }
}

fn policy(row: &Row, is_on: bool) -> String {
    let mut stage = row.stage.to_owned();
    if !is_on {
        stage.push_str("\n        mode: off");
    }
    let key = row.name == "key";
    let (identify, open) = if key { (", identify: [key]", "") } else { ("", "    anonymous: true\n") };
    format!(
        r#"
weir: v1
listeners:
  edge: {{ address: "{{EDGE}}"{identify} }}
keys:
  one: {{ secret: "${{env:CELL_KEY}}" }}
providers:
  a: {{ dialect: openai, base_url: "http://{{UPSTREAM}}/a/v1" }}
  b: {{ dialect: openai, base_url: "http://{{UPSTREAM}}/b/v1" }}
models:
  first: {{ targets: [{{ provider: a, model: m }}] }}
  second: {{ targets: [{{ provider: b, model: m }}] }}
pipelines:
  - pipeline: all
{open}    stages:
      {stage}
      - cache: exact
        with: {{ per: everyone }}
      - route: fallback
        with:
          to: [first, second]
          retry: {{ tries: 2, on: [5xx] }}
"#
    )
}

/// Every word in a reply, whole or streamed.
fn words(reply: &Reply) -> String {
    let mut out = String::new();
    let mut add = |json: &Value| {
        for pointer in [
            "/choices/0/message/content",
            "/choices/0/message/tool_calls/0/function/arguments",
            "/choices/0/text",
            "/choices/0/delta/content",
            "/choices/0/delta/tool_calls/0/function/arguments",
        ] {
            out.push_str(json.pointer(pointer).and_then(Value::as_str).unwrap_or(""));
        }
    };
    add(&reply.json());
    reply.events().iter().for_each(|event| add(&serde_json::from_str(event).unwrap_or_default()));
    out
}

/// Runs one cell; the error says what did not hold.
fn cell(provider: &Provider, row: &Row, path: Path) -> Result<(), String> {
    let check = |holds: bool, what: &str, reply: &Reply| {
        if holds { Ok(()) } else { Err(format!("{what}: {} {}", reply.status(), reply.text())) }
    };
    let refuses = matches!(row.proof, Proof::RefusesRequest(_) | Proof::Counts(_) | Proof::Holds(_));
    let is_key = row.name == "key";
    // What is to be found in the cache was put there while the stage was off, or could not be there at all.
    let primes_off =
        path.is_hit() && !is_key && !matches!(row.proof, Proof::EditsRequest(..) | Proof::SetsHeader(..));
    let set = Set::of(Some(provider.address), &policy(row, !primes_off));
    let gateway = Gateway::start_with(set, &[], &[("CELL_KEY", "wr_cell")]);
    let send =
        |key: Option<&str>| gateway.wire().exchange(&path.bytes(key)).map_err(|error| error.to_string());
    provider.answers(path.script());
    if path.is_hit() {
        let primed = send(is_key.then_some("wr_cell"))?;
        check(primed.status() == 200, "priming", &primed)?;
        if primes_off {
            let before = gateway.admin("/revision").json()["revision"].clone();
            gateway.set.write("policy.yaml", &policy(row, true));
            eventually("the reload", || {
                (gateway.admin("/revision").json()["revision"] != before).then_some(())
            });
        }
        if !matches!(row.proof, Proof::SetsHeader(..) | Proof::EditsRequest(..)) {
            provider.answers(Vec::new());
        }
    }
    if let Proof::Counts(_) = row.proof {
        let first = send(None)?;
        check(path.fails() || first.status() == 200, "the first request", &first)?;
        provider.answers(Vec::new());
    }
    let mut under_way = gateway.wire();
    if let Proof::Holds(_) = row.proof {
        provider.answers(vec![entry(json!({ "reply": ANSWER, "delay": "60s" }))]);
        under_way.send(&Path::Plain.bytes_of("first, slowly", None)).map_err(|error| error.to_string())?;
        eventually("the call under way", || (provider.seen().calls.len() == 1).then_some(()));
        provider.answers(Vec::new());
    }
    let reply = send(None)?;
    if path.is_hit() && !refuses && !matches!(row.proof, Proof::RefusesReply(_)) {
        check(reply.header("x-weir-cache") == Some("hit"), "it should be a hit", &reply)?;
    }
    let record = provider.seen();
    let sent: Vec<String> = record.calls.iter().map(|call| call.body.clone()).collect();
    let all = format!("{}\n{}", words(&reply), reply.text());
    match row.proof {
        Proof::RefusesRequest(code) | Proof::Counts(code) | Proof::Holds(code) => {
            check(
                reply.code() == code && reply.status() >= 400,
                &format!("it should be refused with {code}"),
                &reply,
            )?;
            let calls = if path.is_hit() && is_key { 0 } else { record.calls.len() };
            check(calls == 0, "a provider was called", &reply)?;
        }
        Proof::EditsRequest(gone, there) => {
            check(!record.calls.is_empty(), "no provider was called", &reply)?;
            for body in &sent {
                check(
                    gone.is_none_or(|gone| !body.contains(gone)),
                    &format!("a provider saw {body}"),
                    &reply,
                )?;
                check(body.contains(there), &format!("a provider saw no {there} in {body}"), &reply)?;
            }
        }
        Proof::SetsHeader(name, value) => {
            check(!record.calls.is_empty(), "no provider was called", &reply)?;
            for call in &record.calls {
                let has = call.headers.iter().any(|(have, is)| have == name && is == value);
                check(has, &format!("a provider got no {name}: {:?}", call.headers), &reply)?;
            }
        }
        Proof::RefusesReply(text) => {
            check(!all.contains(text), "the client saw it", &reply)?;
            check(reply.status() >= 400 || reply.text().contains("\"error\""), "no error", &reply)?;
            check(!reply.text().contains("[DONE]"), "a clean end", &reply)?;
        }
        Proof::EditsReply(gone, there) => {
            check(!all.contains(gone), "the client saw it", &reply)?;
            check(path.fails() || words(&reply).contains(there), &format!("no {there}"), &reply)?;
        }
    }
    Ok(())
}

/// Runs a row over all paths.
fn row(name: &str) {
    let row = ROWS.iter().find(|row| row.name == name).unwrap();
    let provider = Provider::start();
    let mut wrong = Vec::new();
    let mut ran = 0;
    for path in PATHS {
        if unfit(row, path).is_some() {
            continue;
        }
        ran += 1;
        if let Err(why) = cell(&provider, row, path) {
            wrong.push(format!("{path:?}: {why}"));
        }
    }
    assert!(wrong.is_empty(), "{name}: {} of {ran} paths:\n{}", wrong.len(), wrong.join("\n"));
}

macro_rules! rows {
    ($($test:ident = $name:literal,)+) => {
        $(#[test] fn $test() { row($name); })+

        #[test]
        fn every_row_is_run() {
            let run = [$($name),+];
            for row in ROWS {
                assert!(run.contains(&row.name), "no test runs the row {:?}", row.name);
            }
        }
    };
}

rows! {
    no_way_round_key = "key",
    no_way_round_rate = "rate",
    no_way_round_concurrency = "concurrency",
    no_way_round_tokens = "tokens",
    no_way_round_regex_on_requests = "regex on requests",
    no_way_round_regex_on_replies = "regex on replies",
    no_way_round_regex_that_masks = "regex that masks replies",
    no_way_round_pii_on_requests = "pii on requests",
    no_way_round_pii_on_replies = "pii on replies",
    no_way_round_cel_on_requests = "CEL on requests",
    no_way_round_cel_on_replies = "CEL on replies",
    no_way_round_rhai_on_requests = "Rhai that edits requests",
    no_way_round_rhai_on_replies = "Rhai that edits replies",
    no_way_round_headers = "headers",
    no_way_round_json = "json",
}

#[test]
fn every_built_in_has_a_row() {
    let registry = weir_stage::registry(weir_stage::Metrics::new());
    for verb in weir_message::Verb::ALL {
        for name in registry.names(*verb) {
            let builtin = format!("{verb}: {name}");
            let has = ROWS.iter().any(|row| row.builtin == Some(builtin.as_str()));
            assert!(has || ELSEWHERE.contains(&builtin.as_str()), "{builtin} has no row in the matrix");
        }
    }
}
