//! Hosted services for blocking Rust.
//!
//! An application is a set of background services. A [`Host`] starts them in order, each on a dedicated OS thread, restarts
//! them if configured, and stops them in reverse order within a deadline. The host stops on ctrl-c, after a failure, or when
//! the program requests it. It is .NET's Generic Host for programs without an async runtime.
//!
//! The library has these priorities, in this order:
//!
//! 1. A shutdown always ends, and reports truthfully how it ended.
//! 2. No accepted work is lost.
//! 3. The library is easy to use and to test.
//! 4. It costs no more than hand-written threads.
//!
//! The library has no `unsafe` code and no runtime, and it does not poll. The exceptions to the last point are documented, such as
//! `cron`, which checks the wall clock once a minute.
//!
//! # 1. A service is a function on a thread
//!
//! [`worker`] creates a service from a function. The function receives a [`Context`]. When the stop of the service is
//! requested, every wait on the context returns an error at once, and `?` ends the function.
//!
//! ```
//! use hosted::{Host, worker};
//! use std::time::Duration;
//!
//! let mut host = Host::new();
//! host.add("poller", worker(|ctx| loop {
//!     // poll something
//!     ctx.sleep(Duration::from_secs(5))?;
//! }));
//! host.start().unwrap();                                   // returns when every service is ready
//! // … the main loop of the application …
//! let report = host.stop(Duration::from_secs(10)).unwrap(); // joins every thread
//! println!("{report}");
//! ```
//!
//! [`Host::run`] starts the host, waits for ctrl-c or SIGTERM, and stops the host. If you call [`Host::start`] instead, the
//! services run until you call [`Host::stop`], even after a stop request or a failure; [`Host::wait`] returns when it is time
//! to stop. If the main thread must not block, as in a GUI, move the host to another thread that waits and stops: see
//! [`HostHandle::request_stop`].
//!
//! # 2. Services start in order and stop in reverse order
//!
//! By default, a service starts when all services that were added before it are ready. With `after`, it waits only for the
//! services that it names. [`task`] creates a service whose work is its start, such as a migration or the filling of a cache.
//!
//! ```
//! use hosted::{Host, task, worker};
//!
//! let mut host = Host::new();
//! host.add("migrate", task(|_| Ok(())));
//! host.add("api", worker(|ctx| { ctx.wait(); Ok(()) })).after(["migrate"]);
//! host.add("mail", worker(|ctx| { ctx.wait(); Ok(()) })).after(["migrate"]); // starts in parallel with the api
//! # host.start().unwrap();
//! # host.stop(std::time::Duration::from_secs(10)).unwrap();
//! ```
//!
//! # 3. A failed service stops the host, is restarted, or is ignored
//!
//! An error and a panic are failures. By default, a failure stops the host. The error of the host then has the service, the
//! phase and the cause. The options of a service can change this.
//!
//! ```
//! use hosted::{Host, OnFailure, Restart, worker};
//!
//! let mut host = Host::new();
//! host.add("statistics", worker(|_| Err("no data".into()))).on_failure(OnFailure::Ignore);
//! host.add("importer", worker(|_| Err("connection refused".into())))
//!     .restart(Restart::on_failure().give_up_after(0));
//! let error = host.run().unwrap_err();
//! assert_eq!(error.failures()[0].to_string(), "service `importer` failed while running: connection refused");
//! ```
//!
//! # 4. Ready-made services
//!
//! - [`every`] calls a function at a fixed rate. With the feature `cron`, `cron` calls it by a wall-clock schedule.
//! - A [`Queue`] accepts jobs. When its [consumers](Queue::consumer) are stopped, they first handle the accepted jobs.
//!   A [batch consumer](Queue::batch_consumer) handles many jobs at a time.
//! - [`group`] is a host within a host: its services start, stop and restart together.
//!
//! ```
//! use hosted::{Host, Queue, every};
//! use std::time::Duration;
//!
//! let outbox = Queue::bounded(100);
//! let mut host = Host::new();
//! host.add("mailer", outbox.consumer(|to: &str, _| { println!("mail to {to}"); Ok(()) }));
//! host.add("greeter", every(Duration::from_secs(1), move |ctx| {
//!     outbox.push_until("ada@example.org", ctx.stop_token())?;
//!     Ok(())
//! }));
//! # host.start().unwrap();
//! # host.stop(Duration::from_secs(10)).unwrap();
//! ```
//!
//! # 5. A service with state
//!
//! The trait [`Service`] has the methods `start`, `run` and `stop`. The host calls them in this order, on one thread. It calls
//! `stop` once for every `start` that returned `Ok`.
//!
//! ```
//! use hosted::{Context, Result, Service};
//! use std::io::{BufRead, BufReader};
//! use std::net::{TcpStream, Shutdown};
//!
//! struct Feed { address: String, stream: Option<TcpStream> }
//!
//! impl Service for Feed {
//!     fn start(&mut self, _: &Context) -> Result {
//!         self.stream = Some(TcpStream::connect(&self.address)?); // the service is ready when `start` returns
//!         Ok(())
//!     }
//!
//!     fn run(&mut self, ctx: &Context) -> Result {
//!         let Some(stream) = &self.stream else { return Ok(()) };
//!         let waker = stream.try_clone()?;
//!         let _guard = ctx.on_stop(move || _ = waker.shutdown(Shutdown::Both)); // ends the read below
//!         for line in BufReader::new(stream).lines() {
//!             match line {
//!                 Err(_) if ctx.stop_requested() => return Ok(()),
//!                 line => println!("{}", line?),
//!             }
//!         }
//!         Ok(())
//!     }
//! }
//! ```
//!
//! # 6. Tests
//!
//! A service is a value with three methods, and a test can call them with a [`Context::new`]. A
//! [`ManualClock`](testing::ManualClock) stands still until the test moves it, so a test of a day of ticks takes milliseconds.
//!
//! ```
//! use hosted::testing::ManualClock;
//! use hosted::{Context, Service, StopSource, every};
//! use std::time::Duration;
//!
//! let (time, stop) = (ManualClock::new(), StopSource::new());
//! let ctx = Context::new("clean-up", stop.token()).with_clock(time.clock());
//! let (sender, ticks) = std::sync::mpsc::channel();
//! let mut clean_up = every(Duration::from_secs(3600), move |_| Ok(sender.send(())?));
//! let thread = std::thread::spawn(move || clean_up.run(&ctx));
//! for _ in 0..24 {
//!     time.wait_for_sleepers(1);
//!     time.advance(Duration::from_secs(3600));
//!     ticks.recv().unwrap();
//! }
//! stop.request_stop();
//! thread.join().unwrap().unwrap();
//! ```
//!
//! # Logging
//!
//! The library logs through the crate `log`, under the targets `hosted::host`, `hosted::service`, `hosted::tick` and
//! `hosted::queue`:
//!
//! | level | log lines |
//! |---|---|
//! | ERROR | services that failed and are not restarted, hung services, panics of stop callbacks |
//! | WARN | restarts, missed ticks, reported errors, and everything that takes too long |
//! | INFO | the start and stop of the host, and services that completed |
//! | DEBUG | each step of a service |
//! | TRACE | each tick and each job |
//!
//! [`Host::events`] returns the same information as values.
//!
//! # Features
//!
//! No feature is enabled by default. The features `io` and `disconnect` add the dependency `rustix`. The feature `cron` adds
//! `croner` and `jiff`. The feature `status` adds `httparse` and `rustix`, the feature `metrics` adds the facade `metrics`, and
//! the feature `systemd` adds `sd-notify`.
//!
//! - `io` (Unix): blocking calls that return at a stop, as methods of [`StopToken`] and [`Context`]: `accept`, `incoming`,
//!   `connect`, `interruptible`, `wait_readable`, `wait_child` (Linux), and the descriptor `fd`.
//! - `disconnect` (Linux): `ServiceOptions::disconnect_when_hung`, which closes the connection of a service that is still
//!   blocked at its stop deadline.
//! - `systemd` (Linux; elsewhere without effect): `Host::systemd`, which reports readiness and a status line to systemd, and
//!   feeds its watchdog.
//! - `cron`: the function `cron` and the type `Schedule`, for services that run by a wall-clock schedule in a time zone.
//! - `status` (Unix): `StatusServer`, a service that answers probes, and shows metrics and a page for people, over HTTP.
//! - `metrics`: counters and gauges of services, queues and jobs, through the facade of the crate `metrics`. The program installs
//!   the exporter.
//!
//! # Source layout
//!
//! Each folder of `src` uses only the folders before it:
//!
//! - `util`: locks and threads, time, panics, text, the log
//! - `diagnose`: what a thread is blocked in
//! - `stop`: stop sources, tokens and callbacks
//! - `report`: states, outcomes, errors, events and the report
//! - `clock` and `signal`: the clock that tests can move, and ctrl-c
//! - `registry`: the state of all services of a host
//! - `service`: the trait `Service` and its `Context`
//! - `services` and `io`: ready-made services, and blocking calls that return at a stop
//! - `host`: starts, supervises and stops the services
//! - `integrations`: connections to other systems, such as the status server and systemd

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))] // docs.rs then shows which feature an item needs

