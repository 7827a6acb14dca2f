//! Mistakes in the set-up of a host are errors of every result.

use crate::support::{LIMIT, idle, unresponsive};
use hosted::{Host, Outcome, worker};
use std::error::Error;
use std::time::Duration;

// 88
#[test]
fn a_service_added_after_the_start_is_an_error_of_every_stop() {
    let mut host = Host::new();
    host.add("early", idle());
    host.start().unwrap();
    host.add("late", idle());
    for _ in 0..2 {
        let error = host.stop(LIMIT).unwrap_err();
        let (text, source) = (error.to_string(), error.source().unwrap().to_string());
        assert!(source.starts_with("service `late` was added after the host had started, and never runs"), "{source}");
        assert!(text.starts_with(&source) && text.contains("early  stopped"), "{text}");
        assert!(error.failures().is_empty() && error.report().services.len() == 2, "{text}");
        assert!(matches!(error.report().services[1].outcome, Outcome::NeverStarted), "{text}");
    }
}

// 88
#[test]
fn a_service_added_after_the_start_does_not_disturb_a_stop_that_runs_out_of_time() {
    let ((stuck, release), mut host) = (unresponsive(), Host::new());
    host.add("store", idle());
    host.add("stuck", stuck);
    host.start().unwrap();
    host.add("late", idle());
    // So little time is left that the host requests all stops at once, even of services that others depend on.
    let report = host.stop(Duration::from_millis(100)).unwrap_err().report().clone();
    let outcomes: Vec<_> = report.services.iter().map(|service| &service.outcome).collect();
    assert!(matches!(outcomes[..], [Outcome::Stopped, Outcome::Hung(_), Outcome::NeverStarted]), "{report}");
    drop(release);
    assert!(host.stop(LIMIT).unwrap_err().failures().is_empty());
}

// 88
#[test]
fn a_service_added_after_the_start_is_an_error_of_run_beside_the_failures() {
    let mut host = Host::new();
    host.add(
        "early",
        worker(|ctx| {
            ctx.wait_until_started()?;
            Err("lost".into())
        }),
    );
    host.start().unwrap();
    host.add("late", idle());
    assert!(host.run().unwrap_err().to_string().contains("service `late` was added after the host had started"));
    host.wait(); // until `early` fails
    let error = host.stop(LIMIT).unwrap_err();
    assert_eq!(error.failures().len(), 1, "{error}");
    assert!(error.to_string().contains("\nalso: service `early` failed while running: lost\n"), "{error}");
}
