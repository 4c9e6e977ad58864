//! Windows of the calendar in a time zone.

use chrono::{DateTime, Datelike, Days, LocalResult, Months, NaiveDate, NaiveDateTime, TimeZone, Timelike};
use chrono_tz::Tz;
use weir_diagnostic::units::Calendar;

/// One window: this hour, today, this week, this month, or all time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Which kind.
    pub calendar: Calendar,
    /// Which one of its kind: hours since 1970, days or Mondays since year 1, months since year 0; 0 for all time. Days, weeks
    /// and months are numbered by their dates, so that another time zone finds what was spent on the same date.
    pub number: i64,
    /// When it ends, in seconds since 1970 UTC; all time does not.
    pub ends: Option<i64>,
}

/// The time zone of this name in the IANA database (`Europe/Berlin`, `UTC`).
pub fn time_zone(name: &str) -> Option<Tz> {
    name.parse().ok()
}

/// The names of all time zones.
pub fn time_zones() -> impl Iterator<Item = &'static str> {
    chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name())
}

impl Window {
    /// The window in which a moment (seconds since 1970 UTC) falls.
    pub fn at(calendar: Calendar, zone: Tz, unix: i64) -> Self {
        let all_time = Self { calendar, number: 0, ends: None };
        let Some(now) = DateTime::from_timestamp(unix, 0).map(|now| now.with_timezone(&zone)) else {
            return all_time;
        };
        let today = now.date_naive();
        let (number, next) = match calendar {
            Calendar::Total => return all_time,
            Calendar::Hour => {
                // By the minutes past the hour there, which are not the same everywhere. Counted in real time: the hour that a
                // clock shows twice in autumn is two.
                let begins = unix - i64::from(now.minute()) * 60 - i64::from(now.second());
                let ends = Some(begins + 3_600);
                return Self { calendar, number: begins.div_euclid(3_600), ends };
            }
            Calendar::Day => (i64::from(today.num_days_from_ce()), today.checked_add_days(Days::new(1))),
            Calendar::Week => {
                let since = today.weekday().num_days_from_monday();
                let monday = today.checked_sub_days(Days::new(u64::from(since)));
                let next = monday.and_then(|monday| monday.checked_add_days(Days::new(7)));
                (i64::from(today.num_days_from_ce()) - i64::from(since), next)
            }
            Calendar::Month => {
                let next = today.with_day(1).and_then(|first| first.checked_add_months(Months::new(1)));
                (i64::from(today.year()) * 12 + i64::from(today.month0()), next)
            }
        };
        Self { calendar, number, ends: next.and_then(|next| midnight(next, zone)) }
    }
}

/// When a day begins: at midnight, or where a clock leaps over midnight, right after.
fn midnight(day: NaiveDate, zone: Tz) -> Option<i64> {
    let midnight: NaiveDateTime = day.and_hms_opt(0, 0, 0)?;
    // A zone that changed sides of the date line once leapt over a whole day.
    (0..=100).find_map(|quarters| {
        match zone.from_local_datetime(&(midnight + chrono::Duration::minutes(15 * quarters))) {
            LocalResult::Single(time) | LocalResult::Ambiguous(_, time) => Some(time.timestamp()),
            LocalResult::None => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unix(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp()
    }

    #[test]
    fn windows_follow_the_calendar_of_their_zone() {
        for (calendar, zone, at, ends) in [
            (Calendar::Hour, "UTC", "2026-11-24T10:59:59Z", "2026-11-24T11:00:00Z"),
            (Calendar::Hour, "Asia/Kolkata", "2026-11-24T10:20:00Z", "2026-11-24T10:30:00Z"),
            (Calendar::Day, "UTC", "2026-11-24T00:00:00Z", "2026-11-25T00:00:00Z"),
            (Calendar::Day, "Europe/Berlin", "2026-11-24T23:30:00Z", "2026-11-25T23:00:00Z"),
            // 25 hours long.
            (Calendar::Day, "Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
            // 23 hours long.
            (Calendar::Day, "Europe/Berlin", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
            // No midnight on that day: the clock leaps from 0:00 to 1:00.
            (Calendar::Day, "America/Santiago", "2026-09-05T12:00:00Z", "2026-09-06T04:00:00Z"),
            (Calendar::Week, "UTC", "2026-11-29T23:59:59Z", "2026-11-30T00:00:00Z"),
            (Calendar::Week, "UTC", "2026-11-30T00:00:00Z", "2026-12-07T00:00:00Z"),
            (Calendar::Month, "America/New_York", "2026-12-31T23:00:00Z", "2027-01-01T05:00:00Z"),
            (Calendar::Month, "UTC", "2028-02-29T12:00:00Z", "2028-03-01T00:00:00Z"),
        ] {
            let window = Window::at(calendar, time_zone(zone).unwrap(), unix(at));
            assert_eq!(window.ends, Some(unix(ends)), "{calendar} of {at} in {zone}");
        }
        assert_eq!(Window::at(Calendar::Total, Tz::UTC, 0).ends, None);
        assert_eq!(time_zone("Europe/Berlln"), None);
    }

    proptest! {
        /// A window holds the moment it was asked for, its last second is in it, and the next begins where it ends. (Since 2013:
        /// before that, some clocks went back over midnight.)
        #[test]
        fn windows_touch_and_do_not_overlap(
            at in 1_357_000_000i64..4_000_000_000,
            zone in any::<prop::sample::Index>(),
            calendar in prop::sample::select(&Calendar::ALL[1..4]),
        ) {
            let zone = *zone.get(&chrono_tz::TZ_VARIANTS);
            let window = Window::at(calendar, zone, at);
            let ends = window.ends.unwrap();
            prop_assert!(ends > at);
            prop_assert_eq!(Window::at(calendar, zone, ends - 1), window);
            let next = Window::at(calendar, zone, ends);
            prop_assert!(next.number > window.number, "{:?} {:?}", window, next);
        }
    }
}
