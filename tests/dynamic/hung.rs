//! Members that do not stop.

use crate::support::log::{self, Level};
use crate::support::{LIMIT, MS, SECOND, unresponsive};
use crate::{idle, running};
use hosted::{AddError, DynamicGroup, EventKind, Host, MemberError, Outcome, Phase, ServiceState};

// 125
#[test]
fn the_stop_of_a_hung_member_names_it_and_it_stays_alive() {
    let group = DynamicGroup::new();
    let mut host = running(&group);
    let (service, release) = unresponsive();
    let member = group.add("stuck", service).unwrap();
    group.add("good", idle()).unwrap();
    member.wait_ready(LIMIT).unwrap();
    let error = member.stop(50 * MS).unwrap_err();
    match &error {
        MemberError::Hung { name, thread } => {
            assert_eq!((&**name, thread.phase), ("g/stuck", Phase::Run));
            assert!(thread.thread.starts_with("g/stuck"), "{thread}");
            assert!(
                thread.blocked_in.as_deref().is_some_and(|text| text.contains("futex"))
                    || cfg!(not(target_os = "linux"))
            );
        }
        other => panic!("{other:?}"),
    }
    assert!(error.to_string().contains("member `g/stuck` did not stop: thread g/stuck"), "{error}");
    assert!(matches!(group.add("stuck", idle()), Err(AddError::Duplicate(_))));
    let rows: Vec<_> = group.members().iter().map(|row| (row.name.to_string(), row.state)).collect();
    assert_eq!(rows, [("g/stuck".into(), ServiceState::Hung), ("g/good".into(), ServiceState::Running)]);
    assert_eq!(member.status().state, ServiceState::Hung);
    assert!(matches!(member.stop(MS), Err(MemberError::Hung { .. })), "again");
    drop(release);
    assert!(matches!(member.stop(LIMIT), Ok(Outcome::Stopped)));
    assert!(group.get("stuck").is_none());
    host.stop(LIMIT).unwrap();
}

// 125
#[test]
fn the_stop_of_the_group_waits_for_a_member_that_was_hung_before() {
    let group = DynamicGroup::new();
    let mut host = running(&group);
    let (service, release) = unresponsive();
    let member = group.add("stuck", service).unwrap();
    assert!(matches!(member.stop(10 * MS), Err(MemberError::Hung { .. })));
    let error = host.stop(200 * MS).unwrap_err();
    assert!(matches!(error.report().services[1].outcome, Outcome::Hung(_)), "{error}");
    drop(release);
    assert!(matches!(member.wait(LIMIT), Some(Outcome::Stopped)));
    let report = host.stop(LIMIT).unwrap();
    assert!(matches!(report.services[1].outcome, Outcome::Stopped), "{report}");
}

// 124
#[test]
fn a_hung_member_makes_its_group_hung_and_is_named_with_everything() {
    let log = log::record();
    let group = DynamicGroup::new();
    let mut host = Host::new();
    host.add("hung-group", group.service());
    let events = host.events();
    host.start().unwrap();
    let (service, release) = unresponsive();
    group.add("stuck", service).unwrap().wait_ready(LIMIT).unwrap();
    group.add("good", idle()).unwrap();
    let error = host.stop(300 * MS).unwrap_err();
    let rows = &error.report().services;
    let names: Vec<_> = rows.iter().map(|row| &*row.name).collect();
    assert_eq!(names, ["hung-group", "hung-group/stuck", "hung-group/good"]);
    assert!(matches!(rows[0].outcome, Outcome::Hung(_)) && matches!(rows[2].outcome, Outcome::Stopped), "{error}");
    let Outcome::Hung(blocked) = &rows[1].outcome else { panic!("{error}") };
    assert_eq!(blocked.phase, Phase::Run);
    let line = log.containing("service `hung-group/stuck` did not stop: thread hung-group/stuck");
    assert_eq!(line.len(), 1, "{line:?}");
    assert_eq!(line[0].level, Level::Error);
    if cfg!(target_os = "linux") {
        assert!(line[0].text.contains("tid") && line[0].text.contains("futex"), "{line:?}");
    }
    let hung = events.try_iter().filter(|event| matches!(event.kind, EventKind::Hung(_)));
    let hung: Vec<_> = hung.map(|event| event.service.unwrap().to_string()).collect();
    assert!(hung.contains(&"hung-group/stuck".to_owned()) && hung.contains(&"hung-group".to_owned()), "{hung:?}");
    drop(release);
    host.stop(LIMIT).unwrap();
}

// 124
#[test]
fn a_stop_that_takes_long_logs_which_members_it_waits_for() {
    let log = log::record();
    let group = DynamicGroup::new();
    let mut host = Host::new();
    host.add("slow-group", group.service());
    host.start().unwrap();
    let (service, release) = unresponsive();
    group.add("stuck", service).unwrap().wait_ready(LIMIT).unwrap();
    host.stop(SECOND * 3 / 2).unwrap_err();
    let lines = log.containing("waiting for `slow-group/stuck` (`run`");
    assert!(!lines.is_empty() && lines[0].level == Level::Warn, "{:?}", log.containing("slow-group"));
    drop(release);
    host.stop(LIMIT).unwrap();
}
