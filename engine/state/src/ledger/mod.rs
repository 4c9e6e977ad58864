//! The ledger in memory: what was spent, summed by key, team, model and provider.
//!
//! Sums only, and each attempt once; a file behind it comes with a later issue.

use ahash::{AHashSet, RandomState};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use weir_message::{Money, Usage};

/// What one attempt spent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The attempt; see [`attempt_id`]. Booked twice, it counts once.
    pub attempt: u128,
    /// The caller's key.
    pub key: Option<Arc<str>>,
    /// The caller's team.
    pub team: Option<Arc<str>>,
    /// The upstream model.
    pub model: Arc<str>,
    /// The provider.
    pub provider: Arc<str>,
    /// Tokens.
    pub usage: Usage,
    /// Money, if the model is priced.
    pub cost: Option<Money>,
}

/// What a sum is taken by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SumBy {
    /// The caller's key.
    Key,
    /// The caller's team.
    Team,
    /// The upstream model.
    Model,
    /// The provider.
    Provider,
}

/// What was spent by one key, team, model or provider since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Attempts booked.
    pub attempts: u64,
    /// Input tokens.
    pub input: u64,
    /// Output tokens.
    pub output: u64,
    /// Money, as far as priced.
    pub cost: Money,
}

/// What was spent since the process began.
pub struct Ledger {
    sums: [papaya::HashMap<Arc<str>, Arc<Counter>, RandomState>; 4],
    booked: [Mutex<Recent>; SHARDS],
}

#[derive(Default)]
struct Counter {
    attempts: AtomicU64,
    input: AtomicU64,
    output: AtomicU64,
    nanos: AtomicI64,
}

/// The last attempts booked, so that a row that comes twice is known.
#[derive(Default)]
struct Recent {
    known: AHashSet<u128>,
    order: VecDeque<u128>,
}

const SHARDS: usize = 16;
/// Attempts remembered per shard.
const REMEMBERED: usize = 2048;
/// Names summed apart per kind; later ones go under [`Ledger::OTHERS`].
const NAMES: usize = 10_000;

impl Ledger {
    /// The name under which the rest is summed once there are too many names.
    pub const OTHERS: &'static str = "…";

    /// Nothing spent.
    pub fn new() -> Self {
        Self {
            sums: std::array::from_fn(|_| papaya::HashMap::with_hasher(RandomState::new())),
            booked: std::array::from_fn(|_| Mutex::default()),
        }
    }

    /// Books a row. Returns whether it counted: `false` if the attempt was booked before (among the last 30,000).
    pub fn book(&self, row: &Row) -> bool {
        if !self.is_new(row.attempt) {
            return false;
        }
        let names = [
            (SumBy::Key, row.key.as_ref()),
            (SumBy::Team, row.team.as_ref()),
            (SumBy::Model, Some(&row.model)),
            (SumBy::Provider, Some(&row.provider)),
        ];
        for (by, name) in names {
            if let Some(name) = name {
                self.add(by, name, row);
            }
        }
        true
    }

    /// What one name spent.
    pub fn sum(&self, by: SumBy, name: &str) -> Sum {
        self.sums(by).pin().get(name).map(|counter| counter.read()).unwrap_or_default()
    }

    /// What all names spent, sorted by name.
    pub fn all(&self, by: SumBy) -> Vec<(Arc<str>, Sum)> {
        let sums = self.sums(by).pin();
        let mut all: Vec<_> = sums.iter().map(|(name, counter)| (Arc::clone(name), counter.read())).collect();
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all
    }

    fn add(&self, by: SumBy, name: &Arc<str>, row: &Row) {
        let sums = self.sums(by).pin();
        let counter = match sums.get(&**name) {
            Some(counter) => counter,
            None => {
                let name = if sums.len() < NAMES { Arc::clone(name) } else { Self::OTHERS.into() };
                sums.get_or_insert_with(name, Arc::default)
            }
        };
        counter.attempts.fetch_add(1, Ordering::Relaxed);
        counter.input.fetch_add(row.usage.input, Ordering::Relaxed);
        counter.output.fetch_add(row.usage.output, Ordering::Relaxed);
        counter.nanos.fetch_add(row.cost.map_or(0, Money::nanos), Ordering::Relaxed);
    }

    fn is_new(&self, attempt: u128) -> bool {
        let [first, ..] = &self.booked;
        #[allow(clippy::cast_possible_truncation, reason = "less than SHARDS")]
        let shard = self.booked.get((attempt % SHARDS as u128) as usize).unwrap_or(first);
        let mut recent = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if !recent.known.insert(attempt) {
            return false;
        }
        if recent.order.len() >= REMEMBERED
            && let Some(oldest) = recent.order.pop_front()
        {
            recent.known.remove(&oldest);
        }
        recent.order.push_back(attempt);
        true
    }

    fn sums(&self, by: SumBy) -> &papaya::HashMap<Arc<str>, Arc<Counter>, RandomState> {
        let [key, team, model, provider] = &self.sums;
        match by {
            SumBy::Key => key,
            SumBy::Team => team,
            SumBy::Model => model,
            SumBy::Provider => provider,
        }
    }
}

impl Default for Ledger {
    fn default() -> Self {
        Self::new()
    }
}

impl Counter {
    fn read(&self) -> Sum {
        Sum {
            attempts: self.attempts.load(Ordering::Relaxed),
            input: self.input.load(Ordering::Relaxed),
            output: self.output.load(Ordering::Relaxed),
            cost: Money::from_nanos(self.nanos.load(Ordering::Relaxed)),
        }
    }
}

/// What names attempt `n` of a request, for [`Row::attempt`].
pub fn attempt_id(request: &str, n: u32) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&n.to_le_bytes());
    hasher.update(request.as_bytes());
    u128::from_le_bytes(*hasher.finalize().as_bytes().first_chunk().unwrap_or(&[0; 16]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(request: &str, n: u32, key: &str, output: u64) -> Row {
        Row {
            attempt: attempt_id(request, n),
            key: Some(key.into()),
            team: None,
            model: "m".into(),
            provider: "p".into(),
            usage: Usage { input: 10, output, ..Usage::default() },
            cost: Some(Money::from_nanos(7)),
        }
    }

    #[test]
    fn books_each_attempt_once_and_sums_by_name() {
        let ledger = Ledger::new();
        let cases = [
            (row("r1", 1, "a", 1), true),
            (row("r1", 2, "a", 2), true),
            (row("r1", 2, "a", 2), false),
            (row("r2", 1, "b", 4), true),
        ];
        for (row, counted) in cases {
            assert_eq!(ledger.book(&row), counted, "{row:?}");
        }
        let a = Sum { attempts: 2, input: 20, output: 3, cost: Money::from_nanos(14) };
        assert_eq!(ledger.sum(SumBy::Key, "a"), a);
        assert_eq!(ledger.sum(SumBy::Model, "m").attempts, 3);
        assert_eq!(ledger.sum(SumBy::Team, "none"), Sum::default());
        let names: Vec<_> = ledger.all(SumBy::Key).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a".into(), "b".into()] as [Arc<str>; 2]);
    }

    #[test]
    fn holds_no_more_names_than_told() {
        let ledger = Ledger::new();
        for n in 0..NAMES + 5 {
            ledger.book(&row(&n.to_string(), 1, &n.to_string(), 1));
        }
        assert_eq!(ledger.sum(SumBy::Key, Ledger::OTHERS).attempts, 5);
        assert_eq!(ledger.all(SumBy::Key).len(), NAMES + 1);
    }
}
