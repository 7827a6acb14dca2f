//! Groups that stop by themselves, and their host, which has less time than they thought.

use super::probe::{Act, Noted, Probe};
use super::stage::Stage;
use crate::models::explore::explore;
use crate::{Context, StopSource, group};
use std::time::Duration;

#[test]
fn a_group_that_stops_on_its_own_receives_a_shorter_deadline() {
    explore(|| {
        let mut stage = Stage::still();
        let journal = stage.journal.clone();
        let (asked, failed) = (StopSource::new(), StopSource::new());
        let (first_was_asked, third_failed) = (asked.token(), failed.token());
        let children = group(move |host| {
            let (gate, asked, failed) = (StopSource::new(), asked.clone(), failed.clone());
            let closed = gate.token();
            // It is held up by the second, who waits for it: so it has to be asked without the second's end.
            let opens = Probe::new().run(Act::calling(move |ctx: &Context| {
                ctx.wait();
                asked.request_stop();
                gate.request_stop();
                Ok(())
            }));
            let unresponsive = Probe::new().run(Act::calling(move |_: &Context| Ok(closed.wait())));
            // It fails once the whole host has started.
            let fails = Probe::new().run(Act::calling(move |ctx: &Context| {
                StopSource::linked([ctx.stop_token(), &ctx.host().started()]).token().wait();
                failed.request_stop();
                Err("it fails".into())
            }));
            host.add("first", Noted::new("g/first", &journal, opens));
            host.add("second", Noted::new("g/second", &journal, unresponsive));
            host.add("third", Noted::new("g/third", &journal, fails)).after(["first"]);
            Ok(())
        });
        stage.add("g", &[], children);
        stage.host.start().unwrap();
        third_failed.wait();
        // The group may think that it has all the time there is, which here never comes.
        let first = stage.host.stop(Duration::ZERO);
        assert!(first.is_err());
        first_was_asked.wait();
        let second = stage.stop();
        assert_eq!(second.as_ref().unwrap_err().failures().len(), 1);
        stage.check(&second);
    });
}
