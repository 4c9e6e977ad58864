//! What outlives a request: limits, keys, caches, breakers, the ledger. In the memory of one process; totals and the
//! ledger in files too, where the settings name one.
//!
//! Nothing here knows a policy: counts are keyed by what is metered, caches by content, breakers by target, so that a new
//! revision finds what the old one left. Time is an argument everywhere: `now` is the time since a fixed point of the
//! process (the gateway's clock), the same for all calls. No method blocks on I/O or holds a lock across an await.
#![forbid(unsafe_code)]

mod breakers;
mod database;
mod error;
mod exact;
mod guesses;
mod keys;
mod ledger;
mod limits;
mod minted;
mod permits;
mod promise;
mod redis;
mod rounds;
mod semantic;
mod spending;
mod state;
mod tokens;
mod told;
mod totals;

pub use breakers::{Breaker, BreakerSettings, Breakers, FailureRate, Permit};
pub use chrono_tz::Tz as TimeZone;
pub use error::StateError;
pub use exact::{CacheStats, Claim, ExactCache, LeadGuard, Waiting};
pub use guesses::{GuessLimit, Guesses};
pub use keys::{
    Act, AuditEntry, Chain, Created, KeyRing, KeyRow, KeySettings, KeyStore, StoredKey, digest, digest_of,
    generate, is_digest_of, parse_digest, print_digest,
};
pub use ledger::{
    Amounts, Books, Dimension, Ending, Filter, Full, Keeping, Ledger, LedgerFigures, Line, Place, Query,
    Report, Row, Single, rfc3339, unix_time,
};
pub use limits::{Limiter, Meter, MeterKind, Reservation, Taken, Word};
pub use minted::{Kind, Minted, MintedIds, Owned, owner_of};
pub use permits::{Admission, Admitted, Permits, Queued};
pub use redis::{LinkHealth, RedisClientTls, RedisPlace, RedisSettings, RedisTls};
pub use semantic::{SemanticEntry, SemanticStats, SemanticStore};
pub use spending::{Spending, Sum, SumBy};
pub use state::{CachedReply, Sizes, Space, State, question_key};
pub use tokens::{
    Flight, IssuerKeys, KeptKeys, Proven, SignatureAlgorithm, TokenFlaw, TokenKeys, TokenRules,
    claims_unproven,
};
pub use told::{Given, Told};
pub use totals::{
    Account, Crossed, Holding, Secured, Shortfall, Totals, Unit, Window, time_zone, time_zones,
};

/// Nanoseconds of a point in time, saturating after 584 years.
pub(crate) fn nanos(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
