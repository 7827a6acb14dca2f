//! The lives of the second host: several times a second it is created, started, and ended in one of these ways.

use crate::chance::{Chance, ON_PURPOSE};
use crate::guest::Guest;
use crate::tally::Tally;
use crossbeam_channel::RecvTimeoutError::Disconnected;
use hosted::{Cause, Host, HostError, Outcome, Report, Service, StopReason, StopSource, task, worker};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Turns a hang into a finding.
const PATIENCE: Duration = Duration::from_secs(60);
/// A stop deadline that is too short.
const SHORT: Duration = Duration::from_millis(50);

const AT_ONCE: Duration = Duration::ZERO;
const LONG: Duration = Duration::from_millis(10);

/// One way to end: its name, the duration of a job, and the function that does it.
type End = (&'static str, Duration, fn(&Round, Guest));

const ENDS: [End; 11] = [
    ("stopped", AT_ONCE, Round::stopped),
    ("stopped", AT_ONCE, Round::stopped),
    ("stopped twice while a service is unresponsive", AT_ONCE, Round::unresponsive),
    ("stopped twice while a service is unresponsive and jobs take long", LONG, Round::unresponsive),
    ("dropped", AT_ONCE, Round::dropped),
    ("dropped while a service is unresponsive", AT_ONCE, Round::dropped_unresponsive),
    ("rolled back: a start failed", AT_ONCE, Round::broken),
    ("rolled back: a start took too long", AT_ONCE, Round::late),
    ("stop requested during start-up", AT_ONCE, Round::interrupted),
    ("stopped by a failure", AT_ONCE, Round::doomed),
    ("run until a token stops", AT_ONCE, Round::run),
];

pub fn rounds(chance: &Chance, tally: &Arc<Tally>) -> impl Service {
    let (chance, tally) = (chance.clone(), tally.clone());
    worker(move |ctx| {
        loop {
            ctx.sleep(chance.millis(5..50))?;
            let end = ENDS[chance.below(ENDS.len() as u64) as usize];
            Round { chance: chance.clone(), tally: tally.clone(), what: end.0 }.play(end);
        }
    })
}

struct Round {
    chance: Chance,
    tally: Arc<Tally>,
    what: &'static str,
}

impl Round {
    fn play(&self, (_, work, end): End) {
        let (guest, remains) = Guest::new(&self.chance, work);
        end(self, guest);
        let gone = remains.gone.recv_timeout(PATIENCE);
        self.expect(gone == Err(Disconnected), "a service of the host still exists");
        remains.queue.drain();
        let sums = &remains.queue.sums;
        self.expect(sums.are_balanced(), &format!("accepted = handled + drained does not hold: {sums}"));
        self.tally.guests.add(sums);
        *self.tally.rounds.lock().entry(self.what).or_default() += 1;
    }

    fn stopped(&self, mut guest: Guest) {
        self.start(&mut guest.host);
        let requested = Instant::now();
        let result = guest.host.stop(PATIENCE);
        self.tally.stops.add(requested.elapsed());
        self.expect_well(result);
    }

    fn unresponsive(&self, mut guest: Guest) {
        let release = guest.add_unresponsive();
        self.start(&mut guest.host);
        let requested = Instant::now();
        let result = guest.host.stop(SHORT);
        self.tally.overdue.add(requested.elapsed().saturating_sub(SHORT));
        let is_named = |report: &Report| {
            let unresponsive = report.services.iter().find(|service| &*service.name == "unresponsive");
            unresponsive.is_some_and(|unresponsive| matches!(unresponsive.outcome, Outcome::Hung(_)))
        };
        self.expect(
            result.is_err_and(|error| is_named(error.report())),
            "the unresponsive service is not reported as hung",
        );
        release.request_stop();
        self.expect_well(guest.host.stop(PATIENCE));
    }

    fn dropped(&self, mut guest: Guest) {
        if self.chance.below(4) > 0 {
            self.start(&mut guest.host);
        }
    }

    fn dropped_unresponsive(&self, mut guest: Guest) {
        let release = guest.add_unresponsive();
        guest.host.stop_timeout(SHORT);
        self.start(&mut guest.host);
        let requested = Instant::now();
        drop(guest);
        self.tally.overdue.add(requested.elapsed().saturating_sub(SHORT));
        release.request_stop();
    }

    fn broken(&self, mut guest: Guest) {
        let chance = self.chance.clone();
        guest.add("broken", task(move |_| chance.strike(1)));
        self.expect_failed(guest.host.start(), "broken", |cause| !matches!(cause, Cause::TimedOut(_)));
    }

    fn late(&self, mut guest: Guest) {
        guest.add("late", task(|ctx| Ok(ctx.sleep(PATIENCE)?))).start_timeout(Duration::from_millis(5));
        self.expect_failed(guest.host.start(), "late", |cause| matches!(cause, Cause::TimedOut(_)));
    }

    fn interrupted(&self, mut guest: Guest) {
        guest.add(
            "done already",
            task(|ctx| {
                ctx.host().request_stop();
                Ok(())
            }),
        );
        let result = guest.host.start();
        let is_requested = |error: &HostError| error.report().reason == StopReason::Requested;
        self.expect(result.as_ref().is_err_and(is_requested), "the stop request is not the reason");
        result.err().iter().for_each(|error| self.expect_on_purpose(error));
    }

    fn doomed(&self, mut guest: Guest) {
        let chance = self.chance.clone();
        let doomed = worker(move |ctx| {
            ctx.sleep(chance.millis(0..5))?;
            chance.strike(1)
        });
        guest.add("doomed", doomed);
        self.start(&mut guest.host);
        self.expect(guest.host.wait() == StopReason::Failed("doomed".into()), "`wait` returned another reason");
        let result = guest.host.stop(PATIENCE).map(drop);
        self.expect_failed(result, "doomed", |cause| !matches!(cause, Cause::TimedOut(_)));
    }

    fn run(&self, mut guest: Guest) {
        let stop = StopSource::new();
        stop.request_stop_after(self.chance.millis(0..30));
        self.expect_well(guest.host.run_until(&stop.token()));
    }

    /// Starts the host, and lets it run for a while.
    fn start(&self, host: &mut Host) {
        self.expect_well(host.start());
        thread::sleep(self.chance.millis(0..30));
    }

    fn expect(&self, is_so: bool, else_what: &str) {
        if !is_so {
            self.tally.unexpected(format!("{}: {else_what}", self.what));
        }
    }

    /// Expects a stop without other failures than the planned ones.
    fn expect_well<T>(&self, result: Result<T, HostError>) {
        result.err().iter().for_each(|error| self.expect_on_purpose(error));
    }

    fn expect_on_purpose(&self, error: &HostError) {
        let is_set_up = error.failures().is_empty() && std::error::Error::source(error).is_some();
        let others = error.failures().iter().filter(|failure| !failure.to_string().contains(ON_PURPOSE));
        self.expect(!is_set_up && others.count() == 0, &error.to_string());
    }

    /// Expects a failure whose root cause is this service.
    fn expect_failed(&self, result: Result<(), HostError>, service: &str, cause: fn(&Cause) -> bool) {
        let Err(error) = result else { return self.expect(false, "the host did not fail") };
        let is_first = error.failures().first().is_some_and(|first| first.service() == service && cause(first.cause()));
        self.expect(is_first, &error.to_string());
    }
}
