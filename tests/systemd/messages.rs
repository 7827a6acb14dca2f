//! Guarantees 200 to 202: the messages of a host, as the socket receives them that `NOTIFY_SOCKET` names.

use crate::support::child::programs::forever;
use crate::support::child::{AN_HOUR, ARGS, Child, Program, leave, say};
use crate::support::{LIMIT, SECOND, idle, task_named};
use hosted::{Context, Host, OnFailure, task, worker};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::Read;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

pub(crate) const PROGRAMS: &[Program] = &[
    ("runs", runs),
    ("completes at once", completes_at_once),
    ("slow start", slow_start),
    ("degraded", degraded),
    ("slow stop", slow_stop),
    ("drains", drains),
    ("limited start", limited_start),
    ("unlimited", unlimited),
    ("not under systemd", not_under_systemd),
];

/// The socket that receives the messages.
pub(crate) struct Messages {
    socket: UnixDatagram,
    /// The lines of the latest message that were not read.
    unread: RefCell<VecDeque<String>>,
    folder: tempfile::TempDir,
}

/// How many processes a test starts whose last messages a busy machine may lose.
const ATTEMPTS: u32 = 10;

impl Messages {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        Messages { socket, unread: RefCell::default(), folder }
    }

    /// Starts a child that sends its messages here.
    pub(crate) fn play(&self, program: &str, watchdog: Option<Duration>) -> Child {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(ARGS).env("NOTIFY_SOCKET", self.folder.path().join("notify"));
        if let Some(interval) = watchdog {
            command.env("WATCHDOG_USEC", interval.as_micros().to_string());
        }
        Child::start(&mut command, program)
    }

    /// Returns the next line. A message may have several.
    pub(crate) fn next(&self) -> String {
        let mut unread = self.unread.borrow_mut();
        while unread.is_empty() {
            let mut buffer = [0; 4_096];
            let length = self.socket.recv(&mut buffer).expect("a message within the limit");
            unread.extend(std::str::from_utf8(&buffer[..length]).unwrap().lines().map(str::to_owned));
        }
        unread.pop_front().unwrap() // it is not empty
    }

    /// Returns all lines until this one.
    pub(crate) fn until(&self, last: &str) -> Vec<String> {
        let mut lines = Vec::new();
        while lines.last().is_none_or(|line| line != last) {
            lines.push(self.next());
        }
        lines
    }

    /// Returns the rest of the first line that begins with `start`.
    pub(crate) fn find(&self, start: &str) -> String {
        loop {
            if let Some(rest) = self.next().strip_prefix(start) {
                return rest.to_owned();
            }
        }
    }

    /// Returns the lines that have arrived and were not read.
    pub(crate) fn pending(&self) -> Vec<String> {
        self.socket.set_nonblocking(true).unwrap();
        let mut buffer = [0; 4_096];
        let mut lines: Vec<String> = self.unread.borrow_mut().drain(..).collect();
        while let Ok(length) = self.socket.recv(&mut buffer) {
            lines.extend(String::from_utf8_lossy(&buffer[..length]).lines().map(str::to_owned));
        }
        self.socket.set_nonblocking(false).unwrap();
        lines
    }

    /// Waits for a status line that contains `part`.
    pub(crate) fn status_with(&self, part: &str) -> String {
        loop {
            let line = self.find("STATUS=");
            if line.contains(part) {
                return line;
            }
        }
    }
}

/// A host under systemd, without services.
pub(crate) fn host() -> Host {
    let mut host = Host::new();
    host.systemd().systemd();
    host
}

/// Says that it is ready, and waits for its stop request.
fn ready(ctx: &Context) -> hosted::Result {
    ctx.wait_until_started()?;
    say("ready");
    ctx.wait();
    Ok(())
}

fn runs() {
    let mut host = host();
    host.add("server", worker(ready));
    leave(host.run().map(drop))
}

