//! A stop request while a service waits to be restarted: the report, and the policy that finishes the work.

use crate::support::{LIMIT, MS};
use crossbeam_channel::{Receiver, bounded, unbounded};
use hosted::testing::ManualClock;
use hosted::{Context, Event, EventKind, Host, Outcome, Phase, Restart, Result, Service, ServiceState, group, worker};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Longer than any test takes: only a stop request ends it.
const FOREVER: Duration = Duration::from_secs(3_600);

fn always(backoff: Duration) -> RangeInclusive<Duration> {
    backoff..=backoff
}

/// Returns when the service waits to be restarted.
fn wait_for_backoff(events: &Receiver<Event>) {
    wait_for(events, |kind| matches!(kind, EventKind::Restarting { .. }));
}

fn wait_for(events: &Receiver<Event>, is: impl Fn(&EventKind) -> bool) {
    while !is(&events.recv_timeout(LIMIT).expect("the event, and no hang").kind) {}
}

/// A service that returns the result of `run`, which receives the number of the run. It reports each call of its
/// methods.
struct Reporting<F> {
    run: F,
    runs: u32,
    calls: crossbeam_channel::Sender<&'static str>,
}

impl<F: FnMut(u32, &Context) -> Result + Send + 'static> Service for Reporting<F> {
    fn start(&mut self, _: &Context) -> Result {
        Ok(self.calls.send("start")?)
    }

    fn run(&mut self, ctx: &Context) -> Result {
        self.calls.send("run")?;
        self.runs += 1;
        (self.run)(self.runs, ctx)
    }

    fn stop(&mut self, _: &Context) -> Result {
        Ok(self.calls.send("stop")?)
    }
}

