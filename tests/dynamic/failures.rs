//! What the failure of a member means.

use crate::support::log::{self, Level};
use crate::support::{LIMIT, SECOND, in_time, next};
use crate::{idle, running};
use crossbeam_channel::unbounded;
use hosted::{
    AddError, Cause, DynamicGroup, EventKind, Host, HostState, Member, MemberError, OnFailure, Outcome, Phase, Restart,
    Service, ServiceOptions, ServiceState, StopReason, StopToken, group, once, worker,
};
use std::error::Error;
use std::fmt;
use std::panic::resume_unwind;
use std::thread;
use std::time::Duration;

// 123
#[test]
fn the_failure_of_a_member_is_a_warning_an_event_and_counted_in_the_groups_row() {
    let log = log::record();
    let group = DynamicGroup::new();
    let mut host = Host::new();
    host.add("failing-group", group.service());
    let events = host.events();
    host.start().unwrap();
    let failed = group.add("a", worker(|_| Err("no answer".into()))).unwrap();
    let panicked = group.add("b", once(|_| panic!("oops"))).unwrap();
    assert!(matches!(failed.wait(LIMIT), Some(Outcome::Failed(_))));
    assert!(matches!(panicked.wait(LIMIT), Some(Outcome::Failed(_))));
    let mut names = Vec::new();
    while names.len() < 2 {
        let event = next(&events);
        if let EventKind::Failed(error) = event.kind {
            assert_eq!(event.service.as_deref(), Some(error.service()));
            names.push(error.service().to_owned());
        }
    }
    names.sort();
    assert_eq!(names, ["failing-group/a", "failing-group/b"]);
    let lines = log.containing("failing-group/a");
    assert_eq!(lines.iter().filter(|line| line.level == Level::Warn).count(), 1, "{lines:?}");
    assert_eq!(log.errors("failing-group"), 0);

    let row = &host.handle().services()[0];
    assert_eq!((row.errors, row.state, host.handle().state()), (2, ServiceState::Running, HostState::Started));
    assert!(row.last_error.as_deref().is_some_and(|text| text.contains("failing-group/")), "{row:?}");
    assert_eq!(row.members.unwrap().failed, 2);
    let report = host.stop(LIMIT).unwrap();
    assert_eq!((report.services.len(), report.services[0].errors), (1, 2), "{report}");
}

// 123
#[test]
fn a_member_that_may_stop_the_host_stops_it_with_its_failure() {
    let group = DynamicGroup::new();
    let host = running(&group);
    group.add("other", idle()).unwrap();
    let mut options = ServiceOptions::default();
    options.on_failure(OnFailure::StopHost);
    group.add_with("a", worker(|_| Err("boom".into())), options).unwrap();
    let (reason, mut host) = in_time(move || (host.wait(), host));
    assert_eq!(reason, StopReason::Failed("g/a".into()));
    let error = host.stop(LIMIT).unwrap_err();
    assert_eq!(error.failures()[0].to_string(), "service `g/a` failed while running: boom");
    assert!(matches!(error.report().services[0].outcome, Outcome::Stopped), "{error}");
}

// 123, 128
#[test]
fn a_dynamic_group_that_restarts_begins_without_members() {
    let dynamic = DynamicGroup::new();
    let inner = dynamic.clone();
    let mut host = Host::new();
    host.add(
        "outer",
        group(move |host| {
            host.add("d", inner.service());
            Ok(())
        }),
    )
    .restart(Restart::on_failure().backoff(Duration::ZERO..=Duration::ZERO));
    host.start().unwrap();
    dynamic.add("lost", idle()).unwrap();
    let mut options = ServiceOptions::new();
    options.on_failure(OnFailure::StopHost);
    dynamic.add_with("a", worker(|_| Err("boom".into())), options).unwrap();
    while host.handle().services()[0].restarts == 0 || dynamic.add("new", idle()).is_err() {
        std::thread::yield_now();
    }
    assert!(dynamic.get("lost").is_none());
    let names: Vec<_> = host.handle().services().iter().map(|row| row.name.to_string()).collect();
    assert_eq!(names, ["outer", "outer/d", "outer/d/new"]);
    host.stop(LIMIT).unwrap();
}