mod util;

mod diagnose;

mod stop;

mod report;

mod clock;
mod signal;

mod registry;

mod service;

#[cfg(feature = "io")]
mod io;
mod services;

mod host;

#[cfg(feature = "io")]
mod serve;

#[cfg(any(feature = "status", feature = "systemd"))]
mod integrations;

pub use clock::Clock;
pub use host::{AddError, DynamicGroup, Host, Member, MemberError, OnCompletion, OnFailure, ServiceOptions, group};
#[cfg(feature = "status")]
pub use integrations::{StatusAddress, StatusServer};
#[cfg(feature = "io")]
pub use io::{Interruptible, Listener};
pub use registry::HostHandle;
pub use report::{
    BlockedThread, BoxError, Cause, Event, EventKind, Health, HostError, HostState, MemberCounts, Outcome, Phase,
    Report, Result, ServiceError, ServiceReport, ServiceState, ServiceStatus, StopReason, is_stop_error,
};
#[cfg(feature = "io")]
pub use serve::{ListenerError, Serve, serve};
pub use service::{Context, Restart, Service, Tick, Ticks, once, task, worker};
pub use services::{BatchConsumer, Consumer, Every, PushError, Queue, every};
#[cfg(feature = "cron")]
pub use services::{Cron, Schedule, ScheduleError, cron};
pub use signal::ctrl_c;
pub use stop::{RecvError, RepeatingStopCallback, StopCallback, StopSource, StopToken, Stopped};