fn reporting<F>(run: F) -> (Reporting<F>, Receiver<&'static str>)
where
    F: FnMut(u32, &Context) -> Result + Send + 'static,
{
    let (calls, receiver) = unbounded();
    (Reporting { run, runs: 0, calls }, receiver)
}

/// A store that fails in its first run, and later stores everything that was accepted, even after the stop request.
fn store(accepted: Receiver<u32>, stored: crossbeam_channel::Sender<u32>) -> impl Service {
    let mut locked = true;
    worker(move |ctx| {
        if std::mem::take(&mut locked) {
            return Err("database is locked".into());
        }
        while let Ok(item) = ctx.recv(&accepted) {
            stored.send(item)?;
        }
        for item in accepted.try_iter() {
            stored.send(item)?;
        }
        Ok(())
    })
}

// 89
#[test]
fn a_stop_during_a_backoff_is_reported_as_not_restarted_and_is_no_failure() {
    let (_orders, accepted) = bounded(10);
    let (stored, _all) = unbounded();
    let mut host = Host::new();
    let events = host.events();
    host.add("store", store(accepted, stored)).restart(Restart::on_failure().backoff(always(FOREVER)));
    host.start().unwrap();
    wait_for_backoff(&events);
    let report = host.stop(LIMIT).unwrap();
    let Outcome::NotRestarted(error) = &report.services[0].outcome else { panic!("{report}") };
    assert_eq!((error.service(), error.phase()), ("store", Phase::Run));
    let picture = report.to_string();
    let words = "was waiting to be restarted after: service `store` failed while running: database is locked";
    assert!(picture.contains("store  not restarted") && picture.contains(words), "{picture}");
    let status = &host.handle().services()[0];
    assert_eq!((status.state, status.errors, status.restarts), (ServiceState::NotRestarted, 1, 0));
    let ends: Vec<String> = events
        .try_iter()
        .filter(|event| matches!(event.kind, EventKind::Stopped | EventKind::NotRestarted(_)))
        .map(|event| event.to_string())
        .collect();
    assert_eq!(ends, [format!("service `store` has stopped; it {words}")]);
}

#[test]
fn run_returns_ok_if_a_service_was_waiting_to_be_restarted() {
    let mut host = Host::new();
    let (events, handle) = (host.events(), host.handle());
    host.add("flaky", worker(|_| Err("lost".into()))).restart(Restart::on_failure().backoff(always(FOREVER)));
    let requester = std::thread::spawn(move || {
        wait_for_backoff(&events);
        handle.request_stop();
    });
    let report = host.run_until(&hosted::StopToken::never()).unwrap();
    requester.join().unwrap();
    assert!(matches!(report.services[0].outcome, Outcome::NotRestarted(_)), "{report}");
}

// 89
#[test]
fn a_restart_whose_start_is_cut_off_by_a_stop_is_reported_as_not_restarted() {
    struct Reconnects(crossbeam_channel::Sender<()>);
    impl Service for Reconnects {
        fn start(&mut self, ctx: &Context) -> Result {
            if ctx.restarts() == 0 {
                return Ok(());
            }
            self.0.send(())?;
            ctx.sleep(FOREVER)?;
            Ok(())
        }

        fn run(&mut self, _: &Context) -> Result {
            Err("connection lost".into())
        }
    }
    let (starts, started) = unbounded();
    let mut host = Host::new();
    host.add("feed", Reconnects(starts)).restart(Restart::on_failure().backoff(always(MS)));
    host.start().unwrap();
    started.recv_timeout(LIMIT).unwrap();
    let report = host.stop(LIMIT).unwrap();
    assert!(matches!(report.services[0].outcome, Outcome::NotRestarted(_)), "{report}");
}

#[test]
fn a_first_start_that_waits_for_another_try_is_reported_as_not_restarted() {
    for restart in [Restart::on_failure().also_first_start(), Restart::on_failure().also_first_start().finish_on_stop()]
    {
        struct Unready(crossbeam_channel::Sender<()>);
        impl Service for Unready {
            fn start(&mut self, _: &Context) -> Result {
                self.0.send(())?;
                Err("no answer".into())
            }
        }
        let (starts, started) = unbounded();
        let mut host = Host::new();
        let (events, handle) = (host.events(), host.handle());
        host.add("client", Unready(starts)).restart(restart.backoff(always(FOREVER)));
        let requester = std::thread::spawn(move || {
            wait_for_backoff(&events);
            handle.request_stop();
        });
        let error = host.start().unwrap_err();
        requester.join().unwrap();
        assert!(error.failures().is_empty(), "{error}");
        assert!(matches!(error.report().services[0].outcome, Outcome::NotRestarted(_)), "{error}");
        assert_eq!(started.try_iter().count(), 1, "a service that was never ready holds nothing to finish");
    }
}

// 90
#[test]
fn finish_on_stop_gives_a_service_in_a_backoff_one_last_run() {
    let (orders, accepted) = bounded(10);
    let (stored, all) = unbounded();
    let mut host = Host::new();
    let events = host.events();
    let restart = Restart::on_failure().backoff(always(FOREVER)).finish_on_stop();
    host.add("store", store(accepted, stored)).restart(restart);
    host.start().unwrap();
    wait_for_backoff(&events);
    (0..3).for_each(|order| orders.send(order).unwrap());
    let report = host.stop(LIMIT).unwrap();
    assert_eq!(all.try_iter().collect::<Vec<_>>(), [0, 1, 2], "{report}");
    assert!(matches!(report.services[0].outcome, Outcome::Stopped), "{report}");
    assert_eq!((report.services[0].errors, report.services[0].restarts), (1, 1));
    assert_eq!(host.handle().services()[0].state, ServiceState::Stopped);
}

#[test]
fn finish_on_stop_also_ends_the_backoff_after_a_completed_run() {
    let (service, calls) = reporting(|_, _| Ok(()));
    let mut host = Host::new();
    let events = host.events();
    host.add("batch", service).restart(Restart::always().backoff(always(FOREVER)).finish_on_stop());
    host.start().unwrap();
    wait_for_backoff(&events);
    let report = host.stop(LIMIT).unwrap();
    assert!(matches!(report.services[0].outcome, Outcome::Stopped), "{report}");
    assert_eq!(calls.try_iter().collect::<Vec<_>>(), ["start", "run", "stop"].repeat(2));
}

/// Waits for the stop request in its first run, and fails after it.
fn fails_until(last: u32) -> (impl Service, Receiver<&'static str>) {
    reporting(move |run, ctx| {
        ctx.wait();
        if run < last { Err(format!("run {run} failed").into()) } else { Ok(()) }
    })
}

// 90
#[test]
fn a_run_that_fails_after_the_stop_request_is_tried_again_until_it_finishes() {
    let (service, calls) = fails_until(5);
    let mut host = Host::new();
    host.add("store", service).restart(Restart::on_failure().backoff(always(MS)).finish_on_stop());
    host.start().unwrap();
    let report = host.stop(LIMIT).unwrap();
    assert!(matches!(report.services[0].outcome, Outcome::Stopped), "{report}");
    assert_eq!((report.services[0].errors, report.services[0].restarts), (4, 4));
    assert_eq!(calls.try_iter().collect::<Vec<_>>(), ["start", "run", "stop"].repeat(5));
}

// 90
#[test]
fn a_service_that_cannot_finish_fails_for_good_and_fails_the_host() {
    let (service, calls) = fails_until(u32::MAX);
    let mut host = Host::new();
    let restart = Restart::on_failure().backoff(always(MS)).give_up_after(2).finish_on_stop();
    host.add("store", service).restart(restart);
    host.start().unwrap();
    let error = host.stop(LIMIT).unwrap_err();
    let failures: Vec<String> = error.failures().iter().map(ToString::to_string).collect();
    assert_eq!(failures, ["service `store` failed while running: run 3 failed"]);
    assert_eq!(error.report().services[0].errors, 3);
    assert_eq!(calls.try_iter().collect::<Vec<_>>(), ["start", "run", "stop"].repeat(3));
}

#[test]
fn a_backoff_while_finishing_is_cut_so_that_there_is_time_for_another_try() {
    let (service, calls) = fails_until(2);
    let mut host = Host::new();
    let restart = Restart::on_failure().backoff(always(FOREVER)).finish_on_stop();
    host.add("store", service).restart(restart).stop_timeout(4_000 * MS);
    host.start().unwrap();
    let report = host.stop(LIMIT).unwrap();
    assert!(matches!(report.services[0].outcome, Outcome::Stopped), "{report}");
    assert_eq!(calls.try_iter().filter(|&call| call == "run").count(), 2);
}

#[test]
fn a_service_that_has_no_time_left_to_finish_has_failed_and_is_not_hung() {
    let time = ManualClock::new(); // stands still, so that no backoff ends before the deadline
    let (service, calls) = fails_until(u32::MAX);
    let mut host = Host::with_clock(time.clock());
    let restart = Restart::on_failure().backoff(always(FOREVER)).finish_on_stop();
    host.add("store", service).restart(restart).stop_timeout(200 * MS);
    host.start().unwrap();
    let error = host.stop(LIMIT).unwrap_err();
    let service = &error.report().services[0];
    assert!(
        matches!(&service.outcome, Outcome::Failed(error) if error.to_string().ends_with("run 1 failed")),
        "{error}"
    );
    assert_eq!((service.errors, service.restarts, error.failures().len()), (1, 0, 1));
    assert_eq!(calls.try_iter().collect::<Vec<_>>(), ["start", "run", "stop"]);
}

#[test]
fn a_last_run_that_ends_with_stopped_is_reported_as_not_restarted() {
    let (service, _calls) = reporting(|run, ctx| match run {
        1 => Err("lost".into()),
        _ => Ok(ctx.check()?),
    });
    struct Checks<S>(S);
    impl<S: Service> Service for Checks<S> {
        fn start(&mut self, ctx: &Context) -> Result {
            Ok(ctx.check()?)
        }

        fn run(&mut self, ctx: &Context) -> Result {
            self.0.run(ctx)
        }
    }
    let mut host = Host::new();
    let events = host.events();
    let restart = Restart::on_failure().backoff(always(FOREVER)).finish_on_stop();
    host.add("feed", Checks(service)).restart(restart);
    host.start().unwrap();
    wait_for_backoff(&events);
    let report = host.stop(LIMIT).unwrap();
    assert!(matches!(report.services[0].outcome, Outcome::NotRestarted(_)), "{report}");
}

#[test]
fn a_group_that_finishes_on_stop_starts_new_services_and_stops_them() {
    let (orders, accepted) = bounded(10);
    let (stored, all) = unbounded();
    let mut first = true;
    let mut host = Host::new();
    let events = host.events();
    let fill = move |group: &mut Host| {
        let (accepted, stored, fails) = (accepted.clone(), stored.clone(), std::mem::take(&mut first));
        group.add(
            "store",
            worker(move |ctx| {
                if fails {
                    return Err("database is locked".into());
                }
                ctx.wait();
                Ok(accepted.try_iter().try_for_each(|item: u32| stored.send(item))?)
            }),
        );
        Ok(())
    };
    host.add("crew", group(fill)).restart(Restart::on_failure().backoff(always(FOREVER)).finish_on_stop());
    host.start().unwrap();
    wait_for_backoff(&events);
    (0..3).for_each(|order| orders.send(order).unwrap());
    let report = host.stop(LIMIT).unwrap();
    assert_eq!(all.try_iter().collect::<Vec<_>>(), [0, 1, 2], "{report}");
    assert!(report.services.iter().all(|service| matches!(service.outcome, Outcome::Stopped)), "{report}");
}

#[test]
fn a_group_in_a_backoff_is_reported_as_not_restarted_with_its_services() {
    let mut host = Host::new();
    let events = host.events();
    let fill = |group: &mut Host| {
        group.add("flaky", worker(|_| Err("lost".into())));
        Ok(())
    };
    host.add("crew", group(fill)).restart(Restart::on_failure().backoff(always(FOREVER)));
    host.start().unwrap();
    wait_for_backoff(&events);
    let report = host.stop(LIMIT).unwrap();
    let [crew, flaky] = &report.services[..] else { panic!("{report}") };
    assert!(matches!((&crew.outcome, &flaky.outcome), (Outcome::NotRestarted(_), Outcome::Failed(_))), "{report}");
}
