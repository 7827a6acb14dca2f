//! A look at this process through `/proc/self`: what its threads sit in, and what its descriptors are.

use super::RUNNING;
use super::fd_sets::{HostedService, polled, watched};
use super::sockets::Sockets;
use super::stat::{Stat, field, text};
use super::syscalls::{ArgKind, SyscallState, parse, resumed};
use crate::util::text::Escaped;
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// More than so many descriptors of a set nobody reads on a line; the others are counted.
const NAMED: usize = 8;

/// A round of looks, and then another: the tables of sockets are long, and read once for all of it.
pub(crate) struct ProcSnapshot {
    /// `/proc/self`, but in tests.
    pub(super) root: PathBuf,
    /// Sockets, by their numbers, that need not be looked up, or have been.
    pub(super) known: RefCell<HashMap<u64, String>>,
    sockets: OnceCell<Sockets>,
}

/// What a thread is in.
#[derive(PartialEq, Debug)]
pub(super) struct Call {
    pub(super) text: String,
    /// It may be a wait of this library: a futex, a sleep, or what the kernel does not tell.
    pub(super) may_be_ours: bool,
}

impl ProcSnapshot {
    pub(crate) fn new() -> Self {
        ProcSnapshot::of("/proc/self".into())
    }

    pub(super) fn of(root: PathBuf) -> Self {
        ProcSnapshot { root, known: RefCell::default(), sockets: OnceCell::new() }
    }

    /// Another round: the tables are read again if it is about a socket that was in none before.
    pub(crate) fn again(&mut self) {
        self.sockets = OnceCell::new();
    }

    /// Reads the tables of sockets now, for the whole round.
    pub(crate) fn read_tables(&self) {
        self.sockets.get_or_init(|| Sockets::read(&self.root.join("net")));
    }

    /// Reads no tables in this round: a socket whose name is not known yet is `socket`.
    pub(crate) fn without_tables(&self) {
        _ = self.sockets.set(Sockets::none()); // unless they have been read
    }

    pub(super) fn read(&self, file: &str) -> Option<String> {
        fs::read(self.root.join(file)).ok().map(text)
    }

    /// What a thread sits in.
    pub(super) fn call(&self, thread: u32) -> Option<Call> {
        let file = format!("task/{thread}/syscall");
        // Unreadable in some sandboxes, and where the process is not dumpable.
        let Some((line, call)) = self.read(&file).and_then(|line| Some((self.parse(thread, &line)?, line))) else {
            let text = self.kernel_function(thread)?;
            return Some(Call { may_be_ours: text != RUNNING, text });
        };
        let may_be_ours = matches!(
            &line,
            SyscallState::Known("futex" | "nanosleep" | "clock_nanosleep", ..) | SyscallState::Resumed(_)
        );
        // Once the thread has gone on, the descriptors may be others', and what was read of its memory no poll set.
        let stays = || self.read(&file).as_ref() == Some(&call);
        let text = match line {
            SyscallState::Running => RUNNING.to_owned(),
            SyscallState::NoCall => "something that is no system call".to_owned(),
            SyscallState::Other(number) => format!("system call {number}"),
            SyscallState::Resumed(_) => "restart_syscall (a wait resumed after a signal)".to_owned(),
            SyscallState::Known(name, ArgKind::Nothing, _) => name.to_owned(),
            SyscallState::Known(name, ArgKind::Is(what), _) => format!("{name} ({what})"),
            SyscallState::Known(name, ArgKind::Poll, [_, 0]) => format!("{name} (a sleep)"),
            SyscallState::Known(name, about, arguments) => match self.waits_on(about, arguments).filter(|_| stays()) {
                Some(what) => format!("{name}({what})"),
                None => name.to_owned(),
            },
        };
        Some(Call { text, may_be_ours })
    }

