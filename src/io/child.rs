//! `wait_child`: waits for a child process, and ends the child at the stop.

use super::ready::{is_stopped, ready};
use crate::diagnose::{Waits, waiting};
use crate::stop::{StopToken, Stopped};
use crate::util::time::{deadline, remaining};
use rustix::event::PollFlags;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, getpgid, kill_process, kill_process_group, pidfd_open,
    pidfd_send_signal, waitid,
};
use std::error::Error;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};
use std::{fmt, io};

/// How often the child is checked while no process descriptor can be opened.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

impl StopToken {
    /// Waits for `child` to exit. After a stop request, ends the child: sends SIGTERM, and SIGKILL `grace` later. Feature `io`,
    /// Linux only.
    ///
    /// - **Process group.** If the child leads its own process group
    ///   ([`process_group(0)`](std::os::unix::process::CommandExt::process_group)), the signals go to the whole group. So no
    ///   grandchild stays behind and holds the pipes of the child, and ctrl-c at the terminal reaches only this process.
    /// - **Grace.** The grace is for the child alone. When the child has exited, the rest of its group gets SIGKILL at once.
    ///   SIGCONT follows SIGTERM, because a suspended process does not handle SIGTERM.
    /// - **Stop timeout.** Choose a grace well below the stop timeout. A service that is still waiting at its deadline is
    ///   hung, and leaves its child behind. [`Context::wait_child`](crate::Context::wait_child) shortens the grace itself.
    /// - **Second ctrl-c.** A second ctrl-c ends this process at once. A child with its own group survives, because the
    ///   terminal does not signal it.
    ///
    /// The child has been reaped when this function returns. Until then, no other process can have its process ID, so no other
    /// process is signalled. This function closes the standard input of the child first, as [`Child::wait`] does.
    ///
    /// If no descriptor is left, or the system has no process descriptors (before Linux 5.3), this function checks the child
    /// every 50 ms instead. A stop still ends the wait at once.
    ///
    /// ```
    /// use hosted::StopSource;
    /// use std::os::unix::process::{CommandExt, ExitStatusExt};
    /// use std::process::Command;
    /// use std::time::Duration;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let stop = StopSource::new();
    /// let mut child = Command::new("sleep").arg("3600").process_group(0).spawn()?;
    /// stop.request_stop();
    /// let status = stop.token().wait_child(&mut child, Duration::from_secs(5))?;
    /// assert_eq!(status.signal(), Some(15));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the child has exited and its exit status is lost. This happens if SIGCHLD is ignored in this
    /// process, which it may have inherited from its parent, or if other code waited for the child.
    ///
    /// - If a stop was requested by then, the error has [`Stopped`] in its source chain, so a service can return it as a clean
    ///   stop.
    /// - The group of the child then gets no SIGKILL, because its ID may belong to another process by now.
    ///
    /// A stop request is not an error. The returned status shows how the child exited. Use
    /// [`stop_requested`](Self::stop_requested) to find out whether it was ended by the stop.
    pub fn wait_child(&self, child: &mut Child, grace: Duration) -> io::Result<ExitStatus> {
        let mut kill_at = None;
        self.wait_child_until(child, || (*kill_at.get_or_insert_with(|| deadline(grace)), StopToken::never()))
    }

    /// Waits as [`wait_child`](Self::wait_child) does, with a grace that may change. `grace` returns the end of the grace, and a
    /// token that is stopped when this end changes. It is called at the stop, and again after each change.
    pub(super) fn wait_child_until(
        &self,
        child: &mut Child,
        mut grace: impl FnMut() -> (Option<Instant>, StopToken),
    ) -> io::Result<ExitStatus> {
        drop(child.stdin.take());
        let explain = |error: io::Error| match Errno::from_io_error(&error) {
            Some(Errno::CHILD) => io::Error::other(StatusLost { stopped: self.check().err() }),
            _ => error,
        };
        if let Some(status) = child.try_wait().map_err(explain)? {
            return Ok(status);
        }
        let mut process = ChildProcess { pid: Pid::from_child(child), pidfd: None };
        if !process.wait_for_exit(self, None) {
            process.terminate(&mut grace);
        }
        child.wait().map_err(explain)
    }
}

