//! What a thread of this process is blocked in: from `/proc`, on Linux. Elsewhere nothing is read or written.
//!
//! One sample names the call. How long the call has lasted takes two samples: a thread remembers the first of those
//! between which it has not gone to sleep anew.
//!
//! # Identity
//!
//! Numbers are reused: that of a thread after its end, that of a descriptor after its close. So a number is never taken
//! for the thing that it named earlier:
//!
//! 1. A [`ThreadProbe`] is told by its own thread that it ends, and compares the start time that the kernel knows with the
//!    one read at its birth.
//! 2. The descriptor in the arguments of a call is what the call waits on while the thread stays in that call: the caller
//!    borrows it. So a descriptor's name counts only if the call is the same before and after the name was read.
//! 3. An entry of an epoll set keeps the number that its descriptor had when it was added. It counts only if the file that
//!    has the number now has the inode of the entry.
//! 4. A duplicate of a descriptor is used only if its own inode is the one that was read.

#![cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "without /proc there is no thread to look at"))]

#[cfg(target_os = "linux")]
mod syscalls;
#[cfg(target_os = "linux")]
mod fd_sets;
#[cfg(target_os = "linux")]
mod sockets;
#[cfg(target_os = "linux")]
mod stat;
#[cfg(target_os = "linux")]
mod procfs;
#[cfg(not(target_os = "linux"))]
mod unsupported;
mod wait_kind;
mod thread;
#[cfg(target_os = "linux")]
mod sample;
#[cfg(feature = "disconnect")]
mod socket_shutdown;

#[cfg(target_os = "linux")]
pub(crate) use procfs::ProcSnapshot;
#[cfg(target_os = "linux")]
pub(crate) use sample::tidy_thread_name;
#[cfg(feature = "disconnect")]
pub(crate) use socket_shutdown::{Connection, check};
pub(crate) use thread::{ThreadProbe, at_thread_end, waiting};
#[cfg(not(target_os = "linux"))]
pub(crate) use unsupported::{ProcSnapshot, tidy_thread_name};
pub(crate) use wait_kind::Waits;

/// The text for a thread that is not blocked.
const RUNNING: &str = "running";

/// A thread's text as a part of a sentence: `blocked in futex`, but `running` and `waiting for a job`.
pub(crate) fn clause(text: &str) -> String {
    let is_clause = [RUNNING, "sleeping", "waiting for "].iter().any(|begin| text.starts_with(begin));
    if is_clause { text.to_owned() } else { format!("blocked in {text}") }
}

#[cfg(all(test, target_endian = "little", any(target_arch = "x86_64", target_arch = "aarch64"), target_os = "linux"))]
mod tests {
    use super::ProcSnapshot;
    use super::syscalls::CALLS;
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
        let mut view = ProcSnapshot::of(root.path().to_owned());
        let named = |number| format!("read(fd 4 = tcp 127.0.0.1:{number} -> 127.0.0.1:42415)");
        socket(77);
        assert_eq!(view.call(7).map(|call| call.text), Some(named(77)));
        socket(78);
        assert_eq!(
            view.call(7).map(|call| call.text).as_deref(),
            Some("read(fd 4 = socket)"),
            "the tables are of this round"
        );
        view.again();
        assert_eq!(view.call(7).map(|call| call.text), Some(named(78)));
        fs::remove_file(path("net/tcp")).unwrap();
        view.again();
        assert_eq!(view.call(7).map(|call| call.text), Some(named(78)), "it has been named before");
    }
}
