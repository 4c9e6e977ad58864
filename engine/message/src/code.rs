//! The closed list of errors that a client can receive.

macro_rules! error_codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $id:literal, $status:literal, $kind:literal;)+) => {
        /// What went wrong, as clients see it: `error.code` in the reply's body. Stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ErrorCode { $($(#[doc = $doc])+ $variant,)+ }

        impl ErrorCode {
            /// Every code, in the order of the list.
            pub const ALL: &[ErrorCode] = &[$(ErrorCode::$variant,)+];

            /// The code as clients see it.
            pub fn id(self) -> &'static str {
                match self { $(ErrorCode::$variant => $id,)+ }
            }

            /// The HTTP status it is sent with, unless a policy says otherwise.
            pub fn status(self) -> u16 {
                match self { $(ErrorCode::$variant => $status,)+ }
            }

            /// OpenAI's `error.type` for it.
            pub fn kind(self) -> &'static str {
                match self { $(ErrorCode::$variant => $kind,)+ }
            }

            /// What it means and what the client can do.
            pub fn explanation(self) -> &'static str {
                match self { $(ErrorCode::$variant => concat!($($doc, "\n",)+),)+ }
            }
        }
    };
}

error_codes! {
    /// The request's body is not the JSON that the operation takes. `param` names the field where one is to blame.
    BadRequest = "bad-request", 400, "invalid_request_error";
    /// The target's API has no place for a part of the request that changes what the answer means; the message names it. Another
    /// target may, or `unsupported: drop` at the provider.
    Unsupported = "unsupported", 400, "invalid_request_error";
    /// The HTTP request itself is malformed.
    BadHttp = "bad-http", 400, "invalid_request_error";
    /// The listener wants a credential and none was sent, or it is unknown, expired or disabled.
    InvalidKey = "invalid-key", 401, "authentication_error";
    /// The token (JWT) is not good here: it has expired, is for another audience, of another issuer, or its signature does not hold; the
    /// message says which. Get a new one.
    InvalidToken = "invalid-token", 401, "authentication_error";
    /// A guard of the policy refused the request; the message is the policy's.
    Denied = "denied", 403, "permission_error";
    /// A guard found personal data or another forbidden text.
    ContentDenied = "content-denied", 403, "permission_error";
    /// Nothing answers this path or method.
    UnknownPath = "unknown-path", 404, "invalid_request_error";
    /// The method is not allowed on this path.
    BadMethod = "bad-method", 405, "invalid_request_error";
    /// No pipeline of the policy takes this request. Nothing is forwarded by default.
    NoPipeline = "no-pipeline", 404, "invalid_request_error";
    /// The policy knows no model of this name.
    UnknownModel = "unknown-model", 404, "invalid_request_error";
    /// An id in the request is of nothing that was given to this caller here: it was given to another caller, it comes from a provider
    /// directly, or its provider is no longer in the policy.
    UnknownId = "unknown-id", 404, "invalid_request_error";
    /// A guard of the policy reads texts, and the body is none that it can read: an image, sound, something packed. `unread: pass` on
    /// the guard lets it pass.
    UnreadableBody = "unreadable-body", 403, "permission_error";
    /// The body, or a part of it once decompressed, is larger than the limit.
    BodyTooLarge = "body-too-large", 413, "invalid_request_error";
    /// The request's headers are larger than the limit.
    HeadersTooLarge = "headers-too-large", 431, "invalid_request_error";
    /// The `content-encoding` is none that Weir reads (gzip, br, zstd), or the body is not so encoded.
    BadEncoding = "bad-encoding", 415, "invalid_request_error";
    /// The client took too long to send its request.
    RequestTimeout = "request-timeout", 408, "invalid_request_error";
    /// The prompt has more tokens than the policy or the model allows.
    TooManyTokens = "too-many-tokens", 400, "invalid_request_error";
    /// A limit of requests or tokens is reached; `retry-after` says when to come back.
    RateLimited = "rate-limited", 429, "rate_limit_error";
    /// The tokens of this hour, day, week or month are used up, or this request might use more than is left; `retry-after` says
    /// when the next one begins.
    QuotaExceeded = "quota-exceeded", 429, "rate_limit_error";
    /// The money of this hour, day, week or month is spent, or this request might cost more than is left; `retry-after` says when
    /// the next one begins.
    BudgetExceeded = "budget-exceeded", 429, "rate_limit_error";
    /// As many requests as the policy allows at once are under way. Come back when one of them has ended.
    ConcurrencyExceeded = "concurrency-exceeded", 429, "rate_limit_error";
    /// A stage of the policy could not do its work, and the policy says to refuse then.
    StageUnavailable = "stage-unavailable", 503, "server_error";
    /// Who calls cannot be said now: the keys of a token's issuer cannot be fetched, or the service that knows callers does not answer.
    IdentityUnavailable = "identity-unavailable", 503, "server_error";
    /// What requests cost cannot be written down now (`state:`), and the policy says to refuse then.
    LedgerUnavailable = "ledger-unavailable", 503, "server_error";
    /// Too many requests are under way here.
    Overloaded = "overloaded", 503, "server_error";
    /// Every target was tried, or ruled out, and none could answer. With 504: the client asked for `only-if-cached`, and nothing is
    /// kept.
    NoTarget = "no-target", 503, "server_error";
    /// The provider could not be reached.
    UpstreamUnreachable = "upstream-unreachable", 502, "server_error";
    /// The provider did not answer in time.
    UpstreamTimeout = "upstream-timeout", 504, "server_error";
    /// The provider answered with an error of its own.
    UpstreamError = "upstream-error", 502, "server_error";
    /// The provider refused the request as malformed, or has no such model (404); its status is passed on.
    UpstreamRejected = "upstream-rejected", 400, "invalid_request_error";
    /// The provider refused Weir's credential. The platform team must mend it; the client cannot.
    UpstreamUnauthorized = "upstream-unauthorized", 502, "server_error";
    /// The provider's own rate limit is reached.
    UpstreamRateLimited = "upstream-rate-limited", 429, "rate_limit_error";
    /// The prompt is longer than the model's context window.
    ContextTooLong = "context-too-long", 400, "invalid_request_error";
    /// The provider's reply is not what its dialect says, or larger than the limit.
    UpstreamInvalid = "upstream-invalid", 502, "server_error";
    /// The provider's stream ended before its end.
    UpstreamBroken = "upstream-broken", 502, "server_error";
    /// The request's deadline passed.
    DeadlineExceeded = "deadline-exceeded", 504, "server_error";
    /// A defect of Weir; please report it with the request id.
    Internal = "internal", 500, "server_error";
}

impl ErrorCode {
    /// The code with this id.
    pub fn from_id(id: &str) -> Option<ErrorCode> {
        Self::ALL.iter().copied().find(|code| code.id() == id)
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.id())
    }
}
