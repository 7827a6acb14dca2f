//! What the tests share: stores, jobs that record what happens to them, and waits that end.

#![allow(dead_code)]

use hosted::testing::ManualClock;
use hosted::{Clock, Host};
use hosted_jobs::{Builder, Handlers, Job, JobContext, JobError, JobInfo, JobState, Jobs, Options, Outcome};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, Once};
use std::time::{Duration, Instant, SystemTime};

/// Long enough for any machine: a hang becomes a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// A store, its clock, and its folder.
pub(crate) struct Store {
    pub(crate) jobs: Jobs,
    pub(crate) time: ManualClock,
    folder: Option<tempfile::TempDir>,
    clock: Clock,
}

/// Which store a test runs on.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum On {
    Memory,
    Sqlite,
}

impl On {
    /// A store that goes by a clock of the test.
    pub(crate) fn manual(self) -> Store {
        self.manual_with(|builder| builder)
    }

    pub(crate) fn manual_with(self, set: impl FnOnce(Builder) -> Builder) -> Store {
        let time = ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        let clock = time.clock();
        self.open(time, clock, set)
    }

    /// A store that goes by the clock of the system.
    pub(crate) fn live(self) -> Store {
        self.live_with(|builder| builder)
    }

    pub(crate) fn live_with(self, set: impl FnOnce(Builder) -> Builder) -> Store {
        self.open(ManualClock::new(), Clock::system(), set)
    }

    fn open(self, time: ManualClock, clock: Clock, set: impl FnOnce(Builder) -> Builder) -> Store {
        let builder = set(Jobs::builder().clock(clock.clone()));
        match self {
            On::Memory => Store { jobs: builder.memory(), time, folder: None, clock },
            On::Sqlite => {
                let folder = tempfile::tempdir().unwrap();
                let jobs = builder.open(folder.path().join("jobs.db")).unwrap();
                Store { jobs, time, folder: Some(folder), clock }
            }
        }
    }
}

impl Store {
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.as_ref().expect("only a store in a file has a path").path().join("jobs.db")
    }

    /// A second handle: what another process would open. The memory of a process has no second one.
    pub(crate) fn again(&self) -> Jobs {
        match &self.folder {
            Some(_) => Jobs::builder().clock(self.clock.clone()).open(self.path()).unwrap(),
            None => self.jobs.clone(),
        }
    }

    pub(crate) fn get(&self, id: i64) -> JobInfo {
        self.jobs.get(id).unwrap().expect("the job is known")
    }

    pub(crate) fn state(&self, id: i64) -> JobState {
        self.get(id).state
    }

    /// Waits until the job has ended.
    pub(crate) fn wait_finished(&self, id: i64) -> Outcome {
        let mut outcome = None;
        wait_until(&format!("job {id} has ended"), || {
            outcome = match self.state(id) {
                JobState::Finished(outcome) => Some(outcome),
                _ => None,
            };
            outcome.is_some()
        });
        outcome.unwrap()
    }
}

/// A host that runs these handlers on `threads` threads, started.
pub(crate) fn workers(jobs: &Jobs, threads: usize, handlers: Handlers) -> Host {
    let mut host = Host::new();
    host.add("jobs", jobs.workers(threads, handlers));
    host.start().unwrap();
    host
}

pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "timed out waiting until {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A job that has nothing but a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Named(pub(crate) String);

impl Job for Named {
    const KIND: &'static str = "named";
}

pub(crate) fn named(name: &str) -> Named {
    Named(name.to_owned())
}

/// A job of another kind.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Other(pub(crate) u32);

impl Job for Other {
    const KIND: &'static str = "other";
}

/// A job with much data, which nobody handles.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Large(pub(crate) String);

impl Job for Large {
    const KIND: &'static str = "large";
}

/// A job that is dead after its first failure.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Fragile(pub(crate) u32);

impl Job for Fragile {
    const KIND: &'static str = "fragile";

    fn options() -> Options {
        Options::new().max_failures(1)
    }
}

/// What handlers leave for the test, in order.
#[derive(Clone, Default)]
pub(crate) struct Record(Arc<(Mutex<Vec<String>>, Condvar)>);

impl Record {
    pub(crate) fn add(&self, text: impl Into<String>) {
        self.0.0.lock().unwrap().push(text.into());
        self.0.1.notify_all();
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.0.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, text: &str) -> usize {
        self.all().iter().filter(|entry| *entry == text).count()
    }

    /// Waits until there are `n` entries.
    pub(crate) fn wait_for(&self, n: usize) {
        let guard = self.0.0.lock().unwrap();
        let (guard, timeout) = self.0.1.wait_timeout_while(guard, PATIENCE, |entries| entries.len() < n).unwrap();
        assert!(!timeout.timed_out(), "timed out waiting for {n} entries: {:?}", *guard);
    }

    /// Handlers that record the names of the jobs.
    pub(crate) fn handlers(&self) -> Handlers {
        let record = self.clone();
        Handlers::new().handle(move |job: Named, _: &JobContext| {
            record.add(job.0);
            Ok(())
        })
    }

    /// Handlers that record the names and call `f`.
    pub(crate) fn handlers_that(
        &self,
        f: impl Fn(&Named, &JobContext) -> Result<(), JobError> + Send + Sync + 'static,
    ) -> Handlers {
        let record = self.clone();
        Handlers::new().handle(move |job: Named, ctx: &JobContext| {
            record.add(job.0.clone());
            f(&job, ctx)
        })
    }
}

/// A gate that is closed until the test opens it.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    pub(crate) fn wait(&self) {
        let guard = self.0.0.lock().unwrap();
        let (_guard, timeout) = self.0.1.wait_timeout_while(guard, PATIENCE, |open| !*open).unwrap();
        assert!(!timeout.timed_out(), "timed out waiting at a gate");
    }
}

/// The log lines of this process, from the first call on.
pub(crate) fn log_lines() -> &'static Mutex<Vec<String>> {
    struct Keep;
    static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
    static INSTALLED: Once = Once::new();

    impl log::Log for Keep {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &log::Record<'_>) {
            LINES.lock().unwrap().push(format!("{} {}: {}", record.level(), record.target(), record.args()));
        }

        fn flush(&self) {}
    }

    INSTALLED.call_once(|| {
        log::set_logger(&Keep).unwrap();
        log::set_max_level(log::LevelFilter::Info);
    });
    &LINES
}

/// Each test runs on both stores.
#[macro_export]
macro_rules! on_both_stores {
    ($($name:ident),* $(,)?) => {
        mod memory {
            $(#[test] fn $name() { super::$name($crate::support::On::Memory) })*
        }
        mod sqlite {
            $(#[test] fn $name() { super::$name($crate::support::On::Sqlite) })*
        }
    };
}
