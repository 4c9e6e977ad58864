//! Values with units, as policies write them: `60s`, `32MiB`, `100_000/min`, `25 USD/day`, `5%`.
//!
//! Each has `FromStr` (the loader's words), `Deserialize` (strings only, but for [`Ratio`]) and `JsonSchema` with a
//! `format` of its own, so that editors and the loader agree.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// Why a text is no value with a unit; the words are for the person who wrote it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct UnitError {
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

fn error(message: impl Into<String>, help: impl Into<String>) -> UnitError {
    UnitError { message: message.into(), help: help.into() }
}

/// A time span: `250ms`, `60s`, `5m`, `1h`, `2d`, or several of them from large to small, `1h30m`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(pub std::time::Duration);

/// A number of bytes: `512B`, `64KiB`, `32MiB`, `1GB`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

/// How many in how long: `10/s`, `100_000/min`, `5/hour`, `1000/day`, `20/30s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// How many; at least one.
    pub count: u64,
    /// In how long; never zero.
    pub per: std::time::Duration,
}

/// A share of a whole, from 0 to 1: `0.25` or `25%`.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Ratio(pub f64);

const DURATION_UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

const BYTE_UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

const RATE_UNITS: [(&str, u64); 11] = [
    ("s", 1),
    ("sec", 1),
    ("second", 1),
    ("m", 60),
    ("min", 60),
    ("minute", 60),
    ("h", 3_600),
    ("hour", 3_600),
    ("d", 86_400),
    ("day", 86_400),
    ("week", 604_800),
];

/// Splits a number (with `_` and one `.`) from what follows it.
fn number(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '_' && c != '.').unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    if !digits.starts_with(|c: char| c.is_ascii_digit()) || digits.ends_with(['_', '.']) {
        return None;
    }
    Some((digits.replace('_', "").parse().ok()?, rest))
}

impl FromStr for Duration {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let mut rest = text.trim();
        let mut millis = 0.0;
        let mut last = u64::MAX;
        if rest.is_empty() {
            return Err(error("a duration is a number and a unit", "write for example 60s"));
        }
        while !rest.is_empty() {
            let Some((count, after)) = number(rest) else {
                return Err(error(
                    format!("`{text}` is not a duration"),
                    "write a number and a unit: 250ms, 60s, 5m, 1h, 2d",
                ));
            };
            let after = after.trim_start();
            let end = after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len());
            let (unit, next) = after.split_at_checked(end).unwrap_or((after, ""));
            let Some((_, factor)) = DURATION_UNITS.iter().find(|(name, _)| *name == unit) else {
                return Err(if unit.is_empty() {
                    error("a duration needs a unit", format!("write for example {count}s"))
                } else {
                    error(
                        format!("`{unit}` is not a unit of time"),
                        format!("write for example {count}{}; units are ms, s, m, h, d", likely_time(unit)),
                    )
                });
            };
            if *factor >= last {
                return Err(error(
                    format!("`{text}` is not a duration"),
                    "units go from large to small, each at most once: 1h30m",
                ));
            }
            last = *factor;
            millis += count * *factor as f64;
            rest = next.trim_start();
        }
        if millis > 3_153_600_000_000.0 {
            return Err(error(format!("`{text}` is longer than a century"), "write a shorter duration"));
        }
        Ok(Self(std::time::Duration::from_micros((millis * 1000.0).round() as u64)))
    }
}

fn likely_time(unit: &str) -> &'static str {
    match unit.to_lowercase().chars().next() {
        Some('m') if unit.to_lowercase().starts_with("mil") => "ms",
        Some('m') => "m",
        Some('h') => "h",
        Some('d') => "d",
        _ => "s",
    }
}

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let help = "write a number and a unit: 64KiB, 32MiB, 1GB";
        let Some((count, unit)) = number(text.trim()) else {
            return Err(error(format!("`{text}` is not a size"), help));
        };
        let unit = unit.trim_start();
        if unit.is_empty() {
            return Err(error("a size needs a unit", format!("write for example {count}KiB or {count}B")));
        }
        let Some((_, factor)) = BYTE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)) else {
            return Err(error(
                format!("`{unit}` is not a unit of size"),
                "units are B, KB, MB, GB, TB (thousands) and KiB, MiB, GiB, TiB (1024s)",
            ));
        };
        let bytes = count * *factor as f64;
        if bytes > 9e18 {
            return Err(error(format!("`{text}` is too large"), help));
        }
        Ok(Self(bytes.round() as u64))
    }
}

