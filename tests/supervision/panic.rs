//! Guarantee 33: a panic in a service.

use crate::support::log::{Level, listen, on_line};
use crate::support::{Gate, LIMIT, by_phase, failures, in_phase, in_time};
use crossbeam_channel::{bounded, unbounded};
use hosted::{Cause, Context, Host, Outcome, Phase, Restart, Result, StopToken, worker};
use std::panic::panic_any;
use std::thread;
use std::time::Duration;

// 33
#[test]
fn a_panic_is_logged_when_it_happens_and_stop_is_still_called() {
    in_time(|| {
        let (mut host, gate, lines) = (Host::new(), Gate::new(), listen());
        let at_gate = gate.clone();
        let service = by_phase(move |phase, ctx| match phase {
            Phase::Run => {
                ctx.wait_until_started()?; // otherwise the start fails
                panic!("lava {}", 7)
            }
            Phase::Stop => at_gate.pass(ctx),
            _ => Ok(()),
        });
        host.add("volcano", service);
        host.start().unwrap();
        assert_eq!(gate.arrival(), "volcano");
        // The service is in its `stop`. It has received no stop request yet, and its thread is not joined.
        let panics = lines.try_iter().filter(|line| line.text == "service `volcano` panicked while running: lava 7");
        let logged: Vec<_> = panics.map(|line| (line.level, line.target)).collect();
        assert_eq!(logged, [(Level::Error, "hosted::service".to_owned())]);
        gate.let_one_through();
        let error = host.stop(LIMIT).unwrap_err();
        assert_eq!(failures(&error), [("volcano", Phase::Run)]);
        assert!(matches!(error.failures()[0].cause(), Cause::Panicked(text) if text == "lava 7"), "{error}");
    });
}

// 33
#[test]
fn a_second_panic_in_stop_affects_no_other_service() {
    in_time(|| {
        let (mut host, (sender, receiver)) = (Host::new(), unbounded());
        let other = sender.clone();
        host.add("a", in_phase(Phase::Stop, move |_| Ok(sender.send("a")?)));
        let volcano = |phase, ctx: &Context| match phase {
            Phase::Start => Ok(()),
            _ => panic!("lava in {phase}: {:?}", ctx.wait_until_started()),
        };
        host.add("volcano", by_phase(volcano));
        host.add("z", in_phase(Phase::Stop, move |_| Ok(other.send("z")?))).after(["a"]);
        let error = host.run_until(&StopToken::never()).unwrap_err();
        assert_eq!(failures(&error), [("volcano", Phase::Run), ("volcano", Phase::Stop)]);
        let [a, volcano, z] = &error.report().services[..] else { panic!("three services: {error}") };
        assert!(matches!((&a.outcome, &z.outcome), (Outcome::Stopped, Outcome::Stopped)), "{error}");
        assert!(matches!(&volcano.outcome, Outcome::Failed(first) if first.phase() == Phase::Run), "{error}");
        let mut stopped: Vec<_> = receiver.try_iter().collect();
        stopped.sort_unstable();
        assert_eq!(stopped, ["a", "z"]);
    });
}

// 33
#[test]
fn a_panic_in_a_stop_callback_is_logged_with_its_service_before_the_stop_returns() {
    in_time(|| {
        on_line(|line| {
            if line.text.contains("slow to log") {
                thread::sleep(Duration::from_millis(50)); // a logger may take its time
            }
        });
        let (mut host, lines, (sender, registered)) = (Host::new(), listen(), bounded(0));
        let run = move |ctx: &Context| {
            let (over, called) = bounded::<()>(0);
            let _guard = ctx.on_stop(move || {
                let _over = over;
                panic!("slow to log")
            });
            sender.send(())?;
            _ = called.recv(); // the guard lives until the callback has run
            Ok(())
        };
        host.add("crater", worker(run));
        host.start().unwrap();
        registered.recv().unwrap();
        let error = host.stop(LIMIT).unwrap_err();
        let text = "service `crater` panicked in a stop callback: slow to log";
        assert!(lines.try_iter().any(|line| (line.level, &*line.text) == (Level::Error, text)), "not logged yet");
        assert_eq!(failures(&error), [("crater", Phase::Callback)]);
        assert_eq!(error.failures()[0].to_string(), text);
    });
}

/// A panic payload or an error that panics when it is dropped.
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
fn a_panic_without_text_or_with_a_payload_that_panics_in_drop_is_a_failure() {
    in_time(|| {
        let runs: [fn(&Context) -> Result; 2] = [|_| panic_any(7), |_| panic_any(Bomb)];
        for run in runs {
            let mut host = Host::new();
            host.add("a", in_phase(Phase::Stop, |_| Ok(())));
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
fn an_error_whose_drop_panics_does_not_end_its_service_silently() {
    in_time(|| {
        let mut host = Host::new();
        let restart = Restart::on_failure().backoff(Duration::ZERO..=Duration::ZERO);
        host.add("volcano", worker(|_| Err(Bomb.into()))).restart(restart);
        let error = host.run_until(&StopToken::never()).expect_err("the panic was lost");
        assert!(error.failures().iter().all(|failure| failure.service() == "volcano"), "{error}");
        std::mem::forget(error); // the error panics when it is dropped
        std::mem::forget(host);
    });
}
