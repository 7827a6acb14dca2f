//! A wait in this library is named by its purpose. Reports with wide names, and stack sizes that are too large.
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]

use crate::faults::{AN_HOUR, blocked, until, until_blocked};
use crate::support::{LIMIT, idle};
use crossbeam_channel::{bounded, never};
use hosted::testing::ManualClock;
use hosted::{Context, Host, Outcome, Queue, Restart, StopToken, every, group, worker};
use std::cell::RefCell;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn a_service_that_looks_at_itself_is_running() {
    let (sender, receiver) = bounded(1);
    let run = move |ctx: &Context| Ok(sender.send(blocked(ctx.host(), ctx.name()))?);
    let mut host = Host::new();
    host.add("status page", worker(run));
    host.start().unwrap();
    assert_eq!(receiver.recv_timeout(LIMIT).unwrap(), "running");
    host.stop(LIMIT).unwrap();
}

/// Returns `true` if `text` is `what`, optionally with the elapsed and the remaining time.
fn is(text: &str, what: &str, has_end: bool) -> bool {
    let rest = text.strip_prefix(what);
    rest.is_some_and(|rest| rest.ends_with(" s left") == has_end && matches!(rest.as_bytes(), [] | [b' ' | b',', ..]))
}

/// Adds a batch consumer whose first batch has one job, and is not full.
fn add_batch_consumer(
    host: &mut Host,
    name: &str,
    linger: Duration,
    f: impl Fn(&mut u32) -> hosted::Result + Send + 'static,
) {
    let (queue, mut state) = (Queue::bounded(2), 0);
    queue.push(1).unwrap();
    host.add(name, queue.batch_consumer(2, linger, move |_, _| f(&mut state))).after::<&str>([]);
}

// 105
#[test]
fn every_wait_of_the_library_is_named_for_what_it_waits_for() {
    let mut host = Host::new();
    let mut add = |name: &'static str, waits: Box<dyn Fn(&Context) + Send>| {
        let run = move |ctx: &Context| {
            waits(ctx);
            Ok(())
        };
        host.add(name, worker(run)).after::<&str>([]);
    };
    add("wait", Box::new(Context::wait));
    add("sleep", Box::new(|ctx| _ = ctx.sleep(AN_HOUR)));
    add("sleep forever", Box::new(|ctx| _ = ctx.sleep(Duration::MAX)));
    add("sleep until", Box::new(|ctx| _ = ctx.sleep_until(Instant::now() + AN_HOUR)));
    add("wait with a limit", Box::new(|ctx| _ = ctx.stop_token().wait_timeout(AN_HOUR)));
    add("receive", Box::new(|ctx| _ = ctx.recv(&never::<()>())));
    add("ticks", Box::new(|ctx| _ = ctx.ticks(AN_HOUR).next()));
    add("ticks too far", Box::new(|ctx| _ = ctx.ticks(Duration::MAX).next()));
    let full = Queue::bounded(1);
    full.push(1).unwrap();
    let (push, push_until, limited) = (full.clone(), full.clone(), full.clone());
    add("push until", Box::new(move |ctx| _ = push_until.push_until(2, ctx.stop_token())));
    add("push", Box::new(move |_| _ = push.push(3)));
    add("push with a limit", Box::new(move |_| _ = limited.push_timeout(4, AN_HOUR)));
    host.add("consumer", Queue::<i32>::bounded(1).consumer(|_, _| Ok(()))).after::<&str>([]);
    add_batch_consumer(&mut host, "batch", AN_HOUR, |_| Ok(()));
    add_batch_consumer(&mut host, "batch without a limit", Duration::MAX, |_| Ok(()));
    add_batch_consumer(&mut host, "failed batch", Duration::ZERO, |failures| {
        *failures += 1;
        if *failures < 5 { Err("no connection".into()) } else { Ok(()) }
    });
    host.add("every", every(AN_HOUR, |_| Ok(()))).independent();
    host.add("every with a fixed delay", every(AN_HOUR, |_| Ok(())).fixed_delay()).independent();
    #[cfg(feature = "cron")]
    host.add("cron", hosted::cron("0 0 29 2 *", |_| Ok(()))).independent();
    host.add("restart", worker(|_| Err("lost".into())))
        .after::<&str>([])
        .restart(Restart::on_failure().backoff(AN_HOUR..=AN_HOUR));
    host.start().unwrap();
    let handle = host.handle();
    for (name, what, has_end) in [
        ("wait", "waiting for the stop", false),
        ("sleep", "sleeping", true),
        ("sleep forever", "sleeping", false),
        ("sleep until", "sleeping", true),
        ("wait with a limit", "waiting for the stop", true),
        ("receive", "waiting for a message", false),
        ("ticks", "waiting for the next tick", true),
        ("push until", "waiting for room in a queue", false),
        ("push", "waiting for room in a queue", false),
        ("push with a limit", "waiting for room in a queue", true),
        ("consumer", "waiting for a job", false),
        ("batch", "waiting for more jobs", true),
        ("batch without a limit", "waiting for more jobs", false),
        ("failed batch", "waiting to retry a batch", true),
        ("every", "waiting for the next tick", true),
        ("every with a fixed delay", "waiting for the next tick", true),
        #[cfg(feature = "cron")]
        ("cron", "waiting for its schedule", true),
        ("restart", "waiting for its restart", true),
    ] {
        until_blocked(&handle, name, |text| is(text, what, has_end));
    }
    // The last wait is for a tick so late that an `Instant` cannot represent it.
    until_blocked(&handle, "ticks too far", |text| is(text, "waiting for the next tick", false));
    #[cfg(feature = "cron")]
    {
        // It checks the clock every minute. The line has the time to its next run, of which there is one in four years.
        let text = blocked(&handle, "cron");
        let left: f64 =
            text.rsplit(", ").next().and_then(|left| left.strip_suffix(" s left")).unwrap().parse().unwrap();
        assert!(left > 60.0, "{text}");
    }
    full.close();
    host.stop(LIMIT).unwrap();
}

