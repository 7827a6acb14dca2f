//! Waiting for a child process until the stop, and then ending it.

use super::ready::{is_stopped, ready};
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

/// How often a child is looked at while there is no descriptor to wait for it with.
const LOOK: Duration = Duration::from_millis(50);

impl StopToken {
    /// Waits for `child` to exit. At a stop, ends it: SIGTERM, and SIGKILL `grace` later. Linux.
    ///
    /// A child with its own process group ([`process_group(0)`](std::os::unix::process::CommandExt::process_group)) is ended
    /// with that group. So no grandchild is left that holds its pipes, and ctrl-c at the terminal reaches this process
    /// alone. The grace is the child's: when the child has exited, the rest of its group gets SIGKILL at once. SIGCONT
    /// follows SIGTERM, because a suspended process does not hear SIGTERM.
    ///
    /// Choose a grace well below the stop timeout: a service that is still in its grace at the deadline is hung, and leaves
    /// its child behind. [`Context::wait_child`](crate::Context::wait_child) shortens the grace itself. A second ctrl-c
    /// ends this process at once. A child with its own group survives that, because the terminal does not reach it.
    ///
    /// When this returns, the child has been reaped. Until then its process id belongs to nobody else, so no other process
    /// is signalled. As [`Child::wait`] does, it closes the child's standard input first.
    ///
    /// If the process has no descriptor left, or the system has none for processes (before Linux 5.3), this looks at the
    /// child every 50 ms instead, until there is a descriptor. A stop still ends this wait at once.
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
    /// If the child is gone without an exit status: SIGCHLD is ignored in this process (the parent process may have left it
    /// so), or other code waited for the child. If a stop was requested by then, the error has [`Stopped`] in its source
    /// chain, so that it is a clean end of a service through `?`. The child's group then gets no SIGKILL, because its id
    /// may belong to another process by now.
    ///
    /// A stop is no error: the status tells how the child exited, and [`stop_requested`](Self::stop_requested) whether it
    /// was told to.
    pub fn wait_child(&self, child: &mut Child, grace: Duration) -> io::Result<ExitStatus> {
        let mut end = None;
        self.wait_child_until(child, || (*end.get_or_insert_with(|| deadline(grace)), StopToken::never()))
    }

    /// The same. `grace` gives the end of the grace, and a token that is stopped when that end moves. It is called at the
    /// stop, and again at each move.
    pub(super) fn wait_child_until(
        &self,
        child: &mut Child,
        mut grace: impl FnMut() -> (Option<Instant>, StopToken),
    ) -> io::Result<ExitStatus> {
        drop(child.stdin.take());
        let lost = |error: io::Error| match Errno::from_io_error(&error) {
            Some(Errno::CHILD) => io::Error::other(Lost { stopped: self.check().err() }),
            _ => error,
        };
        if let Some(status) = child.try_wait().map_err(lost)? {
            return Ok(status);
        }
        let mut watched = Watched { pid: Pid::from_child(child), process: None };
        if !watched.exits(self, None) {
            watched.end(&mut grace);
        }
        child.wait().map_err(lost)
    }
}

/// A child that has not been reaped, so that its process id belongs to nobody else. Nothing here fails, so that no error
/// can leave the child behind.
struct Watched {
    pid: Pid,
    /// `None`: not opened yet, or there was no descriptor left.
    process: Option<OwnedFd>,
}

impl Watched {
    /// Waits until the child has exited. Returns `false` if `wake` is stopped or `until` comes first.
    fn exits(&mut self, wake: &StopToken, until: Option<Instant>) -> bool {
        loop {
            match self.process().and_then(|process| ready(wake, process, PollFlags::IN, until)) {
                Ok(exited) => return exited,
                Err(error) if is_stopped(&error) => return false,
                // No descriptor for the child, or none for the token. There may be one in a moment.
                Err(_) => {}
            }
            if self.look() != Look::Alive {
                return true;
            }
            if wake.wait_timeout(remaining(until).min(LOOK)) || remaining(until).is_zero() {
                return false;
            }
        }
    }

    fn process(&mut self) -> io::Result<BorrowedFd<'_>> {
        let process = match &mut self.process {
            Some(process) => process,
            none => none.insert(pidfd_open(self.pid, PidfdFlags::empty())?),
        };
        Ok(OwnedFd::as_fd(process))
    }

    /// Does not reap the child: its process id stays its own while its group is ended.
    fn look(&self) -> Look {
        let exited = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match waitid(WaitId::Pid(self.pid), exited) {
            Ok(None) | Err(Errno::INTR) => Look::Alive,
            Ok(Some(_)) => Look::Exited,
            Err(_) => Look::Gone,
        }
    }

    /// Ends the child, with its group if it leads one.
    fn end(&mut self, grace: &mut impl FnMut() -> (Option<Instant>, StopToken)) {
        let leads = getpgid(Some(self.pid)).is_ok_and(|group| group == self.pid);
        self.signal(leads, Signal::TERM);
        self.signal(leads, Signal::CONT); // a suspended process hears SIGTERM only when it goes on
        let exited = self.exits_within(grace);
        if leads || !exited {
            self.signal(leads, Signal::KILL);
        }
    }

    fn exits_within(&mut self, grace: &mut impl FnMut() -> (Option<Instant>, StopToken)) -> bool {
        loop {
            let (until, moved) = grace();
            if self.exits(&moved, until) {
                return true;
            }
            if !moved.stop_requested() {
                return false;
            }
        }
    }

    /// That there is nobody left to be signalled is no error: the child has exited on its own.
    fn signal(&self, group: bool, signal: Signal) {
        if self.look() == Look::Gone {
            return; // by now its id may belong to another process
        }
        _ = match &self.process {
            _ if group => kill_process_group(self.pid, signal),
            Some(process) => pidfd_send_signal(process, signal),
            None => kill_process(self.pid, signal),
        };
    }
}

#[derive(PartialEq)]
enum Look {
    Alive,
    /// A zombie, which keeps its process id.
    Exited,
    /// Reaped by somebody else: by the kernel, if SIGCHLD is ignored.
    Gone,
}

/// A child that is gone, and its exit status with it.
#[derive(Debug)]
struct Lost {
    stopped: Option<Stopped>,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the child has exited, but its exit status is lost: SIGCHLD is ignored, or other code waited for the child",
        )
    }
}

impl Error for Lost {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.stopped.as_ref().map(|stopped| stopped as _)
    }
}
