//! The program `hosted-jobs`, by running it.

mod support;

use hosted_jobs::{Enqueue, JobError, Jobs, Recurring, rusqlite};
use std::path::Path;
use std::process::{Command, Output};
use support::*;

fn run(db: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hosted-jobs"));
    command.env_remove("HOSTED_JOBS_DB").arg("--db").arg(db).args(arguments).output().unwrap()
}

/// What a command that succeeds prints.
fn text(db: &Path, arguments: &[&str]) -> String {
    let output = run(db, arguments);
    let (out, error) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{arguments:?}: {error}");
    assert_eq!(error, "");
    out
}

/// The exit status of a command that fails, and what it prints.
fn failure(db: &Path, arguments: &[&str]) -> (i32, String) {
    let output = run(db, arguments);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn status_shows_queues_processes_and_kinds_that_nobody_handles() {
    let (store, record) = (On::Sqlite.live(), Record::default());
    store.jobs.enqueue(Enqueue::new(&Other(1)).queue("mail")).unwrap();
    store.jobs.enqueue_in(HOUR, &named("later")).unwrap();
    assert!(text(&store.path(), &["status"]).contains("no process runs jobs"));
    let mut host = workers(&store.jobs, 1, record.handlers());
    let status = text(&store.path(), &["status"]);
    host.stop(PATIENCE).unwrap();
    let lines: Vec<Vec<&str>> = status.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(lines.iter().any(|line| line.starts_with(&["mail", "1", "0", "0", "0"])), "{status}");
    assert!(lines.iter().any(|line| line.starts_with(&["default", "0", "1", "0", "0", "-"])), "{status}");
    assert!(status.contains(&format!("{} ", std::process::id())), "{status}");
    assert!(status.contains("no process handles kind `other` version 1; jobs that wait for one: 1"), "{status}");
}

#[test]
fn ls_selects_by_state_queue_and_kind_and_pages() {
    let store = On::Sqlite.live();
    store.jobs.enqueue_all((0..5).map(|n| Enqueue::new(&named("a")).queue(format!("q{}", n % 2)))).unwrap();
    store.jobs.enqueue(&Other(1)).unwrap();
    let count = |arguments: &[&str]| text(&store.path(), arguments).lines().count() - 1;
    assert_eq!(count(&["ls"]), 6);
    assert_eq!(count(&["ls", "--queue", "q0"]), 3);
    assert_eq!(count(&["ls", "--kind", "other"]), 1);
    assert_eq!(count(&["ls", "--state", "ready", "--queue", "q1"]), 2);
    assert_eq!(count(&["ls", "--state", "succeeded"]), 0);
    assert!(text(&store.path(), &["ls", "--limit", "2"]).ends_with("there may be more: --after 2\n"));
    assert_eq!(count(&["ls", "--after", "5"]), 1);
}

#[test]
fn dead_jobs_are_shown_with_their_error_and_run_again_after_retry() {
    let (store, record) = (On::Sqlite.manual(), Record::default());
    let handlers = record.handlers_that(|_, _| Err(JobError::dead("no such \u{1b}[31mcustomer")));
    store.jobs.enqueue_all([named("a"), named("b"), named("c")].iter()).unwrap();
    store.jobs.drain(&handlers).unwrap();
    let dead = text(&store.path(), &["dead"]);
    assert!(dead.contains("1 of 20") && dead.contains("no such \\u{1b}[31mcustomer"), "{dead}");
    let shown = text(&store.path(), &["show", "1"]);
    assert!(shown.contains("state        dead") && shown.contains("payload      \"a\""), "{shown}");
    assert_eq!(text(&store.path(), &["retry", "1"]), "job 1 runs again\n");
    assert_eq!(text(&store.path(), &["retry", "--dead", "--kind", "other"]), "dead jobs that run again: 0\n");
    assert_eq!(text(&store.path(), &["retry", "--dead"]), "dead jobs that run again: 2\n");
    assert_eq!(store.jobs.drain(&record.handlers()).unwrap().succeeded(), 3);
    let (status, error) = failure(&store.path(), &["retry", "1"]);
    assert_eq!(
        (status, error.as_str()),
        (1, "hosted-jobs: job 1 is succeeded; only dead and cancelled jobs can be retried\n")
    );
}

#[test]
fn cancel_ends_waiting_jobs_and_stops_running_ones() {
    let (store, record) = (On::Sqlite.live(), Record::default());
    let waiting = store.jobs.enqueue_in(HOUR, &named("waits")).unwrap().id().to_string();
    assert_eq!(text(&store.path(), &["cancel", &waiting]), format!("job {waiting} is cancelled\n"));
    let (status, error) = failure(&store.path(), &["cancel", &waiting]);
    assert_eq!((status, error), (1, format!("hosted-jobs: job {waiting} has ended: cancelled\n")));
    let mut host = workers(&store.jobs, 1, record.handlers_that(|_, ctx| Ok(ctx.sleep(PATIENCE)?)));
    let running = store.jobs.enqueue(&named("runs")).unwrap().id();
    record.wait_for(1);
    let out = text(&store.path(), &["cancel", &running.to_string()]);
    assert_eq!(out, format!("job {running} runs; the stop of its token is requested\n"));
    assert_eq!(store.wait_finished(running), hosted_jobs::Outcome::Cancelled);
    host.stop(PATIENCE).unwrap();
}

#[test]
fn pause_and_resume_act_on_queues_kinds_and_recurring_jobs() {
    let (store, record) = (On::Sqlite.manual(), Record::default());
    store.jobs.enqueue(&named("a")).unwrap();
    assert_eq!(text(&store.path(), &["pause", "default"]), "queue `default` is paused\n");
    assert!(store.jobs.drain(&record.handlers()).unwrap().ids().is_empty());
    assert_eq!(text(&store.path(), &["resume", "default"]), "queue `default` is not paused\n");
    assert_eq!(text(&store.path(), &["pause", "--kind", "named"]), "kind `named` is paused\n");
    assert!(text(&store.path(), &["status"]).contains("kind `named` is paused"));
    text(&store.path(), &["resume", "--kind", "named"]);
    assert_eq!(store.jobs.drain(&record.handlers()).unwrap().succeeded(), 1);

    store.jobs.recurring([Recurring::every("hourly", HOUR, &named("h"))]).unwrap();
    assert!(text(&store.path(), &["recurring"]).contains("@every 3600000"));
    assert_eq!(text(&store.path(), &["recurring", "pause", "hourly"]), "recurring job `hourly` is paused\n");
    assert!(store.jobs.schedules().unwrap()[0].paused);
    text(&store.path(), &["recurring", "resume", "hourly"]);
    assert!(!store.jobs.schedules().unwrap()[0].paused);
    let (status, error) = failure(&store.path(), &["recurring", "pause", "yearly"]);
    assert_eq!((status, error.as_str()), (1, "hosted-jobs: there is no recurring job `yearly`\n"));
}

// 59
#[test]
fn nothing_is_created_but_by_migrate() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new.db");
    let (status, error) = failure(&path, &["status"]);
    assert_eq!(status, 1);
    assert!(error.ends_with("new.db` does not exist; check the path, or run `hosted-jobs migrate`\n"), "{error}");
    assert!(!path.exists());
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE mine(x)").unwrap();
    let (_, error) = failure(&path, &["status"]);
    let no_tables = "the database has no tables for jobs; run `hosted-jobs migrate`, or check the table prefix";
    assert_eq!(error, format!("hosted-jobs: {no_tables}\n"));
    let statements = text(&path, &["migrate", "--print", "--prefix", "my_"]);
    assert!(statements.contains("CREATE TABLE my_job"));
    rusqlite::Connection::open(&path).unwrap().execute_batch(&statements).unwrap();
    text(&path, &["status", "--prefix", "my_"]);
    assert_eq!(text(&path, &["migrate"]), "the tables are up to date\n");
    assert_eq!(text(&path, &["migrate"]), "the tables are up to date\n");
    text(&path, &["status"]);
    assert_eq!(Jobs::builder().migrate(false).open(&path).unwrap().stats().unwrap().succeeded, 0);
}

