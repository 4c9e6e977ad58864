//! No way round: every kind of stage on every path that a request or reply can take.
//!
//! Each cell starts a gateway with the stage in its place, sends a request down the path, and demands what the stage is there
//! for. A row that does not fit a path says why; a built-in without a row, or a path that no row takes, fails. In shadow all
//! stages at once must change nothing on any path.

mod path;
mod row;

use crate::observe::open_metrics::Exposition;
use crate::tls::Authority;
use crate::two;
use path::{Comes, Goes, PATHS, Parts, Path, words};
use row::{ELSEWHERE, Proof, ROWS, Row, Stands};
use serde_json::{Value, json};
use std::net::SocketAddr;
use weir_conformance::harness::{Gateway, Provider, Reply, Set, entry, eventually, request};
use weir_conformance::upstream::CallRecord;
use weir_message::Operation;

/// What all cells share.
struct Bench {
    provider: Provider,
    /// The same provider behind HTTP/2.
    two: SocketAddr,
    /// A webhook that judges.
    judge: SocketAddr,
    authority: Authority,
    has_models: bool,
}

impl Bench {
    fn new() -> Self {
        let provider = Provider::start();
        let two = two::in_front_of(provider.address);
        let judge = crate::judge::start();
        Self { provider, two, judge, authority: Authority::new(), has_models: crate::has_models() }
    }

    fn serve(&self, path: Path, policy: &str) -> Gateway {
        let set = Set::new(Some(if path.goes == Goes::Two { self.two } else { self.provider.address }));
        if path.comes == Comes::Tls {
            let issued = self.authority.issue("edge.test");
            set.write("edge.pem", &issued.certificate);
            set.write("edge.key", &issued.key);
        }
        set.write("policy.yaml", &self.filled(policy));
        Gateway::start_with(set, &[], &[("CELL_KEY", "wr_cell")])
    }

    fn filled(&self, policy: &str) -> String {
        policy.replace("{JUDGE}", &self.judge.to_string())
    }

    fn send(&self, gateway: &Gateway, path: Path, key: Option<&str>) -> Result<Reply, String> {
        let bearer = key.map(|key| format!("Bearer {key}"));
        let mut headers = vec![("content-type", path.kind()), ("x-request-id", "cell")];
        headers.extend(bearer.iter().map(|value| ("authorization", value.as_str())));
        let mut body = path.body();
        if let Comes::Packed(coding) = path.comes {
            headers.push(("content-encoding", coding.name()));
            body = coding.pack(&body);
        }
        let text = |error: h2::Error| error.to_string();
        match path.comes {
            Comes::One | Comes::Packed(_) => {
                let bytes = request("POST", path.target(), &headers, &body);
                gateway.wire().exchange(&bytes).map_err(|error| error.to_string())
            }
            Comes::Two => two::run(async {
                let send = two::connect(gateway.edge).await;
                two::whole(two::post(&send, path.target(), &headers, body).await.map_err(text)?)
                    .await
                    .map_err(text)
            }),
            Comes::Tls => two::run(async {
                let stream =
                    self.authority.connect(gateway.edge, &["h2"]).await.map_err(|e| e.to_string())?;
                let send = two::over(stream).await;
                two::whole(two::post(&send, path.target(), &headers, body).await.map_err(text)?)
                    .await
                    .map_err(text)
            }),
        }
    }
}

fn check(holds: bool, what: &str, reply: &Reply) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("{what}: {} {}", reply.status(), reply.text())) }
}

