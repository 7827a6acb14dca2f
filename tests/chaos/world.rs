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

/// What a service noted of itself, or somebody outside of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Start,
    Ready,
    Run,
    Stop,
    Asked,
    Dropped,
    /// It failed, saying this: unique in its schedule.
    Failed(String),
    Unresponsive,
    /// Somebody asked for the stop.
    Requested,
    /// `Host::start` has returned `Ok`.
    HostStarted,
}

#[derive(Clone, Debug)]
pub struct Note {
    pub name: Arc<str>,
    /// Which value of that name: a group has fresh ones at each start.
    pub value: u64,
    pub step: Step,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} #{}: {:?}", self.name, self.value, self.step)
    }
}

/// A job, large enough for a push to take a while: so that a stop comes in the middle of one now and then.
pub struct Job {
    pub item: u64,
    _ballast: [u8; 32 << 10],
}

/// Without optimization, a call that takes a job has several copies of it on its stack.
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
    /// One for the host, the groups in it, and producers outside.
    pub queue: Queue<Job>,
    /// A consumer of it was added to a host.
    pub has_consumer: AtomicBool,
    items: AtomicU64,
    pub accepted: Mutex<Vec<u64>>,
    pub handled: Mutex<Vec<u64>>,
    /// Outlives all schedules, and never stops.
    outer: StopToken,
    /// `None` when it is over, and nothing is to be kept any more.
    kept: Mutex<Option<Vec<Box<dyn Any + Send>>>>,
    /// Disconnected when the unresponsive may hear again.
    held: Receiver<()>,
    release: Mutex<Option<Sender<()>>>,
}

impl World {
    pub fn new(room: usize, manual_clock: bool, outer: &StopToken) -> Arc<Self> {
        let (release, held) = bounded(0);
        Arc::new(World {
            notes: Mutex::default(),
            values: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            performed: Mutex::default(),
            clock: manual_clock.then(ManualClock::new),
            touches: AtomicU64::new(0),
            queue: Queue::bounded(room),
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

    /// Somebody outside of the services did something.
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

    /// Lets all go that are unresponsive for ever.
    pub fn release(&self) {
        let release = self.release.lock().take();
        drop(release);
    }

    /// Drops all handles that were kept, and keeps no more.
    pub fn drop_kept(&self) {
        let kept = self.kept.lock().take();
        drop(kept); // with the lock let go: a guard may wait for its callback
    }

    /// Lets time pass, where it does not by itself: so often that a tick which does it is not for ever the next one's
    /// cause.
    pub fn touch_clock(&self) {
        let touched = self.touches.fetch_add(1, Ordering::Relaxed);
        if let Some(clock) = self.clock.as_ref().filter(|_| touched < 100) {
            clock.advance(AN_HOUR);
        }
    }

    /// Does `act` as the value `value` of a service.
    pub fn perform(self: &Arc<Self>, act: Act, value: u64, ctx: &Context) -> Result {
        let name = Arc::from(ctx.name());
        self.performed.lock().push(act);
        match act {
            Act::Fine => {}
            Act::Error => return Err(self.failure(&name, value).into()),
            // Without the panic hook, which would write a thousand backtraces.
            Act::Panic => resume_unwind(Box::new(self.failure(&name, value))),
            Act::Report => ctx.report_error(self.failure(&name, value)),
            Act::Slow => thread::sleep(Duration::from_millis(1)),
            Act::UnresponsiveAWhile => thread::sleep(Duration::from_millis(8)),
            Act::UnresponsiveForEver => {
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
            Act::Degrade => ctx.degraded(format!("reason {}", self.next_value() % 2)),
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

    /// Keeps what a service can get hold of, to be dropped by another, or at the end.
    fn keep(self: &Arc<Self>, ctx: &Context) {
        let world = self.clone();
        let guard: StopCallback = self.outer.on_stop(move || world.release());
        let timed = StopSource::linked([&self.outer, ctx.stop_token()]);
        timed.request_stop_after(AN_HOUR);
        let more: [Box<dyn Any + Send>; 4] =
            [Box::new(ctx.host().clone()), Box::new(ctx.clone()), Box::new(guard), Box::new(timed)];
        // A bound on what a schedule with thousands of jobs keeps: the tables for it are never made smaller.
        if let Some(kept) = self.kept.lock().as_mut().filter(|kept| kept.len() < KEPT) {
            kept.extend(more);
        }
        // One that comes and goes at once.
        let world = self.clone();
        drop(self.outer.on_stop(move || world.release()));
    }
}

const KEPT: usize = 100;

const AN_HOUR: Duration = Duration::from_secs(3_600);

/// A host inside a service, from its making to its end.
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
