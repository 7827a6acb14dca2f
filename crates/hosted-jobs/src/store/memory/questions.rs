//! The questions of a transaction, answered from memory.

use super::MemoryTx;
use crate::info::{Filter, JobInfo, QueueStats, WaitingKind};
use crate::state::{Outcome, State};
use crate::store::{Fence, Pause, ReadTx, Result, RunningJob, ScheduleRow, WorkerRow};
use crate::util::{Millis, to_millis};
use std::collections::BTreeMap;

impl ReadTx for MemoryTx<'_> {
    fn now(&mut self) -> Result<Millis> {
        Ok(to_millis(self.clock.system_time()))
    }

    fn pauses(&mut self) -> Result<Vec<Pause>> {
        let queues = self.tables.paused_queues.iter().cloned().map(Pause::Queue);
        Ok(queues.chain(self.tables.paused_kinds.iter().cloned().map(Pause::Kind)).collect())
    }

    fn next_run_at(&mut self) -> Result<Option<Millis>> {
        Ok(self.tables.due.first().map(|(run_at, _)| *run_at))
    }

    fn next_schedule_at(&mut self) -> Result<Option<Millis>> {
        let fires = self.tables.schedules.values().filter(|row| !row.paused && row.error.is_none());
        Ok(fires.filter_map(|row| row.next_at).min())
    }

    fn workers(&mut self) -> Result<Vec<WorkerRow>> {
        Ok(self.tables.workers.values().cloned().collect())
    }

    fn running_jobs(&mut self, worker: i64) -> Result<Vec<RunningJob>> {
        let held = self.tables.held_by.range((worker, i64::MIN)..=(worker, i64::MAX));
        let live = held.filter_map(|(_, id)| self.tables.live.get(id));
        Ok(live
            .map(|live| RunningJob {
                fence: Fence { id: live.id, claim: live.claim, worker },
                kind: live.job.kind.clone(),
                lost: live.lost,
                stop_wanted: live.stop_wanted,
            })
            .collect())
    }

    fn others_run_jobs(&mut self, worker: i64) -> Result<bool> {
        Ok(self.tables.held_by.iter().any(|(other, _)| *other != worker))
    }

    fn schedules(&mut self) -> Result<Vec<ScheduleRow>> {
        Ok(self.tables.schedules.values().cloned().collect())
    }

    fn meta(&mut self, key: &str) -> Result<Option<String>> {
        Ok(self.tables.meta.get(key).cloned())
    }

    fn job(&mut self, id: i64) -> Result<Option<JobInfo>> {
        let live = self.tables.live.get(&id).map(|live| live.info());
        Ok(live.or_else(|| self.tables.done.get(&id).map(|done| done.info())))
    }

    fn jobs(&mut self, filter: &Filter) -> Result<Vec<JobInfo>> {
        let wanted = |job: &JobInfo| {
            filter.queue.as_ref().is_none_or(|queue| *queue == job.queue)
                && filter.kind.as_ref().is_none_or(|kind| *kind == job.kind)
        };
        let Some(first) = filter.after.checked_add(1) else { return Ok(Vec::new()) };
        let found = match filter.outcome {
            Some(outcome) => {
                let done = self.tables.done.range(first..).filter(|(_, done)| done.end.outcome == outcome);
                done.map(|(_, done)| done.info()).filter(wanted).take(filter.limit).collect()
            }
            None => {
                let live = self.tables.live.range(first..).filter(|(_, live)| filter.states.contains(&live.job.state));
                live.map(|(_, live)| live.info()).filter(wanted).take(filter.limit).collect()
            }
        };
        Ok(found)
    }

    fn queue_stats(&mut self) -> Result<Vec<QueueStats>> {
        let earliest = |a: Option<Millis>, b: Millis| Some(a.map_or(b, |a| a.min(b)));
        let mut queues: BTreeMap<String, QueueStats> = BTreeMap::new();
        for live in self.tables.live.values() {
            let queue = queues.entry(live.job.queue.clone()).or_default();
            *queue.count(live.job.state) += 1;
            match live.job.state {
                State::Ready => queue.oldest_ready = earliest(queue.oldest_ready, live.job.created_at),
                State::Scheduled => queue.next_due = earliest(queue.next_due, live.job.run_at),
                State::Running | State::Held | State::Arrived => {}
            }
        }
        for name in &self.tables.paused_queues {
            queues.entry(name.clone()).or_default().paused = true;
        }
        Ok(queues.into_iter().map(|(name, queue)| QueueStats { name, ..queue }).collect())
    }

    fn waiting_kinds(&mut self) -> Result<Vec<WaitingKind>> {
        let mut kinds: BTreeMap<(String, u32), u64> = BTreeMap::new();
        for (_, _, kind, version, _, _) in &self.tables.ready {
            *kinds.entry((kind.clone(), *version)).or_default() += 1;
        }
        Ok(kinds.into_iter().map(|((kind, version), ready)| WaitingKind { kind, version, ready }).collect())
    }

    fn finished_count(&mut self, outcome: Outcome) -> Result<u64> {
        let range = (outcome, Millis::MIN, i64::MIN)..=(outcome, Millis::MAX, i64::MAX);
        Ok(self.tables.finished.range(range).count() as u64)
    }
}
