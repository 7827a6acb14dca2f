//! The texts of errors: of a service (name, phase, cause), of a host (the report), and of waits.

use crate::support::{LIMIT, by_phase, idle, idle_phase, in_time};
use crossbeam_channel::bounded;
use hosted::{
    Cause, Context, Host, HostError, Phase, Queue, RecvError, Service, ServiceError, StopToken, Stopped, worker,
};
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;
use std::{fmt, io};

/// Runs a host with this service until the service fails.
fn error_of(service: impl Service) -> HostError {
    let mut host = Host::new();
    host.add("a", service);
    host.run_until(&StopToken::never()).unwrap_err()
}

/// A service's own error, with a source.
#[derive(Debug)]
struct FeedError(io::Error);

impl fmt::Display for FeedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot read the feed")
    }
}

impl Error for FeedError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

fn feed_error() -> FeedError {
    FeedError(io::Error::new(io::ErrorKind::NotFound, "no such host"))
}

#[test]
fn a_service_error_names_service_phase_cause_and_sources_on_one_line() {
    in_time(|| {
        let phases = [(Phase::Start, "starting"), (Phase::Run, "running"), (Phase::Stop, "stopping")];
        for (at, doing) in phases {
            let fails = by_phase(move |phase, _| if phase == at { Err(feed_error().into()) } else { Ok(()) });
            let error = error_of(fails);
            let text = format!("service `a` failed while {doing}: cannot read the feed: no such host");
            assert_eq!(error.failures()[0].to_string(), text);
            let panics = by_phase(move |phase, _| if phase == at { panic!("lava") } else { Ok(()) });
            let error = error_of(panics);
            assert_eq!(error.failures()[0].to_string(), format!("service `a` panicked while {doing}: lava"));
            assert_eq!(format!("{:?}", error.failures()[0]), error.failures()[0].to_string());
        }
    });
}

#[test]
fn a_time_out_names_the_service_the_phase_and_the_time() {
    in_time(|| {
        let mut host = Host::new();
        let options = host.add("a", by_phase(|_, ctx| idle_phase(Phase::Run, ctx)));
        options.start_timeout(Duration::from_millis(20));
        let error = host.start().unwrap_err();
        assert_eq!(error.failures()[0].to_string(), "service `a` did not start within 20 ms");
        let (mut host, (release, blocked)) = (Host::new(), bounded::<()>(0));
        let unresponsive = move |_: &Context| {
            _ = blocked.recv(); // until the sender is dropped
            Ok(())
        };
        host.add("a", worker(unresponsive));
        host.start().unwrap();
        let error = host.stop(Duration::ZERO).unwrap_err();
        let text = error.failures()[0].to_string();
        assert!(text.starts_with("service `a` was still in `run` "), "{text}");
        assert!(text.ends_with("s after the stop request"), "{text}");
        drop(release);
        host.stop(LIMIT).unwrap();
    });
}

#[test]
fn the_source_of_a_service_error_is_the_services_own_error() {
    in_time(|| {
        let error = error_of(worker(|_| Err(feed_error().into())));
        let first = error.source().unwrap();
        assert_eq!(first.downcast_ref::<ServiceError>().map(ServiceError::service), Some("a"));
        let own = first.source().and_then(|own| own.downcast_ref::<FeedError>()).unwrap();
        assert_eq!(own.0.kind(), io::ErrorKind::NotFound);
        let same = error.failures()[0].clone();
        assert!(matches!(same.cause(), Cause::Failed(own) if own.is::<FeedError>()));
        assert!(error_of(worker(|_| panic!("lava"))).failures()[0].source().is_none());
    });
}

#[test]
fn a_host_error_debugs_as_it_displays_every_failure_and_then_every_service() {
    in_time(|| {
        let mut host = Host::new();
        host.add(
            "first",
            by_phase(
                |phase, ctx| if phase == Phase::Stop { Err("cannot close".into()) } else { idle_phase(phase, ctx) },
            ),
        );
        host.add("second", worker(|_| Err(feed_error().into())));
        let error = host.run_until(&StopToken::never()).unwrap_err();
        let text = error.to_string();
        assert_eq!((format!("{error:?}"), format!("{error:#?}")), (text.clone(), text.clone()));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "service `second` failed while running: cannot read the feed: no such host");
        assert_eq!(lines[1], "also: service `first` failed while stopping: cannot close");
        assert!(lines[2].starts_with("stopped in ") && lines[2].ends_with(": service `second` failed"), "{text}");
        assert!(lines[3].trim_start().starts_with("first ") && lines[3].contains("failed"), "{text}");
        assert!(lines[4].trim_start().starts_with("second ") && lines[4].contains("failed"), "{text}");
        assert_eq!(lines.len(), 5, "{text}");
    });
}

#[test]
fn a_host_error_tells_an_invalid_set_up_from_a_stop_during_start_up() {
    in_time(|| {
        let mut host = Host::new();
        host.add("", idle());
        let error = host.start().unwrap_err();
        let text = "the host did not start: service #1 has an empty name";
        assert_eq!((error.to_string(), format!("{error:?}")), (text.to_owned(), text.to_owned()));
        let mut host = Host::new();
        host.add("a", idle());
        host.handle().request_stop();
        let text = host.start().unwrap_err().to_string();
        assert!(text.starts_with("stop requested during start-up\n"), "{text}");
        assert!(text.contains(": a stop was requested") && text.contains("never started"), "{text}");
    });
}

#[test]
fn the_errors_of_waits_and_pushes_name_their_cause() {
    assert_eq!(Stopped.to_string(), "stop requested");
    assert_eq!(RecvError::Stopped.to_string(), "stop requested while waiting for a message");
    assert_eq!(RecvError::Disconnected.to_string(), "the channel is empty and its last sender was dropped");
    assert_eq!(RecvError::from(Stopped), RecvError::Stopped);
    let queue = Queue::bounded(1);
    queue.close();
    let closed = queue.try_push(1).unwrap_err();
    assert!(closed.to_string().contains("add producers after their consumers"), "{closed}");
    assert!(Stopped.source().is_some() && RecvError::Stopped.source().is_some());
    assert!(RecvError::Disconnected.source().is_none() && closed.source().is_none());
}

#[test]
fn exit_codes_tell_failures_from_abandoned_threads() {
    in_time(|| {
        let code = |error: &HostError| format!("{:?}", error.exit_code());
        assert_eq!(code(&error_of(worker(|_| Err("no".into())))), format!("{:?}", ExitCode::from(1)));
        let (mut host, (release, blocked)) = (Host::new(), bounded::<()>(0));
        let unresponsive = move |_: &Context| {
            _ = blocked.recv(); // until the sender is dropped
            Ok(())
        };
        host.add("stuck", worker(unresponsive));
        host.start().unwrap();
        assert_eq!(code(&host.stop(Duration::ZERO).unwrap_err()), format!("{:?}", ExitCode::from(124)));
        drop(release);
        host.stop(LIMIT).unwrap();
    });
}

#[test]
fn an_error_whose_display_panics_is_still_reported() {
    in_time(|| {
        #[derive(Debug)]
        struct Mute;
        impl std::fmt::Display for Mute {
            fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                panic!("no words")
            }
        }
        impl Error for Mute {}
        let error = error_of(worker(|ctx| {
            ctx.report_error(Mute);
            Err(Mute.into())
        }));
        let text = error.failures()[0].to_string();
        assert!(text.starts_with("service `a` failed while running: ") && text.contains("no words"), "{text}");
        assert_eq!(error.report().services[0].errors, 2);
    });
}
