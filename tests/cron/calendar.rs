//! Dates in UTC as text. The conversion does not use the calendar of the library, so that it can check that calendar.

use std::time::{Duration, SystemTime};

const DAY: u64 = 24 * 3_600;

/// Returns the number of days from 1970-01-01 to the first day of a month.
fn days_to(year: u64, month: u64) -> u64 {
    let is_leap = |year: u64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_of_month = |month: u64| match month {
        2 => 28 + u64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let years: u64 = (1970..year).map(|year| 365 + u64::from(is_leap(year))).sum();
    years + (1..month).map(days_of_month).sum::<u64>()
}

/// Returns the instant of a text such as `2026-03-07T06:00Z`.
pub(crate) fn utc(text: &str) -> SystemTime {
    let numbers = text.trim_end_matches('Z').split(['-', 'T', ':']).map(|part| part.parse().unwrap());
    let [year, month, day, hour, minute] = numbers.collect::<Vec<u64>>().try_into().unwrap();
    let seconds = (days_to(year, month) + day - 1) * DAY + hour * 3_600 + minute * 60;
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// Returns the instant as text without its year: `03-07 06:00`.
pub(crate) fn text_of(at: SystemTime) -> String {
    let seconds = at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let (days, time) = (seconds / DAY, seconds % DAY);
    let months = (1970..).flat_map(|year| (1..=12).map(move |month| (year, month)));
    let (year, month) = months.take_while(|&(year, month)| days_to(year, month) <= days).last().unwrap();
    let day = days - days_to(year, month) + 1;
    format!("{month:02}-{day:02} {:02}:{:02}", time / 3_600, time % 3_600 / 60)
}

#[test]
fn text_becomes_the_instant_that_it_names_and_back() {
    let leap_day = SystemTime::UNIX_EPOCH + Duration::from_secs(1_709_164_800);
    assert_eq!(utc("2024-02-29T00:00Z"), leap_day);
    assert_eq!(text_of(leap_day), "02-29 00:00");
    assert_eq!(text_of(utc("2026-12-31T23:59Z")), "12-31 23:59");
}
