//! The log before a second signal ends the process, and handlers that cannot be installed or replace another.

use crate::support::child::programs::{forever, unresponsive};
use crate::support::child::{Child, Program, leave, say};
use hosted::ctrl_c;
use std::sync::Mutex;
use std::thread;

pub(crate) const PROGRAMS: &[Program] = &[
    ("stuck with a log", unresponsive_with_a_log),
    ("stuck with a logger that blocks", unresponsive_with_a_logger_that_blocks),
    ("no host", no_host),
    ("replaced handler", own_handler),
    ("nothing replaced", nothing_replaced),
    ("one thread", || with_threads(1)),
    ("two threads", || with_threads(2)),
];

/// Prints each warning for the parent, except those that a busy machine causes.
struct Says;

impl log::Log for Says {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, line: &log::Record<'_>) {
        let text = line.args().to_string();
        if !text.starts_with("still st") {
            say(&text);
        }
    }

    fn flush(&self) {}
}

/// Stores each warning.
struct Keeps(&'static Mutex<Vec<String>>);

impl log::Log for Keeps {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, line: &log::Record<'_>) {
        self.0.lock().unwrap().push(line.args().to_string());
    }

    fn flush(&self) {}
}

/// Blocks forever in the log line before the exit.
struct Blocks;

impl log::Log for Blocks {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, line: &log::Record<'_>) {
        if line.args().to_string().starts_with("exiting with code") {
            forever();
        }
    }

    fn flush(&self) {}
}

fn log_warnings(logger: &'static dyn log::Log) {
    log::set_logger(logger).unwrap();
    log::set_max_level(log::LevelFilter::Warn);
}

fn unresponsive_with_a_log() {
    log_warnings(&Says);
    unresponsive();
}

fn unresponsive_with_a_logger_that_blocks() {
    log_warnings(&Blocks);
    unresponsive();
}

/// Returns the line before the exit, from the output of the child.
fn last_line(more: &[String]) -> Option<&String> {
    more.iter().find(|line| line.starts_with("exiting with code 130"))
}

/// Returns the last line of a child that `kill` kills. The line has 100 ms to be written. On a busy machine that may be
/// too little, but not each time.
fn last_line_of(program: &str, kill: impl Fn(&Child)) -> String {
    let mut tries = (0..50).map(|_| {
        let child = Child::play(program);
        kill(&child);
        let (code, more, _) = child.ends_saying();
        assert_eq!(code, 130);
        last_line(&more).cloned()
    });
    tries.find_map(|line| line).expect("a last line, in one of fifty tries")
}

// 95
#[test]
fn a_second_signal_logs_which_services_are_left_before_the_process_exits() {
    let line = last_line_of("stuck with a log", |child| {
        child.signal("INT");
        child.says("stop requested");
        child.signal("INT");
    });
    assert!(line.contains("another ctrl-c or termination signal; still running: `stuck` (`run`"), "{line}");
}

// 95
#[test]
fn a_logger_that_blocks_cannot_keep_a_second_signal_from_ending_the_process() {
    let child = Child::play("stuck with a logger that blocks");
    child.signal("INT");
    child.says("stop requested");
    child.signal("INT");
    assert_eq!(child.ends().0, 130);
}

fn no_host() {
    log_warnings(&Says);
    drop(ctrl_c().unwrap());
    say("ready");
    forever()
}

#[test]
fn a_signal_that_nothing_waits_for_logs_that_no_service_is_left() {
    let line = last_line_of("no host", |child| child.signal("TERM"));
    assert!(line.ends_with("still running: no service"), "{line}");
}

#[allow(unsafe_code)] // only unsafe code installs a handler without `ctrlc`
fn handle_interrupts() {
    extern "C" fn handler(_: i32) {}
    unsafe extern "C" {
        fn signal(number: i32, handler: extern "C" fn(i32)) -> usize;
    }
    const SIGINT: i32 = 2;
    // SAFETY: the function is that of the C library, and the handler does nothing.
    unsafe { signal(SIGINT, handler) };
}

fn own_handler() {
    static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
    static KEEPS: Keeps = Keeps(&LINES);
    log_warnings(&KEEPS);
    handle_interrupts();
    let token = ctrl_c().unwrap();
    drop(ctrl_c().unwrap());
    let warning = "replaced the program's own handler of SIGINT; \
                   to keep it, use `run_until` or `HostHandle::request_stop`";
    assert_eq!(*LINES.lock().unwrap(), [warning]);
    say("ready");
    token.wait();
    leave(())
}

fn nothing_replaced() {
    log_warnings(&Says);
    let token = ctrl_c().unwrap();
    say("ready");
    token.wait();
    leave(())
}

#[cfg(target_os = "linux")]
#[test]
fn replacing_an_existing_handler_is_a_warning_with_its_signal() {
    let child = Child::play("replaced handler");
    child.signal("INT");
    assert_eq!(child.ends(), (0, String::new()));
}

#[test]
fn without_an_existing_handler_there_is_no_warning() {
    let child = Child::play("nothing replaced");
    child.signal("INT");
    assert_eq!(child.ends(), (0, String::new()));
}

const MIB: usize = 1 << 20;

/// The stack size of every thread without another size, in the children below.
const STACK: usize = 64 * MIB;

/// Returns `true` if this many bytes of address space are free in one piece.
fn has_room(bytes: usize) -> bool {
    Vec::<u8>::new().try_reserve_exact(bytes).is_ok()
}

/// Fills the address space with threads until there is room for `threads` more. Then requests ctrl-c.
///
/// Some room stays free: a thread that cannot allocate its small signal stack ends the process.
fn with_threads(threads: usize) {
    let (mut parked, mut eaten) = (Vec::new(), Vec::new());
    while has_room(STACK + 20 * MIB) {
        parked.push(thread::Builder::new().spawn(thread::park).unwrap());
    }
    while has_room(20 * MIB) {
        eaten.push(Vec::<u8>::with_capacity(4 * MIB));
    }
    for thread in parked.drain(..threads) {
        thread.thread().unpark();
        thread.join().unwrap();
    }
    let token = ctrl_c();
    assert_eq!(token.is_ok(), threads > 1);
    say("ready");
    match token {
        Ok(token) => {
            token.wait();
            leave(())
        }
        Err(_) => forever(),
    }
}

/// A child with little address space, and so with few possible threads.
#[cfg(target_os = "linux")]
fn with_little_room(program: &str) -> Child {
    // Use one arena. Otherwise each thread reserves 64 MiB of address space beside its stack. Freed memory goes back to
    // the system.
    let script = format!(
        r#"export MALLOC_ARENA_MAX=1 MALLOC_MMAP_THRESHOLD_=131072 RUST_MIN_STACK={STACK}
        ulimit -c 0; ulimit -v 1000000; exec "$0" "$@""#
    );
    Child::script(&script, program)
}

#[cfg(target_os = "linux")]
#[test]
fn without_a_thread_for_the_handler_signals_keep_their_effect() {
    let child = with_little_room("one thread");
    child.signal("TERM"); // a test command in the background of a script ignores SIGINT, and so do its children
    assert_eq!(child.ends_saying().0, -15, "killed by SIGTERM, which nothing handles");
}

#[cfg(target_os = "linux")]
#[test]
fn with_just_enough_threads_for_the_handler_signals_are_handled() {
    let child = with_little_room("two threads");
    child.signal("INT");
    assert_eq!(child.ends_saying().0, 0);
}
