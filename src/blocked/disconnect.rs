//! The last resort: the socket that a thread waits on is shut down. Feature `disconnect`, for Linux.

#[cfg(not(target_os = "linux"))]
compile_error!("feature `disconnect` is for Linux: nothing else says what a thread waits on");

use super::calls::{About, Line, parse};
use super::sets::{polled, watched};
use super::{Thread, View};
use crate::line;
use log::Level;
use rustix::fd::{OwnedFd, RawFd};
use rustix::io::{Errno, Result};
use rustix::net::{Shutdown, shutdown, sockopt::socket_acceptconn};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

/// No process has more descriptors than this (`fs.nr_open`), so no call waits on more.
const MOST: u64 = 1 << 20;

impl Thread {
    /// Shuts down the sockets that the thread waits on, but for those that listen. What it was blocked in, if there was any.
    ///
    /// The thread is seen in the same sleep before they are looked for and right before they are shut down, so that no
    /// other call's sockets are hit. (Between that last look and the shutdown are microseconds.) Reads files, and may log:
    /// not under a lock.
    pub(crate) fn disconnect(&self, view: &View) -> Option<String> {
        let sleep = view.sleep(self.number)?;
        let blocked_in = self.blocked_in(view)?;
        let sockets = match sockets(&view.waited_for(&sleep.0)) {
            Ok(sockets) => sockets,
            Err(error) => {
                let text = format_args!("the socket of a hung thread cannot be shut down: pidfd_getfd: {error}");
                line::log(Level::Warn, "hosted::service", text);
                return None;
            }
        };
        if view.sleep(self.number)? != sleep {
            return None; // it has gone on by itself
        }
        let shut = sockets.iter().filter(|socket| shut_down(socket)).count();
        (shut > 0).then_some(blocked_in)
    }
}

impl View {
    /// The call that a thread is in, and how often it has gone to sleep: equal twice, it is the same sleep.
    fn sleep(&self, thread: u32) -> Option<(String, u64)> {
        let line = self.read(&format!("task/{thread}/syscall"))?;
        Some((line, self.sleeps(thread)?))
    }

    /// The descriptors that a call waits on, by its line.
    fn waited_for(&self, line: &str) -> Vec<u32> {
        match parse(line) {
            // The kernel shows the whole register; a descriptor is its lower half.
            Some(Line::Known(_, About::Fd, [fd, _])) => vec![fd as u32],
            Some(Line::Known(_, About::Epoll, [epoll, _])) => watched(&self.root, epoll as u32),
            Some(Line::Known(_, About::Poll, [at, length])) if length <= MOST => {
                polled(&self.root, at, length as usize).unwrap_or_default()
            }
            _ => Vec::new(),
        }
    }
}

/// Descriptors of our own for those of them that are sockets and do not listen.
fn sockets(fds: &[u32]) -> Result<Vec<OwnedFd>> {
    let process = pidfd_open(getpid(), PidfdFlags::empty())?;
    let mut sockets = Vec::new();
    for &fd in fds {
        match pidfd_getfd(&process, fd as RawFd, PidfdGetfdFlags::empty()) {
            // What is no socket has no answer.
            Ok(fd) if socket_acceptconn(&fd) == Ok(false) => sockets.push(fd),
            // Closed meanwhile, or never one.
            Ok(_) | Err(Errno::BADF) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sockets)
}

/// Whether that wakes who waits on it: also where there is nobody at the other end.
fn shut_down(socket: &OwnedFd) -> bool {
    matches!(shutdown(socket, Shutdown::Both), Ok(()) | Err(Errno::NOTCONN))
}
