//! `accept` and `incoming`: connections until the stop, and a listener that works afterwards.

#![cfg(feature = "io")]

use crate::support::sockets::{is_stopped, tcp};
use crate::support::{asleep_in, in_time};
use hosted::{StopSource, StopToken};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Barrier};
use std::{hint, thread};

#[test]
fn a_client_is_accepted_if_it_came_before_or_during_the_call() {
    let (listener, source) = (Arc::new(tcp()), StopSource::new());
    let address = listener.local_addr().unwrap();
    let before = TcpStream::connect(address).unwrap();
    let (_, from) = source.token().accept(&*listener).unwrap();
    assert_eq!(from, before.local_addr().unwrap());

    let acceptor = asleep_in(move || source.token().accept(&*listener).unwrap().1);
    let during = TcpStream::connect(address).unwrap();
    assert_eq!(acceptor.result(), during.local_addr().unwrap());
}

#[test]
fn an_accepted_stream_is_blocking() {
    let listener = tcp();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut stream, _) = StopToken::never().accept(&listener).unwrap();
    let reader = asleep_in(move || {
        let mut byte = [0];
        stream.read_exact(&mut byte).map(|()| byte)
    });
    client.write_all(&[7]).unwrap();
    assert_eq!(reader.result().unwrap(), [7]);
}

#[test]
fn a_unix_listener_accepts_until_the_stop_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("listener");
    let (listener, source) = (UnixListener::bind(&path).unwrap(), StopSource::new());
    let token = source.token();
    let acceptor = asleep_in(move || {
        let mut text = String::new();
        token.accept(&listener).unwrap().0.read_to_string(&mut text).unwrap();
        (text, token.incoming(&listener).count())
    });
    UnixStream::connect(&path).unwrap().write_all(b"tea").unwrap();
    acceptor.fall_asleep();
    source.request_stop();
    assert_eq!(acceptor.result(), ("tea".to_owned(), 0));
}

#[test]
fn clients_that_wait_at_the_stop_are_served_by_the_next_token() {
    let (listener, source) = (tcp(), StopSource::new());
    let clients: Vec<_> = (0..3).map(|_| TcpStream::connect(listener.local_addr().unwrap()).unwrap()).collect();
    let (_first, _) = source.token().accept(&listener).unwrap();
    source.request_stop();
    assert!(is_stopped(&source.token().accept(&listener).unwrap_err()), "the stop comes before waiting clients");
    assert_eq!(source.token().incoming(&listener).count(), 0);

    let next = StopSource::new();
    let addresses = [1, 2].map(|_| next.token().accept(&listener).unwrap().1);
    assert_eq!(addresses, [1, 2].map(|client: usize| clients[client].local_addr().unwrap()));
}

// 80
#[test]
fn no_client_is_lost_in_200_races_with_the_stop() {
    in_time(|| {
        let listener = tcp();
        for round in 0..200 {
            let (source, start) = (StopSource::new(), Barrier::new(3));
            let accepted = thread::scope(|scope| {
                scope.spawn(|| {
                    start.wait();
                    (0..50 * round).for_each(|_| hint::spin_loop());
                    source.request_stop();
                });
                scope.spawn(|| {
                    start.wait();
                    TcpStream::connect(listener.local_addr().unwrap()).unwrap()
                });
                start.wait();
                source.token().accept(&listener)
            });
            match accepted {
                Ok(_) => {}
                Err(error) => {
                    assert!(is_stopped(&error), "{error}");
                    StopToken::never().accept(&listener).unwrap(); // hangs if the connection was lost
                }
            }
        }
    });
}

#[test]
fn of_two_accepting_threads_one_gets_the_client_and_the_other_waits() {
    in_time(|| {
        for _ in 0..100 {
            let (listener, source) = (Arc::new(tcp()), StopSource::new());
            let acceptors = [1, 2].map(|_| {
                let (listener, token) = (listener.clone(), source.token());
                asleep_in(move || token.incoming(&*listener).map(|stream| drop(stream.unwrap())).count())
            });
            let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            while waiting(&listener) {
                thread::yield_now();
            }
            source.request_stop();
            assert_eq!(acceptors.iter().map(|acceptor| acceptor.result()).sum::<usize>(), 1);
        }
    });
}

/// Returns `true` if no thread has accepted its client yet.
fn waiting(listener: &impl std::os::fd::AsFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&now)).unwrap() == 1
}

#[test]
fn incoming_yields_connections_until_the_stop() {
    let (listener, source) = (tcp(), StopSource::new());
    let token = source.token();
    let mut incoming = token.incoming(&listener);
    for _ in 0..3 {
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let stream = incoming.next().unwrap().unwrap();
        assert_eq!(stream.peer_addr().unwrap(), client.local_addr().unwrap());
    }
    source.request_stop();
    assert!(incoming.next().is_none());
    assert!(incoming.next().is_none());
}

#[test]
fn an_error_other_than_the_stop_is_an_item_of_incoming_and_not_its_end() {
    let (listener, source) = (tcp(), StopSource::new());
    rustix::net::shutdown(&listener, rustix::net::Shutdown::Both).unwrap();
    let token = source.token();
    let mut incoming = token.incoming(&listener);
    for _ in 0..2 {
        assert!(!is_stopped(&incoming.next().unwrap().unwrap_err()));
    }
    source.request_stop();
    assert!(incoming.next().is_none());
}
