//! Guarantee 65, for the iterator of `Context::ticks`: the phase, missed ticks and their number, and the end at the
//! stop.

use crate::support::{SECOND, next};
use crossbeam_channel::{Receiver, unbounded};
use hosted::testing::ManualClock;
use hosted::{Clock, Context, StopSource, Tick, Ticks};
use std::thread::spawn;
use std::time::{Duration, Instant};

const PERIOD: Duration = Duration::from_secs(10);

struct Bench {
    time: ManualClock,
    stop: StopSource,
    began: Instant,
}

fn bench() -> Bench {
    let time = ManualClock::new();
    let began = time.clock().now();
    Bench { time, stop: StopSource::new(), began }
}

impl Bench {
    fn ctx(&self) -> Context {
        Context::new("ticker", self.stop.token()).with_clock(self.time.clock())
    }

    fn ticks(&self) -> Ticks {
        self.ctx().ticks(PERIOD)
    }

    /// Returns when a tick was due, in seconds since the start, and how many missed ticks it reports.
    fn read(&self, tick: Option<Tick>) -> (u64, u32) {
        let tick = tick.expect("the ticks ended before the stop");
        ((tick.scheduled - self.began).as_secs(), tick.missed)
    }

    /// Ticks on another thread.
    fn ticking(&self, ticks: Ticks) -> Receiver<Option<Tick>> {
        let (seen, sees) = unbounded();
        spawn(move || {
            ticks.for_each(|tick| seen.send(Some(tick)).unwrap());
            seen.send(None).unwrap();
        });
        sees
    }
}

// 65
#[test]
fn the_first_tick_comes_after_one_period_and_not_before() {
    let bench = bench();
    let ticks = bench.ticking(bench.ticks());
    bench.time.wait_for_sleepers(1);
    bench.time.advance(PERIOD - Duration::from_nanos(1));
    bench.time.wait_for_sleepers(1);
    assert!(ticks.try_recv().is_err(), "it sleeps on");
    bench.time.advance(Duration::from_nanos(1));
    assert_eq!(bench.read(next(&ticks)), (10, 0));
    bench.stop.request_stop();
    assert_eq!(next(&ticks), None);
}

// 65
#[test]
fn immediately_is_a_tick_at_once_and_then_one_each_period() {
    let bench = bench();
    let mut ticks = bench.ticks().immediately();
    assert_eq!(bench.read(ticks.next()), (0, 0));
    bench.time.advance(PERIOD);
    assert_eq!(bench.read(ticks.next()), (10, 0));
}

// 65
#[test]
fn a_late_tick_does_not_shift_those_after_it() {
    let bench = bench();
    let mut ticks = bench.ticks();
    bench.time.advance(SECOND * 19);
    assert_eq!(bench.read(ticks.next()), (10, 0));
    bench.time.advance(SECOND);
    assert_eq!(bench.read(ticks.next()), (20, 0));
    bench.time.advance(SECOND * 10);
    assert_eq!(bench.read(ticks.next()), (30, 0));
}

// 65
#[test]
fn missed_ticks_come_as_one_with_their_number() {
    let bench = bench();
    let mut ticks = bench.ticks();
    bench.time.advance(SECOND * 47); // 10, 20, 30 and 40 have passed
    assert_eq!(bench.read(ticks.next()), (40, 3));
    bench.time.advance(SECOND * 3);
    assert_eq!(bench.read(ticks.next()), (50, 0));
    bench.time.advance(SECOND * 20); // exactly on the grid: 60 and 70
    assert_eq!(bench.read(ticks.next()), (70, 1));
}

// 65
#[test]
fn no_tick_comes_twice_and_none_is_lost_however_time_jumps() {
    let bench = bench();
    let mut ticks = bench.ticks();
    let (mut seen, mut passed) = (0, 0);
    for jump in (0..500_u64).map(|n| 10 + n * 7919 % 95) {
        bench.time.advance(Duration::from_secs(jump));
        passed += jump;
        let (scheduled, missed) = bench.read(ticks.next());
        seen += 1 + u64::from(missed);
        assert_eq!((scheduled, seen), (seen * 10, passed / 10), "at {passed} s");
    }
}

// 65
#[test]
fn the_ticks_end_when_a_stop_comes_while_they_wait() {
    let bench = bench();
    let ticks = bench.ticking(bench.ticks());
    bench.time.wait_for_sleepers(1);
    bench.stop.request_stop();
    assert_eq!(next(&ticks), None);
}

// 65
#[test]
fn the_ticks_end_at_the_stop_also_when_one_is_due_and_stay_ended() {
    let bench = bench();
    let mut ticks = bench.ticks().immediately();
    assert!(ticks.next().is_some());
    bench.time.advance(PERIOD * 3);
    bench.stop.request_stop();
    assert_eq!(ticks.next(), None);
    bench.time.advance(PERIOD);
    assert_eq!(ticks.next(), None);
    assert_eq!(bench.ticks().immediately().next(), None);
}

// 65
#[test]
fn work_longer_than_a_period_sees_all_missed_ticks_in_the_next_tick() {
    let bench = bench();
    let mut seen = Vec::new();
    for tick in bench.ticks().immediately() {
        seen.push(bench.read(Some(tick)));
        match seen.len() {
            1 => bench.time.advance(SECOND * 25),
            2 => bench.time.advance(SECOND * 5),
            _ => assert!(bench.stop.request_stop()),
        }
    }
    assert_eq!(seen, [(0, 0), (20, 1), (30, 0)]);
}

// 12
#[test]
fn a_period_too_long_for_an_instant_never_ticks_and_ends_at_the_stop() {
    let bench = bench();
    let (ctx, (sender, receiver)) = (bench.ctx(), unbounded());
    spawn(move || {
        let tick = ctx.ticks(Duration::MAX).next();
        sender.send((tick, ctx.stop_requested())).unwrap();
    });
    bench.time.advance(Duration::from_secs(1 << 34));
    bench.stop.request_stop();
    assert_eq!(next(&receiver), (None, true));
    let mut at_once = Context::new("ticker", StopSource::new().token()).ticks(Duration::MAX).immediately();
    assert!(at_once.next().is_some(), "the first of `immediately` needs no period");
}

// 65
#[test]
fn more_missed_ticks_than_a_number_can_hold_do_not_overflow() {
    let bench = bench();
    let mut ticks = bench.ctx().ticks(Duration::from_nanos(1));
    bench.time.advance(Duration::from_secs(3600));
    assert_eq!(ticks.next().unwrap().missed, u32::MAX);
    assert!(ticks.next().unwrap().scheduled <= bench.time.clock().now());
}

// 65
#[test]
#[should_panic(expected = "zero")]
fn a_period_of_zero_panics() {
    drop(bench().ctx().ticks(Duration::ZERO));
}

// 65
#[test]
fn with_the_system_clock_ticks_are_never_early_and_stay_on_schedule() {
    let stop = StopSource::new();
    let ctx = Context::new("ticker", stop.token());
    assert_eq!(format!("{:?}", ctx.clock()), format!("{:?}", Clock::system()));
    let period = Duration::from_micros(500);
    let mut last = Instant::now();
    for (n, tick) in ctx.ticks(period).take(50).enumerate() {
        assert!(Instant::now() >= tick.scheduled);
        if n > 0 {
            assert_eq!(tick.scheduled - last, period * (tick.missed + 1));
        }
        last = tick.scheduled;
    }
}
