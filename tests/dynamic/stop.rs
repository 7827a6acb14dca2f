//! The stop of the group and of its members.

use crate::support::{LIMIT, SECOND, asleep_in, in_time, next};
use crate::{idle, running};
use crossbeam_channel::unbounded;
use hosted::{AddError, DynamicGroup, MemberError, Outcome, ServiceOptions, once, worker};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

// 124
#[test]
fn all_members_receive_their_stop_request_at_once() {
    let group = DynamicGroup::new();
    let mut host = running(&group);
    // Each member ends only when all of them have their request.
    let all = Arc::new(Barrier::new(20));
    for n in 0..20 {
        let all = all.clone();
        group
            .add(
                n.to_string(),
                worker(move |ctx| {
                    ctx.wait();
                    all.wait();
                    Ok(())
                }),
            )
            .unwrap();
    }
    let report = host.stop(LIMIT).unwrap();
    assert_eq!(report.services.len(), 21, "{report}");
    assert!(report.services.iter().all(|row| matches!(row.outcome, Outcome::Stopped)), "{report}");
}

// 124
#[test]
fn the_stop_deadline_of_the_group_is_that_of_its_members() {
    let group = DynamicGroup::new();
    let mut host = running(&group);
    let (sender, deadlines) = unbounded();
    for n in 0..3 {
        let sender = sender.clone();
        group
            .add(
                n.to_string(),
                worker(move |ctx| {
                    ctx.wait();
                    while ctx.stop_deadline().is_none() {
                        thread::yield_now();
                    }
                    Ok(sender.send(ctx.stop_deadline().unwrap())?)
                }),
            )
            .unwrap();
    }
    let before = Instant::now();
    host.stop(100 * SECOND).unwrap();
    for _ in 0..3 {
        let left = next(&deadlines) - before;
        assert!(left > 90 * SECOND && left < 100 * SECOND, "{left:?}");
    }
}

// 124
#[test]
fn no_member_is_added_after_the_stop_request_of_the_group() {
    for _ in 0..50 {
        let group = DynamicGroup::new();
        let mut host = running(&group);
        let adding = group.clone();
        let (sender, first) = unbounded();
        let adder = thread::spawn(move || {
            let mut added = 0;
            loop {
                match adding.add(format!("{added}"), idle()) {
                    Ok(_) => added += 1,
                    Err(AddError::Stopped) => return added,
                    Err(error) => panic!("{error}"),
                }
                _ = sender.send(());
                if added > 2_000 {
                    thread::sleep(Duration::from_millis(1));
                }
            }
        });
        next(&first);
        let report = host.stop(LIMIT).unwrap();
        let added = adder.join().unwrap();
        assert_eq!(report.services.len(), 1 + added, "each member that was added is in the report");
        assert!(report.services.iter().all(|row| matches!(row.outcome, Outcome::Stopped)), "{report}");
    }
}

// 125
#[test]
fn a_member_has_its_own_stop_deadline() {
    let group = DynamicGroup::new();
    let mut host = running(&group);
    let (sender, deadlines) = unbounded();
    let service = || {
        let sender = sender.clone();
        worker(move |ctx| {
            ctx.wait();
            Ok(sender.send(ctx.stop_deadline())?)
        })
    };
    let before = Instant::now();
    group.add("a", service()).unwrap().stop(100 * SECOND).unwrap();
    let left = next(&deadlines).unwrap() - before;
    assert!(left > 90 * SECOND && left < 100 * SECOND, "{left:?}");

    let mut options = ServiceOptions::new();
    options.stop_timeout(7 * SECOND);
    group.add_with("b", service(), options).unwrap().stop(100 * SECOND).unwrap();
    let left = next(&deadlines).unwrap() - before;
    assert!(left < 60 * SECOND, "{left:?}");

    let member = group.add("c", service()).unwrap();
    member.request_stop();
    assert!(next(&deadlines).is_none(), "there is none");
    member.wait(LIMIT).unwrap();
    host.stop(LIMIT).unwrap();
}

// 125
#[test]
fn two_stops_of_one_member_both_have_its_outcome() {
    let group = DynamicGroup::new();
    let mut host = running(&group);
    for _ in 0..50 {
        let member = group.add("a", idle()).unwrap();
        let other = member.clone();
        let stop = thread::spawn(move || other.stop(LIMIT));
        assert!(matches!(member.stop(LIMIT), Ok(Outcome::Stopped)));
        assert!(matches!(stop.join().unwrap(), Ok(Outcome::Stopped)));
    }
    host.stop(LIMIT).unwrap();
}

// 126
#[test]
fn a_member_that_stops_itself_gets_an_error_and_stops() {
    let group = DynamicGroup::new();
    let mut host = running(&group);
    let (sender, results) = unbounded();
    let itself = group.clone();
    let member = group
        .add(
            "a",
            once(move |ctx| {
                let own = itself.get("a").ok_or("gone")?;
                sender.send((own.stop(LIMIT), own.wait(LIMIT).is_none(), ctx.stop_requested()))?;
                Ok(())
            }),
        )
        .unwrap();
    match next(&results) {
        (Err(MemberError::OwnThread(name)), true, true) => assert_eq!(&*name, "g/a"),
        other => panic!("{other:?}"),
    }
    assert!(matches!(member.wait(LIMIT), Some(Outcome::Stopped)));
    host.stop(LIMIT).unwrap();
}

// 121
#[test]
fn a_stop_callback_runs_when_the_member_is_stopped_and_keeps_it_alive() {
    let group = DynamicGroup::new();
    let mut host = running(&group);
    let (release, held) = crossbeam_channel::bounded::<()>(0);
    let (sender, called) = unbounded();
    let member = group
        .add(
            "a",
            worker(move |ctx| {
                let (sender, held) = (sender.clone(), held.clone());
                let guard = ctx.on_stop(move || {
                    _ = sender.send(());
                    _ = held.recv();
                });
                ctx.wait();
                std::mem::forget(guard); // its drop would wait for the callback
                Ok(())
            }),
        )
        .unwrap();
    member.wait_ready(LIMIT).unwrap();
    let stopping = member.clone();
    let stop = asleep_in(move || stopping.stop(LIMIT));
    next(&called);
    assert!(matches!(group.add("a", idle()), Err(AddError::Duplicate(_))), "its callback still runs");
    drop(release);
    assert!(matches!(stop.result(), Ok(Outcome::Stopped)));
    host.stop(LIMIT).unwrap();
}

// 124
#[test]
fn the_group_is_stopped_after_its_dependents_and_before_its_dependencies() {
    let (sender, order) = unbounded();
    let named = |name: &'static str| {
        let sender = sender.clone();
        worker(move |ctx| {
            ctx.wait();
            Ok(sender.send(name)?)
        })
    };
    let group = DynamicGroup::new();
    let mut host = hosted::Host::new();
    host.add("below", named("below"));
    host.add("g", group.service());
    host.add("above", named("above"));
    host.start().unwrap();
    group.add("member", named("member")).unwrap();
    in_time(move || host.stop(LIMIT).unwrap());
    assert_eq!([(); 3].map(|()| next(&order)), ["above", "member", "below"]);
}
