//! Starting, killing and freezing children.

use crate::programs::{FOLDER, PROGRAM};
use crate::support::wait_until;
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

/// A child process, which is killed when the test ends.
pub(crate) struct Process {
    child: Child,
}

/// How to start a child: this program again, with the name of what it is to do.
pub(crate) fn command(folder: &Path, program: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["child_process", "--exact", "--nocapture", "--test-threads=1"]);
    command.env(PROGRAM, program).env(FOLDER, folder).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

impl Process {
    /// Starts a child and waits until it has announced that it works.
    pub(crate) fn start(folder: &Path, program: &str) -> Self {
        let process = Process::spawn(&mut command(folder, program));
        process.wait_ready(folder);
        process
    }

    pub(crate) fn spawn(command: &mut Command) -> Self {
        Process { child: command.spawn().unwrap() }
    }

    pub(crate) fn wait_ready(&self, folder: &Path) {
        let ready = folder.join(format!("ready.{}", self.child.id()));
        wait_until("the child is ready", || ready.exists());
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// `kill -9`, and waits until the process is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Requests an orderly stop, and returns how the process ended.
    pub(crate) fn stop(self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    pub(crate) fn wait(mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the child has ended", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
