//! `wait_child` in difficult cases: moving deadlines, suspended children, no free descriptor, and a lost exit status.

#![cfg(target_os = "linux")]

use crate::support::child::{self, Program, leave, say};
use crate::support::sockets::every_descriptor;
use crate::support::{LIMIT, asleep_in, in_time, stopped, waits};
use hosted::{
    Context, Event, EventKind, Host, OnFailure, Outcome, Queue, Result, StopReason, StopSource, StopToken, group,
    worker,
};
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;
use std::{fs, thread};

pub(crate) const PROGRAMS: &[Program] =
    &[("children without descriptors", without_descriptors), ("children without SIGCHLD", without_sigchld)];

const TERM: Option<i32> = Some(15);
const KILL: Option<i32> = Some(9);

fn sleeper() -> Child {
    Command::new("sleep").arg("3600").spawn().unwrap()
}

/// Starts a shell that leads its own process group and runs `script`, which prints "ready". Keeps its later output.
fn shell(script: &str) -> Child {
    let mut command = Command::new("sh");
    let mut child = command.args(["-c", script]).process_group(0).stdout(Stdio::piped()).spawn().unwrap();
    let (mut stdout, mut line) = (BufReader::new(child.stdout.take().unwrap()), String::new());
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    child
}

fn is_there(child: &Child) -> bool {
    Path::new(&format!("/proc/{}", child.id())).exists()
}

// 102
#[test]
fn a_child_in_its_grace_period_is_killed_when_the_deadline_moves_closer() {
    let mut host = Host::new();
    let events = host.events();
    let fill = |inside: &mut Host| {
        inside.stop_timeout(Duration::from_secs(3_600));
        let run = |ctx: &Context| -> Result {
            let mut child = shell("trap '' TERM; echo ready; while :; do sleep 0.1; done");
            let status = ctx.wait_child(&mut child, Duration::from_secs(3_600))?;
            assert_eq!((status.signal(), is_there(&child)), (KILL, false));
            Ok(())
        };
        inside.add("parent", worker(run));
        let fails = |ctx: &Context| -> Result {
            ctx.wait_until_started()?;
            Err("broken".into())
        };
        inside.add("fails", worker(fails));
        Ok(())
    };
    host.add("crew", group(fill)).on_failure(OnFailure::Ignore);
    host.add("other", worker(waits));
    host.start().unwrap();
    let is_asked =
        |event: &Event| matches!(event.kind, EventKind::Stopping) && event.service.as_deref() == Some("crew/parent");
    while !is_asked(&events.recv_timeout(LIMIT).unwrap()) {} // requested by the group, which has an hour
    _ = host.stop(Duration::from_millis(500)); // the last twentieth of the time may be too short on a busy machine
    let report = host.stop(LIMIT).unwrap();
    let parent = report.services.iter().find(|service| &*service.name == "crew/parent").unwrap();
    assert!(matches!(parent.outcome, Outcome::Stopped), "{report}");
}

// 99
#[test]
fn a_jobs_child_has_time_to_exit_on_its_own_before_the_deadline() {
    let (queue, (sender, receiver)) = (Queue::bounded(1), channel());
    let mut host = Host::new();
    let (began, begun) = channel();
    let job = move |(), ctx: &Context| -> Result {
        let mut child = shell("trap 'exit 3' TERM; sleep 3600 & echo ready; wait");
        began.send(()).unwrap();
        let status = ctx.wait_child(&mut child, Duration::from_secs(3_600))?;
        Ok(sender.send((status.code(), ctx.stop_requested()))?)
    };
    host.add("consumer", queue.consumer(job));
    host.start().unwrap();
    queue.push(()).unwrap();
    begun.recv_timeout(LIMIT).unwrap();
    // The child has nearly a second of this time, which a busy machine may need.
    host.stop(Duration::from_secs(10)).unwrap();
    assert_eq!(receiver.recv_timeout(LIMIT).unwrap(), (Some(3), true));
}

#[test]
fn a_suspended_child_receives_sigterm_alone_or_with_its_group() {
    for leads in [false, true] {
        let mut child = if leads { shell("trap 'exit 3' TERM; sleep 3600 & echo ready; wait") } else { sleeper() };
        let id = if leads { format!("-{}", child.id()) } else { child.id().to_string() };
        assert!(Command::new("kill").args(["-s", "STOP", "--", &id]).status().unwrap().success());
        let stat = format!("/proc/{}/stat", child.id());
        in_time(move || {
            while !fs::read_to_string(&stat).unwrap().contains(") T ") {
                thread::yield_now();
            }
        });
        let status = in_time(move || stopped().wait_child(&mut child, Duration::MAX).unwrap());
        assert_eq!((status.code(), status.signal()), if leads { (Some(3), None) } else { (None, TERM) });
    }
}

// 103
#[test]
fn without_a_free_descriptor_a_child_is_still_terminated_and_reaped() {
    let program = child::Child::play("children without descriptors");
    for line in ["exits", "stop before", "stop during", "ignores TERM", "of a service", "afterwards"] {
        program.says(line);
    }
    assert_eq!(program.ends(), (0, String::new()));
}

