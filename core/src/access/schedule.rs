//! Schedules: windows of a week and exceptions by date, in the site's time zone.

use jiff::Timestamp;
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// A day of the week, as written in configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "days of the week")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl From<Weekday> for Day {
    fn from(day: Weekday) -> Self {
        match day {
            Weekday::Monday => Day::Mon,
            Weekday::Tuesday => Day::Tue,
            Weekday::Wednesday => Day::Wed,
            Weekday::Thursday => Day::Thu,
            Weekday::Friday => Day::Fri,
            Weekday::Saturday => Day::Sat,
            Weekday::Sunday => Day::Sun,
        }
    }
}

/// Hours of some days. `to` at or before `from` runs past midnight into the next day; `to` itself is outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// On which days it begins.
    pub days: Vec<Day>,
    /// `HH:MM`.
    pub from: String,
    /// `HH:MM`; `24:00` is the end of the day.
    pub to: String,
}

/// A window whose hours cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an hour: write HH:MM from 00:00 to 24:00")]
pub struct ScheduleError(pub String);

/// A week of windows, with dates on which nothing is open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    windows: Vec<(Vec<Day>, u16, u16)>,
    closed: Vec<Date>,
}

fn minute(text: &str) -> Result<u16, ScheduleError> {
    let wrong = || ScheduleError(text.to_owned());
    let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
    let (hour, minute): (u16, u16) = (hour.parse().map_err(|_| wrong())?, minute.parse().map_err(|_| wrong())?);
    if minute > 59 || hour > 24 || (hour == 24 && minute > 0) { Err(wrong()) } else { Ok(hour * 60 + minute) }
}

fn minute_of(time: Time) -> u16 {
    u16::try_from(i32::from(time.hour()) * 60 + i32::from(time.minute())).unwrap_or(0)
}

impl Schedule {
    /// Reads windows and closed dates.
    pub fn new(windows: &[Window], closed: &[Date]) -> Result<Self, ScheduleError> {
        let windows =
            windows.iter().map(|w| Ok((w.days.clone(), minute(&w.from)?, minute(&w.to)?))).collect::<Result<_, _>>()?;
        Ok(Self { windows, closed: closed.to_vec() })
    }

    /// Whether it is open at a moment.
    pub fn permits(&self, now: Timestamp, zone: &TimeZone) -> bool {
        let local = zone.to_datetime(now);
        let at = minute_of(local.time());
        let opens = |date: Date, within: &dyn Fn(u16, u16) -> bool| {
            !self.closed.contains(&date)
                && self
                    .windows
                    .iter()
                    .any(|(days, from, to)| days.contains(&date.weekday().into()) && within(*from, *to))
        };
        let today = opens(local.date(), &|from, to| from <= at && (at < to || to <= from));
        let last_night =
            local.date().yesterday().is_ok_and(|yesterday| opens(yesterday, &|from, to| to <= from && at < to));
        today || last_night
    }

    /// The next moment after which it may be open or closed where it was not: the nearest beginning or end of a window.
    pub fn next_change(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let today = zone.to_datetime(now).date();
        let days = today.yesterday().ok()?.series(jiff::Span::new().days(1)).take(9);
        let edge = |date: Date, minutes: u16| {
            let hours = i8::try_from(minutes / 60 % 24).ok()?;
            let date = if minutes >= 1_440 { date.tomorrow().ok()? } else { date };
            let at = date.at(hours, i8::try_from(minutes % 60).ok()?, 0, 0);
            zone.to_ambiguous_timestamp(at).compatible().ok()
        };
        days.flat_map(|date| {
            let windows = self.windows.iter().filter(move |(days, _, _)| days.contains(&date.weekday().into()));
            windows.flat_map(move |(_, from, to)| {
                let ends = if to <= from { date.tomorrow().ok() } else { Some(date) };
                [edge(date, *from), ends.and_then(|ends| edge(ends, *to))]
            })
        })
        .flatten()
        .filter(|at| *at > now)
        .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(windows: &[Window], at: &str) -> bool {
        // 2026-05-04 is a Monday.
        let schedule = Schedule::new(windows, &["2026-05-07".parse().unwrap()]).unwrap();
        schedule.permits(at.parse().unwrap(), &TimeZone::fixed(jiff::tz::offset(8)))
    }

    #[test]
    fn a_window_is_read_in_the_sites_zone() {
        let day = [Window { days: vec![Day::Mon, Day::Thu], from: "07:00".into(), to: "22:00".into() }];
        assert!(open(&day, "2026-05-03T23:00:00Z")); // Monday 07:00 there
        assert!(!open(&day, "2026-05-04T14:00:00Z")); // Monday 22:00 there
        assert!(!open(&day, "2026-05-07T04:00:00Z")); // a closed Thursday
    }

    #[test]
    fn its_next_change_is_the_nearest_edge_of_a_window() {
        let night = [Window { days: vec![Day::Mon], from: "22:00".into(), to: "06:00".into() }];
        let schedule = Schedule::new(&night, &[]).unwrap();
        let zone = TimeZone::fixed(jiff::tz::offset(8));
        let next = |at: &str| schedule.next_change(at.parse().unwrap(), &zone).unwrap().to_string();
        assert_eq!(next("2026-05-04T00:00:00Z"), "2026-05-04T14:00:00Z"); // Monday 22:00
        assert_eq!(next("2026-05-04T14:00:00Z"), "2026-05-04T22:00:00Z"); // Tuesday 06:00
        assert_eq!(next("2026-05-04T22:00:00Z"), "2026-05-11T14:00:00Z"); // a week later
        let day = [Window { days: vec![Day::Sun], from: "00:00".into(), to: "24:00".into() }];
        let schedule = Schedule::new(&day, &[]).unwrap();
        let next = |at: &str| schedule.next_change(at.parse().unwrap(), &zone).unwrap().to_string();
        assert_eq!(next("2026-05-03T00:00:00Z"), "2026-05-03T16:00:00Z"); // the end of Sunday
    }

    #[test]
    fn a_window_past_midnight_belongs_to_its_evening() {
        let night = [Window { days: vec![Day::Mon], from: "22:00".into(), to: "06:00".into() }];
        assert!(open(&night, "2026-05-04T15:00:00Z")); // Monday 23:00
        assert!(open(&night, "2026-05-04T21:00:00Z")); // Tuesday 05:00
        assert!(!open(&night, "2026-05-04T22:00:00Z")); // Tuesday 06:00
        assert!(!open(&night, "2026-05-03T21:00:00Z")); // Monday 05:00
        assert!(minute("25:00").is_err() && minute("7").is_err() && minute("24:01").is_err());
    }
}
