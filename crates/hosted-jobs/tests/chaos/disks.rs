//! Disks that are full, and later have room again.

use crate::children::{Process, command};
use crate::programs::{Effect, db_path, open};
use crate::support::wait_until;
use crate::witness::Witness;
use hosted_jobs::{Enqueue, EnqueueError, JobState, Jobs, Outcome, rusqlite};
use rustix::process::{Resource, Rlimit, prlimit};
use std::path::Path;
use std::process::Command;

/// Starts a program whose files cannot become larger. A write beyond the limit is an error, as on a full disk.
fn with_small_files(folder: &Path, program: &str, kib: u64) -> Process {
    let plain = command(folder, program);
    // An ignored signal stays ignored in the new program. Without this, the kernel would kill the process.
    let script = format!("trap '' XFSZ; ulimit -S -f {}; exec \"$@\"", kib * 2);
    let mut shell = Command::new("sh");
    shell.args(["-c", &script, "sh"]).arg(plain.get_program()).args(plain.get_args());
    for (name, value) in plain.get_envs() {
        shell.env(name, value.unwrap());
    }
    Process::spawn(shell.stdout(std::process::Stdio::null()))
}

/// Enqueues until the disk is full, and logs what was stored.
pub(crate) fn enqueue_until_full(folder: &Path) {
    let (jobs, witness) = (Jobs::open(db_path(folder)).unwrap(), Witness::new(folder));
    for n in 0.. {
        match jobs.enqueue(&Effect { n }) {
            Ok(job) => witness.log("stored", n, job.id()),
            Err(EnqueueError::Store(error)) => {
                std::fs::write(witness.path("error"), error.to_string()).unwrap();
                // A call of many stores all or none.
                let many = jobs.enqueue_all((1..100).map(|more| Enqueue::new(&Effect { n: n + more })));
                assert!(many.is_err());
                return;
            }
            Err(other) => panic!("{other}"),
        }
    }
}

// 1, 4
#[test]
fn a_full_disk_fails_the_enqueue_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let witness = Witness::new(folder.path());
    drop(open(folder.path()));
    assert!(with_small_files(folder.path(), "enqueue until full", 400).wait().success());
    let error = std::fs::read_to_string(witness.path("error")).unwrap();
    assert!(error.starts_with("cannot "), "{error}");
    let jobs = open(folder.path());
    let (lines, db) = (witness.lines(), rusqlite::Connection::open(db_path(folder.path())).unwrap());
    let check: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    let live: i64 = db.query_row("SELECT count(*) FROM hosted_job", [], |row| row.get(0)).unwrap();
    assert_eq!(usize::try_from(live).unwrap(), lines.len(), "what was refused is not there, what was stored is");
    assert!(lines.iter().all(|line| jobs.get(line.more).unwrap().is_some()));
}

// 25, 26
#[test]
fn workers_on_a_full_disk_try_again_until_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let (jobs, witness) = (open(folder.path()), Witness::new(folder.path()));
    let ids = jobs.enqueue_all((0..400).map(|n| Enqueue::new(&Effect { n }))).unwrap();
    // A little more than what is there already.
    let log = std::fs::metadata(folder.path().join("jobs.db-wal")).unwrap().len();
    let worker = with_small_files(folder.path(), "work", log / 1024 + 120);
    worker.wait_ready(folder.path());
    wait_until("the disk is full", || witness.count("refused") + witness.count("store-failed") > 0);
    let everything = Rlimit { current: None, maximum: None };
    prlimit(Some(worker.pid()), Resource::Fsize, everything).unwrap();
    wait_until("all have ended", || {
        ids.iter().all(|id| jobs.get(id.id()).unwrap().is_some_and(|job| job.state.is_finished()))
    });
    assert!(worker.stop().success());
    let db = rusqlite::Connection::open(db_path(folder.path())).unwrap();
    let effects: (i64, i64) = db
        .query_row("SELECT count(*), count(DISTINCT n) FROM effect", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    assert_eq!(effects, (400, 400), "each effect happened once");
    for id in ids {
        assert_eq!(jobs.get(id.id()).unwrap().unwrap().state, JobState::Finished(Outcome::Succeeded));
    }
    witness.assert_no_violation();
}

/// What a process without privileges gets when it opens the store.
fn open_without_privileges(folder: &Path) -> String {
    use std::os::unix::process::CommandExt;
    let mut child = command(folder, "open");
    if rustix::process::geteuid().is_root() {
        child.uid(65_534).gid(65_534); // nobody
    }
    let output = child.stdout(std::process::Stdio::piped()).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_file_or_a_folder_that_is_read_only_is_an_error_that_names_it() {
    use std::os::unix::fs::PermissionsExt;
    let set = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    let expected = "jobs.db` cannot be written; the file and its directory must be writable for this user";
    // The file, in a folder that can be written. Then the folder.
    for (file, directory) in [(0o444, 0o777), (0o666, 0o555)] {
        let folder = tempfile::tempdir().unwrap();
        drop(open(folder.path()));
        set(&db_path(folder.path()), file);
        set(folder.path(), directory);
        let answer = open_without_privileges(folder.path());
        assert!(answer.contains(expected), "file {file:o}, folder {directory:o}: {answer}");
        set(folder.path(), 0o777);
    }
}
