//! The steps of a transaction, done in memory.

use super::MemoryTx;
use super::table::{Live, ReadyKey};
use crate::state::{Outcome, State};
use crate::store::{
    Advance, ClaimQuery, Claimed, End, Fence, Holder, KindVersion, NewJob, Pause, PutBack, ReleasedPlace, Result,
    ScheduleRow, Tx, WorkerRow,
};
use crate::util::Millis;
use std::collections::BTreeSet;

impl MemoryTx<'_> {
    /// The jobs of one kind that may be claimed, in their order.
    fn ready_of<'t>(&'t self, query: &ClaimQuery<'_>, kind: &KindVersion) -> impl Iterator<Item = (i32, i64)> + 't {
        let key = |priority, id| -> ReadyKey {
            (query.suspects, query.queue.to_owned(), kind.kind.clone(), kind.version, priority, id)
        };
        let range = key(i32::MIN, i64::MIN)..=key(i32::MAX, i64::MAX);
        self.tables.ready.range(range).map(|(_, _, _, _, priority, id)| (*priority, *id))
    }

    fn left(live: Option<Live>) -> Option<ReleasedPlace> {
        live.map(|live| ReleasedPlace { limit_key: live.limit_key() })
    }
}

impl Tx for MemoryTx<'_> {
    fn insert(&mut self, job: &NewJob) -> Result<Option<i64>> {
        let taken = job.unique.as_ref().is_some_and(|unique| self.tables.unique.contains_key(&unique.key));
        let made = |occurrence: &crate::store::Occurrence| {
            self.tables.occurrences.contains(&(occurrence.schedule.clone(), occurrence.due_at))
        };
        let refused = taken || job.occurrence.as_ref().is_some_and(made);
        // A row that is refused uses up an id, as in SQLite.
        self.tables.next_id += 1;
        let id = self.tables.next_id;
        if refused {
            return Ok(None);
        }
        self.tables.put(Live::new(id, job.clone()));
        Ok(Some(id))
    }

    fn unique_holder(&mut self, key: &[u8]) -> Result<Option<Holder>> {
        let live = self.tables.unique.get(key).and_then(|id| self.tables.live.get(id));
        Ok(live.map(|live| Holder { id: live.id, state: live.job.state, limit_key: live.limit_key() }))
    }

    fn replace(&mut self, id: i64, job: &NewJob) -> Result<bool> {
        let waits = self.tables.live.get(&id).is_some_and(|live| live.job.state.is_waiting());
        if waits {
            self.tables.change(id, |live| {
                let created_at = live.job.created_at.min(job.created_at);
                live.job = NewJob { created_at, ..job.clone() };
                live.progress = None;
            });
        }
        Ok(waits)
    }

    fn take_once(&mut self, key: &[u8], until: Millis, now: Millis) -> Result<bool> {
        let free = self.tables.once.get(key).is_none_or(|(taken, _)| *taken <= now);
        if free {
            self.tables.once.insert(key.to_vec(), (until, None));
        }
        Ok(free)
    }

    fn set_once_job(&mut self, key: &[u8], id: i64) -> Result<()> {
        if let Some((_, job)) = self.tables.once.get_mut(key) {
            *job = Some(id);
        }
        Ok(())
    }

    fn once_job(&mut self, key: &[u8]) -> Result<Option<i64>> {
        Ok(self.tables.once.get(key).and_then(|(_, job)| *job))
    }

    fn promote_due(&mut self, now: Millis, most: usize) -> Result<usize> {
        let due: Vec<i64> = self.tables.due.range(..=(now, i64::MAX)).take(most).map(|(_, id)| *id).collect();
        for id in &due {
            self.tables.change(*id, |live| {
                live.job.state = if live.job.limit.is_some() { State::Arrived } else { State::Ready };
            });
        }
        Ok(due.len())
    }

    fn arrived_keys(&mut self, most: usize) -> Result<Vec<String>> {
        let arrived = self.tables.arrived.iter().take(most).filter_map(|id| self.tables.live.get(id));
        let keys: BTreeSet<String> = arrived.filter_map(Live::limit_key).collect();
        Ok(keys.into_iter().collect())
    }

    fn hold_arrived(&mut self, key: &str) -> Result<()> {
        let Some(order) = self.tables.limits.get(key) else { return Ok(()) };
        let range = (State::Arrived, i32::MIN, i64::MIN)..;
        let arrived: Vec<i64> = order.range(range).map(|(_, _, id)| *id).collect();
        for id in arrived {
            self.tables.change(id, |live| live.job.state = State::Held);
        }
        Ok(())
    }

    fn limit_usage(&mut self, key: &str) -> Result<(u32, Option<u32>)> {
        let Some(order) = self.tables.limits.get(key) else { return Ok((0, None)) };
        let range = (State::Ready, i32::MIN, i64::MIN)..=(State::Running, i32::MAX, i64::MAX);
        let active: Vec<&Live> = order.range(range).filter_map(|(_, _, id)| self.tables.live.get(id)).collect();
        let smallest = active.iter().filter_map(|live| live.job.limit.as_ref()).map(|limit| limit.most).min();
        Ok((u32::try_from(active.len()).unwrap_or(u32::MAX), smallest))
    }

    fn first_held(&mut self, key: &str) -> Result<Option<(i64, u32)>> {
        let Some(order) = self.tables.limits.get(key) else { return Ok(None) };
        let range = (State::Held, i32::MIN, i64::MIN)..=(State::Held, i32::MAX, i64::MAX);
        let first = order.range(range).next().and_then(|(_, _, id)| self.tables.live.get(id));
        Ok(first.and_then(|live| live.job.limit.as_ref().map(|limit| (live.id, limit.most))))
    }

    fn make_ready(&mut self, id: i64) -> Result<()> {
        self.tables.change(id, |live| {
            if live.job.state == State::Held {
                live.job.state = State::Ready;
            }
        });
        Ok(())
    }

    fn ready_queues(&mut self) -> Result<Vec<String>> {
        Ok(self.tables.ready_in_queue.keys().cloned().collect())
    }

    fn claim(&mut self, query: &ClaimQuery<'_>) -> Result<Vec<Claimed>> {
        let each = query.kinds.iter().flat_map(|kind| self.ready_of(query, kind).take(query.most));
        let mut found: Vec<(i32, i64)> = each.collect();
        found.sort_unstable();
        found.truncate(query.most);
        let mut jobs = Vec::new();
        for (_, id) in found {
            self.tables.change(id, |live| {
                live.job.state = State::Running;
                live.claim += 1;
                live.worker = Some(query.worker);
                live.started_at = Some(query.now);
                live.stop_wanted = false;
                live.job.unique = live.job.unique.take().filter(|unique| unique.until_finished);
                jobs.push(live.claimed(query.worker));
            });
        }
        Ok(jobs)
    }

    fn holds_claim(&mut self, fence: &Fence) -> Result<bool> {
        Ok(self.tables.fenced(fence).is_some())
    }

    fn set_progress(&mut self, fence: &Fence, progress: &[u8]) -> Result<bool> {
        let held = self.tables.fenced(fence).is_some();
        if held {
            self.tables.change(fence.id, |live| live.progress = Some(progress.to_vec()));
        }
        Ok(held)
    }

    fn finish(&mut self, fence: &Fence, end: &End) -> Result<Option<ReleasedPlace>> {
        let held = self.tables.fenced(fence).is_some();
        Ok(Self::left(if held { self.tables.finish(fence.id, end) } else { None }))
    }

    fn cancel_requested(&mut self, fence: &Fence) -> Result<bool> {
        Ok(self.tables.fenced(fence).is_some_and(|live| live.stop_wanted))
    }

    fn put_back(&mut self, fence: &Fence, how: &PutBack) -> Result<Option<ReleasedPlace>> {
        let Some(live) = self.tables.fenced(fence) else { return Ok(None) };
        let left = ReleasedPlace { limit_key: live.limit_key() };
        self.tables.change(fence.id, |live| {
            live.job.state = how.state;
            live.job.run_at = how.run_at.unwrap_or(live.job.run_at);
            live.failed += how.failed;
            live.lost += how.lost;
            live.error = how.error.clone().or(live.error.take());
            live.worker = None;
            live.stop_wanted = false;
        });
        Ok(Some(left))
    }

    fn finished_by(&mut self, fence: &Fence) -> Result<bool> {
        Ok(self.tables.done.get(&fence.id).is_some_and(|done| {
            done.end.by_worker && done.live.claim == fence.claim && done.live.worker == Some(fence.worker)
        }))
    }

    fn finish_waiting(&mut self, id: i64, end: &End) -> Result<Option<ReleasedPlace>> {
        let waits = self.tables.live.get(&id).is_some_and(|live| live.job.state.is_waiting());
        Ok(Self::left(if waits { self.tables.finish(id, end) } else { None }))
    }

    fn request_cancel(&mut self, id: i64) -> Result<bool> {
        let runs = self.tables.live.get(&id).is_some_and(|live| live.job.state == State::Running);
        if runs {
            self.tables.change(id, |live| live.stop_wanted = true);
        }
        Ok(runs)
    }

    fn revive(&mut self, id: i64, now: Millis) -> Result<bool> {
        if !self.tables.done.get(&id).is_some_and(|done| done.end.keeps_payload()) {
            return Ok(false);
        }
        let Some(done) = self.tables.take_done(id) else { return Ok(false) };
        let state = if done.live.job.limit.is_some() { State::Arrived } else { State::Ready };
        let job = NewJob { state, run_at: now, unique: None, ..done.live.job };
        self.tables.put(Live { claim: done.live.claim, ..Live::new(id, job) });
        Ok(true)
    }

    fn delete_finished(&mut self, id: i64) -> Result<bool> {
        Ok(self.tables.take_done(id).is_some())
    }

    fn set_pause(&mut self, pause: &Pause, paused: bool) -> Result<()> {
        let (set, name) = match pause {
            Pause::Queue(name) => (&mut self.tables.paused_queues, name),
            Pause::Kind(name) => (&mut self.tables.paused_kinds, name),
        };
        if paused {
            set.insert(name.clone());
        } else {
            set.remove(name);
        }
        Ok(())
    }

    fn add_worker(&mut self, worker: &WorkerRow) -> Result<()> {
        self.tables.workers.insert(worker.id, worker.clone());
        Ok(())
    }

    fn remove_worker(&mut self, id: i64) -> Result<()> {
        self.tables.workers.remove(&id);
        Ok(())
    }

    fn mark_stopping(&mut self, id: i64) -> Result<()> {
        if let Some(worker) = self.tables.workers.get_mut(&id) {
            worker.stopping = true;
        }
        Ok(())
    }

    fn put_schedule(&mut self, row: &ScheduleRow) -> Result<()> {
        self.tables.schedules.insert(row.name.clone(), row.clone());
        Ok(())
    }

    fn delete_schedule(&mut self, name: &str) -> Result<()> {
        self.tables.schedules.remove(name);
        Ok(())
    }

    fn advance_schedule(&mut self, name: &str, step: &Advance) -> Result<bool> {
        let row = self.tables.schedules.get_mut(name);
        let Some(row) = row.filter(|row| row.next_at == Some(step.seen) && !row.paused) else { return Ok(false) };
        (row.next_at, row.last_at, row.missed) = (step.next_at, step.last_at, step.missed);
        Ok(true)
    }

    fn set_schedule_missed(&mut self, name: &str, missed: u32) -> Result<()> {
        if let Some(row) = self.tables.schedules.get_mut(name) {
            row.missed = missed;
        }
        Ok(())
    }

    fn set_schedule_error(&mut self, name: &str, error: Option<&str>) -> Result<()> {
        if let Some(row) = self.tables.schedules.get_mut(name) {
            row.error = error.map(str::to_owned);
        }
        Ok(())
    }

    fn set_schedule_paused(&mut self, name: &str, paused: bool, next_at: Option<Millis>) -> Result<bool> {
        let Some(row) = self.tables.schedules.get_mut(name) else { return Ok(false) };
        (row.paused, row.next_at) = (paused, next_at);
        Ok(true)
    }

    fn set_meta(&mut self, key: &str, value: &str) -> Result<()> {
        self.tables.meta.insert(key.to_owned(), value.to_owned());
        Ok(())
    }

    fn prune(&mut self, outcome: Outcome, before: Millis, most: usize) -> Result<usize> {
        let range = (outcome, Millis::MIN, i64::MIN)..(outcome, before, i64::MIN);
        let old: Vec<i64> = self.tables.finished.range(range).take(most).map(|(_, _, id)| *id).collect();
        for id in &old {
            self.tables.take_done(*id);
        }
        Ok(old.len())
    }

    fn prune_once(&mut self, now: Millis, most: usize) -> Result<usize> {
        let expired = self.tables.once.iter().filter(|(_, (until, _))| *until <= now).take(most);
        let keys: Vec<Vec<u8>> = expired.map(|(key, _)| key.clone()).collect();
        for key in &keys {
            self.tables.once.remove(key);
        }
        Ok(keys.len())
    }
}
