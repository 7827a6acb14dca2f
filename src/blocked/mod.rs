//! What a thread of this process is blocked in, read from `/proc`. Elsewhere, and where it is unreadable: nothing.
//!
//! One look tells the call. How long it has lasted takes two: a thread remembers the first of those between which it
//! has not gone to sleep anew.

mod calls;
mod sets;
mod sockets;
mod view;
#[cfg(feature = "disconnect")]
mod disconnect;

#[cfg(feature = "disconnect")]
pub(crate) use disconnect::{Connection, check};
pub(crate) use view::View;

use crate::line::Seconds;
use crate::sync::{Arc, Mutex, now};
use std::fmt;
use std::time::{Duration, Instant};
use view::RUNNING;

/// A thread of this process, for others to look at.
#[derive(Clone)]
pub(crate) struct Thread {
    /// As the kernel numbers it.
    number: u32,
    memory: Arc<Mutex<Memory>>,
}

/// What is remembered of a thread from one look to the next.
#[derive(Default)]
struct Memory {
    /// The first look that was like the latest.
    first: Option<Look>,
    /// The latest sleep whose sockets were shut down.
    #[cfg(feature = "disconnect")]
    shut_in: Option<disconnect::Sleep>,
}

/// That a thread was in a sleep, or in a run from one sleep to the next.
#[derive(Clone, Copy)]
struct Look {
    at: Instant,
    running: bool,
    /// Which sleep, or after which.
    sleeps: u64,
    /// How long it had used a processor, in milliseconds.
    cpu: u64,
}

/// Looks closer together than this say nothing of a time, and too little of the use of a processor.
const APART: Duration = Duration::from_millis(250);

impl Thread {
    /// The calling thread.
    pub(crate) fn this() -> Option<Self> {
        let link = std::fs::read_link("/proc/thread-self").ok()?;
        Some(Thread::number(link.file_name()?.to_str()?.parse().ok()?))
    }

    fn number(number: u32) -> Self {
        Thread { number, memory: Arc::default() }
    }

    /// What the thread sits in, for a person: `recvfrom(fd 4 = tcp 127.0.0.1:44432 -> 127.0.0.1:42415)`,
    /// `futex (a lock, condvar or channel) for at least 8.99 s`, `running, 100 % CPU for at least 8.99 s`.
    ///
    /// Reads files: not under a lock.
    pub(crate) fn blocked_in(&self, view: &View) -> Option<String> {
        let (from, before) = (now(), view.work(self.number));
        let call = view.call(self.number)?;
        // With a sleep between the two, nobody knows whether the call was before or after it.
        let same = |work: &view::Work| before.as_ref().is_some_and(|before| before.sleeps == work.sleeps);
        let Some(work) = view.work(self.number).filter(same) else { return Some(call) };
        let look = Look { at: now(), running: call == RUNNING, sleeps: work.sleeps, cpu: work.cpu };
        let first = self.first_like(look);
        let time = from.saturating_duration_since(first.at);
        if time < APART {
            return Some(call);
        }
        let used = u128::from(look.cpu.saturating_sub(first.cpu)) * 100 / time.as_millis();
        let cpu = if look.running { format!(", {} % CPU", used.min(100)) } else { String::new() };
        Some(format!("{call}{cpu} for at least {}", Seconds(time)))
    }

    /// The first look at what this is a look at: the same sleep, or the same run.
    fn first_like(&self, look: Look) -> Look {
        let mut memory = self.memory.lock();
        let known = memory.first.filter(|known| (known.running, known.sleeps) == (look.running, look.sleeps));
        *memory.first.insert(known.unwrap_or(look))
    }
}

impl fmt::Display for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number)
    }
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thread({})", self.number)
    }
}

/// A thread's text as a part of a sentence: `blocked in futex`, but `running`.
pub(crate) fn clause(text: &str) -> String {
    if text.starts_with(RUNNING) { text.to_owned() } else { format!("blocked in {text}") }
}

/// The kernel keeps 15 bytes of a thread's name, and may cut a letter in two.
const KERNEL_NAME: usize = 15;

/// Gives the calling thread's kernel name a clean end, where 15 bytes would end inside a letter.
pub(crate) fn tidy_thread_name(name: &str) {
    if name.is_char_boundary(KERNEL_NAME.min(name.len())) {
        return;
    }
    let end = (0..KERNEL_NAME).rev().find(|&end| name.is_char_boundary(end)).unwrap_or(0);
    // A nicety for whoever looks at `top -H`: where it cannot be written, the cut letter stays.
    _ = std::fs::write("/proc/thread-self/comm", &name[..end]);
}

#[cfg(all(test, target_endian = "little", any(target_arch = "x86_64", target_arch = "aarch64"), unix))]
mod tests {
    use super::View;
    use super::calls::CALLS;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_socket_is_looked_up_once_and_a_new_one_in_the_next_round() {
        let root = tempfile::tempdir().unwrap();
        let path = |file: &str| root.path().join(file);
        ["task/7", "fd", "net"].iter().for_each(|folder| fs::create_dir_all(path(folder)).unwrap());
        let read = CALLS.iter().find(|known| known.1 == "read").unwrap().0;
        fs::write(path("task/7/syscall"), format!("{read} 0x4 0x0 0x0 0x0 0x0 0x0 0x7f 0x7f\n")).unwrap();
        let socket = |number: u32| {
            let line = format!("heading\n 0: 0100007F:{number:04X} 0100007F:A5AF 01 0:0 00:0 0 0 0 {number} 1\n");
            fs::write(path("net/tcp"), line).unwrap(); // and so no other one
            _ = fs::remove_file(path("fd/4")); // the first time there is none
            symlink(format!("socket:[{number}]"), path("fd/4")).unwrap();
        };
        let mut view = View::of(root.path().to_owned());
        let named = |number| format!("read(fd 4 = tcp 127.0.0.1:{number} -> 127.0.0.1:42415)");
        socket(77);
        assert_eq!(view.call(7), Some(named(77)));
        socket(78);
        assert_eq!(view.call(7).as_deref(), Some("read(fd 4 = socket)"), "the tables are of this round");
        view.again();
        assert_eq!(view.call(7), Some(named(78)));
        fs::remove_file(path("net/tcp")).unwrap();
        view.again();
        assert_eq!(view.call(7), Some(named(78)), "it has been named before");
    }
}
