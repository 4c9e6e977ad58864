//! The objects of the view: which fields they have, of which type, what they mean, and how each is read.
//!
//! One table per object is checker, reader and reference at once.

use crate::budget::Budget;
use crate::memo::Memo;
use crate::reads::Reads;
use crate::types::Type;
use crate::value::{List, Map, Value};
use crate::view::{
    Client, ClientError, Counters, EventView, Ledger, Limit, Payer, Services, Spent, StageLimits,
    UpstreamCall, View,
};
use std::net::SocketAddr;
use std::sync::Arc;
use weir_message::{
    Attempt, Body, Caller, Choice, Finish, Message, Part, Reply, Request, StageTrace, Tool, ToolCall, Trace,
    Usage,
};

/// What readers may use.
pub(crate) struct Context<'a> {
    pub(crate) view: &'a View<'a>,
    pub(crate) services: &'a dyn Services,
    pub(crate) budget: Budget,
    pub(crate) memo: Memo,
}

/// A kind of object.
pub(crate) struct ObjectDef {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) fields: &'static [Field],
    as_type: &'static Type,
}

// By name: types refer to each other in circles.
impl std::fmt::Debug for ObjectDef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ObjectDef({})", self.name)
    }
}

impl ObjectDef {
    pub(crate) fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    pub(crate) fn as_type(&self) -> &'static Type {
        self.as_type
    }
}

type Read = for<'a> fn(Object<'a>, &Context<'a>) -> Value<'a>;

/// A field of an object.
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) ty: Type,
    pub(crate) doc: &'static str,
    pub(crate) reads: Reads,
    pub(crate) read: Read,
}

impl std::fmt::Debug for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Field({})", self.name)
    }
}

macro_rules! objects {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident $variant:ident($var:ident: $held:ty), $cx:ident = $text:literal {
            $($field:ident: $ty:expr, $reads:expr, $fdoc:literal => $read:expr;)+
        }
    )+) => {
        /// An object, borrowed from the view.
        #[derive(Clone, Copy, Debug)]
        pub(crate) enum Object<'a> { $($variant($held),)+ }

        impl Object<'_> {
            /// What fields it has.
            pub(crate) fn def(&self) -> &'static ObjectDef {
                match self { $(Object::$variant(_) => &$name,)+ }
            }
        }

        /// Every kind of object, for the reference.
        pub(crate) static OBJECTS: &[&ObjectDef] = &[$(&$name,)+];

        $(
            $(#[doc = $doc])+
            pub(crate) static $name: ObjectDef = ObjectDef {
                name: $text,
                doc: concat!($($doc,)+),
                fields: &[$(Field {
                    name: stringify!($field),
                    ty: $ty,
                    doc: $fdoc,
                    reads: $reads,
                    read: {
                        #[allow(unused_variables, reason = "most fields need no context")]
                        fn read<'a>(object: Object<'a>, $cx: &Context<'a>) -> Value<'a> {
                            match object {
                                Object::$variant($var) => $read,
                                _ => Value::Null,
                            }
                        }
                        read
                    },
                },)+],
                as_type: { static TYPE: Type = Type::Object(&$name); &TYPE },
            };
        )+
    };
}

const NONE: Reads = Reads::NONE;
const STRINGS: Type = Type::List(&Type::String);
const HEADERS: Type = Type::Map(&Type::String);
const ANY_MAP: Type = Type::Map(&Type::Any);

static MESSAGE_TYPE: Type = Type::Object(&MESSAGE);
static TOOL_TYPE: Type = Type::Object(&TOOL);
static TOOL_CALL_TYPE: Type = Type::Object(&TOOL_CALL);
static CHOICE_TYPE: Type = Type::Object(&CHOICE);
static STAGE_TYPE: Type = Type::Object(&STAGE);
pub(crate) static ATTEMPT_TYPE: Type = Type::Object(&ATTEMPT);
pub(crate) static UPSTREAM_TYPE: Type = Type::Object(&UPSTREAM);

