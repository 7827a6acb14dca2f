//! The last resort: the sockets that a thread waits on are shut down. Feature `disconnect`, for Linux.

#[cfg(not(target_os = "linux"))]
compile_error!("feature `disconnect` is for Linux: nothing else says what a thread waits on");

use super::fd_sets::{polled, watched};
use super::sockets::between;
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

/// A poll set that is longer is not looked through.
const MOST: u64 = 1 << 20;

/// The sockets that a thread waits on, in one sleep. None of them listens.
pub(crate) struct Connection {
    thread: ThreadProbe,
    sleep: Sleep,
    sockets: Vec<OwnedFd>,
}

/// Whether sockets can be had from here: in a container it may be forbidden.
pub(crate) fn check() -> io::Result<()> {
    let process = pidfd_open(getpid(), PidfdFlags::empty())?;
    pidfd_getfd(&process, process.as_raw_fd(), PidfdGetfdFlags::empty())?;
    Ok(())
}

impl ThreadProbe {
    /// What the thread waits on, and what it is blocked in; `None` if that is no socket, or was shut down in this very sleep and has not ended it.
    ///
    /// Reads files: not under a lock.
    pub(crate) fn connection(&self, view: ProcSnapshot) -> io::Result<Option<(Connection, String)>> {
        let Some(sleep) = self.sleep(&view) else { return Ok(None) };
        let waited_for = view.waited_for(self.0.number, &sleep.call);
        if waited_for.is_empty() || self.0.memory.lock().shut_in.as_ref() == Some(&sleep) {
            return Ok(None);
        }
        let found = duplicates(&waited_for)?;
        view.known.borrow_mut().extend(found.iter().filter_map(|(number, socket)| Some((*number, name(socket)?))));
        let sockets: Vec<OwnedFd> = found.into_iter().map(|(_, socket)| socket).collect();
        let blocked_in = self.blocked_in(&view).filter(|_| !sockets.is_empty());
        Ok(blocked_in.map(|blocked_in| (Connection { thread: self.clone(), sleep, sockets }, blocked_in)))
    }

    /// The sleep that this thread is in, and not one that has its number now.
    fn sleep(&self, view: &ProcSnapshot) -> Option<Sleep> {
        let call = view.read(&format!("task/{}/syscall", self.0.number))?;
        let sleep = Sleep { call, number: view.sleeps(self.0.number)? };
        // Last: who is alive now was alive above.
        let born = view.stat(self.0.number)?.born;
        (born == self.0.born && !self.is_over()).then_some(sleep)
    }
}

impl Connection {
    /// Shuts the sockets down, if the thread is still in the same sleep: else it may be about others by now. (Between that
    /// look and the shutdown are microseconds.) Whether it did.
    pub(crate) fn shut_down(&self, view: &ProcSnapshot) -> bool {
        if self.thread.sleep(view).as_ref() != Some(&self.sleep) {
            return false;
        }
        self.thread.0.memory.lock().shut_in = Some(self.sleep.clone());
        // Also where there is nobody at the other end, who waits is woken.
        let shut = |socket| matches!(shutdown(socket, Shutdown::Both), Ok(()) | Err(Errno::NOTCONN));
        self.sockets.iter().filter(|socket| shut(*socket)).count() > 0
    }
}

impl ProcSnapshot {
    /// The sockets that a call waits on: their descriptors, and their numbers.
    fn waited_for(&self, thread: u32, call: &str) -> Vec<(u32, u64)> {
        let fds = match self.parse(thread, call) {
            // The kernel shows the whole register; a descriptor is its lower half.
            Some(SyscallState::Known(_, ArgKind::Fd, [fd, _])) => vec![fd as u32],
            Some(SyscallState::Known(_, ArgKind::Epoll, [epoll, _])) => return self.watched_sockets(epoll as u32),
            Some(SyscallState::Known(_, ArgKind::Poll, [at, length])) if length <= MOST => {
                polled(&self.root, at, length as usize).unwrap_or_default()
            }
            _ => Vec::new(),
        };
        fds.into_iter().filter_map(|fd| Some((fd, self.socket(fd)?))).collect()
    }

