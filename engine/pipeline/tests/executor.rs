//! The onion, its ends, routes and streams, with a small registry and a scripted way out.

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
use weir_state::State;

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

const NAMES: &[&str] = &["pass", "deny", "fault", "answer", "wait", "edit", "deny-reply"];

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
    fn ended(&self, exchange: &Exchange) {
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
        "weir: v1\nproviders:\n  a: {{ dialect: openai, base_url: http://127.0.0.1:1/v1 }}\n  b: {{ dialect: openai, base_url: http://127.0.0.1:2/v1 }}\nmodels:\n  m: {{ route: fallback, targets: [ {{ provider: a, model: ma }}, {{ provider: b, model: mb }} ] }}\npipelines:\n  - pipeline: p\n    anonymous: true\n    stages:\n{stages}"
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
