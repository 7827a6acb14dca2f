//! Calls the real host, and translates its results into those of the model.

use super::commands::{Answer, Call, Cause, Failure, HostResult, ServiceEnd, ServiceRow, Spec, Timeout, name};
use super::puppet::Puppet;
use hosted::{
    Host, HostError, OnCompletion, OnFailure, Outcome, Report, Restart, ServiceError, ServiceReport, Stopped,
};
use std::error::Error;
use std::time::Duration;

/// A timeout that no service exceeds.
pub const LONG: Duration = Duration::from_secs(3600);

pub fn add(host: &mut Option<Host>, position: usize, puppet: Puppet, spec: &Spec, after: Option<Vec<usize>>) -> Answer {
    let options = host.as_mut().expect(EXISTS).add(name(position), puppet);
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

const EXISTS: &str = "a dropped host receives no calls";

pub fn call(host: &mut Option<Host>, call: Call) -> Answer {
    let live = host.as_mut().expect(EXISTS);
    match call {
        Call::Start => live.start().map_or_else(|error| failed(&error), |()| Answer::Started),
        Call::Wait => Answer::Waited(live.wait()),
        Call::Stop(timeout) => match live.stop(time(timeout)) {
            Ok(report) => Answer::Ended(HostResult { ok: true, ..host_result(&report) }),
            Err(error) => failed(&error),
        },
        Call::Drop(timeout) => {
            live.stop_timeout(time(timeout));
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
    // Without failures, a source means that the set-up was refused. Otherwise the source is the first failure.
    let refused = failures.is_empty() && error.source().is_some();
    Answer::Ended(HostResult { refused, failures, ..host_result(error.report()) })
}

fn host_result(report: &Report) -> HostResult {
    let services = report.services.iter().map(row).collect();
    HostResult { ok: false, refused: false, reason: report.reason.clone(), failures: Vec::new(), services }
}

fn row(service: &ServiceReport) -> ServiceRow {
    let outcome = match &service.outcome {
        Outcome::NeverStarted => ServiceEnd::NeverStarted,
        Outcome::Running => ServiceEnd::Running,
        Outcome::Completed => ServiceEnd::Completed,
        Outcome::Stopped => ServiceEnd::Stopped,
        Outcome::NotRestarted(error) => ServiceEnd::NotRestarted(failure(error)),
        Outcome::Failed(error) => ServiceEnd::Failed(failure(error)),
        Outcome::Hung(hung) => ServiceEnd::Hung(hung.phase),
        other => panic!("an outcome that the model does not know: {other:?}"),
    };
    ServiceRow { outcome, restarts: service.restarts, errors: service.errors, stop_timed_out: service.stop_timed_out }
}

fn failure(error: &ServiceError) -> Failure {
    let cause = match error.cause() {
        hosted::Cause::Failed(why) if why.is::<Stopped>() => Cause::Stopped,
        hosted::Cause::Failed(_) => Cause::Failed,
        hosted::Cause::Panicked(_) => Cause::Panicked,
        hosted::Cause::TimedOut(_) => Cause::TimedOut,
        other => panic!("a cause that the model does not know: {other:?}"),
    };
    let position = error.service().strip_prefix('s').and_then(|position| position.parse().ok());
    (position.expect("a service is named by its position"), error.phase(), cause)
}
