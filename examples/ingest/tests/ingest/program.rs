//! Runs the example `ingest` as a program.

use crossbeam_channel::{Receiver, unbounded};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A limit for every wait, so that a hang becomes a failure.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The running program. Dropping it kills the program.
pub struct Ingest {
    pub child: Child,
    lines: Receiver<String>,
    /// The lines that `wait_for` has read so far.
    log: String,
    /// The address of the page, once the log has shown it.
    address: Option<String>,
}

impl Ingest {
    /// Returns a command for the binary of the example, which `cargo test` builds beside this test.
    pub fn bare(args: &[&str]) -> Command {
        let test = std::env::current_exe().unwrap();
        let program = test.ancestors().nth(2).unwrap().join("examples/ingest");
        assert!(program.exists(), "{} is not built: cargo build --example ingest", program.display());
        let mut command = Command::new(program);
        command.args(args).env_remove("RUST_LOG").stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn command(dir: &Path, args: &[&str]) -> Command {
        let mut command = Ingest::bare(&["--every", "0.05"]);
        // Put the state files into the tree: every test then checks that the catalogue leaves them out.
        command.arg(dir).args(args).env("XDG_STATE_HOME", dir.join(".state"));
        command
    }

    pub fn start(dir: &Path, args: &[&str]) -> Ingest {
        Ingest::spawn(Ingest::command(dir, args))
    }

    pub fn spawn(mut command: Command) -> Ingest {
        let mut child = command.spawn().unwrap();
        let (sender, lines) = unbounded();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Ingest { child, lines, log: String::new(), address: None }
    }

    pub fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success());
    }

    /// Waits for the next log line that contains `text`, and returns it.
    pub fn wait_for(&mut self, text: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let line = self.lines.recv_deadline(until).unwrap_or_else(|_| panic!("no {text} in its log: {}", self.log));
            self.log += &format!("{line}\n");
            if line.contains(text) {
                return line;
            }
        }
    }

    pub fn kill_at(mut self, text: &str) {
        self.wait_for(text);
        self.child.kill().unwrap();
    }

    pub fn get(&mut self, path: &str) -> Option<String> {
        if self.address.is_none() {
            let line = self.wait_for("http://");
            self.address = line.split("http://").nth(1).map(|rest| rest.trim_end_matches('/').to_owned());
        }
        let mut connection = TcpStream::connect(self.address.as_ref()?).ok()?;
        write!(connection, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).ok()?;
        assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
        answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
    }

    pub fn wait_until(&mut self, condition: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let body = self.get("/status.json").expect("an answer");
            let status = serde_json::from_str(&body).expect("JSON");
            if condition(&status) {
                return status;
            }
            assert!(Instant::now() < until, "never came to it: {status:#}");
        }
    }

    /// Waits for the exit. Returns the exit code, stdout and stderr.
    pub fn end(mut self) -> (Option<i32>, String, String) {
        let mut report = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut report).unwrap();
        let code = self.child.wait().unwrap().code();
        let rest: Vec<String> = self.lines.iter().collect();
        (code, report, format!("{}{}", self.log, rest.join("\n")))
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        _ = self.child.kill(); // fails if the program has already exited
        _ = self.child.wait();
    }
}

/// Runs the program until the catalogue is up to date.
pub fn once(dir: &Path) {
    let (code, _, log) = Ingest::start(dir, &["--once"]).end();
    assert_eq!(code, Some(0), "{log}");
}

/// The default path of the catalogue of `dir`.
pub fn database(dir: &Path) -> PathBuf {
    let folder = std::fs::read_dir(dir.join(".state/ingest")).unwrap().map(|entry| entry.unwrap().path());
    let databases: Vec<PathBuf> = folder.filter(|path| path.extension().is_some_and(|end| end == "db")).collect();
    let [database] = &databases[..] else { panic!("one catalogue: {databases:?}") };
    database.clone()
}

pub fn files(status: &Value) -> i64 {
    status["catalogue"]["files"].as_i64().unwrap()
}
