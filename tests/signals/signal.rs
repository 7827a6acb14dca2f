//! Guarantees 59, 60, 61 and 77: what a first and a second signal do to a process. (The tests of 62, 63 and 64 are in
//! `exit`.)
#![cfg(unix)]

use crate::support::child::programs::{forever, is_graceful, stay};
use crate::support::child::{AN_HOUR, Child, Program, leave, say};
use hosted::{Context, Host, StopReason, ctrl_c, task, worker};
use std::sync::{Arc, Barrier};

pub(crate) const PROGRAMS: &[Program] = &[
    ("token", token),
    ("starting", starting),
    ("stuck start", unresponsive_start),
    ("two hosts", two_hosts),
    ("one after the other", one_after_the_other),
    ("nothing left", nothing_left),
    ("blocked callback", blocked_callback),
    ("blocked stopping", blocked_stopping),
];

// 59
#[test]
fn after_a_signal_run_returns_ok_and_main_decides_the_exit_code() {
    for signal in ["INT", "TERM", "HUP"] {
        is_graceful(Child::play("graceful"), signal);
    }
}

// 59
#[test]
fn a_background_job_of_a_script_handles_signals_even_if_the_shell_ignores_ctrl_c() {
    for signal in ["INT", "TERM"] {
        is_graceful(Child::script(r#""$0" "$@" & wait $!"#, "graceful"), signal);
    }
}

fn token() {
    let (one, other) = (ctrl_c().unwrap(), ctrl_c().unwrap());
    say("ready");
    one.wait();
    other.wait();
    leave(())
}

// 59
#[test]
fn a_signal_stops_every_token_of_ctrl_c_even_without_a_host() {
    let child = Child::play("token");
    child.signal("INT");
    assert_eq!(child.ends(), (0, String::new()));
}

// 60
#[test]
fn a_second_signal_during_the_stop_ends_the_process_at_once_with_130() {
    for (first, second) in [("INT", "INT"), ("TERM", "TERM"), ("HUP", "HUP"), ("TERM", "INT"), ("INT", "TERM")] {
        let child = Child::play("stuck");
        child.signal(first);
        child.says("stop requested");
        child.signal(second);
        assert_eq!(child.ends(), (130, String::new()), "{first}, {second}");
    }
}

fn starting() {
    let mut host = Host::new();
    let first = |ctx: &Context| {
        ctx.wait();
        say("the first is stopped");
        Ok(())
    };
    let slow = |ctx: &Context| {
        say("ready");
        ctx.wait();
        Ok(ctx.check()?)
    };
    let never = |_: &Context| {
        say("never");
        Ok(())
    };
    host.add("first", worker(first));
    host.add("slow", task(slow));
    host.add("never", task(never));
    leave(host.run().map(|report| say(&format!("{:?}", report.reason))))
}

// 61
#[test]
fn a_signal_during_the_start_is_rolled_back_cleanly_and_ends_with_0() {
    for signal in ["INT", "TERM", "HUP"] {
        let child = Child::play("starting");
        child.signal(signal);
        child.says("the first is stopped");
        child.says("Signal");
        assert_eq!(child.ends(), (0, String::new()), "{signal}");
    }
}

fn unresponsive_start() {
    let mut host = Host::new();
    host.stop_timeout(AN_HOUR).add("stuck", task(stay));
    leave(host.run().map(drop))
}

// 60, 61
#[test]
fn a_second_signal_during_an_unresponsive_start_ends_the_process_with_130() {
    let child = Child::play("stuck start");
    child.signal("INT");
    child.says("stop requested");
    child.signal("INT");
    assert_eq!(child.ends(), (130, String::new()));
}

fn two_hosts() {
    let all = Arc::new(Barrier::new(3));
    let run = |name: &'static str| {
        let all = all.clone();
        std::thread::spawn(move || {
            let mut host = Host::new();
            let run = move |ctx: &Context| {
                all.wait();
                ctx.wait();
                Ok(())
            };
            host.add(name, worker(run));
            host.run().unwrap().reason
        })
    };
    let hosts = [run("one"), run("two")];
    all.wait();
    say("ready");
    assert!(hosts.into_iter().all(|host| host.join().unwrap() == StopReason::Signal));
    say("both");
    leave(())
}

// 63, 77
#[test]
fn two_hosts_in_one_process_both_see_the_first_signal() {
    let child = Child::play("two hosts");
    child.signal("TERM");
    child.says("both");
    assert_eq!(child.ends(), (0, String::new()));
}

fn one_after_the_other() {
    let mut host = Host::new();
    let run = |ctx: &Context| {
        say("ready");
        ctx.wait();
        let mut second = Host::new();
        let run = |ctx: &Context| {
            say("the second runs");
            ctx.wait();
            Ok(())
        };
        second.add("second", worker(run));
        say(&format!("the second: {:?}", second.run()?.reason));
        forever()
    };
    host.stop_timeout(AN_HOUR).add("first", worker(run));
    leave(host.run().map(drop))
}

// 77
#[test]
fn a_signal_stops_a_host_that_got_none_before_it_ends_the_process() {
    let child = Child::play("one after the other");
    child.signal("INT");
    child.says("the second runs");
    child.signal("INT");
    child.says("the second: Signal");
    child.signal("INT");
    assert_eq!(child.ends(), (130, String::new()));
}

fn nothing_left() {
    let mut host = Host::new();
    host.add("done", task(|_| Ok(())));
    host.run().unwrap();
    drop(ctrl_c().unwrap());
    say("ready");
    forever()
}

// 77
#[test]
fn a_signal_when_nothing_is_left_to_stop_ends_the_process_with_130() {
    for signal in ["INT", "TERM", "HUP"] {
        let child = Child::play("nothing left");
        child.signal(signal);
        assert_eq!(child.ends(), (130, String::new()), "{signal}");
    }
}

fn blocked_callback() {
    let token = ctrl_c().unwrap();
    let _guard = token.on_stop(|| {
        say("called");
        forever()
    });
    say("ready");
    forever()
}

fn blocked_stopping() {
    let mut host = Host::new();
    host.add("server", task(|_| Ok(())));
    let _guard = host.handle().stopping().on_stop(|| {
        say("called");
        forever()
    });
    let unresponsive = |_: &Context| {
        say("ready");
        forever()
    };
    host.stop_timeout(AN_HOUR).add("stuck", worker(unresponsive));
    leave(host.run().map(drop))
}

// 77
#[test]
fn a_callback_that_blocks_does_not_swallow_the_second_signal() {
    for program in ["blocked callback", "blocked stopping"] {
        let child = Child::play(program);
        child.signal("INT");
        child.says("called");
        child.signal("INT");
        assert_eq!(child.ends(), (130, String::new()), "{program}");
    }
}
