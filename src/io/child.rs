//! Waiting for a child process until the stop, and then ending it.

use super::ready::{is_stopped, poll_until, ready};
use crate::stop::StopToken;
use crate::sync::deadline;
use rustix::event::{PollFd, PollFlags};
use rustix::fd::{AsFd, OwnedFd};
use rustix::process::{Pid, PidfdFlags, Signal, getpgid, kill_process_group, pidfd_open, pidfd_send_signal};
use std::io;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

impl StopToken {
    /// Waits for `child` to end; at the stop, ends it: SIGTERM, and SIGKILL `grace` later. Linux.
    ///
    /// A child with a process group of its own ([`process_group(0)`](std::os::unix::process::CommandExt::process_group)) is
    /// ended with that group, so that no grandchild is left that holds its pipes, and ctrl-c at the terminal leaves it to
    /// us. The grace is the child's: when it has ended, what is left of its group gets SIGKILL at once.
    ///
    /// Choose a grace well below the time that a stop may take: who is hung in its grace is left behind, and so is its child. A
    /// [`Context`](crate::Context::wait_child) sees to that itself. A second ctrl-c ends this process at once, and leaves a
    /// child with a group of its own alive: the terminal does not reach it.
    ///
    /// When this returns the child has been reaped; until then its number is nobody else's, so no other process is hit. As
    /// [`Child::wait`] does, it closes the child's standard input first.
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
    /// What the system says, where it has no descriptors for processes (before Linux 5.3). A stop is none: the
    /// status says how the child ended, and [`stop_requested`](Self::stop_requested) whether it was asked to.
    pub fn wait_child(&self, child: &mut Child, grace: Duration) -> io::Result<ExitStatus> {
        self.wait_child_until(child, || deadline(grace))
    }

    /// The same; how long the grace lasts is asked at the stop.
    pub(super) fn wait_child_until(
        &self,
        child: &mut Child,
        grace: impl FnOnce() -> Option<Instant>,
    ) -> io::Result<ExitStatus> {
        drop(child.stdin.take());
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        let pid = Pid::from_child(child);
        let process = pidfd_open(pid, PidfdFlags::empty())?;
        match ready(self, process.as_fd(), PollFlags::IN, None) {
            Err(error) if is_stopped(&error) => end(pid, &process, grace())?,
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        child.wait()
    }
}

/// Ends a child that has not been reaped, with its group if it leads one.
fn end(pid: Pid, process: &OwnedFd, grace: Option<Instant>) -> io::Result<()> {
    let leads = getpgid(Some(pid)).is_ok_and(|group| group == pid);
    let send = |signal| if leads { kill_process_group(pid, signal) } else { pidfd_send_signal(process, signal) };
    // That there is nobody left to be signalled is no error: it has ended by itself.
    _ = send(Signal::TERM);
    let ended = wait(process, grace)?;
    if leads || !ended {
        _ = send(Signal::KILL);
    }
    wait(process, None).map(drop)
}

fn wait(process: &OwnedFd, until: Option<Instant>) -> io::Result<bool> {
    poll_until(&mut [PollFd::from_borrowed_fd(process.as_fd(), PollFlags::IN)], until)
}
