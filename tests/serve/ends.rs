//! The stop of a server, and what goes wrong with its listener.

use crate::support::log;
use crate::support::sockets::tcp;
use crate::support::{LIMIT, MS};
use crate::{echo, echoing, names, read_line};
use crossbeam_channel::{bounded, unbounded};
use hosted::{Cause, Host, ListenerError, OnFailure, Outcome, Phase, Restart, ServiceState, group, serve};
use std::net::{Shutdown, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;

// 136
#[test]
fn a_stop_ends_the_accepting_and_then_every_connection() {
    let listener = Arc::new(tcp());
    let address = listener.local_addr().unwrap();
    let mut host = Host::new();
    host.add("echo", serve(listener.clone(), echo));
    host.start().unwrap();
    let clients: Vec<_> = (0..20).map(|_| echoing(address)).collect();
    let report = host.stop(LIMIT).unwrap();
    assert_eq!(report.services.len(), 21, "{report}");
    assert!(report.services.iter().all(|row| matches!(row.outcome, Outcome::Stopped)), "{report}");
    clients.iter().for_each(|client| assert_eq!(read_line(client), ""));
    let late = TcpStream::connect(address).unwrap(); // it waits in the backlog, for another server
    let mut host = Host::new();
    host.add("echo", serve(listener, echo));
    host.start().unwrap();
    assert_eq!(crate::answer(&late, "at last"), "at last");
    host.stop(LIMIT).unwrap();
}

// 136
#[test]
fn a_hung_connection_is_named_with_its_client() {
    let (log, listener) = (log::record(), tcp());
    let address = listener.local_addr().unwrap();
    let (release, held) = bounded::<()>(0);
    let mut host = Host::new();
    host.add("hanging", serve(listener, move |_client, _| Ok(_ = held.recv())));
    host.start().unwrap();
    let client = TcpStream::connect(address).unwrap();
    let name = format!("hanging/{}", client.local_addr().unwrap());
    while names(&host).len() < 2 {
        std::thread::yield_now();
    }
    let error = host.stop(300 * MS).unwrap_err();
    let row = &error.report().services[1];
    assert_eq!(*row.name, *name);
    assert!(matches!(&row.outcome, Outcome::Hung(blocked) if blocked.phase == Phase::Run), "{error}");
    assert_eq!(log.containing(&format!("service `{name}` did not stop: thread {name}")).len(), 1);
    drop(release);
    host.stop(LIMIT).unwrap();
}

// 134
#[cfg(feature = "disconnect")]
#[test]
fn a_connection_that_hangs_in_a_read_is_disconnected_alone() {
    use std::io::Read;
    let listener = tcp();
    let address = listener.local_addr().unwrap();
    let mut host = Host::new();
    let read = |mut client: TcpStream, _: &hosted::Context| {
        assert_eq!(client.read(&mut [0])?, 0, "nothing comes, and nothing interrupts the read");
        Ok(())
    };
    host.add("reader", serve(listener, read).disconnect_when_hung());
    host.start().unwrap();
    let client = TcpStream::connect(address).unwrap();
    while names(&host).len() < 2 {
        std::thread::yield_now();
    }
    let report = host.stop(crate::support::SECOND * 2).unwrap();
    assert_eq!((report.services[0].disconnected.len(), report.services[1].disconnected.len()), (0, 1), "{report}");
    drop(client);
}

/// Shuts a listener down, as if somebody had closed it.
fn break_it(listener: &std::net::TcpListener) {
    let socket: TcpStream = OwnedFd::from(listener.try_clone().unwrap()).into();
    socket.shutdown(Shutdown::Both).unwrap();
}

// 137
#[test]
fn a_broken_listener_fails_the_service_with_an_error_that_names_it() {
    let listener = Arc::new(tcp());
    let address = listener.local_addr().unwrap();
    let mut host = Host::new();
    host.add("echo", serve(listener.clone(), echo)).on_failure(OnFailure::Ignore);
    host.start().unwrap();
    let client = echoing(address);
    break_it(&listener);
    while host.handle().services()[0].state != ServiceState::Failed {
        std::thread::yield_now();
    }
    assert_eq!(read_line(&client), "", "its connections are stopped");
    let report = host.stop(LIMIT).unwrap();
    let Outcome::Failed(error) = &report.services[0].outcome else { panic!("{report}") };
    let Cause::Failed(cause) = error.cause() else { panic!("{report}") };
    let broken: &ListenerError = cause.downcast_ref().unwrap();
    assert_eq!(broken.io_error().kind(), std::io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains(&format!("listener at {address} accepts no more connections")), "{error}");
}

// 140
#[test]
fn a_server_in_a_group_that_restarts_serves_again_with_the_same_listener() {
    let listener = Arc::new(tcp());
    let address = listener.local_addr().unwrap();
    let (fail, failing) = unbounded::<()>();
    let mut host = Host::new();
    host.add(
        "web",
        group(move |host| {
            host.add("echo", serve(listener.clone(), echo));
            let failing = failing.clone();
            host.add(
                "other",
                hosted::worker(move |ctx| {
                    ctx.recv(&failing)?;
                    Err("on purpose".into())
                }),
            );
            Ok(())
        }),
    )
    .restart(Restart::on_failure().backoff(MS..=MS));
    host.start().unwrap();
    let first = echoing(address);
    assert!(names(&host).contains(&format!("web/echo/{}", first.local_addr().unwrap())));
    fail.send(()).unwrap();
    assert_eq!(read_line(&first), "");
    drop(echoing(address)); // perhaps it waited in the backlog
    assert_eq!(host.handle().services()[0].restarts, 1);
    host.stop(LIMIT).unwrap();
}

// 137
#[test]
fn no_room_for_any_connection_is_an_error_of_start() {
    let mut host = Host::new();
    host.add("echo", serve(tcp(), echo).max_connections(0));
    let error = host.start().unwrap_err().to_string();
    assert!(error.contains("`echo`") && error.contains("max_connections"), "{error}");
}
