//! What the members of a dynamic group cost over bare threads, and what a million of them leave.

mod harness;
#[path = "../tests/support/heap.rs"]
mod heap;

use harness::fleet::{idle, named, wait};
use harness::table::{thousands, verdict};
use harness::{Bench, Contender, each, fleet, sampled};
use hosted::{AddError, Context, DynamicGroup, Host, Result, ServiceOptions, StopSource, once, worker};
use std::collections::VecDeque;
use std::fs;
use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(600);
const AT_ONCE: usize = 8;

/// The work of a member whose creation and end are measured.
fn nothing(_: &Context) -> Result {
    black_box(());
    Ok(())
}

fn main() {
    let bench = Bench::from_args();
    sequence(&bench); // first: it counts threads and the heap
    memory(&bench);
    coming_and_going(&bench);
    stopping(&bench);
    listing(&bench);
}

/// A host that runs a dynamic group.
struct Running {
    group: DynamicGroup,
    host: Host,
}

fn running(group: DynamicGroup) -> Running {
    let mut host = Host::new();
    host.add("g", group.service());
    host.start().unwrap();
    Running { group, host }
}

impl Running {
    fn with_members(members: usize, stack_size: Option<usize>) -> Self {
        let this = running(DynamicGroup::new());
        let mut options = ServiceOptions::new();
        stack_size.map(|bytes| options.stack_size(bytes));
        for number in 0..members {
            this.group.add_with(format!("member {number}"), worker(wait), options.clone()).unwrap();
        }
        this
    }

    /// Adds a member when there is room.
    fn add_next(&self, number: usize) {
        let never = StopSource::new();
        loop {
            self.group.wait_for_room(&never.token()).unwrap();
            match self.group.add(format!("member {number}"), once(nothing)) {
                Err(AddError::Full) => {}
                added => return drop(added.unwrap()),
            }
        }
    }

    fn stop(mut self) {
        self.host.stop(LONG).unwrap();
    }
}

/// Lets a closure capture all of it: with the group alone, the host would be dropped.
fn whole(running: &Running) -> &Running {
    running
}

fn coming_and_going(bench: &Bench) {
    let table = bench.comparison("A member that comes and goes");
    table.compare("add, run and end a member", Some(1.25), || {
        let alone = running(DynamicGroup::new());
        let mut number = 0;
        let ours = each("", move || {
            let alone = whole(&alone);
            number += 1;
            let member = alone.group.add(format!("member {number}"), once(nothing));
            member.unwrap().wait(LONG).unwrap()
        });
        let mut number = 0;
        let bare = each("spawn and join a thread", move || {
            number += 1;
            named(number, || black_box(())).join().unwrap()
        });
        vec![ours, bare]
    });
    table.compare("add members, eight at a time, for each", Some(1.25), || {
        let limited = running(DynamicGroup::new().limit(AT_ONCE));
        let ours = sampled("", move |n| {
            let begin = Instant::now();
            (0..n as usize).for_each(|number| limited.add_next(number));
            while !whole(&limited).group.is_empty() {
                thread::yield_now();
            }
            begin.elapsed()
        });
        let bare = sampled("spawn threads, and join the oldest of eight", |n| {
            let begin = Instant::now();
            let mut threads = VecDeque::new();
            for number in 0..n as usize {
                if threads.len() == AT_ONCE {
                    threads.pop_front().map(thread::JoinHandle::join).unwrap().unwrap();
                }
                threads.push_back(named(number, || black_box(())));
            }
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            begin.elapsed()
        });
        vec![ours, bare]
    });
}

fn stopping(bench: &Bench) {
    let table = bench.comparison("The stop of many members");
    for (members, target) in [(1_000, Some(1.2)), (10_000, None)] {
        table.compare(&format!("stop {} members", thousands(members)), target, || {
            let ours =
                sampled("", move |n| (0..n).map(|_| timed(Running::with_members(members, None), Running::stop)).sum());
            let services = sampled("the stop of as many services side by side", move |n| {
                (0..n).map(|_| timed(idle(members), |mut host| drop(host.stop(LONG).unwrap()))).sum()
            });
            vec![ours, services]
        });
    }
}