// 105
#[cfg(feature = "io")]
#[test]
fn a_service_that_waits_for_its_turn_to_read_says_so() {
    use std::io::Read;
    /// A stream of a type that the library does not know, so that only one thread reads at a time.
    struct Unknown(std::fs::File);
    impl std::os::fd::AsFd for Unknown {
        fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
            self.0.as_fd()
        }
    }
    impl Read for &Unknown {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            (&self.0).read(into)
        }
    }
    let (reader, _writer) = std::io::pipe().unwrap();
    let stream = Unknown(std::fs::File::from(std::os::fd::OwnedFd::from(reader)));
    let stop = hosted::StopSource::new();
    let stream = std::sync::Arc::new(stop.token().interruptible(stream));
    let mut host = Host::new();
    for name in ["first", "second"] {
        let stream = stream.clone();
        host.add(name, worker(move |_| Ok(_ = (&*stream).read(&mut [0])))).independent();
    }
    host.start().unwrap();
    let one_has_its_turn = || {
        let [first, second] = ["first", "second"].map(|name| blocked(&host.handle(), name));
        let waits = |text: &str| is(text, "waiting for its turn to read", false);
        (waits(&first) && second.contains("poll(") || waits(&second) && first.contains("poll(")).then_some(())
    };
    until(one_has_its_turn, || "no service waits for its turn".to_owned());
    stop.request_stop();
    host.stop(LIMIT).unwrap();
}

#[test]
fn a_service_that_waits_for_the_start_of_the_others_says_so() {
    let (release, held) = bounded::<()>(0);
    let mut host = Host::new();
    host.add("waits", worker(|ctx| Ok(ctx.wait_until_started()?)));
    host.add("slow", hosted::task(move |_| Ok(_ = held.recv())));
    let handle = host.handle();
    let starts = thread::spawn(move || host.start().map(|()| host));
    until_blocked(&handle, "waits", |text| is(text, "waiting for the host to start", false));
    drop(release);
    starts.join().unwrap().unwrap().stop(LIMIT).unwrap();
}

