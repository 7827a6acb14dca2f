//! Guarantees 59, 60, 61, 44 and 77: a signal during a stop, a rollback or a backoff; signals with two hosts and with a
//! group.
#![cfg(unix)]

use crate::support::child::programs::{Server, forever, stay};
use crate::support::child::{AN_HOUR, Child, Program, leave, say};
use hosted::testing::ManualClock;
use hosted::{
    Context, EventKind, Host, HostError, Report, Restart, Result, Service, StopReason, StopToken, ctrl_c, group, task,
    worker,
};
use std::sync::mpsc;

pub(crate) const PROGRAMS: &[Program] = &[
    ("handle", || stopping(Why::Handle, false)),
    ("failure", || stopping(Why::Failure, false)),
    ("rollback", || stopping(Why::FailedStart, false)),
    ("handle, stays", || stopping(Why::Handle, true)),
    ("failure, stays", || stopping(Why::Failure, true)),
    ("rollback, stays", || stopping(Why::FailedStart, true)),
    ("backoff", backoff),
    ("backoff of the first start", backoff_of_the_first_start),
    ("one host has stopped", one_host_has_stopped),
    ("one host heard", one_host_heard),
    ("group", in_group),
    ("stuck group", unresponsive_in_group),
];

/// Why a host stops.
#[derive(Clone, Copy)]
enum Why {
    Handle,
    Failure,
    FailedStart,
}

/// A service whose `stop` lasts until a signal has come, or forever.
struct Slow {
    signal: StopToken,
    stays: bool,
}

impl Service for Slow {
    fn stop(&mut self, _: &Context) -> Result {
        say("ready");
        self.signal.wait();
        say("signal arrived");
        if self.stays { forever() } else { Ok(()) }
    }
}

/// A service that is ready when `slow` is being stopped.
fn stopping(why: Why, stays: bool) {
    let mut host = Host::new();
    let signal = ctrl_c().unwrap();
    host.stop_timeout(AN_HOUR).add("slow", Slow { signal, stays });
    let run = move |ctx: &Context| {
        ctx.wait_until_started()?;
        match why {
            Why::Handle => ctx.host().request_stop(),
            _ => Err("connection refused")?,
        }
        Ok(())
    };
    match why {
        Why::FailedStart => _ = host.add("fails", task(|_| Err("no such table".into()))),
        Why::Handle | Why::Failure => _ = host.add("requester", worker(run)),
    }
    leave(host.run().map(|report| say(&format!("{:?}", report.reason))))
}

// 59, 77
#[test]
fn a_first_signal_during_a_stop_changes_neither_its_reason_nor_the_exit_code() {
    let child = Child::play("handle");
    child.signal("TERM");
    child.says("signal arrived");
    child.says("Requested");
    assert_eq!(child.ends(), (0, String::new()));
    let failed = "Error: service `requester` failed while running: connection refused\n";
    let not_started = "Error: service `fails` failed while starting: no such table\n";
    for (program, complaint) in [("failure", failed), ("rollback", not_started)] {
        let child = Child::play(program);
        child.signal("TERM");
        child.says("signal arrived");
        let (code, said) = child.ends();
        assert!(code == 1 && said.starts_with(complaint), "{program}: {code}, {said}");
    }
}

// 60
#[test]
fn a_second_signal_ends_the_process_with_130_for_any_stop_reason() {
    for program in ["handle, stays", "failure, stays", "rollback, stays"] {
        let child = Child::play(program);
        child.signal("TERM");
        child.says("signal arrived");
        child.signal("TERM");
        assert_eq!(child.ends(), (130, String::new()), "{program}");
    }
}

fn in_backoff(result: Result<Report, HostError>) -> ! {
    let report = result.unwrap();
    let service = &report.services[0];
    say(&format!("{:?}, {:?}, {} errors", report.reason, service.outcome, service.errors));
    leave(())
}

fn backoff() {
    let mut host = Host::new();
    let events = host.events();
    std::thread::spawn(move || {
        assert!(events.iter().any(|event| matches!(event.kind, EventKind::Restarting { .. })));
        say("ready");
    });
    let run = |ctx: &Context| {
        ctx.wait_until_started()?;
        Err("connection refused".into())
    };
    host.add("flaky", worker(run)).restart(Restart::on_failure().backoff(AN_HOUR..=AN_HOUR));
    in_backoff(host.run())
}