fn timed<T>(value: T, f: impl FnOnce(T)) -> Duration {
    thread::sleep(Duration::from_millis(50)); // until the last thread has fallen asleep
    let begin = Instant::now();
    f(value);
    begin.elapsed()
}

fn listing(bench: &Bench) {
    let table = bench.growth("A snapshot of all members");
    let sizes = [100, 1_000, 10_000];
    let crowd = |members| Running::with_members(members, Some(64 << 10));
    let of_group = |members: usize| -> Contender<'_> {
        let crowd = crowd(members);
        each("", move || whole(&crowd).group.members()).per(members)
    };
    table.grow("`DynamicGroup::members`, per member", Some(1.5), &sizes, of_group);
    let of_host = |members: usize| -> Contender<'_> {
        let crowd = crowd(members);
        each("", move || whole(&crowd).host.handle().services()).per(members)
    };
    table.grow("`HostHandle::services`, per member", Some(1.5), &sizes, of_host);
    let beside = |members: usize| -> Contender<'_> {
        let crowd = crowd(members);
        each("", move || whole(&crowd).group.add("one more", once(|_| Ok(()))).unwrap().wait(LONG).unwrap())
    };
    table.grow("add, run and end a member, beside so many others", Some(1.5), &sizes, beside);
}

fn memory(bench: &Bench) {
    const MEMBERS: usize = 1_000;
    let table = bench.table(
        "What an idle member takes, of 1,000",
        "what | bytes on the heap | blocks on the heap | target | verdict",
    );
    if !bench.wants("a member, idle") {
        return;
    }
    let counted = |make: &dyn Fn()| {
        let before = [heap::bytes(), heap::blocks()];
        make();
        thread::sleep(Duration::from_millis(500)); // until the last one has fallen asleep
        [(heap::bytes() - before[0]) as f64 / MEMBERS as f64, (heap::blocks() - before[1]) as f64 / MEMBERS as f64]
    };
    let thread = counted(&|| std::mem::forget(fleet::bare(MEMBERS)));
    let member = counted(&|| std::mem::forget(Running::with_members(MEMBERS, None)));
    let row = |what: &str, [bytes, blocks]: [f64; 2], target: &str, met: Option<bool>| {
        table.row(&[what.to_owned(), format!("{bytes:.1}"), format!("{blocks:.1}"), target.to_owned(), verdict(met)]);
    };
    row("a member, idle", member, "≤ a thread + 1,536 bytes", Some(member[0] <= thread[0] + 1_536.0));
    row("a thread, idle", thread, "–", None);
}

/// Members in sequence, eight at a time: what is there after so many of them.
fn sequence(bench: &Bench) {
    let columns = "members so far | threads | descriptors | bytes on the heap | blocks on the heap | resident, KiB";
    let table = bench.table("A million members in sequence, eight at a time", columns);
    if !bench.wants("a million in sequence") {
        return;
    }
    let running = running(DynamicGroup::new().limit(AT_ONCE));
    let mut members = 0;
    let mut begun = None;
    for until in [1_000, 10_000, 100_000, 1_000_000] {
        (members..until).for_each(|number| running.add_next(number));
        members = until;
        while !running.group.is_empty() {
            thread::yield_now();
        }
        thread::sleep(Duration::from_millis(100)); // the kernel lists a thread for a moment after its end
        let open = |folder: &str| fs::read_dir(folder).unwrap().count();
        let now = [open("/proc/self/task") as i64, open("/proc/self/fd") as i64, heap::bytes(), heap::blocks()];
        let first: &[i64; 4] = begun.get_or_insert(now);
        let [bytes, blocks] = [now[2] - first[2], now[3] - first[3]];
        let cells = [
            now[0].to_string(),
            now[1].to_string(),
            format!("{bytes:+}"),
            format!("{blocks:+}"),
            resident().to_string(),
        ];
        table.row(&[vec![thousands(until)], cells.to_vec()].concat());
    }
    running.stop();
}

fn resident() -> i64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
