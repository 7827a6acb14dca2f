//! A look at this process through `/proc/self`: what its threads sit in, and what its descriptors are.

use super::calls::{About, Line, parse};
use super::sets::{polled, watched};
use super::sockets::Sockets;
use crate::line::Plain;
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

/// What a thread is said to be in that is not blocked.
pub(super) const RUNNING: &str = "running";

/// More than so many descriptors of a set nobody reads on a line; the others are counted.
const NAMED: usize = 8;

/// A round of looks, and then another: the tables of sockets are long, and read once for all of it.
pub(crate) struct View {
    /// `/proc/self`, but in tests.
    pub(super) root: PathBuf,
    /// Sockets, by their numbers, that need not be looked up, or have been.
    pub(super) known: RefCell<HashMap<u64, String>>,
    sockets: OnceCell<Sockets>,
}

/// What a thread has done until now.
pub(super) struct Work {
    /// How often it has gone to sleep.
    pub(super) sleeps: u64,
    /// For how long it has used a processor, in milliseconds.
    pub(super) cpu: u64,
}

impl View {
    pub(crate) fn new() -> Self {
        View::of("/proc/self".into())
    }

    pub(super) fn of(root: PathBuf) -> Self {
        View { root, known: RefCell::default(), sockets: OnceCell::new() }
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
        fs::read_to_string(self.root.join(file)).ok()
    }

    /// What a thread sits in, or `RUNNING`.
    pub(super) fn call(&self, thread: u32) -> Option<String> {
        let file = format!("task/{thread}/syscall");
        // Unreadable in some sandboxes, and where the process is not dumpable.
        let Some((line, call)) = self.read(&file).and_then(|line| parse(&line).map(|call| (line, call))) else {
            return self.kernel_function(thread);
        };
        Some(match call {
            Line::Running => RUNNING.to_owned(),
            Line::NoCall => "something that is no system call".to_owned(),
            Line::Other(number) => format!("system call {number}"),
            Line::Known(name, About::Nothing, _) => name.to_owned(),
            Line::Known(name, About::Is(what), _) => format!("{name} ({what})"),
            // The kernel shows the whole register; a descriptor is its lower half.
            Line::Known(name, About::Fd, [fd, _]) => format!("{name}({})", self.descriptor(fd as u32)),
            Line::Known(name, About::Epoll, [fd, _]) => {
                format!("{name}({}{})", self.descriptor(fd as u32), self.watched(fd as u32))
            }
            Line::Known(name, About::Poll, [_, 0]) => format!("{name} (a sleep)"),
            Line::Known(name, About::Poll, [at, length]) => {
                // Once the thread has gone on, what was read of its memory may be no poll set.
                let set = self.poll_set(at, length).filter(|_| self.read(&file).as_ref() == Some(&line));
                set.map_or_else(|| name.to_owned(), |set| format!("{name}({set})"))
            }
        })
    }

    /// The kernel function that a thread waits in says about as much as its call; its state, a little.
    fn kernel_function(&self, thread: u32) -> Option<String> {
        let name = self.read(&format!("task/{thread}/wchan")).unwrap_or_default();
        if !matches!(name.trim(), "" | "0") {
            return Some(Plain(name.trim()).to_string());
        }
        let text = match stat(&self.read(&format!("task/{thread}/stat"))?, 3)? {
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

    pub(super) fn work(&self, thread: u32) -> Option<Work> {
        let sleeps = self.sleeps(thread)?;
        let stat_line = self.read(&format!("task/{thread}/stat"))?;
        let ticks = |field| stat(&stat_line, field)?.parse::<u64>().ok();
        // In `/proc` a tick is 10 ms, whatever the kernel's own is.
        let cpu = ticks(14)?.saturating_add(ticks(15)?).saturating_mul(10);
        Some(Work { sleeps, cpu })
    }

    /// `fd 4 = tcp 127.0.0.1:44432 -> 127.0.0.1:42415`; where it cannot be said what it is, `fd 4`.
    fn descriptor(&self, fd: u32) -> String {
        self.open(fd).unwrap_or_else(|| format!("fd {fd}"))
    }

    /// The same, if there is a descriptor of that number.
    fn open(&self, fd: u32) -> Option<String> {
        let link = fs::read_link(self.root.join(format!("fd/{fd}"))).ok()?;
        Some(format!("fd {fd} = {}", Plain(&self.target(&link.to_string_lossy()))))
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
    fn watched(&self, epoll: u32) -> String {
        let fds = watched(&self.root, epoll);
        let named = fds.iter().take(NAMED).map(|&fd| self.descriptor(fd)).collect();
        list(named, fds.len()).map(|set| format!(", watching {set}")).unwrap_or_default()
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

/// A field of a thread's `stat`, by its number in `man 5 proc`. The second, in parentheses, may have spaces in it.
fn stat(line: &str, field: usize) -> Option<&str> {
    line[line.rfind(')')? + 1..].split_ascii_whitespace().nth(field - 3)
}

#[cfg(all(test, target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod tests {
    use super::super::calls::CALLS;
    use super::View;
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
            ("task/7/stat", "7 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 30 12 0 0"),
            ("task/7/status", "Name:\ta\nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t3\n"),
            ("net/tcp", if cfg!(target_endian = "little") { tcp } else { "" }),
            ("fdinfo/6", "pos:\t0\nflags:\t02\ntfd:        4 events:       19 data:      5ec2e7\ntfd: 5 events: 1\n"),
        ] {
            fs::write(root.path().join(file), text).unwrap();
        }
        for (fd, target) in [("4", "socket:[77]"), ("5", "pipe:[78]"), ("6", "anon_inode:[eventpoll]")] {
            symlink(target, root.path().join("fd").join(fd)).unwrap();
        }
        root
    }

    fn call(root: &Path) -> Option<String> {
        View::of(root.to_owned()).call(7)
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
        let many = (0..20).map(|fd| format!("tfd: {fd} events: 1\n")).collect::<String>();
        fs::write(root.path().join("fdinfo/6"), many).unwrap();
        assert!(call(root.path()).unwrap().ends_with(", fd 7 and 12 more)"));
        fs::write(root.path().join("fdinfo/6"), "tfd:\ntfd: x\ngarbage").unwrap();
        assert_eq!(call(root.path()).as_deref(), Some("epoll_pwait(fd 6 = epoll)"));
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
                let view = View::of(root.path().to_owned());
                _ = (view.call(7), view.kernel_function(7), view.work(7).map(|work| work.cpu));
            };
            (0..whole.len()).for_each(|end| look(&whole[..end]));
            ["\u{0}\u{ff}", ")", ") S", "€ (€) €", "tfd:", "-1"].into_iter().for_each(|text| look(text.as_bytes()));
            look(b"\xff\xfe");
            look(&whole);
        }
        assert_eq!(View::of(root.path().to_owned()).work(7).map(|work| (work.sleeps, work.cpu)), Some((12, 420)));
    }
}
