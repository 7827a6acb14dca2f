//! Child processes, for tests about a whole process. A child is the test program itself, which runs one of its
//! programs.
//!
//! The `main.rs` of such a test program has the ignored test `programs`, which calls [`play`] with the programs of each
//! module.

pub(crate) mod programs;

use crate::support::LIMIT;
use crossbeam_channel::{Receiver, bounded, unbounded};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{ChildStdin, Command, ExitStatus, Stdio, Termination};
use std::time::{Duration, Instant};

/// More time than any test or child needs.
pub(crate) const AN_HOUR: Duration = Duration::from_secs(3_600);

/// The arguments that make the test binary a child.
pub(crate) const ARGS: [&str; 4] = ["programs", "--exact", "--ignored", "--nocapture"];

/// Names the program that a child runs.
const PROGRAM: &str = "HOSTED_TEST_PROGRAM";

/// The prefix of the lines of a child, to distinguish them from those of the test harness.
const MARK: &str = "@@";

/// A program of a child: its name and its function.
pub(crate) type Program = (&'static str, fn());

/// In the child: runs the program that the parent has chosen.
pub(crate) fn play(programs: &[&[Program]]) {
    // Without a parent there is no program to run: somebody runs all ignored tests.
    let Ok(name) = std::env::var(PROGRAM) else { return };
    let named: Vec<&Program> = programs.iter().copied().flatten().filter(|program| program.0 == name).collect();
    let [(_, program)] = named[..] else { panic!("{} programs are named `{name}`", named.len()) };
    std::thread::spawn(|| {
        std::thread::sleep(5 * LIMIT); // if the parent has exited, only this ends the child
        std::process::exit(99)
    });
    // In its own PID namespace, the child has another ID than the one that its parent uses.
    let seen = std::fs::read_link("/proc/self").map(|link| link.display().to_string());
    say(&seen.unwrap_or_else(|_| std::process::id().to_string()));
    program();
}

/// In the child: prints a line for the parent.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // The harness may have printed half a line.
    write!(out, "\n{MARK}{line}\n").and_then(|()| out.flush()).expect("the parent listens");
}

/// In the child: exits as if `main` returned `result`.
pub(crate) fn leave(result: impl Termination) -> ! {
    let code = format!("{:?}", result.report()); // the only way to read its number
    let digits: String = code.chars().filter(char::is_ascii_digit).collect();
    std::process::exit(digits.parse().expect("an exit code"))
}

/// In the parent: a child process.
pub(crate) struct Child {
    /// The ID of the process that receives signals.
    id: String,
    /// Its standard input, until it is closed.
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    errors: Receiver<String>,
    end: Receiver<ExitStatus>,
    ended: bool,
}

impl Child {
    /// Starts a process that runs `program`, and waits for its line `ready`.
    pub(crate) fn play(program: &str) -> Self {
        let exe = std::env::current_exe().unwrap();
        Self::start(with_default_signals(exe.as_os_str()).args(ARGS), program)
    }

    /// The same with a script for `sh`, in which `"$0" "$@"` is that process.
    pub(crate) fn script(script: &str, program: &str) -> Self {
        let exe = std::env::current_exe().unwrap();
        Self::start(with_default_signals("sh".as_ref()).args(["-c", script]).arg(exe).args(ARGS), program)
    }

