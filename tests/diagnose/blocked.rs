//! Guarantees 49 and 72, on Linux: a hung thread is named with the call that it is blocked in. Threads have the names
//! of their services and the requested stack sizes.
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]

use crate::support::{LIMIT, idle};
use crossbeam_channel::bounded;
use hosted::{Context, Host, Outcome, ServiceState, ServiceStatus, worker};
use std::fs;
use std::time::{Duration, Instant};

// 49
#[test]
fn a_hung_service_is_named_with_its_thread_id() {
    let (sender, receiver) = bounded(1);
    let (release, held) = bounded::<()>(0);
    let run = move |_: &Context| {
        sender.send(fs::read_link("/proc/thread-self")?)?;
        _ = held.recv();
        Ok(())
    };
    let mut host = Host::new();
    host.add("stuck", worker(run));
    host.start().unwrap();
    let thread = receiver.recv_timeout(LIMIT).unwrap();
    let tid = thread.file_name().and_then(|name| name.to_str()).unwrap();
    let error = host.stop(Duration::ZERO).unwrap_err();
    let Outcome::Hung(hung) = &error.report().services[0].outcome else { panic!("not hung: {error}") };
    assert_eq!(hung.thread, format!("stuck (tid {tid})"));
    drop(release);
    host.stop(LIMIT).unwrap();
}

// 49
#[test]
fn a_status_shows_the_blocking_call_only_while_the_host_waits_for_the_service() {
    let mut host = Host::new();
    host.add("idle", idle());
    let status = |host: &Host| host.handle().services().remove(0);
    assert_eq!(status(&host).blocked_in, None);
    host.start().unwrap();
    assert_eq!((status(&host).state, status(&host).blocked_in), (ServiceState::Running, None));
    host.stop(LIMIT).unwrap();
    assert_eq!((status(&host).state, status(&host).blocked_in), (ServiceState::Stopped, None));
}

// 49
#[test]
fn blocked_in_shows_the_blocking_call_of_a_service_at_any_time() {
    let mut host = Host::new();
    host.add("idle", idle());
    host.add("done", worker(|_| Ok(())));
    let waits = |host: &Host| host.handle().services().iter().map(ServiceStatus::blocked_now).collect::<Vec<_>>();
    assert_eq!(waits(&host), [None, None]);
    host.start().unwrap();
    // There is no event for "its thread has reached the wait", so this polls the kernel.
    let began = Instant::now();
    while !waits(&host)[0].as_ref().is_some_and(|text| text.starts_with("waiting for the stop")) {
        assert!(began.elapsed() < LIMIT, "the host never reports this wait");
        std::thread::yield_now();
    }
    assert_eq!(host.handle().services()[0].state, ServiceState::Running);
    let before = host.handle().services();
    host.stop(LIMIT).unwrap();
    assert_eq!(waits(&host), [None, None]);
    assert_eq!(before[0].blocked_now(), None, "its thread has exited since then");
}

/// Starts a service with this name. Returns the name of its thread, as std and as the kernel report it.
fn thread_names(name: &str) -> (String, Vec<u8>) {
    let (sender, receiver) = bounded(1);
    let mut host = Host::new();
    let run = move |ctx: &Context| {
        let std = std::thread::current().name().map(str::to_owned);
        sender.send((std.ok_or("no name")?, fs::read("/proc/thread-self/comm")?))?;
        ctx.wait();
        Ok(())
    };
    host.add(name, worker(run));
    host.start().unwrap();
    let (std, mut kernel) = receiver.recv_timeout(LIMIT).unwrap();
    assert_eq!(kernel.pop(), Some(b'\n'));
    host.stop(LIMIT).unwrap();
    (std, kernel)
}

// 72
#[test]
fn a_thread_has_its_services_name() {
    assert_eq!(thread_names("mailer"), ("mailer".to_owned(), b"mailer".to_vec()));
    let long = "a service with a long name";
    assert_eq!(thread_names(long), (long.to_owned(), b"a service with ".to_vec()));
}

// 72
#[test]
fn a_long_name_is_cut_between_two_letters_for_the_kernel() {
    for (name, kernel) in [
        ("größenänderungen", "größenänderu"), // the first twelve letters have 15 bytes
        ("ääääääääää", "äääääää"),            // byte 15 is inside the eighth letter
        ("日本語のサービス", "日本語のサ"),   // five letters of three bytes have 15
        ("x日本語のサービス", "x日本語の"),   // the fifth Japanese letter would end at byte 16
        ("ab🦀🦀🦀🦀", "ab🦀🦀🦀"),           // the fourth crab would end at byte 18
        ("äöüß", "äöüß"),                     // short enough
    ] {
        let (std, cut) = thread_names(name);
        assert_eq!(std, name);
        let cut = String::from_utf8(cut).unwrap_or_else(|_| panic!("{name} was cut inside a letter"));
        assert_eq!(cut, kernel);
    }
}

/// Uses a kilobyte of stack for each level, and returns the sum.
fn dig(depth: u64) -> u64 {
    let page = std::hint::black_box([depth; 128]);
    if depth == 0 { 0 } else { std::hint::black_box(page[127] + dig(depth - 1)) }
}

// 72
#[test]
fn a_stack_size_is_honoured() {
    let (sender, receiver) = bounded(1);
    let mut host = Host::new();
    // 12 MiB at least: the standard library's 2 MiB would overflow, which ends the process.
    let run = move |_: &Context| Ok(sender.send(dig(12 * 1_024))?);
    host.add("digger", worker(run)).stack_size(64 << 20);
    host.start().unwrap();
    assert_eq!(receiver.recv_timeout(LIMIT).unwrap(), (0..=12 * 1_024).sum());
    host.stop(LIMIT).unwrap();
}
