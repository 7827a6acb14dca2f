//! Members that come, go, fail, hang and are stopped by hand, at random, and the laws that hold whatever happens.
//!
//! `CHAOS_SCHEDULES=10000 cargo test --test dynamic chaos` plays more of them. A schedule follows from its seed; which thread comes
//! first does not.

#[allow(unreachable_pub, reason = "the chaos program writes `pub`")]
#[path = "../chaos/dice.rs"]
mod dice;

use crate::support::{LIMIT, MS};
use crossbeam_channel::{Receiver, bounded};
use dice::Dice;
use hosted::{
    AddError, Context, DynamicGroup, Host, Member, MemberError, Outcome, Restart, Result, ServiceOptions, StopSource,
    worker,
};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const LIMIT_OF_MEMBERS: usize = 4;

/// The names of the members whose values exist.
type Living = Arc<Mutex<BTreeSet<&'static str>>>;

/// What a member owns. Its name must be unique among the living.
struct Owned(&'static str, Living);

impl Owned {
    fn new(name: &'static str, living: &Living) -> Self {
        Owned(name, living.clone())
    }

    fn begin(&self) {
        assert!(self.1.lock().unwrap().insert(self.0), "two members are named {}", self.0);
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.1.lock().unwrap().remove(self.0);
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Ends,
    Waits,
    Fails,
    Panics,
    /// Ignores its stop request until the schedule is over.
    Hangs,
    /// Fails once, and then waits.
    Restarts,
    /// Removes the members of some names, and adds one.
    Meddles,
}

const KINDS: [Kind; 8] =
    [Kind::Ends, Kind::Ends, Kind::Waits, Kind::Waits, Kind::Fails, Kind::Panics, Kind::Restarts, Kind::Meddles];

struct World {
    group: DynamicGroup,
    living: Living,
    released: Receiver<()>,
    added: Mutex<Vec<(Kind, Member)>>,
}

impl World {
    fn add(self: &Arc<Self>, name: &'static str, kind: Kind) {
        let (owned, this) = (Owned::new(name, &self.living), Arc::downgrade(self));
        let (released, mut begun) = (self.released.clone(), false);
        let run = move |ctx: &Context| -> Result {
            if !std::mem::replace(&mut begun, true) {
                owned.begin();
            }
            match kind {
                Kind::Ends => return Ok(()),
                Kind::Fails => return Err("on purpose".into()),
                Kind::Panics => std::panic::resume_unwind(Box::new("on purpose")),
                Kind::Hangs => return Ok(_ = released.recv()),
                Kind::Restarts if ctx.restarts() == 0 => return Err("the first run fails".into()),
                Kind::Meddles => {
                    if let Some(world) = this.upgrade() {
                        world.group.get(NAMES[0]).iter().for_each(Member::request_stop);
                        world.add(NAMES[1], Kind::Ends);
                    }
                }
                Kind::Waits | Kind::Restarts => {}
            }
            ctx.wait();
            Ok(())
        };
        let mut options = ServiceOptions::new();
        if kind == Kind::Restarts {
            options.restart(Restart::on_failure().backoff(Duration::ZERO..=MS));
        }
        match self.group.add_with(name, worker(run), options) {
            Ok(member) => self.added.lock().unwrap().push((kind, member)),
            Err(AddError::Duplicate(taken)) => assert_eq!(&*taken, name),
            Err(AddError::Full | AddError::Stopped) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// Does some things at random.
    fn act(self: &Arc<Self>, mut dice: Dice) {
        for _ in 0..20 {
            let name = dice.pick(&NAMES);
            match dice.below(8) {
                0..=3 => {
                    let kind = if dice.one_in(30) { Kind::Hangs } else { dice.pick(&KINDS) };
                    self.add(name, kind);
                }
                4 => self.group.get(name).iter().for_each(Member::request_stop),
                5 => match self.group.get(name).map(|member| member.stop(MS * 5)) {
                    None | Some(Ok(_) | Err(MemberError::Hung { .. })) => {}
                    Some(Err(error)) => panic!("{error}"),
                },
                6 => assert!(self.group.members().len() <= LIMIT_OF_MEMBERS),
                _ => _ = self.group.wait_for_room(&timer(2 * MS).token()),
            }
        }
    }
}

fn timer(after: Duration) -> StopSource {
    let source = StopSource::new();
    source.request_stop_after(after);
    source
}

fn play(seed: u64) {
    let mut dice = Dice::of(seed);
    let (release, released) = bounded::<()>(0);
    let group = DynamicGroup::new().limit(LIMIT_OF_MEMBERS);
    let mut host = Host::new();
    host.add("g", group.service());
    host.start().unwrap();
    let world = Arc::new(World { group, living: Living::default(), released, added: Mutex::default() });
    let actors: Vec<_> = (0..3)
        .map(|actor| {
            let world = world.clone();
            thread::spawn(move || world.act(Dice::of(seed.wrapping_mul(31).wrapping_add(actor))))
        })
        .collect();
    // The stop may come while they act, and members may hang in it.
    let join_first = dice.one_in(2);
    let actors = if join_first {
        actors.into_iter().for_each(|actor| actor.join().unwrap());
        Vec::new()
    } else {
        actors
    };
    _ = host.stop(MS * dice.below(20) as u32);
    drop(release);
    actors.into_iter().for_each(|actor| actor.join().unwrap());
    let report = host.stop(LIMIT).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    check(seed, &world, &report);
}

fn check(seed: u64, world: &Arc<World>, report: &hosted::Report) {
    assert!(world.group.is_empty() && world.living.lock().unwrap().is_empty(), "seed {seed}: something is left");
    let added = std::mem::take(&mut *world.added.lock().unwrap());
    let mut failed = 0;
    for (kind, member) in &added {
        let outcome = member.wait(Duration::ZERO).unwrap_or_else(|| panic!("seed {seed}: {member:?} has not ended"));
        failed += u64::from(matches!(outcome, Outcome::Failed(_)));
        let is_true = match kind {
            Kind::Ends | Kind::Hangs => matches!(outcome, Outcome::Completed | Outcome::Stopped),
            Kind::Waits | Kind::Meddles => matches!(outcome, Outcome::Stopped),
            Kind::Fails | Kind::Panics => matches!(outcome, Outcome::Failed(_)),
            // The stop may come during the first run, or before the next one.
            Kind::Restarts => matches!(outcome, Outcome::Stopped | Outcome::NotRestarted(_) | Outcome::Failed(_)),
        };
        assert!(is_true, "seed {seed}: a member that {kind:?} is {outcome:?}");
    }
    let totals = report.services[0].members.unwrap();
    assert_eq!((totals.alive, totals.ended, totals.failed), (0, added.len() as u64, failed), "seed {seed}: {report}");
    assert_eq!(report.services[0].errors, failed, "seed {seed}: the group counts each failure once");
    drop(added);
    assert_eq!(Arc::strong_count(world), 1, "seed {seed}: a member keeps what it owned");
}

// 124, 126
#[test]
fn the_laws_of_a_dynamic_group_hold_in_random_schedules() {
    let schedules = std::env::var("CHAOS_SCHEDULES").map_or(100, |text| text.parse().expect("a number"));
    let first = std::env::var("CHAOS_SEED").map_or(1, |text| text.parse().expect("a number"));
    (first..first + schedules).for_each(play);
}
