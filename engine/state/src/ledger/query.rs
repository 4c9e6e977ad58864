//! What is asked of a ledger.

use super::series::{Dimension, Series};
use chrono::{DateTime, Datelike, LocalResult, NaiveDate, TimeZone};
use chrono_tz::Tz;
use weir_diagnostic::nearest;
use weir_diagnostic::units::{Calendar, Duration};

/// What is asked of a ledger: from when to when, told apart by what, and which of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// From this moment on, in seconds since 1970 UTC.
    pub since: Option<i64>,
    /// Before this moment.
    pub until: Option<i64>,
    /// What sums are told apart by, besides time.
    pub by: Vec<Dimension>,
    /// The windows of the calendar that sums are told apart by.
    pub bucket: Option<Calendar>,
    /// Where these windows and days begin.
    pub zone: Tz,
    /// All of these hold.
    pub filters: Vec<Filter>,
}

/// A condition: one of the values, or none of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Of what.
    pub dimension: Dimension,
    /// Values, or beginnings of values that end in `*`.
    pub values: Vec<String>,
    /// Whether it must be none of them.
    pub is_not: bool,
}

impl Default for Query {
    fn default() -> Self {
        Self { since: None, until: None, by: Vec::new(), bucket: None, zone: Tz::UTC, filters: Vec::new() }
    }
}

impl Query {
    /// The query of these names and values, as the command line and the admin API give them: `by=team,model`, `bucket=day`,
    /// `since` and `until` (a day, a moment in RFC 3339, or how long ago: `7d`), `where=team=web`, `time_zone`. `now`: seconds
    /// since 1970 UTC.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub fn parse(pairs: &[(&str, &str)], now: i64) -> Result<Self, String> {
        let mut query = Self::default();
        // What a day means depends on it.
        for (_, value) in pairs.iter().filter(|(name, _)| *name == "time_zone") {
            query.zone = value.parse().map_err(|_| unknown("time zone", value, crate::time_zones()))?;
        }
        for (name, value) in pairs {
            match *name {
                "by" => {
                    for name in value.split(',').map(str::trim).filter(|name| !name.is_empty()) {
                        query.by.push(dimension(name)?);
                    }
                }
                "bucket" => {
                    let names = Calendar::ALL.iter().map(|calendar| calendar.name());
                    let known = Calendar::ALL.into_iter().find(|calendar| calendar.name() == *value);
                    query.bucket = Some(known.ok_or_else(|| unknown("bucket", value, names))?);
                }
                "since" => query.since = Some(moment(value, query.zone, now)?),
                "until" => query.until = Some(moment(value, query.zone, now)?),
                "where" => query.filters.push(filter(value)?),
                "time_zone" => {}
                other => {
                    let names = ["by", "bucket", "since", "until", "where", "time_zone"];
                    return Err(unknown("parameter", other, names));
                }
            }
        }
        Ok(query)
    }

    /// Whether only single rows can answer it: sums are by the hour of UTC, and know no revision.
    pub(super) fn needs_rows(&self) -> bool {
        let dimensions = self.by.iter().chain(self.filters.iter().map(|filter| &filter.dimension));
        let on_hour = |moment: &i64| moment.rem_euclid(3_600) == 0;
        dimensions.into_iter().any(|dimension| *dimension == Dimension::Revision)
            || !self.since.iter().chain(&self.until).all(on_hour)
            || (self.bucket.is_some_and(|bucket| bucket != Calendar::Total) && !self.has_whole_hours())
    }

    /// Whether clocks of the zone differ from UTC by whole hours, in the years that count.
    fn has_whole_hours(&self) -> bool {
        use chrono::Offset;
        let edges = [self.since.unwrap_or(1_700_000_000), self.until.unwrap_or(4_000_000_000)];
        let half_year = [0, 15_768_000].into_iter().flat_map(|later| edges.map(|edge| edge + later));
        half_year.into_iter().all(|moment| {
            let time = DateTime::from_timestamp(moment, 0).map(|time| time.with_timezone(&self.zone));
            time.is_none_or(|time| time.offset().fix().local_minus_utc().rem_euclid(3_600) == 0)
        })
    }

    /// Whether a series is asked for; what only rows know is taken to be.
    pub(super) fn takes(&self, series: &Series) -> bool {
        let known = |filter: &&Filter| filter.dimension != Dimension::Revision;
        self.filters.iter().filter(known).all(|filter| filter.takes(&series.get(&filter.dimension)))
    }

    /// Whether a revision is asked for.
    pub(super) fn takes_revision(&self, revision: &str) -> bool {
        let of = |filter: &&Filter| filter.dimension == Dimension::Revision;
        self.filters.iter().filter(of).all(|filter| filter.takes(revision))
    }

    /// The window of a moment (seconds since 1970 UTC), as people write it.
    pub(super) fn label(&self, moment: i64) -> String {
        let Some(bucket) = self.bucket else { return String::new() };
        let time = DateTime::from_timestamp(moment, 0).map(|time| time.with_timezone(&self.zone));
        let Some(time) = time else { return String::new() };
        match bucket {
            Calendar::Hour => time.format("%Y-%m-%dT%H:00%:z").to_string(),
            Calendar::Day => time.format("%Y-%m-%d").to_string(),
            Calendar::Week => {
                let week = time.date_naive().iso_week();
                format!("{}-W{:02}", week.year(), week.week())
            }
            Calendar::Month => time.format("%Y-%m").to_string(),
            Calendar::Total => "total".to_owned(),
        }
    }
}

