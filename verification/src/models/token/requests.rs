//! Of all requests for the stop, exactly one returns `true`.

use super::*;

#[test]
fn exactly_one_of_two_requesters_makes_the_request() {
    explore(|| {
        let stop = StopSource::new();
        let requester = request(&stop);
        let here = stop.request_stop();
        assert!(stop.stop_requested());
        assert!(here != requester.join().unwrap());
    });
}

#[test]
fn exactly_one_of_three_requesters_makes_the_request() {
    explore(|| {
        let stop = StopSource::new();
        let requesters = [request(&stop), request(&stop)];
        let here = stop.request_stop();
        let made = requesters.into_iter().map(|requester| requester.join().unwrap());
        assert_eq!(made.filter(|made| *made).count() + usize::from(here), 1);
    });
}

#[test]
fn exactly_one_of_three_requesters_runs_the_callback() {
    explore_within(3, || {
        let stop = StopSource::new();
        let (_guard, calls) = counted(&stop.token());
        let requesters = [request(&stop), request(&stop)];
        let here = stop.request_stop();
        let made = requesters.into_iter().map(|requester| requester.join().unwrap());
        assert_eq!(made.filter(|made| *made).count() + usize::from(here), 1);
        assert_eq!(calls.read(), 1);
    });
}

#[test]
fn two_requests_and_a_registration_make_one_call() {
    explore(|| {
        let stop = StopSource::new();
        let requester = request(&stop);
        let token = stop.token();
        let registering = spawn(move || counted(&token));
        let here = stop.request_stop();
        assert!(here != requester.join().unwrap());
        let (_guard, calls) = registering.join().unwrap();
        assert_eq!(calls.read(), 1);
    });
}

#[test]
fn a_late_requester_sees_all_writes_before_the_stop() {
    explore(|| {
        let (stop, before) = (StopSource::new(), Memory::new());
        let (late, seen) = (stop.clone(), before.clone());
        let requester = spawn(move || {
            if !late.request_stop() {
                assert_eq!(seen.read(), 1);
            }
        });
        before.add_one();
        stop.request_stop();
        requester.join().unwrap();
    });
}

#[test]
fn a_callback_that_requests_the_same_stop_did_not_make_the_request() {
    explore(|| {
        let stop = StopSource::new();
        let again = stop.clone();
        let guard =
            stop.token().on_stop(move || expect(!again.request_stop(), "only the first request returns `true`"));
        let requester = request(&stop);
        let here = stop.request_stop();
        assert!(here != requester.join().unwrap());
        drop(guard);
    });
}
