//! What is left of a member that has ended: nothing.

use crate::support::log::{self, Level};
use crate::support::{LIMIT, next};
use crate::{idle, running};
use hosted::{DynamicGroup, EventKind, Host, once};

// 122
#[test]
fn the_end_of_a_member_is_an_event_and_a_debug_line() {
    let log = log::record();
    let group = DynamicGroup::new();
    let mut host = Host::new();
    host.add("ending-group", group.service());
    let events = host.events();
    host.start().unwrap();
    group.add("done", once(|_| Ok(()))).unwrap().wait(LIMIT).unwrap();
    group.add("idle", idle()).unwrap().stop(LIMIT).unwrap();
    let mut ends = Vec::new();
    while ends.len() < 2 {
        let event = next(&events);
        match event.kind {
            EventKind::Completed | EventKind::Stopped => ends.push(event.service.unwrap().to_string()),
            _ => {}
        }
    }
    assert_eq!(ends, ["ending-group/done", "ending-group/idle"]);
    for text in ["`ending-group/done` has completed", "`ending-group/idle` has stopped"] {
        let lines = log.containing(text);
        assert_eq!(lines.iter().map(|line| line.level).collect::<Vec<_>>(), [Level::Debug], "{text}");
    }
    host.stop(LIMIT).unwrap();
}

// 122
#[test]
fn values_of_a_member_are_dropped_on_its_own_thread_before_its_end() {
    struct Named(crossbeam_channel::Sender<Option<String>>);
    impl Drop for Named {
        fn drop(&mut self) {
            _ = self.0.send(std::thread::current().name().map(str::to_owned));
        }
    }
    let group = DynamicGroup::new();
    let mut host = running(&group);
    let (sender, dropped) = crossbeam_channel::unbounded();
    let value = Named(sender);
    let member = group.add(
        "a",
        hosted::worker(move |_| {
            let _ = &value;
            Ok(())
        }),
    );
    member.unwrap().wait(LIMIT).unwrap();
    assert_eq!(dropped.try_recv().unwrap().as_deref(), Some("g/a"));
    host.stop(LIMIT).unwrap();
}
