//! Facts: functions of the user, which may be slow and may panic.

use crate::client::{get, json, started_with};
use crate::support::{LIMIT, eventually};
use hosted::{Outcome, StatusServer};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

fn pair(name: &str, value: impl ToString) -> Vec<(String, String)> {
    vec![(name.to_owned(), value.to_string())]
}

/// The facts at `index`, once they come without a problem.
fn current(address: SocketAddr, index: usize) -> serde_json::Value {
    eventually(|| {
        Some(json(address, "/status.json")["facts"][index].clone()).filter(|facts| facts["problem"].is_null())
    })
}

#[test]
fn facts_without_a_problem_are_those_of_the_moment_of_the_request() {
    let jobs = Arc::new(AtomicU64::new(0));
    let shown = jobs.clone();
    let server = StatusServer::bind("127.0.0.1:0")
        .facts("Totals <b>", move || pair("jobs & more", shown.load(Ordering::SeqCst)))
        .facts("Empty", Vec::new);
    let (mut host, address) = started_with(server, |_| {});
    for n in 1..=20 {
        jobs.store(n, Ordering::SeqCst);
        let values = serde_json::json!([{ "name": "jobs & more", "value": n.to_string() }]);
        let expected = serde_json::json!({ "title": "Totals <b>", "values": values, "problem": null });
        assert_eq!(current(address, 0), expected);
    }
    assert_eq!(current(address, 1), serde_json::json!({ "title": "Empty", "values": [], "problem": null }));
    let page = get(address, "/").body;
    let shows = |text| assert!(page.contains(text), "{page}");
    shows("<h2>Totals &lt;b&gt;</h2>");
    shows("<dt>jobs &amp; more</dt><dd>20</dd>");
    host.stop(LIMIT).unwrap();
}

#[test]
fn a_request_never_gets_the_facts_of_a_call_that_began_before_it() {
    let value = Arc::new(AtomicU64::new(1));
    let shown = value.clone();
    let (release, held) = mpsc::channel::<()>();
    let (entered, entering) = mpsc::channel::<u64>();
    let held = std::sync::Mutex::new(held);
    let server = StatusServer::bind("127.0.0.1:0").facts("Totals", move || {
        let value = shown.load(Ordering::SeqCst);
        entered.send(value).unwrap();
        if value == 1 {
            held.lock().unwrap().recv().unwrap();
        }
        pair("value", value)
    });
    let (mut host, address) = started_with(server, |_| {});
    let first = std::thread::spawn(move || get(address, "/status.json").status);
    assert_eq!(entering.recv_timeout(LIMIT).unwrap(), 1);
    value.store(2, Ordering::SeqCst);
    let second = std::thread::spawn(move || json(address, "/status.json")["facts"][0].clone());
    std::thread::sleep(Duration::from_millis(100)); // so that the second request comes while the first call runs
    release.send(()).unwrap();
    let facts = second.join().unwrap();
    assert!(facts["values"][0]["value"] == "2" || facts["problem"].is_string(), "{facts}");
    assert_eq!(first.join().unwrap(), 200);
    host.stop(LIMIT).unwrap();
}

#[test]
fn facts_that_panic_are_shown_as_such_reported_once_and_recover() {
    let is_broken = Arc::new(AtomicBool::new(false));
    let looked_at = is_broken.clone();
    let server = StatusServer::bind("127.0.0.1:0").facts("Totals", move || {
        assert!(!looked_at.load(Ordering::SeqCst), "the database is gone");
        pair("all", "well")
    });
    let (mut host, address) = started_with(server, |_| {});
    current(address, 0);
    is_broken.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        let facts = eventually(|| {
            let facts = json(address, "/status.json")["facts"][0].clone();
            facts["problem"].as_str()?.contains("panicked").then_some(facts)
        });
        let problem = facts["problem"].as_str().unwrap();
        assert!(problem.starts_with("the function panicked: the database is gone; the values are "), "{problem}");
        assert_eq!(facts["values"][0]["value"], "well");
    }
    is_broken.store(false, Ordering::SeqCst);
    current(address, 0);
    assert_eq!(json(address, "/status.json")["services"][0]["errors"], 1);
    host.stop(LIMIT).unwrap();
}

// 185
#[test]
fn facts_that_never_return_hold_up_neither_page_nor_probes() {
    let (release, held) = mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let running = Arc::new(AtomicU64::new(0));
    let counted = running.clone();
    let server = StatusServer::bind("127.0.0.1:0")
        .facts("Stuck", move || {
            assert_eq!(counted.fetch_add(1, Ordering::SeqCst), 0, "never two calls at a time");
            _ = held.lock().unwrap().recv();
            counted.fetch_sub(1, Ordering::SeqCst);
            pair("at", "last")
        })
        .facts("Well", || pair("all", "well"));
    let (mut host, address) = started_with(server, |_| {});
    for _ in 0..3 {
        let facts = json(address, "/status.json")["facts"].clone();
        assert!(facts[0]["problem"].as_str().unwrap().starts_with("no answer for "), "{facts}");
        assert_eq!(current(address, 1)["values"][0]["value"], "well");
        assert!(get(address, "/").body.contains("no answer for "));
        assert_eq!((get(address, "/livez").status, get(address, "/metrics").status), (200, 200));
    }
    release.send(()).unwrap();
    drop(release);
    eventually(|| json(address, "/status.json")["facts"][0]["problem"].is_null().then_some(()));
    host.stop(LIMIT).unwrap();
}

#[test]
fn a_stop_waits_for_facts_that_do_not_return_and_names_the_service() {
    let (release, held) = mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let server = StatusServer::bind("127.0.0.1:0").facts("Stuck", move || {
        _ = held.lock().unwrap().recv();
        Vec::new()
    });
    let (mut host, address) = started_with(server, |_| {});
    assert_eq!(get(address, "/").status, 200);
    let error = host.stop(Duration::from_secs(2)).unwrap_err();
    let status = &error.report().services[0];
    assert!(matches!(status.outcome, Outcome::Hung(_)), "{error}");
    assert!(host.handle().services()[0].last_error.as_ref().unwrap().contains("`Stuck`"));
    drop(release);
    host.stop(LIMIT).unwrap();
}
