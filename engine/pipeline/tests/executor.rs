//! The onion, its ends, routes and streams, with a small registry and a scripted way out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use http::HeaderMap;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use weir_catalog::Catalogue;
use weir_diagnostic::Diagnostics;
use weir_message::{Cause, Denial, Dialect, ErrorCode, Event, Operation, Outcome, Reply, Request, Verb};
use weir_pipeline::{
    Answer, CONTINUE, Call, CallError, Clock, Declares, Exchange, Flow, Gateway, Hook, Needs, Plan, Registry,
    Response, ResponseBody, Secrets, Sink, Stage, StreamStage, StreamVerdict, Streaming, Upstream, Verdict,
    Visit, Workbench, Workshop, compile, handle,
};
use weir_policy::{BodyDecl, Builtins, Environment, StageDecl, load};
use weir_state::{BreakerSettings, Permit, State};

#[path = "executor/together.rs"]
mod together;

type Log = Arc<Mutex<Vec<String>>>;

/// A stage that notes each of its hooks and does what its name says.
struct Noting {
    name: String,
    does: String,
    log: Log,
}

impl Noting {
    fn note(&self, hook: &str) {
        self.log.lock().unwrap().push(format!("{}.{hook}", self.name));
    }
}

impl Stage for Noting {
    fn declares(&self) -> Declares {
        Declares {
            needs: Needs::BODY | Needs::REPLY | Needs::EVENTS,
            streaming: Streaming::Events,
            reads_reply: true,
            judges_request: false,
            only_judges: true,
            ..Declares::default()
        }
    }

    fn request<'a>(&'a self, visit: Visit<'a>) -> Hook<'a> {
        self.note("request");
        match self.does.as_str() {
            "deny" => Hook::Done(Verdict::Deny(Box::new(Denial::new(ErrorCode::Denied, "no")))),
            "fault" => Hook::Done(Verdict::Fault("broken".into())),
            "answer" => Hook::Done(Verdict::Answer(Box::new(Reply::new(200, completion("from the cache"))))),
            "wait" => Hook::Wait(async { Verdict::Continue }.boxed()),
            "slow" => Hook::Wait(slowly().boxed()),
            "slow-deny" => Hook::Wait(
                async {
                    slowly().await;
                    Verdict::Deny(Box::new(Denial::new(ErrorCode::Denied, "no")))
                }
                .boxed(),
            ),
            "never" => Hook::Wait(futures::future::pending().boxed()),
            "below" => {
                self.log.lock().unwrap().push(format!("{:02x?}", visit.exchange.below));
                CONTINUE
            }
            "rename" => {
                visit.exchange.request.set_model("other");
                CONTINUE
            }
            "edit" => {
                visit.exchange.request.set_text(0, "edited");
                CONTINUE
            }
            _ => CONTINUE,
        }
    }

    fn reply<'a>(&'a self, visit: Visit<'a>) -> Hook<'a> {
        self.note("reply");
        if self.does == "deny-reply" {
            return Hook::Done(Verdict::Deny(Box::new(Denial::new(ErrorCode::ContentDenied, "not that"))));
        }
        if self.does == "edit"
            && let Some(reply) = &mut visit.exchange.reply
        {
            let text = reply.text().to_uppercase();
            reply.set_text(&text);
        }
        CONTINUE
    }

    fn stream(&self, _visit: Visit<'_>) -> Option<Box<dyn StreamStage>> {
        self.note("stream");
        Some(Box::new(NotingStream { does: self.does.clone() }))
    }

    fn end(&self, _visit: Visit<'_>) {
        self.note("end");
    }
}

/// Done after a while.
async fn slowly() -> Verdict {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    Verdict::Continue
}

struct NotingStream {
    does: String,
}

impl StreamStage for NotingStream {
    fn event<'a>(&'a mut self, mut event: Event, out: &'a mut Vec<Event>) -> Flow<'a> {
        if self.does == "deny-reply"
            && event.deltas.iter().any(|delta| delta.text.as_str().contains("secret"))
        {
            let denial = Denial::new(ErrorCode::ContentDenied, "not that");
            return Flow::Done(StreamVerdict::Deny(Box::new(denial)));
        }
        if self.does == "edit" {
            for n in 0..event.deltas.len() {
                let text = event.deltas[n].text.as_str().to_uppercase();
                event.set_delta(n, &text);
            }
        }
        out.push(event);
        Flow::Done(StreamVerdict::Continue)
    }
}

struct Small {
    log: Log,
}

const NAMES: &[&str] = &[
    "pass",
    "deny",
    "fault",
    "answer",
    "wait",
    "edit",
    "deny-reply",
    "slow",
    "slow-deny",
    "never",
    "below",
    "rename",
];

impl Builtins for Small {
    fn names(&self, verb: Verb) -> Vec<&'static str> {
        if verb == Verb::Route { Vec::new() } else { NAMES.to_vec() }
    }

    fn schema(&self, _verb: Verb, name: &str) -> Option<schemars::Schema> {
        NAMES.contains(&name).then(|| schemars::json_schema!({ "type": "object" }))
    }
}

