//! Guarantees 59, 60, 64 and 77: many signals, several kinds at once, signals to one thread, and signals during the
//! exit.
#![cfg(target_os = "linux")]

use crate::support::LIMIT;
use crate::support::child::programs::{Server, graceful};
use crate::support::child::{Child, Program, leave, say};
use hosted::{Context, Host, worker};
use std::ffi::c_int;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

unsafe extern "C" {
    /// Sends a signal to the calling thread.
    safe fn raise(signal: c_int) -> c_int;
    /// Registers a function that the exit of the process calls.
    safe fn atexit(then: extern "C" fn()) -> c_int;
}

const KINDS: [(&str, c_int); 3] = [("HUP", 1), ("INT", 2), ("TERM", 15)];

pub(crate) const PROGRAMS: &[Program] = &[
    ("installing", installing),
    ("exiting", exiting),
    ("HUP to a thread", || to_a_thread(1)),
    ("INT to a thread", || to_a_thread(2)),
    ("TERM to a thread", || to_a_thread(15)),
];

/// 200 signals, with only system calls between them.
fn at_once(signal: &str) -> String {
    format!("kill -s {signal} $(yes $1 | head -n 200)")
}

/// 200 signals, each from another process, side by side.
fn side_by_side(signal: &str) -> String {
    format!("for _ in $(seq 200); do (kill -s {signal} $1) & done; wait")
}

/// Asserts that a process with many signals stopped gracefully or exited at the second signal. Returns `Some` for the
/// second.
fn ends_by_many(child: Child, during: &str) -> i32 {
    let (code, said, complaints) = child.ends_saying();
    let end = (code, said.last().map(String::as_str));
    let well = matches!(end, (7, Some("after run: Signal")) | (130, _));
    assert!(well && complaints.is_empty(), "{during}: {code}, {said:?}, {complaints}");
    code
}

/// Prints the counts for a reader who uses `--nocapture`.
fn sender(what: &str, codes: &[i32]) {
    let second = codes.iter().filter(|code| **code == 130).count();
    eprintln!("{what}: of {} processes {second} ended with 130, the others gracefully", codes.len());
}

// 59, 60
#[test]
fn a_burst_of_200_signals_ends_a_process_gracefully_or_with_130() {
    for (how, burst) in [("at once", at_once as fn(&str) -> String), ("side by side", side_by_side)] {
        let ends = KINDS.map(|(signal, _)| {
            let child = Child::play("graceful");
            child.suffers(&burst(signal));
            ends_by_many(child, how)
        });
        sender(&format!("200 signals {how}"), &ends);
    }
}

// 60
#[test]
fn a_burst_of_200_signals_during_the_stop_ends_the_process_with_130() {
    for (signal, _) in KINDS {
        let child = Child::play("stuck");
        child.signal(signal);
        child.says("stop requested");
        child.suffers(&at_once(signal));
        assert_eq!(child.ends(), (130, String::new()), "{signal}");
    }
}

/// Is ready before there is a handler.
fn installing() {
    say("ready");
    graceful();
}

// 59, 60
#[test]
fn signals_while_the_handler_is_installed_end_gracefully_or_with_130() {
    let ends = KINDS.map(|(signal, _)| {
        // Ignore the signal until then. Otherwise it would end the process before there is a handler.
        let ignored = format!(r#"trap '' {signal}; exec "$0" "$@""#);
        let child = Child::script(&ignored, "installing");
        child.suffers(&format!("while kill -s {signal} $1; do :; done"));
        ends_by_many(child, signal)
    });
    sender("signals without a pause, from before the handler is installed", &ends);
}

// 59
#[test]
fn signals_of_different_kinds_that_come_together_are_one() {
    let ends = [(); 10].map(|()| {
        let child = Child::play("graceful");
        // A stopped process receives its signals when it continues, all at once.
        child.suffers("kill -s STOP $1; kill -s INT $1; kill -s TERM $1; kill -s HUP $1; kill -s CONT $1");
        ends_by_many(child, "three kinds")
    });
    sender("three kinds at once", &ends);
    // On a busy machine the handler may see them more than a millisecond apart, but not in each process.
    assert!(ends.contains(&7), "{ends:?}");
}

/// The service's own thread receives the signal, and raises it again after the stop request.
fn to_a_thread(signal: c_int) {
    let mut host = Host::new();
    let run = move |ctx: &Context| {
        say("ready");
        raise(signal);
        ctx.wait();
        say("stop requested");
        raise(signal);
        crate::support::child::programs::forever()
    };
    host.stop_timeout(crate::support::child::AN_HOUR).add("raises", worker(run));
    leave(host.run().map(drop))
}

// 59, 60
#[test]
fn a_signal_to_one_thread_is_a_signal_to_the_process_and_so_is_a_second_one() {
    for (signal, _) in KINDS {
        let child = Child::play(&format!("{signal} to a thread"));
        child.says("stop requested");
        assert_eq!(child.ends(), (130, String::new()), "{signal}");
    }
}

/// Returns what the thread with the handler waits for, as the kernel reports it. Returns `None` while it runs.
fn handler_waits_for() -> Option<String> {
    let threads = fs::read_dir("/proc/self/task").unwrap().map(|entry| entry.unwrap().path());
    let named = |path: &PathBuf| fs::read_to_string(path.join("comm")).is_ok_and(|name| name == "ctrl-c\n");
    let handler = threads.into_iter().find(named).expect("the thread of the handler");
    Some(fs::read_to_string(handler.join("syscall")).unwrap()).filter(|call| call != "running\n")
}

fn until<T>(condition: impl Fn() -> Option<T>) -> T {
    let limit = Instant::now() + LIMIT;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < limit, "the handler receives no signal");
        std::thread::yield_now();
    }
}

/// Returns when the handler has received a signal and waits for something else than the next signal.
extern "C" fn wait_for_the_handler() {
    let next = until(handler_waits_for);
    say("exits");
    until(|| handler_waits_for().filter(|call| *call != next));
}

fn exiting() {
    let mut host = Host::new();
    host.add("server", Server);
    host.run().unwrap();
    assert_eq!(atexit(wait_for_the_handler), 0);
    leave(ExitCode::from(7))
}

// 64
#[test]
fn a_signal_while_the_process_exits_changes_nothing_in_its_exit_code() {
    for (signal, _) in KINDS {
        let child = Child::play("exiting");
        child.signal(signal);
        child.says("stop");
        child.says("exits");
        child.signal(signal);
        assert_eq!(child.ends(), (7, String::new()), "{signal}");
    }
}