    /// The same with a command that passes [`ARGS`] on to the test binary.
    pub(crate) fn start(command: &mut Command, program: &str) -> Self {
        let command = command.env(PROGRAM, program);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let ((say, lines), (complain, errors), (sender, end)) = (unbounded(), bounded(1), bounded(1));
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                line.strip_prefix(MARK).map(|line| say.send(line.to_owned()));
            }
        });
        std::thread::spawn(move || {
            let mut text = String::new();
            _ = err.read_to_string(&mut text);
            complain.send(text)
        });
        let (id, input) = (child.id().to_string(), child.stdin.take());
        let mut this = Child { id, input, lines, errors, end, ended: false };
        std::thread::spawn(move || sender.send(child.wait().unwrap()));
        this.id = this.next();
        this.says("ready");
        this
    }

    /// Waits for its next line.
    pub(crate) fn next(&self) -> String {
        let line = self.lines.recv_timeout(LIMIT);
        line.unwrap_or_else(|_| panic!("the child prints nothing more; its stderr: {}", self.complaints()))
    }

    /// Waits for its next line, which must be `line`.
    pub(crate) fn says(&self, line: &str) {
        assert_eq!(self.next(), line);
    }

    /// Sends a signal to the child: `INT`, `TERM`, `HUP`.
    pub(crate) fn signal(&self, name: &str) {
        assert!(kill(name, &self.id));
    }

    /// Writes to its standard input.
    pub(crate) fn reads(&mut self, text: &str) {
        self.input.as_mut().expect("an open input").write_all(text.as_bytes()).unwrap();
    }

    /// Closes its standard input.
    pub(crate) fn reads_the_end(&mut self) {
        self.input = None;
    }

    /// Sends a signal to its parent process once that is asleep, and not still returning from the start of the child.
    pub(crate) fn signal_parent(&self, name: &str) {
        let parent = fields_of(&self.id)[1].clone();
        falls_asleep(&parent);
        assert!(kill(name, &parent));
    }

    /// Returns when its first thread is asleep.
    pub(crate) fn falls_asleep(&self) {
        falls_asleep(&self.id);
    }

    /// Runs a script for `sh`, in which `$1` is the ID of the child.
    pub(crate) fn suffers(&self, script: &str) {
        let mut command = Command::new("sh");
        // The process may exit meanwhile, so errors of the script do not count.
        command.args(["-c", script, "suffers", &self.id]).stderr(Stdio::null()).status().unwrap();
    }

    /// Waits for its exit. Returns its exit code and its stderr. A negative code is the signal that killed it. There
    /// must be no unread lines.
    pub(crate) fn ends(self) -> (i32, String) {
        let (code, more, complaints) = self.ends_saying();
        assert_eq!(more, [""; 0]);
        (code, complaints)
    }

    /// As [`ends`](Self::ends), but also returns the unread lines.
    pub(crate) fn ends_saying(mut self) -> (i32, Vec<String>, String) {
        let status = self.end.recv_timeout(LIMIT).expect("the child does not exit");
        self.ended = true;
        let more = self.lines.iter().collect();
        let code = status.code().or_else(|| status.signal().map(|signal| -signal));
        (code.expect("an exit code or a signal"), more, self.complaints())
    }

    fn complaints(&self) -> String {
        self.errors.recv_timeout(LIMIT).expect("stderr ends with the process")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // If the child still exists, the test has failed. Its ID is not reused before somebody has waited for it.
        if !self.ended && self.end.try_recv().is_err() {
            kill("KILL", &self.id);
        }
    }
}

/// Returns the state of the first thread of a process, its parent, and more, from `/proc`.
fn fields_of(id: &str) -> Vec<String> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.split(' ').map(str::to_owned).collect()
}

fn falls_asleep(id: &str) {
    let limit = Instant::now() + LIMIT;
    while fields_of(id)[0] != "S" {
        assert!(Instant::now() < limit, "the process never falls asleep");
        std::thread::yield_now();
    }
}

/// Returns a command whose process ignores no signal, even if the tests themselves run under `nohup` or in the background
/// of a script.
fn with_default_signals(program: &OsStr) -> Command {
    if !cfg!(target_os = "linux") {
        return Command::new(program);
    }
    let mut command = Command::new("env"); // of GNU; it becomes the program, so the process ID stays the same
    command.arg("--default-signal=HUP,INT,TERM,USR1").arg(program);
    command
}

fn kill(signal: &str, id: &str) -> bool {
    let script = ["-c", r#"kill -s "$1" "$2""#, "kill", signal, id];
    Command::new("sh").args(script).status().is_ok_and(|status| status.success())
}