// 200
#[test]
fn systemd_learns_once_that_the_host_is_ready_and_once_that_it_stops() {
    // A stop waits 100 ms for the last messages. A busy machine may take longer, so one of several attempts must be complete.
    assert!((0..ATTEMPTS).any(|_| {
        let messages = Messages::new();
        let child = messages.play("runs", None);
        assert_eq!(messages.find("READY="), "1");
        assert_eq!(messages.status_with("running"), "running: 1 service");
        child.signal("TERM");
        assert_eq!(child.ends(), (0, String::new()));
        let lines = messages.pending();
        let count = |start: &str| lines.iter().filter(|line| line.starts_with(start)).count();
        assert!(count("READY=") == 0 && count("STOPPING=") <= 1, "{lines:?}");
        count("STOPPING=1") == 1 && lines.last().is_some_and(|line| line == "STATUS=stopped")
    }));
}

fn completes_at_once() {
    say("ready");
    let mut host = host();
    host.add("done", task(|_| Ok(())));
    // Without a drop of the host.
    std::process::exit(i32::from(host.run().is_err()))
}

// 200
#[test]
fn a_process_that_exits_as_soon_as_its_host_has_stopped_was_ready() {
    let is_complete = |_: &u32| {
        let messages = Messages::new();
        assert_eq!(messages.play("completes at once", None).ends(), (0, String::new()));
        let lines = messages.pending();
        ["READY=1", "STOPPING=1", "STATUS=stopped"].iter().all(|line| lines.iter().any(|sent| sent == line))
    };
    // A busy machine may take more than the 100 ms for which a stop waits.
    let complete = (0..2 * ATTEMPTS).filter(is_complete).count();
    assert!(complete > 0, "no process sent all messages");
}

fn slow_start() {
    let mut host = host();
    host.add("first", idle());
    let wait = |_: &Context| {
        say("ready");
        std::io::stdin().read_to_end(&mut Vec::new())?;
        Ok(())
    };
    host.add("slow", task(wait));
    leave(host.run().map(drop))
}

// 201
#[test]
fn the_status_names_the_service_that_a_start_waits_for_and_what_it_is_blocked_in() {
    let messages = Messages::new();
    let mut child = messages.play("slow start", None);
    let line = messages.status_with("blocked in read(");
    assert!(line.starts_with("starting: 1 of 2 services started; waiting for `slow` (blocked in read(fd 0"), "{line}");
    child.reads_the_end();
    messages.status_with("running: 2 services");
    child.signal("TERM");
    assert_eq!(child.ends().0, 0);
}

fn degraded() {
    let mut host = host();
    let run = |ctx: &Context| {
        ctx.wait_until_started()?;
        say("ready");
        for reason in ["no connection", "a forged\nREADY=0"] {
            ctx.degraded(reason);
            std::io::stdin().read_exact(&mut [0])?;
        }
        ctx.healthy();
        ctx.wait();
        Ok(())
    };
    host.add("mailer", worker(run));
    host.add("broken", task(|_| Err("no table".into()))).on_failure(OnFailure::Ignore);
    leave(host.run().map(drop))
}

// 201
#[test]
fn the_status_names_services_that_are_degraded_or_have_failed_on_one_line() {
    let messages = Messages::new();
    let mut child = messages.play("degraded", None);
    let line = messages.status_with("no connection");
    assert_eq!(
        line,
        "running: 2 services; degraded: `mailer` (no connection); failed: `broken` (failed while starting: no table)"
    );
    child.reads("x");
    messages.status_with(r"degraded: `mailer` (a forged\nREADY=0)");
    child.reads("x");
    assert_eq!(
        messages.status_with("services; failed"),
        "running: 2 services; failed: `broken` (failed while starting: no table)"
    );
    child.signal("TERM");
    assert_eq!(child.ends().0, 0);
}

/// Returns for how long the host asks systemd to wait, in seconds.
fn extension(messages: &Messages) -> f64 {
    messages.find("EXTEND_TIMEOUT_USEC=").parse::<f64>().unwrap() / 1e6
}

fn slow_stop() {
    let mut host = host();
    let run = |ctx: &Context| {
        ready(ctx)?;
        say("stop requested");
        std::io::stdin().read_to_end(&mut Vec::new())?;
        Ok(())
    };
    host.stop_timeout(AN_HOUR).add("slow", worker(run));
    leave(host.run().map(drop))
}