    /// Reads a line of `syscall`. Of a call that the kernel resumed, it is the first call.
    pub(super) fn parse(&self, thread: u32, line: &str) -> Option<SyscallState> {
        match parse(line)? {
            SyscallState::Resumed(arguments) => {
                let function = self.read(&format!("task/{thread}/wchan")).unwrap_or_default();
                Some(resumed(function.trim(), arguments).unwrap_or(SyscallState::Resumed(arguments)))
            }
            line => Some(line),
        }
    }

    /// The descriptors of a call, and what they are.
    fn waits_on(&self, about: ArgKind, [first, second]: [u64; 2]) -> Option<String> {
        match about {
            // The kernel shows the whole register; a descriptor is its lower half.
            ArgKind::Fd => Some(self.descriptor(first as u32)),
            ArgKind::Epoll => Some(self.descriptor(first as u32) + &self.watched(first as u32)),
            ArgKind::Poll => self.poll_set(first, second),
            ArgKind::Is(_) | ArgKind::Nothing => None,
        }
    }

    /// The kernel function that a thread waits in says about as much as its call; its state, a little.
    fn kernel_function(&self, thread: u32) -> Option<String> {
        let name = self.read(&format!("task/{thread}/wchan")).unwrap_or_default();
        if !matches!(name.trim(), "" | "0") {
            return Some(Escaped(name.trim()).to_string());
        }
        let text = match field(&self.read(&format!("task/{thread}/stat"))?, 3)? {
            "R" => RUNNING,
            "S" => "a wait",
            "D" => "a wait that no signal ends",
            _ => return None,
        };
        Some(text.to_owned())
    }

    /// How often a thread has gone to sleep.
    pub(super) fn sleeps(&self, thread: u32) -> Option<u64> {
        let status = self.read(&format!("task/{thread}/status"))?;
        let sleeps = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        sleeps.trim().parse().ok()
    }

    pub(super) fn stat(&self, thread: u32) -> Option<Stat> {
        Stat::read(&self.read(&format!("task/{thread}/stat"))?)
    }

    /// `fd 4 = tcp 127.0.0.1:44432 -> 127.0.0.1:42415`; where it cannot be said what it is, `fd 4`.
    fn descriptor(&self, fd: u32) -> String {
        self.open(fd).unwrap_or_else(|| format!("fd {fd}"))
    }

    /// The same, if there is a descriptor of that number.
    fn open(&self, fd: u32) -> Option<String> {
        let link = self.link(fd)?;
        Some(format!("fd {fd} = {}", Escaped(&self.target(&link))))
    }

    /// What a descriptor of that number is called by the kernel.
    pub(super) fn link(&self, fd: u32) -> Option<String> {
        let link = fs::read_link(self.root.join(format!("fd/{fd}"))).ok()?;
        Some(link.to_string_lossy().into_owned())
    }

    /// Returns `true` if what has the number of an entry of an epoll set now is what was added under that number.
    pub(super) fn is_still(&self, entry: HostedService) -> bool {
        // Of a socket or pipe the link has the inode. Others have one only in what the link leads to.
        let inode = || {
            let link = self.link(entry.fd)?;
            let number = link.split_once(":[").and_then(|(_, number)| number.strip_suffix(']')?.parse().ok());
            number.or_else(|| inode(&self.root.join(format!("fd/{}", entry.fd))))
        };
        entry.inode.is_some() && entry.inode == inode()
    }

    /// What a descriptor is, by the text of its link: `/a/file`, `socket:[1234]`, `anon_inode:[eventpoll]`.
    fn target(&self, link: &str) -> String {
        let Some((kind, what)) = link.split_once(':').filter(|_| !link.starts_with('/')) else {
            return link.to_owned();
        };
        let what = what.trim_start_matches('[').trim_end_matches(']');
        match (kind, what) {
            ("anon_inode", "eventpoll") => "epoll".to_owned(),
            ("anon_inode", what) => what.to_owned(),
            ("socket", number) => {
                number.parse().ok().and_then(|number| self.called(number)).unwrap_or_else(|| kind.to_owned())
            }
            _ => kind.to_owned(),
        }
    }

