//! What rows amount to together.

use super::pack::{Packer, Unpacker};
use super::row::{Kept, pack_usage, unpack_usage};
use weir_message::{Money, Usage};

/// What rows amount to together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Requests: those whose first attempt is among them, and those that a cache answered.
    pub requests: u64,
    /// Attempts that were sent to a provider.
    pub attempts: u64,
    /// Requests that a cache answered.
    pub hits: u64,
    /// Attempts of which no price is known.
    pub unpriced: u64,
    /// What was spent.
    pub usage: Usage,
    /// What it cost, as far as priced.
    pub cost: Money,
    /// What answers of caches would have cost.
    pub saved: Money,
    /// How long requests waited here before their attempts were sent, in microseconds.
    pub before: u64,
    /// How long the heads of replies took, in microseconds, of so many replies.
    pub first_byte: (u64, u64),
    /// How long attempts took, in microseconds.
    pub took: u64,
}

impl Amounts {
    pub(super) fn of(row: &Kept) -> Self {
        let is_hit = row.attempt == 0;
        Self {
            requests: u64::from(row.attempt <= 1),
            attempts: u64::from(!is_hit),
            hits: u64::from(is_hit),
            unpriced: u64::from(!is_hit && row.cost.is_none()),
            usage: row.usage,
            cost: row.cost.unwrap_or_default(),
            saved: row.saved.unwrap_or_default(),
            before: if is_hit { 0 } else { row.before },
            first_byte: row.first_byte.map_or((0, 0), |time| (time, 1)),
            took: if is_hit { 0 } else { row.took },
        }
    }

    /// Adds others to them; saturates.
    pub fn add(&mut self, other: &Self) {
        let Self { requests, attempts, hits, unpriced, usage, cost, saved, before, first_byte, took } = self;
        for (sum, more) in [
            (requests, other.requests),
            (attempts, other.attempts),
            (hits, other.hits),
            (unpriced, other.unpriced),
            (before, other.before),
            (&mut first_byte.0, other.first_byte.0),
            (&mut first_byte.1, other.first_byte.1),
            (took, other.took),
        ] {
            *sum = sum.saturating_add(more);
        }
        *usage += other.usage;
        *cost += other.cost;
        *saved += other.saved;
    }

    pub(super) fn pack(&self, into: &mut Vec<u8>) {
        let mut to = Packer::over(into);
        for number in [
            self.requests,
            self.attempts,
            self.hits,
            self.unpriced,
            self.before,
            self.first_byte.0,
            self.first_byte.1,
            self.took,
        ] {
            to.number(number);
        }
        to.signed(self.cost.nanos());
        to.signed(self.saved.nanos());
        pack_usage(&mut to, &self.usage);
    }

    pub(super) fn unpack(bytes: &[u8]) -> Option<Self> {
        let mut from = Unpacker::of(bytes);
        let mut number = || from.number();
        let (requests, attempts, hits, unpriced) = (number()?, number()?, number()?, number()?);
        let (before, first_byte, took) = (number()?, (number()?, number()?), number()?);
        let mut money = || from.signed().map(Money::from_nanos);
        let (cost, saved) = (money()?, money()?);
        let usage = unpack_usage(&mut from)?;
        Some(Self { requests, attempts, hits, unpriced, usage, cost, saved, before, first_byte, took })
    }
}
