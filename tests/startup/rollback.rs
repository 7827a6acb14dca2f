//! Guarantees 20, 21 and 22: a failed start is rolled back.

use super::diary::Diary;
use crate::support::{LIMIT, idle, idle_phase, in_phase, in_time};
use crossbeam_channel::bounded;
use hosted::{
    Cause, Context, Host, HostState, OnFailure, Outcome, Phase, Result, ServiceError, ServiceReport, StopReason,
};
use std::error::Error;
use std::time::{Duration, Instant};

// 20
#[test]
fn after_a_failed_start_later_services_never_start_and_earlier_ones_are_stopped() {
    in_time(|| {
        let (mut host, diary) = (Host::new(), Diary::default());
        host.add("a", diary.keeper(|_| Ok(())));
        host.add("b", diary.keeper(|_| Ok(())));
        host.add("c", diary.keeper(|_| Err("no such table".into())));
        host.add("d", diary.keeper(|_| Ok(())));
        let error = host.start().unwrap_err();
        assert_eq!(diary.pages(), ["start a", "start b", "start c", "stop b", "stop a"]);
        let [failure] = error.failures() else { panic!("one failure: {error}") };
        assert_eq!((failure.service(), failure.phase()), ("c", Phase::Start));
        assert!(matches!(failure.cause(), Cause::Failed(error) if error.to_string() == "no such table"));
        assert_eq!(error.report().reason, StopReason::Failed("c".into()));
        assert_eq!(host.handle().state(), HostState::Stopped);
    });
}

// 20
#[test]
fn the_error_of_a_failed_start_has_the_root_cause_before_rollback_failures() {
    in_time(|| {
        let mut host = Host::new();
        host.add("a", in_phase(Phase::Stop, |_| Err("a cannot close".into())));
        host.add("b", in_phase(Phase::Stop, |_| panic!("b cannot close")));
        host.add("c", in_phase(Phase::Start, |_| panic!("c cannot open")));
        let error = host.start().unwrap_err();
        let [root, second, third] = error.failures() else { panic!("three failures: {error}") };
        assert_eq!((root.service(), root.phase()), ("c", Phase::Start));
        assert!(matches!(root.cause(), Cause::Panicked(text) if text == "c cannot open"));
        assert_eq!((second.service(), second.phase()), ("b", Phase::Stop));
        assert!(matches!(second.cause(), Cause::Panicked(text) if text == "b cannot close"));
        assert_eq!((third.service(), third.phase()), ("a", Phase::Stop));
        assert!(matches!(third.cause(), Cause::Failed(error) if error.to_string() == "a cannot close"));
    });
}

// 20, 32
#[test]
fn dependents_of_an_ignored_failed_start_start_without_it() {
    in_time(|| {
        let starts: [fn(&Context) -> Result; 2] = [|_| Err("no cache".into()), |_| panic!("no cache")];
        for start in starts {
            let (mut host, diary) = (Host::new(), Diary::default());
            host.add("cache", diary.keeper(start)).on_failure(OnFailure::Ignore);
            host.add("server", diary.keeper(|_| Ok(())));
            host.start().unwrap();
            let report = host.stop(LIMIT).unwrap();
            let [cache, server] = &report.services[..] else { panic!("two services: {report}") };
            assert!(matches!((&cache.outcome, &server.outcome), (Outcome::Failed(_), Outcome::Stopped)), "{report}");
            assert_eq!(diary.pages(), ["start cache", "start server", "stop server"]);
        }
    });
}

// 21, 23
#[test]
fn the_rollback_has_the_whole_stop_timeout_after_a_start_timeout() {
    in_time(|| {
        let (sender, receiver) = bounded(1);
        let mut host = Host::new();
        host.start_timeout(Duration::from_secs(1)).stop_timeout(LIMIT * 10); // a second: enough for `a`
        let stop = move |ctx: &Context| {
            sender.send(ctx.stop_deadline().map(|at| at.saturating_duration_since(Instant::now())))?;
            Ok(())
        };
        host.add("a", in_phase(Phase::Stop, stop));
        host.add("late", in_phase(Phase::Start, |ctx| idle_phase(Phase::Run, ctx)));
        let error = host.start().unwrap_err();
        let left = receiver.recv().unwrap();
        assert!(left.is_some_and(|left| left > LIMIT * 8), "left to stop: {left:?}");
        assert_eq!(error.failures().iter().map(ServiceError::service).collect::<Vec<_>>(), ["late"]);
        assert!(matches!(error.report().services[0].outcome, Outcome::Stopped), "{error}");
    });
}

// 22
#[test]
fn stop_is_called_only_after_start_returned_ok_even_by_a_later_stop() {
    in_time(|| {
        let (mut host, diary) = (Host::new(), Diary::default());
        host.add("a", diary.keeper(|_| Ok(())));
        host.add("b", diary.keeper(|_| Err("no".into())));
        host.add("c", diary.keeper(|_| Ok(())));
        host.add("d", diary.keeper(|_| Ok(()))).after(["b"]);
        for error in [host.start().unwrap_err(), host.stop(LIMIT).unwrap_err()] {
            assert_eq!(error.failures().len(), 1, "{error}");
            let [a, b, c, d] = &error.report().services[..] else { panic!("every service, in order: {error}") };
            assert_eq!([&*a.name, &*b.name, &*c.name, &*d.name], ["a", "b", "c", "d"]);
            assert!(matches!((&a.outcome, &b.outcome), (Outcome::Stopped, Outcome::Failed(_))), "{error}");
            assert!(matches!((&c.outcome, &d.outcome), (Outcome::NeverStarted, Outcome::NeverStarted)), "{error}");
        }
        drop(host);
        assert_eq!(diary.pages(), ["start a", "start b", "stop a"]);
    });
}

// 20
#[test]
fn if_a_thread_cannot_be_created_the_start_is_rolled_back_with_the_name() {
    in_time(|| {
        let (mut host, diary) = (Host::new(), Diary::default());
        host.add("a", diary.keeper(|_| Ok(())));
        host.add("giant", diary.keeper(|_| Ok(()))).stack_size(usize::MAX / 2);
        host.add("c", diary.keeper(|_| Ok(())));
        let error = host.start().unwrap_err();
        assert!(error.failures().is_empty(), "{error}");
        assert!(error.source().is_some_and(|source| source.to_string().contains("`giant`")), "{error}");
        assert_eq!(error.report().reason, StopReason::Failed("giant".into()));
        let [a, giant, c] = &error.report().services[..] else { panic!("three services: {error}") };
        assert!(matches!(a.outcome, Outcome::Stopped), "{error}");
        assert!(matches!((&giant.outcome, &c.outcome), (Outcome::NeverStarted, Outcome::NeverStarted)), "{error}");
        assert_eq!(diary.pages(), ["start a", "stop a"]);
    });
}

// 20
#[test]
fn after_a_failed_start_independent_services_that_wait_never_start() {
    in_time(|| {
        const BESIDE: usize = 2_000; // so many that `bad` has failed long before the last one would start
        let mut host = Host::new();
        host.add("bad", in_phase(Phase::Start, |_| Err("no".into())));
        (0..BESIDE).for_each(|n| _ = host.add(format!("beside{n}"), idle()).after::<&str>([]));
        let error = host.start().unwrap_err();
        let never = |service: &&ServiceReport| matches!(service.outcome, Outcome::NeverStarted);
        let started = BESIDE - error.report().services.iter().filter(never).count();
        assert!(started < BESIDE, "all of them have started");
    });
}
