//! Names and messages from outside cannot forge a log line or control a terminal: the library escapes their control
//! characters wherever it writes them.

use crate::support::log::{Line, listen};
use crate::support::{Gate, LIMIT, by_phase, idle_phase, in_time};
use crossbeam_channel::{Receiver, bounded, unbounded};
use hosted::{Context, EventKind, Host, OnFailure, Phase, Queue, Restart, StopSource, StopToken, every, task, worker};
use std::error::Error;
use std::thread;
use std::time::Duration;

/// An attacker's name or message: it adds a line to the log and clears the screen.
const EVIL: &str = "x\n[ERROR] forged\r\u{1b}[2J\u{85}y";

fn evil(name: &str) -> String {
    format!("{name} {EVIL}")
}

/// Returns `true` if the text is one line without characters that control a terminal.
fn assert_plain(line: &str) {
    assert!(!line.chars().any(char::is_control), "not plain: {line:?}");
}

/// Asserts that every log line with one of `ours` is harmless, and that there is one for each.
fn assert_all_plain(lines: &Receiver<Line>, ours: &[&str]) {
    let lines: Vec<String> = lines.try_iter().map(|line| line.text).collect();
    for ours in ours {
        let lines: Vec<&String> = lines.iter().filter(|line| line.contains(ours)).collect();
        assert!(!lines.is_empty(), "`{ours}` was not logged");
        lines.into_iter().for_each(|line| assert_plain(line));
    }
}

/// Returns `true` if the text has no more lines than it should, and no characters that control a terminal.
fn assert_no_line_is_forged(text: &str) {
    text.lines().for_each(assert_plain);
    assert!(!text.lines().any(|line| line.starts_with("[ERROR]")), "forged: {text}");
}

#[test]
fn errors_panics_and_reports_forge_no_line_in_the_log_the_events_or_the_host_error() {
    in_time(|| {
        let (lines, mut host) = (listen(), Host::new());
        let events = host.events();
        let none = Duration::ZERO..=Duration::ZERO;
        let fails = |ctx: &Context| {
            ctx.report_error(evil("hiccup"));
            Err(evil("error").into())
        };
        host.add(evil("completes"), task(|_| Ok(())));
        host.add(evil("panics"), worker(|_| panic!("{}", evil("panic")))).on_failure(OnFailure::Ignore);
        host.add(evil("fails"), worker(fails)).restart(Restart::on_failure().backoff(none).give_up_after(1));
        let error = host.run_until(&StopToken::never()).unwrap_err();
        assert_no_line_is_forged(&error.to_string());
        assert_no_line_is_forged(&error.report().to_string());
        error.failures().iter().for_each(|failure| assert_plain(&failure.to_string()));
        events.try_iter().for_each(|event| assert_plain(&event.to_string()));
        assert_plain(&error.report().reason.to_string());
        assert_all_plain(&lines, &["hiccup x", "error x", "panic x", "fails x", "panics x", "completes x"]);
    });
}

#[test]
fn set_up_errors_forge_no_line() {
    let fills: [fn(&mut Host); 4] = [
        |host| _ = host.add(evil("twin"), worker(|_| Ok(()))),
        |host| _ = host.add("asker", worker(|_| Ok(()))).after([evil("nobody")]),
        |host| _ = host.add(evil("nul\0"), worker(|_| Ok(()))),
        |host| _ = host.add(evil("tick"), every(Duration::ZERO, |_| Ok(()))),
    ];
    for fill in fills {
        let mut host = Host::new();
        host.add(evil("twin"), worker(|_| Ok(())));
        fill(&mut host);
        let error = host.start().unwrap_err();
        assert_plain(&error.to_string());
        assert_plain(&error.source().unwrap().to_string());
    }
    let (lines, mut host) = (listen(), Host::new());
    host.start().unwrap();
    host.add(evil("late"), worker(|_| Ok(())));
    assert_plain(&host.start().unwrap_err().to_string());
    assert_all_plain(&lines, &["late x"]);
}

