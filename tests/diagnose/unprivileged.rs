//! Guarantee 49, on Linux: the report for a user without privileges, as far as the kernel allows.
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]

use crate::support::child::{ARGS, Child, Program, say};
use hosted::{Context, Host, Outcome, worker};
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

/// Options for the user `nobody` without any capability.
const NOBODY: &str = "--reuid=65534 --regid=65534 --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs";

pub(crate) const PROGRAMS: &[Program] = &[("reader", reader)];

/// Prints what its hung service is blocked in, and what a privileged reader would see.
fn reader() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (_far, from) = listener.accept().unwrap();
    let said = format!(" = tcp {from} -> {})", listener.local_addr().unwrap());
    let mut host = Host::new();
    host.add("reader", worker(move |_: &Context| Ok(_ = near.read(&mut [0])?)));
    host.start().unwrap();
    host.stop(Duration::ZERO).unwrap_err(); // now its status shows what it is blocked in
    let blocked = || host.handle().services().remove(0).blocked_in;
    // There is no event for "the thread has reached the call". The calls before it return soon.
    while !blocked().is_some_and(|text| text.contains(" for at least ") && !text.starts_with("running")) {
        std::thread::yield_now();
    }
    let error = host.stop(Duration::ZERO).unwrap_err();
    let Outcome::Hung(hung) = &error.report().services[0].outcome else { panic!("not hung: {error}") };
    say("ready");
    say(&said);
    say(hung.blocked_in.as_deref().and_then(|text| text.split(" for at least ").next()).unwrap_or_default());
    std::process::exit(0); // while the service is still in the call
}

/// Runs `reader` as `nobody`, with these permissions of the executable, and returns its output. If this user cannot
/// become `nobody`, prints a line and returns `None`.
fn as_nobody(mode: u32) -> Option<[String; 2]> {
    let nobody = |program: &std::path::Path| {
        let mut command = Command::new("setpriv");
        // Start it through a shell: `setpriv` keeps its privileges until it has executed another program.
        command.args(NOBODY.split(' ')).args(["sh", "-c", r#"exec "$0" "$@""#]).arg(program);
        command
    };
    if !nobody("true".as_ref()).output().is_ok_and(|output| output.status.success()) {
        let line = "\nNOT TESTED: the report for the user nobody, because this user cannot become nobody\n";
        std::io::stderr().write_all(line.as_bytes()).unwrap(); // the harness captures `eprintln`
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("program");
    // Another process copies the file: if this process had it open for writing, a child of another test could keep it
    // busy.
    assert!(Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&program).status().unwrap().success());
    fs::set_permissions(&program, Permissions::from_mode(mode)).unwrap();
    let child = Child::start(nobody(&program).args(ARGS), "reader");
    let (code, said, complaints) = child.ends_saying();
    assert_eq!((code, said.len()), (0, 2), "{complaints}");
    said.try_into().ok()
}

// 49
#[test]
fn a_user_without_privileges_sees_the_call_and_both_addresses() {
    let Some([expected, said]) = as_nobody(0o755) else { return };
    assert!(said.starts_with("recvfrom(fd ") && said.contains(&expected), "{said}");
}

// 49
#[test]
fn if_the_call_cannot_be_read_the_kernel_function_is_shown() {
    // A process cannot inspect itself in /proc if its user may not read its executable.
    let Some([_, said]) = as_nobody(0o711) else { return };
    assert!(!said.is_empty() && !said.contains("fd "), "{said}");
    assert!(
        said.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ' '),
        "more than the name of a kernel function: {said}"
    );
}
