//! Forced disconnect: shuts down the sockets that a thread waits on. Feature `disconnect`, Linux only.

#[cfg(not(target_os = "linux"))]
compile_error!("feature `disconnect` is only supported on Linux");

use super::fd_sets::{EpollEntry, epoll_entries, poll_fds};
use super::sockets::describe_connection;
use super::stat::Sleep;
use super::syscalls::{ArgKind, SyscallState};
use super::{ProcSnapshot, ThreadProbe};
use rustix::fd::{AsRawFd, OwnedFd, RawFd};
use rustix::io::Errno;
use rustix::net::sockopt::{socket_acceptconn, socket_type};
use rustix::net::{AddressFamily, Shutdown, SocketType, getpeername, getsockname, shutdown};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;

/// The longest poll set that is read. A longer one is treated as if it had no sockets.
const MAX_POLL_FDS: u64 = 1 << 20;

/// The sockets that a thread waits on in one sleep. Listening sockets are left out.
pub(crate) struct Connection {
    thread: ThreadProbe,
    sleep: Sleep,
    sockets: Vec<OwnedFd>,
}

/// Checks that this process may duplicate its own descriptors by `pidfd_getfd`. A container may forbid that.
pub(crate) fn check() -> io::Result<()> {
    let process = pidfd_open(getpid(), PidfdFlags::empty())?;
    pidfd_getfd(&process, process.as_raw_fd(), PidfdGetfdFlags::empty())?;
    Ok(())
}

impl ThreadProbe {
    /// Returns the sockets that the thread waits on, and a description of what the thread is blocked in.
    ///
    /// Returns `None` if the thread does not wait on a socket, or if its sockets were shut down in the current sleep
    /// already and the thread has not woken up.
    ///
    /// Reads files, so the caller must not hold a lock.
    pub(crate) fn connection(&self, snapshot: ProcSnapshot) -> io::Result<Option<(Connection, String)>> {
        let Some(sleep) = self.current_sleep(&snapshot) else { return Ok(None) };
        let waited_for = snapshot.waited_for(self.0.tid, &sleep.call);
        if waited_for.is_empty() || self.0.last.lock().shut_down_in.as_ref() == Some(&sleep) {
            return Ok(None);
        }
        let found = duplicate_sockets(&waited_for)?;
        let described = found.iter().filter_map(|(inode, socket)| Some((*inode, describe_socket(socket)?)));
        snapshot.descriptors.known.borrow_mut().extend(described);
        let sockets: Vec<OwnedFd> = found.into_iter().map(|(_, socket)| socket).collect();
        let blocked_in = self.blocked_in(&snapshot).filter(|_| !sockets.is_empty());
        Ok(blocked_in.map(|blocked_in| (Connection { thread: self.clone(), sleep, sockets }, blocked_in)))
    }

    /// Returns the sleep that the thread is in, or `None` if the thread has ended.
    fn current_sleep(&self, snapshot: &ProcSnapshot) -> Option<Sleep> {
        let call = snapshot.read(&format!("task/{}/syscall", self.0.tid))?;
        let sleep = Sleep { call, number: snapshot.sleeps(self.0.tid)? };
        // The start time is read last: if the thread is still alive here, the files above were its own.
        let start_time = snapshot.stat(self.0.tid)?.start_time;
        self.is_still(start_time).then_some(sleep)
    }
}

impl Connection {
    /// Shuts the sockets down if the thread is still in the same sleep. Returns `true` if a socket was shut down.
    ///
    /// If the thread has woken up, it may wait on other sockets by now, and nothing is shut down. A thread that wakes up
    /// in the microseconds between this check and the shutdown loses its connection.
    pub(crate) fn shut_down(&self, snapshot: &ProcSnapshot) -> bool {
        if self.thread.current_sleep(snapshot).as_ref() != Some(&self.sleep) {
            return false;
        }
        self.thread.0.last.lock().shut_down_in = Some(self.sleep.clone());
        // The shutdown of an unconnected socket returns `NOTCONN`, but it wakes the waiting thread too.
        let shut = |socket| matches!(shutdown(socket, Shutdown::Both), Ok(()) | Err(Errno::NOTCONN));
        self.sockets.iter().filter(|socket| shut(*socket)).count() > 0
    }
}

