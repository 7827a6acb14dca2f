//! Promise 33: a panic in a service.

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use hosted::{Cause, Context, Host, HostError, Outcome, Phase, Restart, Result, Service, StopToken, worker};
use std::panic::panic_any;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

/// Only so that a hang becomes a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a test that would hang if a promise were broken.
fn in_time(test: impl FnOnce() + Send + 'static) {
    let (done, over) = bounded::<()>(0);
    let body = move || {
        let _done = done; // dropped by a panic too
        test();
    };
    let thread = thread::spawn(body);
    assert_eq!(over.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected), "the test hangs");
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

/// A service that is one function of the phase.
struct Acts<F>(F);

fn acts<F: FnMut(Phase, &Context) -> Result + Send + 'static>(f: F) -> impl Service {
    Acts(f)
}

impl<F: FnMut(Phase, &Context) -> Result + Send + 'static> Service for Acts<F> {
    fn start(&mut self, ctx: &Context) -> Result {
        (self.0)(Phase::Start, ctx)
    }

    fn run(&mut self, ctx: &Context) -> Result {
        (self.0)(Phase::Run, ctx)
    }

    fn stop(&mut self, ctx: &Context) -> Result {
        (self.0)(Phase::Stop, ctx)
    }
}

/// A service that does `f` in one phase, and in the others what every service does unless told.
fn during(act: Phase, mut f: impl FnMut(&Context) -> Result + Send + 'static) -> impl Service {
    acts(move |phase, ctx| if phase == act { f(ctx) } else { otherwise(phase, ctx) })
}

/// What a service does unless told: it is ready at once, waits for the stop and has nothing to clean up.
fn otherwise(phase: Phase, ctx: &Context) -> Result {
    if phase == Phase::Run {
        ctx.wait();
    }
    Ok(())
}

/// Where services wait for the test: they say that they have come, and go on one by one as they are let through.
#[derive(Clone)]
struct Gate {
    came: (Sender<String>, Receiver<String>),
    go: (Sender<()>, Receiver<()>),
}

impl Gate {
    fn new() -> Self {
        Gate { came: unbounded(), go: bounded(0) }
    }

    fn pass(&self, ctx: &Context) -> Result {
        self.came.0.send(ctx.name().to_owned())?;
        self.go.1.recv()?;
        Ok(())
    }

    /// Who comes next.
    fn who(&self) -> String {
        self.came.1.recv_timeout(PATIENCE).expect("nobody comes")
    }

    fn let_one_through(&self) {
        self.go.0.send_timeout((), PATIENCE).expect("nobody waits");
    }
}

/// Hands every log line of the process to the tests, which know their own by the services' names.
struct Logger(Mutex<Vec<Sender<(log::Level, String, String)>>>);

static LOGGER: Logger = Logger(Mutex::new(Vec::new()));

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, line: &log::Record<'_>) {
        let line = (line.level(), line.target().to_owned(), line.args().to_string());
        if line.2.contains("slow to log") {
            thread::sleep(Duration::from_millis(50)); // a logger may take its time
        }
        self.0.lock().unwrap().retain(|listener| listener.send(line.clone()).is_ok());
    }

    fn flush(&self) {}
}

/// The log lines from now on: level, target, text.
fn log_lines() -> Receiver<(log::Level, String, String)> {
    let (sender, lines) = unbounded();
    LOGGER.0.lock().unwrap().push(sender);
    _ = log::set_logger(&LOGGER); // the first test installs it
    log::set_max_level(log::LevelFilter::Trace);
    lines
}

fn failures(error: &HostError) -> Vec<(&str, Phase)> {
    error.failures().iter().map(|failure| (failure.service(), failure.phase())).collect()
}

// 33
#[test]
fn a_panic_is_logged_when_it_happens_and_stop_is_still_called() {
    in_time(|| {
        let (mut host, gate, lines) = (Host::new(), Gate::new(), log_lines());
        let at_gate = gate.clone();
        let service = acts(move |phase, ctx| match phase {
            Phase::Run => {
                ctx.wait_until_started()?; // or it is the start that fails
                panic!("lava {}", 7)
            }
            Phase::Stop => at_gate.pass(ctx),
            _ => Ok(()),
        });
        host.add("volcano", service);
        host.start().unwrap();
        assert_eq!(gate.who(), "volcano");
        // It is in its stop: nobody has asked it to stop yet, let alone joined its thread.
        let told = lines.try_iter().filter(|line| line.2 == "service `volcano` panicked while running: lava 7");
        let told: Vec<_> = told.map(|(level, target, _)| (level, target)).collect();
        assert_eq!(told, [(log::Level::Error, "hosted::service".to_owned())]);
        gate.let_one_through();
        let error = host.stop(PATIENCE).unwrap_err();
        assert_eq!(failures(&error), [("volcano", Phase::Run)]);
        assert!(matches!(error.failures()[0].cause(), Cause::Panicked(text) if text == "lava 7"), "{error}");
    });
}