impl Registry for Small {
    fn compile(&self, decl: &StageDecl, _bench: &mut Workbench<'_>) -> Option<Arc<dyn Stage>> {
        let BodyDecl::Builtin(does) = &decl.body else { return None };
        Some(Arc::new(Noting {
            name: decl.name.to_string(),
            does: does.to_string(),
            log: Arc::clone(&self.log),
        }))
    }
}

struct NoRows;

impl weir_policy::Catalogue for NoRows {
    fn row_names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What the provider does next.
enum Script {
    Whole(u16, String),
    Stream(Vec<Result<&'static str, Cause>>),
    /// A stream to whoever did not ask for one, or a redirect: status, kind, body.
    Odd(u16, &'static str, String),
    /// No answer, ever.
    Hangs,
    Fails(Cause),
}

struct Scripted {
    scripts: Mutex<VecDeque<Script>>,
    calls: Mutex<Vec<Call>>,
}

impl Upstream for Scripted {
    fn send(&self, call: Call) -> BoxFuture<'_, Result<Answer, CallError>> {
        self.calls.lock().unwrap().push(call);
        let script = self.scripts.lock().unwrap().pop_front().expect("an unscripted call");
        async move {
            let answer = |status, kind: &str, pieces: Vec<Result<Bytes, CallError>>| {
                let mut headers = HeaderMap::new();
                headers.insert("content-type", kind.parse().unwrap());
                Ok(Answer { status, headers, body: futures::stream::iter(pieces).boxed() })
            };
            match script {
                Script::Whole(status, body) => answer(status, "application/json", vec![Ok(body.into())]),
                Script::Stream(pieces) => {
                    let pieces = pieces.into_iter().map(|piece| {
                        piece
                            .map(|text| Bytes::from(text.to_owned()))
                            .map_err(|cause| CallError::new(cause, "cut"))
                    });
                    answer(200, "text/event-stream", pieces.collect())
                }
                Script::Odd(status, kind, body) => answer(status, kind, vec![Ok(body.into())]),
                Script::Hangs => futures::future::pending().await,
                Script::Fails(cause) => Err(CallError::new(cause, "scripted")),
            }
        }
        .boxed()
    }
}

struct Still;

impl Clock for Still {
    fn now(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn unix_nanos(&self) -> i64 {
        1_764_000_000_000_000_000
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        // Short waits (before a retry) are over at once, timeouts never come.
        if time < Duration::from_secs(5) {
            futures::future::ready(()).boxed()
        } else {
            futures::future::pending().boxed()
        }
    }
}

#[derive(Default)]
struct Ended(Mutex<Vec<Exchange>>);

impl Sink for Ended {
    fn ended(&self, exchange: &mut Exchange) {
        self.0.lock().unwrap().push(exchange.clone());
    }
}

struct World {
    plan: Arc<Plan>,
    gateway: Arc<Gateway>,
    upstream: Arc<Scripted>,
    ended: Arc<Ended>,
    log: Log,
}

fn world(stages: &str, scripts: Vec<Script>) -> World {
    let yaml = format!(
        "weir: v1\nproviders:\n  a: {{ dialect: openai, base_url: http://127.0.0.1:1/v1 }}\n  b: {{ dialect: openai, base_url: http://127.0.0.1:2/v1 }}\n  c: {{ dialect: openai, base_url: http://127.0.0.1:3/v1, responses: true }}\nmodels:\n  r: {{ targets: [ {{ provider: c, model: mc }} ] }}\n  m: {{ route: fallback, targets: [ {{ provider: a, model: ma }}, {{ provider: b, model: mb }} ] }}\npipelines:\n  - pipeline: p\n    anonymous: true\n    stages:\n{stages}"
    );
    let log: Log = Arc::default();
    let registry = Arc::new(Small { log: Arc::clone(&log) });
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("policy.yaml"), yaml).unwrap();
    let snapshot = weir_policy::snapshot(folder.path()).unwrap();
    let environment = Environment { builtins: &*registry, catalogue: &NoRows, library: &[] };
    let loaded = load(&snapshot, &environment);
    let rendered = weir_diagnostic::render(&loaded.sources, &loaded.diagnostics, false);
    let set = loaded.set.unwrap_or_else(|| panic!("{rendered}"));
    let state = Arc::new(State::default());
    let workshop = Workshop {
        registry,
        catalogue: Catalogue::builtin(),
        inference: weir_inference::Models::open(std::path::Path::new("none")),
        state: Arc::clone(&state),
    };
    let mut diagnostics = Diagnostics::new();
    let plan = compile(&set, &workshop, &Secrets::Ignored, &mut diagnostics);
    let plan =
        plan.unwrap_or_else(|| panic!("{}", weir_diagnostic::render(&loaded.sources, &diagnostics, false)));
    let upstream = Arc::new(Scripted { scripts: Mutex::new(scripts.into()), calls: Mutex::default() });
    let ended = Arc::new(Ended::default());
    let gateway = Arc::new(Gateway {
        upstream: Arc::clone(&upstream) as Arc<dyn Upstream>,
        clock: Arc::new(Still),
        state,
        sink: Arc::clone(&ended) as Arc<dyn Sink>,
        seed: 7,
    });
    World { plan: Arc::new(plan), gateway, upstream, ended, log }
}

impl World {
    fn request(&self, stream: bool) -> Request {
        let mut request = Request::new("r1", Dialect::OpenAi, Operation::Chat, "/v1/chat/completions");
        request.raw = Bytes::from(format!(
            r#"{{"model":"m","stream":{stream},"messages":[{{"role":"user","content":"hello"}}]}}"#
        ));
        request
    }

