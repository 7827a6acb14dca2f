//! The rows of the store in memory, and the orders in which they are found.

use crate::info::{JobInfo, JobState};
use crate::state::{Outcome, State};
use crate::store::{Claimed, End, Fence, NewJob, Occurrence, ScheduleRow, WorkerRow};
use crate::util::Millis;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A live job.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) id: i64,
    pub(super) job: NewJob,
    pub(super) claim: i64,
    pub(super) failed: u32,
    pub(super) lost: u32,
    pub(super) worker: Option<i64>,
    pub(super) started_at: Option<Millis>,
    pub(super) stop_wanted: bool,
    pub(super) progress: Option<Vec<u8>>,
    pub(super) error: Option<String>,
}

/// A job that has ended.
#[derive(Clone, Debug)]
pub(super) struct Done {
    pub(super) live: Live,
    pub(super) end: End,
}

/// What a ready job is found by: whether it is a suspect, queue, kind, version, priority, id.
pub(super) type ReadyKey = (bool, String, String, u32, i32, i64);

#[derive(Default)]
pub(super) struct Tables {
    pub(super) next_id: i64,
    pub(super) live: BTreeMap<i64, Live>,
    pub(super) done: BTreeMap<i64, Done>,
    pub(super) ready: BTreeSet<ReadyKey>,
    /// How many jobs of each queue are ready. A queue without a ready job has no entry.
    pub(super) ready_in_queue: BTreeMap<String, usize>,
    pub(super) due: BTreeSet<(Millis, i64)>,
    pub(super) held_by: BTreeSet<(i64, i64)>,
    pub(super) arrived: BTreeSet<i64>,
    /// By limit key: state, priority, id.
    pub(super) limits: HashMap<String, BTreeSet<(State, i32, i64)>>,
    pub(super) unique: HashMap<Vec<u8>, i64>,
    pub(super) occurrences: BTreeSet<(String, Millis)>,
    pub(super) finished: BTreeSet<(Outcome, Millis, i64)>,
    /// Until when a key is taken, and by which job.
    pub(super) once: BTreeMap<Vec<u8>, (Millis, Option<i64>)>,
    pub(super) workers: BTreeMap<i64, WorkerRow>,
    pub(super) schedules: BTreeMap<String, ScheduleRow>,
    pub(super) paused_queues: BTreeSet<String>,
    pub(super) paused_kinds: BTreeSet<String>,
    pub(super) meta: BTreeMap<String, String>,
}

impl Tables {
    /// Adds a live job to the table and to every order that it belongs to.
    pub(super) fn put(&mut self, live: Live) {
        self.link(&live, true);
        self.live.insert(live.id, live);
    }

    /// Removes a live job from the table and from every order.
    pub(super) fn take(&mut self, id: i64) -> Option<Live> {
        let live = self.live.remove(&id)?;
        self.link(&live, false);
        Some(live)
    }

    /// Changes a live job.
    pub(super) fn change(&mut self, id: i64, change: impl FnOnce(&mut Live)) {
        if let Some(mut live) = self.take(id) {
            change(&mut live);
            self.put(live);
        }
    }

    /// Returns the job if the fence holds.
    pub(super) fn fenced(&self, fence: &Fence) -> Option<&Live> {
        let held = |live: &&Live| {
            live.job.state == State::Running && live.claim == fence.claim && live.worker == Some(fence.worker)
        };
        self.live.get(&fence.id).filter(held)
    }

    /// Moves a live job to the finished ones.
    pub(super) fn finish(&mut self, id: i64, end: &End) -> Option<Live> {
        let live = self.take(id)?;
        let mut kept = live.clone();
        kept.failed += end.failed;
        kept.lost += end.lost;
        kept.error = end.error.clone().or(kept.error);
        if !end.keeps_payload() {
            kept.job.payload = Vec::new();
        }
        self.finished.insert((end.outcome, end.now, id));
        self.done.insert(id, Done { live: kept, end: end.clone() });
        Some(live)
    }

    /// Removes a finished job.
    pub(super) fn take_done(&mut self, id: i64) -> Option<Done> {
        let done = self.done.remove(&id)?;
        self.finished.remove(&(done.end.outcome, done.end.now, id));
        Some(done)
    }

