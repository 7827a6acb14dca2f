//! Runs the example `ingest` as a program, interrupts it, kills it, and reads its page. The tests compute the expected
//! catalogue on their own.
#![cfg(unix)]
#![allow(unreachable_pub, reason = "in a program, `pub` is short for `pub(crate)`")]

#[path = "ingest/program.rs"]
mod program;
#[path = "ingest/tree.rs"]
mod tree;

use program::{Ingest, PATIENCE, database, files, once};
use rusqlite::Connection;
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::time::{Duration, Instant};
use tree::{NOBODY, assert_same, change, compare_with_sha256sum, give_to_nobody, paths, rows, tree, truth};

#[test]
fn interrupted_and_killed_at_any_point_it_ends_with_the_same_catalogue() {
    let dir = tree(3000);
    let mut ingest = Ingest::start(dir.path(), &[]);
    ingest.wait_until(|status| files(status) >= 1);
    ingest.signal("-INT");
    let (code, report, _) = ingest.end();
    assert_eq!(code, Some(0));
    assert!(report.contains("a termination signal"), "{report}");

    Ingest::start(dir.path(), &[]).kill_at("starting");
    Ingest::start(dir.path(), &[]).kill_at("started in");
    for (round, kept) in [300, 800, 1300, 1800, 2300].into_iter().enumerate() {
        change(dir.path(), round);
        let mut ingest = Ingest::start(dir.path(), &["--digesters", "3"]);
        ingest.wait_until(|status| files(status) >= kept);
        ingest.child.kill().unwrap();
    }
    change(dir.path(), 5);
    once(dir.path());
    assert_same(rows(&database(dir.path())), truth(dir.path()));
    compare_with_sha256sum(dir.path());
}

#[test]
fn changes_that_the_store_cannot_write_at_first_are_written_at_the_stop() {
    let dir = tree(5);
    let all = paths(dir.path()).len() as i64;
    let mut ingest = Ingest::start(dir.path(), &[]);
    ingest.wait_until(|status| files(status) == all);
    let lock = Connection::open(database(dir.path())).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    (0..300).for_each(|n| fs::write(dir.path().join(format!("new {n}")), "new").unwrap());
    ingest.wait_for("service `store` reported an error: database is locked");
    ingest.signal("-INT");
    ingest.wait_for("stopping");
    drop(lock);
    let (code, report, log) = ingest.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(report.contains("store"), "{report}");
    assert_same(rows(&database(dir.path())), truth(dir.path()));
}

#[test]
fn it_follows_the_tree_while_it_runs() {
    let dir = tree(30);
    let db = dir.path().join("nested/catalogue.db"); // inside the tree, but not in the catalogue
    let mut ingest = Ingest::start(dir.path(), &["--db", db.to_str().unwrap()]);
    ingest.wait_for("started in");
    for round in 0..4 {
        change(dir.path(), round);
        let began = Instant::now();
        while rows(&db) != truth(dir.path()) && began.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(10)); // between two checks
        }
        assert_same(rows(&db), truth(dir.path()));
    }
    drop(ingest);
}

#[test]
fn a_file_that_changes_while_it_is_read_ends_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("busy");
    fs::write(&file, vec![0; 1 << 20]).unwrap();
    let mut ingest = Ingest::start(dir.path(), &["--every", "0.01"]);
    for n in 0..1000_u32 {
        let mut content = vec![0; 1 << 20]; // the size never changes
        content[..4].copy_from_slice(&n.to_le_bytes());
        fs::write(&file, &content).unwrap();
        if n % 50 == 49 {
            ingest.wait_for("new or changed"); // pause the writes until the file has been read again
        }
    }
    drop(ingest);
    once(dir.path());
    assert_same(rows(&database(dir.path())), truth(dir.path()));
}

#[test]
fn a_file_that_cannot_be_read_is_a_row_with_its_error() {
    let dir = tree(5);
    let secret = dir.path().join("nested/secret");
    fs::write(&secret, "secret").unwrap();
    fs::set_permissions(&secret, Permissions::from_mode(0o000)).unwrap();
    let mut command = Ingest::command(dir.path(), &["--once"]);
    if secret.metadata().unwrap().uid() == 0 {
        give_to_nobody(dir.path());
        command.uid(NOBODY).gid(NOBODY); // because root can read every file
    }
    let (code, report, log) = Ingest::spawn(command).end();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("nested/secret: Permission denied"), "{log}");
    assert!(report.contains("errors: 1"), "{report}");

    let rows = rows(&database(dir.path()));
    let (size, content) = &rows[b"nested/secret".as_slice()];
    assert_eq!(*size, 6);
    assert!(content.as_ref().unwrap_err().contains("Permission denied"));
    assert_eq!(rows.values().filter(|row| row.1.is_err()).count(), 1);
    assert_eq!(rows.keys().collect::<Vec<_>>(), paths(dir.path()).keys().collect::<Vec<_>>());
}

#[test]
fn what_is_wrong_with_the_command_line_is_exit_code_2() {
    let mistakes: [&[&str]; 5] = [&["/no/such/place"], &[], &["."; 2], &[".", "--port", "x"], &[".", "--bogus"]];
    let words = ["there is no directory /no/such/place", "which directory", "one too many", "--port wants", "--bogus"];
    for (args, words) in mistakes.iter().zip(words) {
        let (code, _, errors) = Ingest::spawn(Ingest::bare(args)).end();
        assert_eq!(code, Some(2));
        assert!(errors.contains(words), "{errors}");
    }
}

#[test]
fn a_port_that_is_taken_fails_the_start() {
    let dir = tree(5);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (code, _, errors) = Ingest::start(dir.path(), &["--port", &port]).end();
    assert_eq!(code, Some(1));
    assert!(errors.contains("service `web` failed while starting: Address already in use"), "{errors}");
}

