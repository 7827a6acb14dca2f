//! Shutdown with very many services, or without time: all services receive their stop request, and the report is true.

use crate::support::log::{Level, on_line};
use crate::support::{LIMIT, idle, stop_timed_out, unresponsive};
use crossbeam_channel::{Sender, bounded, unbounded};
use hosted::{Context, EventKind, Host, Outcome, Service, StopCallback, StopSource, StopToken, group, task, worker};
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(300);

/// A service that waits for its stop request. It stores the guard of a callback outside, so that the guard outlives its
/// run.
fn with_callback(shelf: &Sender<StopCallback>, callback: impl FnOnce() + Send + 'static) -> impl Service {
    let (shelf, mut callback) = (shelf.clone(), Some(callback));
    worker(move |ctx| {
        shelf.send(ctx.on_stop(callback.take().ok_or("it runs once")?))?;
        ctx.wait();
        Ok(())
    })
}

/// Adds services side by side, and waits until each has registered its callback.
fn started<F: FnOnce() + Send + 'static>(services: usize, callback: impl Fn() -> F) -> (Host, Vec<StopCallback>) {
    let (shelf, guards) = unbounded();
    let mut host = Host::new();
    for number in 0..services {
        let options = host.add(format!("service {number}"), with_callback(&shelf, callback()));
        options.after::<&str>([]).stack_size(64 << 10);
    }
    host.start().unwrap();
    let guards = (0..services).map(|_| guards.recv_timeout(LIMIT).unwrap()).collect();
    (host, guards)
}

/// Returns the number of threads that call this many callbacks, none of which blocks.
fn threads_for(services: usize) -> usize {
    let threads = Arc::new(Mutex::new(HashSet::new()));
    let (mut host, guards) = started(services, || {
        let threads = threads.clone();
        move || _ = threads.lock().unwrap().insert(thread::current().id())
    });
    host.stop(LIMIT).unwrap();
    drop(guards);
    threads.lock().unwrap().len()
}

// 93
#[test]
fn callbacks_that_do_not_block_share_a_few_threads() {
    // Try more than once: on a busy machine, callbacks that wait look like callbacks that block.
    let tries: Vec<usize> = (0..10).map(|_| threads_for(300)).take_while(|&threads| threads >= 150).collect();
    assert!(tries.len() < 10, "{tries:?}");
}

// 93
#[test]
fn callbacks_that_block_delay_no_others_and_use_at_most_512_threads() {
    const SERVICES: usize = 600;
    let (release, held) = bounded::<()>(0);
    let (sender, receiver) = unbounded();
    let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (mut host, guards) = started(SERVICES, || {
        let (held, sender, inside, most) = (held.clone(), sender.clone(), inside.clone(), most.clone());
        move || {
            most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            sender.send(()).unwrap();
            _ = held.recv();
            inside.fetch_sub(1, Ordering::SeqCst);
        }
    });
    let (guards, release) = (guards, release); // dropped in reverse, so that a failed test ends
    let stopping = thread::spawn(move || host.stop(LIMIT).map(drop));
    // Other tests of this program use some of the 512 threads for a while.
    (0..512).for_each(|_| receiver.recv_timeout(LIMIT).unwrap());
    // The promise is that no more threads are created: there is no event to wait for.
    assert!(receiver.recv_timeout(Duration::from_millis(200)).is_err());
    drop(release);
    stopping.join().unwrap().unwrap();
    drop(guards);
    assert_eq!(512 + receiver.try_iter().count(), SERVICES);
    assert!(most.load(Ordering::SeqCst) <= 512);
}

// 92
#[test]
fn all_services_due_to_stop_have_their_request_before_the_first_callback_runs() {
    let tokens = Arc::new(Mutex::new(Vec::<StopToken>::new()));
    let (sender, receiver) = unbounded();
    let (shelf, guards) = unbounded();
    let mut host = Host::new();
    for number in 0..200 {
        let (mine, shelf, sender) = (tokens.clone(), shelf.clone(), sender.clone());
        let run = move |ctx: &Context| {
            mine.lock().unwrap().push(ctx.stop_token().clone());
            let (tokens, sender) = (mine.clone(), sender.clone());
            shelf.send(ctx.on_stop(move || {
                let all = tokens.lock().unwrap().iter().all(StopToken::stop_requested);
                _ = sender.send(all);
            }))?;
            ctx.wait();
            Ok(())
        };
        host.add(format!("service {number}"), worker(run)).after::<&str>([]).stack_size(64 << 10);
    }
    host.start().unwrap();
    let _guards: Vec<_> = (0..200).map(|_| guards.recv_timeout(LIMIT).unwrap()).collect();
    host.stop(LIMIT).unwrap();
    assert_eq!(receiver.try_iter().collect::<Vec<_>>(), vec![true; 200]);
}

