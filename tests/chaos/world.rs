//! What the services of one schedule share: the journal, their actions, and what blocks the unresponsive services.

use super::schedule::Act;
use crossbeam_channel::{Receiver, Sender, bounded};
use hosted::testing::ManualClock;
use hosted::{Context, Host, Queue, Result, StopCallback, StopSource, StopToken, worker};
use parking_lot::Mutex;
use std::any::Any;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use std::{fmt, thread};

/// A step of a service, or of a thread outside the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Start,
    Ready,
    Run,
    Stop,
    StopRequested,
    Dropped,
    /// The service failed with this text, which is unique in its schedule.
    Failed(String),
    Unresponsive,
    /// A service or a thread outside the host requested the stop of the host.
    Requested,
    /// `Host::start` has returned `Ok`.
    HostStarted,
}

#[derive(Clone, Debug)]
pub struct Note {
    pub name: Arc<str>,
    /// The number of the value: a group creates new values for each start.
    pub value: u64,
    pub step: Step,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} #{}: {:?}", self.name, self.value, self.step)
    }
}

/// A large job. A push takes so long that a stop request sometimes comes in the middle of it.
pub struct Job {
    pub item: u64,
    _ballast: [u8; 32 << 10],
}

/// The stack size of threads that handle jobs: without optimization, a call has several copies of a job on its stack.
pub const STACK: usize = 4 << 20;

impl Job {
    pub fn of(item: u64) -> Self {
        Job { item, _ballast: [1; 32 << 10] }
    }
}

pub struct World {
    notes: Mutex<Vec<Note>>,
    values: AtomicU64,
    failures: AtomicU64,
    pub performed: Mutex<Vec<Act>>,
    pub clock: Option<ManualClock>,
    touches: AtomicU64,
    /// The one queue of the host, its groups, and the producers outside.
    pub queue: Queue<Job>,
    /// Whether a consumer of the queue was added to a host.
    pub has_consumer: AtomicBool,
    items: AtomicU64,
    pub accepted: Mutex<Vec<u64>>,
    pub handled: Mutex<Vec<u64>>,
    /// A token that outlives all schedules and never stops.
    outer: StopToken,
    /// `None` at the end of the schedule, when nothing more may be kept.
    kept: Mutex<Option<Vec<Box<dyn Any + Send>>>>,
    /// Disconnected when the unresponsive services are released.
    held: Receiver<()>,
    release: Mutex<Option<Sender<()>>>,
}

impl World {
    pub fn new(capacity: usize, manual_clock: bool, outer: &StopToken) -> Arc<Self> {
        let (release, held) = bounded(0);
        Arc::new(World {
            notes: Mutex::default(),
            values: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            performed: Mutex::default(),
            clock: manual_clock.then(ManualClock::new),
            touches: AtomicU64::new(0),
            queue: Queue::bounded(capacity),
            has_consumer: AtomicBool::new(false),
            items: AtomicU64::new(0),
            accepted: Mutex::default(),
            handled: Mutex::default(),
            outer: outer.clone(),
            kept: Mutex::new(Some(Vec::new())),
            held,
            release: Mutex::new(Some(release)),
        })
    }

    pub fn note(&self, name: &Arc<str>, value: u64, step: Step) {
        self.notes.lock().push(Note { name: name.clone(), value, step });
    }

    /// Writes a step of a thread outside the host into the journal.
    pub fn note_outside(&self, step: Step) {
        self.note(&"outside".into(), 0, step);
    }

    pub fn notes(&self) -> Vec<Note> {
        self.notes.lock().clone()
    }

    pub fn next_value(&self) -> u64 {
        self.values.fetch_add(1, Ordering::Relaxed)
    }

    pub fn next_item(&self) -> u64 {
        self.items.fetch_add(1, Ordering::Relaxed)
    }

    /// Releases the services that are unresponsive forever.
    pub fn release(&self) {
        let release = self.release.lock().take();
        drop(release);
    }

