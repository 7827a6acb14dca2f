//! Guarantees 65 to 68: `every`, a service that calls a function at a fixed rate.

use crate::support::log::{Level, record};
use crate::support::{LIMIT, SECOND, next};
use crossbeam_channel::{Receiver, unbounded};
use hosted::testing::ManualClock;
use hosted::{
    Cause, Context, Event, EventKind, Every, Host, Outcome, Phase, Restart, Result, Service, ServiceReport, StopSource,
    StopToken, Stopped, every,
};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

const PERIOD: Duration = Duration::from_secs(10);

/// A function for `every` that reports each call, in seconds since the start, and then calls `then`.
fn telling(
    mut then: impl FnMut(u32, &Context) -> Result + Send + 'static,
) -> (impl FnMut(&Context) -> Result + Send + 'static, Receiver<u64>) {
    let (sender, receiver) = unbounded();
    let (mut began, mut calls) = (None, 0);
    let tick = move |ctx: &Context| {
        let now = ctx.clock().now();
        calls += 1;
        sender.send((now - *began.get_or_insert(now)).as_secs()).unwrap();
        then(calls, ctx)
    };
    (tick, receiver)
}

struct Bench {
    time: Arc<ManualClock>,
    host: Host,
    events: Receiver<Event>,
}

fn bench() -> Bench {
    let time = Arc::new(ManualClock::new());
    let host = Host::with_clock(time.clock());
    Bench { time, events: host.events(), host }
}

impl Bench {
    /// Starts `service`, and waits until it sleeps by the clock.
    fn start(&mut self, service: impl Service) {
        self.host.add("every", service);
        self.host.start().unwrap();
        self.time.wait_for_sleepers(1);
    }

    /// Advances the clock by each of these times, and stops the host.
    fn pass(&mut self, seconds: impl IntoIterator<Item = u32>) -> ServiceReport {
        for seconds in seconds {
            self.time.advance(SECOND * seconds);
            self.time.wait_for_sleepers(1);
        }
        self.host.stop(LIMIT).unwrap().services.remove(0)
    }

    /// The events of the service, except those of its life cycle.
    fn remarks(&self) -> Vec<String> {
        let is_remark =
            |event: &Event| matches!(event.kind, EventKind::Reported { .. } | EventKind::MissedTicks { .. });
        self.events.try_iter().filter(is_remark).map(|event| event.to_string()).collect()
    }
}

fn by_delay<F>(fixed_delay: bool, service: Every<F>) -> Every<F> {
    if fixed_delay { service.fixed_delay() } else { service }
}

// 65
#[test]
fn the_first_call_comes_after_one_period_and_then_one_each_period() {
    let mut bench = bench();
    let (tick, calls) = telling(|_, _| Ok(()));
    bench.start(every(PERIOD, tick));
    bench.time.advance(PERIOD - SECOND);
    bench.time.wait_for_sleepers(1);
    assert!(calls.is_empty(), "not before one period has passed");
    bench.pass([1, 10, 10, 10]);
    assert_eq!(calls.try_iter().collect::<Vec<_>>(), [0, 10, 20, 30]);
}

// 65
#[test]
fn immediately_the_first_call_comes_at_once() {
    for fixed_delay in [false, true] {
        let mut bench = bench();
        let (tick, calls) = telling(|_, _| Ok(()));
        bench.start(by_delay(fixed_delay, every(PERIOD, tick).immediately()));
        assert_eq!(calls.len(), 1, "time has not moved");
        bench.pass([10]);
        assert_eq!(calls.try_iter().collect::<Vec<_>>(), [0, 10]);
    }
}

// 65
#[test]
fn a_slow_tick_does_not_shift_the_schedule_and_missed_ticks_come_as_one() {
    let mut bench = bench();
    let time = bench.time.clone();
    let (tick, calls) = telling(move |n, _| {
        time.advance(if n == 1 { SECOND * 35 } else { Duration::ZERO }); // 10, 20 and 30 pass
        Ok(())
    });
    bench.start(every(PERIOD, tick).immediately());
    bench.pass([5, 10]);
    assert_eq!(calls.try_iter().collect::<Vec<_>>(), [0, 35, 40, 50]);
    assert_eq!(bench.remarks(), ["service `every` missed 2 ticks"]);
}

// 65
#[test]
fn a_fixed_delay_counts_from_the_end_of_the_last_call() {
    let mut bench = bench();
    let time = bench.time.clone();
    let (tick, calls) = telling(move |_, _| {
        time.advance(SECOND * 35);
        Ok(())
    });
    bench.start(every(PERIOD, tick).immediately().fixed_delay());
    bench.pass([10, 10, 10]);
    assert_eq!(calls.try_iter().collect::<Vec<_>>(), [0, 45, 90, 135]);
    assert!(bench.remarks().is_empty(), "with a fixed delay no tick can be missed");
}

fn fails_then_panics(n: u32) -> Result {
    match n {
        1 => Err("the disk is full".into()),
        2 => panic!("the disk is gone"),
        _ => Ok(()),
    }
}

// 66
#[test]
fn a_tick_that_fails_or_panics_is_logged_and_counted_and_the_next_one_comes() {
    let log = record();
    let mut bench = bench();
    let (tick, calls) = telling(|n, _| fails_then_panics(n));
    bench.host.add("cleaner", every(PERIOD, tick)).restart(Restart::on_failure());
    bench.host.start().unwrap();
    bench.time.wait_for_sleepers(1);
    let report = bench.pass([10, 10, 10]);
    assert_eq!(calls.try_iter().count(), 3);
    assert!(matches!(report.outcome, Outcome::Stopped));
    assert_eq!((report.errors, report.restarts), (2, 0));
    let last = "a tick panicked: the disk is gone";
    assert_eq!(bench.host.handle().services()[0].last_error.as_deref(), Some(last));
    let said = ["the disk is full", last].map(|text| format!("service `cleaner` reported an error: {text}"));
    assert_eq!(bench.remarks(), said);
    for text in said {
        let lines = log.containing(&text);
        let line = lines.first().expect("a log line");
        assert_eq!((line.level, &*line.target, &*line.text), (Level::Warn, "hosted::service", &*text));
    }
}

