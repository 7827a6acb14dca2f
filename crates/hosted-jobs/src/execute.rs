//! Runs one job on the calling thread, and judges what came of it.

use crate::context::{JobContext, Run, StopCause};
use crate::core::Core;
use crate::error::{BoxError, Decision, Failure, JobError, LostClaim};
use crate::handlers::{Handler, Handlers, RunOutcome};
use crate::rules::{CompletedRun, RunResult};
use crate::store::Claimed;
use crate::util::{catch_panic, drop_catching_panic, millis};
use hosted::{Context, is_stop_error};
use std::error::Error;
use std::sync::Arc;

/// The number of errors of a chain that are read. `source` is user code, and the chain may have no end.
const DEEP: usize = 100;

/// The longest text of an error that is stored, in bytes.
const LONGEST_ERROR: usize = 8 * 1024;

/// Runs a job. Nothing that the handler does comes through: its errors and panics are results.
pub(crate) fn execute(
    core: &Arc<Core>,
    handlers: &Handlers,
    service: &Context,
    job: &Arc<Claimed>,
    run: &Arc<Run>,
) -> CompletedRun {
    let result = match handlers.handler(&job.kind) {
        Some(handler) => {
            let ctx = JobContext::new(service, core.clone(), run.clone(), job.clone());
            let outcome = catch_panic(|| handlers.run(handler, job.version, &job.payload, &ctx));
            judge(outcome, handler, job, run)
        }
        // A worker claims only what it handles.
        None => RunResult::HandedBack,
    };
    log_result(job, &result);
    CompletedRun {
        fence: job.fence,
        kind: job.kind.clone(),
        failed: job.failed,
        max_failures: job.max_failures,
        output: run.take_output(),
        result,
    }
}

fn judge(outcome: Result<RunOutcome, String>, handler: &Handler, job: &Claimed, run: &Run) -> RunResult {
    let failures = job.failed.saturating_add(1);
    let by_policy =
        |error: String| RunResult::Failed { error: truncate(error), wait: handler.options.backoff.draw(failures) };
    let error = match outcome {
        Ok(RunOutcome::Returned(Ok(()))) => return RunResult::Succeeded,
        Ok(RunOutcome::Returned(Err(error))) => error,
        Ok(RunOutcome::NotDecoded(why)) => {
            return by_policy(format!("cannot read the payload of version {}: {why}", job.version));
        }
        Err(panic) => return by_policy(format!("panicked: {panic}")),
    };
    let (result, error) = judge_error(error, handler, failures, run, by_policy);
    if let Some(Err(panic)) = error.map(drop_catching_panic) {
        log::error!(target: "hosted_jobs::worker", "dropping the error of job {} panicked: {panic}", job.fence.id);
    }
    result
}

/// Returns the result, and the error to drop.
fn judge_error(
    error: JobError,
    handler: &Handler,
    failures: u32,
    run: &Run,
    by_policy: impl Fn(String) -> RunResult,
) -> (RunResult, Option<BoxError>) {
    match error.0 {
        Failure::Cancelled => (RunResult::Cancelled, None),
        Failure::Snooze(wait) => (RunResult::Snoozed { wait: millis(wait) }, None),
        Failure::Dead(error) => (RunResult::Dead { error: error_text(&*error) }, Some(error)),
        Failure::RetryIn(wait, error) => {
            (RunResult::Failed { error: error_text(&*error), wait: millis(wait) }, Some(error))
        }
        Failure::Retry(error) if is_end_of_run(&*error) && run.cause().is_some() => {
            let result = match run.cause() {
                Some(StopCause::Cancelled) => RunResult::Cancelled,
                Some(StopCause::TimedOut) => by_policy("exceeded its timeout".to_owned()),
                Some(StopCause::HostStop | StopCause::LostClaim) | None => RunResult::HandedBack,
            };
            (result, Some(error))
        }
        Failure::Retry(error) => {
            let decide = handler.options.on_error.as_ref();
            let decision = match decide.map(|decide| catch_panic(|| decide(&error, failures))) {
                None => Decision::Retry,
                Some(Ok(decision)) => decision,
                Some(Err(panic)) => {
                    let text = format!("{}; deciding about it panicked: {panic}", error_text(&*error));
                    return (by_policy(text), Some(error));
                }
            };
            let result = match decision {
                Decision::Retry => by_policy(error_text(&*error)),
                Decision::RetryIn(wait) => RunResult::Failed { error: error_text(&*error), wait: millis(wait) },
                Decision::Dead => RunResult::Dead { error: error_text(&*error) },
                Decision::Snooze(wait) => RunResult::Snoozed { wait: millis(wait) },
            };
            (result, Some(error))
        }
    }
}

/// An error, its source, the source of that.
fn chain<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source()).take(DEEP)
}

/// Returns `true` if `error` means that the run was ended from outside: by the stop of its token, or by a lost claim.
fn is_end_of_run(error: &(dyn Error + 'static)) -> bool {
    let lost = || catch_panic(|| chain(error).any(|error| error.is::<LostClaim>())).unwrap_or(false);
    is_stop_error(error) || lost()
}

/// An error and its sources on one line, cut.
fn error_text(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let shown = catch_panic(|| {
        for error in chain(error) {
            let more = error.to_string();
            if text.is_empty() {
                text = more;
            } else if !text.ends_with(&more) {
                text = format!("{text}: {more}");
            }
            if text.len() > LONGEST_ERROR {
                break;
            }
        }
    });
    if let Err(panic) = shown {
        text = format!("{text} (showing this error panicked: {panic})");
    }
    truncate(text)
}

fn truncate(mut text: String) -> String {
    if text.len() > LONGEST_ERROR {
        let mut end = LONGEST_ERROR;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}

fn log_result(job: &Claimed, result: &RunResult) {
    let (id, kind) = (job.fence.id, &job.kind);
    match result {
        RunResult::Failed { error, .. } if job.failed == 0 => {
            log::warn!(target: "hosted_jobs::worker", "job {id} (`{kind}`) failed: {error}");
        }
        RunResult::Failed { error, .. } => {
            let failures = job.failed.saturating_add(1);
            log::info!(target: "hosted_jobs::worker", "job {id} (`{kind}`) failed, {failures} times so far: {error}");
        }
        RunResult::Dead { error } => {
            log::warn!(target: "hosted_jobs::worker", "job {id} (`{kind}`) is dead: {error}");
        }
        _ => log::debug!(target: "hosted_jobs::worker", "job {id} (`{kind}`): {result:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hosted::Stopped;
    use std::io;

    #[test]
    fn the_error_of_a_stop_is_known_inside_an_io_error() {
        let wrapped = io::Error::new(io::ErrorKind::ConnectionAborted, Stopped);
        assert!(is_end_of_run(&Stopped) && is_end_of_run(&wrapped) && is_end_of_run(&LostClaim));
        assert!(!is_end_of_run(&io::Error::other("disk full")));
    }

    #[test]
    fn a_long_error_is_cut_at_a_character() {
        let long = "é".repeat(LONGEST_ERROR);
        assert_eq!(truncate(long).len(), LONGEST_ERROR);
        assert_eq!(error_text(&io::Error::other("x".repeat(10 << 20))).len(), LONGEST_ERROR);
    }
}