    fn called(&self, socket: u64) -> Option<String> {
        if let Some(name) = self.known.borrow().get(&socket) {
            return Some(name.clone());
        }
        let tables = self.sockets.get_or_init(|| Sockets::read(&self.root.join("net")));
        let name = tables.get(socket)?;
        self.known.borrow_mut().insert(socket, name.to_owned());
        Some(name.to_owned())
    }

    /// What an epoll descriptor watches: `, watching fd 5 = pipe`.
    ///
    /// An entry whose number is another's now is counted and not named.
    fn watched(&self, epoll: u32) -> String {
        let entries = watched(&self.root, epoll);
        let ours = entries.iter().filter(|&&entry| self.is_still(entry));
        let named: Vec<String> = ours.take(NAMED).map(|entry| self.descriptor(entry.fd)).collect();
        match (named.len(), entries.len()) {
            (0, 0) => String::new(),
            (0, all) => format!(", watching {all} without a known descriptor"),
            (named_count, all) if all > named_count => {
                format!(", watching {} and {} more", named.join(", "), all - named_count)
            }
            _ => format!(", watching {}", named.join(", ")),
        }
    }

    /// The descriptors of a poll set. What is no open descriptor is not shown: it may be anything.
    fn poll_set(&self, at: u64, length: u64) -> Option<String> {
        let length = usize::try_from(length).ok()?;
        let fds = polled(&self.root, at, length.min(NAMED))?;
        list(fds.into_iter().filter_map(|fd| self.open(fd)).collect(), length)
    }
}

/// The first of a set, and how many more there are.
fn list(named: Vec<String>, all: usize) -> Option<String> {
    let more = if all > NAMED { format!(" and {} more", all - NAMED) } else { String::new() };
    if named.is_empty() { None } else { Some(named.join(", ") + &more) }
}

