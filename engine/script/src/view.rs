//! What a policy can see of a request at run time: a struct of borrows, read lazily.

use http::HeaderMap;
use weir_message::{Attempt, Block, EventKind, Money, Reply, Request, ToolCall, Trace, Usage};

/// What an evaluation sees. Nothing is copied to build it; a field costs when an expression reads it.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The request as it is now.
    pub request: &'a Request,
    /// The request as it came in; the present one where nobody edited it.
    pub original: Option<&'a Request>,
    /// The time, in nanoseconds since 1970 (UTC).
    pub now_unix_nanos: i64,
    /// The policy's parameters: a JSON object.
    pub params: &'a serde_json::Value,
    /// The revision of the policy set.
    pub revision: &'a str,
    /// The attempt under way or the last one.
    pub attempt: Option<&'a Attempt>,
    /// All attempts so far.
    pub attempts: &'a [Attempt],
    /// The reply.
    pub reply: Option<&'a Reply>,
    /// The event of a stream.
    pub event: Option<EventView<'a>>,
    /// The trace so far.
    pub trace: Option<&'a Trace>,
    /// The call of a tool that is judged.
    pub call: Option<&'a ToolCall>,
    /// Counts of limits and of money.
    pub counters: Option<&'a dyn Counters>,
    /// What the client got (cases).
    pub client: Option<&'a Client>,
    /// What was sent upstream (cases).
    pub upstream: &'a [UpstreamCall],
    /// What was booked (cases).
    pub ledger: Option<&'a Ledger>,
}

static NO_PARAMS: serde_json::Value = serde_json::Value::Null;

impl<'a> View<'a> {
    /// The view of a request of which nothing else is known yet.
    pub fn new(request: &'a Request, revision: &'a str, now_unix_nanos: i64) -> Self {
        Self {
            request,
            original: None,
            now_unix_nanos,
            params: &NO_PARAMS,
            revision,
            attempt: None,
            attempts: &[],
            reply: None,
            event: None,
            trace: None,
            call: None,
            counters: None,
            client: None,
            upstream: &[],
            ledger: None,
        }
    }
}

/// One event of a stream as expressions see it.
#[derive(Clone, Copy, Debug)]
pub struct EventView<'a> {
    /// What it is.
    pub kind: EventKind,
    /// Its piece of text; empty if it has none.
    pub text: &'a str,
    /// The block that the text continues.
    pub block: Option<Block>,
}

/// What the client of a case got.
#[derive(Clone, Debug, Default)]
pub struct Client {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body (of a stream: all its bytes).
    pub body: String,
    /// The words of the answer, put together from the events of a stream.
    pub text: String,
    /// The data of each event of a stream.
    pub events: Vec<String>,
    /// The error, if it got one.
    pub error: Option<ClientError>,
}

/// An error as a client sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientError {
    /// `error.code`.
    pub code: String,
    /// `error.message`.
    pub message: String,
}

/// A request that a case's scripted upstream got.
#[derive(Clone, Debug)]
pub struct UpstreamCall {
    /// The provider's name.
    pub provider: String,
    /// The upstream model's name.
    pub model: String,
    /// What was sent, decoded.
    pub request: Request,
    /// The path it was sent to.
    pub path: String,
    /// The headers it was sent with.
    pub headers: HeaderMap,
}

/// What a case booked.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ledger {
    /// Tokens.
    pub usage: Usage,
    /// Money.
    pub cost: Money,
}

/// One count of a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// What may be used in the window.
    pub max: u64,
    /// What is used.
    pub used: u64,
}

impl Limit {
    /// What is left.
    pub fn remaining(self) -> u64 {
        self.max.saturating_sub(self.used)
    }

    /// The one with less left in proportion.
    #[must_use]
    pub fn tighter(self, other: Limit) -> Limit {
        let share = |a: Limit, b: Limit| u128::from(a.remaining()) * u128::from(b.max);
        if share(other, self) < share(self, other) { other } else { self }
    }
}

/// What a stage that limits has left for one request. Of several limits of a kind, the one with least left in proportion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageLimits {
    /// In requests; `None` if it does not limit them.
    pub requests: Option<Limit>,
    /// In tokens; `None` if it does not limit them.
    pub tokens: Option<Limit>,
}

impl StageLimits {
    /// The limit with least left in proportion.
    pub fn tightest(self) -> Limit {
        self.requests.into_iter().chain(self.tokens).reduce(Limit::tighter).unwrap_or_default()
    }
}

/// What was spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Input tokens.
    pub input: u64,
    /// Output tokens.
    pub output: u64,
    /// Money, as far as priced.
    pub cost: Money,
}

/// Whose spending is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payer {
    /// The caller's key.
    Key,
    /// The caller's user.
    User,
    /// The caller's team.
    Team,
    /// All callers.
    Everyone,
}

/// The counts that `limits` and `spend` show, for the present request; read when asked for.
pub trait Counters: Send + Sync {
    /// What the stage of this name has left.
    ///
    /// # Errors
    /// Why there is nothing to tell: no such stage, or for whom it counts cannot be told.
    fn limits(&self, stage: &str) -> Result<StageLimits, String>;

    /// What this one spent today; `None` if the caller has no such name.
    fn spent_today(&self, payer: Payer) -> Option<Spent>;
}

/// What expressions need from rooms above. An answer must come at once (from a memo, or an estimate for long texts): an
/// expression holds its thread.
pub trait Services: Send + Sync {
    /// The tokens of a text for a model.
    fn count_tokens(&self, model: &str, text: &str) -> u64;

    /// The tokens of a whole request for the model it asks for.
    fn request_tokens(&self, request: &Request) -> u64;
}
