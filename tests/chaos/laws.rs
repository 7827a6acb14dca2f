//! The laws that every schedule must obey.
//!
//! The laws about lives, failures and jobs also hold for the children of groups, which may live several times under one
//! name. The laws about order, ends and outcomes hold for the services of the outermost host.

use super::drive::Played;
use super::schedule::{AMPLE, Again, Drive, Kind, Plan, Schedule};
use super::world::{Note, Step, World};
use hosted::{Cause, Event, EventKind, Outcome, Phase, Report, ServiceError, ServiceReport, StopReason};
use std::collections::BTreeMap;
use std::error::Error;

pub struct Case<'a> {
    pub schedule: &'a Schedule,
    pub notes: &'a [Note],
    pub played: &'a Played,
}

impl Case<'_> {
    /// Fails at the first law that is broken.
    pub fn check(&self, world: &World) {
        self.lives_are_whole();
        self.every_failure_is_emitted();
        self.jobs_are_handled_once(world);
        self.no_service_is_hung_without_a_reason();
        self.no_item_is_left_without_a_reason();
        for (position, plan) in self.schedule.services.iter().enumerate() {
            self.one_end(plan);
            self.starts_in_order(position, plan);
        }
        if let Some(end) = &self.played.end {
            let (report, failures) = match end {
                Ok(report) => (report, &[][..]),
                Err(error) => (error.report(), error.failures()),
            };
            self.outcomes_are_true(report);
            self.stops_in_order(report);
            self.failures_are_in_the_result(failures);
            self.the_reason_is_true(report, failures);
        }
    }

    /// Returns the first position in the journal of this step, for any value with this name.
    fn at(&self, name: &str, step: &Step) -> Option<usize> {
        self.notes.iter().position(|note| *note.name == *name && note.step == *step)
    }

    fn count(&self, name: &str, step: &Step) -> usize {
        self.notes.iter().filter(|note| *note.name == *name && note.step == *step).count()
    }

    fn events_of(&self, name: &str) -> impl Iterator<Item = &Event> {
        self.played.events.iter().filter(move |event| event.service.as_deref() == Some(name))
    }

    fn failed(&self, name: &str) -> impl Iterator<Item = &ServiceError> {
        self.events_of(name).filter_map(|event| match &event.kind {
            EventKind::Failed(error) => Some(error),
            _ => None,
        })
    }

    /// Each `start` that returned `Ok` has one `stop`, a value that was never started has none, and each value is
    /// dropped once, as its last step.
    fn lives_are_whole(&self) {
        let mut lives: BTreeMap<u64, Vec<&Step>> = BTreeMap::new();
        for note in self.notes.iter().filter(|note| *note.name != *"outside") {
            lives.entry(note.value).or_default().push(&note.step);
        }
        for (value, steps) in lives {
            let mut last: Option<&Step> = None;
            for step in steps.iter().copied() {
                let may_follow = match step {
                    Step::Start => matches!(last, None | Some(Step::Start | Step::Stop)),
                    Step::Ready => last == Some(&Step::Start),
                    Step::Run => last == Some(&Step::Ready),
                    Step::Stop => matches!(last, Some(Step::Ready | Step::Run)),
                    Step::Dropped => matches!(last, None | Some(Step::Start | Step::Stop)),
                    _ => continue,
                };
                assert!(may_follow, "value {value}: {step:?} after {last:?} in {steps:?}");
                last = Some(step);
            }
            assert_eq!(last, Some(&Step::Dropped), "value {value} is not dropped: {steps:?}");
        }
    }

    /// Every failure in a service is emitted as an event. For the child of a group, the group may emit a failure too.
    fn every_failure_is_emitted(&self) {
        for note in self.notes {
            let Step::Failed(text) = &note.step else { continue };
            let is_about_it = |event: &&Event| match &event.kind {
                EventKind::Failed(error) => error.to_string().contains(text),
                EventKind::Restarting { error: Some(error), .. } => error.to_string().contains(text),
                EventKind::Reported { error } => error.contains(text),
                _ => false,
            };
            let emitted: Vec<&EventKind> =
                self.events_of(&note.name).filter(is_about_it).map(|event| &event.kind).collect();
            // A failure that was announced with a restart is final if the stop deadline leaves no time for the restart.
            let given_up = matches!(emitted[..], [EventKind::Restarting { .. }, EventKind::Failed(_)]);
            assert!(
                emitted.len() == 1 || given_up,
                "`{}` failed with {text}, but the events are {emitted:?}",
                note.name
            );
        }
        let missed = |event: &Event| matches!(event.kind, EventKind::Lagged { .. });
        assert!(!self.played.events.iter().any(missed), "the listener lagged behind, so this law cannot be checked");
    }

    fn jobs_are_handled_once(&self, world: &World) {
        let mut accepted = world.accepted.lock().clone();
        let mut found = [&world.handled.lock()[..], &self.played.drained[..]].concat();
        accepted.sort_unstable();
        found.sort_unstable();
        assert_eq!(accepted, found, "each accepted item is handled or drained once");
        if let Some(closed) = self.played.closed {
            assert!(closed, "the host has exited, but the queue of its consumers is open");
            // Remaining items are reported, and the last report is correct.
            let left = self.played.drained.len();
            let is_reported = self.played.left.contains(&left);
            assert!(is_reported || left == 0, "{left} items are left, but the reports say {:?}", self.played.left);
        }
    }

    /// A service that was started has one end: it stopped, completed, or failed.
    fn one_end(&self, plan: &Plan) {
        let count = |is: fn(&EventKind) -> bool| self.events_of(&plan.name).filter(|event| is(&event.kind)).count();
        let starts = self.count(&plan.name, &Step::Start);
        assert_eq!(count(|kind| matches!(kind, EventKind::Starting)), starts, "`{}` starts", plan.name);
        let is_end =
            |kind: &EventKind| matches!(kind, EventKind::Stopped | EventKind::NotRestarted(_) | EventKind::Completed);
        let ends = count(is_end);
        let own_failures = self.failed(&plan.name).filter(|error| error.phase() != Phase::Callback).count();
        let failures = self.failed(&plan.name).count();
        match (starts, ends) {
            (0, 0) => assert_eq!(failures, 0, "`{}` never started, but failed", plan.name),
            (0, _) => panic!("`{}` never started, but ended", plan.name),
            (_, 0) => assert!(failures > 0, "`{}` has no end", plan.name),
            // A stop callback may fail after its service has stopped without an error.
            (_, 1) => assert_eq!(own_failures, 0, "`{}` failed, but emitted an end without a failure", plan.name),
            _ => panic!("`{}` ends {ends} times", plan.name),
        }
        for error in self.failed(&plan.name) {
            assert!(self.is_known(error), "`{}` failed for no reason in the schedule: {error}", plan.name);
        }
        // Use the events, because they are emitted in the order of what happened. A service may write its start into
        // the journal after its stop.
        let again = self.events_of(&plan.name).skip_while(|event| !matches!(event.kind, EventKind::Restarting { .. }));
        let mut stop_requested = again.skip_while(|event| !matches!(event.kind, EventKind::Stopping));
        let restarted = stop_requested.any(|event| matches!(event.kind, EventKind::Starting));
        let may_finish = matches!(plan.restart, Some((Again::Finish, _))) && self.count(&plan.name, &Step::Ready) > 0;
        assert!(!restarted || may_finish, "`{}` was restarted after its stop request", plan.name);
    }

    /// If the stop timeout is ample, no service that exits is reported as hung.
    fn no_service_is_hung_without_a_reason(&self) {
        let patient = self.schedule.stop_timeout == AMPLE && !matches!(self.schedule.drive, Drive::StopThreeTimes);
        // The children of a group have the group's own stop timeout, which may be short.
        let mut own = self.schedule.services.iter().flat_map(|plan| self.events_of(&plan.name));
        let hung = own.find(|event| matches!(event.kind, EventKind::Hung(_)));
        assert!(!patient || hung.is_none(), "{}", hung.expect("an event about a hung service"));
    }

    /// If the stop timeout is ample, and all consumers start and do not fail, no accepted item is left.
    fn no_item_is_left_without_a_reason(&self) {
        let patient = self.schedule.stop_timeout == AMPLE && !matches!(self.schedule.drive, Drive::StopThreeTimes);
        let consumes = |plan: &&Plan| plan.kind.consumes();
        let in_groups = self.schedule.services.iter().any(|plan| match &plan.kind {
            Kind::Group(children) => children.iter().any(|child| consumes(&child)),
            _ => false,
        });
        let mut consumers = self.schedule.services.iter().filter(consumes).peekable();
        if !patient || in_groups || consumers.peek().is_none() {
            return;
        }
        let went_wrong = |kind: &EventKind| matches!(kind, EventKind::Failed(_) | EventKind::Restarting { .. });
        let started = |kind: &EventKind| matches!(kind, EventKind::Started);
        let emitted =
            |plan: &Plan, is: &dyn Fn(&EventKind) -> bool| self.events_of(&plan.name).any(|event| is(&event.kind));
        let sound = |plan: &Plan| plan.stop_timeout.is_none() && emitted(plan, &started) && !emitted(plan, &went_wrong);
        if consumers.all(sound) {
            let left = self.played.drained.len();
            assert_eq!(left, 0, "accepted items are left although the stop timeout was ample");
        }
    }

    /// Returns `true` if the schedule plans this failure, or if the service was late or exceeded its restart limit.
    fn is_known(&self, error: &ServiceError) -> bool {
        let text = error.to_string();
        let planned =
            self.notes.iter().any(|note| matches!(&note.step, Step::Failed(planned) if text.contains(planned)));
        planned || is_late(error) || text.contains("completed again after reaching its restart limit")
    }

    /// A service starts only after each dependency is ready, or has failed and is ignored. `Host::start` waits for all
    /// services except those whose failure is ignored.
    fn starts_in_order(&self, position: usize, plan: &Plan) {
        let services = &self.schedule.services;
        let before: Vec<usize> = plan.after.clone().unwrap_or_else(|| (0..position).collect());
        let started = self.at(&plan.name, &Step::Start);
        for earlier in before.into_iter().map(|position| &services[position]) {
            let ready = self.at(&earlier.name, &Step::Ready);
            let gone = earlier.ignored.then(|| self.at(&earlier.name, &Step::Dropped)).flatten();
            let resolved = ready.into_iter().chain(gone).min();
            let late = self.failed(&earlier.name).any(is_late) && earlier.ignored;
            if started.is_some() && !late {
                assert!(resolved.is_some() && resolved < started, "`{}` before `{}`", plan.name, earlier.name);
            }
        }
        if let Some(host) = self.at("outside", &Step::HostStarted).filter(|_| !plan.ignored) {
            assert!(
                self.at(&plan.name, &Step::Ready).is_some_and(|ready| ready < host),
                "`{}` is not ready",
                plan.name
            );
        }
    }

    /// A service sees its stop request only after its dependents are gone, except those that exceeded their stop
    /// timeout.
    fn stops_in_order(&self, report: &Report) {
        let of = |plan: &Plan| {
            report.services.iter().find(|row| *row.name == *plan.name).expect("every service has a row in the report")
        };
        for (position, plan) in self.schedule.services.iter().enumerate() {
            let before: Vec<usize> = plan.after.clone().unwrap_or_else(|| (0..position).collect());
            for earlier in before.into_iter().map(|position| &self.schedule.services[position]) {
                let stop_requested = self.at(&earlier.name, &Step::StopRequested);
                // A service that missed its start timeout receives its stop request at once.
                let late = self.failed(&earlier.name).any(is_late);
                if let (Some(stop_requested), Some(_), false) =
                    (stop_requested, self.at(&plan.name, &Step::Start), late)
                {
                    let gone = self.at(&plan.name, &Step::Dropped).is_some_and(|gone| gone < stop_requested);
                    let (name, later) = (&earlier.name, &plan.name);
                    assert!(
                        gone || of(plan).stop_timed_out,
                        "`{name}` received its stop request before `{later}` was gone"
                    );
                }
            }
        }
    }

    /// Every service has a row with its true outcome, and no service is hung after its release.
    fn outcomes_are_true(&self, report: &Report) {
        let own = report.services.iter().filter(|row| !row.name.contains('/'));
        let names: Vec<&str> = own.clone().map(|row| &*row.name).filter(|&name| name != "late").collect();
        assert_eq!(names, self.schedule.services.iter().map(|plan| &plan.name).collect::<Vec<_>>());
        for row in own {
            self.outcome_is_true(row);
        }
    }

    fn outcome_is_true(&self, row: &ServiceReport) {
        let starts = self.count(&row.name, &Step::Start);
        let first = self.failed(&row.name).next().map(ToString::to_string);
        let emitted = |is: fn(&EventKind) -> bool| self.events_of(&row.name).any(|event| is(&event.kind));
        let (stopped, completed) =
            (emitted(|kind| matches!(kind, EventKind::Stopped)), emitted(|kind| matches!(kind, EventKind::Completed)));
        let agrees = match &row.outcome {
            Outcome::NeverStarted => starts == 0,
            Outcome::Completed => first.is_none() && completed && self.count(&row.name, &Step::Run) > 0,
            Outcome::Stopped => first.is_none() && stopped && starts > 0 && !self.ends_before_a_restart(&row.name),
            Outcome::NotRestarted(error) => first.is_none() && starts > 0 && self.is_not_restarted(&row.name, error),
            Outcome::Failed(error) => first == Some(error.to_string()),
            _ => false,
        };
        assert!(agrees, "`{}` is {:?}", row.name, row.outcome);
        assert_eq!(starts.saturating_sub(1), row.restarts as usize, "restarts of `{}`", row.name);
    }

    /// Returns `true` if no start after the last announced restart became ready.
    fn ends_before_a_restart(&self, name: &str) -> bool {
        let marks = self.events_of(name).filter_map(|event| match &event.kind {
            EventKind::Restarting { error, .. } => Some(error.is_some()),
            EventKind::Started => Some(false),
            _ => None,
        });
        marks.last().unwrap_or(false)
    }

    /// Returns `true` if an event says that the service was not restarted after `error`.
    fn is_not_restarted(&self, name: &str, error: &ServiceError) -> bool {
        let is_this = |event: &Event| matches!(&event.kind, EventKind::NotRestarted(other) if other.to_string() == error.to_string());
        self.ends_before_a_restart(name) && self.events_of(name).any(is_this)
    }

    /// The result has all failures, in the order in which they happened. Ignored failures may be missing.
    fn failures_are_in_the_result(&self, failures: &[ServiceError]) {
        let mut left = failures.iter().map(ToString::to_string).peekable();
        for event in &self.played.events {
            let EventKind::Failed(error) = &event.kind else { continue };
            let Some(plan) = self.schedule.services.iter().find(|plan| *plan.name == *error.service()) else {
                continue;
            };
            let in_turn = left.next_if(|next| *next == error.to_string()).is_some();
            assert!(in_turn || plan.ignored, "missing in the result or out of order: {error}, in {failures:?}");
        }
        assert_eq!(left.next(), None, "the result has a failure without an event");
    }

    fn the_reason_is_true(&self, report: &Report, failures: &[ServiceError]) {
        if let Some(waited) = &self.played.waited {
            assert_eq!(*waited, report.reason, "the result of `wait`");
        }
        let outcome_of = |name: &str| report.services.iter().find(|row| *row.name == *name).map(|row| &row.outcome);
        let requested = self.notes.iter().any(|note| note.step == Step::Requested);
        let agrees = match &report.reason {
            StopReason::Requested => requested,
            StopReason::Failed(name) => failures.first().is_some_and(|first| first.service() == &**name),
            StopReason::Completed(name) => self.schedule.services.iter().any(|plan| {
                plan.completion_stops && *plan.name == **name && !matches!(outcome_of(name), Some(Outcome::Stopped))
            }),
            StopReason::AllCompleted => self
                .schedule
                .services
                .iter()
                .all(|plan| matches!(outcome_of(&plan.name), Some(Outcome::Completed | Outcome::Failed(_)))),
            _ => false,
        };
        assert!(agrees, "the reason is {:?}", report.reason);
    }
}

/// Returns `true` if a start timeout expired, of this service or of a child.
fn is_late(error: &ServiceError) -> bool {
    let inner = error.source().and_then(|source| source.downcast_ref::<ServiceError>());
    matches!(error.cause(), Cause::TimedOut(_)) || inner.is_some_and(is_late)
}