    /// The sockets of an epoll set, but for those that no descriptor is known of: somebody else's has their number.
    fn watched_sockets(&self, epoll: u32) -> Vec<(u32, u64)> {
        let same = |(fd, inode)| self.socket(fd).filter(|&number| Some(number) == inode).map(|number| (fd, number));
        watched(&self.root, epoll).into_iter().map(|entry| (entry.fd, entry.inode)).filter_map(same).collect()
    }

    /// The number of a socket, if it is one.
    fn socket(&self, fd: u32) -> Option<u64> {
        self.link(fd)?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    }
}

/// Descriptors of our own for those sockets, with their numbers, but for those that listen.
///
/// For sockets alone: to close a second descriptor of a file would let go of all locks that the process has on it.
/// Between the look at a descriptor and its duplication somebody may close it, and open something else that gets the number:
/// only a duplicate with the inode that was read is kept.
fn duplicates(sockets: &[(u32, u64)]) -> io::Result<Vec<(u64, OwnedFd)>> {
    let process = pidfd_open(getpid(), PidfdFlags::empty())?;
    let mut found = Vec::new();
    for &(fd, number) in sockets {
        match pidfd_getfd(&process, fd as RawFd, PidfdGetfdFlags::empty()) {
            Ok(duplicate) => found.extend(same_and_not_listening(duplicate, number)?.map(|socket| (number, socket))),
            // Closed meanwhile.
            Err(Errno::BADF) => {}
            // One is enough to wake who waits for several; there may be no room for more descriptors.
            Err(_) if !found.is_empty() => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

/// Gives a duplicate back, if it is the socket of that number, and does not listen.
fn same_and_not_listening(duplicate: OwnedFd, number: u64) -> io::Result<Option<OwnedFd>> {
    let file = File::from(duplicate);
    let metadata = file.metadata()?;
    if metadata.is_file() {
        // Never closed, because of the locks: better to lose a descriptor.
        std::mem::forget(file);
        return Ok(None);
    }
    if metadata.ino() != number {
        return Ok(None);
    }
    let socket = OwnedFd::from(file);
    Ok((socket_acceptconn(&socket) == Ok(false)).then_some(socket))
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
    use super::super::syscalls::CALLS;
    use super::{Connection, ProcSnapshot, ThreadProbe};
    use std::fs::{self, File};
    use std::io::{ErrorKind, Read};
    use std::os::fd::{AsFd, AsRawFd};
    use std::os::unix::fs::{MetadataExt, symlink};
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
        born(&root, BORN);
        sleeps(&root, 12);
        symlink(target, root.path().join(format!("fd/{fd}"))).unwrap();
        root
    }

    /// When the thread was started.
    const BORN: u64 = 4_321;

    fn born(root: &TempDir, at: u64) {
        let stat = format!("7 (\u{fc}) S 1 2 3 4 5 6 7 8 9 10 30 12 0 0 20 0 1 0 {at} 9");
        fs::write(root.path().join("task/7/stat"), stat).unwrap();
    }

    fn thread() -> ThreadProbe {
        ThreadProbe::of(7, BORN)
    }

    /// A link as the kernel has it for this socket.
    fn link(socket: &impl AsFd) -> String {
        format!("socket:[{}]", File::from(socket.as_fd().try_clone_to_owned().unwrap()).metadata().unwrap().ino())
    }

    fn sleeps(root: &TempDir, count: u64) {
        fs::write(root.path().join("task/7/status"), format!("voluntary_ctxt_switches:\t{count}\n")).unwrap();
    }

    fn view(root: &TempDir) -> ProcSnapshot {
        ProcSnapshot::of(root.path().to_owned())
    }

    fn connection(thread: &ThreadProbe, root: &TempDir) -> Option<(Connection, String)> {
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
        let (root, thread) = (proc(ours.as_raw_fd(), &link(&ours)), thread());
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
        let (root, thread) = (proc(ours.as_raw_fd(), &link(&ours)), thread());
        assert!(connection(&thread, &root).unwrap().0.shut_down(&view(&root)));
        assert!(connection(&thread, &root).is_none());
        sleeps(&root, 13);
        assert!(connection(&thread, &root).is_some());
    }

    #[test]
    fn of_what_is_no_socket_no_second_descriptor_is_opened() {
        let (ours, _peer) = UnixStream::pair().unwrap();
        for target in ["/var/lib/a.db", "pipe:[78]", "anon_inode:[eventfd]", "socket:[garbage", "socket:[77"] {
            assert!(connection(&thread(), &proc(ours.as_raw_fd(), target)).is_none(), "{target}");
        }
        assert!(connection(&thread(), &proc(ours.as_raw_fd(), &link(&ours))).is_some());
    }

    #[test]
    fn a_socket_that_got_a_number_after_it_was_read_keeps_its_connection() {
        let (ours, peer) = UnixStream::pair().unwrap();
        // What the number is by the link is another socket than the one that has it now.
        let root = proc(ours.as_raw_fd(), &link(&peer));
        assert!(connection(&thread(), &root).is_none() && !hung_up(&peer));
        assert!(connection(&thread(), &proc(ours.as_raw_fd(), &link(&ours))).is_some());
    }

    #[test]
    fn an_epoll_entry_counts_only_while_its_inode_has_its_number() {
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
        let text = thread().blocked_in(&view(&root)).unwrap();
        assert_eq!(text, "epoll_pwait(fd 999, watching 1 without a known descriptor)");
        set(format!("tfd: {fd} events: 19 data: ffff\n")); // before Linux 4.13
        assert!(connection(&thread(), &root).is_none(), "nobody knows what was added under this number");
    }

    #[test]
    fn a_thread_that_got_the_number_of_one_that_ended_is_neither_shown_nor_disconnected() {
        let (ours, peer) = UnixStream::pair().unwrap();
        let (root, thread) = (proc(ours.as_raw_fd(), &link(&ours)), thread());
        let (found, _) = connection(&thread, &root).unwrap();
        born(&root, BORN + 1);
        assert!(!found.shut_down(&view(&root)) && !hung_up(&peer));
        assert!(connection(&thread, &root).is_none());
        assert_eq!(thread.blocked_in(&view(&root)), None);
    }

    #[test]
    fn a_thread_that_is_named_in_latin_1_is_seen_and_disconnected_like_any_other() {
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
        assert!(found.shut_down(&view(&root)) && hung_up(&peer));
    }

    #[test]
    fn a_read_that_was_resumed_after_a_signal_in_a_poll_is_disconnected_as_that_poll() {
        let (ours, peer) = UnixStream::pair().unwrap();
        let (root, thread) = (proc(ours.as_raw_fd(), &link(&ours)), thread());
        let number = if cfg!(target_arch = "x86_64") { 219 } else { 128 };
        let line = format!("{number} 0x10 0x1 0xffffffff 0x0 0x0 0x0 0x7f 0x7f\n");
        fs::write(root.path().join("task/7/syscall"), line).unwrap();
        let entry = [&ours.as_raw_fd().to_ne_bytes()[..], &[0; 4]].concat();
        fs::write(root.path().join("mem"), [&[0; 16][..], &entry].concat()).unwrap();
        fs::write(root.path().join("task/7/wchan"), "0").unwrap();
        assert!(connection(&thread, &root).is_none(), "nobody knows that it is a poll");
        let text = thread.blocked_in(&view(&root)).unwrap();
        assert_eq!(text, "restart_syscall (a wait resumed after a signal)");
        fs::write(root.path().join("task/7/wchan"), "poll_schedule_timeout.constprop.0").unwrap();
        let (found, text) = connection(&thread, &root).unwrap();
        assert!(text.ends_with(&format!("poll(fd {} = unix socket)", ours.as_raw_fd())), "{text}");
        assert!(found.shut_down(&view(&root)) && hung_up(&peer));
    }
}
