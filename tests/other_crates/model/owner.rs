//! What the owner of a real host does with it, and the results in the model's words.

use super::puppet::Puppet;
use super::words::{Answer, Call, Cause, End, Ending, Failure, Fate, Spec, Timeout, name};
use hosted::{
    Host, HostError, OnCompletion, OnFailure, Outcome, Report, Restart, ServiceError, ServiceReport, Stopped,
};
use std::error::Error;
use std::time::Duration;

/// Long enough that nobody is overtaken who is waited for.
pub const LONG: Duration = Duration::from_secs(3600);

pub fn add(host: &mut Option<Host>, place: usize, puppet: Puppet, spec: &Spec, after: Option<Vec<usize>>) -> Answer {
    let options = host.as_mut().expect(THERE).add(name(place), puppet);
    options.restart(Restart::on_failure().give_up_after(spec.restarts).backoff(Duration::ZERO..=Duration::ZERO));
    if let Some(after) = after {
        options.after(after.into_iter().map(name));
    }
    if spec.flawed {
        options.after(["nobody"]);
    }
    if spec.ignored {
        options.on_failure(OnFailure::Ignore);
    }
    if spec.stops_host {
        options.on_completion(OnCompletion::StopHost);
    }
    Answer::Added
}

const THERE: &str = "nothing is asked of a host that is dropped";

pub fn call(host: &mut Option<Host>, call: Call) -> Answer {
    let there = host.as_mut().expect(THERE);
    match call {
        Call::Start => there.start().map_or_else(|error| failed(&error), |()| Answer::Started),
        Call::Wait => Answer::Waited(there.wait()),
        Call::Stop(timeout) => match there.stop(time(timeout)) {
            Ok(report) => Answer::Ended(Ending { ok: true, ..ending(&report) }),
            Err(error) => failed(&error),
        },
        Call::Drop(timeout) => {
            there.stop_timeout(time(timeout));
            *host = None;
            Answer::Dropped
        }
    }
}

fn time(timeout: Timeout) -> Duration {
    match timeout {
        Timeout::Zero => Duration::ZERO,
        Timeout::Long => LONG,
    }
}

fn failed(error: &HostError) -> Answer {
    let failures: Vec<Failure> = error.failures().iter().map(failure).collect();
    // Otherwise its source is the first failure.
    let refused = failures.is_empty() && error.source().is_some();
    Answer::Ended(Ending { refused, failures, ..ending(error.report()) })
}

fn ending(report: &Report) -> Ending {
    let services = report.services.iter().map(fate).collect();
    Ending { ok: false, refused: false, reason: report.reason.clone(), failures: Vec::new(), services }
}

fn fate(service: &ServiceReport) -> Fate {
    let outcome = match &service.outcome {
        Outcome::NeverStarted => End::NeverStarted,
        Outcome::Running => End::Running,
        Outcome::Completed => End::Completed,
        Outcome::Stopped => End::Stopped,
        Outcome::NotRestarted(error) => End::NotRestarted(failure(error)),
        Outcome::Failed(error) => End::Failed(failure(error)),
        Outcome::Hung(hung) => End::Hung(hung.phase),
        other => panic!("an outcome that the model has no word for: {other:?}"),
    };
    Fate { outcome, restarts: service.restarts, errors: service.errors, stop_timed_out: service.stop_timed_out }
}

fn failure(error: &ServiceError) -> Failure {
    let cause = match error.cause() {
        hosted::Cause::Failed(why) if why.is::<Stopped>() => Cause::Stopped,
        hosted::Cause::Failed(_) => Cause::Failed,
        hosted::Cause::Panicked(_) => Cause::Panicked,
        hosted::Cause::TimedOut(_) => Cause::TimedOut,
        other => panic!("a cause that the model has no word for: {other:?}"),
    };
    let place = error.service().strip_prefix('s').and_then(|place| place.parse().ok());
    (place.expect("a service is named by its place"), error.phase(), cause)
}