#[test]
fn stop_callbacks_that_panic_forge_no_line_in_the_log() {
    in_time(|| {
        struct PanicsInDrop;
        impl Drop for PanicsInDrop {
            fn drop(&mut self) {
                panic!("{}", evil("dropped"));
            }
        }
        let (lines, stop) = (listen(), StopSource::new());
        let bomb = PanicsInDrop;
        drop(stop.token().on_stop(move || drop(bomb)));
        let _guard = stop.token().on_stop(|| panic!("{}", evil("callback")));
        stop.request_stop();
        drop(stop.token().on_stop(|| panic!("{}", evil("too late"))));
        let (mut host, (sender, registered)) = (Host::new(), bounded(0));
        let run = move |ctx: &Context| {
            let (over, called) = bounded::<()>(0);
            let _guard = ctx.on_stop(move || {
                let _over = over;
                panic!("{}", evil("service's callback"))
            });
            sender.send(())?;
            _ = called.recv();
            Ok(())
        };
        host.add("a", worker(run));
        host.start().unwrap();
        registered.recv().unwrap();
        let error = host.stop(LIMIT).unwrap_err();
        assert_plain(&error.failures()[0].to_string());
        assert_all_plain(&lines, &["dropped x", "callback x", "too late x", "service's callback x"]);
    });
}

#[test]
fn ticks_and_jobs_forge_no_line_in_the_log() {
    in_time(|| {
        let (lines, mut host, queue) = (listen(), Host::new(), Queue::bounded(2));
        let (sender, receiver) = unbounded();
        let done = sender.clone();
        let job = move |text: String, _: &Context| {
            sender.send(())?;
            Err(text.into())
        };
        host.add(evil("eater"), queue.consumer(job));
        let tick = move |_: &Context| {
            done.send(())?;
            panic!("{}", evil("tick"))
        };
        host.add(evil("ticker"), every(Duration::from_secs(3600), tick).immediately());
        host.start().unwrap();
        queue.push(evil("job")).unwrap();
        (0..2).for_each(|_| receiver.recv().unwrap());
        host.stop(LIMIT).unwrap();
        assert_all_plain(&lines, &["eater x", "ticker x", "job x", "tick x"]);
    });
}

#[test]
fn slow_and_hung_services_forge_no_line() {
    in_time(|| {
        let (lines, mut host, gate) = (listen(), Host::new(), Gate::new());
        let (events, at_gate) = (host.events(), gate.clone());
        let wait_for = |wanted: fn(&EventKind) -> bool| {
            let event = events.iter().find(|event| wanted(&event.kind)).unwrap();
            assert_plain(&event.to_string());
            assert!(event.to_string().contains("slow x"), "{event}");
        };
        host.add("first", worker(|ctx| Ok(ctx.sleep(Duration::MAX)?)));
        let slow =
            by_phase(move |phase, ctx| if phase == Phase::Run { idle_phase(phase, ctx) } else { at_gate.pass(ctx) });
        host.add(evil("slow"), slow).stop_timeout(Duration::ZERO); // so that it exceeds its stop timeout
        let starter = thread::spawn(move || host.start().map(|()| host));
        wait_for(|kind| matches!(kind, EventKind::StillStarting { .. }));
        gate.let_one_through();
        let mut host = starter.join().unwrap().unwrap();
        let stopper = thread::spawn(move || (host.stop(Duration::from_secs(2)), host));
        wait_for(|kind| matches!(kind, EventKind::StopTimedOut { .. }));
        wait_for(|kind| matches!(kind, EventKind::StillStopping { .. }));
        wait_for(|kind| matches!(kind, EventKind::Hung(_)));
        let (stopped, mut host) = stopper.join().unwrap();
        let error = stopped.unwrap_err();
        assert_no_line_is_forged(&error.to_string());
        host.handle().services().iter().for_each(|service| assert_plain(service.blocked_in.as_deref().unwrap_or("")));
        assert_all_plain(&lines, &["slow x"]);
        gate.let_one_through();
        host.stop(LIMIT).unwrap();
    });
}
