//! The server as a service: where it listens, what it logs, its threads, its restart.

use crate::client::{connect, get, started, started_with};
use crate::support::log::{self, Level};
use crate::support::{LIMIT, eventually, idle, in_time};
use hosted::{Context, Host, Service, StatusServer, StopSource};
use std::net::TcpListener;

#[test]
fn the_log_and_the_address_tell_which_port_was_picked() {
    let log = log::record();
    let server = StatusServer::bind("127.0.0.1:0");
    let address = server.local_addr();
    assert_eq!(address.get(), None);
    let mut host = Host::new();
    host.add("picked", server);
    host.start().unwrap();
    let port = address.get().unwrap().port();
    assert_ne!(port, 0);
    let text = format!("service `picked` answers on http://127.0.0.1:{port}/");
    let lines = log.containing("`picked` answers");
    assert_eq!(lines.iter().map(|line| (line.level, &*line.text)).collect::<Vec<_>>(), [(Level::Info, &*text)]);
    host.stop(LIMIT).unwrap();
    assert_eq!(address.get().unwrap().port(), port);
}

#[test]
fn a_server_that_was_not_added_first_warns() {
    let log = log::record();
    let mut host = Host::new();
    host.add("before", idle());
    host.add("second", StatusServer::bind("127.0.0.1:0"));
    host.start().unwrap();
    let warnings = log.containing("`second` was not added first");
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].level == Level::Warn && warnings[0].text.ends_with("; add it first"), "{warnings:?}");
    host.stop(LIMIT).unwrap();
}

#[test]
fn an_address_that_is_bad_or_taken_is_an_error_of_start_that_quotes_it() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let held = holder.local_addr().unwrap().to_string();
    for address in ["nonsense", "", "127.0.0.1", "127.0.0.1:99999", ":9090\n", "192.0.2.1:0", &held] {
        let mut host = Host::new();
        host.add("status", StatusServer::bind(address));
        let error = host.start().unwrap_err();
        let quoted = format!("cannot listen on `{}`: ", address.escape_debug());
        assert!(error.failures()[0].to_string().contains(&quoted), "{error}");
    }
}

#[test]
fn waiting_for_the_address_ends_when_it_is_known_or_never_will_be() {
    let server = StatusServer::bind("127.0.0.1:0");
    let address = server.local_addr();
    let (waiting, known) = (address.clone(), address.clone());
    let waiter = std::thread::spawn(move || waiting.wait());
    let (mut host, _) = started_with(server, |_| {});
    assert_eq!(in_time(move || waiter.join().unwrap()), known.get());
    host.stop(LIMIT).unwrap();

    let dropped = StatusServer::bind("127.0.0.1:0");
    let address = dropped.local_addr();
    let waiter = std::thread::spawn(move || address.wait());
    drop(dropped);
    assert_eq!(in_time(move || waiter.join().unwrap()), None);
}

#[test]
fn a_restarted_server_listens_on_the_same_port() {
    let mut server = StatusServer::bind("127.0.0.1:0");
    let address = server.local_addr();
    let mut ports = Vec::new();
    for _ in 0..3 {
        let stop = StopSource::new();
        let ctx = Context::new("again", stop.token());
        server.start(&ctx).unwrap();
        let thread = std::thread::spawn(move || {
            server.run(&ctx).unwrap();
            server
        });
        ports.push(address.get().unwrap().port());
        assert_eq!(get(address.get().unwrap(), "/livez").status, 200);
        stop.request_stop();
        server = thread.join().unwrap();
    }
    assert!(ports.iter().all(|port| *port == ports[0]), "{ports:?}");
}

/// The kernel's names of the threads of this process that begin with `begin`.
#[cfg(target_os = "linux")]
fn threads(begin: &str) -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.map(|name| name.trim_end().to_owned()).filter(|name| name.starts_with(begin)).collect()
}

// 183
#[cfg(target_os = "linux")]
#[test]
fn each_connection_has_a_named_thread_and_none_is_left_after_the_stop() {
    let server = StatusServer::bind("127.0.0.1:0");
    let address = server.local_addr();
    let mut host = Host::new();
    host.add("nm", server);
    host.start().unwrap();
    let clients: Vec<_> = (0..3).map(|_| connect(address.get().unwrap())).collect();
    eventually(|| (threads("nm:127.0.0.").len() == 3).then_some(()));
    assert_eq!(threads("nm:events").len(), 1);
    host.stop(LIMIT).unwrap();
    assert_eq!(threads("nm"), [""; 0]);
    drop(clients);
}

#[test]
fn a_host_with_an_idle_server_stops_and_frees_its_port() {
    let (mut host, address) = started(|_| {});
    host.stop(LIMIT).unwrap();
    TcpListener::bind(address).unwrap();
}
