//! Opening a store: the constructors of `Jobs`, and the settings.

use crate::core::{Core, Settings};
#[cfg(feature = "sqlite")]
use crate::error::OpenError;
use crate::jobs::Jobs;
use crate::rules::Retention;
use crate::store::MemoryStore;
use crate::util::millis;
use hosted::Clock;
use std::sync::Arc;
use std::time::Duration;

/// The settings of a store, before it is opened. Created by [`Jobs::builder`].
///
/// ```
/// use hosted_jobs::Jobs;
/// use std::time::Duration;
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("app.db");
/// # #[cfg(feature = "sqlite")]
/// let jobs = Jobs::builder().keep_succeeded(Duration::from_secs(3600)).max_payload(64 << 10).open(path).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    clock: Clock,
    settings: Settings,
    #[cfg(feature = "sqlite")]
    sqlite: crate::store::sqlite::Settings,
}

/// Whether a commit waits until the disk has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Synchronous {
    /// A job that was stored survives a power failure. SQLite: `synchronous = FULL`.
    #[default]
    Full,
    /// A job that was stored survives the death of every process. A power failure may lose the last ones. Many times
    /// faster for a single caller. SQLite: `synchronous = NORMAL`.
    Normal,
}

/// How often the process of a job may die, unless [`Builder::max_deaths`] says otherwise. Twice can be bad luck.
const MAX_DEATHS: u32 = 3;

const MEBIBYTE: usize = 1 << 20;
const DAY: Duration = Duration::from_secs(24 * 3600);

impl Builder {
    pub(crate) fn new() -> Self {
        let retention = Retention { succeeded: millis(DAY), dead: millis(DAY * 90), cancelled: millis(DAY * 7) };
        Builder {
            clock: Clock::system(),
            settings: Settings {
                max_payload: MEBIBYTE,
                retention,
                max_deaths: MAX_DEATHS,
                program: program_name(),
                revision: 0,
            },
            #[cfg(feature = "sqlite")]
            sqlite: crate::store::sqlite::Settings {
                prefix: "hosted_".to_owned(),
                full_synchronous: true,
                migrate: true,
                busy_limit: Duration::from_secs(5),
            },
        }
    }

    /// Sets the clock that due times go by: for tests. The default is the clock of the system.
    pub fn clock(self, clock: Clock) -> Self {
        Builder { clock, ..self }
    }

