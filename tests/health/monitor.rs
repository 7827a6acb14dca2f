//! Guarantees 163 and 164: the thread that finds stalled services, by the system clock.
#![cfg(target_os = "linux")]

use crate::support::child::{Child, Program, say};
use crate::support::log::on_line;
use crate::support::{
    LIMIT, MS, SECOND, alone, assert_at_rest, cost, eventually, idle, in_time, next, unresponsive, wait_for_task,
};
use crossbeam_channel::unbounded;
use hosted::{EventKind, Host, every, group, worker};
use std::fs;
use std::io::Read;
use std::time::Duration;

pub(crate) const PROGRAMS: &[Program] = &[("beating", beating)];

/// How many threads are monitors.
fn monitors() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap().filter_map(Result::ok);
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.trim_end() == "hosted-monitor").count()
}

/// Returns when there are so many monitors. A thread names itself, and the kernel lists a thread that was joined for a moment
/// longer.
fn until_monitors(expected: usize) {
    eventually(|| (monitors() == expected).then_some(()));
}

// 163
#[test]
fn a_host_and_its_groups_have_one_monitor_if_a_service_asks_for_it_until_the_stop() {
    alone!();
    for watched in [false, true] {
        let mut host = Host::new();
        for name in ["first", "second"] {
            let options = host.add(name, idle());
            if watched {
                options.stalls_after(LIMIT);
            }
        }
        host.add(
            "crew",
            group(move |crew| {
                for name in ["third", "fourth"] {
                    let options = crew.add(name, idle());
                    if watched {
                        options.stalls_after(LIMIT);
                    }
                }
                Ok(())
            }),
        );
        host.start().unwrap();
        until_monitors(usize::from(watched));
        host.stop(LIMIT).unwrap();
        until_monitors(0);
    }
}

// 163
#[test]
fn a_host_that_fails_to_start_or_is_dropped_leaves_no_monitor() {
    alone!();
    let mut host = Host::new();
    host.add("idle", idle()).stalls_after(LIMIT);
    host.add("broken", crate::support::in_phase(hosted::Phase::Start, |_| Err("broken".into()))).stalls_after(LIMIT);
    host.start().unwrap_err();
    until_monitors(0);
    let mut host = Host::new();
    host.add("idle", idle()).stalls_after(LIMIT);
    host.start().unwrap();
    until_monitors(1);
    drop(host);
    until_monitors(0);
}

// 164
#[test]
fn by_the_system_clock_a_service_stalls_and_recovers() {
    let (service, release) = unresponsive();
    let mut host = Host::new();
    host.add("real time", service).stalls_after(20 * MS);
    let (handle, events) = (host.handle(), host.events());
    host.start().unwrap();
    let stalled = events.clone();
    let is_stall = |event: &hosted::Event| match &event.kind {
        EventKind::Stalled(thread) => Some(thread.waited),
        _ => None,
    };
    let waited = in_time(move || stalled.iter().find_map(|event| is_stall(&event))).unwrap();
    assert!(waited >= 20 * MS && !handle.is_live());
    drop(release); // it completes
    host.wait();
    assert!(handle.is_live());
    host.stop(LIMIT).unwrap();
}

// 164
#[test]
fn a_monitor_whose_logger_blocks_does_not_delay_the_stop() {
    let (arrived, arrivals) = unbounded();
    let (release, held) = unbounded::<()>();
    on_line(move |line| {
        if line.text.starts_with("service `blocks the monitor` is stalled") {
            arrived.send(()).unwrap();
            _ = held.recv();
        }
    });
    let (service, end) = unresponsive();
    let mut host = Host::new();
    host.add("blocks the monitor", service).stalls_after(MS);
    host.start().unwrap();
    next(&arrivals);
    drop(end);
    in_time(move || host.stop(LIMIT).map(drop)).unwrap();
    drop(release);
}

// 163
#[test]
fn an_idle_monitor_sleeps_until_a_service_could_be_late() {
    alone!();
    let mut host = Host::new();
    for name in ["first", "second"] {
        host.add(name, idle()).stalls_after(Duration::from_secs(24 * 3_600));
    }
    host.add("ticks", every(Duration::from_secs(3_600), |_| Ok(()))).stalls_after(Duration::from_secs(24 * 3_600));
    host.start().unwrap();
    let tasks: Vec<_> = ["hosted-monitor", "first", "second", "ticks"].map(wait_for_task).into();
    assert_at_rest(&tasks);
    host.stop(LIMIT).unwrap();
    until_monitors(0);
    // With a limit of 2 s, it looks every 500 ms: at most 7 times in 3 s, even if it slept only just before.
    let mut host = Host::new();
    host.add("first", idle()).stalls_after(2 * SECOND);
    host.start().unwrap();
    let monitor = wait_for_task("hosted-monitor");
    assert!((0..600).any(|_| {
        let before = cost(&monitor).unwrap().1;
        std::thread::sleep(3 * SECOND); // there is no event to wait for: that hardly anything happens is the promise
        let looks = cost(&monitor).unwrap().1 - before;
        (1..=7).contains(&looks)
    }));
    host.stop(LIMIT).unwrap();
}

/// A service that shows a sign of life every few milliseconds, until the standard input ends. Says how often it stalled.
fn beating() {
    let mut host = Host::new();
    let beats = |ctx: &hosted::Context| {
        while !ctx.stop_requested() {
            ctx.heartbeat();
            std::thread::sleep(5 * MS);
        }
        Ok(())
    };
    host.add("beats", worker(beats)).stalls_after(SECOND);
    let events = host.events();
    host.start().unwrap();
    say("ready");
    _ = std::io::stdin().read(&mut [0]);
    std::thread::sleep(SECOND); // the monitor looks at least twice
    let stalls = events.try_iter().filter(|event| matches!(event.kind, EventKind::Stalled(_))).count();
    say(&format!("{stalls} stalls"));
    host.stop(LIMIT).unwrap();
}

// 164
#[test]
fn a_process_that_was_frozen_for_longer_than_the_limit_has_no_stalled_service() {
    let mut child = Child::play("beating");
    child.signal("STOP");
    std::thread::sleep(3 * SECOND); // the freeze itself
    child.signal("CONT");
    child.reads_the_end();
    child.says("0 stalls");
    assert_eq!(child.ends_saying().0, 0);
}
