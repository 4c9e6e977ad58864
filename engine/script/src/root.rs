//! The roots of the view: what they are, and in which hooks each exists.

use crate::object::{
    ATTEMPT, ATTEMPT_TYPE, CALLER, CLIENT, Context, EVENT, LEDGER, LIMITS, Object, REPLY, REQUEST, SOURCE,
    SPEND, TOOL_CALL, TRACE, UPSTREAM_TYPE,
};
use crate::reads::Reads;
use crate::types::Type;
use crate::value::{List, Map, Value};

/// Where an expression stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HookKind {
    /// The `when:` of a pipeline.
    Match,
    /// The `when:` of a frame or a stage.
    Condition,
    /// A stage's request hook.
    Request,
    /// A rule for one call of a tool.
    Call,
    /// A stage of `attempt:`.
    Attempt,
    /// A stage's hook for whole replies.
    Reply,
    /// A stage's hook for events of a stream.
    Event,
    /// The end of a request, and observers.
    End,
    /// An expectation of a case.
    Case,
}

impl HookKind {
    /// All of them, in the order in which they come.
    pub const ALL: &[HookKind] = &[
        HookKind::Match,
        HookKind::Condition,
        HookKind::Request,
        HookKind::Call,
        HookKind::Attempt,
        HookKind::Reply,
        HookKind::Event,
        HookKind::End,
        HookKind::Case,
    ];

    /// The name in the reference and in messages.
    pub fn name(self) -> &'static str {
        match self {
            HookKind::Match => "when",
            HookKind::Condition => "stage when",
            HookKind::Request => "request",
            HookKind::Call => "call",
            HookKind::Attempt => "attempt",
            HookKind::Reply => "reply",
            HookKind::Event => "event",
            HookKind::End => "end",
            HookKind::Case => "case",
        }
    }
}

/// A root of the view.
pub(crate) struct Root {
    pub(crate) name: &'static str,
    pub(crate) ty: Type,
    pub(crate) doc: &'static str,
    pub(crate) hooks: &'static [HookKind],
    pub(crate) reads: Reads,
    pub(crate) read: for<'a> fn(&Context<'a>) -> Value<'a>,
}

impl std::fmt::Debug for Root {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Root({})", self.name)
    }
}

use HookKind::{Attempt, Call, Case, Condition, End, Event, Reply, Request};

const ALWAYS: &[HookKind] = HookKind::ALL;
const INSIDE: &[HookKind] = &[Condition, Request, Call, Attempt, Reply, Event, End, Case];
/// Where attempts exist.
pub(crate) const ROUTED: &[HookKind] = &[Attempt, Reply, Event, End, Case];
const REPLIED: &[HookKind] = &[Reply, End, Case];

