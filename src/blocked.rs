//! What a thread of this process is blocked in, read from `/proc`. Elsewhere, and where it is unreadable: nothing.

/// A thread, as the kernel numbers it.
pub(crate) type Tid = u32;

/// The number of the calling thread.
pub(crate) fn this_thread() -> Option<Tid> {
    let link = std::fs::read_link("/proc/thread-self").ok()?;
    link.file_name()?.to_str()?.parse().ok()
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

/// What the thread sits in, for a person: `recvfrom (fd 4)`, `futex (a lock, condvar or channel)`, `running`.
pub(crate) fn blocked_in(thread: Tid) -> Option<String> {
    let file = |name: &str| std::fs::read_to_string(format!("/proc/self/task/{thread}/{name}")).ok();
    match file("syscall") {
        Some(line) => system_call(line.trim()),
        // Unreadable in some sandboxes: the kernel function it waits in says about as much.
        None => file("wchan").map(|name| name.trim().to_owned()).filter(|name| !name.is_empty() && name != "0"),
    }
}

/// Reads a line of `/proc/…/syscall`: `running`, or the call's number, its arguments in hex, and two pointers.
fn system_call(line: &str) -> Option<String> {
    let mut words = line.split(' ');
    let number = match words.next()? {
        "running" => return Some("running, not blocked".to_owned()),
        "-1" => return Some("blocked, but not in a system call".to_owned()),
        number => number.parse::<u32>().ok()?,
    };
    let Some(&(_, name, about)) = CALLS.iter().find(|call| call.0 == number) else {
        return Some(format!("system call {number}"));
    };
    Some(match about {
        About::Fd => {
            let fd = words.next().and_then(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok());
            // The kernel shows the whole register; a descriptor is its lower half.
            fd.map_or_else(|| name.to_owned(), |fd| format!("{name} (fd {})", fd as u32))
        }
        About::Is(what) => format!("{name} ({what})"),
        About::Nothing => name.to_owned(),
    })
}

/// What there is to say about a call beyond its name.
#[derive(Clone, Copy)]
#[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), allow(dead_code))]
enum About {
    /// Its first argument is a descriptor.
    Fd,
    Is(&'static str),
    Nothing,
}

use About::{Fd, Is, Nothing};

const LOCK: About = Is("a lock, condvar or channel");
const SLEEP: About = Is("a sleep");
const CHILD: About = Is("a child process");

/// The calls that block, by number. The numbers of an architecture never change.
#[cfg(target_arch = "x86_64")]
const CALLS: &[(u32, &str, About)] = &[
    (0, "read", Fd),
    (1, "write", Fd),
    (7, "poll", Nothing),
    (17, "pread64", Fd),
    (18, "pwrite64", Fd),
    (19, "readv", Fd),
    (20, "writev", Fd),
    (23, "select", Nothing),
    (34, "pause", Nothing),
    (35, "nanosleep", SLEEP),
    (42, "connect", Fd),
    (43, "accept", Fd),
    (44, "sendto", Fd),
    (45, "recvfrom", Fd),
    (46, "sendmsg", Fd),
    (47, "recvmsg", Fd),
    (61, "wait4", CHILD),
    (72, "fcntl", Fd),
    (73, "flock", Fd),
    (74, "fsync", Fd),
    (75, "fdatasync", Fd),
    (2, "open", Nothing),
    (128, "rt_sigtimedwait", Is("a signal")),
    (130, "rt_sigsuspend", Is("a signal")),
    (202, "futex", LOCK),
    (230, "clock_nanosleep", SLEEP),
    (232, "epoll_wait", Fd),
    (247, "waitid", CHILD),
    (257, "openat", Nothing),
    (270, "pselect6", Nothing),
    (271, "ppoll", Nothing),
    (281, "epoll_pwait", Fd),
    (288, "accept4", Fd),
    (299, "recvmmsg", Fd),
    (426, "io_uring_enter", Fd),
    (441, "epoll_pwait2", Fd),
];

/// The calls that block, by number. The numbers of an architecture never change.
#[cfg(target_arch = "aarch64")]
const CALLS: &[(u32, &str, About)] = &[
    (22, "epoll_pwait", Fd),
    (25, "fcntl", Fd),
    (32, "flock", Fd),
    (56, "openat", Nothing),
    (63, "read", Fd),
    (64, "write", Fd),
    (65, "readv", Fd),
    (66, "writev", Fd),
    (67, "pread64", Fd),
    (68, "pwrite64", Fd),
    (72, "pselect6", Nothing),
    (73, "ppoll", Nothing),
    (82, "fsync", Fd),
    (83, "fdatasync", Fd),
    (95, "waitid", CHILD),
    (98, "futex", LOCK),
    (101, "nanosleep", SLEEP),
    (115, "clock_nanosleep", SLEEP),
    (133, "rt_sigsuspend", Is("a signal")),
    (137, "rt_sigtimedwait", Is("a signal")),
    (202, "accept", Fd),
    (203, "connect", Fd),
    (206, "sendto", Fd),
    (207, "recvfrom", Fd),
    (211, "sendmsg", Fd),
    (212, "recvmsg", Fd),
    (242, "accept4", Fd),
    (243, "recvmmsg", Fd),
    (260, "wait4", CHILD),
    (426, "io_uring_enter", Fd),
    (441, "epoll_pwait2", Fd),
];

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const CALLS: &[(u32, &str, About)] = &[];

#[cfg(test)]
mod tests {
    use super::system_call;

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn a_line_of_proc_is_read_whatever_it_holds() {
        let said = |line: &str| system_call(line).unwrap_or_default();
        assert_eq!(said("running"), "running, not blocked");
        assert_eq!(said("-1 0x7ffc 0x7f"), "blocked, but not in a system call");
        assert_eq!(said("45 0x4 0x7ffc 0x1 0x0 0x0 0x0 0x7f 0x7f"), "recvfrom (fd 4)");
        assert_eq!(said("202 0x55 0x80 0x0 0x0 0x0 0x0 0x7f 0x7f"), "futex (a lock, condvar or channel)");
        assert_eq!(said("7 0x1"), "poll");
        assert_eq!(said("9999 0x1"), "system call 9999");
        assert_eq!(said("0"), "read");
        assert_eq!(said("garbage"), "");
        assert_eq!(said(""), "");
    }
}