fn without_descriptors() {
    say("ready");
    let mut short_lived = Command::new("sh").args(["-c", "sleep 0.2; exit 3"]).spawn().unwrap();
    let (mut before, mut during, mut theirs) = (sleeper(), sleeper(), sleeper());
    let mut unresponsive = shell("trap '' TERM; echo ready; sleep 3600 & wait; sleep 3600");
    let taken = every_descriptor();

    let status = StopSource::new().token().wait_child(&mut short_lived, Duration::MAX).unwrap();
    assert_eq!(status.code(), Some(3));
    say("exits");
    assert_eq!(stopped().wait_child(&mut before, Duration::MAX).unwrap().signal(), TERM);
    assert!(!is_there(&before));
    say("stop before");

    let source = StopSource::new();
    let token = source.token();
    // Sleep without checking that the waiter is asleep: reading /proc would need a descriptor.
    let waiting =
        thread::spawn(move || (token.wait_child(&mut during, Duration::MAX).unwrap().signal(), is_there(&during)));
    thread::sleep(Duration::from_millis(20)); // makes it likely that the thread waits: there is no event
    source.request_stop();
    assert_eq!(waiting.join().unwrap(), (TERM, false));
    say("stop during");

    assert_eq!(stopped().wait_child(&mut unresponsive, Duration::from_millis(20)).unwrap().signal(), KILL);
    assert!(!is_there(&unresponsive));
    say("ignores TERM");

    let mut host = Host::new();
    let (sender, receiver) = channel();
    let id = theirs.id();
    let run = move |ctx: &Context| -> Result { Ok(sender.send(ctx.wait_child(&mut theirs, Duration::MAX)?.signal())?) };
    host.add("parent", worker(run));
    host.start().unwrap();
    let report = host.stop(LIMIT).unwrap();
    assert!(matches!(report.services[0].outcome, Outcome::Stopped), "{report}");
    assert_eq!((receiver.recv_timeout(LIMIT).unwrap(), Path::new(&format!("/proc/{id}")).exists()), (TERM, false));
    say("of a service");

    drop(taken);
    assert_eq!(stopped().wait_child(&mut sleeper(), Duration::MAX).unwrap().signal(), TERM);
    say("afterwards");
    leave(ExitCode::SUCCESS)
}

#[test]
fn a_child_whose_exit_status_is_lost_is_an_error_or_at_a_stop_a_clean_end() {
    let program = child::Child::script("exec env --ignore-signal=CHLD \"$0\" \"$@\"", "children without SIGCHLD");
    for line in ["exits", "stop", "of a service", "of a service, on its own"] {
        program.says(line);
    }
    assert_eq!(program.ends().0, 0);
}

fn has_stopped(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |&error| error.source()).any(|error| error.is::<hosted::Stopped>())
}

fn without_sigchld() {
    const LOST: &str =
        "the child has exited, but its exit status is lost: SIGCHLD is ignored, or other code waited for the child";
    say("ready");
    let error = StopSource::new().token().wait_child(&mut Command::new("true").spawn().unwrap(), Duration::MAX);
    let error = error.unwrap_err();
    assert_eq!((error.to_string().as_str(), has_stopped(&error)), (LOST, false));
    say("exits");

    let mut child = sleeper();
    let error = stopped().wait_child(&mut child, Duration::MAX).unwrap_err();
    assert_eq!((error.to_string().as_str(), has_stopped(&error), is_there(&child)), (LOST, true, false));
    say("stop");

    let mut host = Host::new();
    host.add("parent", worker(|ctx| Ok(ctx.wait_child(&mut sleeper(), Duration::MAX).map(drop)?)));
    host.start().unwrap();
    let report = host.stop(LIMIT).unwrap(); // a failure would be an error
    assert!(matches!(report.services[0].outcome, Outcome::Stopped), "{report}");
    say("of a service");

    let mut host = Host::new();
    let run = |ctx: &Context| Ok(ctx.wait_child(&mut Command::new("true").spawn()?, Duration::MAX).map(drop)?);
    host.add("parent", worker(run));
    let error = host.run_until(&StopToken::never()).unwrap_err();
    assert!(matches!(error.report().reason, StopReason::Failed(_)), "{error}");
    assert_eq!(error.failures()[0].to_string(), format!("service `parent` failed while running: {LOST}"));
    say("of a service, on its own");
    leave(ExitCode::SUCCESS)
}

#[test]
fn wait_child_continues_if_another_process_signals_the_stop_descriptor() {
    let (source, mut child) = (StopSource::new(), sleeper());
    let token = source.token();
    let ring = token.fd().unwrap().try_clone_to_owned().unwrap();
    let waiting = asleep_in(move || token.wait_child(&mut child, Duration::MAX).unwrap().signal());
    rustix::io::write(&ring, &1_u64.to_ne_bytes()).unwrap();
    waiting.fall_asleep();
    assert!(waiting.result_so_far().is_none());
    source.request_stop();
    assert_eq!(waiting.result(), TERM);
}