/// Every root.
pub(crate) static ROOTS: &[Root] = &[
    Root {
        name: "request",
        ty: Type::Object(&REQUEST),
        doc: "The request as it is now.",
        hooks: ALWAYS,
        reads: Reads::NONE,
        read: |cx| Value::Object(Object::Request(cx.view.request)),
    },
    Root {
        name: "original",
        ty: Type::Object(&REQUEST),
        doc: "The request as it came in, before any stage edited it.",
        hooks: ALWAYS,
        reads: Reads::ORIGINAL,
        read: |cx| Value::Object(Object::Request(cx.view.original.unwrap_or(cx.view.request))),
    },
    Root {
        name: "caller",
        ty: Type::Object(&CALLER),
        doc: "Who calls; null if nobody was identified.",
        hooks: ALWAYS,
        reads: Reads::CALLER,
        read: |cx| {
            Value::opt(cx.view.request.caller.as_deref(), |caller| Value::Object(Object::Caller(caller)))
        },
    },
    Root {
        name: "source",
        ty: Type::Object(&SOURCE),
        doc: "Where the request came from; null if it is not known.",
        hooks: ALWAYS,
        reads: Reads::NONE,
        read: |cx| {
            Value::opt(cx.view.request.source.as_ref(), |source| Value::Object(Object::Source(source)))
        },
    },
    Root {
        name: "listener",
        ty: Type::String,
        doc: "The name of the listener that the request came in by.",
        hooks: ALWAYS,
        reads: Reads::NONE,
        read: |cx| Value::str(&cx.view.request.listener),
    },
    Root {
        name: "now",
        ty: Type::Timestamp,
        doc: "The time.",
        hooks: ALWAYS,
        reads: Reads::NOW,
        read: |cx| Value::Timestamp(cx.view.now_unix_nanos),
    },
    Root {
        name: "params",
        ty: Type::Map(&Type::Any),
        doc: "The parameters of the policy.",
        hooks: ALWAYS,
        reads: Reads::NONE,
        read: |cx| match cx.view.params {
            serde_json::Value::Object(map) => Value::Map(Map::Json(map)),
            _ => Value::Map(Map::Empty),
        },
    },
    Root {
        name: "revision",
        ty: Type::String,
        doc: "The revision of the policy set.",
        hooks: ALWAYS,
        reads: Reads::NONE,
        read: |cx| Value::str(cx.view.revision),
    },
    Root {
        name: "limits",
        ty: Type::Object(&LIMITS),
        doc: "What is left of limits: `limits.stage(\"name\")` of the pipeline's stages that limit.",
        hooks: INSIDE,
        reads: Reads::LIMITS,
        read: |cx| Value::opt(cx.view.counters, |counters| Value::Object(Object::Limits(counters))),
    },
    Root {
        name: "spend",
        ty: Type::Object(&SPEND),
        doc: "What was spent: `spend.today` by the caller, `spend.request` by this request (where `attempts` exist).",
        hooks: INSIDE,
        reads: Reads::NONE,
        read: |cx| Value::Object(Object::Spend(cx.view.attempts)),
    },
    Root {
        name: "tags",
        ty: Type::List(&Type::String),
        doc: "Tags that guards gave the request so far (`then: tag`).",
        hooks: INSIDE,
        reads: Reads::TRACE,
        read: |cx| Value::List(List::Names(cx.view.trace.map_or(&[], |trace| &trace.tags))),
    },
    Root {
        name: "call",
        ty: Type::Object(&TOOL_CALL),
        doc: "The call of a tool that is judged (`guard: tools`).",
        hooks: &[Call],
        reads: Reads::NONE,
        read: |cx| Value::opt(cx.view.call, |call| Value::Object(Object::ToolCall(call))),
    },
    Root {
        name: "attempt",
        ty: Type::Object(&ATTEMPT),
        doc: "The attempt under way, or the last one; null if there was none (a cache hit).",
        hooks: ROUTED,
        reads: Reads::ATTEMPTS,
        read: |cx| {
            Value::opt(cx.view.attempt.or(cx.view.attempts.last()), |attempt| {
                Value::Object(Object::Attempt(attempt))
            })
        },
    },
    Root {
        name: "attempts",
        ty: Type::List(&ATTEMPT_TYPE),
        doc: "All attempts so far.",
        hooks: ROUTED,
        reads: Reads::ATTEMPTS,
        read: |cx| Value::List(List::Attempts(cx.view.attempts)),
    },
    Root {
        name: "reply",
        ty: Type::Object(&REPLY),
        doc: "The whole reply; null at the end of a request that got none.",
        hooks: REPLIED,
        reads: Reads::REPLY,
        read: |cx| Value::opt(cx.view.reply, |reply| Value::Object(Object::Reply(reply))),
    },
    Root {
        name: "event",
        ty: Type::Object(&EVENT),
        doc: "The event of a stream.",
        hooks: &[Event],
        reads: Reads::EVENT,
        read: |cx| Value::opt(cx.view.event, |event| Value::Object(Object::Event(event))),
    },
    Root {
        name: "trace",
        ty: Type::Object(&TRACE),
        doc: "What each stage did.",
        hooks: &[End, Case],
        reads: Reads::TRACE,
        read: |cx| Value::opt(cx.view.trace, |trace| Value::Object(Object::Trace(trace))),
    },
    Root {
        name: "client",
        ty: Type::Object(&CLIENT),
        doc: "What the client got.",
        hooks: &[Case],
        reads: Reads::NONE,
        read: |cx| Value::opt(cx.view.client, |client| Value::Object(Object::Client(client))),
    },
    Root {
        name: "upstream",
        ty: Type::List(&UPSTREAM_TYPE),
        doc: "What was sent upstream, in order.",
        hooks: &[Case],
        reads: Reads::NONE,
        read: |cx| Value::List(List::Upstream(cx.view.upstream)),
    },
    Root {
        name: "ledger",
        ty: Type::Object(&LEDGER),
        doc: "What was booked.",
        hooks: &[Case],
        reads: Reads::NONE,
        read: |cx| Value::opt(cx.view.ledger, |ledger| Value::Object(Object::Ledger(ledger))),
    },
];

/// The root with this name.
pub(crate) fn root(name: &str) -> Option<&'static Root> {
    ROOTS.iter().find(|root| root.name == name)
}
