//! `connect` returns an ordinary stream, or an error with its cause.

#![cfg(feature = "io")]

use crate::support::asleep_in;
use crate::support::sockets::{is_stopped, silent, tcp};
use hosted::{StopSource, StopToken};
use rustix::io::{FdFlags, fcntl_getfd};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

#[test]
fn a_connected_stream_is_blocking() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(listener) = TcpListener::bind(address) else { continue }; // not every machine has IPv6
        let address = listener.local_addr().unwrap();
        let mut stream = StopToken::never().connect(address, Duration::from_secs(3600)).unwrap();
        let (mut there, from) = listener.accept().unwrap();
        assert_eq!((stream.peer_addr().unwrap(), stream.local_addr().unwrap()), (address, from));
        let reader = asleep_in(move || {
            let mut byte = [0];
            stream.read_exact(&mut byte).map(|()| byte)
        });
        there.write_all(&[7]).unwrap();
        assert_eq!(reader.result().unwrap(), [7]);
    }
}

#[test]
fn a_child_process_does_not_get_the_connection() {
    let listener = tcp();
    let stream = StopToken::never().connect(listener.local_addr().unwrap(), None).unwrap();
    assert!(fcntl_getfd(&stream).unwrap().contains(FdFlags::CLOEXEC));
}

#[test]
fn connect_reports_a_refused_connection() {
    let address = tcp().local_addr().unwrap(); // the listener is closed
    let error = StopSource::new().token().connect(address, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn connect_reports_an_address_that_the_system_rejects() {
    let broadcast: SocketAddr = "255.255.255.255:9".parse().unwrap();
    assert!(!is_stopped(&StopSource::new().token().connect(broadcast, None).unwrap_err()));
}

#[test]
fn connect_times_out_if_nobody_answers() {
    for time in [Duration::ZERO, Duration::from_millis(20)] {
        for token in [StopSource::new().token(), StopToken::never()] {
            assert_eq!(token.connect(silent(), time).unwrap_err().kind(), ErrorKind::TimedOut);
        }
    }
}

#[test]
fn after_the_stop_connect_makes_no_connection() {
    let (listener, source) = (tcp(), StopSource::new());
    source.request_stop();
    assert!(is_stopped(&source.token().connect(listener.local_addr().unwrap(), None).unwrap_err()));
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_connection_that_was_made_before_the_stop_outlives_it() {
    let (listener, source) = (tcp(), StopSource::new());
    let mut stream = source.token().connect(listener.local_addr().unwrap(), None).unwrap();
    source.request_stop();
    stream.write_all(b"goodbye").unwrap();
    drop(stream);
    let mut text = String::new();
    listener.accept().unwrap().0.read_to_string(&mut text).unwrap();
    assert_eq!(text, "goodbye");
}
