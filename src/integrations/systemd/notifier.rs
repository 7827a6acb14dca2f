//! The thread that sends the messages to systemd.
//!
//! The thread sleeps until an event, a stop request, or the next message of the watchdog. Then it compares the host with what
//! systemd knows, and sends what has changed.

use super::status_line::status_line;
use crate::host::{Companion, Flush, Host};
use crate::registry::HostHandle;
use crate::report::{Event, EventKind};
use crate::util::log::log_line;
use crate::util::panic::drop_catching_panic;
use crate::util::sync::now;
use crate::util::time::{remaining, since};
use crossbeam_channel::{Receiver, at, never, select};
use log::Level;
use sd_notify::NotifyState;
use std::time::{Duration, Instant};

/// The name of the thread.
const THREAD: &str = "hosted-systemd";

/// How much longer than the host systemd waits: the program still writes its report, and drops what it holds.
const MARGIN: Duration = Duration::from_secs(2);

/// The minimum time between two status lines. After a line that took long, because many threads were inspected, the pause is
/// ten times as long as the line took.
const LEAST_PAUSE: Duration = Duration::from_millis(100);

/// Lets a thread report the host to systemd, if systemd started this process and wants to know.
pub(super) fn attach(host: &mut Host) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() || host.has_companion(THREAD) {
        return;
    }
    let notifier = Notifier::new(host.handle());
    match Companion::spawn(THREAD, move |flushes| notifier.run(&flushes)) {
        Ok(companion) => host.accompany(companion),
        Err(error) => {
            let text = format_args!("cannot create a thread for the messages to systemd: {error}");
            log_line(Level::Error, "hosted::host", text);
        }
    }
}

struct Notifier {
    host: HostHandle,
    watchdog: Option<Watchdog>,
    status: StatusLine,
    /// `READY=1` was sent.
    is_ready: bool,
    /// `STOPPING=1` was sent.
    is_stopping: bool,
    /// The deadline of the host that systemd knows.
    deadline: Option<Instant>,
    /// A message could not be sent, and the log has a warning.
    has_failed: bool,
}

impl Notifier {
    fn new(host: HostHandle) -> Self {
        let interval = sd_notify::watchdog_enabled().filter(|interval| !interval.is_zero());
        Notifier {
            host,
            watchdog: interval.map(|interval| Watchdog { period: interval / 2, next: now(), is_overdue: false }),
            status: StatusLine { sent: String::new(), is_due: true, is_draining: false, not_before: now() },
            is_ready: false,
            is_stopping: false,
            deadline: None,
            has_failed: false,
        }
    }

    fn run(mut self, flushes: &Receiver<Flush>) {
        let (events, stopping) = (self.host.events(), self.host.stopping());
        loop {
            self.send_changes();
            let stop = if self.is_stopping { &never() } else { stopping.done() }; // once is enough
            let timer = self.next_wake_up().map_or_else(never, at);
            select! {
                recv(events) -> event => {
                    event.into_iter().chain(events.try_iter()).for_each(|event| self.status.observe(event));
                }
                recv(stop) -> _ => self.status.is_due = true,
                recv(timer) -> _ => {}
                recv(flushes) -> flush => {
                    let Ok(answer) = flush else { return }; // the host was dropped
                    self.status = StatusLine { is_due: true, not_before: now(), ..self.status };
                    self.send_changes();
                    _ = answer.send(()); // the host may not wait any more
                }
            }
        }
    }

    fn next_wake_up(&self) -> Option<Instant> {
        let watchdog = self.watchdog.as_ref().map(|watchdog| watchdog.next);
        watchdog.into_iter().chain(self.status.is_due.then_some(self.status.not_before)).min()
    }

    /// Sends what systemd does not know yet.
    fn send_changes(&mut self) {
        let mut message = Vec::new();
        if !self.is_ready && self.host.has_started() {
            self.is_ready = true;
            message.push(NotifyState::Ready);
        }
        if !self.is_stopping && self.host.stopping().stop_requested() {
            self.is_stopping = true;
            message.push(NotifyState::Stopping);
        }
        let extension = self.extension();
        message.extend(extension.as_deref().map(NotifyState::Custom));
        let status = self.status.next(&self.host);
        message.extend(status.as_deref().map(NotifyState::Status));
        if self.watchdog.as_mut().is_some_and(|watchdog| watchdog.is_due(&self.host)) {
            message.push(NotifyState::Watchdog);
        }
        if !message.is_empty() {
            self.send(&message);
        }
    }

    /// Returns the message that makes systemd wait until the deadline of the host, if the deadline has changed.
    fn extension(&mut self) -> Option<String> {
        let deadline = self.host.deadline();
        if deadline.is_none() || deadline == self.deadline {
            return None;
        }
        self.deadline = deadline;
        let wait = remaining(deadline).saturating_add(MARGIN);
        Some(format!("EXTEND_TIMEOUT_USEC={}", wait.as_micros()))
    }

    fn send(&mut self, message: &[NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(message) {
            if !self.has_failed {
                self.has_failed = true;
                log_line(Level::Warn, "hosted::host", format_args!("cannot send a message to systemd: {error}"));
            }
        }
    }
}

/// What `systemctl status` shows.
struct StatusLine {
    sent: String,
    /// Something may have changed.
    is_due: bool,
    /// The host drains: it is stopping, but its services run on.
    is_draining: bool,
    not_before: Instant,
}

impl StatusLine {
    fn observe(&mut self, event: Event) {
        self.is_due = true;
        if event.service.is_none() {
            self.is_draining = matches!(event.kind, EventKind::Draining { .. });
        }
        // The event may hold the last reference to an error of a service, whose `Drop` is user code.
        _ = drop_catching_panic(event);
    }

    /// Returns the line if it has changed and may be sent now.
    fn next(&mut self, host: &HostHandle) -> Option<String> {
        let begin = now();
        if !self.is_due || begin < self.not_before {
            return None;
        }
        self.is_due = false;
        let line = status_line(host, self.is_draining).filter(|line| *line != self.sent);
        self.not_before = now() + LEAST_PAUSE.max(10 * since(begin));
        self.sent.clone_from(line.as_ref()?);
        line
    }
}

/// The watchdog of systemd, which restarts the process if it receives no message for twice the period.
struct Watchdog {
    period: Duration,
    next: Instant,
    /// The last message was not sent, because the host was not live.
    is_overdue: bool,
}

impl Watchdog {
    /// Returns `true` if a message is due and the host is live. While the host is not live, the message stays due, so that it
    /// is sent as soon as an event says that a service has recovered.
    fn is_due(&mut self, host: &HostHandle) -> bool {
        let now = now();
        if now >= self.next {
            self.next = now + self.period;
        } else if !self.is_overdue {
            return false;
        }
        self.is_overdue = !host.is_live();
        !self.is_overdue
    }
}
