//! Recurring jobs. There is no leader: the next due time is in the table, and whoever finds it passed moves it on and
//! stores the job, in one transaction.

use super::enqueueing::{EnqueueOutcome, EnqueueRequest, UniqueRequest, When, enqueue};
use crate::commit::UnitOfWork;
use crate::events::JobEventKind;
use crate::spec::{Firing, Misfire, Spec};
use crate::store::{Advance, Limit, Occurrence, Result, ScheduleRow, UniqueKey};
use crate::util::{Millis, catch_panic};
use serde::{Deserialize, Serialize};

/// The job of a schedule, without its payload, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Template {
    pub(crate) queue: String,
    pub(crate) kind: String,
    pub(crate) version: u32,
    pub(crate) priority: i32,
    pub(crate) max_failures: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unique: Option<(String, bool)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<(String, u32)>,
}

/// The set of schedules of a program.
pub(crate) struct Declaration {
    pub(crate) program: String,
    pub(crate) revision: u32,
    pub(crate) rows: Vec<ScheduleRow>,
}

/// Stores the set: adds, changes and removes. Returns the revision of a newer program, whose set then stays.
pub(crate) fn declare(work: &mut UnitOfWork<'_>, set: &Declaration) -> Result<Option<u32>> {
    let key = format!("recurring_revision:{}", set.program);
    let stored: u32 = work.tx.meta(&key)?.and_then(|text| text.parse().ok()).unwrap_or(0);
    if stored > set.revision {
        return Ok(Some(stored));
    }
    work.tx.set_meta(&key, &set.revision.to_string())?;
    let existing = work.tx.schedules()?;
    for row in existing.iter().filter(|row| row.program == set.program) {
        if !set.rows.iter().any(|wanted| wanted.name == row.name) {
            work.tx.delete_schedule(&row.name)?;
        }
    }
    for wanted in &set.rows {
        let old = existing.iter().find(|row| row.name == wanted.name);
        let row = match old {
            // The due times stay: a restart is no reason to fire, or not to fire.
            Some(old) if old.spec == wanted.spec && old.error.is_none() => ScheduleRow {
                next_at: old.next_at,
                last_at: old.last_at,
                missed: old.missed,
                paused: old.paused,
                ..wanted.clone()
            },
            old => ScheduleRow {
                next_at: next_after(&wanted.spec, work.now).unwrap_or(None),
                last_at: old.and_then(|old| old.last_at),
                paused: old.is_some_and(|old| old.paused),
                ..wanted.clone()
            },
        };
        if old != Some(&row) {
            work.tx.put_schedule(&row)?;
        }
    }
    work.ring();
    Ok(None)
}

/// Returns the first due time of a schedule after `now`.
pub(crate) fn next_after(spec: &str, now: Millis) -> Result<Option<Millis>, String> {
    catch_panic(|| spec.parse::<Spec>().map(|spec| spec.next_after(now)))?
}

/// Stores the jobs of all schedules that are due. One that is broken is marked, and touches no other.
pub(crate) fn fire_due(work: &mut UnitOfWork<'_>) -> Result<()> {
    if work.tx.next_schedule_at()?.is_none_or(|next| next > work.now) {
        return Ok(());
    }
    for row in work.tx.schedules()? {
        let due = row.next_at.filter(|next| *next <= work.now && !row.paused && row.error.is_none());
        let Some(due) = due else { continue };
        let now = work.now;
        let plan = || -> Result<(Firing, Template), String> {
            let (spec, misfire) = (row.spec.parse::<Spec>()?, row.misfire.parse::<Misfire>()?);
            let template = serde_json::from_str(&row.template).map_err(|error| error.to_string())?;
            Ok((spec.fire(due, now, misfire, row.missed)?, template))
        };
        // The calendar of a time zone is another crate's code.
        match catch_panic(plan).and_then(|planned| planned) {
            Ok((firing, template)) => fire(work, &row, due, firing, &template)?,
            Err(error) => {
                log::error!(target: "hosted_jobs::recurring", "schedule `{}` does not fire: {error}", row.name);
                work.tx.set_schedule_error(&row.name, Some(&error))?;
                work.emit(0, &row.name, JobEventKind::ScheduleFailed { error });
            }
        }
    }
    Ok(())
}

fn fire(work: &mut UnitOfWork<'_>, row: &ScheduleRow, seen: Millis, firing: Firing, template: &Template) -> Result<()> {
    let last_at = firing.jobs.last().map(|(due, _)| *due).or(row.last_at);
    let step = Advance { seen, next_at: firing.next_at, last_at, missed: firing.missed };
    if !work.tx.advance_schedule(&row.name, &step)? {
        return Ok(()); // another process was faster
    }
    let mut unreported = firing.missed;
    for (due_at, missed) in firing.jobs {
        let missed = missed.saturating_add(std::mem::take(&mut unreported));
        match enqueue(work, &request(row, template, due_at, missed))? {
            EnqueueOutcome::New(id) => work.emit(id, &row.name, JobEventKind::Fired { missed }),
            // The job before it still holds their unique key: this due time counts as missed.
            EnqueueOutcome::Existing(_) | EnqueueOutcome::Replaced(_) => unreported = missed.saturating_add(1),
        }
    }
    if unreported != firing.missed {
        work.tx.set_schedule_missed(&row.name, unreported)?;
    }
    Ok(())
}

fn request(row: &ScheduleRow, template: &Template, due_at: Millis, missed: u32) -> EnqueueRequest {
    let unique = template
        .unique
        .clone()
        .map(|(key, until_finished)| UniqueRequest::Key(UniqueKey { key: key.into_bytes(), until_finished }));
    EnqueueRequest {
        queue: template.queue.clone(),
        kind: template.kind.clone(),
        version: template.version,
        priority: template.priority,
        max_failures: template.max_failures,
        when: When::Now,
        unique,
        replace: false,
        limit: template.limit.clone().map(|(key, most)| Limit { key, most }),
        occurrence: Some(Occurrence { schedule: row.name.clone(), due_at, missed }),
        payload: row.payload.clone(),
    }
}
