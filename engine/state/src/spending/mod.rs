//! What callers spent on a day, by key, user and team, and all together.
//!
//! Days are those of UTC, counted from 1970. The last two are kept. Booking for a name that is known takes no lock and
//! allocates nothing.

use ahash::RandomState;
use papaya::Equivalent;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use weir_message::{Caller, Money, Usage};

/// Whose spending a sum is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SumBy {
    /// One key's.
    Key,
    /// One user's.
    User,
    /// One team's.
    Team,
    /// All together; the name is empty.
    Everyone,
}

/// What was spent on a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Input tokens.
    pub input: u64,
    /// Output tokens.
    pub output: u64,
    /// Money, as far as priced.
    pub cost: Money,
}

/// What was spent since the process began.
pub struct Spending {
    sums: papaya::HashMap<Key, Arc<Counter>, RandomState>,
    /// The newest day booked.
    newest: AtomicU32,
    /// The most names summed apart.
    most: usize,
}

#[derive(Default)]
struct Counter {
    input: AtomicU64,
    output: AtomicU64,
    nanos: AtomicI64,
}

/// Names summed apart, over all kinds. Later ones share one sum a kind.
const MOST: usize = 100_000;
/// The name under which the rest is summed; no name of a set is it.
const OTHERS: &str = "\u{2026}";

impl Spending {
    /// Nothing spent.
    pub fn new() -> Self {
        Self::with_most(MOST)
    }

    fn with_most(most: usize) -> Self {
        Self { sums: papaya::HashMap::with_hasher(RandomState::new()), newest: AtomicU32::new(0), most }
    }

    /// Books what a caller spent on a day.
    pub fn book(&self, day: u32, caller: Option<&Caller>, usage: &Usage, cost: Option<Money>) {
        if self.newest.fetch_max(day, Ordering::Relaxed) < day {
            self.sums.pin().retain(|key, _| key.day.saturating_add(1) >= day);
        }
        self.add(Entry { day, by: SumBy::Everyone, name: "" }, usage, cost);
        let Some(caller) = caller else { return };
        for (by, name) in
            [(SumBy::Key, &caller.key), (SumBy::User, &caller.user), (SumBy::Team, &caller.team)]
        {
            if let Some(name) = name {
                self.add(Entry { day, by, name }, usage, cost);
            }
        }
    }

    /// Adds what is known to be spent on a day from before this process began.
    pub fn recall(&self, day: u32, by: SumBy, name: &str, sum: Sum) {
        self.newest.fetch_max(day, Ordering::Relaxed);
        let usage = Usage { input: sum.input, output: sum.output, ..Usage::default() };
        self.add(Entry { day, by, name }, &usage, Some(sum.cost));
    }

    /// What was spent on a day. Of a name that came too late to be summed apart, what all such names spent: nobody is free
    /// of a budget because there are many.
    pub fn sum(&self, day: u32, by: SumBy, name: &str) -> Sum {
        let sums = self.sums.pin();
        let own = sums.get(&Entry { day, by, name });
        own.or_else(|| sums.get(&Entry { day, by, name: OTHERS }))
            .map(|counter| counter.read())
            .unwrap_or_default()
    }

    fn add(&self, entry: Entry<'_>, usage: &Usage, cost: Option<Money>) {
        let sums = self.sums.pin();
        let counter = match sums.get(&entry) {
            Some(counter) => counter,
            None => {
                let name = if sums.len() < self.most { entry.name } else { OTHERS };
                sums.get_or_insert_with(Key::of(Entry { name, ..entry }), Arc::default)
            }
        };
        counter.input.fetch_add(usage.input, Ordering::Relaxed);
        counter.output.fetch_add(usage.output, Ordering::Relaxed);
        counter.nanos.fetch_add(cost.map_or(0, Money::nanos), Ordering::Relaxed);
    }
}

impl Default for Spending {
    fn default() -> Self {
        Self::new()
    }
}

impl Counter {
    fn read(&self) -> Sum {
        Sum {
            input: self.input.load(Ordering::Relaxed),
            output: self.output.load(Ordering::Relaxed),
            cost: Money::from_nanos(self.nanos.load(Ordering::Relaxed)),
        }
    }
}

/// What a sum is kept under.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Entry<'a> {
    day: u32,
    by: SumBy,
    name: &'a str,
}

/// [`Entry`], owned.
#[derive(PartialEq, Eq)]
struct Key {
    day: u32,
    by: SumBy,
    name: Box<str>,
}

impl Key {
    fn of(entry: Entry<'_>) -> Self {
        Self { day: entry.day, by: entry.by, name: entry.name.into() }
    }

    fn as_entry(&self) -> Entry<'_> {
        Entry { day: self.day, by: self.by, name: &self.name }
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_entry().hash(state);
    }
}

impl Equivalent<Key> for Entry<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self == key.as_entry()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(key: &str, team: Option<&str>) -> Caller {
        Caller { key: Some(key.into()), team: team.map(Into::into), ..Caller::default() }
    }

    fn spent(output: u64) -> Usage {
        Usage { input: 10, output, ..Usage::default() }
    }

    #[test]
    fn sums_by_day_and_by_every_name_that_a_caller_has() {
        let spending = Spending::new();
        let price = Some(Money::from_nanos(7));
        spending.book(20, Some(&caller("a", Some("t"))), &spent(1), price);
        spending.book(20, Some(&caller("b", Some("t"))), &spent(2), None);
        spending.book(20, None, &spent(4), price);
        spending.book(21, Some(&caller("a", None)), &spent(8), price);
        let cases = [
            (20, SumBy::Key, "a", 10, 1, 7),
            (20, SumBy::Team, "t", 20, 3, 7),
            (20, SumBy::Everyone, "", 30, 7, 14),
            (21, SumBy::Key, "a", 10, 8, 7),
            (21, SumBy::Team, "t", 0, 0, 0),
            // A key's name is no team's.
            (20, SumBy::Team, "a", 0, 0, 0),
        ];
        for (day, by, name, input, output, nanos) in cases {
            let want = Sum { input, output, cost: Money::from_nanos(nanos) };
            assert_eq!(spending.sum(day, by, name), want, "{day} {by:?} {name}");
        }
    }

    #[test]
    fn keeps_the_last_two_days() {
        let spending = Spending::new();
        for day in 20..=22 {
            spending.book(day, None, &spent(1), None);
        }
        let kept = [20, 21, 22].map(|day| spending.sum(day, SumBy::Everyone, "").output);
        assert_eq!(kept, [0, 1, 1]);
        // A request that came in before midnight is booked on its own day.
        spending.book(21, None, &spent(1), None);
        assert_eq!(spending.sum(21, SumBy::Everyone, "").output, 2);
    }

    #[test]
    fn names_that_are_too_many_share_one_sum() {
        let spending = Spending::with_most(3);
        for name in ["a", "b", "c", "d"] {
            spending.book(20, Some(&caller(name, None)), &spent(1), None);
        }
        let sums = ["a", "b", "c", "d", "e"].map(|name| spending.sum(20, SumBy::Key, name).output);
        assert_eq!(sums, [1, 1, 2, 2, 2]);
    }
}