impl ProcSnapshot {
    /// Returns the sockets that a call waits on: their descriptors and their inodes.
    fn waited_for(&self, thread: u32, call: &str) -> Vec<(u32, u64)> {
        let fds = match self.parse(thread, call) {
            // The kernel shows the whole register; a descriptor is its lower half.
            Some(SyscallState::Known(_, ArgKind::Fd, [fd, _])) => vec![fd as u32],
            Some(SyscallState::Known(_, ArgKind::Epoll, [epoll, _])) => return self.epoll_sockets(epoll as u32),
            Some(SyscallState::Known(_, ArgKind::Poll, [at, length])) if length <= MAX_POLL_FDS => {
                poll_fds(&self.root, at, length as usize).unwrap_or_default()
            }
            _ => Vec::new(),
        };
        fds.into_iter().filter_map(|fd| Some((fd, self.socket_inode(fd)?))).collect()
    }

    /// Returns the sockets of an epoll set: their descriptors and their inodes. An entry is left out if its descriptor number
    /// names another file now.
    fn epoll_sockets(&self, epoll: u32) -> Vec<(u32, u64)> {
        let current = |entry: EpollEntry| {
            let inode = self.socket_inode(entry.fd).filter(|&inode| Some(inode) == entry.inode)?;
            Some((entry.fd, inode))
        };
        epoll_entries(&self.root, epoll).into_iter().filter_map(current).collect()
    }

    /// Returns the inode of a socket, or `None` if `fd` is not a socket.
    fn socket_inode(&self, fd: u32) -> Option<u64> {
        self.descriptors.link(fd)?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    }
}

