//! Loggers that panic, and loggers that call the host.

use crate::support::log::on_line;
use crate::support::{LIMIT, in_time};
use crossbeam_channel::{bounded, unbounded};
use hosted::{
    Context, Event, EventKind, Host, HostHandle, HostState, OnFailure, Queue, Restart, StopReason, every, group, worker,
};
use std::sync::{Mutex, Once};
use std::thread;
use std::time::Duration;

/// Panics at lines that contain `panicky`. At lines that contain `curious`, takes a snapshot of the host and requests
/// its stop.
fn log_to_a_hostile_logger() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        on_line(|line| {
            assert!(!line.text.contains("panicky"), "the disk is full");
            let host = HOST.lock().unwrap().clone().filter(|_| line.text.contains("curious"));
            if let Some(host) = host {
                STATES.lock().unwrap().push(host.state());
                assert!(!host.services().is_empty());
                host.request_stop();
            }
        });
    });
}

static HOST: Mutex<Option<HostHandle>> = Mutex::new(None);
static STATES: Mutex<Vec<HostState>> = Mutex::new(Vec::new());

#[test]
fn a_logger_that_panics_at_every_line_affects_no_service() {
    in_time(|| {
        log_to_a_hostile_logger();
        let (mut host, queue, (sender, receiver)) = (Host::new(), Queue::bounded(1), unbounded());
        let (done, ticked) = (sender.clone(), sender.clone());
        let job = move |(), ctx: &Context| {
            sender.send("job")?;
            ctx.report_error("panicky");
            Err("panicky".into())
        };
        host.add("panicky eater", queue.consumer(job));
        let tick = move |_: &Context| {
            ticked.send("tick")?;
            panic!("panicky")
        };
        host.add("panicky ticker", every(Duration::from_secs(3600), tick).immediately());
        let fails = |_: &Context| Err("panicky".into());
        let restart = Restart::on_failure().give_up_after(2).backoff(Duration::ZERO..=Duration::ZERO);
        host.add("panicky phoenix", worker(fails)).restart(restart).on_failure(OnFailure::Ignore);
        let fill = move |inside: &mut Host| {
            let done = done.clone();
            let run = move |ctx: &Context| {
                let _guard = ctx.on_stop(|| panic!("panicky"));
                done.send("child")?;
                Ok(ctx.sleep(Duration::MAX)?)
            };
            inside.add("child", worker(run));
            Ok(())
        };
        host.add("panicky group", group(fill));
        let (events, (failed, has_failed)) = (host.events(), bounded(1));
        thread::spawn(move || {
            let of_phoenix =
                |event: &Event| matches!(&event.kind, EventKind::Failed(error) if error.service() == "panicky phoenix");
            _ = failed.send(events.iter().any(|event| of_phoenix(&event)));
        });
        host.start().unwrap();
        queue.push(()).unwrap();
        let mut came: Vec<&str> = (0..3).map(|_| receiver.recv().unwrap()).collect();
        came.sort_unstable();
        assert_eq!(came, ["child", "job", "tick"]);
        assert!(has_failed.recv().unwrap(), "the phoenix has risen twice");
        let report = match host.stop(LIMIT) {
            Ok(report) => report,
            Err(error) => error.report().clone(), // the callback has panicked
        };
        assert_eq!(report.services.iter().map(|service| service.restarts).collect::<Vec<_>>(), [0, 0, 2, 0, 0]);
        assert_eq!(report.services[0].errors, 2);
    });
}

#[test]
fn a_logger_may_inspect_the_host_and_request_its_stop() {
    in_time(|| {
        log_to_a_hostile_logger();
        let mut host = Host::new();
        host.add("curious", worker(|ctx| Ok(ctx.sleep(Duration::MAX)?)));
        *HOST.lock().unwrap() = Some(host.handle());
        let error = host.start().map(|()| host.wait());
        let stopped_while_starting = error.is_err_and(|error| error.failures().is_empty());
        let report = host.stop(LIMIT).unwrap();
        assert!(stopped_while_starting && report.reason == StopReason::Requested, "{report}");
        let states = std::mem::take(&mut *STATES.lock().unwrap());
        assert_eq!(states[..2], [HostState::Starting, HostState::Stopping]);
    });
}
