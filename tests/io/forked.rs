//! A forked process that shares the descriptor of a stop, or writes to it.

#![cfg(target_os = "linux")]

use crate::support::child::{Child, Program, leave, say};
use crate::support::sockets::{connected, is_stopped};
use crate::support::{asleep_in, in_time};
use hosted::{StopSource, StopToken};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, WaitOptions, waitpid};
use std::ffi::c_int;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Barrier;
use std::time::Duration;
use std::{hint, thread};

pub(crate) const PROGRAMS: &[Program] = &[
    ("a stop in a forked process", a_stop_in_the_forked_process),
    ("a wait in a forked process", a_wait_in_the_forked_process),
];

unsafe extern "C" {
    /// Forks. This is safe here: the forked process is single-threaded, and only waits, requests stops and exits.
    safe fn fork() -> c_int;
    safe fn _exit(code: c_int) -> !;
}

fn is_readable(token: &StopToken) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::from_borrowed_fd(token.fd().unwrap(), PollFlags::IN)], Some(&now)).unwrap() == 1
}

/// What a forked process sees of the token's descriptor.
fn shared(token: &StopToken) -> OwnedFd {
    token.fd().unwrap().try_clone_to_owned().unwrap()
}

fn ring(bell: &OwnedFd) {
    rustix::io::write(bell, &1_u64.to_ne_bytes()).unwrap();
}

#[test]
fn a_readable_descriptor_without_a_stop_ends_no_call_and_the_stop_still_does() {
    let source = StopSource::new();
    let bell = shared(&source.token());
    let calls: [fn(StopToken) -> bool; 2] = [
        |token| {
            let (here, _there) = connected();
            is_stopped(&token.interruptible(here).read(&mut [0]).unwrap_err())
        },
        |token| {
            let (here, _there) = UnixStream::pair().unwrap();
            is_stopped(&token.wait_readable(&here, None).unwrap_err())
        },
    ];
    let waiting = calls.map(|call| {
        let token = source.token();
        asleep_in(move || call(token))
    });
    for _ in 0..10 {
        ring(&bell);
        waiting.iter().for_each(|call| call.fall_asleep());
        assert!(waiting.iter().all(|call| call.result_so_far().is_none()));
        let token = source.token();
        in_time(move || while is_readable(&token) {}); // clears the descriptor, so that no thread spins
    }
    source.request_stop();
    assert!(waiting.iter().all(|call| call.result()));
    assert!(is_readable(&source.token()));
}

#[test]
fn a_readable_descriptor_without_a_stop_hides_no_data() {
    let (here, mut there) = UnixStream::pair().unwrap();
    let token = StopSource::new().token();
    ring(&shared(&token));
    there.write_all(&[7]).unwrap();
    assert!(token.wait_readable(&here, None).unwrap());
    ring(&shared(&token));
    assert!(token.wait_readable(&here, Duration::ZERO).unwrap());
}

#[test]
fn no_stop_is_lost_in_1000_races_with_another_process() {
    in_time(|| {
        for round in 0..1_000 {
            let (source, start) = (StopSource::new(), Barrier::new(4));
            let bell = shared(&source.token());
            let (here, _there) = UnixStream::pair().unwrap();
            let wait = || {
                let token = source.token();
                start.wait();
                is_stopped(&token.wait_readable(&here, None).unwrap_err())
            };
            thread::scope(|scope| {
                let waiting = [scope.spawn(wait), scope.spawn(wait)];
                scope.spawn(|| {
                    start.wait();
                    (0..20).for_each(|_| ring(&bell));
                });
                start.wait();
                (0..50 * (round % 200)).for_each(|_| hint::spin_loop());
                source.request_stop();
                assert!(waiting.into_iter().all(|wait| wait.join().unwrap()));
            });
        }
    });
}

#[test]
fn a_stop_in_a_forked_process_stops_nothing_in_its_parent() {
    let program = Child::play("a stop in a forked process");
    program.says("not stopped");
    assert_eq!(program.ends(), (0, String::new()));
}

fn a_stop_in_the_forked_process() {
    say("ready");
    let source = StopSource::new();
    let (token, (here, _there)) = (source.token(), UnixStream::pair().unwrap());
    token.fd().unwrap();
    let forked = fork();
    if forked == 0 {
        source.request_stop();
        _exit(if is_stopped(&token.wait_readable(&here, None).unwrap_err()) { 0 } else { 1 });
    }
    assert_eq!(exit_code(forked), Some(0));
    assert!(is_readable(&token), "the forked process has signalled");
    assert!(!token.wait_readable(&here, Duration::ZERO).unwrap());
    assert!(!is_readable(&token));
    say("not stopped");
    leave(ExitCode::SUCCESS)
}

#[test]
fn a_wait_in_a_forked_process_hides_no_stop_from_its_parent() {
    let program = Child::play("a wait in a forked process");
    program.says("stopped in both");
    assert_eq!(program.ends(), (0, String::new()));
}

fn a_wait_in_the_forked_process() {
    say("ready");
    let source = StopSource::new();
    let (token, (mut here, there)) = (source.token(), UnixStream::pair().unwrap());
    token.fd().unwrap();
    source.request_stop_after(Duration::MAX); // creates the lock of the timer, which no thread holds at the fork
    let forked = fork();
    if forked == 0 {
        // The stop of the other process does not count here. This waits for the byte.
        let waited = token.wait_readable(&there, None).is_ok();
        let still_waits = !token.wait_readable(&connected().0, Duration::ZERO).unwrap();
        source.request_stop();
        let stopped = is_readable(&token) && is_stopped(&token.wait_readable(&there, None).unwrap_err());
        _exit(if waited && still_waits && stopped { 0 } else { 1 });
    }
    source.request_stop(); // signals both processes
    here.write_all(b"x").unwrap();
    assert_eq!(exit_code(forked), Some(0));
    assert!(is_readable(&token), "the descriptor stays readable");
    say("stopped in both");
    leave(ExitCode::SUCCESS)
}

fn exit_code(forked: c_int) -> Option<i32> {
    let forked = Pid::from_raw(forked).unwrap();
    let waited = asleep_in(move || waitpid(Some(forked), WaitOptions::empty()).unwrap().unwrap().1);
    waited.result().exit_status()
}
