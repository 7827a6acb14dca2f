//! The numbers of the system calls that block, and the parser of `/proc/…/syscall`.

/// What the arguments of a call say about the wait.
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), allow(dead_code))]
pub(super) enum ArgKind {
    /// The first argument is a descriptor.
    Fd,
    /// The first argument is an epoll descriptor.
    Epoll,
    /// The first argument is the address of a poll set, and the second is its length.
    Poll,
    /// The arguments are not used. The call waits for this kind of thing.
    Is(&'static str),
    /// The arguments are not used.
    Nothing,
}

/// A parsed line of `/proc/…/syscall`.
#[derive(PartialEq, Debug)]
pub(super) enum SyscallState {
    Running,
    /// The thread waits, but not in a system call: for a page of memory, or for a debugger.
    NoCall,
    /// A call of the table [`CALLS`]: its name, the kind of its arguments, and the first two arguments.
    Known(&'static str, ArgKind, [u64; 2]),
    /// A wait that the kernel resumed after a signal, for instance after SIGSTOP and SIGCONT. The arguments are those of
    /// the original call. Only the kernel function shows which call it was: see [`resumed`].
    Resumed([u64; 2]),
    /// The number of a call that is not in the table.
    Other(u32),
}

/// Parses `running`, or the number of a call, its arguments in hexadecimal, and two pointers.
pub(super) fn parse(line: &str) -> Option<SyscallState> {
    let mut words = line.split_ascii_whitespace();
    let number = match words.next()? {
        "running" => return Some(SyscallState::Running),
        "-1" => return Some(SyscallState::NoCall),
        number => number.parse::<u32>().ok()?,
    };
    let mut argument = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
    let arguments = argument().zip(argument());
    if Some(number) == RESTART_SYSCALL {
        return Some(SyscallState::Resumed(arguments.map_or([0, 0], |(first, second)| [first, second])));
    }
    let Some(&(_, name, kind)) = CALLS.iter().find(|call| call.0 == number) else {
        return Some(SyscallState::Other(number));
    };
    Some(match arguments {
        Some((first, second)) => SyscallState::Known(name, kind, [first, second]),
        // The line is truncated. `Is` does not need the arguments, and the other kinds become `Nothing`.
        None if matches!(kind, Is(_)) => SyscallState::Known(name, kind, [0, 0]),
        None => SyscallState::Known(name, Nothing, [0, 0]),
    })
}

/// Returns the call that the kernel resumed, by the kernel function that the thread waits in. Returns `None` if the table
/// [`RESUMED`] does not have the function.
pub(super) fn resumed(function: &str, arguments: [u64; 2]) -> Option<SyscallState> {
    let (_, names) = RESUMED.iter().find(|(prefix, _)| function.starts_with(prefix))?;
    let known = |name: &&str| CALLS.iter().find(|call| call.1 == *name);
    names.iter().find_map(known).map(|&(_, name, kind)| SyscallState::Known(name, kind, arguments))
}

/// The kernel functions in which a resumed call waits, and the possible names of the call. A function is given by its
/// prefix, because the compiler may add a suffix. The first name that the architecture has is used: an architecture
/// without `poll` has `ppoll`.
const RESUMED: &[(&str, &[&str])] = &[
    ("poll_schedule_timeout", &["poll", "ppoll"]),
    ("do_sys_poll", &["poll", "ppoll"]),
    ("do_restart_poll", &["poll", "ppoll"]),
    ("futex_", &["futex"]),
    ("__futex_", &["futex"]),
    ("hrtimer_nanosleep", &["nanosleep"]),
    ("do_nanosleep", &["nanosleep"]),
    ("alarm_timer_nsleep", &["clock_nanosleep"]),
    ("alarmtimer_do_nsleep", &["clock_nanosleep"]),
    ("ep_poll", &["epoll_wait", "epoll_pwait"]),
    ("do_epoll_wait", &["epoll_wait", "epoll_pwait"]),
];

use ArgKind::{Epoll, Fd, Is, Nothing, Poll};

const LOCK: ArgKind = Is("a lock, condvar or channel");
const SLEEP: ArgKind = Is("a sleep");
const CHILD: ArgKind = Is("a child process");

/// The number of `restart_syscall`, under which the kernel shows a resumed wait.
const RESTART_SYSCALL: Option<u32> = if cfg!(target_arch = "x86_64") {
    Some(219)
} else if cfg!(target_arch = "aarch64") {
    Some(128)
} else {
    None
};

/// The calls that block, by number. The numbers of an architecture never change.
#[cfg(target_arch = "x86_64")]
pub(super) const CALLS: &[(u32, &str, ArgKind)] = &[
    (0, "read", Fd),
    (1, "write", Fd),
    (7, "poll", Poll),
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
    (232, "epoll_wait", Epoll),
    (247, "waitid", CHILD),
    (257, "openat", Nothing),
    (270, "pselect6", Nothing),
    (271, "ppoll", Poll),
    (281, "epoll_pwait", Epoll),
    (288, "accept4", Fd),
    (299, "recvmmsg", Fd),
    (426, "io_uring_enter", Fd),
    (441, "epoll_pwait2", Epoll),
];

/// The calls that block, by number. The numbers of an architecture never change.
#[cfg(target_arch = "aarch64")]
pub(super) const CALLS: &[(u32, &str, ArgKind)] = &[
    (22, "epoll_pwait", Epoll),
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
    (73, "ppoll", Poll),
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
    (441, "epoll_pwait2", Epoll),
];

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) const CALLS: &[(u32, &str, ArgKind)] = &[];

#[cfg(test)]
mod tests {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    use super::resumed;
    use super::{ArgKind, CALLS, SyscallState, parse};