fn backoff_of_the_first_start() {
    let time = ManualClock::new();
    let mut host = Host::with_clock(time.clock());
    std::thread::spawn(move || {
        time.wait_for_sleepers(1); // the clock stands still, so that the backoff lasts forever
        say("ready");
    });
    host.add("flaky", task(|_| Err("no such table".into()))).restart(Restart::on_failure().also_first_start());
    in_backoff(host.run())
}

// 44, 59
#[test]
fn a_signal_during_a_backoff_ends_it_at_once_and_the_process_with_0() {
    let programs =
        [("backoff", "running: connection refused"), ("backoff of the first start", "starting: no such table")];
    for (program, failure) in programs {
        for signal in ["INT", "TERM", "HUP"] {
            let child = Child::play(program);
            child.signal(signal);
            child.says(&format!("Signal, NotRestarted(service `flaky` failed while {failure}), 1 errors"));
            assert_eq!(child.ends(), (0, String::new()), "{program}, {signal}");
        }
    }
}

fn one_host_has_stopped() {
    let mut first = Host::new();
    first.add("done", task(|_| Ok(())));
    assert_eq!(first.run().unwrap().reason, StopReason::AllCompleted);
    let mut second = Host::new();
    second.add("server", Server);
    say(&format!("{:?}", second.run().unwrap().reason));
    leave(first.stop(AN_HOUR).map(drop))
}

// 63
#[test]
fn the_first_signal_stops_a_host_beside_one_that_has_stopped() {
    let child = Child::play("one host has stopped");
    child.signal("TERM");
    child.says("stop");
    child.says("Signal");
    assert_eq!(child.ends(), (0, String::new()));
}

fn one_host_heard() {
    let (running, runs) = mpsc::channel();
    let (ending, ended) = mpsc::channel();
    std::thread::spawn(move || {
        let mut hears = Host::new();
        let run = move |ctx: &Context| {
            running.send(())?;
            ctx.wait();
            Ok(())
        };
        hears.add("hears", worker(run));
        ending.send(hears.run().unwrap().reason).unwrap();
    });
    runs.recv().unwrap();
    let run = move |ctx: &Context| {
        say("ready");
        ctx.wait();
        say(&format!("the other: {:?}", ended.recv()?));
        forever()
    };
    let mut host = Host::new();
    host.stop_timeout(AN_HOUR).add("stuck", worker(run));
    leave(host.run().map(drop))
}

// 60, 63
#[test]
fn the_second_signal_ends_a_host_beside_one_that_the_first_has_stopped() {
    let child = Child::play("one host heard");
    child.signal("TERM");
    child.says("the other: Signal");
    child.signal("TERM");
    assert_eq!(child.ends(), (130, String::new()));
}

fn in_group() {
    let mut host = Host::new();
    let fill = |host: &mut Host| {
        let first = |ctx: &Context| {
            ctx.wait();
            say("the first");
            Ok(())
        };
        host.add("first", worker(first));
        host.add("second", Server);
        Ok(())
    };
    host.add("group", group(fill));
    leave(host.run().map(|report| say(&format!("{:?}", report.reason))))
}

fn unresponsive_in_group() {
    let mut host = Host::new();
    let fill = |host: &mut Host| {
        host.add("stuck", worker(stay));
        Ok(())
    };
    host.stop_timeout(AN_HOUR).add("group", group(fill));
    leave(host.run().map(drop))
}

// 46, 59, 60
#[test]
fn a_signal_stops_a_group_in_reverse_and_a_second_one_ends_the_process() {
    let child = Child::play("group");
    child.signal("TERM");
    child.says("stop");
    child.says("the first");
    child.says("Signal");
    assert_eq!(child.ends(), (0, String::new()));
    let child = Child::play("stuck group");
    child.signal("TERM");
    child.says("stop requested");
    child.signal("TERM");
    assert_eq!(child.ends(), (130, String::new()));
}
