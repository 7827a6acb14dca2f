//! Each example does what its first line promises, and exits with code 0.
//!
//! The text in backticks in the first line must be printed. If the line says "then", the texts must come in this order.
//! An example that runs "until ctrl-c" receives SIGINT after it has printed the first text.
//!
//! `cargo test` builds the examples first. `cargo test --test docs` does not: run `cargo build --examples` before.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Far more than any example takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn every_example_keeps_the_promise_of_its_first_line() {
    let examples: Vec<Promise> = names("rs").iter().map(|name| Promise::of(name)).collect();
    assert!(examples.len() >= 14, "only {} examples found", examples.len());
    let broken: Vec<String> = thread::scope(|scope| {
        let keep = |example| scope.spawn(move || Promise::keep(example).err());
        let running: Vec<_> = examples.iter().filter(|example| example.can_run_here()).map(keep).collect();
        running.into_iter().filter_map(|example| example.join().expect("a panic in this test itself")).collect()
    });
    assert!(broken.is_empty(), "{}", broken.join("\n\n"));
}

#[test]
fn every_example_stands_in_the_table_with_its_command() {
    let table = fs::read_to_string(examples().join("README.md")).expect("examples/README.md");
    for name in names("rs").into_iter().chain(names("")) {
        let command = format!("cargo run --example {name}`");
        assert!(table.contains(&command), "examples/README.md does not say `{command}");
    }
}

#[cfg(unix)]
#[test]
fn the_web_server_serves_its_page_and_stops_while_it_waits_for_the_next_visitor() {
    let mut server = Running::start("web_server");
    let address = server.wait_for("http://").expect("its address").replace("http://", "");
    let page = ask(&address, "GET / HTTP/1.0\r\n\r\n");
    assert!(page.contains("200 OK") && page.contains("statistics   running"), "{page}");
    server.interrupt();
    server.end().expect("exit code 0");
}

#[cfg(unix)]
#[test]
fn a_blocked_accept_serves_its_client_and_is_woken_by_the_stop() {
    let mut server = Running::start("blocking_accept");
    let address = server.wait_for("listening on ").expect("its address").replace("listening on ", "");
    let answer = ask(&address, "");
    assert!(answer.contains("seconds since 1970"), "{answer}");
    server.interrupt();
    server.end().expect("exit code 0");
}

#[cfg(unix)]
#[test]
fn the_probes_example_becomes_ready_only_when_its_cache_is_filled() {
    let mut example = Running::start("probes");
    let address = example.wait_for("http://").expect("its address").replace("http://", "").replace('/', "");
    example.wait_for("filling the cache").expect("the start-up");
    let ready = || ask(&address, "GET /readyz HTTP/1.0\r\n\r\n");
    let early = ready();
    assert!(early.contains("503") && early.contains("\nfill cache: starting for "), "{early}");
    example.wait_for("ready").expect("the start");
    assert!(ready().contains("200 OK"));
    assert!(ask(&address, "GET / HTTP/1.0\r\n\r\n").contains("statistics"));
    example.interrupt();
    example.end().expect("exit code 0");
}

/// The promise in the first line of an example.
struct Promise {
    name: String,
    printed: Vec<String>,
    in_order: bool,
    until_ctrl_c: bool,
}

impl Promise {
    fn of(name: &str) -> Self {
        let text = fs::read_to_string(examples().join(name).with_extension("rs")).expect(name);
        let line = text.lines().next().unwrap_or_default();
        let printed: Vec<String> = line.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        assert!(line.starts_with("//! Prints `"), "{name}: the first line does not say what it prints");
        let (in_order, until_ctrl_c) = (line.contains("then"), line.contains("until ctrl-c"));
        Promise { name: name.to_owned(), printed, in_order, until_ctrl_c }
    }

    /// Signals exist only on Unix.
    fn can_run_here(&self) -> bool {
        cfg!(unix) || !self.until_ctrl_c
    }

