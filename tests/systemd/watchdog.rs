//! Guarantees 203 and 204: the watchdog, and a systemd that does not read its socket.

use crate::messages::{Messages, host};
use crate::support::child::{Program, leave, say};
use crate::support::{LIMIT, MS, SECOND, cost, idle, task_named, wait_for_task};
use hosted::{Context, worker};
use std::io::Read;
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const PROGRAMS: &[Program] =
    &[("hangs", hangs), ("stops while the socket is full", stops_while_full), ("dropped", dropped), ("stalls", stalls)];

/// A host with a service that is hung until the input of the process ends.
fn hangs() {
    let mut host = host();
    let run = |ctx: &Context| {
        ctx.wait();
        std::io::stdin().read_to_end(&mut Vec::new())?;
        Ok(())
    };
    host.add("hangs", worker(run));
    host.start().unwrap();
    say("ready");
    std::io::stdin().read_exact(&mut [0]).unwrap();
    assert!(host.stop(MS).is_err());
    say("hung");
    // The reading service is the only reader from here on.
    while host.handle().services()[0].state == hosted::ServiceState::Hung {
        thread::yield_now();
    }
    say("exited");
    thread::sleep(Duration::from_millis(500)); // for a few messages of the watchdog
    leave(host.stop(LIMIT).map(drop).map_err(|_| "hung"))
}

// 203
#[test]
fn the_watchdog_is_fed_twice_in_each_interval_and_only_while_the_host_is_live() {
    let messages = Messages::new();
    let mut child = messages.play("hangs", Some(200 * MS));
    messages.find("WATCHDOG=");
    let begin = Instant::now();
    (0..10).for_each(|_| drop(messages.find("WATCHDOG=")));
    // Ten messages take a second. A busy machine may delay them, and none comes early.
    assert!(begin.elapsed() > 850 * MS, "{:?}", begin.elapsed());
    child.reads("x");
    child.says("hung");
    messages.status_with("did not stop: `hangs`");
    thread::sleep(500 * MS); // the promise is that nothing happens, so there is no event to wait for
    assert!(messages.pending().iter().all(|line| !line.starts_with("WATCHDOG=")));
    child.reads_the_end();
    child.says("exited");
    messages.find("WATCHDOG=");
    assert_eq!(child.ends().0, 0);
}

fn stalls() {
    let mut host = host();
    let run = |ctx: &Context| {
        ctx.wait_until_started()?;
        say("ready");
        std::io::stdin().read_exact(&mut [0])?;
        ctx.wait();
        Ok(())
    };
    host.add("stalls", worker(run)).stalls_after(200 * MS);
    leave(host.run().map(drop))
}

// 203
#[test]
fn the_watchdog_is_not_fed_while_a_service_is_stalled() {
    let messages = Messages::new();
    // A message is due once a second.
    let mut child = messages.play("stalls", Some(2 * SECOND));
    messages.status_with("stalled: `stalls` (blocked in read(fd 0");
    thread::sleep(1_200 * MS); // a message would be due meanwhile; the promise is that none comes
    assert!(messages.pending().iter().all(|line| !line.starts_with("WATCHDOG=")));
    child.reads("x");
    messages.status_with("running: 1 service");
    assert_eq!(messages.find("WATCHDOG="), "1");
    child.signal("TERM");
    assert_eq!(child.ends().0, 0);
}

fn stops_while_full() {
    let mut host = host();
    host.add("service", idle());
    host.start().unwrap();
    say("ready");
    let task = wait_for_task("hosted-systemd");
    let limit = Instant::now() + LIMIT;
    // The thread wakes up every millisecond, until it is blocked because nobody reads.
    let sleeps = || cost(&task).unwrap().1;
    loop {
        let before = sleeps();
        thread::sleep(200 * MS);
        if sleeps() == before {
            break;
        }
        assert!(Instant::now() < limit, "the socket never fills up");
    }
    let begin = Instant::now();
    host.stop(LIMIT).unwrap();
    drop(host);
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    say("stopped");
    leave(())
}

// 204
#[test]
fn a_systemd_that_reads_no_messages_does_not_delay_a_stop() {
    let messages = Messages::new();
    let child = messages.play("stops while the socket is full", Some(2 * MS));
    child.says("stopped");
    assert_eq!(child.ends(), (0, String::new()));
}

/// Waits until the thread is gone.
fn has_ended() {
    let limit = Instant::now() + LIMIT;
    while task_named("hosted-systemd").is_some() {
        assert!(Instant::now() < limit, "the thread is still there");
        thread::yield_now();
    }
}

fn dropped() {
    say("ready");
    let mut never_started = host();
    never_started.add("service", idle());
    drop(never_started);
    has_ended();
    let mut running = host();
    running.add("service", idle());
    running.start().unwrap();
    wait_for_task("hosted-systemd");
    drop(running);
    has_ended();
    leave(())
}

// 204
#[test]
fn the_thread_ends_with_its_host() {
    let messages = Messages::new();
    assert_eq!(messages.play("dropped", None).ends(), (0, String::new()));
}
