//! All state of a process in one place, made once and shared by every plan.

use crate::redis::Redis;
use crate::{
    Amounts, Breakers, Dimension, ExactCache, Given, Guesses, IssuerKeys, KeyStore, Ledger, Limiter,
    LinkHealth, MintedIds, Permits, Query, RedisSettings, SemanticStore, Spending, StateError, Sum, SumBy,
    Told, Totals,
};
use bytestring::ByteString;
use std::sync::{Arc, OnceLock};
use weir_message::Reply;

/// A day in seconds.
const DAY: i64 = 86_400;

/// Where a stage writes: for real, or where nobody feels it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Space {
    /// For real.
    #[default]
    Live,
    /// A stage in shadow: it reads live state, and writes only here.
    Shadow,
}

/// A reply as caches keep it: as it was at the cache's place, placeholders and all.
#[derive(Clone, Debug)]
pub struct CachedReply {
    /// The whole reply. A hit is sent as the client asked, whole or as a stream.
    pub reply: Reply,
    /// The user turn that it answers, for what a semantic hit must agree in.
    pub question: ByteString,
    /// The vectors of that turn's words, as the semantic cache spells them. Empty elsewhere.
    pub words: Box<[u8]>,
    /// Whose it is: what a purge of one subject names.
    pub subject: [u8; 32],
    /// When it was stored, on the gateway's clock.
    pub stored: std::time::Duration,
}

/// How much the caches may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Of the exact cache, in bytes.
    pub exact: usize,
    /// Of the semantic store, vectors included, in bytes.
    pub semantic: usize,
}

impl Default for Sizes {
    /// 256 MiB each.
    fn default() -> Self {
        Self { exact: 256 << 20, semantic: 256 << 20 }
    }
}

/// The key under which the exact cache keeps a semantic entry: that of the very same question in its partition.
pub fn question_key(partition: &[u8; 32], question: &str) -> [u8; 32] {
    *blake3::keyed_hash(partition, question.as_bytes()).as_bytes()
}

/// All state of a process. Made once; every plan holds the same one. Empty, it is small: nothing is reserved ahead.
pub struct State {
    /// Counts of requests and tokens.
    pub limits: Arc<Limiter>,
    /// What was spent in windows of the calendar.
    pub totals: Arc<Totals>,
    /// Requests under way.
    pub permits: Arc<Permits>,
    /// Targets that fail or asked to be left alone.
    pub breakers: Breakers,
    /// What was spent lately.
    pub spending: Spending,
    /// What every attempt cost.
    pub ledger: Ledger,
    /// Keys that are made and changed while the process serves.
    pub keys: KeyStore,
    /// The keys of those who issue tokens.
    pub issuers: IssuerKeys,
    /// Ids that providers mint.
    pub minted: MintedIds,
    /// Wrong credentials by address.
    pub guesses: Guesses,
    /// What people told of the caches' answers.
    pub told: Told,
    exact: [ExactCache<CachedReply>; 2],
    semantic: [SemanticStore<CachedReply>; 2],
    /// The last to go: what is above works through it.
    redis: OnceLock<Redis>,
}

impl State {
    /// Empty state. The shadow caches hold a quarter of what the live ones may.
    pub fn new(sizes: Sizes) -> Self {
        Self {
            limits: Arc::new(Limiter::new()),
            totals: Arc::new(Totals::new()),
            permits: Arc::new(Permits::new()),
            breakers: Breakers::new(),
            spending: Spending::new(),
            ledger: Ledger::default(),
            keys: KeyStore::default(),
            issuers: IssuerKeys::default(),
            minted: MintedIds::default(),
            guesses: Guesses::default(),
            told: Told::default(),
            exact: [ExactCache::new(sizes.exact), ExactCache::new(sizes.exact / 4)],
            semantic: [SemanticStore::new(sizes.semantic), SemanticStore::new(sizes.semantic / 4)],
            redis: OnceLock::new(),
        }
    }

    /// Shares limits, permits and totals with the gateways that use this Redis from now on. Call it before the first request, and
    /// from no asynchronous task. A server that cannot be reached is no error: what stages ask of it fails until it is.
    ///
    /// # Errors
    /// The settings are of no use, or totals are kept in a file already.
    pub fn share(&self, settings: &RedisSettings) -> Result<(), StateError> {
        let redis = Redis::open(settings)?;
        self.totals.keep_in(redis.totals())?;
        self.limits.share(redis.rates(true), redis.runtime());
        self.permits.share(redis.permits(), redis.runtime());
        // Set once: a second call fails at the totals.
        let _ = self.redis.set(redis);
        Ok(())
    }

    /// How the connection to what is shared does; `None` if nothing is.
    pub fn shared_health(&self) -> Option<LinkHealth> {
        self.redis.get().map(Redis::health)
    }

    /// The exact cache. A stage in shadow looks into the live one, then into the shadow's, and stores in the shadow's.
    pub fn exact(&self, space: Space) -> &ExactCache<CachedReply> {
        let [live, shadow] = &self.exact;
        match space {
            Space::Live => live,
            Space::Shadow => shadow,
        }
    }

    /// The semantic store. A stage in shadow looks into the live one, then into the shadow's, and stores in the shadow's.
    pub fn semantic(&self, space: Space) -> &SemanticStore<CachedReply> {
        let [live, shadow] = &self.semantic;
        match space {
            Space::Live => live,
            Space::Shadow => shadow,
        }
    }