    #[test]
    fn parse_accepts_any_line_and_returns_none_for_an_invalid_one() {
        assert_eq!(parse("running"), Some(SyscallState::Running));
        assert_eq!(parse("-1 0x7ffc 0x7f"), Some(SyscallState::NoCall));
        assert_eq!(parse("9999 0x1"), Some(SyscallState::Other(9_999)));
        for text in ["", " ", "garbage", "-2 0x1", "99999999999", "0x2d 0x4"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn every_call_is_parsed_with_its_arguments_and_a_truncated_line_still_gives_the_name() {
        for &(number, name, kind) in CALLS {
            let whole = format!("{number} 0x4 0x7ffc 0x1 0x0 0x0 0x0 0x7f 0x7f\n");
            assert_eq!(parse(&whole), Some(SyscallState::Known(name, kind, [0x4, 0x7ffc])));
            for cut in ["", " ", " 0x", " 0x4", " 0x4 0x", " garbage 0x1", " 0x4 7", " 0xfffffffffffffffff 0x1"] {
                let Some(SyscallState::Known(parsed, parsed_kind, [0, 0])) = parse(&format!("{number}{cut}")) else {
                    panic!("{cut}")
                };
                let expected = if matches!(kind, ArgKind::Is(_)) { kind } else { ArgKind::Nothing };
                assert_eq!((parsed, parsed_kind), (name, expected), "{cut}");
            }
        }
    }

    #[test]
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    fn a_resumed_call_is_recognised_by_the_kernel_function_that_it_waits_in() {
        let number = super::RESTART_SYSCALL.unwrap();
        let arguments = [0x7ffc, 0x2];
        assert_eq!(parse(&format!("{number} 0x7ffc 0x2 0x1")), Some(SyscallState::Resumed(arguments)));
        assert_eq!(parse(&number.to_string()), Some(SyscallState::Resumed([0, 0])));
        let name = |function: &str| match resumed(function, arguments) {
            Some(SyscallState::Known(name, _, read)) if read == arguments => name,
            None => "unknown",
            other => panic!("{other:?}"),
        };
        let has = |name: &str| CALLS.iter().any(|call| call.1 == name);
        assert_eq!(name("poll_schedule_timeout.constprop.0"), if has("poll") { "poll" } else { "ppoll" });
        assert_eq!(name("futex_wait_queue_me"), "futex");
        assert_eq!(name("futex_do_wait"), "futex");
        assert_eq!(name("hrtimer_nanosleep"), "nanosleep");
        for function in ["", "0", "wait_woken", "do_signal_stop"] {
            assert_eq!(name(function), "unknown", "{function:?}");
        }
        for (function, _) in super::RESUMED {
            assert_ne!(name(function), "unknown", "the table of calls must have the call of {function}");
        }
    }

    #[test]
    fn the_table_of_calls_has_no_duplicates() {
        for (at, call) in CALLS.iter().enumerate() {
            assert!(!CALLS[..at].iter().any(|other| other.0 == call.0 || other.1 == call.1), "{}", call.1);
        }
    }
}
