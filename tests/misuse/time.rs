//! Durations that are zero, past, or longer than a clock can express; manual clocks that stand still or that many
//! threads advance.

use crate::support::{LIMIT, asleep_in, idle, in_time};
use crossbeam_channel::{bounded, unbounded};
use hosted::testing::ManualClock;
use hosted::{
    Cause, Clock, Context, EventKind, Host, Outcome, Phase, PushError, Queue, Restart, Result, StopSource, StopToken,
    every, task, worker,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest duration, and durations around the limits of an `Instant` and of signed and unsigned seconds.
fn far() -> Vec<Duration> {
    let seconds = [u64::MAX, u64::MAX / 2, u64::MAX / 4].map(Duration::from_secs);
    [Duration::MAX, Duration::from_millis(u64::MAX), Duration::from_nanos(u64::MAX)]
        .into_iter()
        .chain(seconds)
        .collect()
}

#[test]
fn every_timeout_of_a_host_may_be_duration_max() {
    for far in far() {
        in_time(move || {
            let mut host = Host::new();
            host.start_timeout(far).stop_timeout(far);
            let restart = Restart::on_failure().backoff(Duration::ZERO..=far).stable_after(far);
            host.add("a", idle()).start_timeout(far).stop_timeout(far).restart(restart);
            host.add("b", idle()).stop_timeout(far);
            host.start().unwrap();
            host.stop(far).unwrap();
        });
    }
}

#[test]
fn a_push_timeout_may_be_duration_max() {
    for far in far() {
        let queue = Queue::bounded(1);
        queue.push(1).unwrap();
        let pushed = queue.clone();
        let push = asleep_in(move || pushed.push_timeout(2, far));
        queue.close();
        assert_eq!(push.result(), Err(PushError::Closed(2)), "{far:?}");
    }
}

#[test]
fn with_a_start_timeout_of_zero_every_service_is_late() {
    in_time(|| {
        for of_host in [true, false] {
            let mut host = Host::new();
            let options = host.add("a", task(|_| Ok(())));
            if of_host {
                host.start_timeout(Duration::ZERO);
            } else {
                options.start_timeout(Duration::ZERO);
            }
            let error = host.start().unwrap_err();
            let [late] = error.failures() else { panic!("expected one late service: {error}") };
            assert!(late.phase() == Phase::Start && matches!(late.cause(), Cause::TimedOut(Duration::ZERO)), "{error}");
        }
    });
}

#[test]
fn a_sleep_until_the_past_returns_at_once_with_any_clock() {
    in_time(|| {
        let (begin, stop) = (Instant::now(), StopSource::new());
        assert_eq!(stop.token().sleep_until(begin), Ok(()));
        for clock in [Clock::system(), ManualClock::new().clock()] {
            let ctx = Context::new("a", stop.token()).with_clock(clock);
            assert_eq!(ctx.sleep_until(begin), Ok(()));
        }
    });
}

/// Returns how a service ends that fails in each run and completes in run `good`.
fn fails_until(good: u32, restart: Restart) -> Outcome {
    let run = move |ctx: &Context| if ctx.restarts() + 1 < good { Err("not yet".into()) } else { Ok(()) };
    let mut host = Host::new();
    host.add("a", worker(run)).restart(restart.backoff(Duration::ZERO..=Duration::ZERO));
    match host.run_until(&StopToken::never()) {
        Ok(mut report) => report.services.remove(0).outcome,
        Err(error) => error.report().services[0].outcome.clone(),
    }
}

#[test]
fn with_stable_after_zero_a_policy_never_gives_up() {
    in_time(|| {
        let policy = Restart::on_failure().give_up_after(1);
        assert!(matches!(fails_until(100, policy.clone()), Outcome::Failed(_)));
        assert!(matches!(fails_until(100, policy.stable_after(Duration::ZERO)), Outcome::Completed));
    });
}

#[test]
fn give_up_after_accepts_zero_and_u32_max() {
    in_time(|| {
        assert!(matches!(fails_until(2, Restart::on_failure().give_up_after(0)), Outcome::Failed(_)));
        assert!(matches!(fails_until(200, Restart::on_failure().give_up_after(u32::MAX)), Outcome::Completed));
        let Outcome::Failed(error) = fails_until(1, Restart::always().give_up_after(0)) else { panic!("it failed") };
        assert!(error.to_string().contains("completed again after reaching its restart limit"), "{error}");
    });
}

#[test]
fn also_first_start_has_no_effect_on_never() {
    in_time(|| {
        let (mut host, (sender, receiver)) = (Host::new(), unbounded());
        let fails = move |_: &Context| {
            sender.send(())?;
            Err("no".into())
        };
        host.add("a", task(fails)).restart(Restart::never().also_first_start());
        assert_eq!(host.start().unwrap_err().failures().len(), 1);
        assert_eq!(receiver.try_iter().count(), 1);
    });
}

#[test]
fn a_clock_that_is_moved_too_far_panics_and_stays_usable() {
    in_time(|| {
        let (time, stop) = (Arc::new(ManualClock::new()), StopSource::new());
        let (now, clock) = (time.clock().now(), time.clock());
        let ctx = Context::new("a", stop.token()).with_clock(clock.clone());
        let sleeper = asleep_in(move || ctx.sleep(Duration::from_secs(1)));
        time.wait_for_sleepers(1);
        let moved = time.clone();
        assert!(catch_unwind(AssertUnwindSafe(|| moved.advance(Duration::MAX))).is_err());
        assert_eq!((clock.now(), sleeper.result_so_far()), (now, None));
        time.advance(Duration::from_secs(1));
        assert_eq!(sleeper.result(), Ok(()));
    });
}

#[test]
fn a_service_may_advance_the_clock_of_others() {
    in_time(|| {
        let time = Arc::new(ManualClock::new());
        let mut host = Host::with_clock(time.clock());
        host.add("sleeper", worker(|ctx| Ok(ctx.sleep(Duration::from_secs(3600))?)));
        let mover = move |ctx: &Context| {
            time.wait_for_sleepers(1);
            time.advance(Duration::from_secs(3600));
            Ok(ctx.sleep(Duration::ZERO)?)
        };
        host.add("mover", worker(mover));
        let report = host.run_until(&StopToken::never()).unwrap();
        assert!(report.services.iter().all(|service| matches!(service.outcome, Outcome::Completed)), "{report}");
    });
}

#[test]
fn forgotten_ticks_leave_no_sleeper() {
    let (time, stop) = (ManualClock::new(), StopSource::new());
    let ctx = Context::new("a", stop.token()).with_clock(time.clock());
    std::mem::forget(ctx.ticks(Duration::from_secs(1)));
    drop(ctx.ticks(Duration::from_secs(1)).immediately());
    assert!(format!("{time:?}").contains("sleepers: 0"), "{time:?}");
    time.advance(Duration::from_secs(10));
}

#[test]
fn ticks_with_a_period_of_zero_panic_and_fail_the_service() {
    in_time(|| {
        let mut host = Host::new();
        host.add("a", worker(|ctx| Ok(_ = ctx.ticks(Duration::ZERO).next())));
        let error = host.run_until(&StopToken::never()).unwrap_err();
        let said = "service `a` panicked while running: tick period must not be zero";
        assert_eq!(error.failures()[0].to_string(), said);
    });
}

#[test]
fn a_period_of_a_nanosecond_counts_the_ticks_that_it_misses() {
    in_time(|| {
        let (mut host, (sender, receiver)) = (Host::new(), bounded(0));
        let events = host.events();
        let tick = move |ctx: &Context| -> Result {
            if sender.send(()).is_err() {
                ctx.host().request_stop();
            }
            Ok(())
        };
        host.add("a", every(Duration::from_nanos(1), tick));
        host.start().unwrap();
        (0..1_000).for_each(|_| receiver.recv().unwrap());
        drop(receiver);
        host.wait();
        host.stop(LIMIT).unwrap();
        assert!(events.try_iter().any(|event| matches!(event.kind, EventKind::MissedTicks { .. })));
    });
}
