//! When a recurring job is due, and which of its due times get a job.

use crate::util::Millis;
use std::fmt;
use std::str::FromStr;

/// What happens to due times that passed while no process was there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misfire {
    /// One job for all of them, with the last due time. [`JobContext::missed`](crate::JobContext::missed) counts the
    /// others.
    #[default]
    Once,
    /// No job for a due time that is late by more than a minute, or by half the time to the next one. The next job
    /// counts them as missed.
    Skip,
    /// A job for each of them, up to this many: the latest. The first of these jobs counts the others as missed.
    All(u32),
}

impl fmt::Display for Misfire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misfire::Once => f.write_str("once"),
            Misfire::Skip => f.write_str("skip"),
            Misfire::All(most) => write!(f, "all {most}"),
        }
    }
}

impl FromStr for Misfire {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix("all ").and_then(|number| number.parse().ok())) {
            ("once", _) => Ok(Misfire::Once),
            ("skip", _) => Ok(Misfire::Skip),
            (_, Some(most)) => Ok(Misfire::All(most)),
            _ => Err(format!("unknown misfire policy `{text}`")),
        }
    }
}

/// When a recurring job is due.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Spec {
    /// Every so many milliseconds.
    Every(Millis),
    #[cfg(feature = "cron")]
    Cron(Box<hosted::Schedule>),
}

/// What is to be done when a schedule is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Firing {
    /// The due times that get a job, and for each how many before it got none.
    pub(crate) jobs: Vec<(Millis, u32)>,
    pub(crate) next_at: Option<Millis>,
    /// Due times without a job that no job has been reported of.
    pub(crate) missed: u32,
}

/// In front of the text of a period.
const EVERY: &str = "@every ";

/// The longest delay with which [`Misfire::Skip`] still makes a job.
const PUNCTUAL: Millis = 60_000;

/// More due times than this are not counted one by one: a clock that jumps from 1970 to today must not keep a process
/// busy for minutes.
#[cfg(feature = "cron")]
const MOST_COUNTED: u32 = 100_000;

/// The most jobs that one schedule makes at one time, whatever [`Misfire::All`] says: they are one transaction.
const MOST_JOBS: u32 = 1_000;

impl Spec {
    /// Returns the first due time after `now`.
    pub(crate) fn next_after(&self, now: Millis) -> Option<Millis> {
        match self {
            Spec::Every(period) => now.checked_add(*period),
            #[cfg(feature = "cron")]
            Spec::Cron(schedule) => schedule.next_after(crate::util::from_millis(now)).map(crate::util::to_millis),
        }
    }

    /// Decides which of the due times from `due` to `now` get a job. `missed` were not reported of before.
    pub(crate) fn fire(&self, due: Millis, now: Millis, misfire: Misfire, missed: u32) -> Result<Firing, String> {
        let keep = match misfire {
            Misfire::Once | Misfire::Skip => 1,
            Misfire::All(most) => most.clamp(1, MOST_JOBS),
        };
        let (mut times, counted, next_at) = self.due_times(due, now, keep as usize)?;
        let mut missed = missed.saturating_add(counted - u32::try_from(times.len()).unwrap_or(u32::MAX));
        if misfire == Misfire::Skip {
            let last = times.last().copied().unwrap_or(due);
            let punctual = next_at.map_or(PUNCTUAL, |next| ((next - last) / 2).min(PUNCTUAL));
            if now - last > punctual {
                missed = missed.saturating_add(u32::try_from(times.len()).unwrap_or(u32::MAX));
                times.clear();
            }
        }
        let reported = if times.is_empty() { 0 } else { std::mem::take(&mut missed) };
        let jobs = times.into_iter().enumerate().map(|(n, time)| (time, if n == 0 { reported } else { 0 })).collect();
        Ok(Firing { jobs, next_at, missed })
    }

    /// Returns the last `keep` due times from `due` to `now`, how many there are, and the next one.
    fn due_times(&self, due: Millis, now: Millis, keep: usize) -> Result<(Vec<Millis>, u32, Option<Millis>), String> {
        match self {
            Spec::Every(period) => {
                let behind = now.saturating_sub(due) / period;
                let last = due + behind * period;
                let kept = behind.min(keep as Millis - 1);
                let times = (0..=kept).rev().map(|back| last - back * period).collect();
                let counted = u32::try_from(behind.saturating_add(1)).unwrap_or(u32::MAX);
                Ok((times, counted, last.checked_add(*period)))
            }
            #[cfg(feature = "cron")]
            Spec::Cron(_) => self.due_times_by_calendar(due, now, keep),
        }
    }

    #[cfg(feature = "cron")]
    fn due_times_by_calendar(
        &self,
        due: Millis,
        now: Millis,
        keep: usize,
    ) -> Result<(Vec<Millis>, u32, Option<Millis>), String> {
        let (mut times, mut counted, mut at) = (std::collections::VecDeque::from([due]), 1_u32, due);
        loop {
            let next = self.next_after(at);
            if next.is_some_and(|next| next <= at) {
                return Err(format!("the time after {at} is not later: {next:?}"));
            }
            let Some(passed) = next.filter(|next| *next <= now) else { return Ok((times.into(), counted, next)) };
            (at, counted) = (passed, counted + 1);
            times.push_back(at);
            if times.len() > keep {
                times.pop_front();
            }
            if counted >= MOST_COUNTED {
                return Ok((times.into(), counted, self.next_after(now)));
            }
        }
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Spec::Every(period) => write!(f, "{EVERY}{period}"),
            #[cfg(feature = "cron")]
            Spec::Cron(schedule) => schedule.fmt(f),
        }
    }
}

impl FromStr for Spec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(period) = text.strip_prefix(EVERY) {
            let period = period.parse().ok().filter(|period| *period > 0);
            return period.map(Spec::Every).ok_or_else(|| format!("`{text}` is not a period in milliseconds"));
        }
        #[cfg(feature = "cron")]
        return text.parse().map(|schedule| Spec::Cron(Box::new(schedule))).map_err(|error| error.to_string());
        #[cfg(not(feature = "cron"))]
        Err(format!("`{text}` is a cron expression; this program was built without the feature `cron`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_that_was_missed_is_counted_and_keeps_its_phase() {
        let spec = Spec::Every(1_000);
        let once = spec.fire(10_000, 14_500, Misfire::Once, 2).unwrap();
        assert_eq!(once, Firing { jobs: vec![(14_000, 6)], next_at: Some(15_000), missed: 0 });
        let all = spec.fire(10_000, 14_500, Misfire::All(3), 0).unwrap();
        assert_eq!(all.jobs, [(12_000, 2), (13_000, 0), (14_000, 0)]);
        let skip = spec.fire(10_000, 14_500, Misfire::Skip, 0).unwrap();
        assert_eq!(skip.jobs, [(14_000, 4)], "the last is not late by more than half a period");
        let skip = spec.fire(10_000, 14_501, Misfire::Skip, 1).unwrap();
        assert_eq!(skip, Firing { jobs: vec![], next_at: Some(15_000), missed: 6 });
    }

    #[test]
    fn the_text_of_a_schedule_is_read_back() {
        for text in ["@every 30000", "CRON_TZ=Europe/Berlin 0 3 * * *"] {
            if cfg!(feature = "cron") || text.starts_with('@') {
                assert_eq!(text.parse::<Spec>().unwrap().to_string(), text);
            }
        }
        for misfire in [Misfire::Once, Misfire::Skip, Misfire::All(7)] {
            assert_eq!(misfire.to_string().parse(), Ok(misfire));
        }
    }
}