    /// Drops everything that was kept, and keeps nothing more.
    pub fn drop_kept(&self) {
        let kept = self.kept.lock().take();
        drop(kept); // without the lock, because a guard may wait for its callback
    }

    /// Advances a manual clock, at most 100 times: a tick that advances the clock would otherwise cause the next tick
    /// forever.
    pub fn touch_clock(&self) {
        let touched = self.touches.fetch_add(1, Ordering::Relaxed);
        if let Some(clock) = self.clock.as_ref().filter(|_| touched < 100) {
            clock.advance(AN_HOUR);
        }
    }

    /// Performs `act` for the value `value` of a service.
    pub fn perform(self: &Arc<Self>, act: Act, value: u64, ctx: &Context) -> Result {
        let name = Arc::from(ctx.name());
        self.performed.lock().push(act);
        match act {
            Act::Fine => {}
            Act::Error => return Err(self.failure(&name, value).into()),
            // Skip the panic hook, which would print thousands of backtraces.
            Act::Panic => resume_unwind(Box::new(self.failure(&name, value))),
            Act::Report => ctx.report_error(self.failure(&name, value)),
            Act::Slow => thread::sleep(Duration::from_millis(1)),
            Act::UnresponsiveAWhile => thread::sleep(Duration::from_millis(8)),
            Act::UnresponsiveForever => {
                self.note(&name, value, Step::Unresponsive);
                _ = self.held.recv();
            }
            Act::StopHost => {
                self.note(&name, value, Step::Requested);
                ctx.host().request_stop();
            }
            Act::AddService => host_inside(ctx)?,
            Act::KeepHandle => self.keep(ctx),
            Act::DropHandle => {
                let kept = self.kept.lock().as_mut().and_then(Vec::pop);
                drop(kept);
            }
            Act::TouchClock => self.touch_clock(),
            Act::Degrade => {
                let reason = format!("reason {}", self.next_value() % 2);
                // The second report of the same reason must not be an event.
                (0..2).for_each(|_| ctx.degraded(&*reason));
            }
            Act::Heal => {
                ctx.degraded("for a moment");
                ctx.healthy();
            }
            Act::Beat => {
                thread::sleep(Duration::from_millis(5));
                ctx.heartbeat();
            }
        }
        Ok(())
    }

    fn failure(&self, name: &Arc<str>, value: u64) -> String {
        let text = format!("<failure {}>", self.failures.fetch_add(1, Ordering::Relaxed));
        self.note(name, value, Step::Failed(text.clone()));
        text
    }

    /// Keeps handles that a service can get. Another action drops them, or the end of the schedule.
    fn keep(self: &Arc<Self>, ctx: &Context) {
        let world = self.clone();
        let guard: StopCallback = self.outer.on_stop(move || world.release());
        let timed = StopSource::linked([&self.outer, ctx.stop_token()]);
        timed.request_stop_after(AN_HOUR);
        let more: [Box<dyn Any + Send>; 4] =
            [Box::new(ctx.host().clone()), Box::new(ctx.clone()), Box::new(guard), Box::new(timed)];
        // Bound what a schedule with thousands of jobs keeps: the tables for it never shrink.
        if let Some(kept) = self.kept.lock().as_mut().filter(|kept| kept.len() < KEPT) {
            kept.extend(more);
        }
        // A callback that is registered and dropped at once.
        let world = self.clone();
        drop(self.outer.on_stop(move || world.release()));
    }
}

const KEPT: usize = 100;

const AN_HOUR: Duration = Duration::from_secs(3_600);

/// Creates, starts and stops a host inside a service.
fn host_inside(ctx: &Context) -> Result {
    let mut host = Host::new();
    host.add("inner", worker(|ctx| Ok(ctx.sleep(AN_HOUR)?)));
    if ctx.stop_requested() {
        return Ok(());
    }
    host.start()?;
    if ctx.restarts() == 0 {
        host.stop(super::schedule::AMPLE)?;
    }
    Ok(())
}