/// Runs one cell, or the same with its stage turned off; the error says what did not hold.
fn cell(bench: &Bench, row: &Row, path: Path, is_there: bool) -> Result<(), String> {
    let Bench { provider, .. } = bench;
    let policy = |is_on: bool| {
        let is_on = is_on && is_there;
        let mut parts = Parts::default();
        parts.add(row, if is_on { "" } else { "\n        mode: off" });
        parts.is_closed = parts.wants_key && is_on;
        path.policy(&parts)
    };
    let is_key = row.wants_key();
    let send = |gateway: &Gateway, path, key| bench.send(gateway, path, key);
    // What is to be found in the cache was put there while the stage was off, or could not be there at all.
    let primes_off = path.is_hit() && !is_key && !row.edits_requests();
    let gateway = bench.serve(path, &policy(!primes_off));
    if path.is_hit() {
        provider.answers(path.before().script());
        let primed = send(&gateway, path.before(), is_key.then_some("wr_cell"))?;
        check(primed.status() == 200, "priming", &primed)?;
        if primes_off {
            let before = gateway.admin("/revision").json()["revision"].clone();
            gateway.set.write("policy.yaml", &bench.filled(&policy(true)));
            eventually("the reload", || {
                (gateway.admin("/revision").json()["revision"] != before).then_some(())
            });
        }
        if !row.edits_requests() {
            provider.answers(Vec::new());
        }
    } else {
        provider.answers(path.script());
    }
    if matches!(row.proof, Proof::Counts(_) | Proof::Answers) {
        let first = send(&gateway, path, None)?;
        check(path.fails() || first.status() == 200, "the first request", &first)?;
        let again = if row.proof == Proof::Answers && path.fails() { path.script() } else { Vec::new() };
        provider.answers(again);
    }
    if let Proof::Holds(_) = row.proof {
        return std::thread::scope(|scope| {
            provider.answers(vec![entry(json!({ "reply": "late", "delay": "60s" }))]);
            scope.spawn(|| send(&gateway, path.another(), None));
            eventually("the call under way", || (provider.seen().calls.len() == 1).then_some(()));
            provider.answers(Vec::new());
            let held = send(&gateway, path, None)
                .and_then(|reply| judge(row, path, &gateway, &reply, &provider.seen().calls));
            gateway.signal("KILL");
            held
        });
    }
    let reply = send(&gateway, path, None)?;
    let refuses = matches!(row.proof, Proof::RefusesRequest(_) | Proof::Counts(_) | Proof::RefusesReply(_));
    if path.is_hit() && !refuses {
        check(reply.header("x-weir-cache") == Some("hit"), "it should be a hit", &reply)?;
    }
    judge(row, path, &gateway, &reply, &provider.seen().calls)
}

fn judge(
    row: &Row,
    path: Path,
    gateway: &Gateway,
    reply: &Reply,
    calls: &[CallRecord],
) -> Result<(), String> {
    let all = format!("{}\n{}", words(reply), reply.text());
    let called = || check(!calls.is_empty(), "no provider was called", reply);
    match row.proof {
        Proof::RefusesRequest(code) | Proof::Counts(code) | Proof::Holds(code) => {
            let refused = reply.code() == code && reply.status() >= 400;
            check(refused, &format!("it should be refused with {code}"), reply)?;
            let calls = if path.is_hit() && row.wants_key() { 0 } else { calls.len() };
            check(calls == 0, "a provider was called", reply)
        }
        Proof::EditsRequest(gone, there) => {
            called()?;
            calls.iter().map(|call| &call.body).try_for_each(|body| {
                let lacks = gone.is_none_or(|gone| !body.contains(gone));
                check(lacks, &format!("a provider saw {body}"), reply)?;
                check(body.contains(there), &format!("a provider saw no {there} in {body}"), reply)
            })
        }
        Proof::SetsHeader(name, value) => {
            called()?;
            calls.iter().try_for_each(|call| {
                let has = call.headers.iter().any(|(have, is)| have == name && is == value);
                check(has, &format!("a provider got no {name}: {:?}", call.headers), reply)
            })
        }
        Proof::RulesOut(name) => {
            called()?;
            check(calls.iter().all(|call| call.provider != name), "it was asked all the same", reply)
        }
        Proof::RefusesReply(text) => {
            check(!all.contains(text), "the client saw it", reply)?;
            let fails = ["\"error\"", ":exception-type"].iter().any(|sign| reply.text().contains(sign));
            check(reply.status() >= 400 || fails, "no error", reply)?;
            let is_clean = ["[DONE]", "response.completed"].iter().any(|end| reply.text().contains(end));
            check(!is_clean, "a clean end", reply)
        }
        Proof::EditsReply(gone, there) => {
            check(!all.contains(gone), "the client saw it", reply)?;
            check(path.fails() || words(reply).contains(there), &format!("no {there}"), reply)
        }
        Proof::Answers => {
            let answered = reply.header("x-weir-cache") == Some("hit") && calls.is_empty();
            check(answered != path.fails(), "answered again, or not", reply)
        }
        Proof::Logs => {
            gateway.trace("cell");
            let lines = gateway.lines("cell");
            let told = lines.last().is_some_and(|line| line["status"] == reply.status());
            check(told, &format!("the log says {lines:?}"), reply)
        }
        Proof::Measures => {
            gateway.trace("cell");
            let count = Exposition::read(&gateway.admin("/metrics").text())?.sum("weir_requests_total", &[]);
            check(count == 1.0, &format!("{count} requests are counted"), reply)
        }
    }
}

