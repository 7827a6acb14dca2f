//! Stalled services: the monitor against services that show life, fail or stop, and the end of the host.

use super::probe::{Act, Probe};
use super::stage::{Stage, spawn};
use crate::models::explore::explore;
use crate::report::{Event, EventKind, Health};
use crate::sync::{Condvar, Mutex, wait};
use crate::{Context, Restart};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// As short as the shortest time between two looks: one look that comes too early for the service finds it stalled.
const LIMIT: Duration = Duration::from_millis(1);

/// A wait that the library does not know: it is no sign of life.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn pass(&self) {
        let mut open = self.0.0.lock();
        while !*open {
            wait(&self.0.1, &mut open, None);
        }
    }

    fn open(&self) {
        *self.0.0.lock() = true;
        self.0.1.notify_all();
    }
}

/// Each stall of `service` is followed by its recovery or by the end of its run, and a recovery follows a stall. Returns the
/// number of stalls.
fn stalls(events: &[Event], service: &str) -> usize {
    let (mut stalls, mut is_stalled) = (0, false);
    for event in events.iter().filter(|event| event.service.as_deref() == Some(service)) {
        match event.kind {
            EventKind::Stalled(_) => {
                assert!(!is_stalled, "stalled twice");
                (stalls, is_stalled) = (stalls + 1, true);
            }
            EventKind::Recovered => assert!(std::mem::take(&mut is_stalled), "recovered without a stall"),
            EventKind::Restarting { .. } | EventKind::Completed | EventKind::Failed(_) | EventKind::Stopped => {
                is_stalled = false;
            }
            _ => {}
        }
    }
    assert!(!is_stalled, "neither recovered nor ended");
    stalls
}

/// Runs the model, in which a service stalls in some schedules and in others not.
fn explore_stalls(model: impl Fn() -> usize + Send + Sync + 'static) {
    let counts = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let counted = counts.clone();
    explore(move || _ = counted[model().min(1)].fetch_add(1, Relaxed));
    let [without, with] = [0, 1].map(|place| counts[place].load(Relaxed));
    // A short run may have schedules of one kind only.
    let is_short = without + with < 6_000;
    assert!(is_short || without > 0 && with > 0, "{without} schedules without a stall, {with} with");
}

#[test]
fn a_monitor_ends_with_its_host_whenever_its_services_come_and_go() {
    explore(|| {
        let mut stage = Stage::still();
        stage.add("a", &[], Probe::new()).stalls_after(LIMIT);
        stage.add("b", &[], Probe::new().run(Act::Return)).stalls_after(LIMIT);
        // Without an alarm, its sleep would never end, and neither would the stop, which joins it.
        let result = stage.start_and_stop();
        assert!(result.is_ok());
        stage.check(&result);
    });
}

#[test]
fn a_service_that_is_late_stalls_and_recovers_or_stops() {
    explore_stalls(|| {
        let mut stage = Stage::running();
        let gate = Gate::default();
        let at_gate = gate.clone();
        let run = move |ctx: &Context| {
            at_gate.pass();
            Ok(ctx.wait())
        };
        stage.add("a", &[], Probe::new().run(Act::calling(run))).stalls_after(LIMIT);
        stage.host.start().unwrap();
        (0..20).for_each(|_| shuttle::thread::yield_now()); // else it is rarely late before its stop request
        let opener = spawn("opener", move || gate.open());
        let result = stage.stop();
        opener.join().unwrap();
        assert!(result.is_ok() && stage.host.handle().is_live());
        let events: Vec<Event> = stage.events.try_iter().collect();
        stalls(&events, "a")
    });
}

#[test]
fn a_host_is_live_again_after_the_first_sign_of_life() {
    explore_stalls(|| {
        let mut stage = Stage::running();
        let gate = Gate::default();
        let at_gate = gate.clone();
        let run = move |ctx: &Context| {
            at_gate.pass();
            ctx.heartbeat();
            Ok(ctx.wait())
        };
        stage.add("a", &[], Probe::new().run(Act::calling(run))).stalls_after(LIMIT);
        stage.host.start().unwrap();
        (0..20).for_each(|_| shuttle::thread::yield_now()); // else the service is rarely late
        gate.open();
        let handle = stage.host.handle();
        let mut events = Vec::new();
        loop {
            events.extend(stage.events.try_iter());
            let is_waiting =
                handle.registry().stall_watch(crate::registry::ServiceId::new(0)).unwrap().pulse.signs().is_at_rest();
            if is_waiting && handle.is_live() {
                break; // a stall that nobody ends would be a schedule without an end
            }
            shuttle::thread::yield_now();
        }
        // It is inside a wait of the library from here on, so the monitor may look as often as it likes.
        (0..10).for_each(|_| shuttle::thread::yield_now());
        assert!(handle.is_live() && handle.is_ready());
        stage.stop().unwrap();
        events.extend(stage.events.try_iter());
        stalls(&events, "a")
    });
}

#[test]
fn each_run_is_watched_and_its_stall_ends_with_it() {
    explore_stalls(|| {
        let mut stage = Stage::running();
        let gate = Gate::default();
        let at_gate = gate.clone();
        let run = move |ctx: &Context| {
            if ctx.restarts() == 0 {
                at_gate.pass();
                return Err("broken".into());
            }
            Ok(())
        };
        let restart = Restart::on_failure().backoff(Duration::ZERO..=Duration::ZERO);
        stage.add("a", &[], Probe::new().run(Act::calling(run))).stalls_after(LIMIT).restart(restart);
        stage.host.start().unwrap();
        let opener = spawn("opener", move || gate.open());
        stage.host.wait(); // it completes in its second run
        let handle = stage.host.handle();
        assert!(handle.is_live() && handle.services()[0].health == Health::Healthy);
        let result = stage.stop();
        opener.join().unwrap();
        assert!(result.is_ok());
        let events: Vec<Event> = stage.events.try_iter().collect();
        stalls(&events, "a")
    });
}
