//! A snapshot of this process from `/proc/self`: what its threads are blocked in, and what its descriptors are.

use super::fd_sets::{EpollEntry, epoll_entries, poll_fds};
use super::sockets::Sockets;
use super::stat::{Stat, field, text};
use super::syscalls::{ArgKind, SyscallState, parse, resumed};
use super::{NOT_IN_SYSCALL, RUNNING, SLEEPING, UNINTERRUPTIBLE};
use crate::util::text::Escaped;
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How many descriptors of a set are listed. A longer list would not be read; the rest is counted.
const MAX_LISTED: usize = 8;

/// A snapshot of this process for one series of observations. The tables of sockets are long, so they are read at most once
/// per series; [`refresh`](Self::refresh) begins the next series.
pub(crate) struct ProcSnapshot {
    /// `/proc/self`, or a folder of a test.
    pub(super) root: PathBuf,
    /// The descriptions of sockets, by inode, that need no lookup in the tables.
    pub(super) known: RefCell<HashMap<u64, String>>,
    sockets: OnceCell<Sockets>,
}

/// The call that a thread is in.
#[derive(PartialEq, Debug)]
pub(super) struct Call {
    pub(super) text: String,
    /// The call may belong to a wait of this library: it is a futex, a sleep, or a call that the kernel does not name.
    pub(super) may_be_ours: bool,
}

impl ProcSnapshot {
    pub(crate) fn new() -> Self {
        ProcSnapshot::of("/proc/self".into())
    }

    pub(super) fn of(root: PathBuf) -> Self {
        ProcSnapshot { root, known: RefCell::default(), sockets: OnceCell::new() }
    }

    /// Begins a new series: the tables are read again when a socket is not yet known by name.
    pub(crate) fn refresh(&mut self) {
        self.sockets = OnceCell::new();
    }

    /// Avoids reading the tables in this series. A socket that is not yet known by name is described as `socket`.
    pub(crate) fn without_tables(&self) {
        _ = self.sockets.set(Sockets::none()); // fails if the tables were read already, and then they are kept
    }

    pub(super) fn read(&self, file: &str) -> Option<String> {
        fs::read(self.root.join(file)).ok().map(text)
    }

    /// Returns the call that `thread` is in, or `None` if the thread is gone.
    pub(super) fn call(&self, thread: u32) -> Option<Call> {
        let file = format!("task/{thread}/syscall");
        // The file is unreadable in some sandboxes, and if the process is not dumpable.
        let Some((line, call)) = self.read(&file).and_then(|line| Some((self.parse(thread, &line)?, line))) else {
            let text = self.kernel_function(thread)?;
            return Some(Call { may_be_ours: text != RUNNING, text });
        };
        let may_be_ours = matches!(
            &line,
            SyscallState::Known("futex" | "nanosleep" | "clock_nanosleep", ..) | SyscallState::Resumed(_)
        );
        // If the thread has left the call, its descriptors may have been reused, and its poll set may be overwritten.
        let is_in_same_call = || self.read(&file).as_ref() == Some(&call);
        let text = match line {
            SyscallState::Running => RUNNING.to_owned(),
            SyscallState::NoCall => NOT_IN_SYSCALL.to_owned(),
            SyscallState::Other(number) => format!("system call {number}"),
            SyscallState::Resumed(_) => "restart_syscall (a wait resumed after a signal)".to_owned(),
            SyscallState::Known(name, ArgKind::Nothing, _) => name.to_owned(),
            SyscallState::Known(name, ArgKind::Is(what), _) => format!("{name} ({what})"),
            SyscallState::Known(name, ArgKind::Poll, [_, 0]) => format!("{name} (a sleep)"),
            SyscallState::Known(name, kind, arguments) => {
                match self.describe_arguments(kind, arguments).filter(|_| is_in_same_call()) {
                    Some(what) => format!("{name}({what})"),
                    None => name.to_owned(),
                }
            }
        };
        Some(Call { text, may_be_ours })
    }

