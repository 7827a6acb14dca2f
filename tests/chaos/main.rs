//! Random services, random faults, and laws that must hold for all of them.
//!
//! A schedule is a graph of services, what each does whenever it is called (errors, panics, unresponsive services,
//! stops, hosts in hosts), and what the owner of the host does. It follows from a seed. The order of the threads does
//! not, so the same seed can take different paths. `cargo test` plays a thousand schedules. To play more:
//!
//! ```sh
//! CHAOS_SCHEDULES=100000 cargo test --test chaos -- --nocapture
//! ```
//!
//! If a schedule breaks a law, the test prints its seed, the schedule, its journal and its events. To play it a
//! thousand times: `CHAOS_SEED=<seed> CHAOS_SCHEDULES=1000 CHAOS_SAME=1`.
#![cfg(target_os = "linux")]
#![allow(unsafe_code)] // the counting allocator; the crate itself forbids it
#![allow(unreachable_pub, reason = "in a program, `pub` is short for `pub(crate)`")]

mod actor;
mod dice;
mod drive;
#[path = "../support/heap.rs"]
mod heap;
mod laws;
mod leaks;
mod left;
mod schedule;
mod totals;
mod world;

use drive::Played;
use hosted::{Host, StopSource, StopToken, worker};
use laws::Case;
use leaks::Held;
use schedule::Schedule;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;
use totals::Totals;
use world::World;

/// Turns a hang into a failure.
const LIMIT: Duration = Duration::from_secs(120);

/// The number of schedules before the first count of what the process holds.
const WARM_UP: u64 = 100;

/// Bytes that tables may still grow by after the first count.
const NOISE: i64 = 4 << 10;

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")))
}

/// Plays one schedule and checks all laws.
fn play(seed: u64, outer: &StopToken, totals: &mut Totals) {
    let schedule = Arc::new(Schedule::of(seed));
    let world = World::new(schedule.capacity, schedule.manual_clock, outer);
    let played = played(&schedule, &world);
    assert_eq!(
        Arc::strong_count(&world),
        1,
        "something still owns a value of a service: {schedule}\n{}",
        lines(&world.notes())
    );
    let notes = world.notes();
    let case = Case { schedule: &schedule, notes: &notes, played: &played };
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| case.check(&world))) {
        eprintln!("{schedule}\n{}\n{}\n{:?}", lines(&notes), lines(&played.events), played.end);
        resume_unwind(panic);
    }
    totals.add(&schedule, &world.performed.lock(), &notes, &played);
}

/// Plays a schedule on its own thread, so that a hang becomes a failure.
fn played(schedule: &Arc<Schedule>, world: &Arc<World>) -> Played {
    let (sender, receiver) = mpsc::channel();
    let (its, theirs) = (schedule.clone(), world.clone());
    let player = thread::spawn(move || {
        let played = catch_unwind(AssertUnwindSafe(|| drive::play(&its, &theirs)));
        drop(theirs);
        _ = sender.send(played); // after a timeout nobody receives it
    });
    let played = receiver.recv_timeout(LIMIT).unwrap_or_else(|_| {
        panic!("it hangs: {schedule}\n{}", lines(&world.notes()));
    });
    player.join().expect("the player catches panics");
    played.unwrap_or_else(|panic| {
        eprintln!("{schedule}\n{}", lines(&world.notes()));
        resume_unwind(panic)
    })
}

fn lines(of: &[impl Display]) -> String {
    of.iter().map(|line| format!("  {line}\n")).collect()
}

/// More threads than any schedule has at once. parking_lot keeps a table of that size forever.
fn crowd() {
    let mut host = Host::new();
    for n in 0..100 {
        host.add(format!("{n}"), worker(|ctx| Ok(ctx.sleep(LIMIT)?))).after::<&str>([]);
    }
    host.start().expect("a hundred threads");
    host.stop(LIMIT).expect("a hundred ends");
}

#[test]
fn every_law_holds_for_random_faults_and_nothing_is_left_behind() {
    let (first, schedules) = (number("CHAOS_SEED").unwrap_or(0), number("CHAOS_SCHEDULES").unwrap_or(1_000));
    let step = if number("CHAOS_SAME").is_some() { 0 } else { 1 };
    let (outer, mut totals) = (StopSource::new(), Totals::default());
    // Values that are created once exist from here on: the thread of the timer, and tables.
    left::listen();
    crowd();
    (0..WARM_UP).for_each(|n| play(first + step * n, &outer.token(), &mut totals));
    let before = Held::when_still();
    for n in 0..schedules {
        play(first + step * n, &outer.token(), &mut totals);
        before.wait_until_gone(&format!("after seed {}", first + step * n));
        totals.in_time();
    }
    leaks::callback_threads_end();
    let after = before.wait_until_gone("at the end");
    eprintln!("{totals}\nbefore: {before:?}\nafter:  {after:?}");
    assert!(after.bytes < before.bytes + NOISE, "memory has grown: {before:?}, {after:?}");
    if schedules >= 1_000 && step == 1 {
        totals.are_worth_it();
    }
}
