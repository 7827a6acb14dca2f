//! Guarantees 62, 63 and 64: how a process exits, and that only `run` and `ctrl_c` install signal handlers. (The tests
//! of 59, 60, 61 and 77 are in `signal`.)
#![cfg(unix)]

use crate::support::child::programs::forever;
use crate::support::child::{Child, Program, leave, say};
use crate::support::idle;
use hosted::{Context, Host, Outcome, Phase, Result, Service, StopSource, StopToken, ctrl_c, task, worker};
use std::error::Error;
use std::time::Duration;

const SHORT: Duration = Duration::from_secs(1);

pub(crate) const PROGRAMS: &[Program] = &[
    ("completed", completed),
    ("failed and hung", || leave(failed_and_hung().run().map(drop))),
    ("failed and hung, code", || leave(failed_and_hung().run().unwrap_err().exit_code())),
    ("failed, code", || leave(failed().run().unwrap_err().exit_code())),
    ("not started", || leave(not_started().run().map(drop))),
    ("not started, code", || leave(not_started().run().unwrap_err().exit_code())),
    ("hung start, code", || leave(hung_start().run().unwrap_err().exit_code())),
    ("no handler", no_handler),
    ("own handler", handler_of_its_own),
    ("exit in start", || exit_in(Phase::Start)),
    ("exit in run", || exit_in(Phase::Run)),
    ("exit in stop", || exit_in(Phase::Stop)),
    ("exit in callback", || exit_in(Phase::Callback)),
    ("exit in drop", || exit_in(Phase::Drop)),
];

fn completed() {
    say("ready");
    let mut host = Host::new();
    host.add("done", task(|_| Ok(())));
    leave(host.run().map(|report| say(&format!("{:?}", report.reason))))
}

// 59
#[test]
fn a_host_whose_services_have_all_completed_ends_main_with_0() {
    let child = Child::play("completed");
    child.says("AllCompleted");
    assert_eq!(child.ends(), (0, String::new()));
}

/// A host with a service that fails once all have started.
fn failed() -> Host {
    say("ready");
    let mut host = Host::new();
    let run = |ctx: &Context| {
        ctx.wait_until_started()?;
        Err("connection refused".into())
    };
    host.add("importer", worker(run));
    host
}

/// The same host, with a service whose thread never exits.
fn failed_and_hung() -> Host {
    let mut host = failed();
    host.stop_timeout(SHORT).add("stuck", worker(|_| forever()));
    host
}

fn not_started() -> Host {
    say("ready");
    let mut host = Host::new();
    host.add("schema", task(|_| Err("no such table".into())));
    host.add("web", worker(|_| forever()));
    host
}

fn hung_start() -> Host {
    say("ready");
    let mut host = Host::new();
    host.stop_timeout(SHORT).add("schema", task(|_| forever())).start_timeout(SHORT);
    host
}

// 62
#[test]
fn a_failed_service_ends_main_with_1_and_a_report_even_if_threads_are_hung() {
    let (code, said) = Child::play("failed and hung").ends();
    assert_eq!(code, 1, "{said}");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "Error: service `importer` failed while running: connection refused", "{said}");
    assert!(lines[1].starts_with("also: service `stuck` was still in `run` "), "{said}");
    assert!(lines[2].starts_with("stopped in ") && lines[2].ends_with("service `importer` failed"), "{said}");
    assert!(lines[3].starts_with("  importer  failed") && lines[4].starts_with("  stuck     hung"), "{said}");
    assert_eq!(lines.len(), 5, "{said}");
}

// 62
#[test]
fn a_failed_start_ends_main_with_1_and_a_report_on_stderr() {
    let (code, said) = Child::play("not started").ends();
    assert_eq!(code, 1, "{said}");
    assert!(said.starts_with("Error: service `schema` failed while starting: no such table\n"), "{said}");
    assert!(said.contains("\n  web     never started"), "{said}");
}