    /// Parses a line of `/proc/…/syscall`. If the kernel resumed the call after a signal, the result is the original call.
    pub(super) fn parse(&self, thread: u32, line: &str) -> Option<SyscallState> {
        match parse(line)? {
            SyscallState::Resumed(arguments) => {
                let function = self.read(&format!("task/{thread}/wchan")).unwrap_or_default();
                Some(resumed(function.trim(), arguments).unwrap_or(SyscallState::Resumed(arguments)))
            }
            line => Some(line),
        }
    }

    /// Describes the descriptors of a call, or returns `None` if the call has none.
    fn describe_arguments(&self, kind: ArgKind, [first, second]: [u64; 2]) -> Option<String> {
        match kind {
            // The kernel shows the whole register; a descriptor is its lower half.
            ArgKind::Fd => Some(self.describe_fd(first as u32)),
            ArgKind::Epoll => Some(self.describe_fd(first as u32) + &self.describe_epoll_set(first as u32)),
            ArgKind::Poll => self.describe_poll_set(first, second),
            ArgKind::Is(_) | ArgKind::Nothing => None,
        }
    }

    /// Returns the kernel function that `thread` waits in, or its scheduling state: a substitute for an unreadable call.
    fn kernel_function(&self, thread: u32) -> Option<String> {
        let name = self.read(&format!("task/{thread}/wchan")).unwrap_or_default();
        if !matches!(name.trim(), "" | "0") {
            return Some(Escaped(name.trim()).to_string());
        }
        let text = match field(&self.read(&format!("task/{thread}/stat"))?, 3)? {
            "R" => RUNNING,
            "S" => SLEEPING,
            "D" => UNINTERRUPTIBLE,
            _ => return None,
        };
        Some(text.to_owned())
    }

    /// Returns how often `thread` has gone to sleep.
    pub(super) fn sleeps(&self, thread: u32) -> Option<u64> {
        let status = self.read(&format!("task/{thread}/status"))?;
        let sleeps = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        sleeps.trim().parse().ok()
    }

    pub(super) fn stat(&self, thread: u32) -> Option<Stat> {
        Stat::read(&self.read(&format!("task/{thread}/stat"))?)
    }

    /// Describes a descriptor: `fd 4 = tcp 127.0.0.1:44432 -> 127.0.0.1:42415`, or `fd 4` if nothing is known about it.
    fn describe_fd(&self, fd: u32) -> String {
        self.describe_open_fd(fd).unwrap_or_else(|| format!("fd {fd}"))
    }

    /// Describes a descriptor. Returns `None` if `fd` is not open.
    fn describe_open_fd(&self, fd: u32) -> Option<String> {
        let link = self.link(fd)?;
        Some(format!("fd {fd} = {}", Escaped(&self.describe_link(&link))))
    }

    /// Returns the target of the link `/proc/self/fd/…`: the kernel's name of the open file.
    pub(super) fn link(&self, fd: u32) -> Option<String> {
        let link = fs::read_link(self.root.join(format!("fd/{fd}"))).ok()?;
        Some(link.to_string_lossy().into_owned())
    }

    /// Returns `true` if the descriptor number of `entry` still names the file that was added to the epoll set.
    pub(super) fn is_current(&self, entry: EpollEntry) -> bool {
        // The link of a socket or a pipe contains the inode. For other files, the link must be followed.
        let inode = || {
            let link = self.link(entry.fd)?;
            let number = link.split_once(":[").and_then(|(_, number)| number.strip_suffix(']')?.parse().ok());
            number.or_else(|| inode(&self.root.join(format!("fd/{}", entry.fd))))
        };
        entry.inode.is_some() && entry.inode == inode()
    }

    /// Describes an open file by the text of its link: `/a/file`, `socket:[1234]`, `anon_inode:[eventpoll]`.
    fn describe_link(&self, link: &str) -> String {
        let Some((kind, what)) = link.split_once(':').filter(|_| !link.starts_with('/')) else {
            return link.to_owned();
        };
        let what = what.trim_start_matches('[').trim_end_matches(']');
        match (kind, what) {
            ("anon_inode", "eventpoll") => "epoll".to_owned(),
            ("anon_inode", what) => what.to_owned(),
            ("socket", inode) => {
                inode.parse().ok().and_then(|inode| self.describe_socket(inode)).unwrap_or_else(|| kind.to_owned())
            }
            _ => kind.to_owned(),
        }
    }

