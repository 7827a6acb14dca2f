//! Members that add and remove members.

use crate::support::{LIMIT, in_time, next};
use crate::{idle, running};
use crossbeam_channel::unbounded;
use hosted::{AddError, DynamicGroup, Host, Outcome, Service, group, once, worker};

// 126
#[test]
fn members_add_members_of_their_own_and_of_another_group() {
    let [first, second] = [(); 2].map(|()| DynamicGroup::new());
    let mut host = Host::new();
    host.add("first", first.service());
    host.add("second", second.service());
    host.start().unwrap();
    let (own, other) = (first.clone(), second.clone());
    let member = first
        .add(
            "adder",
            once(move |_| {
                own.add("sibling", idle())?;
                other.add("cousin", idle())?;
                Ok(())
            }),
        )
        .unwrap();
    assert!(matches!(member.wait(LIMIT), Some(Outcome::Completed)));
    assert!(first.get("sibling").is_some() && second.get("cousin").is_some());
    in_time(move || host.stop(LIMIT).unwrap());
}

// 126
#[test]
fn members_remove_each_other_without_a_deadlock() {
    let group = DynamicGroup::new();
    let mut host = running(&group);
    for _ in 0..50 {
        let (sender, ready) = unbounded();
        let both = ["a", "b"].map(|name| {
            let (others, sender, ready) = (group.clone(), sender.clone(), ready.clone());
            let other = if name == "a" { "b" } else { "a" };
            let remover = move |ctx: &hosted::Context| {
                sender.send(())?;
                while ready.len() < 2 {
                    std::thread::yield_now(); // until both are there
                }
                if let Some(other) = others.get(other) {
                    other.request_stop();
                }
                ctx.wait();
                Ok(())
            };
            group.add(name, once(remover)).unwrap()
        });
        for member in both {
            assert!(matches!(member.wait(LIMIT), Some(Outcome::Stopped)));
        }
    }
    host.stop(LIMIT).unwrap();
}

/// Adds a member when it is dropped.
struct AddsOnDrop(DynamicGroup, crossbeam_channel::Sender<Result<(), AddError>>);

impl Service for AddsOnDrop {}

impl Drop for AddsOnDrop {
    fn drop(&mut self) {
        let added = self.0.add("heir", once(|_| Ok(())));
        let own = self.0.add("a", once(|_| Ok(())));
        _ = self.1.send(added.map(|_| ()));
        _ = self.1.send(own.map(|_| ()));
    }
}

// 126
#[test]
fn add_in_the_drop_of_a_member_works_or_is_an_error() {
    let group = DynamicGroup::new();
    let mut host = running(&group);
    let (sender, results) = unbounded();
    let member = group.add("a", AddsOnDrop(group.clone(), sender.clone())).unwrap();
    member.stop(LIMIT).unwrap();
    assert!(next(&results).is_ok());
    assert!(matches!(next(&results), Err(AddError::Duplicate(_))), "its own name is still taken");
    // At the stop of the group, and in the drop of a service that is refused.
    group.add("a", AddsOnDrop(group.clone(), sender.clone())).unwrap();
    in_time(move || host.stop(LIMIT).unwrap());
    for _ in 0..2 {
        assert!(matches!(next(&results), Err(AddError::Stopped)));
    }
    assert!(matches!(group.add("a", AddsOnDrop(group.clone(), sender)), Err(AddError::Stopped)));
    for _ in 0..2 {
        assert!(matches!(next(&results), Err(AddError::Stopped)));
    }
}

// 126
#[test]
fn a_service_that_panics_while_it_is_dropped_in_add_panics_nobody_else() {
    struct PanicsOnDrop;
    impl Service for PanicsOnDrop {}
    impl Drop for PanicsOnDrop {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }
    assert!(matches!(DynamicGroup::new().add("a", PanicsOnDrop), Err(AddError::NotRunning)));
}

// 127
#[test]
fn a_member_may_be_a_group_or_a_dynamic_group() {
    let (outer, inner) = (DynamicGroup::new(), DynamicGroup::new());
    let mut host = running(&outer);
    outer
        .add(
            "static",
            group(|host| {
                host.add("child", idle());
                Ok(())
            }),
        )
        .unwrap()
        .wait_ready(LIMIT)
        .unwrap();
    outer.add("dynamic", inner.service()).unwrap().wait_ready(LIMIT).unwrap();
    inner.add("x", idle()).unwrap();
    let failing = inner.add("y", worker(|_| Err("no".into()))).unwrap();
    failing.wait(LIMIT).unwrap();
    let rows = host.handle().services();
    let names: Vec<_> = rows.iter().map(|row| &*row.name).collect();
    assert_eq!(names, ["g", "g/static", "g/static/child", "g/dynamic", "g/dynamic/x"]);
    assert_eq!((rows[0].errors, rows[3].errors), (0, 1), "the row of its own group counts a failure");
    outer.get("dynamic").unwrap().stop(LIMIT).unwrap();
    assert!(inner.is_empty() && matches!(inner.add("z", idle()), Err(AddError::Stopped)));
    let report = host.stop(LIMIT).unwrap();
    let names: Vec<_> = report.services.iter().map(|row| &*row.name).collect();
    assert_eq!(names, ["g", "g/static", "g/static/child"], "{report}");
}

// 123
#[test]
fn a_member_of_an_inner_group_may_stop_the_outermost_host() {
    let (outer, inner) = (DynamicGroup::new(), DynamicGroup::new());
    let host = running(&outer);
    outer.add("inner", inner.service()).unwrap().wait_ready(LIMIT).unwrap();
    let mut options = hosted::ServiceOptions::new();
    options.on_failure(hosted::OnFailure::StopHost);
    inner.add_with("a", worker(|_| Err("boom".into())), options).unwrap();
    let error = in_time(move || {
        let mut host = host;
        assert_eq!(host.wait(), hosted::StopReason::Failed("g/inner/a".into()));
        host.stop(LIMIT).unwrap_err()
    });
    assert_eq!(error.failures()[0].service(), "g/inner/a");
}
