//! A stop at a time of its own: the timer keeps no entry of a source that is stopped or gone. What is modelled is how
//! the token gets on and off the timer's list; the timer's thread is not.

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
        // Orders nothing. But of a thread that loads a word before it changes it, as a source's drop does, loom tries
        // too few orders: with this it also tries the one in which the other is gone.
        _ = gone.read();
        drop(stop);
        other.join().unwrap();
        assert!(timer::is_empty());
    });
}

/// When the timer makes the request the callback runs on a thread of its own: the model ends when it has.
#[test]
fn a_time_limit_and_a_request_make_one_stop() {
    explore_within(4, || {
        let (stop, called) = (StopSource::new(), StopSource::new());
        let told = called.token();
        let guard = stop.token().on_stop(move || expect(called.request_stop(), "a callback runs once"));
        stop.request_stop_after(LATER);
        let timer = spawn(timer::run_out);
        _ = stop.request_stop();
        assert!(stop.stop_requested());
        told.wait();
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
