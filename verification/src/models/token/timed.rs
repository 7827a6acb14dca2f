//! Timed stops: the timer keeps no entry of a source that is stopped or dropped. The models cover how the token adds
//! and removes entries. They do not cover the thread of the timer.

use super::*;
use crate::stop::timer;
use std::time::Duration;

const LATER: Duration = Duration::from_secs(1);

#[test]
fn a_source_stopped_while_it_is_timed_leaves_no_entry() {
    explore(|| {
        let stop = StopSource::new();
        let requester = request(&stop);
        stop.request_stop_after(LATER);
        assert!(requester.join().unwrap());
        assert!(timer::is_empty());
    });
}

#[test]
fn a_source_whose_clones_are_all_dropped_leaves_no_entry() {
    explore(|| {
        let stop = StopSource::new();
        let timed = stop.clone();
        // The token outlives the sources.
        let _token = stop.token();
        let gone = Memory::new();
        let going = gone.clone();
        let other = spawn(move || {
            timed.request_stop_after(LATER);
            drop(timed);
            going.add_one();
        });
        // This orders nothing. If a thread loads a word before it changes it, as the drop of a source does, loom tries
        // too few orders. With this line it also tries the order in which the other source is gone.
        _ = gone.read();
        drop(stop);
        other.join().unwrap();
        assert!(timer::is_empty());
    });
}

/// If the timer makes the request, the callback runs on another thread, and the model ends after it.
#[test]
fn a_time_limit_and_a_request_make_one_stop() {
    explore_within(4, || {
        let (stop, called) = (StopSource::new(), StopSource::new());
        let has_run = called.token();
        let guard = stop.token().on_stop(move || expect(called.request_stop(), "a callback runs once"));
        stop.request_stop_after(LATER);
        let timer = spawn(timer::run_out);
        _ = stop.request_stop();
        assert!(stop.stop_requested());
        has_run.wait();
        timer.join().unwrap();
        assert!(timer::is_empty());
        drop(guard);
    });
}

#[test]
fn a_time_that_comes_while_the_last_source_goes_leaves_no_entry() {
    explore(|| {
        let stop = StopSource::new();
        let token = stop.token();
        stop.request_stop_after(LATER);
        let timer = spawn(timer::run_out);
        drop(stop);
        timer.join().unwrap();
        assert!(timer::is_empty());
        drop(token);
    });
}
