//! What may be spent in a window of the calendar: `1_000_000/month`, `25 USD/day`.

use super::{Text, UnitError, error};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// A window of the calendar. Each begins where the last one ended, in some time zone; a total never ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Calendar {
    /// From one full hour to the next.
    Hour,
    /// From midnight to midnight.
    Day,
    /// From Monday to Monday (ISO 8601).
    Week,
    /// From the first of a month to the first of the next.
    Month,
    /// For good.
    Total,
}

/// So many in a window of the calendar: `1_000_000/month`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// How many; at least one.
    pub count: u64,
    /// In which window.
    pub per: Calendar,
}

/// So much money in a window of the calendar: `25 USD/day`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Billionths of a US dollar; at least one.
    pub nanos: u64,
    /// In which window.
    pub per: Calendar,
}

impl Calendar {
    /// Every window, the shortest first.
    pub const ALL: [Calendar; 5] =
        [Calendar::Hour, Calendar::Day, Calendar::Week, Calendar::Month, Calendar::Total];

    /// Its name in policies.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Total => "total",
        }
    }
}

impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Splits `WHAT/WINDOW`.
fn split<'t>(text: &'t str, example: &str, help: &str) -> Result<(&'t str, Calendar), UnitError> {
    let Some((what, window)) = text.trim().split_once('/') else {
        let message = format!("`{text}` names no window of the calendar");
        return Err(error(message, format!("write for example {example}")));
    };
    match Calendar::ALL.into_iter().find(|calendar| calendar.name() == window.trim()) {
        Some(calendar) => Ok((what.trim(), calendar)),
        None => Err(error(format!("`{}` is no window of the calendar", window.trim()), help)),
    }
}

/// A decimal number as so many billionths, exactly.
fn nanos(text: &str) -> Option<u64> {
    let (whole, broken) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| -> Option<u64> {
        let is_digits = text.starts_with(|c: char| c.is_ascii_digit())
            && text.ends_with(|c: char| c.is_ascii_digit())
            && text.chars().all(|c| c.is_ascii_digit() || c == '_');
        if is_digits { text.replace('_', "").parse().ok() } else { None }
    };
    if broken.len() > 9 || broken.contains('_') {
        return None;
    }
    let scale = 10u64.pow(u32::try_from(9 - broken.len()).ok()?);
    digits(whole)?.checked_mul(1_000_000_000)?.checked_add(digits(broken)? * scale)
}

/// More than this no sum of money here holds: nine billion dollars.
const MOST_NANOS: u64 = 9_000_000_000_000_000_000;

impl FromStr for Quota {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let help = "write how many in which window: 50_000/hour, 1_000_000/day, 5_000_000/week, 20_000_000/month, 100_000_000/total";
        let (count, per) = split(text, "1_000_000/month", help)?;
        let number = nanos(count).filter(|nanos| *nanos > 0 && nanos.is_multiple_of(1_000_000_000));
        match number.map(|nanos| nanos / 1_000_000_000) {
            Some(count) => Ok(Self { count, per }),
            None => Err(error(format!("`{count}` is no whole number of at least 1"), help)),
        }
    }
}

impl FromStr for Budget {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let help = "write dollars and a window: 0.50 USD/hour, 25 USD/day, 100 USD/week, 400 USD/month, 10_000 USD/total";
        let (money, per) = split(text, "25 USD/day", help)?;
        let Some(dollars) = money.strip_suffix("USD") else {
            return Err(error(format!("`{money}` is no sum of US dollars"), help));
        };
        match nanos(dollars.trim()).filter(|nanos| (1..=MOST_NANOS).contains(nanos)) {
            Some(nanos) => Ok(Self { nanos, per }),
            None => Err(error(format!("`{}` is no sum of money above 0", dollars.trim()), help)),
        }
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.per)
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, broken) = (self.nanos / 1_000_000_000, self.nanos % 1_000_000_000);
        match broken {
            0 => write!(f, "{whole} USD/{}", self.per),
            _ => {
                let digits = format!("{broken:09}");
                let digits = digits.trim_end_matches('0');
                write!(f, "{whole}.{digits:0<2} USD/{}", self.per)
            }
        }
    }
}

text_unit!(
    Quota,
    "quota",
    "a quota such as 1_000_000/month",
    "How many in a window of the calendar (`hour`, `day`, `week`, `month`, `total`): `1_000_000/month`.",
    "1_000_000/month"
);
text_unit!(
    Budget,
    "budget",
    "a budget such as 25 USD/day",
    "How much money in a window of the calendar (`hour`, `day`, `week`, `month`, `total`): `25 USD/day`.",
    "25 USD/day"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write_and_prints_it_short() {
        for (text, nanos, shown) in [
            ("25 USD/day", 25_000_000_000, "25 USD/day"),
            ("0.5USD / month", 500_000_000, "0.50 USD/month"),
            ("1_000.000000001 USD/total", 1_000_000_000_001, "1000.000000001 USD/total"),
        ] {
            let budget: Budget = text.parse().unwrap();
            assert_eq!((budget.nanos, budget.to_string().as_str()), (nanos, shown), "{text}");
        }
        let quota: Quota = "1_000_000/week".parse().unwrap();
        assert_eq!((quota.count, quota.to_string().as_str()), (1_000_000, "1000000/week"));
    }

    #[test]
    fn says_what_is_missing() {
        for (text, message) in [
            ("25 USD", "`25 USD` names no window of the calendar"),
            ("25 USD/min", "`min` is no window of the calendar"),
            ("25/day", "`25` is no sum of US dollars"),
            ("25 EUR/day", "`25 EUR` is no sum of US dollars"),
            ("0 USD/day", "`0` is no sum of money above 0"),
            ("-1 USD/day", "`-1` is no sum of money above 0"),
            ("1.0000000001 USD/day", "`1.0000000001` is no sum of money above 0"),
            ("99999999999 USD/day", "`99999999999` is no sum of money above 0"),
        ] {
            assert_eq!(text.parse::<Budget>().unwrap_err().message, message);
        }
        for text in ["", "/", "1.5/day", "0/day", "_1/day", "1_/day", "１/day", "99999999999999999999/day"] {
            assert!(text.parse::<Quota>().is_err(), "{text}");
        }
    }
}
