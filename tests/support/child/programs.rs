//! The programs that several modules use.

use super::{Child, Program, leave, say};
use hosted::{Context, Host, Result, Service, worker};
use std::process::ExitCode;

pub(crate) const SHARED: &[Program] =
    &[("graceful", graceful), ("stuck", unresponsive), ("only started", only_started)];

/// Prints each call.
pub(crate) struct Server;

impl Service for Server {
    fn run(&mut self, ctx: &Context) -> Result {
        say("ready");
        ctx.wait();
        Ok(())
    }

    fn stop(&mut self, _: &Context) -> Result {
        say("stop");
        Ok(())
    }
}

pub(crate) fn forever() -> ! {
    loop {
        std::thread::park();
    }
}

/// Prints that it has received its stop request, and continues.
pub(crate) fn stay(ctx: &Context) -> Result {
    say("ready");
    ctx.wait();
    say("stop requested");
    forever()
}

/// A host that runs until a signal, with a `main` that chooses the exit code.
pub(crate) fn graceful() {
    let mut host = Host::new();
    host.add("server", Server);
    let report = host.run().unwrap();
    say(&format!("after run: {:?}", report.reason));
    leave(ExitCode::from(7))
}

/// Sends a signal to [`graceful`], and asserts that it stops gracefully.
pub(crate) fn is_graceful(child: Child, signal: &str) {
    child.signal(signal);
    ends_gracefully(child, signal);
}

/// Asserts that [`graceful`] stops gracefully after a signal.
pub(crate) fn ends_gracefully(child: Child, signal: &str) {
    child.says("stop");
    child.says("after run: Signal");
    assert_eq!(child.ends(), (7, String::new()), "{signal}");
}

/// A host that runs a service which ignores its stop request.
pub(crate) fn unresponsive() {
    let mut host = Host::new();
    host.stop_timeout(super::AN_HOUR).add("stuck", worker(stay));
    leave(host.run().map(drop))
}

/// A host without a signal handler, because it has only started.
pub(crate) fn only_started() {
    let mut host = Host::new();
    host.add("server", Server);
    host.start().unwrap();
    forever()
}
