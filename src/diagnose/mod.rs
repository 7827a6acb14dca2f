//! Finds out what a thread of this process is blocked in. On Linux the source is `/proc`; on other systems nothing is read
//! or written, and nothing is known.
//!
//! One observation names the system call. The duration of the call takes two observations of the same call: a
//! [`ThreadProbe`] keeps the first observation since the thread last went to sleep.
//!
//! # Identity
//!
//! The kernel reuses numbers: a thread ID after the thread has ended, and a descriptor after it was closed. The code
//! therefore checks that a number still names the same thing:
//!
//! 1. A thread marks its own [`ThreadProbe`] as ended. In addition, the probe compares the start time that the kernel
//!    reports with the start time that it read at first.
//! 2. A descriptor in the arguments of a call stays open while the thread is in that call, because the caller borrows it.
//!    So the description of a descriptor is used only if the call is the same before and after the description was read.
//! 3. An epoll entry keeps the number that its descriptor had when it was added. The entry is used only if the file that
//!    has this number now also has the inode of the entry.
//! 4. A duplicate of a descriptor is used only if the duplicate has the inode that was read.

#![cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "without /proc no thread can be observed"))]

#[cfg(target_os = "linux")]
mod syscalls;
#[cfg(target_os = "linux")]
mod fd_sets;
#[cfg(target_os = "linux")]
mod sockets;
#[cfg(target_os = "linux")]
mod stat;
#[cfg(target_os = "linux")]
mod descriptors;
#[cfg(target_os = "linux")]
mod procfs;
#[cfg(not(target_os = "linux"))]
mod unsupported;
mod wait_kind;
mod pulse;
mod thread;
#[cfg(target_os = "linux")]
mod sample;
#[cfg(feature = "disconnect")]
mod socket_shutdown;

#[cfg(target_os = "linux")]
pub(crate) use procfs::ProcSnapshot;
pub(crate) use pulse::{Pulse, Signs};
#[cfg(target_os = "linux")]
pub(crate) use sample::tidy_thread_name;
#[cfg(feature = "disconnect")]
pub(crate) use socket_shutdown::{Connection, check};
#[cfg(feature = "io")]
pub(crate) use thread::waiting_in_call;
pub(crate) use thread::{ThreadProbe, at_thread_end, set_pulse, show_life, waiting};
#[cfg(not(target_os = "linux"))]
pub(crate) use unsupported::{ProcSnapshot, tidy_thread_name};
pub(crate) use wait_kind::Waits;

/// The description of a thread that is not blocked.
const RUNNING: &str = "running";

/// The description of a sleeping thread whose system call is unknown.
const SLEEPING: &str = "sleeping";

/// The description of a thread that waits outside a system call: for a page of memory, or for a debugger.
const NOT_IN_SYSCALL: &str = "not in a system call";

/// The description of a thread in state `D` whose system call is unknown.
const UNINTERRUPTIBLE: &str = "uninterruptible sleep (D)";

/// Returns the description of a thread as a part of a sentence: `blocked in futex`, but `running` and `waiting for a job`.
pub(crate) fn clause(text: &str) -> String {
    let stands_alone = [RUNNING, SLEEPING, NOT_IN_SYSCALL, "waiting for "].iter().any(|start| text.starts_with(start));
    if stands_alone { text.to_owned() } else { format!("blocked in {text}") }
}

#[cfg(all(test, target_endian = "little", any(target_arch = "x86_64", target_arch = "aarch64"), target_os = "linux"))]
mod tests {
    use super::ProcSnapshot;
    use super::syscalls::CALLS;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn socket_tables_are_read_once_per_snapshot_and_again_after_a_refresh() {
        let root = tempfile::tempdir().unwrap();
        let path = |file: &str| root.path().join(file);
        ["task/7", "fd", "net"].iter().for_each(|folder| fs::create_dir_all(path(folder)).unwrap());
        let read = CALLS.iter().find(|known| known.1 == "read").unwrap().0;
        fs::write(path("task/7/syscall"), format!("{read} 0x4 0x0 0x0 0x0 0x0 0x0 0x7f 0x7f\n")).unwrap();
        let socket = |number: u32| {
            let line = format!("heading\n 0: 0100007F:{number:04X} 0100007F:A5AF 01 0:0 00:0 0 0 0 {number} 1\n");
            fs::write(path("net/tcp"), line).unwrap(); // replaces the previous socket
            _ = fs::remove_file(path("fd/4")); // fails the first time, when there is no link yet
            symlink(format!("socket:[{number}]"), path("fd/4")).unwrap();
        };
        let mut snapshot = ProcSnapshot::of(root.path().to_owned());
        let named = |number| format!("read(fd 4 = tcp 127.0.0.1:{number} -> 127.0.0.1:42415)");
        socket(77);
        assert_eq!(snapshot.call(7).map(|call| call.text), Some(named(77)));
        socket(78);
        assert_eq!(
            snapshot.call(7).map(|call| call.text).as_deref(),
            Some("read(fd 4 = socket)"),
            "the tables were read before this socket existed"
        );
        snapshot.refresh();
        assert_eq!(snapshot.call(7).map(|call| call.text), Some(named(78)));
        fs::remove_file(path("net/tcp")).unwrap();
        snapshot.refresh();
        assert_eq!(snapshot.call(7).map(|call| call.text), Some(named(78)), "the name of a known socket is kept");
    }
}
