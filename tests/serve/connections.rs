//! Connections come and go.

use crate::support::log::{self, Level};
use crate::support::sockets::tcp;
use crate::support::{LIMIT, in_time};
use crate::{answer, echo, echoing, names, read_line};
use hosted::{Context, Host, Result, ServiceState, StopReason, serve};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;

// 135
#[test]
fn each_connection_is_a_member_with_the_name_of_its_client() {
    let listener = tcp();
    let address = listener.local_addr().unwrap();
    let mut host = Host::new();
    host.add("echo", serve(listener, echo));
    host.start().unwrap();
    let clients = [(); 3].map(|()| echoing(address));
    let mut expected = vec!["echo".to_owned()];
    expected.extend(clients.iter().map(|client| format!("echo/{}", client.local_addr().unwrap())));
    assert_eq!(names(&host), expected);
    let [first, ..] = clients;
    drop(first);
    while host.handle().services()[0].members.unwrap().ended == 0 {
        std::thread::yield_now();
    }
    assert_eq!(names(&host).len(), 3);
    let report = host.stop(LIMIT).unwrap();
    assert_eq!(report.services[0].members.unwrap().ended, 3, "{report}");
}

/// Echoes, but does what a client wants.
fn obey(client: TcpStream, ctx: &Context) -> Result {
    for line in BufReader::new(ctx.interruptible(&client)).lines() {
        match line?.as_str() {
            "fail" => return Err("on purpose".into()),
            "panic" => panic!("on purpose"),
            "stop" => ctx.host().request_stop(),
            line => writeln!(&client, "{line}")?,
        }
    }
    Ok(())
}

// 135
#[test]
fn a_connection_that_fails_is_a_warning_and_costs_no_other_connection() {
    let (log, listener) = (log::record(), tcp());
    let address = listener.local_addr().unwrap();
    let mut host = Host::new();
    host.add("obedient", serve(listener, obey));
    host.start().unwrap();
    let good = echoing(address);
    for command in ["fail", "panic"] {
        let client = echoing(address);
        assert_eq!(answer(&client, command), "", "the connection is closed");
    }
    while host.handle().services()[0].errors < 2 {
        std::thread::yield_now();
    }
    assert_eq!(answer(&good, "still here"), "still here");
    let row = &host.handle().services()[0];
    assert_eq!((row.state, row.members.unwrap().failed), (ServiceState::Running, 2));
    let failed = log.containing("service `obedient/127.0.0.1:");
    assert_eq!(failed.iter().filter(|line| line.level == Level::Warn).count(), 2, "{failed:?}");
    assert_eq!(log.errors("obedient"), 0);
    host.stop(LIMIT).unwrap();
}

// 141
#[test]
fn a_connection_that_requests_the_stop_of_its_host_stops_the_application() {
    let listener = tcp();
    let address = listener.local_addr().unwrap();
    let mut host = Host::new();
    host.add("obedient", serve(listener, obey));
    host.start().unwrap();
    let client = echoing(address);
    { &client }.write_all(b"stop\n").unwrap();
    in_time(move || {
        assert_eq!(host.wait(), StopReason::Requested);
        host.stop(LIMIT).unwrap();
    });
    assert_eq!(read_line(&client), "", "the server has closed the connection");
}

// 141
#[test]
fn a_unix_listener_numbers_its_connections_and_an_arc_of_a_listener_works_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = Arc::new(UnixListener::bind(&path).unwrap());
    let mut host = Host::new();
    host.add(
        "unix",
        serve(listener.clone(), |client: UnixStream, ctx| {
            for line in BufReader::new(ctx.interruptible(&client)).lines() {
                writeln!(&client, "{}", line?)?;
            }
            Ok(())
        }),
    );
    host.start().unwrap();
    for n in 1..=2 {
        let mut client = UnixStream::connect(&path).unwrap();
        client.write_all(b"hello\n").unwrap();
        let mut line = [0; 6];
        client.read_exact(&mut line).unwrap();
        assert_eq!(&line, b"hello\n");
        assert!(names(&host).contains(&format!("unix/{n}")), "{:?}", names(&host));
    }
    host.stop(LIMIT).unwrap();
}

// 140
#[test]
fn no_client_is_lost_when_the_server_restarts() {
    let listener = Arc::new(tcp());
    let address = listener.local_addr().unwrap();
    for _ in 0..20 {
        let clients: Vec<_> = (0..10).map(|_| TcpStream::connect(address).unwrap()).collect();
        let mut host = Host::new();
        host.add("echo", serve(listener.clone(), |client: TcpStream, _| Ok({ &client }.write_all(b"served\n")?)));
        host.start().unwrap();
        // Some are served by this server, and the others wait in the backlog.
        host.stop(LIMIT).unwrap();
        let mut next = Host::new();
        next.add("echo", serve(listener.clone(), |client: TcpStream, _| Ok({ &client }.write_all(b"served\n")?)));
        next.start().unwrap();
        let mut served = 0;
        for client in &clients {
            served += usize::from(read_line(client) == "served");
        }
        // The stop may come after a connection was accepted and before it has a thread.
        assert!(served >= 9, "{served}");
        next.stop(LIMIT).unwrap();
    }
}