    /// Sets the largest payload, in bytes. The default is 1 MiB.
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.settings.max_payload = bytes;
        self
    }

    /// Sets how long jobs are kept after they succeeded. The default is a day.
    pub fn keep_succeeded(mut self, time: Duration) -> Self {
        self.settings.retention.succeeded = millis(time);
        self
    }

    /// Sets how long dead jobs are kept. The default is 90 days.
    pub fn keep_dead(mut self, time: Duration) -> Self {
        self.settings.retention.dead = millis(time);
        self
    }

    /// Sets how long cancelled jobs are kept. The default is 7 days.
    pub fn keep_cancelled(mut self, time: Duration) -> Self {
        self.settings.retention.cancelled = millis(time);
        self
    }

    /// Sets after how many deaths of its process a job is dead. The default is 3.
    ///
    /// A death counts only for jobs that were running, not for jobs that were claimed ahead. After its first death a job
    /// runs beside no other such job, so that a job that kills its process takes no other down. Use a higher limit if your
    /// processes are often killed from outside, and no job is to blame. Zero counts as one.
    #[doc(alias("poison", "max_crashes"))]
    pub fn max_deaths(mut self, deaths: u32) -> Self {
        self.settings.max_deaths = deaths.max(1);
        self
    }

    /// Sets the name and the revision of this program, for [`Jobs::recurring`].
    ///
    /// A program declares its own set of recurring jobs and leaves the sets of others alone. If a newer revision has
    /// declared its set, an older one does not undo it. The default is the name of the executable, and revision 0.
    pub fn program(mut self, name: impl Into<String>, revision: u32) -> Self {
        self.settings.program = name.into();
        self.settings.revision = revision;
        self
    }

    /// Sets what stands in front of the names of all tables. The default is `hosted_`.
    #[cfg(feature = "sqlite")]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.sqlite.prefix = prefix.into();
        self
    }

    /// Sets whether a commit waits until the disk has it. The default is [`Synchronous::Full`].
    #[cfg(feature = "sqlite")]
    pub fn synchronous(mut self, level: Synchronous) -> Self {
        self.sqlite.full_synchronous = level == Synchronous::Full;
        self
    }

    /// Sets how long to wait if another connection has the file locked. The default is 5 seconds.
    #[cfg(feature = "sqlite")]
    pub fn busy_limit(mut self, time: Duration) -> Self {
        self.sqlite.busy_limit = time;
        self
    }

    /// Sets whether `open` creates the file and the tables, and upgrades older tables. The default is `true`.
    ///
    /// With `false`, `open` fails with [`OpenError::OlderSchema`] or [`OpenError::NotFound`] instead. Use it if you run
    /// migrations as a step of your deployment: `hosted-jobs migrate`, or the statements of
    /// [`migration`](Self::migration).
    #[cfg(feature = "sqlite")]
    pub fn migrate(mut self, on_open: bool) -> Self {
        self.sqlite.migrate = on_open;
        self
    }

    /// Opens a store in a SQLite file.
    ///
    /// # Errors
    ///
    /// As for [`Jobs::open`].
    #[cfg(feature = "sqlite")]
    pub fn open(self, path: impl AsRef<std::path::Path>) -> Result<Jobs, OpenError> {
        let store = crate::store::sqlite::SqliteStore::open(path.as_ref(), self.sqlite, self.clock.clone())?;
        Ok(Jobs::on(Core::new(Arc::new(store), self.clock, self.settings)))
    }

    /// Creates a store in memory, for tests.
    pub fn memory(self) -> Jobs {
        let store = MemoryStore::new(self.clock.clone());
        Jobs::on(Core::new(Arc::new(store), self.clock, self.settings))
    }

    /// Returns the SQL statements that create the tables, for people who run them themselves.
    #[cfg(feature = "sqlite")]
    pub fn migration(&self) -> String {
        crate::store::sqlite::migration(&self.sqlite.prefix)
    }
}

impl Jobs {
    /// Opens a store in a SQLite file, which is created if it does not exist. Several processes may open it.
    ///
    /// The file may be the database of the program itself: all tables begin with `hosted_`. See
    /// [`builder`](Self::builder) for settings.
    ///
    /// # Errors
    ///
    /// If the file is no database, cannot be written, is on a network file system, or was made by a newer program.
    #[cfg(feature = "sqlite")]
    pub fn open(path: impl AsRef<std::path::Path>) -> Result<Self, OpenError> {
        Jobs::builder().open(path)
    }

    /// Creates a store in memory, for tests. It goes by `clock`.
    ///
    /// ```
    /// use hosted::testing::ManualClock;
    /// use hosted_jobs::{Handlers, Job, JobContext, Jobs};
    /// use serde::{Deserialize, Serialize};
    /// use std::time::Duration;
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Remind { order: u32 }
    /// impl Job for Remind { const KIND: &'static str = "remind"; }
    ///
    /// let time = ManualClock::new();
    /// let jobs = Jobs::memory(time.clock());
    /// let handlers = Handlers::new().handle(|_: Remind, _: &JobContext| Ok(()));
    /// jobs.enqueue_in(Duration::from_secs(24 * 3600), &Remind { order: 7 }).unwrap();
    /// assert_eq!(jobs.drain(&handlers).unwrap().succeeded(), 0);
    /// time.advance(Duration::from_secs(24 * 3600));
    /// assert_eq!(jobs.drain(&handlers).unwrap().succeeded(), 1);
    /// ```
    pub fn memory(clock: Clock) -> Self {
        Jobs::builder().clock(clock).memory()
    }

    /// Returns the settings of a store, to change some before it is opened.
    pub fn builder() -> Builder {
        Builder::new()
    }
}

fn program_name() -> String {
    let path = std::env::current_exe().unwrap_or_default();
    path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