/// The inode of what a path leads to.
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

    /// Files as `/proc/self` has them, of a process whose thread 7 is in this call.
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
    fn each_piece_that_is_missing_leaves_out_what_it_says_and_no_more() {
        let root = proc("recvfrom", "0x4 0x7ffc");
        let path = |file: &str| root.path().join(file);
        let says = |text: &str| assert_eq!(call(root.path()).as_deref(), Some(text));
        says("recvfrom(fd 4 = tcp 127.0.0.1:44432 -> 127.0.0.1:42415)");
        fs::remove_dir_all(path("net")).unwrap();
        says("recvfrom(fd 4 = socket)");
        fs::remove_dir_all(path("fd")).unwrap();
        says("recvfrom(fd 4)");
        fs::write(path("task/7/syscall"), "garbage").unwrap();
        says("wait_woken");
        fs::remove_file(path("task/7/syscall")).unwrap();
        says("wait_woken");
        fs::write(path("task/7/wchan"), "0").unwrap();
        says("a wait");
        fs::write(path("task/7/stat"), "7 (a) R 1").unwrap();
        says("running");
        fs::write(path("task/7/stat"), "7 (a) D 1").unwrap();
        says("a wait that no signal ends");
        fs::remove_dir_all(path("task/7")).unwrap();
        assert_eq!(call(root.path()), None);
    }

    #[test]
    fn of_a_poll_set_only_open_descriptors_are_shown_and_nothing_else_of_memory() {
        let root = proc("ppoll", "0x10 0x4");
        let entry = |fd: i32| [&fd.to_ne_bytes()[..], b"\x66\x55\x44\x33"].concat();
        let set = [entry(5), entry(-1), entry(0x005e_c2e7), entry(4)].concat();
        let memory = [b"before the set: ", &set[..], b"and after it"].concat();
        fs::write(root.path().join("mem"), &memory).unwrap();
        let socket = "fd 4 = tcp 127.0.0.1:44432 -> 127.0.0.1:42415";
        assert_eq!(call(root.path()), Some(format!("ppoll(fd 5 = pipe, {socket})")));
        fs::write(root.path().join("mem"), &memory[..40]).unwrap(); // cut short, and then none
        assert_eq!(call(root.path()).as_deref(), Some("ppoll"));
        fs::remove_file(root.path().join("mem")).unwrap();
        assert_eq!(call(root.path()).as_deref(), Some("ppoll"));
        assert_eq!(call(proc("ppoll", "0x10 0xffffffffffffffff").path()).as_deref(), Some("ppoll"));
        assert_eq!(call(proc("ppoll", "0x0 0x0").path()).as_deref(), Some("ppoll (a sleep)"));
    }

    #[test]
    fn of_an_epoll_set_the_descriptors_are_shown_and_not_what_is_kept_with_them() {
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
    fn an_entry_of_an_epoll_set_whose_number_is_anothers_now_is_counted_and_not_named() {
        let root = proc("epoll_pwait", "0x6 0x7ffc");
        let set = |text: &str| fs::write(root.path().join("fdinfo/6"), text).unwrap();
        set("tfd: 4 events: 19 data: 4d  pos:0 ino:4c sdev:9\ntfd: 5 events: 1 data: 0 pos:0 ino:4e sdev:f\n");
        let said = "epoll_pwait(fd 6 = epoll, watching fd 5 = pipe and 1 more)";
        assert_eq!(call(root.path()).as_deref(), Some(said));
        set("tfd: 4 events: 19 data: 4d  pos:0 ino:4c sdev:9\n");
        let said = "epoll_pwait(fd 6 = epoll, watching 1 without a known descriptor)";
        assert_eq!(call(root.path()).as_deref(), Some(said));
    }

    #[test]
    fn a_wait_that_was_resumed_after_a_signal_is_named_as_the_call_it_was() {
        let number = if cfg!(target_arch = "x86_64") { 219 } else { 128 };
        let root = proc("ppoll", "0x10 0x1");
        let line = format!("{number} 0x10 0x1 0x0 0x0 0x0 0x0 0x7f 0x7f\n");
        fs::write(root.path().join("task/7/syscall"), line).unwrap();
        fs::write(root.path().join("mem"), [&[0; 16][..], &5_i32.to_ne_bytes(), &[0; 4]].concat()).unwrap();
        let says = |function: &str, text: &str| {
            fs::write(root.path().join("task/7/wchan"), function).unwrap();
            assert_eq!(call(root.path()).as_deref(), Some(text), "{function}");
        };
        let poll = if cfg!(target_arch = "x86_64") { "poll" } else { "ppoll" };
        says("poll_schedule_timeout.constprop.0", &format!("{poll}(fd 5 = pipe)"));
        says("futex_do_wait", "futex (a lock, condvar or channel)");
        says("hrtimer_nanosleep", "nanosleep (a sleep)");
        for unknown in ["0", "", "something_else"] {
            says(unknown, "restart_syscall (a wait resumed after a signal)");
        }
    }

    #[test]
    fn what_a_descriptor_is_is_told_by_its_link() {
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
    fn files_that_are_cut_anywhere_or_garbage_are_no_reason_to_panic() {
        let root = proc("epoll_pwait", "0x6 0x7ffc");
        for file in ["task/7/syscall", "task/7/wchan", "task/7/stat", "task/7/status", "net/tcp", "fdinfo/6"] {
            let whole = fs::read(root.path().join(file)).unwrap();
            let look = |bytes: &[u8]| {
                fs::write(root.path().join(file), bytes).unwrap();
                let view = ProcSnapshot::of(root.path().to_owned());
                _ = (view.call(7), view.kernel_function(7), view.stat(7).map(|stat| stat.cpu), view.sleeps(7));
            };
            (0..whole.len()).for_each(|end| look(&whole[..end]));
            ["\u{0}\u{ff}", ")", ") S", "€ (€) €", "tfd:", "-1"].into_iter().for_each(|text| look(text.as_bytes()));
            look(b"\xff\xfe");
            look(&whole);
        }
        let view = ProcSnapshot::of(root.path().to_owned());
        assert_eq!(view.sleeps(7), Some(12));
        assert_eq!(view.stat(7).map(|stat| (stat.born, stat.cpu)), Some((4_321, 420)));
    }
}
