//! The last resort: the sockets that a thread waits on are shut down. Feature `disconnect`, for Linux.

#[cfg(not(target_os = "linux"))]
compile_error!("feature `disconnect` is for Linux: nothing else says what a thread waits on");

use super::calls::{About, Line, parse};
use super::sets::{polled, watched};
use super::sockets::between;
use super::{Thread, View};
use rustix::fd::{AsRawFd, OwnedFd, RawFd};
use rustix::io::Errno;
use rustix::net::sockopt::{socket_acceptconn, socket_type};
use rustix::net::{AddressFamily, Shutdown, SocketType, getpeername, getsockname, shutdown};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use std::net::SocketAddr;
use std::{fs, io};

/// A poll set that is longer is not looked through.
const MOST: u64 = 1 << 20;

/// The call that a thread is in, and how often it had gone to sleep: equal twice, it is the same sleep.
#[derive(Clone, PartialEq)]
pub(super) struct Sleep {
    call: String,
    number: u64,
}

/// The sockets that a thread waits on, in one sleep. None of them listens.
pub(crate) struct Connection {
    thread: Thread,
    sleep: Sleep,
    sockets: Vec<OwnedFd>,
}

/// Whether sockets can be had from here: in a container it may be forbidden.
pub(crate) fn check() -> io::Result<()> {
    let process = pidfd_open(getpid(), PidfdFlags::empty())?;
    pidfd_getfd(&process, process.as_raw_fd(), PidfdGetfdFlags::empty())?;
    Ok(())
}

impl Thread {
    /// What the thread waits on, and what it is blocked in; `None` if that is no socket, or was shut down in this very sleep and has not ended it.
    ///
    /// Reads files: not under a lock.
    pub(crate) fn connection(&self, view: View) -> io::Result<Option<(Connection, String)>> {
        let Some(sleep) = view.sleep(self.number) else { return Ok(None) };
        let waited_for = view.waited_for(&sleep.call);
        if waited_for.is_empty() || self.memory.lock().shut_in.as_ref() == Some(&sleep) {
            return Ok(None);
        }
        let found = duplicates(&waited_for)?;
        view.known.borrow_mut().extend(found.iter().filter_map(|(number, socket)| Some((*number, name(socket)?))));
        let sockets: Vec<OwnedFd> = found.into_iter().map(|(_, socket)| socket).collect();
        let blocked_in = self.blocked_in(&view).filter(|_| !sockets.is_empty());
        Ok(blocked_in.map(|blocked_in| (Connection { thread: self.clone(), sleep, sockets }, blocked_in)))
    }
}

impl Connection {
    /// Shuts the sockets down, if the thread is still in the same sleep: else it may be about others by now. (Between that
    /// look and the shutdown are microseconds.) Whether it did.
    pub(crate) fn shut_down(&self, view: &View) -> bool {
        if view.sleep(self.thread.number).as_ref() != Some(&self.sleep) {
            return false;
        }
        self.thread.memory.lock().shut_in = Some(self.sleep.clone());
        // Also where there is nobody at the other end, who waits is woken.
        let shut = |socket| matches!(shutdown(socket, Shutdown::Both), Ok(()) | Err(Errno::NOTCONN));
        self.sockets.iter().filter(|socket| shut(*socket)).count() > 0
    }
}

impl View {
    fn sleep(&self, thread: u32) -> Option<Sleep> {
        let call = self.read(&format!("task/{thread}/syscall"))?;
        Some(Sleep { call, number: self.sleeps(thread)? })
    }

    /// The sockets that a call waits on: their descriptors, and their numbers.
    fn waited_for(&self, call: &str) -> Vec<(u32, u64)> {
        let fds = match parse(call) {
            // The kernel shows the whole register; a descriptor is its lower half.
            Some(Line::Known(_, About::Fd, [fd, _])) => vec![fd as u32],
            Some(Line::Known(_, About::Epoll, [epoll, _])) => watched(&self.root, epoll as u32),
            Some(Line::Known(_, About::Poll, [at, length])) if length <= MOST => {
                polled(&self.root, at, length as usize).unwrap_or_default()
            }
            _ => Vec::new(),
        };
        fds.into_iter().filter_map(|fd| Some((fd, self.socket(fd)?))).collect()
    }

    /// The number of a socket, if it is one.
    fn socket(&self, fd: u32) -> Option<u64> {
        let link = fs::read_link(self.root.join(format!("fd/{fd}"))).ok()?;
        link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    }
}