    fn link(&mut self, live: &Live, add: bool) {
        let (id, job) = (live.id, &live.job);
        match job.state {
            State::Scheduled => set(&mut self.due, (job.run_at, id), add),
            State::Ready => {
                set(&mut self.ready, live.ready_key(), add);
                count(&mut self.ready_in_queue, &job.queue, add);
            }
            State::Running => set(&mut self.held_by, (live.worker.unwrap_or(0), id), add),
            State::Arrived => set(&mut self.arrived, id, add),
            State::Held => {}
        }
        if let Some(limit) = &job.limit {
            let order = self.limits.entry(limit.key.clone()).or_default();
            set(order, (job.state, job.priority, id), add);
            if order.is_empty() {
                self.limits.remove(&limit.key);
            }
        }
        if let Some(unique) = &job.unique {
            if add {
                self.unique.insert(unique.key.clone(), id);
            } else {
                self.unique.remove(&unique.key);
            }
        }
        if let Some(occurrence) = &job.occurrence {
            set(&mut self.occurrences, (occurrence.schedule.clone(), occurrence.due_at), add);
        }
    }
}

fn count(counts: &mut BTreeMap<String, usize>, name: &str, add: bool) {
    let number = counts.entry(name.to_owned()).or_default();
    *number = if add { *number + 1 } else { number.saturating_sub(1) };
    if *number == 0 {
        counts.remove(name);
    }
}

fn set<T: Ord>(order: &mut BTreeSet<T>, key: T, add: bool) {
    if add {
        order.insert(key);
    } else {
        order.remove(&key);
    }
}

impl Live {
    pub(super) fn new(id: i64, job: NewJob) -> Self {
        Live {
            id,
            job,
            claim: 0,
            failed: 0,
            lost: 0,
            worker: None,
            started_at: None,
            stop_wanted: false,
            progress: None,
            error: None,
        }
    }

    fn ready_key(&self) -> ReadyKey {
        let job = &self.job;
        (self.lost > 0, job.queue.clone(), job.kind.clone(), job.version, job.priority, self.id)
    }

    pub(super) fn limit_key(&self) -> Option<String> {
        self.job.limit.as_ref().map(|limit| limit.key.clone())
    }

    pub(super) fn claimed(&self, worker: i64) -> Claimed {
        let job = &self.job;
        Claimed {
            fence: Fence { id: self.id, claim: self.claim, worker },
            queue: job.queue.clone(),
            kind: job.kind.clone(),
            version: job.version,
            priority: job.priority,
            failed: self.failed,
            lost: self.lost,
            max_failures: job.max_failures,
            created_at: job.created_at,
            payload: job.payload.clone(),
            occurrence: job.occurrence.clone(),
        }
    }

    pub(super) fn info(&self) -> JobInfo {
        let job = &self.job;
        JobInfo {
            id: self.id,
            kind: job.kind.clone(),
            version: job.version,
            queue: job.queue.clone(),
            priority: job.priority,
            state: JobState::from(job.state),
            failures: self.failed,
            max_failures: job.max_failures,
            lost: self.lost,
            claims: self.claim,
            worker: self.worker,
            limit_key: self.limit_key(),
            schedule: job.occurrence.as_ref().map(|occurrence: &Occurrence| occurrence.schedule.clone()),
            error: self.error.clone(),
            payload: Some(job.payload.clone()),
            progress: self.progress.clone(),
            output: None,
            created_at: job.created_at,
            run_at: Some(job.run_at),
            started_at: self.started_at,
            finished_at: None,
            due_at: job.occurrence.as_ref().map(|occurrence| occurrence.due_at),
        }
    }
}

impl Done {
    pub(super) fn info(&self) -> JobInfo {
        let live = self.live.info();
        JobInfo {
            state: JobState::Finished(self.end.outcome),
            worker: None,
            payload: live.payload.filter(|_| self.end.keeps_payload()),
            output: self.end.output.clone(),
            run_at: None,
            finished_at: Some(self.end.now),
            ..live
        }
    }
}