/// Helpers for tests of services.
pub mod testing {
    pub use crate::clock::ManualClock;
}

/// The pages of the documentation whose programs `cargo test --doc` compiles and runs. The published package contains them too:
/// see `include` in `Cargo.toml`.
#[cfg(doctest)]
mod pages {
    macro_rules! pages {
        ($($(#[$only_with:meta])? $page:ident = $file:literal;)*) => {
            $($(#[$only_with])? #[doc = include_str!(concat!("../", $file))] struct $page;)*
        };
    }

    pages! {
        Readme = "README.md";
        GuideFirstService = "docs/guide/first-service.md";
        GuideState = "docs/guide/state.md";
        GuideStartupWork = "docs/guide/startup-work.md";
        #[cfg(feature = "status")]
        GuideHealth = "docs/guide/health.md";
        #[cfg(feature = "cron")]
        GuidePeriodicWork = "docs/guide/periodic-work.md";
        GuideQueues = "docs/guide/queues.md";
        GuideRestart = "docs/guide/restart.md";
        GuideGroups = "docs/guide/groups.md";
        GuideEmbedding = "docs/guide/embedding.md";
        GuideTesting = "docs/guide/testing.md";
        #[cfg(all(feature = "io", target_os = "linux"))]
        GuideBlockingCalls = "docs/guide/blocking-calls.md";
        #[cfg(feature = "disconnect")]
        GuideHungServices = "docs/guide/hung-services.md";
        GuideOperations = "docs/guide/operations.md";
    }
}
