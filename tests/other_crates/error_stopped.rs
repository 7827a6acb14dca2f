//! Guarantees 34 and 110: an error that contains `Stopped` is a clean end of the service whose own stop was requested, and of no
//! other service. Other crates can check for such an error.

use anyhow::Context as _;
use crossbeam_channel::{RecvTimeoutError, bounded, never};
use hosted::{
    BoxError, Cause, Context, Host, Outcome, Phase, Queue, RecvError, Result, Service, StopSource, StopToken, Stopped,
    group, is_stop_error, task, worker,
};
use std::time::Duration;
use std::{io, thread};

/// Turns a hang into a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a test that would hang if it failed.
fn in_time(test: impl FnOnce() + Send + 'static) {
    let (done, over) = bounded::<()>(0);
    let body = move || {
        let _done = done; // a panic drops it too
        test();
    };
    let thread = thread::spawn(body);
    assert_eq!(over.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected), "the test hangs");
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

/// An application's own error, derived with `thiserror`.
#[derive(Debug, thiserror::Error)]
enum AppError {
    #[error("while waiting")]
    Wait(#[from] Stopped),
    #[error(transparent)]
    Receive(#[from] RecvError),
    #[error("i/o")]
    Io(#[from] io::Error),
}

/// The ways in which a service can pass on the error of a wait that its stopped token ended. Each way has a name.
type Way = (&'static str, fn(&StopToken) -> Result);

const WAYS: &[Way] = &[
    ("check", |token| Ok(token.check()?)),
    ("sleep", |token| Ok(token.sleep(Duration::MAX)?)),
    ("recv", |token| Ok(token.recv(&never::<()>())?)),
    ("push_until", |token| {
        let full = Queue::bounded(1);
        full.push("taken")?;
        Ok(full.push_until("left over", token)?)
    }),
    ("io", |token| Ok(as_io(token)?)),
    ("io in io", |token| Err(io::Error::new(io::ErrorKind::BrokenPipe, as_io(token).unwrap_err()).into())),
    ("anyhow", |token| Ok(as_anyhow(token)?)),
    ("thiserror", |token| Ok(token.check().map_err(AppError::from)?)),
    ("thiserror, transparent", |token| Ok(token.recv(&never::<()>()).map_err(AppError::from)?)),
    ("anyhow of thiserror of io", |token| {
        let error = anyhow::Error::from(AppError::from(as_io(token).unwrap_err()));
        Err(error.context("poll").context("feed").into())
    }),
    ("boxed twice", |token| Err(io::Error::other(BoxError::from(as_anyhow(token).unwrap_err())).into())),
];

/// The error of a `Read` that a stop request interrupts.
fn as_io(token: &StopToken) -> io::Result<()> {
    token.check().map_err(|stopped| io::Error::new(io::ErrorKind::ConnectionAborted, stopped))
}

fn as_anyhow(token: &StopToken) -> anyhow::Result<()> {
    token.sleep(Duration::MAX).context("the pause was interrupted")
}

// 34
#[test]
fn stopped_of_the_own_token_is_a_clean_end_in_any_wrapper() {
    in_time(|| {
        for (way, f) in WAYS {
            let mut host = Host::new();
            let run = |ctx: &Context| {
                ctx.wait();
                f(ctx.stop_token())
            };
            host.add("a", worker(run));
            host.start().unwrap();
            let report = host.stop(PATIENCE).unwrap_or_else(|error| panic!("{way}: {error}"));
            assert!(matches!(report.services[0].outcome, Outcome::Stopped), "{way}: {report}");
        }
    });
}

// 34
#[test]
fn stopped_of_the_own_token_in_start_is_a_clean_end_in_any_wrapper() {
    in_time(|| {
        for (way, f) in WAYS {
            let mut host = Host::new();
            let start = |ctx: &Context| {
                ctx.host().request_stop();
                ctx.wait();
                f(ctx.stop_token())
            };
            host.add("a", task(start));
            let report = host.run_until(&StopToken::never()).unwrap_or_else(|error| panic!("{way}: {error}"));
            assert!(matches!(report.services[0].outcome, Outcome::Stopped), "{way}: {report}");
        }
    });
}

// 34
#[test]
fn stopped_of_another_token_is_a_failure_in_any_wrapper() {
    in_time(|| {
        let other = StopSource::new();
        other.request_stop();
        for (way, f) in WAYS {
            let services = [(Phase::Run, false), (Phase::Start, true)];
            for (phase, starts) in services {
                let (mut host, token) = (Host::new(), other.token());
                let fails = move |_: &Context| f(&token);
                if starts {
                    host.add("a", task(fails))
                } else {
                    host.add("a", worker(fails))
                };
                let error = host.run_until(&StopToken::never()).expect_err(way);
                let [failure] = error.failures() else { panic!("{way}: expected one failure: {error}") };
                assert_eq!((failure.service(), failure.phase()), ("a", phase), "{way}");
                assert!(matches!(failure.cause(), Cause::Failed(_)), "{way}: {failure}");
            }
        }
    });
}

// 34
#[test]
fn any_other_error_after_the_stop_is_a_failure() {
    in_time(|| {
        let errors: [fn() -> BoxError; 3] =
            [|| "woken by force".into(), || RecvError::Disconnected.into(), || io::Error::other("stopped").into()];
        for error in errors {
            let mut host = Host::new();
            let run = move |ctx: &Context| {
                ctx.wait();
                Err(error())
            };
            host.add("a", worker(run));
            host.start().unwrap();
            assert_eq!(host.stop(PATIENCE).unwrap_err().failures()[0].phase(), Phase::Run);
        }
    });
}

/// A service whose `stop` is interrupted by the stop request, so that its clean-up is incomplete.
struct Untidy;

impl Service for Untidy {
    fn stop(&mut self, ctx: &Context) -> Result {
        Ok(ctx.check()?)
    }
}

// 34, 48
#[test]
fn stopped_from_a_stop_is_a_failure_of_a_service_and_of_a_groups_child() {
    in_time(|| {
        let fill = |inside: &mut Host| {
            inside.add("child", Untidy);
            Ok(())
        };
        let services: [Box<dyn Service>; 2] = [Box::new(Untidy), Box::new(group(fill))];
        for service in services {
            let mut host = Host::new();
            host.add("a", service);
            host.start().unwrap();
            let error = host.stop(PATIENCE).map(|report| report.to_string()).unwrap_err();
            assert_eq!(error.failures()[0].service(), "a", "{error}");
            assert!(matches!(error.report().services[0].outcome, Outcome::Failed(_)), "{error}");
        }
    });
}

// 110
#[test]
fn other_crates_recognize_stopped_in_any_wrapper_and_in_no_other_error() {
    let stop = StopSource::new();
    stop.request_stop();
    for (name, way) in WAYS {
        assert!(is_stop_error(&*way(&stop.token()).unwrap_err()), "{name}");
    }
    let others: [BoxError; 3] = ["stopped".into(), RecvError::Disconnected.into(), io::Error::other("stopped").into()];
    assert!(others.iter().all(|error| !is_stop_error(&**error)));

    // `Stopped` without a stop request is a failure of the service. This failure does not stop another service cleanly.
    let mut host = Host::new();
    host.add("a", worker(|_| Err(Stopped.into())));
    let error = host.run_until(&StopToken::never()).unwrap_err();
    assert!(!is_stop_error(&error.failures()[0]) && !is_stop_error(&error), "{error}");
}
