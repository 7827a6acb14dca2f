//! Guarantees 59, 60, 62 and 63: signals and exit codes in a shell: `nohup`, `setsid`, `timeout`, jobs, pipelines.
#![cfg(target_os = "linux")]

use crate::support::child::programs::{ends_gracefully, is_graceful};
use crate::support::child::{Child, Program, leave, say};
use hosted::{Context, Host, Result, worker};

/// Exits with the code that the shell sees. The test command may ignore signals for its children, as a background job
/// does.
const SHELL: &str = r#"env --default-signal "$0" "$@"; exit $?"#;

pub(crate) const PROGRAMS: &[Program] = &[("prints", prints)];

// 59
#[test]
fn under_nohup_a_hangup_stops_a_running_host() {
    for signal in ["HUP", "TERM", "INT"] {
        is_graceful(Child::script(r#"exec nohup "$0" "$@""#, "graceful"), signal);
    }
}

// 63
#[test]
fn under_nohup_a_hangup_is_ignored_by_a_host_that_only_started() {
    let child = Child::script(r#"exec nohup "$0" "$@""#, "only started");
    child.signal("HUP");
    child.signal("TERM");
    assert_eq!(child.ends(), (-15, String::new()), "the process ignores the hangup");
}

// 59
#[test]
fn in_its_own_session_a_host_handles_signals() {
    for signal in ["INT", "TERM", "HUP"] {
        is_graceful(Child::script(r#"exec setsid "$0" "$@""#, "graceful"), signal);
    }
}

// 63
#[test]
fn in_a_background_job_of_a_script_ctrl_c_is_ignored_by_a_host_that_only_started() {
    let child = Child::script(r#""$0" "$@" & wait $!"#, "only started");
    child.signal("INT");
    child.signal("TERM");
    assert_eq!(child.ends().0, 143, "the process ignores ctrl-c");
}

// 59, 60, 63
#[test]
fn the_shell_sees_the_exit_code_of_main_or_130_or_128_plus_the_signal() {
    for signal in ["INT", "TERM", "HUP"] {
        is_graceful(Child::script(SHELL, "graceful"), signal);
        let child = Child::script(SHELL, "stuck");
        child.signal(signal);
        child.says("stop requested");
        child.signal(signal);
        assert_eq!(child.ends(), (130, String::new()), "{signal}");
    }
    for (signal, code) in [("HUP", 129), ("INT", 130), ("TERM", 143)] {
        let child = Child::script(SHELL, "only started");
        child.signal(signal);
        assert_eq!(child.ends().0, code, "{signal}");
    }
}

// 63
#[test]
fn other_signals_end_the_process_without_a_stop_with_128_plus_the_signal() {
    let others = [("QUIT", 131), ("ABRT", 134), ("KILL", 137), ("USR1", 138), ("USR2", 140), ("ALRM", 142)];
    for (signal, code) in others {
        // Without the limit two of the processes may write a core file.
        let child = Child::script(&format!("ulimit -c 0; {SHELL}"), "graceful");
        child.signal(signal);
        assert_eq!(child.ends().0, code, "{signal}");
    }
}

/// Prints until nobody reads.
fn print(_: &Context) -> Result {
    loop {
        println!("a line");
    }
}

fn prints() {
    let mut host = Host::new();
    host.add("prints", worker(print));
    say("ready");
    leave(host.run().map(drop))
}

// 62
#[test]
fn in_a_pipeline_without_a_reader_a_print_fails_its_service() {
    let script = r#"exec 3>&1; { "$0" "$@"; printf '\n@@code %s\n' $? >&3; } | sed /@@ready/q"#;
    let child = Child::script(script, "prints");
    child.says("code 1");
    let (_, said) = child.ends();
    assert!(said.contains("service `prints` panicked while running: failed printing to stdout"), "{said}");
}

const CTRL_C: &str = "\x03";

/// Runs in another terminal, which passes on what it reads. The output of the program goes where the script's goes.
const TERMINAL: &str = r#"exec 3>&1 4>&2; exec script -qec "exec '$0' $* >&3 2>&4" /dev/null >/dev/null"#;

// 59, 60
#[test]
fn ctrl_c_in_a_terminal_stops_a_host_and_pressed_again_ends_the_process_with_130() {
    let mut child = Child::script(TERMINAL, "graceful");
    child.reads(CTRL_C);
    ends_gracefully(child, "ctrl-c");
    let mut child = Child::script(TERMINAL, "stuck");
    child.reads(CTRL_C);
    child.says("stop requested");
    child.reads(CTRL_C);
    assert_eq!(child.ends(), (130, String::new()));
}

// 59
#[test]
fn a_terminal_that_is_closed_stops_a_host_gracefully() {
    let child = Child::script(TERMINAL, "graceful");
    child.signal_parent("KILL");
    child.says("stop");
    child.says("after run: Signal");
    assert_eq!(child.ends(), (-9, String::new()), "the end of the terminal, not that of the host");
}

// 59
#[test]
fn under_timeout_a_host_ends_gracefully_even_if_it_is_signalled_twice() {
    let codes = [(); 10].map(|()| {
        let child = Child::script(r#"exec timeout 3600 "$0" "$@""#, "graceful");
        child.signal_parent("TERM"); // sends it to the process, and then to the group
        child.ends_saying().0
    });
    // On a busy machine the two signals may come more than a millisecond apart, but not each time.
    assert!(codes.iter().all(|code| [7, 130].contains(code)) && codes.contains(&7), "{codes:?}");
}
