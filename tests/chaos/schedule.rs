//! A schedule: which services exist, and which faults happen where. All of it follows from the seed.

use super::dice::Dice;
use hosted::Restart;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What a service does when the host or a ready-made service calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Fine,
    Error,
    Panic,
    /// Reports an error without failing.
    Report,
    Slow,
    UnresponsiveAWhile,
    UnresponsiveForever,
    StopHost,
    /// Starts a second host inside the service, and stops or drops it.
    AddService,
    KeepHandle,
    DropHandle,
    TouchClock,
}

pub const ACTS: [Act; 12] = [
    Act::Fine,
    Act::Error,
    Act::Panic,
    Act::Report,
    Act::Slow,
    Act::UnresponsiveAWhile,
    Act::UnresponsiveForever,
    Act::StopHost,
    Act::AddService,
    Act::KeepHandle,
    Act::DropHandle,
    Act::TouchClock,
];

/// What a service does between its `start` and its `stop`.
#[derive(Debug)]
pub enum Kind {
    /// Completes on its own.
    Completes,
    Waits(How),
    /// Registers a stop callback, and waits.
    CallsBack(Act),
    /// `every`, with the action of each tick.
    Ticks {
        acts: Vec<Act>,
        fail_fast: bool,
    },
    /// A consumer of the schedule's queue, with the action of each job.
    Consumes(Vec<Act>),
    /// A batch consumer of the schedule's queue, with the action of each batch.
    Batches {
        acts: Vec<Act>,
        max: usize,
        linger: Linger,
    },
    /// Puts this many items into the queue, and waits.
    Produces(usize),
    Group(Arc<Vec<Plan>>),
}

impl Kind {
    pub fn consumes(&self) -> bool {
        matches!(self, Kind::Consumes(_) | Kind::Batches { .. })
    }
}

/// How long a batch waits for more jobs.
#[derive(Clone, Copy, Debug)]
pub enum Linger {
    Not,
    Briefly,
    Forever,
}

/// How a service waits for its stop request.
#[derive(Clone, Copy, Debug)]
pub enum How {
    Wait,
    Sleep,
    Receive,
    Done,
    Linked,
    /// Starts threads that wait, too.
    Together,
}

/// The plan of one service.
#[derive(Debug)]
pub struct Plan {
    pub name: String,
    pub kind: Kind,
    /// The positions of the dependencies. `None` means all earlier services.
    pub after: Option<Vec<usize>>,
    pub ignored: bool,
    pub completion_stops: bool,
    pub restart: Option<(Again, u32)>,
    pub start_timeout: Option<Duration>,
    pub stop_timeout: Option<Duration>,
    /// Writes its stop request into the journal.
    pub listens: bool,
    /// The actions of one method: one for each call, in turn.
    pub start: Vec<Act>,
    pub run: Vec<Act>,
    pub stop: Vec<Act>,
    pub drop: Act,
}

#[derive(Clone, Copy, Debug)]
pub enum Again {
    OnFailure,
    Always,
    AlsoFirst,
    Finish,
}

impl Again {
    pub fn policy(self) -> Restart {
        match self {
            Again::OnFailure => Restart::on_failure(),
            Again::Always => Restart::always(),
            Again::AlsoFirst => Restart::on_failure().also_first_start(),
            Again::Finish => Restart::on_failure().finish_on_stop(),
        }
    }
}

/// What the owner of the host does.
#[derive(Clone, Copy, Debug)]
pub enum Drive {
    StartWaitStop,
    StartStop,
    RunUntil,
    StartDrop,
    StopThreeTimes,
    AddAndStartAgain,
    RequestedBefore,
}

pub const DRIVES: [Drive; 7] = [
    Drive::StartWaitStop,
    Drive::StartStop,
    Drive::RunUntil,
    Drive::StartDrop,
    Drive::StopThreeTimes,
    Drive::AddAndStartAgain,
    Drive::RequestedBefore,
];

#[derive(Debug)]
pub struct Schedule {
    pub seed: u64,
    pub services: Arc<Vec<Plan>>,
    pub manual_clock: bool,
    pub capacity: usize,
    /// The number of threads outside the host that push into its queue.
    pub outside: usize,
    pub start_timeout: Option<Duration>,
    pub stop_timeout: Duration,
    /// The time until a thread outside the host requests the stop.
    pub fuse: Duration,
    pub drive: Drive,
}

/// If no service is unresponsive forever, a stop has ample time. A hung service is then a fault of the library.
pub const AMPLE: Duration = Duration::from_secs(20);