// 66
#[test]
fn with_fail_fast_a_tick_that_fails_or_panics_is_the_services_failure() {
    for nth in [1, 2] {
        let mut host = Host::new();
        host.add("every", every(PERIOD, move |_| fails_then_panics(nth)).immediately().fail_fast());
        let error = host.run_until(&StopToken::never()).unwrap_err();
        assert_eq!(error.report().services[0].errors, 1);
        assert_eq!((error.failures().len(), error.failures()[0].phase()), (1, Phase::Run));
        match error.failures()[0].cause() {
            Cause::Failed(error) => assert_eq!((nth, &*error.to_string()), (1, "the disk is full")),
            Cause::Panicked(text) => assert_eq!((nth, &**text), (2, "the disk is gone")),
            other => panic!("{other:?}"),
        }
    }
}

// 66
#[test]
fn with_fail_fast_a_restart_begins_a_new_schedule() {
    let mut bench = bench();
    let (tick, calls) = telling(|n, _| fails_then_panics(n));
    let restart = Restart::on_failure().backoff(SECOND..=SECOND);
    bench.host.add("every", every(PERIOD, tick).fail_fast()).restart(restart);
    bench.host.start().unwrap();
    bench.time.wait_for_sleepers(1);
    assert_eq!(bench.pass([10, 1, 10, 1, 10, 10]).restarts, 2);
    assert_eq!(calls.try_iter().collect::<Vec<_>>(), [0, 11, 22, 32]);
}

// 67
#[test]
fn a_tick_that_runs_at_the_stop_is_finished_and_no_other_comes() {
    type End = fn(&Context) -> Result;
    let ways: [(End, u64); 3] = [(|_| Ok(()), 0), (|ctx| Ok(ctx.check()?), 0), (|_| Err("late".into()), 1)];
    for fixed_delay in [false, true] {
        for (how, errors) in ways {
            let Bench { time, mut host, .. } = bench();
            let (sender, receiver) = unbounded();
            let tick = move |ctx: &Context| {
                sender.send("began")?;
                ctx.wait(); // for the stop request
                time.advance(PERIOD * 3);
                sender.send("ended")?;
                how(ctx)
            };
            let service = every(PERIOD, tick).immediately();
            host.add("every", by_delay(fixed_delay, service));
            host.start().unwrap();
            assert_eq!(next(&receiver), "began");
            let report = host.stop(LIMIT).unwrap();
            assert_eq!(receiver.try_iter().collect::<Vec<_>>(), ["ended"]);
            assert!(matches!(report.services[0].outcome, Outcome::Stopped));
            assert_eq!(report.services[0].errors, errors);
        }
    }
}

// 67
#[test]
fn no_tick_begins_after_the_stop_request_even_if_it_is_due() {
    let (stop, calls) = (StopSource::new(), Arc::new(AtomicUsize::new(0)));
    let ctx = Context::new("every", stop.token());
    stop.request_stop();
    for fixed_delay in [false, true] {
        let calls = calls.clone();
        let service = every(PERIOD, move |_| Ok(_ = calls.fetch_add(1, SeqCst))).immediately();
        let result = by_delay(fixed_delay, service).run(&ctx);
        assert!(result.is_ok() || result.unwrap_err().is::<Stopped>());
    }
    assert_eq!(calls.load(SeqCst), 0);
}

// 67
#[test]
fn ticks_never_overlap_however_many_are_due() {
    let mut bench = bench();
    let ((sender, receiver), (go, gone)) = (unbounded(), unbounded());
    let tick = move |_: &Context| {
        sender.send("in")?;
        gone.recv_timeout(LIMIT)?;
        Ok(sender.send("out")?)
    };
    bench.start(every(PERIOD, tick));
    for _ in 0..20 {
        bench.time.wait_for_sleepers(1);
        bench.time.advance(PERIOD);
        assert_eq!(next(&receiver), "in");
        (0..5).for_each(|_| bench.time.advance(PERIOD));
        go.send(()).unwrap();
        assert_eq!(next(&receiver), "out");
        assert_eq!(next(&receiver), "in"); // one for all five
        go.send(()).unwrap();
        assert_eq!(next(&receiver), "out");
    }
    bench.pass([]);
    assert!(receiver.is_empty());
}

// 68
#[test]
fn a_day_of_ticks_on_a_manual_clock_has_the_exact_number() {
    for fixed_delay in [false, true] {
        let mut bench = bench();
        let (tick, calls) = telling(|_, _| Ok(()));
        bench.start(by_delay(fixed_delay, every(Duration::from_secs(60), tick)));
        bench.pass([60; 24 * 60]);
        assert_eq!(calls.try_iter().collect::<Vec<_>>(), (0..24 * 60).map(|minute| minute * 60).collect::<Vec<_>>());
        assert!(bench.remarks().is_empty());
    }
}

// 65
#[test]
fn a_period_of_zero_is_an_error_of_start_also_in_a_box() {
    let busy = || every(Duration::ZERO, |_| Ok(()));
    for service in [Box::new(busy()) as Box<dyn Service>, Box::new(Box::new(busy()))] {
        let mut host = Host::new();
        host.add("busy", service);
        let error = host.start().unwrap_err();
        assert!(error.failures().is_empty());
        assert!(error.to_string().contains("`busy`"), "{error}");
    }
}