#[test]
fn a_sleep_by_a_manual_clock_is_named_without_an_end_time() {
    let clock = ManualClock::new();
    let mut host = Host::with_clock(clock.clock());
    host.add("sleep", worker(|ctx| Ok(ctx.sleep(AN_HOUR)?))).after::<&str>([]);
    host.add("ticks", worker(|ctx| Ok(_ = ctx.ticks(AN_HOUR).next()))).after::<&str>([]);
    host.start().unwrap();
    until_blocked(&host.handle(), "sleep", |text| is(text, "sleeping", false));
    until_blocked(&host.handle(), "ticks", |text| is(text, "waiting for the next tick", false));
    host.stop(LIMIT).unwrap();
}

#[test]
fn the_lines_of_a_hung_service_its_group_and_its_callback_name_their_waits() {
    let (release, held) = bounded::<()>(0);
    let (in_callback, in_child) = (held.clone(), held);
    let mut host = Host::new();
    let sleeps = |_: &Context| Ok(StopToken::never().sleep(AN_HOUR)?);
    host.add("sleeper", worker(sleeps)).after::<&str>([]);
    let guarded = move |ctx: &Context| {
        let ((begin, begun), held) = (bounded(1), in_callback.clone());
        let guard = ctx.on_stop(move || {
            _ = begin.send(());
            _ = held.recv();
        });
        begun.recv()?; // otherwise the drop of the guard would unregister the callback
        drop(guard);
        Ok(())
    };
    host.add("guarded", worker(guarded)).after::<&str>([]);
    let crew = group(move |crew| {
        let held = in_child.clone();
        crew.add("stuck", worker(move |_| Ok(_ = held.recv())));
        Ok(())
    });
    host.add("crew", crew).after::<&str>([]);
    host.start().unwrap();
    let handle = host.handle();
    until_blocked(&handle, "sleeper", |text| is(text, "sleeping", true));
    until_blocked(&handle, "guarded", |text| text.starts_with("futex")); // it has registered its callback
    let error = host.stop(Duration::ZERO).unwrap_err();
    let hung = |error: &hosted::HostError, name: &str| {
        let row = error.report().services.iter().find(|row| *row.name == *name).expect("its row");
        let Outcome::Hung(hung) = &row.outcome else { panic!("`{name}` is not hung: {error}") };
        hung.to_string()
    };
    let line = hung(&error, "sleeper");
    assert!(line.contains(", sleeping") && line.ends_with(" s left") && !line.contains("blocked in"), "{line}");
    // The services reach their waits at different times.
    let again = |host: &mut Host, name: &str, part: &str| {
        let line = RefCell::new(String::new());
        let find = || {
            *line.borrow_mut() = hung(&host.stop(Duration::ZERO).unwrap_err(), name);
            line.borrow().contains(part).then_some(())
        };
        until(find, || format!("never said: {}", line.borrow()));
    };
    again(&mut host, "guarded", ", its service waiting for its stop callback");
    again(&mut host, "crew", ", waiting for its services");
    drop(release);
    std::mem::forget(host); // only the exit of the process ends this sleep
}

#[test]
fn names_that_are_wide_on_a_terminal_leave_the_columns_of_a_report_aligned() {
    let names = ["日本語", "mailer", "gro\u{308}ßer", "한국"];
    let mut host = Host::new();
    for name in names {
        host.add(name, idle()).after::<&str>([]);
    }
    host.start().unwrap();
    let report = host.stop(LIMIT).unwrap().to_string();
    // Six columns for each name, without the last two rows.
    for row in ["\n  日本語  stopped ", "\n  mailer  stopped ", "\n  gro\u{308}ßer  stopped ", "\n  한국    stopped "]
    {
        assert!(report.contains(row), "{report}");
    }
}

#[test]
fn a_stack_size_that_is_too_large_is_an_error_of_start() {
    for bytes in [usize::MAX, usize::MAX - 1, usize::MAX - 4_095, isize::MAX as usize, usize::MAX / 2] {
        let mut host = Host::new();
        host.add("giant", worker(|_| Ok(()))).stack_size(bytes);
        let error = host.start().unwrap_err();
        assert!(error.failures().is_empty() && error.to_string().contains("`giant`"), "{bytes}: {error}");
        assert!(matches!(error.report().services[0].outcome, Outcome::NeverStarted), "{bytes}: {error}");
    }
}