// 123
#[test]
fn restart_works_for_a_member() {
    let group = DynamicGroup::new();
    let mut host = running(&group);
    let (sender, runs) = unbounded();
    let mut options = ServiceOptions::new();
    options.restart(Restart::on_failure().backoff(Duration::ZERO..=Duration::ZERO).give_up_after(2));
    let member = group
        .add_with(
            "a",
            worker(move |ctx| {
                sender.send(ctx.restarts())?;
                Err("again".into())
            }),
            options,
        )
        .unwrap();
    assert!(matches!(member.wait(LIMIT), Some(Outcome::Failed(_))));
    assert_eq!(runs.iter().collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!((member.status().restarts, member.status().errors), (2, 3));
    assert_eq!(host.handle().services()[0].errors, 1, "the final failure");
    host.stop(LIMIT).unwrap();
}

// 123
#[test]
fn a_member_that_waits_for_its_restart_ends_at_its_stop() {
    let group = DynamicGroup::new();
    let mut host = running(&group);
    let mut options = ServiceOptions::new();
    options.restart(Restart::on_failure().backoff(SECOND * 3_600..=SECOND * 3_600));
    let member = group.add_with("a", worker(|_| Err("down".into())), options).unwrap();
    while member.status().state != ServiceState::Restarting {
        std::thread::yield_now();
    }
    assert!(matches!(member.stop(LIMIT), Ok(Outcome::NotRestarted(_))));
    host.stop(LIMIT).unwrap();
}

// 132
#[test]
fn a_member_that_misses_its_start_timeout_fails_and_is_stopped() {
    let group = DynamicGroup::new();
    let mut host = running(&group);
    let mut options = ServiceOptions::new();
    options.start_timeout(Duration::from_millis(20));
    let slow = crate::support::in_phase(Phase::Start, |ctx| {
        ctx.wait(); // until the stop request
        Ok(())
    });
    let member = group.add_with("slow", slow, options.clone()).unwrap();
    let Some(Outcome::Failed(error)) = member.wait(LIMIT) else { panic!("{:?}", member.status()) };
    assert!(matches!(error.cause(), Cause::TimedOut(_)), "{error}");
    let quick = group.add_with("quick", idle(), options).unwrap();
    quick.wait_ready(LIMIT).unwrap();
    std::thread::sleep(Duration::from_millis(50)); // its timeout passes, and nothing happens
    assert_eq!(quick.status().state, ServiceState::Running);
    host.stop(LIMIT).unwrap();
}

/// An error whose `Drop` panics.
#[derive(Debug)]
struct PanicsInDrop;

impl fmt::Display for PanicsInDrop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("broken")
    }
}

impl Error for PanicsInDrop {}

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        resume_unwind(Box::new("dropped"));
    }
}

// 126
#[test]
fn errors_that_panic_in_their_drop_are_harmless_when_the_last_handle_is_dropped() {
    let group = DynamicGroup::new();
    let mut host = running(&group);
    let add = |n: u32| group.add(n.to_string(), worker(|_| Err(PanicsInDrop.into()))).unwrap();
    let members: Vec<Member> = (0..3).map(add).collect();
    members.iter().for_each(|member| assert!(matches!(member.wait(LIMIT), Some(Outcome::Failed(_)))));
    host.stop(LIMIT).unwrap();
    drop(host);
    drop(group);
    drop(members); // this frees the records, and the errors in them
}

/// Calls a function in `attach`, and panics.
struct PanicsInAttach<F>(F);

impl<F: FnMut() + Send + 'static> Service for PanicsInAttach<F> {
    fn attach(&mut self, _: &StopToken) {
        self.0();
        resume_unwind(Box::new("attached"));
    }
}

// 120
#[test]
fn wait_ready_returns_if_the_member_never_gets_a_thread() {
    let group = DynamicGroup::new();
    let mut host = running(&group);
    let (sender, waiting) = unbounded();
    let inner = group.clone();
    let service = PanicsInAttach(move || {
        let member = inner.get("a").unwrap(); // another thread may find the member already
        let waiter = thread::spawn(move || member.wait_ready(Duration::MAX));
        sender.send(waiter).unwrap();
    });
    let add = thread::spawn(move || group.add("a", service).map(drop));
    let waiter = next(&waiting);
    assert!(matches!(add.join().unwrap(), Err(AddError::Invalid(_))));
    assert!(matches!(in_time(|| waiter.join().unwrap()), Err(MemberError::Ended(_))));
    host.stop(LIMIT).unwrap();
}
