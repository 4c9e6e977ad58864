//! The handles that hooks get: what passes through is moved in for the call and taken back after it, so that a script
//! edits the thing itself though Rhai passes by value.

use crate::script_surface::Needs;
use crate::value::header;
use http::{HeaderMap, HeaderName, HeaderValue};
use rhai::{Array, Dynamic, Engine, EvalAltResult, Map, Position};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use weir_message::{Attempt, Caller, Money, Reply, Request, Role, Trace, Usage, Verb};

pub(crate) type Fallible<T> = Result<T, Box<EvalAltResult>>;

/// What a script decided so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Decided {
    #[default]
    GoOn,
    Deny(Option<u16>, String),
    RuleOut(String),
}

/// What all handles hold.
#[derive(Debug, Default)]
pub(crate) struct Common {
    pub(crate) params: Arc<serde_json::Value>,
    pub(crate) caller: Option<Arc<Caller>>,
    pub(crate) decided: Decided,
    pub(crate) edited: bool,
}

/// What one handle holds: the thing, as it was before the first edit, and the rest.
#[derive(Debug)]
pub(crate) struct Held<T> {
    pub(crate) thing: T,
    pub(crate) before: Option<Box<T>>,
    pub(crate) common: Common,
}

impl<T: Clone> Held<T> {
    /// The thing to be edited. The first edit keeps it as it was, for a script that fails half-way.
    fn edit(&mut self) -> &mut T {
        if self.before.is_none() {
            self.before = Some(Box::new(self.thing.clone()));
        }
        self.common.edited = true;
        &mut self.thing
    }
}

/// A handle. Its lock is never waited for: one script, one thread, one call.
#[derive(Debug)]
pub(crate) struct Handle<T>(Arc<Mutex<Held<T>>>);

impl<T> Clone for Handle<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Handle<T> {
    pub(crate) fn new(thing: T, common: Common) -> Self {
        Self(Arc::new(Mutex::new(Held { thing, before: None, common })))
    }

    /// What it holds, when the call is over. A script cannot keep a handle, so this copies nothing.
    pub(crate) fn into_held(self) -> Held<T>
    where
        T: Clone,
    {
        match Arc::try_unwrap(self.0) {
            Ok(mutex) => mutex.into_inner().unwrap_or_else(PoisonError::into_inner),
            Err(shared) => {
                let mut held = shared.lock().unwrap_or_else(PoisonError::into_inner);
                let common = std::mem::take(&mut held.common);
                Held { thing: held.thing.clone(), before: held.before.take(), common }
            }
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Held<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One piece of a stream's text.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) kind: &'static str,
    pub(crate) text: String,
    pub(crate) block: Option<&'static str>,
    pub(crate) choice: i64,
}

/// A reply, and what of its request scripts may read.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) reply: Reply,
    pub(crate) request: Map,
}

/// An attempt and the headers it will be sent with.
#[derive(Clone, Debug)]
pub(crate) struct Try {
    pub(crate) attempt: Attempt,
    pub(crate) headers: HeaderMap,
}

pub(crate) type RequestHandle = Handle<Request>;
pub(crate) type ReplyHandle = Handle<Answer>;
pub(crate) type EventHandle = Handle<Piece>;
pub(crate) type AttemptHandle = Handle<Try>;
pub(crate) type EndHandle = Handle<Trace>;

fn refuse<T>(message: impl Into<String>) -> Fallible<T> {
    Err(Box::new(EvalAltResult::ErrorRuntime(message.into().into(), Position::NONE)))
}

/// Ends the script at once; `try` does not catch it.
fn finish<T>() -> Fallible<T> {
    Err(Box::new(EvalAltResult::ErrorTerminated(Dynamic::UNIT, Position::NONE)))
}

fn text(text: &str) -> Dynamic {
    text.into()
}

fn maybe(value: Option<&str>) -> Dynamic {
    value.map_or(Dynamic::UNIT, text)
}

fn whole(n: u64) -> Dynamic {
    i64::try_from(n).unwrap_or(i64::MAX).into()
}

fn json(value: &serde_json::Value) -> Dynamic {
    rhai::serde::to_dynamic(value).unwrap_or(Dynamic::UNIT)
}

fn map<const N: usize>(entries: [(&str, Dynamic); N]) -> Map {
    entries.into_iter().map(|(key, value)| (key.into(), value)).collect()
}

fn usage(usage: &Usage) -> Dynamic {
    Dynamic::from_map(map([
        ("input", whole(usage.input)),
        ("cached_input", whole(usage.cached_input)),
        ("cache_write", whole(usage.cache_write)),
        ("output", whole(usage.output)),
        ("reasoning", whole(usage.reasoning)),
        ("total", whole(usage.total())),
    ]))
}

fn caller(caller: Option<&Caller>) -> Dynamic {
    let Some(caller) = caller else { return Dynamic::UNIT };
    let tags: Map = caller.tags.iter().map(|(key, value)| ((&**key).into(), json(value))).collect();
    let claims: Map = caller.claims.iter().map(|(key, value)| (key.as_str().into(), json(value))).collect();
    Dynamic::from_map(map([
        ("by", text(&caller.by)),
        ("key", maybe(caller.key.as_deref())),
        ("user", maybe(caller.user.as_deref())),
        ("team", maybe(caller.team.as_deref())),
        ("tags", tags.into()),
        ("claims", claims.into()),
    ]))
}

/// What of a request the reply hook may read.
pub(crate) fn request_map(request: &Request) -> Map {
    map([
        ("id", text(&request.id)),
        ("model", text(request.model())),
        ("operation", text(request.operation.name())),
        ("stream", request.head.stream.into()),
        ("text", request.text().into()),
    ])
}

/// Registers a getter.
macro_rules! get {
    ($engine:ident, $handle:ty, $name:literal, |$held:ident| $value:expr) => {
        $engine.register_get($name, |handle: &mut $handle| {
            let $held = &*handle.lock();
            Dynamic::from($value)
        });
    };
}

fn common<T: Send + Clone + 'static>(engine: &mut Engine) {
    engine.register_get("caller", |handle: &mut Handle<T>| caller(handle.lock().common.caller.as_deref()));
    engine.register_get("params", |handle: &mut Handle<T>| json(&handle.lock().common.params));
}

