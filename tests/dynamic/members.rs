//! How members are added, found and shown.

use crate::support::{Gate, LIMIT, SECOND, in_time, next, stopped};
use crate::{idle, running};
use crossbeam_channel::{bounded, unbounded};
use hosted::{AddError, DynamicGroup, Host, MemberError, Outcome, ServiceState, StopSource, Stopped, once, worker};
use std::error::Error;
use std::thread;

// 120
#[test]
fn a_member_runs_at_once_on_its_own_thread() {
    let group = DynamicGroup::new();
    let mut host = running(&group);
    let (sender, threads) = unbounded();
    let member = group.add("a", once(move |_| Ok(sender.send(thread::current().id())?))).unwrap();
    assert_ne!(next(&threads), thread::current().id());
    assert!(matches!(member.wait(LIMIT), Some(Outcome::Completed)));
    host.stop(LIMIT).unwrap();
}

// 120
#[test]
fn add_before_the_group_runs_is_not_running_and_after_its_stop_stopped() {
    let group = DynamicGroup::new();
    let mut host = Host::new();
    host.add("g", group.service());
    assert!(matches!(group.add("a", idle()), Err(AddError::NotRunning)));
    host.start().unwrap();
    group.add("a", idle()).unwrap();
    host.stop(LIMIT).unwrap();
    let error = group.add("b", idle()).unwrap_err();
    assert!(matches!(error, AddError::Stopped), "{error}");
    assert_eq!((group.len(), group.is_empty(), group.get("a").is_none()), (0, true, true));
}

// 120
#[test]
fn a_service_that_returns_the_error_stopped_of_add_stops_cleanly() {
    let group = DynamicGroup::new();
    let mut host = Host::new();
    host.add("g", group.service());
    let adding = group.clone();
    host.add(
        "adder",
        worker(move |ctx| {
            ctx.wait();
            while adding.add("late", once(|_| Ok(()))).map(|_| ()).or_else(ignore_duplicate).is_ok() {}
            Ok(adding.add("late", idle()).map(|_| ())?)
        }),
    )
    .independent();
    host.start().unwrap();
    let report = host.stop(LIMIT).unwrap();
    assert!(matches!(report.services.last().unwrap().outcome, Outcome::Stopped), "{report}");
    assert!(AddError::Stopped.source().is_some(), "the marker of a stop is its source");
}

fn ignore_duplicate(error: AddError) -> Result<(), AddError> {
    if matches!(error, AddError::Duplicate(_)) { Ok(()) } else { Err(error) }
}

// 121
#[test]
fn a_name_is_taken_until_nothing_of_its_member_is_left() {
    let group = DynamicGroup::new();
    let mut host = running(&group);
    let (release, held) = bounded::<()>(0);
    // A thread-local value whose destructor blocks: the thread is still there after everything else has ended.
    thread_local!(static LAST: std::cell::RefCell<Option<crate::support::BlocksInDrop>> = const { std::cell::RefCell::new(None) });
    let (sender, set) = unbounded();
    let member = group
        .add(
            "a",
            once(move |_| {
                LAST.set(Some(crate::support::BlocksInDrop(held)));
                Ok(sender.send(())?)
            }),
        )
        .unwrap();
    next(&set);
    while member.status().state != ServiceState::Completed {
        thread::yield_now();
    }
    match group.add("a", idle()) {
        Err(AddError::Duplicate(name)) => assert_eq!(&*name, "a"),
        other => panic!("{other:?}"),
    }
    assert_eq!(group.len(), 1);
    drop(release);
    assert!(matches!(member.wait(LIMIT), Some(Outcome::Completed)));
    group.add("a", idle()).unwrap();
    host.stop(LIMIT).unwrap();
}

// 121
#[test]
fn after_a_wait_or_a_stop_the_name_of_the_member_is_free() {
    let group = DynamicGroup::new();
    let mut host = running(&group);
    for round in 0..200 {
        let member = group.add("a", if round % 2 == 0 { once_or_idle(true) } else { once_or_idle(false) }).unwrap();
        if round % 2 == 0 {
            assert!(matches!(member.wait(LIMIT), Some(Outcome::Completed)));
        } else {
            assert!(matches!(member.stop(LIMIT).unwrap(), Outcome::Stopped));
        }
    }
    host.stop(LIMIT).unwrap();
}