// 62
#[test]
fn the_exit_code_is_124_if_threads_were_abandoned_and_1_otherwise() {
    for (program, code) in
        [("failed and hung, code", 124), ("hung start, code", 124), ("failed, code", 1), ("not started, code", 1)]
    {
        assert_eq!(Child::play(program).ends(), (code, String::new()), "{program}");
    }
}

/// Returns what this process does with signals, as the kernel reports it.
fn dispositions() -> Vec<String> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let of_signals = status.lines().filter(|line| line.starts_with("SigIgn") || line.starts_with("SigCgt"));
    of_signals.map(str::to_owned).collect()
}

fn idle_host() -> Host {
    let mut host = Host::new();
    host.add("idle", idle());
    host
}

fn no_handler() {
    let before = dispositions();
    let mut host = idle_host();
    host.start().unwrap();
    assert_eq!(dispositions(), before, "by start");
    host.stop(crate::support::LIMIT).unwrap();
    assert_eq!(dispositions(), before, "by stop");
    let stop = StopSource::new();
    stop.request_stop_after(Duration::from_millis(1));
    idle_host().run_until(&stop.token()).unwrap();
    assert_eq!(dispositions(), before, "by run_until");
    drop(idle_host().start());
    assert_eq!(dispositions(), before, "by drop");
    let token = ctrl_c().unwrap();
    assert_ne!(dispositions(), before, "this test must be able to see a handler");
    drop(token);
    say("ready");
    leave(())
}

// 63
#[test]
#[cfg(target_os = "linux")]
fn start_stop_and_run_until_install_no_handler() {
    assert_eq!(Child::play("no handler").ends(), (0, String::new()));
}

// 63
#[test]
fn a_host_that_only_started_does_not_change_the_effect_of_a_signal() {
    let child = Child::play("only started");
    child.signal("TERM");
    assert_eq!(child.ends(), (-15, String::new()));
}

fn handler_of_its_own() {
    let stop = StopSource::new();
    let source = stop.clone();
    ctrlc::set_handler(move || _ = source.request_stop()).unwrap();
    let mut host = idle_host();
    let error = host.run().unwrap_err();
    assert!(error.failures().is_empty() && error.source().is_some(), "{error}");
    assert!(error.to_string().contains("run_until"), "the error has the remedy: {error}");
    assert!(matches!(error.report().services[0].outcome, Outcome::NeverStarted));
    say("ready");
    leave(host.run_until(&stop.token()).map(drop))
}

// 63
#[test]
fn a_program_keeps_its_own_signal_handler_with_run_until() {
    let child = Child::play("own handler");
    child.signal("INT");
    assert_eq!(child.ends(), (0, String::new()));
}

/// Exits the process in one phase of its life.
struct Exits(Phase);

impl Exits {
    fn reach(&self, phase: Phase) {
        if self.0 == phase {
            std::process::exit(42);
        }
    }
}

impl Service for Exits {
    fn start(&mut self, ctx: &Context) -> Result {
        if self.0 == Phase::Callback {
            std::mem::forget(ctx.on_stop(|| std::process::exit(42)));
        }
        self.reach(Phase::Start);
        Ok(())
    }

    fn run(&mut self, ctx: &Context) -> Result {
        self.reach(Phase::Run);
        ctx.host().request_stop();
        ctx.wait();
        Ok(())
    }

    fn stop(&mut self, _: &Context) -> Result {
        self.reach(Phase::Stop);
        Ok(())
    }
}

impl Drop for Exits {
    fn drop(&mut self) {
        self.reach(Phase::Drop);
    }
}

fn exit_in(phase: Phase) {
    say("ready");
    let mut host = idle_host();
    host.add("exits", Exits(phase));
    host.add("other", idle()).after::<&str>([]);
    leave(host.run_until(&StopToken::never()).map(drop))
}

// 64
#[test]
fn process_exit_inside_a_service_ends_the_process_with_that_code() {
    for phase in [Phase::Start, Phase::Run, Phase::Stop, Phase::Callback, Phase::Drop] {
        let child = Child::play(&format!("exit in {phase}"));
        assert_eq!(child.ends(), (42, String::new()), "{phase}");
    }
}