// 201, 202
#[test]
fn a_stop_extends_the_timeout_of_systemd_to_its_deadline_and_says_what_it_waits_for() {
    let messages = Messages::new();
    let mut child = messages.play("slow stop", None);
    child.signal("TERM");
    let seconds = extension(&messages);
    assert!((3_500.0..=3_602.0).contains(&seconds), "{seconds}");
    let line = messages.status_with("blocked in read(");
    assert!(line.starts_with("stopping; waiting for `slow` (blocked in read(fd 0"), "{line}");
    child.says("stop requested");
    child.reads_the_end();
    assert_eq!(child.ends().0, 0);
}

fn drains() {
    let mut host = host();
    host.drain(1_000 * SECOND).stop_timeout(500 * SECOND).add("server", worker(ready));
    leave(host.run().map(drop))
}

// 201, 202
#[test]
fn a_drain_extends_the_timeout_of_systemd_by_its_own_time_and_that_of_the_stop() {
    let messages = Messages::new();
    let child = messages.play("drains", None);
    child.signal("TERM");
    let lines = messages.until("STATUS=draining: 1 service");
    let extensions: Vec<f64> = lines
        .iter()
        .filter_map(|line| line.strip_prefix("EXTEND_TIMEOUT_USEC="))
        .map(|value| value.parse::<f64>().unwrap() / 1e6)
        .collect();
    assert!(matches!(extensions[..], [seconds] if (1_440.0..=1_502.0).contains(&seconds)), "{extensions:?}");
    child.signal("TERM"); // ends the drain
    assert_eq!(child.ends(), (0, String::new()));
}

fn limited_start() {
    let mut host = host();
    host.stop_timeout(SECOND * 500);
    host.add("slow", task(|_| forever())).start_timeout(SECOND * 100);
    let requests_stop = |ctx: &Context| {
        say("ready");
        std::io::stdin().read_to_end(&mut Vec::new())?;
        ctx.host().request_stop();
        Ok(())
    };
    host.add("requests", task(requests_stop)).independent().start_timeout(SECOND * 200);
    leave(host.run().map(drop))
}

// 202
#[test]
fn a_start_with_timeouts_extends_the_timeout_of_systemd_and_so_does_its_rollback() {
    let messages = Messages::new();
    let mut child = messages.play("limited start", None);
    while !(195.0..=202.0).contains(&extension(&messages)) {} // the first service alone has 100 s
    child.reads_the_end();
    let seconds = extension(&messages);
    assert!((490.0..=502.0).contains(&seconds), "the stop of what has started: {seconds}");
    child.signal("KILL");
    assert_eq!(child.ends().0, -9);
}

fn unlimited() {
    let mut host = host();
    let run = |ctx: &Context| {
        ctx.wait_until_started()?;
        ctx.host().request_stop();
        ctx.wait();
        Ok(())
    };
    say("ready");
    host.add("service", worker(run));
    host.start().unwrap();
    host.wait();
    leave(host.stop(Duration::MAX).map(drop))
}

// 202
#[test]
fn without_a_limit_of_the_host_the_timeouts_of_systemd_apply() {
    let messages = Messages::new();
    assert_eq!(messages.play("unlimited", None).ends(), (0, String::new()));
    let lines = messages.until("STATUS=stopped");
    assert!(!lines.iter().any(|line| line.starts_with("EXTEND")), "{lines:?}");
}

fn not_under_systemd() {
    let mut host = host();
    host.add("server", idle());
    host.start().unwrap();
    say("ready");
    assert_eq!(task_named("hosted-systemd"), None);
    leave(host.stop(LIMIT).map(drop))
}

// 200
#[test]
fn without_a_socket_the_host_sends_nothing_and_has_no_thread() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let child = Child::start(command.args(ARGS).env_remove("NOTIFY_SOCKET"), "not under systemd");
    assert_eq!(child.ends(), (0, String::new()));
}