fn once_or_idle(ends: bool) -> impl hosted::Service {
    worker(move |ctx| {
        if !ends {
            ctx.wait();
        }
        Ok(())
    })
}

// 131
#[test]
fn a_handle_keeps_the_outcome_of_its_member_when_the_name_is_taken_again() {
    let group = DynamicGroup::new();
    let mut host = running(&group);
    let first = group.add("a", worker(|_| Err("broken".into()))).unwrap();
    let Some(Outcome::Failed(error)) = first.wait(LIMIT) else { panic!("{first:?}") };
    let second = group.add("a", idle()).unwrap();
    second.wait_ready(LIMIT).unwrap();
    first.request_stop(); // of a member that is gone: nothing happens
    assert!(matches!(first.stop(LIMIT), Ok(Outcome::Failed(_))));
    assert_eq!((first.status().state, second.status().state), (ServiceState::Failed, ServiceState::Running));
    assert_eq!(error.service(), "g/a");
    assert!(second.wait(std::time::Duration::ZERO).is_none());
    host.stop(LIMIT).unwrap();
    assert!(matches!(second.wait(LIMIT), Some(Outcome::Stopped)));
}

// 131
#[test]
fn a_context_that_outlives_its_member_says_nothing_about_the_next_member() {
    let group = DynamicGroup::new();
    let mut host = running(&group);
    let (sender, contexts) = unbounded();
    let member = group.add("a", once(move |ctx| Ok(sender.send(ctx.clone())?))).unwrap();
    let old = next(&contexts);
    member.wait(LIMIT).unwrap();
    drop(member);
    let next_member = group.add("a", idle()).unwrap();
    next_member.wait_ready(LIMIT).unwrap();
    old.report_error("late");
    old.mark_complete();
    assert_eq!((next_member.status().errors, next_member.status().state), (0, ServiceState::Running));
    drop(old);
    host.stop(LIMIT).unwrap();
}

// 120
#[test]
fn wait_ready_returns_when_start_has_returned_ok() {
    let group = DynamicGroup::new();
    let mut host = running(&group);
    let gate = Gate::new();
    let at_gate = gate.clone();
    let slow = crate::support::in_phase(hosted::Phase::Start, move |ctx| at_gate.pass(ctx));
    let member = group.add("slow", slow).unwrap();
    gate.arrival();
    match member.wait_ready(std::time::Duration::from_millis(1)) {
        Err(MemberError::NotReady { name, thread }) => {
            assert_eq!((&*name, thread.phase), ("g/slow", hosted::Phase::Start));
        }
        other => panic!("{other:?}"),
    }
    let waiting = member.clone();
    let ready = crate::support::asleep_in(move || waiting.wait_ready(LIMIT));
    gate.let_one_through();
    ready.result().unwrap();
    let failing =
        group.add("failing", crate::support::in_phase(hosted::Phase::Start, |_| Err("no device".into()))).unwrap();
    match failing.wait_ready(LIMIT) {
        Err(MemberError::Failed(error)) => assert_eq!(error.phase(), hosted::Phase::Start),
        other => panic!("{other:?}"),
    }
    host.stop(LIMIT).unwrap();
}

// 129
#[test]
fn the_limit_counts_members_until_nothing_of_them_is_left() {
    let group = DynamicGroup::new().limit(2);
    let mut host = running(&group);
    let first = group.add("1", idle()).unwrap();
    group.add("2", idle()).unwrap();
    assert!(matches!(group.add("3", idle()), Err(AddError::Full)));
    first.stop(LIMIT).unwrap();
    group.add("3", idle()).unwrap();
    assert!(matches!(group.add("4", idle()), Err(AddError::Full)));
    host.stop(LIMIT).unwrap();
}

// 129
#[test]
fn wait_for_room_returns_when_a_member_has_ended_or_at_the_stop() {
    let group = DynamicGroup::new().limit(1);
    let mut host = running(&group);
    let never = StopSource::new();
    group.wait_for_room(&never.token()).unwrap();
    let member = group.add("a", idle()).unwrap();
    let (waiting, token) = (group.clone(), never.token());
    let room = crate::support::asleep_in(move || waiting.wait_for_room(&token));
    member.stop(LIMIT).unwrap();
    room.result().unwrap();

    group.add("b", idle()).unwrap();
    let (waiting, stop) = (group.clone(), StopSource::new());
    let token = stop.token();
    let room = crate::support::asleep_in(move || waiting.wait_for_room(&token));
    stop.request_stop();
    assert_eq!(room.result(), Err(Stopped));
    assert_eq!(group.wait_for_room(&stopped()), Err(Stopped));
    host.stop(LIMIT).unwrap();
    assert_eq!(DynamicGroup::new().wait_for_room(&never.token()), Ok(()));
}