    fn describe_socket(&self, inode: u64) -> Option<String> {
        if let Some(name) = self.known.borrow().get(&inode) {
            return Some(name.clone());
        }
        let tables = self.sockets.get_or_init(|| Sockets::read(&self.root.join("net")));
        let name = tables.get(inode)?;
        self.known.borrow_mut().insert(inode, name.to_owned());
        Some(name.to_owned())
    }

    /// Describes what an epoll descriptor watches: `, watching fd 5 = pipe`.
    ///
    /// If the descriptor number of an entry names another file now, the entry is counted but not described.
    fn describe_epoll_set(&self, epoll: u32) -> String {
        let entries = epoll_entries(&self.root, epoll);
        let current = entries.iter().filter(|&&entry| self.is_current(entry));
        let listed: Vec<String> = current.take(MAX_LISTED).map(|entry| self.describe_fd(entry.fd)).collect();
        match (listed.len(), entries.len()) {
            (0, 0) => String::new(),
            (0, all) => format!(", watching {all} without a known descriptor"),
            (listed_count, all) if all > listed_count => {
                format!(", watching {} and {} more", listed.join(", "), all - listed_count)
            }
            _ => format!(", watching {}", listed.join(", ")),
        }
    }

    /// Describes the descriptors of a poll set. A number that is not an open descriptor is not shown, because it was read
    /// from memory that the thread may have overwritten.
    fn describe_poll_set(&self, at: u64, length: u64) -> Option<String> {
        let length = usize::try_from(length).ok()?;
        let fds = poll_fds(&self.root, at, length.min(MAX_LISTED))?;
        join_listed(fds.into_iter().filter_map(|fd| self.describe_open_fd(fd)).collect(), length)
    }
}

/// Joins the listed descriptors of a set with `all` descriptors, and adds how many were left out.
fn join_listed(listed: Vec<String>, all: usize) -> Option<String> {
    let more = if all > MAX_LISTED { format!(" and {} more", all - MAX_LISTED) } else { String::new() };
    if listed.is_empty() { None } else { Some(listed.join(", ") + &more) }
}

/// Returns the inode of the file at `path`, following links.
pub(super) fn inode(path: &Path) -> Option<u64> {
    Some(fs::metadata(path).ok()?.ino())
}