    async fn send(&self, stream: bool) -> (u16, String) {
        self.read(handle(&self.gateway, Arc::clone(&self.plan), self.request(stream)).await).await
    }

    async fn post(&self, operation: Operation, body: &str) -> (u16, String) {
        let mut request = Request::new("r1", Dialect::OpenAi, operation, "/v1");
        request.raw = Bytes::from(body.to_owned());
        self.read(handle(&self.gateway, Arc::clone(&self.plan), request).await).await
    }

    /// What stages decided, in order.
    fn decisions(&self) -> Vec<&'static str> {
        let ended = self.ended.0.lock().unwrap();
        ended[0].trace.stages.iter().map(|stage| stage.decision.name()).collect()
    }

    /// The record of the one request that ended.
    fn record(&self) -> Exchange {
        let ended = self.ended.0.lock().unwrap();
        assert_eq!(ended.len(), 1, "every request ends once");
        ended[0].clone()
    }

    async fn read(&self, response: Response) -> (u16, String) {
        let body = match response.body {
            ResponseBody::Whole(body) => body.to_vec(),
            ResponseBody::Stream(pieces) => pieces.collect::<Vec<_>>().await.concat(),
        };
        (response.status, String::from_utf8(body).unwrap())
    }

    fn log(&self) -> String {
        self.log.lock().unwrap().join(" ")
    }