objects! {
    /// A request: as it is now, as it came in, or as it went upstream.
    REQUEST Request(r: &'a Request), cx = "request" {
        id: Type::String, NONE, "The request's id." => Value::str(&r.id);
        operation: Type::String, NONE, "What it asks for: `chat`, `completion`, `embedding` …" => Value::str(r.operation.name());
        dialect: Type::String, NONE, "The wire format it came in: `openai` …" => Value::str(r.dialect.name());
        model: Type::String, NONE, "The model asked for; empty if none is named." => Value::str(r.model());
        stream: Type::Bool, NONE, "Whether the reply is to be streamed." => Value::Bool(r.head.stream);
        method: Type::String, NONE, "The HTTP method." => Value::str(r.method.as_str());
        path: Type::String, NONE, "The path, without the query." => Value::str(&r.path);
        query: Type::String, NONE, "The query; null if there is none." => Value::opt(r.query.as_ref(), |q| Value::str(q));
        size: Type::Int, NONE, "The bytes of the body as it came." => Value::uint_as_int(r.raw.len() as u64);
        headers: HEADERS, Reads::HEADERS, "Headers by name, in any case; credentials read as `…`." => Value::Map(Map::Headers(&r.headers));
        messages: Type::List(&MESSAGE_TYPE), Reads::BODY.and(Reads::TURNS), "The turns of a conversation, oldest first." => Value::List(List::Messages(r.messages()));
        system: Type::String, Reads::BODY.and(Reads::TURNS), "The words of all system and developer turns." => built_of(r, "system", Request::system, cx);
        text: Type::String, Reads::BODY.and(Reads::TEXTS), "The words of the last user turn; of other operations all inputs." => request_text(r, cx);
        all_text: Type::String, Reads::BODY.and(Reads::TEXTS), "Every text of the request, one a line: turns, tool results, arguments, inputs; then every other string of the body: descriptions of tools, words of schemas, names, metadata, unknown fields." => built_of(r, "all_text", Request::all_text, cx);
        tools: Type::List(&TOOL_TYPE), Reads::BODY, "The tools offered." => Value::List(List::Tools(r.chat().map_or(&[], |chat| &chat.tools)));
        params: ANY_MAP, Reads::BODY, "The other top-level fields: `temperature`, `max_tokens` …" => Value::Map(Map::Params(&r.params));
        tokens: Type::Int, Reads::BODY.and(Reads::TOKENS).and(Reads::TEXTS), "The tokens of the request, counted for its model." => Value::uint_as_int(cx.memo.tokens(r, || cx.services.request_tokens(r)));
    }
    /// One turn of a conversation.
    MESSAGE Message(m: &'a Message), cx = "message" {
        role: Type::String, NONE, "`system`, `developer`, `user`, `assistant` or `tool`." => Value::str(m.role.name());
        text: Type::String, NONE, "The words of the turn." => message_text(m, cx);
        name: Type::String, NONE, "The name of the speaker; null if not given." => Value::opt(m.name.as_ref(), |n| Value::str(n));
        plain: Type::Bool, NONE, "Whether it is words alone: no image, call or result." => Value::Bool(m.is_plain());
        tool_calls: Type::List(&TOOL_CALL_TYPE), NONE, "The calls that the model made in this turn." => Value::tool_calls(calls(&m.parts));
    }
    /// A tool that the model may call.
    TOOL Tool(t: &'a Tool), cx = "tool" {
        name: Type::String, NONE, "Its name." => Value::str(&t.name);
        description: Type::String, NONE, "Its description; null if not given." => Value::opt(t.description.as_ref(), |d| Value::str(d));
        definition: Type::Any, NONE, "Its whole definition as JSON." => parsed(&t.raw, cx);
    }
    /// A call of a tool by the model.
    TOOL_CALL ToolCall(c: &'a ToolCall), cx = "tool call" {
        id: Type::String, NONE, "The call's id." => Value::str(&c.id);
        name: Type::String, NONE, "The tool's name." => Value::str(&c.name);
        arguments: Type::String, NONE, "Its arguments: a JSON document as text; see `json.parse`." => Value::str(c.arguments.as_str());
        args: Type::Any, NONE, "Its arguments as a value: `args.to`; null if they are no JSON." => parsed(c.arguments.as_str(), cx);
    }
    /// Who calls; null if nobody was identified.
    CALLER Caller(c: &'a Caller), cx = "caller" {
        by: Type::String, NONE, "How they were identified: `key` …" => Value::str(&c.by);
        key: Type::String, NONE, "The key's name, never its value; null if there is none." => name(c.key.as_ref());
        user: Type::String, NONE, "The user; null if not known." => name(c.user.as_ref());
        team: Type::String, NONE, "The team; null if there is none." => name(c.team.as_ref());
        project: Type::String, NONE, "The project; null if there is none." => name(c.project.as_ref());
        tags: ANY_MAP, NONE, "Attributes given with the key." => Value::Map(Map::Tags(&c.tags));
        claims: ANY_MAP, NONE, "Claims of a token." => Value::Map(Map::Json(&c.claims));
        models: STRINGS, NONE, "Models this caller may ask for; empty: all." => Value::List(List::Names(&c.models));
    }
    /// Where the request came from; null if it is not known.
    SOURCE Source(s: &'a SocketAddr), cx = "source" {
        address: Type::String, NONE, "The client's IP address; see `inCidr`." => Value::string(s.ip().to_string());
        port: Type::Int, NONE, "The client's port." => Value::Int(i64::from(s.port()));
    }
    /// One try at one target.
    ATTEMPT Attempt(a: &'a Attempt), cx = "attempt" {
        n: Type::Int, NONE, "Its number, from 1." => Value::Int(i64::from(a.n));
        provider: Type::Object(&PROVIDER), NONE, "The provider: `provider.name`, `provider.region`." => Value::Object(Object::Provider(a));
        model: Type::String, NONE, "The upstream model's name." => Value::str(&a.model);
        cause: Type::String, NONE, "Why it failed (`timeout`, `rate-limited` …); null while under way or when it succeeded." => Value::opt(a.cause, |c| Value::str(c.name()));
        status: Type::Int, NONE, "The provider's HTTP status; null until known." => Value::opt(a.status, |s| Value::Int(i64::from(s)));
        took: Type::Duration, NONE, "How long it took; null until it ended." => Value::opt(a.took, |t| Value::Duration(i64::try_from(t.as_nanos()).unwrap_or(i64::MAX)));
        usage: Type::Object(&USAGE), Reads::USAGE, "Tokens spent; null until known." => Value::opt(a.usage.as_ref(), |u| Value::Object(Object::Usage(u)));
        cost: Type::Double, Reads::USAGE, "Dollars spent; null until known and priced." => Value::opt(a.cost, |c| Value::Double(c.dollars()));
    }
    /// The provider of an attempt.
    PROVIDER Provider(a: &'a Attempt), cx = "provider" {
        name: Type::String, NONE, "Its name in the policy set." => Value::str(&a.provider);
        region: Type::String, NONE, "Its region; null if the set states none." => name(a.region.as_ref());
    }
    /// Tokens spent.
    USAGE Usage(u: &'a Usage), cx = "usage" {
        input: Type::Int, NONE, "Input tokens, cached ones included." => Value::uint_as_int(u.input);
        cached_input: Type::Int, NONE, "Of the input, those read from the provider's cache." => Value::uint_as_int(u.cached_input);
        cache_write: Type::Int, NONE, "Tokens written to the provider's cache." => Value::uint_as_int(u.cache_write);
        output: Type::Int, NONE, "Output tokens, reasoning included." => Value::uint_as_int(u.output);
        reasoning: Type::Int, NONE, "Of the output, those spent on reasoning." => Value::uint_as_int(u.reasoning);
        total: Type::Int, NONE, "Input and output together." => Value::uint_as_int(u.total());
        counted: Type::Bool, NONE, "Whether Weir counted them because the provider did not say." => Value::Bool(u.counted);
    }
    /// What was spent: by this request, and today. A day is one of UTC, and counts from when the gateway started.
    SPEND Spend(attempts: &'a [Attempt]), cx = "spend" {
        request: Type::Object(&SPENT), Reads::ATTEMPTS.and(Reads::USAGE), "What this request has spent so far, over all attempts." => Value::Object(Object::Spent(spent(attempts)));
        today: Type::Object(&TODAY), Reads::SPENT, "What was spent today, by requests that ended." => Value::opt(cx.view.counters, |counters| Value::Object(Object::Today(counters)));
    }
    /// What was spent today, by whom: `spend.today.team.cost`.
    TODAY Today(c: &'a dyn Counters), cx = "today" {
        key: Type::Object(&SPENT), NONE, "By the caller's key; null if there is none." => today(c, Payer::Key);
        user: Type::Object(&SPENT), NONE, "By the caller's user; null if not known." => today(c, Payer::User);
        team: Type::Object(&SPENT), NONE, "By the caller's team; null if there is none." => today(c, Payer::Team);
        everyone: Type::Object(&SPENT), NONE, "By all callers." => today(c, Payer::Everyone);
    }
    /// Tokens and money.
    SPENT Spent(s: Spent), cx = "spent" {
        input: Type::Int, NONE, "Input tokens." => Value::uint_as_int(s.input);
        output: Type::Int, NONE, "Output tokens." => Value::uint_as_int(s.output);
        total: Type::Int, NONE, "Input and output tokens." => Value::uint_as_int(s.input.saturating_add(s.output));
        cost: Type::Double, NONE, "Dollars, as far as priced." => Value::Double(s.cost.dollars());
    }
    /// A whole reply.
    REPLY Reply(r: &'a Reply), cx = "reply" {
        status: Type::Int, NONE, "The HTTP status." => Value::Int(i64::from(r.status));
        headers: HEADERS, NONE, "Headers by name, in any case; credentials read as `…`." => Value::Map(Map::Headers(&r.headers));
        model: Type::String, NONE, "The model that answered, as the provider names it; null if not said." => Value::opt(r.model.as_ref(), |m| Value::str(m));
        text: Type::String, Reads::REPLY_BODY, "The words of the first choice." => reply_text(r, cx);
        messages: Type::List(&CHOICE_TYPE), Reads::REPLY_BODY, "All choices." => Value::List(List::Choices(r.choices()));
        tool_calls: Type::List(&TOOL_CALL_TYPE), Reads::REPLY_BODY, "The tool calls of the first choice." => Value::tool_calls(r.tool_calls());
        finish: Type::String, Reads::REPLY_BODY, "Why the first choice ended: `stop`, `length`, `tool-calls`, `content-filter`, `paused`, `other`; null if not said." => finish(r.finish());
        usage: Type::Object(&USAGE), Reads::USAGE, "Tokens spent; null if not known." => Value::opt(r.usage.as_ref(), |u| Value::Object(Object::Usage(u)));
        cost: Type::Double, Reads::USAGE.and(Reads::ATTEMPTS), "Dollars that the last attempt cost; null if not priced." => Value::opt(cx.view.attempt.or(cx.view.attempts.last()).and_then(|a| a.cost), |c| Value::Double(c.dollars()));
        cached: Type::Bool, NONE, "Whether it came from a cache." => Value::Bool(r.cached);
    }
    /// One choice of a reply.
    CHOICE Choice(c: &'a Choice), cx = "choice" {
        index: Type::Int, NONE, "Its number, from 0." => Value::Int(i64::from(c.index));
        text: Type::String, NONE, "Its words." => choice_text(c, cx);
        finish: Type::String, NONE, "Why it ended; null if not said." => finish(c.finish);
        tool_calls: Type::List(&TOOL_CALL_TYPE), NONE, "Its tool calls." => Value::tool_calls(calls(&c.parts));
    }
    /// One event of a stream.
    EVENT Event(e: EventView<'a>), cx = "event" {
        kind: Type::String, NONE, "`content`, `usage`, `done`, `keep-alive`, `error` or `other`." => Value::str(e.kind.name());
        text: Type::String, NONE, "Its piece of text; empty if it has none." => Value::str(e.text);
        block: Type::String, NONE, "What the text belongs to: `text`, `reasoning`, `refusal`, `arguments`; null if it has none." => Value::opt(e.block, |b| Value::str(b.kind.name()));
        choice: Type::Int, NONE, "The choice that the text belongs to; null if it has none." => Value::opt(e.block, |b| Value::Int(i64::from(b.choice)));
    }
    /// All decisions of one request.
    TRACE Trace(t: &'a Trace), cx = "trace" {
        pipeline: Type::String, NONE, "The pipeline's name; empty when none matched." => Value::str(&t.pipeline);
        stages: Type::List(&STAGE_TYPE), NONE, "The stages in written order; one of them: `trace.stage(\"name\")`." => Value::List(List::Stages(&t.stages));
        attempts: Type::List(&ATTEMPT_TYPE), NONE, "Every try." => Value::List(List::Attempts(&t.attempts));
        outcome: Type::String, NONE, "`replied`, `answered`, `denied`, `failed`, `cancelled` or `open`." => Value::str(t.outcome.name());
        error: Type::String, NONE, "`error.code` of the refusal; null if it was not refused." => Value::opt(t.error.as_deref(), Value::str);
        detail: Type::String, NONE, "What a fault says to the operator; null if there was none." => Value::opt(t.detail.as_deref(), Value::str);
        said: Type::String, NONE, "What the last provider that failed said of it, cut short; it may quote the prompt. Null if none did." => Value::opt(t.said.as_deref(), Value::str);
        tags: STRINGS, NONE, "Tags that guards gave the request." => Value::List(List::Names(&t.tags));
        dropped: STRINGS, NONE, "Fields that a change of dialect could not carry, and `logprobs` that spelt words which a stage has changed." => Value::List(List::Strings(&t.dropped));
    }
    /// What one stage did.
    STAGE Stage(s: &'a StageTrace), cx = "stage" {
        name: Type::String, NONE, "Its name." => Value::str(&s.name);
        verb: Type::String, NONE, "Its verb." => Value::str(s.verb.name());
        body: Type::String, NONE, "What it runs: a built-in's name, `cel` or `rhai`." => Value::str(&s.body);
        mode: Type::String, NONE, "`enforce`, `shadow` or `off`." => Value::str(s.mode.name());
        decision: Type::String, NONE, "`not-reached`, `skipped`, `passed`, `edited`, `answered`, `denied`, `faulted` or `fault-skipped`." => Value::str(s.decision.name());
        reason: Type::String, NONE, "Why; null if it did not say." => Value::opt(s.reason.as_deref(), Value::str);
        took: Type::Duration, NONE, "Time spent in its hooks." => Value::Duration(i64::try_from(s.took.as_nanos()).unwrap_or(i64::MAX));
        facts: ANY_MAP, NONE, "Facts that it gave: similarity, finds, counts." => Value::Map(Map::Facts(&s.facts));
    }
    /// What the client of a case got.
    CLIENT Client(c: &'a Client), cx = "client" {
        status: Type::Int, NONE, "The HTTP status." => Value::Int(i64::from(c.status));
        headers: HEADERS, NONE, "Headers by name." => Value::Map(Map::Headers(&c.headers));
        body: Type::String, NONE, "The whole body." => Value::str(&c.body);
        text: Type::String, NONE, "The words of the answer; of a stream put together." => Value::str(&c.text);
        events: STRINGS, NONE, "The data of each event of a stream." => Value::List(List::Strings(&c.events));
        error: Type::Object(&CLIENT_ERROR), NONE, "The error; null if it got none." => Value::opt(c.error.as_ref(), |e| Value::Object(Object::ClientError(e)));
    }
    /// An error as a client sees it.
    CLIENT_ERROR ClientError(e: &'a ClientError), cx = "client error" {
        code: Type::String, NONE, "`error.code`." => Value::str(&e.code);
        message: Type::String, NONE, "`error.message`." => Value::str(&e.message);
    }
    /// A request that the scripted upstream of a case got.
    UPSTREAM Upstream(u: &'a UpstreamCall), cx = "upstream call" {
        provider: Type::String, NONE, "The provider's name." => Value::str(&u.provider);
        model: Type::String, NONE, "The upstream model's name." => Value::str(&u.model);
        request: Type::Object(&REQUEST), NONE, "What was sent." => Value::Object(Object::Request(&u.request));
        path: Type::String, NONE, "The path it was sent to." => Value::str(&u.path);
        headers: HEADERS, NONE, "The headers it was sent with." => Value::Map(Map::Headers(&u.headers));
    }
    /// What a case booked.
    LEDGER Ledger(l: &'a Ledger), cx = "ledger" {
        usage: Type::Object(&USAGE), NONE, "Tokens." => Value::Object(Object::Usage(&l.usage));
        cost: Type::Double, NONE, "Dollars." => Value::Double(l.cost.dollars());
    }
    /// One count of a limit.
    LIMIT Limit(l: Limit), cx = "limit" {
        max: Type::Int, NONE, "What may be used in the window." => Value::uint_as_int(l.max);
        used: Type::Int, NONE, "What is used." => Value::uint_as_int(l.used);
        remaining: Type::Int, NONE, "What is left." => Value::uint_as_int(l.remaining());
    }
    /// What a stage that limits has left for this request. `max`, `used` and `remaining` are those of the limit with least left in proportion.
    STAGE_LIMITS StageLimits(l: StageLimits), cx = "stage limits" {
        max: Type::Int, NONE, "What may be used in the window." => Value::uint_as_int(l.tightest().max);
        used: Type::Int, NONE, "What is used." => Value::uint_as_int(l.tightest().used);
        remaining: Type::Int, NONE, "What is left." => Value::uint_as_int(l.tightest().remaining());
        requests: Type::Object(&LIMIT), NONE, "Of its limits of requests the tightest; null if it has none." => Value::opt(l.requests, |l| Value::Object(Object::Limit(l)));
        tokens: Type::Object(&LIMIT), NONE, "Of its limits of tokens the tightest; null if it has none." => Value::opt(l.tokens, |l| Value::Object(Object::Limit(l)));
    }
    /// What is left of limits, by the name of the stage that keeps them: `limits.stage("rate").remaining`.
    LIMITS Limits(_l: &'a dyn Counters), cx = "limits" {
        known: Type::Bool, NONE, "Whether any counts are kept here." => Value::Bool(true);
    }
}

