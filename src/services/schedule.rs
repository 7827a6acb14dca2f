//! A wall-clock schedule: a cron expression in a time zone, and the search for its next due time.
//!
//! For times of day, `croner` searches the local calendar without a time zone. `next_time_of_day` then maps local times to
//! instants, so that this file decides what happens when daylight saving time starts or ends.

use crate::util::text::Escaped;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, Zoned};
use std::error::Error;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

/// The prefix that names a time zone in the text of a schedule.
const ZONE_PREFIX: &str = "CRON_TZ=";

/// A wall-clock schedule: a cron expression and its time zone.
///
/// The expression has five fields (minute, hour, day of month, month, day of week), or six with seconds first. It may be
/// one of `@hourly`, `@daily`, `@weekly`, `@monthly` and `@yearly`. Months and days may have names (`MAR`, `MON`).
/// `L` is the last day of a month, `15W` is the weekday nearest to the 15th, and `FRI#2` is the second Friday. If both day
/// fields are set, a day matches if one of them matches.
///
/// Without a time zone, the schedule uses the time zone of the system.
///
/// Daylight saving time:
///
/// - A local time that does not exist is due once, at the end of the gap.
/// - A local time that exists twice is due once, the first time.
/// - An interval (a `*` or a `/` in the seconds, minutes or hours) is due whenever the local time matches: not in the
///   gap, and in both passes of a repeated hour.
///
/// `Display` writes the text that [`FromStr`] reads. A time zone is a prefix: `CRON_TZ=Europe/London 0 3 * * *`.
///
/// ```
/// use hosted::Schedule;
/// use std::time::{Duration, SystemTime};
///
/// let nightly: Schedule = "0 3 * * *".parse().unwrap();
/// let nightly = nightly.in_time_zone("Europe/London").unwrap();
/// let start_of_1970 = SystemTime::UNIX_EPOCH; // 01:00 in London, which had summer time all year
/// let due = nightly.next_after(start_of_1970).unwrap();
/// assert_eq!(due, start_of_1970 + Duration::from_secs(2 * 3600));
/// ```
#[doc(alias("CronExpression", "OnCalendar", "CronScheduleBuilder"))]
#[derive(Clone)]
pub struct Schedule {
    expression: String,
    cron: Cron,
    kind: Kind,
    /// `None` for the time zone of the system.
    zone: Option<TimeZone>,
}

/// How a schedule treats the start and end of daylight saving time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Times of day. Each is due once a day.
    TimesOfDay,
    /// Due whenever the local time matches.
    Interval,
}

impl Schedule {
    /// Returns the same schedule in the time zone with this IANA name, for example `America/New_York` or `UTC`.
    ///
    /// # Errors
    ///
    /// Returns an error if neither the system nor the bundled database has the time zone.
    pub fn in_time_zone(self, iana_name: &str) -> Result<Self, ScheduleError> {
        let text = || format!("{ZONE_PREFIX}{iana_name} {}", self.expression);
        let zone = TimeZone::get(iana_name).map_err(|_| ScheduleError::new(text(), "unknown time zone"))?;
        Ok(Schedule { zone: Some(zone), ..self })
    }

    /// Returns the next due time, strictly after `at`. Returns `None` if the schedule is never due again.
    ///
    /// An expression such as `0 0 31 2 *` (31 February) is never due.
    pub fn next_after(&self, at: SystemTime) -> Option<SystemTime> {
        let zone = self.zone.clone().unwrap_or_else(TimeZone::system);
        let at = Timestamp::try_from(at).ok()?.to_zoned(zone);
        let next = match self.kind {
            Kind::TimesOfDay => self.next_time_of_day(&at)?,
            Kind::Interval => self.cron.find_next_occurrence(&at, false).ok()?.timestamp(),
        };
        Some(SystemTime::from(next))
    }

    /// Searches the local calendar. Later local times never map to earlier instants, so the first instant after `at` is
    /// the next due time.
    fn next_time_of_day(&self, at: &Zoned) -> Option<Timestamp> {
        let mut local = at.datetime();
        loop {
            local = self.cron.find_next_occurrence(&local, false).ok()?;
            let instant = instant_of(local, at.time_zone())?;
            // An earlier instant belongs to a local time that exists twice. It was due in the first pass.
            if instant > at.timestamp() {
                return Some(instant);
            }
        }
    }
}

/// Returns the first instant at which the local time is `local`, or the end of the gap if it does not exist.
fn instant_of(local: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    let ambiguous = zone.to_ambiguous_timestamp(local);
    match ambiguous.offset() {
        AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => ambiguous.earlier().ok(),
        // With the offset from before the gap, `local` maps to an instant after the gap. The last transition before that
        // instant is the end of the gap.
        AmbiguousOffset::Gap { .. } => {
            let after = ambiguous.later().ok()?;
            let end = zone.preceding(after.checked_add(Duration::from_nanos(1)).ok()?).next()?;
            Some(end.timestamp())
        }
    }
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let text = text.trim();
        if let Some((zone, expression)) = text.strip_prefix(ZONE_PREFIX).and_then(|rest| rest.split_once(' ')) {
            return expression.parse::<Schedule>()?.in_time_zone(zone);
        }
        let invalid = |why: String| ScheduleError::new(text, why);
        // The parser accepts a nickname anywhere in the text. Accept it only as the whole text.
        let nicknames = ["@hourly", "@daily", "@weekly", "@monthly", "@yearly"];
        if text.contains('@') && !nicknames.contains(&text.to_ascii_lowercase().as_str()) {
            return Err(invalid(format!("unknown nickname; use one of {}", nicknames.join(", "))));
        }
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let cron = parser.parse(text).map_err(|error| invalid(error.to_string()))?;
        Ok(Schedule { expression: text.to_owned(), kind: kind_of(text), cron, zone: None })
    }
}

/// Returns the kind of a valid expression. The last three fields are the date, and the fields before them are the time.
fn kind_of(expression: &str) -> Kind {
    let fields: Vec<&str> = expression.split_ascii_whitespace().collect();
    let time_of_day = &fields[..fields.len().saturating_sub(3)];
    let is_interval =
        expression.eq_ignore_ascii_case("@hourly") || time_of_day.iter().any(|field| field.contains(['*', '/', '?']));
    if is_interval { Kind::Interval } else { Kind::TimesOfDay }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(zone) = self.zone.as_ref().and_then(TimeZone::iana_name) {
            write!(f, "{ZONE_PREFIX}{zone} ")?;
        }
        f.write_str(&self.expression)
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schedule({self})")
    }
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        (&self.expression, &self.zone) == (&other.expression, &other.zone)
    }
}

impl Eq for Schedule {}

/// The error of a schedule that is not valid. Its text quotes the schedule and says what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleError {
    text: String,
    why: String,
}

impl ScheduleError {
    pub(super) fn new(text: impl Into<String>, why: impl Into<String>) -> Self {
        ScheduleError { text: text.into(), why: why.into() }
    }
}

impl fmt::Display for ScheduleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid schedule `{}`: {}", Escaped(&self.text), Escaped(self.why.trim_end_matches('.')))
    }
}

impl Error for ScheduleError {}
