//! Writes one line of JSON for each request, at level `info` of the log's target `weir::access`.
//!
//! It says who asked for what, what each stage decided, where the time went and what it cost. Prompts and replies are written
//! only if asked for, as they are at its place: below `guard: pii` without personal data; so is what a provider said of its
//! failure, which may quote them. Credentials are never written.
//!
//! ```yaml
//! - observe: log
//!   with: { headers: [user-agent] }
//! ```

use crate::header_names::is_credential;
use crate::per::needs;
use http::HeaderName;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use weir_diagnostic::{Code, Diagnostic};
use weir_message::{BlockKind, Decision, Event, Mode, StageTrace};
use weir_pipeline::{
    CONTINUE, Declares, Exchange, Flow, Hook, Needs, Slot, Stage, StreamStage, StreamVerdict, Streaming,
    Visit, Workbench,
};
use weir_policy::{Expr, Spanned, StageDecl};
use weir_script::{Expect, Expression, HookKind};

/// The settings of `observe: log`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Whether the texts of request and reply are written, as they are at this place, and what a provider that failed said.
    #[serde(default)]
    prompts: bool,
    /// The client's headers that are written, by name. Credentials cannot be named.
    #[serde(default)]
    headers: Vec<Spanned<String>>,
    /// Fields of your own: names and expressions, which read all of the request, its reply and its trace.
    #[serde(default)]
    fields: std::collections::BTreeMap<String, Expr>,
}

/// The most of a reply's text that is written, in bytes.
const LONGEST_REPLY: usize = 1 << 20;

/// The target of the log that the lines go to.
pub const ACCESS_LOG: &str = "weir::access";

pub(crate) fn compile(decl: &StageDecl, bench: &mut Workbench<'_>) -> Option<Arc<dyn Stage>> {
    let settings: Settings = bench.settings(decl)?;
    let mut headers = Vec::new();
    let mut wrong = false;
    for name in &settings.headers {
        let message = match HeaderName::try_from(name.value.as_str()) {
            Ok(header) if !is_credential(header.as_str()) => {
                headers.push(header);
                continue;
            }
            Ok(header) => format!("`{header}` carries a credential, which is never logged"),
            Err(_) => format!("`{}` cannot be the name of a header", name.value),
        };
        bench.diagnostics.push(Diagnostic::new(Code::BadValue, message).at(name.span));
        wrong = true;
    }
    let mut fields = Vec::new();
    for (name, expr) in &settings.fields {
        match bench.expression(expr, HookKind::End, Expect::Any) {
            Some(expression) => fields.push((name.clone(), expression)),
            None => wrong = true,
        }
    }
    (!wrong).then(|| Arc::new(Log { prompts: settings.prompts, headers, fields }) as Arc<dyn Stage>)
}

struct Log {
    prompts: bool,
    headers: Vec<HeaderName>,
    fields: Vec<(String, Expression)>,
}

/// The texts of a request at the observer's place.
#[derive(Default)]
struct Seen {
    request: Vec<Value>,
    /// Of a stream it grows as events pass.
    reply: Arc<Mutex<String>>,
}

impl Stage for Log {
    fn declares(&self) -> Declares {
        let needs = self.fields.iter().fold(Needs::USAGE, |all, (_, field)| all | needs(field.reads()));
        let texts = if self.prompts { Needs::BODY | Needs::REPLY | Needs::EVENTS } else { Needs::NONE };
        Declares {
            needs: needs | texts,
            streaming: if self.prompts { Streaming::Events } else { Streaming::None },
            judges_request: false,
            reads_reply: self.prompts,
            ..Declares::default()
        }
    }

    fn request<'a>(&'a self, visit: Visit<'a>) -> Hook<'a> {
        if self.prompts {
            let mut request = Vec::new();
            visit.exchange.request.each_text(|at| {
                request.push(json!({ "role": at.role.name(), "text": at.text.as_str() }));
            });
            *visit.slot = Some(Box::new(Seen { request, ..Seen::default() }));
        }
        CONTINUE
    }

    fn reply<'a>(&'a self, visit: Visit<'a>) -> Hook<'a> {
        if let (Some(seen), Some(reply)) = (seen(visit.slot), &visit.exchange.reply) {
            let mut text = reply.text();
            cut(&mut text);
            *seen.reply.lock().unwrap_or_else(PoisonError::into_inner) = text;
        }
        CONTINUE
    }

    fn stream(&self, visit: Visit<'_>) -> Option<Box<dyn StreamStage>> {
        seen(visit.slot).map(|seen| Box::new(Listening(Arc::clone(&seen.reply))) as Box<dyn StreamStage>)
    }