/// Descriptors of our own for those sockets, with their numbers, but for those that listen.
///
/// For sockets alone: to close a second descriptor of a file would let go of all locks that the process has on it.
fn duplicates(sockets: &[(u32, u64)]) -> io::Result<Vec<(u64, OwnedFd)>> {
    let process = pidfd_open(getpid(), PidfdFlags::empty())?;
    let mut found = Vec::new();
    for &(fd, number) in sockets {
        match pidfd_getfd(&process, fd as RawFd, PidfdGetfdFlags::empty()) {
            Ok(socket) if socket_acceptconn(&socket) == Ok(false) => found.push((number, socket)),
            // Closed meanwhile.
            Ok(_) | Err(Errno::BADF) => {}
            // One is enough to wake who waits for several; there may be no room for more descriptors.
            Err(_) if !found.is_empty() => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

/// What a socket is called, without the tables that have all of them. `None` where only these know: of one that is connecting.
fn name(socket: &OwnedFd) -> Option<String> {
    let local = getsockname(socket).ok()?;
    if local.address_family() == AddressFamily::UNIX {
        return Some("unix socket".to_owned());
    }
    let kind = if socket_type(socket) == Ok(SocketType::STREAM) { "tcp" } else { "udp" };
    let remote = getpeername(socket).ok().flatten().and_then(|remote| SocketAddr::try_from(remote).ok());
    if remote.is_none() && kind == "tcp" {
        return None;
    }
    Some(between(kind, SocketAddr::try_from(local).ok()?, remote))
}

#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64")))]
mod tests {
    use super::super::calls::CALLS;
    use super::{Connection, Thread, View};
    use std::fs;
    use std::io::{ErrorKind, Read};
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixStream;
    use tempfile::TempDir;

    /// Files as `/proc/self` has them, of a process whose thread 7 reads that descriptor, which is this.
    fn proc(fd: i32, target: &str) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("task/7")).unwrap();
        fs::create_dir(root.path().join("fd")).unwrap();
        let read = CALLS.iter().find(|known| known.1 == "read").unwrap().0;
        fs::write(root.path().join("task/7/syscall"), format!("{read} 0x{fd:x} 0x7ffc 0x1 0x0 0x0 0x0 0x7f 0x7f\n"))
            .unwrap();
        fs::write(root.path().join("task/7/stat"), "7 (a) S 1 2 3 4 5 6 7 8 9 10 30 12 0 0").unwrap();
        sleeps(&root, 12);
        symlink(target, root.path().join(format!("fd/{fd}"))).unwrap();
        root
    }

    fn sleeps(root: &TempDir, count: u64) {
        fs::write(root.path().join("task/7/status"), format!("voluntary_ctxt_switches:\t{count}\n")).unwrap();
    }

    fn view(root: &TempDir) -> View {
        View::of(root.path().to_owned())
    }

    fn connection(thread: &Thread, root: &TempDir) -> Option<(Connection, String)> {
        thread.connection(view(root)).unwrap()
    }

    /// Whether the other end was told of an end.
    fn hung_up(mut peer: &UnixStream) -> bool {
        peer.set_nonblocking(true).unwrap();
        match peer.read(&mut [0]) {
            Ok(0) => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_thread_that_has_gone_on_since_it_was_looked_at_keeps_its_socket() {
        let (ours, peer) = UnixStream::pair().unwrap();
        let (root, thread) = (proc(ours.as_raw_fd(), "socket:[77]"), Thread::number(7));
        let (found, _) = connection(&thread, &root).unwrap();
        sleeps(&root, 13);
        assert!(!found.shut_down(&view(&root)) && !hung_up(&peer));
        let (found, blocked_in) = connection(&thread, &root).unwrap();
        assert!(found.shut_down(&view(&root)) && hung_up(&peer));
        assert_eq!(blocked_in, format!("read(fd {} = unix socket)", ours.as_raw_fd()));
    }

    #[test]
    fn what_a_shutdown_did_not_wake_is_left_alone_until_it_sleeps_anew() {
        let (ours, _peer) = UnixStream::pair().unwrap();
        let (root, thread) = (proc(ours.as_raw_fd(), "socket:[77]"), Thread::number(7));
        assert!(connection(&thread, &root).unwrap().0.shut_down(&view(&root)));
        assert!(connection(&thread, &root).is_none());
        sleeps(&root, 13);
        assert!(connection(&thread, &root).is_some());
    }

    #[test]
    fn of_what_is_no_socket_no_second_descriptor_is_opened() {
        let (ours, _peer) = UnixStream::pair().unwrap();
        for target in ["/var/lib/a.db", "pipe:[78]", "anon_inode:[eventfd]", "socket:[garbage", "socket:[77"] {
            assert!(connection(&Thread::number(7), &proc(ours.as_raw_fd(), target)).is_none(), "{target}");
        }
        assert!(connection(&Thread::number(7), &proc(ours.as_raw_fd(), "socket:[77]")).is_some());
    }
}