impl FromStr for Rate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let help = "write how many in how long: 10/s, 100_000/min, 5/hour, 1000/day";
        let Some((count, unit)) = text.split_once('/') else {
            return Err(match number(text.trim()) {
                Some((_, "")) => {
                    error("a rate needs a time", format!("write for example {}/min", text.trim()))
                }
                _ => error(format!("`{text}` is not a rate"), help),
            });
        };
        let count = match number(count.trim()) {
            Some((count, "")) if count.fract() == 0.0 && (1.0..=9e18).contains(&count) => count as u64,
            Some((_, "")) => return Err(error("a rate is a whole number, at least 1", help)),
            _ => return Err(error(format!("`{count}` is not a number"), help)),
        };
        let unit = unit.trim();
        let per = match RATE_UNITS.iter().find(|(name, _)| *name == unit) {
            Some((_, seconds)) => std::time::Duration::from_secs(*seconds),
            None => match unit.parse::<Duration>() {
                Ok(per) if !per.0.is_zero() => per.0,
                _ => return Err(error(format!("`{unit}` is not a time"), help)),
            },
        };
        Ok(Self { count, per })
    }
}

impl FromStr for Ratio {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let text = text.trim();
        let (digits, scale) = match text.strip_suffix('%') {
            Some(digits) => (digits.trim_end(), 100.0),
            None => (text, 1.0),
        };
        match number(digits) {
            Some((value, "")) => Self::checked(value / scale),
            _ => Err(error(format!("`{text}` is not a share"), "write 25% or 0.25")),
        }
    }
}

impl Ratio {
    /// The share `value`; an error outside 0 to 1.
    pub fn checked(value: f64) -> Result<Self, UnitError> {
        if (0.0..=1.0).contains(&value) {
            Ok(Self(value))
        } else {
            Err(error(format!("{value} is not between 0 and 1"), "write 25% or 0.25"))
        }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis() as u64;
        let unit =
            DURATION_UNITS.iter().rev().find(|(_, factor)| millis != 0 && millis.is_multiple_of(*factor));
        match unit {
            Some((name, factor)) => write!(f, "{}{name}", millis / factor),
            None if millis == 0 && self.0.is_zero() => f.write_str("0s"),
            None => write!(f, "{}ms", self.0.as_secs_f64() * 1000.0),
        }
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, factor): &&(&str, u64)| self.0 >= *factor && self.0.is_multiple_of(*factor);
        match BYTE_UNITS.iter().rev().find(fits) {
            Some((name, factor)) => write!(f, "{}{name}", self.0 / factor),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.per.as_secs() {
            _ if self.per.subsec_nanos() != 0 => None,
            1 => Some("s"),
            60 => Some("min"),
            3_600 => Some("hour"),
            86_400 => Some("day"),
            604_800 => Some("week"),
            _ => None,
        };
        match unit {
            Some(unit) => write!(f, "{}/{unit}", self.count),
            None => write!(f, "{}/{}", self.count, Duration(self.per)),
        }
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl From<Duration> for std::time::Duration {
    fn from(duration: Duration) -> Self {
        duration.0
    }
}

struct Text<T>(std::marker::PhantomData<T>, &'static str);

impl<T: FromStr<Err = UnitError>> de::Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(|e: UnitError| E::custom(format!("{} ({})", e.message, e.help)))
    }
}

macro_rules! text_unit {
    ($type:ident, $format:literal, $expecting:literal, $doc:literal, $example:literal) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Text(std::marker::PhantomData, $expecting))
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn schema_id() -> Cow<'static, str> {
                concat!("weir::", stringify!($type)).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": $format, "description": $doc, "examples": [$example] })
            }
        }
    };
}

mod calendar;
mod network;

pub use calendar::{Budget, Calendar, Quota};
pub use network::Network;

text_unit!(
    Duration,
    "duration",
    "a duration such as 60s",
    "A number and a unit: `250ms`, `60s`, `5m`, `1h`, `2d`.",
    "60s"
);
text_unit!(
    ByteSize,
    "bytes",
    "a size such as 32MiB",
    "A number and a unit: `64KiB`, `32MiB`, `1GB`.",
    "32MiB"
);
text_unit!(
    Rate,
    "rate",
    "a rate such as 100/min",
    "How many in how long: `10/s`, `100_000/min`, `5/hour`, `1000/day`.",
    "100_000/min"
);