    fn record(&self, visit: Visit<'_>) {
        if tracing::enabled!(target: ACCESS_LOG, tracing::Level::INFO) {
            let line = self.line(visit.exchange, seen(visit.slot));
            tracing::info!(target: ACCESS_LOG, "{line}");
        }
    }
}

fn seen(slot: &mut Slot) -> Option<&Seen> {
    slot.as_ref()?.downcast_ref::<Seen>()
}

fn cut(text: &mut String) {
    if text.len() > LONGEST_REPLY {
        let end = (0..=LONGEST_REPLY).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
}

/// Gathers the words of a stream's first choice.
struct Listening(Arc<Mutex<String>>);

impl StreamStage for Listening {
    fn event<'a>(&'a mut self, event: Event, out: &'a mut Vec<Event>) -> Flow<'a> {
        let words = event.deltas.iter().filter(|delta| {
            delta.block.choice == 0 && matches!(delta.block.kind, BlockKind::Text | BlockKind::Refusal)
        });
        for delta in words {
            let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            text.push_str(delta.text.as_str());
            cut(&mut text);
        }
        out.push(event);
        Flow::Done(StreamVerdict::Continue)
    }
}

impl Log {
    /// The line for a request that has ended.
    fn line(&self, x: &Exchange, seen: Option<&Seen>) -> Value {
        let (request, trace) = (&x.request, &x.trace);
        let mut line = Map::new();
        let mut put = |name: &str, value: Value| drop(line.insert(name.to_owned(), value));
        put("time", Value::from(x.unix_nanos / 1_000_000));
        put("id", Value::from(&*request.id));
        put("revision", Value::from(&**x.plan.revision()));
        put("pipeline", Value::from(&*trace.pipeline));
        if let Some(caller) = &request.caller {
            put(
                "caller",
                json!({ "key": caller.key.as_deref(), "user": caller.user.as_deref(), "team": caller.team.as_deref() }),
            );
        }
        if let Some(source) = request.source {
            put("source", Value::from(source.ip().to_string()));
        }
        put("operation", Value::from(request.operation.name()));
        put("model", Value::from(request.model()));
        put("stream", Value::from(request.head.stream));
        if let Some(attempt) = trace.attempts.last() {
            put("target", Value::from(format!("{}/{}", attempt.provider, attempt.model)));
        }
        put("status", Value::from(x.status));
        put("outcome", Value::from(trace.outcome.name()));
        if let Some(error) = &trace.error {
            put("error", Value::from(error.as_str()));
        }
        if let Some(detail) = &trace.detail {
            put("detail", Value::from(detail.as_str()));
        }
        if let Some(cache) = x.cache {
            put("cache", Value::from(cache.name()));
        }
        if x.usage.total() > 0 {
            put(
                "usage",
                json!({
                    "input": x.usage.input, "cached_input": x.usage.cached_input, "output": x.usage.output,
                    "reasoning": x.usage.reasoning, "counted": x.usage.counted,
                }),
            );
            put("cost", Value::from(x.cost.dollars()));
        }
        put("ms", timings(x));
        put(
            "stages",
            trace.stages.iter().filter(|stage| stage.decision > Decision::Skipped).map(stage).collect(),
        );
        put("attempts", trace.attempts.iter().map(attempt).collect());
        let headers: Map<String, Value> = self
            .headers
            .iter()
            .filter_map(|name| Some((name.to_string(), request.headers.get(name)?.to_str().ok()?.into())))
            .collect();
        if !headers.is_empty() {
            put("headers", Value::Object(headers));
        }
        if let Some(seen) = seen {
            if let Some(said) = &trace.said {
                put("provider_said", Value::from(said.as_str()));
            }
            put("prompt", Value::Array(seen.request.clone()));
            let reply = seen.reply.lock().unwrap_or_else(PoisonError::into_inner);
            if !reply.is_empty() {
                put("reply", Value::from(reply.as_str()));
            }
        }
        for (name, field) in &self.fields {
            let value = field.eval(&x.view(), &**x.plan.services());
            put(name, value.map_or_else(|fault| json!({ "fault": fault.message }), |value| value.to_json()));
        }
        Value::Object(line)
    }
}

fn millis(time: Duration) -> Value {
    Value::from((time.as_secs_f64() * 1e6).round() / 1e3)
}

fn timings(x: &Exchange) -> Value {
    let timings = &x.trace.timings;
    let mut out = Map::new();
    for (name, time) in [
        ("decided", timings.decided),
        ("upstream_first_byte", timings.upstream_first_byte),
        ("first_release", timings.first_release),
        ("total", timings.done),
    ] {
        if let Some(time) = time {
            out.insert(name.to_owned(), millis(time));
        }
    }
    Value::Object(out)
}

fn stage(stage: &StageTrace) -> Value {
    let mut out = Map::new();
    out.insert("stage".to_owned(), Value::from(&*stage.name));
    out.insert("decision".to_owned(), Value::from(stage.decision.name()));
    if stage.mode == Mode::Shadow {
        out.insert("shadow".to_owned(), Value::from(true));
    }
    if let Some(reason) = &stage.reason {
        out.insert("reason".to_owned(), Value::from(reason.as_str()));
    }
    out.insert("ms".to_owned(), millis(stage.took));
    for (name, value) in &stage.facts {
        out.insert((*name).to_owned(), value.clone());
    }
    Value::Object(out)
}

fn attempt(attempt: &weir_message::Attempt) -> Value {
    json!({
        "target": format!("{}/{}", attempt.provider, attempt.model),
        "cause": attempt.cause.map(weir_message::Cause::name),
        "status": attempt.status,
        "ms": attempt.took.map(millis),
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::{World, chat, wrongs};
    use serde_json::{Value, json};
    use std::sync::{Arc, Mutex};
    use tracing::field::{Field, Visit};
    use tracing::span;

    /// Gathers the lines of the access log.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<String>>>);

    impl tracing::Subscriber for Lines {
        fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
            metadata.target() == "weir::access"
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

        fn event(&self, event: &tracing::Event<'_>) {
            struct Message(String);
            impl Visit for Message {
                fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                    if field.name() == "message" {
                        self.0 = format!("{value:?}");
                    }
                }
            }
            let mut message = Message(String::new());
            event.record(&mut message);
            self.0.lock().unwrap().push(message.0);
        }

        fn enter(&self, _: &span::Id) {}

        fn exit(&self, _: &span::Id) {}
    }

    async fn lines(stages: &str, requests: &[Value]) -> Vec<Value> {
        let lines = Lines::default();
        let world = World::new(stages);
        let guard = tracing::subscriber::set_default(lines.clone());
        for request in requests {
            let headers = [("user-agent", "curl"), ("authorization", "Bearer top-secret")];
            world.send_as(Some("web"), &headers, request.clone()).await;
        }
        drop(guard);
        let lines = lines.0.lock().unwrap();
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[tokio::test]
    async fn says_what_happened_without_a_word_of_the_prompt() {
        let found = lines(
            "- observe: log\n  with: { headers: [user-agent], fields: { long: size(request.text) > 3 } }\n- guard: no\n  cel: request.model != \"claude\"\n- guard: later\n  mode: shadow\n  cel: 1 > 2",
            &[chat("Grandmother"), { let mut body = chat("Grandmother"); body["model"] = json!("claude"); body }],
        )
        .await;
        let [ok, denied] = found.as_slice() else { panic!("{found:?}") };
        for (pointer, want) in [
            ("/pipeline", json!("p")),
            ("/caller/team", json!("web")),
            ("/status", json!(200)),
            ("/outcome", json!("replied")),
            ("/target", json!("echo/echo")),
            ("/headers/user-agent", json!("curl")),
            ("/long", json!(true)),
            ("/stages/2/shadow", json!(true)),
            ("/stages/2/decision", json!("denied")),
        ] {
            assert_eq!(ok.pointer(pointer), Some(&want), "{pointer} {ok}");
        }
        assert!(ok.pointer("/usage/input").is_some());
        assert_eq!((&denied["status"], &denied["error"]), (&json!(403), &json!("denied")));
        let all = json!(found).to_string();
        assert!(!all.contains("Grandmother") && !all.contains("top-secret"), "{all}");
    }

    #[tokio::test]
    async fn prompts_are_written_if_asked_as_they_are_at_its_place() {
        let mut stream = chat("mail a@example.com");
        stream["stream"] = json!(true);
        let found = lines(
            "- guard: pii\n  with: { find: [email], then: replace, restore: true }\n- observe: log\n  with: { prompts: true }",
            &[chat("mail a@example.com"), stream],
        )
        .await;
        assert_eq!(found.len(), 2);
        for line in found {
            assert_eq!(line.pointer("/prompt/0/text"), Some(&json!("mail <EMAIL_1>")));
            assert_eq!(line["reply"], "echo: mail <EMAIL_1>");
        }
    }

    #[test]
    fn credentials_cannot_be_named() {
        let found = wrongs("- observe: log\n  with: { headers: [X-Api-Key] }");
        assert!(found.contains("credential"), "{found}");
    }
}