impl Filter {
    fn takes(&self, value: &str) -> bool {
        let fits = |wanted: &String| match wanted.strip_suffix('*') {
            Some(start) => value.starts_with(start),
            None => value == wanted,
        };
        self.values.iter().any(fits) != self.is_not
    }
}

fn dimension(name: &str) -> Result<Dimension, String> {
    Dimension::from_name(name).ok_or_else(|| {
        let tag = "; a tag is written `tag.NAME`";
        format!("{}{tag}", unknown("dimension", name, Dimension::names()))
    })
}

fn filter(text: &str) -> Result<Filter, String> {
    let (name, values, is_not) = match (text.split_once("!="), text.split_once('=')) {
        (Some((name, values)), Some((before, _))) if before.len() > name.len() => (name, values, true),
        (_, Some((name, values))) => (name, values, false),
        _ => {
            return Err(format!("`{text}` is no condition: write for example `team=web` or `model!=gpt-5*`"));
        }
    };
    let values = values.split(',').map(|value| value.trim().to_owned()).collect();
    Ok(Filter { dimension: dimension(name.trim())?, values, is_not })
}

/// A moment in RFC 3339, or the begin of a day in UTC, in seconds since 1970 UTC.
pub fn unix_time(text: &str) -> Option<i64> {
    match DateTime::parse_from_rfc3339(text) {
        Ok(time) => Some(time.timestamp()),
        Err(_) => {
            let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
            Some(day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp())
        }
    }
}

/// Seconds since 1970 UTC as RFC 3339 writes them; what no calendar has is its last moment.
pub fn rfc3339(seconds: i64) -> String {
    let time = DateTime::from_timestamp(seconds, 0).unwrap_or(DateTime::<chrono::Utc>::MAX_UTC);
    time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

fn moment(text: &str, zone: Tz, now: i64) -> Result<i64, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.timestamp());
    }
    if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        let midnight = day.and_time(chrono::NaiveTime::MIN);
        // Where a clock leaps over midnight, the day begins after it.
        let begins = (0..=4).find_map(|hours| {
            match zone.from_local_datetime(&(midnight + chrono::Duration::minutes(30 * hours))) {
                LocalResult::Single(time) | LocalResult::Ambiguous(time, _) => Some(time.timestamp()),
                LocalResult::None => None,
            }
        });
        return begins.ok_or_else(|| format!("there is no day {text} in {zone}"));
    }
    match text.parse::<Duration>() {
        Ok(ago) => Ok(now.saturating_sub(i64::try_from(ago.0.as_secs()).unwrap_or(i64::MAX))),
        Err(_) => Err(format!(
            "`{text}` is no time: write a day (2026-11-24), a moment (2026-11-24T10:00:00Z) or how long ago (7d)"
        )),
    }
}

