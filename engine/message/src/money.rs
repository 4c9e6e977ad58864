//! Money, exact.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

/// An amount in billionths of a US dollar (nano-dollars): exact sums, ± 9.2 billion dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Money(i64);

impl Money {
    /// Nothing.
    pub const ZERO: Money = Money(0);

    /// An amount in nano-dollars.
    pub fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// The amount in nano-dollars.
    pub fn nanos(self) -> i64 {
        self.0
    }

    /// The amount in dollars, rounded to what a float holds; for showing and comparing in policies, not for sums.
    pub fn dollars(self) -> f64 {
        #[allow(
            clippy::cast_precision_loss,
            reason = "amounts of money in one request are far below 2^53 nano-dollars"
        )]
        let nanos = self.0 as f64;
        nanos / 1e9
    }

    /// The amount in dollars, exactly, without the zeros at its end.
    pub fn decimal(self) -> String {
        let text = self.to_string();
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }

    /// The price of `tokens` at `self` per million tokens, rounded up to a whole nano-dollar; saturates.
    pub fn per_million(self, tokens: u64) -> Money {
        let product = i128::from(self.0) * i128::from(tokens);
        let (quotient, rest) = (product / 1_000_000, product % 1_000_000);
        let up = quotient + i128::from(rest > 0);
        Money(i64::try_from(up).unwrap_or(if up > 0 { i64::MAX } else { i64::MIN }))
    }
}

impl Add for Money {
    type Output = Money;

    fn add(self, other: Money) -> Money {
        Money(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Money) {
        *self = *self + other;
    }
}

impl Sub for Money {
    type Output = Money;

    fn sub(self, other: Money) -> Money {
        Money(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let nanos = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_by_the_million_and_rounds_up() {
        let price = Money::from_nanos(150_000_000); // $0.15 per million
        assert_eq!(price.per_million(1_000_000), price);
        assert_eq!(price.per_million(1).nanos(), 150);
        assert_eq!(Money::from_nanos(1).per_million(1).nanos(), 1);
        assert_eq!(Money::from_nanos(1_500_000_000).to_string(), "1.500000000");
    }
}