impl Schedule {
    pub fn of(seed: u64) -> Self {
        let mut dice = Dice::of(seed);
        let patient = !dice.one_in(4);
        // Of the actions, one in this many is not `Fine`.
        let calm = dice.pick(&[2, 4, 12]);
        let mut chance = Chance { dice, patient, calm };
        let services = 0..1 + chance.dice.below(6);
        let mut services: Vec<Plan> = services.map(|position| chance.plan(position, "s", true)).collect();
        let outside = chance.dice.pick(&[0, 1, 2]);
        if outside > 0 && chance.dice.one_in(2) {
            services.push(chance.diligent(services.len()));
        }
        let services = Arc::new(services);
        let Chance { mut dice, .. } = chance;
        let short = [0, 12, 40].map(Duration::from_millis);
        Schedule {
            seed,
            services,
            manual_clock: dice.one_in(3),
            capacity: 1 + dice.below(4),
            start_timeout: dice.one_in(8).then(|| dice.pick(&short)),
            stop_timeout: if patient { AMPLE } else { dice.pick(&short) },
            fuse: Duration::from_micros(dice.pick(&[0, 300, 1_000, 3_000, 8_000])),
            // Now and then, request the stop before anything starts.
            drive: if dice.one_in(20) { Drive::RequestedBefore } else { dice.pick(&DRIVES[..6]) },
            outside,
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Schedule { seed, services, manual_clock, capacity, outside, start_timeout, stop_timeout, fuse, drive } =
            self;
        write!(f, "seed {seed}: {drive:?}, fuse {fuse:?}, start timeout {start_timeout:?}, ")?;
        write!(
            f,
            "stop timeout {stop_timeout:?}, manual clock {manual_clock}, capacity {capacity}, outside {outside}"
        )?;
        services.iter().try_for_each(|plan| write!(f, "\n  {plan:?}"))
    }
}

struct Chance {
    dice: Dice,
    patient: bool,
    calm: usize,
}

impl Chance {
    fn act(&mut self) -> Act {
        if !self.dice.one_in(self.calm) {
            return Act::Fine;
        }
        let act = self.dice.pick(&ACTS);
        // Never in a patient schedule, and rarely in others, because one unresponsive service is enough.
        let too_much = act == Act::UnresponsiveForever && (self.patient || !self.dice.one_in(2));
        if too_much { Act::Fine } else { act }
    }

    fn acts(&mut self) -> Vec<Act> {
        (0..1 + self.dice.below(3)).map(|_| self.act()).collect()
    }

    fn kind(&mut self, may_be_group: bool) -> Kind {
        let how = [How::Wait, How::Sleep, How::Receive, How::Done, How::Linked, How::Together];
        match self.dice.below(if may_be_group { 13 } else { 12 }) {
            0 | 1 => Kind::Completes,
            2..=4 => Kind::Waits(self.dice.pick(&how)),
            5 => Kind::CallsBack(self.act()),
            6 | 7 => Kind::Ticks { acts: self.acts(), fail_fast: self.dice.one_in(2) },
            8 => Kind::Consumes(self.acts()),
            9 => self.batches(),
            10 | 11 => Kind::Produces(self.dice.below(12)),
            _ => {
                Kind::Group(Arc::new((0..self.dice.below(4)).map(|position| self.plan(position, "c", false)).collect()))
            }
        }
    }

    fn batches(&mut self) -> Kind {
        let linger = self.dice.pick(&[Linger::Not, Linger::Briefly, Linger::Forever]);
        Kind::Batches { acts: self.acts(), max: 1 + self.dice.below(5), linger }
    }

    fn plan(&mut self, position: usize, letter: &str, may_be_group: bool) -> Plan {
        let kind = self.kind(may_be_group);
        let dice = &mut self.dice;
        let some_before = (0..position).filter(|_| dice.one_in(2)).collect();
        Plan {
            name: format!("{letter}{position}"),
            kind,
            after: (!self.dice.one_in(3)).then_some(some_before),
            ignored: self.dice.one_in(4),
            completion_stops: self.dice.one_in(8),
            restart: self.restart(),
            start_timeout: self.dice.one_in(10).then_some(Duration::from_millis(15)),
            stop_timeout: self.dice.one_in(8).then_some(Duration::from_millis(2)),
            listens: self.dice.one_in(2),
            start: self.acts(),
            run: self.acts(),
            stop: self.acts(),
            drop: self.act(),
        }
    }

    /// A consumer with short jobs and no other action. Producers outside the host keep it busy until the stop request.
    fn diligent(&mut self, position: usize) -> Plan {
        let fine = vec![Act::Fine];
        let (start, run, stop) = (fine.clone(), fine.clone(), fine.clone());
        let plan = self.plan(position, "s", false);
        let batches = Kind::Batches { acts: fine.clone(), max: 2, linger: Linger::Not };
        let kind = if self.dice.one_in(2) { Kind::Consumes(fine) } else { batches };
        Plan { kind, after: Some(Vec::new()), start, run, stop, drop: Act::Fine, ..plan }
    }

    fn restart(&mut self) -> Option<(Again, u32)> {
        let again = self.dice.pick(&[Again::OnFailure, Again::Always, Again::AlsoFirst, Again::Finish]);
        let limit = self.dice.below(4) as u32;
        self.dice.one_in(3).then_some((again, limit))
    }
}
