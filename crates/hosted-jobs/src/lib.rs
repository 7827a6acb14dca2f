//! Durable background jobs for blocking Rust.
//!
//! A job is data in a store: one SQLite file, with no server. It survives crashes, runs on the threads of a
//! [`hosted::Host`], is retried, scheduled and limited. When the host stops, running jobs come back within its deadline.
//!
//! # 1. Declare a job, handle it, run it
//!
//! ```
//! use hosted_jobs::{Handlers, Job, JobContext, Jobs};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct SendMail { to: String }
//! impl Job for SendMail { const KIND: &'static str = "mail.send"; }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("app.db");
//! let jobs = Jobs::open(path)?;
//! let mut host = hosted::Host::new();
//! host.add("jobs", jobs.workers(4, Handlers::new().handle(|mail: SendMail, _: &JobContext| {
//!     println!("mail to {}", mail.to);
//!     Ok(())
//! })));
//! host.start()?;
//! jobs.enqueue(&SendMail { to: "ada@example.org".into() })?;
//! # host.stop(std::time::Duration::from_secs(10))?;
//! # Ok(()) }
//! ```
//!
//! When [`enqueue`](Jobs::enqueue) has returned `Ok`, the job is on the disk. It runs at least once, and never on two
//! threads at a time.
//!
//! # 2. Together with your own data: both, or neither
//!
//! [`Jobs::enqueue_on`] stores a job in your own transaction on the same file. Inside a handler,
//! [`JobContext::transaction`] and [`JobContext::complete_on`] commit your rows together with the end of the job, so
//! its effects in that database happen exactly once.
//!
//! # 3. Errors are retried
//!
//! A handler returns any error by `?`, and the job runs again after a growing, random time. With a
//! [`JobError`] a handler decides itself: [`dead`](JobError::dead), [`retry_in`](JobError::retry_in), [`snooze`](JobError::snooze). After 20
//! failures a job is dead. It is kept, with its error, until [`Jobs::retry`] makes it live again.
//!
//! # 4. Later, once, first, a few at a time
//!
//! ```
//! # use hosted_jobs::{Enqueue, Job, Jobs, Unique};
//! # use serde::{Deserialize, Serialize};
//! # use std::time::Duration;
//! # #[derive(Serialize, Deserialize)] struct Reindex { shop: u32 }
//! # impl Job for Reindex { const KIND: &'static str = "reindex"; }
//! # let jobs = Jobs::memory(hosted::Clock::system());
//! jobs.enqueue_in(Duration::from_secs(600), &Reindex { shop: 7 })?;
//! jobs.enqueue(
//!     Enqueue::new(&Reindex { shop: 7 })
//!         .unique(Unique::until_started(7)) // one waits, however often it is enqueued
//!         .priority(-1)                     // before the others
//!         .limit(("shop", 7), 1),           // at most one of this shop at a time, in all processes
//! )?;
//! # Ok::<(), hosted_jobs::EnqueueError>(())
//! ```
//!
//! # 5. By the clock
//!
//! [`Jobs::recurring`] declares jobs by a cron expression in a time zone, or by a period. Each due time makes at most
//! one job, with any number of processes, and none is forgotten over restarts.
//!
//! # 6. Long jobs
//!
//! [`JobContext::checkpoint`] stores how far a job has come, and the next run goes on from there. The context's stop
//! token stops when the host stops, when the job is cancelled, and at its timeout:
//! [`stop_cause`](JobContext::stop_cause) says which.
//!
//! # 7. Tests
//!
//! [`Jobs::memory`] is a store in memory, and [`Jobs::drain`] runs what is due on the calling thread. With a
//! [`ManualClock`](hosted::testing::ManualClock) a month of schedules takes milliseconds.
//!
//! # What it logs
//!
//! Through the crate `log`, under the targets `hosted_jobs::store`, `hosted_jobs::worker` and
//! `hosted_jobs::recurring`: WARN for the first failure of a job and for a dead one, INFO for further failures, ERROR for
//! a schedule that is broken. Payloads are never logged. [`Jobs::events`] has the same as values.
//!
//! # Features
//!
//! - `sqlite` (default): stores in SQLite files. It re-exports [`rusqlite`], whose types stand in the API.
//! - `cron` (default): recurring jobs by a cron expression.

#![forbid(unsafe_code)]
// The store in memory needs only a part of what stores may offer.
#![cfg_attr(not(feature = "sqlite"), allow(dead_code))]

mod util;
mod state;
mod error;
mod info;
mod events;
mod job;
mod spec;
mod store;
mod commit;
mod rules;
mod core;
mod enqueue;
mod statement;
mod context;
#[cfg(feature = "sqlite")]
mod sqlite;
mod handlers;
mod recurring;
mod execute;
mod registration;
mod drain;
mod worker;
mod jobs;
mod builder;
mod admin;

pub use admin::ScheduleInfo;
pub use builder::{Builder, Synchronous};
pub use context::{JobContext, StopCause};
pub use drain::{DrainError, Drained};
pub use enqueue::{Enqueue, Enqueued, Unique};
pub use error::{BoxError, Decision, EnqueueError, JobError, LostClaim, OpenError, Result, RunError, StoreError};
pub use events::{JobEvent, JobEventKind};
pub use handlers::{Handlers, HandlersError};
pub use info::{Filter, JobInfo, JobState, QueueStats, Stats, WaitingKind, WorkerInfo};
pub use job::{Backoff, Job, Options};
pub use jobs::{Declared, Jobs};
pub use recurring::{Recurring, RecurringError};
pub use rules::Cancelling;
#[cfg(feature = "sqlite")]
pub use rusqlite;
pub use spec::Misfire;
#[cfg(feature = "sqlite")]
pub use sqlite::{EnqueueTarget, JobTransaction};
pub use state::Outcome;
pub use statement::{Statement, Value};
pub use worker::Workers;

/// The pages of the documentation whose programs `cargo test --doc` compiles and runs.
#[cfg(all(doctest, feature = "sqlite", feature = "cron"))]
mod pages {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../../../docs/jobs/guide.md")]
    struct Guide;
}