fn denying<T: Send + Clone + 'static>(engine: &mut Engine, verb: Verb) {
    if !Needs::Deny.met_by(verb) {
        return;
    }
    engine.register_fn("deny", |handle: &mut Handle<T>, message: &str| -> Fallible<()> {
        handle.lock().common.decided = Decided::Deny(None, message.to_owned());
        finish()
    });
    engine.register_fn("deny", |handle: &mut Handle<T>, status: i64, message: &str| -> Fallible<()> {
        let Some(status) = u16::try_from(status).ok().filter(|status| (400..600).contains(status)) else {
            return refuse("the status of a denial is from 400 to 599");
        };
        handle.lock().common.decided = Decided::Deny(Some(status), message.to_owned());
        finish()
    });
}

type Headers<T> = fn(&T) -> &HeaderMap;
type HeadersMut<T> = fn(&mut T) -> &mut HeaderMap;

fn headers<T: Send + Clone + 'static>(
    engine: &mut Engine,
    verb: Verb,
    read: Headers<T>,
    write: HeadersMut<T>,
) {
    engine.register_fn("header", move |handle: &mut Handle<T>, name: &str| {
        maybe(header(read(&handle.lock().thing), name).as_deref())
    });
    if !Needs::Edit.met_by(verb) {
        return;
    }
    engine.register_fn(
        "set_header",
        move |handle: &mut Handle<T>, name: &str, value: &str| -> Fallible<()> {
            match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                (Ok(name), Ok(value)) => {
                    write(handle.lock().edit()).insert(name, value);
                    Ok(())
                }
                _ => refuse("this is no header: a name of letters, digits and `-`, a value of one line"),
            }
        },
    );
    engine.register_fn("remove_header", move |handle: &mut Handle<T>, name: &str| {
        write(handle.lock().edit()).remove(name);
    });
}

/// Registers the handles as far as `verb` may use them.
pub(crate) fn register(engine: &mut Engine, verb: Verb) {
    engine.register_type_with_name::<RequestHandle>("request");
    engine.register_type_with_name::<ReplyHandle>("reply");
    engine.register_type_with_name::<EventHandle>("event");
    engine.register_type_with_name::<AttemptHandle>("attempt");
    engine.register_type_with_name::<EndHandle>("record");
    request(engine, verb);
    reply(engine, verb);
    event(engine, verb);
    attempt(engine, verb);
    end(engine);
}