// 129
#[test]
fn many_threads_that_wait_for_room_never_exceed_the_limit() {
    let group = DynamicGroup::new().limit(3);
    let mut host = running(&group);
    let alive = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    in_time({
        let group = group.clone();
        move || {
            thread::scope(|scope| {
                for adder in 0..8 {
                    let (group, alive) = (group.clone(), alive.clone());
                    scope.spawn(move || {
                        let stop = StopSource::new();
                        for n in 0..100 {
                            let alive = alive.clone();
                            let job = move |_: &hosted::Context| {
                                let now = 1 + alive.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                                assert!(now <= 3, "{now} members at a time");
                                alive.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                                Ok(())
                            };
                            let mut added = Err(AddError::Full);
                            while let Err(AddError::Full) = added {
                                group.wait_for_room(&stop.token()).unwrap();
                                added = group.add(format!("{adder}-{n}"), once(job.clone()));
                            }
                            added.unwrap();
                        }
                    });
                }
            });
        }
    });
    let report = host.stop(LIMIT).unwrap();
    assert_eq!(report.services[0].members.unwrap().failed, 0, "{report}");
    assert_eq!(report.services[0].members.unwrap().ended, 800, "{report}");
}

// 127
#[test]
fn the_row_of_the_group_is_followed_by_its_living_members() {
    let group = DynamicGroup::new();
    let mut host = Host::new();
    host.add("first", idle());
    host.add("g", group.service());
    host.add("last", idle());
    host.start().unwrap();
    let names = |host: &Host| host.handle().services().iter().map(|row| row.name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&host), ["first", "g", "last"]);
    for name in ["x", "a", "m"] {
        group.add(name, idle()).unwrap();
    }
    assert_eq!(names(&host), ["first", "g", "g/x", "g/a", "g/m", "last"], "in the order in which they were added");
    group.get("x").unwrap().stop(LIMIT).unwrap();
    group.add("b", idle()).unwrap();
    assert_eq!(names(&host), ["first", "g", "g/a", "g/m", "g/b", "last"]);
    let shown: Vec<_> = group.members().iter().map(|row| row.name.to_string()).collect();
    assert_eq!(shown, ["g/a", "g/m", "g/b"]);
    let counts = host.handle().services()[1].members.unwrap();
    assert_eq!((counts.alive, counts.ended, counts.failed), (3, 1, 0));
    assert_eq!(host.handle().services()[0].members, None);
    assert_eq!((group.len(), group.get("m").unwrap().name(), group.get("x").is_none()), (3, "m", true));
    host.stop(SECOND * 30).unwrap();
    assert_eq!(names(&host), ["first", "g", "last"]);
}

// 127
#[test]
fn a_member_sees_its_siblings_in_its_host() {
    let group = DynamicGroup::new();
    let mut host = running(&group);
    group.add("a", idle()).unwrap();
    let (sender, seen) = unbounded();
    let member = group.add(
        "b",
        once(move |ctx| {
            sender.send((ctx.name().to_owned(), ctx.host().services().len()))?;
            Ok(())
        }),
    );
    assert_eq!(next(&seen), ("g/b".to_owned(), 2));
    member.unwrap().wait(LIMIT).unwrap();
    host.stop(LIMIT).unwrap();
}

// 126
#[test]
fn a_member_that_requests_the_stop_of_its_host_stops_the_application() {
    let group = DynamicGroup::new();
    let host = running(&group);
    group
        .add(
            "a",
            worker(|ctx| {
                ctx.host().request_stop();
                ctx.wait();
                Ok(())
            }),
        )
        .unwrap();
    let (reason, host) = in_time(move || (host.wait(), host));
    assert_eq!(reason, hosted::StopReason::Requested);
    let mut host = host;
    host.stop(LIMIT).unwrap();
}