fn unknown<'a>(what: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let help = match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.len() <= 20 => format!("there are {}", known.join(", ")),
        None => String::new(),
    };
    format!("there is no {what} `{name}`; {help}").trim_end_matches([' ', ';']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-24T10:20:00Z
    const NOW: i64 = 1_795_515_600;

    #[test]
    fn reads_what_people_write() {
        let parse = |pairs: &[(&str, &str)]| Query::parse(pairs, NOW);
        let query = parse(&[
            ("since", "2026-11-24"),
            ("time_zone", "Europe/Berlin"),
            ("until", "2026-11-24T12:00:00+01:00"),
            ("by", "team, tag.cost-centre"),
            ("by", "model"),
            ("bucket", "week"),
            ("where", "model!=gpt-5*,o3"),
        ])
        .unwrap();
        assert_eq!((query.since, query.until), (Some(NOW - NOW % 86_400 - 3_600), Some(1_795_518_000)));
        assert_eq!(query.by, [Dimension::Team, Dimension::Tag("cost-centre".into()), Dimension::Model]);
        assert_eq!(query.bucket, Some(Calendar::Week));
        let [filter] = &query.filters[..] else { panic!() };
        let takes = ["gpt-5", "gpt-5-mini", "o3", "o3-mini", ""].map(|model| filter.takes(model));
        assert_eq!(takes, [false, false, false, true, true]);
        assert_eq!(parse(&[("since", "2h")]).unwrap().since, Some(NOW - 7_200));
        for (pair, want) in [
            (("by", "tem"), "did you mean `team`?"),
            (("by", "tag."), "a tag is written `tag.NAME`"),
            (("bucket", "year"), "there are hour, day, week, month, total"),
            (("since", "yesterday"), "is no time"),
            (("where", "team"), "is no condition"),
            (("time_zone", "Europe/Berlln"), "did you mean `Europe/Berlin`?"),
            (("whre", "x"), "did you mean `where`?"),
        ] {
            assert!(parse(&[pair]).unwrap_err().contains(want), "{pair:?}");
        }
    }

    #[test]
    fn sums_answer_what_begins_and_ends_at_full_hours() {
        let needs = |pairs: &[(&str, &str)]| Query::parse(pairs, NOW).unwrap().needs_rows();
        for (pairs, rows) in [
            (&[("by", "team")][..], false),
            (&[("since", "2026-11-24")], false),
            (&[("since", "2026-11-24T10:30:00Z")], true),
            (&[("by", "revision")], true),
            (&[("where", "revision=a")], true),
            (&[("bucket", "day"), ("time_zone", "Europe/Berlin")], false),
            (&[("bucket", "day"), ("time_zone", "Asia/Kolkata")], true),
            (&[("bucket", "total"), ("time_zone", "Asia/Kolkata")], false),
            // Half an hour in one half of the year.
            (&[("bucket", "day"), ("time_zone", "Australia/Lord_Howe")], true),
        ] {
            assert_eq!(needs(pairs), rows, "{pairs:?}");
        }
    }

    #[test]
    fn windows_are_written_as_people_do() {
        for (bucket, zone, want) in [
            ("hour", "UTC", "2026-11-24T10:00+00:00"),
            ("hour", "Europe/Berlin", "2026-11-24T11:00+01:00"),
            ("day", "Pacific/Auckland", "2026-11-24"),
            ("week", "UTC", "2026-W48"),
            ("month", "UTC", "2026-11"),
        ] {
            let query = Query::parse(&[("bucket", bucket), ("time_zone", zone)], NOW).unwrap();
            assert_eq!(query.label(NOW), want);
        }
    }
}