// 93
#[test]
fn timers_whose_callbacks_block_share_the_pool_and_delay_no_other_timer() {
    const SOURCES: usize = 600;
    let (release, held) = bounded::<()>(0);
    let (sender, receiver) = unbounded();
    let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let sources: Vec<StopSource> = (0..SOURCES).map(|_| StopSource::new()).collect();
    let _guards: Vec<StopCallback> = sources
        .iter()
        .map(|source| {
            let (held, sender, inside, most) = (held.clone(), sender.clone(), inside.clone(), most.clone());
            source.token().on_stop(move || {
                most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                _ = held.recv();
                inside.fetch_sub(1, Ordering::SeqCst);
                sender.send(()).unwrap();
            })
        })
        .collect();
    sources.iter().for_each(|source| source.request_stop_after(Duration::ZERO));
    sources.iter().for_each(|source| source.token().wait());
    let later = StopSource::new();
    later.request_stop_after(Duration::from_millis(1));
    assert!(later.token().wait_timeout(LIMIT), "a callback delays the timer");
    drop(release);
    (0..SOURCES).for_each(|_| receiver.recv_timeout(LIMIT).unwrap());
    assert!(most.load(Ordering::SeqCst) <= 512);
}

#[test]
fn a_slow_service_that_depends_only_on_a_completed_task_has_not_timed_out() {
    let (slow, release) = unresponsive();
    let mut host = Host::new();
    let events = host.events();
    host.add("migration", task(|_| Ok(())));
    host.add("slow", slow);
    host.start().unwrap();
    let error = host.stop(SHORT).unwrap_err();
    assert_eq!(stop_timed_out(error.report()), [] as [&str; 0]);
    assert!(!events.try_iter().any(|event| matches!(event.kind, EventKind::StopTimedOut { .. })));
    drop(release);
    host.stop(LIMIT).unwrap();
}

#[test]
fn a_slow_service_times_out_even_if_a_completed_task_is_before_its_dependency() {
    let ((slow, release), mut host) = (unresponsive(), Host::new());
    let events = host.events();
    host.add("database", idle());
    host.add("migration", task(|_| Ok(())));
    host.add("slow", slow);
    host.start().unwrap();
    let error = host.stop(SHORT).unwrap_err();
    assert_eq!(stop_timed_out(error.report()), ["slow"]);
    let warned = events.try_iter().filter(|event| matches!(event.kind, EventKind::StopTimedOut { .. })).count();
    assert_eq!(warned, 1);
    drop(release);
    host.stop(LIMIT).unwrap();
}

/// Nested groups, each with a service that reports its stop deadline.
fn nested(depth: usize, sender: Sender<Option<Instant>>) -> impl Service {
    group(move |host| {
        let mine = sender.clone();
        host.add(
            "service",
            worker(move |ctx| {
                ctx.wait();
                Ok(mine.send(ctx.stop_deadline())?)
            }),
        );
        if depth > 0 {
            // Box the group. Otherwise its type would contain itself.
            let inner: Box<dyn Service> = Box::new(nested(depth - 1, sender.clone()));
            host.add("group", inner).after::<&str>([]);
        }
        Ok(())
    })
}

#[test]
fn services_in_deeply_nested_groups_have_the_same_stop_deadline() {
    const DEPTH: usize = 10;
    let (sender, receiver) = unbounded();
    let mut host = Host::new();
    host.add("group", nested(DEPTH, sender));
    host.start().unwrap();
    host.stop(LIMIT).unwrap();
    let deadlines: Vec<_> = receiver.try_iter().collect();
    assert_eq!(deadlines.len(), DEPTH + 1);
    assert!(deadlines[0].is_some() && deadlines.iter().all(|deadline| *deadline == deadlines[0]), "{deadlines:?}");
}

#[test]
fn all_of_a_thousand_hung_services_are_named_and_inspected_while_time_lasts() {
    const SERVICES: usize = 1_000;
    let (release, held) = bounded::<()>(0);
    let mut host = Host::new();
    for number in 0..SERVICES {
        let held = held.clone();
        let hangs = worker(move |_| Ok(_ = held.recv()));
        host.add(format!("service {number}"), hangs).after::<&str>([]).stack_size(64 << 10);
    }
    host.start().unwrap();
    let error = host.stop(Duration::from_millis(50)).unwrap_err();
    let hung: Vec<_> = error
        .report()
        .services
        .iter()
        .filter_map(|service| match &service.outcome {
            Outcome::Hung(hung) => Some(hung),
            _ => None,
        })
        .collect();
    assert_eq!((hung.len(), error.failures().len()), (SERVICES, SERVICES));
    if cfg!(target_os = "linux") {
        let inspected = hung.iter().filter(|hung| hung.blocked_in.is_some()).count();
        assert!((1..SERVICES).contains(&inspected), "{inspected}");
    }
    drop(release);
    host.stop(LIMIT).unwrap();
}

#[test]
fn after_a_freeze_beyond_the_deadline_services_have_a_moment_to_stop() {
    // Blocks the owner of the host until long after the deadline, in the log line that this service has exceeded its
    // stop timeout.
    on_line(|line| {
        if line.level == Level::Warn && line.text.starts_with("service `freezes`") {
            thread::sleep(4 * SHORT);
        }
    });
    // Try more than once: a service has 250 ms after the freeze, and a busy machine may need longer.
    let is_stopped = || {
        let ((slow, release), mut host) = (unresponsive(), Host::new());
        let takes_a_moment = worker(|ctx| {
            ctx.wait();
            thread::sleep(SHORT / 10); // stands for a clean-up
            Ok(())
        });
        host.add("database", takes_a_moment);
        host.add("freezes", slow);
        host.start().unwrap();
        let error = host.stop(SHORT).unwrap_err();
        drop(release);
        host.stop(LIMIT).unwrap();
        matches!(error.report().services[0].outcome, Outcome::Stopped)
    };
    assert!((0..10).any(|_| is_stopped()));
}