impl<'de> Deserialize<'de> for Ratio {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl de::Visitor<'_> for Either {
            type Value = Ratio;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a share such as 25% or 0.25")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Ratio, E> {
                text.parse().map_err(|e: UnitError| E::custom(e.message))
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Ratio, E> {
                Ratio::checked(value).map_err(|e| E::custom(e.message))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Ratio, E> {
                self.visit_f64(value as f64)
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Ratio, E> {
                self.visit_f64(value as f64)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl Serialize for Ratio {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0)
    }
}

impl JsonSchema for Ratio {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Ratio".into()
    }

    fn schema_id() -> Cow<'static, str> {
        "weir::Ratio".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["number", "string"],
            "format": "ratio",
            "minimum": 0,
            "maximum": 1,
            "description": "A share of a whole: `0.25` or `25%`.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write_and_prints_it_short() {
        for (text, millis, shown) in [
            ("250ms", 250, "250ms"),
            ("60s", 60_000, "1m"),
            ("1.5s", 1_500, "1500ms"),
            ("1h30m", 5_400_000, "90m"),
            ("2d", 172_800_000, "2d"),
            ("0s", 0, "0s"),
            ("1_000 ms", 1_000, "1s"),
        ] {
            let duration: Duration = text.parse().unwrap();
            assert_eq!(duration.0.as_millis(), millis, "{text}");
            assert_eq!(duration.to_string(), shown, "{text}");
        }
        for (text, bytes, shown) in [
            ("32MiB", 32 << 20, "32MiB"),
            ("1GB", 1_000_000_000, "1GB"),
            ("1.5 kb", 1_500, "1500B"),
            ("7B", 7, "7B"),
        ] {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!((size.0, size.to_string().as_str()), (bytes, shown), "{text}");
        }
        for (text, count, secs, shown) in [
            ("100_000/min", 100_000, 60, "100000/min"),
            ("10/s", 10, 1, "10/s"),
            ("5 / hour", 5, 3_600, "5/hour"),
            ("1000/day", 1000, 86_400, "1000/day"),
            ("20/30s", 20, 30, "20/30s"),
        ] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!(
                (rate.count, rate.per.as_secs(), rate.to_string().as_str()),
                (count, secs, shown),
                "{text}"
            );
        }
        assert_eq!("25%".parse::<Ratio>().unwrap(), Ratio(0.25));
        assert_eq!("0.93".parse::<Ratio>().unwrap(), Ratio(0.93));
    }

    #[test]
    fn says_what_is_missing() {
        for (got, message, help) in [
            ("60".parse::<Duration>().map(|_| ()), "a duration needs a unit", "write for example 60s"),
            (
                "10min".parse::<Duration>().map(|_| ()),
                "`min` is not a unit of time",
                "write for example 10m; units are ms, s, m, h, d",
            ),
            (
                "1m1h".parse::<Duration>().map(|_| ()),
                "`1m1h` is not a duration",
                "units go from large to small, each at most once: 1h30m",
            ),
            ("32".parse::<ByteSize>().map(|_| ()), "a size needs a unit", "write for example 32KiB or 32B"),
            ("100".parse::<Rate>().map(|_| ()), "a rate needs a time", "write for example 100/min"),
            (
                "0/s".parse::<Rate>().map(|_| ()),
                "a rate is a whole number, at least 1",
                "write how many in how long: 10/s, 100_000/min, 5/hour, 1000/day",
            ),
            ("120%".parse::<Ratio>().map(|_| ()), "1.2 is not between 0 and 1", "write 25% or 0.25"),
        ] {
            let error = got.unwrap_err();
            assert_eq!((error.message.as_str(), error.help.as_str()), (message, help));
        }
    }

    #[test]
    fn no_text_makes_them_panic() {
        for text in
            ["", " ", "/", "%", "é", "1é", "99999999999999999999d", "1e400", "._", "1._", "１s", "1/１"]
        {
            let _ = (text.parse::<Duration>(), text.parse::<ByteSize>());
            let _ = (text.parse::<Rate>(), text.parse::<Ratio>());
        }
    }
}
