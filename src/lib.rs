//! Hosted services for blocking Rust.
//!
//! An application is a set of background services. A [`Host`] starts them in order, each on an OS thread of its own,
//! keeps them running, and stops them gracefully, in reverse, within a deadline: on ctrl-c, on a failure, or when
//! asked to. It is what .NET's Generic Host is, for programs without an async runtime.
//!
//! Priorities, in this order: that a stop comes to an end and tells the truth about it; that nothing accepted is
//! lost; that it is easy to use and to test; that it costs nothing over hand-written threads. No `unsafe`, no
//! runtime, nothing polls.
//!
//! # 1. A service is a function on a thread
//!
//! [`worker`] makes a service of a function. It is given a [`Context`], whose waits all end at once, as an error, when
//! the service is asked to stop: `?` is the way out.
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
//! // … the application's own loop …
//! let report = host.stop(Duration::from_secs(10)).unwrap(); // joins every thread
//! println!("{report}");
//! ```
//!
//! [`Host::run`] is start, wait and stop in one, until ctrl-c or SIGTERM. After [`Host::start`] alone, a request or a
//! failure stops no service until the owner of the host calls `stop`; [`Host::wait`] tells when to. An owner that must not
//! block, such as a GUI, moves the host to a thread that waits and stops: see [`HostHandle::request_stop`].
//!
//! # 2. Services start in order and stop in reverse
//!
//! Each starts when those added before it are ready, or only those that it names. [`task`] is work that is done when
//! it has started: a migration, a cache to warm.
//!
//! ```
//! use hosted::{Host, task, worker};
//!
//! let mut host = Host::new();
//! host.add("migrate", task(|_| Ok(())));
//! host.add("api", worker(|ctx| { ctx.wait(); Ok(()) })).after(["migrate"]);
//! host.add("mail", worker(|ctx| { ctx.wait(); Ok(()) })).after(["migrate"]); // beside the api
//! # host.start().unwrap();
//! # host.stop(std::time::Duration::from_secs(10)).unwrap();
//! ```
//!
//! # 3. What ends badly ends the host, or is started again
//!
//! An error and a panic are failures. A failure stops the host and is its error, with service, phase and cause, unless
//! its options say otherwise.
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
//! [`every`] calls a function at a fixed rate. A [`Queue`] takes jobs, and its [consumers](Queue::consumer) finish what
//! was accepted when they are stopped. [`group`] is a host in a host: services that stand and fall together.
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
//! [`Service`] has a `start`, a `run` and a `stop`. They are called on one thread, in that order, and `stop` for every
//! `start` that returned `Ok`.
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
//!         self.stream = Some(TcpStream::connect(&self.address)?); // ready when it returns
//!         Ok(())
//!     }
//!
//!     fn run(&mut self, ctx: &Context) -> Result {
//!         let Some(stream) = &self.stream else { return Ok(()) };
//!         let waker = stream.try_clone()?;
//!         let _guard = ctx.on_stop(move || _ = waker.shutdown(Shutdown::Both)); // wakes the read below
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
//! A service is a value with three methods: a test calls them, with [`Context::new`]. Time stands still on a
//! [`ManualClock`](testing::ManualClock) until the test moves it: a day of ticks takes milliseconds.
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
//! # What it logs
//!
//! Through the crate `log`, under the targets `hosted::host`, `hosted::service`, `hosted::tick` and `hosted::queue`:
//! ERROR for what failed for good or hangs, WARN for restarts and whatever is late or reported, INFO for the host's few
//! own lines, DEBUG for each step of a service, TRACE for ticks and jobs. [`Host::events`] has the same as values.
//!
//! # Features
//!
//! None is on unless asked for; each has `rustix` as a dependency.
//!
//! - `io` (Unix): blocking calls that end at the stop: `accept`, `incoming`, `connect`, `interruptible`, `wait_readable`,
//!   `wait_child` and `fd`, on [`StopToken`] and [`Context`].
//! - `disconnect` (Linux): `ServiceOptions::disconnect_when_hung`, the last resort against a call that nothing else ends.

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

pub use clock::Clock;
pub use host::{Host, OnCompletion, OnFailure, ServiceOptions, group};
#[cfg(feature = "io")]
pub use io::{Interruptible, Listener};
pub use registry::HostHandle;
pub use report::{
    BlockedThread, BoxError, Cause, Event, EventKind, HostError, HostState, Outcome, Phase, Report, Result,
    ServiceError, ServiceReport, ServiceState, ServiceStatus, StopReason,
};
pub use service::{Context, Restart, Service, Tick, Ticks, task, worker};
pub use services::{Consumer, Every, PushError, Queue, every};
pub use signal::ctrl_c;
pub use stop::{RecvError, RepeatingStopCallback, StopCallback, StopSource, StopToken, Stopped};

/// What a test of services needs.
pub mod testing {
    pub use crate::clock::ManualClock;
}

/// The pages whose programs `cargo test --doc` compiles and runs. The pages are not in the published package.
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
