//! Instants as text: dates of HTTP and of RFC 3339, in UTC, and ages for people.

use std::time::{Duration, SystemTime};

/// A date and a time of day in UTC.
struct Civil {
    year: u64,
    month: u64,
    day: u64,
    /// Days since 1970-01-01, a Thursday.
    days: u64,
    hour: u64,
    minute: u64,
    second: u64,
    millis: u32,
}

/// A time before 1970 counts as 1970: no clock of a running program is there on purpose.
fn civil(at: SystemTime) -> Civil {
    let since_1970 = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since_1970.as_secs() / 86_400, since_1970.as_secs() % 86_400);
    // Howard Hinnant's `civil_from_days`: years begin in March, so that the leap day is the last day of a year.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    Civil {
        year: era * 400 + year_of_era + u64::from(month <= 2),
        month,
        day: day_of_year - (153 * month_from_march + 2) / 5 + 1,
        days,
        hour: second / 3_600,
        minute: second / 60 % 60,
        second: second % 60,
        millis: since_1970.subsec_millis(),
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`: the date of an HTTP header.
pub(super) fn http_date(at: SystemTime) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let Civil { year, month, day, days, hour, minute, second, .. } = civil(at);
    let (weekday, month) = (DAYS[(days % 7) as usize], MONTHS[(month - 1) as usize]);
    format!("{weekday}, {day:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT")
}

/// `1994-11-06T08:49:37.120Z`: the date of RFC 3339.
pub(super) fn rfc_3339(at: SystemTime) -> String {
    let Civil { year, month, day, hour, minute, second, millis, .. } = civil(at);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// `08:49:37`: the time of day, in UTC.
pub(super) fn time_of_day(at: SystemTime) -> String {
    let Civil { hour, minute, second, .. } = civil(at);
    format!("{hour:02}:{minute:02}:{second:02}")
}

/// An age as people read it: `12 s`, `5 min`, `3 h 20 min`, `4 d 3 h`.
pub(super) fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(seconds * 1_000 + 120)
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(http_date(at(784_111_777)), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(rfc_3339(at(784_111_777)), "1994-11-06T08:49:37.120Z");
        assert_eq!(time_of_day(at(784_111_777)), "08:49:37");
        assert_eq!(rfc_3339(at(0)), "1970-01-01T00:00:00.120Z");
        assert_eq!(rfc_3339(at(951_782_400)), "2000-02-29T00:00:00.120Z");
        assert_eq!(rfc_3339(at(1_709_251_199)), "2024-02-29T23:59:59.120Z");
        assert_eq!(rfc_3339(at(4_107_542_400)), "2100-03-01T00:00:00.120Z");
        assert_eq!(rfc_3339(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn ages_have_the_two_units_that_matter() {
        let texts = [59, 60, 3_599, 3_600, 86_399, 90_000 + 86_400 * 3].map(|s| age(Duration::from_secs(s)));
        assert_eq!(texts, ["59 s", "1 min", "59 min", "1 h 0 min", "23 h 59 min", "4 d 1 h"]);
    }
}