fn request(engine: &mut Engine, verb: Verb) {
    common::<Request>(engine);
    denying::<Request>(engine, verb);
    headers::<Request>(
        engine,
        verb,
        |r| &r.headers,
        |r| {
            r.mark_edited();
            &mut r.headers
        },
    );
    get!(engine, RequestHandle, "id", |h| h.thing.id.to_string());
    get!(engine, RequestHandle, "operation", |h| h.thing.operation.name().to_owned());
    get!(engine, RequestHandle, "dialect", |h| h.thing.dialect.name().to_owned());
    get!(engine, RequestHandle, "path", |h| h.thing.path.to_string());
    get!(engine, RequestHandle, "stream", |h| h.thing.head.stream);
    get!(engine, RequestHandle, "model", |h| h.thing.model().to_owned());
    get!(engine, RequestHandle, "text", |h| h.thing.text());
    get!(engine, RequestHandle, "all_text", |h| h.thing.all_text());
    get!(engine, RequestHandle, "system", |h| h.thing.system());
    get!(engine, RequestHandle, "messages", |h| h
        .thing
        .messages()
        .iter()
        .map(|m| map([
            ("role", text(m.role.name())),
            ("text", m.text().into()),
            ("name", maybe(m.name.as_deref())),
        ])
        .into())
        .collect::<Array>());
    get!(engine, RequestHandle, "tools", |h| h.thing.chat().map_or_else(Array::new, |chat| chat
        .tools
        .iter()
        .map(|tool| text(&tool.name))
        .collect()));
    engine.register_fn("param", |handle: &mut RequestHandle, name: &str| {
        let held = handle.lock();
        let value = held.thing.params.get(name).and_then(|raw| serde_json::from_str(raw).ok());
        value.map_or(Dynamic::UNIT, |value| json(&value))
    });
    if !Needs::Edit.met_by(verb) {
        return;
    }
    engine.register_set("model", |handle: &mut RequestHandle, model: &str| {
        handle.lock().edit().set_model(model)
    });
    engine.register_set("text", |handle: &mut RequestHandle, text: &str| -> Fallible<()> {
        let mut held = handle.lock();
        // Methods that could change a text set it again, changed or not.
        if held.thing.text() == text {
            return Ok(());
        }
        let mut places = Vec::new();
        let last = held.thing.messages().iter().rposition(|message| message.role == Role::User);
        let is_chat = held.thing.chat().is_some();
        held.thing.each_text(|at| {
            let is_said = if is_chat { Some(at.message) == last } else { !at.is_beside() };
            if is_said {
                places.push(at.index);
            }
        });
        let Some((first, rest)) = places.split_first() else {
            return refuse("the request has no text to replace");
        };
        let request = held.edit();
        request.set_text(*first, text);
        for place in rest {
            request.set_text(*place, "");
        }
        Ok(())
    });
    let turns: [(&str, Role, bool); 3] = [
        ("system", Role::System, true),
        ("add_user", Role::User, false),
        ("add_assistant", Role::Assistant, false),
    ];
    for (name, role, front) in turns {
        engine.register_fn(name, move |handle: &mut RequestHandle, text: &str| {
            handle.lock().edit().add_message(role, text, front);
        });
    }
    engine.register_fn(
        "set_param",
        |handle: &mut RequestHandle, name: &str, value: Dynamic| -> Fallible<()> {
            let value: serde_json::Value = rhai::serde::from_dynamic(&value)?;
            handle.lock().edit().set_param(name, &value);
            Ok(())
        },
    );
    engine.register_fn("remove_param", |handle: &mut RequestHandle, name: &str| {
        handle.lock().edit().remove_param(name);
    });
}

fn reply(engine: &mut Engine, verb: Verb) {
    common::<Answer>(engine);
    denying::<Answer>(engine, verb);
    headers::<Answer>(
        engine,
        verb,
        |a| &a.reply.headers,
        |a| {
            a.reply.mark_edited();
            &mut a.reply.headers
        },
    );
    get!(engine, ReplyHandle, "status", |h| i64::from(h.thing.reply.status));
    get!(engine, ReplyHandle, "text", |h| h.thing.reply.text());
    get!(engine, ReplyHandle, "cached", |h| h.thing.reply.cached);
    get!(engine, ReplyHandle, "finish", |h| maybe(h.thing.reply.finish().map(|f| f.name())));
    get!(engine, ReplyHandle, "model", |h| maybe(h.thing.reply.model.as_deref()));
    get!(engine, ReplyHandle, "usage", |h| h.thing.reply.usage.as_ref().map_or(Dynamic::UNIT, usage));
    get!(engine, ReplyHandle, "request", |h| h.thing.request.clone());
    get!(engine, ReplyHandle, "tool_calls", |h| h
        .thing
        .reply
        .tool_calls()
        .map(|call| map([
            ("id", text(&call.id)),
            ("name", text(&call.name)),
            ("arguments", text(call.arguments.as_str())),
        ])
        .into())
        .collect::<Array>());
    if Needs::Edit.met_by(verb) {
        engine.register_set("text", |handle: &mut ReplyHandle, text: &str| -> Fallible<()> {
            let mut held = handle.lock();
            if held.thing.reply.text() == text || held.edit().reply.set_text(text) {
                Ok(())
            } else {
                refuse("the reply has no text to replace")
            }
        });
    }
}