    /// Reads from the ledger what was spent today (UTC) before this process began. `now`: seconds since 1970 UTC.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn recall_today(&self, now: i64) -> Result<(), StateError> {
        let Some(books) = self.ledger.books() else { return Ok(()) };
        let day = now.div_euclid(DAY);
        let of = [
            (SumBy::Everyone, None),
            (SumBy::Key, Some(Dimension::Key)),
            (SumBy::User, Some(Dimension::User)),
            (SumBy::Team, Some(Dimension::Team)),
        ];
        for (by, dimension) in of {
            let query = Query {
                since: Some(day * DAY),
                until: Some((day + 1) * DAY),
                by: dimension.into_iter().collect(),
                ..Query::default()
            };
            for line in books.report(&query)?.lines {
                let name = line.by.first().map_or("", String::as_str);
                let Amounts { usage, cost, .. } = line.amounts;
                if !name.is_empty() || by == SumBy::Everyone {
                    let sum = Sum { input: usage.input, output: usage.output, cost };
                    self.spending.recall(u32::try_from(day).unwrap_or_default(), by, name, sum);
                }
            }
        }
        Ok(())
    }

    /// The answer that a semantic cache gave to the request with this id was wrong: its entry goes, and the two questions share
    /// no answer any more. Returns how many entries went, or `None` where no such answer is remembered. `within`: only if
    /// it was given from this partition.
    pub fn told_wrong(&self, id: &str, within: Option<&[u8; 32]>) -> Option<u64> {
        let given = self.told.given(id).filter(|given| within.is_none_or(|own| *own == given.partition))?;
        let Given { partition, stored, asked } = given;
        if stored != asked {
            self.told.part(&partition, &stored, &asked);
        }
        let key = question_key(&partition, &stored);
        let exact = self.exact.iter().map(|cache| cache.remove(&key)).filter(|gone| *gone).count() as u64;
        let semantic = self.semantic.iter();
        let near: u64 =
            semantic.map(|store| store.remove(&partition, |entry| entry.question == stored)).sum();
        Some(exact.max(near))
    }

    /// Forgets all cached replies. Returns how many there were.
    pub fn purge(&self) -> u64 {
        self.exact.iter().map(ExactCache::purge).sum::<u64>()
            + self.semantic.iter().map(SemanticStore::purge).sum::<u64>()
    }

    /// Forgets the cached replies of one subject. Returns how many there were.
    pub fn purge_partition(&self, partition: &[u8; 32]) -> u64 {
        self.exact.iter().map(|cache| cache.purge_partition(partition)).sum::<u64>()
            + self
                .semantic
                .iter()
                .map(|store| store.purge_where(|entry| entry.subject == *partition))
                .sum::<u64>()
    }
}

impl Default for State {
    fn default() -> Self {
        Self::new(Sizes::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SemanticEntry;
    use std::time::Duration;

    const TTL: Duration = Duration::from_secs(10);

    fn reply() -> Arc<CachedReply> {
        let reply = Reply::new(200, &b"{}"[..]);
        Arc::new(CachedReply {
            reply,
            question: "why?".into(),
            words: Box::default(),
            subject: [1; 32],
            stored: Duration::ZERO,
        })
    }

    fn fill(state: &State, space: Space, partition: [u8; 32]) {
        state.exact(space).store(partition, partition, reply(), 2, TTL);
        let entry = SemanticEntry { payload: reply(), weight: 2, ttl: TTL };
        assert!(state.semantic(space).insert(partition, &[1.0, 0.0], entry, Duration::ZERO));
    }

    #[test]
    fn what_a_shadow_stores_is_not_found_live() {
        let state = State::default();
        fill(&state, Space::Shadow, [1; 32]);
        for (space, found) in [(Space::Live, false), (Space::Shadow, true)] {
            assert_eq!(state.exact(space).get(&[1; 32], Duration::ZERO).is_some(), found, "{space:?}");
            let near = state.semantic(space).search(&[1; 32], &[1.0, 0.0], 1, Duration::ZERO);
            assert_eq!(!near.is_empty(), found, "{space:?}");
        }
    }

    #[test]
    fn an_answer_that_was_told_wrong_is_gone_and_its_questions_are_parted() {
        let state = State::default();
        let partition = [1; 32];
        fill(&state, Space::Live, partition);
        state.exact(Space::Live).store(question_key(&partition, "why?"), partition, reply(), 2, TTL);
        let given = Given { partition, stored: "why?".into(), asked: "why not?".into() };
        state.told.remember(&"r1".into(), given);
        assert_eq!(state.told_wrong("r2", None), None);
        assert_eq!(state.told_wrong("r1", Some(&[2; 32])), None);
        assert!(!state.told.are_parted(&partition, "why?", "why not?"));
        assert_eq!(state.told_wrong("r1", Some(&partition)), Some(1));
        assert!(state.told.are_parted(&partition, "why?", "why not?"));
        assert!(state.exact(Space::Live).get(&question_key(&partition, "why?"), Duration::ZERO).is_none());
        assert!(state.semantic(Space::Live).search(&partition, &[1.0, 0.0], 1, Duration::ZERO).is_empty());
        assert_eq!(state.told_wrong("r1", None), Some(0));
    }

    #[test]
    fn a_purge_empties_every_cache_in_both_spaces() {
        let state = State::default();
        for (space, partition) in [(Space::Live, [1; 32]), (Space::Shadow, [1; 32]), (Space::Live, [2; 32])] {
            fill(&state, space, partition);
        }
        assert_eq!(
            state.purge_partition(&[1; 32]),
            5,
            "all entries of the semantic store are of this subject"
        );
        assert_eq!((state.purge(), state.purge()), (1, 0));
    }
}
