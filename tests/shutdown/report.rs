//! Guarantee 58: the report has every service in order, with durations, and its timeline shows how long each service
//! took.

use crate::support::{LIMIT, idle, unresponsive};
use crossbeam_channel::{Receiver, bounded, unbounded};
use hosted::{Context, Event, EventKind, Host, Outcome, Report, Restart, Result, Service, StopReason, task, worker};
use std::time::{Duration, Instant};

const A_WHILE: Duration = Duration::from_millis(30);

/// Takes its time to start and to stop.
struct Slow;

impl Service for Slow {
    fn start(&mut self, _: &Context) -> Result {
        std::thread::sleep(A_WHILE);
        Ok(())
    }

    fn stop(&mut self, _: &Context) -> Result {
        std::thread::sleep(A_WHILE);
        Ok(())
    }
}

/// Waits until one service has completed and its thread has exited.
fn wait_for_completed(events: &Receiver<Event>) {
    let until = Instant::now() + LIMIT;
    while !matches!(events.recv_deadline(until).expect("one completes").kind, EventKind::Completed) {}
}

fn names(report: &Report) -> Vec<&str> {
    report.services.iter().map(|service| &*service.name).collect()
}

/// Replaces every time by `T` and every bar by `[--]`, and removes the threads, so that the text is the same on any
/// machine.
fn shape(text: &str) -> String {
    let line = |line: &str| {
        let line = line.split("  thread").next().unwrap_or_default();
        let parts: Vec<&str> = line.split('|').collect();
        let line = if let [before, _, after] = parts[..] { format!("{before}[--]{after}") } else { line.to_owned() };
        let mut words: Vec<String> = Vec::new();
        for word in line.trim_end().split(' ') {
            let is_unit = ["s", "ms", "µs"].contains(&word.trim_end_matches(':'));
            match words.last_mut().filter(|last| is_unit && last.parse::<f64>().is_ok()) {
                Some(last) => *last = if word.ends_with(':') { "T:".to_owned() } else { "T".to_owned() },
                None => words.push(word.to_owned()),
            }
        }
        words.join(" ")
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Returns the bars of the timeline, top down: the first and the last of 40 columns.
fn bars(report: &Report) -> Vec<(usize, usize)> {
    let text = report.to_string();
    let bars = text.lines().filter_map(|line| line.split('|').nth(1));
    let bars = bars.map(|bar| {
        let (begin, end) = (bar.find('#').expect("at least one mark"), bar.rfind('#').unwrap() + 1);
        assert_eq!(bar.len(), 40, "{text}");
        assert!(bar[begin..end].bytes().all(|mark| mark == b'#'), "{text}");
        (begin, end)
    });
    bars.collect()
}

// 58
#[test]
fn a_report_has_every_service_in_order_of_registration_with_durations() {
    let mut host = Host::new();
    host.add("db", Slow);
    host.add("cache", idle());
    host.add("web", Slow).after(["db"]);
    let began = Instant::now();
    host.start().unwrap();
    let start_took = began.elapsed();
    let began = Instant::now();
    let report = host.stop(LIMIT).unwrap();
    let took = began.elapsed();

    assert_eq!(names(&report), ["db", "cache", "web"]);
    assert!(report.services.iter().all(|service| matches!(service.outcome, Outcome::Stopped)), "{report}");
    let [db, cache, web] = &report.services[..] else { panic!("three: {report}") };
    for slow in [db, web] {
        assert!(slow.start_took >= A_WHILE && slow.start_took <= start_took, "{:?}", slow.start_took);
        assert!(slow.stop_took >= A_WHILE && slow.stop_took <= report.took, "{report}");
    }
    assert!(db.start_took + web.start_took <= start_took, "the services start one after the other");
    assert!(db.stop_took + web.stop_took <= report.took && report.took <= took, "{report} in {took:?}");
    assert!(cache.start_took > Duration::ZERO && cache.stop_took > Duration::ZERO);
    assert_eq!(
        (report.reason.clone(), db.restarts, db.errors, db.stop_timed_out),
        (StopReason::Requested, 0, 0, false)
    );
}

// 58
#[test]
fn a_report_of_a_failed_start_has_every_service_too() {
    let mut host = Host::new();
    host.add("db", Slow);
    host.add("schema", task(|_| Ok(())));
    let events = host.events();
    let cache = move |_: &Context| {
        wait_for_completed(&events);
        Err("no memory".into())
    };
    host.add("cache", task(cache));
    host.add("web", idle());
    let error = host.start().unwrap_err();
    let report = error.report();
    assert_eq!(names(report), ["db", "schema", "cache", "web"]);
    assert_eq!(report.reason, StopReason::Failed("cache".into()));
    let [db, schema, cache, web] = &report.services[..] else { panic!("four: {report}") };
    assert!(matches!(db.outcome, Outcome::Stopped) && matches!(schema.outcome, Outcome::Completed), "{report}");
    assert!(matches!(&cache.outcome, Outcome::Failed(failure) if failure.service() == "cache"), "{report}");
    assert!(matches!(web.outcome, Outcome::NeverStarted), "{report}");
    assert!(db.stop_took >= A_WHILE && report.took >= db.stop_took, "{report}");
    assert!(cache.start_took.is_zero() && web.start_took.is_zero(), "neither service was ever ready");
    assert!(web.stop_took.is_zero(), "it received no stop request: {report}");
    assert!(schema.start_took > Duration::ZERO && schema.stop_took.is_zero(), "it had completed before the stop");
    // The failed service may have exited before its stop request, or not.
    let picture = shape(&error.to_string()).replace("failed         [--] T  errors", "failed         errors");
    assert_eq!(picture, FAILED_START);
}

const FAILED_START: &str = "\
service `cache` failed while starting: no memory
stopped in T: service `cache` failed
  db      stopped        [--] T
  schema  completed
  cache   failed         errors: 1
  web     never started";

// 58
#[test]
fn a_report_of_an_invalid_set_up_has_every_service_too() {
    let mut host = Host::new();
    host.add("db", Slow);
    host.add("web", idle());
    host.add("web", idle());
    let error = host.start().unwrap_err();
    assert_eq!(names(error.report()), ["db", "web", "web"]);
    assert!(error.report().services.iter().all(|service| matches!(service.outcome, Outcome::NeverStarted)));
}

// 58
#[test]
fn a_report_counts_restarts_and_errors() {
    let mut host = Host::new();
    let (ready, is_ready) = bounded(1);
    let run = move |ctx: &Context| {
        if ctx.restarts() < 2 {
            return Err("not yet".into());
        }
        ctx.report_error("a hiccup");
        ready.send(())?;
        ctx.wait();
        Err("and again at the end".into())
    };
    let restart = Restart::on_failure().backoff(Duration::from_millis(1)..=Duration::from_millis(1));
    host.add("flaky", worker(run)).restart(restart);
    host.start().unwrap();
    is_ready.recv_timeout(LIMIT).unwrap();
    let error = host.stop(LIMIT).unwrap_err();
    let flaky = &error.report().services[0];
    assert_eq!((flaky.restarts, flaky.errors), (2, 4), "{error}");
    assert!(error.report().to_string().ends_with("restarts: 2  errors: 4"), "{error}");
}

// 58
#[test]
fn the_timeline_has_a_line_with_the_outcome_of_every_service() {
    let (hung, release) = unresponsive();
    let mut host = Host::new();
    let events = host.events();
    host.add("database", idle());
    host.add("schema", task(|_| Ok(())));
    host.add("importer", hung).stop_timeout(Duration::ZERO);
    host.add("web", worker(|ctx| ctx.sleep(LIMIT).map_err(|_| "half a page".into())));
    host.start().unwrap();
    wait_for_completed(&events);
    let error = host.stop(Duration::from_secs(1)).unwrap_err();
    let text = error.report().to_string();
    assert_eq!(shape(&text), PICTURE);
    assert!(text.contains("stop timed out  thread importer") && text.contains("still in `run` after"), "{text}");
    drop(release);
    host.stop(LIMIT).unwrap_err();
}

const PICTURE: &str = "\
stopped in T: a stop was requested
  database  stopped        [--] T
  schema    completed
  importer  hung           [--] T  stop timed out
  web       failed         [--] T  errors: 1";

// 58
#[test]
fn the_bars_of_the_timeline_show_each_stop_request_and_duration() {
    let mut host = Host::new();
    host.add("a", idle());
    host.add("b", Slow);
    host.add("c", idle());
    host.add("d", Slow);
    host.start().unwrap();
    let report = host.stop(LIMIT).unwrap();
    let bars = bars(&report);
    assert_eq!(bars.len(), 4);
    for ((begin, end), service) in bars.iter().zip(&report.services) {
        let marks = 40.0 * service.stop_took.as_secs_f64() / report.took.as_secs_f64();
        assert!(((end - begin) as f64 - marks).abs() <= 1.01, "{} has {marks} marks in\n{report}", service.name);
    }
    let (mut begins, mut ends): (Vec<_>, Vec<_>) = bars.into_iter().unzip();
    begins.reverse();
    ends.reverse();
    assert!(begins.is_sorted() && ends.is_sorted(), "the last service receives its request first:\n{report}");
}

// 58
#[test]
fn a_name_of_any_letters_keeps_the_timeline_aligned_and_forges_no_line() {
    let mut host = Host::new();
    host.add("größe", idle());
    host.add("x\n  forged  stopped", idle());
    host.start().unwrap();
    let text = host.stop(LIMIT).unwrap().to_string();
    assert_eq!(text.lines().count(), 3, "{text}");
    let column = |line: &str| line.chars().position(|letter| letter == '|');
    let columns: Vec<_> = text.lines().skip(1).map(column).collect();
    assert!(columns[0].is_some() && columns[0] == columns[1], "{text}");
}

// 58
#[test]
fn a_service_exceeds_its_stop_timeout_only_if_its_dependencies_stopped_meanwhile() {
    let (slow, release) = unresponsive();
    let (other, other_release) = unresponsive();
    let (requested, is_requested) = unbounded();
    let first = worker(move |ctx| {
        ctx.wait();
        requested.send(())?;
        Ok(())
    });
    let mut host = Host::new();
    host.add("first", first);
    host.add("slow", slow).stop_timeout(Duration::from_millis(20));
    host.add("alone", other).after::<&str>([]).stop_timeout(Duration::from_millis(20)); // no service depends on it
    host.start().unwrap();
    let releaser = std::thread::spawn(move || {
        is_requested.recv_timeout(LIMIT).unwrap();
        drop((release, other_release));
    });
    let report = host.stop(LIMIT).unwrap();
    releaser.join().unwrap();
    let timed_out: Vec<bool> = report.services.iter().map(|service| service.stop_timed_out).collect();
    assert_eq!(timed_out, [false, true, false], "{report}");
}