impl std::fmt::Debug for dyn Counters + '_ {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Counters")
    }
}

fn name(name: Option<&Arc<str>>) -> Value<'_> {
    Value::opt(name, |name| Value::str(name))
}

fn finish<'a>(finish: Option<Finish>) -> Value<'a> {
    Value::opt(finish, |finish| Value::str(finish.name()))
}

/// A text that had to be put together: it costs what it is long.
fn built<'a>(text: String, cx: &Context<'a>) -> Value<'a> {
    cx.budget.book((text.len() / 256) as u64);
    Value::string(text)
}

/// The same of a request, put together once.
fn built_of<'a>(
    request: &Request,
    name: &'static str,
    build: impl FnOnce(&Request) -> String,
    cx: &Context<'a>,
) -> Value<'a> {
    let (value, is_new) = cx.memo.text(request, name, build);
    if let (Value::Text(text), true) = (&value, is_new) {
        cx.budget.book((text.as_str().len() / 256) as u64 + request.messages().len() as u64);
    }
    value
}

fn parsed<'a>(json: &str, cx: &Context<'a>) -> Value<'a> {
    cx.budget.book((json.len() / 8) as u64);
    serde_json::from_str(json).map_or(Value::Null, Value::json_owned)
}

fn calls(parts: &[Part]) -> impl Iterator<Item = &ToolCall> {
    parts.iter().filter_map(|part| match part {
        Part::ToolCall(call) => Some(call),
        _ => None,
    })
}