    fn keep(&self) -> Result<(), String> {
        let mut example = Running::start(&self.name);
        if self.until_ctrl_c {
            example.wait_for(&self.printed[0])?;
            example.interrupt();
        }
        let output = example.end()?;
        let mut rest = output.as_str();
        for text in &self.printed {
            let Some((_, after)) = rest.split_once(text.as_str()) else {
                return Err(format!("{} did not print `{text}` as promised:\n{output}", self.name));
            };
            if self.in_order {
                rest = after;
            }
        }
        Ok(())
    }
}

/// An example as a child process. Killed when dropped.
struct Running {
    name: String,
    child: Child,
    lines: Receiver<String>,
    seen: String,
    log: Option<JoinHandle<String>>,
}

impl Running {
    fn start(name: &str) -> Self {
        let program = program(name);
        let mut command = Command::new(&program);
        command.env_remove("RUST_LOG").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!("{}: {error}. Was it built? `cargo build --examples` does that", program.display())
        });
        let (stdout, stderr) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let (sender, lines) = channel();
        thread::spawn(move || {
            // Until the child exits, or the receiver of the lines is dropped.
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let log = thread::spawn(move || text_of(stderr));
        Running { name: name.to_owned(), child, lines, seen: String::new(), log: Some(log) }
    }

    /// Returns the next line that contains `text`.
    fn wait_for(&mut self, text: &str) -> Result<String, String> {
        let deadline = Instant::now() + LIMIT;
        while let Some(line) = self.next_line(deadline)? {
            if line.contains(text) {
                return Ok(line);
            }
        }
        Err(self.failed(&format!("ended without printing `{text}`")))
    }

    /// Returns the output after an exit with code 0.
    fn end(&mut self) -> Result<String, String> {
        let deadline = Instant::now() + LIMIT;
        while self.next_line(deadline)?.is_some() {}
        let status = self.child.wait().map_err(|error| error.to_string())?; // soon: its output is closed
        if status.success() { Ok(self.seen.clone()) } else { Err(self.failed(&status.to_string())) }
    }

    /// `None` at the end of the output.
    fn next_line(&mut self, deadline: Instant) -> Result<Option<String>, String> {
        match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                self.seen = format!("{}{line}\n", self.seen);
                Ok(Some(line))
            }
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => Err(self.failed("hangs")),
        }
    }

    /// The shell's own `kill`: the program of this name is not everywhere.
    fn interrupt(&self) {
        let kill = format!("kill -INT {}", self.child.id());
        let status = Command::new("sh").args(["-c", &kill]).status().expect("sh");
        assert!(status.success(), "{kill}: {status}");
    }

    /// Returns everything about a failure. Ends the child first, so that its log is complete.
    fn failed(&mut self, how: &str) -> String {
        self.kill();
        let log = self.log.take().and_then(|log| log.join().ok()).unwrap_or_default();
        format!("{}: {how}\n--- it printed ---\n{}--- its log ---\n{log}", self.name, self.seen)
    }

    fn kill(&mut self) {
        // Both fail only if the process has already exited.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

fn ask(address: &str, question: &str) -> String {
    let mut server = TcpStream::connect(address).expect(address);
    server.set_read_timeout(Some(LIMIT)).expect("a limit above zero");
    server.write_all(question.as_bytes()).expect("to be heard");
    text_of(server)
}

fn text_of(mut stream: impl Read) -> String {
    let mut bytes = Vec::new();
    // Show what came before an error.
    _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// The examples that are one file ("rs"), or a package with a `src/main.rs` ("").
fn names(extension: &str) -> Vec<String> {
    let entries = fs::read_dir(examples()).expect("examples");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let wanted = paths.filter(|path| match extension {
        "" => path.join("src/main.rs").exists(),
        _ => path.extension().is_some_and(|found| found == extension),
    });
    wanted.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect()
}

/// The examples lie beside the folder of this test: target/PROFILE/deps/this-test, target/PROFILE/examples/NAME.
fn program(name: &str) -> PathBuf {
    let this = std::env::current_exe().expect("the path of this test");
    let profile = this.ancestors().nth(2).expect("target/PROFILE");
    profile.join("examples").join(name).with_extension(std::env::consts::EXE_EXTENSION)
}
