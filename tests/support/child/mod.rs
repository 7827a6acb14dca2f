//! Child processes, for tests of what happens to a whole process. A child is the test program itself, started again to play one
//! of its programs.
//!
//! The `main.rs` of such a test program has the ignored test `programs`, which calls [`play`] with the programs of each module.

pub(crate) mod programs;

use crate::support::LIMIT;
use crossbeam_channel::{Receiver, bounded, unbounded};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{ChildStdin, Command, ExitStatus, Stdio, Termination};
use std::time::{Duration, Instant};

/// Longer than any test, and than any child.
pub(crate) const AN_HOUR: Duration = Duration::from_secs(3_600);

/// How the test binary becomes a child.
pub(crate) const ARGS: [&str; 4] = ["programs", "--exact", "--ignored", "--nocapture"];

/// Tells a child what to play.
const PROGRAM: &str = "HOSTED_TEST_PROGRAM";

/// What a child says begins with this, to tell it from what the test harness says.
const MARK: &str = "@@";

/// What a child can play: a name, and a function.
pub(crate) type Program = (&'static str, fn());

/// In the child: plays the program that its parent wants.
pub(crate) fn play(programs: &[&[Program]]) {
    // Without a parent there is no program to play: somebody runs all ignored tests.
    let Ok(name) = std::env::var(PROGRAM) else { return };
    let named: Vec<&Program> = programs.iter().copied().flatten().filter(|program| program.0 == name).collect();
    let [(_, program)] = named[..] else { panic!("{} programs are named `{name}`", named.len()) };
    std::thread::spawn(|| {
        std::thread::sleep(5 * LIMIT); // if the parent has died, nothing else ends the child
        std::process::exit(99)
    });
    // In its own PID namespace it has another id than the one that its parent uses.
    let seen = std::fs::read_link("/proc/self").map(|link| link.display().to_string());
    say(&seen.unwrap_or_else(|_| std::process::id().to_string()));
    program();
}

/// In the child: says a line to the parent.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // The harness may be in the middle of a line.
    write!(out, "\n{MARK}{line}\n").and_then(|()| out.flush()).expect("the parent listens");
}

/// In the child: ends it as returning `result` from `main` does.
pub(crate) fn leave(result: impl Termination) -> ! {
    let code = format!("{:?}", result.report()); // the one way to its number
    let digits: String = code.chars().filter(char::is_ascii_digit).collect();
    std::process::exit(digits.parse().expect("an exit code"))
}

/// In the parent: a child.
pub(crate) struct Child {
    /// Of the one to send signals to.
    id: String,
    /// Its standard input, until that is closed.
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    errors: Receiver<String>,
    end: Receiver<ExitStatus>,
    ended: bool,
}

impl Child {
    /// Starts a process that plays `program`, and waits until that says `ready`.
    pub(crate) fn play(program: &str) -> Self {
        let exe = std::env::current_exe().unwrap();
        Self::start(Command::new(exe).args(ARGS), program)
    }

    /// The same by a script for `sh`, in which `"$0" "$@"` is that process.
    pub(crate) fn script(script: &str, program: &str) -> Self {
        let exe = std::env::current_exe().unwrap();
        Self::start(Command::new("sh").args(["-c", script]).arg(exe).args(ARGS), program)
    }

    /// The same by a command that passes [`ARGS`] on to the test binary.
    pub(crate) fn start(command: &mut Command, program: &str) -> Self {
        let command = command.env(PROGRAM, program);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let ((say, lines), (complain, errors), (tell, end)) = (unbounded(), bounded(1), bounded(1));
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
        std::thread::spawn(move || tell.send(child.wait().unwrap()));
        this.id = this.next();
        this.says("ready");
        this
    }

    /// Waits for its next line.
    pub(crate) fn next(&self) -> String {
        let line = self.lines.recv_timeout(LIMIT);
        line.unwrap_or_else(|_| panic!("it says no more, but complains: {}", self.complaints()))
    }

    /// Waits for its next line, which is `line`.
    pub(crate) fn says(&self, line: &str) {
        assert_eq!(self.next(), line);
    }

    /// Sends it a signal: `INT`, `TERM`, `HUP`.
    pub(crate) fn signal(&self, name: &str) {
        assert!(kill(name, &self.id));
    }

    /// Types this on its standard input.
    pub(crate) fn reads(&mut self, text: &str) {
        self.input.as_mut().expect("an open input").write_all(text.as_bytes()).unwrap();
    }

    /// Lets its standard input end.
    pub(crate) fn reads_the_end(&mut self) {
        self.input = None;
    }

    /// Sends a signal to the process that started it, once that is asleep: not while it still comes back from the start.
    pub(crate) fn signal_parent(&self, name: &str) {
        let parent = fields_of(&self.id)[1].clone();
        falls_asleep(&parent);
        assert!(kill(name, &parent));
    }

    /// Returns when its first thread is asleep.
    pub(crate) fn falls_asleep(&self) {
        falls_asleep(&self.id);
    }

    /// Runs a script for `sh`, in which `$1` is its number.
    pub(crate) fn suffers(&self, script: &str) {
        let mut command = Command::new("sh");
        // The process may end meanwhile: what is said of that is of no interest.
        command.args(["-c", script, "suffers", &self.id]).stderr(Stdio::null()).status().unwrap();
    }

    /// Waits for its end, and gives its exit code and what stands on stderr. A signal that killed it is a negative code.
    /// It has said no more.
    pub(crate) fn ends(self) -> (i32, String) {
        let (code, more, complaints) = self.ends_saying();
        assert_eq!(more, [""; 0]);
        (code, complaints)
    }

    /// As [`ends`](Self::ends), and gives what it has still said.
    pub(crate) fn ends_saying(mut self) -> (i32, Vec<String>, String) {
        let status = self.end.recv_timeout(LIMIT).expect("it does not end");
        self.ended = true;
        let more = self.lines.iter().collect();
        let code = status.code().or_else(|| status.signal().map(|signal| -signal));
        (code.expect("one or the other"), more, self.complaints())
    }

    fn complaints(&self) -> String {
        self.errors.recv_timeout(LIMIT).expect("stderr ends with the process")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Else the test has failed. Its number is its own until somebody has waited for its end.
        if !self.ended && self.end.try_recv().is_err() {
            kill("KILL", &self.id);
        }
    }
}

/// Of a process, as Linux has it: the state of its first thread, its parent, and more.
fn fields_of(id: &str) -> Vec<String> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.split(' ').map(str::to_owned).collect()
}

fn falls_asleep(id: &str) {
    let limit = Instant::now() + LIMIT;
    while fields_of(id)[0] != "S" {
        assert!(Instant::now() < limit, "it never falls asleep");
        std::thread::yield_now();
    }
}

fn kill(signal: &str, id: &str) -> bool {
    let script = ["-c", r#"kill -s "$1" "$2""#, "kill", signal, id];
    Command::new("sh").args(script).status().is_ok_and(|status| status.success())
}