/// Duplicates the descriptors of those sockets, with their inodes. Listening sockets are left out.
///
/// Only sockets are duplicated: closing a second descriptor of a file would release all locks that the process holds on that
/// file. Between the reading of a link and the duplication, another thread may close the descriptor and open another file
/// under the same number. So a duplicate is kept only if it has the inode that was read.
fn duplicate_sockets(sockets: &[(u32, u64)]) -> io::Result<Vec<(u64, OwnedFd)>> {
    let process = pidfd_open(getpid(), PidfdFlags::empty())?;
    let mut found = Vec::new();
    for &(fd, inode) in sockets {
        match pidfd_getfd(&process, fd as RawFd, PidfdGetfdFlags::empty()) {
            Ok(duplicate) => found.extend(keep_connection(duplicate, inode)?.map(|socket| (inode, socket))),
            // Another thread has closed the descriptor.
            Err(Errno::BADF) => {}
            // One socket is enough to wake a thread that waits for several. The descriptors may be exhausted.
            Err(_) if !found.is_empty() => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

/// Returns the duplicate if it is the socket with that inode, and does not listen.
fn keep_connection(duplicate: OwnedFd, inode: u64) -> io::Result<Option<OwnedFd>> {
    let file = File::from(duplicate);
    let metadata = file.metadata()?;
    if metadata.is_file() {
        // Closing the duplicate of a file would release the file locks of the process. Leaking a descriptor is better.
        std::mem::forget(file);
        return Ok(None);
    }
    if metadata.ino() != inode {
        return Ok(None);
    }
    let socket = OwnedFd::from(file);
    Ok((socket_acceptconn(&socket) == Ok(false)).then_some(socket))
}

/// Describes a socket without reading the socket tables. Returns `None` for a TCP socket that is not connected yet: only the
/// tables have its remote address.
fn describe_socket(socket: &OwnedFd) -> Option<String> {
    let local = getsockname(socket).ok()?;
    if local.address_family() == AddressFamily::UNIX {
        return Some("unix socket".to_owned());
    }
    let kind = if socket_type(socket) == Ok(SocketType::STREAM) { "tcp" } else { "udp" };
    let remote = getpeername(socket).ok().flatten().and_then(|remote| SocketAddr::try_from(remote).ok());
    if remote.is_none() && kind == "tcp" {
        return None;
    }
    Some(describe_connection(kind, SocketAddr::try_from(local).ok()?, remote))
}

#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64")))]
mod tests {
    use super::super::syscalls::CALLS;
    use super::{Connection, ProcSnapshot, ThreadProbe};
    use std::fs::{self, File};
    use std::io::{ErrorKind, Read};
    use std::os::fd::{AsFd, AsRawFd};
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::os::unix::net::UnixStream;
    use tempfile::TempDir;

    /// Creates the files of `/proc/self` for a process whose thread 7 reads the descriptor `fd`, which links to `target`.
    fn proc(fd: i32, target: &str) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("task/7")).unwrap();
        fs::create_dir(root.path().join("fd")).unwrap();
        let read = CALLS.iter().find(|known| known.1 == "read").unwrap().0;
        fs::write(root.path().join("task/7/syscall"), format!("{read} 0x{fd:x} 0x7ffc 0x1 0x0 0x0 0x0 0x7f 0x7f\n"))
            .unwrap();
        set_start_time(&root, START_TIME);
        set_sleeps(&root, 12);
        symlink(target, root.path().join(format!("fd/{fd}"))).unwrap();
        root
    }

    /// The start time of the thread.
    const START_TIME: u64 = 4_321;

    fn set_start_time(root: &TempDir, at: u64) {
        let stat = format!("7 (\u{fc}) S 1 2 3 4 5 6 7 8 9 10 30 12 0 0 20 0 1 0 {at} 9");
        fs::write(root.path().join("task/7/stat"), stat).unwrap();
    }

    fn thread() -> ThreadProbe {
        let thread = ThreadProbe::of(7);
        assert!(thread.is_still(START_TIME));
        thread
    }

    /// Returns the kernel's link text for this socket.
    fn link(socket: &impl AsFd) -> String {
        format!("socket:[{}]", File::from(socket.as_fd().try_clone_to_owned().unwrap()).metadata().unwrap().ino())
    }

    fn set_sleeps(root: &TempDir, count: u64) {
        fs::write(root.path().join("task/7/status"), format!("voluntary_ctxt_switches:\t{count}\n")).unwrap();
    }

    fn snapshot(root: &TempDir) -> ProcSnapshot {
        ProcSnapshot::of(root.path().to_owned())
    }

    fn connection(thread: &ThreadProbe, root: &TempDir) -> Option<(Connection, String)> {
        thread.connection(snapshot(root)).unwrap()
    }

    /// Returns `true` if `peer` reads the end of the stream.
    fn hung_up(mut peer: &UnixStream) -> bool {
        peer.set_nonblocking(true).unwrap();
        match peer.read(&mut [0]) {
            Ok(0) => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_thread_that_left_the_observed_sleep_keeps_its_socket() {
        let (ours, peer) = UnixStream::pair().unwrap();
        let (root, thread) = (proc(ours.as_raw_fd(), &link(&ours)), thread());
        let (found, _) = connection(&thread, &root).unwrap();
        set_sleeps(&root, 13);
        assert!(!found.shut_down(&snapshot(&root)) && !hung_up(&peer));
        let (found, blocked_in) = connection(&thread, &root).unwrap();
        assert!(found.shut_down(&snapshot(&root)) && hung_up(&peer));
        assert_eq!(blocked_in, format!("read(fd {} = unix socket)", ours.as_raw_fd()));
    }

    #[test]
    fn sockets_are_shut_down_only_once_per_sleep() {
        let (ours, _peer) = UnixStream::pair().unwrap();
        let (root, thread) = (proc(ours.as_raw_fd(), &link(&ours)), thread());
        assert!(connection(&thread, &root).unwrap().0.shut_down(&snapshot(&root)));
        assert!(connection(&thread, &root).is_none());
        set_sleeps(&root, 13);
        assert!(connection(&thread, &root).is_some());
    }

    #[test]
    fn only_descriptors_that_link_to_a_socket_are_duplicated() {
        let (ours, _peer) = UnixStream::pair().unwrap();
        for target in ["/var/lib/a.db", "pipe:[78]", "anon_inode:[eventfd]", "socket:[garbage", "socket:[77"] {
            assert!(connection(&thread(), &proc(ours.as_raw_fd(), target)).is_none(), "{target}");
        }
        assert!(connection(&thread(), &proc(ours.as_raw_fd(), &link(&ours))).is_some());
    }

    #[test]
    fn a_socket_that_reuses_the_descriptor_number_is_not_shut_down() {
        let (ours, peer) = UnixStream::pair().unwrap();
        // The link names another socket than the one that has the descriptor number now.
        let root = proc(ours.as_raw_fd(), &link(&peer));
        assert!(connection(&thread(), &root).is_none() && !hung_up(&peer));
        assert!(connection(&thread(), &proc(ours.as_raw_fd(), &link(&ours))).is_some());
    }

    #[test]
    fn an_epoll_entry_is_used_only_if_its_descriptor_still_has_its_inode() {
        let (ours, _peer) = UnixStream::pair().unwrap();
        let (fd, link) = (ours.as_raw_fd(), link(&ours));
        let inode: u64 = link.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
        let root = proc(fd, &link);
        let wait = CALLS.iter().find(|known| known.1 == "epoll_pwait").unwrap().0;
        fs::write(root.path().join("task/7/syscall"), format!("{wait} 0x3e7 0x0 0x0 0x0 0x0 0x0 0x7f 0x7f\n")).unwrap();
        fs::create_dir(root.path().join("fdinfo")).unwrap();
        let set = |entry: String| fs::write(root.path().join("fdinfo/999"), entry).unwrap();
        set(format!("tfd: {fd} events: 19 data: ffff  pos:0 ino:{inode:x} sdev:9\n"));
        let (_, text) = connection(&thread(), &root).unwrap();
        assert_eq!(text, format!("epoll_pwait(fd 999, watching fd {fd} = unix socket)"));
        set(format!("tfd: {fd} events: 19 data: {inode:x}  pos:0 ino:{:x} sdev:9\n", inode + 1));
        assert!(connection(&thread(), &root).is_none(), "another socket was added under this number");
        let text = thread().blocked_in(&snapshot(&root)).unwrap();
        assert_eq!(text, "epoll_pwait(fd 999, watching 1 without a known descriptor)");
        set(format!("tfd: {fd} events: 19 data: ffff\n")); // before Linux 4.13
        assert!(connection(&thread(), &root).is_none(), "without an inode the entry cannot be identified");
    }

    #[test]
    fn a_thread_that_reuses_a_thread_id_is_neither_shown_nor_disconnected() {
        let (ours, peer) = UnixStream::pair().unwrap();
        let (root, thread) = (proc(ours.as_raw_fd(), &link(&ours)), thread());
        let (found, _) = connection(&thread, &root).unwrap();
        set_start_time(&root, START_TIME + 1);
        assert!(!found.shut_down(&snapshot(&root)) && !hung_up(&peer));
        assert!(connection(&thread, &root).is_none());
        assert_eq!(thread.blocked_in(&snapshot(&root)), None);
    }

    #[test]
    fn a_thread_whose_name_is_not_utf_8_is_shown_and_disconnected() {
        let (ours, peer) = UnixStream::pair().unwrap();
        let (root, thread) = (proc(ours.as_raw_fd(), &link(&ours)), thread());
        for (file, begin) in [("stat", &b"7 (gr\xfc)\xdfe)"[..]), ("status", &b"Name:\tgr\xfc)\xdfe\n"[..])] {
            let path = root.path().join("task/7").join(file);
            let rest = fs::read(&path).unwrap();
            let rest = if file == "stat" { rest.splitn(2, |byte| *byte == b')').nth(1).unwrap() } else { &rest };
            fs::write(&path, [begin, rest].concat()).unwrap();
        }
        let (found, text) = connection(&thread, &root).unwrap();
        assert_eq!(text, format!("read(fd {} = unix socket)", ours.as_raw_fd()));
        assert!(found.shut_down(&snapshot(&root)) && hung_up(&peer));
    }

    #[test]
    fn a_poll_that_the_kernel_resumed_after_a_signal_is_disconnected() {
        let (ours, peer) = UnixStream::pair().unwrap();
        let (root, thread) = (proc(ours.as_raw_fd(), &link(&ours)), thread());
        let number = if cfg!(target_arch = "x86_64") { 219 } else { 128 };
        let line = format!("{number} 0x10 0x1 0xffffffff 0x0 0x0 0x0 0x7f 0x7f\n");
        fs::write(root.path().join("task/7/syscall"), line).unwrap();
        let entry = [&ours.as_raw_fd().to_ne_bytes()[..], &[0; 4]].concat();
        fs::write(root.path().join("mem"), [&[0; 16][..], &entry].concat()).unwrap();
        fs::write(root.path().join("task/7/wchan"), "0").unwrap();
        assert!(connection(&thread, &root).is_none(), "without the kernel function the call is unknown");
        let text = thread.blocked_in(&snapshot(&root)).unwrap();
        assert_eq!(text, "restart_syscall (a wait resumed after a signal)");
        fs::write(root.path().join("task/7/wchan"), "poll_schedule_timeout.constprop.0").unwrap();
        let (found, text) = connection(&thread, &root).unwrap();
        assert!(text.ends_with(&format!("poll(fd {} = unix socket)", ours.as_raw_fd())), "{text}");
        assert!(found.shut_down(&snapshot(&root)) && hung_up(&peer));
    }
}
