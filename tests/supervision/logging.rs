//! Guarantees 33, 48 and 54, as log lines: failures, and the services that the host waits for. (The tests of levels are
//! in `logging_levels`.)

use crate::support::log::{Level, Line, listen};
use crate::support::{BlocksInDrop, LIMIT, idle};
use crossbeam_channel::{Receiver, Sender, bounded};
use hosted::{Context, Host, Outcome, Phase, Result, Service, worker};
use std::cell::RefCell;
use std::time::{Duration, Instant};

/// Returns the next line that contains all `parts`.
fn next(lines: &Receiver<Line>, parts: &[&str]) -> Line {
    let until = Instant::now() + LIMIT;
    loop {
        let line = lines.recv_deadline(until).unwrap_or_else(|_| panic!("no line contains {parts:?}"));
        if parts.iter().all(|part| line.text.contains(part)) {
            return line;
        }
    }
}

/// Returns level, target and text of the lines so far that contain `part`.
fn those_with(lines: &Receiver<Line>, part: &str) -> Vec<(Level, String, String)> {
    let lines = lines.try_iter().filter(|line| line.text.contains(part));
    lines.map(|line| (line.level, line.target, line.text)).collect()
}

fn line(level: Level, target: &str, text: &str) -> (Level, String, String) {
    (level, format!("hosted::{target}"), text.to_owned())
}

/// Blocks in its start or its run until the sender is dropped.
struct Stuck(Phase, Receiver<()>);

impl Service for Stuck {
    fn start(&mut self, _: &Context) -> Result {
        if self.0 == Phase::Start {
            _ = self.1.recv();
        }
        Ok(())
    }

    fn run(&mut self, _: &Context) -> Result {
        if self.0 == Phase::Run {
            _ = self.1.recv();
        }
        Ok(())
    }
}

/// Releases the stuck service after two lines about it, and checks the lines.
fn two_lines(lines: &Receiver<Line>, part: &str, release: Sender<()>) -> [Line; 2] {
    let two = [(); 2].map(|()| next(lines, &[part, "`54 stuck`"]));
    drop(release);
    for line in &two {
        assert_eq!((line.level, &*line.target), (Level::Warn, "hosted::host"));
        assert!(line.text.contains("waiting for `54 stuck` (`"), "{}", line.text);
        assert!(!line.text.contains("54 other"), "the host does not wait for this service: {}", line.text);
        assert!(!cfg!(target_os = "linux") || line.text.contains("blocked in futex"), "{}", line.text);
    }
    two
}

// 54
#[test]
fn a_long_start_or_stop_logs_each_second_which_services_it_waits_for() {
    for (phase, part) in
        [(Phase::Start, "start-up still in progress after"), (Phase::Run, "shutdown still in progress after")]
    {
        let lines = listen();
        let (release, held) = bounded(0);
        let mut host = Host::new();
        host.add("54 other", idle());
        host.add("54 stuck", Stuck(phase, held));
        let waiting = std::thread::spawn(move || two_lines(&lines, part, release));
        let mut began = Instant::now();
        host.start().unwrap();
        if phase == Phase::Run {
            began = Instant::now();
            host.stop(10 * LIMIT).unwrap();
        }
        let [one, two] = waiting.join().unwrap();
        let second = Duration::from_secs(1);
        assert!(one.at - began >= second && two.at - began >= 2 * second, "more than one line a second");
    }
}

thread_local! {
    static HELD: RefCell<Option<BlocksInDrop>> = const { RefCell::new(None) };
}

// 54
#[test]
fn a_completed_service_whose_thread_does_not_exit_is_named_in_the_log() {
    let lines = listen();
    let (release, held) = bounded::<()>(0);
    let mut host = Host::new();
    let run = move |_: &Context| {
        HELD.set(Some(BlocksInDrop(held.clone())));
        Ok(())
    };
    host.add("54 lingering", worker(run));
    host.add("54 idle", idle());
    host.start().unwrap();
    next(&lines, &["service `54 lingering` has completed"]);
    let waiting = std::thread::spawn(move || {
        let line = next(&lines, &["shutdown still in progress after", "`54 lingering`"]);
        drop(release);
        line.text
    });
    host.stop(LIMIT).unwrap();
    let text = waiting.join().unwrap();
    assert!(text.contains("waiting for `54 lingering` (`drop`"), "{text}");
}

// 33
#[test]
fn a_panic_is_logged_when_it_happens_and_not_when_it_is_joined() {
    struct Panics(Receiver<()>);
    impl Service for Panics {
        fn run(&mut self, _: &Context) -> Result {
            panic!("ouch")
        }
        fn stop(&mut self, _: &Context) -> Result {
            Ok(self.0.recv()?) // the thread cannot exit before the test has seen the line
        }
    }
    let lines = listen();
    let (release, held) = bounded(1);
    let mut host = Host::new();
    host.add("33 panics", Panics(held)).on_failure(hosted::OnFailure::Ignore);
    host.start().unwrap();
    let line = next(&lines, &["33 panics` panicked"]);
    assert_eq!((line.level, &*line.target), (Level::Error, "hosted::service"));
    assert_eq!(line.text, "service `33 panics` panicked while running: ouch");
    release.send(()).unwrap();
    let report = host.stop(LIMIT).unwrap();
    assert!(matches!(report.services[0].outcome, Outcome::Failed(_)), "{report}");
    assert!(lines.try_iter().all(|line| !line.text.contains("ouch")), "once");
}

/// Fails in one phase, with an error or with a panic.
struct Fails {
    within: Phase,
    panics: bool,
}

impl Fails {
    fn come_to(&self, phase: Phase) -> Result {
        match self.within == phase {
            true if self.panics => panic!("that hurt"),
            true => Err("that hurt".into()),
            false => Ok(()),
        }
    }
}

impl Service for Fails {
    fn start(&mut self, ctx: &Context) -> Result {
        let calls_back = self.within == Phase::Callback;
        std::mem::forget(ctx.on_stop(move || assert!(!calls_back, "that hurt")));
        self.come_to(Phase::Start)
    }

    fn run(&mut self, ctx: &Context) -> Result {
        ctx.wait();
        self.come_to(Phase::Run)
    }

    fn stop(&mut self, _: &Context) -> Result {
        self.come_to(Phase::Stop)
    }
}

impl Drop for Fails {
    fn drop(&mut self) {
        if self.within == Phase::Drop {
            panic!("that hurt");
        }
    }
}

// 33, 48
#[test]
fn every_failure_is_logged_once_as_an_error_with_the_services_name() {
    for (within, panics, words) in [
        (Phase::Start, false, "failed while starting"),
        (Phase::Start, true, "panicked while starting"),
        (Phase::Run, false, "failed while running"),
        (Phase::Run, true, "panicked while running"),
        (Phase::Stop, false, "failed while stopping"),
        (Phase::Stop, true, "panicked while stopping"),
        (Phase::Drop, true, "panicked while being dropped"),
        (Phase::Callback, true, "panicked in a stop callback"),
    ] {
        let lines = listen();
        let mut host = Host::new();
        host.add("fails", Fails { within, panics });
        let failed = host.start().is_err() || host.stop(LIMIT).is_err();
        assert!(failed, "{words}");
        let expected = line(Level::Error, "service", &format!("service `fails` {words}: that hurt"));
        assert_eq!(those_with(&lines, "that hurt"), [expected]);
    }
}