// 33
#[test]
fn a_second_panic_during_the_stop_changes_nothing_for_the_others() {
    in_time(|| {
        let (mut host, (tell, told)) = (Host::new(), unbounded());
        let other = tell.clone();
        host.add("a", during(Phase::Stop, move |_| Ok(tell.send("a")?)));
        let volcano = |phase, ctx: &Context| match phase {
            Phase::Start => Ok(()),
            _ => panic!("lava in {phase}: {:?}", ctx.wait_until_started()),
        };
        host.add("volcano", acts(volcano));
        host.add("z", during(Phase::Stop, move |_| Ok(other.send("z")?))).after(["a"]);
        let error = host.run_until(&StopToken::never()).unwrap_err();
        assert_eq!(failures(&error), [("volcano", Phase::Run), ("volcano", Phase::Stop)]);
        let [a, volcano, z] = &error.report().services[..] else { panic!("three services: {error}") };
        assert!(matches!((&a.outcome, &z.outcome), (Outcome::Stopped, Outcome::Stopped)), "{error}");
        assert!(matches!(&volcano.outcome, Outcome::Failed(first) if first.phase() == Phase::Run), "{error}");
        let mut stopped: Vec<_> = told.try_iter().collect();
        stopped.sort_unstable();
        assert_eq!(stopped, ["a", "z"]);
    });
}

// 33
#[test]
fn a_panic_in_a_stop_callback_is_logged_with_its_service_before_the_stop_returns() {
    in_time(|| {
        let (mut host, lines, (tell, registered)) = (Host::new(), log_lines(), bounded(0));
        let run = move |ctx: &Context| {
            let (over, called) = bounded::<()>(0);
            let _guard = ctx.on_stop(move || {
                let _over = over;
                panic!("slow to log")
            });
            tell.send(())?;
            _ = called.recv(); // the guard is there until the callback has run
            Ok(())
        };
        host.add("crater", worker(run));
        host.start().unwrap();
        registered.recv().unwrap();
        let error = host.stop(PATIENCE).unwrap_err();
        let text = "service `crater` panicked in a stop callback: slow to log";
        assert!(lines.try_iter().any(|line| (line.0, &*line.2) == (log::Level::Error, text)), "not logged yet");
        assert_eq!(failures(&error), [("crater", Phase::Callback)]);
        assert_eq!(error.failures()[0].to_string(), text);
    });
}

/// A panic's payload, or an error, that panics when it is dropped.
#[derive(Debug)]
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !thread::panicking() {
            panic!("bomb");
        }
    }
}

impl std::fmt::Display for Bomb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an error")
    }
}

impl std::error::Error for Bomb {}

// 33
#[test]
fn a_panic_that_says_nothing_or_panics_again_when_it_is_dropped_is_a_failure_like_any_other() {
    in_time(|| {
        let runs: [fn(&Context) -> Result; 2] = [|_| panic_any(7), |_| panic_any(Bomb)];
        for run in runs {
            let mut host = Host::new();
            host.add("a", during(Phase::Stop, |_| Ok(())));
            host.add("volcano", worker(run));
            let error = host.run_until(&StopToken::never()).unwrap_err();
            assert_eq!(failures(&error), [("volcano", Phase::Run)]);
            assert!(matches!(error.failures()[0].cause(), Cause::Panicked(_)), "{error}");
            assert!(matches!(error.report().services[0].outcome, Outcome::Stopped), "{error}");
        }
    });
}

// 33
#[test]
fn an_error_that_panics_when_it_is_dropped_does_not_end_its_service_in_silence() {
    in_time(|| {
        let mut host = Host::new();
        let restart = Restart::on_failure().backoff(Duration::ZERO..=Duration::ZERO);
        host.add("volcano", worker(|_| Err(Bomb.into()))).restart(restart);
        let error = host.run_until(&StopToken::never()).expect_err("the panic was lost");
        assert!(error.failures().iter().all(|failure| failure.service() == "volcano"), "{error}");
        std::mem::forget(error); // which is a bomb itself
        std::mem::forget(host);
    });
}
