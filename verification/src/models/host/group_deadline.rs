//! Groups that stop on their own, and then learn that their host has less time.

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
        let (stop_requested, failed) = (StopSource::new(), StopSource::new());
        let (first_stop_requested, third_failed) = (stop_requested.token(), failed.token());
        let children = group(move |host| {
            let (gate, stop_requested, failed) = (StopSource::new(), stop_requested.clone(), failed.clone());
            let closed = gate.token();
            // `second` holds up `first` and waits for it. So `first` must receive its stop request before `second`
            // exits.
            let opens = Probe::new().run(Act::calling(move |ctx: &Context| {
                ctx.wait();
                stop_requested.request_stop();
                gate.request_stop();
                Ok(())
            }));
            let unresponsive = Probe::new().run(Act::calling(move |_: &Context| Ok(closed.wait())));
            // Fails once the whole host has started.
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
        // The group may assume unlimited time, which never ends here.
        let first = stage.host.stop(Duration::ZERO);
        assert!(first.is_err());
        first_stop_requested.wait();
        let second = stage.stop();
        assert_eq!(second.as_ref().unwrap_err().failures().len(), 1);
        stage.check(&second);
    });
}
