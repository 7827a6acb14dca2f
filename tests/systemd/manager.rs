//! Guarantee 205: a host under a real `systemd --user`, which the test starts for itself.

use crate::messages::host;
use crate::support::child::programs::{Server, forever};
use crate::support::child::{ARGS, Program, leave};
use crate::support::{LIMIT, SECOND};
use hosted::{Context, Host, task, worker};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const PROGRAMS: &[Program] = &[("unit", unit), ("slow unit", slow_unit), ("stuck unit", stuck_unit)];

/// A private `systemd --user`.
struct Manager {
    process: Child,
    folder: tempfile::TempDir,
}

impl Manager {
    /// Starts the manager. If the machine does not allow it, prints a line and returns `None`.
    fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/systemd/user-manager");
        let mut command = Command::new(script);
        command.arg(folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut manager = Manager { process: command.spawn().unwrap(), folder };
        let limit = Instant::now() + LIMIT;
        while !manager.folder.path().join("run/systemd/private").exists() {
            if let Some(status) = manager.process.try_wait().unwrap() {
                let line = format!("\nNOT TESTED: a unit of `systemd --user`, which cannot be started: {status}\n");
                std::io::stderr().write_all(line.as_bytes()).unwrap(); // the harness captures `eprintln`
                return None;
            }
            assert!(Instant::now() < limit, "`systemd --user` neither starts nor fails");
            thread::sleep(Duration::from_millis(10));
        }
        Some(manager)
    }

    fn call(&self, program: &str, arguments: &[&str]) -> (bool, String) {
        let run = self.folder.path().join("run");
        let output = Command::new(program).arg("--user").args(arguments).env("XDG_RUNTIME_DIR", run).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    }

    /// Starts `program` as the unit `test`, and waits until systemd says whether the start has succeeded.
    fn play(&self, program: &str, properties: &[&str]) -> (bool, String) {
        let program = format!("--setenv=HOSTED_TEST_PROGRAM={program}");
        let exe = std::env::current_exe().unwrap();
        let output = format!("StandardOutput=file:{}", self.folder.path().join("output").display());
        // The unit is forgotten when it has stopped, so it writes its result to a file.
        let result = self.folder.path().join("result");
        let result = format!("ExecStopPost=sh -c 'echo $SERVICE_RESULT $EXIT_STATUS >{}'", result.display());
        let mut arguments = vec!["--unit=test", "-p", "Type=notify", "-p", &output, "-p", &result, &program];
        properties.iter().for_each(|property| arguments.extend(["-p", property]));
        arguments.push(exe.to_str().unwrap());
        arguments.extend(ARGS);
        self.call("systemd-run", &arguments)
    }

    fn property(&self, name: &str) -> String {
        self.call("systemctl", &["show", "test", "--value", "--property", name]).1.trim().to_owned()
    }

    /// Waits until the unit has stopped. Returns its result and its exit code or signal.
    fn result(&self) -> String {
        self.wait_for("ActiveState", "inactive");
        std::fs::read_to_string(self.folder.path().join("result")).unwrap().trim().to_owned()
    }

    /// Waits until a property has this value.
    fn wait_for(&self, name: &str, value: &str) {
        let limit = Instant::now() + LIMIT;
        while self.property(name) != value {
            assert!(Instant::now() < limit, "{name} is {}, not {value}", self.property(name));
            thread::sleep(Duration::from_millis(10)); // systemd has no call that waits for this
        }
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.call("systemctl", &["exit"]);
        _ = self.process.wait(); // the script also removes its cgroups
    }
}

fn unit() {
    let mut host = host();
    host.add("server", Server);
    leave(host.run().map(drop))
}

// 205
#[test]
fn under_systemd_a_host_is_active_when_it_has_started_and_its_status_line_is_shown() {
    let Some(systemd) = Manager::start() else { return };
    let (started, text) = systemd.play("unit", &["WatchdogSec=1"]);
    assert!(started, "{text}");
    systemd.wait_for("StatusText", "running: 1 service");
    let (_, status) = systemd.call("systemctl", &["status", "test"]);
    assert!(status.contains("Status: \"running: 1 service\""), "{status}");
    thread::sleep(3 * SECOND); // longer than the interval of the watchdog
    assert_eq!((systemd.property("ActiveState"), systemd.property("NRestarts")), ("active".into(), "0".into()));
    let (stopped, text) = systemd.call("systemctl", &["stop", "test"]);
    assert!(stopped, "{text}");
    assert_eq!(systemd.result(), "success 0");
}

fn slow_unit() {
    let slow = Duration::from_secs(3);
    let mut host = host();
    let start = move |_: &Context| {
        thread::sleep(slow);
        Ok(())
    };
    host.add("slow start", task(start)).start_timeout(LIMIT);
    let run = move |ctx: &Context| {
        ctx.wait();
        thread::sleep(slow);
        Ok(())
    };
    host.add("slow stop", worker(run));
    leave(host.run().map(drop))
}

// 205
#[test]
fn under_systemd_a_slow_start_and_a_slow_stop_survive_the_timeouts_of_the_unit() {
    let Some(systemd) = Manager::start() else { return };
    let timeouts = ["TimeoutStartSec=1", "TimeoutStopSec=1"];
    let (started, text) = systemd.play("slow unit", &timeouts);
    assert!(started, "{text}");
    let (stopped, text) = systemd.call("systemctl", &["stop", "test"]);
    assert!(stopped, "{text}");
    assert_eq!(systemd.result(), "success 0");
}

fn stuck_unit() {
    let mut host = Host::new();
    host.systemd();
    host.add("slow", task(|_| forever()));
    leave(host.run().map(drop))
}

// 205
#[test]
fn under_systemd_a_start_without_a_limit_fails_at_the_timeout_of_the_unit() {
    let Some(systemd) = Manager::start() else { return };
    let (started, _) = systemd.play("stuck unit", &["TimeoutStartSec=1", "TimeoutStopSec=1"]);
    assert!(!started);
    assert_eq!(systemd.property("Result"), "timeout");
}