/// A child that has not been reaped, so that no other process can have its process ID. No method returns an error, so that no
/// error can leave the child behind.
struct ChildProcess {
    pid: Pid,
    /// `None` if it was not opened yet, or if no descriptor was left.
    pidfd: Option<OwnedFd>,
}

impl ChildProcess {
    /// Waits until the child has exited. Returns `false` if `wake` is stopped or `until` comes first.
    fn wait_for_exit(&mut self, wake: &StopToken, until: Option<Instant>) -> bool {
        loop {
            match self.pidfd().and_then(|pidfd| ready(wake, pidfd, PollFlags::IN, until)) {
                Ok(exited) => return exited,
                Err(error) if is_stopped(&error) => return false,
                // No descriptor is left for the child or for the token. The next attempt may succeed.
                Err(_) => {}
            }
            if self.liveness() != Liveness::Alive {
                return true;
            }
            let _waiting = waiting(Waits::Child, None);
            if wake.wait_timeout(remaining(until).min(CHECK_INTERVAL)) || remaining(until).is_zero() {
                return false;
            }
        }
    }

    /// Returns the process descriptor of the child, and opens it at the first call.
    fn pidfd(&mut self) -> io::Result<BorrowedFd<'_>> {
        let pidfd = match &mut self.pidfd {
            Some(pidfd) => pidfd,
            none => none.insert(pidfd_open(self.pid, PidfdFlags::empty())?),
        };
        Ok(OwnedFd::as_fd(pidfd))
    }

    /// Checks whether the child is alive, without reaping it. The child keeps its process ID while its group is terminated.
    fn liveness(&self) -> Liveness {
        let exited = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match waitid(WaitId::Pid(self.pid), exited) {
            Ok(None) | Err(Errno::INTR) => Liveness::Alive,
            Ok(Some(_)) => Liveness::Exited,
            Err(_) => Liveness::Reaped,
        }
    }

    /// Terminates the child, together with its process group if the child leads one.
    fn terminate(&mut self, grace: &mut impl FnMut() -> (Option<Instant>, StopToken)) {
        let leads_group = getpgid(Some(self.pid)).is_ok_and(|group| group == self.pid);
        self.signal(leads_group, Signal::TERM);
        self.signal(leads_group, Signal::CONT); // a suspended process handles SIGTERM only after it continues
        let exited = self.exits_within(grace);
        if leads_group || !exited {
            self.signal(leads_group, Signal::KILL);
        }
    }

    /// Waits until the child has exited. Returns `false` if the grace ends first.
    fn exits_within(&mut self, grace: &mut impl FnMut() -> (Option<Instant>, StopToken)) -> bool {
        loop {
            let (until, changed) = grace();
            if self.wait_for_exit(&changed, until) {
                return true;
            }
            if !changed.stop_requested() {
                return false;
            }
        }
    }

    /// Sends a signal to the child, or to its group. An error is ignored: the child may have exited on its own.
    fn signal(&self, group: bool, signal: Signal) {
        if self.liveness() == Liveness::Reaped {
            return; // another process may have this ID by now
        }
        _ = match &self.pidfd {
            _ if group => kill_process_group(self.pid, signal),
            Some(pidfd) => pidfd_send_signal(pidfd, signal),
            None => kill_process(self.pid, signal),
        };
    }
}

#[derive(PartialEq)]
enum Liveness {
    Alive,
    /// The child is a zombie, which keeps its process ID.
    Exited,
    /// Other code has reaped the child, or the kernel has, because SIGCHLD is ignored.
    Reaped,
}

/// The error of a child that has exited without an exit status.
#[derive(Debug)]
struct StatusLost {
    stopped: Option<Stopped>,
}

impl fmt::Display for StatusLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the child has exited, but its exit status is lost: SIGCHLD is ignored, or other code waited for the child",
        )
    }
}

impl Error for StatusLost {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.stopped.as_ref().map(|stopped| stopped as _)
    }
}
