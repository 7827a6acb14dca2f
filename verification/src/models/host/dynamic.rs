//! Dynamic groups: members that are added and removed while others end, and while the group stops.

use super::probe::{Act, Noted, Probe, Step};
use super::stage::{Stage, spawn};
use crate::models::explore::explore;
use crate::{AddError, Context, DynamicGroup, Member, Outcome, ServiceOptions, ServiceState, StopSource, Stopped};
use std::time::Duration;

/// A host that runs a dynamic group. Time stands still, so that a lost wake-up is a deadlock.
fn running(group: &DynamicGroup) -> Stage {
    let mut stage = Stage::still();
    stage.names.push("g");
    stage.after.push(Vec::new());
    stage.journal.note("g", Step::Start); // the laws want to see that it was started
    stage.journal.note("g", Step::Ready);
    stage.journal.note("g", Step::Run);
    stage.journal.note("g", Step::Stop);
    stage.journal.note("g", Step::Dropped);
    stage.host.add("g", group.service());
    stage.host.start().unwrap();
    stage
}

/// A member that waits for its stop request.
fn add(stage: &Stage, group: &DynamicGroup, name: &'static str, probe: Probe) -> Result<Member, AddError> {
    group.add(name.strip_prefix("g/").unwrap_or(name), Noted::new(name, &stage.journal, probe))
}

fn stops(member: &Member) -> Outcome {
    member.stop(Duration::MAX).expect("without a limit it waits for the end")
}

#[test]
fn a_member_that_is_added_while_the_group_stops_is_stopped_or_was_refused() {
    explore(|| {
        let group = DynamicGroup::new();
        let mut stage = running(&group);
        let (adding, journal) = (group.clone(), stage.journal.clone());
        let adder = spawn("adder", move || {
            let mut added = 0;
            for name in ["g/a", "g/b"] {
                match adding.add(&name[2..], Noted::new(name, &journal, Probe::new())) {
                    Ok(_) => added += 1,
                    Err(error) => assert!(matches!(error, AddError::Stopped), "{error}"),
                }
            }
            added
        });
        let result = stage.stop();
        let added = adder.join().unwrap();
        let report = result.as_ref().unwrap();
        assert_eq!(report.services.len(), 1 + added, "each member that was added is in the report");
        assert!(report.services.iter().all(|row| matches!(row.outcome, Outcome::Stopped)), "{report}");
        assert!(group.is_empty() && matches!(group.add("late", Probe::new()), Err(AddError::Stopped)));
        stage.check(&result);
    });
}

#[test]
fn a_member_that_ends_while_it_is_removed_has_one_outcome_and_its_name_is_free() {
    explore(|| {
        let group = DynamicGroup::new();
        let mut stage = running(&group);
        let member = add(&stage, &group, "g/a", Probe::new().run(Act::Return)).unwrap();
        let outcome = stops(&member);
        assert!(matches!(outcome, Outcome::Completed | Outcome::Stopped), "{outcome:?}");
        assert!(group.is_empty() && group.get("a").is_none());
        let second = add(&stage, &group, "g/a2", Probe::new()).unwrap();
        assert!(
            !matches!(member.status().state, ServiceState::Running | ServiceState::Starting),
            "the handle is stale"
        );
        stops(&second);
        let result = stage.stop();
        stage.check(&result);
    });
}

#[test]
fn two_removes_of_one_member_both_wait_for_its_end() {
    explore(|| {
        let group = DynamicGroup::new();
        let mut stage = running(&group);
        let member = add(&stage, &group, "g/a", Probe::new()).unwrap();
        let other = member.clone();
        let remover = spawn("remover", move || matches!(stops(&other), Outcome::Stopped));
        assert!(matches!(stops(&member), Outcome::Stopped));
        assert!(remover.join().unwrap() && group.is_empty());
        let result = stage.stop();
        assert_eq!(result.as_ref().unwrap().services.len(), 1, "it was gone before the stop");
        stage.check(&result);
    });
}

#[test]
fn a_member_that_is_removed_while_the_group_stops_is_stopped_once() {
    explore(|| {
        let group = DynamicGroup::new();
        let mut stage = running(&group);
        let callback = Probe::new().run(Act::calling(|ctx: &Context| {
            let guard = ctx.on_stop(|| {});
            ctx.wait();
            drop(guard);
            Ok(())
        }));
        let member = add(&stage, &group, "g/a", callback).unwrap();
        let remover = spawn("remover", move || matches!(stops(&member), Outcome::Stopped));
        let result = stage.stop();
        assert!(remover.join().unwrap());
        assert!(group.is_empty());
        stage.check(&result);
    });
}

#[test]
fn one_of_two_members_of_the_same_name_is_added() {
    explore(|| {
        let group = DynamicGroup::new();
        let mut stage = running(&group);
        let adding = group.clone();
        let other = spawn("adder", move || adding.add("a", Probe::new()).is_ok());
        let here = group.add("a", Probe::new()).is_ok();
        assert!(here ^ other.join().unwrap(), "one of the two");
        assert_eq!(group.len(), 1);
        let result = stage.stop();
        assert_eq!(result.as_ref().unwrap().services.len(), 2);
        stage.check(&result);
    });
}

#[test]
fn a_thread_that_waits_for_room_gets_it_when_a_member_ends_or_sees_its_stop() {
    explore(|| {
        let group = DynamicGroup::new().limit(1);
        let mut stage = running(&group);
        add(&stage, &group, "g/a", Probe::new().run(Act::Return)).unwrap();
        let (waiting, stop) = (group.clone(), StopSource::new());
        let token = stop.token();
        let waiter = spawn("waiter", move || {
            waiting.wait_for_room(&token).unwrap(); // ends by itself: nobody stops the token
            waiting.add("b", Probe::new()).map(|_| ())
        });
        waiter.join().unwrap().unwrap();
        let (waiting, token) = (group.clone(), stop.token());
        let waiter = spawn("waiter", move || waiting.wait_for_room(&token));
        stop.request_stop();
        assert_eq!(waiter.join().unwrap(), Err(Stopped));
        let result = stage.stop();
        stage.check(&result);
    });
}

#[test]
fn a_member_that_fails_is_counted_and_may_stop_the_host() {
    explore(|| {
        let group = DynamicGroup::new();
        let mut stage = running(&group);
        let fails = || Probe::new().run(Act::Fail);
        let ignored = group.add("a", fails()).unwrap();
        assert!(matches!(ignored.wait(Duration::MAX), Some(Outcome::Failed(_))));
        let row = &stage.host.handle().services()[0];
        assert_eq!((row.errors, row.members.unwrap().failed), (1, 1));
        let mut options = ServiceOptions::new();
        options.on_failure(crate::OnFailure::StopHost);
        group.add_with("b", fails(), options).unwrap();
        stage.host.wait();
        let error = stage.stop().unwrap_err();
        assert_eq!(error.failures()[0].service(), "g/b");
    });
}