/// Runs a row over all paths.
fn row(name: &str) {
    let row = ROWS.iter().find(|row| row.name == name).unwrap();
    let bench = Bench::new();
    let mut wrong = Vec::new();
    let mut ran = 0;
    for path in PATHS {
        let lacks_models = !bench.has_models && (row.needs_models() || path.needs_models());
        if row.unfit(*path).is_some() || lacks_models {
            continue;
        }
        ran += 1;
        if let Err(why) = cell(&bench, row, *path, true) {
            wrong.push(format!("{}: {why}", path.name));
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
    no_way_round_quota = "quota",
    no_way_round_budget = "budget",
    no_way_round_tokens = "tokens",
    no_way_round_regex_on_requests = "regex on requests",
    no_way_round_regex_on_replies = "regex on replies",
    no_way_round_regex_that_masks = "regex that masks replies",
    no_way_round_pii_on_requests = "pii on requests",
    no_way_round_pii_on_replies = "pii on replies",
    no_way_round_words_on_requests = "words on requests",
    no_way_round_words_on_replies = "words on replies",
    no_way_round_injection_on_requests = "injection on requests",
    no_way_round_injection_on_replies = "injection on replies",
    no_way_round_unicode_on_requests = "unicode on requests",
    no_way_round_unicode_on_replies = "unicode on replies",
    no_way_round_tools_on_replies = "tools on replies",
    no_way_round_schema = "schema",
    no_way_round_urls_on_replies = "urls on replies",
    no_way_round_urls_that_refuse_replies = "urls that refuse replies",
    no_way_round_webhooks_on_requests = "webhook on requests",
    no_way_round_webhooks_on_replies = "webhook on replies",
    no_way_round_webhooks_that_edit_requests = "webhook that edits requests",
    no_way_round_webhooks_that_edit_replies = "webhook that edits replies",
    no_way_round_topics_on_requests = "topics on requests",
    no_way_round_topics_on_replies = "topics on replies",
    no_way_round_content_on_requests = "content on requests",
    no_way_round_content_on_replies = "content on replies",
    no_way_round_size_of_requests = "size of requests",
    no_way_round_size_of_replies = "size of replies",
    no_way_round_language_of_requests = "language of requests",
    no_way_round_language_of_replies = "language of replies",
    no_way_round_cel_on_requests = "CEL on requests",
    no_way_round_cel_on_replies = "CEL on replies",
    no_way_round_rhai_on_requests = "Rhai that edits requests",
    no_way_round_rhai_on_replies = "Rhai that edits replies",
    no_way_round_rhai_on_events = "Rhai that edits events",
    no_way_round_headers = "headers",
    no_way_round_json = "json",
    no_way_round_log = "log",
    no_way_round_metrics = "metrics",
    no_way_round_exact_cache = "exact cache",
    no_way_round_semantic_cache = "semantic cache",
    no_way_round_cel_for_each_attempt = "CEL for each attempt",
    no_way_round_rhai_for_each_attempt = "Rhai for each attempt",
    no_way_round_rhai_that_edits_each_attempt = "Rhai that edits each attempt",
    no_way_round_headers_for_each_attempt = "headers for each attempt",
    no_way_round_pii_for_each_attempt = "pii for each attempt",
}

#[test]
fn a_cell_without_its_stage_fails() {
    let bench = Bench::new();
    for row in ROWS.iter().filter(|row| bench.has_models || !row.needs_models()) {
        for path in PATHS.iter().filter(|path| ["plain", "stream"].contains(&path.name)) {
            let held = cell(&bench, row, *path, false).is_ok();
            assert!(
                !held || row.unfit(*path).is_some(),
                "{} holds on {} without its stage",
                row.name,
                path.name
            );
        }
    }
}

/// Stages in shadow that a policy may hold at once: all but another cache.
fn in_shadow(path: Path) -> impl Iterator<Item = (usize, &'static Row)> {
    let has_models = crate::has_models();
    ROWS.iter().enumerate().filter(move |(_, row)| {
        row.stands != Stands::AsCache && row.unfit(path).is_none() && (has_models || !row.needs_models())
    })
}

/// What a client and the providers see of a path, but for what is new each time.
fn seen(bench: &Bench, path: Path, parts: &Parts) -> Result<(Vec<String>, Value), String> {
    let gateway = bench.serve(path, &path.policy(parts));
    // A reply from a cache is made anew.
    let created = regex::Regex::new(r#""created(_at)?":\d+,"#).unwrap();
    let mut out = Vec::new();
    let mut look = |reply: &Reply| {
        let mut lines: Vec<String> = reply
            .head
            .headers
            .iter()
            .filter(|(name, _)| !["x-weir-revision", "date", "age"].contains(&name.as_str()))
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        lines.sort();
        let text = created.replace_all(&reply.text(), "").into_owned();
        out.push(format!("{} {}\n{text}", reply.status(), lines.join("\n")));
        for call in bench.provider.seen().calls {
            let mut lines: Vec<String> = call
                .headers
                .iter()
                .filter(|(name, _)| !["traceparent", "host"].contains(&name.as_str()))
                .map(|(name, value)| format!("{name}: {value}"))
                .collect();
            lines.sort();
            out.push(format!("{} {}\n{}\n{}", call.provider, call.path, lines.join("\n"), call.body));
        }
    };
    if path.is_hit() {
        bench.provider.answers(path.before().script());
        look(&bench.send(&gateway, path.before(), None)?);
        gateway.trace("cell");
        bench.provider.answers(Vec::new());
    } else {
        bench.provider.answers(path.script());
    }
    look(&bench.send(&gateway, path, None)?);
    let count = if path.is_hit() { 2 } else { 1 };
    let trace = eventually("the trace", || {
        let all = gateway.admin("/traces").json();
        (all.as_array().map(Vec::len) == Some(count)).then(|| gateway.trace("cell"))
    });
    Ok((out, trace))
}

#[test]
fn stages_in_shadow_decide_on_every_path_and_touch_nothing() {
    let bench = Bench::new();
    let mut wrong = Vec::new();
    for path in PATHS.iter().copied().filter(|path| bench.has_models || !path.needs_models()) {
        // Usage is asked of the provider either way.
        let measured = || Parts { above: vec!["- observe: metrics".to_owned()], ..Parts::default() };
        let mut with = measured();
        for (n, row) in in_shadow(path) {
            with.add(row, &format!("\n        name: row-{n}\n        mode: shadow"));
        }
        let both = seen(&bench, path, &measured()).and_then(|one| Ok((one, seen(&bench, path, &with)?)));
        let ((plain, _), (shadowed, trace)) = match both {
            Ok(both) => both,
            Err(why) => {
                wrong.push(format!("{}: {why}", path.name));
                continue;
            }
        };
        if let Some((plain, shadowed)) =
            plain.iter().zip(&shadowed).find(|(plain, shadowed)| plain != shadowed)
        {
            wrong.push(format!("{}: without them\n{plain}\nwith them\n{shadowed}", path.name));
        } else if plain.len() != shadowed.len() {
            wrong.push(format!(
                "{}: {} calls without them, {} with them",
                path.name,
                plain.len(),
                shadowed.len()
            ));
        }
        for (n, row) in in_shadow(path) {
            let stages = trace["stages"].as_array().unwrap();
            let stage = stages.iter().find(|stage| stage["name"] == format!("row-{n}"));
            let stage = stage.unwrap_or(&Value::Null);
            let would = row.would(path);
            if stage["mode"] != "shadow" || would.is_some_and(|would| stage["decision"] != would) {
                wrong.push(format!("{}: {} should be {would:?}: {stage}", path.name, row.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
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

#[test]
fn every_path_has_its_cells_and_every_operation_its_paths() {
    for path in PATHS {
        for (what, has) in [
            ("refuses requests", (|row| matches!(row.proof, Proof::RefusesRequest(_))) as fn(&&Row) -> bool),
            ("counts requests", |row| matches!(row.proof, Proof::Counts(_) | Proof::Holds(_))),
            ("edits requests", |row| matches!(row.proof, Proof::EditsRequest(..))),
            ("is seen by observers", |row| matches!(row.proof, Proof::Logs | Proof::Measures)),
        ] {
            let fits = ROWS.iter().filter(has).filter(|row| row.unfit(*path).is_none()).count();
            assert!(fits > 0, "no row that {what} takes the path {:?}", path.name);
        }
        let replies =
            ROWS.iter().filter(|row| matches!(row.proof, Proof::RefusesReply(_) | Proof::EditsReply(..)));
        let fits = replies.filter(|row| row.unfit(*path).is_none()).count();
        assert!(fits > 0 || path.is_wordless(), "no guard of replies takes {:?}", path.name);
    }
    for operation in weir_pipeline::SERVED {
        // Asked for by forms (`forms::`).
        let is_form = *operation == Operation::Transcription;
        let taken = is_form || PATHS.iter().any(|path| path.operation() == *operation);
        assert!(taken, "no path of the matrix asks for {operation}");
    }
}