#[cfg(all(test, target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod tests {
    use super::super::syscalls::CALLS;
    use super::ProcSnapshot;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    /// Creates the files of `/proc/self` for a process whose thread 7 is in this call.
    fn proc(call: &str, arguments: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for folder in ["task/7", "fd", "fdinfo", "net"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let number = CALLS.iter().find(|known| known.1 == call).unwrap().0;
        let tcp = "heading\n 0: 0100007F:AD90 0100007F:A5AF 01 0:0 00:0 0 0 0 77 1\n";
        for (file, text) in [
            ("task/7/syscall", format!("{number} {arguments} 0x0 0x0 0x0 0x0 0x7f 0x7f\n").as_str()),
            ("task/7/wchan", "wait_woken"),
            ("task/7/stat", "7 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 30 12 0 0 20 0 1 0 4321 9"),
            ("task/7/status", "Name:\ta\nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t3\n"),
            ("net/tcp", if cfg!(target_endian = "little") { tcp } else { "" }),
            (
                "fdinfo/6",
                "pos:\t0\nflags:\t02\ntfd:        4 events:       19 data:      5ec2e7  pos:0 ino:4d sdev:9\ntfd: 5 events: 1 ino:4e\n",
            ),
        ] {
            fs::write(root.path().join(file), text).unwrap();
        }
        for (fd, target) in [("4", "socket:[77]"), ("5", "pipe:[78]"), ("6", "anon_inode:[eventpoll]")] {
            symlink(target, root.path().join("fd").join(fd)).unwrap();
        }
        root
    }

    fn call(root: &Path) -> Option<String> {
        ProcSnapshot::of(root.to_owned()).call(7).map(|call| call.text)
    }

    #[test]
    fn a_missing_file_of_proc_removes_only_its_own_part_of_the_description() {
        let root = proc("recvfrom", "0x4 0x7ffc");
        let path = |file: &str| root.path().join(file);
        let expect = |text: &str| assert_eq!(call(root.path()).as_deref(), Some(text));
        expect("recvfrom(fd 4 = tcp 127.0.0.1:44432 -> 127.0.0.1:42415)");
        fs::remove_dir_all(path("net")).unwrap();
        expect("recvfrom(fd 4 = socket)");
        fs::remove_dir_all(path("fd")).unwrap();
        expect("recvfrom(fd 4)");
        fs::write(path("task/7/syscall"), "garbage").unwrap();
        expect("wait_woken");
        fs::remove_file(path("task/7/syscall")).unwrap();
        expect("wait_woken");
        fs::write(path("task/7/wchan"), "0").unwrap();
        expect("sleeping");
        fs::write(path("task/7/stat"), "7 (a) R 1").unwrap();
        expect("running");
        fs::write(path("task/7/stat"), "7 (a) D 1").unwrap();
        expect("uninterruptible sleep (D)");
        fs::remove_dir_all(path("task/7")).unwrap();
        assert_eq!(call(root.path()), None);
    }

    #[test]
    fn a_poll_set_shows_open_descriptors_and_nothing_else_from_memory() {
        let root = proc("ppoll", "0x10 0x4");
        let entry = |fd: i32| [&fd.to_ne_bytes()[..], b"\x66\x55\x44\x33"].concat();
        let set = [entry(5), entry(-1), entry(0x005e_c2e7), entry(4)].concat();
        let memory = [b"before the set: ", &set[..], b"and after it"].concat();
        fs::write(root.path().join("mem"), &memory).unwrap();
        let socket = "fd 4 = tcp 127.0.0.1:44432 -> 127.0.0.1:42415";
        assert_eq!(call(root.path()), Some(format!("ppoll(fd 5 = pipe, {socket})")));
        fs::write(root.path().join("mem"), &memory[..40]).unwrap(); // truncated; then missing
        assert_eq!(call(root.path()).as_deref(), Some("ppoll"));
        fs::remove_file(root.path().join("mem")).unwrap();
        assert_eq!(call(root.path()).as_deref(), Some("ppoll"));
        assert_eq!(call(proc("ppoll", "0x10 0xffffffffffffffff").path()).as_deref(), Some("ppoll"));
        assert_eq!(call(proc("ppoll", "0x0 0x0").path()).as_deref(), Some("ppoll (a sleep)"));
    }

    #[test]
    fn an_epoll_set_shows_its_descriptors_and_not_the_user_data_of_an_entry() {
        let root = proc("epoll_pwait", "0x6 0x7ffc");
        let set = "fd 4 = tcp 127.0.0.1:44432 -> 127.0.0.1:42415, fd 5 = pipe";
        assert_eq!(call(root.path()), Some(format!("epoll_pwait(fd 6 = epoll, watching {set})")));
        let many = (10..30).map(|fd| format!("tfd: {fd} events: 1 data: 0 pos:0 ino:{fd:x} sdev:9\n"));
        fs::write(root.path().join("fdinfo/6"), many.collect::<String>()).unwrap();
        (10..30).for_each(|fd| symlink(format!("pipe:[{fd}]"), root.path().join(format!("fd/{fd}"))).unwrap());
        assert!(call(root.path()).unwrap().ends_with(", fd 17 = pipe and 12 more)"));
        fs::write(root.path().join("fdinfo/6"), "tfd:\ntfd: x\ngarbage").unwrap();
        assert_eq!(call(root.path()).as_deref(), Some("epoll_pwait(fd 6 = epoll)"));
    }

    #[test]
    fn an_epoll_entry_whose_number_was_reused_is_counted_and_not_described() {
        let root = proc("epoll_pwait", "0x6 0x7ffc");
        let set = |text: &str| fs::write(root.path().join("fdinfo/6"), text).unwrap();
        set("tfd: 4 events: 19 data: 4d  pos:0 ino:4c sdev:9\ntfd: 5 events: 1 data: 0 pos:0 ino:4e sdev:f\n");
        let expected = "epoll_pwait(fd 6 = epoll, watching fd 5 = pipe and 1 more)";
        assert_eq!(call(root.path()).as_deref(), Some(expected));
        set("tfd: 4 events: 19 data: 4d  pos:0 ino:4c sdev:9\n");
        let expected = "epoll_pwait(fd 6 = epoll, watching 1 without a known descriptor)";
        assert_eq!(call(root.path()).as_deref(), Some(expected));
    }

    #[test]
    fn a_wait_that_the_kernel_resumed_after_a_signal_is_shown_as_the_original_call() {
        let number = if cfg!(target_arch = "x86_64") { 219 } else { 128 };
        let root = proc("ppoll", "0x10 0x1");
        let line = format!("{number} 0x10 0x1 0x0 0x0 0x0 0x0 0x7f 0x7f\n");
        fs::write(root.path().join("task/7/syscall"), line).unwrap();
        fs::write(root.path().join("mem"), [&[0; 16][..], &5_i32.to_ne_bytes(), &[0; 4]].concat()).unwrap();
        let expect = |function: &str, text: &str| {
            fs::write(root.path().join("task/7/wchan"), function).unwrap();
            assert_eq!(call(root.path()).as_deref(), Some(text), "{function}");
        };
        let poll = if cfg!(target_arch = "x86_64") { "poll" } else { "ppoll" };
        expect("poll_schedule_timeout.constprop.0", &format!("{poll}(fd 5 = pipe)"));
        expect("futex_do_wait", "futex (a lock, condvar or channel)");
        expect("hrtimer_nanosleep", "nanosleep (a sleep)");
        for unknown in ["0", "", "something_else"] {
            expect(unknown, "restart_syscall (a wait resumed after a signal)");
        }
    }

    #[test]
    fn a_descriptor_is_described_by_its_link() {
        let root = proc("read", "0xffffffff00000009 0x0");
        for (link, text) in [
            ("/var/lib/a b: c", "/var/lib/a b: c"),
            ("/tmp/\u{1b}[2J\n", "/tmp/\\u{1b}[2J\\n"),
            ("anon_inode:inotify", "inotify"),
            ("anon_inode:[eventfd]", "eventfd"),
            ("socket:[79]", "socket"),
            ("socket:[garbage", "socket"),
            ("mnt:[4026531840]", "mnt"),
            ("garbage", "garbage"),
        ] {
            _ = fs::remove_file(root.path().join("fd/9"));
            symlink(link, root.path().join("fd/9")).unwrap();
            assert_eq!(call(root.path()), Some(format!("read(fd 9 = {text})")));
        }
    }

    #[test]
    fn truncated_or_invalid_files_never_cause_a_panic() {
        let root = proc("epoll_pwait", "0x6 0x7ffc");
        for file in ["task/7/syscall", "task/7/wchan", "task/7/stat", "task/7/status", "net/tcp", "fdinfo/6"] {
            let whole = fs::read(root.path().join(file)).unwrap();
            let read_all = |bytes: &[u8]| {
                fs::write(root.path().join(file), bytes).unwrap();
                let snapshot = ProcSnapshot::of(root.path().to_owned());
                _ = (
                    snapshot.call(7),
                    snapshot.kernel_function(7),
                    snapshot.stat(7).map(|stat| stat.cpu),
                    snapshot.sleeps(7),
                );
            };
            (0..whole.len()).for_each(|end| read_all(&whole[..end]));
            ["\u{0}\u{ff}", ")", ") S", "€ (€) €", "tfd:", "-1"].into_iter().for_each(|text| read_all(text.as_bytes()));
            read_all(b"\xff\xfe");
            read_all(&whole);
        }
        let snapshot = ProcSnapshot::of(root.path().to_owned());
        assert_eq!(snapshot.sleeps(7), Some(12));
        assert_eq!(snapshot.stat(7).map(|stat| (stat.start_time, stat.cpu)), Some((4_321, 420)));
    }
}