fn spent(attempts: &[Attempt]) -> Spent {
    attempts.iter().fold(Spent::default(), |sum, attempt| {
        let usage = attempt.usage.unwrap_or_default();
        Spent {
            input: sum.input.saturating_add(usage.input),
            output: sum.output.saturating_add(usage.output),
            cost: sum.cost + attempt.cost.unwrap_or_default(),
        }
    })
}

fn today<'a>(counters: &dyn Counters, payer: Payer) -> Value<'a> {
    Value::opt(counters.spent_today(payer), |spent| Value::Object(Object::Spent(spent)))
}

/// The words of a turn; borrowed when it has only one text, as nearly all have.
fn message_text<'a>(message: &'a Message, cx: &Context<'a>) -> Value<'a> {
    match message.parts.as_slice() {
        [Part::Text(text)] => Value::str(text.as_str()),
        [] => Value::str(""),
        _ => built(message.text(), cx),
    }
}

fn request_text<'a>(request: &'a Request, cx: &Context<'a>) -> Value<'a> {
    match &request.body {
        Body::Chat(_) => request.last_user().map_or(Value::str(""), |message| message_text(message, cx)),
        Body::Completion(body) if body.prompts.len() == 1 => {
            body.prompts.first().map_or(Value::str(""), |text| Value::str(text.as_str()))
        }
        _ => built_of(request, "text", Request::text, cx),
    }
}

fn reply_text<'a>(reply: &'a Reply, cx: &Context<'a>) -> Value<'a> {
    reply.choices().first().map_or(Value::str(""), |choice| choice_text(choice, cx))
}

fn choice_text<'a>(choice: &'a Choice, cx: &Context<'a>) -> Value<'a> {
    let mut texts = choice.parts.iter().filter_map(|part| match part {
        Part::Text(text) | Part::Refusal(text) => Some(text.as_str()),
        _ => None,
    });
    match (texts.next(), texts.next()) {
        (None, _) => Value::str(""),
        (Some(one), None) => Value::str(one),
        (Some(first), Some(second)) => {
            let mut out = format!("{first}{second}");
            texts.for_each(|text| out.push_str(text));
            built(out, cx)
        }
    }
}
