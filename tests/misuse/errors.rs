//! Errors whose text or source chain is very long or endless.

use crate::support::{LIMIT, in_time};
use hosted::{BoxError, Cause, Context, Event, EventKind, Host, Queue, Report, Result, StopToken, Stopped, worker};
use std::error::Error;
use std::fmt;

#[test]
fn an_error_of_ten_megabytes_is_reported_whole() {
    in_time(|| {
        let text = "🦀".repeat(10_000_000 / 4); // four bytes each, so that there are fewer letters to check
        let (mut host, said) = (Host::new(), text.clone());
        let (events, handle) = (host.events(), host.handle());
        host.add("a", worker(move |_| Err(said.clone().into())));
        let error = host.run_until(&StopToken::never()).unwrap_err();
        let line = format!("service `a` failed while running: {text}");
        assert!(error.failures()[0].to_string() == line);
        assert!(handle.services()[0].last_error.as_ref() == Some(&line));
        let failed = |event: &Event| matches!(event.kind, EventKind::Failed(_));
        assert!(events.try_iter().find(failed).unwrap().to_string() == line);
    });
}

/// An error that is its own source, or the source of its source, or whose source panics.
#[derive(Clone, Copy, Debug)]
enum Odd {
    Itself,
    There,
    AndBack,
    Bursts,
}

impl fmt::Display for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl Error for Odd {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Odd::Itself => Some(&Odd::Itself),
            Odd::There => Some(&Odd::AndBack),
            Odd::AndBack => Some(&Odd::There),
            Odd::Bursts => panic!("no source"),
        }
    }
}

/// Returns the report of a host whose service reports `odd`, has a job that fails with it, and fails with it at the
/// end.
fn report_of(odd: Odd, once_asked: bool) -> (Report, Option<String>) {
    let (mut host, queue) = (Host::new(), Queue::bounded(1));
    host.add("jobs", queue.consumer(move |(), _| Err(odd.into())));
    queue.push(()).unwrap();
    let run = move |ctx: &Context| -> Result {
        ctx.report_error(odd);
        if once_asked {
            ctx.host().request_stop();
            ctx.wait();
        }
        Err(odd.into())
    };
    host.add("a", worker(run));
    let error = host.run_until(&StopToken::never()).unwrap_err();
    let [failure] = error.failures() else { panic!("one failure: {error}") };
    assert!(matches!(failure.cause(), Cause::Failed(_)));
    (error.report().clone(), host.handle().services()[1].last_error.clone())
}

#[test]
fn an_error_with_an_endless_source_chain_is_a_failure_with_a_finite_text() {
    for once_asked in [false, true] {
        for odd in [Odd::Itself, Odd::There, Odd::Bursts] {
            let (report, last_error) = in_time(move || report_of(odd, once_asked));
            assert_eq!(report.services.iter().map(|service| service.errors).collect::<Vec<_>>(), [1, 2]);
            let text = last_error.unwrap();
            match odd {
                Odd::Bursts => {
                    assert!(text.ends_with("Bursts: (formatting this error panicked: no source)"), "{text}")
                }
                _ => assert!(text.contains(&odd.to_string()) && text.ends_with(": (source chain truncated)"), "{text}"),
            }
        }
    }
}

/// `depth` errors around a `Stopped`, each the source of the next.
#[derive(Debug)]
struct Around(Option<BoxError>);

impl Around {
    fn stopped(depth: usize) -> BoxError {
        (0..depth).fold(Stopped.into(), |inner, _| Around(Some(inner)).into())
    }
}

impl fmt::Display for Around {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("around")
    }
}

impl Error for Around {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.as_deref().map(|inner| inner as _)
    }
}

#[test]
fn stopped_is_found_below_98_errors_and_no_deeper() {
    for (depth, clean) in [(98, true), (99, false), (10_000, false)] {
        let result = in_time(move || {
            let mut host = Host::new();
            let run = move |ctx: &Context| {
                ctx.wait();
                Err(Around::stopped(depth))
            };
            host.add("a", worker(run));
            host.start().unwrap();
            host.stop(LIMIT)
        });
        assert_eq!(result.is_ok(), clean, "{depth}");
    }
}

/// An error whose `Debug` panics.
struct Opaque;

impl fmt::Debug for Opaque {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("nobody should ask")
    }
}

impl fmt::Display for Opaque {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("opaque")
    }
}

impl Error for Opaque {}

#[test]
fn debug_of_events_and_reports_does_not_call_debug_of_a_services_error() {
    in_time(|| {
        let mut host = Host::new();
        let events = host.events();
        host.add("a", worker(|_| Err(Opaque.into())));
        let error = host.run_until(&StopToken::never()).unwrap_err();
        let texts = [format!("{error:?}"), format!("{:?}", error.failures()), format!("{:?}", error.report())];
        assert!(texts.iter().all(|text| text.contains("opaque")), "{texts:?}");
        assert!(events.try_iter().any(|event| format!("{event:?}").contains("opaque")));
    });
}