    fn outcome(&self) -> Outcome {
        let ended = self.ended.0.lock().unwrap();
        assert_eq!(ended.len(), 1, "every request ends once");
        ended[0].trace.outcome
    }
}

fn completion(text: &str) -> String {
    format!(
        r#"{{"id":"c","object":"chat.completion","created":1,"model":"x","choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}}}"#
    )
}

macro_rules! delta {
    ($text:literal) => {
        concat!(
            r#"data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"x","choices":[{"index":0,"delta":{"content":""#,
            $text,
            "\"},\"finish_reason\":null}]}\n\n"
        )
    };
}

const FINISH: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"x\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";

fn stage(verb: &str, what: &str, name: &str) -> String {
    format!("      - {verb}: {what}\n        name: {name}\n")
}

#[tokio::test]
async fn replies_come_up_through_the_stages_they_went_down_through() {
    let stages = [stage("guard", "pass", "a"), stage("transform", "wait", "b")].concat();
    let world = world(&stages, vec![Script::Whole(200, completion("hi"))]);
    let (status, body) = world.send(false).await;
    assert_eq!((status, body), (200, completion("hi")));
    assert_eq!(world.log(), "a.request b.request b.reply a.reply a.end b.end");
    assert_eq!(world.outcome(), Outcome::Replied);
}

#[tokio::test]
async fn an_answer_skips_its_own_reply_hook_and_all_below() {
    let stages =
        [stage("guard", "pass", "a"), stage("cache", "answer", "b"), stage("transform", "pass", "c")]
            .concat();
    let world = world(&stages, vec![]);
    let (status, body) = world.send(false).await;
    assert_eq!(status, 200);
    assert!(body.contains("from the cache"));
    assert_eq!(world.log(), "a.request b.request a.reply a.end b.end");
    assert_eq!(world.outcome(), Outcome::Answered);
}

#[tokio::test]
async fn an_answer_is_streamed_to_a_client_who_asked_for_a_stream() {
    let world = world(&stage("cache", "answer", "b"), vec![]);
    let (status, body) = world.send(true).await;
    assert_eq!(status, 200);
    assert!(body.contains("from the cache") && body.ends_with(DONE), "{body}");
}

#[tokio::test]
async fn after_a_denial_no_reply_hook_runs_and_every_entered_stage_ends() {
    let stages =
        [stage("guard", "pass", "a"), stage("guard", "deny", "b"), stage("transform", "pass", "c")].concat();
    let world = world(&stages, vec![]);
    let (status, body) = world.send(false).await;
    assert_eq!(status, 403);
    assert!(body.contains(r#""code":"denied""#) && body.contains(r#""request_id":"r1""#), "{body}");
    assert_eq!(world.log(), "a.request b.request a.end b.end");
    assert_eq!(world.outcome(), Outcome::Denied);
}

#[tokio::test]
async fn a_fault_refuses_or_is_passed_over_as_the_policy_says() {
    let refusing = world(&stage("guard", "fault", "a"), vec![]);
    let (status, body) = refusing.send(false).await;
    assert_eq!(status, 503);
    assert!(body.contains("stage-unavailable") && !body.contains("broken"), "{body}");
    let skipping = world(
        &format!("{}        on_error: skip\n", stage("guard", "fault", "a")),
        vec![Script::Whole(200, completion("hi"))],
    );
    assert_eq!(skipping.send(false).await.0, 200);
}

#[tokio::test]
async fn edits_go_onto_the_original_bytes_and_the_model_is_renamed() {
    let world = world(&stage("transform", "edit", "a"), vec![Script::Whole(200, completion("hi"))]);
    let (_, body) = world.send(false).await;
    assert_eq!(body, completion("HI"));
    let calls = world.upstream.calls.lock().unwrap();
    let sent = String::from_utf8(calls[0].body.to_vec()).unwrap();
    assert_eq!(sent, r#"{"model":"ma","stream":false,"messages":[{"role":"user","content":"edited"}]}"#);
}

#[tokio::test]
async fn a_shadowed_stage_changes_nothing_and_says_what_it_would_have_done() {
    let stages = format!(
        "{}        mode: shadow\n{}        mode: shadow\n",
        stage("guard", "deny", "a"),
        stage("transform", "edit", "b")
    );
    let world = world(&stages, vec![Script::Whole(200, completion("hi"))]);
    let (status, body) = world.send(false).await;
    assert_eq!((status, body), (200, completion("hi")));
    let ended = world.ended.0.lock().unwrap();
    let decisions: Vec<_> = ended[0].trace.stages.iter().map(|stage| stage.decision.name()).collect();
    assert_eq!(decisions, ["denied", "edited"]);
}

#[tokio::test]
async fn the_next_target_is_tried_when_one_fails() {
    let world = world(
        &stage("guard", "pass", "a"),
        vec![Script::Fails(Cause::Connect), Script::Whole(200, completion("from b"))],
    );
    let (status, body) = world.send(false).await;
    assert_eq!((status, body), (200, completion("from b")));
    let calls = world.upstream.calls.lock().unwrap();
    let targets: Vec<_> = calls.iter().map(|call| format!("{}/{}", call.provider.name, call.model)).collect();
    assert_eq!(targets, ["a/ma", "b/mb"]);
}

#[tokio::test]
async fn a_rejected_request_is_not_tried_elsewhere() {
    let error = r#"{"error":{"message":"no such parameter","type":"invalid_request_error","code":null}}"#;
    let world = world(&stage("guard", "pass", "a"), vec![Script::Whole(400, error.into())]);
    let (status, body) = world.send(false).await;
    assert_eq!(status, 400);
    assert!(body.contains("upstream-rejected") && !body.contains("no such parameter"), "guarded: {body}");
}

#[tokio::test]
async fn a_stream_passes_event_by_event_and_is_edited_on_the_way() {
    let pieces = vec![Ok(delta!("hel")), Ok(delta!("lo")), Ok(FINISH), Ok(DONE)];
    let world = world(&stage("transform", "edit", "a"), vec![Script::Stream(pieces)]);
    let (status, body) = world.send(true).await;
    assert_eq!(status, 200);
    assert_eq!(body, [delta!("HEL"), delta!("LO"), FINISH, DONE].concat());
    assert_eq!(world.log(), "a.request a.stream a.end");
    assert_eq!(world.outcome(), Outcome::Replied);
}

#[tokio::test]
async fn a_denial_before_the_first_event_has_its_own_status() {
    let pieces = vec![Ok(delta!("secret")), Ok(DONE)];
    let world = world(&stage("guard", "deny-reply", "a"), vec![Script::Stream(pieces)]);
    let (status, body) = world.send(true).await;
    assert_eq!(status, 403);
    assert!(body.contains("content-denied") && !body.contains("secret"), "{body}");
}

#[tokio::test]
async fn a_denial_inside_a_stream_ends_it_without_a_clean_end() {
    let pieces = vec![Ok(delta!("fine")), Ok(delta!("secret")), Ok(DONE)];
    let world = world(&stage("guard", "deny-reply", "a"), vec![Script::Stream(pieces)]);
    let (status, body) = world.send(true).await;
    assert_eq!(status, 200);
    assert!(body.contains("fine") && body.contains("content-denied"), "{body}");
    assert!(!body.contains("secret") && !body.contains("[DONE]"), "{body}");
    assert_eq!(world.outcome(), Outcome::Denied);
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_an_error_event() {
    for end in [Some(Err(Cause::Broken)), None] {
        let pieces = [Some(Ok(delta!("fine"))), end].into_iter().flatten().collect();
        let world = world(&stage("guard", "pass", "a"), vec![Script::Stream(pieces)]);
        let (_, body) = world.send(true).await;
        assert!(body.contains("upstream-broken") && !body.contains("[DONE]"), "{body}");
        assert_eq!(world.outcome(), Outcome::Failed);
    }
}

#[tokio::test]
async fn a_stream_that_fails_before_its_first_event_moves_on_to_the_next_target() {
    let error = "data: {\"error\":{\"message\":\"overloaded\",\"type\":\"server_error\"}}\n\n";
    let world = world(
        &stage("guard", "pass", "a"),
        vec![Script::Stream(vec![Ok(error)]), Script::Stream(vec![Ok(delta!("b")), Ok(FINISH), Ok(DONE)])],
    );
    let (status, body) = world.send(true).await;
    assert_eq!((status, body), (200, [delta!("b"), FINISH, DONE].concat()));
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_request_and_books_it() {
    let pieces = vec![Ok(delta!("a")), Ok(delta!("b")), Ok(DONE)];
    let world = world(&stage("guard", "pass", "a"), vec![Script::Stream(pieces)]);
    let response = handle(&world.gateway, Arc::clone(&world.plan), world.request(true)).await;
    let ResponseBody::Stream(mut pieces) = response.body else { panic!("a stream") };
    assert!(pieces.next().await.is_some());
    drop(pieces);
    assert_eq!(world.outcome(), Outcome::Cancelled);
    assert!(world.log().ends_with("a.end"), "{}", world.log());
    assert!(world.ended.0.lock().unwrap()[0].usage.counted);
}

fn script(verb: &str, name: &str, rhai: &str) -> String {
    format!("      - {verb}: {name}\n        rhai: '{rhai}'\n")
}

const SECRET: &str = "a secret thing";
const NO_SECRET: &str = r#"fn event(e) { if e.text.contains("secret") { e.deny("not that"); } }"#;

fn whole(text: &str) -> Script {
    Script::Whole(200, completion(text))
}

#[tokio::test]
async fn a_stage_that_could_not_decide_takes_no_part_on_the_way_up_and_ends_once() {
    let stages = format!("{}        on_error: skip\n", stage("guard", "fault", "a"));
    for stream in [false, true] {
        let reply = match stream {
            false => whole("hi"),
            true => Script::Stream(vec![Ok(delta!("hi")), Ok(FINISH), Ok(DONE)]),
        };
        let world = world(&stages, vec![reply]);
        assert_eq!(world.send(stream).await.0, 200);
        assert_eq!(world.log(), "a.request a.end");
        assert_eq!(world.decisions(), ["fault-skipped"]);
    }
}

#[tokio::test]
async fn a_script_for_events_alone_judges_whole_cached_and_streamed_replies() {
    let guard = script("guard", "words", NO_SECRET);
    let cached = format!("{guard}{}", stage("cache", "answer", "c"));
    let from_cache = script("guard", "words", &NO_SECRET.replace("secret", "cache"));
    let cases: [(String, bool, Vec<Script>); 5] = [
        (guard.clone(), false, vec![whole(SECRET)]),
        // A stream was asked for, and the provider answers whole.
        (guard.clone(), true, vec![whole(SECRET)]),
        (
            guard.clone(),
            true,
            vec![Script::Stream(vec![Ok(delta!("a sec")), Ok(delta!("ret")), Ok(FINISH), Ok(DONE)])],
        ),
        (cached.replace(&guard, &from_cache), false, vec![]),
        (cached.replace(&guard, &from_cache), true, vec![]),
    ];
    for (n, (stages, stream, scripts)) in cases.into_iter().enumerate() {
        let world = world(&stages, scripts);
        let (status, body) = world.send(stream).await;
        assert_eq!(status, 403, "{n}: {body}");
        assert!(body.contains("not that") && !body.contains("secret thing"), "{n}: {body}");
    }
}

#[tokio::test]
async fn a_guard_of_whole_replies_judges_streams_at_their_end() {
    let stages = "      - guard: g\n        cel: '!reply.text.contains(\"secret\")'\n";
    let pieces = || vec![Ok(delta!("a sec")), Ok(delta!("ret")), Ok(FINISH), Ok(DONE)];
    let denied = world(stages, vec![Script::Stream(pieces())]);
    let (status, body) = denied.send(true).await;
    assert!(status == 403 && !body.contains("ret\""), "{status} {body}");
    let shadowed = world(&format!("{stages}        mode: shadow\n"), vec![Script::Stream(pieces())]);
    let (status, body) = shadowed.send(true).await;
    assert_eq!((status, body), (200, [delta!("a sec"), delta!("ret"), FINISH, DONE].concat()));
    assert_eq!(shadowed.decisions(), ["denied"], "a shadow sees streams too");
}

#[tokio::test]
async fn a_guard_of_what_was_spent_judges_on_the_way_up() {
    let stages = "      - guard: g\n        cel: spend.request.output < 2\n";
    let world = world(stages, vec![whole("hi")]);
    assert_eq!(world.send(false).await.0, 403, "two tokens were spent");
}

#[tokio::test]
async fn a_denial_as_a_reply_reads_as_one_in_all_forms() {
    let saying = |what: &str| {
        format!("{}        deny: {{ as: reply, message: \"I may not\" }}\n", stage("guard", what, "a"))
    };
    for stream in [false, true] {
        let world = world(&saying("deny"), vec![]);
        let (status, body) = world.send(stream).await;
        assert!(status == 200 && body.contains("I may not") && body.contains("content_filter"), "{body}");
        assert_eq!(body.ends_with(DONE), stream);
        let record = world.record();
        assert_eq!((record.status, record.trace.outcome), (200, Outcome::Denied));
    }
    let cut = world(
        &saying("deny-reply"),
        vec![Script::Stream(vec![Ok(delta!("fine")), Ok(delta!("secret")), Ok(DONE)])],
    );
    let (_, body) = cut.send(true).await;
    assert!(body.contains("I may not") && body.ends_with(DONE) && !body.contains("secret"), "{body}");
    assert_eq!(cut.record().status, 200);
    // What holds no words cannot say it.
    let vectors = world(&saying("deny"), vec![]);
    let (status, body) = vectors.post(Operation::Embedding, r#"{"model":"m","input":"x"}"#).await;
    assert!(status == 403 && body.contains("\"error\""), "{body}");
}

#[tokio::test]
async fn what_is_no_reply_moves_on_to_the_next_target() {
    let odd = [
        Script::Odd(200, "text/event-stream", delta!("streamed").into()),
        Script::Odd(302, "text/html", "elsewhere".into()),
        Script::Odd(304, "text/html", String::new()),
    ];
    for script in odd {
        let world = world(&stage("guard", "pass", "a"), vec![script, whole("from b")]);
        assert_eq!(world.send(false).await, (200, completion("from b")));
        assert_eq!(world.record().trace.attempts[0].cause, Some(Cause::Invalid));
    }
}

#[tokio::test]
async fn operations_without_streams_are_answered_whole_whatever_the_client_says() {
    let vectors =
        r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[1]}],"model":"x"}"#;
    let world = world(&stage("guard", "pass", "a"), vec![Script::Whole(200, vectors.into())]);
    let (status, body) = world.post(Operation::Embedding, r#"{"model":"m","input":"x","stream":true}"#).await;
    assert_eq!((status, body.as_str()), (200, vectors));
}

#[tokio::test]
async fn token_ids_do_not_slip_by_guards_that_read_texts() {
    let cel = "      - guard: g\n        cel: '!request.all_text.contains(\"x\")'\n";
    let rhai = script("guard", "g", r#"fn request(r) { if r.text.contains("x") { r.deny("no"); } }"#);
    for stages in [cel.to_owned(), rhai] {
        let ids = world(&stages, vec![]);
        let (status, body) = ids.post(Operation::Completion, r#"{"model":"m","prompt":[1,2]}"#).await;
        assert!(status == 403 && body.contains("token ids"), "{status} {body}");
        let passing = world(&format!("{stages}        unread: pass\n"), vec![whole("hi")]);
        assert_eq!(passing.post(Operation::Completion, r#"{"model":"m","prompt":[1,2]}"#).await.0, 200);
    }
}

const RESPONSE: &str = r#"{"id":"resp_1","object":"response","status":"completed","output":[{"id":"msg_1","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","annotations":[],"text":"hi"}]}],"usage":{"input_tokens":3,"output_tokens":1}}"#;

/// A body with the id of its response as its client is shown it.
fn sealed(world: &World, body: &str) -> String {
    let thing = weir_state::Minted {
        provider: "c".into(),
        model: "r".into(),
        kind: weir_state::Kind::Plain,
        id: "resp_1".to_owned(),
    };
    let shown = world.gateway.state.minted.seal(&weir_state::owner_of(None), &thing).unwrap();
    body.replace("resp_1", &shown)
}

#[tokio::test]
async fn a_response_is_asked_of_a_provider_that_has_them_and_a_chat_of_others() {
    let edits = stage("transform", "edit", "a");
    let native = world(&edits, vec![Script::Whole(200, RESPONSE.into())]);
    let (status, body) = native.post(Operation::Response, r#"{"model":"r","input":"hello","x":1.0}"#).await;
    assert_eq!((status, body), (200, sealed(&native, &RESPONSE.replace("\"hi\"", "\"HI\""))));
    let call = native.upstream.calls.lock().unwrap().pop().unwrap();
    assert_eq!(
        (call.path.as_str(), &call.body[..]),
        ("/responses", &br#"{"model":"mc","input":"edited","x":1.0}"#[..])
    );
    assert_eq!(native.record().usage.input, 3);

    let chats = world(&edits, vec![Script::Whole(200, completion("hi"))]);
    let (status, body) = chats.post(Operation::Response, r#"{"model":"m","input":"hello"}"#).await;
    assert!(
        status == 200 && body.contains(r#""object":"response""#) && body.contains(r#""text":"HI""#),
        "{body}"
    );
    let call = chats.upstream.calls.lock().unwrap().pop().unwrap();
    let sent = r#"{"model":"ma","messages":[{"role":"user","content":"edited"}]}"#;
    assert_eq!((call.path.as_str(), &call.body[..]), ("/chat/completions", sent.as_bytes()));

    let kept = r#"{"model":"m","input":"hello","previous_response_id":"resp_0"}"#;
    let (status, body) = world(&edits, vec![]).post(Operation::Response, kept).await;
    assert!(status == 404 && body.contains("unknown-id"), "{status} {body}");
}

#[tokio::test]
async fn what_a_stream_of_a_response_repeats_is_what_its_client_was_sent() {
    let pieces = || {
        vec![
            Ok(
                "data: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":\"resp_1\",\"status\":\"in_progress\",\"output\":[]}}\n\n",
            ),
            Ok(
                "data: {\"type\":\"response.output_text.delta\",\"sequence_number\":1,\"output_index\":0,\"content_index\":0,\"delta\":\"a secret\"}\n\n",
            ),
            Ok(
                "data: {\"type\":\"response.output_text.done\",\"sequence_number\":2,\"output_index\":0,\"content_index\":0,\"text\":\"a secret\"}\n\n",
            ),
            Ok(
                "data: {\"type\":\"response.completed\",\"sequence_number\":3,\"response\":{\"id\":\"resp_1\",\"status\":\"completed\",\"output\":[{\"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":\"a secret\"}]}],\"usage\":{\"input_tokens\":5,\"output_tokens\":2}}}\n\n",
            ),
        ]
    };
    let whole: String = pieces().into_iter().flatten().collect();
    let ask = r#"{"model":"r","input":"hello","stream":true}"#;
    let passing = world(&stage("guard", "pass", "a"), vec![Script::Stream(pieces())]);
    assert_eq!(passing.post(Operation::Response, ask).await, (200, sealed(&passing, &whole)));
    assert_eq!((passing.record().usage.input, passing.outcome()), (5, Outcome::Replied));

    let edits = world(&stage("transform", "edit", "a"), vec![Script::Stream(pieces())]);
    let whole = sealed(&edits, &whole.replace("a secret", "A SECRET"));
    assert_eq!(edits.post(Operation::Response, ask).await, (200, whole));

    let denies = world(&stage("guard", "deny-reply", "a"), vec![Script::Stream(pieces())]);
    let (_, body) = denies.post(Operation::Response, ask).await;
    assert!(!body.contains("secret") && !body.contains("response.completed"), "{body}");
    assert!(body.contains("event: error") && body.contains("content-denied"), "{body}");

    let cut =
        world(&stage("guard", "pass", "a"), vec![Script::Stream(pieces().into_iter().take(2).collect())]);
    let (_, body) = cut.post(Operation::Response, ask).await;
    assert!(body.contains("upstream-broken") && body.contains("\"sequence_number\":2"), "{body}");
    assert_eq!(cut.outcome(), Outcome::Failed);
}

#[tokio::test]
async fn a_shadow_that_takes_its_time_holds_no_reply() {
    let stages = format!("{}        mode: shadow\n", stage("guard", "slow", "a"));
    let world = world(&stages, vec![whole("hi")]);
    assert_eq!(world.send(false).await.0, 200);
    assert!(world.ended.0.lock().unwrap().is_empty(), "the reply came first");
    slowly().await;
    slowly().await;
    assert_eq!(world.decisions(), ["passed"]);
    assert!(world.log().ends_with("a.reply a.end"), "{}", world.log());
}

#[tokio::test]
async fn a_frame_takes_part_as_a_whole_whatever_its_first_stage_edits() {
    let stages = format!(
        "{}frames:\n  - frame: f\n    when: request.model == \"m\"\n    stages:\n{}{}",
        stage("guard", "pass", "own"),
        stage("transform", "rename", "first"),
        stage("guard", "deny", "second")
    );
    let world = world(&stages, vec![]);
    assert_eq!(world.send(false).await.0, 403, "the edit does not slip the frame's guard");
}

#[tokio::test]
async fn an_earlier_look_at_the_request_shows_what_the_client_sent() {
    let stages = format!(
        "{}{}",
        stage("transform", "edit", "a"),
        "      - guard: g\n        cel: original.text == \"hello\" && request.text == \"edited\"\n"
    );
    let world = world(&stages, vec![whole("hi")]);
    assert_eq!(world.send(false).await.0, 200);
}

#[tokio::test]
async fn a_client_that_leaves_while_a_provider_is_asked_ends_every_stage_once() {
    for (what, sent) in [("pass", true), ("never", false)] {
        let stages = [stage("guard", "pass", "a"), stage("guard", what, "b")].concat();
        let world = world(&stages, vec![Script::Hangs]);
        let reply = handle(&world.gateway, Arc::clone(&world.plan), world.request(false));
        assert!(reply.now_or_never().is_none());
        assert_eq!(world.log(), "a.request b.request a.end b.end");
        let record = world.record();
        assert_eq!(record.trace.outcome, Outcome::Cancelled);
        assert_eq!(record.usage.counted, sent, "only what was sent may have been read");
        let causes: Vec<_> = record.trace.attempts.iter().map(|attempt| attempt.cause).collect();
        assert_eq!(causes, if sent { vec![Some(Cause::Cancelled)] } else { vec![] });
    }
}

#[tokio::test]
async fn usage_is_booked_once_on_every_path() {
    let usage =
        "data: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n";
    let reads = "      - observe: spent\n        cel: spend.request.output\n";
    let answered = format!("{reads}{}", stage("cache", "answer", "c"));
    let cases: Vec<(&str, bool, Vec<Script>, u64)> = vec![
        (reads, false, vec![whole("hi")], 2),
        (reads, false, vec![Script::Fails(Cause::Connect), whole("hi")], 2),
        (reads, true, vec![Script::Stream(vec![Ok(delta!("hi")), Ok(FINISH), Ok(usage), Ok(DONE)])], 2),
        (reads, true, vec![Script::Stream(vec![Ok(delta!("hi")), Ok(usage), Err(Cause::Broken)])], 2),
        // Not told: each event counts for a token.
        (reads, true, vec![Script::Stream(vec![Ok(delta!("hi")), Ok(FINISH), Ok(DONE)])], 2),
        (&answered, false, vec![], 0),
    ];
    for (n, (stages, stream, scripts, output)) in cases.into_iter().enumerate() {
        let world = world(stages, scripts);
        let (_, body) = world.send(stream).await;
        let record = world.record();
        assert_eq!(record.usage.output, output, "case {n}");
        assert!(!stream || !body.contains("prompt_tokens"), "the client did not ask: {body}");
        assert!(record.trace.attempts.iter().all(|attempt| attempt.took.is_some()), "case {n}");
    }
}

#[tokio::test]
async fn what_passed_before_a_refusal_in_the_same_piece_goes_out_before_it() {
    let both = concat!(delta!("fine"), delta!("secret"));
    let pieces = vec![Ok(delta!("so ")), Ok(both), Ok(DONE)];
    let world = world(&stage("guard", "deny-reply", "a"), vec![Script::Stream(pieces)]);
    let (_, body) = world.send(true).await;
    assert!(body.contains("fine") && body.contains("content-denied") && !body.contains("secret"), "{body}");
    assert_eq!(world.record().trace.attempts[0].cause, None, "the provider did nothing wrong");
}

#[tokio::test]
async fn a_cache_key_follows_settings_and_models_and_not_places() {
    let below = |yaml: &str, model: &str| {
        let world = world(yaml, vec![whole("hi")]);
        let body = format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"x"}}]}}"#);
        async move {
            world.post(Operation::Chat, &body).await;
            world.log.lock().unwrap().iter().find(|line| line.starts_with('[')).cloned().unwrap()
        }
    };
    let cache = stage("cache", "below", "c");
    let base = format!("{cache}{}", stage("transform", "pass", "t"));
    let first = below(&base, "m").await;
    assert_eq!(first, below(&base, "m").await, "the same in every plan");
    let same = [
        base.replace("transform: pass", "transform:    pass  # moved"),
        format!("{}{base}", stage("transform", "wait", "above")),
        format!("{base}{}", "      - observe: o\n        cel: request.model\n"),
        base.replace("        name: t\n", "        name: other\n"),
    ];
    for yaml in same {
        assert_eq!(first, below(&yaml, "m").await, "{yaml}");
    }
    let other = [
        base.replace("transform: pass", "transform: wait"),
        format!("{base}        sample: 50%\n"),
        format!("{base}        when: request.stream\n"),
        cache,
    ];
    for yaml in other {
        assert_ne!(first, below(&yaml, "m").await, "{yaml}");
    }
}

#[tokio::test]
async fn a_list_of_models_is_for_those_who_may_ask() {
    let open = world(&stage("guard", "pass", "a"), vec![]);
    let mut list = Request::new("r1", Dialect::OpenAi, Operation::Model, "/v1/models");
    list.method = http::Method::GET;
    let response = handle(&open.gateway, Arc::clone(&open.plan), list).await;
    assert_eq!(response.status, 200);
}

/// A route to `m` whose second attempt alone may be made.
const SECOND_ONLY: &str = "      - route: r\n        cel: '\"m\"'\n        attempt:\n          - { guard: second, cel: attempt.n == 2 }\n";

#[tokio::test]
async fn stages_of_an_attempt_rule_targets_out_and_stand_in_the_trace() {
    let shadow = "          - { transform: shadowed, rhai: 'fn request(r) { r.system(`edited`); }', mode: shadow }\n          - { guard: left-out, cel: \"false\", when: request.stream }\n";
    let world = world(&format!("{SECOND_ONLY}{shadow}"), vec![whole("from b")]);
    assert_eq!(world.send(false).await, (200, completion("from b")));
    assert_eq!(world.decisions(), ["passed", "denied", "edited", "skipped"]);
    let facts = world.record().trace.stage("shadowed").unwrap().facts.clone();
    assert_eq!(facts, [("texts_added", 1.into())], "and says what it would have changed");
    let calls = world.upstream.calls.lock().unwrap();
    assert!(!String::from_utf8_lossy(&calls[0].body).contains("edited"), "a shadow changes nothing");
    let causes: Vec<_> = world.record().trace.attempts.iter().map(|attempt| attempt.cause).collect();
    assert_eq!(causes, [Some(Cause::RuledOut), None]);
}

#[tokio::test]
async fn a_target_that_is_ruled_out_does_not_use_up_its_breakers_probe() {
    let world = world(SECOND_ONLY, vec![whole("from b")]);
    let breaker = world.gateway.state.breakers.target("a/ma");
    let settings = BreakerSettings { cool_down: Duration::from_nanos(1), ..BreakerSettings::default() };
    for _ in 0..5 {
        breaker.failed(&settings, Duration::ZERO);
    }
    assert_eq!(world.send(false).await.0, 200);
    assert_eq!(world.record().trace.attempts.len(), 2, "it was picked");
    assert_eq!(breaker.allows(&BreakerSettings::default(), Still.now()), Permit::Probe);
}

#[tokio::test]
async fn one_request_at_a_time_probes_a_target() {
    let world = world(&stage("guard", "pass", "a"), vec![Script::Hangs, whole("from b")]);
    let breaker = world.gateway.state.breakers.target("a/ma");
    let settings = BreakerSettings { cool_down: Duration::from_nanos(1), ..BreakerSettings::default() };
    for _ in 0..5 {
        breaker.failed(&settings, Duration::ZERO);
    }
    let mut probing = handle(&world.gateway, Arc::clone(&world.plan), world.request(false)).boxed();
    assert!((&mut probing).now_or_never().is_none());
    assert_eq!(world.send(false).await, (200, completion("from b")));
}
