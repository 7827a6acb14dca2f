//! Guarantees 59, 60 and 63: the process is PID 1 of its namespace, as in a container.
#![cfg(target_os = "linux")]

use crate::support::LIMIT;
use crate::support::child::programs::{Server, graceful, is_graceful, unresponsive};
use crate::support::child::{Child, Program, leave, say};
use hosted::Host;
use std::io::{Read, Write};
use std::process::{ChildStdin, Command, Stdio};
use std::time::Instant;

/// Two ways to create the namespaces: as root, and with a user namespace.
const WAYS: [&str; 2] = ["unshare --pid --fork", "unshare --user --map-root-user --pid --fork"];

pub(crate) const PROGRAMS: &[Program] = &[
    ("PID 1: graceful", || as_number_1(graceful)),
    ("PID 1: stuck", || as_number_1(unresponsive)),
    ("PID 1: only started", || as_number_1(ends_with_its_input)),
    ("PID 1: orphans", || as_number_1(orphans)),
];

fn as_number_1(program: fn()) {
    assert_eq!(std::process::id(), 1);
    program();
}

/// Starts a program as PID 1. If the machine allows no namespaces, prints a line and returns `None`.
fn play(program: &str) -> Option<Child> {
    let attempt = |way: &str| Command::new("sh").args(["-c", &format!("{way} true")]).output().unwrap();
    let Some(way) = WAYS.iter().find(|way| attempt(way).status.success()) else {
        let why = attempt(WAYS[1]).stderr;
        let line =
            format!("\nNOT TESTED: `{program}` as number 1 of a PID namespace: {}", String::from_utf8_lossy(&why));
        std::io::stderr().write_all(line.as_bytes()).unwrap(); // the harness captures `eprintln`
        return None;
    };
    Some(Child::script(&format!(r#"exec {way} "$0" "$@""#), program))
}

// 59
#[test]
fn as_pid_1_a_running_host_stops_gracefully_at_a_signal() {
    for signal in ["INT", "TERM", "HUP"] {
        let Some(child) = play("PID 1: graceful") else { return };
        is_graceful(child, signal);
    }
}

// 60
#[test]
fn as_pid_1_a_second_signal_ends_the_process_with_130() {
    for signal in ["INT", "TERM", "HUP"] {
        let Some(child) = play("PID 1: stuck") else { return };
        child.signal(signal);
        child.says("stop requested");
        child.signal(signal);
        assert_eq!(child.ends(), (130, String::new()), "{signal}");
    }
}

/// Has only started, and stops when its input ends.
fn ends_with_its_input() {
    let mut host = Host::new();
    host.add("server", Server);
    host.start().unwrap();
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    leave(host.stop(LIMIT).map(drop))
}

// 63
#[test]
fn as_pid_1_a_host_that_only_started_is_terminated_by_sigkill_alone() {
    let Some(mut child) = play("PID 1: only started") else { return };
    // A thread that creates another thread blocks all signals. The kernel does not ignore a signal that finds the first
    // thread in that state. It ends the process.
    child.falls_asleep();
    for signal in ["INT", "TERM", "HUP", "QUIT", "USR1"] {
        child.signal(signal);
    }
    child.reads_the_end();
    child.says("stop");
    assert_eq!(child.ends(), (0, String::new()));
    let Some(child) = play("PID 1: only started") else { return };
    child.signal("KILL");
    let (_, said, _) = child.ends_saying(); // the exit code is that of `unshare`
    assert_eq!(said, [""; 0]);
}

/// Returns the state of the one orphan that this process has adopted, from `/proc`: `S` is asleep, `Z` is exited and
/// not reaped.
fn orphan() -> Option<String> {
    let this = std::fs::read_link("/proc/self").unwrap();
    let stats = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let stat = std::fs::read_to_string(entry.ok()?.path().join("stat")).ok()?;
        let (_, fields) = stat.rsplit_once(") ")?;
        let mut fields = fields.split(' ').map(str::to_owned);
        let (state, parent) = (fields.next()?, fields.next()?);
        (parent == this.to_str()?).then_some(state)
    });
    let found: Vec<String> = stats.collect();
    assert!(found.len() <= 1, "{found:?}");
    found.into_iter().next()
}

/// An orphan that exits when the handle is dropped.
fn adopt() -> ChildStdin {
    let script = "exec 3<&0; (read -r _ <&3) &";
    let mut parent = Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).spawn().unwrap();
    let orphans_input = parent.stdin.take().unwrap();
    assert!(parent.wait().unwrap().success());
    orphans_input
}

fn orphans() {
    let orphans_input = adopt();
    assert!(orphan().is_some_and(|state| state != "Z"), "it waits");
    drop(orphans_input);
    let limit = Instant::now() + LIMIT;
    while orphan().as_deref() != Some("Z") {
        assert!(Instant::now() < limit, "the orphan never shows as exited");
        std::thread::yield_now();
    }
    let mut host = Host::new();
    host.add("server", Server);
    host.run().unwrap();
    say(&format!("the orphan: {:?}", orphan()));
    leave(())
}

#[test]
fn as_pid_1_a_host_reaps_no_orphans() {
    let Some(child) = play("PID 1: orphans") else { return };
    child.signal("TERM");
    child.says("stop");
    child.says("the orphan: Some(\"Z\")");
    assert_eq!(child.ends(), (0, String::new()));
}
