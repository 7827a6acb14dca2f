//! Guarantee 138: a server has room for so many connections.

use crate::support::sockets::tcp;
use crate::support::{LIMIT, SECOND};
use crate::{answer, echo, echoing, read_line};
use hosted::{Host, serve};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

// 138
#[test]
fn beyond_max_connections_clients_wait_in_the_backlog() {
    let listener = tcp();
    let address = listener.local_addr().unwrap();
    let mut host = Host::new();
    host.add("echo", serve(listener, echo).max_connections(2).stack_size(128 << 10));
    host.start().unwrap();
    let (first, _second) = (echoing(address), echoing(address));
    let waiting = TcpStream::connect(address).unwrap();
    { &waiting }.write_all(b"patient\n").unwrap();
    waiting.set_read_timeout(Some(SECOND / 10)).unwrap();
    let error = { &waiting }.read(&mut [0]).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    assert_eq!(host.handle().services()[0].members.unwrap().alive, 2);
    drop(first);
    assert_eq!(read_line(&waiting), "patient");
    host.stop(LIMIT).unwrap();
}

// 138
#[test]
fn when_full_answers_further_clients_and_a_panic_in_it_ends_nothing() {
    let listener = tcp();
    let address = listener.local_addr().unwrap();
    let mut host = Host::new();
    let calls = std::sync::atomic::AtomicUsize::new(0);
    let busy = move |mut client: TcpStream| {
        _ = client.write_all(b"busy\n");
        assert_ne!(calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 1, "on purpose");
    };
    host.add("echo", serve(listener, echo).max_connections(1).when_full(busy));
    host.start().unwrap();
    let first = echoing(address);
    for _ in 0..3 {
        assert_eq!(read_line(&TcpStream::connect(address).unwrap()), "busy");
    }
    assert_eq!(answer(&first, "still here"), "still here");
    assert_eq!(host.handle().services()[0].errors, 1, "the panic");
    host.stop(LIMIT).unwrap();
}
