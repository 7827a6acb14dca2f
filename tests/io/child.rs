//! `wait_child` waits for a child until the stop request. Then it terminates the child and its group, and reaps the
//! child.

#![cfg(all(feature = "io", target_os = "linux"))]

use crate::support::{asleep_in, in_time, stopped};
use hosted::{Context, Host, Result, StopSource, StopToken, worker};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;
use std::{hint, thread};

const TERM: Option<i32> = Some(15);
const KILL: Option<i32> = Some(9);

fn sleeper() -> Command {
    let mut command = Command::new("sleep");
    command.arg("3600");
    command
}

/// Starts a shell that leads its own process group and runs `script`, which reports when it is ready. Returns its later
/// output too.
fn shell(script: &str) -> (Child, BufReader<ChildStdout>) {
    let mut command = Command::new("sh");
    let mut child =
        command.args(["-c", script]).process_group(0).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let (mut stdout, mut line) = (BufReader::new(child.stdout.take().unwrap()), String::new());
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    (child, stdout)
}

/// Calls `wait_child` after the stop.
fn end(mut child: Child, grace: Duration) -> ExitStatus {
    in_time(move || stopped().wait_child(&mut child, grace).unwrap())
}

#[test]
fn wait_child_returns_the_exit_status_of_a_child_that_exits() {
    for token in [StopSource::new().token(), StopToken::never()] {
        // `wait_child` closes the input of the child first. This child reads until then.
        let mut command = Command::new("sh");
        let mut child = command.args(["-c", "cat; exit 3"]).stdin(Stdio::piped()).spawn().unwrap();
        let status = in_time(move || [(); 2].map(|()| token.wait_child(&mut child, Duration::ZERO).unwrap().code()));
        assert_eq!(status, [Some(3); 2], "even if the child was reaped before");
    }
}

#[test]
fn wait_child_returns_the_status_of_a_child_that_exited_before_the_stop() {
    let mut child = sleeper().spawn().unwrap();
    child.kill().unwrap();
    let (status, child) = in_time(move || (StopToken::never().wait_child(&mut child, Duration::ZERO), child));
    assert_eq!(status.unwrap().signal(), KILL);
    assert_eq!(end(child, Duration::ZERO).signal(), KILL);

    let (child, mut stdout) = shell("echo ready; exit 3");
    assert_eq!(in_time(move || stdout.read(&mut [0]).unwrap()), 0);
    assert_eq!(end(child, Duration::MAX).code(), Some(3), "exited, but not yet reaped");
}

#[test]
fn a_stop_before_or_during_the_wait_ends_and_reaps_the_child() {
    assert_eq!(end(sleeper().spawn().unwrap(), Duration::MAX).signal(), TERM);

    let (source, mut child) = (StopSource::new(), sleeper().process_group(0).spawn().unwrap());
    let (token, number) = (source.token(), child.id());
    let waiting = asleep_in(move || (token.wait_child(&mut child, Duration::MAX).unwrap(), child));
    assert!(waiting.result_so_far().is_none());
    source.request_stop();
    let (status, mut child) = waiting.result();
    assert_eq!(status.signal(), TERM);
    assert!(!Path::new(&format!("/proc/{number}")).exists(), "the child is reaped");
    assert_eq!(child.try_wait().unwrap(), Some(status));
}

// 82
#[test]
fn a_child_has_its_grace_period_to_exit_on_its_own() {
    let (child, _) = shell("trap 'exit 3' TERM; echo ready; while :; do sleep 0.01; done");
    assert_eq!(end(child, Duration::MAX).code(), Some(3));
}

// 82
#[test]
fn a_child_that_ignores_sigterm_is_killed_after_its_grace_with_all_of_its_group() {
    let (child, mut stdout) = shell("trap '' TERM; echo ready; sleep 3600 & wait; sleep 3600");
    assert_eq!(end(child, Duration::from_millis(20)).signal(), KILL);
    assert_eq!(in_time(move || stdout.read(&mut [0]).unwrap()), 0, "the processes that held its output are gone");

    let mut command = Command::new("sh");
    command.args(["-c", "trap '' TERM; echo ready; exec sleep 3600"]).stdout(Stdio::piped());
    let mut alone = command.spawn().unwrap();
    alone.stdout.take().unwrap().read_exact(&mut [0; 6]).unwrap();
    assert_eq!(end(alone, Duration::ZERO).signal(), KILL, "a child in the group of this test");
}

// 82
#[test]
fn the_grace_period_of_a_child_ends_at_the_stop_deadline_of_its_service() {
    let (child, _stdout) = shell("trap '' TERM; echo ready; sleep 3600; sleep 3600");
    let (mut child, mut host) = (Some(child), Host::new());
    let run = move |ctx: &Context| -> Result {
        let status = ctx.wait_child(&mut child.take().expect("once"), Duration::from_secs(3_600))?;
        assert_eq!(status.signal(), KILL);
        Ok(())
    };
    host.add("parent", worker(run));
    host.start().unwrap();
    _ = host.stop(Duration::from_millis(500)); // the last twentieth of the time may be too short on a busy machine
    host.stop(Duration::from_secs(60)).unwrap();
}

// 82
#[test]
fn a_grandchild_that_holds_the_output_is_terminated_too() {
    let (child, mut stdout) = shell("sleep 3600 & echo ready; wait");
    assert_eq!(end(child, Duration::MAX).signal(), TERM);
    assert_eq!(in_time(move || stdout.read(&mut [0]).unwrap()), 0);
}

#[test]
fn a_grandchild_that_ignores_sigterm_does_not_outlive_the_child() {
    let (child, mut stdout) = shell("(trap '' TERM; echo ready; exec sleep 3600) & wait");
    assert_eq!(end(child, Duration::MAX).signal(), TERM);
    assert_eq!(in_time(move || stdout.read(&mut [0]).unwrap()), 0);
}

#[test]
fn a_child_without_its_own_process_group_is_terminated_alone() {
    let mut bystander = sleeper().spawn().unwrap(); // in the group of this test
    assert_eq!(end(sleeper().spawn().unwrap(), Duration::ZERO).code(), None);
    assert_eq!(bystander.try_wait().unwrap(), None);
    bystander.kill().unwrap();
    assert_eq!(bystander.wait().unwrap().signal(), KILL);
}

#[test]
fn without_a_stop_processes_left_by_a_child_are_not_touched() {
    let (mut child, mut stdout) = shell("sleep 3600 & echo ready; echo $!");
    let mut orphan = String::new();
    stdout.read_line(&mut orphan).unwrap();
    assert!(StopSource::new().token().wait_child(&mut child, Duration::ZERO).unwrap().success());
    assert!(Command::new("kill").arg(orphan.trim()).status().unwrap().success(), "it was there");
}

// 82
#[test]
fn a_child_is_reaped_in_200_races_between_its_exit_and_the_stop() {
    in_time(|| {
        for round in 0..200 {
            let source = StopSource::new();
            let mut child = Command::new("true").process_group(0).spawn().unwrap();
            let status = thread::scope(|scope| {
                scope.spawn(|| {
                    (0..500 * round).for_each(|_| hint::spin_loop()); // the child lives for about a millisecond
                    source.request_stop();
                });
                source.token().wait_child(&mut child, Duration::MAX).unwrap()
            });
            assert!(status.success() || status.signal() == TERM, "{status}");
            assert!(!Path::new(&format!("/proc/{}", child.id())).exists());
        }
    });
}
