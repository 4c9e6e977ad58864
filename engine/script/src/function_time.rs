//! Functions over moments and lengths of time.

use crate::fault::{FaultCause, Trouble};
use crate::function::{Answer, bad, wrong};
use crate::object::Context;
use crate::value::Value;
use chrono::{DateTime, Datelike, FixedOffset, SecondsFormat, Timelike, Utc};
use chrono_tz::Tz;

/// A moment as RFC 3339.
pub(crate) fn rfc3339(nanos: i64) -> String {
    DateTime::<Utc>::from_timestamp_nanos(nanos).to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// A length of time as seconds: `5400s`, `1.5s`.
pub(crate) fn seconds_text(nanos: i64) -> String {
    let (sign, size) = (if nanos < 0 { "-" } else { "" }, nanos.unsigned_abs());
    let (whole, rest) = (size / 1_000_000_000, size % 1_000_000_000);
    if rest == 0 {
        return format!("{sign}{whole}s");
    }
    format!("{sign}{whole}.{}s", format!("{rest:09}").trim_end_matches('0'))
}

fn moment(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text).ok()?.timestamp_nanos_opt()
}

/// Nanoseconds of `1h30m`, `1.5s`, `-20ms`.
fn length(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total: i128 = 0;
    let mut any = false;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at_checked(digits)?;
        let letters = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(letters)?;
        let unit: i128 = match unit {
            "h" => 3_600_000_000_000,
            "m" => 60_000_000_000,
            "s" => 1_000_000_000,
            "ms" => 1_000_000,
            "us" | "µs" => 1_000,
            "ns" => 1,
            _ => return None,
        };
        let (whole, broken) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && broken.is_empty()) || broken.len() > 18 || whole.len() > 18 {
            return None;
        }
        let digits = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<i128>().ok() };
        let scale = 10i128.checked_pow(u32::try_from(broken.len()).ok()?)?;
        total += digits(whole)? * unit + digits(broken)? * unit / scale;
        any = true;
        rest = tail;
    }
    if any { i64::try_from(sign * total).ok() } else { None }
}

pub(crate) fn check_timestamp(text: &str) -> Result<(), String> {
    match moment(text) {
        Some(_) => Ok(()),
        None => Err(format!("\"{text}\" is no moment; write one like \"2026-01-31T08:00:00Z\"")),
    }
}

pub(crate) fn check_duration(text: &str) -> Result<(), String> {
    match length(text) {
        Some(_) => Ok(()),
        None => Err(format!("\"{text}\" is no length of time; write one like \"1h30m\" or \"0.5s\"")),
    }
}

pub(crate) fn check_zone(text: &str) -> Result<(), String> {
    if zone(text).is_some() {
        return Ok(());
    }
    let near = weir_diagnostic::nearest(text, chrono_tz::TZ_VARIANTS.iter().map(|tz| tz.name()));
    Err(match near {
        Some(near) => format!("\"{text}\" is no time zone; did you mean \"{near}\"?"),
        None => format!("\"{text}\" is no time zone; write one like \"Europe/Berlin\" or \"+02:00\""),
    })
}

pub(crate) fn timestamp<'a>(_: &Context<'a>, args: &[Value<'a>]) -> Answer<'a> {
    let [Value::Text(text)] = args else { return wrong("timestamp", args) };
    moment(text.as_str()).map_or_else(|| bad("the text is no moment"), |nanos| Ok(Value::Timestamp(nanos)))
}

pub(crate) fn duration<'a>(_: &Context<'a>, args: &[Value<'a>]) -> Answer<'a> {
    let [Value::Text(text)] = args else { return wrong("duration", args) };
    length(text.as_str())
        .map_or_else(|| bad("the text is no length of time"), |nanos| Ok(Value::Duration(nanos)))
}

enum Zone {
    Named(Tz),
    Fixed(FixedOffset),
}

fn zone(text: &str) -> Option<Zone> {
    match text.parse::<Tz>() {
        Ok(tz) => Some(Zone::Named(tz)),
        Err(_) => text.parse::<FixedOffset>().ok().map(Zone::Fixed),
    }
}

/// What `pick` says of a moment in the zone asked for.
fn field<'a>(name: &str, args: &[Value<'a>], pick: fn(&DateTime<FixedOffset>) -> u32) -> Answer<'a> {
    let (nanos, zone) = match args {
        [Value::Timestamp(nanos)] => (*nanos, Zone::Named(Tz::UTC)),
        [Value::Timestamp(nanos), Value::Text(text)] => match zone(text.as_str()) {
            Some(zone) => (*nanos, zone),
            None => return Err(Trouble::new(FaultCause::BadValue, "the text is no time zone")),
        },
        _ => return wrong(name, args),
    };
    let utc = DateTime::<Utc>::from_timestamp_nanos(nanos);
    let there = match zone {
        Zone::Named(tz) => utc.with_timezone(&tz).fixed_offset(),
        Zone::Fixed(offset) => utc.with_timezone(&offset),
    };
    Ok(Value::Int(i64::from(pick(&there))))
}

/// As [`field`], or the whole units of a length of time.
fn field_or_units<'a>(
    name: &str,
    args: &[Value<'a>],
    unit: i64,
    pick: fn(&DateTime<FixedOffset>) -> u32,
) -> Answer<'a> {
    match args {
        [Value::Duration(nanos)] => Ok(Value::Int(nanos / unit)),
        _ => field(name, args, pick),
    }
}

pub(crate) fn full_year<'a>(_: &Context<'a>, args: &[Value<'a>]) -> Answer<'a> {
    field("getFullYear", args, |t| t.year().unsigned_abs())
}

pub(crate) fn month<'a>(_: &Context<'a>, args: &[Value<'a>]) -> Answer<'a> {
    field("getMonth", args, Datelike::month0)
}

pub(crate) fn date<'a>(_: &Context<'a>, args: &[Value<'a>]) -> Answer<'a> {
    field("getDate", args, Datelike::day)
}

pub(crate) fn day_of_month<'a>(_: &Context<'a>, args: &[Value<'a>]) -> Answer<'a> {
    field("getDayOfMonth", args, Datelike::day0)
}

pub(crate) fn day_of_week<'a>(_: &Context<'a>, args: &[Value<'a>]) -> Answer<'a> {
    field("getDayOfWeek", args, |t| t.weekday().num_days_from_sunday())
}

pub(crate) fn day_of_year<'a>(_: &Context<'a>, args: &[Value<'a>]) -> Answer<'a> {
    field("getDayOfYear", args, Datelike::ordinal0)
}

pub(crate) fn hours<'a>(_: &Context<'a>, args: &[Value<'a>]) -> Answer<'a> {
    field_or_units("getHours", args, 3_600_000_000_000, Timelike::hour)
}

pub(crate) fn minutes<'a>(_: &Context<'a>, args: &[Value<'a>]) -> Answer<'a> {
    field_or_units("getMinutes", args, 60_000_000_000, Timelike::minute)
}

pub(crate) fn seconds<'a>(_: &Context<'a>, args: &[Value<'a>]) -> Answer<'a> {
    field_or_units("getSeconds", args, 1_000_000_000, Timelike::second)
}

pub(crate) fn milliseconds<'a>(_: &Context<'a>, args: &[Value<'a>]) -> Answer<'a> {
    field_or_units("getMilliseconds", args, 1_000_000, |t| t.nanosecond() / 1_000_000)
}