#[test]
fn a_wrong_command_line_says_what_is_wrong() {
    let store = On::Sqlite.live();
    let wrong = [
        (&[][..], "there is no command"),
        (&["stats"], "unknown command `stats`"),
        (&["ls", "--colour"], "unknown option `--colour`"),
        (&["ls", "--limit"], "`--limit` needs a value"),
        (&["ls", "--limit", "many"], "`many` is no number for `--limit`"),
        (
            &["ls", "--state", "lost"],
            "unknown state `lost`: there are scheduled, ready, held, running, succeeded, dead, cancelled",
        ),
        (&["status", "--queue", "q"], "`status` does not know the option `--queue`"),
        (&["show"], "`show` needs more words"),
        (&["show", "seven"], "`seven` is no id of a job"),
        (&["status", "now"], "`status` does not know what to do with `now`"),
        (&["pause"], "`pause` needs more words"),
    ];
    for (arguments, why) in wrong {
        let (status, error) = failure(&store.path(), arguments);
        assert_eq!(error, format!("hosted-jobs: {why}; `hosted-jobs help` lists the commands\n"));
        assert_eq!(status, 2);
    }
    let (status, error) = failure(&store.path(), &["show", "7"]);
    let gone = "there is no job 7; it may have been deleted after its retention time";
    assert_eq!((status, error), (1, format!("hosted-jobs: {gone}\n")));
    let output = Command::new(env!("CARGO_BIN_EXE_hosted-jobs")).env_remove("HOSTED_JOBS_DB").arg("status").output();
    let error = String::from_utf8(output.unwrap().stderr).unwrap();
    assert!(error.contains("name it with `--db FILE` or HOSTED_JOBS_DB"), "{error}");
    assert!(text(&store.path(), &["help"]).starts_with("usage: "));
}