fn event(engine: &mut Engine, verb: Verb) {
    common::<Piece>(engine);
    denying::<Piece>(engine, verb);
    get!(engine, EventHandle, "kind", |h| h.thing.kind.to_owned());
    get!(engine, EventHandle, "text", |h| h.thing.text.clone());
    get!(engine, EventHandle, "block", |h| maybe(h.thing.block));
    get!(engine, EventHandle, "choice", |h| h.thing.choice);
    if Needs::Edit.met_by(verb) {
        engine.register_set("text", |handle: &mut EventHandle, text: &str| -> Fallible<()> {
            let mut held = handle.lock();
            if held.thing.block.is_none() {
                return refuse("the event has no text to replace");
            }
            if held.thing.text != text {
                held.edit().text = text.to_owned();
            }
            Ok(())
        });
    }
}

fn attempt(engine: &mut Engine, verb: Verb) {
    common::<Try>(engine);
    headers::<Try>(engine, verb, |t| &t.headers, |t| &mut t.headers);
    get!(engine, AttemptHandle, "n", |h| i64::from(h.thing.attempt.n));
    get!(engine, AttemptHandle, "provider", |h| h.thing.attempt.provider.to_string());
    get!(engine, AttemptHandle, "region", |h| maybe(h.thing.attempt.region.as_deref()));
    get!(engine, AttemptHandle, "model", |h| h.thing.attempt.model.to_string());
    if Needs::Deny.met_by(verb) {
        engine.register_fn("rule_out", |handle: &mut AttemptHandle, why: &str| -> Fallible<()> {
            handle.lock().common.decided = Decided::RuleOut(why.to_owned());
            finish()
        });
    }
}

fn end(engine: &mut Engine) {
    common::<Trace>(engine);
    get!(engine, EndHandle, "pipeline", |h| h.thing.pipeline.to_string());
    get!(engine, EndHandle, "outcome", |h| h.thing.outcome.name().to_owned());
    get!(engine, EndHandle, "error", |h| maybe(h.thing.error.as_deref()));
    get!(engine, EndHandle, "usage", |h| {
        let mut sum = Usage::default();
        for one in h.thing.attempts.iter().filter_map(|a| a.usage) {
            sum.input = sum.input.saturating_add(one.input);
            sum.cached_input = sum.cached_input.saturating_add(one.cached_input);
            sum.cache_write = sum.cache_write.saturating_add(one.cache_write);
            sum.output = sum.output.saturating_add(one.output);
            sum.reasoning = sum.reasoning.saturating_add(one.reasoning);
        }
        usage(&sum)
    });
    get!(engine, EndHandle, "cost", |h| {
        h.thing.attempts.iter().filter_map(|a| a.cost).fold(Money::ZERO, |a, b| a + b).dollars()
    });
    get!(engine, EndHandle, "attempts", |h| h
        .thing
        .attempts
        .iter()
        .map(|a| map([
            ("n", i64::from(a.n).into()),
            ("provider", text(&a.provider)),
            ("model", text(&a.model)),
            ("cause", maybe(a.cause.map(|cause| cause.name()))),
            ("status", a.status.map_or(Dynamic::UNIT, |status| i64::from(status).into())),
        ])
        .into())
        .collect::<Array>());
    get!(engine, EndHandle, "stages", |h| h
        .thing
        .stages
        .iter()
        .map(|s| map([
            ("name", text(&s.name)),
            ("verb", text(s.verb.name())),
            ("decision", text(s.decision.name())),
            ("reason", maybe(s.reason.as_deref())),
        ])
        .into())
        .collect::<Array>());
}