#[test]
fn page_and_json_show_every_service() {
    let dir = tree(20);
    let mut ingest = Ingest::start(dir.path(), &["--digesters", "2"]);
    let all = paths(dir.path()).len() as i64;
    let status = ingest.wait_until(|status| files(status) == all && status["in_flight"] == 0);
    let names = ["schema", "store", "digest 1", "digest 2", "retention", "scan", "web"];
    let page = ingest.get("/").unwrap();
    for (place, name) in names.into_iter().enumerate() {
        assert_eq!(status["services"][place]["name"], name);
        assert_eq!(status["services"][place]["state"], if name == "schema" { "completed" } else { "running" });
        assert!(page.contains(&format!("<td>{name}<")), "{page}");
    }
    let bytes: i64 = truth(dir.path()).values().map(|row| row.0).sum();
    assert_eq!(status["catalogue"]["bytes"], bytes);
    assert_eq!(status["directory"], dir.path().canonicalize().unwrap().to_str().unwrap());
}

#[test]
fn nothing_is_queued_twice() {
    let dir = tree(1000);
    let (code, _, log) = Ingest::start(dir.path(), &["--every", "0.01", "--digesters", "1", "--once"]).end();
    assert_eq!(code, Some(0));
    let queued = log.lines().filter_map(|line| line.split("new or changed files: ").nth(1));
    assert_eq!(queued.map(|n| n.parse::<usize>().unwrap()).sum::<usize>(), paths(dir.path()).len());
}

#[test]
fn sigterm_stops_producers_before_consumers() {
    let dir = tree(20);
    let mut command = Ingest::command(dir.path(), &["--digesters", "2"]);
    command.env("RUST_LOG", "hosted=debug,ingest=info");
    let mut ingest = Ingest::spawn(command);
    let all = paths(dir.path()).len() as i64;
    ingest.wait_until(|status| files(status) == all);
    ingest.signal("-TERM");
    let (code, report, log) = ingest.end();
    assert_eq!(code, Some(0));
    assert!(report.starts_with("stopped in "), "{report}");
    for name in ["schema", "store", "digest 1", "digest 2", "retention", "scan", "web"] {
        assert!(report.contains(&format!("\n  {name} ")), "{report}");
    }
    assert!(
        !log.contains("has not stopped"),
        "a service received its stop request before a dependent had stopped: {log}"
    );
    let stop_request =
        |name| log.find(&format!("service `{name}` is stopping")).unwrap_or_else(|| panic!("{name}: {log}"));
    for digester in ["digest 1", "digest 2"] {
        let order = ["web", "scan", digester, "store"].map(stop_request);
        assert!(order.is_sorted(), "{log}");
    }
}

#[test]
fn it_leaves_nothing_in_the_directory_that_it_watches() {
    let (dir, state) = (tree(5), tempfile::tempdir().unwrap());
    let before = paths(dir.path());
    let mut command = Ingest::command(dir.path(), &["--once"]);
    command.env("XDG_STATE_HOME", state.path());
    assert_eq!(Ingest::spawn(command).end().0, Some(0));
    assert_eq!(paths(dir.path()), before);
    assert!(fs::read_dir(dir.path()).unwrap().all(|entry| !entry.unwrap().path().to_string_lossy().contains(".db")));
    let left = fs::read_dir(state.path().join("ingest")).unwrap().map(|entry| entry.unwrap().file_name());
    let name = dir.path().file_name().unwrap().to_str().unwrap().to_owned();
    assert!(
        left.into_iter().any(|file| file.to_str().is_some_and(|file| file.starts_with(&name) && file.ends_with(".db")))
    );
}

#[test]
fn each_directory_has_a_catalogue_of_its_own() {
    let (top, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for folder in ["a/data", "b/data"] {
        let dir = top.path().join(folder);
        fs::create_dir_all(&dir).unwrap();
        let mut command = Ingest::command(&dir, &["--once"]);
        command.env("XDG_STATE_HOME", state.path());
        assert_eq!(Ingest::spawn(command).end().0, Some(0));
    }
    let files = fs::read_dir(state.path().join("ingest")).unwrap().map(|entry| entry.unwrap().path());
    assert_eq!(files.filter(|path| path.extension().is_some_and(|end| end == "db")).count(), 2);
}

#[test]
fn without_a_port_the_page_is_at_the_first_free_one_from_8080_on() {
    let dirs = [tree(1), tree(1)];
    let ports = dirs.each_ref().map(|dir| {
        let mut ingest = Ingest::start(dir.path(), &[]);
        let line = ingest.wait_for("http://127.0.0.1:");
        let port = line.split("127.0.0.1:").nth(1).unwrap().trim_end_matches('/').parse::<u16>().unwrap();
        (ingest, port)
    });
    assert!(ports.iter().all(|(_, port)| (8080..8180).contains(port)), "{:?}", ports.each_ref().map(|port| port.1));
    assert_ne!(ports[0].1, ports[1].1);
}

#[test]
fn on_a_phone_each_figure_has_its_name_and_the_table_no_scroll_bar() {
    let dir = tree(1);
    let page = Ingest::start(dir.path(), &[]).get("/").unwrap();
    let phone = page.split("@media (max-width: 40rem)").nth(1).unwrap();
    assert!(phone.contains("tr { display: flex; flex-wrap: wrap;") && phone.contains("content: attr(data-name)"));
    for name in ["For", "Restarts", "Errors"] {
        assert_eq!(
            page.matches(&format!("<td class=n data-name={name}>")).count(),
            page.matches("<td class='state").count()
        );
    }
}
